/* SPDX-License-Identifier: MIT */
/*
 * An open-addressed hash table of MACs, at most half full. It holds what the bridge
 * has, and what the bridge let go by age for as long as this host's it stays in the
 * FDB: for when its port goes, it has to be withdrawn.
 */
#include "ctl/station_table.h"

#include <stdlib.h>
#include <string.h>
#include "dataplane/fdb.h"

#define SLOTS_MIN      64U
#define AGEING_DEFAULT 30000U /* 1/100 s, the kernel's */
#define SWEEP_S        60 /* in which station_table_tick() comes by everything */
#define NS_PER_CS      10000000ULL

struct slot {
	uint32_t port; /* 0: the slot is free */
	uint32_t dump; /* the last one that had it, or that it was heard of in */
	uint16_t place; /* of the port that it was claimed for: for the FDB its number */
	uint8_t mac[ETHER_ADDR_SIZE];
	bool aged; /* the bridge has let it go */
};

/* A port that has stations. */
struct place {
	uint32_t port;
	uint32_t slots; /* 0: the place is free */
};

struct station_table {
	struct network *network;
	uint32_t tap_index;
	uint32_t bridge; /* index; 0: none */
	uint32_t ageing_cs;
	uint32_t dump; /* number of the one under way, or the last one */
	uint32_t next; /* where station_table_tick() goes on */
	bool whole; /* of that dump: station_table_begin_dump() */
	bool news;

	struct slot *slots;
	uint32_t mask, used;

	struct place places[FDB_PORT_BRIDGE]; /* the first is no port's */
	uint16_t place_count; /* those beyond were never used */

	uint32_t *ports; /* of the bridge, ascending */
	size_t port_count;

	/* What was claimed of the bridge itself. */
	uint8_t own_mac[ETHER_ADDR_SIZE]; /* all zero: nothing */
	struct neigh_addr *own;
	size_t own_count;
};

/* ---- claims ---- */

/* Of the bridge itself. Announced: it stays until it is withdrawn, however silent. */
static void claim(struct station_table *table, const struct fdb_key *key, const uint8_t *mac,
                  uint64_t now_ns)
{
	struct fdb_question question;
	enum fdb_verdict verdict;
	bool ask = false;

	verdict = fdb_claim(table->network->fdb, &table->network->local, key, mac, FDB_ANNOUNCED,
	                    now_ns, &ask, &question);
	/* A worker's fdb_tick() asks the owner; this one cannot send. */
	table->news |= ask || verdict == FDB_CAME || verdict == FDB_MOVED;
}

static void withdraw(struct station_table *table, const struct fdb_key *key, uint64_t now_ns)
{
	fdb_withdraw(table->network->fdb, &table->network->local, key, now_ns);
	table->news = true;
}

static void withdraw_slot(struct station_table *table, const struct slot *slot, uint64_t now_ns)
{
	struct fdb_key key = fdb_key_mac(slot->mac);

	withdraw(table, &key, now_ns);
}

/* ---- the table ---- */

static uint32_t hash(const uint8_t *mac)
{
	uint64_t h = 0;

	memcpy(&h, mac, ETHER_ADDR_SIZE);
	h *= 0x9e3779b97f4a7c15ULL;
	return (uint32_t)(h >> 32);
}

/* The slot of @mac, or the free one where it belongs. */
static struct slot *find(const struct station_table *table, const uint8_t *mac)
{
	uint32_t i = hash(mac) & table->mask;

	while (table->slots[i].port && memcmp(table->slots[i].mac, mac, ETHER_ADDR_SIZE) != 0)
		i = (i + 1) & table->mask;
	return &table->slots[i];
}

