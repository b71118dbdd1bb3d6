/* SPDX-License-Identifier: MIT */
/* What packets and frames are, and what is said about those that do not fit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "dataplane/packet.h"
#include "packet_build.h"

static uint8_t data[BUILD_MAX];

static struct packet build(const struct build *b)
{
	struct packet pkt;

	assert_true(packet_parse_ip(data, build_packet(b, data), &pkt));
	return pkt;
}

/* ---- IP ---- */

static void ipv4_is_parsed(void **state)
{
	static const uint8_t options[8] = { 1 };
	uint32_t len = build_packet(&(struct build){ .payload = 10,
	                                             .tos = 0xb9,
	                                             .fragment = IPV4_DF,
	                                             .ip_options = options,
	                                             .ip_options_len = 8,
	                                             .tcp_options = options,
	                                             .tcp_options_len = 4 },
	                            data);
	struct packet pkt;

	(void)state;
	assert_int_equal(len, 28 + 24 + 10);
	assert_true(build_parse_exact(data, len, &pkt));
	assert_int_equal(pkt.len, len);
	assert_int_equal(pkt.family, 4);
	assert_int_equal(pkt.proto, IPPROTO_WIRE_TCP);
	assert_int_equal(pkt.tos, 0xb9);
	assert_int_equal(pkt.flags, PACKET_DF | PACKET_OPTIONS | PACKET_L4);
	assert_int_equal(pkt.l4, 28);
	assert_int_equal(pkt.payload, 52);
	assert_memory_equal(pkt.source, ((uint8_t[]){ 10, 1, 0, 1 }), 4);
	assert_memory_equal(pkt.destination, ((uint8_t[]){ 10, 2, 0, 2 }), 4);
	/* Link padding is cut off. */
	assert_true(packet_parse_ip(data, len + 100, &pkt));
	assert_int_equal(pkt.len, len);
}

static void ipv6_is_parsed(void **state)
{
	uint32_t len = build_packet(
		&(struct build){
			.family = 6, .proto = IPPROTO_WIRE_UDP, .tos = 0xb9, .payload = 10 },
		data);
	struct packet pkt;

	(void)state;
	assert_true(build_parse_exact(data, len, &pkt));
	assert_int_equal(pkt.len, 58);
	assert_int_equal(pkt.family, 6);
	assert_int_equal(pkt.proto, IPPROTO_WIRE_UDP);
	assert_int_equal(pkt.tos, 0xb9);
	assert_int_equal(pkt.flags, PACKET_DF | PACKET_L4);
	assert_int_equal(pkt.l4, 40);
	assert_int_equal(pkt.payload, 48);
	assert_int_equal(pkt.source[0], 0xfd);
	assert_int_equal(pkt.destination[1], 2);
}

/* Every prefix of a packet is no packet. */
static void truncated_packets_are_malformed(void **state)
{
	static const uint8_t chain[24] = { IPPROTO_WIRE_DSTOPTS, 0, 1, 4, 0, 0, 0, 0,
		                           IPPROTO_WIRE_UDP,     1, 1, 12 };

	(void)state;
	for (uint32_t row = 0; row < 5; row++) {
		uint32_t len = build_packet(
			&(struct build){
				.family = row & 1 ? 6 : 4,
				.proto = row & 2 ? IPPROTO_WIRE_UDP : 0,
				.payload = 5,
				.ip_options = row == 4 ? chain : NULL,
				.ip_options_len = row == 4 ? 24 : 0,
			},
			data);
		struct packet pkt;

		for (uint32_t n = 0; n < len; n++)
			assert_false(build_parse_exact(data, n, &pkt));
		assert_true(build_parse_exact(data, len, &pkt));
	}
}

/* A packet that parses, and one that does not once a byte or two are changed. */
struct mutation {
	const char *name;
	uint8_t family;
	uint8_t proto;
	uint8_t at; /* of a 16-bit field */
	uint16_t value;
	bool good;
};

