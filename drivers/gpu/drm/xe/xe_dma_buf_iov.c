// SPDX-License-Identifier: MIT
/*
 * Import of dma-bufs that lie in the VRAM of a VF
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/bsearch.h>
#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-buf-iov.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <drm/drm_pagemap.h>
#include <drm/drm_print.h>

#include "regs/xe_bars.h"
#include "xe_bo.h"
#include "xe_device.h"
#include "xe_dma_buf_iov.h"
#include "xe_sriov.h"
#include "xe_sriov_pf_helpers.h"
#include "xe_sriov_pf_vram.h"
#include "xe_vf_vram_translate.h"

/**
 * DOC: Importing a VF's VRAM
 *
 * A guest renders on a virtual function (VF). vfio-pci, which owns the VF on the
 * host, exports a piece of the VF's VRAM BAR as a dma-buf, and somebody imports it
 * on the physical function (PF): to show it, to encode it, to copy it. Through
 * PCIe the PF would have to reach its own card by the VF's BAR address, which is
 * refused, slow or impossible. But the memory is the PF's own VRAM. It is enough
 * to know which part::
 *
 *      VF's BAR 2               VF's VRAM               VRAM of the card
 *    (host address)          (linear, per VF)       (DPA, device physical)
 *
 *    +-----------+  offset   +-----------+   LMTT     +---------------+
 *    |           |     X     |  tile 0's | ---------> | block of VF 1 |
 *    |  dma-buf  | --------> |   quota   |            +---------------+
 *    |  ranges   |           |           | --------.  | somebody else |
 *    |           |           +-----------+         |  +---------------+
 *    +-----------+           |  tile 1's |         '> | block of VF 1 |
 *    |  (no VRAM |           |   quota   | ------.    +---------------+
 *    |  behind)  |           +-----------+       |           :
 *    +-----------+                               '--> tile 1's blocks
 *          |                                                 ^
 *          | IOV: ranges of X                                |
 *          v                                                 |
 *    xe_vf_vram_translate(), what the LMTT does,             |
 *    but for the PF and without hardware  -------> PTEs with DPA and DM
 *
 * **Attach.** The dma-buf interconnect IOV is offered if the device is a PF with
 * an LMTT, for the VF's BAR 2. Core agrees on it if the exporter's device is a VF
 * of this PF. Where it does not, the dma-buf is imported as any other, by its
 * DMA addresses.
 *
 * **Map.** The exporter hands out byte ranges of the BAR, and all that the
 * exporter knows is that they lie in the BAR. They come from a guest's page
 * tables by way of a VMM: each is checked, each time it is mapped, against what
 * this VF is provisioned with, and translated to DPA. A BAR may be larger than
 * that, and smaller. This is done once at import, too, so that user space learns
 * in time that a buffer cannot be used: -ERANGE if it reaches past the VF's VRAM,
 * -EINVAL if it is not aligned to the pages of VRAM, -ENODEV if the VF has none.
 * That is advice only, as what a VF owns may change.
 *
 * **Bind.** The BO is placed in %XE_PL_TT, as every import is, since its VRAM
 * belongs to another BO of the VRAM manager, not to this one: xe_bo_is_vram() says
 * no, xe_bo_is_vf_vram() yes. The cursor walks &struct drm_pagemap_addr entries
 * which say %XE_INTERCONNECT_VRAM, so that its PTEs have the device memory bit.
 *
 * **Revoke.** The exporter takes the buffer back when the VF is reset, put into
 * D3hot or another low power state, or closed. Xe evicts the BO, waits for its
 * fences, and unmaps. While the buffer is revoked (-ENODEV), out of reach (-EXDEV)
 * or not in the VF's VRAM (-ERANGE), the VMs that have it bound go on without it:
 *
 * - Before a job runs, its page table entries are written again: scratch, where
 *   the VM has it, so that reads return zero and writes are dropped, else nothing.
 *   If they cannot be written, exec fails. No job reaches the old memory.
 * - Without scratch, a job that touches the buffer may get its queue reset. The
 *   VM and its other queues are not affected.
 * - vm_bind and prefetch of the buffer itself fail with the reason. Unbinding all
 *   or a part of it does not.
 * - Any other error of a map is fatal as ever: exec fails with it, the rebind
 *   worker of a long-running VM bans the VM, a page fault is unsuccessful.
 *
 * The buffer comes back when it can be mapped again. A VM with dma-fences tries
 * with each exec, a long-running VM with each vm_bind, and when one of them
 * succeeds, all others that have it bound follow. So a compositor shows a black
 * window while a guest resets its VF, and a long-running job may read zeros. The
 * trace event xe_vm_bind_absent and the counter absent_import_count among the
 * statistics of the root tile's GT tell that it happened. The same is true of
 * imports by DMA addresses. Other importers of the same buffer may fail.
 *
 * **Scanout** is refused. A framebuffer is pinned while it is shown, so that it
 * could not be given back to the VF in bounded time.
 *
 * **Power, suspend, reset.** While VFs are enabled the PF holds a runtime PM
 * reference (see pf_enable_vfs()), and they are disabled only after their dma-bufs
 * were revoked: a mapping needs no reference of its own. On system suspend the BO
 * is evicted, so its fences are waited for and it is unmapped, before the VF's
 * VRAM is saved (see xe_dma_buf_iov_evict_all()). From the PM notifier before that
 * to the one after resume it is not mapped again, as the GPU works before the VF's
 * VRAM is restored: a page fault waits. Runtime suspend evicts, too, where it
 * turns VRAM off, but not while there are VFs. That VRAM belongs to a pinned BO,
 * which resume restores where it was: the DPA that the next map finds are the
 * same. A GT reset does not touch VRAM or where it is.
 *
 * **Limitations.** An import counts against the limit of %XE_PL_TT, which is the
 * size of system memory, although it uses none: a larger buffer cannot be imported,
 * and a large one may evict others from there. TTM keeps an array of 8 bytes for
 * each page of an import, all NULL, that is 2 MiB for a GiB; it is not charged to
 * a memory cgroup. What depends on how scattered the buffer is, 24 bytes for each
 * power of two of contiguous pages, is charged while it is mapped.
 *
 * vm_bind wants a PAT index with 1-way or 2-way coherency, as for each import. What
 * that costs where the memory is local was not measured.
 *
 * An importer is not notified when the administrator changes the quota of a VF that
 * is in use. Until the exporter revokes the buffer, or the import is validated again,
 * it has what the VF owned before, which nobody else gets meanwhile.
 */

