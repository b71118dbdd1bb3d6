/* SPDX-License-Identifier: MIT */
/*
 * The inner checks on what an authenticated peer says, and the neighbours it says
 * it to. Each reason to drop has a test that sees its counter rise, and no other,
 * and nothing delivered (pitfall_29: an inverted check).
 */
#include "unit/rig_test.h"
#include "dataplane/packet.h"

/* ---- inner checks ---- */

static void malformed_ip(void **state)
{
	static const struct {
		bool v6;
		uint8_t at, value;
	} rows[] = {
		{ false, 0, 0x44 }, /* header shorter than 20 */
		{ false, 0, 0x4f }, /* 60 bytes of header: the UDP length does not fit then */
		{ false, 2, 0xff }, /* total length over the packet */
		{ false, 3, 19 }, /* and under the header */
		{ false, 24, 0xff }, /* UDP length */
		{ false, 25, 7 },    { true, 4, 0xff }, /* pitfall_22: near what 16 bits hold */
		{ true, 5, 0 }, /* no room for the UDP header */
		{ true, 6, 0 }, /* pitfall_31: the UDP header as hop-by-hop options */
		{ true, 44, 0xff },
	};
	struct rig *rig = *state;
	uint8_t ip[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool v6 = rows[i].v6;
		uint32_t len = rig_make_udp(ip, v6 ? RIG_ADDR6(0) : RIG_ADDR(0),
		                            v6 ? RIG_ADDR6(1) : RIG_ADDR(1), 60);

		/* Port 0x0fa0 as next header and length: 161 * 8 bytes. */
		ip[rows[i].at] = rows[i].value;
		rig_mark(B);
		rig_tell(A, ip, len, 0);
		if (!rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER))
			fail_msg("row %zu", i);
	}
	for (uint32_t len = 1; len < 28; len++) {
		rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 0);
		rig_mark(B);
		rig_tell(A, ip, len, 0);
		assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	}
}

static void pitfall_22_payload_lengths_near_the_end(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 60);

	for (uint32_t payload = 65496; payload <= 65535; payload++) {
		store_be16(ip + 4, (uint16_t)payload);
		rig_mark(B);
		rig_tell(A, ip, len, 0);
		assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	}
}

static void source_not_allowed(void **state)
{
	static const char *const sources[] = {
		"172.20.103.2", /* another peer's */
		"172.20.102.3", /* lives here */
		"172.20.104.2", /* nobody's */
		"192.0.2.1",
		"172.20.100.255", /* pitfall_30: beside the prefix, in the same subnet */
		"172.20.102.0",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		tell_udp(rig, sources[i], RIG_ADDR(1));
		assert_true(rig_only_dropped(B, DROP_IN_SOURCE, 1, RIG_PEER));
	}
	tell_udp(rig, "fd20:0:3::2", RIG_ADDR6(1));
	assert_true(rig_only_dropped(B, DROP_IN_SOURCE, 1, RIG_PEER));
	tell_udp(rig, "fe80::1", RIG_ADDR6(1));
	assert_true(rig_only_dropped(B, DROP_IN_SOURCE, 1, RIG_PEER));
}

/* Range says that it lives here; AllowedIPs that say otherwise do not change that. */
static void source_in_range(void **state)
{
	static const struct rig_options options = { .more_allowed = { "172.20.102.128/25" },
		                                    .ranges = { "172.20.102.0/24" } };
	struct rig *rig = *state;

	rig_publish(B, &options);
	tell_udp(rig, "172.20.102.200", RIG_ADDR(1));
	assert_true(rig_counted(B, DROP_IN_SOURCE, 1, RIG_PEER));
	assert_int_equal(B->frame_count, 0);
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
}

static void networks_do_not_mix(void **state)
{
	struct rig *rig = *state;

	/* Source in no subnet, destination in none, and each in another's. */
	tell_udp(rig, "10.9.0.1", RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_IN_NETWORK, 1, RIG_PEER));
	tell_udp(rig, RIG_ADDR(0), "192.0.2.1");
	assert_true(rig_only_dropped(B, DROP_IN_NETWORK, 1, RIG_PEER));
	tell_udp(rig, "172.21.101.2", RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_IN_NETWORK, 1, RIG_PEER));
	tell_udp(rig, RIG_ADDR(0), "172.21.102.2");
	assert_true(rig_only_dropped(B, DROP_IN_NETWORK, 1, RIG_PEER));
}

