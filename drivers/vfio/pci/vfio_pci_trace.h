/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_pci

#if !defined(_TRACE_VFIO_PCI_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VFIO_PCI_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

/* A range of which no dma-buf can be made, that of place @index among them. */
TRACE_EVENT(vfio_pci_dma_buf_bad_range,

	TP_PROTO(u32 index, const struct vfio_region_dma_range *range,
		 const char *why),

	TP_ARGS(index, range, why),

	TP_STRUCT__entry(
		__string(why, why)
		__field(u64, offset)
		__field(u64, length)
		__field(u32, index)
	),

	TP_fast_assign(
		__assign_str(why);
		__entry->offset = range->offset;
		__entry->length = range->length;
		__entry->index = index;
	),

	TP_printk("index=%u offset=0x%llx length=0x%llx why=\"%s\"",
		  __entry->index, __entry->offset, __entry->length,
		  __get_str(why))
);

#endif /* _TRACE_VFIO_PCI_H */

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE vfio_pci_trace

/* This part must be outside protection */
#include <trace/define_trace.h>
