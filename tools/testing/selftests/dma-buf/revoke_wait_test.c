// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a revoke waits for, and that its end waits for nothing: importers that
 * unmap late, fences that signal late, and importers that want the buffer back.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <linux/dma-buf.h>

#include "../kselftest_harness.h"
#include "iov_test.h"

#define TIMEOUT		90	/* more than three waits of IOV_PATIENCE */
#define LAZY		DMA_BUF_IOV_TEST_ATTACH_LAZY
#define KEEP		DMA_BUF_IOV_TEST_ATTACH_KEEP
#define REMAP		DMA_BUF_IOV_TEST_ATTACH_REMAP
#define P2P		DMA_BUF_IOV_TEST_ATTACH_P2P

/*
 * A fence that signals when told to, from the kernel's own sw_sync. Its header is
 * not exported.
 */
#define SW_SYNC		"/sys/kernel/debug/sync/sw_sync"
#define NO_SW_SYNC	"no " SW_SYNC ": CONFIG_SW_SYNC and debugfs"

struct sw_sync_create_fence_data {
	__u32 value;
	char name[32];
	__s32 fence;
};

#define SW_SYNC_IOC_CREATE_FENCE \
	_IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC	_IOW('W', 1, __u32)

static int sw_sync_open(void)
{
	int fd = open(SW_SYNC, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int sw_sync_signal(int sw_sync)
{
	__u32 one = 1;

	return ioctl(sw_sync, SW_SYNC_IOC_INC, &one) ? -errno : 0;
}

/* Let @dmabuf wait for the next sw_sync_signal(), as for a job that writes to it. */
static int sw_sync_import(int sw_sync, int dmabuf)
{
	struct sw_sync_create_fence_data fence = { .value = 1, .name = "late" };
	struct dma_buf_import_sync_file import = { .flags = DMA_BUF_SYNC_WRITE };
	int ret;

	if (ioctl(sw_sync, SW_SYNC_IOC_CREATE_FENCE, &fence))
		return -errno;
	import.fd = fence.fence;
	ret = ioctl(dmabuf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &import);
	ret = ret ? -errno : 0;
	close(fence.fence);
	return ret;
}

/* The kernel's log from now on. */
static int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	lseek(fd, 0, SEEK_END);
	return fd;
}

/* Wait for a line with all of these texts in it. */
static bool log_has(int log, const char *text, const char *text2,
		    const char *text3)
{
	struct pollfd pfd = { .fd = log, .events = POLLIN };
	char line[2048];
	ssize_t len;

	for (;;) {
		len = read(log, line, sizeof(line) - 1);
		if (len < 0 && errno == EAGAIN &&
		    poll(&pfd, 1, IOV_PATIENCE * 1000) != 1)
			return false;
		if (len < 0)
			continue;
		line[len] = '\0';
		if (strstr(line, text) && strstr(line, text2) &&
		    strstr(line, text3))
			return true;
	}
}

/* Wait until @imp has been notified. */
static bool notified(int efd)
{
	struct pollfd pfd = { .fd = efd, .events = POLLIN };

	return poll(&pfd, 1, IOV_PATIENCE * 1000) == 1;
}

static __u64 unmapped(int imp)
{
	struct dma_buf_iov_test_state state;

	return importer_state(imp, &state) ? ~0ULL : state.unmapped;
}

static bool mapped(int imp)
{
	struct dma_buf_iov_test_state state;

	return !importer_state(imp, &state) && state.mapped;
}

FIXTURE(wait)
{
	struct iov_test t;
	int dmabuf;
	int sw_sync;
	int told;	/* eventfd of t.imp */
	unsigned int warned;
};

FIXTURE_SETUP(wait)
{
	const char *missing = iov_test_missing(&self->t);

	self->warned = iov_kernel_warned();
	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	self->dmabuf = iov_test_export_bar(&self->t);
	ASSERT_LE(0, self->dmabuf);
	self->told = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_EQ(0, importer_eventfd(self->t.imp, self->told));
	self->sw_sync = sw_sync_open();
}

FIXTURE_TEARDOWN(wait)
{
	/* Signals what is left. */
	close(self->sw_sync);
	close(self->dmabuf);
	close(self->told);
	IOV_TEST_TEARDOWN(&self->t);
	EXPECT_EQ(self->warned, iov_kernel_warned())
		TH_LOG("the kernel has warned: see its log");
}

#define ATTACH(flags) \
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->dmabuf, \
					 self->t.pf, self->t.vf.bar, flags, \
					 NULL))

/* Ways to revoke, started; they end when the importer has unmapped. */
static int start_low_power(void *arg)
{
	return iov_vfio_set_low_power(arg, true);
}

static pid_t low_power(const struct iov_vfio *dev)
{
	return iov_start(start_low_power, (void *)dev);
}

