/* SPDX-License-Identifier: MIT */
/*
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it: two messages,
 * create and consume of each. Nothing here knows a peer table, a socket or a
 * clock: time stamps, ephemeral keys and indices are arguments. Every function
 * works on locals and commits to @hs last, so a refused message changes nothing.
 *
 * Not thread-safe: the caller serialises calls that share a @hs.
 */
#ifndef CRYPTO_NOISE_H
#define CRYPTO_NOISE_H

#include <stdbool.h>
#include <stdint.h>
#include "crypto/message.h"

struct keypair;

/* The least time between two initiations accepted from one peer. */
#define NOISE_INITIATION_INTERVAL_NS 20000000ULL

/* This device's static key pair. */
struct noise_identity {
	uint8_t private_key[KEY_SIZE];
	uint8_t public_key[KEY_SIZE];
};

enum noise_state {
	NOISE_ZEROED,
	NOISE_INITIATION_CREATED,
	NOISE_INITIATION_CONSUMED,
	NOISE_RESPONSE_CREATED,
	NOISE_RESPONSE_CONSUMED,
};

/* One handshake with one peer, and what outlives handshakes. Holds secrets. */
struct noise_handshake {
	/* for as long as the peer is configured */
	uint8_t remote_static[KEY_SIZE];
	uint8_t psk[KEY_SIZE]; /* all zero: none */
	uint8_t static_static[KEY_SIZE]; /* DH(own static, remote static) */
	bool usable; /* there is an own key, and that DH was not zero */

	/* replay and rate protection, kept over handshakes */
	uint8_t last_timestamp[TIMESTAMP_SIZE];
	uint64_t last_initiation_ns; /* when one was last accepted; 0: never */

	/* the handshake under way */
	enum noise_state state;
	uint8_t hash[HASH_SIZE];
	uint8_t chaining_key[HASH_SIZE];
	uint8_t ephemeral_private[KEY_SIZE];
	uint8_t remote_ephemeral[KEY_SIZE];
	uint32_t local_index;
	uint32_t remote_index;
};

/* An initiation whose static key was decrypted and whose peer is to be found. */
struct noise_initiation {
	uint8_t remote_static[KEY_SIZE];
	uint8_t remote_ephemeral[KEY_SIZE];
	uint8_t hash[HASH_SIZE];
	uint8_t chaining_key[HASH_SIZE];
	uint32_t remote_index;
};

enum noise_verdict {
	NOISE_OK,
	NOISE_BAD, /* did not decrypt, or a DH result of zero */
	NOISE_STALE, /* an initiation's time stamp not greater than the last */
	NOISE_FLOOD, /* initiations closer than NOISE_INITIATION_INTERVAL_NS */
	NOISE_UNEXPECTED, /* no handshake in a state that this message answers */
};

void noise_identity_init(struct noise_identity *id, const uint8_t private_key[KEY_SIZE]);

/*
 * Sets up a new peer, remote key and PSK (NULL: none); what was in @hs is lost,
 * its time stamp too. A PSK changed later is written to @hs->psk.
 */
void noise_handshake_init(struct noise_handshake *hs, const struct noise_identity *id,
                          const uint8_t remote_static[KEY_SIZE], const uint8_t *psk);
/* After a change of identity (NULL: none): recomputes the static-static DH, forgets the handshake. */
void noise_handshake_rekey(struct noise_handshake *hs, const struct noise_identity *id);
/* Wipes the handshake under way; keys, PSK and time stamps stay. */
void noise_handshake_clear(struct noise_handshake *hs);

/* The MACs of the messages created are left zero: see cookie.h. */
enum noise_verdict noise_create_initiation(struct noise_handshake *hs,
                                           const struct noise_identity *id,
                                           const uint8_t ephemeral_private[KEY_SIZE],
                                           const uint8_t timestamp[TIMESTAMP_SIZE],
                                           uint32_t local_index, struct message_initiation *msg)
	__attribute__((warn_unused_result));

/* First half: who is it? Costs one DH. @in holds secrets; wipe it in the end. */
enum noise_verdict noise_open_initiation(const struct noise_identity *id,
                                         const struct message_initiation *msg,
                                         struct noise_initiation *in)
	__attribute__((warn_unused_result));
/*
 * Second half, with the peer's @hs (whose remote_static equals @in's). Checks
 * the time stamp at the moment of commit, whatever came between the halves. Our
 * own initiation, if one was under way, is given up; local_index is left for
 * the caller to release.
 */
enum noise_verdict noise_consume_initiation(struct noise_handshake *hs,
                                            const struct message_initiation *msg,
                                            const struct noise_initiation *in, uint64_t now_ns)
	__attribute__((warn_unused_result));

enum noise_verdict noise_create_response(struct noise_handshake *hs,
                                         const uint8_t ephemeral_private[KEY_SIZE],
                                         uint32_t local_index, struct message_response *msg)
	__attribute__((warn_unused_result));
/* @hs is the one whose local_index is the message's receiver. */
enum noise_verdict noise_consume_response(struct noise_handshake *hs,
                                          const struct noise_identity *id,
                                          const struct message_response *msg)
	__attribute__((warn_unused_result));

/*
 * Ends a handshake in RESPONSE_CREATED or RESPONSE_CONSUMED: fills @kp's keys,
 * indices, role and birth, and clears @hs. NOISE_UNEXPECTED in other states.
 */
enum noise_verdict noise_derive_keypair(struct noise_handshake *hs, struct keypair *kp,
                                        uint64_t now_ns) __attribute__((warn_unused_result));

/* TAI64N of a wall-clock time, the low 24 bits of the nanoseconds cleared. */
void noise_timestamp(uint8_t out[TIMESTAMP_SIZE], uint64_t unix_seconds, uint32_t nanoseconds);

#endif
