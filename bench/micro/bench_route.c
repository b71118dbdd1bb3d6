/* SPDX-License-Identifier: MIT */
/*
 * What a lookup costs, by the number of routes: of addresses that have a route, in
 * random order, so that nothing but the top of the trie is in the cache by chance.
 * The least of several runs, in nanoseconds; with the time to build the table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "dataplane/route.h"

#define LOOKUPS 100000u
#define RUNS    7

static uint8_t addrs[LOOKUPS][16];
static volatile uintptr_t sink; /* keeps lookups from being left out */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* xorshift64*: the same tables in each run */
static uint64_t draw(void)
{
	static uint64_t seed = 1;

	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

/* /24 and /64: what an overlay gives its hosts. */
static void make_routes(struct route *routes, size_t count, uint8_t family)
{
	for (size_t i = 0; i < count; i++) {
		struct prefix *prefix = &routes[i].prefix;
		uint64_t bits = draw();

		memset(prefix, 0, sizeof(*prefix));
		prefix->family = family;
		prefix->len = family == 4 ? 24 : 64;
		memcpy(prefix->addr, &bits, prefix->len / 8);
		routes[i].target = &routes[i];
	}
	for (size_t i = 0; i < LOOKUPS; i++) {
		uint64_t low = draw();

		memcpy(addrs[i], routes[(draw() >> 32) % count].prefix.addr, 16);
		memcpy(addrs[i] + (family == 4 ? 3 : 8), &low, family == 4 ? 1 : 8);
	}
}

static bool measure(size_t count, uint8_t family)
{
	struct route *routes = calloc(count, sizeof(*routes));
	uint64_t built, least = UINT64_MAX;
	struct route_table *table = NULL;

	if (!routes)
		return false;
	make_routes(routes, count, family);
	built = now_ns();
	table = route_table_build(routes, count);
	built = now_ns() - built;
	for (int run = 0; table && run < RUNS; run++) {
		uint64_t start = now_ns(), took;

		for (size_t i = 0; i < LOOKUPS; i++)
			sink = (uintptr_t)route_lookup(table, family, addrs[i]);
		took = now_ns() - start;
		if (took < least)
			least = took;
	}
	if (table)
		printf("IPv%d  %7zu routes  %6.1f ns a lookup  built in %8.3f ms\n", family, count,
		       (double)least / LOOKUPS, (double)built / 1e6);
	route_table_free(table);
	free(routes);
	return table;
}

int main(void)
{
	static const size_t counts[] = { 1, 1000, 100000 };
	bool good = true;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		good = measure(counts[i], 4) && measure(counts[i], 6) && good;
	return good ? 0 : 1;
}
