/* SPDX-License-Identifier: MIT */
/*
 * Protocol behaviour over time, on the simulator. The scenarios first, each
 * named after what it shows (pitfall_N: the list in docs/protocol.md); then
 * seeds: random loss, reorder, duplication, restarts, roams and clocks, after
 * which a clean network must carry packets again within 20 seconds.
 *
 *	test_sim [SEEDS [FIRST]]
 */
#include "sim/seeds.h"
#include "sim/sim.h"

static struct seeds chosen;

struct want {
	unsigned int node, from;
	uint32_t count;
};

static bool got(struct sim *sim, void *arg)
{
	const struct want *want = arg;

	return sim->nodes[want->node].got[want->from] >= want->count;
}

static bool arrives(struct sim *sim, unsigned int from, unsigned int to, uint32_t sequence,
                    uint64_t within)
{
	struct want want = { to, from, sim->nodes[to].got[from] + 1 };

	sim_send(sim, from, to, sequence, 100);
	return sim_run(sim, within, got, &want);
}

static void assert_clean(const struct sim *sim)
{
	for (unsigned int i = 0; i < sim->node_count; i++) {
		assert_int_equal(sim->nodes[i].duplicates, 0);
		assert_int_equal(sim->nodes[i].corrupt, 0);
	}
}

static void first_packet_makes_the_session(void **state)
{
	struct sim *sim = sim_open(1, 2);

	(void)state;
	/* 10 ms each way: initiation, response, data, then ARP costs nothing. */
	assert_true(arrives(sim, 0, 1, 0, 31 * SIM_MS));
	assert_true(arrives(sim, 1, 0, 0, 11 * SIM_MS));
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], 1);
	assert_int_equal(sim->nodes[1].sent[MESSAGE_RESPONSE], 1);
	assert_clean(sim);
	sim_close(sim);
}

static void staged_packets_keep_their_order_and_number(void **state)
{
	struct sim *sim = sim_open(2, 2);
	struct want want = { 1, 0, 129 };

	(void)state;
	/* The container's MAC is known, the session is gone. */
	assert_true(arrives(sim, 0, 1, 1000, SIM_SECOND));
	sim_run(sim, 6 * SIM_SECOND, NULL, NULL);
	peer_reset(sim->nodes[0].peers[1]);
	for (uint32_t i = 0; i < 200; i++)
		sim_send(sim, 0, 1, i, 10);
	assert_true(sim_run(sim, SIM_SECOND, got, &want));
	/* The oldest 72 went. */
	assert_int_equal(sim->nodes[1].seen[0][71], 0);
	assert_int_equal(sim->nodes[1].seen[0][72], 1);
	assert_int_equal(sim_drops(sim, 0, DROP_OUT_STAGE_FULL), 72);
	sim_close(sim);
}

static void rekeys_every_two_minutes_without_loss(void **state)
{
	struct sim *sim = sim_open(3, 2);
	uint32_t sent = 0;

	(void)state;
	for (; sent < 4000; sent++) {
		sim_send(sim, sent & 1, 1 - (sent & 1), sent, 64);
		sim_run(sim, 150 * SIM_MS, NULL, NULL);
	}
	assert_int_equal(sim->nodes[1].got[0] + sim->nodes[0].got[1], sent);
	/* 600 s: the first handshake and a rekey each 120 s, by the initiator alone. */
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], 5);
	assert_int_equal(sim->nodes[1].sent[MESSAGE_INITIATION], 0);
	assert_clean(sim);
	sim_close(sim);
}

static void gives_up_after_ninety_seconds(void **state)
{
	struct sim *sim = sim_open(4, 2);
	uint64_t start, initiations;

	(void)state;
	sim->filter = sim_lose_all;
	start = sim->now_ns;
	sim_send(sim, 0, 1, 0, 10);
	sim_run(sim, 300 * SIM_SECOND, NULL, NULL);
	initiations = sim->nodes[0].sent[MESSAGE_INITIATION];
	assert_in_range(initiations, 19, 20);
	assert_in_range((sim->nodes[0].last_sent_ns - start) / SIM_SECOND, 90, 98);
	assert_int_equal(sim_drops(sim, 0, DROP_OUT_STAGE_EXPIRED), 1);
	/* And begins anew when there is something to say. */
	sim->filter = NULL;
	assert_true(arrives(sim, 0, 1, 1, SIM_SECOND));
	sim_close(sim);
}

