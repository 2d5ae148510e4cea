// SPDX-License-Identifier: GPL-2.0-only
/*
 * An importer with an sg_table does DMA to another device's BAR
 *
 * The engine is QEMU's edu, without a driver: the test importer attaches and maps
 * for it, and this program writes the DMA addresses that it is told to edu's
 * registers. As edu takes 100 ms for 4 KiB, what is large is for QEMU's virtio-blk,
 * also without a driver. The memory is BAR 2 of QEMU's ivshmem-plain, exported by
 * vfio-pci, without struct page. How it is mapped depends on where the two are:
 *
 *   under one switch	by the bus addresses of the BAR, one entry for each range,
 *			as long as no port redirects by ACS
 *   else		through the host bridge, by the IOMMU: one entry, an IOVA
 *
 * The engines have no driver that would set their DMA mask, so it is PCI's default
 * of 32 bits, which IOVA keeps to. A bus address does not care for the mask.
 */
#include "kselftest_harness.h"
#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "iov_test.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define EDU_ID		0x11e81234
#define VIRTIO_BLK_ID	0x10421af4
#define IVSHMEM_ID	0x11101af4
#define IVSHMEM_BAR	2

/* Seconds for one test: a transfer takes 100 ms, and emulation its time. */
#define TIMEOUT		240

#define P2P		DMA_BUF_IOV_TEST_ATTACH_P2P

static int sysfs_open(const char *bdf, const char *file, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, file);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* 0 where it cannot be read. */
static uint32_t config_read(const char *bdf, unsigned int reg)
{
	int fd = sysfs_open(bdf, "config", O_RDONLY);
	uint32_t value = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &value, sizeof(value), reg) != sizeof(value))
		value = 0;
	close(fd);
	return value;
}

static int config_write16(const char *bdf, unsigned int reg, uint16_t value)
{
	int fd = sysfs_open(bdf, "config", O_RDWR);
	int ret = 0;

	if (fd < 0)
		return fd;
	if (pwrite(fd, &value, sizeof(value), reg) != sizeof(value))
		ret = -EIO;
	close(fd);
	return ret;
}

/*
 * Where the devices are
 */

/* "/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0": the bridges above @bdf. */
static char *device_path(const char *bdf)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s", bdf);
	return realpath(path, NULL);
}

/* The bridge that both paths have in common, next to the devices. */
static bool common_bridge(const char *a, const char *b, char bdf[IOV_BDF_LEN])
{
	const char *start = a, *end = a;

	for (; *a && *a == *b; a++, b++) {
		if (*a != '/')
			continue;
		start = end;
		end = a;
	}

	/* "0000:00:01.0", but "pci0000:00" is the root. */
	snprintf(bdf, IOV_BDF_LEN, "%.*s", (int)(end - start - 1), start + 1);
	return bdf[4] == ':';
}

/* Does a port between @bdf and the bridge @top redirect requests to the root? */
static bool acs_redirects(const char *bdf)
{
	const uint32_t redirect = PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC;
	unsigned int pos = PCI_CFG_SPACE_SIZE;
	uint32_t header;

	while (pos >= PCI_CFG_SPACE_SIZE) {
		header = config_read(bdf, pos);
		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ACS)
			return config_read(bdf, pos + PCI_ACS_CAP) >> 16 &
			       redirect;
		pos = PCI_EXT_CAP_NEXT(header);
	}
	return false;
}

static bool path_redirects(const char *path, const char *top)
{
	char bdf[IOV_BDF_LEN];
	const char *p = strstr(path, top);

	/* What follows the bridge, without the device at the end. */
	while (p && (p = strchr(p, '/')) && strchr(++p, '/')) {
		snprintf(bdf, sizeof(bdf), "%.*s", (int)strcspn(p, "/"), p);
		if (acs_redirects(bdf))
			return true;
	}
	return false;
}

struct pair {
	char engine[IOV_BDF_LEN];
	char ivshmem[IOV_BDF_LEN];
	bool bus_addr;
};

