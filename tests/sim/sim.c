/* SPDX-License-Identifier: MIT */
#include "sim/sim.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "dataplane/packet.h"
#include "sim/stations.h"

#define RING_EVENTS 4096
#define UDP_PORT    7777
#define UNDERLAY    0x0a000001u /* node 0 */

struct sim_flight {
	uint64_t arrival_ns;
	uint64_t order; /* ties go first come, first served */
	unsigned int to;
	struct endpoint from;
	uint32_t len;
	uint8_t *data;
};

/* The third backend of ring.h: events are put in by the simulator. */
struct sim_ring {
	struct ring ring;
	struct sim_node *node;
	unsigned int head, tail;
	struct ring_event events[RING_EVENTS];
	uint8_t *given[RING_EVENTS_MAX]; /* what the last wait returned; freed by the next */
	unsigned int given_count;
};

void sim_check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "simulator: %s\n", what);
	abort();
}

void *sim_allocate(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	sim_check(p != NULL, "out of memory");
	return p;
}

uint32_t sim_random(struct sim *sim, uint32_t below)
{
	/* splitmix64 */
	uint64_t z = (sim->random_state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return below ? (uint32_t)(z % below) : (uint32_t)z;
}

static uint64_t env_now(void *arg)
{
	const struct sim_node *node = arg;

	return node->sim->now_ns += node->sim->clock_cost_ns;
}

static uint64_t env_wall(void *arg)
{
	const struct sim_node *node = arg;

	return (uint64_t)((int64_t)(node->sim->now_ns + 1700000000ULL * SIM_SECOND) +
	                  node->wall_offset_ns);
}

static void env_random(void *arg, void *out, size_t len)
{
	const struct sim_node *node = arg;

	for (size_t i = 0; i < len; i++)
		((uint8_t *)out)[i] = (uint8_t)sim_random(node->sim, 256);
	if (node->sim->drawn)
		node->sim->drawn(node->sim, out, len);
}

/* ---- datagrams in flight ---- */

static bool earlier(const struct sim_flight *a, const struct sim_flight *b)
{
	return a->arrival_ns != b->arrival_ns ? a->arrival_ns < b->arrival_ns : a->order < b->order;
}

static void swap(struct sim_flight *a, struct sim_flight *b)
{
	struct sim_flight t = *a;

	*a = *b;
	*b = t;
}

static void launch(struct sim *sim, struct sim_flight flight)
{
	static uint64_t order;
	size_t i = sim->flight_count;

	if (i == sim->flight_capacity) {
		sim->flight_capacity = i ? 2 * i : 256;
		sim->flights =
			reallocarray(sim->flights, sim->flight_capacity, sizeof(*sim->flights));
		sim_check(sim->flights != NULL, "out of memory");
	}
	flight.order = order++;
	sim->flights[sim->flight_count++] = flight;
	for (; i > 0 && earlier(&sim->flights[i], &sim->flights[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&sim->flights[i], &sim->flights[(i - 1) / 2]);
}

static struct sim_flight land(struct sim *sim)
{
	struct sim_flight first = sim->flights[0];
	size_t i = 0, child;

	sim->flights[0] = sim->flights[--sim->flight_count];
	while ((child = 2 * i + 1) < sim->flight_count) {
		if (child + 1 < sim->flight_count &&
		    earlier(&sim->flights[child + 1], &sim->flights[child]))
			child++;
		if (!earlier(&sim->flights[child], &sim->flights[i]))
			break;
		swap(&sim->flights[i], &sim->flights[child]);
		i = child;
	}
	return first;
}

static uint64_t delay(struct sim *sim)
{
	uint64_t span = sim->delay_max_ns - sim->delay_min_ns;

	return sim->delay_min_ns + (span ? sim_random(sim, (uint32_t)(span / 1000)) * 1000ULL : 0);
}

static void transmit(struct sim_node *node, const struct endpoint *to, uint8_t *data, uint32_t len)
{
	struct sim *sim = node->sim;
	uint32_t type = len >= 4 ? load_le32(data) : 0;
	uint32_t i = ntohl(to->remote.in.sin_addr.s_addr) - UNDERLAY;
	unsigned int copies = 1;

	if (type < 5) {
		node->sent[type]++;
		node->sent_bytes[type] += len;
		node->last_len[type] = len < sizeof(node->last[type]) ? len : 0;
		memcpy(node->last[type], data, node->last_len[type]);
	}
	node->last_sent_ns = sim->now_ns;
	if (sim->filter && !sim->filter(sim, node, data, len))
		return;
	if (sim_random(sim, 1000) < sim->loss)
		return;
	if (sim_random(sim, 1000) < sim->duplication)
		copies = 2;
	if (i >= sim->node_count || !endpoint_same_remote(&sim->nodes[i].address, to))
		return;
	for (unsigned int c = 0; c < copies; c++) {
		struct sim_flight flight = { .to = i, .from = node->address, .len = len };

		flight.arrival_ns = sim->now_ns + delay(sim);
		flight.data = sim_allocate(len);
		memcpy(flight.data, data, len);
		launch(sim, flight);
	}
}

/* ---- the ring ---- */

static struct ring_event *push_event(struct sim_ring *ring, enum ring_event_type type,
                                     const uint8_t *data, uint32_t len)
{
	struct ring_event *event;

	if (ring->tail - ring->head == RING_EVENTS)
		return NULL; /* a full socket buffer */
	event = &ring->events[ring->tail++ % RING_EVENTS];
	memset(event, 0, sizeof(*event));
	event->type = type;
	/* Exactly as long as it is, so that a sanitizer sees a byte too many. */
	event->data = sim_allocate(len);
	memcpy(event->data, data, len);
	event->len = len;
	event->segment = len;
	return event;
}

static unsigned int ring_sim_wait(struct ring *base, uint64_t deadline_ns,
                                  struct ring_event *events, unsigned int max)
{
	struct sim_ring *ring = (struct sim_ring *)(void *)base;
	unsigned int n = 0;

	(void)deadline_ns;
	while (ring->given_count)
		free(ring->given[--ring->given_count]);
	while (n < max && ring->head != ring->tail) {
		events[n] = ring->events[ring->head++ % RING_EVENTS];
		ring->given[ring->given_count++] = events[n++].data;
	}
	return n;
}

static void ring_sim_send(struct ring *base, struct ring_send *sends, unsigned int n)
{
	struct sim_ring *ring = (struct sim_ring *)(void *)base;

	for (unsigned int i = 0; i < n; i++) {
		for (uint32_t at = 0; at < sends[i].len; at += sends[i].segment) {
			uint32_t left = sends[i].len - at;
			uint32_t size = left < sends[i].segment ? left : sends[i].segment;

			transmit(ring->node, &sends[i].to, sends[i].data + at, size);
		}
	}
}

/* The container: answers ARP for its address, counts numbered datagrams. */
static void container_arp(struct sim_node *node, const uint8_t *frame, uint32_t len)
{
	uint8_t reply[10 + 14 + 28] = { 0 };
	const uint8_t self[4] = { 172, 20, (uint8_t)(101 + node->id), 2 };
	const uint8_t mac[6] = { 2, 0xc0, 0, 0, 0, (uint8_t)node->id };
	const struct wire_arp *arp;
	struct wire_arp *answer = (struct wire_arp *)(void *)(reply + 24);

	if (!packet_parse_arp(frame, len, &arp) || load_be16(arp->operation.b) != ARP_REQUEST ||
	    memcmp(arp->target_ip, self, 4) != 0)
		return;
	memcpy(reply + 10, arp->sender_mac, 6);
	memcpy(reply + 16, mac, 6);
	store_be16(reply + 22, ETHERTYPE_WIRE_ARP);
	memcpy(answer, arp, sizeof(*answer));
	store_be16(answer->operation.b, ARP_REPLY);
	memcpy(answer->sender_mac, mac, 6);
	memcpy(answer->sender_ip, self, 4);
	memcpy(answer->target_mac, arp->sender_mac, 6);
	memcpy(answer->target_ip, arp->sender_ip, 4);
	sim_inject_frame(node->sim, node->id, 0, reply, sizeof(reply));
}

static void container_packet(struct sim_node *node, uint8_t *ip, uint32_t len)
{
	struct packet pkt;
	uint32_t from, sequence;

	if (!packet_parse_ip(ip, len, &pkt) || pkt.family != 4 || pkt.proto != IPPROTO_WIRE_UDP ||
	    pkt.len < pkt.payload + 8u || !packet_l4_checksum_ok(&pkt) ||
	    !packet_ipv4_checksum_ok(&pkt)) {
		node->corrupt++;
		return;
	}
	from = load_be32(ip + pkt.payload);
	sequence = load_be32(ip + pkt.payload + 4);
	if (from >= SIM_ROUTED_MAX || sequence >= SIM_SEQUENCES || pkt.source[2] != 101 + from ||
	    pkt.destination[2] != 101 + node->id) {
		node->corrupt++;
		return;
	}
	for (uint32_t i = pkt.payload + 8u; i < pkt.len; i++)
		if (ip[i] != (uint8_t)(sequence + i))
			node->corrupt++;
	if (node->seen[from][sequence]++)
		node->duplicates++;
	else
		node->got[from]++;
}

static void ring_sim_write(struct ring *base, struct ring_write *writes, unsigned int n)
{
	struct sim_ring *ring = (struct sim_ring *)(void *)base;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t frame[RING_BUFFER_SIZE];
		uint32_t len = 0;

		for (unsigned int v = 0; v < writes[i].iov_count; v++) {
			sim_check(len + writes[i].iov[v].iov_len <= sizeof(frame),
			          "frame too long");
			memcpy(frame + len, writes[i].iov[v].iov_base, writes[i].iov[v].iov_len);
			len += (uint32_t)writes[i].iov[v].iov_len;
		}
		sim_check(len >= 24, "frame too short");
		if (writes[i].port > 0)
			stations_receive(ring->node, writes[i].port - 1u, frame, len);
		else if (load_be16(frame + 22) == ETHERTYPE_WIRE_ARP)
			container_arp(ring->node, frame + 10, len - 10);
		else
			container_packet(ring->node, frame + 24, len - 24);
	}
}

static int ring_sim_add_tap(struct ring *ring, uint16_t port, int fd)
{
	(void)ring;
	(void)port;
	(void)fd;
	return 0;
}

static void ring_sim_remove_tap(struct ring *ring, uint16_t port)
{
	(void)ring;
	(void)port;
}

static int ring_sim_set_udp(struct ring *ring, int fd4, int fd6)
{
	(void)ring;
	(void)fd4;
	(void)fd6;
	return 0;
}

static void ring_sim_nothing(struct ring *ring)
{
	(void)ring;
}

static void ring_sim_close(struct ring *base)
{
	struct sim_ring *ring = (struct sim_ring *)(void *)base;

	while (ring->given_count)
		free(ring->given[--ring->given_count]);
	while (ring->head != ring->tail)
		free(ring->events[ring->head++ % RING_EVENTS].data);
	free(ring);
}

static const struct ring_ops ring_sim_ops = {
	.add_tap = ring_sim_add_tap,
	.remove_tap = ring_sim_remove_tap,
	.set_udp = ring_sim_set_udp,
	.wait = ring_sim_wait,
	.send = ring_sim_send,
	.write = ring_sim_write,
	.flush = ring_sim_nothing,
	.wake = ring_sim_nothing,
	.close = ring_sim_close,
};

/* ---- nodes ---- */

static void set_address(struct endpoint *ep, unsigned int node, uint16_t port)
{
	memset(ep, 0, sizeof(*ep));
	ep->remote.in.sin_family = AF_INET;
	ep->remote.in.sin_addr.s_addr = htonl(UNDERLAY + node);
	ep->remote.in.sin_port = htons(port);
}

struct sim *sim_open(uint64_t seed, unsigned int nodes)
{
	const struct sim_options options = { .nodes = nodes, .routed = true };

	return sim_open_with(seed, &options);
}

struct sim *sim_open_with(uint64_t seed, const struct sim_options *options)
{
	struct sim *sim = sim_allocate(sizeof(*sim));

	sim_check(secret_init() == 0 && aead_init() == 0, "no crypto");
	sim_check(options->nodes <= (options->routed ? SIM_ROUTED_MAX : SIM_NODES_MAX),
	          "too many nodes");
	sim->random_state = seed * 0x2545f4914f6cdd1dULL + 1;
	sim->now_ns = 1000 * SIM_SECOND;
	sim->node_count = options->nodes;
	sim->nodes = sim_allocate(options->nodes * sizeof(*sim->nodes));
	sim->routed = options->routed;
	memcpy(sim->widths, options->widths, sizeof(sim->widths));
	sim_calm(sim);
	if (options->stations)
		sim->stations = stations_open(sim, options->stations);
	for (unsigned int i = 0; i < sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[i];

		node->sim = sim;
		node->id = i;
		node->env = (struct environment){ env_now, env_wall, env_random, node };
		env_random(node, node->private_key, KEY_SIZE);
		secret_clamp(node->private_key);
		secret_derive_public(node->public_key, node->private_key);
		set_address(&node->address, i, 51820);
	}
	for (unsigned int i = 0; i < sim->node_count; i++)
		sim_start(sim, i);
	return sim;
}

void sim_close(struct sim *sim)
{
	for (unsigned int i = 0; i < sim->node_count; i++)
		sim_stop(sim, i);
	while (sim->flight_count)
		free(land(sim).data);
	stations_close(sim->stations);
	free(sim->flights);
	free(sim->nodes);
	free(sim);
}

static struct prefix prefix_of(uint8_t third, uint8_t len)
{
	return (struct prefix){ .family = 4, .len = len, .addr = { 172, 20, third, 0 } };
}

static void add_routed(struct sim_node *node, struct view_network *net)
{
	node->network = network_create(node->device, "sim", 0, NETWORK_ROUTED);
	sim_check(node->network != NULL, "out of memory");
	net->network = node->network;
	net->attached = true;
	net->subnets = sim_allocate(sizeof(*net->subnets));
	net->subnets[0] = prefix_of(0, 16);
	net->subnet_count = 1;
}

static void publish(struct sim_node *node)
{
	struct sim *sim = node->sim;
	struct route routes[SIM_ROUTED_MAX];
	size_t networks = sim->routed, peers = 0, n = 0;
	struct view *view;

	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++)
		networks += node->id < sim->widths[k];
	view = view_create(sim->node_count - 1, networks);
	sim_check(view != NULL, "out of memory");
	for (unsigned int i = 0; i < sim->node_count; i++) {
		if (i == node->id)
			continue;
		view->peers[peers++] = node->peers[i];
		if (!sim->routed)
			continue;
		routes[n].prefix = prefix_of((uint8_t)(101 + i), 24);
		routes[n++].target = node->peers[i];
	}
	networks = 0;
	if (sim->routed)
		add_routed(node, &view->networks[networks++]);
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++)
		if (node->id < sim->widths[k])
			stations_add_network(node, k, &view->networks[networks++]);
	sim_check(view_finish(view, routes, n) == 0, "out of memory");
	device_publish(node->device, view);
}

