/* SPDX-License-Identifier: MIT */
/*
 * Noise's SymmetricState (the Noise protocol framework, revision 34, 5.2) for
 * 25519_ChaChaPoly_BLAKE2s. Internal to crypto/: noise.c is written in these
 * steps, and the tests run a public Noise vector through the same ones.
 *
 * In IKpsk2 every key seals one message and is then replaced, so the nonce is
 * always zero and not kept.
 */
#ifndef CRYPTO_SYMMETRIC_H
#define CRYPTO_SYMMETRIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"

/* Holds secrets; wipe it in the end. */
struct symmetric {
	uint8_t hash[HASH_SIZE];
	uint8_t chaining_key[HASH_SIZE];
	uint8_t key[KEY_SIZE];
};

/* h and ck from the construction's name, and the prologue mixed into h. */
void symmetric_init(struct symmetric *state, const void *prologue, size_t len);

void symmetric_mix_hash(struct symmetric *state, const void *data, size_t len);
void symmetric_mix_key(struct symmetric *state, const uint8_t input[KEY_SIZE]);
void symmetric_mix_key_and_hash(struct symmetric *state, const uint8_t psk[KEY_SIZE]);

/* @sealed is @len + AEAD_TAG_SIZE bytes. A message refused leaves @state as it was. */
void symmetric_encrypt_and_hash(struct symmetric *state, uint8_t *sealed, const void *plain,
                                size_t len);
bool symmetric_decrypt_and_hash(struct symmetric *state, void *plain, const uint8_t *sealed,
                                size_t len) __attribute__((warn_unused_result));

/* The transport keys: initiator to responder, and back. */
void symmetric_split(const struct symmetric *state, uint8_t first[KEY_SIZE],
                     uint8_t second[KEY_SIZE]);

#endif
