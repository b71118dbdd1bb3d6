/* SPDX-License-Identifier: MIT */
/* Key slots, nonces, bursts, and four threads on one key pair. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "crypto/session.h"

#define ROOM   256
#define SECOND 1000000000ULL
#define BIRTH  (1000 * SECOND)
#define CAP    SESSION_REJECT_AFTER_MESSAGES
#define HEADER sizeof(struct message_data)

/* Two ends of one session. */
static void pair_init(struct keypair *a, struct keypair *b)
{
	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	secret_random(a->send_key, KEY_SIZE);
	secret_random(a->receive_key, KEY_SIZE);
	memcpy(b->send_key, a->receive_key, KEY_SIZE);
	memcpy(b->receive_key, a->send_key, KEY_SIZE);
	a->initiator = true;
	a->local_index = b->remote_index = 0xa1;
	b->local_index = a->remote_index = 0xb2;
	a->birth_ns = b->birth_ns = BIRTH;
}

static void seal_one(struct keypair *kp, uint8_t *packet, uint32_t len, uint64_t counter)
{
	struct session_op op = { .packet = packet, .len = len };

	session_seal_burst(kp, counter, &op, 1);
}

/* Opens a copy, so that a packet can be opened again. */
static enum session_verdict open_one(struct keypair *kp, const uint8_t *packet, uint32_t len)
{
	uint8_t copy[ROOM];
	struct session_op op = { .packet = copy, .len = len };
	unsigned int good;

	memcpy(copy, packet, len + MESSAGE_DATA_OVERHEAD);
	good = session_open_burst(kp, &op, 1);
	assert_int_equal(good, op.verdict == SESSION_OK);
	return op.verdict;
}

/* --- slots --- */

/* Key pairs as letters: "cpn" before, what is done with 'x', "cpn" after, who left. */
struct rotation {
	int number;
	const char *before;
	char verb; /* i: install as initiator, r: as responder, f: confirm, c: clear */
	char subject;
	const char *after;
	const char *left;
};

static struct keypair keypairs[26];

static struct keypair *of_letter(char c)
{
	return c == '-' ? NULL : &keypairs[c - 'a'];
}

static char letter_of(const struct keypair *kp)
{
	return (char)(kp ? 'a' + (kp - keypairs) : '-');
}

static void run_rotation(const struct rotation *row)
{
	struct session session;
	struct keypair *out[3];
	unsigned int n = 0;
	char after[4] = "", left[4] = "";

	atomic_init(&session.current, of_letter(row->before[0]));
	atomic_init(&session.previous, of_letter(row->before[1]));
	atomic_init(&session.next, of_letter(row->before[2]));
	switch (row->verb) {
	case 'i':
		n = session_install_initiator(&session, of_letter(row->subject), out);
		break;
	case 'r':
		n = session_install_responder(&session, of_letter(row->subject), out);
		break;
	case 'f':
		n = session_confirm(&session, of_letter(row->subject), out);
		break;
	default:
		n = session_clear(&session, out);
		break;
	}
	after[0] = letter_of(atomic_load(&session.current));
	after[1] = letter_of(atomic_load(&session.previous));
	after[2] = letter_of(atomic_load(&session.next));
	for (unsigned int i = 0; i < n; i++)
		left[i] = letter_of(out[i]);
	if (strcmp(after, row->after) != 0 || strcmp(left, row->left) != 0)
		fail_msg("row %d: %s, left %s; expected %s, left %s", row->number, after, left,
		         row->after, row->left);
}

