/* SPDX-License-Identifier: MIT */
/*
 * Keys as bytes and as text. Everything here runs in time that depends on
 * lengths only, never on the bytes.
 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"

#define KEY_BASE64_LEN 44 /* without the terminating zero */
#define KEY_HEX_LEN    64

/* Sets up the crypto libraries. 0, or -ENOSYS if randomness is unavailable. */
int secret_init(void);

/* Overwrites @len bytes in a way the compiler keeps. */
void secret_wipe(void *p, size_t len);

/* Constant-time comparisons. */
bool secret_equal(const void *a, const void *b, size_t len);
bool secret_is_zero(const void *p, size_t len);

/* Fills @p from the kernel's generator. */
void secret_random(void *p, size_t len);

/* SipHash-2-4, for hash tables whose keys strangers choose. */
#define SECRET_HASH_KEY_SIZE 16
uint64_t secret_hash(const uint8_t key[SECRET_HASH_KEY_SIZE], const void *data, size_t len);

/*
 * Text forms. The decoders take exactly KEY_BASE64_LEN or KEY_HEX_LEN
 * characters, refuse anything but the one canonical spelling (hexadecimal in
 * lower case, no spare bits set in base64), and return
 * false without touching @key's meaning (it is wiped) when refused.
 */
void secret_to_base64(char out[KEY_BASE64_LEN + 1], const uint8_t key[KEY_SIZE]);
bool secret_from_base64(uint8_t key[KEY_SIZE], const char *text, size_t len);
void secret_to_hex(char out[KEY_HEX_LEN + 1], const uint8_t key[KEY_SIZE]);
bool secret_from_hex(uint8_t key[KEY_SIZE], const char *text, size_t len);

/* Curve25519 keys (RFC 7748). Clamping as wg(8) genkey does it. */
void secret_generate_private(uint8_t private_key[KEY_SIZE]);
void secret_clamp(uint8_t private_key[KEY_SIZE]);
void secret_derive_public(uint8_t public_key[KEY_SIZE], const uint8_t private_key[KEY_SIZE]);

/* X25519. False when the result is all zero: the caller aborts what it does. */
bool secret_dh(uint8_t out[KEY_SIZE], const uint8_t private_key[KEY_SIZE],
               const uint8_t public_key[KEY_SIZE]) __attribute__((warn_unused_result));

#endif
