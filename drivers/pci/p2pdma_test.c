// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the mapping types that P2PDMA finds
 *
 * The devices exist only in config space, which is an array for each of them.
 * They are enumerated by the PCI core, but never get a driver. The CPU and the
 * host bridge of the machine that runs the tests do not matter: cases say whether
 * the CPU forwards, and which device the host bridge is recognized by.
 */

#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/bitfield.h>
#include <linux/completion.h>
#include <linux/debug_locks.h>
#include <linux/delay.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <linux/workqueue.h>
#include <trace/events/p2pdma.h>
#include <trace/events/printk.h>

#include "pci.h"

/*
 * Far from domains in use, and more than 16 bits, as VMD has them. The lower 16
 * bits are no PCI segment of the machine for which there could be an IOMMU.
 */
#define FAKE_DOMAIN		0x2fffe
#define FAKE_OTHER_DOMAIN	0x3fffe

/* Where the capabilities are in config space */
#define FAKE_EXP		0x40
#define FAKE_ACS		0x100

#define FAKE_REDIRECT		(PCI_ACS_RR | PCI_ACS_CR)

/* No device, so not in the list of host bridges */
#define FAKE_DEVICE_ID		0x7357

/* More than is ever listed */
#define ACS_LIST_SIZE		256

struct fake_host {
	struct list_head devs;
#ifdef CONFIG_X86
	struct pci_sysdata sd;
#endif
};

struct fake_dev {
	struct list_head node;
	struct fake_dev *parent;	/* the bridge above, NULL on the root bus */
	unsigned int devfn;
	u8 cfg[PCI_CFG_SPACE_EXP_SIZE];
};

static struct fake_dev *fake_find(struct pci_bus *bus, unsigned int devfn)
{
	struct fake_host *host = pci_host_bridge_priv(pci_find_host_bridge(bus));
	struct fake_dev *dev;

	list_for_each_entry(dev, &host->devs, node) {
		if (dev->devfn != devfn || !dev->parent != pci_is_root_bus(bus))
			continue;
		if (!dev->parent ||
		    dev->parent->cfg[PCI_SECONDARY_BUS] == bus->number)
			return dev;
	}

	return NULL;
}

static int fake_read(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 *val)
{
	struct fake_dev *dev = fake_find(bus, devfn);
	u32 dword;

	if (!dev)
		return PCIBIOS_DEVICE_NOT_FOUND;

	dword = get_unaligned_le32(&dev->cfg[ALIGN_DOWN(where, 4)]);
	*val = (dword >> 8 * (where & 3)) & GENMASK(8 * size - 1, 0);
	return PCIBIOS_SUCCESSFUL;
}

/* There are no BARs and no windows: nothing can be written that makes one. */
static bool fake_writable(int where)
{
	switch (where) {
	case PCI_PRIMARY_BUS ... PCI_SUBORDINATE_BUS:
	case FAKE_ACS + PCI_ACS_CTRL:
		return true;
	default:
		return false;
	}
}

