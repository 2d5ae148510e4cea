/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The test importer's interface: /dev/dma_buf_iov_test
 *
 * An open file is an importer, as a driver would be. It attaches to one dma-buf
 * on behalf of a device that the test names, with the offers that the test
 * names, and does what the test says. Closing the file, also because its process
 * was killed, undoes what is left.
 *
 * Every structure may grow at its end: the size is part of the ioctl's number.
 * Fields called reserved must be 0.
 *
 * Errors that more than one ioctl returns: -EFAULT for memory that cannot be
 * read or written, -ENOTTY for an ioctl that is not one of these, -EINVAL for a
 * value that has no meaning (a flag, kind or BAR that does not exist, a reserved
 * field, a misaligned length), -ENXIO for one that needs an attachment while
 * there is none, -ENOMEM. What dma-buf or the exporter say is passed on.
 */
#ifndef DMA_BUF_IOV_TEST_UAPI_H
#define DMA_BUF_IOV_TEST_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DMA_BUF_IOV_TEST_DEV		"/dev/dma_buf_iov_test"
#define DMA_BUF_IOV_TEST_MAX_OFFERS	8
#define DMA_BUF_IOV_TEST_NAME_LEN	16
#define DMA_BUF_IOV_TEST_BDF_LEN	16	/* "0000:01:00.0" and a NUL */

/* What an importer can offer. */
enum dma_buf_iov_test_offer_kind {
	DMA_BUF_IOV_TEST_OFFER_IOV,	/* IOV, for the BAR given */
	DMA_BUF_IOV_TEST_OFFER_OTHER,	/* a type that no exporter has */
};

struct dma_buf_iov_test_offer {
	__u32 kind;
	__u32 bar;
};

/* The importer cannot be told to let go: it has no invalidate_mappings. */
#define DMA_BUF_IOV_TEST_ATTACH_STATIC	0x1
/* It can handle peer-to-peer addresses in an sg_table. */
#define DMA_BUF_IOV_TEST_ATTACH_P2P	0x2
/* It unmaps from a work item after invalidate_mappings, not inside it. */
#define DMA_BUF_IOV_TEST_ATTACH_LAZY	0x4
/* It keeps what is mapped until the test unmaps it or detaches. */
#define DMA_BUF_IOV_TEST_ATTACH_KEEP	0x8
/* As LAZY, and the work item then maps again, as often as it takes. */
#define DMA_BUF_IOV_TEST_ATTACH_REMAP	0x10

/*
 * Attach. An empty bdf stands for a device that is not PCI. -EBUSY if the file
 * is attached already, -ENODEV if there is no such device (or the buffer is
 * revoked), -EBADF or -EINVAL if the fd is no dma-buf's. -EINVAL also for a BAR
 * past 5 and too many offers.
 */
struct dma_buf_iov_test_attach {
	__s32 fd;				/* the dma-buf */
	__u32 flags;
	char bdf[DMA_BUF_IOV_TEST_BDF_LEN];	/* the importer's device */
	__u32 nr_offers;
	__u32 reserved;
	struct dma_buf_iov_test_offer offers[DMA_BUF_IOV_TEST_MAX_OFFERS];
	/* out: what was agreed; the name is empty if nothing was */
	char type[DMA_BUF_IOV_TEST_NAME_LEN];
	char vf[DMA_BUF_IOV_TEST_BDF_LEN];
	__u32 bar;
	__u32 reserved2;
};

/*
 * Map over the interconnect. One mapping at a time, -EBUSY if there is one.
 * -EOPNOTSUPP if no interconnect was agreed, -ENODEV while the buffer is revoked.
 */
struct dma_buf_iov_test_map {
	__u64 size;	/* out: bytes in all ranges */
	__u32 nr;	/* out: number of ranges */
	__u32 reserved;
};

/* Map to an sg_table instead. -EOPNOTSUPP if an interconnect was agreed. */
struct dma_buf_iov_test_map_sg {
	__u64 size;	/* out: bytes in all entries */
	__u32 nr;	/* out: number of entries */
	__u32 reserved;
	__u64 first;	/* out: DMA address of the first */
};

struct dma_buf_iov_test_range {
	__u64 start;
	__u64 end;	/* inclusive */
};

/*
 * Read ranges of the live mapping, -ENXIO if there is none. Over an interconnect
 * they are in its address space; of an sg_table they are the DMA addresses of the
 * importer's device, one range for each entry.
 */
