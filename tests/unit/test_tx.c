/* SPDX-License-Identifier: MIT */
/*
 * The way out: frames as a container with a raw socket may make them. Each reason
 * to drop has a test that sees its counter rise, and no other, and nothing sent
 * (pitfall_29: an inverted check). What ARP and ND are answered: test_answers.c.
 */
#include "unit/rig_test.h"
#include "crypto/session.h"
#include "dataplane/packet.h"
#include "dataplane/segment.h"

#define FRAME_MAX (RIG_PACKET_MAX + 24)

/* From host 0's container; counted from a clean slate. */
static void say(struct rig *rig, const uint8_t *ip, uint32_t len)
{
	rig_mark(A);
	rig_give_ip(A, ip, len);
	rig_round(A);
}

static void say_udp(struct rig *rig, const char *from, const char *to)
{
	uint8_t ip[256];

	say(rig, ip, rig_make_udp(ip, from, to, 68));
}

static void say_frame(struct rig *rig, const uint8_t *destination, const uint8_t *source,
                      uint16_t type, const uint8_t *body, uint32_t len)
{
	static uint8_t frame[FRAME_MAX];

	rig_mark(A);
	rig_give_frame(A, 0, frame, rig_make_frame(frame, destination, source, type, body, len));
	rig_round(A);
}

/* ---- what a frame is ---- */

static void too_short(void **state)
{
	struct rig *rig = *state;
	static const uint8_t frame[24];

	for (uint32_t len = 1; len < 24; len++) {
		rig_mark(A);
		rig_give_frame(A, 0, frame, len);
		rig_round(A);
		assert_true(rig_only_dropped(A, DROP_OUT_SHORT, 1, RIG_NET));
	}
	/* A port that has no network, or none any more. */
	rig_mark(A);
	rig_give_frame(A, 7, frame, 24);
	rig_give_frame(A, RING_PORTS_MAX, frame, 24);
	rig_give_frame(A, UINT16_MAX, frame, 24);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_OUT_NO_NETWORK, 3, RIG_NOBODY));
}

static void ethertypes(void **state)
{
	static const uint16_t types[] = { 0x8100, 0x88a8, 0x9100, 0x88cc, 0x8863, 0x888e, 0x8808,
		                          0x0000, 0x0026, 0x05ff, 0xffff, 0x0801, 0x86dc, 0x0008 };
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, types[i], ip, len);
		assert_true(rig_only_dropped(A, DROP_OUT_ETHERTYPE, 1, RIG_NET));
	}
}

/* A tagged frame stays a tagged frame, be what is behind the tag ever so right. */
static void vlan_tags(void **state)
{
	struct rig *rig = *state;
	uint8_t body[260] = { 0, 5, 0x08, 0x00 };
	uint32_t len = rig_make_udp(body + 4, RIG_ADDR(0), RIG_ADDR(1), 68);

	say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_VLAN, body, len + 4);
	assert_true(rig_only_dropped(A, DROP_OUT_ETHERTYPE, 1, RIG_NET));
	say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_QINQ, body, len + 4);
	assert_true(rig_only_dropped(A, DROP_OUT_ETHERTYPE, 1, RIG_NET));
}

static void not_to_the_router_mac(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], mac[6];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

	for (unsigned int byte = 0; byte < 6; byte++) {
		memcpy(mac, A->net->router_mac, 6);
		mac[byte] ^= 0x40;
		say_frame(rig, mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip, len);
		assert_true(rig_only_dropped(A, DROP_OUT_NOT_FOR_US, 1, RIG_NET));
	}
	len = rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 68);
	say_frame(rig, RIG_BRIDGE_MAC, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV6, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_NOT_FOR_US, 1, RIG_NET));
	/* To everyone is not to us either, whatever the IP address says. */
	len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);
	say_frame(rig, RIG_BROADCAST_MAC, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_BROADCAST, 1, RIG_NET));
}

static void own_frames_come_back(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

	say_frame(rig, A->net->router_mac, A->net->router_mac, ETHERTYPE_WIRE_IPV4, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_SOURCE, 1, RIG_NET));
}

/* ---- raw sockets ---- */

/*
 * Any first byte under either ethertype: what could be mistaken for a frame
 * (0x08), a control message (0x1_) or a hint (0x5_, 0x7_) at the other end must
 * not leave, nor the wrong version.
 */
