/* SPDX-License-Identifier: MIT */
/*
 * The way out of a bridged network: whom a frame goes to, in what, and what stops it
 * (pitfall_29: each reason has a test that sees its counter rise, and no other).
 */
#include "unit/frames.h"

static struct built f;
static uint8_t plain[FRAME_MAX];

/* Host 0's frame is dropped for @reason and for nothing else, and goes nowhere. */
static void assert_stopped(struct rig *rig, enum drop reason, uint64_t n, unsigned int whom)
{
	say(A, &f);
	assert_true(rig_counted(A, reason, n, whom));
	assert_int_equal(sent_frames(A), 0);
}

/* It goes out, and nothing is dropped: so many copies. */
static void assert_goes(struct rig *rig, unsigned int copies)
{
	say(A, &f);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(sent_frames(A), copies);
}

/* ---- where it goes ---- */

static void known_goes_to_one(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	know_mac(A, A->seg_third, station(2, 1));
	build_udp(&f, station(2, 1), station(0, 1), "10.7.0.2", "10.7.2.2", 61);
	assert_goes(rig, 1);
	assert_int_equal(sent_to(A, 0), 2);
	assert_non_null(sent_frame(A, 0, plain, &len));
	/* 8 + 14 + 28 + 61 bytes, and the pad says how many zeros there are. */
	assert_int_equal(len, 112);
	assert_memory_equal(plain, ((uint8_t[]){ 0x08, 0, 0, 0, 0, 0, 7, 1 }), 8);
	assert_memory_equal(plain + 8, built_frame(&f), built_len(&f));
	assert_int_equal(plain[111], 0);
	assert_int_equal(event_of(A, EVENT_FLOODED), 0);
	assert_int_equal(stats_read(&A->seg->tx_packets), 1);
}

static void broadcast_goes_to_all(void **state)
{
	struct rig *rig = *state;
	static uint8_t second[FRAME_MAX];
	uint32_t len, len2;

	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 300);
	assert_goes(rig, 2);
	assert_true(sent_to(A, 0) + sent_to(A, 1) == 3); /* hosts 1 and 2 */
	sent_frame(A, 0, plain, &len);
	sent_frame(A, 1, second, &len2);
	assert_int_equal(len, len2);
	assert_memory_equal(plain, second, len);
	assert_memory_equal(plain + 8, built_frame(&f), built_len(&f));
	assert_int_equal(event_of(A, EVENT_FLOODED), 2);
	assert_int_equal(stats_read(&A->seg_peer->flooded), 1);
	assert_int_equal(stats_read(&A->seg_third->flooded), 1);
}

static void unknown_unicast(void **state)
{
	const struct rig_options drop = { .guards.drop_unknown = true };
	struct rig *rig = *state;

	build_udp(&f, station(1, 9), station(0, 1), "10.7.0.2", "10.7.1.9", 30);
	assert_goes(rig, 2);
	rig_publish(A, &drop);
	assert_stopped(rig, DROP_OUT_UNKNOWN, 1, RIG_SEG);
	/* What is for all is not unknown. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	assert_goes(rig, 2);
	build_other(&f, all_nodes, station(0, 1), 60);
	assert_goes(rig, 2);
}

static void local_destinations(void **state)
{
	struct mac bridge;
	struct rig *rig = *state;

	memcpy(bridge.b, RIG_BRIDGE_MAC, 6);
	know_mac(A, &A->seg->local, station(0, 2));
	build_udp(&f, station(0, 2), station(0, 1), "10.7.0.2", "10.7.0.3", 30);
	assert_stopped(rig, DROP_OUT_LOCAL, 1, RIG_SEG);
	build_udp(&f, bridge, station(0, 1), "10.7.0.2", "10.7.0.1", 30);
	assert_stopped(rig, DROP_OUT_LOCAL, 1, RIG_SEG);
	/* Found by the fuzzer: to itself, of which nothing was known before. */
	build_udp(&f, station(0, 9), station(0, 9), "10.7.0.9", "10.7.0.9", 30);
	assert_stopped(rig, DROP_OUT_LOCAL, 1, RIG_SEG);
}

/* What a container answers to the daemon's own questions is heard and goes no further. */
static void answers_to_us(void **state)
{
	struct rig *rig = *state;
	struct fdb_place place;
	struct fdb_key key = fdb_key_ip(FDB_IPV4, (const uint8_t[]){ 10, 7, 0, 2 });
	struct mac us;

	memcpy(us.b, A->seg->router_mac, 6);
	build_arp(&f, us, station(0, 1), ARP_REPLY, "10.7.0.2", "0.0.0.0");
	assert_goes(rig, 0);
	assert_true(is_known(A, &key, &place));
	assert_ptr_equal(place.owner, &A->seg->local);
}

static void a_network_of_its_own(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	/* What is known in one is not known in the other. */
	know_mac(A, A->seg_third, station(2, 1));
	build_udp(&f, station(2, 1), station(0, 1), "10.7.0.2", "10.7.2.2", 61);
	say_on(A, RIG_PORT_OTHER, &f);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(sent_frames(A), 1);
	assert_int_equal(sent_to(A, 0), 1);
	sent_frame(A, 0, plain, &len);
	assert_memory_equal(plain, ((uint8_t[]){ 0x08, 0, 0, 0, 0, 0, 42, 1 }), 8);
}

static void without_members(void **state)
{
	const struct rig_options alone = { .without_members = true };
	struct rig *rig = *state;

	rig_publish(A, &alone);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	assert_goes(rig, 0);
}

/* ---- what stops it: the frame ---- */

static void too_short(void **state)
{
	struct rig *rig = *state;

	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	for (f.len = 1; f.len < 24; f.len++)
		assert_stopped(rig, DROP_OUT_SHORT, 1, RIG_SEG);
	build_other(&f, everyone, station(0, 1), 60);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 0);
	for (f.len = 24; f.len < 28; f.len++)
		assert_stopped(rig, DROP_OUT_SHORT, 1, RIG_SEG);
	/* Three tags are more than anyone has. */
	build_other(&f, everyone, station(0, 1), 60);
	for (int i = 0; i < 3; i++)
		build_tag(&f, ETHERTYPE_WIRE_VLAN, 0);
	assert_stopped(rig, DROP_OUT_SHORT, 1, RIG_SEG);
}

