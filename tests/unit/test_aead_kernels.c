/* SPDX-License-Identifier: MIT */
/*
 * Every implementation of the AEAD against libsodium: bursts of mixed lengths, in
 * place or not, at every alignment, up against pages that must not be touched, with
 * forged packets among them; and packets made so that Poly1305's accumulator ends
 * where random ones practically never do, at and around p = 2^130 - 5.
 *
 *    test_aead_kernels [ROUNDS [SEED]]
 *
 * With EMULATED the AVX-512 files are those in plain C (emulated/immintrin.h).
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sodium.h>
#include "crypto/aead_choose.h"
#include "crypto/aead_cpu.h"
#include "crypto/aead_kernel.h"
#include "crypto/endian.h"
#include "crypto/secret.h"

#ifndef EMULATED
#define EMULATED false
#endif

enum {
	PAGE = 4096,
	LEN_MAX = 65535,
	ROOM = (LEN_MAX + AEAD_TAG_SIZE + PAGE) / PAGE * PAGE,
	STRIDE = ROOM + PAGE, /* the page behind is taboo, and so is the one before the first */
};

static const struct aead_kernel *kernel;
static uint64_t seed = 1;
static unsigned int rounds = 60;

/* Rooms between taboo pages: a packet's source and destination here, the twin's there. */
static uint8_t *rooms[2];
static uint8_t twin[AEAD_BURST_MAX][LEN_MAX + AEAD_TAG_SIZE];
static uint8_t plain[AEAD_BURST_MAX][LEN_MAX];

static uint32_t below(uint32_t n)
{
	return (uint32_t)(unit_random(&seed) % n);
}

static uint8_t *room(unsigned int which, unsigned int i)
{
	return rooms[which] + (size_t)i * STRIDE;
}

/* A place for @len bytes in a room: at its end, at its begin, or anywhere. */
static uint8_t *place(unsigned int which, unsigned int i, uint32_t len)
{
	uint32_t spare = ROOM - len;
	uint32_t at[] = { spare, spare, below(spare + 1), 0 };

	return room(which, i) + at[below(4)];
}

static uint32_t random_len(unsigned int kind)
{
	switch (kind) {
	case 0:
		return below(100);
	case 1:
		return below(600);
	case 2:
		return 64 * below(24) + below(3);
	case 3:
		return below(32) ? below(1500) : below(LEN_MAX + 1);
	default:
		return below(1600);
	}
}

/* Lengths of a burst: all alike, or mixed. */
static void random_lens(uint32_t *lens, unsigned int n)
{
	unsigned int kind = below(6);
	uint32_t same = random_len(kind);
	bool mixed = below(2);

	for (unsigned int i = 0; i < n; i++)
		lens[i] = mixed ? random_len(kind) : same;
}

static void random_bytes(uint8_t *bytes, size_t len)
{
	uint8_t stream_seed[randombytes_SEEDBYTES] = { 0 };

	store_le64(stream_seed, unit_random(&seed));
	randombytes_buf_deterministic(bytes, len, stream_seed);
}

