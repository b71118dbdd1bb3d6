/* SPDX-License-Identifier: MIT */
/*
 * Two sockets. The watch is joined to the groups before the first dump, so that
 * nothing falls between dump and events: an event that the dump already holds is
 * applied once more and changes nothing, for events come in order and each says
 * all there is to say of its object. When the kernel had to drop events, the
 * cache is dumped anew and replaced as a whole.
 *
 * Requests go one at a time through the other socket and wait, bounded, for their
 * answer. Answers are told apart by sequence number: one that came too late for
 * its request is skipped by the next.
 */
#include "ctl/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "ctl/netlink_cache.h"
#include "ctl/netlink_filter.h"

#define BUFFER_SIZE   65536
#define WATCH_BUFFER  (4 * 1024 * 1024)
#define ANSWER_WAIT_S 5
/* Messages read in one dispatch; what is left keeps the descriptor readable. */
#define DISPATCH_READS 256
/* A dump during which something changed is asked for again. */
#define DUMP_TRIES 8
/* rtm_protocol of our routes: a number nobody has registered. */
#define ROUTE_PROTOCOL 111

struct netlink {
	struct mnl_socket *watch;
	struct mnl_socket *requests;
	uint32_t seq;
	struct netlink_cache cache;
	uint8_t *macs; /* whose FDB entries are watched, one behind the other */
	size_t mac_count;
	bool stale; /* events were lost and the refill has not succeeded yet */
	bool tired; /* it failed: not before the next tick */
	uint64_t lost; /* how often events were */
	void (*changed)(void *arg);
	void *arg;
	union {
		struct nlmsghdr first;
		char bytes[512];
	} request;
	union {
		struct nlmsghdr first;
		char bytes[BUFFER_SIZE];
	} buffer;
};

/* ---- sockets ---- */

/* Length, or -errno; 0: not from the kernel, to be skipped. */
static ssize_t receive(struct netlink *nl, struct mnl_socket *socket)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	struct iovec iov = { &nl->buffer, sizeof(nl->buffer) };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t len;

	do
		len = recvmsg(mnl_socket_get_fd(socket), &msg, 0);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if (msg.msg_flags & MSG_TRUNC)
		return -ENOBUFS;
	return msg.msg_namelen == sizeof(from) && from.nl_pid == 0 ? len : 0;
}

static int open_watch(struct netlink *nl)
{
	const unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
	                            RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE | RTMGRP_NEIGH;
	const int size = WATCH_BUFFER;
	int fd, err;

	nl->watch = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!nl->watch)
		return -errno;
	fd = mnl_socket_get_fd(nl->watch);
	/* Smaller than asked for is no failure: what is lost is dumped again. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* Before it joins: of neighbours nothing has been asked for yet. */
	err = netlink_filter_attach(fd, NULL, 0);
	if (err)
		return err;
	return mnl_socket_bind(nl->watch, groups, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

static int open_requests(struct netlink *nl)
{
	const struct timeval wait = { .tv_sec = ANSWER_WAIT_S };
	int on = 1;

	nl->requests = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->requests)
		return -errno;
	/* An error's answer need not carry the request again; old kernels always do. */
	(void)mnl_socket_setsockopt(nl->requests, NETLINK_CAP_ACK, &on, sizeof(on));
	if (setsockopt(mnl_socket_get_fd(nl->requests), SOL_SOCKET, SO_RCVTIMEO, &wait,
	               sizeof(wait)) < 0)
		return -errno;
	return mnl_socket_bind(nl->requests, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
}

typedef int answer_fn(void *arg, const struct nlmsghdr *nlh);

/* One message of the answer. 1: there is more to come; 0 or -errno: that was all. */
static int take_answer(const struct nlmsghdr *nlh, answer_fn *answer, void *arg)
{
	int code = 0;

	switch (nlh->nlmsg_type) {
	case NLMSG_NOOP:
		return 1;
	case NLMSG_ERROR:
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct nlmsgerr))
			return -EBADMSG;
		return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(nlh))->error;
	case NLMSG_DONE:
		if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
			memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
		return code;
	default:
		code = answer ? answer(arg, nlh) : 0;
		return code ? code : 1;
	}
}

