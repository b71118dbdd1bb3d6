/* SPDX-License-Identifier: MIT */
#include "dataplane/capture.h"

#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/index.h"
#include "dataplane/peer.h"
#include "dataplane/segment.h"

/* A packet, and what is told of it. */
struct item {
	enum capture_place place;
	enum capture_direction direction;
	enum drop reason;
	const struct peer *peer; /* NULL: not known */
	const struct network *network; /* NULL: none, or not known */
	const struct endpoint *endpoint; /* CAPTURE_UDP */
	const uint8_t *data;
	uint32_t len;
	uint8_t first; /* byte of @data, as it is shown */
};

void capture_init(struct capture *capture, const struct capture_filter *filter, void *memory,
                  uint64_t size)
{
	*capture = (struct capture){ .filter = *filter,
		                     .ring = memory,
		                     .records = (uint8_t *)memory + CAPTURE_HEAD,
		                     .room = size - CAPTURE_HEAD };
}

static bool fits(struct capture *capture, uint64_t size)
{
	if (capture->head - capture->tail + size <= capture->room)
		return true;
	capture->tail = atomic_load_explicit(&capture->ring->tail, memory_order_acquire);
	/* A reader that has taken more than there was gets nothing more. */
	if (capture->head - capture->tail > capture->room)
		capture->tail = capture->head - capture->room;
	return capture->head - capture->tail + size <= capture->room;
}

/* The next record with @more bytes behind it, its size set; NULL: it does not fit. */
static struct capture_record *put(struct capture *capture, uint32_t more)
{
	uint32_t size = ((uint32_t)sizeof(struct capture_record) + more + 7) & ~7u;
	uint64_t at = capture->head % capture->room;
	uint64_t gap = capture->room - at < size ? capture->room - at : 0;
	struct capture_record *record;

	if (!fits(capture, gap + size))
		return NULL;
	record = (struct capture_record *)(void *)(capture->records + at);
	if (gap) {
		record->size = (uint32_t)gap;
		record->type = CAPTURE_PAD;
		capture->head += gap;
		record = (struct capture_record *)(void *)capture->records;
	}
	*record = (struct capture_record){ .size = size };
	capture->head += size;
	return record;
}

/* The reader may have what was put in. */
static void publish(const struct burst *burst)
{
	for (struct capture *capture = burst->captures; capture; capture = capture->next)
		atomic_store_explicit(&capture->ring->head, capture->head, memory_order_release);
}

static void lose(struct capture *capture, enum capture_place place)
{
	capture->lost++;
	stats_add(&capture->ring->lost[place], 1);
}

static void set_peer(struct capture_record *record, const struct peer *peer)
{
	if (!peer)
		return;
	record->has_peer = 1;
	memcpy(record->peer, peer->public_key, KEY_SIZE);
}

/* False: there is no room for the name, so the packet would say nothing either. */
static bool name_network(struct capture *capture, const struct network *network)
{
	struct capture_network *named;
	struct capture_record *record;

	if (!network || capture->named[network->port] == network->serial)
		return true;
	record = put(capture, sizeof(*named));
	if (!record)
		return false;
	record->type = CAPTURE_NETWORK;
	record->place = (uint8_t)network->port;
	record->network = network->serial;
	named = (struct capture_network *)(void *)(record + 1);
	_Static_assert(sizeof(named->name) == sizeof(network->name), "names of networks");
	memcpy(named->name, network->name, sizeof(named->name));
	named->bridged = network->fdb != NULL;
	capture->named[network->port] = network->serial;
	return true;
}

static void put_item(const struct burst *burst, struct capture *capture, const struct item *item)
{
	uint32_t captured =
		item->len < capture->filter.snaplen ? item->len : capture->filter.snaplen;
	uint32_t front = item->endpoint ? (uint32_t)sizeof(*item->endpoint) : 0;
	struct capture_record *record = NULL;
	uint8_t *out;

	if (name_network(capture, item->network))
		record = put(capture, front + captured);
	if (!record) {
		lose(capture, item->place);
		return;
	}
	record->type = CAPTURE_PACKET;
	record->place = (uint8_t)item->place;
	record->direction = (uint8_t)item->direction;
	record->reason = (uint8_t)item->reason;
	record->wall_ns = burst->captured_ns;
	record->len = item->len;
	record->captured = captured;
	record->network = item->network ? item->network->serial : 0;
	set_peer(record, item->peer);
	out = (uint8_t *)(record + 1);
	if (front) {
		record->port = atomic_load_explicit(&burst->device->udp_port, memory_order_relaxed);
		memcpy(out, item->endpoint, front);
	}
	memcpy(out + front, item->data, captured);
	if (captured)
		out[front] = item->first;
	capture->packets++;
}

