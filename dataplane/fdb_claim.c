/* SPDX-License-Identifier: MIT */
/*
 * To whom a station belongs: claims, and what gives a station up. The rules are in
 * fdb.h; what follows here is in the order in which a claim meets them.
 *
 * A station that is known and was heard of within a second is the case of every flow:
 * one hash, a comparison, and nothing is written. So the age of a station is right to
 * a second.
 */
#include "dataplane/fdb_private.h"

#include <string.h>
#include "dataplane/peer.h"

/* So many repeated initiations without an answer make a peer without a session dead. */
#define DEAD_ATTEMPTS 3

struct claim {
	struct member *by;
	const struct fdb_key *key;
	const uint8_t *mac;
	enum fdb_source source;
	uint16_t port; /* of this host's bridge, if it is known */
	bool waits; /* FDB_CONTESTED: it gets it if the owner has it no more */
	uint64_t now_ns, heard_ns;
	bool *ask;
	struct fdb_question *question;
};

bool fdb_is_station(const struct fdb_key *key)
{
	static const uint8_t zero[15];
	const uint8_t *addr = key->addr;

	switch (key->kind) {
	case FDB_MAC:
		return !(addr[0] & 1) && memcmp(addr, zero, ETHER_ADDR_SIZE) != 0;
	case FDB_IPV4:
		return addr[0] != 0 && addr[0] != 127 && addr[0] < 224;
	case FDB_IPV6:
		/* Nor "::" and "::1". */
		return addr[0] != 0xff && (memcmp(addr, zero, 15) != 0 || addr[15] > 1);
	default:
		return false;
	}
}

/* The peer's lock keeps the key pair from being given up meanwhile. */
static bool has_session(const struct member *member, uint64_t now_ns)
{
	struct peer *peer = member->peer;
	bool has;

	if (!peer)
		return true;
	pthread_mutex_lock(&peer->lock);
	has = peer_send_keypair(peer, now_ns);
	pthread_mutex_unlock(&peer->lock);
	return has;
}

bool fdb_is_dead(const struct fdb *fdb, const struct member *member, uint64_t now_ns)
{
	if (member == fdb->local || !member->peer)
		return false;
	return atomic_load_explicit(&member->peer->timers.attempts, memory_order_relaxed) >=
	               DEAD_ATTEMPTS &&
	       !has_session(member, now_ns);
}

static enum fdb_verdict refuse(struct fdb *fdb)
{
	fdb->counts.refused++;
	return FDB_REFUSED;
}

static bool is_mac(const struct fdb_entry *entry, const uint8_t *mac)
{
	return memcmp(entry->mac, mac, ETHER_ADDR_SIZE) == 0;
}

/* ---- what becomes of an entry ---- */

/* After a contest: others are not heard for a while, and longer the next time. */
static void hold(struct fdb_entry *entry, uint64_t now_ns)
{
	uint64_t hold_ns;

	if (entry->hold_until_ns + FDB_HOLD_MAX_NS < now_ns)
		entry->holds = 0;
	hold_ns = FDB_SECOND_NS << entry->holds;
	if (hold_ns >= FDB_HOLD_MAX_NS)
		hold_ns = FDB_HOLD_MAX_NS;
	else
		entry->holds++;
	entry->hold_until_ns = now_ns + hold_ns;
}

/* It announced something, and does not get it. */
static void note_lack(struct fdb *fdb, struct member *member)
{
	if (!member->news.lacks)
		member->news.released = fdb_released(fdb);
	member->news.lacks = true;
	fdb->lacking = true;
}

void fdb_keep(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns)
{
	if (entry->claimant)
		hold(entry, now_ns);
	if (entry->claimant && entry->claim_source == FDB_ANNOUNCED)
		note_lack(fdb, entry->claimant);
	fdb_end_asking(fdb, entry, true);
	entry->heard_ns = now_ns;
	fdb_enlist(fdb, entry, FDB_LIST_AGE, now_ns);
}

bool fdb_give(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns)
{
	struct member *to = entry->claimant;
	uint16_t port = entry->claim_port;

	if (!to)
		return false;
	if (!fdb_is_mac(entry)) {
		struct fdb_key key = fdb_key_mac(entry->claim_mac);
		const struct fdb_entry *station = fdb_find(fdb, &key);

		if (!station || station->owner != to)
			return false;
		port = station->port;
	}
	if ((to != entry->owner || port != entry->port) &&
	    !fdb_has_room(fdb, to, entry->key.kind, port, false))
		return false;
	fdb_move(fdb, entry, to, entry->claim_mac, (enum fdb_source)entry->claim_source, now_ns);
	return true;
}

void fdb_release(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns)
{
	if (!fdb_give(fdb, entry, now_ns))
		fdb_remove(fdb, entry, now_ns);
}

/* ---- claims ---- */

