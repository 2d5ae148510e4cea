// SPDX-License-Identifier: MIT
/*
 * KUnit tests for the snapshots of the VFs' VRAM.
 *
 * Real are: provisioning, the buffer objects, TTM, and the manager of VRAM with
 * its buddy allocator, which never touch the memory they manage. Fake are: the
 * device, the GuC, which is told a new quota, and the LMTT, of which this is
 * what the hardware would be told: the DPA of each of its pages.
 */

#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <kunit/test-bug.h>

#include <linux/completion.h>
#include <linux/dma-resv.h>
#include <linux/gpu_buddy.h>
#include <linux/kthread.h>
#include <linux/prandom.h>

#include <drm/drm_managed.h>

#include "xe_bo_evict.h"
#include "xe_dma_buf_iov.h"
#include "xe_kunit_helpers.h"
#include "xe_kunit_iov.h"
#include "xe_pci_test.h"
#include "xe_pm.h"
#include "xe_res_cursor.h"
#include "xe_sriov_pf_vram.h"
#include "xe_test.h"
#include "xe_tile.h"
#include "xe_ttm_vram_mgr.h"
#include "xe_vram.h"

#define VRAM_TEST_TILES		2
#define VRAM_TEST_VFS		3
#define VRAM_TEST_PAGE		SZ_2M
#define VRAM_TEST_PAGES		64	/* of each tile */
#define VRAM_TEST_SIZE		((u64)VRAM_TEST_PAGES * VRAM_TEST_PAGE)

struct vram_test {
	/* Not the live test of dma-bufs, for which xe_gem_prime_import() looks. */
	struct xe_test_priv base;
	struct kunit *test;
	struct xe_device *xe;

	/* What each tile's LMTT says. */
	struct {
		unsigned int pages;
		u64 dpa[VRAM_TEST_TILES * VRAM_TEST_PAGES];
	} lmtt[VRAM_TEST_TILES][1 + VRAM_TEST_VFS];

	/* What is to fail, and with what. */
	int prepare_err;
	int populate_err;
	int push_err;

	/* What dma-bufs name, and no code looks into. */
	struct pci_dev vf[VRAM_TEST_VFS];

	/* Buffer objects that are in the way. */
	struct xe_bo *fill[VRAM_TEST_TILES * VRAM_TEST_PAGES];
	unsigned int nr_fill;
};

static const u64 vram_test_dpa_base[VRAM_TEST_TILES] = { SZ_128M, SZ_1G };

/*
 * The fake LMTT and GuC
 */

static struct vram_test *vram_test_current(void)
{
	return kunit_get_current_test()->priv;
}

static unsigned int lmtt_tile_id(struct xe_lmtt *lmtt)
{
	return container_of(lmtt, struct xe_tile, sriov.pf.lmtt)->id;
}

static int fake_lmtt_prepare_pages(struct xe_lmtt *lmtt, unsigned int vfid, u64 range)
{
	struct vram_test *t = vram_test_current();
	unsigned int tid = lmtt_tile_id(lmtt);

	KUNIT_EXPECT_EQ(t->test, t->lmtt[tid][vfid].pages, 0);
	KUNIT_EXPECT_TRUE(t->test, IS_ALIGNED(range, VRAM_TEST_PAGE));
	if (t->prepare_err)
		return t->prepare_err;

	t->lmtt[tid][vfid].pages = range / VRAM_TEST_PAGE;
	return 0;
}

/* Page by page, and from the buddy allocator's own list of blocks. */
static int fake_lmtt_populate_pages(struct xe_lmtt *lmtt, unsigned int vfid,
				    struct xe_bo *bo, u64 offset)
{
	struct vram_test *t = vram_test_current();
	struct ttm_resource *res = bo->ttm.resource;
	struct xe_vram_region *region = t->xe->tiles[res->mem_type - XE_PL_VRAM0].mem.vram;
	unsigned int page = offset / VRAM_TEST_PAGE;
	unsigned int tid = lmtt_tile_id(lmtt);
	struct gpu_buddy_block *block;
	u64 dpa, end;

	if (t->populate_err)
		return t->populate_err;

	list_for_each_entry(block, &to_xe_ttm_vram_mgr_resource(res)->blocks, link) {
		dpa = vram_test_dpa_base[res->mem_type - XE_PL_VRAM0] +
		      gpu_buddy_block_offset(block);
		end = dpa + gpu_buddy_block_size(&region->ttm.mm, block);
		for (; dpa < end; dpa += VRAM_TEST_PAGE)
			t->lmtt[tid][vfid].dpa[page++] = dpa;
	}
	KUNIT_EXPECT_LE(t->test, page, t->lmtt[tid][vfid].pages);
	return 0;
}

static void fake_lmtt_drop_pages(struct xe_lmtt *lmtt, unsigned int vfid)
{
	struct vram_test *t = vram_test_current();

	memset(&t->lmtt[lmtt_tile_id(lmtt)][vfid], 0, sizeof(t->lmtt[0][0]));
}

static void fake_lmtt_invalidate_hw(struct xe_lmtt *lmtt)
{
}

static int fake_push_vf_cfg_lmem(struct xe_gt *gt, unsigned int vfid, u64 size)
{
	/* To take something away never fails, so that each test can clean up. */
	return size ? vram_test_current()->push_err : 0;
}

static int fake_vram_vf_index(struct pci_dev *vf)
{
	return vf - vram_test_current()->vf;
}

/*
 * The fake device, with real managers of VRAM
 */

