// SPDX-License-Identifier: GPL-2.0-only
/*
 * Importers that use an sg_table get what vfio hands out without interconnects
 *
 * An importer with peer-to-peer support gets an sg_table: one entry for each part
 * of the buffer, by bus addresses, or one for all of it, by an IOVA. One without
 * is refused. Whether it offers nothing, or interconnects that do not match, makes
 * no difference. Exporters that offer no interconnect, like udmabuf, do not care.
 */
#include "kselftest_harness.h"
#include <linux/udmabuf.h>
#include <sys/mman.h>

#include "iov_test.h"

#define P2P	DMA_BUF_IOV_TEST_ATTACH_P2P
#define STATIC	DMA_BUF_IOV_TEST_ATTACH_STATIC
#define LAZY	DMA_BUF_IOV_TEST_ATTACH_LAZY

#define NO_P2PDMA \
	"P2PDMA between the VF and the PF is refused here (QEMU: -cpu EPYC)"

/* Offers on which no exporter agrees. */
enum mismatch { NOTHING, WRONG_BAR, OTHER, MANY, NR_MISMATCHES };

/* @bar: what would match */
static int attach_mismatch(int imp, int fd, unsigned int bar, const char *bdf,
			   uint32_t flags, enum mismatch mismatch)
{
	struct dma_buf_iov_test_attach attach;
	int ret;

	importer_attach_init(&attach, fd, bdf, flags);
	if (mismatch == WRONG_BAR || mismatch == MANY)
		importer_attach_offer(&attach, DMA_BUF_IOV_TEST_OFFER_IOV,
				      (bar + 5) % PCI_STD_NUM_BARS);
	if (mismatch == OTHER || mismatch == MANY)
		importer_attach_offer(&attach, DMA_BUF_IOV_TEST_OFFER_OTHER, 0);

	ret = importer_attach(imp, &attach);
	if (!ret && attach.type[0])
		return -EPROTO;
	return ret;
}

FIXTURE(vfio) {
	struct iov_test t;
	int fd;
};

FIXTURE_VARIANT(vfio) {
	struct iov_pages parts[4];
	unsigned int nr_parts;
};

FIXTURE_VARIANT_ADD(vfio, page) {
	.parts = { { 0, 1 } },
	.nr_parts = 1,
};

FIXTURE_VARIANT_ADD(vfio, bar) {
	.parts = { { 0, 4 } },
	.nr_parts = 1,
};

FIXTURE_VARIANT_ADD(vfio, unordered) {
	.parts = { { 3, 1 }, { 0, 1 }, { 2, 1 }, { 2, 1 } },
	.nr_parts = 4,
};

