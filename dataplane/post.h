/* SPDX-License-Identifier: MIT */
/*
 * Post: control messages that are not the data path's business but the control
 * thread's (join.h). Workers put what peers sent into one bounded box, by kind and
 * role of the peer alone, and wake the control thread by a descriptor; what that sends
 * to a peer lies with the peer, one message at the most, until a worker seals it. Either way a
 * message may be lost: who sends repeats.
 *
 * Nothing here costs a worker that gets no such message anything. No peer fills the box for the
 * others: each may put one message in POST_SPACING_NS.
 */
#ifndef DATAPLANE_POST_H
#define DATAPLANE_POST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "crypto/message.h"

struct burst;
struct peer;
struct post;

#define POST_BOX        64u
#define POST_SIZE_MAX   1280u /* fits the least tunnel MTU with IPv6 */
#define POST_SPACING_NS 5000000ULL

struct post_message {
	uint8_t from[KEY_SIZE];
	uint32_t session; /* by which it came: our index of the key pair */
	uint32_t len;
	uint8_t bytes[POST_SIZE_MAX];
};

/* In struct peer. */
struct post_share {
	_Atomic uint64_t taken_ns; /* when its last message was put into the box */
	uint8_t *bytes; /* what is to be sent to it; this and what follows under its lock */
	uint32_t len; /* 0: nothing */
	bool is_answer; /* goes by @session, or not at all */
	uint32_t session;
};

/* The box, one a device. 0 or -errno. */
int post_open(struct post **post);
void post_close(struct post *post); /* takes NULL */
/* Readable while there is something in the box. */
int post_fd(const struct post *post);
/* Control thread. False: the box is empty. */
bool post_take(struct post *post, struct post_message *message);

/*
 * Worker: a message of join.h's types, authenticated, by the key pair of our index @session. Drops
 * and counts what its sender may not send.
 */
void post_receive(struct burst *burst, struct peer *peer, uint32_t session, const uint8_t *data,
                  uint32_t len);

/*
 * Control thread: @data goes to @peer, in the place of what did not go yet; without a
 * session one is asked for, and the message is lost if none comes. @len 0: a session is
 * all that is wanted. Workers are to be kicked. 0, -ENOMEM, -EMSGSIZE.
 */
int post_send(struct peer *peer, const void *data, uint32_t len);
/*
 * The same, to whom a message came from by @session, by that alone: of several who have the key
 * of an invitation, nobody gets another's answer. It is lost once that session is no more.
 */
int post_answer(struct peer *peer, uint32_t session, const void *data, uint32_t len);
/* TIMER_POST. */
void post_due(struct burst *burst, struct peer *peer);
/* The peer is released. */
void post_clear(struct post_share *share);

#endif
