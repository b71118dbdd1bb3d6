/* SPDX-License-Identifier: MIT */
#include "sim/stations.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dataplane/packet.h"

#define FRAME_MAX       2048
#define ETHERTYPE_LOCAL 0x88b5 /* IEEE 802, for experiments */
#define UDP_PORT        7778

static const uint8_t everyone[ETHER_ADDR_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t gateway[4] = { 10, 7, 0, 1 };

/* A MAC came to a bridge, or went. */
struct station_event {
	uint64_t due_ns;
	unsigned int node, network;
	unsigned int life; /* the daemon's that it is for */
	uint8_t mac[ETHER_ADDR_SIZE];
	bool gone;
};

struct message {
	struct be32 network, from, to, sequence;
};

static void set_slot(struct station *station, uint32_t slot)
{
	uint32_t low = slot + 2;

	station->slot = slot;
	memcpy(station->address, (uint8_t[]){ 10, 7, (uint8_t)(low >> 8), (uint8_t)low }, 4);
}

struct stations *stations_open(struct sim *sim, unsigned int count)
{
	struct stations *stations = sim_allocate(sizeof(*stations));

	sim_check(count < 65000, "too many stations");
	stations->sim = sim;
	stations->count = count;
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		stations->list[k] = sim_allocate(count * sizeof(*stations->list[k]));
		stations->slots[k] = sim_allocate(count * sizeof(*stations->slots[k]));
		for (unsigned int i = 0; i < count; i++) {
			struct station *station = &stations->list[k][i];

			station->network = k;
			station->id = i;
			station->node = STATION_NOWHERE;
			memcpy(station->mac, (uint8_t[]){ 2, 0xc1, 0, 0, 0, 0 }, ETHER_ADDR_SIZE);
			store_be16(station->mac + 4, (uint16_t)i);
			set_slot(station, i);
			stations->slots[k][i] = i;
		}
	}
	return stations;
}

void stations_close(struct stations *stations)
{
	if (!stations)
		return;
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		free(stations->list[k]);
		free(stations->slots[k]);
	}
	free(stations->events);
	free(stations);
}

/* The station of that MAC, or NULL. */
static struct station *find_mac(const struct sim *sim, unsigned int network, const uint8_t *mac)
{
	unsigned int id = load_be16(mac + 4);

	if (id >= sim->stations->count ||
	    memcmp(station_at(sim, network, id)->mac, mac, ETHER_ADDR_SIZE) != 0)
		return NULL;
	return station_at(sim, network, id);
}

static struct station *find_address(const struct sim *sim, unsigned int network,
                                    const uint8_t *address)
{
	uint32_t slot = (uint32_t)load_be16(address + 2) - 2;

	if (address[0] != 10 || address[1] != 7 || slot >= sim->stations->count)
		return NULL;
	return station_at(sim, network, sim->stations->slots[network][slot]);
}

/* ---- the control threads ---- */

void stations_add_network(struct sim_node *node, unsigned int k, struct view_network *net)
{
	struct sim *sim = node->sim;
	struct sim_bridge *bridge = &node->bridges[k];
	char name[16];

	(void)snprintf(name, sizeof(name), "seg%u", k);
	bridge->network = network_create(node->device, name, (uint16_t)(1 + k), NETWORK_BRIDGED);
	sim_check(bridge->network != NULL, "out of memory");
	net->network = bridge->network;
	net->mode = NETWORK_BRIDGED;
	net->vni = STATIONS_VNI(k);
	net->attached = true;
	memcpy(net->bridge_mac, (uint8_t[]){ 2, 0xb0, 0, (uint8_t)k, 0, (uint8_t)node->id },
	       ETHER_ADDR_SIZE);
	net->gateways = sim_allocate(sizeof(*net->gateways));
	net->gateways[0].family = 4;
	memcpy(net->gateways[0].addr, gateway, sizeof(gateway));
	net->gateway_count = 1;
	net->members = sim_allocate(sim->widths[k] * sizeof(struct member *));
	for (unsigned int i = 0; i < sim->widths[k]; i++) {
		if (i == node->id)
			continue;
		bridge->members[i] = member_create(bridge->network, node->peers[i]);
		sim_check(bridge->members[i] != NULL, "out of memory");
		net->members[net->member_count++] = bridge->members[i];
	}
}

