/* SPDX-License-Identifier: MIT */
/* Frames that wait: content intact, oldest pushed out, a bounded pool. */
#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include "dataplane/stage.h"

static struct stage_pool pool;
static uint8_t frame[STAGE_FRAME_MAX], back[STAGE_FRAME_MAX + 1];

static int setup(void **state)
{
	(void)state;
	return stage_pool_init(&pool);
}

static int teardown(void **state)
{
	(void)state;
	stage_pool_fini(&pool);
	return 0;
}

static void fill(uint8_t *p, uint32_t len, uint64_t seed)
{
	seed = seed * 2 + 1;
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(unit_random(&seed) >> 56);
}

/* Pops one and compares it with what fill() makes of @tag. */
static void expect(struct stage_queue *queue, uint64_t tag, uint32_t len)
{
	uint64_t got;

	back[len] = 0x5a;
	assert_int_equal(stage_pop(&pool, queue, &got, back), len);
	assert_int_equal(got, tag);
	fill(frame, len, tag);
	assert_memory_equal(back, frame, len);
	assert_int_equal(back[len], 0x5a); /* nothing behind its end */
}

static unsigned int push(struct stage_queue *queue, unsigned int limit, uint64_t tag, uint32_t len)
{
	fill(frame, len, tag);
	return stage_push(&pool, queue, limit, tag, frame, len);
}

static void test_sizes(void **state)
{
	static const uint32_t sizes[] = {
		1,
		2,
		59,
		60,
		1500,
		2031,
		2032,
		2033,
		2047,
		2048,
		2049,
		4079,
		4080,
		4081,
		9000,
		65535,
		65549,
		STAGE_FRAME_MAX - 1,
		STAGE_FRAME_MAX,
	};
	const unsigned int n = sizeof(sizes) / sizeof(sizes[0]);
	struct stage_queue queue = { 0 };
	uint64_t tag;

	(void)state;
	for (unsigned int round = 0; round < 3; round++) {
		for (unsigned int i = 0; i < n; i++)
			assert_int_equal(push(&queue, n, UINT64_MAX / 3 + i, sizes[i]), 0);
		assert_int_equal(queue.count, n);
		for (unsigned int i = 0; i < n; i++)
			expect(&queue, UINT64_MAX / 3 + i, sizes[i]);
		assert_int_equal(queue.count, 0);
		assert_int_equal(stage_pop(&pool, &queue, &tag, back), 0);
		assert_int_equal(pool.free_count, STAGE_CHUNKS);
	}
	assert_int_equal(stage_push(&pool, &queue, 10, 0, frame, STAGE_FRAME_MAX + 1), 1);
	assert_int_equal(stage_push(&pool, &queue, 10, 0, frame, UINT32_MAX), 1);
	assert_int_equal(queue.count, 0);
}

static void test_oldest_go(void **state)
{
	struct stage_queue queue = { 0 };
	unsigned int lost = 0;

	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		lost += push(&queue, 16, i, (uint32_t)(i * 300 + 1));
	assert_int_equal(lost, 84);
	assert_int_equal(queue.count, 16);
	/* One that is too long pushes nothing out. */
	assert_int_equal(stage_push(&pool, &queue, 16, 0, frame, STAGE_FRAME_MAX + 1), 1);
	assert_int_equal(queue.count, 16);
	/* A smaller limit. */
	assert_int_equal(push(&queue, 4, 100, 77), 13);
	for (uint64_t i = 97; i < 100; i++)
		expect(&queue, i, (uint32_t)(i * 300 + 1));
	expect(&queue, 100, 77);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
}

