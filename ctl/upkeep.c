/* SPDX-License-Identifier: MIT */
#include "ctl/upkeep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/apply.h"
#include "ctl/events.h"
#include "ctl/log.h"
#include "ctl/priv_wire.h"
#include "ctl/run_network.h"
#include "ctl/stations.h"

#define BACKOFF_MAX_S   60
#define SILENT_ATTEMPTS 3 /* handshakes in a row that nobody answered */
#define SILENT_AGAIN_NS (30 * STATE_SECOND_NS)
#define PATHS_A_TICK    2048 /* questions to the kernel */
#define NAMES_NS        (STATE_SECOND_NS / 10) /* of a tick; a question may read all of /etc/hosts */
#define NAMES_SAID      8 /* lines of a tick: an outage of DNS is one event for thousands */

/* What an outer datagram adds to an inner packet: IP, UDP, data header and tag. */
#define OVERHEAD_IPV4  (20 + 8 + 32)
#define OVERHEAD_IPV6  (40 + 8 + 32)
#define DEVICE_MTU_MAX 65535 /* the loopback's is larger than any datagram */

/* Names. The peer may be gone, or have another endpoint, when the answer comes. */

struct upkeep_question {
	struct upkeep_question *next, **link; /* in state->questions */
	struct state *state;
	uint8_t key[KEY_SIZE];
	char host[CONFIG_HOST_MAX];
	uint16_t port;
};

static bool may_say(unsigned int *said)
{
	return (*said)++ < NAMES_SAID;
}

/* What there were too many of for a line each. */
static void tell_rest(struct state *state)
{
	if (state->names_lost > NAMES_SAID)
		log_line("%u more names have no address yet; asking again",
		         state->names_lost - NAMES_SAID);
	if (state->names_found > NAMES_SAID)
		log_line("%u more names have an address now", state->names_found - NAMES_SAID);
	state->names_lost = state->names_found = 0;
}

static void answered(struct state *state, struct run_peer *run, const struct config_peer *config,
                     int status, const struct endpoint *result)
{
	char label[STATE_LABEL_MAX];
	struct endpoint current;

	run->asking = false;
	if (status) {
		state_label_peer(config, label);
		if (!run->backoff_s && may_say(&state->names_lost))
			log_line("peer %s: the name %s has no address yet (%s); asking again",
			         label, config->endpoint.host, strerror(-status));
		run->backoff_s = run->backoff_s ? 2 * run->backoff_s : 1;
		if (run->backoff_s > BACKOFF_MAX_S)
			run->backoff_s = BACKOFF_MAX_S;
		run->resolve_at_ns = device_now(state->device) + run->backoff_s * STATE_SECOND_NS;
		return;
	}
	bool first = !endpoint_is_set(&run->resolved);
	bool moved = !first && !endpoint_same_remote(&run->resolved, result);
	bool silent = atomic_load_explicit(&run->peer->timers.attempts, memory_order_relaxed) >=
	              SILENT_ATTEMPTS;

	if (run->backoff_s && may_say(&state->names_found)) {
		char text[ENDPOINT_TEXT_MAX];

		state_label_peer(config, label);
		endpoint_format(result, text);
		log_line("peer %s: the name %s has an address now, %s", label,
		         config->endpoint.host, text);
	}
	run->backoff_s = 0;
	run->resolved = *result;
	peer_get_endpoint(run->peer, &current);
	if ((first || moved || silent) && !endpoint_same_remote(&current, result))
		peer_set_endpoint(run->peer, result);
}

static void end_question(struct upkeep_question *question)
{
	*question->link = question->next;
	if (question->next)
		question->next->link = question->link;
	free(question);
}

static void resolved(void *arg, int status, const struct endpoint *result)
{
	struct upkeep_question *question = arg;
	struct state *state = question->state;
	struct config_peer *config =
		state->config ? config_find_peer(state->config, question->key) : NULL;

	if (config) {
		struct run_peer *run = &state->peers[config - state->config->peers];

		if (config->endpoint.port == question->port &&
		    strcmp(config->endpoint.host, question->host) == 0)
			answered(state, run, config, status, result);
		else
			run->asking = false; /* for the old name; the new one is due already */
	}
	end_question(question);
}

