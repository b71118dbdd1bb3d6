/* SPDX-License-Identifier: MIT */
/*
 * Hello on the wire: struct wire_control of type HELLO, then TLVs. VERSION must
 * be there; all else may be missing, and what is unknown is skipped, so that a
 * newer peer may say more. An acknowledgement is a hello of one's own with the
 * ACK TLV: it says what one has and that the other's arrived, in one message.
 */
#include "dataplane/hello.h"

#include <string.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/wire.h"

#define SECOND_NS 1000000000ULL

static uint32_t put(uint8_t *out, uint32_t at, enum wire_tlv_type type, const void *value,
                    uint16_t len)
{
	store_be16(out + at, (uint16_t)type);
	store_be16(out + at + 2, len);
	if (len)
		memcpy(out + at + sizeof(struct wire_tlv), value, len);
	return at + (uint32_t)sizeof(struct wire_tlv) + len;
}

uint32_t hello_format(uint8_t out[HELLO_SIZE_MAX], const struct hello_message *msg)
{
	struct be16 version, mtu;
	struct be64 features;
	uint32_t at = sizeof(struct wire_control);

	store_be16(version.b, (uint16_t)msg->version);
	store_be64(features.b, msg->features);
	store_be16(mtu.b, (uint16_t)msg->tunnel_mtu);
	at = put(out, at, WIRE_TLV_VERSION, &version, sizeof(version));
	at = put(out, at, WIRE_TLV_FEATURES, &features, sizeof(features));
	at = put(out, at, WIRE_TLV_TUNNEL_MTU, &mtu, sizeof(mtu));
	if (msg->ack)
		at = put(out, at, WIRE_TLV_ACK, NULL, 0);
	out[0] = WIRE_CONTROL_FIRST;
	out[1] = WIRE_CONTROL_HELLO;
	store_be16(out + 2, (uint16_t)(at - sizeof(struct wire_control)));
	return at;
}

/* One TLV; a length that its type cannot have makes the message malformed. */
static bool take(struct hello_message *msg, uint16_t type, const uint8_t *value, uint16_t len)
{
	switch (type) {
	case WIRE_TLV_VERSION:
		if (len != 2)
			return false;
		msg->version = load_be16(value);
		return true;
	case WIRE_TLV_FEATURES:
		if (len != 8)
			return false;
		msg->features = load_be64(value);
		return true;
	case WIRE_TLV_TUNNEL_MTU:
		if (len != 2)
			return false;
		msg->tunnel_mtu = load_be16(value);
		return true;
	case WIRE_TLV_ACK:
		msg->ack = true;
		return len == 0;
	default:
		return true;
	}
}

bool hello_parse(const uint8_t *data, uint32_t len, struct hello_message *msg)
{
	uint32_t at = 0, end;

	memset(msg, 0, sizeof(*msg));
	if (len < sizeof(struct wire_control))
		return false;
	end = load_be16(data + 2);
	data += sizeof(struct wire_control);
	if (end > len - sizeof(struct wire_control))
		return false;
	while (at < end) {
		uint16_t type, size;

		if (end - at < sizeof(struct wire_tlv))
			return false;
		type = load_be16(data + at);
		size = load_be16(data + at + 2);
		at += (uint32_t)sizeof(struct wire_tlv);
		if (size > end - at || !take(msg, type, data + at, size))
			return false;
		at += size;
	}
	return msg->version != 0;
}

static void send_hello(struct burst *burst, struct peer *peer)
{
	uint8_t out[HELLO_SIZE_MAX];
	struct hello_message msg = {
		.version = WIRE_HELLO_VERSION,
		.features = HELLO_FEATURES,
		.tunnel_mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed),
		.ack = atomic_load_explicit(&peer->hello.version, memory_order_relaxed) != 0,
	};

	if (peer_send_keypair(peer, burst->now_ns))
		burst_add_packet(burst, peer, out, hello_format(out, &msg), BURST_CONTROL);
}

void hello_begin(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;

	atomic_store_explicit(&hello->version, 0, memory_order_relaxed);
	atomic_store_explicit(&hello->tunnel_mtu, 0, memory_order_relaxed);
	atomic_store_explicit(&hello->features, 0, memory_order_relaxed);
	atomic_store_explicit(&hello->acked, false, memory_order_relaxed);
	atomic_store_explicit(&hello->sends_left, HELLO_SENDS_MAX - 1, memory_order_relaxed);
	atomic_store_explicit(&hello->answers_left, HELLO_ANSWERS_MAX, memory_order_relaxed);
	send_hello(burst, peer);
	timers_hello_at(peer, burst->now_ns + SECOND_NS);
}

void hello_due(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;
	uint32_t left = atomic_load_explicit(&hello->sends_left, memory_order_relaxed);

	if (left == 0 || atomic_load_explicit(&hello->acked, memory_order_relaxed))
		return;
	atomic_store_explicit(&hello->sends_left, left - 1, memory_order_relaxed);
	send_hello(burst, peer);
	if (left > 1)
		timers_hello_at(peer, burst->now_ns + 2 * SECOND_NS);
}

/* Two workers may both give the last one; the limit is not that exact. */
static void answer(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;
	uint32_t left = atomic_load_explicit(&hello->answers_left, memory_order_relaxed);

	if (left == 0)
		return;
	atomic_store_explicit(&hello->answers_left, left - 1, memory_order_relaxed);
	send_hello(burst, peer);
}

bool hello_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
{
	struct hello *hello = &peer->hello;
	struct hello_message msg;
	bool first;

	if (len < sizeof(struct wire_control))
		return false;
	if (data[0] != WIRE_CONTROL_FIRST || data[1] != WIRE_CONTROL_HELLO)
		return true; /* of a version to come: ignored */
	if (!hello_parse(data, len, &msg))
		return false;
	first = atomic_exchange_explicit(&hello->version, msg.version, memory_order_relaxed) == 0;
	atomic_store_explicit(&hello->tunnel_mtu, msg.tunnel_mtu, memory_order_relaxed);
	atomic_store_explicit(&hello->features, msg.features & HELLO_FEATURES,
	                      memory_order_relaxed);
	if (msg.ack) {
		atomic_store_explicit(&hello->acked, true, memory_order_relaxed);
		timers_hello_at(peer, 0);
	}
	/*
	 * Answered when it is the first of this session, and when it did not know of
	 * ours. Each side has one first, so the exchange ends.
	 */
	if (first || !msg.ack)
		answer(burst, peer);
	return true;
}

void hello_get_info(const struct hello *hello, struct hello_info *info)
{
	info->version = atomic_load_explicit(&hello->version, memory_order_relaxed);
	info->tunnel_mtu = atomic_load_explicit(&hello->tunnel_mtu, memory_order_relaxed);
	info->features = atomic_load_explicit(&hello->features, memory_order_relaxed);
}