static void guards(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], body[12] = { 0 };

	build_udp(&f, everyone, everyone, "10.7.0.2", "10.7.1.2", 30);
	assert_stopped(rig, DROP_OUT_SOURCE_MAC, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 30);
	memcpy(f.bytes + 16, A->seg->router_mac, 6);
	assert_stopped(rig, DROP_OUT_SOURCE_MAC, 1, RIG_SEG);
	build_other(&f, (struct mac){ { 0x01, 0x80, 0xc2, 0, 0, 0 } }, station(0, 1), 60);
	assert_stopped(rig, DROP_OUT_LINK_CONTROL, 1, RIG_SEG);
	build_other(&f, everyone, station(0, 1), 60);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 5);
	assert_stopped(rig, DROP_OUT_VLAN, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 30);
	f.bytes[24] = 0x65;
	assert_stopped(rig, DROP_OUT_MALFORMED, 1, RIG_SEG);
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "10.7.0.2", "10.7.1.2");
	f.bytes[24 + 8] ^= 2; /* the sender's MAC */
	assert_stopped(rig, DROP_OUT_ARP, 1, RIG_SEG);
	build_ip(&f, all_nodes, station(0, 1), ip,
	         rig_make_icmpv6(ip, "fe80::2", "ff02::1", ICMPV6_ROUTER_ADVERT, 255, body, 12));
	assert_stopped(rig, DROP_OUT_ROUTER, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	rig_set_ports(f.bytes + 24, 67, 68);
	assert_stopped(rig, DROP_OUT_DHCP, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "127.0.0.1", "10.7.1.2", 30);
	assert_stopped(rig, DROP_OUT_MARTIAN, 1, RIG_SEG);
}

/* Permitted by name: this host's own member. */
static void permitted(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], body[12] = { 0 };

	atomic_store(&A->seg->local.may_route, true);
	build_ip(&f, all_nodes, station(0, 1), ip,
	         rig_make_icmpv6(ip, "fe80::2", "ff02::1", ICMPV6_ROUTER_ADVERT, 255, body, 12));
	assert_goes(rig, 2);
	atomic_store(&A->seg->local.may_serve_dhcp, true);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	rig_set_ports(f.bytes + 24, 67, 68);
	assert_goes(rig, 2);
}

/*
 * Any first byte under any ethertype that raw sockets can send: what comes out
 * begins with our own header, or not at all.
 */
static void every_first_byte(void **state)
{
	static const uint16_t types[] = { 0x0800, 0x86dd, 0x0806, 0x88b5, 0x0020 };
	struct rig *rig = *state;
	uint32_t len;

	for (unsigned int first = 0; first < 256; first++) {
		for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
			build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 30);
			store_be16(f.bytes + 22, types[t]);
			f.bytes[24] = (uint8_t)first;
			say(A, &f);
			rig->now_ns += 2 * RIG_MS; /* for the buckets */
			for (unsigned int i = 0; i < A->sent_count; i++) {
				assert_true(rig_unseal(A, &A->sent[i], plain, &len));
				if (plain[0] == WIRE_CONTROL_FIRST)
					continue;
				assert_memory_equal(plain, ((uint8_t[]){ 8, 0, 0, 0, 0, 0, 7 }), 7);
				assert_memory_equal(plain + 8, built_frame(&f), 14);
			}
		}
	}
}

static void offloads_that_lie(void **state)
{
	const struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM, .csum_start = 34 };
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 60);
	memcpy(f.bytes, &vnet, sizeof(vnet));
	assert_stopped(rig, DROP_OUT_GSO, 1, RIG_SEG | RIG_PEER);
}

/* The daemon's own datagrams to a peer whose endpoint lies behind the tunnel. */
static void own_datagrams(void **state)
{
	struct rig *rig = *state;
	struct mac bridge;

	memcpy(bridge.b, RIG_BRIDGE_MAC, 6);
	atomic_store(&A->device->udp_port, 51820);
	build_udp(&f, everyone, bridge, "10.7.0.1", "10.7.1.2", 30);
	rig_set_ports(f.bytes + 24, 51820, 51820);
	assert_stopped(rig, DROP_OUT_LOOP, 1, RIG_SEG);
	rig_set_ports(f.bytes + 24, 51821, 51820);
	assert_goes(rig, 2);
}

/* ---- what stops it: whose it is ---- */

static void macs_of_others(void **state)
{
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	build_udp(&f, everyone, station(1, 1), "10.7.0.2", "10.7.1.2", 30);
	assert_stopped(rig, DROP_OUT_MAC_OWNED, 1, RIG_SEG);
	/* And with it what the frame says besides. */
	build_arp(&f, everyone, station(1, 1), ARP_REPLY, "10.7.0.2", "10.7.1.2");
	assert_stopped(rig, DROP_OUT_MAC_OWNED, 1, RIG_SEG);
}

/* The owner is asked, whoever he is. */
static void owners_are_asked(void **state)
{
	struct rig *rig = *state;

	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	build_other(&f, everyone, station(1, 1), 60);
	say(A, &f);
	assert_int_equal(event_of(A, EVENT_CHECK_SENT), 1);
	assert_int_equal(A->sent_count, 1);
	assert_true(endpoint_same_remote(&A->sent[0].to, &B->address));
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	say(A, &f);
	assert_int_equal(event_of(A, EVENT_CHECK_SENT), 2);
}

/* Strict is for peers: AllowedIPs say nothing of who lives here. */
static void strict_is_for_peers(void **state)
{
	const struct rig_options options = { .guards.mode = GUARD_STRICT };
	struct rig *rig = *state;

	rig_publish(A, &options);
	build_udp(&f, everyone, station(0, 1), "10.7.1.9", "10.7.1.3", 30);
	assert_goes(rig, 2);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.9", "10.7.1.3");
	assert_goes(rig, 2);
}

static void addresses_of_others(void **state)
{
	const struct rig_options off = { .guards.mode = GUARD_OFF };
	struct rig *rig = *state;

	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	know(A, A->seg_peer, station(1, 1), "fd07::2");
	know(A, &A->seg->local, station(0, 3), "10.7.0.3");
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	assert_stopped(rig, DROP_OUT_BINDING, 1, RIG_SEG);
	build_nd(&f, all_nodes, station(0, 1), true, "fd07::2", "fd07::2");
	assert_stopped(rig, DROP_OUT_BINDING, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "10.7.1.2", "10.7.1.3", 30);
	assert_stopped(rig, DROP_OUT_BINDING, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 1), "fd07::2", "fd07::3", 30);
	assert_stopped(rig, DROP_OUT_BINDING, 1, RIG_SEG);
	/* A neighbour's on the same host is another's, too. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.3", "10.7.1.3", 30);
	assert_stopped(rig, DROP_OUT_BINDING, 1, RIG_SEG);
	build_udp(&f, everyone, station(0, 3), "10.7.0.3", "10.7.1.3", 30);
	assert_goes(rig, 2);
	/* Nobody's passes, and is not learned from data. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.4", "10.7.1.3", 30);
	assert_goes(rig, 2);
	build_udp(&f, everyone, station(0, 3), "10.7.0.4", "10.7.1.3", 30);
	assert_goes(rig, 2);
	rig_publish(A, &off);
	build_udp(&f, everyone, station(0, 1), "10.7.1.2", "10.7.1.3", 30);
	assert_goes(rig, 2);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	assert_goes(rig, 2);
	know_mac(A, A->seg_peer, station(1, 1));
	build_udp(&f, everyone, station(1, 1), "10.7.0.2", "10.7.1.2", 30);
	assert_stopped(rig, DROP_OUT_MAC_OWNED, 1, RIG_SEG);
}

static void quotas(void **state)
{
	struct rig *rig = *state;

	/* Of whose port nothing is known has a third of what is free. */
	fdb_set_quota(A->seg->fdb, 5);
	for (unsigned int n = 1; n <= 2; n++) {
		build_udp(&f, everyone, station(0, n), "10.7.0.2", "10.7.1.2", 30);
		assert_goes(rig, 2);
	}
	build_udp(&f, everyone, station(0, 3), "10.7.0.2", "10.7.1.2", 30);
	assert_stopped(rig, DROP_OUT_QUOTA, 1, RIG_SEG);
}

