/* SPDX-License-Identifier: MIT */
/*
 * The event table of timers.h, row by row, what each timer does when it is due,
 * and the heap against a slow twin. What follows over minutes: tests/sim.
 */
#include <stdlib.h>
#include "unit/rig_test.h"
#include "dataplane/hello.h"
#include "dataplane/timers.h"

#define NOW (rig->now_ns)

static void set(struct rig_host *host, enum timer timer, uint64_t when)
{
	atomic_store(&host->peer->timers.deadline_ns[timer], when);
}

static void clear(struct rig_host *host)
{
	for (int t = 0; t < TIMER_COUNT; t++)
		set(host, (enum timer)t, 0);
	atomic_store(&host->peer->timers.another_keepalive, false);
}

/* All timers but @except stand at @when. */
static void assert_others(const struct rig_host *host, enum timer except, uint64_t when)
{
	for (int t = 0; t < TIMER_COUNT; t++)
		if (t != (int)except)
			assert_int_equal(deadline(host, (enum timer)t), when);
}

/* ---- events ---- */

static void data_sent(void **state)
{
	struct rig *rig = *state;
	uint64_t first;

	clear(A);
	timers_data_sent(A->peer, NOW);
	first = deadline(A, TIMER_NEW_HANDSHAKE);
	assert_in_range(first - NOW, 15 * RIG_SECOND, 15 * RIG_SECOND + TIMERS_JITTER_NS);
	assert_int_equal(deadline(A, TIMER_ECHO), NOW + TIMERS_ECHO_NS);
	set(A, TIMER_ECHO, 0);
	assert_others(A, TIMER_NEW_HANDSHAKE, 0);
	/* Armed already: what was said first counts. */
	timers_data_sent(A->peer, NOW + RIG_SECOND);
	assert_int_equal(deadline(A, TIMER_NEW_HANDSHAKE), first);
}

static void data_received(void **state)
{
	struct rig *rig = *state;

	clear(A);
	timers_data_received(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), NOW + 10 * RIG_SECOND);
	assert_others(A, TIMER_KEEPALIVE, 0);
	assert_false(atomic_load(&A->peer->timers.another_keepalive));
	timers_data_received(A->peer, NOW + RIG_SECOND);
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), NOW + 10 * RIG_SECOND);
	assert_true(atomic_load(&A->peer->timers.another_keepalive));
}

static void anything_sent_or_received(void **state)
{
	struct rig *rig = *state;

	for (int t = 0; t < TIMER_COUNT; t++)
		set(A, (enum timer)t, 7);
	timers_any_sent(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), 0);
	assert_others(A, TIMER_KEEPALIVE, 7);
	set(A, TIMER_KEEPALIVE, 7);
	timers_any_received(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_NEW_HANDSHAKE), 0);
	assert_others(A, TIMER_NEW_HANDSHAKE, 7);
}

static void either_moves_the_persistent_keepalive(void **state)
{
	struct rig *rig = *state;

	clear(A);
	timers_any_sent(A->peer, NOW);
	timers_any_received(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_PERSISTENT), 0);
	atomic_store(&A->peer->keepalive_s, 25);
	timers_any_sent(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_PERSISTENT), NOW + 25 * RIG_SECOND);
	timers_any_received(A->peer, NOW + 3);
	assert_int_equal(deadline(A, TIMER_PERSISTENT), NOW + 3 + 25 * RIG_SECOND);
}

static void handshake_events(void **state)
{
	struct rig *rig = *state;
	uint64_t when;

	clear(A);
	assert_false(timers_handshake_pending(A->peer));
	timers_initiation_sent(A->peer, NOW);
	when = deadline(A, TIMER_RETRANSMIT);
	assert_in_range(when - NOW, 5 * RIG_SECOND, 5 * RIG_SECOND + TIMERS_JITTER_NS);
	assert_true(timers_handshake_pending(A->peer));
	atomic_store(&A->peer->timers.attempts, 5);
	timers_handshake_complete(A->peer);
	assert_int_equal(deadline(A, TIMER_RETRANSMIT), 0);
	assert_int_equal(atomic_load(&A->peer->timers.attempts), 0);
	timers_session_derived(A->peer, NOW);
	assert_int_equal(deadline(A, TIMER_WIPE), NOW + 540 * RIG_SECOND);
	timers_hello_at(A->peer, NOW + 1);
	assert_int_equal(deadline(A, TIMER_HELLO), NOW + 1);
	timers_hello_at(A->peer, 0);
	assert_int_equal(deadline(A, TIMER_HELLO), 0);
}

