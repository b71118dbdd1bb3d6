/* SPDX-License-Identifier: MIT */
/*
 * A fixed hash table of chains. The indices are uniform random numbers of our
 * own, so their low bits are the hash: nobody else can choose them.
 *
 * Readers take no lock. A chain is always whole and ends: an entry is filled in
 * before it is linked (release), and one that leaves keeps its link, so that a
 * reader that stands on it goes on into the rest of the chain.
 *
 * An entry that is used again has the kind INDEX_NONE while its index changes. A
 * reader loads the kind first, then the index, so it never joins a new kind to an
 * old index. It may join an old kind to the new index: as an owner gives each of
 * its entries one kind only, that is but a lookup a moment early.
 */
#include "dataplane/index.h"

#include <stddef.h>

_Static_assert((INDEX_BUCKETS & (INDEX_BUCKETS - 1)) == 0, "the low bits choose the bucket");

static _Atomic(struct index_entry *) *bucket_of(struct index_table *table, uint32_t index)
{
	return &table->buckets[index & (INDEX_BUCKETS - 1)];
}

void index_init(struct index_table *table)
{
	pthread_mutex_init(&table->lock, NULL);
	for (unsigned int i = 0; i < INDEX_BUCKETS; i++)
		atomic_init(&table->buckets[i], NULL);
}

/* Lock held. The link that points at @entry, which is in a chain. */
static _Atomic(struct index_entry *) *link_to(struct index_table *table,
                                              const struct index_entry *entry)
{
	uint32_t index = atomic_load_explicit(&entry->index, memory_order_relaxed);
	_Atomic(struct index_entry *) *link = bucket_of(table, index);
	struct index_entry *e;

	while ((e = atomic_load_explicit(link, memory_order_relaxed)) != entry)
		link = &e->next;
	return link;
}

/* Lock held. */
static bool in_chain(const struct index_entry *entry)
{
	return atomic_load_explicit(&entry->kind, memory_order_relaxed) != INDEX_NONE;
}

/* Lock held. */
static void unlink_entry(struct index_table *table, struct index_entry *entry)
{
	struct index_entry *next = atomic_load_explicit(&entry->next, memory_order_relaxed);

	atomic_store_explicit(link_to(table, entry), next, memory_order_release);
	atomic_store_explicit(&entry->kind, INDEX_NONE, memory_order_relaxed);
}

/* Lock held. Puts @entry, which is in no chain, in front of @next at @link. */
static void link_entry(_Atomic(struct index_entry *) *link, struct index_entry *entry,
                       struct index_entry *next, uint32_t index, enum index_kind kind)
{
	/* Each with release order: a reader may still stand on this entry from before. */
	atomic_store_explicit(&entry->next, next, memory_order_release);
	atomic_store_explicit(&entry->index, index, memory_order_release);
	atomic_store_explicit(&entry->kind, (int)kind, memory_order_release);
	atomic_store_explicit(link, entry, memory_order_release);
}

/* Lock held. */
static bool is_used(struct index_table *table, uint32_t index)
{
	const struct index_entry *e =
		atomic_load_explicit(bucket_of(table, index), memory_order_relaxed);

	for (; e; e = atomic_load_explicit(&e->next, memory_order_relaxed)) {
		if (atomic_load_explicit(&e->index, memory_order_relaxed) == index)
			return true;
	}
	return false;
}

uint32_t index_insert(struct index_table *table, struct index_entry *entry, enum index_kind kind,
                      uint32_t (*random)(void *arg), void *arg)
{
	_Atomic(struct index_entry *) *link;
	uint32_t index;

	pthread_mutex_lock(&table->lock);
	if (in_chain(entry))
		unlink_entry(table, entry);
	do
		index = random(arg);
	while (is_used(table, index));
	link = bucket_of(table, index);
	link_entry(link, entry, atomic_load_explicit(link, memory_order_relaxed), index, kind);
	pthread_mutex_unlock(&table->lock);
	return index;
}

bool index_replace(struct index_table *table, struct index_entry *old, struct index_entry *new,
                   enum index_kind kind)
{
	bool replaced = false;

	pthread_mutex_lock(&table->lock);
	if (!in_chain(old))
		goto out;
	if (in_chain(new))
		unlink_entry(table, new);
	link_entry(link_to(table, old), new, atomic_load_explicit(&old->next, memory_order_relaxed),
	           atomic_load_explicit(&old->index, memory_order_relaxed), kind);
	atomic_store_explicit(&old->kind, INDEX_NONE, memory_order_relaxed);
	replaced = true;
out:
	pthread_mutex_unlock(&table->lock);
	return replaced;
}

void index_remove(struct index_table *table, struct index_entry *entry)
{
	pthread_mutex_lock(&table->lock);
	if (in_chain(entry))
		unlink_entry(table, entry);
	pthread_mutex_unlock(&table->lock);
}

struct index_entry *index_lookup(struct index_table *table, uint32_t index, enum index_kind kind)
{
	struct index_entry *e = atomic_load_explicit(bucket_of(table, index), memory_order_acquire);

	for (; e; e = atomic_load_explicit(&e->next, memory_order_acquire)) {
		if (atomic_load_explicit(&e->kind, memory_order_acquire) == (int)kind &&
		    atomic_load_explicit(&e->index, memory_order_acquire) == index)
			return e;
	}
	return NULL;
}
