/* SPDX-License-Identifier: MIT */
/* IPv4 fragments, and all that segment_packet() refuses. */
#include "segment_check.h"

/* ---- fragments ---- */

/* Puts together what lies in the slots: each datagram's header and its bytes. */
struct reassembly {
	uint8_t bytes[BUILD_MAX];
	uint8_t have[BUILD_MAX];
	uint32_t len; /* 0: the last fragment is not here yet */
	uint32_t header_len;
};
static struct reassembly whole;

static void take_fragment(const struct packet *pkt)
{
	uint32_t header_len = (pkt->data[0] & 0xfu) * 4;
	uint16_t field = load_be16(pkt->data + 6);
	uint32_t offset = (field & IPV4_OFFSET) * 8u;
	uint32_t len = pkt->len - header_len;

	assert_true(packet_ipv4_checksum_ok(pkt));
	if (offset == 0) {
		memcpy(whole.bytes, pkt->data, header_len);
		whole.header_len = header_len;
	}
	for (uint32_t i = 0; i < len; i++)
		assert_false(whole.have[60 + offset + i]);
	memset(whole.have + 60 + offset, 1, len);
	memcpy(whole.bytes + 60 + offset, pkt->data + header_len, len);
	if (!(field & IPV4_MF))
		whole.len = offset + len;
}

/* The datagram, as it was before: from the fragments @from on; the number of them. */
static uint32_t reassemble(uint32_t from, struct packet *pkt)
{
	uint32_t n = 0;

	memset(&whole, 0, sizeof(whole));
	while (whole.len == 0) {
		struct packet part = slot(from + n++);

		assert_true(part.len <= slots.mtu);
		take_fragment(&part);
	}
	for (uint32_t i = 0; i < whole.len; i++)
		assert_true(whole.have[60 + i]);
	memmove(whole.bytes + whole.header_len, whole.bytes + 60, whole.len);
	store_be16(whole.bytes + 2, (uint16_t)(whole.header_len + whole.len));
	store_be16(whole.bytes + 6, 0);
	packet_ipv4_checksum_fill(whole.bytes);
	*pkt = parse(whole.bytes, whole.header_len + whole.len);
	return n;
}

static void overlong_packet_is_fragmented(void **state)
{
	static const uint8_t options[40] = { 0x88, 4, 1, 2, 7, 35, 4 };
	static const uint32_t payloads[] = { 1393, 1400, 1412, 2000, 2800, 3000, 9000, 65467 };
	static const uint32_t mtus[] = { 68, 576, 1280, 1419, 1420, 8900 };

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		for (size_t j = 0; j < 2 * sizeof(mtus) / sizeof(mtus[0]); j++) {
			struct packet pkt = build(&(struct build){
				.proto = j & 1 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_ICMP,
				.payload = payloads[i],
				.id = 4711,
				.ip_options = options,
				.ip_options_len = j & 1 ? 40 : 0,
			});
			struct packet again;
			uint32_t mtu = mtus[j / 2];

			if (pkt.len <= mtu || (mtu == 68 && payloads[i] > 9000))
				continue;
			assert_int_equal(segment_mtu(&pkt, plain, mtu), SEGMENT_OK);
			assert_true(slots.fragmented);
			assert_int_equal(reassemble(0, &again), slots.count);
			assert_int_equal(again.len, pkt.len);
			assert_memory_equal(again.data, pkt.data, pkt.len);
		}
	}
}

static void fragments_are_as_few_as_can_be(void **state)
{
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 2792 });

	(void)state;
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
	assert_int_equal(slots.count, 2); /* 2 × 1400 */
	assert_int_equal(slot(0).len, 1420);
	pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 2793 });
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
	assert_int_equal(slots.count, 3);
}

/* RFC 791: options with the copy bit are in every fragment, others in the first only. */
static void options_are_copied_by_their_copy_bit(void **state)
{
	static const uint8_t options[16] = {
		0x94, 4, 0, 0, /* router alert, copied */
		1,    7, 5, 4, 0, 0, /* padding; record route, not copied */
		0x83, 3, 4, /* source route, copied */
		0,    9, 9, /* end; what follows is nothing */
	};
	static const uint8_t later[8] = { 0x94, 4, 0, 0, 0x83, 3, 4, 0 };
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP,
	                                           .payload = 4000,
	                                           .ip_options = options,
	                                           .ip_options_len = 16 });

	(void)state;
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
	assert_memory_equal(slot(0).data + 20, options, 16);
	for (uint32_t i = 1; i < slots.count; i++) {
		assert_int_equal(slot(i).data[0], 0x47);
		assert_memory_equal(slot(i).data + 20, later, 8);
	}
}

