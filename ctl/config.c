/* SPDX-License-Identifier: MIT */
/*
 * Reads peers.conf line by line. One table says which keys there are, in which
 * section, and who reads each. A [Peer] is collected in a draft, because its
 * key may come last, and added when the section ends. What holds between the
 * parts is config_check()'s matter.
 *
 * Every buffer that has held a key is wiped, on errors too.
 */
#include "ctl/config_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/text.h"

#define FILE_SIZE_MAX (64U << 20)
/* `wg showconf` writes a peer's AllowedIPs in one line: 130,560 of the longest are 6 MB. */
#define LINE_LEN_MAX  (8U << 20)
#define VALUE_LEN_MAX 4096 /* of all values but lists */
#define KEY_FILE_MAX  256
#define KEEPALIVE_MAX UINT16_MAX
#define OTHERS_MODE   077
#define KEY_EXPECTED  "expected 44 characters of base64 (32 bytes)"

enum section {
	SECTION_NONE,
	SECTION_INTERFACE,
	SECTION_NETWORK,
	SECTION_PEER,
	SECTION_COUNT,
};

static const char *const section_names[SECTION_COUNT] = {
	[SECTION_NONE] = "",
	[SECTION_INTERFACE] = "Interface",
	[SECTION_NETWORK] = "Network",
	[SECTION_PEER] = "Peer",
};

#define KEYS_MAX 64

struct parser {
	const char *file;
	const struct config_options *options;
	struct config_error *error;
	struct config *config;
	unsigned int line;
	enum section section;
	unsigned int section_line;
	unsigned int interface_line; /* of [Interface]; 0: none yet */
	unsigned int key_lines[KEYS_MAX]; /* where this section's keys were given; 0: not yet */
	struct config_network *network; /* the open [Network] */
	struct config_peer draft; /* the open [Peer] */
	bool has_public_key;
	const char *secret_key; /* the first key that puts a secret into the file itself */
	unsigned int secret_line;
	uint64_t warned; /* bits: numbers of wg-quick's keys that were warned about */
};

struct key {
	const char *name;
	enum section section;
	bool repeats; /* may be given several times */
	int (*read)(struct parser *parser, struct slice value); /* NULL: wg-quick's, or */
	int (*read_network)(const struct config_place *place, struct config_network *network,
	                    struct slice value);
};

#define fail(parser, ...) config_fail((parser)->error, (parser)->file, (parser)->line, __VA_ARGS__)

static int fail_memory(struct parser *parser)
{
	return config_fail_memory(parser->error, parser->file);
}

