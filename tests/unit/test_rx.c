/* SPDX-License-Identifier: MIT */
/*
 * The way in, up to the inner checks (test_inner.c), and what comes out at its
 * end. Each reason to drop has a test that sees its counter rise, and no other,
 * and nothing delivered (pitfall_29: an inverted check).
 */
#include "unit/rig_test.h"
#include "crypto/session.h"
#include "dataplane/packet.h"
#include "dataplane/rx.h"

/* ---- before authentication ---- */

static void inject(struct rig *rig, const uint8_t *data, uint32_t len)
{
	rig_give_datagram(B, &A->address, data, len, 0, 0);
	rig_round(B);
}

static void types_and_lengths(void **state)
{
	static const struct {
		uint32_t type, len;
	} rows[] = { { 1, 147 }, { 1, 149 },         { 1, 92 },          { 1, 64 },
		     { 2, 91 },  { 2, 93 },          { 2, 148 },         { 3, 63 },
		     { 3, 65 },  { 3, 92 },          { 4, 16 },          { 4, 31 },
		     { 0, 148 }, { 5, 148 },         { 255, 64 },        { 4, 15 },
		     { 4, 4 },   { 0x01000004, 64 }, { 0x04000000, 64 }, { 0x00000104, 64 },
		     { 6, 32 },  { 0, 32 },          { 0x101, 148 },     { 0x80000001, 148 } };
	static uint8_t data[65535];
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		rig_mark(B);
		store_le32(data, rows[i].type);
		inject(rig, data, rows[i].len);
		assert_true(rig_only_dropped(B, DROP_RX_MALFORMED, 1, RIG_NOBODY));
	}
	for (uint32_t len = 1; len < 32; len++) {
		rig_mark(B);
		store_le32(data, MESSAGE_DATA);
		inject(rig, data, len);
		assert_true(rig_only_dropped(B, DROP_RX_MALFORMED, 1, RIG_NOBODY));
	}
	rig_mark(B);
	store_le32(data, 7);
	inject(rig, data, 65507);
	assert_true(rig_only_dropped(B, DROP_RX_MALFORMED, 1, RIG_NOBODY));
}

static void pitfall_32_plaintext_on_the_wire(void **state)
{
	struct rig *rig = *state;
	uint8_t vxlan[64] = { 0x08 }, ip[256];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100);

	inject(rig, vxlan, sizeof(vxlan));
	inject(rig, ip, len);
	assert_true(rig_only_dropped(B, DROP_RX_MALFORMED, 2, RIG_NOBODY));
}

/* A null cipher: the plaintext behind a right header, its tag zero or anything. */
static void pitfall_32_null_cipher(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[256];
	uint32_t len = rig_make_udp(msg + 16, RIG_ADDR(0), RIG_ADDR(1), 52);
	struct keypair *kp = atomic_load(&B->peer->session.current);

	store_le32(msg, MESSAGE_DATA);
	store_le32(msg + 4, kp->local_index);
	store_le64(msg + 8, 77);
	memset(msg + 16 + len, 0, 16);
	inject(rig, msg, 16 + len + 16);
	assert_true(rig_only_dropped(B, DROP_RX_BAD_AUTH, 1, RIG_PEER));
}

static void unknown_index(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], msg[300];
	uint32_t len = rig_seal(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100), msg);

	msg[4] ^= 1;
	inject(rig, msg, len);
	assert_true(rig_only_dropped(B, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
}

/* The index of a handshake under way is no key pair's. */
static void index_of_a_handshake(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[64] = { 0 };

	peer_reset(B->peer);
	rig_learn(B, RIG_ADDR(1));
	uint8_t ip[256];
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_round(B);
	assert_int_equal(B->sent_count, 1);
	store_le32(msg, MESSAGE_DATA);
	memcpy(msg + 4, B->sent[0].data + 4, 4);
	rig_mark(B);
	inject(rig, msg, sizeof(msg));
	assert_true(rig_only_dropped(B, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
}

static void key_expires_after_180_seconds(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], msg[2][300];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100);
	uint32_t sealed = rig_seal(A, ip, len, msg[0]);

	rig_seal(A, ip, len, msg[1]);
	rig->now_ns = atomic_load(&B->peer->session.current)->birth_ns + 180 * RIG_SECOND - 1;
	inject(rig, msg[0], sealed);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(packets(B), 1);
	rig->now_ns++;
	rig_mark(B);
	inject(rig, msg[1], sealed);
	assert_true(rig_counted(B, DROP_RX_KEY_EXPIRED, 1, RIG_PEER));
	assert_int_equal(packets(B), 0);
}

/*
 * Another worker made the key pair a moment after this one looked at the clock:
 * the key is young, not 584 years old.
 */
static void key_of_a_moment_ahead(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], msg[300];
	uint32_t len = rig_seal(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100), msg);

	rig->now_ns -= RIG_MS;
	assert_non_null(peer_send_keypair(A->peer, rig->now_ns));
	inject(rig, msg, len);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 1);
}

