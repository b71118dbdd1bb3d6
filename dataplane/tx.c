/* SPDX-License-Identifier: MIT */
/*
 * In the order in which a frame meets them: Ethernet, ARP and ND (answered or
 * learned from here), the egress checks, the route, the session, the cut.
 *
 * Containers have raw sockets, so nothing in a frame is believed: a packet gets
 * into the tunnel only after it was parsed as the IP packet that its ethertype
 * says it is, with a source that may live here. That is also why it can never
 * come out as a control message or a frame at the other end, whose first byte
 * would have to lie about the version.
 */
#include "dataplane/tx.h"

#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/handshake.h"
#include "dataplane/neigh.h"
#include "dataplane/packet.h"
#include "dataplane/peer.h"
#include "dataplane/probe.h"
#include "dataplane/segment.h"
#include "dataplane/tx_private.h"

/* ICMP errors a network may send: 100 a second, 50 at once. */
#define ERROR_COST_NS  10000000ULL
#define ERROR_BURST_NS (50 * ERROR_COST_NS)

/* No peer makes us send in smaller pieces than these: RFC 791's datagram for all. */
#define TAKEN_MTU_MIN 576

#define HEADERS       (sizeof(struct wire_vnet) + sizeof(struct wire_ethernet))

void tx_drop(const struct outbound *out, struct peer *peer, enum drop reason)
{
	burst_drop(out->burst, peer, out->net->network, reason, 1);
}

static struct neigh_addr neigh_addr_of(uint8_t family, const uint8_t *addr)
{
	struct neigh_addr n = { .family = family };

	memcpy(n.addr, addr, family == 4 ? 4 : 16);
	return n;
}

void tx_ask(struct burst *burst, const struct network *network,
            const struct neigh_question *question)
{
	uint8_t frame[NEIGH_FRAME_MAX];

	burst_add_frame(burst, network, frame,
	                neigh_make_question(frame, network->router_mac, question));
	device_event(burst->device, EVENT_PROBE_SENT, 1);
	/* The table knows the exact time; this is soon enough to ask it. */
	if (burst->neigh_next_ns > burst->now_ns)
		burst->neigh_next_ns = burst->now_ns;
}

/* Packets from the tunnel that waited for this neighbour go to it now. */
static void deliver_waiting(struct outbound *out, const struct neigh_addr *addr,
                            const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct burst *burst = out->burst;
	struct network *network = out->net->network;
	struct coalesce_target target = { .port = network->port,
		                          .merge_udp = network_merges_udp(network),
		                          .link_len = sizeof(target.ethernet) };
	struct packet pkt;
	uint32_t len;

	memcpy(target.ethernet.destination, mac, ETHER_ADDR_SIZE);
	memcpy(target.ethernet.source, network->router_mac, ETHER_ADDR_SIZE);
	store_be16(target.ethernet.type.b,
	           addr->family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6);
	for (;;) {
		uint8_t *copy;

		len = neigh_release(network->neigh, addr, burst->staged);
		if (len == 0)
			return;
		burst_make_room(burst);
		copy = burst_take(burst, len);
		memcpy(copy, burst->staged, len);
		if (!packet_parse_ip(copy, len, &pkt))
			continue; /* it was parsed when it was held; never so */
		burst_add_delivery(burst, &pkt, &target, false);
		stats_add(&network->rx_packets, 1);
		stats_add(&network->rx_bytes, pkt.len);
	}
}

static void learn(struct outbound *out, uint8_t family, const uint8_t *ip, const uint8_t *mac,
                  bool answer)
{
	struct network *network = out->net->network;
	struct neigh_addr addr = neigh_addr_of(family, ip);
	struct neigh_question question;
	bool ask = false;

	if (neigh_learn(network->neigh, &addr, mac, answer, out->burst->now_ns, &ask, &question))
		deliver_waiting(out, &addr, mac);
	if (ask)
		tx_ask(out->burst, network, &question);
}