static bool all(const uint8_t *bytes, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

/* Bytes of the room around the packet, some dozens to either side, have to stay 0xee. */
static void assert_untouched(unsigned int which, unsigned int i, const uint8_t *at, uint32_t len)
{
	size_t before = (size_t)(at - room(which, i));
	size_t behind = ROOM - before - len;

	before = before < 200 ? before : 200;
	behind = behind < 200 ? behind : 200;
	assert_true(all(at - before, before, 0xee));
	assert_true(all(at + len, behind, 0xee));
}

/* Forges some of the packets, in text, tag or counter; returns how many are still good. */
static unsigned int forge(struct aead_op *ops, unsigned int n, bool *good)
{
	unsigned int count = 0;
	unsigned int share = 1 + below(6);

	for (unsigned int i = 0; i < n; i++) {
		uint32_t size = ops[i].len + AEAD_TAG_SIZE;
		uint8_t *sealed = (uint8_t *)(uintptr_t)ops[i].src;

		good[i] = below(share) != 0 || share == 6;
		count += good[i];
		if (good[i])
			continue;
		if (below(8) == 0)
			ops[i].counter ^= 1ULL << below(64);
		else if (below(2))
			sealed[below(size)] ^= (uint8_t)(1 << below(8));
		else /* each byte of the tag takes part */
			sealed[ops[i].len + below(AEAD_TAG_SIZE)] ^= (uint8_t)(1 << below(8));
	}
	return count;
}

static void open_forged(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	bool good[AEAD_BURST_MAX];
	unsigned int count = forge(ops, n, good);

	for (unsigned int i = 0; i < n; i++) {
		/* what may be found in the place of a packet that is not good */
		memcpy(twin[i], ops[i].src, ops[i].len);
		if (ops[i].dst != ops[i].src)
			memset(twin[i], 0xee, ops[i].len);
		ops[i].ok = below(2);
	}
	assert_int_equal(kernel->open(call, ops, n), count);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(ops[i].ok, good[i]);
		if (good[i])
			assert_memory_equal(ops[i].dst, plain[i], ops[i].len);
		else
			assert_true(memcmp(ops[i].dst, twin[i], ops[i].len) == 0 ||
			            all(ops[i].dst, ops[i].len, 0));
	}
}

/* Seals @n packets of these lengths, and opens them with some forged. */
static void check_burst(const uint32_t *lens, unsigned int n, bool in_place, uint32_t ad_len)
{
	uint8_t key[KEY_SIZE], ad[80];
	struct aead_call call = { .key = key, .ad = ad_len ? ad : NULL, .ad_len = ad_len };
	struct aead_op ops[AEAD_BURST_MAX], want[AEAD_BURST_MAX];
	uint64_t first = below(2) ? unit_random(&seed) : UINT32_MAX - below(70);

	random_bytes(key, sizeof(key));
	random_bytes(ad, sizeof(ad));
	if (ad_len)
		call.nonce_head = (uint32_t)unit_random(&seed);
	for (unsigned int i = 0; i < n; i++) {
		uint8_t *src = place(0, i, lens[i] + AEAD_TAG_SIZE);
		uint8_t *dst = in_place ? src : place(1, i, lens[i] + AEAD_TAG_SIZE);

		memset(room(0, i), 0xee, ROOM);
		memset(room(1, i), 0xee, ROOM);
		random_bytes(plain[i], lens[i]);
		memcpy(src, plain[i], lens[i]);
		ops[i] = (struct aead_op){
			.src = src, .dst = dst, .len = lens[i], .counter = first + i
		};
		want[i] = ops[i];
		want[i].src = plain[i];
		want[i].dst = twin[i];
	}
	kernel->seal(&call, ops, n);
	aead_sodium.seal(&call, want, n);
	for (unsigned int i = 0; i < n; i++) {
		assert_memory_equal(ops[i].dst, twin[i], lens[i] + AEAD_TAG_SIZE);
		assert_untouched(!in_place, i, ops[i].dst, lens[i] + AEAD_TAG_SIZE);
		if (in_place)
			continue;
		assert_memory_equal(ops[i].src, plain[i], lens[i]);
		/* back to another place, which ends at the text: no tag is written there */
		memset(room(0, i), 0xee, ROOM);
		ops[i].src = ops[i].dst;
		ops[i].dst = place(0, i, lens[i]);
	}
	open_forged(&call, ops, n);
	for (unsigned int i = 0; i < n; i++)
		assert_untouched(0, i, ops[i].dst, lens[i] + (in_place ? AEAD_TAG_SIZE : 0));
}

static void test_bursts_of_all_sizes(void **state)
{
	uint32_t lens[AEAD_BURST_MAX];

	(void)state;
	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int n = round < AEAD_BURST_MAX ? round + 1 : 1 + below(AEAD_BURST_MAX);

		random_lens(lens, n);
		check_burst(lens, n, below(2), below(4) ? 0 : below(80));
	}
}

