// SPDX-License-Identifier: MIT
/*
 * KUnit tests for the translation of a VF's VRAM, without any VRAM: it is pure
 * arithmetic on what a snapshot says.
 */

#include <kunit/test.h>

#include <linux/bitops.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_pagemap.h>

#include "xe_res_cursor.h"
#include "xe_sriov_pf_vram_types.h"
#include "xe_vf_vram_translate.h"

#define PAGES(n)	((u64)(n) * PAGE_SIZE)

static struct xe_vf_vram *fake_vram(struct kunit *test, unsigned int max_segs)
{
	struct xe_vf_vram *vram;

	vram = kunit_kzalloc(test, struct_size(vram, segs, max_segs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vram);
	return vram;
}

/* As a snapshot does it: the offset follows, and neighbours are one segment. */
static void fake_vram_add(struct xe_vf_vram *vram, u64 dpa, u64 size)
{
	struct xe_vf_vram_seg *seg = NULL;

	if (vram->nr_segs)
		seg = &vram->segs[vram->nr_segs - 1];

	if (seg && seg->dpa + seg->size == dpa) {
		seg->size += size;
	} else {
		vram->nr_segs++;
		seg = &vram->segs[vram->nr_segs - 1];
		seg->offset = vram->size;
		seg->size = size;
		seg->dpa = dpa;
	}
	vram->size += size;
}

/* Hands @range over as dma-buf core would, but without its checks. */
static int translate(struct kunit *test, const struct xe_vf_vram *vram,
		     const struct range *range, unsigned int nr_ranges, u64 align,
		     struct drm_pagemap_addr **addrs, unsigned int *nr)
{
	struct dma_buf_ranges *ranges;
	int err;

	ranges = dma_buf_ranges_kunit_alloc(range, nr_ranges);
	KUNIT_ASSERT_NOT_NULL(test, ranges);
	err = xe_vf_vram_translate(vram, ranges, align, addrs, nr);
	dma_buf_ranges_kunit_free(ranges);
	return err;
}

/*
 * The cases, with addresses and sizes in pages. The VRAM is on two tiles. The
 * third block happens to be behind the first one in DPA.
 */

#define A		0x10000
#define A_PAGES		512
#define B		0x80000
#define B_PAGES		1024
#define C		(A + A_PAGES)
#define C_PAGES		512
#define D		0xf0000
#define D_PAGES		96
#define VRAM_PAGES	(A_PAGES + B_PAGES + C_PAGES + D_PAGES)

static struct xe_vf_vram *table_vram(struct kunit *test)
{
	struct xe_vf_vram *vram = fake_vram(test, 4);

