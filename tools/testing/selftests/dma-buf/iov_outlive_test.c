// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dma-buf that outlives what it came from: the file it was exported through,
 * vfio-pci, the VF itself; and an attachment that outlives the dma-buf's fd.
 */
#define _GNU_SOURCE
#include "kselftest_harness.h"
#include "iov_test.h"

#define LAZY		DMA_BUF_IOV_TEST_ATTACH_LAZY
#define TIMEOUT		120	/* more than what all waits together may take */
#define CORE_WARNS	"the PCI core warns without us"

FIXTURE(outlive)
{
	struct iov_test t;
	char vf[IOV_BDF_LEN];
	int dmabuf;
};

/* What is taken away, once the device's file is closed. */
FIXTURE_VARIANT(outlive)
{
	/* started while the device is open, ends when it is closed */
	pid_t (*start)(const char *pf, const char *vf);
	/* and the way back, if need be, for the next test */
	int (*restore)(const char *pf);
	bool has_vf;		/* afterwards */
	bool has_driver;
	__u32 flags;		/* of the importer */
};

static pid_t unbind(const char *pf, const char *vf)
{
	return iov_vfio_unbind_start(vf);
}

static pid_t disable_sriov(const char *pf, const char *vf)
{
	return iov_sriov_set_start(pf, 0);
}

static pid_t unbind_pf(const char *pf, const char *vf)
{
	/*
	 * The PCI core asserts its lock where the driver of a PF disables SR-IOV
	 * when it is unbound, and does not hold it.
	 */
	if (!access("/proc/lockdep", F_OK))
		return -EOPNOTSUPP;
	return iov_vfio_unbind_start(pf);
}

static pid_t remove_pf(const char *pf, const char *vf)
{
	return iov_remove_start(pf);
}

static int rescan(const char *pf)
{
	return iov_rescan() ?: iov_exists(pf) ? 0 : -ENODEV;
}

FIXTURE_VARIANT_ADD(outlive, file)
{
	.has_vf = true,
	.has_driver = true,
};

FIXTURE_VARIANT_ADD(outlive, driver)
{
	.start = unbind,
	.has_vf = true,
};

FIXTURE_VARIANT_ADD(outlive, driver_lazy)
{
	.start = unbind,
	.has_vf = true,
	.flags = LAZY,
};

FIXTURE_VARIANT_ADD(outlive, device)
{
	.start = disable_sriov,
};

FIXTURE_VARIANT_ADD(outlive, device_lazy)
{
	.start = disable_sriov,
	.flags = LAZY,
};

FIXTURE_VARIANT_ADD(outlive, pf_driver)
{
	.start = unbind_pf,
	.restore = iov_probe,
};

FIXTURE_VARIANT_ADD(outlive, pf_device)
{
	.start = remove_pf,
	.restore = rescan,
};

static int export_page(const struct iov_test *t)
{
	return iov_vfio_export_one(&t->vf, t->vf.bar, 0, iov_page_size());
}

FIXTURE_SETUP(outlive)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
	memcpy(self->vf, self->t.vf.bdf, sizeof(self->vf));
	self->dmabuf = export_page(&self->t);
	ASSERT_LE(0, self->dmabuf);
	ASSERT_EQ(0, importer_attach_iov(self->t.imp, self->dmabuf, self->t.pf,
					 self->t.vf.bar, variant->flags, NULL));
}

FIXTURE_TEARDOWN(outlive)
{
	close(self->dmabuf);
	IOV_TEST_TEARDOWN(&self->t);
	if (variant->restore && !iov_has_driver(self->t.pf))
		EXPECT_EQ(0, variant->restore(self->t.pf));
}

static __u64 unmapped(int imp)
{
	struct dma_buf_iov_test_state state;

	return importer_state(imp, &state) ? 0 : state.unmapped;
}

/*
 * Take the thing away. That waits for the device to be closed, which may be up
 * to a guest, and must not wait for anything else.
 */
static int take_away(struct iov_vfio *dev, const char *pf, const char *vf,
		     pid_t (*start)(const char *pf, const char *vf))
{
	pid_t pid = start ? start(pf, vf) : 0;
	int ret;

	if (pid < 0)
		return pid;

	if (pid) {
		usleep(300 * 1000);
		if (iov_finished(pid))
			return -EALREADY;
	}

	ret = iov_vfio_close(dev);
	if (pid)
		ret = iov_finish(pid) ?: ret;
	return ret;
}

