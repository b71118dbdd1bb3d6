/* SPDX-License-Identifier: MIT */
/* The anti-replay window: numbered rows, long runs, and a slow twin. */
#include "unit.h"

#include <stdlib.h>
#include "crypto/replay.h"
#include "crypto/session.h"

#define CAP REPLAY_COUNTER_END

struct row {
	int number;
	uint64_t counter;
	bool accepted;
};

static void run_rows(const struct row *rows, size_t n)
{
	struct replay replay = { 0 };

	for (size_t i = 0; i < n; i++) {
		if (replay_accept(&replay, rows[i].counter) != rows[i].accepted)
			fail_msg("row %d, counter %llu: expected to be %s", rows[i].number,
			         (unsigned long long)rows[i].counter,
			         rows[i].accepted ? "accepted" : "refused");
	}
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void test_rows_around_the_window(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, true },
		{ 2, 1, true },
		{ 3, 1, false },
		{ 4, 9, true },
		{ 5, 8, true },
		{ 6, 7, true },
		{ 7, 7, false },
		{ 8, 0, false },
		/* the edge, the highest being 8128: 0 is 8128 behind, and was seen */
		{ 9, REPLAY_WINDOW, true },
		{ 10, REPLAY_WINDOW - 1, true },
		{ 11, REPLAY_WINDOW - 1, false },
		{ 12, 0, false },
		{ 13, 2, true },
		{ 14, 2, false },
		/* one further: 1 falls out, 3 stays */
		{ 15, REPLAY_WINDOW + 2, true },
		{ 16, 1, false },
		{ 17, 3, true },
		{ 18, 3, false },
		{ 19, REPLAY_WINDOW + 2, false },
	};

	(void)state;
	RUN(rows);
}

static void test_rows_of_every_edge_within_a_word(void **state)
{
	(void)state;
	/* wherever the highest lies in its word, 8128 behind is in and 8129 out */
	for (uint64_t high = 3 * REPLAY_BITS; high < 3 * REPLAY_BITS + 130; high++) {
		struct replay replay = { 0 };

		assert_true(replay_accept(&replay, high));
		assert_false(replay_accept(&replay, high));
		assert_false(replay_accept(&replay, high - REPLAY_WINDOW - 1));
		assert_true(replay_accept(&replay, high - REPLAY_WINDOW));
		assert_false(replay_accept(&replay, high - REPLAY_WINDOW));
		assert_true(replay_accept(&replay, high - 1));
	}
}

static void test_rows_of_a_first_counter_that_is_not_zero(void **state)
{
	static const struct row rows[] = {
		{ 1, 5000, true }, { 2, 5000, false }, { 3, 0, true },   { 4, 0, false },
		{ 5, 63, true },   { 6, 64, true },    { 7, 63, false },
	};
	static const struct row far[] = {
		{ 1, 1ULL << 40, true },
		{ 2, 0, false },
		{ 3, (1ULL << 40) - REPLAY_WINDOW - 1, false },
		{ 4, (1ULL << 40) - REPLAY_WINDOW, true },
		{ 5, (1ULL << 40) - 1, true },
		{ 6, (1ULL << 40) + 1, true },
	};

	(void)state;
	RUN(rows);
	RUN(far);
}

static void test_rows_of_jumps(void **state)
{
	/* a jump of a whole ring lands on the same words: they must be clear */
	static const struct row rows[] = {
		{ 1, 0, true },
		{ 2, 1, true },
		{ 3, REPLAY_BITS, true },
		{ 4, REPLAY_BITS + 1, true },
		{ 5, REPLAY_BITS - 1, true },
		{ 6, 1, false },
		{ 7, 2ULL * REPLAY_BITS + 64, true },
		{ 8, REPLAY_BITS + 64, false },
		{ 9, REPLAY_BITS + 128, true },
		{ 10, 3ULL * REPLAY_BITS + 64 + 1, true },
		{ 11, 2ULL * REPLAY_BITS + 64, false },
		{ 12, 2ULL * REPLAY_BITS + 65 + 64, true },
		{ 13, 100ULL * REPLAY_BITS, true },
		{ 14, 100ULL * REPLAY_BITS - 1, true },
		{ 15, 99ULL * REPLAY_BITS + 64, true },
		{ 16, 99ULL * REPLAY_BITS + 63, false },
	};

	(void)state;
	RUN(rows);
}

static void test_pitfall_1_counter_32_bits(void **state)
{
	static const struct row rows[] = {
		{ 1, UINT32_MAX - 1ULL, true },
		{ 2, UINT32_MAX, true },
		{ 3, UINT32_MAX + 1ULL, true },
		{ 4, UINT32_MAX + 2ULL, true },
		{ 5, UINT32_MAX, false },
		{ 6, UINT32_MAX + 1ULL, false },
		/* what the counters are modulo 2^32 */
		{ 7, 0, false },
		{ 8, 1, false },
		{ 9, UINT32_MAX - 2ULL, true },
	};

	(void)state;
	RUN(rows);
}

