/* SPDX-License-Identifier: MIT */
/* Real links in a network namespace of the test's own. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include "ctl/netlink.h"
#include "ctl/netlink_cache.h"
#include "tests/unit/netns.h"

static struct netlink *nl;
static unsigned int changes;

static void count_change(void *arg)
{
	assert_ptr_equal(arg, &changes);
	changes++;
}

static int open_netlink(void **state)
{
	(void)state;
	changes = 0;
	return netlink_open(&nl, count_change, &changes);
}

static int close_netlink(void **state)
{
	(void)state;
	netlink_close(nl);
	/* What a test has left. */
	netns_clear();
	return 0;
}

/* Dispatches until the condition holds; fails when it does not come true. */
#define AWAIT(condition)                                                                \
	do {                                                                            \
		uint64_t end = netns_now_ns() + NETNS_WAIT_MS * 1000000ULL;             \
		while (!(condition) && netns_now_ns() < end) {                          \
			struct pollfd pfd = { .fd = netlink_fd(nl), .events = POLLIN }; \
			poll(&pfd, 1, 100);                                             \
			netlink_dispatch(nl);                                           \
		}                                                                       \
		assert_true(condition);                                                 \
	} while (0)

static const struct netlink_link *find(const char *name)
{
	return netlink_find_link(nl, name);
}

static bool set_as(const char *name, enum netlink_port kind)
{
	return find(name)->port_set & 1U << kind;
}

static uint32_t index_of(const char *name)
{
	const struct netlink_link *link;

	AWAIT(find(name));
	link = find(name);
	return link->index;
}

static const struct netlink_address *find_address(const char *text, unsigned int len)
{
	const struct netlink_address *all;
	size_t count = netlink_addresses(nl, &all);
	uint8_t addr[16] = { 0 };

	if (inet_pton(AF_INET, text, addr) != 1)
		assert_int_equal(inet_pton(AF_INET6, text, addr), 1);
	for (size_t i = 0; i < count; i++)
		if (memcmp(all[i].addr, addr, 16) == 0 && all[i].prefix.len == len)
			return &all[i];
	return NULL;
}

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	assert_true(prefix_parse(&prefix, text));
	return prefix;
}

static struct endpoint endpoint_of(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_parse(&ep, text), 0);
	return ep;
}

static void first_dump_holds_what_is_there(void **state)
{
	(void)state;
	assert_non_null(find("lo"));
	assert_int_equal(find("lo")->index, 1);
	assert_true(find("lo")->flags & IFF_UP);
	assert_int_equal(find("lo")->mtu, 65536);
	assert_false(find("lo")->is_bridge);
	assert_non_null(find_address("127.0.0.1", 8));
	assert_non_null(find_address("::1", 128));
	assert_ptr_equal(netlink_get_link(nl, 1), find("lo"));
	assert_null(netlink_get_link(nl, 4711));
	assert_null(find("none"));
}

static void links_are_followed(void **state)
{
	static const uint8_t mac[] = { 0x02, 0x11, 0x22, 0x33, 0x44, 0x55 };
	uint32_t index;

	(void)state;
	assert_true(netns_run("ip link add va type veth peer name vb"));
	assert_true(netns_run("ip link add bri0 type bridge"));
	index = index_of("va");
	AWAIT(find("bri0") && find("bri0")->is_bridge);
	assert_false(find("va")->is_bridge);
	assert_true(changes > 0);

	assert_true(netns_run("ip link set va name vc mtu 1234 address 02:11:22:33:44:55 up"));
	AWAIT(find("vc") && find("vc")->mtu == 1234 && find("vc")->flags & IFF_UP);
	assert_int_equal(find("vc")->index, index);
	assert_memory_equal(find("vc")->mac, mac, 6);
	assert_null(find("va"));

	assert_true(netns_run("ip link set vc master bri0"));
	AWAIT(find("vc")->master == find("bri0")->index);
	assert_false(set_as("vc", NETLINK_PORT_ROUTED));
	/* "Is a port no more" comes as RTM_DELLINK of family AF_BRIDGE. */
	assert_true(netns_run("ip addr add 10.8.0.1/24 dev vc"));
	AWAIT(find_address("10.8.0.1", 24));
	assert_true(netns_run("ip link set vc nomaster"));
	AWAIT(find("vc") && find("vc")->master == 0);
	assert_non_null(find_address("10.8.0.1", 24));

	assert_true(netns_run("ip link set vc master bri0 && ip link del bri0"));
	AWAIT(!find("bri0"));
	AWAIT(find("vc") && find("vc")->master == 0);
	assert_true(netns_run("ip link del vc"));
	AWAIT(!find("vc") && !find("vb"));
}

