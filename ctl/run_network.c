/* SPDX-License-Identifier: MIT */
#include "ctl/run_network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/apply.h"
#include "ctl/handover.h"
#include "ctl/log.h"
#include "ctl/station_table.h"

#define TAP_PREFIX "ovt-"

/*
 * A name that says whose port it is. Of long bridge names the end, which is
 * where Docker's differ ("br-0123456789ab").
 */
static void name_tap(const char *bridge, char name[IFNAMSIZ])
{
	size_t room = IFNAMSIZ - sizeof(TAP_PREFIX), len = strlen(bridge);

	(void)snprintf(name, IFNAMSIZ, TAP_PREFIX "%s", bridge + (len > room ? len - room : 0));
}

/* Also by one of the last life's that is another network's, or fits none and goes soon. */
static bool is_taken(const struct state *state, const char *name)
{
	return priv_has_tap(state->priv, name) || handover_has_tap(state->handover, name);
}

/*
 * Ours can want one name twice: names of two bridges may end alike, and a reload
 * makes the new networks before the old ones go. Then it is "ov0-…", "ov1-…".
 */
static void choose_free(const struct state *state, char name[IFNAMSIZ])
{
	for (const char *letter = "0123456789"; *letter && is_taken(state, name); letter++)
		name[2] = *letter;
}

int run_network_attach(const struct run_network *run, struct ring *ring, unsigned int i)
{
	return ring_add_tap(ring, run->network->port, run->tap.fds[i]);
}

static int add_tap(struct ring *ring, unsigned int i, void *arg)
{
	return run_network_attach(arg, ring, i);
}

static int remove_tap(struct ring *ring, unsigned int i, void *arg)
{
	const struct run_network *run = arg;

	(void)i;
	ring_remove_tap(ring, run->network->port);
	return 0;
}

static void close_tap(struct state *state, struct run_network *run)
{
	/* Leaves the bridge and takes the routes back while the device is still there. */
	if (run->bridge && state->leaving)
		bridge_leave(run->bridge);
	else if (run->bridge)
		bridge_close(run->bridge);
	run->bridge = NULL;
	if (run->tap.queues == 0)
		return;
	(void)workers_call(&state->workers, remove_tap, run);
	tap_close(&run->tap);
	priv_forget_tap(state->priv, run->tap_index);
}

/* The one of the last life, or a new one. */
static int get_tap(struct state *state, struct run_network *run,
                   const struct config_network *config, bool *kept)
{
	char name[IFNAMSIZ];
	int ret;

	name_tap(config->bridge, name);
	*kept = handover_adopt_tap(state->handover, config, state_queues(state), name, &run->tap);
	if (!*kept) {
		choose_free(state, name);
		return priv_make_tap(state->priv, &run->tap, name, state_queues(state),
		                     &run->tap_index);
	}
	ret = priv_adopt_tap(state->priv, &run->tap, &run->tap_index);
	if (ret)
		tap_close(&run->tap);
	return ret;
}

static int open_tap(struct state *state, struct run_network *run,
                    const struct config_network *config)
{
	struct bridge_config bridge = {
		.name = config->bridge,
		.bridged = config->bridged,
		.subnets = config->subnets,
		.subnet_count = config->subnet_count,
	};
	int ret = get_tap(state, run, config, &bridge.kept);

	run->queue = TAP_QUEUE_NEW;
	if (ret)
		return ret;
	atomic_store_explicit(&run->network->merge_udp, run->tap.uso, memory_order_relaxed);
	bridge.tap_index = run->tap_index;
	memcpy(bridge.tap_mac, run->network->tap_mac, ETHER_ADDR_SIZE);
	memcpy(bridge.router_mac, run->network->router_mac, ETHER_ADDR_SIZE);
	run->bridge = bridge_open(state->priv, state->netlink, &bridge);
	if (!run->bridge)
		ret = -ENOMEM;
	else if (state->running)
		ret = workers_call(&state->workers, add_tap, run);
	if (ret)
		close_tap(state, run);
	return ret;
}

int run_network_open(struct state *state, const struct config_network *config, uint16_t port,
                     struct run_network **out)
{
	struct run_network *run = calloc(1, sizeof(*run));
	int ret = -ENOMEM;

	if (!run)
		return -ENOMEM;
	run->network = network_create(state->device, config->name, port,
	                              config->bridged ? NETWORK_BRIDGED : NETWORK_ROUTED);
	if (run->network)
		ret = open_tap(state, run, config);
	if (ret)
		run_network_close(state, run);
	else
		*out = run;
	return ret;
}

void run_network_close(struct state *state, struct run_network *run)
{
	station_table_close(run->stations);
	if (run->network) {
		close_tap(state, run);
		network_retire(run->network);
	}
	free(run);
}

int run_network_configure(struct run_network *run, const struct config_network *config)
{
	return run->bridge ? bridge_set_subnets(run->bridge, config->subnets, config->subnet_count)
	                   : 0;
}

/* Someone deleted the device ("ip link delete"): nothing else brings it back. */
static void make_tap_again(struct state *state, struct run_network *run,
                           const struct config_network *config)
{
	int ret;

	close_tap(state, run);
	/* Workers say nothing of the old one any more, and may of the new one at once. */
	atomic_store_explicit(&run->network->lost, false, memory_order_relaxed);
	ret = open_tap(state, run, config);
	if (ret)
		atomic_store_explicit(&run->network->lost, true, memory_order_relaxed);
	if (!ret) {
		run->failed = 0;
		log_line("network %s: its TAP was deleted and is made again", config->name);
	} else if (ret != run->failed) {
		run->failed = ret;
		log_line("network %s: its TAP was deleted and cannot be made again: %s",
		         config->name, strerror(-ret));
	}
}