static void moves(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_ip(FDB_IPV4, (const uint8_t[]){ 10, 7, 1, 2 });
	struct fdb_question question;
	bool ask;

	know_mac(A, A->seg_peer, station(1, 1));
	know_mac(A, A->seg_peer, station(1, 2));
	for (unsigned int i = 0; i <= FDB_MOVES_MAX; i++)
		assert_true(fdb_claim(A->seg->fdb, A->seg_peer, &key, station(1, 1 + i % 2).b,
		                      FDB_LEARNED, rig->now_ns, &ask, &question) <= FDB_MOVED);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	assert_stopped(rig, DROP_OUT_MOVES, 1, RIG_SEG);
}

/* ---- buckets ---- */

static void storms(void **state)
{
	struct rig *rig = *state;

	build_other(&f, everyone, station(0, 1), 60);
	rig_mark(A);
	for (unsigned int i = 0; i < 1000; i++)
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
	rig_round(A);
	assert_int_equal(rig_dropped(A, DROP_OUT_FLOOD), 2 * (1000 - MEMBER_FLOOD_BURST));
	assert_int_equal(sent_frames(A), 2 * MEMBER_FLOOD_BURST);
	assert_int_equal(stats_read(&A->seg_peer->flooded), MEMBER_FLOOD_BURST);
	say(A, &f);
	assert_int_equal(rig_dropped(A, DROP_OUT_FLOOD), 2);
	assert_int_equal(sent_frames(A), 0);
}

static void a_bucket_each(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < MEMBER_FLOOD_BURST; i++)
		assert_true(bucket_take(&A->seg_peer->flood_out, MEMBER_FLOOD_COST_NS,
		                        MEMBER_FLOOD_BURST, rig->now_ns));
	build_other(&f, everyone, station(0, 1), 60);
	say(A, &f);
	assert_true(rig_counted(A, DROP_OUT_FLOOD, 1, RIG_SEG | RIG_PEER));
	assert_int_equal(sent_frames(A), 1);
	assert_int_equal(sent_to(A, 0), 2);
	/* What is known takes no token. */
	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 60);
	assert_goes(rig, 1);
	/* A token a millisecond. */
	rig->now_ns += MEMBER_FLOOD_COST_NS;
	build_other(&f, everyone, station(0, 1), 60);
	assert_goes(rig, 2);
}

/* ---- suppression ---- */

static void question_of(struct built *q, bool v6, const char *target)
{
	if (v6)
		build_nd(q, all_nodes, station(0, 1), false, "fd07::1:2", target);
	else
		build_arp(q, everyone, station(0, 1), ARP_REQUEST, "10.7.0.2", target);
}

static void arp_is_answered(void **state)
{
	struct rig *rig = *state;
	uint64_t saved = event_of(A, EVENT_SUPPRESSED);
	const struct wire_arp *arp;

	know(A, &A->seg->local, station(0, 1), "10.7.0.2");
	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	question_of(&f, false, "10.7.1.2");
	assert_goes(rig, 0);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED) - saved, 2);
	assert_int_equal(A->frame_count, 1);
	assert_int_equal(A->frames[0].port, RIG_PORT_SEG);
	assert_memory_equal(A->frames[0].data + 10, station(0, 1).b, 6);
	assert_memory_equal(A->frames[0].data + 16, station(1, 1).b, 6);
	assert_true(packet_parse_arp(A->frames[0].data + 10, A->frames[0].len - 10, &arp));
	assert_int_equal(load_be16(arp->operation.b), ARP_REPLY);
	assert_memory_equal(arp->sender_mac, station(1, 1).b, 6);
	assert_memory_equal(arp->sender_ip, ((uint8_t[]){ 10, 7, 1, 2 }), 4);
	assert_memory_equal(arp->target_mac, station(0, 1).b, 6);
	assert_memory_equal(arp->target_ip, ((uint8_t[]){ 10, 7, 0, 2 }), 4);
	/* Another is not known, so it is asked for. */
	question_of(&f, false, "10.7.1.3");
	assert_goes(rig, 2);
	assert_int_equal(A->frame_count, 0);
}

/* The answer in frame @i, its packet parsed. */
static void parse_advert(const struct rig_host *host, unsigned int i, struct packet *pkt,
                         struct packet_nd *nd)
{
	assert_true(packet_parse_ip(host->frames[i].data + 24, host->frames[i].len - 24, pkt));
	assert_true(packet_parse_nd(pkt, nd));
	assert_int_equal(nd->type, ICMPV6_NEIGH_ADVERT);
}

static void nd_is_answered(void **state)
{
	struct rig *rig = *state;
	struct packet_nd nd;
	struct packet pkt;
	uint8_t addr[16];

	know(A, A->seg_peer, station(1, 1), "fd07::2");
	question_of(&f, true, "fd07::2");
	assert_goes(rig, 0);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 2);
	assert_int_equal(A->frame_count, 1);
	parse_advert(A, 0, &pkt, &nd);
	/* Solicited, may override; not a router. */
	assert_int_equal(nd.flags, ND_SOLICITED | ND_OVERRIDE);
	assert_memory_equal(nd.link, station(1, 1).b, 6);
	assert_memory_equal(A->frames[0].data + 16, station(1, 1).b, 6);
	rig_parse_addr(addr, "fd07::1:2");
	assert_memory_equal(pkt.destination, addr, 16);
	rig_parse_addr(addr, "fd07::2");
	assert_memory_equal(nd.target, addr, 16);
}

