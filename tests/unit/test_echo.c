/* SPDX-License-Identifier: MIT */
/* Round trips measured within the session: when, how, and what a peer may say. */
#include "unit/rig_test.h"
#include "dataplane/echo.h"

#define REQUEST 0x05
#define REPLY   0x06

static void say(struct rig *rig)
{
	uint8_t ip[256];

	for (unsigned int i = 0; i < ECHO_PACKETS; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20));
	rig_round(A);
}

/* How many of the control messages of that type A sent since the mark. */
static unsigned int count_sent(struct rig *rig, struct rig_host *host, uint8_t type)
{
	static uint8_t plain[RIG_PACKET_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++) {
		uint32_t len = 0;

		if (rig_unseal(host, &host->sent[i], plain, &len) && len >= 2)
			n += plain[0] == WIRE_CONTROL_FIRST && plain[1] == type;
	}
	(void)rig;
	return n;
}

static uint64_t measured(struct rig *rig, uint64_t *variation)
{
	return echo_round_trip(&A->peer->echo, rig->now_ns, variation);
}

/* A asks, and B hears it @ns later, and A the answer @ns after that. */
static void ask(struct rig *rig, uint64_t ns)
{
	say(rig);
	rig_pump(rig);
	rig_mark(A);
	rig_advance(rig, TIMERS_ECHO_NS);
	assert_int_equal(count_sent(rig, A, REQUEST), 1);
	rig_advance(rig, ns);
	rig_pump(rig);
}

static void round_trip_is_measured(void **state)
{
	struct rig *rig = *state;
	uint64_t variation;

	assert_int_equal(measured(rig, &variation), 0);
	ask(rig, 20 * RIG_MS);
	assert_int_equal(measured(rig, &variation), 20 * RIG_MS);
	assert_int_equal(variation, 10 * RIG_MS);
	ask(rig, 100 * RIG_MS);
	assert_int_equal(measured(rig, &variation), 30 * RIG_MS);
	assert_int_equal(variation, 7500000 + 20 * RIG_MS);
	rig_advance(rig, ECHO_FRESH_NS);
	assert_int_equal(measured(rig, &variation), 0);
	assert_int_equal(variation, 0);
}

static void idle_sessions_have_none(void **state)
{
	struct rig *rig = *state;

	rig_mark(A);
	rig_mark(B);
	rig_advance(rig, 3 * TIMERS_ECHO_NS);
	rig_pump(rig);
	assert_int_equal(count_sent(rig, A, REQUEST), 0);
	assert_int_equal(count_sent(rig, B, REQUEST), 0);
}

static void few_packets_ask_for_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[256];

	ask(rig, RIG_MS);
	for (unsigned int n = 1; n < ECHO_PACKETS - 1; n++) {
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 20));
		rig_round(A);
		rig_mark(A);
		rig_advance(rig, TIMERS_ECHO_NS);
		assert_int_equal(count_sent(rig, A, REQUEST), 0);
	}
}

static void stock_peers_are_not_asked(void **state)
{
	struct rig *rig = *state;

	atomic_store(&A->peer->hello.features, WIRE_FEATURE_CHECKSUM_HINT);
	say(rig);
	rig_mark(A);
	rig_advance(rig, TIMERS_ECHO_NS);
	assert_int_equal(count_sent(rig, A, REQUEST), 0);
}

static uint32_t make(uint8_t *out, uint8_t type, uint64_t number)
{
	static const uint8_t head[] = { 0x10, 0, 0, 12, 0, 12, 0, 8 };

	memcpy(out, head, sizeof(head));
	out[1] = type;
	store_be64(out + sizeof(head), number);
	return sizeof(head) + 8;
}

/* B says it to A. False: it did not parse. */
static bool hear(struct rig *rig, const uint8_t *data, uint32_t len)
{
	uint64_t dropped = rig_dropped(A, DROP_IN_CONTROL);

	rig_tell(B, data, len, 0);
	return rig_dropped(A, DROP_IN_CONTROL) == dropped;
}

/* One that is not for the last request, comes twice, or before it was asked for. */
static void what_was_not_asked_is_ignored(void **state)
{
	struct rig *rig = *state;
	uint8_t out[32];
	uint64_t variation;

	assert_true(hear(rig, out, make(out, REPLY, 1)));
	assert_int_equal(measured(rig, &variation), 0);
	ask(rig, 20 * RIG_MS);
	rig_advance(rig, RIG_SECOND);
	assert_true(hear(rig, out, make(out, REPLY, 1)));
	assert_true(hear(rig, out, make(out, REPLY, 2)));
	assert_int_equal(measured(rig, &variation), 20 * RIG_MS);
}

static void answers_are_limited(void **state)
{
	struct rig *rig = *state;
	uint8_t out[32];

	rig_mark(A);
	rig_advance(rig, RIG_SECOND);
	rig_round(A);
	for (uint64_t i = 1; i <= 50; i++)
		assert_true(hear(rig, out, make(out, REQUEST, i)));
	rig_round(A);
	assert_int_equal(count_sent(rig, A, REPLY), 1);
	rig_advance(rig, ECHO_ANSWER_NS);
	rig_round(A);
	assert_true(hear(rig, out, make(out, REQUEST, 51)));
	rig_round(A);
	assert_int_equal(count_sent(rig, A, REPLY), 2);
}

static void lengths_lie(void **state)
{
	struct rig *rig = *state;
	uint8_t out[64];
	uint32_t len = make(out, REQUEST, 7);

	for (uint32_t cut = 1; cut < len; cut++)
		assert_false(hear(rig, out, cut));
	assert_false(hear(rig, out, make(out, REQUEST, 0)));
	len = make(out, REPLY, 7);
	out[7] = 7;
	assert_false(hear(rig, out, len));
	out[7] = 9;
	assert_false(hear(rig, out, len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(round_trip_is_measured),
		rig_connected_test(idle_sessions_have_none),
		rig_connected_test(few_packets_ask_for_nothing),
		rig_connected_test(stock_peers_are_not_asked),
		rig_connected_test(what_was_not_asked_is_ignored),
		rig_connected_test(answers_are_limited),
		rig_connected_test(lengths_lie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
