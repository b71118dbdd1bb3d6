/* SPDX-License-Identifier: MIT */
/*
 * ChaCha20-Poly1305 (RFC 8439) over bursts of packets that share one key, with
 * WireGuard's nonce (4 zero bytes, then the counter little-endian) and no
 * additional data: the transport messages. The handshake's few AEAD calls use
 * aead_seal() and aead_open(), which take additional data.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/aead_op.h"
#include "crypto/message.h"

/*
 * @n is at most AEAD_BURST_MAX. A burst is worked on as a whole: whatever any of
 * its packets reads stays as it is until the call returns.
 */
void aead_seal_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n);

/* Sets @ok of each; returns how many are. */
unsigned int aead_open_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
	__attribute__((warn_unused_result));

/*
 * Single messages with additional data; @dst holds @len (+ tag when sealing), which
 * is less than 2^31.
 */
void aead_seal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE]);
bool aead_open(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE]) __attribute__((warn_unused_result));

/* The same with the nonce given whole, as the public vectors need it. */
void aead_seal_nonce(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                     const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE]);
bool aead_open_nonce(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad,
                     size_t ad_len, const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
	__attribute__((warn_unused_result));

/* XChaCha20-Poly1305, for cookie replies. */
void aead_xseal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XNONCE_SIZE], const uint8_t key[KEY_SIZE]);
bool aead_xopen(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad,
                size_t ad_len, const uint8_t nonce[XNONCE_SIZE], const uint8_t key[KEY_SIZE])
	__attribute__((warn_unused_result));

/*
 * Picks the fastest implementation that this processor can run and that proves
 * itself on known answers (RFC 8439, 2.8.2) and against the reference. The
 * environment's OVLTUN_AEAD (avx512, avx2, libsodium) forces one. Called before any
 * thread exists. 0, or -EIO when even the reference fails.
 */
int aead_init(void);

/*
 * The implementation in use, for one line at start: "avx512", "avx2", "libsodium".
 * Where it is not what was asked for or could have been expected, the reason
 * follows in parentheses.
 */
const char *aead_name(void);

#endif
