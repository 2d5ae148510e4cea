/* SPDX-License-Identifier: MIT */
/*
 * What a VF owns of the PF's VRAM, see xe_sriov_pf_vram.c
 */

#ifndef _XE_SRIOV_PF_VRAM_TYPES_H_
#define _XE_SRIOV_PF_VRAM_TYPES_H_

#include <linux/kref.h>
#include <linux/llist.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#include "xe_device_types.h"

struct xe_bo;

/**
 * struct xe_vf_vram_seg - a piece of a VF's VRAM that is contiguous in the PF's
 */
struct xe_vf_vram_seg {
	/** @offset: Offset of the first byte in the VF's linear VRAM space. */
	u64 offset;
	/** @size: Size in bytes, not 0. */
	u64 size;
	/** @dpa: Device physical address of the first byte. */
	u64 dpa;
};

/**
 * struct xe_vf_vram - what a VF owns of the PF's VRAM
 *
 * The segments follow one another without a gap in the VF's linear VRAM space,
 * from offset 0 to @size, and no segment continues the one before also in DPA.
 * Nothing but @ref changes once the snapshot is published.
 *
 * Obtained from xe_sriov_pf_vram_get(), given back with xe_sriov_pf_vram_put().
 */
struct xe_vf_vram {
	/** @ref: One reference for each holder, and one while it is published. */
	struct kref ref;

	/** @xe: The PF. */
	struct xe_device *xe;

	/** @size: Bytes that the VF owns in all. */
	u64 size;

	/** @nr_bos: Number of @bos. */
	unsigned int nr_bos;

	/** @bos: What backs the segments, with a reference and a pin on each. */
	struct xe_bo *bos[XE_MAX_TILES_PER_DEVICE];

	union {
		/** @released: On &xe_device_pf.vram.released after the last put. */
		struct llist_node released;
		/** @rcu: And then for freeing it. */
		struct rcu_head rcu;
	};

	/** @nr_segs: Number of @segs. */
	unsigned int nr_segs;

	/** @segs: The segments, sorted by offset. */
	struct xe_vf_vram_seg segs[] __counted_by(nr_segs);
};

#endif
