// SPDX-License-Identifier: MIT
/*
 * What tests need to share a VF's VRAM, and to see what became of it: an exporter
 * which offers IOV, the steps of an import, and page tables that are not in VRAM.
 * The tests bring the PF, and say what its VFs own.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-fence.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>

#include "regs/xe_gtt_defs.h"
#include "tests/xe_kunit_helpers.h"
#include "tests/xe_kunit_iov.h"
#include "tests/xe_pci_test.h"
#include "xe_bo.h"
#include "xe_device.h"
#include "xe_dma_buf.h"
#include "xe_dma_buf_iov.h"
#include "xe_migrate.h"
#include "xe_pt.h"
#include "xe_sriov.h"
#include "xe_sriov_pf_helpers.h"
#include "xe_sriov_pf_vram.h"
#include "xe_sriov_pf_vram_types.h"
#include "xe_vm.h"

/**
 * xe_kunit_iov_pf() - have a card with VRAM, as its PF
 * @test: the test, whose &kunit.priv is used on the way
 * @nr_vfs: how many VFs it has
 *
 * Return: the device, with what TTM needs of it for imports.
 */
struct xe_device *xe_kunit_iov_pf(struct kunit *test, unsigned int nr_vfs)
{
	struct xe_pci_fake_data fake = {
		.sriov_mode = XE_SRIOV_MODE_PF,
		.platform = XE_BATTLEMAGE,
		.subplatform = XE_SUBPLATFORM_NONE,
		.graphics_verx100 = 2001,
	};
	struct xe_device *xe;
	struct xe_tile *tile;

	test->priv = &fake;
	xe_kunit_helper_xe_device_test_init(test);
	xe = test->priv;
	KUNIT_ASSERT_TRUE(test, IS_SRIOV_PF(xe));
	KUNIT_ASSERT_TRUE(test, xe_device_has_lmtt(xe));

	xe_kunit_helper_xe_device_init_mm(test, xe);

	xe->sriov.pf.device_total_vfs = nr_vfs;
	xe->sriov.pf.driver_max_vfs = nr_vfs;
	KUNIT_ASSERT_EQ(test, xe_sriov_init(xe), 0);
	KUNIT_ASSERT_EQ(test, xe_sriov_pf_vram_init(xe), 0);

	/* Never used to copy, but asked whether it does. */
	tile = xe_device_get_root_tile(xe);
	tile->migrate = xe_migrate_alloc(tile);
	KUNIT_ASSERT_NOT_NULL(test, tile->migrate);
	return xe;
}

/**
 * xe_kunit_iov_publish() - say what a VF owns; nobody is pinned for that
 * @test: the test
 * @xe: the PF
 * @vfid: number of the VF, from 1
 * @segs: what it owns
 * @nr: number of @segs
 */
void xe_kunit_iov_publish(struct kunit *test, struct xe_device *xe,
			  unsigned int vfid, const struct xe_vf_vram_seg *segs,
			  unsigned int nr)
{
	struct xe_vf_vram *vram;
	unsigned int i;

	vram = kzalloc_flex(*vram, segs, nr);
	KUNIT_ASSERT_NOT_NULL(test, vram);
	kref_init(&vram->ref);
	vram->xe = xe;
	vram->nr_segs = nr;
	for (i = 0; i < nr; i++) {
		vram->segs[i] = segs[i];
		vram->size += segs[i].size;
	}
	rcu_assign_pointer(xe->sriov.pf.vfs[vfid].vram, vram);
}

/**
 * xe_kunit_iov_withdraw() - take a VF's VRAM away, if it has any
 * @xe: the PF
 * @vfid: number of the VF, from 1
 */
void xe_kunit_iov_withdraw(struct xe_device *xe, unsigned int vfid)
{
	mutex_lock(xe_sriov_pf_master_mutex(xe));
	xe_sriov_pf_vram_withdraw(xe, vfid);
	mutex_unlock(xe_sriov_pf_master_mutex(xe));
}

