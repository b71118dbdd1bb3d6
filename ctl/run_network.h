/* SPDX-License-Identifier: MIT */
/*
 * What runs for one [Network]: the dataplane's network, its TAP as a port of the
 * worker's ring, and the attachment to the bridge.
 */
#ifndef CTL_RUN_NETWORK_H
#define CTL_RUN_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/state.h"

/* 0 or -errno (those of tap_open()); nothing is left then. @config is not kept. */
int run_network_open(struct state *state, const struct config_network *config, uint16_t port,
                     struct run_network **network);
/* After the view without it was published. */
void run_network_close(struct state *state, struct run_network *network);
/* Nobody is going to read for a moment: the TAP's queue has all the room that there is. */
void run_network_widen_queue(struct state *state, struct run_network *network);
/* On a worker's thread: @ring, its @i-th, reads from the network's TAP. */
int run_network_attach(const struct run_network *network, struct ring *ring, unsigned int i);
/* The configuration of a network that goes on may have changed. 0 or -ENOMEM. */
int run_network_configure(struct run_network *network, const struct config_network *config);

/*
 * Puts right what others changed, makes a lost TAP again. True when the bridge is
 * not as the last view says, so that a new one is wanted.
 */
bool run_network_update(struct state *state, struct run_network *network,
                        const struct config_network *config);

/* By tap_queue.h. True: frames came since the last look, so that the next is due soon. */
bool run_network_look_at_queue(struct state *state, struct run_network *network);

/* Its own, or its bridge's as of the last update. */
struct config_subnets run_network_subnets(const struct run_network *run,
                                          const struct config_network *config);
/*
 * After either changed: whether peers claim the network whole, or its Range is none of its
 * bridge's, which is a problem and logged.
 */
void run_network_note_claims(struct run_network *run, const struct config *config,
                             const struct config_network *network);

/* What is in the way, in a few words; NULL: nothing. */
const char *run_network_problem(const struct run_network *network);

#endif
