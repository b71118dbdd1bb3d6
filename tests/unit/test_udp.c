/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "dataplane/udp.h"

static struct endpoint endpoint_v4(uint32_t addr, uint16_t port)
{
	return (struct endpoint){ .remote.in = { .sin_family = AF_INET,
		                                 .sin_port = htons(port),
		                                 .sin_addr.s_addr = htonl(addr) } };
}

static struct endpoint endpoint_v6(const char *addr, uint16_t port)
{
	struct endpoint ep = { .remote.in6 = { .sin6_family = AF_INET6,
		                               .sin6_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET6, addr, &ep.remote.in6.sin6_addr), 1);
	return ep;
}

/* ---- ancillary data out ---- */

struct filled {
	struct msghdr msg;
	struct iovec iov;
	uint8_t control[UDP_CONTROL_SIZE] __attribute__((aligned(8)));
};

static void fill(struct filled *out, struct ring_send *send)
{
	memset(out->control, 0xee, sizeof(out->control));
	udp_message_fill(&out->msg, &out->iov, out->control, send);
}

static const void *find(struct filled *filled, int level, int type, size_t len)
{
	struct cmsghdr *head;

	for (head = CMSG_FIRSTHDR(&filled->msg); head; head = CMSG_NXTHDR(&filled->msg, head)) {
		if (head->cmsg_level != level || head->cmsg_type != type)
			continue;
		assert_int_equal(head->cmsg_len, CMSG_LEN(len));
		return CMSG_DATA(head);
	}
	return NULL;
}

static void fill_v4(void **state)
{
	struct ring_send send = { .to = endpoint_v4(0xc0000201, 51820),
		                  .len = 100,
		                  .segment = 100 };
	struct filled filled;
	struct in_pktinfo info;
	uint8_t data[100];
	uint16_t segment;
	int tos;

	(void)state;
	send.data = data;
	fill(&filled, &send);
	assert_ptr_equal(filled.iov.iov_base, data);
	assert_int_equal(filled.iov.iov_len, 100);
	assert_int_equal(filled.msg.msg_namelen, sizeof(struct sockaddr_in));
	assert_memory_equal(filled.msg.msg_name, &send.to.remote.in, sizeof(struct sockaddr_in));
	assert_int_equal(filled.msg.msg_controllen, 0);
	assert_null(filled.msg.msg_control);

	send.to.source.in.s_addr = htonl(0xc0000202);
	send.to.source_ifindex = 7;
	send.tos = 0x88;
	send.segment = 32;
	fill(&filled, &send);
	memcpy(&info, find(&filled, IPPROTO_IP, IP_PKTINFO, sizeof(info)), sizeof(info));
	assert_int_equal(ntohl(info.ipi_spec_dst.s_addr), 0xc0000202);
	assert_int_equal(info.ipi_ifindex, 0); /* see the head of udp.c */
	memcpy(&tos, find(&filled, IPPROTO_IP, IP_TOS, sizeof(tos)), sizeof(tos));
	assert_int_equal(tos, 0x88);
	memcpy(&segment, find(&filled, IPPROTO_UDP, UDP_SEGMENT, sizeof(segment)), sizeof(segment));
	assert_int_equal(segment, 32);
	for (size_t i = filled.msg.msg_controllen; i < sizeof(filled.control); i++)
		assert_int_equal(filled.control[i], 0);
}

