/* SPDX-License-Identifier: MIT */
#include "dataplane/workers.h"

#include <errno.h>
#include <string.h>

struct call {
	int (*fn)(struct ring *ring, unsigned int i, void *arg);
	unsigned int i;
	void *arg;
};

static int run_call(struct ring *ring, void *arg)
{
	const struct call *call = arg;

	return call->fn(ring, call->i, call->arg);
}

int workers_start(struct workers *workers, unsigned int count, struct device *device,
                  enum worker_io io, char *why)
{
	memset(workers, 0, sizeof(*workers));
	if (count == 0 || count > WORKERS_MAX)
		return -EINVAL;
	while (workers->count < count) {
		struct worker **worker = &workers->list[workers->count];
		char again[160];
		int err = worker_start(worker, device, io, workers->count ? again : why);

		if (err) {
			if (workers->count)
				memcpy(why, again, sizeof(again));
			workers_stop(workers);
			return err;
		}
		/* What the kernel refused once it is not asked for again. */
		if (workers->count++ == 0 && why[0])
			io = WORKER_IO_POLL;
	}
	return 0;
}

void workers_stop(struct workers *workers)
{
	while (workers->count > 0) {
		worker_stop(workers->list[--workers->count]);
		workers->list[workers->count] = NULL;
	}
}

int workers_call(const struct workers *workers,
                 int (*fn)(struct ring *ring, unsigned int i, void *arg), void *arg)
{
	struct call call = { .fn = fn, .arg = arg };
	int err = 0;

	for (; call.i < workers->count && !err; call.i++)
		err = worker_call(workers->list[call.i], run_call, &call);
	return err;
}

int workers_set_pace(const struct workers *workers, bool realtime, uint64_t busy_poll_ns)
{
	int err = 0;

	for (unsigned int i = 0; i < workers->count; i++) {
		int one = worker_set_pace(workers->list[i], realtime, busy_poll_ns);

		err = err ? err : one;
	}
	return err;
}

void workers_kick(const struct workers *workers)
{
	if (workers->count)
		worker_kick(workers->list[0]);
}
