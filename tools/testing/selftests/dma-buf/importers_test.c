// SPDX-License-Identifier: GPL-2.0-only
/*
 * One dma-buf, three ways to import it at once, one revoke
 *
 * Of a VF's BAR, exported by vfio-pci: the PF imports it over IOV, iommufd by the
 * CPU's physical addresses, and another PF by an sg_table. Each has to unmap for
 * the revoke to complete, and none can map again before it has ended.
 */
#include "kselftest_harness.h"
#include <linux/iommufd.h>

#include "iov_test.h"

#define P2P	DMA_BUF_IOV_TEST_ATTACH_P2P
#define LAZY	DMA_BUF_IOV_TEST_ATTACH_LAZY

#define NO_PF2	"no second PF with a driver: set DMABUF_TEST_PF2"

static const struct iov_pages parts[] = { { 2, 2 }, { 0, 1 }, { 2, 1 } };

#define NR_PAGES	4

FIXTURE(importers) {
	struct iov_test t;	/* t.imp: over IOV */
	int sg;			/* the importer with an sg_table */
	uint32_t ioas;
	uint64_t iova;
	uint64_t size;
	int fd;
};

FIXTURE_VARIANT(importers) {
	uint32_t flags;		/* of both test importers */
};

FIXTURE_VARIANT_ADD(importers, prompt) {
	.flags = P2P,
};

FIXTURE_VARIANT_ADD(importers, lazy) {
	.flags = P2P | LAZY,
};

/* An IOAS that the VF is attached to, so that there is something to unmap. */
static int ioas_setup(FIXTURE_DATA(importers) * self)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
	};

	if (ioctl(self->t.vf.iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return -errno;
	self->ioas = alloc.out_ioas_id;
	attach.pt_id = alloc.out_ioas_id;
	return ioctl(self->t.vf.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach) ?
	       -errno : 0;
}

/* At an IOVA that iommufd picks, or at the same as before. */
static int ioas_map(FIXTURE_DATA(importers) * self, bool again)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = self->ioas,
		.fd = self->fd,
		.length = self->size,
		.iova = self->iova,
	};

	if (again)
		map.flags |= IOMMU_IOAS_MAP_FIXED_IOVA;
	if (ioctl(self->t.vf.iommufd, IOMMU_IOAS_MAP_FILE, &map))
		return -errno;
	self->iova = map.iova;
	return 0;
}

static int ioas_unmap(FIXTURE_DATA(importers) * self)
{
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = self->ioas,
		.iova = self->iova,
		.length = self->size,
	};

	return ioctl(self->t.vf.iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

static int attach_sg(int imp, int fd, const char *bdf, uint32_t flags)
{
	struct dma_buf_iov_test_attach attach;

	importer_attach_init(&attach, fd, bdf, flags);
	return importer_attach(imp, &attach);
}

FIXTURE_SETUP(importers)
{
	const char *missing = iov_test_missing(&self->t);
	char pf2[IOV_BDF_LEN];

	if (missing)
		SKIP(return, "%s", missing);
	if (iov_pf_find(1, pf2))
		SKIP(return, NO_PF2);
	if (iov_bufinfo_count() < 0)
		SKIP(return, "no bufinfo in debugfs");
	ASSERT_EQ(0, iov_test_setup(&self->t));
	ASSERT_EQ(0, ioas_setup(self));
	self->fd = iov_test_export(&self->t, parts, ARRAY_SIZE(parts));
	ASSERT_LE(0, self->fd);
	self->size = NR_PAGES * iov_page_size();

	self->sg = importer_open();
	ASSERT_LE(0, self->sg);
	ASSERT_EQ(0, attach_sg(self->sg, self->fd, pf2, variant->flags));
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->fd, self->t.pf,
					 self->t.vf.bar, variant->flags, NULL));
}

