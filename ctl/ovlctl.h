/* SPDX-License-Identifier: MIT */
/*
 * ovlctl's subcommands: one row each in ovlctl.c's table, one file a group of
 * them (cmd_*.c). A command prints, and returns the exit status; it never exits.
 */
#ifndef CTL_OVLCTL_H
#define CTL_OVLCTL_H

#include <stdbool.h>

enum ovlctl_status {
	OVLCTL_OK = 0,
	OVLCTL_FAILED = 1, /* it could not be done now */
	OVLCTL_USAGE = 2, /* the arguments or a file are wrong */
	OVLCTL_DIFFERS = 3, /* sync --dry-run: there are differences */
};

struct command {
	const char *name;
	const char *arguments; /* after the name, as in "FILE [--bridge NAME]" */
	const char *summary; /* half a line, for the list */
	const char *details; /* for `ovlctl help NAME`; may be NULL */
	/* argv[0] is the command's name. Returns an exit status. */
	int (*run)(int argc, char **argv);
};

/* Says in a line what is wrong with what was typed, or how command @name is used. OVLCTL_USAGE. */
int ovlctl_usage(const char *name);

/* cmd_key.c: as wg's, so they return OVLCTL_FAILED for any misuse */
int cmd_genkey(int argc, char **argv);
int cmd_genpsk(int argc, char **argv);
int cmd_pubkey(int argc, char **argv);
/* cmd_capture.c */
int cmd_capture(int argc, char **argv);
/* cmd_check.c */
int cmd_check(int argc, char **argv);
/* cmd_doctor.c */
int cmd_doctor(int argc, char **argv);
/* cmd_events.c, cmd_fdb.c, cmd_invite.c, cmd_join.c, cmd_peer.c, cmd_plan.c, cmd_reload.c, */
/* cmd_route.c, cmd_show.c, cmd_sync.c, cmd_top.c */
int cmd_events(int argc, char **argv);
int cmd_fdb(int argc, char **argv);
int cmd_invite(int argc, char **argv);
int cmd_join(int argc, char **argv);
int cmd_peer(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_reload(int argc, char **argv);
int cmd_route(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_sync(int argc, char **argv);
int cmd_top(int argc, char **argv);
/* cmd_trace.c */
int cmd_trace(int argc, char **argv);
/* cmd_show_last.c */
int cmd_show_last(bool json);

#endif
