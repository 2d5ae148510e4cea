// SPDX-License-Identifier: GPL-2.0-only
/*
 * A dma-buf importer that does what a test tells it
 *
 * An open file of /dev/dma_buf_iov_test is what the driver of a PF would be: it
 * attaches to a dma-buf for a device, offers interconnects, maps, is told to let
 * go. Over IOV it learns which part of a VF's BAR the buffer is, and reaches that
 * part by translating it to memory of the PF's own, as a GPU driver would
 * translate it to VRAM. Which memory that is, its "window", the test says.
 *
 * Locks, outer to inner:
 *
 *   importer->lock	for the whole of an ioctl; protects what is attached
 *   reservation lock	of importer->dmabuf; protects what is mapped
 *   importer->event	protects what tells the test of invalidations
 *
 * dma-buf calls importer_invalidate() with the reservation lock held, so neither
 * that nor the work that it queues may take importer->lock. User memory is not
 * touched with the reservation lock held, as a fault may need it.
 */
#include <linux/cleanup.h>
#include <linux/device/faux.h>
#include <linux/dma-buf.h>
#include <linux/dma-buf-iov.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/eventfd.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "dma_buf_iov_test_uapi.h"

#define ATTACH_FLAGS	(DMA_BUF_IOV_TEST_ATTACH_STATIC | \
			 DMA_BUF_IOV_TEST_ATTACH_P2P | \
			 DMA_BUF_IOV_TEST_ATTACH_LAZY | \
			 DMA_BUF_IOV_TEST_ATTACH_KEEP | \
			 DMA_BUF_IOV_TEST_ATTACH_REMAP)

/* Between two attempts to map again */
#define REMAP_DELAY	(HZ / 50)

/* Stands in for an importer's device that is not PCI. */
static struct faux_device *importer_faux;

struct importer {
	/* Held during an ioctl. */
	struct mutex lock;

	/*
	 * Protected by lock. All but the window are constant from before
	 * importer_invalidate() can be called until it no longer can, and attach
	 * is from before the first mapping.
	 */
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct device *dev;
	struct dma_buf_iov_test_attach args;
	struct dma_buf_iov_test_window window;

	/* Protected by the reservation lock of dmabuf: at most one is set. */
	struct dma_buf_ranges *ranges;
	struct sg_table *sgt;
	bool remap;	/* the work may map */

	/* For an importer that does not unmap at once. */
	struct delayed_work work;

	/* Innermost. Protects what follows. */
	spinlock_t event;
	struct eventfd_ctx *eventfd;
	u64 invalidations;
	u64 unmapped;
};

/* A type that no exporter offers. */
static const struct dma_buf_interconnect interconnect_other = {
	.name = "other",
};

/*
 * Mapping. All with the reservation lock held.
 */

static bool importer_mapped(const struct importer *imp)
{
	return imp->ranges || imp->sgt;
}

static int importer_map(struct importer *imp)
{
	struct dma_buf_ranges *ranges;

	ranges = dma_buf_map_interconnect(imp->attach);
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);

	imp->ranges = ranges;
	return 0;
}

static int importer_map_sg(struct importer *imp)
{
	struct sg_table *sgt;

	sgt = dma_buf_map_attachment(imp->attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);

	imp->sgt = sgt;
	return 0;
}

/* Give back what is mapped, if anything is. */
static bool importer_unmap(struct importer *imp,
			   struct dma_buf_attachment *attach)
{
	if (imp->ranges)
		dma_buf_unmap_interconnect(attach, imp->ranges);
	else if (imp->sgt)
		dma_buf_unmap_attachment(attach, imp->sgt, DMA_BIDIRECTIONAL);
	else
		return false;

	imp->ranges = NULL;
	imp->sgt = NULL;
	return true;
}

/*
 * Invalidation
 */

static void importer_let_go(struct importer *imp,
			    struct dma_buf_attachment *attach)
{
	if (!importer_unmap(imp, attach))
		return;

	spin_lock(&imp->event);
	imp->unmapped++;
	spin_unlock(&imp->event);
}