static bool is_unicast_mac(const uint8_t *mac)
{
	static const uint8_t zero[ETHER_ADDR_SIZE];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

static void tx_arp(struct outbound *out)
{
	const struct view *view = out->burst->view;
	const struct network *network = out->net->network;
	const uint8_t *sender_mac;
	const struct wire_arp *arp;
	uint8_t frame[NEIGH_FRAME_MAX];
	static const uint8_t nobody[4];
	uint16_t operation;

	if (!packet_parse_arp((const uint8_t *)out->ethernet,
	                      out->len - (uint32_t)sizeof(struct wire_vnet), &arp)) {
		tx_drop(out, NULL, DROP_OUT_MALFORMED);
		return;
	}
	sender_mac = arp->sender_mac;
	operation = load_be16(arp->operation.b);
	if (!is_unicast_mac(sender_mac) ||
	    memcmp(sender_mac, out->ethernet->source, ETHER_ADDR_SIZE) != 0) {
		tx_drop(out, NULL, DROP_OUT_ARP);
		return;
	}
	/* The bridge's own addresses are known by netlink; nobody may teach them here. */
	if (memcmp(arp->sender_ip, nobody, 4) != 0 &&
	    !view_is_gateway(out->net, 4, arp->sender_ip)) {
		if (!view_is_local(view, out->net, 4, arp->sender_ip)) {
			tx_drop(out, NULL, DROP_OUT_ARP);
			return;
		}
		learn(out, 4, arp->sender_ip, sender_mac, operation == ARP_REPLY);
	}
	if (operation != ARP_REQUEST || !view_remote(view, out->net, 4, arp->target_ip))
		return;
	burst_add_frame(out->burst, network, frame,
	                neigh_make_arp_reply(frame, network->router_mac, arp));
	device_event(out->burst->device, EVENT_ARP_ANSWERED, 1);
}

/* A solicitation or advertisement, to whomever the bridge showed it. */
static void tx_nd(struct outbound *out, const struct packet_nd *nd)
{
	const struct view *view = out->burst->view;
	const struct network *network = out->net->network;
	const uint8_t *source = out->pkt.source, *mac = nd->link;
	static const uint8_t unspecified[16];
	uint8_t frame[NEIGH_FRAME_MAX], router[16];
	bool probing = memcmp(source, unspecified, 16) == 0;
	bool advert = nd->type == ICMPV6_NEIGH_ADVERT;
	bool answer = advert && (nd->flags & ND_SOLICITED);
	const uint8_t *about = advert ? nd->target : source;

	if (mac && memcmp(mac, out->ethernet->source, ETHER_ADDR_SIZE) != 0) {
		tx_drop(out, NULL, DROP_OUT_ARP);
		return;
	}
	/*
	 * An answer to a question that went to one MAC alone may leave the option out
	 * (RFC 4861, 7.2.4), and Linux does. What it would say is the frame's source.
	 */
	if (answer && !mac)
		mac = out->ethernet->source;
	if (mac && !probing && view_in_subnet(out->net, 6, about) &&
	    !view_is_gateway(out->net, 6, about)) {
		if (!is_unicast_mac(mac) || !view_is_local(view, out->net, 6, about)) {
			tx_drop(out, NULL, DROP_OUT_ARP);
			return;
		}
		learn(out, 6, about, mac, answer);
	}
	if (advert)
		return;
	neigh_link_local(router, network->router_mac);
	if (memcmp(nd->target, router, 16) != 0 && !view_remote(view, out->net, 6, nd->target))
		return;
	burst_add_frame(out->burst, network, frame,
	                neigh_make_advert(frame, network->router_mac, out->ethernet->source,
	                                  probing ? NULL : source, nd->target));
	device_event(out->burst->device, EVENT_ND_ANSWERED, 1);
}

/* Lets an ICMP error through while the network's credit lasts. */
static bool error_allowed(struct network *network, uint64_t now_ns)
{
	uint64_t spent = stats_read(&network->error_tokens_ns);

	if (spent + ERROR_BURST_NS < now_ns)
		spent = now_ns - ERROR_BURST_NS;
	if (spent + ERROR_COST_NS > now_ns)
		return false;
	/* Two workers may both take the last token; the limit is not that exact. */
	atomic_store_explicit(&network->error_tokens_ns, spent + ERROR_COST_NS,
	                      memory_order_relaxed);
	return true;
}

/* From whoever the packet was for: another source would be martian to a host on this link. */
static void too_big(struct outbound *out, struct peer *peer, uint32_t mtu)
{
	struct network *network = out->net->network;
	const uint8_t *from = out->net->mode == NETWORK_BRIDGED ? out->ethernet->destination
	                                                        : network->router_mac;
	uint8_t frame[WIRE_LINK_MAX + PACKET_ERROR_MAX];
	uint32_t len;

	/*
	 * Copies of one frame to several peers: one error, unless the next has to say
	 * less. And none about what came to everyone on the link (RFC 1122, 3.2.2).
	 */
	if ((out->told_mtu && out->told_mtu <= mtu) || from[0] & 1 ||
	    !error_allowed(network, out->burst->now_ns)) {
		tx_drop(out, peer, DROP_OUT_TOO_BIG_QUIET);
		return;
	}
	tx_drop(out, peer, DROP_OUT_TOO_BIG);
	len = packet_make_too_big(&out->pkt, mtu, frame + out->link_len);
	if (len == 0)
		return;
	/* The frame's own header with its tags, the other way. */
	memcpy(frame, out->ethernet, out->link_len);
	memcpy(frame, out->ethernet->source, ETHER_ADDR_SIZE);
	memcpy(frame + ETHER_ADDR_SIZE, from, ETHER_ADDR_SIZE);
	burst_add_frame(out->burst, network, frame, out->link_len + len);
	device_event(out->burst->device, EVENT_TOO_BIG_SENT, 1);
	out->told_mtu = mtu;
}

static uint32_t own_mtu(const struct outbound *out, const struct peer *peer)
{
	uint32_t mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed);

	return out->net->mtu && out->net->mtu < mtu ? out->net->mtu : mtu;
}

