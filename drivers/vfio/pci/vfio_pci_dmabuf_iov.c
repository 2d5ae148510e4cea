// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOV interconnect of a dma-buf that vfio-pci exports from a VF's BAR
 *
 * A driver of the VF's own PF can take such a buffer as a list of offsets into
 * the BAR, see drivers/dma-buf/dma-buf-iov.c. All that this needs is fixed when
 * the buffer is exported: the VF, the BAR, and where in it the buffer is.
 */
#include <linux/dma-buf.h>
#include <linux/dma-buf-iov.h>
#include <linux/dma-resv.h>
#include <linux/pci.h>
#include <linux/range.h>

#include "vfio_pci_priv.h"

static int vfio_pci_dma_buf_map_iov(struct dma_buf_attachment *attachment,
				    struct dma_buf_ranges *ranges)
{
	struct vfio_pci_dma_buf *priv = attachment->dmabuf->priv;
	int ret;

	dma_resv_assert_held(priv->dmabuf->resv);

	/* Offsets into the BAR are for IOV only. */
	if (WARN_ON_ONCE(attachment->interconnect != &priv->iov.base))
		return -EINVAL;

	if (priv->revoked)
		return -ENODEV;

	ret = dma_buf_ranges_add(ranges, priv->iov_ranges, priv->nr_ranges);
	if (ret)
		return ret;

	kref_get(&priv->kref);
	return 0;
}

static const struct dma_buf_interconnect_ops vfio_pci_dma_buf_iov_ops = {
	.map = vfio_pci_dma_buf_map_iov,
	.unmap = vfio_pci_dma_buf_unmap_ranges,
};

/*
 * Where in @bar the buffer is. A driver may export memory that its regions only
 * pretend to be a BAR: that is nothing which the PF would find there.
 */
static bool vfio_pci_dma_buf_in_bar(const struct vfio_pci_dma_buf *priv,
				    const struct range *bar,
				    struct range *ranges)
{
	u32 i;

	for (i = 0; i < priv->nr_ranges; i++) {
		const struct phys_vec *vec = &priv->phys_vec[i];
		struct range range = {
			.start = vec->paddr,
			.end = vec->paddr + vec->len - 1,
		};

		if (!range_contains(bar, &range))
			return false;

		ranges[i].start = range.start - bar->start;
		ranges[i].end = range.end - bar->start;
	}

	return true;
}

/**
 * vfio_pci_dma_buf_init_iov - offer IOV for a buffer, if it can be had
 * @priv: a buffer that is about to be exported, with its phys_vec filled in
 * @bar: number of the BAR that it is part of
 *
 * Returns: 0, also if the buffer is not in a VF's BAR and there is nothing to
 * offer, or -ENOMEM.
 */
int vfio_pci_dma_buf_init_iov(struct vfio_pci_dma_buf *priv, unsigned int bar)
{
	struct pci_dev *pdev = priv->vdev->pdev;
	const struct range resource = {
		.start = pci_resource_start(pdev, bar),
		.end = pci_resource_end(pdev, bar),
	};
	struct range *ranges;

	if (!pdev->is_virtfn)
		return 0;

	ranges = kvmalloc_objs(*ranges, priv->nr_ranges, GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return -ENOMEM;

	if (!vfio_pci_dma_buf_in_bar(priv, &resource, ranges) ||
	    dma_buf_iov_offer_export(&priv->iov, pdev, bar,
				     &vfio_pci_dma_buf_iov_ops)) {
		kvfree(ranges);
		return 0;
	}

	priv->iov_ranges = ranges;
	priv->offers[priv->nr_offers++] = &priv->iov.base;
	return 0;
}

/**
 * vfio_pci_dma_buf_fini_iov - undo vfio_pci_dma_buf_init_iov()
 * @priv: a buffer that nobody is attached to any more
 */
void vfio_pci_dma_buf_fini_iov(struct vfio_pci_dma_buf *priv)
{
	if (!priv->iov_ranges)
		return;

	dma_buf_iov_offer_release(&priv->iov);
	kvfree(priv->iov_ranges);
}
