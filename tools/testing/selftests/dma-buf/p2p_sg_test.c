// SPDX-License-Identifier: GPL-2.0-only
/*
 * An importer with an sg_table does DMA to another device's BAR
 *
 * The engine is QEMU's edu, without a driver: the test importer attaches and maps
 * for it, and this program writes the DMA addresses that it is told to edu's
 * registers. The memory is BAR 2 of QEMU's ivshmem-plain, exported by vfio-pci,
 * without struct page. How it is mapped depends on where the two are:
 *
 *   under one switch	by the bus addresses of the BAR, one entry for each range,
 *			as long as no port redirects by ACS
 *   else		through the host bridge, by the IOMMU: one entry, an IOVA
 *
 * edu has no driver that would set its DMA mask, so it is PCI's default of 32
 * bits, which IOVA keeps to. A bus address does not care for the mask.
 */
#include "kselftest_harness.h"
#include <dirent.h>
#include <limits.h>
#include <sys/mman.h>

#include <linux/pci_regs.h>

#include "iov_test.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define EDU_ID		0x11e81234
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
	char edu[IOV_BDF_LEN];
	char ivshmem[IOV_BDF_LEN];
	bool bus_addr;
};

static void look_at(struct pair *pair)
{
	char *edu = device_path(pair->edu), *ivshmem = device_path(pair->ivshmem);
	char top[IOV_BDF_LEN];

	pair->bus_addr = edu && ivshmem && common_bridge(edu, ivshmem, top) &&
			 !path_redirects(edu, top) &&
			 !path_redirects(ivshmem, top);
	free(edu);
	free(ivshmem);
}

static bool find_pair(struct pair *pair, bool bus_addr)
{
	struct dirent **d;
	bool found = false;
	int i, j, n;

	n = scandir(PCI_DEVICES, &d, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (config_read(d[i]->d_name, 0) != EDU_ID)
			continue;
		for (j = 0; j < n && !found; j++) {
			if (config_read(d[j]->d_name, 0) != IVSHMEM_ID)
				continue;
			snprintf(pair->edu, IOV_BDF_LEN, "%.15s", d[i]->d_name);
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
 * The engine, without a driver
 */

#define EDU_SIZE	0x100000
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	0x1
#define EDU_DMA_TO_BUS	0x2
#define EDU_BUFFER	0x40000

static void *edu_open(const char *bdf)
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

	fd = sysfs_open(bdf, "resource0", O_RDWR);
	if (fd < 0)
		return NULL;
	regs = mmap(NULL, EDU_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return regs == MAP_FAILED ? NULL : regs;
}

static int edu_close(const char *bdf, void *regs)
{
	uint16_t command = config_read(bdf, PCI_COMMAND);
	char path[PATH_MAX];
	int ret;

	if (regs)
		munmap(regs, EDU_SIZE);
	ret = config_write16(bdf, PCI_COMMAND, command & ~PCI_COMMAND_MASTER);
	snprintf(path, sizeof(path), PCI_DEVICES "%s/enable", bdf);
	return iov_write_file(path, "0") ?: ret;
}

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
 * back down, the IOMMU must not translate what edu asks for.
 */
static int set_domain(const char *bdf, const char *type)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/iommu_group/type", bdf);
	return iov_write_file(path, type);
}

#define NO_ROUTE "edu's IOMMU group cannot be made to pass on bus addresses"

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
	if (!find_pair(&self->pair, variant->bus_addr))
		SKIP(return, "no edu and ivshmem that %s",
		     variant->bus_addr ? "a switch joins" : "are apart");

	self->page = iov_page_size();
	self->edu = edu_open(self->pair.edu);
	ASSERT_NE(NULL, self->edu);
	self->routed = !variant->bus_addr ||
		       !set_domain(self->pair.edu, "identity");
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
	importer_attach_init(&attach, self->fd, self->pair.edu, P2P);
	ASSERT_EQ(0, importer_attach(self->imp, &attach));
	ASSERT_EQ(0, map_sg(self));
}

FIXTURE_TEARDOWN(sg)
{
	close(self->imp);
	close(self->fd);
	munmap(self->bar, self->bar_size);
	free(self->expected);
	EXPECT_EQ(0, edu_close(self->pair.edu, self->edu));
	if (variant->bus_addr && self->routed)
		EXPECT_EQ(0, set_domain(self->pair.edu, "auto"));
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

TEST_HARNESS_MAIN
