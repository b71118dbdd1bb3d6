/* SPDX-License-Identifier: MIT */
/*
 * Each message says all there is to say of its object, so that one seen twice, in
 * a dump and as an event, changes nothing.
 *
 * A bridge reports its ports' attributes in messages of family AF_BRIDGE. There
 * RTM_DELLINK means "is a port no more", not "is gone".
 */
#include "ctl/netlink_cache.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

const struct netlink_port_attribute netlink_port_attributes[NETLINK_PORT_ATTRIBUTES] = {
	{ IFLA_BRPORT_MULTICAST_ROUTER, { 2, 2 } },
	{ IFLA_BRPORT_LEARNING, { 0, 1 } },
	{ IFLA_BRPORT_UNICAST_FLOOD, { NETLINK_PORT_ANY, 1 } },
	{ IFLA_BRPORT_MODE, { 0, 0 } },
	{ IFLA_BRPORT_ISOLATED, { 0, 0 } },
	{ IFLA_BRPORT_NEIGH_SUPPRESS, { 0, 0 } },
	{ IFLA_BRPORT_BCAST_FLOOD, { 1, 1 } },
	{ IFLA_BRPORT_MCAST_FLOOD, { 1, 1 } },
};

/* ---- the arrays ---- */

void netlink_cache_clear(struct netlink_cache *cache)
{
	free(cache->links);
	free(cache->addresses);
	memset(cache, 0, sizeof(*cache));
}

/* Room for one more element of @size. NULL: out of memory, and nothing changed. */
static void *grow(void *array, size_t count, size_t *room, size_t size)
{
	size_t wanted = *room ? *room * 2 : 16;
	void *bigger;

	if (count < *room)
		return array;
	bigger = reallocarray(array, wanted, size);
	if (bigger)
		*room = wanted;
	return bigger;
}

struct netlink_link *netlink_cache_find(const struct netlink_cache *cache, uint32_t index)
{
	for (size_t i = 0; i < cache->link_count; i++)
		if (cache->links[i].index == index)
			return &cache->links[i];
	return NULL;
}

static int cache_put_link(struct netlink_cache *cache, const struct netlink_link *link)
{
	struct netlink_link *old = netlink_cache_find(cache, link->index);

	if (old) {
		cache->changed |= memcmp(old, link, sizeof(*link)) != 0;
		*old = *link;
		return 0;
	}
	old = grow(cache->links, cache->link_count, &cache->link_room, sizeof(*link));
	if (!old)
		return -ENOMEM;
	cache->links = old;
	cache->links[cache->link_count++] = *link;
	cache->changed = true;
	return 0;
}

static void cache_drop_link(struct netlink_cache *cache, uint32_t index)
{
	struct netlink_link *link = netlink_cache_find(cache, index);
	size_t kept = 0;

	if (!link)
		return;
	*link = cache->links[--cache->link_count];
	for (size_t i = 0; i < cache->address_count; i++)
		if (cache->addresses[i].index != index)
			cache->addresses[kept++] = cache->addresses[i];
	cache->address_count = kept;
	cache->changed = true;
}

static bool same_address(const struct netlink_address *a, const struct netlink_address *b)
{
	return a->index == b->index && a->family == b->family &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0 && a->prefix.len == b->prefix.len &&
	       memcmp(a->prefix.addr, b->prefix.addr, sizeof(a->prefix.addr)) == 0;
}

static int cache_put_address(struct netlink_cache *cache, const struct netlink_address *address)
{
	struct netlink_address *array;

	for (size_t i = 0; i < cache->address_count; i++)
		if (same_address(&cache->addresses[i], address))
			return 0;
	array = grow(cache->addresses, cache->address_count, &cache->address_room,
	             sizeof(*address));
	if (!array)
		return -ENOMEM;
	cache->addresses = array;
	cache->addresses[cache->address_count++] = *address;
	cache->changed = true;
	return 0;
}

static void cache_drop_address(struct netlink_cache *cache, const struct netlink_address *address)
{
	for (size_t i = 0; i < cache->address_count; i++) {
		if (!same_address(&cache->addresses[i], address))
			continue;
		cache->addresses[i] = cache->addresses[--cache->address_count];
		cache->changed = true;
		return;
	}
}

