/* SPDX-License-Identifier: MIT */
/*
 * Requests that change the configuration: peers, their prefixes, static entries. Each edits a
 * copy, and nothing else: server.c puts it in force.
 */
#include "ctl/server_private.h"

#include <errno.h>
#include <string.h>
#include "ctl/text.h"

static json_t *out_of_memory(void)
{
	return server_error(SERVER_EXIT_RUNTIME, "out of memory");
}

/* The text of @key, or NULL when it is not there; wrong when it is not a text. */
static const char *get_text(const json_t *request, const char *key, json_t **wrong)
{
	const json_t *value = json_object_get(request, key);

	if (!value)
		return NULL;
	if (!json_is_string(value)) {
		if (!*wrong)
			*wrong = server_usage("%s: expected a text", key);
		return NULL;
	}
	return json_string_value(value);
}

const char *server_need_text(const json_t *request, const char *key, json_t **wrong)
{
	const char *text = get_text(request, key, wrong);

	if (!text && !*wrong)
		*wrong = server_usage("%s is missing", key);
	return text;
}

static struct config_peer *need_peer(const struct config *config, const json_t *request,
                                     json_t **wrong)
{
	const char *text = server_need_text(request, "peer", wrong);
	struct config_error error = { .line = 0 };
	struct config_peer *peer = text ? config_find_peer_text(config, text, &error) : NULL;

	if (!peer && !*wrong)
		*wrong = server_usage("%s", error.text);
	return peer;
}

static bool need_prefix(const json_t *request, struct prefix *prefix, json_t **wrong)
{
	const char *text = server_need_text(request, "prefix", wrong);

	if (!text)
		return false;
	if (prefix_parse(prefix, text))
		return true;
	*wrong = server_usage("\"%s\": expected ADDRESS/BITS, as in 10.1.0.0/16", text);
	return false;
}

/* Quotes what was typed: the tool sends as a text what it cannot read as a number. */
static json_t *wrong_number(const char *what, const json_t *value, const char *expected)
{
	if (json_is_string(value))
		return server_usage("%s \"%.100s\": expected %s", what, json_string_value(value),
		                    expected);
	if (json_is_integer(value))
		return server_usage("%s \"%" JSON_INTEGER_FORMAT "\": expected %s", what,
		                    json_integer_value(value), expected);
	return server_usage("%s: expected %s", what, expected);
}

/* Changes of a peer */

static json_t *add_allowed(struct config *config, struct config_peer *peer,
                           const struct prefix *prefix)
{
	const struct config_peer *owner = config_find_allowed(config, prefix);
	char text[PREFIX_TEXT_MAX], label[STATE_LABEL_MAX];

	if (owner == peer)
		return NULL;
	if (owner) {
		prefix_format(prefix, text);
		state_label_peer(owner, label);
		return server_usage("%s is peer %s's already", text, label);
	}
	return config_peer_add_allowed(peer, prefix) ? out_of_memory() : NULL;
}

static json_t *edit_allowed(struct config *config, struct config_peer *peer, const json_t *list)
{
	struct prefix prefix;
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		return server_usage("allowed_ips: expected a list");
	config_peer_clear_allowed(peer);
	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);

		if (!text || !prefix_parse(&prefix, text))
			return server_usage("\"%s\": expected ADDRESS/BITS, as in 10.1.0.0/16",
			                    text ? text : "allowed_ips");
		json_t *wrong = add_allowed(config, peer, &prefix);

		if (wrong)
			return wrong;
	}
	return NULL;
}

static json_t *edit_keepalive(struct config_peer *peer, const json_t *value)
{
	if (json_is_string(value) && strcmp(json_string_value(value), "off") == 0) {
		peer->keepalive_s = 0;
		return NULL;
	}
	json_int_t seconds = json_integer_value(value);

	if (!json_is_integer(value) || seconds < 0 || seconds > UINT16_MAX)
		return wrong_number("keepalive", value, "0 to 65535 seconds, or off");
	peer->keepalive_s = (uint16_t)seconds;
	return NULL;
}

static json_t *edit_vnis(struct config_peer *peer, const json_t *list)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		return server_usage("vnis: expected a list");
	config_peer_clear_vnis(peer);
	json_array_foreach (list, i, item) {
		json_int_t vni = json_integer_value(item);

		if (!json_is_integer(item) || vni < 1 || vni > (json_int_t)CONFIG_VNI_MAX)
			return wrong_number("vnis", item, "numbers of 1 to 16777215");
		if (config_peer_add_vni(peer, (uint32_t)vni))
			return out_of_memory();
	}
	return NULL;
}