/* `KEY "VALUE": EXPECTED` */
static int fail_value(struct parser *parser, const char *key, struct slice value,
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

static void note_secret(struct parser *parser, const char *key)
{
	if (parser->secret_key)
		return;
	parser->secret_key = key;
	parser->secret_line = parser->line;
}

/* A relative path starts at the folder of the configuration. */
static bool key_file_path(const struct parser *parser, struct slice value, char out[PATH_MAX])
{
	const char *slash = strrchr(parser->file, '/');
	size_t folder = slash ? (size_t)(slash - parser->file) + 1 : 0;

	if (value.len > 0 && value.at[0] == '/')
		folder = 0;
	if (folder >= PATH_MAX)
		return false;
	memcpy(out, parser->file, folder);
	return slice_copy(value, out + folder, PATH_MAX - folder);
}

/* NULL, or what is wrong with the open file. */
static const char *key_file_problem(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "expected a file";
	if (st.st_mode & OTHERS_MODE)
		return "others than its owner can use this file: chmod 600 it";
	return NULL;
}

static int read_key_file(struct parser *parser, const char *name, struct slice value,
                         uint8_t key[KEY_SIZE])
{
	char path[PATH_MAX], text[KEY_FILE_MAX];
	const char *problem;
	ssize_t n = 0;
	int fd;

	if (value.len == 0 || !key_file_path(parser, value, path))
		return fail_value(parser, name, value, "expected the path of a file");
	/* Does not block on a FIFO, nor become the terminal of this process. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return fail_value(parser, name, value, strerror(errno));
	problem = key_file_problem(fd);
	if (!problem) {
		n = read(fd, text, sizeof(text));
		if (n < 0)
			problem = strerror(errno);
		else if (!read_key_text(key, (struct slice){ text, (size_t)n }))
			problem = "expected 44 characters of base64 (32 bytes) in the file";
		secret_wipe(text, sizeof(text));
	}
	close(fd);
	return problem ? fail_value(parser, name, value, problem) : 0;
}

/* --- [Interface] --- */

static int set_private_key(struct parser *parser)
{
	if (parser->config->has_private_key)
		return fail(parser, "PrivateKey and PrivateKeyFile: expected one of them");
	parser->config->has_private_key = true;
	return 0;
}

static int read_private_key(struct parser *parser, struct slice value)
{
	if (set_private_key(parser))
		return -EINVAL;
	note_secret(parser, "PrivateKey");
	if (!read_key_text(parser->config->private_key, value))
		return fail(parser, "PrivateKey: " KEY_EXPECTED);
	return 0;
}

static int read_private_key_file(struct parser *parser, struct slice value)
{
	if (set_private_key(parser))
		return -EINVAL;
	return read_key_file(parser, "PrivateKeyFile", value, parser->config->private_key);
}

static int read_listen_port(struct parser *parser, struct slice value)
{
	uint32_t port;

	if (!config_parse_number(value, UINT16_MAX, &port))
		return fail_value(parser, "ListenPort", value, "expected 0 to 65535");
	parser->config->listen_port = (uint16_t)port;
	return 0;
}

static int read_fwmark(struct parser *parser, struct slice value)
{
	if (!config_parse_fwmark(value, &parser->config->fwmark))
		return fail_value(parser, "FwMark", value,
		                  "expected off or a number of 32 bits, like 51820 or 0xca6c");
	return 0;
}

static int read_workers(struct parser *parser, struct slice value)
{
	uint32_t workers;

	if (!config_parse_number(value, CONFIG_WORKERS_MAX, &workers) || workers == 0)
		return fail_value(parser, "Workers", value, "expected 1 to 16");
	parser->config->workers = workers;
	return 0;
}

/* --- [Network] --- */

static int read_network_name(struct parser *parser, struct slice value)
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

static int read_bridge(struct parser *parser, struct slice value)
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

static int read_mtu(struct parser *parser, struct slice value)
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
static int read_prefixes(struct parser *parser, const char *key, struct slice value,
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
			return fail_memory(parser);
	}
	return 0;
}

static int read_subnet(struct parser *parser, struct slice value)
{
	struct config_network *network = parser->network;

	return read_prefixes(parser, "Subnet", value, &network->subnets, &network->subnet_lines,
	                     &network->subnet_count);
}

static int read_range(struct parser *parser, struct slice value)
{
	struct config_network *network = parser->network;

	return read_prefixes(parser, "Range", value, &network->ranges, &network->range_lines,
	                     &network->range_count);
}

/* --- [Peer] --- */

static int read_peer_name(struct parser *parser, struct slice value)
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

static int read_public_key(struct parser *parser, struct slice value)
{
	struct config_peer *peer = &parser->draft;

	if (!read_key_text(peer->public_key, value))
		return fail_value(parser, "PublicKey", value, KEY_EXPECTED);
	peer->key_line = parser->line;
	parser->has_public_key = true;
	return 0;
}

static int set_psk(struct parser *parser)
{
	if (!secret_is_zero(parser->draft.psk, KEY_SIZE))
		return fail(parser, "PresharedKey and PresharedKeyFile: expected one of them");
	return 0;
}

static int read_psk(struct parser *parser, struct slice value)
{
	if (set_psk(parser))
		return -EINVAL;
	note_secret(parser, "PresharedKey");
	if (!read_key_text(parser->draft.psk, value))
		return fail(parser, "PresharedKey: " KEY_EXPECTED);
	return 0;
}

static int read_psk_file(struct parser *parser, struct slice value)
{
	if (set_psk(parser))
		return -EINVAL;
	return read_key_file(parser, "PresharedKeyFile", value, parser->draft.psk);
}

static int read_allowed(struct parser *parser, struct slice value)
{
	struct config_peer *peer = &parser->draft;

	if (value.len == 0)
		return 0; /* wg's way to say: none */
	return read_prefixes(parser, "AllowedIPs", value, &peer->allowed, &peer->allowed_lines,
	                     &peer->allowed_count);
}

static int read_vnis(struct parser *parser, struct slice value)
{
	const struct config_place place = { parser->error, parser->file, "VNIs", parser->line, 0 };

	return config_read_vnis(&place, &parser->draft, value);
}

static int read_endpoint(struct parser *parser, struct slice value)
{
	char text[CONFIG_HOST_MAX + sizeof("[]:65535")];

	parser->draft.endpoint_line = parser->line;
	if (!slice_copy(value, text, sizeof(text)) ||
	    !config_parse_endpoint(&parser->draft.endpoint, text))
		return fail_value(parser, "Endpoint", value,
		                  "expected ADDRESS:PORT, [IPv6]:PORT or NAME:PORT");
	return 0;
}

static int read_keepalive(struct parser *parser, struct slice value)
{
	uint32_t seconds = 0;

	if (!slice_equals(value, "off") && !config_parse_number(value, KEEPALIVE_MAX, &seconds))
		return fail_value(parser, "PersistentKeepalive", value,
		                  "expected off or 0 to 65535 seconds");
	parser->draft.keepalive_s = (uint16_t)seconds;
	return 0;
}

/* --- keys --- */

static const struct key keys[] = {
	{ "PrivateKey", SECTION_INTERFACE, false, read_private_key, NULL },
	{ "PrivateKeyFile", SECTION_INTERFACE, false, read_private_key_file, NULL },
	{ "ListenPort", SECTION_INTERFACE, false, read_listen_port, NULL },
	{ "FwMark", SECTION_INTERFACE, false, read_fwmark, NULL },
	{ "Workers", SECTION_INTERFACE, false, read_workers, NULL },
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
	{ "ArpCheck", SECTION_NETWORK, false, NULL, config_read_arp_check },
	{ "FDB", SECTION_NETWORK, true, NULL, config_read_station },
	{ "Name", SECTION_PEER, false, read_peer_name, NULL },
	{ "PublicKey", SECTION_PEER, false, read_public_key, NULL },
	{ "PresharedKey", SECTION_PEER, false, read_psk, NULL },
	{ "PresharedKeyFile", SECTION_PEER, false, read_psk_file, NULL },
	{ "AllowedIPs", SECTION_PEER, true, read_allowed, NULL },
	{ "VNIs", SECTION_PEER, true, read_vnis, NULL },
	{ "Endpoint", SECTION_PEER, false, read_endpoint, NULL },
	{ "PersistentKeepalive", SECTION_PEER, false, read_keepalive, NULL },
};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))
_Static_assert(KEY_COUNT <= KEYS_MAX, "a bit and a line for each key");