static void keepalive_interval(void **state)
{
	struct rig *rig = *state;

	clear(A);
	peer_set_keepalive(A->peer, 25);
	assert_int_equal(deadline(A, TIMER_PERSISTENT), NOW);
	set(A, TIMER_PERSISTENT, 7);
	peer_set_keepalive(A->peer, 25); /* the same: nothing happens */
	assert_int_equal(deadline(A, TIMER_PERSISTENT), 7);
	peer_set_keepalive(A->peer, 0);
	assert_int_equal(deadline(A, TIMER_PERSISTENT), 0);
}

/* pitfall_13: two devices that start together do not retry together. */
static void pitfall_13_jitter(void **state)
{
	struct rig *rig = *state;
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 1000; i++) {
		timers_initiation_sent(A->peer, NOW);
		uint64_t after = deadline(A, TIMER_RETRANSMIT) - NOW;
		least = after < least ? after : least;
		most = after > most ? after : most;
	}
	assert_in_range(least, 5 * RIG_SECOND, 5 * RIG_SECOND + 10 * RIG_MS);
	assert_in_range(most, 5 * RIG_SECOND + 323 * RIG_MS, 5 * RIG_SECOND + 333 * RIG_MS);
}

/* ---- when they are due ---- */

/* At @when nothing has been sent, a nanosecond before that; then one message of @type. */
static void assert_sends(struct rig *rig, uint64_t when, uint32_t type, uint32_t len)
{
	rig_mark(A);
	rig->now_ns = when - 1;
	rig_round(A);
	assert_int_equal(A->sent_count, 0);
	rig->now_ns = when;
	rig_round(A);
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(load_le32(A->sent[0].data), type);
	assert_int_equal(A->sent[0].len, len);
}

static void a_keepalive_is_sent_when_due(void **state)
{
	struct rig *rig = *state;

	clear(A);
	timers_data_received(A->peer, NOW);
	assert_sends(rig, NOW + 10 * RIG_SECOND, MESSAGE_DATA, 32);
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), 0);
}

static void another_keepalive_is_due(void **state)
{
	struct rig *rig = *state;
	uint64_t start = NOW;

	clear(A);
	timers_data_received(A->peer, start);
	timers_data_received(A->peer, start + 5 * RIG_SECOND);
	assert_sends(rig, start + 10 * RIG_SECOND, MESSAGE_DATA, 32);
	/* The first one's own "sent" event has not cancelled the second. */
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), start + 20 * RIG_SECOND);
	assert_sends(rig, start + 20 * RIG_SECOND, MESSAGE_DATA, 32);
	assert_int_equal(deadline(A, TIMER_KEEPALIVE), 0);
}

static void the_persistent_keepalive_is_sent_when_due(void **state)
{
	struct rig *rig = *state;

	clear(A);
	atomic_store(&A->peer->keepalive_s, 25);
	timers_any_sent(A->peer, NOW);
	assert_sends(rig, NOW + 25 * RIG_SECOND, MESSAGE_DATA, 32);
	assert_sends(rig, NOW + 25 * RIG_SECOND, MESSAGE_DATA, 32);
}

static unsigned int initiations(const struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++)
		n += load_le32(host->sent[i].data) == MESSAGE_INITIATION;
	return n;
}

/* Data sent on a key of 120 s asks for a new one: its initiator's, and no control message's. */
static void rekey_on_sending(void **state)
{
	struct rig *rig = *state;
	uint64_t birth = atomic_load(&A->peer->session.current)->birth_ns;
	uint8_t ip[64];
	uint32_t len;

	for (unsigned int i = 0; i < 2; i++)
		clear(&rig->host[i]);
	NOW = birth + 120 * RIG_SECOND - 1;
	len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10);
	rig_give_ip(A, ip, len);
	rig_round(A);
	assert_int_equal(initiations(A), 0);
	NOW++;
	clear(A);
	timers_hello_at(A->peer, NOW);
	atomic_store(&A->peer->hello.sends_left, 1);
	atomic_store(&A->peer->hello.acked, false);
	rig_mark(A);
	rig_round(A);
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(initiations(A), 0);
	rig_give_ip(A, ip, len);
	rig_round(A);
	assert_int_equal(initiations(A), 1);
	/* The responder leaves it to the initiator. */
	len = rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10);
	rig_give_ip(B, ip, len);
	rig_round(B);
	assert_true(B->sent_count > 0);
	assert_int_equal(initiations(B), 0);
}

