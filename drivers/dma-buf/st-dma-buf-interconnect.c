// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for dma-buf interconnects.
 *
 * Core is real: dma_buf_export(), attach, map, detach. Fake are
 *
 *  - the exporter, struct fake_buf: it has no memory, but a list of pieces that
 *    it hands out, right or wrong, and it counts what core calls;
 *  - the importer, struct fake_imp: it reads ranges and touches no memory;
 *  - the types: "plain" matches whoever offers it; "port" matches two ends with
 *    the same port number, may have a limit, and writes down whom it compared;
 *    "apart" is like "plain", but does not merge;
 *  - the devices, from kunit_device_register().
 *
 * When a test ends, every fake_buf checks that it was let go completely: all
 * attachments detached, all maps unmapped, no user left.
 */

#include <kunit/device.h>
#include <kunit/resource.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/dma-resv.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmstat.h>
#include <linux/wait.h>

#include "dma-buf-interconnect-internal.h"

/* A range from one page to another, both included. */
#define PAGES(first, last) { \
	.start = (u64)(first) * PAGE_SIZE, \
	.end = ((u64)(last) + 1) * PAGE_SIZE - 1, \
}

/* The last page of the address space, and the page number of its half. */
#define TOP_PAGE	(U64_MAX / PAGE_SIZE)
#define HALF_PAGE	(TOP_PAGE / 2 + 1)

/* Bytes from one page to another, both included. */
#define BYTES(first, last) (((u64)(last) - (first) + 1) * PAGE_SIZE)

#define SGT_ADDR	SZ_16M		/* what the fake exporter maps for DMA */

#define FAKE_TIMEOUT	(10 * HZ)

/*
 * The fake types and their offers
 */

#define PORT_ANY	0	/* in an exporter's offer: takes every importer */

struct fake_offer {
	struct dma_buf_interconnect_offer base;
	unsigned int port;
	u64 limit;
};

static const struct fake_offer *
to_fake_offer(const struct dma_buf_interconnect_offer *offer)
{
	return container_of(offer, struct fake_offer, base);
}

/* Whom the type "port" compared since the test began. */
static struct {
	struct device *dev;
	const struct dma_buf_interconnect_offer *exp;
	const struct dma_buf_interconnect_offer *imp;
} fake_matches[8];

static unsigned int fake_nr_matches;

static bool fake_match(const struct dma_buf_attachment *attach,
		       const struct dma_buf_interconnect_offer *exp,
		       const struct dma_buf_interconnect_offer *imp,
		       const char **why)
{
	const struct fake_offer *e = to_fake_offer(exp);
	const struct fake_offer *i = to_fake_offer(imp);

	if (fake_nr_matches < ARRAY_SIZE(fake_matches)) {
		fake_matches[fake_nr_matches].dev = attach->dev;
		fake_matches[fake_nr_matches].exp = exp;
		fake_matches[fake_nr_matches].imp = imp;
	}
	fake_nr_matches++;

	if (e->port == PORT_ANY || e->port == i->port)
		return true;

	*why = "another port";
	return false;
}

static u64 fake_limit(const struct dma_buf_interconnect_offer *exp)
{
	return to_fake_offer(exp)->limit;
}

static void fake_show(struct seq_file *s,
		      const struct dma_buf_interconnect_offer *exp)
{
	seq_printf(s, " port=%u", to_fake_offer(exp)->port);
}

static const struct dma_buf_interconnect type_plain = {
	.name = "plain",
	.merge = true,
};

static const struct dma_buf_interconnect type_other = {
	.name = "other",
	.merge = true,
};

static const struct dma_buf_interconnect type_apart = {
	.name = "apart",
};

static const struct dma_buf_interconnect type_port = {
	.name = "port",
	.merge = true,
	.match = fake_match,
	.limit = fake_limit,
	.show = fake_show,
};

static int fake_map(struct dma_buf_attachment *attach,
		    struct dma_buf_ranges *ranges);
static void fake_unmap(struct dma_buf_attachment *attach,
		       struct dma_buf_ranges *ranges);

static const struct dma_buf_interconnect_ops fake_ops = {
	.map = fake_map,
	.unmap = fake_unmap,
};

#define FAKE_EXPORTER(_type, ...) { \
	.base = { .type = &(_type), .ops = &fake_ops }, __VA_ARGS__ \
}

#define FAKE_IMPORTER(_type, ...) { \
	.base = { .type = &(_type) }, __VA_ARGS__ \
}

#define LIMIT_PAGE	99	/* last page of a "port" exporter */
#define LIMIT		BYTES(0, LIMIT_PAGE)

static const struct fake_offer exp_plain = FAKE_EXPORTER(type_plain);
static const struct fake_offer exp_other = FAKE_EXPORTER(type_other);
static const struct fake_offer exp_apart = FAKE_EXPORTER(type_apart);
static const struct fake_offer exp_port1 =
	FAKE_EXPORTER(type_port, .port = 1, .limit = LIMIT - 1);
static const struct fake_offer exp_port2 =
	FAKE_EXPORTER(type_port, .port = 2, .limit = LIMIT - 1);
static const struct fake_offer exp_any_port =
	FAKE_EXPORTER(type_port, .port = PORT_ANY, .limit = LIMIT - 1);

static const struct fake_offer imp_plain = FAKE_IMPORTER(type_plain);
static const struct fake_offer imp_other = FAKE_IMPORTER(type_other);
static const struct fake_offer imp_apart = FAKE_IMPORTER(type_apart);
static const struct fake_offer imp_port1 = FAKE_IMPORTER(type_port, .port = 1);
static const struct fake_offer imp_port2 = FAKE_IMPORTER(type_port, .port = 2);
static const struct fake_offer imp_port3 = FAKE_IMPORTER(type_port, .port = 3);

/* A list of offers, as long as there are arguments. */
#define OFFERS(...) \
	((const struct dma_buf_interconnect_offer *const []) { __VA_ARGS__ })

/*
 * The fake exporter
 */

/* How many pieces the exporter adds at a time. */
enum fake_batch {
	BATCH_ALL = 0,
	/* a number of pieces, or: 1, then 3, then 5, ... and a few times none */
	BATCH_ODD = UINT_MAX,
};

struct fake_buf {
	struct kunit *test;
	struct dma_buf *dmabuf;
	struct completion released;
	wait_queue_head_t wait;

	/* what the exporter does */
	const struct dma_buf_interconnect_offer *const *offers;
	unsigned int nr_offers;
	const struct range *pieces;
	unsigned int nr_pieces;
	unsigned int batch;
	int attach_err;
	int map_err;		/* returned after the pieces were added */
	bool ignore_add_err;
	bool revoked;		/* under the reservation lock */

	/* what was asked of it */
	unsigned int attached;
	unsigned int detached;
	unsigned int map_calls;
	unsigned int maps;	/* that returned 0 */
	unsigned int unmaps;
	unsigned int sg_maps;
	unsigned int sg_unmaps;
	unsigned int users;	/* references taken in map, dropped in unmap */
	unsigned int add_calls;
	int add_err;		/* of the last add that failed */
	const struct dma_buf_interconnect_offer *seen;	/* in attach */
};

static const struct dma_buf_interconnect_offer *const *
fake_interconnect_offers(struct dma_buf *dmabuf, unsigned int *nr)
{
	struct fake_buf *buf = dmabuf->priv;

	*nr = buf->nr_offers;
	return buf->offers;
}

static int fake_attach(struct dma_buf *dmabuf,
		       struct dma_buf_attachment *attach)
{
	struct fake_buf *buf = dmabuf->priv;

	buf->seen = attach->interconnect;
	if (buf->attach_err)
		return buf->attach_err;

	buf->attached++;
	return 0;
}

static void fake_detach(struct dma_buf *dmabuf,
			struct dma_buf_attachment *attach)
{
	struct fake_buf *buf = dmabuf->priv;

	buf->detached++;
}

static unsigned int fake_batch_nr(const struct fake_buf *buf,
				  unsigned int left, unsigned int call)
{
	switch (buf->batch) {
	case BATCH_ALL:
		return left;
	case BATCH_ODD:
		return call % 5 == 4 ? 0 : min(left, 2 * call + 1);
	default:
		return min(left, buf->batch);
	}
}

static int fake_add_pieces(struct fake_buf *buf, struct dma_buf_ranges *ranges)
{
	unsigned int nr, call = 0, done = 0;
	int ret;

	while (done < buf->nr_pieces) {
		nr = fake_batch_nr(buf, buf->nr_pieces - done, call++);
		ret = dma_buf_ranges_add(ranges, buf->pieces + done, nr);
		buf->add_calls++;
		if (ret) {
			buf->add_err = ret;
			if (!buf->ignore_add_err)
				return ret;
		}
		done += nr;
	}

	return 0;
}

static int fake_map(struct dma_buf_attachment *attach,
		    struct dma_buf_ranges *ranges)
{
	struct fake_buf *buf = attach->dmabuf->priv;
	int ret;

	dma_resv_assert_held(attach->dmabuf->resv);

	buf->map_calls++;
	if (buf->revoked)
		return -ENODEV;

	ret = fake_add_pieces(buf, ranges);
	if (!ret)
		ret = buf->map_err;
	if (ret)
		return ret;

	buf->maps++;
	WRITE_ONCE(buf->users, buf->users + 1);
	wake_up_all(&buf->wait);
	return 0;
}

static void fake_unmap(struct dma_buf_attachment *attach,
		       struct dma_buf_ranges *ranges)
{
	struct fake_buf *buf = attach->dmabuf->priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	buf->unmaps++;
	WRITE_ONCE(buf->users, buf->users - 1);
	wake_up_all(&buf->wait);
}

static struct sg_table *fake_map_sgt(struct dma_buf_attachment *attach,
				     enum dma_data_direction dir)
{
	struct fake_buf *buf = attach->dmabuf->priv;
	struct sg_table *sgt;
	int ret;

