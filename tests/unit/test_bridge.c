/* SPDX-License-Identifier: MIT */
/*
 * A real TAP and real bridges in a network namespace of the test's own, driven as
 * the daemon does it: at every change, and once a second.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include "ctl/bridge.h"
#include "tests/unit/netns.h"

#define SECOND_NS 1000000000ULL
#define TICK_NS   (SECOND_NS / 10)

static const uint8_t tap_mac[] = { 0xfe, 0x01, 0x02, 0x03, 0x04, 0x05 };
static const uint8_t router_mac[] = { 0x02, 0x01, 0x02, 0x03, 0x04, 0x05 };

static struct netlink *nl;
static struct priv *priv;
static struct bridge *br;
static struct tap tap;
static uint32_t tap_index;
static unsigned int news; /* BRIDGE_* bits since last asked for */
static unsigned int views; /* how often BRIDGE_VIEW */
static uint64_t frozen_ns; /* the time, when it is not the real one; 0: it is */

static unsigned int pace; /* how much faster the bridge's time goes than ours */

static uint64_t bridge_now_ns(void)
{
	return pace * netns_now_ns();
}

static void update(void *arg)
{
	unsigned int found;

	(void)arg;
	if (!br)
		return;
	found = bridge_update(br, frozen_ns ? frozen_ns : bridge_now_ns());
	news |= found;
	views += (found & BRIDGE_VIEW) != 0;
}

/* Events, and a tick whenever there are none for a moment. */
static void live(void)
{
	struct pollfd pfd = { .fd = netlink_fd(nl), .events = POLLIN };

	if (poll(&pfd, 1, (int)(TICK_NS / pace / 1000000)) == 0)
		update(NULL);
	netlink_dispatch(nl);
}

#define AWAIT(condition)                                                    \
	do {                                                                \
		uint64_t end = netns_now_ns() + NETNS_WAIT_MS * 1000000ULL; \
		while (!(condition) && netns_now_ns() < end)                \
			live();                                             \
		assert_true(condition);                                     \
	} while (0)

/* Lives until nothing happens any more. */
static void settle(void)
{
	struct pollfd pfd = { .fd = netlink_fd(nl), .events = POLLIN };

	update(NULL);
	while (poll(&pfd, 1, 20) > 0)
		netlink_dispatch(nl);
	update(NULL);
	news = 0;
}

static const struct bridge_state *now(void)
{
	return bridge_state(br);
}

static bool problem_has(const char *text)
{
	return now()->problem && strstr(now()->problem, text);
}

/* Is the link so that `ip` shows @text of it? */
static bool link_shows(const char *name, const char *text)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "ip -d link show %s", name);
	return netns_prints(command, text);
}

static bool tap_is_right(void)
{
	return link_shows("ovt-0", "fe:01:02:03:04:05") && link_shows("ovt-0", "master ovl0") &&
	       link_shows("ovt-0", ",UP") && link_shows("ovt-0", "learning off") &&
	       link_shows("ovt-0", "mcast_router 2") &&
	       netns_prints("bridge fdb show dev ovt-0", "02:01:02:03:04:05");
}

static bool as_bridged, as_kept; /* the next one that is opened */

static void open_bridge(const char *const *subnets, size_t count)
{
	struct prefix prefixes[4];
	struct bridge_config config = {
		.name = "ovl0",
		.tap_index = tap_index,
		.bridged = as_bridged,
		.kept = as_kept,
		.subnets = prefixes,
		.subnet_count = count,
	};

	for (size_t i = 0; i < count; i++)
		assert_true(prefix_parse(&prefixes[i], subnets[i]));
	memcpy(config.tap_mac, tap_mac, sizeof(tap_mac));
	memcpy(config.router_mac, router_mac, sizeof(router_mac));
	br = bridge_open(priv, nl, &config);
	assert_non_null(br);
	update(NULL);
}

static int set_up(void **state)
{
	(void)state;
	as_bridged = as_kept = false;
	news = views = 0;
	frozen_ns = 0;
	pace = 2;
	if (netlink_open(&nl, update, NULL) < 0 || priv_open(&priv, NULL) < 0)
		return -1;
	priv_use_netlink(priv, nl);
	return priv_make_tap(priv, &tap, "ovt-0", 1, &tap_index);
}

