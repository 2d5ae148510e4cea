/* SPDX-License-Identifier: MIT */
/*
 * From ranges of a VF's VRAM to addresses for the PF's page tables
 */

#ifndef _XE_VF_VRAM_TRANSLATE_H_
#define _XE_VF_VRAM_TRANSLATE_H_

#include <linux/errno.h>
#include <linux/types.h>

struct dma_buf_ranges;
struct drm_pagemap_addr;
struct xe_vf_vram;

#ifdef CONFIG_PCI_IOV
int xe_vf_vram_translate(const struct xe_vf_vram *vram,
			 struct dma_buf_ranges *ranges, u64 align,
			 struct drm_pagemap_addr **addrs, unsigned int *nr);
#else
static inline int
xe_vf_vram_translate(const struct xe_vf_vram *vram,
		     struct dma_buf_ranges *ranges, u64 align,
		     struct drm_pagemap_addr **addrs, unsigned int *nr)
{
	return -ENODEV;
}
#endif

#endif
