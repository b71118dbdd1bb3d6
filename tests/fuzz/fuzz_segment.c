/* SPDX-License-Identifier: MIT */
/*
 * A frame from a hostile container: virtio header, the tunnel's MTU, how many
 * bytes to add (so that a short input makes a large packet), a choice of what to
 * mend, then the packet. Whatever comes out must parse, fit, and leave the input
 * alone; merged and cut again it must be the same, byte by byte.
 */
#include <stdlib.h>
#include <string.h>
#include "dataplane/coalesce.h"
#include "dataplane/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEND_LENGTH = 1, MEND_CHECKSUM = 2, UNDONE = 4 };

struct fuzz_head {
	struct wire_vnet vnet;
	uint16_t mtu;
	uint16_t more;
	uint8_t mend;
	uint8_t reserved;
};
_Static_assert(sizeof(struct fuzz_head) == 16, "the layout of the corpus");

static uint8_t room[SEGMENT_ROOM];
static uint8_t again_room[SEGMENT_ROOM];
static uint8_t slots_before[SEGMENT_ROOM];
static uint8_t frame[RING_BUFFER_SIZE + 256];
static struct coalesce *coalesce;

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool l4_checksum_is_there(const struct packet *pkt)
{
	return pkt->flags & PACKET_L4 &&
	       !(pkt->proto == IPPROTO_WIRE_UDP && load_be16(pkt->data + pkt->l4 + 6) == 0);
}

static uint8_t *slot_packet(const struct segment_slots *slots, uint32_t i, uint32_t *plain)
{
	*plain = (i + 1 == slots->count ? slots->last : slots->stride) - SEGMENT_OVERHEAD;
	return slots->buf + (size_t)i * slots->stride + SEGMENT_HEADROOM;
}

static void check_slots(const struct segment_slots *slots, bool fits, bool checksums)
{
	must(slots->count > 0 && slots->count <= SEGMENT_COUNT_MAX);
	must(slots->last <= slots->stride);
	must((uint64_t)(slots->count - 1) * slots->stride + slots->last <= slots->room);
	for (uint32_t i = 0; i < slots->count; i++) {
		struct packet pkt;
		uint32_t plain;
		uint8_t *ip = slot_packet(slots, i, &plain);

		must(packet_parse_ip(ip, plain, &pkt));
		must(!fits || plain <= slots->mtu);
		for (uint32_t k = pkt.len; k < plain; k++)
			must(ip[k] == 0);
		if (checksums && l4_checksum_is_there(&pkt))
			must(packet_l4_checksum_ok(&pkt));
	}
}

/* Cuts one write of the coalescer, as the kernel would; compares with slots from @next on. */
static uint32_t cut_again(const struct ring_write *write, const struct segment_slots *slots,
                          uint32_t next)
{
	struct segment_slots again = { .buf = again_room,
		                       .room = sizeof(again_room),
		                       .mtu = 65535 };
	struct wire_vnet vnet;
	struct packet pkt;
	uint32_t len = 0;

	for (uint32_t i = 0; i < write->iov_count; i++) {
		must(len + write->iov[i].iov_len <= sizeof(frame));
		memcpy(frame + len, write->iov[i].iov_base, write->iov[i].iov_len);
		len += (uint32_t)write->iov[i].iov_len;
	}
	must(len > 24);
	memcpy(&vnet, frame, sizeof(vnet));
	must(packet_parse_ip(frame + 24, len - 24, &pkt) && pkt.len == len - 24);
	must(segment_packet(&pkt, &vnet, &again) == SEGMENT_OK);
	must(next + again.count <= slots->count);
	for (uint32_t i = 0; i < again.count; i++) {
		uint32_t ignored;
		uint8_t *was = slots_before + (size_t)(next + i) * slots->stride + SEGMENT_HEADROOM;
		uint8_t *is = slot_packet(&again, i, &ignored);
		struct packet old;

		must(packet_parse_ip(was, 65535, &old));
		if (vnet.gso_type != VNET_GSO_NONE || !(pkt.flags & PACKET_L4) || !again.clamped)
			must(memcmp(was, is, old.len) == 0);
	}
	return again.count;
}

