/* SPDX-License-Identifier: MIT */
/*
 *	show    version: 1
 *	        device: name, public_key (null: none), listen_port, fwmark, workers, realtime,
 *	                io, features, aead, uptime_s, memory_locked
 *	        networks: name, mode (routed, bridged), bridge, attached, problem (null: none), tap,
 *	                router_mac, subnets, ranges, gateways, mtu (0: the peers'),
 *	                rx_packets, rx_bytes (to containers), tx_packets, tx_bytes;
 *	                of a bridged one vni, members: peers that may carry it,
 *	                members_ready: those that said so themselves, stations: MACs
 *	                and addresses known, stations_here: of these this host's,
 *	                flooded, suppressed: copies sent to all, and saved
 *	        peers:  name, invitation (its state; null: it is none), public_key,
 *	                endpoint (null), endpoint_name (null: none was given), allowed_ips, latest_handshake (unix seconds, 0:
 *	                never), latest_handshake_age_s (null: never), rx_bytes,
 *	                tx_bytes, rx_packets, tx_packets, round_trip_s and
 *	                round_trip_variation_s (of the last minute, or null), loss (of what the peer
 *	                sent us; null: nothing was sent), tunnel_mtu, keepalive, vnis,
 *	                session_age_s (null: no session), attempts, unanswered_s (since
 *	                handshakes have had no answer; null: none is out), hello: version,
 *	                tunnel_mtu, features, vnis (null: a stock peer, or no
 *	                session), drops: counters that are not zero
 *	traffic  version: 1; device: name, uptime_s; peers: name, public_key,
 *	        latest_handshake_age_s, rx_bytes, tx_bytes, rx_packets, tx_packets,
 *	        round_trip_s: as above; lost: messages of the peer's that never came
 *	stations  networks, bridged ones: name, vni, stations: station (a MAC or an
 *	        address), mac, at (a peer, or "here"), public_key (null: here), how
 *	        (learned, announced, static), age_s, moves, contested
 *	drops   version: 1; drops, events: all counters by name; peers, networks: name to
 *	        counters that are not zero; texts: name to one sentence. Networks
 *	        have one more, "tap-queue", which is the kernel's
 */
#include "ctl/show.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/aead.h"
#include "ctl/invite.h"
#include "ctl/json_memory.h"
#include "ctl/roll.h"
#include "ctl/run_network.h"
#include "dataplane/fdb.h"

#define TAP_QUEUE      "tap-queue"
#define TAP_QUEUE_TEXT "The TAP's queue was full: the daemon did not keep up with its containers."

static json_int_t number(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : (json_int_t)value;
}

/* A device's name may hold any bytes; JSON may not. */
static json_t *text(const char *bytes)
{
	json_t *string = json_string(bytes);

	return string ? string : json_string("?");
}

static json_t *base64(const uint8_t key[KEY_SIZE])
{
	char out[KEY_BASE64_LEN + 1];

	secret_to_base64(out, key);
	return json_string(out);
}

static json_t *prefixes(const struct prefix *list, size_t count)
{
	json_t *array = json_array();
	char out[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		prefix_format(&list[i], out);
		json_array_append_new(array, json_string(out));
	}
	return array;
}

static json_t *address(const struct neigh_addr *addr)
{
	struct prefix prefix = { .family = addr->family, .len = addr->family == 4 ? 32 : 128 };
	char out[PREFIX_TEXT_MAX];

	memcpy(prefix.addr, addr->addr, sizeof(prefix.addr));
	prefix_format(&prefix, out);
	out[strcspn(out, "/")] = '\0';
	return json_string(out);
}

json_t *show_mac(const uint8_t bytes[ETHER_ADDR_SIZE])
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
	                    bytes[4], bytes[5]);
}

static const struct view *view_now(const struct state *state)
{
	/* This thread alone replaces it. */
	return atomic_load_explicit(&state->device->view, memory_order_acquire);
}

static json_t *plain_counters(const uint64_t *counters)
{
	json_t *object = json_object();

	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		if (counters[i])
			json_object_set_new(object, drop_name((enum drop)i),
			                    json_integer(number(counters[i])));
	}
	return object;
}

