/* SPDX-License-Identifier: MIT */
/* The trie against a slow, obvious twin: a scan of the whole list. */
#include "unit.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include "dataplane/route.h"

static unsigned int addr_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* The twin's own idea of "within": bit by bit. */
static bool within(const struct prefix *prefix, uint8_t family, const uint8_t *addr)
{
	if (prefix->family != family)
		return false;
	for (unsigned int i = 0; i < prefix->len; i++) {
		if ((prefix->addr[i / 8] ^ addr[i / 8]) & 0x80 >> i % 8)
			return false;
	}
	return true;
}

static void *twin_lookup(const struct route *routes, size_t count, uint8_t family,
                         const uint8_t *addr)
{
	void *best = NULL;
	int len = -1;

	for (size_t i = 0; i < count; i++) {
		if (within(&routes[i].prefix, family, addr) && routes[i].prefix.len >= len) {
			len = routes[i].prefix.len;
			best = routes[i].target;
		}
	}
	return best;
}

static void clear_host_bits(struct prefix *prefix)
{
	for (unsigned int i = prefix->len; i < 128; i++)
		prefix->addr[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
}

/*
 * @spread: bits of an address that vary at all; few make prefixes nest, collide
 * and repeat, the rest of the address is common to all.
 */
static void random_route(struct route *route, uint64_t *seed, unsigned int spread)
{
	uint64_t r = unit_random(seed);
	unsigned int bits;

	memset(route, 0, sizeof(*route));
	route->prefix.family = r & 1 ? 4 : 6;
	bits = addr_bits(route->prefix.family);
	memset(route->prefix.addr, 0x5c, bits / 8);
	for (unsigned int i = 0; i < spread && i < bits; i++) {
		unsigned int at = (unsigned int)unit_random(seed) % bits;

		if (spread < bits)
			at = bits - 1 - i * (bits / spread);
		route->prefix.addr[at / 8] ^=
			(uint8_t)((unit_random(seed) >> 40 & 1) << (7 - at % 8));
	}
	switch (r >> 32 & 15) {
	case 0:
		route->prefix.len = 0;
		break;
	case 1:
	case 2:
		route->prefix.len = (uint8_t)bits;
		break;
	default:
		route->prefix.len = (uint8_t)((r >> 40) % (bits + 1));
	}
	clear_host_bits(&route->prefix);
	route->target = (void *)(uintptr_t)(1 + (r >> 50) % 50);
}

/* An address in or close to some prefix of the list. */
static uint8_t near_addr(uint8_t addr[16], const struct route *routes, size_t count, uint64_t *seed)
{
	const struct prefix *prefix = &routes[unit_random(seed) % count].prefix;
	unsigned int bits = addr_bits(prefix->family);
	unsigned int at;

	memcpy(addr, prefix->addr, 16);
	for (unsigned int i = prefix->len; i < bits; i++)
		addr[i / 8] ^= (uint8_t)((unit_random(seed) >> 40 & 1) << (7 - i % 8));
	if (unit_random(seed) >> 40 & 1) {
		at = (unsigned int)(unit_random(seed) >> 32) % bits;
		addr[at / 8] ^= (uint8_t)(0x80 >> at % 8);
	}
	return prefix->family;
}

static void test_against_twin(void **state)
{
	enum { MAX = 400 };
	static struct route routes[MAX];
	uint64_t seed = 20240607;

	(void)state;
	for (int round = 0; round < 400; round++) {
		size_t count = 1 + unit_random(&seed) % (round % 4 ? 20 : MAX);
		unsigned int spread =
			1 + (unsigned int)(unit_random(&seed) >> 32) % (round % 3 ? 10 : 200);
		struct route_table *table;

		for (size_t i = 0; i < count; i++)
			random_route(&routes[i], &seed, spread);
		table = route_table_build(routes, count);
		assert_non_null(table);
		for (int i = 0; i < 300; i++) {
			uint8_t addr[16];
			uint8_t family = near_addr(addr, routes, count, &seed);

			assert_ptr_equal(route_lookup(table, family, addr),
			                 twin_lookup(routes, count, family, addr));
		}
		route_table_free(table);
	}
}

static void add(struct route *route, const uint8_t *addr, uint8_t family, uint8_t len, uintptr_t to)
{
	*route = (struct route){ .prefix = { .family = family, .len = len }, .target = (void *)to };
	memcpy(route->prefix.addr, addr, family == 4 ? 4 : 16);
}

static uintptr_t find4(const struct route_table *table, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t addr[4] = { a, b, c, d };

	return (uintptr_t)route_lookup(table, 4, addr);
}

static void test_by_hand(void **state)
{
	static const uint8_t any[16] = { 0 };
	struct route r[8];
	struct route_table *table;

	(void)state;
	add(&r[0], (const uint8_t[]){ 10, 0, 0, 0 }, 4, 8, 1);
	add(&r[1], (const uint8_t[]){ 10, 1, 0, 0 }, 4, 16, 2);
	add(&r[2], (const uint8_t[]){ 10, 1, 2, 3 }, 4, 32, 3);
	add(&r[3], (const uint8_t[]){ 10, 128, 0, 0 }, 4, 9, 4);
	add(&r[4], (const uint8_t[]){ 10, 1, 0, 0 }, 4, 16, 5); /* again: the last wins */
	add(&r[5], any, 6, 0, 6);
	table = route_table_build(r, 6);
	assert_non_null(table);
	assert_int_equal(find4(table, 10, 0, 0, 1), 1);
	assert_int_equal(find4(table, 10, 1, 0, 1), 5);
	assert_int_equal(find4(table, 10, 1, 2, 3), 3);
	assert_int_equal(find4(table, 10, 1, 2, 2), 5);
	assert_int_equal(find4(table, 10, 200, 0, 1), 4);
	assert_int_equal(find4(table, 11, 0, 0, 1), 0);
	assert_int_equal(find4(table, 0, 0, 0, 0), 0); /* the IPv6 default is not IPv4's */
	assert_int_equal((uintptr_t)route_lookup(table, 6, any), 6);
	assert_int_equal((uintptr_t)route_lookup(table, 6, (const uint8_t *)"0123456789abcdef"), 6);
	route_table_free(table);

	/* A default beside 128.0.0.0/1 and 0.0.0.0/1, each alone in its half. */
	add(&r[0], (const uint8_t[]){ 128, 0, 0, 0 }, 4, 1, 1);
	add(&r[1], any, 4, 0, 2);
	table = route_table_build(r, 2);
	assert_int_equal(find4(table, 255, 255, 255, 255), 1);
	assert_int_equal(find4(table, 127, 255, 255, 255), 2);
	assert_null(route_lookup(table, 6, any));
	route_table_free(table);

	/* Host bits that a caller left set do not matter. */
	add(&r[0], (const uint8_t[]){ 10, 1, 2, 3 }, 4, 8, 1);
	table = route_table_build(r, 1);
	assert_int_equal(find4(table, 10, 200, 0, 1), 1);
	route_table_free(table);
}

static void test_empty(void **state)
{
	struct route_table *table = route_table_build(NULL, 0);

	(void)state;
	assert_non_null(table);
	assert_int_equal(find4(table, 10, 0, 0, 1), 0);
	assert_null(route_lookup(table, 6, (const uint8_t *)"0123456789abcdef"));
	route_table_free(table);
	route_table_free(NULL);
}

/* Every length of both families on one path; the deepest trie there can be. */
static void test_chain(void **state)
{
	static struct route routes[33 + 129];
	struct route_table *table;
	uint8_t ones[16], addr[16];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (unsigned int i = 0; i < 33 + 129; i++) {
		unsigned int len = i < 33 ? i : i - 33;

		add(&routes[i], ones, i < 33 ? 4 : 6, (uint8_t)len, 1 + len);
		clear_host_bits(&routes[i].prefix);
	}
	table = route_table_build(routes, 33 + 129);
	assert_non_null(table);
	for (unsigned int i = 0; i <= 128; i++) {
		/* The first i bits are ones, the rest is not. */
		memset(addr, 0, sizeof(addr));
		for (unsigned int b = 0; b < i; b++)
			addr[b / 8] |= (uint8_t)(0x80 >> b % 8);
		assert_int_equal((uintptr_t)route_lookup(table, 6, addr), 1 + i);
		if (i <= 32)
			assert_int_equal((uintptr_t)route_lookup(table, 4, addr), 1 + i);
	}
	route_table_free(table);
}

#define MANY 130560 /* as many as the kernel's own test of a dump */

static void random_many(struct route *routes, size_t count)
{
	uint64_t seed = 99;

	memset(routes, 0, count * sizeof(*routes));
	for (size_t i = 0; i < count; i++) {
		struct prefix *prefix = &routes[i].prefix;
		uint64_t r = unit_random(&seed);

		prefix->family = i % 2 ? 4 : 6;
		prefix->len = (uint8_t)(i % 2 ? 16 + r % 17 : 32 + r % 97);
		for (unsigned int b = 0; b < addr_bits(prefix->family) / 8; b++)
			prefix->addr[b] = (uint8_t)(unit_random(&seed) >> 48);
		clear_host_bits(prefix);
		routes[i].target = (void *)(uintptr_t)(1 + i % 1000);
	}
}

static void test_many(void **state)
{
	struct route *routes = malloc(MANY * sizeof(*routes));
	struct timespec from, to;
	struct route_table *table;
	uint64_t seed = 3;
	double seconds;

	(void)state;
	assert_non_null(routes);
	random_many(routes, MANY);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	table = route_table_build(routes, MANY);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	assert_non_null(table);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	print_message("%d routes in %.3f s\n", MANY, seconds);
	assert_true(seconds < 1);
	for (int i = 0; i < 100; i++) {
		uint8_t addr[16];
		uint8_t family = near_addr(addr, routes, MANY, &seed);

		assert_ptr_equal(route_lookup(table, family, addr),
		                 twin_lookup(routes, MANY, family, addr));
	}
	route_table_free(table);
	free(routes);
}

/* A count beyond all memory, and the limit of a process met on the way. */
static void test_out_of_memory(void **state)
{
	struct rlimit before, little;
	struct route route, *routes;
	bool refused = false, built = false;

	(void)state;
	add(&route, (const uint8_t[]){ 10, 0, 0, 0 }, 4, 8, 1);
	assert_null(route_table_build(&route, SIZE_MAX));
	assert_null(route_table_build(&route, UINT32_MAX / 2));
	if (UNIT_SANITIZED || UNIT_VALGRIND)
		skip();

	routes = malloc(MANY * sizeof(*routes));
	assert_non_null(routes);
	random_many(routes, MANY);
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	little.rlim_max = before.rlim_max;
	/* From no room, over room for the nodes only, to enough. */
	for (rlim_t mb = 1; mb <= 64; mb++) {
		struct route_table *table;

		little.rlim_cur = mb << 20;
		assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
		table = route_table_build(routes, MANY);
		assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
		if (table)
			built = true;
		else
			refused = true;
		route_table_free(table);
	}
	assert_true(refused && built);
	free(routes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_twin), cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_empty),        cmocka_unit_test(test_chain),
		cmocka_unit_test(test_many),         cmocka_unit_test(test_out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
