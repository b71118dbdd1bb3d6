/* SPDX-License-Identifier: MIT */
#include "unit/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "dataplane/handshake.h"
#include "dataplane/packet.h"

const uint8_t RIG_BRIDGE_MAC[ETHER_ADDR_SIZE] = { 0x02, 0x42, 0xb1, 0xd6, 0xe0, 0x01 };
const uint8_t RIG_CONTAINER_MAC[ETHER_ADDR_SIZE] = { 0x02, 0x42, 0xac, 0x14, 0x65, 0x02 };
const uint8_t RIG_BROADCAST_MAC[ETHER_ADDR_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct rig_ring {
	struct ring ring;
	struct rig_host *host;
	unsigned int head, tail; /* grow for ever */
	struct ring_event events[RIG_EVENTS];
	unsigned int freed; /* events before this one have given their memory back */
};

void rig_must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "rig: %s\n", what);
	abort();
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	rig_must(p != NULL, "out of memory");
	return p;
}

static uint64_t env_now(void *arg)
{
	const struct rig_host *host = arg;

	return host->rig->now_ns;
}

static uint64_t env_wall(void *arg)
{
	const struct rig_host *host = arg;

	return host->rig->wall_ns += 100 * RIG_MS;
}

static void env_random(void *arg, void *out, size_t len)
{
	const struct rig_host *host = arg;
	uint64_t *seed = &host->rig->seed;

	for (size_t i = 0; i < len; i++) {
		*seed ^= *seed >> 12;
		*seed ^= *seed << 25;
		*seed ^= *seed >> 27;
		((uint8_t *)out)[i] = (uint8_t)((*seed * 0x2545f4914f6cdd1dULL) >> 56);
	}
}

/* ---- the ring ---- */

static unsigned int ring_rig_wait(struct ring *base, uint64_t deadline_ns,
                                  struct ring_event *events, unsigned int max)
{
	struct rig_ring *ring = (struct rig_ring *)(void *)base;
	unsigned int n = 0;

	(void)deadline_ns;
	while (n < max && ring->head != ring->tail)
		events[n++] = ring->events[ring->head++ % RIG_EVENTS];
	return n;
}

static uint8_t *record(struct rig_host *host, uint32_t len)
{
	uint8_t *p = host->log + host->log_used;

	rig_must(host->log_used + len <= RIG_LOG_SIZE, "the log is full");
	host->log_used += len;
	return p;
}

static void ring_rig_send(struct ring *base, struct ring_send *sends, unsigned int n)
{
	struct rig_host *host = ((struct rig_ring *)(void *)base)->host;

	for (unsigned int i = 0; i < n; i++) {
		struct ring_send *send = &sends[i];

		rig_must(send->segment > 0 && send->len <= RING_SEND_MAX &&
		                 (send->len + send->segment - 1) / send->segment <=
		                         RING_SEGMENTS_MAX,
		         "a send breaks ring.h");
		send->source_stale = host->sends_are_stale;
		send->gso_fallback =
			host->sends_fall_back && send->segment < send->len && !send->single;
		if (host->fail_sends) {
			send->error = host->fail_sends;
			send->failed = (send->len + send->segment - 1) / send->segment;
			continue;
		}
		for (uint32_t at = 0; at < send->len; at += send->segment) {
			uint32_t left = send->len - at;
			uint32_t size = left < send->segment ? left : send->segment;
			struct rig_record *to = &host->sent[host->sent_count++];

			rig_must(host->sent_count <= RIG_RECORDS, "too many datagrams");
			*to = (struct rig_record){ .data = record(host, size),
				                   .len = size,
				                   .sends = host->send_calls,
				                   .tos = send->tos,
				                   .single = send->single,
				                   .to = send->to };
			memcpy(to->data, send->data + at, size);
		}
		host->send_calls++;
	}
}

