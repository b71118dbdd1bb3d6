/* SPDX-License-Identifier: MIT */
/*
 * A host comes with a token: it asks to join, is looked at, becomes a peer, and is told
 * of the members, page by page.
 */
#ifndef CTL_ADMIT_H
#define CTL_ADMIT_H

#include "ctl/roll.h"
#include "ctl/state.h"
#include "dataplane/join.h"

/*
 * JOIN came from the invited peer of @key by @session (post.h). It is answered, by that session
 * alone, unless it came too early.
 */
void admit_take(struct state *state, const uint8_t key[KEY_SIZE], uint32_t session,
                const struct join_message *asked);
/*
 * Whether messages hold what @host, whose range lies in a network here, has to be told of it:
 * this host and each member. False: @why says who is too much.
 */
bool admit_can_tell(const struct state *state, const struct roll_host *host,
                    char why[JOIN_TEXT_MAX]);

#endif
