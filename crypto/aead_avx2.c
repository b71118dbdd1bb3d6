/* SPDX-License-Identifier: MIT */
/*
 * The list kernel (aead_list.h) with AVX2: eight lanes a register, twice. Sixteen
 * registers do not hold two sets of sixteen words, but what has to be put aside waits
 * in the first-level cache while the other set's latencies pass.
 */
#include "crypto/aead_kernel.h"

#include <immintrin.h>

enum { SET = 8, SETS = 2 };

typedef __m256i vec;

static inline vec vec_load(const void *p)
{
	return _mm256_loadu_si256((const __m256i_u *)p);
}

static inline void vec_store(void *p, vec v)
{
	_mm256_storeu_si256((__m256i_u *)p, v);
}

static inline vec vec_set1(uint32_t word)
{
	return _mm256_set1_epi32((int)word);
}

static inline vec vec_add(vec a, vec b)
{
	return _mm256_add_epi32(a, b);
}

static inline vec vec_xor(vec a, vec b)
{
	return _mm256_xor_si256(a, b);
}

static inline vec vec_rotate16(vec v)
{
	return _mm256_shuffle_epi8(v, _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1,
	                                              0, 3, 2, 13, 12, 15, 14, 9, 8, 11, 10, 5, 4,
	                                              7, 6, 1, 0, 3, 2));
}

static inline vec vec_rotate8(vec v)
{
	return _mm256_shuffle_epi8(v, _mm256_set_epi8(14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2,
	                                              1, 0, 3, 14, 13, 12, 15, 10, 9, 8, 11, 6, 5,
	                                              4, 7, 2, 1, 0, 3));
}

static inline vec vec_rotate12(vec v)
{
	return _mm256_or_si256(_mm256_slli_epi32(v, 12), _mm256_srli_epi32(v, 20));
}

static inline vec vec_rotate7(vec v)
{
	return _mm256_or_si256(_mm256_slli_epi32(v, 7), _mm256_srli_epi32(v, 25));
}

/* Eight words of eight lanes become eight lanes of 32 bytes. */
static inline __attribute__((always_inline)) void transpose(vec v[8])
{
	vec pair[8], quad[8];

	for (int i = 0; i < 4; i++) {
		pair[2 * i] = _mm256_unpacklo_epi32(v[2 * i], v[2 * i + 1]);
		pair[2 * i + 1] = _mm256_unpackhi_epi32(v[2 * i], v[2 * i + 1]);
	}
	for (int i = 0; i < 2; i++) {
		quad[4 * i] = _mm256_unpacklo_epi64(pair[4 * i], pair[4 * i + 2]);
		quad[4 * i + 1] = _mm256_unpackhi_epi64(pair[4 * i], pair[4 * i + 2]);
		quad[4 * i + 2] = _mm256_unpacklo_epi64(pair[4 * i + 1], pair[4 * i + 3]);
		quad[4 * i + 3] = _mm256_unpackhi_epi64(pair[4 * i + 1], pair[4 * i + 3]);
	}
	for (int i = 0; i < 4; i++) {
		v[i] = _mm256_permute2x128_si256(quad[i], quad[4 + i], 0x20);
		v[4 + i] = _mm256_permute2x128_si256(quad[i], quad[4 + i], 0x31);
	}
}

/* Lane i lies in v[i] and v[SET + i] then. */
static inline __attribute__((always_inline)) void vec_transpose(vec v[16])
{
	transpose(v);
	transpose(v + SET);
}

static inline void vec_put_block(uint8_t *dst, const vec v[16], int i)
{
	vec_store(dst, v[i]);
	vec_store(dst + sizeof(vec), v[SET + i]);
}

static inline void vec_xor_block(uint8_t *dst, const uint8_t *src, const vec v[16], int i)
{
	vec low = vec_xor(vec_load(src), v[i]);
	vec high = vec_xor(vec_load(src + sizeof(vec)), v[SET + i]);

	vec_store(dst, low);
	vec_store(dst + sizeof(vec), high);
}

#include "crypto/aead_list.h"

const struct aead_kernel aead_avx2 = { "avx2", list_seal, list_open };
