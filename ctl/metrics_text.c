/* SPDX-License-Identifier: MIT */
/*
 * The format wants all samples of a metric in one place, so the outer loop is over the
 * metrics and the inner one over peers or networks; the cursor stands between two of
 * them. Peers and networks are found by their place, which another configuration
 * changes: then the rest is given up, and who asked asks again.
 *
 * Labels. A peer is `peer`: its name, or without one its whole public key (a name cannot
 * look like a key, so no two are the same). The key beside the name is one sample of
 * ovltun_peer_info, not 44 bytes more on every line. Endpoints are no label: a peer that
 * roams would be a new series each time. Of a peer's or network's drops the reasons that
 * have happened are listed, of the daemon's all: 10,000 peers times 80 reasons would be
 * 800,000 series of nought.
 */
#include "ctl/metrics_text.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include "crypto/aead.h"
#include "ctl/run_network.h"
#include "dataplane/fdb.h"

struct family {
	const char *name, *type, *help;
	enum { OF_DEVICE, OF_NETWORK, OF_BRIDGED, OF_PEER } of;
	/* One of three. What has labels of its own, one sample or several. */
	void (*put)(const struct family *family, const struct state *state, size_t i,
	            struct buffer *out);
	/* A number, or with @is_time nanoseconds; false: there is none now. */
	bool (*read)(const struct state *state, size_t i, uint64_t *value);
	bool is_time;
	/* A counter of struct peer or struct network. */
	size_t counter;
};

/* Samples */

bool metrics_text_put_escaped(struct buffer *out, const char *value)
{
	for (;;) {
		size_t plain = strcspn(value, "\\\"\n");

		if (plain && !buffer_append(out, value, plain))
			return false;
		value += plain;
		if (!*value)
			return true;
		if (!buffer_append(out,
		                   *value == '\n'  ? "\\n"
		                   : *value == '"' ? "\\\""
		                                   : "\\\\",
		                   2))
			return false;
		value++;
	}
}

static void put_label(struct buffer *out, const char *between, const char *name, const char *value)
{
	buffer_printf(out, "%s%s=\"", between, name);
	(void)metrics_text_put_escaped(out, value);
	(void)buffer_append(out, "\"", 1);
}

static void put_value(struct buffer *out, uint64_t value)
{
	buffer_printf(out, " %" PRIu64 "\n", value);
}

static void put_seconds(struct buffer *out, uint64_t ns)
{
	buffer_printf(out, " %" PRIu64 ".%09" PRIu64 "\n", ns / STATE_SECOND_NS,
	              ns % STATE_SECOND_NS);
}

/* "NAME{network="ovl0"", to be closed by "}". */
static void open_network(const struct family *family, const struct state *state, size_t i,
                         struct buffer *out)
{
	buffer_printf(out, "%s", family->name);
	put_label(out, "{", "network", state->config->networks[i].name);
}

static void open_peer(const struct family *family, const struct state *state, size_t i,
                      struct buffer *out)
{
	const struct config_peer *peer = &state->config->peers[i];
	char key[KEY_BASE64_LEN + 1];

	if (!peer->name[0])
		secret_to_base64(key, peer->public_key);
	/* Neither a name nor a key has anything to escape. */
	buffer_printf(out, "%s{peer=\"%s\"", family->name, peer->name[0] ? peer->name : key);
}

static void close_number(struct buffer *out, uint64_t value)
{
	(void)buffer_append(out, "}", 1);
	put_value(out, value);
}

/* The daemon */

static void put_build(const struct family *family, const struct state *state, size_t i,
                      struct buffer *out)
{
	(void)state;
	(void)i;
	buffer_printf(out, "%s", family->name);
	put_label(out, "{", "version", OVLTUN_VERSION);
	close_number(out, 1);
}

