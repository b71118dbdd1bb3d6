/* SPDX-License-Identifier: MIT */
/*
 *	<- s				the responder's static key is known
 *	...
 *	-> e, es, s, ss, {timestamp}	initiation
 *	<- e, ee, se, psk, {}		response
 *
 * Each step below carries its token. A function works on a copy of the
 * symmetric state and on other locals, commits when nothing can fail any more,
 * and wipes what it worked on at its one `out:`.
 *
 * "e" mixes the ephemeral into the hash and, because a PSK is part of the
 * pattern, into the chaining key. Without a PSK configured, it is all zero.
 */
#include "crypto/noise.h"

#include <string.h>
#include "crypto/secret.h"
#include "crypto/session.h"
#include "crypto/symmetric.h"

#define TAI64_BASE        0x400000000000000aULL
#define NS_PER_S          1000000000U
#define TIMESTAMP_NS_MASK 0xff000000U

static const char identifier[] = "WireGuard v1 zx2c4 Jason@zx2c4.com";

void noise_timestamp(uint8_t out[TIMESTAMP_SIZE], uint64_t unix_seconds, uint32_t nanoseconds)
{
	/*
	 * The low bits go so that the time stamp does not tell how long
	 * something took here. The mask keeps the value below one second.
	 */
	store_be64(out, TAI64_BASE + unix_seconds + nanoseconds / NS_PER_S);
	store_be32(out + 8, nanoseconds % NS_PER_S & TIMESTAMP_NS_MASK);
}

void noise_identity_init(struct noise_identity *id, const uint8_t private_key[KEY_SIZE])
{
	memcpy(id->private_key, private_key, KEY_SIZE);
	secret_clamp(id->private_key);
	secret_derive_public(id->public_key, id->private_key);
}

void noise_handshake_init(struct noise_handshake *hs, const struct noise_identity *id,
                          const uint8_t remote_static[KEY_SIZE], const uint8_t *psk)
{
	secret_wipe(hs, sizeof(*hs));
	memcpy(hs->remote_static, remote_static, KEY_SIZE);
	if (psk)
		memcpy(hs->psk, psk, KEY_SIZE);
	noise_handshake_rekey(hs, id);
}

void noise_handshake_rekey(struct noise_handshake *hs, const struct noise_identity *id)
{
	noise_handshake_clear(hs);
	secret_wipe(hs->static_static, sizeof(hs->static_static));
	hs->usable = id && secret_dh(hs->static_static, id->private_key, hs->remote_static);
}

void noise_handshake_clear(struct noise_handshake *hs)
{
	hs->state = NOISE_ZEROED;
	secret_wipe(hs->hash, sizeof(hs->hash));
	secret_wipe(hs->chaining_key, sizeof(hs->chaining_key));
	secret_wipe(hs->ephemeral_private, sizeof(hs->ephemeral_private));
	secret_wipe(hs->remote_ephemeral, sizeof(hs->remote_ephemeral));
	hs->local_index = 0;
	hs->remote_index = 0;
}

/* The state before the first message, "<- s" included. */
static void start(struct symmetric *state, const uint8_t responder_static[KEY_SIZE])
{
	symmetric_init(state, identifier, sizeof(identifier) - 1);
	symmetric_mix_hash(state, responder_static, KEY_SIZE);
}

/* "e" */
static void mix_ephemeral(struct symmetric *state, const uint8_t ephemeral[KEY_SIZE])
{
	symmetric_mix_hash(state, ephemeral, KEY_SIZE);
	symmetric_mix_key(state, ephemeral);
}

/* "es", "ee", "se": which keys they are is the caller's to name. */
static bool mix_dh(struct symmetric *state, const uint8_t private_key[KEY_SIZE],
                   const uint8_t public_key[KEY_SIZE])
{
	uint8_t shared[KEY_SIZE];
	bool ok = secret_dh(shared, private_key, public_key);

	if (ok)
		symmetric_mix_key(state, shared);
	secret_wipe(shared, sizeof(shared));
	return ok;
}

static void load_state(struct symmetric *state, const uint8_t hash[HASH_SIZE],
                       const uint8_t chaining_key[HASH_SIZE])
{
	memcpy(state->hash, hash, HASH_SIZE);
	memcpy(state->chaining_key, chaining_key, HASH_SIZE);
	memset(state->key, 0, sizeof(state->key));
}