	fake_vram_add(vram, PAGES(A), PAGES(A_PAGES));
	fake_vram_add(vram, PAGES(B), PAGES(B_PAGES));
	fake_vram_add(vram, PAGES(C), PAGES(C_PAGES));
	fake_vram_add(vram, PAGES(D), PAGES(D_PAGES));
	KUNIT_ASSERT_EQ(test, vram->nr_segs, 4);
	KUNIT_ASSERT_EQ(test, vram->size, PAGES(VRAM_PAGES));
	return vram;
}

struct translate_param {
	const char *desc;
	struct {
		u64 start;
		u64 pages;
	} ranges[6];
	struct {
		u64 dpa;
		unsigned int order;
	} entries[16];
	int err;
};

static const struct translate_param translate_params[] = {
	{ "one page", { { 3, 1 } }, { { A + 3, 0 } } },
	{ "one block", { { 0, 512 } }, { { A, 9 } } },
	{ "end of a block", { { 510, 2 } }, { { A + 510, 1 } } },
	{ "start of a block", { { 512, 4 } }, { { B, 2 } } },
	{ "last page", { { VRAM_PAGES - 1, 1 } }, { { D + 95, 0 } } },
	{ "unaligned power of two", { { 1, 4 } }, { { A + 1, 2 } } },
	{ "not a power of two", { { 0, 7 } },
	  { { A, 2 }, { A + 4, 1 }, { A + 6, 0 } } },
	{ "one less than a power of two", { { 512, 1023 } },
	  { { B, 9 }, { B + 512, 8 }, { B + 768, 7 }, { B + 896, 6 },
	    { B + 960, 5 }, { B + 992, 4 }, { B + 1008, 3 }, { B + 1016, 2 },
	    { B + 1020, 1 }, { B + 1022, 0 } } },
	{ "across two blocks", { { 511, 2 } }, { { A + 511, 0 }, { B, 0 } } },
	{ "across three blocks", { { 510, 2 + 1024 + 4 } },
	  { { A + 510, 1 }, { B, 10 }, { C, 2 } } },
	{ "across tiles", { { 2047, 3 } }, { { C + 511, 0 }, { D, 1 } } },
	{ "whole VRAM", { { 0, VRAM_PAGES } },
	  { { A, 9 }, { B, 10 }, { C, 9 }, { D, 6 }, { D + 64, 5 } } },
	{ "two ranges", { { 8, 8 }, { 32, 8 } }, { { A + 8, 3 }, { A + 32, 3 } } },
	{ "adjacent ranges", { { 0, 1 }, { 1, 1 }, { 2, 2 } }, { { A, 2 } } },
	{ "adjacent ranges, odd", { { 0, 3 }, { 3, 4 } },
	  { { A, 2 }, { A + 4, 1 }, { A + 6, 0 } } },
	{ "adjacent at a border of blocks", { { 511, 1 }, { 512, 1 } },
	  { { A + 511, 0 }, { B, 0 } } },
	{ "adjacent in DPA only", { { 0, 512 }, { 1536, 512 } }, { { A, 10 } } },
	{ "adjacent in DPA only, within", { { 508, 4 }, { 1536, 4 } },
	  { { A + 508, 3 } } },
	{ "adjacent in DPA, but backwards", { { 1536, 512 }, { 0, 512 } },
	  { { C, 9 }, { A, 9 } } },
	{ "out of order", { { 2, 1 }, { 1, 1 }, { 0, 1 } },
	  { { A + 2, 0 }, { A + 1, 0 }, { A, 0 } } },
	{ "repeated", { { 4, 4 }, { 4, 4 }, { 4, 4 } },
	  { { A + 4, 2 }, { A + 4, 2 }, { A + 4, 2 } } },
	{ "overlapping", { { 0, 4 }, { 2, 4 } }, { { A, 2 }, { A + 2, 2 } } },
	{ "all over the place",
	  { { 2048, 1 }, { 0, 1 }, { 1535, 2 }, { 600, 6 }, { 606, 2 } },
	  { { D, 0 }, { A, 0 }, { B + 1023, 0 }, { C, 0 }, { B + 88, 3 } } },

	{ "first page behind", { { VRAM_PAGES, 1 } }, .err = -ERANGE },
	{ "second page behind", { { VRAM_PAGES + 1, 1 } }, .err = -ERANGE },
	{ "far behind", { { BIT_ULL(40), 1 } }, .err = -ERANGE },
	{ "one page too long", { { VRAM_PAGES - 1, 2 } }, .err = -ERANGE },
	{ "whole VRAM and one page", { { 0, VRAM_PAGES + 1 } }, .err = -ERANGE },
	{ "bad after good", { { 0, 512 }, { VRAM_PAGES, 1 } }, .err = -ERANGE },
	{ "bad before good", { { VRAM_PAGES, 1 }, { 0, 512 } }, .err = -ERANGE },
};

static void translate_get_desc(const struct translate_param *p, char *desc)
{
	strscpy(desc, p->desc, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(translate, translate_params, translate_get_desc);

/* What must be true of a failure, whatever it is. */
static void expect_error(struct kunit *test, const struct xe_vf_vram *vram,
			 struct range *ranges, unsigned int nr_ranges,
			 u64 align, int err)
{
	struct drm_pagemap_addr *addrs = (void *)ranges;
	unsigned int nr = 12345;

	KUNIT_EXPECT_EQ(test, err, translate(test, vram, ranges, nr_ranges,
					     align, &addrs, &nr));
	KUNIT_EXPECT_PTR_EQ(test, addrs, (void *)ranges);
	KUNIT_EXPECT_EQ(test, nr, 12345);
}

static void test_table(struct kunit *test)
{
	const struct translate_param *p = test->param_value;
	struct xe_vf_vram *vram = table_vram(test);
	struct drm_pagemap_addr *addrs;
	unsigned int i, nr_ranges, nr;
	struct range ranges[6];

	for (i = 0; i < ARRAY_SIZE(ranges) && p->ranges[i].pages; i++) {
		ranges[i].start = PAGES(p->ranges[i].start);
		ranges[i].end = ranges[i].start + PAGES(p->ranges[i].pages) - 1;
	}
	nr_ranges = i;

	if (p->err) {
		expect_error(test, vram, ranges, nr_ranges, SZ_4K, p->err);
		return;
	}

	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, ranges, nr_ranges, SZ_4K,
					   &addrs, &nr));
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_LT(test, i, ARRAY_SIZE(p->entries));
		KUNIT_EXPECT_EQ_MSG(test, (u64)addrs[i].addr,
				    PAGES(p->entries[i].dpa), "entry %u", i);
		KUNIT_EXPECT_EQ_MSG(test, (unsigned int)addrs[i].order,
				    p->entries[i].order, "entry %u", i);
		KUNIT_EXPECT_EQ(test, (u64)addrs[i].proto, XE_INTERCONNECT_VRAM);
	}
	if (i < ARRAY_SIZE(p->entries))
		KUNIT_EXPECT_EQ_MSG(test, 0, p->entries[i].dpa,
				    "only %u entries", nr);
	kvfree(addrs);
}

