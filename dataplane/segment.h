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
 * all of the same size but the last, which may be shorter. In bridged networks
 * each packet has a front of its own, a VXLAN header and the frame's Ethernet
 * header with its tags:
 *
 *	| 16 header | 8 VXLAN | 14 to 22 Ethernet | packet, zero padding | 16 tag | …
 *
 * The front counts towards the tunnel's MTU as the packet does: it is taken off
 * before anything is held against the MTU (segment_packet_mtu()), so MSS, parts of
 * TCP, fragments and what an ICMP error says are all smaller by it.
 *
 * A TCP or UDP checksum that was left undone stays so where the framing can say
 * it, for the peer to pass on to its kernel: the AEAD guards every bit between.
 * It is done here for plain IP, for IP fragments, whose receiver has no other
 * way to check it, and where it is that of a tunnel inside the container.
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

/* What the plaintext of a message is. */
enum segment_framing {
	SEGMENT_IP, /* the packet, checksums complete: any WireGuard peer takes it */
	SEGMENT_IP_HINT, /* the packet; first nibble 5 or 7 where its checksum is undone */
	SEGMENT_FRAME, /* VXLAN header, Ethernet header, packet, checksums complete */
	SEGMENT_FRAME_HINT, /* a bit of the VXLAN header where its checksum is undone */
};

struct segment_slots {
	/* in */
	uint8_t *buf;
	uint32_t room; /* bytes */
	uint32_t mtu; /* plaintext bytes a message may have: the tunnel's MTU */
	enum segment_framing framing;
	/* frames only: */
	uint32_t vni;
	const uint8_t *link; /* Ethernet header with tags, copied in front of each packet */
	uint32_t link_len; /* at most WIRE_LINK_MAX */
	/* out */
	uint32_t count;
	uint32_t stride; /* bytes from slot to slot */
	uint32_t last; /* bytes of the last slot, at most stride */
	bool cut; /* an over-long packet without offload request was split */
	bool fragmented;
	bool clamped; /* a SYN's MSS */
	bool undone; /* the hint was given: the packets' checksums are not there */
};

/* Offset of the plaintext in its slot, and what a slot has beyond it. */
#define SEGMENT_HEADROOM ((uint32_t)sizeof(struct message_data))
#define SEGMENT_OVERHEAD ((uint32_t)MESSAGE_DATA_OVERHEAD)

static inline bool segment_is_framed(const struct segment_slots *slots)
{
	return slots->framing == SEGMENT_FRAME || slots->framing == SEGMENT_FRAME_HINT;
}

/* Bytes in front of each packet. */
static inline uint32_t segment_front(const struct segment_slots *slots)
{
	return segment_is_framed(slots) ? (uint32_t)sizeof(struct wire_vxlan) + slots->link_len : 0;
}

/* The largest IP packet that fits a message: what an ICMP error has to tell. */
static inline uint32_t segment_packet_mtu(const struct segment_slots *slots)
{
	uint32_t front = segment_front(slots);

	return slots->mtu > front ? slots->mtu - front : 0;
}

/*
 * @pkt parsed from the frame behind @vnet; both untouched. Of @vnet flags,
 * gso_type and gso_size are believed as far as they fit the packet's own
 * headers, and csum_start only where it points behind the transport header (a
 * tunnel inside the container); it counts from the Ethernet header on, whose
 * length is slots->link_len for frames and 14 else. Segments signed by TCP-MD5 or TCP-AO, SYNs and
 * RSTs are not split: over the MTU they are fragmented with DF clear, and too
 * big with DF set.
 */
enum segment_verdict segment_packet(const struct packet *pkt, const struct wire_vnet *vnet,
                                    struct segment_slots *slots)
	__attribute__((warn_unused_result));

/*
 * A frame that is not IP, whole, in one slot, whatever the framing given; link and
 * link_len become the frame's own. OVERSIZE: it is over the MTU; BAD: an offload
 * was asked for.
 *
 * Of both functions: the VXLAN header's pad is what lies behind the frame, but
 * never more than 15. In a slot that is larger than that, which only IP fragments
 * have, the zeros beyond are padding of the frame, as Ethernet knows it.
 */
enum segment_verdict segment_frame(const struct frame *frame, const struct wire_vnet *vnet,
                                   struct segment_slots *slots)
	__attribute__((warn_unused_result));

#endif
