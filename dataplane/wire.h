/* SPDX-License-Identifier: MIT */
/*
 * Every byte on the wire that is not a handshake message (those are in
 * crypto/message.h): what a session carries, Ethernet, ARP, IP, TCP, UDP, ICMP,
 * neighbour discovery, the virtio header of the TAP.
 */
#ifndef DATAPLANE_WIRE_H
#define DATAPLANE_WIRE_H

#include <stddef.h>
#include <stdint.h>
#include "crypto/endian.h"
#include "crypto/message.h"

/* ---- what the session carries: the first byte of the plaintext ---- */

#define WIRE_KIND(first) ((first) >> 4)
enum wire_kind {
	WIRE_KIND_VXLAN = 0x0, /* first byte 0x08 */
	WIRE_KIND_CONTROL = 0x1,
	WIRE_KIND_IPV4 = 0x4,
	WIRE_KIND_IPV4_HINT = 0x5,
	WIRE_KIND_IPV6 = 0x6,
	WIRE_KIND_IPV6_HINT = 0x7,
};
#define WIRE_HINT_NIBBLE 0x10 /* added to the first byte of a packet with its checksum undone */

/* Control message: this header, then type-length-values up to @length. */
struct wire_control {
	uint8_t kind; /* WIRE_CONTROL_FIRST */
	uint8_t type; /* enum wire_control_type; unknown: ignored */
	struct be16 length; /* of all that follows this header */
};
#define WIRE_CONTROL_FIRST 0x10

enum wire_control_type {
	WIRE_CONTROL_HELLO = 1,
	WIRE_CONTROL_ANNOUNCE = 2, /* announce.h, these three */
	WIRE_CONTROL_ACK = 3,
	WIRE_CONTROL_CHECK = 4,
	WIRE_CONTROL_ECHO = 5, /* echo.h, these two */
	WIRE_CONTROL_ECHO_REPLY = 6,
	WIRE_CONTROL_PROBE = 7, /* probe.h, these two */
	WIRE_CONTROL_PROBE_REPLY = 8,
	WIRE_CONTROL_JOIN = 9, /* join.h, these four */
	WIRE_CONTROL_JOIN_REPLY = 10,
	WIRE_CONTROL_INTRODUCE = 11,
	WIRE_CONTROL_INTRODUCE_REPLY = 12,
};

/* Unknown types are skipped; a length that leaves the message ends it unread. */
struct wire_tlv {
	struct be16 type;
	struct be16 length; /* of the value */
};

enum wire_tlv_type {
	WIRE_TLV_VERSION = 1, /* be16 */
	WIRE_TLV_FEATURES = 2, /* be64, WIRE_FEATURE_* */
	WIRE_TLV_TUNNEL_MTU = 3, /* be16, bytes of plaintext per message */
	WIRE_TLV_VNIS = 4, /* be32 each: what the sender has and grants the receiver */
	WIRE_TLV_ACK = 5, /* empty: the sender has had our hello on this session */
	WIRE_TLV_BOOT = 6, /* be64: which life of the sender this is; greater is later */
	WIRE_TLV_VNI = 7, /* be32 */
	WIRE_TLV_FROM = 8, /* be64: the stations are all that changed after this number … */
	WIRE_TLV_TO = 9, /* be64: … up to this */
	WIRE_TLV_STATION = 10, /* struct wire_station, as often as needed */
	WIRE_TLV_END = 11, /* empty: with TO the receiver has all there is */
	WIRE_TLV_NUMBER = 12, /* be64, not 0: which request this is, or answers */
	/* join.h; what is marked belongs to the HOST before it */
	WIRE_TLV_HOST = 32, /* a public key */
	WIRE_TLV_NAME = 33, /* the host's, text */
	WIRE_TLV_ENDPOINT = 34, /* the host's, text as in a [Peer] */
	WIRE_TLV_PREFIX = 35, /* the host's, struct wire_prefix */
	WIRE_TLV_INTRODUCER = 36, /* empty: the host is the one who speaks */
	WIRE_TLV_VERDICT = 37, /* be16: 0 for yes */
	WIRE_TLV_TEXT = 38, /* one line: why not */
	WIRE_TLV_PROOF = 39, /* 16 bytes */
	WIRE_TLV_AFTER = 40, /* a public key: hosts with greater ones are asked for */
	WIRE_TLV_BRIDGE = 41, /* text */
	WIRE_TLV_SUBNET = 42, /* struct wire_prefix */
	WIRE_TLV_PACKET = 48, /* struct wire_probe_packet, then source and destination address */
	WIRE_TLV_LINK = 49, /* destination and source MAC */
	WIRE_TLV_RESULT = 50, /* struct wire_probe_result, then the name of a drop */
	WIRE_TLV_LIMITS = 51, /* be16 each: the tunnel's MTU towards the receiver, the TAP's */
	WIRE_TLV_TRAFFIC = 52, /* be64 each: messages received, lost, sent */
	WIRE_TLV_DROPS = 53, /* be64: how many, then the name of a drop; as often as needed */
};
#define WIRE_HELLO_VERSION 1

