/* SPDX-License-Identifier: MIT */
/*
 * The slow path: handshake messages leave the burst for a bounded queue, which
 * the worker drains each round with a budget. The budget has a floor, so that a
 * flood of data never starves handshakes, and a ceiling, so that a flood of
 * handshakes never starves data. What comes in passes, in this order: its
 * length (rx.c), mac1, under load mac2 and the source limiter, and only then a
 * Diffie-Hellman.
 */
#ifndef DATAPLANE_HANDSHAKE_H
#define DATAPLANE_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

struct burst;
struct endpoint;
struct peer;

#define HANDSHAKE_QUEUE 4096
/* An eighth full is load, and stays load for a second. */
#define HANDSHAKE_LOAD    (HANDSHAKE_QUEUE / 8)
#define HANDSHAKE_LOAD_NS 1000000000ULL
/* Each round: this many at least, and no new one after this long. */
#define HANDSHAKE_FLOOR      2
#define HANDSHAKE_CEILING_NS 500000ULL

struct handshake_queue;

struct handshake_queue *handshake_queue_open(void); /* NULL: out of memory */
void handshake_queue_close(struct handshake_queue *queue);

/* A message of type 1, 2 or 3 and its right length; copied, or dropped and counted. */
void handshake_enqueue(struct burst *burst, const uint8_t *msg, uint32_t len,
                       const struct endpoint *from);
/* A session with @peer is wanted: an initiation goes out soon, unless one did within 5 s. */
void handshake_want(struct burst *burst, struct peer *peer);
/* An initiation now; @retry: the timer's, else the count of attempts begins anew. */
void handshake_initiate(struct burst *burst, struct peer *peer, bool retry);
/* Does a round's share. True if something is left in the queue. */
bool handshake_drain(struct burst *burst);

/* The peer's first packet on a key pair it initiated came: the session is up for sending. */
struct peer_keypair;
void handshake_confirm(struct burst *burst, struct peer_keypair *kp);

#endif
