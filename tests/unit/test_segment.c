/* SPDX-License-Identifier: MIT */
/* How single packets and superframes are cut; fragments and refusals: test_fragment.c. */
#include "segment_check.h"

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

/* A checksum may not be used to write what was checked a moment ago. */
static void checksum_request_cannot_rewrite_headers(void **state)
{
	static const struct {
		uint8_t proto;
		uint8_t udp_len; /* 0: as it should be */
		uint16_t start; /* in the packet */
		uint16_t offset;
		enum segment_verdict verdict;
	} rows[] = {
		{ IPPROTO_WIRE_UDP, 0, 21, 3, SEGMENT_BAD }, /* UDP length */
		{ IPPROTO_WIRE_UDP, 0, 27, 0, SEGMENT_BAD },
		{ IPPROTO_WIRE_UDP, 0, 28, 0, SEGMENT_OK },
		{ IPPROTO_WIRE_UDP, 50, 20, 4, SEGMENT_BAD },
		{ IPPROTO_WIRE_UDP, 50, 20, 6, SEGMENT_OK },
		{ IPPROTO_WIRE_UDP, 50, 28, 6, SEGMENT_OK },
		{ IPPROTO_WIRE_TCP, 0, 21, 11, SEGMENT_BAD }, /* TCP header length */
		{ IPPROTO_WIRE_TCP, 0, 39, 0, SEGMENT_BAD },
		{ IPPROTO_WIRE_TCP, 0, 40, 0, SEGMENT_OK },
		{ IPPROTO_WIRE_ICMP, 0, 20, 0, SEGMENT_BAD }, /* ICMP type */
		{ IPPROTO_WIRE_ICMP, 0, 20, 1, SEGMENT_BAD },
		{ IPPROTO_WIRE_ICMP, 0, 20, 2, SEGMENT_OK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct packet pkt =
			build(&(struct build){ .proto = rows[i].proto, .payload = 100 });
		struct wire_vnet vnet = {
			.flags = VNET_F_NEEDS_CSUM,
			.csum_start = (uint16_t)(14 + rows[i].start),
			.csum_offset = rows[i].offset,
		};

		if (rows[i].udp_len) {
			store_be16(pkt.data + 24, rows[i].udp_len);
			pkt = parse(input, pkt.len);
		}
		if (segment(&pkt, vnet) != rows[i].verdict)
			fail_msg("protocol %u, %u + %u", rows[i].proto, rows[i].start,
			         rows[i].offset);
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
	static const uint16_t pointers[] = { 0, 1, 999, 1000, 1001, 1500, 4000, 65535 };

	(void)state;
	for (size_t k = 0; k < sizeof(pointers) / sizeof(pointers[0]); k++) {
		struct packet pkt = build(&(struct build){
			.payload = 4000,
			.flags = TCP_ACK | TCP_URG,
			.urgent = pointers[k],
		});

		assert_int_equal(segment(&pkt, gso(&pkt, 1000)), SEGMENT_OK);
		assert_int_equal(slots.count, 4);
		for (uint32_t i = 0; i < 4; i++) {
			struct packet part = slot(i);
			bool urgent = i == 0 || pointers[k] > 1000 * i;

			assert_int_equal(!!(tcp(&part)->flags & TCP_URG), urgent);
			assert_int_equal(load_be16(&tcp(&part)->urgent),
			                 urgent ? pointers[k] - 1000 * i : 0);
			assert_true(slow_checksums_ok(&part));
		}
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

/* ---- SYN ---- */

static void syn_has_its_mss_clamped(void **state)
{
	static const uint8_t options[8] = { 7, 7, 4 }; /* record route, in the IPv4 header */
	static const uint8_t mss_first[8] = { 2, 4, 0x23, 0x00, 1, 3, 3, 7 };
	static const uint8_t mss_odd[8] = { 1, 2, 4, 0x23, 0x00, 1, 1, 0 };
	static const uint8_t mss_late[8] = { 3, 3, 7, 1, 2, 4, 0x23, 0x00 };
	static const uint8_t mss_jumbo[8] = { 2, 4, 0xff, 0xff };
	static const uint8_t ao[16] = { 2, 4, 0x23, 0x00, 29, 12 };
	static const uint8_t md5[24] = { 2, 4, 0x23, 0x00, 19, 18 };
	static const uint8_t small[8] = { 2, 4, 0x05, 0x64 }; /* 1380 */
	static const uint8_t wrong_len[8] = { 2, 3, 0x23, 0x00 };
	static const uint8_t cut_off[4] = { 1, 1, 2, 4 };
	static const uint8_t none[4] = { 1 };
	static const struct {
		const uint8_t *options;
		uint8_t len;
		uint8_t at; /* of the value in the options; 0: stays as it is */
	} rows[] = {
		{ mss_first, 8, 2 }, { mss_odd, 8, 3 }, { mss_late, 8, 6 }, { mss_jumbo, 8, 2 },
		{ small, 8, 2 },     { md5, 24, 2 },    { ao, 16, 0 },      { wrong_len, 8, 0 },
		{ cut_off, 4, 0 },   { none, 4, 0 },
	};

	(void)state;
	for (size_t i = 0; i < 8 * sizeof(rows) / sizeof(rows[0]); i++) {
		const uint8_t family = i & 1 ? 6 : 4;
		struct packet pkt = build(&(struct build){
			.family = family,
			.flags = i & 2 ? TCP_SYN | TCP_ACK : TCP_SYN, /* SYN-ACK too */
			.ip_options = options,
			.ip_options_len = i & 4 && family == 4 ? 8 : 0,
			.tcp_options = rows[i / 8].options,
			.tcp_options_len = rows[i / 8].len,
		});
		uint32_t limit =
			family == 4 ? MTU - 40 : MTU - 60; /* RFC 6691: options do not count */
		uint32_t at = pkt.l4 + 20u + rows[i / 8].at;
		bool expected = rows[i / 8].at && load_be16(pkt.data + at) > limit;
		struct packet got;

		assert_int_equal(segment(&pkt, i & 4 ? undone(&pkt) : plain), SEGMENT_OK);
		got = slot(0);
		assert_int_equal(slots.clamped, expected);
		assert_true(slow_checksums_ok(&got));
		if (!expected) {
			assert_memory_equal(got.data, pkt.data, pkt.len);
			continue;
		}
		assert_int_equal(load_be16(got.data + at), limit);
		memcpy(got.data + at, pkt.data + at, 2);
		memcpy(got.data + got.l4 + 16, pkt.data + pkt.l4 + 16, 2);
		assert_memory_equal(got.data, pkt.data, pkt.len);
	}
}

static void only_a_syn_is_clamped(void **state)
{
	static const uint8_t mss[4] = { 2, 4, 0x23, 0x00 };
	struct packet pkt;

	(void)state;
	pkt = build(&(struct build){ .tcp_options = mss, .tcp_options_len = 4, .flags = TCP_ACK });
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
	assert_false(slots.clamped);
	assert_memory_equal(slot(0).data, pkt.data, pkt.len);
	/* A damaged SYN stays damaged. */
	pkt = build(&(struct build){ .tcp_options = mss, .tcp_options_len = 4, .flags = TCP_SYN });
	pkt.data[21] ^= 1;
	assert_int_equal(segment(&pkt, plain), SEGMENT_OK);
	assert_true(slots.clamped);
	pkt = slot(0);
	assert_false(slow_checksums_ok(&pkt));
}

static void overlong_syn_and_rst_are_not_split(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct packet pkt = build(&(struct build){ .flags = i ? TCP_SYN : TCP_RST | TCP_ACK,
		                                           .fragment = IPV4_DF,
		                                           .payload = 1460 });

		assert_int_equal(segment(&pkt, plain), SEGMENT_TOO_BIG);
		assert_int_equal(segment(&pkt, gso(&pkt, 1000)), SEGMENT_BAD);
	}
}

/* ---- UDP superframes ---- */

static void udp_superframe_is_cut(void **state)
{
	static const uint32_t payloads[] = { 0, 1, 99, 100, 101, 1372, 1373, 30000, 65000 };
	static const uint16_t sizes[] = { 100, 512, 1200, 1372 };

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		for (size_t j = 0; j < 2 * sizeof(sizes) / sizeof(sizes[0]); j++) {
			struct packet pkt = build(&(struct build){
				.family = j & 1 ? 6 : 4,
				.proto = IPPROTO_WIRE_UDP,
				.payload = payloads[i],
				.id = 0xffff,
				.fragment = j & 4 ? IPV4_DF : 0,
			});
			uint32_t size = sizes[j / 2];

			store_be16(pkt.data + pkt.l4 + 6, 0);
			assert_int_equal(segment(&pkt, gso(&pkt, (uint16_t)size)), SEGMENT_OK);
			assert_int_equal(slots.count,
			                 payloads[i] ? (payloads[i] + size - 1) / size : 1);
			assert_false(slots.fragmented || slots.cut);
			check_udp_cut(&pkt, size);
		}
	}
}

static void udp_superframe_of_datagrams_over_the_mtu_needs_df_clear(void **state)
{
	struct packet pkt;

	(void)state;
	pkt = build(&(struct build){ .family = 6, .proto = IPPROTO_WIRE_UDP, .payload = 5000 });
	assert_int_equal(segment(&pkt, gso(&pkt, 1373)), SEGMENT_TOO_BIG);
	pkt = build(
		&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 5000, .fragment = IPV4_DF });
	assert_int_equal(segment(&pkt, gso(&pkt, 1393)), SEGMENT_TOO_BIG);
	assert_int_equal(segment(&pkt, gso(&pkt, 1392)), SEGMENT_OK);
}

/* ---- frames that are not IP ---- */

static struct frame make_frame(uint32_t tags, uint32_t len)
{
	struct frame frame;

	for (uint32_t i = 0; i < len; i++)
		input[i] = (uint8_t)(i * 5 + 1);
	for (uint32_t i = 0; i < tags; i++)
		store_be32(input + 12 + 4 * i, 0x81000005);
	store_be16(input + 12 + 4 * tags, 0x8863);
	assert_true(packet_parse_frame(input, len, &frame));
	return frame;
}

static enum segment_verdict segment_whole(const struct frame *frame, struct wire_vnet vnet)
{
	memset(room, 0xa5, sizeof(room));
	/* Whatever framing was set, and whatever link. */
	slots = (struct segment_slots){
		.buf = room, .room = sizeof(room), .mtu = MTU, .vni = 7, .link_len = 99
	};
	return segment_frame(frame, &vnet, &slots);
}

static void frame_is_copied_whole(void **state)
{
	(void)state;
	for (uint32_t tags = 0; tags <= 2; tags++) {
		for (uint32_t len = 14 + 4 * tags; len <= 4000; len += len < 1400 ? 1 : 7) {
			struct frame frame = make_frame(tags, len);
			bool fits = len + 8 <= MTU;
			uint32_t padded = wire_padded_len(8 + len, MTU);
			const uint8_t *text = room + 16;

			assert_int_equal(segment_whole(&frame, plain),
			                 fits ? SEGMENT_OK : SEGMENT_OVERSIZE);
			assert_int_equal(slots.count, 1);
			assert_int_equal(slots.last, 32 + padded);
			assert_int_equal(slots.stride, slots.last);
			assert_false(slots.undone || slots.cut || slots.fragmented);
			assert_memory_equal(text, ((uint8_t[]){ 8, 0, 0, 0, 0, 0, 7 }), 7);
			assert_int_equal(text[7], padded - 8 - len);
			assert_true(text[7] < 16);
			assert_memory_equal(text + 8, input, len);
			for (uint32_t k = 8 + len; k < padded; k++)
				assert_int_equal(text[k], 0);
			assert_int_equal(text[padded], 0xa5);
			assert_int_equal(room[15], 0xa5);
		}
	}
}

static void frame_with_a_request_is_bad(void **state)
{
	struct frame frame = make_frame(1, 200);
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM };

	(void)state;
	assert_int_equal(segment_whole(&frame, vnet), SEGMENT_BAD);
	vnet = (struct wire_vnet){ .gso_type = VNET_GSO_TCPV4, .gso_size = 100 };
	assert_int_equal(segment_whole(&frame, vnet), SEGMENT_BAD);
	vnet = (struct wire_vnet){ .flags = VNET_F_DATA_VALID };
	assert_int_equal(segment_whole(&frame, vnet), SEGMENT_OK);
	slots = (struct segment_slots){ .buf = room, .room = 100, .mtu = MTU };
	assert_int_equal(segment_frame(&frame, &plain, &slots), SEGMENT_NO_ROOM);
}

