// SPDX-License-Identifier: GPL-2.0-only
/*
 * A storm: importers attach, map, unmap and detach as fast as they can, while
 * the device is reset, goes to low power, and is closed and opened again. It
 * ends after $DMABUF_TEST_MAPS mappings of all importers together, when each of
 * them has had some and enough were revoked.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>

#include "kselftest_harness.h"
#include "iov_test.h"

#define MAPS		8000	/* for all variants together */
#define MAPS_EACH	5	/* at least, of each importer in each variant */
#define REVOKES		30	/* at least, in each variant */
#define IMPORTERS	6
#define PROGRESS	5	/* seconds between two lines */
#define STALL		30	/* seconds without progress: something hangs */
#define TICK_US		100000	/* between two looks at it */
#define TICKS(seconds)	((seconds) * 1000000 / TICK_US)
#define TIMEOUT		240

struct storm {
	char pf[IOV_BDF_LEN];
	unsigned int bar;
	pthread_mutex_t dev_lock;
	struct iov_vfio dev;		/* protected by dev_lock */
	pthread_mutex_t dmabuf_lock;
	int dmabuf;			/* protected by dmabuf_lock */
	atomic_bool stop;
	atomic_uint maps;
	atomic_uint resets, powers, closes, refused, reads;
	/* The first thing that went wrong. */
	atomic_int error;
	const char *failed;		/* set with error, before stop */
};

/* Counts of one importer. */
struct importer {
	struct storm *storm;
	pthread_t thread;
	__u32 flags;
	bool patient;	/* stays mapped until it is notified */
	int event;	/* fd, signalled at each invalidation */
	int imp;
	atomic_uint maps;
	unsigned int unmaps, left;
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
	if (ret && ret == may)
		storm->refused++;
	else if (ret)
		fail(storm, what, ret);
	return !ret;
}

static void mapped(struct importer *i)
{
	i->maps++;
	i->storm->maps++;
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

	ret = importer_attach_iov(i->imp, fd, i->storm->pf, i->storm->bar,
				  i->flags, NULL);
	close(fd);
	return check(i->storm, "attach", ret, -ENODEV);
}

/* Map and unmap, unless an invalidation did or detach is to do it. */
static void map(struct importer *i, bool leave)
{
	int ret;

	if (!check(i->storm, "map", importer_map(i->imp, NULL), -ENODEV))
		return;
	mapped(i);

	if (leave) {
		i->left++;
		return;
	}

	ret = importer_unmap(i->imp);
	if (check(i->storm, "unmap", ret, -ENXIO))
		i->unmaps++;
}

/*
 * Stay mapped until notified, then map again at once: an exporter that allows that
 * too early waits for us for ever.
 */
