// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for dma_buf_phys_vec_to_sgt() and dma_buf_free_sgt().
 *
 * The code under test is compiled a second time, into this file, on top of a DMA
 * API that maps nothing: it keeps books. Each mapping has to be undone with the
 * address and size it was made with, all IOVA has to be linked in order and
 * without gaps, and each step can be made to fail.
 */

/* The names of the code under test in this file; the header declares them. */
#define dma_buf_phys_vec_to_sgt	tested_phys_vec_to_sgt
#define dma_buf_free_sgt	tested_free_sgt

#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/dma-buf-mapping.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/err.h>
#include <linux/pci-p2pdma.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>

#define FAKE_MAX_MAPS	16

/* Where the fake DMA API puts what it maps. */
#define FAKE_IOVA	BIT_ULL(40)
#define FAKE_DIRECT	BIT_ULL(41)	/* added to the physical address */
#define FAKE_BUS	BIT_ULL(42)	/* same here */

struct fake_mapping {
	dma_addr_t addr;
	size_t size;
};

/* What the code under test asked for, and has not undone yet. */
static struct {
	struct kunit *test;
	enum pci_p2pdma_map_type type;
	bool has_iova;		/* dma_iova_try_alloc() succeeds */
	unsigned int fail;	/* the call that fails, counted from 1, or 0 */
	unsigned int calls;	/* that may fail */

	struct fake_mapping maps[FAKE_MAX_MAPS];
	unsigned int nr_maps;
	size_t iova;		/* bytes allocated */
	size_t linked;		/* bytes of them, from the start */
	unsigned int entries;	/* of the scatterlist */
} fake;

static bool fake_fails(void)
{
	return ++fake.calls == fake.fail;
}

static enum pci_p2pdma_map_type
fake_p2pdma_map_type(struct p2pdma_provider *provider, struct device *dev)
{
	return fake.type;
}

static dma_addr_t fake_map_phys(struct device *dev, phys_addr_t phys,
				size_t size, enum dma_data_direction dir,
				unsigned long attrs)
{
	struct fake_mapping *map = &fake.maps[fake.nr_maps];

	KUNIT_EXPECT_EQ(fake.test, attrs, DMA_ATTR_MMIO);
	if (fake_fails())
		return DMA_MAPPING_ERROR;

	KUNIT_ASSERT_LT(fake.test, fake.nr_maps, FAKE_MAX_MAPS);
	map->addr = phys + FAKE_DIRECT;
	map->size = size;
	fake.nr_maps++;
	return map->addr;
}

static int fake_mapping_error(struct device *dev, dma_addr_t addr)
{
	return addr == DMA_MAPPING_ERROR ? -ENOMEM : 0;
}

static void fake_unmap_phys(struct device *dev, dma_addr_t addr, size_t size,
			    enum dma_data_direction dir, unsigned long attrs)
{
	unsigned int i;

	for (i = 0; i < fake.nr_maps; i++) {
		if (fake.maps[i].addr == addr && fake.maps[i].size == size) {
			fake.maps[i] = fake.maps[--fake.nr_maps];
			return;
		}
	}

	KUNIT_FAIL(fake.test, "unmaps %zu bytes at %pad, which nobody mapped",
		   size, &addr);
}

static bool fake_use_iova(struct dma_iova_state *state)
{
	return state->__size;
}

static bool fake_iova_try_alloc(struct device *dev,
				struct dma_iova_state *state, phys_addr_t phys,
				size_t size)
{
	if (!fake.has_iova)
		return false;

	state->addr = FAKE_IOVA;
	state->__size = size;
	fake.iova = size;
	return true;
}

static void fake_iova_free(struct device *dev, struct dma_iova_state *state)
{
	KUNIT_EXPECT_EQ(fake.test, fake.linked, 0);
	fake.iova = 0;
}

