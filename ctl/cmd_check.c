/* SPDX-License-Identifier: MIT */
/* check: reads a configuration as ovltund would, and says what it holds. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include "ctl/config.h"
#include "ctl/text.h"

#define MESSAGE_MAX 1024

static void print_message(const char *kind, const struct config_error *error)
{
	char message[MESSAGE_MAX];

	config_error_format(error, message, sizeof(message));
	fprintf(stderr, "%s%s\n", kind, message);
}

static void print_warning(void *arg, const struct config_error *warning)
{
	(void)arg;
	print_message("warning: ", warning);
}

static void print_prefixes(const char *what, const struct prefix *list, size_t count)
{
	char text[PREFIX_TEXT_MAX];

	if (count == 0)
		return;
	printf(", %s", what);
	for (size_t i = 0; i < count; i++) {
		prefix_format(&list[i], text);
		printf("%s %s", i ? "," : "", text);
	}
}

static size_t count_members(const struct config *config, const struct config_network *network)
{
	size_t count = 0;

	for (size_t i = 0; i < config->peer_count; i++)
		count += config_peer_has_vni(&config->peers[i], network->vni);
	return count;
}

static void print_network(const struct config *config, const struct config_network *network)
{
	printf("network %s: bridge %s", network->name, network->bridge);
	if (network->bridged) {
		size_t members = count_members(config, network);

		printf(", bridged, VNI %u, %zu member%s", network->vni, members,
		       members == 1 ? "" : "s");
	}
	print_prefixes("subnet", network->subnets, network->subnet_count);
	print_prefixes("range", network->ranges, network->range_count);
	if (network->mtu == CONFIG_MTU_AUTO)
		puts(", MTU auto");
	else
		printf(", MTU %u\n", network->mtu);
}

static void print_peers(const struct config *config)
{
	size_t prefixes = 0, endpoints = 0, names = 0;

	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		prefixes += peer->allowed_count;
		endpoints += peer->endpoint.host[0] != '\0';
		names += peer->endpoint.host[0] != '\0' && !peer->endpoint.numeric;
	}
	printf("peers: %zu, with %zu prefix%s and %zu endpoint%s", config->peer_count, prefixes,
	       prefixes == 1 ? "" : "es", endpoints, endpoints == 1 ? "" : "s");
	if (names > 0)
		printf(", %zu of them by name", names);
	putchar('\n');
}

static void print_summary(const char *path, const struct config *config)
{
	uint8_t public_key[KEY_SIZE];
	char key[KEY_BASE64_LEN + 1];

	secret_derive_public(public_key, config->private_key);
	secret_to_base64(key, public_key);
	printf("%s: valid\npublic key: %s\n", path, key);
	if (config->listen_port)
		printf("port: %u\n", config->listen_port);
	else
		puts("port: any");
	for (size_t i = 0; i < config->network_count; i++)
		print_network(config, &config->networks[i]);
	print_peers(config);
}

/* False: misused. */
static bool parse_arguments(int argc, char **argv, const char **path, const char **bridge)
{
	static const char option[] = "--bridge";

	*path = *bridge = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], option) == 0 && i + 1 < argc && !*bridge)
			*bridge = argv[++i];
		else if (strncmp(argv[i], "--bridge=", sizeof(option)) == 0 && !*bridge)
			*bridge = argv[i] + sizeof(option);
		else if (argv[i][0] == '-' || *path)
			return false;
		else
			*path = argv[i];
	}
	return *path;
}

int cmd_check(int argc, char **argv)
{
	struct config_options options = { .warn = print_warning, .any_file = true };
	struct config_error error;
	struct config *config;
	const char *path;

	if (!parse_arguments(argc, argv, &path, &options.bridge))
		return ovlctl_usage(argv[0]);
	if (config_load(path, &options, &config, &error)) {
		print_message("", &error);
		return OVLCTL_USAGE;
	}
	print_summary(path, config);
	config_free(config);
	return OVLCTL_OK;
}
