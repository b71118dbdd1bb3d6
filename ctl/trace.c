/* SPDX-License-Identifier: MIT */
/*
 *	trace       to: an address, or of a bridged network a MAC; from: the packet's
 *	            source; network: a name; size: of the IP packet; wait_s: for an answer;
 *	            ask: public key of the member that is asked where nobody has told who has
 *	            the destination; all but "to" may be left out
 *	            →  version: 1; to, from (null: of a MAC, or not known), size; here: it lives on this
 *	            host; network: name, mode, bridge, vni (null: routed), attached, problem
 *	            (null), or null: none; route: the prefix of the peer's AllowedIPs (null);
 *	            largest: the longest IP packet that goes there in one message (null);
 *	            peer: as "show" has it, or null; source, station: what is known of either
 *	            end on this host: address, mac, state, age_s, or null: nothing;
 *	            steps: step, ok, unknown (true: nobody can tell; or missing), reason (a
 *	            drop's name, or null), text;
 *	            number: of the probe that is under way (null: none); members: public keys
 *	            of those that have to be asked by "ask" (null: none)
 *	trace-look  number  →  version: 1; over; phase: session, hello, sent, done,
 *	            no-endpoint, no-key, no-session, stock, too-old, silent; requests,
 *	            answers, renewed: a new session was asked for, round_trip_s (null);
 *	            answer (null): stage: heard, admitted, attached, found, written, answered;
 *	            pending, gateway, contested, flooded, reason (null), text, tunnel_mtu,
 *	            tap_mtu (0: not known), received, lost, sent, drops: names to counters;
 *	            here (null: not tried): the same up to text, of the way back from there to
 *	            the source on this host; peer: as above, now
 */
#include "ctl/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/config.h"
#include "ctl/run_network.h"
#include "ctl/show.h"
#include "dataplane/fdb.h"

#define WAIT_S     6.0
#define WAIT_S_MAX 60.0
#define SIZE_V4    84 /* ping's */
#define SIZE_V6    104

static json_t *address(uint8_t family, const uint8_t *addr)
{
	struct prefix prefix = { .family = family, .len = family == 4 ? 32 : 128 };
	char text[PREFIX_TEXT_MAX];

	memcpy(prefix.addr, addr, sizeof(prefix.addr));
	prefix_format(&prefix, text);
	text[strcspn(text, "/")] = '\0';
	return json_string(text);
}

static bool parse_address(const char *text, uint8_t *family, uint8_t addr[16])
{
	struct prefix prefix;

	if (strchr(text, '/') || !prefix_parse(&prefix, text))
		return false;
	*family = prefix.family;
	memcpy(addr, prefix.addr, sizeof(prefix.addr));
	return true;
}

__attribute__((format(printf, 2, 3))) static bool wrong(char out[TRACE_WRONG_MAX],
                                                        const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(out, TRACE_WRONG_MAX, format, args);
	va_end(args);
	return false;
}

/* The request's words. False, and @out says what is wrong. */
static bool take_ends(struct trace *trace, const json_t *request, char *out)
{
	const char *to = json_string_value(json_object_get(request, "to"));
	const char *from = json_string_value(json_object_get(request, "from"));
	struct probe_packet *packet = &trace->packet;
	uint8_t family = 0;

	if (!to)
		return wrong(out, "to is missing");
	trace->to_mac = config_parse_mac(packet->destination_mac, to);
	if (!trace->to_mac && !parse_address(to, &packet->family, packet->destination))
		return wrong(out, "\"%s\": expected an address or a MAC", to);
	if (trace->to_mac && config_mac_problem(packet->destination_mac))
		return wrong(out, "\"%s\": %s", to, config_mac_problem(packet->destination_mac));
	if (!from)
		return true;
	if (trace->to_mac)
		return wrong(out, "from: a frame to a MAC has no addresses; leave it out");
	if (!parse_address(from, &family, packet->source))
		return wrong(out, "\"%s\": expected an address", from);
	if (family != packet->family)
		return wrong(out, "%s and %s are not of one family of addresses", from, to);
	trace->has_source = trace->sourced = true;
	return true;
}

