/* SPDX-License-Identifier: MIT */
/*
 * The kernel as oracle: what the coalescer writes to one TAP of a bridge comes
 * out of another one, cut by the kernel where that one takes no superframes, and
 * as a superframe of the kernel's own making, for segment_packet(), where it
 * does. Either way the packets must be those that went in, byte by byte.
 */
#include "unit.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include "dataplane/coalesce.h"
#include "dataplane/segment.h"
#include "dataplane/tap.h"
#include "netns.h"
#include "packet_build.h"

#define FLOW_MAX 64

static struct tap in;
static int plain = -1; /* a TAP without any offload */
static struct tap able;
static struct coalesce *coalesce;

static uint8_t sent[FLOW_MAX][1600];
static uint8_t buffer[FLOW_MAX][1600];
static uint32_t lens[FLOW_MAX];
static uint32_t count;

static uint8_t frame[RING_BUFFER_SIZE];
static uint8_t room[SEGMENT_ROOM];

static const uint8_t addresses[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
static struct coalesce_target target;

/* Of the flows to come: the tags, outer first. */
static void set_target(uint8_t family, uint32_t tags)
{
	static const uint32_t rows[2][2] = { { 0x81000005 }, { 0x88a80007, 0x81002005 } };

	target = (struct coalesce_target){ .merge_udp = true };
	memcpy(target.link, addresses, sizeof(addresses));
	for (uint32_t i = 0; i < tags; i++)
		store_be32(target.link + 12 + 4 * i, rows[tags - 1][i]);
	target.link_len = (uint16_t)(14 + 4 * tags);
	store_be16(target.link + target.link_len - 2,
	           family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6);
}

static int open_plain(void)
{
	struct ifreq ifr = { .ifr_name = "plain", .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) == 0 ? fd : -1;
}

/* The next frame of our own making, within a second; its length or 0. */
static uint32_t read_frame(int fd, uint32_t header)
{
	uint64_t deadline = netns_now_ns() + 1000000000;

	while (netns_now_ns() < deadline) {
		struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
		ssize_t len;

		(void)poll(&poll_fd, 1, 100);
		len = read(fd, frame, sizeof(frame));
		if (len >= (ssize_t)header + 14 &&
		    memcmp(frame + header, addresses, sizeof(addresses)) == 0)
			return (uint32_t)len - header;
	}
	return 0;
}

/* A flow of @n packets, the last of them short, through the coalescer to the first TAP. */
static void send_flow(uint8_t family, uint8_t proto, uint32_t payload, uint32_t n, bool undone)
{
	static const uint8_t stamps[12] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1 };
	struct ring_write *writes;
	unsigned int write_count;

	for (count = 0; count < n; count++) {
		struct build b = {
			.family = family,
			.proto = proto,
			.source_port = 1000,
			.destination_port = 2000,
			.payload = n > 1 && count + 1 == n ? payload / 2 + 1 : payload,
			.sequence = 0xffffff00 + count * payload,
			.acknowledgement = 5,
			.window = 100,
			.id = (uint16_t)(0xfffe + count),
			.flags = count + 1 == n ? TCP_ACK | TCP_PSH : TCP_ACK,
			.tcp_options = stamps,
			.tcp_options_len = proto == IPPROTO_WIRE_TCP ? 12 : 0,
			.fragment = IPV4_DF,
			.tos = 2,
			.seed = count,
		};
		struct packet pkt;

		lens[count] = build_packet(&b, sent[count]);
		memcpy(buffer[count], sent[count], lens[count]);
		assert_true(packet_parse_ip(buffer[count], lens[count], &pkt));
		assert_true(coalesce_push(coalesce, &pkt, &target, undone));
	}
	write_count = coalesce_finish(coalesce, &writes);
	assert_int_equal(write_count, 1);
	assert_true(writev(in.fds[0], writes[0].iov, writes[0].iov_count) > 0);
	coalesce_reset(coalesce);
}

static void came_out_cut(const char *what)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = read_frame(plain, 0);

		if (len == 0)
			fail_msg("%s: packet %u of %u did not come", what, i, count);
		assert_int_equal(len, target.link_len + lens[i]);
		assert_memory_equal(frame, target.link, target.link_len);
		assert_memory_equal(frame + target.link_len, sent[i], lens[i]);
	}
}

static void came_out_whole(void)
{
	struct segment_slots slots = {
		.buf = room, .room = sizeof(room), .mtu = 1550, .framing = SEGMENT_FRAME
	};
	uint32_t len = read_frame(able.fds[0], sizeof(struct wire_vnet));
	struct wire_vnet vnet;
	struct frame parsed;
	struct packet pkt;

	assert_true(packet_parse_frame(frame + sizeof(vnet), len, &parsed));
	assert_int_equal(parsed.link_len, target.link_len);
	memcpy(&vnet, frame, sizeof(vnet));
	assert_int_equal(count > 1, vnet.gso_type != VNET_GSO_NONE);
	assert_true(packet_parse_ip(parsed.data + parsed.link_len, len - parsed.link_len, &pkt));
	slots.link = parsed.data;
	slots.link_len = parsed.link_len;
	assert_int_equal(segment_packet(&pkt, &vnet, &slots), SEGMENT_OK);
	assert_int_equal(slots.count, count);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *text = room + i * slots.stride + SEGMENT_HEADROOM + 8;

		assert_memory_equal(text, target.link, target.link_len);
		assert_memory_equal(text + target.link_len, sent[i], lens[i]);
	}
}

static void kernel_gives_back_what_was_merged(void **state)
{
	static const uint32_t sizes[] = { 1, 8, 100, 1000, 1400 };
	static const uint32_t counts[] = { 1, 2, 3, 17, 45, 64 };

	(void)state;
	for (uint32_t row = 0; row < 8 * 3; row++) {
		uint32_t tags = row / 8;
		uint8_t family = row & 1 ? 6 : 4;
		uint8_t proto = row & 2 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP;

		if (proto == IPPROTO_WIRE_UDP && !in.uso)
			continue;
		for (size_t i = 0; i < 5 * 6; i++) {
			uint32_t payload = sizes[i % 5];
			uint32_t n = counts[i / 5];
			char what[80];

			if (payload * n > 63000)
				continue;
			snprintf(what, sizeof(what),
			         "IPv%u, protocol %u, %u tags, %u packets of %u bytes", family,
			         proto, tags, n, payload);
			set_target(family, tags);
			send_flow(family, proto, payload, n, row & 4);
			came_out_cut(what);
			came_out_whole();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kernel_gives_back_what_was_merged),
	};
	int failed;

	if (!netns_enter())
		return NETNS_SKIP;
	(void)netns_run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1 2>/dev/null");
	coalesce = coalesce_open();
	plain = open_plain();
	if (!coalesce || plain < 0 || tap_open(&in, "in", 1) || tap_open(&able, "able", 1) ||
	    !netns_run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
	               "for l in in able plain; do ip link set $l master br0 up || exit 1; done")) {
		puts("no TAPs, or no bridge");
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tap_close(&in);
	tap_close(&able);
	close(plain);
	coalesce_close(coalesce);
	return failed;
}
