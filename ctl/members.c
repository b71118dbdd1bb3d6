/* SPDX-License-Identifier: MIT */
#include "ctl/members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/log.h"
#include "dataplane/fdb.h"

static int compare_members(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)(*(struct member *const *)a)->peer;
	uintptr_t y = (uintptr_t)(*(struct member *const *)b)->peer;

	return x < y ? -1 : x > y;
}

static int compare_macs(const void *a, const void *b)
{
	const struct config_station *x = *(const struct config_station *const *)a;
	const struct config_station *y = *(const struct config_station *const *)b;

	return memcmp(x->mac, y->mac, ETHER_ADDR_SIZE);
}

static const struct config_station **sort_stations(const struct config_network *network)
{
	const struct config_station **list = calloc(network->station_count + 1, sizeof(*list));

	for (size_t i = 0; list && i < network->station_count; i++)
		list[i] = &network->stations[i];
	if (list && network->station_count)
		qsort(list, network->station_count, sizeof(*list), compare_macs);
	return list;
}

static struct member *find(const struct run_members *members, const struct peer *peer)
{
	size_t low = 0, high = members ? members->count : 0;

	while (low < high) {
		size_t middle = (low + high) / 2;
		struct member *member = members->list[middle];

		if (member->peer == peer)
			return member;
		if ((uintptr_t)member->peer < (uintptr_t)peer)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

int members_plan(struct run_members *members, const struct config *config, size_t place,
                 const struct run_peer *peers, struct network *network,
                 const struct run_members *old)
{
	uint32_t vni = config->networks[place].vni;

	members->list = calloc(config->peer_count + 1, sizeof(struct member *));
	members->by_mac = sort_stations(&config->networks[place]);
	members->count = 0;
	if (!members->list || !members->by_mac)
		return -ENOMEM;
	for (size_t i = 0; config->networks[place].bridged && i < config->peer_count; i++) {
		struct member *member;

		if (!config_peer_has_vni(&config->peers[i], vni))
			continue;
		member = find(old, peers[i].peer);
		if (!member)
			member = member_create(network, peers[i].peer);
		if (!member)
			return -ENOMEM;
		members->list[members->count++] = member;
	}
	if (members->count)
		qsort(members->list, members->count, sizeof(struct member *), compare_members);
	return 0;
}

void members_end(struct run_members *members, const struct run_members *kept)
{
	for (size_t i = 0; i < members->count; i++)
		if (find(kept, members->list[i]->peer) != members->list[i])
			member_retire(members->list[i]);
	free(members->list);
	free(members->by_mac);
	members->list = NULL;
	members->by_mac = NULL;
	members->count = 0;
}

static int compare_to_who(const void *key, const void *who)
{
	return memcmp(key, ((const struct config_who *)who)->key, KEY_SIZE);
}

static bool is_named(const struct config_members *who, const struct peer *peer)
{
	return who->count && bsearch(peer->public_key, who->peers, who->count, sizeof(*who->peers),
	                             compare_to_who);
}

static void permit(struct member *member, bool may_route, bool may_serve_dhcp)
{
	atomic_store_explicit(&member->may_route, may_route, memory_order_relaxed);
	atomic_store_explicit(&member->may_serve_dhcp, may_serve_dhcp, memory_order_relaxed);
}

void members_permit(const struct run_members *members, const struct config_network *config,
                    struct network *network)
{
	const struct config_members *routers = &config->routers, *servers = &config->dhcp_servers;

	permit(&network->local, routers->all || routers->local, servers->all || servers->local);
	for (size_t i = 0; i < members->count; i++) {
		const struct peer *peer = members->list[i]->peer;

		permit(members->list[i], routers->all || is_named(routers, peer),
		       servers->all || is_named(servers, peer));
	}
}

/* --- static entries --- */

static bool same_owner(const struct config_station *a, const struct config_station *b)
{
	return a->local == b->local && (a->local || memcmp(a->who.key, b->who.key, KEY_SIZE) == 0);
}

/* Whether @network's configuration has @address at this MAC and with the owner of @like. */
static bool is_fixed(const struct config_network *network, const struct config_station *like)
{
	const struct config_station *station = config_find_station(network, &like->key);

	return station && memcmp(station->mac, like->mac, ETHER_ADDR_SIZE) == 0 &&
	       same_owner(station, like);
}

/* Likewise the MAC itself, which an entry of an address fixes as well: they have one owner. */
static bool is_mac_fixed(const struct run_members *members, const struct config_network *network,
                         const struct config_station *like)
{
	const struct config_station *const *found = NULL;

	if (network->station_count)
		found = bsearch(&like, members->by_mac, network->station_count,
		                sizeof(*members->by_mac), compare_macs);
	return found && same_owner(*found, like);
}

/* Addresses before their MACs. */
void members_free_stations(const struct run_members *members, const struct config_network *now,
                           const struct config_network *before, struct network *network)
{
	uint64_t now_ns = device_now(network->device);

	for (size_t i = 0; i < before->station_count; i++) {
		const struct config_station *station = &before->stations[i];

		if (station->key.kind != FDB_MAC && !is_fixed(now, station))
			(void)fdb_remove_static(network->fdb, &station->key, now_ns);
	}
	for (size_t i = 0; i < before->station_count; i++) {
		struct fdb_key mac = fdb_key_mac(before->stations[i].mac);

		if (!is_mac_fixed(members, now, &before->stations[i]))
			(void)fdb_remove_static(network->fdb, &mac, now_ns);
	}
}

/* NULL: nobody who is a member. */
static struct member *find_owner(const struct run_members *members, const struct config *config,
                                 const struct run_peer *peers, const uint8_t key[KEY_SIZE])
{
	const struct config_peer *peer = config_find_peer(config, key);

	return peer ? find(members, peers[peer - config->peers].peer) : NULL;
}

void members_fix_stations(const struct run_members *members, const struct config *config,
                          size_t place, const struct run_peer *peers, struct network *network)
{
	const struct config_network *now = &config->networks[place];
	uint64_t now_ns = device_now(network->device);

	for (size_t i = 0; i < now->station_count; i++) {
		const struct config_station *station = &now->stations[i];
		struct member *owner =
			station->local ? &network->local
				       : find_owner(members, config, peers, station->who.key);
		struct fdb_key mac = fdb_key_mac(station->mac);
		int err;

		if (!owner)
			continue; /* its peer was removed at run time */
		err = fdb_add_static(network->fdb, owner, &mac, station->mac, now_ns);
		if (!err && station->key.kind != FDB_MAC)
			err = fdb_add_static(network->fdb, owner, &station->key, station->mac,
			                     now_ns);
		if (err)
			log_line("network %s: the FDB cannot take a static entry: %s", now->name,
			         strerror(-err));
	}
}
