/* SPDX-License-Identifier: MIT */
/*
 * Deadlines and the heap that orders peers by them; see timers.h for the policy.
 *
 * A peer is in the heap while wake_ns is not UINT64_MAX. Arming a deadline
 * earlier than wake_ns moves the peer up under the heap's lock; timers_run()
 * takes due peers out, acts on what is due, and puts each back by its earliest
 * deadline. Two workers may arm and expire at once: an expiring timer is claimed
 * by a compare-and-exchange to 0, so it acts once.
 *
 * Whoever arms writes the deadline and then looks at wake_ns; whoever takes a peer
 * out writes wake_ns and then looks at the deadlines. All four are sequentially
 * consistent, so one of them sees the other and no deadline is overlooked.
 *
 * Why no burst is sealed or opened with keys that TIMER_WIPE is wiping. What is due
 * makes them unreachable (their slots and the index table are cleared under the
 * peer's lock) and retires them; the bytes are wiped when the key pair goes back to
 * its arena, and that is after every worker has begun another round (quiesce.h). A
 * worker takes a key pair out of a slot or the table in the round in which it uses
 * it, keeps it over none, and flushes before the round ends. Whoever still holds one
 * then holds whole keys: and it is 540 s old, so at 180 s it was refused for sealing
 * and opening alike.
 *
 * The other way round, a wipe must not take keys that were made since it fell due:
 * between the claim and the peer's lock another worker may finish a handshake. So the
 * keys' own age decides, under the lock, and not the timer. An initiation that awaits
 * its answer stays as well; its retransmit timer ends in a session or in giving up,
 * and both arm the wipe again.
 */
#include "dataplane/timers.h"

#include <errno.h>
#include <stdlib.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/echo.h"
#include "dataplane/handshake.h"
#include "dataplane/peer.h"
#include "dataplane/post.h"
#include "dataplane/probe.h"
#include "dataplane/tx.h"

/* Peers handled in one call, so that thousands due at once do not hold up data. */
#define RUN_MAX 64

void timers_init(struct timers *timers)
{
	pthread_mutex_init(&timers->lock, NULL);
	atomic_init(&timers->next_ns, UINT64_MAX);
}

void timers_fini(struct timers *timers)
{
	free(timers->heap);
	pthread_mutex_destroy(&timers->lock);
}