static void martians(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		{ "127.0.0.1", RIG_ADDR(1) },
		{ "0.0.0.0", RIG_ADDR(1) },
		{ "0.1.2.3", RIG_ADDR(1) },
		{ "224.0.0.1", RIG_ADDR(1) },
		{ "255.255.255.255", RIG_ADDR(1) },
		{ RIG_ADDR(0), "127.0.0.1" },
		{ RIG_ADDR(0), "0.0.0.0" },
		{ "::1", RIG_ADDR6(1) },
		{ "::", RIG_ADDR6(1) },
		{ "ff02::1", RIG_ADDR6(1) },
		{ "::ffff:172.20.101.2", RIG_ADDR6(1) },
		{ RIG_ADDR6(0), "::1" },
		{ RIG_ADDR6(0), "::ffff:172.20.102.2" },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		tell_udp(rig, rows[i].from, rows[i].to);
		if (!rig_only_dropped(B, DROP_IN_MARTIAN, 1, RIG_PEER))
			fail_msg("row %zu", i);
	}
}

static void multicast_and_broadcast(void **state)
{
	struct rig *rig = *state;

	tell_udp(rig, RIG_ADDR(0), "224.0.0.251");
	assert_true(rig_only_dropped(B, DROP_IN_BROADCAST, 1, RIG_PEER));
	tell_udp(rig, RIG_ADDR(0), "255.255.255.255");
	assert_true(rig_only_dropped(B, DROP_IN_BROADCAST, 1, RIG_PEER));
	tell_udp(rig, RIG_ADDR6(0), "ff02::fb");
	assert_true(rig_only_dropped(B, DROP_IN_BROADCAST, 1, RIG_PEER));
}

/* With Docker's defaults every host owns the same .1, and a peer's AllowedIPs may hold it. */
static void gateway_claimed(void **state)
{
	static const struct rig_options options = { .more_allowed = { "172.20.102.1/32",
		                                                      "fd20:0:2::1/128" } };
	struct rig *rig = *state;

	rig_publish(B, &options);
	tell_udp(rig, RIG_GATEWAY(1), RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_IN_GATEWAY, 1, RIG_PEER));
	tell_udp(rig, RIG_GATEWAY6(1), RIG_ADDR6(1));
	assert_true(rig_only_dropped(B, DROP_IN_GATEWAY, 1, RIG_PEER));
}

static void never_from_tunnel_to_tunnel(void **state)
{
	struct rig *rig = *state;

	tell_udp(rig, RIG_ADDR(0), "172.20.103.2");
	assert_true(rig_only_dropped(B, DROP_IN_NOT_LOCAL, 1, RIG_PEER));
	/* Back to where it came from is no better. */
	tell_udp(rig, RIG_ADDR(0), "172.20.101.3");
	assert_true(rig_only_dropped(B, DROP_IN_NOT_LOCAL, 1, RIG_PEER));
	tell_udp(rig, RIG_ADDR6(0), "fd20:0:3::2");
	assert_true(rig_only_dropped(B, DROP_IN_NOT_LOCAL, 1, RIG_PEER));
}

static void neighbour_and_router_discovery(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[128], body[20] = { 0 };

	rig_parse_addr(body + 4, RIG_ADDR6(1));
	for (uint8_t type = ICMPV6_ROUTER_SOLICIT; type <= ICMPV6_REDIRECT; type++) {
		rig_mark(B);
		rig_tell(A, ip,
		         rig_make_icmpv6(ip, RIG_ADDR6(0), RIG_ADDR6(1), type, 255, body,
		                         sizeof(body)),
		         0);
		assert_true(rig_only_dropped(B, DROP_IN_ND, 1, RIG_PEER));
	}
	/* IPv4 has a redirect alone. */
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20);
	ip[9] = IPPROTO_WIRE_ICMP;
	ip[20] = ICMPV4_REDIRECT;
	rig_mark(B);
	rig_tell(A, ip, len, 0);
	assert_true(rig_only_dropped(B, DROP_IN_ND, 1, RIG_PEER));
	/* Echo requests are welcome. */
	ip[20] = 8;
	rig_mark(B);
	rig_tell(A, ip, len, 0);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	rig_mark(B);
	rig_tell(A, ip,
	         rig_make_icmpv6(ip, RIG_ADDR6(0), RIG_ADDR6(1), 128, 64, body, sizeof(body)), 0);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
}

