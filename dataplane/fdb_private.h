/* SPDX-License-Identifier: MIT */
/*
 * What the files of the forwarding database share: fdb.c has the table, fdb_claim.c
 * says to whom a station belongs, fdb_ask.c asks owners and does what time brings
 * about, fdb_log.c keeps what this host announces. All functions here are called with
 * the lock held.
 *
 * Entries are named by their number, from 1; 0: none. An entry stands in a bucket and
 * in these chains:
 *
 *	DUE      what it waits for, in the order of time: to be too old (AGE), or to be
 *	         asked again or judged (ASK, ASK_SLOW). Each list's entries wait
 *	         equally long, so the first is the next. Static ones wait for nothing.
 *	OWNER    the stations of its owner; static ones in a chain of their own
 *	STATION  an address: those of its MAC
 *	LOG      a station of this host: in the order of its last change
 *
 * An address's owner is always its MAC's.
 */
#ifndef DATAPLANE_FDB_PRIVATE_H
#define DATAPLANE_FDB_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include "crypto/secret.h"
#include "dataplane/fdb.h"
#include "dataplane/member.h"

#define FDB_BUCKETS FDB_ENTRIES
_Static_assert((FDB_BUCKETS & (FDB_BUCKETS - 1)) == 0, "the hash's low bits choose the bucket");
_Static_assert(sizeof(struct fdb_key) == 21, "hashed and compared as bytes: no padding");

enum fdb_link_kind { FDB_LINK_DUE, FDB_LINK_OWNER, FDB_LINK_STATION, FDB_LINK_LOG, FDB_LINKS };
enum fdb_list_kind { FDB_LIST_NONE, FDB_LIST_AGE, FDB_LIST_ASK, FDB_LIST_ASK_SLOW, FDB_LISTS };

struct fdb_link {
	uint32_t previous, next;
};

struct fdb_chain {
	uint32_t first, last;
};

struct fdb_entry {
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	uint8_t source; /* enum fdb_source */
	uint8_t list; /* enum fdb_list_kind */
	uint8_t asked; /* questions about it that went, in ASK and ASK_SLOW */
	uint8_t recent_moves; /* since @moves_from_ns */
	uint8_t holds; /* contests that it outlived in a row */
	uint8_t claim_source;
	uint8_t claim_mac[ETHER_ADDR_SIZE];
	uint16_t port; /* of this host's bridge; 0: not known, or not of this host */
	uint16_t claim_port; /* a MAC: the same of the claimant's, if that is this host */
	uint32_t next; /* in its bucket, or free */
	struct member *owner;
	struct member *claimant; /* while contested */
	uint64_t heard_ns;
	uint64_t due_ns;
	uint64_t moves_from_ns;
	uint64_t hold_until_ns;
	uint64_t sequence; /* this host's: of its last change */
	uint32_t moves;
	uint32_t generation; /* the owner's, when it was announced last */
	uint32_t addresses; /* a MAC: the first of its addresses */
	uint32_t station; /* an address: its MAC's entry */
	uint32_t askers; /* peers that asked for it, and wait */
	struct fdb_link links[FDB_LINKS];
};

/* A peer that waits for an answer: in its entry's list, then in the answers. */
struct fdb_asker {
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	bool yes;
	uint32_t next;
	struct member *member; /* NULL: is no more */
};

/* A station of this host that went. */
struct fdb_gone {
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	uint64_t sequence;
	uint64_t gone_ns;
};

/* What is behind a port of this host's bridge, or (the first) no port is known of. */
struct fdb_port {
	uint32_t macs, addrs;
	struct bucket begun;
};

struct fdb {
	pthread_mutex_t lock;
	struct member *local;
	uint8_t key[SECRET_HASH_KEY_SIZE];
	uint32_t quota_macs;
	struct fdb_chain due[FDB_LISTS];
	uint32_t statics;
	uint32_t free; /* entries that were used and are not */
	uint32_t used; /* entries from there on were never used */
	struct fdb_counts counts;
	_Atomic uint64_t next_ns; /* fdb_next() */
	_Atomic uint64_t released; /* fdb_released() */

	struct fdb_chain log;
	_Atomic uint64_t sequence; /* the newest */
	uint64_t forgotten; /* of what went up to this number the log says nothing */
	uint32_t gone_first, gone_count; /* a ring */

	bool lacking; /* news.lacks of a member was set since anything went */
	bool wake; /* something went since: fdb_tick()'s caller may ask for it */

	struct fdb_chain answers; /* askers whose answer is known */
	uint32_t askers_free, askers_used;

	struct fdb_port ports[FDB_PORTS];