void sim_start(struct sim *sim, unsigned int id)
{
	struct sim_node *node = &sim->nodes[id];

	sim_check(!node->running, "node runs already");
	sim_check(device_open(&node->device, &node->env) == 0, "no device");
	device_set_identity(node->device, node->private_key);
	sim_check(timers_reserve(&node->device->timers, sim->node_count) == 0, "out of memory");
	for (unsigned int i = 0; i < sim->node_count; i++) {
		if (i == id)
			continue;
		node->peers[i] = peer_create(node->device, sim->nodes[i].public_key);
		sim_check(node->peers[i] != NULL, "out of memory");
		peer_set_endpoint(node->peers[i], &sim->nodes[i].address);
	}
	publish(node);

	node->ring = sim_allocate(sizeof(*node->ring));
	node->ring->ring.ops = &ring_sim_ops;
	node->ring->ring.name = "sim";
	node->ring->node = node;
	node->worker = worker_create(node->device, &node->ring->ring);
	sim_check(node->worker != NULL, "no worker");
	node->deadline_ns = UINT64_MAX;
	node->running = true;
	node->lives++;
	stations_attach(node);
}

void sim_stop(struct sim *sim, unsigned int id)
{
	struct sim_node *node = &sim->nodes[id];

	if (!node->running)
		return;
	worker_destroy(node->worker);
	ring_close(&node->ring->ring);
	device_close(node->device);
	memset(node->peers, 0, sizeof(node->peers));
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		node->bridges[k].network = NULL;
		memset(node->bridges[k].members, 0, sizeof(node->bridges[k].members));
	}
	node->running = false;
}

