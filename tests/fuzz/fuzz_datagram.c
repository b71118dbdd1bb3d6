/* SPDX-License-Identifier: MIT */
/*
 * The data path of a device with a live session. The input is a row of steps,
 * each of a head of four bytes (what, outer traffic class, length big-endian) and
 * so many bytes:
 *
 *	0  a datagram as it is
 *	1  the plaintext of a message, sealed with the session's key
 *	2  the same, behind the last in one UDP_GRO event if of the same length
 *	3  a frame from the TAP, virtio header in front
 *	4  the clock moves on, by so many milliseconds
 *	5  what the device has sent comes back to it
 *
 * What must hold of whatever comes out is checked: frames for containers are from
 * an address of the peer's to one that lives here; datagrams are messages of the
 * protocol, and those of the session hold an IP packet from here, with or without
 * the checksum hint, or a control message of ours. What was not authentic moves nothing.
 */
#include "dataplane/packet.h"
#include "fuzz/fuzz.h"
#include "unit/rig.h"

#define LIFE       2000 /* inputs that one rig serves: setting it up takes longer than they do */
#define STEP_MAX   2048
#define BURST_ROOM (RING_SEGMENTS_MAX * (STEP_MAX + 32))

static struct rig *rig;
static struct rig_host *peer, *self; /* the one that seals, and the one under test */

/* A UDP_GRO event in the making. */
static uint8_t gro[BURST_ROOM];
static uint32_t gro_len, gro_segment;
static uint8_t gro_tos;

static void prepare(void)
{
	static unsigned int uses;

	if (!rig || uses++ == LIFE) {
		if (rig)
			rig_close(rig);
		rig = rig_open();
		peer = &rig->host[0];
		self = &rig->host[1];
		uses = 0;
	}
	rig_mark(self);
	rig_mark(peer);
	if (peer_send_keypair(peer->peer, rig->now_ns) &&
	    peer_send_keypair(self->peer, rig->now_ns))
		return;
	/* Expired, or never there. Only one begins, and not so soon that it is held back. */
	for (unsigned int i = 0; i < 2; i++) {
		peer_reset(rig->host[i].peer);
		for (int t = 0; t < TIMER_COUNT; t++)
			atomic_store(&rig->host[i].peer->timers.deadline_ns[t], 0);
	}
	rig->now_ns += 10 * RIG_SECOND;
	rig_connect(rig, 0);
}

static bool in_prefix(const char *text, uint8_t family, const uint8_t *addr)
{
	struct prefix prefix;

	must(prefix_parse(&prefix, text));
	return prefix.family == family && prefix_contains(&prefix, addr);
}

/* May live at the host under test: in the subnets, and no peer's. */
static bool lives_here(uint8_t family, const uint8_t *addr)
{
	if (!in_prefix("172.20.0.0/16", family, addr) && !in_prefix("fd20::/32", family, addr))
		return false;
	return !in_prefix("172.20.101.0/24", family, addr) &&
	       !in_prefix("172.20.103.0/24", family, addr) &&
	       !in_prefix("fd20:0:1::/48", family, addr) &&
	       !in_prefix("fd20:0:3::/48", family, addr);
}

static bool lives_at_peer(uint8_t family, const uint8_t *addr)
{
	return in_prefix("172.20.101.0/24", family, addr) ||
	       in_prefix("fd20:0:1::/48", family, addr);
}

static void check_frame(const struct rig_record *frame)
{
	static uint8_t copy[RIG_PACKET_MAX + 64];
	struct wire_vnet vnet;
	struct packet pkt;
	struct packet_nd nd;
	const struct wire_arp *arp;
	uint16_t type;

	must(frame->port == 0 && frame->len >= 24 && frame->len <= sizeof(copy));
	must(memcmp(frame->data + 16, self->net->router_mac, 6) == 0);
	memcpy(copy, frame->data, frame->len);
	type = load_be16(copy + 22);
	if (type == ETHERTYPE_WIRE_ARP) {
		must(packet_parse_arp(copy + 10, frame->len - 10, &arp));
		return;
	}
	must(packet_parse_ip(copy + 24, frame->len - 24, &pkt));
	must(type == (pkt.family == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6));
	must(pkt.len == frame->len - 24);
	/* Nothing of a request to the kernel is what the peer said. */
	memcpy(&vnet, copy, sizeof(vnet));
	must(!vnet.flags ||
	     (pkt.flags & PACKET_L4 && vnet.csum_start == 14 + pkt.l4 &&
	      vnet.csum_start + vnet.csum_offset == 14 + packet_l4_checksum_at(&pkt)));
	/* Of our own making: neighbour discovery, or an error in a remote address's name. */
	if (pkt.family == 6 && packet_is_discovery(&pkt)) {
		must(packet_parse_nd(&pkt, &nd));
		return;
	}
	must(lives_here(pkt.family, pkt.destination));
	must(lives_at_peer(pkt.family, pkt.source) ||
	     in_prefix("172.20.103.0/24", pkt.family, pkt.source) ||
	     in_prefix("fd20:0:3::/48", pkt.family, pkt.source));
	must(!(copy[10] & 1));
}

