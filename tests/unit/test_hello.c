/* SPDX-License-Identifier: MIT */
/* Hello: what parses and what does not, and that the exchange ends. */
#include "unit/rig_test.h"
#include "dataplane/hello.h"
#include "dataplane/wire.h"

static void parse_table(void **state)
{
	static const struct {
		const char *hex;
		bool good;
		struct hello_message msg;
	} rows[] = {
		/* version alone */
		{ "10010006000100020001", true, { .version = 1 } },
		/* all we have, in another order; acknowledged */
		{ "1001001c0005000000030002058c0002000800000000000000ff000100020001",
		  true,
		  { .version = 1, .tunnel_mtu = 1420, .features = 255, .ack = true } },
		/* a newer version, with VNIs, and a type we do not know */
		{ "1001001a00010002000700040008000000010000000277770004deadbeef",
		  true,
		  { .version = 7, .vni_count = 2, .vnis = { 1, 2 } } },
		/* the greatest VNI, and which life it is */
		{ "1001001a0001000200010004000400ffffff00060008fffffffffffffffe",
		  true,
		  { .version = 1, .boot = UINT64_MAX - 1, .vni_count = 1, .vnis = { 0xffffff } } },
		/* no VNIs, after some */
		{ "10010012000100020001000400040000000700040000", true, { .version = 1 } },
		/* an empty TLV of a type unknown, at the end */
		{ "1001000a00010002000199990000", true, { .version = 1 } },
		/* padding behind the message's own length is not read */
		{ "1001000600010002000100000000000000", true, { .version = 1 } },
		{ "10010006000100020001ffffffffffffff", true, { .version = 1 } },
		/* of two of a kind the last counts */
		{ "1001000c000100020001000100020003", true, { .version = 3 } },

		{ "", false, { 0 } },
		{ "10", false, { 0 } },
		{ "100100", false, { 0 } },
		/* no version, or version 0 */
		{ "10010000", false, { 0 } },
		{ "10010006000300020580", false, { 0 } },
		{ "10010006000100020000", false, { 0 } },
		/* the message's length leaves the message */
		{ "10010007000100020001", false, { 0 } },
		{ "1001ffff000100020001", false, { 0 } },
		/* and ends within a TLV's header, or its value */
		{ "10010003000100020001", false, { 0 } },
		{ "10010005000100020001", false, { 0 } },
		{ "10010009000100020001000300", false, { 0 } },
		/* a TLV's length leaves the message */
		{ "10010006000100030001", false, { 0 } },
		{ "1001000a0001000200017777ffff", false, { 0 } },
		{ "1001000a00010002000177770001", false, { 0 } },
		/* a length its type cannot have */
		{ "1001000500010001010000", false, { 0 } },
		{ "100100080001000400010001", false, { 0 } },
		{ "1001000e0001000200010003000401000100", false, { 0 } },
		{ "1001000e000100020001000200040000000f", false, { 0 } },
		{ "1001000b00010002000100050001aa", false, { 0 } },
		{ "1001000d00010002000100040003000001", false, { 0 } },
		{ "10010011000100020001000600070000000000000001", false, { 0 } },
		{ "1001000d00010002000100010003000001", false, { 0 } },
		/* VNIs that there are none of */
		{ "1001000e0001000200010004000400000000", false, { 0 } },
		{ "1001000e0001000200010004000401000000", false, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t bytes[64];
		size_t len = unit_hex(bytes, rows[i].hex);
		/* Exactly as long as it is, so that a sanitizer sees a byte too many. */
		uint8_t *data = test_malloc(len + !len);
		struct hello_message msg;
		bool good;

		memcpy(data, bytes, len);
		good = hello_parse(data, (uint32_t)len, &msg);
		if (good != rows[i].good)
			fail_msg("%s", rows[i].hex);
		if (good) {
			assert_int_equal(msg.version, rows[i].msg.version);
			assert_int_equal(msg.tunnel_mtu, rows[i].msg.tunnel_mtu);
			assert_int_equal(msg.features, rows[i].msg.features);
			assert_int_equal(msg.ack, rows[i].msg.ack);
			assert_int_equal(msg.boot, rows[i].msg.boot);
			assert_int_equal(msg.vni_count, rows[i].msg.vni_count);
			for (uint32_t v = 0; v < msg.vni_count; v++)
				assert_int_equal(msg.vnis[v], rows[i].msg.vnis[v]);
		}
		test_free(data);
	}
}

/* One more VNI than there is room for: those that fit are taken. */
static void more_vnis_than_fit(void **state)
{
	uint8_t out[HELLO_SIZE_MAX + 16];
	struct hello_message msg = { .version = 1, .vni_count = HELLO_VNIS_MAX };
	uint32_t len, vnis = 4 + 6 + 12 + 6;

	(void)state;
	for (uint32_t i = 0; i < HELLO_VNIS_MAX; i++)
		msg.vnis[i] = 1 + i;
	len = hello_format(out, &msg);
	assert_int_equal(load_be16(out + vnis), WIRE_TLV_VNIS);
	store_be32(out + len, 1000);
	store_be16(out + vnis + 2, (HELLO_VNIS_MAX + 1) * 4);
	store_be16(out + 2, (uint16_t)len);
	memset(&msg, 0xee, sizeof(msg));
	assert_true(hello_parse(out, len + 4, &msg));
	assert_int_equal(msg.vni_count, HELLO_VNIS_MAX);
	assert_int_equal(msg.vnis[HELLO_VNIS_MAX - 1], HELLO_VNIS_MAX);
}

static void format_and_parse_agree(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		uint8_t out[HELLO_SIZE_MAX];
		struct hello_message in = { .version = 1 + (uint32_t)(unit_random(&seed) % 65535),
			                    .tunnel_mtu = (uint16_t)unit_random(&seed),
			                    .features = unit_random(&seed),
			                    .boot = unit_random(&seed),
			                    .ack = unit_random(&seed) & 1 };
		struct hello_message back;
		uint32_t len;

		in.vni_count = (uint32_t)(unit_random(&seed) % (HELLO_VNIS_MAX + 1));
		for (uint32_t v = 0; v < in.vni_count; v++)
			in.vnis[v] = 1 + (uint32_t)(unit_random(&seed) % WIRE_VNI_MAX);
		len = hello_format(out, &in);
		assert_true(len <= HELLO_SIZE_MAX);
		assert_int_equal(out[0], WIRE_CONTROL_FIRST);
		assert_true(hello_parse(out, len, &back));
		assert_int_equal(back.version, in.version);
		assert_int_equal(back.tunnel_mtu, in.tunnel_mtu);
		assert_int_equal(back.features, in.features);
		assert_int_equal(back.ack, in.ack);
		assert_int_equal(back.boot, in.boot);
		assert_int_equal(back.vni_count, in.vni_count);
		assert_memory_equal(back.vnis, in.vnis, in.vni_count * sizeof(*in.vnis));
		/* Cut short anywhere it is no hello any more. */
		for (uint32_t cut = 0; cut < len; cut++)
			assert_false(hello_parse(out, cut, &back));
	}
}