static u64 vram_test_avail(struct vram_test *t, unsigned int tid)
{
	return xe_ttm_vram_get_avail(&t->xe->tiles[tid].mem.vram->ttm.manager);
}

/* After the snapshots are gone, before the managers of VRAM are. */
static void vram_test_check_balance(struct drm_device *drm, void *arg)
{
	struct vram_test *t = arg;
	unsigned int tid;

	KUNIT_EXPECT_TRUE(t->test, llist_empty(&t->xe->sriov.pf.vram.released));
	KUNIT_EXPECT_TRUE(t->test, list_empty(&t->xe->pinned.late.kernel_bo_present));
	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		KUNIT_EXPECT_EQ(t->test, vram_test_avail(t, tid), VRAM_TEST_SIZE);
}

static void vram_test_init_second_tile(struct kunit *test, struct xe_device *xe)
{
	struct xe_tile *tile = &xe->tiles[1];

	xe->info.tile_count = 2;
	KUNIT_ASSERT_EQ(test, 0, xe_tile_init_early(tile, xe, 1));
	tile->primary_gt = xe_gt_alloc(tile);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tile->primary_gt);
	tile->primary_gt->info.type = XE_GT_TYPE_MAIN;
	tile->primary_gt->info.id = xe->info.max_gt_per_tile;
}

static void vram_test_init_tile(struct kunit *test, struct xe_tile *tile)
{
	struct xe_device *xe = tile_to_xe(tile);
	struct xe_vram_region *vram;

	vram = xe_vram_region_alloc(xe, tile->id, XE_PL_VRAM0 + tile->id);
	KUNIT_ASSERT_NOT_NULL(test, vram);
	vram->usable_size = VRAM_TEST_SIZE;
	vram->io_size = VRAM_TEST_SIZE;
	vram->dpa_base = vram_test_dpa_base[tile->id];
	tile->mem.vram = vram;
	tile->mem.kernel_vram = vram;
	KUNIT_ASSERT_EQ(test, 0, xe_ttm_vram_mgr_init(xe, vram));

	tile->sriov.pf.lmtt.ops = &lmtt_ml_ops;
	tile->primary_gt->sriov.pf.vfs =
		drmm_kcalloc(&xe->drm, 1 + VRAM_TEST_VFS,
			     sizeof(*tile->primary_gt->sriov.pf.vfs), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tile->primary_gt->sriov.pf.vfs);
}

static void vram_test_fill_put(struct vram_test *t)
{
	while (t->nr_fill)
		xe_bo_unpin_map_no_vm(t->fill[--t->nr_fill]);
}

static void vram_test_release(struct vram_test *t, unsigned int tid, unsigned int vfid)
{
	guard(mutex)(xe_sriov_pf_master_mutex(t->xe));
	pf_release_vf_config(t->xe->tiles[tid].primary_gt, vfid);
}

/* As unbinding the driver does it. */
static void vram_test_unbind(void *arg)
{
	struct vram_test *t = arg;
	unsigned int tid, vfid;

	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		for (vfid = 1; vfid <= VRAM_TEST_VFS; vfid++)
			vram_test_release(t, tid, vfid);
	vram_test_fill_put(t);
}

static int vram_test_init(struct kunit *test)
{
	const unsigned int *tiles = test->param_value;
	struct xe_pci_fake_data fake = {
		.sriov_mode = XE_SRIOV_MODE_PF,
		.platform = XE_BATTLEMAGE, /* any random DGFX platform with SR-IOV */
		.subplatform = XE_SUBPLATFORM_NONE,
		.graphics_verx100 = 2001,
	};
	struct vram_test *t;
	struct xe_device *xe;
	struct xe_tile *tile;
	unsigned int tid;

	/* Is still needed when the device goes away, so it comes first. */
	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);

	test->priv = &fake;
	xe_kunit_helper_xe_device_test_init(test);
	xe = test->priv;
	t->base.id = -1;
	t->test = test;
	t->xe = xe;
	test->priv = t;

	kunit_activate_static_stub(test, xe_device_is_admin_only,
				   xe_device_is_admin_only_stub_disable);
	kunit_activate_static_stub(test, xe_lmtt_prepare_pages, fake_lmtt_prepare_pages);
	kunit_activate_static_stub(test, xe_lmtt_populate_pages, fake_lmtt_populate_pages);
	kunit_activate_static_stub(test, xe_lmtt_drop_pages, fake_lmtt_drop_pages);
	kunit_activate_static_stub(test, xe_lmtt_invalidate_hw, fake_lmtt_invalidate_hw);
	kunit_activate_static_stub(test, pf_push_vf_cfg_lmem, fake_push_vf_cfg_lmem);
	kunit_activate_static_stub(test, xe_dma_buf_iov_vf_index, fake_vram_vf_index);

	xe_kunit_helper_xe_device_init_mm(test, xe);

	xe->sriov.pf.device_total_vfs = VRAM_TEST_VFS;
	xe->sriov.pf.driver_max_vfs = VRAM_TEST_VFS;
	KUNIT_ASSERT_EQ(test, 0, xe_sriov_init(xe));

	if (tiles && *tiles > 1)
		vram_test_init_second_tile(test, xe);
	for_each_tile(tile, xe, tid)
		vram_test_init_tile(test, tile);
	xe->mem.vram = xe->tiles[0].mem.vram;

	KUNIT_ASSERT_EQ(test, 0,
			drmm_add_action_or_reset(&xe->drm, vram_test_check_balance, t));
	KUNIT_ASSERT_EQ(test, 0, xe_sriov_pf_vram_init(xe));
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, vram_test_unbind, t));
	return 0;
}

