/* SPDX-License-Identifier: MIT */
/*
 * Wycheproof: ChaCha20-Poly1305 (with each implementation, alone and in bursts),
 * XChaCha20-Poly1305 and X25519. Verdicts are as
 * the files say. "acceptable" in X25519 means that an implementation may refuse;
 * ours refuses exactly those whose shared secret is zero, as WireGuard has to.
 */
#include "vectors.h"

#include "crypto/aead.h"
#include "crypto/aead_kernel.h"
#include "crypto/secret.h"
#include "tests/unit/aead_each.h"

static json_t *chacha, *xchacha, *x25519;

/* One AEAD case, its parts as bytes. */
struct aead_case {
	int id;
	bool valid;
	uint8_t key[VECTORS_BYTES_MAX], iv[VECTORS_BYTES_MAX], ad[VECTORS_BYTES_MAX];
	uint8_t text[VECTORS_BYTES_MAX], sealed[VECTORS_BYTES_MAX + AEAD_TAG_SIZE];
	size_t iv_len, ad_len, len;
};

static void aead_case_read(struct aead_case *c, const json_t *test, size_t want_iv_len)
{
	uint8_t tag[VECTORS_BYTES_MAX];
	const char *result = vectors_text(test, "result");

	c->id = (int)json_integer_value(json_object_get(test, "tcId"));
	c->valid = strcmp(result, "valid") == 0;
	assert_true(c->valid || strcmp(result, "invalid") == 0);
	assert_int_equal(vectors_bytes(c->key, test, "key"), KEY_SIZE);
	c->iv_len = vectors_bytes(c->iv, test, "iv");
	c->ad_len = vectors_bytes(c->ad, test, "aad");
	c->len = vectors_bytes(c->text, test, "msg");
	if (c->iv_len != want_iv_len)
		return; /* the file gives no ciphertext and no tag for these */
	assert_int_equal(vectors_bytes(c->sealed, test, "ct"), c->len);
	assert_int_equal(vectors_bytes(tag, test, "tag"), AEAD_TAG_SIZE);
	memcpy(c->sealed + c->len, tag, AEAD_TAG_SIZE);
}

static void expect(const struct aead_case *c, bool have, const char *what)
{
	if (have != c->valid)
		fail_msg("case %d, which is %s: %s says otherwise", c->id,
		         c->valid ? "valid" : "invalid", what);
}

static const struct aead_kernel *kernel_in_use(void)
{
	static const struct aead_kernel *const kernels[] = {
		&aead_sodium,
#ifdef __x86_64__
		&aead_avx2,
		&aead_avx512,
#endif
	};

	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		if (strcmp(kernels[i]->name, aead_name()) == 0)
			return kernels[i];
	}
	fail_msg("no kernel is named %s", aead_name());
	return NULL;
}

/* The case in every place of a burst, with what else a burst of its key may hold. */
static void run_burst(const struct aead_case *c, const struct aead_kernel *kernel)
{
	enum { N = 19 };
	static uint8_t out[N][VECTORS_BYTES_MAX + AEAD_TAG_SIZE];
	const struct aead_call call = { c->key, c->ad, c->ad_len, load_le32(c->iv) };
	struct aead_op ops[N];

	for (unsigned int i = 0; i < N; i++) {
		ops[i] = (struct aead_op){ .src = c->text,
			                   .dst = out[i],
			                   .len = (uint32_t)c->len,
			                   .counter = load_le64(c->iv + 4) };
	}
	kernel->seal(&call, ops, N);
	for (unsigned int i = 0; i < N; i++) {
		expect(c, memcmp(out[i], c->sealed, c->len + AEAD_TAG_SIZE) == 0, "a burst's seal");
		ops[i].src = c->sealed;
	}
	/* every other packet is not the case's, and good */
	for (unsigned int i = 0; i < N; i += 2) {
		ops[i].counter++;
		ops[i].src = ops[i].dst;
	}
	for (unsigned int i = 0; i < N; i += 2) {
		memcpy(out[i], c->text, c->len);
		kernel->seal(&call, &ops[i], 1);
	}
	expect(c, kernel->open(&call, ops, N) == N, "a burst's open");
	for (unsigned int i = 0; i < N; i++) {
		assert_true(ops[i].ok == (c->valid || i % 2 == 0));
		if (ops[i].ok)
			assert_memory_equal(out[i], c->text, c->len);
	}
}

static bool run_chacha(const struct aead_case *c)
{
	uint8_t out[VECTORS_BYTES_MAX + AEAD_TAG_SIZE];
	bool ok;

	aead_seal_nonce(out, c->text, c->len, c->ad, c->ad_len, c->iv, c->key);
	expect(c, memcmp(out, c->sealed, c->len + AEAD_TAG_SIZE) == 0, "sealing");
	ok = aead_open_nonce(out, c->sealed, c->len + AEAD_TAG_SIZE, c->ad, c->ad_len, c->iv,
	                     c->key);
	expect(c, ok, "opening");
	if (ok)
		assert_memory_equal(out, c->text, c->len);

	run_burst(c, kernel_in_use());
	/* nonces that have the form of ours go through the calls that we use, too */
	if (load_le32(c->iv) == 0) {
		uint64_t counter = load_le64(c->iv + 4);

		aead_seal(out, c->text, c->len, c->ad, c->ad_len, counter, c->key);
		expect(c, memcmp(out, c->sealed, c->len + AEAD_TAG_SIZE) == 0, "aead_seal");
		expect(c,
		       aead_open(out, c->sealed, c->len + AEAD_TAG_SIZE, c->ad, c->ad_len, counter,
		                 c->key),
		       "aead_open");
	}
	return ok;
}