static void check_round_trip(const struct segment_slots *slots, bool csum_undone)
{
	static const struct coalesce_target target = { .merge_udp = true };
	struct ring_write *writes;
	uint32_t next = 0;
	unsigned int n;

	if (slots->count > COALESCE_PACKETS)
		return;
	memcpy(slots_before, slots->buf, sizeof(slots_before));
	for (uint32_t i = 0; i < slots->count; i++) {
		struct packet pkt;
		uint32_t plain;
		uint8_t *ip = slot_packet(slots, i, &plain);

		must(packet_parse_ip(ip, plain, &pkt));
		/* The hint is given for what has a checksum only, and a right one. */
		must(coalesce_push(coalesce, &pkt, &target,
		                   csum_undone && l4_checksum_is_there(&pkt) &&
		                           packet_l4_checksum_ok(&pkt)));
	}
	n = coalesce_finish(coalesce, &writes);
	for (unsigned int i = 0; i < n; i++)
		next += cut_again(&writes[i], slots, next);
	must(next == slots->count);
	coalesce_reset(coalesce);
}

static void mend(struct packet *pkt)
{
	uint32_t at = pkt->l4 + (pkt->proto == IPPROTO_WIRE_TCP ? 16u : 6u);
	uint32_t l4_len = pkt->len - pkt->l4;

	if (pkt->family == 4)
		packet_ipv4_checksum_fill(pkt->data);
	if (!(pkt->flags & PACKET_L4))
		return;
	store_be16(pkt->data + at, 0);
	store_be16(pkt->data + at,
	           checksum_fold(checksum_add(checksum_pseudo(pkt, pkt->proto, l4_len),
	                                      pkt->data + pkt->l4, l4_len)));
}

static void check(struct packet *pkt, const struct fuzz_head *head)
{
	struct segment_slots slots = { .buf = room, .room = sizeof(room) };
	uint8_t error[PACKET_ERROR_MAX];
	bool cut = (head->vnet.gso_type & ~VNET_GSO_ECN) != VNET_GSO_NONE;

	slots.mtu = 576 + head->mtu % 8400u;
	switch (segment_packet(pkt, &head->vnet, &slots)) {
	case SEGMENT_OK:
		check_slots(&slots, true, cut || slots.cut);
		check_round_trip(&slots, head->mend & UNDONE);
		break;
	case SEGMENT_OVERSIZE:
		check_slots(&slots, false, cut);
		break;
	case SEGMENT_TOO_BIG:
		must(packet_make_too_big(pkt, slots.mtu, error) <= sizeof(error));
		break;
	case SEGMENT_BAD:
		break;
	case SEGMENT_NO_ROOM:
		must(false);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_head head;
	struct packet pkt;
	uint8_t *input;
	uint8_t *copy;
	size_t len;

	if (!coalesce)
		coalesce = coalesce_open();
	if (!coalesce || size < sizeof(head) + 1)
		return 0;
	memcpy(&head, data, sizeof(head));
	data += sizeof(head);
	size -= sizeof(head);
	len = size + head.more;
	input = malloc(len);
	copy = malloc(len);
	if (!input || !copy)
		goto out;
	memcpy(input, data, size);
	for (size_t i = size; i < len; i++)
		input[i] = (uint8_t)(i * 7 + i / 256);
	if (head.mend & MEND_LENGTH && len >= 48 && len <= 65535) {
		if (input[0] >> 4 == 4)
			store_be16(input + 2, (uint16_t)len);
		else
			store_be16(input + 4, (uint16_t)(len - 40));
		if (input[0] == 0x45 && input[9] == IPPROTO_WIRE_UDP)
			store_be16(input + 24, (uint16_t)(len - 20));
		else if (input[0] >> 4 == 6 && input[6] == IPPROTO_WIRE_UDP)
			store_be16(input + 44, (uint16_t)(len - 40));
	}
	if (packet_parse_ip(input, (uint32_t)len, &pkt)) {
		if (head.mend & MEND_CHECKSUM)
			mend(&pkt);
		memcpy(copy, input, len);
		check(&pkt, &head);
		must(memcmp(copy, input, len) == 0);
	}
out:
	free(input);
	free(copy);
	return 0;
}