/* WireGuard's timers allow 11 s. Also where a path is long, and whoever has more to send sends on. */
static void pitfall_12_both_initiate_at_once(void **state)
{
	static const uint64_t delays_ms[] = { 10, 100, 300, 600 };

	(void)state;
	for (unsigned int seed = 0; seed < 48; seed++) {
		struct sim *sim = sim_open(1000 + seed, 2);
		struct want a = { 0, 1, 1 }, b = { 1, 0, 1 };

		sim->delay_min_ns = sim->delay_max_ns = delays_ms[seed % 4] * SIM_MS;
		for (uint32_t i = 0; i < 3 && !(got(sim, &a) && got(sim, &b)); i++) {
			sim_send(sim, 0, 1, i, 10);
			sim_send(sim, 1, 0, i, 10);
			sim_run(sim, SIM_SECOND, NULL, NULL);
		}
		assert_true(got(sim, &a));
		assert_true(got(sim, &b));
		assert_clean(sim);
		sim_close(sim);
	}
}

/* The first host's initiation came to nobody: that must not keep it from answering the second's. */
static void a_host_that_comes_up_later_is_let_in_at_once(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 20; seed++) {
		struct sim *sim = sim_open(2000 + seed, 2);
		struct want a = { 0, 1, 1 }, b = { 1, 0, 1 };

		sim_stop(sim, 1);
		sim_send(sim, 0, 1, 0, 10);
		sim_run(sim, SIM_SECOND, NULL, NULL);
		sim_start(sim, 1);
		sim_send(sim, 1, 0, 1, 10);
		assert_true(sim_run(sim, SIM_SECOND, got, &b));
		sim_send(sim, 0, 1, 1, 10);
		assert_true(sim_run(sim, SIM_SECOND, got, &a));
		assert_clean(sim);
		sim_close(sim);
	}
}

static void pitfall_14_an_idle_pair_falls_silent(void **state)
{
	struct sim *sim = sim_open(5, 2);
	uint64_t quiet;

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, 30 * SIM_SECOND, NULL, NULL);
	quiet = sim->nodes[0].last_sent_ns > sim->nodes[1].last_sent_ns
	                ? sim->nodes[0].last_sent_ns
	                : sim->nodes[1].last_sent_ns;
	sim_run(sim, 1000 * SIM_SECOND, NULL, NULL);
	assert_true(sim->nodes[0].last_sent_ns <= quiet);
	assert_true(sim->nodes[1].last_sent_ns <= quiet);
	/* The receiver said once, after 10 s, that it is there. */
	assert_in_range(sim->nodes[1].sent[MESSAGE_DATA], 1, 4);
	sim_close(sim);
}

static void keepalive_answers_one_sided_traffic(void **state)
{
	struct sim *sim = sim_open(6, 2);
	uint64_t before;

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, 15 * SIM_SECOND, NULL, NULL);
	before = sim->nodes[1].sent[MESSAGE_DATA];
	/* Too few for the round trip to be measured, whose answers would say as much. */
	for (uint32_t i = 1; i <= 30; i++) {
		sim_send(sim, 0, 1, i, 10);
		sim_run(sim, 2 * SIM_SECOND, NULL, NULL);
	}
	/* One each 10 s; "another is due" keeps the row unbroken. */
	assert_in_range(sim->nodes[1].sent[MESSAGE_DATA] - before, 5, 7);
	/* So the sender never had a reason for a new handshake. */
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], 1);
	sim_close(sim);
}

static void a_dead_peer_is_noticed_after_fifteen_seconds(void **state)
{
	struct sim *sim = sim_open(7, 2);

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, SIM_SECOND, NULL, NULL);
	sim_stop(sim, 1);
	sim_send(sim, 0, 1, 1, 10);
	sim_run(sim, 14 * SIM_SECOND, NULL, NULL);
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], 1);
	sim_run(sim, 2 * SIM_SECOND, NULL, NULL);
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], 2);
	sim_start(sim, 1);
	/* Its memory is gone; ours brings it back. */
	sim_run(sim, 6 * SIM_SECOND, NULL, NULL);
	assert_true(arrives(sim, 0, 1, 2, SIM_SECOND));
	sim_close(sim);
}

static void keys_expire_and_are_wiped(void **state)
{
	struct sim *sim = sim_open(8, 2);

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, 170 * SIM_SECOND, NULL, NULL);
	assert_true(sim_has_session(sim, 0, 1));
	sim_run(sim, 10 * SIM_SECOND, NULL, NULL);
	assert_false(sim_has_session(sim, 0, 1));
	assert_non_null(atomic_load(&sim->nodes[0].peers[1]->session.current));
	sim_run(sim, 365 * SIM_SECOND, NULL, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		assert_null(atomic_load(&sim->nodes[i].peers[1 - i]->session.current));
		assert_null(atomic_load(&sim->nodes[i].peers[1 - i]->session.previous));
		assert_null(atomic_load(&sim->nodes[i].peers[1 - i]->session.next));
	}
	sim_close(sim);
}

