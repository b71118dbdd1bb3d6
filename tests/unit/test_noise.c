/* SPDX-License-Identifier: MIT */
/* The handshake: both messages, made and taken, and everything that must refuse. */
#include "unit.h"

#include "crypto/noise.h"
#include "crypto/secret.h"
#include "crypto/session.h"
#include "crypto/symmetric.h"

#define SECOND 1000000000ULL

static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

/* The seven u-coordinates of small order, and the two that are them plus p. */
static const char *const low_order[] = {
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000080",
};

#define LOW_ORDER_COUNT (sizeof(low_order) / sizeof(low_order[0]))

/* Two hosts that know each other; a's clock gives the time stamps. */
struct pair {
	struct noise_identity a_id, b_id;
	struct noise_handshake a, b;
	uint64_t now_ns;
	uint32_t stamp;
};

static void pair_init(struct pair *p, bool with_psk)
{
	uint8_t key[KEY_SIZE];
	uint8_t psk[KEY_SIZE];

	memset(p, 0, sizeof(*p));
	secret_generate_private(key);
	noise_identity_init(&p->a_id, key);
	secret_generate_private(key);
	noise_identity_init(&p->b_id, key);
	secret_random(psk, sizeof(psk));
	noise_handshake_init(&p->a, &p->a_id, p->b_id.public_key, with_psk ? psk : NULL);
	noise_handshake_init(&p->b, &p->b_id, p->a_id.public_key, with_psk ? psk : NULL);
	p->now_ns = 1000 * SECOND;
}

static void initiate_at(struct pair *p, uint64_t unix_seconds, struct message_initiation *msg)
{
	uint8_t stamp[TIMESTAMP_SIZE];
	uint8_t ephemeral[KEY_SIZE];

	noise_timestamp(stamp, unix_seconds, 0);
	secret_generate_private(ephemeral);
	assert_int_equal(noise_create_initiation(&p->a, &p->a_id, ephemeral, stamp, 0xa1, msg),
	                 NOISE_OK);
}

static void initiate(struct pair *p, struct message_initiation *msg)
{
	initiate_at(p, 1700000000 + p->stamp++, msg);
}

static enum noise_verdict consume(struct pair *p, const struct message_initiation *msg)
{
	struct noise_initiation in;
	enum noise_verdict verdict = noise_open_initiation(&p->b_id, msg, &in);

	if (verdict == NOISE_OK)
		verdict = noise_consume_initiation(&p->b, msg, &in, p->now_ns);
	return verdict;
}

static void respond(struct pair *p, struct message_response *msg)
{
	uint8_t ephemeral[KEY_SIZE];

	secret_generate_private(ephemeral);
	assert_int_equal(noise_create_response(&p->b, ephemeral, 0xb2, msg), NOISE_OK);
}

static void check_full_handshake(bool with_psk)
{
	struct pair p;
	struct message_initiation initiation;
	struct message_response response;
	struct symmetric symmetric;
	struct keypair ka, kb;
	uint8_t first[KEY_SIZE], second[KEY_SIZE];

	pair_init(&p, with_psk);
	initiate(&p, &initiation);
	assert_int_equal(load_le32(&initiation.type), 1);
	assert_int_equal(load_le32(&initiation.sender), 0xa1);
	assert_int_equal(consume(&p, &initiation), NOISE_OK);
	respond(&p, &response);
	assert_int_equal(load_le32(&response.type), 2);
	assert_int_equal(load_le32(&response.sender), 0xb2);
	assert_int_equal(load_le32(&response.receiver), 0xa1);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_OK);
	assert_memory_equal(p.a.hash, p.b.hash, HASH_SIZE);
	/* which of the two keys is whose: the first is the initiator's to send */
	memcpy(symmetric.chaining_key, p.a.chaining_key, HASH_SIZE);
	symmetric_split(&symmetric, first, second);
	assert_int_equal(noise_derive_keypair(&p.a, &ka, 7), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.b, &kb, 8), NOISE_OK);
	assert_memory_equal(ka.send_key, kb.receive_key, KEY_SIZE);
	assert_memory_equal(ka.receive_key, kb.send_key, KEY_SIZE);
	assert_memory_equal(ka.send_key, first, KEY_SIZE);
	assert_memory_equal(ka.receive_key, second, KEY_SIZE);
	assert_memory_not_equal(ka.send_key, ka.receive_key, KEY_SIZE);
	assert_true(ka.initiator);
	assert_false(kb.initiator);
	assert_int_equal(ka.local_index, 0xa1);
	assert_int_equal(ka.remote_index, 0xb2);
	assert_int_equal(kb.local_index, 0xb2);
	assert_int_equal(kb.remote_index, 0xa1);
	assert_int_equal(ka.birth_ns, 7);
	assert_int_equal(kb.birth_ns, 8);
	assert_int_equal(p.a.state, NOISE_ZEROED);
	assert_int_equal(p.b.state, NOISE_ZEROED);
}

