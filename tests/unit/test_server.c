/* SPDX-License-Identifier: MIT */
/* Requests on the control socket and their replies. */
#include "running.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "ctl/events.h"
#include "ctl/json_memory.h"
#include "ctl/server.h"
#include "dataplane/fdb.h"

#define A_FULL    PEER_A "Name = alice\nAllowedIPs = 172.20.1.0/24\n"
#define B_FULL    PEER_B "Name = bob\nAllowedIPs = 172.20.2.0/24, 10.0.0.0/8\n"
#define BRIDGED   "[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = 7\n"
#define FILE_TEXT HEAD "Subnet = 172.20.0.0/16\n" BRIDGED A_FULL "VNIs = 7\n" B_FULL

static const char file_path[] = "/run/test.conf"; /* the namespace's own /run */

static json_t *ask(const char *request)
{
	struct buffer out;
	json_t *reply;

	buffer_init(&out, SERVER_REPLY_MAX);
	assert_true(server_reply(&running, request, strlen(request), &out));
	/* One line, and JSON. */
	assert_ptr_equal(memchr(out.data, '\n', out.len), out.data + out.len - 1);
	reply = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	buffer_fini(&out);
	assert_non_null(reply);
	return reply;
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "";
}

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void expect_good(const char *request)
{
	json_t *reply = ask(request);

	if (!json_is_true(json_object_get(reply, "ok")))
		fail_msg("%s: %s", request, text(reply, "error"));
	json_decref(reply);
}

/* One line, the tool's exit status, and nothing changed. */
static void expect_refused(const char *request, const char *what)
{
	const struct config *before = running.config;
	json_t *reply = ask(request);

	if (!json_is_false(json_object_get(reply, "ok")) || number(reply, "exit") != 2 ||
	    !strstr(text(reply, "error"), what) || strchr(text(reply, "error"), '\n'))
		fail_msg("%s: %s", request, text(reply, "error"));
	assert_ptr_equal(running.config, before);
	json_decref(reply);
}

static void write_file(const char *content)
{
	int fd = open(file_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	close(fd);
}

static int start(void **state)
{
	running_files.config = file_path;
	if (running_open(state) || running_apply(FILE_TEXT, NULL))
		return -1;
	running.path = file_path;
	running.base = config_copy(running.config);
	write_file(FILE_TEXT);
	return running.base ? 0 : -1;
}

static void test_show(void **state)
{
	json_t *reply = ask("{\"do\":\"show\"}\n"), *device, *peer, *network;

	(void)state;
	assert_int_equal(number(reply, "version"), 1);
	device = json_object_get(reply, "device");
	assert_string_equal(text(device, "name"), "test");
	assert_string_equal(text(device, "public_key"), OWN);
	assert_int_equal(number(device, "listen_port"), running.udp[0].port);
	assert_string_equal(text(device, "io"), "poll");
	network = json_array_get(json_object_get(reply, "networks"), 0);
	assert_string_equal(text(network, "bridge"), "ovl0");
	assert_string_equal(text(network, "tap"), "ovt-ovl0");
	assert_true(json_is_false(json_object_get(network, "attached")));
	peer = json_array_get(json_object_get(reply, "peers"), 1);
	assert_string_equal(text(peer, "name"), "bob");
	assert_string_equal(text(peer, "public_key"), KEY_B);
	assert_true(json_is_null(json_object_get(peer, "endpoint")));
	assert_true(json_is_null(json_object_get(peer, "latest_handshake_age_s")));
	assert_true(json_is_null(json_object_get(peer, "loss")));
	assert_int_equal(number(peer, "tunnel_mtu"), PEER_MTU_DEFAULT);
	assert_int_equal(json_array_size(json_object_get(peer, "allowed_ips")), 2);
	json_decref(reply);
}

/* ---- bridged networks ---- */

static struct fdb *fdb_of_seven(void)
{
	return running.networks[1]->network->fdb;
}

static struct member *alice_in_seven(void)
{
	return running.members[1].list[0];
}

static void claim(const char *mac_text, const char *address)
{
	struct prefix prefix = prefix_of(address);
	struct fdb_key key = fdb_key_ip(prefix.family, prefix.addr);
	struct fdb_question question;
	uint8_t mac[ETHER_ADDR_SIZE];
	bool ask;

	assert_true(config_parse_mac(mac, mac_text));
	assert_int_equal(fdb_claim(fdb_of_seven(), alice_in_seven(), &key, mac, FDB_LEARNED,
	                           device_now(running.device), &ask, &question),
	                 FDB_CAME);
}

/* The entry of @station in what fdb-list says of network seven; NULL: none. */
static const json_t *station_of(const json_t *reply, const char *station)
{
	const json_t *networks = json_object_get(reply, "networks");
	const json_t *list = json_object_get(json_array_get(networks, 0), "stations");

	assert_int_equal(json_array_size(networks), 1);
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(text(json_array_get(list, i), "station"), station) == 0)
			return json_array_get(list, i);
	return NULL;
}