static void persistent_keepalive_keeps_time(void **state)
{
	struct sim *sim = sim_open(9, 2);

	(void)state;
	peer_set_keepalive(sim->nodes[0].peers[1], 25);
	sim_kick(sim, 0);
	sim_run(sim, SIM_SECOND, NULL, NULL);
	/* Set: at once, session and all. */
	assert_true(sim_has_session(sim, 0, 1));
	uint64_t before = sim->nodes[0].sent[MESSAGE_DATA];
	sim_run(sim, 100 * SIM_SECOND, NULL, NULL);
	assert_in_range(sim->nodes[0].sent[MESSAGE_DATA] - before, 4, 5);
	sim_close(sim);
}

static void roams_with_the_next_authentic_packet(void **state)
{
	struct sim *sim = sim_open(10, 2);
	struct endpoint ep;

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_move(sim, 0);
	assert_true(arrives(sim, 0, 1, 1, 11 * SIM_MS));
	assert_true(arrives(sim, 1, 0, 0, 11 * SIM_MS));
	/* Replaying an old message from elsewhere moves nothing. */
	uint8_t copy[2048];
	uint32_t len = sim->nodes[0].last_len[MESSAGE_DATA];
	memcpy(copy, sim->nodes[0].last[MESSAGE_DATA], len);
	struct endpoint thief = sim->nodes[0].address;
	thief.remote.in.sin_port ^= 0xffff;
	sim_inject(sim, 1, &thief, copy, len);
	copy[len - 1] ^= 1;
	sim_inject(sim, 1, &thief, copy, len);
	sim_run(sim, SIM_MS, NULL, NULL);
	peer_get_endpoint(sim->nodes[1].peers[0], &ep);
	assert_true(endpoint_same_remote(&ep, &sim->nodes[0].address));
	assert_int_equal(sim_drops(sim, 1, DROP_RX_REPLAY), 1);
	assert_int_equal(sim_drops(sim, 1, DROP_RX_BAD_AUTH), 1);
	sim_close(sim);
}

static void pitfall_8_a_forged_cookie_changes_nothing(void **state)
{
	struct sim *sim = sim_open(11, 2);
	struct message_cookie_reply forged;
	uint64_t keepalive, handshakes;

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	memset(&forged, 0x55, sizeof(forged));
	store_le32(forged.type.b, MESSAGE_COOKIE_REPLY);
	memcpy(forged.receiver.b, sim->nodes[0].last[MESSAGE_INITIATION] + 4, 4);
	keepalive = atomic_load(&sim->nodes[0].peers[1]->timers.deadline_ns[TIMER_NEW_HANDSHAKE]);
	handshakes = sim->nodes[0].sent[MESSAGE_INITIATION];
	sim_inject(sim, 0, &sim->nodes[1].address, (uint8_t *)&forged, sizeof(forged));
	sim_run(sim, SIM_MS, NULL, NULL);
	assert_int_equal(sim_drops(sim, 0, DROP_COOKIE_INVALID), 1);
	assert_int_equal(
		atomic_load(&sim->nodes[0].peers[1]->timers.deadline_ns[TIMER_NEW_HANDSHAKE]),
		keepalive);
	assert_int_equal(sim->nodes[0].sent[MESSAGE_INITIATION], handshakes);
	sim_close(sim);
}

static void pitfall_16_a_clock_set_back_stops_nothing(void **state)
{
	struct sim *sim = sim_open(12, 2);

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim->nodes[0].wall_offset_ns = -3600 * (int64_t)SIM_SECOND;
	assert_true(arrives(sim, 0, 1, 1, SIM_SECOND));
	/* Past the rekey, with the clock still wrong. */
	for (uint32_t i = 2; i < 200; i++) {
		sim_send(sim, 0, 1, i, 10);
		sim_run(sim, 2 * SIM_SECOND, NULL, NULL);
	}
	assert_int_equal(sim->nodes[1].got[0], 200);
	assert_true(sim->nodes[0].sent[MESSAGE_INITIATION] >= 3);
	assert_int_equal(sim_drops(sim, 1, DROP_HANDSHAKE_STALE), 0);
	sim_close(sim);
}