static enum fdb_verdict create(struct fdb *fdb, const struct claim *claim,
                               const struct fdb_key *key)
{
	struct fdb_entry *entry = NULL;

	if (!fdb_is_station(key))
		return refuse(fdb);
	if (fdb_has_room(fdb, claim->by, key->kind, claim->port, true))
		entry = fdb_create(fdb, key, claim->mac, claim->by, claim->source, claim->now_ns);
	if (!entry) {
		fdb->counts.quota++;
		return FDB_QUOTA;
	}
	entry->heard_ns = claim->heard_ns;
	/* It had room for one more: so it has for this one, which is counted elsewhere now. */
	if (fdb_is_mac(entry) && claim->port)
		fdb_count_at(fdb, entry, claim->port);
	return FDB_CAME;
}

static bool is_fresh(const struct fdb_entry *entry, const struct member *by, const uint8_t *mac,
                     enum fdb_source source, uint64_t now_ns)
{
	return entry->owner == by && is_mac(entry, mac) && !fdb_is_asked(entry) &&
	       now_ns < entry->heard_ns + FDB_SECOND_NS && source <= entry->source &&
	       (source == FDB_LEARNED || entry->generation == by->generation);
}

/* The bridge has it: so it stays. But silence is no answer to a question. */
static enum fdb_verdict renew_port(struct fdb *fdb, struct fdb_entry *entry,
                                   const struct claim *claim)
{
	uint64_t heard_ns = entry->heard_ns;

	if (claim->heard_ns > heard_ns)
		heard_ns = claim->heard_ns;
	if (fdb_is_asked(entry) && claim->now_ns < heard_ns + FDB_RECENT_NS)
		fdb_keep(fdb, entry, claim->now_ns);
	else if (entry->list == FDB_LIST_AGE)
		fdb_enlist(fdb, entry, FDB_LIST_AGE, claim->now_ns);
	entry->heard_ns = heard_ns;
	if (fdb_set_port(fdb, entry, claim->port))
		return FDB_OK;
	fdb->counts.quota++;
	return FDB_QUOTA;
}

/* Its owner was heard of with it. */
static void renew(struct fdb *fdb, struct fdb_entry *entry, const struct claim *claim)
{
	if (claim->port && fdb_is_mac(entry))
		(void)fdb_set_port(fdb, entry, claim->port);
	if (claim->source > (enum fdb_source)entry->source)
		entry->source = (uint8_t)claim->source;
	if (claim->source == FDB_ANNOUNCED)
		entry->generation = entry->owner->generation;
	if (entry->list == FDB_LIST_NONE || fdb_is_asked(entry))
		entry->heard_ns = claim->now_ns;
	if (entry->list == FDB_LIST_AGE || (fdb_is_asked(entry) && entry->owner == fdb->local))
		fdb_keep(fdb, entry, claim->now_ns);
}

static bool has_moved_too_often(const struct fdb_entry *entry, uint64_t now_ns)
{
	return entry->recent_moves >= FDB_MOVES_MAX && now_ns < entry->moves_from_ns + FDB_MOVES_NS;
}

/* The limits of who begins a contest, and of who has to answer. */
static bool may_contest(struct fdb *fdb, const struct claim *claim, struct member *owner)
{
	struct bucket *port = &fdb->ports[claim->port].begun;

	if (claim->by == fdb->local &&
	    !bucket_take(port, FDB_BEGIN_COST_NS * FDB_BEGIN_PORTS,
	                 FDB_BEGIN_BURST / FDB_BEGIN_PORTS, claim->now_ns))
		return false;
	return bucket_take(&claim->by->begun, FDB_BEGIN_COST_NS, FDB_BEGIN_BURST, claim->now_ns) &&
	       bucket_take(&owner->asked, FDB_ASKED_COST_NS, FDB_ASKED_BURST, claim->now_ns);
}

/* A session that is new has no hello yet, and without it no question goes to its peer. */
static bool has_hello(const struct member *member, uint64_t now_ns)
{
	const struct hello *hello;

	if (!member->peer)
		return true;
	hello = &member->peer->hello;
	return atomic_load_explicit(&hello->version, memory_order_relaxed) ||
	       (atomic_load_explicit(&hello->carried, memory_order_relaxed) &&
	        now_ns < atomic_load_explicit(&hello->settled_ns, memory_order_relaxed));
}

/* Its answer to the first two questions comes in time. */
static bool is_near(const struct member *member)
{
	return !member->peer ||
	       stats_read(&member->peer->round_trip_ns) <= FDB_CHECK_NS - FDB_CHECK_NS / FDB_CHECKS;
}

