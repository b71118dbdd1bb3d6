/* SPDX-License-Identifier: MIT */
/*
 * Whom is asked: the packet's way in, as far as it gets by now. The judges are those of
 * packets that come; neighbours are looked for as those packets would have them looked
 * for. Only the last step is more than a packet makes happen: an echo request from the
 * packet's source to its destination, whose answer is caught.
 */
#include <string.h>
#include "dataplane/bridged.h"
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/fdb.h"
#include "dataplane/packet.h"
#include "dataplane/peer.h"
#include "dataplane/probe.h"
#include "dataplane/rx_private.h"
#include "dataplane/tx.h"

/* A walk on its way. */
struct walk {
	struct burst *burst;
	struct peer *peer;
	struct probe_watch *watch;
	uint32_t room; /* how long an echo may be */
	struct probe_answer *answer;
	const struct view_network *net;
	uint8_t mac[ETHER_ADDR_SIZE]; /* of the destination, once it was found */
};

static void stop(const struct walk *walk, enum drop reason)
{
	const char *name = drop_name(reason);

	walk->answer->flags &= (uint8_t)~PROBE_PENDING;
	strncpy(walk->answer->reason, name, PROBE_NAME_MAX - 1);
	walk->answer->reason[PROBE_NAME_MAX - 1] = '\0';
}

/* ---- the destination ---- */

static struct neigh_addr destination_of(const struct probe_packet *packet)
{
	struct neigh_addr addr = { .family = packet->family };

	memcpy(addr.addr, packet->destination, packet->family == 4 ? 4 : 16);
	return addr;
}

static bool is_due(uint64_t now_ns, uint64_t last_ns, uint64_t pause_ns)
{
	return !last_ns || now_ns >= last_ns + pause_ns;
}

/* By the table of a routed network. False: not found, or not yet. */
static bool find_neighbour(struct walk *walk)
{
	struct neigh_table *table = walk->net->network->neigh;
	const struct neigh_addr addr = destination_of(&walk->watch->packet);
	struct neigh_question question;
	enum neigh_verdict verdict;
	struct neigh_info info;
	bool ask = false;

	verdict = neigh_lookup(table, &addr, walk->burst->now_ns, walk->mac, &ask, &question);
	if (ask)
		tx_ask(walk->burst, walk->net->network, &question);
	walk->burst->neigh_next_ns = walk->burst->now_ns;
	if (verdict == NEIGH_UNKNOWN || !neigh_find(table, &addr, &info)) {
		stop(walk, DROP_IN_UNRESOLVED);
		return false;
	}
	if (info.state == NEIGH_CONTESTED)
		walk->answer->flags |= PROBE_CONTESTED;
	if (info.state == NEIGH_REACHABLE || info.state == NEIGH_CONTESTED)
		return true;
	/* Known, and being asked again; or not known. */
	walk->answer->flags |= PROBE_PENDING;
	return false;
}

/* By the table of a bridged network, which an answer by ARP or ND makes younger. */
static bool find_station(struct walk *walk, const uint8_t *to)
{
	const struct view_network *net = walk->net;
	const struct probe_packet *packet = &walk->watch->packet;
	const uint64_t now_ns = walk->burst->now_ns;
	struct neigh_question question = { .addr = destination_of(packet) };
	struct fdb_key key =
		packet->family ? fdb_key_ip(packet->family, packet->destination) : fdb_key_mac(to);
	struct fdb_place place;
	bool known = fdb_lookup(net->network->fdb, &key, now_ns, &place) &&
	             place.owner == &net->network->local;

	memcpy(walk->mac, known ? place.mac : to, ETHER_ADDR_SIZE);
	if (known && (!packet->family || place.heard_ns >= walk->watch->started_ns))
		return true;
	if (!packet->family) {
		stop(walk, DROP_IN_UNRESOLVED);
		return false;
	}
	if (walk->watch->asks == PROBE_ASKS &&
	    is_due(now_ns, walk->watch->asked_ns, PROBE_ASK_NS)) {
		stop(walk, DROP_IN_UNRESOLVED);
		return false;
	}
	walk->answer->flags |= PROBE_PENDING;
	if (is_due(now_ns, walk->watch->asked_ns, PROBE_ASK_NS)) {
		memset(question.mac, 0xff, ETHER_ADDR_SIZE);
		tx_ask(walk->burst, net->network, &question);
		walk->watch->asks++;
		walk->watch->asked_ns = now_ns;
	}
	return false;
}

/* ---- the echo ---- */