FIXTURE_TEARDOWN(importers)
{
	close(self->sg);
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

static void map_all(struct __test_metadata *_metadata,
		    FIXTURE_DATA(importers) * self)
{
	struct dma_buf_iov_test_map_sg sg;
	struct dma_buf_iov_test_map map;

	ASSERT_EQ(0, ioas_map(self, self->iova));
	ASSERT_EQ(0, importer_map(self->t.imp, &map));
	ASSERT_EQ(0, importer_map_sg(self->sg, &sg));
	EXPECT_EQ(self->size, map.size);
	EXPECT_EQ(self->size, sg.size);
}

static void expect_unmapped(struct __test_metadata *_metadata, int imp,
			    unsigned int nr)
{
	struct dma_buf_iov_test_state state;

	EXPECT_EQ(0, importer_state(imp, &state));
	EXPECT_EQ(0, state.mapped);
	EXPECT_EQ(nr, state.unmapped);
	EXPECT_EQ(1, state.attached);
}

/* iommufd does not say what it has mapped. The dma-buf does. */
static void expect_ioas(struct __test_metadata *_metadata,
			FIXTURE_DATA(importers) * self, bool mapped)
{
	char lines[1024];

	EXPECT_EQ(3, iov_bufinfo(self->fd, lines, sizeof(lines)));
	EXPECT_NE(NULL, strstr(lines, mapped ? "[interconnect phys maps=1]" :
					       "[interconnect phys maps=0]"));
}

/* All three have unmapped for the @nr-th time, and iommufd keeps the IOVA. */
static void expect_revoked(struct __test_metadata *_metadata,
			   FIXTURE_DATA(importers) * self, unsigned int nr)
{
	expect_unmapped(_metadata, self->t.imp, nr);
	expect_unmapped(_metadata, self->sg, nr);
	expect_ioas(_metadata, self, false);
	EXPECT_EQ(-EEXIST, ioas_map(self, true));
	EXPECT_EQ(0, ioas_unmap(self));
}

static void expect_mapped(struct __test_metadata *_metadata,
			  FIXTURE_DATA(importers) * self)
{
	struct dma_buf_iov_test_state state;

	EXPECT_EQ(0, importer_state(self->t.imp, &state));
	EXPECT_EQ(1, state.mapped);
	EXPECT_EQ(0, importer_state(self->sg, &state));
	EXPECT_EQ(1, state.mapped);
	expect_ioas(_metadata, self, true);
}

/* While it lasts: all three have unmapped, and none can map again. */
static void expect_refused(struct __test_metadata *_metadata,
			   FIXTURE_DATA(importers) * self, unsigned int nr)
{
	expect_unmapped(_metadata, self->t.imp, nr);
	expect_unmapped(_metadata, self->sg, nr);
	expect_ioas(_metadata, self, false);
	EXPECT_EQ(-ENODEV, ioas_map(self, true));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(-ENODEV, importer_map_sg(self->sg, NULL));
}

/* As many lines of attachments as there are importers. */
TEST_F(importers, bufinfo)
{
	char lines[1024];

	map_all(_metadata, self);
	EXPECT_EQ(3, iov_bufinfo(self->fd, lines, sizeof(lines)));
	EXPECT_NE(NULL, strstr(lines, "interconnect iov"));
	ASSERT_EQ(0, iov_vfio_reset(&self->t.vf));
	EXPECT_EQ(3, iov_bufinfo(self->fd, lines, sizeof(lines)));
	EXPECT_EQ(0, ioas_unmap(self));
	EXPECT_EQ(2, iov_bufinfo(self->fd, lines, sizeof(lines)));
}

TEST_F_TIMEOUT(importers, reset, 60)
{
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		map_all(_metadata, self);
		ASSERT_EQ(0, iov_vfio_reset(&self->t.vf));
		expect_revoked(_metadata, self, i);
	}
	map_all(_metadata, self);
}

/* Memory enable does nothing on a VF, and a reset still revokes. */
TEST_F(importers, memory)
{
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		map_all(_metadata, self);
		ASSERT_EQ(0, iov_vfio_memory(&self->t.vf, false));
		ASSERT_EQ(0, iov_vfio_memory(&self->t.vf, true));
		expect_mapped(_metadata, self);
		ASSERT_EQ(0, iov_vfio_reset(&self->t.vf));
		expect_revoked(_metadata, self, i);
	}
	map_all(_metadata, self);
}

TEST_F(importers, low_power)
{
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		map_all(_metadata, self);
		ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, true));
		expect_refused(_metadata, self, i);
		ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
		expect_revoked(_metadata, self, i);
	}
	map_all(_metadata, self);
}

TEST_F(importers, closed)
{
	int iommufd = dup(self->t.vf.iommufd);

	/* Kept, as it is iommufd's mapping that is looked at. */
	ASSERT_LE(0, iommufd);
	map_all(_metadata, self);
	ASSERT_EQ(0, iov_vfio_close(&self->t.vf));
	self->t.vf.iommufd = iommufd;

	expect_refused(_metadata, self, 1);
	EXPECT_EQ(0, ioas_unmap(self));
}

/* One that was unmapped before is none of the revoke's business. */
TEST_F(importers, some_unmapped)
{
	map_all(_metadata, self);
	ASSERT_EQ(0, importer_unmap(self->sg));
	ASSERT_EQ(0, iov_vfio_reset(&self->t.vf));
	expect_unmapped(_metadata, self->sg, 0);
	expect_unmapped(_metadata, self->t.imp, 1);
	EXPECT_EQ(0, ioas_unmap(self));

	map_all(_metadata, self);
	ASSERT_EQ(0, ioas_unmap(self));
	ASSERT_EQ(0, importer_unmap(self->t.imp));
	ASSERT_EQ(0, iov_vfio_reset(&self->t.vf));
	expect_unmapped(_metadata, self->sg, 1);
	expect_unmapped(_metadata, self->t.imp, 1);
	map_all(_metadata, self);
}

TEST_HARNESS_MAIN
