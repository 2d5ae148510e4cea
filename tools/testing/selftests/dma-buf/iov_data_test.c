// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PF finds in its own memory what the VF wrote, and the other way round
 *
 * The VF's side is vfio's mapping of a BAR. The importer's side is a window: the
 * PF's driver knows where in the PF's memory the VF's is, and reaches it there.
 * iov_shared_find() says which memory that is.
 */
#include "kselftest_harness.h"
#include <sys/mman.h>

#include "iov_test.h"

#define MAX_WORDS	16
#define MAX_PARTS	4
#define MAX_AT		4

/* Buffers that contain the page with the shared memory, and where. */
FIXTURE(data) {
	struct iov_test t;
	struct iov_shared shared;
	uint32_t *memory;	/* the VF's mapping of it */
	unsigned int nr_words;
	void *bar;
	size_t size;
	int fd;
	uint64_t at[MAX_AT];	/* where it is in the buffer, in bytes */
	unsigned int nr_at;
};

/*
 * The parts are of four pages, one of which has the shared memory: which one it is
 * depends on the device.
 */
FIXTURE_VARIANT(data) {
	struct iov_pages parts[MAX_PARTS];
	unsigned int nr_parts;
};

/* Only that page, whichever it is. */
FIXTURE_VARIANT_ADD(data, page) {
	.nr_parts = 0,
};

FIXTURE_VARIANT_ADD(data, four) {
	.parts = { { 0, 4 } },
	.nr_parts = 1,
};

FIXTURE_VARIANT_ADD(data, unordered) {
	.parts = { { 3, 1 }, { 1, 2 }, { 0, 1 } },
	.nr_parts = 3,
};

FIXTURE_VARIANT_ADD(data, thrice) {
	.parts = { { 0, 4 }, { 0, 4 }, { 2, 1 }, { 0, 4 } },
	.nr_parts = 4,
};

/* Export parts of the BAR around its page @page, and find that in the buffer. */
static int export_around(FIXTURE_DATA(data) * self,
			 const FIXTURE_VARIANT(data) * variant,
			 uint64_t page)
{
	const struct iov_pages only = { page % 4, 1 };
	const struct iov_pages *part = variant->nr_parts ? variant->parts : &only;
	unsigned int nr = variant->nr_parts ?: 1, i;
	struct vfio_region_dma_range ranges[MAX_PARTS];
	uint64_t pages = 0;

	for (i = 0; i < nr; i++, part++) {
		if (page % 4 - part->first < part->nr)
			self->at[self->nr_at++] = (pages + page % 4 - part->first) *
						  iov_page_size() +
						  self->shared.window.vf_offset %
						  iov_page_size();
		pages += part->nr;
		ranges[i].offset = (page / 4 * 4 + part->first) * iov_page_size();
		ranges[i].length = part->nr * iov_page_size();
	}
	return iov_vfio_export(&self->t.vf, self->shared.window.vf_bar, ranges,
			       nr);
}

FIXTURE_SETUP(data)
{
	const char *missing = iov_test_missing(&self->t);
	struct dma_buf_iov_test_window *window = &self->shared.window;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	if (iov_shared_find(&self->t.vf, &self->shared)) {
		iov_vfio_close(&self->t.vf);
		SKIP(return, IOV_NO_SHARED);
	}

	self->bar = iov_vfio_mmap(&self->t.vf, window->vf_bar, &self->size);
	ASSERT_NE(NULL, self->bar);
	if (variant->nr_parts && self->size < 4 * iov_page_size()) {
		munmap(self->bar, self->size);
		iov_vfio_close(&self->t.vf);
		SKIP(return, "BAR %u has no four pages", window->vf_bar);
	}
	self->memory = self->bar + window->vf_offset;
	self->nr_words = window->size / sizeof(uint32_t);
	ASSERT_GE(MAX_WORDS, self->nr_words);

	self->fd = export_around(self, variant,
				 window->vf_offset / iov_page_size());
	ASSERT_GE(self->fd, 0);
	ASSERT_LT(0, self->nr_at);
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->fd, self->t.pf,
					 window->vf_bar, 0, NULL));
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	ASSERT_EQ(0, importer_window(self->t.imp, window));
}