static pid_t sysfs_reset(const struct iov_vfio *dev)
{
	return iov_sysfs_reset_start(dev->bdf);
}

static const struct {
	pid_t (*start)(const struct iov_vfio *dev);
	bool lasts;
} revokes[] = {
	{ iov_vfio_reset_start },
	{ sysfs_reset },
	{ low_power, true },
};

/*
 * While a revoke waits for an importer: nobody else can map or attach, the
 * importer is named in the log, and the revoke ends with its unmap.
 */
TEST_F_TIMEOUT(wait, unmap, TIMEOUT)
{
	int other = importer_open(), late = importer_open();
	unsigned int i;
	char maps[32];
	pid_t pid;
	int log;

	snprintf(maps, sizeof(maps), "%s maps=1", self->t.pf);
	ATTACH(KEEP);
	ASSERT_EQ(0, importer_attach_iov(other, self->dmabuf, self->t.pf,
					 self->t.vf.bar, 0, NULL));

	for (i = 0; i < ARRAY_SIZE(revokes); i++) {
		eventfd_t told;

		ASSERT_EQ(0, importer_map(other, NULL));
		ASSERT_EQ(0, importer_map(self->t.imp, NULL));
		log = log_open();
		pid = revokes[i].start(&self->t.vf);
		ASSERT_TRUE(notified(self->told));
		ASSERT_EQ(0, eventfd_read(self->told, &told));
		EXPECT_EQ(-ENODEV, importer_map(other, NULL));
		EXPECT_EQ(-ENODEV, importer_attach_iov(late, self->dmabuf,
						       self->t.pf, self->t.vf.bar,
						       0, NULL));
		if (log >= 0)
			EXPECT_TRUE(log_has(log, self->t.vf.bdf,
					    "dma-buf revoke waits for unmap",
					    maps));
		EXPECT_FALSE(iov_finished(pid));
		EXPECT_EQ(-ENODEV, importer_map(other, NULL));
		EXPECT_EQ(i + 1, unmapped(other));

		EXPECT_EQ(0, importer_unmap(self->t.imp));
		EXPECT_EQ(0, iov_finish(pid));
		if (revokes[i].lasts) {
			EXPECT_EQ(-ENODEV, importer_map(other, NULL));
			EXPECT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
		}
		close(log);
	}
	EXPECT_EQ(0, importer_map(other, NULL));
	close(other);
	close(late);
}

/* A revoke waits for jobs, and only then lets a lazy importer unmap. */
TEST_F_TIMEOUT(wait, fence, TIMEOUT)
{
	unsigned int i;
	pid_t pid;
	int log;

	if (self->sw_sync < 0)
		SKIP(return, NO_SW_SYNC);
	ATTACH(LAZY);

	for (i = 0; i < ARRAY_SIZE(revokes); i++) {
		eventfd_t told;
		int sw_sync = sw_sync_open();

		ASSERT_EQ(0, importer_map(self->t.imp, NULL));
		ASSERT_EQ(0, sw_sync_import(sw_sync, self->dmabuf));
		log = log_open();
		pid = revokes[i].start(&self->t.vf);
		ASSERT_TRUE(notified(self->told));
		ASSERT_EQ(0, eventfd_read(self->told, &told));
		if (log >= 0)
			EXPECT_TRUE(log_has(log, self->t.vf.bdf,
					    "dma-buf revoke waits for fences",
					    "fence sw_sync"));
		EXPECT_FALSE(iov_finished(pid));

		EXPECT_EQ(0, sw_sync_signal(sw_sync));
		EXPECT_EQ(0, iov_finish(pid));
		EXPECT_EQ(i + 1, unmapped(self->t.imp));
		if (revokes[i].lasts)
			EXPECT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
		close(sw_sync);
		close(log);
	}
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
}

/* The end of a revoke waits for no job that came meanwhile. */
TEST_F_TIMEOUT(wait, not_for_fences_after_low_power, TIMEOUT)
{
	if (self->sw_sync < 0)
		SKIP(return, NO_SW_SYNC);
	ATTACH(0);
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));

	ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, true));
	EXPECT_EQ(1, unmapped(self->t.imp));
	ASSERT_EQ(0, sw_sync_import(self->sw_sync, self->dmabuf));
	ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	EXPECT_EQ(0, sw_sync_signal(self->sw_sync));
}

