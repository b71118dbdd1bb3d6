/* SPDX-License-Identifier: MIT */
/* Lengths and checksums put right, which random bytes never have. */
#ifndef TESTS_FUZZ_MEND_H
#define TESTS_FUZZ_MEND_H

#include "dataplane/packet.h"

/* Of the IP packet, and of a UDP header in it; whatever else is there stays. */
static inline void mend_lengths(uint8_t *ip, size_t len)
{
	if (len < 48 || len > 65535)
		return;
	if (ip[0] >> 4 == 4)
		store_be16(ip + 2, (uint16_t)len);
	else
		store_be16(ip + 4, (uint16_t)(len - 40));
	if (ip[0] == 0x45 && ip[9] == IPPROTO_WIRE_UDP)
		store_be16(ip + 24, (uint16_t)(len - 20));
	else if (ip[0] >> 4 == 6 && ip[6] == IPPROTO_WIRE_UDP)
		store_be16(ip + 44, (uint16_t)(len - 40));
}

static inline void mend_checksums(struct packet *pkt)
{
	if (pkt->family == 4)
		packet_ipv4_checksum_fill(pkt->data);
	if (pkt->flags & PACKET_L4)
		packet_l4_checksum_fill(pkt);
}

/* Of a frame with an ICMPv6 message; any other stays as it is. */
static inline void mend_icmpv6(uint8_t *data, uint32_t len)
{
	struct frame frame;
	struct packet pkt;
	uint32_t l4_len;

	if (!packet_parse_frame(data, len, &frame) ||
	    !packet_parse_ip(data + frame.link_len, len - frame.link_len, &pkt))
		return;
	l4_len = pkt.len - pkt.l4;
	if (pkt.family != 6 || pkt.proto != IPPROTO_WIRE_ICMPV6 || !pkt.l4 || l4_len < 4)
		return;
	store_be16(pkt.data + pkt.l4 + 2, 0);
	store_be16(pkt.data + pkt.l4 + 2,
	           checksum_fold(checksum_add(checksum_pseudo(&pkt, pkt.proto, l4_len),
	                                      pkt.data + pkt.l4, l4_len)));
}

#endif