static void bad_tag(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], msg[300];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100);
	struct endpoint thief = A->address, now;
	uint32_t sealed = 0;

	thief.remote.in.sin_port = 1;
	for (uint32_t at = 8; at < 16 + len + 16; at += 5) {
		rig_mark(B);
		sealed = rig_seal(A, ip, len, msg);
		msg[at] ^= 0x10;
		rig_give_datagram(B, &thief, msg, sealed, 0, 0);
		rig_round(B);
		assert_true(rig_only_dropped(B, DROP_RX_BAD_AUTH, 1, RIG_PEER));
	}
	/* Cut short, and longer by one. */
	rig_mark(B);
	rig_seal(A, ip, len, msg);
	rig_give_datagram(B, &thief, msg, sealed - 1, 0, 0);
	rig_give_datagram(B, &thief, msg, sealed + 1, 0, 0);
	rig_round(B);
	assert_true(rig_only_dropped(B, DROP_RX_BAD_AUTH, 2, RIG_PEER));
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), 0);
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &A->address));
}

static void replays(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256], msg[300];
	uint32_t len = rig_seal(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 100), msg);
	struct endpoint thief = A->address, now;

	inject(rig, msg, len);
	assert_int_equal(B->frame_count, 1);
	rig_mark(B);
	thief.remote.in.sin_addr.s_addr ^= 0xff;
	rig_give_datagram(B, &thief, msg, len, 0, 0);
	rig_round(B);
	assert_true(rig_only_dropped(B, DROP_RX_REPLAY, 1, RIG_PEER));
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &A->address));
}

static void replay_within_one_burst_and_behind_the_window(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64], burst[3 * 128];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10);
	struct keypair *kp = atomic_load(&A->peer->session.current);
	uint32_t sealed = rig_seal(A, ip, len, burst);

	memcpy(burst + sealed, burst, sealed);
	rig_seal(A, ip, len, burst + 2 * sealed);
	rig_give_datagram(B, &A->address, burst, 3 * sealed, sealed, 0);
	rig_round(B);
	assert_true(rig_counted(B, DROP_RX_REPLAY, 1, RIG_PEER));
	/* pitfall_4: far ahead, then far behind. */
	uint64_t old = atomic_load(&kp->send_counter);
	atomic_store(&kp->send_counter, old + 100000);
	rig_mark(B);
	inject(rig, burst, rig_seal(A, ip, len, burst));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	atomic_store(&kp->send_counter, old + 100000 - 8128 + 1);
	inject(rig, burst, rig_seal(A, ip, len, burst));
	assert_int_equal(B->frame_count, 2);
	rig_mark(B);
	atomic_store(&kp->send_counter, old + 100000 - 8200);
	inject(rig, burst, rig_seal(A, ip, len, burst));
	assert_true(rig_only_dropped(B, DROP_RX_REPLAY, 1, RIG_PEER));
}

/* One UDP_GRO event of all sorts: each is judged by itself, the good are delivered. */
static void mixed_burst(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[128], other[128], burst[7 * 160];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68), size;

	rig_make_udp(other, "172.20.103.2", RIG_ADDR(1), 68);
	size = rig_seal(A, ip, len, burst);
	rig_seal(A, ip, len, burst + size);
	burst[2 * size - 1] ^= 1; /* bad tag */
	rig_seal(A, other, len, burst + 2 * size); /* not its source */
	memset(burst + 3 * size, 0xee, size); /* junk */
	rig_seal(A, ip, len, burst + 4 * size);
	burst[4 * size + 5] ^= 0x80; /* another's index */
	rig_seal(A, ip, len, burst + 5 * size);
	len = rig_seal(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 3), burst + 6 * size);
	rig_give_datagram(B, &A->address, burst, 6 * size + len, size, 0);
	rig_round(B);
	assert_int_equal(rig_dropped(B, DROP_RX_BAD_AUTH), 1);
	assert_int_equal(rig_dropped(B, DROP_IN_SOURCE), 1);
	assert_int_equal(rig_dropped(B, DROP_RX_MALFORMED), 1);
	assert_int_equal(rig_dropped(B, DROP_RX_UNKNOWN_INDEX), 1);
	/* Three came through: two of one size and a shorter one, in one superframe or three. */
	uint32_t payload = 0;
	for (unsigned int i = 0; i < B->frame_count; i++)
		payload += B->frames[i].len - 24 - 28;
	assert_int_equal(payload, 68 + 68 + 3);
}

