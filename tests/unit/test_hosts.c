/* SPDX-License-Identifier: MIT */
/*
 * One segment over three hosts, from TAP to TAP: what containers say to each other,
 * how hosts learn of it, a container that moves, bridges that are cabled together.
 */
#include "unit/frames.h"

static struct built f;

/* Frame @i that the TAP of "seg" was given, our own questions left out. */
static const struct rig_record *heard(const struct rig_host *host, unsigned int i)
{
	for (unsigned int n = 0; n < host->frame_count; n++)
		if (host->frames[n].port == RIG_PORT_SEG &&
		    memcmp(host->frames[n].data + 16, host->seg->router_mac, 6) != 0 && i-- == 0)
			return &host->frames[n];
	return NULL;
}

static unsigned int heard_count(const struct rig_host *host)
{
	unsigned int n = 0;

	while (heard(host, n))
		n++;
	return n;
}

static void forget_all(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->hosts; i++)
		rig_mark(&rig->host[i]);
}

/* A container of @host says it, and everything comes to rest. */
static void put(struct rig_host *host)
{
	forget_all(host->rig);
	rig_give_frame(host, RIG_PORT_SEG, f.bytes, f.len);
	rig_pump(host->rig);
}

static void assert_heard(const struct rig_host *host, unsigned int n)
{
	assert_int_equal(heard_count(host), n);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(heard(host, i)->len, f.len);
		assert_memory_equal(heard(host, i)->data + 10, built_frame(&f), built_len(&f));
	}
}

/* Time for announcements to go around. */
static void let_pass(struct rig *rig, uint64_t ns)
{
	for (uint64_t step = 0; step < ns; step += 10 * RIG_MS) {
		rig->now_ns += 10 * RIG_MS;
		rig_pump(rig);
	}
}

static void a_conversation(void **state)
{
	struct rig *rig = *state;

	build_arp(&f, everyone, station(0, 1), ARP_REQUEST, "10.7.0.2", "10.7.1.2");
	put(A);
	assert_heard(B, 1);
	assert_heard(C, 1);
	assert_heard(A, 0);
	build_arp(&f, station(0, 1), station(1, 1), ARP_REPLY, "10.7.1.2", "10.7.0.2");
	put(B);
	assert_heard(A, 1);
	assert_heard(C, 0);
	for (unsigned int i = 0; i < 5; i++) {
		build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 100 * i);
		put(A);
		assert_heard(B, 1);
		assert_heard(C, 0);
		build_udp(&f, station(0, 1), station(1, 1), "10.7.1.2", "10.7.0.2", 100 * i);
		put(B);
		assert_heard(A, 1);
		assert_heard(C, 0);
	}
}

/* What one host announced the other answers, before anything was broadcast there. */
static void announced_before_it_is_asked_for(void **state)
{
	struct rig *rig = *state;
	uint64_t flooded;

	know(C, &C->seg->local, station(2, 1), "10.7.2.2");
	/* To one alone, which host 2 does not hear. */
	know_mac(B, B->seg_peer, station(0, 1));
	build_arp(&f, station(0, 1), station(1, 1), ARP_REPLY, "10.7.1.2", "10.7.0.2");
	put(B);
	assert_heard(C, 0);
	let_pass(rig, RIG_SECOND);
	flooded = event_of(C, EVENT_FLOODED);
	build_arp(&f, everyone, station(2, 1), ARP_REQUEST, "10.7.2.2", "10.7.1.2");
	put(C);
	assert_int_equal(event_of(C, EVENT_FLOODED), flooded);
	assert_int_equal(event_of(C, EVENT_SUPPRESSED), 2);
	assert_int_equal(heard_count(C), 1);
	assert_memory_equal(heard(C, 0)->data + 16, station(1, 1).b, 6);
	assert_heard(A, 0);
	assert_heard(B, 0);
}

/* From host 1 to host 2: nothing that is said to it after it is there gets lost. */
static void a_container_moves(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(1, 1).b);

	build_arp(&f, everyone, station(1, 1), ARP_REQUEST, "10.7.1.2", "10.7.1.2");
	put(B);
	let_pass(rig, RIG_SECOND);
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 100);
	put(A);
	assert_heard(B, 1);
	/* The bridge saw it go, and it says so where it comes. */
	fdb_withdraw(B->seg->fdb, &B->seg->local, &key, rig->now_ns);
	let_pass(rig, 30 * RIG_MS);
	build_arp(&f, everyone, station(1, 1), ARP_REQUEST, "10.7.1.2", "10.7.1.2");
	put(C);
	assert_heard(A, 1);
	assert_heard(B, 1);
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 100);
	put(A);
	assert_heard(C, 1);
	assert_heard(B, 0);
	assert_int_equal(rig_dropped(C, DROP_IN_MAC_OWNED), 0);
}

