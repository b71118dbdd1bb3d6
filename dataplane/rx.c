/* SPDX-License-Identifier: MIT */
/*
 * In the order in which a datagram meets them: type and length, receiver index,
 * the key's age, authentication, the replay window; then the peer is believed to
 * have said it: endpoint, confirmation of a key, timers. A keepalive ends here.
 * What the peer said is still not believed: the inner checks, one counter each.
 *
 * Runs of messages for one key pair are opened as one burst.
 */
#include "dataplane/rx.h"

#include <string.h>
#include "dataplane/announce.h"
#include "dataplane/burst.h"
#include "dataplane/capture.h"
#include "dataplane/device.h"
#include "dataplane/echo.h"
#include "dataplane/handshake.h"
#include "dataplane/neigh.h"
#include "dataplane/packet.h"
#include "dataplane/peer.h"
#include "dataplane/probe.h"
#include "dataplane/rx_private.h"
#include "dataplane/tx.h"

#define ECN_MASK 0x03
#define ECN_CE   0x03
#define ECN_ECT1 0x01

int rx_ecn(uint8_t inner, uint8_t outer)
{
	if (inner == ECN_CE)
		return ECN_CE;
	if (outer == ECN_CE)
		return inner ? ECN_CE : -1;
	if (inner && outer == ECN_ECT1)
		return ECN_ECT1;
	return inner;
}

bool rx_take_ecn(const struct inbound *in, struct network *network, struct packet *pkt)
{
	int ecn = rx_ecn(pkt->tos & ECN_MASK, in->event->tos & ECN_MASK);

	if (ecn < 0) {
		burst_drop(in->burst, in->peer, network, DROP_IN_ECN, 1);
		return false;
	}
	if (ecn != (pkt->tos & ECN_MASK))
		packet_set_ecn(pkt, (uint8_t)ecn);
	return true;
}

void rx_count_deliveries(struct inbound *in)
{
	if (!in->packets)
		return;
	stats_add(&in->net->network->rx_packets, in->packets);
	stats_add(&in->net->network->rx_bytes, in->bytes);
	in->packets = 0;
	in->bytes = 0;
}

enum drop rx_judge(const struct view *view, const struct peer *peer, const struct packet *pkt,
                   const struct view_network **net)
{
	if (packet_is_martian(pkt))
		return DROP_IN_MARTIAN;
	if (packet_is_multicast(pkt))
		return DROP_IN_BROADCAST;
	if (route_lookup(view->routes, pkt->family, pkt->source) != peer)
		return DROP_IN_SOURCE;
	for (size_t i = 0; i < view->network_count; i++) {
		const struct view_network *n = &view->networks[i];

		if (view_is_gateway(n, pkt->family, pkt->source))
			return DROP_IN_GATEWAY;
		if (!view_in_subnet(n, pkt->family, pkt->destination) ||
		    !view_in_subnet(n, pkt->family, pkt->source))
			continue;
		if (!view_is_local(view, n, pkt->family, pkt->destination))
			return DROP_IN_NOT_LOCAL;
		/* A source that lives here cannot come from a peer, even if its AllowedIPs say so. */
		if (view_remote(view, n, pkt->family, pkt->source) != peer)
			return DROP_IN_SOURCE;
		*net = n;
		return n->attached ? DROP_NONE : DROP_IN_NO_BRIDGE;
	}
	return DROP_IN_NETWORK;
}

static bool same_flow(const struct inbound *in, const struct packet *pkt)
{
	size_t n = packet_addr_len(pkt);

	return in->known && !in->member && in->family == pkt->family &&
	       memcmp(in->source, pkt->source, n) == 0 &&
	       memcmp(in->destination, pkt->destination, n) == 0;
}

/*
 * The MAC of @pkt's destination. False: it waits until that is known, or was dropped.
 * *@csum_undone: false when the checksum had to be made.
 */
