// SPDX-License-Identifier: GPL-2.0-only
/*
 * An exporter that takes its buffer back: the importer is told and lets go,
 * nothing waits forever, and where the buffer comes back, it works again.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "kselftest_harness.h"
#include "iov_test.h"

#define PAGE		iov_page_size()
#define EAGER		0
#define LAZY		DMA_BUF_IOV_TEST_ATTACH_LAZY
#define TIMEOUT		90	/* more than three waits of IOV_PATIENCE */

FIXTURE(revoke)
{
	char pf[IOV_BDF_LEN];
	struct iov_vfio dev;
	int dmabuf;
	int imp;
	unsigned int warned;	/* before the test */
};

/* A way to revoke, and the way back if there is one. */
FIXTURE_VARIANT(revoke)
{
	int (*revoke)(struct iov_vfio *dev);
	int (*undo)(struct iov_vfio *dev);
	bool lasts;		/* still revoked when revoke() has returned */
	bool comes_back;	/* usable again, if need be after undo() */
	__u32 flags;		/* of the importer */
};

static int reset(struct iov_vfio *dev)
{
	return iov_vfio_reset(dev);
}

static int sysfs_reset(struct iov_vfio *dev)
{
	return iov_sysfs_reset(dev->bdf);
}

static int flr(struct iov_vfio *dev)
{
	return iov_vfio_flr(dev);
}

static int low_power(struct iov_vfio *dev)
{
	return iov_vfio_low_power(dev, true);
}

static int full_power(struct iov_vfio *dev)
{
	return iov_vfio_low_power(dev, false);
}

static int wait_forever(void *arg)
{
	for (;;)
		pause();
	return 0;
}

/* Kill the only process that has the device open. */
static int kill_exporter(struct iov_vfio *dev)
{
	pid_t pid = iov_start(wait_forever, NULL);
	int ret;

	if (pid < 0)
		return pid;

	close(dev->fd);
	close(dev->iommufd);
	dev->fd = -1;
	dev->iommufd = -1;
	kill(pid, SIGKILL);
	ret = iov_finish(pid);
	return ret == -EINTR ? 0 : ret;
}

FIXTURE_VARIANT_ADD(revoke, reset)
{
	.revoke = reset,
	.comes_back = true,
};

FIXTURE_VARIANT_ADD(revoke, reset_lazy)
{
	.revoke = reset,
	.comes_back = true,
	.flags = LAZY,
};

FIXTURE_VARIANT_ADD(revoke, sysfs_reset)
{
	.revoke = sysfs_reset,
	.comes_back = true,
};

FIXTURE_VARIANT_ADD(revoke, sysfs_reset_lazy)
{
	.revoke = sysfs_reset,
	.comes_back = true,
	.flags = LAZY,
};

/* As a guest does it. */
FIXTURE_VARIANT_ADD(revoke, flr)
{
	.revoke = flr,
	.comes_back = true,
};

FIXTURE_VARIANT_ADD(revoke, power)
{
	.revoke = low_power,
	.undo = full_power,
	.lasts = true,
	.comes_back = true,
};

FIXTURE_VARIANT_ADD(revoke, power_lazy)
{
	.revoke = low_power,
	.undo = full_power,
	.lasts = true,
	.comes_back = true,
	.flags = LAZY,
};

FIXTURE_VARIANT_ADD(revoke, close)
{
	.revoke = iov_vfio_close,
	.lasts = true,
};

FIXTURE_VARIANT_ADD(revoke, close_lazy)
{
	.revoke = iov_vfio_close,
	.lasts = true,
	.flags = LAZY,
};

FIXTURE_VARIANT_ADD(revoke, kill)
{
	.revoke = kill_exporter,
	.lasts = true,
};

FIXTURE_VARIANT_ADD(revoke, kill_lazy)
{
	.revoke = kill_exporter,
	.lasts = true,
	.flags = LAZY,
};

FIXTURE_SETUP(revoke)
{
	struct iov_test t;
	const char *missing = iov_test_missing(&t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&t));
	memcpy(self->pf, t.pf, sizeof(self->pf));
	self->dev = t.vf;
	self->imp = t.imp;
	self->warned = t.warned;

	self->dmabuf = iov_vfio_export_one(&self->dev, self->dev.bar, 0, PAGE);
	ASSERT_LE(0, self->dmabuf);
	ASSERT_EQ(0, importer_attach_iov(self->imp, self->dmabuf, self->pf,
					 self->dev.bar, variant->flags, NULL));
}

