// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma-buf interconnects: sharing a buffer without a DMA mapping
 */

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
 * dma_buf_map_interconnect() does. An importer that wants the other kind, for
 * instance because the exporter has moved the buffer to where the interconnect
 * does not reach, detaches and attaches again.
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
 * Only importers that can be told to let go, with an
 * &dma_buf_attach_ops.invalidate_mappings callback, are ever matched. They must
 * call dma_buf_unmap_interconnect() within that callback or in bounded time
 * after it: an exporter may wait for the unmap without limit, and hold locks
 * for which its own user, for instance a guest that resets its device, waits.
 *
 * The callback may come twice in a row, before the first map, and when the
 * buffer becomes usable again. A map while the buffer is revoked returns
 * -ENODEV; the importer may try again later. There is no event that says when.
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
 * The first run is range 0 alone, in struct dma_buf_ranges: a buffer of one range
 * costs one allocation and no xarray node.
 */

static struct dma_buf_ranges *
ranges_alloc(const struct dma_buf_interconnect_offer *offer)
{
	const struct dma_buf_interconnect *type = offer->type;
	struct dma_buf_ranges *ranges;

	ranges = kzalloc_obj(*ranges, GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return NULL;

	xa_init_flags(&ranges->xa, XA_FLAGS_ACCOUNT);
	ranges->merge = type->merge;
	ranges->limit = type->limit ? type->limit(offer) : U64_MAX;
	ranges->end = &ranges->first;
	ranges->room = 1;
	return ranges;
}

/* The index in the xarray of the run that is being filled, or was the last. */
static unsigned long ranges_run_index(const struct dma_buf_ranges *ranges)
{
	return ranges->nr ? (ranges->nr - 1) / DMA_BUF_RANGES_PER_RUN : 0;
}

/* And the run itself, which may not be in the xarray yet. */
static struct range *ranges_run(const struct dma_buf_ranges *ranges)
{
	return ranges->end - (ranges->nr -
			      ranges_run_index(ranges) * DMA_BUF_RANGES_PER_RUN);
}

static void ranges_free(struct dma_buf_ranges *ranges)
{
	struct range *run = ranges_run(ranges);
	unsigned long index;

	/* Else there is nothing in the xarray that needs to be freed. */
	if (run != &ranges->first) {
		if (!xa_load(&ranges->xa, ranges_run_index(ranges)))
			kfree(run);
		xa_for_each(&ranges->xa, index, run)
			kfree(run);
		xa_destroy(&ranges->xa);
	}

	kfree(ranges);
}

static int ranges_store_run(struct dma_buf_ranges *ranges)
{
	return xa_err(xa_store(&ranges->xa, ranges_run_index(ranges),
			       ranges_run(ranges), GFP_KERNEL_ACCOUNT));
}

/*
 * Make room for @want more ranges, or for as many of them as the run takes: a new
 * run if this one is full, else a longer one. The caller then adds at least one.
 * If it fails, nothing has changed.
 */
static int ranges_grow(struct dma_buf_ranges *ranges, unsigned int want)
{
	unsigned int nr = ranges->nr % DMA_BUF_RANGES_PER_RUN;
	struct range *old = ranges_run(ranges), *run;
	int ret;

	/* At least doubled, so that adding one by one does not copy each time. */
	want = min(max(want, nr), DMA_BUF_RANGES_PER_RUN - nr);
	run = kmalloc_objs(*run, nr + want, GFP_KERNEL_ACCOUNT);
	if (!run)
		return -ENOMEM;

	if (nr) {
		memcpy(run, old, nr * sizeof(*run));
		if (old != &ranges->first)
			kfree(old);
	} else {
		ret = ranges_store_run(ranges);
		if (ret) {
			kfree(run);
			return ret;
		}
	}

	ranges->end = run + nr;
	ranges->room = want;
	cond_resched();
	return 0;
}

/* What is wrong with a range that an exporter adds? */
static int ranges_check(const struct dma_buf_ranges *ranges,
			const struct range *range)
{
	const char *why;
	u64 size;

	if (range->end < range->start || !range_len(range))
		why = "ends before it starts";
	else if (!PAGE_ALIGNED(range->start) || !PAGE_ALIGNED(range->end + 1))
		why = "not page aligned";
	else if (range->end > ranges->limit)
		why = "past the end of the address space";
	else if (check_add_overflow(ranges->size, range_len(range), &size))
		why = "more bytes than a u64 can count";
	else
		return 0;

	trace_dma_buf_interconnect_bad_range(ranges, range, why);
	return -EINVAL;
}

/* Account for what now stands from ranges->end to @end: @size bytes in all. */
static void ranges_added(struct dma_buf_ranges *ranges, struct range *end,
			 u64 size)
{
	unsigned int nr = end - ranges->end;

	ranges->size = size;
	ranges->nr += nr;
	ranges->room -= nr;
	ranges->end = end;
}

/*
 * Does @piece need ranges_append()? This is asked for every piece, so it is kept
 * to few comparisons, but it must find all that ranges_check() refuses. The second
 * one also finds each range that starts at 0: none continues another, even if the
 * one before it ends where a u64 does.
 */
static bool ranges_special(const struct range *piece, u64 limit)
{
	return ((piece->start | ~piece->end) & ~PAGE_MASK) ||
	       piece->start - 1 >= piece->end || piece->end > limit;
}

/*
 * Add pieces until one is special or there is no room. Nearly all the time that
 * it takes to build a mapping is spent in this loop. A full run still stands
 * before ranges->end, so that its last range can be merged with.
 *
 * Returns how many pieces were added.
 */
static unsigned int ranges_copy(struct dma_buf_ranges *ranges,
				const struct range *pieces, unsigned int nr)
{
	struct range *slot = ranges->end, *full = slot + ranges->room;
	u64 next = ranges->nr ? slot[-1].end + 1 : 0;
	u64 size = ranges->size, new_size;
	const bool merge = ranges->merge;
	const u64 limit = ranges->limit;
	unsigned int i;

	for (i = 0; i < nr; i++) {
		const struct range piece = pieces[i];

		if (ranges_special(&piece, limit) ||
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

	ranges_added(ranges, slot, size);
	return i;
}

/* Add the first of @left pieces, at which ranges_copy() stopped. */
static int ranges_append(struct dma_buf_ranges *ranges,
			 const struct range *piece, unsigned int left)
{
	int ret;

	ret = ranges_check(ranges, piece);
	if (!ret && !ranges->room)
		ret = ranges_grow(ranges, left);
	if (ret)
		return ret;

	*ranges->end = *piece;
	ranges_added(ranges, ranges->end + 1, ranges->size + range_len(piece));
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
	unsigned int done;
	int ret;

	for (done = 0; done < nr; done++) {
		done += ranges_copy(ranges, pieces + done, nr - done);
		if (done == nr)
			break;

		ret = ranges_append(ranges, pieces + done, nr - done);
		if (ret)
			return ret;
	}

	return 0;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_ranges_add, "DMA_BUF");

static bool
interconnect_match(const struct dma_buf_attachment *attach,
		   const struct dma_buf_interconnect_offer *exp,
		   const struct dma_buf_interconnect_offer *imp)
{
	const struct dma_buf_interconnect *type = exp->type;
	const char *why = "refused by the match rule";
	bool matched = !type->match || type->match(exp, imp, &why);

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
	bool offered = false;
	unsigned int i;

	for (i = 0; i < nr_imps; i++) {
		if (imps[i]->type != exp->type)
			continue;
		if (interconnect_match(attach, exp, imps[i]))
			return true;
		offered = true;
	}

	if (!offered)
		trace_dma_buf_interconnect_match(attach, exp->type,
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
		if (exps[i]->type == type)
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
	*nr = 0;
	if (!dmabuf->ops->interconnect_offers)
		return NULL;

	return dmabuf->ops->interconnect_offers(dmabuf, nr);
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
	unsigned int nr_exps, i;
	const char *why;

	exps = interconnect_exporter_offers(attach->dmabuf, &nr_exps);

	why = interconnect_hopeless(attach, nr_exps);
	if (why) {
		for (i = 0; i < nr_imps; i++)
			trace_dma_buf_interconnect_match(attach, imps[i]->type,
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
	for (i = 0; i < nr_imps; i++)
		if (!interconnect_offered(exps, nr_exps, imps[i]->type))
			trace_dma_buf_interconnect_match(attach, imps[i]->type,
							 "not offered by the exporter");
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
	seq_printf(s, " maps=%u]", attach->interconnect_maps);
}

/* The ranges are all there. Are they the buffer? Then let importers see them. */
static int ranges_finish(struct dma_buf_ranges *ranges, size_t size)
{
	if (!ranges->nr || ranges->size != size)
		return -EINVAL;

	return ranges_store_run(ranges);
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
 * -EOPNOTSUPP if no interconnect was agreed, -ENODEV if the buffer is revoked,
 * -ENOMEM, -EINVAL if the exporter's ranges are not what they must be (the trace
 * event dma_buf_interconnect_map tells how far it came), or another errno of the
 * exporter's.
 */
struct dma_buf_ranges *
dma_buf_map_interconnect(struct dma_buf_attachment *attach)
{
	const struct dma_buf_interconnect_offer *offer;
	struct dma_buf_ranges *ranges;
	int ret;

	might_sleep();

	if (WARN_ON(!attach || !attach->dmabuf))
		return ERR_PTR(-EINVAL);

	dma_resv_assert_held(attach->dmabuf->resv);

	offer = attach->interconnect;
	if (!offer)
		return ERR_PTR(-EOPNOTSUPP);

	ranges = ranges_alloc(offer);
	if (!ranges)
		return ERR_PTR(-ENOMEM);

	ret = offer->ops->map(attach, ranges);
	if (ret)
		goto err_free;

	ret = ranges_finish(ranges, attach->dmabuf->size);
	if (ret)
		goto err_unmap;

	attach->interconnect_maps++;
	trace_dma_buf_interconnect_map(attach, ranges, 0);
	return ranges;

err_unmap:
	offer->ops->unmap(attach, ranges);
err_free:
	trace_dma_buf_interconnect_map(attach, ranges, ret);
	ranges_free(ranges);
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

	if (WARN_ON(!attach->interconnect_maps))
		return;

	attach->interconnect->ops->unmap(attach, ranges);
	attach->interconnect_maps--;
	trace_dma_buf_interconnect_unmap(attach, ranges, 0);
	ranges_free(ranges);
}
EXPORT_SYMBOL_NS_GPL(dma_buf_unmap_interconnect, "DMA_BUF");