static void expect_station(const char *station, const char *mac, const char *at, const char *how)
{
	json_t *reply = ask("{\"do\":\"fdb-list\",\"network\":\"seven\"}");
	const json_t *entry = station_of(reply, station);

	if (!entry)
		fail_msg("no %s", station);
	assert_string_equal(text(entry, "mac"), mac);
	assert_string_equal(text(entry, "at"), at);
	assert_string_equal(text(entry, "how"), how);
	assert_int_equal(json_is_null(json_object_get(entry, "public_key")),
	                 strcmp(at, "here") == 0);
	assert_int_equal(number(entry, "age_s"), 0);
	assert_true(json_is_false(json_object_get(entry, "contested")));
	json_decref(reply);
}

static void expect_no_station(const char *station)
{
	json_t *reply = ask("{\"do\":\"fdb-list\"}");

	assert_null(station_of(reply, station));
	json_decref(reply);
}

static void test_show_bridged(void **state)
{
	json_t *reply, *network, *peer;

	(void)state;
	claim("02:00:00:00:00:05", "172.20.0.5");
	atomic_store(&alice_in_seven()->flooded, 11);
	atomic_store(&running.networks[1]->network->suppressed, 12);
	reply = ask("{\"do\":\"show\"}");
	network = json_array_get(json_object_get(reply, "networks"), 0);
	assert_string_equal(text(network, "mode"), "routed");
	assert_null(json_object_get(network, "vni"));
	network = json_array_get(json_object_get(reply, "networks"), 1);
	assert_string_equal(text(network, "mode"), "bridged");
	assert_int_equal(number(network, "vni"), 7);
	assert_int_equal(number(network, "members"), 1);
	assert_int_equal(number(network, "members_ready"), 0);
	assert_int_equal(number(network, "stations"), 2);
	assert_int_equal(number(network, "stations_here"), 0);
	assert_int_equal(number(network, "flooded"), 11);
	assert_int_equal(number(network, "suppressed"), 12);
	peer = json_array_get(json_object_get(reply, "peers"), 0);
	assert_int_equal(json_array_size(json_object_get(peer, "vnis")), 1);
	assert_true(json_is_null(json_object_get(peer, "hello")));
	json_decref(reply);
	/* It has no neighbours of the routed kind. */
	reply = ask("{\"do\":\"neigh\"}");
	assert_int_equal(json_array_size(json_object_get(reply, "networks")), 1);
	json_decref(reply);
}

#define FDB(what, station) \
	"{\"do\":\"fdb-" what "\",\"network\":\"seven\",\"station\":\"" station "\""

static void test_fdb(void **state)
{
	json_t *reply;

	(void)state;
	claim("02:00:00:00:00:05", "172.20.0.5");
	expect_station("172.20.0.5", "02:00:00:00:00:05", "alice", "learned");
	/* An address alone is taken with the MAC that it is known with. */
	expect_good(FDB("add", "172.20.0.5") ",\"at\":\"alice\"}");
	expect_station("172.20.0.5", "02:00:00:00:00:05", "alice", "static");
	expect_good(FDB("add", "fd00::6") ",\"mac\":\"2:0:0:0:0:6\",\"at\":\"local\"}");
	expect_station("fd00::6", "02:00:00:00:00:06", "here", "static");
	expect_good(FDB("add", "02:00:00:00:00:07") ",\"at\":\"alice\"}");

	expect_good(FDB("del", "172.20.0.5") "}");
	expect_no_station("172.20.0.5");
	expect_no_station("02:00:00:00:00:05");
	claim("02:00:00:00:00:08", "172.20.0.8");
	expect_good(FDB("del", "172.20.0.8") "}"); /* learned */
	expect_no_station("172.20.0.8");
	expect_station("02:00:00:00:00:08", "02:00:00:00:00:08", "alice", "learned");

	/* In a VLAN an address is another station. */
	expect_good(FDB("add", "172.20.0.9@10") ",\"mac\":\"2:0:0:0:0:9\",\"at\":\"alice\"}");
	expect_good(FDB("add", "172.20.0.9@s100.20") ",\"mac\":\"2:0:0:0:0:a\",\"at\":\"local\"}");
	expect_station("172.20.0.9@10", "02:00:00:00:00:09", "alice", "static");
	expect_station("172.20.0.9@s100.20", "02:00:00:00:00:0a", "here", "static");
	expect_no_station("172.20.0.9");
	reply = ask("{\"do\":\"fdb-list\"}");
	assert_string_equal(text(station_of(reply, "172.20.0.9@10"), "vlan"), "10");
	assert_string_equal(text(station_of(reply, "172.20.0.9@s100.20"), "vlan"), "s100.20");
	assert_true(json_is_null(json_object_get(station_of(reply, "fd00::6"), "vlan")));
	json_decref(reply);
	expect_good(FDB("del", "172.20.0.9@s100.20") "}");
	expect_no_station("172.20.0.9@s100.20");
	expect_good(FDB("del", "172.20.0.9@10") "}");

	/* Until the next reload, which says so. */
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 2);
	assert_non_null(
		strstr(json_string_value(json_array_get(json_object_get(reply, "dropped"), 0)),
	               "network seven: the FDB's static entry of fd00::6 was added"));
	json_decref(reply);
	expect_no_station("fd00::6");
	expect_no_station("02:00:00:00:00:07");
}

