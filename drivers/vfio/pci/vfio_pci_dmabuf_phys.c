// SPDX-License-Identifier: GPL-2.0-only
/*
 * The phys interconnect of a dma-buf that vfio-pci exports
 *
 * iommufd maps such a buffer into the IOMMU's page tables, for which it needs to
 * know where the BAR is, see drivers/dma-buf/dma-buf-phys.c.
 */
#include <linux/dma-buf.h>
#include <linux/dma-buf-phys.h>
#include <linux/dma-resv.h>
#include <linux/minmax.h>
#include <linux/range.h>

#include "vfio_pci_priv.h"

#define PHYS_PIECES	16

/* A phys_vec is no range: convert some at a time, which needs no memory. */
static int vfio_pci_dma_buf_add_phys(struct dma_buf_ranges *ranges,
				     const struct phys_vec *vec, u32 nr)
{
	struct range pieces[PHYS_PIECES];
	u32 i;

	for (i = 0; i < nr; i++) {
		pieces[i].start = vec[i].paddr;
		pieces[i].end = vec[i].paddr + vec[i].len - 1;
	}

	return dma_buf_ranges_add(ranges, pieces, nr);
}

static int vfio_pci_dma_buf_map_phys(struct dma_buf_attachment *attachment,
				     struct dma_buf_ranges *ranges)
{
	struct vfio_pci_dma_buf *priv = attachment->dmabuf->priv;
	u32 i, nr;
	int ret;

	dma_resv_assert_held(priv->dmabuf->resv);

	/* Only who agreed on phys may learn where the BAR is. */
	if (WARN_ON(attachment->interconnect != &priv->phys))
		return -EINVAL;

	if (priv->revoked)
		return -ENODEV;

	for (i = 0; i < priv->nr_ranges; i += nr) {
		nr = min(priv->nr_ranges - i, PHYS_PIECES);
		ret = vfio_pci_dma_buf_add_phys(ranges, priv->phys_vec + i, nr);
		if (ret)
			return ret;
	}

	kref_get(&priv->kref);
	return 0;
}

static const struct dma_buf_interconnect_ops vfio_pci_dma_buf_phys_ops = {
	.map = vfio_pci_dma_buf_map_phys,
	.unmap = vfio_pci_dma_buf_unmap_ranges,
};

/**
 * vfio_pci_dma_buf_init_phys - offer phys for a buffer
 * @priv: a buffer that is about to be exported, with its phys_vec filled in
 */
void vfio_pci_dma_buf_init_phys(struct vfio_pci_dma_buf *priv)
{
	dma_buf_phys_offer_export(&priv->phys, &vfio_pci_dma_buf_phys_ops);
	priv->offers[priv->nr_offers++] = &priv->phys;
}
