/* SPDX-License-Identifier: MIT */
/* A running daemon's state without its main: device, worker, netlink, in a namespace of its own. */
#ifndef TESTS_UNIT_RUNNING_H
#define TESTS_UNIT_RUNNING_H

#include "config_files.h"
#include "netns.h"
#include "crypto/aead.h"
#include "ctl/apply.h"
#include "ctl/stations.h"
#include "ctl/upkeep.h"

#ifndef RUNNING_WORKERS
#define RUNNING_WORKERS 1
#endif

static struct state running;
static struct priv_files running_files; /* config, for tests that reload */

static void running_changed(void *arg)
{
	(void)arg;
}

static inline int running_open(void **state)
{
	char why[160];

	(void)state;
	memset(&running, 0, sizeof(running));
	running.name = "test";
	if (priv_open(&running.priv, &running_files) ||
	    device_open(&running.device, &environment_system) ||
	    workers_start(&running.workers, RUNNING_WORKERS, running.device, WORKER_IO_POLL, why) ||
	    netlink_open(&running.netlink, running_changed, NULL))
		return -1;
	priv_use_netlink(running.priv, running.netlink);
	return 0;
}

static inline int running_close(void **state)
{
	(void)state;
	apply_end(&running);
	workers_stop(&running.workers);
	device_close(running.device);
	priv_close(running.priv);
	netlink_close(running.netlink);
	netns_clear();
	return 0;
}

static struct config_error apply_error;

/* Puts @text in force. 0 or -errno, with apply_error. */
static inline int running_apply(const char *text, struct apply_summary *summary)
{
	struct config *config = parse(text);
	int ret = apply_config(&running, config, NULL, summary, &apply_error);

	if (ret)
		config_free(config);
	else if (!running.running)
		ret = apply_begin(&running);
	return ret;
}

static inline struct run_peer *running_peer(const char *base64)
{
	struct config_peer *peer = peer_of(running.config, base64);

	return peer ? &running.peers[peer - running.config->peers] : NULL;
}

static inline const struct view *running_view(void)
{
	return atomic_load_explicit(&running.device->view, memory_order_acquire);
}

/* Lets netlink and upkeep work until @done says so; false: it did not in that time. */
static inline bool running_wait_ms(bool (*done)(void), unsigned int ms)
{
	uint64_t end_ns = netns_now_ns() + ms * UINT64_C(1000000);

	while (!done()) {
		struct pollfd fds[] = {
			{ .fd = netlink_fd(running.netlink), .events = POLLIN },
			{ .fd = stations_fd(&running), .events = POLLIN }, /* -1 is skipped */
		};

		if (netns_now_ns() > end_ns)
			return false;
		poll(fds, 2, 50);
		netlink_dispatch(running.netlink);
		if (fds[1].revents)
			stations_dispatch(&running);
		upkeep_tick(&running);
	}
	return true;
}

static inline bool running_wait(bool (*done)(void))
{
	return running_wait_ms(done, NETNS_WAIT_MS);
}

#endif
