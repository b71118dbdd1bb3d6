/* SPDX-License-Identifier: MIT */
#include "ctl/invite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "crypto/secret.h"
#include "ctl/admit.h"
#include "ctl/apply.h"
#include "ctl/config_private.h"
#include "ctl/introduce.h"
#include "ctl/invite_part.h"
#include "ctl/log.h"
#include "ctl/roll.h"
#include "ctl/server.h"
#include "ctl/token.h"

static uint64_t wall_s(const struct state *state)
{
	return state_wall_ns(state) / STATE_SECOND_NS;
}

/* Checks @config and puts it in force, or frees it. */
static int put_in_force(struct state *state, struct config *config, struct config_error *error)
{
	int err = config_check(config, error);

	if (!err)
		err = apply_config(state, config, NULL, NULL, error);
	if (err)
		config_free(config);
	return err;
}

/* --- to make one --- */

static json_t *read_endpoints(const json_t *request, struct token *token)
{
	const json_t *list = json_object_get(request, "endpoints");
	struct config_endpoint endpoint;
	json_t *item;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > TOKEN_ENDPOINTS_MAX)
		return server_error(SERVER_EXIT_USAGE, "endpoints: expected 1 to %d of this host's",
		                    TOKEN_ENDPOINTS_MAX);
	json_array_foreach (list, i, item) {
		const char *text = json_string_value(item);

		if (!text || !config_parse_endpoint(&endpoint, text) ||
		    strlen(text) >= TOKEN_ENDPOINT_MAX)
			return server_error(
				SERVER_EXIT_USAGE,
				"\"%.200s\": expected ADDRESS:PORT, [IPV6]:PORT or NAME:PORT "
				"of this host",
				text ? text : "endpoints");
		(void)snprintf(token->endpoints[i], TOKEN_ENDPOINT_MAX, "%s", text);
	}
	token->endpoint_count = (unsigned int)json_array_size(list);
	return NULL;
}

static json_t *read_range(const json_t *request, struct token *token)
{
	const char *text = json_string_value(json_object_get(request, "range"));
	const json_t *bits = json_object_get(request, "bits");
	json_int_t len;

	if (!text || !strchr(text, '/') || !prefix_parse(&token->range, text))
		return server_error(SERVER_EXIT_USAGE,
		                    "\"%.100s\": expected a range, as in 172.20.104.0/24",
		                    text ? text : "range");
	len = bits ? json_integer_value(bits) : token->range.len;
	if (len < token->range.len || len > (token->range.family == 4 ? 30 : 126))
		return server_error(
			SERVER_EXIT_USAGE,
			"prefix: expected the length in bits of a part of %s, of 4 addresses "
			"or more",
			text);
	token->part_len = (uint8_t)len;
	return NULL;
}

static json_t *read_request(const struct state *state, const json_t *request, struct token *token)
{
	const json_t *life = json_object_get(request, "expires_s");
	json_t *wrong = read_range(request, token);

	if (!wrong)
		wrong = read_endpoints(request, token);
	if (wrong)
		return wrong;
	if (!json_is_integer(life) || json_integer_value(life) < 1 ||
	    json_integer_value(life) > INVITE_LIFE_MAX_S)
		return server_error(SERVER_EXIT_USAGE,
		                    "expires_s: expected a number of seconds, 30 days at most");
	token->expires_s = wall_s(state) + (uint64_t)json_integer_value(life);
	return NULL;
}

/* What has to be so before anybody is invited; NULL: all is well. */
static json_t *judge_host(const struct state *state, const struct token *token)
{
	const struct config *config = state->config;
	const struct config_network *network;
	char range[PREFIX_TEXT_MAX];
	size_t i;

	if (!config->introducer)
		return server_error(SERVER_EXIT_USAGE,
		                    "this host may not invite: [Interface] of %s has no "
		                    "Introducer = yes",
		                    state->path);
	if (!config->has_private_key)
		return server_error(SERVER_EXIT_RUNTIME, "this host has no private key");
	if (!state->roll || state->roll->unkept)
		return server_error(
			SERVER_EXIT_RUNTIME,
			"an invitation has to be kept on the disk, and is not: %s; restart "
			"ovltund",
			state->roll ? state->roll->unkept : "no journal");
	prefix_format(&token->range, range);
	i = invite_find_network(state, &token->range);
	if (i == INVITE_NOWHERE)
		return server_error(SERVER_EXIT_USAGE, "%s is in no network's Subnet here", range);
	network = &config->networks[i];
	if (!network->bridged && !network->range_count)
		return server_error(
			SERVER_EXIT_USAGE,
			"network %s has no Range: who joins has to be told what lives here",
			network->name);
	return NULL;
}

/* The next start does not count it any more, either. */
static void forget(struct roll *roll, struct roll_invite *invite)
{
	char key[KEY_BASE64_LEN + 1];

	secret_to_base64(key, invite->key);
	(void)roll_write(roll, "revoked %s", key);
	roll_remove_invite(roll, invite);
}

