/* SPDX-License-Identifier: MIT */
/*
 * What an implementation of the AEAD offers. aead.c chooses one of them; the
 * tests run each. All compute the same bytes for the same call.
 */
#ifndef CRYPTO_AEAD_KERNEL_H
#define CRYPTO_AEAD_KERNEL_H

#include "crypto/aead_op.h"

/* What the packets of a burst have in common. */
struct aead_call {
	const uint8_t *key; /* KEY_SIZE bytes */
	const uint8_t *ad;
	size_t ad_len;
	uint32_t nonce_head; /* the nonce's first four bytes; the counter is the rest */
};

/* @n is at most AEAD_BURST_MAX; open returns how many were ok. */
struct aead_kernel {
	const char *name;
	void (*seal)(const struct aead_call *call, struct aead_op *ops, unsigned int n);
	unsigned int (*open)(const struct aead_call *call, struct aead_op *ops, unsigned int n);
};

/*
 * Around the verdict on a tag, the one thing made of secrets that may steer. A test
 * that watches for any other replaces it.
 */
#ifndef AEAD_PUBLISH
#define AEAD_PUBLISH(value) (value)
#endif

extern const struct aead_kernel aead_sodium;
/* Encrypts nothing; compiled for bench/ alone (aead_none.c). */
extern const struct aead_kernel aead_none;
#ifdef __x86_64__
extern const struct aead_kernel aead_avx2;
extern const struct aead_kernel aead_avx512;
/* A part of aead_avx512, which calls it for what makes no group of eight packets. */
extern const struct aead_kernel aead_avx512_list;
#endif

#endif