int timers_reserve(struct timers *timers, size_t peers)
{
	struct peer **heap;
	int err = 0;

	pthread_mutex_lock(&timers->lock);
	if (peers > timers->capacity) {
		heap = reallocarray(timers->heap, peers * 2, sizeof(*heap));
		if (heap) {
			timers->heap = heap;
			timers->capacity = peers * 2;
		} else {
			err = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&timers->lock);
	return err;
}

static uint64_t wake_of(const struct peer *peer)
{
	return atomic_load_explicit(&peer->timers.wake_ns, memory_order_relaxed);
}

static void heap_set(struct timers *timers, size_t slot, struct peer *peer)
{
	timers->heap[slot] = peer;
	peer->timers.heap_slot = slot;
}

static void heap_up(struct timers *timers, size_t slot)
{
	struct peer *peer = timers->heap[slot];

	while (slot > 0 && wake_of(timers->heap[(slot - 1) / 2]) > wake_of(peer)) {
		heap_set(timers, slot, timers->heap[(slot - 1) / 2]);
		slot = (slot - 1) / 2;
	}
	heap_set(timers, slot, peer);
}

static void heap_down(struct timers *timers, size_t slot)
{
	struct peer *peer = timers->heap[slot];

	for (;;) {
		size_t child = 2 * slot + 1;

		if (child >= timers->count)
			break;
		if (child + 1 < timers->count &&
		    wake_of(timers->heap[child + 1]) < wake_of(timers->heap[child]))
			child++;
		if (wake_of(timers->heap[child]) >= wake_of(peer))
			break;
		heap_set(timers, slot, timers->heap[child]);
		slot = child;
	}
	heap_set(timers, slot, peer);
}

static void heap_remove(struct timers *timers, struct peer *peer)
{
	size_t slot = peer->timers.heap_slot;
	struct peer *last = timers->heap[--timers->count];

	atomic_store(&peer->timers.wake_ns, UINT64_MAX);
	if (last == peer)
		return;
	heap_set(timers, slot, last);
	heap_up(timers, slot);
	heap_down(timers, last->timers.heap_slot);
}

static void publish_next(struct timers *timers)
{
	atomic_store_explicit(&timers->next_ns,
	                      timers->count ? wake_of(timers->heap[0]) : UINT64_MAX,
	                      memory_order_release);
}

/* Sees to it that the heap looks at @peer at @when_ns at the latest. */
static void wake_by(struct peer *peer, uint64_t when_ns)
{
	struct timers *timers = &peer->device->timers;
	uint64_t old;

	if (atomic_load(&peer->timers.wake_ns) <= when_ns)
		return;
	pthread_mutex_lock(&timers->lock);
	old = wake_of(peer);
	if (old > when_ns && !atomic_load_explicit(&peer->timers.stopped, memory_order_relaxed)) {
		atomic_store_explicit(&peer->timers.wake_ns, when_ns, memory_order_relaxed);
		if (old == UINT64_MAX)
			heap_set(timers, timers->count++, peer);
		heap_up(timers, peer->timers.heap_slot);
		publish_next(timers);
	}
	pthread_mutex_unlock(&timers->lock);
}

void timers_stop(struct peer *peer)
{
	struct timers *timers = &peer->device->timers;

	pthread_mutex_lock(&timers->lock);
	atomic_store_explicit(&peer->timers.stopped, true, memory_order_relaxed);
	for (int t = 0; t < TIMER_COUNT; t++)
		atomic_store_explicit(&peer->timers.deadline_ns[t], 0, memory_order_relaxed);
	if (wake_of(peer) != UINT64_MAX)
		heap_remove(timers, peer);
	publish_next(timers);
	pthread_mutex_unlock(&timers->lock);
}

static uint64_t deadline(const struct peer *peer, enum timer timer)
{
	return atomic_load_explicit(&peer->timers.deadline_ns[timer], memory_order_relaxed);
}

static void arm(struct peer *peer, enum timer timer, uint64_t when_ns)
{
	atomic_store(&peer->timers.deadline_ns[timer], when_ns);
	wake_by(peer, when_ns);
}

static void cancel(struct peer *peer, enum timer timer)
{
	/* Most often it is not armed: leave the cache line alone then. */
	if (deadline(peer, timer))
		atomic_store_explicit(&peer->timers.deadline_ns[timer], 0, memory_order_relaxed);
}

static uint64_t jitter(const struct peer *peer)
{
	const struct environment *env = peer->device->env;
	uint32_t v;

	env->random(env->arg, &v, sizeof(v));
	return v % TIMERS_JITTER_NS;
}

static void any_traversal(struct peer *peer, uint64_t now_ns)
{
	uint16_t seconds = atomic_load_explicit(&peer->keepalive_s, memory_order_relaxed);

	if (seconds)
		arm(peer, TIMER_PERSISTENT, now_ns + seconds * TIMERS_SECOND_NS);
}

void timers_data_sent(struct peer *peer, uint64_t now_ns)
{
	if (!deadline(peer, TIMER_NEW_HANDSHAKE))
		arm(peer, TIMER_NEW_HANDSHAKE, now_ns + TIMERS_NEW_HANDSHAKE_NS + jitter(peer));
	if (!deadline(peer, TIMER_ECHO))
		arm(peer, TIMER_ECHO, now_ns + TIMERS_ECHO_NS);
}

void timers_data_received(struct peer *peer, uint64_t now_ns)
{
	if (!deadline(peer, TIMER_KEEPALIVE))
		arm(peer, TIMER_KEEPALIVE, now_ns + TIMERS_KEEPALIVE_NS);
	else if (!atomic_load_explicit(&peer->timers.another_keepalive, memory_order_relaxed))
		atomic_store_explicit(&peer->timers.another_keepalive, true, memory_order_relaxed);
}

void timers_any_sent(struct peer *peer, uint64_t now_ns)
{
	cancel(peer, TIMER_KEEPALIVE);
	any_traversal(peer, now_ns);
}

void timers_any_received(struct peer *peer, uint64_t now_ns)
{
	cancel(peer, TIMER_NEW_HANDSHAKE);
	any_traversal(peer, now_ns);
}

void timers_initiation_sent(struct peer *peer, uint64_t now_ns)
{
	arm(peer, TIMER_RETRANSMIT, now_ns + TIMERS_REKEY_TIMEOUT_NS + jitter(peer));
}

bool timers_handshake_pending(const struct peer *peer)
{
	return deadline(peer, TIMER_RETRANSMIT) != 0;
}

uint64_t timers_unanswered_ns(const struct peer *peer, uint64_t now_ns)
{
	uint64_t attempts = atomic_load_explicit(&peer->timers.attempts, memory_order_relaxed);
	uint64_t due_ns = deadline(peer, TIMER_RETRANSMIT);
	uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;

	if (!due_ns)
		return 0;
	if (left_ns > TIMERS_REKEY_TIMEOUT_NS)
		left_ns = TIMERS_REKEY_TIMEOUT_NS;
	return (attempts + 1) * TIMERS_REKEY_TIMEOUT_NS - left_ns + 1; /* never 0: it is out */
}

void timers_handshake_complete(struct peer *peer)
{
	cancel(peer, TIMER_RETRANSMIT);
	atomic_store_explicit(&peer->timers.attempts, 0, memory_order_relaxed);
}

void timers_session_derived(struct peer *peer, uint64_t now_ns)
{
	arm(peer, TIMER_WIPE, now_ns + TIMERS_WIPE_NS);
}

void timers_hello_at(struct peer *peer, uint64_t when_ns)
{
	if (when_ns)
		arm(peer, TIMER_HELLO, when_ns);
	else
		cancel(peer, TIMER_HELLO);
}

void timers_post_at(struct peer *peer, uint64_t when_ns)
{
	arm(peer, TIMER_POST, when_ns);
}

void timers_probe_at(struct peer *peer, uint64_t when_ns)
{
	uint64_t armed_ns = deadline(peer, TIMER_PROBE);

	if (!armed_ns || armed_ns > when_ns)
		arm(peer, TIMER_PROBE, when_ns);
}

void timers_wish_refused(struct peer *peer, uint64_t now_ns)
{
	if (!deadline(peer, TIMER_WISH))
		arm(peer, TIMER_WISH, now_ns + TIMERS_WISH_NS + jitter(peer));
}

void timers_keepalive_changed(struct peer *peer, uint64_t now_ns)
{
	if (atomic_load_explicit(&peer->keepalive_s, memory_order_relaxed))
		arm(peer, TIMER_PERSISTENT, now_ns);
	else
		cancel(peer, TIMER_PERSISTENT);
}

void timers_get_due(const struct peer *peer, struct timers_due *due)
{
	due->keepalive_ns = deadline(peer, TIMER_KEEPALIVE);
	due->new_handshake_ns = deadline(peer, TIMER_NEW_HANDSHAKE);
	due->handshake_pending = timers_handshake_pending(peer);
}

void timers_set_due(struct peer *peer, const struct timers_due *due, uint64_t now_ns)
{
	uint64_t least_ns = now_ns + TIMERS_SECOND_NS;

	if (due->keepalive_ns)
		arm(peer, TIMER_KEEPALIVE, due->keepalive_ns);
	if (due->new_handshake_ns)
		arm(peer, TIMER_NEW_HANDSHAKE,
		    due->new_handshake_ns > least_ns ? due->new_handshake_ns : least_ns);
	if (due->handshake_pending)
		arm(peer, TIMER_WISH, now_ns);
}

/* True for exactly one caller when @timer of @peer is due; it is off then. */
static bool claim(struct peer *peer, enum timer timer, uint64_t now_ns)
{
	uint64_t when = deadline(peer, timer);

	return when && when <= now_ns &&
	       atomic_compare_exchange_strong_explicit(&peer->timers.deadline_ns[timer], &when, 0,
	                                               memory_order_relaxed, memory_order_relaxed);
}

static void send_keepalive(struct burst *burst, struct peer *peer)
{
	/* What is staged goes instead: it says the same. */
	if (tx_release(burst, peer))
		return;
	if (peer_send_keypair(peer, burst->now_ns))
		burst_add_packet(burst, peer, NULL, 0, BURST_KEEPALIVE);
	else
		handshake_want(burst, peer);
}

static void retransmit(struct burst *burst, struct peer *peer)
{
	uint32_t attempts = atomic_load_explicit(&peer->timers.attempts, memory_order_relaxed);

	if (attempts >= TIMERS_ATTEMPTS_MAX) {
		cancel(peer, TIMER_KEEPALIVE);
		atomic_store_explicit(&peer->timers.attempts, 0, memory_order_relaxed);
		peer_drop_staged(peer, DROP_OUT_STAGE_EXPIRED);
		/* What is left of the half-finished handshake goes as keys do. */
		if (!deadline(peer, TIMER_WIPE))
			arm(peer, TIMER_WIPE, burst->now_ns + TIMERS_WIPE_NS);
		return;
	}
	atomic_store_explicit(&peer->timers.attempts, attempts + 1, memory_order_relaxed);
	/* Perhaps it is our own address that no longer works. */
	peer_forget_source(peer);
	handshake_initiate(burst, peer, true);
}

static void expire(struct burst *burst, struct peer *peer)
{
	uint64_t now_ns = burst->now_ns;

	if (claim(peer, TIMER_RETRANSMIT, now_ns))
		retransmit(burst, peer);
	if (claim(peer, TIMER_KEEPALIVE, now_ns)) {
		send_keepalive(burst, peer);
		/*
		 * Its own "sent" event cancels the keepalive timer when the burst is
		 * sealed; so seal first, and arm the one that is due behind it.
		 */
		burst->flush(burst, burst->flush_arg);
		if (atomic_exchange_explicit(&peer->timers.another_keepalive, false,
		                             memory_order_relaxed))
			arm(peer, TIMER_KEEPALIVE, now_ns + TIMERS_KEEPALIVE_NS);
	}
	if (claim(peer, TIMER_NEW_HANDSHAKE, now_ns)) {
		peer_forget_source(peer);
		handshake_want(burst, peer);
	}
	if (claim(peer, TIMER_WIPE, now_ns)) {
		uint64_t again_ns = peer_wipe(peer, now_ns);

		if (again_ns && !deadline(peer, TIMER_WIPE))
			arm(peer, TIMER_WIPE, again_ns);
	}
	if (claim(peer, TIMER_PERSISTENT, now_ns)) {
		any_traversal(peer, now_ns);
		send_keepalive(burst, peer);
	}
	if (claim(peer, TIMER_HELLO, now_ns))
		hello_due(burst, peer);
	if (claim(peer, TIMER_WISH, now_ns))
		handshake_want(burst, peer);
	if (claim(peer, TIMER_ECHO, now_ns))
		echo_due(burst, peer);
	if (claim(peer, TIMER_POST, now_ns))
		post_due(burst, peer);
	if (claim(peer, TIMER_PROBE, now_ns))
		probe_due(burst, peer);
}

void timers_run(struct burst *burst)
{
	struct timers *timers = &burst->device->timers;

	for (unsigned int i = 0; i < RUN_MAX && timers_next(timers) <= burst->now_ns; i++) {
		struct peer *peer = NULL;
		uint64_t earliest = UINT64_MAX;

		pthread_mutex_lock(&timers->lock);
		if (timers->count && wake_of(timers->heap[0]) <= burst->now_ns) {
			peer = timers->heap[0];
			heap_remove(timers, peer);
		}
		publish_next(timers);
		pthread_mutex_unlock(&timers->lock);
		if (!peer)
			return;
		burst_make_room(burst);
		expire(burst, peer);
		for (int t = 0; t < TIMER_COUNT; t++) {
			uint64_t when = atomic_load(&peer->timers.deadline_ns[t]);

			if (when && when < earliest)
				earliest = when;
		}
		if (earliest != UINT64_MAX)
			wake_by(peer, earliest);
	}
}
