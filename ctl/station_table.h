/* SPDX-License-Identifier: MIT */
/*
 * The stations of this host in one bridged network, as its bridge knows them: what
 * is at a port of the bridge other than our TAP is a container's. Each is claimed for
 * this host in the network's FDB, and withdrawn at once when its port is gone or the
 * bridge forgot it before its time; so a container that stops is withdrawn within
 * milliseconds. One that is merely silent, so that the bridge lets it go by age, is the
 * FDB's to judge: it asks.
 *
 * The bridge also says behind which port each is, and how long it was silent; so the FDB
 * can share out what this host may have among the ports, and knows of a container that
 * answers no questions that it is there. What the FDB has no room for, as its port has
 * enough, is not kept here: so this table is no larger than that one, whatever a container
 * sends. It is offered again with the next dump.
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
#define STATION_TABLE_REFRESH_S 5 /* all that the bridge has is asked for once in that time */

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
/*
 * Between these two everything that the bridge has is taken. @whole: what was not, is
 * gone. A dump during which the bridge forgets something may leave something else out, so
 * that is only for when there is no better way.
 */
void station_table_begin_dump(struct station_table *table, bool whole);
void station_table_end_dump(struct station_table *table, uint64_t now_ns);

/* Once a second: what neither the bridge nor the FDB has any more is forgotten, part by part. */
void station_table_tick(struct station_table *table, uint64_t now_ns);

uint32_t station_table_bridge(const struct station_table *table);
uint32_t station_table_count(const struct station_table *table);
/* Whether anything was claimed or withdrawn since the last call: workers are to be woken. */
bool station_table_has_news(struct station_table *table);

#endif
