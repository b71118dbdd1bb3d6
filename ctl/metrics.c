/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd without threads: it waits in an epoll set of its own, which the control
 * thread's poll(2) watches as one descriptor. It reads a request into bounded memory and
 * asks for the answer a piece at a time, as the client takes it, so that a client that
 * reads nothing costs one piece of memory and its place.
 *
 * Clients are accepted here: out of descriptors the library would try again and again
 * without a pause, as long as somebody waits to be accepted.
 *
 * The library's own timeout is about silence; who sends a byte now and then would stay
 * for good. So each connection is noted with its beginning, and ended by shutdown(2) when
 * its time is over: the library sees the end of it and cleans up. When all places are
 * taken and somebody waits, that time is short: so a scrape does not wait for those who
 * are slow on purpose, however many places they hold.
 */
#include "ctl/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ctl/log.h"
#include "ctl/metrics_text.h"
#include "ctl/trouble.h"

#define PATH         "/metrics"
#define BACKLOG      16
#define CROWDED_S    2U /* a place's time then; 10,000 peers take half a second */
#define SILENCE_S    5U
#define CLIENT_BYTES ((size_t)32 << 10) /* the library's, for request and answer */
#define PIECE_BYTES  ((size_t)16 << 10)
#define PIECE_MAX    ((size_t)256 << 10) /* with what one peer or network adds beyond it */

struct client {
	int fd; /* -1: a free place */
	uint64_t since_ns;
};

struct metrics {
	const struct state *state;
	struct endpoint at;
	int fd;
	int epoll_fd;
	bool starved; /* no descriptor or memory for the next client: not before the next tick */
	struct trouble trouble;
	struct MHD_Daemon *http;
	struct client clients[METRICS_CLIENTS_MAX];
};

/* An answer under way. */
struct answer {
	const struct state *state;
	struct metrics_cursor cursor;
	struct buffer text;
	size_t taken; /* of @text */
};

static ssize_t read_answer(void *arg, uint64_t position, char *out, size_t room)
{
	struct answer *answer = arg;
	struct buffer *text = &answer->text;

	(void)position;
	if (answer->taken == text->len) {
		buffer_consume(text, text->len);
		answer->taken = 0;
		switch (metrics_text_put(answer->state, &answer->cursor, PIECE_BYTES, text)) {
		case METRICS_MORE:
		case METRICS_END:
			break;
		case METRICS_STALE:
		case METRICS_MEMORY:
			return MHD_CONTENT_READER_END_WITH_ERROR;
		}
		if (text->len == 0)
			return MHD_CONTENT_READER_END_OF_STREAM;
	}
	if (room > text->len - answer->taken)
		room = text->len - answer->taken;
	memcpy(out, text->data + answer->taken, room);
	answer->taken += room;
	return (ssize_t)room;
}

static void free_answer(void *arg)
{
	struct answer *answer = arg;

	buffer_fini(&answer->text);
	free(answer);
}

static struct MHD_Response *make_answer(const struct state *state)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	struct MHD_Response *response;

	if (!answer)
		return NULL;
	answer->state = state;
	metrics_text_begin(state, &answer->cursor);
	buffer_init(&answer->text, PIECE_MAX);
	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, PIECE_BYTES, read_answer,
	                                             answer, free_answer);
	if (!response)
		free_answer(answer);
	return response;
}

static struct MHD_Response *make_refusal(const char *text)
{
	/* The library does not write to what it is told to keep. */
	return MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
	                                       MHD_RESPMEM_PERSISTENT);
}

/* Called when the head of a request is there; what may follow it is not waited for. */
static enum MHD_Result answer_request(void *arg, struct MHD_Connection *connection, const char *url,
                                      const char *method, const char *version, const char *body,
                                      size_t *body_len, void **request)
{
	const struct metrics *metrics = arg;
	const char *type = "text/plain; charset=utf-8";
	unsigned int status = MHD_HTTP_OK;
	struct MHD_Response *response;
	enum MHD_Result ret;

	(void)version;
	(void)body;
	(void)body_len;
	(void)request;
	if (strcmp(url, PATH) != 0) {
		status = MHD_HTTP_NOT_FOUND;
		response = make_refusal("there is only " PATH " here\n");
	} else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0) {
		status = MHD_HTTP_METHOD_NOT_ALLOWED;
		response = make_refusal("expected GET\n");
	} else {
		type = "text/plain; version=0.0.4; charset=utf-8";
		response = make_answer(metrics->state);
	}
	if (!response)
		return MHD_NO; /* the connection ends */
	ret = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (ret == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		ret = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET");
	/* A place is for one request. */
	if (ret == MHD_YES)
		ret = MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	if (ret == MHD_YES)
		ret = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return ret;
}

static void note_client(void *arg, struct MHD_Connection *connection, void **place,
                        enum MHD_ConnectionNotificationCode code)
{
	struct metrics *metrics = arg;
	const union MHD_ConnectionInfo *info;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (*place)
			((struct client *)*place)->fd = -1;
		return;
	}
	*place = NULL;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	for (size_t i = 0; info && i < METRICS_CLIENTS_MAX; i++) {
		struct client *client = &metrics->clients[i];

		if (client->fd >= 0)
			continue;
		client->fd = info->connect_fd;
		client->since_ns = device_now(metrics->state->device);
		*place = client;
		return;
	}
}