/* Data received on a key of 165 s: the initiator asks once, the responder never. */
static void rekey_on_receiving(void **state)
{
	struct rig *rig = *state;
	uint64_t birth = atomic_load(&A->peer->session.current)->birth_ns;
	uint8_t ip[64];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10);

	NOW = birth + 165 * RIG_SECOND - 1;
	for (unsigned int i = 0; i < 2; i++)
		clear(&rig->host[i]);
	rig_tell(B, ip, len, 0);
	assert_int_equal(initiations(A), 0);
	NOW++;
	rig_tell(B, NULL, 0, 0); /* a keepalive is no reason */
	assert_int_equal(initiations(A), 0);
	rig_tell(B, ip, len, 0);
	assert_int_equal(initiations(A), 1);
	clear(A);
	NOW += 6 * RIG_SECOND;
	rig_tell(B, ip, len, 0);
	assert_int_equal(initiations(A), 1);
	rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10), 0);
	assert_int_equal(initiations(B), 0);
}

/* What we send ourselves is answer enough. */
static void data_sent_replaces_the_keepalive(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	clear(A);
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1)); /* from outside, so that B has heard something */
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), NOW + 10 * RIG_SECOND);
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_round(B);
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), 0);
}

static void silence_is_answered_by_a_handshake(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	clear(A);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_sends(rig, deadline(A, TIMER_NEW_HANDSHAKE), MESSAGE_INITIATION, 148);
}

static void hellos_are_no_data(void **state)
{
	struct rig *rig = *state;
	struct hello_message msg = { .version = 1 };
	uint8_t out[HELLO_SIZE_MAX];

	clear(A);
	clear(B);
	rig_mark(B);
	rig_tell(A, out, hello_format(out, &msg), 0);
	/* Answered, and neither side owes or expects anything for it. */
	assert_int_equal(B->sent_count, 1);
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), 0);
	assert_int_equal(deadline(B, TIMER_NEW_HANDSHAKE), 0);
}

/* When one timer is done with, the peer is looked at again for each of the others. */
static void no_timer_is_forgotten_for_another(void **state)
{
	struct rig *rig = *state;

	for (int t = 0; t < TIMER_COUNT; t++) {
		if (t == TIMER_HELLO)
			continue;
		clear(A);
		atomic_store(&A->peer->hello.acked, true); /* nothing to say, when it is due */
		set(A, (enum timer)t, NOW + 500 * RIG_SECOND);
		timers_hello_at(A->peer, NOW + RIG_SECOND);
		NOW += RIG_SECOND;
		rig_round(A);
		assert_int_equal(atomic_load(&A->peer->timers.wake_ns), NOW + 499 * RIG_SECOND);
	}
}

/* Half a handshake is wiped like keys are, and no keepalive is owed to nobody. */
static void giving_up(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	atomic_store(&A->peer->timers.attempts, TIMERS_ATTEMPTS_MAX);
	set(A, TIMER_KEEPALIVE, NOW + 100 * RIG_SECOND);
	rig_mark(A);
	NOW = deadline(A, TIMER_RETRANSMIT);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_OUT_STAGE_EXPIRED, 1, RIG_PEER));
	assert_int_equal(deadline(A, TIMER_WIPE), NOW + TIMERS_WIPE_NS);
	assert_others(A, TIMER_WIPE, 0);
	assert_int_equal(A->peer->handshake.state, NOISE_INITIATION_CREATED);
	NOW += TIMERS_WIPE_NS;
	rig_round(A);
	assert_int_equal(A->peer->handshake.state, NOISE_ZEROED);
}

static void keys_are_wiped_when_due(void **state)
{
	struct rig *rig = *state;

	clear(A);
	timers_session_derived(A->peer, NOW);
	rig->now_ns += 540 * RIG_SECOND - 1;
	rig_round(A);
	assert_non_null(atomic_load(&A->peer->session.current));
	rig->now_ns++;
	rig_round(A);
	assert_null(atomic_load(&A->peer->session.current));
	assert_null(atomic_load(&A->peer->session.previous));
	assert_null(atomic_load(&A->peer->session.next));
	assert_int_equal(A->peer->handshake.state, NOISE_ZEROED);
}

/*
 * Another worker finishes a handshake between the claim of the timer and the wipe:
 * what comes of it for the timer is that it is due and the keys are young.
 */