static void ring_rig_write(struct ring *base, struct ring_write *writes, unsigned int n)
{
	struct rig_host *host = ((struct rig_ring *)(void *)base)->host;

	for (unsigned int i = 0; i < n; i++) {
		struct rig_record *to = &host->frames[host->frame_count++];
		uint32_t len = 0;

		writes[i].error = host->fail_writes;
		if (host->fail_writes) {
			host->frame_count--;
			continue;
		}
		rig_must(host->frame_count <= RIG_RECORDS, "too many frames");
		*to = (struct rig_record){ .port = writes[i].port,
			                   .data = host->log + host->log_used };
		for (unsigned int v = 0; v < writes[i].iov_count; v++) {
			const struct iovec *iov = &writes[i].iov[v];

			memcpy(record(host, (uint32_t)iov->iov_len), iov->iov_base, iov->iov_len);
			len += (uint32_t)iov->iov_len;
		}
		to->len = len;
	}
}

static int ring_rig_add_tap(struct ring *ring, uint16_t port, int fd)
{
	(void)ring;
	(void)port;
	(void)fd;
	return 0;
}

static void ring_rig_remove_tap(struct ring *ring, uint16_t port)
{
	(void)ring;
	(void)port;
}

static int ring_rig_set_udp(struct ring *ring, int fd4, int fd6)
{
	(void)ring;
	(void)fd4;
	(void)fd6;
	return 0;
}

static void ring_rig_nothing(struct ring *ring)
{
	(void)ring;
}

/* Not in wait(): whoever counts allocations calls nothing but rounds meanwhile. */
static void free_taken(struct rig_ring *ring)
{
	while (ring->freed != ring->head)
		free(ring->events[ring->freed++ % RIG_EVENTS].data);
}

static void ring_rig_close(struct ring *base)
{
	struct rig_ring *ring = (struct rig_ring *)(void *)base;

	ring->head = ring->tail;
	free_taken(ring);
	free(ring);
}

static const struct ring_ops ring_rig_ops = {
	.add_tap = ring_rig_add_tap,
	.remove_tap = ring_rig_remove_tap,
	.set_udp = ring_rig_set_udp,
	.wait = ring_rig_wait,
	.send = ring_rig_send,
	.write = ring_rig_write,
	.flush = ring_rig_nothing,
	.wake = ring_rig_nothing,
	.close = ring_rig_close,
};

static struct ring_event *give(struct rig_host *host, enum ring_event_type type,
                               const uint8_t *data, uint32_t len)
{
	struct rig_ring *ring = host->ring;
	struct ring_event *event;

	free_taken(ring);
	rig_must(ring->tail - ring->freed < RIG_EVENTS, "too many events");
	event = &ring->events[ring->tail++ % RIG_EVENTS];
	*event = (struct ring_event){ .type = type, .len = len, .segment = len };
	event->data = allocate(len);
	memcpy(event->data, data, len);
	return event;
}

void rig_give_frame(struct rig_host *host, uint16_t port, const uint8_t *data, uint32_t len)
{
	give(host, RING_FRAME, data, len)->port = port;
}

void rig_give_datagram(struct rig_host *host, const struct endpoint *from, const uint8_t *data,
                       uint32_t len, uint32_t segment, uint8_t tos)
{
	struct ring_event *event = give(host, RING_DATAGRAM, data, len);

	event->from = *from;
	event->segment = segment ? segment : len;
	event->tos = tos;
}

/* ---- hosts ---- */

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	rig_must(prefix_parse(&prefix, text), text);
	return prefix;
}

static struct prefix *prefixes_of(const char *const *texts, size_t max, size_t *count)
{
	struct prefix *prefixes = allocate(max * sizeof(*prefixes));

	for (*count = 0; *count < max && texts[*count]; ++*count)
		prefixes[*count] = prefix_of(texts[*count]);
	return prefixes;
}

