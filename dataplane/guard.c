/* SPDX-License-Identifier: MIT */
/*
 * In the order in which they cost: the frame's addresses and type, its tags, its
 * parse, and then what the packet in it claims. Nothing that a guard looks for can
 * hide behind VLAN tags, IPv6 extension headers or in a first fragment, as all of
 * them are parsed through; what does not parse does not pass.
 */
#include "dataplane/guard.h"

#include <string.h>
#include "dataplane/device.h"

/* Protocols of switches, not of stations (IEEE 802.3 and 802.1). */
enum {
	ETHERTYPE_PAUSE = 0x8808,
	ETHERTYPE_SLOW = 0x8809, /* LACP, marker, OAM */
	ETHERTYPE_EAPOL = 0x888e,
	ETHERTYPE_LLDP = 0x88cc,
};
#define ETHERTYPE_MIN 0x0600 /* below: a length */

enum {
	ICMPV6_MLD_REPORT = 131,
	ICMPV6_MLD_DONE = 132,
	ICMPV6_MLD2_REPORT = 143,
};

static bool is_unicast_mac(const uint8_t *mac)
{
	static const uint8_t zero[ETHER_ADDR_SIZE];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

static bool source_mac_ok(const struct view_network *net, const struct member *by,
                          const uint8_t *mac)
{
	if (!is_unicast_mac(mac))
		return false;
	/* What this daemon itself puts on the bridge: it comes back in a loop, or is forged. */
	if (memcmp(mac, net->network->router_mac, ETHER_ADDR_SIZE) == 0)
		return false;
	return !by->peer || !view_is_bridge_mac(net, mac);
}

/* 802.1Q 8.6.3: addresses a bridge keeps to its link. And Cisco's CDP, VTP, UDLD, PVST. */
static bool is_link_control(const struct frame *frame)
{
	static const uint8_t reserved[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };
	static const uint8_t cisco[5] = { 0x01, 0x00, 0x0c, 0xcc, 0xcc };
	const uint8_t *to = frame->data;

	if (memcmp(to, reserved, sizeof(reserved)) == 0 && to[5] <= 0x0f)
		return true;
	if (memcmp(to, cisco, sizeof(cisco)) == 0 && (to[5] == 0xcc || to[5] == 0xcd))
		return true;
	return frame->ethertype == ETHERTYPE_PAUSE || frame->ethertype == ETHERTYPE_SLOW ||
	       frame->ethertype == ETHERTYPE_EAPOL || frame->ethertype == ETHERTYPE_LLDP;
}

bool guard_vlan_ok(const struct guards *guards, const struct wire_vlans *vlans)
{
	uint16_t vlan = load_be16(vlans->tag[0].b) & WIRE_VLAN_ID;

	if (vlan == 0)
		return true;
	switch (guards->vlans) {
	case GUARD_VLANS_ALL:
		return true;
	case GUARD_VLANS_LIST:
		return guards->vlan_list[vlan / 64] >> vlan % 64 & 1;
	case GUARD_VLANS_NONE:
		break;
	}
	return false;
}

/* IP or ARP in an 802.2 SNAP header (RFC 1042): Linux takes none, and no check below sees it. */
static bool is_snap_ip(const struct frame *frame)
{
	static const uint8_t snap[6] = { 0xaa, 0xaa, 0x03, 0x00, 0x00, 0x00 };
	const uint8_t *llc = frame->data + frame->link_len;
	uint16_t type;

	if (frame->ethertype >= ETHERTYPE_MIN || frame->len - frame->link_len < 8u ||
	    memcmp(llc, snap, sizeof(snap)) != 0)
		return false;
	type = load_be16(llc + sizeof(snap));
	return type == ETHERTYPE_WIRE_IPV4 || type == ETHERTYPE_WIRE_ARP ||
	       type == ETHERTYPE_WIRE_IPV6;
}

/* False: the frame is not what its type says. */
static bool parse(struct guarded *guarded)
{
	const struct frame *frame = &guarded->frame;
	uint8_t *payload = frame->data + frame->link_len;
	/* As if the tags were not there: the parser looks at no address of the frame. */
	uint32_t skip = frame->link_len - (uint32_t)sizeof(struct wire_ethernet);

	switch (frame->ethertype) {
	case ETHERTYPE_WIRE_ARP:
		return packet_parse_arp(frame->data + skip, frame->len - skip, &guarded->arp);
	case ETHERTYPE_WIRE_IPV4:
	case ETHERTYPE_WIRE_IPV6:
		guarded->has_ip =
			packet_parse_ip(payload, frame->len - frame->link_len, &guarded->pkt) &&
			guarded->pkt.family == (frame->ethertype == ETHERTYPE_WIRE_IPV4 ? 4 : 6);
		return guarded->has_ip;
	default:
		return !is_snap_ip(frame);
	}
}

static bool is_unspecified(uint8_t family, const uint8_t *addr)
{
	static const uint8_t zero[16];

	return memcmp(addr, zero, family == 4 ? 4 : 16) == 0;
}

static bool addr_is_martian(uint8_t family, const uint8_t *addr)
{
	const struct packet pkt = { .family = family, .source = addr, .destination = addr };

	return packet_is_martian(&pkt);
}

bool guard_is_gateway(const struct view_network *net, const struct wire_vlans *vlans,
                      uint8_t family, const uint8_t *addr)
{
	return load_be16(vlans->tag[0].b) == 0 && view_is_gateway(net, family, addr);
}

/* "@addr is at @mac": taken for a claim if that is who sent the frame. */
static enum guard_verdict claim(struct guarded *guarded, const struct view_network *net,
                                const struct member *by, uint8_t family, const uint8_t *addr)
{
	if (addr_is_martian(family, addr))
		return GUARD_MARTIAN;
	if (by->peer && guard_is_gateway(net, &guarded->frame.vlans, family, addr))
		return GUARD_GATEWAY;
	guarded->claim_family = family;
	guarded->claim_ip = addr;
	return GUARD_PASS;
}

static bool sent_by(const struct guarded *guarded, const uint8_t *mac)
{
	return memcmp(mac, guarded->frame.data + ETHER_ADDR_SIZE, ETHER_ADDR_SIZE) == 0;
}

static enum guard_verdict guard_arp(const struct view_network *net, const struct member *by,
                                    struct guarded *guarded)
{
	const struct wire_arp *arp = guarded->arp;

	if (!sent_by(guarded, arp->sender_mac))
		return net->guards.arp_mismatch ? GUARD_PASS : GUARD_ARP;
	/* A probe (RFC 5227, 2.1.1) asks for an address and claims none. An answer must. */
	if (is_unspecified(4, arp->sender_ip))
		return load_be16(arp->operation.b) == ARP_REQUEST ? GUARD_PASS : GUARD_ARP;
	return claim(guarded, net, by, 4, arp->sender_ip);
}

static bool may_route(const struct view_network *net, const struct member *by)
{
	return net->guards.any_router || atomic_load_explicit(&by->may_route, memory_order_relaxed);
}

/*
 * Neighbour and router discovery: valid by RFC 4861, and not in fragments, which
 * are nobody's (RFC 6980).
 */
static enum guard_verdict guard_nd(const struct view_network *net, const struct member *by,
                                   struct guarded *guarded)
{
	const struct packet *pkt = &guarded->pkt;
	uint8_t type = pkt->data[pkt->l4];
	const uint8_t *link = NULL, *about = pkt->source;

	if ((type == ICMPV6_ROUTER_ADVERT || type == ICMPV6_REDIRECT) && !may_route(net, by))
		return GUARD_ROUTER;
	if (pkt->flags & PACKET_FRAGMENT)
		return GUARD_ARP;
	if (type == ICMPV6_REDIRECT)
		return GUARD_PASS; /* the link-layer address in it is another's */
	if (type == ICMPV6_ROUTER_SOLICIT || type == ICMPV6_ROUTER_ADVERT) {
		if (!packet_parse_router(pkt, &link))
			return GUARD_ARP;
	} else {
		if (!packet_parse_nd(pkt, &guarded->nd))
			return GUARD_ARP;
		if (addr_is_martian(6, guarded->nd.target))
			return GUARD_MARTIAN;
		guarded->has_nd = true;
		link = guarded->nd.link;
	}
	if (type == ICMPV6_NEIGH_ADVERT) {
		about = guarded->nd.target;
		/* It may leave the option out (RFC 4861, 7.2.4), and Linux does. */
		if (!link)
			link = guarded->frame.data + ETHER_ADDR_SIZE;
	}
	if (!link)
		return GUARD_PASS;
	if (!sent_by(guarded, link))
		return net->guards.arp_mismatch ? GUARD_PASS : GUARD_ARP;
	return claim(guarded, net, by, 6, about);
}

/* A sender that has no address yet says so in a few protocols only, and to all. */
static bool may_be_unspecified(const struct guarded *guarded)
{
	const struct packet *pkt = &guarded->pkt;
	const uint8_t *l4 = pkt->data + pkt->l4;

	if (pkt->flags & PACKET_FRAGMENT || !packet_is_multicast(pkt))
		return false;
	if (pkt->family == 4)
		return pkt->proto == IPPROTO_WIRE_UDP && load_be16(l4) == DHCPV4_CLIENT &&
		       load_be16(l4 + 2) == DHCPV4_SERVER;
	if (pkt->proto != IPPROTO_WIRE_ICMPV6 || pkt->l4 >= pkt->len)
		return false;
	return packet_is_discovery(pkt) || l4[0] == ICMPV6_MLD_REPORT || l4[0] == ICMPV6_MLD_DONE ||
	       l4[0] == ICMPV6_MLD2_REPORT;
}

static enum guard_verdict guard_ip(const struct view_network *net, const struct member *by,
                                   struct guarded *guarded)
{
	const struct packet *pkt = &guarded->pkt;

	if (is_unspecified(pkt->family, pkt->source)) {
		if (!may_be_unspecified(guarded))
			return GUARD_MARTIAN;
	} else if (packet_is_martian(pkt)) {
		return GUARD_MARTIAN;
	} else if (by->peer &&
	           guard_is_gateway(net, &guarded->frame.vlans, pkt->family, pkt->source)) {
		return GUARD_GATEWAY;
	}
	if (packet_is_redirect(pkt) && !may_route(net, by))
		return GUARD_ROUTER;
	if (packet_is_dhcp_answer(pkt) && !net->guards.any_dhcp &&
	    !atomic_load_explicit(&by->may_serve_dhcp, memory_order_relaxed))
		return GUARD_DHCP;
	return packet_is_discovery(pkt) ? guard_nd(net, by, guarded) : GUARD_PASS;
}

enum guard_verdict guard_frame(const struct view_network *net, const struct member *by,
                               struct guarded *guarded)
{
	const struct frame *frame = &guarded->frame;

	guarded->has_ip = false;
	guarded->arp = NULL;
	guarded->has_nd = false;
	guarded->claim_family = 0;
	guarded->claim_ip = NULL;
	if (!source_mac_ok(net, by, frame->data + ETHER_ADDR_SIZE))
		return GUARD_SOURCE_MAC;
	if (!net->guards.link_control && is_link_control(frame))
		return GUARD_LINK_CONTROL;
	if (!guard_vlan_ok(&net->guards, &frame->vlans))
		return GUARD_VLAN;
	if (!parse(guarded))
		return GUARD_MALFORMED;
	if (guarded->arp)
		return guard_arp(net, by, guarded);
	return guarded->has_ip ? guard_ip(net, by, guarded) : GUARD_PASS;
}