static void look_at(struct pair *pair)
{
	char *engine = device_path(pair->engine);
	char *ivshmem = device_path(pair->ivshmem);
	char top[IOV_BDF_LEN];

	pair->bus_addr = engine && ivshmem &&
			 common_bridge(engine, ivshmem, top) &&
			 !path_redirects(engine, top) &&
			 !path_redirects(ivshmem, top);
	free(engine);
	free(ivshmem);
}

static uint64_t bar_size(const char *bdf, unsigned int bar)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/resource%u", bdf, bar);
	return stat(path, &st) ? 0 : st.st_size;
}

/* An @engine, and an ivshmem of at least @size */
static bool find_pair(struct pair *pair, uint32_t engine, uint64_t size,
		      bool bus_addr)
{
	struct dirent **d;
	bool found = false;
	int i, j, n;

	n = scandir(PCI_DEVICES, &d, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (config_read(d[i]->d_name, 0) != engine)
			continue;
		for (j = 0; j < n && !found; j++) {
			if (config_read(d[j]->d_name, 0) != IVSHMEM_ID ||
			    bar_size(d[j]->d_name, IVSHMEM_BAR) < size)
				continue;
			snprintf(pair->engine, IOV_BDF_LEN, "%.15s",
				 d[i]->d_name);
			snprintf(pair->ivshmem, IOV_BDF_LEN, "%.15s",
				 d[j]->d_name);
			look_at(pair);
			found = pair->bus_addr == bus_addr;
		}
	}

	for (i = 0; i < n; i++)
		free(d[i]);
	if (n >= 0)
		free(d);
	return found;
}

/* Where is the BAR on the bus? The same as for the CPU on a PC. */
static uint64_t bar_address(const char *bdf, unsigned int bar)
{
	uint64_t low = config_read(bdf, PCI_BASE_ADDRESS_0 + 4 * bar);
	uint64_t high = 0;

	if (low & PCI_BASE_ADDRESS_MEM_TYPE_64)
		high = config_read(bdf, PCI_BASE_ADDRESS_1 + 4 * bar);
	return high << 32 | (low & PCI_BASE_ADDRESS_MEM_MASK);
}

/*
 * An engine, without a driver
 */

/* Map @size bytes of its BAR @bar, and let it do DMA. */
static void *engine_open(const char *bdf, unsigned int bar, size_t size)
{
	char path[PATH_MAX];
	uint16_t command;
	void *regs;
	int fd;

	if (iov_has_driver(bdf) && iov_vfio_unbind(bdf))
		return NULL;
	/* This also makes the bridges above it pass on its requests. */
	snprintf(path, sizeof(path), PCI_DEVICES "%s/enable", bdf);
	if (iov_write_file(path, "1"))
		return NULL;
	command = config_read(bdf, PCI_COMMAND);
	if (config_write16(bdf, PCI_COMMAND, command | PCI_COMMAND_MASTER))
		return NULL;

	snprintf(path, sizeof(path), "resource%u", bar);
	fd = sysfs_open(bdf, path, O_RDWR);
	if (fd < 0)
		return NULL;
	regs = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return regs == MAP_FAILED ? NULL : regs;
}