static bool find_neighbour(const struct inbound *in, struct packet *pkt, struct network *network,
                           uint8_t mac[ETHER_ADDR_SIZE], bool *csum_undone)
{
	struct burst *burst = in->burst;
	struct neigh_addr addr = { .family = pkt->family };
	struct neigh_question question;
	enum neigh_verdict verdict;
	unsigned int lost = 0;
	bool ask = false;

	memcpy(addr.addr, pkt->destination, packet_addr_len(pkt));
	verdict = neigh_lookup(network->neigh, &addr, burst->now_ns, mac, &ask, &question);
	if (ask)
		tx_ask(burst, network, &question);
	if (verdict == NEIGH_WAIT) {
		/* Whether asked or not yet: the table has something to do soon. */
		burst->neigh_next_ns = burst->now_ns;
		/* Whoever takes it up again knows the packet alone. */
		if (*csum_undone)
			packet_l4_checksum_fill(pkt);
		*csum_undone = false;
		verdict = neigh_hold(network->neigh, &addr, pkt->data, pkt->len, mac, &lost);
	}
	if (verdict == NEIGH_UNKNOWN)
		lost = 1;
	if (lost)
		burst_drop(burst, in->peer, network, DROP_IN_UNRESOLVED, lost);
	return verdict == NEIGH_KNOWN;
}

/* Fills in->net and in->target for @pkt's addresses. False: dropped, or waiting. */
static bool find_target(struct inbound *in, struct packet *pkt, bool *csum_undone)
{
	const struct view_network *net = NULL;
	struct coalesce_target target;
	struct network *network;
	enum drop reason = rx_judge(in->burst->view, in->peer, pkt, &net);

	if (reason != DROP_NONE) {
		burst_drop(in->burst, in->peer, net ? net->network : NULL, reason, 1);
		return false;
	}
	network = net->network;
	target = (struct coalesce_target){ .port = network->port,
		                           .merge_udp = network_merges_udp(network),
		                           .link_len = sizeof(target.ethernet) };
	memcpy(target.ethernet.source, network->router_mac, ETHER_ADDR_SIZE);
	store_be16(target.ethernet.type.b,
	           pkt->family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6);
	if (view_is_gateway(net, pkt->family, pkt->destination))
		memcpy(target.ethernet.destination, net->bridge_mac, ETHER_ADDR_SIZE);
	else if (!find_neighbour(in, pkt, network, target.ethernet.destination, csum_undone))
		return false;
	rx_count_deliveries(in);
	in->known = true;
	in->member = NULL;
	in->family = pkt->family;
	memcpy(in->source, pkt->source, packet_addr_len(pkt));
	memcpy(in->destination, pkt->destination, packet_addr_len(pkt));
	in->net = net;
	in->target = target;
	return true;
}

static void rx_ip(struct inbound *in, uint8_t *data, uint32_t len, bool csum_undone)
{
	struct burst *burst = in->burst;
	struct packet pkt;

	/* The hint is for what the receiver's kernel can do again: TCP and UDP, not fragmented. */
	if (!packet_parse_ip(data, len, &pkt) || (csum_undone && !(pkt.flags & PACKET_L4))) {
		burst_drop(burst, in->peer, NULL, DROP_IN_MALFORMED, 1);
		return;
	}
	/* Discovery and redirects are each bridge's own: none crosses in routed mode. */
	if (packet_is_discovery(&pkt) || packet_is_redirect(&pkt)) {
		burst_drop(burst, in->peer, NULL, DROP_IN_ND, 1);
		return;
	}
	/* Whoever gives out addresses here gives them out on this bridge. */
	if (packet_is_dhcp_answer(&pkt)) {
		burst_drop(burst, in->peer, NULL, DROP_IN_DHCP, 1);
		return;
	}
	if (!rx_take_ecn(in, NULL, &pkt))
		return;
	if (!same_flow(in, &pkt) && !find_target(in, &pkt, &csum_undone))
		return;
	burst_add_delivery(burst, &pkt, &in->target, csum_undone);
	in->packets++;
	in->bytes += pkt.len;
}