static void test_fdb_refused(void **state)
{
	(void)state;
	expect_refused("{\"do\":\"fdb-list\",\"network\":\"sevn\"}", "did you mean \"seven\"?");
	expect_refused("{\"do\":\"fdb-list\",\"network\":\"ovl0\"}", "is routed");
	expect_refused("{\"do\":\"fdb-list\",\"network\":7}", "expected a text");
	expect_refused("{\"do\":\"fdb-add\",\"network\":\"seven\"}", "station is missing");
	expect_refused(FDB("add", "172.20.0.0/16") "}", "expected a MAC or an address");
	expect_refused(FDB("add", "03:00:00:00:00:01") "}", "multicast");
	expect_refused(FDB("add", "02:00:00:00:00:01") "}", "at is missing");
	expect_refused(FDB("add", "02:00:00:00:00:01") ",\"at\":\"carol\"}", "no peer \"carol\"");
	expect_refused(FDB("add", "02:00:00:00:00:01") ",\"at\":\"bob\"}", "no member");
	expect_refused(FDB("add", "172.20.0.9") ",\"at\":\"alice\"}", "is not known");
	expect_refused(FDB("add", "172.20.0.9") ",\"at\":\"alice\",\"mac\":\"x\"}",
	               "expected a MAC");
	expect_refused(FDB("add", "224.0.0.9") ",\"at\":\"alice\",\"mac\":\"2:0:0:0:0:1\"}",
	               "a container can have");
	expect_refused(FDB("del", "172.20.0.9") "}", "no static entry");
	expect_good(FDB("add", "02:00:00:00:00:01") ",\"at\":\"alice\"}");
	expect_refused(FDB("add", "02:00:00:00:00:01") ",\"at\":\"local\"}", "delete it first");
	expect_refused(FDB("add", "10.0.0.1") ",\"mac\":\"2:0:0:0:0:1\",\"at\":\"local\"}",
	               "another's already");
	expect_refused("{\"do\":\"peer-set\",\"peer\":\"bob\",\"vnis\":[8]}", "no bridged network");
	expect_refused("{\"do\":\"peer-set\",\"peer\":\"bob\",\"vnis\":[0]}", "1 to 16777215");
	expect_refused("{\"do\":\"peer-set\",\"peer\":\"bob\",\"vnis\":7}", "expected a list");
	expect_good("{\"do\":\"peer-set\",\"peer\":\"bob\",\"vnis\":[7]}");
	assert_int_equal(running.members[1].count, 2);
	expect_good("{\"do\":\"peer-set\",\"peer\":\"bob\",\"vnis\":[]}");
	assert_int_equal(running.members[1].count, 1);
}

static const json_t *event(const json_t *reply, size_t i)
{
	return json_array_get(json_object_get(reply, "events"), i);
}

static void test_events(void **state)
{
	json_t *reply;

	(void)state;
	running.events = events_open();
	assert_non_null(running.events);
	/* What is there at first is no news. */
	events_tick(&running);
	reply = ask("{\"do\":\"events\"}\n");
	assert_int_equal(number(reply, "newest"), 0);
	json_decref(reply);

	expect_good("{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"name\":\"carol\"}\n");
	expect_good("{\"do\":\"peer-remove\",\"peer\":\"carol\"}\n");
	stats_add(&running.device->stats.drops[DROP_IN_SOURCE], 5 * EVENTS_DROP_RATE);
	events_tick(&running);
	stats_add(&running.device->stats.drops[DROP_IN_SOURCE], 5 * EVENTS_DROP_RATE);
	events_tick(&running);
	reply = ask("{\"do\":\"events\",\"after\":1}\n");
	assert_int_equal(number(reply, "newest"), 3);
	assert_int_equal(number(reply, "missed"), 0);
	assert_int_equal(number(event(reply, 0), "number"), 2);
	assert_string_equal(text(event(reply, 0), "kind"), "peer-removed");
	assert_string_equal(text(event(reply, 0), "peer"), "carol");
	assert_string_equal(text(event(reply, 0), "public_key"), KEY_C);
	assert_string_equal(text(event(reply, 1), "kind"), "drops");
	json_decref(reply);

	/* Names and lines of any length and any bytes; only so many are kept. */
	for (unsigned int i = 0; i < 2 * EVENTS_KEPT; i++)
		events_add(&running, EVENTS_ATTACHED, NULL, "\xff", "%0*u", 3 * EVENTS_TEXT, i);
	reply = ask("{\"do\":\"events\",\"after\":3}\n");
	assert_int_equal(number(reply, "missed"), EVENTS_KEPT);
	assert_int_equal(json_array_size(json_object_get(reply, "events")), EVENTS_KEPT);
	assert_int_equal(number(event(reply, 0), "number"), 3 + EVENTS_KEPT + 1);
	assert_string_equal(text(event(reply, 0), "network"), "?");
	json_decref(reply);
	/* What is cut in the middle of a character is told but for that. */
	events_add(&running, EVENTS_RELOAD_FAILED, NULL, NULL, "%0*u…", EVENTS_TEXT - 2, 7);
	reply = ask("{\"do\":\"events\"}\n");
	assert_int_equal(strlen(text(event(reply, EVENTS_KEPT - 1), "text")), EVENTS_TEXT - 1);
	assert_string_equal(text(event(reply, EVENTS_KEPT - 1), "text") + EVENTS_TEXT - 3, "7?");
	json_decref(reply);
	/* Of another life of the daemon. */
	reply = ask("{\"do\":\"events\",\"after\":1000000}\n");
	assert_int_equal(json_array_size(json_object_get(reply, "events")), EVENTS_KEPT);
	json_decref(reply);
	expect_refused("{\"do\":\"events\",\"after\":-1}\n", "after");
	expect_refused("{\"do\":\"events\",\"after\":\"x\"}\n", "after");
	events_close(running.events);
	running.events = NULL;
}

