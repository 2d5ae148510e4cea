// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-buf interconnects: sharing a buffer without a DMA mapping
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-resv.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "dma-buf-interconnect-internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/dma_buf_interconnect.h>

/**
 * DOC: overview
 *
 * An importer of a dma-buf normally gets DMA addresses: the exporter maps the
 * buffer for the importer's device, and the importer's device sends reads and
 * writes to these addresses out to its bus. That is the wrong tool when the two
 * devices are joined by something other than that bus. A GPU's physical
 * function (PF), say, already owns the memory behind the BAR of its virtual
 * functions (VFs): to read a VF's buffer it needs to know which part of its own
 * memory the buffer is, not an address at which the root complex might, or might
 * not, route it back to the same card.
 *
 * An *interconnect* is a named way for two devices to reach the same memory
 * without a DMA mapping. Each is described by one &struct dma_buf_interconnect,
 * its *type*, which defines who is joined by it and in which address space
 * memory is described to those who are.
 *
 * Exporter and importer each declare the types they can use, as *offers*: the
 * exporter for each buffer (&dma_buf_ops.interconnect_offers), the importer when
 * it attaches (dma_buf_attach_interconnect()). Matching is core's business
 * alone. It takes the exporter's offers in the exporter's order, as the exporter
 * knows what it would rather do with its buffer; for each of them the importer's
 * offers in the importer's order; and agrees on the first pair of the same type
 * that the type's own rule, &dma_buf_interconnect.match, accepts. What was agreed
 * stands in &dma_buf_attachment.interconnect, as the exporter's offer, from
 * before the exporter's &dma_buf_ops.attach is called until detach. If nothing
 * was agreed that is NULL, and the attachment is like any other: the importer
 * maps it to an sg_table.
 *
 * ::
 *
 *     importer                     core                          exporter
 *        |                          |                               |
 *        | dma_buf_attach_          |                               |
 *        |     interconnect(offers) |                               |
 *        |------------------------->|      interconnect_offers()    |
 *        |                          |------------------------------>|
 *        |                          |  type->match(), for each pair |
 *        |                          |                               |
 *        |                          |           attach()            |
 *        |<-------------------------|------------------------------>|
 *        |                          |                               |
 *     ...|..........................|... reservation lock held .....|....
 *        | dma_buf_map_             |                               |
 *        |     interconnect()       |          ops->map()           |
 *        |------------------------->|------------------------------>|
 *        |                          |     dma_buf_ranges_add(), n x |
 *        |                          |<------------------------------|
 *        |<-------------------------|                               |
 *        |   struct dma_buf_ranges  |                               |
 *        |                          | dma_buf_invalidate_mappings() |
 *        |                          |<------------------------------|
 *        |    invalidate_mappings() |                               |
 *        |<-------------------------|                               |
 *        | dma_buf_unmap_           |                               |
 *        |     interconnect()       |         ops->unmap()          |
 *        |------------------------->|------------------------------>|
 *     ...|..........................|...............................|....
 *        | dma_buf_detach()         |           detach()            |
 *        |------------------------->|------------------------------>|
 *
 * An attachment knows one kind of mapping. Where an interconnect was agreed,
 * dma_buf_map_attachment() fails with -EOPNOTSUPP, where none was,
 * dma_buf_map_interconnect() does.
 */

/**
 * DOC: locking
 *
 * Negotiation and &dma_buf_ops.attach run without the reservation lock of the
 * buffer, so a match rule must not depend on what may change under it: all that
 * it looks at is constant from dma_buf_export() to &dma_buf_ops.release.
 *
 * Mapping, unmapping and &dma_buf_attach_ops.invalidate_mappings run with the
 * reservation lock held. It protects the count of live mappings, and orders map
 * against revoke: an exporter sets its "revoked" under this lock before it calls
 * dma_buf_invalidate_mappings(), and tests it in &dma_buf_interconnect_ops.map.
 * No callback may take a lock under which somebody else takes a reservation
 * lock.
 */

