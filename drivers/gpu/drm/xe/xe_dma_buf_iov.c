// SPDX-License-Identifier: MIT
/*
 * Import of dma-bufs that lie in the VRAM of a VF
 */

#include <kunit/static_stub.h>
#include <kunit/visibility.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-buf-iov.h>
#include <linux/pci.h>
#include <linux/slab.h>

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
 * that, and smaller.
 *
 * **Bind.** The BO is placed in %XE_PL_TT, as every import is, since its VRAM
 * belongs to another BO of the VRAM manager, not to this one: xe_bo_is_vram() says
 * no, xe_bo_is_vf_vram() yes. The cursor walks &struct drm_pagemap_addr entries
 * which say %XE_INTERCONNECT_VRAM, so that its PTEs have the device memory bit.
 *
 * **Revoke.** The exporter takes the buffer back when the guest resets the VF,
 * clears memory enable, or ends. Xe evicts the BO, waits for its fences, unmaps.
 * The next validation maps again, or fails with -ENODEV, which vm_bind and exec
 * hand to their caller; nothing is half mapped. What that means while the buffer
 * is bound and revoked depends on the VM:
 *
 * - in a VM with dma-fences exec fails, until the buffer is back or unbound;
 * - a long-running VM with preempt fences has no such caller: its rebind worker
 *   sees the error and the VM is banned;
 * - in a VM in fault mode the page fault finds the error, if there is one. It is
 *   answered as unsuccessful: the job fails that touched the buffer, not the VM.
 *
 * So a guest can end the long-running VMs with preempt fences on the host that
 * import its memory. It is the same with an import by DMA addresses; use one of the
 * other two to import from a guest that is not trusted.
 *
 * **Scanout** is refused. A framebuffer is pinned while it is shown, so that it
 * could not be given back to the VF in bounded time.
 *
 * **Power, suspend, reset.** While VFs are enabled the PF holds a runtime PM
 * reference (see pf_enable_vfs()), and they are disabled only after their dma-bufs
 * were revoked: a mapping needs no reference of its own. On system suspend the BO
 * is evicted, so its fences are waited for and it is unmapped, before the VF's
 * VRAM is saved (see xe_bo_evict_all()). Runtime suspend evicts, too, where it
 * turns VRAM off, but not while there are VFs. That VRAM belongs to a pinned BO,
 * which resume restores where it was: the DPA that the next map finds are the
 * same. A GT reset does not touch VRAM or where it is.
 */

/**
 * struct xe_dma_buf_iov - an imported BO's mapping over IOV
 *
 * Protected by the reservation lock of the BO, but for @vfid, which is constant.
 */
struct xe_dma_buf_iov {
	/** @vfid: number of the VF in whose VRAM the BO lies, from 1 */
	unsigned int vfid;
	/** @vram: what that VF owns, held while mapped, else NULL */
	struct xe_vf_vram *vram;
	/** @ranges: where the BO is in the VF's BAR while mapped, else NULL */
	struct dma_buf_ranges *ranges;
	/** @addr: where it is in VRAM, in DPA, while mapped, else NULL */
	struct drm_pagemap_addr *addr;
};

VISIBLE_IF_KUNIT
struct pci_dev *xe_dma_buf_iov_pf(struct xe_device *xe)
{
	KUNIT_STATIC_STUB_REDIRECT(xe_dma_buf_iov_pf, xe);

	return to_pci_dev(xe->drm.dev);
}

VISIBLE_IF_KUNIT
unsigned int xe_dma_buf_iov_vfid(struct pci_dev *vf)
{
	KUNIT_STATIC_STUB_REDIRECT(xe_dma_buf_iov_vfid, vf);

	return pci_iov_vf_id(vf) + 1;
}

/* The smallest page that the page tables can have for VRAM, in bytes. */
static u64 iov_alignment(struct xe_device *xe)
{
	return xe->info.vram_flags & XE_VRAM_FLAGS_NEED64K ? SZ_64K : SZ_4K;
}

/**
 * xe_dma_buf_iov_possible() - may a BO be mapped over IOV?
 * @xe: the importing device
 *
 * Context: any.
 *
 * Return: true on a PF with VRAM as long as VFs are enabled.
 */