/* The next tick tells this of bob, and it is number @newest. */
static void expect_event(uint64_t newest, const char *kind, const char *what)
{
	char request[64];
	json_t *reply;

	(void)snprintf(request, sizeof(request), "{\"do\":\"events\",\"after\":%u}\n",
	               (unsigned int)newest - 1);
	events_tick(&running);
	reply = ask(request);
	assert_int_equal(number(reply, "newest"), newest);
	assert_string_equal(text(event(reply, 0), "kind"), kind);
	assert_string_equal(text(event(reply, 0), "text"), what);
	assert_string_equal(text(event(reply, 0), "peer"), "bob");
	json_decref(reply);
}

static void test_events_of_peers(void **state)
{
	struct peer *bob = running.peers[1].peer;
	struct endpoint endpoint;

	(void)state;
	running.events = events_open();
	assert_non_null(running.events);
	events_tick(&running);
	assert_int_equal(endpoint_parse(&endpoint, "192.0.2.1:1000"), 0);
	peer_set_endpoint(bob, &endpoint);
	atomic_store(&bob->handshake_wall_ns, 5);
	expect_event(1, "handshake", "done with 192.0.2.1:1000");
	assert_int_equal(endpoint_parse(&endpoint, "[2001:db8::1]:7"), 0);
	peer_set_endpoint(bob, &endpoint);
	expect_event(2, "roam", "from 192.0.2.1:1000 to [2001:db8::1]:7");
	atomic_store(&bob->timers.attempts, 3);
	expect_event(3, "handshake-failed", "no answer from [2001:db8::1]:7 to 3 tries");
	/* Once, until there is an answer. */
	atomic_store(&bob->timers.attempts, 4);
	events_tick(&running);
	atomic_store(&bob->timers.attempts, 0);
	atomic_store(&bob->handshake_wall_ns, 6);
	expect_event(4, "handshake", "done with [2001:db8::1]:7");
	atomic_store(&bob->timers.attempts, 3);
	expect_event(5, "handshake-failed", "no answer from [2001:db8::1]:7 to 3 tries");
	atomic_store(&bob->timers.attempts, 0);
	atomic_store(&bob->handshake_wall_ns, 7);
	expect_event(6, "handshake", "done with [2001:db8::1]:7");
	/* New keys for a session that lives; then one that there was none before. */
	atomic_store(&bob->handshake_wall_ns, 7 + 180 * STATE_SECOND_NS);
	events_tick(&running);
	atomic_store(&bob->handshake_wall_ns, 8 + 360 * STATE_SECOND_NS);
	expect_event(7, "handshake", "done with [2001:db8::1]:7");
	/* Too early for that: the peer has lost its end. */
	atomic_store(&bob->handshake_wall_ns, 8 + 365 * STATE_SECOND_NS);
	expect_event(8, "handshake", "done with [2001:db8::1]:7");
	/* The clock was set back: who knows. */
	atomic_store(&bob->handshake_wall_ns, 5);
	expect_event(9, "handshake", "done with [2001:db8::1]:7");
	events_close(running.events);
	running.events = NULL;
}

