/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies. Each request is an object with "do"; what it needs
 * besides, and what its reply has besides "ok": true:
 *
 *	show         →  version, device, networks, peers (show.c)
 *	drops        →  drops, events, peers, networks, texts (show.c)
 *	drops-last   →  version, last (show_last.c)
 *	events       after: a number (may be left out)  →  version, boot, newest, missed,
 *	             events (events.c)
 *	traffic      →  version, device, peers (show.c)
 *	neigh        →  networks: name, neighbours: address, mac, state, age_s
 *	peer-add     public_key; name, endpoint, preshared_key, keepalive,
 *	             allowed_ips (texts, as in the file), vnis (numbers); each may be
 *	             left out
 *	peer-set     peer, and any of the above but public_key; allowed_ips and
 *	             vnis replace, endpoint is set anew
 *	peer-remove  peer
 *	route-add    prefix, peer
 *	route-del    prefix
 *	route-get    address  →  network, bridge, verdict, and of a remote address
 *	             peer, public_key, prefix, endpoint
 *	route-list   →  routes: prefix, peer, public_key, network
 *	fdb-add      network, station (a MAC or an address), at (a peer, or "local");
 *	             mac, of an address: left out, the one it is known with
 *	fdb-del      network, station: static or not
 *	fdb-list     network (may be left out)  →  networks (show.c)
 *	capture      layout, inner, outer, keys (true or false), snaplen; of: a network or a
 *	             peer, left out: all. Sent with a memfd (capture.h)  →  rings,
 *	             ring_size, network or peer that it is of. On until the client goes
 *	invite       range, endpoints (texts), expires_s; bits may be left out (invite.h)
 *	invite-list  →  who was invited and introduced (invite.h)
 *	trace        to: an address or a MAC; from, network, size, wait_s: each may be left
 *	             out  →  trace.c
 *	trace-look   number  →  trace.c
 *	reload       →  version, dropped: texts; dropped_count, peers_added,
 *	             peers_removed, peers_changed, networks_added, networks_removed;
 *	             workers_next, when the next start will have another number
 *	sync         text (a configuration without key files); file, its name in
 *	             messages; path, where it lies; dry_run; list  →  version: 1; the
 *	             counts of reload and networks_changed, interface_changed; workers_next;
 *	             dry_run; own_file, the path of what the next reload will read,
 *	             when that is another file; with list differences: kind
 *	             ("interface", "network", "peer"), change ("added", "removed",
 *	             "changed"), name, of a peer public_key, of what changed details:
 *	             texts
 *
 * Root may ask for all of it, members of the group "ovltun" for what is marked →
 * above, but for reload, sync and capture: what only looks, and at no content.
 *
 * What only changes is replied to with ok and version.
 *
 * "peer" is a name, a key, or the unambiguous beginning of a key. A reply to what
 * failed is {"ok": false, "error": one line, "exit": the tool's exit status: 2
 * for a request that cannot be right, 1 for what failed at run time}; when a
 * configuration is to blame with its "file" and "line" (0: none), and "text", the
 * error without these two.
 */
#include "ctl/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ctl/apply.h"
#include "ctl/capture.h"
#include "ctl/events.h"
#include "ctl/invite.h"
#include "ctl/json_memory.h"
#include "ctl/reload.h"
#include "ctl/show.h"
#include "ctl/show_last.h"
#include "ctl/text.h"
#include "ctl/trace.h"
#include "ctl/upkeep.h"
#include "dataplane/fdb.h"

static json_t *usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static json_t *usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return server_error(SERVER_EXIT_USAGE, "%s", text);
}

static json_t *out_of_memory(void)
{
	return server_error(SERVER_EXIT_RUNTIME, "out of memory");
}

static json_t *good(void)
{
	return json_pack("{s:b, s:i}", "ok", 1, "version", 1);
}

/* The text of @key, or NULL when it is not there; wrong when it is not a text. */
static const char *get_text(const json_t *request, const char *key, json_t **wrong)
{
	const json_t *value = json_object_get(request, key);

	if (!value)
		return NULL;
	if (!json_is_string(value)) {
		if (!*wrong)
			*wrong = usage("%s: expected a text", key);
		return NULL;
	}
	return json_string_value(value);
}

static const char *need_text(const json_t *request, const char *key, json_t **wrong)
{
	const char *text = get_text(request, key, wrong);

	if (!text && !*wrong)
		*wrong = usage("%s is missing", key);
	return text;
}