TEST_F_TIMEOUT(wait, not_for_fences_after_wakeup, TIMEOUT)
{
	int efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventfd_t woken;

	if (self->sw_sync < 0)
		SKIP(return, NO_SW_SYNC);
	ATTACH(0);
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));

	ASSERT_EQ(0, iov_vfio_low_power_wakeup(&self->t.vf, efd));
	ASSERT_EQ(0, sw_sync_import(self->sw_sync, self->dmabuf));
	if (!iov_vfio_sleeps(&self->t.vf))
		SKIP(return, "the kernel does not suspend %s", self->t.vf.bdf);
	ASSERT_EQ(0, iov_vfio_wake(&self->t.vf));
	EXPECT_EQ(0, eventfd_read(efd, &woken));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	EXPECT_EQ(0, sw_sync_signal(self->sw_sync));
	close(efd);
}

/*
 * Who maps as soon as the wakeup is signalled succeeds, with the last buffer, too.
 * On the same CPU and more urgent than whoever signals, it maps right then.
 */
#define WAKEUP_BUFFERS	500

struct woken {
	int efd;
	int imp;
	int ret;
};

static void *map_when_woken(void *arg)
{
	struct woken *w = arg;
	eventfd_t woken;

	w->ret = eventfd_read(w->efd, &woken) ? -errno :
						importer_map(w->imp, NULL);
	return NULL;
}

TEST_F_TIMEOUT(wait, wakeup, TIMEOUT)
{
	static const struct iov_pages page = { 0, 1 };
	const struct rlimit files = { 2 * WAKEUP_BUFFERS, 2 * WAKEUP_BUFFERS };
	const struct sched_param urgent = { .sched_priority = 1 };
	struct woken w = { .imp = self->t.imp };
	int bufs[WAKEUP_BUFFERS];
	pthread_t thread;
	unsigned int i;
	cpu_set_t cpu;

	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP(return, "cannot have %u files", 2 * WAKEUP_BUFFERS);
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpu), &cpu));
	w.efd = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, w.efd);
	for (i = 0; i < WAKEUP_BUFFERS; i++) {
		bufs[i] = iov_test_export(&self->t, &page, 1);
		ASSERT_LE(0, bufs[i]);
	}
	ASSERT_EQ(0, importer_attach_iov(w.imp, bufs[WAKEUP_BUFFERS - 1],
					 self->t.pf, self->t.vf.bar, 0, NULL));

	ASSERT_EQ(0, iov_vfio_low_power_wakeup(&self->t.vf, w.efd));
	EXPECT_EQ(-ENODEV, importer_map(w.imp, NULL));
	if (!iov_vfio_sleeps(&self->t.vf))
		SKIP(return, "the kernel does not suspend %s", self->t.vf.bdf);
	ASSERT_EQ(0, pthread_create(&thread, NULL, map_when_woken, &w));
	EXPECT_EQ(0, pthread_setschedparam(thread, SCHED_FIFO, &urgent));
	ASSERT_EQ(0, iov_vfio_wake(&self->t.vf));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, w.ret);

	for (i = 0; i < WAKEUP_BUFFERS; i++)
		close(bufs[i]);
	close(w.efd);
}

/* In low power it stays revoked, whatever else would end a revoke. */
TEST_F_TIMEOUT(wait, low_power_stays, TIMEOUT)
{
	ATTACH(0);
	ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, true));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, iov_vfio_memory(&self->t.vf, true));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, iov_vfio_reset(&self->t.vf));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, iov_sysfs_reset(self->t.vf.bdf));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
}

/* A buffer that is made in low power is revoked from the start. */
TEST_F_TIMEOUT(wait, exported_in_low_power, TIMEOUT)
{
	int fd;

	ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, true));
	fd = iov_test_export_bar(&self->t);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ENODEV, importer_attach_iov(self->t.imp, fd, self->t.pf,
					       self->t.vf.bar, 0, NULL));
	ASSERT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, fd, self->t.pf,
					 self->t.vf.bar, 0, NULL));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
	close(fd);
}

/* An importer that maps again by itself has it in the end, however often. */
TEST_F_TIMEOUT(wait, remap, TIMEOUT)
{
	unsigned int i, r;
	pid_t pid;

	ATTACH(REMAP);
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));

	for (r = 0; r < ARRAY_SIZE(revokes); r++) {
		pid = revokes[r].start(&self->t.vf);
		ASSERT_EQ(0, iov_finish(pid));
		if (revokes[r].lasts) {
			EXPECT_FALSE(mapped(self->t.imp));
			EXPECT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
		}
		for (i = 0; i < IOV_PATIENCE * 100 && !mapped(self->t.imp); i++)
			usleep(10 * 1000);
		EXPECT_TRUE(mapped(self->t.imp));
		EXPECT_EQ(r + 1, unmapped(self->t.imp));
	}
}

/* Configuration space is blocked during a reset through sysfs, and comes back. */
static int disable_memory(void *arg)
{
	return iov_vfio_memory(arg, false);
}