	sgt = kzalloc_obj(*sgt);
	if (!sgt)
		return ERR_PTR(-ENOMEM);

	ret = sg_alloc_table(sgt, 1, GFP_KERNEL);
	if (ret) {
		kfree(sgt);
		return ERR_PTR(ret);
	}

	sg_dma_address(sgt->sgl) = SGT_ADDR;
	sg_dma_len(sgt->sgl) = attach->dmabuf->size;
	buf->sg_maps++;
	return sgt;
}

static void fake_unmap_sgt(struct dma_buf_attachment *attach,
			   struct sg_table *sgt, enum dma_data_direction dir)
{
	struct fake_buf *buf = attach->dmabuf->priv;

	sg_free_table(sgt);
	kfree(sgt);
	buf->sg_unmaps++;
}

static void fake_release(struct dma_buf *dmabuf)
{
	struct fake_buf *buf = dmabuf->priv;

	complete(&buf->released);
}

static const struct dma_buf_ops fake_dmabuf_ops = {
	.interconnect_offers = fake_interconnect_offers,
	.attach = fake_attach,
	.detach = fake_detach,
	.map_dma_buf = fake_map_sgt,
	.unmap_dma_buf = fake_unmap_sgt,
	.release = fake_release,
};

/* An exporter as there are today. */
static const struct dma_buf_ops fake_sg_dmabuf_ops = {
	.attach = fake_attach,
	.detach = fake_detach,
	.map_dma_buf = fake_map_sgt,
	.unmap_dma_buf = fake_unmap_sgt,
	.release = fake_release,
};

/* The end of every test: is nobody attached any more, and no map left? */
static void fake_buf_put(void *data)
{
	struct fake_buf *buf = data;

	dma_buf_put(buf->dmabuf);
	KUNIT_EXPECT_NE(buf->test, 0,
			wait_for_completion_timeout(&buf->released,
						    FAKE_TIMEOUT));

	KUNIT_EXPECT_EQ(buf->test, buf->attached, buf->detached);
	KUNIT_EXPECT_EQ(buf->test, buf->maps, buf->unmaps);
	KUNIT_EXPECT_EQ(buf->test, buf->sg_maps, buf->sg_unmaps);
	KUNIT_EXPECT_EQ(buf->test, buf->users, 0);
}

static struct fake_buf *fake_export_ops(struct kunit *test, size_t size,
					const struct dma_buf_ops *ops)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct fake_buf *buf;

	buf = kunit_kzalloc(test, sizeof(*buf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	buf->test = test;
	init_completion(&buf->released);
	init_waitqueue_head(&buf->wait);

	exp_info.ops = ops;
	exp_info.size = size;
	exp_info.priv = buf;
	buf->dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf->dmabuf);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_buf_put, buf));
	return buf;
}

/* A buffer that offers "plain" and hands out @pieces. */
static struct fake_buf *fake_export(struct kunit *test, u64 size,
				    const struct range *pieces, unsigned int nr)
{
	static const struct dma_buf_interconnect_offer *const offers[] = {
		&exp_plain.base,
	};
	struct fake_buf *buf;

	if (size > SIZE_MAX)
		kunit_skip(test, "no buffer of that size on this machine");

	buf = fake_export_ops(test, size, &fake_dmabuf_ops);
	buf->offers = offers;
	buf->nr_offers = ARRAY_SIZE(offers);
	buf->pieces = pieces;
	buf->nr_pieces = nr;
	return buf;
}

/* The simplest of them. */
static const struct range one_page[] = { PAGES(7, 7) };

static struct fake_buf *fake_export_page(struct kunit *test)
{
	return fake_export(test, PAGE_SIZE, one_page, ARRAY_SIZE(one_page));
}

/* Revoke the buffer, or make it usable again. */
static void fake_revoke(struct fake_buf *buf, bool revoked)
{
	dma_resv_lock(buf->dmabuf->resv, NULL);
	buf->revoked = revoked;
	dma_buf_invalidate_mappings(buf->dmabuf);
	dma_resv_unlock(buf->dmabuf->resv);
}

/*
 * The fake importer
 */

struct fake_imp {
	struct dma_buf_ranges *ranges;	/* under the reservation lock */
	bool unmap_at_once;		/* inside invalidate_mappings */
	unsigned int invalidated;
};

static void fake_invalidate(struct dma_buf_attachment *attach)
{
	struct fake_imp *imp = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (!imp)
		return;

	imp->invalidated++;
	if (imp->unmap_at_once && imp->ranges) {
		dma_buf_unmap_interconnect(attach, imp->ranges);
		imp->ranges = NULL;
	}
}

static const struct dma_buf_attach_ops fake_importer_ops = {
	.invalidate_mappings = fake_invalidate,
};

static const struct dma_buf_attach_ops fake_pinning_importer_ops = {
	.allow_peer2peer = true,
};

static void fake_detach_action(void *data)
{
	struct dma_buf_attachment *attach = data;

	dma_buf_detach(attach->dmabuf, attach);
}

/* Detach at the end of the test, if fake_detach_now() does not do it before. */
static struct dma_buf_attachment *
fake_detach_later(struct kunit *test, struct dma_buf_attachment *attach)
{
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, attach);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, fake_detach_action,
						  attach));
	return attach;
}

static void fake_detach_now(struct kunit *test,
			    struct dma_buf_attachment *attach)
{
	kunit_release_action(test, fake_detach_action, attach);
}

static struct dma_buf_attachment *
fake_attach_offers(struct kunit *test, struct fake_buf *buf,
		   const struct dma_buf_attach_ops *ops, struct fake_imp *imp,
		   const struct dma_buf_interconnect_offer *const *offers,
		   unsigned int nr)
{
	struct device *dev = test->priv;

	return fake_detach_later(test,
				 dma_buf_attach_interconnect(buf->dmabuf, dev, ops,
							     imp, offers, nr));
}

/* An importer of everything that does not depend on a port. */
static struct dma_buf_attachment *
fake_attach_imp(struct kunit *test, struct fake_buf *buf, struct fake_imp *imp)
{
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, &fake_importer_ops, imp,
				    OFFERS(&imp_plain.base, &imp_apart.base,
					   &imp_port1.base), 3);
	KUNIT_ASSERT_NOT_NULL(test, attach->interconnect);
	return attach;
}

