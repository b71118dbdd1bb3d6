/* SPDX-License-Identifier: MIT */
/* What the tests of dataplane/segment share: a packet in, slots out, all looked at. */
#ifndef TESTS_UNIT_SEGMENT_CHECK_H
#define TESTS_UNIT_SEGMENT_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "dataplane/segment.h"
#include "packet_build.h"

#define MTU 1420

static uint8_t input[BUILD_MAX];
static uint8_t pristine[BUILD_MAX];
static uint8_t room[SEGMENT_ROOM];
static struct segment_slots slots;

static inline struct packet parse(uint8_t *data, uint32_t len)
{
	struct packet pkt;

	assert_true(packet_parse_ip(data, len, &pkt));
	assert_int_equal(pkt.len, len);
	return pkt;
}

static inline struct packet build(const struct build *b)
{
	return parse(input, build_packet(b, input));
}

/* Cuts, and sees that neither the packet was touched nor the room overrun. */
static inline enum segment_verdict segment_mtu(const struct packet *pkt, struct wire_vnet vnet,
                                               uint32_t mtu)
{
	enum segment_verdict verdict;

	memcpy(pristine, input, sizeof(input));
	memset(room, 0xa5, sizeof(room));
	slots = (struct segment_slots){ .buf = room, .room = sizeof(room), .mtu = mtu };
	verdict = segment_packet(pkt, &vnet, &slots);
	assert_memory_equal(pristine, input, sizeof(input));
	return verdict;
}

static inline enum segment_verdict segment(const struct packet *pkt, struct wire_vnet vnet)
{
	return segment_mtu(pkt, vnet, MTU);
}

static inline uint32_t slot_len(uint32_t i)
{
	return i + 1 == slots.count ? slots.last : slots.stride;
}

/* The packet in slot @i, with the slot's layout checked. */
static inline struct packet slot(uint32_t i)
{
	uint8_t *start = room + i * slots.stride;
	uint32_t plain = slot_len(i) - SEGMENT_OVERHEAD;
	struct packet pkt;

	assert_true(i < slots.count);
	assert_true(packet_parse_ip(start + SEGMENT_HEADROOM, plain, &pkt));
	for (uint32_t k = pkt.len; k < plain; k++)
		assert_int_equal(pkt.data[k], 0);
	/* Header and tag are the sealer's. */
	for (uint32_t k = 0; k < 16; k++) {
		assert_int_equal(start[k], 0xa5);
		assert_int_equal(start[slot_len(i) - 1 - k], 0xa5);
	}
	assert_true(slots.last <= slots.stride);
	return pkt;
}

static inline const struct wire_tcp *tcp(const struct packet *pkt)
{
	return (const struct wire_tcp *)(pkt->data + pkt->l4);
}

static inline struct wire_vnet gso(const struct packet *pkt, uint16_t size)
{
	return (struct wire_vnet){
		.flags = VNET_F_NEEDS_CSUM,
		.gso_type = pkt->proto == IPPROTO_WIRE_UDP ? VNET_GSO_UDP_L4
		            : pkt->family == 4             ? VNET_GSO_TCPV4
		                                           : VNET_GSO_TCPV6,
		.gso_size = size,
		.hdr_len = 0xffff, /* not to be trusted */
		.csum_start = (uint16_t)(14 + pkt->l4),
		.csum_offset = pkt->proto == IPPROTO_WIRE_UDP ? 6 : 16,
	};
}

static const struct wire_vnet plain = { 0 };

static inline struct wire_vnet undone(const struct packet *pkt)
{
	struct wire_vnet vnet = gso(pkt, 0);

	vnet.gso_type = VNET_GSO_NONE;
	return vnet;
}

/* What every cut of a TCP packet must fulfil. */
static inline void check_tcp_cut(const struct packet *whole, uint32_t part)
{
	uint32_t headers = whole->payload;
	uint32_t offset = 0;

	for (uint32_t i = 0; i < slots.count; i++) {
		bool is_last = i + 1 == slots.count;
		struct packet pkt = slot(i);
		uint32_t payload = pkt.len - pkt.payload;
		uint8_t flags = tcp(whole)->flags;

		assert_true(pkt.len <= slots.mtu);
		assert_int_equal(pkt.payload, headers);
		if (!is_last)
			assert_int_equal(payload, part);
		assert_memory_equal(pkt.data + headers, whole->data + headers + offset, payload);
		assert_true(slow_checksums_ok(&pkt));
		assert_int_equal(load_be32(&tcp(&pkt)->sequence),
		                 load_be32(&tcp(whole)->sequence) + offset);
		if (!is_last)
			flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i > 0)
			flags &= (uint8_t)~TCP_CWR;
		assert_int_equal(tcp(&pkt)->flags, flags);
		if (pkt.family == 4)
			assert_int_equal(load_be16(pkt.data + 4),
			                 (uint16_t)(load_be16(whole->data + 4) + i));
		offset += payload;
	}
	assert_int_equal(offset, whole->len - headers);
}

static inline void check_udp_cut(const struct packet *whole, uint32_t part)
{
	uint32_t offset = 0;

	for (uint32_t i = 0; i < slots.count; i++) {
		struct packet pkt = slot(i);
		uint32_t payload = pkt.len - pkt.payload;

		assert_int_equal(pkt.payload, whole->payload);
		if (i + 1 < slots.count)
			assert_int_equal(payload, part);
		assert_memory_equal(pkt.data + pkt.payload, whole->data + whole->payload + offset,
		                    payload);
		assert_true(slow_checksums_ok(&pkt));
		assert_int_not_equal(load_be16(pkt.data + pkt.l4 + 6), 0);
		if (pkt.family == 4)
			assert_int_equal(load_be16(pkt.data + 4),
			                 (uint16_t)(load_be16(whole->data + 4) + i));
		offset += payload;
	}
	assert_int_equal(offset, whole->len - whole->payload);
}

#endif
