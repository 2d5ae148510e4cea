// SPDX-License-Identifier: MIT
/*
 * KUnit tests for the import of dma-bufs.
 *
 * Real are dma-buf core, TTM, and all that Xe does with an imported BO from
 * xe_gem_prime_import() to its destruction. Fake are the device, which is only
 * as alive as BOs in system memory need, and the exporter: its buffer is a
 * list of made-up DMA addresses, it counts how often it is mapped and
 * unmapped, and notes each unmap that comes too early. Fences are fake too,
 * and are signalled from a work item. The exporter revokes as vfio-pci does.
 *
 * VMs have the real list handling, rebind worker and preempt fences, but fake
 * queues, page tables and TLBs.
 */

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pm_runtime.h>
#include <linux/sched/signal.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include <drm/drm_gpuvm.h>
#include <drm/ttm/ttm_bo.h>
#include <drm/ttm/ttm_placement.h>
#include <drm/ttm/ttm_resource.h>

#include "tests/xe_kunit_helpers.h"
#include "tests/xe_test.h"
#include "xe_dma_buf.h"
#include "xe_lrc_types.h"
#include "xe_tlb_inval.h"
#include "xe_validation.h"

#define FAKE_TIMEOUT	(10 * HZ)	/* for what should come at once */
#define FENCE_DELAY	(HZ / 50 + 1)	/* a GPU at work */
#define MAX_IMPORTS	2

/*
 * The fake exporter
 */

/* Two pieces, so that the addresses are not one run. */
static const struct {
	dma_addr_t addr;
	unsigned int len;
} fake_pieces[] = {
	{ 0x10000000, 3 * SZ_4K },
	{ 0x20000000, 5 * SZ_4K },
};

#define FAKE_SIZE	(8 * SZ_4K)

struct fake_tlb {
	struct xe_tlb_inval *inval;
	struct delayed_work done_work;
	struct fake_buf *buf;
	const u64 *ptes;
	unsigned int requests;
	bool done;
	bool late;		/* the request, or the page table before it */
	u64 start, end;
	u32 asid, seqno;
};

/* All but @dmabuf and @released is protected by the reservation lock. */
struct fake_buf {
	struct dma_buf *dmabuf;
	struct completion released;
	wait_queue_head_t mapped;
	struct drm_gpuvm_bo *vm_bo;	/* must be evicted before an unmap */
	struct fake_tlb *tlb;		/* must be invalidated before an unmap */
	bool revoked;
	bool moves_on_map;
	int map_err;
	unsigned int attempts;		/* to map, with or without success */
	unsigned int maps, unmaps;
	unsigned int early;		/* unmaps of what may be in use */
};

static struct sg_table *fake_map(struct dma_buf_attachment *attach,
				 enum dma_data_direction dir)
{
	struct fake_buf *buf = attach->dmabuf->priv;
	struct scatterlist *sg;
	struct sg_table *sgt;
	unsigned int i;
	int ret;

	dma_resv_assert_held(attach->dmabuf->resv);

	buf->attempts++;
	if (buf->revoked)
		return ERR_PTR(-ENODEV);
	if (buf->map_err)
		return ERR_PTR(buf->map_err);
	if (buf->moves_on_map)
		dma_buf_invalidate_mappings(attach->dmabuf);

	sgt = kzalloc_obj(*sgt);
	if (!sgt)
		return ERR_PTR(-ENOMEM);

	ret = sg_alloc_table(sgt, ARRAY_SIZE(fake_pieces), GFP_KERNEL);
	if (ret) {
		kfree(sgt);
		return ERR_PTR(ret);
	}

	for_each_sgtable_dma_sg(sgt, sg, i) {
		sg_dma_address(sg) = fake_pieces[i].addr;
		sg_dma_len(sg) = fake_pieces[i].len;
	}

	buf->maps++;
	wake_up(&buf->mapped);
	return sgt;
}

static void fake_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
	struct fake_buf *buf = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (!dma_resv_test_signaled(attach->dmabuf->resv,
				    DMA_RESV_USAGE_BOOKKEEP) ||
	    (buf->vm_bo && !buf->vm_bo->evicted) ||
	    (buf->tlb && !buf->tlb->done))
		buf->early++;

	buf->unmaps++;
	sg_free_table(sgt);
	kfree(sgt);
}

static void fake_release(struct dma_buf *dmabuf)
{
	struct fake_buf *buf = dmabuf->priv;

	complete(&buf->released);
}

static const struct dma_buf_ops fake_dma_buf_ops = {
	.map_dma_buf = fake_map,
	.unmap_dma_buf = fake_unmap,
	.release = fake_release,
};

static unsigned int fake_mappings(struct fake_buf *buf)
{
	return buf->maps - buf->unmaps;
}

static void fake_lock(struct fake_buf *buf)
{
	dma_resv_lock(buf->dmabuf->resv, NULL);
}

static void fake_unlock(struct fake_buf *buf)
{
	dma_resv_unlock(buf->dmabuf->resv);
}

/* Returns how many mappings are left when the importers have been told. */
static unsigned int fake_invalidate(struct fake_buf *buf)
{
	unsigned int left;

	fake_lock(buf);
	dma_buf_invalidate_mappings(buf->dmabuf);
	left = fake_mappings(buf);
	fake_unlock(buf);

	return left;
}

static unsigned int fake_revoke(struct fake_buf *buf, bool revoked)
{
	unsigned int left;

	fake_lock(buf);
	if (revoked)
		buf->revoked = true;
	dma_buf_invalidate_mappings(buf->dmabuf);
	left = fake_mappings(buf);
	buf->revoked = revoked;
	fake_unlock(buf);

	return left;
}

/*
 * The fake fence
 */

enum fake_fence_kind {
	FENCE_JOB,		/* signals after a while */
	FENCE_PREEMPT,		/* signals a while after somebody wants it to */
};

struct fake_fence {
	struct dma_fence base;
	spinlock_t lock;	/* of @base */
	struct delayed_work signal;
};

static const char *fake_fence_name(struct dma_fence *fence)
{
	return "fake";
}

static void fake_fence_signal(struct work_struct *work)
{
	struct fake_fence *f = container_of(to_delayed_work(work),
					    struct fake_fence, signal);

	dma_fence_signal(&f->base);
	dma_fence_put(&f->base);
}

static void fake_fence_start(struct fake_fence *f)
{
	dma_fence_get(&f->base);
	schedule_delayed_work(&f->signal, FENCE_DELAY);
}

static bool fake_fence_enable_signaling(struct dma_fence *fence)
{
	fake_fence_start(container_of(fence, struct fake_fence, base));
	return true;
}

static const struct dma_fence_ops fake_job_ops = {
	.get_driver_name = fake_fence_name,
	.get_timeline_name = fake_fence_name,
};

static const struct dma_fence_ops fake_preempt_ops = {
	.get_driver_name = fake_fence_name,
	.get_timeline_name = fake_fence_name,
	.enable_signaling = fake_fence_enable_signaling,
};

