/* SPDX-License-Identifier: MIT */
/*
 * The burst interface over libsodium, one packet after the other. libsodium
 * compares the tag before it decrypts, and works in place.
 */
#include "crypto/aead.h"

#include <errno.h>
#include <string.h>
#include <sodium.h>
#include "crypto/secret.h"

/* The counter's place in the nonce: four zero bytes, then 64 bits. */
static void nonce_from_counter(uint8_t nonce[NONCE_SIZE], uint64_t counter)
{
	memset(nonce, 0, 4);
	store_le64(nonce + 4, counter);
}

void aead_seal_nonce(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
                     const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	(void)crypto_aead_chacha20poly1305_ietf_encrypt(dst, NULL, src, len, ad, ad_len, NULL,
	                                                nonce, key);
}

bool aead_open_nonce(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad,
                     size_t ad_len, const uint8_t nonce[NONCE_SIZE], const uint8_t key[KEY_SIZE])
{
	return crypto_aead_chacha20poly1305_ietf_decrypt(dst, NULL, NULL, src, len_with_tag, ad,
	                                                 ad_len, nonce, key) == 0;
}

void aead_seal(uint8_t *dst, const uint8_t *src, size_t len, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE])
{
	uint8_t nonce[NONCE_SIZE];

	nonce_from_counter(nonce, counter);
	aead_seal_nonce(dst, src, len, ad, ad_len, nonce, key);
}

bool aead_open(uint8_t *dst, const uint8_t *src, size_t len_with_tag, const void *ad, size_t ad_len,
               uint64_t counter, const uint8_t key[KEY_SIZE])
{
	uint8_t nonce[NONCE_SIZE];

	nonce_from_counter(nonce, counter);
	return aead_open_nonce(dst, src, len_with_tag, ad, ad_len, nonce, key);
}

void aead_seal_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		aead_seal(ops[i].dst, ops[i].src, ops[i].len, NULL, 0, ops[i].counter, key);
}

unsigned int aead_open_burst(const uint8_t key[KEY_SIZE], struct aead_op *ops, unsigned int n)
{
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		ops[i].ok = aead_open(ops[i].dst, ops[i].src, (size_t)ops[i].len + AEAD_TAG_SIZE,
		                      NULL, 0, ops[i].counter, key);
		good += ops[i].ok;
	}
	return good;
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

/* RFC 8439, 2.8.2: the plaintext is text; its key counts up from 0x80. */
static bool self_test_reference(void)
{
	static const char plain[] = "Ladies and Gentlemen of the class of '99: If I could offer "
				    "you only one tip for the future, sunscreen would be it.";
	static const uint8_t ad[] = { 0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1,
		                      0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7 };
	static const uint8_t nonce[NONCE_SIZE] = { 0x07, 0,    0,    0,    0x40, 0x41,
		                                   0x42, 0x43, 0x44, 0x45, 0x46, 0x47 };
	static const uint8_t first[] = { 0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb };
	static const uint8_t tag[AEAD_TAG_SIZE] = {
		0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a,
		0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91
	};
	const size_t len = sizeof(plain) - 1;
	uint8_t key[KEY_SIZE];
	uint8_t text[sizeof(plain) - 1];
	uint8_t sealed[sizeof(text) + AEAD_TAG_SIZE];

	for (int i = 0; i < KEY_SIZE; i++)
		key[i] = (uint8_t)(0x80 + i);
	memcpy(text, plain, len);
	aead_seal_nonce(sealed, text, len, ad, sizeof(ad), nonce, key);
	if (memcmp(sealed, first, sizeof(first)) != 0 ||
	    memcmp(sealed + len, tag, sizeof(tag)) != 0)
		return false;
	memset(text, 0, sizeof(text));
	if (!aead_open_nonce(text, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key) ||
	    memcmp(text, plain, len) != 0)
		return false;
	sealed[len + AEAD_TAG_SIZE - 1] ^= 1;
	return !aead_open_nonce(text, sealed, sizeof(sealed), ad, sizeof(ad), nonce, key);
}

/* Bursts of unequal lengths give what single calls give, and refuse what is bad. */
static bool self_test_burst(void)
{
	enum { N = 9, STEP = 37, ROOM = N * STEP + AEAD_TAG_SIZE };
	uint8_t key[KEY_SIZE] = { 0x17, 0x2a };
	uint8_t buf[N][ROOM];
	uint8_t want[ROOM];
	struct aead_op ops[N];

	for (unsigned int i = 0; i < N; i++) {
		memset(buf[i], (int)i, sizeof(buf[i]));
		ops[i] = (struct aead_op){
			.src = buf[i], .dst = buf[i], .len = i * STEP, .counter = UINT32_MAX - 4 + i
		};
	}
	aead_seal_burst(key, ops, N);
	for (unsigned int i = 0; i < N; i++) {
		memset(want, (int)i, sizeof(want));
		aead_seal(want, want, ops[i].len, NULL, 0, ops[i].counter, key);
		if (memcmp(want, buf[i], ops[i].len + AEAD_TAG_SIZE) != 0)
			return false;
	}
	buf[N / 2][ops[N / 2].len] ^= 0x80;
	if (aead_open_burst(key, ops, N) != N - 1 || ops[N / 2].ok)
		return false;
	for (unsigned int i = 0; i < N; i++) {
		memset(want, (int)i, sizeof(want));
		if (i != N / 2 && (!ops[i].ok || memcmp(want, buf[i], ops[i].len) != 0))
			return false;
	}
	return true;
}

int aead_init(void)
{
	return self_test_reference() && self_test_burst() ? 0 : -EIO;
}

const char *aead_name(void)
{
	return "libsodium";
}
