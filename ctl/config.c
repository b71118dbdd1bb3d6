/* SPDX-License-Identifier: MIT */
/*
 * Reads peers.conf line by line; what a key's value means is config_key.c's matter. A
 * [Peer] is collected in a draft, because its key may come last, and added when the
 * section ends. What holds between the parts is config_check()'s matter.
 *
 * Every buffer that has held a key is wiped, on errors too.
 */
#include "ctl/config_parser.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/buffer.h"
#include "ctl/text.h"

#define FILE_SIZE_MAX (64U << 20)
/* `wg showconf` writes a peer's AllowedIPs in one line: 130,560 of the longest are 6 MB. */
#define LINE_LEN_MAX  (8U << 20)
#define VALUE_LEN_MAX 4096 /* of all values but lists */

static const char *const section_names[SECTION_COUNT] = {
	[SECTION_NONE] = "",     [SECTION_INTERFACE] = "Interface", [SECTION_NETWORK] = "Network",
	[SECTION_PEER] = "Peer", [SECTION_METRICS] = "Metrics",
};

#define fail config_parser_fail

static int fail_memory(struct config_parser *parser)
{
	return config_fail_memory(parser->error, parser->file);
}

/* --- keys --- */

static bool is_ignored(const struct config_key *key)
{
	return !key->read && !key->read_network;
}

static int fail_unknown_key(struct config_parser *parser, struct slice name)
{
	char word[CONFIG_NAME_MAX], quoted[CONFIG_QUOTE_MAX];
	const char *known[CONFIG_KEYS_MAX], *nearest;
	size_t count = 0;

	config_quote(name, quoted);
	for (size_t i = 0; i < config_key_count; i++) {
		if (slice_equals(name, config_keys[i].name))
			return fail(parser, "%s belongs in [%s], not in [%s]", quoted,
			            section_names[config_keys[i].section],
			            section_names[parser->section]);
		if (config_keys[i].section == parser->section && !is_ignored(&config_keys[i]))
			known[count++] = config_keys[i].name;
	}
	nearest = slice_copy(name, word, sizeof(word)) ? text_nearest(word, known, count) : NULL;
	if (!nearest)
		return fail(parser, "unknown key %s in [%s]", quoted,
		            section_names[parser->section]);
	return fail(parser, "unknown key %s; did you mean \"%s\"?", quoted, nearest);
}

static void warn_ignored(struct config_parser *parser, size_t number)
{
	struct config_error warning;

	if (!parser->options->warn || parser->warned & 1ULL << number)
		return;
	parser->warned |= 1ULL << number;
	config_fail(&warning, parser->file, parser->line, "\"%s\" is wg-quick's, ignored",
	            config_keys[number].name);
	parser->options->warn(parser->options->warn_arg, &warning);
}

static int read_value(struct config_parser *parser, const struct config_key *key,
                      unsigned int given, struct slice value)
{
	const struct config_place place = { parser->error, parser->file, key->name, parser->line,
		                            given };

	return key->read ? key->read(parser, value)
	                 : key->read_network(&place, parser->network, value);
}

