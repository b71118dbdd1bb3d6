/* SPDX-License-Identifier: MIT */
/*
 * Slots: readers (workers that send) load `current` with acquire and find the
 * key pair's contents behind it; writers hold the peer's lock, so their own
 * loads need no order. A key pair is complete before it enters a slot and is
 * never changed afterwards but for its counters and its replay window.
 */
#include "crypto/session.h"

#include "crypto/secret.h"

static struct keypair *slot_get(_Atomic(struct keypair *) *slot)
{
	return atomic_load_explicit(slot, memory_order_relaxed);
}

static void slot_put(_Atomic(struct keypair *) *slot, struct keypair *kp)
{
	atomic_store_explicit(slot, kp, memory_order_release);
}

/* Appends @kp, if any, to the key pairs that left. */
static unsigned int give_up(struct keypair *out[3], unsigned int n, struct keypair *kp)
{
	if (kp)
		out[n++] = kp;
	return n;
}

unsigned int session_install_initiator(struct session *session, struct keypair *new,
                                       struct keypair *out[3])
{
	struct keypair *current = slot_get(&session->current);
	struct keypair *previous = slot_get(&session->previous);
	struct keypair *next = slot_get(&session->next);
	unsigned int n = 0;

	if (next) {
		/* newer than current: what is under way may be sealed with it */
		slot_put(&session->previous, next);
		slot_put(&session->next, NULL);
		n = give_up(out, n, current);
	} else {
		slot_put(&session->previous, current);
	}
	slot_put(&session->current, new);
	return give_up(out, n, previous);
}

unsigned int session_install_responder(struct session *session, struct keypair *new,
                                       struct keypair *out[3])
{
	unsigned int n = give_up(out, 0, slot_get(&session->next));

	n = give_up(out, n, slot_get(&session->previous));
	slot_put(&session->next, new);
	slot_put(&session->previous, NULL);
	return n;
}

unsigned int session_confirm(struct session *session, struct keypair *kp, struct keypair *out[3])
{
	struct keypair *previous = slot_get(&session->previous);

	if (!kp || slot_get(&session->next) != kp)
		return 0;
	slot_put(&session->previous, slot_get(&session->current));
	slot_put(&session->current, kp);
	slot_put(&session->next, NULL);
	return give_up(out, 0, previous);
}

unsigned int session_clear(struct session *session, struct keypair *out[3])
{
	unsigned int n = give_up(out, 0, slot_get(&session->current));

	n = give_up(out, n, slot_get(&session->previous));
	n = give_up(out, n, slot_get(&session->next));
	slot_put(&session->current, NULL);
	slot_put(&session->previous, NULL);
	slot_put(&session->next, NULL);
	return n;
}

/* A worker's idea of now may be older than a key pair another thread just made. */
static bool is_older(const struct keypair *kp, uint64_t now_ns, uint64_t limit_ns)
{
	return now_ns > kp->birth_ns && now_ns - kp->birth_ns >= limit_ns;
}

static bool exceeds_cap(uint64_t first, unsigned int n)
{
	return first > SESSION_REJECT_AFTER_MESSAGES - n;
}

/*
 * The counter must never wrap, whatever is tried on an exhausted key. The look
 * before the addition stops it from growing further; workers that looked at the
 * same moment overshoot by one burst each, and 2^13 counters lie between the
 * cap and the end. Those that overshot see it in what the addition returned.
 */
enum session_verdict session_reserve(struct keypair *kp, unsigned int n, uint64_t now_ns,
                                     uint64_t *first)
{
	uint64_t start;

	if (is_older(kp, now_ns, SESSION_REJECT_AFTER_NS) ||
	    exceeds_cap(atomic_load_explicit(&kp->send_counter, memory_order_relaxed), n))
		return SESSION_EXPIRED;
	start = atomic_fetch_add_explicit(&kp->send_counter, n, memory_order_relaxed);
	if (exceeds_cap(start, n))
		return SESSION_EXPIRED;
	*first = start;
	return SESSION_OK;
}

bool session_wants_rekey(const struct keypair *kp, uint64_t now_ns)
{
	if (atomic_load_explicit(&kp->send_counter, memory_order_relaxed) >=
	    SESSION_REKEY_AFTER_MESSAGES)
		return true;
	/* only one side, or both would start at once every two minutes */
	return kp->initiator && is_older(kp, now_ns, SESSION_REKEY_AFTER_NS);
}

void session_seal_burst(struct keypair *kp, uint64_t first, struct session_op *ops, unsigned int n)
{
	struct aead_op aead[AEAD_BURST_MAX];

	for (unsigned int i = 0; i < n; i++) {
		struct message_data *header = (struct message_data *)ops[i].packet;
		uint8_t *text = ops[i].packet + sizeof(*header);

		store_le32(&header->type, MESSAGE_DATA);
		store_le32(&header->receiver, kp->remote_index);
		store_le64(&header->counter, first + i);
		aead[i] = (struct aead_op){
			.src = text, .dst = text, .len = ops[i].len, .counter = first + i
		};
		ops[i].verdict = SESSION_OK;
	}
	aead_seal_burst(kp->send_key, aead, n);
}

/*
 * Authenticate first, replay window second: a forged counter must not move the
 * window. Two workers may decrypt copies of one packet at the same time; the
 * window, taken under the lock, lets one of them pass. A lock that sleeps: with
 * realtime priority a worker that spins may keep the one it waits for from running.
 */
unsigned int session_open_burst(struct keypair *kp, struct session_op *ops, unsigned int n)
{
	struct aead_op aead[AEAD_BURST_MAX];
	uint64_t before, jumped;
	unsigned int good = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct message_data *header = (const struct message_data *)ops[i].packet;
		uint8_t *text = ops[i].packet + sizeof(*header);

		aead[i] = (struct aead_op){ .src = text,
			                    .dst = text,
			                    .len = ops[i].len,
			                    .counter = load_le64(&header->counter) };
		ops[i].verdict = SESSION_BAD;
	}
	if (aead_open_burst(kp->receive_key, aead, n) == 0)
		return 0;

	pthread_mutex_lock(&kp->replay_lock);
	before = kp->replay.next;
	for (unsigned int i = 0; i < n; i++) {
		if (!aead[i].ok)
			continue;
		if (replay_accept(&kp->replay, aead[i].counter)) {
			ops[i].verdict = SESSION_OK;
			good++;
		} else {
			ops[i].verdict = SESSION_REPLAY;
		}
	}
	atomic_store_explicit(&kp->highest, kp->replay.next, memory_order_relaxed);
	jumped = (kp->replay.next - before + SESSION_LEAP) / SESSION_JUMP * SESSION_JUMP;
	atomic_fetch_add_explicit(&kp->received, good + jumped, memory_order_relaxed);
	pthread_mutex_unlock(&kp->replay_lock);
	return good;
}
