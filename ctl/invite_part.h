/* SPDX-License-Identifier: MIT */
/* Which part of an invitation's range a host gets. */
#ifndef CTL_INVITE_PART_H
#define CTL_INVITE_PART_H

#include <stdbool.h>
#include <stddef.h>
#include "ctl/roll.h"
#include "ctl/state.h"
#include "dataplane/join.h"

/* The network in one of whose Subnets @range lies; INVITE_NOWHERE. */
#define INVITE_NOWHERE SIZE_MAX
size_t invite_find_network(const struct state *state, const struct prefix *range);

/*
 * A part of @invite's range for a host: @wanted, or (NULL) the first that is free. False: @why
 * says who is in the way.
 */
bool invite_find_part(const struct state *state, const struct roll_invite *invite,
                      const struct prefix *wanted, struct prefix *part, char why[JOIN_TEXT_MAX]);

#endif