static void commit_state(struct noise_handshake *hs, const struct symmetric *state,
                         enum noise_state next)
{
	memcpy(hs->hash, state->hash, HASH_SIZE);
	memcpy(hs->chaining_key, state->chaining_key, HASH_SIZE);
	hs->state = next;
}

enum noise_verdict noise_create_initiation(struct noise_handshake *hs,
                                           const struct noise_identity *id,
                                           const uint8_t ephemeral_private[KEY_SIZE],
                                           const uint8_t timestamp[TIMESTAMP_SIZE],
                                           uint32_t local_index, struct message_initiation *msg)
{
	enum noise_verdict verdict = NOISE_BAD;
	struct symmetric state;

	if (!hs->usable)
		return NOISE_BAD;
	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_INITIATION);
	store_le32(&msg->sender, local_index);
	start(&state, hs->remote_static);

	/* e */
	secret_derive_public(msg->ephemeral, ephemeral_private);
	mix_ephemeral(&state, msg->ephemeral);
	/* es */
	if (!mix_dh(&state, ephemeral_private, hs->remote_static))
		goto out;
	/* s */
	symmetric_encrypt_and_hash(&state, msg->static_sealed, id->public_key, KEY_SIZE);
	/* ss */
	symmetric_mix_key(&state, hs->static_static);
	/* {timestamp} */
	symmetric_encrypt_and_hash(&state, msg->timestamp_sealed, timestamp, TIMESTAMP_SIZE);

	noise_handshake_clear(hs);
	memcpy(hs->ephemeral_private, ephemeral_private, KEY_SIZE);
	hs->local_index = local_index;
	commit_state(hs, &state, NOISE_INITIATION_CREATED);
	verdict = NOISE_OK;
out:
	secret_wipe(&state, sizeof(state));
	return verdict;
}

enum noise_verdict noise_open_initiation(const struct noise_identity *id,
                                         const struct message_initiation *msg,
                                         struct noise_initiation *in)
{
	enum noise_verdict verdict = NOISE_BAD;
	struct symmetric state;

	memset(in, 0, sizeof(*in));
	start(&state, id->public_key);

	/* e */
	mix_ephemeral(&state, msg->ephemeral);
	/* es */
	if (!mix_dh(&state, id->private_key, msg->ephemeral))
		goto out;
	/* s */
	if (!symmetric_decrypt_and_hash(&state, in->remote_static, msg->static_sealed, KEY_SIZE))
		goto out;

	memcpy(in->remote_ephemeral, msg->ephemeral, KEY_SIZE);
	memcpy(in->hash, state.hash, HASH_SIZE);
	memcpy(in->chaining_key, state.chaining_key, HASH_SIZE);
	in->remote_index = load_le32(&msg->sender);
	verdict = NOISE_OK;
out:
	secret_wipe(&state, sizeof(state));
	return verdict;
}

enum noise_verdict noise_consume_initiation(struct noise_handshake *hs,
                                            const struct message_initiation *msg,
                                            const struct noise_initiation *in, uint64_t now_ns)
{
	enum noise_verdict verdict = NOISE_BAD;
	uint8_t timestamp[TIMESTAMP_SIZE];
	struct symmetric state;

	if (!hs->usable)
		return NOISE_BAD;
	load_state(&state, in->hash, in->chaining_key);

	/* ss */
	symmetric_mix_key(&state, hs->static_static);
	/* {timestamp} */
	if (!symmetric_decrypt_and_hash(&state, timestamp, msg->timestamp_sealed, TIMESTAMP_SIZE))
		goto out;

	/* big-endian, so the order of bytes is the order of times */
	verdict = NOISE_STALE;
	if (memcmp(timestamp, hs->last_timestamp, TIMESTAMP_SIZE) <= 0)
		goto out;
	verdict = NOISE_FLOOD;
	if (hs->last_initiation_ns &&
	    now_ns < hs->last_initiation_ns + NOISE_INITIATION_INTERVAL_NS)
		goto out;

	memcpy(hs->last_timestamp, timestamp, TIMESTAMP_SIZE);
	hs->last_initiation_ns = now_ns;
	/* an initiation of our own that was under way has lost */
	secret_wipe(hs->ephemeral_private, sizeof(hs->ephemeral_private));
	memcpy(hs->remote_ephemeral, in->remote_ephemeral, KEY_SIZE);
	hs->remote_index = in->remote_index;
	commit_state(hs, &state, NOISE_INITIATION_CONSUMED);
	verdict = NOISE_OK;
out:
	secret_wipe(&state, sizeof(state));
	return verdict;
}