static int fake_write(struct pci_bus *bus, unsigned int devfn, int where,
		      int size, u32 val)
{
	struct fake_dev *dev = fake_find(bus, devfn);

	if (!dev)
		return PCIBIOS_DEVICE_NOT_FOUND;

	for (; size--; where++, val >>= 8)
		if (fake_writable(where))
			dev->cfg[where] = val;
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops fake_ops = {
	.read = fake_read,
	.write = fake_write,
};

static void fake_set_id(struct fake_dev *dev, u16 vendor, u16 device)
{
	put_unaligned_le16(vendor, &dev->cfg[PCI_VENDOR_ID]);
	put_unaligned_le16(device, &dev->cfg[PCI_DEVICE_ID]);
}

static struct fake_dev *fake_add(struct kunit *test,
				 struct pci_host_bridge *bridge,
				 struct fake_dev *parent, unsigned int devfn,
				 int type)
{
	struct fake_host *host = pci_host_bridge_priv(bridge);
	struct fake_dev *dev;

	dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	dev->parent = parent;
	dev->devfn = devfn;

	fake_set_id(dev, PCI_VENDOR_ID_REDHAT, FAKE_DEVICE_ID);
	put_unaligned_le16(PCI_STATUS_CAP_LIST, &dev->cfg[PCI_STATUS]);
	dev->cfg[PCI_CAPABILITY_LIST] = FAKE_EXP;
	if (type == PCI_EXP_TYPE_ENDPOINT) {
		put_unaligned_le16(PCI_CLASS_MEMORY_OTHER,
				   &dev->cfg[PCI_CLASS_DEVICE]);
		dev->cfg[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	} else {
		put_unaligned_le16(PCI_CLASS_BRIDGE_PCI,
				   &dev->cfg[PCI_CLASS_DEVICE]);
		dev->cfg[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	}

	dev->cfg[FAKE_EXP] = PCI_CAP_ID_EXP;
	put_unaligned_le16(FIELD_PREP(PCI_EXP_FLAGS_TYPE, type) | 2,
			   &dev->cfg[FAKE_EXP + PCI_EXP_FLAGS]);
	put_unaligned_le32(PCI_EXT_CAP_ID_ACS | 1 << 16, &dev->cfg[FAKE_ACS]);

	list_add_tail(&dev->node, &host->devs);
	return dev;
}

/* A switch below @parent: its upstream port, and one downstream port of it */
static struct fake_dev *fake_add_switch(struct kunit *test,
					struct pci_host_bridge *bridge,
					struct fake_dev *parent)
{
	struct fake_dev *up;

	up = fake_add(test, bridge, parent, 0, PCI_EXP_TYPE_UPSTREAM);
	return fake_add(test, bridge, up, 0, PCI_EXP_TYPE_DOWNSTREAM);
}

static struct fake_dev *fake_add_endpoint(struct kunit *test,
					  struct pci_host_bridge *bridge,
					  struct fake_dev *parent)
{
	return fake_add(test, bridge, parent, 0, PCI_EXP_TYPE_ENDPOINT);
}

static void fake_set_acs(struct fake_dev *dev, u16 ctrl)
{
	put_unaligned_le16(ctrl, &dev->cfg[FAKE_ACS + PCI_ACS_CTRL]);
}

static struct pci_host_bridge *fake_host(struct kunit *test, int domain)
{
	struct pci_host_bridge *bridge;
	struct fake_host *host;

	bridge = pci_alloc_host_bridge(sizeof(*host));
	KUNIT_ASSERT_NOT_NULL(test, bridge);
	host = pci_host_bridge_priv(bridge);
	INIT_LIST_HEAD(&host->devs);
	bridge->ops = &fake_ops;
#ifdef CONFIG_X86
	host->sd.domain = domain;
	host->sd.node = NUMA_NO_NODE;
	bridge->sysdata = &host->sd;
#else
	bridge->domain_nr = pci_bus_find_emul_domain_nr(domain, domain, domain);
	KUNIT_ASSERT_EQ(test, bridge->domain_nr, domain);
#endif
	return bridge;
}

static void fake_remove(void *data)
{
	struct pci_host_bridge *bridge = data;

	pci_lock_rescan_remove();
	pci_stop_root_bus(bridge->bus);
	pci_remove_root_bus(bridge->bus);
	pci_unlock_rescan_remove();
	pci_free_host_bridge(bridge);
}

/*
 * Enumerate what was added below @bridge. An IOMMU may have made the PCI core set
 * ACS redirect: as of here, it is what the test says.
 */
static void fake_scan(struct kunit *test, struct pci_host_bridge *bridge)
{
	struct fake_host *host = pci_host_bridge_priv(bridge);
	struct fake_dev *dev;
	int ret;

	pci_lock_rescan_remove();
	ret = pci_scan_root_bus_bridge(bridge);
	pci_unlock_rescan_remove();
	if (ret)
		pci_free_host_bridge(bridge);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = kunit_add_action_or_reset(test, fake_remove, bridge);
	KUNIT_ASSERT_EQ(test, ret, 0);

	list_for_each_entry(dev, &host->devs, node)
		fake_set_acs(dev, 0);
}

/* The device that was found for @dev. It stays: no reference is taken. */
static struct pci_dev *fake_pdev(struct kunit *test,
				 struct pci_host_bridge *bridge,
				 struct fake_dev *dev)
{
	int bus = dev->parent ? dev->parent->cfg[PCI_SECONDARY_BUS] : 0;
	struct pci_dev *pdev;

	pdev = pci_get_domain_bus_and_slot(pci_domain_nr(bridge->bus), bus,
					   dev->devfn);
	KUNIT_ASSERT_NOT_NULL(test, pdev);
	pci_dev_put(pdev);
	return pdev;
}

/* The answer that dma_map_*() gets for @provider and @client */
static enum pci_p2pdma_map_type map_type(struct pci_dev *provider,
					 struct pci_dev *client)
{
	struct p2pdma_provider mem = { .owner = &provider->dev };

	return pci_p2pdma_map_type(&mem, &client->dev);
}

/* The same, but computed even if it is cached */
static enum pci_p2pdma_map_type map_type_now(struct pci_dev *provider,
					     struct pci_dev *client)
{
	pci_p2pdma_distance(provider, &client->dev, true);
	return map_type(provider, client);
}

static bool cpu_forwards(void)
{
	return true;
}

static bool cpu_does_not_forward(void)
{
	return false;
}

/* What the kernel log says is to be given to pci=disable_acs_redir= */
static void watch_acs_list(void *data, const char *text, size_t len)
{
	static const char param[] = "pci=disable_acs_redir=";
	const char *list = strnstr(text, param, len);
	char *buf = data;

	if (!list)
		return;

	list += strlen(param);
	len = min_t(size_t, len - (list - text), ACS_LIST_SIZE - 1);
	memcpy(buf, list, len);
	buf[len] = '\0';
	strim(buf);
}

static void unwatch_acs_list(void *buf)
{
	unregister_trace_console(watch_acs_list, buf);
	tracepoint_synchronize_unregister();
}

/* The latest list, as of now. Empty if there was none yet */
static char *acs_list(struct kunit *test)
{
	char *buf = kunit_kzalloc(test, ACS_LIST_SIZE, GFP_KERNEL);
	int ret;

	KUNIT_ASSERT_NOT_NULL(test, buf);
	ret = register_trace_console(watch_acs_list, buf);
	KUNIT_ASSERT_EQ(test, ret, 0);
	ret = kunit_add_action_or_reset(test, unwatch_acs_list, buf);
	KUNIT_ASSERT_EQ(test, ret, 0);
	return buf;
}

/* The latest trace event. Bridges that are not given are "none". */
struct fake_event {
	const struct device *provider, *client;
	enum pci_p2pdma_map_type type;
	int distance;
	const char *answer, *upstream, *acs_redir, *host_bridge, *reason;
};

struct fake_trace {
	struct fake_event event;
	char acs_redir[ACS_LIST_SIZE];
	char host_bridge[ACS_LIST_SIZE];
};

/* Other than bridges, texts are constants, or names of devices that stay. */
static void watch_event(void *data, const struct device *provider,
			const struct device *client,
			enum pci_p2pdma_map_type type, const char *answer,
			int distance, const char *upstream,
			const char *acs_redir, const char *host_bridge,
			const char *reason)
{
	struct fake_trace *trace = data;

	strscpy(trace->acs_redir, acs_redir);
	strscpy(trace->host_bridge, host_bridge);
	trace->event = (struct fake_event) {
		.provider = provider,
		.client = client,
		.type = type,
		.distance = distance,
		.answer = answer,
		.upstream = upstream,
		.acs_redir = trace->acs_redir,
		.host_bridge = trace->host_bridge,
		.reason = reason,
	};
}

static void unwatch_event(void *trace)
{
	unregister_trace_p2pdma_map_type(watch_event, trace);
	tracepoint_synchronize_unregister();
}

static void expect_text(struct kunit *test, int line, const char *seen,
			const char *expected)
{
	KUNIT_EXPECT_STREQ_MSG(test, seen, expected ?: "none", "line %d", line);
}

static void expect_event(struct kunit *test, int line,
			 const struct fake_event *expected)
{
	struct fake_trace *trace = test->priv;
	struct fake_event *seen = &trace->event;

	KUNIT_ASSERT_NOT_NULL_MSG(test, seen->answer, "line %d", line);
	KUNIT_EXPECT_PTR_EQ_MSG(test, seen->provider, expected->provider,
				"line %d", line);
	KUNIT_EXPECT_PTR_EQ_MSG(test, seen->client, expected->client,
				"line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, seen->type, expected->type, "line %d", line);
	KUNIT_EXPECT_EQ_MSG(test, seen->distance, expected->distance,
			    "line %d", line);
	expect_text(test, line, seen->answer, expected->answer);
	expect_text(test, line, seen->upstream, expected->upstream);
	expect_text(test, line, seen->acs_redir, expected->acs_redir);
	expect_text(test, line, seen->host_bridge, expected->host_bridge);
	expect_text(test, line, seen->reason, expected->reason);

	memset(seen, 0, sizeof(*seen));
}

/* The latest answer was traced with these fields, and had not been looked at. */
#define EXPECT_EVENT(test, _provider, _client, ...)			\
	expect_event(test, __LINE__, &(const struct fake_event) {	\
		.provider = &(_provider)->dev,				\
		.client = &(_client)->dev,				\
		__VA_ARGS__						\
	})

/* A provider and a client behind one switch, each below a port of its own */
struct fake_switch {
	struct pci_host_bridge *bridge;
	struct fake_dev *root_port, *up, *provider_port, *client_port;
	struct fake_dev *provider, *client;
};

static void fake_switch_init(struct kunit *test, struct fake_switch *s,
			     int domain)
{
	s->bridge = fake_host(test, domain);
	s->root_port = fake_add(test, s->bridge, NULL, 0,
				PCI_EXP_TYPE_ROOT_PORT);
	s->up = fake_add(test, s->bridge, s->root_port, 0,
			 PCI_EXP_TYPE_UPSTREAM);
	s->provider_port = fake_add(test, s->bridge, s->up, PCI_DEVFN(0, 0),
				    PCI_EXP_TYPE_DOWNSTREAM);
	s->client_port = fake_add(test, s->bridge, s->up, PCI_DEVFN(1, 0),
				  PCI_EXP_TYPE_DOWNSTREAM);
	s->provider = fake_add_endpoint(test, s->bridge, s->provider_port);
	s->client = fake_add_endpoint(test, s->bridge, s->client_port);
}

/* Two devices, each below a root port of its own */
struct fake_roots {
	struct pci_host_bridge *bridge;
	struct fake_dev *root_ports[2], *devs[2];
};

static void fake_roots_init(struct kunit *test, struct fake_roots *r,
			    int domain, unsigned int first)
{
	unsigned int i;

	r->bridge = fake_host(test, domain);
	for (i = 0; i < ARRAY_SIZE(r->devs); i++) {
		r->root_ports[i] = fake_add(test, r->bridge, NULL,
					    PCI_DEVFN(first + i, 0),
					    PCI_EXP_TYPE_ROOT_PORT);
		r->devs[i] = fake_add_endpoint(test, r->bridge,
					       r->root_ports[i]);
	}
}

static int p2pdma_test_init(struct kunit *test)
{
	struct fake_trace *trace;
	int ret;

	kunit_activate_static_stub(test, cpu_supports_p2pdma,
				   cpu_does_not_forward);

	trace = kunit_kzalloc(test, sizeof(*trace), GFP_KERNEL);
	if (!trace)
		return -ENOMEM;
	test->priv = trace;
	ret = register_trace_p2pdma_map_type(watch_event, trace);
	return ret ?: kunit_add_action_or_reset(test, unwatch_event, trace);
}

static void p2pdma_test_no_redirect(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_switch s;
	int dist;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);

	/* Above the switch, where the path does not lead */
	fake_set_acs(s.root_port, FAKE_REDIRECT);
	/* On the path, but not about requests from one port to another */
	fake_set_acs(s.client_port, PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_UF);

	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, map_type(provider, provider),
			PCI_P2PDMA_MAP_BUS_ADDR);

	dist = pci_p2pdma_distance(provider, &client->dev, false);
	KUNIT_EXPECT_EQ(test, dist, 4);
	dist = pci_p2pdma_distance(provider, &provider->dev, false);
	KUNIT_EXPECT_EQ(test, dist, 0);
}

/* Each bit of ACS that redirects, at either end of the path */
static void p2pdma_test_redirect(struct kunit *test)
{
	static const u16 redirects[] = { PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_EC };
	struct pci_dev *provider, *client;
	char *list = acs_list(test);
	struct fake_switch s;
	unsigned int i;
	int dist;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);

	for (i = 0; i < ARRAY_SIZE(redirects); i++) {
		fake_set_acs(s.client_port, redirects[i]);
		KUNIT_EXPECT_EQ(test, map_type_now(provider, client),
				PCI_P2PDMA_MAP_NOT_SUPPORTED);
		KUNIT_EXPECT_STREQ(test, list, "2fffe:02:01.0");
		fake_set_acs(s.client_port, 0);

		fake_set_acs(s.provider_port, redirects[i]);
		KUNIT_EXPECT_EQ(test, map_type_now(provider, client),
				PCI_P2PDMA_MAP_NOT_SUPPORTED);
		KUNIT_EXPECT_STREQ(test, list, "2fffe:02:00.0");
		fake_set_acs(s.provider_port, 0);

		KUNIT_EXPECT_EQ(test, map_type_now(provider, client),
				PCI_P2PDMA_MAP_BUS_ADDR);
	}

	fake_set_acs(s.provider_port, FAKE_REDIRECT);
	fake_set_acs(s.client_port, FAKE_REDIRECT);
	dist = pci_p2pdma_distance(provider, &client->dev, true);
	KUNIT_EXPECT_EQ(test, dist, -1);
	KUNIT_EXPECT_STREQ(test, list, "2fffe:02:00.0;2fffe:02:01.0");

	kunit_activate_static_stub(test, cpu_supports_p2pdma, cpu_forwards);
	KUNIT_EXPECT_EQ(test, map_type_now(provider, client),
			PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	dist = pci_p2pdma_distance(provider, &client->dev, false);
	KUNIT_EXPECT_EQ(test, dist, 4);
}

/* More bridges that redirect than are listed: no name is cut off */
static void p2pdma_test_many_redirects(struct kunit *test)
{
	/* From the client up. A tenth would make it more than 127 characters. */
	static const char expected[] =
		"2fffe:23:00.0;2fffe:21:00.0;2fffe:1f:00.0;2fffe:1d:00.0;"
		"2fffe:1b:00.0;2fffe:19:00.0;2fffe:17:00.0;2fffe:15:00.0;"
		"2fffe:13:00.0";
	struct fake_dev *ports[16], *port;
	struct pci_dev *provider, *client;
	char *list = acs_list(test);
	struct fake_switch s;
	unsigned int i;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	list_del(&s.client->node);
	port = s.client_port;
	for (i = 0; i < ARRAY_SIZE(ports); i++) {
		port = fake_add_switch(test, s.bridge, port);
		ports[i] = port;
	}
	s.client = fake_add_endpoint(test, s.bridge, port);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);

	for (i = 0; i < ARRAY_SIZE(ports); i++)
		fake_set_acs(ports[i], FAKE_REDIRECT);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_STREQ(test, list, expected);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = 36,
		     .upstream = "2fffe:01:00.0",
		     .acs_redir = expected,
		     .host_bridge = "2fffe:00:00.0[1b36:7357]",
		     .reason = "host bridge not listed");
}

