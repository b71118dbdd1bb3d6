/* SPDX-License-Identifier: MIT */
/*
 * Nothing that ICMP says moves these sockets: with IP_PMTUDISC_DONT or WANT one
 * spoofed "fragmentation needed" makes the kernel refuse UDP_SEGMENT sends for
 * ten minutes; with OMIT it does not, and IP fragments what is too long for the
 * device.
 *
 * The source address of a send is the one the peer last wrote to. Its interface
 * is named only for link-local addresses, which mean nothing without. With an
 * interface named, Linux takes a destination for which that interface has no
 * route to be on its link, and asks for it by ARP there for ever: a peer that
 * reaches us over a path other than the one we have to it would never get an
 * answer, and no error would say so.
 */
#include "dataplane/udp.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

/* linux/udp.h of 4.18 and 5.0. */
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* How often a port that is free for IPv4 may turn out to be taken for IPv6. */
#define BIND_TRIES 32
#define SEND_BATCH 32

_Static_assert(CMSG_SPACE(sizeof(struct in6_pktinfo)) + 3 * CMSG_SPACE(sizeof(int)) <=
                       UDP_CONTROL_SIZE,
               "all that is asked for on receive, and all that is said on send");

/* ---- opening ---- */

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void set_buffers(int fd, uint32_t bytes)
{
	int value = bytes > INT_MAX / 2 ? INT_MAX / 2 : (int)bytes;

	if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, value))
		(void)set_option(fd, SOL_SOCKET, SO_RCVBUF, value);
	if (set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, value))
		(void)set_option(fd, SOL_SOCKET, SO_SNDBUF, value);
}

static int set_options(int fd, int family)
{
	int err;

	if (family == AF_INET) {
		err = set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_OMIT);
		if (!err)
			err = set_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (!err)
			err = set_option(fd, IPPROTO_IP, IP_RECVTOS, 1);
		return err;
	}
	err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err)
		err = set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_OMIT);
	if (!err)
		err = set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	if (!err)
		err = set_option(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	return err;
}

static int bind_any(int fd, int family, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	int ret;

	if (family == AF_INET)
		ret = bind(fd, (struct sockaddr *)&in, sizeof(in));
	else
		ret = bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	return ret < 0 ? -errno : 0;
}

/* What all sockets of a group are opened by. */
struct wanted {
	uint16_t port;
	uint32_t fwmark;
	uint32_t buffer;
	bool join; /* the port is ours already */
};

static int open_one(int family, const struct wanted *wanted)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
	int err;

	if (fd < 0)
		return -errno;
	err = set_options(fd, family);
	if (!err && wanted->fwmark)
		err = set_option(fd, SOL_SOCKET, SO_MARK, (int)wanted->fwmark);
	if (!err && wanted->join)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err)
		err = bind_any(fd, family, wanted->port);
	if (err) {
		close(fd);
		return err;
	}
	set_buffers(fd, wanted->buffer);
	(void)set_option(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
	return fd;
}

static int bound_port(int fd, uint16_t *port)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	if (getsockname(fd, (struct sockaddr *)&in, &len) < 0)
		return -errno;
	*port = ntohs(in.sin_port);
	return 0;
}

static int open_pair(struct udp_sockets *udp, struct wanted wanted)
{
	int err;

	udp->fd4 = open_one(AF_INET, &wanted);
	if (udp->fd4 < 0)
		return udp->fd4;
	err = bound_port(udp->fd4, &udp->port);
	if (err)
		goto out;
	wanted.port = udp->port;
	udp->fd6 = open_one(AF_INET6, &wanted);
	if (udp->fd6 == -EAFNOSUPPORT)
		udp->fd6 = -1; /* a kernel without IPv6 */
	else if (udp->fd6 < 0)
		err = udp->fd6;
out:
	if (err)
		udp_close(udp);
	return err;
}

