/* SPDX-License-Identifier: MIT */
/*
 * ChaCha20-Poly1305 over a burst with AVX-512: sixteen ChaCha20 blocks side by side,
 * and Poly1305 of eight packets side by side with IFMA (52-bit multiply and add).
 *
 * A burst is sorted by length and cut into groups of eight packets of about one
 * length, a packet a lane. A pass makes two blocks of each: pass 0 the one-time key
 * (block 0) and the first block of text, pass k blocks 2k and 2k + 1. Between its
 * rounds Poly1305 takes steps of two blocks of each packet,
 *
 *    h = (h + m) r^2 + m' r,
 *
 * so that only r^2 has to be made for each key. Sealing, Poly1305 lags behind ChaCha20:
 * what is left of a group runs in the first pass of the next one. Opening, it leads:
 * the keys of the next group are made and its tags computed while this group is
 * decrypted. What a tag refuses is never decrypted, and its place left as it was.
 * What makes no good group, and a burst too small for one, goes to aead_avx512_list.c.
 *
 * Limbs have 44, 44 and 42 bits, h = h0 + 2^44 h1 + 2^88 h2. A multiplication gives
 * the low and the high 52 bits of a product; what lies at 2^52 above a limb of 44 is
 * 2^8 of the next, and what comes out of the last, at 2^132 = 4 * 2^130, comes in
 * again below times 4 * 5 = 20, which is multiplied into the factors s = 20 r before.
 *
 * Bounds, which each step keeps up for the next:
 *   h0 < 2^44, h1 < 2^44 + 2^7, h2 < 2^42. A block has limbs < 2^44, 2^44, 2^41, and
 *   a = h + m: a0 < 2^45, a1 < 2^45 + 2^7, a2 < 2^42 + 2^41.
 *   r is clamped: r0, r1 < 2^44, r2 < 2^36; 20 r1 < 2^48.4, 20 r2 < 2^40.4.
 *   q = r^2 has the bounds of h; 20 q1 < 2^48.4, 20 q2 < 2^46.4.
 *   All of these are < 2^52, which is what IFMA multiplies.
 *   Each of d0, d1, d2 sums six products. Their low halves are < 6 * 2^52 together;
 *   of the high halves, d0's are < 2^42 (the largest products are a1 * 20 q2 and
 *   a2 * 20 q1, < 2^91.5), d1's < 2^40, d2's < 2^38.1 (a1 q1 < 2^89.1, the rest smaller).
 *   With what the limb below hands on, d1 < 6 * 2^52 + 6 * 2^8 + 2^50 < 7 * 2^52, and
 *   d2 likewise. What leaves d2 is < 2^48.1 + 7 * 2^10, times five < 2^50.5; with it
 *   h0 < 2^51, so that it hands on < 2^7 to h1, which was masked to 44 bits before:
 *   the bounds above. r itself, and 2^128 left out, are below all of them.
 * So h1's carry need not be taken further until the end. There h is carried all the
 * way twice: the first time h2 hands on at most 1, after which h2 is 0 and h0 at most
 * 4 too large, so that the second time nothing leaves h2. Then h < 2^130 < 2p, and p is
 * subtracted once, by a mask.
 *
 * No branch and no index depends on anything but lengths, counts and verdicts.
 */
#include "crypto/aead_avx512.h"
#include "crypto/aead_kernel.h"

#include <string.h>
#include "crypto/endian.h"
#include "crypto/secret.h"

enum {
	LANES = 8, /* packets of a group */
	BLOCK = 64,
	POLY_BLOCK = 16,
	STEP = 2 * POLY_BLOCK,
	STEPS = 5, /* of Poly1305 in a pass, which makes the bytes of four */
	SPREAD = 128, /* the most by which lengths of a group differ */
	WORTH = 5, /* packets from which on a group beats the list */
	SPILLED = 4096, /* no less than the frames below entry's need */
};

/* A number modulo p in each lane. */
struct number {
	__m512i limb[3];
};

