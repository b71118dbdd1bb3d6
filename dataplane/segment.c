/* SPDX-License-Identifier: MIT */
/*
 * One packet of the TAP, at most 64 KiB, becomes the packets that leave:
 *
 *	TCP superframe, over-long TCP segment	cut_tcp
 *	UDP superframe				cut_udp, or fragment each datagram
 *	over-long, may be fragmented (IPv4)	fragment
 *	all else				put_whole
 *
 * Lengths are fixed first (lay_out: does it fit?), then the slots are written
 * front to back; nothing can fail any more by then. What is in front of the
 * packet (VXLAN, Ethernet) and behind it (padding) is finish_slot()'s; all others
 * see the packet alone.
 *
 * A container may ask for any offload (PACKET_VNET_HDR), so a request is held
 * against our own parse. What we write behind the IP headers is only the
 * container's own data; the IP headers were checked before and stay what they
 * were but for lengths, id, fragment offset and checksum.
 */
#include "dataplane/segment.h"

/* A checksum that was left undone: where it goes in the packet, and what it sums up from. */
struct undone {
	uint32_t at; /* 0: none; the field never lies in the IP header */
	uint32_t start;
	bool is_transport; /* the packet's own TCP or UDP header */
};

static uint8_t tcp_flags(const struct packet *pkt)
{
	return pkt->data[pkt->l4 + offsetof(struct wire_tcp, flags)];
}

/* ---- slots ---- */

/* @full and @last: lengths of the packets. Decides stride, count and size. */
static enum segment_verdict lay_out(struct segment_slots *slots, uint32_t count, uint32_t full,
                                    uint32_t last)
{
	uint32_t front = segment_front(slots);
	uint64_t size;

	if (count > SEGMENT_COUNT_MAX)
		return SEGMENT_BAD;
	slots->count = count;
	slots->last = SEGMENT_OVERHEAD + wire_padded_len(front + last, slots->mtu);
	slots->stride = count == 1 ? slots->last
	                           : SEGMENT_OVERHEAD + wire_padded_len(front + full, slots->mtu);
	size = (uint64_t)(count - 1) * slots->stride + slots->last;
	if (size > SEGMENT_ROOM)
		return SEGMENT_BAD;
	return size > slots->room ? SEGMENT_NO_ROOM : SEGMENT_OK;
}

static uint8_t *slot_packet(const struct segment_slots *slots, uint32_t index)
{
	return slots->buf + (size_t)index * slots->stride + SEGMENT_HEADROOM + segment_front(slots);
}

static void put_front(uint8_t *front, const struct segment_slots *slots, uint32_t padding)
{
	struct wire_vxlan vxlan = {
		.flags = WIRE_VXLAN_FLAGS,
		.hint = slots->undone ? WIRE_VXLAN_CHECKSUM_UNDONE : 0,
		.vni = { (uint8_t)(slots->vni >> 16), (uint8_t)(slots->vni >> 8),
		         (uint8_t)slots->vni },
		.pad = (uint8_t)(padding < WIRE_PADDING ? padding : WIRE_PADDING - 1),
	};

	memcpy(front, &vxlan, sizeof(vxlan));
	memcpy(front + sizeof(vxlan), slots->link, slots->link_len);
}

/* Around a packet of @len bytes: the front, the hint, zeros to the slot's end. */
static void finish_slot(const struct segment_slots *slots, uint32_t index, uint32_t len)
{
	uint32_t slot = index + 1 == slots->count ? slots->last : slots->stride;
	uint32_t front = segment_front(slots);
	uint32_t padding = slot - SEGMENT_OVERHEAD - front - len;
	uint8_t *packet = slot_packet(slots, index);

	memset(packet + len, 0, padding);
	if (segment_is_framed(slots))
		put_front(packet - front, slots, padding);
	else if (slots->undone)
		packet[0] += WIRE_HINT_NIBBLE;
}

/* ---- checksums ---- */

/* Whether the receiver can be told that a checksum is undone. */
static bool has_hint(const struct segment_slots *slots)
{
	return slots->framing == SEGMENT_IP_HINT || slots->framing == SEGMENT_FRAME_HINT;
}