/* What ctl does when it hears of a MAC; a worker asks the owner, if that has to be. */
static void hear(struct sim_node *node, unsigned int network, const uint8_t *mac, bool gone)
{
	struct sim_bridge *bridge = &node->bridges[network];
	struct fdb_key key = fdb_key_mac(mac);
	enum fdb_verdict verdict = FDB_OK;
	/* Each is behind a port of its own, as far as there are so many. */
	uint32_t port = 1 + (uint32_t)(mac[4] << 8 | mac[5]) % (FDB_PORT_BRIDGE - 1);

	if (gone)
		fdb_withdraw(bridge->network->fdb, &bridge->network->local, &key,
		             node->sim->now_ns);
	else
		verdict = fdb_claim_port(bridge->network->fdb, &key, port, node->sim->now_ns,
		                         node->sim->now_ns);
	sim_check(verdict != FDB_QUOTA, "too many stations on a bridge");
	sim_kick(node->sim, node->id);
}

static void tell(struct sim *sim, const struct station *station, bool gone)
{
	struct stations *stations = sim->stations;
	struct station_event *event;
	uint64_t due_ns = sim->now_ns + stations->watch_ns;

	if (stations->event_first == stations->event_count)
		stations->event_first = stations->event_count = 0;
	/* In order, whatever became of watch_ns meanwhile. */
	if (stations->event_count && stations->events[stations->event_count - 1].due_ns > due_ns)
		due_ns = stations->events[stations->event_count - 1].due_ns;
	if (stations->event_count == stations->event_capacity) {
		stations->event_capacity = 2 * stations->event_capacity + 64;
		stations->events = reallocarray(stations->events, stations->event_capacity,
		                                sizeof(*stations->events));
		sim_check(stations->events != NULL, "out of memory");
	}
	event = &stations->events[stations->event_count++];
	*event = (struct station_event){ .due_ns = due_ns,
		                         .node = station->node,
		                         .network = station->network,
		                         .life = sim->nodes[station->node].lives,
		                         .gone = gone };
	memcpy(event->mac, station->mac, ETHER_ADDR_SIZE);
}

uint64_t stations_next(const struct sim *sim)
{
	const struct stations *stations = sim->stations;

	if (!stations || stations->event_first == stations->event_count)
		return UINT64_MAX;
	return stations->events[stations->event_first].due_ns;
}

void stations_run(struct sim *sim)
{
	while (stations_next(sim) <= sim->now_ns) {
		const struct station_event *event =
			&sim->stations->events[sim->stations->event_first++];
		struct sim_node *node = &sim->nodes[event->node];

		if (node->running && node->lives == event->life)
			hear(node, event->network, event->mac, event->gone);
	}
}

void stations_attach(struct sim_node *node)
{
	struct sim *sim = node->sim;

	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++)
		for (const struct station *s = node->bridges[k].first; s; s = s->next)
			if (s->learned && node->id < sim->widths[k])
				hear(node, k, s->mac, false);
}

/* ---- plugs ---- */

void station_plug(struct sim *sim, struct station *station, unsigned int node)
{
	struct station **first = &sim->nodes[node].bridges[station->network].first;

	sim_check(station->node == STATION_NOWHERE, "station is somewhere already");
	station->node = node;
	station->since_ns = sim->now_ns;
	station->next = *first;
	*first = station;
}

void station_unplug(struct sim *sim, struct station *station)
{
	struct station **link = &sim->nodes[station->node].bridges[station->network].first;

	while (*link != station)
		link = &(*link)->next;
	*link = station->next;
	if (station->learned)
		tell(sim, station, true);
	station->learned = false;
	station->node = STATION_NOWHERE;
}

