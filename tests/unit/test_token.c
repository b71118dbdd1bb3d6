/* SPDX-License-Identifier: MIT */
/* Tokens: what is carried, and that none which was copied wrongly is taken. */
#include "unit.h"

#include <stdio.h>
#include <string.h>
#include "crypto/secret.h"
#include "ctl/token.h"

static void fill(struct token *token)
{
	memset(token, 0, sizeof(*token));
	token->expires_s = 1763744400;
	memset(token->introducer, 0x17, KEY_SIZE);
	memset(token->secret, 0x2a, KEY_SIZE);
	assert_true(prefix_parse(&token->range, "172.20.104.0/22"));
	token->part_len = 24;
	token->endpoint_count = 2;
	strcpy(token->endpoints[0], "10.10.10.101:12345");
	strcpy(token->endpoints[1], "[fd10::101]:12345");
}

static void test_what_goes_in_comes_out(void **state)
{
	struct token token, again;
	char text[TOKEN_TEXT_MAX];

	(void)state;
	fill(&token);
	assert_true(token_format(&token, text));
	assert_int_equal(strncmp(text, "ovl1-", 5), 0);
	assert_null(strpbrk(text + 5, " \n+/="));
	assert_null(token_parse(&again, text));
	assert_memory_equal(&again, &token, sizeof(token));
	assert_true(prefix_parse(&token.range, "fd20:0:4::/48"));
	token.part_len = 64;
	assert_true(token_format(&token, text));
	assert_null(token_parse(&again, text));
	assert_memory_equal(&again, &token, sizeof(token));
}

static void assert_refused(const char *text)
{
	static const struct token wiped;
	struct token token;

	assert_non_null(token_parse(&token, text));
	assert_memory_equal(&token, &wiped, sizeof(token));
}

static void test_every_truncation_is_refused(void **state)
{
	struct token token;
	char text[TOKEN_TEXT_MAX];

	(void)state;
	fill(&token);
	assert_true(token_format(&token, text));
	for (size_t len = strlen(text); len-- > 0;) {
		text[len] = '\0';
		assert_refused(text);
	}
}

/* Each bit of each character, the prefix's too. */
static void test_every_flipped_bit_is_refused(void **state)
{
	struct token token;
	char text[TOKEN_TEXT_MAX];

	(void)state;
	fill(&token);
	assert_true(token_format(&token, text));
	for (size_t at = 0; at < strlen(text); at++) {
		char was = text[at];

		for (int bit = 0; bit < 8; bit++) {
			text[at] = (char)(was ^ 1 << bit);
			if (text[at])
				assert_refused(text);
		}
		text[at] = was;
	}
}

static void test_what_people_do_to_lines(void **state)
{
	struct token token;
	char text[TOKEN_TEXT_MAX], other[TOKEN_TEXT_MAX + 2];
	size_t len;

	(void)state;
	fill(&token);
	assert_true(token_format(&token, text));
	len = strlen(text);
	(void)snprintf(other, sizeof(other), "%sA", text);
	assert_refused(other);
	(void)snprintf(other, sizeof(other), " %s", text);
	assert_refused(other);
	/* Two neighbours swapped. */
	for (size_t at = 5; at + 1 < len; at++) {
		if (text[at] == text[at + 1])
			continue;
		strcpy(other, text);
		other[at] = text[at + 1];
		other[at + 1] = text[at];
		assert_refused(other);
	}
	assert_refused("");
	assert_refused("ovl1-");
	assert_refused("ovl2-AAAA");
	memset(other, 'A', sizeof(other) - 1);
	memcpy(other, "ovl1-", 5);
	other[sizeof(other) - 1] = '\0';
	assert_refused(other);
}

static void test_what_contradicts_itself_is_refused(void **state)
{
	static const struct {
		const char *what;
		uint8_t part_len;
		unsigned int endpoint_count;
		const char *endpoint;
	} rows[] = {
		{ "a part larger than the range", 21, 1, "a:1" },
		{ "a part of no address", 33, 1, "a:1" },
		{ "no endpoint", 24, 0, "a:1" },
		{ "an endpoint that is none", 24, 1, "nowhere" },
	};
	char text[TOKEN_TEXT_MAX];
	struct token token;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fill(&token);
		token.part_len = rows[i].part_len;
		token.endpoint_count = rows[i].endpoint_count;
		strcpy(token.endpoints[0], rows[i].endpoint);
		assert_true(token_format(&token, text));
		assert_refused(text);
	}
}

/* The introducer keeps what follows from the secret, and not the secret. */
static void test_keys_follow_from_the_secret(void **state)
{
	struct token token;
	struct token_keys keys, again, other;
	uint8_t public_key[KEY_SIZE];

	(void)state;
	fill(&token);
	token_derive(&token, &keys);
	token_derive(&token, &again);
	assert_memory_equal(&keys, &again, sizeof(keys));
	secret_derive_public(public_key, keys.private_key);
	assert_memory_equal(public_key, keys.public_key, KEY_SIZE);
	assert_memory_not_equal(keys.psk, keys.private_key, KEY_SIZE);
	assert_memory_not_equal(keys.private_key, token.secret, KEY_SIZE);
	token.secret[31] ^= 1;
	token_derive(&token, &other);
	assert_memory_not_equal(other.public_key, keys.public_key, KEY_SIZE);
	assert_memory_not_equal(other.psk, keys.psk, KEY_SIZE);
}

static void test_only_who_has_the_key_proves_it(void **state)
{
	static const uint8_t low_order[KEY_SIZE];
	uint8_t host[KEY_SIZE], introducer[KEY_SIZE], host_public[KEY_SIZE];
	uint8_t introducer_public[KEY_SIZE], invited[KEY_SIZE] = { 1 };
	uint8_t made[MAC_SIZE], wanted[MAC_SIZE];

	(void)state;
	secret_generate_private(host);
	secret_generate_private(introducer);
	secret_derive_public(host_public, host);
	secret_derive_public(introducer_public, introducer);
	assert_true(token_prove(made, host, introducer_public, invited, introducer_public,
	                        host_public));
	assert_true(token_prove(wanted, introducer, host_public, invited, introducer_public,
	                        host_public));
	assert_memory_equal(made, wanted, MAC_SIZE);
	/* With another token it is worth nothing. */
	invited[0] = 2;
	assert_true(token_prove(wanted, introducer, host_public, invited, introducer_public,
	                        host_public));
	assert_memory_not_equal(made, wanted, MAC_SIZE);
	assert_false(
		token_prove(made, introducer, low_order, invited, introducer_public, low_order));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_goes_in_comes_out),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_every_flipped_bit_is_refused),
		cmocka_unit_test(test_what_people_do_to_lines),
		cmocka_unit_test(test_what_contradicts_itself_is_refused),
		cmocka_unit_test(test_keys_follow_from_the_secret),
		cmocka_unit_test(test_only_who_has_the_key_proves_it),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
