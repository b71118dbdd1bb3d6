/* SPDX-License-Identifier: MIT */
/* What a bridge knows of its stations, and what of that is this host's in a bridged network. */
#include "running.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include "ctl/netlink_fdb.h"
#include "ctl/station_table.h"
#include "dataplane/fdb.h"

#define CONF                                                                   \
	INTERFACE "[Network]\nBridge = ovl7\nMode = bridged\nVNI = 7\nMACs = " \
		  "16384\n" PEER_A "VNIs = 7\n"

static struct run_network *network(void)
{
	return running.networks[0];
}

/* At this host, by the FDB. */
static bool is_here(const struct fdb_key *key)
{
	struct fdb_place place;

	return fdb_lookup(network()->network->fdb, key, device_now(running.device), &place) &&
	       place.owner == &network()->network->local;
}

static bool mac_is_here(const char *text)
{
	uint8_t mac[ETHER_ADDR_SIZE];

	assert_true(config_parse_mac(mac, text));
	struct fdb_key key = fdb_key_mac(mac);

	return is_here(&key);
}

static bool address_is_here(const char *text)
{
	struct prefix address = prefix_of(text);
	struct fdb_key key = fdb_key_ip(address.family, address.addr);

	return is_here(&key);
}

/* So many entries as the table may have, all of them claimed by the bridge's ports. */
static uint32_t count(void)
{
	return network()->stations ? station_table_count(network()->stations) : 0;
}

#define STATION  "02:11:00:00:00:01"
#define STATION2 "02:11:00:00:00:02"

static bool is_attached(void)
{
	return bridge_state(network()->bridge)->attached;
}

static bool station_is_here(void)
{
	return mac_is_here(STATION);
}

static bool station_is_gone(void)
{
	return !mac_is_here(STATION);
}

static bool other_is_here(void)
{
	return mac_is_here(STATION2);
}

static bool is_aged(void)
{
	return !netns_prints("bridge fdb show br ovl7", STATION);
}

static void make_bridge(void)
{
	assert_true(netns_run("ip link add ovl7 address 02:77:00:00:00:07 type bridge && "
	                      "ip addr add 172.20.0.1/16 dev ovl7 && ip link set ovl7 up"));
}

/* Whose far end says nothing by itself. */
static void make_port(const char *name)
{
	assert_true(netns_run("ip link add v%s address 02:99:00:00:00:0%s type veth peer name c%s",
	                      name, name, name));
	assert_true(
		netns_run("ip link set v%s addrgenmode none && ip link set c%s addrgenmode none && "
	                  "ip link set v%s master ovl7 up && ip link set c%s up",
	                  name, name, name, name));
}

/* A bridge takes no entry for a port that has just come up, until it forwards. */
static void add_at(const char *mac, const char *device)
{
	uint64_t end_ns = netns_now_ns() + NETNS_WAIT_MS * UINT64_C(1000000);

	while (!netns_run("bridge fdb replace %s dev %s master dynamic 2>/dev/null", mac, device)) {
		assert_true(netns_now_ns() < end_ns);
		poll(NULL, 0, 20);
	}
}

static void add(const char *mac, const char *port)
{
	char device[16];

	(void)snprintf(device, sizeof(device), "v%s", port);
	add_at(mac, device);
}

static void start(void)
{
	assert_int_equal(running_apply(CONF, NULL), 0);
	assert_true(running_wait(is_attached));
}

static void test_come_and_go(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	make_port("2");
	add(STATION2, "2"); /* before the daemon: by the dump */
	start();
	assert_true(running_wait(other_is_here));
	assert_false(mac_is_here(STATION));
	add(STATION, "1");
	assert_true(running_wait(station_is_here));

	assert_true(netns_run("bridge fdb del " STATION " dev v1 master"));
	assert_true(running_wait(station_is_gone));
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	/* Its port leaves the bridge, goes down, is deleted. */
	assert_true(netns_run("ip link set v1 nomaster"));
	assert_true(running_wait(station_is_gone));
	assert_true(netns_run("ip link set v1 master ovl7"));
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	assert_true(netns_run("ip link set v1 down"));
	assert_true(running_wait(station_is_gone));
	assert_true(netns_run("ip link set v1 up"));
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	assert_true(netns_run("ip link del v1"));
	assert_true(running_wait(station_is_gone));
	assert_true(mac_is_here(STATION2));
	assert_int_equal(count(), 1);
}