/* ---- messages read ---- */

struct attributes {
	const struct nlattr **table;
	uint16_t max;
};

static int collect_one(const struct nlattr *attr, void *data)
{
	const struct attributes *out = data;
	uint16_t type = mnl_attr_get_type(attr);

	if (type <= out->max)
		out->table[type] = attr;
	return MNL_CB_OK;
}

void netlink_collect(const struct nlmsghdr *nlh, size_t header, const struct nlattr **table,
                     uint16_t max)
{
	struct attributes out = { table, max };

	memset(table, 0, (max + 1U) * sizeof(*table));
	mnl_attr_parse(nlh, (unsigned int)header, collect_one, &out);
}

void netlink_collect_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max)
{
	struct attributes out = { table, max };

	memset(table, 0, (max + 1U) * sizeof(*table));
	mnl_attr_parse_nested(nest, collect_one, &out);
}

bool netlink_attr_holds(const struct nlattr *attr, size_t size)
{
	return attr && mnl_attr_get_payload_len(attr) >= size;
}

uint32_t netlink_attr_u32(const struct nlattr *attr)
{
	return netlink_attr_holds(attr, sizeof(uint32_t)) ? mnl_attr_get_u32(attr) : 0;
}

static bool attr_text_is(const struct nlattr *attr, const char *text)
{
	return netlink_attr_holds(attr, strlen(text) + 1) &&
	       strcmp(mnl_attr_get_str(attr), text) == 0;
}

/* An attribute that this kernel does not have is as wished. */
static bool is_as_wished(const struct nlattr *attr, uint8_t value)
{
	return value == NETLINK_PORT_ANY || !netlink_attr_holds(attr, 1) ||
	       mnl_attr_get_u8(attr) == value;
}

/* Bits of 1 << kind: as which kinds of port it is set. */
static uint8_t port_is_set(const struct nlattr *nest)
{
	const struct nlattr *table[IFLA_BRPORT_MAX + 1];
	uint8_t set = 0;

	netlink_collect_nested(nest, table, IFLA_BRPORT_MAX);
	for (unsigned int kind = 0; kind < NETLINK_PORT_KINDS; kind++) {
		bool all = true;

		for (size_t i = 0; i < NETLINK_PORT_ATTRIBUTES && all; i++)
			all = is_as_wished(table[netlink_port_attributes[i].type],
			                   netlink_port_attributes[i].value[kind]);
		set |= (uint8_t)(all << kind);
	}
	return set;
}

static uint32_t bridge_ageing(const struct nlattr *data)
{
	const struct nlattr *table[IFLA_BR_MAX + 1];

	netlink_collect_nested(data, table, IFLA_BR_MAX);
	return netlink_attr_u32(table[IFLA_BR_AGEING_TIME]);
}

static int take_link(struct netlink_cache *cache, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *table[IFLA_MAX + 1];
	const struct nlattr *kind[IFLA_INFO_MAX + 1];
	struct netlink_link link;

	netlink_collect(nlh, sizeof(*info), table, IFLA_MAX);
	/* Without an MTU it is not a description of a link but a wireless event. */
	if (!netlink_attr_holds(table[IFLA_IFNAME], 1) ||
	    !netlink_attr_holds(table[IFLA_MTU], sizeof(uint32_t)))
		return 0;
	memset(&link, 0, sizeof(link));
	link.index = (uint32_t)info->ifi_index;
	link.flags = info->ifi_flags;
	link.mtu = netlink_attr_u32(table[IFLA_MTU]);
	link.master = netlink_attr_u32(table[IFLA_MASTER]);
	strncpy(link.name, mnl_attr_get_str(table[IFLA_IFNAME]), sizeof(link.name) - 1);
	if (netlink_attr_holds(table[IFLA_ADDRESS], ETHER_ADDR_SIZE))
		memcpy(link.mac, mnl_attr_get_payload(table[IFLA_ADDRESS]), ETHER_ADDR_SIZE);
	if (table[IFLA_LINKINFO]) {
		netlink_collect_nested(table[IFLA_LINKINFO], kind, IFLA_INFO_MAX);
		link.is_bridge = attr_text_is(kind[IFLA_INFO_KIND], "bridge");
		if (link.is_bridge && kind[IFLA_INFO_DATA])
			link.ageing_cs = bridge_ageing(kind[IFLA_INFO_DATA]);
		if (attr_text_is(kind[IFLA_INFO_SLAVE_KIND], "bridge") &&
		    kind[IFLA_INFO_SLAVE_DATA])
			link.port_set = port_is_set(kind[IFLA_INFO_SLAVE_DATA]);
	}
	return cache_put_link(cache, &link);
}

