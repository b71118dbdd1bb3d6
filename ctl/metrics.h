/* SPDX-License-Identifier: MIT */
/*
 * The metrics over HTTP, for Prometheus and those who read its format: GET /metrics, and
 * nothing else. Served by the control thread between its other work. Whoever connects is
 * a stranger: there are few places, each for a bounded time, and a round does one bounded
 * piece for each.
 */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include "ctl/state.h"

#define METRICS_CLIENTS_MAX 8
#define METRICS_CLIENT_S    20 /* from its connect to the last byte of its answer, at the most */
#define METRICS_FILES       (METRICS_CLIENTS_MAX + 2) /* and those it listens and waits with */

struct metrics;

/* Listens at @at and serves @state, which lasts longer. 0 or -errno. */
int metrics_open(struct metrics **metrics, const struct state *state, const struct endpoint *at);
void metrics_close(struct metrics *metrics); /* NULL is none */
/* NULL is at no endpoint. */
bool metrics_is_at(const struct metrics *metrics, const struct endpoint *at);

#define METRICS_FDS_MAX 2

/* All of these do nothing for NULL. How many were put into @fds: none or METRICS_FDS_MAX. */
unsigned int metrics_poll_fds(const struct metrics *metrics, struct pollfd *fds, int *timeout_ms);
/* After poll(), whatever it said: work may be left without a word from a descriptor. */
void metrics_dispatch(struct metrics *metrics, const struct pollfd *fds, unsigned int n,
                      uint64_t now_ns);
/* Once a second or so: ends whose time is over, or short as others wait; tries again to accept whom it could not. */
void metrics_tick(struct metrics *metrics, uint64_t now_ns);

#endif
