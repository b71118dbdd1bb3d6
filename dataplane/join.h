/* SPDX-License-Identifier: MIT */
/*
 * What hosts say to each other when one comes to the overlay (docs/protocol.md). Here
 * are the messages alone; ctl/invite.h and ctl/introduce.h are what follows from them.
 *
 *	JOIN             HOST, NAME, [ENDPOINT], [PREFIX], PROOF, [AFTER]
 *	JOIN_REPLY       VERDICT, [TEXT], or: VERDICT, BRIDGE, SUBNET…, then a HOST with
 *	                 NAME, ENDPOINT, PREFIX…, VNI for the one who asked, and each of
 *	                 the others; [END]
 *	INTRODUCE        NUMBER, HOST with NAME, ENDPOINT, PREFIX…, VNI
 *	INTRODUCE_REPLY  NUMBER, VERDICT, [TEXT]
 *
 * What parses is bounded and its texts are printable; whether a text is a name or an
 * endpoint is for who reads it.
 */
#ifndef DATAPLANE_JOIN_H
#define DATAPLANE_JOIN_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/post.h"
#include "dataplane/route.h"
#include "dataplane/wire.h"

#define JOIN_TEXT_MAX     256 /* terminating zeros included, in all four */
#define JOIN_NAME_MAX     64
#define JOIN_ENDPOINT_MAX 272
#define JOIN_BRIDGE_MAX   16
#define JOIN_PREFIXES_MAX 16 /* of one host */
#define JOIN_SUBNETS_MAX  8
#define JOIN_HOSTS_MAX    24 /* of one message */

struct join_host {
	uint8_t key[KEY_SIZE];
	char name[JOIN_NAME_MAX]; /* empty: none */
	char endpoint[JOIN_ENDPOINT_MAX]; /* likewise */
	bool introducer;
	uint32_t vni; /* not 0: a member of that bridged network, and the prefixes are no routes */
	uint32_t prefix_count;
	struct prefix prefixes[JOIN_PREFIXES_MAX];
};

struct join_message {
	uint8_t type; /* WIRE_CONTROL_JOIN and what follows it */
	bool refused; /* both replies */
	char text[JOIN_TEXT_MAX];
	uint64_t number; /* introductions */
	uint8_t proof[MAC_SIZE]; /* JOIN */
	uint8_t after[KEY_SIZE]; /* JOIN; all zero: from the first on */
	bool end; /* JOIN_REPLY: these are the last hosts */
	char bridge[JOIN_BRIDGE_MAX];
	uint32_t subnet_count;
	struct prefix subnets[JOIN_SUBNETS_MAX];
	uint32_t host_count;
	struct join_host hosts[JOIN_HOSTS_MAX];
};

/* One of the four types. @data may have padding behind the message. */
bool join_parse(const uint8_t *data, uint32_t len, struct join_message *message)
	__attribute__((warn_unused_result));
/*
 * Whether @reply, a JOIN_REPLY, is to @ask: a yes names the host that asked first, and then members
 * behind the one that it asked from. What was asked twice is answered twice.
 */
bool join_answers(const struct join_message *reply, const struct join_message *ask);
/* The length, or 0: it does not fit. */
uint32_t join_format(uint8_t out[POST_SIZE_MAX], const struct join_message *message);

#endif
