/* SPDX-License-Identifier: MIT */
/*
 * Whole engines in memory: devices with their workers on a ring that leads into
 * a network made of a seeded random generator and a heap of datagrams in flight,
 * under a virtual clock. A rekey of two minutes takes no time, and a seed that
 * fails fails again.
 *
 * Each node may have one routed network with one container behind its TAP, which
 * answers ARP and counts what it gets. Node i's container is 172.20.(101+i).2,
 * its underlay address 10.0.0.(1+i):51820. And it may have bridged networks, whose
 * bridges and containers are in stations.h.
 */
#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include "crypto/message.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/worker.h"

#define SIM_NODES_MAX    200
#define SIM_ROUTED_MAX   4 /* of which so many may have a routed network */
#define SIM_NETWORKS_MAX 2 /* bridged ones */
#define SIM_SECOND       1000000000ULL
#define SIM_MS           1000000ULL
#define SIM_SEQUENCES    4096 /* distinct packets a pair may send in one test */

struct sim;
struct station;
struct station_message;
struct stations;

/* A node's part in a bridged network. */
struct sim_bridge {
	struct network *network; /* NULL: it has none */
	struct member *members[SIM_NODES_MAX]; /* by node, as struct sim_node's peers */
	struct station *first; /* the containers on it */
};

struct sim_node {
	struct sim *sim;
	unsigned int id;
	bool running;
	unsigned int lives; /* how often it was started */
	struct environment env;
	int64_t wall_offset_ns; /* this host's idea of the date */
	uint8_t private_key[KEY_SIZE];
	uint8_t public_key[KEY_SIZE];
	struct endpoint address; /* where it sends from now; changing it is roaming */
	struct device *device;
	struct network *network; /* the routed one, or NULL */
	struct sim_bridge bridges[SIM_NETWORKS_MAX];
	struct worker *worker;
	struct sim_ring *ring;
	uint64_t deadline_ns;
	struct peer *peers[SIM_NODES_MAX]; /* by node; NULL: itself, or not running */
	/* what its container got, by sender */
	uint32_t got[SIM_ROUTED_MAX];
	uint32_t duplicates;
	uint32_t corrupt;
	uint8_t seen[SIM_ROUTED_MAX][SIM_SEQUENCES];
	/* what it sent, by message type, and the last of each for replays */
	uint64_t sent[5], sent_bytes[5];
	uint8_t last[5][2048];
	uint32_t last_len[5];
	uint64_t last_sent_ns;
};

/* A look at every datagram before it enters the network; false: it is lost. */
typedef bool sim_filter_fn(struct sim *sim, struct sim_node *from, uint8_t *data, uint32_t len);

struct sim {
	uint64_t now_ns;
	uint64_t random_state;
	unsigned int node_count;
	struct sim_node *nodes;
	bool routed;
	unsigned int widths[SIM_NETWORKS_MAX];
	struct stations *stations; /* NULL: no bridged network */
	/* What a container of a bridged network got; NULL: nobody looks. */
	void (*received)(struct sim *sim, const struct station *at,
	                 const struct station_message *msg);
	void *arg; /* the test's */
	/* the network's manners, in parts per thousand and nanoseconds */
	unsigned int loss, duplication;
	uint64_t delay_min_ns, delay_max_ns;
	uint64_t clock_cost_ns; /* by which each look at the clock moves it: work takes time */
	sim_filter_fn *filter;
	void (*drawn)(struct sim *sim, const uint8_t *bytes,
	              size_t len); /* random bytes, as given */
	struct sim_flight *flights; /* heap by arrival */
	size_t flight_count, flight_capacity;
};

struct sim_options {
	unsigned int nodes;
	bool routed; /* each has the routed network */
	/* The first so many nodes have bridged network k, and grant it to each other; 0: none has. */
	unsigned int widths[SIM_NETWORKS_MAX];
	unsigned int stations; /* of each bridged network; they are nowhere at first */
};

/* With the routed network alone. */
struct sim *sim_open(uint64_t seed, unsigned int nodes);
struct sim *sim_open_with(uint64_t seed, const struct sim_options *options);
void sim_close(struct sim *sim);
uint32_t sim_random(struct sim *sim, uint32_t below);

/* A node that comes up with its keys and peers and no memory of sessions; and one that dies. */
void sim_start(struct sim *sim, unsigned int node);
void sim_stop(struct sim *sim, unsigned int node);
/* Another underlay port for the node: NAT, or a roam. */
void sim_move(struct sim *sim, unsigned int node);
/* What a net is at first: it takes 10 ms each way, and loses and doubles nothing. */
void sim_calm(struct sim *sim);

/* The container of @from sends packet @sequence (below SIM_SEQUENCES) to that of @to. */
void sim_send(struct sim *sim, unsigned int from, unsigned int to, uint32_t sequence,
              uint32_t payload_len);
/* A datagram out of nowhere for @to, as if from @claimed. */
void sim_inject(struct sim *sim, unsigned int to, const struct endpoint *claimed,
                const uint8_t *data, uint32_t len);
/* A frame as that TAP of @node's would give it: virtio header, then Ethernet. */
void sim_inject_frame(struct sim *sim, unsigned int node, uint16_t port, const uint8_t *data,
                      uint32_t len);
/* Another thread changed something: the node looks at its timers. */
void sim_kick(struct sim *sim, unsigned int node);

/* Runs for @ns of virtual time, or until @done (may be NULL) says so; true if it did. */
bool sim_run(struct sim *sim, uint64_t ns, bool (*done)(struct sim *sim, void *arg), void *arg);

/* Stops the test: the simulator itself is wrong, or out of memory. */
void sim_check(bool condition, const char *what);
void *sim_allocate(size_t size); /* zeroed */

sim_filter_fn sim_lose_all;
uint64_t sim_drops(const struct sim *sim, unsigned int node, enum drop reason);
bool sim_has_session(const struct sim *sim, unsigned int node, unsigned int with);

#endif