/* ---- the first byte ---- */

static void every_first_byte(void **state)
{
	struct rig *rig = *state;
	uint8_t plain[96];

	for (unsigned int first = 0; first < 256; first++) {
		enum drop reason = DROP_IN_KIND;

		/* Behind the first byte a perfect IPv4 packet, so that nothing else is wrong. */
		rig_make_udp(plain, RIG_ADDR(0), RIG_ADDR(1), 68);
		plain[0] = (uint8_t)first;
		if (first == 0x45)
			continue;
		if (first == 0x55) /* agreed upon in this rig: test_hint.c */
			continue;
		if (first >> 4 >= 4 && first >> 4 <= 7)
			reason = DROP_IN_MALFORMED;
		if (first >> 4 == 1)
			reason = DROP_NONE; /* of a type to come */
		if (first == WIRE_VXLAN_FLAGS)
			reason = DROP_IN_VNI;
		rig_mark(B);
		rig_tell(A, plain, sizeof(plain), 0);
		assert_true(rig_only_dropped(B, reason, 1, RIG_PEER));
		/* And alone. */
		rig_mark(B);
		rig_tell(A, plain, 1, 0);
		if (first >> 4 == 1)
			reason = DROP_IN_CONTROL;
		if (first == WIRE_VXLAN_FLAGS)
			reason = DROP_IN_FRAME;
		assert_true(rig_only_dropped(B, reason, 1, RIG_PEER));
	}
}

static void vxlan_and_hints_before_any_agreement(void **state)
{
	struct rig *rig = *state;
	uint8_t plain[128] = { 0x08, 0, 0, 0, 0, 0, 1, 0 };

	atomic_store(&B->peer->hello.features, 0);
	rig_tell(A, plain, sizeof(plain), 0);
	assert_true(rig_only_dropped(B, DROP_IN_KIND, 1, RIG_PEER));
	for (unsigned int v6 = 0; v6 < 2; v6++) {
		uint32_t len = v6 ? rig_make_tcp(plain, RIG_ADDR6(0), RIG_ADDR6(1), TCP_ACK, 20)
		                  : rig_make_tcp(plain, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 20);

		plain[0] += 0x10;
		rig_mark(B);
		rig_tell(A, plain, len, 0);
		assert_true(rig_only_dropped(B, DROP_IN_KIND, 1, RIG_PEER));
	}
}

static void control_messages(void **state)
{
	struct rig *rig = *state;
	uint8_t plain[64] = { WIRE_CONTROL_FIRST, WIRE_CONTROL_HELLO, 0, 40 };

	/* The length leaves the message. */
	rig_tell(A, plain, 32, 0);
	assert_true(rig_only_dropped(B, DROP_IN_CONTROL, 1, RIG_PEER));
	/* A hello without a version. */
	rig_mark(B);
	plain[3] = 0;
	rig_tell(A, plain, 32, 0);
	assert_true(rig_only_dropped(B, DROP_IN_CONTROL, 1, RIG_PEER));
	/* Types of versions to come are nobody's fault. */
	rig_mark(B);
	plain[1] = 99;
	rig_tell(A, plain, 32, 0);
	plain[0] = 0x1f;
	rig_tell(A, plain, 32, 0);
	assert_true(rig_only_dropped(B, DROP_NONE, 0, RIG_NOBODY));
	/* None of it is data: no keepalive is owed. */
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), 0);
}

/* ---- ECN, padding, what is delivered ---- */

/* RFC 6040, figure 4: rows by the inner field, columns by the outer; -1: drop. */
static const int ecn_table[4][4] = {
	/* outer: Not-ECT, ECT(1), ECT(0), CE */
	[0] = { 0, 0, 0, -1 },
	[2] = { 2, 1, 2, 3 },
	[1] = { 1, 1, 1, 3 },
	[3] = { 3, 3, 3, 3 },
};

