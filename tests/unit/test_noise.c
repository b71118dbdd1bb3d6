/* SPDX-License-Identifier: MIT */
/* The handshake: both messages, made and taken, and everything that must refuse. */
#include "unit.h"

#include "crypto/noise.h"
#include "crypto/secret.h"
#include "crypto/session.h"
#include "crypto/symmetric.h"

#define SECOND 1000000000ULL

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
	struct keypair ka, kb;

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
	assert_int_equal(noise_derive_keypair(&p.a, &ka, 7), NOISE_OK);
	assert_int_equal(noise_derive_keypair(&p.b, &kb, 8), NOISE_OK);
	assert_memory_equal(ka.send_key, kb.receive_key, KEY_SIZE);
	assert_memory_equal(ka.receive_key, kb.send_key, KEY_SIZE);
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
	static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
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
		((uint8_t *)&bad)[i] ^= 1 << (i % 8);
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
		((uint8_t *)&bad)[i] ^= 1 << (i % 8);
		assert_int_equal(noise_consume_response(&p.a, &p.a_id, &bad),
		                 index ? NOISE_UNEXPECTED : NOISE_BAD);
		assert_memory_equal(&before, &p.a, sizeof(before));
	}
	assert_int_equal(noise_consume_response(&p.a, &p.a_id, &good), NOISE_OK);
}

/*
 * What an attacker sends: with a point of small order every DH result is zero,
 * so anybody can seal a message that decrypts. Only the check on the result of
 * the DH refuses it.
 */
static void forge_initiation(const struct pair *p, const uint8_t ephemeral[KEY_SIZE],
                             struct message_initiation *msg)
{
	static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
	static const uint8_t zero[KEY_SIZE];
	struct symmetric symmetric;
	uint8_t stamp[TIMESTAMP_SIZE];

	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_INITIATION);
	memcpy(msg->ephemeral, ephemeral, KEY_SIZE);
	symmetric_init(&symmetric, identifier, sizeof(identifier) - 1);
	symmetric_mix_hash(&symmetric, p->b_id.public_key, KEY_SIZE);
	symmetric_mix_hash(&symmetric, ephemeral, KEY_SIZE);
	symmetric_mix_key(&symmetric, ephemeral);
	symmetric_mix_key(&symmetric, zero);
	symmetric_encrypt_and_hash(&symmetric, msg->static_sealed, p->a_id.public_key, KEY_SIZE);
	symmetric_mix_key(&symmetric, p->a.static_static);
	noise_timestamp(stamp, 1700000000, 0);
	symmetric_encrypt_and_hash(&symmetric, msg->timestamp_sealed, stamp, sizeof(stamp));
}

static void forge_response(const struct pair *p, const uint8_t ephemeral[KEY_SIZE],
                           struct message_response *msg)
{
	static const uint8_t zero[KEY_SIZE];
	struct symmetric symmetric;

	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_RESPONSE);
	store_le32(&msg->receiver, p->a.local_index);
	memcpy(msg->ephemeral, ephemeral, KEY_SIZE);
	memcpy(symmetric.hash, p->a.hash, HASH_SIZE);
	memcpy(symmetric.chaining_key, p->a.chaining_key, HASH_SIZE);
	symmetric_mix_hash(&symmetric, ephemeral, KEY_SIZE);
	symmetric_mix_key(&symmetric, ephemeral);
	symmetric_mix_key(&symmetric, zero);
	symmetric_mix_key(&symmetric, zero);
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
		forge_response(&p, point, &response);
		before = p.a;
		assert_int_equal(noise_consume_response(&p.a, &p.a_id, &response), NOISE_BAD);
		assert_memory_equal(&before, &p.a, sizeof(before));
	}
}

/* The forgeries above are right but for the point: with real DHs they pass. */
static void test_pitfall_6_forged_messages_are_well_made(void **state)
{
	struct pair p;
	struct message_initiation initiation;
	struct noise_initiation in;
	uint8_t point[KEY_SIZE];

	(void)state;
	pair_init(&p, false);
	unit_hex(point, low_order[0]);
	forge_initiation(&p, point, &initiation);
	/* the second half meets no ephemeral DH, so it takes what the first would give */
	memset(&in, 0, sizeof(in));
	memcpy(in.remote_ephemeral, point, KEY_SIZE);
	{
		static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";
		static const uint8_t zero[KEY_SIZE];
		struct symmetric symmetric;

		symmetric_init(&symmetric, identifier, sizeof(identifier) - 1);
		symmetric_mix_hash(&symmetric, p.b_id.public_key, KEY_SIZE);
		symmetric_mix_hash(&symmetric, point, KEY_SIZE);
		symmetric_mix_key(&symmetric, point);
		symmetric_mix_key(&symmetric, zero);
		assert_true(symmetric_decrypt_and_hash(&symmetric, in.remote_static,
		                                       initiation.static_sealed, KEY_SIZE));
		memcpy(in.hash, symmetric.hash, HASH_SIZE);
		memcpy(in.chaining_key, symmetric.chaining_key, HASH_SIZE);
	}
	assert_memory_equal(in.remote_static, p.a_id.public_key, KEY_SIZE);
	assert_int_equal(noise_consume_initiation(&p.b, &initiation, &in, p.now_ns), NOISE_OK);
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
		pair_init(&p, false);
		initiate(&p, &initiation);
		noise_handshake_init(&p.b, &p.b_id, point, NULL);
		assert_int_equal(consume(&p, &initiation), NOISE_BAD);
	}
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_constants_ck0_and_h0),
		cmocka_unit_test(test_full_handshake_without_psk),
		cmocka_unit_test(test_full_handshake_with_psk),
		cmocka_unit_test(test_different_psks_do_not_agree),
		cmocka_unit_test(test_each_byte_of_the_initiation_flipped),
		cmocka_unit_test(test_each_byte_of_the_response_flipped),
		cmocka_unit_test(test_pitfall_6_low_order_ephemeral_in_an_initiation),
		cmocka_unit_test(test_pitfall_6_low_order_ephemeral_in_a_response),
		cmocka_unit_test(test_pitfall_6_forged_messages_are_well_made),
		cmocka_unit_test(test_pitfall_6_low_order_keys_where_messages_are_made),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