/* The caller holds the reservation lock. */
static int fake_fence_add(struct fake_buf *buf, enum fake_fence_kind kind,
			  enum dma_resv_usage usage)
{
	struct dma_resv *resv = buf->dmabuf->resv;
	struct fake_fence *f;
	int ret;

	ret = dma_resv_reserve_fences(resv, 1);
	if (ret)
		return ret;

	f = kzalloc_obj(*f);
	if (!f)
		return -ENOMEM;

	spin_lock_init(&f->lock);
	INIT_DELAYED_WORK(&f->signal, fake_fence_signal);
	dma_fence_init(&f->base,
		       kind == FENCE_JOB ? &fake_job_ops : &fake_preempt_ops,
		       &f->lock, dma_fence_context_alloc(1), 1);
	dma_resv_add_fence(resv, &f->base, usage);
	if (kind == FENCE_JOB)
		fake_fence_start(f);
	dma_fence_put(&f->base);

	return 0;
}

/*
 * The importer
 */

struct import_test {
	struct xe_test_priv base;
	struct xe_device *xe;
	struct fake_buf *buf;
	struct xe_bo *bos[MAX_IMPORTS];
	unsigned int wrong;		/* under the reservation lock */
};

static struct fake_buf *fake_export(struct kunit *test)
{
	struct fake_buf *buf = kunit_kzalloc(test, sizeof(*buf), GFP_KERNEL);
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);

	KUNIT_ASSERT_NOT_NULL(test, buf);
	init_completion(&buf->released);
	init_waitqueue_head(&buf->mapped);

	exp_info.ops = &fake_dma_buf_ops;
	exp_info.size = FAKE_SIZE;
	exp_info.flags = O_RDWR;
	exp_info.priv = buf;
	buf->dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_FALSE(test, IS_ERR(buf->dmabuf));

	return buf;
}

static struct xe_bo *import_bo(struct import_test *t)
{
	struct drm_gem_object *obj;

	obj = xe_gem_prime_import(&t->xe->drm, t->buf->dmabuf);
	return IS_ERR(obj) ? ERR_CAST(obj) : gem_to_xe_bo(obj);
}

static struct xe_bo *import(struct kunit *test, unsigned int i)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import_bo(t);

	KUNIT_ASSERT_FALSE(test, IS_ERR(bo));
	t->bos[i] = bo;

	return bo;
}

static bool is_mapped(struct xe_bo *bo)
{
	return bo->ttm.resource && xe_bo_is_mem_type(bo, XE_PL_TT) &&
		xe_bo_sg(bo);
}

static bool is_unmapped(struct xe_bo *bo)
{
	return bo->ttm.resource && xe_bo_is_mem_type(bo, XE_PL_SYSTEM) &&
		!xe_bo_sg(bo);
}

/* As xe_bo_addr() has them, which page tables are made of. */
static bool addresses_match(struct xe_bo *bo)
{
	u64 offset, start = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fake_pieces); i++) {
		for (offset = 0; offset < fake_pieces[i].len; offset += SZ_4K)
			if (xe_bo_addr(bo, start + offset, SZ_4K) !=
			    fake_pieces[i].addr + offset)
				return false;
		start += fake_pieces[i].len;
	}

	return true;
}

static int validate(struct xe_bo *bo)
{
	struct drm_exec *exec = XE_VALIDATION_OPT_OUT;
	int ret;

	xe_bo_lock(bo, false);
	ret = xe_bo_validate(bo, NULL, false, exec);
	xe_bo_unlock(bo);

	return ret;
}

/* Validate and look at the outcome. Optionally let a job use the BO. */
static int import_validate_job(struct import_test *t, struct xe_bo *bo,
			       bool job)
{
	struct xe_validation_ctx ctx;
	struct drm_exec exec;
	int ret = 0;

	xe_validation_guard(&ctx, &t->xe->val, &exec, (struct xe_val_flags) {}, ret) {
		ret = drm_exec_lock_obj(&exec, &bo->ttm.base);
		drm_exec_retry_on_contention(&exec);
		if (ret)
			break;

		ret = xe_bo_validate(bo, NULL, false, &exec);
		drm_exec_retry_on_contention(&exec);

		if (ret ? !is_unmapped(bo) :
		    !is_mapped(bo) || !addresses_match(bo))
			t->wrong++;
		if (!ret && job && fake_fence_add(t->buf, FENCE_JOB,
						  DMA_RESV_USAGE_BOOKKEEP))
			t->wrong++;

		xe_validation_retry_on_oom(&ctx, &ret);
	}

	return ret;
}

static int import_validate(struct kunit *test, struct xe_bo *bo)
{
	return import_validate_job(test->priv, bo, false);
}

static void import_put(struct kunit *test, unsigned int i)
{
	struct import_test *t = test->priv;

	xe_bo_put(t->bos[i]);
	t->bos[i] = NULL;
	/* TTM destroys imports from a work item. */
	flush_workqueue(t->xe->ttm.wq);
}

static void expect_counts(struct kunit *test, unsigned int maps,
			  unsigned int unmaps)
{
	struct import_test *t = test->priv;

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, t->buf->maps, maps);
	KUNIT_EXPECT_EQ(test, t->buf->unmaps, unmaps);
	fake_unlock(t->buf);
}

static void expect_mapped(struct kunit *test, struct xe_bo *bo, bool mapped)
{
	struct import_test *t = test->priv;

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, is_mapped(bo), mapped);
	KUNIT_EXPECT_EQ(test, is_unmapped(bo), !mapped);
	fake_unlock(t->buf);
}

static int import_test_init(struct kunit *test)
{
	struct import_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, t);
	xe_kunit_helper_xe_device_test_init(test);

	t->base.id = XE_TEST_DMA_BUF_IMPORT;
	t->xe = test->priv;
	xe_kunit_helper_xe_device_init_mm(test, t->xe);
	test->priv = t;

	t->buf = fake_export(test);
	return 0;
}

/* What is true for all tests: everything given back, nothing too early. */
static void import_test_exit(struct kunit *test)
{
	struct import_test *t = test->priv;
	unsigned int i;

	if (!t || !t->buf)
		return;

	for (i = 0; i < MAX_IMPORTS; i++)
		if (t->bos[i])
			import_put(test, i);

	flush_workqueue(t->xe->ttm.wq);
	dma_buf_put(t->buf->dmabuf);
	flush_delayed_fput();
	KUNIT_EXPECT_GT_MSG(test,
			    wait_for_completion_timeout(&t->buf->released,
							FAKE_TIMEOUT), 0,
			    "the importer keeps the dma-buf");

	KUNIT_EXPECT_EQ(test, t->buf->maps, t->buf->unmaps);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
	KUNIT_EXPECT_EQ(test, t->wrong, 0);
}

/*
 * Mapping
 */

static void map_at_validate(struct kunit *test)
{
	struct xe_bo *bo = import(test, 0);

	expect_counts(test, 0, 0);
	expect_mapped(test, bo, false);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 1, 0);
}

static void map_once(struct kunit *test)
{
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 1, 0);
}

