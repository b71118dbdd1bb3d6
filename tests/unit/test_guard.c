/* SPDX-License-Identifier: MIT */
/*
 * What a frame of a bridged network has to satisfy: numbered rows, each looked at
 * as a peer's frame and as a container's. For every check there is a row that it
 * turns away, and one beside it that differs in nothing else and passes.
 */
#include <stdio.h>
#include <stdlib.h>
#include "unit/unit.h"
#include "unit/rig.h"
#include "dataplane/guard.h"

#define MINE                                       \
	{                                          \
		0x02, 0x42, 0xac, 0x14, 0x65, 0x02 \
	}
#define OTHERS                                     \
	{                                          \
		0x02, 0x42, 0xac, 0x14, 0x65, 0x99 \
	}
#define BRIDGE                                     \
	{                                          \
		0x02, 0x42, 0xb1, 0xd6, 0xe0, 0x01 \
	}
#define ROUTER                                     \
	{                                          \
		0x02, 0x11, 0x22, 0x33, 0x44, 0x55 \
	}
#define EVERYONE                                   \
	{                                          \
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff \
	}

/* What the row is made of; zero is the usual. */
enum kind { UDP, TCP, ARP_Q, ARP_A, NS, NA, RS, RA, REDIRECT6, REDIRECT4, ICMPV6, OTHER };
enum link { NO_LINK, OWN, LIE, GROUP }; /* the link-layer address that ARP or ND tells */
enum {
	TAG = 0x8000, /* beside a VLAN's number */
	/* guards */
	LINK_CONTROL = 1,
	ALL_VLANS = 2,
	LIST = 4, /* 10 and 4095 */
	ANY_ROUTER = 8,
	ANY_DHCP = 16,
	MISMATCH = 32,
	/* the member's */
	MAY_ROUTE = 64,
	MAY_SERVE = 128,
	/* the packet's */
	FRAGMENT = 256,
	LATER_FRAGMENT = 512,
	BAD_SUM = 1024,
	OTHER_TYPE = 2048, /* the ethertype of the other family */
	BEHIND_OPTIONS = 4096, /* IPv6: a destination options header in front */
};

struct row {
	unsigned int number;
	const char *what;
	enum kind kind;
	const char *from, *to; /* ARP, ND: sender and target */
	enum guard_verdict peers, ours;
	const char *claim; /* that both hear when both pass */
	enum link link;
	unsigned int how;
	uint16_t tags[3];
	uint8_t source[6], destination[6]; /* zero: MINE, EVERYONE */
	uint16_t ports[2];
	uint16_t type; /* OTHER: the ethertype; ICMPV6: the type */
	uint8_t hops; /* 255 */
	uint8_t code;
	uint32_t cut; /* bytes off the end */
	const char *ip_to; /* ND: the packet's destination, ff02::1 */
	const char *ip_from; /* NA: its source, unless the target */
	uint8_t flags; /* NA: the first byte of its flags, 0x20 */
	bool zero_source; /* the MAC is really 0 */
};

#define P GUARD_PASS

