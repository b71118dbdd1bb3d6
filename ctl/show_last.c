/* SPDX-License-Identifier: MIT */
/*
 *	drops-last  version: 1; last: of each reason with a count: reason, count, text,
 *	            direction (in: from the tunnel; out: into it), and null where it is
 *	            not known: when (unix seconds), age_s, peer, public_key, network,
 *	            from (the outer source), length, header: kind (datagram,
 *	            plaintext, frame), text: one line, bytes: what was kept, in hex, and
 *	            what there is of source, destination, protocol, source_port,
 *	            destination_port, source_mac, destination_mac, ethertype, vlans, vni,
 *	            message, receiver
 */
#include "ctl/show_last.h"

#include <arpa/inet.h>
#include <string.h>
#include "dataplane/recorder.h"

static const char *const kinds[] = {
	[HEADER_NONE] = "none",
	[HEADER_DATAGRAM] = "datagram",
	[HEADER_PLAINTEXT] = "plaintext",
	[HEADER_FRAME] = "frame",
};

static bool is_out(enum drop reason)
{
	return reason >= DROP_OUT_NO_NETWORK && reason <= DROP_OUT_SEND;
}

static void set_number(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static json_t *mac(const uint8_t bytes[ETHER_ADDR_SIZE])
{
	return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", bytes[0], bytes[1], bytes[2], bytes[3],
	                    bytes[4], bytes[5]);
}

static json_t *address(uint8_t family, const uint8_t *addr)
{
	char text[INET6_ADDRSTRLEN];

	return json_string(inet_ntop(family == 4 ? AF_INET : AF_INET6, addr, text, sizeof(text)));
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * HEADER_MAX];

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	return json_stringn(text, 2 * len);
}

static void add_ethernet(json_t *object, const struct header *header)
{
	json_t *vlans = json_array();

	for (unsigned int i = 0; i < header->vlan_count; i++)
		json_array_append_new(vlans, json_integer(header->vlans[i]));
	json_object_set_new(object, "source_mac", mac(header->mac_source));
	json_object_set_new(object, "destination_mac", mac(header->mac_destination));
	set_number(object, "ethertype", header->ethertype);
	json_object_set_new(object, "vlans", vlans);
}

static json_t *show_header(const struct recorder_entry *entry)
{
	enum header_kind kind = (enum header_kind)entry->kind;
	char text[HEADER_TEXT];
	struct header header;
	json_t *object;

	if (kind == HEADER_NONE)
		return json_null();
	header_parse(&header, kind, entry->header, entry->header_len);
	header_format(&header, kind, text);
	object = json_pack("{s:s, s:s, s:o}", "kind", kinds[kind], "text", text, "bytes",
	                   hex(entry->header, entry->header_len));
	if (header.has_vni)
		set_number(object, "vni", header.vni);
	if (header.has_ethernet)
		add_ethernet(object, &header);
	if (header.family) {
		json_object_set_new(object, "source", address(header.family, header.source));
		json_object_set_new(object, "destination",
		                    address(header.family, header.destination));
	}
	if (header.family && !header.is_arp)
		set_number(object, "protocol", header.proto);
	if (header.has_ports) {
		set_number(object, "source_port", header.source_port);
		set_number(object, "destination_port", header.destination_port);
	}
	if (header.message) {
		set_number(object, "message", header.message);
		set_number(object, "receiver", header.receiver);
	}
	return object;
}

static void add_peer(json_t *object, const struct state *state, const uint8_t key[KEY_SIZE])
{
	const struct config_peer *peer = config_find_peer(state->config, key);
	char label[STATE_LABEL_MAX], text[KEY_BASE64_LEN + 1];

	secret_to_base64(text, key);
	json_object_set_new(object, "public_key", json_string(text));
	if (!peer)
		return; /* it is gone */
	state_label_peer(peer, label);
	json_object_set_new(object, "peer", json_string(label));
}

static void add_entry(json_t *object, const struct state *state, const struct recorder_entry *entry)
{
	const struct environment *env = state->device->env;
	uint64_t now_ns = device_now(state->device);
	uint64_t age_ns = now_ns > entry->when_ns ? now_ns - entry->when_ns : 0;
	char from[ENDPOINT_TEXT_MAX];

	json_object_set_new(object, "when",
	                    json_real((double)(env->wall_ns(env->arg) - age_ns) / 1e9));
	json_object_set_new(object, "age_s", json_real((double)age_ns / 1e9));
	if (entry->has_peer)
		add_peer(object, state, entry->peer);
	for (size_t i = 0; entry->network && i < state->config->network_count; i++)
		if (state->networks[i]->network->serial == entry->network)
			json_object_set_new(object, "network",
			                    json_string(state->config->networks[i].name));
	if (endpoint_is_set(&entry->from)) {
		endpoint_format(&entry->from, from);
		json_object_set_new(object, "from", json_string(from));
	}
	if (entry->kind == HEADER_NONE)
		return;
	set_number(object, "length", entry->len);
	json_object_set_new(object, "header", show_header(entry));
}

static json_t *show_reason(const struct state *state, enum drop reason, uint64_t count)
{
	static const char *const unknown[] = { "when",    "age_s", "peer",   "public_key",
		                               "network", "from",  "length", "header" };
	json_t *object = json_pack("{s:s, s:I, s:s, s:s}", "reason", drop_name(reason), "count",
	                           (json_int_t)count, "text", drop_text(reason), "direction",
	                           is_out(reason) ? "out" : "in");
	struct recorder_entry entry;

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		json_object_set_new(object, unknown[i], json_null());
	if (recorder_read(&state->device->recorder, reason, &entry))
		add_entry(object, state, &entry);
	return object;
}

json_t *show_last(struct state *state)
{
	json_t *last = json_array();

	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		uint64_t count = stats_read(&state->device->stats.drops[i]);

		if (count)
			json_array_append_new(last, show_reason(state, (enum drop)i, count));
	}
	return json_pack("{s:b, s:i, s:o}", "ok", 1, "version", 1, "last", last);
}