/**
 * DOC: revocation
 *
 * Only importers that can be asked to unmap, by an
 * &dma_buf_attach_ops.invalidate_mappings callback, are ever matched. They must
 * call dma_buf_unmap_interconnect() within that callback or in bounded time
 * after it: an exporter may wait for the unmap without limit, and hold locks
 * for which its own user, for instance a guest that resets its device, waits.
 *
 * The callback may come twice in a row, and before the first map. A map while the
 * buffer is revoked returns -ENODEV; the importer may try again later. There is
 * no event that says when, and importers must not take the callback for one:
 * exporters call it in the middle of what they do.
 */

/*
 * Ranges live in runs of at most a page, DMA_BUF_RANGES_PER_RUN of them, and the
 * xarray holds the runs: range i is entry i % DMA_BUF_RANGES_PER_RUN of the run at
 * index i / DMA_BUF_RANGES_PER_RUN. An xarray with an entry for each range would
 * spend half as much memory again on its nodes, and more time on them than on the
 * ranges.
 *
 * Nobody needs to say beforehand how many ranges there will be. A run is as long
 * as the exporter's call to dma_buf_ranges_add() wants it, grows when there are
 * more, and enters the xarray when it is full or the exporter is done.
 *
 * The first run is range 0 alone, in struct dma_buf_runs: a buffer of one range
 * costs one allocation and no xarray node.
 */

static struct dma_buf_runs *to_runs(const struct dma_buf_ranges *ranges)
{
	return container_of(ranges, struct dma_buf_runs, ranges);
}

/* Asked before each allocation of this file, so that a test can make it fail. */
VISIBLE_IF_KUNIT
bool dma_buf_runs_no_memory(void)
{
	KUNIT_STATIC_STUB_REDIRECT(dma_buf_runs_no_memory);

	return false;
}
EXPORT_SYMBOL_IF_KUNIT(dma_buf_runs_no_memory);

static struct dma_buf_runs *runs_alloc(const struct dma_buf_attachment *attach,
				       bool merge, u64 limit)
{
	struct dma_buf_runs *runs;

	if (dma_buf_runs_no_memory())
		return NULL;

	runs = kzalloc_obj(*runs, GFP_KERNEL_ACCOUNT);
	if (!runs)
		return NULL;

	xa_init_flags(&runs->xa, XA_FLAGS_ACCOUNT);
	runs->attach = attach;
	runs->merge = merge;
	runs->limit = limit;
	runs->end = &runs->first;
	runs->room = 1;
	return runs;
}

/* The index in the xarray of the run that is being filled, or was the last. */
static unsigned long runs_last_index(const struct dma_buf_runs *runs)
{
	return runs->ranges.nr ? (runs->ranges.nr - 1) / DMA_BUF_RANGES_PER_RUN : 0;
}

/* And the run itself, which may not be in the xarray yet. */
static struct range *runs_last(const struct dma_buf_runs *runs)
{
	return runs->end - (runs->ranges.nr -
			    runs_last_index(runs) * DMA_BUF_RANGES_PER_RUN);
}

static void runs_free(struct dma_buf_runs *runs)
{
	struct range *run = runs_last(runs);
	unsigned long index;

	/* Else there is nothing in the xarray that needs to be freed. */
	if (run != &runs->first) {
		if (!xa_load(&runs->xa, runs_last_index(runs)))
			kfree(run);
		xa_for_each(&runs->xa, index, run)
			kfree(run);
		xa_destroy(&runs->xa);
	}

	kfree(runs);
}

static int runs_store_last(struct dma_buf_runs *runs)
{
	if (dma_buf_runs_no_memory())
		return -ENOMEM;

	return xa_err(xa_store(&runs->xa, runs_last_index(runs),
			       runs_last(runs), GFP_KERNEL_ACCOUNT));
}

/*
 * Make room for @want more ranges, or for as many of them as the run takes: a new
 * run if this one is full, else a longer one. The caller then adds at least one.
 * If it fails, nothing has changed.
 */
static int runs_grow(struct dma_buf_runs *runs, unsigned int want)
{
	unsigned int nr = runs->ranges.nr % DMA_BUF_RANGES_PER_RUN;
	struct range *old = runs_last(runs), *run;
	int ret;

	/* At least doubled, so that adding one by one does not copy each time. */
	want = min(max(want, nr), DMA_BUF_RANGES_PER_RUN - nr);
	if (dma_buf_runs_no_memory())
		return -ENOMEM;

	run = kmalloc_objs(*run, nr + want, GFP_KERNEL_ACCOUNT);
	if (!run)
		return -ENOMEM;

	if (nr) {
		memcpy(run, old, nr * sizeof(*run));
		if (old != &runs->first)
			kfree(old);
	} else {
		ret = runs_store_last(runs);
		if (ret) {
			kfree(run);
			return ret;
		}
	}

	runs->end = run + nr;
	runs->room = want;
	cond_resched();
	return 0;
}

