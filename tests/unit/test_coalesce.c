/* SPDX-License-Identifier: MIT */
/*
 * What the coalescer merges: whatever is pushed must come out of the TAP byte by byte
 * and, within a flow, in order. What it does not merge: test_coalesce_apart.c.
 */
#include "coalesce_lab.h"
#include "dataplane/segment.h"

/* ---- packets ---- */

static void tcp_segments_of_a_flow_are_one_write(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (uint32_t i = 0; i < 40; i++) {
			struct build b = segment_of(family, i);

			if (i == 39) {
				b.payload = 7; /* short, and the last */
				b.flags = TCP_ACK | TCP_PSH;
			}
			push(&b);
		}
		writes_are(1);
		assert_int_equal(writes[0].port, 3);
		assert_int_equal(writes[0].iov_count, 2 + 39);
		assert_memory_equal(frame + 10, &target.ethernet, 14);
	}
}

static void udp_datagrams_of_a_flow_are_one_write(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (uint32_t i = 0; i < 30; i++) {
			struct build b = datagram_of(family, i);

			b.payload = i == 29 ? 1 : 104;
			push(&b);
		}
		writes_are(1);
	}
}

static void udp_is_left_alone_where_the_tap_cannot(void **state)
{
	(void)state;
	target.merge_udp = false;
	for (uint32_t i = 0; i < 3; i++) {
		struct build b = datagram_of(4, i);

		push(&b);
	}
	writes_are(3);
}

static void undone_checksums_are_asked_for(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 4 * 3; row++) {
		tag_target((uint16_t)(row / 4));
		for (uint32_t n = 1; n <= 3; n++) {
			for (uint32_t i = 0; i < n; i++) {
				struct build b = row & 1 ? datagram_of(row & 2 ? 6 : 4, i)
				                         : segment_of(row & 2 ? 6 : 4, i);

				push(&b);
				/* Once more, as it would come with the hint. */
				coalesce_reset(coalesce);
			}
			pushed = 0;
			for (uint32_t i = 0; i < n; i++)
				push_raw(true);
			writes_are(1);
			assert_int_equal(((struct wire_vnet *)writes[0].iov[0].iov_base)->flags,
			                 VNET_F_NEEDS_CSUM);
			assert_memory_equal(frame + 10, target.link, target.link_len);
		}
	}
}

/* What else is wrong with a packet does not matter to that. */
static void undone_checksum_of_an_odd_packet_is_asked_for(void **state)
{
	struct build b = segment_of(4, 0);

	(void)state;
	push(&b);
	coalesce_reset(coalesce);
	pushed = 0;
	sent[0][10] ^= 1; /* the IP header's own checksum */
	push_raw(true);
	writes_are(1);
	assert_int_equal(((struct wire_vnet *)writes[0].iov[0].iov_base)->flags, VNET_F_NEEDS_CSUM);
}

/* Either of two that might be merged has its checksum, or both, or none. */
static void undone_and_done_are_merged(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 16; row++) {
		for (uint32_t i = 0; i < 4; i++) {
			struct build b = segment_of(4, i);

			push(&b);
		}
		coalesce_reset(coalesce);
		pushed = 0;
		for (uint32_t i = 0; i < 4; i++)
			push_raw(row >> i & 1);
		writes_are(1);
	}
}

static void single_packet_is_written_with_no_flags(void **state)
{
	static const struct wire_vnet nothing;
	struct build b = segment_of(4, 0);

	(void)state;
	push(&b);
	writes_are(1);
	assert_memory_equal(writes[0].iov[0].iov_base, &nothing, sizeof(nothing));
	assert_int_equal(writes[0].iov_count, 2);
}

static void a_write_ends_at_64_packets(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 130; i++) {
		struct build b = datagram_of(4, i);

		push(&b);
	}
	writes_are(3);
}

static void a_write_ends_at_65535_bytes(void **state)
{
	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (uint32_t i = 0; i < 50; i++) {
			struct build b = segment_of(family, i);

			b.payload = 1400;
			b.sequence = i * 1400;
			push(&b);
		}
		writes_are(2);
	}
}

static void round_ends_at_its_limit(void **state)
{
	struct packet pkt;
	struct build b = datagram_of(4, 0);

	(void)state;
	for (uint32_t i = 0; i < COALESCE_PACKETS; i++) {
		b.source_port = (uint16_t)i;
		push(&b);
	}
	assert_true(packet_parse_ip(buffer[0], lens[0], &pkt));
	assert_false(coalesce_push(coalesce, &pkt, &target, false));
	finish();
	assert_int_equal(write_count, COALESCE_PACKETS);
	assert_int_equal(out_count, COALESCE_PACKETS);
	/* Those whose hashes collide are written last, so the port tells which one it is. */
	for (uint32_t i = 0; i < COALESCE_PACKETS; i++) {
		uint16_t port = load_be16(out[i] + sizeof(struct wire_ipv4));

		assert_in_range(port, 0, COALESCE_PACKETS - 1);
		assert_int_equal(out_lens[i], lens[port]);
		assert_memory_equal(out[i], sent[port], lens[port]);
	}
	pushed = 0;
	push(&b);
	writes_are(1);
}

