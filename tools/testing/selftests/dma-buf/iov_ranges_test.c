// SPDX-License-Identifier: GPL-2.0-only
/*
 * The importer is handed exactly the offsets that were exported
 *
 * A dma-buf is made of parts of a VF's BAR: one or many, in any order, also the
 * same part several times. What the PF gets are these parts as byte offsets into
 * the BAR, in the order of the buffer, with those merged that follow one another
 * in both the buffer and the BAR.
 */
#include "kselftest_harness.h"
#include "iov_test.h"

#define MAX_PARTS	8

/*
 * A few, with the result spelled out
 */

FIXTURE(parts) {
	struct iov_test t;
};

FIXTURE_VARIANT(parts) {
	struct iov_pages parts[MAX_PARTS];
	unsigned int nr_parts;
	struct iov_pages ranges[MAX_PARTS];
	unsigned int nr_ranges;
};

FIXTURE_VARIANT_ADD(parts, first_page)
{
	.nr_parts = 1,
	.nr_ranges = 1,
	.parts = { { 0, 1 } },
	.ranges = { { 0, 1 } },
};

FIXTURE_VARIANT_ADD(parts, inner_pages)
{
	.nr_parts = 1,
	.nr_ranges = 1,
	.parts = { { 1, 2 } },
	.ranges = { { 1, 2 } },
};

FIXTURE_VARIANT_ADD(parts, last_page)
{
	.nr_parts = 1,
	.nr_ranges = 1,
	.parts = { { 3, 1 } },
	.ranges = { { 3, 1 } },
};

FIXTURE_VARIANT_ADD(parts, whole_bar)
{
	.nr_parts = 1,
	.nr_ranges = 1,
	.parts = { { 0, 4 } },
	.ranges = { { 0, 4 } },
};

FIXTURE_VARIANT_ADD(parts, whole_bar_in_pages)
{
	.nr_parts = 4,
	.nr_ranges = 1,
	.parts = { { 0, 1 }, { 1, 1 }, { 2, 1 }, { 3, 1 } },
	.ranges = { { 0, 4 } },
};

FIXTURE_VARIANT_ADD(parts, adjacent)
{
	.nr_parts = 2,
	.nr_ranges = 1,
	.parts = { { 0, 1 }, { 1, 3 } },
	.ranges = { { 0, 4 } },
};

FIXTURE_VARIANT_ADD(parts, adjacent_the_other_way)
{
	.nr_parts = 2,
	.nr_ranges = 2,
	.parts = { { 1, 3 }, { 0, 1 } },
	.ranges = { { 1, 3 }, { 0, 1 } },
};

FIXTURE_VARIANT_ADD(parts, gap)
{
	.nr_parts = 2,
	.nr_ranges = 2,
	.parts = { { 0, 1 }, { 2, 1 } },
	.ranges = { { 0, 1 }, { 2, 1 } },
};

FIXTURE_VARIANT_ADD(parts, unordered)
{
	.nr_parts = 4,
	.nr_ranges = 4,
	.parts = { { 3, 1 }, { 1, 1 }, { 0, 1 }, { 2, 1 } },
	.ranges = { { 3, 1 }, { 1, 1 }, { 0, 1 }, { 2, 1 } },
};

FIXTURE_VARIANT_ADD(parts, unordered_with_neighbours)
{
	.nr_parts = 4,
	.nr_ranges = 3,
	.parts = { { 3, 1 }, { 1, 1 }, { 2, 1 }, { 0, 1 } },
	.ranges = { { 3, 1 }, { 1, 2 }, { 0, 1 } },
};

FIXTURE_VARIANT_ADD(parts, repeated)
{
	.nr_parts = 3,
	.nr_ranges = 3,
	.parts = { { 2, 1 }, { 2, 1 }, { 2, 1 } },
	.ranges = { { 2, 1 }, { 2, 1 }, { 2, 1 } },
};

FIXTURE_VARIANT_ADD(parts, repeated_pair)
{
	.nr_parts = 4,
	.nr_ranges = 2,
	.parts = { { 0, 1 }, { 1, 1 }, { 0, 1 }, { 1, 1 } },
	.ranges = { { 0, 2 }, { 0, 2 } },
};

FIXTURE_VARIANT_ADD(parts, repeated_bar)
{
	.nr_parts = 2,
	.nr_ranges = 2,
	.parts = { { 0, 4 }, { 0, 4 } },
	.ranges = { { 0, 4 }, { 0, 4 } },
};

FIXTURE_VARIANT_ADD(parts, overlapping)
{
	.nr_parts = 2,
	.nr_ranges = 2,
	.parts = { { 0, 3 }, { 1, 3 } },
	.ranges = { { 0, 3 }, { 1, 3 } },
};

FIXTURE_SETUP(parts)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
}

FIXTURE_TEARDOWN(parts)
{
	IOV_TEST_TEARDOWN(&self->t);
}

static uint64_t pages_size(const struct iov_pages *parts, unsigned int nr)
{
	uint64_t pages = 0;

	while (nr--)
		pages += parts[nr].nr;
	return pages * iov_page_size();
}

