/* SPDX-License-Identifier: MIT */
/*
 * Probes between two daemons: how far a packet gets, each reason that stops it, and what
 * a peer that asks can and cannot have done. Host 0 asks, host 1 is asked.
 */
#include "unit/frames.h"
#include "dataplane/probe.h"
#include "dataplane/tlv.h"

/* What host 1's container does. */
static struct {
	bool arp, ping;
	unsigned int echoes, questions;
	uint32_t longest;
} container;

static struct probe_own own;

static struct probe_packet packet_of(const char *from, const char *to, uint16_t len)
{
	struct probe_packet packet = { .len = len };
	bool v6 = rig_parse_addr(packet.source, from);

	(void)rig_parse_addr(packet.destination, to);
	packet.family = v6 ? 6 : 4;
	packet.protocol = v6 ? IPPROTO_WIRE_ICMPV6 : IPPROTO_WIRE_ICMP;
	return packet;
}

/* An echo request turned into what a container answers. */
static void turn(uint8_t *ip, uint32_t len)
{
	bool v4 = ip[0] >> 4 == 4;
	uint32_t head = v4 ? 20 : 40, addr = v4 ? 4 : 16, at = v4 ? 12 : 8;
	uint8_t keep[16];
	struct packet pkt;
	uint64_t sum = 0;

	memcpy(keep, ip + at, addr);
	memcpy(ip + at, ip + at + addr, addr);
	memcpy(ip + at + addr, keep, addr);
	assert_int_equal(ip[head], v4 ? ICMPV4_ECHO : ICMPV6_ECHO);
	ip[head] = v4 ? ICMPV4_ECHO_REPLY : ICMPV6_ECHO_REPLY;
	store_be16(ip + head + 2, 0);
	assert_true(packet_parse_ip(ip, len, &pkt));
	if (!v4)
		sum = checksum_pseudo(&pkt, IPPROTO_WIRE_ICMPV6, len - head);
	store_be16(ip + head + 2, checksum_fold(checksum_add(sum, ip + head, len - head)));
}

/* Questions and echoes that host 1's TAP was given since. True: there was any. */
static bool let_container_answer(struct rig *rig, const char *addr)
{
	static uint8_t ip[RIG_PACKET_MAX];
	bool asked = false;
	uint32_t len = 0;

	for (unsigned int i = 0; i < B->frame_count; i++) {
		const struct rig_record *frame = &B->frames[i];
		uint16_t type = load_be16(frame->data + 22);
		bool nd =
			type == ETHERTYPE_WIRE_IPV6 && frame->data[24 + 40] == ICMPV6_NEIGH_SOLICIT;

		if (type == ETHERTYPE_WIRE_ARP || nd) {
			asked = true;
			container.questions++;
			continue;
		}
		container.echoes++;
		len = frame->len - 24;
		memcpy(ip, frame->data + 24, len);
		if (len > container.longest)
			container.longest = len;
	}
	rig_mark(B);
	if (asked && container.arp && B->frame_count == 0)
		rig_learn(B, addr);
	if (len && container.ping) {
		turn(ip, len);
		rig_give_ip(B, ip, len);
		rig_round(B);
	}
	return asked || len;
}

static void begin(struct rig *rig, const struct probe_packet *packet)
{
	uint64_t number;

	container.echoes = container.questions = container.longest = 0;
	number = probe_start(A->device, &(struct probe_order){ .peer = A->peer,
	                                                       .packet = *packet,
	                                                       .wait_ns = 6 * RIG_SECOND });
	assert_true(probe_look(A->device, number, &own));
	assert_int_equal(own.number, number);
}

/* Until it is over; the clock moves on in small steps. */
static void run(struct rig *rig, const struct probe_packet *packet, const char *addr)
{
	begin(rig, packet);
	rig_mark(B);
	for (unsigned int i = 0; i < 2000; i++) {
		rig_advance(rig, 10 * RIG_MS);
		rig_pump(rig);
		(void)let_container_answer(rig, addr);
		assert_true(probe_look(A->device, own.number, &own));
		if (probe_is_over(&own))
			return;
	}
	fail();
}

