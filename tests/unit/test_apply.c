/* SPDX-License-Identifier: MIT */
/* From one configuration to the next: what stays, what changes, and that failing changes nothing. */
#include "running.h"

#include "ctl/changes.h"
#include "ctl/events.h"
#include "ctl/run_network.h"
#include "dataplane/fdb.h"

/* Memory runs out for all that is linked here (meson.build). */
static bool starving;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_malloc(size_t size)
{
	return starving ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return starving ? NULL : __real_calloc(n, size);
}

#define PORT   "[Interface]\nPrivateKey = " PRIVATE "\nListenPort = 4711\n"
#define A_FULL PEER_A "AllowedIPs = 172.20.1.0/24\nEndpoint = 127.0.0.1:9\n"
#define B_FULL PEER_B "AllowedIPs = 172.20.2.0/24\n"

static bool has_link(const char *name)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "ip link show %s >/dev/null 2>&1", name);
	return system(command) == 0;
}

static bool port_is_bound(const char *port)
{
	return netns_prints("ss -Hlnu", port);
}

static void test_first_and_same(void **state)
{
	struct apply_summary summary;
	struct peer *a;
	struct network *network;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL B_FULL, &summary), 0);
	assert_int_equal(summary.peers_added, 2);
	assert_int_equal(summary.networks_added, 1);
	assert_true(summary.socket_changed && summary.identity_changed);
	assert_true(has_link("ovt-ovl0"));
	assert_true(port_is_bound(":4711"));
	assert_int_equal(running_view()->peer_count, 2);
	a = running_peer(KEY_A)->peer;
	network = running.networks[0]->network;

	assert_int_equal(running_apply(PORT NETWORK B_FULL A_FULL, &summary), 0);
	assert_int_equal(summary.peers_added + summary.peers_removed + summary.peers_changed, 0);
	assert_int_equal(summary.networks_added + summary.networks_removed, 0);
	assert_false(summary.socket_changed || summary.identity_changed);
	assert_ptr_equal(running_peer(KEY_A)->peer, a);
	assert_ptr_equal(running.networks[0]->network, network);
	assert_ptr_equal(view_find_peer(running_view(), a->public_key), a);
}

static void test_peers(void **state)
{
	struct apply_summary summary;
	struct peer *b;
	struct peer_info info;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL B_FULL, NULL), 0);
	b = running_peer(KEY_B)->peer;
	assert_int_equal(running_apply(PORT NETWORK B_FULL "PersistentKeepalive = 7\n" PEER_A
	                                                   "AllowedIPs = 172.20.9.0/24\n",
	                               &summary),
	                 0);
	assert_int_equal(summary.peers_changed, 2);
	peer_get_info(b, 0, &info);
	assert_int_equal(info.keepalive_s, 7);
	/* The endpoint was not named any more: where the peer was stays good. */
	peer_get_info(running_peer(KEY_A)->peer, 0, &info);
	assert_true(endpoint_is_set(&info.endpoint));

	assert_int_equal(running_apply(PORT NETWORK B_FULL "[Peer]\nPublicKey = " KEY_C
	                                                   "\nPresharedKey = " KEY_A "\n",
	                               &summary),
	                 0);
	assert_int_equal(summary.peers_added, 1);
	assert_int_equal(summary.peers_removed, 1);
	assert_int_equal(summary.peers_changed, 1); /* B's keepalive is off again */
	assert_null(running_peer(KEY_A));
	assert_ptr_equal(running_peer(KEY_B)->peer, b);
	assert_int_equal(running_view()->peer_count, 2);
}

/* A peer that roamed is left where it is, unless someone sets its endpoint, be it to the same. */
static void test_roamed(void **state)
{
	struct endpoint elsewhere, now;
	struct config *config;
	struct peer *a;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL, NULL), 0);
	a = running_peer(KEY_A)->peer;
	assert_int_equal(endpoint_parse(&elsewhere, "127.0.0.2:99"), 0);
	peer_set_endpoint(a, &elsewhere);
	assert_int_equal(running_apply(PORT NETWORK A_FULL "PersistentKeepalive = 3\n", NULL), 0);
	peer_get_endpoint(a, &now);
	assert_true(endpoint_same_remote(&now, &elsewhere));

	config = config_copy(running.config);
	peer_of(config, KEY_A)->endpoint_serial++;
	assert_int_equal(apply_config(&running, config, NULL, NULL, &apply_error), 0);
	peer_get_endpoint(a, &now);
	assert_false(endpoint_same_remote(&now, &elsewhere));
}

