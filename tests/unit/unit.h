/* SPDX-License-Identifier: MIT */
/* What every cmocka program needs, in the order cmocka wants it. */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <string.h>
#include <cmocka.h>

/* A sanitizer is in: mlock() does nothing, address space is short, freed memory is taboo. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif

/*
 * valgrind is the machine: no limit of memory or files holds it, and no thread runs while
 * another waits in io_uring_enter(2), which it does not take for a call that waits.
 */
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define UNIT_VALGRIND (RUNNING_ON_VALGRIND != 0)
/* For a test that looks at all of a memory, never written parts included. */
#define unit_take_for_written(memory, len) ((void)VALGRIND_MAKE_MEM_DEFINED(memory, len))
#else
#define UNIT_VALGRIND                      false
#define unit_take_for_written(memory, len) ((void)(memory), (void)(len))
#endif

/* "0011ff" → bytes; the text is the test's own and well-formed. Returns the number of bytes. */
static inline size_t unit_hex(uint8_t *out, const char *text)
{
	size_t n = 0;

	while (*text) {
		unsigned int byte = 0;

		for (int i = 0; i < 2; i++, text++)
			byte = byte << 4 |
			       (unsigned int)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

/* A seeded generator (xorshift64*), so that a failure can be repeated. */
static inline uint64_t unit_random(uint64_t *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

#endif
