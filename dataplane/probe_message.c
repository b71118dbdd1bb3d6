/* SPDX-License-Identifier: MIT */
/* Probes on the wire (docs/protocol.md), and the packet that one stands for. */
#include <string.h>
#include "dataplane/packet.h"
#include "dataplane/probe.h"
#include "dataplane/tlv.h"

/* Which TLVs were there. */
enum {
	HAS_NUMBER = 1,
	HAS_PACKET = 2,
	HAS_LINK = 4,
	HAS_VNI = 8,
	HAS_RESULT = 16,
};

static uint32_t address_len(uint8_t family)
{
	return family == 4 ? 4 : family == 6 ? 16 : 0;
}

/* The least that an echo request has. */
static uint32_t least_len(uint8_t family)
{
	return family == 4   ? sizeof(struct wire_ipv4) + sizeof(struct wire_icmp)
	       : family == 6 ? sizeof(struct wire_ipv6) + sizeof(struct wire_icmp)
	                     : 0;
}

static bool take_packet(struct probe_packet *packet, const struct tlv *tlv)
{
	const struct wire_probe_packet *wire = (const void *)tlv->value;
	uint32_t addr;

	if (tlv->len < sizeof(*wire))
		return false;
	packet->family = wire->family;
	packet->protocol = wire->protocol;
	packet->len = load_be16(wire->len.b);
	addr = address_len(packet->family);
	if ((packet->family && !addr) || tlv->len != sizeof(*wire) + 2 * addr ||
	    packet->len < least_len(packet->family))
		return false;
	memcpy(packet->source, tlv->value + sizeof(*wire), addr);
	memcpy(packet->destination, tlv->value + sizeof(*wire) + addr, addr);
	return true;
}

static bool take_link(struct probe_packet *packet, const struct tlv *tlv)
{
	if (tlv->len != 2 * ETHER_ADDR_SIZE)
		return false;
	memcpy(packet->destination_mac, tlv->value, ETHER_ADDR_SIZE);
	memcpy(packet->source_mac, tlv->value + ETHER_ADDR_SIZE, ETHER_ADDR_SIZE);
	return true;
}

/* What drops are called, of whatever version: it is shown to people. */
static bool take_name(char name[PROBE_NAME_MAX], const uint8_t *text, uint32_t len)
{
	if (len >= PROBE_NAME_MAX)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') ||
		      text[i] == '-'))
			return false;
	memset(name, 0, PROBE_NAME_MAX);
	memcpy(name, text, len);
	return true;
}

static bool take_result(struct probe_answer *answer, const struct tlv *tlv)
{
	const struct wire_probe_result *wire = (const void *)tlv->value;

	if (tlv->len < sizeof(*wire) || wire->stage < PROBE_HEARD || wire->stage > PROBE_ANSWERED)
		return false;
	answer->stage = wire->stage;
	answer->flags = wire->flags;
	return take_name(answer->reason, tlv->value + sizeof(*wire),
	                 tlv->len - (uint32_t)sizeof(*wire));
}

static bool take_limits(struct probe_answer *answer, const struct tlv *tlv)
{
	if (tlv->len != 2 * sizeof(struct be16))
		return false;
	answer->tunnel_mtu = load_be16(tlv->value);
	answer->tap_mtu = load_be16(tlv->value + sizeof(struct be16));
	return true;
}

static bool take_traffic(struct probe_answer *answer, const struct tlv *tlv)
{
	if (tlv->len != 3 * sizeof(struct be64))
		return false;
	answer->received = load_be64(tlv->value);
	answer->lost = load_be64(tlv->value + sizeof(struct be64));
	answer->sent = load_be64(tlv->value + 2 * sizeof(struct be64));
	return true;
}

/* Those that there is no room for are skipped. */
static bool take_drop(struct probe_answer *answer, const struct tlv *tlv)
{
	char name[PROBE_NAME_MAX];

	if (tlv->len <= sizeof(struct be64) || !take_name(name, tlv->value + sizeof(struct be64),
	                                                  tlv->len - (uint32_t)sizeof(struct be64)))
		return false;
	if (answer->drop_count == PROBE_COUNTERS_MAX)
		return true;
	memcpy(answer->drops[answer->drop_count].name, name, sizeof(name));
	answer->drops[answer->drop_count++].count = load_be64(tlv->value);
	return true;
}

