/* SPDX-License-Identifier: MIT */
/*
 * Why no counter of a key is sealed twice. Who takes runs no worker, and workers
 * alone seal; so send_counter is behind every counter that was reserved, and what is
 * carried lies SESSION_JUMP behind that. Who puts begins there. That a state is put
 * once is the caller's to see to.
 */
#include "dataplane/carried.h"

#include <string.h>
#include "dataplane/device.h"
#include "dataplane/peer.h"

_Static_assert(SESSION_REKEY_AFTER_MESSAGES < SESSION_REJECT_AFTER_MESSAGES - SESSION_JUMP,
               "a key pair that is worth carrying has counters left");

static _Atomic(struct keypair *) *slot_of(struct peer *peer, unsigned int slot)
{
	switch ((enum carried_slot)slot) {
	case CARRIED_PREVIOUS:
		return &peer->session.previous;
	case CARRIED_NEXT:
		return &peer->session.next;
	case CARRIED_CURRENT:
	case CARRIED_SLOTS:
		break;
	}
	return &peer->session.current;
}

static bool is_worth_it(uint64_t birth_ns, uint64_t send_counter, uint64_t now_ns)
{
	return birth_ns <= now_ns && now_ns - birth_ns < SESSION_REJECT_AFTER_NS &&
	       send_counter < SESSION_REKEY_AFTER_MESSAGES;
}

/* ---- taking ---- */

static void take_keypair(struct keypair *kp, uint64_t now_ns, struct carried_keypair *out)
{
	const struct peer_keypair *entry;

	if (!kp || !is_worth_it(kp->birth_ns, stats_read(&kp->send_counter), now_ns))
		return;
	entry = container_of(kp, struct peer_keypair, keypair);
	out->there = true;
	out->initiator = kp->initiator;
	out->rekeyed_on_receive =
		atomic_load_explicit(&entry->rekeyed_on_receive, memory_order_relaxed);
	memcpy(out->send_key, kp->send_key, KEY_SIZE);
	memcpy(out->receive_key, kp->receive_key, KEY_SIZE);
	out->local_index = kp->local_index;
	out->remote_index = kp->remote_index;
	out->birth_ns = kp->birth_ns;
	out->send_counter = stats_read(&kp->send_counter) + SESSION_JUMP;
	out->received = stats_read(&kp->received);
	pthread_mutex_lock(&kp->replay_lock);
	out->replay = kp->replay;
	pthread_mutex_unlock(&kp->replay_lock);
}

void carried_take(struct peer *peer, uint64_t now_ns, struct carried_peer *out)
{
	const struct hello *hello = &peer->hello;

	memset(out, 0, sizeof(*out));
	peer_get_endpoint(peer, &out->endpoint);
	pthread_mutex_lock(&peer->lock);
	memcpy(out->last_timestamp, peer->handshake.last_timestamp, TIMESTAMP_SIZE);
	out->timestamp_ns = peer->timestamp_ns;
	out->lost = stats_read(&peer->lost);
	for (unsigned int i = 0; i < CARRIED_SLOTS; i++)
		take_keypair(atomic_load_explicit(slot_of(peer, i), memory_order_relaxed), now_ns,
		             &out->keypairs[i]);
	pthread_mutex_unlock(&peer->lock);
	out->handshake_wall_ns = stats_read(&peer->handshake_wall_ns);
	out->round_trip_ns = stats_read(&peer->round_trip_ns);
	out->rx_bytes = stats_read(&peer->rx_bytes);
	out->tx_bytes = stats_read(&peer->tx_bytes);
	out->rx_packets = stats_read(&peer->rx_packets);
	out->tx_packets = stats_read(&peer->tx_packets);
	hello_get_info(hello, &out->hello);
	out->hello_acked = atomic_load_explicit(&hello->acked, memory_order_relaxed);
	out->hello_carried = atomic_load_explicit(&hello->carried, memory_order_relaxed);
	out->hello_settled_ns = stats_read(&hello->settled_ns);
	timers_get_due(peer, &out->due);
}

/* ---- putting ---- */

struct wanted_index {
	struct device *device;
	uint32_t index;
	bool asked;
};

/* The one that is wanted, and any if that is taken. */
static uint32_t give_wanted(void *arg)
{
	struct wanted_index *wanted = arg;
	uint32_t any;

	if (!wanted->asked) {
		wanted->asked = true;
		return wanted->index;
	}
	wanted->device->env->random(wanted->device->env->arg, &any, sizeof(any));
	return any;
}

static bool enter(struct peer_keypair *new, uint32_t index)
{
	struct device *device = new->peer->device;
	struct wanted_index wanted = { .device = device, .index = index };

	if (index_insert(&device->indices, &new->entry, INDEX_KEYPAIR, give_wanted, &wanted) ==
	    index)
		return true;
	index_remove(&device->indices, &new->entry);
	return false;
}

