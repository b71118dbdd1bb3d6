/* SPDX-License-Identifier: MIT */
/*
 * peers.conf: files that are good, files that are bad with the one line each
 * gives, the rules for who may read them, and that keys do not stay in memory.
 */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "config_files.h"

/* --- good files --- */

static void test_everything(void **state)
{
	static const char text[] = "# a comment\n"
				   "[Interface]\n"
				   "PrivateKey = " PRIVATE "\n"
				   "ListenPort = 12345 # its port\n"
				   "FwMark = 0xca6c\n"
				   "Workers = 4\n"
				   "Realtime = no\n"
				   "BusyPoll = 50\n"
				   "\n"
				   "[Network]\n"
				   "Name = cargo\n"
				   "Bridge = ovl0\n"
				   "Mode = Routed\n"
				   "Subnet = 172.20.0.0/16, fd00:20::/32\n"
				   "Subnet = 10.9.0.0/16\n"
				   "Range = 172.20.101.0/24,fd00:20:101::/48\n"
				   "MTU = 1400\n"
				   "[Peer]\n"
				   "Name = barge2\n"
				   "PublicKey = " KEY_A "\n"
				   "PresharedKey = " KEY_C "\n"
				   "Endpoint = 192.0.2.2:12345\n"
				   "AllowedIPs = 172.20.102.0/24 , fd00:20:102::1/48\n"
				   "AllowedIPs = 172.20.102.0/24, 172.20.0.0/16\n"
				   "PersistentKeepalive = 25\n";
	struct config *config = parse(text);
	const struct config_network *network = &config->networks[0];
	const struct config_peer *peer = &config->peers[0];
	char formatted[PREFIX_TEXT_MAX];
	uint8_t key[KEY_SIZE];

	(void)state;
	key_of(key, PRIVATE);
	assert_true(config->has_private_key);
	assert_memory_equal(config->private_key, key, KEY_SIZE);
	assert_int_equal(config->listen_port, 12345);
	assert_int_equal(config->fwmark, 0xca6c);
	assert_int_equal(config->workers, 4);
	assert_int_equal(config->realtime, CONFIG_REALTIME_NO);
	assert_int_equal(config->busy_poll_us, 50);
	assert_int_equal(config->network_count, 1);
	assert_string_equal(network->name, "cargo");
	assert_string_equal(network->bridge, "ovl0");
	assert_int_equal(network->subnet_count, 3);
	assert_int_equal(network->range_count, 2);
	assert_int_equal(network->mtu, 1400);
	assert_int_equal(network->line, 10);
	assert_int_equal(config->peer_count, 1);
	assert_string_equal(peer->name, "barge2");
	key_of(key, KEY_A);
	assert_memory_equal(peer->public_key, key, KEY_SIZE);
	key_of(key, KEY_C);
	assert_memory_equal(peer->psk, key, KEY_SIZE);
	assert_int_equal(peer->keepalive_s, 25);
	assert_int_equal(peer->line, 18);
	assert_int_equal(peer->allowed_count, 3);
	prefix_format(&peer->allowed[1], formatted);
	assert_string_equal(formatted, "fd00:20:102::/48");
	assert_true(peer->endpoint.numeric);
	assert_string_equal(peer->endpoint.host, "192.0.2.2");
	config_free(config);
}

static void test_defaults(void **state)
{
	struct config *config = parse(HEAD PEER_A);

	(void)state;
	assert_int_equal(config->listen_port, 0);
	assert_int_equal(config->fwmark, 0);
	assert_int_equal(config->workers, 1);
	assert_string_equal(config->networks[0].name, "ovl0");
	assert_int_equal(config->networks[0].mtu, CONFIG_MTU_AUTO);
	assert_int_equal(config->networks[0].subnet_count, 0);
	assert_string_equal(config->peers[0].name, "");
	assert_string_equal(config->peers[0].endpoint.host, "");
	assert_int_equal(config->peers[0].keepalive_s, 0);
	assert_true(secret_is_zero(config->peers[0].psk, KEY_SIZE));
	config_free(config);
}

