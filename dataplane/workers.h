/* SPDX-License-Identifier: MIT */
/*
 * The workers of a device. Each has a ring of its own, and in it a queue of each TAP
 * and a pair of UDP sockets: what a worker has got from the kernel it carries through
 * to the end, so what the kernel gives to one worker in order stays in order. Queues
 * are chosen by the inner flow, sockets by the outer addresses and ports: all that
 * comes from one peer comes to one worker.
 *
 * Nothing is bound to a worker but that. Timers and what else is due is done by
 * whichever worker finds it first, and each sleeps no longer than to the next of them.
 */
#ifndef DATAPLANE_WORKERS_H
#define DATAPLANE_WORKERS_H

#include "dataplane/worker.h"

#define WORKERS_MAX 16

struct workers {
	struct worker *list[WORKERS_MAX];
	unsigned int count; /* 0: none runs */
};

/* All or none. As worker_start(); all have the same kind of ring, unless @io lets them fall back. */
int workers_start(struct workers *workers, unsigned int count, struct device *device,
                  enum worker_io io, char *why);
void workers_stop(struct workers *workers);

/*
 * Runs @fn for each worker in turn, on its thread between two bursts; @i is the
 * worker's number. Ends with the first error, and returns it.
 */
int workers_call(const struct workers *workers,
                 int (*fn)(struct ring *ring, unsigned int i, void *arg), void *arg);
/* As worker_set_pace(), of all; the first error. */
int workers_set_pace(const struct workers *workers, bool realtime, uint64_t busy_poll_ns);
/*
 * Timers, news of bridged networks or handshakes were asked for by another thread: one
 * worker looks, and what it does not do at once it remembers to do.
 */
void workers_kick(const struct workers *workers);

#endif
