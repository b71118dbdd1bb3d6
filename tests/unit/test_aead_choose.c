/* SPDX-License-Identifier: MIT */
/*
 * The choice between implementations: what the processor's flags allow, what the
 * environment forces, and that one which is wrong in one place is found out by its
 * self-test, passed over, and named.
 */
#include "unit.h"

#include <stdlib.h>
#include "crypto/aead.h"
#include "crypto/aead_choose.h"
#include "crypto/aead_cpu.h"
#include "crypto/secret.h"

/* --- flags --- */

/* What a processor with everything has; each row takes something away. */
static const struct aead_cpu everything = {
	.leaf1_ecx = 1u << 27 | 1u << 28,
	.leaf7_ebx = 1u << 5 | 1u << 8 | 1u << 16 | 1u << 17 | 1u << 21 | 1u << 30 | 1u << 31,
	.leaf7_ecx = 1u << 6,
	.xcr0 = 0xe7,
};

static void test_flags(void **state)
{
	static const struct {
		const char *without;
		struct aead_cpu lacks;
		bool avx2, avx512;
	} rows[] = {
		{ "nothing", { 0 }, true, true },
		{ "OSXSAVE", { .leaf1_ecx = 1u << 27 }, false, false },
		{ "AVX", { .leaf1_ecx = 1u << 28 }, false, false },
		{ "AVX2", { .leaf7_ebx = 1u << 5 }, false, false },
		{ "BMI2", { .leaf7_ebx = 1u << 8 }, false, false },
		{ "xmm kept", { .xcr0 = 2 }, false, false },
		{ "ymm kept", { .xcr0 = 4 }, false, false },
		{ "AVX512F", { .leaf7_ebx = 1u << 16 }, true, false },
		{ "AVX512DQ", { .leaf7_ebx = 1u << 17 }, true, false },
		{ "AVX512IFMA", { .leaf7_ebx = 1u << 21 }, true, false },
		{ "AVX512BW", { .leaf7_ebx = 1u << 30 }, true, false },
		{ "AVX512VL", { .leaf7_ebx = 1u << 31 }, true, false },
		{ "AVX512VBMI2", { .leaf7_ecx = 1u << 6 }, true, false },
		{ "masks kept", { .xcr0 = 0x20 }, true, false },
		{ "upper halves kept", { .xcr0 = 0x40 }, true, false },
		{ "upper sixteen kept", { .xcr0 = 0x80 }, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct aead_cpu cpu = { everything.leaf1_ecx & ~rows[i].lacks.leaf1_ecx,
			                everything.leaf7_ebx & ~rows[i].lacks.leaf7_ebx,
			                everything.leaf7_ecx & ~rows[i].lacks.leaf7_ecx,
			                everything.xcr0 & ~rows[i].lacks.xcr0 };

		if (aead_cpu_has_avx2(&cpu) != rows[i].avx2 ||
		    aead_cpu_has_avx512(&cpu) != rows[i].avx512)
			fail_msg("without %s", rows[i].without);
	}
}

/* --- self-tests --- */

/* How the broken one is broken, and in which packet of a burst. */
static enum { TEXT, TAG, BLIND, DEAF, PLAIN, COUNT } fault;

static void broken_seal(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	struct aead_op *last = &ops[n - 1];

	aead_sodium.seal(call, ops, n);
	if (n < AEAD_BURST_MAX)
		return;
	if (fault == TEXT)
		last->dst[last->len - 1] ^= 0x80;
	else if (fault == TAG)
		last->dst[last->len + AEAD_TAG_SIZE - 1] ^= 0x80;
}

static unsigned int broken_open(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	unsigned int good = aead_sodium.open(call, ops, n);

	if (n < AEAD_BURST_MAX)
		return good;
	if (fault == BLIND) {
		for (unsigned int i = 0; i < n; i++)
			ops[i].ok = true;
		return n;
	}
	if (fault == DEAF) {
		ops[n - 1].ok = false;
		return good - 1;
	}
	if (fault == PLAIN)
		ops[n - 1].dst[0] ^= 1;
	return good + (fault == COUNT);
}

static const struct aead_kernel broken = { "broken", broken_seal, broken_open };
static const struct aead_kernel fine = { "fine", broken_seal, broken_open };

static void test_what_is_wrong_is_passed_over_and_named(void **state)
{
	const struct aead_candidate candidates[] = { { &broken, true }, { &aead_sodium, true } };
	char words[160];

	(void)state;
	for (fault = TEXT; fault <= COUNT; fault++) {
		assert_ptr_equal(aead_choose(candidates, 2, NULL, words, sizeof(words)),
		                 &aead_sodium);
		assert_string_equal(words, "libsodium (broken failed its self-test)");
		/* forced, it is refused just as well */
		assert_ptr_equal(aead_choose(candidates, 2, "broken", words, sizeof(words)),
		                 &aead_sodium);
		assert_string_equal(words, "libsodium (broken failed its self-test)");
		assert_null(aead_choose(candidates, 1, NULL, words, sizeof(words)));
	}
}

static void test_the_first_that_runs_here_is_chosen(void **state)
{
	const struct aead_candidate candidates[] = { { &broken, false },
		                                     { &fine, true },
		                                     { &aead_sodium, true } };
	static const struct {
		const char *forced, *words;
		unsigned int choice;
	} rows[] = {
		{ NULL, "fine", 1 },
		{ "fine", "fine", 1 },
		{ "libsodium", "libsodium", 2 },
		{ "broken", "fine (broken needs another processor)", 1 },
		{ "", "fine (OVLTUN_AEAD is none of avx512, avx2, libsodium)", 1 },
		{ "AVX2", "fine (OVLTUN_AEAD is none of avx512, avx2, libsodium)", 1 },
	};
	char words[160];

	(void)state;
	fault = COUNT + 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_ptr_equal(aead_choose(candidates, 3, rows[i].forced, words, sizeof(words)),
		                 candidates[rows[i].choice].kernel);
		assert_string_equal(words, rows[i].words);
	}
}

/* No implementation that this processor runs fails, and the fastest is chosen. */
static void test_the_fastest_is_chosen_here(void **state)
{
	const char *want = "libsodium";
	struct aead_cpu cpu;

	(void)state;
	aead_cpu_read(&cpu);
	if (aead_cpu_has_avx2(&cpu))
		want = "avx2";
	if (aead_cpu_has_avx512(&cpu))
		want = "avx512";
	assert_int_equal(unsetenv("OVLTUN_AEAD"), 0);
	assert_int_equal(aead_init(), 0);
	assert_string_equal(aead_name(), want);
	assert_int_equal(setenv("OVLTUN_AEAD", "libsodium", 1), 0);
	assert_int_equal(aead_init(), 0);
	assert_string_equal(aead_name(), "libsodium");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_what_is_wrong_is_passed_over_and_named),
		cmocka_unit_test(test_the_first_that_runs_here_is_chosen),
		cmocka_unit_test(test_the_fastest_is_chosen_here),
	};

	return secret_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
