/* SPDX-License-Identifier: MIT */
#include "dataplane/header.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What is left to look at, and how far the headers went. */
struct rest {
	const uint8_t *data;
	uint32_t len;
	uint32_t taken;
};

/* The next @n bytes, or NULL: they are not all there, and nothing behind them is a header. */
static const uint8_t *take(struct rest *rest, uint32_t n)
{
	const uint8_t *p = rest->data;

	if (rest->len < n || rest->taken + n > HEADER_MAX) {
		rest->len = 0;
		return NULL;
	}
	rest->data += n;
	rest->len -= n;
	rest->taken += n;
	return p;
}

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void parse_transport(struct header *header, struct rest *rest)
{
	const uint8_t *p;

	switch (header->proto) {
	case IPPROTO_WIRE_TCP:
		p = take(rest, sizeof(struct wire_tcp));
		if (p)
			header->tcp_flags = p[offsetof(struct wire_tcp, flags)];
		break;
	case IPPROTO_WIRE_UDP:
		p = take(rest, sizeof(struct wire_udp));
		break;
	case IPPROTO_WIRE_ICMP:
	case IPPROTO_WIRE_ICMPV6:
		p = take(rest, sizeof(struct wire_icmp));
		if (p) {
			header->has_icmp = true;
			header->icmp_type = p[0];
			header->icmp_code = p[1];
		}
		return;
	default:
		return;
	}
	if (!p)
		return;
	header->has_ports = true;
	header->source_port = be16_at(p);
	header->destination_port = be16_at(p + 2);
}

static void parse_ipv4(struct header *header, struct rest *rest)
{
	const uint8_t *p = take(rest, sizeof(struct wire_ipv4));
	uint32_t options;

	if (!p || p[0] >> 4 != 4)
		return;
	header->family = 4;
	header->ip_len = be16_at(p + offsetof(struct wire_ipv4, total_len));
	header->ttl = p[offsetof(struct wire_ipv4, ttl)];
	header->proto = p[offsetof(struct wire_ipv4, protocol)];
	header->is_fragment = be16_at(p + offsetof(struct wire_ipv4, fragment)) & IPV4_OFFSET;
	memcpy(header->source, p + offsetof(struct wire_ipv4, source), 4);
	memcpy(header->destination, p + offsetof(struct wire_ipv4, destination), 4);
	options = (p[0] & 0x0fu) * 4;
	options = options > sizeof(struct wire_ipv4) ? options - (uint32_t)sizeof(struct wire_ipv4)
	                                             : 0;
	if (!header->is_fragment && take(rest, options))
		parse_transport(header, rest);
}

static void parse_ipv6(struct header *header, struct rest *rest)
{
	const uint8_t *p = take(rest, sizeof(struct wire_ipv6));

	if (!p || p[0] >> 4 != 6)
		return;
	header->family = 6;
	header->ip_len = be16_at(p + offsetof(struct wire_ipv6, payload_len)) +
	                 (uint32_t)sizeof(struct wire_ipv6);
	header->proto = p[offsetof(struct wire_ipv6, next_header)];
	header->ttl = p[offsetof(struct wire_ipv6, hop_limit)];
	memcpy(header->source, p + offsetof(struct wire_ipv6, source), 16);
	memcpy(header->destination, p + offsetof(struct wire_ipv6, destination), 16);
	if (header->proto == IPPROTO_WIRE_FRAGMENT) {
		p = take(rest, sizeof(struct wire_ipv6_fragment));
		if (!p)
			return;
		header->proto = p[0];
		header->is_fragment = be16_at(p + 2) >> 3;
		if (header->is_fragment)
			return;
	}
	parse_transport(header, rest);
}

static void parse_arp(struct header *header, struct rest *rest)
{
	const uint8_t *p = take(rest, sizeof(struct wire_arp));

	if (!p)
		return;
	header->is_arp = true;
	header->operation = be16_at(p + offsetof(struct wire_arp, operation));
	header->family = 4;
	memcpy(header->source, p + offsetof(struct wire_arp, sender_ip), 4);
	memcpy(header->destination, p + offsetof(struct wire_arp, target_ip), 4);
}