static void test_good(void **state)
{
	static const char *const rows[] = {
		/* spelling as free as wg's */
		"[interface]\r\n  privatekey=" PRIVATE "\r\n[NETWORK]\r\nBRIDGE=ovl0\r\n",
		"[ Interface ] # us\n\tPrivateKey\t=\t" PRIVATE "\n\n\n[Network]\nBridge = ovl0",
		"[Network]\nBridge = ovl0\n[Peer]\nPublicKey = " KEY_A "\n" INTERFACE,
		HEAD "[Peer]\nAllowedIPs = 10.0.0.0/8\nPublicKey = " KEY_A "\n",
		/* values */
		HEAD PEER_A "AllowedIPs =\n",
		HEAD PEER_A "AllowedIPs = 0.0.0.0/0, ::/0\n",
		HEAD PEER_A
		"AllowedIPs = 10.0.0.1/24, 10.0.0.2/24\n", /* the same, twice, its own */
		HEAD PEER_A "PersistentKeepalive = off\n",
		HEAD PEER_A "PersistentKeepalive = 65535\n",
		HEAD PEER_A "Endpoint = [2001:db8::1]:1\n",
		HEAD PEER_A "Endpoint = barge-2.example.org:65535\n",
		HEAD PEER_A "Name = barge_2.example-org\n",
		INTERFACE "ListenPort = 0\nFwMark = off\n" NETWORK,
		INTERFACE "FwMark = 4294967295\n" NETWORK,
		HEAD "MTU = auto\n",
		HEAD "MTU = 576\n",
		HEAD "MTU = 65455\nSubnet = fd00::/64\n",
		/* nested prefixes: the longer one wins, as in wg */
		HEAD PEER_A "AllowedIPs = 10.0.0.0/8\n" PEER_B "AllowedIPs = 10.1.0.0/16\n",
		HEAD "Range = 10.1.0.0/16\n" PEER_A "AllowedIPs = 10.0.0.0/8\n",
		/* a Range without a Subnet: the bridge has it */
		HEAD "Range = 172.20.101.0/24\n",
		INTERFACE "[Network]\nBridge = ovl0\nSubnet = 10.0.0.0/16\n"
			  "[Network]\nBridge = ovl1\nSubnet = 10.1.0.0/16\n",
		/* a peer claims a network whole, or nearly so: there is a Range, or a part left */
		HEAD "Subnet = 10.0.0.0/16\nRange = 10.0.1.0/24\n" PEER_A
		     "AllowedIPs = 0.0.0.0/0\n",
		HEAD "Subnet = 10.0.0.0/16\n" PEER_A "AllowedIPs = 10.0.0.0/17, ::/0\n",
		HEAD "Subnet = 10.0.0.0/16, 10.1.0.0/16\n" PEER_A "AllowedIPs = 10.0.0.0/16\n",
		/* endpoints that AllowedIPs hold, but no Subnet does; and a local container's */
		HEAD PEER_A "AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 192.0.2.1:7\n",
		HEAD "Subnet = 10.0.0.0/16\n" PEER_A
		     "AllowedIPs = 10.1.0.0/16\nEndpoint = 10.1.0.1:7\n",
		HEAD "Subnet = 10.0.0.0/16\nRange = 10.0.1.0/24\n" PEER_A "Endpoint = 10.0.1.2:7\n",
		HEAD "Subnet = 10.0.0.0/16\n" PEER_A "Endpoint = name-in.10-0.example:7\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		config_free(parse(rows[i]));
}

/* --- bad files --- */

static const struct {
	const char *text;
	const char *error;
} bad[] = {
	/* lines and sections */
	{ "", "p.conf: there is no [Interface]" },
	{ "PrivateKey = x\n",
	  "p.conf:1: \"PrivateKey\": expected a section first, [Interface] say" },
	{ INTERFACE "[Interface]\n", "p.conf:3: [Interface] is given twice (line 1)" },
	{ "[Interface\n", "p.conf:1: \"[Interface\": expected \"]\" at the end" },
	{ "\n[Peers]\n", "p.conf:2: unknown section \"Peers\"; did you mean [Peer]?" },
	{ "[WireGuard]\n", "p.conf:1: unknown section \"WireGuard\"; expected [Interface], "
	                   "[Network], [Peer] or [Metrics]" },
	{ "[]\n",
	  "p.conf:1: unknown section \"\"; expected [Interface], [Network], [Peer] or [Metrics]" },
	{ "[Interface]\nListenPort 1\n", "p.conf:2: \"ListenPort 1\": expected KEY = VALUE" },
	{ "[Interface]\nListenPort = 1\nlistenport = 2\n",
	  "p.conf:3: ListenPort is given twice (line 2)" },
	{ INTERFACE, "p.conf: there is no [Network]; add one, or give --bridge NAME" },
	/* keys nobody knows */
	{ HEAD PEER_A "AllowedIP = 10.0.0.0/8\n",
	  "p.conf:7: unknown key \"AllowedIP\"; did you mean \"AllowedIPs\"?" },
	{ "[Interface]\nLitsenPort = 1\n",
	  "p.conf:2: unknown key \"LitsenPort\"; did you mean \"ListenPort\"?" },
	{ "[Interface]\nColour = red\n", "p.conf:2: unknown key \"Colour\" in [Interface]" },
	{ "[Interface]\nBrigde\x01 = ovl0\n", "p.conf:2: unknown key \"Brigde?\" in [Interface]" },
	{ "[Interface]\nEndpoint = 192.0.2.1:1\n",
	  "p.conf:2: \"Endpoint\" belongs in [Peer], not in [Interface]" },
	/* [Interface] */
	{ "[Interface]\n" NETWORK, "p.conf:1: [Interface] has no PrivateKey or PrivateKeyFile" },
	{ "[Interface]\nPrivateKey = AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" NETWORK,
	  "p.conf:1: the private key is all zero; expected one from ovlctl genkey" },
	{ INTERFACE "PrivateKeyFile = /x\n",
	  "p.conf:3: PrivateKey and PrivateKeyFile: expected one of them" },
	{ "[Interface]\nPrivateKeyFile = /nowhere/key\n",
	  "p.conf:2: PrivateKeyFile \"/nowhere/key\": No such file or directory" },
	{ "[Interface]\nPrivateKeyFile =\n",
	  "p.conf:2: PrivateKeyFile \"\": expected the path of a file" },
	{ "[Interface]\nListenPort = 65536\n",
	  "p.conf:2: ListenPort \"65536\": expected 0 to 65535" },
	{ "[Interface]\nListenPort = -1\n", "p.conf:2: ListenPort \"-1\": expected 0 to 65535" },
	{ "[Interface]\nListenPort =\n", "p.conf:2: ListenPort \"\": expected 0 to 65535" },
	{ "[Interface]\nWorkers = 0\n", "p.conf:2: Workers \"0\": expected 1 to 16" },
	{ "[Interface]\nWorkers = 17\n", "p.conf:2: Workers \"17\": expected 1 to 16" },
	{ "[Interface]\nRealtime = often\n", "p.conf:2: Realtime \"often\": expected yes or no" },
	{ "[Interface]\nBusyPoll = 1000001\n",
	  "p.conf:2: BusyPoll \"1000001\": expected microseconds, 0 to 1000000" },
	{ "[Interface]\nWorkers = auto\n", "p.conf:2: Workers \"auto\": expected 1 to 16" },
	{ "[Interface]\nFwMark = 0x100000000\n",
	  "p.conf:2: FwMark \"0x100000000\": expected off or a number of 32 bits, like 51820 or "
	  "0xca6c" },
	/* [Metrics] */
	{ HEAD "[Metrics]\n", "p.conf:5: [Metrics] has no Listen" },
	{ "[Metrics]\nListen = 127.0.0.1:1\n[Metrics]\n",
	  "p.conf:3: [Metrics] is given twice (line 1)" },
	{ "[Metric]\n", "p.conf:1: unknown section \"Metric\"; did you mean [Metrics]?" },
	{ "[Metrics]\nLsten = 1\n", "p.conf:2: unknown key \"Lsten\"; did you mean \"Listen\"?" },
	{ "[Interface]\nListen = 1\n",
	  "p.conf:2: \"Listen\" belongs in [Metrics], not in [Interface]" },
	{ "[Metrics]\nListen = 9587\n",
	  "p.conf:2: Listen \"9587\": did you mean \"127.0.0.1:9587\"?" },
	{ "[Metrics]\nListen = localhost:9587\n",
	  "p.conf:2: Listen \"localhost:9587\": did you mean \"127.0.0.1:9587\"?" },
	{ "[Metrics]\nListen = 127.0.0.1\n",
	  "p.conf:2: Listen \"127.0.0.1\": expected ADDRESS:PORT, as 127.0.0.1:9587 or "
	  "[::1]:9587" },
	{ "[Metrics]\nListen = 127.0.0.1:0\n",
	  "p.conf:2: Listen \"127.0.0.1:0\": expected ADDRESS:PORT, as 127.0.0.1:9587 or "
	  "[::1]:9587" },
	{ "[Metrics]\nListen = barge1:9587\n",
	  "p.conf:2: Listen \"barge1:9587\": expected ADDRESS:PORT, as 127.0.0.1:9587 or "
	  "[::1]:9587" },
	/* [Network] */
	{ INTERFACE "[Network]\nName = a\n", "p.conf:3: [Network] has no Bridge" },
	{ INTERFACE "[Network]\nBridge = sixteen-letters-\n",
	  "p.conf:4: Bridge \"sixteen-letters-\": a network device's name has at most 15 "
	  "characters" },
	{ INTERFACE "[Network]\nBridge = a/b\n",
	  "p.conf:4: Bridge \"a/b\": a network device's name has no \"/\", \":\", \"%\", blank or "
	  "unprintable character" },
	{ INTERFACE "[Network]\nBridge = br%d\n",
	  "p.conf:4: Bridge \"br%d\": a network device's name has no \"/\", \":\", \"%\", blank or "
	  "unprintable character" },
	{ INTERFACE "[Network]\nBridge = a b\n",
	  "p.conf:4: Bridge \"a b\": a network device's name has no \"/\", \":\", \"%\", blank or "
	  "unprintable character" },
	{ INTERFACE "[Network]\nBridge = ..\n",
	  "p.conf:4: Bridge \"..\": not a network device's name" },
	{ INTERFACE "[Network]\nBridge =\n",
	  "p.conf:4: Bridge \"\": expected the name of a bridge" },
	{ HEAD NETWORK, "p.conf:6: Bridge \"ovl0\" is used twice; first (line 4)" },
	{ INTERFACE "[Network]\nName = a\nBridge = b\n[Network]\nBridge = a\n",
	  "p.conf:7: Name \"a\" is used twice; first (line 4)" },
	{ HEAD "MTU = 575\n", "p.conf:5: MTU \"575\": expected auto or 576 to 65455" },
	{ HEAD "MTU = 65456\n", "p.conf:5: MTU \"65456\": expected auto or 576 to 65455" },
	{ HEAD "Subnet = fd00::/64\nMTU = 1279\n",
	  "p.conf:6: MTU \"1279\": expected auto or 1280 to 65455 (IPv6 needs that much)" },
	{ HEAD "Subnet =\n",
	  "p.conf:5: Subnet \"\": expected addresses like 172.20.101.0/24 or fd00:1::/64" },
	{ HEAD "Subnet = 0.0.0.0/0\n",
	  "p.conf:5: Subnet \"0.0.0.0/0\": expected addresses that containers can have" },
	{ HEAD "Subnet = 127.1.0.0/16\n",
	  "p.conf:5: Subnet \"127.1.0.0/16\": expected addresses that containers can have" },
	{ HEAD "Range = ::ffff:10.0.0.0/104\n",
	  "p.conf:5: Range \"::ffff:10.0.0.0/104\": expected addresses that containers can have" },
	{ HEAD "Subnet = 172.20.0.0/16, fd00::/64\nRange = 172.21.0.0/24\n",
	  "p.conf:6: Range \"172.21.0.0/24\" is not within the Subnet of network \"ovl0\"" },
	{ HEAD "Subnet = 172.20.0.0/16\nRange = 172.16.0.0/12\n",
	  "p.conf:6: Range \"172.16.0.0/12\" is not within the Subnet of network \"ovl0\"" },
	{ HEAD "Subnet = 10.1.0.0/16\n[Network]\nBridge = ovl1\nSubnet = 10.2.0.0/16,10.0.0.0/8\n",
	  "p.conf:8: Subnet \"10.0.0.0/8\" of network \"ovl1\" overlaps 10.1.0.0/16 of network "
	  "\"ovl0\" (line 5)" },
	{ HEAD "Range = 10.1.0.0/16\n[Network]\nBridge = ovl1\nRange = 10.1.2.0/24\n",
	  "p.conf:8: Range \"10.1.2.0/24\" of network \"ovl1\" overlaps 10.1.0.0/16 of network "
	  "\"ovl0\" (line 5)" },
	/* [Peer] */
	{ HEAD "[Peer]\nName = a\n" PEER_A, "p.conf:5: [Peer] has no PublicKey" },
	{ HEAD "[Peer]\nPublicKey = AQEB\n",
	  "p.conf:6: PublicKey \"AQEB\": expected 44 characters of base64 (32 bytes)" },
	{ HEAD PEER_A "AllowedIPs = 10.0.0.0/8\n" PEER_A,
	  "p.conf:9: the peer of line 5 has this PublicKey too" },
	{ HEAD "[Peer]\nPublicKey = " OWN "\n",
	  "p.conf:6: this peer's PublicKey is this host's own: a host is not its own peer" },
	{ HEAD PEER_A "Name = a\n" PEER_B "Name = a\n",
	  "p.conf:10: Name \"a\" is used twice; first (line 7)" },
	{ HEAD PEER_A "Name = -a\n",
	  "p.conf:7: Name \"-a\": a name begins with a letter or a digit" },
	{ HEAD PEER_A "Name = a b\n",
	  "p.conf:7: Name \"a b\": a name has letters, digits, \".\", \"_\" and \"-\" only" },
	{ HEAD PEER_A "Name = "
	              "a123456789a123456789-123456789a123456789-123456789a123456789a123\n",
	  "p.conf:7: Name \"a123456789a123456789-123456789a123456789-123456789a123456789a123\": "
	  "a name has at most 63 characters" },
	{ HEAD PEER_A "Name = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n",
	  "p.conf:7: Name (not shown: it could be a key): a name must not look like a key" },
	{ HEAD PEER_A "AllowedIPs = 10.0.0.0/33\n",
	  "p.conf:7: AllowedIPs \"10.0.0.0/33\": expected addresses like 172.20.101.0/24 or "
	  "fd00:1::/64" },
	{ HEAD PEER_A "AllowedIPs = 10.0.0.0/8,\n",
	  "p.conf:7: AllowedIPs \"\": expected addresses like 172.20.101.0/24 or fd00:1::/64" },
	{ HEAD PEER_A "AllowedIPs = ::ffff:10.0.0.0/104\n",
	  "p.conf:7: AllowedIPs \"::ffff:10.0.0.0/104\": write IPv4 addresses as such" },
	{ HEAD PEER_A "AllowedIPs = 10.0.0.0/8\nName = a\n" PEER_B
	              "AllowedIPs = 11.0.0.0/8\nAllowedIPs = 12.0.0.0/8, 10.1.2.3/8\n",
	  "p.conf:12: AllowedIPs \"10.0.0.0/8\" is claimed by peer \"a\" (line 7) too" },
	{ HEAD PEER_A "AllowedIPs = ::/0\n" PEER_B "AllowedIPs = ::/0\n",
	  "p.conf:10: AllowedIPs \"::/0\" is claimed by peer " KEY_A " (line 7) too" },
	{ HEAD "Range = 10.3.0.0/16,10.1.0.0/16\n" PEER_A "AllowedIPs = 10.1.2.0/24\n",
	  "p.conf:8: AllowedIPs \"10.1.2.0/24\" lies in Range 10.1.0.0/16 of network \"ovl0\" "
	  "(line "
	  "5), which is this host's own" },
	{ HEAD PEER_A "Endpoint = 192.0.2.1\n",
	  "p.conf:7: Endpoint \"192.0.2.1\": expected ADDRESS:PORT, [IPv6]:PORT or NAME:PORT" },
	/* a tunnel into itself */
	{ HEAD "Subnet = 10.1.0.0/16, 10.0.0.0/16\n" PEER_A "Name = a\n"
	       "Endpoint = 10.0.2.2:7\n",
	  "p.conf:9: Endpoint \"10.0.2.2:7\" lies in Subnet 10.0.0.0/16 of network \"ovl0\" (line "
	  "5): "
	  "expected an address outside the tunnel" },
	{ HEAD "Subnet = fd00:1::/32\nRange = fd00:1:1::/48\n" PEER_A
	       "AllowedIPs = fd00:1:2::/48\nEndpoint = [fd00:1:2::1]:7\n",
	  "p.conf:10: Endpoint \"[fd00:1:2::1]:7\" lies in Subnet fd00:1::/32 of network \"ovl0\" "
	  "(line 5): expected an address outside the tunnel" },
	/* nothing would live here */
	{ HEAD "Subnet = 10.0.0.0/16\n" PEER_A "AllowedIPs = ::/0, 0.0.0.0/0\n",
	  "p.conf:8: AllowedIPs \"0.0.0.0/0\" claims all of Subnet 10.0.0.0/16 of network \"ovl0\" "
	  "(line 5), so nothing lives here: give the network a Range" },
	{ HEAD "Subnet = fd00::/48, 10.0.0.0/16\nRange = 10.0.1.0/24\n" PEER_A
	       "AllowedIPs = fd00::/48\nAllowedIPs = 0.0.0.0/0\n",
	  "p.conf:9: AllowedIPs \"fd00::/48\" claims all of Subnet fd00::/48 of network \"ovl0\" "
	  "(line 5), so nothing lives here: give the network a Range" },
	{ HEAD "Subnet = 10.0.0.0/16, 10.1.0.0/16\n" PEER_A "AllowedIPs = 10.1.0.0/16\n" PEER_B
	       "AllowedIPs = 10.0.0.0/15\n",
	  "p.conf:11: AllowedIPs \"10.0.0.0/15\" claims all of Subnet 10.0.0.0/16 of network "
	  "\"ovl0\" (line 5), so nothing lives here: give the network a Range" },
	{ HEAD PEER_A "PersistentKeepalive = 65536\n",
	  "p.conf:7: PersistentKeepalive \"65536\": expected off or 0 to 65535 seconds" },
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(parse_with(bad[i].text, strlen(bad[i].text), NULL));
		assert_string_equal(last_error, bad[i].error);
	}
}