/* An importer as there are today. */
static struct dma_buf_attachment *
fake_attach_sg(struct kunit *test, struct fake_buf *buf)
{
	struct device *dev = test->priv;

	return fake_detach_later(test,
				 dma_buf_dynamic_attach(buf->dmabuf, dev,
							&fake_importer_ops,
							NULL));
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

/* Are @ranges the @nr ranges @expected, at dense indices? */
static bool ranges_are(struct dma_buf_ranges *ranges,
		       const struct range *expected, unsigned int nr)
{
	const struct range *range;
	unsigned long index;
	unsigned int i = 0;
	u64 size = 0;

	dma_buf_for_each_range(ranges, index, range) {
		if (index != i || i == nr ||
		    range->start != expected[i].start ||
		    range->end != expected[i].end)
			return false;
		size += range_len(range);
		i++;
	}

	return i == nr && ranges->nr == nr && ranges->size == size;
}

/* Map, compare with @expected, unmap. */
static void expect_maps_to(struct kunit *test,
			   struct dma_buf_attachment *attach,
			   const struct range *expected, unsigned int nr)
{
	struct dma_buf_ranges *ranges = imp_map(attach);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_EQ(test, ranges->nr, nr);
	KUNIT_EXPECT_EQ(test, ranges->size, attach->dmabuf->size);
	KUNIT_EXPECT_TRUE(test, ranges_are(ranges, expected, nr));
	KUNIT_EXPECT_NULL(test, dma_buf_ranges_load(ranges, nr));
	imp_unmap(attach, ranges);
}

static void expect_map_fails(struct kunit *test,
			     struct dma_buf_attachment *attach, int err)
{
	struct dma_buf_ranges *ranges = imp_map(attach);

	KUNIT_EXPECT_PTR_EQ(test, ranges, ERR_PTR(err));
	if (!IS_ERR_OR_NULL(ranges))
		imp_unmap(attach, ranges);
}

/*
 * Negotiation
 */

#define MAX_OFFERS	3

struct negotiate_param {
	const char *desc;
	const struct fake_offer *exp[MAX_OFFERS];
	const struct fake_offer *imp[MAX_OFFERS];
	const struct fake_offer *agreed;
	/* pairs that the type "port" compares, in this order */
	unsigned int nr_matches;
	struct {
		const struct fake_offer *exp;
		const struct fake_offer *imp;
	} matches[4];
};

static const struct negotiate_param negotiate_params[] = {
	{
		.desc = "nobody offers anything",
	}, {
		.desc = "exporter offers nothing",
		.imp = { &imp_plain, &imp_port1 },
	}, {
		.desc = "importer offers nothing",
		.exp = { &exp_plain, &exp_port1 },
	}, {
		.desc = "no type in common",
		.exp = { &exp_plain, &exp_port1 },
		.imp = { &imp_other },
	}, {
		.desc = "type without a match rule",
		.exp = { &exp_plain },
		.imp = { &imp_plain },
		.agreed = &exp_plain,
	}, {
		.desc = "match rule accepts",
		.exp = { &exp_port1 },
		.imp = { &imp_port1 },
		.agreed = &exp_port1,
		.nr_matches = 1,
		.matches = { { &exp_port1, &imp_port1 } },
	}, {
		.desc = "match rule refuses",
		.exp = { &exp_port1 },
		.imp = { &imp_port2 },
		.nr_matches = 1,
		.matches = { { &exp_port1, &imp_port2 } },
	}, {
		.desc = "exporter's order beats importer's",
		.exp = { &exp_plain, &exp_other },
		.imp = { &imp_other, &imp_plain },
		.agreed = &exp_plain,
	}, {
		.desc = "exporter's order beats importer's, turned round",
		.exp = { &exp_other, &exp_plain },
		.imp = { &imp_plain, &imp_other },
		.agreed = &exp_other,
	}, {
		.desc = "exporter's first type is not offered",
		.exp = { &exp_other, &exp_apart, &exp_plain },
		.imp = { &imp_plain },
		.agreed = &exp_plain,
	}, {
		.desc = "importer's order within a type",
		.exp = { &exp_any_port },
		.imp = { &imp_port2, &imp_port1 },
		.agreed = &exp_any_port,
		.nr_matches = 1,
		.matches = { { &exp_any_port, &imp_port2 } },
	}, {
		.desc = "refused, next of the importer's offers",
		.exp = { &exp_port1 },
		.imp = { &imp_port3, &imp_other, &imp_port1 },
		.agreed = &exp_port1,
		.nr_matches = 2,
		.matches = {
			{ &exp_port1, &imp_port3 },
			{ &exp_port1, &imp_port1 },
		},
	}, {
		.desc = "refused, next of the exporter's offers",
		.exp = { &exp_port1, &exp_other, &exp_plain },
		.imp = { &imp_port2, &imp_plain },
		.agreed = &exp_plain,
		.nr_matches = 1,
		.matches = { { &exp_port1, &imp_port2 } },
	}, {
		.desc = "refused, next offer of the same type",
		.exp = { &exp_port1, &exp_port2 },
		.imp = { &imp_port3, &imp_port2 },
		.agreed = &exp_port2,
		.nr_matches = 4,
		.matches = {
			{ &exp_port1, &imp_port3 },
			{ &exp_port1, &imp_port2 },
			{ &exp_port2, &imp_port3 },
			{ &exp_port2, &imp_port2 },
		},
	}, {
		.desc = "all pairs refused",
		.exp = { &exp_port1, &exp_port2 },
		.imp = { &imp_port3 },
		.nr_matches = 2,
		.matches = {
			{ &exp_port1, &imp_port3 },
			{ &exp_port2, &imp_port3 },
		},
	},
};

KUNIT_ARRAY_PARAM_DESC(negotiate, negotiate_params, desc);

/* A parameter's offers, as lists of base offers. */
struct negotiate_lists {
	const struct dma_buf_interconnect_offer *exp[MAX_OFFERS];
	const struct dma_buf_interconnect_offer *imp[MAX_OFFERS];
	unsigned int nr_exp;
	unsigned int nr_imp;
};

static struct negotiate_lists *
negotiate_lists(struct kunit *test, const struct negotiate_param *param)
{
	struct negotiate_lists *lists;

	lists = kunit_kzalloc(test, sizeof(*lists), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, lists);

	while (lists->nr_exp < MAX_OFFERS && param->exp[lists->nr_exp]) {
		lists->exp[lists->nr_exp] = &param->exp[lists->nr_exp]->base;
		lists->nr_exp++;
	}

	while (lists->nr_imp < MAX_OFFERS && param->imp[lists->nr_imp]) {
		lists->imp[lists->nr_imp] = &param->imp[lists->nr_imp]->base;
		lists->nr_imp++;
	}

	return lists;
}

static void negotiate(struct kunit *test)
{
	const struct negotiate_param *param = test->param_value;
	struct negotiate_lists *lists = negotiate_lists(test, param);
	struct fake_buf *buf = fake_export_page(test);
	const struct dma_buf_interconnect_offer *agreed =
		param->agreed ? &param->agreed->base : NULL;
	struct dma_buf_attachment *attach;
	unsigned int i;

	buf->offers = lists->exp;
	buf->nr_offers = lists->nr_exp;
	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				    lists->imp, lists->nr_imp);

	KUNIT_EXPECT_PTR_EQ(test, attach->interconnect, agreed);
	KUNIT_EXPECT_PTR_EQ(test, buf->seen, agreed);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);

	KUNIT_ASSERT_EQ(test, fake_nr_matches, param->nr_matches);
	for (i = 0; i < param->nr_matches; i++) {
		KUNIT_EXPECT_PTR_EQ(test, fake_matches[i].dev,
				    (struct device *)test->priv);
		KUNIT_EXPECT_PTR_EQ(test, fake_matches[i].exp,
				    &param->matches[i].exp->base);
		KUNIT_EXPECT_PTR_EQ(test, fake_matches[i].imp,
				    &param->matches[i].imp->base);
	}
}

/* NULL is a list, too, if its length is 0. */
static void negotiate_null_lists(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL, NULL,
				    0);
	KUNIT_EXPECT_NULL(test, attach->interconnect);

	buf->offers = NULL;
	buf->nr_offers = 0;
	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				    OFFERS(&imp_plain.base), 1);
	KUNIT_EXPECT_NULL(test, attach->interconnect);
}

/* Offers of an exporter that core could not use. */
static const struct dma_buf_interconnect_ops ops_without_map = {
	.unmap = fake_unmap,
};

static const struct dma_buf_interconnect_ops ops_without_unmap = {
	.map = fake_map,
};

static const struct fake_offer exp_no_type = { .base = { .ops = &fake_ops } };
static const struct fake_offer exp_no_ops = { .base = { .type = &type_plain } };
static const struct fake_offer exp_no_map = {
	.base = { .type = &type_plain, .ops = &ops_without_map },
};

static const struct fake_offer exp_no_unmap = {
	.base = { .type = &type_plain, .ops = &ops_without_unmap },
};

struct broken_param {
	const char *desc;
	const struct fake_offer *exp;
};

static const struct broken_param broken_params[] = {
	{ "without a type", &exp_no_type },
	{ "without ops", &exp_no_ops },
	{ "without map", &exp_no_map },
	{ "without unmap", &exp_no_unmap },
};

KUNIT_ARRAY_PARAM_DESC(broken, broken_params, desc);

/*
 * They count as not offered, and core warns, once since boot at the most. The
 * exporter's other offers are not affected.
 */
static void negotiate_broken_offer(struct kunit *test)
{
	const struct broken_param *param = test->param_value;
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;

	kunit_warning_suppress(test) {
		buf->offers = OFFERS(&param->exp->base);
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    OFFERS(&imp_plain.base), 1);
		KUNIT_EXPECT_NULL(test, attach->interconnect);
		expect_map_fails(test, attach, -EOPNOTSUPP);

		buf->offers = OFFERS(&param->exp->base, &exp_plain.base);
		buf->nr_offers = 2;
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    OFFERS(&imp_plain.base), 1);
		KUNIT_EXPECT_PTR_EQ(test, attach->interconnect,
				    &exp_plain.base);
	}
	expect_maps_to(test, attach, one_page, 1);
}

/* The same for what is not even an offer, or an importer's. */
static void negotiate_broken_list(struct kunit *test)
{
	static const struct fake_offer no_type;
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;

	kunit_warning_suppress(test) {
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    NULL, 1);
		KUNIT_EXPECT_NULL(test, attach->interconnect);
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    OFFERS(NULL, &no_type.base), 2);
		KUNIT_EXPECT_NULL(test, attach->interconnect);

		buf->offers = OFFERS(NULL);
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    OFFERS(&imp_plain.base), 1);
		KUNIT_EXPECT_NULL(test, attach->interconnect);
		buf->offers = NULL;
		attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
					    OFFERS(&imp_plain.base), 1);
		KUNIT_EXPECT_NULL(test, attach->interconnect);
	}
}

/* The exporter has no interconnect_offers(). */
static void negotiate_exporter_without_callback(struct kunit *test)
{
	struct fake_buf *buf = fake_export_ops(test, PAGE_SIZE,
					       &fake_sg_dmabuf_ops);
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				    OFFERS(&imp_plain.base), 1);
	KUNIT_EXPECT_NULL(test, attach->interconnect);
	expect_map_fails(test, attach, -EOPNOTSUPP);
}

/* Who cannot be told to let go gets nothing, whatever it offers. */
static void negotiate_importer_not_revocable(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, NULL, NULL,
				    OFFERS(&imp_plain.base), 1);
	KUNIT_EXPECT_NULL(test, attach->interconnect);
	expect_map_fails(test, attach, -EOPNOTSUPP);

	attach = fake_attach_offers(test, buf, &fake_pinning_importer_ops, NULL,
				    OFFERS(&imp_plain.base), 1);
	KUNIT_EXPECT_NULL(test, attach->interconnect);
	expect_map_fails(test, attach, -EOPNOTSUPP);

	KUNIT_EXPECT_EQ(test, buf->map_calls, 0);
}

/* The calls that take no offers make none. */
static void negotiate_not_in_other_attach_calls(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct device *dev = test->priv;
	struct dma_buf_attachment *attach;

	attach = fake_attach_sg(test, buf);
	KUNIT_EXPECT_NULL(test, attach->interconnect);
	KUNIT_EXPECT_NULL(test, buf->seen);

	attach = fake_detach_later(test, dma_buf_attach(buf->dmabuf, dev));
	KUNIT_EXPECT_NULL(test, attach->interconnect);
	KUNIT_EXPECT_NULL(test, buf->seen);
}

/* The exporter may refuse what was agreed, or that nothing was. */
static void negotiate_exporter_refuses_attach(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct device *dev = test->priv;
	struct dma_buf_attachment *attach;

	buf->attach_err = -EBUSY;
	attach = dma_buf_attach_interconnect(buf->dmabuf, dev,
					     &fake_importer_ops, NULL,
					     OFFERS(&imp_plain.base), 1);
	KUNIT_EXPECT_PTR_EQ(test, attach, ERR_PTR(-EBUSY));
	KUNIT_EXPECT_PTR_EQ(test, buf->seen, &exp_plain.base);
	KUNIT_EXPECT_TRUE(test, list_empty(&buf->dmabuf->attachments));

	attach = dma_buf_attach_interconnect(buf->dmabuf, dev,
					     &fake_importer_ops, NULL,
					     OFFERS(&imp_other.base), 1);
	KUNIT_EXPECT_PTR_EQ(test, attach, ERR_PTR(-EBUSY));
	KUNIT_EXPECT_NULL(test, buf->seen);
	KUNIT_EXPECT_TRUE(test, list_empty(&buf->dmabuf->attachments));

	KUNIT_EXPECT_EQ(test, buf->attached, 0);
	KUNIT_EXPECT_EQ(test, buf->detached, 0);
}