static bool take(struct probe_message *msg, const struct tlv *tlv, unsigned int *has)
{
	switch (tlv->type) {
	case WIRE_TLV_NUMBER:
		*has |= HAS_NUMBER;
		return tlv_get_be64(tlv, &msg->number) && msg->number;
	case WIRE_TLV_VNI:
		*has |= HAS_VNI;
		return tlv_get_be32(tlv, &msg->packet.vni) && msg->packet.vni &&
		       msg->packet.vni <= WIRE_VNI_MAX;
	case WIRE_TLV_PACKET:
		*has |= HAS_PACKET;
		return take_packet(&msg->packet, tlv);
	case WIRE_TLV_LINK:
		*has |= HAS_LINK;
		return take_link(&msg->packet, tlv);
	case WIRE_TLV_RESULT:
		*has |= HAS_RESULT;
		return take_result(&msg->answer, tlv);
	case WIRE_TLV_LIMITS:
		return take_limits(&msg->answer, tlv);
	case WIRE_TLV_TRAFFIC:
		return take_traffic(&msg->answer, tlv);
	case WIRE_TLV_DROPS:
		return take_drop(&msg->answer, tlv);
	default:
		return true;
	}
}

bool probe_parse(const uint8_t *data, uint32_t len, struct probe_message *msg)
{
	unsigned int has = 0;
	struct tlv_reader in;
	struct tlv tlv;

	memset(msg, 0, sizeof(*msg));
	if (!tlv_open(&in, data, len))
		return false;
	msg->type = data[offsetof(struct wire_control, type)];
	while (tlv_next(&in, &tlv))
		if (!take(msg, &tlv, &has))
			return false;
	if (in.malformed || !(has & HAS_NUMBER))
		return false;
	if (msg->type == WIRE_CONTROL_PROBE_REPLY)
		return has & HAS_RESULT;
	/* A frame has both, a packet has neither, and without addresses it is a frame. */
	return msg->type == WIRE_CONTROL_PROBE && has & HAS_PACKET &&
	       !(has & HAS_LINK) == !(has & HAS_VNI) && (msg->packet.family || has & HAS_VNI);
}

static void put_request(struct tlv_writer *tlvs, const struct probe_packet *packet)
{
	const uint32_t addr = address_len(packet->family);
	struct wire_probe_packet wire = { .family = packet->family, .protocol = packet->protocol };
	uint8_t *to = tlv_put(tlvs, WIRE_TLV_PACKET, (uint32_t)sizeof(wire) + 2 * addr);

	store_be16(wire.len.b, packet->len);
	if (to) {
		memcpy(to, &wire, sizeof(wire));
		memcpy(to + sizeof(wire), packet->source, addr);
		memcpy(to + sizeof(wire) + addr, packet->destination, addr);
	}
	if (!packet->vni)
		return;
	tlv_put_be32(tlvs, WIRE_TLV_VNI, packet->vni);
	to = tlv_put(tlvs, WIRE_TLV_LINK, 2 * ETHER_ADDR_SIZE);
	if (to) {
		memcpy(to, packet->destination_mac, ETHER_ADDR_SIZE);
		memcpy(to + ETHER_ADDR_SIZE, packet->source_mac, ETHER_ADDR_SIZE);
	}
}

static uint16_t clip(uint32_t value)
{
	return value < UINT16_MAX ? (uint16_t)value : UINT16_MAX;
}