static void every_first_byte(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int first = 0; first < 256; first++) {
			uint32_t len = v6 ? rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 68)
			                  : rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

			/* The lower nibble is IPv6's to use; IPv4's header length may not change. */
			if (v6 ? first >> 4 == 6 : first == 0x45)
				continue;
			ip[0] = (uint8_t)first;
			say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC,
			          v6 ? ETHERTYPE_WIRE_IPV6 : ETHERTYPE_WIRE_IPV4, ip, len);
			if (!rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET))
				fail_msg("first byte %02x, IPv%c", first, v6 ? '6' : '4');
		}
	}
}

/* The version is right, the ethertype is the other's. */
static void ethertype_lies(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

	say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV6, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	len = rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 68);
	say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
}

/* Found by the fuzzer: the ICMP error to a sender like this went to a multicast address. */
static void sender_is_no_unicast_mac(void **state)
{
	static const uint8_t multicast[ETHER_ADDR_SIZE] = { 0x29, 0x42, 0xac, 0x14, 0x65, 0x02 };
	static const uint8_t zero[ETHER_ADDR_SIZE];
	struct rig *rig = *state;
	uint8_t ip[2048];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 1800);

	say_frame(rig, A->net->router_mac, multicast, ETHERTYPE_WIRE_IPV4, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	say_frame(rig, A->net->router_mac, zero, ETHERTYPE_WIRE_IPV4, ip, len);
	assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
}

static void lengths_lie(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68);

	for (uint32_t cut = 0; cut < len; cut++) {
		say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip, cut);
		assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	}
	len = rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 68);
	for (uint32_t cut = 0; cut < len; cut++) {
		say_frame(rig, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV6, ip, cut);
		assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	}
	for (uint32_t payload = 65496; payload <= 65535; payload++) { /* pitfall_22 */
		store_be16(ip + 4, (uint16_t)payload);
		say(rig, ip, len);
		assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	}
}

/* What Ethernet padded to 60 bytes leaves without the padding. */
static void link_padding_stays_here(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], plain[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 1), got;

	memset(ip + len, 0xaa, 60);
	say(rig, ip, len + 60);
	assert_int_equal(A->sent_count, 1);
	assert_true(rig_unseal(A, &A->sent[0], plain, &got));
	assert_int_equal(got, 32);
	assert_memory_equal(plain, ip, len);
	for (uint32_t i = len; i < got; i++)
		assert_int_equal(plain[i], 0);
}

/* ---- addresses ---- */

static void spoofed_sources(void **state)
{
	static const char *const sources[] = {
		"172.20.102.2", /* the other host's container */
		"172.20.103.9", "172.20.102.1", "192.0.2.1", "10.9.0.1", "172.21.101.2",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		say_udp(rig, sources[i], RIG_ADDR(1));
		assert_true(rig_only_dropped(A, DROP_OUT_SOURCE, 1, RIG_NET));
	}
	say_udp(rig, RIG_ADDR6(1), RIG_ADDR6(1));
	assert_true(rig_only_dropped(A, DROP_OUT_SOURCE, 1, RIG_NET));
	say_udp(rig, "fe80::2", RIG_ADDR6(1));
	assert_true(rig_only_dropped(A, DROP_OUT_SOURCE, 1, RIG_NET));
}

static void range_says_what_lives_here(void **state)
{
	static const struct rig_options options = { .ranges = { "172.20.101.0/25" } };
	struct rig *rig = *state;

	rig_publish(A, &options);
	say_udp(rig, "172.20.101.200", RIG_ADDR(1));
	assert_true(rig_only_dropped(A, DROP_OUT_SOURCE, 1, RIG_NET));
	say_udp(rig, "172.20.101.100", RIG_ADDR(1));
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->sent_count, 1);
	/* A range of IPv4 says nothing of IPv6. */
	say_udp(rig, RIG_ADDR6(0), RIG_ADDR6(1));
	assert_int_equal(A->sent_count, 1);
	/* What lives here is not sent away, whoever claims it. */
	say_udp(rig, RIG_ADDR(0), "172.20.101.101");
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ROUTE, 1, RIG_NET));
}

static void the_host_itself_may_send(void **state)
{
	struct rig *rig = *state;

	say_udp(rig, RIG_GATEWAY(0), RIG_ADDR(1));
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->sent_count, 1);
}

static void martians(void **state)
{
	static const struct {
		const char *from, *to;
	} rows[] = {
		{ "127.0.0.1", RIG_ADDR(1) },
		{ "0.0.0.0", RIG_ADDR(1) },
		{ "239.1.2.3", RIG_ADDR(1) },
		{ RIG_ADDR(0), "127.1.1.1" },
		{ RIG_ADDR(0), "0.0.0.0" },
		{ "::1", RIG_ADDR6(1) },
		{ "::ffff:172.20.101.2", RIG_ADDR6(1) },
		{ "ff02::2", RIG_ADDR6(1) },
		{ RIG_ADDR6(0), "::" },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		say_udp(rig, rows[i].from, rows[i].to);
		if (!rig_only_dropped(A, DROP_OUT_MARTIAN, 1, RIG_NET))
			fail_msg("row %zu", i);
	}
}

