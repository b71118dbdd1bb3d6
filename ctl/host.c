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

struct host {
	struct nl_sock *sock;
	struct nl_cache *links;
	struct nl_cache *routes; /* both families; this and what follows: when first asked for */
	struct nl_cache *addresses;
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

/* The kernel's rules ask the local table first, then the main one; the longest prefix wins in each. */
struct search {
	const struct nl_addr *address;
	uint32_t table;
	struct rtnl_route *best;
	int best_len;
	uint32_t best_metric;
};

static void consider(struct nl_object *object, void *arg)
{
	struct search *search = arg;
	struct rtnl_route *route = (struct rtnl_route *)object;
	struct nl_addr *prefix = rtnl_route_get_dst(route);
	uint32_t metric = rtnl_route_get_priority(route);

	if (rtnl_route_get_table(route) != search->table || !prefix ||
	    nl_addr_get_family(prefix) != nl_addr_get_family(search->address))
		return;
	int len = (int)nl_addr_get_prefixlen(prefix);

	/* Compares as many bits as the prefix has; none for the default route. */
	if (len > 0 && nl_addr_cmp_prefix(prefix, search->address) != 0)
		return;
	if (search->best &&
	    (len < search->best_len || (len == search->best_len && metric >= search->best_metric)))
		return;
	search->best = route;
	search->best_len = len;
	search->best_metric = metric;
}

static void describe(const struct host *host, struct rtnl_route *route, struct host_route *out)
{
	struct rtnl_nexthop *hop =
		rtnl_route_get_nnexthops(route) > 0 ? rtnl_route_nexthop_n(route, 0) : NULL;
	struct nl_addr *gateway = hop ? rtnl_route_nh_get_gateway(hop) : NULL;

	memset(out, 0, sizeof(*out));
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

bool host_find_route(struct host *host, const char *text, struct host_route *out)
{
	static const uint32_t tables[] = { RT_TABLE_LOCAL, RT_TABLE_MAIN, RT_TABLE_DEFAULT };
	struct nl_cache *routes = routes_of(host);
	struct nl_addr *address;
	bool found = false;

	if (!routes || nl_addr_parse(text, AF_UNSPEC, &address) < 0)
		return false;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !found; i++) {
		struct search search = { .address = address, .table = tables[i] };

		nl_cache_foreach(routes, consider, &search);
		found = search.best != NULL;
		if (found)
			describe(host, search.best, out);
	}
	nl_addr_put(address);
	return found;
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
