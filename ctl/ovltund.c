/* SPDX-License-Identifier: MIT */
/*
 * The daemon: parse (daemon_options.c), open, isolate, run (daemon_loop.c), stop. This is
 * the control thread; packets are the workers'.
 *
 * Whatever was opened is closed in the opposite order by stop(), at the end of a
 * life as after a start that failed: no TAP, no socket, no route is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/aead.h"
#include "ctl/apply.h"
#include "ctl/daemon.h"
#include "ctl/events.h"
#include "ctl/handover.h"
#include "ctl/invite.h"
#include "ctl/json_memory.h"
#include "ctl/log.h"
#include "ctl/metrics.h"
#include "ctl/notify.h"
#include "ctl/reload.h"
#include "ctl/roll.h"
#include "ctl/run_network.h"
#include "ctl/server.h"
#include "ctl/uapi.h"
#include "ctl/upkeep.h"

#define FILES_MAX        1024 /* clients, a little of everything */
#define FILES_MIN        (DAEMON_FDS + METRICS_FILES + 24) /* streams, lock, a few networks' TAPs */
#define FILES_WORKER     (4 + RING_PORTS_MAX) /* ring, sockets, a queue of each TAP */
#define FILES_WORKER_MIN 12

static int load_config(const struct daemon_options *options, struct config **config)
{
	const struct config_options how = { .bridge = options->bridge, .warn = reload_warn };
	struct config_error error = { .line = 0 };
	char text[1024];
	int ret = config_load(options->path, &how, config, &error);

	if (!ret) {
		ret = config_check(*config, &error);
		if (!ret)
			return -1;
		config_free(*config);
	}
	if (!error.text[0])
		(void)snprintf(error.text, sizeof(error.text), "%s", strerror(-ret));
	config_error_format(&error, text, sizeof(text));
	log_line("%s", text);
	return ret == -ENOMEM ? DAEMON_EXIT_RUNTIME : DAEMON_EXIT_USAGE;
}

/* Start and stop */