static void report(const struct run_network *run, const struct config_network *config,
                   unsigned int changes)
{
	const struct bridge_state *bridge = bridge_state(run->bridge);

	if (changes & BRIDGE_PROBLEM && bridge->problem)
		log_line("network %s: %s", config->name, bridge->problem);
	if (bridge->attached && !run->was_attached)
		log_line("network %s: joined bridge %s", config->name, config->bridge);
}

bool run_network_update(struct state *state, struct run_network *run,
                        const struct config_network *config)
{
	bool lost = atomic_load_explicit(&run->network->lost, memory_order_relaxed);

	if (lost)
		make_tap_again(state, run, config);
	if (!run->bridge) {
		run->was_attached = false;
		return lost; /* the view has to say that there is none */
	}
	unsigned int changes = bridge_update(run->bridge, device_now(state->device));

	report(run, config, changes);
	run->was_attached = bridge_state(run->bridge)->attached;
	return lost || changes & BRIDGE_VIEW;
}

bool run_network_look_at_queue(struct state *state, struct run_network *run)
{
	const struct tap_taken taken = {
		.frames = stats_read(&run->network->taken),
		.bytes = stats_read(&run->network->taken_bytes),
		.emptied = stats_read(&run->network->emptied),
	};
	const bool busy = taken.frames != run->queue.taken.frames;

	if (run->tap.queues != 1)
		return false;
	/* A length that cannot be had is not worth a word: the queue then stays as it is. */
	if (tap_queue_look(&run->queue, device_now(state->device), &taken))
		(void)priv_set_queue(state->priv, run->tap_index, run->queue.length);
	return busy;
}

struct config_subnets run_network_subnets(const struct run_network *run,
                                          const struct config_network *config)
{
	const struct bridge_state *bridge = run->bridge ? bridge_state(run->bridge) : NULL;

	if (config->subnet_count || !bridge)
		return (struct config_subnets){ config->subnets, config->subnet_count };
	return (struct config_subnets){ bridge->prefixes, bridge->prefix_count };
}

static void format_claim(const struct config_claim *claim, char out[RUN_CLAIM_MAX])
{
	char label[STATE_LABEL_MAX], allowed[PREFIX_TEXT_MAX], subnet[PREFIX_TEXT_MAX];

	state_label_peer(claim->peer, label);
	prefix_format(&claim->peer->allowed[claim->allowed], allowed);
	prefix_format(claim->subnet, subnet);
	(void)snprintf(out, RUN_CLAIM_MAX,
	               "peer %s's AllowedIPs %s claims all of Subnet %s, so nothing lives here: "
	               "give the network a Range",
	               label, allowed, subnet);
}

/* A Range of @family that the bridge has no address of, as after a typing error; or NULL. */
static const struct prefix *find_stray_range(const struct config_network *network,
                                             const struct config_subnets *subnets, uint8_t family)
{
	for (size_t i = 0; i < network->range_count; i++) {
		const struct prefix *range = &network->ranges[i];
		bool compared = false, meets = false;

		for (size_t j = 0; j < subnets->count && range->family == family; j++) {
			const struct prefix *subnet = &subnets->list[j];

			if (subnet->family != family)
				continue;
			compared = true;
			meets |= prefix_covers(subnet, range) || prefix_covers(range, subnet);
		}
		if (compared && !meets)
			return range;
	}
	return NULL;
}

static void format_stray(const struct config_network *network, const struct prefix *range,
                         char out[RUN_CLAIM_MAX])
{
	char text[PREFIX_TEXT_MAX];

	prefix_format(range, text);
	(void)snprintf(out, RUN_CLAIM_MAX,
	               "the bridge %s has no address of Range %s, so what its containers send is "
	               "dropped (out-source): set Range to the --ip-range of their network",
	               network->bridge, text);
}

void run_network_note_claims(struct run_network *run, const struct config *config,
                             const struct config_network *network)
{
	const struct config_subnets subnets = run_network_subnets(run, network);

	for (size_t i = 0; i < 2; i++) {
		const uint8_t family = i ? 6 : 4;
		const struct prefix *stray = find_stray_range(network, &subnets, family);
		char text[RUN_CLAIM_MAX] = "";
		struct config_claim claim;

		if (config_is_claimed(config, network, &subnets, family, &claim))
			format_claim(&claim, text);
		else if (stray)
			format_stray(network, stray, text);
		if (text[0] && strcmp(text, run->claims[i]) != 0)
			log_line("network %s: %s", network->name, text);
		memcpy(run->claims[i], text, sizeof(text));
	}
}

const char *run_network_problem(const struct run_network *run)
{
	if (!run->bridge)
		return "its TAP was deleted and cannot be made again";
	const struct bridge_state *bridge = bridge_state(run->bridge);

	if (bridge->problem)
		return bridge->problem;
	if (!bridge->attached)
		return "the bridge is not there";
	for (size_t i = 0; i < 2; i++)
		if (run->claims[i][0])
			return run->claims[i];
	return NULL;
}

void run_network_widen_queue(struct state *state, struct run_network *run)
{
	if (run->tap.queues == 0 || run->queue.length == TAP_QUEUE_MOST)
		return;
	(void)priv_set_queue(state->priv, run->tap_index, TAP_QUEUE_MOST);
	run->queue = TAP_QUEUE_NEW;
}
