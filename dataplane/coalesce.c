/* SPDX-License-Identifier: MIT */
/*
 * Items are what will be written: one packet, or several of a flow. An item
 * refers to its packets where they lie in the receive buffer; what a write
 * gathers is
 *
 *	[virtio + Ethernet header] [first packet, whole] [payload 2] [payload 3] …
 *
 * with the first packet's own headers rewritten in place at the end to describe
 * the sum. The kernel cuts it into exactly the packets that came in: whatever it
 * would not give back bit by bit (other options, ids that do not count up, a
 * wrong checksum, …) is not merged. Its own GRO has the same rules.
 *
 * Which item a packet may join is found in one step: a table from the hash of a
 * flow to the item that flow started last. Another flow of the same hash just
 * takes the entry over; the first flow then starts a new item, behind its old
 * one, so that order within a flow holds and no choice of addresses costs time.
 * The table is not cleared between rounds: an entry is believed only if the item
 * it names is of this flow, and a flow that started an item in this round wrote
 * its entry in this round.
 *
 * Lone packets, of whose hash the round has no other, are written first: who sends
 * few waits for an answer, and would wait behind the superframes of who sends much.
 */
#include <stdlib.h>
#include "dataplane/coalesce.h"

#define TABLE_SIZE   2048 /* a power of two */
#define NONE         UINT16_MAX
#define ITEM_LEN_MAX 65535u /* bytes of the merged IP packet */

struct piece {
	uint8_t *data; /* payload of a packet that is not its item's first */
	uint32_t len;
	uint16_t next;
};

enum checksum_state { CHECKSUM_UNKNOWN, CHECKSUM_GOOD, CHECKSUM_BAD };

struct item {
	/* These two are written as they lie. */
	struct wire_vnet vnet;
	uint8_t link[WIRE_LINK_MAX];
	struct packet first;
	uint32_t len; /* of the merged packet */
	uint32_t next_sequence; /* TCP */
	uint16_t port;
	uint16_t link_len;
	uint16_t part; /* payload bytes of each packet but the last */
	uint16_t count; /* packets */
	uint16_t piece; /* chain of the packets behind the first */
	uint16_t last_piece;
	uint16_t hash; /* of its flow */
	uint8_t checksum; /* enum checksum_state of the first packet */
	bool undone; /* the first packet's checksum is not there */
	bool open; /* may still grow */
	bool push; /* the last packet had PSH */
	bool lone; /* no other packet of its hash */
};
_Static_assert(offsetof(struct item, link) == sizeof(struct wire_vnet), "one piece to write");

struct coalesce {
	uint32_t packets;
	uint32_t items_used;
	uint32_t pieces_used;
	uint32_t barrier; /* items before it are closed */
	bool ordered; /* there was one: nothing may pass it */
	uint16_t table[TABLE_SIZE];
	struct item items[COALESCE_PACKETS];
	struct piece pieces[COALESCE_PACKETS];
	struct ring_write writes[COALESCE_PACKETS];
	struct iovec iov[COALESCE_PACKETS * 2];
};

struct coalesce *coalesce_open(void)
{
	return calloc(1, sizeof(struct coalesce));
}

void coalesce_close(struct coalesce *c)
{
	free(c);
}

void coalesce_reset(struct coalesce *c)
{
	c->packets = 0;
	c->items_used = 0;
	c->ordered = false;
	c->pieces_used = 0;
	c->barrier = 0;
}

/* ---- flows ---- */

static bool same_flow(const struct item *item, const struct packet *pkt,
                      const struct coalesce_target *target)
{
	const struct packet *first = &item->first;

	return first->family == pkt->family && first->proto == pkt->proto &&
	       first->flags & PACKET_L4 &&
	       memcmp(first->data + first->l4, pkt->data + pkt->l4, 4) == 0 &&
	       memcmp(first->source, pkt->source, 2 * packet_addr_len(pkt)) == 0 &&
	       item->port == target->port && item->link_len == target->link_len &&
	       memcmp(item->link, target->link, target->link_len) == 0;
}

/* ---- what may be merged ---- */

/* Whether @pkt could be part of a superframe at all, and be followed by more. */
static bool is_mergeable(const struct packet *pkt, bool merge_udp)
{
	const struct wire_tcp *tcp = (const struct wire_tcp *)(pkt->data + pkt->l4);

	if (pkt->flags & PACKET_OPTIONS || pkt->payload == pkt->len)
		return false;
	if (pkt->proto == IPPROTO_WIRE_UDP)
		return merge_udp;
	/* ECN-echo on all of them is kept on all of them. */
	return (tcp->flags & ~(TCP_PSH | TCP_ECE)) == TCP_ACK;
}

