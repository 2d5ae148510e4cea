/* SPDX-License-Identifier: MIT */
/*
 * What a VF owns of the PF's VRAM
 */

#ifndef _XE_SRIOV_PF_VRAM_H_
#define _XE_SRIOV_PF_VRAM_H_

#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/types.h>

#include "xe_sriov_pf_vram_types.h"

struct xe_bo;
struct xe_device;

#ifdef CONFIG_PCI_IOV
int xe_sriov_pf_vram_init(struct xe_device *xe);

int xe_sriov_pf_vram_publish(struct xe_device *xe, unsigned int vfid,
			     struct xe_bo *const *bos, unsigned int nr_bos);
void xe_sriov_pf_vram_withdraw(struct xe_device *xe, unsigned int vfid);
void xe_sriov_pf_vram_flush(struct xe_device *xe);

struct xe_vf_vram *xe_sriov_pf_vram_get(struct xe_device *xe, unsigned int vfid);
void xe_sriov_pf_vram_put(struct xe_vf_vram *vram);
#else
static inline struct xe_vf_vram *
xe_sriov_pf_vram_get(struct xe_device *xe, unsigned int vfid)
{
	return ERR_PTR(-ENODEV);
}

static inline void xe_sriov_pf_vram_put(struct xe_vf_vram *vram)
{
}

static inline void xe_sriov_pf_vram_flush(struct xe_device *xe)
{
}
#endif

#endif