/* The counters, and the kernel's own of what it could not give us: since the TAP was made. */
static json_t *network_counters(const struct state *state, const struct run_network *run)
{
	uint64_t counters[DROP_COUNT], lost;
	json_t *object;

	for (int i = 0; i < DROP_COUNT; i++)
		counters[i] = stats_read(&run->network->drops[i]);
	object = plain_counters(counters);
	if (run->tap.queues > 0 && !netlink_link_drops(state->netlink, run->tap_index, &lost) &&
	    lost)
		json_object_set_new(object, TAP_QUEUE, json_integer(number(lost)));
	return object;
}

static json_t *show_device(const struct state *state)
{
	const struct worker *worker = state->workers.list[0];
	const struct config *config = state->config;
	uint8_t key[KEY_SIZE];

	if (config->has_private_key)
		secret_derive_public(key, config->private_key);
	return json_pack("{s:o, s:o, s:i, s:I, s:i, s:b, s:s, s:s, s:s, s:I, s:b}", "name",
	                 text(state->name), "public_key",
	                 config->has_private_key ? base64(key) : json_null(), "listen_port",
	                 state->udp_open ? (int)state->udp[0].port : 0, "fwmark",
	                 number(config->fwmark), "workers", (int)state->workers.count, "realtime",
	                 state->realtime, "io", worker ? worker_io_name(worker) : "none",
	                 "features", worker ? worker_io_features(worker) : "", "aead", aead_name(),
	                 "uptime_s",
	                 number((device_now(state->device) - state->started_ns) / STATE_SECOND_NS),
	                 "memory_locked", state->device->peer_arena.locked);
}

static json_t *gateways(const struct view_network *net)
{
	json_t *array = json_array();

	for (size_t i = 0; i < net->gateway_count; i++)
		json_array_append_new(array, address(&net->gateways[i]));
	return array;
}

/* A member is ready when it has said that it carries the VNI, too. */
static bool is_ready(const struct member *member, uint32_t vni)
{
	struct hello_info hello;

	hello_get_info(&member->peer->hello, &hello);
	for (uint32_t i = 0; i < hello.vni_count; i++)
		if (hello.vnis[i] == vni)
			return hello.version != 0;
	return false;
}

static void add_bridged(json_t *object, const struct state *state, size_t i)
{
	const struct network *network = state->networks[i]->network;
	const struct run_members *members = &state->members[i];
	uint32_t vni = state->config->networks[i].vni;
	uint64_t flooded = 0, ready = 0, here;
	struct fdb_counts counts;

	for (size_t j = 0; j < members->count; j++) {
		flooded += stats_read(&members->list[j]->flooded);
		ready += is_ready(members->list[j], vni);
	}
	fdb_get_counts(network->fdb, &counts);
	fdb_lock(network->fdb);
	here = (uint64_t)network->local.macs + network->local.addrs;
	fdb_unlock(network->fdb);
	json_object_set_new(object, "vni", json_integer(vni));
	json_object_set_new(object, "members", json_integer(number(members->count)));
	json_object_set_new(object, "members_ready", json_integer(number(ready)));
	json_object_set_new(object, "stations", json_integer(counts.entries));
	json_object_set_new(object, "stations_here", json_integer(number(here)));
	json_object_set_new(object, "flooded", json_integer(number(flooded)));
	json_object_set_new(object, "suppressed",
	                    json_integer(number(stats_read(&network->suppressed))));
}

static json_t *show_network(const struct state *state, size_t i)
{
	const struct config_network *config = &state->config->networks[i];
	const struct run_network *run = state->networks[i];
	const struct network *network = run->network;
	const struct view_network *net = view_now(state)->by_port[network->port];
	const char *problem = run_network_problem(run);
	json_t *object = json_pack(
		"{s:o, s:o, s:b, s:o, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "name",
		text(config->name), "bridge", text(config->bridge), "attached", (int)net->attached,
		"problem", problem ? text(problem) : json_null(), "tap", run->tap.name,
		"router_mac", show_mac(network->router_mac), "subnets",
		prefixes(net->subnets, net->subnet_count), "ranges",
		prefixes(net->ranges, net->range_count), "gateways", gateways(net), "mtu",
		number(config->mtu), "rx_packets", number(stats_read(&network->rx_packets)),
		"rx_bytes", number(stats_read(&network->rx_bytes)), "tx_packets",
		number(stats_read(&network->tx_packets)), "tx_bytes",
		number(stats_read(&network->tx_bytes)));

	json_object_set_new(object, "mode", json_string(config->bridged ? "bridged" : "routed"));
	if (config->bridged)
		add_bridged(object, state, i);
	return object;
}

