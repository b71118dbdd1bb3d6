/* SPDX-License-Identifier: MIT */
/*
 * The state as JSON, for the replies of server.h. New references; NULL: out of memory.
 *
 * What tells of each peer or route is put into the reply piece by piece: 10,000 peers
 * are 6 MB as text, and ten times that as jansson's objects. False: it does not fit.
 */
#ifndef CTL_SHOW_H
#define CTL_SHOW_H

#include <jansson.h>
#include "ctl/buffer.h"
#include "ctl/state.h"

bool show_put_state(struct state *state, struct buffer *out);
/* Each peer's counters alone: a tenth of the state, for who asks every second. */
bool show_put_traffic(struct state *state, struct buffer *out);
bool show_put_routes(struct state *state, struct buffer *out);
/* One of the peers, as show_put_state() has it. */
json_t *show_peer(const struct state *state, size_t i);
/* "02:42:ac:11:00:02" */
json_t *show_mac(const uint8_t mac[ETHER_ADDR_SIZE]);
json_t *show_drops(struct state *state);
json_t *show_neighbours(struct state *state);
/* The FDBs of all bridged networks, or of @only (may be NULL) alone. */
json_t *show_stations(struct state *state, const struct config_network *only);
/* What becomes of packets to @address. */
json_t *show_route(struct state *state, uint8_t family, const uint8_t *address);

#endif
