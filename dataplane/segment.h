/* SPDX-License-Identifier: MIT */
/*
 * From what the TAP gave to packets that fit the tunnel (decision 4 of the
 * architecture): TCP and UDP superframes are cut, an over-long TCP segment is
 * split in the same way, SYNs have their MSS clamped, what may be fragmented is
 * fragmented, checksums that were left undone are done.
 *
 * The packets are written into slots laid out as one UDP_SEGMENT send:
 *
 *	| 16 header | packet, zero padding | 16 tag | 16 header | packet …
 *	 <------------- stride ------------->
 *
 * all of the same size but the last, which may be shorter.
 */
#ifndef DATAPLANE_SEGMENT_H
#define DATAPLANE_SEGMENT_H

#include <stdint.h>
#include "dataplane/packet.h"

enum segment_verdict {
	SEGMENT_OK,
	SEGMENT_TOO_BIG, /* may not be cut: the sender gets an ICMP error */
	SEGMENT_OVERSIZE, /* cannot be cut nor answered: a slot over the MTU for each datagram */
	SEGMENT_BAD, /* the offload request does not fit the packet */
	SEGMENT_NO_ROOM, /* more slots than @room holds */
};

/* Bytes that hold the slots of any superframe that is not refused as bad. */
#define SEGMENT_ROOM (512u * 1024)
/* A superframe that would make more packets than this is bad. */
#define SEGMENT_COUNT_MAX 2048

struct segment_slots {
	/* in */
	uint8_t *buf;
	uint32_t room; /* bytes */
	uint32_t mtu; /* plaintext bytes a message may have: the tunnel's MTU */
	/* out */
	uint32_t count;
	uint32_t stride; /* bytes from slot to slot */
	uint32_t last; /* bytes of the last slot, at most stride */
	bool cut; /* an over-long packet without offload request was split */
	bool fragmented;
	bool clamped; /* a SYN's MSS */
};

/* Offset of the packet in its slot, and what a slot has beyond the packet. */
#define SEGMENT_HEADROOM ((uint32_t)sizeof(struct message_data))
#define SEGMENT_OVERHEAD ((uint32_t)MESSAGE_DATA_OVERHEAD)

/*
 * @pkt parsed from the frame behind @vnet; both untouched. Of @vnet flags,
 * gso_type and gso_size are believed as far as they fit the packet's own
 * headers, and csum_start only where it points behind the transport header (a
 * tunnel inside the container). Segments signed by TCP-MD5 or TCP-AO, SYNs and
 * RSTs are not split: over the MTU they are fragmented with DF clear, and too
 * big with DF set.
 */
enum segment_verdict segment_packet(const struct packet *pkt, const struct wire_vnet *vnet,
                                    struct segment_slots *slots)
	__attribute__((warn_unused_result));

#endif
