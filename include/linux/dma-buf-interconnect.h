/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dma-buf interconnects: sharing a buffer without a DMA mapping
 *
 * The model, the locking rules and the lifetimes are described in
 * drivers/dma-buf/dma-buf-interconnect.c; how to write an exporter, an importer
 * or a type in Documentation/driver-api/dma-buf-interconnect.rst.
 */
#ifndef __DMA_BUF_INTERCONNECT_H__
#define __DMA_BUF_INTERCONNECT_H__

#include <linux/range.h>
#include <linux/types.h>

#include <asm/page.h>

struct device;
struct dma_buf;
struct dma_buf_attach_ops;
struct dma_buf_attachment;
struct dma_buf_interconnect_offer;
struct dma_buf_ranges;
struct seq_file;

/**
 * struct dma_buf_interconnect - a type of interconnect
 *
 * A type is a singleton: there is one constant instance of it, and its address
 * is its identity. It defines two things: which two ends it joins (@match), and
 * what the ranges mean that an importer is handed, that is, their address space.
 */
struct dma_buf_interconnect {
	/** @name: Name for people, shown in debugfs and trace events. */
	const char *name;

	/**
	 * @merge:
	 *
	 * Ranges that follow one another both in the buffer and in the address
	 * space may be merged into one. False for a type where the border
	 * between two ranges has a meaning.
	 */
	bool merge;

	/**
	 * @match: [optional]
	 *
	 * Decides whether the two ends are really joined by this interconnect.
	 * Both offers are of this type; the importer's is valid during the call
	 * only. Which device attaches is in &dma_buf_attachment.dev. For two
	 * ends that do not match, the callback points @why at a constant string
	 * that tells the reader of a trace the reason. Without this callback,
	 * two ends that offer the type always match.
	 *
	 * Context: process context, may sleep. The reservation lock is not
	 * held, so this must not look at anything that the lock protects.
	 *
	 * Returns: true if the importer can use this interconnect to reach the
	 * exporter's memory.
	 */
	bool (*match)(const struct dma_buf_attachment *attach,
		      const struct dma_buf_interconnect_offer *exp,
		      const struct dma_buf_interconnect_offer *imp,
		      const char **why);

	/**
	 * @limit: [optional]
	 *
	 * The last valid address of the address space in which @exp hands out
	 * ranges. Core refuses an exporter's range that ends after it. Without
	 * this callback there is no limit but that of a u64.
	 *
	 * Context: reservation lock held.
	 *
	 * Returns: the address of the last byte.
	 */
	u64 (*limit)(const struct dma_buf_interconnect_offer *exp);

	/**
	 * @show: [optional]
	 *
	 * Prints what is special about @exp on the attachment's line in
	 * debugfs, as "key=value" words with a blank before each.
	 *
	 * Context: reservation lock held.
	 */
	void (*show)(struct seq_file *s,
		     const struct dma_buf_interconnect_offer *exp);
};

/**
 * struct dma_buf_interconnect_ops - what an exporter does for an importer that
 * reaches its buffer over an interconnect
 *
 * Both callbacks are mandatory, and are called with the reservation lock held.
 */
struct dma_buf_interconnect_ops {
	/**
	 * @map:
	 *
	 * Adds the ranges that make up the whole buffer to @ranges, in buffer
	 * order, with dma_buf_ranges_add(), and makes sure that the memory
	 * stays where they say until @unmap. An exporter that can revoke its
	 * buffer checks here that it has not, and takes the reference for which
	 * the next revoke waits.
	 *
	 * Context: reservation lock held, may sleep. Must take no lock under
	 * which somebody may take the reservation lock.
	 *
	 * Returns: 0, or a negative errno, and then @unmap is not called:
	 *
	 * * -ENODEV: the buffer is revoked, and may become usable again.
	 * * -EXDEV: the buffer has moved to where this interconnect does not
	 *   reach.
	 * * What dma_buf_ranges_add() returned.
	 * * The exporter's own, but not -EOPNOTSUPP, by which core says that no
	 *   interconnect was agreed.
	 */
	int (*map)(struct dma_buf_attachment *attach,
		   struct dma_buf_ranges *ranges);