static bool is_of_peer(const struct capture *capture, const struct peer *peer)
{
	return !capture->filter.has_peer ||
	       (peer && memcmp(capture->filter.peer, peer->public_key, KEY_SIZE) == 0);
}

static bool wants_inner(const struct capture *capture, const struct item *item)
{
	const char *network = capture->filter.network;

	return capture->filter.what & CAPTURE_INNER && is_of_peer(capture, item->peer) &&
	       (!network[0] || (item->network && strcmp(network, item->network->name) == 0));
}

static void put_inner(const struct burst *burst, const struct item *item)
{
	for (struct capture *capture = burst->captures; capture; capture = capture->next)
		if (wants_inner(capture, item))
			put_item(burst, capture, item);
}

static void stamp(struct burst *burst)
{
	const struct environment *env = burst->device->env;

	burst->captured_ns = env->wall_ns(env->arg);
}

/* ---- containers' packets ---- */

/* How long the packet says it is, where it is not longer than what is there: the rest is padding. */
static uint32_t ip_len(const uint8_t *ip, uint32_t len)
{
	uint32_t says;

	if (WIRE_KIND(ip[0]) == WIRE_KIND_IPV4 || WIRE_KIND(ip[0]) == WIRE_KIND_IPV4_HINT)
		says = len >= sizeof(struct wire_ipv4)
		               ? load_be16(ip + offsetof(struct wire_ipv4, total_len))
		               : len;
	else
		says = len >= sizeof(struct wire_ipv6)
		               ? load_be16(ip + offsetof(struct wire_ipv6, payload_len)) +
		                         (uint32_t)sizeof(struct wire_ipv6)
		               : len;
	return says < len ? says : len;
}

/* The routed network that has both ends, or NULL. */
static const struct network *network_of(const struct view *view, const uint8_t *ip, uint32_t len)
{
	const bool v4 =
		WIRE_KIND(ip[0]) == WIRE_KIND_IPV4 || WIRE_KIND(ip[0]) == WIRE_KIND_IPV4_HINT;
	const uint8_t family = v4 ? 4 : 6;
	const uint8_t *source =
		ip + (v4 ? offsetof(struct wire_ipv4, source) : offsetof(struct wire_ipv6, source));
	const uint8_t *destination = ip + (v4 ? offsetof(struct wire_ipv4, destination)
	                                      : offsetof(struct wire_ipv6, destination));

	if (len < (v4 ? sizeof(struct wire_ipv4) : sizeof(struct wire_ipv6)))
		return NULL;
	for (size_t i = 0; i < view->network_count; i++) {
		const struct view_network *net = &view->networks[i];

		if (net->mode == NETWORK_ROUTED && view_in_subnet(net, family, source) &&
		    view_in_subnet(net, family, destination))
			return net->network;
	}
	return NULL;
}

static void set_ip(struct item *item, const uint8_t *ip, uint32_t len)
{
	item->place = item->network ? (enum capture_place)item->network->port : CAPTURE_NO_NETWORK;
	item->data = ip;
	item->len = ip_len(ip, len);
	item->first = ip[0];
	/* The hint is between the daemons: what a container has says its version. */
	if (WIRE_KIND(ip[0]) == WIRE_KIND_IPV4_HINT || WIRE_KIND(ip[0]) == WIRE_KIND_IPV6_HINT)
		item->first = (uint8_t)(ip[0] - WIRE_HINT_NIBBLE);
}

static void set_frame(struct item *item, const uint8_t *frame, uint32_t len)
{
	item->place = item->network ? (enum capture_place)item->network->port : CAPTURE_NO_SEGMENT;
	item->data = frame;
	item->len = len;
	item->first = len ? frame[0] : 0;
}

