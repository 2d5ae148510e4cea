// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which importers reach a VF's BAR over IOV, and which do not
 *
 * A dma-buf that vfio-pci exports from a VF's BAR is imported on behalf of
 * various devices, with various offers. Only the VF's own PF, if it offers IOV
 * for that BAR and has invalidate_mappings, gets ranges. For everybody else it is
 * as without interconnects: an sg_table if they can do peer-to-peer DMA, else a
 * refusal.
 */
#include "kselftest_harness.h"
#include "iov_test.h"

/* For the BAR that is exported, or the one @n after it. */
#define IOV(n)	{ .kind = DMA_BUF_IOV_TEST_OFFER_IOV, .bar = (n) }
#define OTHER	{ .kind = DMA_BUF_IOV_TEST_OFFER_OTHER }

/* Verdicts, as the trace has them. */
#define MATCHED		"matched"
#define WRONG_PF	"importer is not the PF of the exporter's VF"
#define WRONG_BAR	"importer reaches another BAR of the VF"
#define NOT_OFFERED	"not offered by the importer"
#define NOT_EXPORTED	"not offered by the exporter"
#define NOT_REVOCABLE	"importer has no invalidate_mappings"

enum importer_device { PF, OTHER_PF, SAME_VF, OTHER_VF, NOT_PCI };

FIXTURE(negotiate) {
	struct iov_test t;
	char bdf[IOV_BDF_LEN];
	int fd;
};

FIXTURE_VARIANT(negotiate) {
	enum importer_device device;
	uint32_t flags;
	struct dma_buf_iov_test_offer offers[DMA_BUF_IOV_TEST_MAX_OFFERS];
	unsigned int nr_offers;
	bool iov;			/* is it agreed? */
	const char *verdicts[3];	/* in the order in which they fall */
};