FIXTURE_TEARDOWN(data)
{
	munmap(self->bar, self->size);
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

/* A word that differs for each writer and index, as far as the memory keeps it. */
static uint32_t word(const struct iov_shared *shared, uint8_t who, uint8_t index)
{
	return iov_shared_keeps(shared, index, who << 24 | (0xff - index) << 16 |
						0xa5 << 8 | index << 2);
}

TEST_F(data, vf_to_pf)
{
	uint32_t words[MAX_WORDS];
	unsigned int at, i;

	for (at = 0; at < self->nr_at; at++) {
		for (i = 0; i < self->nr_words; i++)
			iov_write32(&self->memory[i],
				    word(&self->shared, 1 + at, i));

		memset(words, 0, sizeof(words));
		EXPECT_EQ(0, importer_read(self->t.imp, self->at[at], words,
					   self->shared.window.size));
		for (i = 0; i < self->nr_words; i++)
			EXPECT_EQ(word(&self->shared, 1 + at, i), words[i]);
	}
}

TEST_F(data, pf_to_vf)
{
	uint32_t words[MAX_WORDS];
	unsigned int at, i;

	for (at = 0; at < self->nr_at; at++) {
		for (i = 0; i < self->nr_words; i++)
			words[i] = word(&self->shared, 11 + at, i);

		EXPECT_EQ(0, importer_write(self->t.imp, self->at[at], words,
					    self->shared.window.size));
		for (i = 0; i < self->nr_words; i++)
			EXPECT_EQ(word(&self->shared, 11 + at, i),
				  iov_read32(&self->memory[i]));
	}
}

/* One word at a time: no other is touched. */
TEST_F(data, words)
{
	const struct iov_shared *shared = &self->shared;
	uint64_t start = self->at[0];
	uint32_t value;
	unsigned int i;

	for (i = 0; i < self->nr_words; i++)
		iov_write32(&self->memory[i], word(shared, 21, i));

	for (i = 0; i < self->nr_words; i += 3) {
		value = word(shared, 22, i);
		EXPECT_EQ(0, importer_write(self->t.imp, start + 4 * i, &value,
					    sizeof(value)));
	}

	for (i = 0; i < self->nr_words; i++) {
		EXPECT_EQ(word(shared, i % 3 ? 21 : 22, i),
			  iov_read32(&self->memory[i]));
		EXPECT_EQ(0, importer_read(self->t.imp, start + 4 * i, &value,
					   sizeof(value)));
		EXPECT_EQ(word(shared, i % 3 ? 21 : 22, i), value);
	}
}

/* The PF reaches what is behind the window, to the word, and nothing else. */
TEST_F(data, outside)
{
	uint64_t start = self->at[0], end = start + self->shared.window.size;
	uint64_t size = lseek(self->fd, 0, SEEK_END);
	unsigned int last = self->nr_words - 1, i;
	uint32_t words[MAX_WORDS + 1] = {};
	int imp = self->t.imp;

	for (i = 0; i <= last; i++)
		iov_write32(&self->memory[i], word(&self->shared, 31, i));

	EXPECT_EQ(-ERANGE, importer_write(imp, start - 4, words, 4));
	EXPECT_EQ(-ERANGE, importer_write(imp, start - 4, words, 8));
	EXPECT_EQ(-ERANGE, importer_write(imp, end, words, 4));
	EXPECT_EQ(-ERANGE, importer_write(imp, end - 4, words, 8));
	EXPECT_EQ(-ERANGE, importer_write(imp, start, words, end - start + 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, size, words, 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, size + start, words, 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, UINT64_MAX - 3, words, 4));

	/* What was refused has written nothing, and the rest still works. */
	for (i = 0; i <= last; i++)
		EXPECT_EQ(word(&self->shared, 31, i),
			  iov_read32(&self->memory[i]));
	EXPECT_EQ(0, importer_read(imp, end - 4, words, 4));
	EXPECT_EQ(word(&self->shared, 31, last), words[0]);
}

/* Without a mapping there is nothing to reach, even with the window set. */
TEST_F(data, unmapped)
{
	uint64_t start = self->at[0];
	uint32_t value;

	EXPECT_EQ(0, importer_read(self->t.imp, start, &value, 4));
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	EXPECT_EQ(-ENXIO, importer_read(self->t.imp, start, &value, 4));
	EXPECT_EQ(-ENXIO, importer_write(self->t.imp, start, &value, 4));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_read(self->t.imp, start, &value, 4));
}

/*
 * Windows, and more than one VF
 */

FIXTURE(window) {
	struct iov_test t;
	struct iov_shared shared;
	uint64_t offset;	/* of the page in the BAR, and */
	uint64_t at;		/* of a word in the page */
	int fd;
};

/* A dma-buf of the page with the shared memory. */
static int export_shared(FIXTURE_DATA(window) * self, const struct iov_vfio *vf)
{
	return iov_vfio_export_one(vf, self->shared.window.vf_bar, self->offset,
				   iov_page_size());
}

static int attach_and_map(FIXTURE_DATA(window) * self, int imp, int fd)
{
	return importer_attach_iov(imp, fd, self->t.pf,
				   self->shared.window.vf_bar, 0, NULL) ?:
	       importer_map(imp, NULL);
}

FIXTURE_SETUP(window)
{
	const char *missing = iov_test_missing(&self->t);
	uint64_t word;

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	if (iov_shared_find(&self->t.vf, &self->shared)) {
		iov_vfio_close(&self->t.vf);
		SKIP(return, IOV_NO_SHARED);
	}

	word = iov_shared_word(&self->shared);
	self->at = word % iov_page_size();
	self->offset = word - self->at;
	self->fd = export_shared(self, &self->t.vf);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, attach_and_map(self, self->t.imp, self->fd));
}

