/* SPDX-License-Identifier: MIT */
/*
 * What the helper does for the daemon: priv.h's verbs, carried out. Each checks its
 * arguments against what this side knows of itself (the links that the kernel tells
 * of, the TAPs it made, the paths of the command line), never against what it was told.
 */
#ifndef CTL_VERBS_H
#define CTL_VERBS_H

#include "ctl/key_names.h"
#include "ctl/netlink.h"
#include "ctl/priv.h"
#include "ctl/priv_wire.h"

/* Whatever is at once: a reload makes new networks before the old ones go. */
#define VERBS_TAPS_MAX 160

struct verbs {
	struct netlink *netlink; /* that asks alone: netlink_open_asking() */
	const struct priv_files *files;
	uint32_t taps[VERBS_TAPS_MAX];
	unsigned int tap_count;
	struct key_names keys; /* of the configuration as it was read last */
};

/*
 * Fills all of @reply; descriptors for the daemon are put into @out, the caller's to
 * close, those that came with the request are in @in.
 */
void verbs_do(struct verbs *verbs, const struct priv_request *request, const struct priv_fds *in,
              struct priv_reply *reply, struct priv_fds *out);

#endif
