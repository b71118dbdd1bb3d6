/* SPDX-License-Identifier: MIT */
/* For programs that run their cases once with each implementation of the AEAD. */
#ifndef TESTS_UNIT_AEAD_EACH_H
#define TESTS_UNIT_AEAD_EACH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/aead.h"

static const char *const aead_each[] = { "libsodium", "avx2", "avx512" };

#define AEAD_EACH_COUNT (sizeof(aead_each) / sizeof(aead_each[0]))

/* 0: it is in use; 1: it cannot run here, which is told; -1: it should and does not. */
static inline int aead_each_use(const char *name)
{
	if (setenv("OVLTUN_AEAD", name, 1) != 0 || aead_init() != 0)
		return -1;
	if (strcmp(aead_name(), name) == 0)
		return 0;
	if (!strstr(aead_name(), "needs another processor") && !strstr(aead_name(), "none of")) {
		printf("asked for %s, got %s\n", name, aead_name());
		return -1;
	}
	printf("skipped: this processor cannot run %s\n", name);
	return 1;
}

#endif
