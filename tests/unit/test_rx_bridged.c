/* SPDX-License-Identifier: MIT */
/*
 * The way in of a bridged network: what a peer that has a session may say, and what
 * becomes of it (pitfall_29: each reason has a test that sees its counter rise, and
 * no other, and nothing delivered). Host 0 is the hostile member, host 1 suffers.
 */
#include "unit/frames.h"
#include "dataplane/rx.h"

static struct built f;
static uint8_t plain[FRAME_MAX];

/* Frames that the TAP of "seg" was given, but for our own questions to containers. */
static unsigned int delivered_frames(const struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->frame_count; i++)
		n += host->frames[i].port == RIG_PORT_SEG &&
		     memcmp(host->frames[i].data + 16, host->seg->router_mac, 6) != 0;
	return n;
}

static bool only_dropped(struct rig *rig, enum drop reason, uint64_t n)
{
	return rig_counted(B, reason, n, RIG_SEG | RIG_PEER) && delivered_frames(B) == 0 &&
	       sent_frames(B) == 0;
}

/* Host 0 sends it, and host 1 drops it for @reason and for nothing else. */
static void assert_stopped(struct rig *rig, enum drop reason)
{
	tell(A, &f);
	assert_true(only_dropped(rig, reason, 1));
}

static void assert_delivered(struct rig *rig)
{
	tell(A, &f);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(delivered_frames(B), 1);
	/* Never back into the tunnel, nor to the third. */
	assert_int_equal(sent_frames(B), 0);
}

static void tell_plain(struct rig *rig, uint32_t len)
{
	rig_mark(B);
	rig_tell(A, plain, len, 0);
}

/* ---- the header ---- */

static void lengths(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	build_other(&f, everyone, station(0, 1), 46);
	len = wrap(plain, RIG_VNI_SEG, 0, &f);
	assert_int_equal(len, 80);
	for (uint32_t cut = 1; cut < 22; cut++) {
		tell_plain(rig, cut);
		assert_true(rig_counted(B, DROP_IN_FRAME, 1,
		                        RIG_PEER)); /* it named no network that far */
		assert_int_equal(delivered_frames(B), 0);
	}
	tell_plain(rig, len);
	assert_int_equal(delivered_frames(B), 1);
	/* Pad lengths over what padding is, and over what there is. */
	for (unsigned int pad = 16; pad < 256; pad++) {
		plain[7] = (uint8_t)pad;
		tell_plain(rig, len);
		assert_true(only_dropped(rig, DROP_IN_FRAME, 1));
	}
	for (uint32_t short_len = 22; short_len < 22 + 15; short_len++) {
		plain[7] = 15;
		tell_plain(rig, short_len);
		assert_true(only_dropped(rig, DROP_IN_FRAME, 1));
	}
	/* A tag that is cut off, and one too many. */
	build_other(&f, everyone, station(0, 1), 0);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 0);
	f.len -= 2;
	tell(A, &f);
	assert_true(only_dropped(rig, DROP_IN_FRAME, 1));
	build_other(&f, everyone, station(0, 1), 60);
	for (int i = 0; i < 3; i++)
		build_tag(&f, ETHERTYPE_WIRE_VLAN, 0);
	assert_stopped(rig, DROP_IN_FRAME);
}

static void kinds(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	build_other(&f, everyone, station(0, 1), 46);
	len = wrap(plain, RIG_VNI_SEG, 0, &f);
	for (unsigned int first = 0; first < 16; first++) {
		if (first == WIRE_VXLAN_FLAGS)
			continue;
		plain[0] = (uint8_t)first;
		tell_plain(rig, len);
		assert_true(rig_counted(B, DROP_IN_KIND, 1, RIG_PEER));
		assert_int_equal(delivered_frames(B), 0);
	}
	/* Reserved bytes are not looked at, nor the other bits beside the hint. */
	wrap(plain, RIG_VNI_SEG, 0xfe, &f);
	plain[1] = plain[2] = 0xff;
	tell_plain(rig, len);
	assert_int_equal(delivered_frames(B), 1);
}

static void before_any_agreement(void **state)
{
	struct rig *rig = *state;

	build_tcp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 100);
	atomic_store(&B->peer->hello.features, WIRE_FEATURE_FRAMES);
	tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
	assert_true(only_dropped(rig, DROP_IN_KIND, 1));
	assert_delivered(rig);
	atomic_store(&B->peer->hello.features, 0);
	tell(A, &f);
	assert_true(rig_counted(B, DROP_IN_KIND, 1, RIG_PEER));
	assert_int_equal(delivered_frames(B), 0);
}

