/* SPDX-License-Identifier: MIT */
/*
 * From packets to superframes: neighbouring segments of a TCP flow, and
 * datagrams of a UDP flow, become one write to the TAP with a virtio header that
 * says how to cut them again. Payloads are not copied: a write gathers the
 * merged header and the payloads where they lie, so the packets must stay until
 * the writes are flushed.
 *
 * Order within a flow is kept: a packet that cannot be appended to its flow's
 * last write starts a new one behind it. Flows of which there is one packet only
 * are written first.
 */
#ifndef DATAPLANE_COALESCE_H
#define DATAPLANE_COALESCE_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/packet.h"
#include "dataplane/ring.h"

#define COALESCE_PACKETS 1024 /* between two resets */

struct coalesce; /* about 170 KB, one a worker */

struct coalesce *coalesce_open(void); /* NULL: out of memory */
void coalesce_close(struct coalesce *c);

/* @link: the header in front of it on the TAP, tags included. Compared as part of the flow. */
struct coalesce_target {
	uint16_t port;
	bool merge_udp; /* the TAP takes VNET_GSO_UDP_L4 */
	uint16_t link_len; /* 14, and 4 for each tag */
	union {
		struct wire_ethernet ethernet; /* @type is the payload's only without tags */
		uint8_t link[WIRE_LINK_MAX];
	};
};

/*
 * Takes @pkt (parsed, checked, ECN done). @csum_undone: its TCP or UDP checksum
 * is missing and need not be verified (it must have PACKET_L4): merged or not, the
 * TAP is asked to make it. False: COALESCE_PACKETS are in already;
 * write, flush, reset, push again.
 */
bool coalesce_push(struct coalesce *c, const struct packet *pkt,
                   const struct coalesce_target *target, bool csum_undone)
	__attribute__((warn_unused_result));

/*
 * Takes a frame that is not IP: written whole, as it is, behind all that was
 * pushed for any port before it and before all that comes after. False as above.
 */
bool coalesce_push_frame(struct coalesce *c, const struct frame *frame, uint16_t port)
	__attribute__((warn_unused_result));

/* Finishes headers; *@writes stay valid until coalesce_reset(). Returns their number. */
unsigned int coalesce_finish(struct coalesce *c, struct ring_write **writes);
void coalesce_reset(struct coalesce *c);

#endif