/* An exporter may have to move the buffer before it can be mapped. */
static void map_moves_buffer(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_bo *other = import(test, 1);

	t->buf->moves_on_map = true;
	KUNIT_EXPECT_EQ(test, import_validate(test, other), 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_mapped(test, other, false);
	expect_mapped(test, bo, true);
	expect_counts(test, 2, 1);
}

static const int map_errors[] = {
	-ENODEV, -ENOMEM, -EBUSY, -EAGAIN, -EINVAL, -EINTR, -ENOSPC, -EOPNOTSUPP,
};

static void map_error_desc(const int *err, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%pe", ERR_PTR(*err));
}

KUNIT_ARRAY_PARAM(map_error, map_errors, map_error_desc);

static void map_fails(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	const int *err = test->param_value;
	unsigned int attempts;

	t->buf->map_err = *err;
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), *err);
	attempts = t->buf->attempts;
	KUNIT_EXPECT_GT(test, attempts, 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), *err);
	KUNIT_EXPECT_GT(test, t->buf->attempts, attempts);
	expect_counts(test, 0, 0);

	t->buf->map_err = 0;
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 1, 0);
}

static void remap_fails(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	const int *err = test->param_value;

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);

	t->buf->map_err = *err;
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), *err);
	expect_mapped(test, bo, false);
	/* Neither does this find anything. */
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	expect_counts(test, 1, 1);

	t->buf->map_err = 0;
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 2, 1);
}

/*
 * Invalidation
 */

static void invalidate_unmaps(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_bo *other = import(test, 1);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, other), 0);
	expect_counts(test, 2, 0);

	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	expect_counts(test, 2, 2);
	expect_mapped(test, bo, false);
	expect_mapped(test, other, false);
}

static void invalidate_twice(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	expect_counts(test, 1, 1);
}

static void invalidate_before_map(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	expect_mapped(test, bo, false);
	expect_counts(test, 0, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 1, 0);
}

static void invalidate_then_validate(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	unsigned int i;

	for (i = 1; i <= 3; i++) {
		KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
		expect_counts(test, i, i - 1);
		KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
		expect_counts(test, i, i);
	}
}

static void invalidate_revoked(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, fake_revoke(t->buf, true), 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), -ENODEV);
	KUNIT_EXPECT_EQ(test, fake_revoke(t->buf, false), 0);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 2, 1);
}

static const struct fence_param {
	const char *name;
	enum fake_fence_kind kind;
	enum dma_resv_usage usage;
} fence_params[] = {
	{ "job, kernel", FENCE_JOB, DMA_RESV_USAGE_KERNEL },
	{ "job, write", FENCE_JOB, DMA_RESV_USAGE_WRITE },
	{ "job, read", FENCE_JOB, DMA_RESV_USAGE_READ },
	{ "job, bookkeep", FENCE_JOB, DMA_RESV_USAGE_BOOKKEEP },
	{ "preempt, bookkeep", FENCE_PREEMPT, DMA_RESV_USAGE_BOOKKEEP },
};

KUNIT_ARRAY_PARAM_DESC(fence, fence_params, name);

/* That the unmap came after the fence is checked when it comes. */
static void invalidate_waits(struct kunit *test)
{
	const struct fence_param *p = test->param_value;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, p->kind, p->usage), 0);
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	KUNIT_EXPECT_TRUE(test, is_unmapped(bo));
	fake_unlock(t->buf);

	expect_counts(test, 1, 1);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
}

static void set_signal_pending(void)
{
	allow_signal(SIGUSR1);
	send_sig(SIGUSR1, current, 1);
}

static void clear_signal_pending(void)
{
	flush_signals(current);
	disallow_signal(SIGUSR1);
}

/* The exporter cannot be told that its caller was interrupted. */
static void invalidate_not_interrupted(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, FENCE_JOB,
					     DMA_RESV_USAGE_BOOKKEEP), 0);
	set_signal_pending();
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_TRUE(test, signal_pending(current));
	clear_signal_pending();
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	fake_unlock(t->buf);
}

static void fake_vm_free(struct drm_gpuvm *gpuvm)
{
	kfree(gpuvm_to_vm(gpuvm));
}

static const struct drm_gpuvm_ops fake_vm_ops = {
	.vm_bo_validate = xe_gpuvm_validate,
	.vm_free = fake_vm_free,
};

/* A VM with nothing in it. */
static struct xe_vm *fake_vm(struct kunit *test, unsigned long flags)
{
	struct import_test *t = test->priv;
	struct xe_vm *vm = kzalloc_obj(*vm);
	struct drm_gem_object *r_obj;

	KUNIT_ASSERT_NOT_NULL(test, vm);
	vm->xe = t->xe;
	vm->flags = flags;
	vm->size = SZ_1G;
	init_rwsem(&vm->lock);
	init_rwsem(&vm->svm.gpusvm.notifier_lock);
	INIT_LIST_HEAD(&vm->rebind_list);
	INIT_LIST_HEAD(&vm->userptr.repin_list);
	INIT_LIST_HEAD(&vm->userptr.invalidated);
	spin_lock_init(&vm->userptr.invalidated_lock);
	INIT_LIST_HEAD(&vm->preempt.exec_queues);
	INIT_LIST_HEAD(&vm->preempt.pm_activate_link);
	INIT_WORK(&vm->preempt.rebind_work, preempt_rebind_work_func);
	ttm_lru_bulk_move_init(&vm->lru_bulk_move);

	r_obj = drm_gpuvm_resv_object_alloc(&t->xe->drm);
	if (!r_obj)
		kfree(vm);
	KUNIT_ASSERT_NOT_NULL(test, r_obj);
	drm_gpuvm_init(&vm->gpuvm, "fake", DRM_GPUVM_RESV_PROTECTED, &t->xe->drm,
		       r_obj, 0, vm->size, 0, 0, &fake_vm_ops);
	drm_gem_object_put(r_obj);

	return vm;
}

static void fake_vm_lock(struct drm_exec *exec, struct xe_vm *vm,
			 struct xe_bo *bo)
{
	drm_exec_init(exec, 0, 2);
	drm_exec_until_all_locked(exec) {
		WARN_ON(xe_vm_drm_exec_lock(vm, exec) == -EINVAL);
		drm_exec_retry_on_contention(exec);
		WARN_ON(drm_exec_lock_obj(exec, &bo->ttm.base) == -EINVAL);
		drm_exec_retry_on_contention(exec);
	}
}

/* Make @bo one of the VM's external objects, as the first bind does. */
static struct drm_gpuvm_bo *fake_vm_add_bo(struct kunit *test, struct xe_vm *vm,
					   struct xe_bo *bo)
{
	struct drm_gpuvm_bo *vm_bo;
	struct drm_exec exec;

	fake_vm_lock(&exec, vm, bo);
	vm_bo = drm_gpuvm_bo_obtain_locked(&vm->gpuvm, &bo->ttm.base);
	if (!IS_ERR(vm_bo))
		drm_gpuvm_bo_extobj_add(vm_bo);
	drm_exec_fini(&exec);
	KUNIT_ASSERT_FALSE(test, IS_ERR(vm_bo));