static void test_last_drops(void **state)
{
	json_t *reply = ask("{\"do\":\"drops-last\"}\n");
	const json_t *item;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(reply, "last")), 0);
	json_decref(reply);
	peer_drop(running.peers[1].peer, DROP_OUT_STAGE_EXPIRED, 2);
	network_drop(running.networks[0]->network, DROP_TAP_WRITE, 1);
	device_drop(running.device, DROP_OUT_SEND, 1);
	reply = ask("{\"do\":\"drops-last\"}\n");
	assert_int_equal(json_array_size(json_object_get(reply, "last")), 3);
	item = json_array_get(json_object_get(reply, "last"), 0);
	assert_string_equal(text(item, "reason"), "out-stage-expired");
	assert_string_equal(text(item, "direction"), "out");
	assert_string_equal(text(item, "peer"), "bob");
	assert_string_equal(text(item, "public_key"), KEY_B);
	assert_int_equal(number(item, "count"), 2);
	assert_true(json_is_null(json_object_get(item, "header")));
	/* Counted where nobody recorded it. */
	item = json_array_get(json_object_get(reply, "last"), 1);
	assert_true(json_is_null(json_object_get(item, "when")));
	item = json_array_get(json_object_get(reply, "last"), 2);
	assert_string_equal(text(item, "network"), running.config->networks[0].name);
	assert_string_equal(text(item, "direction"), "in");
	json_decref(reply);
	/* Who is gone is still known by its key. */
	expect_good("{\"do\":\"peer-remove\",\"peer\":\"bob\"}\n");
	reply = ask("{\"do\":\"drops-last\"}\n");
	item = json_array_get(json_object_get(reply, "last"), 0);
	assert_true(json_is_null(json_object_get(item, "peer")));
	assert_string_equal(text(item, "public_key"), KEY_B);
	json_decref(reply);
}

static void test_traffic(void **state)
{
	json_t *reply, *peer;

	(void)state;
	stats_add(&running.peers[1].peer->rx_bytes, 1000);
	stats_add(&running.peers[1].peer->lost, 3);
	reply = ask("{\"do\":\"traffic\"}\n");
	assert_string_equal(text(json_object_get(reply, "device"), "name"), "test");
	peer = json_array_get(json_object_get(reply, "peers"), 1);
	assert_string_equal(text(peer, "name"), "bob");
	assert_string_equal(text(peer, "public_key"), KEY_B);
	assert_int_equal(number(peer, "rx_bytes"), 1000);
	assert_int_equal(number(peer, "lost"), 3);
	assert_true(json_is_null(json_object_get(peer, "latest_handshake_age_s")));
	json_decref(reply);
}

static void test_drops(void **state)
{
	json_t *reply;
	struct peer *bob = running_peer(KEY_B)->peer;

	(void)state;
	peer_drop(bob, DROP_RX_REPLAY, 3);
	network_drop(running.networks[0]->network, DROP_OUT_SOURCE, 2);
	reply = ask("{\"do\":\"drops\"}");
	assert_int_equal(number(json_object_get(reply, "drops"), "rx-replay"), 3);
	assert_int_equal(number(json_object_get(reply, "drops"), "out-source"), 2);
	assert_int_equal(json_object_size(json_object_get(reply, "drops")), DROP_COUNT - 1);
	assert_int_equal(json_object_size(json_object_get(reply, "texts")), DROP_COUNT);
	assert_int_equal(json_object_size(json_object_get(reply, "events")), EVENT_COUNT);
	assert_int_equal(json_object_size(json_object_get(reply, "peers")), 1);
	assert_int_equal(
		number(json_object_get(json_object_get(reply, "peers"), "bob"), "rx-replay"), 3);
	assert_int_equal(
		number(json_object_get(json_object_get(reply, "networks"), "ovl0"), "out-source"),
		2);
	json_decref(reply);
	expect_good("{\"do\":\"neigh\"}");
}

/* ---- a queue that nobody empties ---- */

static sem_t stands, go_on;

static int stand_still(struct ring *ring, void *arg)
{
	(void)ring;
	(void)arg;
	sem_post(&stands);
	sem_wait(&go_on);
	return 0;
}

static void *hold_worker(void *arg)
{
	(void)worker_call(running.workers.list[0], stand_still, arg);
	return NULL;
}

static void flood_link(uint32_t index, unsigned int frames)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)index };
	uint8_t frame[64] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	/* Past the queueing discipline, which has drops of its own. */
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)), 0);
	while (frames--)
		(void)sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

static void test_tap_queue(void **state)
{
	const json_t *counters;
	pthread_t thread;
	json_t *reply;

	(void)state;
	assert_true(netns_run("ip link set ovt-ovl0 txqueuelen 100 up"));
	reply = ask("{\"do\":\"drops\"}");
	counters = json_object_get(json_object_get(reply, "networks"), "ovl0");
	assert_null(json_object_get(counters, "tap-queue"));
	assert_true(strlen(text(json_object_get(reply, "texts"), "tap-queue")) > 20);
	json_decref(reply);

	sem_init(&stands, 0, 0);
	sem_init(&go_on, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, hold_worker, NULL), 0);
	sem_wait(&stands);
	flood_link(running.networks[0]->tap_index, 1000);
	sem_post(&go_on);
	pthread_join(thread, NULL);
	reply = ask("{\"do\":\"drops\"}");
	counters = json_object_get(json_object_get(reply, "networks"), "ovl0");
	assert_in_range(number(counters, "tap-queue"), 800, 900);
	json_decref(reply);
}

