/* SPDX-License-Identifier: MIT */
/* check: reads a configuration as ovltund would, and says what it holds. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/config.h"
#include "ctl/json_memory.h"
#include "ctl/text.h"

#define MESSAGE_MAX 1024

struct arguments {
	const char *path, *bridge;
	bool json;
};

/* @arg: the list that they are kept in, too. */
static void print_warning(void *arg, const struct config_error *warning)
{
	char message[MESSAGE_MAX];

	config_error_format(warning, message, sizeof(message));
	fprintf(stderr, "warning: %s\n", message);
	json_array_append_new(arg, json_pack("{s:i, s:o}", "line", (int)warning->line, "text",
	                                     json_memory_text(warning->text)));
}

/* --- the numbers --- */

struct numbers {
	size_t prefixes, endpoints, names;
};

static struct numbers count(const struct config *config)
{
	struct numbers numbers = { .prefixes = 0 };

	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		numbers.prefixes += peer->allowed_count;
		numbers.endpoints += peer->endpoint.host[0] != '\0';
		numbers.names += peer->endpoint.host[0] != '\0' && !peer->endpoint.numeric;
	}
	return numbers;
}

static size_t count_members(const struct config *config, const struct config_network *network)
{
	size_t members = 0;

	for (size_t i = 0; i < config->peer_count; i++)
		members += config_peer_has_vni(&config->peers[i], network->vni);
	return members;
}

static void format_public_key(const struct config *config, char out[KEY_BASE64_LEN + 1])
{
	uint8_t public_key[KEY_SIZE];

	secret_derive_public(public_key, config->private_key);
	secret_to_base64(out, public_key);
}

/* --- as text --- */

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
	struct numbers numbers = count(config);

	printf("peers: %zu, with %zu prefix%s and %zu endpoint%s", config->peer_count,
	       numbers.prefixes, numbers.prefixes == 1 ? "" : "es", numbers.endpoints,
	       numbers.endpoints == 1 ? "" : "s");
	if (numbers.names > 0)
		printf(", %zu of them by name", numbers.names);
	putchar('\n');
}

static void print_summary(const char *path, const struct config *config)
{
	char key[KEY_BASE64_LEN + 1];

	format_public_key(config, key);
	printf("%s: valid\npublic key: %s\n", path, key);
	if (config->listen_port)
		printf("port: %u\n", config->listen_port);
	else
		puts("port: any");
	for (size_t i = 0; i < config->network_count; i++)
		print_network(config, &config->networks[i]);
	print_peers(config);
}

/* --- as JSON --- */

static json_t *make_prefixes(const struct prefix *list, size_t prefix_count)
{
	json_t *array = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < prefix_count; i++) {
		prefix_format(&list[i], text);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

/* Under the names that show has for them. */
static json_t *make_network(const struct config *config, const struct config_network *network)
{
	json_t *object = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I}", "name", network->name, "mode",
	                           network->bridged ? "bridged" : "routed", "bridge",
	                           json_memory_text(network->bridge), "subnets",
	                           make_prefixes(network->subnets, network->subnet_count), "ranges",
	                           make_prefixes(network->ranges, network->range_count), "mtu",
	                           (json_int_t)network->mtu);

	if (network->bridged) {
		json_object_set_new(object, "vni", json_integer(network->vni));
		json_object_set_new(object, "members",
		                    json_integer((json_int_t)count_members(config, network)));
	}
	return object;
}

static int print_json(const char *path, const struct config *config, json_t *warnings)
{
	struct numbers numbers = count(config);
	json_t *networks = json_array(), *object;
	char key[KEY_BASE64_LEN + 1];
	int status;

	format_public_key(config, key);
	for (size_t i = 0; i < config->network_count; i++)
		json_array_append_new(networks, make_network(config, &config->networks[i]));
	object = json_pack("{s:b, s:i, s:o, s:s, s:i, s:o, s:I, s:I, s:I, s:I, s:O}", "ok", 1,
	                   "version", 1, "file", json_memory_text(path), "public_key", key,
	                   "listen_port", (int)config->listen_port, "networks", networks,
	                   "peer_count", (json_int_t)config->peer_count, "prefix_count",
	                   (json_int_t)numbers.prefixes, "endpoint_count",
	                   (json_int_t)numbers.endpoints, "endpoint_name_count",
	                   (json_int_t)numbers.names, "warnings", warnings);
	status = client_print_json(object);
	json_decref(object);
	return status;
}

/* False: misused. */
static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			arguments->json = true;
		else if (strcmp(argv[i], "--bridge") == 0 && i + 1 < argc && !arguments->bridge)
			arguments->bridge = argv[++i];
		else if ((argv[i][0] == '-' && argv[i][1]) || arguments->path)
			return false;
		else
			arguments->path = argv[i];
	}
	return arguments->path;
}

int cmd_check(int argc, char **argv)
{
	struct config_options options = { .warn = print_warning, .any_file = true };
	struct arguments arguments = { .path = NULL };
	struct config_error error;
	struct config *config;
	int status = OVLCTL_OK;

	if (!parse_arguments(argc, argv, &arguments))
		return ovlctl_usage(argv[0]);
	options.bridge = arguments.bridge;
	options.warn_arg = json_array();
	if (config_load(arguments.path, &options, &config, &error)) {
		complaint_say_at("", &error);
		status = OVLCTL_USAGE;
	} else {
		if (strcmp(arguments.path, CONFIG_STDIN) == 0)
			arguments.path = CONFIG_STDIN_NAME;
		if (arguments.json)
			status = print_json(arguments.path, config, options.warn_arg);
		else
			print_summary(arguments.path, config);
		config_free(config);
	}
	json_decref(options.warn_arg);
	return status;
}