static void multicast(void **state)
{
	struct rig *rig = *state;

	say_udp(rig, RIG_ADDR(0), "224.0.0.251");
	assert_true(rig_only_dropped(A, DROP_OUT_BROADCAST, 1, RIG_NET));
	say_udp(rig, RIG_ADDR(0), "255.255.255.255");
	assert_true(rig_only_dropped(A, DROP_OUT_BROADCAST, 1, RIG_NET));
	say_udp(rig, RIG_ADDR6(0), "ff05::1:3");
	assert_true(rig_only_dropped(A, DROP_OUT_BROADCAST, 1, RIG_NET));
}

/* A container plays DHCP server, or sends its peers another way. */
static void dhcp_answers_and_redirects(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[128];
	uint32_t len;

	for (size_t i = 0; i < sizeof(rig_dhcp_rows) / sizeof(*rig_dhcp_rows); i++) {
		const struct rig_dhcp_row *row = &rig_dhcp_rows[i];

		len = rig_make_udp(ip, row->v6 ? RIG_ADDR6(0) : RIG_ADDR(0),
		                   row->v6 ? RIG_ADDR6(1) : RIG_ADDR(1), 60);
		rig_set_ports(ip, row->from, row->to);
		rig_mark(A);
		rig_give_ip(A, ip, len);
		rig_round(A);
		if (row->is_answer ? !rig_only_dropped(A, DROP_OUT_DHCP, 1, RIG_NET)
		                   : !rig_counted(A, DROP_NONE, 0, RIG_NOBODY))
			fail_msg("row %zu", i);
	}
	len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20);
	ip[9] = IPPROTO_WIRE_ICMP;
	packet_ipv4_checksum_fill(ip);
	ip[20] = ICMPV4_REDIRECT;
	rig_mark(A);
	rig_give_ip(A, ip, len);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_OUT_ND, 1, RIG_NET));
}

/* An endpoint behind the tunnel: each datagram would come back a header longer, for ever. */
static void own_datagrams_come_back(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t len;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const char *to = v6 ? RIG_ADDR6(1) : RIG_ADDR(1);

		len = rig_make_udp(ip, v6 ? RIG_GATEWAY6(0) : RIG_GATEWAY(0), to, 68);
		rig_set_ports(ip, 12345, 777);
		atomic_store(&A->device->udp_port, 12345);
		rig_mark(A);
		rig_give_ip(A, ip, len);
		rig_round(A);
		assert_true(rig_only_dropped(A, DROP_OUT_LOOP, 1, RIG_PEER | RIG_NET));
		/* From another port it is anybody's; so it is while there is no socket. */
		for (uint16_t port = 0; port < 2; port++) {
			atomic_store(&A->device->udp_port, port ? 12344 : 0);
			rig_set_ports(ip, port ? 12345 : 0, 777);
			rig_mark(A);
			rig_give_ip(A, ip, len);
			rig_round(A);
			assert_int_equal(A->sent_count, 1);
		}
		/* And a container's, whose port it is by chance. */
		atomic_store(&A->device->udp_port, 12345);
		len = rig_make_udp(ip, v6 ? RIG_ADDR6(0) : RIG_ADDR(0), to, 68);
		rig_set_ports(ip, 12345, 777);
		rig_mark(A);
		rig_give_ip(A, ip, len);
		rig_round(A);
		assert_int_equal(A->sent_count, 1);
	}
}

static void destinations(void **state)
{
	struct rig *rig = *state;

	say_udp(rig, RIG_ADDR(0), "192.0.2.1");
	assert_true(rig_only_dropped(A, DROP_OUT_NETWORK, 1, RIG_NET));
	/* A peer's, but of no subnet here, or of another network's. */
	say_udp(rig, RIG_ADDR(0), "10.9.0.1");
	assert_true(rig_only_dropped(A, DROP_OUT_NETWORK, 1, RIG_NET));
	say_udp(rig, RIG_ADDR(0), "172.21.102.2");
	assert_true(rig_only_dropped(A, DROP_OUT_NETWORK, 1, RIG_NET));
	say_udp(rig, RIG_ADDR(0), "172.20.99.2");
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ROUTE, 1, RIG_NET));
	say_udp(rig, RIG_ADDR(0), RIG_GATEWAY(0));
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ROUTE, 1, RIG_NET));
	say_udp(rig, RIG_ADDR(0), "172.20.103.2");
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ENDPOINT, 1, RIG_NET | RIG_THIRD));
}

