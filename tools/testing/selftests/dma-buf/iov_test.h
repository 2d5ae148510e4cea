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

/* The VF's BAR that the tests export: 16 KiB on the 82576. */
#define IOV_TEST_BAR	0
#define IOV_TEST_PAGES	4

struct iov_test {
	char pf[IOV_BDF_LEN];
	struct iov_vfio vf;
	int imp;
};

/*
 * To disable VFs takes seconds, so a program enables them once and disables them
 * when it ends. Which PFs there are is found out before, as PFs with VFs are
 * taken for in use.
 */
#define IOV_TEST_VFS	2

static void __attribute__((constructor)) iov_test_start(void)
{
	char pf[IOV_BDF_LEN], pf2[IOV_BDF_LEN];
	bool have = !iov_pf_find(0, pf), have2 = !iov_pf_find(1, pf2);

	if (have)
		setenv("DMABUF_TEST_PF", pf, 1);
	if (have2)
		setenv("DMABUF_TEST_PF2", pf2, 1);
}

static void __attribute__((destructor)) iov_test_end(void)
{
	char pf[IOV_BDF_LEN];

	if (!iov_pf_find(0, pf))
		iov_sriov_set(pf, 0);
}

static inline int iov_test_enable(const char *pf)
{
	int ret = iov_sriov_set(pf, IOV_TEST_VFS);

	/* Another number was left behind by a program that was killed. */
	if (ret == -EBUSY)
		ret = iov_sriov_set(pf, 0) ?: iov_sriov_set(pf, IOV_TEST_VFS);
	return ret;
}

/* What there is not and the tests need, or NULL: a reason to skip. */
static inline const char *iov_test_missing(struct iov_test *t)
{
	t->imp = importer_open();
	if (t->imp < 0)
		return IMPORTER_HOWTO;
	if (iov_pf_find(0, t->pf))
		return IOV_TEST_NO_PF;
	return NULL;
}

/* Where nothing is missing: enable VFs, give the first to vfio-pci, open it. */
static inline int iov_test_setup(struct iov_test *t)
{
	char bdf[IOV_BDF_LEN];
	int ret;

	ret = iov_test_enable(t->pf) ?: iov_vf_bdf(t->pf, 0, bdf);
	return ret ?: iov_vfio_bind(bdf) ?: iov_vfio_open(&t->vf, bdf);
}

/* In FIXTURE_TEARDOWN: the way back. */
#define IOV_TEST_TEARDOWN(t) do {					\
	struct iov_test *__t = (t);					\
									\
	close(__t->imp);						\
	EXPECT_EQ(0, iov_vfio_close(&__t->vf));				\
} while (0)

static inline size_t iov_page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/* Part of a BAR, in pages. */
struct iov_pages {
	unsigned int first;
	unsigned int nr;
};

/* A dma-buf of @nr parts of the VF's BAR: its fd. */
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
	fd = iov_vfio_export(&t->vf, IOV_TEST_BAR, ranges, nr);
	free(ranges);
	return fd;
}

/* A dma-buf of the VF's whole BAR: its fd. */
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
 * offer of phys: that is for iommufd, and not every kernel has it.
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
