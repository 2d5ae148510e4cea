// SPDX-License-Identifier: MIT
/*
 * What a VF owns of the PF's VRAM
 */

#include <linux/bug.h>
#include <linux/lockdep.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include <drm/drm_managed.h>

#include "xe_assert.h"
#include "xe_bo.h"
#include "xe_device.h"
#include "xe_res_cursor.h"
#include "xe_sriov.h"
#include "xe_sriov_pf_helpers.h"
#include "xe_sriov_pf_vram.h"

/**
 * DOC: VRAM of a VF, as the PF sees it
 *
 * A VF sees the VRAM it is provisioned with as one linear space that starts at
 * 0, and that is also what is behind its VRAM BAR. The hardware takes an offset
 * in that space through the VF's LMTT to a device physical address (DPA). The PF
 * has no LMTT of its own. When it wants to use a VF's memory for itself, it
 * needs the DPA, and &struct xe_vf_vram is where it finds it: a snapshot of what
 * the LMTT of the VF says, as a sorted array of segments. ::
 *
 *     VF's VRAM BAR                 LMTT                     PF's VRAM
 *     and linear space           = segments                  (DPA)
 *
 *     0  +-----------+                                  +---------------+
 *        |           |---- segment 0 -----------------> | tile 0, block |
 *        |           |                                  +---------------+
 *        +-----------+                                  |  other VFs,   |
 *        |           |---- segment 1 ----------.        |  the PF       |
 *        +-----------+                          \       +---------------+
 *        |           |---- segment 2 -------.    `----> | tile 0, block |
 *        +-----------+  <- size of the       \          +---------------+
 *        | no memory |     VF's VRAM          \         :               :
 *        | here      |                         \        +---------------+
 *        |           |                          `-----> | tile 1, block |
 *        +-----------+  <- size of the BAR              +---------------+
 *
 * The size of the BAR depends on the number of VFs only. It may be larger than
 * the VRAM that the VF owns, and may be smaller.
 *
 * **Lifetime.** A snapshot never changes. It is published with the LMTT, and
 * when the LMTT is reset it is withdrawn, that is, not to be found any more.
 * There may be a new one right after it. Each snapshot has a reference
 * and a pin of its own on all buffer objects behind its segments. So as long as
 * somebody holds it, the memory is not given to anybody else, whatever happens
 * to the VF: another quota written to sysfs or debugfs, a provisioning that
 * fails half-way, VFs disabled, the driver unbound from the PF. Being pinned
 * with XE_BO_FLAG_PINNED_LATE_RESTORE, it is also saved and restored in place
 * over a suspend, withdrawn or not.
 *
 * It follows that VRAM which was taken from a VF is not free before the last
 * importer of the VF's buffers lets go of it. Until then a larger quota may be
 * refused for want of memory. That is not turned into -EBUSY for the quota
 * files, as there any process that holds a buffer of a VF could keep the
 * administrator from provisioning.
 *
 * **Locking.** The order is: &xe_device_pf.master_lock, then the validation lock
 * (&xe_device.val), then a &dma_resv.
 *
 * - Publish and withdraw are called with the master lock, and lock the buffer
 *   objects of the VF.
 * - xe_sriov_pf_vram_get() and xe_sriov_pf_vram_put() may be called with any
 *   &dma_resv and the validation lock held, as it is the case when an importer
 *   maps and unmaps. Therefore they must not take the master lock, nor lock a
 *   buffer object: readers find the snapshot under RCU, and when the last one
 *   lets go a work item does the rest.
 * - Provisioning waits for that work item before it allocates, and withdraw does
 *   without it if nobody holds the snapshot. So VRAM which nobody uses is never
 *   in the way. The work item takes one &dma_resv at a time and nothing else, and
 *   nobody waits for it with a &dma_resv held.
 *
 * Nobody holds a snapshot when the driver is unbound from the PF. VFs are
 * disabled first, so exporters revoke what they have of them and importers unmap;
 * then all BOs are evicted, which unmaps what is still mapped, and an import is
 * never mapped again on a device that is unplugged.
 */

static void vram_free(struct xe_vf_vram *vram)
{
	unsigned int i;

	for (i = 0; i < vram->nr_bos; i++)
		xe_bo_unpin_map_no_vm(vram->bos[i]);

	kvfree_rcu(vram, rcu);
}

