/* SPDX-License-Identifier: MIT */
/* Seeds a test runs through: "test 10000 1" runs 10,000 from 1 on. */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdlib.h>
#include "unit/unit.h"

struct seeds {
	unsigned long count, first;
};

static inline struct seeds seeds_parse(int argc, char **argv)
{
	struct seeds seeds = { .count = 500, .first = 1 };

	if (argc > 1)
		seeds.count = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		seeds.first = strtoul(argv[2], NULL, 10);
	return seeds;
}

static inline void seeds_run(const struct seeds *seeds, void (*run)(uint64_t seed))
{
	for (unsigned long i = 0; i < seeds->count; i++)
		run(seeds->first + i);
	print_message("%lu seeds from %lu on\n", seeds->count, seeds->first);
}

#endif
