/* SPDX-License-Identifier: MIT */
/*
 * Bridged networks over time, on the simulator. The scenarios first, each named after
 * what it shows; then seeds: bridged_seeds.c.
 *
 *	test_sim_bridged [SEEDS [FIRST]]
 */
#include <malloc.h>
#include "sim/bridged_lab.h"
#include "sim/bridged_seeds.h"
#include "sim/seeds.h"

/* There with a sanitizer, which replaces the allocator; NULL without. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static struct seeds chosen;

/* ---- scenarios: three nodes, one network, station i on node i ---- */

#define NODES 3

static bool are_known(const struct run *run, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		for (unsigned int n = 0; n < NODES; n++)
			if (!station_is_known(run->sim, station_at(run->sim, 0, i), n))
				return false;
	return true;
}

static struct run *open_three(uint64_t seed)
{
	const struct sim_options options = { .nodes = NODES,
		                             .widths = { NODES },
		                             .stations = STATIONS };
	struct run *run = open_run(seed, &options);

	run->sim->stations->watch_ns = 5 * SIM_MS;
	for (unsigned int i = 0; i < NODES; i++) {
		station_plug(run->sim, station_at(run->sim, 0, i), i);
		station_announce(run->sim, station_at(run->sim, 0, i));
	}
	wait_ms(run, 1000);
	assert_true(are_known(run, NODES));
	return run;
}

/* A new one that tells nobody: it speaks to its own bridge. */
static struct station *add(struct run *run, unsigned int id, unsigned int node)
{
	struct station *station = station_at(run->sim, 0, id);

	station_plug(run->sim, station, node);
	station_ask_gateway(run->sim, station);
	return station;
}

static void who_comes_is_known_and_who_goes_is_forgotten_at_once(void **state)
{
	struct run *run = open_three(1);
	struct station *station = add(run, 3, 2);

	(void)state;
	/* 10 ms on the wire. */
	wait_ms(run, 11);
	assert_true(are_known(run, 4));
	wait_ms(run, 1000);
	station_unplug(run->sim, station);
	wait_ms(run, 5 + 11);
	for (unsigned int n = 0; n < NODES; n++)
		assert_false(station_is_heard_of(run->sim, station, n));
	close_run(run);
}

/* How long until something that station 0 says arrives at @station again; both keep talking. */
static uint64_t find_outage(struct run *run, struct station *station, uint64_t limit_ms)
{
	uint32_t first = run->sequence;
	uint64_t ms = 0;

	for (; ms < limit_ms; ms += 20) {
		say(run, station, 0);
		say(run, station_at(run->sim, 0, 0), station->id);
		wait_ms(run, 20);
		for (uint32_t i = first; i < run->sequence; i++)
			if (run->sent[i].from == 0 && run->got[i][station->id])
				return ms + 20;
	}
	return ms;
}

static void who_moves_is_found_at_once(void **state)
{
	static const uint64_t watch_ms[] = { 0, 5, 100, 1000000 };

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		struct run *run = open_three(10 + i);
		struct station *station = station_at(run->sim, 0, 1);
		uint64_t outage_ms;

		run->sim->stations->watch_ns = watch_ms[i] * SIM_MS;
		station_unplug(run->sim, station);
		station_plug(run->sim, station, 2);
		station_announce(run->sim, station);
		outage_ms = find_outage(run, station, 20000);
		print_message("the old host hears of it after %llu ms: outage %llu ms\n",
		              (unsigned long long)watch_ms[i], (unsigned long long)outage_ms);
		/*
		 * Its port may be there still, behind which it may be silent. Its old host speaks
		 * for it until it was silent for long enough (FDB_RECENT_NS), and is asked after
		 * 1, 2, 4 and 8 s; then it has 200 ms to answer.
		 */
		assert_true(outage_ms <= (watch_ms[i] < 200 ? watch_ms[i] : 15200) + 200);
		/* What it said of its address when it came was dropped, as it was another's yet. */
		station_announce(run->sim, station);
		wait_ms(run, 1000);
		assert_true(are_known(run, NODES));
		assert_int_equal(run->wrong, 0);
		close_run(run);
	}
}

/* Somebody on node 1 says that he is station 0, and station 2 goes on talking to the true one. */
static void forge(struct run *run, unsigned int times)
{
	struct station forged = *station_at(run->sim, 0, 0);

	forged.node = 1;
	for (unsigned int i = 0; i < times; i++) {
		uint32_t sequence;

		station_announce(run->sim, &forged);
		say(run, &forged, 2);
		wait_ms(run, 70);
		sequence = say(run, station_at(run->sim, 0, 2), 0);
		wait_ms(run, 30);
		assert_int_equal(run->got[sequence][0], 1);
	}
}

