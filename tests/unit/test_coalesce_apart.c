/* SPDX-License-Identifier: MIT */
/* What the coalescer keeps apart, and that nothing passes another of its flow by that. */
#include "coalesce_lab.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		coalesce_test(unlike_packets_are_not_merged),
		coalesce_test(flags_that_end_or_begin_are_never_merged),
		coalesce_test(unlike_targets_are_not_merged),
		coalesce_test(damaged_packets_are_passed_on_as_they_are),
		coalesce_test(empty_packets_are_not_merged),
		coalesce_test(push_flag_and_short_segment_end_a_write),
		coalesce_test(ecn_echo_on_all_is_merged),
		coalesce_test(order_within_a_flow_is_kept),
		coalesce_test(interleaved_flows_are_merged_each),
		coalesce_test(icmp_does_not_disturb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