/**
 * struct xe_dma_buf_iov - an imported BO's mapping over IOV
 *
 * Protected by the reservation lock of the BO where nothing else is said.
 */
struct xe_dma_buf_iov {
	/** @link: in &xe_device_pf.vram.imports, protected by the lock there */
	struct list_head link;
	/** @bo: the BO, constant */
	struct xe_bo *bo;
	/** @attach: its attachment, constant */
	struct dma_buf_attachment *attach;
	/** @vfid: number of the VF in whose VRAM the BO lies, from 1, constant */
	unsigned int vfid;
	/** @vram: what that VF owns, held while mapped, else NULL */
	struct xe_vf_vram *vram;
	/** @ranges: where the BO is in the VF's BAR while mapped, else NULL */
	struct dma_buf_ranges *ranges;
	/** @addr: where it is in VRAM, in DPA, while mapped, else NULL */
	struct drm_pagemap_addr *addr;
	/** @pos: where each of @addr is in the BO, in bytes, and its size at the end */
	u64 *pos;
	/** @nr: number of @addr */
	unsigned int nr;
};

VISIBLE_IF_KUNIT
int xe_dma_buf_iov_vf_index(struct pci_dev *vf)
{
	KUNIT_STATIC_STUB_REDIRECT(xe_dma_buf_iov_vf_index, vf);

	return pci_iov_vf_id(vf);
}

