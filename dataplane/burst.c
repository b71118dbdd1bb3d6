/* SPDX-License-Identifier: MIT */
#include "dataplane/burst.h"

#include <stdlib.h>
#include <string.h>
#include "dataplane/capture.h"
#include "dataplane/handshake.h"

/* Outer traffic class of handshake messages: AF41, as WireGuard marks them. */
#define HANDSHAKE_TOS 0x88
#define ECN_MASK      0x03
/* What put_lone_first() tells apart, and how many it moves. */
#define FLOWS    256u
#define LONE_MAX 32u
#define LONG     512u /* bytes of a packet, on the average */
/* Sends and buffer that one superframe may need beside its slots. */
#define SPARE_SENDS (SEGMENT_COUNT_MAX / RING_SEGMENTS_MAX + 16)

struct burst *burst_open(struct device *device)
{
	struct burst *burst = calloc(1, sizeof(*burst));

	if (!burst)
		return NULL;
	burst->device = device;
	burst->neigh_next_ns = UINT64_MAX;
	burst->announce_next_ns = UINT64_MAX;
	burst->buffer = aligned_alloc(64, BURST_BUFFER);
	burst->coalesce = coalesce_open();
	burst->queue = handshake_queue_open();
	if (burst->buffer && burst->coalesce && burst->queue)
		return burst;
	burst_close(burst);
	return NULL;
}

void burst_close(struct burst *burst)
{
	if (burst->queue)
		handshake_queue_close(burst->queue);
	if (burst->coalesce)
		coalesce_close(burst->coalesce);
	free(burst->buffer);
	free(burst);
}

/* What it drops is not what is under way. */
static void flush(struct burst *burst)
{
	const struct recorder_subject current = burst->current;

	burst_clear_current(burst);
	burst->flush(burst, burst->flush_arg);
	burst->current = current;
}

void burst_make_room(struct burst *burst)
{
	/* Each packet may need a send of its own; those of one superframe share them. */
	if (burst->used + SEGMENT_ROOM + 64 * 1024 > BURST_BUFFER ||
	    burst->packet_count + SEGMENT_COUNT_MAX + 64 > BURST_PACKETS ||
	    burst->packet_count + burst->send_count + SPARE_SENDS > BURST_SENDS ||
	    burst->frame_count + 16 > BURST_FRAMES)
		flush(burst);
}

uint8_t *burst_take(struct burst *burst, uint32_t len)
{
	uint8_t *p = burst->buffer + burst->used;

	/* Slots begin on cache lines, so that sealing does not share one. */
	burst->used += (len + 63) & ~63u;
	return p;
}

/* The next packet, to be filled in: whose it is, and how it will be sealed. */
static struct burst_packet *add(struct burst *burst, struct peer *peer, struct keypair *keypair,
                                enum burst_kind kind)
{
	struct burst_packet *packet = &burst->packets[burst->packet_count++];

	burst->packets_added++;
	packet->peer = peer;
	packet->keypair = keypair;
	packet->kind = kind;
	return packet;
}

void burst_add_slots(struct burst *burst, struct peer *peer, struct keypair *keypair,
                     const struct segment_slots *slots, uint8_t tos, uint32_t flow)
{
	uint32_t total = (slots->count - 1) * slots->stride + slots->last;
	uint8_t *slot = burst->buffer + burst->used;

	/*
	 * No rounding up: the next superframe's slots may follow without a gap,
	 * which is what lets small packets share a send.
	 */
	burst->used += total;
	for (uint32_t i = 0; i < slots->count; i++, slot += slots->stride) {
		struct burst_packet *packet = add(burst, peer, keypair, BURST_DATA);

		packet->slot = slot;
		packet->len =
			(i + 1 < slots->count ? slots->stride : slots->last) - SEGMENT_OVERHEAD;
		packet->tos = tos & ECN_MASK;
		packet->flow = flow;
	}
}

void burst_add_packet(struct burst *burst, struct peer *peer, const void *data, uint32_t len,
                      enum burst_kind kind)
{
	burst_add_packet_by(burst, peer, peer_send_keypair(peer, burst->now_ns), data, len, kind);
}

void burst_add_packet_by(struct burst *burst, struct peer *peer, struct keypair *keypair,
                         const void *data, uint32_t len, enum burst_kind kind)
{
	uint32_t mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed);
	uint32_t padded = wire_padded_len(len, mtu);
	struct burst_packet *packet;

	burst_make_room(burst);
	packet = add(burst, peer, keypair, kind);
	packet->slot = burst_take(burst, padded + SEGMENT_OVERHEAD);
	packet->len = padded;
	packet->tos = 0;
	if (len)
		memcpy(packet->slot + SEGMENT_HEADROOM, data, len);
	memset(packet->slot + SEGMENT_HEADROOM + len, 0, padded - len);
}

