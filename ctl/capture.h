/* SPDX-License-Identifier: MIT */
/*
 * Captures as the daemon has them: memory that a client brings is shared out among the
 * workers, and given back when that client goes away, however it goes. The daemon opens
 * nothing for it and writes to nobody: what a slow client does not take out of the memory
 * in time is dropped and counted there (dataplane/capture.h).
 */
#ifndef CTL_CAPTURE_H
#define CTL_CAPTURE_H

#include <jansson.h>
#include "ctl/state.h"
#include "dataplane/capture.h"

#define CAPTURE_RUNS_MAX   4
#define CAPTURE_MEMORY_MAX (256u << 20)
#define CAPTURE_RING_MIN   (256u * 1024) /* of a worker: some superframes */

struct capture_run;

struct capture_order {
	const json_t *request; /* server.c */
	int memory; /* a memfd that cannot change its size; stays the caller's */
	int client; /* the connection of who asks */
};

/*
 * 0 with the reply, or -errno with @error (room for CAPTURE_ERROR_MAX) in words: -EINVAL
 * where the order is at fault. *@run is on until capture_end(), and the log says so.
 */
#define CAPTURE_ERROR_MAX 256
int capture_begin(struct state *state, const struct capture_order *order, struct capture_run **run,
                  json_t **reply, char *error);
void capture_end(struct state *state, struct capture_run *run);

#endif