/* The smallest page that the page tables can have for VRAM, in bytes. */
static u64 iov_alignment(struct xe_device *xe)
{
	return xe->info.vram_flags & XE_VRAM_FLAGS_NEED64K ? SZ_64K : SZ_4K;
}

/**
 * xe_dma_buf_iov_offer() - offer to import a dma-buf over IOV
 * @xe: the importing device
 * @dma_buf: the dma-buf
 * @offer: where to put the offer, for dma_buf_attach_interconnect()
 *
 * Context: any.
 *
 * Return: 0, or -EOPNOTSUPP if the device is no PF with VRAM, or cannot map a
 * buffer of this size as VRAM.
 */
int xe_dma_buf_iov_offer(struct xe_device *xe, const struct dma_buf *dma_buf,
			 struct dma_buf_iov_offer *offer)
{
	if (!IS_SRIOV_PF(xe) || !xe_device_has_lmtt(xe))
		return -EOPNOTSUPP;

	if (!IS_ALIGNED(dma_buf->size, iov_alignment(xe)))
		return -EOPNOTSUPP;

	return dma_buf_iov_offer_import(offer, LMEM_BAR);
}

/*
 * Refuse a buffer at import that could not be mapped, when user space can still
 * do something else with it. What the VF owns may change, so this is repeated
 * with each map.
 */
static int iov_try_map(struct xe_bo *bo)
{
	int err;

	err = xe_dma_buf_iov_map(bo);
	if (!err)
		xe_dma_buf_iov_unmap(bo);

	/* On the way to suspend there is no answer. */
	return err == -EAGAIN ? 0 : err;
}

/**
 * xe_dma_buf_iov_init() - prepare a BO for what was negotiated
 * @bo: the importing BO, not yet visible to user space
 * @attach: its attachment
 *
 * Nothing to do unless the two ends agreed on IOV.
 *
 * Context: process context, may sleep. Reservation lock of @bo not held.
 *
 * Return: 0, -ENOMEM, or an error of xe_dma_buf_iov_map() if the buffer cannot be
 * mapped as it is. With an error xe_dma_buf_iov_fini() is still to be called.
 */
int xe_dma_buf_iov_init(struct xe_bo *bo, struct dma_buf_attachment *attach)
{
	const struct dma_buf_iov_offer *offer =
		to_dma_buf_iov_offer(attach->interconnect);
	struct xe_device *xe = xe_bo_device(bo);
	struct xe_dma_buf_iov *iov;
	int err;

	if (!offer)
		return 0;

	iov = kzalloc_obj(*iov);
	if (!iov)
		return -ENOMEM;

	iov->bo = bo;
	iov->attach = attach;
	/* PCI counts VFs from 0, and to the driver 0 is the PF. */
	iov->vfid = xe_dma_buf_iov_vf_index(offer->vf) + 1;

	/* The exporter may already invalidate it. */
	xe_bo_lock(bo, false);
	bo->iov = iov;
	/* As for a BO that is in VRAM by itself: vm_bind checks the alignment. */
	if (xe->info.vram_flags & XE_VRAM_FLAGS_NEED64K)
		bo->flags |= XE_BO_FLAG_INTERNAL_64K;
	err = iov_try_map(bo);
	xe_bo_unlock(bo);

	spin_lock(&xe->sriov.pf.vram.lock);
	list_add_tail(&iov->link, &xe->sriov.pf.vram.imports);
	spin_unlock(&xe->sriov.pf.vram.lock);
	return err;
}

/**
 * xe_dma_buf_iov_fini() - undo xe_dma_buf_iov_init()
 * @bo: the BO, which is not mapped
 *
 * Context: process context.
 */
void xe_dma_buf_iov_fini(struct xe_bo *bo)
{
	struct xe_device *xe = xe_bo_device(bo);

	if (!bo->iov)
		return;

	xe_assert(xe, !bo->iov->addr);

	spin_lock(&xe->sriov.pf.vram.lock);
	list_del(&bo->iov->link);
	spin_unlock(&xe->sriov.pf.vram.lock);

	kfree(bo->iov);
	bo->iov = NULL;
}