/* Ranges that dma-buf core would refuse, or that just fit into a u64. */
static void test_hostile(struct kunit *test)
{
	struct xe_vf_vram *vram = table_vram(test);
	const u64 size = vram->size;
	const struct {
		struct range range;
		int err;
	} cases[] = {
		{ { 0, U64_MAX }, -ERANGE },
		{ { PAGE_SIZE, U64_MAX }, -ERANGE },
		{ { U64_MAX, U64_MAX }, -ERANGE },
		{ { U64_MAX - PAGE_SIZE + 1, U64_MAX }, -ERANGE },
		{ { size - PAGE_SIZE, U64_MAX }, -ERANGE },
		{ { size - PAGE_SIZE, size }, -ERANGE },
		{ { size, size }, -ERANGE },
		{ { 0, size }, -ERANGE },
		{ { BIT_ULL(63), BIT_ULL(63) + PAGE_SIZE - 1 }, -ERANGE },

		/* Empty, and less than that. */
		{ { 1, 0 }, -EINVAL },
		{ { PAGE_SIZE, PAGE_SIZE - 1 }, -EINVAL },
		{ { size, size - 1 }, -EINVAL },
		{ { U64_MAX, 0 }, -EINVAL },
		{ { PAGE_SIZE, 0 }, -EINVAL },
		{ { PAGES(3), PAGES(2) - 1 }, -EINVAL },
		{ { U64_MAX - PAGE_SIZE + 1, PAGE_SIZE - 1 }, -EINVAL },

		/* Not whole pages. */
		{ { 0, 0 }, -EINVAL },
		{ { 0, PAGE_SIZE - 2 }, -EINVAL },
		{ { 0, PAGE_SIZE }, -EINVAL },
		{ { 1, PAGE_SIZE }, -EINVAL },
		{ { 1, PAGE_SIZE - 1 }, -EINVAL },
		{ { PAGE_SIZE - 1, PAGES(2) - 1 }, -EINVAL },
		{ { PAGE_SIZE / 2, PAGES(1) + PAGE_SIZE / 2 - 1 }, -EINVAL },
		{ { size - 1, size - 1 }, -EINVAL },
		{ { size - PAGE_SIZE, size - 2 }, -EINVAL },
		{ { PAGES(A_PAGES) - 1, PAGES(A_PAGES + 1) - 2 }, -EINVAL },
		{ { PAGES(A_PAGES) - 1, PAGES(A_PAGES) }, -EINVAL },
	};
	struct range good_and_bad[2];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		good_and_bad[0].start = 0;
		good_and_bad[0].end = PAGES(5) - 1;
		good_and_bad[1] = cases[i].range;

		expect_error(test, vram, good_and_bad + 1, 1, SZ_4K, cases[i].err);
		expect_error(test, vram, good_and_bad, 2, SZ_4K, cases[i].err);
		/* There are no PTEs for less than a page of the CPU. */
		expect_error(test, vram, good_and_bad, 2, 1, cases[i].err);
	}
}

/* A VF that owns nothing, which nobody publishes, has nothing to translate. */
static void test_empty(struct kunit *test)
{
	struct xe_vf_vram *vram = fake_vram(test, 0);
	struct range range = { 0, PAGE_SIZE - 1 };

	expect_error(test, vram, &range, 1, SZ_4K, -ERANGE);
}

