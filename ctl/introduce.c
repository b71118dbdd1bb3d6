/* SPDX-License-Identifier: MIT */
#include "ctl/introduce.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/apply.h"
#include "ctl/config_private.h"
#include "ctl/events.h"
#include "ctl/log.h"
#include "ctl/run_network.h"

#define NOTE_LINES  16 /* of some 30 answers each, in one second */
#define LOOK_PLACES 64 /* for the one that is told next, after an answer */

void introduce_fill(struct join_host *to, const struct roll_host *host)
{
	memset(to, 0, sizeof(*to));
	memcpy(to->key, host->key, KEY_SIZE);
	memcpy(to->name, host->name, sizeof(to->name));
	if (host->endpoint.host[0])
		config_format_endpoint(&host->endpoint, to->endpoint, sizeof(to->endpoint));
	to->vni = host->vni;
	to->prefixes[to->prefix_count++] = host->range;
}

struct scene {
	struct roll_scene roll;
	struct config_subnets subnets[CONFIG_NETWORKS_MAX];
};

static const struct roll_scene *see(struct scene *scene, const struct state *state)
{
	for (size_t i = 0; i < state->config->network_count; i++)
		scene->subnets[i] =
			run_network_subnets(state->networks[i], &state->config->networks[i]);
	scene->roll = (struct roll_scene){ state->roll, state->config, scene->subnets };
	return &scene->roll;
}

static struct prefix prefix_of(const struct neigh_addr *addr)
{
	struct prefix prefix = { .family = addr->family, .len = addr->family == 4 ? 32 : 128 };

	memcpy(prefix.addr, addr->addr, addr->family == 4 ? 4 : 16);
	return prefix;
}

static bool is_gateway_in(const struct neigh_addr *addr, const struct prefix *range)
{
	return addr->family == range->family && prefix_contains(range, addr->addr);
}

bool introduce_find_claim(const struct state *state, const struct prefix *range,
                          struct roll_claim *claim)
{
	const struct view *view = atomic_load_explicit(&state->device->view, memory_order_relaxed);
	struct scene scene;

	if (roll_find_claim(see(&scene, state), range, claim))
		return true;
	for (size_t i = 0; i < view->network_count; i++) {
		for (size_t j = 0; j < view->networks[i].gateway_count; j++) {
			const struct neigh_addr *addr = &view->networks[i].gateways[j];

			if (!is_gateway_in(addr, range))
				continue;
			claim->prefix = prefix_of(addr);
			(void)snprintf(claim->whose, sizeof(claim->whose), "this host's bridge's");
			return true;
		}
	}
	return false;
}

int introduce_list_claims(const struct state *state, const struct prefix *range,
                          struct roll_claims *claims)
{
	const struct view *view = atomic_load_explicit(&state->device->view, memory_order_relaxed);
	struct scene scene;
	int err = roll_list_claims(see(&scene, state), range, claims);

	for (size_t i = 0; i < view->network_count; i++) {
		for (size_t j = 0; j < view->networks[i].gateway_count && !err; j++) {
			const struct neigh_addr *addr = &view->networks[i].gateways[j];
			struct prefix prefix = prefix_of(addr);

			if (is_gateway_in(addr, range))
				err = roll_add_claim(claims, &prefix);
		}
	}
	return err;
}

/* --- the introducer's side --- */

static uint64_t newest_number(const struct roll *roll)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < roll->host_count; i++)
		if (roll->hosts[i].ours && roll->hosts[i].number > newest)
			newest = roll->hosts[i].number;
	return newest;
}

/* The first host that a member, who knows those up to @told, has not heard of; NULL: it has of all. */
static const struct roll_host *next_host(const struct roll *roll, uint64_t told,
                                         const uint8_t member[KEY_SIZE])
{
	const struct roll_host *next = NULL;

	for (size_t i = 0; i < roll->host_count; i++) {
		const struct roll_host *host = &roll->hosts[i];

		if (host->ours && host->number > told && memcmp(host->key, member, KEY_SIZE) != 0 &&
		    (!next || host->number < next->number))
			next = host;
	}
	return next;
}