/* What a number is multiplied by: its limbs, and 20 times the upper two. */
struct factor {
	__m512i limb[3], over1, over2;
};

struct group {
	const uint8_t *src[LANES];
	uint8_t *dst[LANES];
	const uint8_t *text[LANES]; /* the ciphertext; of an unused lane another's */
	uint32_t len[LANES]; /* to be sealed or decrypted; 0: nothing */
	uint32_t text_len[LANES];
	uint32_t least, most; /* of len */
	unsigned int used;
	uint32_t step, steps; /* Poly1305: done, and those in which all lanes have 32 bytes */
	__m512i counter_low, counter_high; /* for both blocks of each lane */
	__m512i pad0, pad1;
	struct number h;
	struct factor r, square;
	uint8_t early[LANES][BLOCK]; /* opening: the key stream of the first block of text */
	uint8_t lane_op[LANES];
};

struct work {
	uint32_t key[KEY_SIZE / 4];
	const struct aead_call *call;
	struct aead_op *ops;
	uint8_t order[AEAD_BURST_MAX]; /* by length, the groups one after the other */
	uint8_t size[AEAD_BURST_MAX / WORTH]; /* packets of each group */
	unsigned int groups;
	unsigned int good;
	bool opening;
	struct group group[2]; /* one in ChaCha20, one in Poly1305 */
};

static const uint32_t constants[4] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

static inline __m512i load(const void *p)
{
	return _mm512_loadu_si512(p);
}

static inline __m512i set1(uint64_t v)
{
	return _mm512_set1_epi64((long long)v);
}

/* --- Poly1305 --- */

/* Sums of products, their low and high halves apart. */
struct product {
	__m512i low[3], high[3];
};

static inline __attribute__((always_inline)) void
add_products(struct product *d, const struct number *a, const struct factor *f)
{
	const __m512i by[3][3] = {
		{ f->limb[0], f->over2, f->over1 },
		{ f->limb[1], f->limb[0], f->over2 },
		{ f->limb[2], f->limb[1], f->limb[0] },
	};

#pragma GCC unroll 3
	for (int i = 0; i < 3; i++) {
#pragma GCC unroll 3
		for (int j = 0; j < 3; j++) {
			d->low[i] = _mm512_madd52lo_epu64(d->low[i], a->limb[j], by[i][j]);
			d->high[i] = _mm512_madd52hi_epu64(d->high[i], a->limb[j], by[i][j]);
		}
	}
}

static inline __attribute__((always_inline)) void carry(struct number *h, struct product *d)
{
	const __m512i mask44 = set1((1ULL << 44) - 1), mask42 = set1((1ULL << 42) - 1);
	__m512i over;

	d->low[1] = _mm512_add_epi64(d->low[1], _mm512_slli_epi64(d->high[0], 8));
	d->low[1] = _mm512_add_epi64(d->low[1], _mm512_srli_epi64(d->low[0], 44));
	d->low[2] = _mm512_add_epi64(d->low[2], _mm512_slli_epi64(d->high[1], 8));
	d->low[2] = _mm512_add_epi64(d->low[2], _mm512_srli_epi64(d->low[1], 44));
	over = _mm512_add_epi64(_mm512_slli_epi64(d->high[2], 10),
	                        _mm512_srli_epi64(d->low[2], 42));
	over = _mm512_add_epi64(over, _mm512_slli_epi64(over, 2));
	over = _mm512_add_epi64(over, _mm512_and_si512(d->low[0], mask44));
	h->limb[0] = _mm512_and_si512(over, mask44);
	h->limb[1] =
		_mm512_add_epi64(_mm512_and_si512(d->low[1], mask44), _mm512_srli_epi64(over, 44));
	h->limb[2] = _mm512_and_si512(d->low[2], mask42);
}

