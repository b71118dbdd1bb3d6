/* SPDX-License-Identifier: MIT */
/*
 * Why nothing is released too early.
 *
 * The epoch is a number that only grows, and only by atomic read-modify-write
 * operations; those have one total order, and each sees what everyone did before
 * any earlier one (they form one release sequence). An object is retired at the
 * epoch E that its retirement made: whoever reads an epoch ≥ E with acquire
 * order also sees that the object is unreachable, because it was made
 * unreachable before.
 *
 * A reader online stores the epoch it has read (seen). If seen ≥ E, it saw the
 * object unreachable from then on, and its uses of the object lie before that
 * store (release), so before the collector's load of it (acquire). It holds no
 * pointer, and whatever it did with one has happened. If seen < E the collector
 * leaves the object alone. A reader that reads a stale epoch only delays.
 *
 * A reader that goes offline stores so with release order; its uses happened.
 * The one delicate moment is coming online, for then a reader begins to load
 * pointers while the collector may have counted it as asleep: the classic case in
 * which a store (I am here) and a load (the pointer) must not change places. So
 * the reader first says that it is here, with an epoch that holds everything
 * back, and then does a read-modify-write on the epoch. In the order of those
 * operations it lies
 *
 *	before the retirement: then the retirement, and with it every later
 *	collection, sees that the reader is here, and waits for it; or
 *	after it: then the reader sees that the object is unreachable.
 *
 * The same argument with sequentially consistent fences would need the pointers'
 * own operations in it, and ThreadSanitizer does not know fences.
 */
#include "dataplane/quiesce.h"

#include <stddef.h>
#include <string.h>

#define EPOCH_FIRST  1
#define SEEN_NOTHING 0 /* less than any epoch: holds everything back */

void quiesce_init(struct quiesce *q)
{
	atomic_init(&q->epoch, EPOCH_FIRST);
	pthread_mutex_init(&q->lock, NULL);
	q->oldest = NULL;
	q->newest = NULL;
	q->readers_used = 0;
	memset(q->taken, 0, sizeof(q->taken));
	for (unsigned int i = 0; i < QUIESCE_READERS_MAX; i++)
		atomic_init(&q->readers[i].seen, QUIESCE_OFFLINE);
}

void quiesce_fini(struct quiesce *q)
{
	/* A release may retire what its object held in turn. */
	while (quiesce_collect(q))
		;
	pthread_mutex_destroy(&q->lock);
}

struct quiesce_reader *quiesce_add_reader(struct quiesce *q)
{
	struct quiesce_reader *reader = NULL;

	pthread_mutex_lock(&q->lock);
	for (unsigned int i = 0; i < QUIESCE_READERS_MAX && !reader; i++) {
		if (q->taken[i])
			continue;
		q->taken[i] = true;
		reader = &q->readers[i];
		if (i == q->readers_used)
			q->readers_used++;
	}
	pthread_mutex_unlock(&q->lock);
	return reader;
}

void quiesce_remove_reader(struct quiesce *q, struct quiesce_reader *reader)
{
	quiesce_offline(reader);
	pthread_mutex_lock(&q->lock);
	q->taken[reader - q->readers] = false;
	pthread_mutex_unlock(&q->lock);
}

void quiesce_pass(struct quiesce *q, struct quiesce_reader *reader)
{
	uint64_t seen = atomic_load_explicit(&reader->seen, memory_order_relaxed);
	uint64_t epoch;

	if (seen == QUIESCE_OFFLINE) {
		atomic_store_explicit(&reader->seen, SEEN_NOTHING, memory_order_relaxed);
		epoch = atomic_fetch_add_explicit(&q->epoch, 0, memory_order_acq_rel);
	} else {
		epoch = atomic_load_explicit(&q->epoch, memory_order_acquire);
		/* Spares the collector's cache line when nothing was retired. */
		if (epoch == seen)
			return;
	}
	atomic_store_explicit(&reader->seen, epoch, memory_order_release);
}

void quiesce_offline(struct quiesce_reader *reader)
{
	atomic_store_explicit(&reader->seen, QUIESCE_OFFLINE, memory_order_release);
}

void quiesce_retire(struct quiesce *q, struct retired *retired,
                    void (*release)(struct retired *retired))
{
	retired->next = NULL;
	retired->release = release;
	pthread_mutex_lock(&q->lock);
	/* Under the lock, so that the list is in the order of epochs. */
	retired->epoch = atomic_fetch_add_explicit(&q->epoch, 1, memory_order_acq_rel) + 1;
	if (q->newest)
		q->newest->next = retired;
	else
		q->oldest = retired;
	q->newest = retired;
	pthread_mutex_unlock(&q->lock);
}

/* Lock held. What was retired at this epoch or before is held by nobody. */
static uint64_t safe_epoch(struct quiesce *q)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < q->readers_used; i++) {
		uint64_t seen = atomic_load_explicit(&q->readers[i].seen, memory_order_acquire);

		if (seen < least)
			least = seen;
	}
	return least;
}

bool quiesce_collect(struct quiesce *q)
{
	struct retired *list, *next, **end;
	uint64_t safe;
	bool left;

	pthread_mutex_lock(&q->lock);
	safe = safe_epoch(q);
	list = q->oldest;
	for (end = &list; *end && (*end)->epoch <= safe; end = &(*end)->next)
		;
	q->oldest = *end;
	if (!q->oldest)
		q->newest = NULL;
	*end = NULL;
	pthread_mutex_unlock(&q->lock);

	/* Without the lock: a release may take other locks, or retire more. */
	for (; list; list = next) {
		next = list->next;
		list->release(list);
	}

	pthread_mutex_lock(&q->lock);
	left = q->oldest;
	pthread_mutex_unlock(&q->lock);
	return left;
}