/* True: workers are to be woken. */
static bool tell(struct run_peer *run, const struct roll_host *host, uint64_t now_ns)
{
	static struct join_message message; /* large, and this is the control thread's alone */
	uint8_t out[POST_SIZE_MAX];

	/* Without a session nobody knows what the member understands: one is asked for. */
	if (!peer_has_session(run->peer, now_ns))
		return post_send(run->peer, NULL, 0) == 0;
	if (!hello_may_send(&run->peer->hello, WIRE_FEATURE_INTRODUCE))
		return false;
	memset(&message, 0, offsetof(struct join_message, hosts));
	message.type = WIRE_CONTROL_INTRODUCE;
	message.number = host->number;
	message.host_count = 1;
	introduce_fill(&message.hosts[0], host);
	return post_send(run->peer, out, join_format(out, &message)) == 0;
}

static uint64_t pause_ns(uint32_t tries)
{
	uint64_t seconds = 1;

	for (uint32_t i = INTRODUCE_FAST_TRIES; i < tries && seconds < INTRODUCE_SLOW_S; i++)
		seconds *= 2;
	return (seconds < INTRODUCE_SLOW_S ? seconds : INTRODUCE_SLOW_S) * STATE_SECOND_NS;
}

/* A new session: the member may have been away, and is there again. */
static bool is_due(struct run_peer *run, uint64_t now_ns)
{
	uint64_t handshake_ns = stats_read(&run->peer->handshake_wall_ns);

	if (run->told.handshake_wall_ns != handshake_ns) {
		run->told.handshake_wall_ns = handshake_ns;
		run->told.tries = 0;
		return true;
	}
	return now_ns >= run->told.next_ns;
}

/* The @i-th peer, if it is due. True: something goes to it, and workers are to be woken. */
static bool tell_next(struct state *state, size_t i, uint64_t newest, uint64_t now_ns)
{
	const struct config_peer *peer = &state->config->peers[i];
	const struct roll_mark *mark = roll_find_mark(state->roll, peer->public_key);
	uint64_t told = mark ? mark->told : 0;
	struct run_peer *run = &state->peers[i];
	const struct roll_host *host;

	if (peer->invited || told >= newest || !is_due(run, now_ns))
		return false;
	host = next_host(state->roll, told, peer->public_key);
	if (!host)
		return false;
	run->told.next_ns = now_ns + pause_ns(++run->told.tries);
	return tell(run, host, now_ns);
}

/* @most of those that are due among the next @places of the list of peers. */
static void tell_some(struct state *state, uint64_t now_ns, unsigned int most, size_t places)
{
	uint64_t newest = newest_number(state->roll);
	size_t count = newest ? state->config->peer_count : 0;
	bool woken = false;

	/* From where it ended last time: nobody is left out for others that are due again. */
	for (size_t i = 0; i < count && i < places && most; i++) {
		if (state->next_told >= count)
			state->next_told = 0;
		if (!tell_next(state, state->next_told++, newest, now_ns))
			continue;
		woken = true;
		most--;
	}
	if (woken)
		workers_kick(&state->workers);
}

void introduce_run(struct state *state, uint64_t now_ns)
{
	tell_some(state, now_ns, INTRODUCE_AT_ONCE, SIZE_MAX);
}