struct fake_host_bridge {
	const char *name;
	u16 vendor, device;
	enum pci_p2pdma_map_type same;		/* between its root ports */
	enum pci_p2pdma_map_type other;		/* to another one of its kind */
};

static const struct fake_host_bridge host_bridges[] = {
	{
		"not listed", PCI_VENDOR_ID_REDHAT, FAKE_DEVICE_ID,
		PCI_P2PDMA_MAP_NOT_SUPPORTED, PCI_P2PDMA_MAP_NOT_SUPPORTED,
	},
	{
		"device not listed", PCI_VENDOR_ID_INTEL, FAKE_DEVICE_ID,
		PCI_P2PDMA_MAP_NOT_SUPPORTED, PCI_P2PDMA_MAP_NOT_SUPPORTED,
	},
	{
		"same host bridge", PCI_VENDOR_ID_INTEL, 0x2f00,
		PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, PCI_P2PDMA_MAP_NOT_SUPPORTED,
	},
	{
		"any host bridge", PCI_VENDOR_ID_INTEL, 0x2030,
		PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
	},
	{
		"any device", PCI_VENDOR_ID_GOOGLE, FAKE_DEVICE_ID,
		PCI_P2PDMA_MAP_THRU_HOST_BRIDGE, PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
	},
};

KUNIT_ARRAY_PARAM_DESC(host_bridge, host_bridges, name);

