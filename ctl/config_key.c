/* SPDX-License-Identifier: MIT */
/*
 * One table says which keys there are in peers.conf, in which section, and who reads
 * each. What only bridged networks have is read in config_bridged.c. A [Peer] is read
 * into the parser's draft, the others into the configuration itself.
 *
 * Every buffer that has held a key is wiped, on errors too.
 */
#include "ctl/config_parser.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include "ctl/key_file.h"

#define KEEPALIVE_MAX UINT16_MAX
#define KEY_EXPECTED  "expected 44 characters of base64 (32 bytes)"

#define fail          config_parser_fail

/* `KEY "VALUE": EXPECTED` */
static int fail_value(struct config_parser *parser, const char *key, struct slice value,
                      const char *expected)
{
	char quoted[CONFIG_QUOTE_MAX];

	return fail(parser, "%s %s: %s", key, config_quote(value, quoted), expected);
}

/* --- keys and key files --- */

static bool read_key_text(uint8_t key[KEY_SIZE], struct slice text)
{
	text = slice_trim(text);
	return secret_from_base64(key, text.at, text.len);
}

static void note_secret(struct config_parser *parser, const char *key)
{
	if (parser->secret_key)
		return;
	parser->secret_key = key;
	parser->secret_line = parser->line;
}

/* @plain: the name of the key that has the value itself; with a file it is "…File". */
static int read_key_file(struct config_parser *parser, const char *plain, struct slice value,
                         uint8_t key[KEY_SIZE])
{
	const struct config_options *options = parser->options;
	char path[PATH_MAX], name[32];
	int err;

	(void)snprintf(name, sizeof(name), "%sFile", plain);
	if (options->no_key_files)
		return fail_value(parser, name, value, "expected no file here, but the key");
	if (value.len == 0 || !config_file_path(parser->file, value, path))
		return fail_value(parser, name, value, "expected the path of a file");
	parser->filed_name = plain;
	parser->filed_key = key;
	err = options->files ? options->files->read_key(options->files_arg, path, key)
	                     : key_file_read(path, key);
	return err ? fail_value(parser, name, value, key_file_problem(err)) : 0;
}

/* --- [Interface] --- */

static int set_private_key(struct config_parser *parser)
{
	if (parser->config->has_private_key)
		return fail(parser, "PrivateKey and PrivateKeyFile: expected one of them");
	parser->config->has_private_key = true;
	return 0;
}

static int read_private_key(struct config_parser *parser, struct slice value)
{
	if (set_private_key(parser))
		return -EINVAL;
	note_secret(parser, "PrivateKey");
	if (!read_key_text(parser->config->private_key, value))
		return fail(parser, "PrivateKey: " KEY_EXPECTED);
	return 0;
}

static int read_private_key_file(struct config_parser *parser, struct slice value)
{
	if (set_private_key(parser))
		return -EINVAL;
	return read_key_file(parser, "PrivateKey", value, parser->config->private_key);
}

static int read_listen_port(struct config_parser *parser, struct slice value)
{
	uint32_t port;

	if (!config_parse_number(value, UINT16_MAX, &port))
		return fail_value(parser, "ListenPort", value, "expected 0 to 65535");
	parser->config->listen_port = (uint16_t)port;
	return 0;
}

static int read_fwmark(struct config_parser *parser, struct slice value)
{
	if (!config_parse_fwmark(value, &parser->config->fwmark))
		return fail_value(parser, "FwMark", value,
		                  "expected off or a number of 32 bits, like 51820 or 0xca6c");
	return 0;
}

static int read_workers(struct config_parser *parser, struct slice value)
{
	uint32_t workers;

	if (!config_parse_number(value, CONFIG_WORKERS_MAX, &workers) || workers == 0)
		return fail_value(parser, "Workers", value, "expected 1 to 16");
	parser->config->workers = workers;
	return 0;
}

static int read_realtime(struct config_parser *parser, struct slice value)
{
	if (slice_equals(value, "yes"))
		parser->config->realtime = CONFIG_REALTIME_YES;
	else if (slice_equals(value, "no"))
		parser->config->realtime = CONFIG_REALTIME_NO;
	else
		return fail_value(parser, "Realtime", value, "expected yes or no");
	return 0;
}