/* What a row leaves out is zero, and meant. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
/* clang-format off */
static const struct row rows[] = {
	/* source MAC */
	{ 1, "plain", UDP, "172.20.1.2", "172.20.1.3", P, P },
	{ 2, "multicast source", UDP, "172.20.1.2", "172.20.1.3", GUARD_SOURCE_MAC, GUARD_SOURCE_MAC, .source = { 0x03, 1 } },
	{ 3, "broadcast source", UDP, "172.20.1.2", "172.20.1.3", GUARD_SOURCE_MAC, GUARD_SOURCE_MAC, .source = EVERYONE },
	{ 4, "zero source", UDP, "172.20.1.2", "172.20.1.3", GUARD_SOURCE_MAC, GUARD_SOURCE_MAC, .zero_source = true },
	{ 5, "the bridge's MAC", UDP, "172.20.1.2", "172.20.1.3", GUARD_SOURCE_MAC, P, .source = BRIDGE },
	{ 6, "the daemon's MAC", UDP, "172.20.1.2", "172.20.1.3", GUARD_SOURCE_MAC, GUARD_SOURCE_MAC, .source = ROUTER },
	{ 7, "not IP, multicast source", OTHER, "", "", GUARD_SOURCE_MAC, GUARD_SOURCE_MAC, .type = 0x88b5, .source = { 1 } },
	{ 8, "not IP", OTHER, "", "", P, P, .type = 0x88b5 },
	/* link control */
	{ 10, "STP", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x0026, .destination = { 0x01, 0x80, 0xc2, 0, 0, 0 } },
	{ 11, "pause", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x8808, .destination = { 0x01, 0x80, 0xc2, 0, 0, 1 } },
	{ 12, "the last of them", UDP, "172.20.1.2", "172.20.1.3", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .destination = { 0x01, 0x80, 0xc2, 0, 0, 0x0f } },
	{ 13, "one beyond", UDP, "172.20.1.2", "172.20.1.3", P, P, .destination = { 0x01, 0x80, 0xc2, 0, 0, 0x10 } },
	{ 14, "pause to one", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x8808, .destination = OTHERS },
	{ 15, "LACP to one", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x8809, .destination = OTHERS },
	{ 16, "802.1X to one", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x888e, .destination = OTHERS },
	{ 17, "LLDP to one", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x88cc, .destination = OTHERS },
	{ 18, "LLDP behind a priority tag", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x88cc, .tags = { TAG } },
	{ 19, "CDP", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x0100, .destination = { 0x01, 0, 0x0c, 0xcc, 0xcc, 0xcc } },
	{ 20, "PVST", OTHER, "", "", GUARD_LINK_CONTROL, GUARD_LINK_CONTROL, .type = 0x0032, .destination = { 0x01, 0, 0x0c, 0xcc, 0xcc, 0xcd } },
	{ 21, "between Cisco's", OTHER, "", "", P, P, .type = 0x0032, .destination = { 0x01, 0, 0x0c, 0xcc, 0xcc, 0xce } },
	{ 22, "STP permitted", OTHER, "", "", P, P, .type = 0x0026, .destination = { 0x01, 0x80, 0xc2, 0, 0, 0 }, .how = LINK_CONTROL },
	{ 23, "LLDP permitted", OTHER, "", "", P, P, .type = 0x88cc, .how = LINK_CONTROL },
	/* VLANs */
	{ 30, "tagged", UDP, "172.20.1.2", "172.20.1.3", GUARD_VLAN, GUARD_VLAN, .tags = { TAG | 10 } },
	{ 31, "priority tag", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG | 0x6000 } },
	{ 32, "behind a priority tag", UDP, "172.20.1.2", "172.20.1.3", GUARD_VLAN, GUARD_VLAN, .tags = { TAG | 0x6000, TAG | 10 } },
	{ 33, "two priority tags", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG, TAG } },
	{ 34, "all", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG | 11, TAG | 12 }, .how = ALL_VLANS },
	{ 35, "on the list", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG | 10 }, .how = LIST },
	{ 36, "not on the list", UDP, "172.20.1.2", "172.20.1.3", GUARD_VLAN, GUARD_VLAN, .tags = { TAG | 11 }, .how = LIST },
	{ 37, "the last of the list", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG | 4095 }, .how = LIST },
	{ 38, "the outer one counts", UDP, "172.20.1.2", "172.20.1.3", P, P, .tags = { TAG | 10, TAG | 11 }, .how = LIST },
	{ 39, "the outer one counts", UDP, "172.20.1.2", "172.20.1.3", GUARD_VLAN, GUARD_VLAN, .tags = { TAG | 11, TAG | 10 }, .how = LIST },
	{ 40, "untagged with a list", UDP, "172.20.1.2", "172.20.1.3", P, P, .how = LIST },
	{ 41, "not on the list, behind a priority tag", UDP, "172.20.1.2", "172.20.1.3", GUARD_VLAN, GUARD_VLAN, .tags = { TAG, TAG | 11 }, .how = LIST },
	{ 42, "ARP behind tags lies", ARP_Q, "172.20.1.2", "172.20.1.3", GUARD_ARP, GUARD_ARP, .link = LIE, .tags = { TAG | 11, TAG | 12 }, .how = ALL_VLANS },
	{ 43, "ARP behind tags", ARP_Q, "172.20.1.2", "172.20.1.3", P, P, "172.20.1.2", OWN, .tags = { TAG | 11, TAG | 12 }, .how = ALL_VLANS },
	/* malformed */
	{ 50, "IPv4 cut short", UDP, "172.20.1.2", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .cut = 1 },
	{ 51, "IPv6 cut short", UDP, "fd20::2", "fd20::3", GUARD_MALFORMED, GUARD_MALFORMED, .cut = 1 },
	{ 52, "IPv6", UDP, "fd20::2", "fd20::3", P, P },
	{ 53, "IPv4 that says IPv6", UDP, "172.20.1.2", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .how = OTHER_TYPE },
	{ 54, "IPv6 that says IPv4", UDP, "fd20::2", "fd20::3", GUARD_MALFORMED, GUARD_MALFORMED, .how = OTHER_TYPE },
	{ 55, "no IP at all", OTHER, "", "", GUARD_MALFORMED, GUARD_MALFORMED, .type = 0x0800 },
	{ 56, "no IPv6 at all", OTHER, "", "", GUARD_MALFORMED, GUARD_MALFORMED, .type = 0x86dd },
	{ 57, "no ARP at all", OTHER, "", "", GUARD_MALFORMED, GUARD_MALFORMED, .type = 0x0806 },
	{ 58, "ARP cut short", ARP_Q, "172.20.1.2", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .link = OWN, .cut = 1 },
	{ 59, "ARP of a multicast sender", ARP_Q, "224.0.0.1", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .link = OWN },
	{ 60, "TCP cut short", TCP, "172.20.1.2", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .cut = 30 },
	{ 61, "TCP", TCP, "172.20.1.2", "172.20.1.3", P, P },
	/* ARP */
	{ 70, "request", ARP_Q, "172.20.1.2", "172.20.1.3", P, P, "172.20.1.2", OWN },
	{ 71, "request of another", ARP_Q, "172.20.1.2", "172.20.1.3", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 72, "answer", ARP_A, "172.20.1.2", "172.20.1.3", P, P, "172.20.1.2", OWN },
	{ 73, "answer for another", ARP_A, "172.20.1.2", "172.20.1.3", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 74, "gratuitous", ARP_Q, "172.20.1.2", "172.20.1.2", P, P, "172.20.1.2", OWN },
	{ 75, "gratuitous answer", ARP_A, "172.20.1.2", "172.20.1.2", P, P, "172.20.1.2", OWN },
	{ 76, "probe", ARP_Q, "0.0.0.0", "172.20.1.3", P, P, .link = OWN },
	{ 77, "probe of another", ARP_Q, "0.0.0.0", "172.20.1.3", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 78, "answer from nobody", ARP_A, "0.0.0.0", "172.20.1.3", GUARD_ARP, GUARD_ARP, .link = OWN },
	{ 79, "a lie permitted, and no claim", ARP_A, "172.20.1.2", "172.20.1.3", P, P, .link = LIE, .how = MISMATCH },
	{ 80, "the truth claims still", ARP_A, "172.20.1.2", "172.20.1.3", P, P, "172.20.1.2", OWN, .how = MISMATCH },
	{ 81, "of a multicast MAC", ARP_A, "172.20.1.2", "172.20.1.3", GUARD_MALFORMED, GUARD_MALFORMED, .link = GROUP },
	{ 82, "loopback", ARP_A, "127.0.0.1", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN, .link = OWN },
	{ 83, "0/8", ARP_A, "0.0.0.1", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN, .link = OWN },
	{ 84, "link-local", ARP_A, "169.254.7.7", "172.20.1.3", P, P, "169.254.7.7", OWN },
	/* neighbour discovery */
	{ 90, "solicitation", NS, "fd20::2", "fd20::3", P, P, "fd20::2", OWN },
	{ 91, "solicitation of another", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 92, "solicitation to one, no option", NS, "fd20::2", "fd20::3", P, P, .ip_to = "fd20::3" },
	{ 93, "hop limit 254", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = OWN, .hops = 254 },
	{ 94, "code 1", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = OWN, .code = 1 },
	{ 95, "checksum", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = OWN, .how = BAD_SUM },
	{ 96, "DAD", NS, "::", "fd20::2", P, P, .ip_to = "ff02::1:ff00:2" },
	{ 97, "DAD to all nodes", NS, "::", "fd20::2", GUARD_ARP, GUARD_ARP },
	{ 98, "DAD with an option", NS, "::", "fd20::2", GUARD_ARP, GUARD_ARP, .ip_to = "ff02::1:ff00:2", .link = OWN },
	{ 99, "about a multicast address", NS, "fd20::2", "ff02::5", GUARD_ARP, GUARD_ARP, .link = OWN },
	{ 100, "about loopback", NS, "fd20::2", "::1", GUARD_MARTIAN, GUARD_MARTIAN, .link = OWN },
	{ 101, "advertisement", NA, "fd20::2", "fd20::2", P, P, "fd20::2", OWN },
	{ 102, "advertisement for another MAC", NA, "fd20::2", "fd20::2", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 103, "advertisement, no option", NA, "fd20::2", "fd20::2", P, P, "fd20::2", .ip_to = "fd20::3", .flags = 0x60 },
	{ 104, "solicited, to all", NA, "fd20::2", "fd20::2", GUARD_ARP, GUARD_ARP, .link = OWN, .flags = 0x60 },
	{ 105, "the target is claimed, not the source", NA, "", "fd20::2", P, P, "fd20::2", OWN, .ip_from = "fe80::2" },
	{ 106, "advertisement, hop limit 64", NA, "fd20::2", "fd20::2", GUARD_ARP, GUARD_ARP, .link = OWN, .hops = 64 },
	{ 107, "advertisement from nobody", NA, "", "fd20::2", GUARD_MARTIAN, GUARD_MARTIAN, .link = OWN, .ip_from = "::", .ip_to = "fd20::3" },
	{ 108, "of a v4-mapped address", NA, "", "::ffff:172.20.1.2", GUARD_MARTIAN, GUARD_MARTIAN, .link = OWN, .ip_from = "fe80::2" },
	{ 109, "first fragment", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = OWN, .how = FRAGMENT },
	{ 110, "behind options", NS, "fd20::2", "fd20::3", P, P, "fd20::2", OWN, .how = BEHIND_OPTIONS },
	{ 111, "a lie behind options", NS, "fd20::2", "fd20::3", GUARD_ARP, GUARD_ARP, .link = LIE, .how = BEHIND_OPTIONS },
	{ 112, "a lie permitted, and no claim", NA, "fd20::2", "fd20::2", P, P, .link = LIE, .how = MISMATCH },
	{ 113, "permitted or not, hop limit", NA, "fd20::2", "fd20::2", GUARD_ARP, GUARD_ARP, .link = LIE, .how = MISMATCH, .hops = 254 },
	{ 114, "advertisement cut short", NA, "fd20::2", "fd20::2", GUARD_MALFORMED, GUARD_MALFORMED, .link = OWN, .cut = 4 },
	{ 115, "router solicitation", RS, "fe80::2", "", P, P, "fe80::2", OWN },
	{ 116, "router solicitation of another", RS, "fe80::2", "", GUARD_ARP, GUARD_ARP, .link = LIE },
	{ 117, "router solicitation from nobody", RS, "::", "", P, P },
	{ 118, "the same with an option", RS, "::", "", GUARD_ARP, GUARD_ARP, .link = OWN },
	{ 119, "router solicitation, hop limit", RS, "fe80::2", "", GUARD_ARP, GUARD_ARP, .link = OWN, .hops = 1 },
	{ 120, "router solicitation, checksum", RS, "fe80::2", "", GUARD_ARP, GUARD_ARP, .link = OWN, .how = BAD_SUM },
	{ 121, "later fragment", ICMPV6, "fd20::2", "fd20::3", P, P, .type = 128, .how = LATER_FRAGMENT },
	/* gateways */
	{ 130, "ARP answer for the gateway", ARP_A, "172.20.0.1", "172.20.1.3", GUARD_GATEWAY, P, "172.20.0.1", OWN },
	{ 131, "ARP request by the gateway", ARP_Q, "172.20.0.1", "172.20.1.3", GUARD_GATEWAY, P, "172.20.0.1", OWN },
	{ 132, "ARP request for the gateway", ARP_Q, "172.20.1.2", "172.20.0.1", P, P, "172.20.1.2", OWN },
	{ 133, "gateway's advertisement", NA, "", "fe80::1", GUARD_GATEWAY, P, "fe80::1", OWN, .ip_from = "fd20::2" },
	{ 134, "gateway's solicitation", NS, "fe80::1", "fd20::2", GUARD_GATEWAY, P, "fe80::1", OWN },
	{ 135, "from the gateway", UDP, "172.20.0.1", "172.20.1.3", GUARD_GATEWAY, P },
	{ 136, "from the gateway, IPv6", UDP, "fd20::1", "fd20::3", GUARD_GATEWAY, P },
	{ 137, "to the gateway", UDP, "172.20.1.3", "172.20.0.1", P, P },
	{ 138, "beside the gateway", UDP, "172.20.0.2", "172.20.1.3", P, P },
	/* routers */
	{ 150, "router advertisement", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN },
	{ 151, "of a permitted member", RA, "fe80::9", "", P, P, "fe80::9", OWN, .how = MAY_ROUTE },
	{ 152, "of anyone", RA, "fe80::9", "", P, P, "fe80::9", OWN, .how = ANY_ROUTER },
	{ 153, "permitted, for another's MAC", RA, "fe80::9", "", GUARD_ARP, GUARD_ARP, .link = LIE, .how = MAY_ROUTE },
	{ 154, "permitted, without option", RA, "fe80::9", "", P, P, .how = MAY_ROUTE },
	{ 155, "permitted, not link-local", RA, "fd20::9", "", GUARD_ARP, GUARD_ARP, .link = OWN, .how = MAY_ROUTE },
	{ 156, "permitted, hop limit", RA, "fe80::9", "", GUARD_ARP, GUARD_ARP, .link = OWN, .how = MAY_ROUTE, .hops = 254 },
	{ 157, "in a first fragment", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN, .how = FRAGMENT },
	{ 158, "permitted, in a first fragment", RA, "fe80::9", "", GUARD_ARP, GUARD_ARP, .link = OWN, .how = FRAGMENT | MAY_ROUTE },
	{ 159, "behind options", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN, .how = BEHIND_OPTIONS },
	{ 160, "malformed is rogue first", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN, .how = BAD_SUM },
	{ 161, "to one alone", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN, .ip_to = "fd20::3", .destination = OTHERS },
	{ 162, "IPv6 redirect", REDIRECT6, "fe80::9", "fd20::3", GUARD_ROUTER, GUARD_ROUTER },
	{ 163, "IPv6 redirect permitted", REDIRECT6, "fe80::9", "fd20::3", P, P, .how = MAY_ROUTE },
	{ 164, "IPv6 redirect permitted, in a first fragment", REDIRECT6, "fe80::9", "fd20::3", GUARD_ARP, GUARD_ARP, .how = MAY_ROUTE | FRAGMENT },
	{ 165, "IPv4 redirect", REDIRECT4, "172.20.1.2", "172.20.1.3", GUARD_ROUTER, GUARD_ROUTER },
	{ 166, "IPv4 redirect permitted", REDIRECT4, "172.20.1.2", "172.20.1.3", P, P, .how = ANY_ROUTER },
	{ 167, "may serve DHCP, not route", RA, "fe80::9", "", GUARD_ROUTER, GUARD_ROUTER, .link = OWN, .how = MAY_SERVE | ANY_DHCP },
	{ 168, "router advertisement by a gateway", RA, "fe80::1", "", GUARD_GATEWAY, P, "fe80::1", OWN, .how = MAY_ROUTE },
	/* DHCP */
	{ 180, "offer", UDP, "172.20.1.9", "255.255.255.255", GUARD_DHCP, GUARD_DHCP, .ports = { 67, 68 } },
	{ 181, "offer of a permitted member", UDP, "172.20.1.9", "255.255.255.255", P, P, .ports = { 67, 68 }, .how = MAY_SERVE },
	{ 182, "offer of anyone", UDP, "172.20.1.9", "255.255.255.255", P, P, .ports = { 67, 68 }, .how = ANY_DHCP },
	{ 183, "from a port that servers do not have", UDP, "172.20.1.9", "172.20.1.3", GUARD_DHCP, GUARD_DHCP, .ports = { 6767, 68 } },
	{ 184, "discover", UDP, "0.0.0.0", "255.255.255.255", P, P, .ports = { 68, 67 } },
	{ 185, "renewal", UDP, "172.20.1.2", "172.20.1.9", P, P, .ports = { 68, 67 } },
	{ 186, "DHCPv6 reply", UDP, "fe80::9", "fe80::2", GUARD_DHCP, GUARD_DHCP, .ports = { 547, 546 } },
	{ 187, "DHCPv6 solicit", UDP, "fe80::2", "ff02::1:2", P, P, .ports = { 546, 547 } },
	{ 188, "DHCPv6 reply behind options", UDP, "fe80::9", "fe80::2", GUARD_DHCP, GUARD_DHCP, .ports = { 547, 546 }, .how = BEHIND_OPTIONS },
	{ 189, "DHCPv6 reply in a first fragment", UDP, "fe80::9", "fe80::2", GUARD_DHCP, GUARD_DHCP, .ports = { 547, 546 }, .how = FRAGMENT },
	{ 190, "may route, not serve DHCP", UDP, "172.20.1.9", "172.20.1.2", GUARD_DHCP, GUARD_DHCP, .ports = { 67, 68 }, .how = MAY_ROUTE | ANY_ROUTER },
	{ 191, "behind a tag", UDP, "172.20.1.9", "255.255.255.255", GUARD_DHCP, GUARD_DHCP, .ports = { 67, 68 }, .how = ALL_VLANS, .tags = { TAG | 10 } },
	/* martians */
	{ 200, "from loopback", UDP, "127.0.0.1", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 201, "to loopback", UDP, "172.20.1.2", "127.0.0.1", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 202, "from 0/8", UDP, "0.1.2.3", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 203, "from multicast", UDP, "224.0.0.9", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 204, "from broadcast", UDP, "255.255.255.255", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 205, "from ::1", UDP, "::1", "fd20::3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 206, "to ::1", UDP, "fd20::2", "::1", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 207, "from a mapped address", UDP, "::ffff:10.0.0.1", "fd20::3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 208, "from an IPv6 multicast address", UDP, "ff02::1", "fd20::3", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 209, "0.0.0.0, not DHCP", UDP, "0.0.0.0", "255.255.255.255", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 210, "0.0.0.0, DHCP to one", UDP, "0.0.0.0", "172.20.1.3", GUARD_MARTIAN, GUARD_MARTIAN, .ports = { 68, 67 } },
	{ 211, "0.0.0.0 to DHCP clients", UDP, "0.0.0.0", "255.255.255.255", GUARD_MARTIAN, GUARD_MARTIAN, .ports = { 67, 68 }, .how = ANY_DHCP },
	{ 212, "0.0.0.0, TCP with those ports", TCP, "0.0.0.0", "255.255.255.255", GUARD_MARTIAN, GUARD_MARTIAN, .ports = { 68, 67 } },
	{ 213, "0.0.0.0 from a client to another port", UDP, "0.0.0.0", "255.255.255.255", GUARD_MARTIAN, GUARD_MARTIAN, .ports = { 68, 69 } },
	{ 214, "0.0.0.0 from another port", UDP, "0.0.0.0", "255.255.255.255", GUARD_MARTIAN, GUARD_MARTIAN, .ports = { 69, 67 } },
	{ 215, "::, UDP", UDP, "::", "ff02::1", GUARD_MARTIAN, GUARD_MARTIAN },
	{ 216, "::, echo", ICMPV6, "::", "ff02::1", GUARD_MARTIAN, GUARD_MARTIAN, .type = 128 },
	{ 217, "::, MLD report", ICMPV6, "::", "ff02::16", P, P, .type = 143, .hops = 1 },
	{ 218, "::, MLD report to one", ICMPV6, "::", "fd20::3", GUARD_MARTIAN, GUARD_MARTIAN, .type = 143, .hops = 1 },
	{ 219, "::, old MLD report", ICMPV6, "::", "ff02::16", P, P, .type = 131, .hops = 1 },
	{ 220, "::, MLD done", ICMPV6, "::", "ff02::2", P, P, .type = 132, .hops = 1 },
	{ 221, "::, MLD query", ICMPV6, "::", "ff02::1", GUARD_MARTIAN, GUARD_MARTIAN, .type = 130, .hops = 1 },
	{ 222, "::, fragment", ICMPV6, "::", "ff02::16", GUARD_MARTIAN, GUARD_MARTIAN, .type = 143, .how = FRAGMENT },
	{ 223, "link-local", UDP, "169.254.3.4", "172.20.1.3", P, P },
	{ 224, "IPv6 link-local", UDP, "fe80::2", "fe80::3", P, P },
	{ 225, "multicast", UDP, "172.20.1.2", "224.0.0.251", P, P },
};
/* clang-format on */
#pragma GCC diagnostic pop

