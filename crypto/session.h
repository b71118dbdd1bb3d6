/* SPDX-License-Identifier: MIT */
/*
 * Transport keys: three slots a peer, nonces, sealing and opening of bursts.
 *
 * Threads: any number of workers seal and open with one key pair at once. Send
 * counters are reserved for a whole burst by one atomic addition; the replay
 * window is taken once a burst, after the burst was authenticated. The slots
 * are atomic pointers, replaced under the caller's lock; a key pair that left
 * its slot stays valid until the caller knows that no worker uses it, and is
 * then wiped and freed by the caller.
 */
#ifndef CRYPTO_SESSION_H
#define CRYPTO_SESSION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "crypto/aead.h"
#include "crypto/message.h"
#include "crypto/replay.h"

#define SESSION_REKEY_AFTER_MESSAGES  (1ULL << 60)
#define SESSION_REJECT_AFTER_MESSAGES REPLAY_COUNTER_END
#define SESSION_REKEY_AFTER_NS        120000000000ULL
#define SESSION_REJECT_AFTER_NS       180000000000ULL
/* On receive the initiator rekeys this long after birth: reject - keepalive - rekey timeout. */
#define SESSION_REKEY_ON_RECEIVE_NS 165000000000ULL
/*
 * A key pair that is handed from one life of the daemon to the next goes on that many
 * counters further on: more than are sealed in a session's time, so that whatever the
 * last life did, no counter comes twice. A leap of half of it is no loss: it would be
 * twelve million packets a second for as long as a session lasts.
 */
#define SESSION_JUMP (1ULL << 32)
#define SESSION_LEAP (SESSION_JUMP / 2)

struct keypair {
	uint8_t send_key[KEY_SIZE];
	uint8_t receive_key[KEY_SIZE];
	uint32_t local_index;
	uint32_t remote_index;
	uint64_t birth_ns;
	bool initiator;
	_Atomic uint64_t send_counter; /* the next to use */
	_Atomic uint64_t received; /* packets accepted, and leapt over: for the loss estimate */
	_Atomic uint64_t highest; /* highest counter accepted plus one, likewise */
	pthread_mutex_t replay_lock; /* held for one burst's counters */
	struct replay replay;
};

struct session {
	_Atomic(struct keypair *) current;
	_Atomic(struct keypair *) previous;
	_Atomic(struct keypair *) next; /* responder's, until its first packet */
};

enum session_verdict {
	SESSION_OK,
	SESSION_BAD, /* opening: not authentic */
	SESSION_REPLAY, /* opening: authentic, and seen before or too old */
	SESSION_EXPIRED, /* too old, or out of counters */
};

/*
 * Slot changes; the caller holds the peer's lock. Each returns in @out (room
 * for 3) the key pairs that left their slots, and their number.
 *
 * initiator: next held ? previous = next : previous = current; current = new.
 * responder: next = new, previous is given up.
 * confirm:   @kp is next: previous = current, current = next. 0 and no change
 *            if @kp is not next any more; 0 too if previous was empty, so the
 *            caller who has to know looks at current.
 * clear:     all three.
 */
unsigned int session_install_initiator(struct session *session, struct keypair *new,
                                       struct keypair *out[3]);
unsigned int session_install_responder(struct session *session, struct keypair *new,
                                       struct keypair *out[3]);
unsigned int session_confirm(struct session *session, struct keypair *kp, struct keypair *out[3]);
unsigned int session_clear(struct session *session, struct keypair *out[3]);

/*
 * Reserves @n counters from *@first on. SESSION_EXPIRED when the key pair is
 * older than SESSION_REJECT_AFTER_NS or the counters would reach
 * SESSION_REJECT_AFTER_MESSAGES; nothing may be sent then.
 */
enum session_verdict session_reserve(struct keypair *kp, unsigned int n, uint64_t now_ns,
                                     uint64_t *first) __attribute__((warn_unused_result));

/* True when the owner should start a new handshake after having sent. */
bool session_wants_rekey(const struct keypair *kp, uint64_t now_ns);

/*
 * One packet to seal: @packet points at the transport header's place; the
 * plaintext of @len bytes, padding included, lies behind it, and AEAD_TAG_SIZE
 * bytes are free behind that. Sealing is in place and writes the header.
 * One packet to open: @packet is a whole type 4 message, @len the plaintext's
 * length (datagram less MESSAGE_DATA_OVERHEAD).
 */
struct session_op {
	uint8_t *packet;
	uint32_t len;
	enum session_verdict verdict;
};

/* Seals @n (at most AEAD_BURST_MAX) packets with counters from @first on. */
void session_seal_burst(struct keypair *kp, uint64_t first, struct session_op *ops, unsigned int n);

/*
 * Opens @n (at most AEAD_BURST_MAX) packets in place: authenticates all, then
 * takes the replay window once. Each verdict is OK, BAD or REPLAY; on OK the
 * plaintext lies at packet + sizeof(struct message_data). Returns how many are
 * OK. The key pair's age is the caller's to check (SESSION_REJECT_AFTER_NS).
 */
unsigned int session_open_burst(struct keypair *kp, struct session_op *ops, unsigned int n)
	__attribute__((warn_unused_result));

#endif
