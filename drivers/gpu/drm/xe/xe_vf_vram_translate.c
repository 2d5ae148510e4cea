// SPDX-License-Identifier: MIT
/*
 * From ranges of a VF's VRAM to addresses for the PF's page tables
 */

#include <kunit/visibility.h>

#include <linux/align.h>
#include <linux/bitops.h>
#include <linux/bsearch.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include <drm/drm_pagemap.h>

#include "xe_sriov_pf_vram_types.h"
#include "xe_svm.h"
#include "xe_vf_vram_translate.h"

/*
 * An importer is handed ranges of a VF's VRAM BAR, which are ranges of the VF's
 * linear VRAM space. What xe_res_first_dma() walks is an array of struct
 * drm_pagemap_addr, of which each stands for a power of two of pages.
 *
 *	ranges, in buffer order	|         0         |     1     |   2   |
 *	pieces, by segment	|  seg 3  |  seg 4  |   seg 0   | seg 0 |
 *	runs of DPA, in pages	|    5    |    4    |         7         |
 *	entries, in pages	|   4   |1|    4    |    4    |  2  | 1 |
 *
 * A piece is what a range and a segment have in common, and pieces that follow
 * one another in the buffer as well as in DPA make a run. A run of n pages takes
 * hweight(n) entries, and less is not possible. Their order and alignment do not
 * matter: the cursor joins neighbours again, so that page tables see the run, and
 * can use the largest page that the addresses allow. What does matter is that an
 * entry never reaches past the run. Behind it is somebody else's memory.
 *
 * The ranges come from whoever made the dma-buf. All that is known of them is
 * that they do not change.
 */

/* The cursor computes the size of an entry in an unsigned long. */
#define VRAM_MAX_ORDER		(BITS_PER_LONG - 1 - PAGE_SHIFT)

/* Not more than kvmalloc() is willing to allocate. */
#define VRAM_MAX_ENTRIES	(INT_MAX / sizeof(struct drm_pagemap_addr))

/* Translation goes twice over the ranges: to count the entries, and to write. */
struct vram_walk {
	const struct xe_vf_vram *vram;
	u64 align;

	/* The run that may still become longer. */
	u64 dpa;
	u64 size;

	/* The entries of the runs before; addrs is NULL when only counting. */
	struct drm_pagemap_addr *addrs;
	u64 nr;
};

static int vram_cmp_seg(const void *key, const void *elem)
{
	const struct xe_vf_vram_seg *seg = elem;
	u64 offset = *(const u64 *)key;

	if (offset < seg->offset)
		return -1;
	return offset - seg->offset >= seg->size;
}

/* The segment with the byte at @offset, which is less than the VRAM's size. */
static const struct xe_vf_vram_seg *
vram_find_seg(const struct xe_vf_vram *vram, u64 offset)
{
	return bsearch(&offset, vram->segs, vram->nr_segs, sizeof(*vram->segs),
		       vram_cmp_seg);
}

static u64 vram_count_entries(u64 pages)
{
	return (pages >> VRAM_MAX_ORDER) +
	       hweight64(pages & (BIT_ULL(VRAM_MAX_ORDER) - 1));
}

static void vram_write_entries(struct drm_pagemap_addr *entry, u64 dpa,
			       u64 pages)
{
	unsigned int order;

	for (; pages; pages -= BIT_ULL(order)) {
		order = min(fls64(pages) - 1, VRAM_MAX_ORDER);
		*entry++ = drm_pagemap_addr_encode(dpa, XE_INTERCONNECT_VRAM,
						   order, DMA_BIDIRECTIONAL);
		dpa += (u64)PAGE_SIZE << order;
	}
}

/* The run does not go on. */
static int vram_end_run(struct vram_walk *walk)
{
	u64 pages = walk->size >> PAGE_SHIFT;

	if (walk->addrs)
		vram_write_entries(walk->addrs + walk->nr, walk->dpa, pages);

	walk->nr += vram_count_entries(pages);
	walk->size = 0;
	return walk->nr > VRAM_MAX_ENTRIES ? -ENOMEM : 0;
}