static void fill_v6(void **state)
{
	struct ring_send send = { .to = endpoint_v6("2001:db8::1", 1), .len = 64, .segment = 32 };
	struct in6_pktinfo info;
	struct filled filled;
	uint8_t data[64];
	int tos;

	(void)state;
	send.data = data;
	send.tos = 1;
	send.to.source_ifindex = 7;
	inet_pton(AF_INET6, "2001:db8::2", &send.to.source.in6);
	fill(&filled, &send);
	assert_int_equal(filled.msg.msg_namelen, sizeof(struct sockaddr_in6));
	memcpy(&info, find(&filled, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), sizeof(info));
	assert_memory_equal(&info.ipi6_addr, &send.to.source.in6, 16);
	assert_int_equal(info.ipi6_ifindex, 0);
	memcpy(&tos, find(&filled, IPPROTO_IPV6, IPV6_TCLASS, sizeof(tos)), sizeof(tos));
	assert_int_equal(tos, 1);
	assert_non_null(find(&filled, IPPROTO_UDP, UDP_SEGMENT, sizeof(uint16_t)));
	assert_null(find(&filled, IPPROTO_IP, IP_PKTINFO, sizeof(struct in_pktinfo)));

	inet_pton(AF_INET6, "fe80::2", &send.to.source.in6);
	fill(&filled, &send);
	memcpy(&info, find(&filled, IPPROTO_IPV6, IPV6_PKTINFO, sizeof(info)), sizeof(info));
	assert_int_equal(info.ipi6_ifindex, 7);
}

/* ---- ancillary data in ---- */

struct message {
	struct msghdr msg;
	struct sockaddr_in6 name;
	uint8_t control[512] __attribute__((aligned(8)));
};

static void message_init(struct message *m, const struct endpoint *from)
{
	memset(m, 0, sizeof(*m));
	memcpy(&m->name, &from->remote, sizeof(m->name));
	m->msg.msg_name = &m->name;
	m->msg.msg_namelen = from->remote.sa.sa_family == AF_INET ? sizeof(struct sockaddr_in)
	                                                          : sizeof(struct sockaddr_in6);
	m->msg.msg_control = m->control;
}

static void put(struct message *m, int level, int type, const void *data, size_t len)
{
	struct cmsghdr head = { .cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type };

	assert_true(m->msg.msg_controllen + CMSG_SPACE(len) <= sizeof(m->control));
	memcpy(m->control + m->msg.msg_controllen, &head, sizeof(head));
	memcpy(m->control + m->msg.msg_controllen + CMSG_LEN(0), data, len);
	m->msg.msg_controllen += CMSG_SPACE(len);
}