static void test_full_handshake_without_psk(void **state)
{
	(void)state;
	check_full_handshake(false);
}

static void test_full_handshake_with_psk(void **state)
{
	(void)state;
	check_full_handshake(true);
}

static void test_constants_ck0_and_h0(void **state)
{
	struct symmetric symmetric;
	uint8_t want[HASH_SIZE];

	(void)state;
	symmetric_init(&symmetric, identifier, sizeof(identifier) - 1);
	unit_hex(want, "60e26daef327efc02ec335e2a025d2d016eb4206f87277f52d38d1988b78cd36");
	assert_memory_equal(symmetric.chaining_key, want, HASH_SIZE);
	unit_hex(want, "2211b361081ac566691243db458ad5322d9c6c662293e8b70ee19c65ba079ef3");
	assert_memory_equal(symmetric.hash, want, HASH_SIZE);
}

static void test_different_psks_do_not_agree(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response response;

	(void)state;
	pair_init(&p, true);
	p.b.psk[31] ^= 1;
	initiate(&p, &initiation);
	assert_int_equal(consume(&p, &initiation), NOISE_OK);
	respond(&p, &response);
	before = p.a;
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_BAD);
	assert_memory_equal(&before, &p.a, sizeof(before));
}

/* The indices and MACs are not the handshake's: mac1 covers all, see cookie.h. */
static void test_each_byte_of_the_initiation_flipped(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation good, bad;

	(void)state;
	pair_init(&p, true);
	initiate(&p, &good);
	before = p.b;
	for (size_t i = offsetof(struct message_initiation, ephemeral);
	     i < offsetof(struct message_initiation, macs); i++) {
		bad = good;
		((uint8_t *)&bad)[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_equal(consume(&p, &bad), NOISE_BAD);
		assert_memory_equal(&before, &p.b, sizeof(before));
	}
	assert_int_equal(consume(&p, &good), NOISE_OK);
}

static void test_each_byte_of_the_response_flipped(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response good, bad;

	(void)state;
	pair_init(&p, true);
	initiate(&p, &initiation);
	assert_int_equal(consume(&p, &initiation), NOISE_OK);
	respond(&p, &good);
	before = p.a;
	for (size_t i = offsetof(struct message_response, receiver);
	     i < offsetof(struct message_response, macs); i++) {
		bool index = i < offsetof(struct message_response, ephemeral);

		bad = good;
		((uint8_t *)&bad)[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_equal(noise_consume_response(&p.a, &p.a_id, &bad),
		                 index ? NOISE_UNEXPECTED : NOISE_BAD);
		assert_memory_equal(&before, &p.a, sizeof(before));
	}
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &good), NOISE_OK);
}

/*
 * What an attacker sends: with a point of small order every DH result is zero,
 * so anybody can seal a message that decrypts. Only the check on the result of
 * the DH refuses it. The state after "e, es" is what the forger and a receiver
 * without that check would share.
 */
static void forge_state(const struct pair *p, const uint8_t ephemeral[KEY_SIZE],
                        struct symmetric *symmetric)
{
	static const uint8_t zero[KEY_SIZE];

