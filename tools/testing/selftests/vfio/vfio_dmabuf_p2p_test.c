// SPDX-License-Identifier: GPL-2.0-only
/*
 * One device does DMA to another's BAR, through a dma-buf and iommufd
 *
 * The engine is QEMU's edu: it copies up to 4 KiB at a time between DMA addresses
 * and a buffer of its own. The memory is BAR 2 of QEMU's ivshmem-plain. Each page
 * of it is filled with a pattern of its own, and after each transfer the CPU
 * compares all of it with what ought to be there, so what goes wrong is found,
 * wherever it went.
 *
 * Takes the BDFs of both, and of a second engine, or finds them. Where the DMA is
 * to fail the IOMMU driver logs a fault; edu does not notice and completes.
 */
#include <dirent.h>
#include <stdio.h>

#include <sys/mman.h>

#include <linux/io.h>

#include "kselftest_harness.h"
#include "vfio_dmabuf.h"

#define EDU_ID		0x11e81234
#define IVSHMEM_ID	0x11101af4
#define IVSHMEM_BAR	2

/* Seconds for one test: a transfer takes 100 ms, and emulation its time. */
#define TIMEOUT		240

static const char *edu_bdf, *edu2_bdf, *ivshmem_bdf;

/*
 * The engine
 */

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_DMA_RUN	0x1
#define EDU_DMA_TO_BUS	0x2
#define EDU_BUFFER	0x40000
#define EDU_MAX		4096

static void edu_write(struct vfio_pci_device *edu, u32 reg, u64 value)
{
	writeq(value, edu->bars[0].vaddr + reg);
}

static u64 edu_read(struct vfio_pci_device *edu, u32 reg)
{
	return readq(edu->bars[0].vaddr + reg);
}

static bool edu_running(struct vfio_pci_device *edu)
{
	return edu_read(edu, EDU_DMA_CMD) & EDU_DMA_RUN;
}

static void edu_wait(struct vfio_pci_device *edu)
{
	int ms;

	for (ms = 0; edu_running(edu); ms++) {
		VFIO_ASSERT_LT(ms, 10000, "edu does not complete");
		usleep(1000);
	}
}

static void edu_start(struct vfio_pci_device *edu, u64 src, u64 dst, u64 count,
		      u64 cmd)
{
	VFIO_ASSERT_LE(count, EDU_MAX);
	edu_write(edu, EDU_DMA_SRC, src);
	edu_write(edu, EDU_DMA_DST, dst);
	edu_write(edu, EDU_DMA_COUNT, count);
	edu_write(edu, EDU_DMA_CMD, cmd | EDU_DMA_RUN);
}

static void edu_dma(struct vfio_pci_device *edu, u64 src, u64 dst, u64 count,
		    u64 cmd)
{
	edu_start(edu, src, dst, count, cmd);
	edu_wait(edu);
}

/* Through the engine's buffer, whose contents only DMA can see. */
static void edu_copy(struct vfio_pci_device *edu, u64 src, u64 dst, u64 count)
{
	edu_dma(edu, src, EDU_BUFFER, count, 0);
	edu_dma(edu, EDU_BUFFER, dst, count, EDU_DMA_TO_BUS);
}

static struct vfio_pci_device *edu_open(const char *bdf, struct iommu *iommu)
{
	struct vfio_pci_device *edu = vfio_pci_device_init(bdf, iommu);

	device_set_command(edu, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	VFIO_ASSERT_NOT_NULL(edu->bars[0].vaddr);
	return edu;
}

/*
 * The memory, and what ought to be in it
 */

struct memory {
	struct vfio_pci_device *device;
	u8 *bar;
	u8 *expected;
	u64 size;
};

/* No two words are the same, and none is as in another @round. */
static void fill(void *to, u64 size, u32 round)
{
	u64 *words = to, i;

	for (i = 0; i < size / sizeof(*words); i++)
		words[i] = (u64)round << 32 | (i * 2654435761U & UINT32_MAX);
}

static void memory_fill(struct memory *memory, u32 round)
{
	fill(memory->expected, memory->size, round);
	memcpy(memory->bar, memory->expected, memory->size);
}

/* The offset of the first byte that is not as expected, or -1. */
static s64 memory_wrong(const struct memory *memory)
{
	u64 i = 0;

	if (!memcmp(memory->bar, memory->expected, memory->size))
		return -1;
	while (memory->bar[i] == memory->expected[i])
		i++;
	return i;
}

static void memory_open(struct memory *memory, const char *bdf,
			struct iommu *iommu)
{
	struct vfio_pci_bar *bar;

