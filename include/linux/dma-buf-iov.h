/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOV: the dma-buf interconnect between an SR-IOV device's functions
 *
 * The address space, the match rule and the lifetimes are described in
 * drivers/dma-buf/dma-buf-iov.c.
 */
#ifndef __DMA_BUF_IOV_H__
#define __DMA_BUF_IOV_H__

#include <linux/container_of.h>
#include <linux/dma-buf-interconnect.h>
#include <linux/errno.h>

struct pci_dev;

/**
 * struct dma_buf_iov_offer - an offer of IOV
 *
 * An exporter sets one up with dma_buf_iov_offer_export(), an importer with
 * dma_buf_iov_offer_import().
 */
struct dma_buf_iov_offer {
	/** @base: What core sees of it. */
	struct dma_buf_interconnect_offer base;

	/**
	 * @pf: The physical function that @vf belongs to; NULL in an importer's
	 * offer.
	 */
	struct pci_dev *pf;

	/**
	 * @vf:
	 *
	 * The virtual function whose BAR the exporter's buffer is part of; NULL
	 * in an importer's offer.
	 */
	struct pci_dev *vf;

	/**
	 * @bar: The VF's BAR, 0 to 5: in an exporter's offer the one that the
	 * buffer is part of, in an importer's the one behind which it can reach.
	 */
	unsigned int bar;

	/**
	 * @size: Bytes in the BAR, where the ranges end at the latest; 0 in an
	 * importer's offer.
	 */
	u64 size;
};

#ifdef CONFIG_PCI_IOV
extern const struct dma_buf_interconnect dma_buf_interconnect_iov;

int dma_buf_iov_offer_export(struct dma_buf_iov_offer *offer,
			     struct pci_dev *vf, unsigned int bar,
			     const struct dma_buf_interconnect_ops *ops);
void dma_buf_iov_offer_release(struct dma_buf_iov_offer *offer);
int dma_buf_iov_offer_import(struct dma_buf_iov_offer *offer, unsigned int bar);

/**
 * to_dma_buf_iov_offer - the IOV offer behind what was negotiated
 * @offer: &dma_buf_attachment.interconnect, may be NULL
 *
 * An importer learns from it which BAR of which VF the ranges lie in.
 *
 * Returns: the exporter's offer, valid until the attachment is detached, or NULL
 * if the interconnect that was agreed is not IOV.
 */
static inline const struct dma_buf_iov_offer *
to_dma_buf_iov_offer(const struct dma_buf_interconnect_offer *offer)
{
	if (!offer || offer->type != &dma_buf_interconnect_iov)
		return NULL;

	return container_of(offer, struct dma_buf_iov_offer, base);
}
#else
static inline int
dma_buf_iov_offer_export(struct dma_buf_iov_offer *offer, struct pci_dev *vf,
			 unsigned int bar,
			 const struct dma_buf_interconnect_ops *ops)
{
	return -EOPNOTSUPP;
}

static inline void dma_buf_iov_offer_release(struct dma_buf_iov_offer *offer)
{
}

static inline int
dma_buf_iov_offer_import(struct dma_buf_iov_offer *offer, unsigned int bar)
{
	return -EOPNOTSUPP;
}

static inline const struct dma_buf_iov_offer *
to_dma_buf_iov_offer(const struct dma_buf_interconnect_offer *offer)
{
	return NULL;
}
#endif /* CONFIG_PCI_IOV */

#endif /* __DMA_BUF_IOV_H__ */