static int read_busy_poll(struct config_parser *parser, struct slice value)
{
	if (!config_parse_number(value, CONFIG_BUSY_POLL_MAX, &parser->config->busy_poll_us))
		return fail_value(parser, "BusyPoll", value, "expected microseconds, 0 to 1000000");
	return 0;
}

static int read_yes(struct config_parser *parser, const char *key, struct slice value, bool *yes)
{
	*yes = slice_equals(value, "yes");
	if (!*yes && !slice_equals(value, "no"))
		return fail_value(parser, key, value, "expected yes or no");
	return 0;
}

static int read_introducer(struct config_parser *parser, struct slice value)
{
	return read_yes(parser, "Introducer", value, &parser->config->introducer);
}

/* --- [Network] --- */

static int read_network_name(struct config_parser *parser, struct slice value)
{
	struct config_network *network = parser->network;
	const char *problem;

	if (!slice_copy(value, network->name, sizeof(network->name)))
		return fail_value(parser, "Name", value, "a name has at most 63 characters");
	problem = config_name_problem(network->name);
	if (problem)
		return fail_value(parser, "Name", value, problem);
	network->name_line = parser->line;
	return 0;
}

static int read_bridge(struct config_parser *parser, struct slice value)
{
	struct config_network *network = parser->network;
	const char *problem;

	network->bridge_line = parser->line;
	if (!slice_copy(value, network->bridge, sizeof(network->bridge)))
		return fail_value(parser, "Bridge", value,
		                  "a network device's name has at most 15 characters");
	problem = config_bridge_problem(network->bridge);
	return problem ? fail_value(parser, "Bridge", value, problem) : 0;
}

static int read_mtu(struct config_parser *parser, struct slice value)
{
	struct config_network *network = parser->network;

	network->mtu_line = parser->line;
	network->mtu = CONFIG_MTU_AUTO;
	if (slice_equals(value, "auto"))
		return 0;
	if (!config_parse_number(value, CONFIG_MTU_MAX, &network->mtu) ||
	    network->mtu < CONFIG_MTU_MIN)
		return fail_value(parser, "MTU", value, "expected auto or 576 to 65455");
	return 0;
}

/* Each element of a comma list goes to the open section. */
static int read_prefixes(struct config_parser *parser, const char *key, struct slice value,
                         struct prefix **list, unsigned int **lines, size_t *count)
{
	struct slice part;

	while (slice_split(&value, ',', &part)) {
		struct prefix prefix;

		part = slice_trim(part);
		if (!config_parse_prefix(part, &prefix))
			return fail_value(parser, key, part,
			                  "expected addresses like 172.20.101.0/24 or fd00:1::/64");
		if (config_append_prefix(list, lines, count, &prefix, parser->line))
			return config_fail_memory(parser->error, parser->file);
	}
	return 0;
}

static int read_subnet(struct config_parser *parser, struct slice value)
{
	struct config_network *network = parser->network;

	return read_prefixes(parser, "Subnet", value, &network->subnets, &network->subnet_lines,
	                     &network->subnet_count);
}

static int read_range(struct config_parser *parser, struct slice value)
{
	struct config_network *network = parser->network;

	return read_prefixes(parser, "Range", value, &network->ranges, &network->range_lines,
	                     &network->range_count);
}

/* --- [Peer] --- */

static int read_peer_name(struct config_parser *parser, struct slice value)
{
	struct config_peer *peer = &parser->draft;
	const char *problem;

	if (!slice_copy(value, peer->name, sizeof(peer->name)))
		return fail_value(parser, "Name", value, "a name has at most 63 characters");
	problem = config_name_problem(peer->name);
	if (problem)
		return fail_value(parser, "Name", value, problem);
	peer->name_line = parser->line;
	return 0;
}

static int read_public_key(struct config_parser *parser, struct slice value)
{
	struct config_peer *peer = &parser->draft;

	if (!read_key_text(peer->public_key, value))
		return fail_value(parser, "PublicKey", value, KEY_EXPECTED);
	peer->key_line = parser->line;
	parser->has_public_key = true;
	return 0;
}

