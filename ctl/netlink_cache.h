/* SPDX-License-Identifier: MIT */
/*
 * What netlink.c knows of links and addresses: messages of the kernel in, two
 * arrays out. No sockets.
 */
#ifndef CTL_NETLINK_CACHE_H
#define CTL_NETLINK_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/netlink.h"

struct nlattr;
struct nlmsghdr;

struct netlink_cache {
	struct netlink_link *links;
	size_t link_count, link_room;
	struct netlink_address *addresses;
	size_t address_count, address_room;
	uint64_t fdb_events; /* messages about FDB entries; grows only */
	bool changed; /* set, never cleared, when a message told news */
};

/* What netlink_set_port() sets, and what makes a port "as it left one". One byte each. */
struct netlink_port_attribute {
	uint16_t type; /* IFLA_BRPORT_* */
	uint8_t value[NETLINK_PORT_KINDS];
};
#define NETLINK_PORT_ATTRIBUTES 8
#define NETLINK_PORT_ANY        0xff /* as value: not set, whatever it is */
extern const struct netlink_port_attribute netlink_port_attributes[NETLINK_PORT_ATTRIBUTES];

/* An event or a dump's message; of types not known nothing is taken. 0 or -ENOMEM. */
int netlink_cache_take(struct netlink_cache *cache, const struct nlmsghdr *nlh);
struct netlink_link *netlink_cache_find(const struct netlink_cache *cache, uint32_t index);
void netlink_cache_clear(struct netlink_cache *cache);

/* @table has @max + 1 entries; of attributes that are not there stays NULL. */
void netlink_collect(const struct nlmsghdr *nlh, size_t header, const struct nlattr **table,
                     uint16_t max);
void netlink_collect_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max);
bool netlink_attr_holds(const struct nlattr *attr, size_t size); /* false of NULL too */
uint32_t netlink_attr_u32(const struct nlattr *attr); /* 0 of NULL and of what is too short */

#endif
