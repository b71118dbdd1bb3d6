/* SPDX-License-Identifier: MIT */
/*
 * The state in Prometheus' text format, version 0.0.4, piece by piece: 10,000 peers are
 * some 8 MB of it, which never lie in memory at once. What each metric tells stands in
 * the table of metrics_text.c and in docs/metrics.md.
 */
#ifndef CTL_METRICS_TEXT_H
#define CTL_METRICS_TEXT_H

#include <stdint.h>
#include "ctl/buffer.h"
#include "ctl/state.h"

/* All zero is the beginning but for @generation. */
struct metrics_cursor {
	uint64_t generation; /* the state's when it began */
	size_t family;
	size_t item; /* the peer or network; 0 begins the family */
};

enum metrics_more {
	METRICS_MORE,
	METRICS_END, /* that was all */
	METRICS_STALE, /* another configuration came in between: the rest would not fit to it */
	METRICS_MEMORY, /* none left */
};

void metrics_text_begin(const struct state *state, struct metrics_cursor *cursor);
/* Appends until @out holds @enough or more, or all is said. */
enum metrics_more metrics_text_put(const struct state *state, struct metrics_cursor *cursor,
                                   size_t enough, struct buffer *out);

/* A label's value, with what the format wants escaped. Not terminated by anything. */
bool metrics_text_put_escaped(struct buffer *out, const char *value);

#endif