/*
 * Whether writing a checksum at @at leaves what was checked as it was: lengths
 * and header sizes of the transport, the type of an ICMP message.
 */
static bool may_write_checksum(const struct packet *pkt, uint32_t start, uint32_t at)
{
	if (pkt->proto == IPPROTO_WIRE_TCP || pkt->proto == IPPROTO_WIRE_UDP)
		return start >= pkt->payload || at == packet_l4_checksum_at(pkt);
	return start >= pkt->l4 && at >= pkt->l4 + 2u;
}

/*
 * Where the checksum goes that @vnet says is missing. It is the transport's own,
 * unless the request points behind the transport header: then the container
 * tunnels, the outer checksum is right already once the inner one is made the
 * way a network card does, from a field that holds the pseudo-header's sum.
 */
static bool find_undone(const struct packet *pkt, const struct wire_vnet *vnet,
                        const struct segment_slots *slots, struct undone *undone)
{
	uint32_t link_len =
		segment_is_framed(slots) ? slots->link_len : (uint32_t)sizeof(struct wire_ethernet);
	uint32_t start = vnet->csum_start;

	if (pkt->flags & PACKET_FRAGMENT)
		return false;
	start -= start < link_len ? start : link_len;
	undone->is_transport = pkt->flags & PACKET_L4 && start <= pkt->l4;
	if (undone->is_transport) {
		undone->start = pkt->l4;
		undone->at = packet_l4_checksum_at(pkt);
		return true;
	}
	undone->start = start;
	undone->at = start + vnet->csum_offset;
	return undone->at + 2 <= pkt->len && may_write_checksum(pkt, start, undone->at);
}

static uint16_t undone_value(const struct packet *pkt, const struct undone *undone)
{
	uint32_t at = undone->at;
	uint16_t value;
	uint64_t sum;

	if (undone->is_transport) {
		sum = checksum_pseudo(pkt, pkt->proto, pkt->len - pkt->l4);
		sum = checksum_add(sum, pkt->data + pkt->l4, at - pkt->l4);
		sum = checksum_add(sum, pkt->data + at + 2, pkt->len - at - 2);
	} else {
		sum = checksum_add(0, pkt->data + undone->start, pkt->len - undone->start);
	}
	value = checksum_fold(sum);
	if (!value && !(undone->is_transport && pkt->proto == IPPROTO_WIRE_TCP))
		value = 0xffff;
	return value;
}

static void finish_tcp_checksum(uint8_t *tcp, uint32_t len, uint64_t pseudo)
{
	uint8_t *field = tcp + offsetof(struct wire_tcp, checksum);

	store_be16(field, 0);
	store_be16(field, checksum_fold(checksum_add(pseudo, tcp, len)));
}

/* Length, id and checksum of a copied IP header for a packet of @len bytes. */
static void set_ip_lengths(uint8_t *ip, uint8_t family, uint32_t len, uint16_t id)
{
	if (family == 4) {
		store_be16(ip + offsetof(struct wire_ipv4, total_len), (uint16_t)len);
		store_be16(ip + offsetof(struct wire_ipv4, id), id);
		packet_ipv4_checksum_fill(ip);
	} else {
		store_be16(ip + offsetof(struct wire_ipv6, payload_len),
		           (uint16_t)(len - sizeof(struct wire_ipv6)));
	}
}

static uint16_t packet_id(const struct packet *pkt)
{
	return pkt->family == 4 ? load_be16(pkt->data + offsetof(struct wire_ipv4, id)) : 0;
}

/* ---- TCP ---- */

struct tcp_options {
	uint32_t mss; /* offset in the packet of the option's value; 0: none */
	bool is_md5;
	bool is_ao;
};

static struct tcp_options scan_tcp_options(const struct packet *pkt)
{
	struct tcp_options found = { 0 };
	uint32_t at = pkt->l4 + (uint32_t)sizeof(struct wire_tcp);