static const struct mutation mutations[] = {
	/* IPv4: 20 + 20 + 100 or 20 + 8 + 100 bytes in 200 that may be read */
	{ "version 0", 4, 6, 0, 0x0500, false },
	{ "version 5, our own hint", 4, 6, 0, 0x5500, false },
	{ "version 6 in an IPv4 packet", 4, 6, 0, 0x6500, false },
	{ "header of 16 bytes", 4, 6, 0, 0x4400, false },
	{ "header of 0 bytes", 4, 6, 0, 0x4000, false },
	{ "ICMP behind a header of 16 bytes", 4, 1, 0, 0x4400, false },
	{ "ICMP behind a header of 0 bytes", 4, 1, 0, 0x4000, false },
	{ "header longer by options", 4, 1, 0, 0x4f00, true },
	{ "header longer than the packet", 4, 1, 2, 16, false },
	{ "total length 0", 4, 6, 2, 0, false },
	{ "total length within the header", 4, 6, 2, 19, false },
	{ "total length within the TCP header", 4, 6, 2, 39, false },
	{ "total length ends with the TCP header", 4, 6, 2, 40, true },
	{ "total length as readable", 4, 6, 2, 200, true },
	{ "total length beyond readable", 4, 6, 2, 201, false },
	{ "total length 65535", 4, 6, 2, 65535, false },
	{ "TCP header of 16 bytes", 4, 6, 32, 0x4010, false },
	{ "TCP header of 0 bytes", 4, 6, 32, 0x0010, false },
	{ "TCP header of 60 bytes", 4, 6, 32, 0xf010, true },
	{ "UDP length 0", 4, 17, 24, 0, false },
	{ "UDP length 7", 4, 17, 24, 7, false },
	{ "UDP length 8, options behind", 4, 17, 24, 8, true },
	{ "UDP length one short", 4, 17, 24, 107, true },
	{ "UDP length one over", 4, 17, 24, 109, false },
	{ "UDP length 65535", 4, 17, 24, 65535, false },
	{ "more fragments, not a multiple of 8", 4, 17, 6, IPV4_MF | 3, false },
	{ "last fragment", 4, 17, 6, 3, true },
	{ "last fragment that fits 65,535 bytes", 4, 17, 6, 8175, true },
	{ "fragment that ends beyond 65,535 bytes", 4, 17, 6, 8176, false },
	{ "fragment that ends far beyond 65,535 bytes", 4, 17, 6, 8191, false },
	/* IPv6: 40 + 20 + 100 or 40 + 8 + 100 bytes */
	{ "IPv6, version 7, our own hint", 6, 6, 0, 0x7000, false },
	{ "IPv6, payload length 0", 6, 6, 4, 0, false },
	{ "IPv6, payload within the TCP header", 6, 6, 4, 19, false },
	{ "IPv6, payload ends with the TCP header", 6, 6, 4, 20, true },
	{ "IPv6, payload as readable", 6, 6, 4, 160, true },
	{ "IPv6, payload beyond readable", 6, 6, 4, 161, false },
	{ "IPv6, TCP header of 16 bytes", 6, 6, 52, 0x4010, false },
	{ "IPv6, UDP length 0", 6, 17, 44, 0, false },
	{ "IPv6, UDP length one over", 6, 17, 44, 109, false },
	{ "IPv6, no next header", 6, 6, 6, 59 << 8 | 64, true },
};

static void lengths_must_add_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
		const struct mutation *m = &mutations[i];
		struct packet pkt;

		build_packet(
			&(struct build){ .family = m->family, .proto = m->proto, .payload = 100 },
			data);
		assert_true(packet_parse_ip(data, 200, &pkt));
		store_be16(data + m->at, m->value);
		if (build_parse_exact(data, 200, &pkt) != m->good)
			fail_msg("%s: %s", m->name, m->good ? "refused" : "taken");
	}
}

static void tcp_header_longer_than_the_packet_is_malformed(void **state)
{
	struct packet pkt;

	(void)state;
	for (uint8_t family = 4; family <= 6; family += 2) {
		for (uint32_t payload = 0; payload < 60; payload++) {
			uint32_t len = build_packet(
				&(struct build){ .family = family, .payload = payload }, data);

			data[(family == 4 ? 20 : 40) + 12] = 0xf0;
			assert_int_equal(packet_parse_ip(data, len, &pkt), payload >= 40);
		}
	}
}