/* Two words of each lane as a number; @high is the 2^128 of a block, at 2^88: 2^40. */
static inline __attribute__((always_inline)) struct number split(__m512i w0, __m512i w1,
                                                                 __m512i high)
{
	const __m512i mask44 = set1((1ULL << 44) - 1);
	struct number n = { { _mm512_and_si512(w0, mask44),
		              _mm512_and_si512(_mm512_shrdi_epi64(w0, w1, 44), mask44),
		              _mm512_or_si512(_mm512_srli_epi64(w1, 24), high) } };

	return n;
}

static inline __attribute__((always_inline)) void add(struct number *a, const struct number *b)
{
	for (int i = 0; i < 3; i++)
		a->limb[i] = _mm512_add_epi64(a->limb[i], b->limb[i]);
}

/* Four words of each lane from eight places of 32 bytes. */
static inline __attribute__((always_inline)) void
gather(__m512i w[4], const uint8_t *const at[LANES], size_t offset)
{
	const __m512i first = _mm512_set_epi64(13, 12, 5, 4, 9, 8, 1, 0);
	const __m512i second = _mm512_set_epi64(15, 14, 7, 6, 11, 10, 3, 2);
	__m512i v[4], even[2], odd[2];

	for (int i = 0; i < 4; i++) {
		__m256i low = _mm256_loadu_si256((const __m256i_u *)(at[i] + offset));
		__m256i high = _mm256_loadu_si256((const __m256i_u *)(at[4 + i] + offset));

		v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
	}
	for (int i = 0; i < 2; i++) {
		even[i] = _mm512_unpacklo_epi64(v[2 * i], v[2 * i + 1]);
		odd[i] = _mm512_unpackhi_epi64(v[2 * i], v[2 * i + 1]);
	}
	w[0] = _mm512_permutex2var_epi64(even[0], first, even[1]);
	w[1] = _mm512_permutex2var_epi64(odd[0], first, odd[1]);
	w[2] = _mm512_permutex2var_epi64(even[0], second, even[1]);
	w[3] = _mm512_permutex2var_epi64(odd[0], second, odd[1]);
}

/* Two blocks of each lane, all of them whole. */
static inline __attribute__((always_inline)) void take_step(struct number *h, const struct group *g,
                                                            uint32_t step)
{
	const __m512i high = set1(1ULL << 40);
	struct product d = { 0 };
	struct number a, b;
	__m512i w[4];

	gather(w, g->text, (size_t)step * STEP);
	b = split(w[2], w[3], high);
	add_products(&d, &b, &g->r);
	a = split(w[0], w[1], high);
	add(h, &a);
	add_products(&d, h, &g->square);
	carry(h, &d);
}

static struct factor to_factor(const struct number *n)
{
	struct factor f;

	memcpy(f.limb, n->limb, sizeof(f.limb));
	/* 20 = 16 + 4 */
	f.over1 = _mm512_add_epi64(_mm512_slli_epi64(n->limb[1], 4),
	                           _mm512_slli_epi64(n->limb[1], 2));
	f.over2 = _mm512_add_epi64(_mm512_slli_epi64(n->limb[2], 4),
	                           _mm512_slli_epi64(n->limb[2], 2));
	return f;
}

/*
 * The last step of each lane, or one for some of them: lanes in @both have two blocks
 * in @staged, those in @one only the first, others none.
 */
static void take_staged(struct group *g, const uint8_t staged[LANES][STEP], __mmask8 both,
                        __mmask8 one)
{
	const uint8_t *at[LANES];
	const __m512i high = set1(1ULL << 40);
	struct product d = { 0 };
	struct number a, b, h = g->h;
	struct factor f;
	__m512i w[4];

	for (int i = 0; i < LANES; i++)
		at[i] = staged[i];
	gather(w, at, 0);
	b = split(_mm512_maskz_mov_epi64(both, w[2]), _mm512_maskz_mov_epi64(both, w[3]),
	          _mm512_maskz_mov_epi64(both, high));
	add_products(&d, &b, &g->r);
	a = split(w[0], w[1], high);
	add(&h, &a);
	for (int i = 0; i < 3; i++)
		f.limb[i] = _mm512_mask_blend_epi64(both, g->r.limb[i], g->square.limb[i]);
	f.over1 = _mm512_mask_blend_epi64(both, g->r.over1, g->square.over1);
	f.over2 = _mm512_mask_blend_epi64(both, g->r.over2, g->square.over2);
	add_products(&d, &h, &f);
	carry(&h, &d);
	for (int i = 0; i < 3; i++)
		g->h.limb[i] = _mm512_mask_mov_epi64(g->h.limb[i], both | one, h.limb[i]);
}

