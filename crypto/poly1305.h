/* SPDX-License-Identifier: MIT */
/*
 * Poly1305 (RFC 8439, 2.5) in 64-bit words, for the AEAD's vector kernels, which
 * run it on the scalar units while the vector units do ChaCha20. Inline, since a
 * call would make the caller spill every vector register.
 *
 * The accumulator is h = h0 + 2^64 h1 + 2^128 h2, and p = 2^130 - 5. Bounds:
 *   r0 < 2^60, r1 < 2^60, r1 divisible by 4 (clamped), so that s1 = 5 r1 / 4 is
 *   whole, s1 < 1.25 * 2^60, and 2^128 r1 = 2^130 (r1 / 4) = s1 (mod p).
 *   Between blocks h2 <= 4; with a block and its 2^128 added, h2 <= 6.
 *   d0 = h0 r0 + h1 s1           < 2^124 + 1.25 * 2^124      < 2^126
 *   d1 = h0 r1 + h1 r0 + h2 s1   < 2 * 2^124 + 8 * 2^61      < 2^126, with d0's carry too
 *   d2 = h2 r0                   <= 6 * 2^60; with d1's carry < 10 * 2^60 < 2^64
 * so no sum overflows. What lies above 2^130, d2 / 4, comes in again below times
 * five, as d2 / 4 + (d2 - d2 % 4) < 1.25 * 10 * 2^60 < 2^64, and leaves h2 <= 3 plus
 * one carry: h2 <= 4. At the end h < 2^130 + 2^128 < 2p, so one conditional
 * subtraction of p is enough; it is a select by masks.
 */
#ifndef CRYPTO_POLY1305_H
#define CRYPTO_POLY1305_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <immintrin.h>
#include "crypto/endian.h"

#define POLY1305_BLOCK 16

/* A message under way: the accumulator, and the one-time key. */
struct poly1305 {
	uint64_t h0, h1, h2;
	uint64_t r0, r1, s1;
	uint64_t pad0, pad1;
};

__extension__ typedef unsigned __int128 poly1305_wide;

static inline __attribute__((always_inline)) void poly1305_init(struct poly1305 *p,
                                                                const uint8_t one_time[32])
{
	p->h0 = p->h1 = p->h2 = 0;
	p->r0 = load_le64(one_time) & 0x0ffffffc0fffffff;
	p->r1 = load_le64(one_time + 8) & 0x0ffffffc0ffffffc;
	p->s1 = p->r1 + (p->r1 >> 2);
	p->pad0 = load_le64(one_time + 16);
	p->pad1 = load_le64(one_time + 24);
}

/*
 * One block of two words, with its 2^128. With the processor's own carries: gcc makes
 * 128-bit sums of the obvious kind twice as long, and passes them through memory.
 */
static inline __attribute__((always_inline)) void poly1305_words(struct poly1305 *p, uint64_t m0,
                                                                 uint64_t m1)
{
	unsigned long long h0, h1, h2, low, high, d0, d1, d2, e1, e2;
	unsigned char c;

	c = _addcarry_u64(0, p->h0, m0, &h0);
	c = _addcarry_u64(c, p->h1, m1, &h1);
	(void)_addcarry_u64(c, p->h2, 1, &h2);

	d0 = _mulx_u64(h0, p->r0, &d1);
	low = _mulx_u64(h1, p->s1, &high);
	c = _addcarry_u64(0, d0, low, &d0);
	(void)_addcarry_u64(c, d1, high, &d1);

	e1 = _mulx_u64(h0, p->r1, &e2);
	low = _mulx_u64(h1, p->r0, &high);
	c = _addcarry_u64(0, e1, low, &e1);
	(void)_addcarry_u64(c, e2, high, &e2);

	c = _addcarry_u64(0, e1, h2 * p->s1, &e1);
	(void)_addcarry_u64(c, e2, h2 * p->r0, &e2);
	c = _addcarry_u64(0, d1, e1, &d1);
	(void)_addcarry_u64(c, e2, 0, &d2);

	c = _addcarry_u64(0, d0, (d2 >> 2) + (d2 & ~3ULL), &h0);
	c = _addcarry_u64(c, d1, 0, &h1);
	(void)_addcarry_u64(c, d2 & 3, 0, &h2);
	p->h0 = h0;
	p->h1 = h1;
	p->h2 = h2;
}

static inline __attribute__((always_inline)) void poly1305_block(struct poly1305 *p,
                                                                 const uint8_t *m)
{
	poly1305_words(p, load_le64(m), load_le64(m + 8));
}

/* @len bytes, filled up with zeros to whole blocks as the AEAD does. */
static inline void poly1305_padded(struct poly1305 *p, const uint8_t *m, size_t len)
{
	uint8_t last[POLY1305_BLOCK] = { 0 };

	for (; len >= POLY1305_BLOCK; m += POLY1305_BLOCK, len -= POLY1305_BLOCK)
		poly1305_block(p, m);
	if (!len)
		return;
	memcpy(last, m, len);
	poly1305_block(p, last);
}

static inline void poly1305_tag(const struct poly1305 *p, uint8_t tag[POLY1305_BLOCK])
{
	poly1305_wide sum = (poly1305_wide)p->h0 + 5;
	uint64_t g0 = (uint64_t)sum;
	uint64_t g1, g2, reduce;

	sum = (poly1305_wide)p->h1 + (uint64_t)(sum >> 64);
	g1 = (uint64_t)sum;
	g2 = p->h2 + (uint64_t)(sum >> 64);
	reduce = 0 - (g2 >> 2); /* h + 5 reaches 2^130, that is, h reaches p: 0 or 1 */
	g0 = (g0 & reduce) | (p->h0 & ~reduce);
	g1 = (g1 & reduce) | (p->h1 & ~reduce);

	sum = (poly1305_wide)g0 + p->pad0;
	store_le64(tag, (uint64_t)sum);
	store_le64(tag + 8, g1 + p->pad1 + (uint64_t)(sum >> 64));
}

#endif