static void foreign_networks(void **state)
{
	static const uint32_t nobodys[] = { 0, 1, 6, 8, 41, 43, 0x700, 0x70000, 0xffffff };
	const struct rig_options alone = { .without_members = true };
	struct rig *rig = *state;
	uint8_t sealed[256];
	uint32_t len;

	build_other(&f, everyone, station(0, 1), 46);
	for (size_t i = 0; i < sizeof(nobodys) / sizeof(*nobodys); i++) {
		len = wrap(plain, nobodys[i], 0, &f);
		tell_plain(rig, len);
		assert_true(rig_counted(B, DROP_IN_VNI, 1, RIG_PEER));
		assert_int_equal(B->frame_count, 0);
	}
	/* One that is here, but not for this peer: host 2 is no member of "other". */
	len = wrap(plain, RIG_VNI_OTHER, 0, &f);
	rig_mark(A);
	rig_give_datagram(A, &C->address, sealed, rig_seal(C, plain, len, sealed), 0, 0);
	rig_round(A);
	assert_true(rig_counted(A, DROP_IN_VNI, 1, RIG_THIRD | RIG_OTHER));
	assert_int_equal(A->frame_count, 0);
	/* And not any more. */
	rig_publish(B, &alone);
	assert_stopped(rig, DROP_IN_VNI);
}

/* What comes in one network is not seen in the other, nor learned there. */
static void networks_stay_apart(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(0, 1).b);
	struct fdb_place place;

	build_other(&f, everyone, station(0, 1), 46);
	tell_plain(rig, wrap(plain, RIG_VNI_OTHER, 0, &f));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
	assert_int_equal(B->frames[0].port, RIG_PORT_OTHER);
	assert_false(is_known(B, &key, &place));
	assert_true(fdb_lookup(B->other->fdb, &key, rig->now_ns, &place));
	assert_ptr_equal(place.owner, B->other_peer);
}

static void no_bridge(void **state)
{
	const struct rig_options detached = { .detached = true };
	struct rig *rig = *state;

	rig_publish(B, &detached);
	build_other(&f, everyone, station(0, 1), 46);
	assert_stopped(rig, DROP_IN_NO_BRIDGE);
}

/* ---- what is delivered ---- */

static void whole_frames(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	static const uint32_t lens[] = { 0, 1, 46, 100, 1386, 8986, 65000 };
	struct rig *rig = *state;

	rig_publish(B, &tags);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		for (unsigned int n = 0; n < 3; n++) {
			build_other(&f, everyone, station(0, 1), lens[i]);
			for (unsigned int t = 0; t < n; t++)
				build_tag(&f, ETHERTYPE_WIRE_VLAN, 10);
			assert_delivered(rig);
			assert_int_equal(B->frames[0].len, f.len);
			assert_memory_equal(B->frames[0].data, f.bytes, f.len);
		}
	}
	assert_int_equal(stats_read(&B->seg->rx_packets), 21);
}

static void packets_of_any_size(void **state)
{
	static const uint32_t payloads[] = { 0, 1, 18, 19, 1300, 8972, 60000 };
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++) {
		build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", payloads[i]);
		assert_delivered(rig);
		assert_int_equal(B->frames[0].len, f.len);
		assert_memory_equal(B->frames[0].data + 10, built_frame(&f), built_len(&f));
	}
}

/* The hint: our kernel is asked to make the checksum, wherever the tags leave it. */
static void checksums_undone(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	struct rig *rig = *state;
	struct wire_vnet vnet;

	rig_publish(B, &tags);
	for (uint16_t n = 0; n < 3; n++) {
		build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 100);
		for (unsigned int t = 0; t < n; t++)
			build_tag(&f, ETHERTYPE_WIRE_VLAN, 10);
		tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
		assert_int_equal(delivered_frames(B), 1);
		memcpy(&vnet, B->frames[0].data, sizeof(vnet));
		assert_int_equal(vnet.flags, VNET_F_NEEDS_CSUM);
		assert_int_equal(vnet.csum_start, 34 + 4 * n);
		assert_int_equal(vnet.csum_offset, 6);
	}
}