static bool take_network(struct trace *trace, const json_t *request, char *out)
{
	const struct config *config = trace->state->config;
	const char *name = json_string_value(json_object_get(request, "network"));

	trace->network = SIZE_MAX;
	if (!name)
		return true;
	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, name) == 0)
			trace->network = i;
	return trace->network != SIZE_MAX || wrong(out, "no network \"%s\"", name);
}

static bool take_ask(struct trace *trace, const json_t *request, char *out)
{
	const char *key = json_string_value(json_object_get(request, "ask"));
	const struct config *config = trace->state->config;
	uint8_t public_key[KEY_SIZE];

	if (!key)
		return true;
	if (secret_from_base64(public_key, key, strlen(key)))
		for (size_t i = 0; i < config->peer_count; i++)
			if (memcmp(config->peers[i].public_key, public_key, KEY_SIZE) == 0)
				trace->ask = trace->state->peers[i].peer;
	return trace->ask || wrong(out, "ask: no peer has that public key");
}

static bool take_size(struct trace *trace, const json_t *request, char *out)
{
	const json_t *size = json_object_get(request, "size");
	uint8_t family = trace->packet.family;
	json_int_t least = family == 6 ? 48 : 28;

	trace->packet.len = family == 6 ? SIZE_V6 : SIZE_V4;
	if (!size)
		return true;
	if (!json_is_integer(size) || json_integer_value(size) < least ||
	    json_integer_value(size) > UINT16_MAX)
		return wrong(out, "size: expected %d to 65535 bytes, the IP header included",
		             (int)least);
	trace->packet.len = (uint16_t)json_integer_value(size);
	return true;
}

static bool take_wait(const json_t *request, double *wait_s, char *out)
{
	const json_t *wait = json_object_get(request, "wait_s");

	*wait_s = wait ? json_number_value(wait) : WAIT_S;
	return (*wait_s > 0 && *wait_s <= WAIT_S_MAX) ||
	       wrong(out, "wait_s: expected up to %.0f seconds", WAIT_S_MAX);
}

static json_t *text_or_null(const char *text)
{
	json_t *string = text && *text ? json_string(text) : NULL;

	return string ? string : json_null();
}

static json_t *show_network(const struct trace *trace)
{
	if (trace->network == SIZE_MAX)
		return json_null();
	const struct config_network *config = &trace->state->config->networks[trace->network];
	const struct run_network *run = trace->state->networks[trace->network];

	return json_pack(
		"{s:o, s:s, s:o, s:o, s:b, s:o}", "name", text_or_null(config->name), "mode",
		config->bridged ? "bridged" : "routed", "bridge", text_or_null(config->bridge),
		"vni", config->bridged ? json_integer(config->vni) : json_null(), "attached",
		(int)trace->net->attached, "problem", text_or_null(run_network_problem(run)));
}

static json_t *age(uint64_t then_ns, uint64_t now_ns)
{
	return then_ns ? json_real((double)peer_age_ns(now_ns, then_ns) / (double)STATE_SECOND_NS)
	               : json_null();
}

/* What this host knows of one of the ends, if it has lived here. */
static json_t *show_end(const struct trace *trace, const uint8_t *addr, const uint8_t *mac)
{
	static const char *const states[] = {
		[NEIGH_FREE] = "free",           [NEIGH_INCOMPLETE] = "incomplete",
		[NEIGH_REACHABLE] = "reachable", [NEIGH_PROBING] = "probing",
		[NEIGH_CONTESTED] = "contested", [NEIGH_FAILED] = "failed",
	};
	struct neigh_addr key = { .family = trace->packet.family };
	struct neigh_info info;
	struct fdb_place place;

	if (!trace->net)
		return json_null();
	memcpy(key.addr, addr, sizeof(key.addr));
	if (trace->net->mode == NETWORK_BRIDGED) {
		const struct fdb_key station =
			key.family ? fdb_key_ip(key.family, addr) : fdb_key_mac(mac);

		if (!fdb_lookup(trace->net->network->fdb, &station, trace->now_ns, &place))
			return json_null();
		return json_pack("{s:o, s:s, s:o}", "mac", show_mac(place.mac), "state",
		                 place.owner->peer ? "remote" : "here", "age_s",
		                 age(place.heard_ns, trace->now_ns));
	}
	if (!neigh_find(trace->net->network->neigh, &key, &info))
		return json_null();
	return json_pack(
		"{s:o, s:s, s:o}", "mac",
		info.state == NEIGH_INCOMPLETE || info.state == NEIGH_FAILED ? json_null()
									     : show_mac(info.mac),
		"state", states[info.state], "age_s", age(info.confirmed_ns, trace->now_ns));
}