/* The additional data is every packet's alike. */
static void take_ad(struct group *g, const uint8_t *ad, size_t len)
{
	uint8_t staged[LANES][STEP] __attribute__((aligned(64))) = { { 0 } };

	for (; len; ad += POLY_BLOCK < len ? POLY_BLOCK : len,
	            len -= POLY_BLOCK < len ? POLY_BLOCK : len) {
		memset(staged[0], 0, POLY_BLOCK);
		memcpy(staged[0], ad, len < POLY_BLOCK ? len : POLY_BLOCK);
		for (int i = 1; i < LANES; i++)
			memcpy(staged[i], staged[0], POLY_BLOCK);
		take_staged(g, (const uint8_t(*)[STEP])staged, 0, 0xff);
	}
}

/* What is left behind the whole steps, filled up with zeros, and the lengths. */
static void take_rest(struct group *g, uint64_t ad_len)
{
	uint8_t staged[LANES][STEP] __attribute__((aligned(64)));
	__mmask8 both, one;
	uint32_t step = g->steps;

	do {
		both = one = 0;
		for (unsigned int i = 0; i < LANES; i++) {
			uint32_t len = g->text_len[i];
			uint32_t at = step * STEP;
			uint32_t left = at < len ? len - at : 0;
			uint32_t end = (len + POLY_BLOCK - 1) / POLY_BLOCK * POLY_BLOCK;
			__mmask32 bytes = left < STEP ? (1u << left) - 1 : ~0u;

			_mm256_store_si256((__m256i *)(void *)staged[i],
			                   _mm256_maskz_loadu_epi8(bytes, g->text[i] + at));
			if (end >= at && end < at + STEP) {
				store_le64(staged[i] + (end - at), ad_len);
				store_le64(staged[i] + (end - at) + 8, len);
			}
			both |= (__mmask8)((end > at) << i);
			one |= (__mmask8)((end == at) << i);
		}
		if (both | one)
			take_staged(g, (const uint8_t(*)[STEP])staged, both, one);
		step++;
	} while (both | one);
}

/* The accumulators, carried and reduced, plus the keys' other halves. */
static void make_tags(const struct group *g, __m512i tag[2])
{
	const __m512i mask44 = set1((1ULL << 44) - 1), mask42 = set1((1ULL << 42) - 1);
	__m512i h0 = g->h.limb[0], h1 = g->h.limb[1], h2 = g->h.limb[2];
	__m512i g0, g1, g2, over;
	__mmask8 reduce;

	for (int i = 0; i < 2; i++) {
		h1 = _mm512_add_epi64(h1, _mm512_srli_epi64(h0, 44));
		h0 = _mm512_and_si512(h0, mask44);
		h2 = _mm512_add_epi64(h2, _mm512_srli_epi64(h1, 44));
		h1 = _mm512_and_si512(h1, mask44);
		over = _mm512_srli_epi64(h2, 42);
		h2 = _mm512_and_si512(h2, mask42);
		h0 = _mm512_add_epi64(h0, _mm512_add_epi64(over, _mm512_slli_epi64(over, 2)));
	}
	/* h - p = h + 5 - 2^130, which is taken where it is not negative */
	g0 = _mm512_add_epi64(h0, set1(5));
	g1 = _mm512_add_epi64(h1, _mm512_srli_epi64(g0, 44));
	g2 = _mm512_add_epi64(h2, _mm512_srli_epi64(g1, 44));
	reduce = _mm512_cmpgt_epu64_mask(g2, mask42);
	h0 = _mm512_mask_and_epi64(h0, reduce, g0, mask44);
	h1 = _mm512_mask_and_epi64(h1, reduce, g1, mask44);
	h2 = _mm512_mask_and_epi64(h2, reduce, g2, mask42);

	h0 = _mm512_or_si512(h0, _mm512_slli_epi64(h1, 44));
	h1 = _mm512_or_si512(_mm512_srli_epi64(h1, 20), _mm512_slli_epi64(h2, 24));
	tag[0] = _mm512_add_epi64(h0, g->pad0);
	tag[1] = _mm512_add_epi64(h1, g->pad1);
	tag[1] =
		_mm512_mask_add_epi64(tag[1], _mm512_cmplt_epu64_mask(tag[0], h0), tag[1], set1(1));
}