static void expect_unchanged(const struct config *before, const struct peer *a)
{
	assert_ptr_equal(running.config, before);
	assert_int_equal(running.config->peer_count, 1);
	assert_ptr_equal(running_peer(KEY_A)->peer, a);
	assert_int_equal(running_view()->peer_count, 1);
	assert_int_equal(running_view()->network_count, 1);
	assert_true(port_is_bound(":4711"));
	assert_false(has_link("ovt-ovl2"));
}

static void test_failing(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(4712) };
	const struct config *before;
	const struct peer *a;
	int fd;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL, NULL), 0);
	before = running.config;
	a = running_peer(KEY_A)->peer;

	/* The last step fails: all before it is taken back, a new network's TAP too. */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(running_apply("[Interface]\nPrivateKey = " PRIVATE "\nListenPort = 4712\n"
	                               "[Network]\nBridge = ovl2\n" B_FULL,
	                               NULL),
	                 -EADDRINUSE);
	assert_non_null(strstr(apply_error.text, "4712"));
	expect_unchanged(before, a);
	close(fd);

	/* A network fails behind one that did not. */
	assert_true(netns_run("ip tuntap add ovt-ovl3 mode tap && ip link set ovt-ovl3 up"));
	assert_int_equal(running_apply(PORT "[Network]\nBridge = ovl2\n[Network]\nBridge = ovl3\n"
	                                    "Subnet = 172.30.0.0/16\n" B_FULL,
	                               NULL),
	                 -EBUSY);
	assert_non_null(strstr(apply_error.text, "ovl3"));
	expect_unchanged(before, a);
}

static void test_socket(void **state)
{
	struct apply_summary summary;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK, NULL), 0);
	assert_int_equal(running_apply(INTERFACE "ListenPort = 4713\n" NETWORK, &summary), 0);
	assert_true(summary.socket_changed);
	assert_true(port_is_bound(":4713"));
	assert_false(port_is_bound(":4711"));
	assert_int_equal(
		running_apply(INTERFACE "ListenPort = 4713\nFwMark = 7\n" NETWORK, &summary), 0);
	assert_false(summary.socket_changed);

	/* A port that the kernel chose, and then its number: the same socket goes on. */
	assert_int_equal(running_apply(INTERFACE NETWORK, NULL), 0);
	assert_int_equal(running_apply(INTERFACE NETWORK, &summary), 0);
	assert_false(summary.socket_changed);
	struct config *config = config_copy(running.config);

	assert_int_not_equal(running.udp[0].port, 0);
	config->listen_port = running.udp[0].port;
	assert_int_equal(apply_config(&running, config, NULL, &summary, &apply_error), 0);
	assert_false(summary.socket_changed);
}

static bool is_attached(void)
{
	return running_view()->networks[0].attached;
}

static bool is_detached(void)
{
	return !is_attached();
}

static bool has_lost_tap(void)
{
	return atomic_load(&running.networks[0]->network->lost);
}

static bool has_new_tap(void)
{
	return is_attached() && !has_lost_tap();
}

