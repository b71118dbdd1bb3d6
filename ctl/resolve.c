/* SPDX-License-Identifier: MIT */
/*
 * c-ares reads resolv.conf when a channel is made and never again. So a channel
 * serves as many requests as fit into one reading of it: when the file has changed
 * (or nobody asks any more) the next request gets a channel of its own, and the old
 * one goes when its last request has ended.
 *
 * c-ares calls back from deep inside itself; answers are put on a list there and
 * told to the caller when c-ares has returned, so that the caller may ask again.
 */
#include "ctl/resolve.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

/* Of the first try of each server; the second waits twice as long. */
#define TIMEOUT_MS  3000
#define TRIES       2
#define CONFIG_FILE "/etc/resolv.conf"

struct channel {
	struct channel *next;
	ares_channel ares;
	unsigned int pending; /* requests, answered but not yet told ones included */
	struct stat config; /* CONFIG_FILE when it was read; all zero: there was none */
};

struct request {
	struct request *next; /* in the list of answered ones */
	struct resolve *resolve;
	struct channel *channel;
	uint16_t port;
	resolve_done_fn *done;
	void *arg;
	int status;
	struct endpoint result;
};

struct resolve {
	struct channel *channels; /* the first is the current one */
	struct request *answered;
	struct request **answered_end;
	bool closing;
};

/* ---- channels ---- */

static void stat_config(struct stat *config)
{
	if (stat(CONFIG_FILE, config) < 0)
		memset(config, 0, sizeof(*config));
}

static bool same_config(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Those that nobody waits for any more. */
static void free_idle_channels(struct resolve *resolve)
{
	struct channel **at = &resolve->channels;

	while (*at) {
		struct channel *channel = *at;

		if (channel->pending) {
			at = &channel->next;
			continue;
		}
		*at = channel->next;
		ares_destroy(channel->ares);
		free(channel);
	}
}

/* The channel for a request made now. NULL with *@err set. */
static struct channel *current_channel(struct resolve *resolve, int *err)
{
	struct ares_options options = { .timeout = TIMEOUT_MS, .tries = TRIES };
	struct channel *channel;
	struct stat config;

	free_idle_channels(resolve);
	stat_config(&config);
	if (resolve->channels && same_config(&resolve->channels->config, &config))
		return resolve->channels;
	channel = calloc(1, sizeof(*channel));
	*err = -ENOMEM;
	if (!channel)
		return NULL;
	channel->config = config;
	if (ares_init_options(&channel->ares, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) !=
	    ARES_SUCCESS) {
		/* A file that cannot be read or understood now may be later. */
		*err = -EAGAIN;
		free(channel);
		return NULL;
	}
	channel->next = resolve->channels;
	resolve->channels = channel;
	return channel;
}

/* ---- answers ---- */

static int to_error(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
	case ARES_ENONAME:
	case ARES_EBADNAME:
	case ARES_EBADQUERY:
	case ARES_ESERVICE:
		return -ENOENT;
	case ARES_ENOMEM:
		return -ENOMEM;
	default:
		return -EAGAIN;
	}
}

/* An IPv4 address in IPv6 clothes is undressed, as endpoint_parse() does. */
static bool take_in6(struct endpoint *result, const struct sockaddr_in6 *in6)
{
	if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6->sin6_addr))
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		result->remote.in.sin_family = AF_INET;
		memcpy(&result->remote.in.sin_addr, &in6->sin6_addr.s6_addr[12], 4);
		return true;
	}
	result->remote.in6.sin6_family = AF_INET6;
	result->remote.in6.sin6_addr = in6->sin6_addr;
	result->remote.in6.sin6_scope_id = in6->sin6_scope_id;
	return true;
}

static bool take_in(struct endpoint *result, const struct sockaddr_in *in)
{
	uint32_t addr = ntohl(in->sin_addr.s_addr);

	if (addr == INADDR_ANY || addr == INADDR_BROADCAST || IN_MULTICAST(addr))
		return false;
	result->remote.in.sin_family = AF_INET;
	result->remote.in.sin_addr = in->sin_addr;
	return true;
}

/* The first that can be sent to; c-ares has them in the order of RFC 6724. */
static bool take_first(struct endpoint *result, const struct ares_addrinfo *info, uint16_t port)
{
	for (const struct ares_addrinfo_node *node = info->nodes; node; node = node->ai_next) {
		const void *addr = node->ai_addr;
		bool taken = false;

		memset(result, 0, sizeof(*result));
		if (node->ai_family == AF_INET)
			taken = take_in(result, addr);
		else if (node->ai_family == AF_INET6)
			taken = take_in6(result, addr);
		if (!taken)
			continue;
		/* sin_port and sin6_port lie at the same place. */
		result->remote.in.sin_port = htons(port);
		return true;
	}
	return false;
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct request *request = arg;
	struct resolve *resolve = request->resolve;

	(void)timeouts;
	if (resolve->closing) {
		ares_freeaddrinfo(info);
		free(request);
		return;
	}
	request->status = to_error(status);
	if (status == ARES_SUCCESS && !take_first(&request->result, info, request->port))
		request->status = -ENOENT;
	ares_freeaddrinfo(info);
	request->next = NULL;
	*resolve->answered_end = request;
	resolve->answered_end = &request->next;
}

