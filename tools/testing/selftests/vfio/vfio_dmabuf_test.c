// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-bufs of a BAR, mapped by iommufd: what is refused and with which errno,
 * and what is left of a mapping after the exporter has revoked it
 *
 * Runs on any device with a BAR of 4 pages or more that can be mmapped. It needs
 * no DMA: that the addresses are right is for vfio_dmabuf_p2p_test to show.
 *
 * What user space has to know of revocation, and what is pinned down here: a
 * mapping in an IOAS does not come back. Its IOVA stays taken, and translates to
 * nothing, until IOMMU_IOAS_UNMAP; and nothing can be mapped as long as the
 * device's memory is disabled. So whoever disables it has to unmap and map again.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <linux/sizes.h>

#include "kselftest_harness.h"
#include "vfio_dmabuf.h"

#define MIN_PAGES	4
#define NO_BUFINFO	"no bufinfo of dma-bufs in debugfs"

static const char *device_bdf;

struct dev {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	int bar;
	u64 size;	/* of the BAR */
	u64 page;
};

/* False if there is nothing to export. */
static bool dev_open(struct dev *dev)
{
	dev->iommu = iommu_init(MODE_IOMMUFD);
	dev->device = vfio_pci_device_init(device_bdf, dev->iommu);
	dev->page = page_size();
	device_memory(dev->device, true);

	dev->bar = device_find_bar(dev->device, MIN_PAGES);
	if (dev->bar < 0)
		return false;
	dev->size = dev->device->bars[dev->bar].info.size;
	return true;
}

static void dev_close(struct dev *dev)
{
	vfio_pci_device_cleanup(dev->device);
	iommu_cleanup(dev->iommu);
}

static int export_ranges(struct dev *dev,
			 const struct vfio_region_dma_range *ranges, u32 nr)
{
	return dmabuf_export(dev->device, dev->bar, ranges, nr);
}

static int export_one(struct dev *dev, u64 offset, u64 length)
{
	const struct vfio_region_dma_range range = {
		.offset = offset,
		.length = length,
	};

	return export_ranges(dev, &range, 1);
}

static int export_bar(struct dev *dev)
{
	return export_one(dev, 0, dev->size);
}

/* Four pages of the BAR: out of order, and one of them twice. */
#define MIXED_PAGES	4

static int export_mixed(struct dev *dev)
{
	const struct vfio_region_dma_range ranges[] = {
		{ 2 * dev->page, dev->page },
		{ 0, dev->page },
		{ 1 * dev->page, dev->page },
		{ 2 * dev->page, dev->page },
	};

	return export_ranges(dev, ranges, ARRAY_SIZE(ranges));
}

/* 0 if it works, as which it leaves nothing behind. */
static int try_fd(int fd)
{
	return fd < 0 ? fd : close(fd);
}

static int try_one(struct dev *dev, u64 offset, u64 length)
{
	return try_fd(export_one(dev, offset, length));
}

/* How many dma-bufs of vfio there are, or -errno without debugfs. */
static int count_dmabufs(void)
{
	FILE *bufinfo = fopen("/sys/kernel/debug/dma_buf/bufinfo", "r");
	char *line = NULL;
	size_t room = 0;
	int nr = 0;

	if (!bufinfo)
		return -errno;
	while (getline(&line, &room, bufinfo) > 0)
		nr += line[0] != '\t' && strstr(line, "\tvfio");

	free(line);
	fclose(bufinfo);
	return nr;
}

/*
 * Export
 */

FIXTURE(dmabuf) {
	struct dev dev;
};

FIXTURE_SETUP(dmabuf)
{
	if (!dev_open(&self->dev))
		SKIP(return, "no BAR of %u pages to mmap", MIN_PAGES);
}

FIXTURE_TEARDOWN(dmabuf)
{
	dev_close(&self->dev);
}

TEST_F(dmabuf, export_bounds)
{
	struct dev *dev = &self->dev;
	u64 page = dev->page, size = dev->size;

	EXPECT_EQ(0, try_one(dev, 0, page));
	EXPECT_EQ(0, try_one(dev, 0, size - page));
	EXPECT_EQ(0, try_one(dev, 0, size));
	EXPECT_EQ(0, try_one(dev, size - page, page));
	EXPECT_EQ(0, try_one(dev, page, size - page));

	EXPECT_EQ(-EINVAL, try_one(dev, 0, size + page));
	EXPECT_EQ(-EINVAL, try_one(dev, page, size));
	EXPECT_EQ(-EINVAL, try_one(dev, size - page, 2 * page));
	EXPECT_EQ(-EINVAL, try_one(dev, size, page));
	EXPECT_EQ(-EINVAL, try_one(dev, size + page, page));
	EXPECT_EQ(-EINVAL, try_one(dev, 1ULL << 62, page));
}

TEST_F(dmabuf, export_alignment)
{
	const u64 odd[] = { 1, 8, SZ_2K, self->dev.page - 1,
			    self->dev.page + 1 };
	struct dev *dev = &self->dev;
	int i;

	EXPECT_EQ(-EINVAL, try_one(dev, 0, 0));
	EXPECT_EQ(-EINVAL, try_one(dev, dev->size, 0));
	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		EXPECT_EQ(-EINVAL, try_one(dev, odd[i], dev->page));
		EXPECT_EQ(-EINVAL, try_one(dev, 0, odd[i]));
		EXPECT_EQ(-EINVAL, try_one(dev, odd[i], odd[i]));
		EXPECT_EQ(-EINVAL, try_one(dev, dev->size - odd[i], odd[i]));
	}
}