/* What one importer agreed on is nothing to the next. */
static void negotiate_each_attachment_for_itself(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *plain, *port, *none;

	buf->offers = OFFERS(&exp_port1.base, &exp_plain.base);
	buf->nr_offers = 2;

	plain = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				   OFFERS(&imp_plain.base), 1);
	port = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				  OFFERS(&imp_plain.base, &imp_port1.base), 2);
	none = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				  OFFERS(&imp_other.base), 1);

	KUNIT_EXPECT_PTR_EQ(test, plain->interconnect, &exp_plain.base);
	KUNIT_EXPECT_PTR_EQ(test, port->interconnect, &exp_port1.base);
	KUNIT_EXPECT_NULL(test, none->interconnect);

	expect_maps_to(test, plain, one_page, 1);
	expect_maps_to(test, port, one_page, 1);
	expect_map_fails(test, none, -EOPNOTSUPP);
}

/* An importer's offers need not outlive the attach call. */
static void negotiate_importer_offers_on_stack(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct fake_offer offer = imp_plain;
	const struct dma_buf_interconnect_offer *list[] = { &offer.base };
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL, list,
				    ARRAY_SIZE(list));
	memset(&offer, POISON_FREE, sizeof(offer));
	memset(list, POISON_FREE, sizeof(list));

	KUNIT_ASSERT_PTR_EQ(test, attach->interconnect, &exp_plain.base);
	expect_maps_to(test, attach, one_page, 1);
}

/*
 * One attachment, one kind of mapping
 */

static void kinds_map_sg_on_interconnect(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);
	struct dma_buf_ranges *ranges;
	struct sg_table *sgt;

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_PTR_EQ(test, sgt, ERR_PTR(-EOPNOTSUPP));
	KUNIT_EXPECT_EQ(test, buf->sg_maps, 0);

	/* Also while there is a map to ranges, and that stays whole. */
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_PTR_EQ(test, sgt, ERR_PTR(-EOPNOTSUPP));
	KUNIT_EXPECT_EQ(test, buf->sg_maps, 0);
	KUNIT_EXPECT_TRUE(test, ranges_are(ranges, one_page, 1));
	imp_unmap(attach, ranges);
}

static void kinds_map_interconnect_on_sg(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_sg(test, buf);

	expect_map_fails(test, attach, -EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, buf->map_calls, 0);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);
}

static void expect_sg_works(struct kunit *test, struct fake_buf *buf,
			    struct dma_buf_attachment *attach)
{
	unsigned int maps = buf->sg_maps;
	struct sg_table *sgt;

	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	KUNIT_EXPECT_EQ(test, sgt->nents, 1);
	KUNIT_EXPECT_EQ(test, sg_dma_address(sgt->sgl), SGT_ADDR);
	KUNIT_EXPECT_EQ(test, sg_dma_len(sgt->sgl), buf->dmabuf->size);
	KUNIT_EXPECT_EQ(test, buf->sg_maps, maps + 1);

	dma_buf_unmap_attachment_unlocked(attach, sgt, DMA_BIDIRECTIONAL);
	KUNIT_EXPECT_EQ(test, buf->sg_unmaps, maps + 1);
	KUNIT_EXPECT_EQ(test, buf->map_calls, 0);
}

/* Importers that know nothing of interconnects see no difference. */
static void kinds_sg_importers_unchanged(struct kunit *test)
{
	struct fake_buf *with = fake_export_page(test);
	struct fake_buf *without = fake_export_ops(test, PAGE_SIZE,
						   &fake_sg_dmabuf_ops);
	struct device *dev = test->priv;

	expect_sg_works(test, with, fake_attach_sg(test, with));
	expect_sg_works(test, without, fake_attach_sg(test, without));
	expect_sg_works(test, with,
			fake_detach_later(test,
					  dma_buf_attach(with->dmabuf, dev)));
	expect_sg_works(test, without,
			fake_detach_later(test,
					  dma_buf_attach(without->dmabuf,
							 dev)));
}

/* One that would have liked an interconnect, but found none, uses sg_table. */
static void kinds_sg_if_nothing_agreed(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;

	attach = fake_attach_offers(test, buf, &fake_importer_ops, NULL,
				    OFFERS(&imp_other.base), 1);
	expect_sg_works(test, buf, attach);
}

/* No silent fallback after attach: fall back by attaching again. */
static void kinds_fall_back_by_reattach(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);

	buf->map_err = -EXDEV;
	expect_map_fails(test, attach, -EXDEV);
	fake_detach_now(test, attach);

	buf->map_calls = 0;
	expect_sg_works(test, buf, fake_attach_sg(test, buf));
}

/*
 * Ranges: order and indices
 */

/*
 * The numbers of ranges around which something changes in core or in the xarray:
 * a single range, a run that grows, a full run, a full xarray node.
 */
#define RUN	DMA_BUF_RANGES_PER_RUN

static const unsigned int order_params[] = {
	1, 2, 3, 4, 5, 63, 64, 65, RUN - 1, RUN, RUN + 1, 2 * RUN - 1, 2 * RUN,
	2 * RUN + 1, 16 * RUN, 64 * RUN, 64 * RUN + 1, 100000,
};

static void order_desc(const unsigned int *nr, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%u ranges", *nr);
}

KUNIT_ARRAY_PARAM(order, order_params, order_desc);

static void kvfree_action(void *p)
{
	kvfree(p);
}

static struct range *alloc_pieces(struct kunit *test, unsigned int nr)
{
	struct range *pieces = kvmalloc_objs(*pieces, nr);

	KUNIT_ASSERT_NOT_NULL(test, pieces);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, kvfree_action, pieces));
	return pieces;
}

/* Every fourth page or more, backwards, so that none continues another. */
static void fill_pages(struct range *range, unsigned int nr,
		       unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		u64 page = (u64)(nr - i) * 4;

		range[i] = (struct range)PAGES(page, page + pages - 1);
	}
}

static const unsigned int batches[] = { BATCH_ALL, 1, 2, 7, 64, BATCH_ODD };

static void order_dense(struct kunit *test)
{
	unsigned int i, nr = *(const unsigned int *)test->param_value;
	struct range *pieces = alloc_pieces(test, nr);
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;

	fill_pages(pieces, nr, 1);
	buf = fake_export(test, BYTES(1, nr), pieces, nr);
	attach = fake_attach_imp(test, buf, NULL);

	for (i = 0; i < ARRAY_SIZE(batches); i++) {
		buf->batch = batches[i];
		expect_maps_to(test, attach, pieces, nr);
	}
}

/* The same, but each range comes in three pieces that core merges. */
static void order_dense_merged(struct kunit *test)
{
	unsigned int i, nr = *(const unsigned int *)test->param_value;
	struct range *pieces = alloc_pieces(test, 3 * nr);
	struct range *ranges = alloc_pieces(test, nr);
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;

	fill_pages(ranges, nr, 3);
	for (i = 0; i < 3 * nr; i++) {
		u64 page = ranges[i / 3].start / PAGE_SIZE + i % 3;

		pieces[i] = (struct range)PAGES(page, page);
	}

	buf = fake_export(test, BYTES(1, 3 * nr), pieces, 3 * nr);
	attach = fake_attach_imp(test, buf, NULL);

	for (i = 0; i < ARRAY_SIZE(batches); i++) {
		buf->batch = batches[i];
		expect_maps_to(test, attach, ranges, nr);
	}
}

/* Random access finds what the walk finds. */
static void order_load(struct kunit *test)
{
	const unsigned int nr = 4 * RUN - 24;
	struct range *pieces = alloc_pieces(test, nr);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	const struct range *range;
	struct fake_buf *buf;
	unsigned int i;

	fill_pages(pieces, nr, 1);
	buf = fake_export(test, BYTES(1, nr), pieces, nr);
	buf->batch = BATCH_ODD;
	attach = fake_attach_imp(test, buf, NULL);

	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	for (i = 0; i < nr; i++) {
		range = dma_buf_ranges_load(ranges, i);
		if (!range || range->start != pieces[i].start ||
		    range->end != pieces[i].end)
			KUNIT_FAIL(test, "wrong range at index %u", i);
	}
	imp_unmap(attach, ranges);
}

/* The exporter's list is copied: it may be gone after the call. */
static void order_pieces_are_copied(struct kunit *test)
{
	static const struct range expected[] = { PAGES(7, 7), PAGES(3, 4) };
	struct range pieces[] = { PAGES(7, 7), PAGES(3, 4) };
	struct fake_buf *buf = fake_export(test, BYTES(1, 3), pieces, 2);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);
	struct dma_buf_ranges *ranges = imp_map(attach);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	memset(pieces, POISON_FREE, sizeof(pieces));
	KUNIT_EXPECT_TRUE(test, ranges_are(ranges, expected, 2));
	imp_unmap(attach, ranges);
}

/*
 * Ranges: merging
 */

#define MAX_PIECES	4

struct merge_param {
	const char *desc;
	const struct fake_offer *exp;
	struct range pieces[MAX_PIECES];
	unsigned int nr_pieces;
	struct range ranges[MAX_PIECES];
	unsigned int nr_ranges;
};

