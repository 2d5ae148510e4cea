// SPDX-License-Identifier: MIT
/*
 * KUnit tests for imports that come and go while they are bound.
 *
 * Real are dma-buf core, TTM, imports, the VM's binding, validation and rebinding,
 * and the building of page tables, which are written by the CPU. Fake are the PF,
 * the exporter, the memory of the page tables and the queues, so that there is
 * no GPU that would use what was bound.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <kunit/visibility.h>
#include <linux/kthread.h>
#include <linux/range.h>
#include <linux/workqueue.h>

#include "tests/xe_kunit_iov.h"
#include "tests/xe_test.h"
#include "xe_dma_buf_iov.h"
#include "xe_pagefault.h"
#include "xe_pagefault_types.h"
#include "xe_sriov_pf_vram_types.h"

/* xe_vm.c makes a type of what vdso/const.h defines, and BIT_ULL() needs it. */
#undef ULL
#define ULL(x)		_ULL(x)

#define IMPORT_VA(i)	(SZ_1G + (u64)(i) * SZ_16M)
#define IMPORT_SG_ADDR	0x300000000ull
#define MAX_TEST_VMS	2

struct vm_import_test {
	/* Not the live test of dma-bufs, for which xe_gem_prime_import() looks. */
	struct xe_test_priv base;
	struct xe_device *xe;
	struct xe_tile *tile;
	struct pci_dev vf;
	struct xe_vm *vms[MAX_TEST_VMS];
	unsigned int nr_vms;
	int prepare_err;
	unsigned int tlb_invals;
	/* A system resume, and what was mapped and locked before it. */
	struct delayed_work resume;
	struct xe_kunit_iov_exporter *exp;
	unsigned int maps_at_resume;
	bool locked_at_resume;
};

/* Huge, large and small pages, of which some become larger without backing. */
static const struct range import_pieces[] = {
	{ 0, SZ_2M - 1 },
	{ SZ_4M + SZ_4K, SZ_4M + SZ_1M - 1 },
	{ SZ_2M, SZ_2M + SZ_1M + SZ_4K - 1 },
	{ SZ_4M, SZ_4M + SZ_4K - 1 },
};

static const struct xe_vf_vram_seg import_segs[] = {
	{ .offset = 0,			.size = SZ_4M,	.dpa = 0x40000000 },
	{ .offset = SZ_4M,		.size = SZ_4M,	.dpa = 0x10000000 },
};

struct import_param {
	const char *desc;
	bool sg;
	unsigned long vm_flags;
};

static const struct import_param import_params[] = {
	{ "IOV", false, 0 },
	{ "IOV, scratch", false, XE_VM_FLAG_SCRATCH_PAGE },
	{ "sg_table", true, 0 },
	{ "sg_table, scratch", true, XE_VM_FLAG_SCRATCH_PAGE },
};

KUNIT_ARRAY_PARAM_DESC(import, import_params, desc);

static int import_fake_vf_index(struct pci_dev *vf)
{
	return 0;
}

static u64 import_fake_pde(struct xe_bo *bo, u64 bo_offset)
{
	return XE_PAGE_PRESENT;
}

static int import_fake_prepare(struct xe_tile *tile, struct xe_vma_ops *vops)
{
	struct vm_import_test *t = kunit_get_current_test()->priv;

	return t->prepare_err;
}

static struct xe_kunit_iov_exporter *import_export(struct kunit *test, bool sg)
{
	struct vm_import_test *t = test->priv;
	struct xe_kunit_iov_exporter *exp;

	exp = xe_kunit_iov_export(test, t->xe, &t->vf, import_pieces,
				  ARRAY_SIZE(import_pieces));
	if (sg) {
		exp->offer.bar = 0;
		exp->sg_addr = IMPORT_SG_ADDR;
	}
	return exp;
}

/*
 * A VM
 */

static void import_vm_free(struct drm_gpuvm *gpuvm)
{
	kfree(gpuvm_to_vm(gpuvm));
}

static const struct drm_gpuvm_ops import_vm_ops = {
	.op_alloc = xe_vm_op_alloc,
	.vm_bo_validate = xe_gpuvm_validate,
	.vm_free = import_vm_free,
};

static const struct xe_pt_ops import_pt_ops = {
	.pte_encode_bo = xelp_pte_encode_bo,
	.pte_encode_vma = xelp_pte_encode_vma,
	.pte_encode_addr = xelp_pte_encode_addr,
	.pde_encode_bo = import_fake_pde,
};