static void test_zero_bytes_and_long_lines(void **state)
{
	static const char zero[] = "[Interface]\nListen\0Port = 1\n";
	const size_t len = 9U << 20;
	char *text = malloc(len);

	(void)state;
	assert_null(parse_with(zero, sizeof(zero) - 1, NULL));
	assert_string_equal(last_error, "p.conf:2: a zero byte; expected text");
	assert_non_null(text);
	memset(text, '#', len);
	assert_null(parse_with(text, len, NULL));
	assert_string_equal(last_error, "p.conf:1: the line is too long");
	memset(text, ' ', len);
	memcpy(text, "[Interface]\nListenPort = 1", 26);
	memset(text + 26, '1', 5000);
	assert_null(parse_with(text, 26 + 5000, NULL));
	assert_string_equal(last_error, "p.conf:2: ListenPort: the value is too long");
	free(text);
}

/* A key pasted anywhere never comes back in a message. */
static void test_keys_are_not_shown(void **state)
{
	static const char *const rows[] = {
		PRIVATE "\n",
		"[Interface]\n" PRIVATE "\n",
		"[Interface]\nPrivatKey = " PRIVATE "\n",
		"[Interface]\nPrivateKey = " PRIVATE "x\n",
		"[Interface]\nPrivateKey = x" PRIVATE "\n",
		"[Interface]\nPrivateKey = -" PRIVATE "\n",
		"[Interface]\nPrivateKeyFile = " PRIVATE "\n",
		"[Interface]\nListenPort = " PRIVATE "\n",
		"[" PRIVATE "]\n",
		"[" PRIVATE,
		INTERFACE "[Network]\nBridge = " PRIVATE "\n",
		INTERFACE "[Network]\nSubnet = 10.0.0.0/8 " PRIVATE "\n",
		HEAD PEER_A "Endpoint = " PRIVATE "\n",
		HEAD PEER_A "Name = " PRIVATE "\n",
		HEAD PEER_A "PresharedKey = " PRIVATE PRIVATE "\n",
		HEAD "[Peer]\nPublicKey = " PRIVATE "+\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_null(parse_with(rows[i], strlen(rows[i]), NULL));
		assert_null(strstr(last_error, "dwdtCnMYpX08FsFyUbJmRd9M"));
	}
}

