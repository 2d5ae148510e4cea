// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation fails in turn: on export, attach and map
 *
 * An operation is repeated with its first allocation made to fail, then with its
 * second, and so on until it gets by without a failure. It may fail with -ENOMEM,
 * or succeed where a failure can be made up for. Either way it must be undone
 * completely, so after each run the same is done once more without failures.
 * What was leaked is for kmemleak to find, when all tests have run, and bad
 * accesses for KASAN.
 */
#include "kselftest_harness.h"
#include <dirent.h>

#include "iov_test.h"

#define DEBUGFS	"/sys/kernel/debug/"
#define NO_FAULT_INJECTION \
	"no fault injection: CONFIG_FAILSLAB, CONFIG_FAULT_INJECTION_DEBUG_FS"

/* More than this many allocations, and the loop has gone wrong. */
#define TOO_MANY	2000

#define MANY_RANGES	1200

/* Let all allocations of a process fail that asks for it, and say nothing. */
static bool allow_failures(void)
{
	static const char *const yes[][2] = {
		{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "fail_page_alloc/min-order", "0" },
		{ DEBUGFS "failslab/verbose", "0" },
		{ DEBUGFS "fail_page_alloc/verbose", "0" },
	};
	unsigned int i;

	if (iov_write_file(yes[0][0], yes[0][1]))
		return false;
	for (i = 1; i < ARRAY_SIZE(yes); i++)
		iov_write_file(yes[i][0], yes[i][1]);
	return true;
}

FIXTURE(fail_nth) {
	struct iov_test t;
	int control;
	int fd;
	struct iov_pages *parts;
	unsigned int nr_parts;
};

FIXTURE_VARIANT(fail_nth) {
	unsigned int nr_parts;
};

FIXTURE_VARIANT_ADD(fail_nth, one) {
	.nr_parts = 1,
};

FIXTURE_VARIANT_ADD(fail_nth, few) {
	.nr_parts = 3,
};

FIXTURE_VARIANT_ADD(fail_nth, many) {
	.nr_parts = MANY_RANGES,
};