/* Everything in the IP headers but length and checksum, @n packets apart. */
static bool same_ip(const struct packet *first, const struct packet *pkt, uint32_t n)
{
	if (first->family == 4) {
		const struct wire_ipv4 *a = (const struct wire_ipv4 *)first->data;
		const struct wire_ipv4 *b = (const struct wire_ipv4 *)pkt->data;

		return a->tos == b->tos && a->ttl == b->ttl &&
		       memcmp(&a->fragment, &b->fragment, sizeof(a->fragment)) == 0 &&
		       (uint16_t)(load_be16(&a->id) + n) == load_be16(&b->id);
	}
	return memcmp(first->data, pkt->data, 4) == 0 &&
	       first->data[offsetof(struct wire_ipv6, hop_limit)] ==
	               pkt->data[offsetof(struct wire_ipv6, hop_limit)];
}

static bool same_tcp(const struct item *item, const struct packet *pkt)
{
	const struct packet *first = &item->first;
	const struct wire_tcp *a = (const struct wire_tcp *)(first->data + first->l4);
	const struct wire_tcp *b = (const struct wire_tcp *)(pkt->data + pkt->l4);

	return load_be32(&b->sequence) == item->next_sequence &&
	       load_be32(&a->acknowledgement) == load_be32(&b->acknowledgement) &&
	       a->offset == b->offset && ((a->flags ^ b->flags) & (uint8_t)~TCP_PSH) == 0 &&
	       load_be16(&a->window) == load_be16(&b->window) &&
	       load_be16(&a->urgent) == load_be16(&b->urgent) &&
	       memcmp(a + 1, b + 1, (size_t)(first->payload - first->l4) - sizeof(*a)) == 0;
}

/*
 * The checks that read all of the packet come last, and only when a merge hangs
 * on them: most packets of sparse flows are never summed up here.
 */
static enum checksum_state check(const struct packet *pkt, bool csum_undone)
{
	if (!packet_ipv4_checksum_ok(pkt))
		return CHECKSUM_BAD;
	if (csum_undone)
		return CHECKSUM_GOOD;
	if (pkt->proto == IPPROTO_WIRE_UDP &&
	    load_be16(pkt->data + pkt->l4 + offsetof(struct wire_udp, checksum)) == 0)
		return CHECKSUM_BAD; /* none: the kernel would add one */
	return packet_l4_checksum_ok(pkt) ? CHECKSUM_GOOD : CHECKSUM_BAD;
}

static bool may_append(struct item *item, const struct packet *pkt, bool csum_undone)
{
	uint32_t payload = pkt->len - pkt->payload;

	if (!item->open || item->count == RING_SEGMENTS_MAX || payload > item->part ||
	    item->len + payload > ITEM_LEN_MAX)
		return false;
	if (!same_ip(&item->first, pkt, item->count))
		return false;
	if (pkt->proto == IPPROTO_WIRE_TCP && !same_tcp(item, pkt))
		return false;
	if (item->checksum == CHECKSUM_UNKNOWN)
		item->checksum = (uint8_t)check(&item->first, item->undone);
	return item->checksum == CHECKSUM_GOOD && check(pkt, csum_undone) == CHECKSUM_GOOD;
}

/* ---- items ---- */

static bool has_push(const struct packet *pkt)
{
	return pkt->proto == IPPROTO_WIRE_TCP &&
	       pkt->data[pkt->l4 + offsetof(struct wire_tcp, flags)] & TCP_PSH;
}

static void append(struct coalesce *c, struct item *item, const struct packet *pkt)
{
	uint32_t payload = pkt->len - pkt->payload;
	uint16_t index = (uint16_t)c->pieces_used++;

	c->pieces[index] = (struct piece){ pkt->data + pkt->payload, payload, NONE };
	if (item->count == 1)
		item->piece = index;
	else
		c->pieces[item->last_piece].next = index;
	item->last_piece = index;
	item->count++;
	item->lone = false;
	item->len += payload;
	item->next_sequence += payload;
	item->push = has_push(pkt);
	item->open = payload == item->part && !item->push;
}

static struct item *start(struct coalesce *c, const struct packet *pkt,
                          const struct coalesce_target *target, bool csum_undone)
{
	struct item *item = &c->items[c->items_used++];

	memcpy(item->link, target->link, target->link_len);
	item->link_len = target->link_len;
	item->first = *pkt;
	item->len = pkt->len;
	item->port = target->port;
	item->count = 1;
	item->piece = NONE;
	item->lone = false;
	item->checksum = CHECKSUM_UNKNOWN;
	item->undone = false;
	item->open = false;
	item->push = false;
	if (!(pkt->flags & PACKET_L4))
		return item;
	item->undone = csum_undone;
	item->part = (uint16_t)(pkt->len - pkt->payload);
	item->push = has_push(pkt);
	item->open = is_mergeable(pkt, target->merge_udp) && !item->push;
	if (pkt->proto == IPPROTO_WIRE_TCP)
		item->next_sequence =
			load_be32(pkt->data + pkt->l4 + offsetof(struct wire_tcp, sequence)) +
			item->part;
	return item;
}

static void raise_barrier(struct coalesce *c)
{
	c->barrier = c->items_used;
	c->ordered = true;
}

