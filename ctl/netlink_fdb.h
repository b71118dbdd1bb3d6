/* SPDX-License-Identifier: MIT */
/*
 * A window on the forwarding databases of the host's bridges: which station is at
 * which port. Events and dumps come over one socket, in the order in which they
 * happened; so what was told last holds. A socket of its own, because a busy bridge
 * changes thousands of entries, and those must not push out what netlink.h waits for.
 *
 * Told are stations alone: not the addresses of the bridge and its ports themselves,
 * nor entries of the ports' own hardware.
 */
#ifndef CTL_NETLINK_FDB_H
#define CTL_NETLINK_FDB_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/wire.h"

struct netlink_fdb;

struct netlink_station {
	uint32_t bridge; /* index */
	uint32_t port;
	uint8_t mac[ETHER_ADDR_SIZE];
	bool gone;
	uint32_t silent_cs; /* how long nothing was heard of it, in 1/100 s */
};

/* All called from netlink_fdb_dispatch(); none may close. */
struct netlink_fdb_ops {
	void (*station)(void *arg, const struct netlink_station *station);
	/* A dump that was asked for is complete; @err: it failed, and may be asked for again. */
	void (*dumped)(void *arg, uint32_t bridge, int err);
	/* Events were lost: what is known of every bridge may be wrong. */
	void (*lost)(void *arg);
};

/* 0 or -errno. The more room its socket has, the fewer events are lost (priv_widen()). */
int netlink_fdb_open(struct netlink_fdb **fdb, const struct netlink_fdb_ops *ops, void *arg);
void netlink_fdb_close(struct netlink_fdb *fdb); /* takes NULL */
int netlink_fdb_fd(const struct netlink_fdb *fdb);

/* Reads a bounded part of what there is; the descriptor stays readable for the rest. */
void netlink_fdb_dispatch(struct netlink_fdb *fdb);

/*
 * Asks for all stations of @bridge: they come as the events do, then dumped(). One dump
 * at a time. 0; -EBUSY: another is under way; -errno.
 */
int netlink_fdb_dump(struct netlink_fdb *fdb, uint32_t bridge);

#endif
