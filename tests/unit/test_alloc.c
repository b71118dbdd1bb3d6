/* SPDX-License-Identifier: MIT */
/*
 * No allocation on the data path: every way to get or return memory is wrapped by
 * the linker (meson.build), and none of them may be taken while frames and
 * datagrams of all sorts run through a worker's round.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include "unit/frames.h"

static bool counting;
static unsigned int calls;
static const char *last;

static void note(const char *name)
{
	if (!counting)
		return;
	calls++;
	last = name;
}

/* What the linker makes of the names; it leaves no header to declare them. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **p, size_t alignment, size_t size);
void __real_free(void *p);
void *__real_mmap64(void *p, size_t len, int prot, int flags, int fd, off_t offset);
int __real_munmap(void *p, size_t len);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **p, size_t alignment, size_t size);
void __wrap_free(void *p);
void *__wrap_mmap64(void *p, size_t len, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t len);

void *__wrap_malloc(size_t size)
{
	note("malloc");
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	note("calloc");
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	note("realloc");
	return __real_realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
	note("reallocarray");
	return __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	note("aligned_alloc");
	return __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
	note("posix_memalign");
	return __real_posix_memalign(p, alignment, size);
}

void __wrap_free(void *p)
{
	note("free");
	__real_free(p);
}

void *__wrap_mmap64(void *p, size_t len, int prot, int flags, int fd, off_t offset)
{
	note("mmap64");
	return __real_mmap64(p, len, prot, flags, fd, offset);
}

int __wrap_munmap(void *p, size_t len)
{
	note("munmap");
	return __real_munmap(p, len);
}

/* One round of @host under the eye of the wrappers. */
static void watched_round(struct rig_host *host)
{
	calls = 0;
	counting = true;
	rig_round(host);
	counting = false;
	if (calls)
		fail_msg("%u calls, the last %s()", calls, last);
}

/* As rig_pump(), watched. */
static void watched_pump(struct rig *rig)
{
	for (bool any = true; any;) {
		any = false;
		for (unsigned int i = 0; i < rig->hosts; i++) {
			watched_round(&rig->host[i]);
			any |= rig_hand_over(&rig->host[i]);
		}
	}
}

static void the_wrappers_see(void **state)
{
	struct rig *rig = *state;

	calls = 0;
	counting = true;
	struct burst *burst = burst_open(A->device);
	counting = false;
	assert_true(calls >= 2);
	burst_close(burst);
}

static void give_superframe(struct rig_host *host, bool udp)
{
	static uint8_t frame[RIG_PACKET_MAX + 24], ip[RIG_PACKET_MAX];
	struct wire_vnet vnet = { .flags = VNET_F_NEEDS_CSUM, .gso_size = 1380, .csum_start = 34 };
	uint32_t len;

	vnet.gso_type = udp ? VNET_GSO_UDP_L4 : VNET_GSO_TCPV4;
	vnet.csum_offset = udp ? 6 : 16;
	len = udp ? rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 60000)
	          : rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 64000);
	len = rig_make_frame(frame, host->net->router_mac, RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV4,
	                     ip, len);
	memcpy(frame, &vnet, sizeof(vnet));
	rig_give_frame(host, 0, frame, len);
}

static void data_both_ways(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[4096];

	for (int round = 0; round < 5; round++) {
		rig_mark(A);
		rig_mark(B);
		give_superframe(A, false);
		give_superframe(A, true);
		for (uint32_t i = 0; i < 100; i++) {
			rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), i * 13));
			rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR6(1), RIG_ADDR6(0), i * 13));
		}
		/* To be fragmented, and cut. */
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 3000));
		rig_give_ip(A, ip, rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 3000));
		rig_give_ip(A, ip, rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_SYN, 0));
		watched_pump(rig);
		assert_true(B->frame_count > 50);
		assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	}
}

/* A whole UDP_GRO buffer: opened as one burst. */
static void received_bursts(void **state)
{
	struct rig *rig = *state;
	static uint8_t burst[RING_SEGMENTS_MAX * 1100];
	uint8_t ip[1100];
	uint32_t len = rig_make_tcp(ip, RIG_ADDR(0), RIG_ADDR(1), TCP_ACK, 984), size = 0;

	for (unsigned int i = 0; i < 60; i++)
		size = rig_seal(A, ip, len, burst + i * 1056);
	assert_int_equal(size, 1056);
	rig_give_datagram(B, &A->address, burst, 60 * size, size, 3);
	rig_give_datagram(B, &A->address, burst, 60 * size, size, 3); /* replayed */
	watched_round(B);
	assert_int_equal(rig_dropped(B, DROP_RX_REPLAY), 60);
}

