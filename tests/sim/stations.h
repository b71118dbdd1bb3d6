/* SPDX-License-Identifier: MIT */
/*
 * The simulator's bridged networks: a bridge on each node, containers on bridges
 * ("stations") that come, go and move between nodes, and what the control thread
 * does about them.
 *
 * Network k has VNI STATIONS_VNI(k) and is a node's port 1 + k. Station i has the
 * MAC 02:c1:00 and i, and an address by its slot, 10.7.0.2 and up: the same in every
 * network, so that what crosses from one to the other is seen. Every node's bridge
 * has the address 10.7.0.1, as Docker's have.
 *
 * A bridge gives frames to the stations on it, and to the TAP what is for others or
 * everyone. It learns a station by the first frame, and forgets it when it is
 * unplugged. The control thread hears of both @watch_ns later; of what was there
 * before the daemon it hears at the daemon's start.
 */
#ifndef TESTS_STATIONS_H
#define TESTS_STATIONS_H

#include "dataplane/fdb.h"
#include "sim/sim.h"

#define STATIONS_VNI(network) (7 + 35 * (network))
#define STATION_NOWHERE       UINT32_MAX
#define STATION_EVERYONE      UINT32_MAX

struct station {
	unsigned int network, id;
	unsigned int node; /* or STATION_NOWHERE */
	uint32_t slot; /* its address's */
	uint8_t mac[ETHER_ADDR_SIZE];
	uint8_t address[4];
	uint64_t since_ns; /* is there since then */
	bool learned; /* by its bridge */
	bool mute; /* answers no questions */
	uint32_t answers, lies; /* to its own questions: true ones, and others */
	struct station *next; /* on its bridge */
};

/* What a numbered frame carries. */
struct station_message {
	uint32_t network, from, to, sequence;
};

struct stations {
	struct sim *sim;
	unsigned int count; /* of each network */
	struct station *list[SIM_NETWORKS_MAX];
	uint32_t *slots[SIM_NETWORKS_MAX]; /* whose it is; as many as stations */
	uint64_t watch_ns; /* how late the control thread hears */
	uint32_t corrupt, crossed; /* frames that arrived spoilt; in another network */
	/* what the control threads have not heard yet */
	struct station_event *events;
	size_t event_first, event_count, event_capacity;
};

static inline struct station *station_at(const struct sim *sim, unsigned int network,
                                         unsigned int id)
{
	return &sim->stations->list[network][id];
}

/* Plugged into @node's bridge; off it. It is silent until it says something. */
void station_plug(struct sim *sim, struct station *station, unsigned int node);
void station_unplug(struct sim *sim, struct station *station);
/* Each has the other's address from now on; both are nowhere. */
void station_swap_addresses(struct sim *sim, struct station *a, struct station *b);

/* "I have this address": goes everywhere. */
void station_announce(struct sim *sim, struct station *station);
/* Who has the gateway's address? Its own bridge answers, and nobody else hears of it. */
void station_ask_gateway(struct sim *sim, struct station *station);
/* Who has @other's address? */
void station_ask(struct sim *sim, struct station *station, const struct station *other);

enum station_frame {
	STATION_UDP,
	STATION_UDP_UNDONE, /* its checksum is left to whoever needs it */
	STATION_OTHER, /* not IP */
};
/* A numbered frame with so much behind the number, to station @to or STATION_EVERYONE. */
void station_send(struct sim *sim, struct station *station, uint32_t to, uint32_t sequence,
                  enum station_frame kind, uint32_t payload_len);

/* Does @node know where the station is, by its MAC and its address? Does it know anything of it? */
bool station_is_known(const struct sim *sim, const struct station *station, unsigned int node);
bool station_is_heard_of(const struct sim *sim, const struct station *station, unsigned int node);

/* Is @place where the key really is? Otherwise it says on stderr what is wrong. */
bool stations_check_place(const struct sim *sim, unsigned int node, unsigned int network,
                          const struct fdb_info *info);

/* ---- for sim.c ---- */

struct stations *stations_open(struct sim *sim, unsigned int count);
void stations_close(struct stations *stations);
/* The network, with its members and the node's idea of its bridge. */
void stations_add_network(struct sim_node *node, unsigned int network, struct view_network *net);
/* The daemon runs: its control thread finds what is on the bridges. */
void stations_attach(struct sim_node *node);
/* A write of the daemon's to its TAP: virtio header and frame. */
void stations_receive(struct sim_node *node, unsigned int network, uint8_t *data, uint32_t len);
/* Control threads hear of what is due; when the next is. */
void stations_run(struct sim *sim);
uint64_t stations_next(const struct sim *sim);

#endif
