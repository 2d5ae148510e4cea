// SPDX-License-Identifier: GPL-2.0-only
/*
 * A storm: importers attach, map, unmap and detach as fast as they can, while
 * the device is reset, goes to low power, and is closed and opened again. It
 * ends after $DMABUF_TEST_CYCLES cycles: one operation that succeeded each.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "iov_importer.h"
#include "iov_vfio.h"

#define PAGE		4096
#define CYCLES		24000	/* for all variants together */
#define REVOKES		30	/* at least, in each variant */
#define IMPORTERS	6
#define PROGRESS	5	/* seconds between two lines */
#define STALL		30	/* seconds without progress: something hangs */
#define TIMEOUT		240

struct storm {
	char pf[IOV_BDF_LEN];
	pthread_mutex_t dev_lock;
	struct iov_vfio dev;		/* protected by dev_lock */
	pthread_mutex_t dmabuf_lock;
	int dmabuf;			/* protected by dmabuf_lock */
	atomic_bool stop;
	atomic_uint cycles;
	atomic_uint resets, powers, closes, refused;
	/* The first thing that went wrong. */
	atomic_int error;
	const char *failed;		/* set with error, before stop */
};

/* Counts of one importer. */
struct importer {
	struct storm *storm;
	pthread_t thread;
	__u32 flags;
	bool patient;	/* keeps what it has mapped until it is told */
	int told;	/* eventfd */
	int imp;
	unsigned int maps, unmaps, left;
};

static void fail(struct storm *storm, const char *what, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&storm->error, &none, error))
		storm->failed = what;
	storm->stop = true;
}

/* What is wrong with @ret, if it is not 0 or @may? */
static bool check(struct storm *storm, const char *what, int ret, int may)
{
	if (!ret)
		storm->cycles++;
	else if (ret == may)
		storm->refused++;
	else
		fail(storm, what, ret);
	return !ret;
}

static int get_dmabuf(struct storm *storm)
{
	int fd;

	pthread_mutex_lock(&storm->dmabuf_lock);
	fd = dup(storm->dmabuf);
	pthread_mutex_unlock(&storm->dmabuf_lock);
	return fd;
}

static bool attach(struct importer *i)
{
	int fd = get_dmabuf(i->storm);
	int ret;

	ret = importer_attach_iov(i->imp, fd, i->storm->pf, 0, i->flags, NULL);
	close(fd);
	return check(i->storm, "attach", ret, -ENODEV);
}

/* Map and unmap, unless an invalidation did or detach is to do it. */
static void map(struct importer *i, bool leave)
{
	int ret;

	if (!check(i->storm, "map", importer_map(i->imp, NULL), -ENODEV))
		return;
	i->maps++;

	if (leave) {
		i->left++;
		return;
	}

	ret = importer_unmap(i->imp);
	if (check(i->storm, "unmap", ret, -ENXIO))
		i->unmaps++;
}

/*
 * Hold on to a mapping until told, and want it back at once: if the exporter
 * lets us have it, it waits for us for ever.
 */
static void map_until_told(struct importer *i)
{
	struct pollfd told = { .fd = i->told, .events = POLLIN };
	eventfd_t times;
	int n, ret;

	for (n = 0; n < 8 && !i->storm->stop; n++) {
		ret = importer_map(i->imp, NULL);
		/* -EBUSY: told, but lazy. */
		if (ret != -EBUSY && check(i->storm, "map", ret, -ENODEV))
			i->maps++;
		poll(&told, 1, 100);
		eventfd_read(i->told, &times);
	}

	ret = importer_unmap(i->imp);
	if (check(i->storm, "unmap", ret, -ENXIO))
		i->unmaps++;
}

static void *import(void *arg)
{
	struct importer *i = arg;
	unsigned int n;

	for (n = 0; !i->storm->stop; n++) {
		if (!attach(i)) {
			usleep(1000);
			continue;
		}
		if (i->patient) {
			map_until_told(i);
		} else {
			map(i, false);
			map(i, n % 4 == 0);
		}
		check(i->storm, "detach", importer_detach(i->imp), 0);
	}

	return NULL;
}

/* A second file of the device, so that whoever closes last closes the device. */
static struct iov_vfio get_dev(struct storm *storm)
{
	struct iov_vfio dev;

	pthread_mutex_lock(&storm->dev_lock);
	dev = storm->dev;
	dev.fd = dup(dev.fd);
	pthread_mutex_unlock(&storm->dev_lock);
	return dev;
}

static void *resets(void *arg)
{
	struct storm *storm = arg;

	while (!storm->stop) {
		struct iov_vfio dev = get_dev(storm);

		/* -EAGAIN: the closer is at it and holds the device's lock. */
		if (ioctl(dev.fd, VFIO_DEVICE_RESET) && errno != EAGAIN)
			fail(storm, "reset", -errno);
		storm->resets++;
		close(dev.fd);
		usleep(rand() % 20000);
	}

	return NULL;
}

