/* SPDX-License-Identifier: MIT */
/*
 * Hello on the wire: struct wire_control of type HELLO, then TLVs. VERSION must
 * be there; all else may be missing, and what is unknown is skipped, so that a
 * newer peer may say more. An acknowledgement is a hello of one's own with the
 * ACK TLV: it says what one has and that the other's arrived, in one message. A
 * hello without it wants to be answered.
 */
#include "dataplane/hello.h"

#include <string.h>
#include "dataplane/announce.h"
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/tlv.h"
#include "dataplane/tx.h"

#define SECOND_NS 1000000000ULL

/* Both of two initiations that cross are answered within that. */
#define CROSSING_NS (2 * TIMERS_REKEY_TIMEOUT_NS)

uint32_t hello_format(uint8_t out[HELLO_SIZE_MAX], const struct hello_message *msg)
{
	struct tlv_writer tlvs = tlv_begin(out, HELLO_SIZE_MAX);
	uint8_t *vnis = NULL;

	tlv_put_be16(&tlvs, WIRE_TLV_VERSION, (uint16_t)msg->version);
	tlv_put_be64(&tlvs, WIRE_TLV_FEATURES, msg->features);
	tlv_put_be16(&tlvs, WIRE_TLV_TUNNEL_MTU, (uint16_t)msg->tunnel_mtu);
	if (msg->vni_count)
		vnis = tlv_put(&tlvs, WIRE_TLV_VNIS,
		               msg->vni_count * (uint32_t)sizeof(struct be32));
	for (uint32_t i = 0; vnis && i < msg->vni_count; i++)
		store_be32(vnis + i * sizeof(struct be32), msg->vnis[i]);
	if (msg->boot)
		tlv_put_be64(&tlvs, WIRE_TLV_BOOT, msg->boot);
	if (msg->ack)
		(void)tlv_put(&tlvs, WIRE_TLV_ACK, 0);
	return tlv_finish(&tlvs, WIRE_CONTROL_HELLO);
}

/* More than there is room for are of a newer version, and no network of ours. */
static bool take_vnis(struct hello_message *msg, const struct tlv *tlv)
{
	if (tlv->len % sizeof(struct be32))
		return false;
	msg->vni_count = 0;
	for (uint32_t at = 0; at < tlv->len; at += (uint32_t)sizeof(struct be32)) {
		uint32_t vni = load_be32(tlv->value + at);

		if (vni == 0 || vni > WIRE_VNI_MAX)
			return false;
		if (msg->vni_count < HELLO_VNIS_MAX)
			msg->vnis[msg->vni_count++] = vni;
	}
	return true;
}

/* One TLV; a length that its type cannot have makes the message malformed. */
static bool take(struct hello_message *msg, const struct tlv *tlv)
{
	switch (tlv->type) {
	case WIRE_TLV_VERSION:
		return tlv_get_be16(tlv, &msg->version);
	case WIRE_TLV_FEATURES:
		return tlv_get_be64(tlv, &msg->features);
	case WIRE_TLV_TUNNEL_MTU:
		return tlv_get_be16(tlv, &msg->tunnel_mtu);
	case WIRE_TLV_VNIS:
		return take_vnis(msg, tlv);
	case WIRE_TLV_BOOT:
		return tlv_get_be64(tlv, &msg->boot);
	case WIRE_TLV_ACK:
		msg->ack = true;
		return tlv->len == 0;
	default:
		return true;
	}
}

bool hello_parse(const uint8_t *data, uint32_t len, struct hello_message *msg)
{
	struct tlv_reader in;
	struct tlv tlv;

	memset(msg, 0, sizeof(*msg));
	if (!tlv_open(&in, data, len))
		return false;
	while (tlv_next(&in, &tlv))
		if (!take(msg, &tlv))
			return false;
	return !in.malformed && msg->version != 0;
}

