/* SPDX-License-Identifier: MIT */
/*
 * Announcements: members of a bridged network tell each other in-session which
 * stations came to them and which went, so that a frame is sent to the right
 * place before the first broadcast, and a container that moved is found at once.
 *
 * Each host keeps a log of its own stations (fdb.h) in which every change has
 * the next sequence number. A member is told what it has not acknowledged, in
 * order, one message at a time, until it has all; a member whose knowledge is too
 * old for the log, or of another boot of ours, is told everything anew. So a
 * sequence number means something only together with who said it and in which of
 * its lives (@boot): a hostile member can spoil its own, and nobody else's.
 *
 * What an announcement says is a claim like any other (fdb.h): nothing is taken
 * from its owner by announcing.
 *
 *	ANNOUNCE  VNI, BOOT, FROM, TO, STATION…   → ACK   VNI, BOOT, TO
 *	CHECK     VNI, STATION                    → ANNOUNCE VNI, BOOT, STATION (no FROM and TO)
 */
#ifndef DATAPLANE_ANNOUNCE_H
#define DATAPLANE_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/fdb.h"

struct burst;
struct peer;
struct view_network;

#define ANNOUNCE_STATIONS_MAX 48
#define ANNOUNCE_SIZE_MAX     1280 /* fits the least tunnel MTU with IPv6; fewer stations below it */
/* Changes are gathered for that long, so that a burst of them is one message. */
#define ANNOUNCE_GATHER_NS 20000000ULL
/* Repeated after this, doubled each time, up to the last; given up until the next hello. */
#define ANNOUNCE_RETRY_NS 300000000ULL
#define ANNOUNCE_RETRIES  6

/* Parsing alone, for fuzzing and tests. */
struct announce_message {
	enum { ANNOUNCE_STATIONS, ANNOUNCE_ACK, ANNOUNCE_CHECK } type;
	uint32_t vni;
	uint64_t boot;
	bool has_range; /* @from and @to are there */
	uint64_t from, to;
	uint32_t count;
	struct fdb_news stations[ANNOUNCE_STATIONS_MAX];
};
bool announce_parse(const uint8_t *data, uint32_t len, struct announce_message *msg)
	__attribute__((warn_unused_result));
/* Returns the length, at most @size; 0: it does not fit. */
uint32_t announce_format(uint8_t *out, uint32_t size, const struct announce_message *msg);

/* A control message of one of these types, authenticated. False: it does not parse. */
bool announce_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));

/* A hello came: @peer may be told things now. */
void announce_begin(struct burst *burst, struct peer *peer);

/*
 * Sends what is due in @net: news to its members, repetitions, checks, questions
 * to containers. Returns when it wants to be called again (UINT64_MAX: when
 * something changes).
 */
uint64_t announce_run(struct burst *burst, const struct view_network *net);

/* Sends @question: a CHECK to a peer, an ARP or ND question to a container. */
void announce_ask(struct burst *burst, const struct view_network *net,
                  const struct fdb_question *question);

#endif