/* Map over what was agreed, unless it is mapped. */
static int importer_remap(struct importer *imp)
{
	if (!imp->remap || !imp->attach || importer_mapped(imp))
		return 0;

	return imp->attach->interconnect ? importer_map(imp) :
					   importer_map_sg(imp);
}

static void importer_work(struct work_struct *work)
{
	struct importer *imp = container_of(to_delayed_work(work),
					    struct importer, work);

	dma_resv_lock(imp->dmabuf->resv, NULL);
	importer_let_go(imp, imp->attach);
	if (importer_remap(imp) == -ENODEV)
		schedule_delayed_work(&imp->work, REMAP_DELAY);
	dma_resv_unlock(imp->dmabuf->resv);
}

static void importer_invalidate(struct dma_buf_attachment *attach)
{
	struct importer *imp = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);

	if (imp->args.flags & (DMA_BUF_IOV_TEST_ATTACH_LAZY |
			       DMA_BUF_IOV_TEST_ATTACH_REMAP))
		mod_delayed_work(system_percpu_wq, &imp->work, 0);
	else if (!(imp->args.flags & DMA_BUF_IOV_TEST_ATTACH_KEEP))
		importer_let_go(imp, attach);

	spin_lock(&imp->event);
	imp->invalidations++;
	if (imp->eventfd)
		eventfd_signal(imp->eventfd);
	spin_unlock(&imp->event);
}

static const struct dma_buf_attach_ops importer_ops = {
	.invalidate_mappings = importer_invalidate,
};

static const struct dma_buf_attach_ops importer_p2p_ops = {
	.allow_peer2peer = true,
	.invalidate_mappings = importer_invalidate,
};

static const struct dma_buf_attach_ops importer_pinned_p2p_ops = {
	.allow_peer2peer = true,
};

static const struct dma_buf_attach_ops *importer_attach_ops(u32 flags)
{
	bool p2p = flags & DMA_BUF_IOV_TEST_ATTACH_P2P;

	if (flags & DMA_BUF_IOV_TEST_ATTACH_STATIC)
		return p2p ? &importer_pinned_p2p_ops : NULL;

	return p2p ? &importer_p2p_ops : &importer_ops;
}

/*
 * Attaching. With importer->lock held, without the reservation lock.
 */

static struct device *importer_get_device(const char *bdf)
{
	if (!*bdf)
		return get_device(&importer_faux->dev);

	return bus_find_device_by_name(&pci_bus_type, NULL, bdf);
}

static int importer_offer(struct dma_buf_iov_offer *offer,
			  const struct dma_buf_iov_test_offer *arg)
{
	if (arg->kind == DMA_BUF_IOV_TEST_OFFER_IOV)
		return dma_buf_iov_offer_import(offer, arg->bar);

	*offer = (struct dma_buf_iov_offer) { .base.type = &interconnect_other };
	return 0;
}

/* Attach imp->dev to imp->dmabuf in the way that imp->args says. */
static int importer_do_attach(struct importer *imp)
{
	const struct dma_buf_interconnect_offer *offers[DMA_BUF_IOV_TEST_MAX_OFFERS];
	struct dma_buf_iov_offer iov[DMA_BUF_IOV_TEST_MAX_OFFERS];
	const struct dma_buf_iov_test_attach *args = &imp->args;
	struct dma_buf_attachment *attach;
	u32 i;
	int ret;

	for (i = 0; i < args->nr_offers; i++) {
		ret = importer_offer(&iov[i], &args->offers[i]);
		if (ret)
			return ret;
		offers[i] = &iov[i].base;
	}

	attach = dma_buf_attach_interconnect(imp->dmabuf, imp->dev,
					     importer_attach_ops(args->flags),
					     imp, offers, args->nr_offers);
	if (IS_ERR(attach))
		return PTR_ERR(attach);

	/* The work may look already, though it finds no mapping. */
	dma_resv_lock(imp->dmabuf->resv, NULL);
	imp->attach = attach;
	imp->remap = args->flags & DMA_BUF_IOV_TEST_ATTACH_REMAP;
	dma_resv_unlock(imp->dmabuf->resv);
	return 0;
}

