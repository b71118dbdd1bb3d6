/* SPDX-License-Identifier: MIT */
/*
 * A frame of a bridged network all the way, without the cipher: parsed as it comes
 * from a hostile container, cut, taken apart again by what is on the wire alone,
 * merged, and written. The input is a head (cut.h), then the Ethernet frame; the
 * head's choice is behind how many slots a frame that is not IP is pushed. What is
 * written must be what went in: whole, under the same Ethernet header, in the same order.
 */
#include "dataplane/coalesce.h"
#include "fuzz/cut.h"
#include "fuzz/mend.h"

#define PORT 5
#define VNI  0x010203

static uint8_t room[SEGMENT_ROOM];
static uint8_t before[SEGMENT_ROOM];
static uint8_t again_room[SEGMENT_ROOM];
static uint8_t written[RING_BUFFER_SIZE + 256];
static uint8_t stranger[60] = { [12] = 0x88, [13] = 0xb5, 1, 2, 3 };
static struct coalesce *coalesce;

/* What the receiver makes of a message. */
static void open_slot(uint8_t *text, uint32_t plain, struct frame *frame, bool *undone)
{
	struct wire_vxlan vxlan;

	must(plain >= sizeof(vxlan) + sizeof(struct wire_ethernet));
	memcpy(&vxlan, text, sizeof(vxlan));
	must(vxlan.flags == WIRE_VXLAN_FLAGS && load_be32(text + 4) >> 8 == VNI);
	must(vxlan.pad < WIRE_PADDING);
	must(plain - vxlan.pad >= sizeof(vxlan) + sizeof(struct wire_ethernet));
	must(packet_parse_frame(text + sizeof(vxlan), plain - (uint32_t)sizeof(vxlan) - vxlan.pad,
	                        frame));
	*undone = vxlan.hint & WIRE_VXLAN_CHECKSUM_UNDONE;
}

static uint32_t gather(const struct ring_write *write)
{
	uint32_t len = 0;

	must(write->port == PORT);
	for (uint32_t i = 0; i < write->iov_count; i++) {
		must(len + write->iov[i].iov_len <= sizeof(written));
		memcpy(written + len, write->iov[i].iov_base, write->iov[i].iov_len);
		len += (uint32_t)write->iov[i].iov_len;
	}
	must(len >= sizeof(struct wire_vnet));
	return len - (uint32_t)sizeof(struct wire_vnet);
}

/* The kernel's part: the write cut again must be the slots from @next on; their number. */
static uint32_t cut_again(const struct ring_write *write, const struct segment_slots *slots,
                          uint32_t next)
{
	struct segment_slots again = {
		.buf = again_room, .room = sizeof(again_room), .framing = SEGMENT_FRAME, .vni = VNI
	};
	uint32_t len = gather(write);
	struct wire_vnet vnet;
	struct frame frame;
	struct packet pkt;

	memcpy(&vnet, written, sizeof(vnet));
	must(packet_parse_frame(written + sizeof(vnet), len, &frame));
	must(frame.link_len == slots->link_len);
	must(memcmp(frame.data, slots->link, frame.link_len) == 0);
	must(packet_parse_ip(frame.data + frame.link_len, len - frame.link_len, &pkt));
	must(pkt.len == len - frame.link_len);
	again.link = frame.data;
	again.link_len = frame.link_len;
	again.mtu = 65600 + frame.link_len + 8;
	must(segment_packet(&pkt, &vnet, &again) == SEGMENT_OK);
	must(next + again.count <= slots->count);
	must(write->packets == again.count);
	for (uint32_t i = 0; i < again.count; i++) {
		uint32_t was_len, is_len;
		uint8_t *was = cut_slot(slots, before, next + i, &was_len) + segment_front(slots);
		uint8_t *is = cut_slot(&again, again_room, i, &is_len) + segment_front(&again);
		struct packet old;

		must(packet_parse_ip(was, was_len - segment_front(slots), &old));
		if (slots->undone)
			packet_l4_checksum_fill(&old);
		must(again.clamped || memcmp(was, is, old.len) == 0);
	}
	return again.count;
}

static void check_stranger(const struct ring_write *write)
{
	static const struct wire_vnet nothing;

	must(gather(write) == sizeof(stranger));
	must(memcmp(written, &nothing, sizeof(nothing)) == 0);
	must(memcmp(written + sizeof(nothing), stranger, sizeof(stranger)) == 0);
}

static void push_stranger(void)
{
	struct frame frame;

	must(packet_parse_frame(stranger, sizeof(stranger), &frame));
	must(coalesce_push_frame(coalesce, &frame, PORT));
}