static void put_all_v4(struct message *m)
{
	struct in_pktinfo info = { .ipi_ifindex = 4,
		                   .ipi_spec_dst.s_addr = htonl(0x0a000001),
		                   .ipi_addr.s_addr = htonl(0x0affffff) };
	uint32_t overflow = 77;
	uint8_t tos = 3;
	int segment = 40;

	put(m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	put(m, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	put(m, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment));
	put(m, SOL_SOCKET, SO_RXQ_OVFL, &overflow, sizeof(overflow));
}

static void parse_v4(void **state)
{
	struct endpoint from = endpoint_v4(0xc0000201, 51820);
	struct ring_event event = { .data = (uint8_t *)state };
	uint32_t overflow = 5;
	struct message m;

	message_init(&m, &from);
	assert_true(udp_message_parse(&m.msg, 100, &event, &overflow));
	assert_int_equal(event.type, RING_DATAGRAM);
	assert_int_equal(event.len, 100);
	assert_int_equal(event.segment, 100);
	assert_int_equal(event.tos, 0);
	assert_int_equal(overflow, 5);
	assert_ptr_equal(event.data, state);
	put_all_v4(&m);
	assert_true(udp_message_parse(&m.msg, 100, &event, &overflow));
	assert_memory_equal(&event.from.remote.in, &from.remote.in, sizeof(from.remote.in));
	assert_int_equal(ntohl(event.from.source.in.s_addr), 0x0a000001);
	assert_int_equal(event.from.source_ifindex, 4);
	assert_int_equal(event.tos, 3);
	assert_int_equal(event.segment, 40);
	assert_int_equal(overflow, 77);
	/* A segment size longer than what came, or none at all, is one datagram. */
	assert_true(udp_message_parse(&m.msg, 39, &event, &overflow));
	assert_int_equal(event.segment, 39);
}

static void parse_v6(void **state)
{
	struct endpoint from = endpoint_v6("2001:db8::1", 9);
	struct in6_pktinfo info = { .ipi6_ifindex = 3 };
	struct ring_event event;
	uint32_t overflow = 0;
	struct message m;
	int class = 0x8b;

	(void)state;
	message_init(&m, &from);
	inet_pton(AF_INET6, "2001:db8::2", &info.ipi6_addr);
	put(&m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	put(&m, IPPROTO_IPV6, IPV6_TCLASS, &class, sizeof(class));
	/* What belongs to the other family, or to nobody, changes nothing. */
	put(&m, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
	put(&m, 0x1234, 0x5678, &info, sizeof(info));
	assert_true(udp_message_parse(&m.msg, 50, &event, &overflow));
	assert_memory_equal(&event.from.remote.in6, &from.remote.in6, sizeof(from.remote.in6));
	assert_memory_equal(&event.from.source.in6, &info.ipi6_addr, 16);
	assert_int_equal(event.from.source_ifindex, 3);
	assert_int_equal(event.tos, 0x8b);
	/* A group is not an address to send from. */
	message_init(&m, &from);
	inet_pton(AF_INET6, "ff02::1", &info.ipi6_addr);
	put(&m, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
	assert_true(udp_message_parse(&m.msg, 50, &event, &overflow));
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&event.from.source.in6));
}

static void parse_refuses(void **state)
{
	struct endpoint from = endpoint_v4(0xc0000201, 51820);
	static const int flags[] = { MSG_TRUNC, MSG_CTRUNC };
	struct ring_event event;
	uint32_t overflow = 0;
	struct message m;

	(void)state;
	message_init(&m, &from);
	put_all_v4(&m);
	assert_true(udp_message_parse(&m.msg, 1, &event, &overflow));
	assert_false(udp_message_parse(&m.msg, 0, &event, &overflow));
	for (size_t i = 0; i < 2; i++) {
		m.msg.msg_flags = flags[i];
		assert_false(udp_message_parse(&m.msg, 1, &event, &overflow));
	}
	m.msg.msg_flags = 0;
	for (socklen_t len = 0; len < sizeof(struct sockaddr_in); len++) {
		m.msg.msg_namelen = len;
		assert_false(udp_message_parse(&m.msg, 1, &event, &overflow));
	}
	m.msg.msg_namelen = sizeof(struct sockaddr_in);
	m.name.sin6_family = AF_INET6; /* too short for one */
	assert_false(udp_message_parse(&m.msg, 1, &event, &overflow));
	m.name.sin6_family = AF_UNIX;
	m.msg.msg_namelen = sizeof(struct sockaddr_in6);
	assert_false(udp_message_parse(&m.msg, 1, &event, &overflow));
	from = endpoint_v4(0xc0000201, 0);
	message_init(&m, &from);
	assert_false(udp_message_parse(&m.msg, 1, &event, &overflow));
}

/*
 * Ancillary data with lengths that lie: too short, too long, none at all, one that
 * points back. Copied to the end of its own memory, so that ASan sees a byte too far.
 */
static void pitfall_24_ancillary_garbage(void **state)
{
	static const size_t lies[] = { 0,
		                       1,
		                       8,
		                       15,
		                       17,
		                       24,
		                       25,
		                       200,
		                       SIZE_MAX,
		                       SIZE_MAX - 7,
		                       SIZE_MAX - 15,
		                       (size_t)1 << 63,
		                       INT_MAX,
		                       UINT_MAX };
	struct endpoint from = endpoint_v4(0xc0000201, 51820);
	struct ring_event event;
	unsigned int accepted = 0;
	uint32_t overflow = 0;
	struct message m;

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		message_init(&m, &from);
		put_all_v4(&m);
		memcpy(m.control + 32, &lies[i], sizeof(lies[i])); /* the TOS, 17 bytes */
		assert_int_equal(udp_message_parse(&m.msg, 100, &event, &overflow),
		                 lies[i] == 17 || lies[i] == 24);
	}
	/* Cut short everywhere: seen or refused, never read past the end. */
	message_init(&m, &from);
	put_all_v4(&m);
	for (size_t len = 0; len <= m.msg.msg_controllen; len++) {
		struct msghdr cut = m.msg;
		uint8_t *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy + 1, m.control, len); /* unaligned, too */
		cut.msg_control = copy + 1;
		cut.msg_controllen = len;
		if (udp_message_parse(&cut, 100, &event, &overflow))
			accepted++;
		assert_in_range(event.segment, 1, 100);
		free(copy);
	}
	assert_int_equal(accepted, 24); /* where an item ends, and in its padding */
	/* Items too short for what they are, in front of bytes that would do. */
	for (size_t len = 0; len < sizeof(int); len++) {
		int segment = 40;

		message_init(&m, &from);
		put(&m, IPPROTO_UDP, UDP_GRO, &segment, len);
		memcpy(m.control + CMSG_LEN(0), &segment, sizeof(segment));
		assert_true(udp_message_parse(&m.msg, 100, &event, &overflow));
		assert_int_equal(event.segment, 100);
	}
	/* Segment sizes that make no sense. */
	for (int segment = -1; segment <= 0; segment++) {
		message_init(&m, &from);
		put(&m, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment));
		assert_true(udp_message_parse(&m.msg, 100, &event, &overflow));
		assert_int_equal(event.segment, 100);
	}
}