static const unsigned int vram_test_tiles[] = { 1, 2 };

static void vram_test_tiles_desc(const unsigned int *tiles, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u tile%s", *tiles, str_plural(*tiles));
}

KUNIT_ARRAY_PARAM(vram_test_tiles, vram_test_tiles, vram_test_tiles_desc);

/*
 * Helpers for the tests
 */

static int vram_test_provision(struct vram_test *t, unsigned int tid,
			       unsigned int vfid, unsigned int pages)
{
	guard(mutex)(xe_sriov_pf_master_mutex(t->xe));
	return pf_provision_vf_lmem(t->xe->tiles[tid].primary_gt, vfid,
				    (u64)pages * VRAM_TEST_PAGE);
}

/* The same quota on each tile. */
static void vram_test_provision_all(struct vram_test *t, unsigned int vfid,
				    unsigned int pages)
{
	unsigned int tid;

	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		KUNIT_ASSERT_EQ(t->test, 0, vram_test_provision(t, tid, vfid, pages));
}

static struct xe_bo *vram_test_fill_one(struct vram_test *t, unsigned int tid)
{
	struct xe_bo *bo;

	bo = xe_bo_create_pin_range_novm(t->xe, &t->xe->tiles[tid], VRAM_TEST_PAGE,
					 0, ~0ull, ttm_bo_type_kernel,
					 XE_BO_FLAG_VRAM(t->xe->tiles[tid].mem.vram) |
					 XE_BO_FLAG_NEEDS_2M |
					 XE_BO_FLAG_PINNED |
					 XE_BO_FLAG_PINNED_LATE_RESTORE |
					 XE_BO_FLAG_FORCE_USER_VRAM);
	if (!IS_ERR(bo))
		t->fill[t->nr_fill++] = bo;
	return bo;
}

/* Take all VRAM that is left. */
static void vram_test_fill(struct vram_test *t)
{
	unsigned int tid;

	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		while (!IS_ERR(vram_test_fill_one(t, tid)))
			;
}

/* Leave holes of one page only, on all tiles. */
static void vram_test_fragment(struct vram_test *t)
{
	unsigned int i, n = 0;

	vram_test_fill(t);
	for (i = 0; i < t->nr_fill; i++) {
		if (i % 2)
			xe_bo_unpin_map_no_vm(t->fill[i]);
		else
			t->fill[n++] = t->fill[i];
	}
	t->nr_fill = n;
}

/* Which part of which tile's VRAM is it? */
static bool vram_test_overlap(const struct xe_vf_vram *vram, u64 dpa, u64 size)
{
	unsigned int i;

	for (i = 0; i < vram->nr_segs; i++)
		if (dpa < vram->segs[i].dpa + vram->segs[i].size &&
		    vram->segs[i].dpa < dpa + size)
			return true;

	return false;
}

/* Is anything that @t filled VRAM with where @vram is? */
static bool vram_test_reused(struct vram_test *t, const struct xe_vf_vram *vram)
{
	unsigned int i;

	for (i = 0; i < t->nr_fill; i++)
		if (vram_test_overlap(vram, xe_bo_main_addr(t->fill[i], XE_PAGE_SIZE),
				      VRAM_TEST_PAGE))
			return true;

	return false;
}

static const char *vram_test_why_bad(const struct xe_vf_vram *vram)
{
	const struct xe_vf_vram_seg *seg, *prev = NULL;
	unsigned int i;
	u64 next = 0;

	if (!vram->nr_segs || !vram->nr_bos)
		return "empty";
	for (i = 0; i < vram->nr_segs; prev = seg, i++) {
		seg = &vram->segs[i];
		if (seg->offset != next)
			return "a gap, or out of order";
		if (!seg->size)
			return "empty segment";
		if (!IS_ALIGNED(seg->offset | seg->size | seg->dpa, VRAM_TEST_PAGE))
			return "not aligned";
		if (prev && prev->dpa + prev->size == seg->dpa)
			return "not merged";
		next += seg->size;
	}
	if (vram->size != next)
		return "other size than that of its segments";

	return NULL;
}

/* Does @vram say the same as the LMTT of all tiles? */
static void vram_test_expect_lmtt(struct vram_test *t, unsigned int vfid,
				  const struct xe_vf_vram *vram)
{
	unsigned int tid, seg, page;
	u64 offset, dpa;

	for (tid = 0; tid < t->xe->info.tile_count; tid++) {
		KUNIT_EXPECT_EQ(t->test, vram->size, (u64)t->lmtt[tid][vfid].pages *
				VRAM_TEST_PAGE);
		for (seg = 0, page = 0; seg < vram->nr_segs; seg++) {
			offset = 0;
			for (; offset < vram->segs[seg].size; offset += VRAM_TEST_PAGE) {
				dpa = vram->segs[seg].dpa + offset;
				KUNIT_EXPECT_EQ_MSG(t->test, dpa,
						    t->lmtt[tid][vfid].dpa[page],
						    "tile %u page %u", tid, page);
				page++;
			}
		}
	}
}

/* Is @vram still what the VF owns? */
static bool vram_test_is_current(struct vram_test *t, unsigned int vfid,
				 const struct xe_vf_vram *vram)
{
	struct xe_vf_vram *current_vram = xe_sriov_pf_vram_get(t->xe, vfid);

	if (IS_ERR(current_vram))
		return false;

	xe_sriov_pf_vram_put(current_vram);
	return current_vram == vram;
}