/* Every length to 600, alone and in company, then some to the longest. */
static void test_every_length(void **state)
{
	static const uint32_t longer[] = { 1420, 1500, 4095, 8900, 16384, 65472, 65535 };
	uint32_t lens[AEAD_BURST_MAX];

	(void)state;
	for (uint32_t len = 0; len <= 600; len += UNIT_VALGRIND ? 7 : 1) {
		check_burst(&len, 1, len % 2, 0);
		for (unsigned int i = 0; i < 9; i++)
			lens[i] = len;
		check_burst(lens, 8 + len % 2, len % 3, 0);
	}
	for (unsigned int i = 0; i < sizeof(longer) / sizeof(longer[0]); i++) {
		for (unsigned int k = 0; k < 9; k++)
			lens[k] = k == i ? longer[i] : longer[i] / (k + 1);
		check_burst(&longer[i], 1, true, 0);
		check_burst(lens, 9, true, 0);
	}
}

static void test_an_empty_burst_does_nothing(void **state)
{
	const uint8_t key[KEY_SIZE] = { 1 };
	const struct aead_call call = { .key = key };

	(void)state;
	kernel->seal(&call, NULL, 0);
	assert_int_equal(kernel->open(&call, NULL, 0), 0);
}

/* --- where Poly1305 ends --- */

/* Modulo p, five limbs of 26 bits, least significant first, always fully reduced. */
struct field {
	uint64_t limb[5];
};

#define LIMB ((1ULL << 26) - 1)

static struct field reduce(struct field a)
{
	struct field b;
	uint64_t borrow = 5;

	for (int pass = 0; pass < 3; pass++) {
		for (int i = 0; i < 4; i++) {
			a.limb[i + 1] += a.limb[i] >> 26;
			a.limb[i] &= LIMB;
		}
		a.limb[0] += 5 * (a.limb[4] >> 26);
		a.limb[4] &= LIMB;
	}
	/* p = 2^130 - 5: a + 5 with a carry out of bit 130 is a - p */
	for (int i = 0; i < 5; i++) {
		b.limb[i] = a.limb[i] + borrow;
		borrow = b.limb[i] >> 26;
		b.limb[i] &= LIMB;
	}
	return borrow ? b : a;
}

static struct field add(struct field a, struct field b)
{
	for (int i = 0; i < 5; i++)
		a.limb[i] += b.limb[i];
	return reduce(a);
}

static struct field minus(struct field a)
{
	static const struct field p = { { LIMB - 4, LIMB, LIMB, LIMB, LIMB } };

	for (int i = 0; i < 5; i++)
		a.limb[i] = 2 * p.limb[i] - a.limb[i];
	return reduce(a);
}

static struct field times(struct field a, struct field b)
{
	struct field c = { { 0 } };

	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < 5; j++)
			c.limb[(i + j) % 5] += a.limb[i] * b.limb[j] * (i + j < 5 ? 1 : 5);
	}
	return reduce(c);
}

/* To the power p - 2, whose bits are all ones but the second (p - 2 = 2^130 - 7) and third. */
static struct field inverse(struct field a)
{
	struct field power = { { 1 } };

	for (int bit = 129; bit >= 0; bit--) {
		power = times(power, power);
		if (bit != 1 && bit != 2)
			power = times(power, a);
	}
	return power;
}

static struct field from_bytes(const uint8_t bytes[16], bool high_bit)
{
	uint64_t low = load_le64(bytes), high = load_le64(bytes + 8);
	struct field a = { { low & LIMB, low >> 26 & LIMB, (low >> 52 | high << 12) & LIMB,
		             high >> 14 & LIMB, high >> 40 | (uint64_t)high_bit << 24 } };

	return a;
}

/* The low 128 bits; false where there are more. */
static bool to_bytes(uint8_t bytes[16], struct field a)
{
	store_le64(bytes, a.limb[0] | a.limb[1] << 26 | a.limb[2] << 52);
	store_le64(bytes + 8, a.limb[2] >> 12 | a.limb[3] << 14 | a.limb[4] << 40);
	return a.limb[4] >> 24 == 0;
}