static void pitfall_24_random_garbage(void **state)
{
	struct endpoint from = endpoint_v6("2001:db8::1", 9);
	struct ring_event event;
	uint32_t overflow = 0;
	unsigned int refused = 0;
	uint32_t seed = 1;
	struct message m;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		message_init(&m, &from);
		for (size_t i = 0; i < UDP_CONTROL_SIZE; i++) {
			seed = seed * 1664525 + 1013904223;
			m.control[i] = (uint8_t)(seed >> 24);
			if (i % 8 != 0)
				m.control[i] &= (uint8_t)(seed & 0x100 ? 0 : 0xff);
		}
		m.msg.msg_controllen = seed % (UDP_CONTROL_SIZE + 1);
		if (!udp_message_parse(&m.msg, 1 + seed % 65535, &event, &overflow))
			refused++;
		assert_in_range(event.segment, 1, event.len);
	}
	assert_in_range(refused, 10000, 20000);
}

/* ---- more datagrams in one piece than promised ---- */

static void take_splits(void **state)
{
	static uint8_t data[65535];
	static const struct {
		uint32_t len, segment;
	} rows[] = { { 1, 1 },       { 64, 1 },       { 65, 1 },        { 65535, 1 },
		     { 6400, 100 },  { 6399, 100 },   { 6401, 100 },    { 12800, 100 },
		     { 12850, 100 }, { 65535, 1000 }, { 65535, 65535 }, { 65535, 1023 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ring_event rest = { .type = RING_DATAGRAM,
			                   .data = data,
			                   .len = rows[i].len,
			                   .segment = rows[i].segment,
			                   .tos = 3 };
		struct ring_event part;
		uint32_t seen = 0;
		bool last;

		do {
			last = udp_event_take(&rest, &part);
			assert_ptr_equal(part.data, data + seen);
			assert_int_equal(part.tos, 3);
			assert_in_range(part.segment, 1, rows[i].segment);
			assert_in_range((part.len + part.segment - 1) / part.segment, 1,
			                RING_SEGMENTS_MAX);
			seen += part.len;
			assert_true(last || part.len == rows[i].segment * RING_SEGMENTS_MAX);
		} while (!last);
		assert_int_equal(seen, rows[i].len);
	}
}

static void take_leaves_frames_alone(void **state)
{
	uint8_t byte = 0;
	struct ring_event rest = { .type = RING_FRAME, .data = &byte, .len = 65535 }, part;

	(void)state;
	assert_true(udp_event_take(&rest, &part));
	assert_int_equal(part.len, 65535);
}

/* ---- sockets ---- */

static int option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void open_binds_both(void **state)
{
	struct udp_sockets udp, other;

	(void)state;
	assert_int_equal(udp_open(&udp, 0, 0, 4u << 20), 0);
	assert_int_not_equal(udp.port, 0);
	assert_int_equal(option(udp.fd4, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_OMIT);
	assert_int_equal(fcntl(udp.fd4, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	assert_int_equal(fcntl(udp.fd4, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	if (udp.fd6 >= 0) {
		struct sockaddr_in6 name;
		socklen_t len = sizeof(name);

		assert_int_equal(getsockname(udp.fd6, (struct sockaddr *)&name, &len), 0);
		assert_int_equal(ntohs(name.sin6_port), udp.port);
		assert_int_equal(option(udp.fd6, IPPROTO_IPV6, IPV6_V6ONLY), 1);
		assert_int_equal(option(udp.fd6, IPPROTO_IPV6, IPV6_MTU_DISCOVER),
		                 IPV6_PMTUDISC_OMIT);
	}
	assert_int_equal(udp_open(&other, udp.port, 0, 0), -EADDRINUSE);
	assert_int_equal(other.fd4, -1);
	assert_int_equal(other.fd6, -1);
	udp_close(&udp);
	udp_close(&udp);
}

static int open_reusing(uint16_t port)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
		return fd;
	close(fd);
	return -1;
}

/* From so many ports of a sender: each always to the same socket, and all sockets get some. */
static void spread(struct udp_sockets *group, unsigned int count)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(group[0].port) };
	unsigned int got[4] = { 0 };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (unsigned int sender = 0; sender < 64; sender++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		unsigned int takers = 0;
		char text[16];

		for (unsigned int n = 0; n < 3; n++)
			assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)),
			                 1);
		close(fd);
		for (unsigned int i = 0; i < count; i++) {
			unsigned int n = 0;

			while (recv(group[i].fd4, text, sizeof(text), 0) > 0)
				n++;
			got[i] += n;
			takers += n != 0;
			assert_true(n == 0 || n == 3);
		}
		assert_int_equal(takers, 1);
	}
	for (unsigned int i = 0; i < count; i++)
		assert_true(got[i] > 0);
}