static void broken_options_are_copied_no_further(void **state)
{
	static const uint8_t rows[][8] = {
		{ 0x94, 0 }, { 0x94, 1 }, { 0x94, 9 }, { 1, 1, 1, 1, 1, 1, 1, 0x94 }, { 0x94, 255 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP,
		                                           .payload = 2000,
		                                           .ip_options = rows[i],
		                                           .ip_options_len = 8 });

		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		assert_int_equal(slot(1).data[0], 0x45);
	}
}

static void fragment_of_a_fragment_keeps_its_place(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 4; row++) {
		uint16_t field = (uint16_t)((row & 1 ? IPV4_MF : 0) | (row & 2 ? 1000 : 0));
		struct packet pkt = build(&(struct build){
			.proto = IPPROTO_WIRE_UDP, .payload = 4000 - 8, .fragment = field });
		uint32_t offset = (field & IPV4_OFFSET) * 8u;

		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		for (uint32_t i = 0; i < slots.count; i++) {
			struct packet part = slot(i);
			uint16_t got = load_be16(part.data + 6);

			assert_int_equal((got & IPV4_OFFSET) * 8, offset);
			assert_int_equal(!!(got & IPV4_MF), i + 1 < slots.count || row & 1);
			assert_memory_equal(part.data + 20,
			                    pkt.data + 20 + offset - (field & IPV4_OFFSET) * 8u,
			                    part.len - 20);
			offset += part.len - 20;
		}
		assert_int_equal(offset, (field & IPV4_OFFSET) * 8 + 4000);
	}
}

static void checksum_is_done_before_fragmenting(void **state)
{
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 3000 });
	struct wire_vnet vnet = undone(&pkt);
	struct packet again;

	(void)state;
	store_be16(pkt.data + 26, 0x1234);
	assert_int_equal(segment(&pkt, vnet), SEGMENT_OK);
	reassemble(0, &again);
	assert_true(slow_checksums_ok(&again));

	/* A nested one, wherever it lies: across two fragments at the last. */
	for (uint32_t at = 1000; at < 1100; at++) {
		uint16_t sum;

		vnet.csum_start = (uint16_t)(14 + at);
		vnet.csum_offset = 0;
		assert_int_equal(segment(&pkt, vnet), SEGMENT_OK);
		reassemble(0, &again);
		sum = slow_checksum(pkt.data + at, pkt.len - at, 0);
		assert_int_equal(load_be16(again.data + at), sum);
		memcpy(again.data + at, pkt.data + at, 2);
		assert_memory_equal(again.data, pkt.data, pkt.len);
	}
}

static void udp_superframe_is_fragmented_datagram_by_datagram(void **state)
{
	static const uint16_t sizes[] = { 1393, 1472, 2784, 4000 };
	static const uint32_t payloads[] = { 1393, 5000, 5568, 20000, 65000 };

	(void)state;
	for (size_t i = 0; i < 20; i++) {
		uint32_t size = sizes[i % 4];
		struct packet pkt = build(&(struct build){
			.proto = IPPROTO_WIRE_UDP, .payload = payloads[i / 4], .id = 0xfffe });
		uint32_t offset = 0;
		uint32_t at = 0;
		uint16_t id = 0xfffe;

		store_be16(pkt.data + 26, 0x1234);
		assert_int_equal(segment(&pkt, gso(&pkt, (uint16_t)size)), SEGMENT_OK);
		assert_true(slots.fragmented);
		while (at < slots.count) {
			struct packet again;
			uint32_t payload;

			at += reassemble(at, &again);
			payload = again.len - again.payload;
			assert_true(slow_checksums_ok(&again));
			assert_int_equal(load_be16(again.data + 4), id);
			assert_memory_equal(again.data + 28, pkt.data + 28 + offset, payload);
			assert_true(payload == size || at == slots.count);
			offset += payload;
			id++;
		}
		assert_int_equal(offset, payloads[i / 4]);
	}
}

/* ---- neither ---- */

static void what_may_not_be_cut_is_answered(void **state)
{
	struct packet pkt;

	(void)state;
	pkt = build(
		&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 1472, .fragment = IPV4_DF });
	assert_int_equal(segment(&pkt, plain), SEGMENT_TOO_BIG);
	pkt = build(&(struct build){ .family = 6, .proto = IPPROTO_WIRE_UDP, .payload = 1400 });
	assert_int_equal(segment(&pkt, plain), SEGMENT_TOO_BIG);
	pkt = build(&(struct build){
		.proto = IPPROTO_WIRE_ICMP, .payload = 1472, .fragment = IPV4_DF });
	assert_int_equal(segment(&pkt, plain), SEGMENT_TOO_BIG);
}