static struct config_peer *need_peer(const struct config *config, const json_t *request,
                                     json_t **wrong)
{
	const char *text = need_text(request, "peer", wrong);
	struct config_error error = { .line = 0 };
	struct config_peer *peer = text ? config_find_peer_text(config, text, &error) : NULL;

	if (!peer && !*wrong)
		*wrong = usage("%s", error.text);
	return peer;
}

static bool need_prefix(const json_t *request, struct prefix *prefix, json_t **wrong)
{
	const char *text = need_text(request, "prefix", wrong);

	if (!text)
		return false;
	if (prefix_parse(prefix, text))
		return true;
	*wrong = usage("\"%s\": expected ADDRESS/BITS, as in 10.1.0.0/16", text);
	return false;
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
		return usage("%s is peer %s's already", text, label);
	}
	return config_peer_add_allowed(peer, prefix) ? out_of_memory() : NULL;
}

static json_t *edit_allowed(struct config *config, struct config_peer *peer, const json_t *list)
{
	struct prefix prefix;
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		return usage("allowed_ips: expected a list");
	config_peer_clear_allowed(peer);
	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);

		if (!text || !prefix_parse(&prefix, text))
			return usage("\"%s\": expected ADDRESS/BITS, as in 10.1.0.0/16",
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
		return usage("keepalive: expected 0 to 65535 seconds, or off");
	peer->keepalive_s = (uint16_t)seconds;
	return NULL;
}

static json_t *edit_vnis(struct config_peer *peer, const json_t *list)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		return usage("vnis: expected a list");
	config_peer_clear_vnis(peer);
	json_array_foreach (list, i, item) {
		json_int_t vni = json_integer_value(item);

		if (!json_is_integer(item) || vni < 1 || vni > (json_int_t)CONFIG_VNI_MAX)
			return usage("vnis: expected numbers of 1 to %u", CONFIG_VNI_MAX);
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
		return usage("preshared key: expected %d characters of base64", KEY_BASE64_LEN);
	return NULL;
}