static int tear_down(void **state)
{
	(void)state;
	bridge_close(br);
	br = NULL;
	tap_close(&tap);
	priv_close(priv);
	netlink_close(nl);
	netns_clear();
	return 0;
}

/* A bridge and a container's veth on it, the far end in our namespace as well. */
static void make_bridge(void)
{
	assert_true(netns_run("ip link add ovl0 type bridge && "
	                      "ip addr add 172.20.101.1/16 dev ovl0 && ip link set ovl0 up"));
}

static void make_container(const char *name, unsigned int mtu)
{
	assert_true(netns_run("ip link add v%s mtu %u type veth peer name c%s mtu %u && "
	                      "ip link set v%s master ovl0 up && ip link set c%s up",
	                      name, mtu, name, mtu, name, name));
}

static void a_bridge_comes_goes_and_comes_back(void **state)
{
	uint32_t first;

	(void)state;
	open_bridge(NULL, 0);
	assert_false(now()->attached);
	assert_int_equal(now()->bridge_index, 0);
	assert_string_equal(now()->problem, "waiting for bridge ovl0");
	assert_int_equal(news & BRIDGE_PROBLEM, BRIDGE_PROBLEM);

	make_bridge();
	AWAIT(now()->attached && now()->prefix_count == 1);
	settle();
	assert_true(tap_is_right());
	assert_null(now()->problem);
	assert_int_equal(now()->bridge_index, if_nametoindex("ovl0"));
	assert_int_equal(now()->mtu, 1500);
	first = now()->bridge_index;

	assert_true(netns_run("ip link del ovl0"));
	AWAIT(!now()->attached);
	assert_int_equal(now()->bridge_index, 0);
	assert_int_equal(now()->prefix_count, 0);
	assert_int_equal(now()->address_count, 0);
	assert_non_null(now()->problem);

	make_bridge();
	AWAIT(now()->attached);
	assert_int_not_equal(now()->bridge_index, first);
	settle();
	assert_true(tap_is_right());
	/* At once gone and made again: the events of both come in one batch. */
	assert_true(netns_run("ip link del ovl0"));
	make_bridge();
	AWAIT(now()->attached && now()->bridge_index == if_nametoindex("ovl0"));
	settle();
	assert_true(tap_is_right());
	assert_null(now()->problem);
}

static void only_a_bridge_is_joined(void **state)
{
	(void)state;
	assert_true(netns_run("ip link add ovl0 type veth peer name other"));
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	assert_string_equal(now()->problem, "ovl0 exists but is not a bridge");
	assert_false(link_shows("ovt-0", "master"));
	/* A bridge renamed to the name is as good as a new one, renamed away it is left. */
	assert_true(netns_run("ip link del ovl0 && ip link add tmp0 type bridge && "
	                      "ip link set tmp0 name ovl0"));
	AWAIT(now()->attached);
	assert_true(problem_has("is down"));
	assert_true(netns_run("ip link set ovl0 up"));
	AWAIT(!now()->problem);
	assert_true(netns_run("ip link set ovl0 down && ip link set ovl0 name tmp0"));
	AWAIT(!now()->attached && !link_shows("ovt-0", "master"));
}

static void what_others_change_is_put_right(void **state)
{
	uint64_t start;

	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	settle();
	/* As udev does. */
	assert_true(netns_run("ip link set ovt-0 address 4e:00:00:00:00:01"));
	AWAIT(tap_is_right());
	assert_true(netns_run("ip link set ovt-0 down"));
	AWAIT(tap_is_right());
	/* Seen, not found by chance in the audit of every ten seconds. */
	start = bridge_now_ns();
	assert_true(netns_run("bridge link set dev ovt-0 learning on"));
	AWAIT(tap_is_right());
	assert_true(netns_run("bridge link set dev ovt-0 mcast_router 0"));
	AWAIT(tap_is_right());
	assert_in_range(bridge_now_ns() - start, 0, 9 * SECOND_NS);
	assert_true(netns_run("ip link set ovt-0 nomaster"));
	AWAIT(tap_is_right());
	assert_true(netns_run("ip link add wrong0 type bridge && ip link set ovt-0 master wrong0"));
	AWAIT(tap_is_right());
	assert_null(now()->problem);
}

