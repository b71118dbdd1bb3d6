/* SPDX-License-Identifier: MIT */
/*
 * A host comes with a token: it asks to join, is looked at, becomes a peer, and is told
 * of the members, page by page.
 */
#ifndef CTL_ADMIT_H
#define CTL_ADMIT_H

#include "ctl/state.h"
#include "dataplane/join.h"

/*
 * JOIN came from the invited peer of @key by @session (post.h). It is answered, by that session
 * alone, unless it came too early.
 */
void admit_take(struct state *state, const uint8_t key[KEY_SIZE], uint32_t session,
                const struct join_message *asked);
#endif