static struct request *pull_answered(struct resolve *resolve)
{
	struct request *request = resolve->answered;

	if (!request)
		return NULL;
	resolve->answered = request->next;
	if (!resolve->answered)
		resolve->answered_end = &resolve->answered;
	return request;
}

/* What the caller does meanwhile (ask again) adds to the list that is being emptied. */
static void tell(struct resolve *resolve)
{
	struct request *request;

	while ((request = pull_answered(resolve)) != NULL) {
		request->channel->pending--;
		request->done(request->arg, request->status,
		              request->status ? NULL : &request->result);
		free(request);
	}
}

/* ---- the calls ---- */

int resolve_open(struct resolve **resolve)
{
	*resolve = NULL;
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return -ENOMEM;
	*resolve = calloc(1, sizeof(**resolve));
	if (!*resolve) {
		ares_library_cleanup();
		return -ENOMEM;
	}
	(*resolve)->answered_end = &(*resolve)->answered;
	return 0;
}

void resolve_close(struct resolve *resolve)
{
	struct request *request;

	if (!resolve)
		return;
	while ((request = pull_answered(resolve)) != NULL)
		free(request);
	resolve->closing = true;
	while (resolve->channels) {
		struct channel *channel = resolve->channels;

		resolve->channels = channel->next;
		ares_destroy(channel->ares);
		free(channel);
	}
	free(resolve);
	ares_library_cleanup();
}

void resolve_request(struct resolve *resolve, const char *host, uint16_t port,
                     resolve_done_fn *done, void *arg)
{
	const struct ares_addrinfo_hints hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_DGRAM,
	};
	struct request *request;
	int err = 0;
	struct channel *channel = current_channel(resolve, &err);

	if (!channel) {
		done(arg, err, NULL);
		return;
	}
	request = calloc(1, sizeof(*request));
	if (!request) {
		done(arg, -ENOMEM, NULL);
		return;
	}
	request->resolve = resolve;
	request->channel = channel;
	request->port = port;
	request->done = done;
	request->arg = arg;
	channel->pending++;
	ares_getaddrinfo(channel->ares, host, NULL, &hints, answered, request);
	tell(resolve);
}

/* At most ARES_GETSOCK_MAXNUM of @channel, as @fds. */
static unsigned int channel_fds(const struct channel *channel, struct pollfd *fds, unsigned int max)
{
	ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
	/* ARES_GETSOCK_WRITABLE() shifts into the sign bit; so the bits are read here. */
	unsigned int bits = (unsigned int)ares_getsock(channel->ares, sockets, ARES_GETSOCK_MAXNUM);
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARES_GETSOCK_MAXNUM && n < max; i++) {
		short events = 0;

		if (bits >> i & 1)
			events |= POLLIN;
		if (bits >> (i + ARES_GETSOCK_MAXNUM) & 1)
			events |= POLLOUT;
		if (events)
			fds[n++] = (struct pollfd){ .fd = sockets[i], .events = events };
	}
	return n;
}

unsigned int resolve_poll_fds(struct resolve *resolve, struct pollfd *fds, unsigned int max,
                              int *timeout_ms)
{
	unsigned int n = 0;

	for (struct channel *channel = resolve->channels; channel; channel = channel->next) {
		struct timeval left;
		int ms;

		if (!channel->pending)
			continue;
		n += channel_fds(channel, fds + n, max - n);
		if (!ares_timeout(channel->ares, NULL, &left))
			continue;
		/* Rounded up: a moment early would be a turn for nothing. */
		ms = (int)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
		if (*timeout_ms < 0 || ms < *timeout_ms)
			*timeout_ms = ms;
	}
	return n;
}

static void channel_dispatch(struct channel *channel, const struct pollfd *fds, unsigned int n)
{
	struct pollfd own[ARES_GETSOCK_MAXNUM];
	unsigned int owned = channel_fds(channel, own, ARES_GETSOCK_MAXNUM);

	for (unsigned int i = 0; i < owned; i++) {
		for (unsigned int k = 0; k < n; k++) {
			bool in = fds[k].revents & (POLLIN | POLLERR | POLLHUP);
			bool out = fds[k].revents & (POLLOUT | POLLERR | POLLHUP);

			if (fds[k].fd == own[i].fd && (in || out))
				ares_process_fd(channel->ares, in ? own[i].fd : ARES_SOCKET_BAD,
				                out ? own[i].fd : ARES_SOCKET_BAD);
		}
	}
	/* What has waited too long. */
	ares_process_fd(channel->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void resolve_dispatch(struct resolve *resolve, const struct pollfd *fds, unsigned int n)
{
	for (struct channel *channel = resolve->channels; channel; channel = channel->next)
		if (channel->pending)
			channel_dispatch(channel, fds, n);
	tell(resolve);
	free_idle_channels(resolve);
}