static const uint8_t mine[6] = MINE, others[6] = OTHERS, router[6] = ROUTER, everyone[6] = EVERYONE;

struct world {
	struct network network;
	struct view_network net;
	struct peer *peer; /* never looked into */
	struct member remote;
	struct neigh_addr gateways[3];
};

static void build_world(struct world *w, unsigned int how)
{
	static const char *const addrs[] = { "172.20.0.1", "fd20::1", "fe80::1" };
	static char somebody;

	memset(w, 0, sizeof(*w));
	w->net.network = &w->network;
	w->net.mode = NETWORK_BRIDGED;
	memcpy(w->network.router_mac, router, 6);
	memcpy(w->net.bridge_mac, RIG_BRIDGE_MAC, 6);
	w->net.gateways = w->gateways;
	w->net.gateway_count = 3;
	for (int i = 0; i < 3; i++)
		w->gateways[i].family = rig_parse_addr(w->gateways[i].addr, addrs[i]) ? 6 : 4;
	w->remote.peer = (struct peer *)(void *)&somebody;
	w->net.guards.link_control = how & LINK_CONTROL;
	w->net.guards.vlans = how & ALL_VLANS ? GUARD_VLANS_ALL
	                      : how & LIST    ? GUARD_VLANS_LIST
	                                      : GUARD_VLANS_NONE;
	w->net.guards.vlan_list[0] = 1ULL << 10;
	w->net.guards.vlan_list[GUARD_VLAN_WORDS - 1] = 1ULL << 63;
	w->net.guards.any_router = how & ANY_ROUTER;
	w->net.guards.any_dhcp = how & ANY_DHCP;
	w->net.guards.arp_mismatch = how & MISMATCH;
	w->remote.may_route = w->network.local.may_route = how & MAY_ROUTE;
	w->remote.may_serve_dhcp = w->network.local.may_serve_dhcp = how & MAY_SERVE;
}