/* From one port to another it stays here; to the TAP's it is a peer's. */
static void test_moves(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	make_port("2");
	start();
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	add(STATION, "2");
	add(STATION2, "2");
	assert_true(running_wait(other_is_here));
	assert_true(netns_run("ip link del v1"));
	assert_false(running_wait_ms(station_is_gone, 300));
	add_at(STATION, "ovt-ovl7");
	assert_true(running_wait(station_is_gone));
	assert_int_equal(count(), 1);
}

static bool other_is_forgotten(void)
{
	return !netns_prints("bridge fdb show br ovl7", STATION2);
}

/* What comes behind a new port may be what was a peer's: the bridge must not send it to the TAP. */
static void test_new_port(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	start();
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	add_at(STATION2, "ovt-ovl7");
	assert_false(running_wait_ms(other_is_forgotten, 200));
	make_port("2");
	assert_true(running_wait(other_is_forgotten));
	assert_true(mac_is_here(STATION));
	/* One less is no reason. */
	add_at(STATION2, "ovt-ovl7");
	assert_true(netns_run("ip link del v2"));
	assert_false(running_wait_ms(other_is_forgotten, 200));
}

/* Neither the bridge's ports themselves nor what is behind our TAP. */
static void test_others(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	start();
	add_at("02:11:00:00:00:03", "ovt-ovl7");
	assert_true(netns_run("bridge fdb add 02:11:00:00:00:04 dev v1 master permanent"));
	assert_true(netns_run("bridge fdb add 02:11:00:00:00:05 dev v1 self permanent || true"));
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	assert_false(mac_is_here("02:11:00:00:00:03"));
	assert_false(mac_is_here("02:11:00:00:00:04"));
	assert_false(mac_is_here("02:11:00:00:00:05"));
	assert_false(mac_is_here("02:99:00:00:00:01"));
	/* Nor an entry of another bridge. */
	assert_true(netns_run("ip link add other type bridge && ip link set other up && "
	                      "ip link add v3 type veth peer name c3 && "
	                      "ip link set v3 master other up && ip link set c3 up"));
	add(STATION2, "3");
	assert_false(running_wait_ms(other_is_here, 200));
	assert_int_equal(count(), 1);
}

/* Silence is not absence: the bridge's ageing withdraws nobody, but the port's end does. */
static void test_silent(void **state)
{
	(void)state;
	make_bridge();
	assert_true(netns_run("ip link set ovl7 type bridge ageing_time 100"));
	make_port("1");
	start();
	add(STATION, "1");
	assert_true(running_wait(station_is_here));
	assert_true(running_wait(is_aged));
	assert_false(running_wait_ms(station_is_gone, 200));
	assert_true(netns_run("ip link del v1"));
	assert_true(running_wait(station_is_gone));
	assert_int_equal(count(), 0);
}

static bool address_is_known(void)
{
	return address_is_here("172.20.0.1");
}

static bool second_is_known(void)
{
	return address_is_here("fd00::77");
}

static bool second_is_gone(void)
{
	return !address_is_here("fd00::77");
}

static bool new_mac_is_here(void)
{
	return mac_is_here("02:77:00:00:00:08") && !mac_is_here("02:77:00:00:00:07") &&
	       address_is_here("172.20.0.1");
}

static bool nothing_is_here(void)
{
	struct fdb_counts counts;

	fdb_get_counts(network()->network->fdb, &counts);
	return counts.entries == 0;
}