	while (at < pkt->payload && pkt->data[at] != TCP_OPTION_END) {
		uint8_t kind = pkt->data[at];
		uint8_t len;

		if (kind == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		if (at + 2u > pkt->payload)
			break;
		len = pkt->data[at + 1];
		if (len < 2 || at + len > pkt->payload)
			break;
		if (kind == TCP_OPTION_MSS && len == 4)
			found.mss = at + 2;
		found.is_md5 |= kind == TCP_OPTION_MD5;
		found.is_ao |= kind == TCP_OPTION_AO;
		at += len;
	}
	return found;
}

/*
 * Clamps the MSS in @copy, a copy of the SYN @pkt whose checksum is complete.
 * RFC 6691: the MSS leaves out fixed headers only. TCP-AO signs the options,
 * TCP-MD5 does not.
 */
static bool clamp_mss(uint8_t *copy, const struct packet *pkt, uint32_t mtu)
{
	uint32_t headers = (uint32_t)sizeof(struct wire_tcp) +
	                   (pkt->family == 4 ? (uint32_t)sizeof(struct wire_ipv4)
	                                     : (uint32_t)sizeof(struct wire_ipv6));
	struct tcp_options options = scan_tcp_options(pkt);
	uint8_t *field = copy + pkt->l4 + offsetof(struct wire_tcp, checksum);
	uint16_t old_mss;
	uint16_t mss;

	if (!options.mss || options.is_ao || mtu <= headers)
		return false;
	old_mss = load_be16(copy + options.mss);
	if (old_mss <= mtu - headers)
		return false;
	mss = (uint16_t)(mtu - headers);
	store_be16(copy + options.mss, mss);
	if ((options.mss - pkt->l4) % 2) { /* across two words of the sum */
		old_mss = __builtin_bswap16(old_mss);
		mss = __builtin_bswap16(mss);
	}
	store_be16(field, checksum_update(load_be16(field), old_mss, mss));
	return true;
}

/*
 * Whether parts of @pkt other than those its sender asked for would still be
 * what he meant. SYN and RST with data do occur, and do not come in parts.
 */
static bool may_split_tcp(const struct packet *pkt, uint32_t mtu)
{
	struct tcp_options options;

	if (!(pkt->flags & PACKET_L4) || pkt->proto != IPPROTO_WIRE_TCP || pkt->payload >= mtu ||
	    tcp_flags(pkt) & (TCP_SYN | TCP_RST))
		return false;
	options = scan_tcp_options(pkt);
	return !options.is_md5 && !options.is_ao;
}

/* The TCP header of the part at @offset of the payload, copied from the whole. */
static void set_tcp_part(uint8_t *tcp, uint32_t offset, bool is_last)
{
	struct wire_tcp *header = (struct wire_tcp *)tcp;
	uint16_t urgent = load_be16(&header->urgent);

	if (!is_last)
		header->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (offset == 0)
		return;
	header->flags &= (uint8_t)~TCP_CWR;
	store_be32(&header->sequence, load_be32(&header->sequence) + offset);
	if (!(header->flags & TCP_URG))
		return;
	/* The pointer counts from each part's own sequence number. */
	if (urgent > offset) {
		store_be16(&header->urgent, (uint16_t)(urgent - offset));
	} else {
		store_be16(&header->urgent, 0);
		header->flags &= (uint8_t)~TCP_URG;
	}
}

/* Cuts the payload into parts of @part bytes, which fit the MTU with their headers. */
static enum segment_verdict cut_tcp(const struct packet *pkt, uint32_t part,
                                    struct segment_slots *slots)
{
	uint32_t headers = pkt->payload;
	uint32_t payload = pkt->len - headers;
	uint32_t count = payload <= part ? 1 : (payload + part - 1) / part;
	uint32_t last = payload - (count - 1) * part;
	uint16_t id = packet_id(pkt);
	uint64_t pseudo = checksum_pseudo(pkt, IPPROTO_WIRE_TCP, headers + part - pkt->l4);
	enum segment_verdict verdict = lay_out(slots, count, headers + part, headers + last);

	if (verdict != SEGMENT_OK)
		return verdict;
	slots->undone = has_hint(slots);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *copy = slot_packet(slots, i);
		bool is_last = i + 1 == count;
		uint32_t len = headers + (is_last ? last : part);