static const uint8_t *told(const struct row *row)
{
	static const uint8_t group[6] = { 0x33, 0x33, 0, 0, 0, 1 };

	return row->link == LIE ? others : row->link == GROUP ? group : mine;
}

static uint32_t build_arp(const struct row *row, uint8_t *out)
{
	struct wire_arp body = { .hardware_len = 6, .protocol_len = 4 };
	uint8_t addr[16];

	store_be16(body.hardware.b, 1);
	store_be16(body.protocol.b, ETHERTYPE_WIRE_IPV4);
	store_be16(body.operation.b, row->kind == ARP_Q ? ARP_REQUEST : ARP_REPLY);
	memcpy(body.sender_mac, told(row), 6);
	rig_parse_addr(addr, row->from);
	memcpy(body.sender_ip, addr, 4);
	rig_parse_addr(addr, row->to);
	memcpy(body.target_ip, addr, 4);
	memcpy(out, &body, sizeof(body));
	return sizeof(body);
}

/* An option behind @at bytes of body, if the row has one; the body's length. */
static uint32_t with_link(const struct row *row, uint8_t *body, uint32_t at, uint8_t option)
{
	if (row->link == NO_LINK)
		return at;
	body[at] = option;
	body[at + 1] = 1;
	memcpy(body + at + 2, told(row), 6);
	return at + 8;
}