static void map_until_event(struct importer *i)
{
	struct pollfd event = { .fd = i->event, .events = POLLIN };
	eventfd_t times;
	int n, ret;

	for (n = 0; n < 8 && !i->storm->stop; n++) {
		ret = importer_map(i->imp, NULL);
		/* -EBUSY: notified, but lazy. */
		if (ret != -EBUSY && check(i->storm, "map", ret, -ENODEV))
			mapped(i);
		poll(&event, 1, 100);
		eventfd_read(i->event, &times);
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
			map_until_event(i);
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

static int export_page(const struct iov_vfio *dev)
{
	return iov_vfio_export_one(dev, dev->bar, 0, iov_page_size());
}

/* Close the device, open it again, and export the buffer anew: its fd. */
static int close_and_open(struct storm *storm)
{
	int ret;

	pthread_mutex_lock(&storm->dev_lock);
	close(storm->dev.fd);
	close(storm->dev.iommufd);
	ret = reopen(storm, &storm->dev) ?: export_page(&storm->dev);
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

/* Resets that vfio does not do, but waits for its importers. */
static void *sysfs_resets(void *arg)
{
	struct storm *storm = arg;
	int ret;

	while (!storm->stop) {
		ret = iov_sysfs_reset(storm->dev.bdf);
		if (ret)
			fail(storm, "reset through sysfs", ret);
		storm->resets++;
		usleep(rand() % 20000);
	}

	return NULL;
}

/* Who looks at what is going on: debugfs walks attachments, and tracing reads offers. */
static void *readers(void *arg)
{
	static const char pipe[] = "/sys/kernel/tracing/trace_pipe";
	static const char enable[] =
		"/sys/kernel/tracing/events/dma_buf_interconnect/enable";
	struct storm *storm = arg;
	char lines[4096];
	int trace, on;

	on = open(enable, O_WRONLY | O_CLOEXEC);
	if (on >= 0 && write(on, "1", 1) != 1)
		fail(storm, "tracing", -errno);
	trace = open(pipe, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	while (!storm->stop) {
		if (iov_bufinfo_count() < 0 && trace < 0)
			break;
		while (read(trace, lines, sizeof(lines)) > 0)
			;
		storm->reads++;
		usleep(1000);
	}

	if (on >= 0 && write(on, "0", 1) != 1)
		fail(storm, "tracing", -errno);
	close(on);
	close(trace);
	return NULL;
}

FIXTURE(storm)
{
	struct iov_test t;
	struct storm storm;
	struct importer importers[IMPORTERS];
	int bufs;	/* before it began */
};

FIXTURE_VARIANT(storm)
{
	void *(*disturb[4])(void *storm);
	unsigned int percent;	/* of the mappings: some take longer */
};

FIXTURE_VARIANT_ADD(storm, resets)
{
	.disturb = { resets },
	.percent = 25,
};

FIXTURE_VARIANT_ADD(storm, sysfs_resets)
{
	.disturb = { resets, sysfs_resets, powers },
	.percent = 6,
};

FIXTURE_VARIANT_ADD(storm, power)
{
	.disturb = { powers, readers },
	.percent = 66,
};

FIXTURE_VARIANT_ADD(storm, closes)
{
	.disturb = { closes },
	.percent = 3,
};

FIXTURE_VARIANT_ADD(storm, all)
{
	.disturb = { resets, closes, powers, readers },
	.percent = 6,
};

static void importer_setup(struct __test_metadata *_metadata,
			   struct importer *importer, struct storm *storm,
			   unsigned int nr)
{
	importer->storm = storm;
	importer->flags = nr % 2 ? DMA_BUF_IOV_TEST_ATTACH_LAZY : 0;
	importer->patient = nr >= IMPORTERS - 2;
	importer->imp = importer_open();
	ASSERT_LE(0, importer->imp);
	importer->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_EQ(0, importer_eventfd(importer->imp, importer->event));
}

FIXTURE_SETUP(storm)
{
	const char *missing = iov_test_missing(&self->t);
	struct storm *storm = &self->storm;
	unsigned int i;

	if (missing)
		SKIP(return, "%s", missing);
	for (i = 0; i < IMPORTERS; i++)
		importer_setup(_metadata, &self->importers[i], storm, i);

	self->bufs = iov_bufinfo_count();
	ASSERT_EQ(0, iov_test_setup(&self->t));
	memcpy(storm->pf, self->t.pf, sizeof(storm->pf));
	storm->dev = self->t.vf;
	storm->bar = storm->dev.bar;
	pthread_mutex_init(&storm->dev_lock, NULL);
	pthread_mutex_init(&storm->dmabuf_lock, NULL);
	storm->dmabuf = export_page(&storm->dev);
	ASSERT_LE(0, storm->dmabuf);
}

FIXTURE_TEARDOWN(storm)
{
	unsigned int i;

	for (i = 0; i < IMPORTERS; i++) {
		close(self->importers[i].imp);
		close(self->importers[i].event);
	}
	close(self->storm.dmabuf);
	/* It was opened again and again. */
	self->t.vf = self->storm.dev;
	IOV_TEST_TEARDOWN(&self->t);
}

static unsigned int maps_wanted(unsigned int percent)
{
	const char *env = getenv("DMABUF_TEST_MAPS");
	unsigned long n = env ? strtoul(env, NULL, 0) : 0;

	return (n ?: MAPS) * percent / 100;
}

static void progress(const struct storm *storm)
{
	printf("# %u maps, %u refused: %u resets, %u low power, %u closes\n",
	       storm->maps, storm->refused, storm->resets, storm->powers,
	       storm->closes);
	fflush(stdout);
}

static unsigned int revokes(const struct storm *storm)
{
	return storm->resets + storm->powers + storm->closes;
}

/* For how long has a count stood still? */
struct idle {
	unsigned int last, ticks;
};

static bool hangs(struct idle *idle, unsigned int now)
{
	idle->ticks = now == idle->last ? idle->ticks + 1 : 0;
	idle->last = now;
	return idle->ticks >= TICKS(STALL);
}

/* Is it enough, of all together and of each? */
static bool enough(const struct storm *storm, const struct importer *importers,
		   unsigned int wanted)
{
	unsigned int i;

	for (i = 0; i < IMPORTERS; i++)
		if (importers[i].maps < MAPS_EACH)
			return false;
	return storm->maps >= wanted && revokes(storm) >= REVOKES;
}

/* Watch until it is enough, or something fails or hangs. */
static void watch(struct storm *storm, const struct importer *importers,
		  unsigned int wanted)
{
	struct idle maps = {}, exporter = {};
	unsigned int ticks = 0;

	while (!storm->stop) {
		usleep(TICK_US);
		if (enough(storm, importers, wanted))
			storm->stop = true;
		if (hangs(&maps, storm->maps))
			fail(storm, "nothing is mapped any more", -ETIMEDOUT);
		if (hangs(&exporter, revokes(storm)))
			fail(storm, "revoke hangs", -ETIMEDOUT);
		if (++ticks % TICKS(PROGRESS) == 0)
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

/* Each mapping was unmapped once: by us, by an invalidation, or by detach. */
static void check_balance(struct __test_metadata *_metadata,
			  const struct importer *i)
{
	struct dma_buf_iov_test_state state;

	ASSERT_EQ(0, importer_state(i->imp, &state));
	EXPECT_EQ(0, state.attached);
	EXPECT_EQ(0, state.mapped);
	EXPECT_LT(0, i->maps);
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
	EXPECT_EQ(0, importer_attach_iov(imp, storm->dmabuf, storm->pf,
					 storm->bar, 0, NULL));
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

	watch(storm, self->importers, maps_wanted(variant->percent));

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