static void fill_networks(struct view *view, const struct rig_host *host,
                          const struct rig_options *options)
{
	struct view_network *net = &view->networks[0], *away = &view->networks[1];
	const char *const subnets[] = { "172.20.0.0/16", "fd20::/32" }, *const far =
										"172.21.0.0/16";

	net->network = host->net;
	net->attached = !options->detached;
	net->mtu = options->mtu;
	memcpy(net->bridge_mac, RIG_BRIDGE_MAC, ETHER_ADDR_SIZE);
	net->subnets = prefixes_of(subnets, 2, &net->subnet_count);
	net->ranges = prefixes_of(options->ranges, 4, &net->range_count);
	net->gateways = allocate(2 * sizeof(*net->gateways));
	net->gateway_count = 2;
	net->gateways[0].family = 4;
	rig_parse_addr(net->gateways[0].addr, RIG_GATEWAY(host->id));
	net->gateways[1].family = 6;
	rig_parse_addr(net->gateways[1].addr, RIG_GATEWAY6(host->id));
	away->network = host->away;
	away->subnets = prefixes_of(&far, 1, &away->subnet_count);
}

static void fill_bridged(struct view *view, const struct rig_host *host,
                         const struct rig_options *options)
{
	struct view_network *seg = &view->networks[2], *other = &view->networks[3];

	seg->network = host->seg;
	seg->mode = NETWORK_BRIDGED;
	seg->vni = RIG_VNI_SEG;
	seg->guards = options->guards;
	seg->attached = !options->detached;
	seg->mtu = options->mtu;
	memcpy(seg->bridge_mac, RIG_BRIDGE_MAC, ETHER_ADDR_SIZE);
	seg->members = allocate(2 * sizeof(*seg->members));
	if (!options->without_members) {
		seg->members[seg->member_count++] = host->seg_peer;
		seg->members[seg->member_count++] = host->seg_third;
	}
	seg->gateways = allocate(2 * sizeof(*seg->gateways));
	seg->gateway_count = 2;
	seg->gateways[0].family = 4;
	rig_parse_addr(seg->gateways[0].addr, "10.7.0.1");
	seg->gateways[1].family = 6;
	rig_parse_addr(seg->gateways[1].addr, "fe80::1");
	other->network = host->other;
	other->mode = NETWORK_BRIDGED;
	other->vni = RIG_VNI_OTHER;
	other->attached = true;
	memcpy(other->bridge_mac, RIG_BRIDGE_MAC, ETHER_ADDR_SIZE);
	other->members = allocate(sizeof(*other->members));
	other->members[other->member_count++] = host->other_peer;
}

/* What AllowedIPs say of a host that plays a peer; returns how many routes. */
static size_t add_routes(struct route *routes, unsigned int id, struct peer *peer)
{
	static const char *const prefixes[RIG_HOSTS][4] = {
		{ "172.20.101.0/24", "fd20:0:1::/48", "172.21.101.0/24", "10.7.0.0/24" },
		{ "172.20.102.0/24", "fd20:0:2::/48", "172.21.102.0/24", "10.7.1.0/24" },
		{ "172.20.103.0/24", "fd20:0:3::/48", NULL, "10.7.2.0/24" },
	};
	size_t n = 0;

	for (int i = 0; i < 4; i++)
		if (prefixes[id][i])
			routes[n++] = (struct route){ prefix_of(prefixes[id][i]), peer };
	return n;
}

void rig_publish(struct rig_host *host, const struct rig_options *options)
{
	static const struct rig_options plain;
	struct view *view;
	struct route routes[16];
	size_t n = 0;
	bool bridged;

	if (!options)
		options = &plain;
	bridged = host->seg && !options->bare;
	view = view_create(options->without_peer ? 1 : 2, bridged ? 4 : 2);
	rig_must(view != NULL, "out of memory");
	fill_networks(view, host, options);
	if (bridged)
		fill_bridged(view, host, options);
	view->peers[0] = host->third;
	n += add_routes(routes, host->third_id, host->third);
	if (!options->without_peer) {
		view->peers[1] = host->peer;
		n += add_routes(routes + n, host->peer_id, host->peer);
		routes[n++] = (struct route){ prefix_of("10.9.0.0/16"), host->peer };
		for (size_t i = 0; i < 4 && options->more_allowed[i]; i++)
			routes[n++] =
				(struct route){ prefix_of(options->more_allowed[i]), host->peer };
	}
	rig_must(view_finish(view, routes, n) == 0, "out of memory");
	device_publish(host->device, view);
	quiesce_collect(&host->device->quiesce);
}

