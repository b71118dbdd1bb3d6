/* SPDX-License-Identifier: MIT */
/*
 * A peer: its keys and handshake, its session, where it is, its timers and
 * counters. Lives in the device's arena; made and removed by the control thread,
 * used by workers.
 *
 * Threads. @lock guards the slow things: handshake, cookie, the slots of the
 * session (their replacement; reading them needs no lock), staged frames, and
 * the writing of the endpoint. It is never held over a burst. Everything else
 * that workers write is atomic.
 *
 * Lifetime. Removal marks the peer dead under its lock, takes it out of the
 * index table and the timers, gives its key pairs up, publishes a view without
 * it and retires it (quiesce.h): a worker that still holds it finds nothing to
 * send with and starts nothing new.
 */
#ifndef DATAPLANE_PEER_H
#define DATAPLANE_PEER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "crypto/session.h"
#include "dataplane/bucket.h"
#include "dataplane/echo.h"
#include "dataplane/endpoint.h"
#include "dataplane/hello.h"
#include "dataplane/index.h"
#include "dataplane/post.h"
#include "dataplane/quiesce.h"
#include "dataplane/stage.h"
#include "dataplane/stats.h"
#include "dataplane/timers.h"

#define PEER_STAGED_MAX   128
#define PEER_MTU_DEFAULT  1420
#define PEER_GSO_RETRY_NS (600 * TIMERS_SECOND_NS)

struct arena;
struct burst;
struct device;

/*
 * A key pair in the index table. From the device's key pair arena. @peer may be used
 * by whoever found the key pair by its slot or index, between two quiescent states:
 * a peer is retired after its key pairs. Its release may come before theirs, when two
 * threads collect at once, so theirs does not look at it.
 */
struct peer_keypair {
	struct keypair keypair;
	struct index_entry entry;
	_Atomic bool rekeyed_on_receive;
	struct peer *peer;
	struct arena *arena; /* where it goes back to; lasts as long as the device */
	struct retired retired;
};

/* What its messages about joining (join.h) may be. */
enum peer_role {
	PEER_ORDINARY,
	PEER_INTRODUCER, /* may introduce hosts */
	PEER_INVITED, /* may ask to join, and nothing else: the key is an invitation's */
};

struct peer {
	struct device *device;
	uint8_t public_key[KEY_SIZE];
	struct retired retired;

	pthread_mutex_t lock;
	bool dead;
	struct noise_handshake handshake;
	struct index_entry handshake_entry;
	struct index_entry answer_entry; /* while an answer is made beside it; INDEX_ANSWER */
	struct cookie_maker cookie;
	uint64_t initiation_sent_ns; /* last handshake message sent; 0: never */
	uint64_t timestamp_ns; /* wall time of the last initiation's time stamp */
	struct stage_share stage;
	struct stage_queue staged;

	struct session session;
	_Atomic uint64_t initiation_wanted_ns; /* put in a handshake queue then; 0: in none */

	_Atomic uint32_t endpoint_sequence; /* odd: being written */
	_Atomic uint64_t endpoint_words[(sizeof(struct endpoint) + 7) / 8];

	/*
	 * The way there took no UDP_SEGMENT: not tried again before that time, or with
	 * another endpoint or MTU.
	 */
	_Atomic uint64_t gso_retry_ns;

	_Atomic uint32_t tunnel_mtu; /* plaintext bytes a message to this peer may have */
	_Atomic uint16_t keepalive_s;

	struct peer_timers timers;
	_Atomic uint64_t round_trip_ns; /* of the last handshake; an answer takes no longer */
	struct hello hello;
	struct echo echo;
	_Atomic enum peer_role role;
	struct post_share post;
	struct bucket probe_in; /* requests of its that are answered */

	_Atomic uint64_t handshake_wall_ns; /* last completed, CLOCK_REALTIME; 0: never */
	_Atomic uint64_t rx_bytes, tx_bytes; /* UDP payload, as wg counts */
	_Atomic uint64_t rx_packets, tx_packets; /* datagrams of sessions */
	_Atomic uint64_t lost; /* on the way to us, of key pairs that are gone */
	_Atomic uint64_t drops[DROP_COUNT];
};

/* Control thread: a new peer with default values, unknown to workers yet. NULL: out of memory. */
struct peer *peer_create(struct device *device, const uint8_t public_key[KEY_SIZE]);
/* Before the view without it is published: nothing new begins with it. */
void peer_kill(struct peer *peer);
/* After that view was published: freed when no worker can hold it. */
void peer_retire(struct peer *peer);

void peer_set_psk(struct peer *peer, const uint8_t psk[KEY_SIZE]);
/* Switched on it asks for a session at once: after the view with the peer was published. */
void peer_set_keepalive(struct peer *peer, uint16_t seconds);
void peer_set_mtu(struct peer *peer, uint32_t mtu);
void peer_set_role(struct peer *peer, enum peer_role role);
/* Sessions and handshake are given up; used when keys change. */
void peer_reset(struct peer *peer);
/*
 * The same because their time is over: not while the newest key pair is younger than
 * that (another worker just made it), and not a handshake that waits for its answer.
 * Returns when the keys that stay are to be wiped; 0: none stays.
 */
uint64_t peer_wipe(struct peer *peer, uint64_t now_ns);

/* Any thread. */
void peer_set_endpoint(struct peer *peer, const struct endpoint *endpoint);
void peer_get_endpoint(struct peer *peer, struct endpoint *endpoint);
/* An authentic message came from there. Counts a roam when it is another place. */
void peer_roam(struct peer *peer, const struct endpoint *from);
void peer_forget_source(struct peer *peer);

/* How long ago that was. A worker's idea of now may be older than what another just did. */
static inline uint64_t peer_age_ns(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* The key pair to send with, or NULL: none, too old, or used up. */
struct keypair *peer_send_keypair(const struct peer *peer, uint64_t now_ns);
/* The same question of a thread that must not hold on to key pairs. */
bool peer_has_session(struct peer *peer, uint64_t now_ns);
/* Gives up key pairs that left their slots (session.h). Peer's lock held. */
void peer_retire_keypairs(struct peer *peer, struct keypair *const *gone, unsigned int n);

void peer_drop(struct peer *peer, enum drop reason, uint64_t n); /* counts on the device too */
/* All that waits for a session with it. Any thread. */
void peer_drop_staged(struct peer *peer, enum drop reason);

/* A consistent-enough picture for show. */
struct peer_info {
	struct endpoint endpoint;
	uint64_t handshake_wall_ns;
	uint64_t rx_bytes, tx_bytes, rx_packets, tx_packets;
	uint64_t lost; /* counters of the peer's that never came, over all sessions */
	uint64_t session_age_ns; /* UINT64_MAX: no session */
	uint64_t round_trip_ns, round_trip_variation_ns; /* 0: not known */
	uint32_t attempts;
	uint64_t unanswered_ns; /* for how long initiations have had no answer; 0: none is out */
	uint32_t tunnel_mtu;
	uint16_t keepalive_s;
	struct hello_info hello;
	uint64_t drops[DROP_COUNT];
};
void peer_get_info(struct peer *peer, uint64_t now_ns, struct peer_info *info);

#endif
