/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The exporter's side of the IOV tests: SR-IOV, and a VF owned by vfio-pci
 *
 * Nothing here exits or prints: functions return 0 or what they say, or -errno,
 * and the test decides. What may wait for others in the kernel (sysfs, reset,
 * close, memory enable) runs in a child, and is -ETIMEDOUT if it does not come
 * back; the child stays behind then, and keeps open what it was given.
 */
#ifndef IOV_VFIO_H
#define IOV_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <linux/types.h>
#include <linux/vfio.h>

#define IOV_BDF_LEN	16	/* "0000:01:00.0" and a NUL */
#define IOV_MAX_RANGES	256	/* of one dma-buf; the kernel has no such limit */
#define IOV_PATIENCE	15	/* seconds after which something hangs */

/* A function that vfio-pci drives, opened through its cdev. */
struct iov_vfio {
	char bdf[IOV_BDF_LEN];
	int iommufd;
	int fd;
};

/*
 * Run fn(arg), which returns 0 or -errno, in a child. iov_start() returns the
 * child, iov_finish() what fn() returned; iov_bounded() is one after the other.
 */
pid_t iov_start(int (*fn)(void *arg), void *arg);
int iov_finish(pid_t pid);
int iov_bounded(int (*fn)(void *arg), void *arg);

/* Has @pid ended? Without taking its result. */
bool iov_finished(pid_t pid);

/*
 * The first (nr 0) or second (nr 1) PF to test with: $DMABUF_TEST_PF and
 * $DMABUF_TEST_PF2 or, if these are not set, what is in the machine, has a driver
 * and no VFs in use. -ENODEV if there is none.
 */
int iov_pf_find(unsigned int nr, char pf[IOV_BDF_LEN]);

/*
 * At least @numvfs VFs, or none if it is 0. Changing the number takes seconds, so
 * tests leave VFs to the next one; a PF that had none has none again when main()
 * ends.
 */
int iov_sriov_set(const char *pf, unsigned int numvfs);
pid_t iov_sriov_set_start(const char *pf, unsigned int numvfs);
int iov_vf_bdf(const char *pf, unsigned int vf, char bdf[IOV_BDF_LEN]);

/* Is there such a function, and has it a driver? */
bool iov_exists(const char *bdf);
bool iov_has_driver(const char *bdf);

/* Is it a VF of the 82576? Then what importer_window_igb() says is true. */
bool iov_is_82576(const char *bdf);

int iov_vfio_bind(const char *bdf);
int iov_vfio_unbind(const char *bdf);
pid_t iov_vfio_unbind_start(const char *bdf);

/* Open @bdf, bound to vfio-pci, with memory enabled. */
int iov_vfio_open(struct iov_vfio *dev, const char *bdf);
int iov_vfio_close(struct iov_vfio *dev);

static inline int iov_vfio_teardown(struct iov_vfio *dev, const char *pf)
{
	return iov_vfio_close(dev);
}

/* All of it: one VF of @pf, bound to vfio-pci and open. */
int iov_vfio_setup(struct iov_vfio *dev, const char *pf);

int iov_vfio_region(const struct iov_vfio *dev, unsigned int index,
		    struct vfio_region_info *info);

/* The whole BAR, or NULL; to be unmapped with munmap(). Not inherited by fork. */
void *iov_vfio_mmap(const struct iov_vfio *dev, unsigned int bar, size_t *size);

/* One access of the device each. */
static inline __u32 iov_read32(const void *reg)
{
	return __atomic_load_n((const __u32 *)reg, __ATOMIC_RELAXED);
}

static inline void iov_write32(void *reg, __u32 value)
{
	__atomic_store_n((__u32 *)reg, value, __ATOMIC_RELAXED);
}

/* A dma-buf of @nr pieces of a BAR: its fd. */
int iov_vfio_export(const struct iov_vfio *dev, unsigned int bar,
		    const struct vfio_region_dma_range *ranges,
		    unsigned int nr);
int iov_vfio_export_one(const struct iov_vfio *dev, unsigned int bar,
			__u64 offset, __u64 length);

/*
 * What revokes dma-bufs, and until when: a reset until it is done. Memory enable
 * cleared, on a VF, only for a moment: the bit is virtual there, and its BARs stay
 * usable. Low power until the device is told to leave it.
 */
int iov_vfio_reset(const struct iov_vfio *dev);
int iov_vfio_memory(const struct iov_vfio *dev, bool enable);
int iov_vfio_low_power(const struct iov_vfio *dev, bool enter);

/* The same without a child: fast, for who can live with a hang. */
int iov_vfio_set_low_power(const struct iov_vfio *dev, bool enter);

/*
 * The lines of debugfs that describe the attachments to the dma-buf @fd, and how
 * many there are; -ENOENT where debugfs does not show it.
 */
int iov_bufinfo(int fd, char *lines, size_t size);

/* How many dma-bufs of vfio there are, or -errno without debugfs. */
int iov_bufinfo_count(void);

/* Not 0 if the kernel has warned since boot, or worse. */
unsigned int iov_kernel_warned(void);

#endif /* IOV_VFIO_H */
