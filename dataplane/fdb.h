/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database of a bridged network: which station, a MAC or an IP
 * address, is where. One table for both, because one set of rules says to whom a
 * station belongs:
 *
 * - Who is first has it. Its owner keeps it for as long as it is heard of (300 s,
 *   FDB_AGE_NS), and longer if it announced it (announce.h) and is there itself.
 * - A claim by another moves it at once when nobody owns it any more: its owner
 *   withdrew it, or is dead (no session, and no answer to handshakes).
 * - Any other claim is a contest: the owner is asked, and what the claimant sends
 *   is dropped meanwhile. The station moves if the owner says that it has it no
 *   more, or says nothing for 200 ms (FDB_CHECK_NS; asked three times), and stays
 *   otherwise; then claims by others are not heard for a second, doubling
 *   up to a minute.
 * - A MAC of this host never moves to a peer: it has to be gone from here first.
 *   Static entries never move.
 * - Five moves a minute are the most; a station that moves more stays until the
 *   minute is over.
 *
 * Quotas: FDB_MACS_MAX MACs and FDB_ADDRS_MAX addresses a member, this host
 * included; what is beyond is not learned, and says so.
 *
 * The table also keeps the log of this host's own stations for announcing: each
 * change of one (it came, its MAC changed, it went) has the next sequence number,
 * and what went stays in the log for a minute.
 *
 * Threads: one lock a table, held for one call. Memory is reserved once and
 * touched when used; nothing is allocated afterwards.
 */
#ifndef DATAPLANE_FDB_H
#define DATAPLANE_FDB_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/wire.h"

#define FDB_ENTRIES   65536
#define FDB_MACS_MAX  256 /* a member, unless the network's configuration says another number */
#define FDB_ADDRS_MAX 1024 /* four times as many addresses as MACs, always */

#define FDB_SECOND_NS 1000000000ULL
#define FDB_AGE_NS    (300 * FDB_SECOND_NS)
#define FDB_CHECK_NS  (200 * FDB_SECOND_NS / 1000)
#define FDB_CHECKS    3 /* questions in that time */
/* The owner has no session with us: that long it has to make one and answer. */
#define FDB_CHECK_SLOW_NS (5 * FDB_SECOND_NS)
#define FDB_MOVES_MAX     5
#define FDB_MOVES_NS      (60 * FDB_SECOND_NS)
#define FDB_GONE_NS       (60 * FDB_SECOND_NS)

struct fdb;
struct member;

enum fdb_kind { FDB_NONE = 0, FDB_IPV4 = 4, FDB_IPV6 = 6, FDB_MAC = 48 };

struct fdb_key {
	uint8_t kind; /* enum fdb_kind */
	uint8_t addr[16]; /* 4, 16 or 6 used, the rest zero */
};

/* How it is known; a later one of these replaces an earlier. */
enum fdb_source { FDB_LEARNED, FDB_ANNOUNCED, FDB_STATIC };

struct fdb_place {
	struct member *owner;
	uint8_t mac[ETHER_ADDR_SIZE]; /* of an address; of a MAC itself */
	enum fdb_source source;
};

enum fdb_verdict {
	FDB_OK, /* it belongs to the claimant */
	FDB_CAME, /* the same, since just now: nobody had it */
	FDB_MOVED, /* the same, since just now: another had it */
	FDB_CONTESTED, /* another has it and is being asked */
	FDB_REFUSED, /* another has it and keeps it */
	FDB_QUOTA, /* the claimant has as many as it may have, or the table is full */
	FDB_BUSY, /* it has moved too often */
};

/*
 * A question that has to go out now. To a peer: "do you still have it?", as a
 * control message. To this host (owner->peer is NULL): an ARP or ND question on
 * the TAP for @key, an address, to @mac.
 */
struct fdb_question {
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	struct member *owner;
};

/* @local: this host, as a member. NULL: out of memory. */
struct fdb *fdb_open(struct member *local);
void fdb_close(struct fdb *fdb);
/* What each member may have from now on; what is there stays. */
void fdb_set_quota(struct fdb *fdb, uint32_t macs);

/*
 * A frame, an ARP or ND message or an announcement of @by says that @key is with
 * it; @mac: the MAC of an address (of a MAC key: itself). An address whose MAC
 * changes within one member is a claim like any other. @ask: set to true when
 * @question is to go out now.
 */
enum fdb_verdict fdb_claim(struct fdb *fdb, struct member *by, const struct fdb_key *key,
                           const uint8_t mac[ETHER_ADDR_SIZE], enum fdb_source source,
                           uint64_t now_ns, bool *ask, struct fdb_question *question)
	__attribute__((warn_unused_result));