/* Is that address taken? The answer goes to all, and is unsolicited. */
static void probes_are_answered(void **state)
{
	struct rig *rig = *state;
	struct packet_nd nd;
	struct packet pkt;

	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	know(A, A->seg_peer, station(1, 1), "fd07::2");
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "0.0.0.0", "10.7.1.2");
	assert_goes(rig, 0);
	assert_int_equal(A->frame_count, 1);
	build_nd(&f, all_nodes, station(0, 1), false, "::", "fd07::2");
	assert_goes(rig, 0);
	parse_advert(A, 0, &pkt, &nd);
	assert_int_equal(nd.flags, ND_OVERRIDE);
	assert_memory_equal(A->frames[0].data + 10, all_nodes.b, 6);
	/* Its owner may be gone: he has to say so himself. */
	peer_reset(A->peer);
	say(A, &f);
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(sent_frames(A), 1);
	assert_int_equal(sent_to(A, 0), 2);
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "0.0.0.0", "10.7.1.2");
	say(A, &f);
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(sent_frames(A), 1);
	/* An ordinary question is answered still. */
	question_of(&f, true, "fd07::2");
	say(A, &f);
	assert_int_equal(A->frame_count, 1);
}

static void not_to_be_answered(void **state)
{
	struct rig *rig = *state;
	struct mac us = station(0, 1);

	/* Gratuitous: it tells. */
	build_arp(&f, everyone, us, ARP_REQUEST, "10.7.0.2", "10.7.0.2");
	assert_goes(rig, 2);
	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	know(A, A->seg_peer, station(1, 1), "fd07::2");
	/* To one alone: is it there? */
	build_arp(&f, station(1, 1), us, ARP_REQUEST, "10.7.0.2", "10.7.1.2");
	assert_goes(rig, 1);
	assert_int_equal(A->frame_count, 0);
	build_nd(&f, station(1, 1), us, false, "fd07::1:2", "fd07::2");
	assert_goes(rig, 1);
	assert_int_equal(A->frame_count, 0);
	/* Answers are no questions. */
	build_arp(&f, everyone, us, ARP_REPLY, "10.7.0.2", "10.7.1.2");
	assert_goes(rig, 2);
	build_nd(&f, all_nodes, us, true, "fd07::1:2", "fd07::1:2");
	assert_goes(rig, 2);
	assert_goes(rig, 2);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 0);
}

/* Here the bridge has shown it to its owner already. */
static void questions_for_neighbours_stay(void **state)
{
	struct rig *rig = *state;

	know(A, &A->seg->local, station(0, 1), "10.7.0.2");
	know(A, &A->seg->local, station(0, 2), "10.7.0.3");
	question_of(&f, false, "10.7.0.3");
	assert_goes(rig, 0);
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 2);
}

static void questions_for_gateways_stay(void **state)
{
	struct rig *rig = *state;

	know(A, &A->seg->local, station(0, 1), "10.7.0.2");
	question_of(&f, false, "10.7.0.1");
	assert_stopped(rig, DROP_OUT_GATEWAY, 1, RIG_SEG);
	question_of(&f, true, "fe80::1");
	assert_stopped(rig, DROP_OUT_GATEWAY, 1, RIG_SEG);
	/* To a MAC that a gateway had, too. */
	build_arp(&f, station(1, 9), station(0, 1), ARP_REQUEST, "10.7.0.2", "10.7.0.1");
	assert_stopped(rig, DROP_OUT_GATEWAY, 1, RIG_SEG);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 0);
	/* The bridge's own news go out: elsewhere it may be no gateway. */
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "10.7.0.1", "10.7.0.1");
	assert_goes(rig, 2);
}

/* So many copies, each of which says of @addr that it is at station @number of ours. */
static void assert_tells(struct rig *rig, unsigned int number, const uint8_t addr[4])
{
	const struct wire_arp *arp;
	uint32_t len;

	assert_goes(rig, 2);
	for (unsigned int i = 0; i < 2; i++) {
		assert_non_null(sent_frame(A, i, plain, &len));
		assert_true(packet_parse_arp(plain + 8, len - 8, &arp));
		assert_int_equal(load_be16(arp->operation.b), ARP_REQUEST);
		assert_memory_equal(arp->sender_mac, station(0, number).b, 6);
		assert_memory_equal(arp->sender_ip, addr, 4);
		assert_memory_equal(arp->target_ip, addr, 4);
	}
}

/* Who asks for what is known has told nobody yet that he is there; or with another MAC. */
static void news_of_the_asker_go_out(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(0, 1).b);

	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	question_of(&f, false, "10.7.1.2");
	assert_tells(rig, 1, (uint8_t[]){ 10, 7, 0, 2 });
	assert_int_equal(A->frame_count, 1);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 0);
	question_of(&f, false, "10.7.1.2");
	assert_goes(rig, 0);
	assert_int_equal(A->frame_count, 1);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 2);
	/* By a question for a gateway, which stays here; once. */
	fdb_withdraw(A->seg->fdb, &A->seg->local, &key, rig->now_ns);
	build_arp(&f, everyone, station(0, 2), ARP_REQUEST, "10.7.0.2", "10.7.0.1");
	assert_tells(rig, 2, (uint8_t[]){ 10, 7, 0, 2 });
	build_arp(&f, everyone, station(0, 2), ARP_REQUEST, "10.7.0.2", "10.7.0.1");
	assert_stopped(rig, DROP_OUT_GATEWAY, 1, RIG_SEG);
	assert_int_equal(event_of(A, EVENT_SUPPRESSED), 2);
}

/* An answer in a router's place would say that it is none. */
static void routers_answer_themselves(void **state)
{
	const struct rig_options any = { .guards.any_router = true };
	struct rig *rig = *state;

	know(A, A->seg_peer, station(1, 1), "fe80::9");
	know(A, A->seg_peer, station(1, 1), "fd07::9");
	question_of(&f, true, "fe80::9");
	assert_goes(rig, 0);
	atomic_store(&A->seg_peer->may_route, true);
	assert_goes(rig, 2);
	/* Of a router's addresses only that of the link is the router's. */
	question_of(&f, true, "fd07::9");
	assert_goes(rig, 0);
	know(A, A->seg_peer, station(1, 1), "fd80::9");
	question_of(&f, true, "fd80::9");
	assert_goes(rig, 0);
	atomic_store(&A->seg_peer->may_route, false);
	rig_publish(A, &any);
	question_of(&f, true, "fe80::9");
	assert_goes(rig, 2);
}