static void set_segmentation(struct udp_sockets *udp)
{
	int segment = 0;
	socklen_t len = sizeof(segment);

	udp->gso = getsockopt(udp->fd4, IPPROTO_UDP, UDP_SEGMENT, &segment, &len) == 0;
	udp->gro = !set_option(udp->fd4, IPPROTO_UDP, UDP_GRO, 1) &&
	           (udp->fd6 < 0 || !set_option(udp->fd6, IPPROTO_UDP, UDP_GRO, 1));
}

/* Lets others join what was bound without them. */
static int share(const struct udp_sockets *udp)
{
	int err = set_option(udp->fd4, SOL_SOCKET, SO_REUSEPORT, 1);

	if (!err && udp->fd6 >= 0)
		err = set_option(udp->fd6, SOL_SOCKET, SO_REUSEPORT, 1);
	return err;
}

int udp_open(struct udp_sockets *udp, uint16_t port, uint32_t fwmark, uint32_t buffer)
{
	return udp_open_group(udp, 1, port, fwmark, buffer);
}

int udp_open_group(struct udp_sockets *group, unsigned int count, uint16_t port, uint32_t fwmark,
                   uint32_t buffer)
{
	struct wanted wanted = { .port = port, .fwmark = fwmark, .buffer = buffer };
	int err = -EADDRINUSE;

	for (unsigned int i = 0; i < count; i++)
		group[i] = (struct udp_sockets){ .fd4 = -1, .fd6 = -1 };
	for (int tries = port ? 1 : BIND_TRIES; tries > 0 && err == -EADDRINUSE; tries--)
		err = open_pair(&group[0], wanted);
	if (!err && count > 1)
		err = share(&group[0]);
	wanted.port = group[0].port;
	wanted.join = true;
	for (unsigned int i = 1; i < count && !err; i++)
		err = open_pair(&group[i], wanted);
	for (unsigned int i = 0; i < count; i++) {
		if (err)
			udp_close(&group[i]);
		else
			set_segmentation(&group[i]);
	}
	return err;
}

static bool has_option(int fd, int level, int name, int value)
{
	socklen_t len = sizeof(int);
	int is;

	return getsockopt(fd, level, name, &is, &len) == 0 && is == value;
}

/* Puts a socket that was bound to *@port, or to any if that is 0, in its family's next place. */
static bool adopt_one(struct udp_sockets *group, unsigned int count, int fd, uint16_t *port,
                      uint32_t fwmark)
{
	bool v4 = has_option(fd, SOL_SOCKET, SO_DOMAIN, AF_INET);
	uint16_t bound = 0;

	if ((!v4 && !has_option(fd, SOL_SOCKET, SO_DOMAIN, AF_INET6)) ||
	    !has_option(fd, SOL_SOCKET, SO_PROTOCOL, IPPROTO_UDP) ||
	    !has_option(fd, SOL_SOCKET, SO_MARK, (int)fwmark) ||
	    !has_option(fd, SOL_SOCKET, SO_REUSEPORT, count > 1) || bound_port(fd, &bound) ||
	    !bound || (*port && bound != *port))
		return false;
	*port = bound;
	for (unsigned int i = 0; i < count; i++) {
		int *place = v4 ? &group[i].fd4 : &group[i].fd6;

		if (*place >= 0)
			continue;
		*place = fd;
		return true;
	}
	return false;
}

int udp_adopt_group(struct udp_sockets *group, unsigned int count, const int *fds, unsigned int n,
                    uint16_t port, uint32_t fwmark)
{
	bool good = n == count || n == 2 * count; /* without IPv6, or with */

	for (unsigned int i = 0; i < count; i++)
		group[i] = (struct udp_sockets){ .fd4 = -1, .fd6 = -1 };
	for (unsigned int i = 0; i < n && good; i++)
		good = adopt_one(group, count, fds[i], &port, fwmark);
	for (unsigned int i = 0; i < count && good; i++)
		good = group[i].fd4 >= 0;
	for (unsigned int i = 0; i < count; i++) {
		if (!good) {
			group[i] = (struct udp_sockets){ .fd4 = -1, .fd6 = -1 };
			continue;
		}
		group[i].port = port;
		set_segmentation(&group[i]);
	}
	return good ? 0 : -EINVAL;
}