static void add_bridged(struct rig_host *host)
{
	host->seg = network_create(host->device, "seg", RIG_PORT_SEG, NETWORK_BRIDGED);
	host->other = network_create(host->device, "other", RIG_PORT_OTHER, NETWORK_BRIDGED);
	rig_must(host->seg && host->other, "out of memory");
	host->seg->merge_udp = true;
	host->seg_peer = member_create(host->seg, host->peer);
	host->seg_third = member_create(host->seg, host->third);
	host->other_peer = member_create(host->other, host->peer);
	rig_must(host->seg_peer && host->seg_third && host->other_peer, "out of memory");
}

static void open_host(struct rig_host *host)
{
	const struct rig *rig = host->rig;
	const struct rig_host *other = &rig->host[host->peer_id];
	const struct rig_host *third = &rig->host[host->third_id];
	uint8_t nobody[KEY_SIZE] = { 9 };
	bool bridged = rig->hosts == RIG_HOSTS;

	rig_must(device_open(&host->device, &host->env) == 0, "no device");
	device_set_identity(host->device, host->private_key);
	host->net = network_create(host->device, "net", 0, NETWORK_ROUTED);
	host->away = network_create(host->device, "away", 1, NETWORK_ROUTED);
	rig_must(timers_reserve(&host->device->timers, 2) == 0, "out of memory");
	host->peer = peer_create(host->device, other->public_key);
	host->third = peer_create(host->device, bridged ? third->public_key : nobody);
	rig_must(host->net && host->away && host->peer && host->third, "out of memory");
	peer_set_endpoint(host->peer, &other->address);
	if (bridged) {
		peer_set_endpoint(host->third, &third->address);
		add_bridged(host);
	}
	host->net->merge_udp = true;
	rig_publish(host, NULL);

	host->ring = allocate(sizeof(*host->ring));
	host->ring->ring.ops = &ring_rig_ops;
	host->ring->ring.name = "rig";
	host->ring->host = host;
	host->worker = worker_create(host->device, &host->ring->ring);
	rig_must(host->worker != NULL, "no worker");
	rig_mark(host);
}

static struct rig *open_rig(unsigned int hosts)
{
	static const char *const addresses[RIG_HOSTS] = { "10.0.0.1:51820", "10.0.0.2:51820",
		                                          "10.0.0.3:51820" };
	struct rig *rig = allocate(sizeof(*rig));

	rig_must(secret_init() == 0 && aead_init() == 0, "no crypto");
	rig->now_ns = 1000 * RIG_SECOND;
	rig->wall_ns = 1700000000 * RIG_SECOND;
	rig->seed = 0x0123456789abcdefULL;
	rig->hosts = hosts;
	for (unsigned int i = 0; i < hosts; i++) {
		struct rig_host *host = &rig->host[i];

		host->rig = rig;
		host->id = i;
		host->peer_id = i == 0 ? 1 : 0;
		host->third_id = i == 2 ? 1 : 2;
		host->env = (struct environment){ env_now, env_wall, env_random, host };
		env_random(host, host->private_key, KEY_SIZE);
		secret_clamp(host->private_key);
		secret_derive_public(host->public_key, host->private_key);
		rig_must(endpoint_parse(&host->address, addresses[i]) == 0, "endpoint");
		host->log = allocate(RIG_LOG_SIZE);
	}
	for (unsigned int i = 0; i < hosts; i++)
		open_host(&rig->host[i]);
	return rig;
}

struct rig *rig_open(void)
{
	return open_rig(2);
}

struct rig *rig_open_bridged(void)
{
	return open_rig(RIG_HOSTS);
}

void rig_close(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->hosts; i++) {
		struct rig_host *host = &rig->host[i];

		/* So that the view names all the members that there are, for the device to retire. */
		if (host->seg)
			rig_publish(host, NULL);
		worker_destroy(host->worker);
		ring_close(&host->ring->ring);
		device_close(host->device);
		free(host->log);
	}
	free(rig);
}

