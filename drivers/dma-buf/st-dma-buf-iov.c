// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for IOV, the dma-buf interconnect between an SR-IOV device's
 * functions.
 *
 * Core and the type are real. Fake are the PCI functions: a struct pci_dev that
 * is on no bus, with just what the type looks at (is_virtfn, physfn, a BAR's
 * size, a reference count), and an exporter and importer around them that hand
 * out ranges and touch no memory. There are two cards of one PF and two VFs
 * each, and a function without SR-IOV.
 */

#include <kunit/device.h>
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-iov.h>
#include <linux/dma-resv.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>

/*
 * The fake PCI functions
 */

enum {
	PF, VF1, VF2,			/* one card */
	OTHER_PF, OTHER_VF,		/* another card */
	NO_SRIOV,
	NR_FUNCTIONS,
};

#define MEM_BAR		2
#define MEM_BAR_SIZE	SZ_16M
#define SMALL_BAR	0
#define SMALL_BAR_SIZE	SZ_64K
#define NO_BAR		4

static const struct {
	const char *name;
	int pf;				/* of a VF */
} functions[NR_FUNCTIONS] = {
	[PF]		= { "0000:03:00.0", -1 },
	[VF1]		= { "0000:03:00.1", PF },
	[VF2]		= { "0000:03:00.2", PF },
	[OTHER_PF]	= { "0000:04:00.0", -1 },
	[OTHER_VF]	= { "0000:04:00.1", OTHER_PF },
	[NO_SRIOV]	= { "0000:05:00.0", -1 },
};

struct iov_test {
	struct pci_dev *pdev[NR_FUNCTIONS];
};

static void fake_pdev_release(struct device *dev)
{
	kfree(to_pci_dev(dev));
}

/* The test's reference is the only one left: all others were dropped. */
static void fake_pdev_put(void *data)
{
	struct pci_dev *pdev = data;

	pci_dev_put(pdev);
}

static unsigned int pdev_refs(struct pci_dev *pdev)
{
	return kref_read(&pdev->dev.kobj.kref);
}

static struct pci_dev *fake_pdev(struct kunit *test, const char *name,
				 struct pci_dev *pf)
{
	struct pci_dev *pdev = kzalloc_obj(*pdev);

	KUNIT_ASSERT_NOT_NULL(test, pdev);
	device_initialize(&pdev->dev);
	pdev->dev.release = fake_pdev_release;
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_pdev_put, pdev));
	KUNIT_ASSERT_EQ(test, 0, dev_set_name(&pdev->dev, "%s", name));

	pdev->is_virtfn = !!pf;
	pdev->physfn = pf;
	pdev->resource[SMALL_BAR] = DEFINE_RES_MEM(SZ_1G, SMALL_BAR_SIZE);
	pdev->resource[MEM_BAR] = DEFINE_RES_MEM(SZ_2G, MEM_BAR_SIZE);
	/* What stands behind the last BAR is none. */
	pdev->resource[PCI_ROM_RESOURCE] = DEFINE_RES_MEM(SZ_1M, SZ_64K);
	return pdev;
}

/*
 * The fake exporter: a buffer in a BAR of a VF
 */

struct fake_vf_buf {
	struct kunit *test;
	struct dma_buf *dmabuf;
	struct completion released;
	struct dma_buf_iov_offer offer;
	const struct dma_buf_interconnect_offer *offers[1];
	struct range range;
	unsigned int users;
};

static int fake_vf_map(struct dma_buf_attachment *attach,
		       struct dma_buf_ranges *ranges)
{
	struct fake_vf_buf *buf = attach->dmabuf->priv;
	int ret = dma_buf_ranges_add(ranges, &buf->range, 1);

	if (!ret)
		buf->users++;
	return ret;
}

static void fake_vf_unmap(struct dma_buf_attachment *attach,
			  struct dma_buf_ranges *ranges)
{
	struct fake_vf_buf *buf = attach->dmabuf->priv;

	buf->users--;
}

static const struct dma_buf_interconnect_ops fake_vf_ops = {
	.map = fake_vf_map,
	.unmap = fake_vf_unmap,
};

static const struct dma_buf_interconnect_offer *const *
fake_vf_interconnect_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	struct fake_vf_buf *buf = dmabuf->priv;

	*nr = ARRAY_SIZE(buf->offers);
	return buf->offers;
}