static void list_vnis(struct hello_message *msg, const struct peer *peer)
{
	/* The newest view, not the round's: a change is said by what came after it. */
	const struct view *view = atomic_load_explicit(&peer->device->view, memory_order_acquire);

	for (size_t i = 0; i < view->vni_count && msg->vni_count < HELLO_VNIS_MAX; i++)
		if (view_find_member(view->by_vni[i], peer))
			msg->vnis[msg->vni_count++] = view->by_vni[i]->vni;
}

static void send_hello(struct burst *burst, struct peer *peer, bool ack)
{
	uint8_t out[HELLO_SIZE_MAX];
	struct hello_message msg = {
		.version = WIRE_HELLO_VERSION,
		.features = HELLO_FEATURES,
		.tunnel_mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed),
		.boot = burst->device->boot,
		.ack = ack,
	};

	if (!peer_send_keypair(peer, burst->now_ns))
		return;
	list_vnis(&msg, peer);
	burst_add_packet(burst, peer, out, hello_format(out, &msg), BURST_CONTROL);
}

static bool has_slot(const struct hello *hello, uint32_t vni)
{
	uint32_t count = atomic_load_explicit(&hello->vni_count, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++)
		if (atomic_load_explicit(&hello->vnis[i], memory_order_relaxed) == vni)
			return true;
	return false;
}

static bool is_listed(const uint32_t *vnis, uint32_t count, uint32_t vni)
{
	for (uint32_t i = 0; i < count; i++)
		if (vnis[i] == vni)
			return true;
	return false;
}

/* Peer's lock held. There is a slot for each, as both sides have room for as many. */
static bool set_vnis(struct hello *hello, const uint32_t *vnis, uint32_t count)
{
	bool changed = false;
	uint32_t slot = 0;

	for (uint32_t i = 0; i < HELLO_VNIS_MAX; i++) {
		uint32_t vni = atomic_load_explicit(&hello->vnis[i], memory_order_relaxed);

		if (vni == 0 || is_listed(vnis, count, vni))
			continue;
		atomic_store_explicit(&hello->vnis[i], 0, memory_order_relaxed);
		changed = true;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (has_slot(hello, vnis[i]))
			continue;
		while (atomic_load_explicit(&hello->vnis[slot], memory_order_relaxed))
			slot++;
		atomic_store_explicit(&hello->vnis[slot], vnis[i], memory_order_relaxed);
		if (slot >= atomic_load_explicit(&hello->vni_count, memory_order_relaxed))
			atomic_store_explicit(&hello->vni_count, slot + 1, memory_order_release);
		changed = true;
	}
	return changed;
}

/* The last session is still good, and so is what it agreed upon. */
static bool is_carried(const struct hello *hello, const struct keypair *last, uint64_t now_ns)
{
	if (!last || peer_age_ns(now_ns, last->birth_ns) >= SESSION_REJECT_AFTER_NS)
		return false;
	return atomic_load_explicit(&hello->version, memory_order_relaxed) != 0 ||
	       (atomic_load_explicit(&hello->carried, memory_order_relaxed) &&
	        now_ns < atomic_load_explicit(&hello->settled_ns, memory_order_relaxed));
}

void hello_begin(struct peer *peer, const struct keypair *last, uint64_t now_ns)
{
	struct hello *hello = &peer->hello;
	bool carried = is_carried(hello, last, now_ns);

	if (!carried) {
		atomic_store_explicit(&hello->tunnel_mtu, 0, memory_order_relaxed);
		/* Without features VNIs are nothing, too. */
		atomic_store_explicit(&hello->features, 0, memory_order_relaxed);
	}
	atomic_store_explicit(&hello->acked, false, memory_order_relaxed);
	atomic_store_explicit(&hello->carried, carried, memory_order_relaxed);
	atomic_store_explicit(&hello->settled_ns, now_ns + HELLO_SETTLED_NS, memory_order_relaxed);
	atomic_store_explicit(&hello->asked_ns, now_ns, memory_order_relaxed);
	atomic_store_explicit(&hello->version, 0, memory_order_release);
	atomic_store_explicit(&hello->sends_left, HELLO_SENDS_MAX, memory_order_relaxed);
	atomic_store_explicit(&hello->answers_left, HELLO_ANSWERS_MAX, memory_order_relaxed);
}