/* What is wrong with a range that an exporter adds? */
static int runs_check(const struct dma_buf_runs *runs,
		      const struct range *range)
{
	const char *why;
	u64 size;

	if (range->end < range->start || !range_len(range))
		why = "ends before it starts";
	else if (!PAGE_ALIGNED(range->start) || !PAGE_ALIGNED(range->end + 1))
		why = "not page aligned";
	else if (range->end > runs->limit)
		why = "past the end of the address space";
	else if (check_add_overflow(runs->ranges.size, range_len(range), &size))
		why = "more bytes than a u64 can count";
	else
		return 0;

	trace_dma_buf_interconnect_bad_range(range, runs->ranges.nr,
					     runs->limit, why);
	return -EINVAL;
}

/* Account for what now stands from runs->end to @end: @size bytes in all. */
static void runs_added(struct dma_buf_runs *runs, struct range *end, u64 size)
{
	unsigned int nr = end - runs->end;

	runs->ranges.size = size;
	runs->ranges.nr += nr;
	runs->room -= nr;
	runs->end = end;
}

/*
 * Does @piece need runs_append()? This is asked for every piece, so it is kept
 * to few comparisons, but it must find all that runs_check() refuses. The second
 * one also finds each range that starts at 0: none continues another, even if the
 * one before it ends where a u64 does.
 */
static bool runs_special(const struct range *piece, u64 limit)
{
	return ((piece->start | ~piece->end) & ~PAGE_MASK) ||
	       piece->start - 1 >= piece->end || piece->end > limit;
}

/*
 * Add pieces until one is special or there is no room. Nearly all the time that
 * it takes to build a mapping is spent in this loop. A full run still stands
 * before runs->end, so that its last range can be merged with.
 *
 * Returns how many pieces were added.
 */
static unsigned int runs_copy(struct dma_buf_runs *runs,
			      const struct range *pieces, unsigned int nr)
{
	struct range *slot = runs->end, *full = slot + runs->room;
	u64 next = runs->ranges.nr ? slot[-1].end + 1 : 0;
	u64 size = runs->ranges.size, new_size;
	const bool merge = runs->merge;
	const u64 limit = runs->limit;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct range piece = pieces[i];

		if (runs_special(&piece, limit) ||
		    check_add_overflow(size, range_len(&piece), &new_size))
			break;

		if (piece.start == next && merge)
			slot[-1].end = piece.end;
		else if (slot < full)
			*slot++ = piece;
		else
			break;

		next = piece.end + 1;
		size = new_size;
	}

	runs_added(runs, slot, size);
	return i;
}

/* Add the first of @left pieces, at which runs_copy() stopped. */
static int runs_append(struct dma_buf_runs *runs, const struct range *piece,
		       unsigned int left)
{
	int ret;

	ret = runs_check(runs, piece);
	if (!ret && !runs->room)
		ret = runs_grow(runs, left);
	if (ret)
		return ret;

	*runs->end = *piece;
	runs_added(runs, runs->end + 1, runs->ranges.size + range_len(piece));
	return 0;
}

/**
 * dma_buf_ranges_add - add the next pieces of a buffer to its ranges
 * @ranges: what core handed to &dma_buf_interconnect_ops.map
 * @pieces: where the pieces are in the interconnect's address space
 * @nr: number of pieces
 *
 * For exporters, in &dma_buf_interconnect_ops.map: the pieces go to the end, in
 * the order of the buffer's content, all in one call or in several. How many
 * there may be is limited by memory only, which is accounted to the importer's
 * caller. A piece that continues the one before is merged with it, if the type
 * allows that. @pieces is copied.
 *
 * Context: reservation lock held, may sleep.
 *
 * Returns: 0; -ENOMEM; or -EINVAL for a piece that no correct exporter has:
 * empty, not aligned to PAGE_SIZE, wrapping, or past the limit of the address
 * space. The trace event dma_buf_interconnect_bad_range says which it was.
 */
