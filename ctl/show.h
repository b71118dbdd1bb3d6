/* SPDX-License-Identifier: MIT */
/* The state as JSON, for the replies of server.h. New references; NULL: out of memory. */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>
#include "ctl/state.h"

json_t *show_state(struct state *state);
/* "02:42:ac:11:00:02" */
json_t *show_mac(const uint8_t mac[ETHER_ADDR_SIZE]);
json_t *show_drops(struct state *state);
json_t *show_neighbours(struct state *state);
json_t *show_routes(struct state *state);
/* The FDBs of all bridged networks, or of @only (may be NULL) alone. */
json_t *show_stations(struct state *state, const struct config_network *only);
/* What becomes of packets to @address. */
json_t *show_route(struct state *state, uint8_t family, const uint8_t *address);

#endif
