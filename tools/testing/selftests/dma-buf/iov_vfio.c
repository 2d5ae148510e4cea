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

#include "../kselftest.h"
#include "iov_vfio.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define BUFINFO		"/sys/kernel/debug/dma_buf/bufinfo"

/* For what cannot be waited for in another way: udev, a driver that probes. */
#define RETRIES		50
#define RETRY_US	(100 * 1000)

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

static void sysfs_write_init(struct sysfs_write *w, const char *bdf,
			     const char *file, const char *value)
{
	snprintf(w->path, sizeof(w->path), PCI_DEVICES "%s/%s", bdf, file);
	snprintf(w->value, sizeof(w->value), "%s", value);
}

static pid_t sysfs_write_start(const char *bdf, const char *file,
			       const char *value)
{
	struct sysfs_write w;

	sysfs_write_init(&w, bdf, file, value);
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

static FILE *sysfs_open(const char *bdf, const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, file);
	return fopen(path, "r");
}

/* A number, 0 if there is none. */
static unsigned int sysfs_get(const char *bdf, const char *file)
{
	FILE *f = sysfs_open(bdf, file);
	int value;

	if (!f)
		return 0;
	if (fscanf(f, "%i", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

unsigned int iov_total_vfs(const char *pf)
{
	return sysfs_get(pf, "sriov_totalvfs");
}

/*
 * The file "resource" has a line for each: BARs 0 to 5, ROM, and the VFs' BARs 0
 * to 5, each of which is as large as those of all VFs together.
 */
#define RESOURCE_VF_BARS	7
#define IORESOURCE_MEM		0x200

static __u64 memory_size(const char *bdf, unsigned int line)
{
	unsigned long long start = 0, end = 0, flags = 0;
	FILE *f = sysfs_open(bdf, "resource");
	unsigned int i;

	if (!f)
		return 0;
	for (i = 0; i <= line; i++)
		if (fscanf(f, "%llx %llx %llx", &start, &end, &flags) != 3)
			flags = 0;
	fclose(f);
	return flags & IORESOURCE_MEM ? end - start + 1 : 0;
}

__u64 iov_bar_size(const char *bdf, unsigned int bar)
{
	return memory_size(bdf, bar);
}

__u64 iov_vf_bar_size(const char *pf, unsigned int bar)
{
	unsigned int total = iov_total_vfs(pf);

	return total ? memory_size(pf, RESOURCE_VF_BARS + bar) / total : 0;
}

/* Three writes, of which the second matters. */
static int sriov_write(void *arg)
{
	struct sysfs_write *w = arg;
	int ret;

	sysfs_write(&w[0]);
	ret = sysfs_write(&w[1]);
	sysfs_write(&w[2]);
	return ret;
}

/* VFs are not probed by their own driver: a test gives them to vfio-pci anyway. */
pid_t iov_sriov_set_start(const char *pf, unsigned int numvfs)
{
	static const char autoprobe[] = "sriov_drivers_autoprobe";
	struct sysfs_write w[3];
	char number[16];

	snprintf(number, sizeof(number), "%u", numvfs);
	sysfs_write_init(&w[0], pf, autoprobe, "0");
	sysfs_write_init(&w[1], pf, "sriov_numvfs", number);
	sysfs_write_init(&w[2], pf, autoprobe,
			 sysfs_get(pf, autoprobe) ? "1" : "0");
	return iov_start(sriov_write, w);
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

/* The number is only changed from and to 0. */
static int change_vfs(const char *pf, unsigned int from, unsigned int to)
{
	int ret = 0;

	if (from)
		ret = iov_finish(iov_sriov_set_start(pf, 0));
	if (!ret && to)
		ret = iov_finish(iov_sriov_set_start(pf, to));
	return ret;
}

int iov_sriov_set(const char *pf, unsigned int numvfs)
{
	unsigned int has = count_vfs(pf);

	if (numvfs ? has >= numvfs : !has)
		return 0;
	return change_vfs(pf, has, numvfs);
}

/* The PFs to test with, as they were when the program started. */
static struct {
	char bdf[IOV_BDF_LEN];
	unsigned int nr_vfs;
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
	pfs[nr].nr_vfs = count_vfs(bdf);
}

static void __attribute__((constructor)) find_pfs(void)
{
	const char *env = getenv("DMABUF_TEST_PF");
	const char *env2 = getenv("DMABUF_TEST_PF2");
	struct dirent **entries;
	int i, n;

	if (env2 && *env2)
		set_pf(1, env2);
	if (env && *env) {
		set_pf(0, env);
		return;
	}

	n = scandir(PCI_DEVICES, &entries, is_pf, alphasort);
	for (i = 0; i < n; i++) {
		if (!i)
			set_pf(0, entries[i]->d_name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

/* When main() ends: children of the test harness do not get here. */
static void __attribute__((destructor)) restore_vfs(void)
{
	unsigned int i, has;

	for (i = 0; i < ARRAY_SIZE(pfs); i++) {
		has = *pfs[i].bdf ? count_vfs(pfs[i].bdf) : pfs[i].nr_vfs;
		if (has != pfs[i].nr_vfs)
			change_vfs(pfs[i].bdf, has, pfs[i].nr_vfs);
	}
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

int iov_probe(const char *bdf)
{
	struct sysfs_write w = { .path = "/sys/bus/pci/drivers_probe" };

	snprintf(w.value, sizeof(w.value), "%s", bdf);
	return iov_bounded(sysfs_write, &w);
}

pid_t iov_remove_start(const char *bdf)
{
	return sysfs_write_start(bdf, "remove", "1");
}

int iov_rescan(void)
{
	struct sysfs_write w = {
		.path = "/sys/bus/pci/rescan",
		.value = "1",
	};

	return iov_bounded(sysfs_write, &w);
}

pid_t iov_sysfs_reset_start(const char *bdf)
{
	return sysfs_write_start(bdf, "reset", "1");
}

int iov_sysfs_reset(const char *bdf)
{
	return iov_finish(iov_sysfs_reset_start(bdf));
}

/* 0 also if the driver is gone already: a probe that failed ended meanwhile. */
static int unbind_driver(const char *bdf)
{
	int ret;

	if (!iov_has_driver(bdf))
		return 0;
	ret = sysfs_set(bdf, "driver/unbind", bdf);
	return ret == -ENOENT || ret == -ENODEV ? 0 : ret;
}

/*
 * The function's own driver may be about to probe it, as that is asynchronous for
 * some drivers: it can come in between at any time, but only once.
 */
int iov_vfio_bind(const char *bdf)
{
	int ret = 0, i;

	if (has_vfio_driver(bdf))
		return 0;

	ret = sysfs_set(bdf, "driver_override", "vfio-pci");
	for (i = 0; !ret && i < RETRIES; i++) {
		ret = unbind_driver(bdf) ?: iov_probe(bdf);
		if (!ret && has_vfio_driver(bdf))
			return 0;
		usleep(RETRY_US);
	}
	return ret ?: -ENODEV;
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

/* The largest that can be mapped: its number; 0 if there is none. */
static unsigned int largest_bar(const struct iov_vfio *dev)
{
	struct vfio_region_info info;
	unsigned int bar, largest = 0;
	__u64 size = 0;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if (!iov_vfio_region(dev, bar, &info) && info.size > size &&
		    info.flags & VFIO_REGION_INFO_FLAG_MMAP) {
			size = info.size;
			largest = bar;
		}
	}
	return largest;
}

static int dev_open(struct iov_vfio *dev, const char *bdf)
{
	int ret, i;

	dev->iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (dev->iommufd < 0)
		return -errno;

	/* The node may be for udev to make. */
	dev->fd = cdev_open(bdf);
	for (i = 0; dev->fd == -ENOENT && i < RETRIES; i++) {
		usleep(RETRY_US);
		dev->fd = cdev_open(bdf);
	}
	if (dev->fd < 0)
		return dev->fd;

	ret = iov_bounded(bind_iommufd, dev) ?: iov_vfio_memory(dev, true);
	if (!ret)
		dev->bar = largest_bar(dev);
	return ret;
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

static __u32 config_read(const struct iov_vfio *dev, unsigned int reg)
{
	struct vfio_region_info config;
	__u32 value = 0;

	if (iov_vfio_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config) ||
	    pread(dev->fd, &value, sizeof(value), config.offset + reg) !=
	    sizeof(value))
		return 0;
	return value;
}

/* Where in config space is the capability? 0 if there is none. */
static unsigned int find_capability(const struct iov_vfio *dev, __u8 id)
{
	unsigned int pos = config_read(dev, PCI_CAPABILITY_LIST) & 0xfc;
	__u32 header;
	int ttl;

	for (ttl = 48; pos && ttl; ttl--) {
		header = config_read(dev, pos);
		if ((header & 0xff) == id)
			return pos;
		pos = header >> 8 & 0xfc;
	}
	return 0;
}

/* The first entries of the MSI-X table: nobody has enabled MSI-X. */
#define MSIX_ENTRIES	4

static int find_msix_table(const struct iov_vfio *vf,
			   struct dma_buf_iov_test_window *window)
{
	unsigned int pos = find_capability(vf, PCI_CAP_ID_MSIX), bar, nr;
	struct vfio_region_info info;
	__u32 table, offset;

	if (!pos)
		return -ENODEV;
	table = config_read(vf, pos + PCI_MSIX_TABLE);
	bar = table & PCI_MSIX_TABLE_BIR;
	offset = table & PCI_MSIX_TABLE_OFFSET;
	nr = (config_read(vf, pos) >> 16 & PCI_MSIX_FLAGS_QSIZE) + 1;
	if (nr > MSIX_ENTRIES)
		nr = MSIX_ENTRIES;
	if (iov_vfio_region(vf, bar, &info) ||
	    !(info.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return -ENODEV;

	*window = (struct dma_buf_iov_test_window) {
		.vf_bar = bar,
		.pf_bar = DMA_BUF_IOV_TEST_VF_BARS + bar,
		.vf_offset = offset,
		.size = nr * PCI_MSIX_ENTRY_SIZE,
		.pf_offset = offset,
		.pf_stride = info.size,
	};
	return 0;
}

/*
 * The 82576: 64 bytes of mailbox memory at 0x800 of each VF's BAR 0 are in the
 * PF's BAR 0, too, one VF's after the other's.
 */
static const struct dma_buf_iov_test_window mailbox_82576 = {
	.vf_bar = 0,
	.pf_bar = 0,
	.vf_offset = 0x800,
	.size = 64,
	.pf_offset = 0x800,
	.pf_stride = 64,
};

/* The IDs of a VF are not in its config space, but sysfs knows them. */
static bool is_82576(const char *bdf)
{
	return sysfs_get(bdf, "vendor") == 0x8086 &&
	       sysfs_get(bdf, "device") == 0x10ca;
}

int iov_shared_find(const struct iov_vfio *vf, struct iov_shared *shared)
{
	shared->msix = !is_82576(vf->bdf);
	if (shared->msix)
		return find_msix_table(vf, &shared->window);

	shared->window = mailbox_82576;
	return 0;
}

/* The words of an entry of an MSI-X table. */
#define MSIX_WORD(reg)		((reg) / sizeof(__u32))
#define MSIX_ENTRY_WORDS	MSIX_WORD(PCI_MSIX_ENTRY_SIZE)

__u32 iov_shared_keeps(const struct iov_shared *shared, unsigned int index,
		       __u32 value)
{
	if (!shared->msix)
		return value;

	switch (index % MSIX_ENTRY_WORDS) {
	case MSIX_WORD(PCI_MSIX_ENTRY_LOWER_ADDR):
		return value & ~3U;
	case MSIX_WORD(PCI_MSIX_ENTRY_VECTOR_CTRL):
		return PCI_MSIX_ENTRY_CTRL_MASKBIT;
	default:
		return value;
	}
}

__u64 iov_shared_word(const struct iov_shared *shared)
{
	return shared->window.vf_offset +
	       (shared->msix ? PCI_MSIX_ENTRY_DATA : 0);
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

pid_t iov_vfio_reset_start(const struct iov_vfio *dev)
{
	return iov_start(do_reset, (void *)dev);
}

int iov_vfio_reset(const struct iov_vfio *dev)
{
	return iov_finish(iov_vfio_reset_start(dev));
}

/* Read or write @len bytes of configuration space. */
static int config(const struct iov_vfio *dev, off_t pos, void *data, size_t len,
		  bool write)
{
	struct vfio_region_info info;
	ssize_t done;
	int ret;

	ret = iov_vfio_region(dev, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (ret)
		return ret;

	done = write ? pwrite(dev->fd, data, len, info.offset + pos) :
		       pread(dev->fd, data, len, info.offset + pos);
	return done == (ssize_t)len ? 0 : -EIO;
}

/* Clear bits and set others, in a register of 16 bits. */
static int config_change(const struct iov_vfio *dev, off_t pos, __u16 clear,
			 __u16 set)
{
	__u16 value;
	int ret;

	ret = config(dev, pos, &value, sizeof(value), false);
	if (ret)
		return ret;

	value = (value & ~clear) | set;
	return config(dev, pos, &value, sizeof(value), true);
}

/* Where in configuration space a capability is, -ENOENT if there is none. */
static int find_cap(const struct iov_vfio *dev, __u8 id)
{
	__u8 entry[2] = {}, pos;
	int i, ret;

	ret = config(dev, PCI_CAPABILITY_LIST, &pos, 1, false);
	for (i = 0; !ret && pos && i < 48; i++) {
		ret = config(dev, pos, entry, sizeof(entry), false);
		if (!ret && entry[0] == id)
			return pos;
		pos = entry[1];
	}

	return ret ?: -ENOENT;
}

static int set_memory(const struct iov_vfio *dev, bool enable)
{
	return config_change(dev, PCI_COMMAND, PCI_COMMAND_MEMORY,
			     PCI_COMMAND_MASTER |
			     (enable ? PCI_COMMAND_MEMORY : 0));
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

static int do_flr(void *arg)
{
	int cap = find_cap(arg, PCI_CAP_ID_EXP);
	__u32 devcap;

	if (cap < 0)
		return cap;
	if (config(arg, cap + PCI_EXP_DEVCAP, &devcap, sizeof(devcap), false))
		return -EIO;
	if (!(devcap & PCI_EXP_DEVCAP_FLR))
		return -ENOENT;

	return config_change(arg, cap + PCI_EXP_DEVCTL, 0,
			     PCI_EXP_DEVCTL_BCR_FLR);
}

int iov_vfio_flr(const struct iov_vfio *dev)
{
	return iov_bounded(do_flr, (void *)dev);
}

static int set_d3hot(const struct iov_vfio *dev, bool enter)
{
	int cap = find_cap(dev, PCI_CAP_ID_PM);

	if (cap < 0)
		return cap;
	return config_change(dev, cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK,
			     enter ? 3 : 0);
}

static int d3hot_enter(void *arg)
{
	return set_d3hot(arg, true);
}

static int d3hot_leave(void *arg)
{
	return set_d3hot(arg, false);
}

int iov_vfio_d3hot(const struct iov_vfio *dev, bool enter)
{
	return iov_bounded(enter ? d3hot_enter : d3hot_leave, (void *)dev);
}

int iov_vfio_low_power_wakeup(const struct iov_vfio *dev, int eventfd)
{
	struct {
		struct vfio_device_feature feature;
		struct vfio_device_low_power_entry_with_wakeup entry;
	} arg = {
		.feature.argsz = sizeof(arg),
		.feature.flags = VFIO_DEVICE_FEATURE_SET |
			VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
		.entry.wakeup_eventfd = eventfd,
	};

	return ioctl(dev->fd, VFIO_DEVICE_FEATURE, &arg) ? -errno : 0;
}

bool iov_vfio_sleeps(const struct iov_vfio *dev)
{
	char path[PATH_MAX], status[16];
	int i;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/power/runtime_status",
		 dev->bdf);
	for (i = 0; i < IOV_PATIENCE * 100; i++) {
		FILE *f = fopen(path, "r");
		bool sleeps;

		if (!f)
			return false;
		sleeps = fscanf(f, "%15s", status) == 1 &&
			 !strcmp(status, "suspended");
		fclose(f);
		if (sleeps)
			return true;
		usleep(10 * 1000);
	}

	return false;
}

static int do_wake(void *arg)
{
	__u16 command;

	return config(arg, PCI_COMMAND, &command, sizeof(command), false);
}

int iov_vfio_wake(const struct iov_vfio *dev)
{
	return iov_bounded(do_wake, (void *)dev);
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

/* The next record of the kernel's log: false if there is no other one yet. */
static bool next_record(int kmsg, char *record, size_t size)
{
	ssize_t len;

	/* -EPIPE: records were overwritten before we came to read them. */
	do {
		len = read(kmsg, record, size - 1);
	} while (len < 0 && errno == EPIPE);
	if (len <= 0)
		return false;
	record[len] = '\0';
	return true;
}

unsigned int iov_kernel_warned(void)
{
	static const char *const bad[] = {
		"WARNING: ", "BUG: ", "UBSAN: ", "Oops: ", "blocked for more than ",
	};
	static unsigned int warned;
	static int kmsg = -1;
	char record[8192];
	unsigned int i;

	if (kmsg < 0) {
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (kmsg >= 0)
			lseek(kmsg, 0, SEEK_END);
	}

	while (kmsg >= 0 && next_record(kmsg, record, sizeof(record)))
		for (i = 0; i < ARRAY_SIZE(bad); i++)
			warned += !!strstr(record, bad[i]);
	return warned;
}