static int engine_close(const char *bdf, void *regs, size_t size)
{
	uint16_t command = config_read(bdf, PCI_COMMAND);
	char path[PATH_MAX];
	int ret;

	if (regs)
		munmap(regs, size);
	ret = config_write16(bdf, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
	snprintf(path, sizeof(path), PCI_DEVICES "%s/enable", bdf);
	return iov_write_file(path, "0") ?: ret;
}

#define EDU_SIZE	0x100000
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	0x1
#define EDU_DMA_TO_BUS	0x2
#define EDU_BUFFER	0x40000

static void edu_write(void *regs, unsigned int reg, uint64_t value)
{
	__atomic_store_n((uint64_t *)(regs + reg), value, __ATOMIC_RELAXED);
}

static uint64_t edu_read(void *regs, unsigned int reg)
{
	return __atomic_load_n((uint64_t *)(regs + reg), __ATOMIC_RELAXED);
}

static int edu_dma(void *regs, uint64_t src, uint64_t dst, uint64_t count,
		   uint64_t cmd)
{
	int ms;

	edu_write(regs, EDU_DMA_SRC, src);
	edu_write(regs, EDU_DMA_DST, dst);
	edu_write(regs, EDU_DMA_COUNT, count);
	edu_write(regs, EDU_DMA_CMD, cmd | EDU_DMA_RUN);

	for (ms = 0; ms < 10000; ms++) {
		if (!(edu_read(regs, EDU_DMA_CMD) & EDU_DMA_RUN))
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

/*
 * The buffer
 */

static const struct iov_pages parts[] = { { 8, 2 }, { 3, 1 }, { 20, 3 }, { 19, 1 } };

#define NR_PAGES	7

FIXTURE(sg) {
	struct pair pair;
	struct iov_vfio memory;
	uint8_t *bar;
	uint8_t *expected;	/* in all of the BAR */
	size_t bar_size;
	uint64_t bar_address;
	void *edu;
	int imp;
	int fd;
	struct dma_buf_iov_test_range dma[NR_PAGES];
	int nr_dma;
	bool routed;		/* DMA by these addresses comes to the BAR */
	size_t page;
};

FIXTURE_VARIANT(sg) {
	bool bus_addr;
};

FIXTURE_VARIANT_ADD(sg, host_bridge) {
	.bus_addr = false,
};

FIXTURE_VARIANT_ADD(sg, bus_address) {
	.bus_addr = true,
};

static int export_parts(FIXTURE_DATA(sg) * self)
{
	struct vfio_region_dma_range ranges[ARRAY_SIZE(parts)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		ranges[i].offset = parts[i].first * self->page;
		ranges[i].length = parts[i].nr * self->page;
	}
	return iov_vfio_export(&self->memory, IVSHMEM_BAR, ranges,
			       ARRAY_SIZE(parts));
}

/* No two words are the same. */
static void fill(FIXTURE_DATA(sg) * self, uint32_t round)
{
	uint64_t *words = (void *)self->expected, i;

	for (i = 0; i < self->bar_size / sizeof(*words); i++)
		words[i] = (uint64_t)round << 32 | i;
	memcpy(self->bar, self->expected, self->bar_size);
}

/*
 * What emulation needs, and hardware does not: QEMU's switch does not route from
 * one port to the other, but hands all requests to the IOMMU. For them to come
 * back down, the IOMMU must not translate what the engine asks for.
 */
static int set_domain(const char *bdf, const char *type)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/iommu_group/type", bdf);
	return iov_write_file(path, type);
}

#define NO_ROUTE "the engine's IOMMU group cannot be made to pass on bus addresses"

/* Map, and learn the DMA addresses. */
static int map_sg(FIXTURE_DATA(sg) * self)
{
	int ret = importer_map_sg(self->imp, NULL);

	if (ret)
		return ret;
	self->nr_dma = importer_ranges(self->imp, 0, self->dma,
				       ARRAY_SIZE(self->dma));
	return self->nr_dma < 0 ? self->nr_dma : 0;
}

FIXTURE_SETUP(sg)
{
	struct dma_buf_iov_test_attach attach;

	self->imp = importer_open();
	if (self->imp < 0)
		SKIP(return, IMPORTER_HOWTO);
	if (!find_pair(&self->pair, EDU_ID, 0, variant->bus_addr))
		SKIP(return, "no edu and ivshmem that %s",
		     variant->bus_addr ? "a switch joins" : "are apart");

	self->page = iov_page_size();
	self->edu = engine_open(self->pair.engine, 0, EDU_SIZE);
	ASSERT_NE(NULL, self->edu);
	self->routed = !variant->bus_addr ||
		       !set_domain(self->pair.engine, "identity");
	ASSERT_EQ(0, iov_vfio_bind(self->pair.ivshmem));
	ASSERT_EQ(0, iov_vfio_open(&self->memory, self->pair.ivshmem));
	self->bar = iov_vfio_mmap(&self->memory, IVSHMEM_BAR, &self->bar_size);
	ASSERT_NE(NULL, self->bar);
	self->bar_address = bar_address(self->pair.ivshmem, IVSHMEM_BAR);
	self->expected = malloc(self->bar_size);
	ASSERT_NE(NULL, self->expected);
	fill(self, 1);
	self->fd = export_parts(self);
	ASSERT_LE(0, self->fd);
	importer_attach_init(&attach, self->fd, self->pair.engine, P2P);
	ASSERT_EQ(0, importer_attach(self->imp, &attach));
	ASSERT_EQ(0, map_sg(self));
}

FIXTURE_TEARDOWN(sg)
{
	close(self->imp);
	close(self->fd);
	munmap(self->bar, self->bar_size);
	free(self->expected);
	EXPECT_EQ(0, engine_close(self->pair.engine, self->edu, EDU_SIZE));
	if (variant->bus_addr && self->routed)
		EXPECT_EQ(0, set_domain(self->pair.engine, "auto"));
	EXPECT_EQ(0, iov_vfio_close(&self->memory));
}

/* Page number @nr of the buffer: where in the BAR, and by which DMA address? */
static uint64_t to_bar(FIXTURE_DATA(sg) * self, unsigned int nr)
{
	const struct iov_pages *part = parts;

	for (; nr >= part->nr; part++)
		nr -= part->nr;
	return (part->first + nr) * self->page;
}

static uint64_t to_dma(FIXTURE_DATA(sg) * self, unsigned int nr)
{
	const struct dma_buf_iov_test_range *dma = self->dma;
	uint64_t offset = nr * self->page, len;
	int i;

	for (i = 0; i < self->nr_dma; i++, dma++) {
		len = dma->end - dma->start + 1;
		if (offset < len)
			return dma->start + offset;
		offset -= len;
	}
	return 0;
}

/* edu copies a page of the buffer to another. */
static int dma_copy(FIXTURE_DATA(sg) * self, unsigned int from, unsigned int to)
{
	return edu_dma(self->edu, to_dma(self, from), EDU_BUFFER, self->page,
		       0) ?:
	       edu_dma(self->edu, EDU_BUFFER, to_dma(self, to), self->page,
		       EDU_DMA_TO_BUS);
}

static bool memory_right(FIXTURE_DATA(sg) * self)
{
	return !memcmp(self->bar, self->expected, self->bar_size);
}

/* All pages move on by @step; all of the BAR is compared each time. */
static int count_copied(FIXTURE_DATA(sg) * self, unsigned int step)
{
	unsigned int from, to;
	int nr = 0;

	for (from = 0; from < NR_PAGES; from++) {
		to = (from + step) % NR_PAGES;
		if (dma_copy(self, from, to))
			break;
		memcpy(self->expected + to_bar(self, to),
		       self->expected + to_bar(self, from), self->page);
		nr += memory_right(self);
	}
	return nr;
}

/* Nothing arrives of what is written. */
static bool is_dead(FIXTURE_DATA(sg) * self)
{
	return !dma_copy(self, 0, NR_PAGES - 1) && memory_right(self);
}

static uint64_t total(FIXTURE_DATA(sg) * self)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < self->nr_dma; i++)
		sum += self->dma[i].end - self->dma[i].start + 1;
	return sum;
}

