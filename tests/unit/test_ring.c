/* SPDX-License-Identifier: MIT */
/*
 * Both backends of the ring by the same table of tests, through the interface
 * only, in a network namespace of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/ring.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"
#include "dataplane/wire.h"

#define SECOND_NS 1000000000ull
#define MS_NS     1000000ull
#define BUFFER    (8u << 20)

struct backend {
	const char *name;
	int (*open)(struct ring **ring);
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * SECOND_NS + (uint64_t)ts.tv_nsec;
}

/* ---- the namespace ---- */

static bool have_namespace;

static void interface_request(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, request, ifr), 0);
	close(fd);
}

static void link_up(const char *name)
{
	struct ifreq ifr = { .ifr_flags = IFF_UP | IFF_RUNNING };

	interface_request(name, SIOCSIFFLAGS, &ifr);
}

static void link_mtu(const char *name, int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };

	interface_request(name, SIOCSIFMTU, &ifr);
}

static void link_delete(const char *name)
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

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)!write(fd, text, strlen(text));
	close(fd);
}

/* The whole program moves into a namespace of its own: no one else's packets. */
static void enter_namespace(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return;
	have_namespace = true;
	link_up("lo");
	/* No solicitations of a fresh device among the frames we count. */
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

/* ---- helpers ---- */

static struct ring *open_ring(void **state)
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

static void open_tap(struct tap *tap, const char *name)
{
	int err = tap_open(tap, name);

	if (err == -ENOENT || err == -EPERM) {
		print_message("skipped: no TAP can be made here\n");
		skip();
	}
	assert_int_equal(err, 0);
	link_up(name);
}

static struct endpoint to_v4(const char *addr, uint16_t port)
{
	struct endpoint ep = { .remote.in = { .sin_family = AF_INET, .sin_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET, addr, &ep.remote.in.sin_addr), 1);
	return ep;
}

static struct endpoint to_v6(const char *addr, uint16_t port)
{
	struct endpoint ep = { .remote.in6 = { .sin6_family = AF_INET6,
		                               .sin6_port = htons(port) } };

	assert_int_equal(inet_pton(AF_INET6, addr, &ep.remote.in6.sin6_addr), 1);
	return ep;
}

static void send_to(int fd, const struct endpoint *to, const void *data, size_t len)
{
	socklen_t namelen =
		to->remote.sa.sa_family == AF_INET ? sizeof(to->remote.in) : sizeof(to->remote.in6);

	assert_int_equal(sendto(fd, data, len, 0, &to->remote.sa, namelen), (ssize_t)len);
}

/* One event within a second, or the test fails. */
static struct ring_event next_event(struct ring *ring)
{
	uint64_t deadline = now_ns() + SECOND_NS;
	struct ring_event event;

	while (ring_wait(ring, deadline, &event, 1) == 0)
		assert_true(now_ns() < deadline);
	return event;
}

static void assert_quiet(struct ring *ring)
{
	struct ring_event event;

	assert_int_equal(ring_wait(ring, now_ns() + 10 * MS_NS, &event, 1), 0);
}

struct tunnel_end {
	struct udp_sockets udp;
	struct ring *ring;
};

static void open_end(void **state, struct tunnel_end *end)
{
	end->ring = open_ring(state);
	assert_int_equal(udp_open(&end->udp, 0, 0, BUFFER), 0);
	assert_int_equal(ring_set_udp(end->ring, end->udp.fd4, end->udp.fd6), 0);
}

static void close_end(struct tunnel_end *end)
{
	ring_close(end->ring);
	udp_close(&end->udp);
}

/* A packet socket on a TAP: the host's side of it, offload headers included. */
static int open_packet(const char *name)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		                  .sll_protocol = htons(0x88b5),
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

static void make_frame(struct test_frame *frame, uint32_t number)
{
	memset(frame, 0, sizeof(*frame));
	memset(frame->ethernet.destination, 0xff, ETHER_ADDR_SIZE);
	frame->ethernet.source[0] = 2;
	frame->ethernet.type = (struct be16){ { 0x88, 0xb5 } };
	frame->number = number;
}

static void send_frame(int packet, uint32_t number)
{
	struct test_frame frame;

	make_frame(&frame, number);
	assert_int_equal(write(packet, &frame, sizeof(frame)), sizeof(frame));
}

/* A TCP superframe of IPv4 with @payload bytes. Returns the length with the virtio header. */
static size_t make_superframe(uint8_t *out, uint16_t payload)
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

static void send_superframe(int packet, const char *name, const uint8_t *super, size_t len)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET,
		                  .sll_protocol = htons(ETHERTYPE_WIRE_IPV4),
		                  .sll_ifindex = (int)if_nametoindex(name) };

	assert_int_equal(sendto(packet, super, len, 0, (struct sockaddr *)&ll, sizeof(ll)),
	                 (ssize_t)len);
}