static int iov_evict(struct xe_bo *bo)
{
	struct drm_exec *exec = XE_VALIDATION_UNIMPLEMENTED;
	int err;

	xe_bo_lock(bo, false);
	err = xe_bo_evict(bo, exec);
	xe_bo_unlock(bo);
	return err;
}

/**
 * xe_dma_buf_iov_evict_all() - evict all imports of VFs' VRAM
 * @xe: the device
 *
 * To be called before the VFs' VRAM is saved: the GPU must be done with it, and
 * nobody else waits for the fences of imports. Other imports stay mapped, as
 * nothing happens to their memory.
 *
 * Context: process context, may sleep. No reservation lock held.
 *
 * Return: 0 or a negative error code; then some may still be mapped.
 */
int xe_dma_buf_iov_evict_all(struct xe_device *xe)
{
	struct xe_dma_buf_iov *iov;
	bool dying = false;
	LIST_HEAD(evicted);
	int err = 0;

	if (!IS_SRIOV_PF(xe))
		return 0;

	spin_lock(&xe->sriov.pf.vram.lock);
	while (!err && !list_empty(&xe->sriov.pf.vram.imports)) {
		struct xe_bo *bo;

		iov = list_first_entry(&xe->sriov.pf.vram.imports,
				       typeof(*iov), link);
		list_move_tail(&iov->link, &evicted);
		bo = xe_bo_get_unless_zero(iov->bo);
		if (!bo) {
			dying = true;
			continue;
		}
		spin_unlock(&xe->sriov.pf.vram.lock);

		err = iov_evict(bo);
		xe_bo_put(bo);

		spin_lock(&xe->sriov.pf.vram.lock);
	}
	list_splice(&evicted, &xe->sriov.pf.vram.imports);
	spin_unlock(&xe->sriov.pf.vram.lock);

	/* TTM unmaps a BO that nobody needs any more when its fences signal. */
	if (dying)
		flush_workqueue(xe->ttm.wq);

	/* What they held is unpinned now, not while it is saved. */
	xe_sriov_pf_vram_flush(xe);
	return err;
}

/* Where each entry begins, so that a cursor can start anywhere. */
static u64 *iov_positions(const struct drm_pagemap_addr *addr, unsigned int nr)
{
	unsigned int i;
	u64 *pos;

	pos = kvmalloc_array(nr + 1, sizeof(*pos), GFP_KERNEL_ACCOUNT |
			     __GFP_RETRY_MAYFAIL | __GFP_NOWARN);
	if (!pos)
		return NULL;

	pos[0] = 0;
	for (i = 0; i < nr; i++)
		pos[i + 1] = pos[i] + ((u64)PAGE_SIZE << addr[i].order);
	return pos;
}

/* From the exporter's ranges of the BAR to addresses in VRAM. */
static int iov_map_ranges(struct xe_bo *bo, const struct xe_vf_vram *vram)
{
	struct xe_dma_buf_iov *iov = bo->iov;
	struct drm_pagemap_addr *addr;
	struct dma_buf_ranges *ranges;
	unsigned int nr;
	int err;

	ranges = dma_buf_map_interconnect(iov->attach);
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);

	err = xe_vf_vram_translate(vram, ranges, iov_alignment(xe_bo_device(bo)),
				   &addr, &nr);
	if (err)
		goto err_unmap;

	iov->pos = iov_positions(addr, nr);
	if (!iov->pos) {
		err = -ENOMEM;
		goto err_free;
	}

	iov->addr = addr;
	iov->nr = nr;
	iov->ranges = ranges;
	return 0;

err_free:
	kvfree(addr);
err_unmap:
	dma_buf_unmap_interconnect(iov->attach, ranges);
	return err;
}

