/* SPDX-License-Identifier: MIT */
/*
 * The way out of a frame of a bridged network: guards, claims, suppression, the
 * forwarding table, and as many copies as there are members to get one (head-end
 * replication). What came out of the tunnel never comes here: the bridge does not
 * give the TAP back its own frames, so split horizon needs no check on this way.
 *
 * Containers have raw sockets here, too. But whatever a frame says, it leaves
 * behind a VXLAN header and its own Ethernet header, which are made here: its first
 * byte is never the plaintext's, and it cannot come out as a control message or a
 * packet of a routed network.
 *
 * A frame that waits, for a session or the peer's hello, waits for one peer; when it
 * is released it goes to one peer at the most. So what was replicated before it
 * waited is not replicated again.
 */
#include <string.h>
#include "dataplane/bridged.h"
#include "dataplane/fdb.h"
#include "dataplane/neigh.h"
#include "dataplane/peer.h"
#include "dataplane/probe.h"
#include "dataplane/tx_private.h"

/* Flooded: beyond the member's bucket nothing goes. */
static bool charge(const struct outbound *out, struct member *member)
{
	if (!bucket_take(&member->flood_out, MEMBER_FLOOD_COST_NS, MEMBER_FLOOD_BURST,
	                 out->burst->now_ns)) {
		tx_drop(out, member->peer, DROP_OUT_FLOOD);
		return false;
	}
	stats_add(&member->flooded, 1);
	device_event(out->burst->device, EVENT_FLOODED, 1);
	return true;
}

static void send_to(struct outbound *out, struct member *member)
{
	struct peer *peer = member->peer;
	struct keypair *keypair = peer_send_keypair(peer, out->burst->now_ns);
	enum hello_state state = HELLO_AWAITED;
	bool hint;

	if (keypair) {
		state = hello_has_vni(&peer->hello, out->net->vni, out->burst->now_ns);
	} else if (!tx_has_endpoint(peer)) {
		tx_drop(out, peer, DROP_OUT_NO_ENDPOINT);
		return;
	}
	if (state == HELLO_NO) {
		tx_drop(out, peer, DROP_OUT_NO_HELLO);
		hello_wanted(out->burst, peer);
		return;
	}
	/* What waited has been charged. */
	if (out->is_copy && !out->waited && !charge(out, member))
		return;
	hint = hello_may_send(&peer->hello, WIRE_FEATURE_CHECKSUM_HINT);
	if (state == HELLO_YES)
		tx_cut(out, peer, keypair, hint ? SEGMENT_FRAME_HINT : SEGMENT_FRAME);
	else
		tx_stage(out, peer, out->is_copy);
}

static void flood(struct outbound *out)
{
	out->is_copy = true;
	for (size_t i = 0; i < out->net->member_count; i++)
		send_to(out, out->net->members[i]);
}

/* To the peer that the frame waited for, and no other. */
static void send_to_waited(struct outbound *out)
{
	struct member *member = view_find_member(out->net, out->waited);

	out->is_copy = true;
	if (member)
		send_to(out, member);
	else
		tx_drop(out, out->waited, DROP_OUT_NO_ROUTE);
}

/* On this bridge, which floods what it does not know to the TAP, too. */
static bool is_here(const struct outbound *out, const struct fdb_place *place)
{
	return place ? !place->owner->peer
	             : view_is_bridge_mac(out->net, out->ethernet->destination);
}

static void send_out(struct outbound *out)
{
	const uint8_t *to = out->ethernet->destination;
	struct fdb_place place;
	bool known = bridged_find(out->burst, out->net, to, &place);

	if (is_here(out, known ? &place : NULL))
		tx_drop(out, NULL, DROP_OUT_LOCAL);
	else if (known && !out->is_copy)
		send_to(out, place.owner);
	else if (out->waited) /* of what was flooded everyone has had his copy: this is one */
		send_to_waited(out);
	else if (!bridged_is_group(to) && out->net->guards.drop_unknown)
		tx_drop(out, NULL, DROP_OUT_UNKNOWN);
	else
		flood(out);
}

/* ---- suppression ---- */

/* A question for an address, of ARP or ND. */
struct question {
	uint8_t family;
	const uint8_t *target;
	bool probing; /* from nobody: is it taken? */
};

static bool parse_question(const struct guarded *guarded, struct question *question)
{
	static const uint8_t unspecified[16];

	if (guarded->arp && load_be16(guarded->arp->operation.b) == ARP_REQUEST) {
		const struct wire_arp *arp = guarded->arp;

		*question = (struct question){ .family = 4, .target = arp->target_ip };
		question->probing = memcmp(arp->sender_ip, unspecified, 4) == 0;
		/* "Gratuitous": it tells and does not ask. */
		return memcmp(arp->sender_ip, arp->target_ip, 4) != 0;
	}
	if (guarded->has_nd && guarded->nd.type == ICMPV6_NEIGH_SOLICIT) {
		*question = (struct question){ .family = 6, .target = guarded->nd.target };
		question->probing = memcmp(guarded->pkt.source, unspecified, 16) == 0;
		return true;
	}
	return false;
}

