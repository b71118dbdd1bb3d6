/* SPDX-License-Identifier: MIT */
/*
 * The daemon's window on links, addresses and routes, and its only user of
 * libmnl. One socket watches (link, address and route groups);
 * requests go through another and wait for the kernel's answer.
 *
 * What it keeps: a cache of the links and of the addresses that lie on them. A
 * lost message (ENOBUFS) refills the cache; the callback cannot tell the
 * difference.
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

struct netlink_link {
	uint32_t index;
	uint32_t master; /* index of the bridge it is a port of; 0: none */
	uint32_t mtu;
	uint32_t flags; /* IFF_UP, … */
	bool is_bridge;
	uint8_t mac[ETHER_ADDR_SIZE];
	char name[IFNAMSIZ];
};

struct netlink_address {
	uint32_t index; /* of the link */
	struct prefix prefix; /* its network: host bits cleared */
	uint8_t family;
	uint8_t addr[16];
};

/* 0 or -errno. @changed is called from netlink_dispatch() after each batch of changes. */
int netlink_open(struct netlink **netlink, void (*changed)(void *arg), void *arg);
void netlink_close(struct netlink *netlink);
int netlink_fd(const struct netlink *netlink); /* readable: call netlink_dispatch() */
void netlink_dispatch(struct netlink *netlink);

/* From the cache; the pointers hold until the next netlink_dispatch() or request. */
const struct netlink_link *netlink_find_link(const struct netlink *netlink, const char *name);
const struct netlink_link *netlink_get_link(const struct netlink *netlink, uint32_t index);
size_t netlink_links(const struct netlink *netlink, const struct netlink_link **links);
size_t netlink_addresses(const struct netlink *netlink, const struct netlink_address **addresses);

/* Changes; each needs CAP_NET_ADMIN and is called by priv.c only. 0 or -errno. */
int netlink_set_master(struct netlink *netlink, uint32_t index, uint32_t bridge); /* 0: leave */
int netlink_set_mtu(struct netlink *netlink, uint32_t index, uint32_t mtu);
int netlink_set_up(struct netlink *netlink, uint32_t index, bool up);
int netlink_set_mac(struct netlink *netlink, uint32_t index, const uint8_t mac[ETHER_ADDR_SIZE]);
/* A static FDB entry of the port's bridge ("bridge fdb replace MAC dev PORT master static"). */
int netlink_set_fdb(struct netlink *netlink, uint32_t port, const uint8_t mac[ETHER_ADDR_SIZE]);
/* "bridge link set dev PORT mcast_router 2 learning off isolated off" : all multicast comes here. */
int netlink_set_port(struct netlink *netlink, uint32_t port);
int netlink_add_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix);
int netlink_remove_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix);

/* MTU of the device through which @remote is reached (RTM_GETROUTE, then the route's or the link's). */
int netlink_path_mtu(struct netlink *netlink, const struct endpoint *remote, uint32_t fwmark,
		     uint32_t *mtu);

#endif