void introduce_answered(struct state *state, const struct config_peer *from,
                        const struct join_message *message)
{
	struct roll_mark *mark = roll_mark(state->roll, from->public_key);
	size_t place = (size_t)(from - state->config->peers);
	uint64_t now_ns = device_now(state->device);
	const struct roll_host *host = NULL;
	char label[STATE_LABEL_MAX];

	/* Only of what it was told is it believed. */
	for (size_t i = 0; i < state->roll->host_count; i++)
		if (state->roll->hosts[i].ours && state->roll->hosts[i].number == message->number)
			host = &state->roll->hosts[i];
	if (!mark || !host || message->number <= mark->told)
		return;
	mark->told = message->number;
	mark->is_news = true;
	state_label_peer(from, label);
	if (message->refused)
		log_line("peer %s did not take in %s, which joined: %s", label, host->name,
		         message->text);
	state->peers[place].told.tries = 0;
	state->peers[place].told.next_ns = 0;
	/* Its turn goes on, or is another's: as many are under way as before. */
	if (tell_next(state, place, newest_number(state->roll), now_ns))
		workers_kick(&state->workers);
	else
		tell_some(state, now_ns, 1, LOOK_PLACES);
}

/* Who answered is told again if that is forgotten: so there is no hurry, and many go to the disk at once. */
void introduce_note(struct roll *roll)
{
	char text[ROLL_WRITE_MAX], key[KEY_BASE64_LEN + 1];
	const size_t room = sizeof("; told ") + KEY_BASE64_LEN + sizeof(" 18446744073709551615");
	unsigned int lines = 0;
	size_t len = 0;

	for (size_t i = 0; i < roll->mark_count && lines < NOTE_LINES; i++) {
		struct roll_mark *mark = &roll->marks[i];

		if (!mark->is_news || roll->written >= ROLL_TOLD_MAX)
			continue;
		mark->is_news = false;
		secret_to_base64(key, mark->key);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%stold %s %" PRIu64,
		                        len ? "; " : "", key, mark->told);
		if (len + room < sizeof(text))
			continue;
		(void)roll_write(roll, "%s", text);
		lines++;
		len = 0;
	}
	if (len)
		(void)roll_write(roll, "%s", text);
}

/* With all that was heard of its introducer: it may have said more of this host. */
static void note_gone(struct roll *roll, const struct roll_host *host)
{
	const struct roll_mark *mark = host->ours ? NULL : roll_find_mark(roll, host->by);
	char key[KEY_BASE64_LEN + 1], by[KEY_BASE64_LEN + 1];

	secret_to_base64(key, host->key);
	secret_to_base64(by, host->by);
	if (mark)
		(void)roll_write(roll, "gone %s; heard %s %" PRIu64, key, by, mark->heard);
	else
		(void)roll_write(roll, "gone %s", key);
}

void introduce_look(struct state *state)
{
	struct roll *roll = state->roll;

	for (size_t i = roll->host_count; i-- > 0;) {
		struct roll_host *host = &roll->hosts[i];
		const struct config_peer *peer = config_find_peer(state->config, host->key);

		host->filed |= peer && peer->line;
		host->idle &= !peer;
		/* Of one that we were told of the file is enough; of ours we still tell. */
		if (host->idle || (peer && (host->ours || !host->filed)))
			continue;
		note_gone(roll, host);
		if (!peer && roll_is_stale(roll))
			log_line("host %s is back with the next start: %s", host->name,
			         roll->unkept);
		roll_remove_host(roll, host);
	}
}

/* --- the member's side --- */

static void answer(struct state *state, const struct config_peer *to, uint64_t number,
                   const char *why_not)
{
	static struct join_message message; /* large, and this is the control thread's alone */
	uint8_t out[POST_SIZE_MAX];
	struct run_peer *run = &state->peers[to - state->config->peers];

	memset(&message, 0, offsetof(struct join_message, hosts));
	message.type = WIRE_CONTROL_INTRODUCE_REPLY;
	message.number = number;
	message.refused = why_not != NULL;
	(void)snprintf(message.text, sizeof(message.text), "%s", why_not ? why_not : "");
	if (post_send(run->peer, out, join_format(out, &message)) == 0)
		workers_kick(&state->workers);
}

