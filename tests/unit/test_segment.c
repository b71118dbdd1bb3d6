/* SPDX-License-Identifier: MIT */
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

static struct packet parse(uint8_t *data, uint32_t len)
{
	struct packet pkt;

	assert_true(packet_parse_ip(data, len, &pkt));
	assert_int_equal(pkt.len, len);
	return pkt;
}

static struct packet build(const struct build *b)
{
	return parse(input, build_packet(b, input));
}

/* Cuts, and sees that neither the packet was touched nor the room overrun. */
static enum segment_verdict segment_mtu(const struct packet *pkt, struct wire_vnet vnet,
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

static enum segment_verdict segment(const struct packet *pkt, struct wire_vnet vnet)
{
	return segment_mtu(pkt, vnet, MTU);
}

static uint32_t slot_len(uint32_t i)
{
	return i + 1 == slots.count ? slots.last : slots.stride;
}

/* The packet in slot @i, with the slot's layout checked. */
static struct packet slot(uint32_t i)
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

static const struct wire_tcp *tcp(const struct packet *pkt)
{
	return (const struct wire_tcp *)(pkt->data + pkt->l4);
}

static struct wire_vnet gso(const struct packet *pkt, uint16_t size)
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

static struct wire_vnet undone(const struct packet *pkt)
{
	struct wire_vnet vnet = gso(pkt, 0);

	vnet.gso_type = VNET_GSO_NONE;
	return vnet;
}

/* What every cut of a TCP packet must fulfil. */
static void check_tcp_cut(const struct packet *whole, uint32_t part)
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

/* ---- single packets ---- */

static void packet_that_fits_is_copied_and_padded(void **state)
{
	(void)state;
	for (uint32_t payload = 0; payload <= MTU - 40; payload++) {
		struct packet pkt = build(&(struct build){ .payload = payload });

		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		assert_int_equal(slots.count, 1);
		assert_int_equal(slots.last, 32 + wire_padded_len(pkt.len, MTU));
		assert_int_equal(slots.stride, slots.last);
		assert_int_equal(slot(0).len, pkt.len);
		assert_memory_equal(slot(0).data, pkt.data, pkt.len);
		assert_false(slots.cut || slots.clamped || slots.fragmented);
	}
}

static void undone_checksum_is_done(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 4 * 64; row++) {
		struct packet pkt = build(&(struct build){
			.family = row & 1 ? 6 : 4,
			.proto = row & 2 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP,
			.payload = row / 4 * 13,
			.seed = row,
		});
		uint16_t field = (uint16_t)(pkt.l4 + (row & 2 ? 6 : 16));
		uint16_t right = load_be16(pkt.data + field);

		store_be16(pkt.data + field,
		           (uint16_t)slow_pseudo(pkt.data, pkt.proto, pkt.len - pkt.l4));
		assert_int_equal(segment(&pkt, undone(&pkt)), SEGMENT_OK);
		assert_int_equal(load_be16(slot(0).data + field), right);
	}
}

/* Of a UDP checksum that comes to zero, RFC 768 makes all ones. */
static void udp_checksum_zero_becomes_all_ones(void **state)
{
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 4 });
	uint16_t sum;

	(void)state;
	store_be16(pkt.data + 28, 0);
	store_be16(pkt.data + 26, 0);
	sum = slow_checksum(pkt.data + 20, 12, slow_pseudo(pkt.data, 17, 12));
	store_be16(pkt.data + 28, sum);
	assert_int_equal(segment(&pkt, undone(&pkt)), SEGMENT_OK);
	assert_int_equal(load_be16(slot(0).data + 26), 0xffff);
}