static const struct merge_param merge_params[] = {
	{
		"adjacent", &exp_plain,
		{ PAGES(1, 1), PAGES(2, 2), PAGES(3, 5) }, 3,
		{ PAGES(1, 5) }, 1,
	}, {
		"adjacent, from address 0", &exp_plain,
		{ PAGES(0, 0), PAGES(1, 1) }, 2,
		{ PAGES(0, 1) }, 1,
	}, {
		"adjacent, after another range", &exp_plain,
		{ PAGES(9, 9), PAGES(1, 1), PAGES(2, 2) }, 3,
		{ PAGES(9, 9), PAGES(1, 2) }, 2,
	}, {
		"adjacent, into the first, then another range", &exp_plain,
		{ PAGES(1, 1), PAGES(2, 2), PAGES(9, 9) }, 3,
		{ PAGES(1, 2), PAGES(9, 9) }, 2,
	}, {
		"not across a gap", &exp_plain,
		{ PAGES(1, 1), PAGES(3, 3), PAGES(4, 4), PAGES(6, 6) }, 4,
		{ PAGES(1, 1), PAGES(3, 4), PAGES(6, 6) }, 3,
	}, {
		"not backwards", &exp_plain,
		{ PAGES(3, 3), PAGES(2, 2), PAGES(1, 1) }, 3,
		{ PAGES(3, 3), PAGES(2, 2), PAGES(1, 1) }, 3,
	}, {
		"not with a range before the last", &exp_plain,
		{ PAGES(1, 1), PAGES(9, 9), PAGES(2, 2) }, 3,
		{ PAGES(1, 1), PAGES(9, 9), PAGES(2, 2) }, 3,
	}, {
		"not what repeats", &exp_plain,
		{ PAGES(1, 2), PAGES(1, 2), PAGES(1, 1), PAGES(2, 2) }, 4,
		{ PAGES(1, 2), PAGES(1, 2), PAGES(1, 2) }, 3,
	}, {
		"not what overlaps", &exp_plain,
		{ PAGES(1, 3), PAGES(3, 4) }, 2,
		{ PAGES(1, 3), PAGES(3, 4) }, 2,
	}, {
		"up to the end of the address space", &exp_plain,
		{ PAGES(TOP_PAGE - 1, TOP_PAGE - 1), PAGES(TOP_PAGE, TOP_PAGE) }, 2,
		{ PAGES(TOP_PAGE - 1, TOP_PAGE) }, 1,
	}, {
		"not where the address space wraps", &exp_plain,
		{ PAGES(TOP_PAGE, TOP_PAGE), PAGES(0, 0), PAGES(1, 1) }, 3,
		{ PAGES(TOP_PAGE, TOP_PAGE), PAGES(0, 1) }, 2,
	}, {
		"not where the address space wraps, later", &exp_plain,
		{ PAGES(5, 5), PAGES(TOP_PAGE, TOP_PAGE), PAGES(0, 1) }, 3,
		{ PAGES(5, 5), PAGES(TOP_PAGE, TOP_PAGE), PAGES(0, 1) }, 3,
	}, {
		"first piece at address 0", &exp_plain,
		{ PAGES(0, 0), PAGES(5, 5), PAGES(0, 0) }, 3,
		{ PAGES(0, 0), PAGES(5, 5), PAGES(0, 0) }, 3,
	}, {
		"not if the type does not merge", &exp_apart,
		{ PAGES(1, 1), PAGES(2, 2), PAGES(3, 3) }, 3,
		{ PAGES(1, 1), PAGES(2, 2), PAGES(3, 3) }, 3,
	}, {
		"up to the limit", &exp_port1,
		{ PAGES(98, 98), PAGES(LIMIT_PAGE, LIMIT_PAGE) }, 2,
		{ PAGES(98, LIMIT_PAGE) }, 1,
	},
};

KUNIT_ARRAY_PARAM_DESC(merge, merge_params, desc);

static u64 pieces_size(const struct range *pieces, unsigned int nr)
{
	unsigned int i;
	u64 size = 0;

	for (i = 0; i < nr; i++)
		size += range_len(&pieces[i]);

	return size;
}

/* In one call, and across calls. */
static void merge(struct kunit *test)
{
	static const unsigned int calls[] = { BATCH_ALL, 1, 2, BATCH_ODD };
	const struct merge_param *param = test->param_value;
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;
	unsigned int i;

	buf = fake_export(test, pieces_size(param->pieces, param->nr_pieces),
			  param->pieces, param->nr_pieces);
	buf->offers = OFFERS(&param->exp->base);
	attach = fake_attach_imp(test, buf, NULL);

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		buf->batch = calls[i];
		expect_maps_to(test, attach, param->ranges, param->nr_ranges);
	}
}

/*
 * Ranges: size
 */

struct large_param {
	const char *desc;
	struct range pieces[2];
	unsigned int nr_pieces;
	struct range range;
};

static const struct large_param large_params[] = {
	{ "4 GiB", { { SZ_4G, SZ_8G - 1 } }, 1, { SZ_4G, SZ_8G - 1 } },
	{ "4 GiB from two halves",
	  { { SZ_2G, SZ_4G - 1 }, { SZ_4G, SZ_4G + SZ_2G - 1 } }, 2,
	  { SZ_2G, SZ_4G + SZ_2G - 1 } },
	{ "8 GiB", { { SZ_8G, SZ_16G - 1 } }, 1, { SZ_8G, SZ_16G - 1 } },
	{ "16 GiB", { { SZ_1M, SZ_16G + SZ_1M - 1 } }, 1,
	  { SZ_1M, SZ_16G + SZ_1M - 1 } },
	{ "1 TiB", { { 0, SZ_1T - 1 } }, 1, { 0, SZ_1T - 1 } },
	{ "1 TiB and 1 MiB from two pieces",
	  { { SZ_1T, 2 * SZ_1T - 1 }, { 2 * SZ_1T, 2 * SZ_1T + SZ_1M - 1 } }, 2,
	  { SZ_1T, 2 * SZ_1T + SZ_1M - 1 } },
};

KUNIT_ARRAY_PARAM_DESC(large, large_params, desc);

static void size_large(struct kunit *test)
{
	const struct large_param *param = test->param_value;
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;

	buf = fake_export(test, range_len(&param->range), param->pieces,
			  param->nr_pieces);
	attach = fake_attach_imp(test, buf, NULL);
	expect_maps_to(test, attach, &param->range, 1);
	buf->batch = 1;
	expect_maps_to(test, attach, &param->range, 1);
}

static bool ranges_have_node(struct dma_buf_ranges *ranges)
{
	struct dma_buf_runs *runs;

	runs = container_of(ranges, struct dma_buf_runs, ranges);
	return xa_is_node(rcu_access_pointer(runs->xa.xa_head));
}

/* As many ranges as one run takes cost no xarray node. */
static void size_one_run_without_node(struct kunit *test)
{
	const unsigned int nr = DMA_BUF_RANGES_PER_RUN;
	struct range *pieces = alloc_pieces(test, nr + 1);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_buf *buf;

	fill_pages(pieces, nr + 1, 1);
	buf = fake_export(test, BYTES(1, nr), pieces, nr);
	attach = fake_attach_imp(test, buf, NULL);
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_FALSE(test, ranges_have_node(ranges));
	imp_unmap(attach, ranges);

	buf = fake_export(test, BYTES(1, nr + 1), pieces, nr + 1);
	attach = fake_attach_imp(test, buf, NULL);
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	KUNIT_EXPECT_TRUE(test, ranges_have_node(ranges));
	imp_unmap(attach, ranges);
}

/*
 * Ranges: pieces that are refused
 */

struct piece_param {
	const char *desc;
	const struct fake_offer *exp;
	struct range piece;
	bool good;
};

static const struct piece_param piece_params[] = {
	/* what a correct exporter has */
	{ "a page", &exp_port1, PAGES(50, 50), true },
	{ "ends at the limit", &exp_port1, PAGES(LIMIT_PAGE, LIMIT_PAGE), true },
	{ "from 0 to the limit", &exp_port1, PAGES(0, LIMIT_PAGE), true },
	{ "last page of all", &exp_plain, PAGES(TOP_PAGE, TOP_PAGE), true },

	/* past the limit */
	{ "a page too far", &exp_port1, PAGES(LIMIT_PAGE, LIMIT_PAGE + 1) },
	{ "behind", &exp_port1, PAGES(LIMIT_PAGE + 1, LIMIT_PAGE + 1) },
	{ "far behind", &exp_port1, PAGES(TOP_PAGE, TOP_PAGE) },
	{ "everything, where there is a limit", &exp_port1, { 0, U64_MAX } },

	/* without a length that is more than 0 and fits a u64 */
	{ "everything", &exp_plain, { 0, U64_MAX } },
	{ "empty", &exp_plain, { 8 * PAGE_SIZE, 8 * PAGE_SIZE - 1 } },
	{ "backwards", &exp_plain, { 8 * PAGE_SIZE, 7 * PAGE_SIZE - 1 } },
	{ "wraps", &exp_plain, { TOP_PAGE * PAGE_SIZE, PAGE_SIZE - 1 } },

	/* not page aligned */
	{ "all zeroes", &exp_plain, { 0, 0 } },
	{ "start off by 1", &exp_plain, { 8 * PAGE_SIZE + 1, 9 * PAGE_SIZE - 1 } },
	{ "start off by -1", &exp_plain, { 8 * PAGE_SIZE - 1, 9 * PAGE_SIZE - 1 } },
	{ "start off by half a page", &exp_plain,
	  { 8 * PAGE_SIZE + PAGE_SIZE / 2, 9 * PAGE_SIZE - 1 } },
	{ "end off by -1", &exp_plain, { 8 * PAGE_SIZE, 9 * PAGE_SIZE - 2 } },
	{ "end is exclusive", &exp_plain, { 8 * PAGE_SIZE, 9 * PAGE_SIZE } },
	{ "a page, off by 8", &exp_plain, { 8 * PAGE_SIZE + 8, 9 * PAGE_SIZE + 7 } },
};

KUNIT_ARRAY_PARAM_DESC(piece, piece_params, desc);