static void hints_that_lie(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	build_other(&f, everyone, station(0, 1), 60);
	tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
	assert_true(only_dropped(rig, DROP_IN_MALFORMED, 1));
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "10.7.0.2", "10.7.1.2");
	tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
	assert_true(only_dropped(rig, DROP_IN_MALFORMED, 1));
	build_ip(&f, everyone, station(0, 1), ip,
	         rig_make_icmpv6(ip, "fd07::2", "fd07::1:2", 128, 64, ip + 100, 20));
	tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
	assert_true(only_dropped(rig, DROP_IN_MALFORMED, 1));
	/* A fragment's. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 100);
	f.bytes[24 + 6] = 0x20;
	tell_hint(A, &f, WIRE_VXLAN_CHECKSUM_UNDONE);
	assert_true(only_dropped(rig, DROP_IN_MALFORMED, 1));
}

static void ecn(void **state)
{
	struct rig *rig = *state;
	uint32_t len;

	for (unsigned int inner = 0; inner < 4; inner++) {
		for (unsigned int outer = 0; outer < 4; outer++) {
			int wanted = rx_ecn((uint8_t)inner, (uint8_t)outer);

			build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 100);
			rig_set_tos(f.bytes + 24, (uint8_t)(0x28 | inner));
			len = wrap(plain, RIG_VNI_SEG, 0, &f);
			rig_mark(B);
			rig_tell(A, plain, len, (uint8_t)outer);
			if (wanted < 0) {
				assert_true(only_dropped(rig, DROP_IN_ECN, 1));
				continue;
			}
			assert_int_equal(delivered_frames(B), 1);
			assert_int_equal(B->frames[0].data[25], 0x28 | wanted);
		}
	}
	/* What is not IP has no such field. */
	build_other(&f, everyone, station(0, 1), 60);
	len = wrap(plain, RIG_VNI_SEG, 0, &f);
	rig_mark(B);
	rig_tell(A, plain, len, 3);
	assert_int_equal(delivered_frames(B), 1);
}

/* ---- guards ---- */

static void guards(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], body[12] = { 0 };

	build_udp(&f, everyone, everyone, "10.7.0.2", "10.7.1.2", 30);
	assert_stopped(rig, DROP_IN_SOURCE_MAC);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 30);
	memcpy(f.bytes + 16, RIG_BRIDGE_MAC, 6);
	assert_stopped(rig, DROP_IN_SOURCE_MAC);
	memcpy(f.bytes + 16, B->seg->router_mac, 6);
	assert_stopped(rig, DROP_IN_SOURCE_MAC);
	build_other(&f, (struct mac){ { 0x01, 0x80, 0xc2, 0, 0, 0 } }, station(0, 1), 60);
	assert_stopped(rig, DROP_IN_LINK_CONTROL);
	build_other(&f, everyone, station(0, 1), 60);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 5);
	assert_stopped(rig, DROP_IN_VLAN);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.2", 30);
	f.bytes[24 + 3]++; /* total length */
	assert_stopped(rig, DROP_IN_MALFORMED);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.0.2", "10.7.1.2");
	f.bytes[24 + 8] ^= 2; /* the sender's MAC */
	assert_stopped(rig, DROP_IN_ARP);
	build_nd(&f, all_nodes, station(0, 1), true, "fd07::2", "fd07::2");
	f.bytes[24 + 7] = 254; /* the hop limit */
	assert_stopped(rig, DROP_IN_ARP);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.0.1", "10.7.1.2");
	assert_stopped(rig, DROP_IN_GATEWAY);
	build_nd(&f, all_nodes, station(0, 1), true, "fe80::1", "fe80::1");
	assert_stopped(rig, DROP_IN_GATEWAY);
	build_udp(&f, everyone, station(0, 1), "10.7.0.1", "10.7.1.2", 30);
	assert_stopped(rig, DROP_IN_GATEWAY);
	build_ip(&f, all_nodes, station(0, 1), ip,
	         rig_make_icmpv6(ip, "fe80::2", "ff02::1", ICMPV6_ROUTER_ADVERT, 255, body, 12));
	assert_stopped(rig, DROP_IN_ROUTER);
	atomic_store(&B->seg_peer->may_route, true);
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	rig_set_ports(f.bytes + 24, 67, 68);
	assert_stopped(rig, DROP_IN_DHCP);
	atomic_store(&B->seg_peer->may_serve_dhcp, true);
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "127.0.0.1", "10.7.1.2", 30);
	assert_stopped(rig, DROP_IN_MARTIAN);
}

/* ---- whose it is ---- */

static void macs_of_others(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(1, 1).b);
	struct fdb_place place;

	know_mac(B, &B->seg->local, station(1, 1));
	know_mac(B, B->seg_third, station(2, 1));
	build_other(&f, everyone, station(1, 1), 46);
	assert_stopped(rig, DROP_IN_MAC_OWNED);
	build_other(&f, everyone, station(2, 1), 46);
	assert_stopped(rig, DROP_IN_MAC_OWNED);
	/* Not even when the owner is silent: what is here has to be gone first. */
	rig_advance(rig, 2 * RIG_SECOND);
	build_other(&f, everyone, station(1, 1), 46);
	assert_stopped(rig, DROP_IN_MAC_OWNED);
	assert_true(is_known(B, &key, &place));
	assert_ptr_equal(place.owner, &B->seg->local);
}

