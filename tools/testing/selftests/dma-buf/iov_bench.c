// SPDX-License-Identifier: GPL-2.0-only
/*
 * What IOV costs a PF, and what it saves: the same buffer of a VF's BAR mapped
 * over IOV and mapped for DMA by the same importer; and attaching with offers
 * and without. Prints tables, asserts nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../kselftest.h"
#include "iov_importer.h"
#include "iov_vfio.h"

#define PAGE		4096
#define BAR_PAGES	4	/* of the VF's BAR */
/* Many short rounds: some are not disturbed, and the best one counts. */
#define ROUNDS		100
#define ROUND_NS	5000000ULL

static const unsigned int nr_ranges[] = { 1, 4, 16, 64, 256 };

static void check(const char *what, int ret)
{
	if (ret < 0)
		ksft_exit_fail_msg("%s: %s\n", what, strerror(-ret));
}

/* Nanoseconds for one, of as many as fill the time of a round. */
static double bench_round(int imp, __u32 what, __u32 times)
{
	uint64_t ns = 0;

	check("bench", importer_bench(imp, what, times, &ns));
	return (double)ns / times;
}

static __u32 times_for_a_round(int imp, __u32 what)
{
	__u32 times = 16;
	double ns;

	/* The first are for warming up. */
	bench_round(imp, what, times);
	ns = bench_round(imp, what, times);
	return ns * 16 < ROUND_NS ? ROUND_NS / ns : 16;
}

/* Measure two importers in turn, so that what disturbs one disturbs the other. */
static void bench_both(const int imps[2], __u32 what, double best[2])
{
	__u32 times[2];
	int i, round;

	for (i = 0; i < 2; i++) {
		times[i] = times_for_a_round(imps[i], what);
		best[i] = bench_round(imps[i], what, times[i]);
	}

	for (round = 1; round < ROUNDS; round++) {
		for (i = 0; i < 2; i++) {
			double ns = bench_round(imps[i], what, times[i]);

			if (ns < best[i])
				best[i] = ns;
		}
	}
}

/* Pages of the BAR, again and again, and never one after the one before it. */
static int export_ranges(const struct iov_vfio *dev, unsigned int nr)
{
	static const unsigned int order[BAR_PAGES] = { 0, 2, 1, 3 };
	struct vfio_region_dma_range ranges[IOV_MAX_RANGES];
	unsigned int i;

	for (i = 0; i < nr; i++) {
		ranges[i].offset = order[i % BAR_PAGES] * PAGE;
		ranges[i].length = PAGE;
	}

	return iov_vfio_export(dev, dev->bar, ranges, nr);
}

enum { IOV, SG };

/* Attach the PF twice: over IOV, and as it would have to without. */
static void attach_both(int imps[2], int dmabuf, const struct iov_vfio *dev,
			const char *pf)
{
	struct dma_buf_iov_test_attach args;

	imps[IOV] = importer_open();
	check("open", imps[IOV]);
	check("attach over IOV",
	      importer_attach_iov(imps[IOV], dmabuf, pf, dev->bar, 0,
				  NULL));

	imps[SG] = importer_open();
	check("open", imps[SG]);
	importer_attach_init(&args, dmabuf, pf, DMA_BUF_IOV_TEST_ATTACH_P2P);
	check("attach without offers", importer_attach(imps[SG], &args));
}

static void detach_both(const int imps[2])
{
	close(imps[IOV]);
	close(imps[SG]);
}

static void bench_map(const struct iov_vfio *dev, const char *pf)
{
	double ns[2];
	unsigned int i;
	int imps[2];
	int ret;

	printf("bench-head: iov-map ranges sg/iov-ratio iov-us sg-us\n");
	for (i = 0; i < ARRAY_SIZE(nr_ranges); i++) {
		int dmabuf = export_ranges(dev, nr_ranges[i]);

		check("export", dmabuf);
		attach_both(imps, dmabuf, dev, pf);
		ret = importer_map_sg(imps[SG], NULL);
		if (ret) {
			printf("# %u ranges as sg_table: %s\n", nr_ranges[i],
			       strerror(-ret));
			detach_both(imps);
			close(dmabuf);
			continue;
		}
		importer_unmap(imps[SG]);
		bench_both(imps, DMA_BUF_IOV_TEST_BENCH_MAP, ns);
		printf("bench: iov-map %u %.1f %.2f %.2f\n", nr_ranges[i],
		       ns[SG] / ns[IOV], ns[IOV] / 1000, ns[SG] / 1000);
		detach_both(imps);
		close(dmabuf);
	}
}

static void bench_attach(const struct iov_vfio *dev, const char *pf)
{
	int dmabuf = export_ranges(dev, 1);
	double ns[2];
	int imps[2];

	check("export", dmabuf);
	attach_both(imps, dmabuf, dev, pf);
	bench_both(imps, DMA_BUF_IOV_TEST_BENCH_ATTACH, ns);
	printf("bench-head: attach offers time-ratio ns\n");
	printf("bench: attach 0 1.00 %.0f\n", ns[SG]);
	printf("bench: attach 1 %.2f %.0f\n", ns[IOV] / ns[SG], ns[IOV]);
	detach_both(imps);
	close(dmabuf);
}

int main(void)
{
	char pf[IOV_BDF_LEN];
	struct iov_vfio dev;
	int imp;

	setlinebuf(stdout);
	if (iov_pf_find(0, pf))
		ksft_exit_skip("no PF with SR-IOV\n");
	imp = importer_open();
	if (imp < 0)
		ksft_exit_skip(IMPORTER_HOWTO "\n");
	close(imp);

	check("cannot set up a VF", iov_vfio_setup(&dev, pf));
	bench_map(&dev, pf);
	bench_attach(&dev, pf);
	check("cannot close the VF", iov_vfio_close(&dev));
	return KSFT_PASS;
}