static void put_device(const struct family *family, const struct state *state, size_t i,
                       struct buffer *out)
{
	const struct worker *worker = state->workers.list[0];
	char key[KEY_BASE64_LEN + 1] = "";
	uint8_t public_key[KEY_SIZE];

	(void)i;
	if (state->config->has_private_key) {
		secret_derive_public(public_key, state->config->private_key);
		secret_to_base64(key, public_key);
	}
	buffer_printf(out, "%s", family->name);
	put_label(out, "{", "device", state->name);
	put_label(out, ",", "public_key", key);
	put_label(out, ",", "io", worker ? worker_io_name(worker) : "none");
	put_label(out, ",", "aead", aead_name());
	close_number(out, 1);
}

static bool read_uptime(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = device_now(state->device) - state->started_ns;
	return true;
}

static bool read_workers(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = state->workers.count;
	return true;
}

static bool read_realtime(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = state->realtime;
	return true;
}

static bool read_locked(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = state->device->peer_arena.locked;
	return true;
}

static bool read_peers(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = state->config->peer_count;
	return true;
}

static bool read_networks(const struct state *state, size_t i, uint64_t *value)
{
	(void)i;
	*value = state->config->network_count;
	return true;
}

static void put_drops(const struct family *family, const struct state *state, size_t i,
                      struct buffer *out)
{
	(void)i;
	for (int reason = DROP_NONE + 1; reason < DROP_COUNT; reason++)
		buffer_printf(out, "%s{reason=\"%s\"} %" PRIu64 "\n", family->name,
		              drop_name((enum drop)reason),
		              stats_read(&state->device->stats.drops[reason]));
}

static void put_events(const struct family *family, const struct state *state, size_t i,
                       struct buffer *out)
{
	(void)i;
	for (int event = 0; event < EVENT_COUNT; event++)
		buffer_printf(out, "%s{event=\"%s\"} %" PRIu64 "\n", family->name,
		              event_name((enum event)event),
		              stats_read(&state->device->stats.events[event]));
}

/* Networks */

static void put_network_info(const struct family *family, const struct state *state, size_t i,
                             struct buffer *out)
{
	const struct config_network *config = &state->config->networks[i];

	open_network(family, state, i, out);
	put_label(out, ",", "bridge", config->bridge);
	put_label(out, ",", "mode", config->bridged ? "bridged" : "routed");
	put_label(out, ",", "tap", state->networks[i]->tap.name);
	if (config->bridged)
		buffer_printf(out, ",vni=\"%" PRIu32 "\"", config->vni);
	close_number(out, 1);
}

static bool read_attached(const struct state *state, size_t i, uint64_t *value)
{
	const struct run_network *run = state->networks[i];

	*value = run->bridge && bridge_state(run->bridge)->attached;
	return true;
}

static void put_network_drops(const struct family *family, const struct state *state, size_t i,
                              struct buffer *out)
{
	const struct run_network *run = state->networks[i];

	for (int reason = DROP_NONE + 1; reason < DROP_COUNT; reason++) {
		uint64_t count = stats_read(&run->network->drops[reason]);

		if (!count)
			continue;
		open_network(family, state, i, out);
		put_label(out, ",", "reason", drop_name((enum drop)reason));
		close_number(out, count);
	}
}

static bool read_tap_lost(const struct state *state, size_t i, uint64_t *value)
{
	const struct run_network *run = state->networks[i];

	return run->tap.queues && netlink_link_drops(state->netlink, run->tap_index, value) == 0;
}

static bool read_members(const struct state *state, size_t i, uint64_t *value)
{
	*value = state->members[i].count;
	return true;
}

static bool read_stations(const struct state *state, size_t i, uint64_t *value)
{
	struct fdb_counts counts;

	fdb_get_counts(state->networks[i]->network->fdb, &counts);
	*value = counts.entries;
	return true;
}

