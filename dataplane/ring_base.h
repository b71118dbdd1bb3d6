/* SPDX-License-Identifier: MIT */
/*
 * What both backends of the ring share. A backend differs in how it waits and
 * how it gets at datagrams; TAPs are read and written, and datagrams sent, by
 * the same plain system calls, none of which ever blocks.
 *
 * A wait receives at most one batch and hands it out. What did not fit into the
 * caller's array is handed out by the next wait before anything else is received,
 * so buffers are written to only while none is in anyone's hands. They are taken
 * from the first on in every batch: the few that a batch needs stay in the
 * processor's cache.
 *
 * Fairness: every descriptor that is ready gets an equal share of a batch, in
 * number and in bytes, and at least one place.
 *
 * TAP writes are done at once; sends are gathered until the flush, one system
 * call for all, in order, and what fails goes the slow path before what is behind
 * it. Both were tried as io_uring requests, and multishot reads of TAPs too
 * (6.18, Zen 4, a system call 120 ns, nanoseconds of processor time):
 *
 *	                            requests  system calls
 *	read and send, 64 KiB           7900          7100
 *	read and send, 64 bytes         3450          3020
 *	write, 100 bytes, in batches    1450          1370
 *	write, 100 bytes, alone         3300          2950
 *
 * A request costs more than the system call that it saves; order needs no
 * argument; and kernels of 6.1 and 6.18 are served alike.
 */
#ifndef DATAPLANE_RING_BASE_H
#define DATAPLANE_RING_BASE_H

#include <sys/socket.h>
#include "dataplane/ring.h"

enum {
	SOURCE_UDP4,
	SOURCE_UDP6,
	SOURCE_TAP, /* of port 0, the others follow */
	SOURCE_COUNT = SOURCE_TAP + RING_PORTS_MAX,
};

/* Bytes that a batch aims at: more gains nothing and leaves the cache. */
#define RING_BATCH_BYTES ((size_t)256 * 1024)
/* Few enough long datagrams to keep the others waiting shortly, whatever the share. */
#define RING_BATCH_LEAST 4u
/* Buffers in a row must not all start in the same sets of a cache. */
#define RING_BUFFER_STRIDE (RING_BUFFER_SIZE + 640)
#define RING_BUFFERS       SOURCE_COUNT /* RING_EVENTS_MAX, or one for each source */
#define RING_BATCH_EVENTS  (RING_EVENTS_MAX + RING_BUFFERS + RING_PORTS_MAX)
#define RING_QUEUE         128u

struct ring_source {
	int fd; /* -1: none */
	bool ready; /* a read may find something */
	bool lost; /* TAPs: a read said so, and RING_PORT_LOST is next */
	uint32_t usual_len; /* moving average of what one read yields */
	uint32_t overflow; /* sockets: last SO_RXQ_OVFL */
	bool counts; /* @overflow is of this ring's time, and what comes on top is counted */
};

struct ring_base;

struct ring_base_hooks {
	/* Begin and end to watch source @s; after stop() nothing uses its descriptor. */
	int (*start)(struct ring_base *base, unsigned int s);
	void (*stop)(struct ring_base *base, unsigned int s);
	/*
	 * Sleeps until the deadline, and marks sources ready or adds datagrams to
	 * the batch. True: the deadline, a wake-up or a signal.
	 */
	bool (*await)(struct ring_base *base, uint64_t deadline_ns);
	/*
	 * Up to @share datagrams of about @bytes in all from a socket marked ready, which it
	 * is no more when those were all.
	 */
	void (*receive)(struct ring_base *base, unsigned int s, unsigned int share, size_t bytes);
	/* Undoes what the backend's open did beside ring_base_open(). */
	void (*close)(struct ring_base *base);
};

/* Backends embed this first. */
struct ring_base {
	struct ring ring;
	const struct ring_base_hooks *hooks;
	int wake_fd;
	unsigned int source_end; /* one past the highest source in use */
	struct ring_source sources[SOURCE_COUNT];

	/* what was received and not yet handed out */
	unsigned int batch_next;
	unsigned int batch_count;
	unsigned int buffers_used;
	bool left; /* the sources have more than what was received */
	bool draining; /* nothing is received any more */
	uint8_t *buffers; /* RING_BUFFERS of RING_BUFFER_STRIDE */
	struct ring_event batch[RING_BATCH_EVENTS];

	unsigned int queue_count;
	struct ring_send *queue[RING_QUEUE];
};

/* @base zeroed. 0 or -errno, nothing held then. ring_close() frees @base. */
int ring_base_open(struct ring_base *base, const char *name, const struct ring_base_hooks *hooks);

uint64_t ring_base_now_ns(void);
/* Takes back the wake-up. */
void ring_base_wake_done(struct ring_base *base);
uint8_t *ring_base_buffer(struct ring_base *base, unsigned int index);
/* How many datagrams of source @s make about @bytes. */
unsigned int ring_base_fit(const struct ring_source *source, size_t bytes);
/* Adds what was received on socket @s to the batch, unless it is to be dropped. */
void ring_base_add_datagram(struct ring_base *base, unsigned int s, struct msghdr *msg,
                            uint8_t *data, uint32_t len);

#endif
