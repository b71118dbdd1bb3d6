/* SPDX-License-Identifier: MIT */
/* What the parts of the daemon's main share: ovltund.c, daemon_options.c, daemon_loop.c. */
#ifndef CTL_DAEMON_H
#define CTL_DAEMON_H

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include "ctl/isolate.h"
#include "ctl/listener.h"
#include "ctl/metrics.h"
#include "ctl/priv.h"
#include "ctl/state.h"
#include "ctl/trouble.h"

#define DAEMON_EXIT_RUNTIME 1
#define DAEMON_EXIT_USAGE   2

#define DAEMON_USER         "ovltun"
#define DAEMON_RESOLVE_FDS  16
/* All that the loop waits for at most. */
#define DAEMON_FDS (5 + 2 * LISTENER_FDS_MAX + DAEMON_RESOLVE_FDS + METRICS_FDS_MAX)

struct daemon_options {
	const char *path;
	const char *bridge;
	const char *run_dir;
	const char *uapi_dir;
	const char *state_dir;
	const char *user; /* NULL: DAEMON_USER, where there is one */
	enum worker_io io;
	bool check;
};

struct daemon {
	struct daemon_options options;
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

/* -1: go on; otherwise the exit status. */
int daemon_options_parse(int argc, char **argv, struct daemon_options *options);
/* The exit status of what was called wrongly, which it says. */
int daemon_options_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The device's name is the file's, as with wg-quick. False: it makes none. */
bool daemon_options_name(const char *path, char name[IFNAMSIZ]);

/* Until a signal or an end says so: an exit status. */
int daemon_loop_run(struct daemon *daemon);

#endif
