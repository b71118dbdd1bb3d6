/* SPDX-License-Identifier: MIT */
/*
 * What the tests of dataplane/segment share: a packet in, slots out, all looked at.
 * Whatever is cut as plain IP is cut in the other framings too, with an MTU that
 * leaves as much for the packet: the same packets must come out.
 */
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

#define CHECK_VNI 0x123456
static const uint8_t check_link[WIRE_LINK_MAX] = { 2, 0, 0, 0, 0, 2,   2,   0,   0, 0, 0,
	                                           1, 3, 5, 7, 9, 0xb, 0xd, 0xf, 8, 0, 8 };

/* The hint may be given, and is, where there is a whole TCP or UDP header of our making. */
static inline bool is_undone(const struct packet *pkt, const struct wire_vnet *vnet,
                             uint32_t link_len)
{
	if (slots.fragmented || !(pkt->flags & PACKET_L4))
		return false;
	if ((vnet->gso_type & ~VNET_GSO_ECN) != VNET_GSO_NONE || slots.cut)
		return true;
	return vnet->flags & VNET_F_NEEDS_CSUM && vnet->csum_start <= link_len + pkt->l4;
}

/* What is in front of the packet and behind it; the packet's own first byte. */
static inline void check_slot_frame(const struct segment_slots *got, const uint8_t *text,
                                    uint32_t plain, uint32_t len)
{
	uint32_t front = segment_front(got), padding = plain - front - len;

	assert_true(plain >= front + len);
	assert_true(plain % 16 == 0 || plain == got->mtu || padding == 0);
	for (uint32_t k = front + len; k < plain; k++)
		assert_int_equal(text[k], 0);
	if (!front)
		return;
	assert_memory_equal(text, ((uint8_t[]){ 8, 0, 0, got->undone, 0x12, 0x34, 0x56 }), 7);
	assert_int_equal(text[7], padding < 15 ? padding : 15);
	assert_memory_equal(text + 8, check_link, front - 8);
}

/* @got is what @slots is, in another framing. */
static inline void check_same_packets(const struct segment_slots *got)
{
	static uint8_t copy[BUILD_MAX];
	uint32_t front = segment_front(got);

	assert_int_equal(got->count, slots.count);
	assert_int_equal(got->cut, slots.cut);
	assert_int_equal(got->clamped, slots.clamped);
	assert_int_equal(got->fragmented, slots.fragmented);
	for (uint32_t i = 0; i < slots.count; i++) {
		bool is_last = i + 1 == slots.count;
		uint8_t *was = room + i * slots.stride + SEGMENT_HEADROOM;
		uint8_t *text = got->buf + i * got->stride + SEGMENT_HEADROOM;
		uint32_t plain = (is_last ? got->last : got->stride) - SEGMENT_OVERHEAD;
		struct packet pkt;

		assert_true(packet_parse_ip(was, BUILD_MAX, &pkt));
		check_slot_frame(got, text, plain, pkt.len);
		memcpy(copy, text + front, pkt.len);
		if (got->undone) {
			if (!front)
				copy[0] -= 0x10;
			build_checksum(copy, pkt.l4, pkt.proto, pkt.len);
		}
		assert_memory_equal(copy, was, pkt.len);
	}
}

static inline void check_framings(const struct packet *pkt, struct wire_vnet vnet, uint32_t mtu,
                                  enum segment_verdict wanted)
{
	static const enum segment_framing framings[] = { SEGMENT_IP_HINT, SEGMENT_FRAME,
		                                         SEGMENT_FRAME_HINT };
	static uint8_t other_room[SEGMENT_ROOM];
	static uint32_t tags;

	for (uint32_t i = 0; i < 3; i++) {
		struct segment_slots got = { .buf = other_room,
			                     .room = sizeof(other_room),
			                     .framing = framings[i],
			                     .vni = CHECK_VNI,
			                     .link = check_link,
			                     .link_len = 14 + 4 * (tags++ % 3) };
		uint32_t link_len = i == 0 ? 14 : got.link_len;
		struct wire_vnet moved = vnet;
		enum segment_verdict verdict;

		got.mtu = mtu + segment_front(&got);
		assert_int_equal(segment_packet_mtu(&got), mtu);
		if (vnet.csum_start && vnet.csum_start < 0xfff0)
			moved.csum_start = (uint16_t)(vnet.csum_start + link_len - 14);
		verdict = segment_packet(pkt, &moved, &got);
		/* The fronts are many bytes, too, if the parts are many. */
		if (verdict == SEGMENT_BAD && wanted == SEGMENT_OK && slots.count > 1000)
			continue;
		assert_int_equal(verdict, wanted);
		if (wanted != SEGMENT_OK && wanted != SEGMENT_OVERSIZE)
			continue;
		assert_int_equal(got.undone,
		                 framings[i] != SEGMENT_FRAME && is_undone(pkt, &moved, link_len));
		check_same_packets(&got);
	}
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
	assert_false(slots.undone);
	check_framings(pkt, vnet, mtu, verdict);
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