/* A queue that is idle, or not, depending on what its last fence was. */
static struct xe_exec_queue *import_queue(struct kunit *test, struct xe_vm *vm,
					  bool idle)
{
	struct xe_exec_queue *q;
	struct xe_lrc *lrc;
	u32 *seqno;

	q = kunit_kzalloc(test, struct_size(q, lrc, 1), GFP_KERNEL);
	lrc = kunit_kzalloc(test, sizeof(*lrc), GFP_KERNEL);
	seqno = kunit_kzalloc(test, SZ_4K, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q);
	KUNIT_ASSERT_NOT_NULL(test, lrc);
	KUNIT_ASSERT_NOT_NULL(test, seqno);
	lrc->seqno_bo = kunit_kzalloc(test, sizeof(*lrc->seqno_bo), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lrc->seqno_bo);

	iosys_map_set_vaddr(&lrc->seqno_bo->vmap, seqno);
	lrc->fence_ctx.gt = xe_root_mmio_gt(vm->xe);
	lrc->fence_ctx.next_seqno = idle ? 1 : 2;
	kref_init(&q->refcount);
	q->gt = lrc->fence_ctx.gt;
	q->vm = vm;
	q->user_vm = vm;
	q->width = 1;
	q->lrc[0] = lrc;
	q->flags = EXEC_QUEUE_FLAG_VM;
	INIT_LIST_HEAD(&q->multi_gt_list);
	INIT_LIST_HEAD(&q->lr.link);
	return q;
}

static struct xe_pt *import_pt(struct kunit *test, struct xe_vm *vm,
			       unsigned int level)
{
	struct vm_import_test *t = test->priv;
	struct xe_pt *pt = xe_pt_create(vm, t->tile, level, NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(pt));
	return pt;
}

static void import_no_work(struct work_struct *w)
{
}

static struct xe_vm *import_vm(struct kunit *test, unsigned long flags)
{
	struct vm_import_test *t = test->priv;
	struct xe_device *xe = t->xe;
	struct drm_gem_object *r_obj;
	unsigned int level;
	struct xe_vm *vm;

	KUNIT_ASSERT_LT(test, t->nr_vms, MAX_TEST_VMS);
	r_obj = drm_gpuvm_resv_object_alloc(&xe->drm);
	KUNIT_ASSERT_NOT_NULL(test, r_obj);
	vm = kzalloc_obj(*vm);
	if (!vm)
		drm_gem_object_put(r_obj);
	KUNIT_ASSERT_NOT_NULL(test, vm);
	vm->xe = xe;
	vm->size = 1ull << xe->info.va_bits;
	vm->flags = flags;
	vm->pt_ops = &import_pt_ops;
	init_rwsem(&vm->lock);
	init_rwsem(&vm->svm.gpusvm.notifier_lock);
	mutex_init(&vm->snap_mutex);
	INIT_LIST_HEAD(&vm->rebind_list);
	INIT_LIST_HEAD(&vm->userptr.repin_list);
	INIT_LIST_HEAD(&vm->userptr.invalidated);
	spin_lock_init(&vm->userptr.invalidated_lock);
	INIT_LIST_HEAD(&vm->preempt.exec_queues);
	INIT_LIST_HEAD(&vm->preempt.pm_activate_link);
	/* The test does the work itself: there the page tables are fake. */
	INIT_WORK(&vm->preempt.rebind_work, import_no_work);
	ttm_lru_bulk_move_init(&vm->lru_bulk_move);
	xe_range_fence_tree_init(&vm->rftree[0]);
	drm_gpuvm_init(&vm->gpuvm, "fake", DRM_GPUVM_RESV_PROTECTED, &xe->drm,
		       r_obj, 0, vm->size, 0, 0, &import_vm_ops);
	drm_gem_object_put(r_obj);
	t->vms[t->nr_vms++] = vm;
	vm->usm.asid = t->nr_vms;
	KUNIT_ASSERT_EQ(test, xa_err(xa_store(&xe->usm.asid_to_vm, vm->usm.asid, vm,
					      GFP_KERNEL)), 0);

	for (level = MAX_HUGEPTE_LEVEL; flags & XE_VM_FLAG_SCRATCH_PAGE &&
	     level < xe->info.vm_max_level; level++)
		vm->scratch_pt[0][level] = import_pt(test, vm, level);
	vm->pt_root[0] = import_pt(test, vm, xe->info.vm_max_level);
	vm->q[0] = import_queue(test, vm, true);
	return vm;
}

static void import_vm_put(struct xe_vm *vm)
{
	struct drm_gpuva *gpuva, *next;
	struct xe_vma *vma, *next_vma;
	LIST_HEAD(vmas);

	down_write(&vm->lock);
	xe_exec_queue_last_fence_put(vm->q[0], vm);
	xe_vm_lock(vm, false);
	drm_gpuvm_for_each_va_safe(gpuva, next, &vm->gpuvm) {
		vma = gpuva_to_vma(gpuva);
		xe_vm_remove_vma(vm, vma);
		list_move_tail(&vma->combined_links.destroy, &vmas);
	}
	xe_vm_unlock(vm);
	list_for_each_entry_safe(vma, next_vma, &vmas, combined_links.destroy) {
		list_del_init(&vma->combined_links.destroy);
		xe_vma_destroy_unlocked(vma);
	}
	up_write(&vm->lock);
	flush_work(&vm->preempt.rebind_work);
	xe_range_fence_tree_fini(&vm->rftree[0]);
	xa_erase(&vm->xe->usm.asid_to_vm, vm->usm.asid);
	xe_vm_put(vm);
}

