/* SPDX-License-Identifier: MIT */
/*
 * The parsers. The first byte chooses: bit 0 ARP instead of IP; bit 1 mends the
 * transport checksum first, which random bytes never have right; bit 2 sets the
 * IP length to that of the input. Whatever parses must keep the promises of
 * dataplane/packet.h.
 */
#include "dataplane/packet.h"
#include "fuzz/fuzz.h"

static void check_offsets(const struct packet *pkt, const uint8_t *data, size_t size)
{
	uint32_t ip_len = pkt->family == 4 ? sizeof(struct wire_ipv4) : sizeof(struct wire_ipv6);

	must(pkt->family == 4 || pkt->family == 6);
	must(pkt->data == data && pkt->len <= size && pkt->len >= ip_len);
	must(pkt->l4 <= pkt->payload && pkt->payload <= pkt->len);
	must(pkt->l4 >= ip_len || (pkt->l4 == 0 && pkt->flags & PACKET_FRAGMENT));
	must(pkt->source + packet_addr_len(pkt) == pkt->destination);
	must(pkt->destination + packet_addr_len(pkt) <= data + pkt->len);
	if (pkt->flags & PACKET_L4) {
		must(!(pkt->flags & PACKET_FRAGMENT));
		must(pkt->proto == IPPROTO_WIRE_TCP || pkt->proto == IPPROTO_WIRE_UDP);
		must(pkt->payload - pkt->l4 >= (pkt->proto == IPPROTO_WIRE_TCP ? 20 : 8));
	}
}

static void mend_checksum(struct packet *pkt)
{
	uint32_t at = pkt->l4;
	uint32_t l4_len = pkt->len - pkt->l4;

	if (pkt->flags & PACKET_L4)
		at += pkt->proto == IPPROTO_WIRE_TCP ? 16 : 6;
	else if (pkt->family == 6 && pkt->proto == IPPROTO_WIRE_ICMPV6 && pkt->l4 && l4_len >= 4)
		at += 2;
	else
		return;
	store_be16(pkt->data + at, 0);
	store_be16(pkt->data + at,
	           checksum_fold(checksum_add(checksum_pseudo(pkt, pkt->proto, l4_len),
	                                      pkt->data + pkt->l4, l4_len)));
	if (pkt->flags & PACKET_L4 && load_be16(pkt->data + at))
		must(packet_l4_checksum_ok(pkt));
}

static void check_error(const struct packet *pkt)
{
	uint8_t *out = malloc(PACKET_ERROR_MAX);
	struct packet error;
	uint32_t len;

	if (!out)
		return;
	len = packet_make_too_big(pkt, 1420, out);
	must(packet_may_answer(pkt) == (len != 0));
	if (len) {
		must(len <= PACKET_ERROR_MAX);
		must(packet_parse_ip(out, len, &error) && error.len == len);
		must(packet_ipv4_checksum_ok(&error) && !packet_may_answer(&error));
		must(!packet_is_discovery(&error));
	}
	free(out);
}

static void check_ip(uint8_t *data, size_t size, bool mend)
{
	struct packet_nd nd;
	struct packet pkt;

	if (!packet_parse_ip(data, (uint32_t)size, &pkt))
		return;
	check_offsets(&pkt, data, size);
	if (mend)
		mend_checksum(&pkt);
	(void)packet_l4_checksum_ok(&pkt);
	if (packet_parse_nd(&pkt, &nd)) {
		must(packet_is_discovery(&pkt));
		must(!nd.link || (nd.link > data && nd.link + ETHER_ADDR_SIZE <= data + pkt.len));
		must(nd.target[0] != 0xff);
	}
	check_error(&pkt);
	if (pkt.family == 4) {
		packet_ipv4_checksum_fill(data);
		must(packet_ipv4_checksum_ok(&pkt));
	}
	packet_set_ecn(&pkt, 3);
	must((pkt.tos & 3) == 3 && packet_ipv4_checksum_ok(&pkt));
}

static void check_arp(const uint8_t *data, size_t size)
{
	const struct wire_arp *arp;

	if (!packet_parse_arp(data, (uint32_t)size, &arp))
		return;
	must((const uint8_t *)arp == data + sizeof(struct wire_ethernet));
	must((const uint8_t *)(arp + 1) <= data + size);
	must(!(arp->sender_mac[0] & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t choice;
	uint8_t *copy;

	if (size < 2)
		return 0;
	choice = *data++;
	size--;
	copy = fuzz_copy(data, size);
	if (choice & 1) {
		check_arp(copy, size);
	} else {
		if (choice & 4 && size >= sizeof(struct wire_ipv6) && copy[0] >> 4 == 4)
			store_be16(copy + 2, (uint16_t)size);
		else if (choice & 4 && size >= sizeof(struct wire_ipv6))
			store_be16(copy + 4, (uint16_t)(size - sizeof(struct wire_ipv6)));
		check_ip(copy, size, choice & 2);
	}
	free(copy);
	return 0;
}