/* ---- the exchange ---- */

static bool is_hello(struct rig_host *host, const struct rig_record *sent,
                     struct hello_message *msg)
{
	uint8_t plain[2048];
	uint32_t len;

	return rig_unseal(host, sent, plain, &len) && len && plain[0] == WIRE_CONTROL_FIRST &&
	       hello_parse(plain, len, msg);
}

static unsigned int hellos(struct rig_host *host)
{
	struct hello_message msg;
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++)
		n += is_hello(host, &host->sent[i], &msg);
	return n;
}

static void both_know_and_it_ends(void **state)
{
	struct rig *rig = *state;
	struct hello_info info;

	rig_connect(rig, 0);
	for (unsigned int i = 0; i < 2; i++) {
		hello_get_info(&rig->host[i].peer->hello, &info);
		assert_int_equal(info.version, WIRE_HELLO_VERSION);
		assert_int_equal(info.tunnel_mtu, PEER_MTU_DEFAULT);
		assert_int_equal(info.features, HELLO_FEATURES);
		assert_true(atomic_load(&rig->host[i].peer->hello.acked));
		/* rig_pump() came back, so nobody had anything more to say; nor later. */
		assert_int_equal(deadline(&rig->host[i], TIMER_HELLO), 0);
	}
	rig_advance(rig, 5 * RIG_SECOND);
	assert_int_equal(hellos(A) + hellos(B), 0);
}

