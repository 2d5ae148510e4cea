// SPDX-License-Identifier: GPL-2.0-only
/*
 * Bad input: what user space may pass to vfio's dma-buf feature and to the test
 * importer, at, below and past every bound, and the errno that it gets for it
 *
 * VFIO_DEVICE_FEATURE_DMA_BUF, for a region of S bytes, with pages of P:
 *
 *   what                  value                                  result
 *   --------------------  -------------------------------------  ----------
 *   argsz                 below the header, below the payload    EINVAL
 *                         header and payload, without ranges     accepted
 *   operation             PROBE, PROBE | GET                     0
 *                         none, SET, GET | SET, PROBE | SET,
 *                         a bit that does not exist              EINVAL
 *   region_index          a BAR without resource, ROM or past    ENODEV
 *   flags                 anything but 0                         EINVAL
 *   nr_ranges             0                                      EINVAL
 *                         more than kmalloc() can hold           ENOMEM
 *   dma_ranges            not readable                           EFAULT
 *   offset                not a multiple of P                    EINVAL
 *                         S or more                              EINVAL
 *                         address of the region + offset wraps   EOVERFLOW
 *   length                0, not a multiple of P                 EINVAL
 *                         offset + length > S                    EINVAL
 *                         address + offset + length wraps        EOVERFLOW
 *   sum of lengths        2^63 or more                           EINVAL
 *   memory disabled       of a VF                                no matter
 *                         else the buffer is born revoked        ENODEV at
 *                                                                attach
 *
 * What the test importer returns is documented in its uapi header.
 */
#include "kselftest_harness.h"
#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "iov_test.h"

#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET
#define PROBE	VFIO_DEVICE_FEATURE_PROBE

#define P		4096	/* the tables below need a constant */

/* What is passed to the kernel. Not all that nr_ranges promises is there. */
struct request {
	struct {
		uint32_t argsz;
		uint32_t flags;
	} feature;
	struct {
		uint32_t region_index;
		uint32_t open_flags;
		uint32_t flags;
		uint32_t nr_ranges;
		struct vfio_region_dma_range range[2];
	} dma_buf;
};

#define HEADER	sizeof(struct vfio_device_feature)
#define PAYLOAD	sizeof(struct vfio_device_feature_dma_buf)

static struct request good_request(const struct iov_test *t)
{
	return (struct request) {
		.feature.argsz = sizeof(struct request),
		.feature.flags = VFIO_DEVICE_FEATURE_DMA_BUF | GET,
		.dma_buf.region_index = t->vf.bar,
		.dma_buf.open_flags = O_RDWR | O_CLOEXEC,
		.dma_buf.nr_ranges = 1,
		.dma_buf.range[0] = { .offset = 0, .length = P },
		.dma_buf.range[1] = { .offset = P, .length = P },
	};
}

/* 0, and the dma-buf is closed again, or -errno. */
static int request(int vf, const void *arg)
{
	int ret = ioctl(vf, VFIO_DEVICE_FEATURE, arg);

	if (ret < 0)
		return -errno;
	if (ret > 0)
		close(ret);
	return 0;
}

