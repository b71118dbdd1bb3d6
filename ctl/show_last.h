/* SPDX-License-Identifier: MIT */
/* What the flight recorder holds, as JSON. A new reference; NULL: out of memory. */
#ifndef CTL_SHOW_LAST_H
#define CTL_SHOW_LAST_H

#include <jansson.h>
#include "ctl/state.h"

json_t *show_last(struct state *state);

#endif
