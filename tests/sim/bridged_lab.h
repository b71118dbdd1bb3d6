/* SPDX-License-Identifier: MIT */
/* For the tests of bridged networks on the simulator: a run remembers every frame. */
#ifndef TESTS_SIM_BRIDGED_LAB_H
#define TESTS_SIM_BRIDGED_LAB_H

#include <stdlib.h>
#include "sim/stations.h"

#define STATIONS  6 /* of a network */
#define SEQUENCES 4096

struct sent {
	unsigned int network, from;
	uint32_t to;
	uint64_t at_ns;
};

/* A run, and every frame that was sent in it. */
struct run {
	struct sim *sim;
	uint64_t seed;
	uint32_t sequence;
	uint32_t wrong; /* frames that came twice, or back to their sender */
	struct sent sent[SEQUENCES];
	uint8_t got[SEQUENCES][STATIONS];
};

static inline void receive(struct sim *sim, const struct station *at,
                           const struct station_message *msg)
{
	struct run *run = sim->arg;
	const struct sent *sent = &run->sent[msg->sequence % SEQUENCES];

	unsigned int times = ++run->got[msg->sequence % SEQUENCES][at->id];

	/* Who moved meanwhile may meet a copy of a frame again, or one of his own. */
	if (at->since_ns < sent->at_ns && (times > 1 || at->id == msg->from))
		run->wrong++;
}

static inline struct run *open_run(uint64_t seed, const struct sim_options *options)
{
	struct run *run = sim_allocate(sizeof(*run));

	run->seed = seed;
	run->sim = sim_open_with(seed, options);
	run->sim->received = receive;
	run->sim->arg = run;
	return run;
}

static inline void close_run(struct run *run)
{
	sim_close(run->sim);
	free(run);
}

static inline unsigned int chance(struct run *run, unsigned int below)
{
	return sim_random(run->sim, below);
}

static inline void wait_ms(struct run *run, uint64_t ms)
{
	sim_run(run->sim, ms * SIM_MS, NULL, NULL);
}

/* Returns the frame's number. */
static inline uint32_t say(struct run *run, struct station *from, uint32_t to)
{
	uint32_t sequence = run->sequence++;

	sim_check(sequence < SEQUENCES, "too many frames");
	run->sent[sequence] = (struct sent){ from->network, from->id, to, run->sim->now_ns };
	station_send(run->sim, from, to, sequence, (enum station_frame)chance(run, 3),
	             chance(run, 1200));
	return sequence;
}

static inline bool is_here(const struct station *station)
{
	return station->node != STATION_NOWHERE;
}

static inline uint64_t count_events(const struct sim *sim, enum event event)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < sim->node_count; i++)
		if (sim->nodes[i].running)
			n += stats_read(&sim->nodes[i].device->stats.events[event]);
	return n;
}

#endif