/* The PF, with offers in different orders. */
FIXTURE_VARIANT_ADD(negotiate, pf) {
	.device = PF,
	.offers = { IOV(0) },
	.nr_offers = 1,
	.iov = true,
	.verdicts = { MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_other_first) {
	.device = PF,
	.offers = { OTHER, IOV(0) },
	.nr_offers = 2,
	.iov = true,
	.verdicts = { MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_other_last) {
	.device = PF,
	.offers = { IOV(0), OTHER },
	.nr_offers = 2,
	.iov = true,
	.verdicts = { MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_wrong_bar_first) {
	.device = PF,
	.offers = { IOV(3), IOV(0) },
	.nr_offers = 2,
	.iov = true,
	.verdicts = { WRONG_BAR, MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_wrong_bar_last) {
	.device = PF,
	.offers = { IOV(0), IOV(3) },
	.nr_offers = 2,
	.iov = true,
	.verdicts = { MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_last_of_all) {
	.device = PF,
	.offers = { OTHER, OTHER, IOV(1), OTHER, OTHER, IOV(5), OTHER, IOV(0) },
	.nr_offers = 8,
	.iov = true,
	.verdicts = { WRONG_BAR, WRONG_BAR, MATCHED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_twice) {
	.device = PF,
	.offers = { IOV(0), IOV(0) },
	.nr_offers = 2,
	.iov = true,
	.verdicts = { MATCHED },
};

/* The PF, but not for this. */
FIXTURE_VARIANT_ADD(negotiate, pf_wrong_bar) {
	.device = PF,
	.offers = { IOV(3) },
	.nr_offers = 1,
	.verdicts = { WRONG_BAR },
};

FIXTURE_VARIANT_ADD(negotiate, pf_wrong_bars) {
	.device = PF,
	.offers = { IOV(1), OTHER, IOV(5) },
	.nr_offers = 3,
	.verdicts = { WRONG_BAR, WRONG_BAR, NOT_EXPORTED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_other) {
	.device = PF,
	.offers = { OTHER },
	.nr_offers = 1,
	.verdicts = { NOT_OFFERED, NOT_EXPORTED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_nothing) {
	.device = PF,
	.nr_offers = 0,
	.verdicts = { NOT_OFFERED },
};

FIXTURE_VARIANT_ADD(negotiate, pf_static) {
	.device = PF,
	.flags = DMA_BUF_IOV_TEST_ATTACH_STATIC,
	.offers = { IOV(0), OTHER },
	.nr_offers = 2,
	.verdicts = { NOT_REVOCABLE, NOT_REVOCABLE },
};

/* Not the VF's PF. */
FIXTURE_VARIANT_ADD(negotiate, other_pf) {
	.device = OTHER_PF,
	.offers = { IOV(0) },
	.nr_offers = 1,
	.verdicts = { WRONG_PF },
};

FIXTURE_VARIANT_ADD(negotiate, same_vf) {
	.device = SAME_VF,
	.offers = { IOV(0) },
	.nr_offers = 1,
	.verdicts = { WRONG_PF },
};

FIXTURE_VARIANT_ADD(negotiate, other_vf) {
	.device = OTHER_VF,
	.offers = { IOV(0) },
	.nr_offers = 1,
	.verdicts = { WRONG_PF },
};

FIXTURE_VARIANT_ADD(negotiate, not_pci) {
	.device = NOT_PCI,
	.offers = { IOV(0) },
	.nr_offers = 1,
	.verdicts = { WRONG_PF },
};

FIXTURE_SETUP(negotiate)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));

	switch (variant->device) {
	case PF:
		memcpy(self->bdf, self->t.pf, sizeof(self->bdf));
		break;
	case OTHER_PF:
		if (iov_pf_find(1, self->bdf)) {
			iov_vfio_close(&self->t.vf);
			SKIP(return, "no second PF: set DMABUF_TEST_PF2");
		}
		break;
	case SAME_VF:
		memcpy(self->bdf, self->t.vf.bdf, sizeof(self->bdf));
		break;
	case OTHER_VF:
		ASSERT_EQ(0, iov_vf_bdf(self->t.pf, 1, self->bdf));
		break;
	case NOT_PCI:
		break;
	}

	self->fd = iov_test_export_bar(&self->t);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(negotiate)
{
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

static int negotiate(FIXTURE_DATA(negotiate) * self,
		     const FIXTURE_VARIANT(negotiate) * variant, uint32_t flags,
		     struct dma_buf_iov_test_attach *attach)
{
	unsigned int i;

	importer_attach_init(attach, self->fd, self->bdf,
			     variant->flags | flags);
	memcpy(attach->offers, variant->offers, sizeof(attach->offers));
	attach->nr_offers = variant->nr_offers;
	for (i = 0; i < attach->nr_offers; i++)
		attach->offers[i].bar = (attach->offers[i].bar +
					 self->t.vf.bar) % PCI_STD_NUM_BARS;
	return importer_attach(self->t.imp, attach);
}

static bool is_static(const FIXTURE_VARIANT(negotiate) * variant)
{
	return variant->flags & DMA_BUF_IOV_TEST_ATTACH_STATIC;
}

/* An importer that needs the interconnect gets it, or is refused. */
TEST_F(negotiate, without_p2p)
{
	struct dma_buf_iov_test_attach attach;
	struct dma_buf_iov_test_state state;
	int ret;

	ret = negotiate(self, variant, 0, &attach);
	EXPECT_EQ(variant->iov ? 0 : -EOPNOTSUPP, ret);
	ASSERT_EQ(0, importer_state(self->t.imp, &state));
	EXPECT_EQ(variant->iov, state.attached);
	if (ret)
		return;

	EXPECT_STREQ("iov", attach.type);
	EXPECT_STREQ(self->t.vf.bdf, attach.vf);
	EXPECT_EQ(self->t.vf.bar, attach.bar);
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	EXPECT_EQ(-EOPNOTSUPP, importer_map_sg(self->t.imp, NULL));
}

/* One that can do without gets an sg_table, unless the interconnect is agreed. */
TEST_F(negotiate, with_p2p)
{
	struct dma_buf_iov_test_attach attach;
	int ret;

	ret = negotiate(self, variant, DMA_BUF_IOV_TEST_ATTACH_P2P, &attach);
	ASSERT_EQ(is_static(variant) ? -EOPNOTSUPP : 0, ret);
	if (ret)
		return;

	EXPECT_STREQ(variant->iov ? "iov" : "", attach.type);
	EXPECT_STREQ(variant->iov ? self->t.vf.bdf : "", attach.vf);

	EXPECT_EQ(variant->iov ? 0 : -EOPNOTSUPP,
		  importer_map(self->t.imp, NULL));
	EXPECT_EQ(variant->iov ? 0 : -ENXIO, importer_unmap(self->t.imp));

	/* Whether P2PDMA works here, and for whom, is for iov_sg_test to say. */
	ret = importer_map_sg(self->t.imp, NULL);
	EXPECT_EQ(variant->iov, ret == -EOPNOTSUPP);
}

/* The trace says what became of each offer, of the attachment, and of a map. */
TEST_F(negotiate, trace)
{
	struct dma_buf_iov_test_attach attach;
	int ret, map_ret = 0;
	char text[128];
	unsigned int i;
	FILE *trace;

	if (iov_trace_start())
		SKIP(return, "no trace events in " IOV_TRACING);

	ret = negotiate(self, variant, DMA_BUF_IOV_TEST_ATTACH_P2P, &attach);
	if (!ret)
		map_ret = importer_map(self->t.imp, NULL);

	trace = iov_trace_read();
	ASSERT_NE(NULL, trace);
	for (i = 0; i < ARRAY_SIZE(variant->verdicts); i++) {
		if (!variant->verdicts[i])
			break;
		EXPECT_EQ(0, iov_trace_next(trace, self->fd, "match", "verdict",
					    text, sizeof(text)));
		EXPECT_STREQ(variant->verdicts[i], text);
	}
	EXPECT_EQ(-ENOENT, iov_trace_next(trace, self->fd, "match", "verdict",
					  text, sizeof(text)));

	rewind(trace);
	EXPECT_EQ(variant->nr_offers ? 0 : -ENOENT,
		  iov_trace_next(trace, self->fd, "attach", "ret", text,
				 sizeof(text)));
	if (variant->nr_offers)
		EXPECT_EQ(ret, atoi(text));

	rewind(trace);
	EXPECT_EQ(ret ? -ENOENT : 0,
		  iov_trace_next(trace, self->fd, "map", "ret", text,
				 sizeof(text)));
	if (!ret) {
		EXPECT_EQ(variant->iov ? 0 : -EOPNOTSUPP, map_ret);
		EXPECT_EQ(map_ret, atoi(text));
	}
	fclose(trace);
}

/* debugfs shows what was agreed, and how often it is mapped. */
TEST_F(negotiate, bufinfo)
{
	struct dma_buf_iov_test_attach attach;
	char lines[512], expected[256];
	int maps;

	if (is_static(variant))
		SKIP(return, "this importer cannot attach");
	ASSERT_EQ(0, negotiate(self, variant, DMA_BUF_IOV_TEST_ATTACH_P2P,
			       &attach));
	if (iov_bufinfo(self->fd, lines, sizeof(lines)) < 0)
		SKIP(return, "no bufinfo in debugfs");

	if (!variant->iov) {
		snprintf(expected, sizeof(expected), "%s\n",
			 variant->device == NOT_PCI ? "dma_buf_iov_test" :
						      self->bdf);
		EXPECT_STREQ(expected, lines);
		return;
	}

	for (maps = 0; maps < 2; maps++) {
		if (maps)
			ASSERT_EQ(0, importer_map(self->t.imp, NULL));
		snprintf(expected, sizeof(expected),
			 "%s [interconnect iov pf=%s vf=%s bar=%u maps=%d]\n",
			 self->bdf, self->t.pf, self->t.vf.bdf,
			 self->t.vf.bar, maps);
		ASSERT_EQ(1, iov_bufinfo(self->fd, lines, sizeof(lines)));
		EXPECT_STREQ(expected, lines);
	}
}

/*
 * More than one buffer, or importer
 */

FIXTURE(several) {
	struct iov_test t;
	int imp2;
};

FIXTURE_SETUP(several)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->imp2 = importer_open();
	ASSERT_GE(self->imp2, 0);
}

FIXTURE_TEARDOWN(several)
{
	close(self->imp2);
	IOV_TEST_TEARDOWN(&self->t);
}

/* The PF imports from two of its VFs, and can tell them apart. */
TEST_F(several, vfs)
{
	struct dma_buf_iov_test_attach attach;
	char bdf[IOV_BDF_LEN];
	struct iov_vfio vf2;
	int fd, fd2;

	fd = iov_test_export_bar(&self->t);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, iov_vf_bdf(self->t.pf, 1, bdf));
	ASSERT_EQ(0, iov_vfio_bind(bdf));
	ASSERT_EQ(0, iov_vfio_open(&vf2, bdf));
	fd2 = iov_vfio_export_one(&vf2, vf2.bar, 0, iov_page_size());
	ASSERT_GE(fd2, 0);

	EXPECT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf,
					 self->t.vf.bar, 0, &attach));
	EXPECT_STREQ(self->t.vf.bdf, attach.vf);
	EXPECT_EQ(0, importer_attach_iov(self->imp2, fd2, self->t.pf, vf2.bar,
					 0, &attach));
	EXPECT_STREQ(bdf, attach.vf);

	close(fd);
	close(fd2);
	EXPECT_EQ(0, iov_vfio_close(&vf2));
}

/* Each BAR is a space of its own. */
TEST_F(several, bars)
{
	struct dma_buf_iov_test_attach attach;
	unsigned int bar;
	int fd;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (bar != self->t.vf.bar &&
		    iov_vf_bar_size(self->t.pf, bar) >= iov_page_size())
			break;
	}
	if (bar == PCI_STD_NUM_BARS)
		SKIP(return, "the VFs have only one memory BAR");

	fd = iov_vfio_export_one(&self->t.vf, bar, 0, iov_page_size());
	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EOPNOTSUPP, importer_attach_iov(self->t.imp, fd, self->t.pf,
						   self->t.vf.bar, 0, NULL));
	EXPECT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf, bar, 0,
					 &attach));
	EXPECT_STREQ("iov", attach.type);
	EXPECT_EQ(bar, attach.bar);
	close(fd);
}