static uint32_t build_icmpv6(const struct row *row, uint8_t *out)
{
	uint8_t body[64] = { 0 }, type = (uint8_t)row->type, hops = row->hops ? row->hops : 255;
	const char *from = row->from, *to = row->ip_to ? row->ip_to : "ff02::1";
	uint32_t len = 20;

	switch (row->kind) {
	case NS:
	case NA:
		type = row->kind == NS ? 135 : 136;
		if (row->kind == NA) {
			body[0] = row->flags ? row->flags : 0x20;
			from = row->ip_from ? row->ip_from : row->to;
		}
		rig_parse_addr(body + 4, row->to);
		len = with_link(row, body, len, row->kind == NS ? 1 : 2);
		break;
	case RS:
	case RA:
		type = row->kind == RS ? 133 : 134;
		to = row->ip_to ? row->ip_to : row->kind == RS ? "ff02::2" : "ff02::1";
		len = with_link(row, body, row->kind == RS ? 4 : 12, 1);
		break;
	case REDIRECT6:
		type = 137;
		to = row->to;
		len = 36;
		break;
	case UDP:
	case TCP:
	case ARP_Q:
	case ARP_A:
	case REDIRECT4:
	case ICMPV6:
	case OTHER:
		to = row->to;
		break;
	}
	len = rig_make_icmpv6(out, from, to, type, hops, body, len);
	if (row->code) { /* and the checksum mended */
		out[41] = row->code;
		store_be16(out + 42, (uint16_t)(load_be16(out + 42) - row->code));
	}
	if (row->how & BAD_SUM)
		out[42] ^= 1;
	return len;
}

