// SPDX-License-Identifier: GPL-2.0-only
/*
 * The exporter's side of the IOV tests: SR-IOV, and a VF owned by vfio-pci
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/iommufd.h>
#include <linux/pci_regs.h>

#include "iov_vfio.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define BUFINFO		"/sys/kernel/debug/dma_buf/bufinfo"

pid_t iov_start(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		return pid;

	/* Whoever reads our output must not wait for a child that hangs. */
	close_range(0, 2, 0);
	_exit(-fn(arg));
}

static int wait_exit(pid_t pid, int seconds)
{
	struct pollfd pfd = { .events = POLLIN };
	int ret;

	pfd.fd = syscall(SYS_pidfd_open, pid, 0);
	if (pfd.fd < 0)
		return -errno;

	ret = poll(&pfd, 1, seconds * 1000);
	close(pfd.fd);
	return ret == 1 ? 0 : -ETIMEDOUT;
}

bool iov_finished(pid_t pid)
{
	return !wait_exit(pid, 0);
}

int iov_finish(pid_t pid)
{
	int status, ret;

	if (pid < 0)
		return pid;

	ret = wait_exit(pid, IOV_PATIENCE);
	if (ret) {
		kill(pid, SIGKILL);
		return ret;
	}

	if (waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EINTR;
}

int iov_bounded(int (*fn)(void *arg), void *arg)
{
	return iov_finish(iov_start(fn, arg));
}

/* Write @value to @file of @bdf in sysfs. */
struct sysfs_write {
	char path[PATH_MAX];
	char value[32];
};

static int sysfs_write(void *arg)
{
	struct sysfs_write *w = arg;
	ssize_t len = strlen(w->value);
	int fd, ret = 0;

	/* Unbind waits until the last file of the device is closed: not by us. */
	close_range(0, ~0U, 0);

	fd = open(w->path, O_WRONLY);
	if (fd < 0)
		return -errno;
	if (write(fd, w->value, len) != len)
		ret = -errno;
	close(fd);
	return ret;
}

static pid_t sysfs_write_start(const char *bdf, const char *file,
			       const char *value)
{
	struct sysfs_write w;

	snprintf(w.path, sizeof(w.path), PCI_DEVICES "%s/%s", bdf, file);
	snprintf(w.value, sizeof(w.value), "%s", value);
	return iov_start(sysfs_write, &w);
}

static int sysfs_set(const char *bdf, const char *file, const char *value)
{
	return iov_finish(sysfs_write_start(bdf, file, value));
}

/* The last part of where a link in a device's directory leads. */
static int sysfs_link(const char *bdf, const char *file, char *name,
		      size_t size)
{
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, file);
	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';

	snprintf(name, size, "%s", basename(target));
	return 0;
}

static bool sysfs_exists(const char *bdf, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, file);
	return !access(path, F_OK);
}

bool iov_exists(const char *bdf)
{
	return sysfs_exists(bdf, "");
}

bool iov_has_driver(const char *bdf)
{
	return sysfs_exists(bdf, "driver");
}

static bool sysfs_is(const char *bdf, const char *file, unsigned int value)
{
	char path[PATH_MAX];
	unsigned int is;
	bool ret;
	FILE *f;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, file);
	f = fopen(path, "r");
	if (!f)
		return false;
	ret = fscanf(f, "%x", &is) == 1 && is == value;
	fclose(f);
	return ret;
}

bool iov_is_82576(const char *bdf)
{
	return sysfs_is(bdf, "vendor", 0x8086) &&
	       sysfs_is(bdf, "device", 0x10ca);
}

pid_t iov_sriov_set_start(const char *pf, unsigned int numvfs)
{
	char value[16];

	snprintf(value, sizeof(value), "%u", numvfs);
	return sysfs_write_start(pf, "sriov_numvfs", value);
}

int iov_vf_bdf(const char *pf, unsigned int vf, char bdf[IOV_BDF_LEN])
{
	char file[32];

	snprintf(file, sizeof(file), "virtfn%u", vf);
	return sysfs_link(pf, file, bdf, IOV_BDF_LEN);
}

static unsigned int count_vfs(const char *pf)
{
	char bdf[IOV_BDF_LEN];
	unsigned int nr = 0;

	/* Not from sriov_numvfs, which waits for who changes it. */
	while (!iov_vf_bdf(pf, nr, bdf))
		nr++;
	return nr;
}

