/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma-bufs of a BAR, and what the tests of them share
 *
 * vfio-pci exports with VFIO_DEVICE_FEATURE_DMA_BUF, iommufd maps with
 * IOMMU_IOAS_MAP_FILE. Functions return 0 or what they say, or -errno: what is
 * to be refused is as much part of the tests as what is to work.
 */
#ifndef SELFTESTS_VFIO_VFIO_DMABUF_H
#define SELFTESTS_VFIO_VFIO_DMABUF_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>
#include <sys/stat.h>

#include <linux/iommufd.h>
#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>

#include <libvfio.h>

#define DMABUF_RW	(IOMMU_IOAS_MAP_READABLE | IOMMU_IOAS_MAP_WRITEABLE)
#define DMABUF_FIXED	(DMABUF_RW | IOMMU_IOAS_MAP_FIXED_IOVA)

static inline u64 page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static inline int ioctl_errno(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

/* A dma-buf of @nr ranges of the region @index: its fd. */
static inline int dmabuf_export(struct vfio_pci_device *device, u32 index,
				const struct vfio_region_dma_range *ranges,
				u32 nr)
{
	struct vfio_device_feature_dma_buf *dma_buf;
	struct vfio_device_feature *feature;
	size_t size;
	int fd;

	size = sizeof(*feature) + sizeof(*dma_buf) + nr * sizeof(*ranges);
	feature = calloc(1, size);
	VFIO_ASSERT_NOT_NULL(feature);

	feature->argsz = size;
	feature->flags = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_BUF;
	dma_buf = (void *)feature->data;
	dma_buf->region_index = index;
	dma_buf->open_flags = O_RDWR | O_CLOEXEC;
	dma_buf->nr_ranges = nr;
	memcpy(dma_buf->dma_ranges, ranges, nr * sizeof(*ranges));

	fd = ioctl_errno(device->fd, VFIO_DEVICE_FEATURE, feature);
	free(feature);
	return fd;
}

static inline int dmabuf_map_flags(struct iommu *iommu, u32 ioas_id, u32 flags,
				   int fd, u64 start, u64 length, u64 *iova)
{
	struct iommu_ioas_map_file args = {
		.size = sizeof(args),
		.flags = flags,
		.ioas_id = ioas_id,
		.fd = fd,
		.start = start,
		.length = length,
		.iova = *iova,
	};
	int ret = ioctl_errno(iommu->iommufd, IOMMU_IOAS_MAP_FILE, &args);

	if (!ret)
		*iova = args.iova;
	return ret;
}

/* Map part of the dma-buf @fd at an IOVA that iommufd picks. */
static inline int dmabuf_map(struct iommu *iommu, int fd, u64 start, u64 length,
			     u64 *iova)
{
	*iova = 0;
	return dmabuf_map_flags(iommu, iommu->ioas_id, DMABUF_RW, fd, start,
				length, iova);
}

static inline int dmabuf_map_fixed(struct iommu *iommu, int fd, u64 start,
				   u64 length, u64 iova)
{
	return dmabuf_map_flags(iommu, iommu->ioas_id, DMABUF_FIXED, fd, start,
				length, &iova);
}

/* -EIO if it was not @length bytes that were unmapped. */
static inline int ioas_unmap(struct iommu *iommu, u32 ioas_id, u64 iova,
			     u64 length)
{
	struct iommu_ioas_unmap args = {
		.size = sizeof(args),
		.ioas_id = ioas_id,
		.iova = iova,
		.length = length,
	};
	int ret = ioctl_errno(iommu->iommufd, IOMMU_IOAS_UNMAP, &args);

	return ret ?: args.length == length ? 0 : -EIO;
}

static inline int dmabuf_unmap(struct iommu *iommu, u64 iova, u64 length)
{
	return ioas_unmap(iommu, iommu->ioas_id, iova, length);
}

/* Copy a mapping of @iommu's own IOAS to @dst at an IOVA that iommufd picks. */
static inline int ioas_copy(struct iommu *iommu, u32 dst, u64 src_iova,
			    u64 length, u64 *dst_iova)
{
	struct iommu_ioas_copy args = {
		.size = sizeof(args),
		.flags = DMABUF_RW,
		.dst_ioas_id = dst,
		.src_ioas_id = iommu->ioas_id,
		.length = length,
		.src_iova = src_iova,
	};
	int ret = ioctl_errno(iommu->iommufd, IOMMU_IOAS_COPY, &args);

	if (!ret)
		*dst_iova = args.dst_iova;
	return ret;
}

static inline u32 ioas_alloc(struct iommu *iommu)
{
	struct iommu_ioas_alloc args = { .size = sizeof(args) };

	ioctl_assert(iommu->iommufd, IOMMU_IOAS_ALLOC, &args);
	return args.out_ioas_id;
}

static inline void ioas_destroy(struct iommu *iommu, u32 ioas_id)
{
	struct iommu_destroy args = { .size = sizeof(args), .id = ioas_id };

	ioctl_assert(iommu->iommufd, IOMMU_DESTROY, &args);
}

/*
 * How many mappings importers have of a dma-buf, as its attachments in debugfs
 * say; or -errno, which is -ENOENT without debugfs.
 */
static inline int dmabuf_maps(int fd)
{
	char *line = NULL, ino[32], *pos;
	FILE *bufinfo;
	struct stat st;
	size_t room = 0;
	int nr = -1, n;

	if (fstat(fd, &st))
		return -errno;
	bufinfo = fopen("/sys/kernel/debug/dma_buf/bufinfo", "r");
	if (!bufinfo)
		return -errno;

	snprintf_assert(ino, sizeof(ino), "\t%08llu\t",
			(unsigned long long)st.st_ino);
	while (getline(&line, &room, bufinfo) > 0) {
		/* The line of a dma-buf, those of its attachments, their total. */
		if (line[0] != '\t' && strstr(line, ino))
			nr = 0;
		else if (nr >= 0 && !strncmp(line, "Total", 5))
			break;
		pos = nr >= 0 ? strstr(line, " maps=") : NULL;
		if (pos && sscanf(pos, " maps=%d", &n) == 1)
			nr += n;
	}
	free(line);
	fclose(bufinfo);
	return nr < 0 ? -ENODATA : nr;
}

/*
 * Revocation. vfio-pci revokes the dma-bufs of a device as long as its memory
 * cannot be reached.
 */

static inline void device_set_command(struct vfio_pci_device *device, u16 set,
				      u16 clear)
{
	u16 command = vfio_pci_config_readw(device, PCI_COMMAND);

	vfio_pci_config_writew(device, PCI_COMMAND, (command & ~clear) | set);
}

static inline void device_memory(struct vfio_pci_device *device, bool enable)
{
	if (enable)
		device_set_command(device, PCI_COMMAND_MEMORY, 0);
	else
		device_set_command(device, 0, PCI_COMMAND_MEMORY);
}

static inline int device_low_power(struct vfio_pci_device *device, bool enter)
{
	struct vfio_device_feature feature = {
		.argsz = sizeof(feature),
		.flags = VFIO_DEVICE_FEATURE_SET,
	};

	feature.flags |= enter ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY :
				 VFIO_DEVICE_FEATURE_LOW_POWER_EXIT;
	return ioctl_errno(device->fd, VFIO_DEVICE_FEATURE, &feature);
}

/* Where the capability @id is in the configuration space, or 0. */
static inline u8 device_find_cap(struct vfio_pci_device *device, u8 id)
{
	u8 pos = 0, next = PCI_CAPABILITY_LIST;
	int ttl = 48;

	if (!(vfio_pci_config_readw(device, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	while (ttl--) {
		pos = vfio_pci_config_readb(device, next) & ~3;
		if (!pos || vfio_pci_config_readb(device, pos) == id)
			return pos;
		next = pos + PCI_CAP_LIST_NEXT;
	}
	return 0;
}

static inline bool device_can_flr(struct vfio_pci_device *device)
{
	u8 exp = device_find_cap(device, PCI_CAP_ID_EXP);

	return exp && (vfio_pci_config_readl(device, exp + PCI_EXP_DEVCAP) &
		       PCI_EXP_DEVCAP_FLR);
}

/* As a guest does it: nobody calls VFIO_DEVICE_RESET. */
static inline void device_flr(struct vfio_pci_device *device)
{
	u16 reg = device_find_cap(device, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;

	vfio_pci_config_writew(device, reg,
			       vfio_pci_config_readw(device, reg) |
			       PCI_EXP_DEVCTL_BCR_FLR);
}

static inline bool device_can_reset(struct vfio_pci_device *device)
{
	return device->info.flags & VFIO_DEVICE_FLAGS_RESET;
}

/* A VF has no memory enable of its own: clearing it disables nothing. */
static inline bool device_is_vf(struct vfio_pci_device *device)
{
	char path[PATH_MAX];

	snprintf_assert(path, PATH_MAX, "/sys/bus/pci/devices/%s/physfn",
			device->bdf);
	return !access(path, F_OK);
}

/* The largest BAR that can be mmapped, which takes at least @pages; or -1. */
static inline int device_find_bar(struct vfio_pci_device *device, u64 pages)
{
	u64 size = pages * page_size();
	int i, found = -1;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!device->bars[i].vaddr || device->bars[i].info.size < size)
			continue;
		size = device->bars[i].info.size;
		found = i;
	}

	return found;
}

#endif /* SELFTESTS_VFIO_VFIO_DMABUF_H */
