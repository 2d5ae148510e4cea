// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PF finds in its own memory what the VF wrote, and the other way round
 *
 * The VF's side is vfio's mapping of BAR 0. The importer's side is a window: the
 * PF's driver knows where in the PF's memory the VF's is, and reaches it there.
 * On the 82576 that is the mailbox memory: 64 bytes for each VF.
 */
#include "kselftest_harness.h"
#include <sys/mman.h>

#include "iov_test.h"

#define WORDS	(IGB_MAILBOX_SIZE / sizeof(uint32_t))

/* Buffers that contain the page with the mailbox memory, and where. */
FIXTURE(data) {
	struct iov_test t;
	uint32_t *mailbox;
	void *bar;
	size_t size;
	int fd;
};

FIXTURE_VARIANT(data) {
	struct iov_pages parts[4];
	unsigned int nr_parts;
	unsigned int nr_at;
	unsigned int at[3];	/* pages of the buffer */
};

FIXTURE_VARIANT_ADD(data, page) {
	.parts = { { 0, 1 } },
	.nr_parts = 1,
	.nr_at = 1,
	.at = { 0 },
};

FIXTURE_VARIANT_ADD(data, bar) {
	.parts = { { 0, 4 } },
	.nr_parts = 1,
	.nr_at = 1,
	.at = { 0 },
};

FIXTURE_VARIANT_ADD(data, last) {
	.parts = { { 3, 1 }, { 1, 2 }, { 0, 1 } },
	.nr_parts = 3,
	.nr_at = 1,
	.at = { 3 },
};

FIXTURE_VARIANT_ADD(data, thrice) {
	.parts = { { 0, 1 }, { 0, 3 }, { 2, 1 }, { 0, 2 } },
	.nr_parts = 4,
	.nr_at = 3,
	.at = { 0, 1, 5 },
};

FIXTURE_SETUP(data)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));

	self->bar = iov_vfio_mmap(&self->t.vf, IOV_TEST_BAR, &self->size);
	ASSERT_NE(NULL, self->bar);
	self->mailbox = self->bar + IGB_MAILBOX;

	self->fd = iov_test_export(&self->t, variant->parts, variant->nr_parts);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->fd, self->t.pf,
					 IOV_TEST_BAR, 0, NULL));
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	ASSERT_EQ(0, importer_window_igb(self->t.imp));
}

FIXTURE_TEARDOWN(data)
{
	munmap(self->bar, self->size);
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

/* Where in the buffer is the mailbox, in its page number @page of the buffer? */
static uint64_t mailbox_at(unsigned int page)
{
	return page * iov_page_size() + IGB_MAILBOX;
}

/* A word that differs for each writer and index. */
static uint32_t word(uint8_t who, uint8_t index)
{
	return who << 24 | (0xff - index) << 16 | 0xa5 << 8 | index;
}

TEST_F(data, vf_to_pf)
{
	uint32_t words[WORDS];
	unsigned int at, i;

	for (at = 0; at < variant->nr_at; at++) {
		for (i = 0; i < WORDS; i++)
			iov_write32(&self->mailbox[i], word(1 + at, i));

		memset(words, 0, sizeof(words));
		EXPECT_EQ(0, importer_read(self->t.imp,
					   mailbox_at(variant->at[at]), words,
					   sizeof(words)));
		for (i = 0; i < WORDS; i++)
			EXPECT_EQ(word(1 + at, i), words[i]);
	}
}

TEST_F(data, pf_to_vf)
{
	uint32_t words[WORDS];
	unsigned int at, i;

	for (at = 0; at < variant->nr_at; at++) {
		for (i = 0; i < WORDS; i++)
			words[i] = word(11 + at, i);

		EXPECT_EQ(0, importer_write(self->t.imp,
					    mailbox_at(variant->at[at]), words,
					    sizeof(words)));
		for (i = 0; i < WORDS; i++)
			EXPECT_EQ(word(11 + at, i), iov_read32(&self->mailbox[i]));
	}
}

/* One word at a time: no other is touched. */
TEST_F(data, words)
{
	uint64_t start = mailbox_at(variant->at[0]);
	uint32_t value;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		iov_write32(&self->mailbox[i], word(21, i));

	for (i = 0; i < WORDS; i += 3) {
		value = word(22, i);
		EXPECT_EQ(0, importer_write(self->t.imp, start + 4 * i, &value,
					    sizeof(value)));
	}

	for (i = 0; i < WORDS; i++) {
		EXPECT_EQ(word(i % 3 ? 21 : 22, i), iov_read32(&self->mailbox[i]));
		EXPECT_EQ(0, importer_read(self->t.imp, start + 4 * i, &value,
					   sizeof(value)));
		EXPECT_EQ(word(i % 3 ? 21 : 22, i), value);
	}
}

/* The PF reaches what is behind the window, to the word, and nothing else. */
TEST_F(data, outside)
{
	uint64_t start = mailbox_at(variant->at[0]);
	uint64_t end = start + IGB_MAILBOX_SIZE;
	uint64_t size = lseek(self->fd, 0, SEEK_END);
	uint32_t words[WORDS + 1] = {};
	int imp = self->t.imp;
	unsigned int i;

	for (i = 0; i < WORDS; i++)
		iov_write32(&self->mailbox[i], word(31, i));

	EXPECT_EQ(-ERANGE, importer_write(imp, start - 4, words, 4));
	EXPECT_EQ(-ERANGE, importer_write(imp, start - 4, words, 8));
	EXPECT_EQ(-ERANGE, importer_write(imp, end, words, 4));
	EXPECT_EQ(-ERANGE, importer_write(imp, end - 4, words, 8));
	EXPECT_EQ(-ERANGE, importer_write(imp, start, words, sizeof(words)));
	EXPECT_EQ(-ERANGE, importer_read(imp, size - 4, words, 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, size, words, 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, size + start, words, 4));
	EXPECT_EQ(-ERANGE, importer_read(imp, UINT64_MAX - 3, words, 4));

	/* What was refused has written nothing, and the rest still works. */
	for (i = 0; i < WORDS; i++)
		EXPECT_EQ(word(31, i), iov_read32(&self->mailbox[i]));
	EXPECT_EQ(0, importer_read(imp, end - 4, words, 4));
	EXPECT_EQ(word(31, WORDS - 1), words[0]);
}

/* Without a mapping there is nothing to reach, even with the window set. */
TEST_F(data, unmapped)
{
	uint64_t start = mailbox_at(variant->at[0]);
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
	int fd;
};

FIXTURE_SETUP(window)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->fd = iov_test_export_bar(&self->t);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->fd, self->t.pf,
					 IOV_TEST_BAR, 0, NULL));
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
}