FIXTURE_TEARDOWN(revoke)
{
	close(self->imp);
	close(self->dmabuf);
	EXPECT_EQ(0, iov_vfio_close(&self->dev));
	EXPECT_EQ(self->warned, iov_kernel_warned())
		TH_LOG("the kernel has warned: see its log");
}

static __u64 invalidations(int imp)
{
	struct dma_buf_iov_test_state state;

	return importer_state(imp, &state) ? 0 : state.invalidations;
}

static __u64 unmapped(int imp)
{
	struct dma_buf_iov_test_state state;

	return importer_state(imp, &state) ? 0 : state.unmapped;
}

static bool mapped(int imp)
{
	struct dma_buf_iov_test_state state;

	return !importer_state(imp, &state) && state.mapped;
}

/*
 * Revoke, if the device can do that. Only a hang needs words; what else goes wrong
 * is in the number.
 */
static bool revoked(struct __test_metadata *_metadata,
		    FIXTURE_DATA(revoke) * self,
		    const FIXTURE_VARIANT(revoke) * variant)
{
	int ret = variant->revoke(&self->dev);

	if (ret == -ENOENT)
		return false;
	ASSERT_EQ(0, ret) {
		if (ret == -ETIMEDOUT)
			TH_LOG("hangs: revoke still waits after %d s",
			       IOV_PATIENCE);
	}
	return true;
}

#define UNDO() do { \
	if (variant->undo) \
		ASSERT_EQ(0, variant->undo(&self->dev)); \
} while (0)

TEST_F_TIMEOUT(revoke, mapped, TIMEOUT)
{
	ASSERT_EQ(0, importer_map(self->imp, NULL));

	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_LE(1, invalidations(self->imp));
	EXPECT_EQ(1, unmapped(self->imp));
	EXPECT_FALSE(mapped(self->imp));
	EXPECT_EQ(-ENXIO, importer_unmap(self->imp));
	if (variant->lasts)
		EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));

	UNDO();
	EXPECT_EQ(variant->comes_back ? 0 : -ENODEV,
		  importer_map(self->imp, NULL));
}

TEST_F_TIMEOUT(revoke, not_mapped, TIMEOUT)
{
	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_LE(1, invalidations(self->imp));
	EXPECT_EQ(0, unmapped(self->imp));
	if (variant->lasts)
		EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));

	UNDO();
	EXPECT_EQ(variant->comes_back ? 0 : -ENODEV,
		  importer_map(self->imp, NULL));
}

/* What was mapped and given back in time is nobody's to give back again. */
TEST_F_TIMEOUT(revoke, unmapped_before, TIMEOUT)
{
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	ASSERT_EQ(0, importer_unmap(self->imp));

	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_EQ(0, unmapped(self->imp));
}

TEST_F_TIMEOUT(revoke, twice, TIMEOUT)
{
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	UNDO();
	EXPECT_EQ(1, unmapped(self->imp));
	if (!variant->comes_back)
		return;

	ASSERT_EQ(0, importer_map(self->imp, NULL));
	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_EQ(2, unmapped(self->imp));
	UNDO();
	EXPECT_EQ(0, importer_map(self->imp, NULL));
}

/* No attaching to a buffer that is revoked, detaching from it any time. */
TEST_F_TIMEOUT(revoke, attach, TIMEOUT)
{
	int late = importer_open();

	ASSERT_LE(0, late);
	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	if (variant->lasts)
		EXPECT_EQ(-ENODEV, importer_attach_iov(late, self->dmabuf,
						       self->pf, self->dev.bar,
						       0, NULL));
	EXPECT_EQ(0, importer_detach(self->imp));

	UNDO();
	if (variant->comes_back) {
		EXPECT_EQ(0, importer_attach_iov(late, self->dmabuf, self->pf,
						 self->dev.bar, variant->flags,
						 NULL));
		EXPECT_EQ(0, importer_map(late, NULL));
	}
	close(late);
}