/* What the peer says it takes may lower our own idea, but not below what anyone can carry. */
static uint32_t lower_mtu(const struct outbound *out, const struct peer *peer, uint32_t mtu)
{
	uint32_t taken = atomic_load_explicit(&peer->hello.tunnel_mtu, memory_order_relaxed);

	if (out->net->mode != NETWORK_BRIDGED || taken >= mtu || taken == 0)
		return mtu;
	return taken > TAKEN_MTU_MIN ? taken : TAKEN_MTU_MIN;
}

/*
 * Puts the frame's slots at the end of the burst. The last copy is copied when it
 * was made for the same MTU and framing, and lies there still, not sealed: then it
 * is what the burst ends with.
 */
static enum segment_verdict put_slots(struct outbound *out, uint32_t mtu,
                                      enum segment_framing framing)
{
	struct burst *burst = out->burst;
	struct tx_copy *copy = &out->copy;
	struct segment_slots *slots = &copy->slots;
	uint32_t total = slots->count ? (slots->count - 1) * slots->stride + slots->last : 0;
	uint8_t *end = burst->buffer + burst->used;

	if (total && slots->mtu == mtu && copy->framing == framing && slots->buf + total == end) {
		memcpy(end, slots->buf, total);
		slots->buf = end;
		return copy->verdict;
	}
	*slots = (struct segment_slots){ .buf = end,
		                         .room = SEGMENT_ROOM,
		                         .mtu = mtu,
		                         .framing = framing,
		                         .vni = out->net->vni,
		                         .link = (const uint8_t *)out->ethernet,
		                         .link_len = out->link_len };
	copy->framing = framing;
	copy->verdict = out->has_ip ? segment_packet(&out->pkt, &out->vnet, slots)
	                            : segment_frame(&out->frame, &out->vnet, slots);
	return copy->verdict;
}

