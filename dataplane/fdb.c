/* SPDX-License-Identifier: MIT */
/*
 * The table: entries in chains of a keyed hash, and what becomes of one when it is
 * made, moved, removed. Whether that may happen is decided in fdb_claim.c.
 */
#include "dataplane/fdb_private.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Gone through with the lock given back in between, so that no worker waits for all of it. */
#define LIST_CHUNK 256

struct fdb *fdb_open(struct member *local)
{
	struct fdb *fdb = mmap(NULL, sizeof(*fdb), PROT_READ | PROT_WRITE,
	                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (fdb == MAP_FAILED)
		return NULL;
	pthread_mutex_init(&fdb->lock, NULL);
	fdb->local = local;
	fdb->quota_macs = FDB_MACS_MAX;
	atomic_init(&fdb->next_ns, UINT64_MAX);
	secret_random(fdb->key, sizeof(fdb->key));
	return fdb;
}

void fdb_close(struct fdb *fdb)
{
	pthread_mutex_destroy(&fdb->lock);
	munmap(fdb, sizeof(*fdb));
}

void fdb_lock(struct fdb *fdb)
{
	pthread_mutex_lock(&fdb->lock);
}

void fdb_unlock(struct fdb *fdb)
{
	pthread_mutex_unlock(&fdb->lock);
}

void fdb_set_quota(struct fdb *fdb, uint32_t macs)
{
	fdb_lock(fdb);
	fdb->quota_macs = macs;
	fdb_unlock(fdb);
}

/* ---- chains ---- */

static struct fdb_link *link_of(struct fdb *fdb, uint32_t number, enum fdb_link_kind kind)
{
	return &fdb_at(fdb, number)->links[kind];
}

void fdb_chain_add(struct fdb *fdb, uint32_t *first, uint32_t *last, enum fdb_link_kind kind,
                   struct fdb_entry *entry)
{
	uint32_t number = fdb_number(fdb, entry);

	if (!last || !*first) {
		entry->links[kind] = (struct fdb_link){ .next = *first };
		if (*first)
			link_of(fdb, *first, kind)->previous = number;
		*first = number;
	} else {
		entry->links[kind] = (struct fdb_link){ .previous = *last };
		link_of(fdb, *last, kind)->next = number;
	}
	if (last)
		*last = number;
}

void fdb_chain_remove(struct fdb *fdb, uint32_t *first, uint32_t *last, enum fdb_link_kind kind,
                      struct fdb_entry *entry)
{
	const struct fdb_link link = entry->links[kind];

	if (link.previous)
		link_of(fdb, link.previous, kind)->next = link.next;
	else
		*first = link.next;
	if (link.next)
		link_of(fdb, link.next, kind)->previous = link.previous;
	else if (last)
		*last = link.previous;
}

/* A third of the time, so that the last question has it as well. */
static const uint64_t wait_ns[FDB_LISTS] = {
	[FDB_LIST_AGE] = FDB_AGE_NS,
	[FDB_LIST_ASK] = FDB_CHECK_NS / FDB_CHECKS,
	[FDB_LIST_ASK_SLOW] = FDB_CHECK_SLOW_NS / FDB_CHECKS,
};

void fdb_enlist(struct fdb *fdb, struct fdb_entry *entry, enum fdb_list_kind list, uint64_t now_ns)
{
	struct fdb_chain *chain = &fdb->due[entry->list];

	if (entry->list != FDB_LIST_NONE)
		fdb_chain_remove(fdb, &chain->first, &chain->last, FDB_LINK_DUE, entry);
	entry->list = (uint8_t)list;
	entry->due_ns = now_ns + wait_ns[list];
	chain = &fdb->due[list];
	if (list != FDB_LIST_NONE)
		fdb_chain_add(fdb, &chain->first, &chain->last, FDB_LINK_DUE, entry);
}

void fdb_schedule(struct fdb *fdb)
{
	uint64_t next_ns = fdb->answers.first || fdb->wake ? 0 : UINT64_MAX;

	for (int list = FDB_LIST_AGE; list < FDB_LISTS; list++) {
		const struct fdb_entry *entry = fdb_at(fdb, fdb->due[list].first);

		if (entry && entry->due_ns < next_ns)
			next_ns = entry->due_ns;
	}
	atomic_store_explicit(&fdb->next_ns, next_ns, memory_order_release);
}

uint64_t fdb_next(struct fdb *fdb)
{
	return atomic_load_explicit(&fdb->next_ns, memory_order_acquire);
}

uint64_t fdb_released(struct fdb *fdb)
{
	return atomic_load_explicit(&fdb->released, memory_order_relaxed);
}

/* ---- entries ---- */

static uint32_t *bucket_of(struct fdb *fdb, const struct fdb_key *key)
{
	return &fdb->buckets[secret_hash(fdb->key, key, sizeof(*key)) & (FDB_BUCKETS - 1)];
}

struct fdb_entry *fdb_find(struct fdb *fdb, const struct fdb_key *key)
{
	struct fdb_entry *entry = fdb_at(fdb, *bucket_of(fdb, key));