static bool read_stations_here(const struct state *state, size_t i, uint64_t *value)
{
	const struct network *network = state->networks[i]->network;

	fdb_lock(network->fdb);
	*value = (uint64_t)network->local.macs + network->local.addrs;
	fdb_unlock(network->fdb);
	return true;
}

/* Peers */

static struct peer_info info_of(const struct state *state, size_t i)
{
	struct peer_info info;

	peer_get_info(state->peers[i].peer, device_now(state->device), &info);
	return info;
}

static void put_peer_info(const struct family *family, const struct state *state, size_t i,
                          struct buffer *out)
{
	char key[KEY_BASE64_LEN + 1];

	secret_to_base64(key, state->config->peers[i].public_key);
	open_peer(family, state, i, out);
	put_label(out, ",", "public_key", key);
	close_number(out, 1);
}

static bool read_session(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).session_age_ns != UINT64_MAX;
	return true;
}

static bool read_session_age(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).session_age_ns;
	return *value != UINT64_MAX;
}

static bool read_handshake(const struct state *state, size_t i, uint64_t *value)
{
	*value = stats_read(&state->peers[i].peer->handshake_wall_ns);
	return true;
}

static bool read_handshake_round_trip(const struct state *state, size_t i, uint64_t *value)
{
	*value = stats_read(&state->peers[i].peer->round_trip_ns);
	return *value;
}

static bool read_round_trip(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).round_trip_ns;
	return *value;
}

static bool read_variation(const struct state *state, size_t i, uint64_t *value)
{
	struct peer_info info = info_of(state, i);

	*value = info.round_trip_variation_ns;
	return info.round_trip_ns;
}

static bool read_attempts(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).attempts;
	return true;
}

static bool read_keepalive(const struct state *state, size_t i, uint64_t *value)
{
	*value = state->config->peers[i].keepalive_s;
	return true;
}

static bool read_mtu(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).tunnel_mtu;
	return true;
}

static bool read_lost(const struct state *state, size_t i, uint64_t *value)
{
	*value = info_of(state, i).lost;
	return true;
}

static void put_peer_drops(const struct family *family, const struct state *state, size_t i,
                           struct buffer *out)
{
	const struct peer *peer = state->peers[i].peer;

	for (int reason = DROP_NONE + 1; reason < DROP_COUNT; reason++) {
		uint64_t count = stats_read(&peer->drops[reason]);

		if (!count)
			continue;
		open_peer(family, state, i, out);
		put_label(out, ",", "reason", drop_name((enum drop)reason));
		close_number(out, count);
	}
}

/* The table */

#define SAMPLES(name, of, function, type, help)       \
	{                                             \
		name, type, help, of, .put = function \
	}
#define NUMBER(name, of, function, type, help)         \
	{                                              \
		name, type, help, of, .read = function \
	}
#define TIME(name, of, function, help)                                     \
	{                                                                  \
		name, "gauge", help, of, .read = function, .is_time = true \
	}
/* Read as it stands, without a look at the rest. */
#define OF_NETWORK_FIELD(name, of, field, help)                                       \
	{                                                                             \
		name, "counter", help, of, .counter = offsetof(struct network, field) \
	}
#define OF_PEER_FIELD(name, field, help)                                                \
	{                                                                               \
		name, "counter", help, OF_PEER, .counter = offsetof(struct peer, field) \
	}

