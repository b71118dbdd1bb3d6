/* SPDX-License-Identifier: MIT */
/* BLAKE2s (RFC 7693), HMAC and HKDF over it, and the symmetric state's steps. */
#include "unit.h"

#include <blake2.h>
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "crypto/symmetric.h"

static void check_hex(const uint8_t *have, size_t len, const char *want)
{
	uint8_t bytes[64];

	assert_int_equal(unit_hex(bytes, want), len);
	assert_memory_equal(have, bytes, len);
}

static void count_up(uint8_t *out, size_t len, uint8_t from)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(from + i);
}

static void test_rfc_7693_appendix_b_abc(void **state)
{
	static const char want[] =
		"508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982";
	uint8_t hash[HASH_SIZE];

	(void)state;
	for (size_t split = 0; split <= 3; split++) {
		hash_sum(hash, "abc", split, &"abc"[split], 3 - split);
		check_hex(hash, sizeof(hash), want);
	}
	hash_sum(hash, "abc", 3, NULL, 0);
	check_hex(hash, sizeof(hash), want);
}

/* The sequence of appendix E. */
static void fill(uint8_t *out, size_t len, uint32_t seed)
{
	uint32_t a = 0xdead4bad * seed, b = 1, t;

	for (size_t i = 0; i < len; i++) {
		t = a + b;
		a = b;
		b = t;
		out[i] = (uint8_t)(t >> 24);
	}
}

/* Sizes that we use go through our functions, the others through libb2's. */
static void hash_any(uint8_t *out, size_t out_len, const uint8_t *key, size_t key_len,
                     const uint8_t *in, size_t in_len)
{
	if (key_len == 0 && out_len == HASH_SIZE)
		hash_sum(out, in, in_len / 3, in + in_len / 3, in_len - in_len / 3);
	else if (key_len && out_len == MAC_SIZE)
		hash_mac(out, key, key_len, in, in_len);
	else
		assert_int_equal(blake2s(out, in, key, out_len, in_len, key_len), 0);
}

static void test_rfc_7693_appendix_e_self_test(void **state)
{
	static const size_t digest_lengths[] = { 16, 20, 28, 32 };
	static const size_t input_lengths[] = { 0, 3, 64, 65, 255, 1024 };
	uint8_t in[1024], digest[32], key[32], digests[4 * 6 * 2 * 32], hash[HASH_SIZE];
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		size_t out_len = digest_lengths[i];

		for (size_t j = 0; j < 6; j++) {
			fill(in, input_lengths[j], (uint32_t)input_lengths[j]);
			hash_any(digest, out_len, NULL, 0, in, input_lengths[j]);
			memcpy(digests + at, digest, out_len);
			at += out_len;
			fill(key, out_len, (uint32_t)out_len);
			hash_any(digest, out_len, key, out_len, in, input_lengths[j]);
			memcpy(digests + at, digest, out_len);
			at += out_len;
		}
	}
	hash_sum(hash, digests, at, NULL, 0);
	check_hex(hash, sizeof(hash),
	          "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe");
}

/* Made with Python's hmac and hashlib.blake2s. */
static void test_hmac_known_answers(void **state)
{
	static const char text[] = "what do ya want for nothing?";
	uint8_t key[64], out[HASH_SIZE];

	(void)state;
	count_up(key, sizeof(key), 0);
	hash_hmac(out, key, 32, text, sizeof(text) - 1);
	check_hex(out, sizeof(out),
	          "14229dde9cdbd4dd31b1a703ac36832ecc9177e0ba0d4632568515aaec7e401f");
	hash_hmac(out, key, 64, NULL, 0);
	check_hex(out, sizeof(out),
	          "4a4f8f181c931253202b2d7a77e2a612f65580f4b0d56108f7f275f22b63ae00");
}

static void test_key_derivation_known_answers(void **state)
{
	struct symmetric symmetric;
	uint8_t input[KEY_SIZE], hash[HASH_SIZE], t2[HASH_SIZE], first[KEY_SIZE], second[KEY_SIZE];

	(void)state;
	memset(&symmetric, 0, sizeof(symmetric));
	count_up(symmetric.chaining_key, HASH_SIZE, 0);
	count_up(symmetric.hash, HASH_SIZE, 50);
	count_up(input, sizeof(input), 100);
	memcpy(hash, symmetric.hash, HASH_SIZE);

	symmetric_split(&symmetric, first, second);
	check_hex(first, KEY_SIZE,
	          "7a38c34bf2b8738d7374ca77c44ecb309a11d2b2528304fa86052c365e722624");
	check_hex(second, KEY_SIZE,
	          "1a17621f346abdc520746a9fb64d8eb03231d674fc15687537b0780fd9c060fd");

	symmetric_mix_key(&symmetric, input);
	check_hex(symmetric.chaining_key, HASH_SIZE,
	          "e3b7e038799447459d13f6cc03b71555c0b32ee93354ebe4526ec98bc53b20a4");
	check_hex(symmetric.key, KEY_SIZE,
	          "ca06d8e46b509266c7c0594805ffb9c256348a33c642381348f047e452d239e2");
	assert_memory_equal(symmetric.hash, hash, HASH_SIZE);

	/* the second of three goes into the hash, the third is the key */
	memcpy(t2, symmetric.key, HASH_SIZE);
	count_up(symmetric.chaining_key, HASH_SIZE, 0);
	symmetric_mix_key_and_hash(&symmetric, input);
	check_hex(symmetric.chaining_key, HASH_SIZE,
	          "e3b7e038799447459d13f6cc03b71555c0b32ee93354ebe4526ec98bc53b20a4");
	check_hex(symmetric.key, KEY_SIZE,
	          "5ee952936bec1473c13db1cc92b8d8ba5ad2df7c77f07478731d48aa5530a000");
	hash_sum(hash, hash, HASH_SIZE, t2, HASH_SIZE);
	assert_memory_equal(symmetric.hash, hash, HASH_SIZE);
}

static void test_seal_and_open_keep_step(void **state)
{
	struct symmetric a, b, before;
	uint8_t input[KEY_SIZE], plain[20], sealed[20 + AEAD_TAG_SIZE], out[20];

	(void)state;
	symmetric_init(&a, "prologue", 8);
	count_up(input, sizeof(input), 1);
	count_up(plain, sizeof(plain), 9);
	symmetric_mix_key(&a, input);
	b = a;
	symmetric_encrypt_and_hash(&a, sealed, plain, sizeof(plain));
	before = b;
	for (size_t i = 0; i < sizeof(sealed); i++) {
		sealed[i] ^= 1;
		assert_false(symmetric_decrypt_and_hash(&b, out, sealed, sizeof(out)));
		assert_memory_equal(&b, &before, sizeof(b));
		sealed[i] ^= 1;
	}
	/* another history: the hash is what is authenticated with it */
	symmetric_mix_hash(&b, "x", 1);
	assert_false(symmetric_decrypt_and_hash(&b, out, sealed, sizeof(out)));
	b = before;
	assert_true(symmetric_decrypt_and_hash(&b, out, sealed, sizeof(out)));
	assert_memory_equal(out, plain, sizeof(plain));
	assert_memory_equal(&a, &b, sizeof(a));
}

static int setup(void **state)
{
	(void)state;
	return secret_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_7693_appendix_b_abc),
		cmocka_unit_test(test_rfc_7693_appendix_e_self_test),
		cmocka_unit_test(test_hmac_known_answers),
		cmocka_unit_test(test_key_derivation_known_answers),
		cmocka_unit_test(test_seal_and_open_keep_step),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