/* Through the coalescer, a frame of another sort behind the first @between slots. */
static void deliver(const struct segment_slots *slots, uint32_t between)
{
	struct ring_write *writes;
	uint32_t next = 0;
	unsigned int n;

	if (slots->count >= COALESCE_PACKETS)
		return;
	memcpy(before, room, sizeof(before));
	for (uint32_t i = 0; i < slots->count; i++) {
		struct coalesce_target target = { .port = PORT, .merge_udp = true };
		uint32_t plain;
		uint8_t *text = cut_slot(slots, room, i, &plain);
		struct frame frame;
		struct packet pkt;
		bool undone;

		if (i == between)
			push_stranger();
		open_slot(text, plain, &frame, &undone);
		must(undone == slots->undone);
		must(packet_parse_ip(frame.data + frame.link_len, frame.len - frame.link_len,
		                     &pkt));
		must(!undone || pkt.flags & PACKET_L4);
		target.link_len = frame.link_len;
		memcpy(target.link, frame.data, frame.link_len);
		must(coalesce_push(coalesce, &pkt, &target, undone));
	}
	n = coalesce_finish(coalesce, &writes);
	for (unsigned int i = 0; i < n; i++) {
		if (next == between && between < slots->count) {
			check_stranger(&writes[i]);
			between = UINT32_MAX;
			continue;
		}
		next += cut_again(&writes[i], slots, next);
		must(next <= between || between >= slots->count);
	}
	must(next == slots->count && (between == UINT32_MAX || between >= slots->count));
	coalesce_reset(coalesce);
}

static void check_ip(const struct frame *frame, struct packet *pkt, const struct cut_head *head,
                     struct segment_slots *slots)
{
	uint8_t error[PACKET_ERROR_MAX];
	enum segment_verdict verdict;

	slots->framing = head->mend & MEND_HINT ? SEGMENT_FRAME_HINT : SEGMENT_FRAME;
	slots->link = frame->data;
	slots->link_len = frame->link_len;
	verdict = segment_packet(pkt, &head->vnet, slots);
	must(verdict != SEGMENT_NO_ROOM);
	if (verdict == SEGMENT_TOO_BIG)
		must(packet_make_too_big(pkt, segment_packet_mtu(slots), error) <= sizeof(error));
	if (verdict == SEGMENT_OK) {
		must(slots->stride <= slots->mtu + SEGMENT_OVERHEAD);
		must(!slots->undone || slots->framing == SEGMENT_FRAME_HINT);
	}
	if (verdict == SEGMENT_OK || verdict == SEGMENT_OVERSIZE)
		deliver(slots, head->choice);
}

/* Not IP, or nothing that parses as it: whole, or not at all. */
static void check_other(const struct frame *frame, const struct cut_head *head,
                        struct segment_slots *slots)
{
	enum segment_verdict verdict = segment_frame(frame, &head->vnet, slots);
	struct ring_write *writes;
	struct frame got;
	uint32_t plain;
	uint8_t *text;
	bool undone;

	if (head->vnet.flags & VNET_F_NEEDS_CSUM || head->vnet.gso_type) {
		must(verdict == SEGMENT_BAD);
		return;
	}
	must(verdict == (frame->len + 8 > slots->mtu ? SEGMENT_OVERSIZE : SEGMENT_OK));
	must(slots->count == 1);
	text = cut_slot(slots, room, 0, &plain);
	open_slot(text, plain, &got, &undone);
	must(!undone && got.len == frame->len && memcmp(got.data, frame->data, got.len) == 0);
	push_stranger();
	must(coalesce_push_frame(coalesce, &got, PORT));
	push_stranger();
	must(coalesce_finish(coalesce, &writes) == 3);
	check_stranger(&writes[0]);
	must(gather(&writes[1]) == frame->len);
	must(memcmp(written + sizeof(struct wire_vnet), frame->data, frame->len) == 0);
	check_stranger(&writes[2]);
	coalesce_reset(coalesce);
}

static void check(uint8_t *input, size_t len, const struct cut_head *head)
{
	struct segment_slots slots = { .buf = room, .room = sizeof(room), .vni = VNI };
	struct frame frame;
	struct packet pkt;
	uint8_t family = 0;

	slots.mtu = cut_mtu(head);
	if (!packet_parse_frame(input, (uint32_t)len, &frame))
		return;
	must(frame.data == input && frame.len == len && frame.link_len <= len);
	must(frame.tags <= WIRE_VLANS_MAX && frame.link_len == 14 + 4 * frame.tags);
	must(frame.ethertype == load_be16(input + frame.link_len - 2));
	must(load_be16(frame.vlans.tag[0].b) || !load_be16(frame.vlans.tag[1].b));
	if (frame.ethertype == ETHERTYPE_WIRE_IPV4)
		family = 4;
	else if (frame.ethertype == ETHERTYPE_WIRE_IPV6)
		family = 6;
	if (head->mend & MEND_LENGTH)
		mend_lengths(input + frame.link_len, len - frame.link_len);
	if (family && packet_parse_ip(input + frame.link_len, frame.len - frame.link_len, &pkt) &&
	    pkt.family == family) {
		if (head->mend & MEND_CHECKSUM)
			mend_checksums(&pkt);
		check_ip(&frame, &pkt, head, &slots);
	} else {
		check_other(&frame, head, &slots);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cut_head head;
	uint8_t *input;
	size_t len;

	if (!coalesce)
		coalesce = coalesce_open();
	must(coalesce != NULL);
	input = cut_read(data, size, &head, &len);
	if (input && len <= RING_BUFFER_SIZE)
		check(input, len, &head);
	free(input);
	return 0;
}