/* A good piece's place in the list is no matter, nor is a bad one's. */
static void pieces_checked(struct kunit *test)
{
	static const unsigned int positions[] = { 0, 1, 2, 16, 20 };
	const struct piece_param *param = test->param_value;
	struct range *pieces = alloc_pieces(test, 22);
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;
	unsigned int i, pos, nr;

	for (i = 0; i < ARRAY_SIZE(positions) * 2; i++) {
		pos = positions[i / 2];
		nr = pos + 2;
		/* The others are within the limit, and do not merge with it. */
		fill_pages(pieces, nr, 1);
		pieces[pos] = param->piece;

		buf = fake_export(test, param->good ? pieces_size(pieces, nr) :
						      BYTES(1, nr),
				  pieces, nr);
		buf->offers = OFFERS(&param->exp->base);
		buf->batch = i % 2 ? BATCH_ALL : 1;
		attach = fake_attach_imp(test, buf, NULL);

		if (param->good) {
			expect_maps_to(test, attach, pieces, nr);
			KUNIT_EXPECT_EQ(test, buf->add_err, 0);
			continue;
		}

		expect_map_fails(test, attach, -EINVAL);
		KUNIT_EXPECT_EQ(test, buf->add_err, -EINVAL);
		KUNIT_EXPECT_EQ(test, buf->map_calls, 1);
		KUNIT_EXPECT_EQ(test, buf->unmaps, 0);
		KUNIT_EXPECT_EQ(test, attach->maps, 0);
		/* It is refused when it is added, not later. */
		KUNIT_EXPECT_EQ(test, buf->add_calls,
				buf->batch == 1 ? pos + 1 : 1);
	}
}

/* An exporter that goes on after an error ends up with a list that is short. */
static void pieces_error_ignored(struct kunit *test)
{
	static const struct range pieces[] = {
		PAGES(1, 1), { 5, 4 }, PAGES(3, 3),
	};
	struct fake_buf *buf = fake_export(test, BYTES(1, 3), pieces,
					   ARRAY_SIZE(pieces));
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);

	buf->ignore_add_err = true;
	buf->batch = 1;
	expect_map_fails(test, attach, -EINVAL);
	KUNIT_EXPECT_EQ(test, buf->maps, 1);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 1);
	KUNIT_EXPECT_EQ(test, buf->add_err, -EINVAL);

	buf->batch = BATCH_ALL;
	expect_map_fails(test, attach, -EINVAL);
	KUNIT_EXPECT_EQ(test, buf->maps, 2);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 2);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);
}

/*
 * Ranges: lists that are refused
 */

#define LIST_SIZE	BYTES(1, 4)	/* of the buffer, always */

struct list_param {
	const char *desc;
	struct range pieces[3];
	unsigned int nr_pieces;
	bool good;
};

static const struct list_param list_params[] = {
	{ "right", { PAGES(1, 2), PAGES(6, 7) }, 2, true },
	{ "empty", {}, 0 },
	{ "a page short", { PAGES(1, 2), PAGES(6, 6) }, 2 },
	{ "one range, a page short", { PAGES(1, 3) }, 1 },
	{ "a page long", { PAGES(1, 2), PAGES(6, 8) }, 2 },
	{ "one range, a page long", { PAGES(1, 5) }, 1 },
	{ "merged to be a page long", { PAGES(1, 4), PAGES(5, 5) }, 2 },
	{ "4 GiB long", { PAGES(1, 4 + SZ_4G / PAGE_SIZE) }, 1 },
	{ "4 GiB long, in two ranges",
	  { PAGES(1, 4), PAGES(8, 7 + SZ_4G / PAGE_SIZE) }, 2 },
	{ "2^64 long, repeating",
	  { PAGES(0, HALF_PAGE - 1), PAGES(0, HALF_PAGE - 1), PAGES(1, 4) }, 3 },
	{ "2^64 long, merged to what has no length",
	  { PAGES(0, HALF_PAGE - 1), PAGES(HALF_PAGE, TOP_PAGE), PAGES(1, 4) }, 3 },
	{ "2^64 long, merged to what has no length, at the end",
	  { PAGES(1, 4), PAGES(0, HALF_PAGE - 1), PAGES(HALF_PAGE, TOP_PAGE) }, 3 },
};

KUNIT_ARRAY_PARAM_DESC(list, list_params, desc);

/* Core looks at the whole after the exporter mapped, and makes it unmap. */
static void lists_checked(struct kunit *test)
{
	static const unsigned int calls[] = { BATCH_ALL, 1 };
	const struct list_param *param = test->param_value;
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(calls); i++) {
		buf = fake_export(test, LIST_SIZE, param->pieces,
				  param->nr_pieces);
		buf->ignore_add_err = true;
		buf->batch = calls[i];
		attach = fake_attach_imp(test, buf, NULL);

		if (param->good) {
			expect_maps_to(test, attach, param->pieces,
				       param->nr_pieces);
			continue;
		}

		expect_map_fails(test, attach, -EINVAL);
		KUNIT_EXPECT_EQ(test, buf->map_calls, 1);
		KUNIT_EXPECT_EQ(test, buf->maps, 1);
		KUNIT_EXPECT_EQ(test, buf->unmaps, 1);
		KUNIT_EXPECT_EQ(test, buf->users, 0);
		KUNIT_EXPECT_EQ(test, attach->maps, 0);
	}
}

static const unsigned int exporter_fails_params[] = {
	0, 1, 2, 16, 17, RUN, RUN + 1, RUN + 40,
};

static void exporter_fails_desc(const unsigned int *nr, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "after %u pieces", *nr);
}

KUNIT_ARRAY_PARAM(exporter_fails, exporter_fails_params, exporter_fails_desc);

/* The exporter's own error: core frees what it added, and does not unmap. */
static void exporter_fails(struct kunit *test)
{
	unsigned int nr = *(const unsigned int *)test->param_value;
	struct range *pieces = alloc_pieces(test, RUN + 41);
	struct dma_buf_attachment *attach;
	struct fake_buf *buf;

	fill_pages(pieces, RUN + 41, 1);
	buf = fake_export(test, BYTES(1, RUN + 41), pieces, nr);
	attach = fake_attach_imp(test, buf, NULL);

	buf->map_err = -EIO;
	expect_map_fails(test, attach, -EIO);
	buf->batch = 1;
	expect_map_fails(test, attach, -EIO);
	KUNIT_EXPECT_EQ(test, buf->map_calls, 2);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 0);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);

	/* The next attempt starts from nothing. */
	buf->map_err = 0;
	buf->nr_pieces = RUN + 41;
	expect_maps_to(test, attach, pieces, RUN + 41);
}

#define LEAK_RANGES	4096
#define LEAK_MAPS	(SZ_16M / (LEAK_RANGES * sizeof(struct range)))
#define LEAK_MAPS_OF_ONE	(SZ_16M / sizeof(struct dma_buf_runs))

static u64 slab_bytes(void)
{
	/* xarray nodes are freed after a grace period */
	rcu_barrier();
	return (u64)global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B) *
	       PAGE_SIZE;
}

/* Map @maps times, for @expected to come of it. What is lost is 16 MiB. */
static void expect_no_leak(struct kunit *test,
			   struct dma_buf_attachment *attach, unsigned int maps,
			   int expected)
{
	struct dma_buf_ranges *ranges;
	unsigned int i, wrong = 0;
	u64 before = slab_bytes();

	for (i = 0; i < maps; i++) {
		ranges = imp_map(attach);
		wrong += PTR_ERR_OR_ZERO(ranges) != expected;
		if (!IS_ERR(ranges))
			imp_unmap(attach, ranges);
	}

	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_LT(test, slab_bytes(), before + SZ_8M);
}

/*
 * Whether a map works, or the exporter fails, or core refuses the list: core
 * keeps nothing of it, not of the ranges, nor of what it needs for one alone.
 */
static void maps_leave_no_memory(struct kunit *test)
{
	struct range *pieces = alloc_pieces(test, LEAK_RANGES);
	struct dma_buf_attachment *attach, *one;
	struct fake_buf *buf, *page;

	if (IS_ENABLED(CONFIG_KASAN_GENERIC))
		kunit_skip(test, "KASAN delays freeing");

	fill_pages(pieces, LEAK_RANGES, 1);
	buf = fake_export(test, BYTES(1, LEAK_RANGES), pieces, LEAK_RANGES);
	attach = fake_attach_imp(test, buf, NULL);
	page = fake_export_page(test);
	one = fake_attach_imp(test, page, NULL);

	expect_no_leak(test, attach, LEAK_MAPS, 0);
	expect_no_leak(test, one, LEAK_MAPS_OF_ONE, 0);

	buf->map_err = -EIO;
	page->map_err = -EIO;
	expect_no_leak(test, attach, LEAK_MAPS, -EIO);
	expect_no_leak(test, one, LEAK_MAPS_OF_ONE, -EIO);

	buf->map_err = 0;
	buf->nr_pieces--;
	page->map_err = 0;
	page->nr_pieces--;
	expect_no_leak(test, attach, LEAK_MAPS, -EINVAL);
	expect_no_leak(test, one, LEAK_MAPS_OF_ONE, -EINVAL);
}

/* An allocation fails, each in turn: the next one is number 1. */
static unsigned int fake_allocations;
static unsigned int fake_fail_nth;

static bool fake_no_memory(void)
{
	return ++fake_allocations == fake_fail_nth;
}