static void test_networks(void **state)
{
	const uint8_t inside[4] = { 172, 20, 1, 1 }, gateway[4] = { 172, 20, 0, 1 };
	const struct view_network *net;
	struct apply_summary summary;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL, NULL), 0);
	upkeep_tick(&running);
	assert_false(is_attached());
	assert_int_equal(running_view()->networks[0].subnet_count, 0);

	/* Subnet and gateways follow the bridge. */
	assert_true(
		netns_run("ip link add ovl0 type bridge && ip addr add 172.20.0.1/16 dev ovl0 && "
	                  "ip link set ovl0 up"));
	assert_true(running_wait(is_attached));
	net = &running_view()->networks[0];
	assert_true(view_in_subnet(net, 4, inside));
	assert_true(view_is_gateway(net, 4, gateway));
	assert_ptr_equal(view_remote(running_view(), net, 4, inside), running_peer(KEY_A)->peer);

	/* A Subnet of the file's own takes the place of the bridge's. */
	assert_int_equal(
		running_apply(PORT NETWORK "Subnet = 172.21.0.0/16\nMTU = 1400\n" A_FULL, &summary),
		0);
	assert_int_equal(summary.networks_added + summary.networks_removed, 0);
	net = &running_view()->networks[0];
	assert_true(net->attached);
	assert_false(view_in_subnet(net, 4, inside));
	assert_int_equal(net->mtu, 1400);

	assert_true(netns_run("ip link del ovl0"));
	assert_true(running_wait(is_detached));
	assert_true(netns_run("ip link add ovl0 type bridge && ip link set ovl0 up"));
	assert_true(running_wait(is_attached));

	/* Another network in its place. */
	assert_int_equal(running_apply(PORT "[Network]\nBridge = ovl1\n", &summary), 0);
	assert_int_equal(summary.networks_added, 1);
	assert_int_equal(summary.networks_removed, 1);
	assert_false(has_link("ovt-ovl0"));
	assert_true(has_link("ovt-ovl1"));
}

#define BRIDGED   "[Network]\nBridge = ovl7\nMode = bridged\nVNI = 7\n"
#define BRIDGED42 "[Network]\nBridge = ovl42\nMode = bridged\nVNI = 42\n"

static const struct view_network *view_of(uint32_t vni)
{
	const struct view_network *net = view_find_vni(running_view(), vni);

	assert_non_null(net);
	return net;
}

static struct member *member_of(uint32_t vni, const char *base64)
{
	return view_find_member(view_of(vni), running_peer(base64)->peer);
}

/* Members last as long as peer, network and grant do. */
static void test_members(void **state)
{
	struct member *a7, *b7, *a42;
	struct apply_summary summary;
	struct network *network;

	(void)state;
	assert_int_equal(running_apply(PORT NETWORK BRIDGED BRIDGED42 A_FULL "VNIs = 7, 42\n" B_FULL
	                                                                     "VNIs = 7\n",
	                               NULL),
	                 0);
	assert_int_equal(running_view()->vni_count, 2);
	assert_int_equal(view_of(7)->mode, NETWORK_BRIDGED);
	assert_int_equal(view_of(7)->member_count, 2);
	assert_int_equal(view_of(42)->member_count, 1);
	assert_null(member_of(42, KEY_B));
	a7 = member_of(7, KEY_A);
	b7 = member_of(7, KEY_B);
	a42 = member_of(42, KEY_A);
	assert_true(a7 && b7 && a42 && a7 != a42);
	network = view_of(7)->network;
	assert_ptr_equal(a7->network, network);
	assert_ptr_equal(a7->peer, running_peer(KEY_A)->peer);
	assert_non_null(network->fdb);
	assert_null(network->neigh);

	/* Another order, B has 42 as well, A has 7 no more, and another peer has it. */
	assert_int_equal(running_apply(PORT BRIDGED42 BRIDGED NETWORK B_FULL
	                               "VNIs = 7, 42\n" A_FULL
	                               "VNIs = 42\n[Peer]\nPublicKey = " KEY_C "\nVNIs = 7\n",
	                               &summary),
	                 0);
	assert_int_equal(summary.networks_added + summary.networks_removed, 0);
	assert_int_equal(summary.peers_changed, 2);
	assert_ptr_equal(view_of(7)->network, network);
	assert_null(member_of(7, KEY_A));
	assert_ptr_equal(member_of(7, KEY_B), b7);
	assert_ptr_equal(member_of(42, KEY_A), a42);
	assert_non_null(member_of(42, KEY_B));
	assert_non_null(member_of(7, KEY_C));

	/* Peers go, at run time say; a configuration that fails changes nothing. */
	assert_int_equal(running_apply(PORT NETWORK BRIDGED B_FULL "VNIs = 7\n", NULL), 0);
	assert_ptr_equal(member_of(7, KEY_B), b7);
	assert_int_equal(view_of(7)->member_count, 1);
	assert_null(view_find_vni(running_view(), 42));
	assert_true(netns_run("ip link add ovt-ovl42 type veth peer name v42"));
	assert_true(running_apply(PORT NETWORK BRIDGED BRIDGED42 B_FULL "VNIs = 7, 42\n" A_FULL
	                                                                "VNIs = 7\n",
	                          NULL) < 0);
	assert_int_equal(view_of(7)->member_count, 1);
	assert_ptr_equal(member_of(7, KEY_B), b7);
	assert_int_equal(running_apply(PORT NETWORK BRIDGED B_FULL "VNIs = 7\n", NULL), 0);
	assert_ptr_equal(member_of(7, KEY_B), b7);
}

