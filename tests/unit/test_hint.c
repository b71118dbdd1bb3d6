/* SPDX-License-Identifier: MIT */
/*
 * The hint that a TCP or UDP checksum was left undone, in routed networks: given
 * only to who said that he takes it, believed only of what is TCP or UDP.
 */
#include "unit/rig_test.h"
#include "dataplane/packet.h"

#define TCP_AT 34 /* csum_start of TCP or UDP over IPv4 behind Ethernet */

static const uint64_t nothing = 0, feature = WIRE_FEATURE_CHECKSUM_HINT;

static uint32_t make(uint8_t *ip, bool v6, bool udp, uint32_t payload)
{
	const char *from = v6 ? RIG_ADDR6(0) : RIG_ADDR(0), *to = v6 ? RIG_ADDR6(1) : RIG_ADDR(1);

	return udp ? rig_make_udp(ip, from, to, payload)
	           : rig_make_tcp(ip, from, to, TCP_ACK, payload);
}

static void agree(struct rig_host *host, uint64_t features, bool acked)
{
	atomic_store(&host->peer->hello.features, features);
	atomic_store(&host->peer->hello.acked, acked);
}

/* ---- the way out ---- */

/* From host 0's container, with or without its checksum; the plaintext that leaves. */
static uint32_t leaves(struct rig *rig, const uint8_t *ip, uint32_t len, bool undone,
                       uint8_t *plaintext)
{
	static uint8_t frame[4096];
	uint32_t l4 = ip[0] >> 4 == 4 ? 20 : 40;
	uint8_t proto = ip[0] >> 4 == 4 ? ip[9] : ip[6];
	struct wire_vnet vnet = { .flags = undone ? VNET_F_NEEDS_CSUM : 0,
		                  .csum_start = (uint16_t)(14 + l4),
		                  .csum_offset = proto == IPPROTO_WIRE_TCP ? 16 : 6 };
	uint32_t frame_len =
		rig_make_frame(frame, A->net->router_mac, RIG_CONTAINER_MAC,
	                       l4 == 20 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6, ip, len);
	uint32_t got = 0;

	memcpy(frame, &vnet, sizeof(vnet));
	if (undone)
		store_be16(frame + 24 + l4 + vnet.csum_offset, 0x1234);
	rig_mark(A);
	rig_give_frame(A, 0, frame, frame_len);
	rig_round(A);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_true(A->sent_count >= 1);
	assert_true(rig_unseal(A, &A->sent[0], plaintext, &got));
	return got;
}

static void given_where_agreed_and_undone(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048], plain[2048];

	for (unsigned int row = 0; row < 32; row++) {
		bool v6 = row & 1, udp = row & 2, undone = row & 4;
		bool has = row & 8, acked = row & 16, agreed = has && acked;
		uint32_t len = make(ip, v6, udp, 100 + row);
		uint8_t raised = undone && agreed ? WIRE_HINT_NIBBLE : 0;
		struct packet pkt;
		uint32_t got;

		agree(A, has ? feature : nothing, acked);
		got = leaves(rig, ip, len, undone, plain);
		assert_int_equal(plain[0], ip[0] + raised);
		plain[0] = ip[0];
		assert_true(packet_parse_ip(plain, got, &pkt));
		/* Left as it was, or made. */
		assert_int_equal(packet_l4_checksum_ok(&pkt), !raised);
		packet_l4_checksum_fill(&pkt);
		assert_int_equal(pkt.len, len);
		assert_memory_equal(plain, ip, len);
	}
}

/* Another feature than this one is no leave. */
static void another_feature_is_not_this_one(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048], plain[2048];

	agree(A, ~feature, true);
	leaves(rig, ip, make(ip, false, false, 100), true, plain);
	assert_int_equal(plain[0], 0x45);
}

static void fragments_are_complete(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048], plain[2048];

	leaves(rig, ip, make(ip, false, true, 1800), true, plain);
	assert_int_equal(plain[0], 0x45);
	assert_true(load_be16(plain + 6) & IPV4_MF);
	assert_memory_equal(plain + 26, ip + 26, 2);
}

/* ---- the way in ---- */

static void hint(struct rig *rig, uint8_t *ip, uint32_t len)
{
	ip[0] += WIRE_HINT_NIBBLE;
	rig_mark(B);
	rig_tell(A, ip, len, 0);
	ip[0] -= WIRE_HINT_NIBBLE;
}