/* Whatever the LMTT says, the snapshot must say, and nothing else. */
static void vram_test_expect(struct vram_test *t, unsigned int vfid)
{
	struct xe_vf_vram *vram = xe_sriov_pf_vram_get(t->xe, vfid);

	if (!t->lmtt[0][vfid].pages) {
		KUNIT_EXPECT_PTR_EQ(t->test, vram, ERR_PTR(-ENODEV));
		return;
	}

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, vram);
	KUNIT_EXPECT_STREQ(t->test, vram_test_why_bad(vram) ?: "", "");
	vram_test_expect_lmtt(t, vfid, vram);
	xe_sriov_pf_vram_put(vram);
}

static struct xe_vf_vram *vram_test_get(struct vram_test *t, unsigned int vfid)
{
	struct xe_vf_vram *vram = xe_sriov_pf_vram_get(t->xe, vfid);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(t->test, vram);
	return vram;
}

static unsigned int vram_test_bo_refs(struct xe_bo *bo)
{
	return kref_read(&bo->ttm.base.refcount);
}

/*
 * The tests
 */

static void test_nothing(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_device *xe = t->xe;

	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 1), ERR_PTR(-ENODEV));
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 0), ERR_PTR(-ENODEV));
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, VRAM_TEST_VFS), ERR_PTR(-ENODEV));
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, VRAM_TEST_VFS + 1),
			    ERR_PTR(-ENODEV));
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, UINT_MAX), ERR_PTR(-ENODEV));

	/* The PF is none of its VFs, and a device that is no PF has none. */
	vram_test_provision_all(t, 1, 1);
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 0), ERR_PTR(-ENODEV));
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 2), ERR_PTR(-ENODEV));
	xe->sriov.__mode = XE_SRIOV_MODE_NONE;
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 1), ERR_PTR(-ENODEV));
	xe->sriov.__mode = XE_SRIOV_MODE_PF;
	vram_test_expect(t, 1);

	/* Whatever is behind the last VF, it is not looked at. */
	vram_test_provision_all(t, 2, 1);
	xe->sriov.pf.driver_max_vfs = 1;
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(xe, 2), ERR_PTR(-ENODEV));
	vram_test_expect(t, 1);
	xe->sriov.pf.driver_max_vfs = VRAM_TEST_VFS;
	vram_test_expect(t, 2);
}

static void test_provision(struct kunit *test)
{
	struct vram_test *t = test->priv;
	unsigned int vfid;

	for (vfid = 1; vfid <= VRAM_TEST_VFS; vfid++) {
		vram_test_provision_all(t, vfid, 4 * vfid + 1);
		vram_test_expect(t, vfid);
	}
	for (vfid = 1; vfid <= VRAM_TEST_VFS; vfid++)
		vram_test_expect(t, vfid);

	/* One VF's are none of another's. */
	vram_test_release(t, 0, 2);
	for (vfid = 1; vfid <= VRAM_TEST_VFS; vfid++)
		vram_test_expect(t, vfid);
}

static void test_one_segment(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;

	/* Of more than one block, as it is no power of two. */
	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 0, 1, 7));
	vram_test_expect(t, 1);
	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, vram->size, 7 * VRAM_TEST_PAGE);
	KUNIT_EXPECT_EQ(test, vram->nr_bos, 1);
	KUNIT_EXPECT_LE(test, vram->nr_segs, 3);
	xe_sriov_pf_vram_put(vram);
}

static void test_fragmented(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;

	vram_test_fragment(t);
	vram_test_provision_all(t, 1, 9);
	vram_test_provision_all(t, 2, 13);
	vram_test_expect(t, 1);
	vram_test_expect(t, 2);

	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, vram->nr_segs, 9 * t->xe->info.tile_count);
	xe_sriov_pf_vram_put(vram);
}

/* As much as there is, so it can't work while the old VRAM is not free. */
static void test_reprovision(struct kunit *test)
{
	struct vram_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		vram_test_provision_all(t, 1, VRAM_TEST_PAGES);
		vram_test_expect(t, 1);
		vram_test_provision_all(t, 1, VRAM_TEST_PAGES / 2 + i);
		vram_test_expect(t, 1);
	}

	vram_test_provision_all(t, 1, 0);
	vram_test_expect(t, 1);
}

/* Holds the reservation lock of a buffer object for some time. */
struct vram_locker {
	struct xe_bo *bo;
	struct completion locked;
};

static int vram_locker_thread(void *data)
{
	struct vram_locker *locker = data;

	xe_bo_lock(locker->bo, false);
	complete(&locker->locked);
	schedule_timeout_uninterruptible(HZ / 10);
	xe_bo_unlock(locker->bo);

	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ / 100);
	return 0;
}

/*
 * The same, when importers let go just before, and the work item can't be done
 * yet: it begins with what was put last, and somebody else has that locked.
 */
static void test_reprovision_after_put(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram, *last;
	struct vram_locker locker;
	struct task_struct *task;

	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 0, 1, VRAM_TEST_PAGES - 1));
	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 0, 2, 1));
	vram = vram_test_get(t, 1);
	last = vram_test_get(t, 2);
	vram_test_release(t, 0, 2);

	/* Not yet, as there are importers. */
	KUNIT_EXPECT_NE(test, 0, vram_test_provision(t, 0, 1, 1));
	vram_test_expect(t, 1);

	locker.bo = xe_bo_get(last->bos[0]);
	init_completion(&locker.locked);
	task = kthread_run(vram_locker_thread, &locker, "vram-locker");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_for_completion(&locker.locked);

	xe_sriov_pf_vram_put(vram);
	xe_sriov_pf_vram_put(last);
	KUNIT_EXPECT_EQ(test, 0, vram_test_provision(t, 0, 1, VRAM_TEST_PAGES - 1));
	vram_test_expect(t, 1);

	kthread_stop(task);
	xe_bo_put(locker.bo);
}