static void young_keys_outlive_the_wipe(void **state)
{
	struct rig *rig = *state;
	const struct keypair *kp = atomic_load(&A->peer->session.current);
	uint64_t birth = kp->birth_ns;

	clear(A);
	set(A, TIMER_WIPE, birth + 539 * RIG_SECOND);
	timers_hello_at(A->peer, 1); /* so that the peer is looked at */
	atomic_store(&A->peer->hello.acked, true);
	NOW = birth + 540 * RIG_SECOND - 1;
	rig_round(A);
	assert_ptr_equal(atomic_load(&A->peer->session.current), kp);
	assert_int_equal(deadline(A, TIMER_WIPE), birth + 540 * RIG_SECOND);
	NOW++;
	rig_round(A);
	assert_null(atomic_load(&A->peer->session.current));
	assert_int_equal(deadline(A, TIMER_WIPE), 0);
}

/* The first packet in nine minutes, just before the wipe: its handshake is not taken along. */
static void a_handshake_outlives_the_wipe(void **state)
{
	struct rig *rig = *state;
	uint64_t birth = atomic_load(&A->peer->session.current)->birth_ns;
	uint8_t ip[64];

	clear(A);
	clear(B);
	timers_session_derived(A->peer, birth);
	NOW = birth + 540 * RIG_SECOND - 1;
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_int_equal(initiations(A), 1);
	NOW++;
	rig_round(A);
	assert_null(atomic_load(&A->peer->session.current));
	assert_int_equal(A->peer->handshake.state, NOISE_INITIATION_CREATED);
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(packets(B), 1);
	assert_int_equal(deadline(A, TIMER_WIPE), NOW + 540 * RIG_SECOND);
}

static void the_source_is_forgotten_on_retry(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoint = B->address;
	uint8_t ip[64];

	endpoint.source.in.s_addr = 0x0100000a;
	endpoint.source_ifindex = 3;
	peer_set_endpoint(A->peer, &endpoint);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_int_equal(A->sent[0].to.source_ifindex, 3);
	assert_sends(rig, deadline(A, TIMER_RETRANSMIT), MESSAGE_INITIATION, 148);
	assert_int_equal(A->sent[0].to.source_ifindex, 0);
	assert_int_equal(A->sent[0].to.source.in.s_addr, 0);
}

static void a_stopped_peer_does_nothing(void **state)
{
	struct rig *rig = *state;

	peer_set_keepalive(A->peer, 5);
	timers_data_received(A->peer, NOW);
	peer_kill(A->peer);
	timers_data_received(A->peer, NOW);
	timers_initiation_sent(A->peer, NOW);
	peer_set_keepalive(A->peer, 6);
	rig_mark(A);
	rig->now_ns += 1000 * RIG_SECOND;
	rig_round(A);
	assert_int_equal(A->sent_count, 0);
	assert_int_equal(timers_next(&A->device->timers), UINT64_MAX);
}

/* ---- the heap ---- */

#define PEERS 10000

struct twin {
	struct device *device;
	struct burst *burst;
	struct peer *peers[PEERS];
	uint64_t when[PEERS]; /* of TIMER_HELLO: its being due does nothing here but end it */
	bool stopped[PEERS];
};

static void no_flush(struct burst *burst, void *arg)
{
	(void)arg;
	burst_reset(burst);
}

/* All that was due by @now has ended, nothing else has, and the next wake is not too late. */
static void check_twin(struct twin *twin, uint64_t now)
{
	const struct timers *timers = &twin->device->timers;
	uint64_t earliest = UINT64_MAX;

	for (size_t i = 0; i < PEERS; i++) {
		uint64_t when = atomic_load(&twin->peers[i]->timers.deadline_ns[TIMER_HELLO]);

		if (twin->when[i] <= now)
			twin->when[i] = 0;
		assert_int_equal(when, twin->when[i]);
		if (when && when < earliest)
			earliest = when;
	}
	assert_true(timers_next(timers) <= earliest);
	for (size_t i = 0; i < timers->count; i++) {
		const struct peer *peer = timers->heap[i];

		assert_int_equal(peer->timers.heap_slot, i);
		assert_false(atomic_load(&peer->timers.stopped));
		assert_true(i == 0 || atomic_load(&timers->heap[(i - 1) / 2]->timers.wake_ns) <=
		                              atomic_load(&peer->timers.wake_ns));
	}
}

static void run_until_quiet(struct twin *twin, uint64_t now)
{
	unsigned int calls = 0;

	twin->burst->now_ns = now;
	while (timers_next(&twin->device->timers) <= now) {
		timers_run(twin->burst);
		assert_true(++calls <= 2 * PEERS);
	}
}