/* --- ChaCha20 --- */

static inline __attribute__((always_inline)) void quarter(__m512i *a, __m512i *b, __m512i *c,
                                                          __m512i *d)
{
	*a = _mm512_add_epi32(*a, *b);
	*d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 16);
	*c = _mm512_add_epi32(*c, *d);
	*b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 12);
	*a = _mm512_add_epi32(*a, *b);
	*d = _mm512_rol_epi32(_mm512_xor_si512(*d, *a), 8);
	*c = _mm512_add_epi32(*c, *d);
	*b = _mm512_rol_epi32(_mm512_xor_si512(*b, *c), 7);
}

static inline __attribute__((always_inline)) void double_round(__m512i x[16])
{
	quarter(&x[0], &x[4], &x[8], &x[12]);
	quarter(&x[1], &x[5], &x[9], &x[13]);
	quarter(&x[2], &x[6], &x[10], &x[14]);
	quarter(&x[3], &x[7], &x[11], &x[15]);
	quarter(&x[0], &x[5], &x[10], &x[15]);
	quarter(&x[1], &x[6], &x[11], &x[12]);
	quarter(&x[2], &x[7], &x[8], &x[13]);
	quarter(&x[3], &x[4], &x[9], &x[14]);
}

static inline __attribute__((always_inline)) void
initial(const struct work *w, const struct group *g, uint32_t pass, __m512i x[16])
{
	const __m512i second = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);

	for (int i = 0; i < 4; i++)
		x[i] = _mm512_set1_epi32((int)constants[i]);
	for (int i = 0; i < 8; i++)
		x[4 + i] = _mm512_set1_epi32((int)w->key[i]);
	x[12] = _mm512_add_epi32(_mm512_set1_epi32((int)(2 * pass)), second);
	x[13] = _mm512_set1_epi32((int)w->call->nonce_head);
	x[14] = g->counter_low;
	x[15] = g->counter_high;
}

/* The two words of the first eight lanes as one of 64 bits. */
static inline __attribute__((always_inline)) __m512i join(__m512i low, __m512i high)
{
	return _mm512_or_si512(
		_mm512_cvtepu32_epi64(_mm512_castsi512_si256(low)),
		_mm512_slli_epi64(_mm512_cvtepu32_epi64(_mm512_castsi512_si256(high)), 32));
}

/* From the words of block 0: r, which is clamped, its square, and what is added last. */
static inline __attribute__((always_inline)) void set_keys(struct group *g, const __m512i x[16])
{
	__m512i r0 = _mm512_and_si512(join(x[0], x[1]), set1(0x0ffffffc0fffffff));
	__m512i r1 = _mm512_and_si512(join(x[2], x[3]), set1(0x0ffffffc0ffffffc));
	struct number r = split(r0, r1, _mm512_setzero_si512());
	struct product d = { 0 };

	g->pad0 = join(x[4], x[5]);
	g->pad1 = join(x[6], x[7]);
	g->r = to_factor(&r);
	add_products(&d, &r, &g->r);
	carry(&r, &d);
	g->square = to_factor(&r);
	memset(&g->h, 0, sizeof(g->h));
}