void tx_cut(struct outbound *out, struct peer *peer, struct keypair *keypair,
            enum segment_framing framing)
{
	struct burst *burst = out->burst;
	struct device *device = burst->device;
	struct network *network = out->net->network;
	const struct segment_slots *slots = &out->copy.slots;
	uint32_t own = own_mtu(out, peer), mtu = lower_mtu(out, peer, own);
	enum segment_verdict verdict;

	burst_make_room(burst);
	verdict = put_slots(out, mtu, framing);
	/*
	 * Who gets a copy of what is for another has no say in how large it may be: a member
	 * could have all senders of the segment send in the smallest pieces. Our own limit
	 * is told as ever.
	 */
	if (verdict == SEGMENT_TOO_BIG && out->is_copy && mtu < own &&
	    put_slots(out, own, framing) != SEGMENT_TOO_BIG) {
		tx_drop(out, peer, DROP_OUT_TOO_BIG_QUIET);
		return;
	}
	switch (verdict) {
	case SEGMENT_OVERSIZE:
		device_event(device, EVENT_OVERSIZE_SENT, 1);
		break;
	case SEGMENT_OK:
		break;
	case SEGMENT_TOO_BIG:
		too_big(out, peer, segment_packet_mtu(slots));
		return;
	case SEGMENT_BAD:
	case SEGMENT_NO_ROOM:
		tx_drop(out, peer, DROP_OUT_GSO);
		return;
	}
	burst_add_slots(burst, peer, keypair, slots, out->has_ip ? out->pkt.tos : 0,
	                out->has_ip ? packet_flow_hash(&out->pkt) : 0);
	stats_add(&network->tx_packets, slots->count);
	stats_add(&network->tx_bytes, out->has_ip ? out->pkt.len : out->frame.len);
	if (slots->cut)
		device_event(device, EVENT_CUT, 1);
	if (slots->fragmented)
		device_event(device, EVENT_FRAGMENTED, 1);
	if (slots->clamped)
		device_event(device, EVENT_MSS_CLAMPED, 1);
}

/* There is a session, but the peer has not said yet what it takes. */
static bool awaits_hello(const struct outbound *out, const struct peer *peer)
{
	return out->net->mode == NETWORK_BRIDGED && peer_send_keypair(peer, out->burst->now_ns) &&
	       hello_has_vni(&peer->hello, out->net->vni, out->burst->now_ns) == HELLO_AWAITED;
}

void tx_stage(struct outbound *out, struct peer *peer, bool is_copy)
{
	uint64_t tag = out->port | (is_copy ? TX_STAGED_COPY : 0) |
	               (uint64_t)out->net->network->serial << TX_STAGED_SERIAL;
	enum drop reason = DROP_NONE;
	unsigned int lost = 0;

	pthread_mutex_lock(&peer->lock);
	if (peer->dead)
		reason = DROP_OUT_NO_ROUTE;
	else if (!peer->handshake.usable)
		reason = DROP_OUT_NO_KEY;
	else
		lost = stage_push(&peer->stage, &peer->staged, PEER_STAGED_MAX, tag, out->data,
		                  out->len);
	pthread_mutex_unlock(&peer->lock);
	if (reason != DROP_NONE) {
		tx_drop(out, peer, reason);
		return;
	}
	if (lost)
		burst_drop(out->burst, peer, out->net->network, DROP_OUT_STAGE_FULL, lost);
	/* Looked at after the frame is in: the hello that comes now finds it. */
	if (awaits_hello(out, peer))
		return;
	/* Another worker may have got the session meanwhile, and found nothing to release. */
	tx_release(out->burst, peer);
	if (!peer_send_keypair(peer, out->burst->now_ns))
		handshake_want(out->burst, peer);
}