static void drops_and_answers(void **state)
{
	struct rig *rig = *state;
	const struct rig_arp ask = { ARP_REQUEST, NULL, NULL, RIG_ADDR(0), RIG_ADDR(1) };
	uint8_t ip[4096], junk[2000] = { 1 };

	for (uint32_t len = 1; len < sizeof(junk); len += 37) {
		rig_give_datagram(A, &B->address, junk, len, 0, 0);
		rig_give_frame(A, 0, junk, len);
	}
	/* Handshake messages that are none, and a cookie for nobody. */
	for (int i = 0; i < 200; i++)
		rig_give_datagram(A, &B->address, junk, 148, 0, 0);
	junk[0] = MESSAGE_COOKIE_REPLY;
	rig_give_datagram(A, &B->address, junk, 64, 0, 0);
	rig_give_arp(A, &ask);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR6(0), RIG_ADDR6(1), 3000)); /* too big */
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.99.1", 30));
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.103.1", 30));
	watched_round(A);
	assert_int_equal(A->frame_count, 2);
}

/* Waiting costs no allocation either: for a session, and for a neighbour. */
static void what_waits(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[2048];

	rig_tell(A, ip, rig_make_udp(ip, RIG_ADDR(0), "172.20.102.55", 1000), 0);
	uint8_t sealed[2048];
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), "172.20.102.56", 1000);
	rig_give_datagram(B, &A->address, sealed, rig_seal(A, ip, len, sealed), 0, 0);
	watched_round(B);
	const struct rig_arp answer = { ARP_REPLY, NULL, NULL, "172.20.102.56", RIG_GATEWAY(1) };
	rig_give_arp(B, &answer);
	watched_round(B);
	for (int i = 0; i < 5; i++) {
		rig->now_ns += RIG_SECOND;
		watched_round(B);
	}

	peer_reset(A->peer);
	for (int i = 0; i < 200; i++)
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 1000));
	watched_round(A);
}

/* Frames of all sorts: known, flooded, answered, refused, waiting. */
static void bridged(void **state)
{
	struct rig *rig = *state;
	static struct built f;
	uint8_t sealed[256];

	for (unsigned int round = 0; round < 5; round++) {
		for (unsigned int n = 1; n < 20; n++) {
			build_tcp(&f, station(1, n), station(0, n), "10.7.0.2", "10.7.1.2", 30000);
			rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
			build_udp(&f, station(0, n), station(1, n), "fd07::1:2", "fd07::2", 100);
			rig_give_frame(B, RIG_PORT_SEG, f.bytes, f.len);
			build_other(&f, everyone, station(2, n), 100);
			rig_give_frame(C, RIG_PORT_SEG, f.bytes, f.len);
			build_arp(&f, everyone, station(0, n), ARP_REQUEST, "10.7.0.2", "10.7.1.2");
			rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
			build_nd(&f, all_nodes, station(1, n), true, "fd07::1:2", "fd07::1:2");
			rig_give_frame(B, RIG_PORT_SEG, f.bytes, f.len);
		}
		watched_pump(rig);
		rig->now_ns += RIG_SECOND;
	}
	assert_true(event_of(A, EVENT_FLOODED) > 0 && rig_dropped(A, DROP_OUT_BINDING) > 0);
	/* A hostile member: every byte of a header as it should not be. */
	build_other(&f, everyone, station(0, 1), 46);
	for (unsigned int i = 0; i < 22; i++) {
		uint8_t plain[256];
		uint32_t len = wrap(plain, RIG_VNI_SEG, 0, &f);

		plain[i] ^= 0x55;
		rig_give_datagram(B, &A->address, sealed, rig_seal(A, plain, len, sealed), 0, 0);
	}
	watched_round(B);
	peer_reset(A->peer);
	for (unsigned int i = 0; i < 200; i++)
		rig_give_frame(A, RIG_PORT_SEG, f.bytes, f.len);
	watched_pump(rig);
}

static void keepalives(void **state)
{
	struct rig *rig = *state;

	peer_set_keepalive(A->peer, 5);
	for (int i = 0; i < 30; i++) {
		rig->now_ns += RIG_SECOND;
		watched_pump(rig);
	}
	assert_true(stats_read(&A->peer->tx_packets) >= 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(the_wrappers_see),
		rig_connected_test(data_both_ways),
		rig_connected_test(received_bursts),
		rig_connected_test(drops_and_answers),
		rig_connected_test(what_waits),
		rig_connected_test(keepalives),
		connected_test(bridged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
