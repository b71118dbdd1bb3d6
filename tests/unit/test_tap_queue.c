/* SPDX-License-Identifier: MIT */
/* How long a TAP's queue is to be, by what was taken from it in the last second. */
#include "unit.h"

#include "ctl/tap_queue.h"

#define SECOND_NS 1000000000ull

static struct tap_queue queue;
static struct tap_taken taken;
static uint64_t now;

static int start(void **state)
{
	(void)state;
	queue = TAP_QUEUE_NEW;
	now = 3600 * SECOND_NS;
	taken = (struct tap_taken){ 5000000, 5000000000, 70000 };
	assert_false(tap_queue_look(&queue, now, &taken));
	return 0;
}

/* A second in which so many frames of @size were taken; the length after it. */
static uint32_t second_of(uint32_t size, uint64_t frames, uint64_t emptied)
{
	const uint32_t before = queue.length;
	bool changed;

	now += SECOND_NS;
	taken.frames += frames;
	taken.bytes += frames * size;
	taken.emptied += emptied;
	changed = tap_queue_look(&queue, now, &taken);
	assert_true(changed == (queue.length != before));
	return queue.length;
}

static uint32_t second(uint64_t frames, uint64_t emptied)
{
	return second_of(64000, frames, emptied);
}

/* Frames a second, and times a second that the queue was empty, as measured. */
static void what_does_not_stand_is_long(void **state)
{
	(void)state;
	assert_int_equal(second(0, 0), 1000);
	assert_int_equal(second(10, 10), 1000);
	assert_int_equal(second(200, 150), 1000);
	assert_int_equal(second(30000, 1700), 1000); /* 12 Gbit/s */
	assert_int_equal(second_of(100, 280000, 4000), 1000);
}

static void what_stands_is_as_long_as_its_rate(void **state)
{
	(void)state;
	assert_int_equal(second(50000, 0), 100);
	assert_int_equal(second(25000, 0), 50);
	assert_int_equal(second(8500, 0), 17);
	assert_int_equal(second(100, 0), 17); /* that is a million bytes: near enough */
	assert_int_equal(second_of(16000, 10000, 0), 63);
}

/* However slowly they are taken. */
static void small_packets_keep_their_places(void **state)
{
	(void)state;
	assert_int_equal(second_of(100, 600000, 0), 1000);
	assert_int_equal(second_of(100, 1000, 0), 1000);
	assert_int_equal(second_of(900, 300, 0), 1000);
	assert_int_equal(second_of(1500, 1000, 0), 1000); /* 667 is near */
	assert_int_equal(second_of(4000, 1000, 0), 250);
	assert_int_equal(second_of(0, 1000, 0), 1000);
}

static void it_stays_short_while_it_would_stand(void **state)
{
	(void)state;
	assert_int_equal(second(20000, 40), 40);
	assert_int_equal(second(20000, 600), 40); /* as TCP goes up and down */
	assert_int_equal(second(21000, 300), 40); /* near is the same */
	assert_int_equal(second(20000, 1500), 1000);
	assert_int_equal(second(20000, 600), 1000); /* at its full length that is empty enough */
	assert_int_equal(second(20000, 0), 40);
	assert_int_equal(second(300, 100), 1000); /* all but idle */
}

/* A second without what stood, in looks: room for the small ones at once, for others at its end. */
static void it_is_not_long_at_once(void **state)
{
	const uint64_t tenth = SECOND_NS / 10;

	(void)state;
	assert_int_equal(second(20000, 0), 40);
	for (int i = 1; i < 10; i++) {
		now += tenth;
		taken.frames += 3000;
		taken.bytes += 3000 * 64000;
		taken.emptied += 500;
		assert_false(tap_queue_look(&queue, now, &taken));
	}
	now += tenth;
	assert_true(tap_queue_look(&queue, now, &taken));
	assert_int_equal(queue.length, 1000);
	assert_int_equal(second(20000, 0), 40);
	now += tenth;
	taken.frames += 20000;
	taken.bytes += 20000 * 100;
	taken.emptied += 5000;
	assert_true(tap_queue_look(&queue, now, &taken));
	assert_int_equal(queue.length, 1000);
}

/* Such a look takes nothing from the next. */
static void looks_at_once_are_none(void **state)
{
	struct tap_taken more = taken;

	(void)state;
	more.frames += 20000;
	for (unsigned int i = 0; i < 10; i++)
		assert_false(tap_queue_look(&queue, now + i, &more));
	assert_int_equal(second(20000, 0), 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_does_not_stand_is_long, start),
		cmocka_unit_test_setup(what_stands_is_as_long_as_its_rate, start),
		cmocka_unit_test_setup(small_packets_keep_their_places, start),
		cmocka_unit_test_setup(it_stays_short_while_it_would_stand, start),
		cmocka_unit_test_setup(it_is_not_long_at_once, start),
		cmocka_unit_test_setup(looks_at_once_are_none, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