TEST_F_TIMEOUT(revoke, eventfd, TIMEOUT)
{
	int efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventfd_t told = 0;

	ASSERT_LE(0, efd);
	ASSERT_EQ(0, importer_eventfd(self->imp, efd));
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	EXPECT_EQ(-1, eventfd_read(efd, &told));

	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_EQ(0, eventfd_read(efd, &told));
	EXPECT_EQ(invalidations(self->imp), told);
	close(efd);
}

/* Each of several importers is told: eager, lazy, and one with no mapping. */
TEST_F_TIMEOUT(revoke, importers, TIMEOUT)
{
	static const __u32 flags[] = { EAGER, LAZY, EAGER, LAZY };
	int imps[ARRAY_SIZE(flags)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		imps[i] = importer_open();
		ASSERT_LE(0, imps[i]);
		ASSERT_EQ(0, importer_attach_iov(imps[i], self->dmabuf,
						 self->pf, self->dev.bar,
						 flags[i], NULL));
		ASSERT_EQ(0, importer_map(imps[i], NULL));
	}

	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_LE(1, invalidations(self->imp));
	EXPECT_EQ(0, unmapped(self->imp));
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_LE(1, invalidations(imps[i]));
		EXPECT_EQ(1, unmapped(imps[i]));
		EXPECT_FALSE(mapped(imps[i]));
	}

	UNDO();
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(variant->comes_back ? 0 : -ENODEV,
			  importer_map(imps[i], NULL));
		close(imps[i]);
	}
}

/* A device revokes all its buffers, whoever has them and however many pages. */
TEST_F_TIMEOUT(revoke, buffers, TIMEOUT)
{
	int bufs[3], imps[3];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(bufs); i++) {
		bufs[i] = iov_vfio_export_one(&self->dev, self->dev.bar,
					      i * PAGE, PAGE);
		ASSERT_LE(0, bufs[i]);
		imps[i] = importer_open();
		ASSERT_LE(0, imps[i]);
		ASSERT_EQ(0, importer_attach_iov(imps[i], bufs[i], self->pf,
						 self->dev.bar, variant->flags,
						 NULL));
		ASSERT_EQ(0, importer_map(imps[i], NULL));
	}

	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	for (i = 0; i < ARRAY_SIZE(bufs); i++) {
		EXPECT_LE(1, invalidations(imps[i]));
		EXPECT_EQ(1, unmapped(imps[i]));
	}

	UNDO();
	for (i = 0; i < ARRAY_SIZE(bufs); i++) {
		EXPECT_EQ(variant->comes_back ? 0 : -ENODEV,
			  importer_map(imps[i], NULL));
		close(imps[i]);
		close(bufs[i]);
	}
}

/* After it, both functions see the same memory again, the VF in its old mmap. */
TEST_F_TIMEOUT(revoke, memory_again, TIMEOUT)
{
	__u32 seen = 0, value = 0x600d0000;
	struct iov_shared shared;
	unsigned int vf_bar;
	__u64 page, at;
	void *bar, *memory;
	size_t size;
	int fd;

	if (iov_shared_find(&self->dev, &shared))
		SKIP(return, IOV_NO_SHARED);
	vf_bar = shared.window.vf_bar;
	at = iov_shared_word(&shared) % PAGE;
	page = iov_shared_word(&shared) - at;

	bar = iov_vfio_mmap(&self->dev, vf_bar, &size);
	ASSERT_NE(NULL, bar);
	memory = bar + page + at;
	fd = iov_vfio_export_one(&self->dev, vf_bar, page, PAGE);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, importer_detach(self->imp));
	ASSERT_EQ(0, importer_attach_iov(self->imp, fd, self->pf, vf_bar,
					 variant->flags, NULL));
	close(fd);

	iov_write32(memory, value);
	ASSERT_EQ(0, importer_window(self->imp, &shared.window));
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	EXPECT_EQ(0, importer_read(self->imp, at, &seen, 4));
	EXPECT_EQ(value, seen);

	/* Where the device is closed, nothing must keep it open. */
	if (!variant->comes_back)
		munmap(bar, size);
	if (!revoked(_metadata, self, variant))
		SKIP(return, "%s cannot do that", self->dev.bdf);
	EXPECT_EQ(-ENXIO, importer_read(self->imp, at, &seen, 4));
	if (!variant->comes_back)
		return;

	UNDO();
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	iov_write32(memory, ++value);
	EXPECT_EQ(0, importer_read(self->imp, at, &seen, 4));
	EXPECT_EQ(value, seen);
	value++;
	EXPECT_EQ(0, importer_write(self->imp, at, &value, 4));
	EXPECT_EQ(value, iov_read32(memory));
	munmap(bar, size);
}