/* Sends @nlh and waits until its answer is complete. 0 or -errno (-EINTR: ask again). */
static int transact(struct netlink *nl, struct nlmsghdr *nlh, answer_fn *answer, void *arg)
{
	unsigned int port = mnl_socket_get_portid(nl->requests);
	bool interrupted = false;
	int more = 1;

	nlh->nlmsg_seq = ++nl->seq;
	nlh->nlmsg_flags |= NLM_F_REQUEST;
	if (mnl_socket_sendto(nl->requests, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (more == 1) {
		const struct nlmsghdr *in = &nl->buffer.first;
		ssize_t got = receive(nl, nl->requests);
		int len = (int)got;

		if (got < 0)
			return got == -EAGAIN ? -ETIMEDOUT : (int)got;
		for (; more == 1 && mnl_nlmsg_ok(in, len); in = mnl_nlmsg_next(in, &len)) {
			if (in->nlmsg_seq != nl->seq || in->nlmsg_pid != port)
				continue;
			interrupted |= (in->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			more = take_answer(in, answer, arg);
		}
	}
	return more == 0 && interrupted ? -EINTR : more;
}

/* ---- filling and watching ---- */

static int take_dumped(void *arg, const struct nlmsghdr *nlh)
{
	return netlink_cache_take(arg, nlh);
}

static int dump(struct netlink *nl, uint16_t type, struct netlink_cache *into)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&nl->request);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_DUMP;
	/* The longest of the headers that the types of dump want; all of it zero. */
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	return transact(nl, nlh, take_dumped, into);
}

static int refill(struct netlink *nl)
{
	struct netlink_cache fresh = { .links = NULL };
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		netlink_cache_clear(&fresh);
		err = dump(nl, RTM_GETLINK, &fresh);
		if (!err)
			err = dump(nl, RTM_GETADDR, &fresh);
	}
	nl->stale = nl->tired = err != 0;
	if (err) {
		netlink_cache_clear(&fresh);
		return err;
	}
	fresh.fdb_events = nl->cache.fdb_events + 1; /* who knows what was lost */
	netlink_cache_clear(&nl->cache);
	nl->cache = fresh;
	nl->cache.changed = true;
	return 0;
}

int netlink_open(struct netlink **netlink, void (*changed)(void *arg), void *arg)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int err;

	*netlink = NULL;
	if (!nl)
		return -ENOMEM;
	nl->changed = changed;
	nl->arg = arg;
	err = open_watch(nl);
	if (!err)
		err = open_requests(nl);
	if (!err)
		err = refill(nl);
	if (err)
		goto out;
	nl->cache.changed = false;
	*netlink = nl;
out:
	if (err)
		netlink_close(nl);
	return err;
}

int netlink_open_asking(struct netlink **netlink)
{
	struct netlink *nl = calloc(1, sizeof(*nl));
	int err;

	*netlink = NULL;
	if (!nl)
		return -ENOMEM;
	err = open_requests(nl);
	if (err)
		netlink_close(nl);
	else
		*netlink = nl;
	return err;
}

void netlink_close(struct netlink *netlink)
{
	if (!netlink)
		return;
	if (netlink->watch)
		mnl_socket_close(netlink->watch);
	if (netlink->requests)
		mnl_socket_close(netlink->requests);
	netlink_cache_clear(&netlink->cache);
	free(netlink->macs);
	free(netlink);
}

int netlink_fd(const struct netlink *netlink)
{
	return mnl_socket_get_fd(netlink->watch);
}

static void take_events(struct netlink *nl, ssize_t got)
{
	const struct nlmsghdr *nlh = &nl->buffer.first;
	int len = (int)got;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
		if (netlink_cache_take(&nl->cache, nlh) < 0)
			nl->stale = true;
}

void netlink_dispatch(struct netlink *netlink)
{
	for (int i = 0; i < DISPATCH_READS; i++) {
		ssize_t got = receive(netlink, netlink->watch);

		if (got == -EAGAIN)
			break;
		netlink->lost += got < 0;
		if (got < 0)
			netlink->stale = true;
		else
			take_events(netlink, got);
	}
	/* A refill that fails, in a storm of changes say, leaves the old cache. */
	if (netlink->stale && !netlink->tired)
		(void)refill(netlink);
	if (!netlink->cache.changed)
		return;
	netlink->cache.changed = false;
	if (netlink->changed)
		netlink->changed(netlink->arg);
}