static void addresses_of_others(void **state)
{
	const struct rig_options off = { .guards.mode = GUARD_OFF };
	struct rig *rig = *state;

	know(B, &B->seg->local, station(1, 1), "10.7.1.2");
	know(B, B->seg_third, station(2, 1), "10.7.2.2");
	know(B, B->seg_third, station(2, 1), "fd07::2:2");
	know(B, B->seg_peer, station(0, 2), "10.7.0.3");
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	assert_stopped(rig, DROP_IN_BINDING);
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "10.7.2.2", "10.7.1.3");
	assert_stopped(rig, DROP_IN_BINDING);
	build_nd(&f, all_nodes, station(0, 1), true, "fd07::2:2", "fd07::2:2");
	assert_stopped(rig, DROP_IN_BINDING);
	build_udp(&f, everyone, station(0, 1), "10.7.1.2", "10.7.1.3", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	build_udp(&f, everyone, station(0, 1), "fd07::2:2", "fd07::1:2", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	/* Its own, at another of its MACs. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.3", "10.7.1.3", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	build_udp(&f, everyone, station(0, 2), "10.7.0.3", "10.7.1.3", 30);
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "10.7.0.4", "10.7.1.3", 30);
	assert_delivered(rig);
	/* AllowedIPs have no say here. */
	build_udp(&f, everyone, station(0, 1), "10.8.8.8", "10.7.1.3", 30);
	assert_delivered(rig);
	build_arp(&f, everyone, station(0, 4), ARP_REPLY, "10.7.1.44", "10.7.1.3");
	assert_delivered(rig);
	rig_publish(B, &off);
	build_udp(&f, everyone, station(0, 1), "10.7.1.2", "10.7.1.3", 30);
	assert_delivered(rig);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.1.2", "10.7.1.3");
	assert_delivered(rig);
	build_other(&f, everyone, station(2, 1), 46);
	assert_stopped(rig, DROP_IN_MAC_OWNED);
}

/* A VLAN is a segment of its own: what is bound in one is free in the other. */
static void addresses_of_other_vlans(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	struct rig *rig = *state;
	struct fdb_place place;
	struct fdb_key key;
	uint8_t addr[16];

	rig_publish(B, &tags);
	know_in(B, &B->seg->local, station(1, 1), "10.7.9.9", vlan(10));
	know_in(B, &B->seg->local, station(1, 1), "fd07::9:9", vlan(10));
	know(B, B->seg_third, station(2, 1), "10.7.9.9");
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.9.9", "10.7.1.3");
	assert_stopped(rig, DROP_IN_BINDING);
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 0x600a);
	assert_stopped(rig, DROP_IN_BINDING);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.9.9", "10.7.1.3");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 20);
	assert_delivered(rig);
	rig_parse_addr(addr, "10.7.9.9");
	key = fdb_key_in(vlan(20), FDB_IPV4, addr);
	assert_true(is_known(B, &key, &place));
	assert_ptr_equal(place.owner, B->seg_peer);
	/* The same number in a service tag, or behind another tag, is neither of them. */
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 10);
	assert_delivered(rig);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.9.9", "10.7.1.3");
	build_tag(&f, ETHERTYPE_WIRE_QINQ, 10);
	assert_delivered(rig);
	build_nd(&f, all_nodes, station(0, 1), true, "fd07::9:9", "fd07::9:9");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 10);
	assert_stopped(rig, DROP_IN_BINDING);
	build_nd(&f, all_nodes, station(0, 1), true, "fd07::9:9", "fd07::9:9");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 20);
	assert_delivered(rig);
	/* And what data comes from. A priority tag is no VLAN, whatever is behind it. */
	for (uint16_t priority = 0; priority < 2; priority++) {
		build_udp(&f, everyone, station(0, 1), "10.7.9.9", "10.7.1.3", 30);
		build_tag(&f, ETHERTYPE_WIRE_VLAN, 10);
		if (priority)
			build_tag(&f, ETHERTYPE_WIRE_VLAN, 0xe000);
		assert_stopped(rig, DROP_IN_BINDING);
		build_udp(&f, everyone, station(0, 1), "10.7.9.9", "10.7.1.3", 30);
		build_tag(&f, ETHERTYPE_WIRE_VLAN, 20);
		if (priority)
			build_tag(&f, ETHERTYPE_WIRE_VLAN, 0xe000);
		assert_delivered(rig);
	}
	/* The bridge has its addresses where there is no tag. */
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.0.1", "10.7.1.2");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 20);
	assert_delivered(rig);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.0.1", "10.7.1.2");
	build_tag(&f, ETHERTYPE_WIRE_VLAN, 0xe000);
	assert_stopped(rig, DROP_IN_GATEWAY);
}

