/* SPDX-License-Identifier: MIT */
/* Receiver indices: unique over both kinds, uniform, found while others change. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/index.h"

static struct index_table table;

static int setup(void **state)
{
	(void)state;
	index_init(&table);
	return secret_init();
}

static uint32_t draw_random(void *arg)
{
	uint32_t value;

	(void)arg;
	secret_random(&value, sizeof(value));
	return value;
}

/* The numbers of a list, one after the other. */
static uint32_t draw_next(void *arg)
{
	const uint32_t **next = arg;

	return *(*next)++;
}

static void test_kinds(void **state)
{
	struct index_entry hs = { .index = 0 }, kp = { .index = 0 };
	uint32_t a, b;

	(void)state;
	a = index_insert(&table, &hs, INDEX_HANDSHAKE, draw_random, NULL);
	assert_ptr_equal(index_lookup(&table, a, INDEX_HANDSHAKE), &hs);
	assert_null(index_lookup(&table, a, INDEX_KEYPAIR));
	assert_null(index_lookup(&table, a + 1, INDEX_HANDSHAKE));
	assert_null(index_lookup(&table, a ^ 0x80000000, INDEX_HANDSHAKE)); /* same bucket */

	/* Moved to another index. */
	b = index_insert(&table, &hs, INDEX_HANDSHAKE, draw_random, NULL);
	assert_int_not_equal(a, b);
	assert_null(index_lookup(&table, a, INDEX_HANDSHAKE));
	assert_ptr_equal(index_lookup(&table, b, INDEX_HANDSHAKE), &hs);

	/* The handshake becomes a key pair. */
	assert_true(index_replace(&table, &hs, &kp, INDEX_KEYPAIR));
	assert_null(index_lookup(&table, b, INDEX_HANDSHAKE));
	assert_ptr_equal(index_lookup(&table, b, INDEX_KEYPAIR), &kp);
	assert_false(index_replace(&table, &hs, &kp, INDEX_KEYPAIR));
	assert_ptr_equal(index_lookup(&table, b, INDEX_KEYPAIR), &kp);

	index_remove(&table, &hs); /* nothing happens */
	index_remove(&table, &kp);
	index_remove(&table, &kp);
	assert_null(index_lookup(&table, b, INDEX_KEYPAIR));
}

/* One chain: entries leave from its head, middle and end; replaced in place. */
static void test_one_chain(void **state)
{
	enum { COUNT = 6 };
	static const uint32_t draws[COUNT] = { 5,
		                               5 + INDEX_BUCKETS,
		                               5 + 2 * INDEX_BUCKETS,
		                               5 + 3 * INDEX_BUCKETS,
		                               5 + 4 * INDEX_BUCKETS,
		                               5 + 5 * INDEX_BUCKETS };
	const uint32_t *next = draws;
	struct index_entry e[COUNT] = { { .index = 0 } }, other = { .index = 0 };

	(void)state;
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(index_insert(&table, &e[i], INDEX_KEYPAIR, draw_next, &next),
		                 draws[i]);
	index_remove(&table, &e[COUNT - 1]);
	index_remove(&table, &e[2]);
	index_remove(&table, &e[0]);
	/* @other stands right before the one it replaces, and leaves its own index. */
	next = &draws[0];
	(void)index_insert(&table, &other, INDEX_HANDSHAKE, draw_next, &next);
	assert_true(index_replace(&table, &e[4], &other, INDEX_HANDSHAKE));
	for (int i = 0; i < COUNT; i++) {
		struct index_entry *keypair = index_lookup(&table, draws[i], INDEX_KEYPAIR);

		assert_ptr_equal(keypair, i == 1 || i == 3 ? &e[i] : NULL);
		assert_ptr_equal(index_lookup(&table, draws[i], INDEX_HANDSHAKE),
		                 i == 4 ? &other : NULL);
	}
	assert_int_equal(e[4].kind, INDEX_NONE);
}

/* A number in use is not given again, to whichever kind. */
static void test_unique_over_kinds(void **state)
{
	static const uint32_t draws[] = { 7, 7, 7, 8, 8, 7, 0, 0, UINT32_MAX };
	static const uint32_t want[] = { 7, 8, 0, UINT32_MAX };
	struct index_entry e[4] = { { .index = 0 } };
	const uint32_t *next = draws;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(index_insert(&table, &e[i],
		                              i % 2 ? INDEX_KEYPAIR : INDEX_HANDSHAKE, draw_next,
		                              &next),
		                 want[i]);
}

