/* SPDX-License-Identifier: MIT */
/*
 * What was changed at run time (by wg, ovlctl or its sync) and is dropped by a reload: one
 * line for each thing that the configuration in force has otherwise than it was
 * loaded, and the new file does not have either.
 */
#ifndef CTL_CHANGES_H
#define CTL_CHANGES_H

#include <stddef.h>
#include "ctl/config.h"

#define CHANGES_LINES_MAX 100

/*
 * Calls @line for each, at most CHANGES_LINES_MAX times; returns how many there
 * are. @base: as loaded last; @active: in force; @next: to come.
 */
size_t changes_list(const struct config *base, const struct config *active,
                    const struct config *next, void (*line)(void *arg, const char *text),
                    void *arg);

#endif