/* The FDB entry of the router MAC: gone, or made another port's. Of other MACs nothing is heard. */
static void its_fdb_entry_is_watched(void **state)
{
	struct pollfd pfd = { .events = POLLIN };
	uint64_t start;

	(void)state;
	pace = 1; /* kernels tell of links for two seconds, by which time there is silence */
	make_bridge();
	make_container("1", 1500);
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	settle();
	start = bridge_now_ns();
	assert_true(netns_run("bridge fdb del 02:01:02:03:04:05 dev ovt-0 master"));
	AWAIT(tap_is_right());
	assert_true(netns_run("bridge fdb replace 02:01:02:03:04:05 dev v1 master static"));
	AWAIT(tap_is_right());
	assert_in_range(bridge_now_ns() - start, 0, 9 * SECOND_NS);

	settle();
	assert_true(netns_run("bridge fdb add 02:01:02:03:04:06 dev v1 master static"));
	assert_true(netns_run("bridge fdb add 12:01:02:03:04:05 dev v1 master static"));
	assert_true(netns_run("ip neigh add 10.0.0.9 lladdr 02:01:02:03:04:05 dev c1"));
	pfd.fd = netlink_fd(nl);
	assert_int_equal(poll(&pfd, 1, 100), 0);

	/* One of several, and none any more. */
	assert_int_equal(netlink_watch_mac(nl, tap_mac), 0);
	assert_int_equal(netlink_watch_mac(nl, (const uint8_t *)"\2\1\2\3\4\7"), 0);
	assert_true(netns_run("bridge fdb add 02:01:02:03:04:07 dev v1 master static"));
	assert_int_equal(poll(&pfd, 1, 2000), 1);
	settle();
	netlink_unwatch_mac(nl, (const uint8_t *)"\2\1\2\3\4\7");
	assert_true(netns_run("bridge fdb del 02:01:02:03:04:07 dev v1 master"));
	assert_int_equal(poll(&pfd, 1, 100), 0);
	assert_true(netns_run("bridge fdb del 02:01:02:03:04:05 dev ovt-0 master"));
	AWAIT(tap_is_right());
}

static void a_fight_is_not_fought(void **state)
{
	uint64_t over;
	unsigned int joined = 0;

	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	settle();
	over = bridge_now_ns() + 5 * SECOND_NS / 2;
	while (bridge_now_ns() < over) {
		const struct netlink_link *link = netlink_get_link(nl, tap_index);

		if (link && link->master) {
			joined++;
			/* A second hand, not the request socket of the one under test. */
			assert_true(netns_run("ip link set ovt-0 nomaster"));
		}
		live();
	}
	/* The one before, and at most one a begun second. */
	assert_in_range(joined, 2, 4);
	AWAIT(tap_is_right());
}

static void its_mtu_is_the_largest_of_the_others(void **state)
{
	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached && now()->mtu == 1500);
	settle();
	make_container("1", 9000);
	AWAIT(now()->mtu == 9000 && link_shows("ovt-0", "mtu 9000"));
	/* The least of its ports': the bridge is lifted with the TAP. */
	AWAIT(link_shows("ovl0", "mtu 9000"));
	make_container("2", 1400);
	settle();
	assert_int_equal(now()->mtu, 9000);
	assert_true(netns_run("ip link set v1 mtu 8000"));
	AWAIT(now()->mtu == 8000 && link_shows("ovt-0", "mtu 8000"));
	/* Someone else's idea of it. */
	assert_true(netns_run("ip link set ovt-0 mtu 1280"));
	AWAIT(link_shows("ovt-0", "mtu 8000"));
	assert_true(netns_run("ip link del v1"));
	AWAIT(now()->mtu == 1400);
}