static json_t *endpoint_text(const struct endpoint *endpoint)
{
	char out[ENDPOINT_TEXT_MAX];

	if (!endpoint_is_set(endpoint))
		return json_null();
	endpoint_format(endpoint, out);
	return json_string(out);
}

static json_t *configured_endpoint(const struct config_peer *config)
{
	char out[CONFIG_HOST_MAX + 16];

	if (!config->endpoint.host[0])
		return json_null();
	config_format_endpoint(&config->endpoint, out, sizeof(out));
	return text(out);
}

static json_t *loss(const struct peer_info *info)
{
	uint64_t sent = info->rx_packets + info->lost;

	return sent ? json_real((double)info->lost / (double)sent) : json_null();
}

/* NULL: not known. */
static json_t *seconds(uint64_t ns)
{
	return ns ? json_real((double)ns / (double)STATE_SECOND_NS) : json_null();
}

static json_t *numbers(const uint32_t *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_integer(list[i]));
	return array;
}

static json_t *hello(const struct peer_info *info)
{
	if (!info->hello.version)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:o}", "version", number(info->hello.version),
	                 "tunnel_mtu", number(info->hello.tunnel_mtu), "features",
	                 number(info->hello.features), "vnis",
	                 numbers(info->hello.vnis, info->hello.vni_count));
}

static json_t *age(uint64_t then_ns, uint64_t now_ns)
{
	if (!then_ns)
		return json_null();
	return json_integer(number(now_ns > then_ns ? (now_ns - then_ns) / STATE_SECOND_NS : 0));
}

/* Of a peer that is one in name alone: whether somebody may still come by it. */
static json_t *invitation(const struct state *state, const struct config_peer *config)
{
	const struct roll_invite *invite =
		config->invited && state->roll ? roll_find_invite(state->roll, config->public_key)
					       : NULL;

	return invite ? json_string(invite_state(state, invite)) : json_null();
}

json_t *show_peer(const struct state *state, size_t i)
{
	const struct config_peer *config = &state->config->peers[i];
	const struct environment *env = state->device->env;
	struct peer_info info;

	peer_get_info(state->peers[i].peer, device_now(state->device), &info);
	json_t *object = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:I, s:I, s:I, s:I}", "name",
		text(config->name), "invitation", invitation(state, config), "public_key",
		base64(config->public_key), "endpoint", endpoint_text(&info.endpoint),
		"endpoint_name", configured_endpoint(config), "allowed_ips",
		prefixes(config->allowed, config->allowed_count), "latest_handshake",
		number(info.handshake_wall_ns / STATE_SECOND_NS), "latest_handshake_age_s",
		age(info.handshake_wall_ns, env->wall_ns(env->arg)), "rx_bytes",
		number(info.rx_bytes), "tx_bytes", number(info.tx_bytes), "rx_packets",
		number(info.rx_packets), "tx_packets", number(info.tx_packets));
	json_t *more = json_pack(
		"{s:o, s:o, s:o, s:I, s:i, s:o, s:o, s:I, s:o, s:o, s:o}", "loss", loss(&info),
		"round_trip_s", seconds(info.round_trip_ns), "round_trip_variation_s",
		seconds(info.round_trip_variation_ns), "tunnel_mtu", number(info.tunnel_mtu),
		"keepalive", (int)config->keepalive_s, "vnis",
		numbers(config->vnis, config->vni_count), "session_age_s",
		info.session_age_ns == UINT64_MAX
			? json_null()
			: json_integer(number(info.session_age_ns / STATE_SECOND_NS)),
		"attempts", number(info.attempts), "unanswered_s", seconds(info.unanswered_ns),
		"hello", hello(&info), "drops", plain_counters(info.drops));

	if (object && more)
		json_object_update(object, more);
	json_decref(more);
	return object;
}