static void what_may_not_be_answered_goes_out_whole(void **state)
{
	struct packet pkt;

	(void)state;
	pkt = build(
		&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 1472, .fragment = IPV4_DF });
	pkt.data[16] = 239;
	store_be16(pkt.data + 26, 0x1234);
	build_checksum(pkt.data, 20, IPPROTO_WIRE_UDP, pkt.len);
	packet_ipv4_checksum_fill(pkt.data);
	assert_int_equal(segment(&pkt, undone(&pkt)), SEGMENT_OVERSIZE);
	assert_int_equal(slots.count, 1);
	assert_int_equal(slots.last, 32 + 1500);
	assert_memory_equal(slot(0).data, pkt.data, pkt.len);

	/* Each datagram of a superframe. */
	pkt = build(&(struct build){ .family = 6, .proto = IPPROTO_WIRE_UDP, .payload = 4000 });
	pkt.data[24] = 0xff;
	assert_int_equal(segment(&pkt, gso(&pkt, 1500)), SEGMENT_OVERSIZE);
	assert_int_equal(slots.count, 3);
	check_udp_cut(&pkt, 1500);
}

/* RFC 8200: nobody sends IPv6 packets smaller than 1,280 bytes for being asked to. */
static void ipv6_of_1280_bytes_passes_a_smaller_tunnel(void **state)
{
	struct packet pkt;

	(void)state;
	pkt = build(&(struct build){ .family = 6, .proto = IPPROTO_WIRE_UDP, .payload = 1232 });
	assert_int_equal(pkt.len, 1280);
	assert_int_equal(segment_mtu(&pkt, plain, 1200), SEGMENT_OVERSIZE);
	assert_int_equal(slot(0).len, 1280);
	pkt = build(&(struct build){ .family = 6, .proto = IPPROTO_WIRE_UDP, .payload = 1233 });
	assert_int_equal(segment_mtu(&pkt, plain, 1200), SEGMENT_TOO_BIG);
}

static void request_that_does_not_fit_is_bad(void **state)
{
	static const uint8_t routing[8] = { IPPROTO_WIRE_UDP, 0, 4, 1 };
	static const struct {
		const char *name;
		struct build b;
		uint8_t type;
		uint16_t size;
	} rows[] = {
		{ "no size", { .payload = 3000 }, VNET_GSO_TCPV4, 0 },
		{ "the other family", { .payload = 3000 }, VNET_GSO_TCPV6, 1000 },
		{ "the other family", { .family = 6, .payload = 3000 }, VNET_GSO_TCPV4, 1000 },
		{ "UDP on TCP", { .payload = 3000 }, VNET_GSO_UDP_L4, 1000 },
		{ "TCP on UDP", { .proto = 17, .payload = 3000 }, VNET_GSO_TCPV4, 1000 },
		{ "TCP on ICMP", { .proto = 1, .payload = 3000 }, VNET_GSO_TCPV4, 1000 },
		{ "UFO", { .proto = 17, .payload = 3000 }, VNET_GSO_UDP, 1000 },
		{ "type 2", { .payload = 3000 }, 2, 1000 },
		{ "type 0x7f", { .payload = 3000 }, 0x7f, 1000 },
		{ "type 0x44", { .payload = 3000 }, 0x44, 1000 },
		{ "fragment", { .payload = 3004, .fragment = IPV4_MF }, VNET_GSO_TCPV4, 1000 },
		{ "SYN", { .payload = 3000, .flags = TCP_SYN }, VNET_GSO_TCPV4, 1000 },
		{ "RST", { .payload = 3000, .flags = TCP_RST }, VNET_GSO_TCPV4, 1000 },
		{ "route with stops left",
		  { .family = 6,
		    .proto = 17,
		    .payload = 3000,
		    .ip_options = routing,
		    .ip_options_len = 8,
		    .extension = 43 },
		  VNET_GSO_UDP_L4,
		  1000 },
		{ "too many parts", { .payload = 2049 }, VNET_GSO_TCPV4, 1 },
		{ "too many parts", { .proto = 17, .payload = 65000 }, VNET_GSO_UDP_L4, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t ecn = 0; ecn < 2; ecn++) {
			struct packet pkt = build(&rows[i].b);
			struct wire_vnet vnet = {
				.flags = VNET_F_NEEDS_CSUM,
				.gso_type = (uint8_t)(rows[i].type | (ecn ? VNET_GSO_ECN : 0)),
				.gso_size = rows[i].size,
			};

			if (segment(&pkt, vnet) != SEGMENT_BAD)
				fail_msg("%s: taken", rows[i].name);
		}
	}
}

