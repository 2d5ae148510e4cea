/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM p2pdma

#if !defined(_TRACE_P2PDMA_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_P2PDMA_H

#include <linux/device.h>
#include <linux/pci-p2pdma.h>
#include <linux/tracepoint.h>

/* Enums require being exported to userspace, for user tool parsing */
TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_NOT_SUPPORTED);
TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_BUS_ADDR);
TRACE_DEFINE_ENUM(PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);

#define show_p2pdma_map_type(type)					\
	__print_symbolic(type,						\
		{ PCI_P2PDMA_MAP_NOT_SUPPORTED, "NOT_SUPPORTED" },	\
		{ PCI_P2PDMA_MAP_BUS_ADDR, "BUS_ADDR" },		\
		{ PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, "THRU_HOST_BRIDGE" })

/*
 * Bridges are text, as there may be several, or "none". So are the answer and the
 * reason: they are for people to read, and may change with the code that decides.
 */
TRACE_EVENT(p2pdma_map_type,

	TP_PROTO(const struct device *provider,
		 const struct device *client,
		 enum pci_p2pdma_map_type type,
		 const char *answer,
		 int distance,
		 const char *upstream,
		 const char *acs_redir,
		 const char *host_bridge,
		 const char *reason),

	TP_ARGS(provider, client, type, answer, distance, upstream, acs_redir,
		host_bridge, reason),

	TP_STRUCT__entry(
		__string(provider, dev_name(provider))
		__string(client, dev_name(client))
		__field(int, type)
		__string(answer, answer)
		__field(int, distance)
		__string(upstream, upstream)
		__string(acs_redir, acs_redir)
		__string(host_bridge, host_bridge)
		__string(reason, reason)
	),

	TP_fast_assign(
		__assign_str(provider);
		__assign_str(client);
		__entry->type = type;
		__assign_str(answer);
		__entry->distance = distance;
		__assign_str(upstream);
		__assign_str(acs_redir);
		__assign_str(host_bridge);
		__assign_str(reason);
	),

	TP_printk("provider: %s client: %s type: %s answer: %s distance: %d upstream: %s acs_redir: %s host_bridge: %s reason: %s",
		__get_str(provider), __get_str(client),
		show_p2pdma_map_type(__entry->type),
		__get_str(answer), __entry->distance,
		__get_str(upstream), __get_str(acs_redir),
		__get_str(host_bridge), __get_str(reason)
	)
);

#endif /* _TRACE_P2PDMA_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
