/* SPDX-License-Identifier: MIT */
/*
 * Bounds-checked parsing. All lengths are held in 32 bits: an IPv6 packet with
 * the largest payload length is 65,575 bytes long, more than 16 bits hold.
 *
 * IPv6 extension headers are walked to the transport header, past the fragment
 * header of a first fragment too, so that what a filter looks for cannot hide
 * behind one. A first fragment must hold the whole chain (RFC 7112).
 */
#include "dataplane/packet.h"

/* A longer chain is nobody's but an attacker's: each header costs a step. */
#define EXTENSIONS_MAX 8

/* RFC 4861, 4.1 and 4.2: where the options begin. */
#define ROUTER_SOLICIT_LEN 8
#define ROUTER_ADVERT_LEN  16

/* ---- IP ---- */

/* Checks the transport header at pkt->l4 and finds its payload. */
static bool parse_l4(struct packet *pkt)
{
	const uint8_t *l4 = pkt->data + pkt->l4;
	uint32_t len = pkt->len - pkt->l4;
	uint32_t header_len;
	uint32_t l4_len = len;

	pkt->payload = pkt->l4;
	if (pkt->proto == IPPROTO_WIRE_TCP) {
		if (len < sizeof(struct wire_tcp))
			return false;
		header_len = (l4[offsetof(struct wire_tcp, offset)] >> 4) * 4u;
		if (header_len < sizeof(struct wire_tcp) || header_len > len)
			return false;
	} else if (pkt->proto == IPPROTO_WIRE_UDP) {
		header_len = sizeof(struct wire_udp);
		if (len < header_len)
			return false;
		l4_len = load_be16(l4 + offsetof(struct wire_udp, length));
		if (l4_len < header_len || l4_len > len)
			return false;
	} else {
		return true;
	}
	pkt->payload = (uint16_t)(pkt->l4 + header_len);
	if (l4_len == len)
		pkt->flags |= PACKET_L4;
	return true;
}

/* All but the last are multiples of 8 bytes, and none ends beyond the largest packet. */
static bool fragment_ok(uint32_t offset, uint32_t len, bool more)
{
	return offset + len <= UINT16_MAX && (!more || len % 8 == 0);
}

static bool parse_ipv4(uint8_t *data, uint32_t len, struct packet *pkt)
{
	const struct wire_ipv4 *ip = (const struct wire_ipv4 *)data;
	uint32_t header_len;
	uint32_t offset;
	uint16_t fragment;

	if (len < sizeof(*ip))
		return false;
	header_len = (ip->version_ihl & 0xfu) * 4;
	pkt->len = load_be16(&ip->total_len);
	if (header_len < sizeof(*ip) || header_len > pkt->len || pkt->len > len)
		return false;

	fragment = load_be16(&ip->fragment);
	offset = (fragment & IPV4_OFFSET) * 8u;
	if (!fragment_ok(offset, pkt->len - header_len, fragment & IPV4_MF) ||
	    offset + pkt->len > UINT16_MAX)
		return false; /* the latter: reassembled, no IPv4 packet holds it */

	pkt->data = data;
	pkt->family = 4;
	pkt->proto = ip->protocol;
	pkt->tos = ip->tos;
	pkt->flags = fragment & IPV4_DF ? PACKET_DF : 0;
	if (header_len > sizeof(*ip))
		pkt->flags |= PACKET_OPTIONS;
	pkt->source = ip->source;
	pkt->destination = ip->destination;
	pkt->l4 = (uint16_t)header_len;
	pkt->payload = (uint16_t)header_len;
	if (!(fragment & (IPV4_MF | IPV4_OFFSET)))
		return parse_l4(pkt);
	pkt->flags |= PACKET_FRAGMENT;
	if (offset)
		pkt->l4 = 0;
	return true;
}