		if (is_last)
			pseudo = checksum_pseudo(pkt, IPPROTO_WIRE_TCP, len - pkt->l4);
		memcpy(copy, pkt->data, headers);
		memcpy(copy + headers, pkt->data + headers + i * part, len - headers);
		set_ip_lengths(copy, pkt->family, len, (uint16_t)(id + i));
		set_tcp_part(copy + pkt->l4, i * part, is_last);
		if (!slots->undone)
			finish_tcp_checksum(copy + pkt->l4, len - pkt->l4, pseudo);
		finish_slot(slots, i, len);
	}
	return SEGMENT_OK;
}

/* ---- IPv4 fragments ---- */

/* One datagram to fragment: what is behind the IP header lies in two pieces. */
struct datagram {
	uint16_t id;
	const uint8_t *head;
	uint32_t head_len;
	const uint8_t *body;
	uint32_t body_len;
	/* a checksum that goes there, counted from the start of @body */
	bool has_checksum;
	uint32_t checksum_at;
	uint16_t checksum;
};

/* The header of fragments but the first: RFC 791, options without the copy bit go. */
static uint32_t make_later_header(uint8_t out[60], const struct packet *pkt)
{
	uint32_t end = (pkt->data[0] & 0xfu) * 4;
	uint32_t at = sizeof(struct wire_ipv4);
	uint32_t len = sizeof(struct wire_ipv4);

	memset(out, 0, 60);
	memcpy(out, pkt->data, sizeof(struct wire_ipv4));
	while (at < end && pkt->data[at] != 0) {
		uint32_t option_len = 1;

		if (pkt->data[at] != 1) {
			if (at + 2 > end)
				break;
			option_len = pkt->data[at + 1];
			if (option_len < 2 || at + option_len > end)
				break;
			if (pkt->data[at] & 0x80) {
				memcpy(out + len, pkt->data + at, option_len);
				len += option_len;
			}
		}
		at += option_len;
	}
	len = (len + 3) & ~3u;
	out[0] = (uint8_t)(0x40 | len / 4);
	return len;
}

static void copy_datagram(uint8_t *out, const struct datagram *dgram, uint32_t offset, uint32_t len)
{
	uint32_t head = 0;

	if (offset < dgram->head_len) {
		head = dgram->head_len - offset < len ? dgram->head_len - offset : len;
		memcpy(out, dgram->head + offset, head);
	}
	memcpy(out + head, dgram->body + offset + head - dgram->head_len, len - head);
	if (!dgram->has_checksum)
		return;
	/* A nested checksum may lie across two fragments. */
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t at = dgram->checksum_at + i;

		if (at >= offset && at - offset < len)
			out[at - offset] = (uint8_t)(dgram->checksum >> (8 - 8 * i));
	}
}

/* Writes @dgram as fragments of @part bytes into the slots from @index on; their number. */
static uint32_t put_fragments(const struct packet *pkt, const struct datagram *dgram, uint32_t part,
                              struct segment_slots *slots, uint32_t index)
{
	uint8_t later[60];
	uint32_t later_len = make_later_header(later, pkt);
	uint32_t total = dgram->head_len + dgram->body_len;
	uint16_t field = load_be16(pkt->data + offsetof(struct wire_ipv4, fragment));
	uint32_t n = 0;

	for (uint32_t offset = 0; offset < total; offset += part, n++) {
		uint8_t *copy = slot_packet(slots, index + n);
		uint32_t header_len = n == 0 ? (pkt->data[0] & 0xfu) * 4 : later_len;
		uint32_t len = total - offset < part ? total - offset : part;
		uint16_t value = (uint16_t)(field + offset / 8);

		if (offset + len < total)
			value |= IPV4_MF;
		memcpy(copy, n == 0 ? pkt->data : later, header_len);
		store_be16(copy + offsetof(struct wire_ipv4, fragment), value);
		set_ip_lengths(copy, 4, header_len + len, dgram->id);
		copy_datagram(copy + header_len, dgram, offset, len);
		finish_slot(slots, index + n, header_len + len);
	}
	return n;
}