/* Past 2^63 no length is taken; that an address wraps is told apart. */
TEST_F(dmabuf, export_overflow)
{
	struct dev *dev = &self->dev;
	u64 page = dev->page;

	EXPECT_EQ(-EOVERFLOW, try_one(dev, -page, page));
	EXPECT_EQ(-EOVERFLOW, try_one(dev, -page, 2 * page));
	EXPECT_EQ(-EOVERFLOW, try_one(dev, -page, dev->size + page));
	EXPECT_EQ(-EINVAL, try_one(dev, 0, -page));
	EXPECT_EQ(-EINVAL, try_one(dev, page, -page));
	EXPECT_EQ(-EINVAL, try_one(dev, 0, 1ULL << 62));
	EXPECT_EQ(-EINVAL, try_one(dev, 0, (1ULL << 63) - page));
	EXPECT_EQ(-EINVAL, try_one(dev, 0, 1ULL << 63));
}

TEST_F(dmabuf, export_sum_overflow)
{
	struct vfio_region_dma_range ranges[4] = {};
	struct dev *dev = &self->dev;
	int i;

	/* 2^64, 2^63, and just below. */
	for (i = 0; i < 4; i++)
		ranges[i].length = 1ULL << 62;
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 4)));
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 2)));
	ranges[1].length -= dev->page;
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 2)));
	/* Wraps to one page. */
	ranges[3].length = (1ULL << 62) + 2 * dev->page;
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 4)));
}

/* One bad range among good ones, wherever it is. */
TEST_F(dmabuf, export_one_bad_range)
{
	struct dev *dev = &self->dev;
	const struct vfio_region_dma_range good = { 0, dev->page };
	const struct vfio_region_dma_range bad[] = {
		{ 0, 0 },
		{ 1, dev->page },
		{ 0, dev->page - 1 },
		{ dev->size, dev->page },
		{ dev->size - dev->page, 2 * dev->page },
	};
	struct vfio_region_dma_range ranges[3];
	int i, j;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (j = 0; j < ARRAY_SIZE(ranges); j++) {
			ranges[0] = good;
			ranges[1] = good;
			ranges[2] = good;
			EXPECT_EQ(0, try_fd(export_ranges(dev, ranges, 3)));
			ranges[j] = bad[i];
			EXPECT_EQ(-EINVAL,
				  try_fd(export_ranges(dev, ranges, 3)));
		}
	}
}

TEST_F(dmabuf, export_region)
{
	const u32 bad[] = { VFIO_PCI_ROM_REGION_INDEX,
			    VFIO_PCI_CONFIG_REGION_INDEX,
			    VFIO_PCI_VGA_REGION_INDEX, VFIO_PCI_NUM_REGIONS,
			    INT32_MAX, 1U << 31, UINT32_MAX };
	const struct vfio_region_dma_range range = { 0, self->dev.page };
	struct vfio_pci_device *device = self->dev.device;
	int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-ENODEV, dmabuf_export(device, bad[i], &range, 1));

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (device->bars[i].info.size)
			continue;
		EXPECT_EQ(-ENODEV, dmabuf_export(device, i, &range, 1));
		nr++;
	}
	TH_LOG("%d BARs without resource", nr);
}

/* The feature, to be spoilt by a test: one page, three ranges of room. */
struct request {
	struct vfio_device_feature feature;
	struct vfio_device_feature_dma_buf dma_buf;
	struct vfio_region_dma_range ranges[3];
};

static struct request good_request(struct dev *dev)
{
	return (struct request) {
		.feature.argsz = sizeof(struct request),
		.feature.flags = VFIO_DEVICE_FEATURE_GET |
				 VFIO_DEVICE_FEATURE_DMA_BUF,
		.dma_buf.region_index = dev->bar,
		.dma_buf.open_flags = O_RDWR | O_CLOEXEC,
		.dma_buf.nr_ranges = 1,
		.ranges = {
			{ 0, dev->page },
			{ 0, dev->page },
			{ 0, dev->page },
		},
	};
}

static int try_request(struct dev *dev, struct request *request)
{
	return try_fd(ioctl_errno(dev->device->fd, VFIO_DEVICE_FEATURE,
				  request));
}

TEST_F(dmabuf, export_flags)
{
	struct dev *dev = &self->dev;
	struct request request;
	int i;

	for (i = 0; i < 32; i++) {
		request = good_request(dev);
		request.dma_buf.flags = 1U << i;
		EXPECT_EQ(-EINVAL, try_request(dev, &request));
	}
	request.dma_buf.flags = UINT32_MAX;
	EXPECT_EQ(-EINVAL, try_request(dev, &request));
}

TEST_F(dmabuf, export_operation)
{
	const struct {
		u32 op;
		int ret;
	} cases[] = {
		{ VFIO_DEVICE_FEATURE_PROBE, 0 },
		{ VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_GET, 0 },
		{ 0, -EINVAL },
		{ VFIO_DEVICE_FEATURE_SET, -EINVAL },
		{ VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_GET, -EINVAL },
		{ VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET,
		  -EINVAL },
		{ VFIO_DEVICE_FEATURE_GET | 1U << 31, -EINVAL },
	};
	struct request request;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		request = good_request(&self->dev);
		request.feature.flags = cases[i].op |
					VFIO_DEVICE_FEATURE_DMA_BUF;
		EXPECT_EQ(cases[i].ret,
			  ioctl_errno(self->dev.device->fd,
				      VFIO_DEVICE_FEATURE, &request));
	}
}