static void assert_answer(enum probe_stage stage, const char *reason)
{
	assert_int_equal(own.phase, PROBE_DONE);
	assert_string_equal(own.answer.reason, reason);
	assert_int_equal(own.answer.stage, stage);
	assert_false(own.answer.flags & PROBE_PENDING);
}

static void arrives(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);
	uint32_t mtu = atomic_load(&A->peer->tunnel_mtu);

	container.arp = container.ping = true;
	run(rig, &packet, RIG_ADDR(1));
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(container.longest, 84);
	assert_int_equal(own.answer.tunnel_mtu, mtu);
	assert_true(own.round_trip_ns > 0);
	/* The answer went nowhere. */
	assert_int_equal(packets(A), 0);
	/* As long as one message takes. */
	packet.len = (uint16_t)mtu;
	run(rig, &packet, RIG_ADDR(1));
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(container.longest, mtu);
	assert_int_equal(own.message, mtu);
	/* Longer ones are tried as long as a message can be. */
	packet.len = 9000;
	run(rig, &packet, RIG_ADDR(1));
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(container.longest, mtu);

	packet = packet_of(RIG_ADDR6(0), RIG_ADDR6(1), 104);
	run(rig, &packet, RIG_ADDR6(1));
	assert_answer(PROBE_ANSWERED, "");
}

/* Whom nobody has asked for yet. */
#define SOMEONE "172.20.102.9"

static void stops_at_the_container(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), SOMEONE, 84);

	container.arp = container.ping = false;
	run(rig, &packet, SOMEONE);
	assert_answer(PROBE_ATTACHED, "in-unresolved");
	assert_int_equal(container.echoes, 0);
	assert_int_equal(container.questions, 3);
	container.arp = true;
	rig_advance(rig, 10 * RIG_SECOND);
	rig_pump(rig);
	run(rig, &packet, SOMEONE);
	assert_answer(PROBE_WRITTEN, "");
	assert_int_equal(container.echoes, PROBE_ECHOES);
	/* That it was there a minute ago says nothing: it is asked now. */
	container.arp = false;
	rig_advance(rig, 60 * RIG_SECOND);
	rig_pump(rig);
	run(rig, &packet, SOMEONE);
	assert_answer(PROBE_ATTACHED, "in-unresolved");
}

static void the_bridge_itself(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_GATEWAY(1), 84);

	container.arp = container.ping = false;
	run(rig, &packet, RIG_GATEWAY(1));
	assert_answer(PROBE_WRITTEN, "");
	assert_true(own.answer.flags & PROBE_GATEWAY);
	assert_int_equal(container.questions, 0);
}

static void each_reason(void **state)
{
	static const struct {
		const char *from, *to, *more, *reason;
		enum probe_stage stage;
	} rows[] = {
		{ "127.0.0.1", "172.20.102.2", NULL, "in-martian", PROBE_HEARD },
		{ "172.20.101.2", "224.0.0.9", NULL, "in-broadcast", PROBE_HEARD },
		{ "10.1.1.1", "172.20.102.2", NULL, "in-source", PROBE_HEARD },
		{ "172.20.103.2", "172.20.102.2", NULL, "in-source", PROBE_HEARD },
		{ "172.20.102.9", "172.20.102.2", NULL, "in-source", PROBE_HEARD },
		{ "10.9.0.1", "172.20.102.2", NULL, "in-network", PROBE_HEARD },
		{ "172.20.101.2", "10.9.0.1", NULL, "in-network", PROBE_HEARD },
		{ "172.20.101.2", "172.21.102.2", NULL, "in-network", PROBE_HEARD },
		{ "172.20.101.2", "172.20.103.2", NULL, "in-not-local", PROBE_HEARD },
		{ "172.20.101.2", "172.20.101.3", NULL, "in-not-local", PROBE_HEARD },
		{ "172.20.102.1", "172.20.102.2", "172.20.102.1/32", "in-gateway", PROBE_HEARD },
		{ "172.21.101.2", "172.21.102.2", NULL, "in-no-bridge", PROBE_ADMITTED },
		{ "fd20:0:3::2", "fd20:0:2::2", NULL, "in-source", PROBE_HEARD },
		{ "fd20:0:1::2", "fd20:0:3::2", NULL, "in-not-local", PROBE_HEARD },
	};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct rig_options options = { .more_allowed = { rows[i].more } };
		struct probe_packet packet = packet_of(rows[i].from, rows[i].to, 104);

		rig_publish(B, &options);
		run(rig, &packet, rows[i].to);
		assert_answer(rows[i].stage, rows[i].reason);
		assert_int_equal(own.requests, 1);
		assert_int_equal(container.echoes + container.questions, 0);
	}
}

