/* SPDX-License-Identifier: MIT */
/*
 * The way in: datagrams from a UDP socket become packets for containers in the
 * burst, entries of the handshake queue, or counted drops. Opened in place; no
 * system call, no allocation.
 */
#ifndef DATAPLANE_RX_H
#define DATAPLANE_RX_H

#include <stdint.h>

struct burst;
struct ring_event;

/* One RING_DATAGRAM event: one datagram, or several of event->segment bytes. */
void rx_datagrams(struct burst *burst, const struct ring_event *event);

/* RFC 6040, 4.2: the inner ECN field after decapsulation; -1: drop. */
int rx_ecn(uint8_t inner, uint8_t outer);

#endif