static inline __mmask64 first_bytes(uint32_t n)
{
	return n < BLOCK ? (1ULL << n) - 1 : ~0ULL;
}

/* Up to 64 bytes of a packet's text, from @at on. */
static inline void put_block(const struct group *g, unsigned int i, uint32_t at, __m512i stream)
{
	__mmask64 bytes = first_bytes(at < g->len[i] ? g->len[i] - at : 0);
	__m512i v = _mm512_maskz_loadu_epi8(bytes, g->src[i] + at);

	_mm512_mask_storeu_epi8(g->dst[i] + at, bytes, _mm512_xor_si512(v, stream));
}

static inline __attribute__((always_inline)) void put_blocks(const struct group *g, uint32_t pass,
                                                             const __m512i x[16])
{
	uint32_t at = (2 * pass - 1) * BLOCK;

	if (at + 2 * BLOCK > g->least) {
		for (unsigned int i = 0; i < LANES; i++) {
			put_block(g, i, at, x[i]);
			put_block(g, i, at + BLOCK, x[LANES + i]);
		}
		return;
	}
	for (int i = 0; i < LANES; i++) {
		__m512i v0 = _mm512_xor_si512(load(g->src[i] + at), x[i]);
		__m512i v1 = _mm512_xor_si512(load(g->src[i] + at + BLOCK), x[LANES + i]);

		_mm512_storeu_si512(g->dst[i] + at, v0);
		_mm512_storeu_si512(g->dst[i] + at + BLOCK, v1);
	}
}

/* Pass @pass of @g, with up to @steps steps of Poly1305 over @p between its rounds. */
static __attribute__((noinline)) void run_pass(const struct work *w, struct group *g, uint32_t pass,
                                               struct group *p, uint32_t steps)
{
	struct number h = p->h;
	__m512i x[16], start[16];

	initial(w, g, pass, x);
	for (uint32_t i = 0; i < STEPS; i++) {
		double_round(x);
		if (i < steps)
			take_step(&h, p, p->step + i);
		double_round(x);
	}
	if (steps) {
		p->h = h;
		p->step += steps;
	}
	initial(w, g, pass, start);
	for (int i = 0; i < 16; i++)
		x[i] = _mm512_add_epi32(x[i], start[i]);
	if (pass == 0)
		set_keys(g, x);
	aead_avx512_transpose(x);
	if (pass > 0) {
		put_blocks(g, pass, x);
	} else if (w->opening) {
		for (int i = 0; i < LANES; i++)
			_mm512_storeu_si512(g->early[i], x[LANES + i]);
	} else {
		for (unsigned int i = 0; i < LANES; i++)
			put_block(g, i, 0, x[LANES + i]);
	}
}

/* --- groups --- */

static void set_lengths(struct group *g)
{
	g->least = UINT32_MAX;
	g->most = 0;
	for (unsigned int i = 0; i < LANES; i++) {
		if (g->len[i] < g->least)
			g->least = g->len[i];
		if (g->len[i] > g->most)
			g->most = g->len[i];
	}
}

/* Group @index of the order. A lane without a packet reads the first one's text. */
static void begin_group(const struct work *w, struct group *g, unsigned int index)
{
	uint32_t low[2 * LANES], high[2 * LANES];
	unsigned int first = 0;

	for (unsigned int i = 0; i < index; i++)
		first += w->size[i];
	g->used = w->size[index];
	g->step = 0;
	g->steps = UINT32_MAX;
	for (unsigned int i = 0; i < LANES; i++) {
		unsigned int number = w->order[first + (i < g->used ? i : 0)];
		const struct aead_op *op = &w->ops[number];

		g->lane_op[i] = (uint8_t)number;
		g->src[i] = op->src;
		g->dst[i] = op->dst;
		g->text[i] = w->opening ? op->src : op->dst;
		g->len[i] = i < g->used ? op->len : 0;
		g->text_len[i] = op->len;
		if (op->len / STEP < g->steps)
			g->steps = op->len / STEP;
		low[i] = low[LANES + i] = (uint32_t)op->counter;
		high[i] = high[LANES + i] = (uint32_t)(op->counter >> 32);
	}
	g->counter_low = load(low);
	g->counter_high = load(high);
	set_lengths(g);
}

