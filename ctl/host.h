/* SPDX-License-Identifier: MIT */
/*
 * ovlctl's own look at the host, through libnl's caches: what the kernel says of
 * links and routes, beside what the daemon says. Empty answers when the caches
 * cannot be had.
 */
#ifndef CTL_HOST_H
#define CTL_HOST_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct host;

struct host_link {
	bool up;
	unsigned int mtu;
	bool is_bridge;
	char name[IFNAMSIZ];
	char master[IFNAMSIZ]; /* the bridge it is a port of; empty: none */
};

/* Never NULL but when memory ran out. */
struct host *host_open(void);
void host_close(struct host *host); /* takes NULL */

bool host_find_link(struct host *host, const char *name, struct host_link *link);
/*
 * How the host itself would reach @address (text, without "/len") by its local
 * and main tables. False: by no route. @device is empty when it is the host's own
 * address or the route leads nowhere; @prefix is the route's.
 */
struct host_route {
	char prefix[64];
	char device[IFNAMSIZ];
	char gateway[64]; /* empty: on the link */
	bool own; /* an address of this host */
	bool refuses; /* blackhole, unreachable, prohibit */
	bool connected; /* the kernel's, with an address of the device */
};
bool host_find_route(struct host *host, const char *address, struct host_route *route);

struct host_address {
	char text[64]; /* with "/len" */
	char device[IFNAMSIZ];
	bool link_local;
	bool secondary; /* the kernel's word for IPv4: it goes with the first one of its subnet */
};
void host_each_link(struct host *host, void (*each)(void *arg, const struct host_link *link),
                    void *arg);
void host_each_address(struct host *host,
                       void (*each)(void *arg, const struct host_address *address), void *arg);
/* Of the main table. */
void host_each_route(struct host *host, void (*each)(void *arg, const struct host_route *route),
                     void *arg);

#endif