	return vm_bo;
}

static void fake_vm_put(struct xe_vm *vm, struct drm_gpuvm_bo *vm_bo)
{
	struct drm_exec exec;

	fake_vm_lock(&exec, vm, gem_to_xe_bo(vm_bo->obj));
	drm_gpuvm_bo_put(vm_bo);
	drm_exec_fini(&exec);
	drm_gpuvm_put(&vm->gpuvm);
}

static const struct vm_param {
	const char *name;
	unsigned long flags;
} vm_params[] = {
	{ "dma-fence", 0 },
	{ "preempt-fence", XE_VM_FLAG_LR_MODE },
};

KUNIT_ARRAY_PARAM_DESC(vm, vm_params, name);

/* A VM must know that it has to bind again before the mapping is gone. */
static void invalidate_tells_vm(struct kunit *test)
{
	const struct vm_param *p = test->param_value;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_vm *vm = fake_vm(test, p->flags);
	struct drm_gpuvm_bo *vm_bo = fake_vm_add_bo(test, vm, bo);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	t->buf->vm_bo = vm_bo;
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_TRUE(test, vm_bo->evicted);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	t->buf->vm_bo = NULL;
	fake_unlock(t->buf);

	fake_vm_put(vm, vm_bo);
}

/*
 * VMs in fault mode: no fences, but page tables and TLBs
 */

#define FAKE_VA		SZ_64K
#define FAKE_ASID	7
#define FAKE_PTE	0xabcdull

static void fake_tlb_done(struct work_struct *work)
{
	struct fake_tlb *tlb = container_of(to_delayed_work(work),
					    struct fake_tlb, done_work);

	tlb->done = true;
	xe_tlb_inval_done_handler(tlb->inval, tlb->seqno);
}

/* Only what is bound, and only after that was removed from the page table. */
static bool fake_ptes_zapped(const u64 *ptes)
{
	unsigned int i;

	for (i = 0; i < XE_PDES; i++) {
		u64 va = (u64)i * SZ_4K;
		bool bound = va >= FAKE_VA && va < FAKE_VA + FAKE_SIZE;

		if (ptes[i] != (bound ? 0 : FAKE_PTE))
			return false;
	}

	return true;
}

static int fake_tlb_ppgtt(struct xe_tlb_inval *tlb_inval, u32 seqno, u64 start,
			  u64 end, u32 asid, struct drm_suballoc *prl_sa)
{
	struct fake_tlb *tlb = tlb_inval->private;

	tlb->requests++;
	tlb->late |= tlb->buf->unmaps || !fake_ptes_zapped(tlb->ptes);
	tlb->start = start;
	tlb->end = end;
	tlb->asid = asid;
	tlb->seqno = seqno;
	schedule_delayed_work(&tlb->done_work, FENCE_DELAY);

	return 0;
}

static bool fake_tlb_initialized(struct xe_tlb_inval *tlb_inval)
{
	return false;
}

static void fake_tlb_flush(struct xe_tlb_inval *tlb_inval)
{
}

static long fake_tlb_timeout_delay(struct xe_tlb_inval *tlb_inval)
{
	return 60 * HZ;
}

static const struct xe_tlb_inval_ops fake_tlb_ops = {
	.ppgtt = fake_tlb_ppgtt,
	.initialized = fake_tlb_initialized,
	.flush = fake_tlb_flush,
	.timeout_delay = fake_tlb_timeout_delay,
};

/* The page table of the first 2 MiB, and the one above it. */
struct fake_pt {
	struct xe_pt root, leaf;
	struct xe_ptw *children[XE_PDES];
	struct xe_bo bo;		/* of @leaf */
	u64 ptes[XE_PDES];
};

static struct fake_pt *fake_pt(struct kunit *test)
{
	struct fake_pt *pt = kunit_kzalloc(test, sizeof(*pt), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, pt);
	pt->root.level = 1;
	pt->root.base.children = pt->children;
	pt->children[0] = &pt->leaf.base;
	pt->leaf.bo = &pt->bo;
	iosys_map_set_vaddr(&pt->bo.vmap, pt->ptes);
	memset64(pt->ptes, FAKE_PTE, ARRAY_SIZE(pt->ptes));

	return pt;
}

/* The GPU may reach the memory until its TLB is invalidated. */
static void invalidate_zaps_faulting_vm(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_tile *tile = xe_device_get_root_tile(t->xe);
	struct xe_gt *gt = tile->primary_gt;
	struct xe_bo *bo = import(test, 0);
	struct drm_gpuvm_bo *vm_bo;
	struct fake_tlb *tlb;
	struct xe_vma *vma;
	struct fake_pt *pt;
	struct xe_vm *vm;

	tlb = kunit_kzalloc(test, sizeof(*tlb), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tlb);
	vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	pt = fake_pt(test);

	gt->ordered_wq = t->xe->ordered_wq;
	KUNIT_ASSERT_EQ(test, xe_gt_tlb_inval_init_early(gt), 0);
	gt->tlb_inval.ops = &fake_tlb_ops;
	gt->tlb_inval.private = tlb;
	tlb->inval = &gt->tlb_inval;
	tlb->buf = t->buf;
	tlb->ptes = pt->ptes;
	INIT_DELAYED_WORK(&tlb->done_work, fake_tlb_done);

	vm = fake_vm(test, XE_VM_FLAG_LR_MODE | XE_VM_FLAG_FAULT_MODE);
	vm->usm.asid = FAKE_ASID;
	vm->pt_root[tile->id] = &pt->root;
	vm_bo = fake_vm_add_bo(test, vm, bo);
	vma->gpuva.vm = &vm->gpuvm;
	vma->gpuva.va.addr = FAKE_VA;
	vma->gpuva.va.range = FAKE_SIZE;
	vma->gpuva.gem.obj = &bo->ttm.base;
	vma->tile_mask = BIT(tile->id);
	vma->tile_present = BIT(tile->id);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	/* Whoever causes an invalidation keeps the device awake. */
	pm_runtime_set_active(t->xe->drm.dev);
	pm_runtime_get_noresume(t->xe->drm.dev);
	pm_runtime_enable(t->xe->drm.dev);

	fake_lock(t->buf);
	t->buf->tlb = tlb;
	drm_gpuva_link(&vma->gpuva, vm_bo);

	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
	KUNIT_EXPECT_TRUE(test, fake_ptes_zapped(pt->ptes));
	KUNIT_EXPECT_EQ(test, tlb->requests, 1);
	KUNIT_EXPECT_FALSE(test, tlb->late);
	KUNIT_EXPECT_EQ(test, tlb->start, FAKE_VA);
	KUNIT_EXPECT_EQ(test, tlb->end, FAKE_VA + FAKE_SIZE);
	KUNIT_EXPECT_EQ(test, tlb->asid, FAKE_ASID);
	KUNIT_EXPECT_EQ(test, vma->tile_invalidated, BIT(tile->id));

	drm_gpuva_unlink(&vma->gpuva);
	t->buf->tlb = NULL;
	fake_unlock(t->buf);

	flush_delayed_work(&tlb->done_work);
	pm_runtime_disable(t->xe->drm.dev);
	pm_runtime_put_noidle(t->xe->drm.dev);
	fake_vm_put(vm, vm_bo);
}

