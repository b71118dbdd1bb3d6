/* SPDX-License-Identifier: MIT */
/*
 * The view: built by the control thread, published by one pointer, read by
 * workers, freed when none can hold it. And the networks it speaks of.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/hash.h"
#include "dataplane/device.h"
#include "dataplane/fdb.h"
#include "dataplane/peer.h"

struct view *view_create(size_t peers, size_t networks)
{
	struct view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->peer_count = peers;
	view->network_count = networks;
	view->peers = calloc(peers + 1, sizeof(*view->peers));
	view->networks = calloc(networks + 1, sizeof(*view->networks));
	view->by_vni = calloc(networks + 1, sizeof(const struct view_network *));
	if (view->peers && view->networks && view->by_vni)
		return view;
	view_free(view);
	return NULL;
}

static int by_key(const void *a, const void *b)
{
	const struct peer *const *x = a, *const *y = b;

	return memcmp((*x)->public_key, (*y)->public_key, KEY_SIZE);
}

static int by_peer(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)(*(struct member *const *)a)->peer;
	uintptr_t y = (uintptr_t)(*(struct member *const *)b)->peer;

	return x < y ? -1 : x > y;
}

static int by_vni(const void *a, const void *b)
{
	uint32_t x = (*(const struct view_network *const *)a)->vni;
	uint32_t y = (*(const struct view_network *const *)b)->vni;

	return x < y ? -1 : x > y;
}

static void index_networks(struct view *view)
{
	for (size_t i = 0; i < view->network_count; i++) {
		struct view_network *net = &view->networks[i];

		view->by_port[net->network->port] = net;
		if (net->mode != NETWORK_BRIDGED)
			continue;
		view->by_vni[view->vni_count++] = net;
		if (net->member_count)
			qsort(net->members, net->member_count, sizeof(struct member *), by_peer);
	}
	qsort(view->by_vni, view->vni_count, sizeof(*view->by_vni), by_vni);
}

int view_finish(struct view *view, const struct route *routes, size_t count)
{
	view->routes = route_table_build(routes, count);
	if (!view->routes)
		return -ENOMEM;
	qsort(view->peers, view->peer_count, sizeof(*view->peers), by_key);
	index_networks(view);
	return 0;
}

void view_free(struct view *view)
{
	for (size_t i = 0; view->networks && i < view->network_count; i++) {
		free(view->networks[i].subnets);
		free(view->networks[i].ranges);
		free(view->networks[i].gateways);
		free(view->networks[i].members);
	}
	if (view->routes)
		route_table_free(view->routes);
	free(view->by_vni);
	free(view->networks);
	free(view->peers);
	free(view);
}

static void release_view(struct retired *retired)
{
	view_free(container_of(retired, struct view, retired));
}

void device_publish(struct device *device, struct view *view)
{
	struct view *old = atomic_load_explicit(&device->view, memory_order_relaxed);

	view->serial = old->serial + 1;
	atomic_store_explicit(&device->view, view, memory_order_seq_cst);

	quiesce_retire(&device->quiesce, &old->retired, release_view);
}

void device_publish_empty(struct device *device)
{
	device_publish(device, device->empty);
	device->empty = NULL;
}

struct peer *view_find_peer(const struct view *view, const uint8_t public_key[KEY_SIZE])
{
	size_t low = 0, high = view->peer_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = memcmp(public_key, view->peers[middle]->public_key, KEY_SIZE);

		if (order == 0)
			return view->peers[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct network *network_create(struct device *device, const char *name, uint16_t port,
                               enum network_mode mode)
{
	struct network *network = calloc(1, sizeof(*network));

	if (!network)
		return NULL;
	network->device = device;
	network->local.network = network;
	if (mode == NETWORK_BRIDGED)
		network->fdb = fdb_open(&network->local);
	else
		network->neigh = neigh_open(&device->stage);
	if (!network->neigh && !network->fdb) {
		free(network);
		return NULL;
	}
	network->port = port;
	network->serial = ++device->networks_made;
	strncpy(network->name, name, sizeof(network->name) - 1);
	network_derive_mac(network->router_mac, device->identity.public_key, name, false);
	network_derive_mac(network->tap_mac, device->identity.public_key, name, true);
	return network;
}

static void release_network(struct retired *retired)
{
	struct network *network = container_of(retired, struct network, retired);

	if (network->neigh)
		neigh_close(network->neigh);
	if (network->fdb)
		fdb_close(network->fdb);
	free(network);
}

void network_retire(struct network *network)
{
	quiesce_retire(&network->device->quiesce, &network->retired, release_network);
}

struct member *member_create(struct network *network, struct peer *peer)
{
	struct member *member = calloc(1, sizeof(*member));

	if (!member)
		return NULL;
	member->network = network;
	member->peer = peer;
	return member;
}

static void release_member(struct retired *retired)
{
	free(container_of(retired, struct member, retired));
}

void member_retire(struct member *member)
{
	/* Its stations go at once; what workers with the old view claim for it is refused. */
	if (member->network->fdb)
		fdb_remove_member(member->network->fdb, member,
		                  device_now(member->network->device));
	quiesce_retire(&member->network->device->quiesce, &member->retired, release_member);
}

