/* SPDX-License-Identifier: MIT */
#include "dataplane/peer.h"

#include <string.h>
#include "crypto/secret.h"
#include "dataplane/device.h"

#define ENDPOINT_TRIES 100

struct peer *peer_create(struct device *device, const uint8_t public_key[KEY_SIZE])
{
	struct peer *peer = arena_get(&device->peer_arena);

	if (!peer)
		return NULL;
	peer->device = device;
	peer->stage.pool = &device->stage;
	memcpy(peer->public_key, public_key, KEY_SIZE);
	pthread_mutex_init(&peer->lock, NULL);
	pthread_rwlock_rdlock(&device->identity_lock);
	noise_handshake_init(&peer->handshake, device->has_identity ? &device->identity : NULL,
	                     public_key, NULL);
	pthread_rwlock_unlock(&device->identity_lock);
	cookie_maker_init(&peer->cookie, public_key);
	atomic_init(&peer->tunnel_mtu, PEER_MTU_DEFAULT);
	atomic_init(&peer->timers.wake_ns, UINT64_MAX);
	return peer;
}

static void release_keypair(struct retired *retired)
{
	struct peer_keypair *kp = container_of(retired, struct peer_keypair, retired);

	arena_put(kp->arena, kp);
}

static uint64_t lost_of(const struct keypair *kp)
{
	uint64_t highest = stats_read(&kp->highest), received = stats_read(&kp->received);

	return highest > received ? highest - received : 0;
}

void peer_retire_keypairs(struct peer *peer, struct keypair *const *gone, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct peer_keypair *kp = container_of(gone[i], struct peer_keypair, keypair);

		stats_add(&peer->lost, lost_of(gone[i]));
		index_remove(&peer->device->indices, &kp->entry);
		quiesce_retire(&peer->device->quiesce, &kp->retired, release_keypair);
	}
}

static void clear_handshake(struct peer *peer)
{
	index_remove(&peer->device->indices, &peer->handshake_entry);
	noise_handshake_clear(&peer->handshake);
	/* The next initiation is another one: do not hold it back. */
	peer->initiation_sent_ns = 0;
}

static void reset(struct peer *peer)
{
	struct keypair *gone[3];

	peer_retire_keypairs(peer, gone, session_clear(&peer->session, gone));
	clear_handshake(peer);
}

void peer_reset(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	reset(peer);
	pthread_mutex_unlock(&peer->lock);
}

uint64_t peer_wipe(struct peer *peer, uint64_t now_ns)
{
	_Atomic(struct keypair *) *const slots[] = { &peer->session.current,
		                                     &peer->session.previous, &peer->session.next };
	struct keypair *gone[3];
	uint64_t newest_ns = 0;

	pthread_mutex_lock(&peer->lock);
	for (size_t i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		const struct keypair *kp = atomic_load_explicit(slots[i], memory_order_relaxed);

		if (kp && kp->birth_ns > newest_ns)
			newest_ns = kp->birth_ns;
	}
	if (newest_ns && peer_age_ns(now_ns, newest_ns) >= TIMERS_WIPE_NS) {
		peer_retire_keypairs(peer, gone, session_clear(&peer->session, gone));
		newest_ns = 0;
	}
	if (!timers_handshake_pending(peer))
		clear_handshake(peer);
	pthread_mutex_unlock(&peer->lock);
	return newest_ns ? newest_ns + TIMERS_WIPE_NS : 0;
}

void peer_kill(struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	peer->dead = true;
	reset(peer);
	pthread_mutex_unlock(&peer->lock);
	/* Nothing is staged for a dead peer any more. */
	peer_drop_staged(peer, DROP_OUT_NO_ROUTE);
	timers_stop(peer);
}

static void release_peer(struct retired *retired)
{
	struct peer *peer = container_of(retired, struct peer, retired);

	post_clear(&peer->post);
	pthread_mutex_destroy(&peer->lock);
	arena_put(&peer->device->peer_arena, peer);
}

