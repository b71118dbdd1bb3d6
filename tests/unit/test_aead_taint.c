/* SPDX-License-Identifier: MIT */
/*
 * No branch and no address in the AEAD's kernels depends on key or text: valgrind
 * takes both for undefined, and tells of every jump and every index that depends on
 * them. The verdict on a tag, which is public, is all that the kernels declare defined
 * (AEAD_PUBLISH). The program starts itself under valgrind, which knows no AVX-512:
 * those files run in plain C here (emulated/immintrin.h), which leaves their own
 * branches and indices as they are. A second start has to fail, and proves that
 * valgrind sees what it is to see.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "aead_bursts.h"
#include "crypto/aead_cpu.h"
#include "crypto/secret.h"

#if __has_include(<valgrind/memcheck.h>)

static const struct aead_kernel *kernel;
static volatile unsigned int sink;

static void taint(bool tainted)
{
	if (tainted) {
		(void)VALGRIND_MAKE_MEM_UNDEFINED(key, sizeof(key));
		(void)VALGRIND_MAKE_MEM_UNDEFINED(text, sizeof(text));
	} else {
		(void)VALGRIND_MAKE_MEM_DEFINED(key, sizeof(key));
		(void)VALGRIND_MAKE_MEM_DEFINED(text, sizeof(text));
	}
}

static void test_nothing_secret_steers(void **state)
{
	unsigned long before = VALGRIND_COUNT_ERRORS;

	(void)state;
	for (unsigned int i = 0; i < BURST_COUNT; i++) {
		const struct aead_call call = burst_prepare(&bursts[i]);
		unsigned int n = bursts[i].n;

		taint(true);
		kernel->seal(&call, ops, n);
		assert_int_equal(kernel->open(&call, ops, n), n);
		/* and with a tag that is wrong */
		kernel->seal(&call, ops, n);
		text[n / 2][ops[n / 2].len] ^= 1;
		assert_int_equal(kernel->open(&call, ops, n), n - 1);
		assert_false(ops[n / 2].ok);
		taint(false);
		if (n > 1)
			assert_memory_equal(text[0], plain[0], ops[0].len);
	}
	assert_int_equal(VALGRIND_COUNT_ERRORS, before);
}

/* What has to be found: a jump and an index that depend on the key. */
static void steer(void)
{
	taint(true);
	if (key[0] & 1)
		sink = 1;
	sink = text[0][key[1]];
	taint(false);
}

static int run_inside(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_secret_steers),
	};
	static const struct aead_kernel *const kernels[] = { &aead_avx2, &aead_avx512,
		                                             &aead_avx512_list };
	struct aead_cpu cpu;
	int failed = 0;

	if (secret_init())
		return 1;
	aead_cpu_read(&cpu);
	for (unsigned int i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		kernel = kernels[i];
		if (kernel == &aead_avx2 && !aead_cpu_has_avx2(&cpu))
			printf("skipped: this processor cannot run avx2\n");
		else
			failed |= cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
	}
	return failed;
}

/* The exit status of this program under valgrind, told to do @what; 77 without one. */
static int start(const char *program, const char *what)
{
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execlp("valgrind", "valgrind", "-q", "--error-exitcode=9", program, what, NULL);
		_exit(77);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	int status;

	if (argc > 1 && strcmp(argv[1], "steer") == 0) {
		steer();
		return 0;
	}
	if (argc > 1)
		return run_inside();
	if (UNIT_SANITIZED) {
		printf("skipped: valgrind does not run what a sanitizer watches\n");
		return 77;
	}
	status = start(argv[0], "inside");
	if (status == 77)
		printf("skipped: valgrind is not installed\n");
	if (status)
		return status;
	if (start(argv[0], "steer") != 9) {
		printf("valgrind does not see a jump that depends on the key\n");
		return 1;
	}
	return 0;
}

#else

int main(void)
{
	printf("skipped: built without valgrind's headers\n");
	return 77;
}

#endif