/* --- stock wg files --- */

struct warnings {
	unsigned int count;
	char text[8][128];
};

static void keep_warning(void *arg, const struct config_error *warning)
{
	struct warnings *warnings = arg;

	assert_true(warnings->count < 8);
	config_error_format(warning, warnings->text[warnings->count++], 128);
}

static void test_stock_file(void **state)
{
	static const char text[] = "[Interface]\n"
				   "Address = 10.0.0.1/24\n"
				   "Address = fd00::1/64\n"
				   "PrivateKey = " PRIVATE "\n"
				   "PostUp = iptables -A FORWARD -i %i -j ACCEPT; echo = x\n"
				   "postup = true\n"
				   "MTU = 1420\n"
				   "[Peer]\n"
				   "PublicKey = " KEY_A "\n"
				   "AllowedIPs = 10.0.0.2/32\n";
	struct warnings warnings = { 0 };
	struct config_options options = { .bridge = "ovl0",
		                          .warn = keep_warning,
		                          .warn_arg = &warnings };
	struct config_error error;
	struct config *config;

	(void)state;
	assert_int_equal(
		config_parse(text, sizeof(text) - 1, "wg0.conf", &options, &config, &error), 0);
	assert_int_equal(config->network_count, 1);
	assert_string_equal(config->networks[0].bridge, "ovl0");
	assert_string_equal(config->networks[0].name, "ovl0");
	assert_int_equal(warnings.count, 3);
	assert_string_equal(warnings.text[0], "wg0.conf:2: \"Address\" is wg-quick's, ignored");
	assert_string_equal(warnings.text[1], "wg0.conf:5: \"PostUp\" is wg-quick's, ignored");
	assert_string_equal(warnings.text[2], "wg0.conf:7: \"MTU\" is wg-quick's, ignored");
	config_free(config);

	assert_null(parse_with(HEAD, strlen(HEAD), "ovl0"));
	assert_string_equal(last_error, "p.conf:3: [Network] and --bridge: expected one of them");
	assert_null(parse_with(INTERFACE, strlen(INTERFACE), "a/b"));
	assert_string_equal(last_error, "--bridge \"a/b\": a network device's name has no \"/\", "
	                                "\":\", \"%\", blank or unprintable character");
}