static void test_pitfall_2_counters_near_the_end(void **state)
{
	struct replay replay = { 0 };

	(void)state;
	/* 2^64 - 1 down to 2^64 - 8193 are refused and leave no trace */
	for (uint64_t i = 1; i <= 8193; i++)
		assert_false(replay_accept(&replay, 0 - i));
	assert_int_equal(replay.next, 0);
	assert_true(0 - 8193ULL == CAP);

	/* the last that may be used, and the window behind it */
	assert_true(replay_accept(&replay, CAP - 1));
	assert_false(replay_accept(&replay, CAP - 1));
	assert_false(replay_accept(&replay, CAP));
	for (uint64_t i = 1; i <= REPLAY_WINDOW; i++)
		assert_true(replay_accept(&replay, CAP - 1 - i));
	assert_false(replay_accept(&replay, CAP - 1 - REPLAY_WINDOW - 1));
	for (uint64_t i = 0; i <= REPLAY_WINDOW; i++)
		assert_false(replay_accept(&replay, CAP - 1 - i));
	assert_false(replay_accept(&replay, 0));
	assert_false(replay_accept(&replay, UINT64_MAX));
}

static void test_pitfall_3_reorder_of_8000_loses_nothing(void **state)
{
	struct replay replay = { 0 };

	(void)state;
	for (uint64_t block = 0; block < 10; block++) {
		for (uint64_t i = 8000; i > 0; i--)
			assert_true(replay_accept(&replay, block * 8000 + i - 1));
		for (uint64_t i = 0; i < 8000; i++)
			assert_false(replay_accept(&replay, block * 8000 + i));
	}
	/* one straggler 8,000 late, over and over */
	memset(&replay, 0, sizeof(replay));
	for (uint64_t i = 0; i < 50000; i++) {
		assert_true(replay_accept(&replay, 8000 + 2 * i + 1));
		assert_true(replay_accept(&replay, 2 * i));
	}
}

static void test_pitfall_4_one_far_ahead_then_older_ones(void **state)
{
	static const uint64_t jumps[] = { 63,   64,   65,   8127,    8128,       8129,
		                          8191, 8192, 8193, 1 << 20, 1ULL << 50, CAP - 2000 };
	struct replay replay;

	(void)state;
	for (size_t j = 0; j < sizeof(jumps) / sizeof(jumps[0]); j++) {
		uint64_t far = 1000 + jumps[j];

		memset(&replay, 0, sizeof(replay));
		for (uint64_t i = 0; i < 1000; i++)
			assert_true(replay_accept(&replay, i));
		assert_true(replay_accept(&replay, far));
		/* what was seen stays seen, in the window or out of it */
		for (uint64_t i = 0; i < 1000; i++)
			assert_false(replay_accept(&replay, i));
		/* what was not passes once if it is in the window */
		for (uint64_t back = 1; back <= REPLAY_WINDOW && far - back >= 1000; back++) {
			assert_true(replay_accept(&replay, far - back));
			assert_false(replay_accept(&replay, far - back));
		}
		assert_true(replay_accept(&replay, far + 1));
	}
}

/* The twin: a flag for every counter of the range, and the rule as it is told. */
#define RANGE (1U << 20)

static void check_against_twin(uint64_t seed, uint64_t base, uint64_t spread)
{
	struct replay replay = { 0 };
	bool *seen = calloc(RANGE, sizeof(*seen));
	uint64_t walk = 0;
	uint64_t highest = 0;
	bool any = false;

	assert_non_null(seen);
	for (int i = 0; i < 200000; i++) {
		uint64_t offset, counter;
		bool want;

		walk += unit_random(&seed) % 5;
		offset = walk + unit_random(&seed) % spread;
		if (unit_random(&seed) % 5000 == 0)
			walk += unit_random(&seed) % 20000;
		if (offset >= RANGE)
			break;
		counter = base + offset;
		want = counter < CAP && !seen[offset] &&
		       (!any || counter > highest || highest - counter <= REPLAY_WINDOW);
		assert_int_equal(replay_accept(&replay, counter), want);
		if (!want)
			continue;
		seen[offset] = true;
		if (!any || counter > highest)
			highest = counter;
		any = true;
	}
	free(seen);
}

static void test_random_counters_against_the_slow_twin(void **state)
{
	static const uint64_t spreads[] = { 2, 100, 4000, 8128, 9000, 20000 };

	(void)state;
	for (size_t i = 0; i < sizeof(spreads) / sizeof(spreads[0]); i++) {
		check_against_twin(0x1234567 + i, 0, spreads[i]);
		check_against_twin(0x7654321 + i, UINT32_MAX - 200000ULL, spreads[i]);
		check_against_twin(0xabcdef1 + i, CAP - 200000, spreads[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_around_the_window),
		cmocka_unit_test(test_rows_of_every_edge_within_a_word),
		cmocka_unit_test(test_rows_of_a_first_counter_that_is_not_zero),
		cmocka_unit_test(test_rows_of_jumps),
		cmocka_unit_test(test_pitfall_1_counter_32_bits),
		cmocka_unit_test(test_pitfall_2_counters_near_the_end),
		cmocka_unit_test(test_pitfall_3_reorder_of_8000_loses_nothing),
		cmocka_unit_test(test_pitfall_4_one_far_ahead_then_older_ones),
		cmocka_unit_test(test_random_counters_against_the_slow_twin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