static void strict(void **state)
{
	const struct rig_options options = { .guards.mode = GUARD_STRICT };
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_ip(FDB_IPV4, (const uint8_t[]){ 10, 7, 3, 2 });
	struct fdb_place place;

	rig_publish(B, &options);
	/* Host 0 may use 10.7.0.0/24 and fd20:0:1::/48. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.7.1.3", 30);
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "10.7.2.2", "10.7.1.3", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	build_udp(&f, everyone, station(0, 1), "10.7.3.2", "10.7.1.3", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	build_udp(&f, everyone, station(0, 1), "fd20:0:1::7", "fd07::1:2", 30);
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "fd07::2", "fd07::1:2", 30);
	assert_stopped(rig, DROP_IN_BINDING);
	/* Nor may it say that it has them. */
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.3.2", "10.7.1.3");
	assert_stopped(rig, DROP_IN_BINDING);
	assert_false(is_known(B, &key, &place));
	build_nd(&f, all_nodes, station(0, 1), true, "fe80::7", "fd07::7");
	assert_stopped(rig, DROP_IN_BINDING);
	/* Where protocols use them: none yet, and those of the link. */
	build_udp(&f, everyone, station(0, 1), "0.0.0.0", "255.255.255.255", 30);
	rig_set_ports(f.bytes + 24, 68, 67);
	assert_delivered(rig);
	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "0.0.0.0", "10.7.0.2");
	assert_delivered(rig);
	build_nd(&f, all_nodes, station(0, 1), false, "::", "fd20:0:1::7");
	assert_delivered(rig);
	build_udp(&f, everyone, station(0, 1), "169.254.1.1", "10.7.1.3", 30);
	assert_delivered(rig);
	build_nd(&f, all_nodes, station(0, 1), true, "fe80::7", "fe80::7");
	assert_delivered(rig);
}

static void quotas(void **state)
{
	struct rig *rig = *state;

	fdb_set_quota(B->seg->fdb, 2);
	for (unsigned int n = 1; n <= 2; n++) {
		build_other(&f, everyone, station(0, n), 46);
		assert_delivered(rig);
	}
	build_other(&f, everyone, station(0, 3), 46);
	assert_stopped(rig, DROP_IN_QUOTA);
	/* Four times as many addresses. */
	for (unsigned int n = 1; n <= 9; n++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.7.0.%u", n + 1);
		build_arp(&f, everyone, station(0, 1), ARP_REPLY, addr, "10.7.1.2");
		if (n <= 8)
			assert_delivered(rig);
		else
			assert_stopped(rig, DROP_IN_QUOTA);
	}
}

static void moves(void **state)
{
	struct rig *rig = *state;
	uint64_t moved = event_of(B, EVENT_STATION_MOVED);

	for (unsigned int i = 0; i <= FDB_MOVES_MAX; i++) {
		build_arp(&f, everyone, station(0, 1 + i % 2), ARP_REPLY, "10.7.0.2", "10.7.1.2");
		assert_delivered(rig);
	}
	assert_int_equal(event_of(B, EVENT_STATION_MOVED) - moved, FDB_MOVES_MAX);
	build_arp(&f, everyone, station(0, 1), ARP_REPLY, "10.7.0.2", "10.7.1.2");
	assert_stopped(rig, DROP_IN_MOVES);
}

/* ---- where it goes ---- */

/* pitfall_34 is the table's; that a frame does not come back is here. */
static void never_tunnel_to_tunnel(void **state)
{
	struct rig *rig = *state;

	know_mac(B, B->seg_third, station(2, 1));
	know_mac(B, B->seg_peer, station(0, 2));
	know_mac(B, &B->seg->local, station(1, 1));
	build_other(&f, station(2, 1), station(0, 1), 46);
	assert_stopped(rig, DROP_IN_TUNNEL);
	/* Nor to itself. */
	build_other(&f, station(0, 2), station(0, 1), 46);
	assert_stopped(rig, DROP_IN_TUNNEL);
	build_other(&f, station(1, 1), station(0, 1), 46);
	assert_delivered(rig);
	build_other(&f, everyone, station(0, 1), 46);
	assert_delivered(rig);
	build_other(&f, station(1, 77), station(0, 1), 46);
	assert_delivered(rig);
}

static struct mac mac_of(const uint8_t bytes[ETHER_ADDR_SIZE])
{
	struct mac mac;

	memcpy(mac.b, bytes, sizeof(mac.b));
	return mac;
}

