/* SPDX-License-Identifier: MIT */
/*
 * The steps of a packet on this host, in the order in which it meets them, by the judges
 * of those that come (tx_judge(), bridged_guard()). The first that stops it is the last.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/bridge.h"
#include "ctl/config.h"
#include "ctl/run_network.h"
#include "ctl/text.h"
#include "ctl/trace.h"
#include "dataplane/bridged.h"
#include "dataplane/fdb.h"
#include "dataplane/packet.h"
#include "dataplane/tx.h"

#define CANDIDATES 254

__attribute__((format(printf, 5, 6))) static bool
step(struct trace *trace, const char *name, bool good, enum drop reason, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_t *string = json_vsprintf(format, args);
	va_end(args);
	json_array_append_new(
		trace->steps,
		json_pack("{s:s, s:b, s:o, s:o}", "step", name, "ok", (int)good, "reason",
	                  reason == DROP_NONE ? json_null() : json_string(drop_name(reason)),
	                  "text", string ? string : json_string("?")));
	trace->stopped |= !good;
	return good;
}

/* Of the step told last, which is not ok: nobody can tell, as against that it stops there. */
static bool cannot_tell(const struct trace *trace)
{
	json_t *last = json_array_get(trace->steps, json_array_size(trace->steps) - 1);

	json_object_set_new(last, "unknown", json_true());
	return false;
}

static const char *format_addr(uint8_t family, const uint8_t *addr, char out[PREFIX_TEXT_MAX])
{
	struct prefix prefix = { .family = family, .len = family == 4 ? 32 : 128 };

	memcpy(prefix.addr, addr, sizeof(prefix.addr));
	prefix_format(&prefix, out);
	out[strcspn(out, "/")] = '\0';
	return out;
}

static const char *label_of(const struct trace *trace, const struct peer *peer,
                            char out[STATE_LABEL_MAX])
{
	const struct config_peer *config = config_find_peer(trace->state->config, peer->public_key);

	out[0] = '\0';
	if (config)
		state_label_peer(config, out);
	return out;
}

/* ---- the network ---- */

static const struct view_network *net_at(const struct trace *trace, size_t i)
{
	return trace->view->by_port[trace->state->networks[i]->network->port];
}

/* A bridge without addresses of its own may have any behind it. */
static bool bridge_may_have(const struct trace *trace, size_t i)
{
	const struct run_network *run = trace->state->networks[i];
	const struct bridge_state *bridge = run->bridge ? bridge_state(run->bridge) : NULL;
	bool may = true;

	for (size_t j = 0; bridge && j < bridge->prefix_count; j++) {
		if (bridge->prefixes[j].family != trace->packet.family)
			continue;
		if (prefix_contains(&bridge->prefixes[j], trace->packet.destination))
			return true;
		may = false;
	}
	return may;
}

/* Whether the destination is of that network: 2: it is known there, 1: it may be there. */
static int match(const struct trace *trace, size_t i)
{
	const struct view_network *net = net_at(trace, i);
	const struct probe_packet *packet = &trace->packet;
	struct fdb_place place;

	if (!net)
		return 0;
	if (net->mode == NETWORK_ROUTED)
		return !trace->to_mac && view_in_subnet(net, packet->family, packet->destination)
		               ? 2
		               : 0;
	const struct fdb_key key = trace->to_mac ? fdb_key_mac(packet->destination_mac)
	                                         : fdb_key_ip(packet->family, packet->destination);

	if (fdb_lookup(net->network->fdb, &key, trace->now_ns, &place) ||
	    (!trace->to_mac && view_is_gateway(net, packet->family, packet->destination)))
		return 2;
	return trace->to_mac || bridge_may_have(trace, i) ? 1 : 0;
}

static void choose_network(struct trace *trace)
{
	int best = 0;

	if (trace->network == SIZE_MAX) {
		for (size_t i = 0; i < trace->state->config->network_count; i++) {
			int how = match(trace, i);

			if (how > best) {
				best = how;
				trace->network = i;
			}
		}
	}
	if (trace->network != SIZE_MAX)
		trace->net = net_at(trace, trace->network);
}

/* Where the bridge says what the Subnet is, a bridge that is gone takes it with it. */
static bool blame_bridge(struct trace *trace)
{
	const struct config *config = trace->state->config;

	for (size_t i = 0; i < config->network_count && !trace->net; i++) {
		const struct view_network *net = net_at(trace, i);

		if (!net || net->attached || config->networks[i].subnet_count)
			continue;
		trace->network = i;
		trace->net = net;
	}
	return trace->net &&
	       step(trace, "network", true, DROP_NONE, "%s, perhaps: its Subnet is its bridge's",
	            config->networks[trace->network].name);
}