/* Passes of a group: its blocks and the key's, two a pass. */
static uint32_t count_passes(const struct group *g)
{
	return (g->most + BLOCK - 1) / BLOCK / 2 + 1;
}

/* The steps that may be taken in a pass, of those whose text is there. */
static uint32_t count_steps(const struct group *g, uint64_t text)
{
	uint64_t there = text / STEP < g->steps ? text / STEP : g->steps;
	uint64_t steps = there - g->step;

	return steps < STEPS ? (uint32_t)steps : STEPS;
}

/* All that is left of Poly1305; then tags are written, or compared over all 16 bytes. */
static __attribute__((noinline)) void finish_group(struct work *w, struct group *g)
{
	__m512i tag[2], have[2], halves[2];
	__mmask8 wrong;

	if (g->step < g->steps) {
		struct number h = g->h;

		for (; g->step < g->steps; g->step++)
			take_step(&h, g, g->step);
		g->h = h;
	}
	take_rest(g, w->call->ad_len);
	make_tags(g, tag);
	if (!w->opening) {
		uint8_t out[LANES][AEAD_TAG_SIZE] __attribute__((aligned(64)));

		/* lanes 0, 2, 4, 6 and 1, 3, 5, 7 */
		halves[0] = _mm512_unpacklo_epi64(tag[0], tag[1]);
		halves[1] = _mm512_unpackhi_epi64(tag[0], tag[1]);
		_mm512_store_si512(out[0], halves[0]);
		_mm512_store_si512(out[LANES / 2], halves[1]);
		for (unsigned int i = 0; i < g->used; i++)
			memcpy(g->dst[i] + g->text_len[i], out[i % 2 * (LANES / 2) + i / 2],
			       AEAD_TAG_SIZE);
		return;
	}
	for (unsigned int k = 0; k < 2; k++) {
		uint64_t words[LANES];

		for (unsigned int i = 0; i < LANES; i++)
			words[i] = load_le64(g->text[i] + g->text_len[i] + 8 * k);
		have[k] = load(words);
	}
	wrong = AEAD_PUBLISH((__mmask8)(_mm512_cmpneq_epi64_mask(have[0], tag[0]) |
	                                _mm512_cmpneq_epi64_mask(have[1], tag[1])));
	for (unsigned int i = 0; i < g->used; i++) {
		bool ok = !(wrong >> i & 1);

		w->ops[g->lane_op[i]].ok = ok;
		w->good += ok;
		if (!ok)
			g->len[i] = 0;
	}
	set_lengths(g);
}

static void take_call_ad(const struct work *w, struct group *g)
{
	if (w->call->ad_len)
		take_ad(g, w->call->ad, w->call->ad_len);
}

static __attribute__((noinline)) void seal_groups(struct work *w)
{
	struct group *last = NULL; /* whose Poly1305 is not finished */

	for (unsigned int i = 0; i < w->groups; i++) {
		struct group *g = &w->group[i % 2];
		uint32_t passes;

		begin_group(w, g, i);
		passes = count_passes(g);
		for (uint32_t pass = 0; pass < passes; pass++) {
			if (last)
				run_pass(w, g, pass, last, count_steps(last, UINT64_MAX));
			else /* of its own text, what the passes before this one made */
				run_pass(w, g, pass, g,
				         pass ? count_steps(g, (2ULL * pass - 1) * BLOCK) : 0);
			if (pass == 0)
				take_call_ad(w, g);
			if (last && last->step == last->steps) {
				finish_group(w, last);
				last = NULL;
			}
		}
		if (last)
			finish_group(w, last);
		last = g;
	}
	if (last)
		finish_group(w, last);
}

/* What pass 0 left of a group's text, for packets that are good. */
static void put_early(const struct group *g)
{
	for (unsigned int i = 0; i < LANES; i++)
		put_block(g, i, 0, load(g->early[i]));
}