static void test_peer_changes(void **state)
{
	struct config_peer *peer;

	(void)state;
	expect_good("{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"name\":\"carol\","
	            "\"endpoint\":\"192.0.2.7:99\",\"preshared_key\":\"" KEY_A "\","
	            "\"keepalive\":25,\"allowed_ips\":[\"172.20.3.0/24\",\"fd00::/64\"]}");
	peer = peer_of(running.config, KEY_C);
	assert_non_null(peer);
	assert_string_equal(peer->name, "carol");
	assert_int_equal(peer->keepalive_s, 25);
	assert_int_equal(peer->allowed_count, 2);
	assert_false(secret_is_zero(peer->psk, KEY_SIZE));

	expect_good("{\"do\":\"peer-set\",\"peer\":\"carol\",\"keepalive\":\"off\","
	            "\"preshared_key\":\"\",\"allowed_ips\":[],\"name\":\"dave\"}");
	peer = peer_of(running.config, KEY_C);
	assert_string_equal(peer->name, "dave");
	assert_int_equal(peer->keepalive_s, 0);
	assert_int_equal(peer->allowed_count, 0);
	assert_true(secret_is_zero(peer->psk, KEY_SIZE));
	expect_good("{\"do\":\"peer-set\",\"peer\":\"AgICA\",\"endpoint\":\"192.0.2.8:99\"}");
	expect_good("{\"do\":\"peer-remove\",\"peer\":\"dave\"}");
	assert_null(peer_of(running.config, KEY_C));
}

static void test_refused(void **state)
{
	static const struct {
		const char *request, *what;
	} cases[] = {
		{ "", "not a request" },
		{ "{", "not a request" },
		{ "{\"do\":\"show\",\"do\":\"show\"}", "not a request" },
		{ "[]", "object" },
		{ "{}", "do is missing" },
		{ "{\"do\":1}", "do: expected a text" },
		{ "{\"do\":\"dance\"}", "unknown request \"dance\"" },
		{ "{\"do\":\"peer-add\"}", "public_key is missing" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"beef\"}", "public key" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_A "\"}", "alice" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" OWN "\"}", "" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"name\":\"bob\"}", "bob" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"keepalive\":65536}",
		  "keepalive" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"keepalive\":1.5}",
		  "keepalive" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"endpoint\":\"x\"}",
		  "\"x\"" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"endpoint\":[]}",
		  "endpoint" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"preshared_key\":\"x\"}",
		  "preshared" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"allowed_ips\":\"x\"}",
		  "list" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C "\",\"allowed_ips\":[1]}",
		  "ADDRESS/BITS" },
		{ "{\"do\":\"peer-add\",\"public_key\":\"" KEY_C
		  "\",\"allowed_ips\":[\"172.20.1.0/24\"]}",
		  "alice" },
		{ "{\"do\":\"peer-set\",\"peer\":\"nobody\"}", "nobody" },
		{ "{\"do\":\"peer-remove\"}", "peer is missing" },
		{ "{\"do\":\"route-add\",\"prefix\":\"172.20.1.0/24\",\"peer\":\"bob\"}", "alice" },
		{ "{\"do\":\"route-add\",\"prefix\":\"300.0.0.0/8\",\"peer\":\"bob\"}",
		  "300.0.0.0/8" },
		{ "{\"do\":\"route-add\",\"prefix\":\"172.20.9.0/24\",\"peer\":\"x\\u0000y\"}",
		  "not a request" },
		{ "{\"do\":\"route-del\",\"prefix\":\"172.20.9.0/24\"}", "no peer has" },
		{ "{\"do\":\"route-get\",\"address\":\"172.20.9.0/24\"}", "expected an address" },
		{ "{\"do\":\"route-get\",\"address\":\"here\"}", "expected an address" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect_refused(cases[i].request, cases[i].what);
}

static void expect_route(const char *address, const char *verdict, const char *peer,
                         const char *prefix)
{
	char request[128];
	json_t *reply;

	(void)snprintf(request, sizeof(request), "{\"do\":\"route-get\",\"address\":\"%s\"}",
	               address);
	reply = ask(request);
	assert_string_equal(text(reply, "verdict"), verdict);
	assert_string_equal(text(reply, "peer"), peer);
	assert_string_equal(text(reply, "prefix"), prefix);
	json_decref(reply);
}

static void test_routes(void **state)
{
	json_t *reply;

	(void)state;
	expect_route("172.20.1.7", "remote", "alice", "172.20.1.0/24");
	expect_route("172.20.7.7", "local", "", "");
	expect_route("10.1.2.3", "no-network", "bob", "10.0.0.0/8");
	expect_route("8.8.8.8", "no-network", "", "");
	expect_good("{\"do\":\"route-add\",\"prefix\":\"172.20.1.128/25\",\"peer\":\"bob\"}");
	expect_route("172.20.1.7", "remote", "alice", "172.20.1.0/24");
	expect_route("172.20.1.200", "remote", "bob", "172.20.1.128/25");
	reply = ask("{\"do\":\"route-list\"}");
	assert_int_equal(json_array_size(json_object_get(reply, "routes")), 4);
	json_decref(reply);
	expect_good("{\"do\":\"route-del\",\"prefix\":\"172.20.1.0/24\"}");
	expect_route("172.20.1.7", "local", "", "");
}

static void test_reload(void **state)
{
	json_t *reply;
	struct peer *bob = running_peer(KEY_B)->peer;

	(void)state;
	expect_good("{\"do\":\"peer-set\",\"peer\":\"bob\",\"keepalive\":3}");
	expect_good("{\"do\":\"peer-remove\",\"peer\":\"alice\"}");
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 2);
	assert_int_equal(number(reply, "peers_added"), 1);
	assert_int_equal(number(reply, "peers_changed"), 1);
	json_decref(reply);
	assert_ptr_equal(running_peer(KEY_B)->peer, bob);
	assert_non_null(running_peer(KEY_A));
	/* Now the file is what counts: nothing to drop any more. */
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 0);
	json_decref(reply);

	write_file(HEAD "Nonsense = 1\n");
	expect_refused("{\"do\":\"reload\"}", "/run/test.conf:5");
	assert_int_equal(unlink(file_path), 0);
	reply = ask("{\"do\":\"reload\"}");
	assert_true(json_is_false(json_object_get(reply, "ok")));
	json_decref(reply);
	assert_ptr_equal(running_peer(KEY_B)->peer, bob);
}