static void allocation_fails(struct kunit *test)
{
	const unsigned int nr = 2 * RUN + 88;
	struct range *pieces = alloc_pieces(test, nr);
	struct fake_buf *buf = fake_export(test, BYTES(1, nr), pieces, nr);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);
	struct dma_buf_ranges *ranges;
	unsigned int i, failed;

	fill_pages(pieces, nr, 1);
	kunit_activate_static_stub(test, dma_buf_runs_no_memory, fake_no_memory);

	/* In one call or one at a time; minding errors or not. */
	for (i = 0; i < 4; i++) {
		buf->batch = i % 2 ? 1 : BATCH_ALL;
		buf->ignore_add_err = i / 2;

		for (failed = 0; ; failed++) {
			fake_allocations = 0;
			fake_fail_nth = failed + 1;
			ranges = imp_map(attach);
			if (fake_allocations < fake_fail_nth)
				break;

			KUNIT_EXPECT_TRUE(test, IS_ERR(ranges));
			/* Without the errors, it is a list that is too short. */
			if (!buf->ignore_add_err)
				KUNIT_EXPECT_PTR_EQ(test, ranges,
						    ERR_PTR(-ENOMEM));
			KUNIT_EXPECT_EQ(test, buf->maps, buf->unmaps);
			KUNIT_EXPECT_EQ(test, attach->maps, 0);
		}

		/* At least the list, three runs, and each into the xarray. */
		KUNIT_EXPECT_GE(test, failed, 7);
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
		KUNIT_EXPECT_TRUE(test, ranges_are(ranges, pieces, nr));
		imp_unmap(attach, ranges);
	}
}

/*
 * Maps: how many there are
 */

static void maps_several(struct kunit *test)
{
	static const struct range first[] = { PAGES(1, 1), PAGES(3, 3) };
	static const struct range moved[] = { PAGES(9, 9), PAGES(5, 5) };
	struct fake_buf *buf = fake_export(test, BYTES(1, 2), first, 2);
	struct dma_buf_attachment *a = fake_attach_imp(test, buf, NULL);
	struct dma_buf_attachment *b = fake_attach_imp(test, buf, NULL);
	struct dma_buf_ranges *a1, *a2, *b1;

	a1 = imp_map(a);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a1);
	KUNIT_EXPECT_EQ(test, a->maps, 1);

	buf->pieces = moved;
	a2 = imp_map(a);
	b1 = imp_map(b);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a2);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, b1);
	KUNIT_EXPECT_EQ(test, a->maps, 2);
	KUNIT_EXPECT_EQ(test, b->maps, 1);
	KUNIT_EXPECT_EQ(test, buf->users, 3);

	/* Each map has its own ranges. */
	KUNIT_EXPECT_PTR_NE(test, a1, a2);
	KUNIT_EXPECT_TRUE(test, ranges_are(a1, first, 2));
	KUNIT_EXPECT_TRUE(test, ranges_are(a2, moved, 2));
	KUNIT_EXPECT_TRUE(test, ranges_are(b1, moved, 2));

	imp_unmap(a, a1);
	KUNIT_EXPECT_EQ(test, a->maps, 1);
	KUNIT_EXPECT_EQ(test, b->maps, 1);
	KUNIT_EXPECT_TRUE(test, ranges_are(a2, moved, 2));

	/* One that fails does not count. */
	buf->map_err = -EIO;
	expect_map_fails(test, a, -EIO);
	KUNIT_EXPECT_EQ(test, a->maps, 1);
	buf->map_err = 0;

	imp_unmap(b, b1);
	imp_unmap(a, a2);
	KUNIT_EXPECT_EQ(test, a->maps, 0);
	KUNIT_EXPECT_EQ(test, b->maps, 0);
	KUNIT_EXPECT_EQ(test, buf->users, 0);

	/* And again. */
	expect_maps_to(test, a, moved, 2);
	KUNIT_EXPECT_EQ(test, a->maps, 0);
}

static void maps_left_at_detach(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);
	struct dma_buf_ranges *ranges = imp_map(attach);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	kunit_warning_suppress(test) {
		fake_detach_now(test, attach);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	KUNIT_EXPECT_EQ(test, buf->detached, 1);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 0);

	/* What the importer forgot. One range: there is no other allocation. */
	kfree(ranges);
	buf->unmaps++;
	buf->users--;

	/* Without a map, no warning. */
	attach = fake_attach_imp(test, buf, NULL);
	imp_unmap(attach, imp_map(attach));
	kunit_warning_suppress(test) {
		fake_detach_now(test, attach);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 0);
	}
}

static void maps_unmap_without_map(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *mapped = fake_attach_imp(test, buf, NULL);
	struct dma_buf_attachment *none = fake_attach_imp(test, buf, NULL);
	struct dma_buf_attachment *sg = fake_attach_sg(test, buf);
	struct dma_buf_ranges *ranges = imp_map(mapped);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	kunit_warning_suppress(test) {
		imp_unmap(none, ranges);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
		imp_unmap(sg, ranges);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 2);
		imp_unmap(mapped, ERR_PTR(-ENODEV));
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 3);
		imp_unmap(mapped, NULL);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 4);
	}

	/* No harm was done. */
	KUNIT_EXPECT_EQ(test, buf->unmaps, 0);
	KUNIT_EXPECT_EQ(test, none->maps, 0);
	KUNIT_EXPECT_EQ(test, mapped->maps, 1);
	KUNIT_EXPECT_TRUE(test, ranges_are(ranges, one_page, 1));
	imp_unmap(mapped, ranges);
}

/* Ranges are given back through the attachment that was mapped. */
static void maps_unmap_swapped(struct kunit *test)
{
	static const struct range other_page[] = { PAGES(8, 8) };
	struct fake_buf *buf = fake_export_page(test);
	struct fake_buf *other = fake_export(test, PAGE_SIZE, other_page, 1);
	struct dma_buf_attachment *a = fake_attach_imp(test, buf, NULL);
	struct dma_buf_attachment *b = fake_attach_imp(test, other, NULL);
	struct dma_buf_ranges *ra = imp_map(a), *rb = imp_map(b);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ra);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, rb);
	kunit_warning_suppress(test) {
		imp_unmap(a, rb);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
		imp_unmap(b, ra);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 2);
	}
	KUNIT_EXPECT_EQ(test, buf->users, 1);
	KUNIT_EXPECT_EQ(test, other->users, 1);
	KUNIT_EXPECT_EQ(test, a->maps, 1);
	KUNIT_EXPECT_EQ(test, b->maps, 1);

	KUNIT_EXPECT_TRUE(test, ranges_are(ra, one_page, 1));
	KUNIT_EXPECT_TRUE(test, ranges_are(rb, other_page, 1));
	imp_unmap(a, ra);
	imp_unmap(b, rb);
}

static void maps_sg_unmap_on_interconnect(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);
	struct sg_table sgt = {};

	kunit_warning_suppress(test) {
		dma_buf_unmap_attachment_unlocked(attach, &sgt,
						  DMA_BIDIRECTIONAL);
		KUNIT_EXPECT_SUPPRESSED_WARNING_COUNT(test, 1);
	}
	KUNIT_EXPECT_EQ(test, buf->sg_unmaps, 0);
}

/*
 * Revocation
 */

static void revoke_refuses_map(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, NULL);

	expect_maps_to(test, attach, one_page, 1);

	fake_revoke(buf, true);
	expect_map_fails(test, attach, -ENODEV);
	expect_map_fails(test, attach, -ENODEV);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 1);

	/* One can attach to it, but not map. */
	expect_map_fails(test, fake_attach_imp(test, buf, NULL), -ENODEV);

	fake_revoke(buf, false);
	expect_maps_to(test, attach, one_page, 1);
}

static void revoke_unmap_at_once(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct fake_imp imp = { .unmap_at_once = true };
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, &imp);

	imp.ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, imp.ranges);
	KUNIT_EXPECT_EQ(test, buf->users, 1);

	fake_revoke(buf, true);
	KUNIT_EXPECT_EQ(test, imp.invalidated, 1);
	KUNIT_EXPECT_NULL(test, imp.ranges);
	KUNIT_EXPECT_EQ(test, buf->users, 0);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 1);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);
}

/* The ranges are worth nothing any more, but reading them does no harm. */
static void revoke_unmap_later(struct kunit *test)
{
	const unsigned int nr = RUN + 1;
	struct range *pieces = alloc_pieces(test, nr);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;
	struct fake_imp imp = {};
	struct fake_buf *buf;

	fill_pages(pieces, nr, 1);
	buf = fake_export(test, BYTES(1, nr), pieces, nr);
	attach = fake_attach_imp(test, buf, &imp);

	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);

	fake_revoke(buf, true);
	KUNIT_EXPECT_EQ(test, imp.invalidated, 1);
	KUNIT_EXPECT_EQ(test, buf->users, 1);
	KUNIT_EXPECT_EQ(test, attach->maps, 1);
	KUNIT_EXPECT_TRUE(test, ranges_are(ranges, pieces, nr));
	expect_map_fails(test, attach, -ENODEV);

	imp_unmap(attach, ranges);
	KUNIT_EXPECT_EQ(test, buf->users, 0);
	KUNIT_EXPECT_EQ(test, attach->maps, 0);
}

/* Twice in a row, before the first map, and when the buffer comes back. */
static void revoke_any_time(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct fake_imp imp = { .unmap_at_once = true };
	struct dma_buf_attachment *attach = fake_attach_imp(test, buf, &imp);

	fake_revoke(buf, true);
	fake_revoke(buf, true);
	fake_revoke(buf, false);
	KUNIT_EXPECT_EQ(test, imp.invalidated, 3);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 0);

	imp.ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, imp.ranges);
	fake_revoke(buf, true);
	fake_revoke(buf, true);
	fake_revoke(buf, false);
	KUNIT_EXPECT_EQ(test, imp.invalidated, 6);
	KUNIT_EXPECT_EQ(test, buf->maps, 1);
	KUNIT_EXPECT_EQ(test, buf->unmaps, 1);
	expect_maps_to(test, attach, one_page, 1);
}