static void importer_do_detach(struct importer *imp)
{
	dma_resv_lock(imp->dmabuf->resv, NULL);
	importer_unmap(imp, imp->attach);
	imp->remap = false;
	dma_resv_unlock(imp->dmabuf->resv);

	dma_buf_detach(imp->dmabuf, imp->attach);
	/* Nobody is left who could queue it. */
	cancel_delayed_work_sync(&imp->work);
	imp->attach = NULL;
}

static void importer_put(struct importer *imp)
{
	put_device(imp->dev);
	dma_buf_put(imp->dmabuf);
	imp->dev = NULL;
	imp->dmabuf = NULL;
}

static void importer_detach(struct importer *imp)
{
	importer_do_detach(imp);
	importer_put(imp);
}

static int importer_check_attach(const struct dma_buf_iov_test_attach *args)
{
	u32 i;

	if (args->flags & ~ATTACH_FLAGS || args->reserved || args->reserved2 ||
	    args->nr_offers > ARRAY_SIZE(args->offers) ||
	    strnlen(args->bdf, sizeof(args->bdf)) == sizeof(args->bdf))
		return -EINVAL;

	for (i = 0; i < args->nr_offers; i++) {
		if (args->offers[i].kind > DMA_BUF_IOV_TEST_OFFER_OTHER ||
		    args->offers[i].bar >= PCI_STD_NUM_BARS)
			return -EINVAL;
	}

	return 0;
}

static int importer_attach(struct importer *imp,
			   const struct dma_buf_iov_test_attach *args)
{
	struct dma_buf *dmabuf;
	int ret;

	dmabuf = dma_buf_get(args->fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	imp->dmabuf = dmabuf;
	imp->dev = importer_get_device(args->bdf);
	if (!imp->dev) {
		ret = -ENODEV;
		goto err_put;
	}

	imp->args = *args;
	ret = importer_do_attach(imp);
	if (ret)
		goto err_put;

	return 0;

err_put:
	importer_put(imp);
	return ret;
}

/* What was agreed? */
static void importer_agreed(const struct importer *imp,
			    struct dma_buf_iov_test_attach *args)
{
	const struct dma_buf_interconnect_offer *offer = imp->attach->interconnect;
	const struct dma_buf_iov_offer *iov = to_dma_buf_iov_offer(offer);

	memset(args->type, 0, sizeof(args->type));
	memset(args->vf, 0, sizeof(args->vf));
	args->bar = 0;

	if (offer)
		strscpy(args->type, offer->type->name);
	if (iov) {
		strscpy(args->vf, pci_name(iov->vf));
		args->bar = iov->bar;
	}
}

static int importer_ioctl_attach(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_attach args;
	int ret;

	if (copy_from_user(&args, uarg, sizeof(args)))
		return -EFAULT;
	ret = importer_check_attach(&args);
	if (ret)
		return ret;
	if (imp->attach)
		return -EBUSY;

	ret = importer_attach(imp, &args);
	if (ret)
		return ret;

	importer_agreed(imp, &args);
	if (copy_to_user(uarg, &args, sizeof(args))) {
		importer_detach(imp);
		return -EFAULT;
	}

	return 0;
}

static int importer_ioctl_detach(struct importer *imp)
{
	if (!imp->attach)
		return -ENXIO;

	importer_detach(imp);
	return 0;
}

/*
 * Mapping, for user space
 */

static int importer_map_locked(struct importer *imp,
			       int (*map)(struct importer *imp))
{
	if (importer_mapped(imp))
		return -EBUSY;

	return map(imp);
}

static int importer_ioctl_unmap(struct importer *imp)
{
	bool unmapped;

	if (!imp->attach)
		return -ENXIO;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	unmapped = importer_unmap(imp, imp->attach);
	dma_resv_unlock(imp->dmabuf->resv);

	return unmapped ? 0 : -ENXIO;
}

static int importer_ioctl_map(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_map map = {};
	int ret;

	if (!imp->attach)
		return -ENXIO;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	ret = importer_map_locked(imp, importer_map);
	if (!ret) {
		map.size = imp->ranges->size;
		map.nr = imp->ranges->nr;
	}
	dma_resv_unlock(imp->dmabuf->resv);
	if (ret)
		return ret;

	if (copy_to_user(uarg, &map, sizeof(map))) {
		importer_ioctl_unmap(imp);
		return -EFAULT;
	}

	return 0;
}

static int importer_ioctl_map_sg(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_map_sg map = {};
	struct scatterlist *sg;
	unsigned int i;
	int ret;

	if (!imp->attach)
		return -ENXIO;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	ret = importer_map_locked(imp, importer_map_sg);
	if (!ret) {
		for_each_sgtable_dma_sg(imp->sgt, sg, i)
			map.size += sg_dma_len(sg);
		map.nr = imp->sgt->nents;
		map.first = sg_dma_address(imp->sgt->sgl);
	}
	dma_resv_unlock(imp->dmabuf->resv);
	if (ret)
		return ret;

	if (copy_to_user(uarg, &map, sizeof(map))) {
		importer_ioctl_unmap(imp);
		return -EFAULT;
	}

	return 0;
}

/*
 * The ranges: of the address space of an interconnect, or of DMA addresses. All
 * with the reservation lock held, but for the ioctl.
 */

static u32 importer_nr_ranges(const struct importer *imp)
{
	return imp->ranges ? imp->ranges->nr : imp->sgt->nents;
}

static void importer_put_range(struct dma_buf_iov_test_range *to, u32 first,
			       u32 nr, unsigned long i, u64 start, u64 end)
{
	if (i < first || i - first >= nr)
		return;

	to[i - first].start = start;
	to[i - first].end = end;
}

static void importer_get_ranges(const struct importer *imp, u32 first,
				struct dma_buf_iov_test_range *to, u32 nr)
{
	const struct range *range;
	unsigned long i;

	dma_buf_for_each_range(imp->ranges, i, range)
		importer_put_range(to, first, nr, i, range->start, range->end);
}

static void importer_get_dma_ranges(const struct importer *imp, u32 first,
				    struct dma_buf_iov_test_range *to, u32 nr)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(imp->sgt, sg, i)
		importer_put_range(to, first, nr, i, sg_dma_address(sg),
				   sg_dma_address(sg) + sg_dma_len(sg) - 1);
}

