/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the coalescer: packets go in, and come out of the TAP as the kernel
 * makes them of what is written to it. kernel_cut() is what it does to a superframe,
 * slowly.
 */
#ifndef TESTS_UNIT_COALESCE_LAB_H
#define TESTS_UNIT_COALESCE_LAB_H

#include "unit.h"

#include "dataplane/coalesce.h"
#include "packet_build.h"

/* A TCP option of time stamps. */
static const uint8_t stamps_a[12] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1 };

static struct coalesce *coalesce;
static struct coalesce_target target;

/* Packets pushed, as sent (checksums complete), and as they lie in the buffer. */
static uint8_t sent[COALESCE_PACKETS][1600];
static uint8_t buffer[COALESCE_PACKETS][1600];
static uint32_t lens[COALESCE_PACKETS];
static uint32_t pushed;

static struct ring_write *writes;
static unsigned int write_count;

/* The packets that come out, in order. */
static uint8_t out[COALESCE_PACKETS][1600];
static uint32_t out_lens[COALESCE_PACKETS];
static uint32_t out_count;

static uint8_t frame[BUILD_MAX + 64];

static inline void reset_target(void)
{
	target = (struct coalesce_target){
		.port = 3,
		.merge_udp = true,
		.link_len = 14,
		.ethernet = { { 2, 1, 1, 1, 1, 1 }, { 2, 2, 2, 2, 2, 2 }, { { 8, 0 } } },
	};
}

/* What a bridged network has in front of its packets. */
static inline void tag_target(uint16_t tags)
{
	reset_target();
	for (uint16_t i = 0; i < tags; i++)
		store_be32(target.link + 12 + 4 * i, 0x81000005u + i);
	target.link_len = (uint16_t)(14 + 4 * tags);
	store_be16(target.link + target.link_len - 2, 0x0800);
}

static inline int setup(void **state)
{
	(void)state;
	coalesce = coalesce_open();
	reset_target();
	pushed = 0;
	return coalesce ? 0 : -1;
}

static inline int teardown(void **state)
{
	(void)state;
	coalesce_close(coalesce);
	return 0;
}

static inline void push_raw(bool csum_undone)
{
	struct packet pkt;

	memcpy(buffer[pushed], sent[pushed], lens[pushed]);
	assert_true(packet_parse_ip(buffer[pushed], lens[pushed], &pkt));
	if (csum_undone) /* what the field holds then does not matter */
		store_be16(pkt.data + pkt.l4 + (pkt.proto == IPPROTO_WIRE_TCP ? 16 : 6), 0x5555);
	assert_true(coalesce_push(coalesce, &pkt, &target, csum_undone));
	pushed++;
}

static inline void push(const struct build *b)
{
	static uint8_t scratch[BUILD_MAX];

	lens[pushed] = build_packet(b, scratch);
	assert_true(lens[pushed] <= sizeof(sent[0]));
	memcpy(sent[pushed], scratch, lens[pushed]);
	push_raw(false);
}

/* ---- the kernel's part ---- */

static inline void emit(const uint8_t *ip, uint32_t len)
{
	assert_true(out_count < COALESCE_PACKETS && len <= sizeof(out[0]));
	memcpy(out[out_count], ip, len);
	out_lens[out_count++] = len;
}

