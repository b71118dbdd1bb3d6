/* SPDX-License-Identifier: MIT */
/* Edits of a configuration: many of them, their check, and a twin that is slow and obvious. */
#include "config_files.h"

#include <stdlib.h>

/* --- many --- */

#define MANY_PEERS    10000U
#define MANY_PREFIXES 130560U

/* Ten thousand peers that share out 10.x.y.z/32, thirteen in a line each, the first gets the rest. */
static char *many_text(size_t *len)
{
	char *text;
	FILE *out = open_memstream(&text, len);
	uint32_t next = 0;

	assert_non_null(out);
	fputs(HEAD, out);
	for (uint32_t i = 0; i < MANY_PEERS; i++) {
		uint32_t count = i ? 13 : MANY_PREFIXES - 13 * (MANY_PEERS - 1);
		char base64[KEY_BASE64_LEN + 1];
		uint8_t key[KEY_SIZE];

		number_key(key, i);
		secret_to_base64(base64, key);
		fprintf(out, "[Peer]\nPublicKey = %s\nName = peer-%u\nAllowedIPs = ", base64, i);
		for (uint32_t j = 0; j < count; j++, next++)
			fprintf(out, "%s10.%u.%u.%u/32", j ? ", " : "", next >> 16,
			        next >> 8 & 0xff, next & 0xff);
		fputc('\n', out);
	}
	fclose(out);
	return text;
}

static void test_many(void **state)
{
	size_t len, prefixes = 0;
	char *text = many_text(&len);
	struct config *config = parse_with(text, len, NULL), *copy;
	struct config_error error;
	uint8_t key[KEY_SIZE];

	(void)state;
	free(text);
	assert_non_null(config);
	copy = config_copy(config);
	config_free(config);
	assert_non_null(copy);
	assert_int_equal(copy->peer_count, MANY_PEERS);
	for (uint32_t i = 0; i < MANY_PEERS; i++) {
		number_key(key, i);
		assert_ptr_equal(config_find_peer(copy, key), &copy->peers[i]);
		prefixes += copy->peers[i].allowed_count;
	}
	assert_int_equal(prefixes, MANY_PREFIXES);
	assert_int_equal(config_check(copy, &error), 0);
	/* All of it to one peer, one at a time, then every peer away. */
	number_key(key, MANY_PEERS);
	assert_non_null(config_add_peer(copy, key));
	for (uint32_t next = 0; next < MANY_PREFIXES; next++) {
		struct prefix prefix = {
			.family = 4,
			.len = 32,
			.addr = { 10, (uint8_t)(next >> 16), (uint8_t)(next >> 8), (uint8_t)next },
		};

		assert_int_equal(config_move_allowed(copy, config_find_peer(copy, key), &prefix),
		                 0);
	}
	assert_int_equal(config_find_peer(copy, key)->allowed_count, MANY_PREFIXES);
	assert_int_equal(config_check(copy, &error), 0);
	while (copy->peer_count > 0)
		config_remove_peer(copy, &copy->peers[0]);
	config_free(copy);
}

/* --- edits --- */

static void test_find_peer_text(void **state)
{
	struct config *config =
		parse(HEAD PEER_A "Name = barge1\n" PEER_B "[Peer]\nPublicKey = "
	                          "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQI=\nName = AQEB\n");
	struct config_error error;
	static const struct {
		const char *text;
		const char *error;
	} rows[] = {
		{ "barge2", "no peer \"barge2\"; did you mean \"barge1\"?" },
		{ "3p7", "no peer \"3p7\"; expected a name or a public key" },
		{ "", "no peer \"\"; expected a name or a public key" },
		{ "AQEBAQ", "\"AQEBAQ\" is the beginning of 2 peers' keys: give more of it" },
		{ KEY_C,
		  "no peer (not shown: it could be a key); expected a name or a public key" },
	};

	(void)state;
	assert_ptr_equal(config_find_peer_text(config, "barge1", &error), &config->peers[0]);
	assert_ptr_equal(config_find_peer_text(config, KEY_A, &error), &config->peers[0]);
	assert_ptr_equal(config_find_peer_text(config, "3p7b", &error), &config->peers[0]);
	assert_ptr_equal(config_find_peer_text(config, "AQEB", &error), &config->peers[2]);
	assert_ptr_equal(config_find_peer_text(config, KEY_B, &error), &config->peers[1]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(config_find_peer_text(config, rows[i].text, &error));
		config_error_format(&error, last_error, sizeof(last_error));
		assert_string_equal(last_error, rows[i].error);
	}
	config_free(config);
}