static void answers_have_the_askers_tags(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	struct wire_vlans both = { 0 };
	struct rig *rig = *state;
	const struct wire_arp *arp;

	rig_publish(A, &tags);
	store_be16(both.tag[0].b, WIRE_VLANS_SERVICE | 10);
	store_be16(both.tag[1].b, 11);
	know_in(A, &A->seg->local, station(0, 1), "10.7.0.2", both);
	know_in(A, A->seg_peer, station(1, 1), "10.7.1.2", both);
	/* The same address in other VLANs is another's. */
	know(A, A->seg_third, station(2, 1), "10.7.1.2");
	know_in(A, A->seg_third, station(2, 1), "10.7.1.2", vlan(10));
	know_in(A, A->seg_third, station(2, 1), "10.7.1.2", vlan(11));
	question_of(&f, false, "10.7.1.2");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 11);
	build_tag(&f, ETHERTYPE_WIRE_QINQ, 0x200a);
	assert_goes(rig, 0);
	assert_int_equal(A->frame_count, 1);
	assert_memory_equal(A->frames[0].data + 22,
	                    ((uint8_t[]){ 0x88, 0xa8, 0x20, 0x0a, 0x81, 0, 0, 11, 8, 6 }), 10);
	assert_int_equal(A->frames[0].len, 10 + 22 + 28);
	assert_true(packet_parse_arp(A->frames[0].data + 18, A->frames[0].len - 18, &arp));
	assert_memory_equal(arp->sender_mac, station(1, 1).b, 6);
}

/* ---- sizes ---- */

static void superframes_are_cut(void **state)
{
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                  .gso_type = VNET_GSO_TCPV4,
		                  .gso_size = 1460,
		                  .csum_start = 34,
		                  .csum_offset = 16 };
	struct rig *rig = *state;
	uint32_t len, bytes = 0;

	know_mac(A, A->seg_peer, station(1, 1));
	build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 64000);
	memcpy(f.bytes, &vnet, sizeof(vnet));
	say(A, &f);
	assert_true(sent_frames(A) >= 46);
	for (unsigned int i = 0; i < sent_frames(A); i++) {
		struct packet pkt;

		sent_frame(A, i, plain, &len);
		assert_true(len <= PEER_MTU_DEFAULT);
		assert_memory_equal(plain + 8, built_frame(&f), 14);
		/* The peers have agreed: nobody computes a checksum. */
		assert_int_equal(plain[3], WIRE_VXLAN_CHECKSUM_UNDONE);
		assert_true(packet_parse_ip(plain + 22, len - 22 - plain[7], &pkt));
		assert_int_equal(pkt.len, len - 22 - plain[7]);
		bytes += pkt.len - pkt.payload;
	}
	assert_int_equal(bytes, 64000);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
}

/* A peer that has not acknowledged our hello may be one that knows no hints. */
static void no_hint_unasked(void **state)
{
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6 };
	struct rig *rig = *state;
	struct packet pkt;
	uint32_t len;

	atomic_store(&A->peer->hello.acked, false);
	know_mac(A, A->seg_peer, station(1, 1));
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 300);
	memset(f.bytes + 24 + 26, 0, 2);
	memcpy(f.bytes, &vnet, sizeof(vnet));
	assert_goes(rig, 1);
	sent_frame(A, 0, plain, &len);
	assert_int_equal(plain[3], 0);
	assert_true(packet_parse_ip(plain + 22, len - 22, &pkt));
	assert_true(packet_l4_checksum_ok(&pkt));
}

/* A copy is made anew where the last one will not do. */
static void a_hint_each(void **state)
{
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6 };
	struct rig *rig = *state;
	struct packet pkt;
	uint32_t len;

	atomic_store(&A->third->hello.acked, false);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 300);
	store_be16(f.bytes + 24 + 26, 0x1234);
	memcpy(f.bytes, &vnet, sizeof(vnet));
	assert_goes(rig, 2);
	for (unsigned int i = 0; i < 2; i++) {
		bool hint = sent_to(A, i) == 1;

		sent_frame(A, i, plain, &len);
		assert_int_equal(plain[3], hint ? WIRE_VXLAN_CHECKSUM_UNDONE : 0);
		assert_true(packet_parse_ip(plain + 22, len - 22, &pkt));
		assert_int_equal(packet_l4_checksum_ok(&pkt), !hint);
	}
}

/* The last copy may be sealed and sent before the next is made. */
static void a_flush_between_copies(void **state)
{
	const struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                        .gso_type = VNET_GSO_TCPV4,
		                        .gso_size = 50,
		                        .csum_start = 34,
		                        .csum_offset = 16 };
	struct rig *rig = *state;
	uint32_t len;

	know_mac(A, A->seg_peer, station(1, 1));
	for (unsigned int before = 450; before < 480; before += 2) {
		rig_mark(A);
		/* Sends that a burst has room for are fewer than it has packets now. */
		for (unsigned int i = 0; i < 2; i++) {
			build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2",
			          before / 2 * 50);
			memcpy(f.bytes, &vnet, sizeof(vnet));
			rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
		}
		build_other(&f, everyone, station(0, 1), 60);
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
		rig_round(A);
		assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
		assert_int_equal(sent_frames(A), before + 2);
		for (unsigned int i = before; i < before + 2; i++) {
			assert_non_null(sent_frame(A, i, plain, &len));
			assert_memory_equal(plain + 8, built_frame(&f), built_len(&f));
		}
	}
}

/* Checks an ICMP error in frame @i: about @f, to its sender, from whom it was for. */
static void assert_told(const struct rig_host *host, unsigned int i, uint32_t link_len,
                        uint32_t mtu)
{
	const uint8_t *data = host->frames[i].data + 10;
	struct packet pkt, about;

	assert_memory_equal(data, f.bytes + 16, 6);
	assert_memory_equal(data + 6, f.bytes + 10, 6);
	assert_memory_equal(data + 12, f.bytes + 22, link_len - 12);
	assert_true(packet_parse_ip(host->frames[i].data + 10 + link_len,
	                            host->frames[i].len - 10 - link_len, &pkt));
	assert_true(packet_parse_ip(f.bytes + 10 + link_len, f.len - 10 - link_len, &about));
	assert_memory_equal(pkt.source, about.destination, packet_addr_len(&pkt));
	assert_memory_equal(pkt.destination, about.source, packet_addr_len(&pkt));
	assert_int_equal(load_be32(pkt.data + pkt.l4 + 4), mtu);
}

static void too_big(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 1460);
	f.bytes[24 + 6] = 0x40; /* DF */
	packet_ipv4_checksum_fill(f.bytes + 24);
	assert_stopped(rig, DROP_OUT_TOO_BIG, 1, RIG_SEG | RIG_PEER);
	assert_int_equal(A->frame_count, 1);
	assert_told(A, 0, 14, PEER_MTU_DEFAULT - 22);
	build_udp(&f, station(1, 1), station(0, 1), "fd07::1:2", "fd07::2", 1460);
	assert_stopped(rig, DROP_OUT_TOO_BIG, 1, RIG_SEG | RIG_PEER);
	assert_told(A, 0, 14, PEER_MTU_DEFAULT - 22);
	rig_publish(A, &tags);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 11);
	assert_stopped(rig, DROP_OUT_TOO_BIG, 1, RIG_SEG | RIG_PEER);
	assert_told(A, 0, 18, PEER_MTU_DEFAULT - 26);
}

