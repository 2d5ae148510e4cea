// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a mapping to ranges costs, next to an sg_table of as many entries.
 *
 * Both sides do what it takes to describe a buffer of n pieces: allocate, fill in
 * and free. Neither maps anything for DMA, so this is the container alone. The
 * two alternate, and the fastest of several rounds counts, as only that one was
 * not disturbed. No absolute number means anything; compare within a line.
 */

#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-resv.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#define BENCH_ROUNDS		9
#define BENCH_RANGES		SZ_1M	/* per round, or for memory at a time */

static const unsigned int bench_nr[] = { 1, 64, 4096, 262144, 1048576 };

/* The exporter's buffer: where each of its pieces is. */
static struct range *bench_pieces;

static int bench_map(struct dma_buf_attachment *attach,
		     struct dma_buf_ranges *ranges)
{
	return dma_buf_ranges_add(ranges, bench_pieces,
				  attach->dmabuf->size / PAGE_SIZE);
}

static void bench_unmap(struct dma_buf_attachment *attach,
			struct dma_buf_ranges *ranges)
{
}

static u64 bench_limit(const struct dma_buf_interconnect_offer *exp)
{
	return U64_MAX;
}

static const struct dma_buf_interconnect bench_type = {
	.name = "bench",
	.merge = true,
	.limit = bench_limit,
};

static const struct dma_buf_interconnect_ops bench_ops = {
	.map = bench_map,
	.unmap = bench_unmap,
};

static const struct dma_buf_interconnect_offer bench_offer = {
	.type = &bench_type,
	.ops = &bench_ops,
};

static const struct dma_buf_interconnect_offer *const bench_offers[] = {
	&bench_offer,
};

static const struct dma_buf_interconnect_offer *const *
bench_exporter_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	*nr = ARRAY_SIZE(bench_offers);
	return bench_offers;
}

