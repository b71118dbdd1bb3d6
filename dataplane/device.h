/* SPDX-License-Identifier: MIT */
/*
 * The device: everything one ovltund shares between its control thread and its
 * workers. And the view: the immutable picture of routes, peers and networks by
 * which workers forward. The control thread builds a new view whenever anything
 * changes and publishes it by one pointer; the old one is freed when no worker
 * can hold it.
 */
#ifndef DATAPLANE_DEVICE_H
#define DATAPLANE_DEVICE_H

#include <net/if.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/cookie.h"
#include "crypto/noise.h"
#include "dataplane/arena.h"
#include "dataplane/guard.h"
#include "dataplane/index.h"
#include "dataplane/member.h"
#include "dataplane/neigh.h"
#include "dataplane/probe.h"
#include "dataplane/quiesce.h"
#include "dataplane/recorder.h"
#include "dataplane/ring.h"
#include "dataplane/route.h"
#include "dataplane/stage.h"
#include "dataplane/stats.h"
#include "dataplane/timers.h"

/* Time and chance, so that a simulator can bring its own. */
struct environment {
	uint64_t (*now_ns)(void *arg); /* CLOCK_BOOTTIME */
	uint64_t (*wall_ns)(void *arg); /* CLOCK_REALTIME */
	void (*random)(void *arg, void *out, size_t len);
	void *arg;
};
extern const struct environment environment_system;

/* A network as it lasts over views. Made and ended by the control thread. */
struct network {
	struct device *device;
	struct retired retired;
	char name[64];
	uint16_t port; /* of the rings; another's after it */
	uint32_t serial; /* no other network of the device has it, nor had */
	_Atomic bool merge_udp; /* the TAP takes UDP superframes; workers see a new one made */
	uint8_t router_mac[ETHER_ADDR_SIZE];
	uint8_t tap_mac[ETHER_ADDR_SIZE]; /* of the TAP as a network device */
	struct neigh_table *neigh; /* routed networks */
	struct fdb *fdb; /* bridged networks; NULL in routed ones */
	struct member local; /* this host in it */
	_Atomic bool lost; /* the TAP was deleted by someone; the control thread makes a new one */
	_Atomic uint64_t error_tokens_ns; /* rate limit of ICMP errors: credit spent up to then */
	_Atomic uint64_t rx_packets, rx_bytes; /* towards containers: IP packets and their bytes */
	_Atomic uint64_t tx_packets, tx_bytes;
	_Atomic uint64_t taken, taken_bytes; /* frames from the TAP */
	_Atomic uint64_t emptied; /* and how often that was all it had */
	_Atomic uint64_t suppressed; /* copies not sent, as the question was answered here */
	_Atomic uint64_t drops[DROP_COUNT];
};

enum network_mode { NETWORK_ROUTED, NETWORK_BRIDGED };

struct view_network {
	struct network *network;
	enum network_mode mode;
	uint32_t vni; /* bridged, as all that follows up to @attached */
	struct guards guards;
	struct member **members; /* peers that may carry the VNI, sorted by peer's address */
	size_t member_count;
	bool attached; /* the bridge is there and the TAP is its port */
	uint8_t bridge_mac[ETHER_ADDR_SIZE];
	uint32_t mtu; /* the tunnel's limit as configured; 0: the peer's */
	uint32_t tap_mtu; /* 0: not known */
	struct prefix *subnets;
	size_t subnet_count;
	struct prefix *ranges; /* none: what no peer claims within the subnets */
	size_t range_count;
	struct neigh_addr *gateways; /* this bridge's own addresses */
	size_t gateway_count;
};

struct view {
	struct retired retired;
	uint64_t serial; /* set when it is published: one more than the last one's */
	struct route_table *routes; /* to struct peer */
	struct peer **peers; /* sorted by public key */
	size_t peer_count;
	struct view_network *networks;
	size_t network_count;
	const struct view_network *by_port[RING_PORTS_MAX];
	const struct view_network **by_vni; /* the bridged ones, sorted by VNI */
	size_t vni_count;
};