/* Guards change in place; another VNI or mode is another network. */
static void test_guards(void **state)
{
	struct apply_summary summary;
	struct network *network;
	struct member *a;

	(void)state;
	assert_int_equal(running_apply(PORT BRIDGED A_FULL "VNIs = 7\n", NULL), 0);
	network = view_of(7)->network;
	a = member_of(7, KEY_A);
	assert_false(atomic_load(&a->may_route) || atomic_load(&network->local.may_route));

	assert_int_equal(running_apply(PORT BRIDGED "Guard = strict\nVLANs = 5\nMTU = 1300\n"
	                                            "RouterAdverts = local\n"
	                                            "DHCPServers = 3p7b\n" A_FULL "VNIs = 7\n",
	                               &summary),
	                 0);
	assert_int_equal(summary.networks_added + summary.networks_removed + summary.peers_changed,
	                 0);
	assert_ptr_equal(view_of(7)->network, network);
	assert_ptr_equal(member_of(7, KEY_A), a);
	assert_int_equal(view_of(7)->guards.mode, GUARD_STRICT);
	assert_int_equal(view_of(7)->guards.vlans, GUARD_VLANS_LIST);
	assert_int_equal(view_of(7)->mtu, 1300);
	assert_true(atomic_load(&network->local.may_route));
	assert_false(atomic_load(&a->may_route));
	assert_true(atomic_load(&a->may_serve_dhcp));
	assert_false(atomic_load(&network->local.may_serve_dhcp));
	assert_false(view_of(7)->guards.any_router);

	assert_int_equal(
		running_apply(PORT BRIDGED "RouterAdverts = all\n" A_FULL "VNIs = 7\n", NULL), 0);
	assert_true(view_of(7)->guards.any_router);
	assert_true(atomic_load(&a->may_route) && atomic_load(&network->local.may_route));
	assert_false(atomic_load(&a->may_serve_dhcp));

	assert_int_equal(running_apply(PORT
	                               "[Network]\nBridge = ovl7\nMode = bridged\nVNI = 8\n" A_FULL
	                               "VNIs = 8\n",
	                               &summary),
	                 0);
	assert_int_equal(summary.networks_added, 1);
	assert_int_equal(summary.networks_removed, 1);
	assert_int_equal(summary.peers_changed, 1);
	assert_ptr_not_equal(member_of(8, KEY_A), a);
	assert_null(view_find_vni(running_view(), 7));
	assert_int_equal(running_apply(PORT "[Network]\nBridge = ovl7\n" A_FULL, &summary), 0);
	assert_int_equal(summary.networks_added, 1);
	assert_int_equal(running_view()->vni_count, 0);
}

static bool is_fixed_at(const struct fdb_key *key, const struct member *owner)
{
	struct fdb_place place;

	return fdb_lookup(view_of(7)->network->fdb, key, device_now(running.device), &place) &&
	       place.owner == owner && place.source == FDB_STATIC;
}

static uint32_t entries(void)
{
	struct fdb_counts counts;

	fdb_get_counts(view_of(7)->network->fdb, &counts);
	return counts.entries;
}

/* Whose an address is by AllowedIPs when the guard is set, or they change, has it. */
static void test_taken_before(void **state)
{
	static const uint8_t five[] = { 2, 0, 0, 0, 0, 5 };
	const struct fdb_key mac = fdb_key_mac(five);
	const struct prefix address = prefix_of("192.0.2.5");
	const struct fdb_key ip = fdb_key_ip(4, address.addr);
	struct fdb_question question;
	struct fdb_place place;
	struct fdb *fdb;
	bool ask;

	(void)state;
	assert_int_equal(running_apply(PORT BRIDGED A_FULL "VNIs = 7\n", NULL), 0);
	fdb = view_of(7)->network->fdb;
	assert_int_equal(fdb_claim(fdb, member_of(7, KEY_A), &ip, five, FDB_ANNOUNCED,
	                           device_now(running.device), &ask, &question),
	                 FDB_CAME);
	assert_int_equal(running_apply(PORT BRIDGED "Guard = strict\n" A_FULL
	                                            "VNIs = 7\nAllowedIPs = 192.0.2.0/24\n",
	                               NULL),
	                 0);
	assert_true(fdb_lookup(fdb, &ip, device_now(running.device), &place));
	assert_int_equal(running_apply(PORT BRIDGED "Guard = strict\n" A_FULL "VNIs = 7\n", NULL),
	                 0);
	assert_false(fdb_lookup(fdb, &ip, device_now(running.device), &place));
	assert_true(fdb_lookup(fdb, &mac, device_now(running.device), &place));
}