static struct sg_table *bench_map_sgt(struct dma_buf_attachment *attach,
				      enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void bench_unmap_sgt(struct dma_buf_attachment *attach,
			    struct sg_table *sgt, enum dma_data_direction dir)
{
}

static void bench_release(struct dma_buf *dmabuf)
{
}

static const struct dma_buf_ops bench_dmabuf_ops = {
	.interconnect_offers = bench_exporter_offers,
	.map_dma_buf = bench_map_sgt,
	.unmap_dma_buf = bench_unmap_sgt,
	.release = bench_release,
};

static void bench_invalidate(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops bench_importer_ops = {
	.invalidate_mappings = bench_invalidate,
};

/* One side of the comparison. */
struct bench_side {
	void *(*build)(struct dma_buf_attachment *attach, unsigned int n);
	void (*free)(struct dma_buf_attachment *attach, void *p);
};

static void *bench_build_ranges(struct dma_buf_attachment *attach,
				unsigned int n)
{
	return dma_buf_map_interconnect(attach);
}

static void bench_free_ranges(struct dma_buf_attachment *attach, void *p)
{
	dma_buf_unmap_interconnect(attach, p);
}

static void *bench_build_sgt(struct dma_buf_attachment *attach, unsigned int n)
{
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;
	int ret;

	sgt = kzalloc_obj(*sgt);
	if (!sgt)
		return ERR_PTR(-ENOMEM);

	ret = sg_alloc_table(sgt, n, GFP_KERNEL);
	if (ret) {
		kfree(sgt);
		return ERR_PTR(ret);
	}

	for_each_sgtable_dma_sg(sgt, sg, i) {
		sg_set_page(sg, NULL, range_len(&bench_pieces[i]), 0);
		sg_dma_address(sg) = bench_pieces[i].start;
		sg_dma_len(sg) = range_len(&bench_pieces[i]);
	}

	return sgt;
}

static void bench_free_sgt(struct dma_buf_attachment *attach, void *p)
{
	sg_free_table(p);
	kfree(p);
}

static const struct bench_side bench_ranges = {
	.build = bench_build_ranges,
	.free = bench_free_ranges,
};

static const struct bench_side bench_sgt = {
	.build = bench_build_sgt,
	.free = bench_free_sgt,
};

/* With the reservation lock held, here and below: nothing may assert. */

/* Nanoseconds for enough mappings, one after the other, to make BENCH_RANGES. */
static u64 bench_time(struct kunit *test, const struct bench_side *side,
		      struct dma_buf_attachment *attach, unsigned int n)
{
	unsigned int i, times = BENCH_RANGES / n;
	u64 start = ktime_get_ns();
	void *p;

	for (i = 0; i < times; i++) {
		p = side->build(attach, n);
		KUNIT_EXPECT_FALSE(test, IS_ERR(p));
		if (IS_ERR(p))
			break;
		side->free(attach, p);
	}

	start = ktime_get_ns() - start;
	/* What was freed after a grace period is not to slow the next one. */
	rcu_barrier();
	cond_resched();
	return start;
}

/* Bytes that enough mappings, all at once, take to make BENCH_RANGES. */
static u64 bench_memory(struct kunit *test, const struct bench_side *side,
			struct dma_buf_attachment *attach, unsigned int n)
{
	unsigned int i, got, times = BENCH_RANGES / n;
	unsigned long before, after;
	void **p;

	p = kvmalloc_objs(*p, times);
	KUNIT_EXPECT_NOT_NULL(test, p);
	if (!p)
		return 0;

	before = global_zone_page_state(NR_FREE_PAGES);
	for (got = 0; got < times; got++) {
		p[got] = side->build(attach, n);
		if (IS_ERR(p[got]))
			break;
	}
	after = global_zone_page_state(NR_FREE_PAGES);

	for (i = 0; i < got; i++)
		side->free(attach, p[i]);
	kvfree(p);
	rcu_barrier();

	KUNIT_EXPECT_EQ(test, got, times);
	return (u64)(before - after) << PAGE_SHIFT;
}

static void bench_container(struct kunit *test, struct device *dev,
			    unsigned int n)
{
	const struct dma_buf_interconnect_offer *const *offers = bench_offers;
	u64 ns, ranges_ns = U64_MAX, sgt_ns = U64_MAX;
	u64 ranges_bytes, sgt_bytes;
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	unsigned int i;

	exp_info.ops = &bench_dmabuf_ops;
	exp_info.size = (size_t)n * PAGE_SIZE;
	exp_info.priv = test;
	dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_FALSE(test, IS_ERR(dmabuf));

	attach = dma_buf_attach_interconnect(dmabuf, dev, &bench_importer_ops,
					     NULL, offers, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(attach));
	KUNIT_ASSERT_NOT_NULL(test, attach->interconnect);

	dma_resv_lock(dmabuf->resv, NULL);
	for (i = 0; i < BENCH_ROUNDS; i++) {
		ns = bench_time(test, &bench_ranges, attach, n);
		ranges_ns = min(ranges_ns, ns);
		ns = bench_time(test, &bench_sgt, attach, n);
		sgt_ns = min(sgt_ns, ns);
	}
	ranges_bytes = bench_memory(test, &bench_ranges, attach, n);
	sgt_bytes = bench_memory(test, &bench_sgt, attach, n);
	dma_resv_unlock(dmabuf->resv);

	/* In hundredths: there is no printing of floating point here. */
	pr_info("bench: container %u %llu.%02llu %llu.%02llu %llu.%02llu %llu.%02llu %llu.%02llu\n",
		n,
		div_u64(ranges_ns * 100 / sgt_ns, 100),
		ranges_ns * 100 / sgt_ns % 100,
		ranges_ns / BENCH_RANGES,
		ranges_ns * 100 / BENCH_RANGES % 100,
		sgt_ns / BENCH_RANGES,
		sgt_ns * 100 / BENCH_RANGES % 100,
		ranges_bytes / BENCH_RANGES,
		ranges_bytes * 100 / BENCH_RANGES % 100,
		sgt_bytes / BENCH_RANGES,
		sgt_bytes * 100 / BENCH_RANGES % 100);

	dma_buf_detach(dmabuf, attach);
	dma_buf_put(dmabuf);
}

/* Every other page, backwards, so that none merge. */
static void bench_fill_pieces(void)
{
	unsigned int i;

	for (i = 0; i < BENCH_RANGES; i++) {
		bench_pieces[i].start = (BENCH_RANGES - i) * 2 * PAGE_SIZE;
		bench_pieces[i].end = bench_pieces[i].start + PAGE_SIZE - 1;
	}
}

static void bench_containers(struct kunit *test)
{
	struct device *dev = kunit_device_register(test, "dma-buf-bench");
	unsigned int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(dev));

	bench_pieces = kvmalloc_objs(*bench_pieces, BENCH_RANGES);
	KUNIT_ASSERT_NOT_NULL(test, bench_pieces);
	bench_fill_pieces();

	pr_info("bench-head: container ranges time-ratio ranges-ns sg-ns ranges-bytes sg-bytes\n");
	for (i = 0; i < ARRAY_SIZE(bench_nr); i++)
		bench_container(test, dev, bench_nr[i]);

	kvfree(bench_pieces);
}

static struct kunit_case bench_cases[] = {
	KUNIT_CASE_SLOW(bench_containers),
	{}
};

static struct kunit_suite bench_suite = {
	.name = "dma-buf-interconnect-benchmark",
	.test_cases = bench_cases,
};

kunit_test_suite(bench_suite);
