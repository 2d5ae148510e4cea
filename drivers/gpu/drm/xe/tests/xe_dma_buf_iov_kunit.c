// SPDX-License-Identifier: MIT
/*
 * Import of a VF's VRAM over IOV, from the dma-buf to the page table entries
 *
 * The PF, the VFs and the exporter are fake. What is tested is not: the core of
 * dma-buf, TTM, the driver's import, validation, eviction and its page tables.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-buf-iov.h>
#include <linux/dma-fence.h>
#include <linux/kthread.h>
#include <linux/workqueue.h>

#include <drm/drm_pagemap.h>

#include "regs/xe_gtt_defs.h"
#include "tests/xe_kunit_helpers.h"
#include "tests/xe_kunit_iov.h"
#include "tests/xe_pci_test.h"
#include "tests/xe_test.h"
#include "xe_bo.h"
#include "xe_bo_evict.h"
#include "xe_device.h"
#include "xe_dma_buf.h"
#include "xe_dma_buf_iov.h"
#include "xe_pt.h"
#include "xe_res_cursor.h"
#include "xe_sriov.h"
#include "xe_sriov_pf_helpers.h"
#include "xe_sriov_pf_vram.h"
#include "xe_sriov_pf_vram_types.h"
#include "xe_vm.h"

#define TEST_VFS	2

struct iov_test {
	/* Not the live test of dma-bufs, for which xe_gem_prime_import() looks. */
	struct xe_test_priv base;
	struct xe_device *xe;
	struct pci_dev other_pf, vf[TEST_VFS + 1];
};

/* What pci_iov_vf_id() says: the first VF is 0. */
static int fake_vf_index(struct pci_dev *vf)
{
	struct iov_test *t = kunit_get_current_test()->priv;

	return vf - t->vf;
}

/* Export @pieces of VF 1's BAR; what else it should be is set in the offer. */
static struct xe_kunit_iov_exporter *export(struct kunit *test,
					    const struct range *pieces,
					    unsigned int nr)
{
	struct iov_test *t = test->priv;

	return xe_kunit_iov_export(test, t->xe, &t->vf[0], pieces, nr);
}

static struct xe_bo *import(struct kunit *test,
			    struct xe_kunit_iov_exporter *exp)
{
	struct iov_test *t = test->priv;

	return xe_kunit_iov_import(test, t->xe, exp);
}

static void expect_refused(struct kunit *test,
			   struct xe_kunit_iov_exporter *exp, int err)
{
	struct iov_test *t = test->priv;

	xe_kunit_iov_expect_refused(test, t->xe, exp, err);
}

/* Bind all of @bo at @va in a new VM; returns its page table. */
static struct xe_pt *bind(struct kunit *test, struct xe_bo *bo, u64 va,
			  u32 vm_flags)
{
	struct iov_test *t = test->priv;

	return xe_kunit_iov_bind(test, xe_device_get_root_tile(t->xe), bo, va,
				 vm_flags);
}

/*
 * The VF's VRAM: in pieces of different sizes, in no order, and with memory of
 * others between them.
 */
static const struct xe_vf_vram_seg test_segs[] = {
	{ .offset = 0,			.size = SZ_4M,	.dpa = 0x40000000 },
	{ .offset = SZ_4M,		.size = SZ_2M,	.dpa = 0x10000000 },
	{ .offset = SZ_4M + SZ_2M,	.size = SZ_2M,	.dpa = 0x80000000 },
	{ .offset = SZ_8M,		.size = SZ_8M,	.dpa = 0x20000000 },
};

#define TEST_QUOTA	SZ_16M
#define QUOTA_PAGES	(TEST_QUOTA / SZ_4K)
#define BAR_PAGES	(XE_KUNIT_IOV_BAR_SIZE / SZ_4K)

/* Where it is, one byte at a time. */
static u64 reference_dpa(u64 offset)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(test_segs); i++)
		if (offset >= test_segs[i].offset &&
		    offset < test_segs[i].offset + test_segs[i].size)
			return test_segs[i].dpa + offset - test_segs[i].offset;

	return U64_MAX;
}

/* Publish @segs as what VF @vfid owns; nobody needs to be pinned for that. */
static void publish(struct kunit *test, unsigned int vfid,
		    const struct xe_vf_vram_seg *segs, unsigned int nr)
{
	struct iov_test *t = test->priv;

	xe_kunit_iov_publish(test, t->xe, vfid, segs, nr);
}

static void withdraw(struct kunit *test, unsigned int vfid)
{
	struct iov_test *t = test->priv;

	xe_kunit_iov_withdraw(t->xe, vfid);
}

/*
 * Negotiation
 */