/* Two importers of one buffer do not know of each other. */
TEST_F(several, importers)
{
	struct dma_buf_iov_test_attach attach;
	char lines[512];
	int fd, ret;

	fd = iov_test_export_bar(&self->t);
	ASSERT_GE(fd, 0);

	ASSERT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf,
					 self->t.vf.bar, 0, NULL));
	importer_attach_init(&attach, fd, self->t.pf,
			     DMA_BUF_IOV_TEST_ATTACH_P2P);
	ASSERT_EQ(0, importer_attach(self->imp2, &attach));
	EXPECT_STREQ("", attach.type);
	ret = iov_bufinfo(fd, lines, sizeof(lines));
	if (ret >= 0)
		EXPECT_EQ(2, ret);

	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(-EOPNOTSUPP, importer_map(self->imp2, NULL));
	EXPECT_EQ(0, importer_detach(self->imp2));
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	close(fd);
}

/*
 * The same importer gets the other kind of mapping by attaching again, and after
 * a refusal it is as it was.
 */
TEST_F(several, again)
{
	struct dma_buf_iov_test_attach attach;
	unsigned int bar = self->t.vf.bar;
	int i, fd;

	fd = iov_test_export_bar(&self->t);
	ASSERT_GE(fd, 0);

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-EOPNOTSUPP,
			  importer_attach_iov(self->t.imp, fd, self->t.pf,
					      (bar + 3) % PCI_STD_NUM_BARS, 0, NULL));
		importer_attach_init(&attach, fd, self->t.pf,
				     DMA_BUF_IOV_TEST_ATTACH_P2P);
		EXPECT_EQ(0, importer_attach(self->t.imp, &attach));
		EXPECT_STREQ("", attach.type);
		EXPECT_EQ(0, importer_detach(self->t.imp));

		EXPECT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf,
						 bar, 0, &attach));
		EXPECT_STREQ("iov", attach.type);
		EXPECT_EQ(0, importer_detach(self->t.imp));
	}
	close(fd);
}

