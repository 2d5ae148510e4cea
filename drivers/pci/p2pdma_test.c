// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the mapping types that P2PDMA finds
 *
 * The devices exist only in config space, which is an array for each of them.
 * They are enumerated by the PCI core, but never get a driver. None of their
 * host bridges is listed, so what is not PCI_P2PDMA_MAP_BUS_ADDR depends on the
 * CPU of the machine that runs the test.
 */

#include <kunit/test.h>
#include <linux/bitfield.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/unaligned.h>

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

	put_unaligned_le16(PCI_VENDOR_ID_REDHAT, &dev->cfg[PCI_VENDOR_ID]);
	put_unaligned_le16(0x7357, &dev->cfg[PCI_DEVICE_ID]);
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
	bridge->domain_nr = domain;
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

static void p2pdma_test_redirect(struct kunit *test)
{
	struct pci_dev *provider, *client;
	struct fake_switch s;

	fake_switch_init(test, &s, FAKE_DOMAIN);
	fake_scan(test, s.bridge);
	provider = fake_pdev(test, s.bridge, s.provider);
	client = fake_pdev(test, s.bridge, s.client);

	fake_set_acs(s.client_port, FAKE_REDIRECT);
	KUNIT_ASSERT_EQ(test, pcim_p2pdma_init(provider), 0);
	KUNIT_EXPECT_NE(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
}

/* More bridges that redirect than are listed. For KASAN */
static void p2pdma_test_many_redirects(struct kunit *test)
{
	struct fake_dev *ports[16], *port;
	struct pci_dev *provider, *client;
	struct fake_switch s;
	int i;

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
	KUNIT_EXPECT_NE(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
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
	KUNIT_EXPECT_NE(test, map_type(provider, other),
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

	KUNIT_EXPECT_NE(test, map_type(provider, client),
			PCI_P2PDMA_MAP_BUS_ADDR);
}

static struct kunit_case p2pdma_test_cases[] = {
	KUNIT_CASE(p2pdma_test_no_redirect),
	KUNIT_CASE(p2pdma_test_redirect),
	KUNIT_CASE(p2pdma_test_many_redirects),
	KUNIT_CASE(p2pdma_test_domains),
	KUNIT_CASE(p2pdma_test_replaced),
	{}
};

static struct kunit_suite p2pdma_test_suite = {
	.name = "pci_p2pdma",
	.test_cases = p2pdma_test_cases,
};

kunit_test_suite(p2pdma_test_suite);