static void imports_over_iov(struct kunit *test)
{
	static const struct range pieces[] = { { 0, SZ_1M - 1 } };
	struct xe_kunit_iov_exporter *exp = export(test, pieces, 1);
	struct xe_bo *bo = import(test, exp);

	KUNIT_EXPECT_PTR_EQ(test, bo->ttm.base.import_attach->interconnect,
			    &exp->offer.base);
	KUNIT_EXPECT_TRUE(test, xe_bo_is_vf_vram(bo));
	KUNIT_EXPECT_FALSE(test, xe_bo_is_vram(bo));
	xe_kunit_iov_expect_unmapped(test, exp, bo);

	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
	KUNIT_EXPECT_EQ(test, exp->maps, 1);
	KUNIT_EXPECT_EQ(test, bo->ttm.resource->mem_type, XE_PL_TT);
	KUNIT_EXPECT_FALSE(test, xe_bo_is_vram(bo));

	/* Once is enough. */
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
	KUNIT_EXPECT_EQ(test, exp->maps, 1);
	xe_kunit_iov_put(test, exp, bo);
	KUNIT_EXPECT_EQ(test, exp->sg_maps, 0);
}

enum mismatch { OTHER_PF, OTHER_BAR, NATIVE, UNALIGNED_64K };

struct mismatch_param {
	const char *desc;
	enum mismatch what;
	unsigned int bar;
};

static const struct mismatch_param mismatch_params[] = {
	{ "VF of another PF", OTHER_PF },
	{ "BAR 0", OTHER_BAR, 0 },
	{ "BAR 1", OTHER_BAR, 1 },
	{ "BAR 3", OTHER_BAR, 3 },
	{ "BAR 4", OTHER_BAR, 4 },
	{ "BAR 5", OTHER_BAR, 5 },
	{ "not a PF", NATIVE },
	{ "not made of 64 KiB pages", UNALIGNED_64K },
};

KUNIT_ARRAY_PARAM_DESC(mismatch, mismatch_params, desc);

/* What is not the VRAM of a VF of this device is imported as ever. */
static void imports_as_sg(struct kunit *test)
{
	static const struct range pieces[] = { { 0, SZ_64K + SZ_4K - 1 } };
	const struct mismatch_param *param = test->param_value;
	struct xe_kunit_iov_exporter *exp = export(test, pieces, 1);
	struct iov_test *t = test->priv;
	struct xe_bo *bo;

	switch (param->what) {
	case OTHER_PF:
		exp->offer.pf = &t->other_pf;
		break;
	case OTHER_BAR:
		exp->offer.bar = param->bar;
		break;
	case NATIVE:
		t->xe->sriov.__mode = XE_SRIOV_MODE_NONE;
		break;
	case UNALIGNED_64K:
		t->xe->info.vram_flags |= XE_VRAM_FLAGS_NEED64K;
		break;
	}

	bo = import(test, exp);
	KUNIT_EXPECT_NULL(test, bo->ttm.base.import_attach->interconnect);
	KUNIT_EXPECT_FALSE(test, xe_bo_is_vf_vram(bo));
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, exp->sg_maps, 1);
	KUNIT_EXPECT_EQ(test, exp->maps, 0);
	xe_kunit_iov_put(test, exp, bo);
	t->xe->sriov.__mode = XE_SRIOV_MODE_PF;
}

/*
 * Addresses, and the page table entries made of them
 */

#define PAGES(first, last) { (first) * SZ_4K, ((last) + 1) * SZ_4K - 1 }

struct layout_param {
	const char *desc;
	struct range pieces[4];
	unsigned int nr_pieces;
	u64 va;
	/* how many entries of each size the page table has for it */
	unsigned int nr_2m, nr_64k;
};

