/* SPDX-License-Identifier: MIT */
/*
 * The anti-replay window of RFC 6479: a ring of bits, shifted a word at a time.
 * Holds REPLAY_BITS, of which one word is always being cleared, so a counter is
 * accepted once if it is at most REPLAY_WINDOW behind the highest seen.
 */
#ifndef CRYPTO_REPLAY_H
#define CRYPTO_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_BITS   8192
#define REPLAY_WINDOW (REPLAY_BITS - 64)
/* 2^64 - 2^13 - 1: the message limit of the protocol; no counter reaches it. */
#define REPLAY_COUNTER_END (UINT64_MAX - (1ULL << 13))

/* All-zero is the initial state. */
struct replay {
	uint64_t next; /* highest counter accepted, plus one; 0: none yet */
	uint64_t bits[REPLAY_BITS / 64];
};

/*
 * True if @counter is new and within the window, which it then enters. Call it
 * only for counters that were authenticated. Counters of
 * REPLAY_COUNTER_END and more are refused.
 */
bool replay_accept(struct replay *replay, uint64_t counter) __attribute__((warn_unused_result));

#endif
