/* SPDX-License-Identifier: MIT */
/*
 * The way in of a frame of a bridged network: the header that carries it, the
 * member that may carry it, guards, claims, the forwarding table, the TAP. It goes
 * to this host's bridge or nowhere: never from the tunnel into the tunnel, neither
 * to another member nor back, so no loop of tunnels can form.
 */
#include <string.h>
#include "dataplane/bridged.h"
#include "dataplane/device.h"
#include "dataplane/fdb.h"
#include "dataplane/peer.h"
#include "dataplane/rx_private.h"

/* A frame of a peer, and what is known of it. */
struct arrival {
	const struct view_network *net;
	struct member *member;
	bool csum_undone;
	struct guarded guarded;
};

static void drop(const struct inbound *in, const struct arrival *arrival, enum drop reason)
{
	burst_drop(in->burst, in->peer, arrival->net ? arrival->net->network : NULL, reason, 1);
}

/* The VXLAN header, and the network that it names. */
static enum drop parse(const struct inbound *in, uint8_t *data, uint32_t len,
                       struct arrival *arrival)
{
	const struct wire_vxlan *vxlan = (const struct wire_vxlan *)(const void *)data;
	uint32_t vni;

	if (data[0] != WIRE_VXLAN_FLAGS ||
	    !hello_has_feature(&in->peer->hello, WIRE_FEATURE_FRAMES))
		return DROP_IN_KIND;
	if (len < sizeof(*vxlan) + sizeof(struct wire_ethernet))
		return DROP_IN_FRAME;
	vni = (uint32_t)vxlan->vni[0] << 16 | (uint32_t)vxlan->vni[1] << 8 | vxlan->vni[2];
	/* Most runs are of one network. */
	if (in->member && in->net->vni == vni) {
		arrival->net = in->net;
		arrival->member = in->member;
	} else {
		arrival->net = view_find_vni(in->burst->view, vni);
		if (arrival->net)
			arrival->member = view_find_member(arrival->net, in->peer);
		if (!arrival->member)
			return DROP_IN_VNI;
	}
	if (!arrival->net->attached)
		return DROP_IN_NO_BRIDGE;
	arrival->csum_undone = vxlan->hint & WIRE_VXLAN_CHECKSUM_UNDONE;
	if (arrival->csum_undone &&
	    !hello_has_feature(&in->peer->hello, WIRE_FEATURE_CHECKSUM_HINT))
		return DROP_IN_KIND;
	if (vxlan->pad >= WIRE_PADDING ||
	    len < sizeof(*vxlan) + sizeof(struct wire_ethernet) + vxlan->pad)
		return DROP_IN_FRAME;
	if (!packet_parse_frame(data + sizeof(*vxlan), len - (uint32_t)sizeof(*vxlan) - vxlan->pad,
	                        &arrival->guarded.frame))
		return DROP_IN_FRAME;
	return DROP_NONE;
}

/*
 * Nothing is claimed, and the last frame that passed had the same ends. Of equal
 * link headers the types are equal, too.
 */
static bool same_flow(const struct inbound *in, const struct arrival *arrival)
{
	const struct guarded *guarded = &arrival->guarded;
	const struct frame *frame = &guarded->frame;
	const struct packet *pkt = &guarded->pkt;

	return in->known && in->member == arrival->member && !guarded->claim_family &&
	       memcmp(in->target.link, frame->data, frame->link_len) == 0 &&
	       (!guarded->has_ip || memcmp(in->source, pkt->source, packet_addr_len(pkt)) == 0);
}

/* May it go to the bridge? By where its destination is. */
static enum drop admit_place(const struct burst *burst, const struct view_network *net,
                             const uint8_t *to, bool *flooded)
{
	struct fdb_place place;

	*flooded = false;
	if (view_is_bridge_mac(net, to))
		return DROP_NONE;
	if (bridged_find(burst, net, to, &place))
		return place.owner->peer ? DROP_IN_TUNNEL : DROP_NONE;
	*flooded = true;
	return DROP_NONE;
}

static enum drop admit(const struct inbound *in, const struct arrival *arrival, bool *flooded)
{
	enum drop reason = admit_place(in->burst, arrival->net, arrival->guarded.frame.data,
	                               flooded);

	if (*flooded && !bucket_take(&arrival->member->flood_in, MEMBER_FLOOD_COST_NS,
	                             MEMBER_FLOOD_BURST, in->burst->now_ns))
		return DROP_IN_FLOOD;
	return reason;
}