/* ---- framings: check_framings() sees to the rest ---- */

/* Slots are used again, and an undone checksum is not passed on to the next packet. */
static void slots_begin_from_nothing(void **state)
{
	struct segment_slots got = {
		.buf = room, .room = sizeof(room), .mtu = MTU, .framing = SEGMENT_IP_HINT
	};
	struct packet pkt = build(&(struct build){ .payload = 100 });
	struct wire_vnet vnet = undone(&pkt);

	(void)state;
	assert_int_equal(segment_packet(&pkt, &vnet, &got), SEGMENT_OK);
	assert_true(got.undone);
	assert_int_equal(room[16], 0x55);
	pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 2000 });
	vnet = undone(&pkt);
	assert_int_equal(segment_packet(&pkt, &vnet, &got), SEGMENT_OK);
	assert_true(got.fragmented);
	assert_false(got.undone);
	assert_int_equal(room[16], 0x45);
}

/* 1,420 less 8 and 18: the figures once by hand, that the rest compares with itself. */
static void front_counts_towards_the_mtu(void **state)
{
	static const uint8_t mss[4] = { 2, 4, 0xff, 0xff };
	struct segment_slots got = { .buf = room,
		                     .room = sizeof(room),
		                     .mtu = MTU,
		                     .framing = SEGMENT_FRAME_HINT,
		                     .link = check_link,
		                     .link_len = 18 };
	struct packet pkt = build(&(struct build){ .payload = 1394 - 40 });

	(void)state;
	assert_int_equal(segment_packet_mtu(&got), 1394);
	assert_int_equal(segment_packet(&pkt, &plain, &got), SEGMENT_OK);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.last, 32 + MTU);
	assert_int_equal(room[16 + 7], 0);
	pkt = build(&(struct build){ .payload = 1394 - 40 + 1, .fragment = IPV4_DF });
	assert_int_equal(segment_packet(&pkt, &plain, &got), SEGMENT_OK);
	assert_int_equal(got.count, 2);
	assert_true(got.cut);
	pkt = build(&(struct build){
		.proto = IPPROTO_WIRE_UDP, .payload = 1394 - 28 + 1, .fragment = IPV4_DF });
	assert_int_equal(segment_packet(&pkt, &plain, &got), SEGMENT_TOO_BIG);
	pkt = build(&(struct build){ .flags = TCP_SYN, .tcp_options = mss, .tcp_options_len = 4 });
	assert_int_equal(segment_packet(&pkt, &plain, &got), SEGMENT_OK);
	assert_int_equal(load_be16(room + 16 + 26 + 42), 1394 - 40);
	/* Nothing fits at all. */
	got.mtu = 26;
	assert_int_equal(segment_packet_mtu(&got), 0);
	assert_int_equal(segment_packet(&pkt, &plain, &got), SEGMENT_TOO_BIG);
	got.mtu = 20;
	assert_int_equal(segment_packet_mtu(&got), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_that_fits_is_copied_and_padded),
		cmocka_unit_test(undone_checksum_is_done),
		cmocka_unit_test(udp_checksum_zero_becomes_all_ones),
		cmocka_unit_test(nested_checksum_is_done_where_it_is),
		cmocka_unit_test(checksum_request_outside_the_packet_is_bad),
		cmocka_unit_test(checksum_request_cannot_rewrite_headers),
		cmocka_unit_test(checksum_request_for_a_fragment_is_bad),
		cmocka_unit_test(tcp_superframe_is_cut),
		cmocka_unit_test(overlong_tcp_segment_is_split),
		cmocka_unit_test(damaged_overlong_segment_is_not_mended),
		cmocka_unit_test(urgent_pointer_follows_the_cut),
		cmocka_unit_test(signed_tcp_is_not_split),
		cmocka_unit_test(syn_has_its_mss_clamped),
		cmocka_unit_test(only_a_syn_is_clamped),
		cmocka_unit_test(overlong_syn_and_rst_are_not_split),
		cmocka_unit_test(udp_superframe_is_cut),
		cmocka_unit_test(udp_superframe_of_datagrams_over_the_mtu_needs_df_clear),
		cmocka_unit_test(frame_is_copied_whole),
		cmocka_unit_test(frame_with_a_request_is_bad),
		cmocka_unit_test(slots_begin_from_nothing),
		cmocka_unit_test(front_counts_towards_the_mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