void rig_round(struct rig_host *host)
{
	unsigned int rounds = 0;

	do {
		host->deadline_ns = worker_round(host->worker, 0);
		rig_must(++rounds < 100000, "the worker never comes to rest");
	} while (host->ring->head != host->ring->tail || host->deadline_ns <= host->rig->now_ns);
	quiesce_collect(&host->device->quiesce);
}

bool rig_hand_over(struct rig_host *from)
{
	struct rig *rig = from->rig;
	bool any = from->sent_count > 0;

	for (unsigned int i = 0; i < from->sent_count; i++) {
		const struct rig_record *d = &from->sent[i];

		for (unsigned int h = 0; h < rig->hosts; h++)
			if (endpoint_same_remote(&d->to, &rig->host[h].address))
				rig_give_datagram(&rig->host[h], &from->address, d->data, d->len, 0,
				                  d->tos & 3);
	}
	from->sent_count = 0;
	return any;
}

void rig_pump(struct rig *rig)
{
	bool any;

	do {
		any = false;
		for (unsigned int i = 0; i < rig->hosts; i++) {
			rig_round(&rig->host[i]);
			any |= rig_hand_over(&rig->host[i]);
		}
	} while (any);
}

void rig_advance(struct rig *rig, uint64_t ns)
{
	rig->now_ns += ns;
	for (unsigned int i = 0; i < rig->hosts; i++)
		rig_round(&rig->host[i]);
}

static void say_hello(struct rig_host *from, unsigned int to)
{
	uint8_t ip[256];

	rig_give_ip(from, ip, rig_make_udp(ip, RIG_ADDR(from->id), RIG_ADDR(to), 10));
	rig_pump(from->rig);
}

void rig_connect(struct rig *rig, unsigned int from)
{
	say_hello(&rig->host[from], !from);
	for (unsigned int i = 0; i < 2; i++) {
		rig_learn(&rig->host[i], RIG_ADDR(i));
		rig_learn(&rig->host[i], RIG_ADDR6(i));
		rig_must(peer_send_keypair(rig->host[i].peer, rig->now_ns) != NULL, "no session");
	}
	rig_pump(rig);
	for (unsigned int i = 0; i < 2; i++)
		rig_mark(&rig->host[i]);
}

void rig_connect_all(struct rig *rig)
{
	say_hello(&rig->host[0], 1);
	say_hello(&rig->host[0], 2);
	say_hello(&rig->host[1], 2);
	for (unsigned int i = 0; i < rig->hosts; i++) {
		const struct rig_host *host = &rig->host[i];

		rig_must(peer_send_keypair(host->peer, rig->now_ns) &&
		                 peer_send_keypair(host->third, rig->now_ns),
		         "no session");
		rig_mark(&rig->host[i]);
	}
	/* The neighbours that were asked for are no one's. */
	rig->now_ns += 10 * RIG_SECOND;
	rig_pump(rig);
	for (unsigned int i = 0; i < rig->hosts; i++)
		rig_mark(&rig->host[i]);
}

/* ---- sessions from outside ---- */

uint32_t rig_seal(struct rig_host *host, const uint8_t *plaintext, uint32_t len, uint8_t *out)
{
	struct keypair *kp = peer_send_keypair(host->peer, host->rig->now_ns);
	struct session_op op = { .packet = out, .len = len };
	uint64_t first;

	rig_must(kp != NULL, "no session to seal with");
	if (len)
		memcpy(out + sizeof(struct message_data), plaintext, len);
	rig_must(session_reserve(kp, 1, host->rig->now_ns, &first) == SESSION_OK, "no counter");
	session_seal_burst(kp, first, &op, 1);
	return len + (uint32_t)MESSAGE_DATA_OVERHEAD;
}

void rig_tell(struct rig_host *from, const uint8_t *plaintext, uint32_t len, uint8_t outer_tos)
{
	struct rig_host *to = &from->rig->host[from->peer_id];
	uint8_t *sealed = allocate(len + MESSAGE_DATA_OVERHEAD);

	rig_give_datagram(to, &from->address, sealed, rig_seal(from, plaintext, len, sealed), 0,
	                  outer_tos);
	free(sealed);
	rig_round(to);
}