static void vram_release(struct kref *ref)
{
	vram_free(container_of(ref, struct xe_vf_vram, ref));
}

static void vram_release_later(struct kref *ref)
{
	struct xe_vf_vram *vram = container_of(ref, struct xe_vf_vram, ref);
	struct xe_device *xe = vram->xe;

	llist_add(&vram->released, &xe->sriov.pf.vram.released);
	/* Not on xe->sriov.wq: TTM may unmap what is left when that is gone. */
	queue_work(system_dfl_wq, &xe->sriov.pf.vram.work);
}

static void vram_work(struct work_struct *work)
{
	struct xe_device *xe = container_of(work, typeof(*xe), sriov.pf.vram.work);
	struct xe_vf_vram *vram, *next;
	struct llist_node *released;

	released = llist_del_all(&xe->sriov.pf.vram.released);
	llist_for_each_entry_safe(vram, next, released, released)
		vram_free(vram);
}

static void fini_vram(struct drm_device *drm, void *arg)
{
	struct xe_device *xe = arg;

	/* Imports that could not be evicted are unmapped when TTM destroys them. */
	flush_workqueue(xe->ttm.wq);
	xe_sriov_pf_vram_flush(xe);
}

/**
 * xe_sriov_pf_vram_init() - Prepare for snapshots of the VFs' VRAM.
 * @xe: the PF &xe_device
 *
 * To be called after the managers of VRAM are set up, and before a VF is
 * provisioned: then the last snapshot is gone before the managers are.
 *
 * Return: 0 on success or a negative error code on failure.
 */
int xe_sriov_pf_vram_init(struct xe_device *xe)
{
	xe_assert(xe, IS_SRIOV_PF(xe));

	init_llist_head(&xe->sriov.pf.vram.released);
	INIT_WORK(&xe->sriov.pf.vram.work, vram_work);
	spin_lock_init(&xe->sriov.pf.vram.lock);
	INIT_LIST_HEAD(&xe->sriov.pf.vram.imports);

	return drmm_add_action_or_reset(&xe->drm, fini_vram, xe);
}

static unsigned int vram_count_blocks(struct xe_bo *const *bos,
				      unsigned int nr_bos)
{
	struct xe_res_cursor cur;
	unsigned int i, n = 0;

	for (i = 0; i < nr_bos; i++) {
		xe_res_first(bos[i]->ttm.resource, 0, xe_bo_size(bos[i]), &cur);
		for (; cur.remaining; xe_res_next(&cur, cur.size))
			n++;
	}

	return n;
}

/* Is @dpa where the VRAM that was added last goes on? */
static bool vram_continues(const struct xe_vf_vram *vram, u64 dpa)
{
	const struct xe_vf_vram_seg *last;

	if (!vram->nr_segs)
		return false;

	last = &vram->segs[vram->nr_segs - 1];
	return last->dpa + last->size == dpa;
}

/* There is room for it: at most, each block becomes a segment. */
static void vram_add_block(struct xe_vf_vram *vram, u64 dpa, u64 size)
{
	if (!vram_continues(vram, dpa)) {
		vram->nr_segs++;
		vram->segs[vram->nr_segs - 1] = (struct xe_vf_vram_seg) {
			.offset = vram->size,
			.dpa = dpa,
		};
	}

	vram->segs[vram->nr_segs - 1].size += size;
	vram->size += size;
}

static void vram_add_bo(struct xe_vf_vram *vram, struct xe_bo *bo)
{
	struct xe_res_cursor cur;
	u64 dpa_base;

	xe_bo_lock(bo, false);
	xe_bo_pin_account(bo);
	xe_bo_unlock(bo);

	vram->bos[vram->nr_bos++] = xe_bo_get(bo);

	dpa_base = vram_region_gpu_offset(bo->ttm.resource);
	xe_res_first(bo->ttm.resource, 0, xe_bo_size(bo), &cur);
	for (; cur.remaining; xe_res_next(&cur, cur.size))
		vram_add_block(vram, dpa_base + xe_res_dma(&cur), cur.size);
}