static bool put_keypair(struct peer *peer, unsigned int slot, const struct carried_keypair *in)
{
	struct arena *arena = &peer->device->keypair_arena;
	struct peer_keypair *new = arena_get(arena);
	struct keypair *kp;

	if (!new)
		return false;
	new->peer = peer;
	new->arena = arena;
	kp = &new->keypair;
	memcpy(kp->send_key, in->send_key, KEY_SIZE);
	memcpy(kp->receive_key, in->receive_key, KEY_SIZE);
	kp->local_index = in->local_index;
	kp->remote_index = in->remote_index;
	kp->birth_ns = in->birth_ns;
	kp->initiator = in->initiator;
	atomic_init(&kp->send_counter, in->send_counter);
	atomic_init(&kp->received, in->received);
	atomic_init(&kp->highest, in->replay.next);
	atomic_init(&new->rekeyed_on_receive, in->rekeyed_on_receive);
	pthread_mutex_init(&kp->replay_lock, NULL);
	kp->replay = in->replay;
	/* Last: who finds it finds it whole. No worker knows its peer, but this costs nothing. */
	if (!enter(new, in->local_index)) {
		arena_put(arena, new);
		return false;
	}
	atomic_store_explicit(slot_of(peer, slot), kp, memory_order_release);
	return true;
}

static void put_hello(struct hello *hello, const struct carried_peer *in)
{
	uint32_t count = in->hello.vni_count;

	if (count > HELLO_VNIS_MAX)
		count = HELLO_VNIS_MAX;
	for (uint32_t i = 0; i < count; i++)
		atomic_store_explicit(&hello->vnis[i], in->hello.vnis[i], memory_order_relaxed);
	atomic_store_explicit(&hello->vni_count, count, memory_order_release);
	atomic_store_explicit(&hello->tunnel_mtu, in->hello.tunnel_mtu, memory_order_relaxed);
	/* Of a life before that knew more than this one, or less. */
	atomic_store_explicit(&hello->features, in->hello.features & HELLO_FEATURES,
	                      memory_order_relaxed);
	atomic_store_explicit(&hello->boot, in->hello.boot, memory_order_relaxed);
	atomic_store_explicit(&hello->settled_ns, in->hello_settled_ns, memory_order_relaxed);
	atomic_store_explicit(&hello->acked, in->hello_acked, memory_order_relaxed);
	atomic_store_explicit(&hello->carried, in->hello_carried, memory_order_relaxed);
	atomic_store_explicit(&hello->version, in->hello.version, memory_order_release);
}

bool carried_put(struct peer *peer, uint64_t now_ns, const struct carried_peer *in, bool with_keys)
{
	pthread_mutex_lock(&peer->lock);
	/* What was heard or said once is not heard or said again, session or none. */
	memcpy(peer->handshake.last_timestamp, in->last_timestamp, TIMESTAMP_SIZE);
	peer->timestamp_ns = in->timestamp_ns;
	for (unsigned int i = 0; with_keys && i < CARRIED_SLOTS; i++)
		if (in->keypairs[i].there &&
		    is_worth_it(in->keypairs[i].birth_ns, in->keypairs[i].send_counter, now_ns))
			(void)put_keypair(peer, i, &in->keypairs[i]);
	pthread_mutex_unlock(&peer->lock);
	atomic_init(&peer->handshake_wall_ns, in->handshake_wall_ns);
	atomic_init(&peer->round_trip_ns, in->round_trip_ns);
	atomic_init(&peer->rx_bytes, in->rx_bytes);
	atomic_init(&peer->tx_bytes, in->tx_bytes);
	atomic_init(&peer->rx_packets, in->rx_packets);
	atomic_init(&peer->tx_packets, in->tx_packets);
	atomic_init(&peer->lost, in->lost);
	if (!peer_send_keypair(peer, now_ns))
		return false;
	put_hello(&peer->hello, in);
	return true;
}

void carried_go_on(struct peer *peer, uint64_t now_ns, const struct carried_peer *in)
{
	uint64_t newest_ns = 0;

	for (unsigned int i = 0; i < CARRIED_SLOTS; i++)
		if (in->keypairs[i].there && in->keypairs[i].birth_ns > newest_ns)
			newest_ns = in->keypairs[i].birth_ns;
	if (newest_ns)
		timers_session_derived(peer, newest_ns);
	timers_set_due(peer, &in->due, now_ns);
	/* This is another life: members of bridged networks are to know, and what was asked is asked. */
	if (peer_send_keypair(peer, now_ns) && (in->hello.version || now_ns < in->hello_settled_ns))
		hello_changed(peer);
}