/* ---- the end of who asks ---- */

/* Whether host 0's container does what one does; until both ends have said their last word. */
static void run_here(struct rig *rig, bool arp, bool ping)
{
	struct probe_packet packet = packet_of("172.20.101.9", RIG_ADDR(1), 84);
	static uint8_t ip[RIG_PACKET_MAX];
	uint64_t number = probe_start(A->device, &(struct probe_order){ .peer = A->peer,
	                                                                .packet = packet,
	                                                                .here = true,
	                                                                .wait_ns = RIG_SECOND });

	container.arp = container.ping = true;
	for (unsigned int i = 0; i < 2000; i++) {
		rig_mark(A);
		rig_mark(B);
		rig_advance(rig, 10 * RIG_MS);
		rig_pump(rig);
		(void)let_container_answer(rig, RIG_ADDR(1));
		for (unsigned int j = 0; j < A->frame_count; j++) {
			const struct rig_record *frame = &A->frames[j];

			if (load_be16(frame->data + 22) == ETHERTYPE_WIRE_ARP) {
				if (arp)
					rig_learn(A, "172.20.101.9");
				break;
			}
			memcpy(ip, frame->data + 24, frame->len - 24);
			if (!ping)
				continue;
			turn(ip, frame->len - 24);
			rig_give_ip(A, ip, frame->len - 24);
		}
		rig_round(A);
		assert_true(probe_look(A->device, number, &own));
		if (probe_is_all_over(&own))
			return;
	}
	fail();
}

static void both_ends_are_tried(void **state)
{
	struct rig *rig = *state;

	run_here(rig, false, false);
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(own.here_answer.stage, PROBE_ATTACHED);
	assert_string_equal(own.here_answer.reason, "in-unresolved");
	rig_advance(rig, 10 * RIG_SECOND);
	rig_pump(rig);
	run_here(rig, true, false);
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(own.here_answer.stage, PROBE_WRITTEN);
	run_here(rig, true, true);
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(own.here_answer.stage, PROBE_ANSWERED);
	assert_string_equal(own.here_answer.reason, "");
}

/* ---- what is between the two ---- */

static void no_endpoint(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(2), 84);
	uint64_t number = probe_start(
		A->device,
		&(struct probe_order){ .peer = A->third, .packet = packet, .wait_ns = RIG_SECOND });

	rig_advance(rig, RIG_MS);
	assert_true(probe_look(A->device, number, &own));
	assert_int_equal(own.phase, PROBE_NO_ENDPOINT);
	assert_false(probe_look(A->device, number + 1, &own));
}

static void a_session_is_made_for_it(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);

	container.arp = container.ping = true;
	assert_null(peer_send_keypair(A->peer, rig->now_ns));
	run(rig, &packet, RIG_ADDR(1));
	assert_answer(PROBE_ANSWERED, "");
}

static void nobody_answers(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);

	begin(rig, &packet);
	for (unsigned int i = 0; i < 700; i++)
		rig_advance(rig, 10 * RIG_MS);
	assert_true(probe_look(A->device, own.number, &own));
	assert_int_equal(own.phase, PROBE_NO_SESSION);
	assert_int_equal(own.requests, 0);
}