/* The host is a station of the segment, and not the way to its other networks. */
static void not_through_this_host(void **state)
{
	const struct rig_options tags = { .guards.vlans = GUARD_VLANS_ALL };
	const struct rig_options routing = { .guards.host_routing = true };
	struct rig *rig = *state;
	const struct mac hosts[] = { mac_of(RIG_BRIDGE_MAC), mac_of(B->seg->tap_mac) };
	const struct mac bridge = hosts[0];

	for (size_t i = 0; i < 2; i++) {
		build_udp(&f, hosts[i], station(0, 1), "10.7.0.2", "10.99.0.1", 30);
		assert_stopped(rig, DROP_IN_HOST_ROUTING);
		build_udp(&f, hosts[i], station(0, 1), "10.7.0.2", "10.7.1.2", 30);
		assert_stopped(rig, DROP_IN_HOST_ROUTING);
		build_udp(&f, hosts[i], station(0, 1), "fd07::2", "fd99::1", 30);
		assert_stopped(rig, DROP_IN_HOST_ROUTING);
		build_udp(&f, hosts[i], station(0, 1), "10.7.0.2", "10.7.0.1", 30);
		assert_delivered(rig);
		build_udp(&f, hosts[i], station(0, 1), "fe80::2", "fe80::1", 30);
		assert_delivered(rig);
		build_udp(&f, hosts[i], station(0, 1), "10.7.0.2", "255.255.255.255", 30);
		assert_delivered(rig);
		build_other(&f, hosts[i], station(0, 1), 46);
		assert_delivered(rig);
	}
	/* What is for others, or for all, the host does not route. */
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "10.99.0.1", 30);
	assert_delivered(rig);
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.99.0.1", 30);
	assert_delivered(rig);
	/* In a VLAN: what the bridge's MAC has shown to have there. */
	rig_publish(B, &tags);
	know_in(B, &B->seg->local, bridge, "10.7.3.1", vlan(10));
	know_in(B, &B->seg->local, station(1, 1), "10.7.3.2", vlan(10));
	know_in(B, B->seg_third, station(2, 1), "10.7.3.3", vlan(10));
	for (unsigned int i = 0; i < 5; i++) {
		static const char *const to[] = { "10.7.3.1", "10.7.3.2", "10.7.3.3", "10.7.0.1",
			                          "10.7.3.1" };

		build_udp(&f, bridge, station(0, 1), "10.7.0.2", to[i], 30);
		build_tag(&f, ETHERTYPE_WIRE_VLAN, i < 4 ? 10 : 11);
		if (i == 0)
			assert_delivered(rig);
		else
			assert_stopped(rig, DROP_IN_HOST_ROUTING);
	}
	rig_publish(B, &routing);
	build_udp(&f, bridge, station(0, 1), "10.7.0.2", "10.99.0.1", 30);
	assert_delivered(rig);
}

static void storms(void **state)
{
	struct rig *rig = *state;
	uint8_t sealed[256];
	uint32_t len;

	build_other(&f, everyone, station(0, 1), 46);
	len = wrap(plain, RIG_VNI_SEG, 0, &f);
	rig_mark(B);
	for (unsigned int i = 0; i < 5000; i++) {
		rig_give_datagram(B, &A->address, sealed, rig_seal(A, plain, len, sealed), 0, 0);
		rig->now_ns += RIG_MS / 10; /* ten times what it may */
		rig_round(B);
	}
	assert_true(delivered_frames(B) >= 500 + MEMBER_FLOOD_BURST - 1);
	assert_true(delivered_frames(B) <= 500 + MEMBER_FLOOD_BURST + 1);
	assert_int_equal(delivered_frames(B) + rig_dropped(B, DROP_IN_FLOOD), 5000);
	/* Unknown unicast is in the same bucket; what is known, and the host itself, in none. */
	build_other(&f, station(1, 77), station(0, 1), 46);
	assert_stopped(rig, DROP_IN_FLOOD);
	know_mac(B, &B->seg->local, station(1, 1));
	build_other(&f, station(1, 1), station(0, 1), 46);
	assert_delivered(rig);
	memcpy(f.bytes + 10, RIG_BRIDGE_MAC, 6);
	assert_delivered(rig);
	/* Another member has its own. */
	build_other(&f, everyone, station(2, 1), 46);
	rig_mark(A);
	tell(C, &f);
	assert_int_equal(delivered_frames(A), 1);
}

/* What was heard of a peer is sent to it alone. */
static void answers_go_back(void **state)
{
	struct rig *rig = *state;

	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 30);
	assert_delivered(rig);
	build_udp(&f, station(0, 1), station(1, 1), "10.7.1.2", "10.7.0.2", 30);
	say(B, &f);
	assert_int_equal(sent_frames(B), 1);
	assert_int_equal(sent_to(B, 0), 0);
}

/* ---- runs: a look into the tables each flow, but no frame gets past them ---- */