/* False: nobody has it. Does not make it younger. */
bool fdb_lookup(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns,
                struct fdb_place *place) __attribute__((warn_unused_result));

/*
 * @by says that it has @key no more; a MAC takes its addresses with it. Nothing
 * happens when it is another's. A claimant that was waiting gets it.
 */
void fdb_withdraw(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns);
/* @by was asked (fdb_question) and says that it has it still: a contest ends. */
void fdb_confirm(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns);

/*
 * A peer asks whether this host still has @key. FDB_CHECK_YES: say so.
 * FDB_CHECK_ASKED: the container is being asked (@question), and fdb_tick() will
 * tell. FDB_CHECK_NO: say that it is gone.
 */
enum fdb_check { FDB_CHECK_YES, FDB_CHECK_NO, FDB_CHECK_ASKED };
enum fdb_check fdb_check_local(struct fdb *fdb, const struct fdb_key *key, struct member *asker,
                               uint64_t now_ns, struct fdb_question *question)
	__attribute__((warn_unused_result));

/* A member is no more, or (a daemon that was restarted) has forgotten all: its stations go. */
void fdb_forget(struct fdb *fdb, struct member *member, uint64_t now_ns);
/*
 * A replacement of all that @member announced: between these two calls it
 * announces everything it has; what it did not name goes at the end.
 */
void fdb_begin_whole(struct fdb *fdb, struct member *member);
void fdb_end_whole(struct fdb *fdb, struct member *member, uint64_t now_ns);

/*
 * What time brings about: ageing, contests, questions repeated, answers to
 * checks. Call when now >= *@next_ns of the last call (UINT64_MAX: nothing is
 * pending), and after anything that asked.
 */
struct fdb_due {
	enum { FDB_DUE_ASK, FDB_DUE_SAY_YES, FDB_DUE_SAY_NO } what;
	struct fdb_question question; /* ASK: to send; else @key and the asker as @owner */
};
unsigned int fdb_tick(struct fdb *fdb, uint64_t now_ns, struct fdb_due *due, unsigned int max,
                      uint64_t *next_ns);

/* ---- static entries and the control thread's ---- */

/* 0; -EEXIST: static already, with another owner; -ENOSPC. Moves it from whoever has it. */
int fdb_add_static(struct fdb *fdb, struct member *owner, const struct fdb_key *key,
                   const uint8_t mac[ETHER_ADDR_SIZE], uint64_t now_ns);
int fdb_remove_static(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns); /* or -ENOENT */

struct fdb_info {
	struct fdb_key key;
	struct fdb_place place;
	uint64_t heard_ns; /* when it was heard of last */
	uint32_t moves; /* since it is known */
	bool contested;
};
/* Copies up to @max entries, returns how many there are. Not for workers. */
uint32_t fdb_list(struct fdb *fdb, struct fdb_info *out, uint32_t max);
/* Events since it was opened, for show. */
struct fdb_counts {
	uint64_t came, moved, aged, withdrawn, contests, refused, quota;
	uint32_t entries;
};
void fdb_get_counts(struct fdb *fdb, struct fdb_counts *counts);

/* ---- the log of this host's stations ---- */

struct fdb_news {
	uint64_t sequence;
	struct fdb_key key;
	uint8_t mac[ETHER_ADDR_SIZE];
	bool gone;
};
/*
 * Copies what changed after @after, in order of sequence numbers, up to @max.
 * *@whole: the log does not reach back that far, and this is (the beginning of)
 * everything there is, to be taken as after 0. *@last: the newest number of the
 * log; when the news end there, that is all.
 */
uint32_t fdb_list_news(struct fdb *fdb, uint64_t after, struct fdb_news *out, uint32_t max,
                       bool *whole, uint64_t *last);
uint64_t fdb_last_news(struct fdb *fdb); /* cheap: the newest number, no lock */

/* The lock that also guards struct member's news and quotas. */
void fdb_lock(struct fdb *fdb);
void fdb_unlock(struct fdb *fdb);

static inline struct fdb_key fdb_key_mac(const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct fdb_key key = { .kind = FDB_MAC };

	for (int i = 0; i < ETHER_ADDR_SIZE; i++)
		key.addr[i] = mac[i];
	return key;
}

static inline struct fdb_key fdb_key_ip(uint8_t family, const uint8_t *addr)
{
	struct fdb_key key = { .kind = family };

	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		key.addr[i] = addr[i];
	return key;
}

#endif
