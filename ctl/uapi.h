/* SPDX-License-Identifier: MIT */
/*
 * The text protocol that wg(8) speaks to userspace implementations: "get=1" and
 * "set=1", lines of KEY=VALUE, a blank line; the answer ends with "errno=N" and
 * a blank line. A set is all or nothing.
 */
#ifndef CTL_UAPI_H
#define CTL_UAPI_H

#include <stdbool.h>
#include <stddef.h>
#include "ctl/buffer.h"
#include "ctl/config.h"
#include "ctl/listener.h"

struct state;

/* A set holds all AllowedIPs of a device; 130,560 of them take 4 MiB. */
#define UAPI_REQUEST_MAX (64u << 20)
#define UAPI_REPLY_MAX   (256u << 20)

extern const struct listener_ops uapi_ops; /* its argument is the struct state */

/*
 * Edits @config as the lines say. @text: what follows "set=1\n", up to and
 * without the blank line; it is overwritten. 0 or -errno as the protocol has it;
 * then @config is of no use any more and @error says why.
 */
int uapi_edit(struct config *config, char *text, size_t len, struct config_error *error);

#endif
