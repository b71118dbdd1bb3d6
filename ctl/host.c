/* SPDX-License-Identifier: MIT */
#include "ctl/host.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/route.h"

#define ASKED_TABLES 3

struct host {
	struct nl_sock *sock;
	struct nl_cache *links;
	struct nl_cache *routes; /* both families; this and what follows: when first asked for */
	struct nl_cache *addresses;
	/* Of @routes: who asks for one asks for ten thousand peers'. NULL: not made yet. */
	struct route_table *index[ASKED_TABLES];
};

struct host *host_open(void)
{
	struct host *host = calloc(1, sizeof(*host));

	if (!host)
		return NULL;
	host->sock = nl_socket_alloc();
	if (!host->sock || nl_connect(host->sock, NETLINK_ROUTE) < 0)
		return host;
	if (rtnl_link_alloc_cache(host->sock, AF_UNSPEC, &host->links) < 0)
		host->links = NULL;
	return host;
}

/* A router's routes are many, and most commands ask for none. NULL: not to be had. */
static struct nl_cache *routes_of(struct host *host)
{
	if (host && !host->routes &&
	    rtnl_route_alloc_cache(host->sock, AF_UNSPEC, 0, &host->routes) < 0)
		host->routes = NULL;
	return host ? host->routes : NULL;
}

static struct nl_cache *addresses_of(struct host *host)
{
	if (host && !host->addresses && rtnl_addr_alloc_cache(host->sock, &host->addresses) < 0)
		host->addresses = NULL;
	return host ? host->addresses : NULL;
}

void host_close(struct host *host)
{
	if (!host)
		return;
	for (size_t i = 0; i < ASKED_TABLES; i++)
		route_table_free(host->index[i]);
	if (host->links)
		nl_cache_free(host->links);
	if (host->routes)
		nl_cache_free(host->routes);
	if (host->addresses)
		nl_cache_free(host->addresses);
	nl_socket_free(host->sock);
	free(host);
}

static void describe_link(const struct host *host, struct rtnl_link *link, struct host_link *out)
{
	int master = rtnl_link_get_master(link);
	const char *kind = rtnl_link_get_type(link);

	memset(out, 0, sizeof(*out));
	out->up = (rtnl_link_get_flags(link) & IFF_UP) != 0;
	out->mtu = rtnl_link_get_mtu(link);
	out->is_bridge = kind && strcmp(kind, "bridge") == 0;
	(void)snprintf(out->name, sizeof(out->name), "%s", rtnl_link_get_name(link));
	if (master > 0)
		(void)rtnl_link_i2name(host->links, master, out->master, sizeof(out->master));
}

bool host_find_link(struct host *host, const char *name, struct host_link *out)
{
	if (!host || !host->links)
		return false;
	struct rtnl_link *link = rtnl_link_get_by_name(host->links, name);

	if (!link)
		return false;
	describe_link(host, link, out);
	rtnl_link_put(link);
	return true;
}

/* The kernel's rules ask them in this order; the longest prefix wins in each. */
static const uint32_t asked_tables[] = { RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT };

_Static_assert(sizeof(asked_tables) / sizeof(asked_tables[0]) == ASKED_TABLES, "one index each");

struct candidate {
	struct route route;
	uint32_t metric;
	size_t place; /* in the cache */
};

/* Of equal prefixes an index keeps the last: that of the least metric, and of these the first. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->metric != y->metric)
		return x->metric > y->metric ? -1 : 1;
	return (x->place < y->place) - (x->place > y->place);
}

/* False: not of @table, or of a family that is not looked for. */
static bool read_route(struct rtnl_route *route, uint32_t table, struct candidate *out)
{
	struct nl_addr *to = rtnl_route_get_dst(route);
	int family = to ? nl_addr_get_family(to) : AF_UNSPEC;
	struct prefix *prefix = &out->route.prefix;

	if (rtnl_route_get_table(route) != table || (family != AF_INET && family != AF_INET6))
		return false;
	memset(out, 0, sizeof(*out));
	prefix->family = family == AF_INET ? 4 : 6;
	prefix->len = (uint8_t)nl_addr_get_prefixlen(to);
	/* The default route's has none. */
	if (prefix->len && nl_addr_get_len(to) <= sizeof(prefix->addr))
		memcpy(prefix->addr, nl_addr_get_binary_addr(to), nl_addr_get_len(to));
	out->route.target = route;
	out->metric = rtnl_route_get_priority(route);
	return true;
}

/* NULL: out of memory. */
static struct route_table *make_index(struct nl_cache *routes, uint32_t table)
{
	size_t room = (size_t)nl_cache_nitems(routes) + 1, count = 0;
	struct candidate *list = calloc(room, sizeof(*list));
	struct route *sorted = calloc(room, sizeof(*sorted));
	struct route_table *index = NULL;

