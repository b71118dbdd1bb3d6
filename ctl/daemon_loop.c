/* SPDX-License-Identifier: MIT */
/*
 * The loop of the control thread: one poll(2) for signals, changes of the host's links,
 * requests on the two sockets, answers of the resolver, the helper's end, and a tick a
 * second.
 */
#include "ctl/daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>
#include "ctl/invite.h"
#include "ctl/log.h"
#include "ctl/notify.h"
#include "ctl/reload.h"
#include "ctl/stations.h"
#include "ctl/upkeep.h"

#define TICK_NS STATE_SECOND_NS

static void reload(struct daemon *daemon)
{
	struct reload_result result;
	struct config_error error;
	char text[1024];

	if (reload_config(&daemon->state, &result, NULL, NULL, &error) == 0)
		return;
	config_error_format(&error, text, sizeof(text));
	log_line("not reloaded, all stays as it was: %s", text);
}

/* False: time to leave. Who is told both to go on and to end leaves nothing. */
static bool take_signals(struct daemon *daemon)
{
	struct signalfd_siginfo info;
	bool ending = false;

	while (read(daemon->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			if (!ending)
				reload(daemon);
			continue;
		}
		daemon->handing_over =
			info.ssi_signo == SIGUSR2 && (daemon->handing_over || !ending);
		ending = true;
		log_line("ending%s: %s from process %u",
		         daemon->handing_over ? ", for another to go on" : "",
		         strsignal((int)info.ssi_signo), info.ssi_pid);
	}
	return !ending;
}

/* A worker that hangs holds this thread up here, so that the watch is over all of them. */
static int answer(struct ring *ring, unsigned int i, void *arg)
{
	(void)ring;
	(void)i;
	(void)arg;
	return 0;
}

static void show_life(struct daemon *daemon, uint64_t now_ns)
{
	if (!daemon->alive_interval_ns || now_ns < daemon->alive_ns)
		return;
	daemon->alive_ns = now_ns + daemon->alive_interval_ns;
	if (workers_call(&daemon->state.workers, answer, NULL) == 0)
		notify_alive();
}

/* All is well again by then, or will be within seconds; yet somebody may want to know why. */
static void note_lost_events(struct daemon *daemon, uint64_t now_ns)
{
	uint64_t lost = netlink_lost(daemon->state.netlink);

	if (lost == daemon->lost_events)
		return;
	device_event(daemon->state.device, EVENT_NETLINK_OVERFLOW, lost - daemon->lost_events);
	daemon->lost_events = lost;
	(void)trouble_ends(&daemon->overflow);
	if (trouble_begins(&daemon->overflow, now_ns))
		log_line("links and addresses changed faster than they were read: all are read "
		         "anew");
}

/* When what is due. */
struct due {
	uint64_t tick_ns, queues_ns;
};

static void tick(struct daemon *daemon, struct due *due)
{
	struct state *state = &daemon->state;
	uint64_t now_ns = device_now(state->device);

	if (daemon->bridges_changed) {
		daemon->bridges_changed = false;
		upkeep_paths_changed(state);
		upkeep_networks(state);
	}
	show_life(daemon, now_ns);
	note_lost_events(daemon, now_ns);
	if (now_ns >= due->queues_ns)
		due->queues_ns = now_ns + (upkeep_queues(state) ? UPKEEP_QUEUES_NS : TICK_NS);
	if (now_ns < due->tick_ns)
		return;
	due->tick_ns = now_ns + TICK_NS;
	netlink_tick(state->netlink);
	upkeep_tick(state);
	invite_tick(state);
	listener_tick(daemon->control, now_ns);
	listener_tick(daemon->uapi, now_ns);
	metrics_tick(state->metrics, now_ns);
}

static int time_left_ms(const struct daemon *daemon, const struct due *due)
{
	uint64_t now_ns = device_now(daemon->state.device);
	uint64_t next_ns = due->queues_ns < due->tick_ns ? due->queues_ns : due->tick_ns;

	/* Rounded up: waking a little early would mean a round for nothing. */
	return now_ns < next_ns ? (int)((next_ns - now_ns) / 1000000 + 1) : 0;
}

/*
 * Each alone, with a pause in between when nothing was there: the limit of open files was
 * lowered to less than are open.
 */
static void look_at_each(struct pollfd *fds, unsigned int n)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	bool ready = false;

	for (unsigned int i = 0; i < n; i++)
		ready |= poll(&fds[i], 1, 0) > 0;
	if (!ready)
		(void)nanosleep(&pause, NULL);
}

/*
 * poll(2) refuses more places than files may be open, and counts those that are empty. So
 * these are left out. 0 or -errno.
 */
static int wait_any(struct pollfd *fds, unsigned int n, int timeout_ms)
{
	struct pollfd there[DAEMON_FDS];
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++)
		if (fds[i].fd >= 0)
			there[count++] = fds[i];
	if (poll(there, count, timeout_ms) < 0) {
		if (errno == EINVAL)
			look_at_each(there, count);
		else if (errno != EINTR)
			return -errno;
	}
	for (unsigned int i = n; i-- > 0;)
		fds[i].revents = fds[i].fd >= 0 ? there[--count].revents : 0;
	return 0;
}

int daemon_loop_run(struct daemon *daemon)
{
	struct state *state = &daemon->state;
	struct due due = { 0 };

	for (;;) {
		struct pollfd fds[DAEMON_FDS];
		unsigned int n = 0, helper, stations, control, uapi, resolver, metrics;

		tick(daemon, &due);
		int timeout = time_left_ms(daemon, &due);

		fds[n++] = (struct pollfd){ .fd = daemon->signal_fd, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = netlink_fd(state->netlink), .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = post_fd(state->device->post), .events = POLLIN };
		helper = n;
		fds[n++] = (struct pollfd){ .fd = priv_fd(state->priv), .events = POLLIN };
		stations = n;
		if (stations_fd(state) >= 0)
			fds[n++] = (struct pollfd){ .fd = stations_fd(state), .events = POLLIN };
		control = n;
		n += listener_poll_fds(daemon->control, fds + n);
		uapi = n;
		n += listener_poll_fds(daemon->uapi, fds + n);
		resolver = n;
		n += resolve_poll_fds(state->resolve, fds + n, DAEMON_RESOLVE_FDS, &timeout);
		metrics = n;
		n += metrics_poll_fds(state->metrics, fds + n, &timeout);

		int err = wait_any(fds, n, timeout);

		if (err) {
			log_line("cannot wait for what happens: %s", strerror(-err));
			return DAEMON_EXIT_RUNTIME;
		}
		if (fds[0].revents && !take_signals(daemon))
			return EXIT_SUCCESS;
		if (fds[helper].revents) {
			log_line("ending: the helper process has ended");
			return DAEMON_EXIT_RUNTIME;
		}
		if (fds[1].revents)
			netlink_dispatch(state->netlink);
		if (fds[2].revents)
			invite_dispatch(state);
		if (control > stations && fds[stations].revents)
			stations_dispatch(state);
		uint64_t now_ns = device_now(state->device);

		listener_dispatch(daemon->control, fds + control, uapi - control, now_ns);
		listener_dispatch(daemon->uapi, fds + uapi, resolver - uapi, now_ns);
		resolve_dispatch(state->resolve, fds + resolver, metrics - resolver);
		metrics_dispatch(state->metrics, fds + metrics, n - metrics, now_ns);
	}
}