/* argsz says how far the kernel may look, though not past the fixed part. */
TEST_F(dmabuf, export_argsz)
{
	const u32 header = sizeof(struct vfio_device_feature);
	const u32 payload = header + sizeof(struct vfio_device_feature_dma_buf);
	const struct {
		u32 argsz;
		int ret;
	} cases[] = {
		{ 0, -EINVAL },
		{ header - 1, -EINVAL },
		{ header, -EINVAL },
		{ payload - 1, -EINVAL },
		{ payload, 0 },
		{ sizeof(struct request), 0 },
	};
	struct request request;
	int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		request = good_request(&self->dev);
		request.feature.argsz = cases[i].argsz;
		EXPECT_EQ(cases[i].ret, try_request(&self->dev, &request));
	}
}

TEST_F(dmabuf, export_nr_ranges)
{
	const u32 huge[] = { 1U << 24, INT32_MAX, 1U << 31, UINT32_MAX };
	struct dev *dev = &self->dev;
	struct request request;
	int i;

	for (i = 0; i <= 3; i++) {
		request = good_request(dev);
		request.dma_buf.nr_ranges = i;
		EXPECT_EQ(i ? 0 : -EINVAL, try_request(dev, &request));
	}

	for (i = 0; i < ARRAY_SIZE(huge); i++) {
		request.dma_buf.nr_ranges = huge[i];
		EXPECT_EQ(-ENOMEM, try_request(dev, &request));
	}
}

/* As many as the array has, which ends where the memory does. */
TEST_F(dmabuf, export_unreadable)
{
	struct dev *dev = &self->dev;
	struct request *request;
	void *map;

	map = mmap(NULL, 2 * dev->page, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, mprotect(map + dev->page, dev->page, PROT_NONE));

	request = map + dev->page - sizeof(*request);
	*request = good_request(dev);
	request->dma_buf.nr_ranges = 3;
	EXPECT_EQ(0, try_request(dev, request));
	request->dma_buf.nr_ranges = 4;
	EXPECT_EQ(-EFAULT, try_request(dev, request));
	munmap(map, 2 * dev->page);
}

TEST_F(dmabuf, export_size)
{
	struct dev *dev = &self->dev;
	int fd;

	fd = export_bar(dev);
	ASSERT_LE(0, fd);
	EXPECT_EQ(dev->size, lseek(fd, 0, SEEK_END));
	close(fd);

	fd = export_mixed(dev);
	ASSERT_LE(0, fd);
	EXPECT_EQ(MIXED_PAGES * dev->page, lseek(fd, 0, SEEK_END));
	close(fd);
}

/* Far more bytes than the BAR has, as each page comes many times. */
TEST_F(dmabuf, export_many)
{
	struct vfio_region_dma_range ranges[1024];
	struct dev *dev = &self->dev;
	u64 iova, size = 1024 * dev->page;
	int i, fd;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		ranges[i].offset = i * 3 % MIN_PAGES * dev->page;
		ranges[i].length = dev->page;
	}
	fd = export_ranges(dev, ranges, ARRAY_SIZE(ranges));
	ASSERT_LE(0, fd);
	EXPECT_EQ(size, lseek(fd, 0, SEEK_END));
	ASSERT_EQ(0, dmabuf_map(dev->iommu, fd, 0, size, &iova));
	EXPECT_EQ(0, dmabuf_unmap(dev->iommu, iova, size));
	close(fd);
}

/*
 * Mapping: the same for a dma-buf of one range and of several
 */

FIXTURE(map) {
	struct dev dev;
	int fd;
	u64 size;	/* of the dma-buf */
};

FIXTURE_VARIANT(map) {
	int (*export)(struct dev *dev);
};

FIXTURE_VARIANT_ADD(map, one_range) {
	.export = export_bar,
};

FIXTURE_VARIANT_ADD(map, ranges) {
	.export = export_mixed,
};

FIXTURE_SETUP(map)
{
	if (!dev_open(&self->dev))
		SKIP(return, "no BAR of %u pages to mmap", MIN_PAGES);
	self->fd = variant->export(&self->dev);
	ASSERT_LE(0, self->fd);
	if (dmabuf_maps(self->fd) < 0)
		SKIP(return, NO_BUFINFO);
	self->size = lseek(self->fd, 0, SEEK_END);
}

FIXTURE_TEARDOWN(map)
{
	close(self->fd);
	dev_close(&self->dev);
}

/* Map @length bytes from @start, and if that works unmap them. */
static int try_map(FIXTURE_DATA(map) * self, u64 start, u64 length)
{
	struct iommu *iommu = self->dev.iommu;
	u64 iova;

	return dmabuf_map(iommu, self->fd, start, length, &iova) ?:
	       dmabuf_unmap(iommu, iova, length);
}

TEST_F(map, bounds)
{
	u64 page = self->dev.page, size = self->size;

	EXPECT_EQ(0, try_map(self, 0, size));
	EXPECT_EQ(0, try_map(self, 0, page));
	EXPECT_EQ(0, try_map(self, 0, size - page));
	EXPECT_EQ(0, try_map(self, page, size - page));
	EXPECT_EQ(0, try_map(self, page, 2 * page));
	EXPECT_EQ(0, try_map(self, size - page, page));

	EXPECT_EQ(-EINVAL, try_map(self, 0, 0));
	EXPECT_EQ(-EINVAL, try_map(self, 0, size + 1));
	EXPECT_EQ(-EINVAL, try_map(self, 0, size + page));
	EXPECT_EQ(-EINVAL, try_map(self, page, size));
	EXPECT_EQ(-EINVAL, try_map(self, size - page, 2 * page));
	EXPECT_EQ(-EINVAL, try_map(self, size, page));
	EXPECT_EQ(-EINVAL, try_map(self, size + page, page));
	EXPECT_EQ(-EINVAL, try_map(self, 1ULL << 63, page));
	EXPECT_EQ(-EINVAL, try_map(self, 0, 1ULL << 63));

	EXPECT_EQ(-EINVAL, try_map(self, -page, page));
	EXPECT_EQ(-EOVERFLOW, try_map(self, -page, 2 * page));
	EXPECT_EQ(-EOVERFLOW, try_map(self, page, -page + 1));
	EXPECT_EQ(-EOVERFLOW, try_map(self, 0, UINT64_MAX));
}