	symmetric_init(symmetric, identifier, sizeof(identifier) - 1);
	symmetric_mix_hash(symmetric, p->b_id.public_key, KEY_SIZE);
	symmetric_mix_hash(symmetric, ephemeral, KEY_SIZE);
	symmetric_mix_key(symmetric, ephemeral);
	symmetric_mix_key(symmetric, zero);
}

static void forge_initiation(const struct pair *p, const uint8_t ephemeral[KEY_SIZE],
                             struct message_initiation *msg)
{
	struct symmetric symmetric;
	uint8_t stamp[TIMESTAMP_SIZE];

	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_INITIATION);
	memcpy(msg->ephemeral, ephemeral, KEY_SIZE);
	forge_state(p, ephemeral, &symmetric);
	symmetric_encrypt_and_hash(&symmetric, msg->static_sealed, p->a_id.public_key, KEY_SIZE);
	symmetric_mix_key(&symmetric, p->a.static_static);
	noise_timestamp(stamp, 1700000000, 0);
	symmetric_encrypt_and_hash(&symmetric, msg->timestamp_sealed, stamp, sizeof(stamp));
}

/* @ee, @se: what the DHs are taken to give, zero in a forgery. */
static void forge_response(const struct pair *p, const uint8_t ephemeral[KEY_SIZE],
                           const uint8_t ee[KEY_SIZE], const uint8_t se[KEY_SIZE],
                           struct message_response *msg)
{
	struct symmetric symmetric;

	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_RESPONSE);
	store_le32(&msg->receiver, p->a.local_index);
	memcpy(msg->ephemeral, ephemeral, KEY_SIZE);
	memcpy(symmetric.hash, p->a.hash, HASH_SIZE);
	memcpy(symmetric.chaining_key, p->a.chaining_key, HASH_SIZE);
	symmetric_mix_hash(&symmetric, ephemeral, KEY_SIZE);
	symmetric_mix_key(&symmetric, ephemeral);
	symmetric_mix_key(&symmetric, ee);
	symmetric_mix_key(&symmetric, se);
	symmetric_mix_key_and_hash(&symmetric, p->a.psk);
	symmetric_encrypt_and_hash(&symmetric, msg->empty_sealed, NULL, 0);
}

static void test_pitfall_6_low_order_ephemeral_in_an_initiation(void **state)
{
	struct pair p;
	struct message_initiation msg;
	struct noise_initiation in;
	uint8_t point[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < LOW_ORDER_COUNT; i++) {
		pair_init(&p, false);
		unit_hex(point, low_order[i]);
		forge_initiation(&p, point, &msg);
		assert_int_equal(noise_open_initiation(&p.b_id, &msg, &in), NOISE_BAD);
	}
}

static void test_pitfall_6_low_order_ephemeral_in_a_response(void **state)
{
	static const uint8_t zero[KEY_SIZE];
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response response;
	uint8_t point[KEY_SIZE];

	(void)state;
	for (size_t i = 0; i < LOW_ORDER_COUNT; i++) {
		pair_init(&p, false);
		initiate(&p, &initiation);
		unit_hex(point, low_order[i]);
		forge_response(&p, point, zero, zero, &response);
		before = p.a;
		assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_BAD);
		assert_memory_equal(&before, &p.a, sizeof(before));
	}
}

