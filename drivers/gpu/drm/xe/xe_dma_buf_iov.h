/* SPDX-License-Identifier: MIT */
/*
 * Import of dma-bufs that lie in the VRAM of a VF
 */

#ifndef _XE_DMA_BUF_IOV_H_
#define _XE_DMA_BUF_IOV_H_

#include <linux/types.h>

struct dma_buf;
struct dma_buf_attachment;
struct dma_buf_iov_offer;
struct drm_pagemap_addr;
struct pci_dev;
struct xe_bo;
struct xe_device;

#ifdef CONFIG_PCI_IOV
int xe_dma_buf_iov_evict_all(struct xe_device *xe);
int xe_dma_buf_iov_offer(struct xe_device *xe, const struct dma_buf *dma_buf,
			 struct dma_buf_iov_offer *offer);
int xe_dma_buf_iov_init(struct xe_bo *bo, struct dma_buf_attachment *attach);
void xe_dma_buf_iov_fini(struct xe_bo *bo);

int xe_dma_buf_iov_map(struct xe_bo *bo);
void xe_dma_buf_iov_unmap(struct xe_bo *bo);
bool xe_dma_buf_iov_mapped(const struct xe_bo *bo);
const struct drm_pagemap_addr *xe_dma_buf_iov_addr(const struct xe_bo *bo,
						   u64 *offset);

#if IS_ENABLED(CONFIG_KUNIT)
int xe_dma_buf_iov_vf_index(struct pci_dev *vf);
#endif
#else
static inline int xe_dma_buf_iov_evict_all(struct xe_device *xe)
{
	return 0;
}

static inline int xe_dma_buf_iov_offer(struct xe_device *xe,
				       const struct dma_buf *dma_buf,
				       struct dma_buf_iov_offer *offer)
{
	return -EOPNOTSUPP;
}

static inline int xe_dma_buf_iov_init(struct xe_bo *bo,
				      struct dma_buf_attachment *attach)
{
	return 0;
}

static inline void xe_dma_buf_iov_fini(struct xe_bo *bo)
{
}

static inline int xe_dma_buf_iov_map(struct xe_bo *bo)
{
	return -EOPNOTSUPP;
}

static inline void xe_dma_buf_iov_unmap(struct xe_bo *bo)
{
}

static inline bool xe_dma_buf_iov_mapped(const struct xe_bo *bo)
{
	return false;
}

static inline const struct drm_pagemap_addr *
xe_dma_buf_iov_addr(const struct xe_bo *bo, u64 *offset)
{
	return NULL;
}
#endif

#endif
