/* SPDX-License-Identifier: MIT */
/*
 * The way out: a frame from the TAP becomes packets in the burst, an answer of
 * our own (ARP, ND, ICMP), or a counted drop. No system call, no allocation.
 */
#ifndef DATAPLANE_TX_H
#define DATAPLANE_TX_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/stats.h"

struct burst;
struct neigh_question;
struct network;
struct packet;
struct peer;
struct view;
struct view_network;

/* @data: struct wire_vnet, then the frame. It may be written to. */
void tx_frame(struct burst *burst, uint16_t port, uint8_t *data, uint32_t len);

/*
 * The egress checks of a packet of a routed network that was parsed, and its route: whose
 * it is, or why it is dropped.
 */
enum drop tx_judge(const struct view *view, const struct view_network *net,
                   const struct packet *pkt, struct peer **peer)
	__attribute__((warn_unused_result));

/* Sends what waited for a session with @peer, if there is one. True if anything went. */
bool tx_release(struct burst *burst, struct peer *peer);

/* Puts a neighbour question on the TAP. */
void tx_ask(struct burst *burst, const struct network *network,
            const struct neigh_question *question);

#endif
