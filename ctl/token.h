/* SPDX-License-Identifier: MIT */
/*
 * An invitation as one line of text, for people to carry: who invites and where, to
 * which range, until when, and a secret. From the secret follow the private key with
 * which a host may handshake with the introducer once, and the preshared key of that
 * session; the introducer keeps the public key and the preshared one alone.
 *
 *	ovl1-… base64url of:
 *	  version (1 byte, 1)  expires (8, unix seconds)  introducer's public key (32)
 *	  secret (32)  range: family (1), bits (1), address (4 or 16)
 *	  bits of the part that the host gets (1)
 *	  endpoints: how many (1), each length (1) and text  checksum (4, BLAKE2s)
 */
#ifndef CTL_TOKEN_H
#define CTL_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"
#include "dataplane/route.h"

#define TOKEN_PREFIX        "ovl1-"
#define TOKEN_ENDPOINTS_MAX 4
#define TOKEN_ENDPOINT_MAX  128 /* terminating zero included */
#define TOKEN_TEXT_MAX      1024

struct token {
	uint64_t expires_s; /* unix time, the introducer's clock */
	uint8_t introducer[KEY_SIZE];
	uint8_t secret[KEY_SIZE];
	struct prefix range;
	uint8_t part_len; /* at least range.len */
	unsigned int endpoint_count; /* 1 or more */
	char endpoints[TOKEN_ENDPOINTS_MAX][TOKEN_ENDPOINT_MAX]; /* as in a [Peer] */
};

/* What the text does not say: from a fresh secret, or from a token's. */
struct token_keys {
	uint8_t private_key[KEY_SIZE];
	uint8_t public_key[KEY_SIZE];
	uint8_t psk[KEY_SIZE];
};

/* False: it does not fit. */
bool token_format(const struct token *token, char out[TOKEN_TEXT_MAX]);
/* NULL, or what is wrong with @text. @token is wiped then. */
const char *token_parse(struct token *token, const char *text);
void token_derive(const struct token *token, struct token_keys *keys);

/*
 * What shows that who joins has the private key of @host and means this invitation:
 * either side can make it, from its own private key and the other's public one. False:
 * the public key is none that can be used.
 */
bool token_prove(uint8_t proof[MAC_SIZE], const uint8_t private_key[KEY_SIZE],
                 const uint8_t remote[KEY_SIZE], const uint8_t invited[KEY_SIZE],
                 const uint8_t introducer[KEY_SIZE], const uint8_t host[KEY_SIZE])
	__attribute__((warn_unused_result));

#endif