static bool is_known_at(const struct fdb_key *key, const struct member *owner)
{
	struct fdb_place place;

	return fdb_lookup(view_of(7)->network->fdb, key, device_now(running.device), &place) &&
	       place.owner == owner;
}

static const uint8_t bridge_mac[] = { 2, 7, 0, 0, 0, 1 };

static bool host_has_its_own(void)
{
	const struct fdb_key mac = fdb_key_mac(bridge_mac);
	const struct fdb_key ip = fdb_key_ip(4, (const uint8_t[]){ 172, 27, 0, 1 });
	const struct member *local = &view_of(7)->network->local;

	return is_known_at(&mac, local) && is_known_at(&ip, local);
}

/* A bridge's MAC and address are its own, whoever had them while it was not there. */
static void test_taken_from_the_bridge(void **state)
{
	const struct fdb_key mac = fdb_key_mac(bridge_mac);
	const struct fdb_key ip = fdb_key_ip(4, (const uint8_t[]){ 172, 27, 0, 1 });
	struct fdb_question question;
	bool ask;

	(void)state;
	assert_int_equal(running_apply(PORT BRIDGED A_FULL "VNIs = 7\n", NULL), 0);
	assert_int_equal(fdb_claim(view_of(7)->network->fdb, member_of(7, KEY_A), &ip, bridge_mac,
	                           FDB_ANNOUNCED, device_now(running.device), &ask, &question),
	                 FDB_CAME);
	assert_true(is_known_at(&mac, member_of(7, KEY_A)));
	assert_true(netns_run("ip link add ovl7 address 02:07:00:00:00:01 type bridge && "
	                      "ip addr add 172.27.0.1/16 dev ovl7 && ip link set ovl7 up"));
	assert_true(running_wait_ms(host_has_its_own, 2500));
}

static void test_static_entries(void **state)
{
	static const uint8_t five[] = { 2, 0, 0, 0, 0, 5 }, six[] = { 2, 0, 0, 0, 0, 6 };
	const struct fdb_key mac5 = fdb_key_mac(five), mac6 = fdb_key_mac(six);
	const struct prefix address = prefix_of("172.20.0.6");
	const struct fdb_key ip6 = fdb_key_ip(4, address.addr);
	const struct member *local, *a;
	struct config *config;

	(void)state;
	assert_int_equal(running_apply(PORT BRIDGED "FDB = 2:0:0:0:0:5 local\n"
	                                            "FDB = 172.20.0.6 2:0:0:0:0:6 3p7b\n" A_FULL
	                                            "VNIs = 7\n" B_FULL "VNIs = 7\n",
	                               NULL),
	                 0);
	local = &view_of(7)->network->local;
	a = member_of(7, KEY_A);
	assert_true(is_fixed_at(&mac5, local));
	assert_true(is_fixed_at(&mac6, a) && is_fixed_at(&ip6, a));
	assert_int_equal(entries(), 3);
	assert_int_equal(local->statics, 1);
	assert_int_equal(a->statics, 2);

	/* To another owner; an address goes, and its MAC stays for another's sake. */
	assert_int_equal(running_apply(PORT BRIDGED "FDB = 2:0:0:0:0:5 AQEB\n"
	                                            "FDB = 2:0:0:0:0:6 3p7b\n" A_FULL
	                                            "VNIs = 7\n" B_FULL "VNIs = 7\n",
	                               NULL),
	                 0);
	assert_true(is_fixed_at(&mac5, member_of(7, KEY_B)));
	assert_true(is_fixed_at(&mac6, a) && !is_fixed_at(&ip6, a));
	assert_int_equal(entries(), 2);
	assert_int_equal(local->statics, 0);
	assert_int_equal(a->statics, 1);

	/* Who has it is removed at run time, and comes back. */
	config = config_copy(running.config);
	config_remove_peer(config, peer_of(config, KEY_B));
	assert_int_equal(apply_config(&running, config, NULL, NULL, &apply_error), 0);
	assert_int_equal(entries(), 1);
	assert_int_equal(running_apply(PORT BRIDGED "FDB = 2:0:0:0:0:5 AQEB\n" A_FULL
	                                            "VNIs = 7\n" B_FULL "VNIs = 7\n",
	                               NULL),
	                 0);
	assert_true(is_fixed_at(&mac5, member_of(7, KEY_B)));
	assert_int_equal(entries(), 1);
	assert_int_equal(running_apply(PORT BRIDGED A_FULL "VNIs = 7\n", NULL), 0);
	assert_int_equal(entries(), 0);
}

