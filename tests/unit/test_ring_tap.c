/* SPDX-License-Identifier: MIT */
/* The ring's TAPs, with both backends: frames in and out, devices that come and go. */
#include "ring_lab.h"

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
	assert_int_equal(ring_add_tap(ring, 3, tap.fds[0]), 0);
	assert_int_equal(ring_add_tap(ring, 3, tap.fds[0]), -EEXIST);
	assert_int_equal(ring_add_tap(ring, RING_PORTS_MAX, tap.fds[0]), -EINVAL);
	packet = open_packet("ringtap0", TEST_ETHERTYPE);
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
	/* More than a batch holds is there at once, and after any number it is quiet. */
	for (int count = 1; count <= 20; count++) {
		bool last = false;

		for (int i = 0; i < count; i++)
			send_superframe(packet, "ringtap0", super, len);
		for (int i = 0; i < count; i++) {
			assert_false(last);
			event = next_event(ring);
			assert_int_equal(event.len, len);
			last = event.last;
		}
		/* Also when the last one filled a batch. */
		assert_true(last);
		assert_lasts(ring);
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
	assert_int_equal(ring_add_tap(ring, 0, tap.fds[0]), 0);
	packet = open_packet("ringtap0", TEST_ETHERTYPE);
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
	static uint8_t super[RING_BUFFER_SIZE], seen[RING_BUFFER_SIZE];
	struct ring *ring = open_ring(state);
	struct iovec iov = { super, make_superframe(super, 65000) };
	struct ring_write write = { .port = 1, .iov = &iov, .iov_count = 1 };
	struct wire_vnet vnet;
	struct tap tap;
	int packet;

	open_tap(&tap, "ringtap0");
	packet = open_packet("ringtap0", ETHERTYPE_WIRE_IPV4);
	assert_int_equal(ring_add_tap(ring, 1, tap.fds[0]), 0);
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, 0);
	assert_int_equal(read(packet, seen, sizeof(seen)), (ssize_t)iov.iov_len);
	memcpy(&vnet, seen, sizeof(vnet));
	assert_int_equal(vnet.gso_type, VNET_GSO_TCPV4);
	assert_int_equal(vnet.gso_size, 1400);
	assert_memory_equal(seen + sizeof(vnet), super + sizeof(vnet), iov.iov_len - sizeof(vnet));
	/* A header that promises more than the frame has is refused, and said so. */
	iov.iov_len = 40;
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -EINVAL);
	for (unsigned int port = 2; port <= UINT16_MAX; port += UINT16_MAX - 2) {
		write.port = (uint16_t)port;
		ring_write(ring, &write, 1);
		ring_flush(ring);
		assert_int_equal(write.error, -ENODEV);
	}
	close(packet);
	ring_close(ring);
	tap_close(&tap);
}