static const struct family families[] = {
	SAMPLES("ovltun_build_info", OF_DEVICE, put_build, "gauge",
	        "The version of the daemon; always 1."),
	SAMPLES("ovltun_device_info", OF_DEVICE, put_device, "gauge",
	        "The device, its public key, its I/O and its AEAD; always 1."),
	TIME("ovltun_uptime_seconds", OF_DEVICE, read_uptime, "Since the daemon started."),
	NUMBER("ovltun_workers", OF_DEVICE, read_workers, "gauge", "Threads that carry packets."),
	NUMBER("ovltun_workers_realtime", OF_DEVICE, read_realtime, "gauge",
	       "1: they may have realtime priority."),
	NUMBER("ovltun_keys_locked", OF_DEVICE, read_locked, "gauge",
	       "1: keys are in locked memory."),
	NUMBER("ovltun_peers", OF_DEVICE, read_peers, "gauge", "Peers in the configuration."),
	NUMBER("ovltun_networks", OF_DEVICE, read_networks, "gauge",
	       "Networks in the configuration."),
	SAMPLES("ovltun_drops_total", OF_DEVICE, put_drops, "counter",
	        "Dropped by this daemon, by reason."),
	SAMPLES("ovltun_events_total", OF_DEVICE, put_events, "counter",
	        "What happened that is no drop."),

	SAMPLES("ovltun_network_info", OF_NETWORK, put_network_info, "gauge",
	        "A network, its bridge, mode and TAP; always 1."),
	NUMBER("ovltun_network_attached", OF_NETWORK, read_attached, "gauge",
	       "1: the TAP is a port of the bridge."),
	OF_NETWORK_FIELD("ovltun_network_receive_packets_total", OF_NETWORK, rx_packets,
	                 "Given to containers."),
	OF_NETWORK_FIELD("ovltun_network_receive_bytes_total", OF_NETWORK, rx_bytes,
	                 "Given to containers."),
	OF_NETWORK_FIELD("ovltun_network_transmit_packets_total", OF_NETWORK, tx_packets,
	                 "Taken from containers."),
	OF_NETWORK_FIELD("ovltun_network_transmit_bytes_total", OF_NETWORK, tx_bytes,
	                 "Taken from containers."),
	SAMPLES("ovltun_network_drops_total", OF_NETWORK, put_network_drops, "counter",
	        "Dropped of a network, by reason; reasons that have not happened are left out."),
	NUMBER("ovltun_network_tap_queue_drops_total", OF_NETWORK, read_tap_lost, "counter",
	       "Lost in the TAP's queue: the daemon did not keep up with its containers."),
	NUMBER("ovltun_network_members", OF_BRIDGED, read_members, "gauge",
	       "Peers that may carry a bridged network."),
	NUMBER("ovltun_network_stations", OF_BRIDGED, read_stations, "gauge",
	       "MACs and addresses in the forwarding table of a bridged network."),
	NUMBER("ovltun_network_stations_here", OF_BRIDGED, read_stations_here, "gauge",
	       "Of these, this host's."),
	OF_NETWORK_FIELD("ovltun_network_suppressed_frames_total", OF_BRIDGED, suppressed,
	                 "Copies not sent, as the question was answered here."),

	SAMPLES("ovltun_peer_info", OF_PEER, put_peer_info, "gauge",
	        "A peer and its public key; always 1."),
	NUMBER("ovltun_peer_session", OF_PEER, read_session, "gauge", "1: there is a session."),
	TIME("ovltun_peer_session_age_seconds", OF_PEER, read_session_age,
	     "Since the keys in use were made; left out without a session."),
	TIME("ovltun_peer_latest_handshake_timestamp_seconds", OF_PEER, read_handshake,
	     "Unix time of the last handshake; 0: never."),
	TIME("ovltun_peer_handshake_round_trip_seconds", OF_PEER, read_handshake_round_trip,
	     "Of the last handshake that was begun here; left out before the first."),
	TIME("ovltun_peer_round_trip_seconds", OF_PEER, read_round_trip,
	     "Within the session, smoothed; left out when none was measured in the last minute."),
	TIME("ovltun_peer_round_trip_variation_seconds", OF_PEER, read_variation,
	     "How far it strays; left out with it."),
	NUMBER("ovltun_peer_handshake_attempts", OF_PEER, read_attempts, "gauge",
	       "Handshake messages sent since the last answer."),
	NUMBER("ovltun_peer_keepalive_seconds", OF_PEER, read_keepalive, "gauge",
	       "PersistentKeepalive; 0: none. With one, a session is always wanted."),
	NUMBER("ovltun_peer_tunnel_mtu_bytes", OF_PEER, read_mtu, "gauge",
	       "The largest packet that goes to the peer in one datagram."),
	OF_PEER_FIELD("ovltun_peer_receive_bytes_total", rx_bytes,
	              "Payload of datagrams received."),
	OF_PEER_FIELD("ovltun_peer_transmit_bytes_total", tx_bytes, "Payload of datagrams sent."),
	OF_PEER_FIELD("ovltun_peer_receive_packets_total", rx_packets,
	              "Datagrams of sessions received."),
	OF_PEER_FIELD("ovltun_peer_transmit_packets_total", tx_packets,
	              "Datagrams of sessions sent."),
	NUMBER("ovltun_peer_lost_packets", OF_PEER, read_lost, "gauge",
	       "Datagrams of the peer's that have not come. A gauge: one that comes late counts "
	       "back."),
	SAMPLES("ovltun_peer_drops_total", OF_PEER, put_peer_drops, "counter",
	        "Dropped of a peer, by reason; reasons that have not happened are left out."),
};