static const struct layout_param layout_params[] = {
	{ "4 MiB", { { 0, SZ_4M - 1 } }, 1, SZ_1G, 2, 0 },
	{ "all, one range", { { 0, TEST_QUOTA - 1 } }, 1, SZ_1G, 8, 0 },
	{ "across blocks", { { SZ_4M, SZ_8M + SZ_4M - 1 } }, 1, SZ_1G, 4, 0 },
	{ "2 MiB ranges, backwards",
	  { { SZ_8M, SZ_8M + SZ_2M - 1 }, { SZ_2M, SZ_4M - 1 },
	    { 0, SZ_2M - 1 } }, 3, SZ_1G, 3, 0 },
	{ "the same twice", { { 0, SZ_2M - 1 }, { 0, SZ_2M - 1 } }, 2,
	  SZ_1G, 2, 0 },
	{ "2 MiB from two that follow one another across blocks",
	  { { SZ_8M, SZ_8M + SZ_1M - 1 },
	    { SZ_8M + SZ_1M, SZ_8M + SZ_2M - 1 } }, 2, SZ_1G, 1, 0 },
	{ "2 MiB of two halves, 64 KiB pages",
	  { { SZ_1M, SZ_2M - 1 }, { SZ_4M, SZ_4M + SZ_1M - 1 } }, 2,
	  SZ_1G, 0, 32 },
	{ "4 KiB", { PAGES(1, 1) }, 1, SZ_1G, 0, 0 },
	{ "last page", { PAGES(QUOTA_PAGES - 1, QUOTA_PAGES - 1) }, 1, SZ_1G, 0, 0 },
	{ "pages in no order",
	  { PAGES(7, 7), PAGES(3, 4), PAGES(1024, 1024), PAGES(1023, 1023) }, 4,
	  SZ_1G + SZ_4K, 0, 0 },
	{ "2 MiB that are not aligned in VRAM", { PAGES(1, 512) }, 1,
	  SZ_1G, 0, 0 },
	{ "2 MiB that are not aligned in the VM", { { 0, SZ_2M - 1 } }, 1,
	  SZ_1G + SZ_4K, 0, 0 },
};

KUNIT_ARRAY_PARAM_DESC(layout, layout_params, desc);

/* Where byte @pos of the buffer is. */
static u64 layout_dpa(const struct layout_param *param, u64 pos)
{
	unsigned int i;

	for (i = 0; i < param->nr_pieces; i++) {
		if (pos < range_len(&param->pieces[i]))
			return reference_dpa(param->pieces[i].start + pos);
		pos -= range_len(&param->pieces[i]);
	}

	return U64_MAX;
}

/* From any page on, the cursor finds VRAM, and where the reference says. */
static void cursor_yields_dpa(struct kunit *test)
{
	const struct layout_param *param = test->param_value;
	struct xe_kunit_iov_exporter *exp = export(test, param->pieces,
						   param->nr_pieces);
	struct xe_bo *bo = import(test, exp);
	const struct drm_pagemap_addr *addr;
	struct xe_res_cursor cur;
	u64 start, pos;

	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate_and_lock(bo), 0);
	if (!xe_dma_buf_iov_mapped(bo))
		goto unlock;

	/* It starts in the entry that it is looking for, not before. */
	for (start = 0; start < xe_bo_size(bo); start += SZ_4K) {
		pos = start;
		addr = xe_dma_buf_iov_addr(bo, &pos);
		KUNIT_ASSERT_NOT_NULL(test, addr);
		KUNIT_EXPECT_LT(test, pos, (u64)PAGE_SIZE << addr->order);
		KUNIT_EXPECT_EQ(test, addr->addr + pos, layout_dpa(param, start));
	}

	for (start = 0; start < xe_bo_size(bo); start = start * 5 + SZ_4K) {
		pos = start;
		xe_res_first_bo(bo, start, xe_bo_size(bo) - start, &cur);
		while (cur.remaining) {
			KUNIT_EXPECT_TRUE(test, xe_res_is_vram(&cur));
			KUNIT_EXPECT_EQ(test, xe_res_dma(&cur),
					layout_dpa(param, pos));
			pos += SZ_4K;
			xe_res_next(&cur, SZ_4K);
		}
		KUNIT_EXPECT_EQ(test, pos, xe_bo_size(bo));
		KUNIT_EXPECT_EQ(test, xe_bo_addr(bo, start, SZ_4K),
				layout_dpa(param, start));
	}
unlock:
	xe_bo_unlock(bo);
	xe_kunit_iov_put(test, exp, bo);
}

/* The page table has the reference's address for each page, as device memory. */
static void expect_ptes(struct kunit *test, struct xe_pt *root,
			const struct layout_param *param, u64 size)
{
	unsigned int nr_2m = 0, nr_64k = 0;
	u64 pos, pte, len;

	for (pos = 0; pos < size; pos += SZ_4K) {
		pte = xe_kunit_iov_lookup(root, param->va + pos, &len);
		KUNIT_EXPECT_TRUE(test, pte & XE_PAGE_PRESENT);
		KUNIT_EXPECT_TRUE(test, pte & XE_PPGTT_PTE_DM);
		KUNIT_EXPECT_EQ(test, (pte & ~(SZ_4K - 1ull)) +
				((param->va + pos) & (len - 1)),
				layout_dpa(param, pos));
		nr_2m += len == SZ_2M;
		nr_64k += len == SZ_64K;
	}

	KUNIT_EXPECT_EQ(test, nr_2m, param->nr_2m * (SZ_2M / SZ_4K));
	KUNIT_EXPECT_EQ(test, nr_64k, param->nr_64k * (SZ_64K / SZ_4K));
	/* And none for what comes before and after. */
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_lookup(root, param->va - SZ_4K, &len), 0);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_lookup(root, param->va + size, &len), 0);
}