TEST_F(map, alignment)
{
	const u64 odd[] = { 1, 8, SZ_2K, self->dev.page - 1 };
	u64 page = self->dev.page;
	int i;

	for (i = 0; i < ARRAY_SIZE(odd); i++) {
		EXPECT_EQ(-EINVAL, try_map(self, odd[i], page));
		EXPECT_EQ(-EINVAL, try_map(self, 0, odd[i]));
		EXPECT_EQ(-EINVAL, try_map(self, odd[i], page - odd[i]));
		EXPECT_EQ(-EINVAL, try_map(self, 0, page + odd[i]));
	}
}

TEST_F(map, arguments)
{
	struct iommu *iommu = self->dev.iommu;
	u64 page = self->dev.page, iova = 0;
	u32 ioas = iommu->ioas_id;
	int null;

	EXPECT_EQ(-EINVAL, dmabuf_map_flags(iommu, ioas, 0, self->fd, 0, page,
					    &iova));
	EXPECT_EQ(-EOPNOTSUPP, dmabuf_map_flags(iommu, ioas, DMABUF_RW | 1U << 3,
						self->fd, 0, page, &iova));
	EXPECT_EQ(-EOPNOTSUPP, dmabuf_map_flags(iommu, ioas,
						DMABUF_RW | 1U << 31, self->fd,
						0, page, &iova));
	EXPECT_EQ(-ENOENT, dmabuf_map_flags(iommu, ioas + 1000, DMABUF_RW,
					    self->fd, 0, page, &iova));
	EXPECT_EQ(-EBADF, dmabuf_map(iommu, -1, 0, page, &iova));

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, null);
	EXPECT_EQ(-EINVAL, dmabuf_map(iommu, null, 0, page, &iova));
	close(null);
}

/* The mode of the fd is no permission: it says nothing of what a device may do. */
TEST_F(dmabuf, read_only_fd)
{
	struct dev *dev = &self->dev;
	struct request request = good_request(dev);
	u64 iova;
	int fd;

	request.dma_buf.open_flags = O_RDONLY | O_CLOEXEC;
	fd = ioctl_errno(dev->device->fd, VFIO_DEVICE_FEATURE, &request);
	ASSERT_LE(0, fd);
	ASSERT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(0, dmabuf_map(dev->iommu, fd, 0, dev->page, &iova));
	EXPECT_EQ(0, dmabuf_unmap(dev->iommu, iova, dev->page));
	close(fd);
}

TEST_F(map, access)
{
	const u32 access[] = { IOMMU_IOAS_MAP_READABLE,
			       IOMMU_IOAS_MAP_WRITEABLE, DMABUF_RW };
	struct iommu *iommu = self->dev.iommu;
	u64 iova;
	int i;

	for (i = 0; i < ARRAY_SIZE(access); i++) {
		iova = 0;
		EXPECT_EQ(0, dmabuf_map_flags(iommu, iommu->ioas_id, access[i],
					      self->fd, 0, self->size, &iova));
		EXPECT_EQ(0, dmabuf_unmap(iommu, iova, self->size));
	}
}

TEST_F(map, fixed_iova)
{
	struct iommu *iommu = self->dev.iommu;
	u64 page = self->dev.page, size = self->size, iova;

	/* Somewhere where there is room. */
	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	EXPECT_EQ(-EEXIST, dmabuf_map_fixed(iommu, self->fd, 0, size, iova));
	EXPECT_EQ(-EEXIST, dmabuf_map_fixed(iommu, self->fd, 0, page,
					    iova + size - page));
	/* No part of a mapping can be unmapped. */
	EXPECT_EQ(-ENOENT, dmabuf_unmap(iommu, iova, page));
	EXPECT_EQ(-ENOENT, dmabuf_unmap(iommu, iova + page, size - page));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	EXPECT_EQ(-ENOENT, dmabuf_unmap(iommu, iova, size));

	EXPECT_EQ(0, dmabuf_map_fixed(iommu, self->fd, 0, size, iova));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	EXPECT_EQ(-EINVAL, dmabuf_map_fixed(iommu, self->fd, 0, page,
					    iova + 1));
	EXPECT_EQ(-EOVERFLOW, dmabuf_map_fixed(iommu, self->fd, 0, size,
					       UINT64_MAX));
	EXPECT_EQ(-EINVAL, dmabuf_map_fixed(iommu, self->fd, 0, page,
					    iova + SZ_2K));

	/* In parts, in any order, side by side. */
	EXPECT_EQ(0, dmabuf_map_fixed(iommu, self->fd, page, size - page,
				      iova));
	EXPECT_EQ(0, dmabuf_map_fixed(iommu, self->fd, 0, page,
				      iova + size - page));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
}

/* More than once in one IOAS, and after its fd is closed. */
TEST_F(map, repeatedly)
{
	struct iommu *iommu = self->dev.iommu;
	u64 iova[3];
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, self->size,
					&iova[i]));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova[1], self->size));
	EXPECT_EQ(0, close(self->fd));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova[0], self->size));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova[2], self->size));
	EXPECT_EQ(-EBADF, dmabuf_map(iommu, self->fd, 0, self->size, iova));
	self->fd = export_mixed(&self->dev);
}