/**
 * xe_dma_buf_iov_map() - map a BO whose memory is a VF's VRAM
 * @bo: an imported BO for which xe_bo_is_vf_vram(), not mapped
 *
 * Context: reservation lock of @bo held, may sleep. Takes no lock of the PF's
 * provisioning.
 *
 * Return: 0, and then xe_dma_buf_iov_unmap() is to be called; -ENODEV if the
 * exporter has revoked the buffer, or the VF has no VRAM any more; -ERANGE if it
 * reaches past the VRAM that the VF owns; -EINVAL if it is not aligned as the page
 * tables need it; -ENOMEM; -EAGAIN if the device is about to be suspended, or not
 * yet resumed; any other error of the exporter.
 */
int xe_dma_buf_iov_map(struct xe_bo *bo)
{
	struct xe_device *xe = xe_bo_device(bo);
	struct xe_dma_buf_iov *iov = bo->iov;
	struct xe_vf_vram *vram;
	int err;

	xe_bo_assert_held(bo);
	xe_assert(xe, !iov->addr);

	/*
	 * The VF's VRAM may have been saved already, or is not yet restored. Set
	 * before xe_dma_buf_iov_evict_all(), which takes the lock that is held.
	 */
	if (!try_wait_for_completion(&xe->pm_block))
		return -EAGAIN;

	vram = xe_sriov_pf_vram_get(xe, iov->vfid);
	if (IS_ERR(vram)) {
		err = PTR_ERR(vram);
		goto err_out;
	}

	err = iov_map_ranges(bo, vram);
	if (err)
		goto err_put;

	iov->vram = vram;
	return 0;

err_put:
	xe_sriov_pf_vram_put(vram);
err_out:
	drm_dbg(&xe->drm, "cannot import %zu bytes of VF%u's VRAM: %pe\n",
		xe_bo_size(bo), iov->vfid, ERR_PTR(err));
	return err;
}

/**
 * xe_dma_buf_iov_unmap() - undo xe_dma_buf_iov_map()
 * @bo: the BO, mapped
 *
 * The GPU must no longer use the memory: it may be another VF's as soon as this
 * returns.
 *
 * Context: reservation lock of @bo held, may sleep.
 */
void xe_dma_buf_iov_unmap(struct xe_bo *bo)
{
	struct xe_dma_buf_iov *iov = bo->iov;

	xe_bo_assert_held(bo);

	kvfree(iov->pos);
	iov->pos = NULL;
	kvfree(iov->addr);
	iov->addr = NULL;
	dma_buf_unmap_interconnect(iov->attach, iov->ranges);
	iov->ranges = NULL;
	xe_sriov_pf_vram_put(iov->vram);
	iov->vram = NULL;
}

/**
 * xe_dma_buf_iov_mapped() - is a BO mapped over IOV?
 * @bo: any BO
 *
 * Context: reservation lock of @bo held.
 *
 * Return: true from xe_dma_buf_iov_map() to xe_dma_buf_iov_unmap(), else false.
 */
bool xe_dma_buf_iov_mapped(const struct xe_bo *bo)
{
	return bo->iov && bo->iov->addr;
}

static int iov_cmp_pos(const void *key, const void *elem)
{
	u64 offset = *(const u64 *)key;
	const u64 *pos = elem;

	if (offset < pos[0])
		return -1;
	return offset >= pos[1];
}

/**
 * xe_dma_buf_iov_addr() - where a BO is in VRAM
 * @bo: a BO for which xe_bo_is_vf_vram(), mapped
 * @offset: where to start in the BO, in bytes, less than its size; on return, in
 *          the first entry
 *
 * Takes O(log(entries)) time.
 *
 * Context: reservation lock of @bo held.
 *
 * Return: the array that xe_res_first_dma() walks from there, in DPA, valid until
 * xe_dma_buf_iov_unmap(); NULL if @bo is not mapped.
 */
const struct drm_pagemap_addr *xe_dma_buf_iov_addr(const struct xe_bo *bo,
						   u64 *offset)
{
	const struct xe_dma_buf_iov *iov = bo->iov;
	const u64 *pos;

	if (!iov->addr)
		return NULL;

	pos = bsearch(offset, iov->pos, iov->nr, sizeof(*pos), iov_cmp_pos);
	if (!pos)
		return NULL;

	*offset -= *pos;
	return iov->addr + (pos - iov->pos);
}
