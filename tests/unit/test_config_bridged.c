/* SPDX-License-Identifier: MIT */
/* peers.conf of bridged networks: what the keys mean, and the one line each mistake gives. */
#include "config_files.h"

#include <stdlib.h>

#define BRIDGED  INTERFACE "[Network]\nBridge = ovl0\nMode = bridged\nVNI = 7\n" /* 6 lines */
#define BRIDGED2 "[Network]\nBridge = ovl1\nMode = bridged\nVNI = 42\n"
#define MEMBER_A "[Peer]\nName = barge2\nPublicKey = " KEY_A "\nVNIs = 7\n" /* 4 lines */

static struct fdb_key mac_key(const char *text)
{
	uint8_t mac[ETHER_ADDR_SIZE];

	assert_true(config_parse_mac(mac, text));
	return fdb_key_mac(mac);
}

static void test_defaults(void **state)
{
	static const struct guards none;
	struct config *config = parse(BRIDGED);
	const struct config_network *network = &config->networks[0];

	(void)state;
	assert_true(network->bridged);
	assert_int_equal(network->vni, 7);
	assert_int_equal(network->macs, FDB_MACS_MAX);
	assert_memory_equal(&network->guards, &none, sizeof(none));
	assert_false(network->routers.all || network->routers.local || network->routers.count);
	assert_false(network->dhcp_servers.all || network->dhcp_servers.local);
	assert_int_equal(network->station_count, 0);
	config_free(config);
}

static const char everything[] = BRIDGED
	"Guard = Strict\n"
	"VLANs = 1, 10-12\nVLANs = 4094\n"
	"RouterAdverts = local, barge2\n"
	"DHCPServers = all\n"
	"LinkControl = pass\n"
	"UnknownUnicast = drop\n"
	"MACs = 16384\n"
	"ArpCheck = off\n"
	"HostRouting = pass\n"
	"FDB = 02:00:00:00:00:05 barge2\n"
	"FDB = 172.20.0.6 02:0:0:0:0:6 local\n"
	"FDB = 172.20.0.6@10 02:0:0:0:0:5 barge2\n"
	"FDB = fd00::6@s100.20 02:0:0:0:0:5 barge2\n"
	"FDB = fd00::6\t02:00:00:00:00:05 " KEY_A "\n"
	"MTU = 1300\n" BRIDGED2 "[Network]\nBridge = ovl2\n" MEMBER_A "VNIs = 42, 7, 42\n" PEER_B;

static void check_everything(const struct config *config)
{
	const struct config_network *network = &config->networks[0];
	const struct config_peer *a = peer_of(config, KEY_A);
	const struct config_station *station;
	struct prefix address = prefix_of("172.20.0.6");
	struct fdb_key key;

	assert_int_equal(network->guards.mode, GUARD_STRICT);
	assert_int_equal(network->guards.vlans, GUARD_VLANS_LIST);
	assert_true(network->guards.vlan_list[0] == (1ULL << 1 | 7ULL << 10));
	assert_true(network->guards.vlan_list[GUARD_VLAN_WORDS - 1] == 1ULL << 62);
	assert_true(network->guards.link_control && network->guards.drop_unknown &&
	            network->guards.arp_mismatch && network->guards.host_routing);
	assert_true(network->routers.local && !network->routers.all);
	assert_int_equal(network->routers.count, 1);
	assert_memory_equal(network->routers.peers[0].key, a->public_key, KEY_SIZE);
	assert_true(network->dhcp_servers.all && !network->dhcp_servers.local);
	assert_int_equal(network->macs, 16384);
	assert_int_equal(network->mtu, 1300);

	assert_int_equal(network->station_count, 5);
	key = mac_key("02:00:00:00:00:05");
	station = config_find_station(network, &key);
	assert_non_null(station);
	assert_false(station->local);
	assert_memory_equal(station->who.key, a->public_key, KEY_SIZE);
	key = fdb_key_ip(4, address.addr);
	station = config_find_station(network, &key);
	assert_non_null(station);
	assert_true(station->local);
	assert_int_equal(station->mac[5], 6);
	store_be16(key.vlans.tag[0].b, 10);
	station = config_find_station(network, &key);
	assert_non_null(station);
	assert_false(station->local);
	key = fdb_key_ip(6, prefix_of("fd00::6").addr);
	station = config_find_station(network, &key);
	assert_non_null(station);
	assert_memory_equal(station->who.key, a->public_key, KEY_SIZE); /* named by it */
	memcpy(&key.vlans, "\x80\x64\0\x14", 4);
	assert_non_null(config_find_station(network, &key));

	assert_int_equal(a->vni_count, 2);
	assert_true(config_peer_has_vni(a, 7) && config_peer_has_vni(a, 42));
	assert_int_equal(peer_of(config, KEY_B)->vni_count, 0);
	assert_false(config->networks[2].bridged);
}