static bool is_ignored(const struct key *key)
{
	return !key->read && !key->read_network;
}

static int fail_unknown_key(struct parser *parser, struct slice name)
{
	char word[CONFIG_NAME_MAX], quoted[CONFIG_QUOTE_MAX];
	const char *known[KEY_COUNT], *nearest;
	size_t count = 0;

	config_quote(name, quoted);
	for (size_t i = 0; i < KEY_COUNT; i++) {
		if (slice_equals(name, keys[i].name))
			return fail(parser, "%s belongs in [%s], not in [%s]", quoted,
			            section_names[keys[i].section], section_names[parser->section]);
		if (keys[i].section == parser->section && !is_ignored(&keys[i]))
			known[count++] = keys[i].name;
	}
	nearest = slice_copy(name, word, sizeof(word)) ? text_nearest(word, known, count) : NULL;
	if (!nearest)
		return fail(parser, "unknown key %s in [%s]", quoted,
		            section_names[parser->section]);
	return fail(parser, "unknown key %s; did you mean \"%s\"?", quoted, nearest);
}

static void warn_ignored(struct parser *parser, size_t number)
{
	struct config_error warning;

	if (!parser->options->warn || parser->warned & 1ULL << number)
		return;
	parser->warned |= 1ULL << number;
	config_fail(&warning, parser->file, parser->line, "\"%s\" is wg-quick's, ignored",
	            keys[number].name);
	parser->options->warn(parser->options->warn_arg, &warning);
}