/* How many of @nr ranges are there from @first? */
static int importer_count_ranges(struct importer *imp, u32 first, u32 *nr)
{
	int ret = -ENXIO;
	u32 total;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	if (importer_mapped(imp)) {
		total = importer_nr_ranges(imp);
		*nr = min(*nr, total - min(first, total));
		ret = 0;
	}
	dma_resv_unlock(imp->dmabuf->resv);

	return ret;
}

/* Copy @nr ranges, which were there a moment ago. They may have gone since. */
static int importer_copy_ranges(struct importer *imp, u32 first,
				struct dma_buf_iov_test_range *to, u32 nr)
{
	int ret = 0;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	if (imp->ranges)
		importer_get_ranges(imp, first, to, nr);
	else if (imp->sgt)
		importer_get_dma_ranges(imp, first, to, nr);
	else
		ret = -ENXIO;
	dma_resv_unlock(imp->dmabuf->resv);

	return ret;
}

static int importer_ioctl_ranges(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_range *ranges __free(kvfree) = NULL;
	struct dma_buf_iov_test_ranges arg;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!imp->attach)
		return -ENXIO;

	ret = importer_count_ranges(imp, arg.first, &arg.nr);
	if (ret)
		return ret;

	ranges = kvzalloc_objs(*ranges, arg.nr, GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return -ENOMEM;

	ret = importer_copy_ranges(imp, arg.first, ranges, arg.nr);
	if (ret)
		return ret;

	if (copy_to_user(u64_to_user_ptr(arg.uptr), ranges,
			 array_size(arg.nr, sizeof(*ranges))) ||
	    copy_to_user(uarg, &arg, sizeof(arg)))
		return -EFAULT;
	return 0;
}