/* ---- datagrams ---- */

static void datagram_both_ways(void **state, int family)
{
	bool v4 = family == AF_INET;
	struct ring_send reply = { .tos = 1, .len = 3, .segment = 3 };
	struct endpoint to;
	struct tunnel_end end;
	struct ring_event event, back;
	struct udp_sockets peer;
	uint8_t data[3] = { 'a', 'b', 'c' };
	int tos = 2, peer_fd;
	struct ring *peer_ring;

	open_end(state, &end);
	peer_ring = open_ring(state);
	assert_int_equal(udp_open(&peer, 0, 0, BUFFER), 0);
	assert_int_equal(ring_set_udp(peer_ring, peer.fd4, peer.fd6), 0);
	peer_fd = v4 ? peer.fd4 : peer.fd6;
	if (v4)
		setsockopt(peer_fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	else
		setsockopt(peer_fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
	to = v4 ? to_v4("127.0.0.2", end.udp.port) : to_v6("::1", end.udp.port);
	send_to(peer_fd, &to, "hello", 5);

	event = next_event(end.ring);
	assert_int_equal(event.type, RING_DATAGRAM);
	assert_int_equal(event.len, 5);
	assert_int_equal(event.segment, 5);
	assert_memory_equal(event.data, "hello", 5);
	assert_int_equal(event.tos, 2);
	assert_int_equal(event.from.remote.sa.sa_family, family);
	if (v4) {
		assert_int_equal(ntohs(event.from.remote.in.sin_port), peer.port);
		assert_int_equal(ntohl(event.from.source.in.s_addr), 0x7f000002);
	} else {
		assert_int_equal(ntohs(event.from.remote.in6.sin6_port), peer.port);
		assert_true(IN6_IS_ADDR_LOOPBACK(&event.from.source.in6));
	}
	assert_int_equal(event.from.source_ifindex, if_nametoindex("lo"));

	/* The answer comes from where the question went to. */
	reply.to = event.from;
	reply.data = data;
	ring_send(end.ring, &reply, 1);
	ring_flush(end.ring);
	assert_int_equal(reply.error, 0);
	assert_int_equal(reply.failed, 0);
	assert_false(reply.source_stale);
	back = next_event(peer_ring);
	assert_int_equal(back.tos, 1);
	assert_memory_equal(back.data, "abc", 3);
	if (v4)
		assert_int_equal(ntohl(back.from.remote.in.sin_addr.s_addr), 0x7f000002);
	ring_close(peer_ring);
	udp_close(&peer);
	close_end(&end);
}

static void datagram_v4(void **state)
{
	datagram_both_ways(state, AF_INET);
}

static void datagram_v6(void **state)
{
	datagram_both_ways(state, AF_INET6);
}

static void burst_of_64(void **state)
{
	static uint8_t data[64 * 1000];
	struct ring_send send = { .data = data, .len = 63 * 1000 + 500, .segment = 1000 };
	struct ring_event event;
	struct tunnel_end end;

	open_end(state, &end);
	if (!end.udp.gso || !end.udp.gro) {
		close_end(&end);
		print_message("skipped: no UDP_SEGMENT or no UDP_GRO\n");
		skip();
	}
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / 1000);
	for (int family = 0; family < 2; family++) {
		send.to = family ? to_v6("::1", end.udp.port) : to_v4("127.0.0.1", end.udp.port);
		ring_send(end.ring, &send, 1);
		ring_flush(end.ring);
		assert_int_equal(send.error, 0);
		assert_false(send.gso_fallback);
		event = next_event(end.ring);
		assert_int_equal(event.len, send.len);
		assert_int_equal(event.segment, 1000);
		assert_memory_equal(event.data, data, send.len);
	}
	close_end(&end);
}

/* A neighbour on this machine may hand over more datagrams at once than we promise. */
static void burst_too_many_is_split(void **state)
{
	static uint8_t data[128 * 100];
	struct tunnel_end end;
	struct ring_event event;
	struct endpoint to;
	int segment = 100;

	open_end(state, &end);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / 100);
	to = to_v4("127.0.0.1", end.udp.port);
	assert_int_equal(
		setsockopt(end.udp.fd4, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	if (sendto(end.udp.fd4, data, sizeof(data) - 50, 0, &to.remote.sa, sizeof(to.remote.in)) <
	    0) {
		close_end(&end);
		print_message("skipped: this kernel sends at most 64 segments\n");
		skip();
	}
	for (unsigned int i = 0; i < 2; i++) {
		event = next_event(end.ring);
		assert_int_equal(event.len, i ? 6350 : 6400);
		assert_int_equal(event.segment, 100);
		assert_int_equal(ntohs(event.from.remote.in.sin_port), end.udp.port);
		assert_memory_equal(event.data, data + 6400 * i, event.len);
	}
	assert_quiet(end.ring);
	close_end(&end);
}

static void empty_datagrams_do_not_stop_it(void **state)
{
	struct tunnel_end end;
	struct endpoint to;

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (int i = 0; i < 200; i++)
		send_to(end.udp.fd4, &to, "", 0);
	send_to(end.udp.fd4, &to, "x", 1);
	assert_int_equal(next_event(end.ring).data[0], 'x');
	send_to(end.udp.fd4, &to, "", 0);
	send_to(end.udp.fd4, &to, "y", 1);
	assert_int_equal(next_event(end.ring).data[0], 'y');
	close_end(&end);
}

static void largest_datagram(void **state)
{
	static uint8_t data[RING_SEND_MAX];
	struct ring_send send = { .data = data, .len = sizeof(data), .segment = sizeof(data) };
	struct tunnel_end end;
	struct ring_event event;

	open_end(state, &end);
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13);
	send.to = to_v4("127.0.0.1", end.udp.port);
	ring_send(end.ring, &send, 1);
	ring_flush(end.ring);
	assert_int_equal(send.error, 0);
	event = next_event(end.ring);
	assert_int_equal(event.len, sizeof(data));
	assert_memory_equal(event.data, data, sizeof(data));
	close_end(&end);
}

/* More sends in one flush than any queue has places; they arrive in order. */
static void many_sends_keep_order(void **state)
{
	enum { SENDS = 1000 };
	static struct ring_send sends[SENDS];
	static uint32_t numbers[SENDS];
	struct ring_event events[RING_EVENTS_MAX];
	uint32_t got = 0;
	struct tunnel_end end;

	open_end(state, &end);
	for (uint32_t i = 0; i < SENDS; i++) {
		numbers[i] = i;
		sends[i] = (struct ring_send){ .data = (uint8_t *)&numbers[i],
			                       .len = 4,
			                       .segment = 4,
			                       .to = to_v4("127.0.0.1", end.udp.port) };
	}
	ring_send(end.ring, sends, 1);
	ring_send(end.ring, sends + 1, SENDS - 1);
	ring_flush(end.ring);
	for (uint32_t i = 0; i < SENDS; i++)
		assert_int_equal(sends[i].error, 0);
	while (got < SENDS) {
		unsigned int n = ring_wait(end.ring, now_ns() + SECOND_NS, events, RING_EVENTS_MAX);

		assert_true(n > 0);
		for (unsigned int i = 0; i < n; i++, got++)
			assert_memory_equal(events[i].data, &numbers[got], 4);
	}
	close_end(&end);
}

static void send_without_socket_fails(void **state)
{
	uint8_t data[4] = { 0 };
	struct ring_send send = { .data = data, .len = 4, .segment = 4 };
	struct ring *ring = open_ring(state);

	send.to = to_v4("127.0.0.1", 9);
	ring_send(ring, &send, 1);
	ring_flush(ring);
	assert_int_equal(send.failed, 1);
	assert_true(send.error < 0);
	ring_close(ring);
}

static void storm_loses_only_what_is_counted(void **state)
{
	enum { STORM = 10000 };
	struct ring_event events[RING_EVENTS_MAX];
	struct endpoint to;
	struct tunnel_end end;
	uint32_t next = 0, got = 0;
	unsigned int n;

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (uint32_t i = 0; i < STORM; i++)
		send_to(end.udp.fd4, &to, &i, 4);
	while ((n = ring_wait(end.ring, now_ns() + 20 * MS_NS, events, RING_EVENTS_MAX)) > 0) {
		for (unsigned int i = 0; i < n; i++, got++) {
			uint32_t number;

			memcpy(&number, events[i].data, 4);
			assert_true(number >= next);
			next = number + 1;
		}
	}
	assert_true(got > 0);
	/* The kernel tells with the next datagram what it lost before. */
	send_to(end.udp.fd4, &to, &next, 4);
	(void)next_event(end.ring);
	assert_int_equal(end.ring->overflowed, STORM - got);
	close_end(&end);
}

static void overflow_is_counted(void **state)
{
	enum { STORM = 2000 };
	struct ring_event events[RING_EVENTS_MAX];
	struct tunnel_end end;
	struct endpoint to;
	uint32_t got = 0;
	unsigned int n;

	end.ring = open_ring(state);
	assert_int_equal(udp_open(&end.udp, 0, 0, 64 * 1024), 0);
	assert_int_equal(ring_set_udp(end.ring, end.udp.fd4, end.udp.fd6), 0);
	to = to_v4("127.0.0.1", end.udp.port);
	for (uint32_t i = 0; i < STORM; i++)
		send_to(end.udp.fd4, &to, &i, 4);
	while ((n = ring_wait(end.ring, now_ns() + 20 * MS_NS, events, RING_EVENTS_MAX)) > 0)
		got += n;
	send_to(end.udp.fd4, &to, &got, 4);
	(void)next_event(end.ring);
	assert_true(got < STORM);
	assert_int_equal(end.ring->overflowed, STORM - got);
	close_end(&end);
}

static void sockets_are_replaced_under_traffic(void **state)
{
	struct udp_sockets old;
	struct tunnel_end end;
	struct endpoint to;

	open_end(state, &end);
	for (int i = 0; i < 50; i++) {
		uint32_t number = 0;

		to = to_v4("127.0.0.1", end.udp.port);
		send_to(end.udp.fd4, &to, &number, 4);
		old = end.udp;
		assert_int_equal(udp_open(&end.udp, 0, 0, BUFFER), 0);
		assert_int_equal(ring_set_udp(end.ring, end.udp.fd4, end.udp.fd6), 0);
		to = to_v4("127.0.0.1", old.port);
		send_to(end.udp.fd4, &to, &number, 4);
		udp_close(&old);
		to = i & 1 ? to_v4("127.0.0.1", end.udp.port) : to_v6("::1", end.udp.port);
		number = 1;
		send_to(i & 1 ? end.udp.fd4 : end.udp.fd6, &to, &number, 4);
		do
			memcpy(&number, next_event(end.ring).data, 4);
		while (number != 1);
	}
	assert_int_equal(ring_set_udp(end.ring, -1, -1), 0);
	assert_quiet(end.ring);
	close_end(&end);
}

static void stale_source_is_forgotten(void **state)
{
	uint8_t data[3000] = { 1 };
	struct ring_send send = { .data = data };
	struct tunnel_end end;

	open_end(state, &end);
	for (int i = 0; i < 4; i++) {
		bool v4 = i < 2;

		send.len = 3000;
		send.segment = i & 1 ? 1000 : 3000;
		send.to = v4 ? to_v4("127.0.0.1", end.udp.port) : to_v6("::1", end.udp.port);
		if (v4)
			send.to.source.in.s_addr = htonl(0xc0000201);
		else
			inet_pton(AF_INET6, "2001:db8::1", &send.to.source.in6);
		ring_send(end.ring, &send, 1);
		ring_flush(end.ring);
		assert_true(send.source_stale);
		assert_int_equal(send.error, 0);
		assert_int_equal(send.failed, 0);
		assert_false(send.gso_fallback);
		assert_int_equal(next_event(end.ring).len, 3000);
	}
	close_end(&end);
}

/* Nowhere to send to: the source is not to blame and stays. */
static void unreachable_keeps_source(void **state)
{
	uint8_t data[4] = { 0 };
	struct ring_send send = { .data = data, .len = 4, .segment = 4 };
	struct tunnel_end end;

	open_end(state, &end);
	send.to = to_v4("192.0.2.1", 9);
	send.to.source.in.s_addr = htonl(0x7f000001);
	ring_send(end.ring, &send, 1);
	ring_flush(end.ring);
	assert_int_equal(send.failed, 1);
	assert_true(send.error < 0);
	assert_false(send.source_stale);
	close_end(&end);
}

/* A segment longer than the device's MTU: each datagram goes alone, in fragments. */
static void segments_over_the_mtu_go_one_by_one(void **state)
{
	static uint8_t data[20 * 1400];
	struct ring_send send = { .data = data, .len = 19 * 1400 + 7, .segment = 1400 };
	struct tunnel_end end;

	open_end(state, &end);
	link_mtu("lo", 1300);
	for (int i = 0; i < 4; i++) {
		bool stale = i & 1;
		uint32_t got = 0;

		send.to = i < 2 ? to_v4("127.0.0.1", end.udp.port) : to_v6("::1", end.udp.port);
		if (stale && i < 2)
			send.to.source.in.s_addr = htonl(0xc0000201);
		else if (stale)
			inet_pton(AF_INET6, "2001:db8::1", &send.to.source.in6);
		ring_send(end.ring, &send, 1);
		ring_flush(end.ring);
		assert_true(send.gso_fallback);
		assert_int_equal(send.error, 0);
		assert_int_equal(send.failed, 0);
		assert_int_equal(send.source_stale, stale);
		while (got < send.len) {
			struct ring_event event = next_event(end.ring);

			assert_int_equal(event.segment, event.len < 1400 ? 7 : 1400);
			got += event.len;
		}
		assert_int_equal(got, send.len);
	}
	link_mtu("lo", 65536);
	close_end(&end);
}

/*
 * Frames for a neighbour that does not answer stay in the socket's send buffer:
 * once it is full the rest fails at once, and nothing goes out later.
 */
static void full_buffer_fails_at_once(void **state)
{
	enum { SENDS = 40 };
	struct ring_send sends[SENDS];
	struct ifreq ifr = { .ifr_flags = 0 };
	struct sockaddr_in *addr = (struct sockaddr_in *)(void *)&ifr.ifr_addr;
	unsigned int failed = 0;
	uint8_t data[1000] = { 0 };
	struct tunnel_end end;
	struct tap tap;
	int size = 1;

	open_end(state, &end);
	open_tap(&tap, "ringtap0");
	*addr = to_v4("192.0.2.1", 0).remote.in;
	interface_request("ringtap0", SIOCSIFADDR, &ifr);
	addr->sin_addr.s_addr = htonl(0xffffff00);
	interface_request("ringtap0", SIOCSIFNETMASK, &ifr);
	assert_int_equal(setsockopt(end.udp.fd4, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	for (unsigned int i = 0; i < SENDS; i++)
		sends[i] = (struct ring_send){ .to = to_v4("192.0.2.2", 9),
			                       .data = data,
			                       .len = sizeof(data),
			                       .segment = sizeof(data) };
	ring_send(end.ring, sends, SENDS);
	ring_flush(end.ring);
	for (unsigned int i = 0; i < SENDS; i++) {
		assert_int_equal(sends[i].failed, sends[i].error ? 1 : 0);
		if (sends[i].error)
			assert_int_equal(sends[i].error, -EAGAIN);
		else
			assert_int_equal(failed, 0);
		failed += sends[i].failed;
	}
	assert_in_range(failed, 1, SENDS - 1);
	close_end(&end);
	tap_close(&tap);
}

/* ---- frames ---- */

static void frames_in(void **state)
{
	static uint8_t super[RING_BUFFER_SIZE];
	struct ring *ring = open_ring(state);
	struct ring_event event;
	struct test_frame frame;
	struct wire_vnet vnet;
	struct tap tap;
	size_t len;
	int packet;

	open_tap(&tap, "ringtap0");
	assert_int_equal(ring_add_tap(ring, 3, tap.fd), 0);
	assert_int_equal(ring_add_tap(ring, 3, tap.fd), -EEXIST);
	assert_int_equal(ring_add_tap(ring, RING_PORTS_MAX, tap.fd), -EINVAL);
	packet = open_packet("ringtap0");
	for (uint32_t i = 0; i < 300; i++) {
		send_frame(packet, i);
		event = next_event(ring);
		assert_int_equal(event.type, RING_FRAME);
		assert_int_equal(event.port, 3);
		assert_int_equal(event.len, sizeof(frame));
		memcpy(&frame, event.data, sizeof(frame));
		assert_int_equal(frame.number, i);
	}
	len = make_superframe(super, 65000);
	for (int i = 0; i < 40; i++) {
		send_superframe(packet, "ringtap0", super, len);
		event = next_event(ring);
		assert_int_equal(event.len, len);
		memcpy(&vnet, event.data, sizeof(vnet));
		assert_int_equal(vnet.gso_type, VNET_GSO_TCPV4);
		assert_int_equal(vnet.gso_size, 1400);
		assert_memory_equal(event.data + sizeof(vnet) + 54, super + sizeof(vnet) + 54,
		                    65000);
	}
	close(packet);
	ring_close(ring);
	tap_close(&tap);
}

/* Bursts of all sizes; the host's side sees every frame, in order. */
static void writes_keep_order(void **state)
{
	enum { FRAMES = 10000, BURST = 200 };
	static struct test_frame frames[BURST];
	static struct iovec iovs[BURST][2];
	static struct ring_write writes[BURST];
	struct ring *ring = open_ring(state);
	uint32_t next = 0, seen = 0;
	struct tap tap;
	int packet;

	open_tap(&tap, "ringtap0");
	assert_int_equal(ring_add_tap(ring, 0, tap.fd), 0);
	packet = open_packet("ringtap0");
	while (next < FRAMES) {
		unsigned int burst = 1 + next % BURST;

		for (unsigned int i = 0; i < burst; i++) {
			make_frame(&frames[i], next++);
			iovs[i][0] = (struct iovec){ &frames[i], 20 };
			iovs[i][1] = (struct iovec){ (uint8_t *)&frames[i] + 20,
				                     sizeof(frames[i]) - 20 };
			writes[i] = (struct ring_write){ .iov = iovs[i], .iov_count = 2 };
		}
		ring_write(ring, writes, burst);
		ring_flush(ring);
		for (unsigned int i = 0; i < burst; i++)
			assert_int_equal(writes[i].error, 0);
		while (seen < next) {
			struct test_frame frame;

			assert_int_equal(read(packet, &frame, sizeof(frame)), sizeof(frame));
			assert_int_equal(frame.number, seen);
			seen++;
		}
	}
	close(packet);
	ring_close(ring);
	tap_close(&tap);
}

static void superframe_out(void **state)
{
	static uint8_t super[RING_BUFFER_SIZE];
	struct ring *ring = open_ring(state);
	struct iovec iov = { super, make_superframe(super, 65000) };
	struct ring_write write = { .port = 1, .iov = &iov, .iov_count = 1 };
	struct tap tap;

	open_tap(&tap, "ringtap0");
	assert_int_equal(ring_add_tap(ring, 1, tap.fd), 0);
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, 0);
	/* A header that promises more than the frame has is refused, and said so. */
	iov.iov_len = 40;
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -EINVAL);
	write.port = 2;
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -ENODEV);
	write.port = UINT16_MAX;
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -ENODEV);
	ring_close(ring);
	tap_close(&tap);
}