struct dma_buf_iov_test_ranges {
	__u64 uptr;	/* array of struct dma_buf_iov_test_range */
	__u32 first;	/* index of the first to read */
	__u32 nr;	/* in: room in the array; out: how many were read */
};

/*
 * The importer's own memory behind the VFs' BAR, as a GPU's driver knows where
 * in its VRAM a VF's memory is: @size bytes from @vf_offset of the BAR
 * @vf_bar of VF n are the same memory as @size bytes from
 * @pf_offset + n * @pf_stride of the BAR @pf_bar of the PF. All but the BARs in
 * units of 4 bytes; -EINVAL if not, if @size is 0, or if @vf_offset + @size wraps.
 * Can be set at any time, and stays set. Whether it lies inside the PF's BAR is
 * seen when it is used.
 *
 * @pf_bar is DMA_BUF_IOV_TEST_VF_BARS + n for the BARs n of all VFs, one after the
 * other, as the PF's SR-IOV capability has them.
 */
#define DMA_BUF_IOV_TEST_VF_BARS	6

struct dma_buf_iov_test_window {
	__u32 vf_bar;
	__u32 pf_bar;
	__u64 vf_offset;
	__u64 size;
	__u64 pf_offset;
	__u64 pf_stride;
};

/*
 * Read or write bytes of the buffer through the window, never through the VF.
 * The buffer must be mapped over IOV, -ENXIO if not. -ERANGE for bytes outside of
 * the buffer, or that are not behind the window, or whose window is not inside
 * the PF's BAR; nothing was read or written then.
 */
struct dma_buf_iov_test_access {
	__u64 uptr;
	__u64 offset;	/* in the buffer; 4-byte aligned */
	__u32 len;	/* 4-byte aligned, at most a page */
	__u32 write;
};

/* What happened so far. */
struct dma_buf_iov_test_state {
	__u64 invalidations;	/* calls of invalidate_mappings */
	__u64 unmapped;		/* mappings given back because of one */
	__u32 mapped;		/* 1 if a mapping is live */
	__u32 attached;
	__s32 eventfd;		/* in: to signal at each invalidation, or -1 to keep */
	__u32 reserved;
};

/*
 * Repeat attach and detach, or map and unmap, and say how long it took. -EINTR
 * when a signal comes. If attaching fails the file is not attached any more; to
 * detach drops what was mapped, and to map is -EBUSY when something is.
 */
enum dma_buf_iov_test_bench_what {
	DMA_BUF_IOV_TEST_BENCH_ATTACH,	/* detach and attach again as before */
	DMA_BUF_IOV_TEST_BENCH_MAP,	/* map and unmap, over what was agreed */
};

struct dma_buf_iov_test_bench {
	__u32 what;
	__u32 times;
	__u64 ns;	/* out: for all of them */
};

#define DMA_BUF_IOV_TEST_TYPE	0xDB
#define DMA_BUF_IOV_TEST_ATTACH \
	_IOWR(DMA_BUF_IOV_TEST_TYPE, 0, struct dma_buf_iov_test_attach)
#define DMA_BUF_IOV_TEST_DETACH	_IO(DMA_BUF_IOV_TEST_TYPE, 1)
#define DMA_BUF_IOV_TEST_MAP \
	_IOR(DMA_BUF_IOV_TEST_TYPE, 2, struct dma_buf_iov_test_map)
#define DMA_BUF_IOV_TEST_MAP_SG \
	_IOR(DMA_BUF_IOV_TEST_TYPE, 3, struct dma_buf_iov_test_map_sg)
#define DMA_BUF_IOV_TEST_UNMAP	_IO(DMA_BUF_IOV_TEST_TYPE, 4)
#define DMA_BUF_IOV_TEST_RANGES \
	_IOWR(DMA_BUF_IOV_TEST_TYPE, 5, struct dma_buf_iov_test_ranges)
#define DMA_BUF_IOV_TEST_WINDOW \
	_IOW(DMA_BUF_IOV_TEST_TYPE, 6, struct dma_buf_iov_test_window)
#define DMA_BUF_IOV_TEST_ACCESS \
	_IOW(DMA_BUF_IOV_TEST_TYPE, 7, struct dma_buf_iov_test_access)
#define DMA_BUF_IOV_TEST_STATE \
	_IOWR(DMA_BUF_IOV_TEST_TYPE, 8, struct dma_buf_iov_test_state)
#define DMA_BUF_IOV_TEST_BENCH \
	_IOWR(DMA_BUF_IOV_TEST_TYPE, 9, struct dma_buf_iov_test_bench)

#endif /* DMA_BUF_IOV_TEST_UAPI_H */
