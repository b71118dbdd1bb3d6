/* SPDX-License-Identifier: MIT */
#include "dataplane/handshake.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"
#include "dataplane/burst.h"
#include "dataplane/capture.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/tx.h"

/* A time stamp's resolution after whitening (noise_timestamp). */
#define TIMESTAMP_STEP_NS (1ULL << 24)
#define NS_PER_S          1000000000ULL
/* A wish to initiate that was not granted by then is lost. */
#define WANT_NS NS_PER_S
/* How much longer than the other one waits who is to let it try first. */
/* Places that a flood from outside cannot take. */
#define OWN_WISHES 256

/* An incoming message, or (len 0) a wish to initiate to the peer of @bytes, a public key. */
struct item {
	struct endpoint from;
	uint32_t len;
	uint8_t bytes[sizeof(struct message_initiation)];
};

struct handshake_queue {
	uint32_t head; /* grows for ever; slots are taken modulo HANDSHAKE_QUEUE */
	uint32_t tail;
	uint64_t load_until_ns;
	struct item items[HANDSHAKE_QUEUE];
};

struct handshake_queue *handshake_queue_open(void)
{
	return calloc(1, sizeof(struct handshake_queue));
}

void handshake_queue_close(struct handshake_queue *queue)
{
	free(queue);
}

static struct item *push(struct handshake_queue *queue, uint32_t limit)
{
	if (queue->tail - queue->head >= limit)
		return NULL;
	return &queue->items[queue->tail++ % HANDSHAKE_QUEUE];
}

void handshake_enqueue(struct burst *burst, const uint8_t *msg, uint32_t len,
                       const struct endpoint *from)
{
	struct item *item = NULL;

	if (len <= sizeof(item->bytes))
		item = push(burst->queue, HANDSHAKE_QUEUE - OWN_WISHES);
	if (!item) {
		burst_drop(burst, NULL, NULL, DROP_HANDSHAKE_QUEUE, 1);
		return;
	}
	item->from = *from;
	item->len = len;
	memcpy(item->bytes, msg, len);
}

void handshake_want(struct burst *burst, struct peer *peer)
{
	uint64_t asked_ns = stats_read(&peer->initiation_wanted_ns);
	struct item *item;

	/*
	 * In a queue already. But not for ever: the queue may have ended with its
	 * worker, or been drained under a view that did not have the peer.
	 */
	if (asked_ns && peer_age_ns(burst->now_ns, asked_ns) < WANT_NS)
		return;
	atomic_store_explicit(&peer->initiation_wanted_ns, burst->now_ns, memory_order_relaxed);
	item = push(burst->queue, HANDSHAKE_QUEUE);
	if (!item) {
		atomic_store_explicit(&peer->initiation_wanted_ns, 0, memory_order_relaxed);
		burst_drop(burst, peer, NULL, DROP_HANDSHAKE_QUEUE, 1);
		timers_wish_refused(peer, burst->now_ns);
		return;
	}
	item->len = 0;
	/* By key, not by pointer: the peer may be gone when its turn comes. */
	memcpy(item->bytes, peer->public_key, KEY_SIZE);
}

static uint32_t random_u32(void *arg)
{
	const struct device *device = arg;
	uint32_t v;

	device->env->random(device->env->arg, &v, sizeof(v));
	return v;
}

static uint32_t fresh_index(struct device *device, struct index_entry *entry, enum index_kind kind)
{
	return index_insert(&device->indices, entry, kind, random_u32, device);
}

static void fresh_key(const struct device *device, uint8_t key[KEY_SIZE])
{
	device->env->random(device->env->arg, key, KEY_SIZE);
	secret_clamp(key);
}

/*
 * A peer believes a time stamp only when it is greater than the last, so one
 * that was sent is never undercut, even if the clock is set back.
 */
static void next_timestamp(struct peer *peer, uint8_t out[TIMESTAMP_SIZE])
{
	const struct environment *env = peer->device->env;
	uint64_t wall = env->wall_ns(env->arg);

	if (wall < peer->timestamp_ns + TIMESTAMP_STEP_NS)
		wall = peer->timestamp_ns + TIMESTAMP_STEP_NS;
	peer->timestamp_ns = wall;
	noise_timestamp(out, wall / NS_PER_S, (uint32_t)(wall % NS_PER_S));
}

