// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it takes to map a dma-buf of vfio-pci into an IOAS and to unmap it again,
 * for as many ranges: IOMMU_IOAS_MAP_FILE and IOMMU_IOAS_UNMAP, with the VF itself
 * attached to the IOAS, so that an IOMMU's page table is filled. Runs on kernels
 * with and without the phys interconnect, of which the latter map one range only,
 * and prints a line for each number of ranges. Asserts nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <linux/iommufd.h>

#include "../kselftest.h"
#include "iov_vfio.h"

#define PAGE		4096
#define BAR_PAGES	4	/* of the VF's BAR */
/* Many short rounds: some are not disturbed, and the best one counts. */
#define ROUNDS		200
#define ROUND_NS	5000000ULL

static const unsigned int nr_ranges[] = { 1, 4, 16, 64, 256, 1024, 4096 };

static void check(const char *what, int ret)
{
	if (ret < 0)
		ksft_exit_fail_msg("%s: %s\n", what, strerror(-ret));
}

/* Pages of the BAR, again and again, and never one after the one before it. */
static int export_ranges(const struct iov_vfio *dev, unsigned int nr)
{
	static const unsigned int order[BAR_PAGES] = { 0, 2, 1, 3 };
	struct vfio_region_dma_range *ranges;
	unsigned int i;
	int fd;

	ranges = calloc(nr, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		ranges[i].offset = order[i % BAR_PAGES] * PAGE;
		ranges[i].length = PAGE;
	}

	fd = iov_vfio_export(dev, dev->bar, ranges, nr);
	free(ranges);
	return fd;
}

static int attach_ioas(const struct iov_vfio *dev, __u32 *ioas)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
	};

	if (ioctl(dev->iommufd, IOMMU_IOAS_ALLOC, &alloc))
		return -errno;
	attach.pt_id = alloc.out_ioas_id;
	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return -errno;
	*ioas = alloc.out_ioas_id;
	return 0;
}

static int map_unmap(int iommufd, __u32 ioas, int dmabuf, size_t length)
{
	struct iommu_ioas_map_file map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = ioas,
		.fd = dmabuf,
		.length = length,
	};
	struct iommu_ioas_unmap unmap = {
		.size = sizeof(unmap),
		.ioas_id = ioas,
		.length = length,
	};

	if (ioctl(iommufd, IOMMU_IOAS_MAP_FILE, &map))
		return -errno;
	unmap.iova = map.iova;
	return ioctl(iommufd, IOMMU_IOAS_UNMAP, &unmap) ? -errno : 0;
}

static unsigned long long now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Nanoseconds for one, in the round that was disturbed the least. */
static double bench(int iommufd, __u32 ioas, int dmabuf, size_t length)
{
	unsigned int times, i, round;
	unsigned long long start;
	double ns, best;

	start = now();
	check("map", map_unmap(iommufd, ioas, dmabuf, length));
	best = now() - start;
	times = best < ROUND_NS ? ROUND_NS / best : 1;

	for (round = 0; round < ROUNDS; round++) {
		start = now();
		for (i = 0; i < times; i++)
			check("map", map_unmap(iommufd, ioas, dmabuf, length));
		ns = (double)(now() - start) / times;
		if (ns < best)
			best = ns;
	}
	return best;
}

int main(void)
{
	char pf[IOV_BDF_LEN];
	struct iov_vfio dev;
	unsigned int i;
	__u32 ioas = 0;
	int ret;

	setlinebuf(stdout);
	if (iov_pf_find(0, pf))
		ksft_exit_skip("no PF with SR-IOV\n");
	check("cannot set up a VF", iov_vfio_setup(&dev, pf));
	check("cannot attach the VF", attach_ioas(&dev, &ioas));

	for (i = 0; i < ARRAY_SIZE(nr_ranges); i++) {
		int dmabuf = export_ranges(&dev, nr_ranges[i]);
		size_t length = (size_t)nr_ranges[i] * PAGE;

		check("export", dmabuf);
		ret = map_unmap(dev.iommufd, ioas, dmabuf, length);
		if (ret == -EOPNOTSUPP)
			printf("# %u ranges: not on this kernel\n", nr_ranges[i]);
		else
			printf("iommufd-map: %u %.0f\n", nr_ranges[i],
			       bench(dev.iommufd, ioas, dmabuf, length));
		close(dmabuf);
	}

	check("cannot close the VF", iov_vfio_close(&dev));
	return KSFT_PASS;
}
