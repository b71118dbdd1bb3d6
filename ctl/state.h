/* SPDX-License-Identifier: MIT */
/*
 * The running state of a daemon: the configuration in force and what exists
 * because of it. Changed by apply.h and kept up by upkeep.h, read by server.h
 * and uapi.h; all on the control thread.
 *
 * @peers, @networks and @members lie in the order of @config's, always: so the i-th
 * of one belongs to the i-th of the other.
 */
#ifndef CTL_STATE_H
#define CTL_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/bridge.h"
#include "ctl/config.h"
#include "ctl/netlink.h"
#include "ctl/priv.h"
#include "ctl/resolve.h"
#include "ctl/tap_queue.h"
#include "ctl/trouble.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"
#include "dataplane/workers.h"

#define STATE_SECOND_NS UINT64_C(1000000000)

struct run_peer {
	struct peer *peer;

	/* the name in its endpoint, if it is one */
	uint64_t resolve_at_ns; /* when to ask; 0: not */
	uint64_t asked_ns;
	uint32_t backoff_s; /* of the last failure; 0: none */
	bool asking;
	struct endpoint resolved; /* the last answer */

	/* the path to where it is */
	struct endpoint mtu_of; /* the endpoint that its tunnel MTU was computed for */
	bool mtu_known;
	bool looped; /* it lies behind the tunnel, and the log has been told */

	struct { /* introduce.h's tries to tell it of a host */
		uint32_t tries;
		uint64_t next_ns;
		uint64_t handshake_wall_ns; /* the session that was tried last */
	} told;

	struct { /* what events.h has told */
		bool known;
		bool silent;
		struct endpoint endpoint;
		uint64_t handshake_wall_ns;
	} seen;
};

#define RUN_CLAIM_MAX 384

struct run_network {
	struct network *network;
	struct tap tap;
	uint32_t tap_index;
	struct bridge *bridge; /* the attachment to it; NULL: the TAP is lost */
	int failed; /* the error that keeps the TAP from being made again */
	struct tap_queue queue;
	bool was_attached; /* what the log has been told */
	bool seen_attached; /* what events.h has told */
	char claims[2][RUN_CLAIM_MAX]; /* IPv4, IPv6: why the family is not served; "": it is */

	/* of a bridged network */
	struct station_table *stations; /* NULL: not made yet */
	bool wants_dump; /* of its bridge's FDB, and to forget what is not in it */
	bool wants_refresh; /* a dump alone */
};

/* The peers that may carry a network's VNI; empty for a routed one. */
struct run_members {
	struct member **list; /* sorted by their peers' addresses */
	size_t count;
	const struct config_station **by_mac; /* the configuration's, sorted so */
};

struct state {
	const char *name; /* of the device */
	const char *path; /* of the configuration file */
	const char *real_path; /* the same without symbolic links; NULL: as @path */
	const char *bridge_option;

	struct device *device;
	struct workers workers;
	struct netlink *netlink;
	struct priv *priv;
	struct resolve *resolve; /* NULL: names are not asked for */

	struct config *config; /* in force; NULL: none yet */
	struct config *base; /* as it was loaded last, to tell what was changed since */
	struct run_peer *peers;
	struct run_network **networks;
	struct run_members *members; /* of the network of the same place */
	struct udp_sockets udp[WORKERS_MAX]; /* each worker's, all of one port */
	bool udp_open;
	bool realtime; /* workers may have realtime priority */
	int realtime_error; /* -errno: why not, though they should */

	struct handover *handover; /* what the last life left; NULL: nothing any more */
	bool running; /* workers have sockets and TAPs (apply_begin()) */
	bool leaving; /* another life goes on from what is there: nothing of it is taken back */

	struct events *events; /* what happened lately; NULL: nobody asks */
	struct roll *roll; /* who was invited and introduced; NULL: nobody is (tests) */
	struct stations *stations; /* the watch of bridges' FDBs; NULL: there is none */
	struct upkeep_question *questions; /* to the resolver, under way */
	bool reader; /* who asks now may look only (server.c) */
	unsigned int captures; /* that are on (capture.h), */
	unsigned int captures_made; /* and that ever were */
	uint64_t started_ns;
	bool paths_changed; /* the host's links or addresses did */
	bool view_is_old; /* the bridges changed since, and there was no memory for another */
	struct trouble no_view;
	size_t next_path, next_name; /* upkeep's places in @peers */
	unsigned int names_lost,
		names_found; /* that there was a line for, or one to come, this tick */
	size_t next_told; /* introduce.h's */
	uint64_t generation; /* grows with every configuration that is put in force */
	struct metrics *metrics; /* NULL: nobody is to see them */
};

/* Of a TAP; and so many pairs of sockets there are. One without workers (tests of the control side). */
unsigned int state_queues(const struct state *state);
/* Since 1970, by this host's clock, which somebody may set. */
uint64_t state_wall_ns(const struct state *state);

/* Peers as people know them: the name, or the beginning of the key. */
#define STATE_LABEL_MAX (CONFIG_NAME_MAX + 8)
void state_label_peer(const struct config_peer *peer, char label[STATE_LABEL_MAX]);

#endif
