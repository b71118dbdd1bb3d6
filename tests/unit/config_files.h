/* SPDX-License-Identifier: MIT */
/* Keys, beginnings of files, and how the tests of config read them. */
#ifndef TESTS_UNIT_CONFIG_FILES_H
#define TESTS_UNIT_CONFIG_FILES_H

#include <errno.h>
#include <stdio.h>
#include "unit.h"
#include "ctl/config.h"

/* RFC 7748 section 6.1: Alice's pair, and Bob's public key. Then keys of plain bytes. */
#define PRIVATE   "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
#define OWN       "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
#define KEY_A     "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
#define KEY_B     "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY_C     "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define INTERFACE "[Interface]\nPrivateKey = " PRIVATE "\n"
#define NETWORK   "[Network]\nBridge = ovl0\n"
#define HEAD      INTERFACE NETWORK /* 4 lines */
#define PEER_A    "[Peer]\nPublicKey = " KEY_A "\n" /* 2 lines */
#define PEER_B    "[Peer]\nPublicKey = " KEY_B "\n"

static char last_error[1024];

static inline struct config *parse_with(const char *text, size_t len, const char *bridge)
{
	struct config_options options = { .bridge = bridge };
	struct config_error error = { .text = "no error" };
	struct config *config = NULL;
	int err = config_parse(text, len, "p.conf", &options, &config, &error);

	assert_true(err == 0 || err == -EINVAL);
	assert_int_equal(err == 0, config != NULL);
	config_error_format(&error, last_error, sizeof(last_error));
	return config;
}

static inline struct config *parse(const char *text)
{
	struct config *config = parse_with(text, strlen(text), NULL);

	if (!config)
		fail_msg("%s\n%s", last_error, text);
	return config;
}

static inline struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	assert_true(prefix_parse(&prefix, text));
	return prefix;
}

static inline void key_of(uint8_t key[KEY_SIZE], const char *base64)
{
	assert_true(secret_from_base64(key, base64, strlen(base64)));
}

static inline struct config_peer *peer_of(const struct config *config, const char *base64)
{
	uint8_t key[KEY_SIZE];

	key_of(key, base64);
	return config_find_peer(config, key);
}

/* Any number of keys, all different. */
static inline void number_key(uint8_t key[KEY_SIZE], uint32_t number)
{
	memset(key, 0x5a, KEY_SIZE);
	memcpy(key + 8, &number, sizeof(number));
}

#endif
