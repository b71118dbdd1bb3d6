/* SPDX-License-Identifier: MIT */
/*
 * The one session of a host that joins, without a daemon: WireGuard's handshake with the
 * introducer by the keys of a token, and messages of join.h in it. It blocks.
 */
#ifndef CTL_JOIN_SESSION_H
#define CTL_JOIN_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "crypto/session.h"
#include "ctl/token.h"
#include "dataplane/endpoint.h"
#include "dataplane/join.h"

#define JOIN_SESSION_TRY_MS 1000

struct join_session {
	int fd;
	struct noise_identity identity;
	struct noise_handshake handshake;
	struct cookie_maker cookie;
	struct keypair keypair;
	bool has_keypair;
	struct endpoint remote;
};

/*
 * A socket of UDP port @port to @remote. -EADDRINUSE: a daemon runs there already; -errno of
 * a way that is none.
 */
int join_session_open(struct join_session *session, const struct token *token,
                      const struct endpoint *remote, uint16_t port);
void join_session_close(struct join_session *session);

/* One try. 0, -ETIMEDOUT: nobody answered; -errno: of the network. */
int join_session_handshake(struct join_session *session);
/* @ask goes, and @reply is a JOIN_REPLY that came. As above; -EBADMSG: it was none. */
int join_session_ask(struct join_session *session, const struct join_message *ask,
                     struct join_message *reply);

#endif
