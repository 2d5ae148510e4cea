/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test importer, seen from a test program: one function for each ioctl of
 * /dev/dma_buf_iov_test. What they do is described where the ioctl is, in
 * test_modules/dma_buf_iov_test_uapi.h.
 *
 * All return 0, or something positive where it says so, or a negative errno.
 * Structures that are filled in may be NULL where nobody cares.
 */
#ifndef IOV_IMPORTER_H
#define IOV_IMPORTER_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "test_modules/dma_buf_iov_test_uapi.h"

/* What to print when a test is skipped because importer_open() failed. */
#define IMPORTER_HOWTO \
	"no " DMA_BUF_IOV_TEST_DEV ": insmod test_modules/dma_buf_iov_test.ko"

static inline int importer_ioctl(int imp, unsigned long cmd, void *arg)
{
	int ret = ioctl(imp, cmd, arg);

	return ret < 0 ? -errno : ret;
}

/* Load test_modules/dma_buf_iov_test.ko from where this program is. */
static inline int importer_load(void)
{
	static const char ko[] = "/test_modules/dma_buf_iov_test.ko";
	char path[512 + sizeof(ko)];
	ssize_t len;
	char *dir;
	int fd, ret;

	len = readlink("/proc/self/exe", path, sizeof(path) - sizeof(ko));
	if (len < 0)
		return -errno;
	path[len] = '\0';
	dir = strrchr(path, '/');
	if (!dir)
		return -ENOENT;
	snprintf(dir, sizeof(ko), "%s", ko);

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	/* Another program was faster. */
	return ret == -EEXIST ? 0 : ret;
}

/*
 * A new importer, as a file descriptor. Loads the module if need be. That there
 * is none, or no permission, is for the caller to skip; that it does not load is
 * a failure.
 */
static inline int importer_open(void)
{
	int ret, fd = open(DMA_BUF_IOV_TEST_DEV, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		ret = importer_load();
		if (ret && ret != -ENOENT && ret != -EPERM) {
			fprintf(stderr, "# dma_buf_iov_test.ko does not load: %s\n",
				strerror(-ret));
			exit(1);
		}
		fd = open(DMA_BUF_IOV_TEST_DEV, O_RDWR | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* Prepare an attachment of @dmabuf for @bdf, "" for a device that is not PCI. */
static inline void importer_attach_init(struct dma_buf_iov_test_attach *attach,
					int dmabuf, const char *bdf,
					uint32_t flags)
{
	memset(attach, 0, sizeof(*attach));
	attach->fd = dmabuf;
	attach->flags = flags;
	snprintf(attach->bdf, sizeof(attach->bdf), "%s", bdf);
}

/* Append an offer. Offers are in the importer's order of preference. */
static inline void importer_attach_offer(struct dma_buf_iov_test_attach *attach,
					 uint32_t kind, uint32_t bar)
{
	struct dma_buf_iov_test_offer *offer = &attach->offers[attach->nr_offers++];

	offer->kind = kind;
	offer->bar = bar;
}

static inline int importer_attach(int imp,
				  struct dma_buf_iov_test_attach *attach)
{
	return importer_ioctl(imp, DMA_BUF_IOV_TEST_ATTACH, attach);
}

/* The usual case: attach for @bdf, which offers IOV for @bar and nothing else. */
static inline int importer_attach_iov(int imp, int dmabuf, const char *bdf,
				      uint32_t bar, uint32_t flags,
				      struct dma_buf_iov_test_attach *attach)
{
	struct dma_buf_iov_test_attach unused;

	if (!attach)
		attach = &unused;
	importer_attach_init(attach, dmabuf, bdf, flags);
	importer_attach_offer(attach, DMA_BUF_IOV_TEST_OFFER_IOV, bar);
	return importer_attach(imp, attach);
}

static inline int importer_detach(int imp)
{
	return importer_ioctl(imp, DMA_BUF_IOV_TEST_DETACH, NULL);
}

static inline int importer_map(int imp, struct dma_buf_iov_test_map *map)
{
	struct dma_buf_iov_test_map unused;

	return importer_ioctl(imp, DMA_BUF_IOV_TEST_MAP, map ?: &unused);
}

static inline int importer_map_sg(int imp, struct dma_buf_iov_test_map_sg *map)
{
	struct dma_buf_iov_test_map_sg unused;

	return importer_ioctl(imp, DMA_BUF_IOV_TEST_MAP_SG, map ?: &unused);
}

/* Undo importer_map() or importer_map_sg(). */
static inline int importer_unmap(int imp)
{
	return importer_ioctl(imp, DMA_BUF_IOV_TEST_UNMAP, NULL);
}

/* Returns how many ranges were read: @nr, or those that there are from @first. */
static inline int importer_ranges(int imp, uint32_t first,
				  struct dma_buf_iov_test_range *ranges,
				  uint32_t nr)
{
	struct dma_buf_iov_test_ranges arg = {
		.uptr = (uintptr_t)ranges,
		.first = first,
		.nr = nr,
	};
	int ret = importer_ioctl(imp, DMA_BUF_IOV_TEST_RANGES, &arg);

	return ret ?: (int)arg.nr;
}

static inline int importer_window(int imp,
				  const struct dma_buf_iov_test_window *window)
{
	return importer_ioctl(imp, DMA_BUF_IOV_TEST_WINDOW, (void *)window);
}

static inline int importer_access(int imp, uint64_t offset, const void *data,
				  uint32_t len, uint32_t write)
{
	struct dma_buf_iov_test_access access = {
		.uptr = (uintptr_t)data,
		.offset = offset,
		.len = len,
		.write = write,
	};

	return importer_ioctl(imp, DMA_BUF_IOV_TEST_ACCESS, &access);
}

/* Read @len bytes from @offset of the buffer through the PF's window. */
static inline int importer_read(int imp, uint64_t offset, void *data,
				uint32_t len)
{
	return importer_access(imp, offset, data, len, 0);
}

static inline int importer_write(int imp, uint64_t offset, const void *data,
				 uint32_t len)
{
	return importer_access(imp, offset, data, len, 1);
}

static inline int importer_state(int imp, struct dma_buf_iov_test_state *state)
{
	memset(state, 0, sizeof(*state));
	state->eventfd = -1;
	return importer_ioctl(imp, DMA_BUF_IOV_TEST_STATE, state);
}

/* Signal @eventfd at each invalidation from now on. */
static inline int importer_eventfd(int imp, int eventfd)
{
	struct dma_buf_iov_test_state state = { .eventfd = eventfd };

	return importer_ioctl(imp, DMA_BUF_IOV_TEST_STATE, &state);
}

/* DMA_BUF_IOV_TEST_BENCH_*, @times; how long all of them took goes to @ns. */
static inline int importer_bench(int imp, uint32_t what, uint32_t times,
				 uint64_t *ns)
{
	struct dma_buf_iov_test_bench bench = { .what = what, .times = times };
	int ret = importer_ioctl(imp, DMA_BUF_IOV_TEST_BENCH, &bench);

	if (!ret && ns)
		*ns = bench.ns;
	return ret;
}

#endif /* IOV_IMPORTER_H */
