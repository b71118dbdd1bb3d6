/* SPDX-License-Identifier: MIT */
/*
 * The three control messages about stations: struct wire_control, then TLVs in any
 * order. Of two TLVs of a kind the last counts, but for stations, of which there
 * may be many; types that are not known are skipped. What has to be there, and
 * how it hangs together, is looked at when all has been read.
 */
#include "dataplane/announce.h"

#include <string.h>
#include "dataplane/tlv.h"

/* Which TLVs a message had. */
enum {
	HAS_VNI = 1,
	HAS_BOOT = 2,
	HAS_FROM = 4,
	HAS_TO = 8,
};

/* The tags behind an address. */
static bool take_vlans(struct wire_vlans *vlans, const uint8_t *value, uint32_t len)
{
	if (len % sizeof(vlans->tag[0]) != 0 || len > sizeof(*vlans))
		return false;
	for (uint32_t at = 0; at < len; at += (uint32_t)sizeof(vlans->tag[0])) {
		uint16_t tag = load_be16(value + at);

		if (!(tag & WIRE_VLAN_ID) || tag & ~(WIRE_VLAN_ID | WIRE_VLANS_SERVICE))
			return false;
	}
	memset(vlans, 0, sizeof(*vlans));
	memcpy(vlans, value, len);
	return true;
}

static bool take_station(struct announce_message *msg, const struct tlv *tlv)
{
	const struct wire_station *station = (const struct wire_station *)tlv->value;
	struct fdb_news *news = &msg->stations[msg->count];
	uint32_t addr_len, vlans_len;
	struct wire_vlans vlans;

	if (tlv->len < sizeof(*station) || msg->count == ANNOUNCE_STATIONS_MAX)
		return false;
	addr_len = station->family == 0 ? 0 : station->family == 4 ? 4 : 16;
	if ((addr_len == 16 && station->family != 6) || tlv->len < sizeof(*station) + addr_len)
		return false;
	vlans_len = tlv->len - (uint32_t)sizeof(*station) - addr_len;
	if ((addr_len == 0 && vlans_len) ||
	    !take_vlans(&vlans, tlv->value + sizeof(*station) + addr_len, vlans_len))
		return false;
	*news = (struct fdb_news){ .sequence = load_be64(tlv->value),
		                   .gone = station->flags & WIRE_STATION_GONE };
	memcpy(news->mac, station->mac, ETHER_ADDR_SIZE);
	news->key = station->family
	                    ? fdb_key_in(vlans, station->family, tlv->value + sizeof(*station))
	                    : fdb_key_mac(station->mac);
	msg->count++;
	return true;
}

/* One TLV; a length that its type cannot have makes the message malformed. */
static bool take(struct announce_message *msg, unsigned int *has, const struct tlv *tlv)
{
	switch (tlv->type) {
	case WIRE_TLV_VNI:
		*has |= HAS_VNI;
		return tlv_get_be32(tlv, &msg->vni);
	case WIRE_TLV_BOOT:
		*has |= HAS_BOOT;
		return tlv_get_be64(tlv, &msg->boot);
	case WIRE_TLV_FROM:
		*has |= HAS_FROM;
		return tlv_get_be64(tlv, &msg->from);
	case WIRE_TLV_TO:
		*has |= HAS_TO;
		return tlv_get_be64(tlv, &msg->to);
	case WIRE_TLV_STATION:
		return take_station(msg, tlv);
	case WIRE_TLV_END:
		msg->end = true;
		return tlv->len == 0;
	default:
		return true;
	}
}

/* Stations are told in the order in which they changed, within what is told. */
static bool is_in_order(const struct announce_message *msg)
{
	uint64_t last = msg->from;

	if (msg->from > msg->to)
		return false;
	for (uint32_t i = 0; i < msg->count; i++) {
		if (msg->stations[i].sequence <= last || msg->stations[i].sequence > msg->to)
			return false;
		last = msg->stations[i].sequence;
	}
	return true;
}