FIXTURE_TEARDOWN(window)
{
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

static int read_word(FIXTURE_DATA(window) * self)
{
	uint32_t value;

	return importer_read(self->t.imp, self->at, &value, sizeof(value));
}

/* A window that cannot be used is refused when it is used. */
TEST_F(window, unusable)
{
	const struct dma_buf_iov_test_window good = self->shared.window;
	struct dma_buf_iov_test_window win;
	int imp = self->t.imp;
	unsigned int bar;

	/* none */
	EXPECT_EQ(-ERANGE, read_word(self));

	/* behind another BAR of the VF */
	win = good;
	win.vf_bar = (good.vf_bar + 1) % PCI_STD_NUM_BARS;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(self));

	/* into a BAR that is no memory: there is none, or it is of I/O ports */
	win = good;
	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (iov_bar_size(self->t.pf, bar))
			continue;
		win.pf_bar = bar;
		EXPECT_EQ(0, importer_window(imp, &win));
		EXPECT_EQ(-ERANGE, read_word(self));
	}

	/* past the end of the PF's BAR */
	win = good;
	win.pf_offset = 1ULL << 60;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(self));
	win.pf_offset = UINT64_MAX - 3;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(self));

	EXPECT_EQ(0, importer_window(imp, &good));
	EXPECT_EQ(0, read_word(self));
}

/* Another VF of the same PF, with its own importer. */
struct other_vf {
	struct iov_vfio vf;
	int imp;
	int fd;
	void *bar;
	size_t size;
	uint32_t *word;
};

static void other_vf_setup(struct __test_metadata *_metadata,
			   FIXTURE_DATA(window) * self, struct other_vf *other,
			   unsigned int nr)
{
	char bdf[IOV_BDF_LEN];

	other->imp = importer_open();
	ASSERT_GE(other->imp, 0);
	ASSERT_EQ(0, iov_vf_bdf(self->t.pf, nr, bdf));
	ASSERT_EQ(0, iov_vfio_bind(bdf));
	ASSERT_EQ(0, iov_vfio_open(&other->vf, bdf));
	other->fd = export_shared(self, &other->vf);
	ASSERT_GE(other->fd, 0);
	ASSERT_EQ(0, attach_and_map(self, other->imp, other->fd));
	ASSERT_EQ(0, importer_window(other->imp, &self->shared.window));

	other->bar = iov_vfio_mmap(&other->vf, self->shared.window.vf_bar,
				   &other->size);
	ASSERT_NE(NULL, other->bar);
	other->word = other->bar + self->offset + self->at;
}

static void other_vf_end(struct __test_metadata *_metadata,
			 struct other_vf *other)
{
	munmap(other->bar, other->size);
	close(other->fd);
	close(other->imp);
	EXPECT_EQ(0, iov_vfio_close(&other->vf));
}

/* Two VFs, two buffers: each leads to its own VF's memory. */
static void check_vfs(struct __test_metadata *_metadata,
		      FIXTURE_DATA(window) * self, unsigned int nr)
{
	const uint32_t a = 0x41414100 + nr, b = 0x42424200 + nr;
	struct other_vf vf2;
	uint32_t *word, value;
	size_t size;
	void *bar;

	other_vf_setup(_metadata, self, &vf2, nr);
	ASSERT_EQ(0, importer_window(self->t.imp, &self->shared.window));
	bar = iov_vfio_mmap(&self->t.vf, self->shared.window.vf_bar, &size);
	ASSERT_NE(NULL, bar);
	word = bar + self->offset + self->at;

	iov_write32(word, a);
	iov_write32(vf2.word, b);
	EXPECT_EQ(0, importer_read(self->t.imp, self->at, &value, 4));
	EXPECT_EQ(a, value);
	EXPECT_EQ(0, importer_read(vf2.imp, self->at, &value, 4));
	EXPECT_EQ(b, value);

	value = ~b;
	EXPECT_EQ(0, importer_write(vf2.imp, self->at, &value, 4));
	EXPECT_EQ(a, iov_read32(word));
	EXPECT_EQ(~b, iov_read32(vf2.word));

	munmap(bar, size);
	other_vf_end(_metadata, &vf2);
}

TEST_F(window, vfs)
{
	check_vfs(_metadata, self, 1);
}

/* With all VFs that there can be: the last of them, and one in the middle. */
TEST_F_TIMEOUT(window, all_vfs, 240)
{
	unsigned int total = iov_total_vfs(self->t.pf);
	char bdf[IOV_BDF_LEN];

	close(self->fd);
	ASSERT_EQ(0, importer_detach(self->t.imp));
	ASSERT_EQ(0, iov_vfio_close(&self->t.vf));
	if (iov_sriov_set(self->t.pf, total))
		SKIP(return, "cannot enable %u VFs", total);
	ASSERT_EQ(0, iov_vfio_setup(&self->t.vf, self->t.pf));
	self->fd = export_shared(self, &self->t.vf);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, attach_and_map(self, self->t.imp, self->fd));

	EXPECT_NE(0, iov_vf_bdf(self->t.pf, total, bdf));
	check_vfs(_metadata, self, total - 1);
	check_vfs(_metadata, self, total / 2);
}

TEST_HARNESS_MAIN