bool rig_unseal(struct rig_host *host, const struct rig_record *sent, uint8_t *plaintext,
                uint32_t *len)
{
	const struct rig_host *third = &host->rig->host[host->third_id];
	bool to_third = host->seg && endpoint_same_remote(&sent->to, &third->address);
	struct keypair *kp = atomic_load(to_third ? &host->third->session.current
	                                          : &host->peer->session.current);

	if (!kp || sent->len < MESSAGE_DATA_OVERHEAD || load_le32(sent->data) != MESSAGE_DATA)
		return false;
	*len = sent->len - (uint32_t)MESSAGE_DATA_OVERHEAD;
	return aead_open(plaintext, sent->data + sizeof(struct message_data), *len + AEAD_TAG_SIZE,
	                 NULL, 0, load_le64(sent->data + 8), kp->send_key);
}

/* ---- counters ---- */

static void count(const struct rig_host *host, struct rig_counts *counts)
{
	for (int i = 0; i < DROP_COUNT; i++) {
		counts->device[i] = stats_read(&host->device->stats.drops[i]);
		counts->peer[i] = stats_read(&host->peer->drops[i]);
		counts->third[i] = stats_read(&host->third->drops[i]);
		counts->net[i] = stats_read(&host->net->drops[i]);
		counts->away[i] = stats_read(&host->away->drops[i]);
		counts->seg[i] = host->seg ? stats_read(&host->seg->drops[i]) : 0;
		counts->other[i] = host->other ? stats_read(&host->other->drops[i]) : 0;
	}
}

void rig_mark(struct rig_host *host)
{
	count(host, &host->marked);
	host->sent_count = 0;
	host->frame_count = 0;
	host->send_calls = 0;
	host->log_used = 0;
}

uint64_t rig_dropped(const struct rig_host *host, enum drop reason)
{
	return stats_read(&host->device->stats.drops[reason]) - host->marked.device[reason];
}

static bool compare(const char *where, const uint64_t *now, const uint64_t *then, enum drop reason,
                    uint64_t n)
{
	bool same = true;

	for (int i = 0; i < DROP_COUNT; i++) {
		uint64_t wanted = i == (int)reason ? n : 0, got = now[i] - then[i];

		if (got == wanted)
			continue;
		fprintf(stderr, "%s: %s is %llu, expected %llu\n", where, drop_name((enum drop)i),
		        (unsigned long long)got, (unsigned long long)wanted);
		same = false;
	}
	return same;
}

bool rig_counted(const struct rig_host *host, enum drop reason, uint64_t n, unsigned int whom)
{
	const struct rig_counts *then = &host->marked;
	struct rig_counts now;
	bool same;

	if (reason == DROP_NONE)
		n = 0;
	count(host, &now);
	same = compare("device", now.device, then->device, reason, n);
	same &= compare("peer", now.peer, then->peer, reason, whom & RIG_PEER ? n : 0);
	same &= compare("third", now.third, then->third, reason, whom & RIG_THIRD ? n : 0);
	same &= compare("net", now.net, then->net, reason, whom & RIG_NET ? n : 0);
	same &= compare("away", now.away, then->away, reason, whom & RIG_AWAY ? n : 0);
	same &= compare("seg", now.seg, then->seg, reason, whom & RIG_SEG ? n : 0);
	same &= compare("other", now.other, then->other, reason, whom & RIG_OTHER ? n : 0);
	return same;
}

bool rig_only_dropped(const struct rig_host *host, enum drop reason, uint64_t n, unsigned int whom)
{
	bool same = rig_counted(host, reason, n, whom);

	if (host->frame_count || host->sent_count)
		fprintf(stderr, "%u frames delivered and %u datagrams sent, expected none\n",
		        host->frame_count, host->sent_count);
	return same && !host->frame_count && !host->sent_count;
}

void rig_begin_session(struct burst *burst, struct peer *peer)
{
	pthread_mutex_lock(&peer->lock);
	hello_begin(peer, atomic_load(&peer->session.previous), burst->now_ns);
	pthread_mutex_unlock(&peer->lock);
	hello_due(burst, peer);
}
