/* SPDX-License-Identifier: MIT */
/* The backend for any kernel: poll and recvmmsg. The rest is in ring_base. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "dataplane/ring_base.h"
#include "dataplane/udp.h"

/*
 * The poll set: the wake-up, and behind it every source at its own index, as far as there
 * are any. poll() refuses more places than files may be open, be they empty or not.
 */
#define POLL_WAKE   0
#define POLL_SOURCE 1
#define POLL_COUNT  (POLL_SOURCE + SOURCE_COUNT)
/* When even those are more, for the limit was lowered: all is looked at, so often. */
#define LOOK_NS 1000000

struct poll_ring {
	struct ring_base base;
	struct pollfd fds[POLL_COUNT]; /* fd -1: no such source; poll() skips it */
};

static struct poll_ring *poll_ring_of(struct ring_base *base)
{
	return (struct poll_ring *)base;
}

static int poll_start(struct ring_base *base, unsigned int s)
{
	poll_ring_of(base)->fds[POLL_SOURCE + s] =
		(struct pollfd){ .fd = base->sources[s].fd, .events = POLLIN };
	return 0;
}

static void poll_stop(struct ring_base *base, unsigned int s)
{
	poll_ring_of(base)->fds[POLL_SOURCE + s].fd = -1;
}

/* Reads find out who has anything. */
static bool await_blindly(struct ring_base *base)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	for (unsigned int s = 0; s < base->source_end; s++)
		base->sources[s].ready = base->sources[s].fd >= 0;
	ring_base_wake_done(base);
	return true;
}

static bool poll_await(struct ring_base *base, uint64_t deadline_ns)
{
	struct poll_ring *pr = poll_ring_of(base);
	struct timespec sleep = { 0 }, *timeout = &sleep;
	int n;
	bool woken;

	for (unsigned int s = 0; s < base->source_end; s++)
		base->sources[s].ready = false;
	if (deadline_ns == UINT64_MAX) {
		timeout = NULL;
	} else if (deadline_ns) {
		uint64_t now_ns = ring_base_now_ns();
		uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;

		sleep.tv_sec = (time_t)(left_ns / 1000000000u);
		sleep.tv_nsec = (long)(left_ns % 1000000000u);
	}
	n = ppoll(pr->fds, POLL_SOURCE + base->source_end, timeout, NULL);
	if (n < 0 && errno == EINVAL)
		return await_blindly(base);
	if (n <= 0)
		return true;
	for (unsigned int s = 0; s < base->source_end; s++)
		base->sources[s].ready =
			pr->fds[POLL_SOURCE + s].fd >= 0 && pr->fds[POLL_SOURCE + s].revents;
	woken = pr->fds[POLL_WAKE].revents;
	if (woken)
		ring_base_wake_done(base);
	return woken;
}

static void poll_receive(struct ring_base *base, unsigned int s, unsigned int share, size_t bytes)
{
	uint8_t control[RING_EVENTS_MAX][UDP_CONTROL_SIZE] __attribute__((aligned(sizeof(size_t))));
	unsigned int fit = ring_base_fit(&base->sources[s], bytes);
	struct sockaddr_in6 names[RING_EVENTS_MAX];
	struct mmsghdr messages[RING_EVENTS_MAX];
	struct iovec iovs[RING_EVENTS_MAX];
	int n;

	if (share > fit)
		share = fit;
	for (unsigned int i = 0; i < share; i++) {
		iovs[i].iov_base = ring_base_buffer(base, base->buffers_used + i);
		iovs[i].iov_len = RING_BUFFER_SIZE;
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &names[i],
			.msg_namelen = sizeof(names[i]),
			.msg_iov = &iovs[i],
			.msg_iovlen = 1,
			.msg_control = control[i],
			.msg_controllen = sizeof(control[i]),
		};
	}
	n = recvmmsg(base->sources[s].fd, messages, share, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++)
		ring_base_add_datagram(base, s, &messages[i].msg_hdr, iovs[i].iov_base,
		                       messages[i].msg_len);
	if (n > 0)
		base->buffers_used += (unsigned int)n;
	base->sources[s].ready = n == (int)share;
}

static void poll_close(struct ring_base *base)
{
	(void)base;
}

static const struct ring_base_hooks poll_hooks = {
	.start = poll_start,
	.stop = poll_stop,
	.await = poll_await,
	.receive = poll_receive,
	.close = poll_close,
};

int ring_open_poll(struct ring **ring)
{
	struct poll_ring *pr = calloc(1, sizeof(*pr));
	int err;

	if (!pr)
		return -ENOMEM;
	err = ring_base_open(&pr->base, "poll", &poll_hooks);
	if (err) {
		free(pr);
		return err;
	}
	for (unsigned int s = 0; s < SOURCE_COUNT; s++)
		pr->fds[POLL_SOURCE + s].fd = -1;
	pr->fds[POLL_WAKE] = (struct pollfd){ .fd = pr->base.wake_fd, .events = POLLIN };
	snprintf(pr->base.ring.features, sizeof(pr->base.ring.features), "recvmmsg, sendmmsg");
	*ring = &pr->base.ring;
	return 0;
}