static void begin_contest(struct fdb *fdb, struct fdb_entry *entry, const struct claim *claim)
{
	bool hears = has_session(entry->owner, claim->now_ns) &&
	             has_hello(entry->owner, claim->now_ns) && is_near(entry->owner);

	fdb->counts.contests++;
	entry->claimant = claim->by;
	entry->claim_source = (uint8_t)claim->source;
	entry->claim_port = claim->port;
	memcpy(entry->claim_mac, claim->mac, ETHER_ADDR_SIZE);
	fdb_begin_asking(fdb, entry, hears ? FDB_LIST_ASK : FDB_LIST_ASK_SLOW, claim->now_ns,
	                 claim->question);
	*claim->ask = true;
}

/* It is another's, or (an address of this host) at another MAC. */
static enum fdb_verdict contest(struct fdb *fdb, struct fdb_entry *entry, struct claim *claim)
{
	uint64_t now_ns = claim->now_ns;

	if (entry->source == FDB_STATIC || (fdb_is_mac(entry) && entry->owner == fdb->local))
		return refuse(fdb);
	if (entry->claimant) {
		claim->waits = entry->claimant == claim->by;
		return FDB_CONTESTED;
	}
	if (has_moved_too_often(entry, now_ns)) {
		fdb->counts.refused++;
		return FDB_BUSY;
	}
	if ((claim->by != entry->owner || claim->port != entry->port) &&
	    !fdb_has_room(fdb, claim->by, entry->key.kind, claim->port, false)) {
		fdb->counts.quota++;
		return FDB_QUOTA;
	}
	if (fdb_is_dead(fdb, entry->owner, now_ns)) {
		entry->claim_port = claim->port;
		fdb_move(fdb, entry, claim->by, claim->mac, claim->source, now_ns);
		return FDB_MOVED;
	}
	if (now_ns < entry->hold_until_ns || !may_contest(fdb, claim, entry->owner))
		return refuse(fdb);
	begin_contest(fdb, entry, claim);
	claim->waits = true;
	return FDB_CONTESTED;
}

/* An address of the claimant's at another of its MACs. */
static enum fdb_verdict change_mac(struct fdb *fdb, struct fdb_entry *entry, struct claim *claim)
{
	if (entry->source == FDB_STATIC || claim->by == fdb->local)
		return contest(fdb, entry, claim);
	if (entry->claimant)
		return FDB_CONTESTED;
	if (has_moved_too_often(entry, claim->now_ns)) {
		fdb->counts.refused++;
		return FDB_BUSY;
	}
	fdb_move(fdb, entry, claim->by, claim->mac,
	         claim->source > (enum fdb_source)entry->source ? claim->source
	                                                        : (enum fdb_source)entry->source,
	         claim->now_ns);
	return FDB_MOVED;
}

/* What is there under that key; what is nobody's any more goes first. */
static struct fdb_entry *find(struct fdb *fdb, const struct claim *claim, const struct fdb_key *key)
{
	struct fdb_entry *entry = fdb_find(fdb, key);

	if (!entry || entry->owner == claim->by || !fdb_is_over(fdb, entry, claim->now_ns))
		return entry;
	fdb->counts.aged++;
	fdb_remove(fdb, entry, claim->now_ns);
	return NULL;
}

/* The MAC of an address that is claimed: it has to be the claimant's. */
static enum fdb_verdict claim_station(struct fdb *fdb, struct claim *claim)
{
	struct fdb_key key = fdb_key_mac(claim->mac);
	struct fdb_entry *station = find(fdb, claim, &key);

	if (!station)
		return create(fdb, claim, &key);
	if (station->owner == claim->by) {
		renew(fdb, station, claim);
		claim->port = station->port;
		return FDB_OK;
	}
	return station->claimant == claim->by ? FDB_CONTESTED : refuse(fdb);
}

static enum fdb_verdict judge(struct fdb *fdb, struct claim *claim)
{
	struct fdb_entry *entry;

	if (claim->by->gone || !fdb_is_station(claim->key))
		return refuse(fdb);
	if (claim->key->kind != FDB_MAC) {
		enum fdb_verdict verdict = claim_station(fdb, claim);

		if (verdict != FDB_OK && verdict != FDB_CAME)
			return verdict;
	}
	entry = find(fdb, claim, claim->key);
	if (!entry)
		return create(fdb, claim, claim->key);
	if (entry->owner != claim->by)
		return contest(fdb, entry, claim);
	if (!is_mac(entry, claim->mac))
		return change_mac(fdb, entry, claim);
	if (fdb_is_mac(entry) && claim->port && claim->source == FDB_LEARNED)
		return renew_port(fdb, entry, claim);
	renew(fdb, entry, claim);
	return FDB_OK;
}

