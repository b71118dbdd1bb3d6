/* SPDX-License-Identifier: MIT */
/*
 * What of a peer goes from one life of the daemon to the next: its key pairs with
 * their counters and windows, where it was, what was agreed upon, what was due. As
 * plain values: how they travel is the caller's (ctl/handover.h).
 *
 * Not carried: a handshake under way (its ephemeral key dies with who made it; it is
 * begun anew), cookies, staged frames, what echoes told.
 */
#ifndef DATAPLANE_CARRIED_H
#define DATAPLANE_CARRIED_H

#include <stdbool.h>
#include <stdint.h>
#include "crypto/session.h"
#include "dataplane/endpoint.h"
#include "dataplane/hello.h"
#include "dataplane/timers.h"

struct peer;

enum carried_slot { CARRIED_CURRENT, CARRIED_PREVIOUS, CARRIED_NEXT, CARRIED_SLOTS };

struct carried_keypair {
	bool there;
	bool initiator;
	bool rekeyed_on_receive;
	uint8_t send_key[KEY_SIZE], receive_key[KEY_SIZE];
	uint32_t local_index, remote_index;
	uint64_t birth_ns; /* CLOCK_BOOTTIME */
	uint64_t send_counter; /* from here on; SESSION_JUMP is in it */
	uint64_t received;
	struct replay replay;
};

struct carried_peer {
	struct endpoint endpoint;
	uint8_t last_timestamp[TIMESTAMP_SIZE]; /* of the peer's initiations */
	uint64_t timestamp_ns; /* of ours */
	uint64_t handshake_wall_ns, round_trip_ns;
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets, lost;
	struct hello_info hello;
	bool hello_acked, hello_carried;
	uint64_t hello_settled_ns;
	struct timers_due due;
	struct carried_keypair keypairs[CARRIED_SLOTS];
};

/* No worker runs any more. @out holds keys: to be wiped. */
void carried_take(struct peer *peer, uint64_t now_ns, struct carried_peer *out);

/*
 * Before workers know of @peer, which is new. Of the key pairs those that are young
 * enough, not used up, and of an index that is free. @with_keys false: none. Returns
 * whether there is a session to send with.
 */
bool carried_put(struct peer *peer, uint64_t now_ns, const struct carried_peer *in, bool with_keys);

/* After the view with @peer was published and there are sockets: what was due is due again. */
void carried_go_on(struct peer *peer, uint64_t now_ns, const struct carried_peer *in);

#endif