static int make_dir(const char *path)
{
	struct stat st;

	if (mkdir(path, 0755) == 0 ||
	    (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	log_line("cannot make %s: %s", path, strerror(errno));
	return -1;
}

/*
 * One daemon a name and run directory. The lock is held by the open file, so that
 * a daemon that was killed leaves none; the file is removed by its owner, hence
 * the second look: what we locked may be a file that was removed meanwhile.
 */
static int take_lock(struct daemon *daemon)
{
	struct stat ours, there;

	for (int tries = 0; tries < 10; tries++) {
		int fd = open(daemon->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0) {
			log_line("cannot open %s: %s", daemon->lock_path, strerror(errno));
			return -1;
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			log_line("another ovltund called %s is running (%s is locked)",
			         daemon->name, daemon->lock_path);
			close(fd);
			return -1;
		}
		if (fstat(fd, &ours) == 0 && stat(daemon->lock_path, &there) == 0 &&
		    ours.st_dev == there.st_dev && ours.st_ino == there.st_ino) {
			daemon->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	log_line("cannot lock %s", daemon->lock_path);
	return -1;
}

static int open_listener(struct daemon *daemon, struct listener **listener, const char *path,
                         const struct listener_ops *ops)
{
	int ret = listener_open(listener, path, ops, &daemon->state);

	if (ret == -ENOTSOCK)
		log_line("cannot listen on %s: something that is no socket lies there", path);
	else if (ret == -EADDRINUSE)
		log_line("%s is in use: another program serves a device called %s", path,
		         daemon->name);
	else if (ret)
		log_line("cannot listen on %s: %s", path, strerror(-ret));
	return ret;
}

static int open_sockets(struct daemon *daemon)
{
	if (make_dir(daemon->options.uapi_dir) ||
	    open_listener(daemon, &daemon->uapi, daemon->uapi_path, &uapi_ops) ||
	    open_listener(daemon, &daemon->control, daemon->control_path, &server_ops))
		return -1;
	return 0;
}

static void links_changed(void *arg)
{
	struct daemon *daemon = arg;

	daemon->bridges_changed = true;
}

static int open_signals(struct daemon *daemon)
{
	sigset_t set;

	/* Whoever reads our lines may go away first. */
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd >= 0)
		return 0;
	log_line("cannot take signals: %s", strerror(errno));
	return -1;
}

/* A failed step of the start, in one line. */
static int cannot(const char *what, int ret)
{
	log_line("cannot %s: %s", what, strerror(-ret));
	return -1;
}

static int open_host(struct daemon *daemon)
{
	struct state *state = &daemon->state;
	int ret = netlink_open(&state->netlink, links_changed, daemon);

	if (ret)
		return cannot("watch the host's links", ret);
	priv_use_netlink(state->priv, state->netlink);
	ret = resolve_open(&state->resolve);
	return ret ? cannot("start the resolver", ret) : 0;
}

static int open_device(struct daemon *daemon, const struct config *config)
{
	struct state *state = &daemon->state;
	int ret = device_open(&state->device, &environment_system);

	if (ret)
		return cannot("make the device", ret);
	state->started_ns = device_now(state->device);
	state->events = events_open();
	if (!state->events)
		return cannot("keep events", -ENOMEM);
	/* Before the networks: their router MACs follow from it. */
	device_set_identity(state->device, config->has_private_key ? config->private_key : NULL);
	ret = workers_start(&state->workers, config->workers, state->device, daemon->options.io,
	                    daemon->io_refused);
	if (!ret)
		return 0;
	if (daemon->io_refused[0])
		log_line("cannot start the workers: %s", daemon->io_refused);
	else
		cannot("start the workers", ret);
	return -1;
}

static int drop_privileges(struct daemon *daemon)
{
	int ret =
		isolate_drop_privileges(ISOLATE_DAEMON, daemon->user_error ? NULL : &daemon->user);

	if (ret)
		return cannot("give up privileges", ret);
	daemon->memory_error = isolate_lock_memory();
	return 0;
}

/* poll(2) refuses to wait for more descriptors than may be open. False: too few, and said. */
static bool raise_limit(unsigned int workers)
{
	const rlim_t most = FILES_MAX + workers * FILES_WORKER;
	const rlim_t least = FILES_MIN + workers * FILES_WORKER_MIN;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= most)
		return true;
	limit.rlim_cur = limit.rlim_max < most ? limit.rlim_max : most;
	if (limit.rlim_max >= least && setrlimit(RLIMIT_NOFILE, &limit) == 0)
		return true;
	log_line("no more than %llu files may be open here: expected a hard limit of %u or more "
	         "(ulimit -Hn, LimitNOFILE=)",
	         (unsigned long long)limit.rlim_max, (unsigned int)least);
	return false;
}

/* Everything is there: packets go. */
static int begin(struct daemon *daemon)
{
	struct state *state = &daemon->state;
	int ret;

	handover_drop_routes(state->handover, state);
	upkeep_sweep_routes(state);
	upkeep_networks(state);
	handover_put_neighbours(state->handover, state);
	ret = apply_begin(state);
	if (ret)
		return cannot("let the workers begin", ret);
	handover_go_on(state->handover, state);
	handover_close(state->handover);
	state->handover = NULL;
	return 0;
}

/* Behind the lock: no other daemon of that name has its journal. Files cannot be made later. */
static int open_roll(struct daemon *daemon, struct config *config)
{
	daemon->state.roll =
		roll_open(daemon->options.state_dir, daemon->name, roll_is_wanted(config));
	if (daemon->state.roll && roll_put_all(daemon->state.roll, config, true) == 0)
		return 0;
	log_line("out of memory");
	return -1;
}

/* Takes @config over, whatever becomes of it. */
static int start(struct daemon *daemon, struct config *config)
{
	struct state *state = &daemon->state;
	struct config_error error;

	if (!raise_limit(config->workers) || make_dir(daemon->options.run_dir) || take_lock(daemon))
		goto fail;
	if (open_roll(daemon, config))
		goto fail;
	/* First what takes privileges to open, or to give to a group. Who asks by now waits. */
	if (open_sockets(daemon) || open_signals(daemon) || open_host(daemon) ||
	    drop_privileges(daemon) || open_device(daemon, config))
		goto fail;
	state->base = config_copy(config);
	if (!state->base) {
		log_line("out of memory");
		goto fail;
	}
	state->handover = handover_take(state->device, config);
	handover_follow(state->handover, state->device);
	if (apply_config(state, config, NULL, NULL, &error)) {
		log_line("%s", error.text);
		goto fail;
	}
	/* The configuration is the state's from here on. */
	return begin(daemon);
fail:
	config_free(config);
	return -1;
}

/* Nobody seals any more once the workers are gone; only then is told what there is. */
static void hand_over(struct state *state)
{
	int ret;

	for (size_t i = 0; state->config && i < state->config->network_count; i++)
		run_network_widen_queue(state, state->networks[i]);
	workers_stop(&state->workers);
	ret = handover_give(state);
	if (ret)
		log_line("sessions end: they cannot be left to the service manager: %s",
		         strerror(-ret));
	state->leaving = !ret;
}

static void stop(struct daemon *daemon)
{
	struct state *state = &daemon->state;

	listener_close(daemon->control);
	listener_close(daemon->uapi);
	/* What was removed within the last second is noted down. */
	if (state->config)
		invite_tick(state);
	if (daemon->handing_over)
		hand_over(state);
	handover_close(state->handover);
	if (state->device)
		apply_end(state);
	workers_stop(&state->workers);
	if (state->device)
		device_close(state->device);
	events_close(state->events);
	roll_close(state->roll);
	if (state->resolve)
		resolve_close(state->resolve);
	upkeep_end(state);
	if (state->netlink)
		netlink_close(state->netlink);
	if (daemon->signal_fd >= 0)
		close(daemon->signal_fd);
	if (daemon->lock_fd >= 0)
		(void)priv_remove_files(state->priv);
	priv_close(state->priv);
	if (daemon->lock_fd >= 0)
		close(daemon->lock_fd);
}

static void announce_memory(const struct daemon *daemon, struct buffer *line)
{
	struct rlimit limit = { 0, 0 };
	bool keys = daemon->state.device->peer_arena.locked;

	if (!daemon->memory_error && keys)
		return;
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	buffer_printf(line, ", %s not locked in memory (RLIMIT_MEMLOCK is %llu KiB)",
	              keys ? "configuration" : "keys", (unsigned long long)limit.rlim_cur / 1024);
}

static void announce_user(const struct daemon *daemon, struct buffer *line)
{
	const char *name = daemon->options.user ? daemon->options.user : DAEMON_USER;

	if (!daemon->user_error)
		buffer_printf(line, ", user %s", name);
	else
		buffer_printf(line, ", not user %s (%s)", name,
		              daemon->user_error == -ENOENT ? "there is none"
		                                            : strerror(-daemon->user_error));
}

/* "ovltund 0.1.0: peers, UDP 12345, io_uring (…), AEAD libsodium, network ovl0 on bridge ovl0" */
static void announce(const struct daemon *daemon)
{
	const struct state *state = &daemon->state;
	const struct config *config = state->config;
	const struct worker *worker = state->workers.list[0];
	const char *features = worker_io_features(worker);
	struct buffer line;

	buffer_init(&line, 4096);
	buffer_printf(&line, "%s, UDP %u, %s", daemon->name, (unsigned int)state->udp[0].port,
	              worker_io_name(worker));
	if (features[0] || daemon->io_refused[0])
		buffer_printf(&line, " (%s%s%s)", features,
		              features[0] && daemon->io_refused[0] ? "; " : "", daemon->io_refused);
	if (state->workers.count > 1)
		buffer_printf(&line, ", %u workers", state->workers.count);
	if (state->realtime)
		buffer_printf(&line, ", realtime priority");
	else if (state->realtime_error)
		buffer_printf(&line, ", no realtime priority (%s)",
		              strerror(-state->realtime_error));
	buffer_printf(&line, ", AEAD %s", aead_name());
	if (!state->udp[0].gso || !state->udp[0].gro)
		buffer_printf(&line, ", no %s",
		              state->udp[0].gso   ? "UDP_GRO"
		              : state->udp[0].gro ? "UDP_SEGMENT"
		                                  : "UDP_SEGMENT, no UDP_GRO");
	announce_memory(daemon, &line);
	for (size_t i = 0; i < config->network_count; i++) {
		buffer_printf(&line, ", network %s on bridge %s", config->networks[i].name,
		              config->networks[i].bridge);
		if (config->networks[i].bridged)
			buffer_printf(&line, " (VNI %u)", config->networks[i].vni);
	}
	if (!config->network_count)
		buffer_printf(&line, ", no network");
	announce_user(daemon, &line);
	if (daemon->calls_error)
		buffer_printf(&line, ", system calls not restricted (%s)",
		              strerror(-daemon->calls_error));
	/* A long list of networks may not fit; what fits is said. */
	log_plain("ovltund %s: %.*s", OVLTUN_VERSION, (int)line.len, line.len ? line.data : "");
	buffer_fini(&line);
}

/*
 * Who starts us may have closed 0, 1 and 2. Then a socket or TAP would get the
 * number, and every line that is logged.
 */
static bool guard_streams(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		/* The lowest that is free is taken. */
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	}
	return true;
}

/*
 * A long reply's or a configuration's memory goes back to the kernel with its end. Left
 * to itself malloc() takes the first large piece that is freed for a sign to keep such.
 */
static void bound_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 256 * 1024);
}

