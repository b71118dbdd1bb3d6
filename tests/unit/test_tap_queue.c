/* SPDX-License-Identifier: MIT */
/* How long a TAP's queue is to be, by what was taken from it in the last second. */
#include "unit.h"

#include "ctl/tap_queue.h"

#define SECOND_NS 1000000000ull

static struct tap_queue queue;
static uint64_t now, taken, emptied;

static int start(void **state)
{
	(void)state;
	queue = TAP_QUEUE_NEW;
	now = 3600 * SECOND_NS;
	taken = 5000000;
	emptied = 70000;
	assert_false(tap_queue_look(&queue, now, taken, emptied, 1));
	return 0;
}

/* A second in which so much happened; the length after it. */
static uint32_t second(uint64_t frames, uint64_t empty, unsigned int queues)
{
	const uint32_t before = queue.length;
	bool changed;

	changed =
		tap_queue_look(&queue, now += SECOND_NS, taken += frames, emptied += empty, queues);
	assert_true(changed == (queue.length != before));
	return queue.length;
}

/* Frames a second, and times a second that the queue was empty, as measured. */
static void what_does_not_stand_is_long(void **state)
{
	(void)state;
	assert_int_equal(second(0, 0, 1), 1000);
	assert_int_equal(second(10, 10, 1), 1000); /* a ping */
	assert_int_equal(second(200, 150, 1), 1000);
	assert_int_equal(second(30000, 1700, 1), 1000); /* 12 Gbit/s of superframes */
	assert_int_equal(second(280000, 4000, 1), 1000);
}

static void what_stands_is_as_long_as_its_rate(void **state)
{
	(void)state;
	assert_int_equal(second(50000, 0, 1), 100);
	assert_int_equal(second(25000, 0, 1), 50);
	assert_int_equal(second(600000, 0, 1), 1000); /* small packets */
	assert_int_equal(second(100, 0, 1), TAP_QUEUE_LEAST);
	assert_int_equal(second(8500, 0, 1), TAP_QUEUE_LEAST); /* 17 is as good */
}

static void it_stays_short_while_it_would_stand(void **state)
{
	(void)state;
	assert_int_equal(second(20000, 40, 1), 40);
	assert_int_equal(second(20000, 600, 1), 40); /* as TCP goes up and down */
	assert_int_equal(second(21000, 300, 1), 40); /* near is the same */
	assert_int_equal(second(20000, 1500, 1), 1000);
	assert_int_equal(second(20000, 600, 1), 1000); /* at its full length that is empty enough */
	assert_int_equal(second(20000, 0, 1), 40);
	assert_int_equal(second(300, 100, 1), 1000); /* all but idle */
}

static void queues_share(void **state)
{
	(void)state;
	assert_int_equal(second(80000, 0, 4), 40);
	assert_int_equal(second(80000, 3000, 4), 40);
	assert_int_equal(second(80000, 6000, 4), 1000);
}

/* Links that change, and a reload, look again at once; that tells nothing, and takes nothing from the next. */
static void looks_at_once_are_none(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		assert_false(
			tap_queue_look(&queue, now + (unsigned int)i, taken + 20000, emptied, 1));
	assert_int_equal(second(20000, 0, 1), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_does_not_stand_is_long, start),
		cmocka_unit_test_setup(what_stands_is_as_long_as_its_rate, start),
		cmocka_unit_test_setup(it_stays_short_while_it_would_stand, start),
		cmocka_unit_test_setup(queues_share, start),
		cmocka_unit_test_setup(looks_at_once_are_none, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
