/* SPDX-License-Identifier: MIT */
/*
 * Hello: what two ovltun peers tell each other when a session is made, so that
 * anything beyond plain IP packets is sent only to a peer that understands it
 * (docs/protocol.md). Sent at once, and again after 1 and 3 seconds unless
 * acknowledged; a stock WireGuard peer drops it and stays in IP mode. What was
 * agreed upon ends with the session, so a peer that was replaced by a stock one
 * is never sent what it cannot read.
 *
 * Control messages are not data: they neither start a handshake nor keep an idle
 * session alive.
 */
#ifndef DATAPLANE_HELLO_H
#define DATAPLANE_HELLO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct burst;
struct peer;

#define HELLO_SENDS_MAX 3
/*
 * Answers a session gives: more than an honest peer asks for. An answer may be
 * longer than what asked for it, and the peer chooses where it goes.
 */
#define HELLO_ANSWERS_MAX 8
#define HELLO_SIZE_MAX    64

/* Features that this version has; none yet beyond hello itself. */
#define HELLO_FEATURES 0ULL

/* In struct peer. */
struct hello {
	_Atomic uint32_t sends_left; /* of this session's */
	_Atomic uint32_t answers_left; /* likewise */
	_Atomic uint32_t version; /* the peer's; 0: no hello on this session */
	_Atomic uint32_t tunnel_mtu; /* what the peer takes */
	_Atomic uint64_t features; /* those that both have */
	_Atomic bool acked; /* the peer has had ours */
};

struct hello_info {
	uint32_t version; /* 0: a stock peer, or no session */
	uint32_t tunnel_mtu;
	uint64_t features;
};

/* A session is up: forgets what the last one agreed upon and sends hello. */
void hello_begin(struct burst *burst, struct peer *peer);
/* TIMER_HELLO */
void hello_due(struct burst *burst, struct peer *peer);
/* A control message, authenticated. False: it does not parse. */
bool hello_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));

void hello_get_info(const struct hello *hello, struct hello_info *info);

/* Parsing alone, for fuzzing and tests. */
struct hello_message {
	uint32_t version;
	uint32_t tunnel_mtu;
	uint64_t features;
	bool ack;
};
bool hello_parse(const uint8_t *data, uint32_t len, struct hello_message *msg)
	__attribute__((warn_unused_result));
uint32_t hello_format(uint8_t out[HELLO_SIZE_MAX], const struct hello_message *msg);

#endif