static int read_key(struct config_parser *parser, struct slice name, struct slice value)
{
	unsigned int given;

	for (size_t i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];

		if (key->section != parser->section || !slice_equals(name, key->name))
			continue;
		if (is_ignored(key)) {
			warn_ignored(parser, i);
			parser->kept.len = 0;
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

static void drop_draft(struct config_parser *parser)
{
	free(parser->draft.allowed);
	free(parser->draft.allowed_lines);
	config_peer_clear_vnis(&parser->draft);
	secret_wipe(&parser->draft, sizeof(parser->draft));
	parser->has_public_key = false;
}

static int end_peer(struct config_parser *parser)
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
	peer->introducer = draft->introducer;
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

static int end_network(struct config_parser *parser)
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

static int end_section(struct config_parser *parser)
{
	int err = 0;

	if (parser->section == SECTION_PEER)
		err = end_peer(parser);
	else if (parser->section == SECTION_NETWORK)
		err = end_network(parser);
	else if (parser->section == SECTION_METRICS && !endpoint_is_set(&parser->config->metrics))
		err = config_fail(parser->error, parser->file, parser->section_line,
		                  "[Metrics] has no Listen");
	drop_draft(parser);
	parser->network = NULL;
	parser->section = SECTION_NONE;
	memset(parser->key_lines, 0, sizeof(parser->key_lines));
	return err;
}

static int begin_network(struct config_parser *parser)
{
	if (parser->options->bridge)
		return fail(parser, "[Network] and --bridge: expected one of them");
	parser->network = config_add_network(parser->config);
	if (!parser->network)
		return fail_memory(parser);
	parser->network->line = parser->line;
	return 0;
}

/* A section that there is once. */
static int begin_only(struct config_parser *parser, enum section section, unsigned int *line)
{
	if (*line)
		return fail(parser, "[%s] is given twice (line %u)", section_names[section], *line);
	*line = parser->line;
	parser->section = section;
	return 0;
}

static int begin_section(struct config_parser *parser, struct slice name)
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
	if (slice_equals(name, section_names[SECTION_INTERFACE]))
		return begin_only(parser, SECTION_INTERFACE, &parser->interface_line);
	if (slice_equals(name, section_names[SECTION_METRICS]))
		return begin_only(parser, SECTION_METRICS, &parser->metrics_line);
	config_quote(name, quoted);
	nearest = slice_copy(name, word, sizeof(word))
	                  ? text_nearest(word, section_names + 1, SECTION_COUNT - 1)
	                  : NULL;
	if (nearest)
		return fail(parser, "unknown section %s; did you mean [%s]?", quoted, nearest);
	return fail(parser,
	            "unknown section %s; expected [Interface], [Network], [Peer] or [Metrics]",
	            quoted);
}

/* --- lines --- */

static int read_line(struct config_parser *parser, struct slice line)
{
	struct slice rest = line, name;
	char quoted[CONFIG_QUOTE_MAX];

	if (line.len > LINE_LEN_MAX)
		return fail(parser, "the line is too long");
	if (memchr(line.at, '\0', line.len))
		return fail(parser, "a zero byte; expected text");
	slice_split(&rest, '#', &line); /* a comment ends a line anywhere, as in wg */
	line = slice_trim(line);
	parser->kept = line;
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

/* The line for options->sent: as many lines, so that messages name the right ones. */
static int send_line(struct config_parser *parser)
{
	struct buffer *sent = parser->options->sent;
	char key[KEY_BASE64_LEN + 1];
	bool fits;

	if (parser->filed_key) {
		secret_to_base64(key, parser->filed_key);
		fits = buffer_printf(sent, "%s = %s\n", parser->filed_name, key);
		secret_wipe(key, sizeof(key));
		parser->filed_key = NULL;
	} else {
		fits = buffer_append(sent, parser->kept.at, parser->kept.len) &&
		       buffer_append(sent, "\n", 1);
	}
	return fits ? 0 : fail(parser, "the file is too long to be sent");
}

static int read_lines(struct config_parser *parser, struct slice text)
{
	struct slice line;
	int err = 0;

	while (!err && slice_split(&text, '\n', &line)) {
		parser->line++;
		err = read_line(parser, line);
		if (!err && parser->options->sent)
			err = send_line(parser);
	}
	return err ? err : end_section(parser);
}

/* A stock wg file: --bridge stands for its [Network]. */
static int add_option_network(struct config_parser *parser)
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

static int read_whole(struct config_parser *parser, struct slice text)
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
	if (parser->config->network_count == 0 && !parser->options->sent)
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
	struct config_parser parser = { .file = file, .error = error };
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

int config_read_file(int fd, size_t size_hint, char **text, size_t *len)
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

static int open_file(const char *path, const struct config_options *options)
{
	bool any_file = options && options->any_file;
	int fd;

	if (options && options->files)
		return options->files->open(options->files_arg, path);
	if (any_file && strcmp(path, CONFIG_STDIN) == 0) {
		fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	/* The open itself would wait for a FIFO's writer. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (any_file ? 0 : O_NONBLOCK));
	return fd < 0 ? -errno : fd;
}

int config_load(const char *path, const struct config_options *options, struct config **config,
                struct config_error *error)
{
	bool any_file = options && options->any_file;
	char *text = NULL;
	struct stat st;
	size_t len = 0;
	int fd, err;

	fd = open_file(path, options);
	if (any_file && strcmp(path, CONFIG_STDIN) == 0)
		path = CONFIG_STDIN_NAME;
	if (fd < 0)
		return config_fail(error, path, 0, "%s", strerror(-fd));
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
	err = config_read_file(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : BUFSIZ, &text, &len);
	if (err == -ENOMEM)
		err = config_fail_memory(error, path);
	else if (err)
		err = config_fail(error, path, 0, "%s", strerror(-err));
	else
		err = parse((struct slice){ text, len }, st.st_mode & CONFIG_OTHERS_MODE, path,
		            options, config, error);
out:
	if (text)
		secret_wipe(text, len);
	free(text);
	close(fd);
	return err;
}
