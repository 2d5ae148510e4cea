// SPDX-License-Identifier: MIT
/*
 * KUnit tests for what DRM_IOCTL_XE_MADVISE accepts.
 */

#include <kunit/test.h>
#include <linux/dma-buf.h>

#include "tests/xe_kunit_helpers.h"
#include "tests/xe_pci_test.h"

static int madvise_test_init(struct kunit *test)
{
	struct xe_pci_fake_data data = {
		.platform = XE_BATTLEMAGE,
		.graphics_verx100 = 2001,
		.media_verx100 = 1301,
	};

	test->priv = &data;
	xe_kunit_helper_xe_device_test_init(test);
	xe_pat_init_early(test->priv);

	return 0;
}

static const struct pat_param {
	const char *name;
	u32 bo_flags;
	bool imported;
	bool userptr;
	bool may_compress;
} pat_params[] = {
	{ "own BO", .may_compress = true },
	{ "own BO without compression", XE_BO_FLAG_NO_COMPRESSION },
	{ "imported BO", .imported = true },
	{ "userptr", .userptr = true },
};

KUNIT_ARRAY_PARAM_DESC(pat, pat_params, name);

/* For what is between two BOs that may have any PAT index. */
static void pat_compression(struct kunit *test)
{
	const struct pat_param *p = test->param_value;
	struct xe_device *xe = test->priv;
	struct dma_buf_attachment attach = {};
	struct xe_vma *vmas[3];
	struct xe_vmas_in_madvise_range range = {
		.vmas = vmas,
		.num_vmas = ARRAY_SIZE(vmas),
	};
	unsigned int compressed = 0;
	struct xe_bo *bos[3];
	u16 pat_index;
	int i;

	for (i = 0; i < ARRAY_SIZE(vmas); i++) {
		vmas[i] = kunit_kzalloc(test, sizeof(**vmas), GFP_KERNEL);
		bos[i] = kunit_kzalloc(test, sizeof(**bos), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, vmas[i]);
		KUNIT_ASSERT_NOT_NULL(test, bos[i]);
		vmas[i]->gpuva.gem.obj = &bos[i]->ttm.base;
	}
	bos[1]->flags = p->bo_flags;
	if (p->imported)
		bos[1]->ttm.base.import_attach = &attach;
	if (p->userptr)
		vmas[1]->gpuva.gem.obj = NULL;

	for (pat_index = 0; pat_index < xe->pat.n_entries; pat_index++) {
		bool comp_en = xe_pat_index_get_comp_en(xe, pat_index);

		compressed += comp_en;
		KUNIT_EXPECT_EQ_MSG(test,
				    check_pat_args_are_sane(xe, &range, pat_index),
				    !comp_en || p->may_compress,
				    "PAT index %u", pat_index);
	}
	KUNIT_EXPECT_GT(test, compressed, 0);
}

static struct kunit_case madvise_test_cases[] = {
	KUNIT_CASE_PARAM(pat_compression, pat_gen_params),
	{}
};

static struct kunit_suite madvise_suite = {
	.name = "xe_vm_madvise",
	.init = madvise_test_init,
	.test_cases = madvise_test_cases,
};

kunit_test_suite(madvise_suite);