/* The endpoint went while packets for a session were on their way. */
static void endpoint_forgotten(void **state)
{
	static const struct endpoint none;
	struct rig *rig = *state;

	peer_set_endpoint(A->peer, &none);
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ENDPOINT, 1, RIG_PEER));
}

/* ---- what leaves ---- */

static void what_is_sent(void **state)
{
	struct rig *rig = *state;
	uint64_t packets_before = stats_read(&A->net->tx_packets);
	uint64_t bytes_before = stats_read(&A->peer->tx_bytes);
	uint8_t ip[2048], plain[2048];

	for (uint32_t payload = 0; payload < 1393; payload += 37) {
		uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), payload), got;
		uint32_t padded = (len + 15) & ~15u;

		say(rig, ip, len);
		assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
		assert_int_equal(A->sent_count, 1);
		assert_true(endpoint_same_remote(&A->sent[0].to, &B->address));
		assert_int_equal(A->sent[0].tos, 0);
		assert_true(rig_unseal(A, &A->sent[0], plain, &got));
		assert_int_equal(got, padded < PEER_MTU_DEFAULT ? padded : PEER_MTU_DEFAULT);
		assert_memory_equal(plain, ip, len);
		bytes_before += got + 32;
		packets_before++;
	}
	assert_int_equal(stats_read(&A->peer->tx_bytes), bytes_before);
	assert_int_equal(stats_read(&A->net->tx_packets), packets_before);
}

/* ECN goes outside (RFC 6040, 4.1, normal mode), the DSCP stays inside. */
static void traffic_class(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	for (unsigned int tos = 0; tos < 256; tos += 5) {
		for (unsigned int v6 = 0; v6 < 2; v6++) {
			uint32_t len = v6 ? rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 20)
			                  : rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20);

			rig_set_tos(ip, (uint8_t)tos);
			say(rig, ip, len);
			assert_int_equal(A->sent_count, 1);
			assert_int_equal(A->sent[0].tos, tos & 3);
		}
	}
}

/* Small frames of one size to one peer share a send; another size or peer ends it. */
static void neighbours_share_a_send(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_mark(A);
	for (unsigned int i = 0; i < 50; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68));
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20));
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68));
	rig_round(A);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->sent_count, 52);
	assert_int_equal(A->send_calls, 2);
	assert_int_equal(A->sent[50].sends, 0); /* the shorter one may be the last of its send */
	assert_int_equal(A->sent[51].sends, 1);
}

static uint32_t make_superframe(const struct rig *rig, uint8_t *frame, uint32_t payload,
                                uint16_t gso_size)
{
	static uint8_t ip[RIG_PACKET_MAX];
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                  .gso_type = VNET_GSO_TCPV4,
		                  .gso_size = gso_size,
		                  .csum_start = 34,
		                  .csum_offset = 16 };
	uint32_t len = rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, payload);

	len = rig_make_frame(frame, rig->host[0].net->router_mac, RIG_CONTAINER_MAC,
	                     ETHERTYPE_WIRE_IPV4, ip, len);
	memcpy(frame, &vnet, sizeof(vnet));
	return len;
}

static void superframes_are_cut_and_arrive(void **state)
{
	struct rig *rig = *state;
	static uint8_t frame[FRAME_MAX];
	uint32_t len = make_superframe(rig, frame, 64000, 1460), arrived = 0;

	rig_mark(A);
	rig_mark(B);
	rig_give_frame(A, 0, frame, len);
	rig_round(A);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	/* 1420 less 40 bytes of headers. */
	assert_int_equal(A->sent_count, (64000 + 1379) / 1380);
	assert_in_range(A->send_calls, 1, 2);
	rig_pump(rig);
	for (unsigned int i = 0; i < B->frame_count; i++)
		arrived += B->frames[i].len - 24 - 40;
	assert_int_equal(arrived, 64000);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
}

