/* SPDX-License-Identifier: MIT */
/*
 * The public vector of Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s, run through the
 * steps that noise.c is written in. Its prologue and payloads are not
 * WireGuard's, so the tokens are strung together here once more, for both sides.
 */
#include "vectors.h"

#include "crypto/aead.h"
#include "crypto/secret.h"
#include "crypto/symmetric.h"

static json_t *root;

struct side {
	struct symmetric symmetric;
	uint8_t static_private[KEY_SIZE], static_public[KEY_SIZE];
	uint8_t ephemeral_private[KEY_SIZE], ephemeral_public[KEY_SIZE];
	uint8_t remote_static[KEY_SIZE], remote_ephemeral[KEY_SIZE];
	uint8_t psk[KEY_SIZE];
	uint8_t send_key[KEY_SIZE], receive_key[KEY_SIZE];
};

struct message {
	uint8_t payload[VECTORS_BYTES_MAX], wire[VECTORS_BYTES_MAX];
	size_t payload_len, wire_len;
};

static void read_key(uint8_t key[KEY_SIZE], const json_t *vector, const char *name)
{
	uint8_t bytes[VECTORS_BYTES_MAX];

	assert_int_equal(vectors_bytes(bytes, vector, name), KEY_SIZE);
	memcpy(key, bytes, KEY_SIZE);
}

static void side_init(struct side *side, const json_t *vector, const char *role)
{
	uint8_t prologue[VECTORS_BYTES_MAX];
	char name[32];
	const json_t *psks;
	json_t *psk;

	memset(side, 0, sizeof(*side));
	snprintf(name, sizeof(name), "%s_static", role);
	read_key(side->static_private, vector, name);
	secret_derive_public(side->static_public, side->static_private);
	snprintf(name, sizeof(name), "%s_ephemeral", role);
	read_key(side->ephemeral_private, vector, name);
	secret_derive_public(side->ephemeral_public, side->ephemeral_private);
	snprintf(name, sizeof(name), "%s_psks", role);
	psks = json_object_get(vector, name);
	assert_int_equal(json_array_size(psks), 1);
	psk = json_pack("{sO}", "psk", json_array_get(psks, 0));
	read_key(side->psk, psk, "psk");
	json_decref(psk);
	snprintf(name, sizeof(name), "%s_prologue", role);
	symmetric_init(&side->symmetric, prologue, vectors_bytes(prologue, vector, name));
}

static void message_read(struct message *message, const json_t *vector, size_t number)
{
	const json_t *object = json_array_get(json_object_get(vector, "messages"), number);

	message->payload_len = vectors_bytes(message->payload, object, "payload");
	message->wire_len = vectors_bytes(message->wire, object, "ciphertext");
}

static void mix_ephemeral(struct side *side, const uint8_t ephemeral[KEY_SIZE])
{
	symmetric_mix_hash(&side->symmetric, ephemeral, KEY_SIZE);
	symmetric_mix_key(&side->symmetric, ephemeral);
}

static void mix_dh(struct side *side, const uint8_t private_key[KEY_SIZE],
                   const uint8_t public_key[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE];

	assert_true(secret_dh(shared, private_key, public_key));
	symmetric_mix_key(&side->symmetric, shared);
}

/* -> e, es, s, ss, payload */
static void first_message(struct side *initiator, struct side *responder,
                          const struct message *message)
{
	uint8_t wire[VECTORS_BYTES_MAX], payload[VECTORS_BYTES_MAX];
	uint8_t *sealed_static = wire + KEY_SIZE;
	uint8_t *sealed_payload = sealed_static + KEY_SIZE + AEAD_TAG_SIZE;

	memcpy(wire, initiator->ephemeral_public, KEY_SIZE);
	mix_ephemeral(initiator, wire);
	mix_dh(initiator, initiator->ephemeral_private, initiator->remote_static);
	symmetric_encrypt_and_hash(&initiator->symmetric, sealed_static, initiator->static_public,
	                           KEY_SIZE);
	mix_dh(initiator, initiator->static_private, initiator->remote_static);
	symmetric_encrypt_and_hash(&initiator->symmetric, sealed_payload, message->payload,
	                           message->payload_len);
	assert_int_equal(message->wire_len,
	                 2 * KEY_SIZE + 2 * AEAD_TAG_SIZE + message->payload_len);
	assert_memory_equal(wire, message->wire, message->wire_len);

	memcpy(responder->remote_ephemeral, wire, KEY_SIZE);
	mix_ephemeral(responder, wire);
	mix_dh(responder, responder->static_private, responder->remote_ephemeral);
	assert_true(symmetric_decrypt_and_hash(&responder->symmetric, responder->remote_static,
	                                       sealed_static, KEY_SIZE));
	assert_memory_equal(responder->remote_static, initiator->static_public, KEY_SIZE);
	mix_dh(responder, responder->static_private, responder->remote_static);
	assert_true(symmetric_decrypt_and_hash(&responder->symmetric, payload, sealed_payload,
	                                       message->payload_len));
	assert_memory_equal(payload, message->payload, message->payload_len);
}