static void p2pdma_test_host_bridge(struct kunit *test)
{
	const struct fake_host_bridge *host = test->param_value;
	struct pci_dev *provider, *client, *other;
	struct fake_roots r, s;
	int dist;

	fake_roots_init(test, &r, FAKE_DOMAIN, 0);
	fake_roots_init(test, &s, FAKE_OTHER_DOMAIN, 0);
	fake_set_id(r.root_ports[0], host->vendor, host->device);
	fake_set_id(s.root_ports[0], host->vendor, host->device);
	fake_scan(test, r.bridge);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, r.bridge, r.devs[0]);
	client = fake_pdev(test, r.bridge, r.devs[1]);
	other = fake_pdev(test, s.bridge, s.devs[1]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);

	KUNIT_EXPECT_EQ(test, map_type(provider, client), host->same);
	KUNIT_EXPECT_EQ(test, map_type(provider, other), host->other);
	dist = pci_p2pdma_distance(provider, &client->dev, false);
	KUNIT_EXPECT_EQ(test, dist,
			host->same == PCI_P2PDMA_MAP_NOT_SUPPORTED ? -1 : 4);

	kunit_activate_static_stub(test, cpu_supports_p2pdma, cpu_forwards);
	KUNIT_EXPECT_EQ(test, map_type_now(provider, client),
			PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
	KUNIT_EXPECT_EQ(test, map_type_now(provider, other),
			PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
}

/* Redirect below a host bridge that forwards */
static void p2pdma_test_redirect_forwarded(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_switch s;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_set_id(s.root_port, PCI_VENDOR_ID_INTEL, 0x2f00);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);
	fake_set_acs(s.client_port, FAKE_REDIRECT);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);

	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);
}