static void test_lost_tap(void **state)
{
	(void)state;
	assert_true(netns_run("ip link add ovl0 type bridge && ip link set ovl0 up"));
	assert_int_equal(running_apply(PORT NETWORK, NULL), 0);
	assert_true(running_wait(is_attached));
	assert_true(netns_run("ip link del ovt-ovl0"));
	assert_true(running_wait(has_new_tap));
	assert_true(has_link("ovt-ovl0"));
}

static const char *last_event(void)
{
	static char kind[32];
	json_t *reply = events_show(&running, 0);
	const json_t *list = json_object_get(reply, "events");
	const json_t *last = json_array_get(list, json_array_size(list) - 1);
	const char *said = json_string_value(json_object_get(last, "kind"));

	(void)snprintf(kind, sizeof(kind), "%s", said ? said : "");
	json_decref(reply);
	return kind;
}

static bool tells_attached(void)
{
	return strcmp(last_event(), "attached") == 0;
}

static bool tells_detached(void)
{
	return strcmp(last_event(), "detached") == 0;
}

/* Somebody has taken its name meanwhile: the network is told to be off, and on again. */
static void test_lost_tap_stays_away(void **state)
{
	(void)state;
	running.events = events_open();
	assert_non_null(running.events);
	assert_true(netns_run("ip link add ovl0 type bridge && ip link set ovl0 up"));
	assert_int_equal(running_apply(PORT NETWORK, NULL), 0);
	assert_true(running_wait(tells_attached));
	assert_true(netns_run("ip link del ovt-ovl0 && ip link add ovt-ovl0 type bridge"));
	assert_true(running_wait_ms(tells_detached, 3000));
	assert_true(netns_run("ip link del ovt-ovl0"));
	assert_true(running_wait(tells_attached));
	events_close(running.events);
	running.events = NULL;
}

/* The tunnel MTU follows the device towards the peer: 1500 less 60, or less 80 over IPv6. */
static bool mtu_is_1440(void)
{
	return atomic_load(&running_peer(KEY_A)->peer->tunnel_mtu) == 1440;
}

static bool mtu_is_1340(void)
{
	return atomic_load(&running_peer(KEY_A)->peer->tunnel_mtu) == 1340;
}

static bool mtu_is_1320(void)
{
	return atomic_load(&running_peer(KEY_A)->peer->tunnel_mtu) == 1320;
}

static void test_path_mtu(void **state)
{
	struct endpoint ipv6;

	(void)state;
	assert_true(netns_run("ip link add v0 type veth peer name v1 && ip link set v0 up && "
	                      "ip link set v1 up && ip addr add 192.0.2.1/24 dev v0 && "
	                      "ip addr add 2001:db8::1/64 dev v0 nodad"));
	assert_int_equal(running_apply(PORT NETWORK PEER_A "Endpoint = 192.0.2.2:9\n", NULL), 0);
	assert_int_equal(atomic_load(&running_peer(KEY_A)->peer->tunnel_mtu), PEER_MTU_DEFAULT);
	assert_true(running_wait(mtu_is_1440));
	assert_true(netns_run("ip link set v0 mtu 1400"));
	upkeep_paths_changed(&running);
	assert_true(running_wait(mtu_is_1340));
	assert_int_equal(endpoint_parse(&ipv6, "[2001:db8::2]:9"), 0);
	peer_set_endpoint(running_peer(KEY_A)->peer, &ipv6);
	assert_true(running_wait(mtu_is_1320));
}

