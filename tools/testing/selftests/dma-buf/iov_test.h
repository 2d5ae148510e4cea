/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most tests of IOV start from: a PF, a VF of it that vfio-pci owns, a
 * dma-buf of its BAR, and an importer.
 *
 * To be included after kselftest_harness.h.
 */
#ifndef IOV_TEST_H
#define IOV_TEST_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iov_importer.h"
#include "iov_vfio.h"

#define IOV_TEST_NO_PF \
	"no SR-IOV PF with a driver: set DMABUF_TEST_PF, as in 0000:01:00.0"

/* Of the VF's BAR, the tests export no more than the first pages. */
#define IOV_TEST_PAGES	4

/* To change the number of VFs takes seconds, so all tests of a program use two. */
#define IOV_TEST_VFS	2

struct iov_test {
	char pf[IOV_BDF_LEN];
	struct iov_vfio vf;
	int imp;
	unsigned int warned;
};

static inline size_t iov_page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline bool iov_test_has_bar(const char *pf)
{
	unsigned int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (iov_vf_bar_size(pf, bar) >= IOV_TEST_PAGES * iov_page_size())
			return true;
	return false;
}

/* What there is not and the tests need, or NULL: a reason to skip. */
static inline const char *iov_test_missing(struct iov_test *t)
{
	t->warned = iov_kernel_warned();
	t->imp = importer_open();
	if (t->imp < 0)
		return IMPORTER_HOWTO;
	if (iov_pf_find(0, t->pf) || !iov_has_driver(t->pf))
		return IOV_TEST_NO_PF;
	if (access("/sys/bus/pci/drivers/vfio-pci", F_OK) ||
	    access("/dev/iommu", F_OK))
		return "no vfio-pci or no /dev/iommu: modprobe vfio-pci iommufd";
	if (iov_total_vfs(t->pf) < IOV_TEST_VFS)
		return "the PF has no two VFs";
	if (!iov_test_has_bar(t->pf))
		return "the VFs have no memory BAR of four pages";
	return NULL;
}

/* Where nothing is missing: enable VFs, give the first to vfio-pci, open it. */
static inline int iov_test_setup(struct iov_test *t)
{
	return iov_sriov_set(t->pf, IOV_TEST_VFS) ?:
	       iov_vfio_setup(&t->vf, t->pf);
}

/* In FIXTURE_TEARDOWN: the way back. */
#define IOV_TEST_TEARDOWN(t) do {					\
	struct iov_test *__t = (t);					\
									\
	close(__t->imp);						\
	EXPECT_EQ(0, iov_vfio_close(&__t->vf));				\
	EXPECT_EQ(__t->warned, iov_kernel_warned())			\
		TH_LOG("the kernel has warned: see its log");		\
} while (0)

/* Part of a BAR, in pages. */
struct iov_pages {
	unsigned int first;
	unsigned int nr;
};

/* A dma-buf of @nr parts of the VF's BAR: its fd, or -errno. */
static inline int iov_test_export(const struct iov_test *t,
				  const struct iov_pages *parts,
				  unsigned int nr)
{
	struct vfio_region_dma_range *ranges;
	unsigned int i;
	int fd;

	ranges = calloc(nr, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;

	for (i = 0; i < nr; i++) {
		ranges[i].offset = parts[i].first * iov_page_size();
		ranges[i].length = parts[i].nr * iov_page_size();
	}
	fd = iov_vfio_export(&t->vf, t->vf.bar, ranges, nr);
	free(ranges);
	return fd;
}

/* A dma-buf of all pages that the tests use: its fd, or -errno. */
static inline int iov_test_export_bar(const struct iov_test *t)
{
	static const struct iov_pages bar = { 0, IOV_TEST_PAGES };

	return iov_test_export(t, &bar, 1);
}

static inline int iov_write_file(const char *file, const char *value)
{
	int fd = open(file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Back from vfio-pci to the driver that is meant for @bdf. */
static inline int iov_test_give_back(const char *bdf)
{
	char path[128];
	int ret;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/driver_override",
		 bdf);
	ret = iov_write_file(path, "\n");
	if (!ret)
		ret = iov_vfio_unbind(bdf);
	return ret ?: iov_write_file("/sys/bus/pci/drivers_probe", bdf);
}

/*
 * Trace events of interconnects. iov_trace_start() empties the buffer and
 * switches them on, -ENOENT if the kernel has none. iov_trace_next() finds the
 * value of @key in the next line of @event about the dma-buf @fd.
 */
#define IOV_TRACING		"/sys/kernel/tracing/"
#define IOV_TRACE_ENABLE	IOV_TRACING "events/dma_buf_interconnect/enable"

static inline int iov_trace_start(void)
{
	int ret = iov_write_file(IOV_TRACING "trace", "\n");

	return ret ?: iov_write_file(IOV_TRACE_ENABLE, "1");
}

/* What was traced so far, to be closed with fclose(). Stops tracing. */
static inline FILE *iov_trace_read(void)
{
	iov_write_file(IOV_TRACE_ENABLE, "0");
	return fopen(IOV_TRACING "trace", "r");
}

/*
 * Is @line the event @event of the dma-buf with inode number @ino? But not of an
 * offer of phys, which is for iommufd: the tests are of IOV.
 */
static inline bool iov_trace_is(const char *line, const char *event,
				unsigned long long ino)
{
	char name[64], number[64];

	snprintf(name, sizeof(name), " dma_buf_interconnect_%s: ", event);
	snprintf(number, sizeof(number), " ino=%llu ", ino);
	return strstr(line, name) && strstr(line, number) &&
	       !strstr(line, " interconnect=phys ");
}

/* The value may be in quotes. Returns 0, -ENOENT if there is no other such line. */
static inline int iov_trace_next(FILE *trace, int fd, const char *event,
				 const char *key, char *value, size_t size)
{
	char line[512], word[64];
	struct stat st;
	char *start;
	size_t len;

	if (fstat(fd, &st))
		return -errno;
	snprintf(word, sizeof(word), " %s=", key);

	while (fgets(line, sizeof(line), trace)) {
		start = strstr(line, word);
		if (!start || !iov_trace_is(line, event, st.st_ino))
			continue;
		start += strlen(word);
		len = *start == '"' ? strcspn(++start, "\"\n") :
				      strcspn(start, "\n ");
		snprintf(value, size, "%.*s", (int)len, start);
		return 0;
	}

	return -ENOENT;
}

#endif /* IOV_TEST_H */