static inline void kernel_cut(uint8_t *ip, uint32_t len, const struct wire_vnet *vnet)
{
	static uint8_t part[BUILD_MAX];
	uint32_t l4 = vnet->csum_start - target.link_len;
	bool is_udp = vnet->gso_type == VNET_GSO_UDP_L4;
	uint32_t headers = l4 + (is_udp ? 8u : (ip[l4 + 12] >> 4) * 4u);
	uint32_t n = 0;

	assert_int_equal(vnet->flags, VNET_F_NEEDS_CSUM);
	assert_int_equal(vnet->csum_offset, is_udp ? 6 : 16);
	assert_int_equal(vnet->hdr_len, target.link_len + headers);
	assert_true(len - headers > vnet->gso_size); /* else it would not be cut */
	assert_true(len <= 65535);
	for (uint32_t at = headers; at < len; at += vnet->gso_size, n++) {
		bool is_last = len - at <= vnet->gso_size;
		uint32_t payload = is_last ? len - at : vnet->gso_size;
		uint32_t part_len = headers + payload;

		memcpy(part, ip, headers);
		memcpy(part + headers, ip + at, payload);
		if (ip[0] >> 4 == 4) {
			store_be16(part + 2, (uint16_t)part_len);
			store_be16(part + 4, (uint16_t)(load_be16(ip + 4) + n));
			store_be16(part + 10, 0);
			store_be16(part + 10, slow_checksum(part, 20, 0));
		} else {
			store_be16(part + 4, (uint16_t)(part_len - 40));
		}
		if (is_udp) {
			store_be16(part + l4 + 4, (uint16_t)(8 + payload));
		} else {
			store_be32(part + l4 + 4, load_be32(ip + l4 + 4) + n * vnet->gso_size);
			if (!is_last)
				part[l4 + 13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		}
		build_checksum(part, l4, is_udp ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP, part_len);
		emit(part, part_len);
	}
	assert_true(n <= RING_SEGMENTS_MAX);
}

static inline void take_write(const struct ring_write *write)
{
	uint32_t front = 10u + target.link_len;
	uint8_t *ip = frame + front;
	struct wire_vnet vnet;
	uint32_t len = 0;

	for (uint32_t i = 0; i < write->iov_count; i++) {
		assert_true(len + write->iov[i].iov_len <= sizeof(frame));
		memcpy(frame + len, write->iov[i].iov_base, write->iov[i].iov_len);
		len += (uint32_t)write->iov[i].iov_len;
	}
	assert_true(len > front);
	memcpy(&vnet, frame, 10);
	len -= front;
	if (vnet.flags & VNET_F_NEEDS_CSUM) {
		uint32_t start = (uint32_t)vnet.csum_start - target.link_len;
		uint8_t proto = vnet.csum_offset == 6 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP;

		/* The promise the kernel relies upon. */
		assert_int_equal(load_be16(ip + start + vnet.csum_offset),
		                 slow_pseudo(ip, proto, len - start));
		if (vnet.gso_type == VNET_GSO_NONE) {
			build_checksum(ip, start, proto, len);
			emit(ip, len);
		}
	}
	if (vnet.gso_type != VNET_GSO_NONE)
		kernel_cut(ip, len, &vnet);
	else if (!(vnet.flags & VNET_F_NEEDS_CSUM))
		emit(ip, len);
}

static inline void finish(void)
{
	write_count = coalesce_finish(coalesce, &writes);
	out_count = 0;
	for (unsigned int i = 0; i < write_count; i++)
		take_write(&writes[i]);
	coalesce_reset(coalesce);
}

/* Everything that went in came out once, here in the same order. */
static inline void same_in_order(void)
{
	assert_int_equal(out_count, pushed);
	for (uint32_t i = 0; i < pushed; i++) {
		assert_int_equal(out_lens[i], lens[i]);
		assert_memory_equal(out[i], sent[i], lens[i]);
	}
	pushed = 0;
}

static inline void writes_are(unsigned int count)
{
	finish();
	assert_int_equal(write_count, count);
	same_in_order();
}

static inline struct build segment_of(uint8_t family, uint32_t n)
{
	return (struct build){
		.family = family,
		.payload = 1000,
		.sequence = 0xfffffc00 + n * 1000,
		.acknowledgement = 77,
		.window = 500,
		.id = (uint16_t)(0xfffe + n),
		.seed = n,
	};
}

static inline struct build datagram_of(uint8_t family, uint32_t n)
{
	struct build b = segment_of(family, n);

	b.proto = IPPROTO_WIRE_UDP;
	b.payload = 104;
	return b;
}

#define coalesce_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