static int import_bind(struct xe_vm *vm, struct xe_bo *bo, u64 va)
{
	struct dma_fence *fence = xe_vm_bind_kernel_bo(vm, bo, NULL, va, XE_CACHE_WB);

	if (IS_ERR(fence))
		return PTR_ERR(fence);

	dma_fence_put(fence);
	return 0;
}

static int import_exec_fn(struct drm_gpuvm_exec *vm_exec)
{
	struct xe_vm *vm = gpuvm_to_vm(vm_exec->vm);
	int err;

	xe_vm_set_validation_exec(vm, &vm_exec->exec);
	err = xe_vm_validate_rebind(vm, &vm_exec->exec, 1);
	xe_vm_set_validation_exec(vm, NULL);
	return err;
}

/* What the exec ioctl does before it has a job, and what @check is called for. */
static int import_exec_and(struct kunit *test, struct xe_vm *vm,
			   void (*check)(struct kunit *test, struct xe_vm *vm))
{
	struct drm_gpuvm_exec vm_exec = {
		.vm = &vm->gpuvm,
		.extra.fn = import_exec_fn,
	};
	struct xe_validation_ctx ctx;
	int err;

	down_read(&vm->lock);
	err = xe_validation_exec_lock(&ctx, &vm_exec, &vm->xe->val);
	if (!err) {
		KUNIT_EXPECT_TRUE(test, list_empty(&vm->gpuvm.evict.list));
		KUNIT_EXPECT_TRUE(test, list_empty(&vm->rebind_list));
		if (check)
			check(test, vm);
		xe_validation_ctx_fini(&ctx);
	}
	up_read(&vm->lock);
	return err;
}

static int import_exec(struct kunit *test, struct xe_vm *vm)
{
	return import_exec_and(test, vm, NULL);
}

/*
 * What the page tables should say
 */

static u64 import_addr(bool sg, u64 pos)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(import_pieces); i++) {
		if (pos < range_len(&import_pieces[i]))
			break;
		pos -= range_len(&import_pieces[i]);
	}

	pos += import_pieces[i].start;
	if (sg)
		return IMPORT_SG_ADDR + pos;

	i = pos >= import_segs[1].offset;
	return import_segs[i].dpa + pos - import_segs[i].offset;
}

/* Number of pages that are bound to what they should be, and to nothing. */
static void import_count(struct xe_vm *vm, struct xe_bo *bo, bool sg, u64 va,
			 unsigned int *good, unsigned int *none)
{
	u64 pos, pte, len;

	*good = 0;
	*none = 0;
	for (pos = 0; pos < xe_bo_size(bo); pos += SZ_4K) {
		pte = xe_kunit_iov_lookup(vm->pt_root[0], va + pos, &len);
		if (pte & XE_PTE_NULL)
			*none += xe_vm_has_scratch(vm) && pte & XE_PAGE_PRESENT &&
				 !(pte & GENMASK_ULL(51, 12) & ~(len - 1));
		else if (!pte)
			*none += !xe_vm_has_scratch(vm);
		else if (pte & XE_PAGE_PRESENT && pte & XE_PAGE_RW &&
			 !!(pte & XE_PPGTT_PTE_DM) == !sg)
			*good += (pte & GENMASK_ULL(51, 12) & ~(len - 1)) +
				 ((va + pos) & (len - 1)) == import_addr(sg, pos);
	}
}

static void import_expect(struct kunit *test, struct xe_vm *vm, struct xe_bo *bo,
			  bool sg, u64 va, bool there)
{
	unsigned int good, none, pages = xe_bo_size(bo) / SZ_4K;

	import_count(vm, bo, sg, va, &good, &none);
	KUNIT_EXPECT_EQ(test, good, there ? pages : 0);
	KUNIT_EXPECT_EQ(test, none, there ? 0 : pages);
}

static u64 import_absent_count(struct vm_import_test *t)
{
	struct xe_gt *gt = xe_root_mmio_gt(t->xe);
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu_ptr(gt->stats, cpu)->counters[XE_GT_STATS_ID_ABSENT_IMPORT_COUNT];
	return sum;
}

/*
 * The tests
 */