static void check_datagram(const struct rig_record *sent)
{
	static uint8_t plain[RIG_PACKET_MAX];
	struct packet pkt;
	uint32_t len;
	bool undone;

	must(sent->len >= 4);
	switch (load_le32(sent->data)) {
	case MESSAGE_INITIATION:
		must(sent->len == sizeof(struct message_initiation));
		break;
	case MESSAGE_RESPONSE:
		must(sent->len == sizeof(struct message_response));
		break;
	case MESSAGE_COOKIE_REPLY:
		must(sent->len == sizeof(struct message_cookie_reply));
		break;
	case MESSAGE_DATA:
		must(sent->len >= MESSAGE_DATA_OVERHEAD);
		/* Sealed by a key pair that may have been replaced since. */
		if (!rig_unseal(self, sent, plain, &len) || len == 0)
			break;
		if (plain[0] == WIRE_CONTROL_FIRST)
			break;
		undone = plain[0] >> 4 == WIRE_KIND_IPV4_HINT ||
		         plain[0] >> 4 == WIRE_KIND_IPV6_HINT;
		if (undone)
			plain[0] -= WIRE_HINT_NIBBLE;
		must(packet_parse_ip(plain, len, &pkt));
		must(!undone || pkt.flags & PACKET_L4);
		must(lives_here(pkt.family, pkt.source));
		must(lives_at_peer(pkt.family, pkt.destination));
		break;
	default:
		abort();
	}
}

static void run(void)
{
	rig_round(self);
	for (unsigned int i = 0; i < self->frame_count; i++)
		check_frame(&self->frames[i]);
	for (unsigned int i = 0; i < self->sent_count; i++)
		check_datagram(&self->sent[i]);
}

static void give_gro(void)
{
	if (gro_len)
		rig_give_datagram(self, &peer->address, gro, gro_len, gro_segment, gro_tos);
	gro_len = 0;
}

/* Not from where the peer is: nothing may follow from it but counters and a cookie. */
static void step_datagram(const uint8_t *data, uint32_t len, uint8_t tos)
{
	struct endpoint thief = peer->address, now;
	unsigned int frames;

	run();
	frames = self->frame_count;
	thief.remote.in.sin_port ^= 1;
	rig_give_datagram(self, &thief, data, len, 0, tos);
	rig_round(self);
	must(self->frame_count == frames);
	peer_get_endpoint(self->peer, &now);
	must(!endpoint_same_remote(&now, &thief));
}

static void step_sealed(const uint8_t *data, uint32_t len, uint8_t tos, bool append)
{
	uint8_t sealed[STEP_MAX + 32];

	if (!peer_send_keypair(peer->peer, rig->now_ns))
		return;
	len = rig_seal(peer, data, len, sealed);
	if (!append ||
	    (gro_len && (len > gro_segment || gro_len % gro_segment ||
	                 gro_len / gro_segment >= RING_SEGMENTS_MAX || gro_len + len > 65535)))
		give_gro();
	if (!gro_len) {
		gro_segment = len;
		gro_tos = tos;
	}
	memcpy(gro + gro_len, sealed, len);
	gro_len += len;
}

static void step_back(void)
{
	for (unsigned int i = 0; i < self->sent_count && i < 16; i++)
		rig_give_datagram(self, &peer->address, self->sent[i].data, self->sent[i].len, 0,
		                  0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	prepare();
	gro_len = 0;
	for (unsigned int steps = 0; size >= 4 && steps < 64; steps++) {
		uint8_t what = data[0] % 6, tos = data[1];
		uint32_t len = load_be16(data + 2);

		data += 4;
		size -= 4;
		if (what == 4) {
			rig->now_ns += len * RIG_MS;
			continue;
		}
		if (len > size)
			len = (uint32_t)size;
		if (len > STEP_MAX)
			len = STEP_MAX;
		if (what == 0 && len)
			step_datagram(data, len, tos);
		else if (what == 1 || what == 2)
			step_sealed(data, len, tos, what == 2);
		else if (what == 3 && len)
			rig_give_frame(self, 0, data, len);
		else if (what == 5)
			step_back();
		data += len;
		size -= len;
	}
	give_gro();
	run();
	return 0;
}
