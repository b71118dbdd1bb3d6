/* SPDX-License-Identifier: MIT */
/*
 * A worker: one thread, one ring, both directions. It waits for frames and
 * datagrams, runs each through the pure paths (tx.h, rx.h) into its burst, seals
 * and sends the burst, then gives handshakes and timers their share.
 */
#ifndef DATAPLANE_WORKER_H
#define DATAPLANE_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/device.h"
#include "dataplane/ring.h"

struct capture;
struct worker;

enum worker_io { WORKER_IO_AUTO, WORKER_IO_URING, WORKER_IO_POLL };

/*
 * Starts the thread. With AUTO io_uring is tried first. 0 or -errno; @why (room
 * for 160) says in a few words what the kernel refused.
 */
int worker_start(struct worker **worker, struct device *device, enum worker_io io, char *why);
/*
 * Ends the thread and closes its ring. What it has received by then it carries to the
 * end; on return nothing is sealed any more, and its descriptors are idle.
 */
void worker_stop(struct worker *worker);

/* A worker without a thread, on a ring of the caller's: the simulator's. */
struct worker *worker_create(struct device *device, struct ring *ring);
void worker_destroy(struct worker *worker);
/* One round: waits until @deadline_ns at most, does what there is. Returns when to call again. */
uint64_t worker_round(struct worker *worker, uint64_t deadline_ns);

/*
 * Runs @fn on the worker's thread between two bursts and returns what it
 * returns. This is how the control thread attaches TAPs and sockets.
 */
int worker_call(struct worker *worker, int (*fn)(struct ring *ring, void *arg), void *arg);
/*
 * Whether the thread has realtime priority when that serves, and how long it keeps
 * looking before it sleeps (pace.h). 0 or -errno: RLIMIT_RTPRIO or CAP_SYS_NICE is
 * needed for the priority; without it all goes on as before.
 */
int worker_set_pace(struct worker *worker, bool realtime, uint64_t busy_poll_ns);
/*
 * On the worker's own thread, by worker_call(), or where it has none. The capture lasts
 * until it was removed.
 */
void worker_add_capture(struct worker *worker, struct capture *capture);
void worker_remove_capture(struct worker *worker, const struct capture *capture);
/* Likewise, and then worker_kick(): a new session with that peer, if it can be had. */
void worker_want_session(struct worker *worker, const uint8_t public_key[KEY_SIZE]);
/* Makes a sleeping worker look at timers that were set by another thread. */
void worker_kick(struct worker *worker);

const char *worker_io_name(const struct worker *worker); /* "io_uring", "poll" */
const char *worker_io_features(const struct worker *worker);

#endif