static void ecn_by_rfc_6040(void **state)
{
	struct rig *rig = *state;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (uint8_t inner = 0; inner < 4; inner++) {
			for (uint8_t outer = 0; outer < 4; outer++) {
				int wanted = ecn_table[inner][outer];
				uint8_t ip[256];
				uint32_t len, got;
				const uint8_t *out;
				struct packet pkt;

				assert_int_equal(rx_ecn(inner, outer), wanted);
				len = v6 ? rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 30)
				         : rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 30);
				rig_set_tos(ip, (uint8_t)(0xb8 | inner));
				rig_mark(B);
				/* Outer DSCP is nobody's business inside. */
				rig_tell(A, ip, len, (uint8_t)(0x48 | outer));
				if (wanted < 0) {
					assert_true(rig_only_dropped(B, DROP_IN_ECN, 1, RIG_PEER));
					continue;
				}
				assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
				out = delivered(B, 0, &got);
				rig_set_tos(ip, (uint8_t)(0xb8 | wanted));
				assert_int_equal(got, len);
				assert_memory_equal(out, ip, len);
				assert_true(packet_parse_ip(B->frames[0].data + 24, got, &pkt));
				assert_true(v6 || packet_ipv4_checksum_ok(&pkt));
			}
		}
	}
}

static void pitfall_23_padding_is_trimmed(void **state)
{
	struct rig *rig = *state;

	for (uint32_t payload = 0; payload < 40; payload++) {
		for (unsigned int v6 = 0; v6 < 2; v6++) {
			uint8_t ip[256] = { 0 };
			uint32_t len = v6 ? rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), payload)
			                  : rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), payload);
			uint32_t got;

			memset(ip + len, 0, 16);
			rig_mark(B);
			rig_tell(A, ip, (len + 15) & ~15u, 0);
			assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
			assert_int_equal(B->frame_count, 1);
			assert_memory_equal(delivered(B, 0, &got), ip, len);
			assert_int_equal(got, len);
		}
	}
}

static void what_is_delivered(void **state)
{
	struct rig *rig = *state;
	uint64_t packets = stats_read(&B->net->rx_packets), bytes = stats_read(&B->net->rx_bytes);
	uint64_t peer_bytes = stats_read(&B->peer->rx_bytes);
	uint8_t ip[RIG_PACKET_MAX];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 1001), got;
	static const uint8_t no_offload[10];

	rig_tell(A, ip, len, 0);
	assert_int_equal(B->frame_count, 1);
	assert_int_equal(B->frames[0].port, 0);
	assert_memory_equal(B->frames[0].data, no_offload, sizeof(no_offload));
	assert_memory_equal(B->frames[0].data + 10, RIG_CONTAINER_MAC, 6);
	assert_memory_equal(B->frames[0].data + 16, B->net->router_mac, 6);
	assert_int_equal(load_be16(B->frames[0].data + 22), ETHERTYPE_WIRE_IPV4);
	assert_memory_equal(delivered(B, 0, &got), ip, len);
	assert_int_equal(got, len);
	assert_int_equal(stats_read(&B->net->rx_packets) - packets, 1);
	assert_int_equal(stats_read(&B->net->rx_bytes) - bytes, len);
	assert_int_equal(stats_read(&B->peer->rx_bytes) - peer_bytes, len + 32);
}

static void keepalives_end_at_the_timers(void **state)
{
	struct rig *rig = *state;
	rig_tell(A, NULL, 0, 0);
	assert_true(rig_only_dropped(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), 0);
}

static void pitfall_15_bad_inner_packets_are_heard(void **state)
{
	struct rig *rig = *state;
	uint8_t junk[32] = { 0xf0 };
	struct endpoint moved = A->address, now;
	uint8_t sealed[64];

	moved.remote.in.sin_port = htons(4242);
	rig_give_datagram(B, &moved, sealed, rig_seal(A, junk, sizeof(junk), sealed), 0, 0);
	rig_round(B);
	assert_true(rig_only_dropped(B, DROP_IN_KIND, 1, RIG_PEER));
	/* It was authentic: the peer roamed, and a keepalive is owed. */
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &moved));
	assert_int_equal(deadline(B, TIMER_KEEPALIVE), rig->now_ns + TIMERS_KEEPALIVE_NS);
}

/* What was under way when the peer moved comes later, and does not call it back. */
static void stragglers_move_no_endpoint(void **state)
{
	struct rig *rig = *state;
	struct endpoint moved = A->address, now;
	uint8_t sealed[3][64];
	uint32_t len = 0;

	for (int i = 0; i < 3; i++)
		len = rig_seal(A, NULL, 0, sealed[i]);
	moved.remote.in.sin_port = htons(4242);
	rig_give_datagram(B, &moved, sealed[1], len, 0, 0);
	rig_round(B);
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &moved));
	rig_give_datagram(B, &A->address, sealed[0], len, 0, 0);
	rig_round(B);
	assert_true(rig_only_dropped(B, DROP_NONE, 0, RIG_NOBODY));
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &moved));
	rig_give_datagram(B, &A->address, sealed[2], len, 0, 0);
	rig_round(B);
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &A->address));
}

