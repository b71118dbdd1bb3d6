/* SPDX-License-Identifier: MIT */
/*
 * Parsing, once, with bounds, into a struct: after packet_parse_ip() succeeded
 * every offset in the struct lies within the packet, whatever its sender meant.
 * Also checksums (RFC 1071) and the error messages we have to make.
 */
#ifndef DATAPLANE_PACKET_H
#define DATAPLANE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "dataplane/wire.h"

enum packet_flags {
	PACKET_FRAGMENT = 1, /* a fragment, first ones included; the transport is not parsed */
	PACKET_DF = 2, /* IPv4: don't fragment; IPv6: always */
	PACKET_OPTIONS = 4, /* IPv4 options or IPv6 extension headers present */
	PACKET_L4 = 8, /* TCP or UDP, whole header present, payload valid, checksum computable */
};

struct packet {
	uint8_t *data; /* the IP header */
	uint32_t len; /* as the IP header says: link padding is cut off */
	uint8_t family; /* 4 or 6 */
	uint8_t proto; /* of the transport, behind IPv6 extension headers */
	uint8_t tos; /* traffic class, ECN in its low two bits */
	uint8_t flags;
	uint16_t l4; /* offset of the transport header; 0: a fragment that is not the first */
	uint16_t payload; /* offset of what the transport header carries */
	const uint8_t *source; /* 4 or 16 bytes */
	const uint8_t *destination;
};

static inline uint32_t packet_addr_len(const struct packet *pkt)
{
	return pkt->family == 4 ? 4 : 16;
}

/*
 * @len bytes from @data on may be read; the packet may be shorter, never longer.
 * False: version, header length, total length, fragment offset or IPv6 extension
 * headers do not add up. A TCP or UDP header that is cut short or longer than
 * the packet is a malformed packet too (unless it is a fragment). A UDP length
 * that ends before the packet is legal (RFC 9868: options behind the datagram),
 * but such a packet, and one whose IPv6 headers hide or sign the transport, has
 * no PACKET_L4. IPv4's header checksum is not looked at here.
 */
bool packet_parse_ip(uint8_t *data, uint32_t len, struct packet *pkt)
	__attribute__((warn_unused_result));

/*
 * Of addresses, protocol, and ports where there are any; the same for all packets
 * between which order matters, never 0. 0: not to be told, as of the fragments of a TCP or
 * UDP packet, or of one with options among what is fragmented. No secret: who wants two
 * flows to collide can have that.
 */
uint32_t packet_flow_hash(const struct packet *pkt);

/* An Ethernet frame, its VLAN tags looked through. */
struct frame {
	uint8_t *data; /* struct wire_ethernet */
	uint32_t len;
	uint16_t link_len; /* 14, and 4 for each tag: where the payload begins */
	uint16_t ethertype; /* of the payload; below 0x0600: a length (802.3) */
	uint8_t tags; /* 0 to WIRE_VLANS_MAX */
	struct wire_vlans vlans; /* what they say; a priority tag says none */
};
/* False: too short for its headers, or more tags than WIRE_VLANS_MAX. */
bool packet_parse_frame(uint8_t *data, uint32_t len, struct frame *frame)
	__attribute__((warn_unused_result));

/* Addresses which no packet between hosts has: see PROTOCOL, inner checks, 7. */
bool packet_is_martian(const struct packet *pkt);
bool packet_is_multicast(const struct packet *pkt); /* or limited broadcast */

/* @arp points into @frame (Ethernet header included). False: not a sane ARP. */
bool packet_parse_arp(const uint8_t *frame, uint32_t len, const struct wire_arp **arp)
	__attribute__((warn_unused_result));

struct packet_nd {
	uint8_t type; /* ICMPV6_NEIGH_SOLICIT or ICMPV6_NEIGH_ADVERT */
	uint32_t flags;
	uint8_t target[16];
	const uint8_t *link; /* source or target link-layer address, or NULL */
};
/*
 * A neighbour solicitation or advertisement valid by RFC 4861, 7.1: hop limit
 * 255, checksum, code 0, option lengths, target not multicast, no source link
 * option from ::. False for anything else.
 */
bool packet_parse_nd(const struct packet *pkt, struct packet_nd *nd)
	__attribute__((warn_unused_result));
/*
 * A router solicitation or advertisement valid by RFC 4861, 6.1; *@link: its
 * source link-layer address, or NULL. False for anything else.
 */
bool packet_parse_router(const struct packet *pkt, const uint8_t **link)
	__attribute__((warn_unused_result));
/* ICMPv6 of neighbour or router discovery at all (types 133 to 137). */
bool packet_is_discovery(const struct packet *pkt);
/* An ICMP redirect of IPv4; those of IPv6 are discovery. */
bool packet_is_redirect(const struct packet *pkt);
static inline bool packet_is_icmp(const struct packet *pkt)
{
	return pkt->proto == (pkt->family == 4 ? IPPROTO_WIRE_ICMP : IPPROTO_WIRE_ICMPV6);
}
/* To a DHCP client's port (RFC 2131, 4.1; RFC 8415, 7.2), be it from which port it may. First fragments too. */
bool packet_is_dhcp_answer(const struct packet *pkt);

/* One's complement sum in the machine's byte order, not folded; @sum continues an earlier part of even length. */
uint64_t checksum_add(uint64_t sum, const void *data, size_t len);
uint16_t checksum_fold(uint64_t sum); /* complemented, host order value of the big-endian field */
uint64_t checksum_pseudo(const struct packet *pkt, uint8_t proto, uint32_t l4_len);
/* RFC 1624: the new field after a 16-bit word changed. */
uint16_t checksum_update(uint16_t field, uint16_t old_word, uint16_t new_word);

bool packet_l4_checksum_ok(const struct packet *pkt); /* TCP or UDP; UDP/IPv4 with 0: true */
uint32_t packet_l4_checksum_at(const struct packet *pkt); /* offset; @pkt has PACKET_L4 */
void packet_l4_checksum_fill(struct packet *pkt); /* likewise */
void packet_ipv4_checksum_fill(uint8_t *ip);
bool packet_ipv4_checksum_ok(const struct packet *pkt);

/* Sets the two ECN bits and mends the IPv4 header checksum. */
void packet_set_ecn(struct packet *pkt, uint8_t ecn);

/*
 * Writes an ICMP "fragmentation needed" or ICMPv6 "packet too big" about @pkt
 * with next-hop @mtu: a whole IP packet from @pkt's destination to its source.
 * Returns its length, at most PACKET_ERROR_MAX; 0 when none may be sent (about
 * fragments that are not the first, ICMP errors, multicast, unspecified sources:
 * RFC 1122 3.2.2, RFC 4443 2.4).
 */
#define PACKET_ERROR_MAX    1280
#define PACKET_IPV6_MTU_MIN 1280 /* RFC 8200, 5; the least an IPv6 error tells */
bool packet_may_answer(const struct packet *pkt); /* whether one may be sent */
uint32_t packet_make_too_big(const struct packet *pkt, uint32_t mtu, uint8_t *out);

#endif