/* Length of the extension header at @at, which has at least 8 bytes to read. */
static uint32_t extension_len(uint8_t type, const uint8_t *at)
{
	switch (type) {
	case IPPROTO_WIRE_FRAGMENT:
		return sizeof(struct wire_ipv6_fragment);
	case IPPROTO_WIRE_AH: /* RFC 4302, 2.2: in words, less two */
		return (at[1] + 2u) * 4;
	default:
		return (at[1] + 1u) * 8;
	}
}

static bool is_extension(uint8_t type)
{
	return type == IPPROTO_WIRE_HOPOPTS || type == IPPROTO_WIRE_ROUTING ||
	       type == IPPROTO_WIRE_FRAGMENT || type == IPPROTO_WIRE_AH ||
	       type == IPPROTO_WIRE_DSTOPTS;
}

/*
 * Walks the chain; on success pkt->proto and pkt->l4 are set. *@opaque: the
 * transport header is not ours to touch. A routing header that names further
 * stops hides the final destination, which the transport checksum covers; an
 * authentication header covers all of it.
 */
static bool parse_extensions(struct packet *pkt, bool *opaque)
{
	uint8_t type = pkt->data[offsetof(struct wire_ipv6, next_header)];
	uint32_t at = sizeof(struct wire_ipv6);

	for (unsigned int n = 0; is_extension(type); n++) {
		const uint8_t *header = pkt->data + at;
		uint32_t len;

		if (n == EXTENSIONS_MAX || pkt->len - at < 8)
			return false;
		if (type == IPPROTO_WIRE_HOPOPTS && n > 0)
			return false; /* RFC 8200, 4.1: right behind the IPv6 header only */
		len = extension_len(type, header);
		if (len > pkt->len - at)
			return false;
		at += len;
		pkt->flags |= PACKET_OPTIONS;
		if (type == IPPROTO_WIRE_AH || (type == IPPROTO_WIRE_ROUTING && header[3] != 0))
			*opaque = true;
		if (type == IPPROTO_WIRE_FRAGMENT) {
			uint16_t offset_more = load_be16(header + 2);

			if (pkt->flags & PACKET_FRAGMENT ||
			    !fragment_ok(offset_more & 0xfff8, pkt->len - at, offset_more & 1))
				return false;
			pkt->flags |= PACKET_FRAGMENT;
			if (offset_more & 0xfff8) {
				pkt->proto = header[0];
				pkt->l4 = 0;
				pkt->payload = (uint16_t)at;
				return true;
			}
		}
		type = header[0];
	}
	pkt->proto = type;
	pkt->l4 = (uint16_t)at;
	pkt->payload = (uint16_t)at;
	return true;
}

static bool parse_ipv6(uint8_t *data, uint32_t len, struct packet *pkt)
{
	const struct wire_ipv6 *ip = (const struct wire_ipv6 *)data;
	bool opaque = false;

	if (len < sizeof(*ip))
		return false;
	/* A jumbogram says 0 here (RFC 2675) and fails as cut short. */
	pkt->len = (uint32_t)sizeof(*ip) + load_be16(&ip->payload_len);
	if (pkt->len > len)
		return false;

	pkt->data = data;
	pkt->family = 6;
	pkt->tos = (uint8_t)(load_be16(data) >> 4);
	pkt->flags = PACKET_DF;
	pkt->source = ip->source;
	pkt->destination = ip->destination;
	if (!parse_extensions(pkt, &opaque))
		return false;
	if (pkt->flags & PACKET_FRAGMENT)
		return true;
	if (!parse_l4(pkt))
		return false;
	if (opaque)
		pkt->flags &= (uint8_t)~PACKET_L4;
	return true;
}

bool packet_parse_ip(uint8_t *data, uint32_t len, struct packet *pkt)
{
	if (len == 0)
		return false;
	switch (data[0] >> 4) {
	case 4:
		return parse_ipv4(data, len, pkt);
	case 6:
		return parse_ipv6(data, len, pkt);
	default:
		return false;
	}
}