/* The host that it left does not know it: when it was silent there for long, it has it no more. */
static void a_container_moves_unseen(void **state)
{
	struct rig *rig = *state;
	struct fdb_key key = fdb_key_mac(station(1, 1).b);
	struct fdb_place place;

	build_arp(&f, everyone, station(1, 1), ARP_REQUEST, "10.7.1.2", "10.7.1.2");
	put(B);
	let_pass(rig, RIG_SECOND);
	for (unsigned int i = 0; i < 160; i++) {
		build_arp(&f, everyone, station(1, 1), ARP_REQUEST, "10.7.1.2", "10.7.1.2");
		put(C);
		if (heard_count(A) == 1)
			break;
		assert_int_equal(rig_dropped(C, DROP_OUT_MAC_OWNED), 1);
		let_pass(rig, 100 * RIG_MS);
	}
	assert_true(is_known(A, &key, &place));
	assert_ptr_equal(place.owner, A->seg_third);
	build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", 100);
	put(A);
	assert_heard(C, 1);
	assert_heard(B, 0);
}

/* Whatever is put in on one side comes out on the other, byte for byte. */
static void frames_of_all_sorts(void **state)
{
	const struct rig_options all = { .guards.vlans = GUARD_VLANS_ALL };
	struct rig *rig = *state;
	uint64_t seed = 0x5eed;

	rig_publish(A, &all);
	rig_publish(B, &all);
	know_mac(A, A->seg_peer, station(1, 1));
	know_mac(B, &B->seg->local, station(1, 1));
	for (unsigned int i = 0; i < 600; i++) {
		uint32_t len = (uint32_t)(unit_random(&seed) % 1340);

		switch (unit_random(&seed) % 5) {
		case 0:
			build_udp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", len);
			break;
		case 1:
			build_tcp(&f, station(1, 1), station(0, 1), "10.7.0.2", "10.7.1.2", len);
			break;
		case 2:
			build_udp(&f, station(1, 1), station(0, 1), "fd07::2", "fd07::1:2", len);
			break;
		case 3:
			build_arp(&f, station(1, 1), station(0, 1), ARP_REPLY, "10.7.0.2",
			          "10.7.1.2");
			break;
		default:
			build_other(&f, station(1, 1), station(0, 1), (uint32_t)len * 5);
			break;
		}
		for (uint64_t tags = unit_random(&seed) % 3; tags; tags--)
			build_tag(&f, ETHERTYPE_WIRE_VLAN, (uint16_t)unit_random(&seed));
		put(A);
		assert_heard(B, 1);
		assert_heard(C, 0);
	}
}

/* TCP and UDP superframes: cut on one side, merged on the other, no checksum in between. */
static void superframes(void **state)
{
	static uint8_t ip[RIG_PACKET_MAX];
	struct rig *rig = *state;

	know_mac(A, A->seg_peer, station(1, 1));
	know_mac(B, &B->seg->local, station(1, 1));
	for (unsigned int udp = 0; udp < 2; udp++) {
		struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
			                  .gso_type = udp ? VNET_GSO_UDP_L4 : VNET_GSO_TCPV4,
			                  .gso_size = 1300,
			                  .csum_start = 34,
			                  .csum_offset = udp ? 6 : 16 };
		uint32_t head = udp ? 42 : 54, bytes = 0;

		build_ip(&f, station(1, 1), station(0, 1), ip,
		         udp ? rig_make_udp(ip, "10.7.0.2", "10.7.1.2", 60000)
		             : rig_make_tcp(ip, "10.7.0.2", "10.7.1.2", TCP_ACK, 60000));
		memcpy(f.bytes, &vnet, sizeof(vnet));
		put(A);
		assert_true(heard_count(B) > 0);
		for (unsigned int i = 0; heard(B, i); i++) {
			const struct rig_record *got = heard(B, i);

			memcpy(&vnet, got->data, sizeof(vnet));
			assert_int_equal(vnet.flags, VNET_F_NEEDS_CSUM);
			assert_memory_equal(got->data + 10 + head, f.bytes + 10 + head + bytes,
			                    got->len - 10 - head);
			bytes += got->len - 10 - head;
		}
		assert_int_equal(bytes, 60000);
	}
}

/*
 * The bridges of hosts 0 and 1 are cabled together as well, and a broadcast goes around in
 * them for ever. What gets into the tunnel is bounded by the buckets; out of it comes
 * nothing, as the sender is a station of both; other networks do not feel it.
 */
static void bridges_cabled_together(void **state)
{
	struct rig *rig = *state;
	uint64_t before, sent;
	unsigned int got = 0;
	uint8_t ip[256];

	rig_learn(B, RIG_ADDR(1));
	build_other(&f, everyone, station(0, 1), 100);
	before = event_of(A, EVENT_FLOODED) + event_of(B, EVENT_FLOODED);
	for (unsigned int round = 0; round < 1000; round++) {
		forget_all(rig);
		for (unsigned int n = 0; n < 20; n++) {
			rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
			rig_give_frame(B, RIG_PORT_SEG, f.bytes, f.len);
		}
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100));
		rig_pump(rig);
		assert_int_equal(heard_count(A) + heard_count(B), 0);
		got += packets(B);
		rig->now_ns += RIG_MS;
	}
	sent = event_of(A, EVENT_FLOODED) + event_of(B, EVENT_FLOODED) - before;
	/* In a second, of two hosts, to two members each. */
	assert_true(sent >= 4 * 1000 && sent <= 4 * (1000 + MEMBER_FLOOD_BURST));
	assert_int_equal(got, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		connected_test(a_conversation),
		connected_test(announced_before_it_is_asked_for),
		connected_test(a_container_moves),
		connected_test(a_container_moves_unseen),
		connected_test(frames_of_all_sorts),
		connected_test(superframes),
		connected_test(bridges_cabled_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