/* A server's answers are dropped, fragmented or not; what clients and relays say is data. */
static void dhcp_answers(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[128];

	for (size_t i = 0; i < sizeof(rig_dhcp_rows) / sizeof(*rig_dhcp_rows); i++) {
		const struct rig_dhcp_row *row = &rig_dhcp_rows[i];
		uint32_t len = rig_make_udp(ip, row->v6 ? RIG_ADDR6(0) : RIG_ADDR(0),
		                            row->v6 ? RIG_ADDR6(1) : RIG_ADDR(1), 60);

		rig_set_ports(ip, row->from, row->to);
		rig_mark(B);
		rig_tell(A, ip, len, 0);
		if (row->is_answer ? !rig_only_dropped(B, DROP_IN_DHCP, 1, RIG_PEER)
		                   : !rig_counted(B, DROP_NONE, 0, RIG_NOBODY))
			fail_msg("row %zu", i);
	}
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 64);
	rig_set_ports(ip, 67, 68);
	store_be16(ip + 6, IPV4_MF);
	packet_ipv4_checksum_fill(ip);
	rig_mark(B);
	rig_tell(A, ip, len, 0);
	assert_true(rig_only_dropped(B, DROP_IN_DHCP, 1, RIG_PEER));
	/* Behind the first there are no ports to look at. */
	store_be16(ip + 6, IPV4_MF | 9);
	packet_ipv4_checksum_fill(ip);
	rig_mark(B);
	rig_tell(A, ip, len, 0);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
}

/* pitfall_31: behind an extension header it is still discovery. */
static void discovery_behind_an_extension_header(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[160], inner[128], body[20] = { 0 };
	uint32_t len = rig_make_icmpv6(inner, RIG_ADDR6(0), RIG_ADDR6(1), ICMPV6_NEIGH_ADVERT, 255,
	                               body, sizeof(body));

	memcpy(ip, inner, 40);
	memset(ip + 40, 0, 8);
	ip[6] = IPPROTO_WIRE_DSTOPTS;
	ip[40] = IPPROTO_WIRE_ICMPV6;
	ip[42] = 1; /* PadN of 4 */
	ip[43] = 4;
	memcpy(ip + 48, inner + 40, len - 40);
	store_be16(ip + 4, (uint16_t)(len - 40 + 8));
	rig_tell(A, ip, len + 8, 0);
	assert_true(rig_only_dropped(B, DROP_IN_ND, 1, RIG_PEER));
}

static void bridge_not_there(void **state)
{
	static const struct rig_options options = { .detached = true };
	struct rig *rig = *state;

	tell_udp(rig, "172.21.101.2", "172.21.102.2");
	assert_true(rig_only_dropped(B, DROP_IN_NO_BRIDGE, 1, RIG_PEER | RIG_AWAY));
	rig_publish(B, &options);
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_IN_NO_BRIDGE, 1, RIG_PEER | RIG_NET));
}

/* A peer taken out of the view while its key pair still opens: nothing it says is believed. */
static void peer_without_a_route(void **state)
{
	static const struct rig_options options = { .without_peer = true };
	struct rig *rig = *state;

	rig_publish(B, &options);
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_IN_SOURCE, 1, RIG_PEER));
	rig_publish(B, NULL);
}

/* ---- neighbours ---- */

static void held_until_the_container_answers(void **state)
{
	struct rig *rig = *state;
	uint64_t counted = stats_read(&B->net->rx_packets);
	uint64_t asked = stats_read(&B->device->stats.events[EVENT_PROBE_SENT]);
	uint8_t ip[256];
	const struct wire_arp *arp;
	uint32_t len;

	tell_udp(rig, RIG_ADDR(0), "172.20.102.77");
	assert_int_equal(B->frame_count, 1);
	assert_true(packet_parse_arp(B->frames[0].data + 10, B->frames[0].len - 10, &arp));
	assert_int_equal(load_be16(arp->operation.b), ARP_REQUEST);
	assert_memory_equal(arp->target_ip, ((uint8_t[]){ 172, 20, 102, 77 }), 4);
	assert_memory_equal(arp->sender_ip, ((uint8_t[4]){ 0 }), 4);
	/* More for it wait too, without another question. */
	rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.102.77", 5), 0);
	assert_int_equal(B->frame_count, 1);
	rig_learn(B, "172.20.102.77");
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 3);
	delivered(B, 1, &len);
	assert_int_equal(len, 28 + 68);
	assert_int_equal(load_be16(B->frames[1].data + 22), ETHERTYPE_WIRE_IPV4);
	delivered(B, 2, &len);
	assert_int_equal(len, 28 + 5);
	assert_int_equal(stats_read(&B->net->rx_packets) - counted, 2);
	assert_int_equal(stats_read(&B->device->stats.events[EVENT_PROBE_SENT]) - asked, 1);
}

static void held_by_ipv6_too(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	tell_udp(rig, RIG_ADDR6(0), "fd20:0:2::77");
	assert_int_equal(B->frame_count, 1);
	assert_int_equal(B->frames[0].data[24 + 40], ICMPV6_NEIGH_SOLICIT);
	rig_learn(B, "fd20:0:2::77");
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 2);
	delivered(B, 1, &len);
	assert_int_equal(len, 48 + 68);
	assert_int_equal(load_be16(B->frames[1].data + 22), ETHERTYPE_WIRE_IPV6);
	assert_memory_equal(B->frames[1].data + 10, RIG_CONTAINER_MAC, 6);
}

