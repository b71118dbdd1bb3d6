/* SPDX-License-Identifier: MIT */
/*
 * What it costs to cut a superframe into packets, checksums done for any peer and
 * left undone for an ovltun peer, by protocol, segment and number of segments; one is
 * what comes without segmentation. For comparison a bare copy and a bare checksum of
 * as many bytes. The least of many runs.
 */
#include <stdio.h>
#include "dataplane/segment.h"
#include "superframe.h"

#define ROUNDS 300
#define REPEAT 128 /* in a run: a lone packet is too short for the clock */
#define MTU    1440u

static struct superframe frame;
static uint8_t room[SEGMENT_ROOM];
static volatile uint16_t sink; /* keeps the checksum from being left out */

static void cut(enum segment_framing framing)
{
	struct segment_slots slots = {
		.buf = room, .room = sizeof(room), .mtu = MTU, .framing = framing
	};

	must(segment_packet(&frame.packet, &frame.vnet, &slots) == SEGMENT_OK);
	sink = (uint16_t)slots.count;
}

static void run_done(void)
{
	cut(SEGMENT_IP);
}

static void run_undone(void)
{
	cut(SEGMENT_IP_HINT);
}

static void run_copy(void)
{
	memcpy(room, frame.bytes, frame.len);
	sink = room[frame.bytes[0]];
}

static void run_checksum(void)
{
	sink = checksum_fold(checksum_add(0, frame.bytes, frame.len));
}

/* Nanoseconds a superframe. */
static double measure(void (*run)(void))
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double start = now_ns(), took;

		for (int j = 0; j < REPEAT; j++)
			run();
		took = (now_ns() - start) / REPEAT;
		if (took < least)
			least = took;
	}
	return least;
}

int main(void)
{
	static const struct superframe_kind kinds[] = {
		{ "TCP, packets of 1440", false, 1400 },
		{ "UDP, payloads of 1400", true, 1400 },
		{ "UDP, payloads of 64", true, 64 },
	};
	static const uint32_t counts[] = { 1, 4, 16, 45 };

	printf("ns a packet, the least of %d runs\n%-24s packets  checksum done    undone"
	       "   memcpy  checksum\n",
	       ROUNDS, "");
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		for (size_t j = 0; j < COUNT_OF(counts); j++) {
			superframe_make(&frame, &kinds[i], counts[j], 40000);
			printf("%-24s %7u %14.1f %9.1f %8.1f %9.1f\n", kinds[i].name, counts[j],
			       measure(run_done) / counts[j], measure(run_undone) / counts[j],
			       measure(run_copy) / counts[j], measure(run_checksum) / counts[j]);
		}
	}
	return 0;
}