/* Nobody answers: three, at 0, 1 and 3 seconds, and never again. */
static void a_stock_peer_hears_three(void **state)
{
	struct rig *rig = *state;
	uint64_t start;
	unsigned int sent = 0;

	rig_connect(rig, 0);
	rig_mark(A);
	start = rig->now_ns;
	struct burst *burst = burst_open(A->device);
	assert_non_null(burst);
	burst->now_ns = start;
	rig_begin_session(burst, A->peer);
	assert_int_equal(burst->packet_count, 1);
	burst_close(burst);
	for (unsigned int ms = 0; ms <= 20000; ms += 100) {
		rig->now_ns = start + ms * RIG_MS;
		rig_round(A);
		if (hellos(A) == sent)
			continue;
		sent = hellos(A);
		assert_int_equal(ms, sent == 1 ? 1000 : 3000);
	}
	assert_int_equal(sent, 2);
	assert_int_equal(atomic_load(&A->peer->hello.version), 0);
}

/* What left, and whether the peer's hello was believed by then. */
struct seen {
	const struct peer *peer;
	unsigned int packets;
	uint32_t version;
};

static void look_and_drop(struct burst *burst, void *arg)
{
	struct seen *seen = arg;

	if (!seen->packets)
		seen->version = atomic_load(&seen->peer->hello.version);
	seen->packets += burst->packet_count;
	burst_reset(burst);
}

/* Frames of other workers, which may follow at once, do not come before our own hello. */
static void ours_leaves_before_the_peers_is_believed(void **state)
{
	static const struct hello_message plain = { .version = 1, .tunnel_mtu = 1400 };
	struct rig *rig = *state;
	struct seen seen = { .peer = A->peer, .version = 99 };
	struct burst *burst = burst_open(A->device);
	uint8_t out[HELLO_SIZE_MAX];
	uint32_t len = hello_format(out, &plain);

	rig_connect(rig, 0);
	assert_non_null(burst);
	burst->now_ns = rig->now_ns;
	burst->view = atomic_load(&A->device->view);
	burst->flush = look_and_drop;
	burst->flush_arg = &seen;
	rig_begin_session(burst, A->peer);
	assert_int_equal(burst->packet_count, 1);
	assert_true(
		hello_receive(burst, A->peer, atomic_load(&A->peer->session.current), out, len));
	assert_int_equal(seen.packets, 1);
	assert_int_equal(seen.version, 0);
	assert_int_equal(atomic_load(&A->peer->hello.version), 1);
	burst_close(burst);
}

static void each_hello_without_ack_gets_one(void **state)
{
	static const struct hello_message plain = { .version = 1, .tunnel_mtu = 1400 };
	static const struct hello_message ack = { .version = 1, .tunnel_mtu = 1400, .ack = true };
	struct hello_message msg;
	struct rig *rig = *state;
	uint8_t out[HELLO_SIZE_MAX];

	rig_connect(rig, 0);
	rig_tell(A, out, hello_format(out, &plain), 0);
	assert_int_equal(B->sent_count, 1);
	assert_true(is_hello(B, &B->sent[0], &msg));
	assert_true(msg.ack);
	/* One with an acknowledgement ends it. */
	rig_mark(B);
	rig_tell(A, out, hello_format(out, &ack), 0);
	assert_int_equal(B->sent_count, 0);
}

/* A peer that only ever asks is not answered for ever. */
static void answers_end(void **state)
{
	static const struct hello_message plain = { .version = 1, .tunnel_mtu = 1400 };
	struct rig *rig = *state;
	uint8_t out[HELLO_SIZE_MAX];

	rig_connect(rig, 0);
	for (unsigned int i = 0; i < 4 * HELLO_ANSWERS_MAX; i++)
		rig_tell(A, out, hello_format(out, &plain), 0);
	assert_in_range(hellos(B), 1, HELLO_ANSWERS_MAX);
	/* The next session has its own. */
	rig->now_ns += RIG_SECOND;
	peer_reset(A->peer);
	peer_reset(B->peer);
	rig_connect(rig, 0);
	rig_tell(A, out, hello_format(out, &plain), 0);
	assert_int_equal(hellos(B), 1);
}

