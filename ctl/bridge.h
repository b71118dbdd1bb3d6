/* SPDX-License-Identifier: MIT */
/*
 * Keeps a network's TAP what it has to be: a port of the bridge of that name, for
 * as long and as often as there is one, with the right MTU, MAC, flags, FDB entry
 * (routed networks have one) and port attributes; and the host's routes to Subnets that the bridge itself has
 * no address in. Tells what the workers have to know of the bridge.
 *
 * The caller reports changes and the passing of time by bridge_update() and need
 * not know which action follows. Every action compares what should be with what
 * the cache of netlink.h says is, so that it may be repeated, and stale events do
 * no harm. What others keep undoing is put right at a bounded pace: nobody wins a
 * fight by being faster.
 */
#ifndef CTL_BRIDGE_H
#define CTL_BRIDGE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/netlink.h"
#include "ctl/priv.h"
#include "dataplane/neigh.h"
#include "dataplane/route.h"
#include "dataplane/wire.h"

struct bridge;

struct bridge_config {
	const char *name; /* of the bridge */
	uint32_t tap_index;
	/* Begins with fe, locally administered: a bridge without a MAC of its own takes the
	 * lowest of its ports', and so any container's rather than this. */
	uint8_t tap_mac[ETHER_ADDR_SIZE];
	bool bridged; /* frames as they are; the bridge learns what is behind the TAP */
	uint8_t router_mac[ETHER_ADDR_SIZE]; /* of routed networks: docs/architecture.md */
	const struct prefix *subnets; /* as configured; may be none */
	size_t subnet_count;
	bool kept; /* another life of the daemon has done all this, and left it as it is */
};

/* All but @problem is what a view is made of. */
struct bridge_state {
	bool attached; /* the bridge is there and the TAP is its port */
	uint32_t bridge_index; /* 0: there is no such bridge now */
	uint8_t bridge_mac[ETHER_ADDR_SIZE];
	uint32_t mtu; /* the TAP's */
	const struct prefix *prefixes; /* the bridge's networks, sorted; link-local ones left out */
	size_t prefix_count;
	const struct neigh_addr *addresses; /* the bridge's own, sorted; link-local ones too */
	size_t address_count;
	/* One line on what keeps the network from working fully; NULL: nothing does. */
	const char *problem;
};

enum { /* bits of what bridge_update() found changed */
       BRIDGE_VIEW = 1, /* anything but the problem */
       BRIDGE_PROBLEM = 2, /* worth one line in the log */
};

/* Copies @config; acts only from the first bridge_update() on. NULL: out of memory. */
struct bridge *bridge_open(struct priv *priv, struct netlink *netlink,
                           const struct bridge_config *config);
/* Takes the routes away and the TAP out of the bridge. The TAP stays the caller's. */
void bridge_close(struct bridge *bridge);
/* Leaves both as they are, for another life of the daemon. */
void bridge_leave(struct bridge *bridge);

/*
 * To be called whenever netlink tells of a change and once a second besides.
 * @now_ns: CLOCK_BOOTTIME or CLOCK_MONOTONIC. Returns BRIDGE_* bits.
 */
unsigned int bridge_update(struct bridge *bridge, uint64_t now_ns);

/* As of the last bridge_update(); holds until the next. */
const struct bridge_state *bridge_state(const struct bridge *bridge);

/* Of a changed configuration; takes effect with the next bridge_update(). 0 or -ENOMEM. */
int bridge_set_subnets(struct bridge *bridge, const struct prefix *subnets, size_t count);

#endif