static struct sg_table *fake_vf_map_sgt(struct dma_buf_attachment *attach,
					enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void fake_vf_unmap_sgt(struct dma_buf_attachment *attach,
			      struct sg_table *sgt, enum dma_data_direction dir)
{
}

static void fake_vf_release(struct dma_buf *dmabuf)
{
	struct fake_vf_buf *buf = dmabuf->priv;

	dma_buf_iov_offer_release(&buf->offer);
	complete(&buf->released);
}

static const struct dma_buf_ops fake_vf_dmabuf_ops = {
	.interconnect_offers = fake_vf_interconnect_offers,
	.map_dma_buf = fake_vf_map_sgt,
	.unmap_dma_buf = fake_vf_unmap_sgt,
	.release = fake_vf_release,
};

static void fake_vf_buf_put(void *data)
{
	struct fake_vf_buf *buf = data;

	dma_buf_put(buf->dmabuf);
	KUNIT_EXPECT_NE(buf->test, 0,
			wait_for_completion_timeout(&buf->released, 10 * HZ));
	KUNIT_EXPECT_EQ(buf->test, buf->users, 0);
}

static void fake_vf_offer_release(void *offer)
{
	dma_buf_iov_offer_release(offer);
}

/* A buffer of @size bytes at @start in the memory BAR of @vf. */
static struct fake_vf_buf *fake_vf_export(struct kunit *test,
					  struct pci_dev *vf, u64 start,
					  size_t size)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct fake_vf_buf *buf;

	buf = kunit_kzalloc(test, sizeof(*buf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	buf->test = test;
	init_completion(&buf->released);
	buf->range.start = start;
	buf->range.end = start + size - 1;
	buf->offers[0] = &buf->offer.base;
	KUNIT_ASSERT_EQ(test, 0,
			dma_buf_iov_offer_export(&buf->offer, vf, MEM_BAR,
						 &fake_vf_ops));

	exp_info.ops = &fake_vf_dmabuf_ops;
	exp_info.size = size;
	exp_info.priv = buf;
	buf->dmabuf = dma_buf_export(&exp_info);
	if (IS_ERR(buf->dmabuf))
		dma_buf_iov_offer_release(&buf->offer);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf->dmabuf);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_vf_buf_put, buf));
	return buf;
}

/*
 * The fake importer
 */

static void fake_invalidate(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops fake_importer_ops = {
	.invalidate_mappings = fake_invalidate,
};

static void fake_detach_action(void *data)
{
	struct dma_buf_attachment *attach = data;

	dma_buf_detach(attach->dmabuf, attach);
}

/* @dev attaches, and offers IOV for @nr BARs. */
static struct dma_buf_attachment *
fake_attach_bars(struct kunit *test, struct fake_vf_buf *buf,
		 struct device *dev, const unsigned int *bars, unsigned int nr)
{
	const struct dma_buf_interconnect_offer *list[2];
	struct dma_buf_iov_offer offers[2];
	struct dma_buf_attachment *attach;
	unsigned int i;

	KUNIT_ASSERT_LE(test, nr, ARRAY_SIZE(offers));
	for (i = 0; i < nr; i++) {
		KUNIT_ASSERT_EQ(test, 0,
				dma_buf_iov_offer_import(&offers[i], bars[i]));
		list[i] = &offers[i].base;
	}

	attach = dma_buf_attach_interconnect(buf->dmabuf, dev,
					     &fake_importer_ops, NULL, list, nr);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_detach_action,
						  attach));
	return attach;
}

static struct dma_buf_attachment *
fake_attach(struct kunit *test, struct fake_vf_buf *buf, struct pci_dev *pdev)
{
	static const unsigned int bar = MEM_BAR;

	return fake_attach_bars(test, buf, &pdev->dev, &bar, 1);
}

static struct dma_buf_ranges *imp_map(struct dma_buf_attachment *attach)
{
	struct dma_buf_ranges *ranges;

	dma_resv_lock(attach->dmabuf->resv, NULL);
	ranges = dma_buf_map_interconnect(attach);
	dma_resv_unlock(attach->dmabuf->resv);

	return ranges;
}