static int fake_map(struct dma_buf_attachment *attach,
		    struct dma_buf_ranges *ranges)
{
	struct xe_kunit_iov_exporter *exp = attach->dmabuf->priv;
	int ret;

	if (exp->revoked)
		return -ENODEV;
	if (exp->map_err)
		return exp->map_err;

	ret = dma_buf_ranges_add(ranges, exp->pieces, exp->nr_pieces);
	if (!ret)
		exp->maps++;
	return ret;
}

static void fake_unmap(struct dma_buf_attachment *attach,
		       struct dma_buf_ranges *ranges)
{
	struct xe_kunit_iov_exporter *exp = attach->dmabuf->priv;

	exp->unmaps++;
	if (exp->fence && !dma_fence_is_signaled(exp->fence))
		exp->early++;
}

static const struct dma_buf_interconnect_ops fake_ic_ops = {
	.map = fake_map,
	.unmap = fake_unmap,
};

static const struct dma_buf_interconnect_offer *const *
fake_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	struct xe_kunit_iov_exporter *exp = dmabuf->priv;

	*nr = ARRAY_SIZE(exp->offers);
	return exp->offers;
}

static struct sg_table *fake_map_sgt(struct dma_buf_attachment *attach,
				     enum dma_data_direction dir)
{
	struct xe_kunit_iov_exporter *exp = attach->dmabuf->priv;

	struct sg_table *sgt;
	struct scatterlist *sg;
	unsigned int i;

	exp->sg_maps++;
	if (exp->revoked)
		return ERR_PTR(-ENODEV);
	if (exp->map_err)
		return ERR_PTR(exp->map_err);
	if (!exp->sg_addr)
		return ERR_PTR(-EOPNOTSUPP);

	sgt = kzalloc_obj(*sgt);
	if (!sgt)
		return ERR_PTR(-ENOMEM);

	if (sg_alloc_table(sgt, exp->nr_pieces, GFP_KERNEL)) {
		kfree(sgt);
		return ERR_PTR(-ENOMEM);
	}

	for_each_sgtable_dma_sg(sgt, sg, i) {
		sg_dma_address(sg) = exp->sg_addr + exp->pieces[i].start;
		sg_dma_len(sg) = range_len(&exp->pieces[i]);
	}

	exp->maps++;
	return sgt;
}

static void fake_unmap_sgt(struct dma_buf_attachment *attach,
			   struct sg_table *sgt, enum dma_data_direction dir)
{
	fake_unmap(attach, NULL);
	sg_free_table(sgt);
	kfree(sgt);
}

static void fake_release(struct dma_buf *dmabuf)
{
}

static const struct dma_buf_ops fake_dmabuf_ops = {
	.interconnect_offers = fake_offers,
	.map_dma_buf = fake_map_sgt,
	.unmap_dma_buf = fake_unmap_sgt,
	.release = fake_release,
};

static void put_dmabuf(void *dmabuf)
{
	dma_buf_put(dmabuf);
}

static u64 pieces_size(const struct range *pieces, unsigned int nr)
{
	unsigned int i;
	u64 size = 0;

	for (i = 0; i < nr; i++)
		size += range_len(&pieces[i]);
	return size;
}

/**
 * xe_kunit_iov_export() - export a part of a VF's BAR
 * @test: the test, at whose end the dma-buf is put
 * @xe: the PF that the offer names
 * @vf: the VF that the offer names
 * @pieces: where the buffer is in the BAR, in bytes; must outlive the dma-buf
 * @nr: number of @pieces
 *
 * Return: the exporter, which lives as long as the test.
 */