	while (entry && memcmp(&entry->key, key, sizeof(*key)) != 0)
		entry = fdb_at(fdb, entry->next);
	return entry;
}

bool fdb_is_over(const struct fdb *fdb, const struct fdb_entry *entry, uint64_t now_ns)
{
	return entry->list == FDB_LIST_AGE && entry->due_ns <= now_ns &&
	       entry->source == FDB_LEARNED && entry->owner != fdb->local;
}

/* How many more @owner may have. */
static uint64_t room(const struct fdb *fdb, const struct member *owner, uint8_t kind)
{
	uint64_t quota = fdb->quota_macs, has = owner->macs;

	if (kind != FDB_MAC) {
		quota *= FDB_ADDRS_MAX / FDB_MACS_MAX;
		has = owner->addrs;
	}
	return has < quota ? quota - has : 0;
}

/*
 * May that port have @more of them? It may have a third of what is free then; and one,
 * as long as anything is.
 */
static bool port_has_room(const struct fdb *fdb, uint16_t port, uint8_t kind, uint32_t more)
{
	const struct fdb_port *has = &fdb->ports[port];

	return FDB_PORT_PART * ((kind == FDB_MAC ? has->macs : has->addrs) + (uint64_t)more - 1) <
	       room(fdb, fdb->local, kind);
}

bool fdb_has_room(const struct fdb *fdb, const struct member *owner, uint8_t kind, uint16_t port,
                  bool new)
{
	if (owner == fdb->local)
		return port_has_room(fdb, port, kind, 1);
	if (new && fdb->counts.entries >= FDB_PEERS_ENTRIES)
		return false;
	return room(fdb, owner, kind) > 0;
}

/* The chain of the owner's stations that an entry belongs to, and their number. */
static uint32_t *owner_chain(struct fdb *fdb, const struct fdb_entry *entry)
{
	return entry->source == FDB_STATIC ? &fdb->statics : &entry->owner->first;
}

/* Static ones count apart: no limit is theirs. */
static void count(struct fdb *fdb, const struct fdb_entry *entry, uint32_t more)
{
	struct fdb_port *port = &fdb->ports[entry->port];
	bool mac = fdb_is_mac(entry);

	if (entry->source == FDB_STATIC) {
		entry->owner->statics += more;
		return;
	}
	*(mac ? &entry->owner->macs : &entry->owner->addrs) += more;
	if (entry->owner == fdb->local)
		*(mac ? &port->macs : &port->addrs) += more;
}

#define ONE_MORE 1U
#define ONE_LESS UINT32_MAX

void fdb_count_at(struct fdb *fdb, struct fdb_entry *entry, uint16_t port)
{
	count(fdb, entry, ONE_LESS);
	entry->port = port;
	count(fdb, entry, ONE_MORE);
}

bool fdb_set_port(struct fdb *fdb, struct fdb_entry *station, uint16_t port)
{
	struct fdb_entry *address;
	uint32_t addrs = 0, number;

	if (station->port == port)
		return true;
	for (number = station->addresses; number; number = address->links[FDB_LINK_STATION].next) {
		address = fdb_at(fdb, number);
		addrs += address->source != FDB_STATIC;
	}
	if (station->source != FDB_STATIC && !port_has_room(fdb, port, FDB_MAC, 1))
		return false;
	if (addrs && !port_has_room(fdb, port, FDB_IPV4, addrs))
		return false;
	fdb_count_at(fdb, station, port);
	for (number = station->addresses; number; number = address->links[FDB_LINK_STATION].next) {
		address = fdb_at(fdb, number);
		fdb_count_at(fdb, address, port);
	}
	return true;
}

static void attach(struct fdb *fdb, struct fdb_entry *entry, struct member *owner,
                   enum fdb_source source, uint64_t now_ns)
{
	entry->owner = owner;
	entry->source = (uint8_t)source;
	entry->generation = owner->generation;
	entry->heard_ns = now_ns;
	fdb_chain_add(fdb, owner_chain(fdb, entry), NULL, FDB_LINK_OWNER, entry);
	if (!fdb_is_mac(entry)) {
		struct fdb_key key = fdb_key_mac(entry->mac);
		struct fdb_entry *station = fdb_find(fdb, &key);

		entry->station = fdb_number(fdb, station);
		entry->port = station->port;
		fdb_chain_add(fdb, &station->addresses, NULL, FDB_LINK_STATION, entry);
	}
	count(fdb, entry, ONE_MORE);
	fdb_enlist(fdb, entry, source == FDB_STATIC ? FDB_LIST_NONE : FDB_LIST_AGE, now_ns);
	if (owner == fdb->local)
		fdb_log_came(fdb, entry);
}

static void detach(struct fdb *fdb, struct fdb_entry *entry, bool silent, uint64_t now_ns)
{
	atomic_fetch_add_explicit(&fdb->released, 1, memory_order_relaxed);
	fdb->wake |= fdb->lacking;
	fdb->lacking = false;
	fdb_end_asking(fdb, entry, false);
	fdb_enlist(fdb, entry, FDB_LIST_NONE, now_ns);
	if (entry->owner == fdb->local)
		fdb_log_gone(fdb, entry, silent, now_ns);
	if (!fdb_is_mac(entry))
		fdb_chain_remove(fdb, &fdb_at(fdb, entry->station)->addresses, NULL,
		                 FDB_LINK_STATION, entry);
	count(fdb, entry, ONE_LESS);
	fdb_chain_remove(fdb, owner_chain(fdb, entry), NULL, FDB_LINK_OWNER, entry);
	entry->owner = NULL;
}

struct fdb_entry *fdb_create(struct fdb *fdb, const struct fdb_key *key, const uint8_t *mac,
                             struct member *owner, enum fdb_source source, uint64_t now_ns)
{
	struct fdb_entry *entry;
	uint32_t *bucket;