static void removed_tap_is_silent(void **state)
{
	struct ring *ring = open_ring(state);
	struct tap tap;
	int packet;

	open_tap(&tap, "ringtap0");
	packet = open_packet("ringtap0");
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(ring_add_tap(ring, 5, tap.fd), 0);
		send_frame(packet, round);
		assert_int_equal(next_event(ring).port, 5);
		send_frame(packet, round); /* received or not: nobody wants it any more */
		ring_remove_tap(ring, 5);
		if (round % 20 == 0) {
			uint8_t left[256];

			assert_quiet(ring);
			(void)!read(tap.fd, left, sizeof(left));
		}
	}
	/* Nobody holds the device: its name is free as soon as it is closed. */
	tap_close(&tap);
	assert_int_equal(tap_open(&tap, "ringtap0"), 0);
	tap_close(&tap);
	close(packet);
	ring_close(ring);
}

static void deleted_tap_is_told(void **state)
{
	struct ring *ring = open_ring(state);
	struct ring_event event;
	struct tap tap, other;
	int packet;

	open_tap(&other, "ringtap1");
	assert_int_equal(ring_add_tap(ring, 1, other.fd), 0);
	packet = open_packet("ringtap1");
	for (int i = 0; i < 20; i++) {
		open_tap(&tap, "ringtap0");
		assert_int_equal(ring_add_tap(ring, 0, tap.fd), 0);
		if (i & 1)
			assert_quiet(ring);
		link_delete("ringtap0");
		event = next_event(ring);
		assert_int_equal(event.type, RING_PORT_LOST);
		assert_int_equal(event.port, 0);
		tap_close(&tap);
		send_frame(packet, 0);
		event = next_event(ring);
		assert_int_equal(event.type, RING_FRAME);
		assert_int_equal(event.port, 1);
	}
	assert_quiet(ring);
	close(packet);
	ring_close(ring);
	tap_close(&other);
}

