/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What dma-buf.c needs of dma-buf-interconnect.c, and nobody else.
 */
#ifndef __DMA_BUF_INTERCONNECT_INTERNAL_H__
#define __DMA_BUF_INTERCONNECT_INTERNAL_H__

struct dma_buf_attachment;
struct dma_buf_interconnect_offer;
struct seq_file;

void dma_buf_interconnect_negotiate(struct dma_buf_attachment *attach,
				    const struct dma_buf_interconnect_offer *const *imps,
				    unsigned int nr_imps);
void dma_buf_interconnect_show(struct seq_file *s,
			       const struct dma_buf_attachment *attach);

#endif /* __DMA_BUF_INTERCONNECT_INTERNAL_H__ */