static void addresses_are_followed(void **state)
{
	const struct netlink_address *address;

	(void)state;
	assert_true(netns_run("ip link add bri0 type bridge && ip link set bri0 up"));
	assert_true(netns_run("ip addr add 172.20.101.1/16 dev bri0"));
	assert_true(netns_run("ip addr add fd00:20::1/64 dev bri0"));
	assert_true(netns_run("ip addr add 10.9.0.1 peer 10.9.7.5/24 dev bri0"));
	AWAIT(find_address("172.20.101.1", 16) && find_address("fd00:20::1", 64) &&
	      find_address("10.9.0.1", 24));
	address = find_address("172.20.101.1", 16);
	assert_int_equal(address->index, index_of("bri0"));
	assert_int_equal(address->family, 4);
	assert_true(prefix_equal(&address->prefix, &(struct prefix){ 4, 16, { 172, 20 } }));
	address = find_address("fd00:20::1", 64);
	assert_int_equal(address->family, 6);
	assert_true(
		prefix_equal(&address->prefix, &(struct prefix){ 6, 64, { 0xfd, 0, 0, 0x20 } }));
	/* Point to point: our address, the far end's network. */
	address = find_address("10.9.0.1", 24);
	assert_true(prefix_equal(&address->prefix, &(struct prefix){ 4, 24, { 10, 9, 7 } }));

	assert_true(netns_run("ip addr del 172.20.101.1/16 dev bri0"));
	AWAIT(!find_address("172.20.101.1", 16));
	assert_true(netns_run("ip link del bri0"));
	AWAIT(!find_address("fd00:20::1", 64) && !find_address("10.9.0.1", 24));
}

static void what_changes_nothing_is_not_told(void **state)
{
	unsigned int before;

	(void)state;
	assert_true(netns_run("ip link add bri0 type bridge"));
	assert_true(netns_run("ip link add va type veth peer name vb"));
	(void)index_of("vb");
	netlink_dispatch(nl);
	before = changes;
	/* Routes of the kernel's own making. */
	assert_true(netns_run("ip route add local 10.77.0.1 dev lo table local"));
	assert_true(netns_run("ip link set va mtu 1500 && ip link set va alias other"));
	netlink_dispatch(nl);
	assert_int_equal(changes, before);
	/* A real route is. */
	assert_true(netns_run("ip link set bri0 up && ip route add 10.78.0.0/16 dev bri0"));
	netlink_dispatch(nl);
	assert_int_equal(changes, before + 1);
}

/* The set of links by `ip` against the cache's. */
static void assert_cache_is_right(unsigned int links)
{
	const struct netlink_link *all;
	size_t count = netlink_links(nl, &all);

	assert_int_equal(count, links);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(if_nametoindex(all[i].name), all[i].index);
}

static void lost_events_refill_the_cache(void **state)
{
	const int tiny = 1;
	char out[16];
	FILE *batch;

	(void)state;
	assert_int_equal(setsockopt(netlink_fd(nl), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)), 0);
	assert_true(netns_run("ip link add bri0 type bridge"));
	batch = popen("ip -batch -", "w");
	assert_non_null(batch);
	for (int i = 0; i < 2000; i++)
		(void)fprintf(batch, "link set bri0 mtu %d\n", 1000 + i % 500);
	for (int i = 0; i < 100; i++)
		(void)fprintf(batch, "link add p%d type veth peer name q%d\n", i, i);
	(void)fprintf(batch, "link set bri0 mtu 1501\naddr add 10.1.2.3/24 dev p50\n");
	assert_int_equal(pclose(batch), 0);
	/* Proof that the case is the one meant: the kernel has dropped events. */
	netns_read("awk '$9 > 0' /proc/self/net/netlink | wc -l", out, sizeof(out));
	assert_true(atoi(out) > 0);
	netlink_dispatch(nl);
	assert_true(changes > 0);
	assert_cache_is_right(1 + 1 + 200);
	assert_int_equal(find("bri0")->mtu, 1501);
	assert_non_null(find_address("10.1.2.3", 24));
	/* And it goes on from there. */
	assert_true(netns_run("ip link del p0"));
	AWAIT(!find("p0") && !find("q0"));
}

