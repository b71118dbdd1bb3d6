/* SPDX-License-Identifier: MIT */
/* MAC1, MAC2, cookie replies and the source limiter. */
#include "unit.h"

#include <stdlib.h>
#include "crypto/cookie.h"
#include "crypto/secret.h"

#define SECOND 1000000000ULL
#define START  (5000 * SECOND)

/* a initiates towards b; b checks and answers. */
struct pair {
	struct cookie_maker maker;
	struct cookie_checker checker;
	struct cookie_source from;
	uint8_t random[HASH_SIZE]; /* b's next secret */
	uint8_t nonce[XNONCE_SIZE];
};

static void pair_init(struct pair *p)
{
	uint8_t public_key[KEY_SIZE];

	memset(p, 0, sizeof(*p));
	secret_random(public_key, sizeof(public_key));
	cookie_maker_init(&p->maker, public_key);
	cookie_checker_init(&p->checker, public_key);
	secret_random(p->random, sizeof(p->random));
	secret_random(p->nonce, sizeof(p->nonce));
	p->from.addr_len = 4;
	unit_hex(p->from.addr, "c0000201");
	unit_hex(p->from.port.b, "3039");
}

static void make_initiation(struct pair *p, struct message_initiation *msg, uint64_t now_ns)
{
	secret_random(msg, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_INITIATION);
	cookie_add_macs(&p->maker, msg, sizeof(*msg), now_ns);
}

static enum cookie_verdict check(struct pair *p, const struct message_initiation *msg,
                                 uint64_t now_ns)
{
	return cookie_check_macs(&p->checker, msg, sizeof(*msg), &p->from, now_ns, p->random);
}

static void make_reply(struct pair *p, struct message_cookie_reply *reply,
                       const struct message_initiation *msg)
{
	secret_random(p->nonce, sizeof(p->nonce));
	cookie_create_reply(&p->checker, reply, msg, sizeof(*msg), &p->from, p->nonce);
}

/* Gives a its cookie. */
static void exchange(struct pair *p, uint64_t now_ns)
{
	struct message_initiation msg;
	struct message_cookie_reply reply;

	make_initiation(p, &msg, now_ns);
	assert_int_not_equal(check(p, &msg, now_ns), COOKIE_BAD_MAC1);
	make_reply(p, &reply, &msg);
	assert_true(cookie_consume_reply(&p->maker, &reply, now_ns));
}

static void test_mac1_covers_every_byte_before_it(void **state)
{
	struct pair p;
	struct message_initiation msg;

	(void)state;
	pair_init(&p);
	make_initiation(&p, &msg, START);
	assert_true(secret_is_zero(msg.macs.mac2, MAC_SIZE));
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
	for (size_t i = 0; i < offsetof(struct message_initiation, macs.mac2); i++) {
		((uint8_t *)&msg)[i] ^= 0x10;
		assert_int_equal(check(&p, &msg, START), COOKIE_BAD_MAC1);
		((uint8_t *)&msg)[i] ^= 0x10;
	}
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
}

static void test_mac1_is_made_for_one_public_key(void **state)
{
	struct pair p, q;
	struct message_initiation msg;

	(void)state;
	pair_init(&p);
	pair_init(&q);
	make_initiation(&p, &msg, START);
	assert_int_equal(check(&q, &msg, START), COOKIE_BAD_MAC1);
}

static void test_mac1_known_answer(void **state)
{
	/* keys computed apart, with Python's hashlib.blake2s, from a public key of 00 01 … 1f */
	static const char mac1_key[] =
		"4fb2527ac956001553dc1ad9b55171b7d9daa3de1cdbcd71451830170c7e6cac";
	static const char cookie_key[] =
		"3dd5869c5202e45146936d1644f76ff697061661c181f3fd450eae43932eacec";
	static const char mac1[] = "c1e6cb1b80e7b595a1cffb1310df98c8";
	struct cookie_maker maker;
	uint8_t public_key[KEY_SIZE], want[HASH_SIZE];
	struct message_response msg;

	(void)state;
	for (int i = 0; i < KEY_SIZE; i++)
		public_key[i] = (uint8_t)i;
	cookie_maker_init(&maker, public_key);
	unit_hex(want, mac1_key);
	assert_memory_equal(maker.mac1_key, want, HASH_SIZE);
	unit_hex(want, cookie_key);
	assert_memory_equal(maker.cookie_key, want, HASH_SIZE);
	memset(&msg, 0x5a, sizeof(msg));
	cookie_add_macs(&maker, &msg, sizeof(msg), START);
	unit_hex(want, mac1);
	assert_memory_equal(msg.macs.mac1, want, MAC_SIZE);
}

