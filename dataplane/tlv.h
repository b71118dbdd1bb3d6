/* SPDX-License-Identifier: MIT */
/*
 * A control message: struct wire_control, then type-length-values. All that reads
 * or writes one does it through here, so the bounds are in one place. Both sides
 * remember that something was wrong, and say so at the end.
 */
#ifndef DATAPLANE_TLV_H
#define DATAPLANE_TLV_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/wire.h"

struct tlv {
	uint16_t type; /* enum wire_tlv_type, or one that is not known */
	uint16_t len;
	const uint8_t *value; /* in the message */
};

struct tlv_reader {
	const uint8_t *at;
	uint32_t left;
	bool malformed; /* a TLV left the message */
};

/*
 * False: there is no header, or its length leaves the message. What is behind that
 * length is padding, and not read. Kind and type are the caller's to look at.
 */
bool tlv_open(struct tlv_reader *in, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));
/* False: there is no other, or what is there is @malformed. */
bool tlv_next(struct tlv_reader *in, struct tlv *tlv) __attribute__((warn_unused_result));

/* False, and *@value as it was: the length is another's. */
bool tlv_get_be16(const struct tlv *tlv, uint32_t *value) __attribute__((warn_unused_result));
bool tlv_get_be32(const struct tlv *tlv, uint32_t *value) __attribute__((warn_unused_result));
bool tlv_get_be64(const struct tlv *tlv, uint64_t *value) __attribute__((warn_unused_result));

/* Where the next goes; @at stays 0 once something did not fit. */
struct tlv_writer {
	uint8_t *bytes;
	uint32_t size, at;
};

struct tlv_writer tlv_begin(uint8_t *bytes, uint32_t size);
/* Where the value goes, @len bytes that the caller fills; NULL: it does not fit. */
uint8_t *tlv_put(struct tlv_writer *out, enum wire_tlv_type type, uint32_t len);
void tlv_put_be16(struct tlv_writer *out, enum wire_tlv_type type, uint16_t value);
void tlv_put_be32(struct tlv_writer *out, enum wire_tlv_type type, uint32_t value);
void tlv_put_be64(struct tlv_writer *out, enum wire_tlv_type type, uint64_t value);
/* Writes the header: the message's length; 0: something did not fit. */
uint32_t tlv_finish(struct tlv_writer *out, enum wire_control_type type);

#endif