void netlink_tick(struct netlink *netlink)
{
	netlink->tired = false;
	if (netlink->stale)
		netlink_dispatch(netlink);
}

uint64_t netlink_lost(const struct netlink *netlink)
{
	return netlink->lost;
}

/* ---- FDB entries ---- */

static int filter_events(struct netlink *nl, size_t count)
{
	return netlink_filter_attach(netlink_fd(nl), nl->macs, count);
}

int netlink_watch_mac(struct netlink *netlink, const uint8_t mac[ETHER_ADDR_SIZE])
{
	uint8_t *macs = reallocarray(netlink->macs, netlink->mac_count + 1, ETHER_ADDR_SIZE);
	int err;

	if (!macs)
		return -ENOMEM;
	netlink->macs = macs;
	memcpy(macs + netlink->mac_count * ETHER_ADDR_SIZE, mac, ETHER_ADDR_SIZE);
	err = filter_events(netlink, netlink->mac_count + 1);
	if (!err)
		netlink->mac_count++;
	return err;
}

void netlink_unwatch_mac(struct netlink *netlink, const uint8_t mac[ETHER_ADDR_SIZE])
{
	for (size_t i = 0; i < netlink->mac_count; i++) {
		uint8_t *at = netlink->macs + i * ETHER_ADDR_SIZE;

		if (memcmp(at, mac, ETHER_ADDR_SIZE) != 0)
			continue;
		netlink->mac_count--;
		memmove(at, netlink->macs + netlink->mac_count * ETHER_ADDR_SIZE, ETHER_ADDR_SIZE);
		/* One that fails lets pass too much, which is heard and does no harm. */
		(void)filter_events(netlink, netlink->mac_count);
		return;
	}
}

uint64_t netlink_fdb_events(const struct netlink *netlink)
{
	return netlink->cache.fdb_events;
}

/* ---- questions to the cache ---- */

const struct netlink_link *netlink_find_link(const struct netlink *netlink, const char *name)
{
	for (size_t i = 0; i < netlink->cache.link_count; i++)
		if (strcmp(netlink->cache.links[i].name, name) == 0)
			return &netlink->cache.links[i];
	return NULL;
}

const struct netlink_link *netlink_get_link(const struct netlink *netlink, uint32_t index)
{
	return netlink_cache_find(&netlink->cache, index);
}

size_t netlink_links(const struct netlink *netlink, const struct netlink_link **links)
{
	*links = netlink->cache.links;
	return netlink->cache.link_count;
}

size_t netlink_addresses(const struct netlink *netlink, const struct netlink_address **addresses)
{
	*addresses = netlink->cache.addresses;
	return netlink->cache.address_count;
}

/* ---- changes ---- */

static struct nlmsghdr *link_request(struct netlink *nl, uint16_t type, uint8_t family,
                                     uint32_t index)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&nl->request);
	struct ifinfomsg *info;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_ACK;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = family;
	info->ifi_index = (int)index;
	return nlh;
}

int netlink_refresh(struct netlink *netlink, uint32_t index)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_GETLINK, AF_UNSPEC, index);

	return transact(netlink, nlh, take_dumped, &netlink->cache);
}

int netlink_index(const struct netlink *netlink, const char *name, uint32_t *index)
{
	struct ifreq ifr = { .ifr_flags = 0 };

	if (strlen(name) >= sizeof(ifr.ifr_name))
		return -ENAMETOOLONG;
	memcpy(ifr.ifr_name, name, strlen(name));
	/* Any socket will do: if_nametoindex() makes one of a kind that not everybody may. */
	if (ioctl(mnl_socket_get_fd(netlink->requests), SIOCGIFINDEX, &ifr) < 0)
		return -errno;
	*index = (uint32_t)ifr.ifr_ifindex;
	return 0;
}