static void deleted_tap_is_noticed_by_a_write(void **state)
{
	struct ring *ring = open_ring(state);
	struct test_frame frame;
	struct iovec iov = { &frame, sizeof(frame) };
	struct ring_write write = { .iov = &iov, .iov_count = 1 };
	struct tap tap;

	make_frame(&frame, 0);
	open_tap(&tap, "ringtap0");
	assert_int_equal(ring_add_tap(ring, 0, tap.fd), 0);
	link_delete("ringtap0");
	for (int i = 0; i < 3; i++) {
		ring_write(ring, &write, 1);
		ring_flush(ring);
		assert_true(write.error < 0);
	}
	assert_int_equal(next_event(ring).type, RING_PORT_LOST);
	assert_quiet(ring);
	tap_close(&tap);
	assert_int_equal(tap_open(&tap, "ringtap0"), 0);
	assert_int_equal(ring_add_tap(ring, 0, tap.fd), 0);
	ring_close(ring);
	tap_close(&tap);
}

static void tap_that_is_down_is_not_lost(void **state)
{
	struct ring *ring = open_ring(state);
	struct test_frame frame;
	struct iovec iov = { &frame, sizeof(frame) };
	struct ring_write write = { .iov = &iov, .iov_count = 1 };
	struct ifreq down = { .ifr_flags = 0 };
	struct tap tap;
	int packet;

	make_frame(&frame, 0);
	open_tap(&tap, "ringtap0");
	interface_request("ringtap0", SIOCSIFFLAGS, &down);
	assert_int_equal(ring_add_tap(ring, 0, tap.fd), 0);
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -EIO);
	assert_quiet(ring);
	link_up("ringtap0");
	packet = open_packet("ringtap0");
	send_frame(packet, 1);
	assert_int_equal(next_event(ring).type, RING_FRAME);
	close(packet);
	ring_close(ring);
	tap_close(&tap);
}