static void imp_unmap(struct dma_buf_attachment *attach,
		      struct dma_buf_ranges *ranges)
{
	dma_resv_lock(attach->dmabuf->resv, NULL);
	dma_buf_unmap_interconnect(attach, ranges);
	dma_resv_unlock(attach->dmabuf->resv);
}

/*
 * Offers
 */

struct export_param {
	const char *desc;
	int function;
	unsigned int bar;
	int ret;
	u64 limit;
};

static const struct export_param export_params[] = {
	{ "a VF", VF1, MEM_BAR, .limit = MEM_BAR_SIZE - 1 },
	{ "a VF, another BAR", VF1, SMALL_BAR, .limit = SMALL_BAR_SIZE - 1 },
	{ "a VF of another card", OTHER_VF, MEM_BAR, .limit = MEM_BAR_SIZE - 1 },
	{ "a PF", PF, MEM_BAR, .ret = -EOPNOTSUPP },
	{ "no SR-IOV", NO_SRIOV, MEM_BAR, .ret = -EOPNOTSUPP },
	{ "a BAR that the VF does not have", VF1, NO_BAR, .ret = -EOPNOTSUPP },
	{ "BAR 6", VF1, PCI_STD_NUM_BARS, .ret = -EOPNOTSUPP },
	{ "a BAR far out", VF1, UINT_MAX, .ret = -EOPNOTSUPP },
};

KUNIT_ARRAY_PARAM_DESC(export, export_params, desc);

/* Only a BAR of a VF can be offered; a refusal keeps no reference. */
static void offer_export(struct kunit *test)
{
	const struct export_param *param = test->param_value;
	struct iov_test *t = test->priv;
	struct pci_dev *pdev = t->pdev[param->function];
	struct dma_buf_iov_offer offer = {};
	int i, ret;

	ret = dma_buf_iov_offer_export(&offer, pdev, param->bar, &fake_vf_ops);
	KUNIT_ASSERT_EQ(test, ret, param->ret);

	if (ret) {
		for (i = 0; i < NR_FUNCTIONS; i++)
			KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[i]), 1);
		return;
	}

	KUNIT_EXPECT_PTR_EQ(test, offer.base.type, &dma_buf_interconnect_iov);
	KUNIT_EXPECT_PTR_EQ(test, offer.base.ops, &fake_vf_ops);
	KUNIT_EXPECT_PTR_EQ(test, offer.vf, pdev);
	KUNIT_EXPECT_PTR_EQ(test, offer.pf, pdev->physfn);
	KUNIT_EXPECT_EQ(test, offer.bar, param->bar);
	KUNIT_EXPECT_EQ(test, dma_buf_interconnect_iov.limit(&offer.base),
			param->limit);

	/* An offer does not change, whatever becomes of the VF. */
	memset(pdev->resource, 0, sizeof(pdev->resource));
	KUNIT_EXPECT_EQ(test, dma_buf_interconnect_iov.limit(&offer.base),
			param->limit);

	KUNIT_EXPECT_EQ(test, pdev_refs(offer.vf), 2);
	KUNIT_EXPECT_EQ(test, pdev_refs(offer.pf), 2);

	dma_buf_iov_offer_release(&offer);
	for (i = 0; i < NR_FUNCTIONS; i++)
		KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[i]), 1);
}

/* An importer's offer names a BAR. Whose it is, is who attaches. */
static void offer_import(struct kunit *test)
{
	struct dma_buf_iov_offer offer;

	memset(&offer, POISON_FREE, sizeof(offer));
	KUNIT_ASSERT_EQ(test, 0,
			dma_buf_iov_offer_import(&offer, MEM_BAR));
	KUNIT_EXPECT_PTR_EQ(test, offer.base.type, &dma_buf_interconnect_iov);
	KUNIT_EXPECT_NULL(test, offer.base.ops);
	KUNIT_EXPECT_NULL(test, offer.pf);
	KUNIT_EXPECT_NULL(test, offer.vf);
	KUNIT_EXPECT_EQ(test, offer.bar, MEM_BAR);
	KUNIT_EXPECT_EQ(test, offer.size, 0);
}

/*
 * Match rule
 */

struct match_param {
	const char *desc;
	int exporter;
	int importer;
	unsigned int bar;	/* the importer's; the exporter's is MEM_BAR */
	const char *why;	/* NULL if they match */
};

#define WHY_PF	"importer is not the PF of the exporter's VF"
#define WHY_BAR	"importer reaches another BAR of the VF"