static void test_withdrawn(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *old, *new;

	vram_test_provision_all(t, 1, 4);
	old = vram_test_get(t, 1);

	/* Others may come and go. */
	vram_test_provision_all(t, 2, 4);
	vram_test_release(t, 0, 2);
	KUNIT_EXPECT_TRUE(test, vram_test_is_current(t, 1, old));

	vram_test_provision_all(t, 1, 5);
	KUNIT_EXPECT_FALSE(test, vram_test_is_current(t, 1, old));
	new = vram_test_get(t, 1);
	KUNIT_EXPECT_PTR_NE(test, old, new);
	KUNIT_EXPECT_EQ(test, new->size, t->xe->info.tile_count * 5 * VRAM_TEST_PAGE);

	/* Nothing that is said of the old memory changes. */
	KUNIT_EXPECT_EQ(test, old->size, t->xe->info.tile_count * 4 * VRAM_TEST_PAGE);
	KUNIT_EXPECT_STREQ(test, vram_test_why_bad(old) ?: "", "");

	vram_test_release(t, 0, 1);
	KUNIT_EXPECT_FALSE(test, vram_test_is_current(t, 1, new));

	xe_sriov_pf_vram_put(old);
	xe_sriov_pf_vram_put(new);
}

static void test_references(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;
	unsigned int i;

	vram_test_provision_all(t, 1, 4);
	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 2);
	KUNIT_EXPECT_EQ(test, vram->nr_bos, t->xe->info.tile_count);
	for (i = 0; i < vram->nr_bos; i++) {
		KUNIT_EXPECT_PTR_EQ(test, vram->bos[i],
				    t->xe->tiles[i].primary_gt->sriov.pf.vfs[1].config.lmem_obj);
		KUNIT_EXPECT_EQ(test, vram_test_bo_refs(vram->bos[i]), 2);
		KUNIT_EXPECT_EQ(test, vram->bos[i]->ttm.pin_count, 2);
	}

	/* One more holder does not cost a pin. */
	KUNIT_EXPECT_PTR_EQ(test, vram_test_get(t, 1), vram);
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 3);
	for (i = 0; i < vram->nr_bos; i++)
		KUNIT_EXPECT_EQ(test, vram->bos[i]->ttm.pin_count, 2);

	xe_sriov_pf_vram_put(vram);
	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 2);
	xe_sriov_pf_vram_put(vram);
}

/* What it is all about: who holds VRAM can rely on it. */
static void test_release_while_held(struct kunit *test)
{
	struct vram_test *t = test->priv;
	unsigned int i, tid, tiles = t->xe->info.tile_count;
	struct xe_vf_vram *vram;
	struct xe_bo *bo;

	vram_test_fragment(t);
	vram_test_provision_all(t, 1, 8);
	vram = vram_test_get(t, 1);
	for (tid = 0; tid < tiles; tid++)
		vram_test_release(t, tid, 1);
	vram_test_expect(t, 1);
	xe_sriov_pf_vram_flush(t->xe);

	KUNIT_EXPECT_EQ(test, kref_read(&vram->ref), 1);
	KUNIT_EXPECT_EQ(test, vram->nr_bos, tiles);
	for (i = 0; i < vram->nr_bos; i++) {
		bo = vram->bos[i];
		KUNIT_EXPECT_EQ(test, vram_test_bo_refs(bo), 1);
		KUNIT_EXPECT_EQ(test, bo->ttm.pin_count, 1);
		KUNIT_EXPECT_TRUE(test, xe_bo_is_vram(bo));
		/* Saved and restored over a suspend. */
		KUNIT_EXPECT_FALSE(test, list_empty(&bo->pinned_link));
	}

	/* Everybody else who wants VRAM gets another piece of it. */
	vram_test_provision_all(t, 2, 3);
	vram_test_fill(t);
	for (tid = 0; tid < tiles; tid++)
		KUNIT_EXPECT_EQ(test, vram_test_avail(t, tid), 0);
	KUNIT_EXPECT_FALSE(test, vram_test_reused(t, vram));
	for (i = 0; i < t->lmtt[0][2].pages; i++)
		KUNIT_EXPECT_FALSE(test, vram_test_overlap(vram, t->lmtt[0][2].dpa[i],
							   VRAM_TEST_PAGE));

	/* And this piece again when it is let go. */
	xe_sriov_pf_vram_put(vram);
	xe_sriov_pf_vram_flush(t->xe);
	for (tid = 0; tid < tiles; tid++)
		KUNIT_EXPECT_EQ(test, vram_test_avail(t, tid), 8 * VRAM_TEST_PAGE);
}

static void test_reprovision_while_held(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *old[6];
	unsigned int i, j, k, tid;

	for (i = 0; i < ARRAY_SIZE(old); i++) {
		vram_test_provision_all(t, 1, 1 + i);
		vram_test_expect(t, 1);
		old[i] = vram_test_get(t, 1);
		for (j = 0; j < i; j++)
			for (k = 0; k < old[j]->nr_segs; k++)
				KUNIT_EXPECT_FALSE(test,
						   vram_test_overlap(old[i],
								     old[j]->segs[k].dpa,
								     old[j]->segs[k].size));
	}

	/* Only what is held is not free. */
	for (tid = 0; tid < t->xe->info.tile_count; tid++) {
		vram_test_release(t, tid, 1);
		KUNIT_EXPECT_EQ(test, vram_test_avail(t, tid),
				VRAM_TEST_SIZE - (1 + 2 + 3 + 4 + 5 + 6) * VRAM_TEST_PAGE);
	}
	for (i = 0; i < ARRAY_SIZE(old); i++)
		xe_sriov_pf_vram_put(old[i]);
}

