/* SPDX-License-Identifier: MIT */
/*
 * When may something that workers read without a lock be freed?
 *
 * Whoever replaces an object first makes it unreachable, then retires it. Each
 * worker is a reader that says between two bursts that it holds no pointer from
 * before (quiesce_pass), or that it sleeps and holds none at all
 * (quiesce_offline). An object is released when every reader has passed or was
 * asleep after its retirement. (Quiescent-state-based reclamation; the argument
 * is in quiesce.c.)
 *
 * Retiring and collecting may be done by any thread; readers never wait.
 */
#ifndef DATAPLANE_QUIESCE_H
#define DATAPLANE_QUIESCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUIESCE_READERS_MAX 64

struct quiesce_reader {
	_Atomic uint64_t seen; /* epoch at the last pass; QUIESCE_OFFLINE: asleep */
	char pad[56]; /* a cache line of its own */
};
#define QUIESCE_OFFLINE                 UINT64_MAX

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Embedded in what is retired. */
struct retired {
	struct retired *next;
	uint64_t epoch;
	void (*release)(struct retired *retired);
};

struct quiesce {
	_Atomic uint64_t epoch;
	pthread_mutex_t lock; /* of the list and the readers' number */
	struct retired *oldest;
	struct retired *newest;
	unsigned int readers_used; /* those from here on were never given */
	bool taken[QUIESCE_READERS_MAX];
	struct quiesce_reader readers[QUIESCE_READERS_MAX];
};

void quiesce_init(struct quiesce *q);
/* Releases all that is left; no reader may be online any more. */
void quiesce_fini(struct quiesce *q);

/* A new reader, offline; NULL when there are too many. */
struct quiesce_reader *quiesce_add_reader(struct quiesce *q);
/* It holds nothing any more, and its place may be given to another. */
void quiesce_remove_reader(struct quiesce *q, struct quiesce_reader *reader);
void quiesce_pass(struct quiesce *q, struct quiesce_reader *reader); /* also: comes online */
void quiesce_offline(struct quiesce_reader *reader);

void quiesce_retire(struct quiesce *q, struct retired *retired,
                    void (*release)(struct retired *retired));
/* Releases what no reader can hold any more. True if something is left. */
bool quiesce_collect(struct quiesce *q);

#endif
