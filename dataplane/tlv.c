/* SPDX-License-Identifier: MIT */
#include "dataplane/tlv.h"

bool tlv_open(struct tlv_reader *in, const uint8_t *data, uint32_t len)
{
	uint16_t length;

	if (len < sizeof(struct wire_control))
		return false;
	length = load_be16(data + offsetof(struct wire_control, length));
	if (length > len - sizeof(struct wire_control))
		return false;
	*in = (struct tlv_reader){ .at = data + sizeof(struct wire_control), .left = length };
	return true;
}

bool tlv_next(struct tlv_reader *in, struct tlv *tlv)
{
	if (in->left == 0)
		return false;
	if (in->left < sizeof(struct wire_tlv))
		goto malformed;
	tlv->type = load_be16(in->at);
	tlv->len = load_be16(in->at + offsetof(struct wire_tlv, length));
	tlv->value = in->at + sizeof(struct wire_tlv);
	in->left -= (uint32_t)sizeof(struct wire_tlv);
	if (tlv->len > in->left)
		goto malformed;
	in->at = tlv->value + tlv->len;
	in->left -= tlv->len;
	return true;

malformed:
	in->left = 0;
	in->malformed = true;
	return false;
}

bool tlv_get_be16(const struct tlv *tlv, uint32_t *value)
{
	if (tlv->len != sizeof(struct be16))
		return false;
	*value = load_be16(tlv->value);
	return true;
}

bool tlv_get_be32(const struct tlv *tlv, uint32_t *value)
{
	if (tlv->len != sizeof(struct be32))
		return false;
	*value = load_be32(tlv->value);
	return true;
}

bool tlv_get_be64(const struct tlv *tlv, uint64_t *value)
{
	if (tlv->len != sizeof(struct be64))
		return false;
	*value = load_be64(tlv->value);
	return true;
}

struct tlv_writer tlv_begin(uint8_t *bytes, uint32_t size)
{
	struct tlv_writer out = { .bytes = bytes, .size = size };
	uint32_t most = (uint32_t)sizeof(struct wire_control) + UINT16_MAX;

	/* No longer than the header can say. */
	if (out.size > most)
		out.size = most;
	if (size >= sizeof(struct wire_control))
		out.at = sizeof(struct wire_control);
	return out;
}

uint8_t *tlv_put(struct tlv_writer *out, enum wire_tlv_type type, uint32_t len)
{
	uint8_t *tlv = out->bytes + out->at;
	uint32_t room = out->size - out->at;

	if (out->at == 0 || room < sizeof(struct wire_tlv) ||
	    len > room - sizeof(struct wire_tlv)) {
		out->at = 0;
		return NULL;
	}
	store_be16(tlv, (uint16_t)type);
	store_be16(tlv + offsetof(struct wire_tlv, length), (uint16_t)len);
	out->at += (uint32_t)sizeof(struct wire_tlv) + len;
	return tlv + sizeof(struct wire_tlv);
}

void tlv_put_be16(struct tlv_writer *out, enum wire_tlv_type type, uint16_t value)
{
	uint8_t *to = tlv_put(out, type, sizeof(struct be16));

	if (to)
		store_be16(to, value);
}

void tlv_put_be32(struct tlv_writer *out, enum wire_tlv_type type, uint32_t value)
{
	uint8_t *to = tlv_put(out, type, sizeof(struct be32));

	if (to)
		store_be32(to, value);
}

void tlv_put_be64(struct tlv_writer *out, enum wire_tlv_type type, uint64_t value)
{
	uint8_t *to = tlv_put(out, type, sizeof(struct be64));

	if (to)
		store_be64(to, value);
}

uint32_t tlv_finish(struct tlv_writer *out, enum wire_control_type type)
{
	if (out->at == 0)
		return 0;
	out->bytes[0] = WIRE_CONTROL_FIRST;
	out->bytes[offsetof(struct wire_control, type)] = (uint8_t)type;
	store_be16(out->bytes + offsetof(struct wire_control, length),
	           (uint16_t)(out->at - sizeof(struct wire_control)));
	return out->at;
}