/* A page, behind which there is none. */
static void *guarded_page(void)
{
	char *map = mmap(NULL, 2 * iov_page_size(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		return NULL;
	munmap(map + iov_page_size(), iov_page_size());
	return map;
}

static void *no_page(void)
{
	char *map = guarded_page();

	return map ? map + iov_page_size() : NULL;
}

static void *readonly_page(const void *content, size_t size)
{
	void *map = guarded_page();

	if (map) {
		memcpy(map, content, size);
		mprotect(map, iov_page_size(), PROT_READ);
	}
	return map;
}

/* How many files has this process open? */
static unsigned int count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/*
 * vfio
 */

FIXTURE(vfio) {
	struct iov_test t;
	uint64_t size;		/* of the region */
	unsigned int files;
};

FIXTURE_SETUP(vfio)
{
	struct vfio_region_info info;
	const char *missing;

	if (iov_page_size() != P)
		SKIP(return, "the tables are made for pages of 4 KiB");
	missing = iov_test_missing(&self->t);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	ASSERT_EQ(0, iov_vfio_region(&self->t.vf, self->t.vf.bar, &info));
	self->size = info.size;
	self->files = count_files();
}

/* Whatever was refused, nothing is left of it, and what is right works. */
FIXTURE_TEARDOWN(vfio)
{
	struct request req = good_request(&self->t);

	EXPECT_EQ(self->files, count_files());
	EXPECT_EQ(0, request(self->t.vf.fd, &req));
	IOV_TEST_TEARDOWN(&self->t);
}

TEST_F(vfio, argsz)
{
	static const struct {
		uint32_t argsz;
		int ret;
	} cases[] = {
		{ 0,				-EINVAL },
		{ HEADER - 1,			-EINVAL },
		{ HEADER,			-EINVAL },
		{ HEADER + PAYLOAD - 1,		-EINVAL },
		{ HEADER + PAYLOAD,		0 },
		{ UINT32_MAX,			0 },
	};
	struct request req = good_request(&self->t);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		req.feature.argsz = cases[i].argsz;
		EXPECT_EQ(cases[i].ret, request(self->t.vf.fd, &req)) {
			TH_LOG("case %u", i);
		}
	}
}

TEST_F(vfio, operation)
{
	static const struct {
		uint32_t flags;
		int ret;
	} cases[] = {
		{ GET,					0 },
		{ PROBE,				0 },
		{ PROBE | GET,				0 },
		{ 0,					-EINVAL },
		{ SET,					-EINVAL },
		{ GET | SET,				-EINVAL },
		{ PROBE | SET,				-EINVAL },
		{ PROBE | GET | SET,			-EINVAL },
		{ GET | PROBE << 1,			-EINVAL },
		{ GET | 1U << 31,			-EINVAL },
	};
	struct request req = good_request(&self->t);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		req.feature.flags = VFIO_DEVICE_FEATURE_DMA_BUF |
				    cases[i].flags;
		EXPECT_EQ(cases[i].ret, request(self->t.vf.fd, &req)) {
			TH_LOG("case %u", i);
		}
	}
}

/* To probe takes a header only, and makes no dma-buf. */
TEST_F(vfio, probe)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_DMA_BUF | PROBE | GET,
	};

	EXPECT_EQ(0, ioctl(self->t.vf.fd, VFIO_DEVICE_FEATURE, &feature));
}

/* What is to be expected for a page of a BAR, by how large vfio says that it is? */
static int region_ret(const struct iov_vfio *vf, unsigned int bar)
{
	struct vfio_region_info info;

	if (iov_vfio_region(vf, bar, &info) || !info.size)
		return -ENODEV;
	return info.size < P ? -EINVAL : 0;
}

TEST_F(vfio, region)
{
	static const uint32_t no_bar[] = {
		VFIO_PCI_ROM_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
		VFIO_PCI_NUM_REGIONS, UINT32_MAX,
	};
	struct request req = good_request(&self->t);
	unsigned int i;
	int ret;

	for (i = VFIO_PCI_BAR0_REGION_INDEX; i <= VFIO_PCI_BAR5_REGION_INDEX;
	     i++) {
		ret = region_ret(&self->t.vf, i);
		req.dma_buf.region_index = i;
		EXPECT_EQ(ret, request(self->t.vf.fd, &req)) {
			TH_LOG("region %u", i);
		}
	}

	for (i = 0; i < ARRAY_SIZE(no_bar); i++) {
		req.dma_buf.region_index = no_bar[i];
		EXPECT_EQ(-ENODEV, request(self->t.vf.fd, &req)) {
			TH_LOG("region %u", no_bar[i]);
		}
	}
}

TEST_F(vfio, flags)
{
	static const uint32_t flags[] = { 1, 2, 1U << 31, UINT32_MAX };
	struct request req = good_request(&self->t);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		req.dma_buf.flags = flags[i];
		EXPECT_EQ(-EINVAL, request(self->t.vf.fd, &req));
	}
}

TEST_F(vfio, nr_ranges)
{
	struct request req = good_request(&self->t);
	static const struct {
		uint32_t nr;
		int ret;
	} cases[] = {
		{ 0,		-EINVAL },
		{ 1,		0 },
		{ 2,		0 },
		{ 1U << 31,	-ENOMEM },
		{ UINT32_MAX,	-ENOMEM },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		req.dma_buf.nr_ranges = cases[i].nr;
		EXPECT_EQ(cases[i].ret, request(self->t.vf.fd, &req)) {
			TH_LOG("%u ranges", cases[i].nr);
		}
	}
}