/* A container that tunnels: outer UDP complete, inner checksum undone. */
static void nested_checksum_is_done_where_it_is(void **state)
{
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 200 });
	struct wire_vnet vnet = undone(&pkt);
	uint16_t outer = load_be16(pkt.data + 26);

	(void)state;
	vnet.csum_start = 14 + 80;
	vnet.csum_offset = 16;
	assert_int_equal(segment(&pkt, vnet), SEGMENT_OK);
	assert_int_equal(load_be16(slot(0).data + 26), outer);
	assert_int_equal(load_be16(slot(0).data + 96), slow_checksum(pkt.data + 80, 148, 0));
	assert_memory_equal(slot(0).data, pkt.data, 96);
	assert_memory_equal(slot(0).data + 98, pkt.data + 98, pkt.len - 98);
}

static void checksum_request_outside_the_packet_is_bad(void **state)
{
	static const struct {
		uint16_t start; /* in the frame */
		uint16_t offset;
		enum segment_verdict verdict;
	} rows[] = {
		{ 14 + 20, 2, SEGMENT_OK },
		{ 14 + 20, 26, SEGMENT_OK }, /* the last two bytes */
		{ 14 + 20, 27, SEGMENT_BAD },
		{ 14 + 46, 0, SEGMENT_OK },
		{ 14 + 47, 0, SEGMENT_BAD },
		{ 14 + 48, 0, SEGMENT_BAD },
		{ 14 + 19, 2, SEGMENT_BAD }, /* would write to the IP header */
		{ 14, 12, SEGMENT_BAD },
		{ 0, 2, SEGMENT_BAD },
		{ 0xffff, 0, SEGMENT_BAD },
		{ 14 + 20, 0xffff, SEGMENT_BAD },
		{ 0xffff, 0xffff, SEGMENT_BAD },
	};
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_ICMP, .payload = 20 });

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire_vnet vnet = {
			.flags = VNET_F_NEEDS_CSUM,
			.csum_start = rows[i].start,
			.csum_offset = rows[i].offset,
		};

		assert_int_equal(segment(&pkt, vnet), rows[i].verdict);
	}
}

static void checksum_request_for_a_fragment_is_bad(void **state)
{
	struct packet pkt = build(&(struct build){ .fragment = IPV4_MF, .payload = 20 });

	(void)state;
	assert_int_equal(segment(&pkt, undone(&pkt)), SEGMENT_BAD);
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
}

/* ---- TCP ---- */

static void tcp_superframe_is_cut(void **state)
{
	static const uint8_t timestamps[12] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const uint32_t payloads[] = { 1, 1000, 1380, 1381, 2760, 2761, 8192, 40000, 65483 };
	static const uint16_t sizes[] = { 1, 100, 536, 1348, 1368, 1380, 1448, 1460, 8948, 65535 };

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		for (size_t j = 0; j < 4 * sizeof(sizes) / sizeof(sizes[0]); j++) {
			struct packet pkt = build(&(struct build){
				.family = j & 1 ? 6 : 4,
				.tcp_options = timestamps,
				.tcp_options_len = j & 2 ? 12 : 0,
				.payload = payloads[i],
				.sequence = 0xffffff00,
				.id = 0xfffe,
				.flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR | TCP_ECE,
			});
			uint32_t fits = MTU - pkt.payload;
			uint32_t part = sizes[j / 4] < fits ? sizes[j / 4] : fits;
			struct wire_vnet vnet = gso(&pkt, sizes[j / 4]);

			/* As the kernel leaves it; the bit beside the type is masked. */
			vnet.gso_type |= VNET_GSO_ECN;
			store_be16(pkt.data + pkt.l4 + 16, 0x1234);
			if ((payloads[i] + part - 1) / part > SEGMENT_COUNT_MAX) {
				assert_int_equal(segment(&pkt, vnet), SEGMENT_BAD);
				continue;
			}
			assert_int_equal(segment(&pkt, vnet), SEGMENT_OK);
			assert_int_equal(slots.count, (payloads[i] + part - 1) / part);
			assert_false(slots.cut);
			check_tcp_cut(&pkt, part);
		}
	}
}