	memory->device = vfio_pci_device_init(bdf, iommu);
	device_memory(memory->device, true);
	bar = &memory->device->bars[IVSHMEM_BAR];
	VFIO_ASSERT_NOT_NULL(bar->vaddr);
	memory->bar = bar->vaddr;
	memory->size = bar->info.size;
	memory->expected = malloc(memory->size);
	VFIO_ASSERT_NOT_NULL(memory->expected);
}

static void memory_close(struct memory *memory)
{
	free(memory->expected);
	vfio_pci_device_cleanup(memory->device);
}

/*
 * The buffer: pages of the BAR, out of order, two ranges adjacent the wrong way
 * round and one the right way round, with pages in between that are not part of it.
 */

struct pages {
	u32 first;
	u32 nr;
};

static const struct pages mixed[] = {
	{ 8, 2 }, { 3, 1 }, { 20, 3 }, { 19, 1 }, { 40, 1 }, { 41, 1 },
	{ 0, 1 }, { 255, 1 },
};

static const struct pages single[] = {
	{ 5, 6 },
};

FIXTURE(p2p) {
	struct iommu *iommu;
	struct vfio_pci_device *edu;
	struct memory memory;
	struct dma_region ram;	/* two pages: source, destination */
	u32 round;
	u64 page;
	int fd;
	u64 size;		/* of the dma-buf */
	u64 iova;
};

FIXTURE_VARIANT(p2p) {
	const struct pages *pages;
	u32 nr;
};

FIXTURE_VARIANT_ADD(p2p, single) {
	.pages = single,
	.nr = ARRAY_SIZE(single),
};

FIXTURE_VARIANT_ADD(p2p, mixed) {
	.pages = mixed,
	.nr = ARRAY_SIZE(mixed),
};

static int export_pages(FIXTURE_DATA(p2p) * self, const struct pages *pages,
			u32 nr)
{
	struct vfio_region_dma_range ranges[16];
	u32 i;

	VFIO_ASSERT_LE(nr, ARRAY_SIZE(ranges));
	for (i = 0; i < nr; i++) {
		ranges[i].offset = pages[i].first * self->page;
		ranges[i].length = pages[i].nr * self->page;
	}

	return dmabuf_export(self->memory.device, IVSHMEM_BAR, ranges, nr);
}

static void map_ram(FIXTURE_DATA(p2p) * self)
{
	struct dma_region *ram = &self->ram;
	struct iova_allocator *allocator = iova_allocator_init(self->iommu);

	ram->size = 2 * self->page;
	ram->vaddr = mmap(NULL, ram->size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	VFIO_ASSERT_NE(ram->vaddr, MAP_FAILED);
	ram->iova = iova_allocator_alloc(allocator, ram->size);
	iova_allocator_cleanup(allocator);
	iommu_map(self->iommu, ram);
}

FIXTURE_SETUP(p2p)
{
	if (!edu_bdf || !ivshmem_bdf)
		SKIP(return, "no edu (1234:11e8) or no ivshmem (1af4:1110) with vfio-pci");

	self->page = page_size();
	self->iommu = iommu_init(MODE_IOMMUFD);
	self->edu = edu_open(edu_bdf, self->iommu);
	memory_open(&self->memory, ivshmem_bdf, self->iommu);
	ASSERT_LE(256 * self->page, self->memory.size);
	map_ram(self);

	self->fd = export_pages(self, variant->pages, variant->nr);
	ASSERT_LE(0, self->fd);
	self->size = lseek(self->fd, 0, SEEK_END);
	ASSERT_EQ(0, dmabuf_map(self->iommu, self->fd, 0, self->size,
				&self->iova));
	memory_fill(&self->memory, ++self->round);
}

FIXTURE_TEARDOWN(p2p)
{
	if (!self->iommu)
		return;

	close(self->fd);
	memory_close(&self->memory);
	vfio_pci_device_cleanup(self->edu);
	iommu_cleanup(self->iommu);
}

static void *ram_src(FIXTURE_DATA(p2p) * self)
{
	return self->ram.vaddr;
}

static void *ram_dst(FIXTURE_DATA(p2p) * self)
{
	return self->ram.vaddr + self->page;
}

/* Where in the BAR is this offset of the buffer? */
static u64 to_bar(FIXTURE_DATA(p2p) * self, const FIXTURE_VARIANT(p2p) * variant,
		  u64 offset)
{
	u64 len;
	u32 i;

	for (i = 0; i < variant->nr; i++) {
		len = variant->pages[i].nr * self->page;
		if (offset < len)
			return variant->pages[i].first * self->page + offset;
		offset -= len;
	}

	VFIO_FAIL("past the buffer");
}

/* Is what arrived from @offset of the buffer what is there? */
static bool arrived(FIXTURE_DATA(p2p) * self,
		    const FIXTURE_VARIANT(p2p) * variant, u64 offset, u64 count)
{
	u8 *data = ram_dst(self);
	u64 i;

	for (i = 0; i < count; i++)
		if (data[i] != self->memory.expected[to_bar(self, variant,
							    offset + i)])
			return false;
	return true;
}

static void expect_write(FIXTURE_DATA(p2p) * self,
			 const FIXTURE_VARIANT(p2p) * variant, u64 offset,
			 u64 count)
{
	u8 *data = ram_src(self);
	u64 i;

	for (i = 0; i < count; i++)
		self->memory.expected[to_bar(self, variant, offset + i)] =
			data[i];
}

/* From the buffer to RAM. */
static bool try_read(FIXTURE_DATA(p2p) * self,
		     const FIXTURE_VARIANT(p2p) * variant,
		     struct vfio_pci_device *edu, u64 iova, u64 offset,
		     u64 count)
{
	memset(ram_dst(self), 0x55, self->page);
	edu_copy(edu, iova + offset, to_iova(edu, ram_dst(self)), count);
	return arrived(self, variant, offset, count);
}

/* From RAM to the buffer. */
static bool try_write(FIXTURE_DATA(p2p) * self,
		      const FIXTURE_VARIANT(p2p) * variant,
		      struct vfio_pci_device *edu, u64 iova, u64 offset,
		      u64 count)
{
	fill(ram_src(self), self->page, ++self->round);
	edu_copy(edu, to_iova(edu, ram_src(self)), iova + offset, count);
	expect_write(self, variant, offset, count);
	return memory_wrong(&self->memory) < 0;
}

/* Both, wholly. */
static bool works(FIXTURE_DATA(p2p) * self,
		  const FIXTURE_VARIANT(p2p) * variant, u64 offset, u64 count)
{
	return try_read(self, variant, self->edu, self->iova, offset, count) &&
	       try_write(self, variant, self->edu, self->iova, offset, count);
}

/*
 * DMA to @iova reaches nothing: what is written does not change the memory, and
 * what is read is not what is there. The engine still works.
 */
static bool is_dead(FIXTURE_DATA(p2p) * self,
		    const FIXTURE_VARIANT(p2p) * variant, u64 iova)
{
	fill(ram_src(self), self->page, ++self->round);
	edu_copy(self->edu, to_iova(self->edu, ram_src(self)), iova,
		 self->page);
	if (memory_wrong(&self->memory) >= 0)
		return false;

	return !try_read(self, variant, self->edu, iova, 0, self->page);
}

/* Each page, in both directions. */
TEST_F_TIMEOUT(p2p, pages, TIMEOUT)
{
	u64 offset;

	for (offset = 0; offset < self->size; offset += self->page) {
		EXPECT_TRUE(try_read(self, variant, self->edu, self->iova,
				     offset, self->page));
		EXPECT_TRUE(try_write(self, variant, self->edu, self->iova,
				      offset, self->page));
		EXPECT_EQ(-1, memory_wrong(&self->memory));
	}
}

/* Around each border of pages, most of which are of ranges, too. */
TEST_F_TIMEOUT(p2p, borders, TIMEOUT)
{
	u64 offset;

	for (offset = self->page; offset < self->size; offset += self->page) {
		EXPECT_TRUE(works(self, variant, offset - 4, 8));
		EXPECT_TRUE(works(self, variant, offset - self->page / 2,
				  self->page));
		EXPECT_TRUE(works(self, variant, offset - self->page + 4,
				  self->page));
		EXPECT_EQ(-1, memory_wrong(&self->memory));
	}
	EXPECT_TRUE(works(self, variant, 0, 4));
	EXPECT_TRUE(works(self, variant, self->size - 4, 4));
	EXPECT_TRUE(works(self, variant, self->size - 1, 1));
}

/* From one part of the BAR to another, without RAM in between. */
TEST_F_TIMEOUT(p2p, within_memory, TIMEOUT)
{
	u64 last = self->size - self->page, i;

	edu_copy(self->edu, self->iova, self->iova + last, self->page);
	for (i = 0; i < self->page; i++)
		self->memory.expected[to_bar(self, variant, last + i)] =
			self->memory.expected[to_bar(self, variant, i)];
	EXPECT_EQ(-1, memory_wrong(&self->memory));
}

/* Next to the mapping there is nothing. */
TEST_F_TIMEOUT(p2p, outside, TIMEOUT)
{
	EXPECT_TRUE(is_dead(self, variant, self->iova + self->size));
	EXPECT_TRUE(is_dead(self, variant, self->iova - self->page));
	EXPECT_TRUE(works(self, variant, 0, self->page));
	EXPECT_TRUE(works(self, variant, self->size - self->page, self->page));
}

/* Only some pages are mapped, from the middle of the buffer. */
TEST_F_TIMEOUT(p2p, part, TIMEOUT)
{
	u64 part, offset = self->page, size = self->size - 2 * self->page;
	u64 last = size - self->page;

	ASSERT_EQ(0, dmabuf_unmap(self->iommu, self->iova, self->size));
	ASSERT_EQ(0, dmabuf_map(self->iommu, self->fd, offset, size, &part));

	/* Then the buffer's IOVA would begin here. */
	self->iova = part - offset;
	EXPECT_TRUE(works(self, variant, offset, self->page));
	EXPECT_TRUE(works(self, variant, offset + last, self->page));
	EXPECT_TRUE(works(self, variant, offset + self->page / 2, self->page));
	EXPECT_TRUE(is_dead(self, variant, self->iova));
	EXPECT_TRUE(is_dead(self, variant, part + size));
}

TEST_F_TIMEOUT(p2p, read_only, TIMEOUT)
{
	struct iommu *iommu = self->iommu;

	ASSERT_EQ(0, dmabuf_unmap(iommu, self->iova, self->size));
	ASSERT_EQ(0, dmabuf_map_flags(iommu, iommu->ioas_id,
				      IOMMU_IOAS_MAP_READABLE |
				      IOMMU_IOAS_MAP_FIXED_IOVA, self->fd, 0,
				      self->size, &self->iova));
	EXPECT_TRUE(try_read(self, variant, self->edu, self->iova, 0,
			     self->page));

	fill(ram_src(self), self->page, ++self->round);
	edu_copy(self->edu, to_iova(self->edu, ram_src(self)), self->iova,
		 self->page);
	EXPECT_EQ(-1, memory_wrong(&self->memory));
}

TEST_F_TIMEOUT(p2p, unmapped, TIMEOUT)
{
	ASSERT_TRUE(works(self, variant, 0, self->page));
	ASSERT_EQ(0, dmabuf_unmap(self->iommu, self->iova, self->size));
	EXPECT_TRUE(is_dead(self, variant, self->iova));
	ASSERT_EQ(0, dmabuf_map_fixed(self->iommu, self->fd, 0, self->size,
				      self->iova));
	EXPECT_TRUE(works(self, variant, 0, self->page));
}

/* The IOMMU outlives the file that was mapped. */
TEST_F_TIMEOUT(p2p, fd_closed, TIMEOUT)
{
	close(self->fd);
	EXPECT_TRUE(works(self, variant, 0, self->page));
	EXPECT_TRUE(works(self, variant, self->size - self->page, self->page));
	self->fd = -1;
}

/*
 * Revoked, DMA is stopped by the IOMMU, not only by the memory's being disabled:
 * so the BAR is there again when it is tried.
 */
static void after_revoke(struct __test_metadata *_metadata,
			 FIXTURE_DATA(p2p) * self,
			 const FIXTURE_VARIANT(p2p) * variant)
{
	u64 last = self->size - self->page;

	EXPECT_EQ(-1, memory_wrong(&self->memory));
	EXPECT_TRUE(is_dead(self, variant, self->iova));
	EXPECT_TRUE(is_dead(self, variant, self->iova + last));

	ASSERT_EQ(0, dmabuf_unmap(self->iommu, self->iova, self->size));
	ASSERT_EQ(0, dmabuf_map_fixed(self->iommu, self->fd, 0, self->size,
				      self->iova));
	EXPECT_TRUE(works(self, variant, 0, self->page));
	EXPECT_TRUE(works(self, variant, last, self->page));
}

TEST_F_TIMEOUT(p2p, memory_disabled, TIMEOUT)
{
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(works(self, variant, 0, self->page));
		device_memory(self->memory.device, false);

		/* There is neither a BAR nor a translation. */
		fill(ram_src(self), self->page, ++self->round);
		edu_copy(self->edu, to_iova(self->edu, ram_src(self)),
			 self->iova, self->page);

		device_memory(self->memory.device, true);
		after_revoke(_metadata, self, variant);
	}
}

TEST_F_TIMEOUT(p2p, reset, TIMEOUT)
{
	int i;

	if (!device_can_reset(self->memory.device))
		SKIP(return, "%s cannot be reset", ivshmem_bdf);

	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(works(self, variant, 0, self->page));
		vfio_pci_device_reset(self->memory.device);
		after_revoke(_metadata, self, variant);
	}
}