struct xe_kunit_iov_exporter *
xe_kunit_iov_export(struct kunit *test, struct xe_device *xe, struct pci_dev *vf,
		    const struct range *pieces, unsigned int nr)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct xe_kunit_iov_exporter *exp;

	exp = kunit_kzalloc(test, sizeof(*exp), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, exp);

	exp->offer.base.type = &dma_buf_interconnect_iov;
	exp->offer.base.ops = &fake_ic_ops;
	/* A fake device is not really one of PCI: only its address is compared. */
	exp->offer.pf = to_pci_dev(xe->drm.dev);
	exp->offer.vf = vf;
	exp->offer.bar = XE_KUNIT_IOV_BAR;
	exp->offer.size = XE_KUNIT_IOV_BAR_SIZE;
	exp->offers[0] = &exp->offer.base;
	exp->pieces = pieces;
	exp->nr_pieces = nr;

	exp_info.ops = &fake_dmabuf_ops;
	exp_info.size = pieces_size(pieces, nr);
	exp_info.priv = exp;
	exp->dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_FALSE(test, IS_ERR(exp->dmabuf));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, put_dmabuf,
							   exp->dmabuf));
	return exp;
}

/**
 * xe_kunit_iov_import() - import a dma-buf as user space would
 * @test: the test, whose &kunit.priv begins with a &struct xe_test_priv
 * @xe: the importing PF
 * @exp: the exporter
 *
 * Return: the BO, not yet mapped.
 */
struct xe_bo *xe_kunit_iov_import(struct kunit *test, struct xe_device *xe,
				  struct xe_kunit_iov_exporter *exp)
{
	struct drm_gem_object *obj;

	obj = xe_gem_prime_import(&xe->drm, exp->dmabuf);
	KUNIT_ASSERT_FALSE(test, IS_ERR(obj));

	/* Over IOV it was mapped once, to see whether it can be. */
	KUNIT_EXPECT_EQ(test, exp->maps, !!obj->import_attach->interconnect);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);
	exp->maps = 0;
	exp->unmaps = 0;
	return gem_to_xe_bo(obj);
}

/**
 * xe_kunit_iov_expect_refused() - a dma-buf cannot be imported as it is
 * @test: the test, which fails if it can
 * @xe: the importing PF
 * @exp: the exporter
 * @err: the expected error
 */
void xe_kunit_iov_expect_refused(struct kunit *test, struct xe_device *xe,
				 struct xe_kunit_iov_exporter *exp, int err)
{
	struct drm_gem_object *obj = xe_gem_prime_import(&xe->drm, exp->dmabuf);

	KUNIT_EXPECT_EQ(test, PTR_ERR_OR_ZERO(obj), err);
	if (!IS_ERR(obj))
		drm_gem_object_put(obj);
	flush_workqueue(xe->ttm.wq);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&exp->dmabuf->attachments));
}

/**
 * xe_kunit_iov_validate_and_lock() - validate a BO
 * @bo: the BO, which is locked when this returns, even with an error
 *
 * Return: what xe_bo_validate() says.
 */
int xe_kunit_iov_validate_and_lock(struct xe_bo *bo)
{
	struct drm_exec *exec = XE_VALIDATION_OPT_OUT;

	xe_bo_lock(bo, false);
	return xe_bo_validate(bo, NULL, false, exec);
}

/**
 * xe_kunit_iov_validate() - validate a BO
 * @bo: the BO
 *
 * Return: what xe_bo_validate() says.
 */
int xe_kunit_iov_validate(struct xe_bo *bo)
{
	int ret = xe_kunit_iov_validate_and_lock(bo);

	xe_bo_unlock(bo);
	return ret;
}

/**
 * xe_kunit_iov_invalidate() - take all mappings back
 * @exp: the exporter
 * @revoked: from now on, refuse to map
 */
void xe_kunit_iov_invalidate(struct xe_kunit_iov_exporter *exp, bool revoked)
{
	dma_resv_lock(exp->dmabuf->resv, NULL);
	exp->revoked = revoked;
	dma_buf_invalidate_mappings(exp->dmabuf);
	dma_resv_unlock(exp->dmabuf->resv);
}

/**
 * xe_kunit_iov_mapped() - how many mappings the exporter thinks there are
 * @exp: the exporter
 *
 * Return: their number.
 */