/*
 * Bytes behind the IP header that each fragment of @total such bytes carries: as
 * few fragments as the MTU allows, of nearly equal size, since all slots have
 * the size of the largest. 0: the MTU does not hold a fragment.
 */
static uint32_t fragment_part(const struct packet *pkt, uint32_t total, uint32_t mtu)
{
	uint32_t header_len = (pkt->data[0] & 0xfu) * 4;
	uint32_t most = mtu < header_len ? 0 : (mtu - header_len) & ~7u;
	uint32_t count;

	if (!most)
		return 0;
	count = (total + most - 1) / most;
	return ((total + count - 1) / count + 7) & ~7u;
}

/* Length of the last fragment's packet. */
static uint32_t last_fragment_len(const struct packet *pkt, uint32_t total, uint32_t part)
{
	uint8_t later[60];
	uint32_t header_len = (pkt->data[0] & 0xfu) * 4;

	if (total <= part)
		return header_len + total;
	return make_later_header(later, pkt) + (total - 1) % part + 1;
}

static enum segment_verdict fragment(const struct packet *pkt, const struct undone *undone,
                                     struct segment_slots *slots)
{
	uint32_t header_len = (pkt->data[0] & 0xfu) * 4;
	uint32_t total = pkt->len - header_len;
	uint32_t part = fragment_part(pkt, total, segment_packet_mtu(slots));
	struct datagram dgram = {
		.id = packet_id(pkt),
		.body = pkt->data + header_len,
		.body_len = total,
	};
	enum segment_verdict verdict;

	if (undone->at) {
		dgram.has_checksum = true;
		dgram.checksum_at = undone->at - header_len;
		dgram.checksum = undone_value(pkt, undone);
	}
	verdict = lay_out(slots, (total + part - 1) / part, header_len + part,
	                  last_fragment_len(pkt, total, part));
	if (verdict != SEGMENT_OK)
		return verdict;
	put_fragments(pkt, &dgram, part, slots, 0);
	slots->fragmented = true;
	return SEGMENT_OK;
}

/* ---- UDP superframes ---- */

/* Makes the UDP header of the datagram that carries @len bytes from @payload. */
static void make_udp_header(struct wire_udp *udp, const struct packet *pkt, const uint8_t *payload,
                            uint32_t len, bool undone)
{
	uint32_t udp_len = (uint32_t)sizeof(*udp) + len;
	uint64_t sum;
	uint16_t value;

	memcpy(udp, pkt->data + pkt->l4, sizeof(*udp));
	store_be16(&udp->length, (uint16_t)udp_len);
	store_be16(&udp->checksum, 0);
	if (undone)
		return;
	sum = checksum_pseudo(pkt, IPPROTO_WIRE_UDP, udp_len);
	sum = checksum_add(sum, udp, sizeof(*udp));
	value = checksum_fold(checksum_add(sum, payload, len));
	store_be16(&udp->checksum, value ? value : 0xffff);
}

/* Datagrams of @part bytes of payload, each over the MTU, as IPv4 fragments. */
static enum segment_verdict fragment_udp(const struct packet *pkt, uint32_t part, uint32_t count,
                                         struct segment_slots *slots)
{
	uint32_t header_len = pkt->l4;
	uint32_t total = (uint32_t)sizeof(struct wire_udp) + part;
	uint32_t last = pkt->len - pkt->l4 - (count - 1) * part;
	uint32_t piece = fragment_part(pkt, total, segment_packet_mtu(slots));
	uint32_t slot = 0;
	enum segment_verdict verdict;

	verdict = lay_out(slots,
	                  (count - 1) * ((total + piece - 1) / piece) + (last + piece - 1) / piece,
	                  header_len + piece, last_fragment_len(pkt, last, piece));
	if (verdict != SEGMENT_OK)
		return verdict;
	for (uint32_t i = 0; i < count; i++) {
		struct wire_udp udp;
		struct datagram dgram = {
			.id = (uint16_t)(packet_id(pkt) + i),
			.head = (const uint8_t *)&udp,
			.head_len = sizeof(udp),
			.body = pkt->data + pkt->payload + i * part,
			.body_len = (i + 1 == count ? last : total) - (uint32_t)sizeof(udp),
		};

		make_udp_header(&udp, pkt, dgram.body, dgram.body_len, false);
		slot += put_fragments(pkt, &dgram, piece, slots, slot);
	}
	slots->fragmented = true;
	return SEGMENT_OK;
}