/* The longest of the peer's prefixes that holds the destination. */
static json_t *show_route_of(const struct trace *trace, const struct config_peer *peer)
{
	const struct prefix *best = NULL;
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < peer->allowed_count; i++) {
		const struct prefix *allowed = &peer->allowed[i];

		if (allowed->family == trace->packet.family &&
		    prefix_contains(allowed, trace->packet.destination) &&
		    (!best || allowed->len > best->len))
			best = allowed;
	}
	if (!best)
		return json_null();
	prefix_format(best, text);
	return json_string(text);
}

static const struct config_peer *config_of(const struct state *state, const struct peer *peer)
{
	for (size_t i = 0; peer && i < state->config->peer_count; i++)
		if (state->peers[i].peer == peer)
			return &state->config->peers[i];
	return NULL;
}

static json_t *show_peer_of(const struct state *state, const struct config_peer *config)
{
	return config ? show_peer(state, (size_t)(config - state->config->peers)) : json_null();
}

/* Whom a question for the destination would go to, were it flooded. */
static json_t *show_members(const struct trace *trace)
{
	char key[KEY_BASE64_LEN + 1];
	json_t *members;

	if (!trace->flooded)
		return json_null();
	members = json_array();
	for (size_t i = 0; i < trace->net->member_count; i++) {
		secret_to_base64(key, trace->net->members[i]->peer->public_key);
		json_array_append_new(members, json_string(key));
	}
	return members;
}

static json_t *reply_of(struct trace *trace, uint64_t number)
{
	const struct config_peer *config = config_of(trace->state, trace->peer);
	const struct probe_packet *packet = &trace->packet;
	json_t *reply = json_pack(
		"{s:b, s:i, s:o, s:o, s:i, s:b, s:o, s:o, s:o, s:o}", "ok", 1, "version", 1, "to",
		trace->to_mac ? show_mac(packet->destination_mac)
			      : address(packet->family, packet->destination),
		"from", trace->sourced ? address(packet->family, packet->source) : json_null(),
		"size", (int)packet->len, "here", (int)trace->here, "network", show_network(trace),
		"route", config && packet->family ? show_route_of(trace, config) : json_null(),
		"largest", config ? json_integer(trace_largest(trace)) : json_null(), "peer",
		show_peer_of(trace->state, config));

	if (!reply)
		return NULL;
	json_object_set_new(reply, "source", show_end(trace, packet->source, packet->source_mac));
	json_object_set_new(reply, "station",
	                    show_end(trace, packet->destination, packet->destination_mac));
	json_object_set(reply, "steps", trace->steps);
	json_object_set_new(reply, "number",
	                    number ? json_integer((json_int_t)number) : json_null());
	json_object_set_new(reply, "members", show_members(trace));
	return reply;
}

json_t *trace_begin(struct state *state, const json_t *request, char out[TRACE_WRONG_MAX])
{
	struct trace trace = {
		.state = state,
		.view = atomic_load_explicit(&state->device->view, memory_order_acquire),
		.now_ns = device_now(state->device),
	};
	uint64_t number = 0;
	double wait_s = 0;
	json_t *reply;

	if (!take_ends(&trace, request, out) || !take_network(&trace, request, out) ||
	    !take_ask(&trace, request, out) || !take_size(&trace, request, out) ||
	    !take_wait(request, &wait_s, out))
		return NULL;
	trace.steps = json_array();
	if (trace_path(&trace)) {
		const struct probe_order order = {
			.peer = trace.peer,
			.packet = trace.packet,
			.here = trace.known,
			.wait_ns = (uint64_t)(wait_s * (double)STATE_SECOND_NS),
			.asker = state->reader ? PROBE_READER : PROBE_ROOT,
		};

		number = probe_start(state->device, &order);
		workers_kick(&state->workers);
	}
	reply = reply_of(&trace, number);
	json_decref(trace.steps);
	return reply;
}