bool xe_dma_buf_iov_possible(struct xe_device *xe)
{
	KUNIT_STATIC_STUB_REDIRECT(xe_dma_buf_iov_possible, xe);

	return IS_SRIOV_PF(xe) && xe_device_has_lmtt(xe) &&
	       xe_sriov_pf_num_vfs(xe);
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

	return dma_buf_iov_offer_import(offer, xe_dma_buf_iov_pf(xe), LMEM_BAR);
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
 * Return: 0 or -ENOMEM.
 */
int xe_dma_buf_iov_init(struct xe_bo *bo,
			const struct dma_buf_attachment *attach)
{
	const struct dma_buf_iov_offer *offer =
		to_dma_buf_iov_offer(attach->interconnect);
	struct xe_device *xe = xe_bo_device(bo);
	struct xe_dma_buf_iov *iov;

	if (!offer)
		return 0;

	iov = kzalloc_obj(*iov);
	if (!iov)
		return -ENOMEM;

	iov->vfid = xe_dma_buf_iov_vfid(offer->vf);

	/* The exporter may already invalidate it. */
	xe_bo_lock(bo, false);
	bo->iov = iov;
	/* As for a BO that is in VRAM by itself: vm_bind checks the alignment. */
	if (xe->info.vram_flags & XE_VRAM_FLAGS_NEED64K)
		bo->flags |= XE_BO_FLAG_INTERNAL_64K;
	xe_bo_unlock(bo);
	return 0;
}

/**
 * xe_dma_buf_iov_fini() - undo xe_dma_buf_iov_init()
 * @bo: the BO, which is not mapped
 *
 * Context: any.
 */
void xe_dma_buf_iov_fini(struct xe_bo *bo)
{
	if (!bo->iov)
		return;

	xe_assert(xe_bo_device(bo), !bo->iov->addr);
	kfree(bo->iov);
	bo->iov = NULL;
}

/* From the exporter's ranges of the BAR to addresses in VRAM. */
static int iov_map_ranges(struct xe_bo *bo)
{
	struct dma_buf_attachment *attach = bo->ttm.base.import_attach;
	struct xe_dma_buf_iov *iov = bo->iov;
	struct dma_buf_ranges *ranges;
	unsigned int nr;
	int err;

	ranges = dma_buf_map_interconnect(attach);
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);

	err = xe_vf_vram_translate(iov->vram, ranges,
				   iov_alignment(xe_bo_device(bo)),
				   &iov->addr, &nr);
	if (err) {
		dma_buf_unmap_interconnect(attach, ranges);
		return err;
	}

	iov->ranges = ranges;
	return 0;
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
 * tables need it; -ENOMEM.
 */
int xe_dma_buf_iov_map(struct xe_bo *bo)
{
	struct xe_device *xe = xe_bo_device(bo);
	struct xe_dma_buf_iov *iov = bo->iov;
	struct xe_vf_vram *vram;
	int err;

	xe_bo_assert_held(bo);
	xe_assert(xe, !iov->addr);

	vram = xe_sriov_pf_vram_get(xe, iov->vfid);
	if (IS_ERR(vram)) {
		err = PTR_ERR(vram);
		goto err_out;
	}

	iov->vram = vram;
	err = iov_map_ranges(bo);
	if (err)
		goto err_put;

	return 0;

err_put:
	iov->vram = NULL;
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

	kvfree(iov->addr);
	iov->addr = NULL;
	dma_buf_unmap_interconnect(bo->ttm.base.import_attach, iov->ranges);
	iov->ranges = NULL;
	xe_sriov_pf_vram_put(iov->vram);
	iov->vram = NULL;
}

/**
 * xe_dma_buf_iov_addr() - where a BO is in VRAM
 * @bo: any BO
 *
 * Context: reservation lock of @bo held.
 *
 * Return: the array that xe_res_first_dma() walks, in DPA, valid until
 * xe_dma_buf_iov_unmap(); NULL if @bo was not imported over IOV or is not mapped.
 */
const struct drm_pagemap_addr *xe_dma_buf_iov_addr(const struct xe_bo *bo)
{
	return bo->iov ? bo->iov->addr : NULL;
}