/* Delivered with what the kernel needs to make the checksum. */
static void kernel_is_asked(struct rig *rig, const uint8_t *ip, uint32_t ip_len)
{
	uint32_t l4 = ip[0] >> 4 == 4 ? 20 : 40;
	bool udp = (l4 == 20 ? ip[9] : ip[6]) == IPPROTO_WIRE_UDP;
	struct wire_vnet vnet;
	static uint8_t copy[2048];
	struct packet pkt;
	uint32_t len, at;

	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
	memcpy(&vnet, B->frames[0].data, sizeof(vnet));
	assert_int_equal(vnet.flags, VNET_F_NEEDS_CSUM);
	assert_int_equal(vnet.gso_type, VNET_GSO_NONE);
	assert_int_equal(vnet.csum_start, 14 + l4);
	assert_int_equal(vnet.csum_offset, udp ? 6 : 16);
	memcpy(copy, delivered(B, 0, &len), ip_len);
	assert_int_equal(len, ip_len);
	assert_true(packet_parse_ip(copy, len, &pkt));
	at = packet_l4_checksum_at(&pkt);
	assert_int_equal(load_be16(copy + at),
	                 (uint16_t)~checksum_fold(checksum_pseudo(&pkt, pkt.proto, len - l4)));
	memcpy(copy + at, ip + at, 2);
	assert_memory_equal(copy, ip, ip_len);
}

static void taken_where_agreed(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048];

	rig_learn(B, RIG_ADDR6(1));
	for (unsigned int row = 0; row < 8; row++) {
		uint32_t len = make(ip, row & 1, row & 2, 100);

		/* Before the peer has had our hello of this session, too: it may be under way. */
		agree(B, feature, row & 4);
		hint(rig, ip, len);
		kernel_is_asked(rig, ip, len);
	}
	for (unsigned int row = 0; row < 4; row++) {
		agree(B, ~feature, true);
		hint(rig, ip, make(ip, row & 1, row & 2, 100));
		assert_true(rig_only_dropped(B, DROP_IN_KIND, 1, RIG_PEER));
	}
}

/* A new session that the peer has not said anything on yet. */
static void keys_change_without_a_gap(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048];
	uint32_t len = make(ip, false, false, 100);
	struct burst *burst = burst_open(B->device);

	assert_non_null(burst);
	burst->now_ns = rig->now_ns;
	atomic_store(&B->peer->session.previous, atomic_load(&B->peer->session.current));
	rig_begin_session(burst, B->peer);
	atomic_store(&B->peer->session.previous, NULL);
	burst_close(burst);
	assert_false(hello_may_send(&B->peer->hello, WIRE_FEATURE_CHECKSUM_HINT));
	hint(rig, ip, len);
	kernel_is_asked(rig, ip, len);
}

/* A hello that no longer has it ends it. */
static void a_hello_without_it_ends_it(void **state)
{
	static const struct hello_message msg = { .version = 1, .tunnel_mtu = 1400, .ack = true };
	struct rig *rig = *state;
	uint8_t out[HELLO_SIZE_MAX], ip[2048];

	rig_tell(A, out, hello_format(out, &msg), 0);
	hint(rig, ip, make(ip, false, false, 100));
	assert_true(rig_only_dropped(B, DROP_IN_KIND, 1, RIG_PEER));
}

static void of_what_has_no_such_checksum(void **state)
{
	static const uint8_t echo[8] = { 0, 1 };
	struct rig *rig = *state;
	uint8_t ip[2048];
	uint32_t len = make(ip, false, false, 100);

	store_be16(ip + 6, IPV4_MF); /* a first fragment */
	len -= 4; /* of a multiple of 8 bytes */
	store_be16(ip + 2, (uint16_t)len);
	packet_ipv4_checksum_fill(ip);
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	store_be16(ip + 6, 1); /* a later one */
	packet_ipv4_checksum_fill(ip);
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	len = make(ip, false, true, 100);
	store_be16(ip + 24, 50); /* a datagram that ends before the packet */
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	len = make(ip, false, true, 100);
	ip[9] = IPPROTO_WIRE_ICMP;
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	len = rig_make_icmpv6(ip, RIG_ADDR6(0), RIG_ADDR6(1), 128, 64, echo, sizeof(echo));
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
	/* The nibble is all that the hint changes: the version behind it must be one. */
	make(ip, false, true, 100);
	ip[0] = 0x44;
	hint(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_IN_MALFORMED, 1, RIG_PEER));
}

/* Who waits for a neighbour waits without the hint. */
static void what_waits_is_made_whole(void **state)
{
	static const struct wire_vnet no_flags;
	struct rig *rig = *state;
	uint8_t ip[256], field[2];
	uint32_t len;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		const char *to = v6 ? "fd20:0:2::77" : "172.20.102.77";
		uint32_t ip_len = rig_make_udp(ip, v6 ? RIG_ADDR6(0) : RIG_ADDR(0), to, 68);
		uint32_t at = v6 ? 46 : 26;

		memcpy(field, ip + at, 2);
		store_be16(ip + at, 0x5555);
		hint(rig, ip, ip_len);
		rig_mark(B);
		rig_learn(B, to);
		assert_int_equal(packets(B), 1);
		assert_memory_equal(B->frames[0].data, &no_flags, sizeof(no_flags));
		memcpy(ip + at, field, 2);
		assert_memory_equal(delivered(B, 0, &len), ip, ip_len);
	}
}

/* ---- both ---- */