void udp_close(struct udp_sockets *udp)
{
	if (udp->fd4 >= 0)
		close(udp->fd4);
	if (udp->fd6 >= 0)
		close(udp->fd6);
	udp->fd4 = udp->fd6 = -1;
	udp->port = 0;
}

int udp_set_fwmark(const struct udp_sockets *udp, uint32_t fwmark)
{
	int err = 0;

	if (udp->fd4 >= 0)
		err = set_option(udp->fd4, SOL_SOCKET, SO_MARK, (int)fwmark);
	if (!err && udp->fd6 >= 0)
		err = set_option(udp->fd6, SOL_SOCKET, SO_MARK, (int)fwmark);
	return err;
}

/* ---- ancillary data out ---- */

static void control_put(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
	uint8_t *at = (uint8_t *)msg->msg_control + msg->msg_controllen;
	struct cmsghdr head = { .cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type };

	memcpy(at, &head, sizeof(head));
	memcpy(at + CMSG_LEN(0), data, len);
	msg->msg_controllen += CMSG_SPACE(len);
}

static bool source_is_set(const struct endpoint *ep)
{
	if (ep->remote.sa.sa_family == AF_INET)
		return ep->source.in.s_addr != 0;
	return !IN6_IS_ADDR_UNSPECIFIED(&ep->source.in6);
}

static void put_source(struct msghdr *msg, const struct endpoint *to)
{
	if (!source_is_set(to))
		return;
	if (to->remote.sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = to->source.in };

		control_put(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	} else {
		struct in6_pktinfo info = { .ipi6_addr = to->source.in6 };

		if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
			info.ipi6_ifindex = to->source_ifindex;
		control_put(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	}
}

void udp_message_fill(struct msghdr *msg, struct iovec *iov, void *control, struct ring_send *send)
{
	bool v4 = send->to.remote.sa.sa_family == AF_INET;

	memset(control, 0, UDP_CONTROL_SIZE);
	iov->iov_base = send->data;
	iov->iov_len = send->len;
	*msg = (struct msghdr){
		.msg_name = &send->to.remote,
		.msg_namelen = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
		.msg_iov = iov,
		.msg_iovlen = 1,
		.msg_control = control,
	};
	put_source(msg, &send->to);
	if (send->tos) {
		int tos = send->tos;

		if (v4)
			control_put(msg, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
		else
			control_put(msg, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	}
	if (send->segment < send->len) {
		uint16_t segment = (uint16_t)send->segment;

		control_put(msg, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment));
	}
	if (!msg->msg_controllen)
		msg->msg_control = NULL;
}

/* ---- ancillary data in ---- */

struct control_item {
	int level;
	int type;
	const uint8_t *data;
	size_t len;
};

enum control_verdict { CONTROL_ITEM, CONTROL_END, CONTROL_BAD };

/*
 * CMSG_NXTHDR() trusts cmsg_len; this walk always moves on and never leaves
 * msg_controllen.
 */
static enum control_verdict control_next(const struct msghdr *msg, size_t *offset,
                                         struct control_item *item)
{
	struct cmsghdr head;
	size_t left;

	if (*offset >= msg->msg_controllen)
		return CONTROL_END;
	left = msg->msg_controllen - *offset;
	if (left < sizeof(head))
		return CONTROL_BAD;
	memcpy(&head, (const uint8_t *)msg->msg_control + *offset, sizeof(head));
	if (head.cmsg_len < CMSG_LEN(0) || head.cmsg_len > left)
		return CONTROL_BAD;
	item->level = head.cmsg_level;
	item->type = head.cmsg_type;
	item->data = (const uint8_t *)msg->msg_control + *offset + CMSG_LEN(0);
	item->len = head.cmsg_len - CMSG_LEN(0);
	*offset += CMSG_ALIGN(head.cmsg_len);
	return CONTROL_ITEM;
}

static bool item_get(const struct control_item *item, int level, int type, void *out, size_t len)
{
	if (item->level != level || item->type != type || item->len < len)
		return false;
	memcpy(out, item->data, len);
	return true;
}

static void parse_item(const struct control_item *item, struct ring_event *event,
                       uint32_t *overflow)
{
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	uint8_t byte;
	int number;

	if (item_get(item, SOL_SOCKET, SO_RXQ_OVFL, overflow, sizeof(*overflow)))
		return;
	if (item_get(item, IPPROTO_UDP, UDP_GRO, &number, sizeof(number))) {
		if (number > 0)
			event->segment = (uint32_t)number;
		return;
	}
	if (event->from.remote.sa.sa_family == AF_INET) {
		if (item_get(item, IPPROTO_IP, IP_TOS, &byte, sizeof(byte))) {
			event->tos = byte;
		} else if (item_get(item, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4))) {
			event->from.source.in = info4.ipi_spec_dst;
			event->from.source_ifindex = (uint32_t)info4.ipi_ifindex;
		}
	} else if (item_get(item, IPPROTO_IPV6, IPV6_TCLASS, &number, sizeof(number))) {
		event->tos = (uint8_t)number;
	} else if (item_get(item, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6)) &&
	           !IN6_IS_ADDR_MULTICAST(&info6.ipi6_addr)) {
		event->from.source.in6 = info6.ipi6_addr;
		event->from.source_ifindex = info6.ipi6_ifindex;
	}
}