/* @head, which is given up, with one more member: the list of what @make makes of each peer. */
static bool put_list(const struct state *state, json_t *head, const char *name,
                     json_t *(*make)(const struct state *state, size_t peer), struct buffer *out)
{
	bool good = head && buffer_append(out, "{", 1) && json_memory_put_inner(head, out) &&
	            buffer_printf(out, ",\"%s\":[", name);
	const char *between = "";

	json_decref(head);
	for (size_t i = 0; good && i < state->config->peer_count; i++) {
		json_t *items = make(state, i);

		if (json_array_size(items)) {
			good = buffer_append(out, between, strlen(between)) &&
			       json_memory_put_inner(items, out);
			between = ",";
		}
		good = good && items;
		json_decref(items);
	}
	return good && buffer_append(out, "]}\n", 3);
}

static json_t *peer_item(const struct state *state, size_t i)
{
	return json_pack("[o]", show_peer(state, i));
}

bool show_put_state(struct state *state, struct buffer *out)
{
	json_t *networks = json_array();

	for (size_t i = 0; i < state->config->network_count; i++)
		json_array_append_new(networks, show_network(state, i));
	return put_list(state,
	                json_pack("{s:b, s:i, s:o, s:o}", "ok", 1, "version", 1, "device",
	                          show_device(state), "networks", networks),
	                "peers", peer_item, out);
}

static json_t *traffic_item(const struct state *state, size_t i)
{
	const struct config_peer *config = &state->config->peers[i];
	const struct environment *env = state->device->env;
	struct peer_info info;

	peer_get_info(state->peers[i].peer, device_now(state->device), &info);
	return json_pack("[{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o}]", "name",
	                 text(config->name), "public_key", base64(config->public_key),
	                 "latest_handshake_age_s",
	                 age(info.handshake_wall_ns, env->wall_ns(env->arg)), "rx_bytes",
	                 number(info.rx_bytes), "tx_bytes", number(info.tx_bytes), "rx_packets",
	                 number(info.rx_packets), "tx_packets", number(info.tx_packets), "lost",
	                 number(info.lost), "round_trip_s", seconds(info.round_trip_ns));
}

bool show_put_traffic(struct state *state, struct buffer *out)
{
	uint64_t up_ns = device_now(state->device) - state->started_ns;

	return put_list(state,
	                json_pack("{s:b, s:i, s:{s:o, s:I}}", "ok", 1, "version", 1, "device",
	                          "name", text(state->name), "uptime_s",
	                          number(up_ns / STATE_SECOND_NS)),
	                "peers", traffic_item, out);
}

json_t *show_drops(struct state *state)
{
	const struct stats *stats = &state->device->stats;
	json_t *drops = json_object(), *events = json_object(), *texts = json_object();
	json_t *peers = json_object(), *networks = json_object();
	char label[STATE_LABEL_MAX];
	struct peer_info info;

	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		const char *name = drop_name((enum drop)i);

		json_object_set_new(drops, name,
		                    json_integer(number(stats_read(&stats->drops[i]))));
		json_object_set_new(texts, name, json_string(drop_text((enum drop)i)));
	}
	for (int i = 0; i < EVENT_COUNT; i++)
		json_object_set_new(events, event_name((enum event)i),
		                    json_integer(number(stats_read(&stats->events[i]))));
	for (size_t i = 0; i < state->config->peer_count; i++) {
		peer_get_info(state->peers[i].peer, 0, &info);
		json_t *counters = plain_counters(info.drops);

		state_label_peer(&state->config->peers[i], label);
		if (json_object_size(counters))
			json_object_set(peers, label, counters);
		json_decref(counters);
	}
	json_object_set_new(texts, TAP_QUEUE, json_string(TAP_QUEUE_TEXT));
	for (size_t i = 0; i < state->config->network_count; i++)
		json_object_set_new(networks, state->config->networks[i].name,
		                    network_counters(state, state->networks[i]));
	return json_pack("{s:b, s:i, s:o, s:o, s:o, s:o, s:o}", "ok", 1, "version", 1, "drops",
	                 drops, "events", events, "peers", peers, "networks", networks, "texts",
	                 texts);
}