/* An importer unmaps under its own reservation lock, and under any other. */
static void test_put_under_resv(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;
	struct xe_bo *bo;

	vram_test_provision_all(t, 1, 4);
	vram = vram_test_get(t, 1);
	bo = xe_bo_get(vram->bos[0]);
	vram_test_release(t, 0, 1);

	xe_bo_lock(bo, false);
	KUNIT_EXPECT_PTR_EQ(test, xe_sriov_pf_vram_get(t->xe, 3), ERR_PTR(-ENODEV));
	xe_sriov_pf_vram_put(vram);
	KUNIT_EXPECT_EQ(test, bo->ttm.pin_count, 1);
	xe_bo_unlock(bo);

	xe_sriov_pf_vram_flush(t->xe);
	KUNIT_EXPECT_EQ(test, bo->ttm.pin_count, 0);
	KUNIT_EXPECT_EQ(test, vram_test_bo_refs(bo), 1);
	KUNIT_EXPECT_TRUE(test, list_empty(&bo->pinned_link));
	xe_bo_put(bo);
}

/* Left to the teardown of the device; see vram_test_check_balance(). */
static void test_put_last_of_all(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;
	unsigned int tid;

	vram_test_provision_all(t, 1, 4);
	vram = vram_test_get(t, 1);
	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		vram_test_release(t, tid, 1);
	xe_sriov_pf_vram_put(vram);
}

static int fake_publish_no_memory(struct xe_device *xe, unsigned int vfid)
{
	return -ENOMEM;
}

static void vram_test_expect_failure(struct vram_test *t, int err)
{
	unsigned int tid;

	for (tid = 0; tid < t->xe->info.tile_count; tid++) {
		KUNIT_EXPECT_EQ(t->test, err, vram_test_provision(t, tid, 1, 5));
		KUNIT_EXPECT_PTR_EQ(t->test, xe_sriov_pf_vram_get(t->xe, 1), ERR_PTR(-ENODEV));
		KUNIT_EXPECT_EQ(t->test, vram_test_avail(t, tid), VRAM_TEST_SIZE);
	}
}

static void test_errors(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_vf_vram *vram;
	unsigned int tid;

	t->push_err = -EPROTO;
	vram_test_expect_failure(t, -EPROTO);
	t->push_err = 0;

	t->prepare_err = -ENOMEM;
	vram_test_expect_failure(t, -ENOMEM);
	t->prepare_err = 0;

	/* A VF has no VRAM of which the PF does not know where it is. */
	kunit_activate_static_stub(test, pf_publish_vf_vram, fake_publish_no_memory);
	vram_test_expect_failure(t, -ENOMEM);
	KUNIT_EXPECT_EQ(test, t->lmtt[0][1].pages, 0);
	kunit_deactivate_static_stub(test, pf_publish_vf_vram);

	t->populate_err = -EIO;
	vram_test_expect_failure(t, -EIO);

	/* What was there before a failure is gone, and who has it keeps it. */
	t->populate_err = 0;
	vram_test_provision_all(t, 1, 4);
	vram = vram_test_get(t, 1);
	t->populate_err = -EIO;
	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		KUNIT_EXPECT_EQ(test, -EIO, vram_test_provision(t, tid, 1, 6));
	KUNIT_EXPECT_FALSE(test, vram_test_is_current(t, 1, vram));
	vram_test_expect(t, 1);
	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		KUNIT_EXPECT_EQ(test, vram_test_avail(t, tid),
				VRAM_TEST_SIZE - 4 * VRAM_TEST_PAGE);
	xe_sriov_pf_vram_put(vram);
	t->populate_err = 0;

	vram_test_provision_all(t, 1, 2);
	vram_test_expect(t, 1);
}

/* Tile 1 begins where tile 0 ends, wherever that is. */
static void test_tiles(struct kunit *test)
{
	struct vram_test *t = test->priv;
	const u64 *base = vram_test_dpa_base;
	struct xe_vf_vram *vram;

	if (t->xe->info.tile_count < 2)
		kunit_skip(test, "there is one");

	/* The other way round than they are in the VF's space. */
	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 1, 1, 2));
	vram_test_expect(t, 1);
	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 0, 1, 1));
	vram_test_expect(t, 1);
	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, vram->size, 3 * VRAM_TEST_PAGE);
	KUNIT_EXPECT_EQ(test, vram->nr_bos, 2);
	KUNIT_EXPECT_LT(test, vram->segs[0].dpa, base[1]);
	KUNIT_EXPECT_EQ(test, vram->segs[1].offset, VRAM_TEST_PAGE);
	KUNIT_EXPECT_GE(test, vram->segs[1].dpa, base[1]);
	xe_sriov_pf_vram_put(vram);

	KUNIT_ASSERT_EQ(test, 0, vram_test_provision(t, 0, 1, 4));
	vram_test_expect(t, 1);
	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, vram->segs[vram->nr_segs - 1].offset, 4 * VRAM_TEST_PAGE);
	xe_sriov_pf_vram_put(vram);

	/* Without tile 0, tile 1 is all there is. */
	vram_test_release(t, 0, 1);
	vram_test_expect(t, 1);
	vram = vram_test_get(t, 1);
	KUNIT_EXPECT_EQ(test, vram->size, 2 * VRAM_TEST_PAGE);
	KUNIT_EXPECT_EQ(test, vram->nr_bos, 1);
	KUNIT_EXPECT_GE(test, vram->segs[0].dpa, base[1]);
	xe_sriov_pf_vram_put(vram);
}