static int read_value(struct parser *parser, const struct key *key, unsigned int given,
                      struct slice value)
{
	const struct config_place place = { parser->error, parser->file, key->name, parser->line,
		                            given };

	return key->read ? key->read(parser, value)
	                 : key->read_network(&place, parser->network, value);
}

static int read_key(struct parser *parser, struct slice name, struct slice value)
{
	unsigned int given;

	for (size_t i = 0; i < KEY_COUNT; i++) {
		const struct key *key = &keys[i];

		if (key->section != parser->section || !slice_equals(name, key->name))
			continue;
		if (is_ignored(key)) {
			warn_ignored(parser, i);
			return 0;
		}
		if (!key->repeats && value.len > VALUE_LEN_MAX)
			return fail(parser, "%s: the value is too long", key->name);
		if (!key->repeats && parser->key_lines[i])
			return fail(parser, "%s is given twice (line %u)", key->name,
			            parser->key_lines[i]);
		given = parser->key_lines[i];
		parser->key_lines[i] = parser->line;
		return read_value(parser, key, given, value);
	}
	return fail_unknown_key(parser, name);
}

/* --- sections --- */

static void drop_draft(struct parser *parser)
{
	free(parser->draft.allowed);
	free(parser->draft.allowed_lines);
	config_peer_clear_vnis(&parser->draft);
	secret_wipe(&parser->draft, sizeof(parser->draft));
	parser->has_public_key = false;
}

static int end_peer(struct parser *parser)
{
	const struct config_peer *draft = &parser->draft, *other;
	struct config_peer *peer;

	if (!parser->has_public_key)
		return config_fail(parser->error, parser->file, parser->section_line,
		                   "[Peer] has no PublicKey");
	other = config_find_peer(parser->config, draft->public_key);
	if (other)
		return config_fail(parser->error, parser->file, draft->key_line,
		                   "the peer of line %u has this PublicKey too", other->line);
	peer = config_add_peer(parser->config, draft->public_key);
	if (!peer)
		return fail_memory(parser);
	memcpy(peer->name, draft->name, sizeof(peer->name));
	memcpy(peer->psk, draft->psk, sizeof(peer->psk));
	peer->endpoint = draft->endpoint;
	peer->keepalive_s = draft->keepalive_s;
	peer->line = parser->section_line;
	peer->name_line = draft->name_line;
	peer->key_line = draft->key_line;
	peer->endpoint_line = draft->endpoint_line;
	for (size_t i = 0; i < draft->allowed_count; i++)
		if (config_add_allowed_at(peer, &draft->allowed[i], draft->allowed_lines[i]))
			return fail_memory(parser);
	for (size_t i = 0; i < draft->vni_count; i++)
		if (config_add_vni_at(peer, draft->vnis[i], draft->vni_lines[i]))
			return fail_memory(parser);
	return 0;
}

static int end_network(struct parser *parser)
{
	struct config_network *network = parser->network;

	if (!network->bridge[0])
		return config_fail(parser->error, parser->file, parser->section_line,
		                   "[Network] has no Bridge");
	if (!network->name[0]) {
		slice_copy(slice_of(network->bridge), network->name, sizeof(network->name));
		network->name_line = network->bridge_line;
	}
	return 0;
}

static int end_section(struct parser *parser)
{
	int err = 0;

	if (parser->section == SECTION_PEER)
		err = end_peer(parser);
	else if (parser->section == SECTION_NETWORK)
		err = end_network(parser);
	drop_draft(parser);
	parser->network = NULL;
	parser->section = SECTION_NONE;
	memset(parser->key_lines, 0, sizeof(parser->key_lines));
	return err;
}