/*
 * VMs in preempt-fence mode: queues that stop, and start when all is bound again
 */

struct fake_queue {
	struct fake_buf *buf;
	struct xe_bo seqno_bo;
	u32 seqnos[SZ_4K / sizeof(u32)];
	struct xe_lrc lrc;
	unsigned int suspends, resumes, kills;
	bool running;
	bool wrong;			/* runs while the buffer is not mapped */
	struct xe_exec_queue base;	/* last: has an array of LRCs at its end */
};

static struct fake_queue *to_fake_queue(struct xe_exec_queue *q)
{
	return container_of(q, struct fake_queue, base);
}

static int fake_queue_suspend(struct xe_exec_queue *q)
{
	to_fake_queue(q)->suspends++;
	return 0;
}

static int fake_queue_suspend_wait(struct xe_exec_queue *q)
{
	to_fake_queue(q)->running = false;
	return 0;
}

static void fake_queue_resume(struct xe_exec_queue *q)
{
	struct fake_queue *fq = to_fake_queue(q);

	fq->resumes++;
	fq->running = true;
	fq->wrong |= !fake_mappings(fq->buf);
}

static void fake_queue_kill(struct xe_exec_queue *q)
{
	to_fake_queue(q)->kills++;
}

static bool fake_queue_reset_status(struct xe_exec_queue *q)
{
	return false;
}

static const struct xe_exec_queue_ops fake_queue_ops = {
	.suspend = fake_queue_suspend,
	.suspend_wait = fake_queue_suspend_wait,
	.resume = fake_queue_resume,
	.kill = fake_queue_kill,
	.reset_status = fake_queue_reset_status,
};

/* A queue that runs, and never gets done with its one job. */
static struct fake_queue *fake_queue(struct kunit *test, struct xe_vm *vm)
{
	struct import_test *t = test->priv;
	struct fake_queue *fq;

	fq = kunit_kzalloc(test, sizeof(*fq) + sizeof(fq->base.lrc[0]), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fq);
	fq->buf = t->buf;
	fq->running = true;
	iosys_map_set_vaddr(&fq->seqno_bo.vmap, fq->seqnos);
	fq->lrc.seqno_bo = &fq->seqno_bo;
	fq->lrc.fence_ctx.gt = xe_device_get_root_tile(t->xe)->primary_gt;
	fq->lrc.fence_ctx.next_seqno = 2;

	kref_init(&fq->base.refcount);
	INIT_LIST_HEAD(&fq->base.lr.link);
	fq->base.lr.context = dma_fence_context_alloc(1);
	fq->base.ops = &fake_queue_ops;
	fq->base.vm = vm;
	fq->base.width = 1;
	fq->base.lrc[0] = &fq->lrc;

	return fq;
}

/* Wait for preempt fences that were triggered, and for the rebind after them. */
static void fake_queue_sync(struct import_test *t)
{
	flush_workqueue(t->xe->preempt_fence_wq);
	flush_workqueue(t->xe->ordered_wq);
}

static void fake_queue_destroy(struct import_test *t, struct fake_queue *fq)
{
	xe_vm_remove_compute_exec_queue(fq->base.vm, &fq->base);
	fake_queue_sync(t);
}

/* Another VM, whose queue is stopped by the same invalidation. */
static void invalidate_suspends_queues(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct drm_gpuvm_bo *vm_bos[2];
	struct fake_queue *fqs[2];
	struct xe_vm *vms[2];
	unsigned int i;

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	for (i = 0; i < ARRAY_SIZE(vms); i++) {
		vms[i] = fake_vm(test, XE_VM_FLAG_LR_MODE);
		vm_bos[i] = fake_vm_add_bo(test, vms[i], bo);
		fqs[i] = fake_queue(test, vms[i]);
		KUNIT_ASSERT_EQ(test, xe_vm_add_compute_exec_queue(vms[i], &fqs[i]->base), 0);
		KUNIT_EXPECT_EQ(test, fqs[i]->suspends, 0);
	}

	/* The exporter takes its time before it drops the lock. */
	fake_lock(t->buf);
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
	ssleep(1);
	for (i = 0; i < ARRAY_SIZE(vms); i++) {
		KUNIT_EXPECT_EQ(test, fqs[i]->suspends, 1);
		KUNIT_EXPECT_FALSE(test, fqs[i]->running);
		KUNIT_EXPECT_EQ(test, fqs[i]->resumes, 0);
	}
	fake_unlock(t->buf);

	fake_queue_sync(t);
	expect_counts(test, 2, 1);
	for (i = 0; i < ARRAY_SIZE(vms); i++) {
		KUNIT_EXPECT_EQ(test, fqs[i]->suspends, 1);
		KUNIT_EXPECT_EQ(test, fqs[i]->resumes, 1);
		KUNIT_EXPECT_FALSE(test, fqs[i]->wrong);
		KUNIT_EXPECT_FALSE(test, vm_bos[i]->evicted);
		fake_queue_destroy(t, fqs[i]);
		KUNIT_EXPECT_EQ(test, fqs[i]->kills, 0);
		fake_vm_put(vms[i], vm_bos[i]);
	}
}

static const struct queue_param {
	const char *name;
	bool invalidate;
	bool earlier_queue;
} queue_params[] = {
	{ "nothing was invalidated", false, false },
	{ "invalidated before there was a queue", true, false },
	{ "invalidated after the last queue was gone", true, true },
};

KUNIT_ARRAY_PARAM_DESC(queue, queue_params, name);

/* Without a queue there is no preempt fence, so nobody rebinds until there is. */
static void new_queue_rebinds(struct kunit *test)
{
	const struct queue_param *p = test->param_value;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_vm *vm = fake_vm(test, XE_VM_FLAG_LR_MODE);
	struct drm_gpuvm_bo *vm_bo = fake_vm_add_bo(test, vm, bo);
	struct fake_queue *fq;

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	if (p->earlier_queue) {
		fq = fake_queue(test, vm);
		KUNIT_ASSERT_EQ(test, xe_vm_add_compute_exec_queue(vm, &fq->base), 0);
		fake_queue_destroy(t, fq);
	}
	if (p->invalidate)
		KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);

	fq = fake_queue(test, vm);
	KUNIT_ASSERT_EQ(test, xe_vm_add_compute_exec_queue(vm, &fq->base), 0);
	fake_queue_sync(t);

	KUNIT_EXPECT_EQ(test, fq->suspends, p->invalidate);
	KUNIT_EXPECT_EQ(test, fq->resumes, p->invalidate);
	KUNIT_EXPECT_FALSE(test, fq->wrong);
	KUNIT_EXPECT_FALSE(test, vm_bo->evicted);
	expect_counts(test, 1 + p->invalidate, p->invalidate);
	expect_mapped(test, bo, true);

	fake_queue_destroy(t, fq);
	KUNIT_EXPECT_EQ(test, fq->kills, 0);
	fake_vm_put(vm, vm_bo);
}