TEST_F(map, two_ioases)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, page = self->dev.page;
	u64 iova, iova2 = 0, copy, part;
	u32 ioas2 = ioas_alloc(iommu);

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	ASSERT_EQ(0, dmabuf_map_flags(iommu, ioas2, DMABUF_RW, self->fd, 0,
				      size, &iova2));
	ASSERT_EQ(0, ioas_copy(iommu, ioas2, iova, size, &copy));
	ASSERT_EQ(0, ioas_copy(iommu, ioas2, iova + page, size - 2 * page,
			       &part));
	EXPECT_EQ(-EINVAL, ioas_copy(iommu, ioas2, iova, 0, &part));
	EXPECT_EQ(-ENOENT, ioas_copy(iommu, ioas2, iova, size + page, &part));
	EXPECT_EQ(-ENOENT, ioas_copy(iommu, ioas2, iova + size, page, &part));

	/* Each has a life of its own. */
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	EXPECT_EQ(0, ioas_unmap(iommu, ioas2, part, size - 2 * page));
	EXPECT_EQ(0, ioas_unmap(iommu, ioas2, iova2, size));
	EXPECT_EQ(0, ioas_unmap(iommu, ioas2, copy, size));
	ioas_destroy(iommu, ioas2);
}

/* Destroyed with what is mapped. */
TEST_F(map, ioas_destroyed)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, iova, copy;
	u32 ioas2 = ioas_alloc(iommu);

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	ASSERT_EQ(0, ioas_copy(iommu, ioas2, iova, size, &copy));
	ioas_destroy(iommu, ioas2);
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
}

/*
 * The device leaves the IOAS: closed, the mapping and the dma-buf stay for whom
 * has them, though nothing is behind them any more, not even when the device is
 * opened again.
 */
TEST_F(map, device_closed)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, iova, iova2;

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	vfio_pci_device_cleanup(self->dev.device);
	EXPECT_EQ(-ENODEV, dmabuf_map(iommu, self->fd, 0, size, &iova2));

	self->dev.device = vfio_pci_device_init(device_bdf, iommu);
	device_memory(self->dev.device, true);
	EXPECT_EQ(-ENODEV, dmabuf_map(iommu, self->fd, 0, size, &iova2));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));

	close(self->fd);
	self->fd = variant->export(&self->dev);
	ASSERT_LE(0, self->fd);
	EXPECT_EQ(0, try_map(self, 0, size));
}

/*
 * Revocation
 */

struct revocation {
	const char *(*missing)(struct dev *dev);
	/* Returns whether the buffer stays revoked until @end. */
	bool (*start)(struct dev *dev);
	void (*end)(struct dev *dev);
};

static const char *memory_missing(struct dev *dev)
{
	return device_is_vf(dev->device) ? "a VF's memory cannot be disabled" : NULL;
}

static bool memory_start(struct dev *dev)
{
	device_memory(dev->device, false);
	return true;
}

static void memory_end(struct dev *dev)
{
	device_memory(dev->device, true);
}

static const char *reset_missing(struct dev *dev)
{
	return device_can_reset(dev->device) ? NULL : "cannot be reset";
}

static bool reset_start(struct dev *dev)
{
	vfio_pci_device_reset(dev->device);
	return false;
}

/* That memory was enabled before a reset, it is after. */
static void reset_end(struct dev *dev)
{
}

static const char *flr_missing(struct dev *dev)
{
	return device_can_flr(dev->device) ? NULL : "no FLR";
}

static bool flr_start(struct dev *dev)
{
	device_flr(dev->device);
	return false;
}

/* Another function of the device that vfio-pci has, in @bdf. */
static bool find_sibling(char *bdf, size_t size)
{
	char path[PATH_MAX], driver[PATH_MAX];
	int i, len, self;
	ssize_t n;

	/* As in 0000:01:00.0 */
	len = strlen(device_bdf) - 1;
	self = device_bdf[len] - '0';
	for (i = 0; i < 8; i++) {
		snprintf_assert(bdf, size, "%.*s%d", len, device_bdf, i);
		snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/driver",
				bdf);
		n = readlink(path, driver, sizeof(driver) - 1);
		if (i == self || n < 0)
			continue;
		driver[n] = '\0';
		if (strstr(driver, "/vfio-pci"))
			return true;
	}
	return false;
}

static int hot_reset(struct vfio_pci_device *device)
{
	/* No fds: all that it resets is bound to the iommufd of @device. */
	struct vfio_pci_hot_reset reset = { .argsz = sizeof(reset) };

	return ioctl_errno(device->fd, VFIO_DEVICE_PCI_HOT_RESET, &reset);
}

static const char *hot_reset_missing(struct dev *dev)
{
	char bdf[32];

	return find_sibling(bdf, sizeof(bdf)) ?
	       NULL : "no other function with vfio-pci";
}

/* Asked for by another function: all functions of the slot or bus are reset. */
static bool hot_reset_start(struct dev *dev)
{
	struct vfio_pci_device *sibling;
	char bdf[32];

	VFIO_ASSERT_TRUE(find_sibling(bdf, sizeof(bdf)));
	sibling = vfio_pci_device_init(bdf, dev->iommu);
	VFIO_ASSERT_EQ(hot_reset(sibling), 0);
	vfio_pci_device_cleanup(sibling);
	return false;
}

static const char *low_power_missing(struct dev *dev)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
	};

	return ioctl(dev->device->fd, VFIO_DEVICE_FEATURE, &feature) ?
	       "no low power" : NULL;
}

static bool low_power_start(struct dev *dev)
{
	VFIO_ASSERT_EQ(device_low_power(dev->device, true), 0);
	return true;
}

static void low_power_end(struct dev *dev)
{
	VFIO_ASSERT_EQ(device_low_power(dev->device, false), 0);
}

