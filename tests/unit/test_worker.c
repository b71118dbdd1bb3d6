/* SPDX-License-Identifier: MIT */
/*
 * Worker threads on real rings: two devices in one network namespace, a TAP each
 * and UDP over loopback between them. Packet sockets on the TAPs play the
 * containers. One thread keeps traffic going both ways while the control thread
 * changes everything that may be changed; made for TSan.
 *
 *	test_worker [STARTS [CHANGES [SEED]]]
 *
 * pitfall_5: both devices have four workers, which share sessions and here even one socket
 * and one queue, so the replay window is taken from several threads at once. pitfall_18, 19 and 20: handshakes,
 * removal during them, and loads of a new configuration, all under traffic.
 * pitfall_21: starting and stopping.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "unit/descriptors.h"
#include "unit/netns.h"
#include "unit/unit.h"
#include "crypto/aead.h"
#include "crypto/secret.h"
#include "dataplane/packet.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"
#include "unit/rig.h"

#define WORKERS   4
#define SEQUENCES (1u << 22)
#define SECOND_NS 1000000000ULL

static unsigned long start_count = 1000, change_count = 400;
static uint64_t seed = 1;

struct end {
	unsigned int id;
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	struct device *device;
	struct network *network;
	struct peer *peer;
	struct worker *workers[WORKERS];
	struct tap tap;
	struct udp_sockets udp;
	/* its container, played by the traffic thread */
	int packets; /* packet socket on the TAP */
	uint32_t next; /* sequence number to send */
	_Atomic uint32_t delivered, duplicates, corrupt;
	uint8_t *seen;
};

static struct end ends[2];
static const uint8_t container_mac[2][6] = { { 2, 0xc0, 0, 0, 0, 1 }, { 2, 0xc0, 0, 0, 0, 2 } };

/* ---- containers ---- */

static void container_answer_arp(struct end *end, const uint8_t *frame)
{
	const struct wire_arp *question = (const struct wire_arp *)(const void *)(frame + 24);
	uint8_t reply[24 + sizeof(struct wire_arp)], self[16];
	struct wire_arp arp = *question;
	uint32_t len;

	rig_parse_addr(self, RIG_ADDR(end->id));
	if (load_be16(question->operation.b) != ARP_REQUEST ||
	    memcmp(question->target_ip, self, 4) != 0)
		return;
	store_be16(arp.operation.b, ARP_REPLY);
	memcpy(arp.sender_mac, container_mac[end->id], 6);
	memcpy(arp.sender_ip, self, 4);
	memcpy(arp.target_mac, question->sender_mac, 6);
	memcpy(arp.target_ip, question->sender_ip, 4);
	len = rig_make_frame(reply, question->sender_mac, container_mac[end->id],
	                     ETHERTYPE_WIRE_ARP, (const uint8_t *)&arp, sizeof(arp));
	(void)!send(end->packets, reply, len, 0);
}

/* A datagram as the other end's container made it: sequence number, and bytes that follow from it. */
static void container_take_payload(struct end *end, const uint8_t *payload, uint32_t len)
{
	uint32_t sequence;

	if (len < 8) {
		end->corrupt++;
		return;
	}
	sequence = load_be32(payload);
	for (uint32_t i = 4; i < len; i++)
		if (payload[i] != (uint8_t)(sequence + i))
			end->corrupt++;
	if (sequence >= SEQUENCES)
		end->corrupt++;
	else if (end->seen[sequence]++)
		end->duplicates++;
	else
		end->delivered++;
}

static void container_receive(struct end *end)
{
	static uint8_t frame[RIG_PACKET_MAX + 64];
	struct wire_vnet vnet;
	struct packet pkt;
	ssize_t len;

	while ((len = recv(end->packets, frame, sizeof(frame), MSG_DONTWAIT)) > 24) {
		uint32_t part, at;

		memcpy(&vnet, frame, sizeof(vnet));
		if (load_be16(frame + 22) == ETHERTYPE_WIRE_ARP && len >= 24 + 28) {
			container_answer_arp(end, frame);
			continue;
		}
		if (load_be16(frame + 22) != ETHERTYPE_WIRE_IPV4 ||
		    !packet_parse_ip(frame + 24, (uint32_t)len - 24, &pkt)) {
			end->corrupt++;
			continue;
		}
		/* Merged datagrams are counted one by one. */
		part = vnet.gso_type ? vnet.gso_size : pkt.len - pkt.payload;
		for (at = pkt.payload; at < pkt.len; at += part)
			container_take_payload(end, pkt.data + at,
			                       pkt.len - at < part ? pkt.len - at : part);
	}
}