/* Where VRAM has no pages of 4 KiB, neither offsets nor DPA may be less aligned. */
static void test_64k(struct kunit *test)
{
	struct xe_vf_vram *vram = fake_vram(test, 3);
	struct drm_pagemap_addr *addrs;
	struct range range[2] = { };
	unsigned int nr;

	if (PAGE_SIZE >= SZ_64K)
		kunit_skip(test, "CPU pages are not smaller");

	fake_vram_add(vram, SZ_16M, SZ_2M);
	fake_vram_add(vram, SZ_64M, SZ_2M);
	fake_vram_add(vram, SZ_128M + SZ_4K, SZ_2M);

	range[0].end = SZ_64K - 1;
	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, range, 1, SZ_64K, &addrs, &nr));
	KUNIT_EXPECT_EQ(test, nr, 1);
	KUNIT_EXPECT_EQ(test, (u64)addrs->addr, SZ_16M);
	KUNIT_EXPECT_EQ(test, PAGE_SIZE << addrs->order, SZ_64K);
	kvfree(addrs);

	range[0].start = SZ_2M - SZ_64K;
	range[0].end = SZ_2M + SZ_64K - 1;
	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, range, 1, SZ_64K, &addrs, &nr));
	KUNIT_EXPECT_EQ(test, nr, 2);
	KUNIT_EXPECT_EQ(test, (u64)addrs[0].addr, SZ_16M + SZ_2M - SZ_64K);
	KUNIT_EXPECT_EQ(test, (u64)addrs[1].addr, SZ_64M);
	kvfree(addrs);

	/* Too short, too long, at the wrong place. */
	range[0].start = 0;
	range[0].end = SZ_4K - 1;
	expect_error(test, vram, range, 1, SZ_64K, -EINVAL);
	range[0].end = SZ_64K + SZ_4K - 1;
	expect_error(test, vram, range, 1, SZ_64K, -EINVAL);
	range[0].start = SZ_4K;
	expect_error(test, vram, range, 1, SZ_64K, -EINVAL);
	range[0].start = SZ_32K;
	range[0].end = SZ_64K + SZ_32K - 1;
	expect_error(test, vram, range, 1, SZ_64K, -EINVAL);

	/* Two halves of a page do not make one: nothing says they stay together. */
	range[0].start = 0;
	range[0].end = SZ_32K - 1;
	range[1].start = SZ_32K;
	range[1].end = SZ_64K - 1;
	expect_error(test, vram, range, 2, SZ_64K, -EINVAL);

	/* All of it is good with pages of 4 KiB. */
	KUNIT_EXPECT_EQ(test, 0, translate(test, vram, range, 2, SZ_4K, &addrs, &nr));
	kvfree(addrs);

	/* The offset is aligned, but not the DPA. */
	range[0].start = 2 * SZ_2M;
	range[0].end = 2 * SZ_2M + SZ_64K - 1;
	expect_error(test, vram, range, 1, SZ_64K, -EINVAL);
	KUNIT_EXPECT_EQ(test, 0, translate(test, vram, range, 1, SZ_4K, &addrs, &nr));
	kvfree(addrs);
}

/* A DPA does not fit in a dma_addr_t of 32 bits. */
static void test_dma_addr(struct kunit *test)
{
	struct xe_vf_vram *vram = fake_vram(test, 1);
	int err = sizeof(dma_addr_t) < sizeof(u64) ? -ERANGE : 0;
	struct drm_pagemap_addr *addrs;
	struct range range;
	unsigned int nr;

	fake_vram_add(vram, SZ_4G - SZ_2M, SZ_4M);

	range.start = 0;
	range.end = SZ_2M - 1;
	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, &range, 1, SZ_4K, &addrs, &nr));
	KUNIT_EXPECT_EQ(test, (u64)addrs->addr, SZ_4G - SZ_2M);
	kvfree(addrs);

	for (; range.start <= SZ_2M; range.start += SZ_2M) {
		range.end = SZ_4M - 1;
		if (err) {
			expect_error(test, vram, &range, 1, SZ_4K, err);
			continue;
		}
		KUNIT_ASSERT_EQ(test, 0, translate(test, vram, &range, 1, SZ_4K,
						   &addrs, &nr));
		KUNIT_EXPECT_EQ(test, (u64)addrs->addr, SZ_4G - SZ_2M + range.start);
		kvfree(addrs);
	}
}

static const u64 huge_sizes[] = {
	3ull * SZ_1G, SZ_4G, 5ull * SZ_1G, 8ull * SZ_1G, 32ull * SZ_1G,
	64ull * SZ_1G - PAGE_SIZE, SZ_1T,
};

static void huge_desc(const u64 *size, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%llu MiB", *size / SZ_1M);
}

KUNIT_ARRAY_PARAM(huge, huge_sizes, huge_desc);

/*
 * All of a large BAR in one range, behind a page that is not part of it. A cursor
 * computes with unsigned long, which must do for each entry.
 */
