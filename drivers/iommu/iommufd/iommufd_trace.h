/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM iommufd

#if !defined(_TRACE_IOMMUFD_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_IOMMUFD_H

#include <linux/dma-buf.h>
#include <linux/tracepoint.h>

/* A part of a dma-buf that user space wants to have in an IOAS. */
TRACE_EVENT(iommufd_import_dmabuf,

	TP_PROTO(const struct dma_buf *dmabuf, unsigned long start,
		 unsigned long length, int ret),

	TP_ARGS(dmabuf, start, length, ret),

	TP_STRUCT__entry(
		__string(exp_name, dmabuf->exp_name)
		__field(u64, ino)
		__field(size_t, size)
		__field(unsigned long, start)
		__field(unsigned long, length)
		__field(int, ret)
	),

	TP_fast_assign(
		__assign_str(exp_name);
		__entry->ino = file_inode(dmabuf->file)->i_ino;
		__entry->size = dmabuf->size;
		__entry->start = start;
		__entry->length = length;
		__entry->ret = ret;
	),

	TP_printk("exp_name=%s ino=%llu size=0x%zx start=0x%lx length=0x%lx ret=%d",
		  __get_str(exp_name), __entry->ino, __entry->size,
		  __entry->start, __entry->length, __entry->ret)
);

#endif /* _TRACE_IOMMUFD_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE iommufd_trace

/* This part must be outside protection */
#include <trace/define_trace.h>
