/* SPDX-License-Identifier: MIT */
/* When a worker pauses, for how long, and with which priority it runs. */
#include "unit.h"

#include "dataplane/pace.h"

#define US 1000ull
#define MS 1000000ull

/* A worker: rounds of @work_ns, waiting @wait_ns for each, beside the pauses it is told. */
struct clock {
	struct pace pace;
	uint64_t now_ns;
	uint64_t paused_ns; /* all pauses */
	uint64_t last_ns; /* the last one */
};

static void start(struct clock *c, bool realtime)
{
	*c = (struct clock){ .pace = { .realtime = realtime }, .now_ns = 3600 * 1000 * MS };
}

static void round_full(struct clock *c, uint64_t wait_ns, uint64_t work_ns, uint32_t packets,
                       uint32_t bytes, bool full)
{
	c->now_ns += wait_ns;
	pace_begin(&c->pace, c->now_ns);
	c->now_ns += work_ns;
	c->last_ns = pace_end(&c->pace, c->now_ns, packets, bytes, full);
	c->now_ns += c->last_ns;
	c->paused_ns += c->last_ns;
}

static void round_of(struct clock *c, uint64_t wait_ns, uint64_t work_ns, uint32_t packets,
                     uint32_t bytes)
{
	round_full(c, wait_ns, work_ns, packets, bytes, false);
}

static void question_and_answer_are_not_held_back(void **state)
{
	struct clock c;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 10000; i++)
		round_of(&c, 30 * US, 10 * US, 1, 100);
	assert_int_equal(c.paused_ns, 0);
}

static void bulk_is_gathered(void **state)
{
	struct clock c;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 20; i++)
		round_of(&c, 0, 60 * US, 1, 65536);
	assert_int_equal(c.last_ns, PACE_MOST_NS);
}

static void a_full_round_is_followed_at_once(void **state)
{
	struct clock c;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 20; i++)
		round_of(&c, 0, 60 * US, 1, 65536);
	round_full(&c, 0, 60 * US, 64, 64 * 100, true);
	assert_int_equal(c.last_ns, 0);
	round_of(&c, 0, 60 * US, 1, 65536);
	assert_int_equal(c.last_ns, PACE_MOST_NS);
}

/* Rounds too fast, but each pause ends with one packet: somebody waits for it. */
static void pauses_in_vain_end(void **state)
{
	struct clock c;
	int with = 0;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 1000; i++) {
		round_of(&c, 5 * US, 5 * US, 1, 100);
		with += c.last_ns > 0;
	}
	/* 100, 50 and 25 us, and then as many rounds as those have given credit for. */
	assert_in_range(with, 1, 1000 * 2 / 5);
	start(&c, true);
	for (int i = 0; i < 20; i++)
		round_of(&c, 0, 60 * US, 1, 65536);
	for (int i = 0; i < 4; i++)
		round_of(&c, 0, 5 * US, 1, 100);
	assert_int_equal(c.last_ns, 0);
}

static void idleness_ends_pauses(void **state)
{
	struct clock c;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 20; i++)
		round_of(&c, 0, 60 * US, 1, 65536);
	round_of(&c, 10 * MS, 10 * US, 2, 200);
	assert_int_equal(c.last_ns, 0);
}

static void a_flood_of_small_packets_has_no_realtime_priority(void **state)
{
	struct clock c;

	(void)state;
	start(&c, true);
	for (int i = 0; i < 1000; i++)
		round_of(&c, 0, 20 * US, 10, 10 * 120);
	assert_false(pace_is_realtime(&c.pace));
	assert_int_equal(c.last_ns, PACE_MOST_NS); /* they are gathered all the same */
	/* Big ones, as many: no flood. */
	for (int i = 0; i < 1000; i++)
		round_of(&c, 0, 20 * US, 10, 10 * 1440);
	assert_true(pace_is_realtime(&c.pace));
	/* It ends. */
	for (int i = 0; i < 1000; i++)
		round_of(&c, 0, 20 * US, 10, 10 * 120);
	assert_false(pace_is_realtime(&c.pace));
	round_of(&c, 100 * MS, 20 * US, 1, 100);
	assert_true(pace_is_realtime(&c.pace));
}

static void without_realtime_priority_only_a_flood_is_gathered(void **state)
{
	struct clock c;

	(void)state;
	start(&c, false);
	for (int i = 0; i < 1000; i++)
		round_of(&c, 0, 60 * US, 1, 65536);
	assert_int_equal(c.paused_ns, 0);
	for (int i = 0; i < 1000; i++)
		round_of(&c, 0, 20 * US, 10, 10 * 120);
	assert_int_equal(c.last_ns, PACE_MOST_NS);
	assert_false(pace_is_realtime(&c.pace));
}

/* However much there is to do, a part of the time is others'. */
static void realtime_priority_leaves_time_to_others(void **state)
{
	struct clock c;
	uint64_t begin_ns;

	(void)state;
	start(&c, true);
	begin_ns = c.now_ns;
	while (c.now_ns < begin_ns + 1000 * MS)
		round_full(&c, 0, 150 * US, 64, 256 * 1024, true);
	assert_in_range(c.paused_ns, 55 * MS, 75 * MS);
	/* Nobody is in need of it when the priority is everyone's. */
	start(&c, false);
	begin_ns = c.now_ns;
	while (c.now_ns < begin_ns + 1000 * MS)
		round_full(&c, 0, 150 * US, 64, 256 * 1024, true);
	assert_int_equal(c.paused_ns, 0);
}

static void who_polls_looks_for_a_while(void **state)
{
	struct clock c;
	uint64_t begin_ns;

	(void)state;
	start(&c, true);
	round_of(&c, MS, 10 * US, 1, 100);
	assert_false(pace_is_polling(&c.pace));
	c.pace.busy_poll_ns = 100 * US;
	assert_false(pace_is_realtime(&c.pace));
	round_of(&c, MS, 10 * US, 1, 100);
	begin_ns = c.now_ns;
	while (pace_is_polling(&c.pace))
		round_of(&c, 0, 1 * US, 0, 0);
	assert_in_range(c.now_ns - begin_ns, 100 * US, 102 * US);
	assert_int_equal(c.paused_ns, 0);
	/* What was found begins it anew. */
	round_of(&c, MS, 10 * US, 1, 100);
	assert_true(pace_is_polling(&c.pace));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(question_and_answer_are_not_held_back),
		cmocka_unit_test(bulk_is_gathered),
		cmocka_unit_test(a_full_round_is_followed_at_once),
		cmocka_unit_test(pauses_in_vain_end),
		cmocka_unit_test(idleness_ends_pauses),
		cmocka_unit_test(a_flood_of_small_packets_has_no_realtime_priority),
		cmocka_unit_test(without_realtime_priority_only_a_flood_is_gathered),
		cmocka_unit_test(who_polls_looks_for_a_while),
		cmocka_unit_test(realtime_priority_leaves_time_to_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