/* Two TAPs and the socket, all with more than one wait can take: each gets its part. */
static void sources_share_fairly(void **state)
{
	enum { EACH = 400, TAPS = 2 };
	static const char *const names[TAPS] = { "ringtap0", "ringtap1" };
	struct ring_event events[RING_EVENTS_MAX];
	unsigned int got[TAPS + 1] = { 0 };
	struct tunnel_end end;
	struct tap taps[TAPS];
	struct endpoint to;
	int packets[TAPS];

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (uint16_t t = 0; t < TAPS; t++) {
		open_tap(&taps[t], names[t]);
		assert_int_equal(ring_add_tap(end.ring, t, taps[t].fd), 0);
		packets[t] = open_packet(names[t]);
		for (uint32_t i = 0; i < EACH; i++)
			send_frame(packets[t], i);
	}
	for (uint32_t i = 0; i < EACH; i++)
		send_to(end.udp.fd4, &to, &i, 4);
	for (int round = 0; round < 12; round++) {
		unsigned int n = ring_wait(end.ring, 0, events, 32);

		for (unsigned int i = 0; i < n; i++)
			got[events[i].type == RING_DATAGRAM ? TAPS : events[i].port]++;
	}
	for (unsigned int i = 0; i <= TAPS; i++)
		assert_in_range(got[i], 64, EACH);
	for (unsigned int t = 0; t < TAPS; t++)
		close(packets[t]);
	close_end(&end);
	for (unsigned int t = 0; t < TAPS; t++)
		tap_close(&taps[t]);
}

