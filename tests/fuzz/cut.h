/* SPDX-License-Identifier: MIT */
/*
 * What a container's packets are cut into (fuzz_segment.c, fuzz_frame.c): the input is
 * a head, then the packet or frame.
 */
#ifndef TESTS_FUZZ_CUT_H
#define TESTS_FUZZ_CUT_H

#include "dataplane/segment.h"
#include "fuzz/fuzz.h"

enum { MEND_LENGTH = 1, MEND_CHECKSUM = 2, MEND_HINT = 4 /* nothing is mended: a hint is given */ };

struct cut_head {
	struct wire_vnet vnet;
	uint16_t mtu;
	uint16_t more; /* bytes to add, so that a short input makes a large packet */
	uint8_t mend;
	uint8_t choice; /* the target's own */
};
_Static_assert(sizeof(struct cut_head) == 16, "the layout of the corpus");

/* What is behind the head, with as much added as it says, for free(). NULL: too short. */
static inline uint8_t *cut_read(const uint8_t *data, size_t size, struct cut_head *head,
                                size_t *len)
{
	uint8_t *input;

	if (size < sizeof(*head) + 1)
		return NULL;
	memcpy(head, data, sizeof(*head));
	size -= sizeof(*head);
	*len = size + head->more;
	input = malloc(*len);
	must(input != NULL);
	memcpy(input, data + sizeof(*head), size);
	for (size_t i = size; i < *len; i++)
		input[i] = (uint8_t)(i * 7 + i / 256);
	return input;
}

static inline uint32_t cut_mtu(const struct cut_head *head)
{
	return 576 + head->mtu % 8400u;
}

/* Slot @i in @buf, be it the slots' own or a copy: its plaintext, which is @plain long. */
static inline uint8_t *cut_slot(const struct segment_slots *slots, uint8_t *buf, uint32_t i,
                                uint32_t *plain)
{
	*plain = (i + 1 == slots->count ? slots->last : slots->stride) - SEGMENT_OVERHEAD;
	return buf + (size_t)i * slots->stride + SEGMENT_HEADROOM;
}

#endif