static const char *const neigh_states[] = {
	[NEIGH_FREE] = "free",           [NEIGH_INCOMPLETE] = "incomplete",
	[NEIGH_REACHABLE] = "reachable", [NEIGH_PROBING] = "probing",
	[NEIGH_CONTESTED] = "contested", [NEIGH_FAILED] = "failed",
};

json_t *show_neighbours(struct state *state)
{
	uint64_t now_ns = device_now(state->device);
	struct neigh_info *list = calloc(NEIGH_ENTRIES, sizeof(*list));
	json_t *networks = json_array();

	if (!list)
		json_memory_fail();
	for (size_t i = 0; list && i < state->config->network_count; i++) {
		struct neigh_table *neigh = state->networks[i]->network->neigh;

		if (!neigh)
			continue; /* bridged: its stations are in the FDB */
		json_t *entries = json_array();
		uint32_t count = neigh_list(neigh, list, NEIGH_ENTRIES);

		for (uint32_t j = 0; j < count && j < NEIGH_ENTRIES; j++) {
			bool known = list[j].state == NEIGH_REACHABLE ||
			             list[j].state == NEIGH_PROBING ||
			             list[j].state == NEIGH_CONTESTED;

			json_array_append_new(
				entries,
				json_pack("{s:o, s:o, s:s, s:o}", "address", address(&list[j].addr),
			                  "mac", known ? show_mac(list[j].mac) : json_null(),
			                  "state", neigh_states[list[j].state], "age_s",
			                  age(list[j].confirmed_ns, now_ns)));
		}
		json_array_append_new(networks, json_pack("{s:o, s:o}", "name",
		                                          text(state->config->networks[i].name),
		                                          "neighbours", entries));
	}
	free(list);
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "version", 1, "networks", networks);
}

