/* SPDX-License-Identifier: MIT */
/* ARP and neighbour discovery in frames and packets: what parses, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include "dataplane/packet.h"
#include "packet_build.h"

static uint8_t data[BUILD_MAX];

/* ---- ARP ---- */

static const uint8_t arp_frame[42] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0, 0, 1, 0x08, 0x06, /* Ethernet */
	0,    1,    0x08, 0,    6,    4,    0,  1, /* request */
	2,    0,    0,    0,    0,    1,    10, 0, 0, 1, /* sender */
	0,    0,    0,    0,    0,    0,    10, 0, 0, 2, /* target */
};

static void arp_is_parsed(void **state)
{
	const struct wire_arp *arp = NULL;
	uint8_t frame[60];

	(void)state;
	memset(frame, 0, sizeof(frame));
	memcpy(frame, arp_frame, sizeof(arp_frame));
	assert_true(packet_parse_arp(frame, 42, &arp));
	assert_ptr_equal(arp, frame + 14);
	assert_int_equal(load_be16(&arp->operation), ARP_REQUEST);
	assert_true(packet_parse_arp(frame, 60, &arp));
	/* A probe (RFC 5227) has no sender address. */
	memset(frame + 28, 0, 4);
	assert_true(packet_parse_arp(frame, 42, &arp));
	frame[21] = ARP_REPLY;
	assert_true(packet_parse_arp(frame, 42, &arp));
}

static void insane_arp_is_refused(void **state)
{
	static const struct {
		uint8_t at;
		uint8_t value;
	} rows[] = {
		{ 12, 0x81 }, { 13, 0x00 }, /* Ethernet type */
		{ 14, 1 },    { 15, 6 }, /* hardware */
		{ 16, 0x86 }, { 17, 1 }, /* protocol */
		{ 18, 8 },    { 19, 16 }, /* lengths */
		{ 20, 1 },    { 21, 0 },    { 21, 3 }, { 21, 8 }, /* operation */
		{ 22, 3 }, /* sender: a group MAC */
		{ 28, 224 }, /* sender: a group address */
	};
	const struct wire_arp *arp;
	uint8_t frame[42];

	(void)state;
	for (uint32_t len = 0; len < 42; len++)
		assert_false(packet_parse_arp(arp_frame, len, &arp));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(frame, arp_frame, sizeof(frame));
		frame[rows[i].at] = rows[i].value;
		if (packet_parse_arp(frame, 42, &arp))
			fail_msg("byte %u = %u was taken", rows[i].at, rows[i].value);
	}
	memcpy(frame, arp_frame, sizeof(frame));
	memset(frame + 22, 0, 6);
	assert_false(packet_parse_arp(frame, 42, &arp));
	memcpy(frame, arp_frame, sizeof(frame));
	memset(frame + 28, 0xff, 4);
	assert_false(packet_parse_arp(frame, 42, &arp));
}

/* ---- neighbour discovery ---- */

static const uint8_t addr_a[16] = { 0xfd, [15] = 1 };
static const uint8_t addr_b[16] = { 0xfd, [15] = 2 };
static const uint8_t group_b[16] = { 0xff, 2, [11] = 1, 0xff, 0, 0, 2 };
static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
static const uint8_t nobody[16];

struct nd_build {
	uint8_t type;
	const uint8_t *source; /* NULL: as a healthy message of the type has them */
	const uint8_t *destination;
	const uint8_t *target;
	uint32_t flags;
	uint8_t options[24];
	uint8_t options_len;
	uint8_t code;
	uint8_t hop_limit; /* 0: 255 */
	bool bad_checksum;
};

