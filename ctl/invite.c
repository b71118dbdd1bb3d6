/* SPDX-License-Identifier: MIT */
#include "ctl/invite.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include "crypto/secret.h"
#include "ctl/apply.h"
#include "ctl/config_private.h"
#include "ctl/introduce.h"
#include "ctl/log.h"
#include "ctl/roll.h"
#include "ctl/run_network.h"
#include "ctl/server.h"
#include "ctl/token.h"

#define PARTS_MAX 65536 /* tried for one host */
#define UNPROVED  "the host has not shown that it has the private key of the public one"
/* After one wish to join the next by the same token is not looked at: to look takes time. */
#define JUDGE_SPACING_NS (STATE_SECOND_NS / 10)

static uint64_t wall_ns(const struct state *state)
{
	const struct environment *env = state->device->env;

	return env->wall_ns(env->arg);
}

static uint64_t wall_s(const struct state *state)
{
	return wall_ns(state) / STATE_SECOND_NS;
}

static const struct view *newest_view(const struct state *state)
{
	return atomic_load_explicit(&state->device->view, memory_order_relaxed);
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

/* --- ranges --- */

/* The network in one of whose Subnets @range lies; NOWHERE. */
#define NOWHERE SIZE_MAX

static size_t find_network(const struct state *state, const struct prefix *range)
{
	for (size_t i = 0; i < state->config->network_count; i++) {
		struct config_subnets subnets =
			run_network_subnets(state->networks[i], &state->config->networks[i]);

		for (size_t j = 0; j < subnets.count; j++)
			if (prefix_covers(&subnets.list[j], range))
				return i;
	}
	return NOWHERE;
}

/* To the first part of the same length behind @behind; false: there are no more addresses. */
static bool move_behind(struct prefix *part, const struct prefix *behind)
{
	uint8_t len = part->len;

	*part = *behind;
	part->len = len;
	for (unsigned int bit = behind->len; bit-- > 0;) {
		uint8_t mask = (uint8_t)(0x80u >> bit % 8);

		part->addr[bit / 8] ^= mask;
		if (part->addr[bit / 8] & mask)
			return true;
	}
	return false;
}

/*
 * A part of @invite's range for a host: @wanted, or (NULL) the first that is free. False: @why
 * says who is in the way.
 */
static bool find_part(const struct state *state, const struct roll_invite *invite,
                      const struct prefix *wanted, struct prefix *part, char why[JOIN_TEXT_MAX])
{
	char text[2][PREFIX_TEXT_MAX], claimed[ROLL_CLAIM_TEXT];
	struct roll_claim claim;

	prefix_format(&invite->range, text[0]);
	if (wanted) {
		prefix_format(wanted, text[1]);
		if (!prefix_covers(&invite->range, wanted) || wanted->len < invite->part_len) {
			(void)snprintf(why, JOIN_TEXT_MAX,
			               "%s is not what the token is for: a /%u of %s", text[1],
			               invite->part_len, text[0]);
			return false;
		}
	}
	*part = wanted ? *wanted : invite->range;
	part->len = wanted ? wanted->len : invite->part_len;
	for (unsigned int i = 0; i < PARTS_MAX; i++) {
		if (!introduce_find_claim(state, part, &claim))
			return true;
		if (wanted || part->len == invite->range.len) {
			roll_format_claim(part, &claim, claimed);
			(void)snprintf(why, JOIN_TEXT_MAX, "%s", claimed);
			return false;
		}
		if (!move_behind(part, claim.prefix.len < part->len ? &claim.prefix : part) ||
		    !prefix_covers(&invite->range, part))
			break;
	}
	(void)snprintf(why, JOIN_TEXT_MAX, "no /%u of %s is free any more", invite->part_len,
	               text[0]);
	return false;
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
		return server_error(SERVER_EXIT_USAGE, "expires: expected 1 second to 30 days");
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
	i = find_network(state, &token->range);
	if (i == NOWHERE)
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
	if (!find_part(state, &invite, NULL, &part, why))
		reply = server_error(SERVER_EXIT_USAGE, "%s", why);
	config = reply ? NULL : config_copy(state->config);
	if (!reply && (!config || !token_format(&token, text)))
		reply = server_error(SERVER_EXIT_RUNTIME, "out of memory");
	if (!reply)
		reply = open_invite(state, config, &invite);
	if (!reply) {
		log_line("%s: an invitation to %s", invite.name, range);
		reply = json_pack("{s:b, s:i, s:s, s:s, s:s, s:i, s:s, s:I}", "ok", 1, "version", 1,
		                  "token", text, "id", invite.name, "range", range, "bits",
		                  (int)token.part_len, "network",
		                  state->config->networks[find_network(state, &token.range)].name,
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

static json_t *list_invites(const struct state *state)
{
	uint64_t now_s = wall_s(state);
	json_t *list = json_array();

	for (size_t i = 0; i < state->roll->invite_count; i++) {
		const struct roll_invite *invite = &state->roll->invites[i];
		char range[PREFIX_TEXT_MAX];

		prefix_format(&invite->range, range);
		json_array_append_new(
			list,
			json_pack("{s:s, s:s, s:i, s:I, s:s, s:o}", "id", invite->name, "range",
		                  range, "bits", (int)invite->part_len, "expires",
		                  (json_int_t)invite->expires_s, "state",
		                  invite->revoked              ? "revoked"
		                  : invite->spent              ? "used"
		                  : now_s >= invite->expires_s ? "expired"
		                                               : "open",
		                  "host", invite->spent ? base64(invite->host) : json_null()));
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

/* --- to use one --- */

/* One line for the host that asked. */
static void answer_no(struct state *state, const struct config_peer *from, const char *why)
{
	struct join_message reply = { .type = WIRE_CONTROL_JOIN_REPLY, .refused = true };
	uint8_t out[POST_SIZE_MAX];
	struct run_peer *run = &state->peers[from - state->config->peers];
	struct roll_invite *invite = roll_find_invite(state->roll, from->public_key);
	uint64_t now_ns = device_now(state->device);

	(void)snprintf(reply.text, sizeof(reply.text), "%s", why);
	/* Who has the token may ask a hundred times a second. */
	if (invite && now_ns >= invite->said_ns + STATE_SECOND_NS) {
		invite->said_ns = now_ns;
		log_line("%s: refused: %s", from->name, why);
	}
	if (post_send(run->peer, out, join_format(out, &reply)) == 0)
		workers_kick(&state->workers);
}

static void fill_name(char name[JOIN_NAME_MAX], const struct config *config)
{
	struct utsname host;

	if (uname(&host) < 0 || config_name_problem(host.nodename) ||
	    strlen(host.nodename) >= JOIN_NAME_MAX)
		return;
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].name, host.nodename) == 0)
			return;
	(void)snprintf(name, JOIN_NAME_MAX, "%s", host.nodename);
}

static void fill_self(struct join_host *to, const struct state *state,
                      const struct config_network *network)
{
	memset(to, 0, sizeof(*to));
	secret_derive_public(to->key, state->config->private_key);
	to->introducer = true;
	to->vni = network->vni;
	fill_name(to->name, state->config);
	for (size_t i = 0; i < network->range_count && i < JOIN_PREFIXES_MAX; i++)
		to->prefixes[to->prefix_count++] = network->ranges[i];
}

/* False: it has nothing to do with the network. */
static bool fill_member(struct join_host *to, const struct state *state,
                        const struct config_peer *peer, const struct config_network *network,
                        const struct config_subnets *subnets)
{
	struct endpoint endpoint;

	memset(to, 0, sizeof(*to));
	if (peer->invited || (network->bridged && !config_peer_has_vni(peer, network->vni)))
		return false;
	memcpy(to->key, peer->public_key, KEY_SIZE);
	memcpy(to->name, peer->name, sizeof(to->name));
	to->vni = network->vni;
	for (size_t i = 0; i < peer->allowed_count && !network->bridged; i++)
		for (size_t j = 0; j < subnets->count; j++)
			if (to->prefix_count < JOIN_PREFIXES_MAX &&
			    prefix_covers(&subnets->list[j], &peer->allowed[i]))
				to->prefixes[to->prefix_count++] = peer->allowed[i];
	if (peer->endpoint.host[0] && !peer->endpoint.numeric) {
		config_format_endpoint(&peer->endpoint, to->endpoint, sizeof(to->endpoint));
	} else {
		peer_get_endpoint(state->peers[peer - state->config->peers].peer, &endpoint);
		if (endpoint_is_set(&endpoint))
			endpoint_format(&endpoint, to->endpoint);
	}
	return network->bridged || to->prefix_count;
}

/* As many of the members with greater keys than @after as fit. */
static uint32_t fill_members(struct join_message *reply, const struct state *state,
                             const uint8_t after[KEY_SIZE], const struct roll_host *host,
                             uint8_t out[POST_SIZE_MAX])
{
	size_t place = find_network(state, &host->range);
	const struct config_network *network = &state->config->networks[place];
	struct config_subnets subnets = run_network_subnets(state->networks[place], network);
	const struct view *view = newest_view(state);
	uint32_t len = 0, longer;

	for (size_t i = 0; i < view->peer_count; i++) {
		const uint8_t *key = view->peers[i]->public_key;
		const struct config_peer *peer = config_find_peer(state->config, key);

		if (memcmp(key, after, KEY_SIZE) <= 0 || !peer ||
		    memcmp(key, host->key, KEY_SIZE) == 0)
			continue;
		if (reply->host_count == JOIN_HOSTS_MAX)
			return len;
		if (!fill_member(&reply->hosts[reply->host_count], state, peer, network, &subnets))
			continue;
		reply->host_count++;
		longer = join_format(out, reply);
		if (!longer) {
			reply->host_count--;
			return join_format(out, reply);
		}
		len = longer;
	}
	reply->end = true;
	longer = join_format(out, reply);
	if (longer)
		return longer;
	reply->end = false; /* another page for nothing but that */
	return join_format(out, reply);
}

static void answer_yes(struct state *state, const struct config_peer *from,
                       const struct roll_host *host, const struct join_message *asked)
{
	static const uint8_t first[KEY_SIZE];
	static struct join_message reply; /* large, and this is the control thread's alone */
	uint8_t out[POST_SIZE_MAX];
	size_t place = find_network(state, &host->range);
	const struct config_network *network;
	struct config_subnets subnets;
	uint32_t len;

	if (place == NOWHERE) {
		answer_no(state, from, "the network that the range is of is gone");
		return;
	}
	network = &state->config->networks[place];
	subnets = run_network_subnets(state->networks[place], network);
	memset(&reply, 0, sizeof(reply));
	reply.type = WIRE_CONTROL_JOIN_REPLY;
	(void)snprintf(reply.bridge, sizeof(reply.bridge), "%s", network->bridge);
	for (size_t i = 0; i < subnets.count && i < JOIN_SUBNETS_MAX; i++)
		reply.subnets[reply.subnet_count++] = subnets.list[i];
	introduce_fill(&reply.hosts[reply.host_count++], host);
	if (memcmp(asked->after, first, KEY_SIZE) == 0)
		fill_self(&reply.hosts[reply.host_count++], state, network);
	len = fill_members(&reply, state, asked->after, host, out);
	if (len && post_send(state->peers[from - state->config->peers].peer, out, len) == 0)
		workers_kick(&state->workers);
}

/* PROOF: who asks has the private key of that host, and means this invitation. */
static bool has_proved(const struct state *state, const struct roll_invite *invite,
                       const struct join_message *asked)
{
	const uint8_t *key = asked->hosts[0].key;
	uint8_t proof[MAC_SIZE], own[KEY_SIZE];

	secret_derive_public(own, state->config->private_key);
	return token_prove(proof, state->config->private_key, key, invite->key, own, key) &&
	       secret_equal(proof, asked->proof, MAC_SIZE);
}

/* What the host says of itself, and what it gets. NULL, or why not. */
static const char *judge_join(struct state *state, const struct config_peer *from,
                              const struct roll_invite *invite, const struct join_message *asked,
                              struct roll_host *host, char why[JOIN_TEXT_MAX])
{
	const struct join_host *told = &asked->hosts[0];
	char label[STATE_LABEL_MAX];
	const struct config_peer *other;
	uint8_t own[KEY_SIZE];
	size_t place;

	secret_derive_public(own, state->config->private_key);
	other = config_find_peer(state->config, told->key);
	if (other || memcmp(own, told->key, KEY_SIZE) == 0) {
		if (other)
			state_label_peer(other, label);
		(void)snprintf(why, JOIN_TEXT_MAX, "the host's public key is %s%s's already",
		               other ? "peer " : "", other ? label : "this host");
		return why;
	}
	if (!told->name[0] || config_name_problem(told->name))
		return "the host has told no name that can be one";
	for (size_t i = 0; i < state->config->peer_count; i++) {
		if (strcmp(state->config->peers[i].name, told->name) != 0)
			continue;
		(void)snprintf(why, JOIN_TEXT_MAX,
		               "the name %s is another peer's; take another (--name)", told->name);
		return why;
	}
	if (told->prefix_count > 1 ||
	    !find_part(state, invite, told->prefix_count ? &told->prefixes[0] : NULL, &host->range,
	               why))
		return told->prefix_count > 1 ? "the host asks for several ranges" : why;
	place = find_network(state, &host->range);
	if (place == NOWHERE)
		return "the range is in no network's Subnet here any more";
	host->vni = state->config->networks[place].vni;
	memcpy(host->key, told->key, KEY_SIZE);
	memcpy(host->name, told->name, sizeof(host->name));
	host->ours = true;
	if (told->endpoint[0]) {
		if (!config_parse_endpoint(&host->endpoint, told->endpoint))
			return "the host has told an endpoint that is none";
	} else {
		struct endpoint seen;
		char text[ENDPOINT_TEXT_MAX];

		peer_get_endpoint(state->peers[from - state->config->peers].peer, &seen);
		endpoint_format(&seen, text);
		(void)config_parse_endpoint(&host->endpoint, text);
	}
	return NULL;
}

/* From here on the token is used. NULL, or why not. */
static const char *take_in(struct state *state, struct roll_invite *invite, struct roll_host *host,
                           char why[JOIN_TEXT_MAX])
{
	const char *unkept = "the introducer cannot note on its disk that the token is used";
	struct config *config = config_copy(state->config);
	struct config_error error = { .line = 0 };
	char key[KEY_BASE64_LEN + 1], joined[KEY_BASE64_LEN + 1], line[ROLL_LINE_MAX];
	struct roll *roll = state->roll;
	struct roll_mark *mark;
	int err = -ENOMEM;

	if (!config || roll_put_host(host, config)) {
		config_free(config);
		return "out of memory";
	}
	err = config_check(config, &error);
	if (err || roll->unkept || roll->host_count == ROLL_HOSTS_MAX) {
		config_free(config);
		(void)snprintf(why, JOIN_TEXT_MAX, "%.200s",
		               err            ? error.text
		               : roll->unkept ? unkept
		                              : "the roll of hosts is full");
		return why;
	}
	host->number = roll_next_number(roll, wall_ns(state));
	/* Not before all that it may be refused for: who is refused leaves nothing behind. */
	mark = roll_mark(roll, host->key);
	if (!mark || !roll_add_host(roll, host)) {
		config_free(config);
		return "out of memory";
	}
	secret_to_base64(key, invite->key);
	secret_to_base64(joined, host->key);
	/* It has all that came before it from its own JOIN_REPLY. */
	if (!roll_print_host(host, line) || roll_write(roll, "spent %s %s\n%s\ntold %s %" PRIu64,
	                                               key, joined, line, joined, host->number)) {
		config_free(config);
		roll_remove_host(roll, &roll->hosts[roll->host_count - 1]);
		return unkept;
	}
	invite->spent = true;
	memcpy(invite->host, host->key, KEY_SIZE);
	mark->told = host->number;
	err = apply_config(state, config, NULL, NULL, &error);
	if (err) {
		(void)roll_write(roll, "gone %s", joined);
		roll_remove_host(roll, &roll->hosts[roll->host_count - 1]);
		config_free(config);
		(void)snprintf(why, JOIN_TEXT_MAX, "%.200s", error.text);
		return why;
	}
	return NULL;
}

static void join(struct state *state, const uint8_t key[KEY_SIZE], const struct join_message *asked)
{
	const struct config_peer *from = config_find_peer(state->config, key);
	struct roll_invite *invite = roll_find_invite(state->roll, key);
	const struct roll_host *known = roll_find_host(state->roll, asked->hosts[0].key);
	struct roll_host host = { .number = 0 };
	char why[JOIN_TEXT_MAX], range[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	uint64_t now_ns = device_now(state->device);
	const char *problem = NULL;

	if (!from || !from->invited || !invite || !state->config->has_private_key)
		return;
	/* Its answer was lost, or it wants the next page. */
	if (invite->spent && memcmp(invite->host, asked->hosts[0].key, KEY_SIZE) == 0) {
		if (!has_proved(state, invite, asked))
			answer_no(state, from, UNPROVED);
		else if (known)
			answer_yes(state, from, known, asked);
		else
			answer_no(state, from, "this host has been removed since it joined");
		return;
	}
	if (invite->spent)
		problem = "the token has been used already";
	else if (wall_s(state) >= invite->expires_s)
		problem = "the token has expired";
	else if (!has_proved(state, invite, asked))
		problem = UNPROVED;
	if (!problem && invite->judged_ns && now_ns < invite->judged_ns + JUDGE_SPACING_NS) {
		peer_drop(state->peers[from - state->config->peers].peer, DROP_IN_POST, 1);
		return;
	}
	if (!problem) {
		problem = judge_join(state, from, invite, asked, &host, why);
		if (!problem)
			problem = take_in(state, invite, &host, why);
		invite->judged_ns = device_now(state->device);
	}
	from = config_find_peer(state->config, key); /* it may have moved */
	if (problem) {
		if (from)
			answer_no(state, from, problem);
		return;
	}
	prefix_format(&host.range, range);
	config_format_endpoint(&host.endpoint, endpoint, sizeof(endpoint));
	log_line("peer %s joined by %s: %s at %s", host.name, invite->name, range, endpoint);
	answer_yes(state, from, &host, asked);
	introduce_run(state, device_now(state->device));
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
			join(state, post.from, &message);
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
}