int dma_buf_ranges_add(struct dma_buf_ranges *ranges,
		       const struct range *pieces, unsigned int nr)
{
	struct dma_buf_runs *runs = to_runs(ranges);
	unsigned int done;
	int ret;

	for (done = 0; done < nr; done++) {
		done += runs_copy(runs, pieces + done, nr - done);
		if (done == nr)
			break;

		ret = runs_append(runs, pieces + done, nr - done);
		if (ret)
			return ret;
	}

	return 0;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_ranges_add, "DMA_BUF");

/**
 * dma_buf_ranges_load - find a range by its index
 * @ranges: what dma_buf_map_interconnect() returned
 * @index: which range, in buffer order
 *
 * Context: any, as long as @ranges stays mapped.
 *
 * Returns: the range, valid until @ranges is unmapped, or NULL if @index is not
 * less than @ranges->nr.
 */
const struct range *dma_buf_ranges_load(const struct dma_buf_ranges *ranges,
					unsigned long index)
{
	struct dma_buf_runs *runs = to_runs(ranges);
	const struct range *run;

	if (index >= ranges->nr)
		return NULL;

	run = xa_load(&runs->xa, index / DMA_BUF_RANGES_PER_RUN);
	return run + index % DMA_BUF_RANGES_PER_RUN;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_ranges_load, "DMA_BUF");

#if IS_ENABLED(CONFIG_KUNIT)
/**
 * dma_buf_ranges_kunit_alloc - make a list of ranges without a dma-buf
 * @pieces: the ranges, in buffer order
 * @nr: number of @pieces
 *
 * For tests of what an importer makes of ranges, also of those that core would
 * refuse: nothing is checked or merged.
 *
 * Context: process context, may sleep.
 *
 * Returns: the ranges, a copy of @pieces, for dma_buf_ranges_kunit_free(), or NULL.
 */
struct dma_buf_ranges *dma_buf_ranges_kunit_alloc(const struct range *pieces,
						  unsigned int nr)
{
	struct dma_buf_runs *runs = runs_alloc(NULL, false, U64_MAX);
	unsigned int i;
	int ret = 0;

	if (!runs)
		return NULL;

	for (i = 0; i < nr && !ret; i++) {
		if (!runs->room)
			ret = runs_grow(runs, nr - i);
		if (!ret) {
			*runs->end = pieces[i];
			runs_added(runs, runs->end + 1,
				   runs->ranges.size + range_len(&pieces[i]));
		}
	}

	if (ret || runs_store_last(runs)) {
		runs_free(runs);
		return NULL;
	}

	return &runs->ranges;
}
EXPORT_SYMBOL_IF_KUNIT(dma_buf_ranges_kunit_alloc);

/**
 * dma_buf_ranges_kunit_free - free what dma_buf_ranges_kunit_alloc() returned
 * @ranges: the ranges
 *
 * Context: any.
 */
void dma_buf_ranges_kunit_free(struct dma_buf_ranges *ranges)
{
	runs_free(to_runs(ranges));
}
EXPORT_SYMBOL_IF_KUNIT(dma_buf_ranges_kunit_free);
#endif

/*
 * The types of the two ends' offers. What an exporter or importer hands in that
 * core could not use is not an offer, and has none.
 */
static const struct dma_buf_interconnect *
exporter_type(const struct dma_buf_interconnect_offer *exp)
{
	if (WARN_ON_ONCE(!exp || !exp->type || !exp->ops || !exp->ops->map ||
			 !exp->ops->unmap))
		return NULL;

	return exp->type;
}

static const struct dma_buf_interconnect *
importer_type(const struct dma_buf_interconnect_offer *imp)
{
	if (WARN_ON_ONCE(!imp || !imp->type))
		return NULL;

	return imp->type;
}

static bool
interconnect_match(const struct dma_buf_attachment *attach,
		   const struct dma_buf_interconnect_offer *exp,
		   const struct dma_buf_interconnect_offer *imp)
{
	const struct dma_buf_interconnect *type = exp->type;
	const char *why = "refused by the match rule";
	bool matched = !type->match || type->match(attach, exp, imp, &why);

	trace_dma_buf_interconnect_match(attach, type,
					 matched ? "matched" : why);
	return matched;
}

