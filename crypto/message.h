/* SPDX-License-Identifier: MIT */
/*
 * WireGuard's four messages, as they lie in a UDP datagram (the WireGuard
 * protocol description, sections 5.4.2 to 5.4.7). The handshake's three live
 * here because their layout is what is hashed and MACed; the transport header
 * completes the set.
 */
#ifndef CRYPTO_MESSAGE_H
#define CRYPTO_MESSAGE_H

#include <stddef.h>
#include "crypto/endian.h"

#define AEAD_TAG_SIZE  16
#define KEY_SIZE       32
#define HASH_SIZE      32
#define TIMESTAMP_SIZE 12 /* TAI64N */
#define COOKIE_SIZE    16
#define MAC_SIZE       16
#define NONCE_SIZE     12
#define XNONCE_SIZE    24

/* The type is compared as a whole 32-bit word: three reserved bytes are zero. */
enum message_type {
	MESSAGE_INITIATION = 1,
	MESSAGE_RESPONSE = 2,
	MESSAGE_COOKIE_REPLY = 3,
	MESSAGE_DATA = 4,
};

struct message_macs {
	uint8_t mac1[MAC_SIZE];
	uint8_t mac2[MAC_SIZE];
};

struct message_initiation {
	struct le32 type;
	struct le32 sender;
	uint8_t ephemeral[KEY_SIZE];
	uint8_t static_sealed[KEY_SIZE + AEAD_TAG_SIZE];
	uint8_t timestamp_sealed[TIMESTAMP_SIZE + AEAD_TAG_SIZE];
	struct message_macs macs;
};

struct message_response {
	struct le32 type;
	struct le32 sender;
	struct le32 receiver;
	uint8_t ephemeral[KEY_SIZE];
	uint8_t empty_sealed[AEAD_TAG_SIZE];
	struct message_macs macs;
};

struct message_cookie_reply {
	struct le32 type;
	struct le32 receiver;
	uint8_t nonce[XNONCE_SIZE];
	uint8_t cookie_sealed[COOKIE_SIZE + AEAD_TAG_SIZE];
};

/* Followed by the ciphertext and its tag. */
struct message_data {
	struct le32 type;
	struct le32 receiver;
	struct le64 counter;
};

#define MESSAGE_DATA_OVERHEAD (sizeof(struct message_data) + AEAD_TAG_SIZE)

_Static_assert(sizeof(struct message_initiation) == 148, "initiation is 148 bytes");
_Static_assert(offsetof(struct message_initiation, ephemeral) == 8, "initiation.ephemeral");
_Static_assert(offsetof(struct message_initiation, static_sealed) == 40, "initiation.static");
_Static_assert(offsetof(struct message_initiation, timestamp_sealed) == 88, "initiation.timestamp");
_Static_assert(offsetof(struct message_initiation, macs) == 116, "initiation.mac1");
_Static_assert(sizeof(struct message_response) == 92, "response is 92 bytes");
_Static_assert(offsetof(struct message_response, ephemeral) == 12, "response.ephemeral");
_Static_assert(offsetof(struct message_response, empty_sealed) == 44, "response.empty");
_Static_assert(offsetof(struct message_response, macs) == 60, "response.mac1");
_Static_assert(sizeof(struct message_cookie_reply) == 64, "cookie reply is 64 bytes");
_Static_assert(offsetof(struct message_cookie_reply, nonce) == 8, "cookie.nonce");
_Static_assert(offsetof(struct message_cookie_reply, cookie_sealed) == 32, "cookie.cookie");
_Static_assert(sizeof(struct message_data) == 16, "transport header is 16 bytes");
_Static_assert(offsetof(struct message_data, counter) == 8, "data.counter");

#endif
