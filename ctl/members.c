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
	members->count = 0;
	if (!members->list)
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
	members->list = NULL;
	members->count = 0;
}

static bool is_named(const struct config_members *who, const struct peer *peer)
{
	for (size_t i = 0; i < who->count; i++)
		if (memcmp(who->peers[i].key, peer->public_key, KEY_SIZE) == 0)
			return true;
	return false;
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

struct member *members_find(const struct run_members *members, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < members->count; i++)
		if (memcmp(members->list[i]->peer->public_key, key, KEY_SIZE) == 0)
			return members->list[i];
	return NULL;
}

static bool same_owner(const struct config_station *a, const struct config_station *b)
{
	return a->local == b->local && (a->local || memcmp(a->who.key, b->who.key, KEY_SIZE) == 0);
}

/* Whether @network's configuration has @key at this MAC and with the owner of @like. */
static bool is_fixed(const struct config_network *network, const struct fdb_key *key,
                     const struct config_station *like)
{
	for (size_t i = 0; i < network->station_count; i++) {
		const struct config_station *station = &network->stations[i];

		/* An entry of an address fixes its MAC as well. */
		if ((key->kind == FDB_MAC || memcmp(&station->key, key, sizeof(*key)) == 0) &&
		    memcmp(station->mac, like->mac, ETHER_ADDR_SIZE) == 0 &&
		    same_owner(station, like))
			return true;
	}
	return false;
}

/* Addresses before their MACs. */
static void remove_old(struct fdb *fdb, const struct config_network *now,
                       const struct config_network *before, uint64_t now_ns)
{
	for (size_t i = 0; i < before->station_count; i++) {
		const struct config_station *station = &before->stations[i];

		if (station->key.kind != FDB_MAC && !is_fixed(now, &station->key, station))
			(void)fdb_remove_static(fdb, &station->key, now_ns);
	}
	for (size_t i = 0; i < before->station_count; i++) {
		struct fdb_key mac = fdb_key_mac(before->stations[i].mac);

		if (!is_fixed(now, &mac, &before->stations[i]))
			(void)fdb_remove_static(fdb, &mac, now_ns);
	}
}

void members_fix_stations(const struct run_members *members, const struct config_network *now,
                          const struct config_network *before, struct network *network)
{
	uint64_t now_ns = device_now(network->device);

	if (!network->fdb)
		return;
	if (before)
		remove_old(network->fdb, now, before, now_ns);
	for (size_t i = 0; i < now->station_count; i++) {
		const struct config_station *station = &now->stations[i];
		struct member *owner =
			station->local ? &network->local : members_find(members, station->who.key);
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
