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
#include "crypto/message.h"

#define AEAD_BURST_MAX 64

/*
 * One packet of a burst. @src and @dst are equal or do not overlap.
 * Sealing reads @len bytes of plaintext and writes @len + AEAD_TAG_SIZE.
 * Opening reads @len bytes of ciphertext and the tag behind them, and writes
 * @len bytes of plaintext, and those only if @ok; what was in @dst of a packet
 * that is not ok must not be used (it may have been overwritten by zeros).
 */
struct aead_op {
	const uint8_t *src;
	uint8_t *dst;
	uint32_t len;
	bool ok; /* opening: the tag was right; not touched by sealing */
	uint64_t counter;
};

/* @n is at most AEAD_BURST_MAX. */
void aead_seal_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n);

/* Sets @ok of each; returns how many are. */
unsigned int aead_open_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
	__attribute__((warn_unused_result));

/* Single messages with additional data; @dst holds @len (+ tag when sealing). */
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
 * Picks the implementation for this processor and proves it on known answers
 * (RFC 8439, 2.8.2) and against the reference. Called once before any thread
 * exists. 0, or -EIO when even the reference fails.
 */
int aead_init(void);

/* "libsodium", … : the implementation in use, for one line at start. */
const char *aead_name(void);

#endif