static void test_huge(struct kunit *test)
{
	const u64 size = *(const u64 *)test->param_value, dpa = SZ_1G;
	struct range range = { PAGE_SIZE, PAGE_SIZE + size - 1 };
	struct xe_vf_vram *vram = fake_vram(test, 1);
	struct drm_pagemap_addr *addrs;
	struct xe_res_cursor cur;
	unsigned int i, nr;
	u64 pos = 0;

	if (overflows_type(dpa + size, dma_addr_t))
		kunit_skip(test, "does not fit in a dma_addr_t");

	fake_vram_add(vram, dpa, size + PAGE_SIZE);

	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, &range, 1, SZ_4K, &addrs, &nr));
	if (sizeof(long) == sizeof(u64))
		KUNIT_EXPECT_EQ(test, nr, hweight64(size));
	for (i = 0; i < nr; i++) {
		KUNIT_EXPECT_EQ(test, (u64)addrs[i].addr, dpa + PAGE_SIZE + pos);
		KUNIT_EXPECT_NE(test, PAGE_SIZE << addrs[i].order, 0);
		pos += (u64)PAGE_SIZE << addrs[i].order;
	}
	KUNIT_EXPECT_EQ(test, pos, size);

	/* And as page tables walk it, from its start and from its last page. */
	xe_res_first_dma(addrs, 0, size, &cur);
	KUNIT_EXPECT_EQ(test, xe_res_dma(&cur), dpa + PAGE_SIZE);
	xe_res_first_dma(addrs, size - PAGE_SIZE, PAGE_SIZE, &cur);
	KUNIT_EXPECT_EQ(test, xe_res_dma(&cur), dpa + size);
	kvfree(addrs);

	/* A page more is somebody else's. */
	range.end += PAGE_SIZE;
	expect_error(test, vram, &range, 1, SZ_4K, -ERANGE);
}

/* More entries than there can be memory for are refused without trying. */
static void test_too_many(struct kunit *test)
{
	const unsigned int nr_segs = SZ_64K, nr_ranges = 69;
	/* As many entries as a segment can have, but not more bytes than a u64. */
	const u64 pages = BIT_ULL(30) - 1;
	struct xe_vf_vram *vram;
	struct range *ranges;
	unsigned int i;

	if (sizeof(dma_addr_t) < sizeof(u64))
		kunit_skip(test, "there can't be that many");

	vram = fake_vram(test, nr_segs);
	for (i = 0; i < nr_segs; i++)
		fake_vram_add(vram, PAGES((u64)i << 31), PAGES(pages));

	ranges = kunit_kcalloc(test, nr_ranges, sizeof(*ranges), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, ranges);
	for (i = 0; i < nr_ranges; i++)
		ranges[i].end = vram->size - 1;

	expect_error(test, vram, ranges, nr_ranges, SZ_4K, -ENOMEM);
}

/*
 * Thousands of buffers, and for each of them what it should be, page by page.
 */

#define FUZZ_SEEDS	40000
#define FUZZ_SEGS	8
#define FUZZ_SEG_PAGES	128
#define FUZZ_RANGES	12
#define FUZZ_PAGES	(FUZZ_SEGS * FUZZ_SEG_PAGES)

struct fuzz {
	struct rnd_state rnd;
	struct xe_vf_vram *vram;
	u64 align;

	/* The DPA of each page of the VF's VRAM. */
	u64 vram_page[FUZZ_PAGES];
	unsigned int vram_pages;

	struct range ranges[FUZZ_RANGES];
	unsigned int nr_ranges;

	/* And of each page of the buffer. */
	u64 page[FUZZ_RANGES * FUZZ_PAGES];
	unsigned int pages;
};

static u32 fuzz_below(struct fuzz *fuzz, u32 n)
{
	return prandom_u32_state(&fuzz->rnd) % n;
}

/* Blocks of VRAM at random, here and there with none of another's in between. */
static void fuzz_vram(struct fuzz *fuzz)
{
	u64 dpa[FUZZ_SEGS], pages[FUZZ_SEGS], next = fuzz_below(fuzz, 1000);
	unsigned int i, j, nr = 1 + fuzz_below(fuzz, FUZZ_SEGS);
	unsigned int unit = fuzz->align / PAGE_SIZE;

	for (i = 0; i < nr; i++) {
		pages[i] = unit * (1 + fuzz_below(fuzz, FUZZ_SEG_PAGES / unit));
		next = round_up(next, unit);
		/* Some that may not be used with pages of that size. */
		if (!fuzz_below(fuzz, 64))
			next++;
		dpa[i] = next;
		next += pages[i];
		if (fuzz_below(fuzz, 3))
			next += 1 + fuzz_below(fuzz, 300);
	}
	for (i = nr - 1; i > 0; i--) {
		j = fuzz_below(fuzz, i + 1);
		swap(dpa[i], dpa[j]);
		swap(pages[i], pages[j]);
	}

	fuzz->vram->nr_segs = 0;
	fuzz->vram->size = 0;
	fuzz->vram_pages = 0;
	for (i = 0; i < nr; i++) {
		fake_vram_add(fuzz->vram, PAGES(dpa[i]), PAGES(pages[i]));
		for (j = 0; j < pages[i]; j++)
			fuzz->vram_page[fuzz->vram_pages++] = PAGES(dpa[i] + j);
	}
}