TEST_F_TIMEOUT(p2p, low_power, TIMEOUT)
{
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(works(self, variant, 0, self->page));
		ASSERT_EQ(0, device_low_power(self->memory.device, true));

		/* It knows no D3: nothing but the IOMMU is in the way. */
		fill(ram_src(self), self->page, ++self->round);
		edu_copy(self->edu, to_iova(self->edu, ram_src(self)),
			 self->iova, self->page);

		ASSERT_EQ(0, device_low_power(self->memory.device, false));
		after_revoke(_metadata, self, variant);
	}
}

/* Its memory goes away from under the engine, which then works without. */
TEST_F_TIMEOUT(p2p, memory_closed, TIMEOUT)
{
	ASSERT_TRUE(works(self, variant, 0, self->page));
	free(self->memory.expected);
	vfio_pci_device_cleanup(self->memory.device);
	memory_open(&self->memory, ivshmem_bdf, self->iommu);
	memory_fill(&self->memory, ++self->round);

	EXPECT_TRUE(is_dead(self, variant, self->iova));
	close(self->fd);
	ASSERT_EQ(0, dmabuf_unmap(self->iommu, self->iova, self->size));

	self->fd = export_pages(self, variant->pages, variant->nr);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, dmabuf_map_fixed(self->iommu, self->fd, 0, self->size,
				      self->iova));
	EXPECT_TRUE(works(self, variant, 0, self->page));
}