static int compare_stations(const void *a, const void *b)
{
	const struct fdb_info *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static json_t *show_station(const struct state *state, const struct fdb_info *info, uint64_t now_ns)
{
	static const char *const how[] = {
		[FDB_LEARNED] = "learned", [FDB_ANNOUNCED] = "announced", [FDB_STATIC] = "static"
	};
	const struct peer *peer = info->place.owner->peer;
	const struct config_peer *config =
		peer ? config_find_peer(state->config, peer->public_key) : NULL;
	char label[STATE_LABEL_MAX] = "here";
	char station[PREFIX_TEXT_MAX], vlans[CONFIG_VLANS_TEXT_MAX];

	if (config)
		state_label_peer(config, label);
	config_format_station(&info->key, station);
	config_format_vlans(&info->key.vlans, vlans);
	return json_pack("{s:s, s:o, s:s?, s:s, s:o, s:s, s:o, s:I, s:b}", "station", station,
	                 "mac", show_mac(info->place.mac), "vlan", vlans[0] ? vlans : NULL, "at",
	                 label, "public_key", peer ? base64(peer->public_key) : json_null(), "how",
	                 how[info->place.source], "age_s", age(info->heard_ns, now_ns), "moves",
	                 number(info->moves), "contested", (int)info->contested);
}

static json_t *list_stations(const struct state *state, struct fdb *fdb)
{
	uint64_t now_ns = device_now(state->device);
	struct fdb_info *list = calloc(FDB_ENTRIES, sizeof(*list));
	uint32_t count = list ? fdb_list(fdb, list, FDB_ENTRIES) : 0;
	json_t *stations = json_array();

	if (!list)
		json_memory_fail();
	if (count > FDB_ENTRIES)
		count = FDB_ENTRIES;
	if (count)
		qsort(list, count, sizeof(*list), compare_stations);
	for (uint32_t i = 0; i < count; i++)
		json_array_append_new(stations, show_station(state, &list[i], now_ns));
	free(list);
	return stations;
}

json_t *show_stations(struct state *state, const struct config_network *only)
{
	json_t *networks = json_array();

	for (size_t i = 0; i < state->config->network_count; i++) {
		const struct config_network *config = &state->config->networks[i];

		if (!config->bridged || (only && only != config))
			continue;
		json_array_append_new(
			networks,
			json_pack("{s:o, s:I, s:o}", "name", text(config->name), "vni",
		                  number(config->vni), "stations",
		                  list_stations(state, state->networks[i]->network->fdb)));
	}
	return json_pack("{s:b, s:o}", "ok", 1, "networks", networks);
}

/* Which network's Subnet holds the whole prefix; NULL: none. */
static const struct view_network *network_of(const struct view *view, const struct prefix *prefix)
{
	for (size_t i = 0; i < view->network_count; i++) {
		const struct view_network *net = &view->networks[i];

		for (size_t j = 0; j < net->subnet_count; j++) {
			if (prefix_covers(&net->subnets[j], prefix))
				return net;
		}
	}
	return NULL;
}

static json_t *peer_routes(const struct state *state, size_t i)
{
	const struct config_peer *peer = &state->config->peers[i];
	json_t *routes = json_array();
	char out[PREFIX_TEXT_MAX];

	for (size_t j = 0; j < peer->allowed_count; j++) {
		const struct view_network *net = network_of(view_now(state), &peer->allowed[j]);

		prefix_format(&peer->allowed[j], out);
		json_array_append_new(
			routes, json_pack("{s:s, s:o, s:o, s:o}", "prefix", out, "peer",
		                          text(peer->name), "public_key", base64(peer->public_key),
		                          "network", net ? text(net->network->name) : json_null()));
	}
	return routes;
}

bool show_put_routes(struct state *state, struct buffer *out)
{
	return put_list(state, json_pack("{s:b}", "ok", 1), "routes", peer_routes, out);
}

/* The longest of a peer's prefixes that holds the address. */
static const struct prefix *longest(const struct config_peer *peer, const struct prefix *host)
{
	const struct prefix *best = NULL;

	for (size_t i = 0; i < peer->allowed_count; i++) {
		if (prefix_covers(&peer->allowed[i], host) &&
		    (!best || peer->allowed[i].len > best->len))
			best = &peer->allowed[i];
	}
	return best;
}

static void add_peer(const struct state *state, json_t *reply, struct peer *peer,
                     const struct prefix *host)
{
	const struct config_peer *config = config_find_peer(state->config, peer->public_key);
	const struct prefix *prefix = config ? longest(config, host) : NULL;
	char out[PREFIX_TEXT_MAX];
	struct endpoint endpoint;

	if (!prefix)
		return;
	prefix_format(prefix, out);
	peer_get_endpoint(peer, &endpoint);
	json_object_set_new(reply, "peer", text(config->name));
	json_object_set_new(reply, "public_key", base64(config->public_key));
	json_object_set_new(reply, "prefix", json_string(out));
	json_object_set_new(reply, "endpoint", endpoint_text(&endpoint));
}

json_t *show_route(struct state *state, uint8_t family, const uint8_t *addr)
{
	const struct view *view = view_now(state);
	struct prefix host = { .family = family, .len = family == 4 ? 32 : 128 };

	memcpy(host.addr, addr, family == 4 ? 4 : 16);
	const struct view_network *net = network_of(view, &host);
	/* Without a network the peer is named all the same: it says what is missing. */
	struct peer *peer = net ? view_remote(view, net, family, addr)
	                        : route_lookup(view->routes, family, addr);
	const char *verdict = "no-route";

	if (!net)
		verdict = "no-network";
	else if (view_is_gateway(net, family, addr))
		verdict = "gateway";
	else if (view_is_local(view, net, family, addr))
		verdict = "local";
	else if (peer)
		verdict = "remote";
	json_t *reply = json_pack("{s:b, s:i, s:s, s:o, s:b}", "ok", 1, "version", 1, "verdict",
	                          verdict, "network", net ? text(net->network->name) : json_null(),
	                          "attached", net && net->attached);

	for (size_t i = 0; net && i < state->config->network_count; i++) {
		if (state->networks[i]->network == net->network)
			json_object_set_new(reply, "bridge",
			                    text(state->config->networks[i].bridge));
	}
	if (peer)
		add_peer(state, reply, peer, &host);
	return reply;
}