/* A buffer that was taken back is not there. Its neighbour is. */
static void one_of_two_revoked(struct kunit *test)
{
	const struct import_param *p = test->param_value;
	struct xe_kunit_iov_exporter *exp[2];
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, p->vm_flags);
	struct xe_bo *bo[2];
	unsigned int i, maps;

	for (i = 0; i < 2; i++) {
		exp[i] = import_export(test, p->sg);
		bo[i] = xe_kunit_iov_import(test, t->xe, exp[i]);
		KUNIT_EXPECT_EQ(test, import_bind(vm, bo[i], IMPORT_VA(i)), 0);
		import_expect(test, vm, bo[i], p->sg, IMPORT_VA(i), true);
	}
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, exp[0]->maps, 1);

	xe_kunit_iov_invalidate(exp[0], true);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp[0]), 0);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
		import_expect(test, vm, bo[0], p->sg, IMPORT_VA(0), false);
		import_expect(test, vm, bo[1], p->sg, IMPORT_VA(1), true);
		KUNIT_EXPECT_EQ(test, import_absent_count(t), 1);
	}
	xe_kunit_iov_expect_unmapped(test, exp[0], bo[0]);

	/* User space which names it is told. */
	KUNIT_EXPECT_EQ(test, import_bind(vm, bo[0], IMPORT_VA(2)), -ENODEV);

	xe_kunit_iov_invalidate(exp[0], false);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo[0], p->sg, IMPORT_VA(0), true);
	import_expect(test, vm, bo[1], p->sg, IMPORT_VA(1), true);
	maps = exp[0]->maps;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, exp[0]->maps, maps);
	KUNIT_EXPECT_EQ(test, exp[1]->maps, 1);
	KUNIT_EXPECT_FALSE(test, vm->absent_imports);

	/* And once more, from where it was. */
	xe_kunit_iov_invalidate(exp[0], true);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo[0], p->sg, IMPORT_VA(0), false);
	KUNIT_EXPECT_EQ(test, import_absent_count(t), 2);
	xe_bo_put(bo[0]);
	xe_bo_put(bo[1]);
}

struct import_err_param {
	int err;
	bool absent;
};

static const struct import_err_param import_err_params[] = {
	{ -ENODEV, true }, { -EXDEV, true }, { -ERANGE, true },
	{ -EIO, false }, { -EINVAL, false }, { -ENOMEM, false }, { -EBUSY, false },
	{ -EOPNOTSUPP, false }, { -EPERM, false },
};

static void import_err_desc(const struct import_err_param *p, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%pe", ERR_PTR(p->err));
}

KUNIT_ARRAY_PARAM(import_err, import_err_params, import_err_desc);

/* Only three errors say that the buffer is not there now. */
static void other_errors_fail(struct kunit *test)
{
	const struct import_err_param *p = test->param_value;
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, XE_VM_FLAG_SCRATCH_PAGE);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	xe_kunit_iov_invalidate(exp, false);
	exp->map_err = p->err;
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, import_exec(test, vm), p->absent ? 0 : p->err);
	KUNIT_EXPECT_EQ(test, import_absent_count(t), p->absent);
	if (p->absent)
		import_expect(test, vm, bo, false, IMPORT_VA(0), false);

	/* It may also become worse. */
	exp->map_err = -EIO;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -EIO);

	exp->map_err = 0;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo, false, IMPORT_VA(0), true);
	xe_bo_put(bo);
}

static void unplugged_fails(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, 0);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	xe_kunit_iov_invalidate(exp, false);
	t->xe->drm.unplugged = true;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENODEV);
	t->xe->drm.unplugged = false;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	xe_bo_put(bo);
}

/* As long as the page tables are stale no job may run. */
static void no_job_before_rewrite(struct kunit *test)
{
	const struct import_param *p = test->param_value;
	struct vm_import_test *t = test->priv;
	struct xe_kunit_iov_exporter *exp = import_export(test, p->sg);
	struct xe_vm *vm = import_vm(test, p->vm_flags);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	unsigned int i;

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	xe_kunit_iov_invalidate(exp, true);

	t->prepare_err = -ENOSPC;
	kunit_activate_static_stub(test, xe_pt_update_ops_prepare,
				   import_fake_prepare);
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENOSPC);
	/* Even if the buffer is back, it may be elsewhere. */
	xe_kunit_iov_invalidate(exp, false);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENOSPC);
	xe_kunit_iov_invalidate(exp, true);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENOSPC);
	kunit_deactivate_static_stub(test, xe_pt_update_ops_prepare);

	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo, p->sg, IMPORT_VA(0), false);

	/* The way back is no different. */
	xe_kunit_iov_invalidate(exp, false);
	kunit_activate_static_stub(test, xe_pt_update_ops_prepare,
				   import_fake_prepare);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENOSPC);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), -ENOSPC);
	kunit_deactivate_static_stub(test, xe_pt_update_ops_prepare);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo, p->sg, IMPORT_VA(0), true);
	xe_bo_put(bo);
}