/* The host itself is in the network, by its bridge's MAC and addresses. */
static void test_bridge_itself(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	add(STATION, "1");
	start();
	assert_true(running_wait(address_is_known));
	assert_true(mac_is_here("02:77:00:00:00:07"));
	assert_true(netns_run("ip addr add fd00::77/64 dev ovl7 nodad"));
	assert_true(running_wait(second_is_known));
	assert_true(netns_run("ip addr del fd00::77/64 dev ovl7"));
	assert_true(running_wait(second_is_gone));
	assert_true(address_is_known());
	assert_true(netns_run("ip link set ovl7 address 02:77:00:00:00:08"));
	assert_true(running_wait(new_mac_is_here));

	assert_true(netns_run("ip link del ovl7"));
	assert_true(running_wait(nothing_is_here));
	make_bridge();
	assert_true(netns_run("ip link set v1 master ovl7"));
	add(STATION, "1");
	assert_true(running_wait(address_is_known));
	assert_true(running_wait(station_is_here));
}

/* The watch is there as long as a bridged network is. */
static void test_watch(void **state)
{
	(void)state;
	assert_int_equal(running_apply(HEAD, NULL), 0);
	upkeep_tick(&running);
	assert_int_equal(stations_fd(&running), -1);
	assert_int_equal(running_apply(CONF, NULL), 0);
	upkeep_tick(&running);
	assert_true(stations_fd(&running) >= 0);
	assert_int_equal(running_apply(HEAD, NULL), 0);
	upkeep_tick(&running);
	assert_int_equal(stations_fd(&running), -1);
}

/* ---- shares ---- */

static uint64_t heard_of(const char *text)
{
	static struct fdb_info info[64];
	uint8_t mac[ETHER_ADDR_SIZE];
	uint32_t n = fdb_list(network()->network->fdb, info, 64);

	assert_true(config_parse_mac(mac, text));
	for (uint32_t i = 0; i < n && i < 64; i++)
		if (info[i].key.kind == FDB_MAC && !memcmp(info[i].key.addr, mac, sizeof(mac)))
			return info[i].heard_ns;
	return 0;
}

/* Of STATION's, from behind the first port. */
static void send_frame(void)
{
	static const uint8_t frame[60] = { 0x02, 0x11, 0, 0, 0, 0x77, 0x02,
		                           0x11, 0,    0, 0, 1, 0x88, 0xb5 };
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		                  .sll_ifindex = (int)if_nametoindex("c1") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)),
	                 sizeof(frame));
	close(fd);
}

static uint64_t since_ns;

static bool is_heard_anew(void)
{
	return heard_of(STATION) > since_ns;
}

/* The kernel tells by no event that it hears of a station still; so it is asked. */
static void test_heard(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	start();
	add(STATION, "1");
	add(STATION2, "1");
	assert_true(running_wait(station_is_here));
	assert_true(running_wait(other_is_here));
	since_ns = heard_of(STATION) + UINT64_C(1000000000);
	while (device_now(running.device) < since_ns)
		poll(NULL, 0, 100);
	send_frame();
	assert_true(running_wait_ms(is_heard_anew, 2000 * STATION_TABLE_REFRESH_S));
	/* It was silent, and the dump says so. */
	assert_true(heard_of(STATION2) < since_ns);
	assert_true(mac_is_here(STATION2));
}

static void batch(const char *verb, unsigned int from, unsigned int to);

static bool share_is_used(void)
{
	return count() >= 60;
}

static bool share_is_free(void)
{
	return count() == 2;
}