static uint32_t build_ip(const struct row *row, uint8_t *out)
{
	uint32_t len;
	bool v6;

	if (row->kind == UDP || row->kind == TCP || row->kind == REDIRECT4) {
		len = row->kind == TCP ? rig_make_tcp(out, row->from, row->to, TCP_ACK, 20)
		                       : rig_make_udp(out, row->from, row->to, 20);
		if (row->ports[0] && row->kind == UDP)
			rig_set_ports(out, row->ports[0], row->ports[1]);
		if (row->ports[0] && row->kind == TCP) {
			store_be16(out + 20, row->ports[0]);
			store_be16(out + 22, row->ports[1]);
		}
		if (row->kind == REDIRECT4) {
			out[9] = IPPROTO_WIRE_ICMP;
			out[20] = ICMPV4_REDIRECT;
		}
	} else {
		len = build_icmpv6(row, out);
	}
	v6 = out[0] >> 4 == 6;
	if (row->how & (FRAGMENT | LATER_FRAGMENT | BEHIND_OPTIONS)) {
		assert_true(v6);
		memmove(out + 48, out + 40, len - 40);
		memset(out + 40, 0, 8);
		out[40] = out[6];
		if (row->how & BEHIND_OPTIONS) {
			out[6] = IPPROTO_WIRE_DSTOPTS;
			out[42] = 1; /* PadN */
			out[43] = 4;
		} else {
			out[6] = IPPROTO_WIRE_FRAGMENT;
			/* More follow, so the length has to be a multiple of 8. */
			len &= ~7u;
			out[43] = row->how & LATER_FRAGMENT ? 0x11 : 0x01;
		}
		len += 8;
		store_be16(out + 4, (uint16_t)(len - 40));
	}
	return len;
}