/* The most that fits in what kmalloc() may be asked for, where that is 4 MiB. */
TEST_F_TIMEOUT(vfio, most_ranges, 120)
{
	const uint32_t most = (4 << 20) / sizeof(struct vfio_region_dma_range);
	struct vfio_device_feature_dma_buf *dma_buf;
	struct request *req;
	uint32_t i;
	int ret;

	req = calloc(1, sizeof(*req) +
		     (most + 1) * sizeof(*dma_buf->dma_ranges));
	ASSERT_NE(NULL, req);
	*req = good_request(&self->t);
	dma_buf = (void *)&req->dma_buf;
	for (i = 0; i <= most; i++) {
		dma_buf->dma_ranges[i].offset = i * 3 % 4 * P;
		dma_buf->dma_ranges[i].length = P;
	}

	dma_buf->nr_ranges = most + 1;
	EXPECT_EQ(-ENOMEM, request(self->t.vf.fd, req));
	dma_buf->nr_ranges = most;
	ret = request(self->t.vf.fd, req);
	EXPECT_TRUE(!ret || ret == -ENOMEM) {
		TH_LOG("%u ranges: %d", most, ret);
	}

	/* One bad range among many. */
	dma_buf->nr_ranges = most / 2;
	dma_buf->dma_ranges[most / 2 - 1].offset = self->size;
	EXPECT_EQ(-EINVAL, request(self->t.vf.fd, req));
	free(req);
}

TEST_F(vfio, ranges)
{
	static const struct vfio_region_dma_range first = { 0, P };
	static const uint64_t top = 1ULL << 63;
	const uint64_t S = self->size;
	const struct {
		uint64_t offset;
		uint64_t length;
		int ret;
	} cases[] = {
		/* inside */
		{ 0,		S,		0 },
		{ S - P,	P,		0 },
		/* nothing */
		{ 0,		0,		-EINVAL },
		{ S,		0,		-EINVAL },
		/* not pages */
		{ 1,		P,		-EINVAL },
		{ P - 1,	P,		-EINVAL },
		{ P + 1,	P,		-EINVAL },
		{ P / 2,	P,		-EINVAL },
		{ 0,		1,		-EINVAL },
		{ 0,		P - 1,		-EINVAL },
		{ 0,		P + 1,		-EINVAL },
		{ 0,		S - 1,		-EINVAL },
		/* past the end */
		{ 0,		S + P,		-EINVAL },
		{ P,		S,		-EINVAL },
		{ S - P,	2 * P,		-EINVAL },
		{ S,		P,		-EINVAL },
		{ S + P,	P,		-EINVAL },
		{ 1ULL << 50,	P,		-EINVAL },
		{ 0,		1ULL << 50,	-EINVAL },
		{ 0,		top - P,	-EINVAL },
		/* wrapping */
		{ -P,		P,		-EOVERFLOW },
		{ -P,		2 * P,		-EOVERFLOW },
		{ top,		top - 2 * P,	-EOVERFLOW },
		/* too long for DMA */
		{ 0,		top,		-EINVAL },
		{ 0,		-P,		-EINVAL },
		{ P,		-P,		-EINVAL },
		{ -P,		-P,		-EINVAL },
	};
	struct request req = good_request(&self->t);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		req.dma_buf.nr_ranges = 1;
		req.dma_buf.range[0].offset = cases[i].offset;
		req.dma_buf.range[0].length = cases[i].length;
		EXPECT_EQ(cases[i].ret, request(self->t.vf.fd, &req)) {
			TH_LOG("case %u", i);
		}

		/* The same as the second of two. */
		req.dma_buf.nr_ranges = 2;
		req.dma_buf.range[1] = req.dma_buf.range[0];
		req.dma_buf.range[0] = first;
		EXPECT_EQ(cases[i].ret, request(self->t.vf.fd, &req)) {
			TH_LOG("case %u, second", i);
		}
	}

	/* Each length is fine by itself, the sum is not. */
	req.dma_buf.range[0] = (struct vfio_region_dma_range){ 0, top };
	req.dma_buf.range[1] = (struct vfio_region_dma_range){ 0, top };
	EXPECT_EQ(-EINVAL, request(self->t.vf.fd, &req));
	req.dma_buf.range[0].length = top / 2;
	req.dma_buf.range[1].length = top / 2;
	EXPECT_EQ(-EINVAL, request(self->t.vf.fd, &req));
}

