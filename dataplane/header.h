/* SPDX-License-Identifier: MIT */
/*
 * The headers of anything that was on its way, taken apart for people: of what was
 * dropped, so nothing in it is right. It says how far the headers go, too, which is
 * as far as the flight recorder may look: never into a payload, never at a key.
 */
#ifndef DATAPLANE_HEADER_H
#define DATAPLANE_HEADER_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/wire.h"

/* VXLAN, Ethernet with two tags, IPv4 with 20 bytes of options or IPv6, TCP. */
#define HEADER_MAX  96
#define HEADER_TEXT 320

enum header_kind {
	HEADER_NONE, /* nothing was at hand */
	HEADER_DATAGRAM, /* outer: the payload of UDP */
	HEADER_PLAINTEXT, /* what a session carried */
	HEADER_FRAME, /* Ethernet, of a TAP */
};

struct header {
	uint32_t
		len; /* what of it is headers, HEADER_MAX at the most; what is not there is not told */
	uint8_t message; /* datagram: its type (enum message_type); 0: none of these */
	uint32_t receiver; /* datagram */
	uint64_t counter; /* datagram with data */
	bool is_control; /* plaintext: a control message */
	uint8_t control; /* its type */
	bool has_vni;
	uint32_t vni;
	bool has_ethernet;
	uint8_t mac_destination[ETHER_ADDR_SIZE], mac_source[ETHER_ADDR_SIZE];
	uint16_t ethertype; /* behind the tags */
	unsigned int vlan_count;
	uint16_t vlans[WIRE_VLANS_MAX];
	bool is_arp;
	uint16_t operation; /* of ARP */
	uint8_t family; /* of the addresses, which ARP has, too; 0: there are none */
	uint8_t source[16], destination[16];
	uint8_t proto, ttl;
	uint32_t ip_len; /* as the packet says */
	bool is_fragment; /* and not the first */
	bool has_ports;
	uint16_t source_port, destination_port;
	uint8_t tcp_flags;
	bool has_icmp;
	uint8_t icmp_type, icmp_code;
};

/* Takes any bytes. */
void header_parse(struct header *header, enum header_kind kind, const uint8_t *data, uint32_t len);
/* One line without its end: "IPv4 172.20.1.2:5000 > 172.20.2.3:443 TCP [S], 60 bytes". */
void header_format(const struct header *header, enum header_kind kind, char text[HEADER_TEXT]);

#endif
