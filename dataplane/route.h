/* SPDX-License-Identifier: MIT */
/*
 * Longest prefix match, IPv4 and IPv6. A table is built once from a list of
 * prefixes and never changed: workers look up without locks while the control
 * thread builds the next one.
 */
#ifndef DATAPLANE_ROUTE_H
#define DATAPLANE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t len; /* bits */
	uint8_t addr[16]; /* 4 or 16 bytes used; bits behind @len are zero */
};

#define PREFIX_TEXT_MAX 64

/* "10.0.0.0/8", "fd00::/64"; without "/len" a single address. Host bits are cleared. */
bool prefix_parse(struct prefix *prefix, const char *text);
void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_MAX]);
bool prefix_contains(const struct prefix *prefix, const uint8_t *addr);
bool prefix_covers(const struct prefix *outer, const struct prefix *inner);
bool prefix_equal(const struct prefix *a, const struct prefix *b);
bool prefix_overlap(const struct prefix *a, const struct prefix *b);

struct route {
	struct prefix prefix;
	void *target; /* never NULL */
};

struct route_table;

/* NULL: out of memory. Of equal prefixes the last wins. @routes is not kept. */
struct route_table *route_table_build(const struct route *routes, size_t count);
void route_table_free(struct route_table *table);
/* The target of the longest prefix that holds @addr, or NULL. */
void *route_lookup(const struct route_table *table, uint8_t family, const uint8_t *addr);

#endif