/* Both of two host bridges have to forward */
static void p2pdma_test_host_bridges_differ(struct kunit *test)
{
	struct pci_dev *listed, *not_listed;
	struct fake_roots r, s;

	fake_roots_init(test, &r, FAKE_DOMAIN, 0);
	fake_roots_init(test, &s, FAKE_OTHER_DOMAIN, 0);
	fake_set_id(r.root_ports[0], PCI_VENDOR_ID_INTEL, 0x2030);
	fake_scan(test, r.bridge);
	fake_scan(test, s.bridge);
	listed = fake_pdev(test, r.bridge, r.devs[0]);
	not_listed = fake_pdev(test, s.bridge, s.devs[0]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(listed), 0);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(not_listed), 0);

	KUNIT_EXPECT_EQ(test, map_type(listed, not_listed),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_EQ(test, map_type(not_listed, listed),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

/* Without a device 00.0, only a root port says what the host bridge is. */
static void p2pdma_test_host_bridge_device(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_roots r, s;
	struct fake_dev *dev;

	fake_roots_init(test, &r, FAKE_DOMAIN, 1);
	fake_set_id(r.root_ports[0], PCI_VENDOR_ID_INTEL, 0x2030);
	fake_scan(test, r.bridge);
	provider = fake_pdev(test, r.bridge, r.devs[0]);
	client = fake_pdev(test, r.bridge, r.devs[1]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_THRU_HOST_BRIDGE);

	fake_roots_init(test, &s, FAKE_OTHER_DOMAIN, 2);
	dev = fake_add(test, s.bridge, NULL, PCI_DEVFN(1, 0),
		       PCI_EXP_TYPE_ENDPOINT);
	fake_set_id(dev, PCI_VENDOR_ID_INTEL, 0x2030);
	fake_set_id(s.root_ports[0], PCI_VENDOR_ID_INTEL, 0x2030);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.devs[0]);
	client = fake_pdev(test, s.bridge, s.devs[1]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

/* Several clients at once, and one that is not a PCI device */
static void p2pdma_test_clients(struct kunit *test)
{
	struct device *clients[2];
	struct p2pdma_provider mem;
	struct pci_dev *provider;
	struct fake_switch s;
	int dist;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	mem.owner = &provider->dev;

	clients[0] = &fake_pdev(test, s.bridge, s.client)->dev;
	clients[1] = &fake_pdev(test, s.bridge, s.client_port)->dev;
	dist = pci_p2pdma_distance_many(provider, clients, 2, true);
	KUNIT_EXPECT_EQ(test, dist, 4 + 3);

	fake_set_acs(s.client, FAKE_REDIRECT);
	dist = pci_p2pdma_distance_many(provider, clients, 2, true);
	KUNIT_EXPECT_EQ(test, dist, -1);

	clients[0] = &s.bridge->dev;
	dist = pci_p2pdma_distance_many(provider, clients, 2, true);
	KUNIT_EXPECT_EQ(test, dist, -1);
	KUNIT_EXPECT_EQ(test, pci_p2pdma_map_type(&mem, clients[0]),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

static void p2pdma_test_trace_switch(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct p2pdma_provider mem;
	struct fake_switch s;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);

	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = -1,
		     .reason = "provider has no P2PDMA");

	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_BUS_ADDR,
		     .answer = "computed",
		     .distance = 4,
		     .upstream = "2fffe:01:00.0",
		     .reason = "no ACS redirect on the path");
	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_BUS_ADDR,
		     .answer = "cached",
		     .distance = 4,
		     .upstream = "2fffe:01:00.0",
		     .reason = "no ACS redirect on the path");

	/* Behind the kernel's back, until it looks again */
	fake_set_acs(s.client_port, FAKE_REDIRECT);
	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_BUS_ADDR,
		     .answer = "outdated",
		     .distance = 4,
		     .upstream = "2fffe:01:00.0",
		     .acs_redir = "2fffe:02:01.0",
		     .host_bridge = "2fffe:00:00.0[1b36:7357]",
		     .reason = "host bridge not listed");
	pci_p2pdma_distance(provider, &client->dev, false);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = 4,
		     .upstream = "2fffe:01:00.0",
		     .acs_redir = "2fffe:02:01.0",
		     .host_bridge = "2fffe:00:00.0[1b36:7357]",
		     .reason = "host bridge not listed");

	fake_set_acs(s.provider, FAKE_REDIRECT);
	kunit_activate_static_stub(test, cpu_supports_p2pdma, cpu_forwards);
	map_type_now(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_THRU_HOST_BRIDGE,
		     .answer = "cached",
		     .distance = 4,
		     .upstream = "2fffe:01:00.0",
		     .acs_redir = "2fffe:03:00.0;2fffe:02:01.0",
		     .reason = "CPU allows it");

	mem.owner = &provider->dev;
	pci_p2pdma_map_type(&mem, &s.bridge->dev);
	EXPECT_EVENT(test, provider, s.bridge,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = -1,
		     .reason = "client is not a PCI device");
	pci_p2pdma_distance(provider, &s.bridge->dev, false);
	EXPECT_EVENT(test, provider, s.bridge,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = -1,
		     .reason = "client is not a PCI device");
}