void handshake_initiate(struct burst *burst, struct peer *peer, bool retry)
{
	struct device *device = burst->device;
	struct message_initiation msg;
	uint8_t ephemeral[KEY_SIZE], timestamp[TIMESTAMP_SIZE];
	struct endpoint to;
	bool made = false;

	peer_get_endpoint(peer, &to);
	if (!endpoint_is_set(&to)) {
		/* It was set when they were staged; nothing would come back to them. */
		peer_drop_staged(peer, DROP_OUT_NO_ENDPOINT);
		return;
	}
	if (!retry && !timers_handshake_pending(peer))
		atomic_store_explicit(&peer->timers.attempts, 0, memory_order_relaxed);

	pthread_rwlock_rdlock(&device->identity_lock);
	pthread_mutex_lock(&peer->lock);
	if (peer->dead || !device->has_identity)
		goto out;
	if (peer->initiation_sent_ns &&
	    peer_age_ns(burst->now_ns, peer->initiation_sent_ns) < TIMERS_REKEY_TIMEOUT_NS) {
		/* Too soon, and nothing else would come back to it: what waits must not wait for ever. */
		if (!peer_send_keypair(peer, burst->now_ns) && !timers_handshake_pending(peer))
			timers_initiation_sent(peer, peer->initiation_sent_ns);
		goto out;
	}
	fresh_key(device, ephemeral);
	next_timestamp(peer, timestamp);
	if (noise_create_initiation(&peer->handshake, &device->identity, ephemeral, timestamp,
	                            fresh_index(device, &peer->handshake_entry, INDEX_HANDSHAKE),
	                            &msg) != NOISE_OK) {
		/* A low-order key of the peer's: it can never be talked to. */
		index_remove(&device->indices, &peer->handshake_entry);
		goto out;
	}
	cookie_add_macs(&peer->cookie, &msg, sizeof(msg), burst->now_ns);
	if (burst->captures)
		capture_key(burst, peer, ephemeral);
	peer->initiation_sent_ns = burst->now_ns;
	made = true;
out:
	pthread_mutex_unlock(&peer->lock);
	pthread_rwlock_unlock(&device->identity_lock);
	secret_wipe(ephemeral, sizeof(ephemeral));
	if (!made)
		return;
	burst_add_message(burst, peer, &to, &msg, sizeof(msg));
	timers_any_sent(peer, burst->now_ns);
	timers_initiation_sent(peer, burst->now_ns);
	device_event(device, EVENT_HANDSHAKE_SENT, 1);
}

/* Turns the finished @handshake, of @entry, into a key pair in its slot. Peer's lock held. */
static bool begin_session(struct burst *burst, struct peer *peer, struct noise_handshake *handshake,
                          struct index_entry *entry, bool initiator)
{
	struct device *device = burst->device;
	struct peer_keypair *new = arena_get(&device->keypair_arena);
	struct keypair *gone[3], *last;
	unsigned int n;

	if (!new)
		return false;
	new->peer = peer;
	new->arena = &device->keypair_arena;
	if (noise_derive_keypair(handshake, &new->keypair, burst->now_ns) != NOISE_OK ||
	    !index_replace(&device->indices, entry, &new->entry, INDEX_KEYPAIR)) {
		arena_put(&device->keypair_arena, new);
		return false;
	}
	if (initiator) {
		last = atomic_load_explicit(&peer->session.next, memory_order_relaxed);
		if (!last)
			last = atomic_load_explicit(&peer->session.current, memory_order_relaxed);
		hello_begin(peer, last, burst->now_ns);
		n = session_install_initiator(&peer->session, &new->keypair, gone);
	} else {
		n = session_install_responder(&peer->session, &new->keypair, gone);
	}
	peer_retire_keypairs(peer, gone, n);
	return true;
}

static void session_is_up(struct burst *burst, struct peer *peer)
{
	const struct environment *env = burst->device->env;

	/* From our initiation to its response, or from our response to its first message. */
	pthread_mutex_lock(&peer->lock);
	atomic_store_explicit(&peer->round_trip_ns,
	                      peer_age_ns(burst->now_ns, peer->initiation_sent_ns),
	                      memory_order_relaxed);
	pthread_mutex_unlock(&peer->lock);
	timers_handshake_complete(peer);
	atomic_store_explicit(&peer->handshake_wall_ns, env->wall_ns(env->arg),
	                      memory_order_relaxed);
	device_event(burst->device, EVENT_HANDSHAKE_DONE, 1);
	hello_due(burst, peer);
}