/* Who sends one packet has it go before the superframes of others; unless order is not to be told. */
static void lone_packet_leaves_first(void **state)
{
	struct rig *rig = *state;
	static uint8_t frame[FRAME_MAX];
	const uint32_t small = 28 + 20 + SEGMENT_OVERHEAD;
	uint32_t len = make_superframe(rig, frame, 64000, 1460), cut = (64000 + 1379) / 1380;
	uint8_t ip[256];

	for (uint32_t fragment = 0; fragment < 2; fragment++) {
		rig_mark(A);
		rig_give_frame(A, 0, frame, len);
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20));
		rig_give_frame(A, 0, frame, len);
		if (fragment) {
			uint32_t size = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 40);

			ip[6] = 0x20; /* more follow */
			rig_give_ip(A, ip, size);
		}
		rig_round(A);
		assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
		assert_int_equal(A->sent_count, 2 * cut + 1 + fragment);
		assert_in_range(A->sent[fragment ? cut : 0].len, small, small + 15);
		assert_in_range(A->sent[fragment ? 0 : 1].len, 1400, 1500);
	}
}

static void offload_requests_lie(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t size;
	} rows[] = {
		{ VNET_GSO_TCPV6, 1400 }, { VNET_GSO_UDP, 1400 }, { VNET_GSO_UDP_L4, 1400 },
		{ VNET_GSO_TCPV4, 0 },    { 0x7f, 1400 },         { VNET_GSO_TCPV4, 1 },
	};
	struct rig *rig = *state;
	static uint8_t frame[FRAME_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t len = make_superframe(rig, frame, 8000, rows[i].size);

		frame[1] = rows[i].type;
		rig_mark(A);
		rig_give_frame(A, 0, frame, len);
		rig_round(A);
		if (!rig_only_dropped(A, DROP_OUT_GSO, 1, RIG_PEER | RIG_NET))
			fail_msg("row %zu", i);
	}
}

static void key_out_of_counters(void **state)
{
	struct rig *rig = *state;
	struct keypair *kp = atomic_load(&A->peer->session.current);
	static uint8_t frame[FRAME_MAX];
	uint32_t len = make_superframe(rig, frame, 2600, 1300);

	/* One counter is left, two are wanted: between the check and the use it ran out. */
	atomic_store(&kp->send_counter, SESSION_REJECT_AFTER_MESSAGES - 1);
	rig_mark(A);
	rig_give_frame(A, 0, frame, len);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_OUT_KEY_EXPIRED, 2, RIG_PEER));
}

/* pitfall_2, seen from above: an exhausted key sends nothing, a handshake does. */
static void key_used_up(void **state)
{
	struct rig *rig = *state;

	atomic_store(&atomic_load(&A->peer->session.current)->send_counter,
	             SESSION_REJECT_AFTER_MESSAGES);
	rig->now_ns += 6 * RIG_SECOND;
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(load_le32(A->sent[0].data), MESSAGE_INITIATION);
}

static void the_kernel_refuses(void **state)
{
	struct rig *rig = *state;
	uint64_t bytes = stats_read(&A->peer->tx_bytes);

	A->fail_sends = -105;
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(A, DROP_OUT_SEND, 1, RIG_PEER));
	assert_int_equal(stats_read(&A->peer->tx_bytes), bytes);
}

static void what_the_kernel_did_instead(void **state)
{
	struct rig *rig = *state;
	struct endpoint endpoint = B->address, now;

	endpoint.source.in.s_addr = 0x0100000a;
	endpoint.source_ifindex = 3;
	peer_set_endpoint(A->peer, &endpoint);
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_int_equal(A->sent[0].to.source_ifindex, 3);
	peer_get_endpoint(A->peer, &now);
	assert_int_equal(now.source_ifindex, 3);
	assert_int_equal(stats_read(&A->device->stats.events[EVENT_GSO_FALLBACK]), 0);
	/* It went only without the source, which is forgotten then. */
	A->sends_are_stale = true;
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	peer_get_endpoint(A->peer, &now);
	assert_true(endpoint_same_remote(&now, &B->address));
	assert_int_equal(now.source_ifindex, 0);
	assert_int_equal(now.source.in.s_addr, 0);
}

/* Five packets that leave as one send. Whether it was asked to go one by one. */
static bool say_together(struct rig *rig)
{
	uint8_t ip[256];

	rig_mark(A);
	for (unsigned int i = 0; i < 5; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68));
	rig_round(A);
	if (!A->fail_sends) {
		assert_int_equal(A->sent_count, 5);
		assert_int_equal(A->sent[0].sends, A->sent[4].sends);
	}
	return A->sent_count && A->sent[0].single;
}

