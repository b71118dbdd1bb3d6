/* SPDX-License-Identifier: MIT */
/* What a TAP gives: an IP packet whose payload is many segments, or one. */
#ifndef BENCH_MICRO_SUPERFRAME_H
#define BENCH_MICRO_SUPERFRAME_H

#include <string.h>
#include "dataplane/packet.h"
#include "micro.h"

struct superframe {
	uint8_t bytes[65536];
	uint32_t len;
	struct packet packet;
	struct wire_vnet vnet;
};

struct superframe_kind {
	const char *name;
	bool udp;
	uint32_t payload; /* of a segment */
};

static inline uint32_t superframe_headers(const struct superframe_kind *kind)
{
	return (uint32_t)sizeof(struct wire_ipv4) + (kind->udp ? 8 : 20);
}

/* The packets that it is cut into go from 10.0.0.1:@port, all checksums left to others. */
static inline void superframe_make(struct superframe *frame, const struct superframe_kind *kind,
                                   uint32_t segments, uint16_t port)
{
	struct wire_ipv4 *ip = (struct wire_ipv4 *)frame->bytes;
	const uint32_t headers = superframe_headers(kind);
	uint8_t *l4 = frame->bytes + sizeof(*ip);

	frame->len = headers + segments * kind->payload;
	must(frame->len <= 65535);
	for (uint32_t i = 0; i < frame->len; i++)
		frame->bytes[i] = (uint8_t)(i * 7);
	memset(frame->bytes, 0, headers);
	ip->version_ihl = 0x45;
	store_be16(&ip->total_len, (uint16_t)frame->len);
	store_be16(&ip->fragment, IPV4_DF);
	ip->ttl = 64;
	ip->protocol = kind->udp ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP;
	memcpy(ip->source, (uint8_t[]){ 10, 0, 0, 1 }, 4);
	memcpy(ip->destination, (uint8_t[]){ 10, 0, 0, 2 }, 4);
	store_be16(l4, port);
	store_be16(l4 + 2, 7000);
	if (kind->udp) {
		store_be16(l4 + offsetof(struct wire_udp, length),
		           (uint16_t)(frame->len - sizeof(*ip)));
	} else {
		l4[offsetof(struct wire_tcp, offset)] = 0x50;
		l4[offsetof(struct wire_tcp, flags)] = TCP_ACK;
	}
	must(packet_parse_ip(frame->bytes, frame->len, &frame->packet));
	frame->vnet = (struct wire_vnet){
		.flags = VNET_F_NEEDS_CSUM,
		.csum_start = (uint16_t)(sizeof(struct wire_ethernet) + sizeof(*ip)),
		.csum_offset = kind->udp ? 6 : 16,
	};
	if (segments > 1) {
		frame->vnet.gso_type = kind->udp ? VNET_GSO_UDP_L4 : VNET_GSO_TCPV4;
		frame->vnet.gso_size = (uint16_t)kind->payload;
	}
}

#endif