/* Closes the gap, so that no search ends too early. */
static void remove_slot(struct station_table *table, struct slot *slot)
{
	uint32_t gap = (uint32_t)(slot - table->slots), i = gap;

	table->places[slot->place].slots--;
	for (;;) {
		uint32_t home;

		i = (i + 1) & table->mask;
		if (!table->slots[i].port)
			break;
		home = hash(table->slots[i].mac) & table->mask;
		if (((i - home) & table->mask) >= ((i - gap) & table->mask)) {
			table->slots[gap] = table->slots[i];
			gap = i;
		}
	}
	table->slots[gap].port = 0;
	table->used--;
}

/* Room for one more. False: it is full, or out of memory. */
static bool reserve(struct station_table *table)
{
	struct slot *old = table->slots;
	uint32_t size = table->mask + 1;

	if (table->used < size / 2)
		return true;
	if (table->used >= STATION_TABLE_MAX)
		return false;
	table->slots = calloc((size_t)size * 2, sizeof(*old));
	if (!table->slots) {
		table->slots = old;
		return false;
	}
	table->mask = size * 2 - 1;
	for (uint32_t i = 0; i < size; i++)
		if (old[i].port)
			*find(table, old[i].mac) = old[i];
	free(old);
	return true;
}

/* Withdraws and removes the stations of which @goes says so. */
static void purge(struct station_table *table,
                  bool (*goes)(const struct station_table *table, const struct slot *slot),
                  uint64_t now_ns)
{
	/* A removal takes later slots into the gap, maybe over the end: look at it again. */
	for (uint32_t i = 0; i <= table->mask;) {
		struct slot *slot = &table->slots[i];

		if (!slot->port || !goes(table, slot)) {
			i++;
			continue;
		}
		withdraw_slot(table, slot, now_ns);
		remove_slot(table, slot);
	}
}

static bool all_go(const struct station_table *table, const struct slot *slot)
{
	(void)table;
	return slot->port != 0;
}

static bool was_not_dumped(const struct station_table *table, const struct slot *slot)
{
	return !slot->aged && slot->dump != table->dump;
}

static int compare_ports(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool has_no_port(const struct station_table *table, const struct slot *slot)
{
	return !table->port_count || !bsearch(&slot->port, table->ports, table->port_count,
	                                      sizeof(*table->ports), compare_ports);
}

/* ---- the bridge itself ---- */

static bool has_address(const struct neigh_addr *list, size_t count, const struct neigh_addr *addr)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].family == addr->family &&
		    memcmp(list[i].addr, addr->addr, sizeof(addr->addr)) == 0)
			return true;
	return false;
}

static const uint8_t no_mac[ETHER_ADDR_SIZE];

/* All that is not of @state any more goes; a MAC takes its addresses with it. */
static void withdraw_own(struct station_table *table, const struct bridge_state *state,
                         uint64_t now_ns)
{
	bool same = state && memcmp(table->own_mac, state->bridge_mac, ETHER_ADDR_SIZE) == 0;
	struct fdb_key key = fdb_key_mac(table->own_mac);

	if (memcmp(table->own_mac, no_mac, ETHER_ADDR_SIZE) == 0)
		return;
	for (size_t i = 0; i < table->own_count; i++) {
		struct fdb_key address = fdb_key_ip(table->own[i].family, table->own[i].addr);

		if (!same || !has_address(state->addresses, state->address_count, &table->own[i]))
			withdraw(table, &address, now_ns);
	}
	if (!same)
		withdraw(table, &key, now_ns);
}

static void claim_own(struct station_table *table, uint64_t now_ns)
{
	struct fdb_key key = fdb_key_mac(table->own_mac);

	if (memcmp(table->own_mac, no_mac, ETHER_ADDR_SIZE) == 0)
		return;
	claim(table, &key, table->own_mac, now_ns);
	for (size_t i = 0; i < table->own_count; i++) {
		struct fdb_key address = fdb_key_ip(table->own[i].family, table->own[i].addr);

		claim(table, &address, table->own_mac, now_ns);
	}
}