/* One port has more than its host may have. Others come later, and go. */
static void test_share(void **state)
{
	struct fdb_key key = { .kind = FDB_MAC, .addr = { 0x02, 0x55, 0, 0, 1, 0 } };
	struct fdb_question question;
	uint32_t most;
	bool ask;

	(void)state;
	make_bridge();
	make_port("1");
	make_port("2");
	make_port("3");
	add("02:11:00:00:00:09", "3"); /* from now on they take entries */
	add("02:11:00:00:00:08", "1");
	start();
	fdb_set_quota(network()->network->fdb, 256);
	batch("add", 0, 2000);
	assert_true(running_wait(share_is_used));
	add(STATION, "2");
	assert_true(running_wait(station_is_here));
	/* A quarter of it. */
	most = count();
	assert_in_range(most, 60, 68);
	add(STATION2, "3");
	assert_true(running_wait(other_is_here));
	/* A frame told of one for which there is no place: it goes with its port all the same. */
	key.addr[4] = 1999 >> 8;
	key.addr[5] = 1999 & 0xff;
	assert_false(is_here(&key));
	assert_int_equal(fdb_claim(network()->network->fdb, &network()->network->local, &key,
	                           key.addr, FDB_LEARNED, device_now(running.device), &ask,
	                           &question),
	                 FDB_CAME);
	assert_true(netns_run("ip link del v1"));
	assert_true(netns_run("ip link del v2"));
	assert_true(running_wait(share_is_free));
	assert_false(is_here(&key));
}

/* ---- many ---- */

#define MANY 3000U /* and 1,000 later: a quarter of the quota is one port's */

/* @verb: add or del. Numbers @from to before @to. */
static void batch(const char *verb, unsigned int from, unsigned int to)
{
	FILE *pipe = popen("bridge -batch -", "w");

	assert_non_null(pipe);
	for (unsigned int i = from; i < to; i++)
		fprintf(pipe, "fdb %s 02:55:00:00:%02x:%02x dev v1 master%s\n", verb, i >> 8,
		        i & 0xff, *verb == 'a' ? " dynamic" : "");
	assert_int_equal(pclose(pipe), 0);
}

static uint32_t wanted;

static bool has_wanted(void)
{
	return count() == wanted;
}

static uint64_t longest_ns;

/* Each piece of work is short, however much there is. */
static bool has_wanted_piecemeal(void)
{
	struct pollfd pfd = { .fd = stations_fd(&running), .events = POLLIN };
	uint64_t start;

	while (poll(&pfd, 1, 0) > 0) {
		start = netns_now_ns();
		stations_dispatch(&running);
		if (netns_now_ns() - start > longest_ns)
			longest_ns = netns_now_ns() - start;
	}
	return has_wanted();
}

static void expect_claimed(unsigned int from, unsigned int to, bool here)
{
	for (unsigned int i = from; i < to; i++) {
		uint8_t mac[] = { 0x02, 0x55, 0, 0, (uint8_t)(i >> 8), (uint8_t)i };
		struct fdb_key key = fdb_key_mac(mac);

		if (is_here(&key) != here)
			fail_msg("station %u", i);
	}
}

static void test_many(void **state)
{
	(void)state;
	make_bridge();
	make_port("1");
	add(STATION, "1"); /* from now on it takes entries */
	batch("add", 0, MANY);
	start();
	wanted = MANY + 1;
	assert_true(running_wait(has_wanted_piecemeal));
	expect_claimed(0, MANY, true);
	/* Nobody reads meanwhile, and the socket is not large enough for all of that. */
	int size = 4096;

	assert_int_equal(
		setsockopt(stations_fd(&running), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	batch("del", 0, MANY / 2);
	batch("add", MANY, MANY + 1000);
	wanted = MANY / 2 + 1000 + 1;
	assert_true(running_wait(has_wanted_piecemeal));
	expect_claimed(0, MANY / 2, false);
	expect_claimed(MANY / 2, MANY + 1000, true);
	printf("longest dispatch of %u stations: %.1f ms\n", MANY, (double)longest_ns / 1e6);
	/* All at once, with their port. */
	assert_true(netns_run("ip link del v1"));
	wanted = 0;
	assert_true(running_wait(has_wanted_piecemeal));
	expect_claimed(0, MANY + 1000, false);
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, running_open, running_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_come_and_go),   RUNNING(test_moves),    RUNNING(test_others),
		RUNNING(test_silent),        RUNNING(test_watch),    RUNNING(test_many),
		RUNNING(test_bridge_itself), RUNNING(test_new_port), RUNNING(test_heard),
		RUNNING(test_share),
	};

	if (secret_init() || aead_init())
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
