/* SPDX-License-Identifier: MIT */
/*
 * Whatever is pushed must come out of the TAP byte by byte and, within a flow,
 * in order. kernel_cut() is what a kernel does to a superframe, slowly.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "dataplane/coalesce.h"
#include "dataplane/segment.h"
#include "packet_build.h"

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

static void reset_target(void)
{
	target = (struct coalesce_target){
		.port = 3,
		.merge_udp = true,
		.link_len = 14,
		.ethernet = { { 2, 1, 1, 1, 1, 1 }, { 2, 2, 2, 2, 2, 2 }, { { 8, 0 } } },
	};
}

/* What a bridged network has in front of its packets. */
static void tag_target(uint16_t tags)
{
	reset_target();
	for (uint16_t i = 0; i < tags; i++)
		store_be32(target.link + 12 + 4 * i, 0x81000005u + i);
	target.link_len = (uint16_t)(14 + 4 * tags);
	store_be16(target.link + target.link_len - 2, 0x0800);
}

static int setup(void **state)
{
	(void)state;
	coalesce = coalesce_open();
	reset_target();
	pushed = 0;
	return coalesce ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	coalesce_close(coalesce);
	return 0;
}

static void push_raw(bool csum_undone)
{
	struct packet pkt;

	memcpy(buffer[pushed], sent[pushed], lens[pushed]);
	assert_true(packet_parse_ip(buffer[pushed], lens[pushed], &pkt));
	if (csum_undone) /* what the field holds then does not matter */
		store_be16(pkt.data + pkt.l4 + (pkt.proto == IPPROTO_WIRE_TCP ? 16 : 6), 0x5555);
	assert_true(coalesce_push(coalesce, &pkt, &target, csum_undone));
	pushed++;
}

static void push(const struct build *b)
{
	static uint8_t scratch[BUILD_MAX];

	lens[pushed] = build_packet(b, scratch);
	assert_true(lens[pushed] <= sizeof(sent[0]));
	memcpy(sent[pushed], scratch, lens[pushed]);
	push_raw(false);
}

/* ---- the kernel's part ---- */

static void emit(const uint8_t *ip, uint32_t len)
{
	assert_true(out_count < COALESCE_PACKETS && len <= sizeof(out[0]));
	memcpy(out[out_count], ip, len);
	out_lens[out_count++] = len;
}

static void kernel_cut(uint8_t *ip, uint32_t len, const struct wire_vnet *vnet)
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

static void take_write(const struct ring_write *write)
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

static void finish(void)
{
	write_count = coalesce_finish(coalesce, &writes);
	out_count = 0;
	for (unsigned int i = 0; i < write_count; i++)
		take_write(&writes[i]);
	coalesce_reset(coalesce);
}

/* Everything that went in came out once, here in the same order. */
static void same_in_order(void)
{
	assert_int_equal(out_count, pushed);
	for (uint32_t i = 0; i < pushed; i++) {
		assert_int_equal(out_lens[i], lens[i]);
		assert_memory_equal(out[i], sent[i], lens[i]);
	}
	pushed = 0;
}

static void writes_are(unsigned int count)
{
	finish();
	assert_int_equal(write_count, count);
	same_in_order();
}

static struct build segment_of(uint8_t family, uint32_t n)
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

static struct build datagram_of(uint8_t family, uint32_t n)
{
	struct build b = segment_of(family, n);

	b.proto = IPPROTO_WIRE_UDP;
	b.payload = 104;
	return b;
}

/* ---- what is merged ---- */

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
	writes_are(COALESCE_PACKETS);
	push(&b);
	writes_are(1);
}

/* ---- what is not ---- */

static const uint8_t stamps_a[12] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1 };
static const uint8_t stamps_b[12] = { 1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 1 };
static const uint8_t router_alert[4] = { 0x94, 4, 0, 0 };
static const uint8_t padding[8] = { 6, 0, 1, 4, 0, 0, 0, 0 };

/* Two packets that could be one write but for what is changed in one of them. */
struct change {
	const char *name;
	struct build b; /* fields that are not zero replace */
	uint8_t family; /* 0: both */
	bool udp;
	bool tcp;
};

#define OVERRIDE(to, from, field)                    \
	do {                                         \
		if ((from)->field)                   \
			(to)->field = (from)->field; \
	} while (0)

static void override(struct build *to, const struct build *from)
{
	OVERRIDE(to, from, tos);
	OVERRIDE(to, from, ttl);
	OVERRIDE(to, from, id);
	OVERRIDE(to, from, fragment);
	OVERRIDE(to, from, source_port);
	OVERRIDE(to, from, destination_port);
	OVERRIDE(to, from, last_octet);
	OVERRIDE(to, from, ip_options);
	OVERRIDE(to, from, ip_options_len);
	OVERRIDE(to, from, extension);
	OVERRIDE(to, from, sequence);
	OVERRIDE(to, from, acknowledgement);
	OVERRIDE(to, from, flags);
	OVERRIDE(to, from, window);
	OVERRIDE(to, from, urgent);
	OVERRIDE(to, from, tcp_options);
	OVERRIDE(to, from, tcp_options_len);
	OVERRIDE(to, from, payload);
	OVERRIDE(to, from, no_checksum);
}