bool coalesce_push(struct coalesce *c, const struct packet *pkt,
                   const struct coalesce_target *target, bool csum_undone)
{
	uint32_t flow = packet_flow_hash(pkt);
	struct item *item, *last = NULL;
	uint16_t hash, index;

	if (c->packets == COALESCE_PACKETS)
		return false;
	c->packets++;
	if (!flow) {
		/* Nothing may pass it by joining earlier items. */
		start(c, pkt, target, false);
		raise_barrier(c);
		return true;
	}
	hash = (uint16_t)(flow % TABLE_SIZE);
	index = c->table[hash];
	if (index >= c->barrier && index < c->items_used && c->items[index].hash == hash)
		last = &c->items[index];
	if (last && same_flow(last, pkt, target) && is_mergeable(pkt, target->merge_udp) &&
	    may_append(last, pkt, csum_undone)) {
		append(c, last, pkt);
		return true;
	}
	c->table[hash] = (uint16_t)c->items_used;
	item = start(c, pkt, target, csum_undone);
	item->hash = hash;
	item->lone = !last;
	if (last)
		last->lone = false;
	return true;
}

bool coalesce_push_frame(struct coalesce *c, const struct frame *frame, uint16_t port)
{
	struct item *item;

	if (c->packets == COALESCE_PACKETS)
		return false;
	c->packets++;
	item = &c->items[c->items_used++];
	memcpy(item->link, frame->data, frame->link_len);
	item->link_len = frame->link_len;
	item->first = (struct packet){ .data = frame->data + frame->link_len,
		                       .len = frame->len - frame->link_len };
	item->port = port;
	item->count = 1;
	item->piece = NONE;
	item->undone = false;
	item->open = false;
	item->lone = false;
	/* What it has to do with packets of IP is not known either. */
	raise_barrier(c);
	return true;
}

/* ---- headers ---- */

/* The checksum field gets the pseudo-header's sum, for the kernel to go on from. */
static void request_checksum(struct item *item)
{
	struct packet *first = &item->first;
	uint32_t l4_len = item->len - first->l4;
	uint16_t offset = first->proto == IPPROTO_WIRE_TCP ? offsetof(struct wire_tcp, checksum)
	                                                   : offsetof(struct wire_udp, checksum);
	uint16_t sum = (uint16_t)~checksum_fold(checksum_pseudo(first, first->proto, l4_len));

	store_be16(first->data + first->l4 + offset, sum);
	item->vnet.flags = VNET_F_NEEDS_CSUM;
	item->vnet.csum_start = (uint16_t)(item->link_len + first->l4);
	item->vnet.csum_offset = offset;
}

static void finish_merged(struct item *item)
{
	struct packet *first = &item->first;
	uint8_t *l4 = first->data + first->l4;

	if (first->family == 4) {
		store_be16(first->data + offsetof(struct wire_ipv4, total_len),
		           (uint16_t)item->len);
		packet_ipv4_checksum_fill(first->data);
	} else {
		store_be16(first->data + offsetof(struct wire_ipv6, payload_len),
		           (uint16_t)(item->len - sizeof(struct wire_ipv6)));
	}
	if (first->proto == IPPROTO_WIRE_UDP) {
		store_be16(l4 + offsetof(struct wire_udp, length),
		           (uint16_t)(item->len - first->l4));
		item->vnet.gso_type = VNET_GSO_UDP_L4;
	} else {
		if (item->push)
			l4[offsetof(struct wire_tcp, flags)] |= TCP_PSH;
		item->vnet.gso_type = first->family == 4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
	}
	item->vnet.gso_size = item->part;
	item->vnet.hdr_len = (uint16_t)(item->link_len + first->payload);
	request_checksum(item);
}

/* Lays out an item's write, which gathers from @iov on. Returns where the next one may. */
static struct iovec *finish(struct coalesce *c, struct item *item, struct ring_write *write,
                            struct iovec *iov)
{
	memset(&item->vnet, 0, sizeof(item->vnet));
	if (item->count > 1)
		finish_merged(item);
	else if (item->undone)
		request_checksum(item);

	write->port = item->port;
	write->packets = item->count;
	write->iov = iov;
	write->error = 0;
	*iov++ = (struct iovec){ &item->vnet, sizeof(item->vnet) + item->link_len };
	if (item->first.len) /* not so in a frame that is all header */
		*iov++ = (struct iovec){ item->first.data, item->first.len };
	for (uint16_t p = item->piece; p != NONE; p = c->pieces[p].next)
		*iov++ = (struct iovec){ c->pieces[p].data, c->pieces[p].len };
	write->iov_count = (uint16_t)(iov - write->iov);
	return iov;
}

unsigned int coalesce_finish(struct coalesce *c, struct ring_write **writes)
{
	struct ring_write *write = c->writes;
	struct iovec *iov = c->iov;

	for (uint32_t i = 0; i < c->items_used && !c->ordered; i++) {
		if (c->items[i].lone)
			iov = finish(c, &c->items[i], write++, iov);
	}
	for (uint32_t i = 0; i < c->items_used; i++) {
		if (c->ordered || !c->items[i].lone)
			iov = finish(c, &c->items[i], write++, iov);
	}
	*writes = c->writes;
	return c->items_used;
}
