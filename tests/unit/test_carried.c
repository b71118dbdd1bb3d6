/* SPDX-License-Identifier: MIT */
/* Sessions that outlive the daemon: they go on, and no counter of a key is sealed twice. */
#include "unit/rig_test.h"
#include "dataplane/carried.h"

#define SEEN_MAX 65536

/* Every transport message that was ever sent: whose it is follows from the receiver's index. */
static struct {
	uint32_t receiver;
	uint64_t counter;
} seen[SEEN_MAX];
static size_t seen_count;

static unsigned int handshakes;

/* Notes what @host sent since the mark, and that nothing of it was there before. */
static void note(struct rig_host *host)
{
	for (unsigned int i = 0; i < host->sent_count; i++) {
		const uint8_t *msg = host->sent[i].data;
		uint32_t receiver = load_le32(msg + 4);
		uint64_t counter = load_le64(msg + 8);

		if (load_le32(msg) != MESSAGE_DATA) {
			handshakes++;
			continue;
		}
		for (size_t s = 0; s < seen_count; s++)
			assert_false(seen[s].receiver == receiver && seen[s].counter == counter);
		assert_true(seen_count < SEEN_MAX);
		seen[seen_count].receiver = receiver;
		seen[seen_count++].counter = counter;
	}
}

/* Rounds of both until nobody sends any more, noting all. */
static void talk(struct rig *rig)
{
	bool more = true;

	while (more) {
		more = false;
		for (unsigned int i = 0; i < 2; i++) {
			struct rig_host *host = &rig->host[i];

			rig_mark(host);
			rig_round(host);
			note(host);
			more |= rig_hand_over(host);
		}
	}
}

static void say(struct rig_host *host)
{
	uint8_t ip[256];

	rig_give_ip(host, ip, rig_make_udp(ip, RIG_ADDR(host->id), RIG_ADDR(!host->id), 68));
}

static uint64_t delivered_to(const struct rig_host *host)
{
	return stats_read(&host->net->rx_packets);
}

/* As a new process has it: nothing but what it was told. */
static void forget(struct rig_host *host)
{
	struct peer *peer = host->peer;

	peer_reset(peer);
	memset(&peer->hello, 0, sizeof(peer->hello));
	memset(peer->handshake.last_timestamp, 0, TIMESTAMP_SIZE);
	peer->timestamp_ns = 0;
	for (int t = 0; t < TIMER_COUNT; t++)
		atomic_store(&peer->timers.deadline_ns[t], 0);
}

static bool restart(struct rig *rig, struct rig_host *host)
{
	struct carried_peer carried;
	bool has_session;

	carried_take(host->peer, rig->now_ns, &carried);
	forget(host);
	has_session = carried_put(host->peer, rig->now_ns, &carried, true);
	carried_go_on(host->peer, rig->now_ns, &carried);
	return has_session;
}

static int begin(void **state)
{
	seen_count = 0;
	handshakes = 0;
	open_connected_rig(state);
	struct rig *rig = *state;

	rig_learn(A, RIG_ADDR(0));
	rig_learn(B, RIG_ADDR(1));
	talk(rig);
	handshakes = 0;
	return 0;
}

static void session_goes_on(void **state)
{
	struct rig *rig = *state;
	uint64_t before = delivered_to(B);

	say(A);
	talk(rig);
	assert_int_equal(delivered_to(B), before + 1);
	assert_true(restart(rig, A));
	say(A);
	say(B);
	talk(rig);
	assert_int_equal(delivered_to(B), before + 2);
	assert_int_equal(delivered_to(A), 1);
	assert_int_equal(handshakes, 0);
	assert_true(atomic_load(&A->peer->session.current)->send_counter >= SESSION_JUMP);
	/* Said again, and acknowledged: on this session. */
	assert_true(hello_may_send(&A->peer->hello, WIRE_FEATURE_CHECKSUM_HINT));
	assert_int_equal(atomic_load(&A->peer->hello.sends_left), 0);
}