static uint8_t run[AEAD_BURST_MAX * 2048];
static uint32_t run_count;

static void add_to_run(struct rig *rig, uint32_t vni)
{
	uint32_t len = wrap(plain, vni, 0, &f);

	assert_true(len == 1120 && run_count < AEAD_BURST_MAX);
	rig_seal(A, plain, len, run + run_count++ * (1120 + MESSAGE_DATA_OVERHEAD));
}

static void give_run(struct rig *rig)
{
	const uint32_t size = 1120 + MESSAGE_DATA_OVERHEAD;

	rig_mark(B);
	rig_give_datagram(B, &A->address, run, run_count * size, size, 0);
	rig_round(B);
	run_count = 0;
}

static void mend_tcp(uint8_t *ip, uint32_t len)
{
	struct packet pkt;

	packet_ipv4_checksum_fill(ip);
	store_be16(ip + 36, 0);
	assert_true(packet_parse_ip(ip, len, &pkt));
	store_be16(ip + 36, checksum_fold(checksum_add(checksum_pseudo(&pkt, 6, len - 20), ip + 20,
	                                               len - 20)));
}

static void a_flow_is_merged(void **state)
{
	struct rig *rig = *state;
	struct wire_vnet vnet;
	static uint8_t ip[2048];

	know_mac(B, &B->seg->local, station(1, 1));
	for (unsigned int i = 0; i < 20; i++) {
		uint32_t len = rig_make_tcp(ip, "10.7.0.2", "10.7.1.2", TCP_ACK, 1120 - 22 - 40);

		store_be32(ip + 24, 1000 + i * (1120 - 22 - 40));
		store_be16(ip + 4, (uint16_t)i);
		mend_tcp(ip, len);
		build_ip(&f, station(1, 1), station(0, 1), ip, len);
		add_to_run(rig, RIG_VNI_SEG);
	}
	give_run(rig);
	assert_int_equal(delivered_frames(B), 1);
	memcpy(&vnet, B->frames[0].data, sizeof(vnet));
	assert_int_equal(vnet.gso_type, VNET_GSO_TCPV4);
	assert_memory_equal(B->frames[0].data + 10, built_frame(&f), 14);
	assert_int_equal(B->frames[0].len, 10 + 14 + 40 + 20 * (1120 - 22 - 40));
	assert_int_equal(stats_read(&B->seg->rx_packets), 20);
}

/* One that lies between those that do not, in each way in which a flow is told by. */
static void nothing_hides_in_a_run(void **state)
{
	static const struct {
		const char *what;
		struct mac to, from;
		const char *source;
		uint32_t vni;
		enum drop reason;
	} rows[] = {
		{ "source",
		  { { 2, 7, 0, 0, 1, 1 } },
		  { { 2, 7, 0, 0, 0, 1 } },
		  "10.7.1.2",
		  RIG_VNI_SEG,
		  DROP_IN_BINDING },
		{ "source MAC",
		  { { 2, 7, 0, 0, 1, 1 } },
		  { { 2, 7, 0, 0, 2, 1 } },
		  "10.7.0.2",
		  RIG_VNI_SEG,
		  DROP_IN_MAC_OWNED },
		{ "destination",
		  { { 2, 7, 0, 0, 2, 1 } },
		  { { 2, 7, 0, 0, 0, 1 } },
		  "10.7.0.2",
		  RIG_VNI_SEG,
		  DROP_IN_TUNNEL },
		{ "gateway",
		  { { 2, 7, 0, 0, 1, 1 } },
		  { { 2, 7, 0, 0, 0, 1 } },
		  "10.7.0.1",
		  RIG_VNI_SEG,
		  DROP_IN_GATEWAY },
		{ "network",
		  { { 2, 7, 0, 0, 1, 1 } },
		  { { 2, 7, 0, 0, 0, 1 } },
		  "10.7.0.2",
		  9,
		  DROP_IN_VNI },
	};
	struct rig *rig = *state;

	know(B, &B->seg->local, station(1, 1), "10.7.1.2");
	know_mac(B, B->seg_third, station(2, 1));
	for (size_t row = 0; row < sizeof(rows) / sizeof(*rows); row++) {
		for (unsigned int i = 0; i < 9; i++) {
			bool lies = i % 3 == 2;

			if (lies)
				build_udp(&f, rows[row].to, rows[row].from, rows[row].source,
				          "10.7.1.2", 1120 - 22 - 28);
			else
				build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2",
				          1120 - 22 - 28);
			add_to_run(rig, lies ? rows[row].vni : RIG_VNI_SEG);
		}
		give_run(rig);
		if (!rig_counted(B, rows[row].reason, 3,
		                 rows[row].reason == DROP_IN_VNI ? RIG_PEER : RIG_PEER | RIG_SEG))
			fail_msg("%s", rows[row].what);
	}
}