static void add_send(struct burst *burst, struct peer *peer, const struct endpoint *to,
                     uint8_t *data, uint32_t len, uint8_t tos)
{
	struct ring_send *send = &burst->sends[burst->send_count];

	burst->send_peers[burst->send_count++] = peer;
	*send = (struct ring_send){
		.to = *to, .data = data, .len = len, .segment = len, .tos = tos
	};
	send->single = peer && burst->now_ns < stats_read(&peer->gso_retry_ns);
}

void burst_add_message(struct burst *burst, struct peer *peer, const struct endpoint *to,
                       const void *data, uint32_t len)
{
	uint8_t *copy;

	burst_make_room(burst);
	copy = burst_take(burst, len);
	memcpy(copy, data, len);
	add_send(burst, peer, to, copy, len, HANDSHAKE_TOS);
}

void burst_add_frame(struct burst *burst, const struct network *network, const uint8_t *frame,
                     uint32_t len)
{
	struct burst_frame *out;

	if (len == 0 || len + sizeof(struct wire_vnet) > BURST_FRAME_MAX)
		return;
	burst_make_room(burst);
	out = &burst->frame_bytes[burst->frame_count];
	memset(out->bytes, 0, sizeof(struct wire_vnet));
	memcpy(out->bytes + sizeof(struct wire_vnet), frame, len);
	out->iov =
		(struct iovec){ .iov_base = out->bytes, .iov_len = sizeof(struct wire_vnet) + len };
	burst->frames[burst->frame_count++] = (struct ring_write){
		.port = network->port, .iov_count = 1, .packets = 1, .iov = &out->iov
	};
}

/* The coalescer is full: flushes, but keeps the @len bytes at @data, still on their way. */
static void flush_but(struct burst *burst, const uint8_t *data, uint32_t len)
{
	uintptr_t at = (uintptr_t)data - (uintptr_t)burst->buffer;

	flush(burst);
	/* The flush gave the buffer back; they may lie in it. */
	if (at < BURST_BUFFER)
		burst->used = ((uint32_t)at + len + 63) & ~63u;
}

void burst_add_delivery(struct burst *burst, const struct packet *pkt,
                        const struct coalesce_target *target, bool csum_undone)
{
	if (coalesce_push(burst->coalesce, pkt, target, csum_undone))
		return;
	flush_but(burst, pkt->data, pkt->len);
	/* Empty now, so this cannot fail. */
	if (!coalesce_push(burst->coalesce, pkt, target, csum_undone))
		burst_drop(burst, NULL, NULL, DROP_TAP_WRITE, 1);
}

void burst_add_frame_delivery(struct burst *burst, const struct frame *frame, uint16_t port)
{
	if (coalesce_push_frame(burst->coalesce, frame, port))
		return;
	flush_but(burst, frame->data, frame->len);
	if (!coalesce_push_frame(burst->coalesce, frame, port))
		burst_drop(burst, NULL, NULL, DROP_TAP_WRITE, 1);
}

/* May @packet's slot ride at the end of @send? */
static bool fits(const struct ring_send *send, const struct burst_packet *packet, uint32_t size)
{
	return send->data + send->len == packet->slot && send->tos == packet->tos &&
	       size <= send->segment && send->len % send->segment == 0 &&
	       send->len / send->segment < RING_SEGMENTS_MAX && send->len + size <= RING_SEND_MAX;
}

static void lay_out(struct burst *burst, const struct burst_packet *packets, unsigned int n,
                    const struct endpoint *to)
{
	struct ring_send *send = NULL;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t size = packets[i].len + SEGMENT_OVERHEAD;

		if (send && fits(send, &packets[i], size)) {
			send->len += size;
			continue;
		}
		if (burst->send_count == BURST_SENDS) {
			burst_drop(burst, packets[i].peer, NULL, DROP_OUT_SEND, n - i);
			return;
		}
		add_send(burst, packets[i].peer, to, packets[i].slot, size, packets[i].tos);
		send = &burst->sends[burst->send_count - 1];
	}
}

/* What is sealed with a key pair that has been replaced does not ask for the next one. */
static bool wants_rekey(const struct peer *peer, const struct keypair *kp, uint64_t now_ns)
{
	return session_wants_rekey(kp, now_ns) &&
	       atomic_load_explicit(&peer->session.current, memory_order_relaxed) == kp;
}