/* False: nothing of a container's, a control message say. */
static bool set_plaintext(struct item *item, const struct view *view, const uint8_t *data,
                          uint32_t len)
{
	const struct wire_vxlan *vxlan = (const struct wire_vxlan *)(const void *)data;
	const struct view_network *net;
	uint32_t front = sizeof(*vxlan);

	if (!len)
		return false;
	switch (WIRE_KIND(data[0])) {
	case WIRE_KIND_IPV4:
	case WIRE_KIND_IPV6:
	case WIRE_KIND_IPV4_HINT:
	case WIRE_KIND_IPV6_HINT:
		item->network = network_of(view, data, len);
		set_ip(item, data, len);
		return true;
	case WIRE_KIND_VXLAN:
		if (data[0] != WIRE_VXLAN_FLAGS || len < front ||
		    len - front < vxlan->pad + sizeof(struct wire_ethernet))
			return false;
		net = view_find_vni(view, (uint32_t)vxlan->vni[0] << 16 |
		                                  (uint32_t)vxlan->vni[1] << 8 | vxlan->vni[2]);
		item->network = net ? net->network : NULL;
		set_frame(item, data + front, len - front - vxlan->pad);
		return true;
	default:
		return false;
	}
}

void capture_packets(struct burst *burst)
{
	stamp(burst);
	for (unsigned int i = 0; i < burst->packet_count; i++) {
		const struct burst_packet *packet = &burst->packets[i];
		struct item item = { .direction = CAPTURE_OUT, .peer = packet->peer };

		if (packet->kind == BURST_DATA &&
		    set_plaintext(&item, burst->view, packet->slot + SEGMENT_HEADROOM, packet->len))
			put_inner(burst, &item);
	}
	publish(burst);
}

void capture_plaintext(struct burst *burst, const struct peer *peer, const uint8_t *data,
                       uint32_t len)
{
	struct item item = { .direction = CAPTURE_IN,
		             .peer = peer,
		             .reason = burst->captured_reason };

	burst->captured_reason = DROP_NONE;
	if (!set_plaintext(&item, burst->view, data, len))
		return;
	put_inner(burst, &item);
	publish(burst);
}

/* A frame of a TAP. A routed network carries packets, so of its frames they are what is shown. */
static bool set_tap_frame(struct item *item, const uint8_t *frame, uint32_t len)
{
	const uint32_t link = sizeof(struct wire_ethernet);
	uint16_t type;

	if (len <= link)
		return false;
	if (!item->network || item->network->fdb) {
		set_frame(item, frame, len);
		return true;
	}
	type = load_be16(frame + offsetof(struct wire_ethernet, type));
	if (type != ETHERTYPE_WIRE_IPV4 && type != ETHERTYPE_WIRE_IPV6)
		return false;
	set_ip(item, frame + link, len - link);
	return true;
}

void capture_drop(struct burst *burst, const struct peer *peer, const struct network *network,
                  enum drop reason)
{
	const struct recorder_subject *current = &burst->current;
	struct item item = {
		.direction = CAPTURE_OUT, .reason = reason, .peer = peer, .network = network
	};

	/* It goes on to whoever looks at the plaintext when all is known: capture_plaintext(). */
	if (current->kind == HEADER_PLAINTEXT)
		burst->captured_reason = reason;
	/* A bridge floods what is not for us; and what is pushed out of a queue is not at hand. */
	if (current->kind != HEADER_FRAME || reason == DROP_OUT_NOT_FOR_US ||
	    reason == DROP_OUT_LOCAL || reason == DROP_OUT_STAGE_FULL ||
	    !set_tap_frame(&item, current->data, current->len))
		return;
	put_inner(burst, &item);
	publish(burst);
}

/* ---- datagrams ---- */

