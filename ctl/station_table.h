/* SPDX-License-Identifier: MIT */
/*
 * The stations of this host in one bridged network, as its bridge knows them: what
 * is at a port of the bridge other than our TAP is a container's. Each is claimed for
 * this host in the network's FDB, and withdrawn at once when its port is gone or the
 * bridge forgot it before its time; so a container that stops is withdrawn within
 * milliseconds. One that is merely silent, so that the bridge lets it go by age, is the
 * FDB's to judge: it asks.
 *
 * The bridge's own MAC and addresses are stations as well.
 */
#ifndef CTL_STATION_TABLE_H
#define CTL_STATION_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/bridge.h"
#include "ctl/netlink_fdb.h"
#include "dataplane/device.h"

#define STATION_TABLE_MAX       65536
#define STATION_TABLE_REFRESH_S 60 /* each is claimed again once in that time */

struct station_table;

/* NULL: out of memory. */
struct station_table *station_table_open(struct network *network, uint32_t tap_index);
/* What it claimed stays; the network is the caller's to end. */
void station_table_close(struct station_table *table); /* takes NULL */

/*
 * The bridge is now that of index @bridge (0: there is none, or our TAP is no port of
 * it), and @state. True: it is another one than before, and has to be dumped.
 */
bool station_table_follow(struct station_table *table, const struct bridge_state *state,
                          uint32_t tap_index, uint64_t now_ns);
/*
 * Stations of ports that are no longer @netlink's knowledge go; ageing is the bridge's now.
 * True: there is a port more, so what the bridge has learned to be behind the TAP may be
 * behind that one by now: it has to be flushed.
 */
bool station_table_check_ports(struct station_table *table, const struct netlink *netlink,
                               uint64_t now_ns);

void station_table_take(struct station_table *table, const struct netlink_station *station,
                        uint64_t now_ns);
/* Between these two everything that the bridge has is taken; what was not, is gone. */
void station_table_begin_dump(struct station_table *table);
void station_table_end_dump(struct station_table *table, uint64_t now_ns);

/* Once a second: a part of the stations is claimed again. */
void station_table_tick(struct station_table *table, uint64_t now_ns);

uint32_t station_table_bridge(const struct station_table *table);
uint32_t station_table_count(const struct station_table *table);
/* Whether anything was claimed or withdrawn since the last call: workers are to be woken. */
bool station_table_has_news(struct station_table *table);

#endif
