/* SPDX-License-Identifier: MIT */
/* What apply.c puts in force, and apply_plan.c makes. */
#ifndef CTL_APPLY_PRIVATE_H
#define CTL_APPLY_PRIVATE_H

#include "ctl/apply.h"

#define NOT_THERE SIZE_MAX

struct apply_plan {
	struct state *state;
	struct config *config;
	struct config_error *error;
	size_t old_peer_count, old_network_count; /* of the configuration in force */

	struct run_peer *peers;
	size_t *peer_from; /* the place of the same peer in force; NOT_THERE: new */
	bool *peer_stays; /* by place in force */
	struct run_network **networks;
	size_t *network_from;
	bool *network_stays;
	struct run_members *members;

	struct view *view;
	bool udp_changes;
	struct udp_sockets udp[WORKERS_MAX];
	bool metrics_change;
	struct metrics *metrics;
};

/* All that can fail. 0 or -errno, with the plan's error; either way it has to be freed. */
int apply_plan(struct apply_plan *plan);
/* It failed: what it made ends, and what is in force is as it was. */
void apply_plan_give_up(struct apply_plan *plan);
/* The arrays that are the plan's still. */
void apply_plan_free(struct apply_plan *plan);

/* The sockets of all workers, an array; NULL takes them away. */
int apply_give_udp(const struct state *state, struct udp_sockets *udp);
/* The same for one worker, on its thread. */
int apply_set_udp(struct ring *ring, unsigned int i, void *udp);
void apply_close_udp(const struct state *state, struct udp_sockets *udp);

#endif
