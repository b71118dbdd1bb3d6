/* SPDX-License-Identifier: MIT */
/*
 * The bit of counter c is bit c % 64 of word c / 64 % WORDS. Moving the window
 * on clears the words entered, so the ring holds the highest counter's word and
 * the WORDS - 1 before it: at least REPLAY_WINDOW counters behind the highest,
 * whatever its place within its word. See RFC 6479, section 2.
 */
#include "crypto/replay.h"

#define WORD_BITS 64
#define WORDS     (REPLAY_BITS / WORD_BITS)

_Static_assert((WORDS & (WORDS - 1)) == 0, "a ring of words is indexed by masking");

bool replay_accept(struct replay *replay, uint64_t counter)
{
	uint64_t word = counter / WORD_BITS;
	uint64_t bit = 1ULL << (counter % WORD_BITS);
	uint64_t *slot = &replay->bits[word % WORDS];

	/* also keeps counter + 1 from overflowing below */
	if (counter >= REPLAY_COUNTER_END)
		return false;
	if (counter >= replay->next) {
		uint64_t top = replay->next ? (replay->next - 1) / WORD_BITS : 0;
		uint64_t entered = word - top;

		if (entered > WORDS)
			entered = WORDS;
		for (uint64_t i = 1; i <= entered; i++)
			replay->bits[(top + i) % WORDS] = 0;
		replay->next = counter + 1;
	} else if (replay->next - 1 - counter > REPLAY_WINDOW) {
		return false;
	}
	if (*slot & bit)
		return false;
	*slot |= bit;
	return true;
}