/* The pool runs dry: the new frame is lost, the old are whole, no chunk is lost. */
static void test_pool_exhausted(void **state)
{
	enum { QUEUES = 8 };
	struct stage_queue queues[QUEUES] = { 0 };
	const uint32_t chunks = 34; /* of the longest frame */
	uint64_t pushed = 0;
	unsigned int cleared = 0;

	(void)state;
	while (!push(&queues[pushed % QUEUES], UINT32_MAX, pushed, STAGE_FRAME_MAX))
		pushed++;
	assert_int_equal(pushed, STAGE_CHUNKS / chunks);
	assert_int_equal(pool.free_count, STAGE_CHUNKS % chunks);
	/* What still fits, fits. */
	for (uint32_t i = 0; i < STAGE_CHUNKS % chunks; i++)
		assert_int_equal(push(&queues[0], UINT32_MAX, 1000 + i, 1), 0);
	assert_int_equal(push(&queues[0], UINT32_MAX, 9, 1), 1);
	assert_int_equal(pool.free_count, 0);
	/* A full queue makes room for its own by pushing out. */
	assert_int_equal(push(&queues[1], queues[1].count, 5000, 1500), 1);

	expect(&queues[2], 2, STAGE_FRAME_MAX);
	for (unsigned int i = 0; i < QUEUES; i++)
		cleared += stage_clear(&pool, &queues[i]);
	assert_int_equal(cleared, pushed + STAGE_CHUNKS % chunks - 1);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
	assert_int_equal(stage_clear(&pool, &queues[0]), 0);
}

/* Random pushes and pops on several queues against plain arrays. */
static void test_against_a_list(void **state)
{
	enum { QUEUES = 5, LIMIT = 20, STEPS = 20000 };
	struct stage_queue queues[QUEUES] = { 0 };
	static struct {
		uint64_t tag[LIMIT];
		uint32_t len[LIMIT];
		unsigned int count;
	} twins[QUEUES];
	uint64_t seed = 4711;

	(void)state;
	for (uint64_t i = 0; i < STEPS; i++) {
		unsigned int k = (unsigned int)(unit_random(&seed) >> 32) % QUEUES;
		bool is_push = unit_random(&seed) % 5 < 3;

		if (is_push || twins[k].count == LIMIT) {
			uint32_t len = 1 + (uint32_t)(unit_random(&seed) >> 32) % 5000;
			bool full = twins[k].count == LIMIT;

			assert_int_equal(push(&queues[k], LIMIT, i, len), full);
			if (full) {
				memmove(twins[k].tag, twins[k].tag + 1,
				        sizeof(uint64_t[LIMIT - 1]));
				memmove(twins[k].len, twins[k].len + 1,
				        sizeof(uint32_t[LIMIT - 1]));
				twins[k].count--;
			}
			twins[k].tag[twins[k].count] = i;
			twins[k].len[twins[k].count++] = len;
		} else if (twins[k].count) {
			expect(&queues[k], twins[k].tag[0], twins[k].len[0]);
			twins[k].count--;
			memmove(twins[k].tag, twins[k].tag + 1, sizeof(uint64_t[LIMIT - 1]));
			memmove(twins[k].len, twins[k].len + 1, sizeof(uint32_t[LIMIT - 1]));
		}
		assert_int_equal(queues[k].count, twins[k].count);
	}
	for (unsigned int k = 0; k < QUEUES; k++)
		assert_int_equal(stage_clear(&pool, &queues[k]), twins[k].count);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
}

/* Waiting frames cost memory, the reserve does not. */
static void test_touched_lazily(void **state)
{
	enum { PAGES = STAGE_CHUNKS * STAGE_CHUNK_SIZE / 4096 };
	static unsigned char resident[PAGES];
	struct stage_queue queue = { 0 };
	unsigned int touched = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(push(&queue, 100, i, 2000), 0);
		expect(&queue, i, 2000);
	}
	assert_int_equal(mincore(pool.memory, (size_t)PAGES * 4096, resident), 0);
	for (unsigned int i = 0; i < PAGES; i++)
		touched += resident[i] & 1;
	assert_in_range(touched, 1, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_oldest_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pool_exhausted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_against_a_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_touched_lazily, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
