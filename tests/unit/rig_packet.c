/* SPDX-License-Identifier: MIT */
/* The packets and frames that tests give to a rig. */
#include <arpa/inet.h>
#include <string.h>
#include "dataplane/packet.h"
#include "unit/rig.h"

bool rig_parse_addr(uint8_t out[16], const char *text)
{
	bool v6 = strchr(text, ':') != NULL;

	memset(out, 0, 16);
	rig_must(inet_pton(v6 ? AF_INET6 : AF_INET, text, out) == 1, text);
	return v6;
}

/* The IP header, its length fields for @l4_len bytes behind it; returns its own length. */
static uint32_t put_ip(uint8_t *out, const char *from, const char *to, uint8_t proto,
                       uint32_t l4_len)
{
	uint8_t source[16], destination[16];
	bool v6 = rig_parse_addr(source, from);

	rig_must(rig_parse_addr(destination, to) == v6, "families differ");
	if (v6) {
		memset(out, 0, 8);
		out[0] = 0x60;
		store_be16(out + 4, (uint16_t)l4_len);
		out[6] = proto;
		out[7] = 64;
		memcpy(out + 8, source, 16);
		memcpy(out + 24, destination, 16);
		return 40;
	}
	memset(out, 0, 12);
	out[0] = 0x45;
	store_be16(out + 2, (uint16_t)(20 + l4_len));
	out[8] = 64;
	out[9] = proto;
	memcpy(out + 12, source, 4);
	memcpy(out + 16, destination, 4);
	packet_ipv4_checksum_fill(out);
	return 20;
}

/* Fills the transport's checksum at @at behind the IP header. */
static void put_checksum(uint8_t *ip, uint32_t l4, uint32_t at, uint8_t proto, uint32_t l4_len)
{
	struct packet pkt = { .data = ip, .family = ip[0] >> 4 };
	uint16_t sum;

	pkt.source = ip + (pkt.family == 4 ? 12 : 8);
	pkt.destination = ip + (pkt.family == 4 ? 16 : 24);
	store_be16(ip + l4 + at, 0);
	sum = checksum_fold(checksum_add(checksum_pseudo(&pkt, proto, l4_len), ip + l4, l4_len));
	store_be16(ip + l4 + at, sum ? sum : 0xffff);
}

static void put_payload(uint8_t *at, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		at[i] = (uint8_t)(i * 7 + 1);
}

uint32_t rig_make_udp(uint8_t *out, const char *from, const char *to, uint32_t payload)
{
	uint32_t l4 = put_ip(out, from, to, IPPROTO_WIRE_UDP, 8 + payload);

	store_be16(out + l4, 4000);
	store_be16(out + l4 + 2, 5000);
	store_be16(out + l4 + 4, (uint16_t)(8 + payload));
	put_payload(out + l4 + 8, payload);
	put_checksum(out, l4, 6, IPPROTO_WIRE_UDP, 8 + payload);
	return l4 + 8 + payload;
}

void rig_set_ports(uint8_t *ip, uint16_t from, uint16_t to)
{
	uint32_t l4 = ip[0] >> 4 == 4 ? 20 : 40;

	store_be16(ip + l4, from);
	store_be16(ip + l4 + 2, to);
	put_checksum(ip, l4, 6, IPPROTO_WIRE_UDP, load_be16(ip + l4 + 4));
}

const struct rig_dhcp_row rig_dhcp_rows[10] = {
	{ false, 67, 68, true },   { true, 547, 546, true }, { false, 68, 67, false },
	{ true, 546, 547, false }, { false, 67, 67, false }, { true, 547, 547, false },
	{ false, 67, 69, false },  { false, 66, 68, true },  { false, 547, 546, false },
	{ true, 67, 68, false },
};

uint32_t rig_make_tcp(uint8_t *out, const char *from, const char *to, uint8_t flags,
                      uint32_t payload)
{
	uint32_t l4 = put_ip(out, from, to, IPPROTO_WIRE_TCP, 20 + payload);

	memset(out + l4, 0, 20);
	store_be16(out + l4, 4000);
	store_be16(out + l4 + 2, 5000);
	out[l4 + 12] = 0x50;
	out[l4 + 13] = flags;
	store_be16(out + l4 + 14, 0xffff);
	put_payload(out + l4 + 20, payload);
	put_checksum(out, l4, 16, IPPROTO_WIRE_TCP, 20 + payload);
	return l4 + 20 + payload;
}

