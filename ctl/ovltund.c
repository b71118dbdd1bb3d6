/* SPDX-License-Identifier: MIT */
/*
 * The daemon: parse, open, isolate, run, stop. This is the control thread; packets are
 * the workers'. It waits in one poll(2) for signals, changes of the host's links,
 * requests on its two sockets, answers of the resolver and a tick a second.
 *
 * Whatever was opened is closed in the opposite order by stop(), at the end of a
 * life as after a start that failed: no TAP, no socket, no route is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "crypto/aead.h"
#include "ctl/apply.h"
#include "ctl/events.h"
#include "ctl/handover.h"
#include "ctl/invite.h"
#include "ctl/isolate.h"
#include "ctl/json_memory.h"
#include "ctl/log.h"
#include "ctl/metrics.h"
#include "ctl/notify.h"
#include "ctl/reload.h"
#include "ctl/roll.h"
#include "ctl/run_network.h"
#include "ctl/server.h"
#include "ctl/stations.h"
#include "ctl/trouble.h"
#include "ctl/uapi.h"
#include "ctl/upkeep.h"

#define EXIT_RUNTIME     1
#define EXIT_USAGE       2

#define RUN_DIR          "/run/ovltun"
#define UAPI_DIR         "/var/run/wireguard"
#define STATE_DIR        "/var/lib/ovltun"
#define USER             "ovltun"
#define RESOLVE_FDS_MAX  16
#define FDS_MAX          (5 + 2 * LISTENER_FDS_MAX + RESOLVE_FDS_MAX + METRICS_FDS_MAX)
#define FILES_MAX        1024 /* clients, a little of everything */
#define FILES_MIN        (FDS_MAX + METRICS_FILES + 24) /* streams, lock, a few networks' TAPs */
#define FILES_WORKER     (4 + RING_PORTS_MAX) /* ring, sockets, a queue of each TAP */
#define FILES_WORKER_MIN 12
#define TICK_NS          STATE_SECOND_NS

struct options {
	const char *path;
	const char *bridge;
	const char *run_dir;
	const char *uapi_dir;
	const char *state_dir;
	const char *user; /* NULL: USER, where there is one */
	enum worker_io io;
	bool check;
};

struct daemon {
	struct options options;
	struct state state;
	char name[IFNAMSIZ];
	char lock_path[PATH_MAX];
	char control_path[PATH_MAX];
	char uapi_path[PATH_MAX];
	char real_path[PATH_MAX]; /* of the configuration: later we may not look */
	struct priv_files files;
	struct isolate_user user;
	int user_error; /* why it stays who it is */
	int memory_error; /* why not all of its memory is locked */
	char io_refused[160]; /* why io_uring is not used */
	int lock_fd;
	int signal_fd;
	int calls_error; /* why all system calls stay open */
	bool bridges_changed;
	bool handing_over; /* it ends for another to go on */
	uint64_t alive_interval_ns; /* 0: nobody waits for signs of life */
	uint64_t alive_ns; /* when the next is due */
	uint64_t lost_events; /* of netlink, as last counted */
	struct trouble overflow;
	struct listener *control;
	struct listener *uapi;
};

/* Options */

static void print_help(void)
{
	fputs("Usage: ovltund -c FILE [OPTION]...\n"
	      "\n"
	      "  -c, --config FILE    the configuration; its base name names the device\n"
	      "      --check          check the configuration and leave\n"
	      "      --bridge NAME    serve this bridge, for a file without [Network]\n"
	      "      --io KIND        auto, uring or poll\n"
	      "      --run-dir DIR    control socket and lock (" RUN_DIR ")\n"
	      "      --uapi-dir DIR   the socket for wg (" UAPI_DIR ")\n"
	      "      --state-dir DIR  who was invited and introduced (" STATE_DIR ")\n"
	      "      --user NAME      who to be once all is open (" USER ")\n"
	      "  -h, --help\n"
	      "  -V, --version\n"
	      "\n"
	      "SIGHUP reads the configuration again, SIGTERM ends the daemon; SIGUSR2 ends it\n"
	      "and leaves its sessions to the next, with systemd.\n",
	      stdout);
}

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line("%s; see ovltund --help", text);
	return EXIT_USAGE;
}

static bool parse_io(const char *text, enum worker_io *io)
{
	static const char *const names[] = {
		[WORKER_IO_AUTO] = "auto", [WORKER_IO_URING] = "uring", [WORKER_IO_POLL] = "poll"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*io = (enum worker_io)i;
			return true;
		}
	}
	return false;
}