static void load_is_answered_with_cookies_and_let_through(void **state)
{
	struct sim *sim = sim_open(13, 2);
	uint8_t junk[148];
	struct endpoint from = sim->nodes[1].address;

	(void)state;
	/* Initiations of node 1's own making pass mac1: replays of one that is real. */
	assert_true(arrives(sim, 1, 0, 0, SIM_SECOND));
	memcpy(junk, sim->nodes[1].last[MESSAGE_INITIATION], sizeof(junk));
	from.remote.in.sin_port = 1;
	sim->clock_cost_ns = 300000;
	for (int i = 0; i < 3000; i++)
		sim_inject(sim, 0, &from, junk, sizeof(junk));
	sim_stop(sim, 1);
	sim_start(sim, 1);
	sim_send(sim, 1, 0, 1, 10);
	sim_run(sim, 500 * SIM_MS, NULL, NULL);
	assert_true(sim_drops(sim, 0, DROP_HANDSHAKE_COOKIE) > 1000);
	assert_true(sim->nodes[0].sent[MESSAGE_COOKIE_REPLY] > 0);
	/* With its cookie the honest peer is in on its next try, load or not. */
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < 600; k++)
			sim_inject(sim, 0, &from, junk, sizeof(junk));
		sim_run(sim, 100 * SIM_MS, NULL, NULL);
	}
	assert_true(sim->nodes[0].got[1] >= 2);
	sim_close(sim);
}

static void replays_are_never_delivered(void **state)
{
	struct sim *sim = sim_open(14, 2);
	static uint8_t captured[600][2048];
	static uint32_t lens[600];

	(void)state;
	for (uint32_t i = 0; i < 600; i++) {
		assert_true(arrives(sim, 0, 1, i, SIM_SECOND));
		lens[i] = sim->nodes[0].last_len[MESSAGE_DATA];
		memcpy(captured[i], sim->nodes[0].last[MESSAGE_DATA], lens[i]);
	}
	for (int round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < 600; i++)
			sim_inject(sim, 1, &sim->nodes[0].address, captured[i], lens[i]);
		sim_run(sim, SIM_MS, NULL, NULL);
	}
	assert_clean(sim);
	assert_int_equal(sim->nodes[1].got[0], 600);
	sim_close(sim);
}

static void hello_is_agreed_upon_and_ends_with_the_session(void **state)
{
	struct sim *sim = sim_open(15, 2);
	struct peer_info info;

	(void)state;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, 100 * SIM_MS, NULL, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		peer_get_info(sim->nodes[i].peers[1 - i], sim->now_ns, &info);
		assert_int_equal(info.hello.version, 1);
		assert_int_equal(info.hello.tunnel_mtu, PEER_MTU_DEFAULT);
		assert_true(atomic_load(&sim->nodes[i].peers[1 - i]->hello.acked));
	}
	/* At most three, and no more once acknowledged: data, keepalive and hellos. */
	sim_run(sim, 5 * SIM_SECOND, NULL, NULL);
	assert_in_range(sim->nodes[0].sent[MESSAGE_DATA], 3, 5);
	sim_close(sim);
}

/* A stock peer: to it a hello is a packet of no IP version, so it is as good as lost. */
static bool lose_hellos(struct sim *sim, struct sim_node *from, uint8_t *data, uint32_t len)
{
	(void)sim;
	(void)data;
	return !(from->id == 0 && len > MESSAGE_DATA_OVERHEAD && len < 32 + 64);
}

static void hello_to_a_stock_peer_is_sent_three_times(void **state)
{
	struct sim *sim = sim_open(16, 2);
	uint64_t before;

	(void)state;
	sim->filter = lose_hellos;
	assert_true(arrives(sim, 0, 1, 0, SIM_SECOND));
	sim_run(sim, 20 * SIM_SECOND, NULL, NULL);
	before = sim->nodes[0].sent[MESSAGE_DATA];
	sim_run(sim, 60 * SIM_SECOND, NULL, NULL);
	assert_int_equal(sim->nodes[0].sent[MESSAGE_DATA], before);
	assert_true(before <= 8);
	sim_close(sim);
}

static void reorder_of_thousands_loses_and_doubles_nothing(void **state)
{
	struct sim *sim = sim_open(17, 2);
	struct want want = { 1, 0, 4000 };

	(void)state;
	assert_true(arrives(sim, 0, 1, 4000, SIM_SECOND));
	sim->delay_min_ns = 0;
	sim->delay_max_ns = 2 * SIM_SECOND;
	sim->duplication = 1000;
	for (uint32_t i = 0; i < 4000; i++) {
		sim_send(sim, 0, 1, i, 20);
		sim_run(sim, SIM_MS / 4, NULL, NULL);
	}
	want.count = 4001;
	assert_true(sim_run(sim, 10 * SIM_SECOND, got, &want));
	assert_clean(sim);
	sim_close(sim);
}