#define FAMILIES (sizeof(families) / sizeof(families[0]))

static size_t count_items(const struct family *family, const struct state *state)
{
	switch (family->of) {
	case OF_DEVICE:
		break;
	case OF_NETWORK:
	case OF_BRIDGED:
		return state->config->network_count;
	case OF_PEER:
		return state->config->peer_count;
	}
	return 1;
}

static uint64_t read_counter(const void *owner, size_t offset)
{
	const void *counter = (const char *)owner + offset;

	return stats_read(counter);
}

static bool read_item(const struct family *family, const struct state *state, size_t i,
                      uint64_t *value)
{
	if (family->read)
		return family->read(state, i, value);
	*value = family->of == OF_PEER ? read_counter(state->peers[i].peer, family->counter)
	                               : read_counter(state->networks[i]->network, family->counter);
	return true;
}

static void put_item(const struct family *family, const struct state *state, size_t i,
                     struct buffer *out)
{
	uint64_t value;

	if (family->of == OF_BRIDGED && !state->config->networks[i].bridged)
		return;
	if (family->put) {
		family->put(family, state, i, out);
		return;
	}
	if (!read_item(family, state, i, &value))
		return;
	switch (family->of) {
	case OF_DEVICE:
		buffer_printf(out, "%s", family->name);
		break;
	case OF_NETWORK:
	case OF_BRIDGED:
		open_network(family, state, i, out);
		(void)buffer_append(out, "}", 1);
		break;
	case OF_PEER:
		open_peer(family, state, i, out);
		(void)buffer_append(out, "}", 1);
		break;
	}
	if (family->is_time)
		put_seconds(out, value);
	else
		put_value(out, value);
}

void metrics_text_begin(const struct state *state, struct metrics_cursor *cursor)
{
	*cursor = (struct metrics_cursor){ .generation = state->generation };
}

enum metrics_more metrics_text_put(const struct state *state, struct metrics_cursor *cursor,
                                   size_t enough, struct buffer *out)
{
	if (cursor->generation != state->generation)
		return METRICS_STALE;
	while (cursor->family < FAMILIES) {
		const struct family *family = &families[cursor->family];
		size_t count = count_items(family, state);

		if (cursor->item == 0)
			buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", family->name,
			              family->help, family->name, family->type);
		/* One at least, or the head would be said twice. */
		while (cursor->item < count) {
			put_item(family, state, cursor->item++, out);
			if (out->len >= enough)
				break;
		}
		if (out->failed)
			return METRICS_MEMORY;
		if (cursor->item < count)
			return METRICS_MORE;
		cursor->family++;
		cursor->item = 0;
		if (out->len >= enough)
			break;
	}
	return cursor->family < FAMILIES ? METRICS_MORE : METRICS_END;
}