void station_swap_addresses(struct sim *sim, struct station *a, struct station *b)
{
	uint32_t *slots = sim->stations->slots[a->network], slot = a->slot;

	sim_check(a->network == b->network && a->node == STATION_NOWHERE &&
	                  b->node == STATION_NOWHERE,
	          "stations are somewhere");
	set_slot(a, b->slot);
	set_slot(b, slot);
	slots[a->slot] = a->id;
	slots[b->slot] = b->id;
}

/* ---- frames ---- */

static void receive_frame(struct sim *sim, struct station *station, uint8_t *frame, uint32_t len,
                          bool undone);

/* To those of a bridge for whom it is, but @from. */
static void deliver(struct sim *sim, unsigned int node, unsigned int network,
                    const struct station *from, const uint8_t *data, uint32_t len)
{
	const struct wire_vnet *vnet = (const struct wire_vnet *)(const void *)data;
	const uint8_t *to = data + sizeof(*vnet);
	struct station *only = NULL;

	if (!(to[0] & 1)) {
		only = find_mac(sim, network, to);
		if (!only || only->node != node)
			return;
	}
	for (struct station *s = only ? only : sim->nodes[node].bridges[network].first; s;
	     s = only ? NULL : s->next) {
		uint8_t frame[FRAME_MAX];

		if (s == from)
			continue;
		memcpy(frame, to, len - sizeof(*vnet));
		receive_frame(sim, s, frame, len - (uint32_t)sizeof(*vnet),
		              vnet->flags & VNET_F_NEEDS_CSUM);
	}
}

/* A station sends: virtio header and frame. */
static void transmit(struct sim *sim, struct station *station, const uint8_t *data, uint32_t len)
{
	const uint8_t *to = data + sizeof(struct wire_vnet);
	unsigned int node = station->node;
	const struct station *other = to[0] & 1 ? NULL : find_mac(sim, station->network, to);

	if (!station->learned) {
		station->learned = true;
		tell(sim, station, false);
	}
	deliver(sim, node, station->network, station, data, len);
	if (!other || other->node != node)
		sim_inject_frame(sim, node, (uint16_t)(1 + station->network), data, len);
}

static void send_arp(struct sim *sim, struct station *station, uint16_t operation,
                     const uint8_t *to, const uint8_t *target_mac, const uint8_t *target)
{
	uint8_t data[sizeof(struct wire_vnet) + 14 + sizeof(struct wire_arp)] = { 0 };
	uint8_t *frame = data + sizeof(struct wire_vnet);
	struct wire_arp *arp = (struct wire_arp *)(void *)(frame + 14);

	memcpy(frame, to, ETHER_ADDR_SIZE);
	memcpy(frame + 6, station->mac, ETHER_ADDR_SIZE);
	store_be16(frame + 12, ETHERTYPE_WIRE_ARP);
	store_be16(arp->hardware.b, 1);
	store_be16(arp->protocol.b, ETHERTYPE_WIRE_IPV4);
	arp->hardware_len = ETHER_ADDR_SIZE;
	arp->protocol_len = 4;
	store_be16(arp->operation.b, operation);
	memcpy(arp->sender_mac, station->mac, ETHER_ADDR_SIZE);
	memcpy(arp->sender_ip, station->address, 4);
	if (target_mac)
		memcpy(arp->target_mac, target_mac, ETHER_ADDR_SIZE);
	memcpy(arp->target_ip, target, 4);
	transmit(sim, station, data, sizeof(data));
}

void station_announce(struct sim *sim, struct station *station)
{
	send_arp(sim, station, ARP_REQUEST, everyone, NULL, station->address);
}

void station_ask_gateway(struct sim *sim, struct station *station)
{
	send_arp(sim, station, ARP_REQUEST, everyone, NULL, gateway);
}

void station_ask(struct sim *sim, struct station *station, const struct station *other)
{
	send_arp(sim, station, ARP_REQUEST, everyone, NULL, other->address);
}

static uint8_t filler(uint32_t sequence, uint32_t i)
{
	return (uint8_t)(sequence * 7 + i);
}