static bool run_xchacha(const struct aead_case *c)
{
	uint8_t out[VECTORS_BYTES_MAX + AEAD_TAG_SIZE];
	bool ok;

	aead_xseal(out, c->text, c->len, c->ad, c->ad_len, c->iv, c->key);
	expect(c, memcmp(out, c->sealed, c->len + AEAD_TAG_SIZE) == 0, "sealing");
	ok = aead_xopen(out, c->sealed, c->len + AEAD_TAG_SIZE, c->ad, c->ad_len, c->iv, c->key);
	expect(c, ok, "opening");
	if (ok)
		assert_memory_equal(out, c->text, c->len);
	return ok;
}

/* Nonces of another length do not fit the interface, which is how they are refused. */
static void run_aead_file(const json_t *root, bool (*run)(const struct aead_case *c), size_t iv_len,
                          unsigned int want, unsigned int want_valid)
{
	unsigned int count = 0, valid = 0;
	const json_t *group, *test;
	struct aead_case c;
	size_t i, j;

	json_array_foreach (json_object_get(root, "testGroups"), i, group) {
		json_array_foreach (json_object_get(group, "tests"), j, test) {
			aead_case_read(&c, test, iv_len);
			if (c.iv_len == iv_len)
				valid += run(&c);
			else
				expect(&c, false, "the nonce's length");
			count++;
		}
	}
	assert_int_equal(count, json_integer_value(json_object_get(root, "numberOfTests")));
	assert_int_equal(count, want);
	assert_int_equal(valid, want_valid);
}

static void test_chacha20_poly1305_325_cases(void **state)
{
	(void)state;
	run_aead_file(chacha, run_chacha, NONCE_SIZE, 325, 256);
}

static void test_xchacha20_poly1305_315_cases(void **state)
{
	(void)state;
	run_aead_file(xchacha, run_xchacha, XNONCE_SIZE, 315, 246);
}

static void test_x25519_518_cases(void **state)
{
	unsigned int count = 0, refused = 0;
	const json_t *group, *test;
	size_t i, j;

	(void)state;
	json_array_foreach (json_object_get(x25519, "testGroups"), i, group) {
		json_array_foreach (json_object_get(group, "tests"), j, test) {
			uint8_t public_key[VECTORS_BYTES_MAX], private_key[VECTORS_BYTES_MAX];
			uint8_t shared[VECTORS_BYTES_MAX], out[KEY_SIZE];
			const char *result = vectors_text(test, "result");
			int id = (int)json_integer_value(json_object_get(test, "tcId"));
			bool ok, zero;

			assert_int_equal(vectors_bytes(public_key, test, "public"), KEY_SIZE);
			assert_int_equal(vectors_bytes(private_key, test, "private"), KEY_SIZE);
			assert_int_equal(vectors_bytes(shared, test, "shared"), KEY_SIZE);
			zero = secret_is_zero(shared, KEY_SIZE);
			assert_true(strcmp(result, "valid") == 0 ||
			            strcmp(result, "acceptable") == 0);
			ok = secret_dh(out, private_key, public_key);
			if (!ok && strcmp(result, "valid") == 0)
				fail_msg("case %d is valid and was refused", id);
			if (ok == zero)
				fail_msg("case %d: a zero result, and only that, is refused", id);
			if (memcmp(out, shared, KEY_SIZE) != 0)
				fail_msg("case %d: another shared secret", id);
			refused += !ok;
			count++;
		}
	}
	assert_int_equal(count, json_integer_value(json_object_get(x25519, "numberOfTests")));
	assert_int_equal(count, 518);
	assert_int_equal(refused, 31);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest each[] = {
		cmocka_unit_test(test_chacha20_poly1305_325_cases),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xchacha20_poly1305_315_cases),
		cmocka_unit_test(test_x25519_518_cases),
	};
	int status;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	if ((status = vectors_load(&chacha, argv[1], "wycheproof-chacha20_poly1305.json")) ||
	    (status = vectors_load(&xchacha, argv[1], "wycheproof-xchacha20_poly1305.json")) ||
	    (status = vectors_load(&x25519, argv[1], "wycheproof-x25519.json")))
		goto out;
	status = secret_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < AEAD_EACH_COUNT; i++) {
		int ret = aead_each_use(aead_each[i]);

		if (ret == 0)
			status |= cmocka_run_group_tests_name(aead_each[i], each, NULL, NULL);
		else if (ret < 0)
			status = 1;
	}
out:
	json_decref(chacha);
	json_decref(xchacha);
	json_decref(x25519);
	return status;
}