/* A storm of changes makes every dump inconsistent: it is asked for again when it is over. */
static void a_refill_that_fails_is_tried_again(void **state)
{
	/* The socket of requests is the second. */
	int requests = netlink_fd(nl) + 1, whole = dup(requests), size = 1, domain = 0;
	int broken = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(domain);

	(void)state;
	assert_int_equal(getsockopt(requests, SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_NETLINK);
	assert_int_equal(setsockopt(netlink_fd(nl), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	assert_int_equal(dup2(broken, requests), requests);
	assert_true(netns_run("for i in 1 2 3 4 5 6 7 8; do ip link add d$i type bridge; done"));
	netlink_dispatch(nl);
	assert_true(netlink_lost(nl) > 0);
	assert_null(find("d8"));
	assert_int_equal(dup2(whole, requests), requests);
	/* No event will come any more, and not every one is worth a dump. */
	netlink_dispatch(nl);
	assert_null(find("d8"));
	changes = 0;
	netlink_tick(nl);
	assert_non_null(find("d8"));
	assert_int_equal(changes, 1);
	netlink_tick(nl);
	assert_int_equal(changes, 1);
	close(whole);
	close(broken);
}

static void links_are_set(void **state)
{
	static const uint8_t mac[] = { 0xfe, 1, 2, 3, 4, 5 };
	uint32_t index, bridge;

	(void)state;
	assert_true(
		netns_run("ip link add bri0 type bridge && ip link add va type veth peer name vb"));
	index = index_of("va");
	bridge = index_of("bri0");
	assert_int_equal(netlink_set_mtu(nl, index, 1400), 0);
	assert_int_equal(netlink_set_mac(nl, index, mac), 0);
	assert_int_equal(netlink_set_up(nl, index, true), 0);
	assert_int_equal(netlink_set_master(nl, index, bridge), 0);
	/* At once, before any event is read. */
	assert_int_equal(find("va")->mtu, 1400);
	assert_int_equal(find("va")->master, bridge);
	assert_true(find("va")->flags & IFF_UP);
	assert_memory_equal(find("va")->mac, mac, 6);
	assert_true(netns_prints("ip -d link show va", "mtu 1400"));
	assert_true(netns_prints("ip -d link show va", "master bri0"));
	assert_true(netns_prints("ip -d link show va", "fe:01:02:03:04:05"));
	assert_true(netns_prints("ip -d link show va", ",UP"));
	netlink_dispatch(nl);
	assert_int_equal(find("va")->mtu, 1400);
	assert_int_equal(find("va")->master, bridge);

	assert_int_equal(netlink_set_master(nl, index, 0), 0);
	assert_false(netns_prints("ip link show va", "master"));
	assert_int_equal(netlink_set_up(nl, index, false), 0);
	assert_false(netns_prints("ip link show va", ",UP"));

	assert_int_equal(netlink_set_mtu(nl, 4711, 1400), -ENODEV);
	assert_int_equal(netlink_set_mtu(nl, index, 1), -EINVAL);
	assert_int_equal(netlink_refresh(nl, 4711), -ENODEV);
}

static void a_fresh_link_needs_no_event(void **state)
{
	(void)state;
	assert_true(netns_run("ip link add va type veth peer name vb"));
	assert_null(find("va"));
	assert_int_equal(netlink_refresh(nl, if_nametoindex("va")), 0);
	assert_non_null(find("va"));
}

static void an_addressless_link_stays_so(void **state)
{
	(void)state;
	assert_true(netns_run("ip link add va type veth peer name vb && ip link set vb up"));
	assert_int_equal(netlink_set_addressless(nl, index_of("va")), 0);
	assert_int_equal(netlink_set_up(nl, index_of("va"), true), 0);
	assert_true(netns_prints("ip -6 addr show dev vb", "fe80"));
	assert_false(netns_prints("ip -6 addr show dev va", "fe80"));
}

static void ports_are_set(void **state)
{
	static const uint8_t mac[] = { 0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xee };
	const char *show = "bridge -d -j link show dev va";
	uint32_t port;

	(void)state;
	assert_true(netns_run("ip link add bri0 type bridge && ip link set bri0 up && "
	                      "ip link add va type veth peer name vb && "
	                      "ip link set va up && ip link set vb up"));
	port = index_of("va");
	assert_true(netlink_set_fdb(nl, port, mac) < 0);
	assert_true(netlink_set_port(nl, port, NETLINK_PORT_ROUTED) < 0);
	assert_int_equal(netlink_set_master(nl, port, index_of("bri0")), 0);
	assert_false(set_as("va", NETLINK_PORT_ROUTED));

	assert_int_equal(netlink_set_port(nl, port, NETLINK_PORT_ROUTED), 0);
	assert_true(set_as("va", NETLINK_PORT_ROUTED));
	assert_true(netns_prints(show, "\"learning\":false"));
	assert_true(netns_prints(show, "\"mcast_router\":2") ||
	            netns_prints("ip -d -j link show va", "\"multicast_router\":2"));
	netlink_dispatch(nl);
	assert_true(set_as("va", NETLINK_PORT_ROUTED));
	/* Each attribute, changed by others, is seen. */
	for (size_t i = 0; i < 4; i++) {
		static const char *const undo[] = { "learning on", "mcast_router 1", "isolated on",
			                            "hairpin on" };

		assert_true(netns_run("bridge link set dev va %s", undo[i]));
		AWAIT(!set_as("va", NETLINK_PORT_ROUTED));
		assert_int_equal(netlink_set_port(nl, port, NETLINK_PORT_ROUTED), 0);
		netlink_dispatch(nl);
		assert_true(set_as("va", NETLINK_PORT_ROUTED));
	}

	/* The other kind differs, and what it does not care for. */
	assert_false(set_as("va", NETLINK_PORT_BRIDGED));
	assert_true(netns_run("bridge link set dev va flood off"));
	assert_int_equal(netlink_set_port(nl, port, NETLINK_PORT_ROUTED), 0);
	AWAIT(set_as("va", NETLINK_PORT_ROUTED));
	assert_true(netns_prints(show, "\"flood\":false"));
	assert_int_equal(netlink_set_port(nl, port, NETLINK_PORT_BRIDGED), 0);
	AWAIT(set_as("va", NETLINK_PORT_BRIDGED) && !set_as("va", NETLINK_PORT_ROUTED));
	assert_true(netns_prints(show, "\"flood\":true") &&
	            netns_prints(show, "\"learning\":true"));
	assert_true(netns_run("bridge link set dev va flood off"));
	AWAIT(!set_as("va", NETLINK_PORT_BRIDGED));

	assert_int_equal(netlink_set_fdb(nl, port, mac), 0);
	assert_int_equal(netlink_set_fdb(nl, port, mac), 0);
	assert_true(netns_prints("bridge fdb show dev va",
	                         "02:aa:bb:cc:dd:ee master bri0 sticky static") ||
	            netns_prints("bridge fdb show dev va",
	                         "02:aa:bb:cc:dd:ee sticky master bri0 static"));
}

static void routes_are_set_and_only_ours_removed(void **state)
{
	struct prefix v4 = prefix_of("10.50.0.0/16"), v6 = prefix_of("fd50::/32");
	uint32_t index;

	(void)state;
	assert_true(
		netns_run("ip link add bri0 type bridge && ip link set bri0 up && "
	                  "ip addr add 172.20.1.1/16 dev bri0 && ip addr add fd20::1/64 dev bri0"));
	index = index_of("bri0");
	assert_int_equal(netlink_add_route(nl, index, &v4), 0);
	assert_int_equal(netlink_add_route(nl, index, &v6), 0);
	assert_int_equal(netlink_add_route(nl, index, &v4), -EEXIST);
	assert_int_equal(netlink_add_route(nl, index, &v6), -EEXIST);
	assert_true(netns_prints("ip route", "10.50.0.0/16 dev bri0 proto 111 scope link"));
	assert_true(netns_prints("ip -6 route", "fd50::/32 dev bri0 proto 111"));
	assert_int_equal(netlink_remove_route(nl, index, &v4), 0);
	assert_int_equal(netlink_remove_route(nl, index, &v6), 0);
	assert_int_equal(netlink_remove_route(nl, index, &v4), -ESRCH);
	assert_false(netns_prints("ip route", "10.50"));
	assert_false(netns_prints("ip -6 route", "fd50"));

	assert_true(netns_run(
		"ip route add 10.50.0.0/16 dev bri0 && ip -6 route add fd50::/32 dev bri0"));
	assert_int_equal(netlink_add_route(nl, index, &v4), -EEXIST);
	assert_int_equal(netlink_remove_route(nl, index, &v4), -ESRCH);
	assert_int_equal(netlink_remove_route(nl, index, &v6), -ESRCH);
	assert_true(netns_prints("ip route", "10.50.0.0/16"));
	assert_true(netns_prints("ip -6 route", "fd50::/32"));
}

/* How many routes of ours there are, that one among them. */
static size_t own_routes(uint32_t index, const struct prefix *prefix)
{
	struct netlink_route *routes = NULL;
	size_t count = 0, found = 0;

	assert_int_equal(netlink_own_routes(nl, &routes, &count), 0);
	for (size_t i = 0; i < count; i++)
		found += routes[i].index == index && prefix_equal(&routes[i].prefix, prefix);
	free(routes);
	assert_true(found == 1 || count == 0);
	return count;
}

static void routes_of_ours_are_told(void **state)
{
	struct prefix v4 = prefix_of("10.50.0.0/16"), v6 = prefix_of("fd50::/32");
	uint32_t index;

	(void)state;
	assert_true(
		netns_run("ip link add bri0 type bridge && ip link set bri0 up && "
	                  "ip addr add 172.20.1.1/16 dev bri0 && ip addr add fd20::1/64 dev bri0"));
	index = index_of("bri0");
	assert_int_equal(own_routes(index, &v4), 0);
	assert_int_equal(netlink_add_route(nl, index, &v4), 0);
	assert_int_equal(own_routes(index, &v4), 1);
	assert_int_equal(netlink_add_route(nl, index, &v6), 0);
	/* Neither others' nor those of other tables. */
	assert_true(netns_run("ip route add 10.51.0.0/16 dev bri0 && "
	                      "ip route add 10.52.0.0/16 dev bri0 proto 111 table 7 && "
	                      "ip -6 route add fd51::/32 dev bri0"));
	assert_int_equal(own_routes(index, &v6), 2);
	assert_int_equal(own_routes(index, &v4), 2);
	/* What is asked for next is asked for as ever. */
	netlink_dispatch(nl);
	assert_int_equal(netlink_refresh(nl, index), 0);
	assert_int_equal(netlink_remove_route(nl, index, &v4), 0);
	assert_int_equal(own_routes(index, &v6), 1);
}

static uint32_t path_mtu(const char *remote, uint32_t fwmark)
{
	struct endpoint ep = endpoint_of(remote);
	uint32_t mtu = 0;
	int err = netlink_path_mtu(nl, &ep, fwmark, &mtu);

	return err ? 0 : mtu;
}

static void path_mtu_is_the_routes_or_the_links(void **state)
{
	struct endpoint nowhere = endpoint_of("203.0.113.1:1");
	char scoped[64];
	uint32_t mtu;

	(void)state;
	assert_true(netns_run("ip link add va mtu 9000 type veth peer name vb && "
	                      "ip link set va up && ip link set vb up && "
	                      "ip addr add 10.1.0.1/24 dev va && "
	                      "ip addr add fd01::1/64 dev va nodad && "
	                      "ip route add 10.2.0.0/16 via 10.1.0.2 mtu 1420 && "
	                      "ip route add 10.3.0.0/16 via 10.1.0.2 mtu lock 1300 && "
	                      "ip -6 route add fd02::/32 via fd01::2 mtu 1380 && "
	                      "ip route add 10.2.0.0/16 via 10.1.0.2 table 7 && "
	                      "ip rule add fwmark 0x77 lookup 7"));
	AWAIT(find("va") && find("va")->mtu == 9000);
	assert_int_equal(path_mtu("10.1.0.2:51820", 0), 9000);
	assert_int_equal(path_mtu("10.2.0.2:51820", 0), 1420);
	assert_int_equal(path_mtu("10.2.0.2:51820", 0x77), 9000);
	assert_int_equal(path_mtu("10.3.0.2:51820", 0), 1300);
	assert_int_equal(path_mtu("[fd01::2]:51820", 0), 9000);
	assert_int_equal(path_mtu("[fd02::2]:51820", 0), 1380);
	(void)snprintf(scoped, sizeof(scoped), "[fe80::1%%%u]:51820", index_of("vb"));
	assert_true(netns_run("ip link set va mtu 9000 && ip link set vb mtu 1350"));
	AWAIT(find("vb")->mtu == 1350);
	assert_int_equal(path_mtu(scoped, 0), 1350);
	assert_int_equal(path_mtu("127.0.0.1:1", 0), 65536);
	assert_int_equal(netlink_path_mtu(nl, &nowhere, 0, &mtu), -ENETUNREACH);
	assert_true(netns_run("ip link set va mtu 8000"));
	AWAIT(find("va")->mtu == 8000);
	assert_int_equal(path_mtu("10.1.0.2:51820", 0), 8000);
}

/*
 * An ICMP error leaves an exception with a lower MTU in the kernel. Made here with
 * a router that has a narrower link behind it, which is the same to the kernel.
 */
static void what_icmp_claims_is_not_believed(void **state)
{
	const char *ping = "ping -c1 -W2 -M do -s 1400 10.2.0.2 >/dev/null 2>&1; "
			   "ping -c1 -W2 -M do -s 1400 fd02::2 >/dev/null 2>&1; true";

	(void)state;
	assert_true(
		netns_run("ip netns add ovltun-u-rt && ip link add va type veth peer name vb "
	                  "netns ovltun-u-rt && "
	                  "ip netns exec ovltun-u-rt sh -c '"
	                  "ip link set vb up; ip addr add 10.1.0.2/24 dev vb; ip addr add "
	                  "fd01::2/64 dev vb nodad;"
	                  "ip link add lan0 type bridge; ip link set lan0 mtu 1300 up;"
	                  "ip addr add 10.2.0.1/24 dev lan0; ip addr add fd02::1/64 dev lan0 nodad;"
	                  "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1'"));
	assert_true(netns_run("ip link set va up && ip addr add 10.1.0.1/24 dev va && "
	                      "ip addr add fd01::1/64 dev va nodad && "
	                      "ip route add 10.2.0.0/16 via 10.1.0.2 && "
	                      "ip -6 route add fd02::/32 via fd01::2"));
	AWAIT(find("va"));
	(void)netns_run("%s", ping);
	assert_true(netns_prints("ip route get 10.2.0.2", "mtu 1300"));
	assert_true(netns_prints("ip route get fd02::2", "mtu 1300"));
	(void)netns_run("ip netns del ovltun-u-rt");
	assert_int_equal(path_mtu("10.2.0.2:51820", 0), 1500);
	assert_int_equal(path_mtu("[fd02::2]:51820", 0), 1500);
}

/* Messages that the kernel would not send: no byte behind their (aligned) end is read. */
static void short_messages_are_harmless(void **state)
{
	struct netlink_cache cache = { .links = NULL };

	(void)state;
	for (uint16_t type = RTM_NEWLINK; type <= RTM_GETROUTE; type++) {
		for (uint32_t len = NLMSG_HDRLEN; len <= 64; len++) {
			for (int fill = 0; fill < 3; fill++) {
				struct nlmsghdr *message = malloc(NLMSG_ALIGN(len));

				assert_non_null(message);
				memset(message, fill == 2 ? 4 : fill * 0xff, NLMSG_ALIGN(len));
				message->nlmsg_len = len;
				message->nlmsg_type = type;
				assert_int_equal(netlink_cache_take(&cache, message), 0);
				free(message);
			}
		}
	}
	assert_int_equal(cache.link_count, 0);
	netlink_cache_clear(&cache);
}

int main(void)
{
#define WITH_LINKS(test) cmocka_unit_test_setup_teardown(test, open_netlink, close_netlink)
	const struct CMUnitTest tests[] = {
		WITH_LINKS(first_dump_holds_what_is_there),
		WITH_LINKS(links_are_followed),
		WITH_LINKS(addresses_are_followed),
		WITH_LINKS(what_changes_nothing_is_not_told),
		WITH_LINKS(lost_events_refill_the_cache),
		WITH_LINKS(a_refill_that_fails_is_tried_again),
		WITH_LINKS(links_are_set),
		WITH_LINKS(a_fresh_link_needs_no_event),
		WITH_LINKS(an_addressless_link_stays_so),
		WITH_LINKS(ports_are_set),
		WITH_LINKS(routes_are_set_and_only_ours_removed),
		WITH_LINKS(routes_of_ours_are_told),
		WITH_LINKS(path_mtu_is_the_routes_or_the_links),
		WITH_LINKS(what_icmp_claims_is_not_believed),
		cmocka_unit_test(short_messages_are_harmless),
	};

	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