/* Features of hello: each counts when both have it. */
#define WIRE_FEATURE_CHECKSUM_HINT 0x1ULL /* first nibbles 5 and 7, and the bit in frames */
#define WIRE_FEATURE_FRAMES        0x2ULL /* VXLAN headers, VNIS, and announcements */
#define WIRE_FEATURE_ECHO          0x4ULL /* requests are answered */
#define WIRE_FEATURE_PROBE         0x8ULL /* the same */
#define WIRE_FEATURE_INTRODUCE     0x10ULL /* introductions are read; taken of whom is marked */

struct wire_prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t len; /* bits; those of the address behind it are 0 */
	/* 4 or 16 bytes of address */
};

/*
 * The VLAN of an address within its network: of the frame's tags those that have an
 * identifier, outer first, the rest 0. Untagged: all 0.
 */
#define WIRE_VLANS_MAX 2
struct wire_vlans {
	struct be16 tag[WIRE_VLANS_MAX]; /* the identifier, and perhaps WIRE_VLANS_SERVICE */
};
#define WIRE_VLANS_SERVICE 0x8000 /* the tag's type is ETHERTYPE_WIRE_QINQ */

struct wire_station {
	struct be64 sequence; /* of its last change */
	uint8_t flags; /* WIRE_STATION_GONE */
	uint8_t family; /* 4, 6, or 0: the MAC itself */
	uint8_t mac[6];
	/* 0, 4 or 16 bytes of address; of an address in a VLAN: its tags, as in wire_vlans */
};
#define WIRE_STATION_GONE 0x01

struct wire_probe_packet {
	uint8_t family; /* 4, 6, or 0: none, and no addresses */
	uint8_t protocol;
	struct be16 len; /* of the IP packet, or what a frame carries */
};

struct wire_probe_result {
	uint8_t stage; /* enum probe_stage */
	uint8_t flags; /* PROBE_* */
};

/*
 * RFC 7348, section 5. Of the reserved bytes two are ours: one bit says that the
 * TCP or UDP checksum of the frame is undone (as the first nibble does for IP
 * packets), and the pad length says where the frame ends.
 */
struct wire_vxlan {
	uint8_t flags; /* 0x08: the VNI is valid */
	uint8_t reserved[2];
	uint8_t hint; /* WIRE_VXLAN_CHECKSUM_UNDONE; other bits are ignored */
	uint8_t vni[3];
	uint8_t pad; /* zero bytes behind the frame: 0 to 15 */
};
#define WIRE_VXLAN_FLAGS           0x08
#define WIRE_VXLAN_CHECKSUM_UNDONE 0x01
#define WIRE_VNI_MAX               0xffffffu /* and not 0 */

/* Plaintext is padded with zeros to a multiple of this, but not over the tunnel MTU. */
#define WIRE_PADDING 16

static inline uint32_t wire_padded_len(uint32_t len, uint32_t mtu)
{
	uint32_t padded = (len + WIRE_PADDING - 1) & ~(uint32_t)(WIRE_PADDING - 1);

	if (padded > mtu)
		padded = mtu > len ? mtu : len;
	return padded;
}

/* ---- Ethernet and below ---- */