void hello_changed(struct peer *peer)
{
	struct hello *hello = &peer->hello;

	pthread_mutex_lock(&peer->lock);
	atomic_store_explicit(&hello->sends_left, HELLO_SENDS_MAX, memory_order_relaxed);
	atomic_store_explicit(&hello->answers_left, HELLO_ANSWERS_MAX, memory_order_relaxed);
	pthread_mutex_unlock(&peer->lock);
	timers_hello_at(peer, device_now(peer->device));
}

/* After 0, 1 and 3 seconds it is sent, after 4 it is settled. */
void hello_due(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;
	uint32_t left = atomic_load_explicit(&hello->sends_left, memory_order_relaxed);
	bool middle = left > 1 && left < HELLO_SENDS_MAX;

	if (left == 0) {
		/* What waited for the peer's hello waited in vain, and is dropped by that. */
		tx_release(burst, peer);
		return;
	}
	atomic_store_explicit(&hello->sends_left, left - 1, memory_order_relaxed);
	send_hello(burst, peer, false);
	timers_hello_at(peer, burst->now_ns + (middle ? 2 : 1) * SECOND_NS);
}

void hello_wanted(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;
	uint64_t asked_ns = atomic_load_explicit(&hello->asked_ns, memory_order_relaxed);

	if (atomic_load_explicit(&hello->version, memory_order_relaxed) ||
	    burst->now_ns < asked_ns + HELLO_AGAIN_NS)
		return;
	atomic_store_explicit(&hello->asked_ns, burst->now_ns, memory_order_relaxed);
	atomic_store_explicit(&hello->sends_left, 1, memory_order_relaxed);
	hello_due(burst, peer);
}

/* Two workers may both give the last one; the limit is not that exact. */
static void answer(struct burst *burst, struct peer *peer)
{
	struct hello *hello = &peer->hello;
	uint32_t left = atomic_load_explicit(&hello->answers_left, memory_order_relaxed);

	if (left == 0)
		return;
	atomic_store_explicit(&hello->answers_left, left - 1, memory_order_relaxed);
	send_hello(burst, peer, true);
}

enum news { NEWS_NONE, NEWS_CHANGED, NEWS_FIRST, NEWS_STALE };

/*
 * Of a session before this one: a hello that was long on its way, or held back, must
 * not say what the peer takes now, which may be a stock one. Each session has its own.
 * Sessions whose initiations crossed are one: either side may take the other's for it.
 */
static bool is_of_the_past(const struct peer *peer, const struct keypair *keypair)
{
	const struct keypair *current =
		atomic_load_explicit(&peer->session.current, memory_order_relaxed);

	return current && keypair->birth_ns + CROSSING_NS < current->birth_ns;
}

/* What @msg says is from here on so. */
static enum news believe(struct peer *peer, const struct keypair *keypair,
                         const struct hello_message *msg)
{
	struct hello *hello = &peer->hello;
	enum news news;
	uint64_t boot;

	/* Under the lock: no other worker makes a new session meanwhile. */
	pthread_mutex_lock(&peer->lock);
	if (is_of_the_past(peer, keypair)) {
		news = NEWS_STALE;
		goto out;
	}
	boot = atomic_load_explicit(&hello->boot, memory_order_relaxed);
	news = atomic_load_explicit(&hello->version, memory_order_relaxed) ? NEWS_NONE : NEWS_FIRST;
	/*
	 * Within a session a life of the peer never follows a later one: this was
	 * long on its way. The first is taken whatever it says, as clocks are set back.
	 */
	if (news != NEWS_FIRST && msg->boot && msg->boot < boot) {
		news = NEWS_STALE;
		goto out;
	}
	if (set_vnis(hello, msg->vnis, msg->vni_count) || msg->boot != boot)
		news = news == NEWS_FIRST ? NEWS_FIRST : NEWS_CHANGED;
	atomic_store_explicit(&hello->boot, msg->boot, memory_order_relaxed);
	atomic_store_explicit(&hello->tunnel_mtu, msg->tunnel_mtu, memory_order_relaxed);
	atomic_store_explicit(&hello->features, msg->features & HELLO_FEATURES,
	                      memory_order_relaxed);
	if (msg->ack) {
		atomic_store_explicit(&hello->acked, true, memory_order_relaxed);
		atomic_store_explicit(&hello->sends_left, 0, memory_order_relaxed);
		timers_hello_at(peer, 0);
	}
	atomic_store_explicit(&hello->version, msg->version, memory_order_release);
out:
	pthread_mutex_unlock(&peer->lock);
	return news;
}