FIXTURE_SETUP(vfio)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->fd = iov_test_export(&self->t, variant->parts, variant->nr_parts);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(vfio)
{
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

static int attach(FIXTURE_DATA(vfio) * self, const char *bdf, uint32_t flags,
		  enum mismatch mismatch)
{
	return attach_mismatch(self->t.imp, self->fd, self->t.vf.bar, bdf,
			       flags, mismatch);
}

TEST_F(vfio, without_p2p_refused)
{
	enum mismatch i;

	for (i = 0; i < NR_MISMATCHES; i++) {
		EXPECT_EQ(-EOPNOTSUPP, attach(self, self->t.pf, 0, i));
		EXPECT_EQ(-EOPNOTSUPP, attach(self, self->t.pf, LAZY, i));
	}
}

/* vfio does not hand out what it could not take back. */
TEST_F(vfio, static_refused)
{
	enum mismatch i;

	for (i = 0; i < NR_MISMATCHES; i++) {
		EXPECT_EQ(-EOPNOTSUPP, attach(self, self->t.pf, STATIC, i));
		EXPECT_EQ(-EOPNOTSUPP,
			  attach(self, self->t.pf, STATIC | P2P, i));
	}
}

/*
 * Is it one entry for each part, whose distances are those of the parts, or one
 * for all of the buffer? Where the first is depends on the machine.
 */
static bool layout_right(const FIXTURE_VARIANT(vfio) * variant, uint64_t size,
			 const struct dma_buf_iov_test_range *dma, int nr)
{
	const uint64_t page = iov_page_size();
	const struct iov_pages *parts = variant->parts;
	int i;

	if (nr == 1 && dma->end - dma->start + 1 == size)
		return dma->start % page == 0;
	if (nr != (int)variant->nr_parts)
		return false;

	for (i = 0; i < nr; i++) {
		if (dma[i].end - dma[i].start + 1 != parts[i].nr * page ||
		    dma[i].start - parts[i].first * page !=
		    dma[0].start - parts[0].first * page)
			return false;
	}
	return dma[0].start % page == 0;
}

/*
 * The sg_table for @bdf is the same, whatever was offered in vain, or the errno
 * is, where P2PDMA does not go. An IOVA can be another one each time.
 */
static int map_same(struct __test_metadata *_metadata,
		    FIXTURE_DATA(vfio) * self,
		    const FIXTURE_VARIANT(vfio) * variant, const char *bdf)
{
	const uint64_t size = lseek(self->fd, 0, SEEK_END);
	struct dma_buf_iov_test_map_sg map;
	struct dma_buf_iov_test_range dma[8];
	int ret, first_ret = 0, first_nr = 0;
	enum mismatch i;

	for (i = 0; i < NR_MISMATCHES; i++) {
		memset(&map, 0, sizeof(map));
		EXPECT_EQ(0, attach(self, bdf, P2P, i));
		EXPECT_EQ(-EOPNOTSUPP, importer_map(self->t.imp, NULL));
		ret = importer_map_sg(self->t.imp, &map);
		if (!i) {
			first_ret = ret;
			first_nr = map.nr;
		}

		EXPECT_EQ(first_ret, ret);
		EXPECT_EQ(first_nr, map.nr);
		if (!ret) {
			EXPECT_EQ(size, map.size);
			EXPECT_EQ(map.nr, importer_ranges(self->t.imp, 0, dma,
							  ARRAY_SIZE(dma)));
			EXPECT_EQ(map.first, dma[0].start);
			EXPECT_TRUE(layout_right(variant, size, dma, map.nr));
		}
		EXPECT_EQ(ret ? -ENXIO : 0, importer_unmap(self->t.imp));
		EXPECT_EQ(0, importer_detach(self->t.imp));
	}

	return first_ret;
}

TEST_F(vfio, with_p2p)
{
	int ret = map_same(_metadata, self, variant, self->t.pf);

	if (ret == -EINVAL)
		SKIP(return, NO_P2PDMA);
	EXPECT_EQ(0, ret);
}

/* A VF can import from itself, as ever: nothing is in the way. */
TEST_F(vfio, itself_with_p2p)
{
	EXPECT_EQ(0, map_same(_metadata, self, variant, self->t.vf.bdf));
}

/* And from its sibling, where its PF could. */
TEST_F(vfio, vf_with_p2p)
{
	char bdf[IOV_BDF_LEN];
	int ret;

	ASSERT_EQ(0, iov_vf_bdf(self->t.pf, 1, bdf));
	ret = map_same(_metadata, self, variant, bdf);
	if (ret == -EINVAL)
		SKIP(return, NO_P2PDMA);
	EXPECT_EQ(0, ret);
}

/* Attaching works for a device that is not PCI, mapping does not: as ever. */
TEST_F(vfio, not_pci_with_p2p)
{
	enum mismatch i;

	for (i = 0; i < NR_MISMATCHES; i++) {
		ASSERT_EQ(0, attach(self, "", P2P, i));
		EXPECT_EQ(-EINVAL, importer_map_sg(self->t.imp, NULL));
		EXPECT_EQ(0, importer_detach(self->t.imp));
	}
}

/* Both kinds of mapping can live side by side, each with its importer. */
TEST_F(vfio, beside_iov)
{
	struct dma_buf_iov_test_map_sg sg;
	struct dma_buf_iov_test_map map;
	uint64_t size = lseek(self->fd, 0, SEEK_END);
	int imp = self->t.imp, imp2;
	unsigned int i;

	imp2 = importer_open();
	ASSERT_GE(imp2, 0);
	ASSERT_EQ(0, importer_attach_iov(imp, self->fd, self->t.pf,
					 self->t.vf.bar, P2P, NULL));
	ASSERT_EQ(0, attach_mismatch(imp2, self->fd, self->t.vf.bar, self->t.pf,
				     P2P, NOTHING));

	EXPECT_EQ(-EOPNOTSUPP, importer_map_sg(imp, NULL));
	EXPECT_EQ(-EOPNOTSUPP, importer_map(imp2, NULL));
	if (importer_map_sg(imp2, &sg))
		SKIP(goto out, "no sg_table for the PF");
	EXPECT_EQ(0, importer_unmap(imp2));

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, importer_map(imp, &map));
		EXPECT_EQ(0, importer_map_sg(imp2, &sg));
		EXPECT_EQ(size, map.size);
		EXPECT_EQ(size, sg.size);
		EXPECT_EQ(-EBUSY, importer_map(imp, NULL));
		EXPECT_EQ(-EBUSY, importer_map_sg(imp2, NULL));

		/* Either can be the first to go. */
		EXPECT_EQ(0, importer_unmap(i ? imp : imp2));
		EXPECT_EQ(0, importer_unmap(i ? imp2 : imp));
	}