static void tap_refuses(void **state)
{
	struct rig *rig = *state;

	B->fail_writes = -5;
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_TAP_WRITE, 1, RIG_NET));
	tell_udp(rig, RIG_ADDR(0), "172.20.102.90"); /* the ARP question this time */
	assert_true(rig_only_dropped(B, DROP_TAP_WRITE, 1, RIG_NET));
}

/* Packets that were merged into one write are lost with it, each of them. */
static void tap_refuses_a_merged_write(void **state)
{
	enum { COUNT = 7, LEN = 16 + 48 + 16 };
	struct rig *rig = *state;
	uint8_t ip[256], run[COUNT * LEN];

	for (unsigned int i = 0; i < COUNT; i++)
		assert_int_equal(rig_seal(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20),
		                          run + i * LEN),
		                 LEN);
	rig_mark(B);
	rig_give_datagram(B, &A->address, run, sizeof(run), LEN, 0);
	B->fail_writes = -5;
	rig_round(B);
	assert_true(rig_only_dropped(B, DROP_TAP_WRITE, COUNT, RIG_NET));
}

/* ---- the burst ---- */

struct taken {
	unsigned int writes;
	bool lost;
};

/* Frames count up in their last two bytes. */
static void take_writes(struct burst *burst, void *arg)
{
	struct taken *taken = arg;
	struct ring_write *writes;
	unsigned int n = coalesce_finish(burst->coalesce, &writes);

	for (unsigned int i = 0; i < n; i++, taken->writes++) {
		const struct iovec *last = &writes[i].iov[writes[i].iov_count - 1];

		taken->lost |=
			load_be16((uint8_t *)last->iov_base + last->iov_len - 2) != taken->writes;
	}
	burst_reset(burst);
}

/* More frames than fit between two flushes, each in the burst's buffer until then. */
static void a_burst_of_frames(void **state)
{
	enum { COUNT = 2 * COALESCE_PACKETS + 5 };
	struct rig *rig = *state;
	struct burst *burst = burst_open(B->device);
	struct taken taken = { 0 };

	assert_non_null(burst);
	rig_mark(B);
	burst->view = atomic_load(&B->device->view);
	burst->flush = take_writes;
	burst->flush_arg = &taken;
	for (unsigned int i = 0; i < COUNT; i++) {
		/* Larger ones behind the first flush, which run into what it had to keep. */
		uint8_t *bytes = burst_take(burst, i <= COALESCE_PACKETS ? 60 : 200);
		struct frame frame;

		memset(bytes, 0, 60);
		store_be16(bytes + 12, 0x88b5);
		store_be16(bytes + 58, (uint16_t)i);
		assert_true(packet_parse_frame(bytes, 60, &frame));
		burst_add_frame_delivery(burst, &frame, 0);
	}
	burst->flush(burst, burst->flush_arg);
	burst_close(burst);
	assert_int_equal(taken.writes, COUNT);
	assert_false(taken.lost);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(types_and_lengths),
		rig_connected_test(pitfall_32_plaintext_on_the_wire),
		rig_connected_test(pitfall_32_null_cipher),
		rig_connected_test(unknown_index),
		rig_connected_test(index_of_a_handshake),
		rig_connected_test(key_expires_after_180_seconds),
		rig_connected_test(key_of_a_moment_ahead),
		rig_connected_test(bad_tag),
		rig_connected_test(replays),
		rig_connected_test(replay_within_one_burst_and_behind_the_window),
		rig_connected_test(mixed_burst),
		rig_connected_test(every_first_byte),
		rig_connected_test(vxlan_and_hints_before_any_agreement),
		rig_connected_test(control_messages),
		rig_connected_test(ecn_by_rfc_6040),
		rig_connected_test(pitfall_23_padding_is_trimmed),
		rig_connected_test(what_is_delivered),
		rig_connected_test(keepalives_end_at_the_timers),
		rig_connected_test(pitfall_15_bad_inner_packets_are_heard),
		rig_connected_test(stragglers_move_no_endpoint),
		rig_connected_test(tap_refuses),
		rig_connected_test(tap_refuses_a_merged_write),
		rig_connected_test(a_burst_of_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