FIXTURE(revoke) {
	struct dev dev;
	int fd;
	u64 size;
};

FIXTURE_VARIANT(revoke) {
	struct revocation by;
	int (*export)(struct dev *dev);
};

#define BY_MEMORY	{ memory_missing, memory_start, memory_end }
#define BY_RESET	{ reset_missing, reset_start, reset_end }
#define BY_FLR		{ flr_missing, flr_start, reset_end }
#define BY_HOT_RESET	{ hot_reset_missing, hot_reset_start, reset_end }
#define BY_LOW_POWER	{ low_power_missing, low_power_start, low_power_end }

FIXTURE_VARIANT_ADD(revoke, memory_one_range) {
	.by = BY_MEMORY,
	.export = export_bar,
};

FIXTURE_VARIANT_ADD(revoke, memory) {
	.by = BY_MEMORY,
	.export = export_mixed,
};

FIXTURE_VARIANT_ADD(revoke, reset) {
	.by = BY_RESET,
	.export = export_mixed,
};

FIXTURE_VARIANT_ADD(revoke, flr_by_guest) {
	.by = BY_FLR,
	.export = export_mixed,
};

FIXTURE_VARIANT_ADD(revoke, hot_reset_by_other) {
	.by = BY_HOT_RESET,
	.export = export_mixed,
};

FIXTURE_VARIANT_ADD(revoke, low_power) {
	.by = BY_LOW_POWER,
	.export = export_mixed,
};

FIXTURE_SETUP(revoke)
{
	const char *missing;

	self->fd = -1;
	if (!dev_open(&self->dev))
		SKIP(return, "no BAR of %u pages to mmap", MIN_PAGES);
	missing = variant->by.missing(&self->dev);
	if (missing)
		SKIP(return, "%s: %s", device_bdf, missing);
	self->fd = variant->export(&self->dev);
	ASSERT_LE(0, self->fd);
	self->size = lseek(self->fd, 0, SEEK_END);
}

FIXTURE_TEARDOWN(revoke)
{
	close(self->fd);
	dev_close(&self->dev);
}

/* What there is during and after a revoke, with a mapping at @iova. */
TEST_F(revoke, mapped)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, iova, iova2;
	bool revoked;
	int i;

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	EXPECT_EQ(1, dmabuf_maps(self->fd));
	for (i = 0; i < 3; i++) {
		revoked = variant->by.start(&self->dev);
		EXPECT_EQ(0, dmabuf_maps(self->fd));
		if (revoked) {
			EXPECT_EQ(-ENODEV, dmabuf_map(iommu, self->fd, 0, size,
						      &iova2));
			EXPECT_EQ(-ENODEV, dmabuf_map_fixed(iommu, self->fd, 0,
							    size, iova));
		}
		variant->by.end(&self->dev);
		EXPECT_EQ(0, dmabuf_maps(self->fd));

		/* The IOVA is still taken, and what is there is not touched. */
		EXPECT_EQ(-EEXIST, dmabuf_map_fixed(iommu, self->fd, 0, size,
						    iova));
		ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova2));
		EXPECT_NE(iova, iova2);
		EXPECT_EQ(0, dmabuf_unmap(iommu, iova2, size));

		/* The way back: unmap and map. */
		ASSERT_EQ(0, dmabuf_unmap(iommu, iova, size));
		ASSERT_EQ(0, dmabuf_map_fixed(iommu, self->fd, 0, size, iova));
		EXPECT_EQ(1, dmabuf_maps(self->fd));
	}
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	EXPECT_EQ(0, dmabuf_maps(self->fd));
}

/* To unmap and to close works while revoked, as at any time. */
TEST_F(revoke, unmapped_meanwhile)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, iova;

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	variant->by.start(&self->dev);
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	EXPECT_EQ(-ENOENT, dmabuf_unmap(iommu, iova, size));
	variant->by.end(&self->dev);
	EXPECT_EQ(0, dmabuf_map_fixed(iommu, self->fd, 0, size, iova));

	variant->by.start(&self->dev);
	close(self->fd);
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	variant->by.end(&self->dev);
	self->fd = variant->export(&self->dev);
	EXPECT_LE(0, self->fd);
}

/* All mappings in all IOASes, among them one that was already dead. */
TEST_F(revoke, many_mappings)
{
	struct iommu *iommu = self->dev.iommu;
	u64 size = self->size, page = self->dev.page;
	u64 iova, part, copy, iova2 = 0;
	u32 ioas2 = ioas_alloc(iommu);
	int i;

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, size, &iova));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, dmabuf_map(iommu, self->fd, page, size - page,
					&part));
		ASSERT_EQ(0, dmabuf_map_flags(iommu, ioas2, DMABUF_RW, self->fd,
					      0, size, &iova2));
		ASSERT_EQ(0, ioas_copy(iommu, ioas2, iova, size, &copy));
		EXPECT_EQ(i ? 2 : 3, dmabuf_maps(self->fd));
		variant->by.start(&self->dev);
		EXPECT_EQ(0, dmabuf_maps(self->fd));
		variant->by.end(&self->dev);
		EXPECT_EQ(0, dmabuf_unmap(iommu, part, size - page));
		EXPECT_EQ(0, ioas_unmap(iommu, ioas2, iova2, size));
		EXPECT_EQ(0, ioas_unmap(iommu, ioas2, copy, size));
		iova2 = 0;
	}
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, size));
	ioas_destroy(iommu, ioas2);
}