static void test_slot_rotations(void **state)
{
	static const struct rotation rows[] = {
		/* current, previous, next */
		{ 1, "---", 'i', 'x', "x--", "" },
		{ 2, "c--", 'i', 'x', "xc-", "" },
		{ 3, "cp-", 'i', 'x', "xc-", "p" },
		{ 4, "--n", 'i', 'x', "xn-", "" },
		{ 5, "c-n", 'i', 'x', "xn-", "c" },
		{ 6, "cpn", 'i', 'x', "xn-", "cp" },
		{ 7, "-p-", 'i', 'x', "x--", "p" },
		{ 8, "-pn", 'i', 'x', "xn-", "p" },
		{ 9, "---", 'r', 'x', "--x", "" },
		{ 10, "c--", 'r', 'x', "c-x", "" },
		{ 11, "cp-", 'r', 'x', "c-x", "p" },
		{ 12, "c-n", 'r', 'x', "c-x", "n" },
		{ 13, "cpn", 'r', 'x', "c-x", "np" },
		{ 14, "--n", 'r', 'x', "--x", "n" },
		{ 15, "--n", 'f', 'n', "n--", "" },
		{ 16, "c-n", 'f', 'n', "nc-", "" },
		{ 17, "cpn", 'f', 'n', "nc-", "p" },
		/* it has been promoted, or replaced, meanwhile */
		{ 18, "nc-", 'f', 'n', "nc-", "" },
		{ 19, "cpx", 'f', 'n', "cpx", "" },
		{ 20, "cp-", 'f', 'c', "cp-", "" },
		{ 21, "cp-", 'f', '-', "cp-", "" },
		{ 22, "cpn", 'c', '-', "---", "cpn" },
		{ 23, "c--", 'c', '-', "---", "c" },
		{ 24, "---", 'c', '-', "---", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		run_rotation(&rows[i]);
}

/* --- nonces and limits --- */

static void test_expires_at_180_seconds(void **state)
{
	struct keypair a, b;
	uint64_t first;

	(void)state;
	pair_init(&a, &b);
	assert_int_equal(session_reserve(&a, 1, BIRTH + 180 * SECOND - 1, &first), SESSION_OK);
	assert_int_equal(session_reserve(&a, 1, BIRTH + 180 * SECOND, &first), SESSION_EXPIRED);
	assert_int_equal(session_reserve(&a, 1, BIRTH + 9999 * SECOND, &first), SESSION_EXPIRED);
	assert_int_equal(atomic_load(&a.send_counter), 1);
	/* a worker whose round began before the key pair was made */
	assert_int_equal(session_reserve(&a, 1, BIRTH - 1, &first), SESSION_OK);
	assert_int_equal(first, 1);
	assert_false(session_wants_rekey(&a, BIRTH - 1));
}

static void test_wants_rekey(void **state)
{
	struct keypair a, b;

	(void)state;
	pair_init(&a, &b);
	assert_false(session_wants_rekey(&a, BIRTH + 120 * SECOND - 1));
	assert_true(session_wants_rekey(&a, BIRTH + 120 * SECOND));
	/* the responder leaves it to the initiator, but for the messages */
	assert_false(session_wants_rekey(&b, BIRTH + 179 * SECOND));
	atomic_store(&b.send_counter, SESSION_REKEY_AFTER_MESSAGES - 1);
	assert_false(session_wants_rekey(&b, BIRTH));
	atomic_store(&b.send_counter, SESSION_REKEY_AFTER_MESSAGES);
	assert_true(session_wants_rekey(&b, BIRTH));
}

static void test_pitfall_1_counter_32_bits(void **state)
{
	struct keypair a, b;
	uint8_t packets[4][ROOM], zero[ROOM] = { 0 };
	struct session_op ops[4];
	uint64_t first;

	(void)state;
	pair_init(&a, &b);
	atomic_store(&a.send_counter, UINT32_MAX);
	assert_int_equal(session_reserve(&a, 4, BIRTH, &first), SESSION_OK);
	assert_true(first == UINT32_MAX);
	for (unsigned int i = 0; i < 4; i++) {
		memset(packets[i], 0, ROOM);
		ops[i] = (struct session_op){ .packet = packets[i], .len = 32 };
	}
	session_seal_burst(&a, first, ops, 4);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(load_le64(packets[i] + 8) == UINT32_MAX + (uint64_t)i);
	/* 2^32 does not use the nonce of 0 */
	seal_one(&a, zero, 32, 0);
	assert_memory_not_equal(zero + HEADER, packets[1] + HEADER, 32);
	assert_int_equal(session_open_burst(&b, ops, 4), 4);
	assert_true(atomic_load(&b.highest) == UINT32_MAX + 4ULL);
	assert_true(atomic_load(&a.send_counter) == UINT32_MAX + 4ULL);
}

static void test_pitfall_2_message_cap(void **state)
{
	struct keypair a, b;
	uint8_t packet[ROOM] = { 0 };
	uint64_t first;

	(void)state;
	pair_init(&a, &b);
	assert_true(CAP == 0 - 8193ULL);
	atomic_store(&a.send_counter, CAP - 64);
	assert_int_equal(session_reserve(&a, 65, BIRTH, &first), SESSION_EXPIRED);
	assert_true(atomic_load(&a.send_counter) == CAP - 64);
	assert_int_equal(session_reserve(&a, 64, BIRTH, &first), SESSION_OK);
	assert_true(first == CAP - 64);
	/* however often it is tried, the counter stands */
	for (int i = 0; i < 10000; i++)
		assert_int_equal(session_reserve(&a, 64, BIRTH, &first), SESSION_EXPIRED);
	assert_true(atomic_load(&a.send_counter) == CAP);
	assert_int_equal(session_reserve(&a, 1, BIRTH, &first), SESSION_EXPIRED);
	/* where the sum would wrap */
	atomic_store(&a.send_counter, UINT64_MAX - 3);
	assert_int_equal(session_reserve(&a, 64, BIRTH, &first), SESSION_EXPIRED);

	/* the receiver: the last counter passes, the cap and all behind it do not */
	seal_one(&a, packet, 32, CAP - 1);
	assert_int_equal(open_one(&b, packet, 32), SESSION_OK);
	for (uint64_t i = 0; i <= 8192; i += i < 4 || i > 8188 ? 1 : 512) {
		memset(packet, 0, sizeof(packet));
		seal_one(&a, packet, 32, CAP + i);
		assert_int_equal(open_one(&b, packet, 32), SESSION_REPLAY);
	}
}

/* --- bursts --- */

static void test_layout_of_a_sealed_packet(void **state)
{
	struct keypair a, b;
	uint8_t packet[ROOM], want[ROOM];

	(void)state;
	pair_init(&a, &b);
	memset(packet, 0x77, sizeof(packet));
	seal_one(&a, packet, 48, 0x0102030405060708);
	unit_hex(want, "04000000b20000000807060504030201");
	assert_memory_equal(packet, want, HEADER);
	memset(want, 0x77, 48);
	aead_seal(want, want, 48, NULL, 0, 0x0102030405060708, a.send_key);
	assert_memory_equal(packet + HEADER, want, 48 + AEAD_TAG_SIZE);
	for (size_t i = HEADER + 48 + AEAD_TAG_SIZE; i < ROOM; i++)
		assert_int_equal(packet[i], 0x77);
	/* a keepalive is 32 bytes */
	assert_int_equal(MESSAGE_DATA_OVERHEAD, 32);
	seal_one(&a, packet, 0, 5);
	assert_int_equal(open_one(&b, packet, 0), SESSION_OK);
}

static void test_burst_with_bad_ones_between_good_ones(void **state)
{
	struct keypair a, b;
	uint8_t packets[AEAD_BURST_MAX][ROOM];
	struct session_op ops[AEAD_BURST_MAX];
	unsigned int bad = 0;
	uint64_t first;

	(void)state;
	pair_init(&a, &b);
	assert_int_equal(session_reserve(&a, AEAD_BURST_MAX, BIRTH, &first), SESSION_OK);
	assert_int_equal(first, 0);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
		memset(packets[i], (int)i, ROOM);
		ops[i] = (struct session_op){ .packet = packets[i], .len = i * 3 };
	}
	session_seal_burst(&a, first, ops, AEAD_BURST_MAX);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i += 5, bad++)
		packets[i][HEADER + ops[i].len] ^= 1;
	assert_int_equal(session_open_burst(&b, ops, AEAD_BURST_MAX), AEAD_BURST_MAX - bad);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
		assert_int_equal(ops[i].verdict, i % 5 ? SESSION_OK : SESSION_BAD);
		for (unsigned int j = 0; i % 5 && j < ops[i].len; j++)
			assert_int_equal(packets[i][HEADER + j], i);
	}
	assert_int_equal(atomic_load(&b.received), AEAD_BURST_MAX - bad);
	assert_int_equal(atomic_load(&b.highest), AEAD_BURST_MAX);
}