/* Family AF_BRIDGE: of a port's attributes alone. */
static void take_port(struct netlink_cache *cache, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct netlink_link *link = netlink_cache_find(cache, (uint32_t)info->ifi_index);
	const struct nlattr *table[IFLA_MAX + 1];
	uint8_t set;

	netlink_collect(nlh, sizeof(*info), table, IFLA_MAX);
	if (!link || link->master == 0 || !table[IFLA_PROTINFO])
		return;
	set = port_is_set(table[IFLA_PROTINFO]);
	cache->changed |= set != link->port_set;
	link->port_set = set;
}

static void clear_host_bits(struct prefix *prefix)
{
	for (unsigned int i = 0; i < sizeof(prefix->addr); i++) {
		unsigned int kept = prefix->len > i * 8 ? prefix->len - i * 8 : 0;

		if (kept < 8)
			prefix->addr[i] &= (uint8_t)(0xff00U >> kept);
	}
}

static int take_address(struct netlink_cache *cache, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(nlh);
	size_t size = info->ifa_family == AF_INET ? 4 : 16;
	const struct nlattr *table[IFA_MAX + 1];
	const struct nlattr *local;
	struct netlink_address address;

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return 0;
	netlink_collect(nlh, sizeof(*info), table, IFA_MAX);
	/* IFA_ADDRESS is the far end's where there is one, IFA_LOCAL always ours. */
	local = table[IFA_LOCAL] ? table[IFA_LOCAL] : table[IFA_ADDRESS];
	if (!netlink_attr_holds(local, size) || info->ifa_prefixlen > size * 8)
		return 0;
	memset(&address, 0, sizeof(address));
	address.index = info->ifa_index;
	address.family = info->ifa_family == AF_INET ? 4 : 6;
	memcpy(address.addr, mnl_attr_get_payload(local), size);
	address.prefix.family = address.family;
	address.prefix.len = info->ifa_prefixlen;
	if (netlink_attr_holds(table[IFA_ADDRESS], size))
		local = table[IFA_ADDRESS];
	memcpy(address.prefix.addr, mnl_attr_get_payload(local), size);
	clear_host_bits(&address.prefix);
	if (nlh->nlmsg_type == RTM_NEWADDR)
		return cache_put_address(cache, &address);
	cache_drop_address(cache, &address);
	return 0;
}

static void take_route(struct netlink_cache *cache, const struct nlmsghdr *nlh)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(nlh);

	if (route->rtm_type != RTN_LOCAL && route->rtm_type != RTN_BROADCAST &&
	    route->rtm_type != RTN_ANYCAST && route->rtm_type != RTN_MULTICAST)
		cache->changed = true;
}

int netlink_cache_take(struct netlink_cache *cache, const struct nlmsghdr *nlh)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh);
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (len < sizeof(*info))
			return 0;
		if (info->ifi_family == AF_BRIDGE && nlh->nlmsg_type == RTM_NEWLINK)
			take_port(cache, nlh);
		if (info->ifi_family != AF_UNSPEC)
			return 0;
		if (nlh->nlmsg_type == RTM_NEWLINK)
			return take_link(cache, nlh);
		cache_drop_link(cache, (uint32_t)info->ifi_index);
		return 0;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return len < sizeof(struct ifaddrmsg) ? 0 : take_address(cache, nlh);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (len >= sizeof(struct rtmsg))
			take_route(cache, nlh);
		return 0;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		cache->fdb_events++;
		cache->changed = true;
		return 0;
	default:
		return 0;
	}
}
