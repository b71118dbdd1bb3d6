/* SPDX-License-Identifier: MIT */
/* What the ways out of routed (tx.c) and bridged networks (tx_bridged.c) share. */
#ifndef DATAPLANE_TX_PRIVATE_H
#define DATAPLANE_TX_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/burst.h"
#include "dataplane/packet.h"

/*
 * The tag of a staged frame: its port, whether it is a copy of one that went to several
 * peers, and the serial of its network, as the port may be another's when it goes on.
 */
#define TX_STAGED_COPY   0x10000u
#define TX_STAGED_SERIAL 32 /* its lowest bit */

/* The last copy of a frame that went out, for the next one to be copied from. */
struct tx_copy {
	struct segment_slots slots;
	enum segment_framing framing; /* as it was asked for */
	enum segment_verdict verdict;
};

/* A frame on its way, with what is known of it. */
struct outbound {
	struct burst *burst;
	const struct view_network *net;
	uint16_t port;
	uint8_t *data; /* from the virtio header on */
	uint32_t len;
	const struct wire_ethernet *ethernet;
	uint32_t link_len; /* from there to the packet */
	struct wire_vnet vnet;
	bool has_ip; /* and is it */
	struct packet pkt;
	/* The peer in whose stage it was: it goes to one peer at the most. NULL: fresh. */
	struct peer *waited;
	uint32_t serial; /* and the network that it waited in */
	bool is_copy; /* of a frame that went to several (TX_STAGED_COPY), or goes to them now */
	/* bridged networks */
	struct frame frame;
	struct tx_copy copy;
	uint32_t told_mtu; /* an ICMP error has told its sender this; 0: none has */
};

void tx_drop(const struct outbound *out, struct peer *peer, enum drop reason);
/* To a peer that there is a session with, which takes that framing: that of @keypair. */
void tx_cut(struct outbound *out, struct peer *peer, struct keypair *keypair,
            enum segment_framing framing);
/* No session, or no hello: the frame waits, and a session is asked for. */
void tx_stage(struct outbound *out, struct peer *peer, bool is_copy);
bool tx_has_endpoint(struct peer *peer);
/* What the host itself sends from our port: it would come out one header longer, for ever. */
bool tx_is_own_datagram(const struct outbound *out);

/* A frame of a bridged network; nothing is parsed yet. */
void tx_bridged(struct outbound *out);

#endif