/* The forgeries are well made: they fail for nothing but the point. */
static void test_pitfall_6_forgeries_would_decrypt(void **state)
{
	struct pair p;
	struct message_initiation initiation;
	struct message_response response;
	struct noise_initiation in;
	struct symmetric symmetric;
	uint8_t private_key[KEY_SIZE], point[KEY_SIZE], ee[KEY_SIZE], se[KEY_SIZE];

	(void)state;
	pair_init(&p, false);
	unit_hex(point, low_order[0]);
	forge_initiation(&p, point, &initiation);
	memset(&in, 0, sizeof(in));
	memcpy(in.remote_ephemeral, point, KEY_SIZE);
	forge_state(&p, point, &symmetric);
	assert_true(symmetric_decrypt_and_hash(&symmetric, in.remote_static,
	                                       initiation.static_sealed, KEY_SIZE));
	memcpy(in.hash, symmetric.hash, HASH_SIZE);
	memcpy(in.chaining_key, symmetric.chaining_key, HASH_SIZE);
	assert_memory_equal(in.remote_static, p.a_id.public_key, KEY_SIZE);
	assert_int_equal(noise_consume_initiation(&p.b, &initiation, &in, p.now_ns), NOISE_OK);

	/* the forger's response, with an honest point and honest DHs */
	initiate(&p, &initiation);
	secret_generate_private(private_key);
	secret_derive_public(point, private_key);
	assert_true(secret_dh(ee, private_key, initiation.ephemeral));
	assert_true(secret_dh(se, private_key, p.a_id.public_key));
	forge_response(&p, point, ee, se, &response);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_OK);
}

static void test_pitfall_6_low_order_keys_where_messages_are_made(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response response;
	uint8_t point[KEY_SIZE], ephemeral[KEY_SIZE];
	uint8_t stamp[TIMESTAMP_SIZE] = { 0x40 };

	(void)state;
	secret_generate_private(ephemeral);
	for (size_t i = 0; i < LOW_ORDER_COUNT; i++) {
		unit_hex(point, low_order[i]);

		/* the remote ephemeral, when responding */
		pair_init(&p, false);
		initiate(&p, &initiation);
		assert_int_equal(consume(&p, &initiation), NOISE_OK);
		memcpy(p.b.remote_ephemeral, point, KEY_SIZE);
		before = p.b;
		assert_int_equal(noise_create_response(&p.b, ephemeral, 1, &response), NOISE_BAD);
		assert_memory_equal(&before, &p.b, sizeof(before));

		/* the remote static key: nothing is ever sent to it, nothing taken from it */
		noise_handshake_init(&p.a, &p.a_id, point, NULL);
		assert_false(p.a.usable);
		assert_int_equal(
			noise_create_initiation(&p.a, &p.a_id, ephemeral, stamp, 1, &initiation),
			NOISE_BAD);
		assert_int_equal(p.a.state, NOISE_ZEROED);
		/* no key of our own is no better, and one that comes later will do */
		pair_init(&p, false);
		initiate(&p, &initiation);
		noise_handshake_rekey(&p.a, NULL);
		assert_false(p.a.usable);
		assert_true(secret_is_zero(p.a.static_static, KEY_SIZE));
		noise_handshake_rekey(&p.a, &p.a_id);
		assert_true(p.a.usable);
		noise_handshake_init(&p.b, &p.b_id, point, NULL);
		assert_int_equal(consume(&p, &initiation), NOISE_BAD);
	}
}

