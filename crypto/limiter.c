/* SPDX-License-Identifier: MIT */
/*
 * Entries are chained by a keyed hash of their source. They are first taken
 * from the array in order (@used counts those ever taken), then from the list
 * of the collected. Collecting walks the whole table, so it happens only when
 * there is no free entry, and not more often than SWEEP_INTERVAL_NS: a flood
 * of new sources costs a bounded share of the time, and is refused meanwhile.
 *
 * A full bucket refills in a quarter of a second, so that to forget a source
 * after a second of silence forgets nothing.
 */
#include "crypto/cookie.h"

#include <string.h>
#include <sodium.h>

#define COST_NS           (1000000000ULL / LIMITER_RATE)
#define CREDIT_MAX_NS     (COST_NS * LIMITER_BURST)
#define IDLE_NS           1000000000ULL
#define SWEEP_INTERVAL_NS 50000000ULL
#define HEADS             (LIMITER_ENTRIES / 4)

_Static_assert((HEADS & (HEADS - 1)) == 0, "chains are chosen by masking");
_Static_assert(CREDIT_MAX_NS < IDLE_NS, "an idle entry's bucket is full");
_Static_assert(crypto_shorthash_KEYBYTES == sizeof(((struct limiter *)0)->key), "SipHash's key");

struct source {
	uint64_t prefix;
	uint64_t family;
};

_Static_assert(sizeof(struct source) == 16, "hashed as bytes: no padding");

void limiter_init(struct limiter *limiter, const uint8_t key[16])
{
	memset(limiter, 0, sizeof(*limiter));
	memcpy(limiter->key, key, sizeof(limiter->key));
}

static uint32_t *chain_of(struct limiter *limiter, const struct source *source)
{
	uint8_t hash[crypto_shorthash_BYTES];

	(void)crypto_shorthash(hash, (const uint8_t *)source, sizeof(*source), limiter->key);
	return &limiter->heads[load_le32(hash) & (HEADS - 1)];
}

/* Frees what has been idle, if the last time was not just now. */
static void sweep(struct limiter *limiter, uint64_t now_ns)
{
	if (limiter->swept_ns && now_ns < limiter->swept_ns + SWEEP_INTERVAL_NS)
		return;
	limiter->swept_ns = now_ns;
	for (uint32_t head = 0; head < HEADS; head++) {
		uint32_t *link = &limiter->heads[head];

		while (*link) {
			uint32_t number = *link;
			struct limiter_entry *entry = &limiter->entries[number - 1];

			if (now_ns < entry->last_ns + IDLE_NS) {
				link = &entry->next;
				continue;
			}
			*link = entry->next;
			entry->next = limiter->free_list;
			limiter->free_list = number;
		}
	}
}

/* The number (index + 1) of a free entry, 0 if there is none. */
static uint32_t take_free(struct limiter *limiter, uint64_t now_ns)
{
	uint32_t number;

	if (!limiter->free_list && limiter->used < LIMITER_ENTRIES)
		return ++limiter->used;
	if (!limiter->free_list)
		sweep(limiter, now_ns);
	number = limiter->free_list;
	if (number)
		limiter->free_list = limiter->entries[number - 1].next;
	return number;
}

static bool spend(struct limiter_entry *entry, uint64_t now_ns)
{
	/* a worker's clock may be a round behind another's */
	uint64_t earned = now_ns > entry->last_ns ? now_ns - entry->last_ns : 0;

	if (earned > CREDIT_MAX_NS - entry->tokens_ns)
		entry->tokens_ns = CREDIT_MAX_NS;
	else
		entry->tokens_ns += earned;
	if (now_ns > entry->last_ns)
		entry->last_ns = now_ns;
	if (entry->tokens_ns < COST_NS)
		return false;
	entry->tokens_ns -= COST_NS;
	return true;
}

bool limiter_allow(struct limiter *limiter, const struct cookie_source *from, uint64_t now_ns)
{
	/* the upper half of an IPv6 address: who has a host has its whole /64 */
	struct source source = {
		.prefix = from->addr_len == 4 ? load_be32(from->addr) : load_be64(from->addr),
		.family = from->addr_len == 4 ? 4 : 6,
	};
	uint32_t *head = chain_of(limiter, &source);
	struct limiter_entry *entry;
	uint32_t number;

	for (number = *head; number; number = entry->next) {
		entry = &limiter->entries[number - 1];
		if (entry->prefix == source.prefix && entry->family == source.family)
			return spend(entry, now_ns);
	}
	number = take_free(limiter, now_ns);
	if (!number)
		return false;
	entry = &limiter->entries[number - 1];
	*entry = (struct limiter_entry){
		.prefix = source.prefix,
		.family = (uint32_t)source.family,
		.last_ns = now_ns,
		.tokens_ns = CREDIT_MAX_NS,
		.next = *head,
	};
	*head = number;
	return spend(entry, now_ns);
}
