/* SPDX-License-Identifier: MIT */
/* What the ways in of routed (rx.c) and bridged networks (rx_bridged.c) share. */
#ifndef DATAPLANE_RX_PRIVATE_H
#define DATAPLANE_RX_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/burst.h"
#include "dataplane/packet.h"

/* What does not change along a run of messages, and the last decision taken in it. */
struct inbound {
	struct burst *burst;
	const struct ring_event *event;
	struct peer *peer;
	const struct keypair *keypair;
	/* the last flow: most runs are one */
	bool known;
	struct member *member; /* a flow of frames; NULL: of packets */
	uint8_t family; /* packets: theirs; frames have it in the link header */
	uint8_t source[16];
	uint8_t destination[16]; /* packets */
	const struct view_network *net;
	struct coalesce_target target; /* frames: their link header */
	/* what the run added up to, counted once */
	uint32_t packets;
	uint64_t bytes;
};

/* Before in->net changes. */
void rx_count_deliveries(struct inbound *in);
/* The outer ECN field goes into @pkt. False: dropped, and counted for @network too. */
bool rx_take_ecn(const struct inbound *in, struct network *network, struct packet *pkt)
	__attribute__((warn_unused_result));

/*
 * The inner checks of a packet of @peer's that was parsed: the network whose Subnet holds
 * both ends, or why it is dropped. *@net may be set then, too.
 */
enum drop rx_judge(const struct view *view, const struct peer *peer, const struct packet *pkt,
                   const struct view_network **net) __attribute__((warn_unused_result));
/*
 * Those of a frame of @member's that was parsed, whose network is attached. Nothing is
 * claimed by it, as a frame that comes would. *@flooded: its place is not known.
 */
enum drop rx_judge_frame(const struct burst *burst, const struct view_network *net,
                         const struct member *member, struct guarded *guarded, bool *flooded)
	__attribute__((warn_unused_result));

/* A plaintext that begins as a VXLAN header does. */
void rx_bridged(struct inbound *in, uint8_t *data, uint32_t len);

#endif