static int begin_network(struct parser *parser)
{
	if (parser->options->bridge)
		return fail(parser, "[Network] and --bridge: expected one of them");
	parser->network = config_add_network(parser->config);
	if (!parser->network)
		return fail_memory(parser);
	parser->network->line = parser->line;
	return 0;
}

static int begin_section(struct parser *parser, struct slice name)
{
	char word[CONFIG_NAME_MAX], quoted[CONFIG_QUOTE_MAX];
	const char *nearest;
	int err;

	err = end_section(parser);
	if (err)
		return err;
	parser->section_line = parser->line;
	if (slice_equals(name, section_names[SECTION_PEER])) {
		parser->section = SECTION_PEER;
		return 0;
	}
	if (slice_equals(name, section_names[SECTION_NETWORK])) {
		parser->section = SECTION_NETWORK;
		return begin_network(parser);
	}
	if (slice_equals(name, section_names[SECTION_INTERFACE])) {
		if (parser->interface_line)
			return fail(parser, "[Interface] is given twice (line %u)",
			            parser->interface_line);
		parser->interface_line = parser->line;
		parser->section = SECTION_INTERFACE;
		return 0;
	}
	config_quote(name, quoted);
	nearest = slice_copy(name, word, sizeof(word))
	                  ? text_nearest(word, section_names + 1, SECTION_COUNT - 1)
	                  : NULL;
	if (nearest)
		return fail(parser, "unknown section %s; did you mean [%s]?", quoted, nearest);
	return fail(parser, "unknown section %s; expected [Interface], [Network] or [Peer]",
	            quoted);
}

/* --- lines --- */

static int read_line(struct parser *parser, struct slice line)
{
	struct slice rest = line, name;
	char quoted[CONFIG_QUOTE_MAX];

	if (line.len > LINE_LEN_MAX)
		return fail(parser, "the line is too long");
	if (memchr(line.at, '\0', line.len))
		return fail(parser, "a zero byte; expected text");
	slice_split(&rest, '#', &line); /* a comment ends a line anywhere, as in wg */
	line = slice_trim(line);
	if (line.len == 0)
		return 0;
	if (line.at[0] == '[') {
		if (line.at[line.len - 1] != ']')
			return fail(parser, "%s: expected \"]\" at the end",
			            config_quote(line, quoted));
		return begin_section(parser,
		                     slice_trim((struct slice){ line.at + 1, line.len - 2 }));
	}
	rest = line;
	slice_split(&rest, '=', &name);
	if (!rest.at)
		return fail(parser, "%s: expected KEY = VALUE", config_quote(line, quoted));
	if (parser->section == SECTION_NONE)
		return fail(parser, "%s: expected a section first, [Interface] say",
		            config_quote(slice_trim(name), quoted));
	return read_key(parser, slice_trim(name), slice_trim(rest));
}

static int read_lines(struct parser *parser, struct slice text)
{
	struct slice line;
	int err = 0;

	while (!err && slice_split(&text, '\n', &line)) {
		parser->line++;
		err = read_line(parser, line);
	}
	return err ? err : end_section(parser);
}

/* A stock wg file: --bridge stands for its [Network]. */
static int add_option_network(struct parser *parser)
{
	const char *bridge = parser->options->bridge, *problem;
	char quoted[CONFIG_QUOTE_MAX];
	struct config_network *network;

	problem = config_bridge_problem(bridge);
	if (problem)
		return config_fail(parser->error, "", 0, "--bridge %s: %s",
		                   config_quote(slice_of(bridge), quoted), problem);
	network = config_add_network(parser->config);
	if (!network)
		return fail_memory(parser);
	slice_copy(slice_of(bridge), network->bridge, sizeof(network->bridge));
	slice_copy(slice_of(bridge), network->name, sizeof(network->name));
	return 0;
}