static void expect_endpoint(const char *wanted)
{
	char address[ENDPOINT_TEXT_MAX];
	struct endpoint endpoint;

	peer_get_endpoint(running_peer(KEY_A)->peer, &endpoint);
	endpoint_format(&endpoint, address);
	assert_string_equal(address, wanted);
}

/* A reload leaves a roamed peer where it is, and takes back what was set at run time. */
static void test_reload_endpoint(void **state)
{
	struct endpoint elsewhere;

	(void)state;
	write_file(FILE_TEXT "[Peer]\nPublicKey = " KEY_C "\n");
	expect_good("{\"do\":\"reload\"}");
	write_file(HEAD "Subnet = 172.20.0.0/16\n" A_FULL "Endpoint = 192.0.2.1:1\n" B_FULL);
	expect_good("{\"do\":\"reload\"}");
	expect_endpoint("192.0.2.1:1");
	assert_int_equal(endpoint_parse(&elsewhere, "192.0.2.77:99"), 0);
	peer_set_endpoint(running_peer(KEY_A)->peer, &elsewhere);
	expect_good("{\"do\":\"reload\"}");
	expect_endpoint("192.0.2.77:99");
	expect_good("{\"do\":\"peer-set\",\"peer\":\"alice\",\"endpoint\":\"192.0.2.2:2\"}");
	expect_endpoint("192.0.2.2:2");
	expect_good("{\"do\":\"reload\"}");
	expect_endpoint("192.0.2.1:1");
	peer_set_endpoint(running_peer(KEY_A)->peer, &elsewhere);
	expect_good("{\"do\":\"reload\"}");
	expect_endpoint("192.0.2.77:99");
}

/* Puts @content in the place of the state; the reply. */
static json_t *sync_with(const char *content, const char *path, bool dry_run)
{
	json_t *request =
		json_pack("{s:s, s:s, s:s, s:b, s:b, s:s*}", "do", "sync", "text", content, "file",
	                  "new.conf", "dry_run", dry_run, "list", 1, "path", path);
	char *line = json_dumps(request, 0);
	json_t *reply = ask(line);

	json_free_t release;

	json_get_alloc_funcs(NULL, &release);
	release(line);
	json_decref(request);
	return reply;
}

static void test_sync(void **state)
{
	static const char next[] =
		HEAD "Subnet = 172.20.0.0/16\n" BRIDGED A_FULL
		     "VNIs = 7\nEndpoint = 192.0.2.1:1\n[Peer]\nPublicKey = " KEY_C "\n";
	const struct config *before = running.config;
	struct peer *alice = running_peer(KEY_A)->peer;
	json_t *reply = sync_with(next, "/elsewhere/new.conf", true), *other;

	(void)state;
	assert_int_equal(number(reply, "peers_added"), 1);
	assert_int_equal(number(reply, "peers_removed"), 1);
	assert_int_equal(number(reply, "peers_changed"), 1);
	assert_ptr_equal(running.config, before);
	assert_string_equal(text(reply, "own_file"), file_path);
	/* What it says is what comes about. */
	other = sync_with(next, "/elsewhere/new.conf", false);
	assert_true(json_equal(json_object_get(reply, "differences"),
	                       json_object_get(other, "differences")));
	json_decref(reply);
	json_decref(other);
	assert_ptr_not_equal(running.config, before);
	assert_ptr_equal(running_peer(KEY_A)->peer, alice);
	assert_null(running_peer(KEY_B));
	assert_non_null(running_peer(KEY_C));
	reply = sync_with(next, NULL, true);
	assert_int_equal(json_array_size(json_object_get(reply, "differences")), 0);
	json_decref(reply);
	/* The daemon's own file counts at a reload, which says what ends: B's going, C's coming. */
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 2);
	json_decref(reply);
	assert_null(running_peer(KEY_C));
}