static void p2pdma_test_trace_host_bridge(struct kunit *test)
{
	const struct fake_host_bridge *host = test->param_value;
	struct pci_dev *provider, *client, *other;
	struct fake_roots r, s;
	char name[32];

	fake_roots_init(test, &r, FAKE_DOMAIN, 0);
	fake_roots_init(test, &s, FAKE_OTHER_DOMAIN, 0);
	fake_set_id(r.root_ports[0], host->vendor, host->device);
	fake_set_id(s.root_ports[0], host->vendor, host->device);
	fake_scan(test, r.bridge);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, r.bridge, r.devs[0]);
	client = fake_pdev(test, r.bridge, r.devs[1]);
	other = fake_pdev(test, s.bridge, s.devs[1]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);

	/* Without a bridge in common, it does not matter who redirects. */
	fake_set_acs(r.root_ports[0], FAKE_REDIRECT);
	fake_set_acs(r.root_ports[1], FAKE_REDIRECT);

	snprintf(name, sizeof(name), "2fffe:00:00.0[%04x:%04x]", host->vendor,
		 host->device);
	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = host->same,
		     .answer = "computed",
		     .distance = 4,
		     .host_bridge = name,
		     .reason = host->same == PCI_P2PDMA_MAP_NOT_SUPPORTED ?
			       "host bridge not listed" : "host bridge listed");

	/* The last that was looked up: the other's, unless the own one is out */
	if (host->other != PCI_P2PDMA_MAP_NOT_SUPPORTED)
		name[0] = '3';
	map_type(provider, other);
	EXPECT_EVENT(test, provider, other,
		     .type = host->other,
		     .answer = "computed",
		     .distance = 4,
		     .host_bridge = name,
		     .reason = host->other == host->same ?
			       (host->same == PCI_P2PDMA_MAP_NOT_SUPPORTED ?
				"host bridge not listed" : "host bridge listed") :
			       "host bridge listed, but not for another one");
}

