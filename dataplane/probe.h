/* SPDX-License-Identifier: MIT */
/*
 * Probes: how far a packet would get, and what stops it, for `ovlctl trace`.
 *
 * A request describes a packet: addresses, length, network. The peer builds that
 * packet and judges it by the very functions that judge real ones (rx_judge(),
 * rx_judge_frame()), finds who has the destination as it would for a real one, by
 * ARP or neighbour discovery, and puts an ICMP echo request of that length on the
 * TAP: what a bridge, its netfilter and the container make of it shows in whether it
 * is answered. The answer to the echo comes out of the TAP like anything else; it is
 * taken out on the way (probe_hear()) and goes nowhere. (It would get into the tunnel: what
 * rx_judge() lets in at one end tx_judge() lets out there the other way.) A request is as long as a message that carries the packet, so that
 * the path between the hosts is tried with that length, too.
 *
 * Whoever is asked does nothing by itself: each request is answered once, at once,
 * with how far it got by now, and is asked again while that is not the last word. So
 * no answer is longer than what asked for it, and all that a peer can make us do is in
 * proportion to what it sends: PROBE_COST_NS, and each request at most one question on
 * the TAP and one echo no longer than the request. What it learns it could learn by
 * sending the packet, but for the reason of a drop and the counters of its own
 * (docs/threat-model.md).
 *
 * Who asks tries its own end in the same way, the packet turned round: whether the
 * source is there, and an echo from the destination to it is answered. That says what
 * bridge, netfilter and container make of packets both ways on this host.
 *
 * All of it is slow path: a peer's timer asks (TIMER_PROBE), control messages answer.
 */
#ifndef DATAPLANE_PROBE_H
#define DATAPLANE_PROBE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/stats.h"
#include "dataplane/wire.h"

struct burst;
struct device;
struct packet;
struct peer;

/* Of a request: longer than any answer. */
#define PROBE_SIZE_MIN 512u
/* Requests of a peer that are answered: 50 a second, 50 at once. */
#define PROBE_COST_NS 20000000ULL
#define PROBE_BURST   50u
/* Of our own; where none is free, the oldest of who has most gives way: root, or readers. */
#define PROBE_OWN_MAX 8
/*
 * Of peers', with their echoes: the oldest of a peer that has PROBE_WATCHES_PEER gives way,
 * and where there is none free, the oldest of the peer that has most.
 */
#define PROBE_WATCHES_MAX  32
#define PROBE_WATCHES_PEER 4
/* What no one answers by then is not answered: an echo on the TAP, a question by ARP or ND. */
#define PROBE_ECHO_NS  500000000ULL
#define PROBE_ECHOES   2
#define PROBE_ASK_NS   500000000ULL
#define PROBE_ASKS     3
#define PROBE_AGAIN_NS 100000000ULL /* a request is repeated after that */
/* A peer that says "not yet" for longer than that says nothing. */
#define PROBE_PENDING_NS 8000000000ULL

/* The packet that is asked about. */
struct probe_packet {
	uint8_t family; /* 4 or 6; 0: a frame without IP, of a bridged network */
	uint8_t protocol; /* ICMP's or ICMPv6's */
	uint16_t len; /* of the IP packet; without IP: of the frame's payload */
	uint8_t source[16], destination[16];
	uint32_t vni; /* 0: of a routed network, and without MACs */
	uint8_t source_mac[ETHER_ADDR_SIZE], destination_mac[ETHER_ADDR_SIZE];
};

/* How far it got; what stopped it behind that is the answer's @reason. */
enum probe_stage {
	PROBE_HEARD = 1, /* the request came, authentic */
	PROBE_ADMITTED = 2, /* the inner checks let the packet pass */
	PROBE_ATTACHED = 3, /* the network's bridge is there */
	PROBE_FOUND = 4, /* who has the destination has just said so */
	PROBE_WRITTEN = 5, /* an echo request was put on the TAP */
	PROBE_ANSWERED = 6, /* and answered */
};

#define PROBE_PENDING      1u /* not the last word */
#define PROBE_GATEWAY      2u /* the destination is the bridge's own address or MAC */
#define PROBE_CONTESTED    4u /* two MACs say that they have the destination */
#define PROBE_FLOODED      8u /* bridged: its place is not known, it goes to all ports */

#define PROBE_NAME_MAX     32
#define PROBE_COUNTERS_MAX 6

struct probe_answer {
	uint8_t stage; /* enum probe_stage */
	uint8_t flags; /* PROBE_* */
	char reason[PROBE_NAME_MAX]; /* a drop's name, perhaps of a later version; "": none */
	uint32_t tunnel_mtu; /* towards us, as the peer has it */
	uint32_t tap_mtu; /* 0: not known */
	uint64_t received, lost,
		sent; /* messages of all sessions: ours that came, or did not; its */
	struct {
		char name[PROBE_NAME_MAX];
		uint64_t count;
	} drops[PROBE_COUNTERS_MAX]; /* of what we sent or were to get: the greatest */
	uint32_t drop_count;
};