static uint32_t fresh_token(const struct burst *burst)
{
	const struct environment *env = burst->device->env;
	uint32_t token = 0;

	while (!token)
		env->random(env->arg, &token, sizeof(token));
	return token;
}

static void write_echo(struct walk *walk)
{
	const struct probe_packet *packet = &walk->watch->packet;
	struct network *network = walk->net->network;
	struct burst *burst = walk->burst;
	struct coalesce_target target = { .port = network->port,
		                          .link_len = sizeof(target.ethernet) };
	uint32_t len = packet->len < walk->room ? packet->len : walk->room;
	struct packet pkt;
	uint8_t *copy;

	burst_make_room(burst);
	copy = burst_take(burst, len);
	if (!probe_make_packet(packet, len, walk->watch->token, copy) ||
	    !packet_parse_ip(copy, len, &pkt))
		return;
	memcpy(target.ethernet.destination, walk->mac, ETHER_ADDR_SIZE);
	memcpy(target.ethernet.source,
	       walk->net->mode == NETWORK_BRIDGED ? packet->source_mac : network->router_mac,
	       ETHER_ADDR_SIZE);
	store_be16(target.ethernet.type.b,
	           packet->family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6);
	burst_add_delivery(burst, &pkt, &target, false);
	walk->watch->echoes++;
	walk->watch->echoed_ns = burst->now_ns;
	atomic_store_explicit(&burst->device->probes.listen_ns,
	                      burst->now_ns + (PROBE_ECHOES + 1) * PROBE_ECHO_NS,
	                      memory_order_relaxed);
}

static void echo(struct walk *walk)
{
	struct probe_watch *watch = walk->watch;

	walk->answer->stage = PROBE_FOUND;
	if (!watch->packet.family)
		return;
	if (!watch->token)
		watch->token = fresh_token(walk->burst);
	if (!watch->answered && is_due(walk->burst->now_ns, watch->echoed_ns, PROBE_ECHO_NS)) {
		if (watch->echoes == PROBE_ECHOES) {
			walk->answer->stage = PROBE_WRITTEN;
			return;
		}
		write_echo(walk);
	}
	walk->answer->stage = watch->answered ? PROBE_ANSWERED : PROBE_WRITTEN;
	if (!watch->answered)
		walk->answer->flags |= PROBE_PENDING;
}

/* ---- the two ways in ---- */

static void walk_routed(struct walk *walk)
{
	const struct probe_packet *packet = &walk->watch->packet;
	const struct view_network *net = NULL;
	enum drop reason;
	struct packet pkt;

	if (!probe_make_packet(packet, packet->len, 0, walk->burst->staged)) {
		stop(walk, DROP_IN_KIND);
		return;
	}
	if (!packet_parse_ip(walk->burst->staged, packet->len, &pkt)) {
		stop(walk, DROP_IN_MALFORMED);
		return;
	}
	reason = rx_judge(walk->burst->view, walk->peer, &pkt, &net);
	if (reason != DROP_NONE && reason != DROP_IN_NO_BRIDGE) {
		stop(walk, reason);
		return;
	}
	walk->net = net;
	walk->answer->stage = PROBE_ADMITTED;
	if (reason == DROP_IN_NO_BRIDGE) {
		stop(walk, reason);
		return;
	}
	walk->answer->stage = PROBE_ATTACHED;
	walk->answer->tap_mtu = net->tap_mtu;
	if (view_is_gateway(net, packet->family, packet->destination)) {
		walk->answer->flags |= PROBE_GATEWAY;
		memcpy(walk->mac, net->bridge_mac, ETHER_ADDR_SIZE);
	} else if (!find_neighbour(walk)) {
		return;
	}
	echo(walk);
}

/* The frame in burst->staged; its length, 0: there is no such packet. */
static uint32_t make_frame(const struct walk *walk)
{
	const struct probe_packet *packet = &walk->watch->packet;
	struct wire_ethernet *ethernet = (struct wire_ethernet *)(void *)walk->burst->staged;
	uint8_t *payload = walk->burst->staged + sizeof(*ethernet);
	uint16_t type = ETHERTYPE_WIRE_EXPERIMENT;

	memcpy(ethernet->destination, packet->destination_mac, ETHER_ADDR_SIZE);
	memcpy(ethernet->source, packet->source_mac, ETHER_ADDR_SIZE);
	if (packet->family) {
		if (!probe_make_packet(packet, packet->len, 0, payload))
			return 0;
		type = packet->family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6;
	} else {
		memset(payload, 0, packet->len);
	}
	store_be16(ethernet->type.b, type);
	return (uint32_t)sizeof(*ethernet) + packet->len;
}