/* ---- lone packets ---- */

static void push_flow_and_lone(void)
{
	struct build b = datagram_of(4, 0);

	for (uint32_t i = 0; i < 3; i++) {
		struct build segment = segment_of(4, i);

		if (i == 2)
			push(&b);
		push(&segment);
	}
}

static void lone_packet_is_written_first(void **state)
{
	(void)state;
	push_flow_and_lone();
	finish();
	assert_int_equal(write_count, 2);
	assert_int_equal(out_count, 4);
	assert_memory_equal(out[0], sent[2], lens[2]);
	assert_memory_equal(out[1], sent[0], lens[0]);
	assert_memory_equal(out[2], sent[1], lens[1]);
	assert_memory_equal(out[3], sent[3], lens[3]);
	pushed = 0;
}

/* Two of a flow that could not be merged are not lone, and stay in order. */
static void flow_of_two_writes_is_not_lone(void **state)
{
	struct build first = datagram_of(4, 0), second = datagram_of(4, 1);

	(void)state;
	first.payload = 100;
	second.payload = 1000;
	push_flow_and_lone();
	push(&first);
	push(&second);
	finish();
	assert_int_equal(out_count, pushed);
	assert_memory_equal(out[0], sent[0], lens[0]);
	pushed = 0;
}

/* ---- frames that are not IP ---- */

static void push_frame(uint8_t *bytes, uint32_t len)
{
	struct frame other;

	memset(bytes, 0x22, len);
	store_be16(bytes + 12, 0x8863);
	assert_true(packet_parse_frame(bytes, len, &other));
	assert_true(coalesce_push_frame(coalesce, &other, 9));
}

static void lone_packet_does_not_pass_a_frame(void **state)
{
	static uint8_t bytes[60];

	(void)state;
	push_frame(bytes, sizeof(bytes));
	push_flow_and_lone();
	write_count = coalesce_finish(coalesce, &writes);
	assert_int_equal(write_count, 3);
	assert_int_equal(writes[0].port, 9);
	assert_int_equal(writes[1].packets, 3);
	coalesce_reset(coalesce);
	pushed = 0;
}

static void frame_is_written_whole_and_in_its_place(void **state)
{
	static const struct wire_vnet nothing;
	static const uint32_t lens_of[] = { 14, 15, 60, 1514, 9014 };
	static uint8_t bytes[9014], got[9014 + 10];

	(void)state;
	for (size_t k = 0; k < sizeof(lens_of) / sizeof(lens_of[0]); k++) {
		uint32_t at = 0;

		for (uint32_t i = 0; i < 4; i++) {
			struct build b = segment_of(4, i);

			push(&b);
			if (i == 1)
				push_frame(bytes, lens_of[k]);
		}
		write_count = coalesce_finish(coalesce, &writes);
		/* Nothing passes it, even though the flow could be one write. */
		assert_int_equal(write_count, 3);
		assert_int_equal(writes[0].packets, 2);
		assert_int_equal(writes[1].packets, 1);
		assert_int_equal(writes[1].port, 9);
		for (uint32_t i = 0; i < writes[1].iov_count; i++) {
			assert_true(writes[1].iov[i].iov_len > 0);
			memcpy(got + at, writes[1].iov[i].iov_base, writes[1].iov[i].iov_len);
			at += (uint32_t)writes[1].iov[i].iov_len;
		}
		assert_int_equal(at, 10 + lens_of[k]);
		assert_memory_equal(got, &nothing, 10);
		assert_memory_equal(got + 10, bytes, lens_of[k]);
		coalesce_reset(coalesce);
		pushed = 0;
	}
}

/* Items are used again; what they were before must not show. */
static void frame_in_the_place_of_a_packet(void **state)
{
	uint8_t bytes[100];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct build b = segment_of(4, i);

		push(&b);
		coalesce_reset(coalesce);
	}
	pushed = 0;
	for (uint32_t i = 0; i < 3; i++)
		push_raw(true);
	writes_are(1);
	push_frame(bytes, sizeof(bytes));
	write_count = coalesce_finish(coalesce, &writes);
	assert_int_equal(write_count, 1);
	assert_int_equal(writes[0].iov_count, 2);
	assert_int_equal(((struct wire_vnet *)writes[0].iov[0].iov_base)->flags, 0);
	coalesce_reset(coalesce);
	for (uint32_t i = 0; i < COALESCE_PACKETS; i++)
		push_frame(bytes, sizeof(bytes));
	struct frame other;

	assert_true(packet_parse_frame(bytes, sizeof(bytes), &other));
	assert_false(coalesce_push_frame(coalesce, &other, 9));
}

/* ---- segment, then coalesce ---- */

/* Orders by flow, keeps the order within: what "in order within a flow" compares. */
static uint32_t flow_of(const uint8_t *ip)
{
	uint32_t l4 = ip[0] >> 4 == 4 ? 20 : 40;

	uint32_t proto = ip[0] >> 4 == 4 ? ip[9] : ip[6];

	return proto << 24 | (uint32_t)(ip[0] >> 4) << 20 | (uint32_t)load_be16(ip + l4);
}