TEST_F(vfio, pointers)
{
	struct request req = good_request(&self->t);
	char *end = (char *)guarded_page() + iov_page_size();
	size_t cut;

	EXPECT_EQ(-EFAULT, request(self->t.vf.fd, NULL));
	EXPECT_EQ(-EFAULT, request(self->t.vf.fd, end));

	/* The request ends with the page, or 8 bytes or more too late. */
	req.dma_buf.nr_ranges = 2;
	for (cut = 0; cut < sizeof(req); cut += 8) {
		char *start = end - sizeof(req) + cut;

		memcpy(start, &req, sizeof(req) - cut);
		EXPECT_EQ(cut ? -EFAULT : 0, request(self->t.vf.fd, start)) {
			TH_LOG("without the last %zu bytes", cut);
		}
	}
	munmap(end - iov_page_size(), iov_page_size());
}

/*
 * A VF's memory cannot be disabled in its own command register: importers are not
 * notified, and what is mapped stays so.
 */
TEST_F(vfio, memory_disabled)
{
	struct dma_buf_iov_test_range before = {}, after = {};
	struct dma_buf_iov_test_state state;
	int fd, on;

	ASSERT_EQ(0, iov_vfio_memory(&self->t.vf, false));
	fd = iov_test_export_bar(&self->t);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf,
					 self->t.vf.bar, 0, NULL));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(1, importer_ranges(self->t.imp, 0, &before, 1));

	for (on = 0; on < 6; on++) {
		ASSERT_EQ(0, iov_vfio_memory(&self->t.vf, on % 2));
		ASSERT_EQ(0, importer_state(self->t.imp, &state));
		EXPECT_EQ(0, state.invalidations);
		EXPECT_EQ(1, state.mapped);
	}
	EXPECT_EQ(1, importer_ranges(self->t.imp, 0, &after, 1));
	EXPECT_EQ(before.start, after.start);
	EXPECT_EQ(before.end, after.end);
	EXPECT_EQ(0, importer_detach(self->t.imp));
	close(fd);
}

/* Other functions' can, and then the buffer is born revoked. */
TEST_F(vfio, memory_disabled_pf)
{
	struct dma_buf_iov_test_attach attach;
	char bdf[IOV_BDF_LEN];
	struct iov_vfio pf2;
	int fd;

	if (iov_pf_find(1, bdf))
		SKIP(return, "no second PF: set DMABUF_TEST_PF2");
	ASSERT_EQ(0, iov_vfio_bind(bdf));
	ASSERT_EQ(0, iov_vfio_open(&pf2, bdf));
	EXPECT_EQ(0, iov_vfio_memory(&pf2, false));
	fd = iov_vfio_export_one(&pf2, pf2.bar, 0, P);
	EXPECT_GE(fd, 0);

	importer_attach_init(&attach, fd, self->t.pf,
			     DMA_BUF_IOV_TEST_ATTACH_P2P);
	EXPECT_EQ(-ENODEV, importer_attach(self->t.imp, &attach));
	EXPECT_EQ(0, iov_vfio_memory(&pf2, true));
	EXPECT_EQ(0, importer_attach(self->t.imp, &attach));
	EXPECT_EQ(0, importer_detach(self->t.imp));

	close(fd);
	EXPECT_EQ(0, iov_vfio_close(&pf2));
	EXPECT_EQ(0, iov_test_give_back(bdf));
}

/*
 * The test importer
 */

FIXTURE(module) {
	struct iov_test t;
	struct dma_buf_iov_test_attach attach;
	int imp;
	int fd;
};

FIXTURE_SETUP(module)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->imp = self->t.imp;
	self->fd = iov_test_export_bar(&self->t);
	ASSERT_GE(self->fd, 0);
	importer_attach_init(&self->attach, self->fd, self->t.pf, 0);
	importer_attach_offer(&self->attach, DMA_BUF_IOV_TEST_OFFER_IOV,
			      self->t.vf.bar);
}

/* Whatever was refused, what is right works. */
FIXTURE_TEARDOWN(module)
{
	int ret = importer_detach(self->imp);

	EXPECT_TRUE(!ret || ret == -ENXIO);
	EXPECT_EQ(0, importer_attach(self->imp, &self->attach));
	EXPECT_EQ(0, importer_map(self->imp, NULL));
	close(self->fd);
	IOV_TEST_TEARDOWN(&self->t);
}

