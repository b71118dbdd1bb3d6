/* SPDX-License-Identifier: MIT */
/*
 * Invitations: made on request of ovlctl invite, used by a host that joins. An open
 * invitation is a peer of the key that follows from its token: it handshakes as any
 * peer does, has no address and no network, and the one message that is taken from it
 * is JOIN (post.h). That costs the control thread a Diffie-Hellman, and once, if all is well,
 * makes a peer of the host's own key.
 *
 * An invitation that was used or has expired stays for a while, to refuse in words.
 */
#ifndef CTL_INVITE_H
#define CTL_INVITE_H

#include <jansson.h>
#include "ctl/roll.h"
#include "ctl/state.h"
#include "dataplane/join.h"

#define INVITE_LIFE_MAX_S (30u * 24 * 3600)

/*
 * range: an address range in some network's Subnet; bits: of the part of it that the
 * host gets, if not all; expires_s: how long it is open; endpoints: texts; → token, id
 * (the name of its peer), range, bits, network, expires (unix time).
 */
json_t *invite_make(struct state *state, const json_t *request);
/* → version, introducer, listen_port, unkept, invitations, introduced (docs/join.md). */
json_t *invite_list(struct state *state, const json_t *request);
/* "open", "used", "expired" or "revoked". */
const char *invite_state(const struct state *state, const struct roll_invite *invite);

/* All that came by post. When post_fd() is readable. */
void invite_dispatch(struct state *state);
/* Once a second: what expired or was removed, and who is to be told. */
void invite_tick(struct state *state);

#endif
