/* SPDX-License-Identifier: MIT */
/*
 * What the TAP is answered in our own name: ARP and neighbour solicitations for
 * remote addresses, with the router MAC, and for no others; and the errors that
 * tell a container its packet does not fit.
 */
#include <stdio.h>
#include "unit/rig_test.h"
#include "dataplane/packet.h"

static uint64_t event(const struct rig_host *host, enum event e)
{
	return stats_read(&host->device->stats.events[e]);
}

/* ---- ARP ---- */

/* The reply that frame @i must be, or what is wrong with it. */
static void assert_arp_reply(const struct rig *rig, unsigned int i, const char *sender,
                             const char *target)
{
	const struct rig_record *frame = &A->frames[i];
	const struct wire_arp *arp;
	uint8_t addr[16];

	assert_true(i < A->frame_count);
	assert_int_equal(frame->port, 0);
	assert_true(packet_parse_arp(frame->data + 10, frame->len - 10, &arp));
	assert_memory_equal(frame->data + 10, RIG_CONTAINER_MAC, 6);
	assert_memory_equal(frame->data + 16, A->net->router_mac, 6);
	assert_int_equal(load_be16(arp->operation.b), ARP_REPLY);
	assert_memory_equal(arp->sender_mac, A->net->router_mac, 6);
	rig_parse_addr(addr, target);
	assert_memory_equal(arp->sender_ip, addr, 4);
	assert_memory_equal(arp->target_mac, RIG_CONTAINER_MAC, 6);
	rig_parse_addr(addr, sender);
	assert_memory_equal(arp->target_ip, addr, 4);
}

static void ask(struct rig *rig, const char *sender, const char *target)
{
	const struct rig_arp arp = { ARP_REQUEST, NULL, NULL, sender, target };

	rig_mark(A);
	rig_give_arp(A, &arp);
	rig_round(A);
}

static void arp_is_answered_for_remote_addresses(void **state)
{
	static const char *const remote[] = { "172.20.102.2", "172.20.102.1", "172.20.102.255",
		                              "172.20.103.77" };
	struct rig *rig = *state;
	uint64_t answered = event(A, EVENT_ARP_ANSWERED);

	for (size_t i = 0; i < sizeof(remote) / sizeof(*remote); i++) {
		ask(rig, RIG_ADDR(0), remote[i]);
		assert_int_equal(A->frame_count, 1);
		assert_arp_reply(rig, 0, RIG_ADDR(0), remote[i]);
		assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	}
	/* A container that checks an address before it takes it, and the host itself. */
	ask(rig, "0.0.0.0", "172.20.102.2");
	assert_arp_reply(rig, 0, "0.0.0.0", "172.20.102.2");
	ask(rig, RIG_GATEWAY(0), "172.20.102.2");
	assert_arp_reply(rig, 0, RIG_GATEWAY(0), "172.20.102.2");
	assert_int_equal(event(A, EVENT_ARP_ANSWERED) - answered, 6);
}

static void arp_is_never_answered_for_others(void **state)
{
	static const char *const others[] = {
		"172.20.101.1", /* the gateway */
		"172.20.101.2", /* its own */
		"172.20.101.3", /* a neighbour */
		"172.20.104.1", /* nobody's, so it lives here */
		"10.9.0.1", /* a peer's, in no subnet */
		"172.21.102.2", /* another network's */
		"192.0.2.1",    "0.0.0.0", "255.255.255.255", "224.0.0.1",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		ask(rig, RIG_ADDR(0), others[i]);
		assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
	}
}

/* The gateway of every host may be the same .1, and a peer's AllowedIPs may hold it. */
static void a_gateway_is_nobodys_to_answer(void **state)
{
	static const struct rig_options options = { .more_allowed = { "172.20.101.1/32" } };
	struct rig *rig = *state;

	rig_publish(A, &options);
	ask(rig, RIG_ADDR(0), RIG_GATEWAY(0));
	assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
}

static void what_lives_here_is_not_answered(void **state)
{
	static const struct rig_options options = { .more_allowed = { "172.20.101.128/25" },
		                                    .ranges = { "172.20.101.0/24" } };
	struct rig *rig = *state;

	rig_publish(A, &options);
	ask(rig, RIG_ADDR(0), "172.20.101.130");
	assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
	ask(rig, RIG_ADDR(0), "172.20.102.2");
	assert_int_equal(A->frame_count, 1);
}

