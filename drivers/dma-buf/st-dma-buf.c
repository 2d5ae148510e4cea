// SPDX-License-Identifier: GPL-2.0-only
/*
 * KUnit tests for the lifetime of a dma-buf.
 *
 * The exporter is fake: it has no memory, and notes when it is asked to release
 * it.
 */

#include <kunit/resource.h>
#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/path.h>
#include <linux/slab.h>

#define FAKE_TIMEOUT	(10 * HZ)

struct fake_buf {
	struct dma_buf *dmabuf;
	struct completion released;
};

static struct sg_table *fake_map(struct dma_buf_attachment *attach,
				 enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void fake_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
}

static void fake_release(struct dma_buf *dmabuf)
{
	struct fake_buf *buf = dmabuf->priv;

	complete(&buf->released);
}

static const struct dma_buf_ops fake_dmabuf_ops = {
	.map_dma_buf = fake_map,
	.unmap_dma_buf = fake_unmap,
	.release = fake_release,
};

static struct fake_buf *fake_export(struct kunit *test)
{
	DEFINE_DMA_BUF_EXPORT_INFO(exp_info);
	struct fake_buf *buf;

	buf = kunit_kzalloc(test, sizeof(*buf), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, buf);
	init_completion(&buf->released);

	exp_info.ops = &fake_dmabuf_ops;
	exp_info.size = PAGE_SIZE;
	exp_info.priv = buf;
	buf->dmabuf = dma_buf_export(&exp_info);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, buf->dmabuf);
	return buf;
}

static bool fake_released(struct fake_buf *buf)
{
	return wait_for_completion_timeout(&buf->released, FAKE_TIMEOUT);
}

static void released_with_last_reference(struct kunit *test)
{
	struct fake_buf *buf = fake_export(test);

	get_dma_buf(buf->dmabuf);
	dma_buf_put(buf->dmabuf);
	KUNIT_EXPECT_FALSE(test, completion_done(&buf->released));

	dma_buf_put(buf->dmabuf);
	KUNIT_EXPECT_TRUE(test, fake_released(buf));
}

static void expect_path(struct kunit *test, const struct path *path,
			const char *expected)
{
	char *buffer = kunit_kzalloc(test, PATH_MAX, GFP_KERNEL);
	char *name;

	KUNIT_ASSERT_NOT_NULL(test, buffer);
	name = d_path(path, buffer, PATH_MAX);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, name);
	KUNIT_EXPECT_STREQ(test, name, expected);
}

/*
 * An O_PATH file descriptor keeps the path, and nothing else. The exporter is
 * asked to release the buffer all the same, and the path still has its name.
 */
static void released_under_path(struct kunit *test)
{
	struct fake_buf *buf = fake_export(test);
	struct path path = buf->dmabuf->file->f_path;
	bool released;

	path_get(&path);
	spin_lock(&buf->dmabuf->name_lock);
	buf->dmabuf->name = kstrdup("a name", GFP_ATOMIC);
	spin_unlock(&buf->dmabuf->name_lock);
	expect_path(test, &path, "/dmabuf:a name");

	dma_buf_put(buf->dmabuf);
	released = fake_released(buf);
	KUNIT_EXPECT_TRUE(test, released);
	expect_path(test, &path, "/dmabuf:a name");

	path_put(&path);
	if (!released)
		fake_released(buf);
}

static struct kunit_case dma_buf_cases[] = {
	KUNIT_CASE(released_with_last_reference),
	KUNIT_CASE(released_under_path),
	{}
};

static struct kunit_suite dma_buf_suite = {
	.name = "dma-buf",
	.test_cases = dma_buf_cases,
};

kunit_test_suite(dma_buf_suite);

MODULE_IMPORT_NS("DMA_BUF");
