/* SPDX-License-Identifier: MIT */
/*
 * peers.conf. The first byte chooses whether --bridge was given, the rest is the
 * file. What must hold: a refusal is one line of text; what is accepted passes
 * the check, alone and as a copy, finds all its peers and prefixes again, lives
 * through edits, and means the same when ovlctl has read it and sent it.
 */
#include <errno.h>
#include "crypto/secret.h"
#include "ctl/buffer.h"
#include "ctl/config.h"
#include "ctl/differences.h"
#include "fuzz/fuzz.h"

static void must_be_a_line(const struct config_error *error)
{
	char message[sizeof(error->file) + sizeof(error->text) + 32];

	config_error_format(error, message, sizeof(message));
	must(error->text[0] != '\0');
	must(strpbrk(message, "\n\r\t\033") == NULL);
	must(strlen(message) < sizeof(message) - 1);
}

static void keep_warning(void *arg, const struct config_error *warning)
{
	unsigned int *count = arg;

	(*count)++;
	must_be_a_line(warning);
}

static void must_find_all(const struct config *config)
{
	struct config_error error;

	for (size_t i = 0; i < config->peer_count; i++) {
		struct config_peer *peer = &config->peers[i];
		char text[KEY_BASE64_LEN + 1];

		secret_to_base64(text, peer->public_key);
		must(config_find_peer(config, peer->public_key) == peer);
		must(config_find_peer_text(config, text, &error) == peer);
		must(!peer->name[0] || config_find_peer_text(config, peer->name, &error) == peer);
		for (size_t j = 0; j < peer->allowed_count; j++)
			must(config_find_allowed(config, &peer->allowed[j]) == peer);
		for (size_t j = 0; j < peer->vni_count; j++)
			must(config_peer_has_vni(peer, peer->vnis[j]));
	}
	for (size_t i = 0; i < config->network_count; i++) {
		struct config_network *network = &config->networks[i];

		must(!network->bridged || (network->vni > 0 && network->vni <= CONFIG_VNI_MAX));
		must(network->bridged || network->station_count == 0);
		for (size_t j = 0; j < network->station_count; j++)
			must(config_find_station(network, &network->stations[j].key) ==
			     &network->stations[j]);
	}
}

/* All prefixes to the first peer, then one peer after the other away. */
static void edit(struct config *config)
{
	size_t total = 0;

	for (size_t i = 0; i < config->peer_count; i++)
		total += config->peers[i].allowed_count;
	for (size_t i = 1; i < config->peer_count; i++) {
		while (config->peers[i].allowed_count > 0) {
			struct prefix prefix = config->peers[i].allowed[0];

			must(config_move_allowed(config, &config->peers[0], &prefix) == 0);
		}
	}
	must(config->peer_count == 0 || config->peers[0].allowed_count == total);
	must_find_all(config);
	while (config->peer_count > 0) {
		config_remove_peer(config, &config->peers[config->peer_count / 2]);
		must_find_all(config);
	}
}

/* ovlctl sync: read without --bridge, sent without comments and key files, read again. */
static void must_mean_the_same(const char *text, size_t size, const char *bridge,
                               const struct config *config)
{
	struct buffer sent;
	const struct config_options there = { .sent = &sent };
	const struct config_options here = { .bridge = bridge, .no_key_files = true };
	struct config *first = NULL, *second = NULL;
	struct difference_counts counts, none;
	struct config_error error;

	buffer_init(&sent, 2 * size + 4096);
	must(config_parse(text, size, "p.conf", &there, &first, &error) == 0);
	must(config_parse(sent.data, sent.len, "p.conf", &here, &second, &error) == 0);
	memset(&none, 0, sizeof(none));
	differences_list(config, second, NULL, NULL, &counts);
	must(memcmp(&counts, &none, sizeof(none)) == 0);
	buffer_fini(&sent);
	config_free(first);
	config_free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int warnings = 0;
	struct config_options options = { .warn = keep_warning, .warn_arg = &warnings };
	struct config_error error = { .text = "" };
	struct config *config = NULL, *copy;
	int err;

	if (size == 0 || secret_init())
		return 0;
	options.bridge = data[0] & 1 ? "ovl0" : NULL;
	err = config_parse((const char *)data + 1, size - 1, "p.conf", &options, &config, &error);
	if (err) {
		must(err == -EINVAL);
		must_be_a_line(&error);
		return 0;
	}
	must(config->has_private_key && config->network_count > 0);
	must(config_check(config, &error) == 0);
	must_find_all(config);
	must_mean_the_same((const char *)data + 1, size - 1, options.bridge, config);
	copy = config_copy(config);
	must(copy && config_check(copy, &error) == 0);
	edit(copy);
	config_free(copy);
	must_find_all(config);
	config_free(config);
	return 0;
}