static void arp_replies_are_not_answered(void **state)
{
	const struct rig_arp arp = { ARP_REPLY, NULL, NULL, RIG_ADDR(0), "172.20.102.2" };
	struct rig *rig = *state;

	rig_mark(A);
	rig_give_arp(A, &arp);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
}

static void arp_lies(void **state)
{
	static const uint8_t other[6] = { 2, 0x42, 0xac, 0x14, 0x65, 9 };
	static const struct rig_arp lies[] = {
		/* Another's MAC inside, and outside. */
		{ ARP_REQUEST, NULL, other, RIG_ADDR(0), "172.20.102.2" },
		{ ARP_REPLY, NULL, other, RIG_ADDR(0), "172.20.102.2" },
		{ ARP_REQUEST, other, NULL, RIG_ADDR(0), "172.20.102.2" },
		/* An address that lives elsewhere: answering for remote ones is ours. */
		{ ARP_REPLY, NULL, NULL, "172.20.102.2", RIG_ADDR(0) },
		{ ARP_REQUEST, NULL, NULL, "172.20.102.2", "172.20.102.2" },
		{ ARP_REQUEST, NULL, NULL, "172.20.103.1", "172.20.102.2" },
		{ ARP_REPLY, NULL, NULL, "192.0.2.1", RIG_ADDR(0) },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		rig_mark(A);
		rig_give_arp(A, &lies[i]);
		rig_round(A);
		if (!rig_only_dropped(A, DROP_OUT_ARP, 1, RIG_NET))
			fail_msg("lie %zu", i);
	}
}

static void arp_malformed(void **state)
{
	static const struct {
		uint8_t at, value;
	} rows[] = { { 1, 6 }, { 3, 1 }, { 4, 8 }, { 5, 16 }, { 7, 3 }, { 7, 0 }, { 6, 1 } };
	struct rig *rig = *state;
	uint8_t frame[64];

	for (size_t i = 0; i <= sizeof(rows) / sizeof(*rows); i++) {
		uint8_t body[28] = { 0, 1, 8, 0, 6, 4, 0, 1, 2, 0x42, 0xac, 0x14, 0x65, 2 };
		uint32_t len = sizeof(body);

		if (i < sizeof(rows) / sizeof(*rows))
			body[rows[i].at] = rows[i].value;
		else
			len--;
		rig_mark(A);
		rig_give_frame(A, 0, frame,
		               rig_make_frame(frame, RIG_BROADCAST_MAC, RIG_CONTAINER_MAC,
		                              ETHERTYPE_WIRE_ARP, body, len));
		rig_round(A);
		assert_true(rig_only_dropped(A, DROP_OUT_MALFORMED, 1, RIG_NET));
	}
}

/* The bridge's own addresses are known by netlink; no container may teach them. */
static void a_container_cannot_be_the_gateway(void **state)
{
	const struct rig_arp arp = { ARP_REPLY, NULL, NULL, RIG_GATEWAY(1), RIG_GATEWAY(1) };
	struct rig *rig = *state;
	uint8_t ip[128];

	rig_give_arp(B, &arp);
	rig_round(B);
	rig_mark(B);
	rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_GATEWAY(1), 10), 0);
	assert_int_equal(B->frame_count, 1);
	assert_memory_equal(B->frames[0].data + 10, RIG_BRIDGE_MAC, 6);
}

/* Nor take a neighbour's address while that is there: the old MAC is asked first. */
static void a_container_cannot_take_anothers_address(void **state)
{
	static const uint8_t thief[6] = { 2, 0x42, 0xac, 0x14, 0x66, 99 };
	const struct rig_arp claim = { ARP_REPLY, thief, thief, RIG_ADDR(1), RIG_ADDR(1) };
	struct rig *rig = *state;
	uint8_t ip[128];

	rig_mark(B);
	rig_give_arp(B, &claim);
	rig_round(B);
	assert_int_equal(B->frame_count, 1);
	assert_memory_equal(B->frames[0].data + 10, RIG_CONTAINER_MAC, 6);
	rig_learn(B, RIG_ADDR(1)); /* it answers */
	rig->now_ns += RIG_SECOND;
	rig_round(B);
	rig_mark(B);
	rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10), 0);
	assert_int_equal(B->frame_count, 1);
	assert_memory_equal(B->frames[0].data + 10, RIG_CONTAINER_MAC, 6);
}

/* ---- neighbour discovery ---- */