/*
 * The window
 */

static int importer_ioctl_window(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_window win;
	u64 end;

	if (copy_from_user(&win, uarg, sizeof(win)))
		return -EFAULT;

	if (win.vf_bar >= PCI_STD_NUM_BARS ||
	    win.pf_bar >= DMA_BUF_IOV_TEST_VF_BARS + PCI_SRIOV_NUM_BARS ||
	    !win.size ||
	    !IS_ALIGNED(win.vf_offset | win.size | win.pf_offset |
			win.pf_stride, sizeof(u32)) ||
	    check_add_overflow(win.vf_offset, win.size, &end))
		return -EINVAL;

	imp->window = win;
	return 0;
}

static struct resource *importer_window_resource(struct pci_dev *pf, u32 bar)
{
#ifdef CONFIG_PCI_IOV
	if (bar >= DMA_BUF_IOV_TEST_VF_BARS)
		bar += PCI_IOV_RESOURCES - DMA_BUF_IOV_TEST_VF_BARS;
#endif
	return pci_resource_n(pf, bar);
}

/* Where in the PF's BAR is the window on the VF's memory? */
static int importer_window_start(const struct importer *imp,
				 const struct dma_buf_iov_offer *iov,
				 resource_size_t *start)
{
	const struct dma_buf_iov_test_window *win = &imp->window;
	const struct resource *res;
	u64 offset, end;
	int vf;

	res = importer_window_resource(iov->pf, win->pf_bar);
	if (!win->size || win->vf_bar != iov->bar ||
	    !(res->flags & IORESOURCE_MEM))
		return -ERANGE;

	vf = pci_iov_vf_id(iov->vf);
	if (vf < 0)
		return vf;

	if (check_mul_overflow(win->pf_stride, (u64)vf, &offset) ||
	    check_add_overflow(offset, win->pf_offset, &offset) ||
	    check_add_overflow(offset, win->size, &end) ||
	    end > resource_size(res))
		return -ERANGE;

	*start = res->start + offset;
	return 0;
}

/* Is all of @range seen through the window? Then make it relative to that. */
static int importer_translate(const struct importer *imp, struct range *range)
{
	const struct dma_buf_iov_test_window *win = &imp->window;
	const struct range seen = {
		.start = win->vf_offset,
		.end = win->vf_offset + win->size - 1,
	};

	if (!range_contains(&seen, range))
		return -ERANGE;

	range->start -= seen.start;
	range->end -= seen.start;
	return 0;
}

/* The memory of a device that the tests use knows nothing but 32 bits. */
static void importer_copy(void __iomem *io, void *data, u32 len, bool write)
{
	if (write)
		__iowrite32_copy(io, data, len / sizeof(u32));
	else
		__ioread32_copy(data, io, len / sizeof(u32));
}

/*
 * Copy between @data and the part of the buffer that @arg says, which may spread
 * over several ranges. Only checks that this is possible if @io is NULL.
 */
static int importer_access(struct importer *imp, void __iomem *io, void *data,
			   const struct dma_buf_iov_test_access *arg)
{
	const struct range *range;
	u64 skip = arg->offset;
	u32 len = arg->len;
	unsigned long i;
	int ret;

	dma_buf_for_each_range(imp->ranges, i, range) {
		struct range part;
		u32 n;

		if (skip >= range_len(range)) {
			skip -= range_len(range);
			continue;
		}

		n = min_t(u64, len, range_len(range) - skip);
		part.start = range->start + skip;
		part.end = part.start + n - 1;
		ret = importer_translate(imp, &part);
		if (ret)
			return ret;

		if (io)
			importer_copy(io + part.start, data, n, arg->write);

		skip = 0;
		data += n;
		len -= n;
		if (!len)
			return 0;
	}

	return -ERANGE;
}

/*
 * Reservation lock held. As long as the mapping is live the exporter does not
 * give up the VF, and the PF cannot go away or disable it.
 */