static void test_mac2_with_a_cookie(void **state)
{
	struct pair p;
	struct message_initiation msg;

	(void)state;
	pair_init(&p);
	exchange(&p, START);
	make_initiation(&p, &msg, START + SECOND);
	assert_false(secret_is_zero(msg.macs.mac2, MAC_SIZE));
	assert_int_equal(check(&p, &msg, START + SECOND), COOKIE_MAC2);
	for (size_t i = 0; i < MAC_SIZE; i++) {
		msg.macs.mac2[i] ^= 1;
		assert_int_equal(check(&p, &msg, START + SECOND), COOKIE_MAC1_ONLY);
		msg.macs.mac2[i] ^= 1;
	}
	assert_int_equal(check(&p, &msg, START + SECOND), COOKIE_MAC2);
}

static void test_responses_are_answered_too(void **state)
{
	struct pair p;
	struct message_response msg;
	struct message_cookie_reply reply;

	(void)state;
	pair_init(&p);
	secret_random(&msg, sizeof(msg));
	store_le32(&msg.type, MESSAGE_RESPONSE);
	store_le32(&msg.sender, 0xfeedbeef);
	cookie_add_macs(&p.maker, &msg, sizeof(msg), START);
	assert_int_equal(cookie_check_macs(&p.checker, &msg, sizeof(msg), &p.from, START, p.random),
	                 COOKIE_MAC1_ONLY);
	cookie_create_reply(&p.checker, &reply, &msg, sizeof(msg), &p.from, p.nonce);
	assert_int_equal(load_le32(&reply.type), 3);
	assert_int_equal(load_le32(&reply.receiver), 0xfeedbeef);
	assert_true(cookie_consume_reply(&p.maker, &reply, START));
	cookie_add_macs(&p.maker, &msg, sizeof(msg), START);
	assert_int_equal(cookie_check_macs(&p.checker, &msg, sizeof(msg), &p.from, START, p.random),
	                 COOKIE_MAC2);
}

static void test_pitfall_9_cookie_bound_to_address_and_port(void **state)
{
	struct pair p;
	struct message_initiation msg;

	(void)state;
	pair_init(&p);
	exchange(&p, START);
	make_initiation(&p, &msg, START);
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC2);
	p.from.port.b[1] ^= 1;
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
	p.from.port.b[1] ^= 1;
	p.from.port.b[0] ^= 1;
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
	p.from.port.b[0] ^= 1;
	for (int i = 0; i < 4; i++) {
		p.from.addr[i] ^= 0x80;
		assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
		p.from.addr[i] ^= 0x80;
	}
	p.from.addr_len = 16;
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);

	/* IPv6: all of the 16 bytes count */
	exchange(&p, START);
	make_initiation(&p, &msg, START);
	for (int i = 0; i < 16; i++) {
		p.from.addr[i] ^= 1;
		assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
		p.from.addr[i] ^= 1;
	}
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC2);
}

static void test_maker_uses_a_cookie_for_115_seconds(void **state)
{
	struct pair p;
	struct message_initiation msg;

	(void)state;
	pair_init(&p);
	exchange(&p, START);
	make_initiation(&p, &msg, START + 115 * SECOND - 1);
	assert_int_equal(check(&p, &msg, START + 115 * SECOND - 1), COOKIE_MAC2);
	make_initiation(&p, &msg, START + 115 * SECOND);
	assert_true(secret_is_zero(msg.macs.mac2, MAC_SIZE));
}