/*
 * Keys are in this process: no core file, no tracing by others of the same user. And
 * nothing it might be made to execute gives it a privilege it has not.
 */
static void guard_process(void)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
}

/* -1: go on; otherwise the exit status. */
static int find_user(struct daemon *daemon)
{
	const char *user = daemon->options.user;

	daemon->user_error = isolate_find_user(user ? user : DAEMON_USER, &daemon->user);
	if (!user || !daemon->user_error || daemon->user_error == -EOPNOTSUPP)
		return -1;
	if (daemon->user_error == -ENOENT)
		return daemon_options_usage("--user: there is no user \"%s\"", user);
	log_line("cannot become user %s: %s", user, strerror(-daemon->user_error));
	return DAEMON_EXIT_RUNTIME;
}

/* The helper, while there is nothing here that it should not have. */
static int open_helper(struct daemon *daemon)
{
	const struct daemon_options *options = &daemon->options;
	int ret;

	(void)snprintf(daemon->lock_path, sizeof(daemon->lock_path), "%s/%s.lock", options->run_dir,
	               daemon->name);
	(void)snprintf(daemon->control_path, sizeof(daemon->control_path), "%s/%s.ctl",
	               options->run_dir, daemon->name);
	(void)snprintf(daemon->uapi_path, sizeof(daemon->uapi_path), "%s/%s.sock",
	               options->uapi_dir, daemon->name);
	daemon->files = (struct priv_files){ .config = options->path,
		                             .lock = daemon->lock_path,
		                             .control = daemon->control_path,
		                             .uapi = daemon->uapi_path };
	ret = priv_open(&daemon->state.priv, &daemon->files);
	return ret ? cannot("start the helper process", ret) : 0;
}

