/* SPDX-License-Identifier: MIT */
/*
 * The reference, and what every processor can do: libsodium, one packet after
 * the other. It compares the tag before it decrypts, works in place, and fills
 * the place of a packet that is not ok with zeros.
 */
#include "crypto/aead_kernel.h"

#include <sodium.h>
#include "crypto/endian.h"

static void set_nonce(uint8_t nonce[NONCE_SIZE], uint32_t head, uint64_t counter)
{
	store_le32(nonce, head);
	store_le64(nonce + 4, counter);
}

static void seal(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	uint8_t nonce[NONCE_SIZE];

	for (unsigned int i = 0; i < n; i++) {
		set_nonce(nonce, call->nonce_head, ops[i].counter);
		(void)crypto_aead_chacha20poly1305_ietf_encrypt(ops[i].dst, NULL, ops[i].src,
		                                                ops[i].len, call->ad, call->ad_len,
		                                                NULL, nonce, call->key);
	}
}

static unsigned int open(const struct aead_call *call, struct aead_op *ops, unsigned int n)
{
	uint8_t nonce[NONCE_SIZE];
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		set_nonce(nonce, call->nonce_head, ops[i].counter);
		ops[i].ok = crypto_aead_chacha20poly1305_ietf_decrypt(
				    ops[i].dst, NULL, NULL, ops[i].src,
				    (unsigned long long)ops[i].len + AEAD_TAG_SIZE, call->ad,
				    call->ad_len, nonce, call->key) == 0;
		good += ops[i].ok;
	}
	return good;
}

const struct aead_kernel aead_sodium = { "libsodium", seal, open };
