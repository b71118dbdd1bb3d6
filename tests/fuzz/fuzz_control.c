/* SPDX-License-Identifier: MIT */
/*
 * Requests on the control socket, as bytes on the wire: what changes peers and
 * routes is done to a configuration of three peers, what asks is looked up and
 * not run. What must hold: every refusal is a reply of the documented form that
 * can be printed; a configuration that came out of a good change finds all its
 * peers and prefixes again.
 */
#include <errno.h>
#include "crypto/secret.h"
#include "ctl/json_memory.h"
#include "ctl/server.h"
#include "fuzz/fuzz.h"

static const char base_text[] =
	"[Interface]\nPrivateKey = dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n"
	"[Network]\nBridge = ovl0\n"
	"[Network]\nBridge = ovl7\nMode = bridged\nVNI = 7\nFDB = 02:00:00:00:00:05 a\n"
	"[Peer]\nPublicKey = 3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=\nName = a\n"
	"VNIs = 7\nAllowedIPs = 10.1.0.0/16, fd00:1::/64, 10.4.0.0/16\n"
	"[Peer]\nPublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\nName = b\n"
	"AllowedIPs = 10.2.0.0/16\nEndpoint = vpn.example.org:1\n"
	"[Peer]\nPublicKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\nName = c\n";

static struct config *base;

static void must_print(json_t *reply, struct buffer *out)
{
	must(reply != NULL);
	must(json_memory_put(reply, out));
	/* One line. */
	must(memchr(out->data, '\n', out->len) == out->data + out->len - 1);
	json_decref(reply);
}

static void must_be_refusal(const json_t *reply)
{
	json_int_t status = json_integer_value(json_object_get(reply, "exit"));

	must(json_is_false(json_object_get(reply, "ok")));
	must(status == SERVER_EXIT_RUNTIME || status == SERVER_EXIT_USAGE);
	must(json_string_length(json_object_get(reply, "error")) > 0);
}

static void must_be_sound(const struct config *config)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		struct config_peer *peer = &config->peers[i];

		must(memchr(peer->name, '\0', sizeof(peer->name)) != NULL);
		must(config_find_peer(config, peer->public_key) == peer);
		for (size_t j = 0; j < peer->allowed_count; j++)
			must(config_find_allowed(config, &peer->allowed[j]) == peer);
	}
	for (size_t i = 0; i < config->network_count; i++) {
		const struct config_network *network = &config->networks[i];

		for (size_t j = 0; j < network->station_count; j++)
			must(config_find_station(network, &network->stations[j].key) ==
			     &network->stations[j]);
	}
}

static void prepare(void)
{
	const struct config_options options = { .bridge = NULL };
	struct config_error error;

	json_memory_init();
	must(secret_init() == 0);
	must(config_parse(base_text, sizeof(base_text) - 1, "base", &options, &base, &error) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config_error error = { .line = 0 };
	struct buffer out;
	json_t *request, *reply;

	if (!base)
		prepare();
	struct state state = { .name = "fuzz", .config = base };
	struct config *config = config_copy(base);

	must(config != NULL);
	buffer_init(&out, SERVER_REPLY_MAX);
	request = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	if (!request) {
		must(server_reply(&state, (const char *)data, size, &out));
		reply = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
		must(reply != NULL);
		must_be_refusal(reply);
		json_decref(reply);
	} else if ((reply = server_edit(config, request))) {
		must_be_refusal(reply);
		must_print(reply, &out);
	} else {
		must_be_sound(config);
		if (config_check(config, &error))
			must(error.text[0] != '\0');
	}
	json_decref(request);
	config_free(config);
	buffer_fini(&out);
	return 0;
}
