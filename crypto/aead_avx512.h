/* SPDX-License-Identifier: MIT */
/* What the two files for AVX-512 share. */
#ifndef CRYPTO_AEAD_AVX512_H
#define CRYPTO_AEAD_AVX512_H

#include <immintrin.h>

/* Sixteen words of sixteen lanes become sixteen lanes of 64 bytes. */
static inline __attribute__((always_inline)) void aead_avx512_transpose(__m512i x[16])
{
	__m512i quad[16];

	for (int i = 0; i < 16; i += 4) {
		__m512i p0 = _mm512_unpacklo_epi32(x[i], x[i + 1]);
		__m512i p1 = _mm512_unpackhi_epi32(x[i], x[i + 1]);
		__m512i p2 = _mm512_unpacklo_epi32(x[i + 2], x[i + 3]);
		__m512i p3 = _mm512_unpackhi_epi32(x[i + 2], x[i + 3]);

		quad[i] = _mm512_unpacklo_epi64(p0, p2);
		quad[i + 1] = _mm512_unpackhi_epi64(p0, p2);
		quad[i + 2] = _mm512_unpacklo_epi64(p1, p3);
		quad[i + 3] = _mm512_unpackhi_epi64(p1, p3);
	}
	for (int i = 0; i < 4; i++) {
		__m512i u0 = _mm512_shuffle_i32x4(quad[i], quad[4 + i], 0x44);
		__m512i u1 = _mm512_shuffle_i32x4(quad[8 + i], quad[12 + i], 0x44);
		__m512i u2 = _mm512_shuffle_i32x4(quad[i], quad[4 + i], 0xee);
		__m512i u3 = _mm512_shuffle_i32x4(quad[8 + i], quad[12 + i], 0xee);

		x[i] = _mm512_shuffle_i32x4(u0, u1, 0x88);
		x[4 + i] = _mm512_shuffle_i32x4(u0, u1, 0xdd);
		x[8 + i] = _mm512_shuffle_i32x4(u2, u3, 0x88);
		x[12 + i] = _mm512_shuffle_i32x4(u2, u3, 0xdd);
	}
}

#endif