static void test_stale_time_stamps(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation msg;

	(void)state;
	pair_init(&p, false);
	initiate_at(&p, 1700000000, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
	before = p.b;

	p.now_ns += SECOND;
	initiate_at(&p, 1700000000, &msg); /* equal, all else new */
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
	initiate_at(&p, 1699999999, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
	initiate_at(&p, 0, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
	assert_memory_equal(&before, &p.b, sizeof(before));

	initiate_at(&p, 1700000001, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
}

static void test_time_stamps_outlive_the_handshake_and_a_change_of_identity(void **state)
{
	struct pair p;
	struct message_initiation msg;
	struct message_response response;
	struct keypair kp;

	(void)state;
	pair_init(&p, false);
	initiate_at(&p, 1700000000, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
	respond(&p, &response);
	assert_int_equal(noise_derive_keypair(&p.b, &kp, p.now_ns), NOISE_OK);
	p.now_ns += SECOND;
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
	noise_handshake_rekey(&p.b, &p.b_id);
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
}

static void test_pitfall_16_a_future_time_stamp_is_taken_and_kept(void **state)
{
	struct pair p;
	struct message_initiation msg;

	(void)state;
	pair_init(&p, false);
	initiate_at(&p, 4000000000, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
	p.now_ns += SECOND;
	initiate_at(&p, 1700000000, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
	initiate_at(&p, 4000000001, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
}

static void test_pitfall_17_time_stamps_are_whitened_and_below_a_second(void **state)
{
	uint8_t stamp[TIMESTAMP_SIZE], want[TIMESTAMP_SIZE], later[TIMESTAMP_SIZE];
	uint64_t seed = 42;

	(void)state;
	noise_timestamp(stamp, 0, 0);
	unit_hex(want, "400000000000000a00000000");
	assert_memory_equal(stamp, want, TIMESTAMP_SIZE);
	noise_timestamp(stamp, 1700000000, 999999999);
	unit_hex(want, "400000006553f10a3b000000");
	assert_memory_equal(stamp, want, TIMESTAMP_SIZE);
	for (int i = 0; i < 10000; i++) {
		uint32_t ns = (uint32_t)unit_random(&seed);

		noise_timestamp(stamp, 1700000000, ns);
		assert_true(load_be32(stamp + 8) < 1000000000);
		assert_int_equal(load_be32(stamp + 8) & 0xffffff, 0);
		assert_int_equal(load_be64(stamp), 0x400000006553f10a + ns / 1000000000);
	}
	/* a step of the whitening, 16.8 ms, is below the rate rule's 20 */
	noise_timestamp(stamp, 1700000000, 5000000);
	noise_timestamp(later, 1700000000, 5000000 + NOISE_INITIATION_INTERVAL_NS);
	assert_true(memcmp(later, stamp, TIMESTAMP_SIZE) > 0);
}

static void test_initiations_closer_than_20_ms(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation msg;

	(void)state;
	pair_init(&p, false);
	initiate(&p, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
	before = p.b;
	p.now_ns += NOISE_INITIATION_INTERVAL_NS - 1;
	initiate(&p, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_FLOOD);
	assert_memory_equal(&before, &p.b, sizeof(before));
	/* the refused one did not push the next one away */
	p.now_ns += 1;
	assert_int_equal(consume(&p, &msg), NOISE_OK);
}

static void test_pitfall_18_identical_initiations_twice_and_in_parallel(void **state)
{
	struct pair p;
	struct message_initiation msg;
	struct noise_initiation first, second;

	(void)state;
	pair_init(&p, false);
	initiate(&p, &msg);
	assert_int_equal(noise_open_initiation(&p.b_id, &msg, &first), NOISE_OK);
	assert_int_equal(noise_open_initiation(&p.b_id, &msg, &second), NOISE_OK);
	assert_int_equal(noise_consume_initiation(&p.b, &msg, &first, p.now_ns), NOISE_OK);
	/* later than the rate rule, so that it is the time stamp that refuses */
	p.now_ns += SECOND;
	assert_int_equal(noise_consume_initiation(&p.b, &msg, &second, p.now_ns), NOISE_STALE);
	assert_int_equal(consume(&p, &msg), NOISE_STALE);
}

static void test_initiation_meant_for_another(void **state)
{
	struct pair p, q;
	struct message_initiation msg;
	struct noise_initiation in;

	(void)state;
	pair_init(&p, false);
	pair_init(&q, false);
	initiate(&p, &msg);
	assert_int_equal(noise_open_initiation(&q.b_id, &msg, &in), NOISE_BAD);
	/* the right host, but the wrong peer's handshake */
	assert_int_equal(noise_open_initiation(&p.b_id, &msg, &in), NOISE_OK);
	assert_memory_equal(in.remote_static, p.a_id.public_key, KEY_SIZE);
	assert_int_equal(noise_consume_initiation(&q.b, &msg, &in, p.now_ns), NOISE_BAD);
	assert_int_equal(q.b.state, NOISE_ZEROED);
}

/* Somebody who knows a's public key but not its private one. */
static void test_initiation_by_an_impostor(void **state)
{
	struct pair p;
	struct noise_identity impostor;
	struct message_initiation msg;
	uint8_t key[KEY_SIZE];

	(void)state;
	pair_init(&p, false);
	secret_generate_private(key);
	noise_identity_init(&impostor, key);
	memcpy(impostor.public_key, p.a_id.public_key, KEY_SIZE);
	noise_handshake_init(&p.a, &impostor, p.b_id.public_key, NULL);
	p.a_id = impostor;
	initiate(&p, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_BAD);
}

static void test_messages_in_the_wrong_state(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response response, other;
	struct keypair kp;
	uint8_t ephemeral[KEY_SIZE];

	(void)state;
	pair_init(&p, true);
	secret_generate_private(ephemeral);

	before = p.b;
	assert_int_equal(noise_create_response(&p.b, ephemeral, 1, &other), NOISE_UNEXPECTED);
	assert_int_equal(noise_derive_keypair(&p.b, &kp, 1), NOISE_UNEXPECTED);
	assert_memory_equal(&before, &p.b, sizeof(before));

	initiate(&p, &initiation);
	before = p.a;
	assert_int_equal(noise_create_response(&p.a, ephemeral, 1, &other), NOISE_UNEXPECTED);
	assert_int_equal(noise_derive_keypair(&p.a, &kp, 1), NOISE_UNEXPECTED);
	assert_memory_equal(&before, &p.a, sizeof(before));

	assert_int_equal(consume(&p, &initiation), NOISE_OK);
	before = p.b;
	assert_int_equal(noise_derive_keypair(&p.b, &kp, 1), NOISE_UNEXPECTED);
	assert_memory_equal(&before, &p.b, sizeof(before));
	respond(&p, &response);
	before = p.b;
	assert_int_equal(noise_create_response(&p.b, ephemeral, 1, &other), NOISE_UNEXPECTED);
	/* b made it, so b does not take it */
	assert_int_equal(noise_consume_response(&p.b, &p.b_id, &response), NOISE_UNEXPECTED);
	assert_memory_equal(&before, &p.b, sizeof(before));

	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_OK);
	before = p.a;
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_UNEXPECTED);
	assert_memory_equal(&before, &p.a, sizeof(before));
	assert_int_equal(noise_derive_keypair(&p.a, &kp, 1), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.a, &kp, 1), NOISE_UNEXPECTED);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_UNEXPECTED);
}

static void test_response_to_an_initiation_that_was_replaced(void **state)
{
	struct pair p;
	struct message_initiation first, second;
	struct message_response response;

	(void)state;
	pair_init(&p, false);
	initiate(&p, &first);
	assert_int_equal(consume(&p, &first), NOISE_OK);
	respond(&p, &response);
	initiate(&p, &second); /* a retransmission is a new handshake */
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_BAD);
	assert_int_equal(p.a.state, NOISE_INITIATION_CREATED);
}

static void test_pitfall_12_simultaneous_initiations_leave_both_able(void **state)
{
	struct pair p;
	struct message_initiation from_a, from_b;
	struct message_response response;
	struct noise_initiation in;
	struct keypair ka, kb;
	uint8_t stamp[TIMESTAMP_SIZE], ephemeral[KEY_SIZE];

	(void)state;
	pair_init(&p, true);
	initiate(&p, &from_a);
	noise_timestamp(stamp, 1700000000, 0);
	secret_generate_private(ephemeral);
	assert_int_equal(noise_create_initiation(&p.b, &p.b_id, ephemeral, stamp, 0xb1, &from_b),
	                 NOISE_OK);
	/* each takes the other's, which replaces its own */
	assert_int_equal(consume(&p, &from_a), NOISE_OK);
	assert_int_equal(noise_open_initiation(&p.a_id, &from_b, &in), NOISE_OK);
	assert_int_equal(noise_consume_initiation(&p.a, &from_b, &in, p.now_ns), NOISE_OK);
	respond(&p, &response);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_UNEXPECTED);

	/* the next attempt of either goes through */
	p.now_ns += 5 * SECOND;
	initiate(&p, &from_a);
	assert_int_equal(consume(&p, &from_a), NOISE_OK);
	respond(&p, &response);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.a, &ka, 1), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.b, &kb, 1), NOISE_OK);
	assert_memory_equal(ka.send_key, kb.receive_key, KEY_SIZE);
}