enum place {
	PLACE_NONE, /* no such network */
	PLACE_OUTSIDE, /* of its Subnet */
	PLACE_UNKNOWN, /* its Subnet is not: none is configured, and the bridge is not there */
	PLACE_INSIDE,
};

/* Of @vni (0: routed), a network that this host and the introducer are both in. */
static enum place find_place(const struct state *state, const struct config_peer *from,
                             uint32_t vni, const struct prefix *range)
{
	enum place place = PLACE_NONE;

	for (size_t i = 0; i < state->config->network_count; i++) {
		const struct config_network *network = &state->config->networks[i];
		struct config_subnets subnets = run_network_subnets(state->networks[i], network);
		bool known = false;

		if (network->vni != vni || (vni && !config_peer_has_vni(from, vni)))
			continue;
		for (size_t j = 0; j < subnets.count; j++) {
			if (prefix_covers(&subnets.list[j], range))
				return PLACE_INSIDE;
			/* A bridge has no need of addresses of each family that is bridged. */
			known |= !vni || subnets.list[j].family == range->family;
		}
		if (!known)
			place = PLACE_UNKNOWN;
		else if (place == PLACE_NONE)
			place = PLACE_OUTSIDE;
	}
	return place;
}

/* NULL, or why not. */
static const char *judge_range(const struct state *state, const struct config_peer *from,
                               const struct roll_host *host, char why[JOIN_TEXT_MAX])
{
	enum place place = find_place(state, from, host->vni, &host->range);
	char claimed[ROLL_CLAIM_TEXT];
	struct roll_claim claim;
	struct scene scene;

	if (host->vni && place == PLACE_NONE)
		return "the network of that VNI is not here, or not the introducer's";
	/* Of a bridged network it may stay unknown. */
	if (place == PLACE_NONE || place == PLACE_OUTSIDE)
		return "its range is in no network's Subnet here";
	/* In a bridged network all bridges may have the same address. */
	if (host->vni ? !roll_find_claim(see(&scene, state), &host->range, &claim)
	              : !introduce_find_claim(state, &host->range, &claim))
		return NULL;
	roll_format_claim(&host->range, &claim, claimed);
	(void)snprintf(why, JOIN_TEXT_MAX, "%s", claimed);
	return why;
}

/* NULL, or why not. */
static const char *read_host(const struct state *state, const struct config_peer *from,
                             const struct join_host *told, struct roll_host *host,
                             char why[JOIN_TEXT_MAX])
{
	uint8_t shared[KEY_SIZE];

	if (told->prefix_count != 1)
		return "it comes with no range, or with several";
	if (told->endpoint[0] && !config_parse_endpoint(&host->endpoint, told->endpoint))
		return "its endpoint is none";
	if (told->name[0] && config_name_problem(told->name))
		return "its name is none";
	/* One of low order: nobody has the private key, and everybody the result. */
	if (!state->config->has_private_key ||
	    !secret_dh(shared, state->config->private_key, told->key))
		return "its public key cannot be used";
	secret_wipe(shared, sizeof(shared));
	memcpy(host->key, told->key, KEY_SIZE);
	memcpy(host->name, told->name, sizeof(host->name));
	memcpy(host->by, from->public_key, KEY_SIZE);
	host->vni = told->vni;
	host->range = told->prefixes[0];
	return judge_range(state, from, host, why);
}

/* NULL, or why not. */
static const char *take_in(struct state *state, const struct roll_host *host,
                           char why[JOIN_TEXT_MAX])
{
	struct config *config = config_copy(state->config);
	struct config_error error = { .line = 0 };
	int err = config ? roll_put_host(host, config) : -ENOMEM;

	if (!err)
		err = config_check(config, &error);
	if (!err && !roll_add_host(state->roll, host)) {
		config_free(config);
		return "this host has taken in as many as it can";
	}
	if (!err) {
		err = apply_config(state, config, NULL, NULL, &error);
		if (err)
			roll_remove_host(state->roll,
			                 &state->roll->hosts[state->roll->host_count - 1]);
	}
	if (!err)
		return NULL;
	config_free(config);
	(void)snprintf(why, JOIN_TEXT_MAX, "%.200s", error.text[0] ? error.text : strerror(-err));
	return why;
}

