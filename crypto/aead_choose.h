/* SPDX-License-Identifier: MIT */
/* Which implementation is used: the first that can run here and proves itself. */
#ifndef CRYPTO_AEAD_CHOOSE_H
#define CRYPTO_AEAD_CHOOSE_H

#include "crypto/aead_kernel.h"

struct aead_candidate {
	const struct aead_kernel *kernel;
	bool runs_here;
};

/*
 * @candidates are in order of preference, the last is the reference and runs
 * anywhere. @forced, which may be NULL, is the name of the first to be considered.
 * Writes the name of the choice to @words, and in parentheses what was not to be
 * had. NULL when even the last failed.
 */
const struct aead_kernel *aead_choose(const struct aead_candidate *candidates, unsigned int count,
                                      const char *forced, char *words, size_t size);

#endif
