/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/endpoint.h"

bool endpoint_is_set(const struct endpoint *ep)
{
	return ep->remote.sa.sa_family != AF_UNSPEC;
}

bool endpoint_same_remote(const struct endpoint *a, const struct endpoint *b)
{
	if (a->remote.sa.sa_family != b->remote.sa.sa_family)
		return false;
	switch (a->remote.sa.sa_family) {
	case AF_INET:
		return a->remote.in.sin_addr.s_addr == b->remote.in.sin_addr.s_addr &&
		       a->remote.in.sin_port == b->remote.in.sin_port;
	case AF_INET6:
		return memcmp(&a->remote.in6.sin6_addr, &b->remote.in6.sin6_addr,
		              sizeof(struct in6_addr)) == 0 &&
		       a->remote.in6.sin6_port == b->remote.in6.sin6_port &&
		       a->remote.in6.sin6_scope_id == b->remote.in6.sin6_scope_id;
	default:
		return true;
	}
}

void endpoint_forget_source(struct endpoint *ep)
{
	memset(&ep->source, 0, sizeof(ep->source));
	ep->source_ifindex = 0;
}

void endpoint_format(const struct endpoint *ep, char text[ENDPOINT_TEXT_MAX])
{
	char addr[INET6_ADDRSTRLEN] = "";
	char scope[12] = "";

	switch (ep->remote.sa.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &ep->remote.in.sin_addr, addr, sizeof(addr));
		snprintf(text, ENDPOINT_TEXT_MAX, "%s:%u", addr, ntohs(ep->remote.in.sin_port));
		break;
	case AF_INET6:
		inet_ntop(AF_INET6, &ep->remote.in6.sin6_addr, addr, sizeof(addr));
		if (ep->remote.in6.sin6_scope_id)
			snprintf(scope, sizeof(scope), "%%%u", ep->remote.in6.sin6_scope_id);
		snprintf(text, ENDPOINT_TEXT_MAX, "[%s%s]:%u", addr, scope,
		         ntohs(ep->remote.in6.sin6_port));
		break;
	default:
		snprintf(text, ENDPOINT_TEXT_MAX, "(none)");
		break;
	}
}

/* The whole of @text, digits only, from 1 to @max; 0 otherwise. */
static uint32_t parse_number(const char *text, uint32_t max)
{
	uint64_t value = 0;

	if (!*text)
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return 0;
	}
	return (uint32_t)value;
}

/* @addr: what stands in the brackets, an address and perhaps a scope. */
static int parse_ipv6(struct endpoint *ep, char *addr, uint16_t port)
{
	char *scope = strchr(addr, '%');
	struct in6_addr in6;

	if (scope)
		*scope++ = '\0';
	if (inet_pton(AF_INET6, addr, &in6) != 1)
		return -EINVAL;
	if (IN6_IS_ADDR_V4MAPPED(&in6)) {
		if (scope)
			return -EINVAL;
		ep->remote.in.sin_family = AF_INET;
		memcpy(&ep->remote.in.sin_addr, in6.s6_addr + 12, sizeof(struct in_addr));
		ep->remote.in.sin_port = htons(port);
		return 0;
	}
	ep->remote.in6.sin6_family = AF_INET6;
	ep->remote.in6.sin6_addr = in6;
	ep->remote.in6.sin6_port = htons(port);
	if (scope) {
		ep->remote.in6.sin6_scope_id = parse_number(scope, UINT32_MAX);
		if (!ep->remote.in6.sin6_scope_id)
			return -EINVAL;
	}
	return 0;
}

int endpoint_parse(struct endpoint *ep, const char *text)
{
	struct endpoint parsed = { 0 };
	char addr[ENDPOINT_TEXT_MAX];
	size_t len = strlen(text);
	uint16_t port;
	char *colon;
	int err;

	if (len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, len + 1);
	colon = strrchr(addr, ':');
	if (!colon)
		return -EINVAL;
	port = (uint16_t)parse_number(colon + 1, UINT16_MAX);
	if (!port)
		return -EINVAL;
	*colon = '\0';

	if (addr[0] == '[') {
		if (colon == addr + 1 || colon[-1] != ']')
			return -EINVAL;
		colon[-1] = '\0';
		err = parse_ipv6(&parsed, addr + 1, port);
		if (err)
			return err;
	} else {
		if (inet_pton(AF_INET, addr, &parsed.remote.in.sin_addr) != 1)
			return -EINVAL;
		parsed.remote.in.sin_family = AF_INET;
		parsed.remote.in.sin_port = htons(port);
	}
	*ep = parsed;
	return 0;
}

void endpoint_to_cookie_source(const struct endpoint *ep, struct cookie_source *out)
{
	memset(out, 0, sizeof(*out));
	if (ep->remote.sa.sa_family == AF_INET) {
		out->addr_len = sizeof(struct in_addr);
		memcpy(out->addr, &ep->remote.in.sin_addr, sizeof(struct in_addr));
		memcpy(&out->port, &ep->remote.in.sin_port, sizeof(out->port));
	} else if (ep->remote.sa.sa_family == AF_INET6) {
		out->addr_len = sizeof(struct in6_addr);
		memcpy(out->addr, &ep->remote.in6.sin6_addr, sizeof(struct in6_addr));
		memcpy(&out->port, &ep->remote.in6.sin6_port, sizeof(out->port));
	}
}
