// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for phys, the dma-buf interconnect between an owner of MMIO and an
 * IOMMU's page table: who may import, and at which addresses.
 */

#include <kunit/device.h>
#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-phys.h>
#include <linux/dma-resv.h>
#include <linux/kconfig.h>
#include <linux/sizes.h>

/* A buffer in two pieces of an address space in which nobody looks. */
#define MMIO_SIZE	(2 * PAGE_SIZE)

struct fake_mmio {
	struct dma_buf *dmabuf;
	struct dma_buf_interconnect_offer offer;
	const struct dma_buf_interconnect_offer *offers[1];
	struct range pieces[2];
};

static int fake_mmio_map(struct dma_buf_attachment *attach,
			 struct dma_buf_ranges *ranges)
{
	struct fake_mmio *mmio = attach->dmabuf->priv;

	if (WARN_ON(attach->interconnect != &mmio->offer))
		return -EINVAL;

	return dma_buf_ranges_add(ranges, mmio->pieces,
				  ARRAY_SIZE(mmio->pieces));
}

static void fake_mmio_unmap(struct dma_buf_attachment *attach,
			    struct dma_buf_ranges *ranges)
{
}

static const struct dma_buf_interconnect_ops fake_mmio_ops = {
	.map = fake_mmio_map,
	.unmap = fake_mmio_unmap,
};

static const struct dma_buf_interconnect_offer *const *
fake_mmio_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	struct fake_mmio *mmio = dmabuf->priv;

	*nr = ARRAY_SIZE(mmio->offers);
	return mmio->offers;
}

static struct sg_table *fake_mmio_map_sgt(struct dma_buf_attachment *attach,
					  enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void fake_mmio_unmap_sgt(struct dma_buf_attachment *attach,
				struct sg_table *sgt,
				enum dma_data_direction dir)
{
}

static void fake_mmio_release(struct dma_buf *dmabuf)
{
}

static const struct dma_buf_ops fake_mmio_dmabuf_ops = {
	.interconnect_offers = fake_mmio_offers,
	.map_dma_buf = fake_mmio_map_sgt,
	.unmap_dma_buf = fake_mmio_unmap_sgt,
	.release = fake_mmio_release,
};

static void fake_mmio_put(void *dmabuf)
{
	dma_buf_put(dmabuf);
}

static struct fake_mmio *fake_mmio_export(struct kunit *test, u64 first,
					  u64 second)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct fake_mmio *mmio;

	mmio = kunit_kzalloc(test, sizeof(*mmio), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, mmio);
	dma_buf_phys_offer_export(&mmio->offer, &fake_mmio_ops);
	mmio->offers[0] = &mmio->offer;
	mmio->pieces[0].start = first;
	mmio->pieces[0].end = first + PAGE_SIZE - 1;
	mmio->pieces[1].start = second;
	mmio->pieces[1].end = second + PAGE_SIZE - 1;

	exp_info.ops = &fake_mmio_dmabuf_ops;
	exp_info.size = MMIO_SIZE;
	exp_info.priv = mmio;
	mmio->dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mmio->dmabuf);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_mmio_put,
							   mmio->dmabuf));
	return mmio;
}

static void fake_invalidate(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops fake_importer_ops = {
	.invalidate_mappings = fake_invalidate,
};

static void fake_detach(void *data)
{
	struct dma_buf_attachment *attach = data;

	dma_buf_detach(attach->dmabuf, attach);
}

static struct dma_buf_attachment *
fake_attach(struct kunit *test, struct fake_mmio *mmio,
	    const struct dma_buf_interconnect_offer *offer)
{
	struct dma_buf_attachment *attach;
	struct device *dev = test->priv;

	attach = dma_buf_attach_interconnect(mmio->dmabuf, dev,
					     &fake_importer_ops, NULL, &offer,
					     1);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, fake_detach,
							   attach));
	return attach;
}

/* Whoever gets hold of the type, and makes an offer of it, is refused. */
static void forged_offer(struct kunit *test)
{
	struct fake_mmio *mmio = fake_mmio_export(test, SZ_1G, SZ_2G);
	const struct dma_buf_interconnect_offer forged = {
		.type = mmio->offer.type,
	};

	KUNIT_EXPECT_NULL(test, fake_attach(test, mmio, &forged)->interconnect);
	/* The exporter's own offer is none of an importer, either. */
	KUNIT_EXPECT_NULL(test,
			  fake_attach(test, mmio, &mmio->offer)->interconnect);
}