/*
 * Partial unbind: what is left of the VMA is bound again
 */

static const struct remnant_param {
	const char *name;
	enum xe_madv_purgeable_state state;
	bool revoked;
} remnant_params[] = {
	{ "needed", XE_MADV_PURGEABLE_WILLNEED, false },
	{ "not needed", XE_MADV_PURGEABLE_DONTNEED, false },
	{ "not needed, revoked", XE_MADV_PURGEABLE_DONTNEED, true },
};

KUNIT_ARRAY_PARAM_DESC(remnant, remnant_params, name);

/* There must be addresses, whatever user space says about their content. */
static void remnant_is_mapped(struct kunit *test)
{
	const struct remnant_param *p = test->param_value;
	const struct xe_vma_lock_and_validate_flags flags = { .validate = true };
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_vm *vm = fake_vm(test, 0);
	struct drm_gpuvm_bo *vm_bo = fake_vm_add_bo(test, vm, bo);
	struct xe_validation_ctx ctx;
	struct drm_exec exec;
	struct xe_vma *vma;
	int ret = 0;

	vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	vma->gpuva.vm = &vm->gpuvm;
	vma->gpuva.gem.obj = &bo->ttm.base;
	vma->attr.purgeable_state = p->state;

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, fake_revoke(t->buf, p->revoked), 0);

	down_write(&vm->lock);
	xe_validation_guard(&ctx, &t->xe->val, &exec, (struct xe_val_flags) {}, ret) {
		ret = xe_vm_drm_exec_lock(vm, &exec);
		drm_exec_retry_on_contention(&exec);
		ret = ret ?: vma_lock_and_validate(&exec, vma, flags);
		drm_exec_retry_on_contention(&exec);
	}
	up_write(&vm->lock);

	KUNIT_EXPECT_EQ(test, ret, p->revoked ? -ENODEV : 0);
	expect_mapped(test, bo, !p->revoked);
	fake_vm_put(vm, vm_bo);
}

/*
 * Eviction by TTM, which may not want to wait
 */

static int evict(struct xe_bo *bo, bool interruptible, bool no_wait_gpu)
{
	struct ttm_operation_ctx ctx = {
		.interruptible = interruptible,
		.no_wait_gpu = no_wait_gpu,
	};
	struct ttm_place place = { .mem_type = XE_PL_SYSTEM };
	struct ttm_placement placement = {
		.num_placement = 1,
		.placement = &place,
	};

	return ttm_bo_validate(&bo->ttm, &placement, &ctx);
}

static void evict_no_wait(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, FENCE_PREEMPT,
					     DMA_RESV_USAGE_BOOKKEEP), 0);
	KUNIT_EXPECT_EQ(test, evict(bo, false, true), -EBUSY);
	KUNIT_EXPECT_TRUE(test, is_mapped(bo));
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 1);

	KUNIT_EXPECT_EQ(test, evict(bo, false, false), 0);
	KUNIT_EXPECT_TRUE(test, is_unmapped(bo));
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	fake_unlock(t->buf);
}

static void evict_no_wait_idle(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, evict(bo, false, true), 0);
	KUNIT_EXPECT_TRUE(test, is_unmapped(bo));
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	fake_unlock(t->buf);
}

static void evict_interrupted(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, FENCE_JOB,
					     DMA_RESV_USAGE_BOOKKEEP), 0);
	set_signal_pending();
	KUNIT_EXPECT_EQ(test, evict(bo, true, false), -ERESTARTSYS);
	clear_signal_pending();
	KUNIT_EXPECT_TRUE(test, is_mapped(bo));
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 1);
	fake_unlock(t->buf);

	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
}

/*
 * No memory
 */

static int fail_resource_alloc(struct ttm_resource_manager *man,
			       struct ttm_buffer_object *bo,
			       const struct ttm_place *place,
			       struct ttm_resource **res)
{
	return -ENOMEM;
}

/* Returns what to give to resource_alloc_works(). */
static const struct ttm_resource_manager_func *
resource_alloc_fails(struct kunit *test, u32 mem_type)
{
	struct import_test *t = test->priv;
	struct ttm_resource_manager *man = ttm_manager_type(&t->xe->ttm, mem_type);
	const struct ttm_resource_manager_func *func = man->func;
	struct ttm_resource_manager_func *fail;

	fail = kunit_kmalloc(test, sizeof(*fail), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, fail);
	*fail = *func;
	fail->alloc = fail_resource_alloc;
	man->func = fail;

	return func;
}

static void resource_alloc_works(struct kunit *test, u32 mem_type,
				 const struct ttm_resource_manager_func *func)
{
	struct import_test *t = test->priv;

	ttm_manager_type(&t->xe->ttm, mem_type)->func = func;
}

static void map_no_memory(struct kunit *test)
{
	const struct ttm_resource_manager_func *func;
	struct xe_bo *bo = import(test, 0);

	func = resource_alloc_fails(test, XE_PL_TT);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), -ENOMEM);
	resource_alloc_works(test, XE_PL_TT, func);
	expect_counts(test, 0, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	expect_counts(test, 1, 0);
}

static bool is_unmapped_in_place(struct xe_bo *bo)
{
	return bo->ttm.resource && xe_bo_is_mem_type(bo, XE_PL_TT) &&
		!xe_bo_sg(bo) && !bo->ttm.sg;
}

static const struct no_memory_param {
	const char *name;
	bool unmap;			/* map again, and unmap as usual */
	bool evict;			/* first leave TT after all */
} no_memory_params[] = {
	{ "destroyed", false, false },
	{ "evicted, destroyed", false, true },
	{ "mapped in place", true, false },
	{ "evicted, mapped", true, true },
};

KUNIT_ARRAY_PARAM_DESC(no_memory, no_memory_params, name);

/* The exporter gets its memory back even if there is none to move the BO. */
static void invalidate_no_memory(struct kunit *test)
{
	const struct no_memory_param *p = test->param_value;
	const struct ttm_resource_manager_func *func;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	struct xe_vm *vm = fake_vm(test, 0);
	struct drm_gpuvm_bo *vm_bo = fake_vm_add_bo(test, vm, bo);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, FENCE_PREEMPT,
					     DMA_RESV_USAGE_BOOKKEEP), 0);
	t->buf->vm_bo = vm_bo;
	func = resource_alloc_fails(test, XE_PL_SYSTEM);
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
	KUNIT_EXPECT_TRUE(test, vm_bo->evicted);
	KUNIT_EXPECT_TRUE(test, is_unmapped_in_place(bo));

	/* There is nothing left to do for the next one. */
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_TRUE(test, is_unmapped_in_place(bo));
	t->buf->vm_bo = NULL;

	/* An error is no worse than for any other map. */
	t->buf->map_err = -EIO;
	fake_unlock(t->buf);
	KUNIT_EXPECT_EQ(test, validate(bo), -EIO);
	fake_lock(t->buf);
	KUNIT_EXPECT_TRUE(test, is_unmapped_in_place(bo));
	t->buf->map_err = 0;

	resource_alloc_works(test, XE_PL_SYSTEM, func);
	if (p->evict) {
		KUNIT_EXPECT_EQ(test, evict(bo, false, false), 0);
		KUNIT_EXPECT_TRUE(test, is_unmapped(bo));
	}
	fake_unlock(t->buf);
	fake_vm_put(vm, vm_bo);

	if (p->unmap) {
		KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
		expect_counts(test, 2, 1);
		KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
		expect_mapped(test, bo, false);
	}
	import_put(test, 0);
	expect_counts(test, 1 + p->unmap, 1 + p->unmap);
}

