/* SPDX-License-Identifier: MIT */
/*
 * Text forms without tables and without branches on what is secret: a lookup
 * indexed by key bits, or a jump taken on them, shows in the cache and in time.
 * A range check on small integers is the sign bit of a subtraction instead.
 */
#include "crypto/secret.h"

#include <errno.h>
#include <blake2.h>
#include <sodium.h>

int secret_init(void)
{
	uint8_t out[HASH_SIZE] = { 0 };
	blake2s_state state;

	if (sodium_init() < 0)
		return -ENOSYS;
	/*
	 * libb2 chooses its implementation on the first call of each function,
	 * by writing to plain function pointers. Let that be before any thread.
	 */
	if (blake2s_init(&state, sizeof(out)) || blake2s_init_key(&state, sizeof(out), out, 1) ||
	    blake2s_update(&state, (const uint8_t *)"", 0) ||
	    blake2s_final(&state, out, sizeof(out)))
		return -ENOSYS;
	return 0;
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
	return sodium_memcmp(a, b, len) == 0;
}

bool secret_is_zero(const void *p, size_t len)
{
	return sodium_is_zero(p, len) == 1;
}

void secret_random(void *p, size_t len)
{
	randombytes_buf(p, len);
}

_Static_assert(SECRET_HASH_KEY_SIZE == crypto_shorthash_KEYBYTES, "SipHash's key");

uint64_t secret_hash(const uint8_t key[SECRET_HASH_KEY_SIZE], const void *data, size_t len)
{
	uint8_t hash[crypto_shorthash_BYTES];

	(void)crypto_shorthash(hash, data, len, key);
	return load_le64(hash);
}

/* All ones if @low <= @c <= @high, else zero; all in 0..255. */
static uint32_t mask_in_range(uint32_t c, uint32_t low, uint32_t high)
{
	uint32_t outside = (c - low) | (high - c);

	return (outside >> 31) - 1;
}

static char base64_char(uint32_t v)
{
	uint32_t c = v + 'A';

	c += mask_in_range(v, 26, 63) & ('a' - 'A' - 26);
	c -= mask_in_range(v, 52, 63) & ('a' - '0' + 26);
	c -= mask_in_range(v, 62, 63) & ('0' - '+' + 10);
	c += mask_in_range(v, 63, 63) & ('/' - '+' - 1);
	return (char)c;
}

/* Sets *@bad to all ones if @ch is no digit of base64. */
static uint32_t base64_value(char ch, uint32_t *bad)
{
	uint32_t c = (uint8_t)ch;
	uint32_t upper = mask_in_range(c, 'A', 'Z');
	uint32_t lower = mask_in_range(c, 'a', 'z');
	uint32_t digit = mask_in_range(c, '0', '9');
	uint32_t plus = mask_in_range(c, '+', '+');
	uint32_t slash = mask_in_range(c, '/', '/');

	*bad |= ~(upper | lower | digit | plus | slash);
	return (upper & (c - 'A')) | (lower & (c - 'a' + 26)) | (digit & (c - '0' + 52)) |
	       (plus & 62) | (slash & 63);
}

void secret_to_base64(char out[KEY_BASE64_LEN + 1], const uint8_t key[KEY_SIZE])
{
	uint32_t v;
	size_t i;

	for (i = 0; i < KEY_SIZE / 3; i++) {
		v = (uint32_t)key[i * 3] << 16 | (uint32_t)key[i * 3 + 1] << 8 | key[i * 3 + 2];
		out[i * 4] = base64_char(v >> 18);
		out[i * 4 + 1] = base64_char(v >> 12 & 63);
		out[i * 4 + 2] = base64_char(v >> 6 & 63);
		out[i * 4 + 3] = base64_char(v & 63);
	}
	/* 32 bytes are ten groups of three, and two over */
	v = (uint32_t)key[i * 3] << 16 | (uint32_t)key[i * 3 + 1] << 8;
	out[i * 4] = base64_char(v >> 18);
	out[i * 4 + 1] = base64_char(v >> 12 & 63);
	out[i * 4 + 2] = base64_char(v >> 6 & 63);
	out[i * 4 + 3] = '=';
	out[KEY_BASE64_LEN] = '\0';
}