static int set_psk(struct config_parser *parser)
{
	if (!secret_is_zero(parser->draft.psk, KEY_SIZE))
		return fail(parser, "PresharedKey and PresharedKeyFile: expected one of them");
	return 0;
}

static int read_psk(struct config_parser *parser, struct slice value)
{
	if (set_psk(parser))
		return -EINVAL;
	note_secret(parser, "PresharedKey");
	if (!read_key_text(parser->draft.psk, value))
		return fail(parser, "PresharedKey: " KEY_EXPECTED);
	return 0;
}

static int read_psk_file(struct config_parser *parser, struct slice value)
{
	if (set_psk(parser))
		return -EINVAL;
	return read_key_file(parser, "PresharedKey", value, parser->draft.psk);
}

static int read_allowed(struct config_parser *parser, struct slice value)
{
	struct config_peer *peer = &parser->draft;

	if (value.len == 0)
		return 0; /* wg's way to say: none */
	return read_prefixes(parser, "AllowedIPs", value, &peer->allowed, &peer->allowed_lines,
	                     &peer->allowed_count);
}

static int read_vnis(struct config_parser *parser, struct slice value)
{
	const struct config_place place = { parser->error, parser->file, "VNIs", parser->line, 0 };

	return config_read_vnis(&place, &parser->draft, value);
}

static int read_endpoint(struct config_parser *parser, struct slice value)
{
	char text[CONFIG_HOST_MAX + sizeof("[]:65535")];

	parser->draft.endpoint_line = parser->line;
	if (!slice_copy(value, text, sizeof(text)) ||
	    !config_parse_endpoint(&parser->draft.endpoint, text))
		return fail_value(parser, "Endpoint", value,
		                  "expected ADDRESS:PORT, [IPv6]:PORT or NAME:PORT");
	return 0;
}

static int read_keepalive(struct config_parser *parser, struct slice value)
{
	uint32_t seconds = 0;

	if (!slice_equals(value, "off") && !config_parse_number(value, KEEPALIVE_MAX, &seconds))
		return fail_value(parser, "PersistentKeepalive", value,
		                  "expected off or 0 to 65535 seconds");
	parser->draft.keepalive_s = (uint16_t)seconds;
	return 0;
}

static int read_peer_introducer(struct config_parser *parser, struct slice value)
{
	return read_yes(parser, "Introducer", value, &parser->draft.introducer);
}

/* --- [Metrics] --- */

static bool is_loopback(const struct endpoint *endpoint)
{
	if (endpoint->remote.sa.sa_family == AF_INET)
		return ntohl(endpoint->remote.in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&endpoint->remote.in6.sin6_addr);
}

/* What may have been meant: this host, by a port alone or by its name. */
static int fail_listen(struct config_parser *parser, struct slice value)
{
	struct slice rest = value, host;
	char quoted[CONFIG_QUOTE_MAX];
	uint32_t port = 0;

	slice_split(&rest, ':', &host);
	if (!rest.at)
		rest = host;
	else if (!slice_equals(host, "localhost") && host.len > 0)
		rest = slice_of("");
	if (config_parse_number(rest, UINT16_MAX, &port) && port)
		return fail(parser, "Listen %s: did you mean \"127.0.0.1:%u\"?",
		            config_quote(value, quoted), port);
	return fail_value(parser, "Listen", value,
	                  "expected ADDRESS:PORT, as 127.0.0.1:9587 or [::1]:9587");
}

static int read_listen(struct config_parser *parser, struct slice value)
{
	struct endpoint *listen = &parser->config->metrics;
	char text[ENDPOINT_TEXT_MAX];
	struct config_error warning;

	if (!slice_copy(value, text, sizeof(text)) || endpoint_parse(listen, text))
		return fail_listen(parser, value);
	if (!is_loopback(listen) && parser->options->warn) {
		config_fail(&warning, parser->file, parser->line,
		            "Listen = %s: not a loopback address; whoever reaches it reads the "
		            "names and traffic of all peers, without a password",
		            text);
		parser->options->warn(parser->options->warn_arg, &warning);
	}
	return 0;
}