	if (!list || !sorted)
		goto out;
	for (struct nl_object *object = nl_cache_get_first(routes); object && count < room;
	     object = nl_cache_get_next(object)) {
		if (read_route((struct rtnl_route *)object, table, &list[count])) {
			list[count].place = count;
			count++;
		}
	}
	qsort(list, count, sizeof(*list), compare_candidates);
	for (size_t i = 0; i < count; i++)
		sorted[i] = list[i].route;
	index = route_table_build(sorted, count);
out:
	free(list);
	free(sorted);
	return index;
}

static void describe(const struct host *host, struct rtnl_route *route, struct host_route *out)
{
	struct rtnl_nexthop *hop =
		rtnl_route_get_nnexthops(route) > 0 ? rtnl_route_nexthop_n(route, 0) : NULL;
	struct nl_addr *gateway = hop ? rtnl_route_nh_get_gateway(hop) : NULL;

	memset(out, 0, sizeof(*out));
	if (nl_addr_get_prefixlen(rtnl_route_get_dst(route)) == 0)
		(void)strcpy(out->prefix, "default"); /* the library's word is "none" */
	else
		nl_addr2str(rtnl_route_get_dst(route), out->prefix, sizeof(out->prefix));
	if (rtnl_route_get_type(route) == RTN_LOCAL) {
		out->own = true;
		return;
	}
	out->refuses = rtnl_route_get_type(route) == RTN_BLACKHOLE ||
	               rtnl_route_get_type(route) == RTN_UNREACHABLE ||
	               rtnl_route_get_type(route) == RTN_PROHIBIT;
	out->connected = rtnl_route_get_protocol(route) == RTPROT_KERNEL ||
	                 rtnl_route_get_protocol(route) == RTPROT_RA;
	if (hop && host->links)
		(void)rtnl_link_i2name(host->links, rtnl_route_nh_get_ifindex(hop), out->device,
		                       sizeof(out->device));
	if (gateway)
		nl_addr2str(gateway, out->gateway, sizeof(out->gateway));
}

static bool parse_address(const char *text, struct prefix *address)
{
	return prefix_parse(address, text) && address->len == (address->family == 4 ? 32 : 128);
}

bool host_find_route(struct host *host, const char *text, struct host_route *out)
{
	struct nl_cache *routes = routes_of(host);
	struct prefix address;

	if (!routes || !parse_address(text, &address))
		return false;
	for (size_t i = 0; i < ASKED_TABLES; i++) {
		struct rtnl_route *best;

		if (!host->index[i])
			host->index[i] = make_index(routes, asked_tables[i]);
		best = host->index[i] ? route_lookup(host->index[i], address.family, address.addr)
		                      : NULL;
		if (!best)
			continue;
		describe(host, best, out);
		return true;
	}
	return false;
}

void host_each_link(struct host *host, void (*each)(void *arg, const struct host_link *link),
                    void *arg)
{
	if (!host || !host->links)
		return;
	for (struct nl_object *object = nl_cache_get_first(host->links); object;
	     object = nl_cache_get_next(object)) {
		struct host_link link;

		describe_link(host, (struct rtnl_link *)object, &link);
		each(arg, &link);
	}
}

void host_each_address(struct host *host,
                       void (*each)(void *arg, const struct host_address *address), void *arg)
{
	struct nl_cache *addresses = addresses_of(host);

	if (!addresses)
		return;
	for (struct nl_object *object = nl_cache_get_first(addresses); object;
	     object = nl_cache_get_next(object)) {
		struct rtnl_addr *item = (struct rtnl_addr *)object;
		struct host_address address = { .link_local = rtnl_addr_get_scope(item) ==
			                                      RT_SCOPE_LINK };
		struct nl_addr *local = rtnl_addr_get_local(item);

		if (!local)
			continue;
		address.secondary = nl_addr_get_family(local) == AF_INET &&
		                    rtnl_addr_get_flags(item) & IFA_F_SECONDARY;
		nl_addr2str(local, address.text, sizeof(address.text));
		/* Of one that is all there is of its subnet it leaves that out. */
		if (!strchr(address.text, '/')) {
			size_t len = strlen(address.text);

			(void)snprintf(address.text + len, sizeof(address.text) - len, "/%u",
			               nl_addr_get_prefixlen(local));
		}
		if (host->links)
			(void)rtnl_link_i2name(host->links, rtnl_addr_get_ifindex(item),
			                       address.device, sizeof(address.device));
		each(arg, &address);
	}
}

void host_each_route(struct host *host, void (*each)(void *arg, const struct host_route *route),
                     void *arg)
{
	struct nl_cache *routes = routes_of(host);

	if (!routes)
		return;
	for (struct nl_object *object = nl_cache_get_first(routes); object;
	     object = nl_cache_get_next(object)) {
		struct rtnl_route *item = (struct rtnl_route *)object;
		struct host_route route;

		if (rtnl_route_get_table(item) != RT_TABLE_MAIN || !rtnl_route_get_dst(item))
			continue;
		describe(host, item, &route);
		each(arg, &route);
	}
}