static void lossy_handshakes_come_through(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 20; seed++) {
		struct sim *sim = sim_open(2000 + seed, 2);
		struct want want = { 1, 0, 1 };

		sim->loss = 200;
		for (uint32_t i = 0; i < 60; i++) {
			sim_send(sim, 0, 1, i, 10);
			if (sim_run(sim, SIM_SECOND, got, &want))
				break;
		}
		assert_true(got(sim, &want));
		sim_close(sim);
	}
}

/* ---- seeds ---- */

static void stir(struct sim *sim)
{
	unsigned int node = sim_random(sim, sim->node_count);

	switch (sim_random(sim, 12)) {
	case 0:
		sim->loss = sim_random(sim, 300);
		break;
	case 1:
		sim->duplication = sim_random(sim, 300);
		break;
	case 2:
		sim->delay_max_ns = sim->delay_min_ns + sim_random(sim, 500) * SIM_MS;
		break;
	case 3:
		sim_stop(sim, node);
		sim_run(sim, sim_random(sim, 3000) * SIM_MS, NULL, NULL);
		sim_start(sim, node);
		break;
	case 4:
		/* Two that moved at once have lost each other for good; only one ever does. */
		sim_move(sim, 0);
		break;
	case 5:
		sim->filter = sim->filter ? NULL : sim_lose_all;
		break;
	case 6:
		sim_run(sim, sim_random(sim, 400) * SIM_SECOND, NULL, NULL);
		break;
	default:
		sim_run(sim, sim_random(sim, 4000) * SIM_MS, NULL, NULL);
		break;
	}
}

static void run_seed(uint64_t seed)
{
	struct sim *sim = sim_open(seed, 2 + (unsigned int)(seed & 1));
	uint32_t sequence = 0;

	for (int step = 0; step < 40; step++) {
		stir(sim);
		for (uint32_t burst = sim_random(sim, 8); burst; burst--) {
			unsigned int from = sim_random(sim, sim->node_count);
			unsigned int to =
				(from + 1 + sim_random(sim, sim->node_count - 1)) % sim->node_count;

			sim_send(sim, from, to, sequence++, sim_random(sim, 1300));
		}
	}
	/* A clean network: whatever state they are in, they find each other again. */
	sim_calm(sim);
	for (unsigned int from = 0; from < sim->node_count; from++) {
		for (unsigned int to = 0; to < sim->node_count; to++) {
			struct want want = { to, from, sim->nodes[to].got[from] + 1 };
			bool ok = from == to;

			for (int second = 0; second < 20 && !ok; second++) {
				sim_send(sim, from, to, sequence++, 200);
				ok = sim_run(sim, SIM_SECOND, got, &want);
			}
			if (!ok)
				fail_msg("seed %llu: nothing from %u reaches %u",
				         (unsigned long long)seed, from, to);
		}
	}
	assert_clean(sim);
	sim_close(sim);
}

static void seeds(void **state)
{
	(void)state;
	seeds_run(&chosen, run_seed);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_packet_makes_the_session),
		cmocka_unit_test(staged_packets_keep_their_order_and_number),
		cmocka_unit_test(rekeys_every_two_minutes_without_loss),
		cmocka_unit_test(gives_up_after_ninety_seconds),
		cmocka_unit_test(pitfall_12_both_initiate_at_once),
		cmocka_unit_test(a_host_that_comes_up_later_is_let_in_at_once),
		cmocka_unit_test(pitfall_14_an_idle_pair_falls_silent),
		cmocka_unit_test(keepalive_answers_one_sided_traffic),
		cmocka_unit_test(a_dead_peer_is_noticed_after_fifteen_seconds),
		cmocka_unit_test(keys_expire_and_are_wiped),
		cmocka_unit_test(persistent_keepalive_keeps_time),
		cmocka_unit_test(roams_with_the_next_authentic_packet),
		cmocka_unit_test(pitfall_8_a_forged_cookie_changes_nothing),
		cmocka_unit_test(pitfall_16_a_clock_set_back_stops_nothing),
		cmocka_unit_test(load_is_answered_with_cookies_and_let_through),
		cmocka_unit_test(replays_are_never_delivered),
		cmocka_unit_test(hello_is_agreed_upon_and_ends_with_the_session),
		cmocka_unit_test(hello_to_a_stock_peer_is_sent_three_times),
		cmocka_unit_test(reorder_of_thousands_loses_and_doubles_nothing),
		cmocka_unit_test(lossy_handshakes_come_through),
		cmocka_unit_test(seeds),
	};

	chosen = seeds_parse(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