/*
 * The end of the BO, and of the device
 */

static void destroy_mapped(struct kunit *test)
{
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	import_put(test, 0);
	expect_counts(test, 1, 1);
}

static void destroy_busy(struct kunit *test)
{
	const struct fence_param *p = test->param_value;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, p->kind, p->usage), 0);
	fake_unlock(t->buf);

	import_put(test, 0);
	expect_counts(test, 1, 1);
	KUNIT_EXPECT_EQ(test, t->buf->early, 0);
}

static void destroy_unmapped(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	import_put(test, 0);
	expect_counts(test, 1, 1);
}

static void destroy_after_error(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	t->buf->map_err = -ENODEV;
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), -ENODEV);
	import_put(test, 0);
	expect_counts(test, 0, 0);
}

static void destroy_never_mapped(struct kunit *test)
{
	import(test, 0);
	import_put(test, 0);
	expect_counts(test, 0, 0);
}

/*
 * Between the two steps of a BO's destruction: torn down, but not detached,
 * because somebody else has a reference. TTM's LRU walks take such ones.
 */
static void destroy_invalidated(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	fake_lock(t->buf);
	t->bos[0] = NULL;
	xe_bo_put(bo);
	/* The work item waits for the lock, and has the only reference. */
	kref_get(&bo->ttm.kref);
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_EQ(test, fake_mappings(t->buf), 0);
	fake_unlock(t->buf);

	flush_workqueue(t->xe->ttm.wq);

	fake_lock(t->buf);
	KUNIT_EXPECT_FALSE(test, list_empty(&t->buf->dmabuf->attachments));
	KUNIT_EXPECT_NULL(test, bo->ttm.resource);
	dma_buf_invalidate_mappings(t->buf->dmabuf);
	KUNIT_EXPECT_NULL(test, bo->ttm.resource);
	KUNIT_EXPECT_NULL(test, bo->ttm.ttm);
	fake_unlock(t->buf);

	ttm_bo_fini(&bo->ttm);
	expect_counts(test, 1, 1);
	fake_lock(t->buf);
	KUNIT_EXPECT_TRUE(test, list_empty(&t->buf->dmabuf->attachments));
	fake_unlock(t->buf);
}

static const struct unplug_param {
	const char *name;
	bool has_handle;
	bool by_exporter;
} unplug_params[] = {
	{ "evict all, with a handle", true, false },
	{ "evict all, without a handle", false, false },
	{ "invalidate, with a handle", true, true },
	{ "invalidate, without a handle", false, true },
};

KUNIT_ARRAY_PARAM_DESC(unplug, unplug_params, name);

static void unplug(struct kunit *test)
{
	const struct unplug_param *p = test->param_value;
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);

	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);

	/* What a handle gives the object, and takes with it. */
	if (p->has_handle)
		bo->ttm.base.dma_buf = t->buf->dmabuf;

	fake_lock(t->buf);
	KUNIT_EXPECT_EQ(test, fake_fence_add(t->buf, FENCE_JOB,
					     DMA_RESV_USAGE_BOOKKEEP), 0);
	fake_unlock(t->buf);

	t->xe->drm.unplugged = true;
	if (p->by_exporter)
		KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	else
		KUNIT_EXPECT_EQ(test,
				ttm_resource_manager_evict_all(&t->xe->ttm,
							       &t->xe->mem.sys_mgr), 0);
	expect_counts(test, 1, 1);
	expect_mapped(test, bo, false);

	/* And it stays so: a rebind worker may come later. */
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), -ENODEV);
	expect_counts(test, 1, 1);
	expect_mapped(test, bo, false);

	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	bo->ttm.base.dma_buf = NULL;
}

/*
 * Reading: there are no pages
 */

static void read_fails(struct kunit *test)
{
	struct import_test *t = test->priv;
	struct xe_bo *bo = import(test, 0);
	u32 data = 0;

	KUNIT_EXPECT_EQ(test, xe_bo_read(bo, 0, &data, sizeof(data)),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, import_validate(test, bo), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_read(bo, 0, &data, sizeof(data)),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, fake_invalidate(t->buf), 0);
	KUNIT_EXPECT_EQ(test, xe_bo_read(bo, 0, &data, sizeof(data)),
			-EOPNOTSUPP);
}

static void read_vma_fails(struct kunit *test)
{
	struct vm_area_struct *vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	const struct vm_operations_struct *ops;
	struct xe_bo *bo = import(test, 0);
	u32 data = 0;

	KUNIT_ASSERT_NOT_NULL(test, vma);
	vma->vm_start = SZ_64K;
	vma->vm_end = SZ_64K + FAKE_SIZE;
	vma->vm_pgoff = drm_vma_node_start(&bo->ttm.base.vma_node);
	vma->vm_private_data = &bo->ttm;

	ops = bo->ttm.base.funcs->vm_ops;
	KUNIT_EXPECT_EQ(test, ops->access(vma, vma->vm_start, &data,
					  sizeof(data), 0), -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, ops->access(vma, vma->vm_start, &data,
					  sizeof(data), 1), -EOPNOTSUPP);
}

/*
 * All at once
 */

#define RACE_THREADS	4
#define RACE_ROUNDS	100

/*
 * Fences are those of the buffer, not of one BO. One that is added while a BO with
 * no job of its own is destroyed is not waited for, and need not be. So there are
 * either jobs, or BOs that come and go.
 */
struct race_param {
	const char *desc;
	bool jobs;
};

static const struct race_param race_params[] = {
	{ "one BO, with jobs", true },
	{ "BOs that come and go", false },
};

KUNIT_ARRAY_PARAM_DESC(race, race_params, desc);

struct race_thread {
	struct import_test *t;
	struct xe_bo *bo;		/* NULL: one of its own each time */
	bool jobs;
	struct task_struct *task;
	unsigned int validated, refused, failed;
};

static int race_validate(struct race_thread *r)
{
	struct xe_bo *bo = r->bo ?: import_bo(r->t);
	int ret;

	if (IS_ERR(bo))
		return PTR_ERR(bo);

	ret = import_validate_job(r->t, bo, r->jobs && !(r->validated % 8));
	if (!r->bo)
		xe_bo_put(bo);

	return ret;
}