/* The one that matters least goes, if there has to be room. */
static bool make_room(struct state *state, struct config *config)
{
	struct roll *roll = state->roll;
	struct config_peer *peer;

	if (roll->invite_count < ROLL_INVITES_MAX)
		return true;
	for (size_t i = 0; i < roll->invite_count; i++) {
		struct roll_invite *invite = &roll->invites[i];

		if (!invite->spent && !invite->revoked && wall_s(state) < invite->expires_s)
			continue;
		peer = config_find_peer(config, invite->key);
		if (peer)
			config_remove_peer(config, peer);
		forget(roll, invite);
		return true;
	}
	return false;
}

/* Into the roll and in force. Consumes @config. */
static json_t *open_invite(struct state *state, struct config *config, struct roll_invite *invite)
{
	char line[ROLL_LINE_MAX], key[KEY_BASE64_LEN + 1];
	struct config_error error = { .line = 0 };
	struct roll_invite *made;
	int err;

	if (!make_room(state, config)) {
		config_free(config);
		return server_error(
			SERVER_EXIT_RUNTIME,
			"%d invitations are open already: revoke one (ovlctl peer remove "
			"INVITATION)",
			ROLL_INVITES_MAX);
	}
	/* The room was made by a line of the journal, too. */
	if (state->roll->unkept) {
		config_free(config);
		return server_error(SERVER_EXIT_RUNTIME, "%s", state->roll->unkept);
	}
	made = roll_add_invite(state->roll, invite);
	err = !made || !roll_print_invite(made, line) ? -ENOMEM : roll_put_invite(made, config);
	if (!err)
		err = roll_write(state->roll, "%s", line);
	secret_wipe(line, sizeof(line));
	if (!err) {
		*invite = *made;
		err = put_in_force(state, config, &error);
		if (!err)
			return NULL;
		secret_to_base64(key, invite->key);
		(void)roll_write(state->roll, "revoked %s", key);
	} else {
		config_free(config);
	}
	if (made)
		roll_remove_invite(state->roll, made);
	return server_error(SERVER_EXIT_RUNTIME, "%s", error.text[0] ? error.text : strerror(-err));
}

json_t *invite_make(struct state *state, const json_t *request)
{
	struct token token = { .expires_s = 0 };
	struct roll_invite invite = { .spent = false };
	struct roll_host host = { .number = 0 };
	char text[TOKEN_TEXT_MAX] = "", range[PREFIX_TEXT_MAX], why[JOIN_TEXT_MAX];
	struct token_keys keys;
	struct prefix part;
	struct config *config;
	json_t *reply = read_request(state, request, &token);

	if (!reply)
		reply = judge_host(state, &token);
	if (reply)
		return reply;
	secret_random(token.secret, sizeof(token.secret));
	secret_derive_public(token.introducer, state->config->private_key);
	token_derive(&token, &keys);
	memcpy(invite.key, keys.public_key, KEY_SIZE);
	memcpy(invite.psk, keys.psk, KEY_SIZE);
	invite.expires_s = token.expires_s;
	invite.range = token.range;
	invite.part_len = token.part_len;
	prefix_format(&token.range, range);
	/* Rather now than when the other host comes. */
	host.range = invite.range;
	if (!invite_find_part(state, &invite, NULL, &part, why) ||
	    !admit_can_tell(state, &host, why))
		reply = server_error(SERVER_EXIT_USAGE, "%s", why);
	config = reply ? NULL : config_copy(state->config);
	if (!reply && (!config || !token_format(&token, text)))
		reply = server_error(SERVER_EXIT_RUNTIME, "out of memory");
	if (!reply)
		reply = open_invite(state, config, &invite);
	if (!reply) {
		log_line("%s: an invitation to %s", invite.name, range);
		reply = json_pack(
			"{s:b, s:i, s:s, s:s, s:s, s:i, s:s, s:I}", "ok", 1, "version", 1, "token",
			text, "id", invite.name, "range", range, "bits", (int)token.part_len,
			"network",
			state->config->networks[invite_find_network(state, &token.range)].name,
			"expires", (json_int_t)token.expires_s);
	}
	secret_wipe(&keys, sizeof(keys));
	secret_wipe(&token, sizeof(token));
	secret_wipe(&invite, sizeof(invite));
	secret_wipe(text, sizeof(text));
	return reply;
}

/* --- to list them --- */

static json_t *base64(const uint8_t key[KEY_SIZE])
{
	char text[KEY_BASE64_LEN + 1];

	secret_to_base64(text, key);
	return json_string(text);
}

const char *invite_state(const struct state *state, const struct roll_invite *invite)
{
	if (invite->revoked)
		return "revoked";
	if (invite->spent)
		return "used";
	return wall_s(state) >= invite->expires_s ? "expired" : "open";
}