/*
 * Importers that come and go as they like, while the VF gets one quota after the
 * other. They run without the stubs, but need none of them.
 */

#define VRAM_TEST_IMPORTERS	4
#define VRAM_TEST_PROVISIONS	150

struct vram_importer {
	struct vram_test *t;
	struct task_struct *task;
	struct rnd_state rnd;
	struct dma_resv resv;
	unsigned long got;
	unsigned long stale;
	const char *bad;
};

static const char *vram_importer_look(struct xe_vf_vram *vram)
{
	unsigned int i;

	if (vram_test_why_bad(vram))
		return vram_test_why_bad(vram);
	for (i = 0; i < vram->nr_bos; i++) {
		if (!READ_ONCE(vram->bos[i]->ttm.pin_count))
			return "not pinned";
		if (!vram_test_bo_refs(vram->bos[i]))
			return "no reference";
	}
	/* The first byte is where the buffer object is. */
	if (xe_bo_main_addr(vram->bos[0], XE_PAGE_SIZE) != vram->segs[0].dpa)
		return "moved";

	return NULL;
}

static void vram_importer_once(struct vram_importer *imp)
{
	struct xe_vf_vram *vram;
	unsigned int n;

	dma_resv_lock(&imp->resv, NULL);
	vram = xe_sriov_pf_vram_get(imp->t->xe, 1);
	dma_resv_unlock(&imp->resv);
	if (IS_ERR(vram))
		return;

	imp->got++;
	n = prandom_u32_state(&imp->rnd) % 8;
	do {
		imp->bad = imp->bad ?: vram_importer_look(vram);
		cond_resched();
	} while (n--);
	if (!vram_test_is_current(imp->t, 1, vram))
		imp->stale++;

	dma_resv_lock(&imp->resv, NULL);
	xe_sriov_pf_vram_put(vram);
	dma_resv_unlock(&imp->resv);
}

static int vram_importer_thread(void *data)
{
	struct vram_importer *imp = data;

	while (!kthread_should_stop()) {
		vram_importer_once(imp);
		cond_resched();
	}

	return 0;
}

static void vram_importer_start(struct vram_test *t, struct vram_importer *imp,
				unsigned int i)
{
	imp->t = t;
	prandom_seed_state(&imp->rnd, i);
	dma_resv_init(&imp->resv);
	imp->task = kthread_run(vram_importer_thread, imp, "vram-importer/%u", i);
	KUNIT_EXPECT_FALSE(t->test, IS_ERR(imp->task));
}

static void vram_importer_stop(struct vram_test *t, struct vram_importer *imp)
{
	if (!IS_ERR(imp->task))
		kthread_stop(imp->task);
	dma_resv_fini(&imp->resv);
	KUNIT_EXPECT_STREQ(t->test, imp->bad ?: "", "");
	KUNIT_EXPECT_NE(t->test, imp->got, 0);
}

static void test_concurrent(struct kunit *test)
{
	struct vram_test *t = test->priv;
	unsigned int i, tid, tiles = t->xe->info.tile_count;
	struct vram_importer *imp;
	unsigned long stale = 0;
	struct rnd_state rnd;

	imp = kunit_kcalloc(test, VRAM_TEST_IMPORTERS, sizeof(*imp), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, imp);
	for (i = 0; i < VRAM_TEST_IMPORTERS; i++)
		vram_importer_start(t, &imp[i], i);

	prandom_seed_state(&rnd, 1);
	for (i = 0; i < VRAM_TEST_PROVISIONS; i++) {
		tid = prandom_u32_state(&rnd) % tiles;
		if (prandom_u32_state(&rnd) % 4)
			vram_test_provision(t, tid, 1, prandom_u32_state(&rnd) % 12);
		else
			vram_test_release(t, tid, 1);
		vram_test_expect(t, 1);
		schedule_timeout_uninterruptible(1);
	}

	for (i = 0; i < VRAM_TEST_IMPORTERS; i++) {
		vram_importer_stop(t, &imp[i]);
		stale += imp[i].stale;
	}
	KUNIT_EXPECT_NE(test, stale, 0);

	xe_sriov_pf_vram_flush(t->xe);
	for (tid = 0; tid < tiles; tid++)
		vram_test_release(t, tid, 1);
	for (tid = 0; tid < tiles; tid++)
		KUNIT_EXPECT_EQ(test, vram_test_avail(t, tid), VRAM_TEST_SIZE);
}

/*
 * Import of what real provisioning gave the VF, on all tiles
 */

#define IMPORT_TEST_VA	SZ_1G

/* Where the LMTT of the root tile has byte @offset of the VF's VRAM. */
static u64 vram_test_lmtt_dpa(struct vram_test *t, unsigned int vfid, u64 offset)
{
	return t->lmtt[0][vfid].dpa[offset / VRAM_TEST_PAGE] + offset % VRAM_TEST_PAGE;
}

/* Export all that VF @vfid owns, the last page first. */
static struct xe_kunit_iov_exporter *vram_test_export(struct vram_test *t, unsigned int vfid)
{
	unsigned int i, pages = t->lmtt[0][vfid].pages;
	struct range *pieces;