static void test_burst_that_holds_the_same_packet_twice(void **state)
{
	struct keypair a, b;
	uint8_t packets[3][ROOM] = { { 0 } };
	struct session_op ops[3];

	(void)state;
	pair_init(&a, &b);
	seal_one(&a, packets[0], 40, 9);
	memcpy(packets[1], packets[0], ROOM);
	memcpy(packets[2], packets[0], ROOM);
	for (int i = 0; i < 3; i++)
		ops[i] = (struct session_op){ .packet = packets[i], .len = 40 };
	assert_int_equal(session_open_burst(&b, ops, 3), 1);
	assert_int_equal(ops[0].verdict, SESSION_OK);
	assert_int_equal(ops[1].verdict, SESSION_REPLAY);
	assert_int_equal(ops[2].verdict, SESSION_REPLAY);
	assert_int_equal(atomic_load(&b.received), 1);
}

static void test_replayed_packets(void **state)
{
	struct keypair a, b;
	uint8_t packets[100][ROOM];

	(void)state;
	pair_init(&a, &b);
	for (unsigned int i = 0; i < 100; i++) {
		memset(packets[i], 0, ROOM);
		seal_one(&a, packets[i], 16, i);
	}
	for (unsigned int i = 100; i > 0; i--)
		assert_int_equal(open_one(&b, packets[i - 1], 16), SESSION_OK);
	for (unsigned int i = 0; i < 100; i++)
		assert_int_equal(open_one(&b, packets[i], 16), SESSION_REPLAY);
	assert_int_equal(atomic_load(&b.received), 100);
}