static int fake_iova_link(struct device *dev, struct dma_iova_state *state,
			  phys_addr_t phys, size_t offset, size_t size,
			  enum dma_data_direction dir, unsigned long attrs)
{
	KUNIT_EXPECT_EQ(fake.test, attrs, DMA_ATTR_MMIO);
	KUNIT_EXPECT_EQ(fake.test, offset, fake.linked);
	KUNIT_EXPECT_LE(fake.test, offset + size, fake.iova);
	if (fake_fails())
		return -EIO;

	fake.linked += size;
	return 0;
}

static int fake_iova_sync(struct device *dev, struct dma_iova_state *state,
			  size_t offset, size_t size)
{
	KUNIT_EXPECT_EQ(fake.test, offset, 0);
	KUNIT_EXPECT_EQ(fake.test, size, fake.linked);
	return fake_fails() ? -EIO : 0;
}

static void fake_iova_unlink(struct device *dev, struct dma_iova_state *state,
			     size_t offset, size_t size,
			     enum dma_data_direction dir, unsigned long attrs)
{
	KUNIT_EXPECT_EQ(fake.test, offset, 0);
	KUNIT_EXPECT_GT(fake.test, size, 0);
	KUNIT_EXPECT_EQ(fake.test, size, fake.linked);
	fake.linked = 0;
}

/* Frees as much IOVA as is said to be linked. */
static void fake_iova_destroy(struct device *dev, struct dma_iova_state *state,
			      size_t mapped_len, enum dma_data_direction dir,
			      unsigned long attrs)
{
	fake_iova_unlink(dev, state, 0, mapped_len, dir, attrs);
	fake.iova -= mapped_len;
}

static int fake_alloc_table(struct sg_table *sgt, unsigned int nents, gfp_t gfp)
{
	int ret;

	if (fake_fails())
		return -ENOMEM;

	ret = sg_alloc_table(sgt, nents, gfp);
	if (!ret)
		fake.entries = nents;
	return ret;
}

static void fake_free_table(struct sg_table *sgt)
{
	fake.entries -= sgt->orig_nents;
	sg_free_table(sgt);
}

#define pci_p2pdma_map_type(...)	fake_p2pdma_map_type(__VA_ARGS__)
#define dma_map_phys		fake_map_phys
#define dma_mapping_error	fake_mapping_error
#define dma_unmap_phys		fake_unmap_phys
#define dma_use_iova		fake_use_iova
#define dma_iova_try_alloc	fake_iova_try_alloc
#define dma_iova_free		fake_iova_free
#define dma_iova_link		fake_iova_link
#define dma_iova_sync		fake_iova_sync
#define dma_iova_unlink		fake_iova_unlink
#define dma_iova_destroy	fake_iova_destroy
#define sg_alloc_table		fake_alloc_table
#define sg_free_table		fake_free_table
#undef EXPORT_SYMBOL_NS_GPL
#define EXPORT_SYMBOL_NS_GPL(...)

#include "dma-buf-mapping.c"

/*
 * The buffers that are mapped
 */

#define MAX_RANGES	4
#define MAX_ENTRY	((u64)MAX_SG_ENT_SZ)

struct fake_range {
	u64 start;
	u64 len;
};

struct buffer_param {
	const char *desc;
	struct fake_range ranges[MAX_RANGES];	/* up to one of length 0 */
};

static const struct buffer_param buffer_params[] = {
	{ "one page", { { SZ_1G, PAGE_SIZE } } },
	{ "several ranges", {
		{ SZ_2G, 2 * PAGE_SIZE }, { SZ_1G, PAGE_SIZE },
		{ SZ_1M, SZ_64K },
	} },
	{ "ranges that follow one another", {
		{ SZ_1G, PAGE_SIZE }, { SZ_1G + PAGE_SIZE, PAGE_SIZE },
	} },
	{ "a full entry", { { SZ_4G, MAX_ENTRY } } },
	{ "a full entry and a page", { { SZ_4G, MAX_ENTRY + PAGE_SIZE } } },
	{ "4 GiB", { { SZ_8G, SZ_4G } } },
	{ "8 GiB", { { SZ_16G, SZ_8G } } },
	{ "32 GiB", { { SZ_64G, SZ_32G } } },
	{ "more than 4 GiB among others", {
		{ SZ_1M, PAGE_SIZE }, { SZ_8G, SZ_4G + SZ_2M },
		{ SZ_1G, PAGE_SIZE }, { SZ_16G, SZ_8G },
	} },
};