/* One error a frame, however many it did not go to; and the rate limit holds. */
static void too_big_for_all(void **state)
{
	struct rig *rig = *state;
	uint64_t told = 0;

	build_udp(&f, station(1, 9), station(0, 1), "fd07::1:2", "fd07::9", 1460);
	say(A, &f);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG), 1);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG_QUIET), 1);
	assert_int_equal(A->frame_count, 1);
	/* To whom it says less, it has to be said. */
	peer_set_mtu(A->third, 1300);
	peer_set_mtu(A->peer, 1310);
	say(A, &f);
	for (unsigned int i = 0; i < A->frame_count; i++)
		told = load_be32(A->frames[i].data + 24 + 44);
	assert_int_equal(told, 1280); /* IPv6 goes no lower */
	know_mac(A, A->seg_peer, station(1, 9));
	for (int i = 0; i < 100; i++)
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
	rig_mark(A);
	rig_round(A);
	assert_true(rig_dropped(A, DROP_OUT_TOO_BIG_QUIET) >= 50);
	assert_true(A->frame_count <= 50);
	/* What came to everyone on the link is not answered. */
	rig->now_ns += RIG_SECOND;
	memcpy(f.bytes + 10, everyone.b, 6);
	say(A, &f);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG_QUIET), 2);
	assert_int_equal(A->frame_count, 0);
}

/* What can be neither cut nor answered goes out whole; what may be fragmented, in fragments. */
static void over_long(void **state)
{
	struct rig *rig = *state;
	uint64_t oversize = event_of(A, EVENT_OVERSIZE_SENT);
	uint32_t len;

	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 9000);
	assert_goes(rig, 1);
	assert_int_equal(event_of(A, EVENT_OVERSIZE_SENT) - oversize, 1);
	sent_frame(A, 0, plain, &len);
	assert_memory_equal(plain + 8, built_frame(&f), built_len(&f));
	/* To two: counted for each. */
	build_udp(&f, (struct mac){ { 0x33, 0x33, 0, 0, 0, 5 } }, station(0, 1), "fd07::1:2",
	          "ff02::5", 8952);
	assert_goes(rig, 2);
	assert_int_equal(event_of(A, EVENT_OVERSIZE_SENT) - oversize, 3);
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 8972);
	assert_goes(rig, 7);
	assert_int_equal(event_of(A, EVENT_FRAGMENTED), 1);
	build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 8960);
	assert_goes(rig, 7);
	assert_int_equal(event_of(A, EVENT_CUT), 1);
	/* The largest that there is, of any kind. */
	build_other(&f, station(1, 1), station(0, 1), 65000);
	assert_goes(rig, 1);
}

static void a_tunnel_mtu_each(void **state)
{
	struct rig *rig = *state;
	uint32_t len, longest[RIG_HOSTS] = { 0 };

	peer_set_mtu(A->peer, 1000);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 2000);
	say(A, &f);
	for (unsigned int i = 0; i < sent_frames(A); i++) {
		unsigned int to = sent_to(A, i);

		sent_frame(A, i, plain, &len);
		if (len > longest[to])
			longest[to] = len;
	}
	assert_true(longest[1] > 600 && longest[1] <= 1000);
	assert_true(longest[2] > 1000 && longest[2] <= PEER_MTU_DEFAULT);
	assert_int_equal(sent_frames(A), 3 + 2);
}

/* The peer may say that it takes less, within reason. */
static void the_peers_mtu(void **state)
{
	static const uint32_t says[] = { 0, 1, 575, 576, 900, 1419, 1420, 1421, 65535 };
	static const uint32_t takes[] = { 1420, 576, 576, 576, 900, 1419, 1420, 1420, 1420 };
	struct rig *rig = *state;
	uint32_t len, longest;

	know_mac(A, A->seg_peer, station(1, 1));
	for (size_t row = 0; row < sizeof(says) / sizeof(*says); row++) {
		atomic_store(&A->peer->hello.tunnel_mtu, says[row]);
		build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 8000);
		say(A, &f);
		longest = 0;
		for (unsigned int i = 0; i < sent_frames(A); i++) {
			sent_frame(A, i, plain, &len);
			longest = len > longest ? len : longest;
		}
		assert_true(longest <= takes[row] && longest > takes[row] - 16);
	}
}

/*
 * A member that gets copies of what is for another has no say in how large that may
 * be: a small MTU in its hello costs it its copies, and tells their sender nothing.
 */
static void the_peers_mtu_is_for_its_own(void **state)
{
	const struct rig_options flooding = { .mtu = 1300 };
	struct rig *rig = *state;
	uint64_t told;

	atomic_store(&A->peer->hello.tunnel_mtu, 576);
	build_udp(&f, station(1, 9), station(0, 1), "10.7.0.2", "10.7.1.2", 1200);
	f.bytes[24 + 6] = 0x40; /* DF */
	packet_ipv4_checksum_fill(f.bytes + 24);
	told = event_of(A, EVENT_TOO_BIG_SENT);
	say(A, &f);
	assert_int_equal(sent_frames(A), 1);
	assert_int_equal(sent_to(A, 0), 2);
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG_QUIET), 1);
	/* What may be fragmented is. */
	f.bytes[24 + 6] = 0;
	packet_ipv4_checksum_fill(f.bytes + 24);
	assert_goes(rig, 3 + 1);
	/* Our own limit is told as ever, of the one who has none of its own. */
	build_udp(&f, station(1, 9), station(0, 1), "fd07::1:2", "fd07::2", 1250);
	rig_publish(A, &flooding);
	say(A, &f);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG), 1);
	assert_int_equal(A->frame_count, 1);
	assert_told(A, 0, 14, 1280);
	assert_int_equal(event_of(A, EVENT_TOO_BIG_SENT), told + 1);
	/* And when nobody takes as much as we could give. */
	atomic_store(&A->third->hello.tunnel_mtu, 700);
	say(A, &f);
	assert_int_equal(rig_dropped(A, DROP_OUT_TOO_BIG), 1);
	assert_int_equal(A->frame_count, 1);
	assert_told(A, 0, 14, 1280);
	/* And what is for this peer alone is answered by what it takes. */
	know_mac(A, A->seg_peer, station(1, 9));
	build_udp(&f, station(1, 9), station(0, 1), "10.7.0.2", "10.7.1.2", 1200);
	f.bytes[24 + 6] = 0x40;
	packet_ipv4_checksum_fill(f.bytes + 24);
	assert_stopped(rig, DROP_OUT_TOO_BIG, 1, RIG_SEG | RIG_PEER);
	assert_told(A, 0, 14, 576 - 22);
}