/* Authenticate first: a counter nobody sealed must not move the window. */
static void test_forged_counter_leaves_the_window(void **state)
{
	struct keypair a, b;
	uint8_t packet[ROOM] = { 0 }, forged[ROOM];

	(void)state;
	pair_init(&a, &b);
	seal_one(&a, packet, 64, 10);
	memcpy(forged, packet, sizeof(forged));
	store_le64(forged + 8, 1ULL << 50);
	assert_int_equal(open_one(&b, forged, 64), SESSION_BAD);
	assert_int_equal(b.replay.next, 0);
	assert_int_equal(atomic_load(&b.highest), 0);
	assert_int_equal(open_one(&b, packet, 64), SESSION_OK);
}

static void test_every_byte_of_a_packet_flipped(void **state)
{
	struct keypair a, b;
	uint8_t packet[ROOM] = { 0 };

	(void)state;
	pair_init(&a, &b);
	seal_one(&a, packet, 24, 3);
	/* type and receiver were the caller's to look at */
	for (size_t i = offsetof(struct message_data, counter); i < 24 + MESSAGE_DATA_OVERHEAD;
	     i++) {
		packet[i] ^= 0x20;
		assert_int_equal(open_one(&b, packet, 24), SESSION_BAD);
		packet[i] ^= 0x20;
	}
	assert_int_equal(open_one(&b, packet, 16), SESSION_BAD);
	/* the other direction's key */
	assert_int_equal(open_one(&a, packet, 24), SESSION_BAD);
	assert_int_equal(open_one(&b, packet, 24), SESSION_OK);
}

/* --- threads --- */

#define THREADS 4
#define PACKETS 2048
#define LEN     32

static struct keypair shared_a, shared_b;
static uint8_t captured[PACKETS][LEN + MESSAGE_DATA_OVERHEAD];
static _Atomic unsigned int accepted[PACKETS];
static pthread_barrier_t barrier;