static bool is_unserved(void)
{
	return is_attached() && running.networks[0]->claims[0][0] &&
	       running.networks[0]->claims[1][0];
}

static bool serves_ipv4(void)
{
	return is_attached() && !running.networks[0]->claims[0][0];
}

/* A peer claims all that the bridge has: nothing of it is this network's business. */
static void test_claimed_whole(void **state)
{
	const uint8_t inside[4] = { 172, 20, 0, 2 }, inside6[16] = { 0xfd, 0x20, [15] = 2 };
	const struct view_network *net;

	(void)state;
	assert_true(
		netns_run("ip link add ovl0 type bridge && ip addr add 172.20.0.1/16 dev ovl0 && "
	                  "ip addr add fd20::1/64 dev ovl0 nodad && ip link set ovl0 up"));
	assert_int_equal(running_apply(PORT NETWORK PEER_A
	                               "Name = hub\nAllowedIPs = 0.0.0.0/0, ::/0\n",
	                               NULL),
	                 0);
	assert_true(running_wait(is_unserved));
	net = &running_view()->networks[0];
	assert_int_equal(net->subnet_count, 0);
	assert_null(view_remote(running_view(), net, 4, inside));
	assert_null(view_remote(running_view(), net, 6, inside6));
	assert_string_equal(
		run_network_problem(running.networks[0]),
		"peer hub's AllowedIPs 0.0.0.0/0 claims all of Subnet 172.20.0.0/16, so "
		"nothing lives here: give the network a Range");

	/* A Range of one family says nothing of the other. */
	assert_int_equal(running_apply(PORT NETWORK "Range = 172.20.0.0/24\n" PEER_A
	                                            "Name = hub\nAllowedIPs = 0.0.0.0/0, ::/0\n",
	                               NULL),
	                 0);
	assert_true(running_wait(serves_ipv4));
	net = &running_view()->networks[0];
	assert_int_equal(net->subnet_count, 1);
	assert_true(view_is_local(running_view(), net, 4, inside));
	assert_null(view_remote(running_view(), net, 6, inside6));
	assert_non_null(strstr(run_network_problem(running.networks[0]), "::/0 claims all of"));

	/* A typing error that no look at the file alone can find. */
	assert_int_equal(running_apply(PORT NETWORK "Range = 172.21.0.0/24, fd20::/80\n", NULL), 0);
	assert_string_equal(
		run_network_problem(running.networks[0]),
		"the bridge ovl0 has no address of Range 172.21.0.0/24, so what its containers "
		"send is dropped (out-source): set Range to the --ip-range of their network");

	assert_int_equal(running_apply(PORT NETWORK A_FULL, NULL), 0);
	assert_null(run_network_problem(running.networks[0]));
	assert_int_equal(running_view()->networks[0].subnet_count, 2);
}

static void test_end(void **state)
{
	(void)state;
	assert_int_equal(running_apply(PORT NETWORK A_FULL, NULL), 0);
	apply_end(&running);
	assert_false(has_link("ovt-ovl0"));
	assert_false(port_is_bound(":4711"));
	assert_null(running.config);
}

/* Without memory the end is the same one, and nothing is given up twice. */
static void test_end_starving(void **state)
{
	(void)state;
	assert_int_equal(running_apply(PORT NETWORK BRIDGED A_FULL "VNIs = 7\n" B_FULL, NULL), 0);
	starving = true;
	apply_end(&running);
	starving = false;
	assert_false(has_link("ovt-ovl0"));
	assert_int_equal(running_view()->network_count, 0);
	assert_int_equal(running_view()->peer_count, 0);
}

/* changes.h */

static char lines[4096];

static void note(void *arg, const char *text)
{
	(void)arg;
	strcat(strcat(lines, text), "\n");
}

static size_t list_changes(const char *base_text, const char *active_text, const char *next_text)
{
	struct config *base = parse(base_text), *active = parse(active_text),
		      *next = parse(next_text);
	size_t count;

	lines[0] = '\0';
	count = changes_list(base, active, next, note, NULL);
	config_free(base);
	config_free(active);
	config_free(next);
	return count;
}