static void overlong_tcp_segment_is_split(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 4; row++) {
		struct packet pkt = build(&(struct build){
			.family = row & 1 ? 6 : 4,
			.payload = row & 2 ? 1460 : 8940,
			.fragment = IPV4_DF,
			.flags = TCP_ACK | TCP_PSH,
		});

		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		assert_true(slots.cut);
		check_tcp_cut(&pkt, MTU - pkt.payload);
		if (!(row & 1))
			continue;
		/* The next packet's reset of the flag. */
		pkt = build(&(struct build){ .payload = 1 });
		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		assert_false(slots.cut);
	}
}

static void damaged_overlong_segment_is_not_mended(void **state)
{
	struct packet pkt = build(&(struct build){ .payload = 1460 });

	(void)state;
	pkt.data[700] ^= 1;
	assert_int_equal(segment(&pkt, plain), SEGMENT_BAD);
	assert_int_equal(segment(&pkt, undone(&pkt)), SEGMENT_OK);
	check_tcp_cut(&pkt, MTU - 40);
}

static void urgent_pointer_follows_the_cut(void **state)
{
	struct packet pkt = build(&(struct build){
		.payload = 4000,
		.flags = TCP_ACK | TCP_URG,
		.urgent = 1500,
	});

	(void)state;
	assert_int_equal(segment(&pkt, gso(&pkt, 1000)), SEGMENT_OK);
	assert_int_equal(slots.count, 4);
	for (uint32_t i = 0; i < 4; i++) {
		struct packet part = slot(i);

		assert_int_equal(!!(tcp(&part)->flags & TCP_URG), i < 2);
		assert_int_equal(load_be16(&tcp(&part)->urgent), i < 2 ? 1500 - 1000 * i : 0);
		assert_true(slow_checksums_ok(&part));
	}
}

/* Signatures cover a segment as it is. */
static void signed_tcp_is_not_split(void **state)
{
	static const uint8_t md5[20] = { 19, 18 };
	static const uint8_t ao[20] = { 1, 1, 29, 16 };
	static const uint8_t hidden[20] = { 0, 19, 18 }; /* behind the end of the list */
	static const uint8_t broken[20] = { 3, 1, 19, 18 };
	static const struct {
		const uint8_t *options;
		bool is_signed;
	} rows[] = { { md5, true }, { ao, true }, { hidden, false }, { broken, false } };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct packet pkt = build(&(struct build){
			.tcp_options = rows[i].options,
			.tcp_options_len = 20,
			.payload = 1440,
			.fragment = IPV4_DF,
		});

		assert_int_equal(segment(&pkt, plain),
		                 rows[i].is_signed ? SEGMENT_TOO_BIG : SEGMENT_OK);
		assert_int_equal(segment(&pkt, gso(&pkt, 1440)),
		                 rows[i].is_signed ? SEGMENT_TOO_BIG : SEGMENT_OK);
		/* Cut as its sender asked for, or fragmented: the signature holds. */
		assert_int_equal(segment(&pkt, gso(&pkt, 720)), SEGMENT_OK);
		store_be16(pkt.data + 6, 0);
		pkt = parse(input, pkt.len);
		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		assert_int_equal(slots.fragmented, rows[i].is_signed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_that_fits_is_copied_and_padded),
		cmocka_unit_test(undone_checksum_is_done),
		cmocka_unit_test(udp_checksum_zero_becomes_all_ones),
		cmocka_unit_test(nested_checksum_is_done_where_it_is),
		cmocka_unit_test(checksum_request_outside_the_packet_is_bad),
		cmocka_unit_test(checksum_request_for_a_fragment_is_bad),
		cmocka_unit_test(tcp_superframe_is_cut),
		cmocka_unit_test(overlong_tcp_segment_is_split),
		cmocka_unit_test(damaged_overlong_segment_is_not_mended),
		cmocka_unit_test(urgent_pointer_follows_the_cut),
		cmocka_unit_test(signed_tcp_is_not_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