/* A message of either type. */
struct probe_message {
	uint8_t type; /* WIRE_CONTROL_PROBE, WIRE_CONTROL_PROBE_REPLY */
	uint64_t number;
	struct probe_packet packet; /* of a request */
	struct probe_answer answer; /* of a reply */
};

/* False: it does not parse. */
bool probe_parse(const uint8_t *data, uint32_t len, struct probe_message *msg)
	__attribute__((warn_unused_result));
/* Its length, at most @size; 0: it does not fit. A request is padded to @size. */
uint32_t probe_format(uint8_t *out, uint32_t size, const struct probe_message *msg);

/* The echo request that @packet stands for, @len bytes long; its length, 0: there is none such. */
uint32_t probe_make_packet(const struct probe_packet *packet, uint32_t len, uint32_t token,
                           uint8_t *out);

/* ---- peers' ---- */

struct probe_watch {
	struct peer *peer; /* NULL: free; to be compared, as it may be gone */
	bool is_own; /* of this end, and not the peer's */
	uint64_t number;
	uint64_t started_ns;
	struct probe_packet packet;
	uint32_t token; /* of its echoes */
	uint32_t asks, echoes;
	uint64_t asked_ns, echoed_ns;
	bool answered;
};

/* ---- our own ---- */

enum probe_phase {
	PROBE_FREE,
	PROBE_SESSION, /* waits for a session */
	PROBE_HELLO, /* there is one; waits for the peer's hello */
	PROBE_SENT, /* waits for an answer, or the last word */
	/* it is over: */
	PROBE_DONE, /* that was the last word */
	PROBE_NO_ENDPOINT,
	PROBE_NO_KEY, /* no session can ever be */
	PROBE_NO_SESSION, /* no handshake was answered in time */
	PROBE_STOCK, /* no hello: a stock WireGuard peer */
	PROBE_TOO_OLD, /* an ovltun that knows no probes */
	PROBE_SILENT, /* there is a session, and no answer came */
};

enum probe_asker { PROBE_ROOT, PROBE_READER, PROBE_ASKERS };

struct probe_own {
	uint64_t number;
	struct peer *peer; /* to be compared with one that is known to be; may be gone */
	enum probe_asker asker;
	struct probe_packet packet;
	uint32_t message; /* how long the request is */
	enum probe_phase phase;
	uint64_t started_ns, wait_ns;
	uint64_t sent_ns, first_ns; /* the last request, the first answer; 0: none yet */
	uint64_t round_trip_ns; /* of the first that was answered */
	uint32_t requests, answers;
	bool asked_session; /* there was one, and a new one was asked for */
	bool told; /* who asked has seen that it is over */
	struct probe_answer answer; /* the last */
	/* The way back on this host, if the source is one that is said to be here. */
	bool tries_here;
	struct probe_watch here;
	struct probe_answer here_answer; /* its stage 0: not tried yet */
};

/* In struct device. */
struct probes {
	pthread_mutex_t lock;
	_Atomic uint64_t listen_ns; /* echoes may be answered until then */
	struct probe_own own[PROBE_OWN_MAX];
	struct probe_watch watches[PROBE_WATCHES_MAX];
};

void probes_init(struct probes *probes);
void probes_fini(struct probes *probes);

/*
 * Control thread: asks @order->peer, whose view was published; workers are to be woken.
 * Returns the number by which to look.
 */
struct probe_order {
	struct peer *peer;
	struct probe_packet packet;
	bool here; /* this end is tried, too */
	uint64_t wait_ns; /* given up when there is no answer by then */
	enum probe_asker asker;
};
uint64_t probe_start(struct device *device, const struct probe_order *order);
/* False: there is none of that number, or no more. */
bool probe_look(struct device *device, uint64_t number, struct probe_own *out);
/* Of the request; and of both ends. */
static inline bool probe_is_over(const struct probe_own *own)
{
	return own->phase >= PROBE_DONE;
}
static inline bool probe_is_all_over(const struct probe_own *own)
{
	return probe_is_over(own) &&
	       (!own->tries_here ||
	        (own->here_answer.stage && !(own->here_answer.flags & PROBE_PENDING)));
}

/* TIMER_PROBE. */
void probe_due(struct burst *burst, struct peer *peer);
/* A control message of either type, authenticated. False: it does not parse. */
bool probe_receive(struct burst *burst, struct peer *peer, const uint8_t *data, uint32_t len)
	__attribute__((warn_unused_result));

/* An ICMP packet of a container. True: it answers an echo of ours, and has arrived. */
bool probe_hear(struct burst *burst, const struct packet *pkt);

/* The walk of a request of @peer's, for tests: fills @answer but for its counters. */
void probe_walk(struct burst *burst, struct peer *peer, struct probe_watch *watch, uint32_t len,
                struct probe_answer *answer);

#endif
