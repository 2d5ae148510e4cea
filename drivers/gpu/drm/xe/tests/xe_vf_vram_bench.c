// SPDX-License-Identifier: MIT
/*
 * What it costs to translate ranges of a VF's VRAM, and what comes out.
 *
 * The VRAM is as fragmented as it can be: 4 GiB in blocks of 2 MiB, in random
 * order, none of them next to another. Three kinds of buffers are cut from it:
 * pages that are scattered all over it (the worst there is), pieces of 2 MiB and
 * a page that never fit with the blocks, and one after the other as the guest's
 * driver would hand out its own VRAM. The fastest of several rounds counts, as
 * only that one was not disturbed. No absolute number of time means anything.
 *
 * What page tables make of it is counted as xe_pt_stage_bind() does, with a
 * cursor, and compared with the fewest PTEs that there can be, for which each
 * page is looked at.
 */

#include <kunit/test.h>

#include <linux/dma-buf-interconnect.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/prandom.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include <drm/drm_pagemap.h>

#include "xe_res_cursor.h"
#include "xe_sriov_pf_vram_types.h"
#include "xe_vf_vram_translate.h"

#define BENCH_ROUNDS		9
#define BENCH_RANGES		SZ_64K	/* per round */
#define BENCH_BLOCK		SZ_2M
#define BENCH_BLOCKS		2048u
#define BENCH_SIZE		((u64)BENCH_BLOCKS * BENCH_BLOCK)

static const unsigned int bench_nr[] = { 1, 64, 4096, 65536 };

struct bench {
	struct kunit *test;
	struct rnd_state rnd;
	struct xe_vf_vram *vram;
	struct range *ranges;
	unsigned int nr_ranges;
	struct dma_buf_ranges *mapped;
	struct drm_pagemap_addr *addrs;
	unsigned int nr_addrs;
};

static u32 bench_below(struct bench *bench, u32 n)
{
	return prandom_u32_state(&bench->rnd) % n;
}