static void parse_ethernet(struct header *header, struct rest *rest)
{
	const uint8_t *p = take(rest, sizeof(struct wire_ethernet));

	if (!p)
		return;
	header->has_ethernet = true;
	memcpy(header->mac_destination, p, ETHER_ADDR_SIZE);
	memcpy(header->mac_source, p + ETHER_ADDR_SIZE, ETHER_ADDR_SIZE);
	header->ethertype = be16_at(p + offsetof(struct wire_ethernet, type));
	while (header->vlan_count < WIRE_VLANS_MAX && (header->ethertype == ETHERTYPE_WIRE_VLAN ||
	                                               header->ethertype == ETHERTYPE_WIRE_QINQ)) {
		p = take(rest, sizeof(struct wire_vlan));
		if (!p)
			return;
		header->vlans[header->vlan_count++] = be16_at(p) & WIRE_VLAN_ID;
		header->ethertype = be16_at(p + 2);
	}
	if (header->ethertype == ETHERTYPE_WIRE_IPV4)
		parse_ipv4(header, rest);
	else if (header->ethertype == ETHERTYPE_WIRE_IPV6)
		parse_ipv6(header, rest);
	else if (header->ethertype == ETHERTYPE_WIRE_ARP)
		parse_arp(header, rest);
}

static void parse_plaintext(struct header *header, struct rest *rest)
{
	const uint8_t *p;

	if (!rest->len)
		return;
	switch (WIRE_KIND(rest->data[0])) {
	case WIRE_KIND_VXLAN:
		p = take(rest, sizeof(struct wire_vxlan));
		if (!p)
			break;
		header->has_vni = true;
		header->vni = (uint32_t)p[4] << 16 | (uint32_t)p[5] << 8 | p[6];
		parse_ethernet(header, rest);
		break;
	case WIRE_KIND_CONTROL:
		p = take(rest, sizeof(struct wire_control));
		header->is_control = p;
		header->control = p ? p[1] : 0;
		break;
	case WIRE_KIND_IPV4:
		parse_ipv4(header, rest);
		break;
	case WIRE_KIND_IPV6:
		parse_ipv6(header, rest);
		break;
	default:
		break;
	}
}

/* Of a handshake message its type and indices alone, and no byte that was a secret's. */
static void parse_datagram(struct header *header, struct rest *rest)
{
	const uint8_t *p = take(rest, 8);
	uint32_t type = p ? load_le32(p) : 0;

	if (type < MESSAGE_INITIATION || type > MESSAGE_DATA)
		return;
	header->message = (uint8_t)type;
	if (type == MESSAGE_RESPONSE)
		p = take(rest, 4);
	else if (type != MESSAGE_INITIATION)
		p += 4;
	if (p && type != MESSAGE_INITIATION)
		header->receiver = load_le32(p);
	if (type != MESSAGE_DATA)
		return;
	p = take(rest, 8);
	if (p)
		header->counter = load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

void header_parse(struct header *header, enum header_kind kind, const uint8_t *data, uint32_t len)
{
	struct rest rest = { .data = data, .len = len };

	memset(header, 0, sizeof(*header));
	switch (kind) {
	case HEADER_NONE:
		return;
	case HEADER_DATAGRAM:
		parse_datagram(header, &rest);
		break;
	case HEADER_PLAINTEXT:
		parse_plaintext(header, &rest);
		break;
	case HEADER_FRAME:
		parse_ethernet(header, &rest);
		break;
	}
	header->len = rest.taken;
}

/* The text so far; what does not fit is left out. */
struct line {
	char *text;
	size_t used;
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct line *line, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line->text + line->used, HEADER_TEXT - line->used, format, args);
	va_end(args);
	if (n > 0)
		line->used += (size_t)n;
	if (line->used >= HEADER_TEXT)
		line->used = HEADER_TEXT - 1;
}