static bool rx_control(struct inbound *in, const uint8_t *data, uint32_t len)
{
	uint8_t type =
		len >= sizeof(struct wire_control) && data[0] == WIRE_CONTROL_FIRST ? data[1] : 0;

	/* Whoever is invited has said who it is, and may say that it wants to join. */
	if (atomic_load_explicit(&in->peer->role, memory_order_relaxed) == PEER_INVITED &&
	    type >= WIRE_CONTROL_ANNOUNCE && type < WIRE_CONTROL_JOIN) {
		burst_drop(in->burst, in->peer, NULL, DROP_IN_JOIN, 1);
		return true;
	}
	switch (type) {
	case WIRE_CONTROL_ANNOUNCE:
	case WIRE_CONTROL_ACK:
	case WIRE_CONTROL_CHECK:
		return announce_receive(in->burst, in->peer, data, len);
	case WIRE_CONTROL_ECHO:
	case WIRE_CONTROL_ECHO_REPLY:
		return echo_receive(in->burst, in->peer, data, len);
	case WIRE_CONTROL_JOIN:
	case WIRE_CONTROL_JOIN_REPLY:
	case WIRE_CONTROL_INTRODUCE:
	case WIRE_CONTROL_INTRODUCE_REPLY:
		post_receive(in->burst, in->peer, in->keypair->local_index, data, len);
		return true;
	case WIRE_CONTROL_PROBE:
	case WIRE_CONTROL_PROBE_REPLY:
		return probe_receive(in->burst, in->peer, data, len);
	default:
		return hello_receive(in->burst, in->peer, in->keypair, data, len);
	}
}

/* One authenticated plaintext. */
static void rx_plaintext(struct inbound *in, uint8_t *data, uint32_t len)
{
	burst_set_current(in->burst, HEADER_PLAINTEXT, data, len, &in->event->from);
	switch (WIRE_KIND(data[0])) {
	case WIRE_KIND_IPV4:
	case WIRE_KIND_IPV6:
		rx_ip(in, data, len, false);
		break;
	case WIRE_KIND_IPV4_HINT:
	case WIRE_KIND_IPV6_HINT:
		if (!hello_has_feature(&in->peer->hello, WIRE_FEATURE_CHECKSUM_HINT)) {
			burst_drop(in->burst, in->peer, NULL, DROP_IN_KIND, 1);
			break;
		}
		data[0] = (uint8_t)(data[0] - WIRE_HINT_NIBBLE);
		rx_ip(in, data, len, true);
		break;
	case WIRE_KIND_VXLAN:
		rx_bridged(in, data, len);
		break;
	case WIRE_KIND_CONTROL:
		if (!rx_control(in, data, len))
			burst_drop(in->burst, in->peer, NULL, DROP_IN_CONTROL, 1);
		break;
	default:
		burst_drop(in->burst, in->peer, NULL, DROP_IN_KIND, 1);
		break;
	}
}

static bool is_data(const uint8_t *plaintext, uint32_t len)
{
	return len && WIRE_KIND(plaintext[0]) != WIRE_KIND_CONTROL;
}

/*
 * What follows from a run with something authentic in it. @newest: one message
 * came later than all before it. Others were on their way while the peer moved,
 * perhaps, and say where it was.
 */
static void heard(struct inbound *in, struct peer_keypair *kp, const struct session_op *ops,
                  unsigned int n, bool newest)
{
	struct burst *burst = in->burst;
	struct peer *peer = in->peer;
	uint64_t bytes = 0, good = 0;
	bool data = false;

	for (unsigned int i = 0; i < n; i++) {
		if (ops[i].verdict != SESSION_OK)
			continue;
		good++;
		bytes += ops[i].len + MESSAGE_DATA_OVERHEAD;
		data |= is_data(ops[i].packet + sizeof(struct message_data), ops[i].len);
	}
	if (newest)
		peer_roam(peer, &in->event->from);
	if (atomic_load_explicit(&peer->session.next, memory_order_acquire) == &kp->keypair)
		handshake_confirm(burst, kp);
	stats_add(&peer->rx_packets, good);
	stats_add(&peer->rx_bytes, bytes);
	timers_any_received(peer, burst->now_ns);
	if (data)
		timers_data_received(peer, burst->now_ns);
	/* A key near its end is renewed by its initiator on receiving, too. */
	if (data && kp->keypair.initiator &&
	    atomic_load_explicit(&peer->session.current, memory_order_relaxed) == &kp->keypair &&
	    peer_age_ns(burst->now_ns, kp->keypair.birth_ns) >= SESSION_REKEY_ON_RECEIVE_NS &&
	    !atomic_exchange_explicit(&kp->rekeyed_on_receive, true, memory_order_relaxed))
		handshake_want(burst, peer);
}