#define RUNNING_TRIES	40

/*
 * Revoked in the middle of a transfer, of which nothing may arrive from then on.
 * The engine takes its time: nearly always it has not begun yet.
 */
TEST_F_TIMEOUT(p2p, revoked_while_running, TIMEOUT)
{
	u64 src = to_iova(self->edu, ram_src(self));
	int i, nr = 0;
	bool running;

	for (i = 0; i < RUNNING_TRIES && nr < 4; i++) {
		fill(ram_src(self), self->page, ++self->round);
		edu_dma(self->edu, src, EDU_BUFFER, self->page, 0);
		edu_start(self->edu, EDU_BUFFER, self->iova, self->page,
			  EDU_DMA_TO_BUS);
		usleep(i % 4 * 1000);
		device_memory(self->memory.device, false);
		running = edu_running(self->edu);
		device_memory(self->memory.device, true);

		edu_wait(self->edu);
		nr += running;
		if (!running)
			memory_fill(&self->memory, ++self->round);
		after_revoke(_metadata, self, variant);
	}
	if (!nr)
		SKIP(return, "too slow: the engine was done each time");
}

/*
 * An offset in the buffer is not one in the BAR: what is between two ranges is not
 * part of the buffer, so from the second one on they differ.
 */
TEST_F_TIMEOUT(p2p, hole_in_bar, TIMEOUT)
{
	static const struct pages pages[] = { { 0, 8 }, { 9, 7 } };
	u64 page = self->page, size = 15 * page, iova, i;
	static const u64 in_bar[] = { 0, 7, 9, 10, 15 };
	static const u64 in_buffer[] = { 0, 7, 8, 9, 14 };
	int fd;

	fd = export_pages(self, pages, ARRAY_SIZE(pages));
	ASSERT_LE(0, fd);
	ASSERT_EQ(size, lseek(fd, 0, SEEK_END));
	for (i = 0; i < ARRAY_SIZE(in_bar); i++) {
		ASSERT_EQ(0, dmabuf_map(self->iommu, fd, in_buffer[i] * page,
					page, &iova));
		memset(ram_dst(self), 0x55, page);
		edu_copy(self->edu, iova, to_iova(self->edu, ram_dst(self)),
			 page);
		EXPECT_EQ(0, memcmp(ram_dst(self),
				    self->memory.expected + in_bar[i] * page,
				    page));
		EXPECT_EQ(0, dmabuf_unmap(self->iommu, iova, page));
	}
	/* The BAR goes on, the buffer does not. */
	EXPECT_EQ(-EINVAL, dmabuf_map(self->iommu, fd, size, page, &iova));
	close(fd);
}

