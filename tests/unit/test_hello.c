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
		/* a newer version, with types we do not know; VNIs are skipped so far */
		{ "1001001a00010002000700040008000000010000000277770004deadbeef",
		  true,
		  { .version = 7 } },
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
		}
		test_free(data);
	}
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
			                    .ack = unit_random(&seed) & 1 };
		struct hello_message back;
		uint32_t len = hello_format(out, &in);

		assert_true(len <= HELLO_SIZE_MAX);
		assert_int_equal(out[0], WIRE_CONTROL_FIRST);
		assert_true(hello_parse(out, len, &back));
		assert_int_equal(back.version, in.version);
		assert_int_equal(back.tunnel_mtu, in.tunnel_mtu);
		assert_int_equal(back.features, in.features);
		assert_int_equal(back.ack, in.ack);
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
	hello_begin(burst, A->peer);
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
	hello_begin(burst, A->peer);
	burst_close(burst);
	hello_get_info(&A->peer->hello, &info);
	assert_int_equal(info.version, 0);
	assert_int_equal(info.tunnel_mtu, 0);
	assert_false(atomic_load(&A->peer->hello.acked));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse_table),
		cmocka_unit_test(format_and_parse_agree),
		rig_test(both_know_and_it_ends),
		rig_test(a_stock_peer_hears_three),
		rig_test(each_hello_without_ack_gets_one),
		rig_test(answers_end),
		rig_test(features_are_those_of_both),
		rig_test(what_was_agreed_ends_with_the_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