static int importer_access_locked(struct importer *imp, void *data,
				  const struct dma_buf_iov_test_access *arg)
{
	const struct dma_buf_iov_offer *iov;
	resource_size_t start;
	void __iomem *io;
	long left;
	int ret;

	if (!imp->ranges)
		return -ENXIO;

	left = dma_resv_wait_timeout(imp->dmabuf->resv,
				     dma_resv_usage_rw(arg->write), true,
				     MAX_SCHEDULE_TIMEOUT);
	if (left < 0)
		return left;

	iov = to_dma_buf_iov_offer(imp->attach->interconnect);
	if (!iov)
		return -ERANGE;
	ret = importer_window_start(imp, iov, &start);
	if (ret)
		return ret;
	ret = importer_access(imp, NULL, data, arg);
	if (ret)
		return ret;

	io = ioremap(start, imp->window.size);
	if (!io)
		return -ENOMEM;
	ret = importer_access(imp, io, data, arg);
	iounmap(io);
	return ret;
}

static int importer_ioctl_access(struct importer *imp, void __user *uarg)
{
	u32 *data __free(kfree) = NULL;
	struct dma_buf_iov_test_access arg;
	void __user *uptr;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (!arg.len || arg.len > PAGE_SIZE || arg.write > 1 ||
	    !IS_ALIGNED(arg.len | arg.offset, sizeof(u32)))
		return -EINVAL;
	if (!imp->attach)
		return -ENXIO;

	data = kzalloc(arg.len, GFP_KERNEL);
	if (!data)
		return -ENOMEM;

	uptr = u64_to_user_ptr(arg.uptr);
	if (arg.write && copy_from_user(data, uptr, arg.len))
		return -EFAULT;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	ret = importer_access_locked(imp, data, &arg);
	dma_resv_unlock(imp->dmabuf->resv);
	if (ret)
		return ret;

	if (!arg.write && copy_to_user(uptr, data, arg.len))
		return -EFAULT;
	return 0;
}

/*
 * What happened
 */

static void importer_set_eventfd(struct importer *imp,
				 struct eventfd_ctx *eventfd)
{
	spin_lock(&imp->event);
	swap(imp->eventfd, eventfd);
	spin_unlock(&imp->event);

	if (eventfd)
		eventfd_ctx_put(eventfd);
}

static void importer_get_counts(struct importer *imp,
				struct dma_buf_iov_test_state *state)
{
	spin_lock(&imp->event);
	state->invalidations = imp->invalidations;
	state->unmapped = imp->unmapped;
	spin_unlock(&imp->event);
}

static void importer_get_state(struct importer *imp,
			       struct dma_buf_iov_test_state *state)
{
	if (!imp->attach) {
		importer_get_counts(imp, state);
		return;
	}

	/* With the lock, so that an invalidation is seen whole or not at all. */
	dma_resv_lock(imp->dmabuf->resv, NULL);
	state->attached = 1;
	state->mapped = importer_mapped(imp);
	importer_get_counts(imp, state);
	dma_resv_unlock(imp->dmabuf->resv);
}

static int importer_ioctl_state(struct importer *imp, void __user *uarg)
{
	struct dma_buf_iov_test_state state, arg;
	struct eventfd_ctx *eventfd;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.reserved)
		return -EINVAL;

	if (arg.eventfd != -1) {
		eventfd = eventfd_ctx_fdget(arg.eventfd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
		importer_set_eventfd(imp, eventfd);
	}

	state = (struct dma_buf_iov_test_state) { .eventfd = arg.eventfd };
	importer_get_state(imp, &state);

	if (copy_to_user(uarg, &state, sizeof(state)))
		return -EFAULT;
	return 0;
}

/*
 * How long it takes
 */

static int importer_bench_attach(struct importer *imp)
{
	int ret;

	importer_do_detach(imp);
	ret = importer_do_attach(imp);
	if (ret)
		importer_put(imp);
	return ret;
}

static int importer_bench_map(struct importer *imp)
{
	int ret;

	dma_resv_lock(imp->dmabuf->resv, NULL);
	ret = importer_map_locked(imp, imp->attach->interconnect ?
				  importer_map : importer_map_sg);
	if (!ret)
		importer_unmap(imp, imp->attach);
	dma_resv_unlock(imp->dmabuf->resv);

	return ret;
}