static void open_twin(struct twin *twin, struct rig *rig)
{
	assert_int_equal(device_open(&twin->device, &A->env), 0);
	assert_int_equal(timers_reserve(&twin->device->timers, PEERS), 0);
	twin->burst = burst_open(twin->device);
	assert_non_null(twin->burst);
	twin->burst->view = atomic_load(&twin->device->view);
	twin->burst->flush = no_flush;
	for (size_t i = 0; i < PEERS; i++) {
		uint8_t key[KEY_SIZE] = { (uint8_t)i, (uint8_t)(i >> 8), 1 };

		twin->peers[i] = peer_create(twin->device, key);
		assert_non_null(twin->peers[i]);
	}
}

static void close_twin(struct twin *twin)
{
	for (size_t i = 0; i < PEERS; i++) {
		peer_kill(twin->peers[i]);
		peer_retire(twin->peers[i]);
	}
	burst_close(twin->burst);
	device_close(twin->device);
	free(twin);
}

static void the_heap_agrees_with_a_slow_twin(void **state)
{
	struct rig *rig = *state;
	struct twin *twin = calloc(1, sizeof(*twin));
	uint64_t seed = 7, now = NOW;

	assert_non_null(twin);
	open_twin(twin, rig);
	for (unsigned int round = 0; round < 100; round++) {
		for (unsigned int n = 0; n < 3000; n++) {
			size_t i = unit_random(&seed) % PEERS;
			uint64_t when = now + 1 + unit_random(&seed) % (20 * RIG_SECOND);

			if (twin->stopped[i])
				continue;
			/* Armed anew, earlier or later, cancelled, or stopped for good. */
			if (unit_random(&seed) % 8 == 0)
				when = 0;
			twin->when[i] = when;
			timers_hello_at(twin->peers[i], when);
			if (unit_random(&seed) % 500 == 0) {
				timers_stop(twin->peers[i]);
				twin->stopped[i] = true;
				twin->when[i] = 0;
			}
		}
		now += unit_random(&seed) % RIG_SECOND;
		run_until_quiet(twin, now);
		check_twin(twin, now);
	}
	/* In the end all have come and gone. */
	now += 20 * RIG_SECOND;
	run_until_quiet(twin, now);
	check_twin(twin, now);
	assert_int_equal(twin->device->timers.count, 0);
	assert_int_equal(timers_next(&twin->device->timers), UINT64_MAX);
	close_twin(twin);
}

/* A thousand due at once are served in shares, so that data has its turn in between. */
static void a_crowd_is_served_in_shares(void **state)
{
	struct rig *rig = *state;
	struct twin *twin = calloc(1, sizeof(*twin));
	unsigned int calls = 0;

	assert_non_null(twin);
	open_twin(twin, rig);
	for (size_t i = 0; i < 1000; i++)
		timers_hello_at(twin->peers[i], NOW + 1);
	twin->burst->now_ns = NOW + 1;
	while (timers_next(&twin->device->timers) <= NOW + 1) {
		size_t before = twin->device->timers.count;

		timers_run(twin->burst);
		assert_true(before - twin->device->timers.count <= 64);
		calls++;
	}
	assert_in_range(calls, 1000 / 64, 1000);
	check_twin(twin, NOW + 1);
	close_twin(twin);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(data_sent),
		rig_test(data_received),
		rig_test(anything_sent_or_received),
		rig_test(either_moves_the_persistent_keepalive),
		rig_test(handshake_events),
		rig_test(keepalive_interval),
		rig_test(pitfall_13_jitter),
		rig_connected_test(a_keepalive_is_sent_when_due),
		rig_connected_test(another_keepalive_is_due),
		rig_connected_test(the_persistent_keepalive_is_sent_when_due),
		rig_connected_test(rekey_on_sending),
		rig_connected_test(rekey_on_receiving),
		rig_connected_test(data_sent_replaces_the_keepalive),
		rig_connected_test(silence_is_answered_by_a_handshake),
		rig_connected_test(hellos_are_no_data),
		rig_test(no_timer_is_forgotten_for_another),
		rig_test(giving_up),
		rig_connected_test(keys_are_wiped_when_due),
		rig_connected_test(young_keys_outlive_the_wipe),
		rig_connected_test(a_handshake_outlives_the_wipe),
		rig_test(the_source_is_forgotten_on_retry),
		rig_connected_test(a_stopped_peer_does_nothing),
		rig_test(the_heap_agrees_with_a_slow_twin),
		rig_test(a_crowd_is_served_in_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