/* Pitfall 22: 40 more than the largest IPv6 payload lengths does not fit 16 bits. */
static void pitfall_22_ipv6_payload_lengths_from_65496_do_not_wrap(void **state)
{
	struct packet pkt;

	(void)state;
	memset(data, 0, sizeof(data));
	for (uint32_t payload = 65480; payload <= 65535; payload++) {
		build_packet(&(struct build){ .family = 6, .payload = 100 }, data);
		store_be16(data + 4, (uint16_t)payload);
		for (uint32_t len = 0; len < 200; len++)
			assert_false(packet_parse_ip(data, len, &pkt));
		assert_false(packet_parse_ip(data, 40 + payload - 1, &pkt));
		assert_true(packet_parse_ip(data, 40 + payload, &pkt));
		assert_int_equal(pkt.len, 40 + payload);
	}
	for (uint32_t total = 65496; total <= 65535; total++) {
		build_packet(&(struct build){ .payload = 100 }, data);
		store_be16(data + 2, (uint16_t)total);
		assert_false(packet_parse_ip(data, total - 1, &pkt));
		assert_true(packet_parse_ip(data, total, &pkt));
		assert_int_equal(pkt.len, total);
	}
}

static void short_udp_length_is_legal_but_not_ours_to_touch(void **state)
{
	struct packet pkt = build(&(struct build){ .proto = IPPROTO_WIRE_UDP, .payload = 100 });

	(void)state;
	assert_true(pkt.flags & PACKET_L4);
	store_be16(data + 24, 100);
	assert_true(packet_parse_ip(data, pkt.len, &pkt));
	assert_false(pkt.flags & PACKET_L4);
	assert_int_equal(pkt.proto, IPPROTO_WIRE_UDP);
}

static void ipv4_fragments_have_no_transport(void **state)
{
	struct packet pkt;

	(void)state;
	pkt = build(&(struct build){ .payload = 100, .fragment = IPV4_MF });
	assert_int_equal(pkt.flags, PACKET_FRAGMENT);
	assert_int_equal(pkt.l4, 20);
	pkt = build(&(struct build){ .payload = 100, .fragment = 5 });
	assert_int_equal(pkt.flags, PACKET_FRAGMENT);
	assert_int_equal(pkt.l4, 0);
	assert_int_equal(pkt.payload, 20);
	/* A first fragment's transport header may be anything, or be cut short. */
	build_packet(&(struct build){ .payload = 100, .fragment = IPV4_MF }, data);
	store_be16(data + 2, 28);
	assert_true(packet_parse_ip(data, 200, &pkt));
}

/* ---- extension headers ---- */

#define HOP   IPPROTO_WIRE_HOPOPTS
#define DST   IPPROTO_WIRE_DSTOPTS
#define RTG   IPPROTO_WIRE_ROUTING
#define FRG   IPPROTO_WIRE_FRAGMENT
#define AUTH  IPPROTO_WIRE_AH
#define UDP   IPPROTO_WIRE_UDP
#define ICMP6 IPPROTO_WIRE_ICMPV6

struct chain {
	const char *name;
	uint8_t first;
	uint8_t len; /* of the chain, as built */
	uint8_t bytes[96];
	bool good;
	uint8_t flags; /* beside DF */
	uint16_t l4;
	uint8_t proto;
};

#define OPT (PACKET_OPTIONS)