/* --- who may read --- */

struct folder {
	char path[32];
	char config[64];
	char key[64];
};

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int folder_setup(void **state)
{
	static struct folder folder;

	strcpy(folder.path, "/tmp/test_config.XXXXXX");
	if (!mkdtemp(folder.path))
		return -1;
	snprintf(folder.config, sizeof(folder.config), "%s/p.conf", folder.path);
	snprintf(folder.key, sizeof(folder.key), "%s/key", folder.path);
	*state = &folder;
	return 0;
}

static int folder_teardown(void **state)
{
	const struct folder *folder = *state;

	unlink(folder->config);
	unlink(folder->key);
	return rmdir(folder->path);
}

/* "" when it loads, else the error without the folder in front. */
static const char *load(const struct folder *folder)
{
	struct config_error error = { .text = "" };
	struct config *config = NULL;

	if (config_load(folder->config, NULL, &config, &error) == 0) {
		assert_true(config->has_private_key);
		config_free(config);
		return "";
	}
	config_error_format(&error, last_error, sizeof(last_error));
	assert_memory_equal(last_error, folder->path, strlen(folder->path));
	return last_error + strlen(folder->path) + 1;
}

static void test_files(void **state)
{
	static const char with_file[] = "[Interface]\nPrivateKeyFile = key\n" NETWORK;
	static const char with_psk[] =
		"[Interface]\nPrivateKeyFile = key\n" NETWORK PEER_A "PresharedKey = " KEY_C "\n";
	const struct folder *folder = *state;

	assert_string_equal(load(folder), "p.conf: No such file or directory");
	write_file(folder->config, HEAD, 0600);
	assert_string_equal(load(folder), "");
	write_file(folder->config, HEAD, 0400);
	assert_string_equal(load(folder), "");
	write_file(folder->config, HEAD, 0640);
	assert_string_equal(load(folder),
	                    "p.conf:2: PrivateKey in a file that others can use: chmod 600 it");
	/* others may read what holds no secret; the path is relative to the file */
	write_file(folder->config, with_file, 0644);
	write_file(folder->key, PRIVATE "\n", 0600);
	assert_string_equal(load(folder), "");
	write_file(folder->config, with_psk, 0644);
	assert_string_equal(load(folder),
	                    "p.conf:7: PresharedKey in a file that others can use: chmod 600 it");
	write_file(folder->config, with_file, 0644);
	write_file(folder->key, PRIVATE "\n", 0604);
	assert_string_equal(load(folder), "p.conf:2: PrivateKeyFile \"key\": others than its owner "
	                                  "can use this file: chmod 600 it");
	write_file(folder->key, PRIVATE "\n" PRIVATE "\n", 0600);
	assert_string_equal(load(folder), "p.conf:2: PrivateKeyFile \"key\": expected 44 "
	                                  "characters of base64 (32 bytes) in the file");
	write_file(folder->key, "", 0600);
	assert_string_equal(load(folder), "p.conf:2: PrivateKeyFile \"key\": expected 44 "
	                                  "characters of base64 (32 bytes) in the file");
	unlink(folder->key);
	assert_int_equal(mkfifo(folder->key, 0600), 0);
	assert_string_equal(load(folder), "p.conf:2: PrivateKeyFile \"key\": expected a file");
	write_file(folder->config, "[Interface]\nPrivateKeyFile = .\n", 0600);
	assert_string_equal(load(folder), "p.conf:2: PrivateKeyFile \".\": expected a file");
}