static void test_checker_changes_its_secret_after_120_seconds(void **state)
{
	struct pair p;
	struct message_initiation msg;
	uint8_t first[HASH_SIZE];

	(void)state;
	pair_init(&p);
	exchange(&p, START);
	assert_memory_equal(p.checker.secret, p.random, HASH_SIZE);
	memcpy(first, p.random, sizeof(first));
	secret_random(p.random, sizeof(p.random));
	make_initiation(&p, &msg, START + 100 * SECOND);
	assert_int_equal(check(&p, &msg, START + 120 * SECOND - 1), COOKIE_MAC2);
	assert_memory_equal(p.checker.secret, first, HASH_SIZE);
	assert_int_equal(check(&p, &msg, START + 120 * SECOND), COOKIE_MAC1_ONLY);
	assert_memory_equal(p.checker.secret, p.random, HASH_SIZE);
	assert_int_equal(p.checker.secret_birth_ns, START + 120 * SECOND);
	/* a clock that is a little behind changes nothing */
	memcpy(first, p.random, sizeof(first));
	secret_random(p.random, sizeof(p.random));
	assert_int_equal(check(&p, &msg, START + 120 * SECOND - 5), COOKIE_MAC1_ONLY);
	assert_memory_equal(p.checker.secret, first, HASH_SIZE);
}

static void test_bad_mac1_touches_nothing(void **state)
{
	struct pair p;
	struct message_initiation msg;
	struct cookie_checker before;

	(void)state;
	pair_init(&p);
	make_initiation(&p, &msg, START);
	msg.ephemeral[3] ^= 4;
	before = p.checker;
	assert_int_equal(check(&p, &msg, START), COOKIE_BAD_MAC1);
	assert_memory_equal(&before, &p.checker, sizeof(before));
}

static void test_one_reply_is_taken_for_each_mac1(void **state)
{
	struct pair p;
	struct message_initiation first, second;
	struct message_cookie_reply reply, again;
	struct cookie_maker before;

	(void)state;
	pair_init(&p);
	make_initiation(&p, &first, START);
	assert_int_equal(check(&p, &first, START), COOKIE_MAC1_ONLY);
	make_reply(&p, &reply, &first);
	make_reply(&p, &again, &first);
	assert_true(cookie_consume_reply(&p.maker, &reply, START));
	before = p.maker;
	assert_false(cookie_consume_reply(&p.maker, &again, START + 1));
	assert_false(cookie_consume_reply(&p.maker, &reply, START + 1));
	assert_memory_equal(&before, &p.maker, sizeof(before));

	/* the next message may have one again, but not one made for the last */
	make_initiation(&p, &second, START + 2);
	assert_false(cookie_consume_reply(&p.maker, &again, START + 2));
	make_reply(&p, &reply, &second);
	assert_true(cookie_consume_reply(&p.maker, &reply, START + 2));
}

static void test_no_reply_is_taken_before_anything_was_sent(void **state)
{
	struct pair p;
	struct message_initiation msg = { .sender = { { 1 } } };
	struct message_cookie_reply reply;

	(void)state;
	pair_init(&p);
	/* made for a mac1 of zeros, which is what an idle maker holds */
	make_reply(&p, &reply, &msg);
	assert_false(cookie_consume_reply(&p.maker, &reply, START));
	assert_int_equal(p.maker.cookie_birth_ns, 0);
}

static void test_pitfall_8_forged_reply_changes_nothing(void **state)
{
	struct pair p, stranger;
	struct message_initiation msg;
	struct message_cookie_reply reply, bad;
	struct cookie_maker before;

	(void)state;
	pair_init(&p);
	pair_init(&stranger);
	make_initiation(&p, &msg, START);
	assert_int_equal(check(&p, &msg, START), COOKIE_MAC1_ONLY);
	make_reply(&p, &reply, &msg);
	before = p.maker;
	/* type and receiver are the caller's to look at; all else is sealed */
	for (size_t i = offsetof(struct message_cookie_reply, nonce); i < sizeof(reply); i++) {
		bad = reply;
		((uint8_t *)&bad)[i] ^= 1;
		assert_false(cookie_consume_reply(&p.maker, &bad, START + 1));
		assert_memory_equal(&before, &p.maker, sizeof(before));
	}
	/* somebody who saw the initiation but has another key */
	cookie_create_reply(&stranger.checker, &bad, &msg, sizeof(msg), &p.from, p.nonce);
	assert_false(cookie_consume_reply(&p.maker, &bad, START + 1));
	assert_memory_equal(&before, &p.maker, sizeof(before));
	assert_true(cookie_consume_reply(&p.maker, &reply, START + 1));
}