	uint32_t buckets[FDB_BUCKETS];
	struct fdb_gone gone[FDB_GONE_MAX];
	struct fdb_asker askers[FDB_ASKERS];
	struct fdb_entry entries[FDB_ENTRIES];
};

static inline struct fdb_entry *fdb_at(struct fdb *fdb, uint32_t number)
{
	return number ? &fdb->entries[number - 1] : NULL;
}

static inline uint32_t fdb_number(const struct fdb *fdb, const struct fdb_entry *entry)
{
	return (uint32_t)(entry - fdb->entries) + 1;
}

static inline bool fdb_is_mac(const struct fdb_entry *entry)
{
	return entry->key.kind == FDB_MAC;
}

static inline bool fdb_is_asked(const struct fdb_entry *entry)
{
	return entry->list >= FDB_LIST_ASK;
}

/* ---- fdb.c ---- */

/* Into a chain, in front or (@last given) at the end; out of it. */
void fdb_chain_add(struct fdb *fdb, uint32_t *first, uint32_t *last, enum fdb_link_kind kind,
                   struct fdb_entry *entry);
void fdb_chain_remove(struct fdb *fdb, uint32_t *first, uint32_t *last, enum fdb_link_kind kind,
                      struct fdb_entry *entry);

struct fdb_entry *fdb_find(struct fdb *fdb, const struct fdb_key *key);
/* Nobody's any more, only that fdb_tick() has not come by. */
bool fdb_is_over(const struct fdb *fdb, const struct fdb_entry *entry, uint64_t now_ns);
/*
 * May @owner have one more of that kind, which is another's or (@new) not there yet? Of
 * this host: behind that port.
 */
bool fdb_has_room(const struct fdb *fdb, const struct member *owner, uint8_t kind, uint16_t port,
                  bool new);
/* An entry of this host counts behind that port. */
void fdb_count_at(struct fdb *fdb, struct fdb_entry *entry, uint16_t port);
/* A MAC of this host is behind that port, and its addresses. False: that has its share. */
bool fdb_set_port(struct fdb *fdb, struct fdb_entry *station, uint16_t port);
/* NULL: no room in the table. An address's MAC must be @owner's. */
struct fdb_entry *fdb_create(struct fdb *fdb, const struct fdb_key *key, const uint8_t *mac,
                             struct member *owner, enum fdb_source source, uint64_t now_ns);
/* Away with it; a MAC's addresses go to those who wait for them, or with it. */
void fdb_remove(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns);
/* To another owner, or an address to another MAC. A MAC's addresses follow. */
void fdb_move(struct fdb *fdb, struct fdb_entry *entry, struct member *to, const uint8_t *mac,
              enum fdb_source source, uint64_t now_ns);
/* Waits in that list from now on. */
void fdb_enlist(struct fdb *fdb, struct fdb_entry *entry, enum fdb_list_kind list, uint64_t now_ns);
/* After anything that changed a list: says when fdb_tick() wants to be called. */
void fdb_schedule(struct fdb *fdb);

/* ---- fdb_claim.c ---- */

/* A MAC or address that a single station can have. */
bool fdb_is_station(const struct fdb_key *key);
/* No session with it, nor an answer to handshakes. */
bool fdb_is_dead(const struct fdb *fdb, const struct member *member, uint64_t now_ns);
/* It was asked, and has it still. */
void fdb_keep(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns);
/* Its owner has it no more: to who waits for it, or away. */
void fdb_release(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns);
/* To who waits for it, if that may have it. */
bool fdb_give(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns);

/* ---- fdb_ask.c ---- */

/* False: a MAC of this host of which no address is known. */
bool fdb_can_ask(const struct fdb *fdb, const struct fdb_entry *entry);
/* The owner is asked, in that list, beginning with @question. */
void fdb_begin_asking(struct fdb *fdb, struct fdb_entry *entry, enum fdb_list_kind list,
                      uint64_t now_ns, struct fdb_question *question);
/* Nobody waits for an answer any more: who did gets this one, and no claim stands. */
void fdb_end_asking(struct fdb *fdb, struct fdb_entry *entry, bool yes);
/* Takes back what @member asked and claimed. */
void fdb_forget_asker(struct fdb *fdb, const struct member *member);
void fdb_drop_claim(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns);
void fdb_drop_claims(struct fdb *fdb, const struct member *claimant, uint64_t now_ns);

/* ---- fdb_log.c ---- */

void fdb_log_came(struct fdb *fdb, struct fdb_entry *entry);
/* @silent: with its MAC, which the log tells of. */
void fdb_log_gone(struct fdb *fdb, struct fdb_entry *entry, bool silent, uint64_t now_ns);
void fdb_log_expire(struct fdb *fdb, uint64_t now_ns);

#endif