static int take_link_drops(void *arg, const struct nlmsghdr *nlh)
{
	const struct nlattr *table[IFLA_MAX + 1];
	struct rtnl_link_stats64 stats;

	if (nlh->nlmsg_type != RTM_NEWLINK ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct ifinfomsg))
		return 0;
	netlink_collect(nlh, sizeof(struct ifinfomsg), table, IFLA_MAX);
	/* Later kernels have more behind these. */
	if (!netlink_attr_holds(table[IFLA_STATS64], offsetof(struct rtnl_link_stats64, multicast)))
		return 0;
	memcpy(&stats, mnl_attr_get_payload(table[IFLA_STATS64]),
	       offsetof(struct rtnl_link_stats64, multicast));
	*(uint64_t *)arg = stats.tx_dropped;
	return 0;
}

int netlink_link_drops(struct netlink *netlink, uint32_t index, uint64_t *dropped)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_GETLINK, AF_UNSPEC, index);

	*dropped = 0;
	return transact(netlink, nlh, take_link_drops, dropped);
}

int netlink_set_master(struct netlink *netlink, uint32_t index, uint32_t bridge)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);
	struct netlink_link *link;
	int err;

	mnl_attr_put_u32(nlh, IFLA_MASTER, bridge);
	err = transact(netlink, nlh, NULL, NULL);
	link = netlink_cache_find(&netlink->cache, index);
	if (!err && link) {
		link->master = bridge;
		link->port_set = 0;
	}
	return err;
}

int netlink_set_queue(struct netlink *netlink, uint32_t index, uint32_t length)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);

	mnl_attr_put_u32(nlh, IFLA_TXQLEN, length);
	return transact(netlink, nlh, NULL, NULL);
}

int netlink_set_mtu(struct netlink *netlink, uint32_t index, uint32_t mtu)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);
	struct netlink_link *link;
	int err;

	mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	err = transact(netlink, nlh, NULL, NULL);
	link = netlink_cache_find(&netlink->cache, index);
	if (!err && link)
		link->mtu = mtu;
	return err;
}

int netlink_set_up(struct netlink *netlink, uint32_t index, bool up)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	struct netlink_link *link;
	int err;

	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	err = transact(netlink, nlh, NULL, NULL);
	link = netlink_cache_find(&netlink->cache, index);
	if (!err && link)
		link->flags = (link->flags & ~(uint32_t)IFF_UP) | info->ifi_flags;
	return err;
}

int netlink_set_mac(struct netlink *netlink, uint32_t index, const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);
	struct netlink_link *link;
	int err;

	mnl_attr_put(nlh, IFLA_ADDRESS, ETHER_ADDR_SIZE, mac);
	err = transact(netlink, nlh, NULL, NULL);
	link = netlink_cache_find(&netlink->cache, index);
	if (!err && link)
		memcpy(link->mac, mac, ETHER_ADDR_SIZE);
	return err;
}

int netlink_set_addressless(struct netlink *netlink, uint32_t index)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_NEWLINK, AF_UNSPEC, index);
	struct nlattr *families = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(nlh, AF_INET6);

	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(nlh, inet6);
	mnl_attr_nest_end(nlh, families);
	return transact(netlink, nlh, NULL, NULL);
}

int netlink_set_fdb(struct netlink *netlink, uint32_t port, const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&netlink->request);
	struct ndmsg *entry;

	nlh->nlmsg_type = RTM_NEWNEIGH;
	nlh->nlmsg_flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
	entry = mnl_nlmsg_put_extra_header(nlh, sizeof(*entry));
	entry->ndm_family = AF_BRIDGE;
	entry->ndm_ifindex = (int)port;
	entry->ndm_state = NUD_NOARP | NUD_REACHABLE;
	entry->ndm_flags = NTF_MASTER | NTF_STICKY;
	mnl_attr_put(nlh, NDA_LLADDR, ETHER_ADDR_SIZE, mac);
	return transact(netlink, nlh, NULL, NULL);
}

/* Attributes @from to before @to of netlink_port_attributes. */
static int set_port_attributes(struct netlink *nl, uint32_t port, enum netlink_port kind,
                               size_t from, size_t to)
{
	struct nlmsghdr *nlh = link_request(nl, RTM_SETLINK, AF_BRIDGE, port);
	struct nlattr *nest = mnl_attr_nest_start(nlh, IFLA_PROTINFO);

	for (size_t i = from; i < to; i++)
		if (netlink_port_attributes[i].value[kind] != NETLINK_PORT_ANY)
			mnl_attr_put_u8(nlh, netlink_port_attributes[i].type,
			                netlink_port_attributes[i].value[kind]);
	mnl_attr_nest_end(nlh, nest);
	return transact(nl, nlh, NULL, NULL);
}