static void test_pitfall_27_reply_not_longer_than_the_request(void **state)
{
	(void)state;
	assert_true(sizeof(struct message_cookie_reply) <= sizeof(struct message_initiation));
	assert_true(sizeof(struct message_cookie_reply) <= sizeof(struct message_response));
	assert_true(sizeof(struct message_response) <= sizeof(struct message_initiation));
}

/* --- the limiter --- */

static int limiter_setup(void **state)
{
	static const uint8_t key[16] = { 7, 7, 7 };
	struct limiter *limiter = calloc(1, sizeof(*limiter));

	if (!limiter)
		return -1;
	limiter_init(limiter, key);
	*state = limiter;
	return 0;
}

static int limiter_teardown(void **state)
{
	free(*state);
	return 0;
}

static struct cookie_source source_v4(uint32_t addr)
{
	struct cookie_source from = { .addr_len = 4 };

	store_be32(from.addr, addr);
	return from;
}

static struct cookie_source source_v6(uint64_t prefix, uint64_t host)
{
	struct cookie_source from = { .addr_len = 16 };

	store_be64(from.addr, prefix);
	store_be64(from.addr + 8, host);
	return from;
}

static void test_limiter_burst_then_rate(void **state)
{
	struct limiter *limiter = *state;
	struct cookie_source from = source_v4(0xc0000201);
	uint64_t now = START;
	unsigned int allowed = 0;

	for (int i = 0; i < LIMITER_BURST; i++)
		assert_true(limiter_allow(limiter, &from, now));
	assert_false(limiter_allow(limiter, &from, now));
	assert_false(limiter_allow(limiter, &from, now + SECOND / LIMITER_RATE - 1));
	assert_true(limiter_allow(limiter, &from, now + SECOND / LIMITER_RATE));
	assert_false(limiter_allow(limiter, &from, now + SECOND / LIMITER_RATE));

	/* ten seconds of a thousand a second let the rate through, no more */
	now += 10 * SECOND;
	for (uint64_t i = 0; i < 10000; i++)
		allowed += limiter_allow(limiter, &from, now + i * (SECOND / 1000));
	assert_in_range(allowed, 10 * LIMITER_RATE, 10 * LIMITER_RATE + LIMITER_BURST);

	/* ten a second is under the rate: all pass */
	now += 100 * SECOND;
	for (uint64_t i = 0; i < 100; i++)
		assert_true(limiter_allow(limiter, &from, now + i * (SECOND / 10)));
}

static void test_limiter_sources_do_not_share(void **state)
{
	struct limiter *limiter = *state;
	struct cookie_source a = source_v4(0xc0000201), b = source_v4(0xc0000202);
	/* an IPv6 prefix of the same number */
	struct cookie_source c = source_v6(0xc0000201, 0);

	for (int i = 0; i < LIMITER_BURST; i++)
		assert_true(limiter_allow(limiter, &a, START));
	assert_false(limiter_allow(limiter, &a, START));
	assert_true(limiter_allow(limiter, &b, START));
	assert_true(limiter_allow(limiter, &c, START));
	/* alike but for the family, and in one chain of the table now and then */
	for (uint32_t i = 1; i < LIMITER_ENTRIES / 2 - 8; i++) {
		a = source_v4(i);
		c = source_v6(i, 0);
		for (int j = 0; j < LIMITER_BURST; j++)
			assert_true(limiter_allow(limiter, &a, START));
		assert_true(limiter_allow(limiter, &c, START));
	}
	a = source_v4(0xc0000201);
	/* the port is no part of it: a source has 65,535 of them */
	a.port.b[0] ^= 1;
	assert_false(limiter_allow(limiter, &a, START));
}

static void test_pitfall_10_a_million_sources_in_one_64(void **state)
{
	struct limiter *limiter = *state;
	const uint64_t prefix = 0x20010db800010002;
	unsigned int allowed = 0;

	for (uint64_t host = 0; host < 1000000; host++) {
		struct cookie_source from = source_v6(prefix, host * 0x9e3779b97f4a7c15ULL);

		allowed += limiter_allow(limiter, &from, START + host * 100);
	}
	/* a tenth of a second: the burst and two more */
	assert_in_range(allowed, LIMITER_BURST, LIMITER_BURST + 2);
	assert_int_equal(limiter->used, 1);
	/* the next /64 is another source */
	{
		struct cookie_source from = source_v6(prefix + 1, 1);

		assert_true(limiter_allow(limiter, &from, START));
	}
}