static const struct change changes[] = {
	{ "type of service", { .tos = 4 }, 0, true, true },
	{ "ECN mark", { .tos = 3 }, 0, true, true },
	{ "TTL", { .ttl = 63 }, 0, true, true },
	{ "id does not count up", { .id = 5 }, 4, true, true },
	{ "DF", { .fragment = IPV4_DF }, 4, true, true },
	{ "reserved bit", { .fragment = 0x8000 }, 4, true, true },
	{ "fragment", { .fragment = IPV4_MF }, 4, true, true },
	{ "source port", { .source_port = 9 }, 0, true, true },
	{ "destination port", { .destination_port = 9 }, 0, true, true },
	{ "source address", { .last_octet = 9 }, 0, true, true },
	{ "IPv4 options", { .ip_options = router_alert, .ip_options_len = 4 }, 4, true, true },
	{ "extension header",
	  { .ip_options = padding, .ip_options_len = 8, .extension = IPPROTO_WIRE_DSTOPTS },
	  6,
	  false,
	  true },
	{ "larger", { .payload = 1001 }, 0, true, true },
	{ "hole", { .sequence = 3000 }, 0, false, true },
	{ "same again", { .sequence = 0xfffffc00 }, 0, false, true },
	{ "acknowledgement", { .acknowledgement = 78 }, 0, false, true },
	{ "window", { .window = 501 }, 0, false, true },
	{ "urgent", { .flags = TCP_ACK | TCP_URG }, 0, false, true },
	{ "urgent pointer", { .urgent = 1 }, 0, false, true },
	{ "FIN", { .flags = TCP_ACK | TCP_FIN }, 0, false, true },
	{ "SYN", { .flags = TCP_ACK | TCP_SYN }, 0, false, true },
	{ "RST", { .flags = TCP_ACK | TCP_RST }, 0, false, true },
	{ "CWR", { .flags = TCP_ACK | TCP_CWR }, 0, false, true },
	{ "ECE", { .flags = TCP_ACK | TCP_ECE }, 0, false, true },
	{ "no ACK", { .flags = TCP_PSH }, 0, false, true },
	{ "timestamps", { .tcp_options = stamps_b, .tcp_options_len = 12 }, 0, false, true },
	{ "no UDP checksum", { .no_checksum = true }, 4, true, false },
};

static void try_change(const struct change *change, uint8_t family, bool udp, bool first)
{
	struct build a = udp ? datagram_of(family, 0) : segment_of(family, 0);
	struct build b = udp ? datagram_of(family, 1) : segment_of(family, 1);
	struct build c = udp ? datagram_of(family, 2) : segment_of(family, 2);

	a.tcp_options = b.tcp_options = c.tcp_options = stamps_a;
	a.tcp_options_len = b.tcp_options_len = c.tcp_options_len = udp ? 0 : 12;
	if (udp && change->b.payload)
		b.payload = 105;
	else
		override(first ? &a : &b, &change->b);
	push(&a);
	push(&b);
	finish();
	if (write_count != 2)
		fail_msg("%s: merged", change->name);
	same_in_order();
	/* And the third does not pass the second by joining the first. */
	if (first)
		return;
	push(&a);
	push(&b);
	push(&c);
	finish();
	if (strstr(change->name, "port") || strstr(change->name, "address"))
		pushed = 0; /* another flow: order between them is free */
	else
		same_in_order();
}

static void unlike_packets_are_not_merged(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		for (uint32_t row = 0; row < 8; row++) {
			const struct change *change = &changes[i];
			uint8_t family = row & 1 ? 6 : 4;
			bool udp = row & 2;
			bool first = row & 4;

			if ((change->family && change->family != family) ||
			    !(udp ? change->udp : change->tcp))
				continue;
			/* In the first packet these would be legal. */
			if (first && (change->b.payload || change->b.sequence))
				continue;
			try_change(change, family, udp, first);
		}
	}
}

static void flags_that_end_or_begin_are_never_merged(void **state)
{
	static const uint8_t flags[] = { TCP_FIN, TCP_SYN, TCP_RST, TCP_URG, TCP_CWR };

	(void)state;
	for (size_t k = 0; k < sizeof(flags); k++) {
		for (uint32_t i = 0; i < 3; i++) {
			struct build b = segment_of(6, i);

			b.flags = TCP_ACK | flags[k];
			push(&b);
		}
		writes_are(3);
	}
}

static void unlike_targets_are_not_merged(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 6; row++) {
		struct build a = segment_of(4, 0);
		struct build b = segment_of(4, 1);

		tag_target(row < 4 ? 0 : 1);
		push(&a);
		if (row == 4)
			target.link[15]++; /* another VLAN */
		else if (row == 5)
			target.link[14] ^= 0x20; /* another priority */
		else if (row == 0)
			target.port++;
		else if (row == 1)
			target.ethernet.destination[5]++;
		else if (row == 2)
			target.ethernet.source[5]++;
		else
			target.ethernet.type.b[1]++;
		push(&b);
		writes_are(2);
	}
}