/* Does one of the importer's offers match @exp? The first that does will do. */
static bool
interconnect_shared(const struct dma_buf_attachment *attach,
		    const struct dma_buf_interconnect_offer *exp,
		    const struct dma_buf_interconnect_offer *const *imps,
		    unsigned int nr_imps)
{
	const struct dma_buf_interconnect *type = exporter_type(exp);
	bool offered = false;
	unsigned int i;

	if (!type)
		return false;

	for (i = 0; i < nr_imps; i++) {
		if (importer_type(imps[i]) != type)
			continue;
		if (interconnect_match(attach, exp, imps[i]))
			return true;
		offered = true;
	}

	if (!offered)
		trace_dma_buf_interconnect_match(attach, type,
						 "not offered by the importer");
	return false;
}

static bool
interconnect_offered(const struct dma_buf_interconnect_offer *const *exps,
		     unsigned int nr_exps,
		     const struct dma_buf_interconnect *type)
{
	unsigned int i;

	for (i = 0; i < nr_exps; i++)
		if (exporter_type(exps[i]) == type)
			return true;

	return false;
}

/* Why the importer's offers need not even be looked at, or NULL. */
static const char *
interconnect_hopeless(struct dma_buf_attachment *attach, unsigned int nr_exps)
{
	if (!nr_exps)
		return "not offered by the exporter";
	if (!dma_buf_attach_revocable(attach))
		return "importer has no invalidate_mappings";
	return NULL;
}

static const struct dma_buf_interconnect_offer *const *
interconnect_exporter_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	const struct dma_buf_interconnect_offer *const *exps;

	*nr = 0;
	if (!dmabuf->ops->interconnect_offers)
		return NULL;

	exps = dmabuf->ops->interconnect_offers(dmabuf, nr);
	if (WARN_ON_ONCE(!exps && *nr))
		*nr = 0;

	return exps;
}

/**
 * dma_buf_interconnect_negotiate - agree on an interconnect for an attachment
 * @attach: the attachment, complete but for @attach->interconnect, and not yet
 *	    known to the exporter
 * @imps: the importer's offers, in its order of preference
 * @nr_imps: number of @imps, may be 0
 *
 * Sets &dma_buf_attachment.interconnect to the offer of the exporter on which
 * the two ends agree, if they do.
 *
 * Context: process context, may sleep. Reservation lock not held.
 */
void dma_buf_interconnect_negotiate(struct dma_buf_attachment *attach,
				    const struct dma_buf_interconnect_offer *const *imps,
				    unsigned int nr_imps)
{
	const struct dma_buf_interconnect_offer *const *exps;
	const struct dma_buf_interconnect *type;
	unsigned int nr_exps, i;
	const char *why;

	if (WARN_ON_ONCE(!imps && nr_imps))
		nr_imps = 0;

	exps = interconnect_exporter_offers(attach->dmabuf, &nr_exps);

	why = interconnect_hopeless(attach, nr_exps);
	if (why) {
		for (i = 0; i < nr_imps; i++)
			trace_dma_buf_interconnect_match(attach,
							 importer_type(imps[i]),
							 why);
		return;
	}

	for (i = 0; i < nr_exps; i++) {
		if (interconnect_shared(attach, exps[i], imps, nr_imps)) {
			attach->interconnect = exps[i];
			return;
		}
	}

	/* What the exporter does not offer has not been looked at so far. */
	for (i = 0; i < nr_imps; i++) {
		type = importer_type(imps[i]);
		if (!interconnect_offered(exps, nr_exps, type))
			trace_dma_buf_interconnect_match(attach, type,
							 "not offered by the exporter");
	}
}

/**
 * dma_buf_interconnect_show - describe an attachment's interconnect in debugfs
 * @s: where to print
 * @attach: the attachment; nothing is printed for one without interconnect
 *
 * Context: reservation lock held.
 */
void dma_buf_interconnect_show(struct seq_file *s,
			       const struct dma_buf_attachment *attach)
{
	const struct dma_buf_interconnect_offer *offer = attach->interconnect;

	if (!offer)
		return;

	seq_printf(s, " [interconnect %s", offer->type->name);
	if (offer->type->show)
		offer->type->show(s, offer);
	seq_printf(s, " maps=%u]", attach->maps);
}
EXPORT_SYMBOL_IF_KUNIT(dma_buf_interconnect_show);