/* Through the tunnel as one superframe, and nobody made a checksum on the way. */
static void superframe_stays_undone(void **state)
{
	static uint8_t frame[RIG_PACKET_MAX + 24], ip[RIG_PACKET_MAX];
	struct rig *rig = *state;
	uint32_t len = rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 1380 * 20);
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                  .gso_type = VNET_GSO_TCPV4,
		                  .gso_size = 1380,
		                  .csum_start = TCP_AT,
		                  .csum_offset = 16 },
			 got;

	rig_learn(B, RIG_ADDR(1));
	len = rig_make_frame(frame, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip,
	                     len);
	memcpy(frame, &vnet, sizeof(vnet));
	store_be16(frame + 24 + 36, 0);
	rig_mark(A);
	rig_mark(B);
	rig_give_frame(A, 0, frame, len);
	rig_round(A);
	assert_int_equal(A->sent_count, 20);
	for (unsigned int i = 0; i < 20; i++) {
		uint8_t plain[2048];
		uint32_t plain_len;

		assert_true(rig_unseal(A, &A->sent[i], plain, &plain_len));
		assert_int_equal(plain[0], 0x55);
		assert_int_equal(load_be16(plain + 36), 0);
	}
	rig_pump(rig);
	assert_int_equal(B->frame_count, 1);
	memcpy(&got, B->frames[0].data, sizeof(got));
	assert_int_equal(got.flags, VNET_F_NEEDS_CSUM);
	assert_int_equal(got.gso_type, VNET_GSO_TCPV4);
	assert_int_equal(got.gso_size, 1380);
	assert_memory_equal(delivered(B, 0, &len) + 40, ip + 40, 1380 * 20);
}

/* A packet of TCP from host 0's container whose checksum is left to do. */
static void give_undone(struct rig *rig)
{
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                  .csum_start = TCP_AT,
		                  .csum_offset = 16 };
	uint8_t frame[512], ip[256];
	uint32_t len = rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 100);

	len = rig_make_frame(frame, A->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4, ip,
	                     len);
	memcpy(frame, &vnet, sizeof(vnet));
	rig_give_frame(A, 0, frame, len);
}

/*
 * The peer is a stock one by now, and begins a session. Its first message comes in the
 * round in which we still send on the last one: what was hinted for that does not go
 * out on the new one, and what comes later has no hints.
 */
static void none_on_the_next_session(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], plain[2048];
	struct keypair *last = atomic_load(&A->peer->session.current);
	uint32_t len;

	give_undone(rig);
	rig_round(A);
	assert_int_equal(A->sent_count, 1);
	assert_true(rig_unseal(A, &A->sent[0], plain, &len));
	assert_int_equal(plain[0], 0x55);

	rig->now_ns += 10 * RIG_SECOND;
	peer_reset(B->peer);
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_round(B);
	rig_mark(A);
	rig_hand_over(B);
	rig_round(A);
	rig_hand_over(A);
	rig_round(B);
	assert_ptr_equal(atomic_load(&A->peer->session.current), last);
	give_undone(rig);
	rig_hand_over(B);
	give_undone(rig);
	rig_mark(A);
	rig_round(A);
	assert_ptr_not_equal(atomic_load(&A->peer->session.current), last);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	for (unsigned int i = 0, packets = 0; i < A->sent_count; i++) {
		if (!rig_unseal(A, &A->sent[i], plain, &len) || !len || plain[0] >> 4 < 4)
			continue;
		assert_int_equal(plain[0], 0x45);
		assert_int_equal(packets++, 0);
	}
}

/* An acknowledged hello of the last session, held back by someone on the way, says nothing. */
static void a_late_hello_gives_no_leave(void **state)
{
	static const struct hello_message msg = {
		.version = 1, .features = HELLO_FEATURES, .boot = UINT64_MAX, .ack = true
	};
	struct rig *rig = *state;
	uint8_t out[HELLO_SIZE_MAX], sealed[HELLO_SIZE_MAX + MESSAGE_DATA_OVERHEAD], ip[256];
	struct hello *hello = &A->peer->hello;
	uint32_t len = rig_seal(B, out, hello_format(out, &msg), sealed);

	rig->now_ns += 60 * RIG_SECOND;
	peer_reset(B->peer);
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_pump(rig);
	assert_true(hello_may_send(hello, feature));
	/* As if it was a stock one. */
	atomic_store(&hello->version, 0);
	agree(A, 0, false);
	rig_mark(A);
	rig_give_datagram(A, &B->address, sealed, len, 0, 0);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_NONE, 0, RIG_NOBODY));
	assert_false(hello_may_send(hello, feature));
	assert_int_equal(atomic_load(&hello->version), 0);
}

static int open_rig_that_knows(void **state)
{
	int ret = open_connected_rig(state);
	struct rig *rig = *state;

	rig_learn(B, RIG_ADDR(1));
	rig_mark(B);
	return ret;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig_that_knows, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(given_where_agreed_and_undone), TEST(another_feature_is_not_this_one),
		TEST(fragments_are_complete),        TEST(taken_where_agreed),
		TEST(keys_change_without_a_gap),     TEST(a_hello_without_it_ends_it),
		TEST(of_what_has_no_such_checksum),  TEST(what_waits_is_made_whole),
		TEST(superframe_stays_undone),       TEST(none_on_the_next_session),
		TEST(a_late_hello_gives_no_leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