static void a_group_is_on_one_port(void **state)
{
	struct udp_sockets group[4], other[4];
	int intruder;

	(void)state;
	assert_int_equal(udp_open_group(group, 4, 0, 0, 1 << 20), 0);
	for (unsigned int i = 0; i < 4; i++) {
		assert_true(group[i].fd4 >= 0);
		assert_int_equal(group[i].port, group[0].port);
		assert_int_equal(group[i].fd6 >= 0, group[0].fd6 >= 0);
	}
	spread(group, 4);
	/* Another daemon, with one worker or with several, is not let in. */
	assert_int_equal(udp_open(&other[0], group[0].port, 0, 0), -EADDRINUSE);
	assert_int_equal(udp_open_group(other, 4, group[0].port, 0, 0), -EADDRINUSE);
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(other[i].fd4, -1);
		assert_int_equal(other[i].fd6, -1);
	}
	/* Nor is another user's program, whatever it asks for. */
	if (geteuid() == 0) {
		assert_int_equal(seteuid(65534), 0);
		intruder = open_reusing(group[0].port);
		assert_int_equal(seteuid(0), 0);
		assert_int_equal(intruder, -1);
	}
	for (unsigned int i = 0; i < 4; i++)
		udp_close(&group[i]);
}

/* Of whoever else is there a group is not made. */
static void a_group_joins_nobody(void **state)
{
	struct udp_sockets one, group[2];
	uint16_t port;
	int squatter;

	(void)state;
	assert_int_equal(udp_open(&one, 0, 0, 0), 0);
	port = one.port;
	assert_int_equal(udp_open_group(group, 2, port, 0, 0), -EADDRINUSE);
	assert_int_equal(open_reusing(port), -1);
	udp_close(&one);
	squatter = open_reusing(port);
	assert_true(squatter >= 0);
	assert_int_equal(udp_open_group(group, 2, port, 0, 0), -EADDRINUSE);
	close(squatter);
}

