/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What dma-buf.c and the KUnit tests need of dma-buf-interconnect.c, and nobody
 * else.
 */
#ifndef __DMA_BUF_INTERCONNECT_INTERNAL_H__
#define __DMA_BUF_INTERCONNECT_INTERNAL_H__

#include <linux/dma-buf-interconnect.h>
#include <linux/range.h>
#include <linux/types.h>
#include <linux/xarray.h>

/**
 * struct dma_buf_runs - how the ranges of a mapping are kept
 *
 * Complete when &dma_buf_interconnect_ops.map has returned, and constant from
 * then on. See dma-buf-interconnect.c.
 */
struct dma_buf_runs {
	/** @ranges: What the exporter and the importer see. */
	struct dma_buf_ranges ranges;

	/** @attach: The attachment that was mapped. */
	const struct dma_buf_attachment *attach;

	/** @xa: Arrays of up to DMA_BUF_RANGES_PER_RUN struct range. */
	struct xarray xa;

	/** @limit: The last address at which a range may end. */
	u64 limit;

	/** @end: Where the next range goes, in the last run. */
	struct range *end;

	/** @room: For how many ranges there is memory at @end. */
	u16 room;

	/** @merge: May ranges be merged? */
	bool merge;

	/** @first: The first run, until a second range is added. */
	struct range first;
};

void dma_buf_interconnect_negotiate(struct dma_buf_attachment *attach,
				    const struct dma_buf_interconnect_offer *const *imps,
				    unsigned int nr_imps);
void dma_buf_interconnect_show(struct seq_file *s,
			       const struct dma_buf_attachment *attach);

#if IS_ENABLED(CONFIG_KUNIT)
bool dma_buf_runs_no_memory(void);
#endif

#endif /* __DMA_BUF_INTERCONNECT_INTERNAL_H__ */
