/* SPDX-License-Identifier: MIT */
/* Included first in the kernels that test_aead_taint watches: what valgrind may take for public. */
#ifndef TESTS_UNIT_EMULATED_PUBLISH_H
#define TESTS_UNIT_EMULATED_PUBLISH_H

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define AEAD_PUBLISH(value)                                                     \
	__extension__({                                                         \
		__typeof__(value) published = (value);                          \
		(void)VALGRIND_MAKE_MEM_DEFINED(&published, sizeof(published)); \
		published;                                                      \
	})
#endif

#endif