static json_t *edit_peer(struct config *config, struct config_peer *peer, const json_t *request)
{
	json_t *wrong = NULL;
	const json_t *value;
	const char *text = get_text(request, "name", &wrong);

	if (text) {
		if (strlen(text) >= sizeof(peer->name))
			return usage("name: at most %zu characters", sizeof(peer->name) - 1);
		memset(peer->name, 0, sizeof(peer->name));
		memcpy(peer->name, text, strlen(text));
	}
	text = get_text(request, "endpoint", &wrong);
	if (text) {
		struct config_endpoint endpoint;

		if (!config_parse_endpoint(&endpoint, text))
			return usage("\"%s\": expected ADDRESS:PORT, [IPV6]:PORT or NAME:PORT",
			             text);
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
	const char *text = need_text(request, "public_key", &wrong);
	char label[STATE_LABEL_MAX];
	uint8_t key[KEY_SIZE];

	if (!text)
		return wrong;
	if (!secret_from_base64(key, text, strlen(text)))
		return usage("\"%s\": expected a public key, %d characters of base64", text,
		             KEY_BASE64_LEN);
	struct config_peer *peer = config_find_peer(config, key);

	if (peer) {
		state_label_peer(peer, label);
		return usage("peer %s has that key already; change it by peer set", label);
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
		return usage("no peer has %s", text);
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

static struct config_network *need_bridged(const struct config *config, const json_t *request,
                                           json_t **wrong)
{
	const char *name = need_text(request, "network", wrong), *known[CONFIG_NETWORKS_MAX];
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
		*wrong = usage("network \"%s\" is routed: it has no FDB", name);
	else if (nearest)
		*wrong = usage("no network \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		*wrong = usage("no network \"%s\"", name);
	return NULL;
}

static bool need_mac(const char *text, uint8_t mac[ETHER_ADDR_SIZE], json_t **wrong)
{
	const char *problem = "expected a MAC, as in 02:42:ac:11:00:02";

	if (config_parse_mac(mac, text))
		problem = config_mac_problem(mac);
	if (problem)
		*wrong = usage("\"%s\": %s", text, problem);
	return !problem;
}

/* A MAC or an address. */
static bool need_station(const json_t *request, struct fdb_key *key, json_t **wrong)
{
	const char *text = need_text(request, "station", wrong);
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
	*wrong = usage("\"%s\": expected a MAC or an address, like 10.7.0.5, or 10.7.0.5@10 in "
	               "VLAN 10",
	               text);
	return false;
}

static bool need_owner(const struct config *config, const json_t *request,
                       struct config_station *station, json_t **wrong)
{
	const char *text = need_text(request, "at", wrong);
	struct config_error error = { .line = 0 };
	const struct config_peer *peer;

	if (!text)
		return false;
	station->local = strcmp(text, "local") == 0;
	if (station->local)
		return true;
	peer = config_find_peer_text(config, text, &error);
	if (!peer) {
		*wrong = usage("%s", error.text);
		return false;
	}
	memcpy(station->who.key, peer->public_key, KEY_SIZE);
	return true;
}

static json_t *fdb_add(struct config *config, const json_t *request)
{
	struct config_station station = { .local = false };
	json_t *wrong = NULL;
	struct config_network *network = need_bridged(config, request, &wrong);
	const struct config_peer *peer;
	const char *text;

	if (!network || !need_station(request, &station.key, &wrong) ||
	    !need_owner(config, request, &station, &wrong))
		return wrong;
	peer = station.local ? NULL : config_find_peer(config, station.who.key);
	if (peer && !config_peer_has_vni(peer, network->vni))
		return usage("that peer is no member of network \"%s\": its VNIs lack %u",
		             network->name, network->vni);
	text = get_text(request, "mac", &wrong);
	if (station.key.kind == FDB_MAC)
		memcpy(station.mac, station.key.addr, ETHER_ADDR_SIZE);
	else if (!text)
		return wrong ? wrong : usage("the MAC of that address is not known; give it, too");
	else if (!need_mac(text, station.mac, &wrong))
		return wrong;
	if (config_find_station(network, &station.key))
		return usage("there is a static entry of that station; delete it first");
	return config_add_station(network, &station) ? out_of_memory() : NULL;
}

static json_t *fdb_del(struct config *config, const json_t *request)
{
	json_t *wrong = NULL;
	struct config_network *network = need_bridged(config, request, &wrong);
	struct config_station *station;
	struct fdb_key key;

	if (!network || !need_station(request, &key, &wrong))
		return wrong;
	station = config_find_station(network, &key);
	if (!station)
		return usage("network \"%s\" has no static entry of that station", network->name);
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

json_t *server_edit(struct config *config, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "do"));
	const struct change *change = name ? find_change(name) : NULL;

	return change ? change->edit(config, request) : usage("no such change");
}

static json_t *change_config(struct state *state, const json_t *request)
{
	struct config *config = config_copy(state->config);
	struct config_error error = { .line = 0 };
	int ret;

	if (!config)
		return out_of_memory();
	json_t *wrong = server_edit(config, request);

	if (wrong)
		goto out;
	ret = config_check(config, &error);
	if (ret) {
		wrong = server_error(ret == -ENOMEM ? SERVER_EXIT_RUNTIME : SERVER_EXIT_USAGE, "%s",
		                     ret == -ENOMEM ? "out of memory" : error.text);
		goto out;
	}
	if (apply_config(state, config, NULL, NULL, &error)) {
		wrong = server_error(SERVER_EXIT_RUNTIME, "%s", error.text);
		goto out;
	}
	upkeep_tick(state);
	/* Who removes a host that was introduced means it for good, whatever happens next. */
	invite_tick(state);
	return good();
out:
	config_free(config);
	return wrong;
}

/*
 * What the configuration does not know: the MAC of an address that a static entry is
 * wanted for, and entries that are not static.
 */
static json_t *change_fdb(struct state *state, json_t *request)
{
	bool adds = strcmp(json_string_value(json_object_get(request, "do")), "fdb-add") == 0;
	uint64_t now_ns = device_now(state->device);
	json_t *wrong = NULL;
	struct config_network *network = need_bridged(state->config, request, &wrong);
	struct fdb_place place;
	struct fdb_key key;
	struct fdb *fdb;

	if (!network || !need_station(request, &key, &wrong))
		return wrong;
	fdb = state->networks[network - state->config->networks]->network->fdb;
	if (!fdb_lookup(fdb, &key, now_ns, &place))
		return change_config(state, request);
	if (adds && !json_object_get(request, "mac")) {
		json_object_set_new(request, "mac", show_mac(place.mac));
	} else if (!adds && place.source != FDB_STATIC) {
		fdb_withdraw(fdb, place.owner, &key, now_ns);
		workers_kick(&state->workers);
		return good();
	}
	return change_config(state, request);
}

/* The rest */

static json_t *fdb_show(struct state *state, const json_t *request)
{
	json_t *wrong = NULL;
	const struct config_network *network = NULL;

	if (json_object_get(request, "network")) {
		network = need_bridged(state->config, request, &wrong);
		if (!network)
			return wrong;
	}
	return show_stations(state, network);
}

static json_t *route_get(struct state *state, const json_t *request)
{
	json_t *wrong = NULL;
	const char *text = need_text(request, "address", &wrong);
	struct prefix address;

	if (!text)
		return wrong;
	if (strchr(text, '/') || !prefix_parse(&address, text))
		return usage("\"%s\": expected an address", text);
	return show_route(state, address.family, address.addr);
}

static void add_line(void *arg, const char *text)
{
	json_array_append_new(arg, json_string(text));
}

static json_t *reload(struct state *state, const json_t *request)
{
	struct reload_result result;
	struct config_error error;
	json_t *dropped = json_array();

	(void)request;
	if (!dropped)
		return NULL;
	int ret = reload_config(state, &result, add_line, dropped, &error);

	if (ret) {
		json_decref(dropped);
		return server_config_error(ret, &error);
	}
	return json_pack("{s:b, s:i, s:o, s:I, s:i, s:i, s:i, s:i, s:i, s:o*}", "ok", 1, "version",
	                 1, "dropped", dropped, "dropped_count", (json_int_t)result.dropped,
	                 "peers_added", (int)result.summary.peers_added, "peers_removed",
	                 (int)result.summary.peers_removed, "peers_changed",
	                 (int)result.summary.peers_changed, "networks_added",
	                 (int)result.summary.networks_added, "networks_removed",
	                 (int)result.summary.networks_removed, "workers_next",
	                 result.workers ? json_integer(result.workers) : NULL);
}

static json_t *drops(struct state *state, const json_t *request)
{
	(void)request;
	return show_drops(state);
}

static json_t *drops_last(struct state *state, const json_t *request)
{
	(void)request;
	return show_last(state);
}

static json_t *events(struct state *state, const json_t *request)
{
	const json_t *after = json_object_get(request, "after");

	if (after && (!json_is_integer(after) || json_integer_value(after) < 0))
		return usage("after: expected the number of an event");
	return events_show(state, (uint64_t)json_integer_value(after));
}

static json_t *neigh(struct state *state, const json_t *request)
{
	(void)request;
	return show_neighbours(state);
}

static json_t *capture_alone(struct state *state, const json_t *request)
{
	(void)state;
	(void)request;
	return usage("no memory came with the request, or there was no descriptor left for it");
}

static json_t *trace(struct state *state, const json_t *request)
{
	char wrong[TRACE_WRONG_MAX] = "";
	json_t *reply = trace_begin(state, request, wrong);

	return reply || !wrong[0] ? reply : usage("%s", wrong);
}

static json_t *look(struct state *state, const json_t *request)
{
	char wrong[TRACE_WRONG_MAX] = "";
	json_t *reply = trace_look(state, request, wrong);

	return reply || !wrong[0] ? reply : usage("%s", wrong);
}

static const struct {
	const char *name;
	json_t *(*reply)(struct state *state, const json_t *request);
	bool (*put)(struct state *state, struct buffer *out); /* instead, for long ones */
	bool reads; /* and changes nothing, tells no secret: for the group, too */
} commands[] = {
	{ "show", NULL, show_put_state, true },
	{ "drops", drops, NULL, true },
	{ "drops-last", drops_last, NULL, true },
	{ "events", events, NULL, true },
	{ "neigh", neigh, NULL, true },
	{ "traffic", NULL, show_put_traffic, true },
	{ "route-get", route_get, NULL, true },
	{ "route-list", NULL, show_put_routes, true },
	{ "reload", reload, NULL, false },
	{ "sync", server_sync, NULL, false },
	{ "capture", capture_alone, NULL, false },
	{ "fdb-list", fdb_show, NULL, true },
	{ "invite", invite_make, NULL, false },
	{ "invite-list", invite_list, NULL, true },
	{ "trace", trace, NULL, true },
	{ "trace-look", look, NULL, true },
};

static bool put_reply(json_t *reply, struct buffer *out)
{
	bool fits = json_memory_put(reply, out);

	json_decref(reply);
	return fits;
}

static bool may_read(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].reads;
	return false;
}

static bool reply_to(struct state *state, json_t *request, bool reader, struct buffer *out)
{
	json_t *wrong = NULL;
	const char *name = json_is_object(request) ? need_text(request, "do", &wrong) : NULL;

	if (!name)
		return put_reply(wrong ? wrong : usage("a request is an object"), out);
	if (reader && !may_read(name))
		return put_reply(server_error(SERVER_EXIT_RUNTIME,
		                              "permission denied: %s is for root; members of group "
		                              "%s may look only",
		                              name, server_ops.readers),
		                 out);
	if (find_change(name))
		return put_reply(strncmp(name, "fdb-", 4) == 0 ? change_fdb(state, request)
		                                               : change_config(state, request),
		                 out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		return commands[i].put ? commands[i].put(state, out)
		                       : put_reply(commands[i].reply(state, request), out);
	}
	return put_reply(usage("unknown request \"%s\"", name), out);
}

/* What it replied under want of memory may lack a part, which nobody would miss. */
static bool reply_text(struct state *state, const char *text, size_t len, bool reader,
                       struct buffer *out)
{
	json_error_t error;
	json_t *request;
	bool fits;

	/* A value takes a hundred times the bytes that it has there. */
	if (json_memory_count(text, len) > SERVER_VALUES_MAX)
		return put_reply(usage("a request has at most %u values", SERVER_VALUES_MAX), out);
	(void)json_memory_failed();
	request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!request && json_memory_failed())
		return false;
	if (!request)
		/* Not jansson's own words: they quote the request, keys and all. */
		return put_reply(usage("not a request: no JSON from byte %d on", error.position),
		                 out);
	state->reader = reader;
	fits = reply_to(state, request, reader, out);
	state->reader = false;
	json_decref(request);
	return !json_memory_failed() && fits;
}