static void p2pdma_test_trace_no_device(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_roots r;

	fake_roots_init(test, &r, FAKE_DOMAIN, 2);
	fake_add(test, r.bridge, NULL, PCI_DEVFN(1, 0), PCI_EXP_TYPE_ENDPOINT);
	fake_scan(test, r.bridge);
	provider = fake_pdev(test, r.bridge, r.devs[0]);
	client = fake_pdev(test, r.bridge, r.devs[1]);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);

	map_type(provider, client);
	EXPECT_EVENT(test, provider, client,
		     .type = PCI_P2PDMA_MAP_NOT_SUPPORTED,
		     .answer = "computed",
		     .distance = 4,
		     .reason = "host bridge has no device to look up");
}

/* Domains of which only bits above the lower 16 differ */
static void p2pdma_test_domains(struct kunit *test)
{
	struct pci_dev *provider, *client, *other;
	struct fake_switch s, t;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_switch_init(test, &t, FAKE_OTHER_DOMAIN);
	fake_scan(test, s.bridge);
	fake_scan(test, t.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);
	other = fake_pdev(test, t.bridge, t.client);
	KUNIT_ASSERT_EQ(test, pci_dev_id(client), pci_dev_id(other));

	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, map_type(provider, other),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
}

/* Where the client was, there is another device, which redirects */
static void p2pdma_test_replaced(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_switch s;
	struct pci_bus *bus;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);
	bus = client->bus;

	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);

	pci_lock_rescan_remove();
	pci_stop_and_remove_bus_device(client);
	fake_set_acs(s.client, FAKE_REDIRECT);
	client = pci_scan_single_device(bus, s.client->devfn);
	pci_unlock_rescan_remove();
	KUNIT_ASSERT_NOT_NULL(test, client);

	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