static void all_ports_at_once(void **state)
{
	struct ring *ring = open_ring(state);
	struct tap taps[RING_PORTS_MAX];
	uint64_t seen = 0;

	for (uint16_t p = 0; p < RING_PORTS_MAX; p++) {
		char name[IFNAMSIZ];
		int packet;

		snprintf(name, sizeof(name), "ringmany%u", p);
		open_tap(&taps[p], name);
		assert_int_equal(ring_add_tap(ring, p, taps[p].fd), 0);
		packet = open_packet(name);
		send_frame(packet, p);
		close(packet);
	}
	while (seen != UINT64_MAX) {
		struct ring_event event = next_event(ring);

		assert_int_equal(event.type, RING_FRAME);
		assert_false(seen >> event.port & 1);
		seen |= 1ull << event.port;
	}
	ring_close(ring);
	for (uint16_t p = 0; p < RING_PORTS_MAX; p++)
		tap_close(&taps[p]);
}

/* What a wait returned is the caller's until the next, whatever is received and sent meanwhile. */
static void events_stay_valid(void **state)
{
	struct ring_event events[RING_EVENTS_MAX];
	uint8_t answer[4] = { 9, 9, 9, 9 };
	struct tunnel_end end;
	struct endpoint to;
	uint32_t next = 0;

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (uint32_t i = 0; i < 256; i++)
		send_to(end.udp.fd4, &to, &i, 4);
	while (next < 256) {
		struct ring_send send = { .data = answer, .len = 4, .segment = 4, .to = to };
		unsigned int n = ring_wait(end.ring, now_ns() + SECOND_NS, events, 16);

		assert_true(n > 0);
		send.to.remote.in.sin_addr.s_addr = htonl(0x7f000002);
		for (unsigned int i = 0; i < n; i++) {
			ring_send(end.ring, &send, 1);
			ring_flush(end.ring);
		}
		for (unsigned int i = 0; i < n; i++) {
			if (memcmp(events[i].data, answer, 4) == 0)
				continue;
			assert_memory_equal(events[i].data, &next, 4);
			memcpy(events[i].data, answer, 4);
			next++;
		}
	}
	close_end(&end);
}