/*
 * The exporter's operations can be called without an agreement, by who looks them
 * up in its offers. That does not get the addresses.
 */
static void map_without_agreement(struct kunit *test)
{
	struct fake_mmio *mmio = fake_mmio_export(test, SZ_1G, SZ_2G);
	const struct dma_buf_interconnect_offer forged = {
		.type = mmio->offer.type,
	};
	struct dma_buf_attachment *attach = fake_attach(test, mmio, &forged);
	struct dma_buf_ranges ranges = {};

	dma_resv_lock(mmio->dmabuf->resv, NULL);
	kunit_warning_suppress(test) {
		KUNIT_EXPECT_EQ(test, -EINVAL,
				mmio->offer.ops->map(attach, &ranges));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	dma_resv_unlock(mmio->dmabuf->resv);
	KUNIT_EXPECT_EQ(test, ranges.nr, 0);
}

/* The importer's offer is for iommufd, and for those who need no symbol. */
#if IS_BUILTIN(CONFIG_DMABUF_KUNIT_TEST)
static struct dma_buf_ranges *map(struct dma_buf_attachment *attach)
{
	struct dma_buf_ranges *ranges;

	dma_resv_lock(attach->dmabuf->resv, NULL);
	ranges = dma_buf_map_interconnect(attach);
	dma_resv_unlock(attach->dmabuf->resv);
	return ranges;
}

static void unmap(struct dma_buf_attachment *attach,
		  struct dma_buf_ranges *ranges)
{
	dma_resv_lock(attach->dmabuf->resv, NULL);
	dma_buf_unmap_interconnect(attach, ranges);
	dma_resv_unlock(attach->dmabuf->resv);
}

static void real_offer(struct kunit *test)
{
	struct fake_mmio *mmio = fake_mmio_export(test, SZ_2G, SZ_1G);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;

	attach = fake_attach(test, mmio, dma_buf_phys_offer_import());
	KUNIT_ASSERT_PTR_EQ(test, attach->interconnect, &mmio->offer);
	KUNIT_EXPECT_STREQ(test, attach->interconnect->type->name, "phys");

	ranges = map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_EQ(test, ranges->nr, 2);
	KUNIT_EXPECT_EQ(test, dma_buf_ranges_load(ranges, 0)->start, SZ_2G);
	KUNIT_EXPECT_EQ(test, dma_buf_ranges_load(ranges, 1)->start, SZ_1G);
	unmap(attach, ranges);
}

/* What follows in memory what went before needs one range only. */
static void merged(struct kunit *test)
{
	struct fake_mmio *mmio = fake_mmio_export(test, SZ_1G,
						  SZ_1G + PAGE_SIZE);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;

	attach = fake_attach(test, mmio, dma_buf_phys_offer_import());
	ranges = map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_EQ(test, ranges->nr, 1);
	KUNIT_EXPECT_EQ(test, range_len(dma_buf_ranges_load(ranges, 0)),
			MMIO_SIZE);
	unmap(attach, ranges);
}

/* The last page that a phys_addr_t can name, and the one after it. */
static void last_address(struct kunit *test)
{
	const u64 last = (u64)PHYS_ADDR_MAX - PAGE_SIZE + 1;
	struct fake_mmio *mmio = fake_mmio_export(test, SZ_1G, last);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;

	attach = fake_attach(test, mmio, dma_buf_phys_offer_import());
	ranges = map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	unmap(attach, ranges);

	mmio = fake_mmio_export(test, SZ_1G, last + PAGE_SIZE);
	attach = fake_attach(test, mmio, dma_buf_phys_offer_import());
	/* 0 where a phys_addr_t has 64 bits: then that is no overflow. */
	if (last + PAGE_SIZE)
		KUNIT_EXPECT_EQ(test, PTR_ERR(map(attach)), -EINVAL);
}
#endif

static int phys_test_init(struct kunit *test)
{
	struct device *dev = kunit_device_register(test, "importer");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	test->priv = dev;
	return 0;
}

static struct kunit_case phys_cases[] = {
	KUNIT_CASE(forged_offer),
	KUNIT_CASE(map_without_agreement),
#if IS_BUILTIN(CONFIG_DMABUF_KUNIT_TEST)
	KUNIT_CASE(real_offer),
	KUNIT_CASE(merged),
	KUNIT_CASE(last_address),
#endif
	{}
};

static struct kunit_suite phys_suite = {
	.name = "dma-buf-phys",
	.init = phys_test_init,
	.test_cases = phys_cases,
};

kunit_test_suite(phys_suite);