/* clang-format off */
static const struct chain chains[] = {
	{ "hop-by-hop", HOP, 8, { UDP, 0 }, true, OPT | PACKET_L4, 48, UDP },
	{ "hop, destination, routing done", HOP, 24, { DST, 0, [8] = RTG, 0, [16] = UDP, 0 },
	  true, OPT | PACKET_L4, 64, UDP },
	{ "24 byte options", DST, 24, { UDP, 2 }, true, OPT | PACKET_L4, 64, UDP },
	{ "routing with stops left", RTG, 8, { UDP, 0, 4, 1 }, true, OPT, 48, UDP },
	{ "authentication counts words", AUTH, 24, { UDP, 4 }, true, OPT, 64, UDP },
	{ "authentication of the least size", AUTH, 8, { UDP, 0 }, true, OPT, 48, UDP },
	{ "atomic fragment", FRG, 8, { UDP }, true, OPT | PACKET_FRAGMENT, 48, UDP },
	{ "first fragment", FRG, 8, { UDP, 0, 0, 1 }, true, OPT | PACKET_FRAGMENT, 48, UDP },
	{ "first fragment, options behind", FRG, 16, { DST, 0, 0, 1, [8] = UDP, 0 },
	  true, OPT | PACKET_FRAGMENT, 56, UDP },
	{ "later fragment", FRG, 8, { DST, 0, 1, 1 }, true, OPT | PACKET_FRAGMENT, 0, DST },
	{ "eight headers", DST, 64, { DST, 0, [8] = DST, 0, [16] = DST, 0, [24] = DST, 0,
	  [32] = DST, 0, [40] = DST, 0, [48] = DST, 0, [56] = UDP, 0 },
	  true, OPT | PACKET_L4, 104, UDP },
	{ "nine headers", DST, 72, { DST, 0, [8] = DST, 0, [16] = DST, 0, [24] = DST, 0,
	  [32] = DST, 0, [40] = DST, 0, [48] = DST, 0, [56] = DST, 0, [64] = UDP, 0 },
	  false, 0, 0, 0 },
	{ "hop-by-hop in second place", DST, 16, { HOP, 0, [8] = UDP, 0 }, false, 0, 0, 0 },
	{ "two hop-by-hop", HOP, 16, { HOP, 0, [8] = UDP, 0 }, false, 0, 0, 0 },
	{ "two fragment headers", FRG, 16, { FRG, 0, 0, 0, [8] = UDP }, false, 0, 0, 0 },
	{ "longer than the packet", DST, 8, { UDP, 255 }, false, 0, 0, 0 },
	{ "longer than the packet, then nothing", DST, 8, { 59, 15 }, false, 0, 0, 0 },
	{ "ends with the packet, then UDP", DST, 8, { UDP, 14 }, false, 0, 0, 0 },
	{ "ends with the packet, then nothing", DST, 8, { 59, 14 }, true, OPT, 160, 59 },
	{ "ends with the packet, then more", DST, 8, { DST, 14 }, false, 0, 0, 0 },
	{ "authentication beyond the packet", AUTH, 8, { UDP, 255 }, false, 0, 0, 0 },
	{ "first fragment whose chain goes on", FRG, 8, { DST, 0, 0, 1, [8] = UDP, 255 },
	  false, 0, 0, 0 },
	{ "more fragments, not a multiple of 8", AUTH, 20, { FRG, 1, [12] = UDP, 0, 0, 1 },
	  false, 0, 0, 0 },
	{ "last fragment, not a multiple of 8", AUTH, 20, { FRG, 1, [12] = UDP, 0, 0, 0 },
	  true, OPT | PACKET_FRAGMENT, 60, UDP },
	{ "fragment that fits 65,535 bytes", FRG, 8, { UDP, 0, 0xff, 0x88 }, true,
	  OPT | PACKET_FRAGMENT, 0, UDP },
	{ "fragment beyond 65,535 bytes", FRG, 8, { UDP, 0, 0xff, 0x90 }, false, 0, 0, 0 },
	{ "mobility is no header of ours", 135, 8, { UDP, 0 }, true, 0, 40, 135 },
};
/* clang-format on */

/* Pitfall 31: each kind of extension header counts its length in a way of its own. */
static void pitfall_31_ipv6_extension_header_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		const struct chain *c = &chains[i];
		struct packet pkt;
		bool good;
		uint32_t len;

		len = build_packet(&(struct build){ .family = 6,
		                                    .proto = UDP,
		                                    .payload = 112u - c->len,
		                                    .ip_options = c->bytes,
		                                    .ip_options_len = c->len,
		                                    .extension = c->first },
		                   data);
		assert_int_equal(len, 160);
		good = build_parse_exact(data, len, &pkt);
		if (good != c->good)
			fail_msg("%s: %s", c->name, good ? "taken" : "refused");
		if (!good)
			continue;
		if (pkt.flags != (PACKET_DF | c->flags) || pkt.l4 != c->l4 || pkt.proto != c->proto)
			fail_msg("%s: flags %x, l4 %u, proto %u", c->name, pkt.flags, pkt.l4,
			         pkt.proto);
	}
}