static uint64_t load_word(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

uint32_t packet_flow_hash(const struct packet *pkt)
{
	const uint64_t odd = 0x9e3779b97f4a7c15u;
	uint32_t ports = 0;
	uint64_t hash;

	if (pkt->flags & PACKET_L4)
		memcpy(&ports, pkt->data + pkt->l4, sizeof(ports));
	else if (pkt->proto == IPPROTO_WIRE_TCP || pkt->proto == IPPROTO_WIRE_UDP ||
	         is_extension(pkt->proto))
		return 0;
	hash = (ports + pkt->proto * odd) * odd;
	if (pkt->family == 4) {
		/* Source and destination stand side by side. */
		hash = (hash ^ (hash >> 32) ^ load_word(pkt->source)) * odd;
	} else {
		for (unsigned int i = 0; i < 32; i += 8)
			hash = (hash ^ (hash >> 32) ^ load_word(pkt->source + i)) * odd;
	}
	return (uint32_t)(hash >> 32) >> 8 | 1u << 31;
}

/* ---- addresses ---- */

static bool is_zero(const uint8_t *p, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= p[i];
	return any == 0;
}

static bool ipv4_is_broadcast(const uint8_t *addr)
{
	return load_be32(addr) == UINT32_MAX;
}

/* ::/96 holds the unspecified, the loopback and the long obsolete compatible addresses. */
static bool ipv6_is_martian(const uint8_t *addr)
{
	uint16_t word = load_be16(addr + 10);

	return is_zero(addr, 10) && (word == 0 || word == 0xffff);
}

static bool addr_is_multicast(const uint8_t *addr, uint8_t family)
{
	return family == 4 ? (addr[0] & 0xf0) == 0xe0 : addr[0] == 0xff;
}

static bool is_tag(uint16_t ethertype)
{
	return ethertype == ETHERTYPE_WIRE_VLAN || ethertype == ETHERTYPE_WIRE_QINQ;
}

bool packet_parse_frame(uint8_t *data, uint32_t len, struct frame *frame)
{
	uint32_t at = offsetof(struct wire_ethernet, type), named = 0;

	if (len < sizeof(struct wire_ethernet))
		return false;
	*frame = (struct frame){ .data = data, .len = len, .ethertype = load_be16(data + at) };
	while (is_tag(frame->ethertype)) {
		uint16_t id;

		/* The tag, and the type behind it. */
		if (frame->tags == WIRE_VLANS_MAX || at + sizeof(struct wire_vlan) + 2 > len)
			return false;
		frame->tags++;
		id = load_be16(data + at + offsetof(struct wire_vlan, tci)) & WIRE_VLAN_ID;
		if (id && frame->ethertype == ETHERTYPE_WIRE_QINQ)
			id |= WIRE_VLANS_SERVICE;
		/* Linux takes a priority tag for none, and looks at the tag behind it. */
		if (id)
			store_be16(frame->vlans.tag[named++].b, id);
		at += (uint32_t)sizeof(struct wire_vlan);
		frame->ethertype = load_be16(data + at);
	}
	frame->link_len = (uint16_t)(at + 2);
	return true;
}

bool packet_is_martian(const struct packet *pkt)
{
	const uint8_t *source = pkt->source;
	const uint8_t *destination = pkt->destination;

	if (addr_is_multicast(source, pkt->family))
		return true;
	if (pkt->family == 6)
		return ipv6_is_martian(source) || ipv6_is_martian(destination);
	return source[0] == 0 || source[0] == 127 || ipv4_is_broadcast(source) ||
	       destination[0] == 0 || destination[0] == 127;
}

bool packet_is_multicast(const struct packet *pkt)
{
	if (addr_is_multicast(pkt->destination, pkt->family))
		return true;
	return pkt->family == 4 && ipv4_is_broadcast(pkt->destination);
}

static bool mac_is_unicast(const uint8_t *mac)
{
	return !(mac[0] & 1) && !is_zero(mac, ETHER_ADDR_SIZE);
}

/* ---- ARP and neighbour discovery ---- */

bool packet_parse_arp(const uint8_t *frame, uint32_t len, const struct wire_arp **arp)
{
	const struct wire_ethernet *ethernet = (const struct wire_ethernet *)frame;
	const struct wire_arp *body;
	uint16_t operation;

	if (len < sizeof(*ethernet) + sizeof(*body))
		return false;
	body = (const struct wire_arp *)(frame + sizeof(*ethernet));
	if (load_be16(&ethernet->type) != ETHERTYPE_WIRE_ARP)
		return false;
	if (load_be16(&body->hardware) != 1 || load_be16(&body->protocol) != ETHERTYPE_WIRE_IPV4 ||
	    body->hardware_len != ETHER_ADDR_SIZE || body->protocol_len != 4)
		return false;
	operation = load_be16(&body->operation);
	if (operation != ARP_REQUEST && operation != ARP_REPLY)
		return false;
	if (!mac_is_unicast(body->sender_mac) || addr_is_multicast(body->sender_ip, 4) ||
	    ipv4_is_broadcast(body->sender_ip))
		return false;
	*arp = body;
	return true;
}

/* The link-layer address of option type @wanted, if any. False: malformed options. */
static bool parse_nd_options(const uint8_t *at, uint32_t len, uint8_t wanted, const uint8_t **link)
{
	*link = NULL;
	while (len > 0) {
		const struct wire_nd_link_option *option = (const struct wire_nd_link_option *)at;
		uint32_t option_len;

		if (len < sizeof(*option))
			return false;
		option_len = option->length * 8u;
		if (option_len == 0 || option_len > len)
			return false;
		if (option->type == wanted && !*link) {
			if (option->length != 1 || !mac_is_unicast(option->mac))
				return false;
			*link = option->mac;
		}
		at += option_len;
		len -= option_len;
	}
	return true;
}

/* RFC 4291, 2.7.1: ff02::1:ff00:0/104 */
static bool is_solicited_node(const uint8_t *addr)
{
	static const uint8_t prefix[13] = { 0xff, 0x02, [11] = 0x01, [12] = 0xff };

	return memcmp(addr, prefix, sizeof(prefix)) == 0;
}

static bool nd_addresses_ok(const struct packet *pkt, const struct packet_nd *nd)
{
	bool unspecified = is_zero(pkt->source, 16);

	if (addr_is_multicast(pkt->source, 6) || addr_is_multicast(nd->target, 6))
		return false;
	if (nd->type == ICMPV6_NEIGH_SOLICIT)
		return !unspecified || (is_solicited_node(pkt->destination) && !nd->link);
	if (unspecified)
		return false;
	return !(nd->flags & ND_SOLICITED) || !addr_is_multicast(pkt->destination, 6);
}

static bool icmpv6_checksum_ok(const struct packet *pkt)
{
	uint32_t len = pkt->len - pkt->l4;
	uint64_t sum = checksum_pseudo(pkt, IPPROTO_WIRE_ICMPV6, len);

	return checksum_fold(checksum_add(sum, pkt->data + pkt->l4, len)) == 0;
}

bool packet_parse_nd(const struct packet *pkt, struct packet_nd *nd)
{
	const struct wire_nd *message;
	uint32_t len;
	uint8_t wanted;

	if (pkt->family != 6 || pkt->proto != IPPROTO_WIRE_ICMPV6 || pkt->flags & PACKET_FRAGMENT)
		return false;
	len = pkt->len - pkt->l4;
	if (len < sizeof(*message))
		return false;
	message = (const struct wire_nd *)(pkt->data + pkt->l4);
	if (message->type != ICMPV6_NEIGH_SOLICIT && message->type != ICMPV6_NEIGH_ADVERT)
		return false;
	if (message->code != 0 || pkt->data[offsetof(struct wire_ipv6, hop_limit)] != 255)
		return false;
	if (!icmpv6_checksum_ok(pkt))
		return false;

	nd->type = message->type;
	nd->flags = nd->type == ICMPV6_NEIGH_ADVERT ? load_be32(&message->flags) : 0;
	memcpy(nd->target, message->target, sizeof(nd->target));
	wanted = nd->type == ICMPV6_NEIGH_SOLICIT ? ND_OPTION_SOURCE_LINK : ND_OPTION_TARGET_LINK;
	if (!parse_nd_options((const uint8_t *)message + sizeof(*message),
	                      len - (uint32_t)sizeof(*message), wanted, &nd->link))
		return false;
	return nd_addresses_ok(pkt, nd);
}

bool packet_parse_router(const struct packet *pkt, const uint8_t **link)
{
	const uint8_t *message = pkt->data + pkt->l4;
	uint32_t len = pkt->len - pkt->l4;
	bool solicit;
	uint32_t fixed;

	*link = NULL;
	if (pkt->family != 6 || pkt->proto != IPPROTO_WIRE_ICMPV6 || pkt->flags & PACKET_FRAGMENT ||
	    len < sizeof(struct wire_icmp))
		return false;
	solicit = message[0] == ICMPV6_ROUTER_SOLICIT;
	fixed = solicit ? ROUTER_SOLICIT_LEN : ROUTER_ADVERT_LEN;
	if ((!solicit && message[0] != ICMPV6_ROUTER_ADVERT) || len < fixed || message[1] != 0 ||
	    pkt->data[offsetof(struct wire_ipv6, hop_limit)] != 255 || !icmpv6_checksum_ok(pkt))
		return false;
	if (!parse_nd_options(message + fixed, len - fixed, ND_OPTION_SOURCE_LINK, link))
		return false;
	if (solicit)
		return !*link || !is_zero(pkt->source, 16);
	return pkt->source[0] == 0xfe && (pkt->source[1] & 0xc0) == 0x80;
}

/* The ICMP type, or -1 when the packet does not show one. */
static int icmp_type(const struct packet *pkt)
{
	if (pkt->l4 == 0 || pkt->l4 >= pkt->len)
		return -1;
	return pkt->data[pkt->l4];
}

bool packet_is_discovery(const struct packet *pkt)
{
	int type = icmp_type(pkt);

	return pkt->family == 6 && pkt->proto == IPPROTO_WIRE_ICMPV6 &&
	       type >= ICMPV6_ROUTER_SOLICIT && type <= ICMPV6_REDIRECT;
}

bool packet_is_redirect(const struct packet *pkt)
{
	return pkt->family == 4 && pkt->proto == IPPROTO_WIRE_ICMP &&
	       icmp_type(pkt) == ICMPV4_REDIRECT;
}

bool packet_is_dhcp_answer(const struct packet *pkt)
{
	const struct wire_udp *udp = (const struct wire_udp *)(pkt->data + pkt->l4);
	bool v4 = pkt->family == 4;

	/* A first fragment's transport was not parsed: its ports may be cut off. */
	if (pkt->proto != IPPROTO_WIRE_UDP || pkt->l4 == 0 || pkt->len - pkt->l4 < 4u)
		return false;
	/* Clients look at the port it comes to; from which it comes is the server's choice. */
	return load_be16(&udp->destination) == (v4 ? DHCPV4_CLIENT : DHCPV6_CLIENT);
}

/* ---- errors about packets ---- */

/* An ICMP error, or not to be told from one. */
static bool is_icmp_error(const struct packet *pkt)
{
	int type = icmp_type(pkt);

	if (pkt->family == 6)
		return pkt->proto == IPPROTO_WIRE_ICMPV6 && (type < 128 || type == ICMPV6_REDIRECT);
	if (pkt->proto != IPPROTO_WIRE_ICMP)
		return false;
	/* unreachable, source quench, redirect, time exceeded, parameter problem */
	return type < 0 || (type >= 3 && type <= 5) || type == 11 || type == 12;
}

bool packet_may_answer(const struct packet *pkt)
{
	if (pkt->flags & PACKET_FRAGMENT && pkt->l4 == 0)
		return false;
	return !packet_is_martian(pkt) && !packet_is_multicast(pkt) && !is_icmp_error(pkt);
}

#define QUOTE_MAX_IPV4 (576 - sizeof(struct wire_ipv4) - sizeof(struct wire_icmp)) /* RFC 1812 */
#define QUOTE_MAX_IPV6 (1280 - sizeof(struct wire_ipv6) - sizeof(struct wire_icmp)) /* RFC 4443 */
#define ERROR_TTL      64
#define ERROR_TOS      0xc0 /* internetwork control, RFC 1812, 4.3.2.5 */

static uint32_t make_ipv4_error(const struct packet *pkt, uint32_t mtu, uint8_t *out)
{
	uint32_t quote = pkt->len < QUOTE_MAX_IPV4 ? pkt->len : (uint32_t)QUOTE_MAX_IPV4;
	uint32_t icmp_len = (uint32_t)sizeof(struct wire_icmp) + quote;
	uint32_t len = (uint32_t)sizeof(struct wire_ipv4) + icmp_len;
	struct wire_ipv4 *ip = (struct wire_ipv4 *)out;
	struct wire_icmp *icmp = (struct wire_icmp *)(out + sizeof(*ip));

	memset(out, 0, sizeof(*ip) + sizeof(*icmp));
	ip->version_ihl = 0x45;
	ip->tos = ERROR_TOS;
	store_be16(&ip->total_len, (uint16_t)len);
	store_be16(&ip->fragment, IPV4_DF);
	ip->ttl = ERROR_TTL;
	ip->protocol = IPPROTO_WIRE_ICMP;
	memcpy(ip->source, pkt->destination, sizeof(ip->source));
	memcpy(ip->destination, pkt->source, sizeof(ip->destination));
	packet_ipv4_checksum_fill(out);

	icmp->type = ICMPV4_UNREACHABLE;
	icmp->code = ICMPV4_FRAG_NEEDED;
	store_be32(&icmp->rest, mtu < UINT16_MAX ? mtu : UINT16_MAX);
	memcpy(out + sizeof(*ip) + sizeof(*icmp), pkt->data, quote);
	store_be16(&icmp->checksum, checksum_fold(checksum_add(0, icmp, icmp_len)));
	return len;
}

static uint32_t make_ipv6_error(const struct packet *pkt, uint32_t mtu, uint8_t *out)
{
	uint32_t quote = pkt->len < QUOTE_MAX_IPV6 ? pkt->len : (uint32_t)QUOTE_MAX_IPV6;
	uint32_t icmp_len = (uint32_t)sizeof(struct wire_icmp) + quote;
	struct wire_ipv6 *ip = (struct wire_ipv6 *)out;
	struct wire_icmp *icmp = (struct wire_icmp *)(out + sizeof(*ip));
	struct packet error = { .data = out, .family = 6 };
	uint64_t sum;

	memset(out, 0, sizeof(*ip) + sizeof(*icmp));
	store_be32(&ip->version_class_flow, 6u << 28);
	store_be16(&ip->payload_len, (uint16_t)icmp_len);
	ip->next_header = IPPROTO_WIRE_ICMPV6;
	ip->hop_limit = ERROR_TTL;
	memcpy(ip->source, pkt->destination, sizeof(ip->source));
	memcpy(ip->destination, pkt->source, sizeof(ip->destination));

	icmp->type = ICMPV6_TOO_BIG;
	/* Nobody goes below IPv6's least MTU for being told so. */
	store_be32(&icmp->rest, mtu > PACKET_IPV6_MTU_MIN ? mtu : PACKET_IPV6_MTU_MIN);
	memcpy(out + sizeof(*ip) + sizeof(*icmp), pkt->data, quote);
	error.source = ip->source;
	error.destination = ip->destination;
	sum = checksum_pseudo(&error, IPPROTO_WIRE_ICMPV6, icmp_len);
	store_be16(&icmp->checksum, checksum_fold(checksum_add(sum, icmp, icmp_len)));
	return (uint32_t)sizeof(*ip) + icmp_len;
}

uint32_t packet_make_too_big(const struct packet *pkt, uint32_t mtu, uint8_t *out)
{
	if (!packet_may_answer(pkt))
		return 0;
	return pkt->family == 4 ? make_ipv4_error(pkt, mtu, out) : make_ipv6_error(pkt, mtu, out);
}