static enum segment_verdict put_udp(const struct packet *pkt, uint32_t part, uint32_t count,
                                    struct segment_slots *slots)
{
	uint32_t headers = pkt->payload;
	uint32_t last = pkt->len - headers - (count - 1) * part;
	uint16_t id = packet_id(pkt);
	enum segment_verdict verdict = lay_out(slots, count, headers + part, headers + last);

	if (verdict != SEGMENT_OK)
		return verdict;
	slots->undone = has_hint(slots);
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *copy = slot_packet(slots, i);
		uint32_t len = i + 1 == count ? last : part;

		memcpy(copy, pkt->data, headers);
		memcpy(copy + headers, pkt->data + headers + i * part, len);
		set_ip_lengths(copy, pkt->family, headers + len, (uint16_t)(id + i));
		make_udp_header((struct wire_udp *)(copy + pkt->l4), pkt, copy + headers, len,
		                slots->undone);
		finish_slot(slots, i, headers + len);
	}
	return SEGMENT_OK;
}

/* ---- which way a packet goes ---- */

/*
 * For a packet of @len bytes, over the MTU, that we may not divide. A link must
 * carry IPv6 packets of 1,280 bytes (RFC 8200, 5), and no error makes senders go
 * below that.
 */
static enum segment_verdict refuse(const struct packet *pkt, uint32_t len)
{
	if (pkt->family == 6 && len <= PACKET_IPV6_MTU_MIN)
		return SEGMENT_OVERSIZE;
	return packet_may_answer(pkt) ? SEGMENT_TOO_BIG : SEGMENT_OVERSIZE;
}

static enum segment_verdict cut_udp(const struct packet *pkt, uint32_t part,
                                    struct segment_slots *slots)
{
	uint32_t payload = pkt->len - pkt->payload;
	uint32_t count = payload <= part ? 1 : (payload + part - 1) / part;
	uint32_t longest = pkt->payload + (count == 1 ? payload : part);
	uint32_t mtu = segment_packet_mtu(slots);
	enum segment_verdict refused;
	enum segment_verdict verdict;

	if (longest <= mtu)
		return put_udp(pkt, part, count, slots);
	if (!(pkt->flags & PACKET_DF) && fragment_part(pkt, longest - pkt->l4, mtu))
		return fragment_udp(pkt, longest - pkt->payload, count, slots);
	refused = refuse(pkt, longest);
	if (refused != SEGMENT_OVERSIZE)
		return refused;
	verdict = put_udp(pkt, part, count, slots);
	return verdict == SEGMENT_OK ? SEGMENT_OVERSIZE : verdict;
}

static enum segment_verdict put_whole(const struct packet *pkt, const struct undone *undone,
                                      struct segment_slots *slots)
{
	enum segment_verdict verdict = lay_out(slots, 1, pkt->len, pkt->len);
	uint8_t *copy = slot_packet(slots, 0);

	if (verdict != SEGMENT_OK)
		return verdict;
	memcpy(copy, pkt->data, pkt->len);
	slots->undone = undone->is_transport && has_hint(slots);
	if (undone->at && !slots->undone)
		store_be16(copy + undone->at, undone_value(pkt, undone));
	/* An undone checksum is mended too, which does no harm: nobody reads it. */
	if (pkt->flags & PACKET_L4 && pkt->proto == IPPROTO_WIRE_TCP && tcp_flags(pkt) & TCP_SYN)
		slots->clamped = clamp_mss(copy, pkt, segment_packet_mtu(slots));
	finish_slot(slots, 0, pkt->len);
	return SEGMENT_OK;
}

/* A packet without a request to be cut. */
static enum segment_verdict take_single(const struct packet *pkt, const struct wire_vnet *vnet,
                                        struct segment_slots *slots)
{
	uint32_t mtu = segment_packet_mtu(slots);
	struct undone undone = { 0 };
	enum segment_verdict verdict;