int iov_sriov_set(const char *pf, unsigned int numvfs)
{
	unsigned int has = count_vfs(pf);
	int ret = 0;

	if (numvfs ? has >= numvfs : !has)
		return 0;
	if (has)
		ret = iov_finish(iov_sriov_set_start(pf, 0));
	if (!ret && numvfs)
		ret = iov_finish(iov_sriov_set_start(pf, numvfs));
	return ret;
}

/* The PFs to test with, as they were when the program started. */
static struct {
	char bdf[IOV_BDF_LEN];
	bool had_vfs;
} pfs[2];

static int is_pf(const struct dirent *entry)
{
	return sysfs_exists(entry->d_name, "sriov_numvfs") &&
	       sysfs_exists(entry->d_name, "driver") &&
	       !sysfs_exists(entry->d_name, "virtfn0");
}

static void set_pf(unsigned int nr, const char *bdf)
{
	if (!sysfs_exists(bdf, "sriov_numvfs"))
		return;

	snprintf(pfs[nr].bdf, IOV_BDF_LEN, "%.*s", IOV_BDF_LEN - 1, bdf);
	pfs[nr].had_vfs = count_vfs(bdf);
}

static void __attribute__((constructor)) find_pfs(void)
{
	const char *env = getenv("DMABUF_TEST_PF");
	const char *env2 = getenv("DMABUF_TEST_PF2");
	struct dirent **entries;
	int i, n;

	if (env && *env) {
		set_pf(0, env);
		if (env2 && *env2)
			set_pf(1, env2);
		return;
	}

	n = scandir(PCI_DEVICES, &entries, is_pf, alphasort);
	for (i = 0; i < n; i++) {
		if (i < 2)
			set_pf(i, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* When main() ends: children of the test harness do not get here. */
static void __attribute__((destructor)) disable_vfs(void)
{
	unsigned int i;

	for (i = 0; i < 2; i++)
		if (*pfs[i].bdf && !pfs[i].had_vfs)
			iov_sriov_set(pfs[i].bdf, 0);
}

int iov_pf_find(unsigned int nr, char pf[IOV_BDF_LEN])
{
	if (nr >= 2 || !*pfs[nr].bdf)
		return -ENODEV;

	snprintf(pf, IOV_BDF_LEN, "%s", pfs[nr].bdf);
	return 0;
}

static bool has_vfio_driver(const char *bdf)
{
	char driver[32];

	return !sysfs_link(bdf, "driver", driver, sizeof(driver)) &&
	       !strcmp(driver, "vfio-pci");
}

static int probe_driver(const char *bdf)
{
	struct sysfs_write w = { .path = "/sys/bus/pci/drivers_probe" };

	snprintf(w.value, sizeof(w.value), "%s", bdf);
	return iov_bounded(sysfs_write, &w);
}

int iov_vfio_bind(const char *bdf)
{
	int ret;

	if (has_vfio_driver(bdf))
		return 0;

	ret = sysfs_set(bdf, "driver_override", "vfio-pci");
	if (!ret && iov_has_driver(bdf))
		ret = sysfs_set(bdf, "driver/unbind", bdf);
	if (!ret)
		ret = probe_driver(bdf);
	if (ret)
		return ret;

	return has_vfio_driver(bdf) ? 0 : -ENODEV;
}

pid_t iov_vfio_unbind_start(const char *bdf)
{
	return sysfs_write_start(bdf, "driver/unbind", bdf);
}

int iov_vfio_unbind(const char *bdf)
{
	return iov_finish(iov_vfio_unbind_start(bdf));
}

static int is_vfio_dev(const struct dirent *entry)
{
	return !strncmp(entry->d_name, "vfio", 4);
}

/* Open the character device of @bdf. */
static int cdev_open(const char *bdf)
{
	char path[PATH_MAX];
	struct dirent **devs;
	int fd, i, n;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/vfio-dev", bdf);
	n = scandir(path, &devs, is_vfio_dev, alphasort);
	if (n < 0)
		return -errno;
	if (!n) {
		free(devs);
		return -ENODEV;
	}

	snprintf(path, sizeof(path), "/dev/vfio/devices/%s", devs[0]->d_name);
	for (i = 0; i < n; i++)
		free(devs[i]);
	free(devs);

	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int bind_iommufd(void *arg)
{
	const struct iov_vfio *dev = arg;
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = dev->iommufd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind) ? -errno : 0;
}

static int dev_open(struct iov_vfio *dev, const char *bdf)
{
	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return -errno;

	dev->fd = cdev_open(bdf);
	if (dev->fd < 0)
		return dev->fd;

	return iov_bounded(bind_iommufd, dev) ?: iov_vfio_memory(dev, true);
}

int iov_vfio_open(struct iov_vfio *dev, const char *bdf)
{
	struct iov_vfio new = { .iommufd = -1, .fd = -1 };
	int ret;

	snprintf(new.bdf, sizeof(new.bdf), "%s", bdf);
	ret = dev_open(&new, bdf);
	if (ret)
		iov_vfio_close(&new);
	*dev = new;
	return ret;
}

/* The child's part of a close: to be the last who has the file open. */
struct last_close {
	int fd;
	int ours[2];	/* pipe, closed by the parent after its own @fd */
};

static int last_close(void *arg)
{
	struct last_close *c = arg;
	char end;

	close(c->ours[1]);
	if (read(c->ours[0], &end, 1))
		return -EIO;
	return close(c->fd) ? -errno : 0;
}

int iov_vfio_close(struct iov_vfio *dev)
{
	struct last_close c = { .fd = dev->fd };
	int ret = 0;
	pid_t pid;

	if (dev->fd >= 0) {
		if (pipe2(c.ours, O_CLOEXEC))
			return -errno;
		pid = iov_start(last_close, &c);
		close(c.ours[0]);
		close(dev->fd);
		close(c.ours[1]);
		ret = iov_finish(pid);
	}
	if (dev->iommufd >= 0)
		close(dev->iommufd);

	dev->fd = -1;
	dev->iommufd = -1;
	return ret;
}

int iov_vfio_setup(struct iov_vfio *dev, const char *pf)
{
	char bdf[IOV_BDF_LEN];
	int ret;

	*dev = (struct iov_vfio) { .iommufd = -1, .fd = -1 };

	ret = iov_sriov_set(pf, 1) ?: iov_vf_bdf(pf, 0, bdf);
	if (!ret)
		ret = iov_vfio_bind(bdf) ?: iov_vfio_open(dev, bdf);
	return ret;
}

int iov_vfio_region(const struct iov_vfio *dev, unsigned int index,
		    struct vfio_region_info *info)
{
	*info = (struct vfio_region_info) {
		.argsz = sizeof(*info),
		.index = index,
	};
	return ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

void *iov_vfio_mmap(const struct iov_vfio *dev, unsigned int bar, size_t *size)
{
	struct vfio_region_info info;
	void *map;

	if (iov_vfio_region(dev, bar, &info) || !info.size)
		return NULL;

	map = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   dev->fd, info.offset);
	if (map == MAP_FAILED)
		return NULL;

	/* A child's copy would keep the device open. */
	madvise(map, info.size, MADV_DONTFORK);
	*size = info.size;
	return map;
}

int iov_vfio_export(const struct iov_vfio *dev, unsigned int bar,
		    const struct vfio_region_dma_range *ranges,
		    unsigned int nr)
{
	struct vfio_device_feature_dma_buf *dma_buf;
	struct vfio_device_feature *feature;
	size_t size;
	int fd;

	size = sizeof(*feature) + sizeof(*dma_buf) + nr * sizeof(*ranges);
	feature = calloc(1, size);
	if (!feature)
		return -ENOMEM;

	feature->argsz = size;
	feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	dma_buf = (void *)feature->data;
	dma_buf->region_index = bar;
	dma_buf->open_flags = O_RDWR | O_CLOEXEC;
	dma_buf->nr_ranges = nr;
	memcpy(dma_buf->dma_ranges, ranges, nr * sizeof(*ranges));

	fd = ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature);
	if (fd < 0)
		fd = -errno;
	free(feature);
	return fd;
}

int iov_vfio_export_one(const struct iov_vfio *dev, unsigned int bar,
			__u64 offset, __u64 length)
{
	struct vfio_region_dma_range range = {
		.offset = offset,
		.length = length,
	};

	return iov_vfio_export(dev, bar, &range, 1);
}

static int do_reset(void *arg)
{
	const struct iov_vfio *dev = arg;

	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

int iov_vfio_reset(const struct iov_vfio *dev)
{
	return iov_bounded(do_reset, (void *)dev);
}

static int set_memory(const struct iov_vfio *dev, bool enable)
{
	struct vfio_region_info config;
	__u16 command;
	off_t pos;
	int ret;

	ret = iov_vfio_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (ret)
		return ret;

	pos = config.offset + PCI_COMMAND;
	if (pread(dev->fd, &command, sizeof(command), pos) != sizeof(command))
		return -EIO;

	command |= PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY;
	if (!enable)
		command &= ~PCI_COMMAND_MEMORY;
	if (pwrite(dev->fd, &command, sizeof(command), pos) != sizeof(command))
		return -EIO;
	return 0;
}

static int memory_on(void *arg)
{
	return set_memory(arg, true);
}

static int memory_off(void *arg)
{
	return set_memory(arg, false);
}

int iov_vfio_memory(const struct iov_vfio *dev, bool enable)
{
	return iov_bounded(enable ? memory_on : memory_off, (void *)dev);
}

int iov_vfio_set_low_power(const struct iov_vfio *dev, bool enter)
{
	__u32 which = enter ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY :
			      VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_SET | which,
	};

	return ioctl(dev->fd, VFIO_DEVICE_FEATURE, &feature) ? -errno : 0;
}

static int low_power_enter(void *arg)
{
	return iov_vfio_set_low_power(arg, true);
}

static int low_power_leave(void *arg)
{
	return iov_vfio_set_low_power(arg, false);
}

int iov_vfio_low_power(const struct iov_vfio *dev, bool enter)
{
	return iov_bounded(enter ? low_power_enter : low_power_leave,
			   (void *)dev);
}

/* The next line of bufinfo that describes a buffer; its exporter and inode. */
static bool next_buffer(FILE *bufinfo, char exporter[64],
			unsigned long long *ino)
{
	char *line = NULL;
	bool found = false;
	size_t room = 0;

	while (!found && getline(&line, &room, bufinfo) > 0)
		found = sscanf(line, "%*u %*x %*x %*d %63s %llu", exporter,
			       ino) == 2;

	free(line);
	return found;
}

/* Copy the lines about the attachments of the buffer that was found. */
static int copy_attachments(FILE *bufinfo, char *lines, size_t size)
{
	char *line = NULL;
	size_t room = 0, used = 0;
	int nr = 0;

	lines[0] = '\0';
	while (getline(&line, &room, bufinfo) > 0 && strncmp(line, "Total", 5)) {
		if (line[0] != '\t' || !strcmp(line, "\tAttached Devices:\n"))
			continue;
		if (used < size)
			used += snprintf(lines + used, size - used, "%s",
					 line + 1);
		nr++;
	}

	free(line);
	return nr;
}

int iov_bufinfo(int fd, char *lines, size_t size)
{
	unsigned long long ino;
	char exporter[64];
	int ret = -ENOENT;
	struct stat st;
	FILE *bufinfo;

	if (fstat(fd, &st))
		return -errno;
	bufinfo = fopen(BUFINFO, "r");
	if (!bufinfo)
		return -errno;

	while (next_buffer(bufinfo, exporter, &ino)) {
		if (ino == st.st_ino) {
			ret = copy_attachments(bufinfo, lines, size);
			break;
		}
	}

	fclose(bufinfo);
	return ret;
}

int iov_bufinfo_count(void)
{
	unsigned long long ino;
	char exporter[64];
	FILE *bufinfo;
	int nr = 0;

	bufinfo = fopen(BUFINFO, "r");
	if (!bufinfo)
		return -errno;

	while (next_buffer(bufinfo, exporter, &ino))
		nr += !strncmp(exporter, "vfio", 4);

	fclose(bufinfo);
	return nr;
}

unsigned int iov_kernel_warned(void)
{
	/* bad page (KASAN, too), died, warned: see tainted-kernels.rst */
	const unsigned long bad = 1 << 5 | 1 << 7 | 1 << 9;
	unsigned long taint = 0;
	FILE *f;

	f = fopen("/proc/sys/kernel/tainted", "r");
	if (!f)
		return 0;
	if (fscanf(f, "%lu", &taint) != 1)
		taint = 0;
	fclose(f);
	return taint & bad;
}