/* --- keys --- */

const struct config_key config_keys[] = {
	{ "PrivateKey", SECTION_INTERFACE, false, read_private_key, NULL },
	{ "PrivateKeyFile", SECTION_INTERFACE, false, read_private_key_file, NULL },
	{ "ListenPort", SECTION_INTERFACE, false, read_listen_port, NULL },
	{ "FwMark", SECTION_INTERFACE, false, read_fwmark, NULL },
	{ "Workers", SECTION_INTERFACE, false, read_workers, NULL },
	{ "BusyPoll", SECTION_INTERFACE, false, read_busy_poll, NULL },
	{ "Realtime", SECTION_INTERFACE, false, read_realtime, NULL },
	{ "Introducer", SECTION_INTERFACE, false, read_introducer, NULL },
	{ "Address", SECTION_INTERFACE, true, NULL, NULL },
	{ "DNS", SECTION_INTERFACE, true, NULL, NULL },
	{ "MTU", SECTION_INTERFACE, true, NULL, NULL },
	{ "Table", SECTION_INTERFACE, true, NULL, NULL },
	{ "PreUp", SECTION_INTERFACE, true, NULL, NULL },
	{ "PostUp", SECTION_INTERFACE, true, NULL, NULL },
	{ "PreDown", SECTION_INTERFACE, true, NULL, NULL },
	{ "PostDown", SECTION_INTERFACE, true, NULL, NULL },
	{ "SaveConfig", SECTION_INTERFACE, true, NULL, NULL },
	{ "Name", SECTION_NETWORK, false, read_network_name, NULL },
	{ "Bridge", SECTION_NETWORK, false, read_bridge, NULL },
	{ "Subnet", SECTION_NETWORK, true, read_subnet, NULL },
	{ "Range", SECTION_NETWORK, true, read_range, NULL },
	{ "MTU", SECTION_NETWORK, false, read_mtu, NULL },
	{ "Mode", SECTION_NETWORK, false, NULL, config_read_mode },
	{ "VNI", SECTION_NETWORK, false, NULL, config_read_vni },
	{ "Guard", SECTION_NETWORK, false, NULL, config_read_guard },
	{ "VLANs", SECTION_NETWORK, true, NULL, config_read_vlans },
	{ "RouterAdverts", SECTION_NETWORK, true, NULL, config_read_routers },
	{ "DHCPServers", SECTION_NETWORK, true, NULL, config_read_dhcp_servers },
	{ "LinkControl", SECTION_NETWORK, false, NULL, config_read_link_control },
	{ "UnknownUnicast", SECTION_NETWORK, false, NULL, config_read_unknown },
	{ "MACs", SECTION_NETWORK, false, NULL, config_read_macs },
	{ "HostRouting", SECTION_NETWORK, false, NULL, config_read_host_routing },
	{ "ArpCheck", SECTION_NETWORK, false, NULL, config_read_arp_check },
	{ "FDB", SECTION_NETWORK, true, NULL, config_read_station },
	{ "Listen", SECTION_METRICS, false, read_listen, NULL },
	{ "Name", SECTION_PEER, false, read_peer_name, NULL },
	{ "PublicKey", SECTION_PEER, false, read_public_key, NULL },
	{ "PresharedKey", SECTION_PEER, false, read_psk, NULL },
	{ "PresharedKeyFile", SECTION_PEER, false, read_psk_file, NULL },
	{ "AllowedIPs", SECTION_PEER, true, read_allowed, NULL },
	{ "VNIs", SECTION_PEER, true, read_vnis, NULL },
	{ "Endpoint", SECTION_PEER, false, read_endpoint, NULL },
	{ "PersistentKeepalive", SECTION_PEER, false, read_keepalive, NULL },
	{ "Introducer", SECTION_PEER, false, read_peer_introducer, NULL },
};

const size_t config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);
_Static_assert(sizeof(config_keys) / sizeof(config_keys[0]) <= CONFIG_KEYS_MAX,
               "a bit and a line for each key");
