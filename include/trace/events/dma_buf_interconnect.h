/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM dma_buf_interconnect

#if !defined(_TRACE_DMA_BUF_INTERCONNECT_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_DMA_BUF_INTERCONNECT_H

#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/tracepoint.h>

/* One pair of offers that was looked at during attach, and what came of it. */
TRACE_EVENT(dma_buf_interconnect_match,

	TP_PROTO(const struct dma_buf_attachment *attach,
		 const struct dma_buf_interconnect *type, const char *verdict),

	TP_ARGS(attach, type, verdict),

	TP_STRUCT__entry(
		__string(exp_name, attach->dmabuf->exp_name)
		__string(dev_name, dev_name(attach->dev))
		__string(type, type ? type->name : "none")
		__string(verdict, verdict)
		__field(const struct dma_buf_attachment *, attach)
		__field(u64, ino)
	),

	TP_fast_assign(
		__assign_str(exp_name);
		__assign_str(dev_name);
		__assign_str(type);
		__assign_str(verdict);
		__entry->attach = attach;
		__entry->ino = file_inode(attach->dmabuf->file)->i_ino;
	),

	TP_printk("exp_name=%s ino=%llu attachment:%p dev_name=%s interconnect=%s verdict=\"%s\"",
		  __get_str(exp_name), __entry->ino, __entry->attach,
		  __get_str(dev_name), __get_str(type), __get_str(verdict))
);

/* An importer with offers is attached, or @ret is the reason why it is not. */
TRACE_EVENT(dma_buf_interconnect_attach,

	TP_PROTO(const struct dma_buf_attachment *attach, int ret),

	TP_ARGS(attach, ret),

	TP_STRUCT__entry(
		__string(exp_name, attach->dmabuf->exp_name)
		__string(dev_name, dev_name(attach->dev))
		__string(type, attach->interconnect ?
			       attach->interconnect->type->name : "none")
		__field(const struct dma_buf_attachment *, attach)
		__field(u64, ino)
		__field(int, ret)
	),

	TP_fast_assign(
		__assign_str(exp_name);
		__assign_str(dev_name);
		__assign_str(type);
		__entry->attach = attach;
		__entry->ino = file_inode(attach->dmabuf->file)->i_ino;
		__entry->ret = ret;
	),

	TP_printk("exp_name=%s ino=%llu attachment:%p dev_name=%s interconnect=%s ret=%d",
		  __get_str(exp_name), __entry->ino, __entry->attach,
		  __get_str(dev_name), __get_str(type), __entry->ret)
);

DECLARE_EVENT_CLASS(dma_buf_interconnect_mapping,

	TP_PROTO(const struct dma_buf_attachment *attach,
		 const struct dma_buf_ranges *ranges, int ret),

	TP_ARGS(attach, ranges, ret),

	TP_STRUCT__entry(
		__string(exp_name, attach->dmabuf->exp_name)
		__string(dev_name, dev_name(attach->dev))
		__string(type, attach->interconnect ?
			       attach->interconnect->type->name : "none")
		__field(const struct dma_buf_attachment *, attach)
		__field(u64, ino)
		__field(u64, bytes)
		__field(size_t, size)
		__field(unsigned int, nr)
		__field(int, ret)
	),

	TP_fast_assign(
		__assign_str(exp_name);
		__assign_str(dev_name);
		__assign_str(type);
		__entry->attach = attach;
		__entry->ino = file_inode(attach->dmabuf->file)->i_ino;
		__entry->bytes = ranges ? ranges->size : 0;
		__entry->size = attach->dmabuf->size;
		__entry->nr = ranges ? ranges->nr : 0;
		__entry->ret = ret;
	),

	TP_printk("exp_name=%s ino=%llu attachment:%p dev_name=%s interconnect=%s ranges=%u bytes=%llu size=%zu ret=%d",
		  __get_str(exp_name), __entry->ino, __entry->attach,
		  __get_str(dev_name), __get_str(type), __entry->nr,
		  __entry->bytes, __entry->size, __entry->ret)
);

/*
 * A map, also one that failed: then @ranges is as far as the exporter came, or
 * NULL if it was not asked.
 */
DEFINE_EVENT(dma_buf_interconnect_mapping, dma_buf_interconnect_map,

	TP_PROTO(const struct dma_buf_attachment *attach,
		 const struct dma_buf_ranges *ranges, int ret),

	TP_ARGS(attach, ranges, ret)
);

DEFINE_EVENT(dma_buf_interconnect_mapping, dma_buf_interconnect_unmap,

	TP_PROTO(const struct dma_buf_attachment *attach,
		 const struct dma_buf_ranges *ranges, int ret),

	TP_ARGS(attach, ranges, ret)
);

/* A range that core refuses; the map event that follows says whose it was. */
TRACE_EVENT(dma_buf_interconnect_bad_range,

	TP_PROTO(const struct range *range, unsigned int index, u64 limit,
		 const char *why),

	TP_ARGS(range, index, limit, why),

	TP_STRUCT__entry(
		__string(why, why)
		__field(u64, start)
		__field(u64, end)
		__field(u64, limit)
		__field(unsigned int, index)
	),

	TP_fast_assign(
		__assign_str(why);
		__entry->start = range->start;
		__entry->end = range->end;
		__entry->limit = limit;
		__entry->index = index;
	),

	TP_printk("index=%u start=0x%llx end=0x%llx limit=0x%llx why=\"%s\"",
		  __entry->index, __entry->start, __entry->end, __entry->limit,
		  __get_str(why))
);

#endif /* _TRACE_DMA_BUF_INTERCONNECT_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