/*
 * Writes @blocks blocks of ciphertext for which the accumulator ends at @end. The
 * last block is what is solved for; where it has no solution below 2^128, as three
 * times of four, the caller tries with other bytes before it, or another key.
 */
static bool solve(uint8_t *text, unsigned int blocks, struct field r, struct field end)
{
	uint8_t lengths[16] = { 0 };
	struct field acc = { { 0 } };
	struct field last, back = inverse(r);

	store_le64(lengths + 8, blocks * 16ULL);
	for (unsigned int i = 0; i + 1 < blocks; i++)
		acc = times(add(acc, from_bytes(text + 16 * i, true)), r);
	last = add(times(end, back), minus(from_bytes(lengths, true)));
	last = add(times(last, back), minus(acc));
	/* without the 2^128 that each block has */
	last = add(last, minus((struct field){ { 0, 0, 0, 0, 1 << 24 } }));
	return to_bytes(text + 16 * (blocks - 1), last);
}

/*
 * Ends worth reaching: around 0 and p, the last reduction's; around 2^128, where adding
 * the key's other half carries all the way; and those whose limbs, of 44 or of 64 bits,
 * are zero above the lowest, which a carry that is not taken on leaves at 2^44 or 2^64.
 */
static struct field pick_end(unsigned int i)
{
	uint64_t low = unit_random(&seed), high = unit_random(&seed);
	struct field small = { { i / 6 % 8 } };
	uint8_t bytes[16] = { 0 };

	switch (i % 6) {
	case 0:
		return small;
	case 1:
		return minus(small);
	case 2:
		return (struct field){ { i % 2 ? LIMB : 0, LIMB, LIMB, LIMB, (1 << 24) - 1 } };
	case 3: /* p more has all but the last carries to do, one into the other */
		store_le64(bytes, low % 5 | (low >> 8 & 7) << 44);
		return from_bytes(bytes, false);
	case 4: /* a middle limb of 44 bits is zero */
		store_le64(bytes, low % 32);
		store_le64(bytes + 8, high << 24);
		break;
	default: /* the second word is */
		store_le64(bytes, low);
		break;
	}
	small = from_bytes(bytes, high & 1);
	small.limb[4] |= high << 24 & 0x3000000;
	return small;
}

/* One packet: its text is such that its tag is @end plus the key's other half. */
static void make_edge(struct aead_op *op, const uint8_t key[KEY_SIZE], struct field end,
                      uint8_t want_tag[AEAD_TAG_SIZE])
{
	static uint8_t text[LEN_MAX];
	uint8_t nonce[NONCE_SIZE] = { 0 }, one_time[32], end_bytes[16];
	unsigned int carry = 0;

	do {
		op->counter = unit_random(&seed);
		store_le64(nonce + 4, op->counter);
		crypto_stream_chacha20_ietf(one_time, sizeof(one_time), nonce, key);
		for (unsigned int i = 3; i < 16; i += 4)
			one_time[i] &= 15;
		for (unsigned int i = 4; i < 16; i += 4)
			one_time[i] &= 252;
		random_bytes(text, op->len);
	} while (!solve(text, op->len / 16, from_bytes(one_time, false), end));
	crypto_stream_chacha20_ietf_xor_ic(op->dst, text, op->len, nonce, 1, key);
	(void)to_bytes(end_bytes, end);
	for (unsigned int i = 0; i < 16; i++) {
		carry += (unsigned int)end_bytes[i] + one_time[16 + i];
		want_tag[i] = (uint8_t)carry;
		carry >>= 8;
	}
}