int netlink_set_port(struct netlink *netlink, uint32_t port, enum netlink_port kind)
{
	struct netlink_link *link = netlink_cache_find(&netlink->cache, port);
	int err = set_port_attributes(netlink, port, kind, 0, NETLINK_PORT_ATTRIBUTES);

	if (err) {
		err = 0;
		for (size_t i = 0; i < NETLINK_PORT_ATTRIBUTES; i++) {
			int one = set_port_attributes(netlink, port, kind, i, i + 1);

			if (one && !err)
				err = one;
		}
	}
	if (!err && link)
		link->port_set = (uint8_t)(link->port_set | 1U << kind);
	return err;
}

int netlink_flush_port(struct netlink *netlink, uint32_t port)
{
	struct nlmsghdr *nlh = link_request(netlink, RTM_SETLINK, AF_BRIDGE, port);
	struct nlattr *nest = mnl_attr_nest_start(nlh, IFLA_PROTINFO);

	mnl_attr_put(nlh, IFLA_BRPORT_FLUSH, 0, NULL);
	mnl_attr_nest_end(nlh, nest);
	return transact(netlink, nlh, NULL, NULL);
}

static uint8_t to_family(uint8_t version)
{
	return version == 4 ? AF_INET : AF_INET6;
}

static int change_route(struct netlink *nl, uint16_t type, uint32_t index,
                        const struct prefix *prefix)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&nl->request);
	struct rtmsg *route;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_ACK;
	if (type == RTM_NEWROUTE)
		nlh->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_family = to_family(prefix->family);
	route->rtm_dst_len = prefix->len;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = ROUTE_PROTOCOL;
	route->rtm_scope = RT_SCOPE_LINK;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put(nlh, RTA_DST, prefix->family == 4 ? 4 : 16, prefix->addr);
	mnl_attr_put_u32(nlh, RTA_OIF, index);
	return transact(nl, nlh, NULL, NULL);
}

int netlink_add_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix)
{
	return change_route(netlink, RTM_NEWROUTE, index, prefix);
}

int netlink_remove_route(struct netlink *netlink, uint32_t index, const struct prefix *prefix)
{
	return change_route(netlink, RTM_DELROUTE, index, prefix);
}

struct own_routes {
	struct netlink_route *list;
	size_t count;
};

static int take_own_route(void *arg, const struct nlmsghdr *nlh)
{
	const struct nlattr *table[RTA_MAX + 1];
	struct own_routes *own = arg;
	struct netlink_route *list;
	const struct rtmsg *route;
	size_t size;

	if (nlh->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct rtmsg))
		return 0;
	route = mnl_nlmsg_get_payload(nlh);
	size = route->rtm_family == AF_INET ? 4 : 16;
	/* An old kernel tells of all there are. */
	if (route->rtm_protocol != ROUTE_PROTOCOL || route->rtm_table != RT_TABLE_MAIN ||
	    (route->rtm_family != AF_INET && route->rtm_family != AF_INET6) ||
	    route->rtm_dst_len > 8 * size)
		return 0;
	netlink_collect(nlh, sizeof(struct rtmsg), table, RTA_MAX);
	if (!netlink_attr_holds(table[RTA_DST], size))
		return 0;
	list = reallocarray(own->list, own->count + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	own->list = list;
	list += own->count++;
	*list = (struct netlink_route){ .index = netlink_attr_u32(table[RTA_OIF]) };
	list->prefix.family = route->rtm_family == AF_INET ? 4 : 6;
	list->prefix.len = route->rtm_dst_len;
	memcpy(list->prefix.addr, mnl_attr_get_payload(table[RTA_DST]), size);
	return 0;
}

