/* SPDX-License-Identifier: MIT */
/*
 * What a lookup costs, by the number of routes: of addresses that have a route, in
 * random order, so that nothing but the top of the trie is in the cache by chance.
 * The least of several runs, in nanoseconds; with the time to build the table. Beside
 * it the two plain ways, the C library's bsearch() over the sorted prefixes, which
 * would do only while no prefix holds another, and looking at one after the other.
 */
#include <stdio.h>
#include <string.h>
#include "dataplane/route.h"
#include "micro.h"

#define LOOKUPS 100000u
#define RUNS    7
/* Prefixes that the linear scan looks at in a run, about. */
#define SCANNED 20000000u

struct table {
	struct route *routes; /* in the order of addresses, each prefix once */
	size_t count;
	struct route_table *trie;
	uint8_t family;
};

static uint8_t addrs[LOOKUPS][16];
static volatile uintptr_t sink; /* keeps lookups from being left out */

static int by_address(const void *a, const void *b)
{
	const struct route *x = a, *y = b;

	return memcmp(x->prefix.addr, y->prefix.addr, sizeof(x->prefix.addr));
}

/* /24 and /64: what an overlay gives its hosts. */
static void make_routes(struct table *table, size_t count, uint8_t family)
{
	const uint8_t len = family == 4 ? 24 : 64;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct prefix *prefix = &table->routes[i].prefix;
		uint64_t bits = draw();

		memset(prefix, 0, sizeof(*prefix));
		prefix->family = family;
		prefix->len = len;
		memcpy(prefix->addr, &bits, len / 8);
	}
	qsort(table->routes, count, sizeof(*table->routes), by_address);
	for (size_t i = 0; i < count; i++)
		if (!kept || by_address(&table->routes[kept - 1], &table->routes[i]) != 0)
			table->routes[kept++] = table->routes[i];
	for (size_t i = 0; i < kept; i++)
		table->routes[i].target = &table->routes[i];
	table->count = kept;
	table->family = family;
	for (size_t i = 0; i < LOOKUPS; i++) {
		uint64_t low = draw();

		memcpy(addrs[i], table->routes[(draw() >> 32) % kept].prefix.addr, 16);
		memcpy(addrs[i] + len / 8, &low, family == 4 ? 1 : 8);
	}
}

static void *find_trie(const struct table *table, const uint8_t *addr)
{
	return route_lookup(table->trie, table->family, addr);
}

static int by_prefix(const void *key, const void *element)
{
	const struct route *route = element;

	return memcmp(key, route->prefix.addr, route->prefix.len / 8);
}

static void *find_sorted(const struct table *table, const uint8_t *addr)
{
	const struct route *route =
		bsearch(addr, table->routes, table->count, sizeof(*table->routes), by_prefix);

	return route ? route->target : NULL;
}

static void *find_linear(const struct table *table, const uint8_t *addr)
{
	const struct route *best = NULL;

	for (size_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];

		if ((!best || route->prefix.len > best->prefix.len) &&
		    prefix_contains(&route->prefix, addr))
			best = route;
	}
	return best ? best->target : NULL;
}

static double measure_way(const struct table *table, unsigned int lookups,
                          void *(*find)(const struct table *table, const uint8_t *addr))
{
	double least = 1e18;

	/* All find the same. */
	for (unsigned int i = 0; i < lookups; i += 997)
		must(find(table, addrs[i]) == find_trie(table, addrs[i]));
	for (int run = 0; run < RUNS; run++) {
		double start = now_ns(), took;

		for (unsigned int i = 0; i < lookups; i++)
			sink = (uintptr_t)find(table, addrs[i]);
		took = now_ns() - start;
		if (took < least)
			least = took;
	}
	return least / lookups;
}

static void measure(size_t count, uint8_t family)
{
	struct table table = { .routes = calloc(count, sizeof(*table.routes)) };
	unsigned int some = SCANNED / (unsigned int)count;
	double built;

	must(table.routes != NULL);
	make_routes(&table, count, family);
	built = now_ns();
	table.trie = route_table_build(table.routes, table.count);
	built = now_ns() - built;
	must(table.trie != NULL);
	printf("  IPv%d  %7zu  %10.1f  %10.1f  %12.1f  %12.3f\n", family, table.count,
	       measure_way(&table, LOOKUPS, find_trie), measure_way(&table, LOOKUPS, find_sorted),
	       measure_way(&table, some < LOOKUPS ? some : LOOKUPS, find_linear), built / 1e6);
	route_table_free(table.trie);
	free(table.routes);
}

int main(void)
{
	static const size_t counts[] = { 1, 100, 10000, 100000 };

	printf("ns a lookup, the least of %d runs\n         routes  %10s  %10s  %12s  %12s\n", RUNS,
	       "route", "bsearch", "linear", "ms to build");
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		measure(counts[i], 4);
		measure(counts[i], 6);
	}
	return 0;
}