/* Later fragments do not say what the options at their datagram's begin are in front of. */
static void flow_behind_options_is_not_told_from_a_fragment(void **state)
{
	static const uint8_t first[] = { DST, 0, 0, 1, 0, 0, 0, 0, ICMP6, 0, 1, 4, 0, 0, 0, 0 };
	static const uint8_t later[] = { DST, 0, 0, 64, 0, 0, 0, 0 };
	struct build b = { .family = 6, .proto = UDP, .payload = 96, .extension = FRG };
	struct packet pkt;

	(void)state;
	b.ip_options = first;
	b.ip_options_len = sizeof(first);
	pkt = build(&b);
	assert_int_equal(pkt.proto, ICMP6);
	b.ip_options = later;
	b.ip_options_len = sizeof(later);
	pkt = build(&b);
	assert_int_equal(pkt.l4, 0);
	assert_int_equal(packet_flow_hash(&pkt), 0);
}

/* ---- addresses ---- */

static void set_addr(uint8_t *to, uint8_t family, const char *hex)
{
	for (int i = 0; i < (family == 4 ? 4 : 16); i++) {
		char byte[3] = { hex[2 * i], hex[2 * i + 1] };

		to[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
}

static void martians_and_multicast_are_known(void **state)
{
	static const struct {
		uint8_t family;
		const char *addr;
		bool as_source; /* martian */
		bool as_destination;
		bool multicast;
	} rows[] = {
		{ 4, "0a000001", false, false, false },
		{ 4, "00000000", true, true, false },
		{ 4, "00ffffff", true, true, false },
		{ 4, "01000000", false, false, false },
		{ 4, "7effffff", false, false, false },
		{ 4, "7f000000", true, true, false },
		{ 4, "7fffffff", true, true, false },
		{ 4, "80000000", false, false, false },
		{ 4, "a9fe0001", false, false, false },
		{ 4, "dfffffff", false, false, false },
		{ 4, "e0000000", true, false, true },
		{ 4, "efffffff", true, false, true },
		{ 4, "f0000000", false, false, false },
		{ 4, "fffffffe", false, false, false },
		{ 4, "ffffffff", true, false, true },
		{ 6, "fd000000000000000000000000000001", false, false, false },
		{ 6, "00000000000000000000000000000000", true, true, false },
		{ 6, "00000000000000000000000000000001", true, true, false },
		{ 6, "0000000000000000000000000a000001", true, true, false },
		{ 6, "00000000000000000000ffff0a000001", true, true, false },
		{ 6, "00000000000000000000fffe0a000001", false, false, false },
		{ 6, "0064ff9b00000000000000000a000001", false, false, false },
		{ 6, "fe800000000000000000000000000001", false, false, false },
		{ 6, "fe000000000000000000000000000001", false, false, false },
		{ 6, "ff020000000000000000000000000001", true, false, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t family = rows[i].family;
		struct packet pkt;

		build_packet(&(struct build){ .family = family }, data);
		set_addr(data + (family == 4 ? 12 : 8), family, rows[i].addr);
		assert_true(packet_parse_ip(data, 60, &pkt));
		if (packet_is_martian(&pkt) != rows[i].as_source || packet_is_multicast(&pkt))
			fail_msg("source %s", rows[i].addr);
		build_packet(&(struct build){ .family = family }, data);
		set_addr(data + (family == 4 ? 16 : 24), family, rows[i].addr);
		if (packet_is_martian(&pkt) != rows[i].as_destination ||
		    packet_is_multicast(&pkt) != rows[i].multicast)
			fail_msg("destination %s", rows[i].addr);
	}
}

/* ---- errors ---- */

static void too_big_about(const struct packet *pkt, uint32_t mtu, uint32_t told)
{
	uint8_t out[PACKET_ERROR_MAX + 1] = { [PACKET_ERROR_MAX] = 0x77 };
	uint32_t most = pkt->family == 4 ? 576 : 1280;
	uint32_t headers = pkt->family == 4 ? 28 : 48;
	uint32_t len = packet_make_too_big(pkt, mtu, out);
	struct packet error;

	assert_true(packet_may_answer(pkt));
	assert_int_equal(out[PACKET_ERROR_MAX], 0x77);
	assert_int_equal(len, pkt->len + headers < most ? pkt->len + headers : most);
	assert_true(packet_parse_ip(out, len, &error));
	assert_int_equal(error.len, len);
	assert_int_equal(error.family, pkt->family);
	assert_int_equal(error.proto, pkt->family == 4 ? IPPROTO_WIRE_ICMP : IPPROTO_WIRE_ICMPV6);
	assert_memory_equal(error.source, pkt->destination, packet_addr_len(pkt));
	assert_memory_equal(error.destination, pkt->source, packet_addr_len(pkt));
	assert_int_equal(out[error.l4], pkt->family == 4 ? 3 : 2);
	assert_int_equal(out[error.l4 + 1], pkt->family == 4 ? 4 : 0);
	assert_int_equal(load_be32(out + error.l4 + 4), told);
	assert_memory_equal(out + headers, pkt->data, len - headers);
	if (pkt->family == 4) {
		assert_int_equal(slow_checksum(out, 20, 0), 0);
		assert_int_equal(slow_checksum(out + 20, len - 20, 0), 0);
	} else {
		assert_int_equal(slow_checksum(out + 40, len - 40,
		                               slow_pseudo(out, IPPROTO_WIRE_ICMPV6, len - 40)),
		                 0);
	}
	/* No error about an error. */
	assert_int_equal(packet_make_too_big(&error, mtu, data + 4096), 0);
}

static void too_big_is_made(void **state)
{
	static const uint32_t payloads[] = { 0, 100, 507, 508, 1000, 1211, 1212, 1213, 65000 };

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		struct packet pkt = build(&(struct build){ .payload = payloads[i] });

		too_big_about(&pkt, 1420, 1420);
		too_big_about(&pkt, 70000, 65535);
		pkt = build(&(struct build){ .family = 6, .payload = payloads[i] });
		too_big_about(&pkt, 1420, 1420);
		too_big_about(&pkt, 1279, 1280);
		pkt = build(&(struct build){ .proto = IPPROTO_WIRE_ICMP, .payload = payloads[i] });
		too_big_about(&pkt, 1420, 1420);
		pkt = build(
			&(struct build){ .fragment = IPV4_MF, .payload = payloads[i] / 8 * 8 + 4 });
		too_big_about(&pkt, 1420, 1420);
	}
}

static void no_error_about(const struct packet *pkt)
{
	uint8_t out[PACKET_ERROR_MAX];

	assert_false(packet_may_answer(pkt));
	assert_int_equal(packet_make_too_big(pkt, 1420, out), 0);
}

static void no_error_is_made_about_what_must_have_none(void **state)
{
	static const uint8_t icmp_errors[] = { 3, 4, 5, 11, 12 };
	static const uint8_t icmpv6_errors[] = { 0, 1, 2, 3, 4, 100, 127, 137 };
	static const uint8_t later[8] = { UDP, 0, 1, 0 };
	struct packet pkt;

	(void)state;
	for (size_t i = 0; i < sizeof(icmp_errors); i++) {
		pkt = build(&(struct build){ .proto = IPPROTO_WIRE_ICMP, .payload = 1500 });
		data[20] = icmp_errors[i];
		no_error_about(&pkt);
	}
	for (size_t i = 0; i < sizeof(icmpv6_errors); i++) {
		pkt = build(&(struct build){
			.family = 6, .proto = IPPROTO_WIRE_ICMPV6, .payload = 1500 });
		data[40] = icmpv6_errors[i];
		no_error_about(&pkt);
	}
	pkt = build(&(struct build){ .payload = 1500, .fragment = 7 });
	no_error_about(&pkt);
	pkt = build(&(struct build){ .family = 6,
	                             .proto = UDP,
	                             .payload = 1500,
	                             .ip_options = later,
	                             .ip_options_len = 8,
	                             .extension = FRG });
	no_error_about(&pkt);
	pkt = build(&(struct build){ .payload = 1500 });
	data[16] = 224;
	no_error_about(&pkt);
	memset(data + 16, 255, 4);
	no_error_about(&pkt);
	pkt = build(&(struct build){ .payload = 1500 });
	memset(data + 12, 0, 4);
	no_error_about(&pkt);
	data[12] = 127;
	no_error_about(&pkt);
	data[12] = 224;
	no_error_about(&pkt);
	pkt = build(&(struct build){ .family = 6, .payload = 1500 });
	data[24] = 0xff;
	no_error_about(&pkt);
	pkt = build(&(struct build){ .family = 6, .payload = 1500 });
	memset(data + 8, 0, 16);
	no_error_about(&pkt);
	/* An ICMP packet that does not show its type. */
	pkt = build(&(struct build){ .proto = IPPROTO_WIRE_ICMP });
	store_be16(data + 2, 20);
	assert_true(packet_parse_ip(data, 20, &pkt));
	no_error_about(&pkt);
}

/* ---- frames ---- */

struct frame_row {
	uint8_t tags; /* as they lie there */
	uint16_t tpid[4], tci[4];
	uint16_t type;
	uint16_t vlans[2];
	bool good;
};

static uint32_t make_frame(const struct frame_row *row, uint8_t *out)
{
	memset(out, 0x11, 12);
	for (uint32_t i = 0; i < row->tags; i++) {
		store_be16(out + 12 + 4 * i, row->tpid[i]);
		store_be16(out + 14 + 4 * i, row->tci[i]);
	}
	store_be16(out + 12 + 4 * row->tags, row->type);
	return 14 + 4u * row->tags;
}

static void frames_are_parsed_through_their_tags(void **state)
{
	static const struct frame_row rows[] = {
		{ 0, { 0 }, { 0 }, 0x0800, { 0 }, true },
		{ 0, { 0 }, { 0 }, 0x0026, { 0 }, true }, /* 802.3: a length */
		{ 0, { 0 }, { 0 }, 0x9100, { 0 }, true }, /* no tag of ours */
		{ 1, { 0x8100 }, { 5 }, 0x86dd, { 5 }, true },
		{ 1, { 0x88a8 }, { 0xffff }, 0x0800, { 0x8fff }, true },
		{ 1, { 0x8100 }, { 0xe000 }, 0x0806, { 0 }, true }, /* priority alone */
		{ 2, { 0x88a8, 0x8100 }, { 0x3123, 5 }, 0x0800, { 0x8123, 5 }, true },
		{ 2, { 0x8100, 0x8100 }, { 0, 5 }, 0x88cc, { 5 }, true },
		{ 2, { 0x8100, 0x88a8 }, { 0xe007, 0xe000 }, 0x0800, { 7 }, true },
		{ 3, { 0x88a8, 0x8100, 0x8100 }, { 1, 2, 3 }, 0x0800, { 0 }, false },
		{ 4, { 0x8100, 0x8100, 0x8100, 0x8100 }, { 1, 2, 3, 4 }, 0x0800, { 0 }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[64] = { 0 };
		uint32_t header = make_frame(&rows[i], bytes);

		for (uint32_t len = 0; len <= sizeof(bytes); len++) {
			/* Exactly as long, so that a sanitizer sees every byte too many. */
			uint8_t *copy = malloc(len ? len : 1);
			struct frame frame;

			assert_non_null(copy);
			memcpy(copy, bytes, len);
			if (packet_parse_frame(copy, len, &frame) !=
			    (rows[i].good && len >= header))
				fail_msg("row %zu, %u bytes", i, len);
			if (rows[i].good && len >= header) {
				assert_ptr_equal(frame.data, copy);
				assert_int_equal(frame.len, len);
				assert_int_equal(frame.link_len, header);
				assert_int_equal(frame.ethertype, rows[i].type);
				for (size_t tag = 0; tag < WIRE_VLANS_MAX; tag++)
					assert_int_equal(load_be16(frame.vlans.tag[tag].b),
					                 rows[i].vlans[tag]);
				assert_int_equal(frame.tags, rows[i].tags);
			}
			free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_is_parsed),
		cmocka_unit_test(ipv6_is_parsed),
		cmocka_unit_test(truncated_packets_are_malformed),
		cmocka_unit_test(lengths_must_add_up),
		cmocka_unit_test(tcp_header_longer_than_the_packet_is_malformed),
		cmocka_unit_test(pitfall_22_ipv6_payload_lengths_from_65496_do_not_wrap),
		cmocka_unit_test(short_udp_length_is_legal_but_not_ours_to_touch),
		cmocka_unit_test(ipv4_fragments_have_no_transport),
		cmocka_unit_test(flow_behind_options_is_not_told_from_a_fragment),
		cmocka_unit_test(pitfall_31_ipv6_extension_header_lengths),
		cmocka_unit_test(martians_and_multicast_are_known),
		cmocka_unit_test(frames_are_parsed_through_their_tags),
		cmocka_unit_test(too_big_is_made),
		cmocka_unit_test(no_error_is_made_about_what_must_have_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