static __attribute__((noinline)) void open_groups(struct work *w)
{
	struct group *g = &w->group[0];

	begin_group(w, g, 0);
	run_pass(w, g, 0, g, 0);
	take_call_ad(w, g);
	for (unsigned int i = 0; i < w->groups; i++) {
		struct group *next = &w->group[(i + 1) % 2];
		bool more = i + 1 < w->groups;
		uint32_t passes;

		g = &w->group[i % 2];
		if (more) {
			begin_group(w, next, i + 1);
			run_pass(w, next, 0, g, count_steps(g, UINT64_MAX));
			take_call_ad(w, next);
		}
		finish_group(w, g);
		put_early(g);
		passes = count_passes(g);
		for (uint32_t pass = 1; pass < passes; pass++) {
			if (more)
				run_pass(w, g, pass, next, count_steps(next, UINT64_MAX));
			else
				run_pass(w, g, pass, g, 0);
		}
	}
}

/* --- the burst --- */

/* Indices by length, longest first. */
static void sort(const struct aead_op *ops, unsigned int n, uint8_t order[])
{
	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = i;

		for (; at > 0 && ops[order[at - 1]].len < ops[i].len; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}

/* Cuts the burst into groups; the others, @rest of them, are listed in @list. */
static unsigned int plan(struct work *w, unsigned int n, uint8_t list[])
{
	uint8_t order[AEAD_BURST_MAX];
	unsigned int grouped = 0, rest = 0;

	sort(w->ops, n, order);
	w->groups = 0;
	for (unsigned int i = 0; i < n;) {
		uint32_t longest = w->ops[order[i]].len;
		unsigned int size = 1;

		while (size < LANES && i + size < n &&
		       longest - w->ops[order[i + size]].len <= SPREAD)
			size++;
		if (size < WORTH) {
			list[rest++] = order[i++];
			continue;
		}
		memcpy(w->order + grouped, order + i, size);
		grouped += size;
		w->size[w->groups++] = (uint8_t)size;
		i += size;
	}
	return rest;
}

static __attribute__((noinline)) void wipe_below(void)
{
	uint8_t spilled[SPILLED];

	secret_wipe(spilled, sizeof(spilled));
}

static unsigned int run_list(const struct aead_call *call, struct aead_op *ops, bool opening,
                             const uint8_t list[], unsigned int n)
{
	struct aead_op rest[AEAD_BURST_MAX];
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++)
		rest[i] = ops[list[i]];
	if (!opening) {
		aead_avx512_list.seal(call, rest, n);
		return 0;
	}
	good = aead_avx512_list.open(call, rest, n);
	for (unsigned int i = 0; i < n; i++)
		ops[list[i]].ok = rest[i].ok;
	return good;
}

/* All secrets are in @w or in the frames of what is called; none is in this one's. */
static unsigned int run(const struct aead_call *call, struct aead_op *ops, unsigned int n,
                        bool opening)
{
	uint8_t list[AEAD_BURST_MAX];
	unsigned int rest;
	struct work w;

	w.call = call;
	w.ops = ops;
	w.good = 0;
	w.opening = opening;
	rest = plan(&w, n, list);
	if (w.groups) {
		memcpy(w.key, call->key, sizeof(w.key));
		if (opening)
			open_groups(&w);
		else
			seal_groups(&w);
		secret_wipe(w.key, sizeof(w.key));
		secret_wipe(w.group, sizeof(w.group));
		wipe_below();
	}
	if (rest)
		w.good += run_list(call, ops, opening, list, rest);
	return w.good;
}

static void seal(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	if (n < WORTH)
		aead_avx512_list.seal(call, ops, n);
	else
		(void)run(call, ops, n, false);
}

static unsigned int open(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	return n < WORTH ? aead_avx512_list.open(call, ops, n) : run(call, ops, n, true);
}

const struct aead_kernel aead_avx512 = { "avx512", seal, open };
