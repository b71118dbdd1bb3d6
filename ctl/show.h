/* SPDX-License-Identifier: MIT */
/* The state as JSON, for the replies of server.h. New references; NULL: out of memory. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>
#include "ctl/state.h"

json_t *show_state(struct state *state);
json_t *show_drops(struct state *state);
json_t *show_neighbours(struct state *state);
json_t *show_routes(struct state *state);
/* What becomes of packets to @address. */
json_t *show_route(struct state *state, uint8_t family, const uint8_t *address);

#endif