void handshake_confirm(struct burst *burst, struct peer_keypair *kp)
{
	struct peer *peer = kp->peer;
	struct keypair *gone[3];
	bool confirmed;

	pthread_mutex_lock(&peer->lock);
	confirmed = atomic_load_explicit(&peer->session.next, memory_order_relaxed) == &kp->keypair;
	if (confirmed)
		hello_begin(peer,
		            atomic_load_explicit(&peer->session.current, memory_order_relaxed),
		            burst->now_ns);
	peer_retire_keypairs(peer, gone, session_confirm(&peer->session, &kp->keypair, gone));
	pthread_mutex_unlock(&peer->lock);
	if (!confirmed)
		return;
	session_is_up(burst, peer);
	tx_release(burst, peer);
}

/* Under load? Sticky, so that a queue that just drained does not let the next wave in. */
static bool under_load(struct burst *burst)
{
	struct handshake_queue *queue = burst->queue;

	if (queue->tail - queue->head >= HANDSHAKE_LOAD)
		queue->load_until_ns = burst->now_ns + HANDSHAKE_LOAD_NS;
	return burst->now_ns < queue->load_until_ns;
}

/* mac1, then under load mac2 and the limiter. May answer with a cookie. */
static bool admit(struct burst *burst, const struct item *item, bool loaded)
{
	struct device *device = burst->device;
	const struct environment *env = device->env;
	struct message_cookie_reply reply;
	struct cookie_source source;
	uint8_t random[HASH_SIZE];
	enum cookie_verdict verdict;
	enum drop reason = DROP_NONE;

	endpoint_to_cookie_source(&item->from, &source);
	env->random(env->arg, random, sizeof(random));
	pthread_mutex_lock(&device->admission_lock);
	verdict = cookie_check_macs(&device->checker, item->bytes, item->len, &source,
	                            burst->now_ns, random);
	if (verdict == COOKIE_BAD_MAC1) {
		reason = DROP_HANDSHAKE_MAC1;
	} else if (loaded && verdict == COOKIE_MAC1_ONLY) {
		env->random(env->arg, random, sizeof(random));
		cookie_create_reply(&device->checker, &reply, item->bytes, item->len, &source,
		                    random);
		reason = DROP_HANDSHAKE_COOKIE;
	} else if (loaded && !limiter_allow(device->limiter, &source, burst->now_ns)) {
		reason = DROP_HANDSHAKE_RATE;
	}
	pthread_mutex_unlock(&device->admission_lock);
	secret_wipe(random, sizeof(random));
	if (reason == DROP_NONE)
		return true;
	burst_drop(burst, NULL, NULL, reason, 1);
	if (reason == DROP_HANDSHAKE_COOKIE) {
		burst_add_message(burst, NULL, &item->from, &reply, sizeof(reply));
		device_event(device, EVENT_COOKIE_SENT, 1);
	}
	return false;
}

static enum drop drop_of(enum noise_verdict verdict)
{
	switch (verdict) {
	case NOISE_OK:
		return DROP_NONE;
	case NOISE_STALE:
		return DROP_HANDSHAKE_STALE;
	case NOISE_FLOOD:
		return DROP_HANDSHAKE_RATE;
	case NOISE_BAD:
	case NOISE_UNEXPECTED:
		break;
	}
	return DROP_HANDSHAKE_INVALID;
}

/*
 * An initiation is authentic but not always fresh: after a stop or a crash, which
 * forget the last time stamp, one recorded long ago passes. Whoever sent it from his own
 * address must not get what goes to the peer. So it is answered there, but moves
 * no endpoint that is known; the first message on the new key does.
 */
static void roam_by_initiation(struct peer *peer, const struct endpoint *from)
{
	struct endpoint known;

	peer_get_endpoint(peer, &known);
	if (!endpoint_is_set(&known) || endpoint_same_remote(&known, from))
		peer_roam(peer, from);
}

/* An initiation, and what answers it. */
struct answer {
	struct message_initiation msg;
	struct noise_initiation in;
	struct message_response response;
};