/* ---- waiting ---- */

static void deadlines_hold(void **state)
{
	struct ring_event event;
	struct tunnel_end end;
	struct endpoint to;
	uint64_t start;

	open_end(state, &end);
	start = now_ns();
	assert_int_equal(ring_wait(end.ring, start + 30 * MS_NS, &event, 1), 0);
	assert_in_range(now_ns() - start, 30 * MS_NS, SECOND_NS);
	start = now_ns();
	assert_int_equal(ring_wait(end.ring, start - 1, &event, 1), 0);
	assert_int_equal(ring_wait(end.ring, 1, &event, 1), 0);
	assert_int_equal(ring_wait(end.ring, 0, &event, 1), 0);
	assert_true(now_ns() - start < 20 * MS_NS);
	/* No sleep, but what is there is found. */
	to = to_v4("127.0.0.1", end.udp.port);
	send_to(end.udp.fd4, &to, "x", 1);
	assert_int_equal(ring_wait(end.ring, 0, &event, 1), 1);
	send_to(end.udp.fd4, &to, "x", 1);
	assert_int_equal(ring_wait(end.ring, 1, &event, 1), 1);
	close_end(&end);
}

static void *wake_later(void *arg)
{
	struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

	nanosleep(&pause, NULL);
	ring_wake(arg);
	return NULL;
}