void sim_move(struct sim *sim, unsigned int id)
{
	struct sim_node *node = &sim->nodes[id];

	set_address(&node->address, id, (uint16_t)(ntohs(node->address.remote.in.sin_port) + 1));
}

void sim_inject(struct sim *sim, unsigned int to, const struct endpoint *claimed,
                const uint8_t *data, uint32_t len)
{
	struct ring_event *event;

	if (!sim->nodes[to].running)
		return;
	event = push_event(sim->nodes[to].ring, RING_DATAGRAM, data, len);
	if (event)
		event->from = *claimed;
}

void sim_inject_frame(struct sim *sim, unsigned int id, uint16_t port, const uint8_t *data,
                      uint32_t len)
{
	struct ring_event *event;

	if (!sim->nodes[id].running)
		return;
	event = push_event(sim->nodes[id].ring, RING_FRAME, data, len);
	if (event)
		event->port = port;
}

void sim_kick(struct sim *sim, unsigned int id)
{
	sim->nodes[id].deadline_ns = sim->now_ns;
}

void sim_send(struct sim *sim, unsigned int from, unsigned int to, uint32_t sequence,
              uint32_t payload_len)
{
	uint8_t data[10 + 14 + 28 + 2000] = { 0 };
	uint8_t *ip = data + 24;
	struct packet pkt;
	uint32_t len = 28 + 8 + payload_len;

	sim_check(payload_len <= 1900, "payload too long");
	if (!sim->nodes[from].running)
		return;
	memcpy(data + 10, sim->nodes[from].network->router_mac, 6);
	memcpy(data + 16, (uint8_t[]){ 2, 0xc0, 0, 0, 0, (uint8_t)from }, 6);
	store_be16(data + 22, ETHERTYPE_WIRE_IPV4);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)len);
	ip[8] = 64;
	ip[9] = IPPROTO_WIRE_UDP;
	memcpy(ip + 12, (uint8_t[]){ 172, 20, (uint8_t)(101 + from), 2 }, 4);
	memcpy(ip + 16, (uint8_t[]){ 172, 20, (uint8_t)(101 + to), 2 }, 4);
	packet_ipv4_checksum_fill(ip);
	store_be16(ip + 20, UDP_PORT);
	store_be16(ip + 22, UDP_PORT);
	store_be16(ip + 24, (uint16_t)(len - 20));
	store_be32(ip + 28, from);
	store_be32(ip + 32, sequence);
	for (uint32_t i = 36; i < len; i++)
		ip[i] = (uint8_t)(sequence + i);
	sim_check(packet_parse_ip(ip, len, &pkt), "own packet");
	store_be16(ip + 26,
	           checksum_fold(checksum_add(checksum_pseudo(&pkt, IPPROTO_WIRE_UDP, len - 20),
	                                      ip + 20, len - 20)));
	sim_inject_frame(sim, from, 0, data, 24 + len);
}

