/* SPDX-License-Identifier: MIT */
#include "ctl/tap_queue.h"

/* Looks that follow each other at once tell nothing. */
#define LOOK_NS 50000000ull
/* A queue that runs empty at least once in so long does not stand. */
#define OFTEN_NS       3000000ull
#define SHORT_OFTEN_NS 1000000ull
/* One that stood may again, as TCP comes back; so long it is not made long for nothing. */
#define LINGER_NS 1000000000ull

static uint64_t by_time(const struct tap_taken *taken, uint64_t passed_ns)
{
	return taken->frames * (TAP_QUEUE_NS / 1000) / (passed_ns / 1000);
}

static uint64_t by_size(const struct tap_taken *taken)
{
	return TAP_QUEUE_BYTES * taken->frames / (taken->bytes + 1) + 1;
}

/*
 * Twice or half is the same: with each change the kernel shuts the device for a moment,
 * and drops all that is sent to it meanwhile.
 */
static bool is_near(uint64_t a, uint64_t b)
{
	return a < 2 * b && b < 2 * a;
}

static uint64_t longer(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * Frames come in rounds of some, so a queue with little to do is empty behind every few of
 * them. One that is kept short runs empty more often than it would if it were long.
 */
static bool stands(const struct tap_queue *queue, const struct tap_taken *taken, uint64_t passed_ns)
{
	const uint64_t often_ns = queue->length < TAP_QUEUE_MOST ? SHORT_OFTEN_NS : OFTEN_NS;

	return taken->emptied * often_ns < passed_ns && taken->emptied * 8 < taken->frames;
}

bool tap_queue_look(struct tap_queue *queue, uint64_t now_ns, const struct tap_taken *taken)
{
	const struct tap_queue old = *queue;
	const struct tap_taken since = {
		.frames = taken->frames - old.taken.frames,
		.bytes = taken->bytes - old.taken.bytes,
		.emptied = taken->emptied - old.taken.emptied,
	};
	const uint64_t passed_ns = now_ns - old.at_ns;
	uint64_t length = TAP_QUEUE_MOST;

	if (old.at_ns && passed_ns < LOOK_NS)
		return false;
	queue->at_ns = now_ns;
	queue->taken = *taken;
	if (!old.at_ns)
		return false;
	if (stands(&old, &since, passed_ns)) {
		queue->stood_ns = now_ns;
		length = longer(by_time(&since, passed_ns), by_size(&since));
	} else if (now_ns - old.stood_ns < LINGER_NS) {
		length = longer(old.length, by_size(&since));
	}
	if (length > TAP_QUEUE_MOST)
		length = TAP_QUEUE_MOST;
	if (is_near(length, old.length))
		return false;
	queue->length = (uint32_t)length;
	return true;
}
