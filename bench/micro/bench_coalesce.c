/* SPDX-License-Identifier: MIT */
/*
 * What it costs to merge what came in into superframes, parsing included: a round's
 * packets of one flow, or of 64 that take turns packet by packet; checksums verified,
 * and with the hint of an ovltun peer that they need not be. Also how many packets a
 * write to the TAP then has. For comparison the plain way, each packet copied behind
 * the last one with neither a look at it nor a header. The least of many runs.
 */
#include <stdio.h>
#include "dataplane/coalesce.h"
#include "dataplane/segment.h"
#include "superframe.h"

#define ROUNDS  1000
#define PACKETS 512u
#define MTU     1440u

/* As they lie in the receive buffers; merging rewrites some, so each run begins with a copy. */
static uint8_t original[PACKETS][2048], buffers[PACKETS][2048];
static uint32_t length; /* of each */
static struct coalesce *coalesce;
static unsigned int writes_made;
static uint8_t copied[PACKETS * 2048];
static volatile uint8_t sink;

static void make_packets(const struct superframe_kind *kind, uint32_t flows)
{
	static struct superframe frame;
	static uint8_t room[SEGMENT_ROOM];
	const uint32_t each = PACKETS / flows;
	const uint32_t part = each < 32 ? each : 32; /* a superframe's, of 64 KB at most */

	length = superframe_headers(kind) + kind->payload;
	for (uint32_t flow = 0; flow < flows; flow++) {
		for (uint32_t done = 0; done < each; done += part) {
			struct segment_slots slots = { .buf = room,
				                       .room = sizeof(room),
				                       .mtu = MTU };
			uint32_t sequence = done * kind->payload;
			uint16_t port = (uint16_t)(40000 + flow);

			superframe_make(&frame, kind, part, port);
			store_be16(frame.bytes + offsetof(struct wire_ipv4, id), (uint16_t)done);
			if (!kind->udp)
				store_be32(frame.bytes + sizeof(struct wire_ipv4) +
				                   offsetof(struct wire_tcp, sequence),
				           sequence);
			must(segment_packet(&frame.packet, &frame.vnet, &slots) == SEGMENT_OK &&
			     slots.count == part);
			for (uint32_t i = 0; i < part; i++)
				memcpy(original[(done + i) * flows + flow],
				       room + i * slots.stride + SEGMENT_HEADROOM, length);
		}
	}
}

static void merge(bool csum_undone)
{
	static const struct coalesce_target target = { .merge_udp = true, .link_len = 14 };
	struct ring_write *writes;

	coalesce_reset(coalesce);
	for (uint32_t i = 0; i < PACKETS; i++) {
		struct packet pkt;

		must(packet_parse_ip(buffers[i], length, &pkt));
		must(coalesce_push(coalesce, &pkt, &target, csum_undone));
	}
	writes_made = coalesce_finish(coalesce, &writes);
}

static void run_verified(void)
{
	merge(false);
}

static void run_undone(void)
{
	merge(true);
}

static void run_copy(void)
{
	uint8_t *at = copied;

	for (uint32_t i = 0; i < PACKETS; i++, at += length)
		memcpy(at, buffers[i], length);
	sink = copied[original[0][0]];
}

/* Nanoseconds a packet. */
static double measure(void (*run)(void))
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double start, took;

		memcpy(buffers, original, sizeof(buffers));
		start = now_ns();
		run();
		took = now_ns() - start;
		if (took < least)
			least = took;
	}
	return least / PACKETS;
}

int main(void)
{
	static const struct superframe_kind kinds[] = {
		{ "TCP, packets of 1440", false, 1400 },
		{ "UDP, payloads of 1400", true, 1400 },
		{ "UDP, payloads of 64", true, 64 },
	};
	static const uint32_t flows[] = { 1, 64 };

	coalesce = coalesce_open();
	must(coalesce != NULL);
	printf("ns a packet, the least of %d runs of %u packets\n%-24s flows  packets a write"
	       "  verified    undone    memcpy\n",
	       ROUNDS, PACKETS, "");
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		for (size_t j = 0; j < COUNT_OF(flows); j++) {
			double verified, undone;

			make_packets(&kinds[i], flows[j]);
			verified = measure(run_verified);
			undone = measure(run_undone);
			printf("%-24s %5u  %15.1f  %8.1f  %8.1f  %8.1f\n", kinds[i].name, flows[j],
			       (double)PACKETS / writes_made, verified, undone, measure(run_copy));
		}
	}
	coalesce_close(coalesce);
	return 0;
}
