/* SPDX-License-Identifier: MIT */
/*
 * What one superframe costs: cutting it, merging it again with checksums verified
 * and with the hint that they need not be, and for comparison a bare copy and a
 * bare checksum of as many bytes. The least of many runs, in nanoseconds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "dataplane/coalesce.h"
#include "dataplane/segment.h"

#define ROUNDS 3000
#define LENGTH 64000u
#define MTU    1420u

static uint8_t whole[LENGTH];
static uint8_t room[SEGMENT_ROOM];
static struct coalesce *coalesce;
static struct segment_slots slots;
static struct packet superframe;
static struct wire_vnet vnet;
static volatile uint16_t sink; /* keeps the checksum from being left out */

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void make_superframe(bool udp)
{
	struct wire_ipv4 *ip = (struct wire_ipv4 *)whole;
	uint8_t *l4 = whole + sizeof(*ip);

	for (uint32_t i = 0; i < LENGTH; i++)
		whole[i] = (uint8_t)(i * 7);
	memset(whole, 0, sizeof(*ip) + sizeof(struct wire_tcp));
	ip->version_ihl = 0x45;
	store_be16(&ip->total_len, LENGTH);
	store_be16(&ip->fragment, IPV4_DF);
	ip->ttl = 64;
	ip->protocol = udp ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP;
	memcpy(ip->source, (uint8_t[]){ 10, 0, 0, 1 }, 4);
	memcpy(ip->destination, (uint8_t[]){ 10, 0, 0, 2 }, 4);
	if (udp) {
		store_be16(l4 + offsetof(struct wire_udp, length), LENGTH - sizeof(*ip));
	} else {
		l4[offsetof(struct wire_tcp, offset)] = 0x50;
		l4[offsetof(struct wire_tcp, flags)] = TCP_ACK;
	}
	must(packet_parse_ip(whole, LENGTH, &superframe));
	vnet = (struct wire_vnet){
		.flags = VNET_F_NEEDS_CSUM,
		.gso_type = udp ? VNET_GSO_UDP_L4 : VNET_GSO_TCPV4,
		.gso_size = (uint16_t)(MTU - superframe.payload),
		.csum_start = (uint16_t)(sizeof(struct wire_ethernet) + sizeof(*ip)),
	};
}

static void run_segment(void)
{
	slots = (struct segment_slots){ .buf = room, .room = sizeof(room), .mtu = MTU };
	must(segment_packet(&superframe, &vnet, &slots) == SEGMENT_OK);
}

static void merge(bool csum_undone)
{
	static const struct coalesce_target target = { .merge_udp = true };
	struct ring_write *writes;

	coalesce_reset(coalesce);
	for (uint32_t i = 0; i < slots.count; i++) {
		uint8_t *slot = room + i * slots.stride + SEGMENT_HEADROOM;
		struct packet pkt;

		must(packet_parse_ip(slot, MTU, &pkt));
		must(coalesce_push(coalesce, &pkt, &target, csum_undone));
	}
	must(coalesce_finish(coalesce, &writes) == 1);
}

static void run_merge(void)
{
	merge(false);
}

static void run_merge_hint(void)
{
	merge(true);
}

static void run_copy(void)
{
	memcpy(room + SEGMENT_ROOM / 2, whole, LENGTH);
	sink = room[SEGMENT_ROOM / 2 + whole[0]];
}

static void run_checksum(void)
{
	sink = checksum_fold(checksum_add(0, whole, LENGTH));
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* @prepare, not timed, gives each run the same start: merging rewrites headers in place. */
static void measure(const char *name, void (*prepare)(void), void (*run)(void))
{
	double least = 1e18;

	for (int i = 0; i < ROUNDS; i++) {
		double start;
		double took;

		if (prepare)
			prepare();
		start = now_ns();
		run();
		took = now_ns() - start;
		if (took < least)
			least = took;
	}
	printf("  %-28s %8.0f ns", name, least);
	if (prepare || run == run_segment)
		printf("  %6.1f a packet", least / slots.count);
	putchar('\n');
}

int main(void)
{
	coalesce = coalesce_open();
	must(coalesce != NULL);
	for (int udp = 0; udp < 2; udp++) {
		make_superframe(udp);
		run_segment();
		printf("%s, %u bytes, %u packets of at most %u\n", udp ? "UDP" : "TCP", LENGTH,
		       slots.count, MTU);
		measure("segment_packet", NULL, run_segment);
		measure("coalesce, verified", run_segment, run_merge);
		measure("coalesce, checksum undone", run_segment, run_merge_hint);
	}
	printf("for comparison\n");
	measure("memcpy", NULL, run_copy);
	measure("checksum_add", NULL, run_checksum);
	coalesce_close(coalesce);
	return 0;
}