enum noise_verdict noise_create_response(struct noise_handshake *hs,
                                         const uint8_t ephemeral_private[KEY_SIZE],
                                         uint32_t local_index, struct message_response *msg)
{
	enum noise_verdict verdict = NOISE_BAD;
	struct symmetric state;

	if (hs->state != NOISE_INITIATION_CONSUMED)
		return NOISE_UNEXPECTED;
	memset(msg, 0, sizeof(*msg));
	store_le32(&msg->type, MESSAGE_RESPONSE);
	store_le32(&msg->sender, local_index);
	store_le32(&msg->receiver, hs->remote_index);
	load_state(&state, hs->hash, hs->chaining_key);

	/* e */
	secret_derive_public(msg->ephemeral, ephemeral_private);
	mix_ephemeral(&state, msg->ephemeral);
	/* ee */
	if (!mix_dh(&state, ephemeral_private, hs->remote_ephemeral))
		goto out;
	/* se */
	if (!mix_dh(&state, ephemeral_private, hs->remote_static))
		goto out;
	/* psk */
	symmetric_mix_key_and_hash(&state, hs->psk);
	/* {} */
	symmetric_encrypt_and_hash(&state, msg->empty_sealed, NULL, 0);

	hs->local_index = local_index;
	commit_state(hs, &state, NOISE_RESPONSE_CREATED);
	verdict = NOISE_OK;
out:
	secret_wipe(&state, sizeof(state));
	return verdict;
}

enum noise_verdict noise_consume_response(struct noise_handshake *hs,
                                          const struct noise_identity *id,
                                          const struct message_response *msg)
{
	enum noise_verdict verdict = NOISE_BAD;
	struct symmetric state;
	uint8_t empty[1]; /* libsodium wants a place even for nothing */

	if (hs->state != NOISE_INITIATION_CREATED || load_le32(&msg->receiver) != hs->local_index)
		return NOISE_UNEXPECTED;
	load_state(&state, hs->hash, hs->chaining_key);

	/* e */
	mix_ephemeral(&state, msg->ephemeral);
	/* ee */
	if (!mix_dh(&state, hs->ephemeral_private, msg->ephemeral))
		goto out;
	/* se */
	if (!mix_dh(&state, id->private_key, msg->ephemeral))
		goto out;
	/* psk */
	symmetric_mix_key_and_hash(&state, hs->psk);
	/* {} */
	if (!symmetric_decrypt_and_hash(&state, empty, msg->empty_sealed, 0))
		goto out;

	memcpy(hs->remote_ephemeral, msg->ephemeral, KEY_SIZE);
	hs->remote_index = load_le32(&msg->sender);
	commit_state(hs, &state, NOISE_RESPONSE_CONSUMED);
	verdict = NOISE_OK;
out:
	secret_wipe(&state, sizeof(state));
	return verdict;
}

enum noise_verdict noise_derive_keypair(struct noise_handshake *hs, struct keypair *kp,
                                        uint64_t now_ns)
{
	struct symmetric state;

	if (hs->state != NOISE_RESPONSE_CREATED && hs->state != NOISE_RESPONSE_CONSUMED)
		return NOISE_UNEXPECTED;
	secret_wipe(kp, sizeof(*kp));
	atomic_init(&kp->send_counter, 0);
	atomic_init(&kp->received, 0);
	atomic_init(&kp->highest, 0);
	pthread_mutex_init(&kp->replay_lock, NULL);
	kp->initiator = hs->state == NOISE_RESPONSE_CONSUMED;
	kp->local_index = hs->local_index;
	kp->remote_index = hs->remote_index;
	kp->birth_ns = now_ns;
	load_state(&state, hs->hash, hs->chaining_key);
	if (kp->initiator)
		symmetric_split(&state, kp->send_key, kp->receive_key);
	else
		symmetric_split(&state, kp->receive_key, kp->send_key);
	secret_wipe(&state, sizeof(state));
	noise_handshake_clear(hs);
	return NOISE_OK;
}