static void fuzz_ranges(struct fuzz *fuzz)
{
	unsigned int i, first, pages, unit = fuzz->align / PAGE_SIZE;
	struct range *range;

	fuzz->nr_ranges = 1 + fuzz_below(fuzz, FUZZ_RANGES);
	for (i = 0; i < fuzz->nr_ranges; i++) {
		range = &fuzz->ranges[i];
		first = fuzz_below(fuzz, fuzz->vram_pages);
		if (i && fuzz_below(fuzz, 2))
			first = (range[-1].end + 1) / PAGE_SIZE;
		first = first < fuzz->vram_pages ? round_down(first, unit) : 0;
		pages = unit * (1 + fuzz_below(fuzz, (fuzz->vram_pages - first) / unit));
		range->start = PAGES(first);
		range->end = PAGES(first + pages) - 1;
	}

	/* In some there is something wrong. */
	if (fuzz_below(fuzz, 8))
		return;
	range = &fuzz->ranges[fuzz_below(fuzz, fuzz->nr_ranges)];
	switch (fuzz_below(fuzz, 6)) {
	case 0:
		range->end += fuzz_below(fuzz, 2) ? PAGE_SIZE : 1;
		break;
	case 1:
		range->start += fuzz_below(fuzz, 2) ? PAGE_SIZE : 1;
		break;
	case 2:
		swap(range->start, range->end);
		break;
	case 3:
		range->end = fuzz->vram->size - 1 + fuzz_below(fuzz, 3);
		break;
	case 4:
		range->end = U64_MAX - fuzz_below(fuzz, 2);
		break;
	case 5:
		range->start = fuzz->vram->size - 1 + fuzz_below(fuzz, 2);
		break;
	}
}

/* Is each smallest page of the page tables one in DPA as well? */
static bool fuzz_aligned(struct fuzz *fuzz, unsigned int first, unsigned int end)
{
	unsigned int i, j, unit = fuzz->align / PAGE_SIZE;

	for (i = first; i < end; i += unit) {
		if (fuzz->page[i] % fuzz->align)
			return false;
		for (j = 1; j < unit; j++)
			if (i + j == end ||
			    fuzz->page[i + j] != fuzz->page[i] + PAGES(j))
				return false;
	}

	return true;
}

/* What should come out, computed for each page. */
static int fuzz_expect(struct fuzz *fuzz)
{
	unsigned int i, first;
	struct range *range;
	u64 offset;

	fuzz->pages = 0;
	for (i = 0; i < fuzz->nr_ranges; i++) {
		range = &fuzz->ranges[i];
		if (range->start > range->end)
			return -EINVAL;
		if (range->end / PAGE_SIZE >= fuzz->vram_pages)
			return -ERANGE;
		if (range->start % PAGE_SIZE || (range->end + 1) % PAGE_SIZE)
			return -EINVAL;

		first = fuzz->pages;
		for (offset = range->start; offset < range->end; offset += PAGE_SIZE)
			fuzz->page[fuzz->pages++] = fuzz->vram_page[offset / PAGE_SIZE];
		if (!fuzz_aligned(fuzz, first, fuzz->pages))
			return -EINVAL;
	}

	return 0;
}

/* How many pages from @i on are contiguous? */
static unsigned int fuzz_run(const struct fuzz *fuzz, unsigned int i)
{
	unsigned int n = 1;

	while (i + n < fuzz->pages && fuzz->page[i + n] == fuzz->page[i] + PAGES(n))
		n++;

	return n;
}

/* The least number of entries of a power of two of pages. */
static unsigned int fuzz_fewest(const struct fuzz *fuzz)
{
	unsigned int i, n, left, fewest = 0;

	for (i = 0; i < fuzz->pages; i += n) {
		n = fuzz_run(fuzz, i);
		for (left = n; left; left /= 2)
			fewest += left % 2;
	}

	return fewest;
}

static bool fuzz_check_entries(const struct fuzz *fuzz,
			       const struct drm_pagemap_addr *addrs,
			       unsigned int nr)
{
	unsigned int i, j, page = 0;

	for (i = 0; i < nr; i++) {
		if (addrs[i].proto != XE_INTERCONNECT_VRAM)
			return false;
		for (j = 0; j < 1u << addrs[i].order; j++, page++) {
			if (page == fuzz->pages ||
			    addrs[i].addr + PAGES(j) != fuzz->page[page])
				return false;
		}
	}

	return page == fuzz->pages;
}