FIXTURE_TEARDOWN(window)
{
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

static int read_word(int imp)
{
	uint32_t value;

	return importer_read(imp, IGB_MAILBOX, &value, sizeof(value));
}

/* A window that cannot be used is refused when it is used. */
TEST_F(window, unusable)
{
	static const struct dma_buf_iov_test_window good = {
		.vf_offset = IGB_MAILBOX,
		.size = IGB_MAILBOX_SIZE,
		.pf_offset = IGB_MAILBOX,
		.pf_stride = IGB_MAILBOX_SIZE,
	};
	struct dma_buf_iov_test_window win;
	int imp = self->t.imp;

	/* none */
	EXPECT_EQ(-ERANGE, read_word(imp));

	/* behind another BAR of the VF */
	win = good;
	win.vf_bar = 3;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(imp));

	/* into a BAR that the PF does not have, and one of I/O ports */
	win = good;
	win.pf_bar = 5;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(imp));
	win.pf_bar = 2;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(imp));

	/* past the end of the PF's BAR */
	win = good;
	win.pf_offset = 1ULL << 40;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(imp));
	win.pf_offset = UINT64_MAX - 3;
	EXPECT_EQ(0, importer_window(imp, &win));
	EXPECT_EQ(-ERANGE, read_word(imp));

	EXPECT_EQ(0, importer_window(imp, &good));
	EXPECT_EQ(0, read_word(imp));
}

/* Two VFs, two buffers: each leads to its own VF's memory. */
TEST_F(window, vfs)
{
	struct iov_vfio vf2;
	void *bar, *bar2;
	uint32_t *mailbox, *mailbox2;
	char bdf[IOV_BDF_LEN];
	uint32_t value;
	size_t size;
	int imp2, fd2;

	imp2 = importer_open();
	ASSERT_GE(imp2, 0);
	ASSERT_EQ(0, iov_vf_bdf(self->t.pf, 1, bdf));
	ASSERT_EQ(0, iov_vfio_bind(bdf));
	ASSERT_EQ(0, iov_vfio_open(&vf2, bdf));
	fd2 = iov_vfio_export_one(&vf2, IOV_TEST_BAR, 0, iov_page_size());
	ASSERT_GE(fd2, 0);
	ASSERT_EQ(0, importer_attach_iov(imp2, fd2, self->t.pf, IOV_TEST_BAR, 0,
					 NULL));
	ASSERT_EQ(0, importer_map(imp2, NULL));
	ASSERT_EQ(0, importer_window_igb(imp2));
	ASSERT_EQ(0, importer_window_igb(self->t.imp));

	bar = iov_vfio_mmap(&self->t.vf, IOV_TEST_BAR, &size);
	bar2 = iov_vfio_mmap(&vf2, IOV_TEST_BAR, &size);
	ASSERT_NE(NULL, bar);
	ASSERT_NE(NULL, bar2);
	mailbox = bar + IGB_MAILBOX;
	mailbox2 = bar2 + IGB_MAILBOX;

	iov_write32(&mailbox[0], word(41, 0));
	iov_write32(&mailbox2[0], word(42, 0));
	EXPECT_EQ(0, importer_read(self->t.imp, IGB_MAILBOX, &value, 4));
	EXPECT_EQ(word(41, 0), value);
	EXPECT_EQ(0, importer_read(imp2, IGB_MAILBOX, &value, 4));
	EXPECT_EQ(word(42, 0), value);

	value = word(43, 0);
	EXPECT_EQ(0, importer_write(imp2, IGB_MAILBOX, &value, 4));
	EXPECT_EQ(word(41, 0), iov_read32(&mailbox[0]));
	EXPECT_EQ(word(43, 0), iov_read32(&mailbox2[0]));

	munmap(bar, size);
	munmap(bar2, size);
	close(fd2);
	close(imp2);
	EXPECT_EQ(0, iov_vfio_close(&vf2));
}

TEST_HARNESS_MAIN
