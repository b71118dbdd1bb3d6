/* SPDX-License-Identifier: MIT */
#include "dataplane/echo.h"

#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/tlv.h"

#define MESSAGE_SIZE (sizeof(struct wire_control) + sizeof(struct wire_tlv) + sizeof(struct be64))

static void send_message(struct burst *burst, struct peer *peer, enum wire_control_type type,
                         uint64_t number)
{
	uint8_t out[MESSAGE_SIZE];
	struct tlv_writer tlvs = tlv_begin(out, sizeof(out));

	tlv_put_be64(&tlvs, WIRE_TLV_NUMBER, number);
	burst_add_packet(burst, peer, out, tlv_finish(&tlvs, type), BURST_CONTROL);
}

void echo_due(struct burst *burst, struct peer *peer)
{
	struct echo *echo = &peer->echo;
	uint64_t number;

	if (atomic_exchange_explicit(&echo->packets, 0, memory_order_relaxed) < ECHO_PACKETS)
		return;
	if (!hello_may_send(&peer->hello, WIRE_FEATURE_ECHO) ||
	    !peer_send_keypair(peer, burst->now_ns))
		return;
	number = atomic_load_explicit(&echo->number, memory_order_relaxed) + 1;
	atomic_store_explicit(&echo->number, number, memory_order_relaxed);
	atomic_store_explicit(&echo->sent_ns, device_now(burst->device), memory_order_release);
	send_message(burst, peer, WIRE_CONTROL_ECHO, number);
}

/* Two workers may both answer; the limit is not that exact. */
static void answer(struct burst *burst, struct peer *peer, uint64_t number)
{
	struct echo *echo = &peer->echo;
	uint64_t last_ns = atomic_load_explicit(&echo->answered_ns, memory_order_relaxed);

	if (burst->now_ns < last_ns + ECHO_ANSWER_NS ||
	    !peer_send_keypair(peer, burst->now_ns))
		return;
	atomic_store_explicit(&echo->answered_ns, burst->now_ns, memory_order_relaxed);
	send_message(burst, peer, WIRE_CONTROL_ECHO_REPLY, number);
}

static void take(struct echo *echo, uint64_t now_ns, uint64_t number)
{
	uint64_t smoothed = atomic_load_explicit(&echo->smoothed_ns, memory_order_relaxed);
	uint64_t variation = atomic_load_explicit(&echo->variation_ns, memory_order_relaxed);
	uint64_t sent_ns, took_ns, off_ns;

	if (number != atomic_load_explicit(&echo->number, memory_order_relaxed))
		return;
	/* Counted once, however often it comes. */
	sent_ns = atomic_exchange_explicit(&echo->sent_ns, 0, memory_order_acquire);
	if (!sent_ns)
		return;
	/* Of 0, which says that nothing is known, there is none. */
	took_ns = now_ns > sent_ns ? now_ns - sent_ns : 1;
	if (!smoothed) {
		smoothed = took_ns;
		variation = took_ns / 2;
	} else {
		off_ns = took_ns > smoothed ? took_ns - smoothed : smoothed - took_ns;
		variation = variation - variation / 4 + off_ns / 4;
		smoothed = smoothed - smoothed / 8 + took_ns / 8;
	}
	atomic_store_explicit(&echo->variation_ns, variation, memory_order_relaxed);
	atomic_store_explicit(&echo->smoothed_ns, smoothed, memory_order_relaxed);
	atomic_store_explicit(&echo->heard_ns, now_ns, memory_order_relaxed);
}

bool echo_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
{
	struct tlv_reader in;
	uint64_t number = 0;
	struct tlv tlv;

	if (!tlv_open(&in, data, len))
		return false;
	while (tlv_next(&in, &tlv)) {
		if (tlv.type == WIRE_TLV_NUMBER && !tlv_get_be64(&tlv, &number))
			return false;
	}
	if (in.malformed || !number)
		return false;
	if (data[1] == WIRE_CONTROL_ECHO)
		answer(burst, peer, number);
	else
		take(&peer->echo, burst->now_ns, number);
	return true;
}

uint64_t echo_round_trip(const struct echo *echo, uint64_t now_ns, uint64_t *variation_ns)
{
	uint64_t heard_ns = atomic_load_explicit(&echo->heard_ns, memory_order_relaxed);

	*variation_ns = 0;
	if (!heard_ns || peer_age_ns(now_ns, heard_ns) >= ECHO_FRESH_NS)
		return 0;
	*variation_ns = atomic_load_explicit(&echo->variation_ns, memory_order_relaxed);
	return atomic_load_explicit(&echo->smoothed_ns, memory_order_relaxed);
}