const struct view_network *view_find_vni(const struct view *view, uint32_t vni)
{
	size_t low = 0, high = view->vni_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (view->by_vni[middle]->vni == vni)
			return view->by_vni[middle];
		if (vni < view->by_vni[middle]->vni)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct member *view_find_member(const struct view_network *net, const struct peer *peer)
{
	size_t low = 0, high = net->member_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		struct member *member = net->members[middle];

		if (member->peer == peer)
			return member;
		if ((uintptr_t)peer < (uintptr_t)member->peer)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool view_is_bridge_mac(const struct view_network *net, const uint8_t mac[ETHER_ADDR_SIZE])
{
	return memcmp(net->bridge_mac, mac, ETHER_ADDR_SIZE) == 0;
}

void network_derive_mac(uint8_t mac[ETHER_ADDR_SIZE], const uint8_t public_key[KEY_SIZE],
                        const char *name, bool tap)
{
	uint8_t hash[HASH_SIZE];

	hash_sum(hash, public_key, KEY_SIZE, name, strlen(name));
	memcpy(mac, hash + (tap ? ETHER_ADDR_SIZE : 0), ETHER_ADDR_SIZE);
	/* Locally administered, unicast. A plain bridge takes its lowest port's MAC: not fe. */
	mac[0] = tap ? 0xfe : (uint8_t)((mac[0] & 0xfc) | 0x02);
}

void network_drop(struct network *network, enum drop reason, uint64_t n)
{
	stats_add(&network->drops[reason], n);
	device_drop(network->device, reason, n);
	recorder_drop(&network->device->recorder, reason, device_now(network->device), NULL,
	              network, NULL);
}

bool view_is_gateway(const struct view_network *net, uint8_t family, const uint8_t *addr)
{
	for (size_t i = 0; i < net->gateway_count; i++)
		if (net->gateways[i].family == family &&
		    memcmp(net->gateways[i].addr, addr, family == 4 ? 4 : 16) == 0)
			return true;
	return false;
}

static bool within(const struct prefix *prefixes, size_t count, uint8_t family, const uint8_t *addr)
{
	for (size_t i = 0; i < count; i++)
		if (prefixes[i].family == family && prefix_contains(&prefixes[i], addr))
			return true;
	return false;
}

/* A Range of IPv4 says nothing about what lives here of IPv6. */
static bool has_family(const struct prefix *prefixes, size_t count, uint8_t family)
{
	for (size_t i = 0; i < count; i++)
		if (prefixes[i].family == family)
			return true;
	return false;
}

bool view_in_subnet(const struct view_network *net, uint8_t family, const uint8_t *addr)
{
	return within(net->subnets, net->subnet_count, family, addr);
}

bool view_is_local(const struct view *view, const struct view_network *net, uint8_t family,
                   const uint8_t *addr)
{
	if (view_is_gateway(net, family, addr))
		return true;
	if (!view_in_subnet(net, family, addr))
		return false;
	if (has_family(net->ranges, net->range_count, family))
		return within(net->ranges, net->range_count, family, addr);
	return !route_lookup(view->routes, family, addr);
}

struct peer *view_remote(const struct view *view, const struct view_network *net, uint8_t family,
                         const uint8_t *addr)
{
	if (!view_in_subnet(net, family, addr) || view_is_gateway(net, family, addr) ||
	    within(net->ranges, net->range_count, family, addr))
		return NULL;
	return route_lookup(view->routes, family, addr);
}