static void count_at_the_limit_fits_the_room(void **state)
{
	static const uint8_t options[40] = { 1, 1, 8, 10 };
	struct packet pkt = build(&(struct build){ .payload = SEGMENT_COUNT_MAX,
	                                           .ip_options = options,
	                                           .ip_options_len = 40,
	                                           .tcp_options = options,
	                                           .tcp_options_len = 40 });

	(void)state;
	assert_int_equal(segment(&pkt, gso(&pkt, 1)), SEGMENT_OK);
	assert_int_equal(slots.count, SEGMENT_COUNT_MAX);
	check_tcp_cut(&pkt, 1);
}

/* Long extension headers repeated in each part would outgrow any room. */
static void headers_that_outgrow_the_room_are_bad(void **state)
{
	static const uint8_t padding[1200] = { IPPROTO_WIRE_TCP, 149, 1, 255 };
	struct packet pkt = build(&(struct build){ .family = 6,
	                                           .payload = 1000,
	                                           .ip_options = padding,
	                                           .ip_options_len = 1200,
	                                           .extension = IPPROTO_WIRE_DSTOPTS });

	(void)state;
	assert_int_equal(segment(&pkt, gso(&pkt, 1)), SEGMENT_BAD);
	assert_int_equal(segment(&pkt, gso(&pkt, 100)), SEGMENT_OK);
}

static void headers_that_fill_the_mtu_are_too_big(void **state)
{
	static const uint8_t padding[1360] = { IPPROTO_WIRE_TCP, 169, 1, 255 };
	struct packet pkt = build(&(struct build){ .family = 6,
	                                           .payload = 1000,
	                                           .ip_options = padding,
	                                           .ip_options_len = 1360,
	                                           .extension = IPPROTO_WIRE_DSTOPTS });

	(void)state;
	assert_int_equal(pkt.payload, MTU);
	assert_int_equal(segment(&pkt, gso(&pkt, 100)), SEGMENT_TOO_BIG);
	assert_int_equal(segment(&pkt, plain), SEGMENT_TOO_BIG);
	assert_int_equal(segment_mtu(&pkt, plain, MTU + 20), SEGMENT_OK);
	assert_int_equal(slots.count, 50);
}

static void too_little_room_is_said(void **state)
{
	struct packet pkt = build(&(struct build){ .payload = 4000 });
	struct wire_vnet vnet = gso(&pkt, 1380);
	uint32_t need;

	(void)state;
	assert_int_equal(segment(&pkt, vnet), SEGMENT_OK);
	need = (slots.count - 1) * slots.stride + slots.last;
	slots = (struct segment_slots){ .buf = room, .room = need, .mtu = MTU };
	assert_int_equal(segment_packet(&pkt, &vnet, &slots), SEGMENT_OK);
	memset(room, 0xa5, sizeof(room));
	slots = (struct segment_slots){ .buf = room, .room = need - 1, .mtu = MTU };
	assert_int_equal(segment_packet(&pkt, &vnet, &slots), SEGMENT_NO_ROOM);
	for (uint32_t i = 0; i < need; i++)
		assert_int_equal(room[i], 0xa5);
}

/* Pitfall 22: nothing near 65,535 bytes wraps. */
static void pitfall_22_largest_packets_are_cut(void **state)
{
	(void)state;
	for (uint32_t payload = 65475; payload <= 65515; payload++) {
		struct packet pkt = build(&(struct build){ .family = 6, .payload = payload });

		assert_int_equal(segment(&pkt, gso(&pkt, 1360)), SEGMENT_OK);
		check_tcp_cut(&pkt, 1360);
		assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
		check_tcp_cut(&pkt, 1360);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlong_packet_is_fragmented),
		cmocka_unit_test(fragments_are_as_few_as_can_be),
		cmocka_unit_test(options_are_copied_by_their_copy_bit),
		cmocka_unit_test(broken_options_are_copied_no_further),
		cmocka_unit_test(fragment_of_a_fragment_keeps_its_place),
		cmocka_unit_test(checksum_is_done_before_fragmenting),
		cmocka_unit_test(udp_superframe_is_fragmented_datagram_by_datagram),
		cmocka_unit_test(what_may_not_be_cut_is_answered),
		cmocka_unit_test(what_may_not_be_answered_goes_out_whole),
		cmocka_unit_test(ipv6_of_1280_bytes_passes_a_smaller_tunnel),
		cmocka_unit_test(request_that_does_not_fit_is_bad),
		cmocka_unit_test(count_at_the_limit_fits_the_room),
		cmocka_unit_test(headers_that_outgrow_the_room_are_bad),
		cmocka_unit_test(headers_that_fill_the_mtu_are_too_big),
		cmocka_unit_test(too_little_room_is_said),
		cmocka_unit_test(pitfall_22_largest_packets_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