TEST_F_TIMEOUT(sg, addresses, TIMEOUT)
{
	uint64_t bar_end = self->bar_address + self->bar_size;
	unsigned int i;

	EXPECT_EQ(NR_PAGES * self->page, total(self));
	if (variant->bus_addr) {
		ASSERT_EQ(ARRAY_SIZE(parts), self->nr_dma);
		for (i = 0; i < NR_PAGES; i++)
			EXPECT_EQ(self->bar_address + to_bar(self, i),
				  to_dma(self, i));
		return;
	}

	ASSERT_EQ(1, self->nr_dma);
	EXPECT_TRUE(self->dma[0].end < self->bar_address ||
		    self->dma[0].start >= bar_end);
	EXPECT_GE(UINT32_MAX, self->dma[0].end);
}

/* What RANGES reads of an sg_table, in parts and past its end. */
TEST_F_TIMEOUT(sg, ranges, TIMEOUT)
{
	struct dma_buf_iov_test_range one;
	int i;

	for (i = 0; i < self->nr_dma; i++) {
		ASSERT_EQ(1, importer_ranges(self->imp, i, &one, 1));
		EXPECT_EQ(self->dma[i].start, one.start);
		EXPECT_EQ(self->dma[i].end, one.end);
	}
	EXPECT_EQ(0, importer_ranges(self->imp, self->nr_dma, &one, 1));
	EXPECT_EQ(0, importer_ranges(self->imp, UINT32_MAX, &one, 1));
	EXPECT_EQ(0, importer_ranges(self->imp, 0, NULL, 0));
	EXPECT_EQ(-EFAULT, importer_ranges(self->imp, 0, NULL, 1));

	ASSERT_EQ(0, importer_unmap(self->imp));
	EXPECT_EQ(-ENXIO, importer_ranges(self->imp, 0, &one, 1));
}