static void the_networks_mtu(void **state)
{
	const struct rig_options options = { .mtu = 800 };
	struct rig *rig = *state;
	uint32_t len;

	rig_publish(A, &options);
	know_mac(A, A->seg_peer, station(1, 1));
	build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 3000);
	say(A, &f);
	sent_frame(A, 0, plain, &len);
	assert_int_equal(len, 800);
}

static void ecn_and_no_more(void **state)
{
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	for (unsigned int tos = 0; tos < 256; tos += 5) {
		build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 30);
		rig_set_tos(f.bytes + 24, (uint8_t)tos);
		assert_goes(rig, 1);
		assert_int_equal(A->sent[0].tos, tos & 3);
	}
	build_other(&f, station(1, 1), station(0, 1), 60);
	assert_goes(rig, 1);
	assert_int_equal(A->sent[0].tos, 0);
}

static void tags_and_odd_frames(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	struct rig *rig = *state;
	uint32_t len;

	rig_publish(A, &tags);
	know_mac(A, A->seg_peer, station(1, 1));
	for (unsigned int n = 0; n < 3; n++) {
		build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 77);
		for (unsigned int i = 0; i < n; i++)
			build_tag(&f, ETHERTYPE_WIRE_VLAN, (uint16_t)(10 + i));
		assert_goes(rig, 1);
		sent_frame(A, 0, plain, &len);
		assert_int_equal(len - plain[7], 8 + built_len(&f));
		assert_memory_equal(plain + 8, built_frame(&f), built_len(&f));
	}
	/* A frame of nothing, and one of 802.3. */
	build_other(&f, station(1, 1), station(0, 1), 0);
	assert_goes(rig, 1);
	sent_frame(A, 0, plain, &len);
	assert_int_equal(len - plain[7], 8 + 14);
	build_other(&f, station(1, 1), station(0, 1), 46);
	store_be16(f.bytes + 22, 46);
	assert_goes(rig, 1);
}

/* ---- what waits ---- */

static unsigned int delivered_to(const struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->frame_count; i++)
		n += host->frames[i].port == RIG_PORT_SEG;
	return n;
}

/* Without sessions a broadcast waits for each; each has it once. */
static void each_waits_for_its_own(void **state)
{
	struct rig *rig = *state;

	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	assert_int_equal(A->peer->staged.count, 1);
	assert_int_equal(A->third->staged.count, 1);
	assert_int_equal(event_of(A, EVENT_FLOODED), 2);
	rig_mark(B);
	rig_mark(C);
	rig_pump(rig);
	assert_int_equal(delivered_to(B), 1);
	assert_int_equal(delivered_to(C), 1);
	assert_int_equal(B->frames[0].len, f.len);
	assert_memory_equal(B->frames[0].data + 10, built_frame(&f), built_len(&f));
	assert_int_equal(A->peer->staged.count, 0);
	assert_int_equal(event_of(A, EVENT_FLOODED), 2);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_true(rig_counted(C, DROP_NONE, 0, RIG_NOBODY));
}

static void known_waits_too(void **state)
{
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	say(A, &f);
	assert_int_equal(A->peer->staged.count, 1);
	assert_int_equal(A->third->staged.count, 0);
	rig_mark(B);
	rig_mark(C);
	rig_pump(rig);
	assert_int_equal(delivered_to(B), 1);
	assert_int_equal(delivered_to(C), 0);
}

/* What was known and is not any more goes where it waited, not to all. */
static void forgotten_while_it_waited(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(1, 1).b);

	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	say(A, &f);
	fdb_withdraw(A->seg->fdb, A->seg_peer, &key, rig->now_ns);
	rig_mark(B);
	rig_mark(C);
	rig_pump(rig);
	assert_int_equal(delivered_to(B), 1);
	assert_int_equal(delivered_to(C), 0);
}

/* A copy of what was flooded is not sent to where the station turned up. */
static void found_while_it_waited(void **state)
{
	struct rig *rig = *state;

	build_other(&f, station(1, 1), station(0, 1), 100);
	say(A, &f);
	know_mac(A, A->seg_peer, station(1, 1));
	rig_mark(B);
	rig_mark(C);
	rig_pump(rig);
	assert_int_equal(delivered_to(B), 1);
	assert_int_equal(delivered_to(C), 1);
}

/* Nor is a question answered here that is on its way already. */
static void answered_while_it_waited(void **state)
{
	struct rig *rig = *state;

	question_of(&f, false, "10.7.1.2");
	say(A, &f);
	know(A, A->seg_peer, station(1, 1), "10.7.1.2");
	rig_mark(B);
	rig_mark(C);
	rig_pump(rig);
	assert_int_equal(A->frame_count, 0);
	assert_int_equal(delivered_to(B), 1);
	assert_int_equal(delivered_to(C), 1);
}

/* A container that is gone does not come back by what it said before. */
static void withdrawn_while_it_waited(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(0, 1).b);
	struct fdb_place place;

	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	assert_true(is_known(A, &key, &place));
	fdb_withdraw(A->seg->fdb, &A->seg->local, &key, rig->now_ns);
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(delivered_to(B), 1);
	assert_false(is_known(A, &key, &place));
}

/* One reload took its network away, and the next gave the port to another. */
static void its_port_is_anothers(void **state)
{
	struct rig *rig = *state;

	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	A->seg->port = RIG_PORT_OTHER;
	A->other->port = RIG_PORT_SEG;
	rig_publish(A, NULL);
	rig_mark(B);
	rig_pump(rig);
	assert_int_equal(rig_dropped(A, DROP_OUT_NO_NETWORK), 2);
	assert_int_equal(B->frame_count, 0);
}

static void no_member_any_more(void **state)
{
	const struct rig_options alone = { .without_members = true };
	struct rig *rig = *state;

	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	rig_publish(A, &alone);
	rig_pump(rig);
	assert_int_equal(rig_dropped(A, DROP_OUT_NO_ROUTE), 2);
	assert_int_equal(delivered_to(B) + delivered_to(C), 0);
}

static void no_endpoint(void **state)
{
	struct endpoint nowhere;
	struct rig *rig = *state;

	memset(&nowhere, 0, sizeof(nowhere));
	peer_set_endpoint(A->third, &nowhere);
	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	assert_true(rig_counted(A, DROP_OUT_NO_ENDPOINT, 1, RIG_SEG | RIG_THIRD));
	assert_int_equal(A->peer->staged.count, 1);
	assert_int_equal(stats_read(&A->seg_third->flooded), 0);
}