static void follow_own(struct station_table *table, const struct bridge_state *state,
                       uint64_t now_ns)
{
	size_t count = state ? state->address_count : 0;
	struct neigh_addr *own = calloc(count + 1, sizeof(*own));

	if (!own)
		return; /* tried again in a second */
	withdraw_own(table, state, now_ns);
	free(table->own);
	table->own = own;
	table->own_count = count;
	memcpy(table->own_mac, state ? state->bridge_mac : no_mac, ETHER_ADDR_SIZE);
	if (count)
		memcpy(own, state->addresses, count * sizeof(*own));
	claim_own(table, now_ns);
}

/* ---- the calls ---- */

struct station_table *station_table_open(struct network *network, uint32_t tap_index)
{
	struct station_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->slots = calloc(SLOTS_MIN, sizeof(*table->slots));
	if (!table->slots) {
		free(table);
		return NULL;
	}
	table->network = network;
	table->tap_index = tap_index;
	table->mask = SLOTS_MIN - 1;
	table->place_count = 1;
	table->ageing_cs = AGEING_DEFAULT;
	return table;
}

void station_table_close(struct station_table *table)
{
	if (!table)
		return;
	free(table->slots);
	free(table->ports);
	free(table->own);
	free(table);
}

bool station_table_follow(struct station_table *table, const struct bridge_state *state,
                          uint32_t tap_index, uint64_t now_ns)
{
	uint32_t bridge = state && state->attached ? state->bridge_index : 0;
	bool another = table->bridge != bridge;

	table->tap_index = tap_index;
	if (another) {
		purge(table, all_go, now_ns);
		free(table->ports);
		table->ports = NULL;
		table->port_count = 0;
		table->bridge = bridge;
	}
	follow_own(table, bridge ? state : NULL, now_ns);
	return another && bridge;
}

/* Whether a port of @a, but @except, is not among those of @b. */
static bool is_any_new(const uint32_t *a, size_t a_count, const uint32_t *b, size_t b_count,
                       uint32_t except)
{
	for (size_t i = 0; i < a_count; i++)
		if (a[i] != except &&
		    (!b_count || !bsearch(&a[i], b, b_count, sizeof(*b), compare_ports)))
			return true;
	return false;
}

bool station_table_check_ports(struct station_table *table, const struct netlink *netlink,
                               uint64_t now_ns)
{
	const struct netlink_link *bridge = netlink_get_link(netlink, table->bridge), *links;
	size_t link_count = netlink_links(netlink, &links), count = 0;
	uint32_t *ports = calloc(link_count + 1, sizeof(*ports)), *old = table->ports;
	size_t old_count = table->port_count;
	bool lacks, grown;

	if (!ports)
		return false;
	if (bridge && bridge->ageing_cs)
		table->ageing_cs = bridge->ageing_cs;
	for (size_t i = 0; i < link_count; i++)
		if (table->bridge && links[i].master == table->bridge)
			ports[count++] = links[i].index;
	if (count)
		qsort(ports, count, sizeof(*ports), compare_ports);
	lacks = is_any_new(old, old_count, ports, count, 0);
	grown = is_any_new(ports, count, old, old_count, table->tap_index);
	table->ports = ports;
	table->port_count = count;
	/* One that is there and not in the list is newer than what netlink knows. */
	if (lacks)
		purge(table, has_no_port, now_ns);
	free(old);
	return grown;
}

static bool is_still_ours(const struct station_table *table, const uint8_t *mac, uint64_t now_ns)
{
	struct fdb_key key = fdb_key_mac(mac);
	struct fdb_place place;

	return fdb_lookup(table->network->fdb, &key, now_ns, &place) &&
	       place.owner == &table->network->local;
}

/* There was no room for it here, but a frame may have told the FDB of it. */
static void withdraw_unkept(struct station_table *table, const uint8_t *mac, uint64_t now_ns)
{
	struct fdb_key key = fdb_key_mac(mac);

	if (is_still_ours(table, mac, now_ns))
		withdraw(table, &key, now_ns);
}

