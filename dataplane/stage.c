/* SPDX-License-Identifier: MIT */
/*
 * A frame is a chain of chunks, linked by the pool's table of numbers. Its first
 * chunk begins with a header, which also links the frames of a queue. Chunks that
 * are not free belong to one queue, whose owner's lock guards them and their place
 * in the table; the pool's lock guards the free ones. So copying needs no lock of
 * the pool.
 *
 * Numbers are counted from 1, so that zeroed memory is an empty queue.
 */
#include "dataplane/stage.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include "crypto/secret.h"

struct stage_frame {
	uint64_t tag;
	uint32_t len;
	uint32_t next; /* first chunk of the next frame; 0: the newest */
};

#define FIRST_ROOM (STAGE_CHUNK_SIZE - sizeof(struct stage_frame))
#define POOL_SIZE  ((size_t)STAGE_CHUNKS * STAGE_CHUNK_SIZE)

int stage_pool_init(struct stage_pool *pool)
{
	void *memory = mmap(NULL, POOL_SIZE, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -ENOMEM;
	/* People's packets, in the clear. */
	(void)madvise(memory, POOL_SIZE, MADV_DONTDUMP);
	pthread_mutex_init(&pool->lock, NULL);
	pool->memory = memory;
	pool->free_head = 0;
	pool->free_count = STAGE_CHUNKS;
	pool->never_used = 0;
	return 0;
}

void stage_pool_fini(struct stage_pool *pool)
{
	secret_wipe(pool->memory, (size_t)pool->never_used * STAGE_CHUNK_SIZE);
	munmap(pool->memory, POOL_SIZE);
	pthread_mutex_destroy(&pool->lock);
}

static uint8_t *chunk_data(struct stage_pool *pool, uint32_t chunk)
{
	return pool->memory + (size_t)(chunk - 1) * STAGE_CHUNK_SIZE;
}

/* The header of the frame whose first chunk this is. */
static struct stage_frame *frame_header(struct stage_pool *pool, uint32_t chunk)
{
	void *data = chunk_data(pool, chunk);

	return data;
}

static uint32_t chunks_of(uint32_t len)
{
	uint32_t rest = len > FIRST_ROOM ? len - (uint32_t)FIRST_ROOM : 0;

	return 1 + (rest + STAGE_CHUNK_SIZE - 1) / STAGE_CHUNK_SIZE;
}

/* How many of its chunks @share would have to give back for @count new ones. Pool's lock held. */
static uint32_t missing(const struct stage_share *share, uint32_t count)
{
	uint32_t fair = (share->pool->free_count + share->chunks) / STAGE_SHARES;
	uint32_t wanted = share->chunks + count;

	return wanted > fair ? wanted - fair : 0;
}

/* A chain of @count chunks for @share; or 0, and in *@lacking how many it holds too many. */
static uint32_t alloc_chain(struct stage_share *share, uint32_t count, uint32_t *lacking)
{
	struct stage_pool *pool = share->pool;
	uint32_t head = 0;

	pthread_mutex_lock(&pool->lock);
	*lacking = missing(share, count);
	if (*lacking)
		goto out;
	/* There are so many: the share's part with them is one of eight, the others are free. */
	pool->free_count -= count;
	share->chunks += count;
	while (count--) {
		uint32_t chunk = pool->free_head;

		if (chunk)
			pool->free_head = pool->next[chunk - 1];
		else
			chunk = ++pool->never_used;
		pool->next[chunk - 1] = head;
		head = chunk;
	}
out:
	pthread_mutex_unlock(&pool->lock);
	return head;
}

static void free_chain(struct stage_share *share, uint32_t head)
{
	struct stage_pool *pool = share->pool;
	uint32_t count = 1, last = head;

	for (; pool->next[last - 1]; last = pool->next[last - 1])
		count++;
	share->chunks -= count;
	pthread_mutex_lock(&pool->lock);
	pool->next[last - 1] = pool->free_head;
	pool->free_head = head;
	pool->free_count += count;
	pthread_mutex_unlock(&pool->lock);
}

/* Takes the oldest frame, which exists, out of the queue. */
static uint32_t unlink_oldest(struct stage_pool *pool, struct stage_queue *queue)
{
	uint32_t head = queue->oldest;

	queue->oldest = frame_header(pool, head)->next;
	if (!queue->oldest)
		queue->newest = 0;
	queue->count--;
	queue->chunks -= chunks_of(frame_header(pool, head)->len);
	return head;
}

static void drop_oldest(struct stage_share *share, struct stage_queue *queue)
{
	free_chain(share, unlink_oldest(share->pool, queue));
}

unsigned int stage_push(struct stage_share *share, struct stage_queue *queue, unsigned int limit,
                        uint64_t tag, const uint8_t *frame, uint32_t len)
{
	struct stage_pool *pool = share->pool;
	uint32_t head, part, rest, lacking;
	unsigned int lost = 0;

	if (!limit || !len || len > STAGE_FRAME_MAX)
		return 1;
	for (; queue->count >= limit; lost++)
		drop_oldest(share, queue);
	while (!(head = alloc_chain(share, chunks_of(len), &lacking))) {
		if (lacking > queue->chunks)
			return lost + 1;
		drop_oldest(share, queue);
		lost++;
	}

	*frame_header(pool, head) = (struct stage_frame){ .tag = tag, .len = len };
	part = len < FIRST_ROOM ? len : (uint32_t)FIRST_ROOM;
	rest = len - part;
	memcpy(chunk_data(pool, head) + sizeof(struct stage_frame), frame, part);
	for (uint32_t chunk = pool->next[head - 1]; chunk; chunk = pool->next[chunk - 1]) {
		frame += part;
		part = rest < STAGE_CHUNK_SIZE ? rest : STAGE_CHUNK_SIZE;
		memcpy(chunk_data(pool, chunk), frame, part);
		rest -= part;
	}

	if (queue->newest)
		frame_header(pool, queue->newest)->next = head;
	else
		queue->oldest = head;
	queue->newest = head;
	queue->count++;
	queue->chunks += chunks_of(len);
	return lost;
}

uint32_t stage_pop(struct stage_share *share, struct stage_queue *queue, uint64_t *tag,
                   uint8_t *frame)
{
	struct stage_pool *pool = share->pool;
	uint32_t head, len, part, rest;

	if (!queue->oldest)
		return 0;
	head = unlink_oldest(pool, queue);
	*tag = frame_header(pool, head)->tag;
	len = frame_header(pool, head)->len;

	part = len < FIRST_ROOM ? len : (uint32_t)FIRST_ROOM;
	rest = len - part;
	memcpy(frame, chunk_data(pool, head) + sizeof(struct stage_frame), part);
	for (uint32_t chunk = pool->next[head - 1]; chunk; chunk = pool->next[chunk - 1]) {
		frame += part;
		part = rest < STAGE_CHUNK_SIZE ? rest : STAGE_CHUNK_SIZE;
		memcpy(frame, chunk_data(pool, chunk), part);
		rest -= part;
	}
	free_chain(share, head);
	return len;
}

unsigned int stage_clear(struct stage_share *share, struct stage_queue *queue)
{
	unsigned int count = 0;

	for (; queue->oldest; count++)
		drop_oldest(share, queue);
	return count;
}