static uint16_t type_of(const struct row *row, const uint8_t *body)
{
	bool v6 = body[0] >> 4 == 6;

	if (row->kind == OTHER)
		return row->type;
	if (row->kind == ARP_Q || row->kind == ARP_A)
		return ETHERTYPE_WIRE_ARP;
	if (row->how & OTHER_TYPE)
		v6 = !v6;
	return v6 ? ETHERTYPE_WIRE_IPV6 : ETHERTYPE_WIRE_IPV4;
}

/* Exactly as long as it is, for the sanitizer to see over its end. */
static uint8_t *build_frame(const struct row *row, uint32_t *len)
{
	static const uint8_t nobody[6];
	uint8_t frame[512] = { 0 }, body[256] = { 0x77 };
	uint32_t at = 12, body_len = 46;
	uint8_t *copy;

	memcpy(frame, memcmp(row->destination, nobody, 6) ? row->destination : everyone, 6);
	if (!row->zero_source)
		memcpy(frame + 6, memcmp(row->source, nobody, 6) ? row->source : mine, 6);
	if (row->kind == ARP_Q || row->kind == ARP_A)
		body_len = build_arp(row, body);
	else if (row->kind != OTHER)
		body_len = build_ip(row, body);
	for (int i = 0; row->tags[i]; i++, at += 4) {
		store_be16(frame + at, i ? ETHERTYPE_WIRE_VLAN : ETHERTYPE_WIRE_QINQ);
		store_be16(frame + at + 2, row->tags[i] & 0x7fff);
	}
	store_be16(frame + at, type_of(row, body));
	memcpy(frame + at + 2, body, body_len);
	*len = at + 2 + body_len - row->cut;
	copy = malloc(*len);
	assert_non_null(copy);
	memcpy(copy, frame, *len);
	return copy;
}

