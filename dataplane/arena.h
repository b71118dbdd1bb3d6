/* SPDX-License-Identifier: MIT */
/*
 * Memory for objects that hold keys: of one size an arena, locked in RAM, left
 * out of core files and of fork()ed children (which must not touch it), zero when
 * given and wiped when taken back. One guarded
 * allocation a key would cost pages each; chunks of many objects do not.
 */
#ifndef DATAPLANE_ARENA_H
#define DATAPLANE_ARENA_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct arena {
	pthread_mutex_t lock;
	size_t object_size; /* rounded up to a cache line */
	struct arena_chunk *chunks;
	void *free_list;
	size_t free_count; /* of objects in it */
	size_t spare; /* so many are made ready beforehand */
	bool locked; /* false once mlock() was refused; for one line to the user */
};

void arena_init(struct arena *arena, size_t object_size);
/* All objects must have been put back or be given up; all is wiped and unmapped. */
void arena_fini(struct arena *arena);
/* Zeroed, aligned to 64; NULL: out of memory. */
void *arena_get(struct arena *arena);
void arena_put(struct arena *arena, void *object);
/*
 * From now on memory is asked for when fewer than @count are left, not when none is: for
 * what is put back only after its successor was taken, a shortage costs nothing then.
 */
void arena_keep_spare(struct arena *arena, size_t count);

#endif
