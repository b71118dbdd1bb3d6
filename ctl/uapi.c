/* SPDX-License-Identifier: MIT */
/*
 * Rules beyond the lines themselves, as wg's other implementations have them: a
 * peer with our own public key is skipped without a word; "update_only" skips a
 * peer that is not there; an allowed_ip leaves whichever peer has it.
 */
#include "ctl/uapi.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/apply.h"
#include "ctl/invite.h"
#include "ctl/log.h"
#include "ctl/upkeep.h"

/* One set under way. */
struct edit {
	struct config *config;
	struct config_error *error;
	uint8_t own_key[KEY_SIZE];
	bool has_peer; /* a public_key line was read; what follows is about it */
	bool skip; /* the peer is not to be touched */
	bool created; /* the peer was not there before its line */
	uint8_t key[KEY_SIZE];
	struct config_peer *peer;
};

static int refuse(struct edit *edit, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int refuse(struct edit *edit, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(edit->error->text, sizeof(edit->error->text), format, args);
	va_end(args);
	/* It may quote what was sent. */
	for (char *c = edit->error->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return -EINVAL;
}

/* Decimal digits alone. */
static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	*number = value;
	return true;
}

static void derive_own_key(struct edit *edit)
{
	secret_wipe(edit->own_key, KEY_SIZE);
	if (edit->config->has_private_key)
		secret_derive_public(edit->own_key, edit->config->private_key);
}

static bool is_own_key(const struct edit *edit, const uint8_t key[KEY_SIZE])
{
	return edit->config->has_private_key && memcmp(edit->own_key, key, KEY_SIZE) == 0;
}

static int set_private_key(struct edit *edit, const char *value)
{
	struct config *config = edit->config;
	uint8_t key[KEY_SIZE];

	if (!secret_from_hex(key, value, strlen(value)))
		return refuse(edit, "private_key: expected %d hexadecimal digits", KEY_HEX_LEN);
	config->has_private_key = !secret_is_zero(key, KEY_SIZE);
	if (config->has_private_key)
		secret_clamp(key);
	memcpy(config->private_key, key, KEY_SIZE);
	secret_wipe(key, sizeof(key));
	derive_own_key(edit);

	/* Whoever has become oneself is no peer any more. */
	struct config_peer *self =
		config->has_private_key ? config_find_peer(config, edit->own_key) : NULL;

	if (self)
		config_remove_peer(config, self);
	return 0;
}

static int edit_device(struct edit *edit, const char *key, const char *value)
{
	struct config *config = edit->config;
	uint64_t number;

	if (strcmp(key, "private_key") == 0)
		return set_private_key(edit, value);
	if (strcmp(key, "listen_port") == 0) {
		if (!parse_number(value, UINT16_MAX, &number))
			return refuse(edit, "listen_port: expected 0 to 65535");
		config->listen_port = (uint16_t)number;
		return 0;
	}
	if (strcmp(key, "fwmark") == 0) {
		if (!parse_number(value, UINT32_MAX, &number))
			return refuse(edit, "fwmark: expected a number of 32 bits");
		config->fwmark = (uint32_t)number;
		return 0;
	}
	if (strcmp(key, "replace_peers") == 0) {
		if (strcmp(value, "true") != 0)
			return refuse(edit, "replace_peers: expected true");
		/* From the end: nothing has to move into the gap. */
		while (config->peer_count)
			config_remove_peer(config, &config->peers[config->peer_count - 1]);
		return 0;
	}
	return refuse(edit, "unknown key of the device: %.64s", key);
}

static int select_peer(struct edit *edit, const char *value)
{
	if (!secret_from_hex(edit->key, value, strlen(value)))
		return refuse(edit, "public_key: expected %d hexadecimal digits", KEY_HEX_LEN);
	edit->has_peer = true;
	edit->created = false;
	edit->peer = NULL;
	edit->skip = is_own_key(edit, edit->key);
	if (edit->skip)
		return 0;
	edit->peer = config_find_peer(edit->config, edit->key);
	if (edit->peer)
		return 0;
	edit->peer = config_add_peer(edit->config, edit->key);
	edit->created = true;
	return edit->peer ? 0 : -ENOMEM;
}

static void remove_peer(struct edit *edit)
{
	if (!edit->skip)
		config_remove_peer(edit->config, edit->peer);
	edit->peer = NULL;
	edit->skip = true;
}

static int edit_allowed(struct edit *edit, const char *value)
{
	struct prefix prefix;
	bool remove = *value == '-';

	if (remove || *value == '+')
		value++;
	if (!prefix_parse(&prefix, value))
		return refuse(edit, "allowed_ip: expected ADDRESS/BITS, not %.64s", value);
	if (edit->skip)
		return 0;
	if (remove) {
		(void)config_peer_remove_allowed(edit->peer, &prefix);
		return 0;
	}
	return config_move_allowed(edit->config, edit->peer, &prefix);
}

static int edit_endpoint(struct edit *edit, const char *value)
{
	struct config_endpoint endpoint;

	if (!config_parse_endpoint(&endpoint, value) || !endpoint.numeric)
		return refuse(edit, "endpoint: expected ADDRESS:PORT, not %.100s", value);
	if (edit->skip)
		return 0;
	edit->peer->endpoint = endpoint;
	edit->peer->endpoint_line = 0;
	edit->peer->endpoint_serial++;
	return 0;
}

static int edit_psk(struct edit *edit, const char *value)
{
	uint8_t psk[KEY_SIZE];

	if (!secret_from_hex(psk, value, strlen(value)))
		return refuse(edit, "preshared_key: expected %d hexadecimal digits", KEY_HEX_LEN);
	if (!edit->skip)
		memcpy(edit->peer->psk, psk, KEY_SIZE);
	secret_wipe(psk, sizeof(psk));
	return 0;
}

static int edit_flag(struct edit *edit, const char *key, const char *value)
{
	if (strcmp(value, "true") != 0)
		return refuse(edit, "%.64s: expected true", key);
	if (strcmp(key, "remove") == 0 || (strcmp(key, "update_only") == 0 && edit->created))
		remove_peer(edit);
	else if (strcmp(key, "replace_allowed_ips") == 0 && !edit->skip)
		config_peer_clear_allowed(edit->peer);
	return 0;
}

static int edit_peer(struct edit *edit, const char *key, const char *value)
{
	uint64_t number;

	if (strcmp(key, "allowed_ip") == 0)
		return edit_allowed(edit, value);
	if (strcmp(key, "remove") == 0 || strcmp(key, "update_only") == 0 ||
	    strcmp(key, "replace_allowed_ips") == 0)
		return edit_flag(edit, key, value);
	if (strcmp(key, "preshared_key") == 0)
		return edit_psk(edit, value);
	if (strcmp(key, "endpoint") == 0)
		return edit_endpoint(edit, value);
	if (strcmp(key, "persistent_keepalive_interval") == 0) {
		if (!parse_number(value, UINT16_MAX, &number))
			return refuse(edit, "%s: expected 0 to 65535", key);
		if (!edit->skip)
			edit->peer->keepalive_s = (uint16_t)number;
		return 0;
	}
	if (strcmp(key, "protocol_version") == 0)
		return strcmp(value, "1") == 0 ? 0 : refuse(edit, "protocol_version: expected 1");
	return refuse(edit, "unknown key of a peer: %.64s", key);
}

static int edit_line(struct edit *edit, char *line)
{
	char *value = strchr(line, '=');

	if (!value) {
		refuse(edit, "expected KEY=VALUE");
		return -EPROTO;
	}
	*value++ = '\0';
	if (strcmp(line, "public_key") == 0)
		return select_peer(edit, value);
	return edit->has_peer ? edit_peer(edit, line, value) : edit_device(edit, line, value);
}

int uapi_edit(struct config *config, char *text, size_t len, struct config_error *error)
{
	struct edit edit = { .config = config, .error = error };
	char *line = text, *end = text + len;
	unsigned int number = 1; /* "set=1" was the first */
	int ret = 0;

	memset(error, 0, sizeof(*error));
	derive_own_key(&edit);
	while (line < end && !ret) {
		char *newline = memchr(line, '\n', (size_t)(end - line));

		number++;
		if (!newline || memchr(line, '\0', (size_t)(newline - line))) {
			refuse(&edit, "expected lines of text");
			ret = -EPROTO;
			break;
		}
		*newline = '\0';
		ret = edit_line(&edit, line);
		line = newline + 1;
	}
	if (ret)
		error->line = number;
	return ret;
}

/* Requests */

static int do_set(struct state *state, char *text, size_t len)
{
	struct config *config = config_copy(state->config);
	struct config_error error;
	char line[1024];
	int ret;

	if (!config)
		return -ENOMEM;
	ret = uapi_edit(config, text, len, &error);
	if (!ret)
		ret = config_check(config, &error);
	if (!ret)
		ret = apply_config(state, config, NULL, NULL, &error);
	if (!ret) {
		/* A peer that is taken away is so for good, whatever happens next. */
		invite_tick(state);
		upkeep_tick(state);
		return 0;
	}
	config_free(config);
	if (error.text[0]) {
		(void)snprintf(error.file, sizeof(error.file), "wg");
		config_error_format(&error, line, sizeof(line));
		log_line("refused: %s", line);
	}
	return ret;
}

static void put_key(struct buffer *reply, const char *name, const uint8_t key[KEY_SIZE])
{
	char hex[KEY_HEX_LEN + 1];

	secret_to_hex(hex, key);
	buffer_printf(reply, "%s=%s\n", name, hex);
	secret_wipe(hex, sizeof(hex));
}

static void get_peer(const struct run_peer *run, const struct config_peer *config, uint64_t now_ns,
                     struct buffer *reply)
{
	struct peer_info info;
	char text[ENDPOINT_TEXT_MAX > PREFIX_TEXT_MAX ? ENDPOINT_TEXT_MAX : PREFIX_TEXT_MAX];

	peer_get_info(run->peer, now_ns, &info);
	put_key(reply, "public_key", config->public_key);
	put_key(reply, "preshared_key", config->psk);
	buffer_printf(reply, "protocol_version=1\n");
	if (endpoint_is_set(&info.endpoint)) {
		endpoint_format(&info.endpoint, text);
		buffer_printf(reply, "endpoint=%s\n", text);
	}
	buffer_printf(reply,
	              "last_handshake_time_sec=%" PRIu64 "\nlast_handshake_time_nsec=%" PRIu64 "\n",
	              info.handshake_wall_ns / STATE_SECOND_NS,
	              info.handshake_wall_ns % STATE_SECOND_NS);
	buffer_printf(reply, "tx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64 "\n", info.tx_bytes,
	              info.rx_bytes);
	buffer_printf(reply, "persistent_keepalive_interval=%u\n",
	              (unsigned int)config->keepalive_s);
	for (size_t i = 0; i < config->allowed_count; i++) {
		prefix_format(&config->allowed[i], text);
		buffer_printf(reply, "allowed_ip=%s\n", text);
	}
}

static int do_get(struct state *state, struct buffer *reply)
{
	const struct config *config = state->config;
	uint64_t now_ns = device_now(state->device);

	if (config->has_private_key)
		put_key(reply, "private_key", config->private_key);
	if (state->udp_open)
		buffer_printf(reply, "listen_port=%u\n", (unsigned int)state->udp[0].port);
	if (config->fwmark)
		buffer_printf(reply, "fwmark=%u\n", config->fwmark);
	for (size_t i = 0; i < config->peer_count; i++)
		get_peer(&state->peers[i], &config->peers[i], now_ns, reply);
	return reply->failed ? -ENOMEM : 0;
}

static bool answer(void *arg, char *request, size_t len, struct buffer *reply)
{
	static const char get[] = "get=1\n\n", set[] = "set=1\n";
	struct state *state = arg;
	int ret;

	if (len == sizeof(get) - 1 && memcmp(request, get, len) == 0)
		ret = do_get(state, reply);
	else if (len >= sizeof(set) && memcmp(request, set, sizeof(set) - 1) == 0)
		ret = do_set(state, request + sizeof(set) - 1, len - sizeof(set));
	else
		return false; /* another protocol, or another version of this */
	buffer_printf(reply, "errno=%d\n\n", ret);
	return true;
}

static void no_reply(struct buffer *reply)
{
	buffer_printf(reply, "errno=%d\n\n", -ENOMEM);
}

const struct listener_ops uapi_ops = {
	.end = "\n\n",
	.request_max = UAPI_REQUEST_MAX,
	.total_max = 2 * (size_t)UAPI_REQUEST_MAX,
	.reply_max = UAPI_REPLY_MAX,
	.held_max = UAPI_REPLY_MAX,
	.no_reply = no_reply,
	.answer = answer,
};
