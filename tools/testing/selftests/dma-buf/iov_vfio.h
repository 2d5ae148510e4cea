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
#include <linux/pci_regs.h>
#include <linux/types.h>
#include <linux/vfio.h>

#include "test_modules/dma_buf_iov_test_uapi.h"

#define IOV_BDF_LEN	16	/* "0000:01:00.0" and a NUL */
#define IOV_MAX_RANGES	256	/* of one dma-buf; the kernel has no such limit */
#define IOV_PATIENCE	15	/* seconds after which something hangs */

/*
 * A function that vfio-pci drives, opened through its cdev; and its BAR to test
 * with, which is the largest that can be mapped.
 */
struct iov_vfio {
	char bdf[IOV_BDF_LEN];
	int iommufd;
	int fd;
	unsigned int bar;
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
 * The first (nr 0) or second (nr 1) PF to test with, -ENODEV if there is none. The
 * first is $DMABUF_TEST_PF or, if that is not set, one in the machine that has a
 * driver and no VFs in use. The second is $DMABUF_TEST_PF2: tests take it from its
 * driver, so it must be named.
 */
int iov_pf_find(unsigned int nr, char pf[IOV_BDF_LEN]);

/*
 * At least @numvfs VFs, or none if it is 0. Changing the number takes seconds, so
 * tests leave VFs to the next one; a PF has as many as before when main() ends.
 * New VFs are not probed by their own driver.
 */
int iov_sriov_set(const char *pf, unsigned int numvfs);
pid_t iov_sriov_set_start(const char *pf, unsigned int numvfs);
int iov_vf_bdf(const char *pf, unsigned int vf, char bdf[IOV_BDF_LEN]);

/* How many VFs a PF can have. */
unsigned int iov_total_vfs(const char *pf);

/*
 * How large is a memory BAR of @bdf, in bytes, 0 if it is none; and one of each VF of
 * @pf, also while there are no VFs?
 */
__u64 iov_bar_size(const char *bdf, unsigned int bar);
__u64 iov_vf_bar_size(const char *pf, unsigned int bar);

/* Is there such a function, and has it a driver? */
bool iov_exists(const char *bdf);
bool iov_has_driver(const char *bdf);

/* Is it a VF of the 82576? Then what importer_window_igb() says is true. */
bool iov_is_82576(const char *bdf);

/* Remove @bdf from its bus, and look what is there. Probe the driver of @bdf. */
pid_t iov_remove_start(const char *bdf);
int iov_rescan(void);
int iov_probe(const char *bdf);

/* From whichever driver has it, or is probing it. */
int iov_vfio_bind(const char *bdf);
int iov_vfio_unbind(const char *bdf);
pid_t iov_vfio_unbind_start(const char *bdf);

/* Open @bdf, bound to vfio-pci, with memory enabled. */
int iov_vfio_open(struct iov_vfio *dev, const char *bdf);
int iov_vfio_close(struct iov_vfio *dev);

/* All of it: one VF of @pf, bound to vfio-pci and open. */
int iov_vfio_setup(struct iov_vfio *dev, const char *pf);

int iov_vfio_region(const struct iov_vfio *dev, unsigned int index,
		    struct vfio_region_info *info);

/* The whole BAR, or NULL; to be unmapped with munmap(). Not inherited by fork. */
void *iov_vfio_mmap(const struct iov_vfio *dev, unsigned int bar, size_t *size);

/*
 * Memory of a VF that its PF reaches as well: @window, 32-bit words that keep what
 * is written to them. Of an 82576 that is mailbox memory, which both functions have
 * in a BAR of their own. Of others it is the VF's MSI-X table, found in its BAR by
 * the VF, and in the PF's SR-IOV capability, where all VFs' BARs are, by the PF.
 */
struct iov_shared {
	struct dma_buf_iov_test_window window;
	bool msix;
};

#define IOV_NO_SHARED	"no memory is known that the VF and the PF share"

/* -ENODEV if no such memory is known. */
int iov_shared_find(const struct iov_vfio *vf, struct iov_shared *shared);

/* Of @value, what word number @index keeps. */
__u32 iov_shared_keeps(const struct iov_shared *shared, unsigned int index,
		       __u32 value);

/* The first word that keeps all 32 bits: its offset in the VF's BAR. */
__u64 iov_shared_word(const struct iov_shared *shared);

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
 * until it is set again, but not on a VF: the bit does nothing there. Low power and
 * D3hot until the device is told to leave them. -ENOENT, and nothing done, where the
 * device lacks the capability.
 */
int iov_vfio_reset(const struct iov_vfio *dev);
pid_t iov_vfio_reset_start(const struct iov_vfio *dev);
int iov_vfio_memory(const struct iov_vfio *dev, bool enable);
int iov_vfio_low_power(const struct iov_vfio *dev, bool enter);
int iov_vfio_d3hot(const struct iov_vfio *dev, bool enter);

/* A reset as a guest does it, in configuration space: PCIe's, or PCI AF's. */
int iov_vfio_flr(const struct iov_vfio *dev);

/* A reset behind vfio's back, in sysfs. */
int iov_sysfs_reset(const char *bdf);
pid_t iov_sysfs_reset_start(const char *bdf);

/*
 * Low power that ends by itself when the device is woken up, which is told by
 * @eventfd. iov_vfio_sleeps() waits until the kernel has suspended the device,
 * false if it does not; iov_vfio_wake() wakes it up.
 */
int iov_vfio_low_power_wakeup(const struct iov_vfio *dev, int eventfd);
bool iov_vfio_sleeps(const struct iov_vfio *dev);
int iov_vfio_wake(const struct iov_vfio *dev);

/* The same without a child: fast, for who can live with a hang. */
int iov_vfio_set_low_power(const struct iov_vfio *dev, bool enter);

/*
 * The lines of debugfs that describe the attachments to the dma-buf @fd, and how
 * many there are; -ENOENT where debugfs does not show it.
 */
int iov_bufinfo(int fd, char *lines, size_t size);

/* How many dma-bufs of vfio there are, or -errno without debugfs. */
int iov_bufinfo_count(void);

/* How often the kernel has warned, or worse, since this was first called. */
unsigned int iov_kernel_warned(void);

#endif /* IOV_VFIO_H */