struct solicit {
	uint8_t type;
	uint8_t hop_limit;
	const char *from, *to, *target;
	uint8_t option; /* type of the link-layer address; 0: none */
	const uint8_t *link; /* NULL: the container's */
	uint8_t flags;
};

static void give_nd_from(struct rig *rig, const uint8_t *source, const struct solicit *nd)
{
	uint8_t body[4 + 16 + 8] = { nd->flags }, ip[128], frame[160];
	static const uint8_t all[6] = { 0x33, 0x33, 0xff, 0, 0, 2 };
	uint32_t len = nd->option ? 28 : 20;

	rig_parse_addr(body + 4, nd->target);
	body[20] = nd->option;
	body[21] = 1;
	memcpy(body + 22, nd->link ? nd->link : source, 6);
	rig_mark(A);
	rig_give_frame(
		A, 0, frame,
		rig_make_frame(frame, all, source, ETHERTYPE_WIRE_IPV6, ip,
	                       rig_make_icmpv6(ip, nd->from, nd->to, nd->type,
	                                       nd->hop_limit ? nd->hop_limit : 255, body, len)));
	rig_round(A);
}

static void give_nd(struct rig *rig, const struct solicit *nd)
{
	give_nd_from(rig, RIG_CONTAINER_MAC, nd);
}

static void assert_advert(struct rig *rig, const char *to, const char *target, bool solicited)
{
	struct packet pkt;
	struct packet_nd nd;
	uint8_t addr[16];

	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->frame_count, 1);
	assert_memory_equal(A->frames[0].data + 16, A->net->router_mac, 6);
	assert_true(packet_parse_ip(A->frames[0].data + 24, A->frames[0].len - 24, &pkt));
	assert_true(packet_parse_nd(&pkt, &nd));
	assert_int_equal(nd.type, ICMPV6_NEIGH_ADVERT);
	rig_parse_addr(addr, target);
	assert_memory_equal(nd.target, addr, 16);
	assert_non_null(nd.link);
	assert_memory_equal(nd.link, A->net->router_mac, 6);
	rig_parse_addr(addr, to);
	assert_memory_equal(pkt.destination, addr, 16);
	assert_int_equal((nd.flags & ND_SOLICITED) != 0, solicited);
}

static void nd_is_answered_for_remote_addresses(void **state)
{
	const struct solicit plain = { 135,           0, RIG_ADDR6(0), "ff02::1:ff00:2",
		                       "fd20:0:2::2", 1, NULL,         0 };
	const struct solicit third = { 135,  0, RIG_ADDR6(0), "ff02::1:ff00:77", "fd20:0:3::77", 1,
		                       NULL, 0 };
	const struct solicit direct = { 135,           0, RIG_ADDR6(0), "fd20:0:2::2",
		                        "fd20:0:2::2", 0, NULL,         0 };
	const struct solicit link_local = {
		135, 0, "fe80::42:acff:fe14:6502", "ff02::1:ff00:2", "fd20:0:2::2", 1, NULL, 0
	};
	const struct solicit probe = { 135, 0, "::", "ff02::1:ff00:2", "fd20:0:2::2", 0, NULL, 0 };
	struct rig *rig = *state;
	uint64_t answered = event(A, EVENT_ND_ANSWERED);

	give_nd(rig, &plain);
	assert_advert(rig, RIG_ADDR6(0), "fd20:0:2::2", true);
	give_nd(rig, &third);
	assert_advert(rig, RIG_ADDR6(0), "fd20:0:3::77", true);
	give_nd(rig, &direct);
	assert_advert(rig, RIG_ADDR6(0), "fd20:0:2::2", true);
	give_nd(rig, &link_local);
	assert_advert(rig, "fe80::42:acff:fe14:6502", "fd20:0:2::2", true);
	/* Duplicate address detection of what a peer has: taken. */
	give_nd(rig, &probe);
	assert_advert(rig, "ff02::1", "fd20:0:2::2", false);
	assert_int_equal(event(A, EVENT_ND_ANSWERED) - answered, 5);
}

static void nd_is_never_answered_for_others(void **state)
{
	static const char *const others[] = {
		"fd20:0:1::1", "fd20:0:1::2", "fd20:0:1::3",
		"fd20:0:9::1", "2001:db8::1", "fe80::1",
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		const struct solicit nd = { 135,       0, RIG_ADDR6(0), "ff02::1:ff00:2",
			                    others[i], 1, NULL,         0 };

		give_nd(rig, &nd);
		assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
	}
}

