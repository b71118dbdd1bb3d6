/* SPDX-License-Identifier: MIT */
/*
 * The pace of a worker: when it is worth while to let work gather before the next
 * round, and with which priority to run. What network cards do by holding
 * interrupts back.
 *
 * A thread that the scheduler lets wait finds batches when it comes to run, but of
 * the scheduler's choice: what it calls fair can be ten milliseconds. One that runs
 * the moment that something arrives works for single packets: nothing to merge,
 * nothing to cut in one piece, a wake-up for each. So a worker has realtime priority
 * where it may, and chooses by itself: after a round it may pause, and what comes in
 * the meantime makes the next one.
 *
 * - Rounds that follow each other slowly are never held back: a question and its
 *   answer, a ping, a handshake cost nothing.
 * - Those in quick succession (a token bucket; big ones cost more) bring a pause.
 *   When it ends with more than one packet there the next is as long again, or longer;
 *   with one alone, which was kept waiting for nothing, half as long, and soon none.
 * - No pause after a round that was full: there is more.
 * - A flood of small packets gets no realtime priority. Each of them wakes
 *   somebody at the far end of a TAP, who has to get at the processor too; and who
 *   floods shall not outrun what else is on the host.
 * - With realtime priority a share of the time is left to others, in small pieces:
 *   the kernel would take its own in one of 50 ms (sched_rt_runtime_us).
 * - Without it, pauses serve floods only: a thread that sleeps has to wait for the
 *   scheduler again.
 * - With busy polling a worker that runs out of work keeps looking for a while before
 *   it sleeps, which spares the next packet the wake-up. It takes no realtime priority
 *   then: to look is no reason to keep others waiting.
 *
 * docs/performance.md has the figures. One thread's; no clock of its own.
 */
#ifndef DATAPLANE_PACE_H
#define DATAPLANE_PACE_H

#include <stdbool.h>
#include <stdint.h>

/* Rounds are in quick succession when so many come faster than one in so long. */
#define PACE_ROUND_NS 35000ull
#define PACE_ROUNDS   8u
#define PACE_BIG_COST 4u /* rounds that a big one counts for */

#define PACE_LEAST_NS 25000ull /* a pause */
#define PACE_MOST_NS  100000ull

/* What makes a round big. */
#define PACE_BIG_PACKETS 8u
#define PACE_BIG_BYTES   (32u * 1024)

/* A flood: more packets a second, and smaller on average, judged by so much time. */
#define PACE_FLOOD_NS    5000000ull
#define PACE_FLOOD_RATE  20000u
#define PACE_FLOOD_BYTES 400u

/* With realtime priority: so long without a rest, and then one; 1/16 of the time. */
#define PACE_WORK_NS 2000000ull
#define PACE_REST_NS 134000ull

struct pace {
	bool realtime; /* the thread may have that priority */
	uint64_t busy_poll_ns; /* 0: none */
	bool flood;
	uint64_t spent_ns; /* the bucket: credit is spent up to this time */
	uint64_t pause_ns; /* before the round under way; 0: none */
	uint64_t ended_ns; /* the last round */
	uint64_t worked_ns; /* the last one that had something to do */
	uint64_t rested_ns; /* when others had the processor last */
	uint64_t judged_ns; /* since then: */
	uint64_t packets, bytes;
};

/* A round has begun: what it does was there at @now_ns. */
void pace_begin(struct pace *pace, uint64_t now_ns);
/*
 * It is over, and had so much to do; @full: there may be more than it could take.
 * Returns how long to pause before the next one.
 */
uint64_t pace_end(struct pace *pace, uint64_t now_ns, uint32_t packets, uint32_t bytes, bool full)
	__attribute__((warn_unused_result));

/* Which priority to have from now on. */
static inline bool pace_is_realtime(const struct pace *pace)
{
	return pace->realtime && !pace->flood && !pace->busy_poll_ns;
}

/* Whether the next round is not to sleep. */
static inline bool pace_is_polling(const struct pace *pace)
{
	return pace->busy_poll_ns && pace->ended_ns - pace->worked_ns < pace->busy_poll_ns;
}

#endif