bool tx_has_endpoint(struct peer *peer)
{
	struct endpoint endpoint;

	peer_get_endpoint(peer, &endpoint);
	return endpoint_is_set(&endpoint);
}

/*
 * What the host itself sends from our port: a peer's endpoint lies behind the
 * tunnel, and each datagram would come out of it one header longer, for ever.
 */
bool tx_is_own_datagram(const struct outbound *out)
{
	const struct packet *pkt = &out->pkt;
	const struct wire_udp *udp = (const struct wire_udp *)(pkt->data + pkt->l4);
	uint16_t port = atomic_load_explicit(&out->burst->device->udp_port, memory_order_relaxed);

	/* A first fragment's transport was not parsed: its ports may be cut off. */
	if (pkt->proto != IPPROTO_WIRE_UDP || pkt->l4 == 0 || pkt->len - pkt->l4 < 2u)
		return false;
	return port && load_be16(&udp->source) == port &&
	       view_is_gateway(out->net, pkt->family, pkt->source);
}

enum drop tx_judge(const struct view *view, const struct view_network *net,
                   const struct packet *pkt, struct peer **peer)
{
	*peer = NULL;
	if (packet_is_multicast(pkt))
		return DROP_OUT_BROADCAST;
	if (packet_is_martian(pkt))
		return DROP_OUT_MARTIAN;
	if (packet_is_redirect(pkt))
		return DROP_OUT_ND;
	if (packet_is_dhcp_answer(pkt))
		return DROP_OUT_DHCP;
	if (!view_is_local(view, net, pkt->family, pkt->source))
		return DROP_OUT_SOURCE;
	if (!view_in_subnet(net, pkt->family, pkt->destination))
		return DROP_OUT_NETWORK;
	*peer = view_remote(view, net, pkt->family, pkt->destination);
	return *peer ? DROP_NONE : DROP_OUT_NO_ROUTE;
}

/* Parsed, to the router MAC: the egress checks and the route. */
static void tx_ip(struct outbound *out)
{
	const struct packet *pkt = &out->pkt;
	struct keypair *keypair;
	struct peer *peer;
	enum drop reason;

	if (packet_is_icmp(pkt) && probe_hear(out->burst, pkt))
		return;
	reason = tx_judge(out->burst->view, out->net, pkt, &peer);
	if (reason != DROP_NONE) {
		tx_drop(out, NULL, reason);
		return;
	}
	if (tx_is_own_datagram(out)) {
		tx_drop(out, peer, DROP_OUT_LOOP);
		return;
	}
	keypair = peer_send_keypair(peer, out->burst->now_ns);
	if (keypair)
		tx_cut(out, peer, keypair,
		       hello_may_send(&peer->hello, WIRE_FEATURE_CHECKSUM_HINT) ? SEGMENT_IP_HINT
		                                                                : SEGMENT_IP);
	else if (tx_has_endpoint(peer))
		tx_stage(out, peer, false);
	else
		tx_drop(out, peer, DROP_OUT_NO_ENDPOINT);
}

/* An IP frame: is it what its ethertype says, and for us? */
static void tx_ethernet_ip(struct outbound *out, uint8_t family)
{
	const struct network *network = out->net->network;
	bool to_router =
		memcmp(out->ethernet->destination, network->router_mac, ETHER_ADDR_SIZE) == 0;
	struct packet_nd nd;

	if (!to_router && !(out->ethernet->destination[0] & 1)) {
		tx_drop(out, NULL, DROP_OUT_NOT_FOR_US);
		return;
	}
	if (!packet_parse_ip(out->data + HEADERS, out->len - (uint32_t)HEADERS, &out->pkt) ||
	    out->pkt.family != family) {
		tx_drop(out, NULL, DROP_OUT_MALFORMED);
		return;
	}
	/* What is answered, an ICMP error say, must not go to everyone on the bridge. */
	if (!is_unicast_mac(out->ethernet->source)) {
		tx_drop(out, NULL, DROP_OUT_MALFORMED);
		return;
	}
	if (family == 6 && packet_is_discovery(&out->pkt)) {
		if (packet_parse_nd(&out->pkt, &nd))
			tx_nd(out, &nd);
		else
			tx_drop(out, NULL, DROP_OUT_ND);
		return;
	}
	out->has_ip = true;
	if (to_router)
		tx_ip(out);
	else
		tx_drop(out, NULL, DROP_OUT_BROADCAST);
}

