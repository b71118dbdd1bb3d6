/* SPDX-License-Identifier: MIT */
#include "crypto/hash.h"

#include <string.h>
#include <blake2.h>
#include "crypto/secret.h"

#define BLOCK_SIZE 64

void hash_sum(uint8_t out[HASH_SIZE], const void *a, size_t a_len, const void *b, size_t b_len)
{
	blake2s_state state;

	(void)blake2s_init(&state, HASH_SIZE);
	(void)blake2s_update(&state, a, a_len);
	(void)blake2s_update(&state, b, b_len);
	(void)blake2s_final(&state, out, HASH_SIZE);
	secret_wipe(&state, sizeof(state));
}

void hash_mac(uint8_t out[MAC_SIZE], const uint8_t *key, size_t key_len, const void *a,
              size_t a_len)
{
	blake2s_state state;

	(void)blake2s_init_key(&state, MAC_SIZE, key, key_len);
	(void)blake2s_update(&state, a, a_len);
	(void)blake2s_final(&state, out, MAC_SIZE);
	secret_wipe(&state, sizeof(state));
}

/* RFC 2104. No key here is longer than a block. */
void hash_hmac(uint8_t out[HASH_SIZE], const uint8_t *key, size_t key_len, const void *a,
               size_t a_len)
{
	uint8_t inner[BLOCK_SIZE] = { 0 };
	uint8_t outer[BLOCK_SIZE];
	uint8_t digest[HASH_SIZE];

	memcpy(inner, key, key_len);
	for (int i = 0; i < BLOCK_SIZE; i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	hash_sum(digest, inner, sizeof(inner), a, a_len);
	hash_sum(out, outer, sizeof(outer), digest, sizeof(digest));
	secret_wipe(inner, sizeof(inner));
	secret_wipe(outer, sizeof(outer));
	secret_wipe(digest, sizeof(digest));
}

void hash_kdf(uint8_t *const out[], unsigned int n, const uint8_t chaining_key[HASH_SIZE],
              const void *input, size_t len)
{
	uint8_t prk[HASH_SIZE];
	uint8_t block[HASH_SIZE + 1];

	hash_hmac(prk, chaining_key, HASH_SIZE, input, len);
	for (unsigned int i = 0; i < n; i++) {
		/* the first block has no predecessor in front of its number */
		size_t before = i == 0 ? 0 : HASH_SIZE;

		block[before] = (uint8_t)(i + 1);
		hash_hmac(block, prk, sizeof(prk), block, before + 1);
		memcpy(out[i], block, HASH_SIZE);
	}
	secret_wipe(prk, sizeof(prk));
	secret_wipe(block, sizeof(block));
}