static void a_peer_that_is_gone(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);
	unsigned int initiations = 0;

	rig_advance(rig, 10 * RIG_SECOND);
	begin(rig, &packet);
	for (unsigned int i = 0; i < 700; i++)
		rig_advance(rig, 10 * RIG_MS);
	assert_true(probe_look(A->device, own.number, &own));
	assert_int_equal(own.phase, PROBE_SILENT);
	assert_true(own.asked_session);
	/* Ten a second, until it is over. */
	assert_in_range(own.requests, 50, 61);
	for (unsigned int i = 0; i < A->sent_count; i++)
		initiations += A->sent[i].data[0] == MESSAGE_INITIATION;
	assert_in_range(initiations, 1, 2);
}

static void stock_peers_get_none(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);

	rig_advance(rig, 10 * RIG_SECOND);
	atomic_store(&A->peer->hello.version, 0);
	atomic_store(&A->peer->hello.features, 0);
	run(rig, &packet, RIG_ADDR(1));
	assert_int_equal(own.phase, PROBE_STOCK);
	assert_int_equal(own.requests, 0);
	atomic_store(&A->peer->hello.version, 1);
	atomic_store(&A->peer->hello.features, WIRE_FEATURE_ECHO);
	run(rig, &packet, RIG_ADDR(1));
	assert_int_equal(own.phase, PROBE_TOO_OLD);
	assert_int_equal(own.requests, 0);
}

/* ---- a peer that asks for too much, or answers what was not asked ---- */

/* Host 0 says it to host 1; how many replies came, and how long the longest was. */
static unsigned int ask(struct rig *rig, const uint8_t *data, uint32_t len, uint32_t *longest)
{
	static uint8_t plain[RIG_PACKET_MAX];
	unsigned int n = 0;

	rig_mark(B);
	rig_tell(A, data, len, 0);
	rig_round(B);
	for (unsigned int i = 0; i < B->sent_count; i++) {
		uint32_t got = 0;
		bool opens = rig_unseal(B, &B->sent[i], plain, &got);

		assert_true(!opens || got); /* nor a keepalive instead */
		if (opens && got >= 2 && plain[0] == WIRE_CONTROL_FIRST &&
		    plain[1] == WIRE_CONTROL_PROBE_REPLY) {
			n++;
			if (got > *longest)
				*longest = got;
		}
	}
	return n;
}

static uint32_t make(uint8_t *out, uint32_t size, uint64_t number)
{
	struct probe_message msg = { .type = WIRE_CONTROL_PROBE,
		                     .number = number,
		                     .packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 1400) };

	return probe_format(out, size, &msg);
}

static void never_more_than_was_asked(void **state)
{
	struct rig *rig = *state;
	uint8_t out[RIG_PACKET_MAX];
	uint32_t longest = 0, len;
	unsigned int n = 0;

	for (int i = DROP_IN_KIND; i < DROP_IN_KIND + 10; i++)
		atomic_store(&B->peer->drops[i], UINT64_MAX);
	/* Short requests: the answer has what there is room for, or there is none. */
	for (uint32_t size = 40; size <= PROBE_SIZE_MIN; size += 16) {
		longest = 0;
		len = make(out, size, size);
		if (!len)
			continue;
		n += ask(rig, out, len, &longest);
		assert_true(longest <= ((size + 15) & ~15u));
	}
	assert_true(n > 2);
	/* Nor is an echo on the bridge longer than what asked for it. */
	rig_learn(B, RIG_ADDR(1));
	len = make(out, PROBE_SIZE_MIN, 7777);
	rig_advance(rig, 2 * RIG_SECOND);
	(void)ask(rig, out, len, &longest);
	assert_int_equal(packets(B), 1);
	assert_int_equal(B->frames[B->frame_count - 1].len - 24, PROBE_SIZE_MIN);
}