/* What page tables see of it: the run, as far as they ask for it. */
static bool fuzz_check_cursor(const struct fuzz *fuzz,
			      const struct drm_pagemap_addr *addrs,
			      unsigned int page, unsigned int end)
{
	struct xe_res_cursor cur;
	unsigned int n;

	xe_res_first_dma(addrs, PAGES(page), PAGES(end - page), &cur);
	for (; cur.remaining; xe_res_next(&cur, PAGES(n)), page += n) {
		n = min(fuzz_run(fuzz, page), end - page);
		if (page >= end || !xe_res_is_vram(&cur) ||
		    xe_res_dma(&cur) != fuzz->page[page] ||
		    min(cur.size, cur.remaining) != PAGES(n))
			return false;
	}

	return page == end;
}

static void fuzz_one(struct kunit *test, struct fuzz *fuzz, unsigned int seed)
{
	struct drm_pagemap_addr *addrs;
	unsigned int i, nr, first, end;
	int err;

	prandom_seed_state(&fuzz->rnd, seed);
	fuzz->align = fuzz_below(fuzz, 4) ? PAGE_SIZE : max(SZ_64K, PAGE_SIZE);
	fuzz_vram(fuzz);
	fuzz_ranges(fuzz);
	err = fuzz_expect(fuzz);

	if (err) {
		expect_error(test, fuzz->vram, fuzz->ranges, fuzz->nr_ranges,
			     fuzz->align, err);
		return;
	}

	err = translate(test, fuzz->vram, fuzz->ranges, fuzz->nr_ranges,
			fuzz->align, &addrs, &nr);
	KUNIT_EXPECT_EQ_MSG(test, err, 0, "seed %u", seed);
	if (err)
		return;

	if (!fuzz_check_entries(fuzz, addrs, nr)) {
		KUNIT_FAIL(test, "seed %u: other entries", seed);
		goto out;
	}
	KUNIT_EXPECT_EQ_MSG(test, nr, fuzz_fewest(fuzz), "seed %u", seed);
	KUNIT_EXPECT_TRUE_MSG(test, fuzz_check_cursor(fuzz, addrs, 0, fuzz->pages),
			      "seed %u", seed);

	/* A VMA may begin and end anywhere in the buffer. */
	for (i = 0; i < 4; i++) {
		first = fuzz_below(fuzz, fuzz->pages);
		end = first + 1 + fuzz_below(fuzz, fuzz->pages - first);
		KUNIT_EXPECT_TRUE_MSG(test, fuzz_check_cursor(fuzz, addrs, first, end),
				      "seed %u from %u to %u", seed, first, end);
	}
out:
	kvfree(addrs);
}

static void test_fuzz(struct kunit *test)
{
	unsigned int seed, failed = 0;
	struct fuzz *fuzz;

	fuzz = kunit_kzalloc(test, sizeof(*fuzz), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fuzz);
	fuzz->vram = fake_vram(test, FUZZ_SEGS);

	for (seed = 0; seed < FUZZ_SEEDS && failed < 3; seed++) {
		fuzz_one(test, fuzz, seed);
		if (test->status == KUNIT_FAILURE)
			failed++;
		cond_resched();
	}
}

/*
 * Page sizes. This is what xe_pt_stage_bind() does with a cursor, for a VMA at a
 * multiple of 1 GiB: the largest page that the address and the segment allow.
 */

enum { PTE_4K, PTE_64K, PTE_2M, PTE_1G, NR_PTES };

static const u64 pte_size[NR_PTES] = { SZ_4K, SZ_64K, SZ_2M, SZ_1G };

static void count_ptes(struct drm_pagemap_addr *addrs, u64 size,
		       unsigned int *ptes)
{
	struct xe_res_cursor cur;
	u64 va = 0;
	int i;

	xe_res_first_dma(addrs, 0, size, &cur);
	while (cur.remaining) {
		for (i = PTE_1G; i > PTE_4K; i--)
			if (IS_ALIGNED(va | xe_res_dma(&cur), pte_size[i]) &&
			    min(cur.size, cur.remaining) >= pte_size[i])
				break;
		ptes[i]++;
		va += pte_size[i];
		xe_res_next(&cur, pte_size[i]);
	}
}