static json_t *edit_psk(struct config_peer *peer, const char *text)
{
	if (!*text) {
		secret_wipe(peer->psk, KEY_SIZE);
		return NULL;
	}
	if (!secret_from_base64(peer->psk, text, strlen(text)))
		return server_usage("preshared key: expected %d characters of base64",
		                    KEY_BASE64_LEN);
	return NULL;
}

static json_t *edit_peer(struct config *config, struct config_peer *peer, const json_t *request)
{
	json_t *wrong = NULL;
	const json_t *value;
	const char *text = get_text(request, "name", &wrong);

	if (text) {
		if (strlen(text) >= sizeof(peer->name))
			return server_usage("name: at most %zu characters", sizeof(peer->name) - 1);
		memset(peer->name, 0, sizeof(peer->name));
		memcpy(peer->name, text, strlen(text));
	}
	text = get_text(request, "endpoint", &wrong);
	if (text) {
		struct config_endpoint endpoint;

		if (!config_parse_endpoint(&endpoint, text))
			return server_usage(
				"\"%s\": expected ADDRESS:PORT, [IPV6]:PORT or NAME:PORT", text);
		peer->endpoint = endpoint;
		peer->endpoint_line = 0;
		peer->endpoint_serial++;
	}
	text = get_text(request, "preshared_key", &wrong);
	if (text && !wrong)
		wrong = edit_psk(peer, text);
	value = json_object_get(request, "keepalive");
	if (value && !wrong)
		wrong = edit_keepalive(peer, value);
	value = json_object_get(request, "allowed_ips");
	if (value && !wrong)
		wrong = edit_allowed(config, peer, value);
	value = json_object_get(request, "vnis");
	if (value && !wrong)
		wrong = edit_vnis(peer, value);
	return wrong;
}

static json_t *peer_add(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	const char *text = server_need_text(request, "public_key", &wrong);
	char label[STATE_LABEL_MAX];
	uint8_t key[KEY_SIZE];

	if (!text)
		return wrong;
	if (!secret_from_base64(key, text, strlen(text)))
		return server_usage("\"%s\": expected a public key, %d characters of base64", text,
		                    KEY_BASE64_LEN);
	struct config_peer *peer = config_find_peer(config, key);

	if (peer) {
		state_label_peer(peer, label);
		return server_usage("peer %s has that key already; change it by peer set", label);
	}
	peer = config_add_peer(config, key);
	return peer ? edit_peer(config, peer, request) : out_of_memory();
}

static json_t *peer_set(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct config_peer *peer = need_peer(config, request, &wrong);

	return peer ? edit_peer(config, peer, request) : wrong;
}

static json_t *peer_remove(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct config_peer *peer = need_peer(config, request, &wrong);

	if (peer)
		config_remove_peer(config, peer);
	return wrong;
}

static json_t *route_add(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct prefix prefix;
	struct config_peer *peer = NULL;

	if (need_prefix(request, &prefix, &wrong))
		peer = need_peer(config, request, &wrong);
	return peer ? add_allowed(config, peer, &prefix) : wrong;
}

static json_t *route_del(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct prefix prefix;
	char text[PREFIX_TEXT_MAX];

	if (!need_prefix(request, &prefix, &wrong))
		return wrong;
	struct config_peer *peer = config_find_allowed(config, &prefix);

	if (!peer) {
		prefix_format(&prefix, text);
		return server_usage("no peer has %s", text);
	}
	(void)config_peer_remove_allowed(peer, &prefix);
	return NULL;
}

/* Static entries of FDBs */

static struct config_network *find_network(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, name) == 0)
			return &config->networks[i];
	return NULL;
}

struct config_network *server_need_bridged(const struct config *config, const json_t *request,
                                           json_t **wrong)
{
	const char *name = server_need_text(request, "network", wrong), *known[CONFIG_NETWORKS_MAX];
	struct config_network *network = name ? find_network(config, name) : NULL;
	const char *nearest;
	size_t count = 0;

	if (!name || (network && network->bridged))
		return network;
	for (size_t i = 0; i < config->network_count; i++)
		if (config->networks[i].bridged)
			known[count++] = config->networks[i].name;
	nearest = text_nearest(name, known, count);
	if (network)
		*wrong = server_usage("network \"%s\" is routed: it has no FDB", name);
	else if (nearest)
		*wrong = server_usage("no network \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		*wrong = server_usage("no network \"%s\"", name);
	return NULL;
}

