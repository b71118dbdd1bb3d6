/* SPDX-License-Identifier: MIT */
/* What sync says that it changes. */
#include "config_files.h"

#include <stdlib.h>
#include <unistd.h>
#include "ctl/buffer.h"
#include "ctl/differences.h"

#define BRIDGED "[Network]\nName = seven\nBridge = ovl7\nMode = bridged\nVNI = 7\n"

static void put_item(void *arg, const struct difference *difference)
{
	static const char *const kinds[] = { "interface", "network", "peer" };
	static const char signs[] = "+-~";
	char line[256];

	assert_int_equal(difference->key != NULL, difference->kind == DIFFERENCE_PEER);
	(void)snprintf(line, sizeof(line), "%c%s %s\n", signs[difference->change],
	               kinds[difference->kind], difference->name);
	buffer_append(arg, line, strlen(line));
}

static void put_detail(void *arg, const char *text)
{
	buffer_append(arg, "\t", 1);
	buffer_append(arg, text, strlen(text));
	buffer_append(arg, "\n", 1);
}

static struct difference_counts expect(const char *from_text, const char *to_text,
                                       const char *wanted)
{
	static const struct difference_ops ops = { put_item, put_detail };
	struct config *from = parse(from_text), *to = parse(to_text);
	struct difference_counts counts;
	struct buffer out;

	buffer_init(&out, 65536);
	differences_list(from, to, &ops, &out, &counts);
	buffer_append(&out, "", 1);
	assert_string_equal(out.data, wanted);
	buffer_fini(&out);
	config_free(from);
	config_free(to);
	return counts;
}

static void test_nothing(void **state)
{
	static const char text[] =
		HEAD BRIDGED PEER_A "Name = a\nAllowedIPs = 10.0.0.0/8, fd00::/8\n";

	(void)state;
	expect(text, text, "");
	expect(HEAD, HEAD "[Metrics]\nListen = 127.0.0.1:9587\n",
	       "~interface \n\t[Metrics] Listen (none) -> 127.0.0.1:9587\n");
	expect(HEAD "[Metrics]\nListen = [::1]:9587\n", HEAD "[Metrics]\nListen = [::1]:9587\n",
	       "");
	/* Order, line and spelling are not what it is about. */
	expect(HEAD BRIDGED PEER_A "AllowedIPs = 10.0.0.0/8, fd00::/8\n" PEER_B,
	       "# a file\n" INTERFACE BRIDGED NETWORK PEER_B PEER_A
	       "AllowedIPs = fd00:0::/8\nAllowedIPs = 10.0.0.0/8\n",
	       "");
}

static void test_peers(void **state)
{
	struct difference_counts counts =
		expect(HEAD PEER_A "Name = a\nAllowedIPs = 10.1.0.0/16, 10.2.0.0/16\n" PEER_B
	                           "Name = b\nEndpoint = 192.0.2.1:1\n",
	               HEAD PEER_A "Name = c\nAllowedIPs = 10.2.0.0/16, 10.3.0.0/16\nIntroducer = "
	                           "yes\nPersistentKeepalive = "
	                           "5\nEndpoint = host.example:9\nPresharedKey = " KEY_B
	                           "\n[Peer]\nPublicKey = " KEY_C "\nAllowedIPs = 10.1.0.0/16\n",
	               "-peer b\n~peer c\n\tName \"a\" -> \"c\"\n\tPresharedKey set\n"
	               "\tEndpoint none -> host.example:9\n\tPersistentKeepalive 0 -> "
	               "5\n\tIntroducer no -> yes\n"
	               "\tAllowedIPs -10.1.0.0/16\n\tAllowedIPs +10.3.0.0/16\n"
	               "+peer AgICAgICAg…\n");

	(void)state;
	assert_int_equal(counts.peers_added, 1);
	assert_int_equal(counts.peers_removed, 1);
	assert_int_equal(counts.peers_changed, 1);
	assert_false(counts.interface_changed);
	expect(HEAD BRIDGED PEER_A "VNIs = 7\nPresharedKey = " KEY_B "\n",
	       HEAD BRIDGED PEER_A "PresharedKey = " KEY_C "\n",
	       "~peer 3p7bfXt9wb…\n\tPresharedKey changed\n\tVNIs -7\n");
}

