/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the ring: a network namespace of the program's own, TAPs with
 * the host's side at hand, and one table of tests run with every backend.
 */
#ifndef TESTS_UNIT_RING_LAB_H
#define TESTS_UNIT_RING_LAB_H

#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/ring.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"
#include "dataplane/wire.h"

#define SECOND_NS      1000000000ull
#define MS_NS          1000000ull
#define BUFFER         (8u << 20)
#define TEST_ETHERTYPE 0x88b5 /* local experiments, IEEE 802 */

struct backend {
	const char *name;
	int (*open)(struct ring **ring);
};

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* ---- the namespace ---- */

static bool have_namespace;

static inline void interface_request(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, request, ifr), 0);
	close(fd);
}

static inline void link_up(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_RUNNING };

	interface_request(name, SIOCSIFFLAGS, &ifr);
}

static inline void link_mtu(const char *name, int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };

	interface_request(name, SIOCSIFMTU, &ifr);
}

static inline void link_delete(const char *name)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = {
		.head = { .nlmsg_len = sizeof(request),
		          .nlmsg_type = RTM_DELLINK,
		          .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.info = { .ifi_index = (int)if_nametoindex(name) },
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	assert_true(fd >= 0);
	assert_int_equal(send(fd, &request, sizeof(request), 0), sizeof(request));
	assert_true(recv(fd, &answer, sizeof(answer), 0) > 0);
	assert_int_equal(answer.error.error, 0);
	close(fd);
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

/* The whole program moves into a namespace of its own: no one else's packets. */
static inline void enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return;
	have_namespace = true;
	link_up("lo");
	/* No solicitations of a fresh device among the frames we count. */
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

/* ---- helpers ---- */

static inline struct ring *open_ring(void **state)
{
	const struct backend *backend = *state;
	struct ring *ring = NULL;
	int err;

	if (!have_namespace) {
		print_message("skipped: no network namespace can be made here\n");
		skip();
	}
	err = backend->open(&ring);
	if (err == -ENOSYS || err == -EPERM || err == -EOPNOTSUPP) {
		print_message("skipped: no %s here: %s\n", backend->name, strerror(-err));
		skip();
	}
	assert_int_equal(err, 0);
	return ring;
}

static inline void open_tap(struct tap *tap, const char *name)
{
	int err = tap_open(tap, name, 1);

	if (err == -ENOENT || err == -EPERM) {
		print_message("skipped: no TAP can be made here\n");
		skip();
	}
	assert_int_equal(err, 0);
	link_up(name);
}

static inline struct endpoint to_v4(const char *addr, uint16_t port)
{
	struct endpoint ep = { .remote.in = { .sin_family = AF_INET, .sin_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET, addr, &ep.remote.in.sin_addr), 1);
	return ep;
}

static inline struct endpoint to_v6(const char *addr, uint16_t port)
{
	struct endpoint ep = { .remote.in6 = { .sin6_family = AF_INET6,
		                               .sin6_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET6, addr, &ep.remote.in6.sin6_addr), 1);
	return ep;
}

static inline void send_to(int fd, const struct endpoint *to, const void *data, size_t len)
{
	socklen_t namelen =
		to->remote.sa.sa_family == AF_INET ? sizeof(to->remote.in) : sizeof(to->remote.in6);

	assert_int_equal(sendto(fd, data, len, 0, &to->remote.sa, namelen), (ssize_t)len);
}

/* One event within a second, or the test fails. */
static inline struct ring_event next_event(struct ring *ring)
{
	uint64_t deadline = now_ns() + SECOND_NS;
	struct ring_event event;

	while (ring_wait(ring, deadline, &event, 1) == 0)
		assert_true(now_ns() < deadline);
	return event;
}

static inline void assert_quiet(struct ring *ring)
{
	struct ring_event event;

	assert_int_equal(ring_wait(ring, now_ns() + 10 * MS_NS, &event, 1), 0);
}

/* Nothing comes, and a wait does not end before its time. */
static inline void assert_lasts(struct ring *ring)
{
	uint64_t start = now_ns();

	assert_quiet(ring);
	assert_true(now_ns() - start >= 10 * MS_NS);
}

struct tunnel_end {
	struct udp_sockets udp;
	struct ring *ring;
};

static inline void open_end(void **state, struct tunnel_end *end)
{
	end->ring = open_ring(state);
	assert_int_equal(udp_open(&end->udp, 0, 0, BUFFER), 0);
	assert_int_equal(ring_set_udp(end->ring, end->udp.fd4, end->udp.fd6), 0);
}

static inline void close_end(struct tunnel_end *end)
{
	ring_close(end->ring);
	udp_close(&end->udp);
}

/* A packet socket on a TAP: the host's side of it, virtio headers included. */
static inline int open_packet(const char *name, uint16_t ethertype)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		                  .sll_protocol = htons(ethertype),
		                  .sll_ifindex = (int)if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int size = BUFFER, on = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return fd;
}

struct test_frame {
	struct wire_vnet vnet;
	struct wire_ethernet ethernet;
	uint32_t number;
	uint8_t rest[64];
} __attribute__((packed));

static inline void make_frame(struct test_frame *frame, uint32_t number)
{
	memset(frame, 0, sizeof(*frame));
	memset(frame->ethernet.destination, 0xff, ETHER_ADDR_SIZE);
	frame->ethernet.source[0] = 2;
	frame->ethernet.type = (struct be16){ { 0x88, 0xb5 } };
	frame->number = number;
}

static inline void send_frame(int packet, uint32_t number)
{
	struct test_frame frame;

	make_frame(&frame, number);
	assert_int_equal(write(packet, &frame, sizeof(frame)), sizeof(frame));
}

/* A TCP superframe of IPv4 with @payload bytes. Returns the length with the virtio header. */
static inline size_t make_superframe(uint8_t *out, uint16_t payload)
{
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM,
		                  .gso_type = VNET_GSO_TCPV4,
		                  .hdr_len = 54,
		                  .gso_size = 1400,
		                  .csum_start = 34,
		                  .csum_offset = 16 };
	uint8_t *ip = out + sizeof(vnet) + 14;
	uint16_t total = (uint16_t)(payload + 40);

	memset(out, 0, sizeof(vnet) + 54);
	memcpy(out, &vnet, sizeof(vnet));
	memset(out + sizeof(vnet), 0xff, 6);
	out[sizeof(vnet) + 6] = 2;
	out[sizeof(vnet) + 12] = 0x08;
	ip[0] = 0x45;
	ip[2] = (uint8_t)(total >> 8);
	ip[3] = (uint8_t)total;
	ip[8] = 64;
	ip[9] = 6;
	ip[12] = ip[16] = 10;
	ip[15] = 1;
	ip[19] = 2;
	ip[32] = 0x50;
	ip[33] = TCP_ACK;
	for (unsigned int i = 0; i < payload; i++)
		ip[40 + i] = (uint8_t)(i * 7);
	return sizeof(vnet) + 54 + payload;
}