/* Whoever maps the buffer again, all VMs that did without it find it. */
static void returns_to_all_vms(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, 0);
	struct xe_vm *other = import_vm(test, XE_VM_FLAG_SCRATCH_PAGE);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	KUNIT_EXPECT_EQ(test, import_bind(other, bo, IMPORT_VA(1)), 0);
	xe_kunit_iov_invalidate(exp, true);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, import_exec(test, other), 0);
	import_expect(test, vm, bo, false, IMPORT_VA(0), false);
	import_expect(test, other, bo, false, IMPORT_VA(1), false);

	xe_kunit_iov_invalidate(exp, false);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), 0);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	import_expect(test, vm, bo, false, IMPORT_VA(0), true);
	KUNIT_EXPECT_EQ(test, import_exec(test, other), 0);
	import_expect(test, other, bo, false, IMPORT_VA(1), true);
	xe_bo_put(bo);
}

/* A first bind is not bound again by the next exec: nobody did without it. */
static void bind_is_not_a_return(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, 0);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	u64 seqno;

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	seqno = vm->tlb_flush_seqno;
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, vm->tlb_flush_seqno, seqno);
	xe_kunit_iov_invalidate(exp, false);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, vm->tlb_flush_seqno, seqno + 1);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	KUNIT_EXPECT_EQ(test, vm->tlb_flush_seqno, seqno + 1);
	xe_bo_put(bo);
}

/* What remains of a VMA after a partial unbind may be without backing, too. */
static void partial_unbind(struct kunit *test)
{
	static const struct {
		int map_err, ret;
	} cases[] = {
		{ 0, 0 }, { -ENODEV, 0 }, { -EXDEV, 0 }, { -EIO, -EIO },
	};
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, 0);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	struct xe_validation_ctx ctx;
	struct drm_gpuva_ops *ops;
	struct xe_vma_ops vops;
	struct drm_exec exec;
	unsigned int i;
	int err;

	KUNIT_EXPECT_EQ(test, import_bind(vm, bo, IMPORT_VA(0)), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		xe_kunit_iov_invalidate(exp, false);
		exp->map_err = cases[i].map_err;

		down_write(&vm->lock);
		xe_vma_ops_init(&vops, vm, NULL, NULL, 0);
		ops = vm_bind_ioctl_ops_create(vm, &vops, NULL, 0,
					       IMPORT_VA(0) + SZ_1M, SZ_64K,
					       DRM_XE_VM_BIND_OP_UNMAP, 0, 0, 0);
		KUNIT_EXPECT_FALSE(test, IS_ERR(ops));
		KUNIT_EXPECT_EQ(test, vm_bind_ioctl_ops_parse(vm, ops, &vops), 0);
		err = 0;
		xe_validation_guard(&ctx, &t->xe->val, &exec,
				    ((struct xe_val_flags) {
					     .exec_ignore_duplicates = true,
				    }), err) {
			err = vm_bind_ioctl_ops_lock_and_prep(&exec, vm, &vops);
			drm_exec_retry_on_contention(&exec);
		}
		KUNIT_EXPECT_EQ(test, err, cases[i].ret);
		KUNIT_EXPECT_EQ(test, vm->absent_imports,
				cases[i].map_err && !cases[i].ret);
		vm->absent_imports = false;
		vm_bind_ioctl_ops_unwind(vm, &ops, 1);
		xe_vma_ops_fini(&vops);
		drm_gpuva_ops_free(&vm->gpuvm, ops);
		up_write(&vm->lock);
	}
	xe_bo_put(bo);
}

/*
 * Long-running VMs
 */

static int fake_suspend(struct xe_exec_queue *q)
{
	return 0;
}

static void fake_void(struct xe_exec_queue *q)
{
}

static bool fake_reset_status(struct xe_exec_queue *q)
{
	return false;
}

static const struct xe_exec_queue_ops import_fake_queue_ops = {
	.suspend = fake_suspend,
	.suspend_wait = fake_suspend,
	.resume = fake_void,
	.kill = fake_void,
	.reset_status = fake_reset_status,
};

/* What the driver does when a preempt fence was triggered, if it was. */
static bool import_rebind_worker(struct xe_vm *vm)
{
	bool waiting;

	down_write(&vm->lock);
	xe_vm_lock(vm, false);
	waiting = preempt_fences_waiting(vm);
	xe_vm_unlock(vm);
	up_write(&vm->lock);

	preempt_rebind_work_func(&vm->preempt.rebind_work);
	return waiting;
}

