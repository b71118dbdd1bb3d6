/* SPDX-License-Identifier: MIT */
/*
 * Where a peer is reached, and from which of our addresses: the remote socket
 * address and the sticky local one (IP_PKTINFO, IPV6_PKTINFO).
 */
#ifndef DATAPLANE_ENDPOINT_H
#define DATAPLANE_ENDPOINT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/cookie.h"

struct endpoint {
	union {
		struct sockaddr sa; /* AF_UNSPEC: no endpoint */
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} remote;
	union {
		struct in_addr in;
		struct in6_addr in6;
	} source; /* of remote's family; all zero: the kernel chooses */
	uint32_t source_ifindex; /* 0: any */
};

#define ENDPOINT_TEXT_MAX 72 /* "[v6%scope]:port" and the terminating zero */

bool endpoint_is_set(const struct endpoint *ep);
/* Remote address and port (and scope) equal; the source does not count. */
bool endpoint_same_remote(const struct endpoint *a, const struct endpoint *b);
void endpoint_forget_source(struct endpoint *ep);
/* "192.0.2.1:51820" or "[2001:db8::1]:51820"; "(none)" when not set. */
void endpoint_format(const struct endpoint *ep, char text[ENDPOINT_TEXT_MAX]);
/* The numeric form of endpoint_format(). 0 or -EINVAL. IPv4-mapped becomes IPv4. */
int endpoint_parse(struct endpoint *ep, const char *text);
/* What a cookie and the limiter bind: address and port. */
void endpoint_to_cookie_source(const struct endpoint *ep, struct cookie_source *out);

#endif