enum fdb_verdict fdb_claim(struct fdb *fdb, struct member *by, const struct fdb_key *key,
                           const uint8_t mac[ETHER_ADDR_SIZE], enum fdb_source source,
                           uint64_t now_ns, bool *ask, struct fdb_question *question)
{
	struct claim claim = {
		.by = by,
		.key = key,
		.now_ns = now_ns,
		.heard_ns = now_ns,
		.ask = ask,
		.question = question,
	};
	enum fdb_verdict verdict = FDB_OK;
	const struct fdb_entry *entry;

	*ask = false;
	claim.mac = key->kind == FDB_MAC ? key->addr : mac;
	claim.source = source == FDB_LEARNED ? FDB_LEARNED : FDB_ANNOUNCED;
	/* Nothing else of this host is announced. */
	if (by == fdb->local && claim.source == FDB_ANNOUNCED)
		claim.port = FDB_PORT_BRIDGE;
	fdb_lock(fdb);
	entry = fdb_find(fdb, key);
	if (!entry || !is_fresh(entry, by, claim.mac, claim.source, now_ns)) {
		verdict = judge(fdb, &claim);
		/* A contest that it began is not lost yet. */
		if (claim.source == FDB_ANNOUNCED && verdict > FDB_MOVED && !claim.waits)
			note_lack(fdb, by);
		fdb_schedule(fdb);
	}
	fdb_unlock(fdb);
	return verdict;
}

enum fdb_verdict fdb_claim_port(struct fdb *fdb, const struct fdb_key *key, uint32_t port,
                                uint64_t heard_ns, uint64_t now_ns)
{
	struct fdb_question question;
	bool ask;
	struct claim claim = {
		.by = fdb->local,
		.key = key,
		.mac = key->addr,
		.source = FDB_LEARNED,
		.port = (uint16_t)port,
		.now_ns = now_ns,
		.heard_ns = heard_ns,
		.ask = &ask,
		.question = &question,
	};
	enum fdb_verdict verdict;

	fdb_lock(fdb);
	verdict = judge(fdb, &claim);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
	return verdict;
}

/* ---- the owner's word ---- */

void fdb_withdraw(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns)
{
	struct fdb_entry *entry;

	fdb_lock(fdb);
	entry = fdb_find(fdb, key);
	if (entry && entry->claimant == by)
		fdb_drop_claim(fdb, entry, now_ns);
	if (entry && entry->owner == by && entry->source != FDB_STATIC) {
		fdb->counts.withdrawn++;
		fdb_release(fdb, entry, now_ns);
	}
	fdb_schedule(fdb);
	fdb_unlock(fdb);
}

void fdb_confirm(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns)
{
	struct fdb_entry *entry;

	fdb_lock(fdb);
	entry = fdb_find(fdb, key);
	if (entry && entry->owner == by && fdb_is_asked(entry))
		fdb_keep(fdb, entry, now_ns);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
}

static void forget(struct fdb *fdb, struct member *member, uint64_t now_ns)
{
	fdb_drop_claims(fdb, member, now_ns);
	while (member->first) {
		fdb->counts.withdrawn++;
		fdb_release(fdb, fdb_at(fdb, member->first), now_ns);
	}
}

void fdb_forget(struct fdb *fdb, struct member *member, uint64_t now_ns)
{
	fdb_lock(fdb);
	forget(fdb, member, now_ns);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
}

/* An address stands before its MAC in its owner's chain: so what goes along is never the next. */
static void remove_statics(struct fdb *fdb, const struct member *member, uint64_t now_ns)
{
	uint32_t next;

	/* Most members have none, and there may be thousands of both. */
	for (uint32_t number = fdb->statics; number && member->statics; number = next) {
		struct fdb_entry *entry = fdb_at(fdb, number);

		next = entry->links[FDB_LINK_OWNER].next;
		if (entry->owner == member)
			fdb_remove(fdb, entry, now_ns);
	}
}

void fdb_remove_member(struct fdb *fdb, struct member *member, uint64_t now_ns)
{
	fdb_lock(fdb);
	member->gone = true;
	forget(fdb, member, now_ns);
	remove_statics(fdb, member, now_ns);
	fdb_forget_asker(fdb, member);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
}

/* ---- whole replacements: what is of an earlier generation goes ---- */

void fdb_begin_whole(struct fdb *fdb, struct member *member)
{
	fdb_lock(fdb);
	member->generation++;
	fdb_unlock(fdb);
}

void fdb_end_whole(struct fdb *fdb, struct member *member, uint64_t now_ns)
{
	uint32_t next;

	fdb_lock(fdb);
	/* As above. */
	for (uint32_t number = member->first; number; number = next) {
		struct fdb_entry *entry = fdb_at(fdb, number);

		next = entry->links[FDB_LINK_OWNER].next;
		if (entry->source != FDB_ANNOUNCED || entry->generation == member->generation)
			continue;
		fdb->counts.withdrawn++;
		fdb_release(fdb, entry, now_ns);
	}
	fdb_schedule(fdb);
	fdb_unlock(fdb);
}