static const struct match_param match_params[] = {
	{ "VF to its PF", VF1, PF, MEM_BAR, NULL },
	{ "another VF to its PF", VF2, PF, MEM_BAR, NULL },
	{ "VF to its PF, on another card", OTHER_VF, OTHER_PF, MEM_BAR, NULL },
	{ "VF to the PF of another card", VF1, OTHER_PF, MEM_BAR, WHY_PF },
	{ "VF to itself", VF1, VF1, MEM_BAR, WHY_PF },
	{ "VF to VF of the same card", VF1, VF2, MEM_BAR, WHY_PF },
	{ "VF to VF of another card", VF1, OTHER_VF, MEM_BAR, WHY_PF },
	{ "VF to a function without SR-IOV", VF1, NO_SRIOV, MEM_BAR, WHY_PF },
	{ "VF to its PF, another BAR", VF1, PF, SMALL_BAR, WHY_BAR },
	{ "VF to its PF, no BAR at all", VF1, PF, PCI_STD_NUM_BARS, WHY_BAR },
};

KUNIT_ARRAY_PARAM_DESC(match, match_params, desc);

static void match_rule(struct kunit *test)
{
	const struct match_param *param = test->param_value;
	const struct dma_buf_interconnect *type = &dma_buf_interconnect_iov;
	struct iov_test *t = test->priv;
	const struct dma_buf_attachment attach = {
		.dev = &t->pdev[param->importer]->dev,
	};
	struct dma_buf_iov_offer *exp;
	struct dma_buf_iov_offer imp;
	const char *why = NULL;
	bool matched;

	exp = kunit_kzalloc(test, sizeof(*exp), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, exp);
	KUNIT_ASSERT_EQ(test, 0,
			dma_buf_iov_offer_export(exp, t->pdev[param->exporter],
						 MEM_BAR, &fake_vf_ops));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_vf_offer_release,
						  exp));
	KUNIT_ASSERT_EQ(test, 0,
			dma_buf_iov_offer_import(&imp, param->bar));

	matched = type->match(&attach, &exp->base, &imp.base, &why);
	KUNIT_EXPECT_EQ(test, matched, !param->why);
	if (param->why)
		KUNIT_EXPECT_STREQ(test, why, param->why);
	else
		KUNIT_EXPECT_NULL(test, why);
}

/* The same through core: who does not match is attached, without IOV. */
static void match_attach(struct kunit *test)
{
	const struct match_param *param = test->param_value;
	struct iov_test *t = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_vf_buf *buf;

	buf = fake_vf_export(test, t->pdev[param->exporter], 0, PAGE_SIZE);
	attach = fake_attach_bars(test, buf, &t->pdev[param->importer]->dev,
				  &param->bar, 1);
	if (!param->why) {
		KUNIT_EXPECT_PTR_EQ(test, attach->interconnect,
				    &buf->offer.base);
		return;
	}

	KUNIT_EXPECT_NULL(test, attach->interconnect);
	KUNIT_EXPECT_NULL(test, to_dma_buf_iov_offer(attach->interconnect));
	ranges = imp_map(attach);
	KUNIT_EXPECT_PTR_EQ(test, ranges, ERR_PTR(-EOPNOTSUPP));
}

/* An importer that reaches behind several BARs finds the right one. */
static void match_several_bars(struct kunit *test)
{
	static const unsigned int bars[] = { SMALL_BAR, MEM_BAR };
	struct iov_test *t = test->priv;
	struct fake_vf_buf *buf = fake_vf_export(test, t->pdev[VF1], 0,
						 PAGE_SIZE);
	struct dma_buf_attachment *attach;

	attach = fake_attach_bars(test, buf, &t->pdev[PF]->dev, bars, 2);
	KUNIT_ASSERT_PTR_EQ(test, attach->interconnect, &buf->offer.base);
	KUNIT_EXPECT_EQ(test, to_dma_buf_iov_offer(attach->interconnect)->bar,
			MEM_BAR);
}

/* A device that is not of PCI is no PF. */
static void match_not_pci(struct kunit *test)
{
	static const unsigned int bar = MEM_BAR;
	struct iov_test *t = test->priv;
	struct fake_vf_buf *buf = fake_vf_export(test, t->pdev[VF1], 0,
						 PAGE_SIZE);
	struct device *dev = kunit_device_register(test, "no-pci");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	KUNIT_EXPECT_NULL(test, fake_attach_bars(test, buf, dev, &bar,
						 1)->interconnect);
}