out:
	close(imp2);
}

/*
 * An exporter without interconnects: a udmabuf
 */

FIXTURE(udmabuf) {
	char pf[IOV_BDF_LEN];
	size_t size;
	int imp;
	int fd;
};

FIXTURE_SETUP(udmabuf)
{
	struct udmabuf_create create = {};
	int dev, memfd;

	self->imp = importer_open();
	if (self->imp < 0)
		SKIP(return, IMPORTER_HOWTO);
	if (iov_pf_find(0, self->pf))
		SKIP(return, IOV_TEST_NO_PF);
	dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		SKIP(return, "no /dev/udmabuf: CONFIG_UDMABUF");

	self->size = 4 * iov_page_size();
	memfd = memfd_create("iov_sg_test", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	ASSERT_GE(memfd, 0);
	ASSERT_EQ(0, ftruncate(memfd, self->size));
	ASSERT_EQ(0, fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	create.memfd = memfd;
	create.size = self->size;
	self->fd = ioctl(dev, UDMABUF_CREATE, &create);
	ASSERT_GE(self->fd, 0);
	close(memfd);
	close(dev);
}

FIXTURE_TEARDOWN(udmabuf)
{
	close(self->imp);
	close(self->fd);
}

TEST_F(udmabuf, any_importer)
{
	static const uint32_t flags[] = { 0, P2P, LAZY, STATIC, STATIC | P2P };
	struct dma_buf_iov_test_map_sg map;
	struct dma_buf_iov_test_attach attach;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(0, importer_attach_iov(self->imp, self->fd, self->pf,
						 0, flags[i], &attach));
		EXPECT_STREQ("", attach.type);
		EXPECT_EQ(-EOPNOTSUPP, importer_map(self->imp, NULL));
		EXPECT_EQ(0, importer_map_sg(self->imp, &map));
		EXPECT_EQ(self->size, map.size);
		EXPECT_EQ(0, importer_detach(self->imp));
	}
}

TEST_F(udmabuf, any_offers)
{
	struct dma_buf_iov_test_map_sg map;
	enum mismatch i;

	for (i = 0; i < NR_MISMATCHES; i++) {
		EXPECT_EQ(0, attach_mismatch(self->imp, self->fd, 0, self->pf,
					     0, i));
		EXPECT_EQ(0, importer_map_sg(self->imp, &map));
		EXPECT_EQ(self->size, map.size);
		EXPECT_EQ(0, importer_unmap(self->imp));
		EXPECT_EQ(0, importer_detach(self->imp));
	}
}

TEST_HARNESS_MAIN