static void put_end(struct line *line, const struct header *header, const uint8_t *addr,
                    uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	(void)inet_ntop(header->family == 4 ? AF_INET : AF_INET6, addr, text, sizeof(text));
	if (!header->has_ports)
		put(line, "%s", text);
	else if (header->family == 4)
		put(line, "%s:%u", text, (unsigned int)port);
	else
		put(line, "[%s]:%u", text, (unsigned int)port);
}

static void put_tcp(struct line *line, uint8_t flags)
{
	static const char letters[] = "FSRP.UEW"; /* from the lowest bit on, as tcpdump has them */

	put(line, "TCP [");
	for (unsigned int i = 0; i < 8; i++)
		if (flags & (1u << i))
			put(line, "%c", letters[i]);
	put(line, "]");
}

static void put_ip(struct line *line, const struct header *header)
{
	put(line, "IPv%u ", (unsigned int)header->family);
	put_end(line, header, header->source, header->source_port);
	put(line, " > ");
	put_end(line, header, header->destination, header->destination_port);
	put(line, " ");
	if (header->proto == IPPROTO_WIRE_TCP && header->has_ports)
		put_tcp(line, header->tcp_flags);
	else if (header->proto == IPPROTO_WIRE_TCP)
		put(line, "TCP");
	else if (header->proto == IPPROTO_WIRE_UDP)
		put(line, "UDP");
	else if (header->has_icmp)
		put(line, "%s type %u code %u",
		    header->proto == IPPROTO_WIRE_ICMP ? "ICMP" : "ICMPv6",
		    (unsigned int)header->icmp_type, (unsigned int)header->icmp_code);
	else
		put(line, "protocol %u", (unsigned int)header->proto);
	put(line, "%s, TTL %u, %u bytes", header->is_fragment ? " fragment" : "",
	    (unsigned int)header->ttl, header->ip_len);
}

static void put_mac(struct line *line, const uint8_t mac[ETHER_ADDR_SIZE])
{
	put(line, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void put_ethernet(struct line *line, const struct header *header)
{
	if (header->has_vni)
		put(line, "VNI %u, ", header->vni);
	put_mac(line, header->mac_source);
	put(line, " > ");
	put_mac(line, header->mac_destination);
	for (unsigned int i = 0; i < header->vlan_count; i++)
		put(line, " VLAN %u", (unsigned int)header->vlans[i]);
	if (!header->family)
		put(line, " ethertype 0x%04x", (unsigned int)header->ethertype);
}

static void put_arp(struct line *line, const struct header *header)
{
	put(line, "ARP %s, ",
	    header->operation == ARP_REQUEST ? "request"
	    : header->operation == ARP_REPLY ? "reply"
	                                     : "of an unknown operation");
	put_end(line, header, header->source, 0);
	put(line, header->operation == ARP_REQUEST ? " asks for " : " tells ");
	put_end(line, header, header->destination, 0);
}

static void put_datagram(struct line *line, const struct header *header)
{
	static const char *const names[] = { "no message of the protocol", "handshake initiation",
		                             "handshake response", "cookie reply", "data" };

	put(line, "%s", names[header->message <= MESSAGE_DATA ? header->message : 0]);
	if (header->message > MESSAGE_INITIATION)
		put(line, " for index %08x", header->receiver);
	if (header->message == MESSAGE_DATA)
		put(line, ", counter %llu", (unsigned long long)header->counter);
}

void header_format(const struct header *header, enum header_kind kind, char text[HEADER_TEXT])
{
	struct line line = { .text = text };

	text[0] = '\0';
	if (kind == HEADER_DATAGRAM) {
		put_datagram(&line, header);
		return;
	}
	if (header->is_control)
		put(&line, "control message of type %u", (unsigned int)header->control);
	if (header->has_ethernet)
		put_ethernet(&line, header);
	if (header->family && header->has_ethernet)
		put(&line, ", ");
	if (header->is_arp)
		put_arp(&line, header);
	else if (header->family)
		put_ip(&line, header);
}