/* Opens copies of all packets, burst by burst, each thread in an order of its own. */
static void *open_all(void *arg)
{
	unsigned int thread = *(unsigned int *)arg;
	uint8_t copies[AEAD_BURST_MAX][LEN + MESSAGE_DATA_OVERHEAD];
	struct session_op ops[AEAD_BURST_MAX];
	unsigned int numbers[AEAD_BURST_MAX];
	unsigned int wrong = 0;

	pthread_barrier_wait(&barrier);
	for (unsigned int at = 0; at < PACKETS; at += AEAD_BURST_MAX) {
		unsigned int good = 0;

		for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
			/* forwards, backwards, and from the middle */
			unsigned int k = (at + i + (thread & 2) * PACKETS / 4) % PACKETS;

			numbers[i] = thread & 1 ? PACKETS - 1 - k : k;
			memcpy(copies[i], captured[numbers[i]], sizeof(copies[i]));
			ops[i] = (struct session_op){ .packet = copies[i], .len = LEN };
		}
		good = session_open_burst(&shared_b, ops, AEAD_BURST_MAX);
		for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
			if (ops[i].verdict == SESSION_OK) {
				atomic_fetch_add(&accepted[numbers[i]], 1);
				good--;
			} else if (ops[i].verdict != SESSION_REPLAY) {
				wrong++;
			}
		}
		wrong += good;
	}
	return wrong ? arg : NULL;
}

static void run_threads(void *(*function)(void *))
{
	static unsigned int numbers[THREADS];
	pthread_t threads[THREADS];
	void *wrong;

	assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		numbers[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, function, &numbers[i]), 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	pthread_barrier_destroy(&barrier);
}

static void test_pitfall_5_replay_window_raced_by_four_readers(void **state)
{
	(void)state;
	for (int round = 0; round < 10; round++) {
		pair_init(&shared_a, &shared_b);
		for (unsigned int i = 0; i < PACKETS; i++) {
			seal_one(&shared_a, captured[i], LEN, i);
			atomic_store(&accepted[i], 0);
		}
		run_threads(open_all);
		for (unsigned int i = 0; i < PACKETS; i++)
			assert_int_equal(atomic_load(&accepted[i]), 1);
		assert_int_equal(atomic_load(&shared_b.received), PACKETS);
		assert_int_equal(atomic_load(&shared_b.highest), PACKETS);
	}
}

#define LEFT 1007 /* counters left until the cap; no multiple of a burst */

static _Atomic unsigned int given[LEFT];

/* Takes bursts of changing sizes until nothing is left, and some time after. */
static void *reserve_all(void *arg)
{
	uint64_t seed = 99 + *(unsigned int *)arg;
	uint64_t first;

	pthread_barrier_wait(&barrier);
	for (int tries = 0; tries < 300; tries++) {
		unsigned int n = 1 + (unsigned int)(unit_random(&seed) % AEAD_BURST_MAX);

		if (session_reserve(&shared_a, n, BIRTH, &first) != SESSION_OK)
			continue;
		for (unsigned int i = 0; i < n; i++) {
			uint64_t at = first + i - (CAP - LEFT);

			if (at >= LEFT)
				return arg;
			atomic_fetch_add(&given[at], 1);
		}
	}
	return NULL;
}

static void test_pitfall_2_no_counter_is_given_twice_or_past_the_cap(void **state)
{
	(void)state;
	pair_init(&shared_a, &shared_b);
	for (int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < LEFT; i++)
			atomic_store(&given[i], 0);
		atomic_store(&shared_a.send_counter, CAP - LEFT);
		run_threads(reserve_all);
		for (unsigned int i = 0; i < LEFT; i++)
			assert_in_range(atomic_load(&given[i]), 0, 1);
		/* what was overshot stays far from the end */
		assert_true(atomic_load(&shared_a.send_counter) <= CAP + THREADS * AEAD_BURST_MAX);
	}
}

static int setup(void **state)
{
	(void)state;
	return secret_init() || aead_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slot_rotations),
		cmocka_unit_test(test_expires_at_180_seconds),
		cmocka_unit_test(test_wants_rekey),
		cmocka_unit_test(test_pitfall_1_counter_32_bits),
		cmocka_unit_test(test_pitfall_2_message_cap),
		cmocka_unit_test(test_layout_of_a_sealed_packet),
		cmocka_unit_test(test_burst_with_bad_ones_between_good_ones),
		cmocka_unit_test(test_burst_that_holds_the_same_packet_twice),
		cmocka_unit_test(test_replayed_packets),
		cmocka_unit_test(test_forged_counter_leaves_the_window),
		cmocka_unit_test(test_every_byte_of_a_packet_flipped),
		cmocka_unit_test(test_pitfall_5_replay_window_raced_by_four_readers),
		cmocka_unit_test(test_pitfall_2_no_counter_is_given_twice_or_past_the_cap),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