static void bench_vram(struct bench *bench)
{
	struct xe_vf_vram_seg *segs;
	unsigned int i;

	bench->vram = kunit_kzalloc(bench->test,
				    struct_size(bench->vram, segs, BENCH_BLOCKS),
				    GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(bench->test, bench->vram);
	bench->vram->nr_segs = BENCH_BLOCKS;
	bench->vram->size = BENCH_SIZE;

	segs = bench->vram->segs;
	for (i = 0; i < BENCH_BLOCKS; i++) {
		segs[i].offset = (u64)i * BENCH_BLOCK;
		segs[i].size = BENCH_BLOCK;
		segs[i].dpa = (u64)i * 2 * BENCH_BLOCK;
	}
	for (i = BENCH_BLOCKS - 1; i > 0; i--)
		swap(segs[i].dpa, segs[bench_below(bench, i + 1)].dpa);
}

/* The kinds of buffers. */

static void bench_fill_scattered(struct bench *bench, unsigned int i)
{
	bench->ranges[i].start = (u64)bench_below(bench, BENCH_SIZE / PAGE_SIZE) * PAGE_SIZE;
	bench->ranges[i].end = bench->ranges[i].start + PAGE_SIZE - 1;
}

static void bench_fill_crossing(struct bench *bench, unsigned int i)
{
	const u64 size = BENCH_BLOCK + PAGE_SIZE;

	bench->ranges[i].start = (u64)bench_below(bench, (BENCH_SIZE - size) / PAGE_SIZE) *
				 PAGE_SIZE;
	bench->ranges[i].end = bench->ranges[i].start + size - 1;
}

static void bench_fill_linear(struct bench *bench, unsigned int i)
{
	const u64 size = SZ_64K;

	bench->ranges[i].start = i * size % BENCH_SIZE;
	bench->ranges[i].end = bench->ranges[i].start + size - 1;
}

static const struct bench_kind {
	const char *name;
	void (*fill)(struct bench *bench, unsigned int i);
} bench_kinds[] = {
	{ "scattered", bench_fill_scattered },
	{ "crossing", bench_fill_crossing },
	{ "linear", bench_fill_linear },
};

/* The ranges as dma-buf core keeps them. */
static void bench_map(struct bench *bench)
{
	bench->mapped = dma_buf_ranges_kunit_alloc(bench->ranges,
						   bench->nr_ranges);
	KUNIT_ASSERT_NOT_NULL(bench->test, bench->mapped);
}

static int bench_translate(struct bench *bench)
{
	return xe_vf_vram_translate(bench->vram, bench->mapped, SZ_4K,
				    &bench->addrs, &bench->nr_addrs);
}

/* Nanoseconds for enough buffers, one after the other, to make BENCH_RANGES. */
static u64 bench_time(struct bench *bench)
{
	unsigned int i, times = BENCH_RANGES / bench->nr_ranges;
	u64 start = ktime_get_ns();

	for (i = 0; i < times; i++) {
		if (bench_translate(bench)) {
			KUNIT_FAIL(bench->test, "can't translate");
			break;
		}
		kvfree(bench->addrs);
	}

	return ktime_get_ns() - start;
}

/* The largest page at @va that does not need more than @size bytes at @dpa. */
static u64 bench_pte_size(u64 va, u64 dpa, u64 size)
{
	static const u64 sizes[] = { SZ_1G, SZ_2M, SZ_64K };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (IS_ALIGNED(va | dpa, sizes[i]) && size >= sizes[i])
			return sizes[i];

	return PAGE_SIZE;
}

static u64 bench_buffer_size(const struct bench *bench)
{
	unsigned int i;
	u64 size = 0;

	for (i = 0; i < bench->nr_ranges; i++)
		size += range_len(&bench->ranges[i]);

	return size;
}

/* How many PTEs there are for a buffer that is bound at a multiple of 1 GiB. */
static u64 bench_count_ptes(struct bench *bench)
{
	struct xe_res_cursor cur;
	u64 size, va = 0, n = 0;

	xe_res_first_dma(bench->addrs, 0, bench_buffer_size(bench), &cur);
	for (; cur.remaining; xe_res_next(&cur, size)) {
		size = bench_pte_size(va, xe_res_dma(&cur), min(cur.size, cur.remaining));
		va += size;
		n++;
	}

	return n;
}

/* The next page of the buffer, by the way that takes the longest. */
struct bench_page {
	const struct bench *bench;
	unsigned int range;
	u64 offset;
};

static bool bench_page_next(struct bench_page *page, u64 *dpa)
{
	const struct xe_vf_vram_seg *segs = page->bench->vram->segs;
	const struct range *range;
	u64 offset;

	if (page->range == page->bench->nr_ranges)
		return false;

	range = &page->bench->ranges[page->range];
	offset = range->start + page->offset;
	*dpa = segs[offset / BENCH_BLOCK].dpa + offset % BENCH_BLOCK;
	page->offset += PAGE_SIZE;
	if (page->offset == range_len(range)) {
		page->offset = 0;
		page->range++;
	}

	return true;
}

/* And how many runs, entries and PTEs there must be at least. */
static void bench_fewest(const struct bench *bench, u64 *entries, u64 *ptes)
{
	struct bench_page page = { .bench = bench };
	u64 va = 0, dpa, next, size, first;
	bool more = bench_page_next(&page, &next);

	*entries = 0;
	*ptes = 0;
	while (more) {
		/* Find the end of what is contiguous ... */
		first = next;
		dpa = first;
		do {
			dpa += PAGE_SIZE;
			more = bench_page_next(&page, &next);
		} while (more && next == dpa);
		*entries += hweight64((dpa - first) / PAGE_SIZE);

		/* ... and fill it. */
		for (; first < dpa; first += size, va += size) {
			size = bench_pte_size(va, first, dpa - first);
			(*ptes)++;
		}
	}
}

static void bench_one(struct bench *bench, const struct bench_kind *kind,
		      unsigned int nr)
{
	u64 ns = U64_MAX, fewest_entries, fewest_ptes, ptes;
	unsigned int i;

	bench->nr_ranges = nr;
	for (i = 0; i < nr; i++)
		kind->fill(bench, i);
	bench_map(bench);

	for (i = 0; i < BENCH_ROUNDS; i++) {
		ns = min(ns, bench_time(bench));
		cond_resched();
	}

	KUNIT_ASSERT_EQ(bench->test, 0, bench_translate(bench));
	bench_fewest(bench, &fewest_entries, &fewest_ptes);
	ptes = bench_count_ptes(bench);
	KUNIT_EXPECT_EQ(bench->test, bench->nr_addrs, fewest_entries);
	KUNIT_EXPECT_EQ(bench->test, ptes, fewest_ptes);

	/* In hundredths: there is no printing of floating point here. */
	pr_info("bench: vf-vram-%s %u %llu.%02llu %u %llu %llu %llu\n",
		kind->name, nr, ns / BENCH_RANGES, ns * 100 / BENCH_RANGES % 100,
		bench->nr_addrs, fewest_entries, ptes, fewest_ptes);

	kvfree(bench->addrs);
	dma_buf_ranges_kunit_free(bench->mapped);
}

static void bench_translations(struct kunit *test)
{
	struct bench bench = { .test = test };
	unsigned int i, j;

	prandom_seed_state(&bench.rnd, 1);
	bench_vram(&bench);
	bench.ranges = kunit_kcalloc(test, BENCH_RANGES, sizeof(*bench.ranges), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, bench.ranges);

	for (i = 0; i < ARRAY_SIZE(bench_kinds); i++) {
		pr_info("bench-head: vf-vram-%s ranges ns-per-range entries fewest-entries ptes fewest-ptes\n",
			bench_kinds[i].name);
		for (j = 0; j < ARRAY_SIZE(bench_nr); j++)
			bench_one(&bench, &bench_kinds[i], bench_nr[j]);
	}
}

static struct kunit_case bench_cases[] = {
	KUNIT_CASE_SLOW(bench_translations),
	{}
};

static struct kunit_suite bench_suite = {
	.name = "xe_vf_vram_benchmark",
	.test_cases = bench_cases,
};

kunit_test_suite(bench_suite);