static void answers_are_limited(void **state)
{
	struct rig *rig = *state;
	uint8_t out[PROBE_SIZE_MIN];
	uint32_t len, longest = 0;
	unsigned int n = 0, frames = 0;

	rig_advance(rig, 10 * RIG_SECOND);
	rig_pump(rig);
	for (uint64_t i = 1; i <= 200; i++) {
		len = make(out, sizeof(out), i);
		n += ask(rig, out, len, &longest);
		frames += B->frame_count;
	}
	assert_int_equal(n, PROBE_BURST);
	/* All asked for one address: which is asked for once. */
	assert_int_equal(frames, 1);
	rig_advance(rig, RIG_SECOND);
	for (uint64_t i = 1; i <= 200; i++) {
		len = make(out, sizeof(out), i);
		n += ask(rig, out, len, &longest);
	}
	assert_in_range(n, PROBE_BURST + 49, PROBE_BURST + 51);
}

static void nothing_before_it_was_agreed_upon(void **state)
{
	struct rig *rig = *state;
	uint8_t out[PROBE_SIZE_MIN];
	uint32_t len = make(out, sizeof(out), 5), longest = 0;

	atomic_store(&B->peer->hello.features, WIRE_FEATURE_ECHO);
	assert_int_equal(ask(rig, out, len, &longest), 0);
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->frame_count, 0);
}

static void what_does_not_parse_is_counted(void **state)
{
	struct rig *rig = *state;
	uint8_t out[PROBE_SIZE_MIN];
	uint32_t len = make(out, sizeof(out), 5), longest = 0;

	store_be16(out + 2, (uint16_t)(len - 3));
	assert_int_equal(ask(rig, out, len, &longest), 0);
	assert_true(rig_counted(B, DROP_IN_CONTROL, 1, RIG_PEER));
}

static void answers_nobody_asked_for(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);
	struct probe_message msg = { .type = WIRE_CONTROL_PROBE_REPLY,
		                     .answer = { .stage = PROBE_ANSWERED } };
	uint8_t out[PROBE_SIZE_MIN];

	begin(rig, &packet);
	for (uint64_t i = 1; i < 20; i++) {
		msg.number = own.number ^ i;
		rig_tell(B, out, probe_format(out, sizeof(out), &msg), 0);
	}
	assert_true(probe_look(A->device, own.number, &own));
	assert_int_equal(own.requests, 1);
	assert_int_equal(own.answers, 0);
	/* The right number of another peer is no answer either; that of the right one is. */
	msg.number = own.number;
	A->device->probes.own[0].peer = A->third;
	rig_tell(B, out, probe_format(out, sizeof(out), &msg), 0);
	assert_true(probe_look(A->device, own.number, &own));
	assert_int_equal(own.answers, 0);
	A->device->probes.own[0].peer = A->peer;
	rig_tell(B, out, probe_format(out, sizeof(out), &msg), 0);
	assert_true(probe_look(A->device, own.number, &own));
	assert_int_equal(own.answers, 1);
}

static uint64_t start_for(struct rig *rig, enum probe_asker asker)
{
	const struct probe_order order = { .peer = A->peer,
		                           .packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84),
		                           .wait_ns = RIG_SECOND,
		                           .asker = asker };

	rig->now_ns++;
	return probe_start(A->device, &order);
}

static void the_oldest_gives_way(void **state)
{
	struct rig *rig = *state;
	uint64_t numbers[PROBE_OWN_MAX + 1];

	for (unsigned int i = 0; i <= PROBE_OWN_MAX; i++)
		numbers[i] = start_for(rig, PROBE_ROOT);
	assert_false(probe_look(A->device, numbers[0], &own));
	for (unsigned int i = 1; i <= PROBE_OWN_MAX; i++)
		assert_true(probe_look(A->device, numbers[i], &own));
}

static void readers_do_not_end_roots(void **state)
{
	struct rig *rig = *state;
	uint64_t roots[2] = { start_for(rig, PROBE_ROOT), start_for(rig, PROBE_ROOT) };
	uint64_t readers = 0;

	/* It is over, and who asked has not looked yet. */
	A->device->probes.own[0].phase = PROBE_DONE;
	for (unsigned int i = 0; i < 3 * PROBE_OWN_MAX; i++)
		readers = start_for(rig, PROBE_READER);
	assert_true(probe_look(A->device, readers, &own));
	for (unsigned int i = 0; i < 2; i++)
		assert_true(probe_look(A->device, roots[i], &own));
	/* Nor the other way round: each keeps half. */
	for (unsigned int i = 0; i < 3 * PROBE_OWN_MAX; i++)
		(void)start_for(rig, PROBE_ROOT);
	assert_true(probe_look(A->device, readers, &own));
}