KUNIT_ARRAY_PARAM_DESC(buffer, buffer_params, desc);

/* One buffer, and the device that attached to it. */
struct mapping_test {
	struct dma_buf dmabuf;
	struct dma_resv resv;
	struct dma_buf_attachment attach;
	struct p2pdma_provider provider;
	struct phys_vec vec[MAX_RANGES];
	unsigned int nr;
	u64 size;
};

static void set_up(struct kunit *test, enum pci_p2pdma_map_type type,
		   bool has_iova)
{
	const struct buffer_param *param = test->param_value;
	struct mapping_test *t = test->priv;
	u64 end = 0;

	memset(&fake, 0, sizeof(fake));
	fake.test = test;
	fake.type = type;
	fake.has_iova = has_iova;

	for (t->nr = 0, t->size = 0; t->nr < MAX_RANGES; t->nr++) {
		const struct fake_range *range = &param->ranges[t->nr];

		if (!range->len)
			break;
		t->vec[t->nr].paddr = range->start;
		t->vec[t->nr].len = range->len;
		t->size += range->len;
		end = max(end, range->start + range->len);
	}

	if (t->size > SIZE_MAX || end > PHYS_ADDR_MAX ||
	    DMA_BIT_MASK(BITS_PER_TYPE(dma_addr_t)) < FAKE_BUS)
		kunit_skip(test, "no buffer of that size on this machine");
}

static struct sg_table *map(struct mapping_test *t)
{
	struct sg_table *sgt;

	dma_resv_lock(&t->resv, NULL);
	sgt = tested_phys_vec_to_sgt(&t->attach, &t->provider, t->vec, t->nr,
				     t->size, DMA_BIDIRECTIONAL);
	dma_resv_unlock(&t->resv);

	return sgt;
}

static void unmap(struct mapping_test *t, struct sg_table *sgt)
{
	dma_resv_lock(&t->resv, NULL);
	tested_free_sgt(&t->attach, sgt, DMA_BIDIRECTIONAL);
	dma_resv_unlock(&t->resv);
}

static void expect_all_undone(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, fake.nr_maps, 0);
	KUNIT_EXPECT_EQ(test, fake.linked, 0);
	KUNIT_EXPECT_EQ(test, fake.iova, 0);
	KUNIT_EXPECT_EQ(test, fake.entries, 0);
}

/* The next entries of the list are @len bytes at @addr. Returns what follows. */
static struct scatterlist *expect_entries(struct kunit *test,
					  struct scatterlist *sg, u64 addr,
					  u64 len)
{
	u64 done, size;

	for (done = 0; done < len; done += size, sg = sg_next(sg)) {
		size = min(len - done, MAX_ENTRY);
		KUNIT_ASSERT_NOT_NULL(test, sg);
		KUNIT_EXPECT_EQ(test, sg_dma_address(sg), addr + done);
		KUNIT_EXPECT_EQ(test, sg_dma_len(sg), size);
	}

	return sg;
}

/* Range for range, at an offset from their physical addresses. */
static void expect_ranges(struct kunit *test, struct sg_table *sgt, u64 offset)
{
	struct mapping_test *t = test->priv;
	struct scatterlist *sg = sgt->sgl;
	unsigned int i;

	for (i = 0; i < t->nr; i++)
		sg = expect_entries(test, sg, t->vec[i].paddr + offset,
				    t->vec[i].len);
	KUNIT_EXPECT_NULL(test, sg);
}