/* A function that is not virtual offers nothing, also not to itself. */
TEST_F(several, exporter_is_pf)
{
	struct dma_buf_iov_test_attach attach;
	char bdf[IOV_BDF_LEN], verdict[128];
	struct iov_vfio pf2;
	FILE *trace;
	int fd, ret;

	if (iov_pf_find(1, bdf))
		SKIP(return, "no second PF: set DMABUF_TEST_PF2");
	ASSERT_EQ(0, iov_vfio_bind(bdf));
	ret = iov_vfio_open(&pf2, bdf);
	ASSERT_EQ(0, ret);
	fd = iov_vfio_export_one(&pf2, pf2.bar, 0, iov_page_size());
	EXPECT_GE(fd, 0);

	ret = iov_trace_start();
	EXPECT_EQ(-EOPNOTSUPP,
		  importer_attach_iov(self->t.imp, fd, bdf, pf2.bar, 0, NULL));
	if (!ret) {
		trace = iov_trace_read();
		EXPECT_EQ(0, iov_trace_next(trace, fd, "match", "verdict",
					    verdict, sizeof(verdict)));
		EXPECT_STREQ(NOT_EXPORTED, verdict);
		fclose(trace);
	}
	EXPECT_EQ(0, importer_attach_iov(self->t.imp, fd, bdf, pf2.bar,
					 DMA_BUF_IOV_TEST_ATTACH_P2P, &attach));
	EXPECT_STREQ("", attach.type);
	EXPECT_EQ(0, importer_detach(self->t.imp));

	close(fd);
	EXPECT_EQ(0, iov_vfio_close(&pf2));
	EXPECT_EQ(0, iov_test_give_back(bdf));
}

TEST_HARNESS_MAIN