/* A buffer may be born revoked; it can be mapped once it is not. */
TEST_F(revoke, exported_meanwhile)
{
	struct iommu *iommu = self->dev.iommu;
	bool revoked;
	u64 iova;
	int fd;

	revoked = variant->by.start(&self->dev);
	fd = variant->export(&self->dev);
	ASSERT_LE(0, fd);
	if (revoked)
		EXPECT_EQ(-ENODEV, dmabuf_map(iommu, fd, 0, self->size, &iova));
	variant->by.end(&self->dev);
	ASSERT_EQ(0, dmabuf_map(iommu, fd, 0, self->size, &iova));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, self->size));
	close(fd);
}

/* Two reasons at once: the buffer comes back with the last one's end. */
TEST_F(revoke, and_memory_disabled)
{
	struct iommu *iommu = self->dev.iommu;
	u64 iova;
	int ret;

	if (device_is_vf(self->dev.device))
		SKIP(return, "a VF's memory cannot be disabled");

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, self->size, &iova));
	device_memory(self->dev.device, false);
	variant->by.start(&self->dev);
	variant->by.end(&self->dev);
	ret = dmabuf_map_fixed(iommu, self->fd, 0, self->size, iova);
	EXPECT_EQ(variant->by.end == memory_end ? -EEXIST : -ENODEV, ret);
	device_memory(self->dev.device, true);
	EXPECT_EQ(-EEXIST, dmabuf_map_fixed(iommu, self->fd, 0, self->size,
					    iova));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, self->size));
	EXPECT_EQ(0, dmabuf_map_fixed(iommu, self->fd, 0, self->size, iova));
}

/* Closed while revoked. */
TEST_F(revoke, device_closed_meanwhile)
{
	struct iommu *iommu = self->dev.iommu;
	u64 iova, iova2;

	ASSERT_EQ(0, dmabuf_map(iommu, self->fd, 0, self->size, &iova));
	variant->by.start(&self->dev);
	vfio_pci_device_cleanup(self->dev.device);
	EXPECT_EQ(-ENODEV, dmabuf_map(iommu, self->fd, 0, self->size, &iova2));
	EXPECT_EQ(0, dmabuf_unmap(iommu, iova, self->size));
	self->dev.device = vfio_pci_device_init(device_bdf, iommu);
}

/* Memory enable does nothing on a VF, so it is no reason to revoke. */
TEST_F(dmabuf, memory_of_vf)
{
	struct dev *dev = &self->dev;
	u64 iova, iova2;
	int fd, i;

	if (!device_is_vf(dev->device))
		SKIP(return, "not a VF");
	fd = export_bar(dev);
	ASSERT_LE(0, fd);
	if (dmabuf_maps(fd) < 0)
		SKIP(return, NO_BUFINFO);

	ASSERT_EQ(0, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	for (i = 0; i < 3; i++) {
		device_memory(dev->device, false);
		EXPECT_EQ(1, dmabuf_maps(fd));
		EXPECT_EQ(0, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova2));
		EXPECT_EQ(0, dmabuf_unmap(dev->iommu, iova2, dev->size));
		device_memory(dev->device, true);
		EXPECT_EQ(1, dmabuf_maps(fd));
	}
	EXPECT_EQ(0, dmabuf_unmap(dev->iommu, iova, dev->size));
	close(fd);
}

/*
 * In low power it stays revoked, whatever else would end a revoke: the device is
 * woken up for it, and goes to sleep again.
 */
