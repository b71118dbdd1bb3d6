/* SPDX-License-Identifier: MIT */
/*
 * What goes on without anyone asking: names of endpoints are resolved, tunnel
 * MTUs follow paths, TAPs that were deleted are made again, views follow the
 * bridges.
 *
 * Names are asked for at start and at a reload, then again with a growing pause
 * while nobody answers, and again when a peer has gone silent. A silent peer is
 * sent to the new address only if the name has one: a peer that roamed and lives
 * is left where it is.
 */
#ifndef CTL_UPKEEP_H
#define CTL_UPKEEP_H

#include "ctl/state.h"

/* Once a second. */
void upkeep_tick(struct state *state);
/*
 * After the first apply_config(): routes that a daemon which was killed has left behind go, but for
 * those that are wanted.
 */
void upkeep_sweep_routes(const struct state *state);
/* After apply_config(), and whenever the bridges changed. */
void upkeep_networks(struct state *state);
/*
 * How long the TAPs' queues are to be: once UPKEEP_QUEUES_NS while true is returned, which
 * is while frames come; otherwise once a second.
 */
#define UPKEEP_QUEUES_NS 100000000ull
bool upkeep_queues(struct state *state);
/* After a reload: names are asked for anew, as at start. */
void upkeep_resolve_again(struct state *state);
/* The host's links or addresses changed: the paths to the peers may have, too. */
void upkeep_paths_changed(struct state *state);
/* After resolve_close(): forgets the questions that it left unanswered. */
void upkeep_end(struct state *state);

#endif