static int read_whole(struct parser *parser, struct slice text)
{
	int err;

	err = read_lines(parser, text);
	if (!err && parser->options->bridge)
		err = add_option_network(parser);
	if (err)
		return err;
	if (!parser->interface_line)
		return config_fail(parser->error, parser->file, 0, "there is no [Interface]");
	if (!parser->config->has_private_key)
		return config_fail(parser->error, parser->file, parser->interface_line,
		                   "[Interface] has no PrivateKey or PrivateKeyFile");
	if (secret_is_zero(parser->config->private_key, KEY_SIZE)) /* wg's "no key" */
		return config_fail(parser->error, parser->file, parser->interface_line,
		                   "the private key is all zero; expected one from ovlctl genkey");
	if (parser->config->network_count == 0)
		return config_fail(parser->error, parser->file, 0,
		                   "there is no [Network]; add one, or give --bridge NAME");
	err = config_resolve_members(parser->config, parser->error);
	return err ? err : config_check(parser->config, parser->error);
}

/* @shared: others can read the text, so it must not hold secrets. */
static int parse(struct slice text, bool shared, const char *file,
                 const struct config_options *options, struct config **config,
                 struct config_error *error)
{
	static const struct config_options no_options;
	struct parser parser = { .file = file, .error = error };
	int err;

	parser.options = options ? options : &no_options;
	parser.config = config_new(file);
	if (!parser.config)
		return config_fail_memory(error, file);
	err = read_whole(&parser, text);
	if (!err && shared && parser.secret_key)
		err = config_fail(error, file, parser.secret_line,
		                  "%s in a file that others can use: chmod 600 it",
		                  parser.secret_key);
	drop_draft(&parser);
	if (err) {
		config_free(parser.config);
		return err;
	}
	*config = parser.config;
	return 0;
}

int config_parse(const char *text, size_t len, const char *file,
                 const struct config_options *options, struct config **config,
                 struct config_error *error)
{
	return parse((struct slice){ text, len }, false, file, options, config, error);
}

/* --- the file --- */

/* Not realloc(), which would leave keys behind. */
static char *grow_buffer(char *old, size_t used, size_t size)
{
	char *new = malloc(size);

	if (new &&used > 0)
		memcpy(new, old, used);
	if (new &&old) {
		secret_wipe(old, used);
		free(old);
	}
	return new;
}

/* Reads pipes too: `ovlctl check <(…)`. The caller wipes and frees *@text, on errors too. */
static int read_file(int fd, size_t size_hint, char **text, size_t *len)
{
	size_t size = size_hint < FILE_SIZE_MAX ? size_hint + 1 : FILE_SIZE_MAX + 1;

	*text = NULL;
	*len = 0;
	for (;;) {
		char *grown = grow_buffer(*text, *len, size);
		ssize_t n;

		if (!grown)
			return -ENOMEM;
		*text = grown;
		while (*len < size) {
			n = read(fd, *text + *len, size - *len);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (n == 0)
				return 0;
			*len += (size_t)n;
		}
		if (size > FILE_SIZE_MAX)
			return -EFBIG;
		size = size * 2 + BUFSIZ;
	}
}

int config_load(const char *path, const struct config_options *options, struct config **config,
                struct config_error *error)
{
	bool any_file = options && options->any_file;
	char *text = NULL;
	struct stat st;
	size_t len = 0;
	int fd, err;

	/* The open itself would wait for a FIFO's writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (any_file ? 0 : O_NONBLOCK));
	if (fd < 0)
		return config_fail(error, path, 0, "%s", strerror(errno));
	if (fstat(fd, &st) < 0) {
		err = config_fail(error, path, 0, "%s", strerror(errno));
		goto out;
	}
	if (!S_ISREG(st.st_mode) && !any_file) {
		err = config_fail(error, path, 0, "expected a regular file, not %s",
		                  S_ISDIR(st.st_mode)    ? "a directory"
		                  : S_ISFIFO(st.st_mode) ? "a pipe"
		                                         : "a device");
		goto out;
	}
	err = read_file(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : BUFSIZ, &text, &len);
	if (err == -ENOMEM)
		err = config_fail_memory(error, path);
	else if (err)
		err = config_fail(error, path, 0, "%s", strerror(-err));
	else
		err = parse((struct slice){ text, len }, st.st_mode & OTHERS_MODE, path, options,
		            config, error);
out:
	if (text)
		secret_wipe(text, len);
	free(text);
	close(fd);
	return err;
}