static void bind_writes_device_memory_ptes(struct kunit *test)
{
	const struct layout_param *param = test->param_value;
	struct xe_kunit_iov_exporter *exp = export(test, param->pieces,
						   param->nr_pieces);
	struct xe_bo *bo = import(test, exp);
	struct xe_pt *root = bind(test, bo, param->va, 0);

	expect_ptes(test, root, param, xe_bo_size(bo));
	xe_kunit_iov_put(test, exp, bo);
}

/* What is large and aligned, here and there, is one entry. */
static void bind_1g(struct kunit *test)
{
	static const struct xe_vf_vram_seg large[] = {
		{ .offset = 0, .size = SZ_1G, .dpa = 0x40000000 },
	};
	static const struct range pieces[] = {
		{ 0, SZ_512M - 1 }, { SZ_512M, SZ_1G - 1 },
	};
	struct xe_kunit_iov_exporter *exp = export(test, pieces, 2);
	struct iov_test *t = test->priv;
	struct xe_pt *root;
	struct xe_bo *bo;
	u64 pte, len;

	/* TT has half of the memory, and UML not enough of it. */
	t->xe->mem.sys_mgr.size = SZ_2G >> PAGE_SHIFT;
	publish(test, 2, large, 1);
	exp->offer.vf = &t->vf[1];
	bo = import(test, exp);
	root = bind(test, bo, SZ_1G, 0);
	pte = xe_kunit_iov_lookup(root, SZ_1G + SZ_2M, &len);
	KUNIT_EXPECT_EQ(test, len, SZ_1G);
	KUNIT_EXPECT_EQ(test, pte, large[0].dpa | XE_PPGTT_PTE_DM |
			XE_PAGE_PRESENT);
	xe_kunit_iov_put(test, exp, bo);
}

/* A platform that has no smaller pages for VRAM: in both layouts of the table. */
static void bind_64k_only(struct kunit *test)
{
	static const u64 vas[] = { SZ_1G, SZ_1G + SZ_64K };
	static const struct layout_param param = {
		.pieces = {
			{ SZ_4M + SZ_64K, SZ_4M + SZ_1M - 1 },
			{ 0, SZ_1M + SZ_64K - 1 },
		},
		.nr_pieces = 2,
	};
	struct iov_test *t = test->priv;
	struct xe_kunit_iov_exporter *exp;
	struct xe_pt *root;
	struct xe_bo *bo;
	unsigned int i;
	u64 pos, pte, len;

	t->xe->info.vram_flags |= XE_VRAM_FLAGS_NEED64K;
	exp = export(test, param.pieces, param.nr_pieces);
	bo = import(test, exp);
	for (i = 0; i < ARRAY_SIZE(vas); i++) {
		root = bind(test, bo, vas[i], XE_VM_FLAG_64K);
		for (pos = 0; pos < xe_bo_size(bo); pos += SZ_4K) {
			pte = xe_kunit_iov_lookup(root, vas[i] + pos, &len);
			KUNIT_EXPECT_TRUE(test, pte & XE_PPGTT_PTE_DM);
			KUNIT_EXPECT_TRUE(test, len == SZ_64K ||
					  pte & XE_PTE_PS64);
			KUNIT_EXPECT_EQ(test,
					(pte & ~(SZ_4K - 1ull)) + pos % len,
					layout_dpa(&param, pos));
		}
	}
	xe_kunit_iov_put(test, exp, bo);
}

/* It is in VRAM already: atomics of the device need no migration. */
static void atomics_need_no_migration(struct kunit *test)
{
	static const struct range pieces[] = { { 0, SZ_64K - 1 } };
	struct xe_kunit_iov_exporter *exp = export(test, pieces, 1);
	struct xe_bo *bo = import(test, exp);
	struct iov_test *t = test->priv;
	struct xe_vma *vma;

	vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	vma->gpuva.gem.obj = &bo->ttm.base;

	/*
	 * Without these atomics in system memory, DEVICE would want a migration
	 * as well; GLOBAL does on every platform, and UNDEFINED on most.
	 */
	t->xe->info.has_device_atomics_on_smem = false;
	KUNIT_EXPECT_EQ(test, 0, xe_vma_need_vram_for_atomic(t->xe, vma, true));
	bo->attr.atomic_access = DRM_XE_ATOMIC_DEVICE;
	KUNIT_EXPECT_EQ(test, 0, xe_vma_need_vram_for_atomic(t->xe, vma, true));
	bo->attr.atomic_access = DRM_XE_ATOMIC_GLOBAL;
	KUNIT_EXPECT_EQ(test, 0, xe_vma_need_vram_for_atomic(t->xe, vma, true));
	bo->attr.atomic_access = DRM_XE_ATOMIC_CPU;
	KUNIT_EXPECT_EQ(test, -EACCES,
			xe_vma_need_vram_for_atomic(t->xe, vma, true));
	xe_kunit_iov_put(test, exp, bo);
}