/* Peer's lock held. */
static enum noise_verdict make_answer(struct burst *burst, struct peer *peer,
                                      struct noise_handshake *handshake, struct index_entry *entry,
                                      struct answer *answer)
{
	struct device *device = burst->device;
	uint8_t ephemeral[KEY_SIZE];
	enum noise_verdict verdict;
	uint32_t index;

	verdict = noise_consume_initiation(handshake, &answer->msg, &answer->in, burst->now_ns);
	if (verdict != NOISE_OK)
		return verdict;
	fresh_key(device, ephemeral);
	index = fresh_index(device, entry, INDEX_ANSWER);
	verdict = noise_create_response(handshake, ephemeral, index, &answer->response);
	if (verdict == NOISE_OK && burst->captures)
		capture_key(burst, peer, ephemeral);
	secret_wipe(ephemeral, sizeof(ephemeral));
	if (verdict == NOISE_OK && !begin_session(burst, peer, handshake, entry, false))
		verdict = NOISE_BAD;
	if (verdict != NOISE_OK) {
		index_remove(&device->indices, entry);
		return verdict;
	}
	cookie_add_macs(&peer->cookie, &answer->response, sizeof(answer->response), burst->now_ns);
	peer->initiation_sent_ns = burst->now_ns;
	return NOISE_OK;
}

/*
 * Initiations that cross on their way would undo each other: each side answers,
 * gives its own up for that, and has no use for the other's answer any more. So the
 * one with the higher key does not give its own up: it answers by a copy of the
 * handshake. If both initiations arrive, the session is the one it began; if its
 * own is lost, the one that it answered. Peer's lock held.
 */
static enum noise_verdict answer_by_copy(struct burst *burst, struct peer *peer,
                                         struct answer *answer)
{
	struct noise_handshake copy = peer->handshake;
	enum noise_verdict verdict;

	verdict = make_answer(burst, peer, &copy, &peer->answer_entry, answer);
	memcpy(peer->handshake.last_timestamp, copy.last_timestamp, TIMESTAMP_SIZE);
	peer->handshake.last_initiation_ns = copy.last_initiation_ns;
	secret_wipe(&copy, sizeof(copy));
	return verdict;
}

static enum drop consume_initiation(struct burst *burst, const struct item *item)
{
	struct device *device = burst->device;
	struct answer answer;
	struct peer *peer = NULL;
	enum noise_verdict verdict;
	bool higher;

	memcpy(&answer.msg, item->bytes, sizeof(answer.msg));
	pthread_rwlock_rdlock(&device->identity_lock);
	verdict = device->has_identity
	                  ? noise_open_initiation(&device->identity, &answer.msg, &answer.in)
	                  : NOISE_BAD;
	higher = verdict == NOISE_OK &&
	         memcmp(device->identity.public_key, answer.in.remote_static, KEY_SIZE) > 0;
	pthread_rwlock_unlock(&device->identity_lock);
	if (verdict == NOISE_OK)
		peer = view_find_peer(burst->view, answer.in.remote_static);
	if (!peer) {
		secret_wipe(&answer, sizeof(answer));
		return DROP_HANDSHAKE_INVALID;
	}

	pthread_mutex_lock(&peer->lock);
	if (peer->dead)
		verdict = NOISE_BAD;
	else if (higher && peer->handshake.state == NOISE_INITIATION_CREATED &&
	         timers_handshake_pending(peer))
		verdict = answer_by_copy(burst, peer, &answer);
	else
		verdict =
			make_answer(burst, peer, &peer->handshake, &peer->handshake_entry, &answer);
	pthread_mutex_unlock(&peer->lock);
	secret_wipe(&answer.in, sizeof(answer.in));
	if (verdict != NOISE_OK) {
		stats_add(&peer->drops[drop_of(verdict)], 1);
		return drop_of(verdict);
	}
	stats_add(&peer->rx_bytes, item->len);
	roam_by_initiation(peer, &item->from);
	timers_any_received(peer, burst->now_ns);
	timers_session_derived(peer, burst->now_ns);
	burst_add_message(burst, peer, &item->from, &answer.response, sizeof(answer.response));
	timers_any_sent(peer, burst->now_ns);
	return DROP_NONE;
}

static enum drop consume_response(struct burst *burst, const struct item *item)
{
	struct device *device = burst->device;
	struct message_response msg;
	struct index_entry *entry;
	enum noise_verdict verdict;
	struct peer *peer;