/*
 * A router says in its advertisements that it is one. An answer in its place
 * cannot, and would take it out of the asker's list of routers (RFC 4861, 7.2.5).
 */
static bool may_be_router(const struct outbound *out, const struct question *question,
                          const struct member *owner)
{
	return question->family == 6 && question->target[0] == 0xfe &&
	       (question->target[1] & 0xc0) == 0x80 &&
	       (out->net->guards.any_router ||
	        atomic_load_explicit(&owner->may_route, memory_order_relaxed));
}

static void answer(struct outbound *out, const struct guarded *guarded,
                   const struct question *question, const uint8_t *mac)
{
	const uint8_t *tags = (const uint8_t *)out->ethernet + offsetof(struct wire_ethernet, type);
	uint8_t frame[NEIGH_FRAME_MAX];
	uint32_t len;

	if (question->family == 4)
		len = neigh_make_arp_reply(frame, mac, guarded->arp);
	else
		len = neigh_make_advert(frame, mac, out->ethernet->source,
		                        question->probing ? NULL : guarded->pkt.source,
		                        question->target);
	len = neigh_add_tags(frame, len, tags, out->link_len - sizeof(struct wire_ethernet));
	burst_add_frame(out->burst, out->net->network, frame, len);
	device_event(out->burst->device,
	             question->family == 4 ? EVENT_ARP_ANSWERED : EVENT_ND_ANSWERED, 1);
}

/*
 * The asker's address is new here, or at another MAC than it was, and others may have
 * in their tables what was before. A switch would show them the question; so what
 * is left of an answered one is that the asker is there ("gratuitous").
 */
static bool make_news(const struct outbound *out, const struct guarded *guarded)
{
	const uint8_t *arp = (const uint8_t *)guarded->arp;

	if (!guarded->is_news || !guarded->arp || !bridged_is_group(out->ethernet->destination))
		return false;
	memcpy(out->data + (arp - out->data) + offsetof(struct wire_arp, target_ip),
	       guarded->arp->sender_ip, sizeof(guarded->arp->sender_ip));
	return true;
}

/*
 * True: the question goes nowhere. What is known is answered with the true MAC; of
 * an address that is here the bridge has told its owner. Questions to one MAC alone
 * want to know whether that one is there: only it can say.
 */
static bool suppress(struct outbound *out, const struct guarded *guarded)
{
	struct question question;
	struct fdb_place place;
	struct fdb_key key;

	if (!parse_question(guarded, &question))
		return false;
	if (guard_is_gateway(out->net, &guarded->frame.vlans, question.family, question.target)) {
		if (make_news(out, guarded))
			return false;
		tx_drop(out, NULL, DROP_OUT_GATEWAY);
		return true;
	}
	key = fdb_key_in(guarded->frame.vlans, question.family, question.target);
	if (!bridged_is_group(out->ethernet->destination) ||
	    !fdb_lookup(out->net->network->fdb, &key, out->burst->now_ns, &place))
		return false;
	if (place.owner->peer) {
		if (may_be_router(out, &question, place.owner))
			return false;
		/* Taken by someone who may be gone: let him say so himself. */
		if (question.probing && !peer_send_keypair(place.owner->peer, out->burst->now_ns))
			return false;
		answer(out, guarded, &question, place.mac);
	}
	if (make_news(out, guarded))
		return false;
	device_event(out->burst->device, EVENT_SUPPRESSED, out->net->member_count);
	stats_add(&out->net->network->suppressed, out->net->member_count);
	return true;
}

/* ---- the way ---- */

/* Guards and claims. */
static enum drop admit(struct outbound *out, struct guarded *guarded)
{
	struct member *local = &out->net->network->local;
	enum drop reason;

	if (!packet_parse_frame(out->data + sizeof(out->vnet),
	                        out->len - (uint32_t)sizeof(out->vnet), &guarded->frame))
		return DROP_OUT_SHORT;
	reason = bridged_guard(out->net, local, guarded);
	/* Whatever waited has been heard when it came; its sender may be gone since. */
	if (reason == DROP_NONE && !out->waited)
		reason = bridged_claim(out->burst, out->net, local, guarded);
	return reason;
}

void tx_bridged(struct outbound *out)
{
	struct guarded guarded;
	enum drop reason = admit(out, &guarded);

	if (reason != DROP_NONE) {
		tx_drop(out, NULL, reason);
		return;
	}
	out->frame = guarded.frame;
	out->link_len = guarded.frame.link_len;
	out->has_ip = guarded.has_ip;
	if (guarded.has_ip)
		out->pkt = guarded.pkt;
	if (out->has_ip && tx_is_own_datagram(out)) {
		tx_drop(out, NULL, DROP_OUT_LOOP);
		return;
	}
	/* An answer to a question of ours: it was heard, that is all. */
	if (memcmp(out->ethernet->destination, out->net->network->router_mac, ETHER_ADDR_SIZE) == 0)
		return;
	if (!out->waited && suppress(out, &guarded))
		return;
	if (out->has_ip && packet_is_icmp(&out->pkt) && probe_hear(out->burst, &out->pkt))
		return;
	send_out(out);
}
