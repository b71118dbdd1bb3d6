/* SPDX-License-Identifier: MIT */
#include "dataplane/join.h"

#include <string.h>
#include "dataplane/tlv.h"

#define ADDRESS_MAX 16

/* --- in --- */

/* Printable, so that it may be logged and written into a file as it is. */
static bool take_text(const struct tlv *tlv, char *out, uint32_t size)
{
	if (tlv->len >= size)
		return false;
	for (uint32_t i = 0; i < tlv->len; i++)
		if (tlv->value[i] < 0x20 || tlv->value[i] > 0x7e)
			return false;
	memcpy(out, tlv->value, tlv->len);
	out[tlv->len] = '\0';
	return true;
}

static bool take_prefix(const struct tlv *tlv, struct prefix *list, uint32_t max, uint32_t *count)
{
	struct prefix *prefix = &list[*count], wanted;
	uint32_t address_len;

	if (*count == max || tlv->len < sizeof(struct wire_prefix))
		return false;
	memset(prefix, 0, sizeof(*prefix));
	prefix->family = tlv->value[0];
	prefix->len = tlv->value[1];
	address_len = prefix->family == 4 ? 4 : ADDRESS_MAX;
	if ((prefix->family != 4 && prefix->family != 6) || prefix->len > address_len * 8 ||
	    tlv->len != sizeof(struct wire_prefix) + address_len)
		return false;
	memcpy(prefix->addr, tlv->value + sizeof(struct wire_prefix), address_len);
	/* One spelling of each: no bits behind the length. */
	wanted = *prefix;
	for (uint32_t bit = prefix->len; bit < address_len * 8; bit++)
		wanted.addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	if (memcmp(&wanted, prefix, sizeof(wanted)) != 0)
		return false;
	++*count;
	return true;
}

static bool take_bytes(const struct tlv *tlv, uint8_t *out, uint32_t len)
{
	if (tlv->len != len)
		return false;
	memcpy(out, tlv->value, len);
	return true;
}

static bool take_host(const struct tlv *tlv, struct join_message *message)
{
	struct join_host *host;

	if (message->host_count == JOIN_HOSTS_MAX || tlv->len != KEY_SIZE)
		return false;
	host = &message->hosts[message->host_count++];
	memset(host, 0, sizeof(*host));
	memcpy(host->key, tlv->value, KEY_SIZE);
	return true;
}

/* What belongs to the host named last. */
static bool take_of_host(const struct tlv *tlv, struct join_message *message)
{
	struct join_host *host;

	if (!message->host_count)
		return false;
	host = &message->hosts[message->host_count - 1];
	switch (tlv->type) {
	case WIRE_TLV_NAME:
		return take_text(tlv, host->name, sizeof(host->name));
	case WIRE_TLV_ENDPOINT:
		return take_text(tlv, host->endpoint, sizeof(host->endpoint));
	case WIRE_TLV_PREFIX:
		return take_prefix(tlv, host->prefixes, JOIN_PREFIXES_MAX, &host->prefix_count);
	case WIRE_TLV_INTRODUCER:
		host->introducer = true;
		return tlv->len == 0;
	default: /* WIRE_TLV_VNI */
		return tlv_get_be32(tlv, &host->vni) && host->vni > 0 && host->vni <= WIRE_VNI_MAX;
	}
}

static bool take(const struct tlv *tlv, struct join_message *message)
{
	uint32_t verdict;

	switch (tlv->type) {
	case WIRE_TLV_HOST:
		return take_host(tlv, message);
	case WIRE_TLV_NAME:
	case WIRE_TLV_ENDPOINT:
	case WIRE_TLV_PREFIX:
	case WIRE_TLV_INTRODUCER:
	case WIRE_TLV_VNI:
		return take_of_host(tlv, message);
	case WIRE_TLV_VERDICT:
		if (!tlv_get_be16(tlv, &verdict))
			return false;
		message->refused = verdict != 0;
		return true;
	case WIRE_TLV_TEXT:
		return take_text(tlv, message->text, sizeof(message->text));
	case WIRE_TLV_NUMBER:
		return tlv_get_be64(tlv, &message->number);
	case WIRE_TLV_PROOF:
		return take_bytes(tlv, message->proof, sizeof(message->proof));
	case WIRE_TLV_AFTER:
		return take_bytes(tlv, message->after, sizeof(message->after));
	case WIRE_TLV_END:
		message->end = true;
		return tlv->len == 0;
	case WIRE_TLV_BRIDGE:
		return take_text(tlv, message->bridge, sizeof(message->bridge));
	case WIRE_TLV_SUBNET:
		return take_prefix(tlv, message->subnets, JOIN_SUBNETS_MAX, &message->subnet_count);
	default:
		return true;
	}
}