static void set_message(struct burst *burst, const struct ring_event *event,
                        const struct session_op *op)
{
	burst_set_current(burst, HEADER_DATAGRAM, op->packet,
	                  op->len + (uint32_t)MESSAGE_DATA_OVERHEAD, &event->from);
}

/* A run of at most AEAD_BURST_MAX messages with one receiver index. */
static void open_run(struct burst *burst, const struct ring_event *event, uint32_t index,
                     struct session_op *ops, unsigned int n)
{
	struct inbound in = { .burst = burst, .event = event };
	const bool captured = burst->captures;
	struct index_entry *entry;
	struct peer_keypair *kp;
	uint8_t *plaintext;
	uint64_t highest;

	set_message(burst, event, &ops[0]);
	entry = index_lookup(&burst->device->indices, index, INDEX_KEYPAIR);
	if (!entry) {
		burst_drop(burst, NULL, NULL, DROP_RX_UNKNOWN_INDEX, n);
		return;
	}
	kp = container_of(entry, struct peer_keypair, entry);
	in.peer = kp->peer;
	in.keypair = &kp->keypair;
	if (peer_age_ns(burst->now_ns, kp->keypair.birth_ns) >= SESSION_REJECT_AFTER_NS) {
		burst_drop(burst, in.peer, NULL, DROP_RX_KEY_EXPIRED, n);
		return;
	}
	highest = stats_read(&kp->keypair.highest);
	if (session_open_burst(&kp->keypair, ops, n))
		heard(&in, kp, ops, n, stats_read(&kp->keypair.highest) > highest);
	for (unsigned int i = 0; i < n; i++) {
		switch (ops[i].verdict) {
		case SESSION_OK:
			plaintext = ops[i].packet + sizeof(struct message_data);
			if (ops[i].len)
				rx_plaintext(&in, plaintext, ops[i].len);
			if (captured)
				capture_plaintext(burst, in.peer, plaintext, ops[i].len);
			break;
		case SESSION_REPLAY:
			set_message(burst, event, &ops[i]);
			burst_drop(burst, in.peer, NULL, DROP_RX_REPLAY, 1);
			break;
		case SESSION_BAD:
		case SESSION_EXPIRED:
			set_message(burst, event, &ops[i]);
			burst_drop(burst, in.peer, NULL, DROP_RX_BAD_AUTH, 1);
			break;
		}
	}
	rx_count_deliveries(&in);
}

/* Type and length together: nothing else of a message has been looked at before. */
static bool is_handshake(uint32_t type, uint32_t len)
{
	return (type == MESSAGE_INITIATION && len == sizeof(struct message_initiation)) ||
	       (type == MESSAGE_RESPONSE && len == sizeof(struct message_response)) ||
	       (type == MESSAGE_COOKIE_REPLY && len == sizeof(struct message_cookie_reply));
}

void rx_datagrams(struct burst *burst, const struct ring_event *event)
{
	struct session_op ops[AEAD_BURST_MAX];
	uint32_t index = 0, at = 0, size;
	unsigned int n = 0;

	for (; at < event->len; at += size) {
		uint8_t *msg = event->data + at;
		uint32_t type;

		size = event->len - at < event->segment ? event->len - at : event->segment;
		type = size >= sizeof(struct message_data) ? load_le32(msg) : 0;
		if (type == MESSAGE_DATA && size >= MESSAGE_DATA_OVERHEAD) {
			uint32_t receiver =
				load_le32(msg + offsetof(struct message_data, receiver));

			if (n && (receiver != index || n == AEAD_BURST_MAX)) {
				open_run(burst, event, index, ops, n);
				n = 0;
			}
			index = receiver;
			ops[n++] = (struct session_op){
				.packet = msg, .len = size - (uint32_t)MESSAGE_DATA_OVERHEAD
			};
			continue;
		}
		burst_set_current(burst, HEADER_DATAGRAM, msg, size, &event->from);
		if (is_handshake(type, size))
			handshake_enqueue(burst, msg, size, &event->from);
		else
			burst_drop(burst, NULL, NULL, DROP_RX_MALFORMED, 1);
	}
	if (n)
		open_run(burst, event, index, ops, n);
	burst_clear_current(burst);
}
