/* SPDX-License-Identifier: MIT */
/* trace: has the daemon follow a packet's way, and collects what tells why it stops. */
#include "ctl/ovlctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/text.h"
#include "ctl/trace_tool.h"
#include "dataplane/endpoint.h"

#define LOOK_MS      50
#define FULL_WAIT_S  1.5
#define PORT_WAIT_MS 150
#define PORT_TRIES   2

struct options {
	const char *to, *from, *network;
	long long size; /* 0: not given */
	double wait_s; /* 0: not given */
	bool json;
};

static bool parse_number(const char *text, double least, double most, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return *text && !*end && *out >= least && *out <= most;
}

static bool parse(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		double number;

		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		if (argv[i][0] != '-') {
			if (options->to)
				return false;
			options->to = argv[i];
			continue;
		}
		if (!value)
			return false;
		if (strcmp(argv[i], "--from") == 0) {
			options->from = value;
		} else if (strcmp(argv[i], "--network") == 0) {
			options->network = value;
		} else if (strcmp(argv[i], "--size") == 0) {
			if (!parse_number(value, 28, 65535, &number))
				return false;
			options->size = (long long)number;
		} else if (strcmp(argv[i], "--wait") == 0) {
			if (!parse_number(value, 0.1, 60, &options->wait_s))
				return false;
		} else {
			return false;
		}
		i++;
	}
	return options->to;
}

/* ---- asking ---- */

static int begin(const struct options *options, const char *from, json_int_t size, double wait_s,
                 json_t **reply)
{
	return client_call(json_pack("{s:s, s:s, s:s*, s:s*, s:o*, s:o*}", "do", "trace", "to",
	                             options->to, "from", from, "network", options->network, "size",
	                             size ? json_integer(size) : NULL, "wait_s",
	                             wait_s > 0 ? json_real(wait_s) : NULL),
	                   reply);
}

/* Until it is over. NULL, with *@status: the daemon is gone. */
static json_t *follow(const json_t *start, int *status)
{
	json_t *live = NULL;

	*status = OVLCTL_OK;
	if (!json_is_integer(json_object_get(start, "number")))
		return NULL;
	for (;;) {
		json_decref(live);
		live = NULL;
		*status = client_call(json_pack("{s:s, s:I}", "do", "trace-look", "number",
		                                client_number(start, "number")),
		                      &live);
		if (*status != OVLCTL_OK || json_is_true(json_object_get(live, "over")))
			return *status == OVLCTL_OK ? live : NULL;
		(void)poll(NULL, 0, LOOK_MS);
	}
}

static bool arrived(const json_t *live)
{
	return strcmp(client_text(json_object_get(live, "answer"), "stage"), "answered") == 0;
}

/* Once short ones arrive: as long as one message can be, or as was asked for. */
static int ask_again(const struct options *options, struct trace_result *result)
{
	json_int_t largest = client_number(result->start, "largest");
	json_int_t size = options->size && options->size < largest ? options->size : largest;
	const char *from = client_text(result->start, "from");
	int status;

	if (!arrived(result->live) || size <= client_number(result->start, "size"))
		return OVLCTL_OK;
	status = begin(options, *from ? from : NULL, size, FULL_WAIT_S, &result->full);
	if (status == OVLCTL_OK)
		result->full_live = follow(result->full, &status);
	return status;
}

/* ---- the peer's port ---- */

static enum trace_port meaning_of(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return TRACE_PORT_REFUSED;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		return TRACE_PORT_UNREACHABLE;
	case EPERM:
	case EACCES:
		return TRACE_PORT_FORBIDDEN;
	default:
		return TRACE_PORT_QUIET;
	}
}

/*
 * A byte from a socket of its own: the daemon's sockets do not listen to ICMP errors, which
 * anybody can forge. It means nothing to WireGuard, which drops it without a word.
 */
static enum trace_port try_port(const char *text)
{
	enum trace_port port = TRACE_PORT_QUIET;
	struct endpoint endpoint;
	char byte = 0;
	int fd;

	if (endpoint_parse(&endpoint, text))
		return TRACE_PORT_UNTRIED;
	fd = socket(endpoint.remote.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return TRACE_PORT_UNTRIED;
	if (connect(fd, &endpoint.remote.sa,
	            endpoint.remote.sa.sa_family == AF_INET ? sizeof(endpoint.remote.in)
	                                                    : sizeof(endpoint.remote.in6)) < 0)
		port = meaning_of(errno);
	for (int i = 0; i < PORT_TRIES && port == TRACE_PORT_QUIET; i++) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

		if (send(fd, &byte, sizeof(byte), MSG_NOSIGNAL) < 0)
			port = meaning_of(errno);
		else if (poll(&poll_fd, 1, PORT_WAIT_MS) > 0 &&
		         recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) < 0)
			port = meaning_of(errno);
	}
	close(fd);
	return port;
}

static bool is_silent(const json_t *live)
{
	const char *phase = client_text(live, "phase");

	return strcmp(phase, "no-session") == 0 || strcmp(phase, "silent") == 0;
}

static void look_for_evidence(struct trace_result *result)
{
	const char *endpoint = client_text(json_object_get(result->start, "peer"), "endpoint");

	if (is_silent(result->live) && *endpoint)
		result->port = try_port(endpoint);
	if (client_call(json_pack("{s:s}", "do", "drops-last"), &result->last) != OVLCTL_OK)
		result->last = NULL;
}

static void forget(struct trace_result *result)
{
	json_decref(result->start);
	json_decref(result->live);
	json_decref(result->full);
	json_decref(result->full_live);
	json_decref(result->last);
	json_decref(result->steps);
	json_decref(result->causes);
}

int cmd_trace(int argc, char **argv)
{
	struct options options = { .to = NULL };
	int status;

	if (!parse(argc, argv, &options))
		return ovlctl_usage(argv[0]);
	struct trace_result result = { .wanted = options.size,
		                       .steps = json_array(),
		                       .causes = json_array() };

	status = begin(&options, options.from, 0, options.wait_s, &result.start);
	if (status == OVLCTL_OK)
		result.live = follow(result.start, &status);
	if (status == OVLCTL_OK)
		status = ask_again(&options, &result);
	if (status == OVLCTL_OK) {
		look_for_evidence(&result);
		trace_tell_steps(&result);
		trace_tell_causes(&result);
		if (options.json) {
			json_t *all = trace_make_json(&result);

			status = client_print_json(all);
			json_decref(all);
		} else {
			status = trace_print_text(&result);
		}
		if (status == OVLCTL_OK && result.verdict != TRACE_REACHES)
			status = OVLCTL_FAILED;
	}
	forget(&result);
	return status;
}