static json_t *list_invites(const struct state *state)
{
	json_t *list = json_array();

	for (size_t i = 0; i < state->roll->invite_count; i++) {
		const struct roll_invite *invite = &state->roll->invites[i];
		char range[PREFIX_TEXT_MAX];

		prefix_format(&invite->range, range);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:i, s:I, s:s, s:o}", "id", invite->name,
		                        "range", range, "bits", (int)invite->part_len, "expires",
		                        (json_int_t)invite->expires_s, "state",
		                        invite_state(state, invite), "host",
		                        invite->spent ? base64(invite->host) : json_null()));
	}
	return list;
}

/* Members that have not answered yet that they heard of @host. */
static json_t *list_untold(const struct state *state, const struct roll_host *host)
{
	json_t *list = json_array();

	for (size_t i = 0; host->ours && i < state->config->peer_count; i++) {
		const struct config_peer *peer = &state->config->peers[i];
		const struct roll_mark *mark = roll_find_mark(state->roll, peer->public_key);
		char label[STATE_LABEL_MAX];

		if (peer->invited || memcmp(peer->public_key, host->key, KEY_SIZE) == 0 ||
		    (mark && mark->told >= host->number))
			continue;
		state_label_peer(peer, label);
		json_array_append_new(list, json_string(label));
	}
	return list;
}

static json_t *list_hosts(const struct state *state)
{
	json_t *list = json_array();

	for (size_t i = 0; i < state->roll->host_count; i++) {
		const struct roll_host *host = &state->roll->hosts[i];
		char range[PREFIX_TEXT_MAX];

		prefix_format(&host->range, range);
		json_array_append_new(
			list, json_pack("{s:s, s:o, s:s, s:o, s:b, s:o}", "name", host->name,
		                        "public_key", base64(host->key), "range", range, "by",
		                        host->ours ? json_null() : base64(host->by), "in_force",
		                        !host->idle, "untold", list_untold(state, host)));
	}
	return list;
}

json_t *invite_list(struct state *state, const json_t *request)
{
	(void)request;
	if (!state->roll)
		return server_error(SERVER_EXIT_RUNTIME, "this daemon keeps no roll");
	return json_pack("{s:b, s:i, s:b, s:i, s:o, s:o, s:o}", "ok", 1, "version", 1, "introducer",
	                 state->config->introducer, "listen_port", (int)state->udp[0].port,
	                 "unkept",
	                 state->roll->unkept ? json_string(state->roll->unkept) : json_null(),
	                 "invitations", list_invites(state), "introduced", list_hosts(state));
}

/* --- the whole --- */

void invite_dispatch(struct state *state)
{
	static struct join_message message; /* large, and this is the control thread's alone */
	struct post_message post;
	const struct config_peer *from;

	for (unsigned int i = 0; i < POST_BOX && post_take(state->device->post, &post); i++) {
		from = config_find_peer(state->config, post.from);
		if (!from || !state->roll)
			continue;
		if (!join_parse(post.bytes, post.len, &message)) {
			peer_drop(state->peers[from - state->config->peers].peer, DROP_IN_CONTROL,
			          1);
			continue;
		}
		if (message.type == WIRE_CONTROL_JOIN)
			admit_take(state, post.from, post.session, &message);
		else if (message.type == WIRE_CONTROL_INTRODUCE)
			introduce_take(state, from, &message);
		else if (message.type == WIRE_CONTROL_INTRODUCE_REPLY)
			introduce_answered(state, from, &message);
	}
}

/* Whose peer somebody took away. */
static void look_for_revoked(struct state *state)
{
	struct roll *roll = state->roll;
	char key[KEY_BASE64_LEN + 1];

	for (size_t i = 0; i < roll->invite_count; i++) {
		struct roll_invite *invite = &roll->invites[i];

		if (invite->revoked || config_find_peer(state->config, invite->key))
			continue;
		invite->revoked = true;
		secret_to_base64(key, invite->key);
		(void)roll_write(roll, "revoked %s", key);
		log_line("%s: revoked%s%s", invite->name,
		         roll_is_stale(roll) ? ", but open again from the next start on: " : "",
		         roll_is_stale(roll) ? roll->unkept : "");
	}
}

static void forget_old(struct state *state)
{
	struct roll *roll = state->roll;
	uint64_t now_s = wall_s(state);
	struct config_error error;
	struct config *config = NULL;
	struct config_peer *peer;

	for (size_t i = roll->invite_count; i-- > 0;) {
		if (now_s < roll->invites[i].expires_s + ROLL_GRACE_S)
			continue;
		if (!config)
			config = config_copy(state->config);
		if (!config)
			return; /* the next tick tries again */
		peer = config_find_peer(config, roll->invites[i].key);
		if (peer)
			config_remove_peer(config, peer);
		forget(roll, &roll->invites[i]);
	}
	if (config && put_in_force(state, config, &error))
		log_line("an old invitation's peer stays for now: %s", error.text);
}

void invite_tick(struct state *state)
{
	invite_dispatch(state); /* of what came faster than it was taken */
	if (!state->roll || (!state->roll->invite_count && !state->roll->host_count))
		return;
	look_for_revoked(state);
	forget_old(state);
	introduce_look(state);
	introduce_run(state, device_now(state->device));
	introduce_note(state->roll);
}
