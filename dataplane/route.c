/* SPDX-License-Identifier: MIT */
/*
 * A path-compressed binary trie a family, in one flat array. A node stands for a
 * prefix; its two children lie below it, each under another next bit, and may skip
 * bits that all below them have in common. Nodes without a target exist only where
 * two branches part, so there are fewer than twice as many nodes as routes.
 *
 * Addresses are held as two numbers, the first bit of the address the highest of
 * the first; IPv4 fills the upper half of the first. So both families compare by
 * the same few shifts, and a node is half a cache line.
 */
#include "dataplane/route.h"

#include <stdlib.h>
#include "crypto/endian.h"

struct bits {
	uint64_t high, low;
};

struct node {
	struct bits bits; /* behind @len: zero */
	uint32_t child[2]; /* numbers in the array; 0: none */
	uint32_t target; /* number in the targets, + 1; 0: none */
	uint32_t len;
};
_Static_assert(sizeof(struct node) == 32, "two nodes a cache line");

struct route_table {
	struct node *nodes; /* the first stands for none */
	void **targets;
	uint32_t node_count;
	uint32_t target_count;
	uint32_t root[2]; /* IPv4, IPv6 */
};

static struct bits load_bits(uint8_t family, const uint8_t *addr)
{
	if (family == 4)
		return (struct bits){ .high = (uint64_t)load_be32(addr) << 32 };
	return (struct bits){ .high = load_be64(addr), .low = load_be64(addr + 8) };
}

static struct bits cut_bits(struct bits bits, uint32_t len)
{
	if (len <= 64)
		return (struct bits){ .high = len ? bits.high & UINT64_MAX << (64 - len) : 0 };
	bits.low &= UINT64_MAX << (128 - len);
	return bits;
}

/* How many leading bits are equal, 128 at the most. */
static uint32_t common_bits(struct bits a, struct bits b)
{
	if (a.high != b.high)
		return (uint32_t)__builtin_clzll(a.high ^ b.high);
	if (a.low != b.low)
		return 64 + (uint32_t)__builtin_clzll(a.low ^ b.low);
	return 128;
}

/* Bit @i, 0 to 127, counted from the first. */
static uint32_t bit_at(struct bits bits, uint32_t i)
{
	return (uint32_t)((i < 64 ? bits.high >> (63 - i) : bits.low >> (127 - i)) & 1);
}

static uint32_t add_node(struct route_table *table, struct bits bits, uint32_t len, uint32_t target)
{
	uint32_t number = table->node_count++;

	table->nodes[number] = (struct node){ .bits = bits, .len = len, .target = target };
	return number;
}

/* There is room for the two nodes that this adds at the most. */
static void insert(struct route_table *table, uint32_t *link, struct bits bits, uint32_t len,
                   uint32_t target)
{
	struct node *nodes = table->nodes;
	uint32_t number, branch, common = 0;
	struct node *node;

	for (; *link; link = &node->child[bit_at(bits, node->len)]) {
		node = &nodes[*link];
		common = common_bits(bits, node->bits);
		if (common > len)
			common = len;
		if (common < node->len)
			break;
		if (node->len == len) {
			node->target = target;
			return;
		}
	}

	number = *link;
	if (!number) { /* below a leaf, or at an empty root */
		*link = add_node(table, bits, len, target);
	} else if (common == len) { /* above @number */
		*link = add_node(table, bits, len, target);
		nodes[*link].child[bit_at(nodes[number].bits, len)] = number;
	} else { /* beside it */
		branch = add_node(table, cut_bits(bits, common), common, 0);
		*link = branch;
		nodes[branch].child[bit_at(nodes[number].bits, common)] = number;
		nodes[branch].child[bit_at(bits, common)] = add_node(table, bits, len, target);
	}
}

/* The number of @target, + 1. Routes of one target mostly stand in a row. */
static uint32_t add_target(struct route_table *table, void *target)
{
	if (!table->target_count || table->targets[table->target_count - 1] != target)
		table->targets[table->target_count++] = target;
	return table->target_count;
}

/* Gives back what was reserved in vain; a refusal only wastes it. */
static void shrink(struct route_table *table)
{
	void *nodes = realloc(table->nodes, table->node_count * sizeof(*table->nodes));
	void *targets;

	if (nodes)
		table->nodes = nodes;
	if (!table->target_count)
		return;
	targets = realloc(table->targets, table->target_count * sizeof(*table->targets));
	if (targets)
		table->targets = targets;
}

struct route_table *route_table_build(const struct route *routes, size_t count)
{
	struct route_table *table;

	/* The none, and two nodes a route at the most. */
	if (count > UINT32_MAX / 2 - 1)
		return NULL;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->nodes = malloc((2 * count + 1) * sizeof(*table->nodes));
	table->targets = malloc((count + 1) * sizeof(*table->targets));
	if (!table->nodes || !table->targets) {
		route_table_free(table);
		return NULL;
	}

	add_node(table, (struct bits){ 0 }, 0, 0);
	for (size_t i = 0; i < count; i++) {
		const struct prefix *prefix = &routes[i].prefix;
		struct bits bits = load_bits(prefix->family, prefix->addr);

		insert(table, &table->root[prefix->family == 6], cut_bits(bits, prefix->len),
		       prefix->len, add_target(table, routes[i].target));
	}
	shrink(table);
	return table;
}

void route_table_free(struct route_table *table)
{
	if (!table)
		return;
	free(table->nodes);
	free(table->targets);
	free(table);
}

void *route_lookup(const struct route_table *table, uint8_t family, const uint8_t *addr)
{
	const struct bits bits = load_bits(family, addr);
	const uint32_t size = family == 4 ? 32 : 128;
	uint32_t number = table->root[family == 6];
	uint32_t best = 0;

	while (number) {
		const struct node *node = &table->nodes[number];

		if (common_bits(bits, node->bits) < node->len)
			break;
		if (node->target)
			best = node->target;
		if (node->len == size)
			break;
		number = node->child[bit_at(bits, node->len)];
	}
	return best ? table->targets[best - 1] : NULL;
}