static void container_send(struct end *end, uint32_t payload)
{
	uint8_t ip[2048], frame[2100];
	uint32_t len;

	if (end->next == SEQUENCES)
		return;
	len = rig_make_udp(ip, RIG_ADDR(end->id), RIG_ADDR(!end->id), payload);
	store_be32(ip + 28, end->next);
	for (uint32_t i = 4; i < payload; i++)
		ip[28 + i] = (uint8_t)(end->next + i);
	store_be16(ip + 26, 0); /* no UDP checksum; the bytes say themselves what they are */
	end->next++;
	len = rig_make_frame(frame, end->network->router_mac, container_mac[end->id],
	                     ETHERTYPE_WIRE_IPV4, ip, len);
	(void)!send(end->packets, frame, len, MSG_DONTWAIT);
}

static _Atomic bool traffic_stop;

static void *traffic(void *arg)
{
	uint32_t round = 0;

	(void)arg;
	while (!atomic_load(&traffic_stop)) {
		struct pollfd fds[2] = { { .fd = ends[0].packets, .events = POLLIN },
			                 { .fd = ends[1].packets, .events = POLLIN } };

		for (unsigned int i = 0; i < 2; i++)
			for (unsigned int n = 0; n < 8; n++)
				container_send(&ends[i], 16 + (round * 37 + n * 11) % 1200);
		round++;
		poll(fds, 2, 1);
		for (unsigned int i = 0; i < 2; i++)
			container_receive(&ends[i]);
		usleep(300);
	}
	return NULL;
}

static void open_container(struct end *end)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	int on = 1;

	end->packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0003));
	assert_true(end->packets >= 0);
	address.sll_ifindex = (int)if_nametoindex(end->tap.name);
	address.sll_protocol = htons(0x0003);
	assert_int_equal(setsockopt(end->packets, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)), 0);
	assert_int_equal(
		setsockopt(end->packets, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)), 0);
	assert_int_equal(bind(end->packets, (struct sockaddr *)&address, sizeof(address)), 0);
	end->seen = calloc(1, SEQUENCES);
	assert_non_null(end->seen);
}

/* ---- the control thread ---- */

static struct endpoint address_of(const struct end *end)
{
	struct endpoint ep = { 0 };

	ep.remote.in.sin_family = AF_INET;
	ep.remote.in.sin_addr.s_addr = htonl(0x7f000001);
	ep.remote.in.sin_port = htons(end->udp.port);
	return ep;
}

static struct prefix *one_prefix(const char *text)
{
	struct prefix *prefix = calloc(1, sizeof(*prefix));

	assert_non_null(prefix);
	assert_true(prefix_parse(prefix, text));
	return prefix;
}

/* A new view, with or without the peer. */
static void publish(struct end *end, bool with_peer)
{
	struct view *view = view_create(with_peer, 1);
	struct view_network *net;
	struct route route;

	assert_non_null(view);
	net = &view->networks[0];
	net->network = end->network;
	net->attached = true;
	net->subnets = one_prefix("172.20.0.0/16");
	net->subnet_count = 1;
	net->gateways = calloc(1, sizeof(*net->gateways));
	assert_non_null(net->gateways);
	net->gateways[0].family = 4;
	rig_parse_addr(net->gateways[0].addr, RIG_GATEWAY(end->id));
	net->gateway_count = 1;
	if (with_peer) {
		view->peers[0] = end->peer;
		assert_true(prefix_parse(&route.prefix,
		                         end->id ? "172.20.101.0/24" : "172.20.102.0/24"));
		route.target = end->peer;
	}
	assert_int_equal(view_finish(view, &route, with_peer), 0);
	device_publish(end->device, view);
}