	if (fdb->free) {
		entry = fdb_at(fdb, fdb->free);
		fdb->free = entry->next;
	} else if (fdb->used < FDB_ENTRIES) {
		entry = &fdb->entries[fdb->used++];
	} else {
		return NULL;
	}
	*entry = (struct fdb_entry){ .key = *key };
	memcpy(entry->mac, mac, ETHER_ADDR_SIZE);
	bucket = bucket_of(fdb, key);
	entry->next = *bucket;
	*bucket = fdb_number(fdb, entry);
	attach(fdb, entry, owner, source, now_ns);
	fdb->counts.entries++;
	fdb->counts.came++;
	return entry;
}

/* Out of the table; it is nobody's, and a MAC has no addresses. */
static void discard(struct fdb *fdb, struct fdb_entry *entry)
{
	uint32_t *link = bucket_of(fdb, &entry->key);
	uint32_t number = fdb_number(fdb, entry);

	while (*link != number)
		link = &fdb_at(fdb, *link)->next;
	*link = entry->next;
	entry->next = fdb->free;
	fdb->free = number;
	fdb->counts.entries--;
}

void fdb_remove(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns)
{
	bool logged = entry->owner == fdb->local;

	detach(fdb, entry, false, now_ns);
	while (fdb_is_mac(entry) && entry->addresses) {
		struct fdb_entry *address = fdb_at(fdb, entry->addresses);

		if (fdb_give(fdb, address, now_ns))
			continue;
		detach(fdb, address, logged, now_ns);
		discard(fdb, address);
	}
	discard(fdb, entry);
}

static void count_move(struct fdb_entry *entry, uint64_t now_ns)
{
	if (!entry->recent_moves || entry->moves_from_ns + FDB_MOVES_NS <= now_ns) {
		entry->recent_moves = 0;
		entry->moves_from_ns = now_ns;
	}
	if (entry->recent_moves < FDB_MOVES_MAX)
		entry->recent_moves++;
	entry->moves++;
	entry->holds = 0;
	entry->hold_until_ns = 0;
}

/*
 * What a MAC takes with it, as far as its new owner may have so many. It did not say
 * that it has them: if it never does, they go by age.
 */
static void move_addresses(struct fdb *fdb, struct fdb_entry *station, uint64_t now_ns)
{
	uint32_t next;

	for (uint32_t number = station->addresses; number; number = next) {
		struct fdb_entry *address = fdb_at(fdb, number);

		next = address->links[FDB_LINK_STATION].next;
		detach(fdb, address, true, now_ns);
		if (fdb_has_room(fdb, station->owner, address->key.kind, station->port, false)) {
			attach(fdb, address, station->owner, FDB_LEARNED, now_ns);
			count_move(address, now_ns);
		} else {
			discard(fdb, address);
		}
	}
}

void fdb_move(struct fdb *fdb, struct fdb_entry *entry, struct member *to, const uint8_t *mac,
              enum fdb_source source, uint64_t now_ns)
{
	/* Within this host it is a change, not a loss and a find. */
	bool silent = entry->owner == fdb->local && to == fdb->local;
	uint8_t new_mac[ETHER_ADDR_SIZE]; /* @mac may lie in the entry */

