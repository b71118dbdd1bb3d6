/* SPDX-License-Identifier: MIT */
/*
 * A unix stream socket that takes requests and gives replies, for the control
 * thread's poll loop. It never blocks: requests are collected and replies sent
 * as the clients give and take; who sends too much, takes too slowly or keeps a
 * half request too long is dropped, and replies that nobody takes have a bound together,
 * for root's and for others' each. Both of the daemon's sockets are made of
 * this (server.h, uapi.h); they differ in what ends a request and what answers it.
 *
 * Who a client is the kernel says (SO_PEERCRED), as of its connect(2): root and
 * who opened the listener may do anything, members of the group of readers may look,
 * anybody else is dropped. The path's mode says the same once more.
 */
#ifndef CTL_LISTENER_H
#define CTL_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/buffer.h"

#define LISTENER_CLIENTS_MAX 64
#define LISTENER_FDS_MAX     (LISTENER_CLIENTS_MAX + 1)
#define LISTENER_READERS_MAX (LISTENER_CLIENTS_MAX / 2) /* of them, who may not change anything */
#define LISTENER_REQUEST_S   30 /* for a request to be complete, and for a reply to move on */
#define LISTENER_REPLY_S     300 /* for a reply to be taken */
#define LISTENER_IDLE_S      600 /* between two requests of a client that stays */

struct listener;
struct pollfd;

/* A request, and the descriptor that came with it. */
struct listener_passed {
	int fd;
	int client;
	char *request;
	size_t len;
};

struct listener_ops {
	const char *end; /* a request ends behind this */
	size_t request_max; /* of one request, its end included; */
	size_t total_max; /* of all clients' requests together */
	size_t reply_max;
	/* Replies that were not taken yet: beyond it who asks waits, and who takes nothing is dropped. */
	size_t held_max;
	/* @request includes its end and may be overwritten. False: drop the client without a word. */
	bool (*answer)(void *arg, char *request, size_t len, struct buffer *reply);
	/* The same for who may look but change nothing; NULL: such clients are not let in. */
	bool (*answer_reader)(void *arg, char *request, size_t len, struct buffer *reply);
	/*
	 * The same for a request that came with a descriptor, of who may change things: the
	 * descriptor is taken over; @client is the connection's, to ask the kernel who it is.
	 * *@held, when set, is given back by gone() once the client has gone, which is not
	 * dropped for its silence until then. NULL: descriptors are not taken.
	 */
	bool (*answer_passed)(void *arg, const struct listener_passed *passed, struct buffer *reply,
	                      void **held);
	void (*gone)(void *arg, void *held);
	/* Said to who sent more than request_max; may be NULL. */
	void (*refuse)(struct buffer *reply);
	/* Said when there is no memory for request or reply, or the reply is too long; may be NULL. */
	void (*no_reply)(struct buffer *reply);
	size_t reader_request_max; /* of theirs: they need no long ones, and share total_max */
	/*
	 * With answer_reader: whose members may look. May be missing on the host, and where
	 * this process may not let them in, that is said and no failure.
	 */
	const char *readers;
};

/*
 * Binds @path, mode 0600, or 0660 for the group of readers where there is one. A socket that nobody listens on any more is replaced;
 * -EADDRINUSE: someone does; -ENOTSOCK: something else lies there. @ops and @arg last as long as the listener.
 */
int listener_open(struct listener **listener, const char *path, const struct listener_ops *ops,
                  void *arg);
/* Removes the path too, if this process may. */
void listener_close(struct listener *listener);

/* Fills @fds (room for LISTENER_FDS_MAX) and returns how many. */
unsigned int listener_poll_fds(struct listener *listener, struct pollfd *fds);
/* With what poll() left of those. */
void listener_dispatch(struct listener *listener, const struct pollfd *fds, unsigned int n,
                       uint64_t now_ns);
/* Once a second or so: drops whose time is over, tries again to accept whom it could not. */
void listener_tick(struct listener *listener, uint64_t now_ns);

#endif
