/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database of a bridged network: which station, a MAC or an IP
 * address, is where. One table for both, because one set of rules says to whom a
 * station belongs:
 *
 * - Who is first has it. Its owner keeps it for as long as it is heard of (300 s,
 *   FDB_AGE_NS), and longer if it announced it (announce.h) and is not dead. Of
 *   this host: what was announced (by the control thread) stays until it is
 *   withdrawn; the rest is asked before it goes by age, when it can be (it has an
 *   address), so that a quiet server stays known.
 * - A claim by another moves it at once when nobody owns it any more: its owner
 *   withdrew it, or is dead. Dead: no session to send with, and three initiations
 *   repeated without an answer, which takes 15 s at least.
 * - Any other claim is a contest: the owner is asked, and what the claimant sends
 *   is dropped meanwhile. The station moves if the owner says that it has it no
 *   more, or says nothing for 200 ms (FDB_CHECK_NS; asked three times), and stays
 *   otherwise; then claims by others are not heard for a second, doubling
 *   up to a minute. Who contests first gets it; a third is dropped as well.
 * - A MAC of this host never moves to a peer: it has to be gone from here first.
 *   Static entries never move.
 * - Five moves a minute are the most; a station that moves more stays until the
 *   minute is over.
 * - An address is where its MAC is: only who has the MAC can claim it, and when the
 *   MAC moves or goes, its addresses go with it; from the new owner they count as
 *   learned, until it says that it has them. A peer may say at once that one of
 *   its addresses is at another of its MACs: that is between its containers, and it
 *   has asked them. Of this host it is a claim like any other.
 * - Not heard at all: claims of MACs and addresses that no station has (multicast,
 *   zero, loopback).
 *
 * VLANs within the network are segments of their own: an address in one has nothing
 * to do with the same in another. A MAC is in all of them, as in Linux's bridge.
 *
 * Limits: quotas of FDB_MACS_MAX MACs and FDB_ADDRS_MAX addresses a member, this
 * host included; what is beyond is not learned, and says so. Static entries do not
 * count. Peers cannot have the last eighth of the table. Contests: each costs
 * questions that somebody has to answer, so a member may begin 20 a second, and be
 * asked in 50 (32 at once, which is fewer questions than MEMBER_CONTROL_BURST: an
 * owner that could not hear a question would lose by it); a claim beyond is refused.
 *
 * Containers of this host share what is its own. A frame does not say which of them
 * sent it; the bridge knows, and the control thread claims each MAC for its port soon
 * after (fdb_claim_port). None gets more MACs than a third of those that are still
 * free, nor more addresses, but one if there is one: so one alone has a quarter at the
 * most, and leaves three to those after it. What frames alone have told of is limited
 * together in the same way: so half is left whatever one sends, and something when ten do.
 * And a port begins a quarter of the contests at the most.
 *
 * What a member announced and did not get is not kept. That there was such is, and
 * whether anything went since (member.h: news.lacks), so that it can be asked for.
 *
 * The table also keeps the log of this host's own stations for announcing: each
 * change of one (it came, its MAC changed, it went) has the next sequence number,
 * and what went stays in the log for a minute. Addresses that go with their MAC are
 * not in it: whoever is told of the MAC does the same.
 *
 * Threads: one lock a table, held for one call; a peer's lock may be taken inside
 * it, so nobody may call here with one held. Memory is reserved once and touched
 * when used; nothing is allocated afterwards.
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
/*
 * The owner has no session with us, no hello on it yet, or is so far away that its
 * answers would come too late: that long it has.
 */
#define FDB_CHECK_SLOW_NS (5 * FDB_SECOND_NS)
#define FDB_MOVES_MAX     5
#define FDB_MOVES_NS      (60 * FDB_SECOND_NS)
#define FDB_GONE_NS       (60 * FDB_SECOND_NS)
#define FDB_GONE_MAX      4096 /* so many that went are in the log at the most */
#define FDB_HOLD_MAX_NS   (60 * FDB_SECOND_NS)
/* Contests: those that a member begins, and those in which it is asked. */
#define FDB_BEGIN_COST_NS (FDB_SECOND_NS / 20)
#define FDB_BEGIN_BURST   16
#define FDB_BEGIN_PORTS   4 /* that part of it is a single port's of this host */
#define FDB_ASKED_COST_NS (FDB_SECOND_NS / 50)
#define FDB_ASKED_BURST   32
#define FDB_PEERS_ENTRIES (FDB_ENTRIES - FDB_ENTRIES / 8) /* peers' claims get no further */
#define FDB_ASKERS        1024 /* checks by peers that wait for an answer */
/* Of this host's bridge. 0: not known which; the last: the bridge itself. */
#define FDB_PORTS       1024
#define FDB_PORT_BRIDGE (FDB_PORTS - 1)
#define FDB_PORT_PART   3 /* of what is free */
/* A MAC of this host that was heard within that time is there, whether it answers or not. */
#define FDB_RECENT_NS (10 * FDB_SECOND_NS)

