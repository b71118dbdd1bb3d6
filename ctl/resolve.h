/* SPDX-License-Identifier: MIT */
/*
 * Host names to addresses, off the data path and without blocking the control
 * thread (c-ares). One request a name at a time; the caller decides when to ask
 * again.
 */
#ifndef CTL_RESOLVE_H
#define CTL_RESOLVE_H

#include <stdint.h>
#include "dataplane/endpoint.h"

struct resolve;

/* @status: 0, or -errno (-ENOENT: no such name; -EAGAIN: no server answered). */
typedef void resolve_done_fn(void *arg, int status, const struct endpoint *result);

int resolve_open(struct resolve **resolve);
void resolve_close(struct resolve *resolve); /* requests under way end without a call */
/* Calls @done exactly once, from resolve_dispatch() or from here. */
void resolve_request(struct resolve *resolve, const char *host, uint16_t port,
                     resolve_done_fn *done, void *arg);
/* For poll(2): fills @fds (room for @max), sets *@timeout_ms (-1: none) to at most what it was. */
struct pollfd;
unsigned int resolve_poll_fds(struct resolve *resolve, struct pollfd *fds, unsigned int max,
                              int *timeout_ms);
void resolve_dispatch(struct resolve *resolve, const struct pollfd *fds, unsigned int n);

#endif