static bool parse_name(const struct msghdr *msg, struct endpoint *from)
{
	const struct sockaddr *sa = msg->msg_name;

	if (msg->msg_namelen >= sizeof(from->remote.in) && sa->sa_family == AF_INET) {
		memcpy(&from->remote.in, msg->msg_name, sizeof(from->remote.in));
		return from->remote.in.sin_port != 0;
	}
	if (msg->msg_namelen >= sizeof(from->remote.in6) && sa->sa_family == AF_INET6) {
		memcpy(&from->remote.in6, msg->msg_name, sizeof(from->remote.in6));
		return from->remote.in6.sin6_port != 0;
	}
	return false;
}

bool udp_message_parse(struct msghdr *msg, uint32_t len, struct ring_event *event,
                       uint32_t *overflow)
{
	enum control_verdict verdict;
	struct control_item item;
	size_t offset = 0;

	if (len == 0 || (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return false;
	memset(&event->from, 0, sizeof(event->from));
	if (!parse_name(msg, &event->from))
		return false;
	event->type = RING_DATAGRAM;
	event->port = 0;
	event->tos = 0;
	event->len = len;
	event->segment = len;
	while ((verdict = control_next(msg, &offset, &item)) == CONTROL_ITEM)
		parse_item(&item, event, overflow);
	if (event->segment > len)
		event->segment = len;
	return verdict == CONTROL_END;
}

bool udp_event_take(struct ring_event *rest, struct ring_event *part)
{
	*part = *rest;
	if (rest->type != RING_DATAGRAM || rest->len / RING_SEGMENTS_MAX < rest->segment ||
	    rest->len == rest->segment * RING_SEGMENTS_MAX)
		return true;
	part->len = rest->segment * RING_SEGMENTS_MAX;
	rest->data += part->len;
	rest->len -= part->len;
	if (rest->segment > rest->len)
		rest->segment = rest->len;
	return false;
}

/* ---- sending ---- */

/* What a source that is no longer ours, or no longer leads to the peer, gives. */
static bool error_is_stale(int error)
{
	switch (error) {
	case EINVAL:
	case EADDRNOTAVAIL:
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENODEV:
	case ENXIO:
		return true;
	default:
		return false;
	}
}

/* EIO: the device cannot; EINVAL, EMSGSIZE: a segment is longer than its MTU. */
static bool error_is_gso(int error)
{
	return error == EIO || error == EINVAL || error == EMSGSIZE;
}

static int send_one(int fd, struct ring_send *send)
{
	uint8_t control[UDP_CONTROL_SIZE] __attribute__((aligned(sizeof(size_t))));
	struct msghdr msg;
	struct iovec iov;

	udp_message_fill(&msg, &iov, control, send);
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

/* Sends @send once more without its source; if that does not help either, the source stays. */
static int retry_without_source(int fd, struct ring_send *send, int error)
{
	struct endpoint to = send->to;
	int again;

	if (!error_is_stale(error) || !source_is_set(&send->to))
		return error;
	endpoint_forget_source(&send->to);
	again = send_one(fd, send);
	if (again) {
		send->to = to;
		return again;
	}
	send->source_stale = true;
	return 0;
}

static void send_one_by_one(int fd, struct ring_send *send)
{
	struct ring_send piece = *send;
	uint32_t done = 0;

	while (done < send->len) {
		int error;

		piece.data = send->data + done;
		piece.len = send->len - done < send->segment ? send->len - done : send->segment;
		piece.segment = piece.len;
		done += piece.len;
		error = send_one(fd, &piece);
		if (error)
			error = retry_without_source(fd, &piece, error);
		if (error) {
			send->failed++;
			send->error = -error;
		}
	}
	send->to = piece.to;
	send->source_stale = piece.source_stale;
}

void udp_send_again(int fd, struct ring_send *send, int error)
{
	if (error < 0)
		error = -error;
	send->failed = 0;
	send->error = 0;
	send->source_stale = false;
	send->gso_fallback = false;
	error = retry_without_source(fd, send, error);
	if (!error)
		return;
	if (send->segment < send->len && error_is_gso(error)) {
		send->gso_fallback = true;
		send_one_by_one(fd, send);
		return;
	}
	send->failed = (send->len + send->segment - 1) / send->segment;
	send->error = -error;
}

int udp_send_fd(int fd4, int fd6, struct ring_send *send)
{
	int family = send->to.remote.sa.sa_family;
	int fd = family == AF_INET ? fd4 : family == AF_INET6 ? fd6 : -1;

	send->failed = 0;
	send->error = 0;
	send->source_stale = false;
	send->gso_fallback = false;
	if (send->len == 0)
		return -1;
	if (fd < 0 || send->segment == 0) {
		send->error = fd < 0 ? -EAFNOSUPPORT : -EINVAL;
		send->failed = 1;
		return -1;
	}
	return fd;
}

/* Its segments go one by one at once. */
static bool is_single(const struct ring_send *send)
{
	return send->single && send->segment < send->len;
}

/* The longest run from @sends on that one socket takes; at most SEND_BATCH, at least 1. */
static unsigned int run_length(int fd4, int fd6, struct ring_send **sends, unsigned int n, int *fd)
{
	unsigned int run = 1;

	*fd = udp_send_fd(fd4, fd6, sends[0]);
	if (is_single(sends[0]))
		return run;
	while (*fd >= 0 && run < n && run < SEND_BATCH && !is_single(sends[run]) &&
	       udp_send_fd(fd4, fd6, sends[run]) == *fd)
		run++;
	return run;
}

void udp_send_all(int fd4, int fd6, struct ring_send **sends, unsigned int n)
{
	uint8_t control[SEND_BATCH][UDP_CONTROL_SIZE] __attribute__((aligned(sizeof(size_t))));
	struct mmsghdr messages[SEND_BATCH];
	struct iovec iovs[SEND_BATCH];

	while (n > 0) {
		int fd;
		unsigned int run = run_length(fd4, fd6, sends, n, &fd);
		unsigned int done = 0;

		if (fd >= 0 && is_single(sends[0])) {
			send_one_by_one(fd, sends[0]);
			done = run;
		}
		for (unsigned int i = done; fd >= 0 && i < run; i++)
			udp_message_fill(&messages[i].msg_hdr, &iovs[i], control[i], sends[i]);
		while (fd >= 0 && done < run) {
			int ret = sendmmsg(fd, messages + done, run - done,
			                   MSG_DONTWAIT | MSG_NOSIGNAL);

			if (ret > 0)
				done += (unsigned int)ret;
			else if (errno != EINTR)
				udp_send_again(fd, sends[done++], errno);
		}
		sends += run;
		n -= run;
	}
}