/*
 * Letting go
 */

static const struct range one_mib[] = { { SZ_1M, SZ_2M - 1 } };

static void evict_unmaps(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct drm_exec *exec = XE_VALIDATION_OPT_OUT;
	struct xe_bo *bo = import(test, exp);

	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate_and_lock(bo), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_evict(bo, exec), 0);
	xe_bo_unlock(bo);
	xe_kunit_iov_expect_unmapped(test, exp, bo);

	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
	KUNIT_EXPECT_EQ(test, exp->maps, 2);
	xe_kunit_iov_put(test, exp, bo);
}

static void invalidate_unmaps(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct xe_bo *bo = import(test, exp);
	unsigned int i;

	/* Before the first map, and twice, there is nothing to do. */
	xe_kunit_iov_invalidate(exp, false);
	for (i = 1; i <= 3; i++) {
		KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
		KUNIT_EXPECT_EQ(test, exp->maps, i);
		xe_kunit_iov_invalidate(exp, false);
		xe_kunit_iov_expect_unmapped(test, exp, bo);
		xe_kunit_iov_invalidate(exp, false);
		xe_kunit_iov_expect_unmapped(test, exp, bo);
	}
	xe_kunit_iov_put(test, exp, bo);
}

struct slow_fence {
	struct dma_fence base;
	spinlock_t lock;	/* of @base */
	struct delayed_work work;
};

static const char *slow_fence_name(struct dma_fence *fence)
{
	return "slow";
}

static const struct dma_fence_ops slow_fence_ops = {
	.get_driver_name = slow_fence_name,
	.get_timeline_name = slow_fence_name,
};

static void slow_fence_work(struct work_struct *work)
{
	struct slow_fence *f = container_of(to_delayed_work(work),
					    struct slow_fence, work);

	dma_fence_signal(&f->base);
	dma_fence_put(&f->base);
}

/* A job that uses the buffer and is done in a while. */
static struct dma_fence *slow_fence(struct kunit *test)
{
	struct slow_fence *f = kzalloc_obj(*f);

	KUNIT_ASSERT_NOT_NULL(test, f);
	spin_lock_init(&f->lock);
	dma_fence_init(&f->base, &slow_fence_ops, &f->lock,
		       dma_fence_context_alloc(1), 1);
	INIT_DELAYED_WORK(&f->work, slow_fence_work);
	dma_fence_get(&f->base);
	schedule_delayed_work(&f->work, HZ / 20);
	return &f->base;
}

static void add_slow_fence(struct kunit *test, struct xe_kunit_iov_exporter *exp)
{
	struct dma_resv *resv = exp->dmabuf->resv;

	exp->fence = slow_fence(test);
	dma_resv_lock(resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(resv, 1), 0);
	dma_resv_add_fence(resv, exp->fence, DMA_RESV_USAGE_BOOKKEEP);
	dma_resv_unlock(resv);
}

/* The GPU is done with the memory before it is given back. */
static void invalidate_waits(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct xe_bo *bo = import(test, exp);

	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
	add_slow_fence(test, exp);

	xe_kunit_iov_invalidate(exp, true);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(exp->fence));
	KUNIT_EXPECT_EQ(test, exp->early, 0);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	xe_kunit_iov_put(test, exp, bo);
	dma_fence_put(exp->fence);
}

struct suspend_param {
	const char *desc;
	bool user_only, fence, dying;
};

static const struct suspend_param suspend_params[] = {
	{ "PM notifier", true, false, false },
	{ "PM notifier, busy", true, true, false },
	{ "suspend", false, false, false },
	{ "suspend, busy", false, true, false },
	{ "suspend, busy and destroyed", false, true, true },
};

KUNIT_ARRAY_PARAM_DESC(suspend, suspend_params, desc);

/*
 * Before the VF's VRAM is saved, nobody uses it any more, and nobody does until
 * the device is resumed. What is not in it stays where it is.
 */
