/* SPDX-License-Identifier: MIT */
/*
 * A token bucket that workers share without a lock: the time up to which credit
 * has been spent. Two workers may both take the last token; no limit here is
 * that exact.
 */
#ifndef DATAPLANE_BUCKET_H
#define DATAPLANE_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct bucket {
	_Atomic uint64_t spent_ns; /* zeroed: full */
};

/* One token costs @cost_ns of time, and at most @burst of them are saved up. */
static inline bool bucket_take(struct bucket *bucket, uint64_t cost_ns, unsigned int burst,
                               uint64_t now_ns)
{
	uint64_t spent = atomic_load_explicit(&bucket->spent_ns, memory_order_relaxed);
	uint64_t saved = burst * cost_ns;

	if (spent + saved < now_ns)
		spent = now_ns - saved;
	if (spent + cost_ns > now_ns)
		return false;
	atomic_store_explicit(&bucket->spent_ns, spent + cost_ns, memory_order_relaxed);
	return true;
}

#endif