void peer_retire(struct peer *peer)
{
	quiesce_retire(&peer->device->quiesce, &peer->retired, release_peer);
}

void peer_set_psk(struct peer *peer, const uint8_t psk[KEY_SIZE])
{
	pthread_mutex_lock(&peer->lock);
	memcpy(peer->handshake.psk, psk, KEY_SIZE);
	pthread_mutex_unlock(&peer->lock);
}

void peer_set_keepalive(struct peer *peer, uint16_t seconds)
{
	uint16_t old = atomic_exchange_explicit(&peer->keepalive_s, seconds, memory_order_relaxed);

	if (old != seconds)
		timers_keepalive_changed(peer, device_now(peer->device));
}

void peer_set_mtu(struct peer *peer, uint32_t mtu)
{
	if (atomic_exchange_explicit(&peer->tunnel_mtu, mtu, memory_order_relaxed) != mtu)
		atomic_store_explicit(&peer->gso_retry_ns, 0, memory_order_relaxed);
}

void peer_set_role(struct peer *peer, enum peer_role role)
{
	atomic_store_explicit(&peer->role, role, memory_order_relaxed);
}

/*
 * The endpoint is read by every burst and written rarely: a sequence lock. The
 * words are atomics, so a torn read is seen by the sequence, not by the processor.
 * No fences: each word is stored with release, which keeps the odd sequence before
 * it, and loaded with acquire, which keeps the second look at the sequence behind it.
 */
static void write_endpoint(struct peer *peer, const struct endpoint *endpoint)
{
	uint64_t words[sizeof(peer->endpoint_words) / sizeof(uint64_t)] = { 0 };
	uint32_t sequence;

	memcpy(words, endpoint, sizeof(*endpoint));
	sequence = atomic_load_explicit(&peer->endpoint_sequence, memory_order_relaxed);
	atomic_store_explicit(&peer->endpoint_sequence, sequence + 1, memory_order_relaxed);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		atomic_store_explicit(&peer->endpoint_words[i], words[i], memory_order_release);
	atomic_store_explicit(&peer->endpoint_sequence, sequence + 2, memory_order_release);
}

static bool read_endpoint(const struct peer *peer, struct endpoint *endpoint)
{
	uint64_t words[sizeof(peer->endpoint_words) / sizeof(uint64_t)];
	uint32_t before, after;

	before = atomic_load_explicit(&peer->endpoint_sequence, memory_order_acquire);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		words[i] = atomic_load_explicit(&peer->endpoint_words[i], memory_order_acquire);
	after = atomic_load_explicit(&peer->endpoint_sequence, memory_order_relaxed);
	memcpy(endpoint, words, sizeof(*endpoint));
	return !(before & 1) && before == after;
}

/*
 * Under the lock the first look succeeds. Without it, who writes may be waiting for the
 * processor that we are on, and we may have realtime priority: so not for ever.
 */
void peer_get_endpoint(struct peer *peer, struct endpoint *endpoint)
{
	for (unsigned int tries = 0; !read_endpoint(peer, endpoint); tries++) {
		if (tries < ENDPOINT_TRIES)
			continue;
		pthread_mutex_lock(&peer->lock);
		pthread_mutex_unlock(&peer->lock);
	}
}

void peer_set_endpoint(struct peer *peer, const struct endpoint *endpoint)
{
	struct endpoint old;

	pthread_mutex_lock(&peer->lock);
	peer_get_endpoint(peer, &old);
	if (!endpoint_same_remote(&old, endpoint))
		atomic_store_explicit(&peer->gso_retry_ns, 0, memory_order_relaxed);
	write_endpoint(peer, endpoint);
	pthread_mutex_unlock(&peer->lock);
}

void peer_roam(struct peer *peer, const struct endpoint *from)
{
	struct endpoint old;

	peer_get_endpoint(peer, &old);
	if (endpoint_same_remote(&old, from) && old.source_ifindex == from->source_ifindex &&
	    memcmp(&old.source, &from->source, sizeof(old.source)) == 0)
		return;
	if (endpoint_is_set(&old) && !endpoint_same_remote(&old, from))
		device_event(peer->device, EVENT_ROAM, 1);
	peer_set_endpoint(peer, from);
}