static void same_within_flows(void)
{
	static bool taken[COALESCE_PACKETS];

	assert_int_equal(out_count, pushed);
	memset(taken, 0, sizeof(taken));
	for (uint32_t i = 0; i < out_count; i++) {
		uint32_t k = 0;

		while (k < pushed && (taken[k] || flow_of(sent[k]) != flow_of(out[i])))
			k++;
		assert_true(k < pushed);
		taken[k] = true;
		assert_int_equal(out_lens[i], lens[k]);
		assert_memory_equal(out[i], sent[k], lens[k]);
	}
	pushed = 0;
}

static void segment_then_coalesce_is_the_identity(void **state)
{
	static uint8_t whole[BUILD_MAX];
	static uint8_t room[SEGMENT_ROOM];
	uint64_t random = 1;

	(void)state;
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t sequence = build_random(&random);

		tag_target((uint16_t)(round % 3));
		while (pushed < 200) {
			struct build b = {
				.family = build_random(&random) % 2 ? 4 : 6,
				.proto = build_random(&random) % 3 ? IPPROTO_WIRE_TCP
				                                   : IPPROTO_WIRE_UDP,
				.source_port = (uint16_t)(build_random(&random) % 8),
				.payload = build_random(&random) % 20000,
				.sequence = sequence,
				.id = (uint16_t)build_random(&random),
				.flags = build_random(&random) % 4 ? TCP_ACK : TCP_ACK | TCP_PSH,
				.tcp_options = stamps_a,
				.tcp_options_len = build_random(&random) % 2 ? 12 : 0,
				.fragment = build_random(&random) % 2 ? IPV4_DF : 0,
				.seed = build_random(&random),
			};
			struct segment_slots slots = { .buf = room,
				                       .room = sizeof(room),
				                       .mtu = 1420 };
			uint32_t len = build_packet(&b, whole);
			struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM };
			struct packet pkt;

			assert_true(packet_parse_ip(whole, len, &pkt));
			vnet.gso_type = pkt.proto == IPPROTO_WIRE_UDP ? VNET_GSO_UDP_L4
			                : pkt.family == 4             ? VNET_GSO_TCPV4
			                                              : VNET_GSO_TCPV6;
			vnet.gso_size = (uint16_t)(200 + build_random(&random) % 1100);
			assert_int_equal(segment_packet(&pkt, &vnet, &slots), SEGMENT_OK);
			for (uint32_t i = 0; i < slots.count; i++) {
				uint8_t *slot = room + i * slots.stride + SEGMENT_HEADROOM;

				assert_true(packet_parse_ip(slot, 1420, &pkt));
				memcpy(sent[pushed], slot, pkt.len);
				lens[pushed] = pkt.len;
				push_raw(build_random(&random) % 2);
			}
			sequence += b.payload;
		}
		finish();
		assert_true(write_count < pushed);
		same_within_flows();
	}
}

static void random_mixtures_come_out_as_they_went_in(void **state)
{
	uint64_t random = 2;

	(void)state;
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t sequence = 0;

		for (uint32_t i = 0; i < 200; i++) {
			struct build b = {
				.family = round % 2 ? 4 : 6,
				.proto = build_random(&random) % 8 ? IPPROTO_WIRE_TCP
				                                   : IPPROTO_WIRE_UDP,
				.source_port = (uint16_t)(build_random(&random) % 2),
				.payload =
					build_random(&random) % 8 ? 50 : build_random(&random) % 60,
				.sequence = sequence,
				.id = (uint16_t)i,
				.flags = build_random(&random) % 8 ? TCP_ACK
				                                   : (uint8_t)build_random(&random),
				.ttl = build_random(&random) % 16 ? 64 : 63,
				.fragment = build_random(&random) % 16 ? 0 : IPV4_DF,
				.seed = build_random(&random),
			};

			push(&b);
			sequence += build_random(&random) % 16 ? b.payload : 1;
		}
		finish();
		same_within_flows();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		coalesce_test(tcp_segments_of_a_flow_are_one_write),
		coalesce_test(udp_datagrams_of_a_flow_are_one_write),
		coalesce_test(udp_is_left_alone_where_the_tap_cannot),
		coalesce_test(undone_checksums_are_asked_for),
		coalesce_test(undone_checksum_of_an_odd_packet_is_asked_for),
		coalesce_test(undone_and_done_are_merged),
		coalesce_test(single_packet_is_written_with_no_flags),
		coalesce_test(a_write_ends_at_64_packets),
		coalesce_test(a_write_ends_at_65535_bytes),
		coalesce_test(round_ends_at_its_limit),
		coalesce_test(lone_packet_is_written_first),
		coalesce_test(flow_of_two_writes_is_not_lone),
		coalesce_test(lone_packet_does_not_pass_a_frame),
		coalesce_test(frame_is_written_whole_and_in_its_place),
		coalesce_test(frame_in_the_place_of_a_packet),
		coalesce_test(segment_then_coalesce_is_the_identity),
		coalesce_test(random_mixtures_come_out_as_they_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