static bool is_sound(struct announce_message *msg, unsigned int has)
{
	if (!(has & HAS_VNI) || msg->vni == 0 || msg->vni > WIRE_VNI_MAX)
		return false;
	switch (msg->type) {
	case ANNOUNCE_STATIONS:
		if (!(has & HAS_BOOT))
			return false;
		msg->has_range = has & HAS_FROM;
		if (!msg->has_range)
			return !(has & HAS_TO) && !msg->end && msg->count == 1;
		return has & HAS_TO && is_in_order(msg);
	case ANNOUNCE_ACK:
		return has == (HAS_VNI | HAS_BOOT | HAS_TO) && msg->count == 0 && !msg->end;
	case ANNOUNCE_CHECK:
		return has == HAS_VNI && msg->count == 1 && !msg->end;
	}
	return false;
}

static bool type_of(uint8_t wire, struct announce_message *msg)
{
	switch (wire) {
	case WIRE_CONTROL_ANNOUNCE:
		msg->type = ANNOUNCE_STATIONS;
		return true;
	case WIRE_CONTROL_ACK:
		msg->type = ANNOUNCE_ACK;
		return true;
	case WIRE_CONTROL_CHECK:
		msg->type = ANNOUNCE_CHECK;
		return true;
	default:
		return false;
	}
}

bool announce_parse(const uint8_t *data, uint32_t len, struct announce_message *msg)
{
	struct tlv_reader in;
	struct tlv tlv;
	unsigned int has = 0;

	/* Not the stations, which are many: each is written when it is read. */
	memset(msg, 0, offsetof(struct announce_message, stations));
	if (!tlv_open(&in, data, len) || data[0] != WIRE_CONTROL_FIRST || !type_of(data[1], msg))
		return false;
	while (tlv_next(&in, &tlv))
		if (!take(msg, &has, &tlv))
			return false;
	return !in.malformed && is_sound(msg, has);
}

static uint32_t addr_len_of(const struct fdb_key *key)
{
	return key->kind == FDB_IPV4 ? 4 : key->kind == FDB_IPV6 ? 16 : 0;
}

static uint32_t vlans_len_of(const struct fdb_key *key)
{
	uint32_t n = 0;

	while (n < WIRE_VLANS_MAX && load_be16(key->vlans.tag[n].b))
		n++;
	return n * (uint32_t)sizeof(key->vlans.tag[0]);
}

uint32_t announce_station_len(const struct fdb_key *key)
{
	return (uint32_t)sizeof(struct wire_station) + addr_len_of(key) + vlans_len_of(key);
}

static void put_station(struct tlv_writer *out, const struct fdb_news *news)
{
	uint32_t addr_len = addr_len_of(&news->key);
	uint8_t *to = tlv_put(out, WIRE_TLV_STATION, announce_station_len(&news->key));
	struct wire_station *station = (struct wire_station *)to;

	if (!to)
		return;
	store_be64(to, news->sequence);
	station->flags = news->gone ? WIRE_STATION_GONE : 0;
	station->family = addr_len ? news->key.kind : 0;
	memcpy(station->mac, news->mac, ETHER_ADDR_SIZE);
	memcpy(to + sizeof(*station), news->key.addr, addr_len);
	memcpy(to + sizeof(*station) + addr_len, &news->key.vlans, vlans_len_of(&news->key));
}

uint32_t announce_format(uint8_t *bytes, uint32_t size, const struct announce_message *msg)
{
	static const enum wire_control_type types[] = {
		[ANNOUNCE_STATIONS] = WIRE_CONTROL_ANNOUNCE,
		[ANNOUNCE_ACK] = WIRE_CONTROL_ACK,
		[ANNOUNCE_CHECK] = WIRE_CONTROL_CHECK,
	};
	struct tlv_writer out = tlv_begin(bytes, size);

	tlv_put_be32(&out, WIRE_TLV_VNI, msg->vni);
	if (msg->type != ANNOUNCE_CHECK)
		tlv_put_be64(&out, WIRE_TLV_BOOT, msg->boot);
	if (msg->type == ANNOUNCE_STATIONS && msg->has_range)
		tlv_put_be64(&out, WIRE_TLV_FROM, msg->from);
	if (msg->type == ANNOUNCE_ACK || msg->has_range)
		tlv_put_be64(&out, WIRE_TLV_TO, msg->to);
	for (uint32_t i = 0; i < msg->count; i++)
		put_station(&out, &msg->stations[i]);
	if (msg->end)
		(void)tlv_put(&out, WIRE_TLV_END, 0);
	return tlv_finish(&out, types[msg->type]);
}