#define METRICS(last) "[Metrics]\nListen = 127.0.0.1:900" #last "\n"

static void test_changes(void **state)
{
	const char *base = PORT NETWORK A_FULL B_FULL;

	(void)state;
	assert_int_equal(list_changes(base, base, INTERFACE NETWORK), 0);
	/* By a sync with another file. */
	assert_int_equal(list_changes(PORT NETWORK, PORT NETWORK METRICS(1), PORT NETWORK), 1);
	assert_string_equal(lines, "[Metrics] Listen was set to 127.0.0.1:9001\n");
	assert_int_equal(
		list_changes(PORT NETWORK METRICS(1), PORT NETWORK, PORT NETWORK METRICS(2)), 1);
	assert_string_equal(lines, "[Metrics] Listen was set to (none)\n");
	assert_int_equal(
		list_changes(PORT NETWORK, PORT NETWORK METRICS(1), PORT NETWORK METRICS(1)), 0);
	assert_int_equal(
		list_changes(PORT NETWORK METRICS(1), PORT NETWORK METRICS(1), PORT NETWORK), 0);
	/* What the file has by now is not dropped; what it takes away it means to. */
	assert_int_equal(list_changes(base, PORT NETWORK A_FULL, PORT NETWORK A_FULL), 0);
	assert_int_equal(list_changes(base, PORT NETWORK A_FULL "PersistentKeepalive = 3\n" B_FULL,
	                              PORT NETWORK B_FULL),
	                 0);

	assert_int_equal(list_changes(base,
	                              PORT NETWORK PEER_A "AllowedIPs = 172.20.1.0/24\n"
	                                                  "Endpoint = 127.0.0.1:8\n" B_FULL,
	                              PORT NETWORK PEER_A "Endpoint = 127.0.0.1:8\n" B_FULL),
	                 0);

	assert_int_equal(list_changes(base,
	                              INTERFACE "ListenPort = 4712\nFwMark = 1\n" NETWORK PEER_A
	                                        "AllowedIPs = 172.20.1.0/24, 172.20.3.0/24\n"
	                                        "PersistentKeepalive = 3\nName = a\n"
	                                        "Endpoint = 127.0.0.1:10\nPresharedKey = " KEY_C
	                                        "\n[Peer]\nPublicKey = " KEY_C "\n",
	                              base),
	                 9);
	assert_non_null(strstr(lines, "ListenPort was set to 4712"));
	assert_non_null(strstr(lines, "FwMark was set to 0x1"));
	assert_non_null(strstr(lines, "peer a: AllowedIPs 172.20.3.0/24 was added"));
	assert_non_null(strstr(lines, "peer a: PersistentKeepalive was set to 3 s"));
	assert_non_null(strstr(lines, "peer a: Name was changed"));
	assert_non_null(strstr(lines, "peer a: Endpoint was set to 127.0.0.1:10"));
	assert_non_null(strstr(lines, "peer a: PresharedKey was changed"));
	assert_non_null(strstr(lines, "peer AgICAgICAg… was added"));
	assert_non_null(strstr(lines, "peer AQEBAQEBAQ… was removed"));
	assert_null(strstr(lines, KEY_C)); /* no key in full */
	assert_int_equal(
		list_changes(base, PORT NETWORK PEER_A "Endpoint = 127.0.0.1:9\n" B_FULL, base), 1);
	assert_string_equal(lines, "peer 3p7bfXt9wb…: AllowedIPs 172.20.1.0/24 was removed\n");
}

#define RUNNING(test) cmocka_unit_test_setup_teardown(test, running_open, running_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		RUNNING(test_first_and_same),
		RUNNING(test_peers),
		RUNNING(test_roamed),
		RUNNING(test_failing),
		RUNNING(test_socket),
		RUNNING(test_networks),
		RUNNING(test_members),
		RUNNING(test_guards),
		RUNNING(test_taken_before),
		RUNNING(test_taken_from_the_bridge),
		RUNNING(test_static_entries),
		RUNNING(test_lost_tap),
		RUNNING(test_lost_tap_stays_away),
		RUNNING(test_path_mtu),
		RUNNING(test_claimed_whole),
		RUNNING(test_end),
		RUNNING(test_end_starving),
	};

	if (secret_init() || aead_init())
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
