/* SPDX-License-Identifier: MIT */
/*
 * A member of a bridged network: a peer that may carry its VNI, or this host
 * (@peer is NULL). It lasts over views, as peers and networks do; made and
 * retired by the control thread when a VNI is granted and taken back.
 *
 * What a member may do is limited here and nowhere else: how much of the
 * forwarding table it may fill, how much it may flood, how often it may announce.
 */
#ifndef DATAPLANE_MEMBER_H
#define DATAPLANE_MEMBER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/bucket.h"
#include "dataplane/quiesce.h"

/* Broadcast, unknown and multicast frames, each way: 1,000 a second, 200 at once. */
#define MEMBER_FLOOD_COST_NS 1000000ULL
#define MEMBER_FLOOD_BURST   200
/* Announcements and checks taken from a peer: 200 a second, 100 at once. */
#define MEMBER_CONTROL_COST_NS 5000000ULL
#define MEMBER_CONTROL_BURST   100

struct network;
struct peer;

/* What this host has told a member, and what it was told (announce.c). Under the FDB's lock. */
struct member_news {
	uint64_t acked; /* the member has all of ours up to this sequence number */
	uint64_t sent_to; /* TO of the message that went last */
	uint64_t sent_ns; /* when it went; 0: never */
	uint32_t attempts; /* how often it went; 0: it was answered */
	uint32_t setbacks; /* how often it acknowledged less than before, since the last hello */
	bool begin; /* to be told something, even if there is no news */
	bool more; /* the last message was full */
	uint64_t telling_whole; /* fdb_list_news(); 0: changes only */
	uint64_t boot; /* the member's, to which all this belongs */
	uint64_t heard; /* we have all of the member's up to this */
	bool whole; /* a replacement of all its stations is under way */
	bool lacks; /* something that it announced was not granted */
	uint32_t again; /* how often it was to tell all again, within a minute of each other */
	uint64_t again_ns; /* when it was told so last; 0: never */
	uint64_t released; /* fdb_released() then, or when it first lacked something */
};

struct member {
	struct peer *peer; /* NULL: this host */
	struct network *network;
	struct retired retired;
	_Atomic bool may_route; /* router advertisements pass */
	_Atomic bool may_serve_dhcp;

	struct bucket flood_in, flood_out, control_in;
	_Atomic uint64_t
		flooded; /* copies of frames sent to it because their place was not known */

	/* Under the FDB's lock. */
	bool gone; /* retired: what it claims is refused */
	uint32_t first; /* its stations but the static ones: FDB entries, chained; 0: none */
	uint32_t macs, addrs; /* how many of them */
	uint32_t statics; /* how many static ones it has */
	uint32_t generation; /* of what it announced: fdb_begin_whole() */
	struct bucket begun, asked; /* contests: as the claimant, and as the owner */
	struct member_news news;
};

#endif
