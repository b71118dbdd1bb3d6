/* SPDX-License-Identifier: MIT */
/*
 * The intrinsics that crypto/aead_avx512*.c use, in plain C: so that these files run,
 * are tested and are watched by valgrind, which knows no AVX-512, on any machine. What
 * an instruction does is taken from Intel's manual, not from the files under test. No
 * branch here depends on a value but on masks of bytes to load or to store.
 */
#ifndef TESTS_UNIT_EMULATED_IMMINTRIN_H
#define TESTS_UNIT_EMULATED_IMMINTRIN_H

#include <stdint.h>
#include <string.h>

typedef uint8_t __mmask8;
typedef uint32_t __mmask32;
typedef uint64_t __mmask64;
typedef long long __m512i __attribute__((vector_size(64)));
typedef long long __m256i __attribute__((vector_size(32)));
typedef long long __m256i_u __attribute__((vector_size(32), aligned(1)));

typedef uint64_t emulated_quads __attribute__((vector_size(64)));
typedef uint32_t emulated_words __attribute__((vector_size(64)));
__extension__ typedef unsigned __int128 emulated_wide;

#define EMULATED static inline __attribute__((always_inline, unused))

EMULATED __m512i _mm512_loadu_si512(const void *p)
{
	__m512i v;

	memcpy(&v, p, sizeof(v));
	return v;
}

EMULATED void _mm512_storeu_si512(void *p, __m512i v)
{
	memcpy(p, &v, sizeof(v));
}

/* An address that is not aligned, which the processor would refuse, is one for UBSan. */
EMULATED void _mm512_store_si512(void *p, __m512i v)
{
	*(__m512i *)p = v;
}

EMULATED __m256i _mm256_loadu_si256(const __m256i_u *p)
{
	return (__m256i)*p;
}

EMULATED void _mm256_store_si256(__m256i *p, __m256i v)
{
	*p = v;
}

EMULATED __m512i _mm512_maskz_loadu_epi8(__mmask64 mask, const void *p)
{
	uint8_t bytes[64] = { 0 };

	for (int i = 0; i < 64; i++) {
		if (mask >> i & 1)
			bytes[i] = ((const uint8_t *)p)[i];
	}
	return _mm512_loadu_si512(bytes);
}

EMULATED __m256i _mm256_maskz_loadu_epi8(__mmask32 mask, const void *p)
{
	uint8_t bytes[32] = { 0 };
	__m256i v;

	for (int i = 0; i < 32; i++) {
		if (mask >> i & 1)
			bytes[i] = ((const uint8_t *)p)[i];
	}
	memcpy(&v, bytes, sizeof(v));
	return v;
}

EMULATED void _mm512_mask_storeu_epi8(void *p, __mmask64 mask, __m512i v)
{
	uint8_t bytes[64];

	memcpy(bytes, &v, sizeof(bytes));
	for (int i = 0; i < 64; i++) {
		if (mask >> i & 1)
			((uint8_t *)p)[i] = bytes[i];
	}
}

EMULATED __m512i _mm512_setzero_si512(void)
{
	return (__m512i){ 0 };
}

EMULATED __m512i _mm512_set1_epi64(long long v)
{
	return (__m512i){ v, v, v, v, v, v, v, v };
}

EMULATED __m512i _mm512_set_epi64(long long h, long long g, long long f, long long e, long long d,
                                  long long c, long long b, long long a)
{
	return (__m512i){ a, b, c, d, e, f, g, h };
}

EMULATED __m512i _mm512_set1_epi32(int v)
{
	emulated_words w;

	for (int i = 0; i < 16; i++)
		w[i] = (uint32_t)v;
	return (__m512i)w;
}

EMULATED __m512i _mm512_set_epi32(int p, int o, int n, int m, int l, int k, int j, int i, int h,
                                  int g, int f, int e, int d, int c, int b, int a)
{
	const int v[16] = { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p };

	return _mm512_loadu_si512(v);
}

EMULATED __m512i _mm512_castsi256_si512(__m256i a)
{
	return (__m512i){ a[0], a[1], a[2], a[3], 0, 0, 0, 0 };
}

EMULATED __m256i _mm512_castsi512_si256(__m512i a)
{
	return (__m256i){ a[0], a[1], a[2], a[3] };
}

EMULATED __m512i _mm512_inserti64x4(__m512i a, __m256i b, int at)
{
	for (int i = 0; i < 4; i++)
		a[4 * at + i] = b[i];
	return a;
}

EMULATED __m512i _mm512_cvtepu32_epi64(__m256i a)
{
	uint32_t words[8];
	__m512i v;

	memcpy(words, &a, sizeof(words));
	for (int i = 0; i < 8; i++)
		v[i] = words[i];
	return v;
}

EMULATED __m512i _mm512_add_epi64(__m512i a, __m512i b)
{
	return (__m512i)((emulated_quads)a + (emulated_quads)b);
}

EMULATED __m512i _mm512_add_epi32(__m512i a, __m512i b)
{
	return (__m512i)((emulated_words)a + (emulated_words)b);
}

EMULATED __m512i _mm512_and_si512(__m512i a, __m512i b)
{
	return a & b;
}

EMULATED __m512i _mm512_or_si512(__m512i a, __m512i b)
{
	return a | b;
}

EMULATED __m512i _mm512_xor_si512(__m512i a, __m512i b)
{
	return a ^ b;
}

EMULATED __m512i _mm512_slli_epi64(__m512i a, unsigned int n)
{
	return (__m512i)((emulated_quads)a << n);
}

EMULATED __m512i _mm512_srli_epi64(__m512i a, unsigned int n)
{
	return (__m512i)((emulated_quads)a >> n);
}

