/* SPDX-License-Identifier: MIT */
/*
 * A worker's burst: what the two paths have decided and the ring has not done
 * yet. The paths append packets to seal, messages to send as they are, packets
 * for containers (to be merged) and frames of our own (ARP, ND, ICMP); nothing
 * is done until the burst is flushed, and then everything at once: one
 * reservation of nonces and one sealing call per run of packets to a peer, one
 * submission to the ring.
 *
 * A packet is sealed with the key pair by whose session it was framed, even if another
 * worker has made a new one since: what the peer takes (frames, packets without their
 * checksums) was agreed upon in that session. The key pair cannot go while the burst
 * has it: the burst is flushed before the worker's round ends (quiesce.h).
 *
 * Of the packets to one peer, when they are long, those that are their flow's only one
 * are sealed and sent first: who sends few waits for an answer, and would wait behind the
 * superframes of who sends much.
 *
 * Packets that go to one peer and lie next to each other in the buffer leave as
 * one UDP_SEGMENT send, whether they came from one superframe or from sixty
 * small frames.
 *
 * The only way from here to a system call is @flush, which the worker sets (and
 * a test replaces).
 */
#ifndef DATAPLANE_BURST_H
#define DATAPLANE_BURST_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/coalesce.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/ring.h"
#include "dataplane/segment.h"

struct capture;
struct handshake_queue;

#define BURST_BUFFER    (SEGMENT_ROOM + 512u * 1024)
#define BURST_PACKETS   (SEGMENT_COUNT_MAX + 1024)
#define BURST_SENDS     512
#define BURST_FRAMES    64
#define BURST_FRAME_MAX (10 + WIRE_LINK_MAX + PACKET_ERROR_MAX)
/* Sealed bytes at which a worker flushes: big enough to be one burst, small enough for the cache. */
#define BURST_FLUSH_BYTES (192u * 1024)

enum burst_kind {
	BURST_DATA,
	BURST_KEEPALIVE,
	BURST_CONTROL, /* neither data nor a reason to keep the session alive */
};

struct burst_packet {
	struct peer *peer;
	struct keypair *keypair; /* NULL: there was none */
	uint8_t *slot; /* header, plaintext, tag */
	uint32_t len; /* plaintext with its padding */
	uint8_t tos;
	enum burst_kind kind;
	uint32_t flow; /* packet_flow_hash() of data */
};

struct burst_frame {
	struct iovec iov;
	uint8_t bytes[BURST_FRAME_MAX];
};

struct burst {
	struct device *device;
	const struct view *view;
	uint64_t now_ns;
	uint64_t neigh_next_ns; /* when neigh_tick() wants to be called */
	uint64_t announce_next_ns; /* when announce_run() wants to be called, of any network */
	uint64_t announce_serial; /* the view's by which it was called last */
	uint64_t announce_seen[RING_PORTS_MAX]; /* each network's last news by then */
	struct handshake_queue *queue;
	struct coalesce *coalesce;
	void (*flush)(struct burst *burst, void *arg);
	void *flush_arg;
	/* What is under way just now, for the flight recorder; of no kind: nothing, or many things. */
	struct recorder_subject current;
	struct capture *captures; /* that are on: capture.h; NULL: none, as nearly always */
	uint64_t captured_ns; /* what time they are told, wall clock */
	enum drop captured_reason; /* the plaintext under way was dropped for it */

	uint8_t *buffer; /* BURST_BUFFER bytes */
	uint32_t used;
	uint64_t packets_added; /* ever */
	unsigned int packet_count;
	unsigned int send_count;
	unsigned int frame_count;
	struct burst_packet packets[BURST_PACKETS];
	struct ring_send sends[BURST_SENDS];
	struct peer *send_peers[BURST_SENDS]; /* NULL: nobody's (a cookie reply) */
	struct ring_write frames[BURST_FRAMES];
	struct burst_frame frame_bytes[BURST_FRAMES];
	uint8_t staged[STAGE_FRAME_MAX]; /* one frame on its way out of a stage */
};

/* NULL: out of memory. */
struct burst *burst_open(struct device *device);
void burst_close(struct burst *burst);

/* Flushes unless there is room for one more superframe and a few messages. */
void burst_make_room(struct burst *burst);
/* Nothing in it. */
static inline bool burst_is_empty(const struct burst *burst)
{
	return !burst->packet_count && !burst->send_count && !burst->frame_count;
}

/*
 * @count slots of @stride bytes (the last of @last), just written at
 * burst->buffer + burst->used by segment_packet(), go to @peer. @keypair was its
 * peer_send_keypair() before it was looked at how they may be framed. @flow: their
 * packet_flow_hash(); 0, not to be told: nothing may pass them.
 */
void burst_add_slots(struct burst *burst, struct peer *peer, struct keypair *keypair,
                     const struct segment_slots *slots, uint8_t tos, uint32_t flow);
/* One small packet that any session takes, copied; an empty one is a keepalive. */
void burst_add_packet(struct burst *burst, struct peer *peer, const void *data, uint32_t len,
                      enum burst_kind kind);
/* The same, by one session of the peer's and no other; NULL: by none, so it is dropped. */
void burst_add_packet_by(struct burst *burst, struct peer *peer, struct keypair *keypair,
                         const void *data, uint32_t len, enum burst_kind kind);
/* A handshake message or cookie reply, copied. @peer may be NULL. */
void burst_add_message(struct burst *burst, struct peer *peer, const struct endpoint *to,
                       const void *data, uint32_t len);
/* A frame of our own for a TAP, Ethernet header included, copied. */
void burst_add_frame(struct burst *burst, const struct network *network, const uint8_t *frame,
                     uint32_t len);
/* An IP packet for a container. It must stay where it is until the flush. */
void burst_add_delivery(struct burst *burst, const struct packet *pkt,
                        const struct coalesce_target *target, bool csum_undone);
/* The same for a frame that is not IP, whole. */
void burst_add_frame_delivery(struct burst *burst, const struct frame *frame, uint16_t port);

/* Room for @len bytes that stay until the flush; burst_make_room() was called. */
uint8_t *burst_take(struct burst *burst, uint32_t len);

/* Seals the packets and lays out the sends; timers hear of them. */
void burst_seal(struct burst *burst);
/* After the ring did it: counts what went and what failed. */
void burst_account(struct burst *burst);
/* The same for writes that are not the burst's own frames. */
void burst_account_writes(struct burst *burst, const struct ring_write *writes, unsigned int n);
void burst_reset(struct burst *burst);

/* @data is under way from here on. */
static inline void burst_set_current(struct burst *burst, enum header_kind kind,
                                     const uint8_t *data, uint32_t len, const struct endpoint *from)
{
	burst->current =
		(struct recorder_subject){ .kind = kind, .data = data, .len = len, .from = from };
}

static inline void burst_clear_current(struct burst *burst)
{
	burst->current.kind = HEADER_NONE;
}

/*
 * One drop, counted wherever it is known about, and recorded with what is under way;
 * @peer and @network may be NULL.
 */
void burst_drop(struct burst *burst, struct peer *peer, struct network *network, enum drop reason,
                uint64_t n);

#endif