/* <- e, ee, se, psk, payload */
static void second_message(struct side *initiator, struct side *responder,
                           const struct message *message)
{
	uint8_t wire[VECTORS_BYTES_MAX], payload[VECTORS_BYTES_MAX];
	uint8_t *sealed = wire + KEY_SIZE;

	memcpy(wire, responder->ephemeral_public, KEY_SIZE);
	mix_ephemeral(responder, wire);
	mix_dh(responder, responder->ephemeral_private, responder->remote_ephemeral);
	mix_dh(responder, responder->ephemeral_private, responder->remote_static);
	symmetric_mix_key_and_hash(&responder->symmetric, responder->psk);
	symmetric_encrypt_and_hash(&responder->symmetric, sealed, message->payload,
	                           message->payload_len);
	assert_int_equal(message->wire_len, KEY_SIZE + AEAD_TAG_SIZE + message->payload_len);
	assert_memory_equal(wire, message->wire, message->wire_len);

	mix_ephemeral(initiator, wire);
	mix_dh(initiator, initiator->ephemeral_private, wire);
	mix_dh(initiator, initiator->static_private, wire);
	symmetric_mix_key_and_hash(&initiator->symmetric, initiator->psk);
	assert_true(symmetric_decrypt_and_hash(&initiator->symmetric, payload, sealed,
	                                       message->payload_len));
	assert_memory_equal(payload, message->payload, message->payload_len);
}

static void transport_message(const struct side *from, const struct side *to, uint64_t counter,
                              const struct message *message)
{
	uint8_t wire[VECTORS_BYTES_MAX];
	struct aead_op op = { .src = message->payload,
		              .dst = wire,
		              .len = (uint32_t)message->payload_len,
		              .counter = counter };

	aead_seal_burst(from->send_key, &op, 1);
	assert_int_equal(message->wire_len, message->payload_len + AEAD_TAG_SIZE);
	assert_memory_equal(wire, message->wire, message->wire_len);
	op.src = wire;
	assert_int_equal(aead_open_burst(to->receive_key, &op, 1), 1);
	assert_memory_equal(wire, message->payload, message->payload_len);
}

static void test_noise_ikpsk2_25519_chachapoly_blake2s(void **state)
{
	const json_t *vectors = json_object_get(root, "vectors");
	const json_t *vector = json_array_get(vectors, 0);
	uint8_t hash[VECTORS_BYTES_MAX];
	struct side initiator, responder;
	struct message message;
	size_t count;

	(void)state;
	assert_int_equal(json_array_size(vectors), 1);
	assert_string_equal(vectors_text(vector, "protocol_name"),
	                    "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");
	side_init(&initiator, vector, "init");
	side_init(&responder, vector, "resp");
	/* <- s */
	read_key(initiator.remote_static, vector, "init_remote_static");
	assert_memory_equal(initiator.remote_static, responder.static_public, KEY_SIZE);
	symmetric_mix_hash(&initiator.symmetric, initiator.remote_static, KEY_SIZE);
	symmetric_mix_hash(&responder.symmetric, responder.static_public, KEY_SIZE);

	message_read(&message, vector, 0);
	first_message(&initiator, &responder, &message);
	message_read(&message, vector, 1);
	second_message(&initiator, &responder, &message);
	assert_int_equal(vectors_bytes(hash, vector, "handshake_hash"), HASH_SIZE);
	assert_memory_equal(initiator.symmetric.hash, hash, HASH_SIZE);
	assert_memory_equal(responder.symmetric.hash, hash, HASH_SIZE);

	symmetric_split(&initiator.symmetric, initiator.send_key, initiator.receive_key);
	symmetric_split(&responder.symmetric, responder.receive_key, responder.send_key);
	count = json_array_size(json_object_get(vector, "messages"));
	assert_int_equal(count, 6);
	for (size_t i = 2; i < count; i++) {
		message_read(&message, vector, i);
		if (i % 2 == 0)
			transport_message(&initiator, &responder, (i - 2) / 2, &message);
		else
			transport_message(&responder, &initiator, (i - 2) / 2, &message);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_ikpsk2_25519_chachapoly_blake2s),
	};
	int status;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	status = vectors_load(&root, argv[1], "noise-ikpsk2-blake2s.json");
	if (status == 0)
		status = secret_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
	json_decref(root);
	return status;
}