TEST_F_TIMEOUT(sg, copies, TIMEOUT)
{
	if (!self->routed)
		SKIP(return, NO_ROUTE);

	EXPECT_EQ(NR_PAGES, count_copied(self, 1));
	fill(self, 2);
	EXPECT_EQ(NR_PAGES, count_copied(self, 4));
}

/* Through the IOMMU, DMA has no borders where the ranges have. */
TEST_F_TIMEOUT(sg, across_borders, TIMEOUT)
{
	uint64_t half = self->page / 2, i, from, to;

	if (variant->bus_addr)
		SKIP(return, "bus addresses of two ranges are not adjacent");

	ASSERT_EQ(0, edu_dma(self->edu, self->dma[0].start + half, EDU_BUFFER,
			     self->page, 0));
	ASSERT_EQ(0, edu_dma(self->edu, EDU_BUFFER,
			     self->dma[0].start + 5 * self->page + half,
			     self->page, EDU_DMA_TO_BUS));
	for (i = 0; i < self->page; i++) {
		from = half + i;
		to = from + 5 * self->page;
		self->expected[to_bar(self, to / self->page) + to % self->page] =
			self->expected[to_bar(self, from / self->page) +
				       from % self->page];
	}
	EXPECT_TRUE(memory_right(self));
}

TEST_F_TIMEOUT(sg, unmapped, TIMEOUT)
{
	if (variant->bus_addr)
		SKIP(return, "nothing but the BAR itself stops bus addresses");

	ASSERT_EQ(0, importer_unmap(self->imp));
	EXPECT_TRUE(is_dead(self));
	ASSERT_EQ(0, map_sg(self));
	EXPECT_EQ(NR_PAGES, count_copied(self, 1));
}

/*
 * The importer has let go for the @nr-th time. What edu was told leads nowhere,
 * where the IOMMU stands in the way; else it is for the importer not to use it.
 */
static void expect_revoked(struct __test_metadata *_metadata,
			   FIXTURE_DATA(sg) * self,
			   const FIXTURE_VARIANT(sg) * variant, unsigned int nr)
{
	struct dma_buf_iov_test_state state;
	struct dma_buf_iov_test_range one;

	EXPECT_EQ(0, importer_state(self->imp, &state));
	EXPECT_EQ(nr, state.unmapped);
	EXPECT_EQ(0, state.mapped);
	EXPECT_EQ(1, state.attached);
	EXPECT_EQ(-ENXIO, importer_ranges(self->imp, 0, &one, 1));
	EXPECT_TRUE(memory_right(self));
	if (!variant->bus_addr)
		EXPECT_TRUE(is_dead(self));
}

static void remap(struct __test_metadata *_metadata, FIXTURE_DATA(sg) * self)
{
	ASSERT_EQ(0, map_sg(self));
	if (self->routed)
		EXPECT_EQ(NR_PAGES, count_copied(self, 1));
}

TEST_F_TIMEOUT(sg, memory_disabled, TIMEOUT)
{
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		ASSERT_EQ(0, iov_vfio_memory(&self->memory, false));
		EXPECT_EQ(-ENODEV, importer_map_sg(self->imp, NULL));
		/* Either way there is nothing to be reached now. */
		EXPECT_EQ(0, dma_copy(self, 0, NR_PAGES - 1));
		ASSERT_EQ(0, iov_vfio_memory(&self->memory, true));
		expect_revoked(_metadata, self, variant, i);
		remap(_metadata, self);
	}
}

