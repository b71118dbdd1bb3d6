/* SPDX-License-Identifier: MIT */
/*
 * Echo: how long a message and its answer take within the session, as data would.
 * While data goes to a peer that has the feature, one request in TIMERS_ECHO_NS;
 * an idle session has none, and neither has one with a few packets: a broadcast now
 * and then to hundreds of members shall not cost three times as much. The time is from when the request is put into its burst
 * to when the answer's burst is received: both daemons' turns at the processor
 * are in it, as they are in what containers see.
 *
 * The answer carries the request's number and nothing else; numbers count up, so one
 * that was long on its way, or made up before its request, means nothing. A peer can say
 * that it is farther away than it is, and nothing depends on what it says.
 */
#ifndef DATAPLANE_ECHO_H
#define DATAPLANE_ECHO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct burst;
struct peer;

/* So many packets of data at least since the timer was due last. */
#define ECHO_PACKETS 4u
/* A peer's requests are answered this often at the most. */
#define ECHO_ANSWER_NS 10000000ULL
/* What was measured longer ago says nothing about now. */
#define ECHO_FRESH_NS 60000000000ULL

/* In struct peer: one more thing that any worker writes. */
struct echo {
	_Atomic uint64_t number; /* of the last request; 0: there was none */
	_Atomic uint64_t packets; /* of data, since the timer was due last */
	_Atomic uint64_t sent_ns; /* when; 0: it is answered */
	_Atomic uint64_t answered_ns; /* the peer's last request */
	_Atomic uint64_t heard_ns; /* the peer's last answer; 0: never */
	_Atomic uint64_t smoothed_ns, variation_ns; /* RFC 6298, 2 */
};

/* TIMER_ECHO: a request, if the peer takes one. */
void echo_due(struct burst *burst, struct peer *peer);
/* A control message of either type, authenticated. False: it does not parse. */
bool echo_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));

/* The smoothed round trip, and in *@variation_ns how far it strays; 0: not known, or no more. */
uint64_t echo_round_trip(const struct echo *echo, uint64_t now_ns, uint64_t *variation_ns);

#endif