/*
 * The bridge learns a MAC by an echo as it does by a frame. So one that nobody has is
 * claimed for the peer, and is one of those that it may have.
 */
static enum drop claim(const struct walk *walk, struct member *member, struct guarded *guarded)
{
	const struct fdb_key key = fdb_key_mac(guarded->frame.data + ETHER_ADDR_SIZE);
	struct fdb_place place;

	if (walk->watch->is_own ||
	    fdb_lookup(walk->net->network->fdb, &key, walk->burst->now_ns, &place))
		return DROP_NONE;
	return bridged_claim(walk->burst, walk->net, member, guarded);
}

static void walk_bridged(struct walk *walk)
{
	const struct view_network *net = view_find_vni(walk->burst->view, walk->watch->packet.vni);
	struct member *member = net ? view_find_member(net, walk->peer) : NULL;
	uint32_t len = make_frame(walk);
	struct guarded guarded;
	bool flooded = false;
	enum drop reason;

	if (!member || !len) {
		stop(walk, member ? DROP_IN_KIND : DROP_IN_VNI);
		return;
	}
	walk->net = net;
	walk->answer->stage = PROBE_ADMITTED;
	if (!net->attached) {
		stop(walk, DROP_IN_NO_BRIDGE);
		return;
	}
	if (!packet_parse_frame(walk->burst->staged, len, &guarded.frame)) {
		stop(walk, DROP_IN_FRAME);
		return;
	}
	reason = rx_judge_frame(walk->burst, net, member, &guarded, &flooded);
	if (reason == DROP_NONE)
		reason = claim(walk, member, &guarded);
	if (reason != DROP_NONE) {
		stop(walk, reason);
		return;
	}
	walk->answer->stage = PROBE_ATTACHED;
	walk->answer->tap_mtu = net->tap_mtu;
	if (flooded)
		walk->answer->flags |= PROBE_FLOODED;
	if (view_is_bridge_mac(net, guarded.frame.data)) {
		walk->answer->flags |= PROBE_GATEWAY;
		memcpy(walk->mac, net->bridge_mac, ETHER_ADDR_SIZE);
	} else if (!find_station(walk, walk->watch->packet.destination_mac)) {
		return;
	}
	echo(walk);
}

void probe_walk(struct burst *burst, struct peer *peer, struct probe_watch *watch, uint32_t len,
                struct probe_answer *answer)
{
	struct walk walk = {
		.burst = burst, .peer = peer, .watch = watch, .room = len, .answer = answer
	};

	*answer = (struct probe_answer){ .stage = PROBE_HEARD };
	if (watch->packet.vni)
		walk_bridged(&walk);
	else
		walk_routed(&walk);
}

/* ---- the answer ---- */

static bool is_answer(const struct packet *pkt, uint32_t *token)
{
	const struct wire_icmp *icmp = (const void *)(pkt->data + pkt->l4);

	if (pkt->l4 == 0 || pkt->len - pkt->l4 < sizeof(*icmp) ||
	    icmp->type != (pkt->family == 4 ? ICMPV4_ECHO_REPLY : ICMPV6_ECHO_REPLY))
		return false;
	*token = load_be32(icmp->rest.b);
	return *token;
}

/* True: it was waited for. */
static bool hear(struct probe_watch *watch, uint32_t token, const struct packet *pkt)
{
	if (!watch->peer || watch->token != token || watch->packet.family != pkt->family ||
	    memcmp(watch->packet.source, pkt->destination, packet_addr_len(pkt)) != 0 ||
	    memcmp(watch->packet.destination, pkt->source, packet_addr_len(pkt)) != 0)
		return false;
	watch->answered = true;
	return true;
}

bool probe_hear(struct burst *burst, const struct packet *pkt)
{
	struct probes *probes = &burst->device->probes;
	bool heard = false;
	uint32_t token;

	if (burst->now_ns > atomic_load_explicit(&probes->listen_ns, memory_order_relaxed) ||
	    !is_answer(pkt, &token))
		return false;
	pthread_mutex_lock(&probes->lock);
	for (unsigned int i = 0; i < PROBE_WATCHES_MAX && !heard; i++)
		heard = hear(&probes->watches[i], token, pkt);
	for (unsigned int i = 0; i < PROBE_OWN_MAX && !heard; i++)
		heard = hear(&probes->own[i].here, token, pkt);
	pthread_mutex_unlock(&probes->lock);
	return heard;
}