/* Whose it claims to be. NULL: an initiation does not say, nor does nonsense. */
static const struct peer *claimed_peer(struct device *device, const uint8_t *msg, uint32_t len)
{
	struct index_entry *entry;
	uint32_t type, receiver;

	if (len < 16)
		return NULL;
	type = load_le32(msg);
	if (type != MESSAGE_RESPONSE && type != MESSAGE_COOKIE_REPLY && type != MESSAGE_DATA)
		return NULL;
	receiver = load_le32(msg + (type == MESSAGE_RESPONSE
	                                    ? offsetof(struct message_response, receiver)
	                                    : offsetof(struct message_data, receiver)));
	entry = index_lookup(&device->indices, receiver, INDEX_KEYPAIR);
	if (entry)
		return container_of(entry, struct peer_keypair, entry)->peer;
	entry = type == MESSAGE_DATA ? NULL
	                             : index_lookup(&device->indices, receiver, INDEX_HANDSHAKE);
	return entry ? container_of(entry, struct peer, handshake_entry) : NULL;
}

/* Comes from where the capture's peer is. */
static bool is_from_peer(const struct burst *burst, const struct capture *capture,
                         const struct endpoint *from)
{
	struct peer *peer = view_find_peer(burst->view, capture->filter.peer);
	struct endpoint endpoint;

	if (!peer)
		return false;
	peer_get_endpoint(peer, &endpoint);
	return endpoint_same_remote(&endpoint, from);
}

static void put_outer(const struct burst *burst, const struct item *item)
{
	for (struct capture *capture = burst->captures; capture; capture = capture->next)
		if (capture->filter.what & CAPTURE_OUTER &&
		    (is_of_peer(capture, item->peer) ||
		     (!item->peer && is_from_peer(burst, capture, item->endpoint))))
			put_item(burst, capture, item);
}

static bool wants(const struct burst *burst, enum capture_what what)
{
	for (const struct capture *capture = burst->captures; capture; capture = capture->next)
		if (capture->filter.what & what)
			return true;
	return false;
}

void capture_datagrams(struct burst *burst, const struct ring_event *events, unsigned int n)
{
	stamp(burst);
	if (!wants(burst, CAPTURE_OUTER))
		return;
	for (unsigned int i = 0; i < n; i++) {
		const struct ring_event *event = &events[i];
		struct item item = { .place = CAPTURE_UDP,
			             .direction = CAPTURE_IN,
			             .endpoint = &event->from };

		if (event->type != RING_DATAGRAM)
			continue;
		for (uint32_t at = 0; at < event->len; at += item.len) {
			item.data = event->data + at;
			item.len =
				event->len - at < event->segment ? event->len - at : event->segment;
			item.first = item.data[0];
			item.peer = claimed_peer(burst->device, item.data, item.len);
			put_outer(burst, &item);
		}
	}
	publish(burst);
}

void capture_sends(struct burst *burst)
{
	if (!wants(burst, CAPTURE_OUTER))
		return;
	for (unsigned int i = 0; i < burst->send_count; i++) {
		const struct ring_send *send = &burst->sends[i];
		const uint32_t count = (send->len + send->segment - 1) / send->segment;
		struct item item = { .place = CAPTURE_UDP,
			             .direction = CAPTURE_OUT,
			             .reason = send->failed == count ? DROP_OUT_SEND : DROP_NONE,
			             .peer = burst->send_peers[i],
			             .endpoint = &send->to };

		for (uint32_t at = 0; at < send->len; at += item.len) {
			item.data = send->data + at;
			item.len = send->len - at < send->segment ? send->len - at : send->segment;
			item.first = item.data[0];
			put_outer(burst, &item);
		}
	}
	publish(burst);
}

void capture_key(struct burst *burst, const struct peer *peer, const uint8_t ephemeral[KEY_SIZE])
{
	for (struct capture *capture = burst->captures; capture; capture = capture->next) {
		struct capture_record *record;
		struct capture_key *key;

		if (!(capture->filter.what & CAPTURE_KEYS) || !is_of_peer(capture, peer))
			continue;
		record = put(capture, sizeof(*key));
		if (!record) {
			lose(capture, CAPTURE_SECRETS);
			continue;
		}
		record->type = CAPTURE_KEY;
		record->place = CAPTURE_SECRETS;
		record->wall_ns = burst->captured_ns;
		set_peer(record, peer);
		key = (struct capture_key *)(void *)(record + 1);
		memcpy(key->ephemeral, ephemeral, KEY_SIZE);
		memcpy(key->psk, peer->handshake.psk, KEY_SIZE);
	}
	publish(burst);
}
