/* SPDX-License-Identifier: MIT */
/* Both backends of the ring by the same table of tests, through the interface only. */
#include "ring_lab.h"
#include "descriptors.h"

#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>

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
	/* So that it expects short ones, and takes whole batches of nothing. */
	for (int i = 0; i < 100; i++) {
		send_to(end.udp.fd4, &to, "s", 1);
		assert_int_equal(next_event(end.ring).data[0], 's');
	}
	for (int i = 0; i < 1000; i++)
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

/* A wait that does not take all says so, and one that says no more has left nothing. */
static void what_is_left_is_told(void **state)
{
	static uint8_t data[60000];
	struct ring_event events[RING_EVENTS_MAX];
	struct tunnel_end end;
	struct endpoint to;

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (int round = 0; round < 16; round++) {
		bool is_short = round >= 3;
		unsigned int got = 0, waits = 0;

		for (int i = 0; i < 24; i++)
			send_to(end.udp.fd4, &to, (char *)data, is_short ? 100 : sizeof(data));
		while (got < 24) {
			unsigned int n =
				ring_wait(end.ring, now_ns() + SECOND_NS, events, RING_EVENTS_MAX);

			assert_true(n > 0);
			got += n;
			waits++;
			if (!end.ring->more)
				assert_int_equal(got, 24);
		}
		/* The first may not know yet how long they are. */
		assert_true(round == 0 || is_short || waits > 2);
	}
	assert_quiet(end.ring);
	assert_false(end.ring->more);
	close_end(&end);
}

/* Nor is what was received and not handed out forgotten. */
static void what_waits_in_the_ring_is_left(void **state)
{
	struct tunnel_end end;
	struct ring_event event;
	struct endpoint to;

	open_end(state, &end);
	to = to_v4("127.0.0.1", end.udp.port);
	for (int i = 0; i < 3; i++)
		send_to(end.udp.fd4, &to, "some", (size_t)i + 1);
	for (int i = 0; i < 3; i++) {
		event = next_event(end.ring);
		assert_int_equal(event.len, i + 1);
		assert_true(end.ring->more == (i < 2));
	}
	close_end(&end);
}

/* What was received is handed out, what was not stays in the socket, and nothing is in between. */
static void a_drained_ring_leaves_nothing_behind(void **state)
{
	struct ring_event events[RING_EVENTS_MAX];
	uint8_t text[8] = "text";
	struct ring_send send = { .data = text, .len = 4, .segment = 4 };
	unsigned int got = 1, left = 0;
	struct tunnel_end end;

	open_end(state, &end);
	send.to = to_v4("127.0.0.1", end.udp.port);
	for (int i = 0; i < 3; i++)
		send_to(end.udp.fd4, &send.to, "some", 4);
	(void)next_event(end.ring);
	for (int i = 0; i < 5; i++)
		send_to(end.udp.fd4, &send.to, "more", 4);
	ring_drain(end.ring);
	assert_true(end.ring->more);
	while (end.ring->more)
		got += ring_wait(end.ring, UINT64_MAX, events, 2);
	assert_true(got >= 3);
	/* It sends still, and hears no more. */
	ring_send(end.ring, &send, 1);
	ring_flush(end.ring);
	assert_int_equal(send.error, 0);
	assert_int_equal(ring_wait(end.ring, UINT64_MAX, events, RING_EVENTS_MAX), 0);
	ring_close(end.ring);
	while (recv(end.udp.fd4, text, sizeof(text), MSG_DONTWAIT) > 0)
		left++;
	assert_int_equal(got + left, 3 + 5 + 1);
	udp_close(&end.udp);
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
	/* Told again, it counts once. */
	send_to(end.udp.fd4, &to, &got, 4);
	(void)next_event(end.ring);
	assert_int_equal(end.ring->overflowed, STORM - got);
	close_end(&end);
}

static void flood(const struct tunnel_end *end, uint32_t count)
{
	const struct endpoint to = to_v4("127.0.0.1", end->udp.port);

	for (uint32_t i = 0; i < count; i++)
		send_to(end->udp.fd4, &to, &i, 4);
}

/* How many had room in the buffer. */
static uint32_t drain(struct tunnel_end *end)
{
	struct ring_event events[RING_EVENTS_MAX];
	uint32_t got = 0;
	unsigned int n;

	while ((n = ring_wait(end->ring, now_ns() + 20 * MS_NS, events, RING_EVENTS_MAX)) > 0)
		got += n;
	/* The next one tells what was lost before. */
	flood(end, 1);
	(void)next_event(end->ring);
	return got;
}

