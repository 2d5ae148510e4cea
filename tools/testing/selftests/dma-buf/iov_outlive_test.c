// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dma-buf that outlives what it came from: the file it was exported through,
 * vfio-pci, the VF itself; and an attachment that outlives the dma-buf's fd.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"
#include "iov_importer.h"
#include "iov_vfio.h"

#define PAGE		4096
#define LAZY		DMA_BUF_IOV_TEST_ATTACH_LAZY
#define TIMEOUT		120	/* more than what all waits together may take */

FIXTURE(outlive)
{
	char pf[IOV_BDF_LEN];
	char vf[IOV_BDF_LEN];
	struct iov_vfio dev;
	int dmabuf;
	int imp;
	unsigned int warned;	/* before the test */
};

/* What is taken away, once the device's file is closed. */
FIXTURE_VARIANT(outlive)
{
	/* started while the device is open, ends when it is closed */
	pid_t (*start)(const char *pf, const char *vf);
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

FIXTURE_SETUP(outlive)
{
	int ret;

	self->warned = iov_kernel_warned();
	if (iov_pf_find(0, self->pf))
		SKIP(return, "no PF with SR-IOV");
	self->imp = importer_open();
	if (self->imp < 0)
		SKIP(return, IMPORTER_HOWTO);

	ret = iov_vfio_setup(&self->dev, self->pf);
	if (ret == -ENODEV || ret == -ENOENT)
		SKIP(return, "no VF of %s for vfio-pci", self->pf);
	ASSERT_EQ(0, ret)
		TH_LOG("cannot set up a VF of %s: %s", self->pf,
		       strerror(-ret));

	ASSERT_EQ(0, iov_vf_bdf(self->pf, 0, self->vf));
	self->dmabuf = iov_vfio_export_one(&self->dev, 0, 0, PAGE);
	ASSERT_LE(0, self->dmabuf);
	ASSERT_EQ(0, importer_attach_iov(self->imp, self->dmabuf, self->pf, 0,
					 variant->flags, NULL));
}

FIXTURE_TEARDOWN(outlive)
{
	close(self->imp);
	close(self->dmabuf);
	EXPECT_EQ(0, iov_vfio_close(&self->dev));
	EXPECT_EQ(self->warned, iov_kernel_warned())
		TH_LOG("the kernel has warned: see its log");
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
#define TAKE_AWAY() do { \
	ASSERT_EQ(0, take_away(&self->dev, self->pf, self->vf, \
			       variant->start)); \
	EXPECT_EQ(variant->has_vf, iov_exists(self->vf)); \
	EXPECT_EQ(variant->has_driver, iov_has_driver(self->vf)); \
} while (0)

TEST_F_TIMEOUT(outlive, mapped, TIMEOUT)
{
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	TAKE_AWAY();
	EXPECT_EQ(1, unmapped(self->imp));
	EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));
	EXPECT_EQ(0, importer_detach(self->imp));
}

TEST_F_TIMEOUT(outlive, not_mapped, TIMEOUT)
{
	TAKE_AWAY();
	EXPECT_EQ(0, unmapped(self->imp));
	EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));
	EXPECT_EQ(0, importer_detach(self->imp));
}

/* Nobody but the attachment keeps the buffer. */
TEST_F_TIMEOUT(outlive, no_fd, TIMEOUT)
{
	close(self->dmabuf);
	self->dmabuf = -1;
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	TAKE_AWAY();
	EXPECT_EQ(1, unmapped(self->imp));
	EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));
	EXPECT_EQ(0, importer_detach(self->imp));
}

/* An attachment still names its functions, also when they are gone. */
TEST_F_TIMEOUT(outlive, bufinfo, TIMEOUT)
{
	char before[256], after[256], names[64];

	if (iov_bufinfo(self->dmabuf, before, sizeof(before)) < 0)
		SKIP(return, "no debugfs");

	snprintf(names, sizeof(names), "pf=%s vf=%s bar=0", self->pf, self->vf);
	EXPECT_NE(NULL, strstr(before, names))
		TH_LOG("no \"%s\" in: %s", names, before);

	TAKE_AWAY();
	EXPECT_EQ(1, iov_bufinfo(self->dmabuf, after, sizeof(after)));
	EXPECT_STREQ(before, after);
}

/* The buffer that was left cannot be attached to, and hurts nobody. */
TEST_F_TIMEOUT(outlive, attach_to_what_is_left, TIMEOUT)
{
	int late = importer_open();

	ASSERT_LE(0, late);
	TAKE_AWAY();
	EXPECT_EQ(-ENODEV, importer_attach_iov(late, self->dmabuf, self->pf, 0,
					       0, NULL));
	close(late);
}

/* The same VF again is a new device; its buffers are not the old one's. */
TEST_F_TIMEOUT(outlive, next_life, TIMEOUT)
{
	int next, late = importer_open();

	ASSERT_LE(0, late);
	ASSERT_EQ(0, importer_map(self->imp, NULL));
	TAKE_AWAY();

	ASSERT_EQ(0, iov_vfio_setup(&self->dev, self->pf));
	next = iov_vfio_export_one(&self->dev, 0, 0, PAGE);
	ASSERT_LE(0, next);
	EXPECT_EQ(0, importer_attach_iov(late, next, self->pf, 0,
					 variant->flags, NULL));
	EXPECT_EQ(0, importer_map(late, NULL));
	EXPECT_EQ(-ENODEV, importer_map(self->imp, NULL));

	/* The old one goes while the new one is in use. */
	EXPECT_EQ(0, importer_detach(self->imp));
	close(self->dmabuf);
	self->dmabuf = -1;
	EXPECT_EQ(0, iov_vfio_reset(&self->dev));
	EXPECT_EQ(1, unmapped(late));
	EXPECT_EQ(0, importer_map(late, NULL));
	close(late);
	close(next);
}

TEST_HARNESS_MAIN