static bool right(const struct row *row, const char *whose, enum guard_verdict got,
                  const struct guarded *guarded)
{
	enum guard_verdict wanted = *whose == 'p' ? row->peers : row->ours;
	const char *claim = got == GUARD_PASS ? row->claim : NULL;
	uint8_t addr[16];

	if (got != wanted) {
		fprintf(stderr, "row %u, %s, %s: verdict %d, expected %d\n", row->number, row->what,
		        whose, (int)got, (int)wanted);
		return false;
	}
	if (got != GUARD_PASS)
		return true;
	if (!claim)
		return guarded->claim_family == 0 ||
		       !fprintf(stderr, "row %u, %s: claims something\n", row->number, row->what);
	rig_parse_addr(addr, claim);
	if (guarded->claim_family == (strchr(claim, ':') ? 6 : 4) &&
	    memcmp(guarded->claim_ip, addr, guarded->claim_family == 6 ? 16 : 4) == 0)
		return true;
	fprintf(stderr, "row %u, %s: does not claim %s\n", row->number, row->what, claim);
	return false;
}

static void all_rows(void **state)
{
	unsigned int wrong = 0, turned_away[GUARD_COUNT] = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		struct guarded guarded;
		struct world world;
		uint32_t len;
		uint8_t *frame = build_frame(row, &len);
		enum guard_verdict got;

		build_world(&world, row->how);
		memset(&guarded, 0xee, sizeof(guarded));
		assert_true(packet_parse_frame(frame, len, &guarded.frame));
		got = guard_frame(&world.net, &world.remote, &guarded);
		wrong += !right(row, "peer's", got, &guarded);
		turned_away[got]++;
		memset(&guarded, 0xee, sizeof(guarded));
		assert_true(packet_parse_frame(frame, len, &guarded.frame));
		got = guard_frame(&world.net, &world.network.local, &guarded);
		wrong += !right(row, "ours", got, &guarded);
		free(frame);
		if (i)
			assert_true(row->number > rows[i - 1].number);
	}
	assert_int_equal(wrong, 0);
	for (int v = 0; v < GUARD_COUNT; v++)
		assert_true(turned_away[v] > 0);
}

/* No byte of a frame and no length of it makes the guards read beyond its end. */
static void any_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct guarded guarded;
		struct world world;
		uint32_t len;
		uint8_t *frame = build_frame(&rows[i], &len);

		build_world(&world, rows[i].how);
		for (uint32_t cut = 1; cut <= len; cut++) {
			uint8_t *copy = malloc(cut);

			assert_non_null(copy);
			memcpy(copy, frame, cut);
			if (packet_parse_frame(copy, cut, &guarded.frame)) {
				enum guard_verdict got =
					guard_frame(&world.net, &world.remote, &guarded);

				assert_true(got < GUARD_COUNT);
			}
			free(copy);
		}
		free(frame);
	}
}

/* IP that hides in 802.2: nobody here takes it, so nobody may be told by it. */
static void snap(void **state)
{
	static const struct {
		uint8_t llc[8];
		enum guard_verdict wanted;
	} heads[] = {
		{ { 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00 }, GUARD_MALFORMED },
		{ { 0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x06 }, GUARD_MALFORMED },
		{ { 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd }, GUARD_MALFORMED },
		{ { 0xaa, 0xaa, 3, 0, 0, 0, 0x80, 0x9b }, GUARD_PASS },
		{ { 0xaa, 0xaa, 3, 0x08, 0, 0x07, 0x08, 0x00 }, GUARD_PASS },
		{ { 0xe0, 0xe0, 3, 0, 0, 0, 0x08, 0x00 }, GUARD_PASS },
	};
	struct world world;

	(void)state;
	build_world(&world, 0);
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		uint8_t frame[64] = { 0 };
		struct guarded guarded;

		memcpy(frame, everyone, 6);
		memcpy(frame + 6, mine, 6);
		store_be16(frame + 12, 50);
		memcpy(frame + 14, heads[i].llc, 8);
		assert_true(packet_parse_frame(frame, 64, &guarded.frame));
		assert_int_equal(guard_frame(&world.net, &world.remote, &guarded), heads[i].wanted);
		/* Too short to say it. */
		assert_true(packet_parse_frame(frame, 21, &guarded.frame));
		assert_int_equal(guard_frame(&world.net, &world.remote, &guarded), GUARD_PASS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_rows),
		cmocka_unit_test(any_length),
		cmocka_unit_test(snap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