/**
 * xe_sriov_pf_vram_publish() - Say what a VF owns of the VRAM.
 * @xe: the PF &xe_device
 * @vfid: the VF identifier (can't be 0), nothing is published for it
 * @bos: pinned buffer objects in VRAM, in the order in which they make up the
 *       linear VRAM space of the VF
 * @nr_bos: number of @bos, may be 0
 *
 * Takes a reference to, and a pin on each of @bos, which are dropped when the
 * snapshot was withdrawn and all its holders have put it.
 *
 * Context: the PF master mutex is held; no reservation lock is. May sleep.
 *
 * Return: 0 on success or -ENOMEM.
 */
int xe_sriov_pf_vram_publish(struct xe_device *xe, unsigned int vfid,
			     struct xe_bo *const *bos, unsigned int nr_bos)
{
	struct xe_vf_vram *vram;
	unsigned int i;

	lockdep_assert_held(xe_sriov_pf_master_mutex(xe));
	xe_sriov_pf_assert_vfid(xe, vfid);
	xe_assert(xe, nr_bos <= ARRAY_SIZE(vram->bos));
	xe_assert(xe, !rcu_access_pointer(xe->sriov.pf.vfs[vfid].vram));

	if (!nr_bos)
		return 0;

	vram = kvzalloc_flex(*vram, segs, vram_count_blocks(bos, nr_bos));
	if (!vram)
		return -ENOMEM;

	/* From here on it counts those that are there, not those that may be. */
	vram->nr_segs = 0;
	kref_init(&vram->ref);
	vram->xe = xe;
	for (i = 0; i < nr_bos; i++)
		vram_add_bo(vram, bos[i]);

	rcu_assign_pointer(xe->sriov.pf.vfs[vfid].vram, vram);
	return 0;
}

/**
 * xe_sriov_pf_vram_withdraw() - Take back what was said to be owned by a VF.
 * @xe: the PF &xe_device
 * @vfid: the VF identifier (can't be 0)
 *
 * If nobody holds the VF's snapshot, it is freed before this function returns.
 * Does nothing when there is none.
 *
 * Context: the PF master mutex is held; no reservation lock is. May sleep.
 */
void xe_sriov_pf_vram_withdraw(struct xe_device *xe, unsigned int vfid)
{
	struct mutex *master = xe_sriov_pf_master_mutex(xe);
	struct xe_vf_vram *vram;

	lockdep_assert_held(master);
	xe_sriov_pf_assert_vfid(xe, vfid);

	vram = rcu_replace_pointer(xe->sriov.pf.vfs[vfid].vram, NULL,
				   lockdep_is_held(master));
	if (vram)
		kref_put(&vram->ref, vram_release);
}

/**
 * xe_sriov_pf_vram_flush() - Wait until VRAM that was put is free.
 * @xe: the PF &xe_device
 *
 * For all snapshots that were withdrawn and put before the call.
 *
 * Context: the PF master mutex may be held; no reservation lock is. May sleep.
 */
void xe_sriov_pf_vram_flush(struct xe_device *xe)
{
	flush_work(&xe->sriov.pf.vram.work);
}

/**
 * xe_sriov_pf_vram_get() - Find out what a VF owns of the VRAM.
 * @xe: the &xe_device
 * @vfid: the VF identifier (1-based)
 *
 * Until it is put, the memory is neither moved nor given to anybody else, also
 * when the VF loses it.
 *
 * Context: any; in particular, with a &dma_resv held.
 *
 * Return: a snapshot to be put with xe_sriov_pf_vram_put(), or ERR_PTR(-ENODEV)
 * if @xe is no PF, has no such VF, or the VF has no VRAM.
 */
struct xe_vf_vram *xe_sriov_pf_vram_get(struct xe_device *xe, unsigned int vfid)
{
	struct xe_vf_vram *vram;

	if (!IS_SRIOV_PF(xe) || !vfid || vfid > xe_sriov_pf_get_totalvfs(xe))
		return ERR_PTR(-ENODEV);

	guard(rcu)();

	vram = rcu_dereference(xe->sriov.pf.vfs[vfid].vram);
	if (!vram || !kref_get_unless_zero(&vram->ref))
		return ERR_PTR(-ENODEV);

	return vram;
}

/**
 * xe_sriov_pf_vram_put() - Let go of what xe_sriov_pf_vram_get() returned.
 * @vram: the snapshot
 *
 * The device must have no PTE left that was made from it.
 *
 * Context: any; in particular, with a &dma_resv held.
 */
void xe_sriov_pf_vram_put(struct xe_vf_vram *vram)
{
	kref_put(&vram->ref, vram_release_later);
}