static void alone_it_takes_the_bridges_mtu(void **state)
{
	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached && now()->mtu == 1500);
	settle();
	/* A bridge follows its only port; the port must not follow itself. */
	assert_true(netns_run("ip link set ovt-0 mtu 65521"));
	AWAIT(link_shows("ovt-0", "mtu 1500") && link_shows("ovl0", "mtu 1500"));
	for (unsigned int i = 0; i < 12; i++)
		live();
	assert_int_equal(now()->mtu, 1500);
	assert_true(link_shows("ovl0", "mtu 1500"));
	/* But what was set on the bridge itself counts. */
	assert_true(netns_run("ip link set ovl0 mtu 1400"));
	AWAIT(now()->mtu == 1400 && link_shows("ovt-0", "mtu 1400"));
	/* More than a TAP can: the kernel's largest. */
	assert_true(netns_run("ip link set ovl0 mtu 65535"));
	AWAIT(now()->mtu == 65521);
	assert_null(now()->problem);
}

/* Someone who sets the TAP's MTU faster than we do does not thereby set the bridge's. */
static void a_lost_fight_over_the_mtu_is_no_order(void **state)
{
	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	frozen_ns = bridge_now_ns();
	open_bridge(NULL, 0);
	settle();
	frozen_ns += 2 * SECOND_NS;
	for (unsigned int i = 0; i < 8; i++) {
		assert_true(netns_run("ip link set ovt-0 mtu 9000"));
		settle();
	}
	assert_true(link_shows("ovt-0", "mtu 9000"));
	frozen_ns += 9 * SECOND_NS / 10;
	settle();
	assert_true(link_shows("ovt-0", "mtu 9000"));
	frozen_ns += SECOND_NS / 5;
	settle();
	assert_true(link_shows("ovt-0", "mtu 1500"));
	assert_true(link_shows("ovl0", "mtu 1500"));
}

static void a_plain_bridge_takes_no_mac_of_ours(void **state)
{
	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	make_container("1", 1500);
	assert_true(netns_run("ip link set v1 address 92:00:00:00:00:07"));
	AWAIT(now()->bridge_mac[5] == 0x07);
	assert_true(link_shows("ovl0", "92:00:00:00:00:07"));
	assert_true(news & BRIDGE_VIEW);
}

static void the_state_tells_networks_and_addresses(void **state)
{
	unsigned int before;

	(void)state;
	make_bridge();
	assert_true(netns_run("ip addr add 172.20.101.9/16 dev ovl0 && "
	                      "ip addr add 169.254.7.7/16 dev ovl0 && "
	                      "ip addr add fd20::1/64 dev ovl0 nodad"));
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	/* Two gateways in one network; link-local ones are addresses but no networks. */
	AWAIT(now()->attached && now()->address_count == 5);
	assert_int_equal(now()->prefix_count, 2);
	assert_true(prefix_equal(&now()->prefixes[0], &(struct prefix){ 4, 16, { 172, 20 } }));
	assert_true(prefix_equal(&now()->prefixes[1], &(struct prefix){ 6, 64, { 0xfd, 0x20 } }));
	assert_memory_equal(now()->addresses[0].addr, ((uint8_t[]){ 169, 254, 7, 7 }), 4);
	assert_memory_equal(now()->addresses[1].addr, ((uint8_t[]){ 172, 20, 101, 1 }), 4);
	assert_memory_equal(now()->addresses[2].addr, ((uint8_t[]){ 172, 20, 101, 9 }), 4);
	settle();
	before = views;
	/* Nothing of ours: no new view. */
	assert_true(netns_run("ip link add va type veth peer name vb && ip link set va up && "
	                      "ip addr add 10.9.9.9/24 dev va && ip link del va"));
	settle();
	assert_int_equal(views, before);
	assert_true(netns_run("ip addr del 172.20.101.9/16 dev ovl0"));
	AWAIT(now()->address_count == 4);
	assert_int_equal(views, before + 1);
}

