/* SPDX-License-Identifier: MIT */
/*
 * How long the queue of a TAP is to be. The kernel counts it in frames, and what a frame
 * is differs a thousandfold: a thousand of 64 bytes are taken in five milliseconds, a
 * thousand superframes of 64 KiB in sixty or more, and all that time TCP keeps them there,
 * for nothing drops. So while a queue *stands* it gets the length that the worker takes in
 * TAP_QUEUE_NS at the rate at which it just did, or that holds TAP_QUEUE_BYTES; any other has
 * the kernel's own length, since what does not stand costs nobody time and holds bursts.
 * Small packets never get less than that: who sends them seldom slows down when some are
 * lost, and a worker that has to wait for a processor finds a thousand of them soon.
 *
 * Only a TAP of one queue is looked after: with several, workers wait for each other's
 * processors, queues stand for that alone, and short ones would only lose (16 flows of TCP
 * sent a quarter of a million segments again in seconds, where long ones lost none).
 *
 * A queue stands when it is not found empty at least once in so long, which is what CoDel
 * looks at as well (RFC 8289, section 3): the least delay within an interval.
 */
#ifndef CTL_TAP_QUEUE_H
#define CTL_TAP_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#define TAP_QUEUE_NS    2000000ull
#define TAP_QUEUE_MOST  1000u /* frames; what a TAP is made with */
#define TAP_QUEUE_BYTES 1000000u

/* From a TAP so far. */
struct tap_taken {
	uint64_t frames, bytes;
	uint64_t emptied; /* how often its queue was empty behind a frame */
};

/* Of a TAP just made: TAP_QUEUE_NEW. */
struct tap_queue {
	uint32_t length; /* in force */
	uint64_t at_ns; /* the last look; 0: none yet */
	uint64_t stood_ns; /* the last at which it stood; 0: never */
	struct tap_taken taken; /* as it was */
};
#define TAP_QUEUE_NEW ((struct tap_queue){ .length = TAP_QUEUE_MOST })

/*
 * A look, ten a second while there is anything to see: what was @taken. True: @queue->length is another than before, and to be set.
 */
bool tap_queue_look(struct tap_queue *queue, uint64_t now_ns, const struct tap_taken *taken);

#endif