static json_t *show_drops_of(const struct probe_answer *answer)
{
	json_t *drops = json_object();

	for (uint32_t i = 0; i < answer->drop_count; i++)
		json_object_set_new(drops, answer->drops[i].name,
		                    json_integer((json_int_t)(answer->drops[i].count & INT64_MAX)));
	return drops;
}

/* How far it got; null: nobody has said yet. */
static json_t *show_answer(const struct probe_answer *answer)
{
	static const char *const stages[] = {
		[PROBE_HEARD] = "heard",       [PROBE_ADMITTED] = "admitted",
		[PROBE_ATTACHED] = "attached", [PROBE_FOUND] = "found",
		[PROBE_WRITTEN] = "written",   [PROBE_ANSWERED] = "answered",
	};
	const char *text = NULL;

	if (!answer->stage)
		return json_null();
	for (int i = DROP_NONE + 1; i < DROP_COUNT && !text; i++)
		if (strcmp(drop_name((enum drop)i), answer->reason) == 0)
			text = drop_text((enum drop)i);
	return json_pack("{s:s, s:b, s:b, s:b, s:b, s:o, s:o}", "stage", stages[answer->stage],
	                 "pending", answer->flags & PROBE_PENDING ? 1 : 0, "gateway",
	                 answer->flags & PROBE_GATEWAY ? 1 : 0, "contested",
	                 answer->flags & PROBE_CONTESTED ? 1 : 0, "flooded",
	                 answer->flags & PROBE_FLOODED ? 1 : 0, "reason",
	                 text_or_null(answer->reason), "text", text_or_null(text));
}

static json_t *show_reply(const struct probe_answer *answer)
{
	json_t *reply = show_answer(answer);

	if (!json_is_object(reply))
		return reply;
	json_object_set_new(reply, "tunnel_mtu", json_integer(answer->tunnel_mtu));
	json_object_set_new(reply, "tap_mtu", json_integer(answer->tap_mtu));
	json_object_set_new(reply, "received",
	                    json_integer((json_int_t)(answer->received & INT64_MAX)));
	json_object_set_new(reply, "lost", json_integer((json_int_t)(answer->lost & INT64_MAX)));
	json_object_set_new(reply, "sent", json_integer((json_int_t)(answer->sent & INT64_MAX)));
	json_object_set_new(reply, "drops", show_drops_of(answer));
	return reply;
}

json_t *trace_look(struct state *state, const json_t *request, char out[TRACE_WRONG_MAX])
{
	static const char *const phases[] = {
		[PROBE_FREE] = "free",     [PROBE_SESSION] = "session",
		[PROBE_HELLO] = "hello",   [PROBE_SENT] = "sent",
		[PROBE_DONE] = "done",     [PROBE_NO_ENDPOINT] = "no-endpoint",
		[PROBE_NO_KEY] = "no-key", [PROBE_NO_SESSION] = "no-session",
		[PROBE_STOCK] = "stock",   [PROBE_TOO_OLD] = "too-old",
		[PROBE_SILENT] = "silent",
	};
	const json_t *number = json_object_get(request, "number");
	struct probe_own own;

	if (!json_is_integer(number) ||
	    !probe_look(state->device, (uint64_t)json_integer_value(number), &own)) {
		(void)wrong(out, "number: no trace of that number is under way");
		return NULL;
	}
	return json_pack("{s:b, s:i, s:b, s:s, s:i, s:i, s:b, s:o, s:o, s:o, s:o}", "ok", 1,
	                 "version", 1, "over", (int)probe_is_all_over(&own), "phase",
	                 phases[own.phase], "requests", (int)own.requests, "answers",
	                 (int)own.answers, "renewed", (int)own.asked_session, "round_trip_s",
	                 own.round_trip_ns
	                         ? json_real((double)own.round_trip_ns / (double)STATE_SECOND_NS)
	                         : json_null(),
	                 "answer", show_reply(&own.answer), "here", show_answer(&own.here_answer),
	                 "peer", show_peer_of(state, config_of(state, own.peer)));
}