static int race_run(void *data)
{
	struct race_thread *r = data;
	int ret;

	while (!kthread_should_stop()) {
		ret = race_validate(r);
		if (!ret)
			r->validated++;
		else if (ret == -ENODEV)
			r->refused++;
		else
			r->failed++;
		schedule_timeout_uninterruptible(1);
	}

	return 0;
}

/* One revoke and un-revoke. False if a mapping is left, or nobody comes back. */
static bool race_round(struct fake_buf *buf)
{
	unsigned int before;

	if (fake_revoke(buf, true))
		return false;
	schedule_timeout_uninterruptible(1);
	if (fake_invalidate(buf))
		return false;

	before = READ_ONCE(buf->maps);
	fake_revoke(buf, false);
	return wait_event_timeout(buf->mapped, READ_ONCE(buf->maps) != before,
				  FAKE_TIMEOUT);
}

static void race_revoke(struct kunit *test)
{
	const struct race_param *param = test->param_value;
	struct import_test *t = test->priv;
	struct race_thread *threads;
	unsigned int i, rounds;

	threads = kunit_kcalloc(test, RACE_THREADS, sizeof(*threads), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, threads);
	import(test, 0);

	for (i = 0; i < RACE_THREADS; i++) {
		threads[i].t = t;
		threads[i].bo = param->jobs || i % 2 ? t->bos[0] : NULL;
		threads[i].jobs = param->jobs;
		threads[i].task = kthread_run(race_run, &threads[i],
					      "xe-import-race/%u", i);
	}

	for (rounds = 0; rounds < RACE_ROUNDS; rounds++)
		if (!race_round(t->buf))
			break;

	for (i = 0; i < RACE_THREADS; i++)
		if (!IS_ERR(threads[i].task))
			kthread_stop(threads[i].task);

	KUNIT_EXPECT_EQ(test, rounds, RACE_ROUNDS);
	for (i = 0; i < RACE_THREADS; i++) {
		KUNIT_EXPECT_FALSE(test, IS_ERR(threads[i].task));
		KUNIT_EXPECT_GT(test, threads[i].validated, 0);
		KUNIT_EXPECT_GT(test, threads[i].refused, 0);
		KUNIT_EXPECT_EQ(test, threads[i].failed, 0);
	}
	KUNIT_EXPECT_EQ(test, fake_revoke(t->buf, true), 0);
}

static void pinning_invalidate(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops pinning_ops = {
	.invalidate_mappings = pinning_invalidate,
};

/*
 * Not an import, but what Xe's own importer relies on when it pins one: a BO that
 * cannot be placed is not pinned, and the caller is told.
 */
static void export_pin_fails(struct kunit *test)
{
	static const struct file_operations no_fops;
	struct import_test *t = test->priv;
	const struct drm_driver *driver = t->xe->drm.driver;
	struct drm_driver exporting = *driver;
	struct drm_exec *exec = XE_VALIDATION_OPT_OUT;
	struct dma_buf_attachment *attach;
	struct dma_buf *dmabuf;
	struct xe_bo *bo;

	/* The exporter's module is looked for there. */
	exporting.fops = &no_fops;
	t->xe->drm.driver = &exporting;
	bo = xe_bo_create_user(t->xe, NULL, SZ_64K, DRM_XE_GEM_CPU_CACHING_WC,
			       XE_BO_FLAG_SYSTEM | XE_BO_FLAG_DEFER_BACKING, exec);
	KUNIT_EXPECT_FALSE(test, IS_ERR(bo));
	if (IS_ERR(bo))
		goto driver;
	dmabuf = xe_gem_prime_export(&bo->ttm.base, 0);
	KUNIT_EXPECT_FALSE(test, IS_ERR(dmabuf));
	if (IS_ERR(dmabuf))
		goto put;

	attach = dma_buf_dynamic_attach(dmabuf, t->xe->drm.dev,
					&pinning_ops, NULL);
	KUNIT_EXPECT_FALSE(test, IS_ERR(attach));
	if (IS_ERR(attach))
		goto put_dmabuf;

	/* VRAM is what peers may have, and this device has none. */
	attach->peer2peer = true;
	bo->placements[0].mem_type = XE_PL_VRAM0;
	bo->placement.num_placement = 1;

	dma_resv_lock(dmabuf->resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_buf_pin(attach), -ENOMEM);
	KUNIT_EXPECT_FALSE(test, xe_bo_is_pinned(bo));
	if (xe_bo_is_pinned(bo))
		dma_buf_unpin(attach);
	dma_resv_unlock(dmabuf->resv);

	dma_buf_detach(dmabuf, attach);
put_dmabuf:
	dma_buf_put(dmabuf);
	flush_delayed_fput();
put:
	xe_bo_put(bo);
	flush_workqueue(t->xe->ttm.wq);
driver:
	t->xe->drm.driver = driver;
}

static struct kunit_case import_test_cases[] = {
	KUNIT_CASE(map_at_validate),
	KUNIT_CASE(map_once),
	KUNIT_CASE(map_moves_buffer),
	KUNIT_CASE_PARAM(map_fails, map_error_gen_params),
	KUNIT_CASE_PARAM(remap_fails, map_error_gen_params),
	KUNIT_CASE(invalidate_unmaps),
	KUNIT_CASE(invalidate_twice),
	KUNIT_CASE(invalidate_before_map),
	KUNIT_CASE(invalidate_then_validate),
	KUNIT_CASE(invalidate_revoked),
	KUNIT_CASE_PARAM(invalidate_waits, fence_gen_params),
	KUNIT_CASE(invalidate_not_interrupted),
	KUNIT_CASE_PARAM(invalidate_tells_vm, vm_gen_params),
	KUNIT_CASE(invalidate_zaps_faulting_vm),
	KUNIT_CASE_ATTR(invalidate_suspends_queues,
			{ .speed = KUNIT_SPEED_SLOW }),
	KUNIT_CASE_PARAM(new_queue_rebinds, queue_gen_params),
	KUNIT_CASE_PARAM(remnant_is_mapped, remnant_gen_params),
	KUNIT_CASE(evict_no_wait),
	KUNIT_CASE(evict_no_wait_idle),
	KUNIT_CASE(evict_interrupted),
	KUNIT_CASE(map_no_memory),
	KUNIT_CASE_PARAM(invalidate_no_memory, no_memory_gen_params),
	KUNIT_CASE(destroy_mapped),
	KUNIT_CASE_PARAM(destroy_busy, fence_gen_params),
	KUNIT_CASE(destroy_unmapped),
	KUNIT_CASE(destroy_after_error),
	KUNIT_CASE(destroy_never_mapped),
	KUNIT_CASE(destroy_invalidated),
	KUNIT_CASE_PARAM(unplug, unplug_gen_params),
	KUNIT_CASE(read_fails),
	KUNIT_CASE(read_vma_fails),
	KUNIT_CASE(export_pin_fails),
	KUNIT_CASE_PARAM_ATTR(race_revoke, race_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite import_suite = {
	.name = "xe_dma_buf_import",
	.init = import_test_init,
	.exit = import_test_exit,
	.test_cases = import_test_cases,
};

kunit_test_suite(import_suite);