/* The ranges are all there. Are they the buffer? Then let importers see them. */
static int runs_finish(struct dma_buf_runs *runs, size_t size)
{
	if (!runs->ranges.nr || runs->ranges.size != size)
		return -EINVAL;

	return runs_store_last(runs);
}

/**
 * dma_buf_map_interconnect - get the ranges of a buffer
 * @attach: an attachment for which an interconnect was agreed
 *
 * The counterpart of dma_buf_map_attachment() for an attachment whose
 * &dma_buf_attachment.interconnect is not NULL. The same attachment may be
 * mapped several times; each mapping is to be undone with
 * dma_buf_unmap_interconnect().
 *
 * As with any dynamic importer, the caller waits for the fences in the
 * reservation object before it lets its device touch the memory.
 *
 * Context: reservation lock of the buffer held, may sleep.
 *
 * Returns: the ranges, to be read until they are unmapped, or an ERR_PTR:
 *
 * * -EOPNOTSUPP: no interconnect was agreed. The attachment is for
 *   dma_buf_map_attachment().
 * * -ENODEV: the buffer is revoked. The importer may try again later.
 * * -EXDEV: the buffer has moved to where the interconnect does not reach. The
 *   attachment is of no use until it moves back.
 * * -ENOMEM
 * * -EINVAL: the exporter's ranges are not what they must be.
 * * Another errno of the exporter's.
 *
 * The trace event dma_buf_interconnect_map has each of them, and how far the
 * exporter came.
 */
struct dma_buf_ranges *
dma_buf_map_interconnect(struct dma_buf_attachment *attach)
{
	const struct dma_buf_interconnect_offer *offer;
	const struct dma_buf_interconnect *type;
	struct dma_buf_runs *runs = NULL;
	int ret;

	might_sleep();

	if (WARN_ON(!attach || !attach->dmabuf))
		return ERR_PTR(-EINVAL);

	dma_resv_assert_held(attach->dmabuf->resv);

	offer = attach->interconnect;
	if (!offer) {
		ret = -EOPNOTSUPP;
		goto err_trace;
	}

	type = offer->type;
	runs = runs_alloc(attach, type->merge,
			  type->limit ? type->limit(offer) : U64_MAX);
	if (!runs) {
		ret = -ENOMEM;
		goto err_trace;
	}

	ret = offer->ops->map(attach, &runs->ranges);
	if (ret)
		goto err_trace;

	ret = runs_finish(runs, attach->dmabuf->size);
	if (ret)
		goto err_unmap;

	attach->maps++;
	trace_dma_buf_interconnect_map(attach, &runs->ranges, 0);
	return &runs->ranges;

err_unmap:
	offer->ops->unmap(attach, &runs->ranges);
err_trace:
	trace_dma_buf_interconnect_map(attach, runs ? &runs->ranges : NULL, ret);
	if (runs)
		runs_free(runs);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_NS_GPL(dma_buf_map_interconnect, "DMA_BUF");

/**
 * dma_buf_unmap_interconnect - give the ranges of a buffer back
 * @attach: the attachment that was mapped
 * @ranges: what dma_buf_map_interconnect() returned; freed by this call
 *
 * The importer's device must no longer use the memory, and nobody the ranges.
 *
 * Context: reservation lock of the buffer held, also inside
 * &dma_buf_attach_ops.invalidate_mappings. May sleep.
 */
void dma_buf_unmap_interconnect(struct dma_buf_attachment *attach,
				struct dma_buf_ranges *ranges)
{
	might_sleep();

	if (WARN_ON(!attach || !attach->dmabuf || IS_ERR_OR_NULL(ranges)))
		return;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (WARN_ON(to_runs(ranges)->attach != attach))
		return;

	attach->interconnect->ops->unmap(attach, ranges);
	attach->maps--;
	trace_dma_buf_interconnect_unmap(attach, ranges, 0);
	runs_free(to_runs(ranges));
}
EXPORT_SYMBOL_NS_GPL(dma_buf_unmap_interconnect, "DMA_BUF");
