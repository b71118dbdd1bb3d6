/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SIM_BRIDGED_SEEDS_H
#define TESTS_SIM_BRIDGED_SEEDS_H

#include <stdint.h>

/* Fails the running test, and names the seed, where something is not as it has to be. */
void bridged_seeds_run(uint64_t seed);

#endif