/* A router may have a million others: the kernel leaves them out, from 4.20 on. */
static int dump_own_routes(struct netlink *nl, struct own_routes *own)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&nl->request);
	int strict = 1, err;
	struct rtmsg *route;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_DUMP;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_protocol = ROUTE_PROTOCOL;
	(void)mnl_socket_setsockopt(nl->requests, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
	err = transact(nl, nlh, take_own_route, own);
	strict = 0;
	(void)mnl_socket_setsockopt(nl->requests, NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
	return err;
}

int netlink_own_routes(struct netlink *netlink, struct netlink_route **routes, size_t *count)
{
	struct own_routes own = { .list = NULL };
	int err = -EINTR;

	for (int i = 0; err == -EINTR && i < DUMP_TRIES; i++) {
		own.count = 0;
		err = dump_own_routes(netlink, &own);
	}
	if (err) {
		free(own.list);
		return err;
	}
	*routes = own.list;
	*count = own.count;
	return 0;
}

/* ---- path MTU ---- */

struct found_route {
	uint32_t index;
	uint32_t mtu; /* 0: the route says none */
	bool learned; /* the MTU comes from an ICMP error and expires */
};

static int take_found_route(void *arg, const struct nlmsghdr *nlh)
{
	struct found_route *found = arg;
	const struct nlattr *table[RTA_MAX + 1];
	const struct nlattr *metrics[RTAX_MAX + 1];

	if (nlh->nlmsg_type != RTM_NEWROUTE ||
	    mnl_nlmsg_get_payload_len(nlh) < sizeof(struct rtmsg))
		return 0;
	netlink_collect(nlh, sizeof(struct rtmsg), table, RTA_MAX);
	found->index = netlink_attr_u32(table[RTA_OIF]);
	if (table[RTA_METRICS]) {
		netlink_collect_nested(table[RTA_METRICS], metrics, RTAX_MAX);
		found->mtu = netlink_attr_u32(metrics[RTAX_MTU]);
	}
	if (netlink_attr_holds(table[RTA_CACHEINFO], sizeof(struct rta_cacheinfo))) {
		const struct rta_cacheinfo *info = mnl_attr_get_payload(table[RTA_CACHEINFO]);

		found->learned = info->rta_expires != 0;
	}
	return 0;
}

/* @flags: 0, what the kernel would use; RTM_F_FIB_MATCH, what the table says. */
static int find_route(struct netlink *nl, const struct endpoint *remote, uint32_t fwmark,
                      uint32_t flags, struct found_route *found)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(&nl->request);
	bool v4 = remote->remote.sa.sa_family == AF_INET;
	struct rtmsg *route;

	memset(found, 0, sizeof(*found));
	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_ACK;
	route = mnl_nlmsg_put_extra_header(nlh, sizeof(*route));
	route->rtm_family = v4 ? AF_INET : AF_INET6;
	route->rtm_dst_len = v4 ? 32 : 128;
	route->rtm_flags = flags;
	if (v4)
		mnl_attr_put(nlh, RTA_DST, 4, &remote->remote.in.sin_addr);
	else
		mnl_attr_put(nlh, RTA_DST, 16, &remote->remote.in6.sin6_addr);
	if (!v4 && remote->remote.in6.sin6_scope_id)
		mnl_attr_put_u32(nlh, RTA_OIF, remote->remote.in6.sin6_scope_id);
	if (fwmark)
		mnl_attr_put_u32(nlh, RTA_MARK, fwmark);
	return transact(nl, nlh, take_found_route, found);
}

int netlink_path_mtu(struct netlink *netlink, const struct endpoint *remote, uint32_t fwmark,
                     uint32_t *mtu)
{
	struct found_route used, table;
	const struct netlink_link *link;
	int err;

	if (remote->remote.sa.sa_family != AF_INET && remote->remote.sa.sa_family != AF_INET6)
		return -EAFNOSUPPORT;
	err = find_route(netlink, remote, fwmark, 0, &used);
	if (err)
		return err;
	if (used.mtu && used.learned) {
		err = find_route(netlink, remote, fwmark, RTM_F_FIB_MATCH, &table);
		used.mtu = err ? 0 : table.mtu;
	}
	link = netlink_cache_find(&netlink->cache, used.index);
	if (!link)
		return -ENODEV;
	*mtu = used.mtu && used.mtu < link->mtu ? used.mtu : link->mtu;
	return 0;
}