/*
 * What waited is copied into the burst's buffer. When as many packets as can be
 * merged are in already, the burst is flushed in between: the copies of then
 * must not be overwritten by those that follow.
 */
static void released_into_a_full_burst(void **state)
{
	enum { EVENTS = 16, LEN = 16 + 48 + 16 };
	static uint8_t run[RING_SEGMENTS_MAX * LEN];
	const struct rig_arp arp = { .operation = ARP_REPLY,
		                     .sender = "172.20.102.77",
		                     .target = RIG_GATEWAY(1) };
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len;

	_Static_assert(EVENTS * RING_SEGMENTS_MAX == COALESCE_PACKETS, "full, not over");
	rig_learn(B, RIG_ADDR(1));
	for (uint32_t i = 0; i < 4; i++)
		rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.102.77", 40 + i), 0);
	rig_mark(B);
	for (unsigned int e = 0; e < EVENTS; e++) {
		for (unsigned int i = 0; i < RING_SEGMENTS_MAX; i++) {
			len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20);
			assert_int_equal(rig_seal(A, ip, len, run + i * LEN), LEN);
		}
		rig_give_datagram(B, &A->address, run, sizeof(run), LEN, 0);
	}
	rig_give_arp(B, &arp);
	rig_round(B);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_true(B->frame_count > 4);
	for (uint32_t i = 0; i < 4; i++) {
		const uint8_t *got = delivered(B, B->frame_count - 4 + i, &len);

		assert_int_equal(len, 28 + 40 + i);
		assert_int_equal(load_be16(got + 2), len);
	}
}

static void only_so_many_wait(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_mark(B);
	for (uint32_t i = 0; i < NEIGH_WAITING + 4; i++)
		rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.102.76", i), 0);
	assert_true(rig_counted(B, DROP_IN_UNRESOLVED, 4, RIG_PEER | RIG_NET));
	rig_learn(B, "172.20.102.76");
	assert_int_equal(packets(B), NEIGH_WAITING);
}

static void nobody_answers(void **state)
{
	struct rig *rig = *state;

	tell_udp(rig, RIG_ADDR(0), "172.20.102.78");
	for (int second = 0; second < 5; second++) {
		rig->now_ns += RIG_SECOND;
		rig_round(B);
	}
	assert_true(rig_counted(B, DROP_IN_UNRESOLVED, 1, RIG_NET));
	/* Asked three times, and the packet went nowhere. */
	for (unsigned int i = 0; i < B->frame_count; i++)
		assert_int_equal(load_be16(B->frames[i].data + 22), ETHERTYPE_WIRE_ARP);
	assert_int_equal(B->frame_count, 3);
}

static void just_failed_addresses_drop_at_once(void **state)
{
	struct rig *rig = *state;

	tell_udp(rig, RIG_ADDR(0), "172.20.102.79");
	for (int i = 0; i < 3 && !rig_dropped(B, DROP_IN_UNRESOLVED); i++) {
		rig->now_ns += RIG_SECOND;
		rig_round(B);
	}
	tell_udp(rig, RIG_ADDR(0), "172.20.102.79");
	assert_true(rig_only_dropped(B, DROP_IN_UNRESOLVED, 1, RIG_PEER | RIG_NET));
}

static void the_host_itself_is_reached_by_the_bridge(void **state)
{
	struct rig *rig = *state;

	tell_udp(rig, RIG_ADDR(0), RIG_GATEWAY(1));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
	assert_memory_equal(B->frames[0].data + 10, RIG_BRIDGE_MAC, 6);
	assert_memory_equal(B->frames[0].data + 16, B->net->router_mac, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(malformed_ip),
		rig_connected_test(pitfall_22_payload_lengths_near_the_end),
		rig_connected_test(source_not_allowed),
		rig_connected_test(source_in_range),
		rig_connected_test(networks_do_not_mix),
		rig_connected_test(martians),
		rig_connected_test(multicast_and_broadcast),
		rig_connected_test(gateway_claimed),
		rig_connected_test(never_from_tunnel_to_tunnel),
		rig_connected_test(neighbour_and_router_discovery),
		rig_connected_test(dhcp_answers),
		rig_connected_test(discovery_behind_an_extension_header),
		rig_connected_test(bridge_not_there),
		rig_connected_test(peer_without_a_route),
		rig_connected_test(held_until_the_container_answers),
		rig_connected_test(held_by_ipv6_too),
		rig_connected_test(released_into_a_full_burst),
		rig_connected_test(only_so_many_wait),
		rig_connected_test(nobody_answers),
		rig_connected_test(just_failed_addresses_drop_at_once),
		rig_connected_test(the_host_itself_is_reached_by_the_bridge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