/* What we ask containers with comes from a link-local address of our own. */
static void our_own_link_local_address_is_answered(void **state)
{
	struct rig *rig = *state;
	const uint8_t *mac = A->net->router_mac;
	char text[64];
	const struct solicit nd = { 135, 0, RIG_ADDR6(0), "ff02::1:ff00:2", text, 1, NULL, 0 };

	snprintf(text, sizeof(text), "fe80::%02x%02x:%02xff:fe%02x:%02x%02x", mac[0] ^ 2, mac[1],
	         mac[2], mac[3], mac[4], mac[5]);
	give_nd(rig, &nd);
	assert_advert(rig, RIG_ADDR6(0), text, true);
}

static void nd_lies(void **state)
{
	static const uint8_t other[6] = { 2, 0x42, 0xac, 0x14, 0x65, 9 };
	static const struct solicit lies[] = {
		/* Another's MAC. */
		{ 135, 0, RIG_ADDR6(0), "ff02::1:ff00:2", "fd20:0:2::2", 1, other, 0 },
		{ 136, 0, RIG_ADDR6(0), "ff02::1", RIG_ADDR6(0), 2, other, 0x20 },
		/* A remote address, as source and as target. */
		{ 135, 0, "fd20:0:2::5", "ff02::1:ff00:2", "fd20:0:2::2", 1, NULL, 0 },
		{ 136, 0, RIG_ADDR6(0), "ff02::1", "fd20:0:2::2", 2, NULL, 0x20 },
		{ 136, 0, "fd20:0:2::2", "ff02::1", "fd20:0:2::2", 2, NULL, 0x20 },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		give_nd(rig, &lies[i]);
		if (!rig_only_dropped(A, DROP_OUT_ARP, 1, RIG_NET))
			fail_msg("lie %zu", i);
	}
}

/* A packet from the tunnel for the container: the MAC that it is written to. */
static const uint8_t *mac_of_delivery(struct rig *rig)
{
	uint8_t ip[128];

	rig_mark(A);
	rig_tell(B, ip, rig_make_udp(ip, RIG_ADDR6(1), RIG_ADDR6(0), 10), 0);
	assert_true(A->frame_count >= 1);
	return A->frames[0].data + 10;
}

/* Asked alone, Linux answers without its MAC in an option: its frame says the same. */
static const struct solicit bare_answer = { 136,          0, RIG_ADDR6(0), "fe80::1",
	                                    RIG_ADDR6(0), 0, NULL,         0x60 };

static void an_answer_without_option_confirms(void **state)
{
	struct rig *rig = *state;
	uint64_t probes;

	rig_learn(A, RIG_ADDR6(0));
	rig->now_ns += 6 * RIG_SECOND;
	probes = event(A, EVENT_PROBE_SENT);
	assert_memory_equal(mac_of_delivery(rig), RIG_CONTAINER_MAC, 6);
	assert_int_equal(event(A, EVENT_PROBE_SENT) - probes, 1);
	give_nd(rig, &bare_answer);
	/* Nothing is left to be asked. */
	rig->now_ns += RIG_SECOND;
	rig_round(A);
	assert_int_equal(event(A, EVENT_PROBE_SENT) - probes, 1);
	assert_memory_equal(mac_of_delivery(rig), RIG_CONTAINER_MAC, 6);
}

static void an_answer_without_option_defends(void **state)
{
	static const uint8_t thief[6] = { 2, 0x42, 0xac, 0x14, 0x65, 99 };
	static const struct solicit claim = { 136,          0, RIG_ADDR6(0), "ff02::1",
		                              RIG_ADDR6(0), 2, NULL,         0x20 };
	struct rig *rig = *state;

	rig_learn(A, RIG_ADDR6(0));
	give_nd_from(rig, thief, &claim);
	assert_int_equal(A->frame_count, 1);
	assert_memory_equal(A->frames[0].data + 10, RIG_CONTAINER_MAC, 6);
	give_nd(rig, &bare_answer);
	rig->now_ns += RIG_SECOND;
	rig_round(A);
	assert_memory_equal(mac_of_delivery(rig), RIG_CONTAINER_MAC, 6);
}

