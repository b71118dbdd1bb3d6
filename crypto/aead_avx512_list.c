/* SPDX-License-Identifier: MIT */
/*
 * The list kernel (aead_list.h) with AVX-512, for what makes no good group in
 * aead_avx512.c: sixteen lanes a register. A second set would make blocks faster than
 * Poly1305 on the scalar units can take them.
 */
#include "crypto/aead_avx512.h"
#include "crypto/aead_kernel.h"

enum { SET = 16, SETS = 1 };

typedef __m512i vec;

static inline vec vec_load(const void *p)
{
	return _mm512_loadu_si512(p);
}

static inline void vec_store(void *p, vec v)
{
	_mm512_storeu_si512(p, v);
}

static inline vec vec_set1(uint32_t word)
{
	return _mm512_set1_epi32((int)word);
}

static inline vec vec_add(vec a, vec b)
{
	return _mm512_add_epi32(a, b);
}

static inline vec vec_xor(vec a, vec b)
{
	return _mm512_xor_si512(a, b);
}

static inline vec vec_rotate16(vec v)
{
	return _mm512_rol_epi32(v, 16);
}

static inline vec vec_rotate12(vec v)
{
	return _mm512_rol_epi32(v, 12);
}

static inline vec vec_rotate8(vec v)
{
	return _mm512_rol_epi32(v, 8);
}

static inline vec vec_rotate7(vec v)
{
	return _mm512_rol_epi32(v, 7);
}

static inline __attribute__((always_inline)) void vec_transpose(vec v[16])
{
	aead_avx512_transpose(v);
}

static inline void vec_put_block(uint8_t *dst, const vec v[16], int i)
{
	vec_store(dst, v[i]);
}

static inline void vec_xor_block(uint8_t *dst, const uint8_t *src, const vec v[16], int i)
{
	vec_store(dst, vec_xor(vec_load(src), v[i]));
}

#include "crypto/aead_list.h"

const struct aead_kernel aead_avx512_list = { "avx512-list", list_seal, list_open };