FIXTURE_SETUP(fail_nth)
{
	const char *missing;
	unsigned int i;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", getpid());
	self->control = open(path, O_RDWR | O_CLOEXEC);
	if (self->control < 0 || !allow_failures())
		SKIP(return, NO_FAULT_INJECTION);

	missing = iov_test_missing(&self->t);
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->parts = calloc(variant->nr_parts, sizeof(*self->parts));
	ASSERT_NE(NULL, self->parts);
	self->nr_parts = variant->nr_parts;
	/* 0, 3, 2, 1, 0, ...: no two are merged */
	for (i = 0; i < self->nr_parts; i++)
		self->parts[i] = (struct iov_pages){ i * 3 % 4, 1 };
	self->fd = iov_test_export(&self->t, self->parts, self->nr_parts);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(fail_nth)
{
	close(self->fd);
	free(self->parts);
	IOV_TEST_TEARDOWN(&self->t);
	close(self->control);
}

/* Make the @nth allocation from now on fail. */
static int arm(int control, unsigned int nth)
{
	char number[16];
	int len = snprintf(number, sizeof(number), "%u", nth);

	return pwrite(control, number, len, 0) == len ? 0 : -errno;
}

/*
 * Was there a failure since? To find out allocates, too, which can be what
 * fails: then there was none before.
 */
static bool disarm(int control)
{
	char left[16] = {};
	bool failed;

	failed = pread(control, left, sizeof(left) - 1, 0) > 0 && left[0] == '0';
	while (pwrite(control, "0", 1, 0) != 1)
		;
	return failed;
}

/*
 * Run @op with every allocation failing in turn. @undo is called after each
 * success, and after each failure both are to work again.
 */
static void fail_each(struct __test_metadata *_metadata,
		      FIXTURE_DATA(fail_nth) * self,
		      int (*op)(FIXTURE_DATA(fail_nth) * self),
		      int (*undo)(FIXTURE_DATA(fail_nth) * self))
{
	unsigned int nth, failures = 0;
	bool failed;
	int ret;

	for (nth = 1; nth < TOO_MANY; nth++) {
		ASSERT_EQ(0, arm(self->control, nth));
		ret = op(self);
		failed = disarm(self->control);

		if (ret) {
			EXPECT_EQ(-ENOMEM, ret) {
				TH_LOG("allocation %u", nth);
			}
			failures++;
		} else {
			ASSERT_EQ(0, undo(self));
		}
		if (!failed)
			break;

		ASSERT_EQ(0, op(self)) {
			TH_LOG("after the failure of allocation %u", nth);
		}
		ASSERT_EQ(0, undo(self));
	}

	EXPECT_EQ(0, ret);
	EXPECT_GT(nth, 1);
	EXPECT_LT(nth, TOO_MANY);
	EXPECT_GT(failures, 0);
	TH_LOG("%u allocations, without %u of which it fails", nth - 1,
	       failures);
}

static int attach_iov(FIXTURE_DATA(fail_nth) * self)
{
	return importer_attach_iov(self->t.imp, self->fd, self->t.pf,
				   self->t.vf.bar, 0, NULL);
}

static int attach_p2p(FIXTURE_DATA(fail_nth) * self)
{
	return importer_attach_iov(self->t.imp, self->fd, self->t.pf,
				   (self->t.vf.bar + 1) % PCI_STD_NUM_BARS,
				   DMA_BUF_IOV_TEST_ATTACH_P2P, NULL);
}

static int detach(FIXTURE_DATA(fail_nth) * self)
{
	return importer_detach(self->t.imp);
}

TEST_F_TIMEOUT(fail_nth, attach, 120)
{
	fail_each(_metadata, self, attach_iov, detach);
}

TEST_F_TIMEOUT(fail_nth, attach_p2p, 120)
{
	fail_each(_metadata, self, attach_p2p, detach);
}

static int map(FIXTURE_DATA(fail_nth) * self)
{
	return importer_map(self->t.imp, NULL);
}

/* What a failure was made up for must be as good as without. */
static int check_ranges(FIXTURE_DATA(fail_nth) * self)
{
	static struct dma_buf_iov_test_range ranges[MANY_RANGES + 1];
	const uint64_t page = iov_page_size();
	unsigned int i;
	int nr;

	nr = importer_ranges(self->t.imp, 0, ranges, ARRAY_SIZE(ranges));
	if (nr != (int)self->nr_parts)
		return -EPROTO;

	for (i = 0; i < self->nr_parts; i++) {
		if (ranges[i].start != self->parts[i].first * page ||
		    ranges[i].end != ranges[i].start + page - 1)
			return -EPROTO;
	}
	return 0;
}

static int check_and_unmap(FIXTURE_DATA(fail_nth) * self)
{
	return check_ranges(self) ?: importer_unmap(self->t.imp);
}

static int map_sg(FIXTURE_DATA(fail_nth) * self)
{
	return importer_map_sg(self->t.imp, NULL);
}

static int unmap(FIXTURE_DATA(fail_nth) * self)
{
	return importer_unmap(self->t.imp);
}

TEST_F_TIMEOUT(fail_nth, map, 120)
{
	ASSERT_EQ(0, attach_iov(self));
	fail_each(_metadata, self, map, check_and_unmap);
}

TEST_F_TIMEOUT(fail_nth, map_sg, 120)
{
	ASSERT_EQ(0, attach_p2p(self));
	if (map_sg(self))
		SKIP(return, "P2PDMA between the VF and the PF is refused here");
	ASSERT_EQ(0, unmap(self));
	fail_each(_metadata, self, map_sg, unmap);
}

/* Everything from attach on, so that a failure has something to undo. */
static int attach_and_map(FIXTURE_DATA(fail_nth) * self)
{
	int ret = attach_iov(self);

	if (ret)
		return ret;
	ret = map(self);
	if (ret)
		detach(self);
	return ret;
}

static int check_and_detach(FIXTURE_DATA(fail_nth) * self)
{
	return check_ranges(self) ?: detach(self);
}

TEST_F_TIMEOUT(fail_nth, attach_and_map, 120)
{
	fail_each(_metadata, self, attach_and_map, check_and_detach);
}

/* vfio's export, in place of the fixture's. */
static int export(FIXTURE_DATA(fail_nth) * self)
{
	int fd = iov_test_export(&self->t, self->parts, self->nr_parts);

	if (fd < 0)
		return fd;
	self->fd = fd;
	return 0;
}

static int unexport(FIXTURE_DATA(fail_nth) * self)
{
	return close(self->fd) ? -errno : 0;
}

TEST_F_TIMEOUT(fail_nth, export, 120)
{
	close(self->fd);
	fail_each(_metadata, self, export, unexport);
	self->fd = -1;
}

TEST_HARNESS_MAIN
