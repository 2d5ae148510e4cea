// SPDX-License-Identifier: GPL-2.0-only
/*
 * phys: the dma-buf interconnect between an owner of MMIO and an IOMMU's page table
 */

#include <linux/dma-buf-phys.h>
#include <linux/export.h>
#include <linux/limits.h>

/**
 * DOC: phys
 *
 * iommufd builds page tables of IOMMUs, for any device that user space attaches to
 * them, now or later. A DMA mapping, which is made for one device and is an address
 * in *its* page table, cannot tell what to write there: the CPU physical address
 * can. Over phys a driver that owns MMIO, like vfio-pci, hands that to iommufd.
 *
 * *Address space*: CPU physical addresses of MMIO, as they stand in a PCI
 * resource, or of what a driver presents as such: nvgrace-gpu's BAR is the GPU's
 * memory. There need not be a struct page behind them, and nobody may look for
 * one. They are mapped uncached: in a page table of an IOMMU, with IOMMU_MMIO.
 *
 * *Match*: any exporter of the type, and iommufd. An address says nothing about
 * who may use it and how. So the importer's side is not for everybody: there is a
 * single importer's offer, the symbol that hands it out is exported for the module
 * iommufd alone, and the match rule compares addresses of offers, so that an offer
 * made elsewhere, with the type copied from an exporter's, is refused. Exporters
 * for their part map only for an attachment that agreed on phys. That keeps a
 * driver from getting addresses by accident or by a shortcut; it is no protection
 * from a module that is out for them, which can read PCI resources anyway. The
 * module named in the export is the policy: for another importer to be let in,
 * it has to be added there.
 *
 * *What the ranges are worth*: the exporter vouches for them. Core checks that they
 * are page aligned and as long as the buffer; there is nothing else to check them
 * against.
 *
 * *Lifetime*: until the importer unmaps, which it does in its invalidate_mappings,
 * after the addresses are out of all page tables and IOTLBs. A buffer that its
 * exporter revokes and gives back is not mapped again by itself: user space maps
 * it anew. Without an IOMMU nothing enforces that: where the kernel has
 * IOMMU_IOAS_NOIOMMU_GET_PA, a user with CAP_SYS_RAWIO gets addresses which no
 * revoke takes back.
 */

static bool phys_match(const struct dma_buf_attachment *attach,
		       const struct dma_buf_interconnect_offer *exp,
		       const struct dma_buf_interconnect_offer *imp,
		       const char **why);

static u64 phys_limit(const struct dma_buf_interconnect_offer *exp)
{
	return PHYS_ADDR_MAX;
}

static const struct dma_buf_interconnect dma_buf_interconnect_phys = {
	.name = "phys",
	.merge = true,
	.match = phys_match,
	.limit = phys_limit,
};

/* The one offer of an importer that there is. */
static const struct dma_buf_interconnect_offer phys_importer = {
	.type = &dma_buf_interconnect_phys,
};

static bool phys_match(const struct dma_buf_attachment *attach,
		       const struct dma_buf_interconnect_offer *exp,
		       const struct dma_buf_interconnect_offer *imp,
		       const char **why)
{
	if (imp == &phys_importer)
		return true;

	*why = "importer made up its offer";
	return false;
}

/**
 * dma_buf_phys_offer_export - set up an exporter's offer of phys
 * @offer: the offer, which needs to stay valid until &dma_buf_ops.release
 * @ops: the exporter's operations, which deal in CPU physical addresses
 *
 * For drivers that own MMIO and can revoke it: @ops->map fails with -ENODEV while
 * the buffer is revoked, and the exporter calls dma_buf_invalidate_mappings() and
 * waits for @ops->unmap before anything else can appear at the addresses. @ops->map
 * fails with -EINVAL, and a warning, for an attachment whose interconnect is not
 * @offer.
 *
 * Context: any.
 */
void dma_buf_phys_offer_export(struct dma_buf_interconnect_offer *offer,
			       const struct dma_buf_interconnect_ops *ops)
{
	offer->type = &dma_buf_interconnect_phys;
	offer->ops = ops;
}
EXPORT_SYMBOL_NS_GPL(dma_buf_phys_offer_export, "DMA_BUF");

/**
 * dma_buf_phys_offer_import - the importer's offer of phys
 *
 * For iommufd only, see above.
 *
 * Context: any.
 *
 * Returns: the offer, which is constant and always valid.
 */
const struct dma_buf_interconnect_offer *dma_buf_phys_offer_import(void)
{
	return &phys_importer;
}
EXPORT_SYMBOL_FOR_MODULES(dma_buf_phys_offer_import, "iommufd");