/* ARP and ND are claims, each of them, be the frames ever so alike. */
static void no_claim_hides_in_a_run(void **state)
{
	static const uint8_t padding[1120];
	struct rig *rig = *state;

	know(B, &B->seg->local, station(1, 1), "10.7.1.2");
	for (unsigned int i = 0; i < 9; i++) {
		build_arp(&f, station(1, 1), station(0, 1), ARP_REPLY,
		          i % 3 == 2 ? "10.7.1.2" : "10.7.0.2", "10.7.1.3");
		build_body(&f, padding, 1120 - 22 - 28);
		add_to_run(rig, RIG_VNI_SEG);
	}
	give_run(rig);
	assert_true(rig_counted(B, DROP_IN_BINDING, 3, RIG_PEER | RIG_SEG));
	assert_int_equal(delivered_frames(B), 6);
}

/* One flow, of which each third packet is for elsewhere. */
static void no_route_hides_in_a_run(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < 9; i++) {
		build_udp(&f, mac_of(RIG_BRIDGE_MAC), station(0, 1), "10.7.0.2",
		          i % 3 == 2 ? "10.99.0.1" : "10.7.0.1", 1120 - 22 - 28);
		add_to_run(rig, RIG_VNI_SEG);
	}
	give_run(rig);
	assert_true(rig_counted(B, DROP_IN_HOST_ROUTING, 3, RIG_PEER | RIG_SEG));
}

/* Two networks, and packets of a routed one, in a run. */
static void networks_in_a_run(void **state)
{
	struct rig *rig = *state;
	uint64_t seg, other, net;
	uint32_t len;

	rig_learn(B, RIG_ADDR(1));
	know_mac(B, &B->seg->local, station(1, 1));
	know_mac(B, &B->other->local, station(1, 1));
	rig_mark(B);
	seg = stats_read(&B->seg->rx_packets);
	other = stats_read(&B->other->rx_packets);
	net = stats_read(&B->net->rx_packets);
	for (unsigned int i = 0; i < 24; i++) {
		build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 1120 - 22 - 28);
		if (i % 3 < 2) {
			add_to_run(rig, i % 3 ? RIG_VNI_SEG : RIG_VNI_OTHER);
			continue;
		}
		len = rig_make_udp(plain, RIG_ADDR(0), RIG_ADDR(1), 1120 - 28);
		rig_seal(A, plain, len, run + run_count++ * (1120 + MESSAGE_DATA_OVERHEAD));
	}
	give_run(rig);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(stats_read(&B->seg->rx_packets) - seg, 8);
	assert_int_equal(stats_read(&B->other->rx_packets) - other, 8);
	assert_int_equal(stats_read(&B->net->rx_packets) - net, 8);
}

/* A flood in a run takes a token each, be the frames ever so alike. */
static void floods_in_a_run(void **state)
{
	struct rig *rig = *state;

	for (unsigned int i = 0; i < MEMBER_FLOOD_BURST - 10; i++)
		assert_true(bucket_take(&B->seg_peer->flood_in, MEMBER_FLOOD_COST_NS,
		                        MEMBER_FLOOD_BURST, rig->now_ns));
	build_udp(&f, everyone, station(0, 1), "10.7.0.2", "255.255.255.255", 1120 - 22 - 28);
	for (unsigned int i = 0; i < 30; i++)
		add_to_run(rig, RIG_VNI_SEG);
	give_run(rig);
	assert_true(rig_counted(B, DROP_IN_FLOOD, 20, RIG_PEER | RIG_SEG));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		connected_test(lengths),
		connected_test(kinds),
		connected_test(before_any_agreement),
		connected_test(foreign_networks),
		connected_test(networks_stay_apart),
		connected_test(no_bridge),
		connected_test(whole_frames),
		connected_test(packets_of_any_size),
		connected_test(checksums_undone),
		connected_test(hints_that_lie),
		connected_test(ecn),
		connected_test(guards),
		connected_test(macs_of_others),
		connected_test(addresses_of_others),
		connected_test(addresses_of_other_vlans),
		connected_test(strict),
		connected_test(quotas),
		connected_test(moves),
		connected_test(never_tunnel_to_tunnel),
		connected_test(not_through_this_host),
		connected_test(storms),
		connected_test(answers_go_back),
		connected_test(a_flow_is_merged),
		connected_test(nothing_hides_in_a_run),
		connected_test(no_claim_hides_in_a_run),
		connected_test(no_route_hides_in_a_run),
		connected_test(networks_in_a_run),
		connected_test(floods_in_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
