/* SPDX-License-Identifier: MIT */
/*
 * Announcements: members of a bridged network tell each other in-session which
 * stations came to them and which went, so that a frame is sent to the right
 * place before the first broadcast, and a container that moved is found at once.
 *
 * Each host keeps a log of its own stations (fdb.h) in which every change has
 * the next sequence number. A member is told what it has not acknowledged, in
 * order, one message at a time, until it has all. Each message says what it
 * follows (FROM) and up to where it tells (TO), and each is acknowledged with the
 * number up to which the member has everything, whatever the message was. So a
 * member that lacks something, as it forgot us, says so by its first answer, and
 * is told from there; one whose knowledge is too old for the log is told
 * everything anew (FROM 0), and forgets what is not named by the END. At the
 * beginning of each session a message goes out even if there is no news.
 *
 * A sequence number means something only together with who said it and in which of
 * its lives (@boot, which is what its hello says): a hostile member can spoil its
 * own, and nobody else's.
 *
 * What an announcement says is a claim like any other (fdb.h): nothing is taken
 * from its owner by announcing. Its own host's bridge is nobody's to claim. What was
 * not granted has been acknowledged all the same, and is not told again. So when
 * something in the table went or moved since, the member is to tell everything anew:
 * it gets an ACK of 0, at once after a quiet minute, else 2 s after the last one,
 * doubling up to 64 s (ANNOUNCE_AGAIN_MAX).
 *
 *	ANNOUNCE  VNI, BOOT, FROM, TO, STATION…, END  → ACK   VNI, BOOT, TO
 *	CHECK     VNI, STATION                        → ANNOUNCE VNI, BOOT, STATION
 *
 * Control messages start no handshake, but for a CHECK: else a station of a peer
 * that has nothing to say could be had for the asking.
 */
#ifndef DATAPLANE_ANNOUNCE_H
#define DATAPLANE_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/fdb.h"

struct burst;
struct member;
struct peer;
struct view;
struct view_network;

#define ANNOUNCE_STATIONS_MAX 48
#define ANNOUNCE_SIZE_MAX     1280 /* fits the least tunnel MTU with IPv6; fewer stations below it */
#define ANNOUNCE_SIZE_MIN     128 /* any station fits; whoever takes less is told nothing */
/*
 * The first change after quiet goes at once; those that follow are gathered for
 * that long, so that a burst of them is one message.
 */
#define ANNOUNCE_GATHER_NS 20000000ULL
/* Repeated after this, doubled each time, so often; then given up until the next hello. */
#define ANNOUNCE_RETRY_NS  300000000ULL
#define ANNOUNCE_RETRIES   6
#define ANNOUNCE_AGAIN_MAX 6 /* doublings */

/* Parsing alone, for fuzzing and tests. */
struct announce_message {
	enum { ANNOUNCE_STATIONS, ANNOUNCE_ACK, ANNOUNCE_CHECK } type;
	uint32_t vni;
	uint64_t boot; /* of whoever has the stations; not in a CHECK */
	bool has_range; /* FROM and TO are there; else it answers a CHECK, with one station */
	bool end; /* with TO that is all */
	uint64_t from, to; /* an ACK has @to alone */
	uint32_t count;
	struct fdb_news stations[ANNOUNCE_STATIONS_MAX];
};
bool announce_parse(const uint8_t *data, uint32_t len, struct announce_message *msg)
	__attribute__((warn_unused_result));
/* Of a STATION's value. */
uint32_t announce_station_len(const struct fdb_key *key);
/* Returns the length, at most @size; 0: it does not fit. */
uint32_t announce_format(uint8_t *out, uint32_t size, const struct announce_message *msg);

/* A control message of one of these types, authenticated. False: it does not parse. */
bool announce_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));

/* A hello came that is the session's first, or says other things than the last. */
void announce_begin(struct burst *burst, struct peer *peer);

/*
 * What peers have in @net and may not have by @view goes: guards, AllowedIPs or the
 * bridge's own addresses have changed. The control thread's, when no worker has an older
 * view.
 */
void announce_review(const struct view *view, const struct view_network *net, uint64_t now_ns);

/*
 * Sends what is due in @net: news to its members, repetitions, checks, questions
 * to containers. Returns when it wants to be called again (UINT64_MAX: when
 * something changes). What other workers did may make it earlier: fdb_next() and
 * fdb_last_news() say so.
 */
uint64_t announce_run(struct burst *burst, const struct view_network *net);
/* The same for each bridged network in which something is due. Called each round, so cheap. */
void announce_run_due(struct burst *burst);
/* When it wants to be called again. */
uint64_t announce_next(const struct burst *burst);

/* Sends @question: a CHECK to a peer, an ARP or ND question to a container. */
void announce_ask(struct burst *burst, const struct view_network *net,
                  const struct fdb_question *question);

#endif
