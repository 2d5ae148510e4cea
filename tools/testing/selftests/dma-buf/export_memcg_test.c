// SPDX-License-Identifier: GPL-2.0-only
/*
 * What user space exports and maps is charged to its memory cgroup: who may have
 * 32 MiB cannot have 10,000 dma-bufs of 4096 ranges, is told so, and gets all back.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../kselftest_harness.h"
#include "iov_test.h"

#define EXPORTS		10000
#define RANGES		4096	/* 64 KiB of them: too much for the OOM killer */
#define LIMIT		"32M"
#define ROUNDS		3
#define MAPS		128
#define TIMEOUT		240

/* Where cgroups are, and the one of the test. */
static char root[64] = "/sys/fs/cgroup";
static char group[96];

static int write_group(const char *file, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", group, file);
	return iov_write_file(path, value);
}

/* A cgroup with a limit, in which the calling process then is. */
static const char *group_enter(void)
{
	char path[128];

	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK)) {
		strcpy(root, "/tmp/export_memcg_test.XXXXXX");
		if (!mkdtemp(root))
			return "no /tmp";
		if (mount("none", root, "cgroup2", 0, NULL)) {
			rmdir(root);
			return "no cgroup2";
		}
	}
	snprintf(path, sizeof(path), "%s/cgroup.subtree_control", root);
	if (iov_write_file(path, "+memory"))
		return "no memory controller (CONFIG_MEMCG)";
	snprintf(group, sizeof(group), "%s/export_memcg_test", root);
	if (mkdir(group, 0700) && errno != EEXIST)
		return "cannot make a cgroup";
	if (write_group("memory.max", LIMIT) || write_group("cgroup.procs", "0"))
		return "cannot use a cgroup";
	return NULL;
}

static void group_leave(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/cgroup.procs", root);
	iov_write_file(path, "0");
	if (*group)
		rmdir(group);
	if (strncmp(root, "/sys", 4) && !umount(root))
		rmdir(root);
}

FIXTURE(memcg)
{
	struct iov_test t;	/* dev is t.vf or a PF */
	struct iov_vfio dev;
	char bdf[IOV_BDF_LEN];
	int fds[EXPORTS];
};

FIXTURE_VARIANT(memcg)
{
	bool vf;
};

FIXTURE_VARIANT_ADD(memcg, pf)
{
};

/* For its BARs vfio-pci allocates more, which is charged as well. */
FIXTURE_VARIANT_ADD(memcg, vf)
{
	.vf = true,
};

static int open_vf(FIXTURE_DATA(memcg) * self)
{
	int ret = iov_test_setup(&self->t);

	self->dev = self->t.vf;
	return ret;
}

static int open_pf(FIXTURE_DATA(memcg) * self)
{
	return iov_vfio_bind(self->bdf) ?: iov_vfio_open(&self->dev, self->bdf);
}

FIXTURE_SETUP(memcg)
{
	const struct rlimit files = { EXPORTS + 64, EXPORTS + 64 };
	const char *missing;

	missing = variant->vf ? iov_test_missing(&self->t) : NULL;
	if (missing)
		SKIP(return, "%s", missing);
	if (!variant->vf && iov_pf_find(1, self->bdf))
		SKIP(return, "no second PF: set DMABUF_TEST_PF2");
	if (setrlimit(RLIMIT_NOFILE, &files))
		SKIP(return, "cannot have %u files", EXPORTS);
	ASSERT_EQ(0, variant->vf ? open_vf(self) : open_pf(self));
	missing = group_enter();
	if (missing)
		SKIP(return, "%s", missing);
}

FIXTURE_TEARDOWN(memcg)
{
	group_leave();
	EXPECT_EQ(0, iov_vfio_close(&self->dev));
	if (variant->vf)
		close(self->t.imp);
	else
		EXPECT_EQ(0, iov_test_give_back(self->bdf));
}

TEST_F_TIMEOUT(memcg, exports, TIMEOUT)
{
	struct vfio_region_dma_range *ranges = calloc(RANGES, sizeof(*ranges));
	unsigned int nr, round, first = 0;
	int before = iov_bufinfo_count();
	int ret;

	ASSERT_NE(NULL, ranges);
	for (nr = 0; nr < RANGES; nr++)
		ranges[nr].length = iov_page_size();

	for (round = 0; round < ROUNDS; round++) {
		for (nr = 0, ret = 0; nr < EXPORTS; nr++) {
			ret = iov_vfio_export(&self->dev, self->dev.bar, ranges,
					      RANGES);
			if (ret < 0)
				break;
			self->fds[nr] = ret;
		}
		EXPECT_EQ(-ENOMEM, ret);
		TH_LOG("%u of %u exports", nr, EXPORTS);
		EXPECT_LT(16, nr);
		EXPECT_GT(EXPORTS, nr);

		/* As many the next time: nothing of it is left behind. */
		if (!round)
			first = nr;
		EXPECT_LE(first / 2, nr);
		while (nr)
			close(self->fds[--nr]);
		EXPECT_EQ(before, iov_bufinfo_count());
	}
	free(ranges);
}

/* Bytes that are charged to the cgroup, give or take what CPUs have in stock. */
static long long charged(void)
{
	char path[128], line[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.current", group);
	file = fopen(path, "r");
	if (!file || !fgets(line, sizeof(line), file))
		*line = '\0';
	if (file)
		fclose(file);
	return atoll(line);
}

/* So is a mapping over IOV: 64 KiB each. Each importer maps once. */
TEST_F_TIMEOUT(memcg, maps, TIMEOUT)
{
	const long long size = MAPS * RANGES * 16, slack = size / 8;
	struct vfio_region_dma_range *ranges = calloc(RANGES, sizeof(*ranges));
	long long before;
	int i, dmabuf;

	if (!variant->vf)
		SKIP(return, "IOV is for VFs");
	ASSERT_NE(NULL, ranges);
	/* The same page again and again: no two of them are adjacent. */
	for (i = 0; i < RANGES; i++)
		ranges[i].length = iov_page_size();
	dmabuf = iov_vfio_export(&self->dev, self->dev.bar, ranges, RANGES);
	ASSERT_LE(0, dmabuf);

	for (i = 0; i < MAPS; i++) {
		self->fds[i] = importer_open();
		ASSERT_EQ(0, importer_attach_iov(self->fds[i], dmabuf,
						 self->t.pf, self->dev.bar, 0,
						 NULL));
	}
	before = charged();
	ASSERT_LT(0, before);
	for (i = 0; i < MAPS; i++)
		ASSERT_EQ(0, importer_map(self->fds[i], NULL));
	/* And what KASAN adds, if it is there. */
	EXPECT_LE(before + size - slack, charged());
	for (i = 0; i < MAPS; i++)
		EXPECT_EQ(0, importer_unmap(self->fds[i]));
	EXPECT_GE(before + slack, charged());

	for (i = 0; i < MAPS; i++)
		close(self->fds[i]);
	close(dmabuf);
	free(ranges);
}

TEST_HARNESS_MAIN