/* Where UDP_SEGMENT was refused it is not tried again for ten minutes, or until the way changes. */
static void refused_segments_are_remembered(void **state)
{
	struct rig *rig = *state;
	const _Atomic uint64_t *events = A->device->stats.events;
	struct endpoint moved = B->address;

	/* Not when nothing went one by one either: it was not the segments then. */
	A->sends_fall_back = true;
	A->fail_sends = -90;
	(void)say_together(rig);
	A->fail_sends = 0;
	assert_false(say_together(rig));
	assert_int_equal(stats_read(&events[EVENT_GSO_FALLBACK]), 2);
	assert_int_equal(stats_read(&events[EVENT_GSO_AVOIDED]), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_true(say_together(rig));
		assert_int_equal(stats_read(&events[EVENT_GSO_FALLBACK]), 2);
		assert_int_equal(stats_read(&events[EVENT_GSO_AVOIDED]), i);
	}
	/* Another way there: a new endpoint, a new MTU. */
	peer_set_endpoint(A->peer, &moved);
	assert_true(say_together(rig));
	moved.remote.in.sin_port ^= 1;
	peer_roam(A->peer, &moved);
	assert_false(say_together(rig));
	assert_true(say_together(rig));
	peer_set_mtu(A->peer, PEER_MTU_DEFAULT);
	assert_true(say_together(rig));
	peer_set_mtu(A->peer, PEER_MTU_DEFAULT - 20);
	assert_false(say_together(rig));
	assert_int_equal(stats_read(&events[EVENT_GSO_FALLBACK]), 4);
	/* And when its time is over, which is later than the session's. */
	assert_int_equal(atomic_load(&A->peer->gso_retry_ns), rig->now_ns + 600 * RIG_SECOND);
	A->sends_fall_back = false;
	atomic_store(&A->peer->gso_retry_ns, rig->now_ns + 1);
	assert_true(say_together(rig));
	rig->now_ns++;
	assert_false(say_together(rig));
	assert_int_equal(stats_read(&events[EVENT_GSO_FALLBACK]), 4);
}

/* ---- without a session ---- */

static void staged_until_the_session_is_up(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_learn(B, RIG_ADDR(1));
	rig_mark(A);
	rig_mark(B);
	for (uint32_t i = 0; i < PEER_STAGED_MAX + 22; i++) {
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), i));
		rig_round(A);
	}
	/* pitfall_33: no key, no packet; one initiation is all that leaves. */
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(load_le32(A->sent[0].data), MESSAGE_INITIATION);
	assert_int_equal(A->sent[0].len, 148);
	assert_int_equal(A->sent[0].tos, 0x88);
	assert_true(rig_counted(A, DROP_OUT_STAGE_FULL, 22, RIG_PEER | RIG_NET));
	rig_pump(rig);
	/* The oldest went; the others arrive in order. */
	assert_int_equal(packets(B), PEER_STAGED_MAX);
	for (unsigned int i = 0; i < PEER_STAGED_MAX; i++)
		assert_int_equal(B->frames[i].len, 24 + 28 + 22 + i);
}

static void staged_packets_expire(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint64_t start = rig->now_ns;

	rig_mark(A);
	for (int i = 0; i < 3; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	while (!rig_dropped(A, DROP_OUT_STAGE_EXPIRED) && rig->now_ns < start + 120 * RIG_SECOND)
		rig_advance(rig, 50 * RIG_MS);
	assert_in_range((rig->now_ns - start) / RIG_SECOND, 90, 98);
	assert_true(rig_counted(A, DROP_OUT_STAGE_EXPIRED, 3, RIG_PEER));
	for (unsigned int i = 0; i < A->sent_count; i++)
		assert_int_equal(load_le32(A->sent[i].data), MESSAGE_INITIATION);
}

/* Routes may change while a packet waits: it is looked at afresh. */
static void staged_packets_take_the_new_route(void **state)
{
	static const struct rig_options options = { .ranges = { "172.20.101.128/25" } };
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_learn(B, RIG_ADDR(1));
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	rig_publish(A, &options);
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(packets(B), 0);
	assert_int_equal(rig_dropped(A, DROP_OUT_SOURCE), 1);
}

/* A flood to one peer that never answers leaves room for what waits for others. */
static void one_silent_peer_has_its_share(void **state)
{
	static uint8_t ip[RIG_PACKET_MAX];
	struct rig *rig = *state;
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), "172.20.103.2", 60000);
	unsigned int waiting;

	rig_learn(B, RIG_ADDR(1));
	peer_set_endpoint(A->third, &A->address);
	for (unsigned int i = 0; i < 2 * PEER_STAGED_MAX; i++) {
		rig_give_ip(A, ip, len);
		rig_round(A);
	}
	waiting = A->third->staged.count;
	assert_in_range(waiting, 10, PEER_STAGED_MAX);
	assert_int_equal(stats_read(&A->third->drops[DROP_OUT_STAGE_FULL]),
	                 2 * PEER_STAGED_MAX - waiting);
	assert_true(A->device->stage.free_count >= STAGE_CHUNKS / 8 * 7);
	for (unsigned int i = 0; i < PEER_STAGED_MAX; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 1000));
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(stats_read(&A->peer->drops[DROP_OUT_STAGE_FULL]), 0);
	assert_int_equal(stats_read(&B->peer->rx_packets) >= PEER_STAGED_MAX, 1);
}