/*
 * What was taken in, and is not listened to again when it was removed. What was refused is noted
 * nowhere: an introducer that lies could fill the journal with it.
 */
static void note(struct state *state, const struct roll_mark *mark, const struct roll_host *host)
{
	char line[ROLL_LINE_MAX], key[KEY_BASE64_LEN + 1];

	secret_to_base64(key, mark->key);
	if (roll_print_host(host, line))
		(void)roll_write(state->roll, "%s; heard %s %" PRIu64, line, key, mark->heard);
}

/*
 * The Subnet comes from the bridge, and that is not there yet: the start of this host's daemon
 * came before that of Docker. It is no reason to refuse for good; what is not answered is said again.
 */
static bool is_too_early(const struct state *state, const struct config_peer *from,
                         const struct join_host *told)
{
	return !told->vni && told->prefix_count == 1 &&
	       find_place(state, from, 0, &told->prefixes[0]) == PLACE_UNKNOWN;
}

void introduce_take(struct state *state, const struct config_peer *from,
                    const struct join_message *message)
{
	const struct join_host *told = &message->hosts[0];
	struct roll_mark *mark = roll_mark(state->roll, from->public_key);
	struct roll_host host = { .number = message->number };
	char label[STATE_LABEL_MAX], range[PREFIX_TEXT_MAX], key[KEY_BASE64_LEN + 1];
	char why[JOIN_TEXT_MAX];
	const char *problem = NULL;
	uint8_t own[KEY_SIZE], introducer[KEY_SIZE];
	bool known;

	if (!mark || !from->introducer)
		return;
	if (message->number <= mark->heard) {
		/* The answer was lost. */
		answer(state, from, message->number,
		       message->number == mark->heard ? mark->why_not : NULL);
		return;
	}
	memcpy(introducer, from->public_key, KEY_SIZE);
	state_label_peer(from, label);
	secret_derive_public(own, state->config->private_key);
	known = config_find_peer(state->config, told->key) || memcmp(own, told->key, KEY_SIZE) == 0;
	if (!known && is_too_early(state, from, told)) {
		peer_drop(state->peers[from - state->config->peers].peer, DROP_IN_NO_BRIDGE, 1);
		return;
	}
	mark->heard = message->number;
	free(mark->why_not);
	mark->why_not = NULL;
	/* Whoever it is, nothing about it is an introducer's to change. */
	if (known) {
		answer(state, from, message->number, NULL);
		return;
	}
	problem = read_host(state, from, told, &host, why);
	if (!problem)
		problem = take_in(state, &host, why);
	if (!problem)
		note(state, mark, &host);
	else
		mark->why_not = strdup(problem); /* without memory it is forgotten */
	secret_to_base64(key, told->key);
	if (told->prefix_count)
		prefix_format(&told->prefixes[0], range);
	else
		(void)snprintf(range, sizeof(range), "no range");
	if (problem)
		log_line("peer %s introduced %s with %s, which is refused: %s", label,
		         told->name[0] ? told->name : key, range, problem);
	else
		log_line("peer %s introduced %s: %s%s%s", label, told->name[0] ? told->name : key,
		         range, told->endpoint[0] ? " at " : "", told->endpoint);
	if (!problem) {
		(void)snprintf(why, sizeof(why), "%s by %s%s%.60s", range, label,
		               told->endpoint[0] ? ", at " : "", told->endpoint);
		events_add_host(state, EVENTS_INTRODUCED, host.key, why);
	}
	if (!problem && state->roll->unkept)
		log_line("it is forgotten with the next start: %s", state->roll->unkept);
	from = config_find_peer(state->config, introducer);
	if (from)
		answer(state, from, message->number, problem);
}