static void removed_tap_is_silent(void **state)
{
	struct ring *ring = open_ring(state);
	struct tap tap;
	int packet;

	open_tap(&tap, "ringtap0");
	packet = open_packet("ringtap0", TEST_ETHERTYPE);
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(ring_add_tap(ring, 5, tap.fds[0]), 0);
		send_frame(packet, round);
		assert_int_equal(next_event(ring).port, 5);
		send_frame(packet, round); /* received or not: nobody wants it any more */
		ring_remove_tap(ring, 5);
		if (round % 20 == 0) {
			uint8_t left[256];

			assert_quiet(ring);
			(void)!read(tap.fds[0], left, sizeof(left));
		}
	}
	/* Nobody holds the device: its name is free as soon as it is closed. */
	tap_close(&tap);
	assert_int_equal(tap_open(&tap, "ringtap0", 1), 0);
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
	assert_int_equal(ring_add_tap(ring, 1, other.fds[0]), 0);
	packet = open_packet("ringtap1", TEST_ETHERTYPE);
	for (int i = 0; i < 20; i++) {
		open_tap(&tap, "ringtap0");
		assert_int_equal(ring_add_tap(ring, 0, tap.fds[0]), 0);
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

/* That one was lost, and is not told yet, is not said of the next on its port. */
static void lost_tap_is_removed(void **state)
{
	static const char *const names[] = { "ringtap0", "ringtap1" };
	struct ring *ring = open_ring(state);
	struct ring_event event;
	struct tap taps[2];
	uint16_t port;

	for (uint16_t i = 0; i < 2; i++) {
		open_tap(&taps[i], names[i]);
		assert_int_equal(ring_add_tap(ring, i, taps[i].fds[0]), 0);
	}
	link_delete(names[0]);
	link_delete(names[1]);
	event = next_event(ring);
	assert_int_equal(event.type, RING_PORT_LOST);
	port = event.port ^ 1;
	ring_remove_tap(ring, port);
	tap_close(&taps[port]);
	open_tap(&taps[port], names[port]);
	assert_int_equal(ring_add_tap(ring, port, taps[port].fds[0]), 0);
	assert_quiet(ring);
	ring_close(ring);
	tap_close(&taps[0]);
	tap_close(&taps[1]);
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
	assert_int_equal(ring_add_tap(ring, 0, tap.fds[0]), 0);
	link_delete("ringtap0");
	for (int i = 0; i < 3; i++) {
		ring_write(ring, &write, 1);
		ring_flush(ring);
		assert_true(write.error < 0);
	}
	assert_int_equal(next_event(ring).type, RING_PORT_LOST);
	assert_quiet(ring);
	tap_close(&tap);
	assert_int_equal(tap_open(&tap, "ringtap0", 1), 0);
	assert_int_equal(ring_add_tap(ring, 0, tap.fds[0]), 0);
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
	assert_int_equal(ring_add_tap(ring, 0, tap.fds[0]), 0);
	ring_write(ring, &write, 1);
	ring_flush(ring);
	assert_int_equal(write.error, -EIO);
	assert_quiet(ring);
	link_up("ringtap0");
	packet = open_packet("ringtap0", TEST_ETHERTYPE);
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
		assert_int_equal(ring_add_tap(end.ring, t, taps[t].fds[0]), 0);
		packets[t] = open_packet(names[t], TEST_ETHERTYPE);
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

/* Everything at once, which is more than a batch has places: all of it comes. */
static void all_sources_at_once(void **state)
{
	struct tap taps[RING_PORTS_MAX];
	struct tunnel_end end;
	struct endpoint to[2];
	unsigned int datagrams = 0;
	uint64_t seen = 0;

	open_end(state, &end);
	for (uint16_t p = 0; p < RING_PORTS_MAX; p++) {
		char name[IFNAMSIZ];
		int packet;

		snprintf(name, sizeof(name), "ringmany%u", p);
		open_tap(&taps[p], name);
		assert_int_equal(ring_add_tap(end.ring, p, taps[p].fds[0]), 0);
		packet = open_packet(name, TEST_ETHERTYPE);
		send_frame(packet, p);
		close(packet);
	}
	to[0] = to_v4("127.0.0.1", end.udp.port);
	to[1] = to_v6("::1", end.udp.port);
	send_to(end.udp.fd4, &to[0], "4", 1);
	send_to(end.udp.fd6, &to[1], "6", 1);
	while (seen != UINT64_MAX || datagrams < 2) {
		struct ring_event event = next_event(end.ring);

		if (event.type == RING_DATAGRAM) {
			datagrams++;
			continue;
		}
		assert_int_equal(event.type, RING_FRAME);
		assert_false(seen >> event.port & 1);
		seen |= 1ull << event.port;
	}
	close_end(&end);
	for (uint16_t p = 0; p < RING_PORTS_MAX; p++)
		tap_close(&taps[p]);
}

static const struct ring_test tests[] = {
	{ "frames_in", frames_in },
	{ "writes_keep_order", writes_keep_order },
	{ "superframe_out", superframe_out },
	{ "removed_tap_is_silent", removed_tap_is_silent },
	{ "deleted_tap_is_told", deleted_tap_is_told },
	{ "lost_tap_is_removed", lost_tap_is_removed },
	{ "deleted_tap_is_noticed_by_a_write", deleted_tap_is_noticed_by_a_write },
	{ "tap_that_is_down_is_not_lost", tap_that_is_down_is_not_lost },
	{ "sources_share_fairly", sources_share_fairly },
	{ "all_sources_at_once", all_sources_at_once },
};

int main(void)
{
	return run_ring_tests("ring_tap", tests, sizeof(tests) / sizeof(tests[0]));
}