struct device {
	const struct environment *env;
	struct stats stats;
	struct recorder recorder;
	struct quiesce quiesce;
	_Atomic(struct view *) view; /* never NULL */
	struct view *empty; /* the one to end with; NULL: in force, or was */

	_Atomic uint16_t udp_port; /* of the workers' sockets; 0: there are none */

	pthread_rwlock_t identity_lock; /* handshakes read, a change of key writes */
	struct noise_identity identity;
	bool has_identity;

	pthread_mutex_t admission_lock; /* cookie checker and limiter */
	struct cookie_checker checker;
	struct limiter *limiter;

	struct arena peer_arena;
	struct arena keypair_arena;
	struct index_table indices;
	struct timers timers;
	struct stage_pool stage;
	struct post *post; /* what peers sent the control thread */
	struct probes probes;
	uint32_t networks_made; /* the control thread's */
	uint64_t boot; /* which life of this device it is, for announcements: wall clock, ns */
};

/* @env lasts as long as the device. 0 or -errno. */
int device_open(struct device **device, const struct environment *env);
/* No worker may run any more. Frees the view, its peers and networks included. */
void device_close(struct device *device);

/* The control thread's calls. */

/* All sessions and handshakes are given up when the key differs. NULL: no key. */
void device_set_identity(struct device *device, const uint8_t *private_key);

/*
 * A new view with room for so many, zeroed, to be filled and published; peers are
 * sorted and routes built by view_finish() (0 or -ENOMEM). The arrays of a
 * view_network are the view's and freed with it. Peers and networks are not the
 * view's: whoever leaves them out retires them.
 */
struct view *view_create(size_t peers, size_t networks);
int view_finish(struct view *view, const struct route *routes, size_t count);
void view_free(struct view *view);
void device_publish(struct device *device, struct view *view);
/* A view of nothing, which was kept for it and so cannot fail. Once. */
void device_publish_empty(struct device *device);
struct peer *view_find_peer(const struct view *view, const uint8_t public_key[KEY_SIZE]);

/* This host's own is network->local. NULL: out of memory. */
struct member *member_create(struct network *network, struct peer *peer);
/* After the view without it was published: its stations go. Before its peer and network. */
void member_retire(struct member *member);

/* NULL: out of memory. The router MAC follows from public key and name. */
struct network *network_create(struct device *device, const char *name, uint16_t port,
                               enum network_mode mode);
void network_retire(struct network *network);
/* The router MAC, and (@tap) the TAP's own, which begins with fe so that no bridge takes it. */
void network_derive_mac(uint8_t mac[ETHER_ADDR_SIZE], const uint8_t public_key[KEY_SIZE],
                        const char *name, bool tap);
void network_drop(struct network *network, enum drop reason, uint64_t n);

/* Workers' questions to a view. */
bool view_is_gateway(const struct view_network *net, uint8_t family, const uint8_t *addr);
bool view_in_subnet(const struct view_network *net, uint8_t family, const uint8_t *addr);
/* May live here: in the subnet, and in Range or (without one) claimed by no peer. */
bool view_is_local(const struct view *view, const struct view_network *net, uint8_t family,
                   const uint8_t *addr);
/* The peer that has it, when it is a remote address of this network; NULL otherwise. */
struct peer *view_remote(const struct view *view, const struct view_network *net, uint8_t family,
                         const uint8_t *addr);

const struct view_network *view_find_vni(const struct view *view, uint32_t vni);
/* NULL: that peer may not carry this network. */
struct member *view_find_member(const struct view_network *net, const struct peer *peer);
bool view_is_bridge_mac(const struct view_network *net, const uint8_t mac[ETHER_ADDR_SIZE]);

/* A worker that has an older answer writes at worst what the TAP refuses. */
static inline bool network_merges_udp(const struct network *network)
{
	return atomic_load_explicit(&network->merge_udp, memory_order_relaxed);
}

static inline uint64_t device_now(const struct device *device)
{
	return device->env->now_ns(device->env->arg);
}

static inline void device_drop(struct device *device, enum drop reason, uint64_t n)
{
	stats_add(&device->stats.drops[reason], n);
}

static inline void device_event(struct device *device, enum event event, uint64_t n)
{
	stats_add(&device->stats.events[event], n);
}

#endif
