/* SPDX-License-Identifier: MIT */
#include "crypto/symmetric.h"

#include <string.h>
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

static const char construction[] = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";

void symmetric_init(struct symmetric *state, const void *prologue, size_t len)
{
	hash_sum(state->chaining_key, construction, sizeof(construction) - 1, NULL, 0);
	memcpy(state->hash, state->chaining_key, HASH_SIZE);
	memset(state->key, 0, sizeof(state->key));
	symmetric_mix_hash(state, prologue, len);
}

void symmetric_mix_hash(struct symmetric *state, const void *data, size_t len)
{
	hash_sum(state->hash, state->hash, HASH_SIZE, data, len);
}

void symmetric_mix_key(struct symmetric *state, const uint8_t input[KEY_SIZE])
{
	uint8_t *const out[] = { state->chaining_key, state->key };

	hash_kdf(out, 2, state->chaining_key, input, KEY_SIZE);
}

void symmetric_mix_key_and_hash(struct symmetric *state, const uint8_t psk[KEY_SIZE])
{
	uint8_t mixed[HASH_SIZE];
	uint8_t *const out[] = { state->chaining_key, mixed, state->key };

	hash_kdf(out, 3, state->chaining_key, psk, KEY_SIZE);
	symmetric_mix_hash(state, mixed, sizeof(mixed));
	secret_wipe(mixed, sizeof(mixed));
}

void symmetric_encrypt_and_hash(struct symmetric *state, uint8_t *sealed, const void *plain,
                                size_t len)
{
	aead_seal(sealed, plain, len, state->hash, HASH_SIZE, 0, state->key);
	symmetric_mix_hash(state, sealed, len + AEAD_TAG_SIZE);
}

bool symmetric_decrypt_and_hash(struct symmetric *state, void *plain, const uint8_t *sealed,
                                size_t len)
{
	if (!aead_open(plain, sealed, len + AEAD_TAG_SIZE, state->hash, HASH_SIZE, 0, state->key))
		return false;
	symmetric_mix_hash(state, sealed, len + AEAD_TAG_SIZE);
	return true;
}

void symmetric_split(const struct symmetric *state, uint8_t first[KEY_SIZE],
                     uint8_t second[KEY_SIZE])
{
	uint8_t *const out[] = { first, second };

	hash_kdf(out, 2, state->chaining_key, NULL, 0);
}