/* It claims no more by saying less. */
static void lies_without_option(void **state)
{
	static const struct solicit remote = { 136,           0, "fd20:0:2::2", "fe80::1",
		                               "fd20:0:2::2", 0, NULL,          0x60 };
	static const struct solicit gateway = {
		136, 0, RIG_GATEWAY6(0), "fe80::1", RIG_GATEWAY6(0), 0, NULL, 0x60
	};
	struct rig *rig = *state;
	uint8_t ip[128];

	give_nd(rig, &remote);
	assert_true(rig_only_dropped(A, DROP_OUT_ARP, 1, RIG_NET));
	give_nd(rig, &gateway);
	rig_mark(A);
	rig_tell(B, ip, rig_make_udp(ip, RIG_ADDR6(1), RIG_GATEWAY6(0), 10), 0);
	assert_int_equal(A->frame_count, 1);
	assert_memory_equal(A->frames[0].data + 10, RIG_BRIDGE_MAC, 6);
}

/* Router discovery, redirects, and what RFC 4861 calls invalid, stay on their bridge. */
static void other_discovery_stays(void **state)
{
	static const struct solicit rows[] = {
		{ 133, 0, RIG_ADDR6(0), "ff02::2", "fd20:0:2::2", 0, NULL, 0 },
		{ 134, 0, RIG_ADDR6(0), "ff02::1", "fd20:0:2::2", 0, NULL, 0 },
		{ 137, 0, RIG_ADDR6(0), "fd20:0:2::2", "fd20:0:2::2", 0, NULL, 0 },
		{ 135, 254, RIG_ADDR6(0), "ff02::1:ff00:2", "fd20:0:2::2", 1, NULL, 0 },
		{ 135, 0, RIG_ADDR6(0), "ff02::1:ff00:2", "ff02::1", 1, NULL, 0 },
		{ 135, 0, "::", "ff02::1:ff00:2", "fd20:0:2::2", 1, NULL, 0 },
		{ 136, 0, RIG_ADDR6(0), "ff02::1", RIG_ADDR6(0), 2, NULL, 0x40 },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		give_nd(rig, &rows[i]);
		if (!rig_only_dropped(A, DROP_OUT_ND, 1, RIG_NET))
			fail_msg("row %zu", i);
	}
}

/* ---- too big ---- */

static void say_big(struct rig *rig, bool v6, uint32_t payload, bool df)
{
	uint8_t ip[4096];
	uint32_t len = v6 ? rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), payload)
	                  : rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), payload);

	if (!v6 && df) {
		ip[6] = 0x40;
		packet_ipv4_checksum_fill(ip);
	}
	rig_give_ip(A, ip, len);
	rig_round(A);
}

static void assert_too_big(struct rig *rig, bool v6, uint32_t mtu)
{
	uint8_t *ip = A->frames[0].data + 24;
	struct packet pkt;
	uint8_t addr[16];

	assert_int_equal(A->frame_count, 1);
	assert_memory_equal(A->frames[0].data + 10, RIG_CONTAINER_MAC, 6);
	assert_memory_equal(A->frames[0].data + 16, A->net->router_mac, 6);
	assert_true(packet_parse_ip(ip, A->frames[0].len - 24, &pkt));
	/* From the packet's own destination: the gateway's address would be martian to the host. */
	rig_parse_addr(addr, v6 ? RIG_ADDR6(1) : RIG_ADDR(1));
	assert_memory_equal(pkt.source, addr, v6 ? 16 : 4);
	rig_parse_addr(addr, v6 ? RIG_ADDR6(0) : RIG_ADDR(0));
	assert_memory_equal(pkt.destination, addr, v6 ? 16 : 4);
	assert_int_equal(ip[pkt.l4], v6 ? ICMPV6_TOO_BIG : ICMPV4_UNREACHABLE);
	assert_int_equal(ip[pkt.l4 + 1], v6 ? 0 : ICMPV4_FRAG_NEEDED);
	assert_int_equal(load_be32(ip + pkt.l4 + 4), mtu);
}

static void too_big_is_answered(void **state)
{
	static const struct rig_options options = { .mtu = 1300 };
	struct rig *rig = *state;

	rig_mark(A);
	say_big(rig, false, 1420 - 28, true);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(A->frame_count, 0);
	rig_mark(A);
	say_big(rig, false, 1420 - 27, true);
	assert_true(rig_counted(A, DROP_OUT_TOO_BIG, 1, RIG_PEER | RIG_NET));
	assert_int_equal(A->sent_count, 0);
	assert_int_equal(event(A, EVENT_TOO_BIG_SENT), 1);
	assert_too_big(rig, false, 1420);
	rig_mark(A);
	say_big(rig, true, 1420 - 47, false);
	assert_true(rig_counted(A, DROP_OUT_TOO_BIG, 1, RIG_PEER | RIG_NET));
	assert_too_big(rig, true, 1420);
	/* The network's MTU, where it is less than the peer's; and the peer's. */
	rig_publish(A, &options);
	rig_mark(A);
	say_big(rig, false, 1300 - 27, true);
	assert_too_big(rig, false, 1300);
	peer_set_mtu(A->peer, 1200);
	rig_mark(A);
	say_big(rig, false, 1200 - 27, true);
	assert_too_big(rig, false, 1200);
}

