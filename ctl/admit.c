/* SPDX-License-Identifier: MIT */
#include "ctl/admit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include "crypto/secret.h"
#include "ctl/apply.h"
#include "ctl/config_private.h"
#include "ctl/events.h"
#include "ctl/introduce.h"
#include "ctl/invite_part.h"
#include "ctl/log.h"
#include "ctl/roll.h"
#include "ctl/run_network.h"
#include "ctl/token.h"

#define UNPROVED "the host has not shown that it has the private key of the public one"
/* After one wish to join the next by the same token is not looked at: to look takes time. */
#define JUDGE_SPACING_NS (STATE_SECOND_NS / 10)

static const struct view *newest_view(const struct state *state)
{
	return atomic_load_explicit(&state->device->view, memory_order_relaxed);
}

/* --- what the host is told --- */

/* Several may have one token: the answer is for whom it was asked by. */
struct asker {
	const struct config_peer *peer;
	uint32_t session;
};

static void answer(struct state *state, struct asker to, const uint8_t *out, uint32_t len)
{
	struct peer *peer = state->peers[to.peer - state->config->peers].peer;

	if (len && post_answer(peer, to.session, out, len) == 0)
		workers_kick(&state->workers);
}

/* One line for the host that asked. */
static void answer_no(struct state *state, struct asker from, const char *why)
{
	struct join_message reply = { .type = WIRE_CONTROL_JOIN_REPLY, .refused = true };
	uint8_t out[POST_SIZE_MAX];
	struct roll_invite *invite = roll_find_invite(state->roll, from.peer->public_key);
	uint64_t now_ns = device_now(state->device);

	(void)snprintf(reply.text, sizeof(reply.text), "%s", why);
	/* Who has the token may ask a hundred times a second. */
	if (invite && now_ns >= invite->said_ns + STATE_SECOND_NS) {
		invite->said_ns = now_ns;
		log_line("%s: refused: %s", from.peer->name, why);
	}
	answer(state, from, out, join_format(out, &reply));
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
	size_t place = invite_find_network(state, &host->range);
	const struct config_network *network = &state->config->networks[place];
	struct config_subnets subnets = run_network_subnets(state->networks[place], network);
	const struct view *view = newest_view(state);
	uint32_t len = 0, longer;

	for (size_t i = 0; i < view->peer_count; i++) {
		const uint8_t *key = view->peers[i]->public_key;
		const struct config_peer *peer;

		if (memcmp(key, after, KEY_SIZE) <= 0 || memcmp(key, host->key, KEY_SIZE) == 0)
			continue;
		peer = config_find_peer(state->config, key);
		if (!peer)
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

static void begin_page(struct join_message *page, const struct config_network *network,
                       const struct config_subnets *subnets, const struct roll_host *host)
{
	memset(page, 0, sizeof(*page));
	page->type = WIRE_CONTROL_JOIN_REPLY;
	(void)snprintf(page->bridge, sizeof(page->bridge), "%s", network->bridge);
	for (size_t i = 0; i < subnets->count && i < JOIN_SUBNETS_MAX; i++)
		page->subnets[page->subnet_count++] = subnets->list[i];
	introduce_fill(&page->hosts[page->host_count++], host);
}

static void answer_yes(struct state *state, struct asker from, const struct roll_host *host,
                       const struct join_message *asked)
{
	static const uint8_t first[KEY_SIZE];
	static struct join_message reply; /* large, and this is the control thread's alone */
	uint8_t out[POST_SIZE_MAX];
	size_t place = invite_find_network(state, &host->range);
	const struct config_network *network;
	struct config_subnets subnets;

	if (place == INVITE_NOWHERE) {
		answer_no(state, from, "the network that the range is of is gone");
		return;
	}
	network = &state->config->networks[place];
	subnets = run_network_subnets(state->networks[place], network);
	begin_page(&reply, network, &subnets, host);
	if (memcmp(asked->after, first, KEY_SIZE) == 0)
		fill_self(&reply.hosts[reply.host_count++], state, network);
	answer(state, from, out, fill_members(&reply, state, asked->after, host, out));
}

/* Of @peer's prefixes those that a member of that network is told. */
static size_t count_prefixes(const struct config_peer *peer, const struct config_subnets *subnets)
{
	size_t count = 0;

	for (size_t i = 0; i < peer->allowed_count; i++)
		for (size_t j = 0; j < subnets->count; j++)
			count += prefix_covers(&subnets->list[j], &peer->allowed[i]);
	return count;
}

/* What is on every page, and one member. */
static bool fits_page(const struct state *state, const struct config_peer *peer,
                      const struct config_network *network, const struct config_subnets *subnets,
                      struct join_message *page)
{
	uint8_t out[POST_SIZE_MAX];

	page->host_count = 2;
	return !fill_member(&page->hosts[1], state, peer, network, subnets) ||
	       join_format(out, page);
}

bool admit_can_tell(const struct state *state, const struct roll_host *host,
                    char why[JOIN_TEXT_MAX])
{
	static struct join_message page; /* large, and this is the control thread's alone */
	size_t place = invite_find_network(state, &host->range);
	const struct config_network *network = &state->config->networks[place];
	struct config_subnets subnets = run_network_subnets(state->networks[place], network);
	char label[STATE_LABEL_MAX];

	if (network->range_count > JOIN_PREFIXES_MAX || subnets.count > JOIN_SUBNETS_MAX) {
		(void)snprintf(why, JOIN_TEXT_MAX,
		               "network %s has %zu Ranges and %zu Subnets, and a host that joins "
		               "can be told of %d and %d",
		               network->name, network->range_count, subnets.count,
		               JOIN_PREFIXES_MAX, JOIN_SUBNETS_MAX);
		return false;
	}
	begin_page(&page, network, &subnets, host);
	for (size_t i = 0; i < state->config->peer_count; i++) {
		const struct config_peer *peer = &state->config->peers[i];
		size_t count = network->bridged ? 0 : count_prefixes(peer, &subnets);

		state_label_peer(peer, label);
		if (count > JOIN_PREFIXES_MAX) {
			(void)snprintf(why, JOIN_TEXT_MAX,
			               "peer %s has %zu prefixes in network %s, and a host that "
			               "joins can be told of %d of one peer",
			               label, count, network->name, JOIN_PREFIXES_MAX);
			return false;
		}
		if (!fits_page(state, peer, network, &subnets, &page)) {
			(void)snprintf(why, JOIN_TEXT_MAX,
			               "peer %s with its endpoint and %zu prefixes fits into no "
			               "message to a host that joins",
			               label, count);
			return false;
		}
	}
	return true;
}

/* --- who may come --- */

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
	    !invite_find_part(state, invite, told->prefix_count ? &told->prefixes[0] : NULL,
	                      &host->range, why))
		return told->prefix_count > 1 ? "the host asks for several ranges" : why;
	place = invite_find_network(state, &host->range);
	if (place == INVITE_NOWHERE)
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
	return admit_can_tell(state, host, why) ? NULL : why;
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
	host->number = roll_next_number(roll, state_wall_ns(state));
	/* Not before all that it may be refused for: who is refused leaves nothing behind. */
	mark = roll_mark(roll, host->key);
	if (!mark || !roll_add_host(roll, host)) {
		config_free(config);
		return "out of memory";
	}
	secret_to_base64(key, invite->key);
	secret_to_base64(joined, host->key);
	/* It has all that came before it from its own JOIN_REPLY. */
	if (!roll_print_host(host, line) || roll_write(roll, "spent %s %s; %s; told %s %" PRIu64,
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

void admit_take(struct state *state, const uint8_t key[KEY_SIZE], uint32_t session,
                const struct join_message *asked)
{
	struct asker from = { config_find_peer(state->config, key), session };
	struct roll_invite *invite = roll_find_invite(state->roll, key);
	const struct roll_host *known = roll_find_host(state->roll, asked->hosts[0].key);
	struct roll_host host = { .number = 0 };
	char why[JOIN_TEXT_MAX], range[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	char told[EVENTS_TEXT];
	uint64_t now_ns = device_now(state->device);
	const char *problem = NULL;

	if (!from.peer || !from.peer->invited || !invite || !state->config->has_private_key)
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
	else if (state_wall_ns(state) / STATE_SECOND_NS >= invite->expires_s)
		problem = "the token has expired";
	else if (!has_proved(state, invite, asked))
		problem = UNPROVED;
	if (!problem && invite->judged_ns && now_ns < invite->judged_ns + JUDGE_SPACING_NS) {
		peer_drop(state->peers[from.peer - state->config->peers].peer, DROP_IN_POST, 1);
		return;
	}
	if (!problem) {
		problem = judge_join(state, from.peer, invite, asked, &host, why);
		if (!problem)
			problem = take_in(state, invite, &host, why);
		invite->judged_ns = device_now(state->device);
	}
	from.peer = config_find_peer(state->config, key); /* it may have moved */
	if (problem) {
		if (from.peer)
			answer_no(state, from, problem);
		return;
	}
	prefix_format(&host.range, range);
	config_format_endpoint(&host.endpoint, endpoint, sizeof(endpoint));
	log_line("peer %s joined by %s: %s at %s", host.name, invite->name, range, endpoint);
	(void)snprintf(told, sizeof(told), "%s by %s, at %.60s", range, invite->name, endpoint);
	events_add_host(state, EVENTS_JOINED, host.key, told);
	answer_yes(state, from, &host, asked);
	introduce_run(state, device_now(state->device));
}