	/**
	 * @unmap:
	 *
	 * Undoes one successful @map. The ranges are still readable; core
	 * frees them afterwards.
	 *
	 * Context: reservation lock held, may sleep. Must not fail, also when
	 * the buffer has been revoked since.
	 */
	void (*unmap)(struct dma_buf_attachment *attach,
		      struct dma_buf_ranges *ranges);
};

/**
 * struct dma_buf_interconnect_offer - one end's readiness to use a type
 * @type: the interconnect
 * @ops: the exporter's operations; unused in an importer's offer
 *
 * Base of the typed offers, which embed it and add what their type needs to
 * know of an end; see &struct dma_buf_iov_offer. An exporter's offer does not
 * change and stays valid from dma_buf_export() until &dma_buf_ops.release. An
 * importer's offer needs to live for the call to dma_buf_attach_interconnect()
 * only.
 */
struct dma_buf_interconnect_offer {
	const struct dma_buf_interconnect *type;
	const struct dma_buf_interconnect_ops *ops;
};

/* Ranges are kept in pages full of them; the last one may be shorter. */
#define DMA_BUF_RANGES_PER_RUN	((unsigned int)(PAGE_SIZE / sizeof(struct range)))

/**
 * struct dma_buf_ranges - a buffer as ranges of an interconnect's address space
 *
 * What dma_buf_map_interconnect() returns. The ranges have indices 0 to @nr - 1,
 * in the order of the buffer's content: the first byte of the buffer is the first
 * byte of range 0. In the address space they may come in any order, and may
 * repeat. Every range is page aligned, and together they are as long as the
 * buffer.
 *
 * Read them with dma_buf_for_each_range() or dma_buf_ranges_load(). They do not
 * change, and stay readable until dma_buf_unmap_interconnect(), even if the
 * exporter revokes the buffer in the meantime.
 */
struct dma_buf_ranges {
	/** @size: Bytes in all ranges together: the size of the dma-buf. */
	u64 size;

	/** @nr: Number of ranges, at least one. */
	unsigned int nr;
};

const struct range *dma_buf_ranges_load(const struct dma_buf_ranges *ranges,
					unsigned long index);

/* Where dma_buf_for_each_range() is: at the range before number @next. */
struct dma_buf_ranges_iter {
	const struct dma_buf_ranges *of;
	unsigned long next;
	const struct range *range;
};

static inline const struct range *
dma_buf_ranges_next(struct dma_buf_ranges_iter *iter, unsigned long *index)
{
	unsigned long next = iter->next++;

	/* Within a run, no lookup is needed. */
	if (next < iter->of->nr && next % DMA_BUF_RANGES_PER_RUN)
		iter->range++;
	else
		iter->range = dma_buf_ranges_load(iter->of, next);

	*index = next;
	return iter->range;
}

/**
 * dma_buf_for_each_range - walk the ranges of a mapping in buffer order
 * @ranges: what dma_buf_map_interconnect() returned
 * @index: unsigned long, the loop's index, 0 to @ranges->nr - 1
 * @range: const struct range pointer, the loop's cursor
 *
 * Context: any, as long as @ranges stays mapped. The body may sleep.
 */
#define dma_buf_for_each_range(ranges, index, range)			\
	for (struct dma_buf_ranges_iter __iter = { .of = (ranges) };		\
	     ((range) = dma_buf_ranges_next(&__iter, &(index)));)

struct dma_buf_attachment *
dma_buf_attach_interconnect(struct dma_buf *dmabuf, struct device *dev,
			    const struct dma_buf_attach_ops *importer_ops,
			    void *importer_priv,
			    const struct dma_buf_interconnect_offer *const *offers,
			    unsigned int nr_offers);

struct dma_buf_ranges *
dma_buf_map_interconnect(struct dma_buf_attachment *attach);
void dma_buf_unmap_interconnect(struct dma_buf_attachment *attach,
				struct dma_buf_ranges *ranges);

int dma_buf_ranges_add(struct dma_buf_ranges *ranges,
		       const struct range *pieces, unsigned int nr);

#if IS_ENABLED(CONFIG_KUNIT)
struct dma_buf_ranges *dma_buf_ranges_kunit_alloc(const struct range *pieces,
						  unsigned int nr);
void dma_buf_ranges_kunit_free(struct dma_buf_ranges *ranges);
#endif

#endif /* __DMA_BUF_INTERCONNECT_H__ */