/* IPv4's port may be free where IPv6's is not: nothing stays open then. */
static void open_is_all_or_nothing(void **state)
{
	struct sockaddr_in6 name = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof(name);
	struct udp_sockets udp;
	int blocker = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, next;

	(void)state;
	if (blocker < 0) {
		print_message("skipped: no IPv6\n");
		skip();
	}
	setsockopt(blocker, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	assert_int_equal(bind(blocker, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(getsockname(blocker, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(udp_open(&udp, ntohs(name.sin6_port), 0, 0), -EADDRINUSE);
	next = dup(0);
	assert_true(next <= blocker + 1);
	close(next);
	close(blocker);
}

/* What one process has opened is the next one's: all of it, as it is wanted, or nothing. */
static void a_group_is_adopted(void **state)
{
	struct udp_sockets group[2], next[2];
	unsigned int n = 0;
	int fds[5];

	(void)state;
	assert_int_equal(udp_open_group(group, 2, 0, 0, 1 << 20), 0);
	for (unsigned int i = 0; i < 2; i++) {
		if (group[i].fd6 >= 0)
			fds[n++] = group[i].fd6;
		fds[n++] = group[i].fd4;
	}
	assert_int_equal(udp_adopt_group(next, 2, fds, n - 1, 0, 0), -EINVAL);
	assert_int_equal(udp_adopt_group(next, 1, fds, n, 0, 0), -EINVAL);
	assert_int_equal(udp_adopt_group(next, 1, fds, n / 2, 0, 0), -EINVAL);
	assert_int_equal(udp_adopt_group(next, 2, fds, n, group[0].port ^ 1, 0), -EINVAL);
	assert_int_equal(udp_adopt_group(next, 2, fds, n, 0, 7), -EINVAL);
	assert_int_equal(next[0].fd4, -1);
	fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(udp_adopt_group(next, 2, fds + 1, n, 0, 0), -EINVAL);
	close(fds[n]);
	assert_int_equal(udp_adopt_group(next, 2, fds, n, group[0].port, 0), 0);
	for (unsigned int i = 0; i < 2; i++) {
		assert_true(next[i].fd4 >= 0);
		assert_int_equal(next[i].fd6 >= 0, group[i].fd6 >= 0);
		assert_int_equal(next[i].port, group[0].port);
		assert_int_equal(next[i].gro, group[i].gro);
		assert_int_equal(next[i].gso, group[i].gso);
	}
	spread(next, 2);
	for (unsigned int i = 0; i < 2; i++)
		udp_close(&next[i]);
}

static void fwmark_is_set(void **state)
{
	struct udp_sockets udp;
	int err = udp_open(&udp, 0, 0xca6c, 0);

	(void)state;
	if (err == -EPERM) {
		print_message("skipped: SO_MARK needs CAP_NET_ADMIN\n");
		skip();
	}
	assert_int_equal(err, 0);
	assert_int_equal(option(udp.fd4, SOL_SOCKET, SO_MARK), 0xca6c);
	assert_int_equal(udp_set_fwmark(&udp, 0), 0);
	assert_int_equal(option(udp.fd4, SOL_SOCKET, SO_MARK), 0);
	if (udp.fd6 >= 0)
		assert_int_equal(option(udp.fd6, SOL_SOCKET, SO_MARK), 0);
	udp_close(&udp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fill_v4),
		cmocka_unit_test(fill_v6),
		cmocka_unit_test(parse_v4),
		cmocka_unit_test(parse_v6),
		cmocka_unit_test(parse_refuses),
		cmocka_unit_test(pitfall_24_ancillary_garbage),
		cmocka_unit_test(pitfall_24_random_garbage),
		cmocka_unit_test(take_splits),
		cmocka_unit_test(take_leaves_frames_alone),
		cmocka_unit_test(open_binds_both),
		cmocka_unit_test(open_is_all_or_nothing),
		cmocka_unit_test(a_group_is_on_one_port),
		cmocka_unit_test(a_group_joins_nobody),
		cmocka_unit_test(a_group_is_adopted),
		cmocka_unit_test(fwmark_is_set),
	};

	return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
