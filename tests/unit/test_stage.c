/* SPDX-License-Identifier: MIT */
/* Frames that wait: content intact, oldest pushed out, a fair share of a bounded pool. */
#include "unit.h"

#include <stdlib.h>
#include <sys/mman.h>
#include "dataplane/stage.h"

static struct stage_pool pool;
static struct stage_share share;
static uint8_t frame[STAGE_FRAME_MAX], back[STAGE_FRAME_MAX + 1];

static int setup(void **state)
{
	(void)state;
	share = (struct stage_share){ .pool = &pool };
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
	assert_int_equal(stage_pop(&share, queue, &got, back), len);
	assert_int_equal(got, tag);
	fill(frame, len, tag);
	assert_memory_equal(back, frame, len);
	assert_int_equal(back[len], 0x5a); /* nothing behind its end */
}

static unsigned int push(struct stage_queue *queue, unsigned int limit, uint64_t tag, uint32_t len)
{
	fill(frame, len, tag);
	return stage_push(&share, queue, limit, tag, frame, len);
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
		assert_int_equal(stage_pop(&share, &queue, &tag, back), 0);
		assert_int_equal(pool.free_count, STAGE_CHUNKS);
	}
	assert_int_equal(stage_push(&share, &queue, 10, 0, frame, STAGE_FRAME_MAX + 1), 1);
	assert_int_equal(stage_push(&share, &queue, 10, 0, frame, UINT32_MAX), 1);
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
	assert_int_equal(stage_push(&share, &queue, 16, 0, frame, STAGE_FRAME_MAX + 1), 1);
	assert_int_equal(queue.count, 16);
	/* A smaller limit. */
	assert_int_equal(push(&queue, 4, 100, 77), 13);
	for (uint64_t i = 97; i < 100; i++)
		expect(&queue, i, (uint32_t)(i * 300 + 1));
	expect(&queue, 100, 77);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
}

/* Alone, one may hold an eighth of the pool; then its newest frames push out its oldest. */
static void test_share_is_bounded(void **state)
{
	enum { CHUNKS = 34 /* of the longest frame */, FRAMES = STAGE_CHUNKS / 8 / CHUNKS };
	struct stage_queue queue = { 0 }, other = { 0 };
	unsigned int lost = 0;

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		lost += push(&queue, UINT32_MAX, i, STAGE_FRAME_MAX);
		assert_in_range(share.chunks, CHUNKS, STAGE_CHUNKS / STAGE_SHARES);
		assert_int_equal(queue.chunks, share.chunks);
		assert_int_equal(pool.free_count + share.chunks, STAGE_CHUNKS);
	}
	assert_int_equal(queue.count, FRAMES);
	assert_int_equal(lost, 1000 - FRAMES);
	/* Another queue of the same share gets what is left, and then pushes out its own alone. */
	for (uint32_t i = 0; i < STAGE_CHUNKS / 8 % CHUNKS; i++)
		assert_int_equal(push(&other, UINT32_MAX, 2000 + i, 1), 0);
	assert_int_equal(push(&other, UINT32_MAX, 2100, 1), 1);
	expect(&other, 2001, 1);
	assert_int_equal(push(&other, UINT32_MAX, 2101, 1), 0);
	/* What its own would not make room for pushes out nothing. */
	assert_int_equal(push(&other, UINT32_MAX, 2102, STAGE_FRAME_MAX), 1);
	expect(&other, 2002, 1);
	for (uint64_t i = 1000 - FRAMES; i < 1000; i++)
		expect(&queue, i, STAGE_FRAME_MAX);
	assert_int_equal(stage_clear(&share, &queue), 0);
	(void)stage_clear(&share, &other);
	assert_int_equal(share.chunks, 0);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
}

/* Many flood at once, or a few dozen one after the other: the next one finds room. */
static void test_nobody_is_starved(void **state)
{
	enum { USERS = 100, ROUNDS = 100, IN_TURN = 25 };
	static struct stage_share shares[USERS];
	static struct stage_queue queues[USERS];
	struct stage_queue queue = { 0 };

	(void)state;
	for (unsigned int in_turn = 0; in_turn < 2; in_turn++) {
		unsigned int users = in_turn ? IN_TURN : USERS, lost = 0;
		uint32_t held = 0;

		for (unsigned int i = 0; i < users; i++)
			shares[i] = (struct stage_share){ .pool = &pool };
		for (unsigned int n = 0; n < users * ROUNDS; n++) {
			unsigned int i = in_turn ? n / ROUNDS : n % users;

			lost += stage_push(&shares[i], &queues[i], 128, n, frame,
			                   n / users % 2 ? 1500 : STAGE_FRAME_MAX);
		}
		assert_true(lost > users);
		for (uint64_t i = 0; i < 16; i++)
			assert_int_equal(push(&queue, 128, i, 1500), 0);
		for (uint64_t i = 0; i < 16; i++)
			expect(&queue, i, 1500);
		for (unsigned int i = 0; i < users; i++)
			held += shares[i].chunks;
		assert_int_equal(pool.free_count + held, STAGE_CHUNKS);
		for (unsigned int i = 0; i < users; i++)
			(void)stage_clear(&shares[i], &queues[i]);
		assert_int_equal(pool.free_count, STAGE_CHUNKS);
	}
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
		assert_int_equal(stage_clear(&share, &queues[k]), twins[k].count);
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
		cmocka_unit_test_setup_teardown(test_share_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_is_starved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_against_a_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_touched_lazily, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
