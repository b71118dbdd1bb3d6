/* SPDX-License-Identifier: MIT */
/* Sets of wg's text protocol, as edits of a configuration. */
#include "config_files.h"

#include <stdlib.h>
#include "ctl/uapi.h"

/* The keys of config_files.h in the protocol's spelling. */
#define HEX_OWN  "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
#define HEX_A    "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
#define HEX_B    "0101010101010101010101010101010101010101010101010101010101010101"
#define HEX_ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static struct config_error error;

/* 0 or -errno; @config is edited. */
static int edit(struct config *config, const char *text)
{
	char *copy = strdup(text);
	int ret;

	assert_non_null(copy);
	ret = uapi_edit(config, copy, strlen(copy), &error);
	free(copy);
	return ret;
}

/* Two peers: A with two prefixes, B with one. */
static struct config *two_peers(void)
{
	return parse(HEAD PEER_A "AllowedIPs = 10.1.0.0/16, fd00:1::/64\nPersistentKeepalive = 25\n"
	                         "Endpoint = 192.0.2.1:1000\n" PEER_B "AllowedIPs = 10.2.0.0/16\n");
}

static void test_device(void **state)
{
	struct config *config = two_peers();
	struct config_peer *peer;

	(void)state;
	assert_int_equal(edit(config, "listen_port=4711\nfwmark=51820\n"), 0);
	assert_int_equal(config->listen_port, 4711);
	assert_int_equal(config->fwmark, 51820);
	assert_int_equal(config->peer_count, 2);

	assert_int_equal(edit(config, "private_key=" HEX_ZERO "\n"), 0);
	assert_false(config->has_private_key);
	assert_true(secret_is_zero(config->private_key, KEY_SIZE));

	assert_int_equal(edit(config, "replace_peers=true\npublic_key=" HEX_B "\n"), 0);
	assert_int_equal(config->peer_count, 1);
	peer = peer_of(config, KEY_B);
	assert_non_null(peer);
	assert_int_equal(peer->allowed_count, 0);
	config_free(config);
}

static void test_peer(void **state)
{
	struct config *config = two_peers();
	struct config_peer *a, *b;
	struct prefix prefix = prefix_of("10.1.0.0/16");
	uint32_t serial = peer_of(config, KEY_A)->endpoint_serial;

	(void)state;
	assert_int_equal(edit(config, "public_key=" HEX_A "\npreshared_key=" HEX_B "\n"
	                              "endpoint=[2001:db8::1]:9\npersistent_keepalive_interval=0\n"
	                              "protocol_version=1\nallowed_ip=10.3.0.0/16\n"),
	                 0);
	a = peer_of(config, KEY_A);
	assert_int_equal(a->psk[31], 1);
	assert_true(a->endpoint.numeric);
	assert_int_equal(a->endpoint.port, 9);
	assert_int_equal(a->endpoint_serial, serial + 1);
	assert_int_equal(a->keepalive_s, 0);
	assert_int_equal(a->allowed_count, 3);

	/* The same endpoint again counts: it takes a roamed peer back. */
	assert_int_equal(edit(config, "public_key=" HEX_A "\nendpoint=[2001:db8::1]:9\n"), 0);
	assert_int_equal(peer_of(config, KEY_A)->endpoint_serial, serial + 2);

	/* A prefix moves, as wg has it; "-" takes it away, and only from that peer. */
	assert_int_equal(edit(config, "public_key=" HEX_B "\nallowed_ip=10.1.0.0/16\n"
	                              "allowed_ip=-10.2.0.0/16\nallowed_ip=-10.3.0.0/16\n"
	                              "allowed_ip=+10.4.0.0/16\n"),
	                 0);
	a = peer_of(config, KEY_A);
	b = peer_of(config, KEY_B);
	assert_int_equal(a->allowed_count, 2);
	assert_int_equal(b->allowed_count, 2);
	assert_ptr_equal(config_find_allowed(config, &prefix), b);

	assert_int_equal(edit(config, "public_key=" HEX_A "\nreplace_allowed_ips=true\n"
	                              "allowed_ip=0.0.0.0/0\npublic_key=" HEX_B "\nremove=true\n"),
	                 0);
	assert_int_equal(config->peer_count, 1);
	assert_int_equal(peer_of(config, KEY_A)->allowed_count, 1);
	config_free(config);
}