	memcpy(&msg, item->bytes, sizeof(msg));
	entry = index_lookup(&device->indices, load_le32(msg.receiver.b), INDEX_HANDSHAKE);
	if (!entry)
		return DROP_RX_UNKNOWN_INDEX;
	peer = container_of(entry, struct peer, handshake_entry);

	pthread_rwlock_rdlock(&device->identity_lock);
	pthread_mutex_lock(&peer->lock);
	/* The entry may have been given another index since it was looked up. */
	if (peer->dead || peer->handshake.local_index != load_le32(msg.receiver.b))
		verdict = NOISE_UNEXPECTED;
	else
		verdict = noise_consume_response(&peer->handshake, &device->identity, &msg);
	if (verdict == NOISE_OK &&
	    !begin_session(burst, peer, &peer->handshake, &peer->handshake_entry, true))
		verdict = NOISE_BAD;
	pthread_mutex_unlock(&peer->lock);
	pthread_rwlock_unlock(&device->identity_lock);
	if (verdict != NOISE_OK) {
		stats_add(&peer->drops[drop_of(verdict)], 1);
		return drop_of(verdict);
	}
	stats_add(&peer->rx_bytes, item->len);
	peer_roam(peer, &item->from);
	timers_any_received(peer, burst->now_ns);
	timers_session_derived(peer, burst->now_ns);
	session_is_up(burst, peer);
	/* The responder may send only after our first packet, so there is always one. */
	if (!tx_release(burst, peer))
		burst_add_packet(burst, peer, NULL, 0, BURST_KEEPALIVE);
	return DROP_NONE;
}

static enum drop consume_cookie(struct burst *burst, const struct item *item)
{
	struct device *device = burst->device;
	struct message_cookie_reply msg;
	struct index_entry *entry;
	struct peer *peer;
	uint32_t receiver;
	bool taken;

	/* It answers an initiation (a handshake's index) or a response (a key pair's by now). */
	memcpy(&msg, item->bytes, sizeof(msg));
	receiver = load_le32(msg.receiver.b);
	entry = index_lookup(&device->indices, receiver, INDEX_HANDSHAKE);
	if (entry) {
		peer = container_of(entry, struct peer, handshake_entry);
	} else {
		entry = index_lookup(&device->indices, receiver, INDEX_KEYPAIR);
		if (!entry)
			return DROP_RX_UNKNOWN_INDEX;
		peer = container_of(entry, struct peer_keypair, entry)->peer;
	}
	pthread_mutex_lock(&peer->lock);
	taken = cookie_consume_reply(&peer->cookie, &msg, burst->now_ns);
	pthread_mutex_unlock(&peer->lock);
	return taken ? DROP_NONE : DROP_COOKIE_INVALID;
}

static void process(struct burst *burst, const struct item *item, bool loaded)
{
	enum drop reason = DROP_NONE;
	struct peer *peer;

	if (item->len == 0) {
		peer = view_find_peer(burst->view, item->bytes);
		if (peer) {
			atomic_store_explicit(&peer->initiation_wanted_ns, 0, memory_order_relaxed);
			handshake_initiate(burst, peer, false);
		}
		return;
	}
	burst_set_current(burst, HEADER_DATAGRAM, item->bytes, item->len, &item->from);
	switch (load_le32(item->bytes)) {
	case MESSAGE_INITIATION:
		if (admit(burst, item, loaded))
			reason = consume_initiation(burst, item);
		break;
	case MESSAGE_RESPONSE:
		if (admit(burst, item, loaded))
			reason = consume_response(burst, item);
		break;
	default:
		reason = consume_cookie(burst, item);
		break;
	}
	if (reason != DROP_NONE)
		burst_drop(burst, NULL, NULL, reason, 1);
	burst_clear_current(burst);
}

bool handshake_drain(struct burst *burst)
{
	struct handshake_queue *queue = burst->queue;
	uint64_t start_ns = burst->now_ns;

	for (unsigned int done = 0; queue->head != queue->tail; done++) {
		if (done >= HANDSHAKE_FLOOR &&
		    device_now(burst->device) - start_ns > HANDSHAKE_CEILING_NS)
			break;
		bool loaded = under_load(burst);

		/* Copied: processing may queue a wish of its own. */
		struct item item = queue->items[queue->head++ % HANDSHAKE_QUEUE];
		process(burst, &item, loaded);
	}
	return queue->head != queue->tail;
}