/*
 * Low power revokes without a reset's tenth of a second, so often. So would memory
 * enable, but QEMU aborts now and then when a BAR comes and goes under its TCG.
 */
static void *powers(void *arg)
{
	struct storm *storm = arg;
	bool low = false;
	int ret;

	while (!storm->stop) {
		struct iov_vfio dev = get_dev(storm);

		low = !low;
		ret = iov_vfio_set_low_power(&dev, low);
		/* -EINVAL: it is there already, as it was opened in between. */
		if (ret && ret != -EINVAL)
			fail(storm, "low power", ret);
		storm->powers++;
		close(dev.fd);
		usleep(rand() % 500);
	}

	return NULL;
}

/* Open again: as soon as nobody has the old file open any more. */
static int reopen(struct storm *storm, struct iov_vfio *dev)
{
	int i, ret;

	for (i = 0; i < 1000; i++) {
		ret = iov_vfio_open(dev, storm->dev.bdf);
		if (!ret)
			return 0;
		usleep(10 * 1000);
	}

	return ret;
}

/* Close the device, open it again, and export the buffer anew: its fd. */
static int close_and_open(struct storm *storm)
{
	int ret;

	pthread_mutex_lock(&storm->dev_lock);
	close(storm->dev.fd);
	close(storm->dev.iommufd);
	ret = reopen(storm, &storm->dev) ?:
	      iov_vfio_export_one(&storm->dev, 0, 0, PAGE);
	pthread_mutex_unlock(&storm->dev_lock);
	return ret;
}

static void *closes(void *arg)
{
	struct storm *storm = arg;
	int new, old;

	while (!storm->stop) {
		usleep(rand() % 20000);

		/* Meanwhile importers go on with what they have. */
		new = close_and_open(storm);
		if (new < 0) {
			fail(storm, "close and open", new);
			break;
		}

		pthread_mutex_lock(&storm->dmabuf_lock);
		old = storm->dmabuf;
		storm->dmabuf = new;
		pthread_mutex_unlock(&storm->dmabuf_lock);
		close(old);
		storm->closes++;
	}

	return NULL;
}

FIXTURE(storm)
{
	struct storm storm;
	struct importer importers[IMPORTERS];
	/* Before it began. */
	int bufs;
	unsigned int warned;
};

FIXTURE_VARIANT(storm)
{
	void *(*disturb[3])(void *storm);
	unsigned int percent;	/* of the cycles: some take longer */
};

FIXTURE_VARIANT_ADD(storm, resets)
{
	.disturb = { resets },
	.percent = 25,
};

FIXTURE_VARIANT_ADD(storm, power)
{
	.disturb = { powers },
	.percent = 66,
};

FIXTURE_VARIANT_ADD(storm, closes)
{
	.disturb = { closes },
	.percent = 3,
};

FIXTURE_VARIANT_ADD(storm, all)
{
	.disturb = { resets, closes, powers },
	.percent = 6,
};

FIXTURE_SETUP(storm)
{
	struct storm *storm = &self->storm;
	unsigned int i;
	int ret;

	self->warned = iov_kernel_warned();
	if (iov_pf_find(0, storm->pf))
		SKIP(return, "no PF with SR-IOV");

	for (i = 0; i < IMPORTERS; i++) {
		struct importer *importer = &self->importers[i];

		importer->storm = storm;
		importer->flags = i % 2 ? DMA_BUF_IOV_TEST_ATTACH_LAZY : 0;
		importer->imp = importer_open();
		if (importer->imp < 0)
			SKIP(return, IMPORTER_HOWTO);
		importer->patient = i >= IMPORTERS - 2;
		importer->told = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		ASSERT_EQ(0, importer_eventfd(importer->imp, importer->told));
	}

	self->bufs = iov_bufinfo_count();
	ret = iov_vfio_setup(&storm->dev, storm->pf);
	if (ret == -ENODEV || ret == -ENOENT)
		SKIP(return, "no VF of %s for vfio-pci", storm->pf);
	ASSERT_EQ(0, ret)
		TH_LOG("cannot set up a VF of %s: %s", storm->pf,
		       strerror(-ret));

	pthread_mutex_init(&storm->dev_lock, NULL);
	pthread_mutex_init(&storm->dmabuf_lock, NULL);
	storm->dmabuf = iov_vfio_export_one(&storm->dev, 0, 0, PAGE);
	ASSERT_LE(0, storm->dmabuf);
}

