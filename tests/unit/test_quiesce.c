/* SPDX-License-Identifier: MIT */
/* Retired objects are released when every reader has passed or sleeps, and not before. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include "dataplane/quiesce.h"

struct thing {
	struct retired retired;
	uint64_t a, b; /* equal while the thing lives */
};

static _Atomic unsigned int released;

static struct thing *thing_new(uint64_t value)
{
	struct thing *thing = malloc(sizeof(*thing));

	assert_non_null(thing);
	thing->a = value;
	thing->b = value;
	return thing;
}

static void thing_release(struct retired *retired)
{
	void *first = retired;
	struct thing *thing = first;

	/* Plain writes: with ThreadSanitizer a reader that still looks is a race. */
	thing->a = 1;
	thing->b = 2;
	free(thing);
	atomic_fetch_add(&released, 1);
}

static struct quiesce q;

static int setup(void **state)
{
	(void)state;
	quiesce_init(&q);
	atomic_store(&released, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	quiesce_fini(&q);
	return 0;
}

static void test_no_readers(void **state)
{
	(void)state;
	assert_false(quiesce_collect(&q));
	quiesce_retire(&q, &thing_new(1)->retired, thing_release);
	quiesce_retire(&q, &thing_new(2)->retired, thing_release);
	assert_false(quiesce_collect(&q));
	assert_int_equal(released, 2);
}

static void test_waits_for_each(void **state)
{
	struct quiesce_reader *r[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		r[i] = quiesce_add_reader(&q);
		assert_non_null(r[i]);
		quiesce_pass(&q, r[i]);
	}
	quiesce_retire(&q, &thing_new(1)->retired, thing_release);
	for (int i = 0; i < 3; i++) {
		assert_true(quiesce_collect(&q));
		assert_int_equal(released, 0);
		if (i == 1)
			quiesce_offline(r[i]);
		else
			quiesce_pass(&q, r[i]);
	}
	/* A later one does not hold the earlier back, nor the earlier let the later go. */
	quiesce_retire(&q, &thing_new(2)->retired, thing_release);
	assert_true(quiesce_collect(&q));
	assert_int_equal(released, 1);
	/* Whoever wakes up after the retirement holds nothing of it. */
	quiesce_pass(&q, r[1]);
	assert_true(quiesce_collect(&q));
	assert_int_equal(released, 1);
	quiesce_pass(&q, r[0]);
	quiesce_offline(r[2]);
	assert_false(quiesce_collect(&q));
	assert_int_equal(released, 2);
	quiesce_offline(r[0]);
	quiesce_offline(r[1]);
}

static void test_readers_are_bounded(void **state)
{
	(void)state;
	for (int i = 0; i < QUIESCE_READERS_MAX; i++)
		assert_non_null(quiesce_add_reader(&q));
	assert_null(quiesce_add_reader(&q));
	/* A place given back is a place, and holds nothing back by what was there. */
	quiesce_pass(&q, &q.readers[7]);
	quiesce_remove_reader(&q, &q.readers[7]);
	assert_ptr_equal(quiesce_add_reader(&q), &q.readers[7]);
	assert_null(quiesce_add_reader(&q));
	assert_false(quiesce_collect(&q));
}

static struct thing *inner;

static void release_both(struct retired *retired)
{
	quiesce_retire(&q, &inner->retired, thing_release);
	thing_release(retired);
}

/* A release may retire in turn; fini leaves nothing. */
static void test_release_retires(void **state)
{
	(void)state;
	inner = thing_new(1);
	quiesce_retire(&q, &thing_new(2)->retired, release_both);
	assert_true(quiesce_collect(&q));
	assert_int_equal(released, 1);
	assert_false(quiesce_collect(&q));
	assert_int_equal(released, 2);

	inner = thing_new(3);
	quiesce_retire(&q, &thing_new(4)->retired, release_both);
	quiesce_fini(&q);
	assert_int_equal(released, 4);
	quiesce_init(&q);
}

#define SLOTS   4
#define READERS 3
#define SWAPS   20000

static _Atomic(struct thing *) slots[SLOTS];
static _Atomic bool stop;
static _Atomic bool torn;

static void *read_things(void *arg)
{
	struct quiesce_reader *reader = arg;
	uint64_t seed = 1 + (uint64_t)(uintptr_t)reader;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		struct thing *held[SLOTS];

		quiesce_pass(&q, reader);
		for (int i = 0; i < SLOTS; i++)
			held[i] = atomic_load_explicit(&slots[i], memory_order_acquire);
		if (unit_random(&seed) % 16 == 0)
			sched_yield();
		for (int i = 0; i < SLOTS; i++) {
			if (held[i]->a != held[i]->b)
				atomic_store(&torn, true);
		}
		if (unit_random(&seed) % 4 == 0) {
			quiesce_offline(reader);
			if (unit_random(&seed) % 4 == 0)
				sched_yield();
		}
	}
	quiesce_offline(reader);
	return NULL;
}

static void *swap_things(void *arg)
{
	uint64_t seed = *(const uint64_t *)arg;

	for (uint64_t i = 0; i < SWAPS; i++) {
		struct thing *old = atomic_exchange_explicit(&slots[unit_random(&seed) % SLOTS],
		                                             thing_new(i), memory_order_acq_rel);

		quiesce_retire(&q, &old->retired, thing_release);
		if (i % 4 == 0)
			(void)quiesce_collect(&q);
		if (i % 64 == 0)
			sched_yield();
	}
	return NULL;
}

/* Two threads swap and collect while others read, sleep and wake. */
static void test_threads(void **state)
{
	static uint64_t seeds[2] = { 1, 2 };
	pthread_t readers[READERS], swappers[2];

	(void)state;
	atomic_store(&stop, false);
	for (int i = 0; i < SLOTS; i++)
		atomic_store(&slots[i], thing_new(0));
	for (int i = 0; i < READERS; i++) {
		struct quiesce_reader *reader = quiesce_add_reader(&q);

		assert_non_null(reader);
		assert_int_equal(pthread_create(&readers[i], NULL, read_things, reader), 0);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&swappers[i], NULL, swap_things, &seeds[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(swappers[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);

	assert_false(torn);
	assert_false(quiesce_collect(&q));
	assert_int_equal(released, 2 * SWAPS);
	for (int i = 0; i < SLOTS; i++)
		free(atomic_load(&slots[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_no_readers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_for_each, setup, teardown),
		cmocka_unit_test_setup_teardown(test_readers_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_release_retires, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