static void features_are_those_of_both(void **state)
{
	static const struct hello_message rich = {
		.version = 9, .features = UINT64_MAX, .tunnel_mtu = 9000, .ack = true
	};
	struct rig *rig = *state;
	uint8_t out[HELLO_SIZE_MAX];
	struct hello_info info;

	rig_connect(rig, 0);
	rig_tell(A, out, hello_format(out, &rich), 0);
	hello_get_info(&B->peer->hello, &info);
	assert_int_equal(info.version, 9);
	assert_int_equal(info.features, HELLO_FEATURES);
	assert_int_equal(info.tunnel_mtu, 9000);
}

/* The next session begins from nothing: the peer may be a stock one by then. */
static void what_was_agreed_ends_with_the_session(void **state)
{
	struct rig *rig = *state;
	struct burst *burst;
	struct hello_info info;

	rig_connect(rig, 0);
	burst = burst_open(A->device);
	assert_non_null(burst);
	burst->now_ns = rig->now_ns;
	rig_begin_session(burst, A->peer);
	burst_close(burst);
	hello_get_info(&A->peer->hello, &info);
	assert_int_equal(info.version, 0);
	assert_int_equal(info.tunnel_mtu, 0);
	assert_false(atomic_load(&A->peer->hello.acked));
}

/* Shorter than its header, or than it says: no message. Of another kind: none of ours. */
static void what_is_no_message_is_counted(void **state)
{
	static const uint8_t cut[] = { 0x10, 1, 0 }, hello[] = { 0x10, 1, 0, 0 };
	static const uint8_t kind[] = { 0x11, 1, 0, 0 }, type[] = { 0x10, 99, 0, 0 };
	struct rig *rig = *state;

	rig_connect(rig, 0);
	for (uint32_t len = 1; len <= sizeof(cut); len++)
		rig_tell(A, cut, len, 0);
	rig_tell(A, hello, sizeof(hello), 0);
	assert_true(rig_only_dropped(B, DROP_IN_CONTROL, 4, RIG_PEER));
	rig_mark(B);
	rig_tell(A, kind, sizeof(kind), 0);
	rig_tell(A, type, sizeof(type), 0);
	assert_true(rig_only_dropped(B, DROP_NONE, 0, 0));
}

/* ---- networks ---- */

/* A message from A with this and no more; B has rounded it up. */
static void say(struct rig *rig, const struct hello_message *msg)
{
	uint8_t out[HELLO_SIZE_MAX];

	rig_tell(A, out, hello_format(out, msg), 0);
}

static enum hello_state has(const struct rig_host *host, uint32_t vni)
{
	return hello_has_vni(&host->peer->hello, vni, host->rig->now_ns);
}

static void vnis_are_what_the_last_hello_said(void **state)
{
	struct hello_message msg = { .version = 1,
		                     .features = WIRE_FEATURE_FRAMES,
		                     .boot = UINT64_MAX,
		                     .ack = true,
		                     .vni_count = 3,
		                     .vnis = { 42, 7, 9 } };
	struct rig *rig = *state;
	struct hello_info info;

	rig_connect(rig, 0);
	assert_int_equal(has(B, 7), HELLO_NO);
	say(rig, &msg);
	assert_int_equal(has(B, 42), HELLO_YES);
	assert_int_equal(has(B, 7), HELLO_YES);
	assert_int_equal(has(B, 9), HELLO_YES);
	assert_int_equal(has(B, 8), HELLO_NO);
	hello_get_info(&B->peer->hello, &info);
	assert_int_equal(info.boot, UINT64_MAX);
	assert_int_equal(info.vni_count, 3);
	assert_int_equal(info.vnis[0], 7);
	assert_int_equal(info.vnis[1], 9);
	assert_int_equal(info.vnis[2], 42);
	/* Two go, two others come, and one of them twice. */
	msg.vni_count = 4;
	memcpy(msg.vnis, (const uint32_t[]){ 9, 11, 12, 11 }, 16);
	say(rig, &msg);
	assert_int_equal(has(B, 42), HELLO_NO);
	assert_int_equal(has(B, 7), HELLO_NO);
	hello_get_info(&B->peer->hello, &info);
	assert_int_equal(info.vni_count, 3);
	assert_int_equal(info.vnis[0], 9);
	assert_int_equal(info.vnis[1], 11);
	assert_int_equal(info.vnis[2], 12);
	/* Without the feature they are no use. */
	msg.features = 0;
	say(rig, &msg);
	assert_int_equal(has(B, 9), HELLO_NO);
	/* All there is room for, and then all others. */
	msg.features = WIRE_FEATURE_FRAMES;
	msg.vni_count = HELLO_VNIS_MAX;
	for (uint32_t base = 100; base < 300; base += 100) {
		for (uint32_t i = 0; i < HELLO_VNIS_MAX; i++)
			msg.vnis[i] = base + i;
		say(rig, &msg);
		for (uint32_t i = 0; i < HELLO_VNIS_MAX; i++)
			assert_int_equal(has(B, base + i), HELLO_YES);
	}
	assert_int_equal(has(B, 100), HELLO_NO);
}

