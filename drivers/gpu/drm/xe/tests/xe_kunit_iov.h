/* SPDX-License-Identifier: MIT */
/*
 * What tests need to share a VF's VRAM: see xe_kunit_iov.c
 */

#ifndef _XE_KUNIT_IOV_H_
#define _XE_KUNIT_IOV_H_

#include <linux/dma-buf-iov.h>
#include <linux/types.h>

struct dma_buf;
struct dma_fence;
struct kunit;
struct pci_dev;
struct range;
struct xe_bo;
struct xe_device;
struct xe_pt;
struct xe_tile;
struct xe_vf_vram_seg;

#define XE_KUNIT_IOV_BAR	2
#define XE_KUNIT_IOV_BAR_SIZE	SZ_1G

/**
 * struct xe_kunit_iov_exporter - exports a part of a VF's BAR, offers only IOV
 *
 * All but @offer and @dmabuf is protected by the reservation lock of @dmabuf.
 */
struct xe_kunit_iov_exporter {
	/** @offer: what it offers, may be changed before the import */
	struct dma_buf_iov_offer offer;
	/** @offers: the list of one offer */
	const struct dma_buf_interconnect_offer *offers[1];
	/** @dmabuf: what is exported, put when the test ends */
	struct dma_buf *dmabuf;
	/** @pieces: where the buffer is in the BAR, in bytes */
	const struct range *pieces;
	/** @nr_pieces: number of @pieces */
	unsigned int nr_pieces;
	/** @revoked: refuse to map */
	bool revoked;
	/** @map_err: what to say to who maps, if not 0 */
	int map_err;
	/** @sg_addr: DMA address of the BAR, 0 to refuse an sg_table */
	dma_addr_t sg_addr;
	/** @maps: number of times it was mapped */
	unsigned int maps;
	/** @unmaps: number of times it was unmapped */
	unsigned int unmaps;
	/** @sg_maps: number of times that somebody asked for an sg_table */
	unsigned int sg_maps;
	/** @fence: must have signaled before an unmap */
	struct dma_fence *fence;
	/** @early: number of times that it had not */
	unsigned int early;
};

struct xe_device *xe_kunit_iov_pf(struct kunit *test, unsigned int nr_vfs);
void xe_kunit_iov_publish(struct kunit *test, struct xe_device *xe,
			  unsigned int vfid, const struct xe_vf_vram_seg *segs,
			  unsigned int nr);
void xe_kunit_iov_withdraw(struct xe_device *xe, unsigned int vfid);

struct xe_kunit_iov_exporter *
xe_kunit_iov_export(struct kunit *test, struct xe_device *xe, struct pci_dev *vf,
		    const struct range *pieces, unsigned int nr);
void xe_kunit_iov_invalidate(struct xe_kunit_iov_exporter *exp, bool revoked);
unsigned int xe_kunit_iov_mapped(struct xe_kunit_iov_exporter *exp);

struct xe_bo *xe_kunit_iov_import(struct kunit *test, struct xe_device *xe,
				  struct xe_kunit_iov_exporter *exp);
void xe_kunit_iov_expect_refused(struct kunit *test, struct xe_device *xe,
				 struct xe_kunit_iov_exporter *exp, int err);
void xe_kunit_iov_put(struct kunit *test, struct xe_kunit_iov_exporter *exp,
		      struct xe_bo *bo);
void xe_kunit_iov_expect_unmapped(struct kunit *test,
				  struct xe_kunit_iov_exporter *exp,
				  struct xe_bo *bo);
int xe_kunit_iov_validate_and_lock(struct xe_bo *bo);
int xe_kunit_iov_validate(struct xe_bo *bo);

void xe_kunit_iov_fake_pts(struct kunit *test);
struct xe_pt *xe_kunit_iov_bind(struct kunit *test, struct xe_tile *tile,
				struct xe_bo *bo, u64 va, u32 vm_flags);
u64 xe_kunit_iov_lookup(struct xe_pt *root, u64 va, u64 *size);

#endif