static void tx_routed(struct outbound *out)
{
	if (memcmp(out->ethernet->source, out->net->network->router_mac, ETHER_ADDR_SIZE) == 0) {
		/* Our own frame come back: a loop below us, or a container that plays router. */
		tx_drop(out, NULL, DROP_OUT_SOURCE);
		return;
	}
	switch (load_be16(out->ethernet->type.b)) {
	case ETHERTYPE_WIRE_ARP:
		tx_arp(out);
		break;
	case ETHERTYPE_WIRE_IPV4:
		tx_ethernet_ip(out, 4);
		break;
	case ETHERTYPE_WIRE_IPV6:
		tx_ethernet_ip(out, 6);
		break;
	default:
		tx_drop(out, NULL, DROP_OUT_ETHERTYPE);
		break;
	}
}

static void forward_current(struct outbound *out)
{
	out->net = out->port < RING_PORTS_MAX ? out->burst->view->by_port[out->port] : NULL;
	if (!out->net || (out->waited && out->net->network->serial != out->serial)) {
		burst_drop(out->burst, out->waited, NULL, DROP_OUT_NO_NETWORK, 1);
		return;
	}
	if (out->len < HEADERS) {
		tx_drop(out, NULL, DROP_OUT_SHORT);
		return;
	}
	memcpy(&out->vnet, out->data, sizeof(out->vnet));
	out->ethernet = (const struct wire_ethernet *)(const void *)(out->data + sizeof(out->vnet));
	out->link_len = sizeof(*out->ethernet);
	if (out->net->mode == NETWORK_BRIDGED)
		tx_bridged(out);
	else
		tx_routed(out);
}

static void forward(struct outbound *out)
{
	const uint32_t vnet = sizeof(struct wire_vnet);
	const struct recorder_subject current = out->burst->current;

	burst_set_current(out->burst, HEADER_FRAME, out->data + vnet,
	                  out->len > vnet ? out->len - vnet : 0, NULL);
	forward_current(out);
	/* Something else may be under way that let this go on. */
	out->burst->current = current;
}

void tx_frame(struct burst *burst, uint16_t port, uint8_t *data, uint32_t len)
{
	struct outbound out = { .burst = burst, .port = port, .data = data, .len = len };

	forward(&out);
}

bool tx_release(struct burst *burst, struct peer *peer)
{
	uint64_t before = burst->packets_added, tag;
	unsigned int count;

	/* No more than there are now: what has to wait for a hello comes back at the end. */
	pthread_mutex_lock(&peer->lock);
	count = peer->staged.count;
	pthread_mutex_unlock(&peer->lock);
	for (; count && peer_send_keypair(peer, burst->now_ns); count--) {
		struct outbound out = { .burst = burst, .data = burst->staged, .waited = peer };

		pthread_mutex_lock(&peer->lock);
		out.len = stage_pop(&peer->stage, &peer->staged, &tag, burst->staged);
		pthread_mutex_unlock(&peer->lock);
		if (out.len == 0)
			break;
		out.port = (uint16_t)tag;
		out.is_copy = tag & TX_STAGED_COPY;
		out.serial = (uint32_t)(tag >> TX_STAGED_SERIAL);
		/* The whole way again: routes may have changed while it waited. */
		forward(&out);
	}
	return burst->packets_added != before;
}