#define ETHER_ADDR_SIZE 6
struct wire_ethernet {
	uint8_t destination[ETHER_ADDR_SIZE];
	uint8_t source[ETHER_ADDR_SIZE];
	struct be16 type;
};
struct wire_vlan { /* IEEE 802.1Q: behind the two addresses, before the type */
	struct be16 tpid; /* ETHERTYPE_WIRE_VLAN or ETHERTYPE_WIRE_QINQ */
	struct be16 tci; /* WIRE_VLAN_ID, and the priority above it */
};
#define WIRE_VLAN_ID  0x0fff
#define WIRE_LINK_MAX 22 /* Ethernet header with two tags */
enum {
	ETHERTYPE_WIRE_IPV4 = 0x0800,
	ETHERTYPE_WIRE_ARP = 0x0806,
	ETHERTYPE_WIRE_VLAN = 0x8100,
	ETHERTYPE_WIRE_QINQ = 0x88a8,
	ETHERTYPE_WIRE_IPV6 = 0x86dd,
	ETHERTYPE_WIRE_EXPERIMENT = 0x88b5, /* IEEE 802, local experiments */
};

struct wire_arp { /* RFC 826, Ethernet and IPv4 */
	struct be16 hardware; /* 1 */
	struct be16 protocol; /* 0x0800 */
	uint8_t hardware_len; /* 6 */
	uint8_t protocol_len; /* 4 */
	struct be16 operation;
	uint8_t sender_mac[ETHER_ADDR_SIZE];
	uint8_t sender_ip[4];
	uint8_t target_mac[ETHER_ADDR_SIZE];
	uint8_t target_ip[4];
};
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };

/* The header every frame of a TAP with IFF_VNET_HDR has (virtio 1.2, 5.1.6); host byte order. */
struct wire_vnet {
	uint8_t flags;
	uint8_t gso_type;
	uint16_t hdr_len; /* not to be trusted */
	uint16_t gso_size;
	uint16_t csum_start;
	uint16_t csum_offset;
};
enum { VNET_F_NEEDS_CSUM = 1, VNET_F_DATA_VALID = 2 };
enum {
	VNET_GSO_NONE = 0,
	VNET_GSO_TCPV4 = 1,
	VNET_GSO_UDP = 3, /* UFO: never offered */
	VNET_GSO_TCPV6 = 4,
	VNET_GSO_UDP_L4 = 5, /* USO */
	VNET_GSO_ECN = 0x80, /* a bit beside the type */
};

/* ---- IP and above ---- */

struct wire_ipv4 { /* RFC 791 */
	uint8_t version_ihl;
	uint8_t tos;
	struct be16 total_len;
	struct be16 id;
	struct be16 fragment; /* flags and offset */
	uint8_t ttl;
	uint8_t protocol;
	struct be16 checksum;
	uint8_t source[4];
	uint8_t destination[4];
};
enum { IPV4_DF = 0x4000, IPV4_MF = 0x2000, IPV4_OFFSET = 0x1fff };

struct wire_ipv6 { /* RFC 8200 */
	struct be32 version_class_flow;
	struct be16 payload_len;
	uint8_t next_header;
	uint8_t hop_limit;
	uint8_t source[16];
	uint8_t destination[16];
};

struct wire_ipv6_fragment {
	uint8_t next_header;
	uint8_t reserved;
	struct be16 offset_more; /* 13 bits offset, 2 reserved, 1 more */
	struct be32 id;
};

struct wire_tcp { /* RFC 9293 */
	struct be16 source;
	struct be16 destination;
	struct be32 sequence;
	struct be32 acknowledgement;
	uint8_t offset; /* upper nibble, in words */
	uint8_t flags;
	struct be16 window;
	struct be16 checksum;
	struct be16 urgent;
};
enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
	TCP_ECE = 0x40,
	TCP_CWR = 0x80,
};
enum {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_MD5 = 19, /* RFC 2385 */
	TCP_OPTION_AO = 29, /* RFC 5925 */
};

struct wire_udp { /* RFC 768 */
	struct be16 source;
	struct be16 destination;
	struct be16 length;
	struct be16 checksum;
};