static int compare_u32(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/*
 * PROTOCOL pitfall 7, predictable indices: 65,536 of them are distinct, each bit
 * is set in half of them, each value of each byte comes up as often as the next
 * one (chi square), and they do not depend on the one before.
 */
static void test_pitfall_7_indices_are_uniform(void **state)
{
	enum { COUNT = 65536 };
	static struct index_entry e[COUNT];
	static uint32_t drawn[COUNT];
	static uint32_t bytes[4][256], steps[256];
	uint32_t set[32] = { 0 };

	(void)state;
	memset(e, 0, sizeof(e));
	for (int i = 0; i < COUNT; i++) {
		drawn[i] = index_insert(&table, &e[i], i % 2 ? INDEX_KEYPAIR : INDEX_HANDSHAKE,
		                        draw_random, NULL);
		for (int b = 0; b < 32; b++)
			set[b] += drawn[i] >> b & 1;
		for (int b = 0; b < 4; b++)
			bytes[b][drawn[i] >> (8 * b) & 0xff]++;
		if (i)
			steps[(drawn[i] - drawn[i - 1]) >> 24]++;
	}
	/* Bounds of about six standard deviations: one false alarm in millions of runs. */
	for (int b = 0; b < 32; b++)
		assert_in_range(set[b], COUNT / 2 - 800, COUNT / 2 + 800);
	for (int b = 0; b < 5; b++) {
		const uint32_t *count = b < 4 ? bytes[b] : steps;
		double chi = 0;

		for (int v = 0; v < 256; v++)
			chi += (count[v] - 256.0) * (count[v] - 256.0) / 256.0;
		assert_true(chi > 255 - 6 * 22.6 && chi < 255 + 8 * 22.6);
	}
	for (int i = 0; i < COUNT; i++)
		assert_ptr_equal(
			index_lookup(&table, drawn[i], i % 2 ? INDEX_KEYPAIR : INDEX_HANDSHAKE),
			&e[i]);
	qsort(drawn, COUNT, sizeof(drawn[0]), compare_u32);
	for (int i = 1; i < COUNT; i++)
		assert_int_not_equal(drawn[i], drawn[i - 1]);
}

#define STABLE 64
#define MOVING 64

static struct index_entry stable[STABLE], moving[2][MOVING], replacing[2][MOVING];
static uint32_t stable_index[STABLE];
static _Atomic bool stop;
static _Atomic unsigned int wrong;

/* Few buckets, so that chains are long and readers often stand on what moves. */
static uint32_t draw_crowded(void *arg)
{
	uint64_t *seed = arg;

	return (uint32_t)(unit_random(seed) >> 32) & ~(uint32_t)(INDEX_BUCKETS - 4);
}

static void *look_up(void *arg)
{
	uint64_t seed = *(const uint64_t *)arg, missed = 0, looked = 0;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		unsigned int i = unit_random(&seed) % STABLE;
		struct index_entry *e = index_lookup(&table, stable_index[i], INDEX_KEYPAIR);

		/* Never another; now and then none, when the walk was led astray. */
		looked++;
		if (!e)
			missed++;
		else if (e != &stable[i])
			atomic_fetch_add(&wrong, 1);
		if (index_lookup(&table, stable_index[i], INDEX_HANDSHAKE))
			atomic_fetch_add(&wrong, 1);
	}
	if (missed > looked / 4)
		atomic_fetch_add(&wrong, 1);
	return NULL;
}

static void *move_about(void *arg)
{
	unsigned int set = arg == moving[1];
	uint64_t seed = 9 + set;

	for (int i = 0; i < 40000; i++) {
		unsigned int k = unit_random(&seed) % MOVING;
		uint32_t index =
			index_insert(&table, &moving[set][k], INDEX_HANDSHAKE, draw_crowded, &seed);

		if (index_lookup(&table, index, INDEX_KEYPAIR))
			atomic_fetch_add(&wrong, 1);
		if (i % 3 == 0)
			index_remove(&table, &moving[set][k]);
		else if (i % 3 == 1 &&
		         !index_replace(&table, &moving[set][k], &replacing[set][k], INDEX_KEYPAIR))
			atomic_fetch_add(&wrong, 1);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static uint64_t seeds[2] = { 1, 2 };
	pthread_t readers[2], writers[2];
	uint64_t seed = 1;

	(void)state;
	atomic_store(&stop, false);
	for (int i = 0; i < STABLE; i++)
		stable_index[i] =
			index_insert(&table, &stable[i], INDEX_KEYPAIR, draw_crowded, &seed);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, look_up, &seeds[i]), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, move_about, moving[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(wrong, 0);
	for (int i = 0; i < STABLE; i++)
		assert_ptr_equal(index_lookup(&table, stable_index[i], INDEX_KEYPAIR), &stable[i]);
}

/* What an owner wrote before it inserted its entry is seen by whoever finds it. */
#define OWNERS 2000

static struct owner {
	struct index_entry entry;
	uint32_t value; /* a plain one: only the lookup orders it */
} owners[OWNERS];
static _Atomic uint64_t owner_index[OWNERS]; /* + 1; 0: not yet */

static void *look_up_owners(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < OWNERS;) {
		uint64_t index = atomic_load_explicit(&owner_index[i], memory_order_relaxed);
		struct index_entry *e;

		if (!index) {
			sched_yield();
			continue;
		}
		e = index_lookup(&table, (uint32_t)(index - 1), INDEX_KEYPAIR);
		if (!e)
			continue;
		if (e != &owners[i].entry || owners[i].value != i * 3)
			atomic_fetch_add(&wrong, 1);
		i++;
	}
	return NULL;
}

static void test_owner_is_whole(void **state)
{
	pthread_t readers[2];

	(void)state;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, look_up_owners, NULL), 0);
	for (uint32_t i = 0; i < OWNERS; i++) {
		uint32_t index;

		owners[i].value = i * 3;
		index = index_insert(&table, &owners[i].entry, INDEX_KEYPAIR, draw_random, NULL);
		atomic_store_explicit(&owner_index[i], (uint64_t)index + 1, memory_order_relaxed);
		if (i % 16 == 0)
			sched_yield();
	}
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_kinds, setup),
		cmocka_unit_test_setup(test_one_chain, setup),
		cmocka_unit_test_setup(test_unique_over_kinds, setup),
		cmocka_unit_test_setup(test_pitfall_7_indices_are_uniform, setup),
		cmocka_unit_test_setup(test_threads, setup),
		cmocka_unit_test_setup(test_owner_is_whole, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