/* No session can be, so nothing waits for one: no key of the peer's that is one... */
static void a_low_order_key_is_not_waited_for(void **state)
{
	static const uint8_t low_order[KEY_SIZE];
	struct rig *rig = *state;
	struct peer *third = A->third;

	A->third = peer_create(A->device, low_order);
	assert_non_null(A->third);
	peer_set_endpoint(A->third, &B->address);
	rig_publish(A, NULL);
	say_udp(rig, RIG_ADDR(0), "172.20.103.2");
	assert_true(rig_only_dropped(A, DROP_OUT_NO_KEY, 1, RIG_THIRD | RIG_NET));
	peer_kill(third);
	peer_retire(third);
}

/* ...or none of our own, which may come back. */
static void without_a_key_nothing_waits(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_learn(B, RIG_ADDR(1));
	for (unsigned int i = 0; i < 3; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	rig_mark(A);
	device_set_identity(A->device, NULL);
	assert_true(rig_only_dropped(A, DROP_OUT_NO_KEY, 3, RIG_PEER));
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(A, DROP_OUT_NO_KEY, 1, RIG_PEER | RIG_NET));
	device_set_identity(A->device, A->private_key);
	rig->now_ns += 10 * RIG_SECOND;
	rig_mark(A);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(packets(B), 1);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
}

/* An endpoint taken away while they wait for what it was to answer. */
static void without_an_endpoint_nothing_waits(void **state)
{
	static const struct endpoint nowhere;
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	rig_mark(A);
	peer_set_endpoint(A->peer, &nowhere);
	rig_advance(rig, 6 * RIG_SECOND);
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ENDPOINT, 1, RIG_PEER));
}

static void a_dead_peer_takes_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];
	uint32_t room;

	/* What waits for it when it dies goes back to where it came from. */
	peer_reset(A->peer);
	room = A->device->stage.free_count;
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_true(A->device->stage.free_count < room);
	rig_mark(A);
	peer_kill(A->peer);
	assert_int_equal(A->device->stage.free_count, room);
	assert_true(rig_counted(A, DROP_OUT_NO_ROUTE, 1, RIG_PEER));
	say_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(A, DROP_OUT_NO_ROUTE, 1, RIG_PEER | RIG_NET));
}

/* ---- the burst ---- */

static void seal_and_count(struct burst *burst, void *arg)
{
	unsigned int *count = arg;

	burst_seal(burst);
	*count += burst->send_count;
	burst_account(burst);
	burst_reset(burst);
}

/* A thousand packets none of which can share a send: all go. */
static void a_burst_of_single_sends(void **state)
{
	struct rig *rig = *state;
	struct burst *burst = burst_open(A->device);
	const uint8_t data[100] = { 0 };
	unsigned int count = 0;

	assert_non_null(burst);
	rig_mark(A);
	burst->now_ns = rig->now_ns;
	burst->view = atomic_load(&A->device->view);
	burst->flush = seal_and_count;
	burst->flush_arg = &count;
	for (unsigned int i = 0; i < 2000; i++)
		burst_add_packet(burst, A->peer, data, i % 2 ? 100 : 20, BURST_DATA);
	burst->flush(burst, burst->flush_arg);
	burst_close(burst);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(count, 2000);
}

/* What was framed for a session is sealed with its keys, though there are newer ones by now. */
static void packets_keep_their_session(void **state)
{
	static struct keypair next;
	struct rig *rig = *state;
	struct burst *burst = burst_open(A->device);
	_Atomic(struct keypair *) *slot = &A->peer->session.current;
	struct keypair *first;
	const uint8_t data[100] = { 0 };

	assert_non_null(burst);
	burst->now_ns = rig->now_ns;
	burst->view = atomic_load(&A->device->view);
	first = atomic_load(slot);
	memcpy(&next, first, sizeof(next));
	next.remote_index = ~first->remote_index;
	burst_add_packet(burst, A->peer, data, sizeof(data), BURST_DATA);
	atomic_store(slot, &next);
	burst_add_packet(burst, A->peer, data, sizeof(data), BURST_DATA);
	burst_seal(burst);
	atomic_store(slot, first);
	assert_int_equal(burst->send_count, 2);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(
			load_le32(burst->sends[i].data + offsetof(struct message_data, receiver)),
			i ? next.remote_index : first->remote_index);
	burst_reset(burst);
	burst_close(burst);
}

