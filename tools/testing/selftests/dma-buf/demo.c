// SPDX-License-Identifier: GPL-2.0-only
/*
 * A demonstration: a VF that vfio-pci owns, as for a guest, shares a part of its
 * BAR with the PF's driver on the host. Each step says in plain words what is
 * done and what was seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include "iov_importer.h"
#include "iov_vfio.h"

#define PAGE		sysconf(_SC_PAGESIZE)
#define TRACE		"/sys/kernel/tracing/instances/iov_demo"

struct demo {
	char pf[IOV_BDF_LEN];
	struct iov_vfio dev;
	int dmabuf;
	int imp;
	/* The VF's memory that the PF has, too, if that is known of the device. */
	struct iov_shared shared;
	bool has_shared;
	__u64 offset;	/* of the page that is shared in the VF's BAR */
	__u64 at;	/* of a word in the page */
	unsigned int vf_bar;
	void *bar;
	size_t bar_size;
	bool tracing;
};

static void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
}

/* Like a library's assert(): the end, if something was not as it should be. */
static void expect(bool as_expected, const char *step, ...)
{
	va_list args;

	if (as_expected)
		return;

	va_start(args, step);
	printf("demo: FAILED: ");
	vprintf(step, args);
	putchar('\n');
	va_end(args);

	rmdir(TRACE);
	exit(KSFT_FAIL);
}

static void expect_ret(int expected, int ret, const char *step)
{
	expect(ret == expected, "%s: %s, not %s", step,
	       ret < 0 ? strerrorname_np(-ret) : "it worked",
	       expected < 0 ? strerrorname_np(-expected) : "success");
}

static void skip(const char *why)
{
	say("demo: SKIP: %s", why);
	exit(KSFT_SKIP);
}

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

static struct dma_buf_iov_test_state get_state(const struct demo *demo)
{
	struct dma_buf_iov_test_state state;

	expect_ret(0, importer_state(demo->imp, &state), "ask the importer");
	return state;
}

/*
 * What the kernel says about it
 */

static void trace_write(const char *file, const char *value)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), TRACE "/%s", file);
	f = fopen(path, "w");
	if (!f)
		return;
	fputs(value, f);
	fclose(f);
}

static void trace_start(struct demo *demo)
{
	demo->tracing = !mkdir(TRACE, 0700) || errno == EEXIST;
	if (demo->tracing)
		trace_write("events/dma_buf_interconnect/enable", "1");
}

/* Print the trace events that came since the last time. */
static void trace_show(const struct demo *demo)
{
	char line[1024], *event;
	FILE *f;

	if (!demo->tracing)
		return;

	f = fopen(TRACE "/trace", "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		event = strstr(line, "dma_buf_interconnect_");
		if (event)
			printf("    trace: %s", event);
	}
	fclose(f);
	trace_write("trace", "");
}

static void trace_stop(const struct demo *demo)
{
	if (!demo->tracing)
		return;

	trace_write("events/dma_buf_interconnect/enable", "0");
	rmdir(TRACE);
}

static void bufinfo_show(const struct demo *demo)
{
	char lines[512];

	if (iov_bufinfo(demo->dmabuf, lines, sizeof(lines)) > 0)
		printf("    bufinfo: %s", lines);
}

/*
 * The steps
 */

static void export_buffer(struct demo *demo)
{
	int ret = iov_vfio_setup(&demo->dev, demo->pf);

	if (ret == -ENODEV || ret == -ENOENT)
		skip("the PF has no VF for vfio-pci");
	expect_ret(0, ret, "get a VF and bind it to vfio-pci");

	demo->vf_bar = demo->dev.bar;
	demo->has_shared = !iov_shared_find(&demo->dev, &demo->shared);
	if (demo->has_shared) {
		demo->vf_bar = demo->shared.window.vf_bar;
		demo->at = iov_shared_word(&demo->shared) % PAGE;
		demo->offset = iov_shared_word(&demo->shared) - demo->at;
	}

	demo->dmabuf = iov_vfio_export_one(&demo->dev, demo->vf_bar,
					   demo->offset, PAGE);
	expect(demo->dmabuf >= 0, "export a dma-buf: %s",
	       strerror(-demo->dmabuf));
	say("VF %s (vfio-pci) exports %lu KiB of its BAR %u as a dma-buf",
	    demo->dev.bdf, PAGE / 1024, demo->vf_bar);
}

static void import_buffer(struct demo *demo)
{
	struct dma_buf_iov_test_attach attach;
	struct dma_buf_iov_test_range range;

	expect_ret(0, importer_attach_iov(demo->imp, demo->dmabuf, demo->pf,
					  demo->vf_bar, 0, &attach),
		   "attach the PF");
	expect(!strcmp(attach.type, "iov"),
	       "attach the PF: no interconnect was agreed");
	expect_ret(0, importer_map(demo->imp, NULL), "map over IOV");
	expect(importer_ranges(demo->imp, 0, &range, 1) == 1,
	       "read the ranges of the mapping");

	say("PF %s imports it over IOV: VF %s BAR %u offset 0x%llx to 0x%llx",
	    demo->pf, attach.vf, attach.bar, range.start, range.end);
	bufinfo_show(demo);
	trace_show(demo);
}