/* ---- time ---- */

static bool has_input(const struct sim_node *node)
{
	return node->running && node->ring->head != node->ring->tail;
}

static void run_nodes(struct sim *sim)
{
	bool again;

	do {
		again = false;
		for (unsigned int i = 0; i < sim->node_count; i++) {
			struct sim_node *node = &sim->nodes[i];

			if (!node->running || (!has_input(node) && node->deadline_ns > sim->now_ns))
				continue;
			node->deadline_ns = worker_round(node->worker, 0);
			quiesce_collect(&node->device->quiesce);
			again = true;
		}
	} while (again);
}

bool sim_run(struct sim *sim, uint64_t ns, bool (*done)(struct sim *sim, void *arg), void *arg)
{
	uint64_t end = sim->now_ns + ns;

	for (;;) {
		uint64_t next = end;

		stations_run(sim);
		run_nodes(sim);
		if (done && done(sim, arg))
			return true;
		for (unsigned int i = 0; i < sim->node_count; i++)
			if (sim->nodes[i].running && sim->nodes[i].deadline_ns < next)
				next = sim->nodes[i].deadline_ns;
		if (sim->flight_count && sim->flights[0].arrival_ns < next)
			next = sim->flights[0].arrival_ns;
		if (stations_next(sim) < next)
			next = stations_next(sim);
		if (next >= end)
			break;
		if (next > sim->now_ns)
			sim->now_ns = next;
		while (sim->flight_count && sim->flights[0].arrival_ns <= sim->now_ns) {
			struct sim_flight flight = land(sim);

			sim_inject(sim, flight.to, &flight.from, flight.data, flight.len);
			free(flight.data);
		}
	}
	sim->now_ns = end;
	return false;
}

void sim_calm(struct sim *sim)
{
	sim->filter = NULL;
	sim->loss = sim->duplication = 0;
	sim->delay_min_ns = sim->delay_max_ns = 10 * SIM_MS;
}

bool sim_lose_all(struct sim *sim, struct sim_node *from, uint8_t *data, uint32_t len)
{
	(void)sim;
	(void)from;
	(void)data;
	(void)len;
	return false;
}

uint64_t sim_drops(const struct sim *sim, unsigned int node, enum drop reason)
{
	return stats_read(&sim->nodes[node].device->stats.drops[reason]);
}

bool sim_has_session(const struct sim *sim, unsigned int node, unsigned int with)
{
	return sim->nodes[node].running &&
	       peer_send_keypair(sim->nodes[node].peers[with], sim->now_ns) != NULL;
}