/* Export @parts, attach and map: the dma-buf's fd, or -errno. */
static int map_parts(const struct iov_test *t, const struct iov_pages *parts,
		     unsigned int nr, struct dma_buf_iov_test_map *map)
{
	int fd, ret;

	fd = iov_test_export(t, parts, nr);
	if (fd < 0)
		return fd;

	ret = importer_attach_iov(t->imp, fd, t->pf, t->vf.bar, 0, NULL);
	if (!ret)
		ret = importer_map(t->imp, map);
	if (ret)
		close(fd);
	return ret ?: fd;
}

/* How many of @nr ranges are what they should be? */
static unsigned int count_right(const struct dma_buf_iov_test_range *ranges,
				const struct iov_pages *expected,
				unsigned int nr)
{
	const uint64_t page = iov_page_size();
	unsigned int i;

	for (i = 0; i < nr; i++) {
		uint64_t start = expected[i].first * page;
		uint64_t end = start + expected[i].nr * page - 1;

		if (ranges[i].start != start || ranges[i].end != end)
			break;
	}
	return i;
}

TEST_F(parts, exact)
{
	struct dma_buf_iov_test_range ranges[MAX_PARTS + 1];
	struct dma_buf_iov_test_map map;
	uint64_t size;
	int fd;

	fd = map_parts(&self->t, variant->parts, variant->nr_parts, &map);
	ASSERT_GE(fd, 0);

	size = pages_size(variant->parts, variant->nr_parts);
	EXPECT_EQ(size, map.size);
	EXPECT_EQ(size, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(variant->nr_ranges, map.nr);

	EXPECT_EQ(variant->nr_ranges,
		  importer_ranges(self->t.imp, 0, ranges, ARRAY_SIZE(ranges)));
	EXPECT_EQ(variant->nr_ranges,
		  count_right(ranges, variant->ranges, variant->nr_ranges));
	close(fd);
}

/* Mapping again gives the same, and what was unmapped cannot be read. */
TEST_F(parts, again)
{
	struct dma_buf_iov_test_range ranges[MAX_PARTS];
	struct dma_buf_iov_test_map map;
	int fd, i;

	fd = map_parts(&self->t, variant->parts, variant->nr_parts, &map);
	ASSERT_GE(fd, 0);

	for (i = 0; i < 3; i++) {
		EXPECT_EQ(variant->nr_ranges, map.nr);
		EXPECT_EQ(variant->nr_ranges,
			  importer_ranges(self->t.imp, 0, ranges,
					  ARRAY_SIZE(ranges)));
		EXPECT_EQ(variant->nr_ranges,
			  count_right(ranges, variant->ranges,
				      variant->nr_ranges));
		EXPECT_EQ(0, importer_unmap(self->t.imp));
		EXPECT_EQ(-ENXIO, importer_ranges(self->t.imp, 0, ranges, 1));
		EXPECT_EQ(0, importer_map(self->t.imp, &map));
	}
	close(fd);
}

/* The trace shows the number of ranges and of bytes. */
TEST_F(parts, trace)
{
	static const char *const events[] = { "map", "unmap" };
	unsigned long long value;
	char text[32];
	unsigned int i;
	FILE *trace;
	int fd;

	if (iov_trace_start())
		SKIP(return, "no trace events in " IOV_TRACING);
	fd = map_parts(&self->t, variant->parts, variant->nr_parts, NULL);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(0, importer_unmap(self->t.imp));
	trace = iov_trace_read();
	ASSERT_NE(NULL, trace);

	for (i = 0; i < ARRAY_SIZE(events); i++) {
		rewind(trace);
		EXPECT_EQ(0, iov_trace_next(trace, fd, events[i], "ranges",
					    text, sizeof(text)));
		EXPECT_EQ(variant->nr_ranges, strtoul(text, NULL, 10));
		rewind(trace);
		EXPECT_EQ(0, iov_trace_next(trace, fd, events[i], "bytes",
					    text, sizeof(text)));
		value = strtoull(text, NULL, 10);
		EXPECT_EQ(pages_size(variant->parts, variant->nr_parts), value);
		rewind(trace);
		EXPECT_EQ(0, iov_trace_next(trace, fd, events[i], "ret",
					    text, sizeof(text)));
		EXPECT_STREQ("0", text);
	}
	fclose(trace);
	close(fd);
}

/*
 * Many, compared with a model
 */

FIXTURE(many) {
	struct iov_test t;
};

FIXTURE_SETUP(many)
{
	const char *missing = iov_test_missing(&self->t);

	if (missing)
		SKIP(return, "%s", missing);
	ASSERT_EQ(0, iov_test_setup(&self->t));
}

FIXTURE_TEARDOWN(many)
{
	IOV_TEST_TEARDOWN(&self->t);
}

/* What ranges are to be expected of @parts, as an array and its length? */
static struct iov_pages *merge(const struct iov_pages *parts, unsigned int nr,
			       unsigned int *merged)
{
	struct iov_pages *out = calloc(nr, sizeof(*out));
	unsigned int i, n = 0;

	for (i = 0; out && i < nr; i++) {
		if (n && out[n - 1].first + out[n - 1].nr == parts[i].first)
			out[n - 1].nr += parts[i].nr;
		else
			out[n++] = parts[i];
	}
	*merged = n;
	return out;
}

/* Export @parts, and compare what the importer gets with the model. */
static void check_parts(struct __test_metadata *_metadata,
			const struct iov_test *t,
			const struct iov_pages *parts, unsigned int nr)
{
	struct dma_buf_iov_test_range *ranges;
	struct dma_buf_iov_test_map map;
	struct iov_pages *expected;
	unsigned int nr_expected;
	int fd;

	expected = merge(parts, nr, &nr_expected);
	ranges = calloc(nr + 1, sizeof(*ranges));
	ASSERT_NE(NULL, expected);
	ASSERT_NE(NULL, ranges);

	fd = map_parts(t, parts, nr, &map);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(pages_size(parts, nr), map.size);
	EXPECT_EQ(nr_expected, map.nr);
	EXPECT_EQ(nr_expected, importer_ranges(t->imp, 0, ranges, nr + 1));
	EXPECT_EQ(nr_expected, count_right(ranges, expected, nr_expected));
	EXPECT_EQ(0, importer_detach(t->imp));

	close(fd);
	free(ranges);
	free(expected);
}

/* Four pages in every order, also with pages missing and repeated: 256 ways. */
TEST_F_TIMEOUT(many, orders, 120)
{
	struct iov_pages parts[IOV_TEST_PAGES];
	unsigned int way, i;

	for (way = 0; way < 256; way++) {
		for (i = 0; i < IOV_TEST_PAGES; i++)
			parts[i] = (struct iov_pages){ way >> 2 * i & 3, 1 };
		check_parts(_metadata, &self->t, parts, IOV_TEST_PAGES);
	}
}

/*
 * Numbers of ranges around those at which something changes in how they are kept:
 * a page of ranges, which is 256 on most machines, and a node of an xarray, which
 * points to 64 of these.
 */
TEST_F_TIMEOUT(many, numbers, 120)
{
	static const unsigned int numbers[] = {
		1, 2, 3, 15, 16, 17, 18, 63, 64, 65, 127, 128, 129, 254, 255,
		256, 257, 258, 511, 512, 513, 1023, 1024, 1025, 4095, 4096,
		4097, 16383, 16384, 16385, 16640, 16641,
	};
	const unsigned int most = numbers[ARRAY_SIZE(numbers) - 1];
	struct iov_pages *parts = calloc(most, sizeof(*parts));
	unsigned int i;

	ASSERT_NE(NULL, parts);
	for (i = 0; i < most; i++)
		parts[i] = (struct iov_pages){ i * 3 % 4, 1 };
	/* 0, 3, 2, 1, 0, ...: no two are adjacent */
	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		check_parts(_metadata, &self->t, parts, numbers[i]);
	free(parts);
}

/* Parts of all sizes in an order that looks random, some of them adjacent. */
TEST_F_TIMEOUT(many, random, 120)
{
	struct iov_pages parts[1000];
	unsigned int i, run, seed = 1;

	for (run = 0; run < 10; run++) {
		for (i = 0; i < ARRAY_SIZE(parts); i++) {
			parts[i].first = rand_r(&seed) % IOV_TEST_PAGES;
			parts[i].nr = 1 + rand_r(&seed) %
					  (IOV_TEST_PAGES - parts[i].first);
		}
		check_parts(_metadata, &self->t, parts, ARRAY_SIZE(parts));
	}
}

/* One after the other, and from the middle. */
TEST_F(many, read_in_pieces)
{
	static const unsigned int starts[] = { 0, 1, 14, 15, 16, 63, 64, 99 };
	struct dma_buf_iov_test_range all[100], some[100];
	struct iov_pages parts[100];
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i] = (struct iov_pages){ i * 3 % 4, 1 };
	fd = map_parts(&self->t, parts, ARRAY_SIZE(parts), NULL);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(100, importer_ranges(self->t.imp, 0, all, 100));

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		unsigned int nr = 100 - starts[i];

		EXPECT_EQ(1, importer_ranges(self->t.imp, starts[i], some, 1));
		EXPECT_EQ(0, memcmp(some, &all[starts[i]], sizeof(*some)));
		EXPECT_EQ(nr, importer_ranges(self->t.imp, starts[i], some,
					      100));
		EXPECT_EQ(0, memcmp(some, &all[starts[i]], nr * sizeof(*some)));
	}
	EXPECT_EQ(0, importer_ranges(self->t.imp, 0, some, 0));
	EXPECT_EQ(0, importer_ranges(self->t.imp, 100, some, 100));
	EXPECT_EQ(0, importer_ranges(self->t.imp, UINT32_MAX, some,
				     UINT32_MAX));
	close(fd);
}

TEST_HARNESS_MAIN