static bool step_network(struct trace *trace)
{
	const struct probe_packet *packet = &trace->packet;
	char label[STATE_LABEL_MAX], addr[PREFIX_TEXT_MAX];
	const struct config_network *config;
	const struct peer *peer;

	choose_network(trace);
	if (!trace->net && trace->to_mac)
		return step(trace, "network", false, DROP_NONE,
		            "there is no bridged network: only those have MACs");
	if (!trace->net && blame_bridge(trace))
		return true;
	if (!trace->net) {
		peer = route_lookup(trace->view->routes, packet->family, packet->destination);
		format_addr(packet->family, packet->destination, addr);
		if (peer)
			return step(trace, "network", false, DROP_OUT_NETWORK,
			            "%s is in AllowedIPs of peer %s, but in no network's Subnet",
			            addr, label_of(trace, peer, label));
		return step(trace, "network", false, DROP_OUT_NETWORK,
		            "%s is in no network's Subnet and in no peer's AllowedIPs", addr);
	}
	config = &trace->state->config->networks[trace->network];
	return step(trace, "network", true, DROP_NONE, "%s, %s, bridge %s", config->name,
	            config->bridged ? "bridged" : "routed", config->bridge);
}

static bool step_bridge(struct trace *trace)
{
	const struct config_network *config = &trace->state->config->networks[trace->network];
	const struct run_network *run = trace->state->networks[trace->network];
	const char *problem = run_network_problem(run);

	if (!trace->net->attached)
		return step(trace, "bridge", false, DROP_IN_NO_BRIDGE, "%s",
		            problem ? problem : "the bridge is not there");
	return step(trace, "bridge", true, DROP_NONE, "%s is a port of %s, MTU %u%s%s",
	            run->tap.name, config->bridge, trace->net->tap_mtu, problem ? "; but " : "",
	            problem ? problem : "");
}

/* ---- the source ---- */

/* An address that may live here, whether or not anything does. */
static bool make_up_source(struct trace *trace)
{
	const struct view_network *net = trace->net;
	struct probe_packet *packet = &trace->packet;
	const size_t last = packet->family == 4 ? 3 : 15;
	const uint8_t *base = NULL;

	for (size_t i = 0; i < net->range_count && !base; i++)
		if (net->ranges[i].family == packet->family)
			base = net->ranges[i].addr;
	for (size_t i = 0; i < net->gateway_count && !base; i++)
		if (net->gateways[i].family == packet->family &&
		    view_in_subnet(net, packet->family, net->gateways[i].addr))
			base = net->gateways[i].addr;
	for (unsigned int i = 0; base && i < CANDIDATES; i++) {
		memcpy(packet->source, base, last + 1);
		packet->source[last] = (uint8_t)(base[last] + i + 1);
		if (view_is_local(trace->view, net, packet->family, packet->source) &&
		    !view_is_gateway(net, packet->family, packet->source))
			return true;
	}
	return false;
}

/* Of the containers known here the one that answered last. */
static bool choose_neighbour(struct trace *trace)
{
	struct neigh_info *list = calloc(NEIGH_ENTRIES, sizeof(*list)), *best = NULL;
	uint32_t count = list ? neigh_list(trace->net->network->neigh, list, NEIGH_ENTRIES) : 0;

	for (uint32_t i = 0; i < count && i < NEIGH_ENTRIES; i++) {
		bool known = list[i].state != NEIGH_INCOMPLETE && list[i].state != NEIGH_FAILED;

		if (known && list[i].addr.family == trace->packet.family &&
		    memcmp(list[i].addr.addr, trace->packet.destination, 16) != 0 &&
		    (!best || list[i].confirmed_ns > best->confirmed_ns))
			best = &list[i];
	}
	if (best)
		memcpy(trace->packet.source, best->addr.addr, sizeof(trace->packet.source));
	free(list);
	return best;
}

static bool is_chosen_station(const struct trace *trace, const struct fdb_info *info)
{
	const struct probe_packet *packet = &trace->packet;

	if (info->place.owner->peer || info->key.kind == FDB_MAC ||
	    load_be16(info->key.vlans.tag[0].b))
		return false;
	if (trace->has_source)
		return info->key.kind == packet->family &&
		       memcmp(info->key.addr, packet->source, 16) == 0;
	if (trace->to_mac ? memcmp(info->place.mac, packet->destination_mac, ETHER_ADDR_SIZE) == 0
	                  : memcmp(info->key.addr, packet->destination, 16) == 0)
		return false;
	/* Link-local ones say little; the bridge's own are everybody's. */
	return (packet->family ? info->key.kind == packet->family : true) &&
	       !(info->key.kind == FDB_IPV6 && info->key.addr[0] == 0xfe) &&
	       !view_is_gateway(trace->net, info->key.kind, info->key.addr);
}