bool secret_from_base64(uint8_t key[KEY_SIZE], const char *text, size_t len)
{
	uint32_t bad = 0;
	uint32_t v;
	size_t i;

	if (len != KEY_BASE64_LEN || text[KEY_BASE64_LEN - 1] != '=') {
		secret_wipe(key, KEY_SIZE);
		return false;
	}
	for (i = 0; i < KEY_SIZE / 3; i++) {
		v = base64_value(text[i * 4], &bad) << 18;
		v |= base64_value(text[i * 4 + 1], &bad) << 12;
		v |= base64_value(text[i * 4 + 2], &bad) << 6;
		v |= base64_value(text[i * 4 + 3], &bad);
		key[i * 3] = (uint8_t)(v >> 16);
		key[i * 3 + 1] = (uint8_t)(v >> 8);
		key[i * 3 + 2] = (uint8_t)v;
	}
	v = base64_value(text[i * 4], &bad) << 18;
	v |= base64_value(text[i * 4 + 1], &bad) << 12;
	v |= base64_value(text[i * 4 + 2], &bad) << 6;
	key[i * 3] = (uint8_t)(v >> 16);
	key[i * 3 + 1] = (uint8_t)(v >> 8);
	/* the third digit's two low bits carry nothing: one spelling a key */
	bad |= v & 0xc0;
	if (bad)
		secret_wipe(key, KEY_SIZE);
	return !bad;
}

static char hex_char(uint32_t v)
{
	return (char)(v + '0' + (mask_in_range(v, 10, 15) & ('a' - '0' - 10)));
}

static uint32_t hex_value(char ch, uint32_t *bad)
{
	uint32_t c = (uint8_t)ch;
	uint32_t digit = mask_in_range(c, '0', '9');
	uint32_t lower = mask_in_range(c, 'a', 'f');

	*bad |= ~(digit | lower);
	return (digit & (c - '0')) | (lower & (c - 'a' + 10));
}

void secret_to_hex(char out[KEY_HEX_LEN + 1], const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < KEY_SIZE; i++) {
		out[i * 2] = hex_char(key[i] >> 4);
		out[i * 2 + 1] = hex_char(key[i] & 15);
	}
	out[KEY_HEX_LEN] = '\0';
}

bool secret_from_hex(uint8_t key[KEY_SIZE], const char *text, size_t len)
{
	uint32_t bad = 0;

	if (len != KEY_HEX_LEN) {
		secret_wipe(key, KEY_SIZE);
		return false;
	}
	for (size_t i = 0; i < KEY_SIZE; i++) {
		uint32_t high = hex_value(text[i * 2], &bad);
		uint32_t low = hex_value(text[i * 2 + 1], &bad);

		key[i] = (uint8_t)(high << 4 | low);
	}
	if (bad)
		secret_wipe(key, KEY_SIZE);
	return !bad;
}

void secret_clamp(uint8_t private_key[KEY_SIZE])
{
	private_key[0] &= 248;
	private_key[31] &= 127;
	private_key[31] |= 64;
}

void secret_generate_private(uint8_t private_key[KEY_SIZE])
{
	secret_random(private_key, KEY_SIZE);
	secret_clamp(private_key);
}

void secret_derive_public(uint8_t public_key[KEY_SIZE], const uint8_t private_key[KEY_SIZE])
{
	/* a clamped scalar times the base point is never the neutral element */
	(void)crypto_scalarmult_base(public_key, private_key);
}

bool secret_dh(uint8_t out[KEY_SIZE], const uint8_t private_key[KEY_SIZE],
               const uint8_t public_key[KEY_SIZE])
{
	/* libsodium refuses some low-order points unseen; the result decides */
	if (crypto_scalarmult(out, private_key, public_key) != 0 || secret_is_zero(out, KEY_SIZE)) {
		secret_wipe(out, KEY_SIZE);
		return false;
	}
	return true;
}