static int importer_ioctl_bench(struct importer *imp, void __user *uarg)
{
	static int (*const what[])(struct importer *imp) = {
		[DMA_BUF_IOV_TEST_BENCH_ATTACH] = importer_bench_attach,
		[DMA_BUF_IOV_TEST_BENCH_MAP] = importer_bench_map,
	};
	struct dma_buf_iov_test_bench arg;
	ktime_t start;
	u32 i;
	int ret;

	if (copy_from_user(&arg, uarg, sizeof(arg)))
		return -EFAULT;
	if (arg.what >= ARRAY_SIZE(what))
		return -EINVAL;
	if (!imp->attach)
		return -ENXIO;

	start = ktime_get();
	for (i = 0; i < arg.times; i++) {
		ret = what[arg.what](imp);
		if (ret)
			return ret;
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	arg.ns = ktime_to_ns(ktime_sub(ktime_get(), start));

	if (copy_to_user(uarg, &arg, sizeof(arg)))
		return -EFAULT;
	return 0;
}

/*
 * The device
 */

static long importer_ioctl(struct file *file, unsigned int cmd,
			   unsigned long arg)
{
	struct importer *imp = file->private_data;
	void __user *uarg = (void __user *)arg;

	guard(mutex)(&imp->lock);

	switch (cmd) {
	case DMA_BUF_IOV_TEST_ATTACH:
		return importer_ioctl_attach(imp, uarg);
	case DMA_BUF_IOV_TEST_DETACH:
		return importer_ioctl_detach(imp);
	case DMA_BUF_IOV_TEST_MAP:
		return importer_ioctl_map(imp, uarg);
	case DMA_BUF_IOV_TEST_MAP_SG:
		return importer_ioctl_map_sg(imp, uarg);
	case DMA_BUF_IOV_TEST_UNMAP:
		return importer_ioctl_unmap(imp);
	case DMA_BUF_IOV_TEST_RANGES:
		return importer_ioctl_ranges(imp, uarg);
	case DMA_BUF_IOV_TEST_WINDOW:
		return importer_ioctl_window(imp, uarg);
	case DMA_BUF_IOV_TEST_ACCESS:
		return importer_ioctl_access(imp, uarg);
	case DMA_BUF_IOV_TEST_STATE:
		return importer_ioctl_state(imp, uarg);
	case DMA_BUF_IOV_TEST_BENCH:
		return importer_ioctl_bench(imp, uarg);
	default:
		return -ENOTTY;
	}
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *imp;

	imp = kzalloc_obj(*imp);
	if (!imp)
		return -ENOMEM;

	mutex_init(&imp->lock);
	spin_lock_init(&imp->event);
	INIT_DELAYED_WORK(&imp->work, importer_work);
	file->private_data = imp;
	return nonseekable_open(inode, file);
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *imp = file->private_data;

	if (imp->attach)
		importer_detach(imp);
	importer_set_eventfd(imp, NULL);
	mutex_destroy(&imp->lock);
	kfree(imp);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.unlocked_ioctl = importer_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice importer_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "dma_buf_iov_test",
	.fops = &importer_fops,
};

static int __init importer_init(void)
{
	struct device *dev;
	int ret;

	importer_faux = faux_device_create("dma_buf_iov_test", NULL, NULL);
	if (!importer_faux)
		return -ENODEV;

	dev = &importer_faux->dev;
	ret = dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (ret)
		goto err_faux;

	ret = misc_register(&importer_misc);
	if (ret)
		goto err_faux;

	return 0;

err_faux:
	faux_device_destroy(importer_faux);
	return ret;
}
module_init(importer_init);

static void __exit importer_exit(void)
{
	misc_deregister(&importer_misc);
	faux_device_destroy(importer_faux);
}
module_exit(importer_exit);

MODULE_DESCRIPTION("dma-buf importer for tests of IOV");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS("DMA_BUF");