static void who_is_there_keeps_what_it_has(void **state)
{
	struct run *run = open_three(20);

	(void)state;
	forge(run, 100);
	/* Also when nobody has a session any more: the question makes one. */
	wait_ms(run, 250000);
	assert_false(sim_has_session(run->sim, 1, 0));
	station_announce(run->sim, station_at(run->sim, 0, 2));
	wait_ms(run, 1000);
	forge(run, 100);
	assert_true(count_events(run->sim, EVENT_CHECK_SENT) > 0);
	assert_int_equal(count_events(run->sim, EVENT_STATION_MOVED), 0);
	assert_true(are_known(run, NODES));
	close_run(run);
}

/* Also when a question and its answer take longer than an owner nearby has. */
static void distance_costs_nobody_his_station(void **state)
{
	static const uint64_t delay_ms[] = { 60, 90, 110, 150, 400 };

	(void)state;
	for (size_t i = 0; i < sizeof(delay_ms) / sizeof(*delay_ms); i++) {
		const struct sim_options options = { .nodes = NODES,
			                             .widths = { NODES },
			                             .stations = STATIONS };
		struct run *run = open_run(25 + i, &options);
		struct station *true_one = station_at(run->sim, 0, 0), forged;

		run->sim->delay_min_ns = delay_ms[i] * SIM_MS;
		run->sim->delay_max_ns = delay_ms[i] * SIM_MS;
		for (unsigned int n = 0; n < NODES; n++) {
			station_plug(run->sim, station_at(run->sim, 0, n), n);
			station_announce(run->sim, station_at(run->sim, 0, n));
		}
		wait_ms(run, 10000);
		forged = *true_one;
		forged.node = 1;
		for (unsigned int times = 0; times < 30; times++) {
			station_announce(run->sim, &forged);
			say(run, &forged, 2);
			wait_ms(run, 700);
			assert_true(station_is_known(run->sim, true_one, 2));
		}
		assert_true(count_events(run->sim, EVENT_CHECK_SENT) > 0);
		close_run(run);
	}
}

static void a_dead_hosts_station_is_found_elsewhere(void **state)
{
	/* Two contests, of the new host and then of who talks to it: of 200 ms, or 5 s without a session. */
	static const uint64_t idle_ms[] = { 0, 250000 }, limit_ms[] = { 500, 11000 };

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		struct run *run = open_three(30 + i);
		struct station *station = station_at(run->sim, 0, 1);
		uint64_t outage_ms;

		wait_ms(run, idle_ms[i]);
		sim_stop(run->sim, 1);
		station_unplug(run->sim, station);
		station_plug(run->sim, station, 2);
		outage_ms = find_outage(run, station, 30000);
		print_message("its host is dead, idle for %llu s: outage %llu ms\n",
		              (unsigned long long)idle_ms[i] / 1000, (unsigned long long)outage_ms);
		assert_true(outage_ms <= limit_ms[i]);
		close_run(run);
	}
}

static void a_dead_host_is_forgotten(void **state)
{
	struct run *run = open_three(40);
	struct station *station = station_at(run->sim, 0, 1);
	uint64_t s = 0;

	(void)state;
	sim_stop(run->sim, 1);
	station_unplug(run->sim, station);
	for (; s < 1000 && (station_is_heard_of(run->sim, station, 0) ||
	                    station_is_heard_of(run->sim, station, 2));
	     s += 10) {
		say(run, station_at(run->sim, 0, 0), 1);
		say(run, station_at(run->sim, 0, 2), 1);
		wait_ms(run, 10000);
	}
	print_message("forgotten after %llu s\n", (unsigned long long)s);
	assert_true(s <= 610);
	close_run(run);
}

static void news_come_through_loss(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 20; seed++) {
		struct run *run = open_three(50 + seed);

		run->sim->loss = 300;
		run->sim->duplication = 300;
		run->sim->delay_max_ns = 200 * SIM_MS;
		for (unsigned int i = NODES; i < STATIONS; i++)
			add(run, i, i % NODES);
		wait_ms(run, 20000);
		assert_true(are_known(run, STATIONS));
		close_run(run);
	}
}

/* What it announced has gone by age; it does not know that, and says nothing new. */
static void who_was_away_is_known_again(void **state)
{
	struct run *run = open_three(80);
	struct station *quiet = add(run, 4, 1);

	(void)state;
	wait_ms(run, 1000);
	run->sim->filter = sim_lose_all;
	for (unsigned int i = 0; i < 100; i++) {
		say(run, station_at(run->sim, 0, 0), 1);
		wait_ms(run, 10000);
	}
	assert_false(station_is_heard_of(run->sim, quiet, 0));
	run->sim->filter = NULL;
	for (unsigned int i = 0; i < 10; i++) {
		say(run, station_at(run->sim, 0, 0), 1);
		wait_ms(run, 1000);
	}
	assert_true(station_is_known(run->sim, quiet, 0));
	close_run(run);
}

