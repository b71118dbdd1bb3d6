/* SPDX-License-Identifier: MIT */
/*
 * Receiver indices: 32 random bits that name a handshake or a key pair of ours
 * in the messages of a peer. One table for both, so that an index is unique over
 * all; unpredictable, so that nobody can aim at a session he has not seen.
 *
 * Lookup is lock-free (chains of a fixed hash table, entries embedded in their
 * owners); changes take the table's lock. An entry that was removed may still be
 * walked over by a reader, so its owner is freed through quiesce.h only. An entry
 * that is given a new index at once may lead a reader that stands on it into
 * another chain: it then misses what it looked for, which loses that one packet.
 */
#ifndef DATAPLANE_INDEX_H
#define DATAPLANE_INDEX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define INDEX_BUCKETS 8192

/* INDEX_ANSWER: taken, and not to be found yet. */
enum index_kind { INDEX_NONE, INDEX_HANDSHAKE, INDEX_ANSWER, INDEX_KEYPAIR };

struct index_entry {
	_Atomic(struct index_entry *) next;
	_Atomic uint32_t index;
	_Atomic int kind; /* INDEX_NONE: in no chain */
};

struct index_table {
	pthread_mutex_t lock;
	_Atomic(struct index_entry *) buckets[INDEX_BUCKETS];
};

void index_init(struct index_table *table);
/*
 * Gives @entry (in no chain, or moved from its old place) a free index drawn
 * from @random, which is called until one is free; returns it.
 */
uint32_t index_insert(struct index_table *table, struct index_entry *entry, enum index_kind kind,
                      uint32_t (*random)(void *arg), void *arg);
/* @new takes over @old's index, as @kind; @old is in no chain then. False: @old was in none. */
bool index_replace(struct index_table *table, struct index_entry *old, struct index_entry *new,
                   enum index_kind kind);
/* Nothing happens when it is in no chain. */
void index_remove(struct index_table *table, struct index_entry *entry);
/* The entry of that index and kind, or NULL. */
struct index_entry *index_lookup(struct index_table *table, uint32_t index, enum index_kind kind);

#endif
