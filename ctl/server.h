/* SPDX-License-Identifier: MIT */
/*
 * The control socket, by which ovlctl talks to the daemon: one JSON object on a
 * line is a request, one JSON object on a line its reply. The schema stands at
 * the head of server.c.
 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include <jansson.h>
#include "ctl/buffer.h"
#include "ctl/config.h"
#include "ctl/listener.h"
#include "ctl/state.h"

#define SERVER_REQUEST_MAX        (16u << 20) /* a configuration of 10,000 peers has 2 or 3 MB */
#define SERVER_READER_REQUEST_MAX (1u << 16)
#define SERVER_VALUES_MAX         (1u << 18) /* in a request: as many prefixes as fit in a peer's */
#define SERVER_REPLY_MAX          (64u << 20)

extern const struct listener_ops server_ops; /* its argument is the struct state */

/* Exit statuses of the tool, in replies to what failed. */
#define SERVER_EXIT_RUNTIME 1
#define SERVER_EXIT_USAGE   2

/*
 * A request that changes peers or routes, applied to a copy of the
 * configuration. NULL when it is good; a reply that says what is wrong otherwise.
 */
json_t *server_edit(struct config *config, const json_t *request);
/* Puts the reply to any request. False: out of memory, or it does not fit. */
bool server_reply(struct state *state, const char *text, size_t len, struct buffer *out);

json_t *server_sync(struct state *state, const json_t *request);

json_t *server_error(int exit_status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* To a request that cannot be right. */
json_t *server_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* @ret: -EINVAL when the configuration itself is wrong. */
json_t *server_config_error(int ret, const struct config_error *error);

#endif