/* What came before the restart does not come again behind it. */
static void windows_go_on(void **state)
{
	struct rig *rig = *state;
	uint8_t plain[128], messages[8][256];
	uint32_t len[8], plain_len = rig_make_udp(plain, RIG_ADDR(1), RIG_ADDR(0), 68);
	uint64_t before;

	for (int i = 0; i < 8; i++)
		len[i] = rig_seal(B, plain, plain_len, messages[i]);
	/* Every other one has come. */
	for (int i = 0; i < 8; i += 2)
		rig_give_datagram(A, &B->address, messages[i], len[i], 0, 0);
	rig_round(A);
	before = delivered_to(A);
	assert_true(restart(rig, A));
	rig_mark(A);
	for (int i = 0; i < 8; i++)
		rig_give_datagram(A, &B->address, messages[i], len[i], 0, 0);
	rig_round(A);
	assert_int_equal(delivered_to(A), before + 4);
	assert_int_equal(rig_dropped(A, DROP_RX_REPLAY), 4);
}

/* The peer does not take the jump for four milliards of packets that were lost. */
static void a_jump_is_no_loss(void **state)
{
	struct rig *rig = *state;
	struct peer_info info;
	uint8_t msg[64] = { 0 };

	rig_seal(A, msg, 0, msg); /* one that is */
	for (int i = 0; i < 3; i++) {
		assert_true(restart(rig, A));
		say(A);
		talk(rig);
	}
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.lost, 1);
}

/* Either side, at any moment, as often as it likes. */
static void counters_never_repeat(void **state)
{
	struct rig *rig = *state;
	uint64_t seed = 4711, said[2] = { 0, 0 };
	uint64_t before[2] = { delivered_to(A), delivered_to(B) };

	for (int i = 0; i < 400; i++) {
		for (uint64_t n = unit_random(&seed) % 6; n > 0; n--) {
			unsigned int who = unit_random(&seed) % 2;

			say(&rig->host[who]);
			said[who]++;
		}
		/* What is sealed and not yet sent on is lost, and not sealed again. */
		if (unit_random(&seed) % 3)
			talk(rig);
		if (unit_random(&seed) % 2)
			assert_true(restart(rig, &rig->host[unit_random(&seed) % 2]));
		rig->now_ns += unit_random(&seed) % (10 * RIG_MS);
	}
	talk(rig);
	assert_int_equal(delivered_to(A), before[0] + said[1]);
	assert_int_equal(delivered_to(B), before[1] + said[0]);
	assert_int_equal(handshakes, 0);
	assert_true(seen_count > 1000);
}

/* A responder that has answered, and not heard the first message on the new key yet. */
static void an_answer_goes_on(void **state)
{
	struct rig *rig = *state;
	uint64_t before = delivered_to(B);

	peer_reset(A->peer);
	rig->now_ns += 10 * RIG_SECOND;
	say(A);
	rig_mark(A);
	rig_round(A);
	rig_hand_over(A);
	rig_mark(B);
	rig_round(B);
	assert_non_null(atomic_load(&B->peer->session.next));
	assert_true(restart(rig, B));
	assert_non_null(atomic_load(&B->peer->session.next));
	rig_hand_over(B);
	talk(rig);
	assert_null(atomic_load(&B->peer->session.next));
	assert_int_equal(delivered_to(B), before + 1);
}

/* An initiation that nobody answers any more is made anew, at once. */
static void a_handshake_is_begun_anew(void **state)
{
	struct rig *rig = *state;
	uint64_t before = delivered_to(B);

	peer_reset(A->peer);
	rig->now_ns += 10 * RIG_SECOND;
	say(A);
	rig_mark(A);
	rig_round(A);
	assert_true(timers_handshake_pending(A->peer));
	assert_false(restart(rig, A));
	say(A);
	talk(rig);
	assert_true(handshakes >= 2);
	assert_int_equal(delivered_to(B),
	                 before + 1 + 1); /* the staged one is the rig's, and stays */
}

