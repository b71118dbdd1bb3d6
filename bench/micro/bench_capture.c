/* SPDX-License-Identifier: MIT */
/*
 * What a capture costs a worker, a packet: bursts of 64 are put into a ring of 16 MiB
 * that is emptied after each, or never. Beside it what a copy takes from one cold place to another.
 */
#include <stdio.h>
#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/capture.h"
#include "dataplane/segment.h"
#include "micro.h"

#define RING    (16u << 20)
#define PACKETS 64u
#define BURSTS  2000u
#define RUNS    15u

static struct burst *burst;
static struct capture capture;
static uint8_t *memory, *copies;

/* Packets of no network: a look at each network there is would come on top. */
static void fill(struct peer *peer, uint32_t len)
{
	burst->packet_count = PACKETS;
	for (unsigned int i = 0; i < PACKETS; i++) {
		uint8_t *slot = burst->buffer + i * (len + SEGMENT_OVERHEAD);
		uint8_t *ip = slot + SEGMENT_HEADROOM;

		memset(slot, 1, len + SEGMENT_OVERHEAD);
		ip[0] = 0x45;
		store_be16(ip + offsetof(struct wire_ipv4, total_len), (uint16_t)len);
		burst->packets[i] = (struct burst_packet){
			.peer = peer, .slot = slot, .len = len, .kind = BURST_DATA
		};
	}
}

static double run_captures(bool emptied)
{
	double start = now_ns();

	for (unsigned int i = 0; i < BURSTS; i++) {
		capture_packets(burst);
		if (emptied)
			atomic_store(&capture.ring->tail, capture.head);
	}
	return (now_ns() - start) / (BURSTS * PACKETS);
}

static double run_copies(uint32_t len)
{
	double start = now_ns();
	size_t at = 0;

	for (unsigned int i = 0; i < BURSTS * PACKETS; i++) {
		if (at + len > RING)
			at = 0;
		memcpy(copies + at, burst->packets[i % PACKETS].slot, len);
		at += len;
	}
	return (now_ns() - start) / (BURSTS * PACKETS);
}

static void measure(struct peer *peer, uint32_t len, uint32_t snaplen)
{
	const struct capture_filter filter = { .what = CAPTURE_INNER, .snaplen = snaplen };
	double emptied[RUNS], full[RUNS], copied[RUNS];

	fill(peer, len);
	for (unsigned int i = 0; i < RUNS; i++) {
		memset(memory, 0, CAPTURE_HEAD);
		capture_init(&capture, &filter, memory, RING);
		burst->captures = &capture;
		emptied[i] = run_captures(true);
		/* Until there is no room any more, whatever fits. */
		for (uint64_t lost = capture.lost; lost == capture.lost;)
			capture_packets(burst);
		full[i] = run_captures(false);
		copied[i] = run_copies(len < snaplen ? len : snaplen);
	}
	printf("%5u bytes, -s %-6u  %5.1f ns a packet  %5.1f ns with a full ring  %5.1f ns a "
	       "copy\n",
	       len, snaplen, median_of(emptied, RUNS), median_of(full, RUNS),
	       median_of(copied, RUNS));
}

int main(void)
{
	static const uint32_t lens[] = { 64, 576, 1424 };
	const uint8_t key[KEY_SIZE] = { 1 };
	struct device *device;
	struct peer *peer;

	must(device_open(&device, &environment_system) == 0);
	burst = burst_open(device);
	peer = peer_create(device, key);
	memory = aligned_alloc(CAPTURE_HEAD, RING);
	copies = calloc(1, RING);
	must(burst && peer && memory && copies);
	burst->view = atomic_load(&device->view);
	memset(memory, 0, RING);
	for (size_t i = 0; i < COUNT_OF(lens); i++) {
		measure(peer, lens[i], 128);
		measure(peer, lens[i], CAPTURE_SNAPLEN_MAX);
	}
	return 0;
}