struct slow_reader {
	struct work_struct work;
	struct completion reading;
	bool done;
};

static void slow_reader(struct work_struct *work)
{
	struct slow_reader *reader = container_of(work, typeof(*reader), work);

	rcu_read_lock();
	complete(&reader->reading);
	mdelay(50);
	WRITE_ONCE(reader->done, true);
	rcu_read_unlock();
}

/* What readers may be looking at is freed only when all of them are done. */
static void p2pdma_test_release(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct slow_reader reader = {};
	struct fake_switch s;
	void *group;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);

	group = devres_open_group(&provider->dev, NULL, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, group);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);

	INIT_WORK_ONSTACK(&reader.work, slow_reader);
	init_completion(&reader.reading);
	queue_work(system_dfl_wq, &reader.work);
	wait_for_completion(&reader.reading);
	devres_release_group(&provider->dev, group);
	KUNIT_EXPECT_TRUE(test, READ_ONCE(reader.done));
	flush_work(&reader.work);
	destroy_work_on_stack(&reader.work);
	KUNIT_EXPECT_EQ(test, map_type(provider, client),
			PCI_P2PDMA_MAP_NOT_SUPPORTED);
}

struct map_in_irq {
	struct hrtimer timer;
	struct completion done;
	struct pci_dev *provider, *client;
	enum pci_p2pdma_map_type type;
};

static enum hrtimer_restart map_in_irq(struct hrtimer *timer)
{
	struct map_in_irq *map = container_of(timer, struct map_in_irq, timer);

	map->type = map_type(map->provider, map->client);
	complete(&map->done);
	return HRTIMER_NORESTART;
}

/* dma_map_*() may be called in any context. It is lockdep that would complain. */
static void p2pdma_test_irq(struct kunit *test)
{
	struct map_in_irq map = {};
	struct pci_dev *client;
	struct fake_switch s;

	if (!IS_ENABLED(CONFIG_PROVE_LOCKING) || !debug_locks)
		kunit_skip(test, "needs lockdep");

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	client = fake_pdev(test, s.bridge, s.client);
	map.provider = fake_pdev(test, s.bridge, s.provider);
	map.client = map.provider;
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(map.provider), 0);
	KUNIT_EXPECT_EQ(test, map_type(map.provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);

	init_completion(&map.done);
	hrtimer_setup_on_stack(&map.timer, map_in_irq, CLOCK_MONOTONIC,
			       HRTIMER_MODE_REL);
	hrtimer_start(&map.timer, 0, HRTIMER_MODE_REL);
	wait_for_completion(&map.done);
	hrtimer_cancel(&map.timer);
	destroy_hrtimer_on_stack(&map.timer);

	KUNIT_EXPECT_EQ(test, map.type, PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_TRUE(test, debug_locks);
}

static struct kunit_case p2pdma_test_cases[] = {
	KUNIT_CASE(p2pdma_test_no_redirect),
	KUNIT_CASE(p2pdma_test_redirect),
	KUNIT_CASE(p2pdma_test_many_redirects),
	KUNIT_CASE_PARAM(p2pdma_test_host_bridge, host_bridge_gen_params),
	KUNIT_CASE(p2pdma_test_redirect_forwarded),
	KUNIT_CASE(p2pdma_test_host_bridges_differ),
	KUNIT_CASE(p2pdma_test_host_bridge_device),
	KUNIT_CASE(p2pdma_test_clients),
	KUNIT_CASE(p2pdma_test_trace_switch),
	KUNIT_CASE_PARAM(p2pdma_test_trace_host_bridge, host_bridge_gen_params),
	KUNIT_CASE(p2pdma_test_trace_no_device),
	KUNIT_CASE(p2pdma_test_domains),
	KUNIT_CASE(p2pdma_test_replaced),
	KUNIT_CASE(p2pdma_test_release),
	KUNIT_CASE(p2pdma_test_irq),
	{}
};

static struct kunit_suite p2pdma_test_suite = {
	.name = "pci_p2pdma",
	.init = p2pdma_test_init,
	.test_cases = p2pdma_test_cases,
};

kunit_test_suite(p2pdma_test_suite);