static inline void send_superframe(int packet, const char *name, const uint8_t *super, size_t len)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		                  .sll_protocol = htons(ETHERTYPE_WIRE_IPV4),
		                  .sll_ifindex = (int)if_nametoindex(name) };

	assert_int_equal(sendto(packet, super, len, 0, (struct sockaddr *)&ll, sizeof(ll)),
	                 (ssize_t)len);
}

/* ---- the table ---- */

struct ring_test {
	const char *name;
	CMUnitTestFunction run;
};

#define RING_TESTS_MAX 64

static struct backend ring_backends[] = {
	{ "poll", ring_open_poll },
	{ "io_uring", ring_open_uring },
};
#define BACKENDS (sizeof(ring_backends) / sizeof(ring_backends[0]))

static inline int run_ring_tests(const char *group, const struct ring_test *tests, size_t count)
{
	static char names[BACKENDS * RING_TESTS_MAX][64];
	static struct CMUnitTest table[BACKENDS * RING_TESTS_MAX];
	size_t n = 0;

	enter_namespace();
	for (size_t b = 0; b < BACKENDS; b++) {
		for (size_t t = 0; t < count && t < RING_TESTS_MAX; t++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s: %s", ring_backends[b].name,
			         tests[t].name);
			table[n] = (struct CMUnitTest){ .name = names[n],
				                        .test_func = tests[t].run,
				                        .initial_state = &ring_backends[b] };
		}
	}
	return _cmocka_run_group_tests(group, table, n, NULL, NULL);
}

#endif