TEST_F(module, ioctl_numbers)
{
	static const unsigned long numbers[] = {
		0,
		UINT32_MAX,
		_IO(DMA_BUF_IOV_TEST_TYPE, 0),
		_IO(DMA_BUF_IOV_TEST_TYPE, 10),
		_IO(DMA_BUF_IOV_TEST_TYPE, 255),
		_IO(DMA_BUF_IOV_TEST_TYPE + 1, 1),
		_IOR(DMA_BUF_IOV_TEST_TYPE, 2, struct dma_buf_iov_test_map_sg),
	};
	unsigned int i;
	char byte;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		EXPECT_EQ(-ENOTTY, importer_ioctl(self->imp, numbers[i], NULL));

	EXPECT_EQ(-1, read(self->imp, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->imp, "x", 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, P, PROT_READ, MAP_SHARED, self->imp,
				   0));
	EXPECT_EQ(ENODEV, errno);
}

TEST_F(module, pointers)
{
	static const unsigned long numbers[] = {
		DMA_BUF_IOV_TEST_ATTACH, DMA_BUF_IOV_TEST_MAP,
		DMA_BUF_IOV_TEST_RANGES, DMA_BUF_IOV_TEST_WINDOW,
		DMA_BUF_IOV_TEST_ACCESS, DMA_BUF_IOV_TEST_STATE,
		DMA_BUF_IOV_TEST_BENCH,
	};
	struct dma_buf_iov_test_state state;
	void *none = no_page(), *readonly;
	unsigned int i;

	ASSERT_NE(NULL, none);
	ASSERT_EQ(0, importer_attach(self->imp, &self->attach));
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		EXPECT_EQ(-EFAULT, importer_ioctl(self->imp, numbers[i], NULL));
		EXPECT_EQ(-EFAULT, importer_ioctl(self->imp, numbers[i], none));
	}
	ASSERT_EQ(0, importer_detach(self->imp));

	/* What could not be reported has not happened. */
	readonly = readonly_page(&self->attach, sizeof(self->attach));
	ASSERT_NE(NULL, readonly);
	EXPECT_EQ(-EFAULT, importer_attach(self->imp, readonly));
	EXPECT_EQ(0, importer_state(self->imp, &state));
	EXPECT_EQ(0, state.attached);

	ASSERT_EQ(0, importer_attach(self->imp, &self->attach));
	EXPECT_EQ(-EFAULT, importer_map(self->imp, readonly));
	EXPECT_EQ(0, importer_state(self->imp, &state));
	EXPECT_EQ(0, state.mapped);
}

TEST_F(module, attach)
{
	const struct dma_buf_iov_test_attach good = self->attach;
	struct dma_buf_iov_test_attach bad[] = {
		good, good, good, good, good, good, good, good, good,
	};
	unsigned int i;

	bad[0].flags = 0x20;
	bad[1].flags = UINT32_MAX;
	bad[2].nr_offers = DMA_BUF_IOV_TEST_MAX_OFFERS + 1;
	bad[3].nr_offers = UINT32_MAX;
	bad[4].reserved = 1;
	bad[5].reserved2 = 1;
	bad[6].offers[0].kind = DMA_BUF_IOV_TEST_OFFER_OTHER + 1;
	bad[7].offers[0].bar = 6;
	memset(bad[8].bdf, '0', sizeof(bad[8].bdf));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, importer_attach(self->imp, &bad[i])) {
			TH_LOG("case %u", i);
		}
	}

	/* Offers past the end of the list do not count. */
	bad[0] = good;
	bad[0].offers[1].kind = UINT32_MAX;
	EXPECT_EQ(0, importer_attach(self->imp, &bad[0]));
	EXPECT_EQ(-EBUSY, importer_attach(self->imp, &bad[0]));
}

TEST_F(module, attach_device)
{
	static const char *const bdfs[] = {
		"0000:ff:1f.7", "0000:01:00", "01:00.0", " ", "dma_buf_iov_test",
		"../../../../etc",
	};
	struct dma_buf_iov_test_attach bad;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bdfs); i++) {
		bad = self->attach;
		snprintf(bad.bdf, sizeof(bad.bdf), "%s", bdfs[i]);
		EXPECT_EQ(-ENODEV, importer_attach(self->imp, &bad)) {
			TH_LOG("'%s'", bdfs[i]);
		}
	}
}

