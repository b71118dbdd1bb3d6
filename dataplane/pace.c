/* SPDX-License-Identifier: MIT */
#include "dataplane/pace.h"

#define SECOND_NS 1000000000ull
/* So long between two rounds, and the thread has slept. */
#define SLEPT_NS 20000u

void pace_begin(struct pace *pace, uint64_t now_ns)
{
	uint64_t waited_ns = now_ns - pace->ended_ns;

	if (waited_ns >= SLEPT_NS)
		pace->rested_ns = now_ns;
	/* It was idle beyond its pause: whatever comes now is new. */
	if (waited_ns > pace->pause_ns + PACE_ROUNDS * PACE_ROUND_NS)
		pace->pause_ns = 0;
}

static void judge(struct pace *pace, uint64_t now_ns, uint32_t packets, uint32_t bytes)
{
	uint64_t passed_ns = now_ns - pace->judged_ns;

	pace->packets += packets;
	pace->bytes += bytes;
	if (passed_ns < PACE_FLOOD_NS)
		return;
	pace->flood = pace->packets * (SECOND_NS / PACE_FLOOD_RATE) > passed_ns &&
	              pace->bytes < pace->packets * PACE_FLOOD_BYTES;
	pace->packets = pace->bytes = 0;
	pace->judged_ns = now_ns;
}

/* Pays for a round. False: there was no credit left, they come too fast. */
static bool is_slow(struct pace *pace, uint64_t now_ns, bool big)
{
	const uint64_t cost_ns = big ? PACE_BIG_COST * PACE_ROUND_NS : PACE_ROUND_NS;
	const uint64_t saved_ns = PACE_ROUNDS * PACE_ROUND_NS;

	if (pace->spent_ns + saved_ns < now_ns)
		pace->spent_ns = now_ns - saved_ns;
	if (pace->spent_ns + cost_ns > now_ns)
		return false;
	pace->spent_ns += cost_ns;
	return true;
}

static uint64_t gather(struct pace *pace, uint64_t now_ns, uint32_t packets, uint32_t bytes)
{
	bool big = packets >= PACE_BIG_PACKETS || bytes >= PACE_BIG_BYTES;
	bool slow = packets == 0 || is_slow(pace, now_ns, big);

	if (!pace_is_realtime(pace) && !pace->flood)
		return 0;
	if (pace->pause_ns == 0)
		return slow ? 0 : PACE_MOST_NS;
	if (packets < 2 && !big)
		return pace->pause_ns > PACE_LEAST_NS ? pace->pause_ns / 2 : 0;
	return pace->pause_ns < PACE_MOST_NS ? pace->pause_ns * 2 : PACE_MOST_NS;
}

uint64_t pace_end(struct pace *pace, uint64_t now_ns, uint32_t packets, uint32_t bytes, bool full)
{
	uint64_t rest_ns = 0;

	pace->ended_ns = now_ns;
	if (packets)
		pace->worked_ns = now_ns;
	judge(pace, now_ns, packets, bytes);
	if (pace_is_realtime(pace) && now_ns - pace->rested_ns >= PACE_WORK_NS)
		rest_ns = PACE_REST_NS;
	if (full)
		return rest_ns;
	pace->pause_ns = gather(pace, now_ns, packets, bytes);
	return pace->pause_ns > rest_ns ? pace->pause_ns : rest_ns;
}
