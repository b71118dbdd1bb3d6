/* SPDX-License-Identifier: MIT */
/*
 * Frames that wait: for a session with their peer, or for a neighbour to answer.
 * Copies are kept in chunks of one pool for the whole device, reserved once and
 * touched only when used, so that waiting costs no allocation and has a bound.
 *
 * A queue is a list of frames, oldest first. Whoever has queues (a peer has one, a
 * network's neighbours one an address) has a share of the pool and a lock of its
 * own for them. A share may hold an eighth of what all others have left: 2 MB when
 * nobody else waits, less when others do, and a share that is over that gives back
 * before it gets more. So dozens of peers that do not answer may be flooded and one
 * more still finds room. What does not fit pushes out older frames of its own queue.
 */
#ifndef DATAPLANE_STAGE_H
#define DATAPLANE_STAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define STAGE_CHUNK_SIZE 2048
#define STAGE_CHUNKS     8192 /* 16 MB of address space */
#define STAGE_FRAME_MAX  (66u * 1024)
#define STAGE_SHARES     8 /* a share's part of what others left is one of so many */

struct stage_pool {
	pthread_mutex_t lock;
	uint8_t *memory;
	uint32_t free_head; /* chunk number + 1; 0: none */
	uint32_t free_count;
	uint32_t never_used; /* chunks from here on have not been touched yet */
	uint32_t next[STAGE_CHUNKS];
};

/* Under its user's lock, as are its queues. */
struct stage_share {
	struct stage_pool *pool;
	uint32_t chunks; /* held by all its queues */
};

struct stage_queue {
	uint32_t oldest; /* first chunk of the oldest frame, + 1; 0: empty */
	uint32_t newest;
	uint32_t count; /* frames */
	uint32_t chunks;
};

int stage_pool_init(struct stage_pool *pool); /* 0 or -ENOMEM */
void stage_pool_fini(struct stage_pool *pool); /* wipes */

/*
 * Appends a copy of @tag (the caller's, port or the like) and the frame. When
 * the queue holds @limit frames already, or the share too much, the oldest of the
 * queue go. Returns how many frames were lost by it: pushed out, or this one because
 * even that would not do or @len is too large.
 */
unsigned int stage_push(struct stage_share *share, struct stage_queue *queue, unsigned int limit,
                        uint64_t tag, const uint8_t *frame, uint32_t len)
	__attribute__((warn_unused_result));
/* Takes the oldest into @frame (room for STAGE_FRAME_MAX); 0: empty, else its length. */
uint32_t stage_pop(struct stage_share *share, struct stage_queue *queue, uint64_t *tag,
                   uint8_t *frame);
/* Drops all; returns how many there were. */
unsigned int stage_clear(struct stage_share *share, struct stage_queue *queue);

#endif