enum { /* ports, RFC 2131, RFC 8415 */
       DHCPV4_SERVER = 67,
       DHCPV4_CLIENT = 68,
       DHCPV6_SERVER = 547,
       DHCPV6_CLIENT = 546,
};

struct wire_icmp { /* RFC 792, RFC 4443 */
	uint8_t type;
	uint8_t code;
	struct be16 checksum;
	struct be32 rest;
};
enum {
	ICMPV4_ECHO_REPLY = 0,
	ICMPV4_ECHO = 8,
	ICMPV4_UNREACHABLE = 3,
	ICMPV4_FRAG_NEEDED = 4, /* code */
	ICMPV4_REDIRECT = 5,
	ICMPV6_TOO_BIG = 2,
	ICMPV6_ECHO = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_ROUTER_SOLICIT = 133,
	ICMPV6_ROUTER_ADVERT = 134,
	ICMPV6_NEIGH_SOLICIT = 135,
	ICMPV6_NEIGH_ADVERT = 136,
	ICMPV6_REDIRECT = 137,
};

struct wire_nd { /* RFC 4861, 4.3 and 4.4: solicitation and advertisement */
	uint8_t type;
	uint8_t code;
	struct be16 checksum;
	struct be32 flags; /* advertisement: R, S, O in the top three bits */
	uint8_t target[16];
};
#define ND_ROUTER    0x80000000u
#define ND_SOLICITED 0x40000000u
#define ND_OVERRIDE  0x20000000u
enum { ND_OPTION_SOURCE_LINK = 1, ND_OPTION_TARGET_LINK = 2 };

struct wire_nd_link_option { /* RFC 4861, 4.6.1, for Ethernet */
	uint8_t type;
	uint8_t length; /* in units of 8 bytes: 1 */
	uint8_t mac[ETHER_ADDR_SIZE];
};

enum {
	IPPROTO_WIRE_HOPOPTS = 0,
	IPPROTO_WIRE_ICMP = 1,
	IPPROTO_WIRE_TCP = 6,
	IPPROTO_WIRE_UDP = 17,
	IPPROTO_WIRE_ROUTING = 43,
	IPPROTO_WIRE_FRAGMENT = 44,
	IPPROTO_WIRE_AH = 51,
	IPPROTO_WIRE_ICMPV6 = 58,
	IPPROTO_WIRE_NONE = 59,
	IPPROTO_WIRE_DSTOPTS = 60,
};

_Static_assert(sizeof(struct wire_control) == 4, "control header");
_Static_assert(sizeof(struct wire_tlv) == 4, "TLV header");
_Static_assert(sizeof(struct wire_prefix) == 2, "prefix TLV");
_Static_assert(sizeof(struct wire_vxlan) == 8, "VXLAN header");
_Static_assert(sizeof(struct wire_vlans) == 4, "VLAN of a station");
_Static_assert(sizeof(struct wire_station) == 16, "station TLV");
_Static_assert(sizeof(struct wire_probe_packet) == 4, "packet TLV");
_Static_assert(sizeof(struct wire_probe_result) == 2, "result TLV");
_Static_assert(sizeof(struct wire_vlan) == 4, "VLAN tag");
_Static_assert(sizeof(struct wire_ethernet) == 14, "Ethernet header");
_Static_assert(sizeof(struct wire_arp) == 28, "ARP body");
_Static_assert(sizeof(struct wire_vnet) == 10, "virtio header");
_Static_assert(sizeof(struct wire_ipv4) == 20, "IPv4 header");
_Static_assert(sizeof(struct wire_ipv6) == 40, "IPv6 header");
_Static_assert(sizeof(struct wire_ipv6_fragment) == 8, "IPv6 fragment header");
_Static_assert(sizeof(struct wire_tcp) == 20, "TCP header");
_Static_assert(sizeof(struct wire_udp) == 8, "UDP header");
_Static_assert(sizeof(struct wire_icmp) == 8, "ICMP header");
_Static_assert(sizeof(struct wire_nd) == 24, "ND message");
_Static_assert(sizeof(struct wire_nd_link_option) == 8, "ND link-layer option");

#endif