/* Nothing to wait for: a daemon that reloads has other things to do. */
static void test_no_regular_file(void **state)
{
	const struct folder *folder = *state;

	assert_int_equal(mkdir(folder->config, 0700), 0);
	assert_string_equal(load(folder), "p.conf: expected a regular file, not a directory");
	assert_int_equal(rmdir(folder->config), 0);
	assert_int_equal(mkfifo(folder->config, 0600), 0);
	alarm(5);
	assert_string_equal(load(folder), "p.conf: expected a regular file, not a pipe");
	alarm(0);
	unlink(folder->config);
	assert_int_equal(symlink("/dev/zero", folder->config), 0);
	assert_string_equal(load(folder), "p.conf: expected a regular file, not a device");
	unlink(folder->config);
	assert_int_equal(symlink("key", folder->config), 0);
	write_file(folder->key, HEAD, 0600);
	assert_string_equal(load(folder), "");
}

static void test_psk_file(void **state)
{
	static const char text[] = HEAD PEER_A "PresharedKeyFile = key\n";
	const struct folder *folder = *state;
	struct config_error error;
	struct config *config;
	uint8_t key[KEY_SIZE];

	write_file(folder->config, text, 0600);
	write_file(folder->key, KEY_C, 0600);
	assert_int_equal(config_load(folder->config, NULL, &config, &error), 0);
	key_of(key, KEY_C);
	assert_memory_equal(config->peers[0].psk, key, KEY_SIZE);
	config_free(config);
}

