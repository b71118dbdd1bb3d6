/* SPDX-License-Identifier: MIT */
/*
 * Packets for tests: built field by field, with checksums made the slow and
 * obvious way, a 16-bit word at a time.
 */
#ifndef TESTS_UNIT_PACKET_BUILD_H
#define TESTS_UNIT_PACKET_BUILD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/packet.h"

#define BUILD_MAX (66u * 1024)

/* xorshift64*: the same numbers in every run. */
static inline uint32_t build_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)((*state * 0x2545f4914f6cdd1dull) >> 32);
}

static inline uint16_t slow_checksum(const uint8_t *data, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i % 2 ? data[i] : (uint32_t)data[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t) ~((sum & 0xffff) + (sum >> 16));
}

/* The pseudo-header's sum, not complemented. */
static inline uint32_t slow_pseudo(const uint8_t *ip, uint8_t proto, uint32_t l4_len)
{
	uint8_t bytes[40] = { 0 };
	uint32_t addresses = ip[0] >> 4 == 4 ? 8 : 32;

	memcpy(bytes, ip + (addresses == 8 ? 12 : 8), addresses);
	bytes[addresses] = (uint8_t)(l4_len >> 24);
	bytes[addresses + 1] = (uint8_t)(l4_len >> 16);
	bytes[addresses + 2] = (uint8_t)(l4_len >> 8);
	bytes[addresses + 3] = (uint8_t)l4_len;
	bytes[addresses + 7] = proto;
	return (uint16_t)~slow_checksum(bytes, addresses + 8, 0);
}

/* What is zero takes a sensible value where zero would be none. */
struct build {
	uint8_t family; /* 4 */
	uint8_t proto; /* TCP */
	uint8_t tos;
	uint8_t ttl; /* 64 */
	uint16_t id;
	uint16_t fragment;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t last_octet; /* of the source address */
	const uint8_t *ip_options; /* IPv6: extension headers, the first of type @extension */
	uint32_t ip_options_len;
	uint8_t extension;
	uint32_t sequence;
	uint32_t acknowledgement;
	uint8_t flags; /* TCP: ACK */
	uint16_t window;
	uint16_t urgent;
	const uint8_t *tcp_options;
	uint32_t tcp_options_len;
	uint32_t payload; /* bytes */
	uint64_t seed; /* of the payload */
	bool no_checksum; /* UDP */
};

static inline void build_checksum(uint8_t *ip, uint32_t l4, uint8_t proto, uint32_t len)
{
	uint32_t at = l4 + (proto == IPPROTO_WIRE_TCP ? 16 : proto == IPPROTO_WIRE_UDP ? 6 : 2);
	uint32_t sum = proto == IPPROTO_WIRE_ICMP ? 0 : slow_pseudo(ip, proto, len - l4);
	uint16_t value;

	store_be16(ip + at, 0);
	value = slow_checksum(ip + l4, len - l4, sum);
	store_be16(ip + at, !value && proto == IPPROTO_WIRE_UDP ? 0xffff : value);
}

static inline uint32_t build_l4(const struct build *b, uint8_t proto, uint8_t *l4)
{
	memset(l4, 0, 20);
	store_be16(l4, b->source_port);
	store_be16(l4 + 2, b->destination_port);
	if (proto == IPPROTO_WIRE_UDP) {
		store_be16(l4 + 4, (uint16_t)(8 + b->payload));
		return 8;
	}
	if (proto != IPPROTO_WIRE_TCP) {
		l4[0] = proto == IPPROTO_WIRE_ICMP ? 8 : 128; /* echo request */
		l4[1] = 0;
		return 8;
	}
	store_be32(l4 + 4, b->sequence);
	store_be32(l4 + 8, b->acknowledgement);
	l4[12] = (uint8_t)((20 + b->tcp_options_len) / 4 << 4);
	l4[13] = b->flags ? b->flags : TCP_ACK;
	store_be16(l4 + 14, b->window);
	store_be16(l4 + 18, b->urgent);
	if (b->tcp_options_len)
		memcpy(l4 + 20, b->tcp_options, b->tcp_options_len);
	return 20 + b->tcp_options_len;
}

/* Writes the packet to @out (BUILD_MAX bytes); its length. */
static inline uint32_t build_packet(const struct build *b, uint8_t *out)
{
	uint8_t family = b->family ? b->family : 4;
	uint8_t proto = b->proto ? b->proto : IPPROTO_WIRE_TCP;
	uint32_t l4 = (family == 4 ? 20 : 40) + b->ip_options_len;
	uint32_t at = l4 + build_l4(b, proto, out + l4);
	uint32_t len = at + b->payload;
	uint64_t seed = b->seed + 1;

	for (uint32_t i = at; i < len; i++)
		out[i] = (uint8_t)build_random(&seed);
	memset(out, 0, l4 - b->ip_options_len);
	if (b->ip_options_len)
		memcpy(out + l4 - b->ip_options_len, b->ip_options, b->ip_options_len);
	if (family == 4) {
		out[0] = (uint8_t)(0x40 | l4 / 4);
		out[1] = b->tos;
		store_be16(out + 2, (uint16_t)len);
		store_be16(out + 4, b->id);
		store_be16(out + 6, b->fragment);
		out[8] = b->ttl ? b->ttl : 64;
		out[9] = proto;
		memcpy(out + 12, (uint8_t[]){ 10, 1, 0, (uint8_t)(1 + b->last_octet) }, 4);
		memcpy(out + 16, (uint8_t[]){ 10, 2, 0, 2 }, 4);
		store_be16(out + 10, slow_checksum(out, l4, 0));
	} else {
		store_be32(out, 6u << 28 | (uint32_t)b->tos << 20);
		store_be16(out + 4, (uint16_t)(len - 40));
		out[6] = b->ip_options_len ? b->extension : proto;
		out[7] = b->ttl ? b->ttl : 64;
		memcpy(out + 8, (uint8_t[]){ 0xfd, 1, [15] = (uint8_t)(1 + b->last_octet) }, 16);
		memcpy(out + 24, (uint8_t[]){ 0xfd, 2, [15] = 2 }, 16);
	}
	if (!(b->no_checksum && proto == IPPROTO_WIRE_UDP))
		build_checksum(out, l4, proto, len);
	return len;
}

/* The slow twin's opinion on a packet that is no fragment. */
static inline bool slow_checksums_ok(const struct packet *pkt)
{
	uint32_t l4_len = pkt->len - pkt->l4;

	if (pkt->family == 4 && slow_checksum(pkt->data, (pkt->data[0] & 0xfu) * 4, 0) != 0)
		return false;
	if (pkt->proto != IPPROTO_WIRE_TCP && pkt->proto != IPPROTO_WIRE_UDP)
		return true;
	return slow_checksum(pkt->data + pkt->l4, l4_len,
	                     slow_pseudo(pkt->data, pkt->proto, l4_len)) == 0;
}

/* Parses a copy of exactly @len bytes, so that a sanitizer sees every byte too many. */
static inline bool build_parse_exact(const uint8_t *bytes, uint32_t len, struct packet *pkt)
{
	static uint8_t *copy;

	free(copy);
	copy = malloc(len ? len : 1);
	if (!copy)
		abort();
	if (len)
		memcpy(copy, bytes, len);
	return packet_parse_ip(copy, len, pkt);
}

#endif