/* One word through the VF's BAR, and back through the PF's window. */
static void share(struct demo *demo, __u32 to_pf, __u32 to_vf)
{
	void *memory = demo->bar + demo->offset + demo->at;
	__u32 seen = 0;

	iov_write32(memory, to_pf);
	expect_ret(0, importer_read(demo->imp, demo->at, &seen, 4),
		   "read through the PF's window");
	say("VF writes 0x%08x to its BAR -> PF reads 0x%08x in its own memory",
	    to_pf, seen);
	expect(seen == to_pf, "what the VF wrote is not what the PF read");

	expect_ret(0, importer_write(demo->imp, demo->at, &to_vf, 4),
		   "write through the PF's window");
	seen = iov_read32(memory);
	say("PF writes 0x%08x to its own memory -> VF reads 0x%08x in its BAR",
	    to_vf, seen);
	expect(seen == to_vf, "what the PF wrote is not what the VF read");
}

static void share_data(struct demo *demo, __u32 to_pf, __u32 to_vf)
{
	if (demo->bar)
		share(demo, to_pf, to_vf);
}

static void prepare_data(struct demo *demo)
{
	if (!demo->has_shared) {
		say("(" IOV_NO_SHARED ")");
		return;
	}

	demo->bar = iov_vfio_mmap(&demo->dev, demo->vf_bar, &demo->bar_size);
	expect(demo->bar, "mmap the VF's BAR");
	expect_ret(0, importer_window(demo->imp, &demo->shared.window),
		   "set the PF's window");
}

static void reset_vf(struct demo *demo)
{
	struct dma_buf_iov_test_state state;
	double start = now_ms();

	expect_ret(0, iov_vfio_reset(&demo->dev), "VFIO_DEVICE_RESET");
	state = get_state(demo);
	say("VFIO_DEVICE_RESET of the VF: importer notified, it unmapped, %.0f ms",
	    now_ms() - start);
	expect(state.invalidations && state.unmapped == 1 && !state.mapped,
	       "the importer was not notified, or has not unmapped");
	trace_show(demo);

	expect_ret(0, importer_map(demo->imp, NULL), "map after the reset");
	say("mapped again after the reset");
	trace_show(demo);
}

static void power_down(struct demo *demo)
{
	int ret;

	ret = iov_vfio_low_power(&demo->dev, true);
	expect_ret(0, ret, "VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY");
	say("VF goes to low power: importer notified, it unmapped");
	expect(get_state(demo).unmapped == 2, "the importer has not unmapped");

	ret = importer_map(demo->imp, NULL);
	expect_ret(-ENODEV, ret, "map while the VF is in low power");
	say("mapping it meanwhile fails with %s, as it must",
	    strerrorname_np(-ret));
	trace_show(demo);

	ret = iov_vfio_low_power(&demo->dev, false);
	expect_ret(0, ret, "VFIO_DEVICE_FEATURE_LOW_POWER_EXIT");
	expect_ret(0, importer_map(demo->imp, NULL), "map at full power");
	say("VF at full power: mapped again");
	trace_show(demo);
}

/* Who does not own the VF gets no interconnect, and can see why. */
static void stranger(struct demo *demo)
{
	struct dma_buf_iov_test_attach attach;
	char pf[IOV_BDF_LEN];
	int imp;

	if (iov_pf_find(1, pf))
		return;

	imp = importer_open();
	expect(imp >= 0, "open an importer");
	importer_attach_init(&attach, demo->dmabuf, pf,
			     DMA_BUF_IOV_TEST_ATTACH_P2P);
	importer_attach_offer(&attach, DMA_BUF_IOV_TEST_OFFER_IOV, demo->vf_bar);
	expect_ret(0, importer_attach(imp, &attach), "attach another PF");
	say("another PF, %s, offers IOV, too: it gets %s", pf,
	    *attach.type ? attach.type : "no interconnect");
	expect(!*attach.type, "a PF got IOV for a VF that is not its own");
	trace_show(demo);
	close(imp);
}

static void end(struct demo *demo)
{
	int ret;

	if (demo->bar)
		munmap(demo->bar, demo->bar_size);
	expect_ret(0, iov_vfio_close(&demo->dev), "close the VF");
	expect_ret(0, iov_sriov_set(demo->pf, 0), "disable SR-IOV");
	say("VF closed and gone (sriov_numvfs = 0): importer notified, it unmapped");
	expect(get_state(demo).unmapped == 3, "the importer has not unmapped");
	trace_show(demo);
	bufinfo_show(demo);

	ret = importer_map(demo->imp, NULL);
	expect_ret(-ENODEV, ret, "map when the VF is gone");
	say("the dma-buf is still there, map: %s", strerrorname_np(-ret));
	expect_ret(0, importer_detach(demo->imp), "detach");
	trace_show(demo);
}

int main(void)
{
	struct demo demo = {};

	setlinebuf(stdout);
	if (iov_pf_find(0, demo.pf))
		skip("no PF with SR-IOV");
	demo.imp = importer_open();
	if (demo.imp < 0)
		skip(IMPORTER_HOWTO);

	trace_start(&demo);
	export_buffer(&demo);
	import_buffer(&demo);
	prepare_data(&demo);
	share_data(&demo, 0xc0ffee01, 0xc0ffee02);
	reset_vf(&demo);
	share_data(&demo, 0xc0ffee03, 0xc0ffee04);
	power_down(&demo);
	stranger(&demo);
	end(&demo);
	trace_stop(&demo);
	say("demo: all steps as expected");
	return KSFT_PASS;
}
