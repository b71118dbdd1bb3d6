/* SPDX-License-Identifier: MIT */
/*
 * Captures: packets copied on their way, for a program that looks at them. That one
 * brings the memory, a ring for each worker, and shares it; the worker alone puts
 * records in, the reader alone takes them out, and neither waits for the other: what
 * does not fit is not put in, and counted. A reader that stands still for hours costs
 * the worker a look at a counter for each packet, one that scribbles in the ring harms
 * nobody but itself: of what lies there the worker reads how far the reader is, and
 * believes it only within the ring's bounds.
 *
 * Copied is what a worker has at hand in a burst anyway, so that without a capture it
 * costs a branch a burst:
 *
 *	inner, out   what the tunnel gets, before it is sealed: one record for each
 *	             packet, as it was cut
 *	inner, in    what the tunnel gave, after the inner checks, before it is merged:
 *	             with what the sender's worker put in its record it can be compared
 *	outer        datagrams as they came, and after they were sent
 *	keys         the ephemeral keys of handshakes made while the capture is on
 *
 * What was dropped with a container's packet at hand is captured, too, with its reason.
 */
#ifndef DATAPLANE_CAPTURE_H
#define DATAPLANE_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/endpoint.h"
#include "dataplane/ring.h"
#include "dataplane/stats.h"

struct burst;
struct network;
struct peer;

/* ---- what is shared: memory of worker i begins at i times the size of one ---- */

#define CAPTURE_LAYOUT      2 /* of all this; both sides have to mean the same */
#define CAPTURE_NAME        64 /* of a network, with its end */
#define CAPTURE_SNAPLEN_MAX 262144u

/* Where a record belongs: the port of its network, or */
enum capture_place {
	CAPTURE_NO_NETWORK = RING_PORTS_MAX, /* an IP packet of none */
	CAPTURE_NO_SEGMENT, /* a frame of none */
	CAPTURE_UDP, /* the device's sockets */
	CAPTURE_SECRETS,
	CAPTURE_PLACES
};

struct capture_ring {
	_Alignas(64) _Atomic uint64_t head; /* bytes that were ever put in */
	_Atomic uint64_t lost[CAPTURE_PLACES]; /* records that did not fit */
	_Alignas(64) _Atomic uint64_t tail; /* bytes that were ever taken out: the reader's */
};
#define CAPTURE_HEAD 4096u /* records begin behind so many bytes */
_Static_assert(sizeof(struct capture_ring) <= CAPTURE_HEAD, "head of a ring");

enum capture_type {
	CAPTURE_PAD, /* nothing up to the ring's end: a record lies in one piece */
	CAPTURE_NETWORK, /* a name, before the first packet of the network */
	CAPTURE_PACKET,
	CAPTURE_KEY,
};
enum capture_direction { CAPTURE_IN = 1, CAPTURE_OUT = 2 };

struct capture_record {
	uint32_t size; /* of all of it, a multiple of 8; a CAPTURE_PAD may end behind @type */
	uint8_t type;
	uint8_t place;
	uint8_t direction;
	uint8_t reason; /* enum drop; DROP_NONE: it went on */
	uint64_t wall_ns;
	uint32_t len; /* of the packet as it was */
	uint32_t captured; /* and of what is here of it */
	uint32_t network; /* serial; 0: none */
	uint16_t port; /* CAPTURE_UDP: ours */
	uint8_t has_peer;
	uint8_t unused;
	uint8_t peer[KEY_SIZE];
	/* CAPTURE_UDP: a struct endpoint. Then what was captured, or one of these */
};
struct capture_network {
	char name[CAPTURE_NAME];
	uint64_t bridged;
};
struct capture_key {
	uint8_t ephemeral[KEY_SIZE];
	uint8_t psk[KEY_SIZE]; /* all zero: none */
};
_Static_assert(sizeof(struct capture_record) == 64, "record");
_Static_assert(sizeof(struct endpoint) % 8 == 0 && DROP_COUNT <= UINT8_MAX, "parts of a record");

/* ---- a worker's part ---- */

enum capture_what { CAPTURE_INNER = 1, CAPTURE_OUTER = 2, CAPTURE_KEYS = 4 };

struct capture_filter {
	unsigned int what;
	uint32_t snaplen;
	bool has_peer; /* of that peer only, */
	uint8_t peer[KEY_SIZE];
	char network[CAPTURE_NAME]; /* or inner ones of that network only; "": of all */
};

struct capture {
	struct capture *next; /* the worker's */
	struct capture_filter filter;
	struct capture_ring *ring;
	uint8_t *records;
	uint64_t room; /* bytes for them, a multiple of 8 */
	uint64_t head; /* the ring's own may be scribbled on */
	uint64_t tail; /* as it was last seen */
	uint32_t named[RING_PORTS_MAX]; /* serials of networks the reader knows */
	uint64_t packets, lost; /* put in, and not: all but names */
};

/* @memory of @size bytes (a multiple of 8, more than CAPTURE_HEAD), zeroed and shared with the reader. */
void capture_init(struct capture *capture, const struct capture_filter *filter, void *memory,
                  uint64_t size);

/*
 * Calls of workers, and only while burst->captures is not NULL.
 */

/* A round begins: datagrams before they are opened, where they lie. */
void capture_datagrams(struct burst *burst, const struct ring_event *events, unsigned int n);
/* The burst's packets, which are about to be sealed. */
void capture_packets(struct burst *burst);
/* Its datagrams, which were sent. */
void capture_sends(struct burst *burst);
/* A plaintext that was taken, or dropped for what capture_drop() was told meanwhile. */
void capture_plaintext(struct burst *burst, const struct peer *peer, const uint8_t *data,
                       uint32_t len);
/* What is under way is dropped. @peer and @network may be NULL. */
void capture_drop(struct burst *burst, const struct peer *peer, const struct network *network,
                  enum drop reason);
/* A message of a handshake with @peer is made of this; peer's lock held. */
void capture_key(struct burst *burst, const struct peer *peer, const uint8_t ephemeral[KEY_SIZE]);

#endif