static void test_the_last_reduction(void **state)
{
	static const unsigned int sizes[] = { 1, 2, 7, 8, 16, 40, 64, 64, 64 };
	uint8_t key[KEY_SIZE], tags[AEAD_BURST_MAX][AEAD_TAG_SIZE];
	const struct aead_call call = { .key = key };
	struct aead_op ops[AEAD_BURST_MAX];
	unsigned int turn = 0;

	(void)state;
	random_bytes(key, sizeof(key));
	for (unsigned int k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		unsigned int n = sizes[k];

		for (unsigned int i = 0; i < n; i++, turn++) {
			ops[i].len = 16 * (1 + below(k % 2 ? 40 : 6));
			ops[i].src = ops[i].dst = place(0, i, ops[i].len + AEAD_TAG_SIZE);
			make_edge(&ops[i], key, pick_end(turn), tags[i]);
		}
		kernel->seal(&call, ops, n);
		for (unsigned int i = 0; i < n; i++)
			assert_memory_equal(ops[i].dst + ops[i].len, tags[i], AEAD_TAG_SIZE);
		assert_int_equal(kernel->open(&call, ops, n), n);
	}
}

/* Ciphertext of all ones or all zeros drives the limbs to their bounds. */
static void test_extreme_texts(void **state)
{
	uint8_t key[KEY_SIZE], zeros[1600] = { 0 }, nonce[NONCE_SIZE] = { 0 };
	struct aead_op ops[AEAD_BURST_MAX], want[AEAD_BURST_MAX];
	const struct aead_call call = { .key = key };

	(void)state;
	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int n = 1 + below(20);

		random_bytes(key, sizeof(key));
		for (unsigned int i = 0; i < n; i++) {
			uint32_t len = 16 * below(100);
			uint8_t *at = place(0, i, len + AEAD_TAG_SIZE);

			ops[i] = (struct aead_op){ at, at, len, false, unit_random(&seed) };
			want[i] = ops[i];
			want[i].src = want[i].dst = twin[i];
			store_le64(nonce + 4, ops[i].counter);
			crypto_stream_chacha20_ietf_xor_ic(at, zeros, len, nonce, 1, key);
			for (uint32_t j = 0; j < len; j++)
				at[j] ^= below(32) ? 0xff : (uint8_t)below(256);
			memcpy(twin[i], at, len);
		}
		kernel->seal(&call, ops, n);
		aead_sodium.seal(&call, want, n);
		for (unsigned int i = 0; i < n; i++)
			assert_memory_equal(ops[i].dst, twin[i], ops[i].len + AEAD_TAG_SIZE);
	}
}

static int map_rooms(void **state)
{
	const size_t size = (size_t)AEAD_BURST_MAX * STRIDE + PAGE;

	(void)state;
	for (unsigned int which = 0; which < 2; which++) {
		uint8_t *map = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (map == MAP_FAILED)
			return 1;
		rooms[which] = map + PAGE;
		for (unsigned int i = 0; i < AEAD_BURST_MAX; i++) {
			if (mprotect(room(which, i), ROOM, PROT_READ | PROT_WRITE) != 0)
				return 1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_burst_does_nothing),
		cmocka_unit_test(test_bursts_of_all_sizes),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_the_last_reduction),
		cmocka_unit_test(test_extreme_texts),
	};
	struct aead_cpu cpu;
	int failed = 0;

	if (argc > 1)
		rounds = (unsigned int)strtoul(argv[1], NULL, 10);
	else if (UNIT_VALGRIND)
		rounds = 20;
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	if (secret_init() || map_rooms(NULL))
		return 1;
	aead_cpu_read(&cpu);
	const struct aead_candidate candidates[] = {
		{ &aead_sodium, true },
#ifdef __x86_64__
		{ &aead_avx2, aead_cpu_has_avx2(&cpu) },
		{ &aead_avx512, EMULATED || aead_cpu_has_avx512(&cpu) },
		{ &aead_avx512_list, EMULATED || aead_cpu_has_avx512(&cpu) },
#endif
	};

	for (unsigned int i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		kernel = candidates[i].kernel;
		if (!candidates[i].runs_here) {
			printf("skipped: this processor cannot run %s\n", kernel->name);
			continue;
		}
		failed |= cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
	}
	return failed;
}