/* Slots stay: whoever reads while others are written never misses one that remains. */
static void a_vni_that_stays_keeps_its_slot(void **state)
{
	struct hello_message msg = { .version = 1,
		                     .features = WIRE_FEATURE_FRAMES,
		                     .ack = true,
		                     .vni_count = 3,
		                     .vnis = { 1, 2, 3 } };
	struct rig *rig = *state;

	rig_connect(rig, 0);
	msg.boot = A->device->boot;
	say(rig, &msg);
	assert_int_equal(atomic_load(&B->peer->hello.vnis[2]), 3);
	msg.vni_count = 2;
	memcpy(msg.vnis, (const uint32_t[]){ 3, 4 }, 8);
	say(rig, &msg);
	assert_int_equal(atomic_load(&B->peer->hello.vnis[2]), 3);
	assert_int_equal(atomic_load(&B->peer->hello.vnis[0]), 4);
}

/* A delayed hello of a life before this one changes nothing; a session's first always does. */
static void a_former_life_is_not_heard(void **state)
{
	struct hello_message msg = {
		.version = 1, .features = WIRE_FEATURE_FRAMES, .vni_count = 1, .vnis = { 7 }
	};
	struct rig *rig = *state;

	rig_connect(rig, 0);
	assert_int_equal(atomic_load(&B->peer->hello.boot), A->device->boot);
	msg.boot = A->device->boot - 1;
	say(rig, &msg);
	assert_int_equal(B->sent_count, 0);
	assert_int_equal(has(B, 7), HELLO_NO);
	assert_int_equal(atomic_load(&B->peer->hello.boot), A->device->boot);
	atomic_store(&B->peer->hello.version, 0);
	say(rig, &msg);
	assert_int_equal(has(B, 7), HELLO_YES);
	assert_int_equal(atomic_load(&B->peer->hello.boot), msg.boot);
}

static void waits_until_settled(void **state)
{
	struct rig *rig = *state;
	struct hello *hello = &A->peer->hello;
	struct burst *burst;

	rig_connect(rig, 0);
	burst = burst_open(A->device);
	assert_non_null(burst);
	burst->now_ns = rig->now_ns;
	rig_begin_session(burst, A->peer);
	burst_close(burst);
	assert_int_equal(has(A, 7), HELLO_AWAITED);
	rig->now_ns += HELLO_SETTLED_NS - 1;
	assert_int_equal(has(A, 7), HELLO_AWAITED);
	rig->now_ns++;
	assert_int_equal(has(A, 7), HELLO_NO);
	/* Then what waited is looked at again, once. */
	rig->now_ns -= HELLO_SETTLED_NS;
	for (unsigned int i = 1; i <= 3; i += i == 1 ? 2 : 1) {
		assert_int_equal(deadline(A, TIMER_HELLO),
		                 hello->settled_ns - (4 - i) * RIG_SECOND);
		rig->now_ns = deadline(A, TIMER_HELLO);
		rig_round(A);
	}
	assert_int_equal(deadline(A, TIMER_HELLO), hello->settled_ns);
	rig->now_ns = hello->settled_ns;
	rig_round(A);
	assert_int_equal(deadline(A, TIMER_HELLO), 0);
}