/* The IP and UDP headers before what is there already. */
static void add_udp(const struct station *station, const uint8_t *to, uint8_t *ip, uint32_t len,
                    bool undone)
{
	struct packet pkt;

	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)len);
	ip[8] = 64;
	ip[9] = IPPROTO_WIRE_UDP;
	memcpy(ip + 12, station->address, 4);
	memcpy(ip + 16, to, 4);
	packet_ipv4_checksum_fill(ip);
	store_be16(ip + 20, UDP_PORT);
	store_be16(ip + 22, UDP_PORT);
	store_be16(ip + 24, (uint16_t)(len - 20));
	sim_check(packet_parse_ip(ip, len, &pkt), "own packet");
	if (undone)
		store_be16(ip + 26, (uint16_t)~checksum_fold(
					    checksum_pseudo(&pkt, IPPROTO_WIRE_UDP, len - 20)));
	else
		packet_l4_checksum_fill(&pkt);
}

void station_send(struct sim *sim, struct station *station, uint32_t to, uint32_t sequence,
                  enum station_frame kind, uint32_t payload_len)
{
	uint8_t data[sizeof(struct wire_vnet) + FRAME_MAX] = { 0 };
	struct wire_vnet *vnet = (struct wire_vnet *)(void *)data;
	uint8_t *frame = data + sizeof(*vnet);
	uint8_t *body = frame + (kind == STATION_OTHER ? 14 : 14 + 28);
	const struct station *other =
		to == STATION_EVERYONE ? NULL : station_at(sim, station->network, to);
	uint32_t len = (uint32_t)sizeof(struct message) + payload_len;
	struct message *msg = (struct message *)(void *)body;

	sim_check(len + 42 <= FRAME_MAX, "payload too long");
	memcpy(frame, other ? other->mac : everyone, ETHER_ADDR_SIZE);
	memcpy(frame + 6, station->mac, ETHER_ADDR_SIZE);
	store_be16(frame + 12, kind == STATION_OTHER ? ETHERTYPE_LOCAL : ETHERTYPE_WIRE_IPV4);
	store_be32(msg->network.b, station->network);
	store_be32(msg->from.b, station->id);
	store_be32(msg->to.b, to);
	store_be32(msg->sequence.b, sequence);
	for (uint32_t i = sizeof(*msg); i < len; i++)
		body[i] = filler(sequence, i);
	if (kind != STATION_OTHER)
		add_udp(station, other ? other->address : (uint8_t[]){ 10, 7, 255, 255 },
		        frame + 14, len + 28, kind == STATION_UDP_UNDONE);
	if (kind == STATION_UDP_UNDONE) {
		vnet->flags = VNET_F_NEEDS_CSUM;
		vnet->csum_start = 14 + 20;
		vnet->csum_offset = 6;
	}
	transmit(sim, station, data, (uint32_t)(body - data) + len);
}

static void receive_arp(struct sim *sim, struct station *station, const struct wire_arp *arp)
{
	uint16_t operation = load_be16(arp->operation.b);
	bool mine = memcmp(arp->target_ip, station->address, 4) == 0;

	if (operation == ARP_REQUEST && mine && !station->mute &&
	    memcmp(arp->sender_ip, station->address, 4) != 0) {
		send_arp(sim, station, ARP_REPLY, arp->sender_mac, arp->sender_mac, arp->sender_ip);
	} else if (operation == ARP_REPLY && mine) {
		const struct station *other = find_address(sim, station->network, arp->sender_ip);

		if (other && memcmp(other->mac, arp->sender_mac, ETHER_ADDR_SIZE) == 0)
			station->answers++;
		else
			station->lies++;
	}
}

static void receive_message(struct sim *sim, struct station *station, const uint8_t *body,
                            uint32_t len)
{
	const struct message *raw = (const struct message *)(const void *)body;
	struct station_message msg;

	if (len < sizeof(*raw)) {
		sim->stations->corrupt++;
		return;
	}
	msg = (struct station_message){ load_be32(raw->network.b), load_be32(raw->from.b),
		                        load_be32(raw->to.b), load_be32(raw->sequence.b) };
	if (msg.network != station->network)
		sim->stations->crossed++;
	if (msg.to != STATION_EVERYONE && msg.to != station->id)
		sim->stations->corrupt++;
	for (uint32_t i = sizeof(*raw); i < len; i++)
		if (body[i] != filler(msg.sequence, i))
			sim->stations->corrupt++;
	if (sim->received)
		sim->received(sim, station, &msg);
}

