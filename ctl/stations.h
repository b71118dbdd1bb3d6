/* SPDX-License-Identifier: MIT */
/*
 * Which containers are where: follows the FDBs of the bridges of all bridged networks
 * (netlink_fdb.h) and keeps what it learns in the networks' tables (station_table.h).
 * A host of routed networks alone watches nothing.
 */
#ifndef CTL_STATIONS_H
#define CTL_STATIONS_H

#include "ctl/state.h"

/* After bridges, ports or the configuration changed, and once a second. */
void stations_update(struct state *state, uint64_t now_ns);
/* -1: nothing is watched. Readable: call stations_dispatch(). */
int stations_fd(const struct state *state);
void stations_dispatch(struct state *state);
void stations_end(struct state *state);

#endif
