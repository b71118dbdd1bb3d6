/* SPDX-License-Identifier: MIT */
/* One packet of a burst: shared by the interface (aead.h) and its implementations. */
#ifndef CRYPTO_AEAD_OP_H
#define CRYPTO_AEAD_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"

#define AEAD_BURST_MAX 64

/*
 * @src and @dst are equal or do not overlap; packets do not overlap each other.
 * @len is less than 2^31. Sealing reads @len bytes of plaintext and writes @len + AEAD_TAG_SIZE.
 * Opening reads @len bytes of ciphertext and the tag behind them, and writes
 * @len bytes of plaintext, and those only if @ok. Of a packet that is not ok
 * @dst is left as it was or overwritten by zeros, by implementation; it never
 * holds plaintext, not even for a moment.
 */
struct aead_op {
	const uint8_t *src;
	uint8_t *dst;
	uint32_t len;
	bool ok; /* opening: the tag was right; not touched by sealing */
	uint64_t counter;
};

#endif