/* -1: go on; otherwise the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum {
		OPT_CHECK = 256,
		OPT_BRIDGE,
		OPT_IO,
		OPT_RUN_DIR,
		OPT_UAPI_DIR,
		OPT_STATE_DIR,
		OPT_USER
	};
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "bridge", required_argument, NULL, OPT_BRIDGE },
		{ "io", required_argument, NULL, OPT_IO },
		{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
		{ "uapi-dir", required_argument, NULL, OPT_UAPI_DIR },
		{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
		{ "user", required_argument, NULL, OPT_USER },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	*options = (struct options){ .run_dir = RUN_DIR,
		                     .uapi_dir = UAPI_DIR,
		                     .state_dir = STATE_DIR };
	while ((opt = getopt_long(argc, argv, "c:hV", longs, NULL)) != -1) {
		switch (opt) {
		case 'c':
			options->path = optarg;
			break;
		case OPT_CHECK:
			options->check = true;
			break;
		case OPT_BRIDGE:
			if (!*optarg || strlen(optarg) >= IFNAMSIZ || strchr(optarg, '/'))
				return usage("--bridge: \"%s\" is no name of a device", optarg);
			options->bridge = optarg;
			break;
		case OPT_IO:
			if (!parse_io(optarg, &options->io))
				return usage("--io: expected auto, uring or poll, not \"%s\"",
				             optarg);
			break;
		case OPT_RUN_DIR:
			options->run_dir = optarg;
			break;
		case OPT_UAPI_DIR:
			options->uapi_dir = optarg;
			break;
		case OPT_STATE_DIR:
			options->state_dir = optarg;
			break;
		case OPT_USER:
			options->user = optarg;
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'V':
			puts("ovltund " OVLTUN_VERSION);
			return EXIT_SUCCESS;
		default: /* getopt_long() has said what is wrong */
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return usage("unexpected argument \"%s\"", argv[optind]);
	if (!options->path)
		return usage("-c FILE is missing");
	return -1;
}

/* The device's name is the file's, as with wg-quick. It is a name for wg as well, hence its length. */
static bool derive_name(const char *path, char name[IFNAMSIZ])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_=+.-";
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t len = strlen(base);

	if (len > 5 && strcmp(base + len - 5, ".conf") == 0)
		len -= 5;
	if (!len || len >= IFNAMSIZ || strspn(base, allowed) < len || base[0] == '.')
		return false;
	memcpy(name, base, len);
	name[len] = '\0';
	return true;
}

static int load_config(const struct options *options, struct config **config)
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
	return ret == -ENOMEM ? EXIT_RUNTIME : EXIT_USAGE;
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
	bool wanted = config->introducer;

	for (size_t i = 0; i < config->peer_count; i++)
		wanted |= config->peers[i].introducer;
	daemon->state.roll = roll_open(daemon->options.state_dir, daemon->name, wanted);
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
	if (apply_config(state, config, NULL, &error)) {
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
		log_line("sessions end: the service manager did not take them: %s", strerror(-ret));
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
	const char *name = daemon->options.user ? daemon->options.user : USER;

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

/* The loop */

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
	struct pollfd there[FDS_MAX];
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

/* An exit status. */
static int run(struct daemon *daemon)
{
	struct state *state = &daemon->state;
	struct due due = { 0 };

	for (;;) {
		struct pollfd fds[FDS_MAX];
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
		n += resolve_poll_fds(state->resolve, fds + n, RESOLVE_FDS_MAX, &timeout);
		metrics = n;
		n += metrics_poll_fds(state->metrics, fds + n, &timeout);

		int err = wait_any(fds, n, timeout);

		if (err) {
			log_line("cannot wait for what happens: %s", strerror(-err));
			return EXIT_RUNTIME;
		}
		if (fds[0].revents && !take_signals(daemon))
			return EXIT_SUCCESS;
		if (fds[helper].revents) {
			log_line("ending: the helper process has ended");
			return EXIT_RUNTIME;
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

	daemon->user_error = isolate_find_user(user ? user : USER, &daemon->user);
	if (!user || !daemon->user_error || daemon->user_error == -EOPNOTSUPP)
		return -1;
	if (daemon->user_error == -ENOENT)
		return usage("--user: there is no user \"%s\"", user);
	log_line("cannot become user %s: %s", user, strerror(-daemon->user_error));
	return EXIT_RUNTIME;
}

/* The helper, while there is nothing here that it should not have. */
static int open_helper(struct daemon *daemon)
{
	const struct options *options = &daemon->options;
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
		return EXIT_RUNTIME;
	ret = load_config(&daemon->options, &config);
	if (ret < 0) {
		ret = EXIT_RUNTIME;
		if (start(daemon, config) == 0) {
			daemon->calls_error = isolate_close_calls(ISOLATE_DAEMON);
			announce(daemon);
			upkeep_tick(&daemon->state);
			daemon->alive_interval_ns = notify_alive_interval_ns();
			notify_ready();
			ret = run(daemon);
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
	printf("%s: good, %zu peers, %zu networks\n", daemon->options.path, config->peer_count,
	       config->network_count);
	config_free(config);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct daemon daemon = { .lock_fd = -1, .signal_fd = -1 };
	int ret = parse_options(argc, argv, &daemon.options);

	if (ret >= 0)
		return ret;
	if (!guard_streams())
		return EXIT_RUNTIME;
	log_open();
	guard_process();
	bound_memory();
	json_memory_init();
	if (secret_init() || aead_init()) {
		log_line("the crypto library does not work here");
		return EXIT_RUNTIME;
	}
	if (!derive_name(daemon.options.path, daemon.name))
		return usage("%s: the file's name, without .conf, names the device: 1 to 15 "
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
