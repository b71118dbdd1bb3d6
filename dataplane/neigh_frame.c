/* SPDX-License-Identifier: MIT */
/* The frames of neigh.h: ARP probes and replies, neighbour solicitations and advertisements. */
#include <string.h>
#include "dataplane/neigh.h"
#include "dataplane/packet.h"

static const uint8_t everyone[ETHER_ADDR_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct wire_arp *ethernet_arp(uint8_t *frame, const uint8_t *to, const uint8_t *from)
{
	struct wire_arp *arp = (struct wire_arp *)(void *)(frame + sizeof(struct wire_ethernet));

	memset(frame, 0, sizeof(struct wire_ethernet) + sizeof(*arp));
	memcpy(frame, to, ETHER_ADDR_SIZE);
	memcpy(frame + ETHER_ADDR_SIZE, from, ETHER_ADDR_SIZE);
	store_be16(frame + 12, ETHERTYPE_WIRE_ARP);
	store_be16(arp->hardware.b, 1);
	store_be16(arp->protocol.b, ETHERTYPE_WIRE_IPV4);
	arp->hardware_len = ETHER_ADDR_SIZE;
	arp->protocol_len = 4;
	return arp;
}

void neigh_link_local(uint8_t addr[16], const uint8_t mac[ETHER_ADDR_SIZE])
{
	memset(addr, 0, 16);
	addr[0] = 0xfe;
	addr[1] = 0x80;
	memcpy(addr + 8, mac, 3);
	addr[8] ^= 0x02;
	addr[11] = 0xff;
	addr[12] = 0xfe;
	memcpy(addr + 13, mac + 3, 3);
}

/* An ND message with one link-layer option; source, destination and MACs are in place. */
static uint32_t finish_nd(uint8_t *frame, uint8_t type, uint32_t flags, const uint8_t *target,
                          uint8_t option, const uint8_t *mac)
{
	uint8_t *ip = frame + sizeof(struct wire_ethernet);
	uint8_t *nd = ip + sizeof(struct wire_ipv6);
	const uint32_t nd_len = sizeof(struct wire_nd) + sizeof(struct wire_nd_link_option);
	struct packet pkt = { .data = ip, .family = 6, .source = ip + 8, .destination = ip + 24 };

	store_be16(frame + 12, ETHERTYPE_WIRE_IPV6);
	ip[0] = 0x60;
	store_be16(ip + 4, nd_len);
	ip[6] = IPPROTO_WIRE_ICMPV6;
	ip[7] = 255;
	nd[0] = type;
	store_be32(nd + 4, flags);
	memcpy(nd + 8, target, 16);
	nd[24] = option;
	nd[25] = 1;
	memcpy(nd + 26, mac, ETHER_ADDR_SIZE);
	store_be16(nd + 2,
	           checksum_fold(checksum_add(checksum_pseudo(&pkt, IPPROTO_WIRE_ICMPV6, nd_len),
	                                      nd, nd_len)));
	return (uint32_t)(sizeof(struct wire_ethernet) + sizeof(struct wire_ipv6)) + nd_len;
}

uint32_t neigh_make_question(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                             const struct neigh_question *question)
{
	const uint8_t *target = question->addr.addr;
	bool multicast = memcmp(question->mac, everyone, ETHER_ADDR_SIZE) == 0;
	uint8_t *ip = frame + sizeof(struct wire_ethernet);
	struct wire_arp *arp;

	memset(frame, 0, NEIGH_FRAME_MAX);
	if (question->addr.family == 4) {
		arp = ethernet_arp(frame, question->mac, router_mac);
		store_be16(arp->operation.b, ARP_REQUEST);
		memcpy(arp->sender_mac, router_mac, ETHER_ADDR_SIZE);
		memcpy(arp->target_ip, target, 4);
		return sizeof(struct wire_ethernet) + sizeof(*arp);
	}
	memcpy(frame + ETHER_ADDR_SIZE, router_mac, ETHER_ADDR_SIZE);
	neigh_link_local(ip + 8, router_mac);
	if (multicast) {
		/* The solicited-node group (RFC 4291, 2.7.1) and its MAC (RFC 2464, 7). */
		memcpy(ip + 24, (const uint8_t[]){ 0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff },
		       13);
		memcpy(ip + 37, target + 13, 3);
		memcpy(frame, (const uint8_t[]){ 0x33, 0x33, 0xff }, 3);
		memcpy(frame + 3, target + 13, 3);
	} else {
		memcpy(ip + 24, target, 16);
		memcpy(frame, question->mac, ETHER_ADDR_SIZE);
	}
	return finish_nd(frame, ICMPV6_NEIGH_SOLICIT, 0, target, ND_OPTION_SOURCE_LINK, router_mac);
}

uint32_t neigh_make_arp_reply(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                              const struct wire_arp *request)
{
	struct wire_arp *arp = ethernet_arp(frame, request->sender_mac, router_mac);

	store_be16(arp->operation.b, ARP_REPLY);
	memcpy(arp->sender_mac, router_mac, ETHER_ADDR_SIZE);
	memcpy(arp->sender_ip, request->target_ip, 4);
	memcpy(arp->target_mac, request->sender_mac, ETHER_ADDR_SIZE);
	memcpy(arp->target_ip, request->sender_ip, 4);
	return sizeof(struct wire_ethernet) + sizeof(*arp);
}

/*
 * The flags (RFC 4861, 4.4 and 7.2.4):
 *
 *	R  is clear: hosts would otherwise keep us as a router, which these
 *	   addresses are not, and the router's own never is a default router.
 *	S  says that this answers someone; a solicitation from "::" (duplicate
 *	   address detection) has nobody to be told so.
 *	O  is set, though a mere proxy should leave it clear, to let the true owner
 *	   on the link win. Here the configuration says that the owner is not on
 *	   this link. If it was a moment ago, hosts still hold its old MAC and ask
 *	   that; the bridge floods the question, and an answer that may not override
 *	   would be ignored until they give the old MAC up.
 *
 * The source is the target itself, so that answers pass filters which compare the
 * two.
 */
uint32_t neigh_make_advert(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                           const uint8_t to_mac[ETHER_ADDR_SIZE], const uint8_t *to_ip,
                           const uint8_t target[16])
{
	uint8_t *ip = frame + sizeof(struct wire_ethernet);
	uint32_t flags = ND_OVERRIDE;

	memset(frame, 0, NEIGH_FRAME_MAX);
	memcpy(frame + ETHER_ADDR_SIZE, router_mac, ETHER_ADDR_SIZE);
	memcpy(ip + 8, target, 16);
	if (to_ip) {
		memcpy(frame, to_mac, ETHER_ADDR_SIZE);
		memcpy(ip + 24, to_ip, 16);
		flags |= ND_SOLICITED;
	} else {
		memcpy(frame, (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 }, ETHER_ADDR_SIZE);
		ip[24] = 0xff;
		ip[25] = 2;
		ip[39] = 1;
	}
	return finish_nd(frame, ICMPV6_NEIGH_ADVERT, flags, target, ND_OPTION_TARGET_LINK,
	                 router_mac);
}

uint32_t neigh_add_tags(uint8_t *frame, uint32_t len, const uint8_t *tags, size_t size)
{
	uint8_t *type = frame + offsetof(struct wire_ethernet, type);

	memmove(type + size, type, len - offsetof(struct wire_ethernet, type));
	memcpy(type, tags, size);
	return len + (uint32_t)size;
}