	memcpy(new_mac, mac, ETHER_ADDR_SIZE);
	detach(fdb, entry, silent, now_ns);
	memcpy(entry->mac, new_mac, ETHER_ADDR_SIZE);
	entry->port = to == fdb->local ? entry->claim_port : 0;
	entry->claim_port = 0;
	attach(fdb, entry, to, source, now_ns);
	count_move(entry, now_ns);
	fdb->counts.moved++;
	if (fdb_is_mac(entry))
		move_addresses(fdb, entry, now_ns);
}

bool fdb_lookup(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns,
                struct fdb_place *place)
{
	const struct fdb_entry *entry;
	bool found;

	fdb_lock(fdb);
	entry = fdb_find(fdb, key);
	found = entry && !fdb_is_over(fdb, entry, now_ns);
	if (found) {
		place->owner = entry->owner;
		place->source = (enum fdb_source)entry->source;
		place->heard_ns = entry->heard_ns;
		memcpy(place->mac, entry->mac, ETHER_ADDR_SIZE);
	}
	fdb_unlock(fdb);
	return found;
}

/* ---- the control thread's ---- */

static bool is_owned_mac(struct fdb *fdb, const uint8_t *mac, const struct member *owner)
{
	struct fdb_key key = fdb_key_mac(mac);
	const struct fdb_entry *station = fdb_find(fdb, &key);

	return station && station->source == FDB_STATIC && station->owner == owner;
}

static int add_static(struct fdb *fdb, struct member *owner, const struct fdb_key *key,
                      const uint8_t *mac, uint64_t now_ns)
{
	struct fdb_entry *entry = fdb_find(fdb, key);

	if (!fdb_is_station(key) || owner->gone)
		return -EINVAL;
	if (key->kind != FDB_MAC && !is_owned_mac(fdb, mac, owner))
		return -EINVAL;
	if (!entry)
		return fdb_create(fdb, key, mac, owner, FDB_STATIC, now_ns) ? 0 : -ENOSPC;
	if (entry->source == FDB_STATIC)
		return entry->owner == owner && memcmp(entry->mac, mac, ETHER_ADDR_SIZE) == 0
		               ? 0
		               : -EEXIST;
	if (entry->owner != owner || memcmp(entry->mac, mac, ETHER_ADDR_SIZE) != 0)
		fdb_move(fdb, entry, owner, mac, FDB_LEARNED, now_ns);
	fdb_end_asking(fdb, entry, true);
	fdb_enlist(fdb, entry, FDB_LIST_NONE, now_ns);
	count(fdb, entry, ONE_LESS);
	fdb_chain_remove(fdb, owner_chain(fdb, entry), NULL, FDB_LINK_OWNER, entry);
	entry->source = FDB_STATIC;
	fdb_chain_add(fdb, owner_chain(fdb, entry), NULL, FDB_LINK_OWNER, entry);
	count(fdb, entry, ONE_MORE);
	return 0;
}

int fdb_add_static(struct fdb *fdb, struct member *owner, const struct fdb_key *key,
                   const uint8_t mac[ETHER_ADDR_SIZE], uint64_t now_ns)
{
	int err;

	fdb_lock(fdb);
	err = add_static(fdb, owner, key, key->kind == FDB_MAC ? key->addr : mac, now_ns);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
	return err;
}

int fdb_remove_static(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns)
{
	struct fdb_entry *entry;
	bool found;

	fdb_lock(fdb);
	entry = fdb_find(fdb, key);
	found = entry && entry->source == FDB_STATIC;
	if (found) {
		fdb->counts.withdrawn++;
		fdb_remove(fdb, entry, now_ns);
	}
	fdb_schedule(fdb);
	fdb_unlock(fdb);
	return found ? 0 : -ENOENT;
}

static void copy_info(const struct fdb_entry *entry, struct fdb_info *info)
{
	*info = (struct fdb_info){
		.key = entry->key,
		.place = { .owner = entry->owner, .source = (enum fdb_source)entry->source },
		.heard_ns = entry->heard_ns,
		.moves = entry->moves,
		.contested = entry->claimant,
	};
	memcpy(info->place.mac, entry->mac, ETHER_ADDR_SIZE);
}

uint32_t fdb_list(struct fdb *fdb, struct fdb_info *out, uint32_t max)
{
	uint32_t n = 0, used = 1, count = 0;

	for (uint32_t from = 0; from < used; from += LIST_CHUNK) {
		fdb_lock(fdb);
		used = fdb->used;
		count = fdb->counts.entries;
		for (uint32_t i = from; i < used && i < from + LIST_CHUNK && n < max; i++)
			if (fdb->entries[i].owner)
				copy_info(&fdb->entries[i], &out[n++]);
		fdb_unlock(fdb);
	}
	return n < max || count < n ? n : count;
}

static bool is_allowed(const struct fdb *fdb, const struct fdb_entry *entry,
                       bool (*may)(const struct fdb_info *info, void *arg), void *arg)
{
	struct fdb_info info;

	if (!entry->owner || entry->owner == fdb->local || entry->source == FDB_STATIC)
		return true;
	copy_info(entry, &info);
	return may(&info, arg);
}

void fdb_review(struct fdb *fdb, bool (*may)(const struct fdb_info *info, void *arg), void *arg,
                uint64_t now_ns)
{
	uint32_t used = 1;

	for (uint32_t from = 0; from < used; from += LIST_CHUNK) {
		fdb_lock(fdb);
		used = fdb->used;
		for (uint32_t i = from; i < used && i < from + LIST_CHUNK; i++) {
			/* Who waits for it may get it, and may not have it either. */
			while (!is_allowed(fdb, &fdb->entries[i], may, arg)) {
				fdb->counts.withdrawn++;
				fdb_release(fdb, &fdb->entries[i], now_ns);
			}
		}
		fdb_schedule(fdb);
		fdb_unlock(fdb);
	}
}

void fdb_get_counts(struct fdb *fdb, struct fdb_counts *counts)
{
	fdb_lock(fdb);
	*counts = fdb->counts;
	fdb_unlock(fdb);
}