static void suspend_unmaps(struct kunit *test)
{
	const struct suspend_param *param = test->param_value;
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct xe_kunit_iov_exporter *other = export(test, one_mib, 1);
	struct xe_kunit_iov_exporter *unused = export(test, one_mib, 1);
	struct xe_bo *bo = import(test, exp), *other_bo, *unused_bo;
	struct iov_test *t = test->priv;
	struct xe_vf_vram *vram;

	other->offer.bar = 0;
	other->sg_addr = SZ_1G;
	other_bo = import(test, other);
	unused_bo = import(test, unused);
	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(other_bo), 0);
	if (param->fence)
		add_slow_fence(test, exp);
	if (param->dying)
		xe_bo_put(bo);

	/* As the PM notifier does, before it evicts. */
	reinit_completion(&t->xe->pm_block);
	KUNIT_EXPECT_EQ(test, param->user_only ? xe_bo_evict_all_user(t->xe) :
			xe_bo_evict_all(t->xe), 0);
	KUNIT_EXPECT_EQ(test, exp->early, 0);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(other), 1);

	/* Nothing of it is pinned by an import. */
	vram = xe_sriov_pf_vram_get(t->xe, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(vram));
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 2);
	xe_sriov_pf_vram_put(vram);

	if (!param->dying) {
		xe_kunit_iov_expect_unmapped(test, exp, bo);
		KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -EAGAIN);
		xe_kunit_iov_expect_unmapped(test, exp, bo);
		KUNIT_EXPECT_EQ(test, exp->maps, 1);

		complete_all(&t->xe->pm_block);
		KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
		KUNIT_EXPECT_EQ(test, exp->maps, 2);
		xe_kunit_iov_put(test, exp, bo);
	}
	complete_all(&t->xe->pm_block);
	xe_kunit_iov_put(test, other, other_bo);
	KUNIT_EXPECT_EQ(test, unused->maps, 0);
	xe_kunit_iov_put(test, unused, unused_bo);
	KUNIT_EXPECT_TRUE(test, list_empty(&t->xe->sriov.pf.vram.imports));
	dma_fence_put(exp->fence);
}

/* An import that comes while the device is suspended has to wait as well. */
static void suspend_delays_import(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct iov_test *t = test->priv;
	struct drm_gem_object *obj;

	reinit_completion(&t->xe->pm_block);
	obj = xe_gem_prime_import(&t->xe->drm, exp->dmabuf);
	KUNIT_EXPECT_EQ(test, exp->maps, 0);
	complete_all(&t->xe->pm_block);
	KUNIT_ASSERT_FALSE(test, IS_ERR(obj));
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(gem_to_xe_bo(obj)), 0);
	xe_kunit_iov_put(test, exp, gem_to_xe_bo(obj));
}

/* User space may prefetch it to where it is. It stays there. */
static void prefetch_maps(struct kunit *test)
{
	static const u32 mem_types[] = { XE_PL_VRAM0, XE_PL_VRAM1, XE_PL_TT };
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct drm_exec *exec = XE_VALIDATION_OPT_OUT;
	struct xe_bo *bo = import(test, exp);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mem_types); i++) {
		xe_bo_lock(bo, false);
		KUNIT_EXPECT_EQ(test, xe_bo_migrate(bo, mem_types[i], NULL, exec), 0);
		KUNIT_EXPECT_EQ(test, xe_bo_addr(bo, 0, SZ_4K),
				reference_dpa(one_mib[0].start));
		KUNIT_EXPECT_EQ(test, xe_bo_migrate(bo, mem_types[i], NULL, exec), 0);
		xe_bo_unlock(bo);
		KUNIT_EXPECT_EQ(test, exp->maps, i + 1);
		xe_kunit_iov_invalidate(exp, false);
	}
	xe_kunit_iov_put(test, exp, bo);
}

/* A BAR shows as much as it is large, of VRAM that may be more. */
static void bar_smaller_than_quota(struct kunit *test)
{
	static const struct xe_vf_vram_seg seg = {
		.size = 2ULL * XE_KUNIT_IOV_BAR_SIZE,
		.dpa = 0x40000000,
	};
	static const struct range last = PAGES(BAR_PAGES - 256, BAR_PAGES - 1);
	static const struct range past = PAGES(BAR_PAGES, BAR_PAGES + 255);
	struct xe_kunit_iov_exporter *exp;
	struct xe_bo *bo;

	withdraw(test, 1);
	publish(test, 1, &seg, 1);

	exp = export(test, &last, 1);
	bo = import(test, exp);
	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate_and_lock(bo), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_addr(bo, 0, SZ_4K), seg.dpa + last.start);
	xe_bo_unlock(bo);
	xe_kunit_iov_put(test, exp, bo);

	exp = export(test, &past, 1);
	expect_refused(test, exp, -EINVAL);
}

static void revoked_is_enodev(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct xe_bo *bo = import(test, exp);

	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
	xe_kunit_iov_invalidate(exp, true);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -ENODEV);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -ENODEV);
	xe_kunit_iov_expect_unmapped(test, exp, bo);

	/* The buffer comes back. */
	xe_kunit_iov_invalidate(exp, false);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
	xe_kunit_iov_put(test, exp, bo);
}

