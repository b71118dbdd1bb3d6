/* SPDX-License-Identifier: MIT */
/*
 * BLAKE2s (RFC 7693) as the protocol uses it: plain, keyed, and below HMAC (RFC
 * 2104) and HKDF (RFC 5869). @out may be one of the inputs.
 */
#ifndef CRYPTO_HASH_H
#define CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"

/* Of one or two parts. */
void hash_sum(uint8_t out[HASH_SIZE], const void *a, size_t a_len, const void *b, size_t b_len);
/* Keyed, with a key of at most 32 bytes. */
void hash_mac(uint8_t out[MAC_SIZE], const uint8_t *key, size_t key_len, const void *a,
              size_t a_len);
/* With a key of at most 64 bytes. */
void hash_hmac(uint8_t out[HASH_SIZE], const uint8_t *key, size_t key_len, const void *a,
               size_t a_len);
/* HKDF as Noise uses it: @n outputs, at most 3, of HASH_SIZE bytes; one may be the chaining key. */
void hash_kdf(uint8_t *const out[], unsigned int n, const uint8_t chaining_key[HASH_SIZE],
              const void *input, size_t len);

#endif