static int vram_add_piece(struct vram_walk *walk, u64 dpa, u64 size)
{
	int err;

	/* This is what ends up in PTEs. Segments are aligned to more than that. */
	if (!IS_ALIGNED(dpa | size, walk->align))
		return -EINVAL;

	if (overflows_type(dpa + size - 1, dma_addr_t))
		return -ERANGE;

	if (!walk->size || walk->dpa + walk->size != dpa) {
		err = vram_end_run(walk);
		if (err)
			return err;
		walk->dpa = dpa;
	}

	walk->size += size;
	return 0;
}

static int vram_add_range(struct vram_walk *walk, const struct range *range)
{
	const struct xe_vf_vram_seg *seg;
	u64 offset, size, skip;
	int err;

	if (range->end < range->start)
		return -EINVAL;

	/* From here on nothing overflows. */
	if (range->end >= walk->vram->size)
		return -ERANGE;

	offset = range->start;
	seg = vram_find_seg(walk->vram, offset);
	for (; offset <= range->end; offset += size, seg++) {
		skip = offset - seg->offset;
		size = min(seg->size - skip, range->end - offset + 1);
		err = vram_add_piece(walk, seg->dpa + skip, size);
		if (err)
			return err;
	}

	return 0;
}

static int vram_walk_ranges(struct vram_walk *walk,
			    struct dma_buf_ranges *ranges)
{
	const struct range *range;
	unsigned long index;
	int err;

	dma_buf_for_each_range(ranges, index, range) {
		err = vram_add_range(walk, range);
		if (err)
			return err;
		cond_resched();
	}

	return vram_end_run(walk);
}

/**
 * xe_vf_vram_translate() - Translate ranges of a VF's VRAM for page tables.
 * @vram: what the VF owns
 * @ranges: what dma_buf_map_interconnect() returned: ranges of offsets in bytes
 *          in the VF's VRAM BAR, in any order; they may repeat and overlap
 * @align: the smallest page in bytes that the PF's page tables can have for
 *         VRAM, a power of two; a CPU page is assumed if that is larger
 * @addrs: where to put a pointer to the entries, in the order of the buffer, to
 *         be freed with kvfree(); not touched on failure
 * @nr: where to put the number of entries; not touched on failure
 *
 * The entries are as many bytes as the ranges, and as few entries as possible.
 * Their addresses are device physical addresses, and their protocol is
 * XE_INTERCONNECT_VRAM, which is what makes page tables that are filled in from
 * xe_res_first_dma() refer to local memory. They are good as long as @vram is
 * held.
 *
 * Takes O(ranges * log(segments) + entries) time.
 *
 * Context: @ranges are mapped. May sleep; a &dma_resv may be held.
 *
 * Return: 0 on success. -ERANGE if a range is not wholly inside of the VF's VRAM,
 * or that has a DPA which is too large for a dma_addr_t. -EINVAL if a range ends
 * before it starts, or if start, end or DPA are not aligned to @align. -ENOMEM if
 * there is not enough memory for the entries, or if they are more than kvmalloc()
 * could ever allocate.
 */
int xe_vf_vram_translate(const struct xe_vf_vram *vram,
			 struct dma_buf_ranges *ranges, u64 align,
			 struct drm_pagemap_addr **addrs, unsigned int *nr)
{
	struct vram_walk walk = {
		.vram = vram,
		.align = max_t(u64, align, PAGE_SIZE),
	};
	int err;

	err = vram_walk_ranges(&walk, ranges);
	if (err)
		return err;

	/* A guest can choose how many these are. */
	walk.addrs = kvmalloc_objs(*walk.addrs, walk.nr, GFP_KERNEL_ACCOUNT |
				   __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!walk.addrs)
		return -ENOMEM;

	/* What went well once does so again. */
	walk.nr = 0;
	vram_walk_ranges(&walk, ranges);

	*addrs = walk.addrs;
	*nr = walk.nr;
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(xe_vf_vram_translate);