static void damaged_packets_are_passed_on_as_they_are(void **state)
{
	static const uint32_t places[] = { 10, 11, 36, 60, 127 }; /* IP checksum, L4, payload */

	(void)state;
	for (uint32_t row = 0; row < 4; row++) {
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			for (uint32_t n = 0; n < 3; n++) {
				struct build b = row & 1 ? datagram_of(4, n) : segment_of(4, n);

				b.payload = 100;
				b.sequence = n * 100;
				push(&b);
				if (n != row / 2)
					continue;
				/* Again, damaged; the healthy one never was there. */
				coalesce_reset(coalesce);
				pushed = n;
				for (uint32_t k = 0; k <= n; k++) {
					pushed = k;
					if (k == n && !((row & 1) && places[i] == 36))
						sent[k][places[i]] ^= 0x10;
					else if (k == n)
						sent[k][30] ^= 0x10;
					push_raw(false);
				}
			}
			finish();
			assert_true(write_count >= 2);
			same_in_order();
		}
	}
}

static void empty_packets_are_not_merged(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 2; row++) {
		for (uint32_t i = 0; i < 4; i++) {
			struct build b = row ? datagram_of(4, i) : segment_of(4, 0);

			b.payload = 0;
			b.id = (uint16_t)i;
			push(&b);
		}
		writes_are(4);
	}
}

static void push_flag_and_short_segment_end_a_write(void **state)
{
	(void)state;
	for (uint32_t row = 0; row < 2; row++) {
		for (uint32_t i = 0; i < 4; i++) {
			struct build b = segment_of(6, i);

			if (row == 0 && i == 1)
				b.flags = TCP_ACK | TCP_PSH;
			if (row == 1 && i >= 1)
				b.payload = 999;
			if (row == 1 && i >= 2)
				b.sequence -= i - 1;
			push(&b);
		}
		writes_are(2);
	}
}

static void ecn_echo_on_all_is_merged(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		struct build b = segment_of(4, i);

		b.flags = TCP_ACK | TCP_ECE;
		push(&b);
	}
	writes_are(1);
}

/* A pure ACK between two segments must not be passed by the second. */
static void order_within_a_flow_is_kept(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 6; i++) {
		struct build b = segment_of(4, i / 2);

		if (i % 2)
			b.payload = 0;
		push(&b);
	}
	writes_are(6);

	for (uint32_t i = 0; i < 3; i++) { /* a fragment of the flow in between */
		struct build b = datagram_of(4, i);

		b.fragment = i == 1 ? 1000 / 8 : 0;
		b.id = (uint16_t)(i == 1 ? 9 : i / 2); /* the first and the third would do */
		push(&b);
	}
	writes_are(3);
}

static void interleaved_flows_are_merged_each(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		struct build b = segment_of(i % 2 ? 4 : 6, i / 10);

		b.source_port = (uint16_t)(i % 10);
		push(&b);
	}
	finish();
	assert_int_equal(write_count, 10);
	assert_int_equal(out_count, 200);
	for (uint32_t i = 0; i < 200; i++) {
		uint32_t n = i % 20 * 10 + i / 20;

		assert_int_equal(out_lens[i], lens[n]);
		assert_memory_equal(out[i], sent[n], lens[n]);
	}
}

static void icmp_does_not_disturb(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 9; i++) {
		struct build b = segment_of(4, i / 2);

		if (i % 2)
			b.proto = IPPROTO_WIRE_ICMP;
		push(&b);
	}
	finish();
	assert_int_equal(write_count, 1 + 4);
	assert_int_equal(out_count, 9);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tcp_segments_of_a_flow_are_one_write),
		TEST(udp_datagrams_of_a_flow_are_one_write),
		TEST(udp_is_left_alone_where_the_tap_cannot),
		TEST(undone_checksums_are_asked_for),
		TEST(undone_checksum_of_an_odd_packet_is_asked_for),
		TEST(undone_and_done_are_merged),
		TEST(single_packet_is_written_with_no_flags),
		TEST(a_write_ends_at_64_packets),
		TEST(a_write_ends_at_65535_bytes),
		TEST(round_ends_at_its_limit),
		TEST(unlike_packets_are_not_merged),
		TEST(flags_that_end_or_begin_are_never_merged),
		TEST(unlike_targets_are_not_merged),
		TEST(damaged_packets_are_passed_on_as_they_are),
		TEST(empty_packets_are_not_merged),
		TEST(push_flag_and_short_segment_end_a_write),
		TEST(ecn_echo_on_all_is_merged),
		TEST(order_within_a_flow_is_kept),
		TEST(interleaved_flows_are_merged_each),
		TEST(icmp_does_not_disturb),
		TEST(frame_is_written_whole_and_in_its_place),
		TEST(frame_in_the_place_of_a_packet),
		TEST(segment_then_coalesce_is_the_identity),
		TEST(random_mixtures_come_out_as_they_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