/* Who does not ask for the list gets the same counts. */
static void test_sync_counts(void **state)
{
	static const char request[] = "{\"do\":\"sync\",\"file\":\"x\",\"text\":"
				      "\"[Interface]\\nPrivateKey = " KEY_B "\\nFwMark = 9\\n"
				      "[Network]\\nBridge = ovl0\\n\"}";
	json_t *reply = ask(request);

	(void)state;
	assert_true(json_is_true(json_object_get(reply, "ok")));
	assert_null(json_object_get(reply, "differences"));
	assert_true(json_is_true(json_object_get(reply, "interface_changed")));
	assert_int_equal(number(reply, "peers_removed"), 2);
	json_decref(reply);
}

/* A text of the daemon's own file is as good as a reload: nothing of it is a run-time change. */
static void test_sync_own_file(void **state)
{
	json_t *reply;

	(void)state;
	reply = sync_with(HEAD A_FULL "PersistentKeepalive = 5\n", file_path, false);
	assert_null(json_object_get(reply, "own_file"));
	json_decref(reply);
	write_file(HEAD A_FULL "PersistentKeepalive = 6\n");
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 0);
	json_decref(reply);
	json_decref(sync_with(HEAD A_FULL "PersistentKeepalive = 5\n", "/run/other.conf", false));
	reply = ask("{\"do\":\"reload\"}");
	assert_int_equal(number(reply, "dropped_count"), 1);
	json_decref(reply);
}

static void expect_sync_refused(const char *content, const char *what)
{
	const struct config *before = running.config;
	json_t *reply = sync_with(content, NULL, false);

	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_int_equal(number(reply, "exit"), 2);
	if (!strstr(text(reply, "error"), what))
		fail_msg("%s: %s", what, text(reply, "error"));
	assert_ptr_equal(running.config, before);
	json_decref(reply);
}

static void test_sync_refused(void **state)
{
	(void)state;
	expect_sync_refused(HEAD "Nonsense = 1\n", "new.conf:5: ");
	expect_sync_refused(HEAD PEER_A PEER_A, "new.conf:8: ");
	expect_sync_refused("", "[Interface]");
	/* No file is opened for who may not open it. */
	expect_sync_refused("[Interface]\nPrivateKeyFile = /run/test.conf\n", "new.conf:2: ");
	expect_sync_refused(HEAD PEER_A "PresharedKeyFile = /run/test.conf\n",
	                    "PresharedKeyFile \"/run/test.conf\": expected no file here");
	expect_refused("{\"do\":\"sync\",\"file\":\"x\"}", "expected text, file");
	expect_refused("{\"do\":\"sync\",\"text\":\"\",\"file\":7}", "expected text, file");
	expect_refused("{\"do\":\"sync\",\"text\":\"\",\"file\":\"x\",\"path\":1}",
	               "all of them texts");
	expect_refused("{\"do\":\"sync\",\"text\":\"\",\"file\":\"x\",\"dry_run\":1}",
	               "expected dry_run and list true, false");
}

/* Small as a request, large as values. */
static void test_many_values(void **state)
{
	enum { VALUES = SERVER_VALUES_MAX };
	static char request[2 * VALUES + 64] = "{\"do\":\"drops\",\"x\":[";
	char *at = request + strlen(request);

	(void)state;
	for (size_t i = 0; i < VALUES - 4; i++, at += 2)
		memcpy(at, "7,", 2);
	strcpy(at, "7],\"y\":\",,\\\",,,\"}");
	json_decref(ask(request));
	strcpy(at, "7,7],\"y\":1}");
	expect_refused(request, "at most 262144 values");
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, start, running_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_show),
		RUNNING(test_drops),
		RUNNING(test_events),
		RUNNING(test_last_drops),
		RUNNING(test_events_of_peers),
		RUNNING(test_traffic),
		RUNNING(test_tap_queue),
		RUNNING(test_peer_changes),
		RUNNING(test_refused),
		RUNNING(test_routes),
		RUNNING(test_reload),
		RUNNING(test_reload_endpoint),
		RUNNING(test_show_bridged),
		RUNNING(test_fdb),
		RUNNING(test_fdb_refused),
		RUNNING(test_sync),
		RUNNING(test_sync_counts),
		RUNNING(test_sync_own_file),
		RUNNING(test_sync_refused),
		RUNNING(test_many_values),
	};

	json_memory_init();
	if (secret_init() || aead_init())
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