static void long_running(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp[3];
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, XE_VM_FLAG_LR_MODE);
	struct xe_exec_queue *q = import_queue(test, vm, false);
	struct xe_bo *bo[3];
	unsigned int i;

	for (i = 0; i < 3; i++) {
		exp[i] = import_export(test, false);
		bo[i] = xe_kunit_iov_import(test, t->xe, exp[i]);
		if (i < 2)
			KUNIT_EXPECT_EQ(test, import_bind(vm, bo[i], IMPORT_VA(i)), 0);
	}

	q->ops = &import_fake_queue_ops;
	q->lr.context = dma_fence_context_alloc(1);
	KUNIT_ASSERT_EQ(test, xe_vm_add_compute_exec_queue(vm, q), 0);
	KUNIT_EXPECT_FALSE(test, import_rebind_worker(vm));

	xe_kunit_iov_invalidate(exp[0], true);
	KUNIT_EXPECT_TRUE(test, import_rebind_worker(vm));
	KUNIT_EXPECT_FALSE(test, vm->flags & XE_VM_FLAG_BANNED);
	import_expect(test, vm, bo[0], false, IMPORT_VA(0), false);
	import_expect(test, vm, bo[1], false, IMPORT_VA(1), true);
	KUNIT_EXPECT_FALSE(test, import_rebind_worker(vm));

	/* A bind tries again, without disturbing who runs if it is in vain. */
	KUNIT_EXPECT_EQ(test, import_bind(vm, bo[2], IMPORT_VA(2)), 0);
	KUNIT_EXPECT_FALSE(test, import_rebind_worker(vm));
	import_expect(test, vm, bo[0], false, IMPORT_VA(0), false);
	import_expect(test, vm, bo[2], false, IMPORT_VA(2), true);

	/* Nor is it the bind's error if it goes wrong. */
	xe_kunit_iov_invalidate(exp[0], false);
	exp[0]->map_err = -EIO;
	KUNIT_EXPECT_EQ(test, import_bind(vm, bo[2], IMPORT_VA(3)), 0);
	import_expect(test, vm, bo[2], false, IMPORT_VA(3), true);

	exp[0]->map_err = 0;
	KUNIT_EXPECT_EQ(test, import_bind(vm, bo[2], IMPORT_VA(4)), 0);
	KUNIT_EXPECT_TRUE(test, import_rebind_worker(vm));
	for (i = 0; i < 3; i++)
		import_expect(test, vm, bo[i], false, IMPORT_VA(i), true);
	KUNIT_EXPECT_FALSE(test, import_rebind_worker(vm));
	KUNIT_EXPECT_FALSE(test, vm->absent_imports);

	/* What is no temporary error bans, as ever. */
	xe_kunit_iov_invalidate(exp[0], false);
	exp[0]->map_err = -EIO;
	KUNIT_EXPECT_TRUE(test, import_rebind_worker(vm));
	KUNIT_EXPECT_TRUE(test, vm->flags & XE_VM_FLAG_BANNED);

	xe_vm_remove_compute_exec_queue(vm, q);
	flush_workqueue(t->xe->preempt_fence_wq);
	for (i = 0; i < 3; i++)
		xe_bo_put(bo[i]);
}

/*
 * VMs in fault mode
 */

static int import_fake_tlb_ppgtt(struct xe_tlb_inval *tlb_inval, u32 seqno,
				 u64 start, u64 end, u32 asid,
				 struct drm_suballoc *prl_sa)
{
	struct vm_import_test *t = kunit_get_current_test()->priv;

	t->tlb_invals++;
	/* As in a reset, when there is nothing to invalidate. */
	return -ECANCELED;
}

static long fake_tlb_timeout(struct xe_tlb_inval *tlb_inval)
{
	return HZ;
}

static const struct xe_tlb_inval_ops import_fake_tlb_ops = {
	.ppgtt = import_fake_tlb_ppgtt,
	.timeout_delay = fake_tlb_timeout,
};

static struct xe_tlb_inval *import_tlb(struct vm_import_test *t)
{
	struct xe_tlb_inval *tlb_inval = &xe_root_mmio_gt(t->xe)->tlb_inval;

	/* Nobody resumes the fake device for us. */
	WRITE_ONCE(t->xe->pm_callback_task, current);
	tlb_inval->xe = t->xe;
	tlb_inval->seqno = 1;
	INIT_LIST_HEAD(&tlb_inval->pending_fences);
	spin_lock_init(&tlb_inval->pending_lock);
	spin_lock_init(&tlb_inval->lock);
	mutex_init(&tlb_inval->seqno_lock);
	INIT_DELAYED_WORK(&tlb_inval->fence_tdr, import_no_work);
	tlb_inval->timeout_wq = system_dfl_wq;
	tlb_inval->ops = &import_fake_tlb_ops;
	return tlb_inval;
}

/* A bind does not write page tables in such a VM. Pretend that one was zapped. */
static struct xe_vma *import_fault_bind(struct kunit *test, struct xe_vm *vm,
					struct xe_bo *bo, u64 va)
{
	unsigned long flags = vm->flags;
	struct xe_vma *vma;

	/* With scratch, a bind clears it in the page tables, by a job. */
	vm->flags &= ~XE_VM_FLAG_SCRATCH_PAGE;
	KUNIT_ASSERT_EQ(test, import_bind(vm, bo, va), -ENODATA);
	vm->flags = flags;
	down_write(&vm->lock);
	vma = xe_vm_find_overlapping_vma(vm, va, SZ_4K);
	up_write(&vm->lock);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	vma->tile_present = BIT(0);
	vma->tile_invalidated = BIT(0);
	return vma;
}