/* Seals a run of packets to one peer, at most AEAD_BURST_MAX, and tells the timers. */
static void seal_run(struct burst *burst, const struct burst_packet *packets, unsigned int n,
                     const struct endpoint *to)
{
	struct peer *peer = packets[0].peer;
	struct keypair *kp = packets[0].keypair;
	struct session_op ops[AEAD_BURST_MAX];
	bool data = false, alive = false;
	uint64_t first;

	if (!kp || session_reserve(kp, n, burst->now_ns, &first) != SESSION_OK) {
		burst_drop(burst, peer, NULL, DROP_OUT_KEY_EXPIRED, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		ops[i] = (struct session_op){ .packet = packets[i].slot, .len = packets[i].len };
		data |= packets[i].kind == BURST_DATA;
		alive |= packets[i].kind != BURST_CONTROL;
	}
	session_seal_burst(kp, first, ops, n);
	lay_out(burst, packets, n, to);

	timers_any_sent(peer, burst->now_ns);
	if (data) {
		stats_add(&peer->echo.packets, n);
		timers_data_sent(peer, burst->now_ns);
	}
	if (alive && wants_rekey(peer, kp, burst->now_ns))
		handshake_want(burst, peer);
}

/*
 * Puts the lone packets of a run to one peer, of whose flow it has no other, in front,
 * and leaves all else in order. Only among long ones: behind short ones nobody waits
 * long, and out of their places they could not share a send.
 */
static void put_lone_first(struct burst_packet *packets, unsigned int n)
{
	struct burst_packet lone[LONE_MAX];
	uint8_t flows[FLOWS] = { 0 }; /* packets of each, 2 for more */
	unsigned int lone_count = 0, last = 0, others = 0;
	size_t bytes = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t flow = packets[i].flow % FLOWS;

		if (packets[i].kind != BURST_DATA)
			continue;
		if (!packets[i].flow)
			return;
		flows[flow] = flows[flow] ? 2 : 1;
		bytes += packets[i].len;
	}
	if (bytes < (size_t)n * LONG)
		return;
	/* What is in front already may stay; the rest is taken out, from behind the first other. */
	for (unsigned int i = 0; i < n && lone_count < LONE_MAX; i++) {
		if (packets[i].kind != BURST_DATA || flows[packets[i].flow % FLOWS] > 1) {
			others++;
		} else if (others) {
			lone[lone_count++] = packets[i];
			packets[i].slot = NULL;
			last = i;
		}
	}
	if (!lone_count)
		return;
	for (unsigned int i = last + 1, to = last + 1; i-- > 0;) {
		if (packets[i].slot)
			packets[--to] = packets[i];
	}
	memcpy(packets, lone, lone_count * sizeof(*lone));
}

void burst_seal(struct burst *burst)
{
	unsigned int i = 0;

	while (i < burst->packet_count) {
		const struct burst_packet *first = &burst->packets[i];
		struct endpoint to;
		unsigned int end = i;

		while (end < burst->packet_count && burst->packets[end].peer == first->peer &&
		       burst->packets[end].keypair == first->keypair)
			end++;
		peer_get_endpoint(first->peer, &to);
		if (!endpoint_is_set(&to)) {
			burst_drop(burst, first->peer, NULL, DROP_OUT_NO_ENDPOINT, end - i);
			i = end;
		}
		put_lone_first(&burst->packets[i], end - i);
		while (i < end) {
			unsigned int n = end - i < AEAD_BURST_MAX ? end - i : AEAD_BURST_MAX;

			seal_run(burst, &burst->packets[i], n, &to);
			i += n;
		}
	}
	burst->packet_count = 0;
}

void burst_account(struct burst *burst)
{
	for (unsigned int i = 0; i < burst->send_count; i++) {
		const struct ring_send *send = &burst->sends[i];
		struct peer *peer = burst->send_peers[i];
		uint64_t count = (send->len + send->segment - 1) / send->segment;
		uint64_t bytes = send->len;

		if (send->failed) {
			burst_drop(burst, peer, NULL, DROP_OUT_SEND, send->failed);
			bytes -= bytes * send->failed / count;
			count -= send->failed;
		}
		if (send->gso_fallback)
			device_event(burst->device, EVENT_GSO_FALLBACK, 1);
		if (send->single && send->segment < send->len)
			device_event(burst->device, EVENT_GSO_AVOIDED, 1);
		if (!peer)
			continue;
		/* If one by one did not go either, it was not the segments. */
		if (send->gso_fallback && count)
			atomic_store_explicit(&peer->gso_retry_ns,
			                      burst->now_ns + PEER_GSO_RETRY_NS,
			                      memory_order_relaxed);
		if (send->source_stale)
			peer_forget_source(peer);
		stats_add(&peer->tx_bytes, bytes);
		stats_add(&peer->tx_packets, count);
	}
	burst_account_writes(burst, burst->frames, burst->frame_count);
}

void burst_account_writes(struct burst *burst, const struct ring_write *writes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct view_network *net = burst->view->by_port[writes[i].port];

		if (writes[i].error)
			burst_drop(burst, NULL, net ? net->network : NULL, DROP_TAP_WRITE,
			           writes[i].packets);
	}
}

void burst_reset(struct burst *burst)
{
	coalesce_reset(burst->coalesce);
	burst->used = 0;
	burst->packet_count = 0;
	burst->send_count = 0;
	burst->frame_count = 0;
}

void burst_drop(struct burst *burst, struct peer *peer, struct network *network, enum drop reason,
                uint64_t n)
{
	device_drop(burst->device, reason, n);
	if (peer)
		stats_add(&peer->drops[reason], n);
	if (network)
		stats_add(&network->drops[reason], n);
	recorder_drop(&burst->device->recorder, reason, burst->now_ns, peer, network,
	              &burst->current);
	if (burst->captures)
		capture_drop(burst, peer, network, reason);
}