void peer_forget_source(struct peer *peer)
{
	struct endpoint endpoint;

	pthread_mutex_lock(&peer->lock);
	peer_get_endpoint(peer, &endpoint);
	endpoint_forget_source(&endpoint);
	write_endpoint(peer, &endpoint);
	pthread_mutex_unlock(&peer->lock);
}

struct keypair *peer_send_keypair(const struct peer *peer, uint64_t now_ns)
{
	struct keypair *kp = atomic_load_explicit(&peer->session.current, memory_order_acquire);

	if (!kp || peer_age_ns(now_ns, kp->birth_ns) >= SESSION_REJECT_AFTER_NS ||
	    stats_read(&kp->send_counter) >= SESSION_REJECT_AFTER_MESSAGES)
		return NULL;
	return kp;
}

bool peer_has_session(struct peer *peer, uint64_t now_ns)
{
	bool has;

	pthread_mutex_lock(&peer->lock);
	has = peer_send_keypair(peer, now_ns) != NULL;
	pthread_mutex_unlock(&peer->lock);
	return has;
}

void peer_drop(struct peer *peer, enum drop reason, uint64_t n)
{
	stats_add(&peer->drops[reason], n);
	device_drop(peer->device, reason, n);
	recorder_drop(&peer->device->recorder, reason, device_now(peer->device), peer, NULL, NULL);
}

void peer_drop_staged(struct peer *peer, enum drop reason)
{
	unsigned int n;

	pthread_mutex_lock(&peer->lock);
	n = stage_clear(&peer->stage, &peer->staged);
	pthread_mutex_unlock(&peer->lock);
	if (n)
		peer_drop(peer, reason, n);
}

void peer_get_info(struct peer *peer, uint64_t now_ns, struct peer_info *info)
{
	struct keypair *slots[3];

	memset(info, 0, sizeof(*info));
	peer_get_endpoint(peer, &info->endpoint);
	info->handshake_wall_ns = stats_read(&peer->handshake_wall_ns);
	info->rx_bytes = stats_read(&peer->rx_bytes);
	info->tx_bytes = stats_read(&peer->tx_bytes);
	info->rx_packets = stats_read(&peer->rx_packets);
	info->tx_packets = stats_read(&peer->tx_packets);
	info->session_age_ns = UINT64_MAX;

	/* The lock keeps the slots' key pairs from being retired meanwhile. */
	pthread_mutex_lock(&peer->lock);
	info->lost = stats_read(&peer->lost);
	slots[0] = atomic_load_explicit(&peer->session.current, memory_order_relaxed);
	slots[1] = atomic_load_explicit(&peer->session.previous, memory_order_relaxed);
	slots[2] = atomic_load_explicit(&peer->session.next, memory_order_relaxed);
	for (int i = 0; i < 3; i++)
		if (slots[i])
			info->lost += lost_of(slots[i]);
	if (slots[0] && peer_age_ns(now_ns, slots[0]->birth_ns) < SESSION_REJECT_AFTER_NS)
		info->session_age_ns = peer_age_ns(now_ns, slots[0]->birth_ns);
	pthread_mutex_unlock(&peer->lock);

	info->round_trip_ns = echo_round_trip(&peer->echo, now_ns, &info->round_trip_variation_ns);
	info->attempts = atomic_load_explicit(&peer->timers.attempts, memory_order_relaxed);
	info->unanswered_ns = timers_unanswered_ns(peer, now_ns);
	info->tunnel_mtu = atomic_load_explicit(&peer->tunnel_mtu, memory_order_relaxed);
	info->keepalive_s = atomic_load_explicit(&peer->keepalive_s, memory_order_relaxed);
	if (info->session_age_ns != UINT64_MAX)
		hello_get_info(&peer->hello, &info->hello);
	for (int i = 0; i < DROP_COUNT; i++)
		info->drops[i] = stats_read(&peer->drops[i]);
}