uint32_t rig_make_icmpv6(uint8_t *out, const char *from, const char *to, uint8_t type,
                         uint8_t hop_limit, const uint8_t *body, uint32_t len)
{
	uint32_t l4 = put_ip(out, from, to, IPPROTO_WIRE_ICMPV6, 4 + len);

	out[7] = hop_limit;
	out[l4] = type;
	out[l4 + 1] = 0;
	memcpy(out + l4 + 4, body, len);
	put_checksum(out, l4, 2, IPPROTO_WIRE_ICMPV6, 4 + len);
	return l4 + 4 + len;
}

void rig_set_tos(uint8_t *ip, uint8_t tos)
{
	if (ip[0] >> 4 == 4) {
		ip[1] = tos;
		packet_ipv4_checksum_fill(ip);
	} else {
		ip[0] = (uint8_t)(0x60 | tos >> 4);
		ip[1] = (uint8_t)((ip[1] & 0x0f) | tos << 4);
	}
}

uint32_t rig_make_frame(uint8_t *out, const uint8_t *destination, const uint8_t *source,
                        uint16_t type, const uint8_t *body, uint32_t len)
{
	memset(out, 0, sizeof(struct wire_vnet));
	memcpy(out + 10, destination, ETHER_ADDR_SIZE);
	memcpy(out + 16, source, ETHER_ADDR_SIZE);
	store_be16(out + 22, type);
	memcpy(out + 24, body, len);
	return 24 + len;
}

void rig_give_ip(struct rig_host *host, const uint8_t *ip, uint32_t len)
{
	static uint8_t frame[RIG_PACKET_MAX + 24];
	uint16_t type = ip[0] >> 4 == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6;

	rig_give_frame(
		host, 0, frame,
		rig_make_frame(frame, host->net->router_mac, RIG_CONTAINER_MAC, type, ip, len));
}

void rig_give_arp(struct rig_host *host, const struct rig_arp *arp)
{
	const uint8_t *source = arp->ethernet_source ? arp->ethernet_source : RIG_CONTAINER_MAC;
	const uint8_t *sender = arp->sender_mac ? arp->sender_mac : RIG_CONTAINER_MAC;
	uint8_t frame[24 + sizeof(struct wire_arp)], addr[16];
	struct wire_arp body = { .hardware_len = ETHER_ADDR_SIZE, .protocol_len = 4 };

	store_be16(body.hardware.b, 1);
	store_be16(body.protocol.b, ETHERTYPE_WIRE_IPV4);
	store_be16(body.operation.b, arp->operation);
	memcpy(body.sender_mac, sender, ETHER_ADDR_SIZE);
	rig_parse_addr(addr, arp->sender);
	memcpy(body.sender_ip, addr, 4);
	rig_parse_addr(addr, arp->target);
	memcpy(body.target_ip, addr, 4);
	rig_give_frame(host, 0, frame,
	               rig_make_frame(frame, RIG_BROADCAST_MAC, source, ETHERTYPE_WIRE_ARP,
	                              (const uint8_t *)&body, sizeof(body)));
}

void rig_learn(struct rig_host *host, const char *addr)
{
	static const char *const all_nodes = "ff02::1";
	uint8_t ip[128], body[4 + 16 + 8] = { 0x20 }, frame[256], target[16];

	if (!rig_parse_addr(target, addr)) {
		const struct rig_arp arp = { ARP_REPLY, NULL, NULL, addr, addr };

		rig_give_arp(host, &arp);
		rig_round(host);
		return;
	}
	memcpy(body + 4, target, 16);
	body[20] = ND_OPTION_TARGET_LINK;
	body[21] = 1;
	memcpy(body + 22, RIG_CONTAINER_MAC, ETHER_ADDR_SIZE);
	rig_give_frame(host, 0, frame,
	               rig_make_frame(frame, (const uint8_t[]){ 0x33, 0x33, 0, 0, 0, 1 },
	                              RIG_CONTAINER_MAC, ETHERTYPE_WIRE_IPV6, ip,
	                              rig_make_icmpv6(ip, addr, all_nodes, ICMPV6_NEIGH_ADVERT, 255,
	                                              body, sizeof(body))));
	rig_round(host);
}