/* Importers are processes, too, and nobody waits for one that was killed. */
FIXTURE(killed)
{
	char pf[IOV_BDF_LEN];
	struct iov_vfio dev;
	int dmabuf;
	pid_t pid;
	unsigned int warned;
};

FIXTURE_VARIANT(killed)
{
	__u32 flags;
};

FIXTURE_VARIANT_ADD(killed, eager)
{
	.flags = EAGER,
};

FIXTURE_VARIANT_ADD(killed, lazy)
{
	.flags = LAZY,
};

struct importing {
	const char *pf;
	unsigned int bar;
	int dmabuf;
	int ready;	/* eventfd */
	__u32 flags;
};

static int import_and_wait(void *arg)
{
	const struct importing *i = arg;
	int imp = importer_open();
	int ret;

	ret = imp < 0 ? imp : importer_attach_iov(imp, i->dmabuf, i->pf,
						  i->bar, i->flags, NULL);
	if (!ret)
		ret = importer_map(imp, NULL);
	if (ret)
		return ret;

	eventfd_write(i->ready, 1);
	return wait_forever(NULL);
}

FIXTURE_SETUP(killed)
{
	struct importing importing;
	struct iov_test t;
	const char *missing = iov_test_missing(&t);
	eventfd_t ready;

	if (missing)
		SKIP(return, "%s", missing);
	close(t.imp);
	ASSERT_EQ(0, iov_test_setup(&t));
	memcpy(self->pf, t.pf, sizeof(self->pf));
	self->dev = t.vf;
	self->warned = t.warned;

	self->dmabuf = iov_vfio_export_one(&self->dev, self->dev.bar, 0, PAGE);
	ASSERT_LE(0, self->dmabuf);

	importing = (struct importing) {
		.pf = self->pf,
		.bar = self->dev.bar,
		.dmabuf = self->dmabuf,
		.ready = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.flags = variant->flags,
	};
	self->pid = iov_start(import_and_wait, &importing);
	ASSERT_LE(0, self->pid);
	while (eventfd_read(importing.ready, &ready))
		ASSERT_FALSE(iov_finished(self->pid));
	close(importing.ready);
}

FIXTURE_TEARDOWN(killed)
{
	close(self->dmabuf);
	EXPECT_EQ(0, iov_vfio_close(&self->dev));
	EXPECT_EQ(self->warned, iov_kernel_warned())
		TH_LOG("the kernel has warned: see its log");
}

TEST_F_TIMEOUT(killed, then_reset, TIMEOUT)
{
	char lines[1024];
	int nr;

	nr = iov_bufinfo(self->dmabuf, lines, sizeof(lines));
	if (nr >= 0)
		EXPECT_EQ(1, nr);

	kill(self->pid, SIGKILL);
	EXPECT_EQ(-EINTR, iov_finish(self->pid));
	if (nr >= 0)
		EXPECT_EQ(0, iov_bufinfo(self->dmabuf, lines, sizeof(lines)));
	EXPECT_EQ(0, iov_vfio_reset(&self->dev));
}

static int do_reset(void *arg)
{
	return iov_vfio_reset(arg);
}

TEST_F_TIMEOUT(killed, in_reset, TIMEOUT)
{
	pid_t pid = iov_start(do_reset, &self->dev);

	kill(self->pid, SIGKILL);
	EXPECT_EQ(-EINTR, iov_finish(self->pid));
	EXPECT_EQ(0, iov_finish(pid));
}

/* All at once: exporter and importer end, and the last file takes all down. */
TEST_F_TIMEOUT(killed, with_exporter, TIMEOUT)
{
	EXPECT_EQ(0, kill_exporter(&self->dev));
	kill(self->pid, SIGKILL);
	EXPECT_EQ(-EINTR, iov_finish(self->pid));
}

TEST_HARNESS_MAIN