TEST_F_TIMEOUT(sg, reset, TIMEOUT)
{
	unsigned int i;
	int ret;

	for (i = 1; i <= 3; i++) {
		ret = iov_vfio_reset(&self->memory);
		if (ret == -EINVAL)
			SKIP(return, "%s cannot be reset", self->pair.ivshmem);
		ASSERT_EQ(0, ret);
		expect_revoked(_metadata, self, variant, i);
		remap(_metadata, self);
	}
}

TEST_F_TIMEOUT(sg, low_power, TIMEOUT)
{
	ASSERT_EQ(0, iov_vfio_low_power(&self->memory, true));
	EXPECT_EQ(-ENODEV, importer_map_sg(self->imp, NULL));
	/* ivshmem knows no D3: nothing but the IOMMU is in the way. */
	if (!variant->bus_addr)
		EXPECT_EQ(0, dma_copy(self, 0, NR_PAGES - 1));
	ASSERT_EQ(0, iov_vfio_low_power(&self->memory, false));
	expect_revoked(_metadata, self, variant, 1);
	remap(_metadata, self);
}

/*
 * What is large: from the BAR to a disk, and back to other places. The disk's
 * queue is in the BAR as well, so that all of its DMA is to it.
 */

#define LARGE		(64ULL << 20)
#define LARGE_PART	(16ULL << 20)
#define LARGE_PARTS	(LARGE / LARGE_PART)
#define LARGE_BAR	(2 * LARGE)
#define LARGE_SECTORS	(LARGE_PART / 512)

/* Where the parts of the buffer are in the BAR; the queue comes after them. */
static const unsigned int large_parts[LARGE_PARTS] = { 2, 0, 3, 1 };

#define BLK_SIZE	0x4000
#define BLK_QUEUE	4

/* One access each of what the device looks at or changes */
#define get(field)		__atomic_load_n(&(field), __ATOMIC_RELAXED)
#define set(field, value)	__atomic_store_n(&(field), value, __ATOMIC_RELAXED)

struct blk_queue {
	struct vring_desc desc[BLK_QUEUE];
	struct {
		uint16_t flags, idx, ring[BLK_QUEUE];
	} avail;
	struct {
		uint16_t flags, idx;
		struct vring_used_elem ring[BLK_QUEUE];
	} used;
	struct virtio_blk_outhdr header;
	uint8_t status;
};

FIXTURE(large) {
	struct pair pair;
	struct iov_vfio memory;
	uint8_t *bar;
	uint8_t *expected;
	size_t bar_size;
	void *regs;
	struct virtio_pci_common_cfg *common;
	uint16_t *notify;
	struct blk_queue *queue;
	int imp;
	int fd;
	struct dma_buf_iov_test_range dma[LARGE_PARTS + 1];
	int nr_dma;
	bool routed;
};

FIXTURE_VARIANT(large) {
	bool bus_addr;
};

FIXTURE_VARIANT_ADD(large, host_bridge) {
	.bus_addr = false,
};

FIXTURE_VARIANT_ADD(large, bus_address) {
	.bus_addr = true,
};

/* Where in config space virtio's capability of this type is, or 0 */
static unsigned int virtio_cap(const char *bdf, uint8_t type)
{
	unsigned int pos = config_read(bdf, PCI_CAPABILITY_LIST) & 0xfc;
	uint32_t header;

	while (pos) {
		header = config_read(bdf, pos);
		if ((header & 0xff) == PCI_CAP_ID_VNDR && header >> 24 == type)
			break;
		pos = header >> 8 & 0xfc;
	}
	return pos;
}

static uint64_t large_dma(FIXTURE_DATA(large) * self, uint64_t offset)
{
	const struct dma_buf_iov_test_range *dma = self->dma;
	int i;

	for (i = 0; i < self->nr_dma; i++, dma++) {
		if (offset <= dma->end - dma->start)
			return dma->start + offset;
		offset -= dma->end - dma->start + 1;
	}
	return 0;
}

#define QUEUE_DMA(self, field) \
	(large_dma(self, LARGE) + offsetof(struct blk_queue, field))