FIXTURE_TEARDOWN(storm)
{
	unsigned int i;

	for (i = 0; i < IMPORTERS; i++) {
		close(self->importers[i].imp);
		close(self->importers[i].told);
	}
	close(self->storm.dmabuf);
	EXPECT_EQ(0, iov_vfio_close(&self->storm.dev));
	EXPECT_EQ(self->warned, iov_kernel_warned())
		TH_LOG("the kernel has warned: see its log");
}

static unsigned int cycles_wanted(unsigned int percent)
{
	const char *env = getenv("DMABUF_TEST_CYCLES");
	unsigned long n = env ? strtoul(env, NULL, 0) : 0;

	return (n ?: CYCLES) * percent / 100;
}

static void progress(const struct storm *storm)
{
	printf("# cycles %u, %u refused: %u resets, %u low power, %u closes\n",
	       storm->cycles, storm->refused, storm->resets, storm->powers,
	       storm->closes);
	fflush(stdout);
}

static unsigned int revokes(const struct storm *storm)
{
	return storm->resets + storm->powers + storm->closes;
}

/* Seconds for which a count has stood still. */
struct idle {
	unsigned int last, seconds;
};

static bool hangs(struct idle *idle, unsigned int now)
{
	idle->seconds = now == idle->last ? idle->seconds + 1 : 0;
	idle->last = now;
	return idle->seconds >= STALL;
}

/* Watch until there are enough cycles, or something fails or hangs. */
static void watch(struct storm *storm, unsigned int wanted)
{
	struct idle importers = {}, exporter = {};
	unsigned int seconds = 0;

	while (!storm->stop) {
		sleep(1);
		if (storm->cycles >= wanted && revokes(storm) >= REVOKES)
			storm->stop = true;
		if (hangs(&importers, storm->cycles))
			fail(storm, "importers hang", -ETIMEDOUT);
		if (hangs(&exporter, revokes(storm)))
			fail(storm, "revoke hangs", -ETIMEDOUT);
		if (++seconds % PROGRESS == 0)
			progress(storm);
	}

	progress(storm);
}

static int join(pthread_t thread)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STALL;
	return pthread_timedjoin_np(thread, NULL, &until);
}

/* Each mapping was given back once: by us, by an invalidation, or by detach. */
static void check_balance(struct __test_metadata *_metadata,
			  const struct importer *i)
{
	struct dma_buf_iov_test_state state;

	ASSERT_EQ(0, importer_state(i->imp, &state));
	EXPECT_EQ(0, state.attached);
	EXPECT_EQ(0, state.mapped);
	EXPECT_GE(i->maps, i->unmaps + state.unmapped);
	EXPECT_LE(i->maps, i->unmaps + state.unmapped + i->left);
}

static void check_usable(struct __test_metadata *_metadata,
			 struct storm *storm, int imp)
{
	char lines[1024];

	if (iov_bufinfo_count() >= 0)
		EXPECT_EQ(0, iov_bufinfo(storm->dmabuf, lines, sizeof(lines)))
			TH_LOG("still attached: %s", lines);

	EXPECT_EQ(0, iov_vfio_low_power(&storm->dev, false));
	EXPECT_EQ(0, iov_vfio_reset(&storm->dev));
	EXPECT_EQ(0, importer_attach_iov(imp, storm->dmabuf, storm->pf, 0, 0,
					 NULL));
	EXPECT_EQ(0, importer_map(imp, NULL));
	EXPECT_EQ(0, importer_detach(imp));
}

TEST_F_TIMEOUT(storm, storm, TIMEOUT)
{
	struct storm *storm = &self->storm;
	pthread_t disturbers[ARRAY_SIZE(variant->disturb)];
	unsigned int i, nr = 0;

	for (i = 0; i < ARRAY_SIZE(variant->disturb); i++) {
		if (!variant->disturb[i])
			break;
		ASSERT_EQ(0, pthread_create(&disturbers[nr++], NULL,
					    variant->disturb[i], storm));
	}
	for (i = 0; i < IMPORTERS; i++)
		ASSERT_EQ(0, pthread_create(&self->importers[i].thread, NULL,
					    import, &self->importers[i]));

	watch(storm, cycles_wanted(variant->percent));

	ASSERT_EQ(0, storm->error)
		TH_LOG("%s: %s", storm->failed, strerror(-storm->error));
	for (i = 0; i < IMPORTERS; i++)
		ASSERT_EQ(0, join(self->importers[i].thread))
			TH_LOG("hangs: importer %u", i);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, join(disturbers[i]))
			TH_LOG("hangs: what disturbs them, %u", i);

	for (i = 0; i < IMPORTERS; i++)
		check_balance(_metadata, &self->importers[i]);
	check_usable(_metadata, storm, self->importers[0].imp);

	close(storm->dmabuf);
	storm->dmabuf = -1;
	EXPECT_EQ(self->bufs, iov_bufinfo_count());
}

TEST_HARNESS_MAIN
