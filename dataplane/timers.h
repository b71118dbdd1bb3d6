/* SPDX-License-Identifier: MIT */
/*
 * WireGuard's timers. The paths report events; what follows from them is decided
 * here alone:
 *
 *	event                             does
 *	data sent                         arm "new handshake" at 15 s + jitter, if not armed
 *	data received                     arm "keepalive" at 10 s; armed already: another is due
 *	anything authenticated sent       cancel "keepalive"
 *	anything authenticated received   cancel "new handshake"
 *	either                            re-arm "persistent keepalive"
 *	initiation sent                   arm "retransmit" at 5 s + jitter
 *	response consumed, or first data
 *	on a key the peer initiated       cancel "retransmit", attempts = 0
 *	session derived                   arm "wipe" at 540 s
 *	hello due                         arm "hello" (hello.h)
 *	data sent                         arm "echo" at 5 s, if not armed (echo.h)
 *	message of the control thread     "post" at once (post.h)
 *	probe wanted, or not answered     arm "probe" (probe.h)
 *	handshake queue full of wishes    arm "wish" at 100 ms + jitter: asked for again
 *
 * A peer's deadlines are plain atomics that any worker sets; a heap orders the
 * peers by the time at which they want to be looked at. A deadline that moves
 * later leaves the heap alone: the peer is looked at too early, and put back.
 * So the heap's lock is taken about once per peer and ten seconds, not per burst.
 */
#ifndef DATAPLANE_TIMERS_H
#define DATAPLANE_TIMERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMERS_SECOND_NS        1000000000ULL
#define TIMERS_REKEY_TIMEOUT_NS (5 * TIMERS_SECOND_NS)
#define TIMERS_REKEY_ATTEMPT_NS (90 * TIMERS_SECOND_NS)
#define TIMERS_KEEPALIVE_NS     (10 * TIMERS_SECOND_NS)
#define TIMERS_NEW_HANDSHAKE_NS (TIMERS_KEEPALIVE_NS + TIMERS_REKEY_TIMEOUT_NS)
#define TIMERS_WIPE_NS          (540 * TIMERS_SECOND_NS)
#define TIMERS_WISH_NS          100000000ULL
#define TIMERS_ECHO_NS          (5 * TIMERS_SECOND_NS)
#define TIMERS_JITTER_NS        333000000ULL
#define TIMERS_ATTEMPTS_MAX     (TIMERS_REKEY_ATTEMPT_NS / TIMERS_REKEY_TIMEOUT_NS)

struct burst;
struct device;
struct peer;

enum timer {
	TIMER_RETRANSMIT,
	TIMER_KEEPALIVE,
	TIMER_NEW_HANDSHAKE,
	TIMER_WIPE,
	TIMER_PERSISTENT,
	TIMER_HELLO,
	TIMER_WISH,
	TIMER_ECHO,
	TIMER_POST,
	TIMER_PROBE,
	TIMER_COUNT
};

/* In struct peer. */
struct peer_timers {
	_Atomic uint64_t deadline_ns[TIMER_COUNT]; /* 0: not armed */
	_Atomic bool another_keepalive;
	_Atomic uint32_t attempts; /* initiations repeated without an answer */
	_Atomic bool stopped; /* the peer was removed */
	_Atomic uint64_t wake_ns; /* when the heap looks at the peer; UINT64_MAX: not in it */
	size_t heap_slot; /* under the heap's lock */
};

/* In struct device. */
struct timers {
	pthread_mutex_t lock;
	struct peer **heap;
	size_t count;
	size_t capacity;
	_Atomic uint64_t next_ns; /* the earliest wake; UINT64_MAX: none */
};

/* What goes on in another life of the daemon (carried.h). */
struct timers_due {
	uint64_t keepalive_ns, new_handshake_ns; /* 0: not armed */
	bool handshake_pending;
};

void timers_init(struct timers *timers);
void timers_fini(struct timers *timers);
/* Room for @peers peers: called before a peer is made known to workers. 0 or -ENOMEM. */
int timers_reserve(struct timers *timers, size_t peers);
/* All deadlines off, out of the heap. */
void timers_stop(struct peer *peer);

void timers_data_sent(struct peer *peer, uint64_t now_ns);
void timers_data_received(struct peer *peer, uint64_t now_ns);
void timers_any_sent(struct peer *peer, uint64_t now_ns);
void timers_any_received(struct peer *peer, uint64_t now_ns);
/* An initiation is out and not answered. */
bool timers_handshake_pending(const struct peer *peer);
/* For how long, jitter aside; 0: none is. */
uint64_t timers_unanswered_ns(const struct peer *peer, uint64_t now_ns);
void timers_initiation_sent(struct peer *peer, uint64_t now_ns);
void timers_handshake_complete(struct peer *peer);
void timers_session_derived(struct peer *peer, uint64_t now_ns);
void timers_hello_at(struct peer *peer, uint64_t when_ns); /* 0: cancel */
void timers_post_at(struct peer *peer, uint64_t when_ns);
void timers_probe_at(struct peer *peer, uint64_t when_ns); /* or earlier */
/* No room for a wish to initiate: whoever had it need not come again. */
void timers_wish_refused(struct peer *peer, uint64_t now_ns);
/* The persistent keepalive's interval was set: begins with one at once when it is on. */
void timers_keepalive_changed(struct peer *peer, uint64_t now_ns);

void timers_get_due(const struct peer *peer, struct timers_due *due);
/*
 * A handshake that was under way is asked for anew. What fell due while nobody ran is
 * put off by a moment: the packet that makes it needless may wait in a socket.
 */
void timers_set_due(struct peer *peer, const struct timers_due *due, uint64_t now_ns);

/* Does what is due; called by workers between bursts. */
void timers_run(struct burst *burst);
/* The next time timers_run() wants to be called. */
static inline uint64_t timers_next(const struct timers *timers)
{
	return atomic_load_explicit(&timers->next_ns, memory_order_acquire);
}

#endif
