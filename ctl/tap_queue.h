/* SPDX-License-Identifier: MIT */
/*
 * How long the queue of a TAP is to be. The kernel counts it in frames, and what a frame
 * is differs a thousandfold: a thousand of 64 bytes are taken in five milliseconds, a
 * thousand superframes of 64 KiB in sixty or more, and all that time TCP keeps them there,
 * for nothing drops. So while a queue *stands* it gets the length that the worker takes in
 * TAP_QUEUE_NS at the rate at which it just did; any other has the kernel's own length,
 * since what does not stand costs nobody time and holds bursts.
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
#define TAP_QUEUE_LEAST 16u

/* Of a TAP just made: TAP_QUEUE_NEW. */
struct tap_queue {
	uint32_t length; /* in force */
	uint64_t at_ns; /* the last look; 0: none yet */
	uint64_t taken, emptied; /* as they were */
};
#define TAP_QUEUE_NEW ((struct tap_queue){ .length = TAP_QUEUE_MOST })

/*
 * A look, ten a second while there is anything to see: frames that were taken so far, and how often the queue was
 * empty behind them, of all @queues together. True: @queue->length is another than before,
 * and to be set.
 */
bool tap_queue_look(struct tap_queue *queue, uint64_t now_ns, uint64_t taken, uint64_t emptied,
                    unsigned int queues);

#endif