static bool nd_parse(const struct nd_build *b, struct packet_nd *nd)
{
	bool is_advert = b->type == ICMPV6_NEIGH_ADVERT;
	const uint8_t *source = is_advert ? addr_b : addr_a;
	const uint8_t *destination = is_advert ? addr_a : group_b;
	uint32_t len = 40 + 24 + b->options_len;
	struct packet pkt;

	memset(data, 0, len);
	data[0] = 0x60;
	store_be16(data + 4, (uint16_t)(len - 40));
	data[6] = IPPROTO_WIRE_ICMPV6;
	data[7] = b->hop_limit ? b->hop_limit : 255;
	memcpy(data + 8, b->source ? b->source : source, 16);
	memcpy(data + 24, b->destination ? b->destination : destination, 16);
	data[40] = b->type;
	data[41] = b->code;
	store_be32(data + 44, b->flags);
	memcpy(data + 48, b->target ? b->target : addr_b, 16);
	memcpy(data + 64, b->options, b->options_len);
	build_checksum(data, 40, IPPROTO_WIRE_ICMPV6, len);
	data[42] ^= b->bad_checksum;
	assert_true(build_parse_exact(data, len, &pkt));
	assert_true(packet_is_discovery(&pkt));
	if (!packet_parse_nd(&pkt, nd))
		return false;
	if (nd->link) {
		assert_memory_equal(nd->link, ((uint8_t[]){ 2, 0, 0, 0, 0, 9 }), 6);
		memcpy(data + 2000, nd->link, 6); /* readable */
	}
	return true;
}

#define NS           .type = ICMPV6_NEIGH_SOLICIT
#define NA           .type = ICMPV6_NEIGH_ADVERT
#define TYPE(number) .type = number
#define LINK(kind)   .options = { kind, 1, 2, 0, 0, 0, 0, 9 }, .options_len = 8

static void neighbour_discovery_is_parsed(void **state)
{
	struct packet_nd nd;

	(void)state;
	assert_true(nd_parse(&(struct nd_build){ NS, LINK(1) }, &nd));
	assert_int_equal(nd.type, ICMPV6_NEIGH_SOLICIT);
	assert_memory_equal(nd.target, addr_b, 16);
	assert_non_null(nd.link);
	assert_true(nd_parse(&(struct nd_build){ NS }, &nd));
	assert_null(nd.link);
	assert_true(nd_parse(&(struct nd_build){ NA, LINK(2), .flags = ND_SOLICITED | ND_OVERRIDE },
	                     &nd));
	assert_int_equal(nd.type, ICMPV6_NEIGH_ADVERT);
	assert_int_equal(nd.flags, ND_SOLICITED | ND_OVERRIDE);
	assert_non_null(nd.link);
	/* The other kind's option is skipped, an unknown one too. */
	assert_true(nd_parse(&(struct nd_build){ NS, LINK(2) }, &nd));
	assert_null(nd.link);
	assert_true(nd_parse(
		&(struct nd_build){ NS,
	                            .options = { 14, 1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9 },
	                            .options_len = 16 },
		&nd));
	assert_non_null(nd.link);
	/* Duplicate address detection. */
	assert_true(nd_parse(&(struct nd_build){ NS, .source = nobody }, &nd));
	/* An unsolicited advertisement to all. */
	assert_true(nd_parse(&(struct nd_build){ NA, .destination = all_nodes, LINK(2) }, &nd));
}