static int blk_start(FIXTURE_DATA(large) * self)
{
	struct virtio_pci_common_cfg *common;
	unsigned int cap = virtio_cap(self->pair.engine, VIRTIO_PCI_CAP_COMMON_CFG);
	unsigned int notify = virtio_cap(self->pair.engine,
					 VIRTIO_PCI_CAP_NOTIFY_CFG);
	unsigned int bar = config_read(self->pair.engine,
				       cap + VIRTIO_PCI_CAP_BAR) & 0xff;
	uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	if (!cap || !notify)
		return -ENODEV;
	self->regs = engine_open(self->pair.engine, bar, BLK_SIZE);
	if (!self->regs)
		return -ENODEV;

	common = self->regs +
		 config_read(self->pair.engine, cap + VIRTIO_PCI_CAP_OFFSET);
	self->common = common;
	set(common->device_status, 0);
	while (get(common->device_status))
		;
	set(common->device_status, status);
	set(common->guest_feature_select, 1);
	set(common->guest_feature, 1 << (VIRTIO_F_VERSION_1 - 32) |
				   1 << (VIRTIO_F_ACCESS_PLATFORM - 32));
	status |= VIRTIO_CONFIG_S_FEATURES_OK;
	set(common->device_status, status);
	if (get(common->device_status) != status)
		return -EOPNOTSUPP;

	set(common->queue_select, 0);
	set(common->queue_size, BLK_QUEUE);
	set(common->queue_desc_lo, QUEUE_DMA(self, desc));
	set(common->queue_desc_hi, QUEUE_DMA(self, desc) >> 32);
	set(common->queue_avail_lo, QUEUE_DMA(self, avail));
	set(common->queue_avail_hi, QUEUE_DMA(self, avail) >> 32);
	set(common->queue_used_lo, QUEUE_DMA(self, used));
	set(common->queue_used_hi, QUEUE_DMA(self, used) >> 32);
	set(common->queue_enable, 1);
	set(common->device_status, status | VIRTIO_CONFIG_S_DRIVER_OK);

	self->notify = self->regs +
		config_read(self->pair.engine, notify + VIRTIO_PCI_CAP_OFFSET) +
		get(common->queue_notify_off) *
		config_read(self->pair.engine, notify + VIRTIO_PCI_NOTIFY_CAP_MULT);
	return 0;
}