static void subnets_of_others_get_routes(void **state)
{
	static const char *const subnets[] = { "172.20.0.0/16", "10.60.0.0/16", "fd60::/48" };
	struct prefix left;

	(void)state;
	/* Before the bridge has an address there is nothing to send from. */
	assert_true(netns_run("ip link add ovl0 type bridge && ip link set ovl0 up"));
	/* Left behind by a daemon that was killed. */
	assert_true(netns_run("ip route add 10.60.0.0/16 dev ovl0 proto 111 scope link"));
	netlink_dispatch(nl);
	open_bridge(subnets, 3);
	AWAIT(now()->attached);
	settle();
	assert_false(netns_prints("ip route", "172.20"));
	assert_true(netns_run("ip addr add 172.20.101.1/16 dev ovl0"));
	AWAIT(netns_prints("ip route", "10.60.0.0/16 dev ovl0 proto 111 scope link"));
	settle();
	for (unsigned int i = 0; i < 25; i++)
		live();
	assert_null(now()->problem);
	assert_false(news & BRIDGE_PROBLEM);
	/* What the bridge has itself gets none. */
	assert_false(netns_prints("ip route show proto 111", "172.20"));
	assert_false(netns_prints("ip -6 route", "fd60"));
	assert_true(netns_run("ip addr add fd20::1/64 dev ovl0 nodad"));
	AWAIT(netns_prints("ip -6 route", "fd60::/48 dev ovl0 proto 111"));
	/* Vanished: set again. */
	assert_true(netns_run("ip route del 10.60.0.0/16 && ip -6 route del fd60::/48"));
	AWAIT(netns_prints("ip route", "10.60.0.0/16") && netns_prints("ip -6 route", "fd60"));
	assert_true(netns_run("ip link set ovl0 down && ip link set ovl0 up"));
	AWAIT(netns_prints("ip route", "10.60.0.0/16"));
	assert_null(now()->problem);
	/* The bridge's own network comes to hold it. */
	assert_true(netns_run("ip addr add 10.60.0.1/15 dev ovl0"));
	AWAIT(!netns_prints("ip route show proto 111", "10.60"));
	assert_true(netns_run("ip addr del 10.60.0.1/15 dev ovl0"));
	AWAIT(netns_prints("ip route show proto 111", "10.60"));
	/* No longer configured. */
	assert_true(prefix_parse(&left, "10.60.0.0/16"));
	assert_int_equal(bridge_set_subnets(br, &left, 1), 0);
	assert_false(netns_prints("ip -6 route", "fd60"));
	assert_true(netns_prints("ip route show proto 111", "10.60"));
	bridge_close(br);
	br = NULL;
	assert_false(netns_prints("ip route show proto 111", "10.60"));
	assert_false(link_shows("ovt-0", "master"));
}

static void a_route_of_others_is_left_alone(void **state)
{
	static const char *const subnets[] = { "10.60.0.0/16" };

	(void)state;
	make_bridge();
	assert_true(netns_run("ip link add va type veth peer name vb && ip link set va up && "
	                      "ip route add 10.60.0.0/16 dev va"));
	netlink_dispatch(nl);
	open_bridge(subnets, 1);
	AWAIT(now()->attached && now()->problem);
	assert_string_equal(now()->problem,
	                    "cannot set the route to 10.60.0.0/16 on ovl0: there is another one");
	news = 0;
	for (unsigned int i = 0; i < 15; i++)
		live();
	/* Told once, however often it is tried. */
	assert_false(news & BRIDGE_PROBLEM);
	assert_true(netns_prints("ip route", "10.60.0.0/16 dev va"));
	assert_true(netns_run("ip route del 10.60.0.0/16 dev va"));
	AWAIT(!now()->problem && netns_prints("ip route", "10.60.0.0/16 dev ovl0"));
}

/* What the last life could not set is complained about by this one, too. */
static void of_kept_routes_only_ours_are(void **state)
{
	static const char *const subnets[] = { "10.60.0.0/16", "10.61.0.0/16" };

	(void)state;
	make_bridge();
	assert_true(netns_run("ip route add 10.60.0.0/16 dev ovl0 proto 111 scope link && "
	                      "ip link add va type veth peer name vb && ip link set va up && "
	                      "ip route add 10.61.0.0/16 dev va"));
	netlink_dispatch(nl);
	as_kept = true;
	open_bridge(subnets, 2);
	AWAIT(now()->attached && now()->problem);
	assert_string_equal(now()->problem,
	                    "cannot set the route to 10.61.0.0/16 on ovl0: there is another one");
	assert_true(netns_prints("ip route", "10.60.0.0/16 dev ovl0 proto 111"));
	assert_true(netns_prints("ip route", "10.61.0.0/16 dev va"));
}