static void add_peer(struct end *end)
{
	const struct end *other = &ends[!end->id];
	struct endpoint to = address_of(other);

	end->peer = peer_create(end->device, other->public_key);
	assert_non_null(end->peer);
	peer_set_endpoint(end->peer, &to);
	publish(end, true);
}

static void remove_peer(struct end *end)
{
	struct peer *peer = end->peer;

	peer_kill(peer);
	publish(end, false);
	peer_retire(peer);
}

static int attach_tap(struct ring *ring, void *arg)
{
	const struct end *end = arg;

	return ring_add_tap(ring, 0, end->tap.fds[0]);
}

static int detach_tap(struct ring *ring, void *arg)
{
	(void)arg;
	ring_remove_tap(ring, 0);
	return 0;
}

static int set_udp(struct ring *ring, void *arg)
{
	const struct end *end = arg;

	return ring_set_udp(ring, end->udp.fd4, end->udp.fd6);
}

static void on_all_workers(struct end *end, int (*fn)(struct ring *ring, void *arg))
{
	for (unsigned int i = 0; i < WORKERS; i++)
		assert_int_equal(worker_call(end->workers[i], fn, end), 0);
}

static void move_udp(struct end *end)
{
	struct udp_sockets old = end->udp;

	assert_int_equal(udp_open(&end->udp, 0, 0, 1 << 20), 0);
	on_all_workers(end, set_udp);
	udp_close(&old);
}

static void look(struct end *end)
{
	static struct neigh_info neighbours[64];
	struct peer_info info;

	peer_get_info(end->peer, device_now(end->device), &info);
	neigh_list(end->network->neigh, neighbours, 64);
	for (int i = 0; i < DROP_COUNT; i++)
		(void)stats_read(&end->device->stats.drops[i]);
}

static void change(struct end *end)
{
	const uint8_t psk[KEY_SIZE] = { (uint8_t)(unit_random(&seed) & 1) };
	struct endpoint to = address_of(&ends[!end->id]);

	switch (unit_random(&seed) % 12) {
	case 0:
		publish(end, true);
		break;
	case 1:
		remove_peer(end);
		usleep((useconds_t)(unit_random(&seed) % 500));
		add_peer(end);
		break;
	case 2:
		/* On both, one after the other: handshakes in between fail, and come again. */
		peer_set_psk(ends[0].peer, psk);
		peer_set_psk(ends[1].peer, psk);
		break;
	case 3:
		peer_set_endpoint(end->peer, &to);
		break;
	case 4:
		peer_set_keepalive(end->peer, (uint16_t)(unit_random(&seed) % 3));
		worker_kick(end->workers[0]);
		break;
	case 5:
		peer_set_mtu(end->peer, unit_random(&seed) & 1 ? 1280 : 1420);
		break;
	case 6:
		on_all_workers(end, detach_tap);
		/* As for a TAP that was made again, with other offloads. */
		atomic_store_explicit(&end->network->merge_udp,
		                      end->tap.uso && unit_random(&seed) & 1, memory_order_relaxed);
		on_all_workers(end, attach_tap);
		break;
	case 7:
		move_udp(end);
		break;
	case 8:
		peer_reset(end->peer);
		break;
	case 9:
		device_set_identity(end->device, NULL);
		device_set_identity(end->device, end->private_key);
		break;
	case 10:
		peer_forget_source(end->peer);
		break;
	default:
		look(end);
		break;
	}
	quiesce_collect(&end->device->quiesce);
}

static bool wait_for(bool (*condition)(void), uint64_t ns)
{
	uint64_t end = netns_now_ns() + ns;

	while (!condition()) {
		if (netns_now_ns() > end)
			return false;
		usleep(5000);
	}
	return true;
}

static uint32_t had[2];

static bool more_both_ways(void)
{
	return atomic_load(&ends[0].delivered) > had[0] + 100 &&
	       atomic_load(&ends[1].delivered) > had[1] + 100;
}