static int import_fault(struct xe_vm *vm, struct xe_vma *vma)
{
	struct xe_pagefault pf = {
		.gt = xe_root_mmio_gt(vm->xe),
		.consumer.page_addr = xe_vma_start(vma),
		.consumer.asid = vm->usm.asid,
	};

	return xe_pagefault_service(&pf);
}

static void fault_mode(struct kunit *test)
{
	const struct import_param *p = test->param_value;
	bool scratch = p->vm_flags & XE_VM_FLAG_SCRATCH_PAGE;
	struct xe_kunit_iov_exporter *exp = import_export(test, p->sg);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, XE_VM_FLAG_LR_MODE |
				     XE_VM_FLAG_FAULT_MODE | p->vm_flags);
	struct xe_tlb_inval *tlb_inval = import_tlb(t);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	struct xe_vma *vma = import_fault_bind(test, vm, bo, IMPORT_VA(0));
	u64 len;

	KUNIT_EXPECT_EQ(test, import_fault(vm, vma), 0);
	import_expect(test, vm, bo, p->sg, IMPORT_VA(0), true);

	/* Page tables and TLB come first, then the exporter. */
	xe_kunit_iov_invalidate(exp, true);
	KUNIT_EXPECT_EQ(test, t->tlb_invals, 1);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_lookup(vm->pt_root[0], IMPORT_VA(0), &len), 0);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);

	KUNIT_EXPECT_EQ(test, import_fault(vm, vma), scratch ? 0 : -ENODEV);
	if (scratch)
		import_expect(test, vm, bo, p->sg, IMPORT_VA(0), false);
	KUNIT_EXPECT_EQ(test, import_absent_count(t), scratch);

	/* A bind of anything finds that it is back, and lets it fault again. */
	xe_kunit_iov_invalidate(exp, false);
	import_fault_bind(test, vm, bo, IMPORT_VA(1));
	KUNIT_EXPECT_EQ(test, t->tlb_invals, 1 + scratch);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), scratch);
	KUNIT_EXPECT_EQ(test, import_fault(vm, vma), 0);
	import_expect(test, vm, bo, p->sg, IMPORT_VA(0), true);
	KUNIT_EXPECT_FALSE(test, vm->absent_imports);

	cancel_delayed_work_sync(&tlb_inval->fence_tdr);
	xe_bo_put(bo);
}

static void import_resume(struct work_struct *w)
{
	struct vm_import_test *t = container_of(to_delayed_work(w),
						struct vm_import_test, resume);

	t->maps_at_resume = xe_kunit_iov_mapped(t->exp);
	t->locked_at_resume = !down_write_trylock(&t->vms[0]->lock);
	if (!t->locked_at_resume)
		up_write(&t->vms[0]->lock);
	complete_all(&t->xe->pm_block);
}

/* The GPU works again before a VF's VRAM is restored: a page fault waits. */
static void fault_waits_for_resume(struct kunit *test)
{
	struct xe_kunit_iov_exporter *exp = import_export(test, false);
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, XE_VM_FLAG_LR_MODE |
				     XE_VM_FLAG_FAULT_MODE);
	struct xe_tlb_inval *tlb_inval = import_tlb(t);
	struct xe_bo *bo = xe_kunit_iov_import(test, t->xe, exp);
	struct xe_vma *vma = import_fault_bind(test, vm, bo, IMPORT_VA(0));

	t->exp = exp;
	t->maps_at_resume = UINT_MAX;
	t->locked_at_resume = true;
	INIT_DELAYED_WORK(&t->resume, import_resume);
	reinit_completion(&t->xe->pm_block);
	schedule_delayed_work(&t->resume, HZ / 20 + 1);
	KUNIT_EXPECT_EQ(test, import_fault(vm, vma), 0);
	flush_delayed_work(&t->resume);
	KUNIT_EXPECT_EQ(test, t->maps_at_resume, 0);
	KUNIT_EXPECT_FALSE(test, t->locked_at_resume);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 1);
	import_expect(test, vm, bo, false, IMPORT_VA(0), true);

	xe_kunit_iov_invalidate(exp, true);
	cancel_delayed_work_sync(&tlb_inval->fence_tdr);
	xe_bo_put(bo);
}

/*
 * An exporter that revokes and gives back while the VM is at work. After each
 * successful exec the page tables agree with the exporter, under its lock.
 */
#define IMPORT_RACE_ROUNDS	500