static void expect_ptes(struct kunit *test, const struct xe_vf_vram *vram,
			struct range *ranges, unsigned int nr_ranges,
			const unsigned int *want)
{
	struct drm_pagemap_addr *addrs;
	unsigned int ptes[NR_PTES] = { };
	unsigned int i, nr;
	u64 size = 0;

	for (i = 0; i < nr_ranges; i++)
		size += range_len(&ranges[i]);

	KUNIT_ASSERT_EQ(test, 0, translate(test, vram, ranges, nr_ranges, SZ_4K,
					   &addrs, &nr));
	count_ptes(addrs, size, ptes);
	kvfree(addrs);
	for (i = 0; i < NR_PTES; i++)
		KUNIT_EXPECT_EQ_MSG(test, ptes[i], want[i], "pages of %llu KiB",
				    pte_size[i] / SZ_1K);
}

static void test_page_sizes(struct kunit *test)
{
	const u64 page = SZ_4K;
	struct xe_vf_vram *vram, *first;
	struct range ranges[4];

	if (sizeof(dma_addr_t) < sizeof(u64) || PAGE_SIZE != page)
		kunit_skip(test, "needs 64-bit addresses, and pages of 4 KiB");

	/* 3 GiB aligned to 1 GiB, 1 GiB that is not, and 6 MiB on another tile */
	vram = fake_vram(test, 3);
	fake_vram_add(vram, 8ull * SZ_1G, 3ull * SZ_1G);
	fake_vram_add(vram, 16ull * SZ_1G + SZ_2M, SZ_1G);
	fake_vram_add(vram, 64ull * SZ_1G, 3 * SZ_2M);
	first = vram;

	/* All of it. */
	ranges[0].start = 0;
	ranges[0].end = vram->size - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 0, 0, 512 + 3, 3 });

	/* A BAR of 32 GiB has the largest pages, whatever is before it. */
	vram = fake_vram(test, 2);
	fake_vram_add(vram, 2ull * SZ_1G, SZ_1G);
	fake_vram_add(vram, 8ull * SZ_1G, 32ull * SZ_1G);
	ranges[0].start = SZ_1G;
	ranges[0].end = vram->size - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 0, 0, 0, 32 });

	vram = first;
	ranges[0].start = 0;

	/* A size with many bits: the entries of a run do not keep pages small. */
	ranges[0].end = SZ_1G + SZ_512M + SZ_2M + SZ_64K + page - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 1, 1, 257, 1 });

	/* From the second page on, nothing is aligned to more than a page. */
	ranges[0].start = page;
	ranges[0].end = SZ_64K + page - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 16, 0, 0, 0 });

	/* A page grows with the ranges that are put together to it. */
	ranges[0].start = SZ_1G;
	ranges[0].end = ranges[0].start + page - 1;
	ranges[1].start = ranges[0].end + 1;
	ranges[1].end = ranges[0].start + SZ_64K - page - 1;
	ranges[2].start = ranges[1].end + 1;
	ranges[2].end = ranges[0].start + SZ_2M - 1;
	ranges[3].start = ranges[2].end + 1;
	ranges[3].end = ranges[0].start + SZ_1G - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 1, 0, 0, 0 });
	expect_ptes(test, vram, ranges, 3, (unsigned int []) { 0, 0, 1, 0 });
	expect_ptes(test, vram, ranges, 4, (unsigned int []) { 0, 0, 0, 1 });

	/* Out of order by 2 MiB each. */
	ranges[0].start = SZ_2M;
	ranges[0].end = 2 * SZ_2M - 1;
	ranges[1].start = 0;
	ranges[1].end = SZ_2M - 1;
	expect_ptes(test, vram, ranges, 2, (unsigned int []) { 0, 0, 2, 0 });

	/* Across blocks, with the border at a multiple of 2 MiB, and not. */
	ranges[0].start = 3ull * SZ_1G - SZ_2M;
	ranges[0].end = 3ull * SZ_1G + SZ_2M - 1;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 0, 0, 2, 0 });
	ranges[0].start -= SZ_64K;
	expect_ptes(test, vram, ranges, 1, (unsigned int []) { 0, 65, 0, 0 });
}

static struct kunit_case translate_cases[] = {
	KUNIT_CASE_PARAM(test_table, translate_gen_params),
	KUNIT_CASE(test_hostile),
	KUNIT_CASE(test_empty),
	KUNIT_CASE(test_64k),
	KUNIT_CASE(test_dma_addr),
	KUNIT_CASE_PARAM(test_huge, huge_gen_params),
	KUNIT_CASE(test_too_many),
	KUNIT_CASE_SLOW(test_fuzz),
	KUNIT_CASE(test_page_sizes),
	{}
};

static struct kunit_suite translate_suite = {
	.name = "xe_vf_vram_translate",
	.test_cases = translate_cases,
};

kunit_test_suite(translate_suite);

MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("xe SR-IOV PF kunit tests");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