static void ask(struct state *state, struct run_peer *run, const struct config_peer *config,
                uint64_t now_ns)
{
	struct upkeep_question *question = calloc(1, sizeof(*question));

	if (!question)
		return; /* the next tick tries again */
	question->state = state;
	question->next = state->questions;
	question->link = &state->questions;
	if (question->next)
		question->next->link = &question->next;
	state->questions = question;
	memcpy(question->key, config->public_key, KEY_SIZE);
	memcpy(question->host, config->endpoint.host, sizeof(question->host));
	question->port = config->endpoint.port;
	run->asking = true;
	run->asked_ns = now_ns;
	run->resolve_at_ns = 0;
	resolve_request(state->resolve, config->endpoint.host, config->endpoint.port, resolved,
	                question);
}

static bool is_name_due(const struct run_peer *run, const struct config_peer *config,
                        uint64_t now_ns)
{
	bool silent = atomic_load_explicit(&run->peer->timers.attempts, memory_order_relaxed) >=
	              SILENT_ATTEMPTS;

	if (!config->endpoint.host[0] || config->endpoint.numeric || run->asking)
		return false;
	if (run->resolve_at_ns)
		return now_ns >= run->resolve_at_ns;
	return silent && now_ns - run->asked_ns >= SILENT_AGAIN_NS;
}

/* In turn, as long as there is time for it: ten thousand names do not hold the thread up. */
static void resolve_names(struct state *state, uint64_t now_ns)
{
	size_t count = state->resolve ? state->config->peer_count : 0, i;
	uint64_t end_ns = device_now(state->device) + NAMES_NS;

	for (i = 0; i < count; i++) {
		size_t at = (state->next_name + i) % count;

		if (!is_name_due(&state->peers[at], &state->config->peers[at], now_ns))
			continue;
		ask(state, &state->peers[at], &state->config->peers[at], now_ns);
		if (device_now(state->device) >= end_ns) {
			i++;
			break;
		}
	}
	if (count)
		state->next_name = (state->next_name + i) % count;
}

void upkeep_resolve_again(struct state *state)
{
	for (size_t i = 0; i < state->config->peer_count; i++) {
		const struct config_endpoint *endpoint = &state->config->peers[i].endpoint;

		if (endpoint->host[0] && !endpoint->numeric)
			state->peers[i].resolve_at_ns = 1; /* long ago */
	}
}

/* Paths */

/* The network in whose tunnel the endpoint lies, or NULL. */
static const struct network *find_loop(const struct state *state, const struct endpoint *endpoint)
{
	const struct view *view = atomic_load_explicit(&state->device->view, memory_order_relaxed);
	bool v4 = endpoint->remote.sa.sa_family == AF_INET;
	uint8_t addr[16];

	if (v4)
		memcpy(addr, &endpoint->remote.in.sin_addr, 4);
	else
		memcpy(addr, &endpoint->remote.in6.sin6_addr, 16);
	for (size_t i = 0; i < view->network_count; i++)
		if (view_remote(view, &view->networks[i], v4 ? 4 : 6, addr))
			return view->networks[i].network;
	return NULL;
}

/* Of a name, or where the bridge says what the Subnet is: config_check() sees the rest. */
static void look_for_loop(const struct state *state, struct run_peer *run,
                          const struct config_peer *config, const struct endpoint *endpoint)
{
	const struct network *network = find_loop(state, endpoint);
	char label[STATE_LABEL_MAX], text[ENDPOINT_TEXT_MAX];

	if (network && !run->looped) {
		state_label_peer(config, label);
		endpoint_format(endpoint, text);
		log_line("peer %s: its endpoint %s lies in the Subnet of network %s: nothing gets "
		         "there but by the tunnel itself",
		         label, text, network->name);
	}
	run->looped = network != NULL;
}

/* True: the peer is to be told, so the workers are to be woken. */
static bool follow_path(struct state *state, struct run_peer *run, const struct endpoint *endpoint)
{
	bool ipv6 = endpoint->remote.sa.sa_family == AF_INET6;
	uint32_t overhead = ipv6 ? OVERHEAD_IPV6 : OVERHEAD_IPV4;
	uint32_t mtu;

	/* No route just now: what was right before will be right again. */
	if (netlink_path_mtu(state->netlink, endpoint, state->config->fwmark, &mtu))
		return false;
	if (mtu > DEVICE_MTU_MAX)
		mtu = DEVICE_MTU_MAX;
	mtu = mtu > overhead ? mtu - overhead : 0;
	if (mtu < CONFIG_MTU_MIN)
		mtu = CONFIG_MTU_MIN;
	if (atomic_load_explicit(&run->peer->tunnel_mtu, memory_order_relaxed) == mtu)
		return false;
	peer_set_mtu(run->peer, mtu);
	/* The peer is told what this end takes. */
	hello_changed(run->peer);
	return true;
}