static void put_answer(struct tlv_writer *tlvs, const struct probe_answer *answer)
{
	const struct wire_probe_result wire = { .stage = answer->stage, .flags = answer->flags };
	uint32_t len = (uint32_t)strnlen(answer->reason, PROBE_NAME_MAX - 1);
	uint8_t *to = tlv_put(tlvs, WIRE_TLV_RESULT, (uint32_t)sizeof(wire) + len);

	if (to) {
		memcpy(to, &wire, sizeof(wire));
		memcpy(to + sizeof(wire), answer->reason, len);
	}
	to = tlv_put(tlvs, WIRE_TLV_LIMITS, 2 * sizeof(struct be16));
	if (to) {
		store_be16(to, clip(answer->tunnel_mtu));
		store_be16(to + sizeof(struct be16), clip(answer->tap_mtu));
	}
	to = tlv_put(tlvs, WIRE_TLV_TRAFFIC, 3 * sizeof(struct be64));
	if (to) {
		store_be64(to, answer->received);
		store_be64(to + sizeof(struct be64), answer->lost);
		store_be64(to + 2 * sizeof(struct be64), answer->sent);
	}
	for (uint32_t i = 0; i < answer->drop_count; i++) {
		len = (uint32_t)strnlen(answer->drops[i].name, PROBE_NAME_MAX - 1);
		to = tlv_put(tlvs, WIRE_TLV_DROPS, (uint32_t)sizeof(struct be64) + len);
		if (to) {
			store_be64(to, answer->drops[i].count);
			memcpy(to + sizeof(struct be64), answer->drops[i].name, len);
		}
	}
}

uint32_t probe_format(uint8_t *out, uint32_t size, const struct probe_message *msg)
{
	struct tlv_writer tlvs = tlv_begin(out, size);
	uint32_t len;

	tlv_put_be64(&tlvs, WIRE_TLV_NUMBER, msg->number);
	if (msg->type == WIRE_CONTROL_PROBE)
		put_request(&tlvs, &msg->packet);
	else
		put_answer(&tlvs, &msg->answer);
	len = tlv_finish(&tlvs, (enum wire_control_type)msg->type);
	if (len == 0 || msg->type != WIRE_CONTROL_PROBE)
		return len;
	/* Behind the TLVs, where nothing is read. */
	memset(out + len, 0, size - len);
	return size;
}

static void fill_ip(const struct probe_packet *packet, uint32_t len, uint8_t *out)
{
	if (packet->family == 4) {
		struct wire_ipv4 *ip = (struct wire_ipv4 *)(void *)out;

		ip->version_ihl = 0x45;
		store_be16(ip->total_len.b, (uint16_t)len);
		store_be16(ip->fragment.b, IPV4_DF);
		ip->ttl = 64;
		ip->protocol = IPPROTO_WIRE_ICMP;
		memcpy(ip->source, packet->source, sizeof(ip->source));
		memcpy(ip->destination, packet->destination, sizeof(ip->destination));
		packet_ipv4_checksum_fill(out);
	} else {
		struct wire_ipv6 *ip = (struct wire_ipv6 *)(void *)out;

		out[0] = 0x60;
		store_be16(ip->payload_len.b, (uint16_t)(len - sizeof(*ip)));
		ip->next_header = IPPROTO_WIRE_ICMPV6;
		ip->hop_limit = 64;
		memcpy(ip->source, packet->source, sizeof(ip->source));
		memcpy(ip->destination, packet->destination, sizeof(ip->destination));
	}
}

uint32_t probe_make_packet(const struct probe_packet *packet, uint32_t len, uint32_t token,
                           uint8_t *out)
{
	bool v4 = packet->family == 4;
	uint32_t head = v4 ? sizeof(struct wire_ipv4) : sizeof(struct wire_ipv6);
	uint8_t *icmp = out + head;
	uint64_t sum = 0;

	if (packet->protocol != (v4 ? IPPROTO_WIRE_ICMP : IPPROTO_WIRE_ICMPV6) || !packet->family ||
	    len < least_len(packet->family) || len > UINT16_MAX)
		return 0;
	memset(out, 0, len);
	fill_ip(packet, len, out);
	icmp[0] = v4 ? ICMPV4_ECHO : ICMPV6_ECHO;
	store_be32(icmp + offsetof(struct wire_icmp, rest), token);
	if (!v4) {
		const struct packet pkt = { .data = out,
			                    .family = 6,
			                    .source = packet->source,
			                    .destination = packet->destination };

		sum = checksum_pseudo(&pkt, IPPROTO_WIRE_ICMPV6, len - head);
	}
	store_be16(icmp + offsetof(struct wire_icmp, checksum),
	           checksum_fold(checksum_add(sum, icmp, len - head)));
	return len;
}