/* --- endpoints --- */

static void test_endpoints(void **state)
{
	static const struct {
		const char *text;
		const char *formatted; /* NULL: refused */
		bool numeric;
	} rows[] = {
		{ "192.0.2.1:51820", "192.0.2.1:51820", true },
		{ "[2001:db8:0::1]:1", "[2001:db8::1]:1", true },
		{ "[::ffff:192.0.2.1]:9", "192.0.2.1:9", true },
		{ "[fe80::1%lo]:7", "[fe80::1%1]:7",
		  true }, /* the loopback is device 1 everywhere */
		{ "[fe80::1%9]:7", "[fe80::1%9]:7", true },
		{ "[fe80::1%no-such-device-there]:7", NULL, false },
		{ "[fe80::1%]:7", NULL, false },
		{ "barge1:1", "barge1:1", false },
		{ "barge-1.example.org.:65535", "barge-1.example.org.:65535", false },
		{ "4free.example:5", "4free.example:5", false },
		{ "_wg.example:5", "_wg.example:5", false },
		{ "192.0.2.1", NULL, false },
		{ "192.0.2.1:", NULL, false },
		{ "192.0.2.1:0", NULL, false },
		{ "192.0.2.1:65536", NULL, false },
		{ "192.0.2.1:+1", NULL, false },
		{ "192.0.2.300:1", NULL, false },
		{ "192.0.2:1", NULL, false },
		{ "192.0.2.1.:1", NULL, false },
		{ "99999999999999999999:1", NULL, false },
		{ "2001:db8::1:51820", NULL, false },
		{ "[2001:db8::g]:1", NULL, false },
		{ "[barge1]:1", NULL, false },
		{ ":1", NULL, false },
		{ ".:1", NULL, false },
		{ "a..b:1", NULL, false },
		{ "-a:1", NULL, false },
		{ "a b:1", NULL, false },
		{ "a/b:1", NULL, false },
		{ "", NULL, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_endpoint endpoint;
		char text[512];

		if (config_parse_endpoint(&endpoint, rows[i].text) != (rows[i].formatted != NULL))
			fail_msg("\"%s\"", rows[i].text);
		if (!rows[i].formatted)
			continue;
		config_format_endpoint(&endpoint, text, sizeof(text));
		assert_string_equal(text, rows[i].formatted);
		assert_int_equal(endpoint.numeric, rows[i].numeric);
	}
}

static void test_long_host_names(void **state)
{
	struct config_endpoint endpoint;
	char text[300];

	(void)state;
	for (size_t len = 250; len <= 256; len++) {
		memset(text, 'a', len);
		for (size_t i = 50; i < len; i += 50)
			text[i] = '.';
		if (text[len - 1] == '.')
			text[len - 1] = 'a';
		strcpy(text + len, ":1");
		assert_int_equal(config_parse_endpoint(&endpoint, text), len <= 253);
	}
	memset(text, 'a', 64);
	strcpy(text + 64, ":1");
	assert_false(config_parse_endpoint(&endpoint, text));
	assert_true(config_parse_endpoint(&endpoint, text + 1));
}

/* --- wiping --- */

/* Frees go through here (-Wl,--wrap=free): nothing freed may hold a key. */
static const char private_text[] = PRIVATE, psk_text[] = KEY_C;
static bool watch_frees;

void __real_free(void *p);
void __wrap_free(void *p);
size_t malloc_usable_size(void *p);

static bool holds(const void *p, size_t len, const char *text)
{
	uint8_t key[KEY_SIZE];

	key_of(key, text);
	return memmem(p, len, key, KEY_SIZE) || memmem(p, len, text, KEY_BASE64_LEN);
}

void __wrap_free(void *p)
{
	size_t len = p && watch_frees ? malloc_usable_size(p) : 0;

	unit_take_for_written(p, len);
	if (len > 0 && (holds(p, len, private_text) || holds(p, len, psk_text)))
		fail_msg("a key lies in freed memory");
	__real_free(p);
}

static void test_wiped(void **state)
{
	static const char good[] =
		HEAD PEER_A "PresharedKey = " KEY_C "\n" PEER_B "[Peer]\nPublicKey = " OWN "\n";
	const struct folder *folder = *state;
	char text[1024];

	watch_frees = true;
	/* Every beginning of a file: an error after each step, and a good end. */
	for (size_t len = 0; len < sizeof(good); len++) {
		struct config_error error;
		struct config *config = NULL;

		memcpy(text, good, len);
		text[len] = '\0';
		write_file(folder->config, text, 0600);
		if (config_load(folder->config, NULL, &config, &error) == 0) {
			struct config *copy = config_copy(config);
			uint8_t key[KEY_SIZE];

			for (uint32_t i = 0; i < 20; i++) {
				number_key(key, i);
				assert_non_null(config_add_peer(copy, key));
			}
			config_remove_peer(copy, &copy->peers[0]);
			config_free(copy);
			config_free(config);
		}
	}
	watch_frees = false;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_zero_bytes_and_long_lines),
		cmocka_unit_test(test_keys_are_not_shown),
		cmocka_unit_test(test_stock_file),
		cmocka_unit_test_setup_teardown(test_files, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(test_no_regular_file, folder_setup,
		                                folder_teardown),
		cmocka_unit_test_setup_teardown(test_psk_file, folder_setup, folder_teardown),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_long_host_names),
		cmocka_unit_test_setup_teardown(test_wiped, folder_setup, folder_teardown),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
