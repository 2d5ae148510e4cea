// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOV: the dma-buf interconnect between an SR-IOV device's functions
 */

#include <linux/dma-buf.h>
#include <linux/dma-buf-iov.h>
#include <linux/export.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

/**
 * DOC: IOV
 *
 * The memory behind a BAR of a virtual function (VF) is memory of the device,
 * and the physical function (PF) of the same device can reach it without going
 * through that BAR. Over IOV a driver that owns a VF, like vfio-pci, tells the
 * driver of the PF which part of the BAR a buffer is.
 *
 * *Address space*: bytes from the start of one BAR of one VF. Which VF and which
 * BAR, the importer reads from the negotiated offer (to_dma_buf_iov_offer()). It
 * never sees an address at which a CPU or another device would find the memory.
 *
 * *Match*: the exporter's device is a VF, the device that attaches is the PF which
 * owns this VF, and both offers name the same BAR. The reference in the exporter's
 * offer guarantees that this PF is still the same device.
 *
 * *What the ranges are worth*: core checks that they lie inside the BAR. That is
 * as much as PCI knows. How much of its BAR a VF really owns, and where that is
 * in the device's memory, only the PF's driver knows, and it must check both, as
 * the offsets may come from a guest.
 *
 * *Lifetime*: a VF may be disabled, and its driver may go, while a dma-buf of its
 * BAR lives on. The exporter's offer keeps the pci_devs of both functions as
 * objects, not as hardware; the exporter revokes the buffer.
 */

static const struct dma_buf_iov_offer *
iov_offer(const struct dma_buf_interconnect_offer *offer)
{
	return container_of(offer, struct dma_buf_iov_offer, base);
}

static bool iov_match(const struct dma_buf_attachment *attach,
		      const struct dma_buf_interconnect_offer *exp,
		      const struct dma_buf_interconnect_offer *imp,
		      const char **why)
{
	const struct dma_buf_iov_offer *e = iov_offer(exp);
	const struct dma_buf_iov_offer *i = iov_offer(imp);

	if (attach->dev != &e->pf->dev) {
		*why = "importer is not the PF of the exporter's VF";
		return false;
	}

	if (e->bar != i->bar) {
		*why = "importer reaches another BAR of the VF";
		return false;
	}

	return true;
}

static u64 iov_limit(const struct dma_buf_interconnect_offer *exp)
{
	return iov_offer(exp)->size - 1;
}

static void iov_show(struct seq_file *s,
		     const struct dma_buf_interconnect_offer *exp)
{
	const struct dma_buf_iov_offer *e = iov_offer(exp);

	seq_printf(s, " pf=%s vf=%s bar=%u", pci_name(e->pf), pci_name(e->vf),
		   e->bar);
}

const struct dma_buf_interconnect dma_buf_interconnect_iov = {
	.name = "iov",
	.merge = true,
	.match = iov_match,
	.limit = iov_limit,
	.show = iov_show,
};
EXPORT_SYMBOL_NS_GPL(dma_buf_interconnect_iov, "DMA_BUF");

/**
 * dma_buf_iov_offer_export - set up an exporter's offer of IOV
 * @offer: the offer
 * @vf: the function whose BAR the buffer is part of
 * @bar: number of the BAR, 0 to 5
 * @ops: the exporter's operations, which deal in byte offsets into @bar
 *
 * Takes references to @vf and to its PF. To be called before dma_buf_export().
 *
 * Context: process context; the caller is the driver that is bound to @vf, so
 * that SR-IOV cannot be disabled under it.
 *
 * Returns: 0, and then dma_buf_iov_offer_release() is to be called in
 * &dma_buf_ops.release; or -EOPNOTSUPP if @vf is no VF, @bar is none of its BARs
 * or the kernel has no SR-IOV: then there is nothing to offer, and to release.
 */
int dma_buf_iov_offer_export(struct dma_buf_iov_offer *offer,
			     struct pci_dev *vf, unsigned int bar,
			     const struct dma_buf_interconnect_ops *ops)
{
	if (!vf->is_virtfn || bar >= PCI_STD_NUM_BARS ||
	    !pci_resource_len(vf, bar))
		return -EOPNOTSUPP;

	offer->base.type = &dma_buf_interconnect_iov;
	offer->base.ops = ops;
	offer->vf = pci_dev_get(vf);
	offer->pf = pci_dev_get(pci_physfn(vf));
	offer->bar = bar;
	offer->size = pci_resource_len(vf, bar);
	return 0;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_iov_offer_export, "DMA_BUF");

/**
 * dma_buf_iov_offer_release - drop what an exporter's offer of IOV holds
 * @offer: an offer for which dma_buf_iov_offer_export() returned 0
 *
 * Context: process context, may sleep.
 */
void dma_buf_iov_offer_release(struct dma_buf_iov_offer *offer)
{
	pci_dev_put(offer->vf);
	pci_dev_put(offer->pf);
}
EXPORT_SYMBOL_NS_GPL(dma_buf_iov_offer_release, "DMA_BUF");

/**
 * dma_buf_iov_offer_import - set up an importer's offer of IOV
 * @offer: the offer, for the call to dma_buf_attach_interconnect() only
 * @bar: number of the BAR, 0 to 5, of its VFs behind which the importer can reach
 *
 * For a PF, which is the device that it attaches. An importer that can reach
 * behind several BARs makes several offers.
 *
 * Context: any.
 *
 * Returns: 0, or -EOPNOTSUPP if the kernel has no SR-IOV.
 */
int dma_buf_iov_offer_import(struct dma_buf_iov_offer *offer, unsigned int bar)
{
	*offer = (struct dma_buf_iov_offer) {
		.base.type = &dma_buf_interconnect_iov,
		.bar = bar,
	};
	return 0;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_iov_offer_import, "DMA_BUF");
