/* SPDX-License-Identifier: MIT */
/*
 * The AEAD's kernels leave nothing of key or text on the stack: two runs that differ in
 * nothing else leave the same bytes there. Each runs on a stack of its own that was
 * painted before.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include "aead_bursts.h"
#include "crypto/aead_cpu.h"
#include "crypto/secret.h"

enum { STACK = 256 * 1024 };

static const struct aead_kernel *kernel;
static ucontext_t here, there;
static uint8_t stack[STACK] __attribute__((aligned(64)));
static struct aead_call stack_call;
static unsigned int stack_n;
static bool stack_opens;

static void on_stack(void)
{
	if (!stack_opens)
		kernel->seal(&stack_call, ops, stack_n);
	else if (kernel->open(&stack_call, ops, stack_n) != stack_n)
		abort();
}

/* What a run leaves on a stack of its own that was painted before. */
static void run_on_stack(const struct burst *burst, uint8_t fill)
{
	memset(key, fill, sizeof(key));
	memset(plain, fill, sizeof(plain));
	stack_call = burst_prepare(burst);
	stack_n = burst->n;
	if (stack_opens)
		kernel->seal(&stack_call, ops, stack_n);
	memset(stack, 0xa5, sizeof(stack));
	assert_int_equal(getcontext(&there), 0);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = sizeof(stack);
	there.uc_link = &here;
	makecontext(&there, on_stack, 0);
	assert_int_equal(swapcontext(&here, &there), 0);
	/* what lies below a stack's pointer is taboo to valgrind */
	unit_take_for_written(stack, sizeof(stack));
}

static void test_nothing_is_left_on_the_stack(void **state)
{
	static uint8_t left[STACK];

	(void)state;
	for (unsigned int i = 0; i < 2 * BURST_COUNT; i++) {
		size_t used = 0;

		stack_opens = i % 2;
		run_on_stack(&bursts[i / 2], 0x11);
		memcpy(left, stack, sizeof(left));
		run_on_stack(&bursts[i / 2], 0xee);
		for (size_t at = 0; at < STACK; at++) {
			used += stack[at] != 0xa5;
			if (stack[at] != left[at])
				fail_msg("%s, burst %u: byte %zu below the top",
				         stack_opens ? "open" : "seal", i / 2, STACK - at);
		}
		assert_true(used > 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_left_on_the_stack),
	};
	struct aead_cpu cpu;
	int failed = 0;

	if (UNIT_SANITIZED) {
		printf("skipped: sanitizers keep more on the stack than the program does\n");
		return 77;
	}
	if (secret_init())
		return 1;
	aead_cpu_read(&cpu);
	const struct {
		const struct aead_kernel *kernel;
		bool runs_here;
	} rows[] = {
		{ &aead_avx2, aead_cpu_has_avx2(&cpu) },
#ifndef AVX2_ALONE
		{ &aead_avx512, aead_cpu_has_avx512(&cpu) },
		{ &aead_avx512_list, aead_cpu_has_avx512(&cpu) },
#endif
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		kernel = rows[i].kernel;
		if (rows[i].runs_here)
			failed |= cmocka_run_group_tests_name(kernel->name, tests, NULL, NULL);
		else
			printf("skipped: this processor cannot run %s\n", kernel->name);
	}
	return failed;
}