/* Frames of both directions overtake hellos and each other while keys change four times. */
static void keys_change_and_no_frame_is_lost(void **state)
{
	struct run *run = open_three(85);
	uint64_t keys;

	(void)state;
	run->sim->delay_max_ns = 3 * run->sim->delay_min_ns;
	keys = count_events(run->sim, EVENT_HANDSHAKE_DONE);
	for (uint64_t end_ns = run->sim->now_ns + 500 * SIM_SECOND; run->sim->now_ns < end_ns;) {
		run->sequence = 0;
		memset(run->got, 0, sizeof(run->got));
		/* Now closely, now with the pauses in which a key gets old. */
		for (unsigned int i = 0; i < 20; i++) {
			say(run, station_at(run->sim, 0, i % 2), 1 - i % 2);
			wait_ms(run, 5);
		}
		wait_ms(run, 900);
		for (uint32_t i = 0; i < run->sequence; i++)
			assert_int_equal(run->got[i][run->sent[i].to], 1);
	}
	/* Both ends of a session count it. */
	assert_in_range(count_events(run->sim, EVENT_HANDSHAKE_DONE) - keys, 8, 10);
	close_run(run);
}

static bool lose_messages(struct sim *sim, struct sim_node *from, uint8_t *data, uint32_t len)
{
	(void)sim;
	(void)from;
	return len < sizeof(struct message_data) || load_le32(data) != MESSAGE_DATA;
}

/* Behind the handshake the net is gone until no hello is repeated any more. */
static void hellos_that_were_all_lost_are_made_up_for(void **state)
{
	struct run *run = open_three(86);
	struct station *station = station_at(run->sim, 0, 1);

	(void)state;
	run->sim->filter = lose_messages;
	sim_stop(run->sim, 0);
	sim_start(run->sim, 0);
	for (unsigned int i = 0; i < 60; i++) {
		say(run, station_at(run->sim, 0, 0), STATION_EVERYONE);
		wait_ms(run, 100);
	}
	run->sim->filter = NULL;
	/* Only then: else its next handshake says it. */
	assert_true(find_outage(run, station, 20000) <= 6000);
	close_run(run);
}

static void a_restart_is_told_everything(void **state)
{
	struct run *run = open_three(90);

	(void)state;
	add(run, 3, 0);
	add(run, 4, 2);
	wait_ms(run, 1000);
	sim_stop(run->sim, 1);
	sim_start(run->sim, 1);
	station_announce(run->sim, station_at(run->sim, 0, 1));
	wait_ms(run, 200);
	assert_true(are_known(run, 5));
	close_run(run);
}

/* Of all that is reserved once nothing grows, and what is not does not either. */
static size_t heap_in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

static void churn_allocates_nothing(void **state)
{
	struct run *run = open_three(100);
	size_t before = 0;

	(void)state;
	run->sim->loss = 50;
	for (unsigned int i = 0; i < 600; i++) {
		struct station *station = station_at(run->sim, 0, 3 + i % 3);

		if (i == 300)
			before = heap_in_use();
		if (is_here(station))
			station_unplug(run->sim, station);
		wait_ms(run, chance(run, 3000));
		station_plug(run->sim, station, chance(run, NODES));
		station_announce(run->sim, station);
		say(run, station, STATION_EVERYONE);
		wait_ms(run, chance(run, 3000));
		if (i % 100 == 99)
			wait_ms(run, 200000);
	}
	print_message("heap: %zu bytes, then %zu\n", before, heap_in_use());
	assert_true(heap_in_use() <= before);
	close_run(run);
}

static void seeds(void **state)
{
	(void)state;
	seeds_run(&chosen, bridged_seeds_run);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_comes_is_known_and_who_goes_is_forgotten_at_once),
		cmocka_unit_test(who_moves_is_found_at_once),
		cmocka_unit_test(who_is_there_keeps_what_it_has),
		cmocka_unit_test(distance_costs_nobody_his_station),
		cmocka_unit_test(a_dead_hosts_station_is_found_elsewhere),
		cmocka_unit_test(a_dead_host_is_forgotten),
		cmocka_unit_test(news_come_through_loss),
		cmocka_unit_test(who_was_away_is_known_again),
		cmocka_unit_test(keys_change_and_no_frame_is_lost),
		cmocka_unit_test(hellos_that_were_all_lost_are_made_up_for),
		cmocka_unit_test(a_restart_is_told_everything),
		cmocka_unit_test(churn_allocates_nothing),
		cmocka_unit_test(seeds),
	};

	chosen = seeds_parse(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