/*
 * From attach to map
 */

/* What the PF learns: which VF, which BAR, which bytes of it. */
static void map_tells_vf_bar_and_bytes(struct kunit *test)
{
	static const int vfs[] = { VF1, VF2 };
	const struct dma_buf_iov_offer *iov;
	struct iov_test *t = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	const struct range *range;
	struct fake_vf_buf *buf;
	unsigned long index;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vfs); i++) {
		struct pci_dev *vf = t->pdev[vfs[i]];
		unsigned int found = 0;

		buf = fake_vf_export(test, vf, SZ_1M, SZ_2M);
		attach = fake_attach(test, buf, t->pdev[PF]);

		iov = to_dma_buf_iov_offer(attach->interconnect);
		KUNIT_ASSERT_NOT_NULL(test, iov);
		KUNIT_EXPECT_PTR_EQ(test, iov->vf, vf);
		KUNIT_EXPECT_PTR_EQ(test, iov->pf, t->pdev[PF]);
		KUNIT_EXPECT_EQ(test, iov->bar, MEM_BAR);

		/* Offsets in the BAR: nothing of where the BAR is. */
		ranges = imp_map(attach);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
		KUNIT_EXPECT_EQ(test, ranges->nr, 1);
		dma_buf_for_each_range(ranges, index, range) {
			KUNIT_EXPECT_EQ(test, range->start, SZ_1M);
			KUNIT_EXPECT_EQ(test, range->end, SZ_1M + SZ_2M - 1);
			found++;
		}
		KUNIT_EXPECT_EQ(test, found, 1);
		imp_unmap(attach, ranges);
	}
}

static const struct dma_buf_interconnect type_no_iov = {
	.name = "no-iov",
};

static void map_other_type_is_no_iov(struct kunit *test)
{
	const struct dma_buf_interconnect_offer offer = {
		.type = &type_no_iov,
	};

	KUNIT_EXPECT_NULL(test, to_dma_buf_iov_offer(&offer));
	KUNIT_EXPECT_NULL(test, to_dma_buf_iov_offer(NULL));
}

struct limit_param {
	const char *desc;
	u64 start;
	size_t size;
	int ret;
};

static const struct limit_param limit_params[] = {
	{ "first page", 0, PAGE_SIZE, 0 },
	{ "last page", MEM_BAR_SIZE - PAGE_SIZE, PAGE_SIZE, 0 },
	{ "the whole BAR", 0, MEM_BAR_SIZE, 0 },
	{ "a page past the end", MEM_BAR_SIZE - PAGE_SIZE, 2 * PAGE_SIZE, -EINVAL },
	{ "the page after the end", MEM_BAR_SIZE, PAGE_SIZE, -EINVAL },
	{ "more than the BAR", 0, MEM_BAR_SIZE + PAGE_SIZE, -EINVAL },
	{ "where the BAR is on the bus", SZ_2G, PAGE_SIZE, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(limit, limit_params, desc);

static void map_stays_inside_bar(struct kunit *test)
{
	const struct limit_param *param = test->param_value;
	struct iov_test *t = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_vf_buf *buf;

	buf = fake_vf_export(test, t->pdev[VF1], param->start, param->size);
	attach = fake_attach(test, buf, t->pdev[PF]);
	ranges = imp_map(attach);
	if (param->ret) {
		KUNIT_EXPECT_PTR_EQ(test, ranges, ERR_PTR(param->ret));
		return;
	}

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	imp_unmap(attach, ranges);
}

/*
 * Lifetime: the VF, or its PF as well, is taken off the bus while the buffer lives.
 */

static void lifetime_of_vf(struct kunit *test)
{
	const struct dma_buf_iov_offer *iov;
	struct iov_test *t = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_vf_buf *buf;

	buf = fake_vf_export(test, t->pdev[VF1], 0, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[VF1]), 2);
	KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[PF]), 2);

	/* Attachments and maps take no more; who attaches, holds the offer. */
	attach = fake_attach(test, buf, t->pdev[PF]);
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[VF1]), 2);
	KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[PF]), 2);

	/* The VF is gone from the bus, but what was agreed can be read. */
	kunit_release_action(test, fake_pdev_put, t->pdev[VF1]);
	iov = to_dma_buf_iov_offer(attach->interconnect);
	KUNIT_ASSERT_NOT_NULL(test, iov);
	KUNIT_EXPECT_PTR_EQ(test, iov->vf, t->pdev[VF1]);
	KUNIT_EXPECT_EQ(test, pdev_refs(iov->vf), 1);
	KUNIT_EXPECT_STREQ(test, pci_name(iov->vf), functions[VF1].name);

	imp_unmap(attach, ranges);
	kunit_release_action(test, fake_detach_action, attach);
	kunit_release_action(test, fake_vf_buf_put, buf);
	/* With the buffer went the VF, and the reference to the PF. */
	KUNIT_EXPECT_EQ(test, pdev_refs(t->pdev[PF]), 1);
}

