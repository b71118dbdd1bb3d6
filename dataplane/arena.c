/* SPDX-License-Identifier: MIT */
/*
 * Chunks of memory from mmap(), cut into objects. A free object holds the link of
 * the free list in its first bytes and zeros behind it. Chunks are given back to
 * the kernel only in the end.
 *
 * A fork()ed child does not get the chunks at all (MADV_DONTFORK). Zeroed pages
 * (MADV_WIPEONFORK) would be worse than none: a child that went on working would
 * encrypt with keys of zeros rather than crash.
 *
 * With AddressSanitizer free objects are poisoned, so that a use after arena_put()
 * is found as one after free() would be.
 */
#include "dataplane/arena.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "crypto/secret.h"

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS
#endif
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(addr, size)   ((void)(addr), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(addr, size) ((void)(addr), (void)(size))
#endif

#define CACHE_LINE 64
#define CHUNK_SIZE ((size_t)64 * 1024)

/* At the beginning of each chunk; the objects follow. */
struct arena_chunk {
	struct arena_chunk *next;
	size_t size; /* of the mapping */
	size_t count; /* of objects */
	char pad[CACHE_LINE - 3 * sizeof(size_t)];
};
_Static_assert(sizeof(struct arena_chunk) == CACHE_LINE, "objects start on a cache line");

struct free_object {
	struct free_object *next;
};

void arena_init(struct arena *arena, size_t object_size)
{
	pthread_mutex_init(&arena->lock, NULL);
	arena->object_size = (object_size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	arena->chunks = NULL;
	arena->free_list = NULL;
	arena->free_count = 0;
	arena->spare = 0;
	arena->locked = true;
}

void arena_fini(struct arena *arena)
{
	struct arena_chunk *chunk, *next;

	for (chunk = arena->chunks; chunk; chunk = next) {
		size_t size = chunk->size;

		next = chunk->next;
		ASAN_UNPOISON_MEMORY_REGION(chunk, size);
		secret_wipe(chunk, size);
		munmap(chunk, size);
	}
	arena->chunks = NULL;
	arena->free_list = NULL;
	arena->free_count = 0;
	pthread_mutex_destroy(&arena->lock);
}

/* Lock held. */
static void push_free(struct arena *arena, void *object)
{
	struct free_object *link = object;

	link->next = arena->free_list;
	arena->free_list = link;
	arena->free_count++;
	ASAN_POISON_MEMORY_REGION(object, arena->object_size);
}

/* Lock held. One more object at least, and what else fills the chunk. */
static int add_chunk(struct arena *arena)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct arena_chunk *chunk;
	uint8_t *objects;
	size_t size = sizeof(*chunk) + arena->object_size;

	if (size < CHUNK_SIZE)
		size = CHUNK_SIZE;
	size = (size + page - 1) & ~(page - 1);

	chunk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (chunk == MAP_FAILED)
		return -ENOMEM;
	/* Kernels without one of these exist; keys are still wiped. */
	(void)madvise(chunk, size, MADV_DONTDUMP);
	(void)madvise(chunk, size, MADV_DONTFORK);
	if (mlock(chunk, size) < 0)
		arena->locked = false;

	chunk->size = size;
	chunk->count = (size - sizeof(*chunk)) / arena->object_size;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	objects = (uint8_t *)(chunk + 1);
	/* From the last to the first, so that they are given in the order of addresses. */
	for (size_t i = chunk->count; i > 0; i--)
		push_free(arena, objects + (i - 1) * arena->object_size);
	return 0;
}

void *arena_get(struct arena *arena)
{
	struct free_object *object = NULL;

	pthread_mutex_lock(&arena->lock);
	if (!arena->free_list && add_chunk(arena) < 0)
		goto out;
	object = arena->free_list;
	ASAN_UNPOISON_MEMORY_REGION(object, arena->object_size);
	arena->free_list = object->next;
	arena->free_count--;
	object->next = NULL;
	if (arena->free_count < arena->spare)
		(void)add_chunk(arena);
out:
	pthread_mutex_unlock(&arena->lock);
	return object;
}

void arena_keep_spare(struct arena *arena, size_t count)
{
	pthread_mutex_lock(&arena->lock);
	arena->spare = count;
	pthread_mutex_unlock(&arena->lock);
}

void arena_put(struct arena *arena, void *object)
{
	secret_wipe(object, arena->object_size);
	pthread_mutex_lock(&arena->lock);
	push_free(arena, object);
	pthread_mutex_unlock(&arena->lock);
}