unsigned int xe_kunit_iov_mapped(struct xe_kunit_iov_exporter *exp)
{
	unsigned int n;

	dma_resv_lock(exp->dmabuf->resv, NULL);
	n = exp->maps - exp->unmaps;
	dma_resv_unlock(exp->dmabuf->resv);
	return n;
}

/**
 * xe_kunit_iov_expect_unmapped() - nothing of a mapping is left
 * @test: the test, which fails if there is
 * @exp: the exporter
 * @bo: the importer
 */
void xe_kunit_iov_expect_unmapped(struct kunit *test,
				  struct xe_kunit_iov_exporter *exp,
				  struct xe_bo *bo)
{
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);
	xe_bo_lock(bo, false);
	KUNIT_EXPECT_FALSE(test, xe_dma_buf_iov_mapped(bo));
	KUNIT_EXPECT_EQ(test, bo->ttm.resource->mem_type, XE_PL_SYSTEM);
	xe_bo_unlock(bo);
}

/**
 * xe_kunit_iov_put() - put the last reference to the last importer
 * @test: the test, which fails if the importer still holds anything
 * @exp: the exporter
 * @bo: the importer
 */
void xe_kunit_iov_put(struct kunit *test, struct xe_kunit_iov_exporter *exp,
		      struct xe_bo *bo)
{
	struct workqueue_struct *wq = xe_bo_device(bo)->ttm.wq;

	xe_bo_put(bo);
	flush_workqueue(wq);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 0);
	KUNIT_EXPECT_TRUE(test, list_empty(&exp->dmabuf->attachments));
}

/* A page table that is not in VRAM, and a BO that is no more than its address. */
struct fake_pt {
	struct xe_pt pt;
	struct xe_ptw *children[XE_PDES], *staging[XE_PDES];
	u64 entries[XE_PDES];
	struct xe_bo bo;
};

static struct xe_pt *fake_pt_create(struct xe_vm *vm, struct xe_tile *tile,
				    unsigned int level, struct drm_exec *exec)
{
	struct fake_pt *fake;

	fake = kunit_kzalloc(kunit_get_current_test(), sizeof(*fake),
			     GFP_KERNEL);
	if (!fake)
		return ERR_PTR(-ENOMEM);

	iosys_map_set_vaddr(&fake->bo.vmap, fake->entries);
	fake->pt.bo = &fake->bo;
	fake->pt.level = level;
	fake->pt.base.children = level ? fake->children : NULL;
	fake->pt.base.staging = level ? fake->staging : NULL;
	return &fake->pt;
}

static void fake_pt_destroy(struct xe_pt *pt, u32 flags,
			    struct llist_head *deferred)
{
	struct fake_pt *fake = container_of(pt, struct fake_pt, pt);
	unsigned int i;

	if (!pt)
		return;

	for (i = 0; pt->level && pt->num_live && i < XE_PDES; i++)
		if (fake->staging[i])
			fake_pt_destroy(container_of(fake->staging[i],
						     struct xe_pt, base),
					flags, deferred);
	kunit_kfree(kunit_get_current_test(), fake);
}

/**
 * xe_kunit_iov_fake_pts() - have page tables that are not in VRAM
 * @test: the test, in whose thread xe_pt_create() and xe_pt_destroy() will do
 *        without
 */
void xe_kunit_iov_fake_pts(struct kunit *test)
{
	kunit_activate_static_stub(test, xe_pt_create, fake_pt_create);
	kunit_activate_static_stub(test, xe_pt_destroy, fake_pt_destroy);
}

static u64 fake_pte_encode_vma(u64 pte, struct xe_vma *vma, u16 pat_index,
			       u32 pt_level)
{
	return pte | XE_PAGE_PRESENT;
}

static u64 fake_pde_encode_bo(struct xe_bo *bo, u64 bo_offset)
{
	return XE_PAGE_PRESENT;
}