struct fdb;
struct member;

enum fdb_kind { FDB_NONE = 0, FDB_IPV4 = 4, FDB_IPV6 = 6, FDB_MAC = 48 };

struct fdb_key {
	uint8_t kind; /* enum fdb_kind */
	uint8_t addr[16]; /* 4, 16 or 6 used, the rest zero */
	struct wire_vlans vlans; /* of an address; a MAC is the same in all */
};

/* How it is known; a later one of these replaces an earlier, and is not replaced by it. */
enum fdb_source { FDB_LEARNED, FDB_ANNOUNCED, FDB_STATIC };

struct fdb_place {
	struct member *owner;
	uint8_t mac[ETHER_ADDR_SIZE]; /* of an address; of a MAC itself */
	enum fdb_source source;
	uint64_t heard_ns; /* when it was heard of last */
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
 * it; @mac: the MAC of an address (of a MAC key: itself), which is claimed with it
 * when nobody has it. @ask: set to true when @question is to go out now, to false
 * otherwise. FDB_CONTESTED for an address also when its MAC is what is contested;
 * addresses follow it. Something heard of this host's station answers what it was
 * asked: of a MAC any frame, of an address an ARP or ND message.
 */
enum fdb_verdict fdb_claim(struct fdb *fdb, struct member *by, const struct fdb_key *key,
                           const uint8_t mac[ETHER_ADDR_SIZE], enum fdb_source source,
                           uint64_t now_ns, bool *ask, struct fdb_question *question)
	__attribute__((warn_unused_result));

/*
 * This host's bridge has @key, a MAC, behind its port of that number (from 1, below
 * FDB_PORT_BRIDGE), and heard of it at @heard_ns. The control thread's claim; what it
 * makes us ask, if another has it, fdb_tick() asks. FDB_QUOTA: that port has its share,
 * and @key counts where it did before, if it is known.
 */
enum fdb_verdict fdb_claim_port(struct fdb *fdb, const struct fdb_key *key, uint32_t port,
                                uint64_t heard_ns, uint64_t now_ns)
	__attribute__((warn_unused_result));

/* False: nobody has it. Does not make it younger. */
bool fdb_lookup(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns,
                struct fdb_place *place) __attribute__((warn_unused_result));

/*
 * @by says that it has @key no more; a MAC takes its addresses with it. A claimant
 * that was waiting gets it, a MAC with its addresses. Nothing happens when it is
 * another's, but that a claim of @by's is given up.
 */
void fdb_withdraw(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns);
/* @by was asked (fdb_question) and says that it has it still: a contest ends. */
void fdb_confirm(struct fdb *fdb, struct member *by, const struct fdb_key *key, uint64_t now_ns);

/*
 * A peer asks whether this host still has @key. FDB_CHECK_YES: say so.
 * FDB_CHECK_ASKED: the container is being asked (@question, to go out now), and
 * fdb_tick() will tell; what does not answer is gone from here too. FDB_CHECK_NO: say
 * that it is gone. A MAC is asked for one of its addresses; without any, or heard of
 * within FDB_RECENT_NS, it is there: a container that filters ARP does not lose it to
 * who claims it. An address is asked for always, as it may leave a MAC that stays.
 */
enum fdb_check { FDB_CHECK_YES, FDB_CHECK_NO, FDB_CHECK_ASKED };
enum fdb_check fdb_check_local(struct fdb *fdb, const struct fdb_key *key, struct member *asker,
                               uint64_t now_ns, struct fdb_question *question)
	__attribute__((warn_unused_result));

/* A member has forgotten all (a daemon that was restarted): its stations go, static ones stay. */
void fdb_forget(struct fdb *fdb, struct member *member, uint64_t now_ns);
/* It is no more: all goes, and what workers still claim for it is refused. member_retire() calls. */
void fdb_remove_member(struct fdb *fdb, struct member *member, uint64_t now_ns);
/*
 * A replacement of all that @member announced: between these two calls it
 * announces everything it has; what it did not name goes at the end.
 */
void fdb_begin_whole(struct fdb *fdb, struct member *member);
void fdb_end_whole(struct fdb *fdb, struct member *member, uint64_t now_ns);

/*
 * What time brings about: ageing, contests, questions repeated, answers to
 * checks. Call when now >= fdb_next(), which is also *@next_ns (UINT64_MAX: nothing
 * is pending): another worker's call may have made it earlier since, so look at it
 * each round. A question is repeated and judged a step after the last one was due to
 * go, however late the call is: who could not be heard is not judged. It also wants to be
 * called when something went and a member lacks something: the caller knows. An announced
 * station of a dead member that goes by age sets the member's news.heard to 0.
 */
struct fdb_due {
	enum { FDB_DUE_ASK, FDB_DUE_SAY_YES, FDB_DUE_SAY_NO } what;
	struct fdb_question question; /* ASK: to send; else @key and the asker as @owner */
};
unsigned int fdb_tick(struct fdb *fdb, uint64_t now_ns, struct fdb_due *due, unsigned int max,
                      uint64_t *next_ns);
uint64_t fdb_next(struct fdb *fdb); /* cheap, no lock */

/* ---- static entries and the control thread's ---- */

/*
 * 0; -EEXIST: static already, with another owner or MAC; -ENOSPC; -EINVAL: no station
 * has that, or an address whose MAC is not static there. Moves it from whoever has it.
 */
int fdb_add_static(struct fdb *fdb, struct member *owner, const struct fdb_key *key,
                   const uint8_t mac[ETHER_ADDR_SIZE], uint64_t now_ns);
/* 0 or -ENOENT. It goes, and may be learned again. */
int fdb_remove_static(struct fdb *fdb, const struct fdb_key *key, uint64_t now_ns);

struct fdb_info {
	struct fdb_key key;
	struct fdb_place place;
	uint64_t heard_ns; /* when it was heard of last */
	uint32_t moves; /* since it is known */
	bool contested;
};
/* Copies up to @max entries, returns how many there are. Not for workers. */
uint32_t fdb_list(struct fdb *fdb, struct fdb_info *out, uint32_t max);
/*
 * What a peer has goes, as if it said so itself, when @may says that it may not have
 * it; static entries stay. @may is called with the lock held.
 */
void fdb_review(struct fdb *fdb, bool (*may)(const struct fdb_info *info, void *arg), void *arg,
                uint64_t now_ns);
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
 * *@last: the newest number of the log; when the news end there, that is all.
 *
 * *@whole is 0, or what the last call for this member said, until the member has all.
 * Set to 0: these are the changes after @after. Unchanged: everything is being told,
 * and this goes on after @after. Another number: the log does not reach back that
 * far, and this is the beginning of everything there is, to be taken as after 0.
 */
uint32_t fdb_list_news(struct fdb *fdb, uint64_t after, struct fdb_news *out, uint32_t max,
                       uint64_t *whole, uint64_t *last);
uint64_t fdb_last_news(struct fdb *fdb); /* cheap: the newest number, no lock */

/* Cheap, no lock: another number than before when anything went or moved since. */
uint64_t fdb_released(struct fdb *fdb);

/* The lock that also guards struct member's news and quotas. No call of the above within it. */
void fdb_lock(struct fdb *fdb);
void fdb_unlock(struct fdb *fdb);

static inline struct fdb_key fdb_key_mac(const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct fdb_key key = { .kind = FDB_MAC };

	for (int i = 0; i < ETHER_ADDR_SIZE; i++)
		key.addr[i] = mac[i];
	return key;
}

/* Untagged. */
static inline struct fdb_key fdb_key_ip(uint8_t family, const uint8_t *addr)
{
	struct fdb_key key = { .kind = family };

	for (int i = 0; i < (family == 4 ? 4 : 16); i++)
		key.addr[i] = addr[i];
	return key;
}

/* The same in the VLAN of a frame or a message. */
static inline struct fdb_key fdb_key_in(struct wire_vlans vlans, uint8_t family,
                                        const uint8_t *addr)
{
	struct fdb_key key = fdb_key_ip(family, addr);

	key.vlans = vlans;
	return key;
}

#endif