/* What each type has at least. */
static bool is_whole(const struct join_message *message)
{
	switch (message->type) {
	case WIRE_CONTROL_JOIN:
		return message->host_count == 1;
	case WIRE_CONTROL_JOIN_REPLY:
		return message->refused || message->host_count > 0;
	case WIRE_CONTROL_INTRODUCE:
		return message->host_count == 1 && message->number;
	default:
		return message->host_count == 0 && message->number;
	}
}

bool join_parse(const uint8_t *data, uint32_t len, struct join_message *message)
{
	struct tlv_reader in;
	struct tlv tlv;

	memset(message, 0, offsetof(struct join_message, hosts));
	if (!tlv_open(&in, data, len) || data[0] != WIRE_CONTROL_FIRST ||
	    data[1] < WIRE_CONTROL_JOIN || data[1] > WIRE_CONTROL_INTRODUCE_REPLY)
		return false;
	message->type = data[1];
	while (tlv_next(&in, &tlv))
		if (!take(&tlv, message))
			return false;
	return !in.malformed && is_whole(message);
}

bool join_answers(const struct join_message *reply, const struct join_message *ask)
{
	if (reply->refused)
		return true;
	if (memcmp(reply->hosts[0].key, ask->hosts[0].key, KEY_SIZE) != 0)
		return false;
	for (uint32_t i = 1; i < reply->host_count; i++)
		if (!reply->hosts[i].introducer &&
		    memcmp(reply->hosts[i].key, ask->after, KEY_SIZE) <= 0)
			return false;
	return true;
}

/* --- out --- */

static void put_bytes(struct tlv_writer *out, enum wire_tlv_type type, const void *bytes,
                      uint32_t len)
{
	uint8_t *value = tlv_put(out, type, len);

	if (value && len)
		memcpy(value, bytes, len);
}

static void put_text(struct tlv_writer *out, enum wire_tlv_type type, const char *text)
{
	if (text[0])
		put_bytes(out, type, text, (uint32_t)strlen(text));
}

static void put_prefixes(struct tlv_writer *out, enum wire_tlv_type type, const struct prefix *list,
                         uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t address_len = list[i].family == 4 ? 4 : ADDRESS_MAX;
		uint8_t *value =
			tlv_put(out, type, (uint32_t)sizeof(struct wire_prefix) + address_len);

		if (!value)
			return;
		value[0] = list[i].family;
		value[1] = list[i].len;
		memcpy(value + sizeof(struct wire_prefix), list[i].addr, address_len);
	}
}

static void put_host(struct tlv_writer *out, const struct join_host *host)
{
	put_bytes(out, WIRE_TLV_HOST, host->key, KEY_SIZE);
	put_text(out, WIRE_TLV_NAME, host->name);
	put_text(out, WIRE_TLV_ENDPOINT, host->endpoint);
	put_prefixes(out, WIRE_TLV_PREFIX, host->prefixes, host->prefix_count);
	if (host->introducer)
		put_bytes(out, WIRE_TLV_INTRODUCER, NULL, 0);
	if (host->vni)
		tlv_put_be32(out, WIRE_TLV_VNI, host->vni);
}

uint32_t join_format(uint8_t out[POST_SIZE_MAX], const struct join_message *message)
{
	struct tlv_writer tlvs = tlv_begin(out, POST_SIZE_MAX);
	bool reply = message->type == WIRE_CONTROL_JOIN_REPLY ||
	             message->type == WIRE_CONTROL_INTRODUCE_REPLY;

	if (message->number)
		tlv_put_be64(&tlvs, WIRE_TLV_NUMBER, message->number);
	if (reply)
		tlv_put_be16(&tlvs, WIRE_TLV_VERDICT, message->refused);
	put_text(&tlvs, WIRE_TLV_TEXT, message->text);
	put_text(&tlvs, WIRE_TLV_BRIDGE, message->bridge);
	put_prefixes(&tlvs, WIRE_TLV_SUBNET, message->subnets, message->subnet_count);
	for (uint32_t i = 0; i < message->host_count; i++)
		put_host(&tlvs, &message->hosts[i]);
	if (message->type == WIRE_CONTROL_JOIN) {
		static const uint8_t none[KEY_SIZE];

		put_bytes(&tlvs, WIRE_TLV_PROOF, message->proof, sizeof(message->proof));
		if (memcmp(message->after, none, KEY_SIZE) != 0)
			put_bytes(&tlvs, WIRE_TLV_AFTER, message->after, KEY_SIZE);
	}
	if (message->end)
		put_bytes(&tlvs, WIRE_TLV_END, NULL, 0);
	return tlv_finish(&tlvs, (enum wire_control_type)message->type);
}