bool hello_receive(struct burst *burst, struct peer *peer, const struct keypair *keypair,
                   const uint8_t *data, uint32_t len)
{
	struct hello_message msg;
	enum news news;

	if (len < sizeof(struct wire_control))
		return false;
	if (data[0] != WIRE_CONTROL_FIRST || data[1] != WIRE_CONTROL_HELLO)
		return true; /* of a version to come: ignored */
	if (!hello_parse(data, len, &msg))
		return false;
	/*
	 * Once it is believed other workers send frames, which mean nothing to the peer
	 * before our own hello, and that may still lie in this burst.
	 */
	if (!atomic_load_explicit(&peer->hello.version, memory_order_relaxed))
		burst->flush(burst, burst->flush_arg);
	news = believe(peer, keypair, &msg);
	if (news == NEWS_STALE)
		return true;
	/*
	 * Answered when it is the first of this session, and when it wants to be.
	 * Each side has one first, so the exchange ends.
	 */
	if (news == NEWS_FIRST || !msg.ack)
		answer(burst, peer);
	if (news != NEWS_NONE) {
		announce_begin(burst, peer);
		tx_release(burst, peer);
	}
	return true;
}

enum hello_state hello_has_vni(const struct hello *hello, uint32_t vni, uint64_t now_ns)
{
	bool has_hello = atomic_load_explicit(&hello->version, memory_order_acquire) != 0;

	if (!has_hello && now_ns >= atomic_load_explicit(&hello->settled_ns, memory_order_relaxed))
		return HELLO_NO;
	if (hello_has_feature(hello, WIRE_FEATURE_FRAMES) && has_slot(hello, vni))
		return HELLO_YES;
	return has_hello ? HELLO_NO : HELLO_AWAITED;
}

bool hello_has_feature(const struct hello *hello, uint64_t feature)
{
	return atomic_load_explicit(&hello->features, memory_order_relaxed) & feature;
}

bool hello_may_send(const struct hello *hello, uint64_t feature)
{
	return atomic_load_explicit(&hello->version, memory_order_relaxed) != 0 &&
	       atomic_load_explicit(&hello->acked, memory_order_relaxed) &&
	       hello_has_feature(hello, feature);
}

void hello_get_info(const struct hello *hello, struct hello_info *info)
{
	uint32_t count = atomic_load_explicit(&hello->vni_count, memory_order_acquire);

	info->version = atomic_load_explicit(&hello->version, memory_order_acquire);
	info->tunnel_mtu = atomic_load_explicit(&hello->tunnel_mtu, memory_order_relaxed);
	info->features = atomic_load_explicit(&hello->features, memory_order_relaxed);
	info->boot = atomic_load_explicit(&hello->boot, memory_order_relaxed);
	info->vni_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t vni = atomic_load_explicit(&hello->vnis[i], memory_order_relaxed);
		uint32_t at = info->vni_count;

		if (vni == 0)
			continue;
		for (; at > 0 && info->vnis[at - 1] > vni; at--)
			info->vnis[at] = info->vnis[at - 1];
		info->vnis[at] = vni;
		info->vni_count++;
	}
}