static void test_limiter_full_fails_closed_and_is_collected(void **state)
{
	struct limiter *limiter = *state;
	struct cookie_source from;
	unsigned int allowed = 0;

	for (uint32_t i = 0; i < LIMITER_ENTRIES; i++) {
		from = source_v4(i);
		assert_true(limiter_allow(limiter, &from, START));
	}
	for (uint32_t i = 0; i < 1000; i++) {
		from = source_v4(LIMITER_ENTRIES + i);
		assert_false(limiter_allow(limiter, &from, START + SECOND / 2));
	}
	/* those who are in go on */
	from = source_v4(77);
	assert_true(limiter_allow(limiter, &from, START + SECOND / 2));
	from = source_v4(LIMITER_ENTRIES);
	assert_false(limiter_allow(limiter, &from, START + SECOND - SECOND / 10));

	/* a second after its last use an entry is free; number 77 is not idle yet */
	for (uint32_t i = 0; i < 2 * LIMITER_ENTRIES; i++) {
		from = source_v4(2 * LIMITER_ENTRIES + i);
		allowed += limiter_allow(limiter, &from, START + SECOND);
	}
	assert_int_equal(allowed, LIMITER_ENTRIES - 1);
	assert_int_equal(limiter->used, LIMITER_ENTRIES);
	from = source_v4(77);
	for (int i = 0; i < LIMITER_BURST; i++)
		assert_true(limiter_allow(limiter, &from, START + SECOND + SECOND / 10));
	assert_false(limiter_allow(limiter, &from, START + SECOND + SECOND / 10));
}

static void test_limiter_flood_of_new_sources_sweeps_seldom(void **state)
{
	struct limiter *limiter = *state;
	struct cookie_source from;
	unsigned int sweeps = 0;
	uint64_t last = 0;

	for (uint32_t i = 0; i < LIMITER_ENTRIES; i++) {
		from = source_v4(i);
		assert_true(limiter_allow(limiter, &from, START));
	}
	/* 100,000 refused within half a second */
	for (uint32_t i = 0; i < 100000; i++) {
		from = source_v4(LIMITER_ENTRIES + i);
		assert_false(limiter_allow(limiter, &from, START + i * 5000ULL));
		sweeps += limiter->swept_ns != last;
		last = limiter->swept_ns;
	}
	assert_in_range(sweeps, 1, 10);
}

static void test_limiter_survives_a_clock_behind(void **state)
{
	struct limiter *limiter = *state;
	struct cookie_source from = source_v4(1);

	for (int i = 0; i < LIMITER_BURST; i++)
		assert_true(limiter_allow(limiter, &from, START));
	assert_false(limiter_allow(limiter, &from, START - SECOND));
	assert_false(limiter_allow(limiter, &from, START));
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

#define LIMITER_TEST(f) cmocka_unit_test_setup_teardown(f, limiter_setup, limiter_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac1_covers_every_byte_before_it),
		cmocka_unit_test(test_mac1_is_made_for_one_public_key),
		cmocka_unit_test(test_mac1_known_answer),
		cmocka_unit_test(test_mac2_with_a_cookie),
		cmocka_unit_test(test_responses_are_answered_too),
		cmocka_unit_test(test_pitfall_9_cookie_bound_to_address_and_port),
		cmocka_unit_test(test_maker_uses_a_cookie_for_115_seconds),
		cmocka_unit_test(test_checker_changes_its_secret_after_120_seconds),
		cmocka_unit_test(test_bad_mac1_touches_nothing),
		cmocka_unit_test(test_one_reply_is_taken_for_each_mac1),
		cmocka_unit_test(test_no_reply_is_taken_before_anything_was_sent),
		cmocka_unit_test(test_pitfall_8_forged_reply_changes_nothing),
		cmocka_unit_test(test_pitfall_27_reply_not_longer_than_the_request),
		LIMITER_TEST(test_limiter_burst_then_rate),
		LIMITER_TEST(test_limiter_sources_do_not_share),
		LIMITER_TEST(test_pitfall_10_a_million_sources_in_one_64),
		LIMITER_TEST(test_limiter_full_fails_closed_and_is_collected),
		LIMITER_TEST(test_limiter_flood_of_new_sources_sweeps_seldom),
		LIMITER_TEST(test_limiter_survives_a_clock_behind),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
