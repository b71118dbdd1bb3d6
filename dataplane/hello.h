/* SPDX-License-Identifier: MIT */
/*
 * Hello: what two ovltun peers tell each other when a session is made, so that
 * anything beyond plain IP packets is sent only to a peer that understands it
 * (docs/protocol.md). Sent at once, and again after 1 and 3 seconds unless
 * acknowledged; a stock WireGuard peer drops it and stays in IP mode. Sent anew
 * when the networks that the peer may carry change.
 *
 * What was agreed upon ends with the session. But when one session follows the
 * other, the last one's holds until the new hello is there, at most until
 * @settled_ns: else every new key would make frames wait for a round trip, and
 * what the peer sent before it knew of the new key would be refused. Hints on IP
 * packets are the exception: they are not sent before this session's hello has
 * been acknowledged, so a stock peer never gets an IP packet that it cannot read.
 *
 * Control messages are not data: they neither start a handshake nor keep an idle
 * session alive.
 */
#ifndef DATAPLANE_HELLO_H
#define DATAPLANE_HELLO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/wire.h"

struct burst;
struct keypair;
struct peer;

#define HELLO_SENDS_MAX 3
/*
 * Answers a session gives: more than an honest peer asks for. An answer may be
 * longer than what asked for it, and the peer chooses where it goes.
 */
#define HELLO_ANSWERS_MAX 8
#define HELLO_VNIS_MAX    64
#define HELLO_SIZE_MAX    384
/* What has not come by then, all three having had a round trip's time, does not come. */
#define HELLO_SETTLED_NS 4000000000ULL

/*
 * Without a hello a session carries no frames, however long it lasts. If all were lost,
 * a frame that wants to go to the peer asks for another, this often at the most.
 */
#define HELLO_AGAIN_NS 10000000000ULL

/* Features that this version has. */
#define HELLO_FEATURES                                                          \
	(WIRE_FEATURE_CHECKSUM_HINT | WIRE_FEATURE_FRAMES | WIRE_FEATURE_ECHO | \
	 WIRE_FEATURE_PROBE | WIRE_FEATURE_INTRODUCE)

/* In struct peer. Written under the peer's lock, read without. */
struct hello {
	_Atomic uint32_t sends_left;
	_Atomic uint32_t answers_left; /* of this session's */
	_Atomic uint32_t version; /* the peer's; 0: no hello on this session */
	_Atomic uint32_t tunnel_mtu; /* what the peer takes; 0: it did not say */
	_Atomic uint64_t features; /* those that both have */
	_Atomic uint64_t boot; /* which life of the peer it is; 0: it did not say */
	_Atomic uint64_t settled_ns;
	_Atomic uint64_t asked_ns; /* when the last one went that was to be answered for a frame */
	_Atomic bool acked; /* the peer has had one of ours on this session */
	_Atomic bool carried; /* @version is 0, and the rest is what the last session agreed upon */
	/*
	 * What the peer has and grants us. A VNI keeps its slot for as long as the
	 * peer names it, so a reader never misses one that stays. 0: a free slot.
	 */
	_Atomic uint32_t vni_count; /* slots in use, free ones between them included */
	_Atomic uint32_t vnis[HELLO_VNIS_MAX];
};

struct hello_info {
	uint32_t version; /* 0: a stock peer, or no session */
	uint32_t tunnel_mtu;
	uint64_t features;
	uint64_t boot;
	uint32_t vni_count;
	uint32_t vnis[HELLO_VNIS_MAX]; /* ascending */
};

/*
 * Before another key pair takes the place of @last (NULL: there was none) as the one
 * to send with, its lock held: what was agreed upon ends, so that whoever finds the new
 * key pair finds nothing of it. hello_due() is to follow.
 */
void hello_begin(struct peer *peer, const struct keypair *last, uint64_t now_ns);
/*
 * What hello says to @peer has changed (a VNI was granted or taken, the tunnel's
 * MTU): it is sent again. Any thread, after the view that says so was published;
 * workers are to be woken. Without a session nothing happens: the next one's hello says it.
 */
void hello_changed(struct peer *peer);
/* A frame cannot go to the peer (HELLO_NO). */
void hello_wanted(struct burst *burst, struct peer *peer);
/* TIMER_HELLO, or a session is up. */
void hello_due(struct burst *burst, struct peer *peer);
/* A control message, authenticated by @keypair. False: it does not parse. */
bool hello_receive(struct burst *burst, struct peer *peer, const struct keypair *keypair,
                   const uint8_t *data, uint32_t len) __attribute__((warn_unused_result));

/*
 * May frames of that network go to the peer? AWAITED: they wait; what waits is
 * looked at again (tx_release) when the hello comes, or has not come in time.
 */
enum hello_state { HELLO_YES, HELLO_AWAITED, HELLO_NO };
enum hello_state hello_has_vni(const struct hello *hello, uint32_t vni, uint64_t now_ns);
/* On the way in: both have this WIRE_FEATURE_*, so the peer may send what needs it. */
bool hello_has_feature(const struct hello *hello, uint64_t feature);
/* On the way out: both have it, and the peer knows, on this session. */
bool hello_may_send(const struct hello *hello, uint64_t feature);

void hello_get_info(const struct hello *hello, struct hello_info *info);

/* Parsing alone, for fuzzing and tests. */
struct hello_message {
	uint32_t version;
	uint32_t tunnel_mtu;
	uint64_t features;
	uint64_t boot;
	bool ack;
	uint32_t vni_count;
	uint32_t vnis[HELLO_VNIS_MAX];
};
bool hello_parse(const uint8_t *data, uint32_t len, struct hello_message *msg)
	__attribute__((warn_unused_result));
uint32_t hello_format(uint8_t out[HELLO_SIZE_MAX], const struct hello_message *msg);

#endif