/* One key follows the other: frames need not wait, and what is under way is still understood. */
static void a_new_key_carries_over(void **state)
{
	struct hello_message msg = { .version = 1,
		                     .features = HELLO_FEATURES,
		                     .tunnel_mtu = 1400,
		                     .ack = true,
		                     .vni_count = 1,
		                     .vnis = { 7 } };
	struct rig *rig = *state;
	struct hello *hello = &B->peer->hello;
	struct burst *burst;

	rig_connect(rig, 0);
	msg.boot = A->device->boot;
	say(rig, &msg);
	assert_true(hello_may_send(hello, WIRE_FEATURE_CHECKSUM_HINT));
	atomic_store(&B->peer->session.previous, atomic_load(&B->peer->session.current));
	burst = burst_open(B->device);
	assert_non_null(burst);
	/* Twice: the second follows one that was itself carried over. */
	for (int i = 0; i < 2; i++) {
		burst->now_ns = rig->now_ns;
		rig_begin_session(burst, B->peer);
		assert_int_equal(has(B, 7), HELLO_YES);
		assert_int_equal(has(B, 8), HELLO_AWAITED);
		assert_int_equal(atomic_load(&hello->tunnel_mtu), 1400);
		assert_true(hello_has_feature(hello, WIRE_FEATURE_CHECKSUM_HINT));
		/* A stock peer may have taken its place. */
		assert_false(hello_may_send(hello, WIRE_FEATURE_CHECKSUM_HINT));
		rig->now_ns += RIG_SECOND;
	}
	rig->now_ns += HELLO_SETTLED_NS;
	assert_int_equal(has(B, 7), HELLO_NO);
	/* Too old to be a reason: the next session begins from nothing. */
	rig->now_ns += SESSION_REJECT_AFTER_NS;
	burst->now_ns = rig->now_ns;
	atomic_store(&hello->version, 1);
	rig_begin_session(burst, B->peer);
	assert_int_equal(has(B, 7), HELLO_AWAITED);
	assert_false(hello_has_feature(hello, WIRE_FEATURE_CHECKSUM_HINT));
	burst_close(burst);
	atomic_store(&B->peer->session.previous, NULL);
}

/* No hints before the peer has said that it knows of them. */
static void hints_need_an_acknowledgement(void **state)
{
	struct hello_message msg = { .version = 1, .features = HELLO_FEATURES };
	struct rig *rig = *state;
	struct hello *hello = &B->peer->hello;

	rig_connect(rig, 0);
	msg.boot = A->device->boot;
	atomic_store(&hello->acked, false);
	say(rig, &msg);
	assert_true(hello_has_feature(hello, WIRE_FEATURE_CHECKSUM_HINT));
	assert_false(hello_may_send(hello, WIRE_FEATURE_CHECKSUM_HINT));
	msg.ack = true;
	say(rig, &msg);
	assert_true(hello_may_send(hello, WIRE_FEATURE_CHECKSUM_HINT));
}

/* A change is said, answered, and said no more. */
static void a_change_is_said_on_a_live_session(void **state)
{
	struct rig *rig = *state;
	struct hello_message msg;

	rig_connect(rig, 0);
	hello_changed(A->peer);
	rig_round(A);
	assert_int_equal(A->sent_count, 1);
	assert_true(is_hello(A, &A->sent[0], &msg));
	assert_false(msg.ack);
	assert_int_equal(msg.boot, A->device->boot);
	rig_pump(rig);
	assert_int_equal(deadline(A, TIMER_HELLO), 0);
	rig_mark(A);
	rig_advance(rig, 9 * RIG_SECOND);
	assert_int_equal(A->sent_count, 0);
	/* Unanswered it is said three times. */
	hello_changed(A->peer);
	for (int i = 0; i < 90; i++)
		rig_advance(rig, 100 * RIG_MS);
	assert_int_equal(hellos(A), 3);
	/* Without a session, not at all. */
	peer_reset(A->peer);
	rig_mark(A);
	hello_changed(A->peer);
	for (int i = 0; i < 90; i++)
		rig_advance(rig, 100 * RIG_MS);
	assert_int_equal(A->sent_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_table),
		cmocka_unit_test(more_vnis_than_fit),
		cmocka_unit_test(format_and_parse_agree),
		rig_test(both_know_and_it_ends),
		rig_test(a_stock_peer_hears_three),
		rig_test(ours_leaves_before_the_peers_is_believed),
		rig_test(each_hello_without_ack_gets_one),
		rig_test(answers_end),
		rig_test(features_are_those_of_both),
		rig_test(what_was_agreed_ends_with_the_session),
		rig_test(what_is_no_message_is_counted),
		rig_test(vnis_are_what_the_last_hello_said),
		rig_test(a_vni_that_stays_keeps_its_slot),
		rig_test(a_former_life_is_not_heard),
		rig_test(waits_until_settled),
		rig_test(a_new_key_carries_over),
		rig_test(hints_need_an_acknowledgement),
		rig_test(a_change_is_said_on_a_live_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