TEST_F(dmabuf, low_power_stays)
{
	struct dev *dev = &self->dev;
	u64 iova;
	int fd;

	if (low_power_missing(dev))
		SKIP(return, "no low power");
	fd = export_bar(dev);
	ASSERT_LE(0, fd);

	low_power_start(dev);
	EXPECT_EQ(-ENODEV, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	device_memory(dev->device, true);
	EXPECT_EQ(-ENODEV, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	if (device_can_reset(dev->device))
		vfio_pci_device_reset(dev->device);
	EXPECT_EQ(-ENODEV, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	low_power_end(dev);
	EXPECT_EQ(0, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	close(fd);
}

static int low_power_with_wakeup(struct dev *dev, int eventfd)
{
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_low_power_entry_with_wakeup entry;
	} arg = {
		.feature.argsz = sizeof(arg),
		.feature.flags = VFIO_DEVICE_FEATURE_SET |
			VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
		.entry.wakeup_eventfd = eventfd,
	};

	return ioctl_errno(dev->device->fd, VFIO_DEVICE_FEATURE, &arg);
}

/* The kernel lets a device sleep some time after it may. */
static bool device_sleeps(struct vfio_pci_device *device)
{
	char path[PATH_MAX], status[16] = "";
	int fd, i;

	snprintf_assert(path, PATH_MAX,
			"/sys/bus/pci/devices/%s/power/runtime_status",
			device->bdf);
	for (i = 0; i < 200; i++) {
		fd = open(path, O_RDONLY);
		if (fd < 0)
			return false;
		if (read(fd, status, sizeof(status) - 1) < 0)
			status[0] = '\0';
		close(fd);
		if (!strncmp(status, "suspended", strlen("suspended")))
			return true;
		usleep(10000);
	}
	return false;
}

/* What wakes the device ends low power, and by that the revoke. */
TEST_F(dmabuf, low_power_wakeup)
{
	struct dev *dev = &self->dev;
	u64 iova, signals;
	int fd, efd;

	efd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, efd);
	fd = export_bar(dev);
	ASSERT_LE(0, fd);
	if (low_power_with_wakeup(dev, efd))
		SKIP(return, "no low power");
	EXPECT_EQ(-ENODEV, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));

	if (!device_sleeps(dev->device))
		SKIP(return, "the kernel does not suspend the device");
	vfio_pci_config_readw(dev->device, PCI_COMMAND);
	ASSERT_EQ(sizeof(signals), read(efd, &signals, sizeof(signals)));
	EXPECT_EQ(0, dmabuf_map(dev->iommu, fd, 0, dev->size, &iova));
	close(fd);
	close(efd);
}

/*
 * What the trace says of a refusal
 */

#define TRACE	"/sys/kernel/tracing/instances/vfio_dmabuf_test"

static int trace_enable(const char *event)
{
	char path[PATH_MAX];
	int fd, ret;

	snprintf_assert(path, PATH_MAX, TRACE "/events/%s/enable", event);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		return -errno;
	ret = write(fd, "1", 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

/* Is this how a line ends? */
static bool trace_has(const char *text)
{
	FILE *trace = fopen(TRACE "/trace", "r");
	char *line = NULL;
	bool found = false;
	size_t room = 0;

	if (!trace)
		return false;
	while (!found && getline(&line, &room, trace) > 0) {
		line[strcspn(line, "\n")] = '\0';
		found = strlen(line) > strlen(text) &&
			!strcmp(line + strlen(line) - strlen(text), text);
	}
	free(line);
	fclose(trace);
	return found;
}

TEST_F(dmabuf, refusals_are_traced)
{
	struct dev *dev = &self->dev;
	const struct vfio_region_dma_range ranges[] = {
		{ 0, dev->page },
		{ dev->size - dev->page, 2 * dev->page },
		{ 1, dev->page },
	};
	char text[256];
	u64 iova;
	int fd;

	/* That of a test which did not come to its end has old lines. */
	rmdir(TRACE);
	if (mkdir(TRACE, 0700))
		SKIP(return, "no tracefs");
	EXPECT_EQ(0, trace_enable("vfio_pci/vfio_pci_dma_buf_bad_range"));
	EXPECT_EQ(0, trace_enable("iommufd/iommufd_import_dmabuf"));
	EXPECT_EQ(0, trace_enable("dma_buf_interconnect/dma_buf_interconnect_attach"));

	/* Alignment is looked at first: it can be told without the BAR. */
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 3)));
	snprintf_assert(text, sizeof(text),
			"index=2 offset=0x1 length=0x%llx why=\"empty or not page aligned\"",
			(unsigned long long)dev->page);
	EXPECT_TRUE(trace_has(text));
	EXPECT_EQ(-EINVAL, try_fd(export_ranges(dev, ranges, 2)));
	snprintf_assert(text, sizeof(text),
			"index=1 offset=0x%llx length=0x%llx why=\"past the end of the region\"",
			(unsigned long long)ranges[1].offset,
			(unsigned long long)ranges[1].length);
	EXPECT_TRUE(trace_has(text));

	fd = export_bar(dev);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EINVAL,
		  dmabuf_map(dev->iommu, fd, dev->page, dev->size, &iova));
	snprintf_assert(text, sizeof(text), "size=0x%llx start=0x%llx length=0x%llx ret=-22",
			(unsigned long long)dev->size,
			(unsigned long long)dev->page,
			(unsigned long long)dev->size);
	EXPECT_TRUE(trace_has(text));

	if (!low_power_missing(dev)) {
		low_power_start(dev);
		EXPECT_EQ(-ENODEV, dmabuf_map(dev->iommu, fd, 0, dev->size,
					      &iova));
		EXPECT_TRUE(trace_has("interconnect=phys ret=-19"));
		low_power_end(dev);
	}
	close(fd);
	rmdir(TRACE);
}

/*
 * Killed, wherever it is
 */

#define KILLS	40

/* Every step that takes or gives something, forever. */
static void churn(void)
{
	struct dev dev;
	u64 iova, copy;
	u32 ioas2;
	int fd, i;

	VFIO_ASSERT_TRUE(dev_open(&dev));
	ioas2 = ioas_alloc(dev.iommu);

	for (i = 0; ; i++) {
		fd = i % 2 ? export_bar(&dev) : export_mixed(&dev);
		VFIO_ASSERT_GE(fd, 0);
		VFIO_ASSERT_EQ(dmabuf_map(dev.iommu, fd, 0, MIN_PAGES * dev.page,
					  &iova), 0);
		VFIO_ASSERT_EQ(ioas_copy(dev.iommu, ioas2, iova,
					 MIN_PAGES * dev.page, &copy), 0);
		if (i % 3 == 0 && device_can_reset(dev.device))
			vfio_pci_device_reset(dev.device);
		else
			device_memory(dev.device, false);
		if (i % 5)
			ioas_unmap(dev.iommu, ioas2, copy, MIN_PAGES * dev.page);
		device_memory(dev.device, true);
		if (i % 7)
			dmabuf_unmap(dev.iommu, iova, MIN_PAGES * dev.page);
		close(fd);
	}
}

static int kill_after(unsigned int usec)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		churn();
		_exit(KSFT_FAIL);
	}
	if (pid < 0)
		return -errno;

	usleep(usec);
	kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	/* It ends by itself only when something fails. */
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : -EPROTO;
}

TEST_F_TIMEOUT(dmabuf, killed, 240)
{
	int before = count_dmabufs();
	u64 iova;
	int i, fd;

	dev_close(&self->dev);
	srand(1);
	for (i = 0; i < KILLS; i++)
		ASSERT_EQ(0, kill_after(rand() % 200000));
	if (before < 0)
		TH_LOG("no debugfs: cannot see whether dma-bufs are left");
	else
		EXPECT_EQ(before, count_dmabufs());

	ASSERT_TRUE(dev_open(&self->dev));
	fd = export_mixed(&self->dev);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, dmabuf_map(self->dev.iommu, fd, 0,
				MIXED_PAGES * self->dev.page, &iova));
	if (before >= 0)
		EXPECT_EQ(before + 1, count_dmabufs());
	close(fd);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