bool server_reply(struct state *state, const char *text, size_t len, struct buffer *out)
{
	return reply_text(state, text, len, false, out);
}

static bool answer_reader(void *arg, char *request, size_t len, struct buffer *out)
{
	if (!reply_text(arg, request, len, true, out))
		out->failed = true;
	return true;
}

static bool answer(void *arg, char *request, size_t len, struct buffer *reply)
{
	if (!server_reply(arg, request, len, reply))
		reply->failed = true;
	return true;
}

/* Captures: the only request that comes with a descriptor */

static bool answer_passed(void *arg, const struct listener_passed *passed, struct buffer *out,
                          void **held)
{
	json_t *request =
		json_memory_count(passed->request, passed->len) > SERVER_VALUES_MAX
			? NULL
			: json_loadb(passed->request, passed->len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(request, "do"));
	const struct capture_order order = { .request = request,
		                             .memory = passed->fd,
		                             .client = passed->client };
	struct capture_run *run = NULL;
	char error[CAPTURE_ERROR_MAX];
	json_t *reply = NULL;

	if (!name || strcmp(name, "capture") != 0) {
		reply = usage("only a capture comes with a descriptor");
	} else {
		int ret = capture_begin(arg, &order, &run, &reply, error);

		if (ret)
			reply = server_error(ret == -EINVAL ? SERVER_EXIT_USAGE
			                                    : SERVER_EXIT_RUNTIME,
			                     "%s", error);
	}
	json_decref(request);
	close(passed->fd);
	*held = run;
	return put_reply(reply, out);
}

static void gone(void *arg, void *held)
{
	capture_end(arg, held);
}

static void refuse(struct buffer *reply)
{
	(void)put_reply(usage("a request has at most %u bytes, of who may only look %u",
	                      SERVER_REQUEST_MAX, SERVER_READER_REQUEST_MAX),
	                reply);
}

/* Not made of JSON values, for which there may be no memory either. */
static void no_reply(struct buffer *reply)
{
	static const char text[] = "{\"ok\":false,\"error\":\"the daemon has no memory for the "
				   "reply\",\"exit\":1}\n";

	(void)buffer_append(reply, text, sizeof(text) - 1);
}

const struct listener_ops server_ops = {
	.end = "\n",
	.request_max = SERVER_REQUEST_MAX,
	.total_max = 2 * (size_t)SERVER_REQUEST_MAX,
	.reply_max = SERVER_REPLY_MAX,
	.answer = answer,
	.answer_reader = answer_reader,
	.reader_request_max = SERVER_READER_REQUEST_MAX,
	.answer_passed = answer_passed,
	.gone = gone,
	.held_max = SERVER_REPLY_MAX,
	.refuse = refuse,
	.no_reply = no_reply,
	.readers = "ovltun",
};