/*
 * The next place may be the same port at another address, which the one in force keeps
 * taken as long as it listens: both then say that they share it. Only for that moment,
 * so that another program that wants the port is told of it.
 */
static void share_port(int fd, bool share)
{
	int on = share;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
}

static int listen_at(const struct endpoint *at, const struct metrics *old)
{
	socklen_t len =
		at->remote.sa.sa_family == AF_INET ? sizeof(at->remote.in) : sizeof(at->remote.in6);
	int on = 1, err = 0;
	int fd = socket(at->remote.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (old) {
		share_port(old->fd, true);
		share_port(fd, true);
	}
	/* After a restart the port is still of connections that have ended. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (at->remote.sa.sa_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
	    bind(fd, &at->remote.sa, len) < 0 || listen(fd, BACKLOG) < 0)
		err = -errno;
	if (old) {
		share_port(old->fd, false);
		share_port(fd, false);
	}
	if (!err)
		return fd;
	close(fd);
	return err;
}

int metrics_open(struct metrics **out, const struct state *state, const struct endpoint *at)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	const union MHD_DaemonInfo *info;
	int ret;

	if (!metrics)
		return -ENOMEM;
	metrics->state = state;
	metrics->at = *at;
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		metrics->clients[i].fd = -1;
	metrics->fd = ret = listen_at(at, state->metrics);
	if (ret < 0)
		goto fail;
	errno = 0;
	metrics->http = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer_request, metrics,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned int)METRICS_CLIENTS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		CLIENT_BYTES, MHD_OPTION_NOTIFY_CONNECTION, note_client, metrics, MHD_OPTION_END);
	info = metrics->http ? MHD_get_daemon_info(metrics->http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	/* The library does not say why. */
	ret = errno == EMFILE || errno == ENFILE ? -errno : -ENOMEM;
	if (!info)
		goto fail;
	metrics->epoll_fd = info->epoll_fd;
	*out = metrics;
	return 0;
fail:
	metrics_close(metrics);
	return ret;
}

void metrics_close(struct metrics *metrics)
{
	if (!metrics)
		return;
	if (metrics->http)
		MHD_stop_daemon(metrics->http);
	if (metrics->fd >= 0)
		close(metrics->fd);
	free(metrics);
}

bool metrics_is_at(const struct metrics *metrics, const struct endpoint *at)
{
	if (!metrics)
		return !endpoint_is_set(at);
	return endpoint_is_set(at) && endpoint_same_remote(&metrics->at, at);
}

static bool has_place(const struct metrics *metrics)
{
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++)
		if (metrics->clients[i].fd < 0)
			return true;
	return false;
}

unsigned int metrics_poll_fds(const struct metrics *metrics, struct pollfd *fds, int *timeout_ms)
{
	MHD_UNSIGNED_LONG_LONG left_ms;

	if (!metrics)
		return 0;
	if (MHD_get_timeout(metrics->http, &left_ms) == MHD_YES &&
	    (*timeout_ms < 0 || left_ms < (unsigned int)*timeout_ms))
		*timeout_ms = (int)left_ms;
	/* When all places are taken, the next client waits in the kernel's queue. */
	fds[0] = (struct pollfd){
		.fd = !metrics->starved && has_place(metrics) ? metrics->fd : -1,
		.events = POLLIN,
	};
	fds[1] = (struct pollfd){ .fd = metrics->epoll_fd, .events = POLLIN };
	return 2;
}

static void accept_client(struct metrics *metrics, uint64_t now_ns)
{
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(address);
	int fd = accept4(metrics->fd, (struct sockaddr *)&address, &len,
	                 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		metrics->starved = trouble_is_shortage(errno);
		if (metrics->starved && trouble_begins(&metrics->trouble, now_ns))
			log_line("metrics: cannot take a client: %s; tried again every second",
			         strerror(errno));
		return;
	}
	/* Closed by the library in any case. */
	if (MHD_add_connection(metrics->http, fd, (struct sockaddr *)&address, len) == MHD_YES &&
	    trouble_ends(&metrics->trouble))
		log_line("metrics: takes clients again");
}

void metrics_dispatch(struct metrics *metrics, const struct pollfd *fds, unsigned int n,
                      uint64_t now_ns)
{
	/* A change of the configuration may have come in between, and with it another place. */
	if (!metrics)
		return;
	if (n && fds[0].revents && fds[0].fd == metrics->fd)
		accept_client(metrics, now_ns);
	(void)MHD_run(metrics->http);
}

static bool is_crowded(const struct metrics *metrics)
{
	struct pollfd waits = { .fd = metrics->fd, .events = POLLIN };

	return !has_place(metrics) && poll(&waits, 1, 0) > 0;
}

void metrics_tick(struct metrics *metrics, uint64_t now_ns)
{
	uint64_t seconds;

	if (!metrics)
		return;
	metrics->starved = false;
	seconds = is_crowded(metrics) ? CROWDED_S : METRICS_CLIENT_S;
	for (size_t i = 0; i < METRICS_CLIENTS_MAX; i++) {
		const struct client *client = &metrics->clients[i];

		if (client->fd >= 0 && now_ns > client->since_ns + seconds * STATE_SECOND_NS)
			(void)shutdown(client->fd, SHUT_RDWR);
	}
}