static void wakes_from_another_thread(void **state)
{
	struct ring *ring = open_ring(state);
	struct ring_event event;
	pthread_t thread;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, wake_later, ring), 0);
		assert_int_equal(ring_wait(ring, UINT64_MAX, &event, 1), 0);
		pthread_join(thread, NULL);
	}
	/* A wake before the wait is not lost, and counts once. */
	for (int i = 0; i < 100; i++) {
		ring_wake(ring);
		assert_int_equal(ring_wait(ring, UINT64_MAX, &event, 1), 0);
	}
	ring_wake(ring);
	ring_wake(ring);
	assert_int_equal(ring_wait(ring, UINT64_MAX, &event, 1), 0);
	assert_quiet(ring);
	ring_close(ring);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void signal_ends_a_wait(void **state)
{
	struct ring *ring = open_ring(state);
	struct sigaction action = { .sa_handler = on_alarm }, old;
	struct ring_event event;
	struct itimerspec when = { .it_value = { .tv_nsec = 20 * 1000 * 1000 } };
	timer_t timer;

	assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
	assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &when, NULL), 0);
	assert_int_equal(ring_wait(ring, UINT64_MAX, &event, 1), 0);
	timer_delete(timer);
	sigaction(SIGALRM, &old, NULL);
	ring_close(ring);
}

/* ---- lifetime ---- */

static unsigned int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void opening_and_closing_leaks_nothing(void **state)
{
	unsigned int before;
	struct tap tap;

	ring_close(open_ring(state));
	open_tap(&tap, "ringtap0");
	before = count_fds();
	for (int i = 0; i < 1000; i++) {
		struct tunnel_end end;
		struct ring_event event;

		open_end(state, &end);
		assert_int_equal(ring_add_tap(end.ring, 0, tap.fd), 0);
		assert_int_equal(ring_wait(end.ring, 0, &event, 1), 0);
		close_end(&end);
	}
	assert_int_equal(count_fds(), before);
	tap_close(&tap);
}

struct ring_test {
	const char *name;
	CMUnitTestFunction run;
};

static const struct ring_test tests[] = {
	{ "datagram_v4", datagram_v4 },
	{ "datagram_v6", datagram_v6 },
	{ "burst_of_64", burst_of_64 },
	{ "burst_too_many_is_split", burst_too_many_is_split },
	{ "empty_datagrams_do_not_stop_it", empty_datagrams_do_not_stop_it },
	{ "largest_datagram", largest_datagram },
	{ "many_sends_keep_order", many_sends_keep_order },
	{ "send_without_socket_fails", send_without_socket_fails },
	{ "storm_loses_only_what_is_counted", storm_loses_only_what_is_counted },
	{ "overflow_is_counted", overflow_is_counted },
	{ "sockets_are_replaced_under_traffic", sockets_are_replaced_under_traffic },
	{ "pitfall_25_stale_source_is_forgotten", stale_source_is_forgotten },
	{ "unreachable_keeps_source", unreachable_keeps_source },
	{ "segments_over_the_mtu_go_one_by_one", segments_over_the_mtu_go_one_by_one },
	{ "full_buffer_fails_at_once", full_buffer_fails_at_once },
	{ "frames_in", frames_in },
	{ "writes_keep_order", writes_keep_order },
	{ "superframe_out", superframe_out },
	{ "removed_tap_is_silent", removed_tap_is_silent },
	{ "deleted_tap_is_told", deleted_tap_is_told },
	{ "deleted_tap_is_noticed_by_a_write", deleted_tap_is_noticed_by_a_write },
	{ "tap_that_is_down_is_not_lost", tap_that_is_down_is_not_lost },
	{ "sources_share_fairly", sources_share_fairly },
	{ "all_ports_at_once", all_ports_at_once },
	{ "events_stay_valid", events_stay_valid },
	{ "deadlines_hold", deadlines_hold },
	{ "wakes_from_another_thread", wakes_from_another_thread },
	{ "signal_ends_a_wait", signal_ends_a_wait },
	{ "opening_and_closing_leaks_nothing", opening_and_closing_leaks_nothing },
};
#define TESTS (sizeof(tests) / sizeof(tests[0]))

static struct backend backends[] = {
	{ "poll", ring_open_poll },
	{ "io_uring", ring_open_uring },
};
#define BACKENDS (sizeof(backends) / sizeof(backends[0]))

int main(void)
{
	static char names[BACKENDS][TESTS][64];
	static struct CMUnitTest table[BACKENDS * TESTS];

	enter_namespace();
	for (size_t b = 0; b < BACKENDS; b++) {
		for (size_t t = 0; t < TESTS; t++) {
			snprintf(names[b][t], sizeof(names[b][t]), "%s: %s", backends[b].name,
			         tests[t].name);
			table[b * TESTS + t] = (struct CMUnitTest){ .name = names[b][t],
				                                    .test_func = tests[t].run,
				                                    .initial_state = &backends[b] };
		}
	}
	return cmocka_run_group_tests_name("ring", table, NULL, NULL);
}
