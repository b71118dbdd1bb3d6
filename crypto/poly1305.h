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

/* One block of two words, with its 2^128. A sum that is less than its part has carried. */
static inline __attribute__((always_inline)) void poly1305_words(struct poly1305 *p, uint64_t m0,
                                                                 uint64_t m1)
{
	poly1305_wide h = (poly1305_wide)p->h1 << 64 | p->h0;
	poly1305_wide m = (poly1305_wide)m1 << 64 | m0;
	poly1305_wide d0, d1;
	uint64_t h2, d2, fold;

	h += m;
	h2 = p->h2 + (h < m) + 1;
	d0 = (poly1305_wide)(uint64_t)h * p->r0 + (poly1305_wide)(uint64_t)(h >> 64) * p->s1;
	d1 = (poly1305_wide)(uint64_t)h * p->r1 + (poly1305_wide)(uint64_t)(h >> 64) * p->r0;
	d1 += (poly1305_wide)(h2 * p->r0) << 64 | (h2 * p->s1);
	d1 += (uint64_t)(d0 >> 64);
	d2 = (uint64_t)(d1 >> 64);
	fold = (d2 >> 2) + (d2 & ~3ULL);
	h = (poly1305_wide)(uint64_t)d1 << 64 | (uint64_t)d0;
	h += fold;
	p->h0 = (uint64_t)h;
	p->h1 = (uint64_t)(h >> 64);
	p->h2 = (d2 & 3) + (h < fold);
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

/* As two words, least significant first. */
static inline void poly1305_tag(const struct poly1305 *p, uint64_t tag[2])
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
	tag[0] = (uint64_t)sum;
	tag[1] = g1 + p->pad1 + (uint64_t)(sum >> 64);
}

#endif