static bool flows(uint64_t within_ns)
{
	had[0] = atomic_load(&ends[0].delivered);
	had[1] = atomic_load(&ends[1].delivered);
	return wait_for(more_both_ways, within_ns);
}

/* ---- set-up ---- */

static void open_end(struct end *end, enum worker_io io)
{
	char why[160];

	assert_int_equal(device_open(&end->device, &environment_system), 0);
	device_set_identity(end->device, end->private_key);
	end->network = network_create(end->device, "net", 0, NETWORK_ROUTED);
	assert_non_null(end->network);
	end->network->merge_udp = end->tap.uso;
	assert_int_equal(timers_reserve(&end->device->timers, 1), 0);
	assert_int_equal(udp_open(&end->udp, 0, 0, 1 << 20), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(worker_start(&end->workers[i], end->device, io, why), 0);
		assert_int_equal(worker_call(end->workers[i], attach_tap, end), 0);
		assert_int_equal(worker_call(end->workers[i], set_udp, end), 0);
	}
}

static void close_end(struct end *end)
{
	for (unsigned int i = 0; i < WORKERS; i++)
		worker_stop(end->workers[i]);
	device_close(end->device);
	udp_close(&end->udp);
}

static void open_taps(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct end *end = &ends[i];
		const char *name = i ? "worker1" : "worker0";

		end->id = i;
		secret_generate_private(end->private_key);
		secret_derive_public(end->public_key, end->private_key);
		assert_int_equal(tap_open(&end->tap, name, 1), 0);
		assert_true(netns_run("ip link set %s up", name));
		open_container(end);
	}
}

static void close_taps(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		close(ends[i].packets);
		tap_close(&ends[i].tap);
		free(ends[i].seen);
	}
	memset(ends, 0, sizeof(ends));
}

/* ---- tests ---- */

static void changes_under_traffic(enum worker_io io)
{
	pthread_t thread;

	open_taps();
	for (unsigned int i = 0; i < 2; i++)
		open_end(&ends[i], io);
	for (unsigned int i = 0; i < 2; i++)
		add_peer(&ends[i]);
	atomic_store(&traffic_stop, false);
	assert_int_equal(pthread_create(&thread, NULL, traffic, NULL), 0);
	assert_true(flows(20 * SECOND_NS));
	for (unsigned long i = 0; i < change_count; i++) {
		change(&ends[unit_random(&seed) & 1]);
		usleep((useconds_t)(unit_random(&seed) % 3000));
	}
	/* Both as they should be; then what was lost on the way comes back by itself. */
	for (unsigned int i = 0; i < 2; i++) {
		static const uint8_t no_psk[KEY_SIZE];
		struct endpoint to = address_of(&ends[!i]);

		peer_set_psk(ends[i].peer, no_psk);
		peer_set_endpoint(ends[i].peer, &to);
	}
	if (!flows(30 * SECOND_NS))
		for (unsigned int i = 0; i < 2; i++)
			for (int d = 0; d < DROP_COUNT; d++)
				if (stats_read(&ends[i].device->stats.drops[d]))
					printf("%u: %s %llu\n", i, drop_name((enum drop)d),
					       (unsigned long long)stats_read(
						       &ends[i].device->stats.drops[d]));
	assert_true(flows(SECOND_NS * 5));
	atomic_store(&traffic_stop, true);
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < 2; i++) {
		assert_int_equal(ends[i].duplicates, 0);
		assert_int_equal(ends[i].corrupt, 0);
		close_end(&ends[i]);
	}
	close_taps();
}

static void pitfall_20_changes_under_traffic_poll(void **state)
{
	(void)state;
	changes_under_traffic(WORKER_IO_POLL);
}

static void pitfall_20_changes_under_traffic_uring(void **state)
{
	struct device *device;
	struct worker *worker;
	char why[160];
	int err;

	(void)state;
	if (UNIT_VALGRIND) {
		print_message("skipped: io_uring and threads under valgrind\n");
		skip();
	}
	assert_int_equal(device_open(&device, &environment_system), 0);
	err = worker_start(&worker, device, WORKER_IO_URING, why);
	if (!err)
		worker_stop(worker);
	device_close(device);
	if (err) {
		printf("skipped: %s\n", why);
		skip();
	}
	changes_under_traffic(WORKER_IO_URING);
}