TEST_F_TIMEOUT(wait, sysfs_reset_and_config, TIMEOUT)
{
	pid_t resetting, writing, leaving;

	ATTACH(KEEP);
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	resetting = iov_sysfs_reset_start(self->t.vf.bdf);
	ASSERT_TRUE(notified(self->told));
	writing = iov_start(disable_memory, &self->t.vf);
	leaving = iov_start(start_low_power, &self->t.vf);
	usleep(100 * 1000);
	EXPECT_FALSE(iov_finished(resetting));

	EXPECT_EQ(0, importer_unmap(self->t.imp));
	EXPECT_EQ(0, iov_finish(resetting));
	EXPECT_EQ(0, iov_finish(writing));
	EXPECT_EQ(0, iov_finish(leaving));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, iov_vfio_low_power(&self->t.vf, false));
	EXPECT_EQ(0, importer_map(self->t.imp, NULL));
}

/*
 * What a VF cannot do: a PF's memory can be disabled, and it has power states.
 */
FIXTURE(pf)
{
	struct iov_test t;
	struct iov_vfio dev;
	char bdf[IOV_BDF_LEN];
	int dmabuf;
	int sw_sync;
};

FIXTURE_VARIANT(pf)
{
	int (*revoke)(const struct iov_vfio *dev, bool enter);
};

static int memory_off(const struct iov_vfio *dev, bool enter)
{
	return iov_vfio_memory(dev, !enter);
}

FIXTURE_VARIANT_ADD(pf, memory)
{
	.revoke = memory_off,
};

FIXTURE_VARIANT_ADD(pf, d3hot)
{
	.revoke = iov_vfio_d3hot,
};

FIXTURE_VARIANT_ADD(pf, low_power)
{
	.revoke = iov_vfio_low_power,
};

FIXTURE_SETUP(pf)
{
	const char *missing = iov_test_missing(&self->t);
	struct dma_buf_iov_test_attach attach;

	if (missing)
		SKIP(return, "%s", missing);
	if (iov_pf_find(1, self->bdf))
		SKIP(return, "no second PF: set DMABUF_TEST_PF2");
	ASSERT_EQ(0, iov_vfio_bind(self->bdf));
	ASSERT_EQ(0, iov_vfio_open(&self->dev, self->bdf));
	self->dmabuf = iov_vfio_export_one(&self->dev, 0, 0, iov_page_size());
	ASSERT_LE(0, self->dmabuf);
	importer_attach_init(&attach, self->dmabuf, self->t.pf, P2P);
	ASSERT_EQ(0, importer_attach(self->t.imp, &attach));
	self->sw_sync = sw_sync_open();
}

FIXTURE_TEARDOWN(pf)
{
	close(self->sw_sync);
	close(self->dmabuf);
	close(self->t.imp);
	EXPECT_EQ(0, iov_vfio_close(&self->dev));
	EXPECT_EQ(0, iov_test_give_back(self->bdf));
}

static int importer_map_or_refuse(int imp)
{
	int ret = importer_map_sg(imp, NULL);

	/* Whether the fabric routes it is not what is tested. */
	return ret == -ENODEV ? ret : 0;
}

/* Two reasons for it at once, in any order: it ends with the last. */
TEST_F_TIMEOUT(pf, and_reset, TIMEOUT)
{
	EXPECT_EQ(0, importer_map_or_refuse(self->t.imp));
	ASSERT_EQ(0, variant->revoke(&self->dev, true));
	EXPECT_EQ(-ENODEV, importer_map_or_refuse(self->t.imp));
	EXPECT_EQ(0, iov_sysfs_reset(self->dev.bdf));
	EXPECT_EQ(-ENODEV, importer_map_or_refuse(self->t.imp));
	EXPECT_EQ(0, variant->revoke(&self->dev, false));
	EXPECT_EQ(0, importer_map_or_refuse(self->t.imp));

	/* With a mapping, if there can be one */
	importer_unmap(self->t.imp);
	EXPECT_EQ(0, importer_map_or_refuse(self->t.imp));
	EXPECT_EQ(0, iov_sysfs_reset(self->dev.bdf));
	EXPECT_FALSE(mapped(self->t.imp));
	EXPECT_EQ(0, importer_map_or_refuse(self->t.imp));
}

TEST_F_TIMEOUT(pf, not_for_fences, TIMEOUT)
{
	if (self->sw_sync < 0)
		SKIP(return, NO_SW_SYNC);
	ASSERT_EQ(0, variant->revoke(&self->dev, true));
	ASSERT_EQ(0, sw_sync_import(self->sw_sync, self->dmabuf));
	ASSERT_EQ(0, variant->revoke(&self->dev, false));
	EXPECT_EQ(0, importer_map_or_refuse(self->t.imp));
	EXPECT_EQ(0, sw_sync_signal(self->sw_sync));
}

TEST_HARNESS_MAIN