/* An endpoint set at run time to what it was: it takes back who roamed. */
static void test_endpoint_anew(void **state)
{
	static const struct difference_ops ops = { put_item, put_detail };
	struct config *from = parse(HEAD PEER_A "Endpoint = 192.0.2.1:1\n");
	struct config *to = config_copy(from);
	struct difference_counts counts;
	struct buffer out;

	(void)state;
	from->peers[0].endpoint_serial++;
	buffer_init(&out, 65536);
	differences_list(from, to, &ops, &out, &counts);
	buffer_append(&out, "", 1);
	assert_non_null(strstr(out.data, "Endpoint 192.0.2.1:1 anew"));
	assert_int_equal(counts.peers_changed, 1);
	buffer_fini(&out);
	config_free(from);
	config_free(to);
}

static void test_interface(void **state)
{
	struct difference_counts counts = expect(
		HEAD,
		"[Interface]\nPrivateKey = " KEY_B "\nListenPort = 5\nFwMark = 7\nWorkers = 2\n"
		"BusyPoll = 50\nRealtime = no\nIntroducer = yes\n" NETWORK,
		"~interface \n\tPrivateKey changed\n\tListenPort 0 -> 5\n\tFwMark 0x0 -> 0x7\n"
		"\tWorkers 1 -> 2, at the next start\n\tRealtime auto -> no\n\tBusyPoll 0 -> "
		"50\n\tIntroducer no -> yes\n");

	(void)state;
	assert_true(counts.interface_changed);
}

static void test_networks(void **state)
{
	struct difference_counts counts = expect(
		HEAD "Subnet = 10.0.0.0/8\n" BRIDGED PEER_A "Name = a\nVNIs = 7\n",
		HEAD "Subnet = 10.0.0.0/9\nMTU = 1400\n" BRIDGED
		     "Guard = strict\nMACs = 9\nVLANs = all\nLinkControl = pass\nDHCPServers = a\n"
		     "FDB = 02:00:00:00:00:01 a\n[Network]\nBridge = new\n" PEER_A
		     "Name = a\nVNIs = 7\n",
		"~network ovl0\n\tSubnet -10.0.0.0/8\n\tSubnet +10.0.0.0/9\n\tMTU auto -> 1400\n"
		"~network seven\n\tGuard learn -> strict\n\tVLANs changed\n\tLinkControl drop -> "
		"pass\n"
		"\tDHCPServers changed\n\tMACs 256 -> 9\n\tFDB +02:00:00:00:00:01\n"
		"+network new\n");

	(void)state;
	assert_int_equal(counts.networks_changed, 2);
	assert_int_equal(counts.networks_added, 1);
	/* Another bridge makes another network. */
	counts = expect(HEAD "Name = n\n", INTERFACE "[Network]\nBridge = ovl1\nName = n\n",
	                "-network n\n+network n\n");
	assert_int_equal(counts.networks_removed, 1);
}

static struct config *load(const char *text, struct buffer *sent, int wanted)
{
	struct config_options options = { .sent = sent };
	struct config_error error = { .line = 0 };
	struct config *config = NULL;

	buffer_init(sent, 4096);
	assert_int_equal(config_parse(text, strlen(text), "/tmp/p.conf", &options, &config, &error),
	                 wanted);
	return config;
}

/* What is sent in a file's place: as many lines, nothing that does not count, no key file. */
static void test_sent(void **state)
{
	char path[] = "/tmp/differences.XXXXXX", text[512], wanted[512];
	int fd = mkstemp(path);
	struct buffer sent;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, KEY_C "\n", KEY_BASE64_LEN + 1), KEY_BASE64_LEN + 1);
	close(fd);
	(void)snprintf(
		text, sizeof(text),
		"# \xff\n[Interface]\nPrivateKeyFile = %s # mine\nPostUp = rm -rf \xfe\n" NETWORK
		"\n" PEER_A "PresharedKeyFile = %s\nAllowedIPs = 10.0.0.0/8",
		path, path);
	(void)snprintf(wanted, sizeof(wanted),
	               "\n[Interface]\nPrivateKey = " KEY_C "\n\n" NETWORK "\n" PEER_A
	               "PresharedKey = " KEY_C "\nAllowedIPs = 10.0.0.0/8\n");
	config_free(load(text, &sent, 0));
	buffer_append(&sent, "", 1);
	assert_string_equal(sent.data, wanted);
	/* And it means the same. */
	expect(text, wanted, "");
	buffer_fini(&sent);
	/* The daemon may have a --bridge. */
	config_free(load(INTERFACE, &sent, 0));
	buffer_fini(&sent);
	assert_null(load(INTERFACE "Nonsense = 1\n", &sent, -EINVAL));
	buffer_fini(&sent);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),       cmocka_unit_test(test_peers),
		cmocka_unit_test(test_endpoint_anew), cmocka_unit_test(test_interface),
		cmocka_unit_test(test_networks),      cmocka_unit_test(test_sent),
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
