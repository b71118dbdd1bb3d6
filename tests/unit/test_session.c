/* SPDX-License-Identifier: MIT */
/* Key slots, nonces, bursts. */
#include "unit.h"

#include "crypto/secret.h"
#include "crypto/session.h"

#define ROOM 256

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
	assert_int_equal(session_reserve(&a, AEAD_BURST_MAX, 1, &first), SESSION_OK);
	assert_int_equal(first, 0);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
		memset(packets[i], (int)i, ROOM);
		ops[i] = (struct session_op){ .packet = packets[i], .len = i * 3 };
	}
	session_seal_burst(&a, first, ops, AEAD_BURST_MAX);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i += 5, bad++)
		packets[i][sizeof(struct message_data) + ops[i].len] ^= 1;
	assert_int_equal(session_open_burst(&b, ops, AEAD_BURST_MAX), AEAD_BURST_MAX - bad);
	for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
		assert_int_equal(ops[i].verdict, i % 5 ? SESSION_OK : SESSION_BAD);
		for (unsigned int j = 0; i % 5 && j < ops[i].len; j++)
			assert_int_equal(packets[i][sizeof(struct message_data) + j], i);
	}
	assert_int_equal(atomic_load(&b.received), AEAD_BURST_MAX - bad);
	assert_int_equal(atomic_load(&b.highest), AEAD_BURST_MAX);
}

static int setup(void **state)
{
	(void)state;
	return secret_init() || aead_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_with_bad_ones_between_good_ones),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
