/* SPDX-License-Identifier: MIT */
/* Keys as text, X25519 (RFC 7748) and its refusals. */
#include "unit.h"

#include <ctype.h>
#include <sodium.h>
#include "crypto/secret.h"

/* --- base64 --- */

static void test_base64_against_libsodium(void **state)
{
	uint8_t key[KEY_SIZE], back[KEY_SIZE];
	char text[KEY_BASE64_LEN + 1], want[KEY_BASE64_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		secret_random(key, sizeof(key));
		secret_to_base64(text, key);
		sodium_bin2base64(want, sizeof(want), key, sizeof(key),
		                  sodium_base64_VARIANT_ORIGINAL);
		assert_string_equal(text, want);
		assert_true(secret_from_base64(back, text, KEY_BASE64_LEN));
		assert_memory_equal(key, back, KEY_SIZE);
	}
}

static void test_base64_known_keys(void **state)
{
	uint8_t key[KEY_SIZE];
	char text[KEY_BASE64_LEN + 1];

	(void)state;
	memset(key, 0, sizeof(key));
	secret_to_base64(text, key);
	assert_string_equal(text, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
	memset(key, 0xff, sizeof(key));
	secret_to_base64(text, key);
	assert_string_equal(text, "//////////////////////////////////////////8=");
	for (int i = 0; i < KEY_SIZE; i++)
		key[i] = (uint8_t)i;
	secret_to_base64(text, key);
	assert_string_equal(text, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
}

/* Every byte value at every place, against what base64 is. */
static void test_base64_takes_only_its_alphabet(void **state)
{
	static const char good[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
	uint8_t key[KEY_SIZE];
	char text[KEY_BASE64_LEN + 1];

	(void)state;
	for (size_t at = 0; at < KEY_BASE64_LEN; at++) {
		for (int c = 0; c < 256; c++) {
			bool want = (c < 128 && isalnum(c)) || c == '+' || c == '/';

			if (at == KEY_BASE64_LEN - 1) {
				want = c == '=';
			} else if (at == KEY_BASE64_LEN - 2 && want) {
				/* four bits: only every fourth digit is canonical */
				want = c && strchr("AEIMQUYcgkosw048", c);
			}
			memcpy(text, good, sizeof(text));
			text[at] = (char)c;
			memset(key, 0x55, sizeof(key));
			assert_int_equal(secret_from_base64(key, text, KEY_BASE64_LEN), want);
			assert_int_equal(secret_is_zero(key, KEY_SIZE), !want);
		}
	}
}

static void test_base64_lengths(void **state)
{
	static const char text[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==AAAA";
	uint8_t key[KEY_SIZE];

	(void)state;
	for (size_t len = 0; len < sizeof(text); len++) {
		memset(key, 0x55, sizeof(key));
		assert_int_equal(secret_from_base64(key, text, len), len == KEY_BASE64_LEN);
		assert_int_equal(secret_is_zero(key, KEY_SIZE), len != KEY_BASE64_LEN);
	}
}

/* --- hexadecimal --- */

static void test_hex_against_libsodium(void **state)
{
	uint8_t key[KEY_SIZE], back[KEY_SIZE];
	char text[KEY_HEX_LEN + 1], want[KEY_HEX_LEN + 1];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		secret_random(key, sizeof(key));
		secret_to_hex(text, key);
		sodium_bin2hex(want, sizeof(want), key, sizeof(key));
		assert_string_equal(text, want);
		assert_true(secret_from_hex(back, text, KEY_HEX_LEN));
		assert_memory_equal(key, back, KEY_SIZE);
	}
}

static void test_hex_takes_only_lower_case_digits(void **state)
{
	uint8_t key[KEY_SIZE];
	char text[KEY_HEX_LEN + 1];

	(void)state;
	memset(text, '1', sizeof(text));
	for (size_t at = 0; at < KEY_HEX_LEN; at++) {
		for (int c = 0; c < 256; c++) {
			bool want = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			text[at] = (char)c;
			memset(key, 0x55, sizeof(key));
			assert_int_equal(secret_from_hex(key, text, KEY_HEX_LEN), want);
			assert_int_equal(secret_is_zero(key, KEY_SIZE), !want);
		}
		text[at] = '1';
	}
	assert_false(secret_from_hex(key, text, KEY_HEX_LEN - 1));
	assert_false(secret_from_hex(key, text, KEY_HEX_LEN + 1));
	assert_false(secret_from_hex(key, text, 0));
}

/* --- comparisons and wiping --- */

static void test_comparisons(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	(void)state;
	assert_true(secret_equal(a, b, sizeof(a)));
	assert_true(secret_is_zero(a, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++) {
		for (int bit = 0; bit < 8; bit++) {
			a[i] = (uint8_t)(1 << bit);
			assert_false(secret_equal(a, b, sizeof(a)));
			assert_false(secret_is_zero(a, sizeof(a)));
			assert_true(secret_equal(a, b, i));
			assert_true(secret_is_zero(a, i));
		}
		a[i] = 0;
	}
	memset(a, 0xff, sizeof(a));
	secret_wipe(a + 1, sizeof(a) - 2);
	assert_int_equal(a[0], 0xff);
	assert_int_equal(a[sizeof(a) - 1], 0xff);
	assert_true(secret_is_zero(a + 1, sizeof(a) - 2));
}

/* --- X25519 --- */

static void test_clamp(void **state)
{
	uint8_t key[KEY_SIZE];

	(void)state;
	memset(key, 0xff, sizeof(key));
	secret_clamp(key);
	assert_int_equal(key[0], 0xf8);
	assert_int_equal(key[31], 0x7f);
	for (int i = 1; i < 31; i++)
		assert_int_equal(key[i], 0xff);
	memset(key, 0, sizeof(key));
	secret_clamp(key);
	assert_int_equal(key[0], 0);
	assert_int_equal(key[31], 0x40);
	for (int i = 0; i < 100; i++) {
		secret_generate_private(key);
		assert_int_equal(key[0] & 7, 0);
		assert_int_equal(key[31] & 0xc0, 0x40);
	}
}

static void check_dh(const char *scalar, const char *point, const char *want)
{
	uint8_t k[KEY_SIZE], u[KEY_SIZE], out[KEY_SIZE], expected[KEY_SIZE];

	unit_hex(k, scalar);
	unit_hex(u, point);
	unit_hex(expected, want);
	assert_true(secret_dh(out, k, u));
	assert_memory_equal(out, expected, KEY_SIZE);
}

static void test_rfc_7748_5_2_vectors(void **state)
{
	(void)state;
	check_dh("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
	         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
	         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
	check_dh("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
	         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
	         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
}

static void test_rfc_7748_5_2_iterated(void **state)
{
	uint8_t k[KEY_SIZE] = { 9 }, u[KEY_SIZE] = { 9 }, next[KEY_SIZE], want[KEY_SIZE];

	(void)state;
	for (int i = 1; i <= 1000; i++) {
		assert_true(secret_dh(next, k, u));
		memcpy(u, k, sizeof(u));
		memcpy(k, next, sizeof(k));
		if (i != 1)
			continue;
		unit_hex(want, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
		assert_memory_equal(k, want, KEY_SIZE);
	}
	unit_hex(want, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
	assert_memory_equal(k, want, KEY_SIZE);
}

static void test_rfc_7748_6_1_diffie_hellman(void **state)
{
	static const char a[] = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
	static const char a_pub[] =
		"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
	static const char b[] = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
	static const char b_pub[] =
		"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
	static const char shared[] =
		"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
	uint8_t key[KEY_SIZE], public_key[KEY_SIZE], want[KEY_SIZE];

	(void)state;
	unit_hex(key, a);
	secret_derive_public(public_key, key);
	unit_hex(want, a_pub);
	assert_memory_equal(public_key, want, KEY_SIZE);
	unit_hex(key, b);
	secret_derive_public(public_key, key);
	unit_hex(want, b_pub);
	assert_memory_equal(public_key, want, KEY_SIZE);
	check_dh(a, b_pub, shared);
	check_dh(b, a_pub, shared);
}

static void test_pitfall_6_low_order_points(void **state)
{
	static const char *const points[] = {
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	};
	uint8_t key[KEY_SIZE], point[KEY_SIZE], out[KEY_SIZE];

	(void)state;
	secret_generate_private(key);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		/* the top bit is not part of a coordinate */
		for (int top = 0; top < 2; top++) {
			unit_hex(point, points[i]);
			point[31] |= (uint8_t)(top << 7);
			memset(out, 0x55, sizeof(out));
			assert_false(secret_dh(out, key, point));
			assert_true(secret_is_zero(out, KEY_SIZE));
		}
	}
	memset(point, 0, sizeof(point));
	point[0] = 2;
	assert_true(secret_dh(out, key, point));
}

/* The example of SipHash's authors: key 00 to 0f, message 00 to 0e. */
static void test_hash(void **state)
{
	uint8_t bytes[16];

	(void)state;
	for (uint8_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i;
	assert_true(secret_hash(bytes, bytes, 15) == 0xa129ca6149be45e5);
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_base64_against_libsodium),
		cmocka_unit_test(test_base64_known_keys),
		cmocka_unit_test(test_base64_takes_only_its_alphabet),
		cmocka_unit_test(test_base64_lengths),
		cmocka_unit_test(test_hex_against_libsodium),
		cmocka_unit_test(test_hex_takes_only_lower_case_digits),
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_clamp),
		cmocka_unit_test(test_rfc_7748_5_2_vectors),
		cmocka_unit_test(test_rfc_7748_5_2_iterated),
		cmocka_unit_test(test_rfc_7748_6_1_diffie_hellman),
		cmocka_unit_test(test_pitfall_6_low_order_points),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