EMULATED __m512i _mm512_rol_epi32(__m512i a, int n)
{
	return (__m512i)((emulated_words)a << n | (emulated_words)a >> (32 - n));
}

/* The low half of b:a, to the right. */
EMULATED __m512i _mm512_shrdi_epi64(__m512i a, __m512i b, int n)
{
	return (__m512i)((emulated_quads)a >> n | (emulated_quads)b << (64 - n));
}

EMULATED emulated_wide emulated_product52(long long b, long long c)
{
	const uint64_t mask = (1ULL << 52) - 1;

	return (emulated_wide)((uint64_t)b & mask) * ((uint64_t)c & mask);
}

EMULATED __m512i _mm512_madd52lo_epu64(__m512i a, __m512i b, __m512i c)
{
	emulated_quads sum = (emulated_quads)a;

	for (int i = 0; i < 8; i++)
		sum[i] += (uint64_t)emulated_product52(b[i], c[i]) & ((1ULL << 52) - 1);
	return (__m512i)sum;
}

EMULATED __m512i _mm512_madd52hi_epu64(__m512i a, __m512i b, __m512i c)
{
	emulated_quads sum = (emulated_quads)a;

	for (int i = 0; i < 8; i++)
		sum[i] += (uint64_t)(emulated_product52(b[i], c[i]) >> 52);
	return (__m512i)sum;
}

/* Each bit of the mask over all bits of its lane. */
EMULATED __m512i emulated_spread(__mmask8 mask)
{
	__m512i v;

	for (int i = 0; i < 8; i++)
		v[i] = -(long long)(mask >> i & 1);
	return v;
}

/* @b where the mask has a bit, @a elsewhere. */
EMULATED __m512i _mm512_mask_blend_epi64(__mmask8 mask, __m512i a, __m512i b)
{
	__m512i chosen = emulated_spread(mask);

	return (b & chosen) | (a & ~chosen);
}

EMULATED __m512i _mm512_mask_mov_epi64(__m512i a, __mmask8 mask, __m512i b)
{
	return _mm512_mask_blend_epi64(mask, a, b);
}

EMULATED __m512i _mm512_maskz_mov_epi64(__mmask8 mask, __m512i a)
{
	return a & emulated_spread(mask);
}

EMULATED __m512i _mm512_mask_and_epi64(__m512i other, __mmask8 mask, __m512i a, __m512i b)
{
	return _mm512_mask_blend_epi64(mask, other, a & b);
}

EMULATED __m512i _mm512_mask_add_epi64(__m512i other, __mmask8 mask, __m512i a, __m512i b)
{
	return _mm512_mask_blend_epi64(mask, other, _mm512_add_epi64(a, b));
}

EMULATED __mmask8 _mm512_cmplt_epu64_mask(__m512i a, __m512i b)
{
	unsigned int mask = 0;

	/* the borrow of a - b */
	for (int i = 0; i < 8; i++) {
		uint64_t x = (uint64_t)a[i], y = (uint64_t)b[i];

		mask |= (unsigned int)(((~x & y) | ((~x | y) & (x - y))) >> 63) << i;
	}
	return (__mmask8)mask;
}

EMULATED __mmask8 _mm512_cmpgt_epu64_mask(__m512i a, __m512i b)
{
	return _mm512_cmplt_epu64_mask(b, a);
}

EMULATED __mmask8 _mm512_cmpneq_epi64_mask(__m512i a, __m512i b)
{
	return _mm512_cmplt_epu64_mask(a, b) | _mm512_cmplt_epu64_mask(b, a);
}

/* Of each 128 bits the low, or the high, words of both, in turn. */
EMULATED __m512i _mm512_unpacklo_epi64(__m512i a, __m512i b)
{
	return (__m512i){ a[0], b[0], a[2], b[2], a[4], b[4], a[6], b[6] };
}

EMULATED __m512i _mm512_unpackhi_epi64(__m512i a, __m512i b)
{
	return (__m512i){ a[1], b[1], a[3], b[3], a[5], b[5], a[7], b[7] };
}

EMULATED __m512i emulated_unpack_epi32(__m512i a, __m512i b, int half)
{
	emulated_words x = (emulated_words)a, y = (emulated_words)b, v;

	for (int i = 0; i < 16; i += 4) {
		v[i] = x[i + 2 * half];
		v[i + 1] = y[i + 2 * half];
		v[i + 2] = x[i + 2 * half + 1];
		v[i + 3] = y[i + 2 * half + 1];
	}
	return (__m512i)v;
}

EMULATED __m512i _mm512_unpacklo_epi32(__m512i a, __m512i b)
{
	return emulated_unpack_epi32(a, b, 0);
}

EMULATED __m512i _mm512_unpackhi_epi32(__m512i a, __m512i b)
{
	return emulated_unpack_epi32(a, b, 1);
}

/* Index bit 3 chooses between @a and @b, the lower three the quad. */
EMULATED __m512i _mm512_permutex2var_epi64(__m512i a, __m512i index, __m512i b)
{
	__m512i v;

	for (int i = 0; i < 8; i++)
		v[i] = index[i] & 8 ? b[index[i] & 7] : a[index[i] & 7];
	return v;
}

/* Two quarters of @a, then two of @b, each by two bits. */
EMULATED __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int which)
{
	__m512i v;

	for (int i = 0; i < 4; i++) {
		int quarter = which >> (2 * i) & 3;

		v[2 * i] = i < 2 ? a[2 * quarter] : b[2 * quarter];
		v[2 * i + 1] = i < 2 ? a[2 * quarter + 1] : b[2 * quarter + 1];
	}
	return v;
}

#endif