static void test_skipped_peers(void **state)
{
	struct config *config = two_peers();

	(void)state;
	/* Oneself, with all that may be said of a peer. */
	assert_int_equal(edit(config, "public_key=" HEX_OWN "\nallowed_ip=10.9.0.0/16\n"
	                              "endpoint=192.0.2.9:9\npreshared_key=" HEX_A
	                              "\nreplace_allowed_ips=true\nallowed_ip=-10.1.0.0/16\n"
	                              "persistent_keepalive_interval=1\nupdate_only=true\n"),
	                 0);
	assert_int_equal(config->peer_count, 2);
	assert_int_equal(peer_of(config, KEY_A)->allowed_count, 2);

	assert_int_equal(edit(config, "public_key=" HEX_OWN "\nremove=true\nremove=true\n"), 0);
	assert_int_equal(edit(config, "public_key=" HEX_OWN "\n"), 0);
	assert_int_equal(config->peer_count, 2);

	/* Nobody is made where only an update is meant; what is said of him goes nowhere. */
	assert_int_equal(edit(config,
	                      "public_key=0202020202020202020202020202020202020202020202020202"
	                      "020202020202\nupdate_only=true\nallowed_ip=10.1.0.0/16\n"),
	                 0);
	assert_int_equal(config->peer_count, 2);
	assert_int_equal(peer_of(config, KEY_A)->allowed_count, 2);
	assert_int_equal(edit(config, "public_key=" HEX_A "\nupdate_only=true\n"
	                              "persistent_keepalive_interval=7\n"),
	                 0);
	assert_int_equal(peer_of(config, KEY_A)->keepalive_s, 7);

	/* A peer that was removed is not edited further. */
	assert_int_equal(
		edit(config, "public_key=" HEX_A "\nremove=true\nallowed_ip=10.5.0.0/16\n"), 0);
	assert_int_equal(config->peer_count, 1);
	config_free(config);
}

/* The private key that makes a peer of the file oneself takes that peer away. */
static void test_becomes_oneself(void **state)
{
	struct config *config = parse(
		"[Interface]\nPrivateKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n" NETWORK
		"[Peer]\nPublicKey = " OWN "\nAllowedIPs = 10.1.0.0/16\n" PEER_A);
	char text[256], hex[KEY_HEX_LEN + 1];
	uint8_t key[KEY_SIZE];

	(void)state;
	assert_int_equal(config->peer_count, 2);
	key_of(key, PRIVATE);
	secret_to_hex(hex, key);
	(void)snprintf(text, sizeof(text), "private_key=%s\n", hex);
	assert_int_equal(edit(config, text), 0);
	assert_int_equal(config->peer_count, 1);
	assert_null(peer_of(config, OWN));
	assert_int_equal(config_check(config, &error), 0);
	config_free(config);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		unsigned int line;
		int ret;
	} cases[] = {
		{ "listen_port=65536\n", 2, -EINVAL },
		{ "listen_port=-1\n", 2, -EINVAL },
		{ "listen_port=\n", 2, -EINVAL },
		{ "listen_port= 1\n", 2, -EINVAL },
		{ "listen_port=18446744073709551617\n", 2, -EINVAL },
		{ "fwmark=4294967296\n", 2, -EINVAL },
		{ "replace_peers=false\n", 2, -EINVAL },
		{ "private_key=00\n", 2, -EINVAL },
		{ "private_key=" HEX_A "00\n", 2, -EINVAL },
		{ "no_such_key=1\n", 2, -EINVAL },
		{ "remove=true\n", 2, -EINVAL },
		{ "listen_port\n", 2, -EPROTO },
		{ "listen_port=1", 2, -EPROTO },
		{ "public_key=" HEX_A "\nlisten_port=1\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nremove=false\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nupdate_only=1\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nprotocol_version=2\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\npersistent_keepalive_interval=off\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nallowed_ip=10.0.0.0/33\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nallowed_ip=\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nallowed_ip=--10.0.0.0/8\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nendpoint=example.org:1\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\nendpoint=192.0.2.1\n", 3, -EINVAL },
		{ "public_key=" HEX_A "\npreshared_key=xyz\n", 3, -EINVAL },
		{ "public_key=" HEX_OWN "\nallowed_ip=x\n", 3, -EINVAL },
		{ "public_key=beef\n", 2, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config *config = two_peers();

		if (edit(config, cases[i].text) != cases[i].ret || error.line != cases[i].line)
			fail_msg("%s line %u: %s", cases[i].text, error.line, error.text);
		config_free(config);
	}
}

/* A byte of zero would end a line too early for whoever reads it as text. */
static void test_zero_byte(void **state)
{
	struct config *config = two_peers();
	char text[] = "listen_port=1\0 2\n";

	(void)state;
	assert_int_equal(uapi_edit(config, text, sizeof(text) - 1, &error), -EPROTO);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device),        cmocka_unit_test(test_peer),
		cmocka_unit_test(test_skipped_peers), cmocka_unit_test(test_becomes_oneself),
		cmocka_unit_test(test_refused),       cmocka_unit_test(test_zero_byte),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
