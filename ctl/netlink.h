/* SPDX-License-Identifier: MIT */
/*
 * The daemon's window on links, addresses and routes, and its only user of
 * libmnl. One socket watches (groups of links, addresses, routes and FDBs);
 * requests go through another and wait for the kernel's answer.
 *
 * What it keeps: a cache of the links and of the addresses that lie on them. A
 * lost message (ENOBUFS) refills the cache; the callback cannot tell the
 * difference. Of routes it keeps nothing: that one changed is told (the path MTU
 * may have), routes of the kernel's own making (local, broadcast) excepted.
 */
#ifndef CTL_NETLINK_H
#define CTL_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "dataplane/endpoint.h"
#include "dataplane/route.h"
#include "dataplane/wire.h"

struct netlink;

/* A TAP in the bridge: of a routed network or of a bridged one. */
enum netlink_port { NETLINK_PORT_ROUTED, NETLINK_PORT_BRIDGED, NETLINK_PORT_KINDS };

struct netlink_link {
	uint32_t index;
	uint32_t master; /* index of the bridge it is a port of; 0: none */
	uint32_t mtu;
	uint32_t flags; /* IFF_UP, … */
	bool is_bridge;
	uint32_t ageing_cs; /* a bridge's: so long its FDB keeps who is silent, in 1/100 s */
	uint8_t port_set; /* a bridge's port, and as netlink_set_port() leaves one: 1 << kind */
	uint8_t mac[ETHER_ADDR_SIZE];
	char name[IFNAMSIZ];
};

struct netlink_address {
	uint32_t index; /* of the link */
	struct prefix prefix; /* its network (the far end's, when point to point) */
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16]; /* 4 or 16 used, the rest zero */
};

/*
 * 0 or -errno; the cache is full then. @changed is called from netlink_dispatch(),
 * once for all it found; a router's daemon can cause that a thousand times a
 * second, so what costs much (a path MTU a peer) the caller does at a pace of its
 * own. It may make requests, but not close.
 */
int netlink_open(struct netlink **netlink, void (*changed)(void *arg), void *arg);
/* One that makes requests alone: the cache holds what netlink_refresh() asked for. */
int netlink_open_asking(struct netlink **netlink);
void netlink_close(struct netlink *netlink);
int netlink_fd(const struct netlink *netlink); /* readable: call netlink_dispatch() */
void netlink_dispatch(struct netlink *netlink);
/* Once a second or so: what was lost and could not be asked for again is. May call @changed. */
void netlink_tick(struct netlink *netlink);
/* How often the kernel had no room for an event: the cache was, or will be, filled anew. */
uint64_t netlink_lost(const struct netlink *netlink);

/*
 * Watches the FDB entries of a MAC, on whichever bridge and port they are. Each
 * event about one, and the loss of any events, raises the count that
 * netlink_fdb_events() returns, and is told by the callback. A MAC watched twice is to
 * be unwatched twice. 0 or -errno.
 */
int netlink_watch_mac(struct netlink *netlink, const uint8_t mac[ETHER_ADDR_SIZE]);
void netlink_unwatch_mac(struct netlink *netlink, const uint8_t mac[ETHER_ADDR_SIZE]);
uint64_t netlink_fdb_events(const struct netlink *netlink);

/* Asks for one link of which no event has come yet, one just made say. 0 or -errno. */
int netlink_refresh(struct netlink *netlink, uint32_t index);

/* Frames towards the link that the kernel dropped: a TAP's reader did not keep up. 0 or -errno. */
int netlink_link_drops(struct netlink *netlink, uint32_t index, uint64_t *dropped);

/* The link of that name now, of which no event need have come. 0 or -errno. */
int netlink_index(const struct netlink *netlink, const char *name, uint32_t *index);

/* From the cache; the pointers hold until the next netlink_dispatch() or request. */
const struct netlink_link *netlink_find_link(const struct netlink *netlink, const char *name);
const struct netlink_link *netlink_get_link(const struct netlink *netlink, uint32_t index);
size_t netlink_links(const struct netlink *netlink, const struct netlink_link **links);
size_t netlink_addresses(const struct netlink *netlink, const struct netlink_address **addresses);

/*
 * Changes; each needs CAP_NET_ADMIN and is called by verbs.c only. 0 or -errno
 * (-ENODEV: no such link). What was done stands in the cache at once.
 */
int netlink_set_queue(struct netlink *netlink, uint32_t index, uint32_t length); /* frames */
int netlink_set_master(struct netlink *netlink, uint32_t index, uint32_t bridge); /* 0: leave */
int netlink_set_mtu(struct netlink *netlink, uint32_t index, uint32_t mtu);
int netlink_set_up(struct netlink *netlink, uint32_t index, bool up);
int netlink_set_mac(struct netlink *netlink, uint32_t index, const uint8_t mac[ETHER_ADDR_SIZE]);
/* No IPv6 address of the link's own (link-local), and so no router solicitations from it. */
int netlink_set_addressless(struct netlink *netlink, uint32_t index);
/*
 * A static FDB entry of the port's bridge ("bridge fdb replace MAC dev PORT master
 * static sticky"). Sticky: a static entry alone moves to whichever port sends with
 * that source, a container's raw socket too.
 */
int netlink_set_fdb(struct netlink *netlink, uint32_t port, const uint8_t mac[ETHER_ADDR_SIZE]);
/*
 * "bridge link set dev PORT mcast_router 2 learning off hairpin off isolated off
 * neigh_suppress off bcast_flood on mcast_flood on": all multicast comes here. In a
 * bridged network "learning on flood on" as well: remote stations are behind this
 * port. What a kernel refuses does not keep the rest from being set; the first error
 * is told.
 */
int netlink_set_port(struct netlink *netlink, uint32_t port, enum netlink_port kind);
/* The port's bridge forgets what it has learned to be behind it. */
int netlink_flush_port(struct netlink *netlink, uint32_t port);
/*
 * A link-scope route of the main table, marked as ours by its protocol. -EEXIST:
 * there is one already, ours or another's. Removing touches ours only (-ESRCH: none).
 */
int netlink_add_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix);
int netlink_remove_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix);

/* One that is marked as ours. */
struct netlink_route {
	uint32_t index; /* of the link */
	struct prefix prefix;
};
/*
 * All of those, of whichever daemon of this host. 0 or -errno; @routes is the caller's to
 * free then.
 */
int netlink_own_routes(struct netlink *netlink, struct netlink_route **routes, size_t *count);

/*
 * The MTU towards @remote: the route's own where an administrator set one, or else
 * that of the device. Never what an ICMP error claimed: anybody can send one.
 */
int netlink_path_mtu(struct netlink *netlink, const struct endpoint *remote, uint32_t fwmark,
                     uint32_t *mtu);

#endif