/* The daemon's next life takes the socket over, and each loss counts in one of them. */
static void what_another_ring_counted_is_left_to_it(void **state)
{
	enum { STORM = 2000 };
	struct tunnel_end end;
	uint32_t got;

	end.ring = open_ring(state);
	assert_int_equal(udp_open(&end.udp, 0, 0, 64 * 1024), 0);
	assert_int_equal(ring_set_udp(end.ring, end.udp.fd4, end.udp.fd6), 0);
	flood(&end, STORM);
	got = drain(&end);
	assert_int_equal(end.ring->overflowed, STORM - got);
	assert_true(end.ring->overflowed > 0);
	ring_close(end.ring);
	end.ring = open_ring(state);
	assert_int_equal(ring_set_udp(end.ring, end.udp.fd4, end.udp.fd6), 0);
	flood(&end, 1);
	assert_int_equal(drain(&end), 1);
	assert_int_equal(end.ring->overflowed, 0);
	/* What is lost while nobody reads is the next one's. */
	ring_close(end.ring);
	end.ring = open_ring(state);
	flood(&end, STORM);
	assert_int_equal(ring_set_udp(end.ring, end.udp.fd4, end.udp.fd6), 0);
	got = drain(&end);
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
	assert_int_equal(ntohl(send.to.source.in.s_addr), 0x7f000001);
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

/* Where that is known it is not tried, and what lies around it keeps its place. */
static void known_to_be_refused_goes_one_by_one(void **state)
{
	enum { SENDS = 5 };
	static uint8_t data[SENDS][3000];
	struct ring_send sends[SENDS];
	struct tunnel_end end;

	open_end(state, &end);
	for (unsigned int i = 0; i < SENDS; i++) {
		memset(data[i], (int)i, sizeof(data[i]));
		sends[i] = (struct ring_send){ .data = data[i], .len = 2900, .segment = 1000 };
		sends[i].to = to_v4("127.0.0.1", end.udp.port);
		/* Two runs, one of them of a single datagram that wants nothing special. */
		sends[i].single = i == 1 || i == 3 || i == 4;
		if (i == 3)
			sends[i].segment = 2900;
	}
	ring_send(end.ring, sends, SENDS);
	ring_flush(end.ring);
	for (unsigned int i = 0; i < SENDS; i++) {
		bool alone = i == 1 || i >= 3;
		uint32_t got = 0;

		assert_int_equal(sends[i].error, 0);
		assert_int_equal(sends[i].failed, 0);
		assert_false(sends[i].gso_fallback);
		while (got < 2900) {
			struct ring_event event = next_event(end.ring);

			assert_int_equal(event.data[0], i);
			assert_int_equal(event.len == event.segment, alone);
			got += event.len;
		}
		assert_int_equal(got, 2900);
	}
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

/* One that a test lets wait for good, until a thread or a signal ends it. */
static struct ring *open_waiting_ring(void **state)
{
	const struct backend *backend = *state;

	if (UNIT_VALGRIND && backend->open == ring_open_uring) {
		print_message("skipped: waiting in io_uring under valgrind\n");
		skip();
	}
	return open_ring(state);
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
	struct ring *ring = open_waiting_ring(state);
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
	assert_lasts(ring);
	ring_close(ring);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void signal_ends_a_wait(void **state)
{
	struct ring *ring = open_waiting_ring(state);
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

static void opening_and_closing_leaks_nothing(void **state)
{
	unsigned int before;
	struct tap tap;

	ring_close(open_ring(state));
	open_tap(&tap, "ringtap0");
	before = count_descriptors();
	for (int i = 0; i < 1000; i++) {
		struct tunnel_end end;
		struct ring_event event;

		open_end(state, &end);
		assert_int_equal(ring_add_tap(end.ring, 0, tap.fds[0]), 0);
		assert_int_equal(ring_wait(end.ring, 0, &event, 1), 0);
		close_end(&end);
	}
	assert_int_equal(count_descriptors(), before);
	tap_close(&tap);
}
static const struct ring_test tests[] = {
	{ "datagram_v4", datagram_v4 },
	{ "datagram_v6", datagram_v6 },
	{ "burst_of_64", burst_of_64 },
	{ "what_is_left_is_told", what_is_left_is_told },
	{ "what_waits_in_the_ring_is_left", what_waits_in_the_ring_is_left },
	{ "a_drained_ring_leaves_nothing_behind", a_drained_ring_leaves_nothing_behind },
	{ "burst_too_many_is_split", burst_too_many_is_split },
	{ "empty_datagrams_do_not_stop_it", empty_datagrams_do_not_stop_it },
	{ "largest_datagram", largest_datagram },
	{ "many_sends_keep_order", many_sends_keep_order },
	{ "send_without_socket_fails", send_without_socket_fails },
	{ "storm_loses_only_what_is_counted", storm_loses_only_what_is_counted },
	{ "overflow_is_counted", overflow_is_counted },
	{ "what_another_ring_counted_is_left_to_it", what_another_ring_counted_is_left_to_it },
	{ "sockets_are_replaced_under_traffic", sockets_are_replaced_under_traffic },
	{ "pitfall_25_stale_source_is_forgotten", stale_source_is_forgotten },
	{ "unreachable_keeps_source", unreachable_keeps_source },
	{ "segments_over_the_mtu_go_one_by_one", segments_over_the_mtu_go_one_by_one },
	{ "known_to_be_refused_goes_one_by_one", known_to_be_refused_goes_one_by_one },
	{ "full_buffer_fails_at_once", full_buffer_fails_at_once },
	{ "events_stay_valid", events_stay_valid },
	{ "deadlines_hold", deadlines_hold },
	{ "wakes_from_another_thread", wakes_from_another_thread },
	{ "signal_ends_a_wait", signal_ends_a_wait },
	{ "opening_and_closing_leaks_nothing", opening_and_closing_leaks_nothing },
};

int main(void)
{
	return run_ring_tests("ring", tests, sizeof(tests) / sizeof(tests[0]));
}
