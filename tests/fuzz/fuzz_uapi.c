/* SPDX-License-Identifier: MIT */
/*
 * Sets of wg's text protocol on a configuration of three peers. What must hold: a
 * refusal has a reason in one line, and names the line; what is accepted has no
 * prefix twice and no peer that is oneself, finds all its peers and prefixes
 * again, and a copy of it is the same.
 */
#include <errno.h>
#include "crypto/secret.h"
#include "ctl/uapi.h"
#include "fuzz/fuzz.h"

static const char base_text[] =
	"[Interface]\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n"
	"[Network]\nBridge = ovl0\n"
	"[Peer]\nPublicKey = 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=\nName = a\n"
	"AllowedIPs = 10.1.0.0/16, fd00:1::/64, 10.4.0.0/16\n"
	"[Peer]\nPublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
	"AllowedIPs = 10.2.0.0/16\nEndpoint = vpn.example.org:1\n"
	"[Peer]\nPublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n";

static void must_be_sound(const struct config *config)
{
	uint8_t own[KEY_SIZE];

	if (config->has_private_key)
		secret_derive_public(own, config->private_key);
	must(!config->has_private_key || !config_find_peer(config, own));
	for (size_t i = 0; i < config->peer_count; i++) {
		struct config_peer *peer = &config->peers[i];

		must(config_find_peer(config, peer->public_key) == peer);
		for (size_t j = 0; j < peer->allowed_count; j++)
			must(config_find_allowed(config, &peer->allowed[j]) == peer);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config *base;
	const struct config_options options = { .bridge = NULL };
	struct config_error error;
	struct config *config, *copy;
	char *text;

	if (!base)
		must(secret_init() == 0 && config_parse(base_text, sizeof(base_text) - 1, "base",
		                                        &options, &base, &error) == 0);
	config = config_copy(base);
	text = malloc(size + 1);
	must(config && text);
	memcpy(text, data, size);
	int ret = uapi_edit(config, text, size, &error);

	if (ret) {
		must(ret == -EINVAL || ret == -EPROTO);
		must(error.line >= 2 && error.text[0] && !strpbrk(error.text, "\r\n\033"));
	} else {
		must_be_sound(config);
		copy = config_copy(config);
		must(copy && copy->peer_count == config->peer_count);
		must_be_sound(copy);
		must(config_check(copy, &error) == config_check(config, &error));
		config_free(copy);
	}
	free(text);
	config_free(config);
	return 0;
}