static void take_gone(struct station_table *table, const struct netlink_station *station,
                      uint64_t now_ns)
{
	struct slot *slot = find(table, station->mac);
	bool aged = station->silent_cs >= table->ageing_cs;

	if (!slot->port && !aged)
		withdraw_unkept(table, station->mac, now_ns);
	if (!slot->port || slot->port != station->port)
		return;
	if (aged) {
		slot->aged = true;
		return;
	}
	withdraw_slot(table, slot, now_ns);
	remove_slot(table, slot);
}

/* A port's place, or 0: there are too many. */
static uint16_t find_place(struct station_table *table, uint32_t port)
{
	uint16_t free_place = 0;

	for (uint16_t i = 1; i < table->place_count; i++) {
		if (!table->places[i].slots)
			free_place = free_place ? free_place : i;
		else if (table->places[i].port == port)
			return i;
	}
	if (!free_place && table->place_count < FDB_PORT_BRIDGE)
		free_place = table->place_count++;
	table->places[free_place].port = port;
	return free_place;
}

/* Into its slot, a new one perhaps. Of what the FDB has no room for nothing is kept. */
static void offer(struct station_table *table, const struct netlink_station *station,
                  uint64_t now_ns)
{
	uint64_t silent_ns = station->silent_cs * NS_PER_CS;
	struct slot *slot = find(table, station->mac);
	struct fdb_key key = fdb_key_mac(station->mac);
	uint16_t place = slot->place;
	enum fdb_verdict verdict;

	if (!slot->port || table->places[place].port != station->port)
		place = find_place(table, station->port);
	if (!place || (!slot->port && !reserve(table)))
		return;
	verdict = fdb_claim_port(table->network->fdb, &key, place,
	                         silent_ns < now_ns ? now_ns - silent_ns : 0, now_ns);
	table->news |= verdict == FDB_CAME || verdict == FDB_MOVED || verdict == FDB_CONTESTED;
	slot = find(table, station->mac);
	if (!slot->port) {
		if (verdict == FDB_QUOTA)
			return;
		table->used++;
		memcpy(slot->mac, station->mac, ETHER_ADDR_SIZE);
		slot->place = 0;
	}
	if (verdict != FDB_QUOTA && slot->place != place) {
		table->places[slot->place].slots -= slot->place != 0;
		table->places[place].slots++;
		slot->place = place;
	}
	slot->port = station->port;
	slot->dump = table->dump;
	slot->aged = false;
}

void station_table_take(struct station_table *table, const struct netlink_station *station,
                        uint64_t now_ns)
{
	struct slot *slot;

	if (station->bridge != table->bridge || !table->bridge || !station->port)
		return;
	if (station->gone) {
		take_gone(table, station, now_ns);
		return;
	}
	slot = find(table, station->mac);
	if (station->port == table->tap_index) {
		/* It is a peer's now. */
		if (slot->port) {
			withdraw_slot(table, slot, now_ns);
			remove_slot(table, slot);
		} else {
			withdraw_unkept(table, station->mac, now_ns);
		}
		return;
	}
	offer(table, station, now_ns);
}

void station_table_begin_dump(struct station_table *table, bool whole)
{
	table->dump++;
	table->whole = whole;
}

void station_table_end_dump(struct station_table *table, uint64_t now_ns)
{
	if (table->whole)
		purge(table, was_not_dumped, now_ns);
}

void station_table_tick(struct station_table *table, uint64_t now_ns)
{
	uint32_t part = (table->mask + 1) / SWEEP_S + 1;

	for (uint32_t i = 0; i < part; i++) {
		struct slot *slot = &table->slots[table->next++ & table->mask];

		if (slot->port && slot->aged && !is_still_ours(table, slot->mac, now_ns))
			remove_slot(table, slot);
	}
}

uint32_t station_table_bridge(const struct station_table *table)
{
	return table->bridge;
}

uint32_t station_table_count(const struct station_table *table)
{
	return table->used;
}

bool station_table_has_news(struct station_table *table)
{
	bool news = table->news;

	table->news = false;
	return news;
}