/* All attachments hear of it, whatever kind they are; who detached does not. */
static void revoke_reaches_all(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct fake_imp a = {}, b = {}, gone = {}, none = {};
	struct dma_buf_attachment *attach;

	fake_attach_imp(test, buf, &a);
	fake_attach_imp(test, buf, &b);
	fake_attach_offers(test, buf, &fake_importer_ops, &none,
			   OFFERS(&imp_other.base), 1);
	attach = fake_attach_imp(test, buf, &gone);
	fake_detach_now(test, attach);

	fake_revoke(buf, true);
	KUNIT_EXPECT_EQ(test, a.invalidated, 1);
	KUNIT_EXPECT_EQ(test, b.invalidated, 1);
	KUNIT_EXPECT_EQ(test, none.invalidated, 1);
	KUNIT_EXPECT_EQ(test, gone.invalidated, 0);
}

/*
 * Concurrency: importers map, read and unmap, while the exporter revokes the
 * buffer and, as a real one does, waits until nobody uses it any more.
 */

#define RACE_ROUNDS	2000
#define RACE_IMPORTERS	4
#define RACE_RANGES	(RUN + 1)	/* two runs, so a lookup to read */

struct race_importer {
	struct dma_buf_attachment *attach;
	struct task_struct *task;
	struct fake_imp imp;
	const struct range *expected;
	unsigned int maps;
	unsigned int refused;
	unsigned int wrong;	/* errors and ranges that nobody expects */
};

/* Reads outside of the lock, and unmaps in bounded time. */
static void race_map_read_unmap(struct race_importer *r)
{
	struct dma_buf_ranges *ranges = imp_map(r->attach);

	if (IS_ERR(ranges)) {
		if (PTR_ERR(ranges) == -ENODEV)
			r->refused++;
		else
			r->wrong++;
		return;
	}

	r->maps++;
	cond_resched();
	if (!ranges_are(ranges, r->expected, RACE_RANGES))
		r->wrong++;
	imp_unmap(r->attach, ranges);
}

/* Keeps its map until invalidate_mappings takes it away. */
static void race_keep_mapped(struct race_importer *r)
{
	struct dma_buf_ranges *ranges;

	dma_resv_lock(r->attach->dmabuf->resv, NULL);
	if (!r->imp.ranges) {
		ranges = dma_buf_map_interconnect(r->attach);
		if (!IS_ERR(ranges)) {
			r->imp.ranges = ranges;
			r->maps++;
		} else if (PTR_ERR(ranges) == -ENODEV) {
			r->refused++;
		} else {
			r->wrong++;
		}
	} else if (!ranges_are(r->imp.ranges, r->expected, RACE_RANGES)) {
		r->wrong++;
	}
	dma_resv_unlock(r->attach->dmabuf->resv);
}

static int race_thread(void *data)
{
	struct race_importer *r = data;

	while (!kthread_should_stop()) {
		if (r->imp.unmap_at_once)
			race_keep_mapped(r);
		else
			race_map_read_unmap(r);
		cond_resched();
	}

	return 0;
}

/* One revoke and un-revoke. False if somebody does not let go, or is stuck. */
static bool race_round(struct fake_buf *buf)
{
	unsigned int before;

	fake_revoke(buf, true);
	if (!wait_event_timeout(buf->wait, !READ_ONCE(buf->users),
				FAKE_TIMEOUT))
		return false;

	before = READ_ONCE(buf->maps);
	fake_revoke(buf, false);
	return wait_event_timeout(buf->wait, READ_ONCE(buf->maps) != before,
				  FAKE_TIMEOUT);
}

static void race_revoke(struct kunit *test)
{
	struct range *pieces = alloc_pieces(test, RACE_RANGES);
	struct race_importer *importers, *r;
	unsigned int i, rounds, maps = 0;
	struct fake_buf *buf;

	importers = kunit_kcalloc(test, RACE_IMPORTERS, sizeof(*importers),
				  GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, importers);

	fill_pages(pieces, RACE_RANGES, 1);
	buf = fake_export(test, BYTES(1, RACE_RANGES), pieces, RACE_RANGES);
	for (i = 0; i < RACE_IMPORTERS; i++) {
		r = &importers[i];
		r->expected = pieces;
		r->imp.unmap_at_once = i % 2;
		r->attach = fake_attach_imp(test, buf, &r->imp);
	}

	for (i = 0; i < RACE_IMPORTERS; i++) {
		r = &importers[i];
		r->task = kthread_run(race_thread, r, "dma-buf-race/%u", i);
	}

	for (rounds = 0; rounds < RACE_ROUNDS; rounds++)
		if (!race_round(buf))
			break;

	for (i = 0; i < RACE_IMPORTERS; i++)
		if (!IS_ERR(importers[i].task))
			kthread_stop(importers[i].task);
	fake_revoke(buf, true);

	KUNIT_EXPECT_EQ(test, rounds, RACE_ROUNDS);
	for (i = 0; i < RACE_IMPORTERS; i++) {
		r = &importers[i];
		KUNIT_EXPECT_FALSE(test, IS_ERR(r->task));
		KUNIT_EXPECT_GT(test, r->maps, 0);
		KUNIT_EXPECT_EQ(test, r->wrong, 0);
		KUNIT_EXPECT_NULL(test, r->imp.ranges);
		KUNIT_EXPECT_EQ(test, r->attach->maps, 0);
		KUNIT_EXPECT_EQ(test, r->imp.invalidated, 2 * rounds + 1);
		maps += r->maps;
	}
	KUNIT_EXPECT_EQ(test, buf->maps, maps);
	KUNIT_EXPECT_EQ(test, buf->unmaps, maps);
	KUNIT_EXPECT_EQ(test, buf->users, 0);
}

/*
 * debugfs
 */

static void expect_shows(struct kunit *test,
			 struct dma_buf_attachment *attach, const char *text)
{
	struct seq_file s = { .size = 256 };

	s.buf = kunit_kzalloc(test, s.size, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s.buf);

	dma_resv_lock(attach->dmabuf->resv, NULL);
	dma_buf_interconnect_show(&s, attach);
	dma_resv_unlock(attach->dmabuf->resv);
	KUNIT_EXPECT_STREQ(test, s.buf, text);
}

static void debugfs_shows_interconnect(struct kunit *test)
{
	struct fake_buf *buf = fake_export_page(test);
	struct dma_buf_attachment *attach;
	struct dma_buf_ranges *ranges;

	attach = fake_attach_imp(test, buf, NULL);
	expect_shows(test, attach, " [interconnect plain maps=0]");
	ranges = imp_map(attach);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ranges);
	expect_shows(test, attach, " [interconnect plain maps=1]");
	imp_unmap(attach, ranges);

	buf->offers = OFFERS(&exp_port1.base);
	attach = fake_attach_imp(test, buf, NULL);
	expect_shows(test, attach, " [interconnect port port=1 maps=0]");

	expect_shows(test, fake_attach_sg(test, buf), "");
}

static int interconnect_test_init(struct kunit *test)
{
	struct device *dev = kunit_device_register(test, "dma-buf-importer");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	test->priv = dev;
	memset(fake_matches, 0, sizeof(fake_matches));
	fake_nr_matches = 0;
	return 0;
}

static struct kunit_case interconnect_cases[] = {
	KUNIT_CASE_PARAM(negotiate, negotiate_gen_params),
	KUNIT_CASE(negotiate_null_lists),
	KUNIT_CASE_PARAM(negotiate_broken_offer, broken_gen_params),
	KUNIT_CASE(negotiate_broken_list),
	KUNIT_CASE(negotiate_exporter_without_callback),
	KUNIT_CASE(negotiate_importer_not_revocable),
	KUNIT_CASE(negotiate_not_in_other_attach_calls),
	KUNIT_CASE(negotiate_exporter_refuses_attach),
	KUNIT_CASE(negotiate_each_attachment_for_itself),
	KUNIT_CASE(negotiate_importer_offers_on_stack),
	KUNIT_CASE(kinds_map_sg_on_interconnect),
	KUNIT_CASE(kinds_map_interconnect_on_sg),
	KUNIT_CASE(kinds_sg_importers_unchanged),
	KUNIT_CASE(kinds_sg_if_nothing_agreed),
	KUNIT_CASE(kinds_fall_back_by_reattach),
	KUNIT_CASE_PARAM(order_dense, order_gen_params),
	KUNIT_CASE_PARAM(order_dense_merged, order_gen_params),
	KUNIT_CASE(order_load),
	KUNIT_CASE(order_pieces_are_copied),
	KUNIT_CASE_PARAM(merge, merge_gen_params),
	KUNIT_CASE_PARAM(size_large, large_gen_params),
	KUNIT_CASE(size_one_run_without_node),
	KUNIT_CASE_PARAM(pieces_checked, piece_gen_params),
	KUNIT_CASE(pieces_error_ignored),
	KUNIT_CASE_PARAM(lists_checked, list_gen_params),
	KUNIT_CASE_PARAM(exporter_fails, exporter_fails_gen_params),
	KUNIT_CASE_SLOW(maps_leave_no_memory),
	KUNIT_CASE(allocation_fails),
	KUNIT_CASE(maps_several),
	KUNIT_CASE(maps_left_at_detach),
	KUNIT_CASE(maps_unmap_without_map),
	KUNIT_CASE(maps_unmap_swapped),
	KUNIT_CASE(maps_sg_unmap_on_interconnect),
	KUNIT_CASE(revoke_refuses_map),
	KUNIT_CASE(revoke_unmap_at_once),
	KUNIT_CASE(revoke_unmap_later),
	KUNIT_CASE(revoke_any_time),
	KUNIT_CASE(revoke_reaches_all),
	KUNIT_CASE_SLOW(race_revoke),
	KUNIT_CASE(debugfs_shows_interconnect),
	{}
};

static struct kunit_suite interconnect_suite = {
	.name = "dma-buf-interconnect",
	.init = interconnect_test_init,
	.test_cases = interconnect_cases,
};

kunit_test_suite(interconnect_suite);

MODULE_IMPORT_NS("DMA_BUF");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