/* A VF that loses its VRAM: what is mapped is kept, what is not is refused. */
static void withdrawn_is_enodev(struct kunit *test)
{
	static const struct xe_vf_vram_seg elsewhere[] = {
		{ .offset = 0, .size = SZ_2M, .dpa = 0x7fc00000 },
	};
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct xe_bo *bo = import(test, exp);
	struct iov_test *t = test->priv;
	struct xe_vf_vram *vram;

	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
	vram = xe_sriov_pf_vram_get(t->xe, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(vram));
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 3);

	withdraw(test, 1);
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 2);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 1);

	xe_kunit_iov_invalidate(exp, false);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 1);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -ENODEV);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	xe_sriov_pf_vram_put(vram);

	/* And again it has some, elsewhere. */
	publish(test, 1, elsewhere, 1);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate_and_lock(bo), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_addr(bo, 0, SZ_4K),
			elsewhere[0].dpa + SZ_1M);
	xe_bo_unlock(bo);
	xe_kunit_iov_put(test, exp, bo);
}

/* A VF reaches its own VRAM, never another's. */
static void each_vf_has_its_own(struct kunit *test)
{
	static const struct xe_vf_vram_seg other[] = {
		{ .offset = 0, .size = SZ_2M, .dpa = 0x7fe00000 },
	};
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct iov_test *t = test->priv;
	struct xe_bo *bo;

	publish(test, 2, other, 1);
	exp->offer.vf = &t->vf[1];
	bo = import(test, exp);
	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate_and_lock(bo), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_addr(bo, 0, SZ_4K), other[0].dpa + SZ_1M);
	xe_bo_unlock(bo);
	xe_kunit_iov_put(test, exp, bo);
	withdraw(test, 2);
}

struct refused_param {
	const char *desc;
	struct range pieces[3];
	unsigned int nr_pieces;
	int err;
	int map_err;		/* of the exporter */
	bool need_64k;
};

static const struct refused_param refused_params[] = {
	{ "past the VF's VRAM", { PAGES(QUOTA_PAGES, QUOTA_PAGES) }, 1, -ERANGE },
	{ "a page past the VF's VRAM", { PAGES(QUOTA_PAGES - 1, QUOTA_PAGES) }, 1,
	  -ERANGE },
	{ "far past the VF's VRAM", { PAGES(BAR_PAGES - 1, BAR_PAGES - 1) }, 1,
	  -ERANGE },
	{ "past the end of the BAR", { PAGES(BAR_PAGES, BAR_PAGES) }, 1,
	  -EINVAL },
	{ "one good, one bad",
	  { PAGES(0, 15), PAGES(QUOTA_PAGES, QUOTA_PAGES + 15), PAGES(16, 31) }, 3,
	  -ERANGE },
	{ "not aligned to 64 KiB", { PAGES(1, 16) }, 1, -EINVAL, 0, true },
	{ "64 KiB in two", { PAGES(0, 7), PAGES(16, 23) }, 2, -EINVAL, 0, true },
	{ "the exporter's error", { PAGES(0, 15) }, 1, -EIO, -EIO },
};

KUNIT_ARRAY_PARAM_DESC(refused, refused_params, desc);

/*
 * Nothing is mapped, nothing is held, and it may be tried again: at import, and
 * at each map if it was good when it was imported.
 */
static void refused(struct kunit *test)
{
	static const struct xe_vf_vram_seg plenty = {
		.size = 2ULL * XE_KUNIT_IOV_BAR_SIZE,
		.dpa = 0x40000000,
	};
	const struct refused_param *param = test->param_value;
	struct xe_kunit_iov_exporter *exp = export(test, param->pieces,
						   param->nr_pieces);
	struct iov_test *t = test->priv;
	struct xe_vf_vram *vram;
	struct xe_bo *bo;

	withdraw(test, 1);
	publish(test, 1, &plenty, 1);
	exp->offer.size = plenty.size;
	bo = import(test, exp);
	withdraw(test, 1);
	publish(test, 1, test_segs, ARRAY_SIZE(test_segs));
	exp->offer.size = XE_KUNIT_IOV_BAR_SIZE;
	if (param->need_64k)
		t->xe->info.vram_flags |= XE_VRAM_FLAGS_NEED64K;
	exp->map_err = param->map_err;

	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), param->err);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), param->err);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	xe_kunit_iov_put(test, exp, bo);

	expect_refused(test, exp, param->err);
	expect_refused(test, exp, param->err);

	vram = xe_sriov_pf_vram_get(t->xe, 1);
	KUNIT_ASSERT_FALSE(test, IS_ERR(vram));
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 2);
	xe_sriov_pf_vram_put(vram);
	KUNIT_EXPECT_TRUE(test, list_empty(&t->xe->sriov.pf.vram.imports));
}