/* There is a session, and the peer has said nothing yet. */
static void await_hello(struct rig *rig)
{
	atomic_store(&A->peer->hello.version, 0);
	atomic_store(&A->peer->hello.features, 0);
	atomic_store(&A->peer->hello.settled_ns, rig->now_ns + HELLO_SETTLED_NS);
}

static void hello_comes(void **state)
{
	struct rig *rig = *state;

	await_hello(rig);
	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	for (unsigned int i = 0; i < 3; i++)
		say(A, &f);
	assert_int_equal(A->peer->staged.count, 3);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	/* A release in vain leaves it as it is, and says that nothing went. */
	rig_mark(A);
	peer_set_keepalive(A->peer, 5);
	rig_round(A);
	assert_int_equal(A->peer->staged.count, 3);
	assert_int_equal(A->sent_count, 1); /* a keepalive */
	rig_mark(B);
	hello_changed(B->peer);
	rig_pump(rig);
	assert_int_equal(A->peer->staged.count, 0);
	assert_int_equal(delivered_to(B), 3);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
}

static void hello_does_not_come(void **state)
{
	struct rig *rig = *state;

	await_hello(rig);
	build_other(&f, everyone, station(0, 1), 100);
	say(A, &f);
	assert_int_equal(sent_frames(A), 1); /* the other member has said hello */
	assert_int_equal(A->peer->staged.count, 1);
	timers_hello_at(A->peer, rig->now_ns + HELLO_SETTLED_NS);
	rig_mark(A);
	rig->now_ns += HELLO_SETTLED_NS;
	rig_round(A);
	assert_int_equal(A->peer->staged.count, 0);
	assert_true(rig_counted(A, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER));
	say(A, &f);
	assert_true(rig_counted(A, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER));
	assert_int_equal(sent_frames(A), 1);
}

static unsigned int sent_hellos(struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++) {
		struct hello_message msg;
		uint32_t len;

		n += rig_unseal(host, &host->sent[i], plain, &len) && len &&
		     plain[0] == WIRE_CONTROL_FIRST && hello_parse(plain, len, &msg);
	}
	return n;
}

static void forget_hello(struct rig_host *host)
{
	struct hello *hello = &host->peer->hello;

	atomic_store(&hello->version, 0);
	atomic_store(&hello->features, 0);
	atomic_store(&hello->settled_ns, host->rig->now_ns);
	atomic_store(&hello->asked_ns, host->rig->now_ns);
}

/* All hellos of a session were lost, both ways: frames bring it back to life, not the next key. */
static void all_hellos_were_lost(void **state)
{
	struct rig *rig = *state;

	forget_hello(A);
	forget_hello(B);
	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	assert_stopped(rig, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER);
	rig->now_ns += HELLO_AGAIN_NS - 1;
	assert_stopped(rig, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER);
	assert_int_equal(sent_hellos(A), 0);
	rig->now_ns++;
	assert_stopped(rig, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER);
	assert_int_equal(sent_hellos(A), 1);
	rig_pump(rig);
	assert_goes(rig, 1);
}

/* A peer that never says it, a stock one, is asked now and then, and only for a frame. */
static void hello_never_comes(void **state)
{
	struct rig *rig = *state;

	forget_hello(A);
	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	rig_mark(A);
	for (unsigned int i = 0; i < 60; i++) {
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
		rig_advance(rig, RIG_SECOND);
	}
	assert_int_equal(sent_hellos(A), 6);
	rig_advance(rig, 30 * RIG_SECOND);
	assert_int_equal(sent_hellos(A), 6);
	/* One that said what it has is not asked again. */
	atomic_store(&A->peer->hello.version, 1);
	assert_stopped(rig, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER);
	assert_int_equal(sent_hellos(A), 0);
}

/* A peer that has the network not, or is no ovltun at all. */
static void not_a_member_there(void **state)
{
	const struct rig_options alone = { .without_members = true };
	struct rig *rig = *state;

	rig_publish(B, &alone);
	rig_connect_all(rig);
	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	assert_stopped(rig, DROP_OUT_NO_HELLO, 1, RIG_SEG | RIG_PEER);
	/* In the other network it is one. */
	say_on(A, RIG_PORT_OTHER, &f);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(sent_frames(A), 1);
}

/* More waits than there is room for: what is oldest goes. */
static void too_many_wait(void **state)
{
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 100);
	for (unsigned int i = 0; i < PEER_STAGED_MAX + 5; i++)
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
	rig_round(A);
	assert_true(rig_counted(A, DROP_OUT_STAGE_FULL, 5, RIG_SEG | RIG_PEER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		connected_test(known_goes_to_one),
		connected_test(broadcast_goes_to_all),
		connected_test(unknown_unicast),
		connected_test(local_destinations),
		connected_test(answers_to_us),
		connected_test(a_network_of_its_own),
		connected_test(without_members),
		connected_test(too_short),
		connected_test(guards),
		connected_test(permitted),
		connected_test(every_first_byte),
		connected_test(offloads_that_lie),
		connected_test(own_datagrams),
		connected_test(macs_of_others),
		connected_test(owners_are_asked),
		connected_test(strict_is_for_peers),
		connected_test(addresses_of_others),
		connected_test(quotas),
		connected_test(moves),
		connected_test(storms),
		connected_test(a_bucket_each),
		connected_test(arp_is_answered),
		connected_test(nd_is_answered),
		connected_test(probes_are_answered),
		connected_test(not_to_be_answered),
		connected_test(questions_for_neighbours_stay),
		connected_test(questions_for_gateways_stay),
		connected_test(routers_answer_themselves),
		connected_test(answers_have_the_askers_tags),
		connected_test(news_of_the_asker_go_out),
		connected_test(superframes_are_cut),
		connected_test(no_hint_unasked),
		connected_test(a_hint_each),
		connected_test(a_flush_between_copies),
		connected_test(too_big),
		connected_test(too_big_for_all),
		connected_test(over_long),
		connected_test(a_tunnel_mtu_each),
		connected_test(the_peers_mtu),
		connected_test(the_peers_mtu_is_for_its_own),
		connected_test(the_networks_mtu),
		connected_test(ecn_and_no_more),
		connected_test(tags_and_odd_frames),
		bridged_test(each_waits_for_its_own),
		bridged_test(known_waits_too),
		bridged_test(forgotten_while_it_waited),
		bridged_test(found_while_it_waited),
		bridged_test(answered_while_it_waited),
		bridged_test(withdrawn_while_it_waited),
		bridged_test(its_port_is_anothers),
		bridged_test(no_member_any_more),
		bridged_test(no_endpoint),
		connected_test(hello_comes),
		connected_test(hello_does_not_come),
		connected_test(all_hellos_were_lost),
		connected_test(hello_never_comes),
		bridged_test(not_a_member_there),
		bridged_test(too_many_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