/* Peers that ask together push out each other's, and not that of one who asks for little. */
static void many_peers_do_not_end_anothers(void **state)
{
	struct rig *rig = *state;
	struct probes *probes = &B->device->probes;
	uint8_t out[PROBE_SIZE_MIN];
	uint32_t longest = 0;
	unsigned int others = 0;
	char strangers[8];

	(void)ask(rig, out, make(out, sizeof(out), 1), &longest);
	assert_int_equal(probes->watches[0].number, 1);
	for (unsigned int i = 1; i < PROBE_WATCHES_MAX; i++)
		probes->watches[i] = (struct probe_watch){
			.peer = (struct peer *)(void *)&strangers[i % 8],
			.number = i,
			.started_ns = rig->now_ns + i,
		};
	/* Four of each but of one, which has three; ours is the oldest of all. */
	rig->now_ns += RIG_SECOND;
	(void)ask(rig, out, make(out, sizeof(out), 2), &longest);
	assert_int_equal(probes->watches[0].number, 1);
	for (unsigned int i = 0; i < PROBE_WATCHES_MAX; i++)
		others += probes->watches[i].peer != B->peer;
	assert_int_equal(others, PROBE_WATCHES_MAX - 2);
	assert_ptr_equal(probes->watches[1].peer, B->peer);
	/* Who has enough gives way to itself. */
	for (uint64_t number = 3; number < 7; number++) {
		rig->now_ns++;
		(void)ask(rig, out, make(out, sizeof(out), number), &longest);
	}
	others = 0;
	for (unsigned int i = 0; i < PROBE_WATCHES_MAX; i++) {
		others += probes->watches[i].peer != B->peer;
		assert_int_not_equal(
			probes->watches[i].number == 1 && probes->watches[i].peer == B->peer, 1);
	}
	assert_int_equal(others, PROBE_WATCHES_MAX - PROBE_WATCHES_PEER);
}

/* A container's own pings pass, while there are echoes of ours that wait. */
static void other_pings_pass(void **state)
{
	struct rig *rig = *state;
	struct probe_packet packet = packet_of(RIG_ADDR(0), RIG_ADDR(1), 84);
	struct probe_packet back = packet_of(RIG_ADDR(1), RIG_ADDR(0), 84);
	uint8_t ip[256];
	uint32_t len;

	container.arp = true;
	container.ping = false;
	rig_learn(A, RIG_ADDR(0));
	begin(rig, &packet);
	for (unsigned int i = 0; i < 20; i++) {
		rig_advance(rig, 10 * RIG_MS);
		rig_pump(rig);
		(void)let_container_answer(rig, RIG_ADDR(1));
	}
	assert_true(container.echoes > 0);
	rig_mark(A);
	len = probe_make_packet(&packet, 84, 0xdeadbeef, ip);
	turn(ip, len);
	rig_give_ip(B, ip, len);
	rig_give_ip(B, ip, probe_make_packet(&back, 84, 0xdeadbeef, ip));
	rig_round(B);
	rig_pump(rig);
	assert_int_equal(packets(A), 2);
}

/* ---- bridged networks ---- */

static int open_segment(void **state)
{
	struct rig *rig = rig_open_bridged();

	rig_connect_all(rig);
	*state = rig;
	return 0;
}

static void claim(struct rig *rig, struct member *by, const char *addr, struct mac mac)
{
	struct fdb *fdb = B->seg->fdb;
	struct fdb_key key = fdb_key_mac(mac.b);
	struct fdb_question question;
	uint8_t bytes[16] = { 0 };
	bool ask_now;

	assert_true(fdb_claim(fdb, by, &key, mac.b, FDB_LEARNED, rig->now_ns, &ask_now,
	                      &question) <= FDB_MOVED);
	if (!addr)
		return;
	(void)rig_parse_addr(bytes, addr);
	key = fdb_key_ip(4, bytes);
	assert_true(fdb_claim(fdb, by, &key, mac.b, FDB_LEARNED, rig->now_ns, &ask_now,
	                      &question) <= FDB_MOVED);
}