/* Mutated frames: whatever leaves is an IP packet from here that means what it says. */
static void nothing_but_ip_ever_leaves(void **state)
{
	struct rig *rig = *state;
	static uint8_t frame[FRAME_MAX], base[2][256], plain[FRAME_MAX];
	static const uint8_t subnets[2][2] = { { 172, 20 }, { 0xfd, 0x20 } };
	uint32_t lens[2];
	uint64_t seed = 42;
	unsigned int sent = 0;

	lens[0] = rig_make_tcp(base[0], RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 120);
	lens[1] = rig_make_tcp(base[1], RIG_ADDR6(0), RIG_ADDR6(1), TCP_ACK, 120);
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int v6 = round & 1, flips = 1 + (unsigned int)(unit_random(&seed) % 4);
		uint32_t len = rig_make_frame(frame, A->net->router_mac, RIG_CONTAINER_MAC,
		                              v6 ? ETHERTYPE_WIRE_IPV6 : ETHERTYPE_WIRE_IPV4,
		                              base[v6], lens[v6]);

		for (; flips; flips--) {
			uint32_t at = (uint32_t)(unit_random(&seed) % (24 + 60));

			frame[at] = (uint8_t)unit_random(&seed);
		}
		rig_mark(A);
		rig_give_frame(A, 0, frame, len - (uint32_t)(unit_random(&seed) % 4));
		rig_round(A);
		for (unsigned int i = 0; i < A->sent_count; i++, sent++) {
			struct packet pkt;
			uint32_t got;
			bool undone;

			assert_int_equal(load_le32(A->sent[i].data), MESSAGE_DATA);
			assert_true(rig_unseal(A, &A->sent[i], plain, &got));
			undone = plain[0] >> 4 == WIRE_KIND_IPV4_HINT ||
			         plain[0] >> 4 == WIRE_KIND_IPV6_HINT;
			if (undone)
				plain[0] -= WIRE_HINT_NIBBLE;
			assert_true(packet_parse_ip(plain, got, &pkt));
			assert_true(!undone || pkt.flags & PACKET_L4);
			assert_int_equal(plain[0] >> 4, pkt.family);
			assert_memory_equal(pkt.source, subnets[pkt.family == 6], 2);
		}
	}
	assert_true(sent > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(too_short),
		rig_connected_test(ethertypes),
		rig_connected_test(vlan_tags),
		rig_connected_test(not_to_the_router_mac),
		rig_connected_test(own_frames_come_back),
		rig_connected_test(every_first_byte),
		rig_connected_test(ethertype_lies),
		rig_connected_test(sender_is_no_unicast_mac),
		rig_connected_test(lengths_lie),
		rig_connected_test(link_padding_stays_here),
		rig_connected_test(spoofed_sources),
		rig_connected_test(range_says_what_lives_here),
		rig_connected_test(the_host_itself_may_send),
		rig_connected_test(martians),
		rig_connected_test(multicast),
		rig_connected_test(dhcp_answers_and_redirects),
		rig_connected_test(own_datagrams_come_back),
		rig_connected_test(destinations),
		rig_connected_test(endpoint_forgotten),
		rig_connected_test(what_is_sent),
		rig_connected_test(traffic_class),
		rig_connected_test(neighbours_share_a_send),
		rig_connected_test(superframes_are_cut_and_arrive),
		rig_connected_test(lone_packet_leaves_first),
		rig_connected_test(offload_requests_lie),
		rig_connected_test(key_out_of_counters),
		rig_connected_test(key_used_up),
		rig_connected_test(the_kernel_refuses),
		rig_connected_test(what_the_kernel_did_instead),
		rig_connected_test(refused_segments_are_remembered),
		rig_test(staged_until_the_session_is_up),
		rig_test(staged_packets_expire),
		rig_test(staged_packets_take_the_new_route),
		rig_test(one_silent_peer_has_its_share),
		rig_test(a_low_order_key_is_not_waited_for),
		rig_test(without_a_key_nothing_waits),
		rig_test(without_an_endpoint_nothing_waits),
		rig_connected_test(a_dead_peer_takes_nothing),
		rig_connected_test(a_burst_of_single_sends),
		rig_connected_test(packets_keep_their_session),
		rig_connected_test(nothing_but_ip_ever_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
