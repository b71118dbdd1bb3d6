/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait: for a session with their peer, or for a neighbour to answer.
 * Copies are kept in chunks of one pool for the whole device, reserved once and
 * touched only when used, so that waiting costs no allocation and has a bound.
 *
 * A queue is a list of frames, oldest first; each user gives its own lock.
 */
#ifndef DATAPLANE_STAGE_H
#define DATAPLANE_STAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define STAGE_CHUNK_SIZE 2048
#define STAGE_CHUNKS     8192 /* 16 MB of address space */
#define STAGE_FRAME_MAX  (66u * 1024)

struct stage_pool {
	pthread_mutex_t lock;
	uint8_t *memory;
	uint32_t free_head; /* chunk number + 1; 0: none */
	uint32_t free_count;
	uint32_t never_used; /* chunks from here on have not been touched yet */
	uint32_t next[STAGE_CHUNKS];
};

struct stage_queue {
	uint32_t oldest; /* first chunk of the oldest frame, + 1; 0: empty */
	uint32_t newest;
	uint32_t count; /* frames */
};

int stage_pool_init(struct stage_pool *pool); /* 0 or -ENOMEM */
void stage_pool_fini(struct stage_pool *pool); /* wipes */

/*
 * Appends a copy of @tag (the caller's, port or the like) and the frame. When
 * the queue holds @limit frames already the oldest go. Returns how many frames
 * were lost by it: pushed out, or this one because the pool is empty or @len too large.
 */
unsigned int stage_push(struct stage_pool *pool, struct stage_queue *queue, unsigned int limit,
                        uint64_t tag, const uint8_t *frame, uint32_t len)
	__attribute__((warn_unused_result));
/* Takes the oldest into @frame (room for STAGE_FRAME_MAX); 0: empty, else its length. */
uint32_t stage_pop(struct stage_pool *pool, struct stage_queue *queue, uint64_t *tag,
                   uint8_t *frame);
/* Drops all; returns how many there were. */
unsigned int stage_clear(struct stage_pool *pool, struct stage_queue *queue);

#endif
