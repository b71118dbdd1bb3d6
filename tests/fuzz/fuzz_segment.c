/* SPDX-License-Identifier: MIT */
/*
 * A packet from a hostile container, behind a head (cut.h) whose choice is another
 * framing: enum segment_framing in two bits, then the number of tags. Whatever comes
 * out must parse, fit, and leave the input alone; merged and cut again it must be the
 * same, byte by byte, and in the other framing it must be the same packets with
 * something around them.
 */
#include "dataplane/coalesce.h"
#include "fuzz/cut.h"
#include "fuzz/mend.h"

static uint8_t room[SEGMENT_ROOM];
static uint8_t again_room[SEGMENT_ROOM];
static uint8_t slots_before[SEGMENT_ROOM];
static uint8_t frame[RING_BUFFER_SIZE + 256];
static struct coalesce *coalesce;
static const uint8_t link_bytes[WIRE_LINK_MAX] = { 2, 0, 0, 0, 0, 2, 2, 0,       0,
	                                           0, 0, 1, 9, 8, 7, 6, [21] = 5 };

static bool l4_checksum_is_there(const struct packet *pkt)
{
	return pkt->flags & PACKET_L4 &&
	       !(pkt->proto == IPPROTO_WIRE_UDP && load_be16(pkt->data + pkt->l4 + 6) == 0);
}

static void check_slots(const struct segment_slots *slots, bool fits, bool checksums)
{
	must(slots->count > 0 && slots->count <= SEGMENT_COUNT_MAX);
	must(slots->last <= slots->stride);
	must((uint64_t)(slots->count - 1) * slots->stride + slots->last <= slots->room);
	for (uint32_t i = 0; i < slots->count; i++) {
		struct packet pkt;
		uint32_t plain;
		uint8_t *ip = cut_slot(slots, slots->buf, i, &plain);

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
		uint8_t *is = cut_slot(&again, again_room, i, &ignored);
		struct packet old;

		must(packet_parse_ip(was, 65535, &old));
		if (vnet.gso_type != VNET_GSO_NONE || !(pkt.flags & PACKET_L4) || !again.clamped)
			must(memcmp(was, is, old.len) == 0);
	}
	return again.count;
}

static void check_round_trip(const struct segment_slots *slots, bool csum_undone)
{
	static const struct coalesce_target target = { .merge_udp = true, .link_len = 14 };
	struct ring_write *writes;
	uint32_t next = 0;
	unsigned int n;

	if (slots->count > COALESCE_PACKETS)
		return;
	memcpy(slots_before, slots->buf, sizeof(slots_before));
	for (uint32_t i = 0; i < slots->count; i++) {
		struct packet pkt;
		uint32_t plain;
		uint8_t *ip = cut_slot(slots, slots->buf, i, &plain);

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

static void check_around(const struct segment_slots *slots, const uint8_t *text, uint32_t plain,
                         uint32_t len)
{
	uint32_t front = segment_front(slots), padding = plain - front - len;

	must(plain >= front + len);
	for (uint32_t k = front + len; k < plain; k++)
		must(text[k] == 0);
	if (!front)
		return;
	must(text[0] == WIRE_VXLAN_FLAGS && !text[1] && !text[2] && text[3] == slots->undone);
	must(load_be32(text + 4) >> 8 == slots->vni);
	must(text[7] == (padding < 15 ? padding : 15));
	must(memcmp(text + 8, link_bytes, slots->link_len) == 0);
}

/* The same packet, cut as @plain was, in another framing. */
static void check_framing(const struct packet *pkt, const struct cut_head *head,
                          const struct segment_slots *plain, enum segment_verdict wanted)
{
	struct segment_slots slots = { .buf = again_room,
		                       .room = sizeof(again_room),
		                       .framing = head->choice & 3,
		                       .vni = 0xabcdef,
		                       .link = link_bytes,
		                       .link_len = 14 + 4 * (head->choice / 4 % 3u) };
	struct wire_vnet vnet = head->vnet;
	enum segment_verdict verdict;
	uint32_t front = segment_front(&slots);

	slots.mtu = plain->mtu + front;
	must(segment_packet_mtu(&slots) == plain->mtu);
	if (front && vnet.csum_start >= 14) {
		if (vnet.csum_start > UINT16_MAX - 8)
			return;
		vnet.csum_start = (uint16_t)(vnet.csum_start + slots.link_len - 14);
	}
	verdict = segment_packet(pkt, &vnet, &slots);
	if (verdict == SEGMENT_BAD && wanted == SEGMENT_OK && plain->count > 1)
		return; /* the fronts are too much for the room */
	must(verdict == wanted);
	if (wanted != SEGMENT_OK && wanted != SEGMENT_OVERSIZE)
		return;
	must(slots.count == plain->count && slots.cut == plain->cut);
	must(slots.fragmented == plain->fragmented && slots.clamped == plain->clamped);
	must(!slots.undone || (slots.framing & 1 && !slots.fragmented && pkt->flags & PACKET_L4));
	for (uint32_t i = 0; i < plain->count; i++) {
		uint32_t len, was_len;
		uint8_t *is = cut_slot(&slots, slots.buf, i, &len);
		uint8_t *was = cut_slot(plain, plain->buf, i, &was_len);
		struct packet old;

		must(packet_parse_ip(was, was_len, &old));
		check_around(&slots, is, len, old.len);
		is += front;
		if (slots.undone) {
			struct packet new;

			if (!front)
				is[0] -= WIRE_HINT_NIBBLE;
			must(packet_parse_ip(is, old.len, &new) && new.flags &PACKET_L4);
			packet_l4_checksum_fill(&new);
		}
		must(memcmp(is, was, old.len) == 0);
	}
}

static void check(struct packet *pkt, const struct cut_head *head)
{
	struct segment_slots slots = { .buf = room, .room = sizeof(room) };
	uint8_t error[PACKET_ERROR_MAX];
	bool cut = (head->vnet.gso_type & ~VNET_GSO_ECN) != VNET_GSO_NONE;
	enum segment_verdict verdict;

	slots.mtu = cut_mtu(head);
	verdict = segment_packet(pkt, &head->vnet, &slots);
	check_framing(pkt, head, &slots, verdict);
	switch (verdict) {
	case SEGMENT_OK:
		check_slots(&slots, true, cut || slots.cut);
		check_round_trip(&slots, head->mend & MEND_HINT);
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
	struct cut_head head;
	struct packet pkt;
	uint8_t *input;
	uint8_t *copy;
	size_t len;

	if (!coalesce)
		coalesce = coalesce_open();
	must(coalesce != NULL);
	input = cut_read(data, size, &head, &len);
	if (!input)
		return 0;
	if (head.mend & MEND_LENGTH)
		mend_lengths(input, len);
	if (packet_parse_ip(input, (uint32_t)len, &pkt)) {
		if (head.mend & MEND_CHECKSUM)
			mend_checksums(&pkt);
		copy = fuzz_copy(input, len);
		check(&pkt, &head);
		must(memcmp(copy, input, len) == 0);
		free(copy);
	}
	free(input);
	return 0;
}