static void test_move_allowed(void **state)
{
	struct config *config =
		parse(HEAD PEER_A "AllowedIPs = 10.0.0.0/8, 11.0.0.0/8, 12.0.0.0/8\n" PEER_B
	                          "AllowedIPs = 13.0.0.0/8\n");
	struct config_peer *a = peer_of(config, KEY_A), *b = peer_of(config, KEY_B);
	struct prefix ten = prefix_of("10.0.0.0/8"), other = prefix_of("10.0.0.0/9");
	struct config_error error;

	(void)state;
	assert_ptr_equal(config_find_allowed(config, &ten), a);
	assert_null(config_find_allowed(config, &other));
	assert_int_equal(config_move_allowed(config, b, &ten), 0);
	assert_ptr_equal(config_find_allowed(config, &ten), b);
	assert_int_equal(a->allowed_count, 2);
	assert_int_equal(b->allowed_count, 2);
	assert_int_equal(config_move_allowed(config, b, &ten), 0);
	assert_int_equal(b->allowed_count, 2);
	assert_int_equal(config_check(config, &error), 0);
	/* adding is not moving: the check says so */
	assert_int_equal(config_peer_add_allowed(a, &ten), 0);
	assert_int_equal(config_check(config, &error), -EINVAL);
	assert_string_equal(error.text,
	                    "AllowedIPs \"10.0.0.0/8\" is claimed by peer " KEY_A " too");
	assert_false(config_peer_remove_allowed(a, &other));
	assert_true(config_peer_remove_allowed(a, &ten));
	assert_false(config_peer_remove_allowed(a, &ten));
	assert_int_equal(config_check(config, &error), 0);
	config_free(config);
}

static void test_edit_is_checked(void **state)
{
	struct config *config = parse(HEAD "Range = 10.1.0.0/16\n" PEER_A), *copy;
	struct prefix prefix = prefix_of("10.1.2.0/24");
	struct config_error error;
	uint8_t own[KEY_SIZE];

	(void)state;
	copy = config_copy(config);
	assert_int_equal(config_peer_add_allowed(peer_of(copy, KEY_A), &prefix), 0);
	assert_int_equal(config_check(copy, &error), -EINVAL);
	config_free(copy);

	copy = config_copy(config);
	key_of(own, OWN);
	assert_non_null(config_add_peer(copy, own));
	assert_int_equal(config_check(copy, &error), -EINVAL);
	copy->has_private_key = false; /* wg may take it away */
	assert_int_equal(config_check(copy, &error), 0);
	config_free(copy);

	copy = config_copy(config);
	strcpy(peer_of(copy, KEY_A)->name, "a b");
	assert_int_equal(config_check(copy, &error), -EINVAL);
	config_free(copy);
	assert_int_equal(config_check(config, &error), 0); /* untouched by all that */
	config_free(config);
}

#define TWIN_PEERS    8U
#define TWIN_PREFIXES 32U

static struct prefix twin_prefix(uint32_t i)
{
	struct prefix prefix = { .family = 4, .len = 32, .addr = { 10, 0, 0, (uint8_t)i } };

	return prefix;
}

/* The twin: who is there, and who claims what. */
static bool twin_peers[TWIN_PEERS], twin_claims[TWIN_PEERS][TWIN_PREFIXES];

static void twin_compare(const struct config *config)
{
	for (uint32_t i = 0; i < TWIN_PEERS; i++) {
		const struct config_peer *peer;
		uint8_t key[KEY_SIZE];
		size_t count = 0;

		number_key(key, i);
		peer = config_find_peer(config, key);
		assert_int_equal(peer != NULL, twin_peers[i]);
		if (!peer)
			continue;
		for (uint32_t j = 0; j < TWIN_PREFIXES; j++)
			count += twin_claims[i][j];
		assert_int_equal(peer->allowed_count, count);
		for (size_t j = 0; j < peer->allowed_count; j++)
			assert_true(twin_claims[i][peer->allowed[j].addr[3]]);
	}
}

/* One random edit of both. */
static void twin_edit(struct config *config, uint32_t i, uint32_t j, uint64_t choice)
{
	struct prefix prefix = twin_prefix(j);
	struct config_peer *peer;
	uint8_t key[KEY_SIZE];

	number_key(key, i);
	peer = config_add_peer(config, key);
	assert_non_null(peer);
	twin_peers[i] = true;
	if (choice == 0) {
		config_remove_peer(config, peer);
		twin_peers[i] = false;
		memset(twin_claims[i], 0, sizeof(twin_claims[i]));
	} else if (choice == 1) {
		config_peer_clear_allowed(peer);
		memset(twin_claims[i], 0, sizeof(twin_claims[i]));
	} else if (choice < 6) {
		assert_int_equal(config_peer_remove_allowed(peer, &prefix), twin_claims[i][j]);
		twin_claims[i][j] = false;
	} else if (choice < 10) {
		assert_int_equal(config_move_allowed(config, peer, &prefix), 0);
		for (uint32_t k = 0; k < TWIN_PEERS; k++)
			twin_claims[k][j] = k == i;
	} else {
		assert_int_equal(config_peer_add_allowed(peer, &prefix), 0);
		twin_claims[i][j] = true;
	}
}

static void test_edits_against_twin(void **state)
{
	struct config *config = parse(HEAD), *copy;
	uint64_t seed = 0x6f766c74756e;

	(void)state;
	for (unsigned int round = 0; round < 20000; round++) {
		twin_edit(config, (uint32_t)(unit_random(&seed) % TWIN_PEERS),
		          (uint32_t)(unit_random(&seed) % TWIN_PREFIXES), unit_random(&seed) % 16);
		if (round % 8 == 0) {
			copy = config_copy(config);
			config_free(config);
			config = copy;
		}
		twin_compare(config);
	}
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_find_peer_text),
		cmocka_unit_test(test_move_allowed),
		cmocka_unit_test(test_edit_is_checked),
		cmocka_unit_test(test_edits_against_twin),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