static void old_ones_do_not_go_on(void **state)
{
	struct rig *rig = *state;
	struct keypair *kp = atomic_load(&A->peer->session.current);
	struct carried_peer carried;
	uint8_t stamp[TIMESTAMP_SIZE];

	/* Too old when taken, too old when put, of the future. */
	rig->now_ns = kp->birth_ns + SESSION_REJECT_AFTER_NS - 1;
	carried_take(A->peer, rig->now_ns, &carried);
	assert_true(carried.keypairs[CARRIED_CURRENT].there);
	memcpy(stamp, A->peer->handshake.last_timestamp, TIMESTAMP_SIZE);
	forget(A);
	assert_false(carried_put(A->peer, rig->now_ns + 1, &carried, true));
	assert_null(atomic_load(&A->peer->session.current));
	assert_false(carried_put(A->peer, carried.keypairs[CARRIED_CURRENT].birth_ns - 1, &carried,
	                         true));
	/* Nor without leave; but what was heard is not heard again. */
	assert_false(carried_put(A->peer, rig->now_ns, &carried, false));
	assert_null(atomic_load(&A->peer->session.current));
	assert_memory_equal(A->peer->handshake.last_timestamp, stamp, TIMESTAMP_SIZE);
	/* Out of counters. */
	carried.keypairs[CARRIED_CURRENT].send_counter = SESSION_REKEY_AFTER_MESSAGES;
	assert_false(carried_put(A->peer, rig->now_ns, &carried, true));
	carried.keypairs[CARRIED_CURRENT].send_counter--;
	assert_true(carried_put(A->peer, rig->now_ns, &carried, true));
	rig->now_ns++;
	carried_take(A->peer, rig->now_ns, &carried);
	assert_false(carried.keypairs[CARRIED_CURRENT].there);
}

/* An index names one key pair. */
static void an_index_is_given_once(void **state)
{
	struct rig *rig = *state;
	struct carried_peer carried;
	uint32_t index;

	carried_take(A->peer, rig->now_ns, &carried);
	index = carried.keypairs[CARRIED_CURRENT].local_index;
	assert_false(carried_put(A->third, rig->now_ns, &carried, true));
	assert_null(atomic_load(&A->third->session.current));
	assert_non_null(index_lookup(&A->device->indices, index, INDEX_KEYPAIR));
	forget(A);
	assert_null(index_lookup(&A->device->indices, index, INDEX_KEYPAIR));
	assert_true(carried_put(A->peer, rig->now_ns, &carried, true));
	assert_non_null(index_lookup(&A->device->indices, index, INDEX_KEYPAIR));
}

static void what_is_due_stays_due(void **state)
{
	struct rig *rig = *state;
	uint64_t keepalive_ns, birth_ns = atomic_load(&B->peer->session.current)->birth_ns;

	say(A);
	talk(rig);
	keepalive_ns = deadline(B, TIMER_KEEPALIVE);
	assert_true(keepalive_ns > rig->now_ns);
	assert_true(deadline(A, TIMER_NEW_HANDSHAKE) > rig->now_ns);
	rig->now_ns += 3 * RIG_SECOND;
	assert_true(restart(rig, B));
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), keepalive_ns);
	assert_int_equal(deadline(B, TIMER_WIPE), birth_ns + TIMERS_WIPE_NS);
	/* One that fell due while nobody ran waits a moment for what waits in the socket. */
	rig->now_ns += 60 * RIG_SECOND;
	assert_true(restart(rig, A));
	assert_int_equal(deadline(A, TIMER_NEW_HANDSHAKE), rig->now_ns + RIG_SECOND);
}

#define carried_test(f) cmocka_unit_test_setup_teardown(f, begin, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		carried_test(session_goes_on),       carried_test(windows_go_on),
		carried_test(a_jump_is_no_loss),     carried_test(counters_never_repeat),
		carried_test(an_answer_goes_on),     carried_test(a_handshake_is_begun_anew),
		carried_test(old_ones_do_not_go_on), carried_test(an_index_is_given_once),
		carried_test(what_is_due_stays_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