static void test_secrets_are_wiped_when_a_handshake_ends(void **state)
{
	struct pair p;
	struct noise_handshake before;
	struct message_initiation initiation;
	struct message_response response;
	struct keypair ka, kb;

	(void)state;
	pair_init(&p, true);
	initiate(&p, &initiation);
	assert_false(secret_is_zero(p.a.ephemeral_private, KEY_SIZE));
	assert_int_equal(consume(&p, &initiation), NOISE_OK);
	respond(&p, &response);
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_OK);
	before = p.a;
	assert_int_equal(noise_derive_keypair(&p.a, &ka, 1), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.b, &kb, 1), NOISE_OK);
	for (int i = 0; i < 2; i++) {
		const struct noise_handshake *hs = i ? &p.b : &p.a;

		assert_true(secret_is_zero(hs->hash, HASH_SIZE));
		assert_true(secret_is_zero(hs->chaining_key, HASH_SIZE));
		assert_true(secret_is_zero(hs->ephemeral_private, KEY_SIZE));
		assert_true(secret_is_zero(hs->remote_ephemeral, KEY_SIZE));
		assert_int_equal(hs->local_index, 0);
		assert_int_equal(hs->remote_index, 0);
	}
	/* what belongs to the peer stays */
	assert_memory_equal(before.remote_static, p.a.remote_static, KEY_SIZE);
	assert_memory_equal(before.psk, p.a.psk, KEY_SIZE);
	assert_memory_equal(before.static_static, p.a.static_static, KEY_SIZE);
	assert_true(p.a.usable);
}