static void import_check(struct kunit *test, struct xe_vm *vm)
{
	unsigned int good, none, pages;
	struct drm_gpuva *gpuva;

	drm_gpuvm_for_each_va(gpuva, &vm->gpuvm) {
		struct xe_bo *bo = gem_to_xe_bo(gpuva->gem.obj);

		pages = xe_bo_size(bo) / SZ_4K;
		import_count(vm, bo, !xe_bo_is_vf_vram(bo), gpuva->va.addr,
			     &good, &none);
		KUNIT_EXPECT_EQ(test, good, xe_bo_is_absent(bo) ? 0 : pages);
		KUNIT_EXPECT_EQ(test, none, xe_bo_is_absent(bo) ? pages : 0);
	}
}

static int import_revoke_thread(void *arg)
{
	struct xe_kunit_iov_exporter *exp = arg;
	unsigned int i = 0;

	while (!kthread_should_stop()) {
		xe_kunit_iov_invalidate(exp, i++ % 3);
		schedule_timeout_uninterruptible(i % 8 == 0);
	}
	return 0;
}

static void race_with_revoke(struct kunit *test)
{
	const struct import_param *p = test->param_value;
	struct xe_kunit_iov_exporter *exp[2];
	struct vm_import_test *t = test->priv;
	struct xe_vm *vm = import_vm(test, p->vm_flags);
	struct task_struct *thread[2];
	struct xe_bo *bo[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		exp[i] = import_export(test, p->sg);
		bo[i] = xe_kunit_iov_import(test, t->xe, exp[i]);
		KUNIT_EXPECT_EQ(test, import_bind(vm, bo[i], IMPORT_VA(i)), 0);
	}
	for (i = 0; i < 2; i++) {
		thread[i] = kthread_run(import_revoke_thread, exp[i],
					"xe-vm-revoke/%u", i);
		KUNIT_EXPECT_FALSE(test, IS_ERR(thread[i]));
	}

	for (i = 0; i < IMPORT_RACE_ROUNDS; i++) {
		KUNIT_EXPECT_EQ(test, import_exec_and(test, vm, import_check), 0);
		cond_resched();
	}

	for (i = 0; i < 2; i++)
		if (!IS_ERR(thread[i]))
			kthread_stop(thread[i]);
	KUNIT_EXPECT_NE(test, import_absent_count(t), 0);
	for (i = 0; i < 2; i++)
		xe_kunit_iov_invalidate(exp[i], false);
	KUNIT_EXPECT_EQ(test, import_exec(test, vm), 0);
	for (i = 0; i < 2; i++) {
		import_expect(test, vm, bo[i], p->sg, IMPORT_VA(i), true);
		xe_bo_put(bo[i]);
	}
}

/* Before the exporters are gone. */
static void vm_import_test_exit(struct kunit *test)
{
	struct vm_import_test *t = test->priv;

	while (t->nr_vms)
		import_vm_put(t->vms[--t->nr_vms]);
	flush_workqueue(t->xe->ttm.wq);
	xe_kunit_iov_withdraw(t->xe, 1);
}

/* There is no register to be written, and no VRAM either. */
static void import_fake_wmb(struct xe_device *xe)
{
}

static int vm_import_test_init(struct kunit *test)
{
	struct vm_import_test *t;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	t->base.id = -1;
	t->xe = xe_kunit_iov_pf(test, 1);
	t->tile = xe_device_get_root_tile(t->xe);
	test->priv = t;

	KUNIT_ASSERT_EQ(test, xe_gt_stats_init(xe_root_mmio_gt(t->xe)), 0);

	init_rwsem(&t->xe->usm.lock);
	xa_init(&t->xe->usm.asid_to_vm);
	xe_kunit_iov_fake_pts(test);
	kunit_activate_static_stub(test, xe_device_wmb, import_fake_wmb);
	kunit_activate_static_stub(test, xe_dma_buf_iov_vf_index, import_fake_vf_index);
	xe_kunit_iov_publish(test, t->xe, 1, import_segs, ARRAY_SIZE(import_segs));
	return 0;
}

static struct kunit_case vm_import_test_cases[] = {
	KUNIT_CASE_PARAM(one_of_two_revoked, import_gen_params),
	KUNIT_CASE_PARAM(other_errors_fail, import_err_gen_params),
	KUNIT_CASE(unplugged_fails),
	KUNIT_CASE_PARAM(no_job_before_rewrite, import_gen_params),
	KUNIT_CASE(returns_to_all_vms),
	KUNIT_CASE(bind_is_not_a_return),
	KUNIT_CASE(partial_unbind),
	KUNIT_CASE(long_running),
	KUNIT_CASE_PARAM(fault_mode, import_gen_params),
	KUNIT_CASE(fault_waits_for_resume),
	KUNIT_CASE_PARAM_ATTR(race_with_revoke, import_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite vm_import_suite = {
	.name = "xe_vm_import",
	.init = vm_import_test_init,
	.exit = vm_import_test_exit,
	.test_cases = vm_import_test_cases,
};

kunit_test_suite(vm_import_suite);
