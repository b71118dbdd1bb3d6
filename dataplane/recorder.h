/* SPDX-License-Identifier: MIT */
/*
 * The flight recorder: of each reason the last thing that was dropped for it, its
 * headers alone. It always runs, floods included: a slot a reason, written at most
 * once a millisecond, so that what a drop costs is one look at a time that rarely
 * changes.
 *
 * Any worker writes: who finds the slot under way by another leaves it to that one.
 * A slot is a sequence lock like a peer's endpoint (peer.c), so the control thread
 * reads it while workers write, and notices when it did.
 */
#ifndef DATAPLANE_RECORDER_H
#define DATAPLANE_RECORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/endpoint.h"
#include "dataplane/header.h"
#include "dataplane/stats.h"

struct network;
struct peer;

#define RECORDER_PAUSE_NS 1000000

/* What is under way, while it is. */
struct recorder_subject {
	enum header_kind kind;
	const uint8_t *data;
	uint32_t len;
	const struct endpoint *from; /* NULL: not from the net, or not known */
};

struct recorder_entry {
	uint64_t when_ns; /* of the device's clock */
	struct endpoint from; /* may be none */
	uint8_t peer[KEY_SIZE]; /* whose it was: the peer may be gone by now */
	uint32_t network; /* its serial; 0: of none, or not known */
	uint32_t len; /* of all of it */
	uint8_t kind; /* enum header_kind */
	bool has_peer;
	uint8_t header_len;
	uint8_t header[HEADER_MAX];
};

#define RECORDER_WORDS ((sizeof(struct recorder_entry) + 7) / 8)

struct recorder_slot {
	_Atomic uint64_t next_ns; /* not written before */
	_Atomic uint32_t sequence; /* odd: being written; 0: never was */
	_Atomic uint64_t words[RECORDER_WORDS];
};

struct recorder {
	struct recorder_slot slots[DROP_COUNT];
};

/* The slow half of recorder_drop(). */
void recorder_write(struct recorder_slot *slot, uint64_t now_ns, const struct peer *peer,
                    const struct network *network, const struct recorder_subject *subject);

/* @peer, @network and @subject may be NULL. Any thread. */
static inline void recorder_drop(struct recorder *recorder, enum drop reason, uint64_t now_ns,
                                 const struct peer *peer, const struct network *network,
                                 const struct recorder_subject *subject)
{
	struct recorder_slot *slot = &recorder->slots[reason];

	if (now_ns >= stats_read(&slot->next_ns))
		recorder_write(slot, now_ns, peer, network, subject);
}

/* False: nothing was recorded for that reason, or it changes all the time. Any thread. */
bool recorder_read(const struct recorder *recorder, enum drop reason, struct recorder_entry *entry);

#endif