static void a_deleted_tap_is_told(void **state)
{
	(void)state;
	make_bridge();
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	assert_true(netns_run("ip link del ovt-0"));
	AWAIT(!now()->attached);
	assert_string_equal(now()->problem, "the TAP device is gone");
}

static void only_own_taps_and_real_bridges_are_touched(void **state)
{
	struct prefix lan = { 4, 16, { 10, 60 } }, all = { 4, 0, { 0 } };
	struct prefix half = { 4, 1, { 128 } };
	uint8_t group[ETHER_ADDR_SIZE] = { 1 };
	struct tap other;
	uint32_t bridge, veth, index;

	(void)state;
	make_bridge();
	assert_true(netns_run("ip link add va type veth peer name vb"));
	netlink_dispatch(nl);
	bridge = if_nametoindex("ovl0");
	veth = if_nametoindex("va");
	assert_int_equal(priv_join_bridge(priv, veth, bridge), -EPERM);
	assert_int_equal(priv_set_link(priv, veth, 1400, tap_mac), -EPERM);
	assert_int_equal(priv_set_port(priv, veth, router_mac), -EPERM);
	assert_int_equal(priv_set_queue(priv, veth, 100), -EPERM);
	assert_int_equal(priv_set_queue(priv, tap_index, 0), -EINVAL);
	assert_int_equal(priv_set_queue(priv, tap_index, 10001), -EINVAL);
	assert_int_equal(priv_set_queue(priv, tap_index, 123), 0);
	assert_true(netns_prints("ip link show ovt-0", "qlen 123"));
	assert_int_equal(priv_join_bridge(priv, tap_index, veth), -ENODEV);
	assert_int_equal(priv_join_bridge(priv, tap_index, 4711), -ENODEV);
	assert_int_equal(priv_set_link(priv, tap_index, 1400, group), -EINVAL);
	assert_int_equal(priv_set_port(priv, tap_index, group), -EINVAL);
	assert_int_equal(priv_add_route(priv, veth, &lan), -ENODEV);
	assert_int_equal(priv_add_route(priv, bridge, &all), -EINVAL);
	assert_int_equal(priv_add_route(priv, bridge, &half), -EINVAL);
	assert_int_equal(priv_remove_route(priv, bridge, &all), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "ovt-%d", 1, &index), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "", 1, &index), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "eth7", 1, &index), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "ovt-a/b", 1, &index), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "ovt-een-letters-", 1, &index), -EINVAL);
	assert_int_equal(priv_make_tap(priv, &other, "ovt-0", 1, &index), -EBUSY);
	priv_forget_tap(priv, tap_index);
	assert_int_equal(priv_join_bridge(priv, tap_index, bridge), -EPERM);
}

/* Sends @frame into the bridge as container 1 does. */
static void send_frame(const uint8_t *frame, size_t len)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET,
		                  .sll_ifindex = (int)if_nametoindex("c1") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, frame, len, 0, (const struct sockaddr *)&to, sizeof(to)), len);
	close(fd);
}

/* Does a frame with the mark in its payload come out of the TAP? */
static bool tap_gets(const uint8_t *mark, size_t len, int wait_ms)
{
	struct pollfd pfd = { .fd = tap.fds[0], .events = POLLIN };
	uint8_t frame[2048];

	while (poll(&pfd, 1, wait_ms) > 0) {
		ssize_t got = read(tap.fds[0], frame, sizeof(frame));

		if (got > 0 && memmem(frame, (size_t)got, mark, len))
			return true;
	}
	return false;
}

