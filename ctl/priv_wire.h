/* SPDX-License-Identifier: MIT */
/*
 * Between the daemon and its helper: a request, a reply, one at a time, each one
 * message of a fixed size over a SOCK_SEQPACKET pair. Descriptors travel beside
 * (SCM_RIGHTS). Both ends are the same program, so the order of bytes is the host's;
 * but who has taken the daemon over writes what he likes.
 */
#ifndef CTL_PRIV_WIRE_H
#define CTL_PRIV_WIRE_H

#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "crypto/message.h"
#include "dataplane/route.h"
#include "dataplane/tap.h"
#include "dataplane/wire.h"

enum priv_verb {
	PRIV_MAKE_TAP, /* @name, @count queues: the descriptors, @name, @index, @uso */
	PRIV_ADOPT_TAP, /* a descriptor of one: @index */
	PRIV_FORGET_TAP, /* @tap */
	PRIV_JOIN_BRIDGE, /* @tap, @bridge */
	PRIV_SET_LINK, /* @tap, @mtu, @mac */
	PRIV_SET_QUEUE, /* @tap, @count frames */
	PRIV_SET_PORT, /* @tap, @mac if @has_mac */
	PRIV_FLUSH_PORT, /* @tap */
	PRIV_ADD_ROUTE, /* @bridge, @prefix */
	PRIV_REMOVE_ROUTE, /* @bridge, @prefix */
	PRIV_OPEN_UDP, /* @port, @count pairs, @fwmark: the descriptors, @port, … */
	PRIV_SET_FWMARK, /* @fwmark, and descriptors of UDP sockets with it */
	PRIV_WIDEN, /* a descriptor of a netlink socket: room for many events */
	PRIV_OPEN_CONFIG, /* the descriptor of the daemon's own file, to read */
	PRIV_READ_KEY, /* @path: @key */
	PRIV_END, /* removes sockets and lock */
	PRIV_VERBS
};

#define PRIV_FDS_MAX (2 * TAP_QUEUES_MAX)

struct priv_request {
	uint32_t verb;
	uint32_t tap; /* index */
	uint32_t bridge; /* index */
	uint32_t mtu;
	uint32_t count;
	uint32_t fwmark;
	uint16_t port;
	uint8_t has_mac;
	uint8_t mac[ETHER_ADDR_SIZE];
	struct prefix prefix;
	char name[IFNAMSIZ];
	char path[PATH_MAX];
};

struct priv_reply {
	int32_t error; /* 0 or -errno */
	uint32_t index;
	uint16_t port;
	uint8_t has_ipv6; /* UDP descriptors come in pairs */
	uint8_t uso;
	uint8_t gso;
	uint8_t gro;
	uint8_t key[KEY_SIZE];
	char name[IFNAMSIZ];
};

struct priv_fds {
	int fd[PRIV_FDS_MAX];
	unsigned int count;
};

/* 0 or -errno; -EPIPE: the other end is gone. Descriptors stay the caller's. */
int priv_wire_send(int fd, const void *message, size_t size, const struct priv_fds *fds);
/*
 * 0 or -errno; -EPIPE: the other end is gone; -EBADMSG: of another size; -EMFILE: descriptors
 * that came with it were lost, too many are open here. What came in @fds is the caller's,
 * and nothing is on an error.
 */
int priv_wire_receive(int fd, void *message, size_t size, struct priv_fds *fds);
void priv_wire_close(struct priv_fds *fds);

/* Whether a TAP of a daemon's may be called so: "ovt-…" or "ov0-…". @name: IFNAMSIZ bytes at the most. */
bool priv_wire_is_tap_name(const char *name);

#endif
