/* SPDX-License-Identifier: MIT */
/* The configuration file is read again and put in force, at SIGHUP or at `ovlctl reload`. */
#ifndef CTL_RELOAD_H
#define CTL_RELOAD_H

#include "ctl/apply.h"

struct reload_result {
	struct apply_summary summary;
	size_t dropped; /* changes made at run time that ended */
	unsigned int workers; /* from the next start on; 0: as many as run now */
};

/*
 * 0 or -errno with @error. @line, which may be NULL, is told each change that was
 * dropped; they are in the log as well.
 */
int reload_config(struct state *state, struct reload_result *result,
                  void (*line)(void *arg, const char *text), void *arg, struct config_error *error);

/* wg-quick's keys in the file: one line each. For struct config_options. */
void reload_warn(void *arg, const struct config_error *warning);

#endif