static void what_may_be_cut_is(void **state)
{
	static const uint8_t mss[] = { TCP_OPTION_MSS, 4, 0x05, 0xb4 };
	struct rig *rig = *state;
	uint8_t ip[4096];
	uint32_t len;

	rig_mark(A);
	say_big(rig, false, 3000, false);
	assert_int_equal(A->sent_count, 3);
	assert_int_equal(event(A, EVENT_FRAGMENTED), 1);
	rig_give_ip(A, ip, rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 3000));
	rig_round(A);
	assert_int_equal(A->sent_count, 6);
	assert_int_equal(event(A, EVENT_CUT), 1);
	/* A SYN with an MSS of 1460, where 1380 fit. */
	len = rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_SYN, sizeof(mss));
	ip[32] = 0x60;
	memcpy(ip + 40, mss, sizeof(mss));
	rig_give_ip(A, ip, len);
	rig_round(A);
	assert_int_equal(A->sent_count, 7);
	assert_int_equal(event(A, EVENT_MSS_CLAMPED), 1);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->frame_count, 0);
}

static void errors_are_limited(void **state)
{
	struct rig *rig = *state;
	unsigned int answered = 0;

	rig_mark(A);
	for (int i = 0; i < 80; i++)
		say_big(rig, false, 2000, true);
	assert_int_equal(A->frame_count, 50);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG), 50);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG_QUIET), 30);
	rig_mark(A);
	say_big(rig, false, 2000, true);
	assert_true(rig_only_dropped(A, DROP_OUT_TOO_BIG_QUIET, 1, RIG_PEER | RIG_NET));
	/* A hundred a second from then on, however many are asked for. */
	rig_mark(A);
	for (int i = 0; i < 1000; i++) {
		rig->now_ns += RIG_MS;
		say_big(rig, false, 2000, true);
	}
	answered = A->frame_count;
	assert_in_range(answered, 99, 101);
	/* And never more than the burst at once, however long it was quiet. */
	rig->now_ns += 3 * RIG_SECOND;
	rig_mark(A);
	for (int i = 0; i < 80; i++)
		say_big(rig, false, 2000, true);
	assert_in_range(packets(A), 50, 51);
}

/* An oversize ICMP error gets none, but is not lost: it goes out whole. */
static void errors_about_errors_are_not_made(void **state)
{
	struct rig *rig = *state;
	static const uint8_t body[1500] = { 0 };
	uint8_t ip[2048];

	rig_mark(A);
	rig_give_ip(A, ip,
	            rig_make_icmpv6(ip, RIG_ADDR6(0), RIG_ADDR6(1), 1, 64, body, sizeof(body)));
	rig_round(A);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(event(A, EVENT_OVERSIZE_SENT), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(arp_is_answered_for_remote_addresses),
		rig_connected_test(arp_is_never_answered_for_others),
		rig_connected_test(a_gateway_is_nobodys_to_answer),
		rig_connected_test(what_lives_here_is_not_answered),
		rig_connected_test(arp_replies_are_not_answered),
		rig_connected_test(arp_lies),
		rig_connected_test(arp_malformed),
		rig_connected_test(a_container_cannot_be_the_gateway),
		rig_connected_test(a_container_cannot_take_anothers_address),
		rig_connected_test(nd_is_answered_for_remote_addresses),
		rig_connected_test(nd_is_never_answered_for_others),
		rig_connected_test(our_own_link_local_address_is_answered),
		rig_connected_test(nd_lies),
		rig_connected_test(an_answer_without_option_confirms),
		rig_connected_test(an_answer_without_option_defends),
		rig_connected_test(lies_without_option),
		rig_connected_test(other_discovery_stays),
		rig_connected_test(too_big_is_answered),
		rig_connected_test(what_may_be_cut_is),
		rig_connected_test(errors_are_limited),
		rig_connected_test(errors_about_errors_are_not_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
