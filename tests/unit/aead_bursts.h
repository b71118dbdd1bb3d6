/* SPDX-License-Identifier: MIT */
/* Bursts that take every way through the AEAD's kernels, for programs that watch them. */
#ifndef TESTS_UNIT_AEAD_BURSTS_H
#define TESTS_UNIT_AEAD_BURSTS_H

#include <string.h>
#include "crypto/aead_kernel.h"

enum { BURST_LEN_MAX = 1500 };

static const struct burst {
	unsigned int n;
	uint32_t first, step; /* of the lengths */
	uint32_t ad_len;
} bursts[] = {
	{ 1, 64, 0, 0 },   { 1, 0, 0, 12 },  { 2, 1420, 3, 0 },  { 3, 700, 300, 32 },
	{ 8, 1420, 0, 0 }, { 9, 64, 0, 0 },  { 13, 200, 5, 20 }, { 17, 1000, 1, 0 },
	{ 24, 500, 0, 0 }, { 40, 0, 33, 0 }, { 64, 64, 0, 0 },   { 64, 0, 17, 0 },
};

#define BURST_COUNT (sizeof(bursts) / sizeof(bursts[0]))

static uint8_t key[KEY_SIZE];
static uint8_t plain[AEAD_BURST_MAX][BURST_LEN_MAX];
static uint8_t text[AEAD_BURST_MAX][BURST_LEN_MAX + AEAD_TAG_SIZE];
static struct aead_op ops[AEAD_BURST_MAX];

/* The plaintext in its place, and what to do with it. */
static inline struct aead_call burst_prepare(const struct burst *burst)
{
	static const uint8_t ad[32] = { 1, 2, 3 };

	for (unsigned int i = 0; i < burst->n; i++) {
		memcpy(text[i], plain[i], BURST_LEN_MAX);
		ops[i] = (struct aead_op){ .src = text[i],
			                   .dst = text[i],
			                   .len = (burst->first + burst->step * i) % BURST_LEN_MAX,
			                   .counter = 1000 + i };
	}
	return (struct aead_call){ .key = key, .ad = ad, .ad_len = burst->ad_len };
}

#endif