static void frames_to_the_router_reach_the_tap_alone(void **state)
{
	/* To the router, from a container; and one whose source is the router's MAC. */
	uint8_t frame[64] = {
		2, 1, 2, 3, 4, 5, 0x92, 0, 0, 0, 0, 1, 0x88, 0xb5, 'm', 'a', 'r', 'k'
	};
	uint8_t forged[64] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 2, 3, 4, 5, 0x88, 0xb5 };
	uint8_t second[64];

	(void)state;
	make_bridge();
	make_container("1", 1500);
	make_container("2", 1500);
	netlink_dispatch(nl);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	settle();
	/* Without flooding only the FDB entry can bring it there. */
	assert_true(netns_run("bridge link set dev ovt-0 flood off"));
	send_frame(frame, sizeof(frame));
	assert_true(tap_gets((const uint8_t *)"mark", 4, 2000));
	/* A container cannot draw the router's MAC to its own port. */
	send_frame(forged, sizeof(forged));
	memcpy(second, frame, sizeof(second));
	memcpy(second + 14, "next", 4);
	send_frame(second, sizeof(second));
	assert_true(tap_gets((const uint8_t *)"next", 4, 2000));
	assert_true(netns_prints("bridge fdb show", "02:01:02:03:04:05 dev ovt-0"));
}

static bool port_is_bridged(void)
{
	return link_shows("ovt-0", "fe:01:02:03:04:05") && link_shows("ovt-0", "master ovl0") &&
	       link_shows("ovt-0", ",UP") && link_shows("ovt-0", "learning on") &&
	       link_shows("ovt-0", " flood on") && link_shows("ovt-0", "mcast_flood on") &&
	       link_shows("ovt-0", "bcast_flood on") && link_shows("ovt-0", "mcast_router 2");
}

/* In a bridged network the bridge learns what is behind the TAP, and floods what it does not know. */
static void a_bridged_networks_port_is_a_plain_one(void **state)
{
	static const uint8_t remote[] = { 0x02, 0x11, 0, 0, 0, 1 };
	uint8_t frame[10 + 64] = { 0 };

	(void)state;
	as_bridged = true;
	make_bridge();
	make_container("0", 9000);
	open_bridge(NULL, 0);
	AWAIT(now()->attached);
	settle();
	assert_true(port_is_bridged());
	assert_true(link_shows("ovt-0", "mtu 9000"));
	assert_false(netns_prints("bridge fdb show dev ovt-0", "static"));

	assert_true(netns_run("bridge link set dev ovt-0 learning off flood off mcast_flood off"));
	AWAIT(port_is_bridged());

	/* Behind the virtio-net header: to everyone, from a remote station. */
	memset(frame + 10, 0xff, 6);
	memcpy(frame + 16, remote, 6);
	frame[22] = 0x88;
	frame[23] = 0xb5;
	assert_int_equal(write(tap.fds[0], frame, sizeof(frame)), sizeof(frame));
	AWAIT(netns_prints("bridge fdb show dev ovt-0", "02:11:00:00:00:01 master ovl0"));
}

int main(void)
{
#define WITH_TAP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_TAP(a_bridge_comes_goes_and_comes_back),
		WITH_TAP(only_a_bridge_is_joined),
		WITH_TAP(what_others_change_is_put_right),
		WITH_TAP(its_fdb_entry_is_watched),
		WITH_TAP(a_fight_is_not_fought),
		WITH_TAP(its_mtu_is_the_largest_of_the_others),
		WITH_TAP(alone_it_takes_the_bridges_mtu),
		WITH_TAP(a_lost_fight_over_the_mtu_is_no_order),
		WITH_TAP(a_plain_bridge_takes_no_mac_of_ours),
		WITH_TAP(the_state_tells_networks_and_addresses),
		WITH_TAP(subnets_of_others_get_routes),
		WITH_TAP(a_route_of_others_is_left_alone),
		WITH_TAP(of_kept_routes_only_ours_are),
		WITH_TAP(a_deleted_tap_is_told),
		WITH_TAP(only_own_taps_and_real_bridges_are_touched),
		WITH_TAP(frames_to_the_router_reach_the_tap_alone),
		WITH_TAP(a_bridged_networks_port_is_a_plain_one),
	};

	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