static const struct xe_pt_ops fake_pt_ops = {
	.pte_encode_vma = fake_pte_encode_vma,
	.pde_encode_bo = fake_pde_encode_bo,
};

static u64 *pt_entries(struct xe_pt *pt)
{
	return container_of(pt, struct fake_pt, pt)->entries;
}

/* What xe_migrate_update_pgtables() and xe_pt_commit_bind() would do. */
static void commit(struct xe_vm_pgtable_update *entries, u32 nr)
{
	struct xe_vm_pgtable_update *e;
	unsigned int i;

	for (e = entries; e < entries + nr; e++) {
		for (i = 0; i < e->qwords; i++) {
			struct xe_pt *child = e->pt_entries[i].pt;

			pt_entries(e->pt)[e->ofs + i] = e->pt_entries[i].pte;
			if (child)
				e->pt->base.children[e->ofs + i] = &child->base;
		}
		kfree(e->pt_entries);
	}
}

/**
 * xe_kunit_iov_bind() - bind all of a BO in a new VM
 * @test: the test, which ends here if it cannot be bound
 * @tile: the tile whose page table it is
 * @bo: the BO
 * @va: where in the VM, in bytes
 * @vm_flags: flags of the VM
 *
 * Return: the root of the page table, for xe_kunit_iov_lookup().
 */
struct xe_pt *xe_kunit_iov_bind(struct kunit *test, struct xe_tile *tile,
				struct xe_bo *bo, u64 va, u32 vm_flags)
{
	struct xe_vm_pgtable_update entries[XE_VM_MAX_LEVEL * 2 + 1] = {};
	struct xe_device *xe = xe_bo_device(bo);
	struct xe_vma *vma;
	struct xe_pt *root;
	struct xe_vm *vm;
	u32 nr = 0;
	int err;

	xe_kunit_iov_fake_pts(test);

	vm = kunit_kzalloc(test, sizeof(*vm), GFP_KERNEL);
	vma = kunit_kzalloc(test, sizeof(*vma), GFP_KERNEL);
	root = fake_pt_create(vm, tile, xe->info.vm_max_level, NULL);
	KUNIT_ASSERT_NOT_NULL(test, vm);
	KUNIT_ASSERT_NOT_NULL(test, vma);
	KUNIT_ASSERT_FALSE(test, IS_ERR(root));

	/* As for a BO that belongs to one VM: they have one lock. */
	vm->gpuvm.r_obj = &bo->ttm.base;
	vm->xe = xe;
	vm->flags = vm_flags;
	vm->pt_ops = &fake_pt_ops;
	vm->pt_root[tile->id] = root;
	vma->gpuva.vm = &vm->gpuvm;
	vma->gpuva.va.addr = va;
	vma->gpuva.va.range = xe_bo_size(bo);
	vma->gpuva.gem.obj = &bo->ttm.base;

	err = xe_kunit_iov_validate_and_lock(bo);
	if (!err)
		err = xe_pt_stage_bind(tile, vma, NULL, entries, &nr, false);
	xe_bo_unlock(bo);

	commit(entries, nr);
	KUNIT_ASSERT_EQ(test, err, 0);
	return root;
}

/**
 * xe_kunit_iov_lookup() - the entry that translates an address
 * @pt: the root of a page table, from xe_kunit_iov_bind()
 * @va: the address
 * @size: set to the number of bytes that the entry is for
 *
 * Return: the entry, 0 if there is none.
 */
u64 xe_kunit_iov_lookup(struct xe_pt *pt, u64 va, u64 *size)
{
	unsigned int shift, index;

	for (;;) {
		shift = pt->is_compact ? ilog2(SZ_64K) : xe_pt_shift(pt->level);
		index = (va >> shift) % (pt->is_compact ? 32 : XE_PDES);
		if (!pt->level || !pt->base.children[index])
			break;
		pt = container_of(pt->base.children[index], struct xe_pt, base);
	}

	*size = 1ull << shift;
	return pt_entries(pt)[index];
}