static void test_everything(void **state)
{
	struct config *config = parse(everything), *copy = config_copy(config);

	(void)state;
	check_everything(config);
	assert_non_null(copy);
	check_everything(copy);
	/* Nothing is shared. */
	config_free(config);
	check_everything(copy);
	config_free(copy);
}

static void test_good(void **state)
{
	static const char *const rows[] = {
		BRIDGED "Guard = off\nVLANs = all\nRouterAdverts = none\nDHCPServers = none\n",
		BRIDGED "VLANs = none\nLinkControl = drop\nUnknownUnicast = flood\nArpCheck = on\n"
			"HostRouting = drop\n",
		BRIDGED "RouterAdverts = all\nMACs = 1\n",
		/* in any order, for keys and sections */
		INTERFACE "[Network]\nGuard = learn\nVNI = 16777215\nBridge = b\nMode = bridged\n",
		MEMBER_A BRIDGED "RouterAdverts = barge2\nRouterAdverts = local\n",
		/* by the beginning of a key, as everywhere */
		BRIDGED "DHCPServers = 3p7b\n" MEMBER_A,
		BRIDGED BRIDGED2 MEMBER_A "VNIs = 42\n",
		/* one MAC may be static in two networks */
		BRIDGED "FDB = 02:00:00:00:00:01 local\n" BRIDGED2
			"FDB = 02:00:00:00:00:01 local\n",
		HEAD "Mode = routed\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		config_free(parse(rows[i]));
}

static const struct {
	const char *text;
	const char *error;
} bad[] = {
	{ HEAD "Mode = flat\n", "p.conf:5: Mode \"flat\": expected routed or bridged" },
	{ HEAD "Mode = bridge\n",
	  "p.conf:5: Mode \"bridge\": expected routed or bridged; did you mean \"bridged\"?" },
	{ HEAD "Mode =\n", "p.conf:5: Mode \"\": expected routed or bridged" },
	{ BRIDGED "Mode = routed\n", "p.conf:7: Mode is given twice (line 5)" },
	{ HEAD "Mode = bridged\n",
	  "p.conf:3: the bridged network \"ovl0\" has no VNI; expected 1 to 16777215" },
	{ HEAD "Mode = bridged\nVNI = 0\n", "p.conf:6: VNI \"0\": expected 1 to 16777215" },
	{ HEAD "Mode = bridged\nVNI = 16777216\n",
	  "p.conf:6: VNI \"16777216\": expected 1 to 16777215" },
	{ HEAD "Mode = bridged\nVNI = 0x7\n", "p.conf:6: VNI \"0x7\": expected 1 to 16777215" },
	{ HEAD "VNI = 7\n", "p.conf:5: VNI is a key of bridged networks, and \"ovl0\" is routed; "
	                    "expected Mode = bridged beside it" },
	{ HEAD "\nGuard = strict\nVNI = 7\n",
	  "p.conf:6: Guard is a key of bridged networks, and \"ovl0\" is routed; expected Mode = "
	  "bridged beside it" },
	{ HEAD "FDB = 02:00:00:00:00:01 local\n",
	  "p.conf:5: FDB is a key of bridged networks, and \"ovl0\" is routed; expected Mode = "
	  "bridged beside it" },
	{ BRIDGED "[Network]\nBridge = ovl1\nMode = bridged\nVNI = 7\n",
	  "p.conf:10: VNI \"7\" is used twice; first in network \"ovl0\" (line 6)" },
	{ BRIDGED "[Network]\nBridge = ovl0\nMode = bridged\nVNI = 8\n",
	  "p.conf:8: Bridge \"ovl0\" is used twice; first (line 4)" },
	{ BRIDGED "Subnet = 10.0.0.0/8\n",
	  "p.conf:7: Subnet is a key of routed networks: bridged ones carry frames, whatever the "
	  "address" },
	{ BRIDGED "Range = 10.0.0.0/8\n",
	  "p.conf:7: Range is a key of routed networks: in bridged ones any address may be at any "
	  "host" },
	/* members */
	{ BRIDGED "VNIs = 7\n", "p.conf:7: \"VNIs\" belongs in [Peer], not in [Network]" },
	{ BRIDGED PEER_A "VNIs = 42\n",
	  "p.conf:9: VNIs \"42\": no bridged network has this VNI; expected those of 7" },
	{ HEAD PEER_A "VNIs = 42\n",
	  "p.conf:7: VNIs \"42\": no bridged network has this VNI; there is no bridged network" },
	{ BRIDGED PEER_A "VNIs = 7, 0\n",
	  "p.conf:9: VNIs \"0\": expected numbers of 1 to 16777215, like 7, 42" },
	{ BRIDGED PEER_A "VNIs =\n",
	  "p.conf:9: VNIs \"\": expected numbers of 1 to 16777215, like 7, 42" },
	{ BRIDGED PEER_A "VNI = 7\n", "p.conf:9: \"VNI\" belongs in [Network], not in [Peer]" },
	/* guards */
	{ BRIDGED "Guard = strickt\n",
	  "p.conf:7: Guard \"strickt\": expected learn, strict or off; "
	  "did you mean \"strict\"?" },
	{ BRIDGED "Guards = off\n", "p.conf:7: unknown key \"Guards\"; did you mean \"Guard\"?" },
	{ BRIDGED "LinkControl = yes\n", "p.conf:7: LinkControl \"yes\": expected drop or pass" },
	{ BRIDGED "UnknownUnicast = floods\n",
	  "p.conf:7: UnknownUnicast \"floods\": expected flood or drop; did you mean \"flood\"?" },
	{ BRIDGED "ArpCheck = learn\n", "p.conf:7: ArpCheck \"learn\": expected on or off" },
	{ BRIDGED "HostRouting = off\n", "p.conf:7: HostRouting \"off\": expected drop or pass" },
	{ BRIDGED "MACs = 0\n", "p.conf:7: MACs \"0\": expected 1 to 16384" },
	{ BRIDGED "MACs = 16385\n", "p.conf:7: MACs \"16385\": expected 1 to 16384" },
	{ BRIDGED "VLANs = 0\n",
	  "p.conf:7: VLANs \"0\": expected none, all, or VLANs of 1 to 4094, like 1, 10-20" },
	{ BRIDGED "VLANs = 4095\n",
	  "p.conf:7: VLANs \"4095\": expected none, all, or VLANs of 1 to 4094, like 1, 10-20" },
	{ BRIDGED "VLANs = 1, 20-10\n",
	  "p.conf:7: VLANs \"20-10\": expected none, all, or VLANs of 1 to 4094, like 1, 10-20" },
	{ BRIDGED "VLANs = 1, all\n",
	  "p.conf:7: VLANs: none and all stand alone, in a list of nothing else" },
	{ BRIDGED "VLANs = none\nVLANs = 1\n",
	  "p.conf:8: VLANs: none and all stand alone, in a list of nothing else" },
	{ BRIDGED "VLANs = 1\nVLANs = all\n",
	  "p.conf:8: VLANs: none and all stand alone, in a list of nothing else" },
	{ BRIDGED "RouterAdverts = barge3\n" MEMBER_A,
	  "p.conf:7: RouterAdverts: no peer \"barge3\"; did you mean \"barge2\"?" },
	{ BRIDGED "DHCPServers = local,\n",
	  "p.conf:7: DHCPServers \"\": expected none, all, local or peers" },
	{ BRIDGED "DHCPServers = local, none\n",
	  "p.conf:7: DHCPServers: none and all stand alone, in a list of nothing else" },
	{ BRIDGED "DHCPServers = none\nDHCPServers = local\n",
	  "p.conf:8: DHCPServers: none and all stand alone, in a list of nothing else" },
	{ BRIDGED "DHCPServers = barge2\n" BRIDGED2
	          "[Peer]\nName = barge2\nVNIs = 42\nPublicKey = " KEY_A "\n",
	  "p.conf:7: DHCPServers: peer \"barge2\" is no member of network \"ovl0\"; its VNIs lack "
	  "7" },
	/* static entries */
	{ BRIDGED "FDB = 03:00:00:00:00:01 local\n",
	  "p.conf:7: FDB \"03:00:00:00:00:01\": a multicast MAC; no station has one" },
	{ BRIDGED "FDB = 00:00:00:00:00:00 local\n",
	  "p.conf:7: FDB \"00:00:00:00:00:00\": all zero; no station has this MAC" },
	{ BRIDGED "FDB = 02:00:00:00:01 local\n",
	  "p.conf:7: FDB \"02:00:00:00:01 local\": expected MAC PEER, MAC local, or ADDRESS before "
	  "these" },
	{ BRIDGED "FDB = 02:00:00:00:00:01\n",
	  "p.conf:7: FDB \"02:00:00:00:00:01\": expected MAC PEER, MAC local, or ADDRESS before "
	  "these" },
	{ BRIDGED "FDB = 02:00:00:00:00:01 a b\n",
	  "p.conf:7: FDB \"02:00:00:00:00:01 a b\": expected MAC PEER, MAC local, or ADDRESS "
	  "before "
	  "these" },
	{ BRIDGED "FDB = 10.0.0.0/8 02:00:00:00:00:01 local\n",
	  "p.conf:7: FDB \"10.0.0.0/8 02:00:00:00:00:01 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS before these" },
	{ BRIDGED "FDB = 10.0.0.1@10 2:0:0:0:0:1 local\nFDB = 10.0.0.1@10 2:0:0:0:0:1 local\n",
	  "p.conf:8: FDB: this station has an entry already (line 7)" },
	{ BRIDGED "FDB = 10.0.0.1@ 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@ 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@0 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@0 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@4095 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@4095 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@10. 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@10. 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@1.2.3 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@1.2.3 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@s 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@s 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 10.0.0.1@10@11 2:0:0:0:0:1 local\n",
	  "p.conf:7: FDB \"10.0.0.1@10@11 2:0:0:0:0:1 local\": expected MAC PEER, MAC local, or "
	  "ADDRESS "
	  "before these" },
	{ BRIDGED "FDB = 224.0.0.1 02:00:00:00:00:01 local\n",
	  "p.conf:7: FDB: expected a MAC and an address that a container can have" },
	{ BRIDGED "FDB = 02:00:00:00:00:01 barge\n" MEMBER_A,
	  "p.conf:7: FDB: no peer \"barge\"; did you mean \"barge2\"?" },
	{ BRIDGED "FDB = 02:00:00:00:00:01 local\nFDB = 2:0:0:0:0:1 barge2\n" MEMBER_A,
	  "p.conf:8: FDB: this station has an entry already (line 7)" },
	{ BRIDGED "FDB = 10.0.0.1 2:0:0:0:0:1 local\nFDB = 2:0:0:0:0:1 barge2\n" MEMBER_A,
	  "p.conf:8: FDB: this MAC is another's already (line 7)" },
};

static void test_bad(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config *config = parse_with(bad[i].text, strlen(bad[i].text), NULL);

		if (!config && strcmp(last_error, bad[i].error) == 0)
			continue;
		print_error("expected: %s\ngot:      %s\n", bad[i].error,
		            config ? "a configuration" : last_error);
		config_free(config);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

/* As many as networks, however often each is said. */
static void test_many_vnis(void **state)
{
	static char text[100000];
	int len;

	(void)state;
	for (int more = 0; more < 2; more++) {
		len = snprintf(text, sizeof(text), "%s", INTERFACE);
		for (int i = 1; i <= CONFIG_NETWORKS_MAX; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
			                "[Network]\nBridge = b%d\nMode = bridged\nVNI = %d\n", i,
			                i);
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%s", MEMBER_A "VNIs = 7");
		for (int i = 0; i < 10 * CONFIG_NETWORKS_MAX; i++)
			len += snprintf(text + len, sizeof(text) - (size_t)len, ",%d",
			                i % CONFIG_NETWORKS_MAX + 1);
		if (!more) {
			config_free(parse(text));
			continue;
		}
		len += snprintf(text + len, sizeof(text) - (size_t)len, ",1000");
		assert_null(parse_with(text, (size_t)len, NULL));
		assert_string_equal(last_error, "p.conf:263: VNIs \"1000\": expected 64 at the "
		                                "most, as of networks");
	}
}

static void test_macs(void **state)
{
	static const char *const no[] = { "",
		                          ":",
		                          "02:00:00:00:00",
		                          "02:00:00:00:00:00:00",
		                          "02:00:00:00:00:000",
		                          "02:00:00:00:00:0g",
		                          "02-00-00-00-00-00",
		                          "02:00:00:00:00:" };
	uint8_t mac[ETHER_ADDR_SIZE];

	(void)state;
	assert_true(config_parse_mac(mac, "aB:0:ff:10:01:9"));
	assert_memory_equal(mac, "\xab\0\xff\x10\1\x9", ETHER_ADDR_SIZE);
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(config_parse_mac(mac, no[i]));
}

/* Peers come and go at run time; who is named stays the same peer, by its key. */
static void test_edits(void **state)
{
	struct config *config = parse(BRIDGED "RouterAdverts = barge2\n" MEMBER_A PEER_B);
	struct config_station station = { .local = true }, *found;
	struct config_network *network = &config->networks[0];
	struct config_error error;

	(void)state;
	strcpy(peer_of(config, KEY_A)->name, "renamed");
	strcpy(peer_of(config, KEY_B)->name, "barge2");
	assert_int_equal(config_check(config, &error), 0);
	assert_memory_equal(network->routers.peers[0].key, peer_of(config, KEY_A)->public_key,
	                    KEY_SIZE);
	config_remove_peer(config, peer_of(config, KEY_A));
	assert_int_equal(config_check(config, &error), 0);

	assert_int_equal(config_peer_add_vni(peer_of(config, KEY_B), 7), 0);
	assert_int_equal(config_peer_add_vni(peer_of(config, KEY_B), 7), 0);
	assert_int_equal(peer_of(config, KEY_B)->vni_count, 1);
	assert_int_equal(config_check(config, &error), 0);
	assert_int_equal(config_peer_add_vni(peer_of(config, KEY_B), 9), 0);
	assert_int_equal(config_check(config, &error), -EINVAL);
	config_peer_clear_vnis(peer_of(config, KEY_B));
	assert_int_equal(config_check(config, &error), 0);

	for (uint8_t i = 1; i <= 100; i++) {
		station.key = mac_key("02:00:00:00:00:00");
		station.key.addr[5] = (uint8_t)(i * 37 % 101); /* in no order */
		memcpy(station.mac, station.key.addr, ETHER_ADDR_SIZE);
		assert_int_equal(config_add_station(network, &station), 0);
	}
	assert_int_equal(config_check(config, &error), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(network->stations[i].mac[5], i + 1);
	for (uint8_t i = 100; i > 0; i--) {
		station.key.addr[5] = (uint8_t)(i * 37 % 101);
		found = config_find_station(network, &station.key);
		assert_non_null(found);
		config_remove_station(network, found);
		assert_null(config_find_station(network, &station.key));
	}
	assert_int_equal(network->station_count, 0);
	config_free(config);
}

/* Whoever is named is found among many, by name, by key and by its beginning. */
static void test_many_names(void **state)
{
	static const char named[] =
		BRIDGED "DHCPServers = p7, p93, " KEY_A ", 3p7b\n"
			"FDB = 02:0:0:0:0:1 p50\nFDB = 02:0:0:0:0:2 " KEY_A "\n" MEMBER_A;
	size_t used = strlen(named);
	char text[16384], base64[KEY_BASE64_LEN + 1];
	const struct config_network *network;
	struct config *config;

	(void)state;
	strcpy(text, named);
	for (uint8_t i = 0; i < 100; i++) {
		uint8_t key[KEY_SIZE] = { i, 9 };

		secret_to_base64(base64, key);
		used += (size_t)snprintf(text + used, sizeof(text) - used,
		                         "[Peer]\nName = p%u\nPublicKey = %s\nVNIs = 7\n", i,
		                         base64);
	}
	config = parse(text);
	network = &config->networks[0];
	assert_int_equal(network->dhcp_servers.count, 4);
	assert_int_equal(network->dhcp_servers.peers[0].key[0], 7); /* by their keys */
	assert_int_equal(network->dhcp_servers.peers[1].key[0], 93);
	assert_memory_equal(network->dhcp_servers.peers[2].key, peer_of(config, KEY_A)->public_key,
	                    KEY_SIZE);
	assert_int_equal(network->stations[0].who.key[0], 50);
	config_free(config);
	memcpy(strstr(text, "p50"), "q50", 3);
	assert_null(parse_with(text, strlen(text), NULL));
	assert_non_null(strstr(last_error, "did you mean"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),   cmocka_unit_test(test_everything),
		cmocka_unit_test(test_good),       cmocka_unit_test(test_bad),
		cmocka_unit_test(test_macs),       cmocka_unit_test(test_edits),
		cmocka_unit_test(test_many_names), cmocka_unit_test(test_many_vnis),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