	if (pkt->len > mtu && may_split_tcp(pkt, mtu)) {
		/* A new checksum must not cover up what the old one would have shown. */
		if (!(vnet->flags & VNET_F_NEEDS_CSUM) && !packet_l4_checksum_ok(pkt))
			return SEGMENT_BAD;
		verdict = cut_tcp(pkt, mtu - pkt->payload, slots);
		slots->cut = verdict == SEGMENT_OK;
		return verdict;
	}
	if (vnet->flags & VNET_F_NEEDS_CSUM && !find_undone(pkt, vnet, slots, &undone))
		return SEGMENT_BAD;
	if (pkt->len <= mtu)
		return put_whole(pkt, &undone, slots);
	if (!(pkt->flags & PACKET_DF) &&
	    fragment_part(pkt, pkt->len - (pkt->data[0] & 0xfu) * 4, mtu))
		return fragment(pkt, &undone, slots);
	verdict = refuse(pkt, pkt->len);
	if (verdict == SEGMENT_OVERSIZE && put_whole(pkt, &undone, slots) != SEGMENT_OK)
		return SEGMENT_NO_ROOM;
	return verdict;
}

static enum segment_verdict take_tcp(const struct packet *pkt, uint32_t gso_size,
                                     struct segment_slots *slots)
{
	uint32_t mtu = segment_packet_mtu(slots);
	uint32_t fits;

	if (tcp_flags(pkt) & (TCP_SYN | TCP_RST))
		return SEGMENT_BAD;
	if (pkt->payload >= mtu)
		return SEGMENT_TOO_BIG;
	fits = mtu - pkt->payload;
	if (gso_size <= fits)
		return cut_tcp(pkt, gso_size, slots);
	return may_split_tcp(pkt, mtu) ? cut_tcp(pkt, fits, slots) : SEGMENT_TOO_BIG;
}

static void begin(struct segment_slots *slots)
{
	slots->count = 0;
	slots->stride = 0;
	slots->last = 0;
	slots->cut = false;
	slots->fragmented = false;
	slots->clamped = false;
	slots->undone = false;
}

enum segment_verdict segment_packet(const struct packet *pkt, const struct wire_vnet *vnet,
                                    struct segment_slots *slots)
{
	uint8_t type = vnet->gso_type & (uint8_t)~VNET_GSO_ECN;
	uint8_t proto = type == VNET_GSO_UDP_L4 ? IPPROTO_WIRE_UDP : IPPROTO_WIRE_TCP;

	begin(slots);
	if (type == VNET_GSO_NONE)
		return take_single(pkt, vnet, slots);
	if (!(pkt->flags & PACKET_L4) || pkt->proto != proto || vnet->gso_size == 0)
		return SEGMENT_BAD;
	switch (type) {
	case VNET_GSO_TCPV4:
		return pkt->family == 4 ? take_tcp(pkt, vnet->gso_size, slots) : SEGMENT_BAD;
	case VNET_GSO_TCPV6:
		return pkt->family == 6 ? take_tcp(pkt, vnet->gso_size, slots) : SEGMENT_BAD;
	case VNET_GSO_UDP_L4:
		return cut_udp(pkt, vnet->gso_size, slots);
	default:
		return SEGMENT_BAD;
	}
}

enum segment_verdict segment_frame(const struct frame *frame, const struct wire_vnet *vnet,
                                   struct segment_slots *slots)
{
	uint32_t len = frame->len - frame->link_len;
	enum segment_verdict verdict;

	begin(slots);
	if (vnet->flags & VNET_F_NEEDS_CSUM || vnet->gso_type != VNET_GSO_NONE)
		return SEGMENT_BAD;
	slots->framing = SEGMENT_FRAME;
	slots->link = frame->data;
	slots->link_len = frame->link_len;
	verdict = lay_out(slots, 1, len, len);
	if (verdict != SEGMENT_OK)
		return verdict;
	memcpy(slot_packet(slots, 0), frame->data + frame->link_len, len);
	finish_slot(slots, 0, len);
	return len > segment_packet_mtu(slots) ? SEGMENT_OVERSIZE : SEGMENT_OK;
}