static void test_change_of_identity(void **state)
{
	struct pair p;
	struct message_initiation msg;
	uint8_t key[KEY_SIZE];

	(void)state;
	pair_init(&p, true);
	initiate(&p, &msg);
	secret_generate_private(key);
	noise_identity_init(&p.a_id, key);
	noise_handshake_rekey(&p.a, &p.a_id);
	assert_int_equal(p.a.state, NOISE_ZEROED);
	assert_true(secret_is_zero(p.a.ephemeral_private, KEY_SIZE));
	noise_handshake_init(&p.b, &p.b_id, p.a_id.public_key, p.a.psk);
	initiate(&p, &msg);
	assert_int_equal(consume(&p, &msg), NOISE_OK);
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full_handshake_without_psk),
		cmocka_unit_test(test_full_handshake_with_psk),
		cmocka_unit_test(test_constants_ck0_and_h0),
		cmocka_unit_test(test_different_psks_do_not_agree),
		cmocka_unit_test(test_each_byte_of_the_initiation_flipped),
		cmocka_unit_test(test_each_byte_of_the_response_flipped),
		cmocka_unit_test(test_pitfall_6_low_order_ephemeral_in_an_initiation),
		cmocka_unit_test(test_pitfall_6_low_order_ephemeral_in_a_response),
		cmocka_unit_test(test_pitfall_6_forgeries_would_decrypt),
		cmocka_unit_test(test_pitfall_6_low_order_keys_where_messages_are_made),
		cmocka_unit_test(test_stale_time_stamps),
		cmocka_unit_test(test_time_stamps_outlive_the_handshake_and_a_change_of_identity),
		cmocka_unit_test(test_pitfall_16_a_future_time_stamp_is_taken_and_kept),
		cmocka_unit_test(test_pitfall_17_time_stamps_are_whitened_and_below_a_second),
		cmocka_unit_test(test_initiations_closer_than_20_ms),
		cmocka_unit_test(test_pitfall_18_identical_initiations_twice_and_in_parallel),
		cmocka_unit_test(test_initiation_meant_for_another),
		cmocka_unit_test(test_initiation_by_an_impostor),
		cmocka_unit_test(test_messages_in_the_wrong_state),
		cmocka_unit_test(test_response_to_an_initiation_that_was_replaced),
		cmocka_unit_test(test_pitfall_12_simultaneous_initiations_leave_both_able),
		cmocka_unit_test(test_secrets_are_wiped_when_a_handshake_ends),
		cmocka_unit_test(test_change_of_identity),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