static void invalid_neighbour_discovery_is_refused(void **state)
{
	static const struct {
		const char *name;
		struct nd_build b;
	} rows[] = {
		{ "hop limit 254", { NS, .hop_limit = 254 } },
		{ "code", { NS, .code = 1 } },
		{ "checksum", { NS, .bad_checksum = true } },
		{ "group target", { NS, .target = group_b } },
		{ "group source", { NS, .source = group_b } },
		{ "option of no length", { NS, .options = { 1, 0 }, .options_len = 8 } },
		{ "option beyond the end", { NS, .options = { 1, 2 }, .options_len = 8 } },
		{ "other option of no length", { NS, .options = { 14, 0 }, .options_len = 8 } },
		{ "other option beyond the end", { NS, .options = { 14, 2 }, .options_len = 8 } },
		{ "a stray byte", { NS, .options = { 0 }, .options_len = 1 } },
		{ "half an option",
		  { NS, .options = { 1, 1, 2, 0, 0, 0, 0, 9, 14 }, .options_len = 12 } },
		{ "link address of 14 bytes", { NS, .options = { 1, 2, 2 }, .options_len = 16 } },
		{ "group link address",
		  { NS, .options = { 1, 1, 3, 0, 0, 0, 0, 9 }, .options_len = 8 } },
		{ "zero link address", { NS, .options = { 1, 1 }, .options_len = 8 } },
		{ "link address of nobody", { NS, .source = nobody, LINK(1) } },
		{ "nobody asks one", { NS, .source = nobody, .destination = addr_b } },
		{ "nobody asks all", { NS, .source = nobody, .destination = all_nodes } },
		{ "nobody advertises", { NA, .source = nobody } },
		{ "solicited, to all", { NA, .destination = all_nodes, .flags = ND_SOLICITED } },
		{ "group target advertised", { NA, .target = group_b } },
		{ "router solicitation", { TYPE(ICMPV6_ROUTER_SOLICIT) } },
		{ "router advertisement", { TYPE(ICMPV6_ROUTER_ADVERT) } },
		{ "redirect", { TYPE(ICMPV6_REDIRECT) } },
	};
	struct packet_nd nd;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (nd_parse(&rows[i].b, &nd))
			fail_msg("%s was taken", rows[i].name);
	}
}

static void discovery_is_seen_behind_extension_headers(void **state)
{
	static const uint8_t options[8] = { IPPROTO_WIRE_ICMPV6, 0, 1, 4 };
	static const uint8_t atomic[8] = { IPPROTO_WIRE_ICMPV6 };
	static const uint8_t later[8] = { IPPROTO_WIRE_ICMPV6, 0, 1, 0 };
	static const uint8_t hidden[16] = {
		IPPROTO_WIRE_DSTOPTS, 0, 0, 0, [8] = IPPROTO_WIRE_ICMPV6, 0, 1, 4
	};
	static const struct {
		const uint8_t *bytes;
		uint8_t len;
		uint8_t first;
		bool discovery;
	} rows[] = {
		{ options, 8, IPPROTO_WIRE_DSTOPTS, true },
		{ options, 8, IPPROTO_WIRE_HOPOPTS, true },
		{ atomic, 8, IPPROTO_WIRE_FRAGMENT, true },
		{ hidden, 16, IPPROTO_WIRE_FRAGMENT, true },
		{ later, 8, IPPROTO_WIRE_FRAGMENT, false }, /* only looks like it */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (uint32_t type = 0; type < 256; type++) {
			struct packet pkt;
			struct packet_nd nd;
			uint32_t len;

			len = build_packet(&(struct build){ .family = 6,
			                                    .proto = IPPROTO_WIRE_ICMPV6,
			                                    .payload = 16,
			                                    .ttl = 255,
			                                    .ip_options = rows[i].bytes,
			                                    .ip_options_len = rows[i].len,
			                                    .extension = rows[i].first },
			                   data);
			data[40 + rows[i].len] = (uint8_t)type;
			build_checksum(data, 40u + rows[i].len, IPPROTO_WIRE_ICMPV6, len);
			assert_true(packet_parse_ip(data, len, &pkt));
			assert_int_equal(packet_is_discovery(&pkt),
			                 rows[i].discovery && type >= 133 && type <= 137);
			if (rows[i].first == IPPROTO_WIRE_FRAGMENT) /* RFC 6980 */
				assert_false(packet_parse_nd(&pkt, &nd));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_is_parsed),
		cmocka_unit_test(insane_arp_is_refused),
		cmocka_unit_test(neighbour_discovery_is_parsed),
		cmocka_unit_test(invalid_neighbour_discovery_is_refused),
		cmocka_unit_test(discovery_is_seen_behind_extension_headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