static int attach_ioas(struct vfio_pci_device *device, u32 ioas_id)
{
	struct vfio_device_attach_iommufd_pt args = {
		.argsz = sizeof(args),
		.pt_id = ioas_id,
	};

	return ioctl_errno(device->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &args);
}

/*
 * Another engine with an IOAS and a domain of its own, to which the mapping and
 * RAM are copied. What is revoked is revoked for both.
 */
TEST_F_TIMEOUT(p2p, two_engines, TIMEOUT)
{
	u64 iova, ram_iova, i, last = self->size - self->page;
	struct vfio_pci_device *edu2;
	u32 ioas2;

	if (!edu2_bdf)
		SKIP(return, "no second edu with vfio-pci");

	edu2 = edu_open(edu2_bdf, self->iommu);
	ioas2 = ioas_alloc(self->iommu);
	ASSERT_EQ(0, attach_ioas(edu2, ioas2));
	ASSERT_EQ(0, ioas_copy(self->iommu, ioas2, self->iova, self->size,
			       &iova));
	ASSERT_EQ(0, ioas_copy(self->iommu, ioas2, self->ram.iova,
			       self->ram.size, &ram_iova));

	/* The first engine reads what the second wrote. */
	fill(ram_src(self), self->page, ++self->round);
	for (i = 0; i <= last; i += last) {
		edu_copy(edu2, ram_iova, iova + i, self->page);
		expect_write(self, variant, i, self->page);
		EXPECT_EQ(-1, memory_wrong(&self->memory));
		EXPECT_TRUE(try_read(self, variant, self->edu, self->iova, i,
				     self->page));
	}

	device_memory(self->memory.device, false);
	device_memory(self->memory.device, true);
	fill(ram_src(self), self->page, ++self->round);
	edu_copy(edu2, ram_iova, iova, self->page);
	EXPECT_EQ(-1, memory_wrong(&self->memory));
	EXPECT_TRUE(is_dead(self, variant, self->iova));

	vfio_pci_device_cleanup(edu2);
}