static bool choose_station(struct trace *trace)
{
	struct fdb *fdb = trace->net->network->fdb;
	struct fdb_info *list = calloc(FDB_ENTRIES, sizeof(*list)), *best = NULL;
	uint32_t count = list ? fdb_list(fdb, list, FDB_ENTRIES) : 0;

	for (uint32_t i = 0; i < count && i < FDB_ENTRIES; i++)
		if (is_chosen_station(trace, &list[i]) &&
		    (!best || list[i].heard_ns > best->heard_ns))
			best = &list[i];
	if (best) {
		if (!trace->to_mac)
			memcpy(trace->packet.source, best->key.addr, sizeof(best->key.addr));
		memcpy(trace->packet.source_mac, best->place.mac, ETHER_ADDR_SIZE);
	}
	free(list);
	return best;
}

static bool step_source_routed(struct trace *trace, struct peer **peer, enum drop *route)
{
	struct probe_packet *packet = &trace->packet;
	uint8_t *bytes;
	char addr[PREFIX_TEXT_MAX], text[TEXT_SENTENCE_MAX];
	bool known = trace->has_source || choose_neighbour(trace);
	struct packet pkt;

	if (!known && !make_up_source(trace))
		return step(trace, "source", false, DROP_OUT_SOURCE,
		            "no address of this family may live here: say --from");
	trace->sourced = true;
	trace->known = known;
	bytes = malloc(packet->len);
	packet->protocol = packet->family == 4 ? IPPROTO_WIRE_ICMP : IPPROTO_WIRE_ICMPV6;
	format_addr(packet->family, packet->source, addr);
	*route = DROP_OUT_MALFORMED;
	if (bytes && probe_make_packet(packet, packet->len, 0, bytes) &&
	    packet_parse_ip(bytes, packet->len, &pkt))
		*route = tx_judge(trace->view, trace->net, &pkt, peer);
	free(bytes);
	if (*route != DROP_NONE && *route != DROP_OUT_NETWORK && *route != DROP_OUT_NO_ROUTE)
		return step(trace, "source", false, *route, "%s: %s", addr,
		            text_continue(drop_text(*route), text));
	return step(trace, "source", true, DROP_NONE, "%s may live here%s", addr,
	            known ? ""
	            : view_is_local(trace->view, trace->net, packet->family, packet->destination)
	                    ? " (made up: no other container is known yet)"
	                    : " (made up: no container is known yet)");
}

static bool step_source_bridged(struct trace *trace)
{
	struct probe_packet *packet = &trace->packet;
	const struct view_network *net = trace->net;
	char addr[PREFIX_TEXT_MAX] = "a frame";
	bool known = choose_station(trace), owned = false;

	if (!known && trace->has_source)
		return step(trace, "source", false, DROP_NONE,
		            "no container of this host is known to have %s",
		            format_addr(packet->family, packet->source, addr));
	if (!known) {
		memcpy(packet->source_mac, net->bridge_mac, ETHER_ADDR_SIZE);
		for (size_t i = 0; i < net->gateway_count; i++)
			if (net->gateways[i].family == packet->family) {
				memcpy(packet->source, net->gateways[i].addr, 16);
				owned = true;
			}
	}
	trace->sourced = packet->family && (known || owned);
	trace->known = known && packet->family;
	packet->protocol = packet->family == 6   ? IPPROTO_WIRE_ICMPV6
	                   : packet->family == 4 ? IPPROTO_WIRE_ICMP
	                                         : 0;
	if (packet->family && !trace->sourced)
		return step(trace, "source", true, DROP_NONE, "no container is known yet");
	if (packet->family)
		format_addr(packet->family, packet->source, addr);
	return step(trace, "source", true, DROP_NONE, "%s%s", addr,
	            known ? ", known here" : ", the bridge's own: no container is known yet");
}

/* ---- where to ---- */

static bool step_route(struct trace *trace, struct peer *peer, enum drop reason)
{
	const struct probe_packet *packet = &trace->packet;
	char addr[PREFIX_TEXT_MAX], label[STATE_LABEL_MAX];
	const struct peer *claims =
		route_lookup(trace->view->routes, packet->family, packet->destination);

	format_addr(packet->family, packet->destination, addr);
	if (view_is_local(trace->view, trace->net, packet->family, packet->destination)) {
		trace->here = true;
		return step(trace, "route", !claims, DROP_OUT_NO_ROUTE,
		            claims ? "%s lives on this host by its Range, though AllowedIPs of "
		                     "peer %s have it, too"
		                   : "%s lives on this host%s",
		            addr, claims ? label_of(trace, claims, label) : "");
	}
	if (reason != DROP_NONE)
		return step(trace, "route", false, reason,
		            "%s is in the network's Subnet, but in no peer's AllowedIPs", addr);
	trace->peer = peer;
	return step(trace, "route", true, DROP_NONE, "peer %s has it",
	            label_of(trace, peer, label));
}