/* The PF goes as well: the offer is what is left of both. */
static void lifetime_of_pf(struct kunit *test)
{
	const struct dma_buf_iov_offer *iov;
	struct iov_test *t = test->priv;
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_vf_buf *buf;
	struct pci_dev *pf;

	buf = fake_vf_export(test, t->pdev[VF1], 0, PAGE_SIZE);
	attach = fake_attach(test, buf, t->pdev[PF]);
	kunit_release_action(test, fake_pdev_put, t->pdev[VF1]);
	kunit_release_action(test, fake_pdev_put, t->pdev[VF2]);
	kunit_release_action(test, fake_pdev_put, t->pdev[PF]);

	iov = to_dma_buf_iov_offer(attach->interconnect);
	KUNIT_ASSERT_NOT_NULL(test, iov);
	KUNIT_EXPECT_PTR_EQ(test, iov->pf, t->pdev[PF]);
	KUNIT_EXPECT_EQ(test, pdev_refs(iov->pf), 1);
	KUNIT_EXPECT_EQ(test, pdev_refs(iov->vf), 1);
	KUNIT_EXPECT_STREQ(test, pci_name(iov->pf), functions[PF].name);
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	imp_unmap(attach, ranges);

	/* What comes back at the same place is another device. */
	pf = fake_pdev(test, functions[PF].name, NULL);
	KUNIT_EXPECT_NULL(test, fake_attach(test, buf, pf)->interconnect);
}

/* debugfs names both ends and the BAR. */
static void show_names_functions(struct kunit *test)
{
	struct seq_file s = { .size = 256 };
	struct iov_test *t = test->priv;
	struct fake_vf_buf *buf = fake_vf_export(test, t->pdev[VF2], 0,
						 PAGE_SIZE);

	s.buf = kunit_kzalloc(test, s.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s.buf);
	dma_buf_interconnect_iov.show(&s, &buf->offer.base);
	KUNIT_EXPECT_STREQ(test, s.buf, " pf=0000:03:00.0 vf=0000:03:00.2 bar=2");
}

static int iov_test_init(struct kunit *test)
{
	struct iov_test *t;
	struct pci_dev *pf;
	int i;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	test->priv = t;

	for (i = 0; i < NR_FUNCTIONS; i++) {
		pf = functions[i].pf < 0 ? NULL : t->pdev[functions[i].pf];
		t->pdev[i] = fake_pdev(test, functions[i].name, pf);
	}

	return 0;
}

static struct kunit_case iov_cases[] = {
	KUNIT_CASE_PARAM(offer_export, export_gen_params),
	KUNIT_CASE(offer_import),
	KUNIT_CASE_PARAM(match_rule, match_gen_params),
	KUNIT_CASE_PARAM(match_attach, match_gen_params),
	KUNIT_CASE(match_several_bars),
	KUNIT_CASE(match_not_pci),
	KUNIT_CASE(map_tells_vf_bar_and_bytes),
	KUNIT_CASE(map_other_type_is_no_iov),
	KUNIT_CASE_PARAM(map_stays_inside_bar, limit_gen_params),
	KUNIT_CASE(lifetime_of_vf),
	KUNIT_CASE(lifetime_of_pf),
	KUNIT_CASE(show_names_functions),
	{}
};

static struct kunit_suite iov_suite = {
	.name = "dma-buf-iov",
	.init = iov_test_init,
	.test_cases = iov_cases,
};

kunit_test_suite(iov_suite);