/* The bridge's own; in a VLAN (a device on top of it) its MAC has shown that it has it. */
static bool is_host_address(const struct burst *burst, const struct view_network *net,
                            const struct guarded *guarded)
{
	const struct wire_vlans *vlans = &guarded->frame.vlans;
	const struct packet *pkt = &guarded->pkt;
	struct fdb_key key = fdb_key_in(*vlans, pkt->family, pkt->destination);
	struct network *network = net->network;
	struct fdb_place place;

	if (guard_is_gateway(net, vlans, pkt->family, pkt->destination))
		return true;
	return load_be16(vlans->tag[0].b) &&
	       fdb_lookup(network->fdb, &key, burst->now_ns, &place) &&
	       place.owner == &network->local && view_is_bridge_mac(net, place.mac);
}

/*
 * What is addressed to the bridge's MAC, or the TAP's, the bridge hands to the host's
 * IP stack; which would route it into the host's other networks when it forwards, and
 * Docker has it forward. What came by broadcast or multicast Linux routes nowhere
 * (PACKET_HOST alone is), and to the MACs of other ports it does not listen.
 */
static bool is_to_be_routed(const struct burst *burst, const struct view_network *net,
                            const struct guarded *guarded)
{
	const uint8_t *to = guarded->frame.data;

	if (!view_is_bridge_mac(net, to) &&
	    memcmp(to, net->network->tap_mac, ETHER_ADDR_SIZE) != 0)
		return false;
	return guarded->has_ip && !net->guards.host_routing &&
	       !packet_is_multicast(&guarded->pkt) && !is_host_address(burst, net, guarded);
}

/* All that costs a look into tables. False: dropped. */
static bool find_target(struct inbound *in, struct arrival *arrival)
{
	struct guarded *guarded = &arrival->guarded;
	const struct frame *frame = &guarded->frame;
	struct network *network = arrival->net->network;
	bool flooded = false;
	enum drop reason = bridged_claim(in->burst, arrival->net, arrival->member, guarded);

	if (reason == DROP_NONE)
		reason = admit(in, arrival, &flooded);
	if (reason != DROP_NONE) {
		drop(in, arrival, reason);
		return false;
	}
	rx_count_deliveries(in);
	in->known = !flooded; /* each takes its token */
	in->member = arrival->member;
	in->net = arrival->net;
	if (guarded->has_ip)
		memcpy(in->source, guarded->pkt.source, packet_addr_len(&guarded->pkt));
	in->target = (struct coalesce_target){ .port = network->port,
		                               .merge_udp = network_merges_udp(network),
		                               .link_len = frame->link_len };
	memcpy(in->target.link, frame->data, frame->link_len);
	return true;
}

enum drop rx_judge_frame(const struct burst *burst, const struct view_network *net,
                         const struct member *member, struct guarded *guarded, bool *flooded)
{
	enum drop reason = bridged_guard(net, member, guarded);

	*flooded = false;
	if (reason == DROP_NONE && is_to_be_routed(burst, net, guarded))
		reason = DROP_IN_HOST_ROUTING;
	if (reason == DROP_NONE)
		reason = bridged_owned(burst, net, member, guarded);
	if (reason == DROP_NONE)
		reason = admit_place(burst, net, guarded->frame.data, flooded);
	return reason;
}

void rx_bridged(struct inbound *in, uint8_t *data, uint32_t len)
{
	struct arrival arrival = { .net = NULL };
	struct guarded *guarded = &arrival.guarded;
	enum drop reason = parse(in, data, len, &arrival);

	if (reason == DROP_NONE)
		reason = bridged_guard(arrival.net, arrival.member, guarded);
	/* The hint is for what our kernel can do again: TCP and UDP, not fragmented. */
	if (reason == DROP_NONE && arrival.csum_undone &&
	    !(guarded->has_ip && guarded->pkt.flags & PACKET_L4))
		reason = DROP_IN_MALFORMED;
	/* For each packet: those of one flow may have many destinations. */
	if (reason == DROP_NONE && is_to_be_routed(in->burst, arrival.net, guarded))
		reason = DROP_IN_HOST_ROUTING;
	if (reason != DROP_NONE) {
		drop(in, &arrival, reason);
		return;
	}
	if (guarded->has_ip && !rx_take_ecn(in, arrival.net->network, &guarded->pkt))
		return;
	if (!same_flow(in, &arrival) && !find_target(in, &arrival))
		return;
	in->packets++;
	if (guarded->has_ip) {
		burst_add_delivery(in->burst, &guarded->pkt, &in->target, arrival.csum_undone);
		in->bytes += guarded->pkt.len;
	} else {
		burst_add_frame_delivery(in->burst, &guarded->frame, in->target.port);
		in->bytes += guarded->frame.len;
	}
}
