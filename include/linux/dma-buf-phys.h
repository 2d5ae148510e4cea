/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * phys: the dma-buf interconnect between an owner of MMIO and an IOMMU's page table
 *
 * The address space, the match rule and the lifetimes are described in
 * drivers/dma-buf/dma-buf-phys.c.
 */
#ifndef __DMA_BUF_PHYS_H__
#define __DMA_BUF_PHYS_H__

#include <linux/dma-buf-interconnect.h>

void dma_buf_phys_offer_export(struct dma_buf_interconnect_offer *offer,
			       const struct dma_buf_interconnect_ops *ops);
const struct dma_buf_interconnect_offer *dma_buf_phys_offer_import(void);

#endif /* __DMA_BUF_PHYS_H__ */