TEST_F(module, attach_fd)
{
	struct dma_buf_iov_test_attach bad = self->attach;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	bad.fd = -1;
	EXPECT_EQ(-EBADF, importer_attach(self->imp, &bad));
	bad.fd = INT32_MIN;
	EXPECT_EQ(-EBADF, importer_attach(self->imp, &bad));
	bad.fd = 1000000;
	EXPECT_EQ(-EBADF, importer_attach(self->imp, &bad));
	bad.fd = null;
	EXPECT_EQ(-EINVAL, importer_attach(self->imp, &bad));
	bad.fd = self->imp;
	EXPECT_EQ(-EINVAL, importer_attach(self->imp, &bad));
	bad.fd = self->t.vf.fd;
	EXPECT_EQ(-EINVAL, importer_attach(self->imp, &bad));
	close(null);
}

/* In the wrong order. */
TEST_F(module, order)
{
	struct dma_buf_iov_test_range range;
	uint32_t value;
	int i;

	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-ENXIO, importer_detach(self->imp));
		EXPECT_EQ(-ENXIO, importer_map(self->imp, NULL));
		EXPECT_EQ(-ENXIO, importer_map_sg(self->imp, NULL));
		EXPECT_EQ(-ENXIO, importer_unmap(self->imp));
		EXPECT_EQ(-ENXIO, importer_ranges(self->imp, 0, &range, 1));
		EXPECT_EQ(-ENXIO, importer_read(self->imp, 0, &value, 4));
		EXPECT_EQ(-ENXIO, importer_bench(self->imp,
						 DMA_BUF_IOV_TEST_BENCH_MAP, 1,
						 NULL));

		ASSERT_EQ(0, importer_attach(self->imp, &self->attach));
		EXPECT_EQ(-EBUSY, importer_attach(self->imp, &self->attach));
		EXPECT_EQ(-ENXIO, importer_unmap(self->imp));
		EXPECT_EQ(-ENXIO, importer_ranges(self->imp, 0, &range, 1));
		EXPECT_EQ(-ENXIO, importer_read(self->imp, 0, &value, 4));

		ASSERT_EQ(0, importer_map(self->imp, NULL));
		EXPECT_EQ(-EBUSY, importer_map(self->imp, NULL));
		EXPECT_EQ(-EBUSY, importer_map_sg(self->imp, NULL));
		EXPECT_EQ(-EBUSY, importer_bench(self->imp,
						 DMA_BUF_IOV_TEST_BENCH_MAP, 1,
						 NULL));
		/* Detaching drops the mapping. */
		ASSERT_EQ(0, importer_detach(self->imp));
	}
}

TEST_F(module, ranges)
{
	struct dma_buf_iov_test_range range;

	ASSERT_EQ(0, importer_attach(self->imp, &self->attach));
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	EXPECT_EQ(-EFAULT, importer_ranges(self->imp, 0, NULL, 1));
	EXPECT_EQ(-EFAULT, importer_ranges(self->imp, 0, no_page(), 1));
	EXPECT_EQ(0, importer_ranges(self->imp, 0, NULL, 0));
	EXPECT_EQ(0, importer_ranges(self->imp, 1, NULL, 1));
	EXPECT_EQ(0, importer_ranges(self->imp, UINT32_MAX, NULL, UINT32_MAX));
	EXPECT_EQ(1, importer_ranges(self->imp, 0, &range, UINT32_MAX));
}

TEST_F(module, window)
{
	static const struct dma_buf_iov_test_window good = {
		.vf_bar = 5,
		.pf_bar = 5,
		.vf_offset = UINT64_MAX - 7,
		.size = 4,
	};
	struct dma_buf_iov_test_window bad[] = {
		good, good, good, good, good, good, good, good, good,
	};
	unsigned int i;

	bad[0].vf_bar = 6;
	bad[1].pf_bar = DMA_BUF_IOV_TEST_VF_BARS + 6;
	bad[2].vf_bar = UINT32_MAX;
	bad[3].vf_offset = 2;
	bad[4].vf_offset = UINT64_MAX - 3;	/* ends at 2^64 */
	bad[5].size = 0;
	bad[6].size = 6;
	bad[7].pf_offset = 1;
	bad[8].pf_stride = 3;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, importer_window(self->imp, &bad[i])) {
			TH_LOG("case %u", i);
		}
	}
	EXPECT_EQ(0, importer_window(self->imp, &good));
}