static void maps_on_the_bus(struct kunit *test)
{
	struct mapping_test *t = test->priv;
	struct sg_table *sgt;

	set_up(test, PCI_P2PDMA_MAP_BUS_ADDR, true);
	sgt = map(t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	expect_ranges(test, sgt, FAKE_BUS);
	unmap(t, sgt);
	expect_all_undone(test);
}

static void maps_without_iova(struct kunit *test)
{
	struct mapping_test *t = test->priv;
	struct sg_table *sgt;

	set_up(test, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, false);
	sgt = map(t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	expect_ranges(test, sgt, FAKE_DIRECT);
	unmap(t, sgt);
	expect_all_undone(test);
}

static void maps_with_iova(struct kunit *test)
{
	struct mapping_test *t = test->priv;
	struct sg_table *sgt;

	set_up(test, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, true);
	sgt = map(t);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	KUNIT_EXPECT_EQ(test, fake.linked, t->size);
	KUNIT_EXPECT_NULL(test, expect_entries(test, sgt->sgl, FAKE_IOVA,
					       t->size));
	unmap(t, sgt);
	expect_all_undone(test);
}

/* Each step in turn fails: what was done before is undone, and no more. */
static void expect_failures_undone(struct kunit *test,
				   enum pci_p2pdma_map_type type, bool has_iova)
{
	struct mapping_test *t = test->priv;
	struct sg_table *sgt;
	unsigned int fail;

	for (fail = 1; ; fail++) {
		set_up(test, type, has_iova);
		fake.fail = fail;
		sgt = map(t);
		if (fake.calls < fail)
			break;

		KUNIT_ASSERT_TRUE(test, IS_ERR(sgt));
		expect_all_undone(test);
	}

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, sgt);
	unmap(t, sgt);
	expect_all_undone(test);
}

static void fails_on_the_bus(struct kunit *test)
{
	expect_failures_undone(test, PCI_P2PDMA_MAP_BUS_ADDR, true);
}

static void fails_without_iova(struct kunit *test)
{
	expect_failures_undone(test, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, false);
}

static void fails_with_iova(struct kunit *test)
{
	expect_failures_undone(test, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, true);
}

static void fails_without_p2p(struct kunit *test)
{
	struct mapping_test *t = test->priv;

	set_up(test, PCI_P2PDMA_MAP_NOT_SUPPORTED, true);
	KUNIT_EXPECT_PTR_EQ(test, map(t), ERR_PTR(-EINVAL));
	expect_all_undone(test);
}

static int mapping_test_init(struct kunit *test)
{
	struct mapping_test *t;

	t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, t);
	dma_resv_init(&t->resv);
	t->dmabuf.resv = &t->resv;
	t->attach.dmabuf = &t->dmabuf;
	t->provider.bus_offset = FAKE_BUS;
	test->priv = t;
	return 0;
}

static void mapping_test_exit(struct kunit *test)
{
	struct mapping_test *t = test->priv;

	if (t)
		dma_resv_fini(&t->resv);
}

static struct kunit_case mapping_cases[] = {
	KUNIT_CASE_PARAM(maps_on_the_bus, buffer_gen_params),
	KUNIT_CASE_PARAM(maps_without_iova, buffer_gen_params),
	KUNIT_CASE_PARAM(maps_with_iova, buffer_gen_params),
	KUNIT_CASE_PARAM(fails_on_the_bus, buffer_gen_params),
	KUNIT_CASE_PARAM(fails_without_iova, buffer_gen_params),
	KUNIT_CASE_PARAM(fails_with_iova, buffer_gen_params),
	KUNIT_CASE_PARAM(fails_without_p2p, buffer_gen_params),
	{}
};

static struct kunit_suite mapping_suite = {
	.name = "dma-buf-mapping",
	.init = mapping_test_init,
	.exit = mapping_test_exit,
	.test_cases = mapping_cases,
};

kunit_test_suite(mapping_suite);
