/* SPDX-License-Identifier: MIT */
/*
 * What happened lately: a ring of fixed size, on the control thread. Most of it is
 * seen once a second by looking at what workers leave anyway (the time of the last
 * handshake, endpoints, counters), so the data path knows nothing of events, and a
 * peer that roams a thousand times a second makes one a second.
 *
 * Who follows asks again and again for what is newer than what it has: the daemon
 * keeps nothing for it, and who is slow learns how many it missed.
 */
#ifndef CTL_EVENTS_H
#define CTL_EVENTS_H

#include <jansson.h>
#include <stdint.h>
#include "ctl/state.h"

#define EVENTS_KEPT      512
#define EVENTS_TEXT      200
#define EVENTS_DROP_RATE 100 /* drops a second of one reason: that is told */
/* More peers that come or go at once are one event, with their number: it is no reason to
 * forget all that was before. */
#define EVENTS_PEERS_AT_ONCE 16

enum events_kind {
	EVENTS_HANDSHAKE,
	EVENTS_HANDSHAKE_FAILED,
	EVENTS_ROAM,
	EVENTS_PEER_ADDED,
	EVENTS_PEER_REMOVED,
	EVENTS_JOINED,
	EVENTS_INTRODUCED,
	EVENTS_ATTACHED,
	EVENTS_DETACHED,
	EVENTS_RELOADED,
	EVENTS_RELOAD_FAILED,
	EVENTS_DROPS,
	EVENTS_KINDS
};

/* NULL: out of memory. */
struct events *events_open(void);
void events_close(struct events *events); /* takes NULL */

/*
 * Adds one; nothing where the state keeps none. @peer and @network may be NULL, and
 * need not be in force any more.
 */
void events_add(const struct state *state, enum events_kind kind, const struct config_peer *peer,
                const char *network, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* EVENTS_JOINED or EVENTS_INTRODUCED, of a peer in force: that it was added is not told as well. */
void events_add_host(struct state *state, enum events_kind kind, const uint8_t key[KEY_SIZE],
                     const char *text);
/* Once a second. The first time all that there is counts as seen. */
void events_tick(struct state *state);
/* Those later than number @after. NULL: out of memory. */
json_t *events_show(const struct state *state, uint64_t after);

#endif