/* Nobody has told where it is: the one peer that may have it. */
static struct peer *guess_owner(const struct trace *trace)
{
	const struct probe_packet *packet = &trace->packet;
	struct peer *peer = trace->to_mac ? NULL
	                                  : route_lookup(trace->view->routes, packet->family,
	                                                 packet->destination);

	if (peer && view_find_member(trace->net, peer))
		return peer;
	return trace->net->member_count == 1 ? trace->net->members[0]->peer : NULL;
}

static bool step_unknown_station(struct trace *trace)
{
	char label[STATE_LABEL_MAX];

	memset(trace->packet.destination_mac, 0xff, ETHER_ADDR_SIZE);
	trace->known = false; /* nobody can send from there */
	if (trace->net->member_count == 0)
		return step(trace, "station", false, DROP_NONE,
		            "no peer may carry VNI %u: none has it in its VNIs", trace->net->vni);
	trace->peer = trace->ask && view_find_member(trace->net, trace->ask) ? trace->ask
	                                                                     : guess_owner(trace);
	if (!trace->peer) {
		trace->flooded = true;
		return step(trace, "station", true, DROP_NONE,
		            "nobody has told where it is; all %zu members are asked",
		            trace->net->member_count);
	}
	return step(trace, "station", true, DROP_NONE,
	            "nobody has told where it is; peer %s is asked",
	            label_of(trace, trace->peer, label));
}

/* Whether there is an address to ask all members from: none takes a packet of none. */
static bool step_asker(struct trace *trace)
{
	if (!trace->flooded || trace->sourced)
		return true;
	(void)step(trace, "probe", false, DROP_NONE,
	           "no container of this host was heard yet that the packet could come from");
	return cannot_tell(trace);
}

static bool step_unknown_mac(struct trace *trace)
{
	if (trace->net->guards.drop_unknown)
		return step(trace, "station", false, DROP_OUT_UNKNOWN,
		            "no member of the network has told of that MAC");
	(void)step(trace, "station", false, DROP_NONE,
	           "no member of the network has told of that MAC: frames to it go to all");
	return cannot_tell(trace);
}

static bool step_station(struct trace *trace)
{
	struct probe_packet *packet = &trace->packet;
	const struct view_network *net = trace->net;
	const struct fdb_key key = trace->to_mac ? fdb_key_mac(packet->destination_mac)
	                                         : fdb_key_ip(packet->family, packet->destination);
	struct fdb_place place;
	char label[STATE_LABEL_MAX];

	packet->vni = net->vni;
	if (!trace->to_mac && view_is_gateway(net, packet->family, packet->destination)) {
		trace->here = true;
		return step(trace, "station", true, DROP_NONE,
		            "the bridge of this host has that address itself");
	}
	if (!fdb_lookup(net->network->fdb, &key, trace->now_ns, &place)) {
		return trace->to_mac ? step_unknown_mac(trace) : step_unknown_station(trace);
	}
	memcpy(packet->destination_mac, place.mac, ETHER_ADDR_SIZE);
	trace->here = !place.owner->peer;
	trace->peer = place.owner->peer;
	if (trace->here)
		return step(trace, "station", true, DROP_NONE, "it is on this host");
	return step(trace, "station", true, DROP_NONE, "at peer %s (%s)",
	            label_of(trace, trace->peer, label),
	            place.source == FDB_STATIC      ? "static"
	            : place.source == FDB_ANNOUNCED ? "announced"
	                                            : "learned");
}

bool trace_path(struct trace *trace)
{
	enum drop route = DROP_NONE;
	struct peer *peer = NULL;

	if (!step_network(trace) || !step_bridge(trace))
		return false;
	if (trace->net->mode == NETWORK_BRIDGED) {
		if (!step_source_bridged(trace) || !step_station(trace) || !step_asker(trace))
			return false;
	} else if (!step_source_routed(trace, &peer, &route) || !step_route(trace, peer, route)) {
		return false;
	}
	return trace->peer && !trace->here;
}

uint32_t trace_largest(const struct trace *trace)
{
	uint32_t mtu = atomic_load_explicit(&trace->peer->tunnel_mtu, memory_order_relaxed);

	if (trace->net->mtu && trace->net->mtu < mtu)
		mtu = trace->net->mtu;
	if (trace->net->mode == NETWORK_BRIDGED)
		mtu -= (uint32_t)(sizeof(struct wire_vxlan) + sizeof(struct wire_ethernet));
	return mtu;
}