TEST_F(module, access)
{
	char *page = guarded_page();
	struct iov_shared shared;
	int imp = self->imp, fd;
	uint64_t at, offset;
	uint32_t value, bar;

	ASSERT_NE(NULL, page);
	if (iov_shared_find(&self->t.vf, &shared))
		SKIP(return, IOV_NO_SHARED);
	bar = shared.window.vf_bar;
	at = iov_shared_word(&shared) % iov_page_size();
	offset = iov_shared_word(&shared) - at;
	fd = iov_vfio_export_one(&self->t.vf, bar, offset, iov_page_size());
	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, importer_attach_iov(imp, fd, self->t.pf, bar, 0, NULL));
	ASSERT_EQ(0, importer_map(imp, NULL));
	ASSERT_EQ(0, importer_window(imp, &shared.window));

	EXPECT_EQ(-EINVAL, importer_read(imp, at, page, 0));
	EXPECT_EQ(-EINVAL, importer_read(imp, at, page, 3));
	EXPECT_EQ(-EINVAL, importer_read(imp, at, page, 5));
	EXPECT_EQ(-EINVAL, importer_read(imp, at, page, iov_page_size() + 4));
	EXPECT_EQ(-EINVAL, importer_read(imp, at, page, UINT32_MAX));
	EXPECT_EQ(-EINVAL, importer_read(imp, at + 2, page, 4));
	EXPECT_EQ(-EINVAL, importer_access(imp, at, page, 4, 2));
	EXPECT_EQ(-ERANGE, importer_read(imp, at, page, iov_page_size()));

	EXPECT_EQ(-EFAULT, importer_read(imp, at, NULL, 4));
	EXPECT_EQ(-EFAULT, importer_write(imp, at, NULL, 4));
	page += iov_page_size();
	EXPECT_EQ(-EFAULT, importer_read(imp, at, page, 4));
	EXPECT_EQ(-EFAULT, importer_write(imp, at, page, 4));
	EXPECT_EQ(-EFAULT, importer_write(imp, at, page - 4, 8));
	EXPECT_EQ(0, importer_write(imp, at, page - 4, 4));
	EXPECT_EQ(0, importer_read(imp, at, &value, 4));
	close(fd);
}

TEST_F(module, state)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct dma_buf_iov_test_state state = { .reserved = 1, .eventfd = -1 };
	int event;

	EXPECT_EQ(-EINVAL, importer_ioctl(self->imp, DMA_BUF_IOV_TEST_STATE,
					  &state));
	EXPECT_EQ(-EBADF, importer_eventfd(self->imp, 1000000));
	EXPECT_EQ(-EBADF, importer_eventfd(self->imp, -2));
	EXPECT_EQ(-EINVAL, importer_eventfd(self->imp, null));
	close(null);

	/* Set, replaced, and left for the importer's end. */
	event = eventfd(0, EFD_CLOEXEC);
	EXPECT_EQ(0, importer_eventfd(self->imp, event));
	EXPECT_EQ(0, importer_eventfd(self->imp, event));
	close(event);
	EXPECT_EQ(0, importer_state(self->imp, &state));
	EXPECT_EQ(0, state.attached);
}

TEST_F(module, bench)
{
	uint64_t ns = 1;

	ASSERT_EQ(0, importer_attach(self->imp, &self->attach));
	EXPECT_EQ(-EINVAL, importer_bench(self->imp,
					  DMA_BUF_IOV_TEST_BENCH_MAP + 1, 1,
					  &ns));
	EXPECT_EQ(-EINVAL, importer_bench(self->imp, UINT32_MAX, 1, &ns));
	EXPECT_EQ(0, importer_bench(self->imp, DMA_BUF_IOV_TEST_BENCH_MAP, 10,
				    &ns));
	EXPECT_EQ(0, importer_bench(self->imp, DMA_BUF_IOV_TEST_BENCH_ATTACH,
				    10, &ns));
	EXPECT_EQ(0, importer_map(self->imp, NULL));
}

TEST_HARNESS_MAIN