static struct probe_packet frame_of(const char *from, struct mac from_mac, const char *to,
                                    struct mac to_mac)
{
	struct probe_packet packet = packet_of(from, to, 84);

	packet.vni = RIG_VNI_SEG;
	memcpy(packet.source_mac, from_mac.b, ETHER_ADDR_SIZE);
	memcpy(packet.destination_mac, to_mac.b, ETHER_ADDR_SIZE);
	return packet;
}

/* Asked until the last word, with nobody at home. */
static void run_frame(struct rig *rig, const struct probe_packet *packet)
{
	begin(rig, packet);
	for (unsigned int i = 0; i < 2000 && !probe_is_over(&own); i++) {
		rig_advance(rig, 10 * RIG_MS);
		rig_pump(rig);
		assert_true(probe_look(A->device, own.number, &own));
	}
}

static void each_reason_of_frames(void **state)
{
	struct rig *rig = *state;
	const struct mac here = station(1, 2), there = station(0, 2), third = station(2, 2);
	struct mac bridge, group = { { 0x01, 0, 0x5e, 0, 0, 1 } };
	struct probe_packet packet;

	memcpy(bridge.b, RIG_BRIDGE_MAC, ETHER_ADDR_SIZE);
	claim(rig, &B->seg->local, "10.7.1.2", here);
	claim(rig, B->seg_peer, "10.7.0.2", there);
	claim(rig, B->seg_third, "10.7.2.2", third);

	packet = frame_of("10.7.0.2", there, "10.7.1.2", here);
	packet.vni = 99;
	run_frame(rig, &packet);
	assert_answer(PROBE_HEARD, "in-vni");
	packet = frame_of("10.7.0.2", group, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-source-mac");
	packet = frame_of("10.7.0.2", third, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-mac-owned");
	packet = frame_of("10.7.2.2", there, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-binding");
	packet = frame_of("127.0.0.1", there, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-martian");
	packet = frame_of("10.7.0.1", there, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-gateway");
	packet = frame_of("10.7.0.2", there, "10.7.2.2", third);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-tunnel");
	packet = frame_of("10.7.0.2", there, "192.0.2.1", bridge);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-host-routing");
	/* To its own address that is no routing; nobody answers a ping here. */
	packet = frame_of("10.7.0.2", there, "10.7.0.1", bridge);
	run_frame(rig, &packet);
	assert_answer(PROBE_WRITTEN, "");
	assert_true(own.answer.flags & PROBE_GATEWAY);
	packet = frame_of("10.7.0.2", there, "10.7.1.2", here);
	run_frame(rig, &packet);
	assert_answer(PROBE_ATTACHED, "in-unresolved");
	packet = frame_of("10.7.0.2", there, "10.7.1.99", station(1, 99));
	run_frame(rig, &packet);
	assert_answer(PROBE_ATTACHED, "in-unresolved");
	assert_true(own.answer.flags & PROBE_FLOODED);
	/* A MAC alone: whether it is known, as there is nothing to ask it. */
	packet = frame_of("10.7.0.2", there, "10.7.1.2", here);
	packet.family = packet.protocol = 0;
	memset(packet.source, 0, 16);
	memset(packet.destination, 0, 16);
	run_frame(rig, &packet);
	assert_answer(PROBE_FOUND, "");
	memcpy(packet.destination_mac, station(1, 98).b, ETHER_ADDR_SIZE);
	run_frame(rig, &packet);
	assert_answer(PROBE_ATTACHED, "in-unresolved");
}

static void frames_without_a_bridge(void **state)
{
	const struct rig_options options = { .detached = true };
	struct rig *rig = *state;
	struct probe_packet packet = frame_of("10.7.0.2", station(0, 2), "10.7.1.2", station(1, 2));

	rig_publish(B, &options);
	run_frame(rig, &packet);
	assert_answer(PROBE_ADMITTED, "in-no-bridge");
}

/* By echoes a bridge learns MACs, so a peer gets no more of them in than by frames. */
static void macs_are_within_the_quota(void **state)
{
	struct rig *rig = *state;
	struct fdb_place place;
	struct fdb_key key;

	claim(rig, &B->seg->local, "10.7.1.2", station(1, 2));
	fdb_set_quota(B->seg->fdb, 3);
	for (unsigned int i = 1; i <= 6; i++) {
		struct probe_packet packet =
			frame_of("10.7.0.2", station(0, i), "10.7.1.2", station(1, 2));

		key = fdb_key_mac(station(0, i).b);
		run_frame(rig, &packet);
		if (i <= 3) {
			assert_answer(PROBE_ATTACHED, "in-unresolved");
			assert_true(fdb_lookup(B->seg->fdb, &key, rig->now_ns, &place));
			assert_ptr_equal(place.owner, B->seg_peer);
		} else {
			assert_answer(PROBE_ADMITTED, "in-quota");
			assert_false(fdb_lookup(B->seg->fdb, &key, rig->now_ns, &place));
		}
	}
}

/* The container says so by ARP while it is asked, and answers the ping. */
static void frames_arrive(void **state)
{
	struct rig *rig = *state;
	const struct mac here = station(1, 2), there = station(0, 2);
	struct probe_packet packet = frame_of("10.7.0.2", there, "10.7.1.2", here);
	unsigned int questions = 0, echoes = 0;
	static struct built f;

	claim(rig, B->seg_peer, "10.7.0.2", there);
	begin(rig, &packet);
	for (unsigned int i = 0; i < 500 && !probe_is_over(&own); i++) {
		rig_mark(B);
		rig_advance(rig, 10 * RIG_MS);
		rig_pump(rig);
		for (unsigned int j = 0; j < B->frame_count; j++) {
			const struct rig_record *frame = &B->frames[j];

			if (load_be16(frame->data + 22) == ETHERTYPE_WIRE_ARP) {
				questions++;
				claim(rig, &B->seg->local, "10.7.1.2", here);
				continue;
			}
			echoes++;
			assert_memory_equal(frame->data + 10, here.b, 6);
			assert_memory_equal(frame->data + 16, there.b, 6);
			build_ip(&f, there, here, frame->data + 24, frame->len - 24);
			turn(f.bytes + 24, frame->len - 24);
			rig_give_frame(B, RIG_PORT_SEG, f.bytes, f.len);
		}
		rig_round(B);
		assert_true(probe_look(A->device, own.number, &own));
	}
	assert_answer(PROBE_ANSWERED, "");
	assert_int_equal(questions, 1);
	assert_int_equal(echoes, 1);
	assert_int_equal(packets(A), 0);
}

#define segment_test(f) cmocka_unit_test_setup_teardown(f, open_segment, close_rig)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(arrives),
		rig_connected_test(stops_at_the_container),
		rig_connected_test(the_bridge_itself),
		rig_connected_test(each_reason),
		rig_connected_test(both_ends_are_tried),
		rig_connected_test(no_endpoint),
		rig_test(a_session_is_made_for_it),
		rig_test(nobody_answers),
		rig_connected_test(a_peer_that_is_gone),
		rig_connected_test(stock_peers_get_none),
		rig_connected_test(never_more_than_was_asked),
		rig_connected_test(answers_are_limited),
		rig_connected_test(nothing_before_it_was_agreed_upon),
		rig_connected_test(what_does_not_parse_is_counted),
		rig_connected_test(answers_nobody_asked_for),
		rig_connected_test(the_oldest_gives_way),
		rig_connected_test(readers_do_not_end_roots),
		rig_connected_test(many_peers_do_not_end_anothers),
		rig_connected_test(other_pings_pass),
		segment_test(each_reason_of_frames),
		segment_test(frames_without_a_bridge),
		segment_test(macs_are_within_the_quota),
		segment_test(frames_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
