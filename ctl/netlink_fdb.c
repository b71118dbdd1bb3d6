/* SPDX-License-Identifier: MIT */
/*
 * The kernel makes the next part of a dump when the last one was read, and puts it
 * into the queue of the socket behind the events that came before it. So a large dump
 * costs this thread a bounded piece at a time, and an entry that is deleted while the
 * dump is under way is told first by the dump and then by the event, never the other
 * way round.
 *
 * A dump that the socket had no room for fails as events do, by ENOBUFS; then both
 * begin anew.
 */
#include "ctl/netlink_fdb.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "ctl/netlink_cache.h"

#define BUFFER_SIZE 65536
/* Messages of one dispatch, a few milliseconds. An event comes alone, a dump by hundreds. */
#define MESSAGES_MAX 1024

struct netlink_fdb {
	struct mnl_socket *socket;
	const struct netlink_fdb_ops *ops;
	void *arg;
	uint32_t seq;
	uint32_t dumping; /* index of the bridge; 0: no dump is under way */
	bool interrupted; /* the dump under way is not consistent */
	union {
		struct nlmsghdr first;
		char bytes[BUFFER_SIZE];
	} buffer;
};

/* Neighbours of IP, of which a busy host has as many, end in the kernel. */
static int filter_events(int fd)
{
	struct sock_filter lines[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELNEIGH), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, sizeof(struct nlmsghdr)), /* ndm_family */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_BRIDGE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { sizeof(lines) / sizeof(lines[0]), lines };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int netlink_fdb_open(struct netlink_fdb **out, const struct netlink_fdb_ops *ops, void *arg)
{
	struct netlink_fdb *fdb = calloc(1, sizeof(*fdb));
	int fd, group = RTNLGRP_NEIGH, err;

	*out = NULL;
	if (!fdb)
		return -ENOMEM;
	fdb->ops = ops;
	fdb->arg = arg;
	fdb->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!fdb->socket)
		goto fail;
	fd = mnl_socket_get_fd(fdb->socket);
	if (filter_events(fd) < 0 || mnl_socket_bind(fdb->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_setsockopt(fdb->socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
		goto fail;
	*out = fdb;
	return 0;
fail:
	err = -errno;
	netlink_fdb_close(fdb);
	return err;
}

void netlink_fdb_close(struct netlink_fdb *fdb)
{
	if (!fdb)
		return;
	if (fdb->socket)
		mnl_socket_close(fdb->socket);
	free(fdb);
}

int netlink_fdb_fd(const struct netlink_fdb *fdb)
{
	return mnl_socket_get_fd(fdb->socket);
}

/* By struct ifinfomsg and IFLA_MASTER: all kernels know this form. */
int netlink_fdb_dump(struct netlink_fdb *fdb, uint32_t bridge)
{
	struct {
		struct nlmsghdr first;
		char room[64];
	} request = { .room = { 0 } };
	struct nlmsghdr *nlh;
	struct ifinfomsg *info;

	if (fdb->dumping)
		return -EBUSY;
	nlh = mnl_nlmsg_put_header(&request);
	nlh->nlmsg_type = RTM_GETNEIGH;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++fdb->seq;
	info = mnl_nlmsg_put_extra_header(nlh, sizeof(*info));
	info->ifi_family = AF_BRIDGE;
	mnl_attr_put_u32(nlh, IFLA_MASTER, bridge);
	if (mnl_socket_sendto(fdb->socket, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	fdb->dumping = bridge;
	fdb->interrupted = false;
	return 0;
}

static void end_dump(struct netlink_fdb *fdb, int err)
{
	uint32_t bridge = fdb->dumping;

	fdb->dumping = 0;
	fdb->ops->dumped(fdb->arg, bridge, err);
}

static bool is_station(const struct ndmsg *msg)
{
	/* Of hardware, or local: of the bridge and its ports themselves. */
	return msg->ndm_family == AF_BRIDGE && !(msg->ndm_flags & NTF_SELF) &&
	       !(msg->ndm_state & NUD_PERMANENT);
}

static void take_neigh(struct netlink_fdb *fdb, const struct nlmsghdr *nlh)
{
	const struct ndmsg *msg = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *table[NDA_MAX + 1];
	struct netlink_station station = { .gone = nlh->nlmsg_type == RTM_DELNEIGH };

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*msg) || !is_station(msg))
		return;
	netlink_collect(nlh, sizeof(*msg), table, NDA_MAX);
	station.bridge = netlink_attr_u32(table[NDA_MASTER]);
	station.port = (uint32_t)msg->ndm_ifindex;
	if (station.bridge == 0 || !netlink_attr_holds(table[NDA_LLADDR], ETHER_ADDR_SIZE))
		return;
	memcpy(station.mac, mnl_attr_get_payload(table[NDA_LLADDR]), ETHER_ADDR_SIZE);
	if (netlink_attr_holds(table[NDA_CACHEINFO], sizeof(struct nda_cacheinfo))) {
		const struct nda_cacheinfo *info = mnl_attr_get_payload(table[NDA_CACHEINFO]);

		station.silent_cs = info->ndm_updated;
	}
	fdb->ops->station(fdb->arg, &station);
}

/* What the kernel says to our request, dumped entries excepted. */
static void take_answer(struct netlink_fdb *fdb, const struct nlmsghdr *nlh)
{
	int code = 0;

	if (!fdb->dumping || nlh->nlmsg_seq != fdb->seq)
		return; /* of one that was given up */
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		fdb->interrupted = true;
	if (nlh->nlmsg_type != NLMSG_ERROR && nlh->nlmsg_type != NLMSG_DONE)
		return;
	/* Both begin with the number. */
	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(code))
		memcpy(&code, mnl_nlmsg_get_payload(nlh), sizeof(code));
	end_dump(fdb, code ? code : fdb->interrupted ? -EINTR : 0);
}

/* Returns how many there were. */
static unsigned int take_messages(struct netlink_fdb *fdb, int len)
{
	unsigned int port = mnl_socket_get_portid(fdb->socket);
	const struct nlmsghdr *nlh = &fdb->buffer.first;
	unsigned int count = 0;

	for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len), count++) {
		if (nlh->nlmsg_type == RTM_NEWNEIGH || nlh->nlmsg_type == RTM_DELNEIGH)
			take_neigh(fdb, nlh);
		/* An event that someone's request brought about bears that one's numbers. */
		if (nlh->nlmsg_pid == port)
			take_answer(fdb, nlh);
	}
	return count;
}

/* What is left of the dump is still on its way, and is not listened to. */
static void lose(struct netlink_fdb *fdb)
{
	if (fdb->dumping)
		end_dump(fdb, -ENOBUFS);
	fdb->ops->lost(fdb->arg);
}

void netlink_fdb_dispatch(struct netlink_fdb *fdb)
{
	for (unsigned int taken = 0; taken < MESSAGES_MAX; taken++) {
		struct sockaddr_nl from = { .nl_family = AF_NETLINK };
		struct iovec iov = { &fdb->buffer, sizeof(fdb->buffer) };
		struct msghdr msg = { .msg_name = &from,
			              .msg_namelen = sizeof(from),
			              .msg_iov = &iov,
			              .msg_iovlen = 1 };
		ssize_t len = recvmsg(mnl_socket_get_fd(fdb->socket), &msg, 0);

		if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0 || msg.msg_flags & MSG_TRUNC)
			lose(fdb);
		else if (from.nl_pid == 0)
			taken += take_messages(fdb, (int)len);
	}
}