/* Whatever is gone is gone, and what is left can be used anew. */
static bool taken_away(struct __test_metadata *_metadata,
		       FIXTURE_DATA(outlive) * self,
		       const FIXTURE_VARIANT(outlive) * variant)
{
	int ret = take_away(&self->t.vf, self->t.pf, self->vf, variant->start);

	if (ret == -EOPNOTSUPP)
		return false;
	ASSERT_EQ(0, ret);
	EXPECT_EQ(variant->has_vf, iov_exists(self->vf));
	EXPECT_EQ(variant->has_driver, iov_has_driver(self->vf));
	return true;
}

TEST_F_TIMEOUT(outlive, mapped, TIMEOUT)
{
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	EXPECT_EQ(1, unmapped(self->t.imp));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_detach(self->t.imp));
}

TEST_F_TIMEOUT(outlive, not_mapped, TIMEOUT)
{
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	EXPECT_EQ(0, unmapped(self->t.imp));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_detach(self->t.imp));
}

/* Nobody but the attachment keeps the buffer. */
TEST_F_TIMEOUT(outlive, no_fd, TIMEOUT)
{
	close(self->dmabuf);
	self->dmabuf = -1;
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	EXPECT_EQ(1, unmapped(self->t.imp));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));
	EXPECT_EQ(0, importer_detach(self->t.imp));
}

/* An attachment still names its functions, also when they are gone. */
TEST_F_TIMEOUT(outlive, bufinfo, TIMEOUT)
{
	char before[256], after[256], names[64];

	if (iov_bufinfo(self->dmabuf, before, sizeof(before)) < 0)
		SKIP(return, "no debugfs");

	snprintf(names, sizeof(names), "pf=%s vf=%s bar=%u", self->t.pf,
		 self->vf, self->t.vf.bar);
	EXPECT_NE(NULL, strstr(before, names))
		TH_LOG("no \"%s\" in: %s", names, before);

	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	EXPECT_EQ(1, iov_bufinfo(self->dmabuf, after, sizeof(after)));
	EXPECT_STREQ(before, after);
}

/* The buffer that was left cannot be attached to, and hurts nobody. */
TEST_F_TIMEOUT(outlive, attach_to_what_is_left, TIMEOUT)
{
	int late = importer_open();

	ASSERT_LE(0, late);
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	EXPECT_EQ(-ENODEV, importer_attach_iov(late, self->dmabuf, self->t.pf,
					       self->t.vf.bar, 0, NULL));
	close(late);
}

/* The same VF again is a new device; its buffers are not the old one's. */
TEST_F_TIMEOUT(outlive, next_life, TIMEOUT)
{
	int next, late = importer_open();

	ASSERT_LE(0, late);
	ASSERT_EQ(0, importer_map(self->t.imp, NULL));
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);

	if (variant->restore)
		ASSERT_EQ(0, variant->restore(self->t.pf));
	ASSERT_EQ(0, iov_vfio_setup(&self->t.vf, self->t.pf));
	next = export_page(&self->t);
	ASSERT_LE(0, next);
	EXPECT_EQ(0, importer_attach_iov(late, next, self->t.pf,
					 self->t.vf.bar, variant->flags, NULL));
	EXPECT_EQ(0, importer_map(late, NULL));
	EXPECT_EQ(-ENODEV, importer_map(self->t.imp, NULL));

	/* The old one goes while the new one is in use. */
	EXPECT_EQ(0, importer_detach(self->t.imp));
	close(self->dmabuf);
	self->dmabuf = -1;
	EXPECT_EQ(0, iov_vfio_reset(&self->t.vf));
	EXPECT_EQ(1, unmapped(late));
	EXPECT_EQ(0, importer_map(late, NULL));
	close(late);
	close(next);
}

/*
 * An O_PATH descriptor keeps the name of a dma-buf and nothing else: not the
 * buffer, nor the device. If the kernel still looks for the file, KASAN can see
 * that with CONFIG_SLUB_RCU_DEBUG, a grace period after the file was freed.
 */
TEST_F_TIMEOUT(outlive, opath, TIMEOUT)
{
	int path, others = iov_bufinfo_count();
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", self->dmabuf);
	path = open(name, O_PATH | O_CLOEXEC);
	ASSERT_LE(0, path);

	ASSERT_EQ(0, importer_detach(self->t.imp));
	close(self->dmabuf);
	self->dmabuf = -1;
	usleep(300 * 1000);

	if (others > 0)
		EXPECT_EQ(others - 1, iov_bufinfo_count());
	EXPECT_EQ(0, iov_vfio_reset(&self->t.vf));
	if (!taken_away(_metadata, self, variant))
		SKIP(return, CORE_WARNS);
	close(path);
}

TEST_HARNESS_MAIN
