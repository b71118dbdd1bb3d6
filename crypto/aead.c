/* SPDX-License-Identifier: MIT */
/*
 * The interface over the implementation in use, which until aead_init() is the
 * reference. XChaCha20-Poly1305, for the rare cookie, is libsodium's alone.
 */
#include "crypto/aead.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sodium.h>
#include "crypto/aead_choose.h"
#include "crypto/aead_cpu.h"

static const struct aead_kernel *in_use = &aead_sodium;
static char in_words[160] = "libsodium";

void aead_seal_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
{
	const struct aead_call call = { .key = key };

	in_use->seal(&call, ops, n);
}

unsigned int aead_open_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
{
	const struct aead_call call = { .key = key };

	return in_use->open(&call, ops, n);
}

static void seal_one(const struct aead_call *call, uint8_t *dst, const uint8_t *src, size_t len,
                     uint64_t counter)
{
	struct aead_op op = { .src = src, .dst = dst, .len = (uint32_t)len, .counter = counter };

	in_use->seal(call, &op, 1);
}

static bool open_one(const struct aead_call *call, uint8_t *dst, const uint8_t *src,
                     size_t len_with_tag, uint64_t counter)
{
	struct aead_op op = { .src = src, .dst = dst, .counter = counter };

	if (len_with_tag < AEAD_TAG_SIZE)
		return false;
	op.len = (uint32_t)(len_with_tag - AEAD_TAG_SIZE);
	return in_use->open(call, &op, 1) == 1;
}

void aead_seal_nonce(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                     const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	const struct aead_call call = { key, ad, ad_len, load_le32(nonce) };

	seal_one(&call, dst, src, len, load_le64(nonce + 4));
}

bool aead_open_nonce(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad,
                     size_t ad_len, const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	const struct aead_call call = { key, ad, ad_len, load_le32(nonce) };

	return open_one(&call, dst, src, len_with_tag, load_le64(nonce + 4));
}

void aead_seal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE])
{
	const struct aead_call call = { key, ad, ad_len, 0 };

	seal_one(&call, dst, src, len, counter);
}

bool aead_open(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE])
{
	const struct aead_call call = { key, ad, ad_len, 0 };

	return open_one(&call, dst, src, len_with_tag, counter);
}

void aead_xseal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                const uint8_t nonce[XNONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(dst, NULL, src, len, ad, ad_len, NULL,
	                                                 nonce, key);
}

bool aead_xopen(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad,
                size_t ad_len, const uint8_t nonce[XNONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	return crypto_aead_xchacha20poly1305_ietf_decrypt(dst, NULL, NULL, src, len_with_tag, ad,
	                                                  ad_len, nonce, key) == 0;
}

#ifdef BENCH_NO_AEAD
static const struct aead_kernel *choose(void)
{
	snprintf(in_words, sizeof(in_words), "NONE, NOTHING IS ENCRYPTED");
	return &aead_none;
}
#else
static const struct aead_kernel *choose(void)
{
	struct aead_cpu cpu;

	aead_cpu_read(&cpu);
	const struct aead_candidate candidates[] = {
#ifdef __x86_64__
		{ &aead_avx512, aead_cpu_has_avx512(&cpu) },
		{ &aead_avx2, aead_cpu_has_avx2(&cpu) },
#endif
		{ &aead_sodium, true },
	};

	return aead_choose(candidates, sizeof(candidates) / sizeof(candidates[0]),
	                   getenv("OVLTUN_AEAD"), in_words, sizeof(in_words));
}
#endif

int aead_init(void)
{
	const struct aead_kernel *chosen = choose();

	if (!chosen)
		return -EIO;
	in_use = chosen;
	return 0;
}

const char *aead_name(void)
{
	return in_words;
}
