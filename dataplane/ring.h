/* SPDX-License-Identifier: MIT */
/*
 * The interface to input and output. A ring belongs to one worker and is used
 * by its thread only, but for ring_wake(). Two backends: io_uring (ring_uring.c)
 * and poll with readv, writev, recvmmsg and sendmmsg (ring_poll.c); a simulator
 * brings a third. All give the same promises:
 *
 * - What ring_wait() returned stays valid, and may be overwritten by the worker,
 *   until the next ring_wait(): open in place.
 * - What was given to ring_send() and ring_write() must stay untouched until
 *   ring_flush() returns; then all of it is done with, sent or not. Nothing
 *   blocks: a full socket buffer or TAP queue is a failed send or write.
 * - Sends to one peer and writes to one port keep their order.
 */
#ifndef DATAPLANE_RING_H
#define DATAPLANE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "dataplane/endpoint.h"

/* Holds a virtio header and the largest frame, or the largest datagram and what describes it. */
#define RING_BUFFER_SIZE  (66u * 1024)
#define RING_PORTS_MAX    64
#define RING_EVENTS_MAX   64
#define RING_SEGMENTS_MAX 64 /* of one UDP_SEGMENT send or UDP_GRO receive */
#define RING_SEND_MAX     65507u /* bytes of one UDP send over IPv4 */

enum ring_event_type {
	RING_FRAME, /* from the TAP of @port: struct wire_vnet, then the frame */
	RING_DATAGRAM, /* from the UDP sockets: one datagram, or several of @segment bytes */
	RING_PORT_LOST, /* the TAP of @port is gone; its port is removed already */
};

struct ring_event {
	enum ring_event_type type;
	uint16_t port;
	uint8_t tos; /* datagrams: the outer header's, for ECN */
	bool last; /* frames: the TAP's queue was empty behind it */
	uint8_t *data;
	uint32_t len;
	uint32_t segment; /* datagrams: size of each but the last, which may be shorter; never 0 */
	struct endpoint from; /* datagrams: remote, and the local address it came to */
};

struct ring_send {
	struct endpoint to;
	uint8_t *data;
	uint32_t len; /* at most RING_SEND_MAX when segmented */
	uint32_t segment; /* as in struct ring_event; == len: one datagram */
	uint8_t tos;
	bool single; /* its way took no UDP_SEGMENT lately: send one by one at once */
	/* out, valid after ring_flush() */
	uint32_t failed; /* datagrams that were not sent */
	int error; /* -errno of the last that was not, or 0 */
	bool source_stale; /* it went only after forgetting @to's source */
	bool gso_fallback; /* it was sent one by one after UDP_SEGMENT was refused */
};

struct ring_write {
	uint16_t port;
	uint16_t iov_count;
	uint16_t packets; /* merged in it; for whoever counts them */
	struct iovec *iov; /* struct wire_vnet first, then the frame's pieces */
	int error; /* out, as above; 0 or -errno */
};

struct ring;

struct ring_ops {
	int (*add_tap)(struct ring *ring, uint16_t port, int fd);
	void (*remove_tap)(struct ring *ring, uint16_t port);
	int (*set_udp)(struct ring *ring, int fd4, int fd6);
	unsigned int (*wait)(struct ring *ring, uint64_t deadline_ns, struct ring_event *events,
	                     unsigned int max);
	void (*send)(struct ring *ring, struct ring_send *sends, unsigned int n);
	void (*write)(struct ring *ring, struct ring_write *writes, unsigned int n);
	void (*flush)(struct ring *ring);
	void (*wake)(struct ring *ring);
	void (*drain)(struct ring *ring);
	void (*close)(struct ring *ring);
};

/* Backends embed this first. */
struct ring {
	const struct ring_ops *ops;
	const char *name; /* "io_uring", "poll" */
	char features[128]; /* what the kernel gave and lacks, for the one line at start */
	bool more; /* the last wait gave as much as it may, and left something behind */
	uint64_t overflowed; /* datagrams lost in socket buffers so far (SO_RXQ_OVFL) */
	uint64_t refused; /* datagrams so far that were empty, cut short, or of no sender */
};

/*
 * Open a backend. 0 or -errno (-ENOSYS, -EPERM, -EOPNOTSUPP: this kernel or
 * sandbox has no io_uring that serves; use the other). Called by the worker's
 * own thread: an io_uring has a single issuer.
 */
int ring_open_uring(struct ring **ring);
int ring_open_poll(struct ring **ring);

/* The ring reads from @fd (non-blocking) from now on; it stays the caller's to close. */
static inline int ring_add_tap(struct ring *ring, uint16_t port, int fd)
{
	return ring->ops->add_tap(ring, port, fd);
}

/* On return nothing reads from or writes to the port's descriptor any more. */
static inline void ring_remove_tap(struct ring *ring, uint16_t port)
{
	ring->ops->remove_tap(ring, port);
}

/* Either may be -1. Replaces the sockets in use; on return the old are idle. */
static inline int ring_set_udp(struct ring *ring, int fd4, int fd6)
{
	return ring->ops->set_udp(ring, fd4, fd6);
}

/*
 * Returns up to @max (≤ RING_EVENTS_MAX) events; 0 after ring_wake(), a signal
 * or @deadline_ns (CLOCK_BOOTTIME; 0: do not sleep; UINT64_MAX: no deadline), and
 * at times for nothing, when all that came had to be dropped.
 * Frames and datagrams share fairly when there are more than @max.
 */
static inline unsigned int ring_wait(struct ring *ring, uint64_t deadline_ns,
                                     struct ring_event *events, unsigned int max)
{
	return ring->ops->wait(ring, deadline_ns, events, max);
}

static inline void ring_send(struct ring *ring, struct ring_send *sends, unsigned int n)
{
	ring->ops->send(ring, sends, n);
}

static inline void ring_write(struct ring *ring, struct ring_write *writes, unsigned int n)
{
	ring->ops->write(ring, writes, n);
}

static inline void ring_flush(struct ring *ring)
{
	ring->ops->flush(ring);
}

/* From any thread: makes the ring_wait() under way, or the next one, return. */
static inline void ring_wake(struct ring *ring)
{
	ring->ops->wake(ring);
}

/*
 * Nothing is received any more; ring_wait() hands out what was received before, without
 * sleeping, and says by @more whether that was all. Sends and writes go on. For good.
 */
static inline void ring_drain(struct ring *ring)
{
	ring->ops->drain(ring);
}

static inline void ring_close(struct ring *ring)
{
	ring->ops->close(ring);
}

#endif