/* An exit status. */
static int live(struct daemon *daemon)
{
	struct config *config = NULL;
	int ret;

	ret = find_user(daemon);
	if (ret >= 0)
		return ret;
	if (open_helper(daemon))
		return DAEMON_EXIT_RUNTIME;
	ret = load_config(&daemon->options, &config);
	if (ret < 0) {
		ret = DAEMON_EXIT_RUNTIME;
		if (start(daemon, config) == 0) {
			daemon->calls_error = isolate_close_calls(ISOLATE_DAEMON);
			announce(daemon);
			upkeep_tick(&daemon->state);
			daemon->alive_interval_ns = notify_alive_interval_ns();
			notify_ready();
			ret = daemon_loop_run(daemon);
			notify_stopping();
		}
	}
	stop(daemon);
	return ret;
}

static int check(const struct daemon *daemon)
{
	struct config *config = NULL;
	int ret = load_config(&daemon->options, &config);

	if (ret >= 0)
		return ret;
	printf("%s: valid, peers: %zu, networks: %zu\n", daemon->options.path, config->peer_count,
	       config->network_count);
	config_free(config);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .lock_fd = -1, .signal_fd = -1 };
	int ret = daemon_options_parse(argc, argv, &daemon.options);

	if (ret >= 0)
		return ret;
	if (!guard_streams())
		return DAEMON_EXIT_RUNTIME;
	log_open();
	guard_process();
	bound_memory();
	json_memory_init();
	if (secret_init() || aead_init()) {
		log_line("the crypto library does not work here");
		return DAEMON_EXIT_RUNTIME;
	}
	if (!daemon_options_name(daemon.options.path, daemon.name))
		return daemon_options_usage(
			"%s: the file's name, without .conf, names the device: 1 to 15 "
			"letters, digits or _=+.-",
			daemon.options.path);
	daemon.state.name = daemon.name;
	daemon.state.path = daemon.options.path;
	if (realpath(daemon.options.path, daemon.real_path))
		daemon.state.real_path = daemon.real_path;
	daemon.state.bridge_option = daemon.options.bridge;
	ret = daemon.options.check ? check(&daemon) : live(&daemon);
	log_close();
	return ret;
}