/*
 * Which devices
 */

static u32 pci_id(const char *bdf)
{
	char path[PATH_MAX];
	u32 id = 0;
	int fd;

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	if (pread(fd, &id, sizeof(id), PCI_VENDOR_ID) != sizeof(id))
		id = 0;
	close(fd);
	return id;
}

static bool on_vfio(const char *bdf)
{
	char *driver = sysfs_driver_get(bdf);
	bool ret = driver && !strcmp(driver, "vfio-pci");

	free(driver);
	return ret;
}

static void take(const char *bdf)
{
	u32 id = pci_id(bdf);

	if (!on_vfio(bdf))
		return;
	if (id == IVSHMEM_ID && !ivshmem_bdf)
		ivshmem_bdf = strdup(bdf);
	else if (id == EDU_ID && !edu_bdf)
		edu_bdf = strdup(bdf);
	else if (id == EDU_ID && !edu2_bdf && strcmp(bdf, edu_bdf))
		edu2_bdf = strdup(bdf);
}

static void take_all(void)
{
	struct dirent **entries;
	int i, n;

	n = scandir("/sys/bus/pci/devices", &entries, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.')
			take(entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

static bool is_bdf(const char *arg)
{
	return arg[0] != '-' && strchr(arg, ':');
}

/* BDFs come last. */
static int take_args(int argc, char *argv[])
{
	int i, end = argc;

	while (argc > 1 && is_bdf(argv[argc - 1]))
		argc--;
	for (i = argc; i < end; i++)
		take(argv[i]);
	return argc;
}

int main(int argc, char *argv[])
{
	argc = take_args(argc, argv);
	take_all();
	return test_harness_run(argc, argv);
}