/* Copy between part @part of the buffer and part @disk of the disk, in one go. */
static int blk_copy(FIXTURE_DATA(large) * self, unsigned int part,
		    unsigned int disk, bool to_disk)
{
	struct blk_queue *queue = self->queue;
	uint16_t idx = queue->avail.idx + 1;
	unsigned int ms;

	queue->header.type = to_disk ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
	queue->header.sector = disk * LARGE_SECTORS;
	queue->status = 0xff;
	queue->desc[0].addr = QUEUE_DMA(self, header);
	queue->desc[0].len = sizeof(queue->header);
	queue->desc[0].flags = VRING_DESC_F_NEXT;
	queue->desc[0].next = 1;
	queue->desc[1].addr = large_dma(self, part * LARGE_PART);
	queue->desc[1].len = LARGE_PART;
	queue->desc[1].flags = VRING_DESC_F_NEXT |
			       (to_disk ? 0 : VRING_DESC_F_WRITE);
	queue->desc[1].next = 2;
	queue->desc[2].addr = QUEUE_DMA(self, status);
	queue->desc[2].len = sizeof(queue->status);
	queue->desc[2].flags = VRING_DESC_F_WRITE;
	queue->avail.ring[(idx - 1) % BLK_QUEUE] = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	set(queue->avail.idx, idx);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	set(*self->notify, 0);

	for (ms = 0; ms < IOV_PATIENCE * 1000; ms++) {
		if (get(queue->used.idx) == idx)
			return get(queue->status) ? -EIO : 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

static void large_fill(FIXTURE_DATA(large) * self, uint32_t round)
{
	uint64_t *words = (void *)self->expected, i;

	for (i = 0; i < LARGE / sizeof(*words); i++)
		words[i] = (uint64_t)round << 32 | i;
	memcpy(self->bar, self->expected, LARGE);
}

FIXTURE_SETUP(large)
{
	struct vfio_region_dma_range ranges[LARGE_PARTS + 1];
	struct dma_buf_iov_test_attach attach;
	unsigned int i;

	self->imp = importer_open();
	if (self->imp < 0)
		SKIP(return, IMPORTER_HOWTO);
	if (!find_pair(&self->pair, VIRTIO_BLK_ID, LARGE_BAR, variant->bus_addr))
		SKIP(return, "no virtio-blk and ivshmem of 128 MiB that %s",
		     variant->bus_addr ? "a switch joins" : "are apart");

	self->routed = !variant->bus_addr ||
		       !set_domain(self->pair.engine, "identity");
	ASSERT_EQ(0, iov_vfio_bind(self->pair.ivshmem));
	ASSERT_EQ(0, iov_vfio_open(&self->memory, self->pair.ivshmem));
	self->bar = iov_vfio_mmap(&self->memory, IVSHMEM_BAR, &self->bar_size);
	ASSERT_NE(NULL, self->bar);
	self->expected = malloc(LARGE);
	ASSERT_NE(NULL, self->expected);

	for (i = 0; i < LARGE_PARTS; i++) {
		ranges[i].offset = large_parts[i] * LARGE_PART;
		ranges[i].length = LARGE_PART;
	}
	ranges[i].offset = LARGE;
	ranges[i].length = iov_page_size();
	self->queue = (void *)(self->bar + LARGE);
	memset(self->bar + LARGE, 0, iov_page_size());

	self->fd = iov_vfio_export(&self->memory, IVSHMEM_BAR, ranges,
				   LARGE_PARTS + 1);
	ASSERT_LE(0, self->fd);
	importer_attach_init(&attach, self->fd, self->pair.engine, P2P);
	ASSERT_EQ(0, importer_attach(self->imp, &attach));
	ASSERT_EQ(0, importer_map_sg(self->imp, NULL));
	self->nr_dma = importer_ranges(self->imp, 0, self->dma,
				       ARRAY_SIZE(self->dma));
	ASSERT_EQ(variant->bus_addr ? LARGE_PARTS + 1 : 1, self->nr_dma);
	if (self->routed)
		ASSERT_EQ(0, blk_start(self));
}

FIXTURE_TEARDOWN(large)
{
	if (self->common)
		set(self->common->device_status, 0);
	if (self->regs)
		EXPECT_EQ(0, engine_close(self->pair.engine, self->regs, BLK_SIZE));
	close(self->imp);
	close(self->fd);
	munmap(self->bar, self->bar_size);
	free(self->expected);
	if (variant->bus_addr && self->routed)
		EXPECT_EQ(0, set_domain(self->pair.engine, "auto"));
	EXPECT_EQ(0, iov_vfio_close(&self->memory));
}

/* To the disk, and back, where each part goes to the place of the one before it. */
TEST_F_TIMEOUT(large, copies, TIMEOUT)
{
	const uint64_t *words = (void *)self->expected;
	unsigned int from, to, i;
	uint64_t j, first, bad = 0;

	if (!self->routed)
		SKIP(return, NO_ROUTE);

	large_fill(self, 1);
	for (i = 0; i < LARGE_PARTS; i++)
		ASSERT_EQ(0, blk_copy(self, i, i, true));
	EXPECT_EQ(0, memcmp(self->bar, self->expected, LARGE));

	large_fill(self, 2);
	for (i = 0; i < LARGE_PARTS; i++)
		ASSERT_EQ(0, blk_copy(self, i, (i + 1) % LARGE_PARTS, false));

	for (i = 0; i < LARGE_PARTS; i++) {
		to = large_parts[i];
		from = large_parts[(i + 1) % LARGE_PARTS];
		first = from * LARGE_PART / sizeof(*words);
		words = (void *)(self->bar + to * LARGE_PART);
		for (j = 0; j < LARGE_PART / sizeof(*words); j++)
			bad += words[j] != (1ULL << 32 | (first + j));
	}
	EXPECT_EQ(0, bad);
}

TEST_HARNESS_MAIN