/* A VF without VRAM, or that there is not. */
static void no_vram_is_enodev(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct iov_test *t = test->priv;

	exp->offer.vf = &t->vf[1];
	expect_refused(test, exp, -ENODEV);
	exp->offer.vf = &t->vf[TEST_VFS];
	expect_refused(test, exp, -ENODEV);
	KUNIT_EXPECT_EQ(test, exp->maps, 0);
}

/*
 * Several importers against an exporter that revokes, and a PF that takes the
 * VRAM away and gives it back.
 */
#define STORM_THREADS	3
#define STORM_ROUNDS	2000

struct storm {
	struct xe_bo *bo;
	unsigned int good, bad;
};

static int storm_validate(void *arg)
{
	struct storm *s = arg;
	int err;

	while (!kthread_should_stop()) {
		err = xe_kunit_iov_validate_and_lock(s->bo);
		if (!err && xe_bo_addr(s->bo, 0, SZ_4K) ==
		    test_segs[0].dpa + SZ_1M)
			s->good++;
		else if (err != -ENODEV)
			s->bad++;
		xe_bo_unlock(s->bo);
		cond_resched();
	}
	return 0;
}

static void storm(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = export(test, one_mib, 1);
	struct task_struct *threads[STORM_THREADS];
	struct storm s[STORM_THREADS] = {};
	unsigned int i;

	for (i = 0; i < STORM_THREADS; i++)
		s[i].bo = import(test, exp);
	for (i = 0; i < STORM_THREADS; i++) {
		threads[i] = kthread_run(storm_validate, &s[i], "iov-importer/%u", i);
		KUNIT_EXPECT_FALSE(test, IS_ERR(threads[i]));
	}

	for (i = 0; i < STORM_ROUNDS; i++) {
		xe_kunit_iov_invalidate(exp, i % 3);
		if (i % 16 == 0)
			withdraw(test, 1);
		if (i % 16 == 8)
			publish(test, 1, test_segs, ARRAY_SIZE(test_segs));
		usleep_range(1, 20);
	}
	xe_kunit_iov_invalidate(exp, true);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);

	for (i = 0; i < STORM_THREADS; i++) {
		if (!IS_ERR(threads[i]))
			kthread_stop(threads[i]);
		KUNIT_EXPECT_NE(test, s[i].good, 0);
		KUNIT_EXPECT_EQ(test, s[i].bad, 0);
		if (i)
			xe_bo_put(s[i].bo);
	}
	xe_kunit_iov_put(test, exp, s[0].bo);
}

static void withdraw_all(void *test)
{
	withdraw(test, 1);
	withdraw(test, 2);
}

static int iov_test_init(struct kunit *test)
{
	struct iov_test *t;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	t->base.id = -1;
	t->xe = xe_kunit_iov_pf(test, TEST_VFS);
	test->priv = t;

	kunit_activate_static_stub(test, xe_dma_buf_iov_vf_index, fake_vf_index);
	publish(test, 1, test_segs, ARRAY_SIZE(test_segs));
	return kunit_add_action_or_reset(test, withdraw_all, test);
}

static struct kunit_case iov_test_cases[] = {
	KUNIT_CASE(imports_over_iov),
	KUNIT_CASE_PARAM(imports_as_sg, mismatch_gen_params),
	KUNIT_CASE_PARAM(cursor_yields_dpa, layout_gen_params),
	KUNIT_CASE_PARAM(bind_writes_device_memory_ptes, layout_gen_params),
	KUNIT_CASE(bind_1g),
	KUNIT_CASE(bind_64k_only),
	KUNIT_CASE(atomics_need_no_migration),
	KUNIT_CASE(evict_unmaps),
	KUNIT_CASE(invalidate_unmaps),
	KUNIT_CASE(invalidate_waits),
	KUNIT_CASE_PARAM(suspend_unmaps, suspend_gen_params),
	KUNIT_CASE(suspend_delays_import),
	KUNIT_CASE(prefetch_maps),
	KUNIT_CASE(revoked_is_enodev),
	KUNIT_CASE(withdrawn_is_enodev),
	KUNIT_CASE(each_vf_has_its_own),
	KUNIT_CASE(bar_smaller_than_quota),
	KUNIT_CASE_PARAM(refused, refused_gen_params),
	KUNIT_CASE(no_vram_is_enodev),
	KUNIT_CASE_SLOW(storm),
	{}
};

static struct kunit_suite iov_suite = {
	.name = "xe_dma_buf_iov",
	.init = iov_test_init,
	.test_cases = iov_test_cases,
};

kunit_test_suite(iov_suite);
