/* SPDX-License-Identifier: MIT */
/* Objects for keys: zero, aligned, wiped, locked, not dumped, not inherited. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "dataplane/arena.h"

#define OBJECT 200 /* rounded up to 256 */

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, OBJECT);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_fini(&arena);
	return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	while (len && !p[len - 1])
		len--;
	return !len;
}

static void test_get_put(void **state)
{
	enum { COUNT = 2000 };
	static uint8_t *objects[COUNT];

	(void)state;
	assert_int_equal(arena.object_size, 256);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < COUNT; i++) {
			objects[i] = arena_get(&arena);
			assert_non_null(objects[i]);
			assert_int_equal((uintptr_t)objects[i] % 64, 0);
			assert_true(is_zero(objects[i], OBJECT));
			memset(objects[i], i % 255 + 1, OBJECT);
		}
		for (int i = 0; i < COUNT; i++) {
			for (int j = 0; j < OBJECT; j++)
				assert_int_equal(objects[i][j], i % 255 + 1);
			arena_put(&arena, objects[i]);
		}
	}
}

/* All but the link of the free list is zero as soon as it was put back. */
static void test_put_wipes(void **state)
{
	uint8_t *object = arena_get(&arena);

	(void)state;
	assert_non_null(object);
	memset(object, 0xaa, OBJECT);
	arena_put(&arena, object);
	if (UNIT_SANITIZED)
		skip();
	assert_true(is_zero(object + sizeof(void *), OBJECT - sizeof(void *)));
	assert_ptr_equal(arena_get(&arena), object);
}

/* Who takes one and puts another back goes on when there is no memory any more. */
static void test_spare(void **state)
{
	enum { SPARE = 10, COUNT = 1000, CHUNK = (64 * 1024 - 64) / 256 };
	struct rlimit none = { 4096, 0 }, before;
	void *first, *objects[SPARE];
	int given = 0;

	(void)state;
	if (UNIT_SANITIZED || UNIT_VALGRIND)
		skip();
	arena_keep_spare(&arena, SPARE);
	/* All of the first chunk. */
	first = arena_get(&arena);
	for (int i = 1; i < CHUNK; i++)
		assert_non_null(arena_get(&arena));
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
	while (given < SPARE && (objects[given] = arena_get(&arena)))
		given++;
	for (int i = 0; i < COUNT && given == SPARE; i++) {
		arena_put(&arena, objects[i % SPARE]);
		objects[i % SPARE] = arena_get(&arena);
		given -= !objects[i % SPARE];
	}
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_int_equal(given, SPARE);
	arena_put(&arena, first);
}

/* The VmFlags line of the mapping that holds @address. */
static void read_flags(const void *address, char flags[512])
{
	FILE *f = fopen("/proc/self/smaps", "re");
	bool inside = false;
	char line[512];

	flags[0] = '\0';
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		char *end;
		unsigned long from = strtoul(line, &end, 16), to;

		if (*end == '-') {
			to = strtoul(end + 1, NULL, 16);
			inside = from <= (uintptr_t)address && (uintptr_t)address < to;
		} else if (inside && !strncmp(line, "VmFlags:", 8)) {
			memcpy(flags, line + 8, sizeof(line) - 8);
			break;
		}
	}
	fclose(f);
}

static void test_mapping(void **state)
{
	char flags[512];
	void *object = arena_get(&arena);

	(void)state;
	assert_non_null(object);
	read_flags(object, flags);
	if (!flags[0]) {
		print_message("this kernel tells no VmFlags\n");
		skip();
	}
	assert_non_null(strstr(flags, " dd")); /* left out of core files */
	assert_non_null(strstr(flags, " dc")); /* not given to children */
	if (arena.locked && !UNIT_SANITIZED)
		assert_non_null(strstr(flags, " lo"));
	else
		print_message("mlock() does nothing here: that part is not tested\n");
}

/* Refused locking is told and harms nothing. */
static void test_lock_refused(void **state)
{
	struct rlimit none = { 0, 0 }, before;
	uid_t user = geteuid();
	void *object;

	(void)state;
	if (UNIT_SANITIZED)
		skip();
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &before), 0);
	none.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	/* Root may lock without limit: be nobody meanwhile. */
	assert_int_equal(user ? 0 : seteuid(65534), 0);
	assert_true(arena.locked);
	object = arena_get(&arena);
	assert_int_equal(seteuid(user), 0);
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &before), 0);
	assert_non_null(object);
	assert_false(arena.locked);
	assert_true(is_zero(object, OBJECT));
}

static void *churn(void *arg)
{
	uint64_t seed = *(const uint64_t *)arg;
	uint8_t *held[32] = { 0 };

	for (int i = 0; i < 20000; i++) {
		unsigned int k = unit_random(&seed) % 32;

		if (held[k]) {
			if (held[k][0] != held[k][OBJECT - 1])
				return held[k];
			arena_put(&arena, held[k]);
			held[k] = NULL;
		} else {
			held[k] = arena_get(&arena);
			if (!held[k] || !is_zero(held[k], OBJECT))
				return arg;
			memset(held[k], (int)(seed & 0xff), OBJECT);
		}
	}
	for (int k = 0; k < 32; k++) {
		if (held[k])
			arena_put(&arena, held[k]);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static uint64_t seeds[3] = { 1, 2, 3 };
	pthread_t threads[3];
	void *failed;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &seeds[i]), 0);
	for (int i = 0; i < 3; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_get_put, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_wipes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_spare, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