	pieces = kunit_kcalloc(t->test, pages, sizeof(*pieces), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(t->test, pieces);
	for (i = 0; i < pages; i++) {
		pieces[i].start = (pages - 1 - i) * (u64)VRAM_TEST_PAGE;
		pieces[i].end = pieces[i].start + VRAM_TEST_PAGE - 1;
	}

	return xe_kunit_iov_export(t->test, t->xe, &t->vf[vfid - 1], pieces, pages);
}

/* The cursor, and the page table of each tile, say the same as the LMTT. */
static void vram_test_expect_import(struct vram_test *t, unsigned int vfid,
				    struct xe_kunit_iov_exporter *exp, struct xe_bo *bo)
{
	struct xe_pt *root[VRAM_TEST_TILES];
	struct xe_res_cursor cur;
	struct xe_tile *tile;
	unsigned int tid, i;
	u64 dpa, pte, size;

	for_each_tile(tile, t->xe, tid)
		root[tid] = xe_kunit_iov_bind(t->test, tile, bo, IMPORT_TEST_VA, 0);

	xe_bo_lock(bo, false);
	xe_res_first_bo(bo, 0, xe_bo_size(bo), &cur);
	for (i = 0; i < exp->nr_pieces; i++) {
		dpa = vram_test_lmtt_dpa(t, vfid, exp->pieces[i].start);
		KUNIT_EXPECT_TRUE(t->test, xe_res_is_vram(&cur));
		KUNIT_EXPECT_EQ(t->test, xe_res_dma(&cur), dpa);
		xe_res_next(&cur, VRAM_TEST_PAGE);

		for_each_tile(tile, t->xe, tid) {
			pte = xe_kunit_iov_lookup(root[tid], IMPORT_TEST_VA +
						  i * (u64)VRAM_TEST_PAGE, &size);
			KUNIT_EXPECT_EQ(t->test, size, VRAM_TEST_PAGE);
			KUNIT_EXPECT_EQ(t->test, pte & ~(SZ_4K - 1ull), dpa);
			KUNIT_EXPECT_TRUE(t->test, pte & XE_PPGTT_PTE_DM);
		}
	}
	xe_bo_unlock(bo);
}

static void test_import(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_kunit_iov_exporter *exp;
	struct xe_bo *bo;

	vram_test_fragment(t);
	vram_test_provision_all(t, 1, 4);
	vram_test_provision_all(t, 2, 5);

	exp = vram_test_export(t, 2);
	KUNIT_ASSERT_EQ(test, exp->nr_pieces, 5 * t->xe->info.tile_count);
	bo = xe_kunit_iov_import(test, t->xe, exp);
	vram_test_expect_import(t, 2, exp, bo);
	xe_kunit_iov_put(test, exp, bo);
}

/*
 * The quota changes under an import: what is mapped stays where it is and is
 * nobody else's, until it is unmapped; the next map finds the new place.
 */
static void test_import_reprovision(struct kunit *test)
{
	struct vram_test *t = test->priv;
	struct xe_kunit_iov_exporter *exp;
	struct xe_vf_vram *vram;
	unsigned int tid;
	struct xe_bo *bo;
	u64 avail;

	vram_test_provision_all(t, 1, 4);
	exp = vram_test_export(t, 1);
	bo = xe_kunit_iov_import(test, t->xe, exp);
	KUNIT_ASSERT_EQ(test, xe_kunit_iov_validate(bo), 0);
	vram = vram_test_get(t, 1);

	/* Nothing for the VF: its memory is not free as long as it is mapped. */
	for (tid = 0; tid < t->xe->info.tile_count; tid++)
		vram_test_release(t, tid, 1);
	vram_test_fill(t);
	KUNIT_EXPECT_FALSE(test, vram_test_reused(t, vram));
	vram_test_fill_put(t);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_mapped(exp), 1);
	xe_sriov_pf_vram_put(vram);

	/* It is, once it is not, and then there is nothing to map. */
	avail = vram_test_avail(t, 0);
	xe_kunit_iov_invalidate(exp, false);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	flush_work(&t->xe->sriov.pf.vram.work);
	KUNIT_EXPECT_EQ(test, vram_test_avail(t, 0), avail + 4 * VRAM_TEST_PAGE);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -ENODEV);

	/* Less than the buffer needs, and as much, elsewhere. */
	vram_test_fill_one(t, 0);
	vram_test_provision_all(t, 1, 3);
	KUNIT_EXPECT_EQ(test, xe_kunit_iov_validate(bo), -ERANGE);
	xe_kunit_iov_expect_unmapped(test, exp, bo);
	vram_test_provision_all(t, 1, 4);
	vram_test_expect_import(t, 1, exp, bo);
	xe_kunit_iov_put(test, exp, bo);
}

static struct kunit_case pf_vram_cases[] = {
	KUNIT_CASE_PARAM(test_nothing, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_provision, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_one_segment, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_fragmented, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_reprovision, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_reprovision_after_put, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_withdrawn, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_references, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_release_while_held, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_reprovision_while_held, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_put_under_resv, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_put_last_of_all, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_errors, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_tiles, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_import, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM(test_import_reprovision, vram_test_tiles_gen_params),
	KUNIT_CASE_PARAM_ATTR(test_concurrent, vram_test_tiles_gen_params,
			      { .speed = KUNIT_SPEED_SLOW }),
	{}
};

static struct kunit_suite pf_vram_suite = {
	.name = "xe_sriov_pf_vram",
	.test_cases = pf_vram_cases,
	.init = vram_test_init,
};

kunit_test_suite(pf_vram_suite);