static void receive_frame(struct sim *sim, struct station *station, uint8_t *frame, uint32_t len,
                          bool undone)
{
	const struct wire_arp *arp;
	struct packet pkt;

	switch (load_be16(frame + 12)) {
	case ETHERTYPE_WIRE_ARP:
		if (packet_parse_arp(frame, len, &arp))
			receive_arp(sim, station, arp);
		else
			sim->stations->corrupt++;
		break;
	case ETHERTYPE_LOCAL:
		receive_message(sim, station, frame + 14, len - 14);
		break;
	default:
		if (packet_parse_ip(frame + 14, len - 14, &pkt) && pkt.flags & PACKET_L4 &&
		    (undone || packet_l4_checksum_ok(&pkt)) && packet_ipv4_checksum_ok(&pkt))
			receive_message(sim, station, pkt.data + pkt.payload,
			                pkt.len - pkt.payload);
		else
			sim->stations->corrupt++;
		break;
	}
}

void stations_receive(struct sim_node *node, unsigned int network, uint8_t *data, uint32_t len)
{
	const struct wire_vnet *vnet = (const struct wire_vnet *)(const void *)data;

	sim_check(len <= FRAME_MAX && vnet->gso_type == VNET_GSO_NONE, "not one frame");
	deliver(node->sim, node->id, network, NULL, data, len);
}

/* ---- judging ---- */

static bool look_up(const struct sim *sim, const struct station *station, unsigned int node,
                    uint8_t kind, struct fdb_place *place)
{
	const struct sim_bridge *bridge = &sim->nodes[node].bridges[station->network];
	const struct fdb_key key =
		kind == FDB_MAC ? fdb_key_mac(station->mac) : fdb_key_ip(4, station->address);

	return fdb_lookup(bridge->network->fdb, &key, sim->now_ns, place);
}

bool station_is_known(const struct sim *sim, const struct station *station, unsigned int node)
{
	const struct sim_bridge *bridge = &sim->nodes[node].bridges[station->network];
	const struct member *owner =
		station->node == node ? &bridge->network->local : bridge->members[station->node];
	struct fdb_place mac, address;

	return look_up(sim, station, node, FDB_MAC, &mac) && mac.owner == owner &&
	       look_up(sim, station, node, FDB_IPV4, &address) && address.owner == owner &&
	       memcmp(address.mac, station->mac, ETHER_ADDR_SIZE) == 0;
}

bool station_is_heard_of(const struct sim *sim, const struct station *station, unsigned int node)
{
	struct fdb_place place;

	return look_up(sim, station, node, FDB_MAC, &place) ||
	       look_up(sim, station, node, FDB_IPV4, &place);
}

bool stations_check_place(const struct sim *sim, unsigned int node, unsigned int network,
                          const struct fdb_info *info)
{
	const struct sim_bridge *bridge = &sim->nodes[node].bridges[network];
	const struct station *station = info->key.kind == FDB_MAC
	                                        ? find_mac(sim, network, info->key.addr)
	                                        : find_address(sim, network, info->key.addr);
	unsigned int owner = node;

	if (info->place.owner != &bridge->network->local)
		for (owner = 0; owner < sim->node_count; owner++)
			if (bridge->members[owner] == info->place.owner)
				break;
	if (station && station->node == owner &&
	    memcmp(station->mac, info->place.mac, ETHER_ADDR_SIZE) == 0)
		return true;
	fprintf(stderr,
	        "node %u, network %u: %s %02x%02x%02x%02x%02x%02x is said to be at %u, source %d; "
	        "station %d is at %d\n",
	        node, network, info->key.kind == FDB_MAC ? "MAC" : "address", info->key.addr[0],
	        info->key.addr[1], info->key.addr[2], info->key.addr[3], info->key.addr[4],
	        info->key.addr[5], owner, (int)info->place.source, station ? (int)station->id : -1,
	        station ? (int)station->node : -1);
	return false;
}