static bool need_mac(const char *text, uint8_t mac[ETHER_ADDR_SIZE], json_t **wrong)
{
	const char *problem = "expected a MAC, as in 02:42:ac:11:00:02";

	if (config_parse_mac(mac, text))
		problem = config_mac_problem(mac);
	if (problem)
		*wrong = server_usage("\"%s\": %s", text, problem);
	return !problem;
}

/* A MAC or an address. */
bool server_need_station(const json_t *request, struct fdb_key *key, json_t **wrong)
{
	const char *text = server_need_text(request, "station", wrong);
	uint8_t mac[ETHER_ADDR_SIZE];

	if (!text)
		return false;
	if (config_parse_mac(mac, text)) {
		if (!need_mac(text, mac, wrong))
			return false;
		*key = fdb_key_mac(mac);
		return true;
	}
	if (config_parse_address(key, text))
		return true;
	*wrong = server_usage(
		"\"%s\": expected a MAC or an address, like 10.7.0.5, or 10.7.0.5@10 in "
		"VLAN 10",
		text);
	return false;
}

static bool need_owner(const struct config *config, const json_t *request,
                       struct config_station *station, json_t **wrong)
{
	const char *text = server_need_text(request, "at", wrong);
	struct config_error error = { .line = 0 };
	const struct config_peer *peer;

	if (!text)
		return false;
	station->local = strcmp(text, "local") == 0;
	if (station->local)
		return true;
	peer = config_find_peer_text(config, text, &error);
	if (!peer) {
		*wrong = server_usage("%s", error.text);
		return false;
	}
	memcpy(station->who.key, peer->public_key, KEY_SIZE);
	return true;
}

static json_t *fdb_add(struct config *config, const json_t *request)
{
	struct config_station station = { .local = false };
	json_t *wrong = NULL;
	struct config_network *network = server_need_bridged(config, request, &wrong);
	const struct config_peer *peer;
	const char *text;

	if (!network || !server_need_station(request, &station.key, &wrong) ||
	    !need_owner(config, request, &station, &wrong))
		return wrong;
	peer = station.local ? NULL : config_find_peer(config, station.who.key);
	if (peer && !config_peer_has_vni(peer, network->vni))
		return server_usage("that peer is no member of network \"%s\": its VNIs lack %u",
		                    network->name, network->vni);
	text = get_text(request, "mac", &wrong);
	if (station.key.kind == FDB_MAC)
		memcpy(station.mac, station.key.addr, ETHER_ADDR_SIZE);
	else if (!text)
		return wrong ? wrong
		             : server_usage("the MAC of that address is not known; give it, too");
	else if (!need_mac(text, station.mac, &wrong))
		return wrong;
	if (config_find_station(network, &station.key))
		return server_usage("there is a static entry of that station; delete it first");
	return config_add_station(network, &station) ? out_of_memory() : NULL;
}

static json_t *fdb_del(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct config_network *network = server_need_bridged(config, request, &wrong);
	struct config_station *station;
	struct fdb_key key;

	if (!network || !server_need_station(request, &key, &wrong))
		return wrong;
	station = config_find_station(network, &key);
	if (!station)
		return server_usage("network \"%s\" has no static entry of that station",
		                    network->name);
	config_remove_station(network, station);
	return NULL;
}

static const struct change {
	const char *name;
	json_t *(*edit)(struct config *config, const json_t *request);
} changes[] = {
	{ "peer-add", peer_add },   { "peer-set", peer_set },   { "peer-remove", peer_remove },
	{ "route-add", route_add }, { "route-del", route_del }, { "fdb-add", fdb_add },
	{ "fdb-del", fdb_del },
};

static const struct change *find_change(const char *name)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		if (strcmp(changes[i].name, name) == 0)
			return &changes[i];
	}
	return NULL;
}

bool server_is_change(const char *name)
{
	return find_change(name) != NULL;
}

json_t *server_edit(struct config *config, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "do"));
	const struct change *change = name ? find_change(name) : NULL;

	return change ? change->edit(config, request) : server_usage("no such change");
}
