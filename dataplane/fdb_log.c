/* SPDX-License-Identifier: MIT */
/*
 * The log of this host's stations: those that are here, in the order of their last
 * change, and a ring of those that went. Both are ordered by sequence numbers, and a
 * reader merges them.
 *
 * A station that is here has one place in the log, however often it changes, and the
 * ring is as long as it is: so thousands of changes cost no more memory than that.
 * When the ring has to forget what went, a reader that has not heard of it yet is
 * told everything anew. One that is in the midst of that needs only what went since
 * it began, as it was not told of what had gone before.
 */
#include "dataplane/fdb_private.h"

#include <string.h>

static uint64_t newest(const struct fdb *fdb)
{
	return atomic_load_explicit(&fdb->sequence, memory_order_relaxed);
}

static uint64_t next_sequence(struct fdb *fdb)
{
	uint64_t sequence = newest(fdb) + 1;

	atomic_store_explicit(&fdb->sequence, sequence, memory_order_release);
	return sequence;
}

void fdb_log_came(struct fdb *fdb, struct fdb_entry *entry)
{
	entry->sequence = next_sequence(fdb);
	fdb_chain_add(fdb, &fdb->log.first, &fdb->log.last, FDB_LINK_LOG, entry);
}

static struct fdb_gone *gone_at(struct fdb *fdb, uint32_t place)
{
	return &fdb->gone[(fdb->gone_first + place) % FDB_GONE_MAX];
}

static void forget_oldest(struct fdb *fdb)
{
	fdb->forgotten = gone_at(fdb, 0)->sequence;
	fdb->gone_first = (fdb->gone_first + 1) % FDB_GONE_MAX;
	fdb->gone_count--;
}

void fdb_log_expire(struct fdb *fdb, uint64_t now_ns)
{
	while (fdb->gone_count && gone_at(fdb, 0)->gone_ns + FDB_GONE_NS <= now_ns)
		forget_oldest(fdb);
}

void fdb_log_gone(struct fdb *fdb, struct fdb_entry *entry, bool silent, uint64_t now_ns)
{
	struct fdb_gone *gone;

	fdb_chain_remove(fdb, &fdb->log.first, &fdb->log.last, FDB_LINK_LOG, entry);
	entry->sequence = 0;
	if (silent)
		return;
	fdb_log_expire(fdb, now_ns);
	if (fdb->gone_count == FDB_GONE_MAX)
		forget_oldest(fdb);
	gone = gone_at(fdb, fdb->gone_count++);
	*gone = (struct fdb_gone){
		.key = entry->key,
		.sequence = next_sequence(fdb),
		.gone_ns = now_ns,
	};
	memcpy(gone->mac, entry->mac, ETHER_ADDR_SIZE);
}

/* The first station whose last change came after @after, looked for from the nearer end. */
static struct fdb_entry *first_after(struct fdb *fdb, uint64_t after)
{
	struct fdb_entry *entry = fdb_at(fdb, fdb->log.first), *before;

	if (!entry || entry->sequence > after)
		return entry;
	if (after - entry->sequence < newest(fdb) - after) {
		while (entry && entry->sequence <= after)
			entry = fdb_at(fdb, entry->links[FDB_LINK_LOG].next);
		return entry;
	}
	entry = NULL;
	before = fdb_at(fdb, fdb->log.last);
	while (before->sequence > after) {
		entry = before;
		before = fdb_at(fdb, before->links[FDB_LINK_LOG].previous);
	}
	return entry;
}

/* The place in the ring of the first that went after @after. */
static uint32_t first_gone_after(struct fdb *fdb, uint64_t after)
{
	uint32_t low = 0, high = fdb->gone_count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (gone_at(fdb, middle)->sequence <= after)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static uint32_t merge(struct fdb *fdb, uint64_t after, uint64_t gone_after, struct fdb_news *out,
                      uint32_t max)
{
	struct fdb_entry *entry = first_after(fdb, after);
	uint32_t place = first_gone_after(fdb, gone_after), n = 0;

	for (; n < max && (entry || place < fdb->gone_count); n++) {
		const struct fdb_gone *gone = place < fdb->gone_count ? gone_at(fdb, place) : NULL;

		if (gone && (!entry || gone->sequence < entry->sequence)) {
			out[n] = (struct fdb_news){ .sequence = gone->sequence,
				                    .key = gone->key,
				                    .gone = true };
			memcpy(out[n].mac, gone->mac, ETHER_ADDR_SIZE);
			place++;
			continue;
		}
		out[n] = (struct fdb_news){ .sequence = entry->sequence, .key = entry->key };
		memcpy(out[n].mac, entry->mac, ETHER_ADDR_SIZE);
		entry = fdb_at(fdb, entry->links[FDB_LINK_LOG].next);
	}
	return n;
}

/*
 * What @whole means to us: one more than the newest number was when the replacement
 * began. What went before that was never told, so it may be forgotten.
 */
uint32_t fdb_list_news(struct fdb *fdb, uint64_t after, struct fdb_news *out, uint32_t max,
                       uint64_t *whole, uint64_t *last)
{
	uint64_t gone_after = after;
	uint32_t n;

	fdb_lock(fdb);
	*last = newest(fdb);
	if (*whole && *whole <= *last + 1 && after <= *last && fdb->forgotten < *whole) {
		if (gone_after < *whole - 1)
			gone_after = *whole - 1;
	} else if (after > *last || after < fdb->forgotten || (!after && *last)) {
		*whole = *last + 1;
		after = 0;
		gone_after = *last;
	} else {
		*whole = 0;
	}
	n = merge(fdb, after, gone_after, out, max);
	fdb_unlock(fdb);
	return n;
}

uint64_t fdb_last_news(struct fdb *fdb)
{
	return atomic_load_explicit(&fdb->sequence, memory_order_acquire);
}
