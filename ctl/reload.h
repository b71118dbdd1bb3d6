/* SPDX-License-Identifier: MIT */
/*
 * A configuration is put in force in the place of the one that is: reload takes the
 * daemon's own file (SIGHUP, `ovlctl reload`), sync a text that the control socket
 * brought (`ovlctl sync`). What sync changes counts as changed at run time, so the
 * next reload says what of it ends; but for a text of the daemon's own file, which
 * counts as a reload of it.
 */
#ifndef CTL_RELOAD_H
#define CTL_RELOAD_H

#include "ctl/apply.h"
#include "ctl/differences.h"

struct reload_result {
	struct apply_summary summary;
	size_t dropped; /* changes made at run time that ended */
	struct difference_counts counts; /* sync's */
	bool own_file; /* sync's: the text is of the file that the next reload will read */
	unsigned int workers; /* from the next start on; 0: as many as run now */
	bool introducer; /* Introducer = yes holds from the next start on */
};

/*
 * 0 or -errno with @error. @line, which may be NULL, is told each change that was
 * dropped; they are in the log as well.
 */
int reload_config(struct state *state, struct reload_result *result,
                  void (*line)(void *arg, const char *text), void *arg, struct config_error *error);

struct reload_text {
	const char *text; /* with no key file: the daemon opens none that another names */
	size_t len;
	const char *file; /* its name in messages */
	const char *path; /* where it lies, without symbolic links; NULL: nowhere */
	bool dry_run; /* tells the differences, changes nothing */
};

/*
 * 0 or -errno with @error; @ops (NULL: nobody) are told what differs, which need not have
 * come about then.
 */
int reload_sync(struct state *state, const struct reload_text *text, struct reload_result *result,
                const struct difference_ops *ops, void *arg, struct config_error *error);

/* wg-quick's keys in the file: one line each. For struct config_options. */
void reload_warn(void *arg, const struct config_error *warning);

#endif