/* A slice of the peers a tick, so that ten thousand do not hold the thread up. */
static void follow_paths(struct state *state)
{
	size_t count = state->config->peer_count, i;
	unsigned int asked = 0;
	bool changed = false;

	if (state->paths_changed) {
		state->paths_changed = false;
		for (i = 0; i < count; i++)
			state->peers[i].mtu_known = false;
	}
	for (i = 0; i < count && asked < PATHS_A_TICK; i++) {
		struct run_peer *run = &state->peers[(state->next_path + i) % count];
		struct endpoint endpoint;

		peer_get_endpoint(run->peer, &endpoint);
		if (!endpoint_is_set(&endpoint) ||
		    (run->mtu_known && endpoint_same_remote(&endpoint, &run->mtu_of)))
			continue;
		run->looped &= endpoint_same_remote(&endpoint, &run->mtu_of);
		run->mtu_of = endpoint;
		look_for_loop(state, run, &state->config->peers[run - state->peers], &endpoint);
		changed |= follow_path(state, run, &endpoint);
		/* Without a route it is asked again when the links change, or the peer moves. */
		run->mtu_known = true;
		asked++;
	}
	if (count)
		state->next_path = (state->next_path + i) % count;
	/* Once, not for each of thousands. */
	if (changed)
		workers_kick(&state->workers);
}

/* Networks */

void upkeep_networks(struct state *state)
{
	uint64_t now_ns = device_now(state->device);

	for (size_t i = 0; i < state->config->network_count; i++)
		state->view_is_old |=
			run_network_update(state, state->networks[i], &state->config->networks[i]);
	if (state->view_is_old) {
		state->view_is_old = apply_view(state) != 0;
		if (state->view_is_old && trouble_begins(&state->no_view, now_ns))
			log_line("out of memory: the networks stay as they were for now");
		else if (!state->view_is_old && trouble_ends(&state->no_view))
			log_line("the networks are as the bridges again");
	}
	stations_update(state, now_ns);
}

static bool is_wanted(const struct state *state, const char *bridge, const struct prefix *prefix)
{
	for (size_t i = 0; i < state->config->network_count; i++) {
		const struct config_network *network = &state->config->networks[i];

		for (size_t s = 0; s < network->subnet_count; s++)
			if (strcmp(network->bridge, bridge) == 0 &&
			    prefix_equal(&network->subnets[s], prefix))
				return true;
	}
	return false;
}

/* A daemon has a TAP in the bridge before it sets a route on it, and as long as it lives. */
static bool is_anothers(const struct state *state, uint32_t bridge)
{
	const struct netlink_link *links;
	size_t count = netlink_links(state->netlink, &links);

	for (size_t i = 0; i < count; i++)
		if (links[i].master == bridge && priv_wire_is_tap_name(links[i].name) &&
		    !priv_has_tap(state->priv, links[i].name))
			return true;
	return false;
}

void upkeep_sweep_routes(const struct state *state)
{
	struct netlink_route *routes = NULL;
	size_t count = 0;

	/* What cannot be listed leads nowhere all the same, and is found by the next start. */
	if (netlink_own_routes(state->netlink, &routes, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		const struct netlink_link *link = netlink_get_link(state->netlink, routes[i].index);

		if (link && link->is_bridge && !is_anothers(state, link->index) &&
		    !is_wanted(state, link->name, &routes[i].prefix))
			(void)priv_remove_route(state->priv, routes[i].index, &routes[i].prefix);
	}
	free(routes);
}

bool upkeep_queues(struct state *state)
{
	bool busy = false;

	for (size_t i = 0; i < state->config->network_count; i++)
		busy |= run_network_look_at_queue(state, state->networks[i]);
	return busy;
}

void upkeep_paths_changed(struct state *state)
{
	state->paths_changed = true;
}

void upkeep_tick(struct state *state)
{
	uint64_t now_ns = device_now(state->device);

	upkeep_networks(state);
	resolve_names(state, now_ns);
	tell_rest(state);
	follow_paths(state);
	events_tick(state);
	(void)quiesce_collect(&state->device->quiesce);
}

void upkeep_end(struct state *state)
{
	struct upkeep_question *question, *next;

	for (question = state->questions; question; question = next) {
		next = question->next;
		free(question);
	}
	state->questions = NULL;
}