/* A worker that ends gives back all it had, its place among the readers too. */
static void pitfall_21_workers_come_and_go(void **state)
{
	struct device *device;
	unsigned int before;
	char why[160];

	(void)state;
	assert_int_equal(device_open(&device, &environment_system), 0);
	before = count_descriptors();
	for (unsigned long i = 0; i < start_count; i++) {
		struct worker *worker;

		assert_int_equal(worker_start(&worker, device, WORKER_IO_POLL, why), 0);
		if (i & 1)
			worker_kick(worker);
		worker_stop(worker);
	}
	assert_int_equal(count_descriptors(), before);
	device_close(device);
}

/* Whole devices, with frames waiting at the TAP and a peer to initiate to. */
static void pitfall_21_devices_come_and_go(void **state)
{
	unsigned int before;

	(void)state;
	open_taps();
	before = count_descriptors();
	for (unsigned long i = 0; i < start_count / 5; i++) {
		open_end(&ends[0], WORKER_IO_POLL);
		add_peer(&ends[0]);
		for (int n = 0; n < 4; n++)
			container_send(&ends[0], 100);
		if (i % 3 == 0)
			usleep(200);
		close_end(&ends[0]);
	}
	assert_int_equal(count_descriptors(), before);
	close_taps();
}

static void calls_run_on_the_workers_thread(void **state)
{
	struct device *device;
	struct worker *worker;
	char why[160];

	(void)state;
	assert_int_equal(device_open(&device, &environment_system), 0);
	assert_int_equal(worker_start(&worker, device, WORKER_IO_POLL, why), 0);
	assert_string_equal(worker_io_name(worker), "poll");
	for (int i = 0; i < 2000; i++)
		assert_int_equal(worker_call(worker, detach_tap, NULL), 0);
	worker_stop(worker);
	device_close(device);
}

static int scheduler_of(struct ring *ring, void *arg)
{
	(void)ring;
	(void)arg;
	return sched_getscheduler(0);
}

/* What the ring refuses makes a flood as well, and those get no realtime priority. */
static void a_flood_of_nothing_is_one(void **state)
{
	struct end end = { 0 };
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct worker *worker;
	char why[160];
	int policy = SCHED_RR;

	(void)state;
	assert_int_equal(device_open(&end.device, &environment_system), 0);
	assert_int_equal(udp_open(&end.udp, 0, 0, 1 << 20), 0);
	to.sin_port = htons(end.udp.port);
	assert_int_equal(worker_start(&worker, end.device, WORKER_IO_POLL, why), 0);
	assert_int_equal(worker_call(worker, set_udp, &end), 0);
	if (worker_set_pace(worker, true, 0)) {
		print_message("skipped: no realtime priority here\n");
		policy = SCHED_OTHER;
	}
	for (int i = 0; i < 500 && policy == SCHED_RR; i++) {
		for (int n = 0; n < 1000; n++)
			(void)sendto(end.udp.fd4, "", 0, 0, (struct sockaddr *)&to, sizeof(to));
		policy = worker_call(worker, scheduler_of, NULL);
	}
	worker_stop(worker);
	udp_close(&end.udp);
	device_close(end.device);
	if (policy == SCHED_RR)
		fail_msg("still of realtime priority");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_run_on_the_workers_thread),
		cmocka_unit_test(a_flood_of_nothing_is_one),
		cmocka_unit_test(pitfall_21_workers_come_and_go),
		cmocka_unit_test(pitfall_21_devices_come_and_go),
		cmocka_unit_test(pitfall_20_changes_under_traffic_poll),
		cmocka_unit_test(pitfall_20_changes_under_traffic_uring),
	};

	if (argc > 1)
		start_count = strtoul(argv[1], NULL, 10);
	if (argc > 2)
		change_count = strtoul(argv[2], NULL, 10);
	if (argc > 3)
		seed = strtoull(argv[3], NULL, 10);
	if (!netns_enter())
		return NETNS_SKIP;
	(void)netns_run("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
	if (secret_init() || aead_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
