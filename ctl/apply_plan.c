/* SPDX-License-Identifier: MIT */
/*
 * What the next configuration runs by comes into being beside what runs now. What both have
 * is taken over as it is; whatever fails gives up all that is new.
 */
#include "ctl/apply_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ctl/handover.h"
#include "ctl/members.h"
#include "ctl/metrics.h"
#include "ctl/run_network.h"

_Static_assert(CONFIG_NETWORKS_MAX <= RING_PORTS_MAX, "a port of the ring for each network");

static int fail(const struct apply_plan *plan, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(const struct apply_plan *plan, int ret, const char *format, ...)
{
	va_list args;

	memset(plan->error, 0, sizeof(*plan->error));
	va_start(args, format);
	(void)vsnprintf(plan->error->text, sizeof(plan->error->text), format, args);
	va_end(args);
	return ret;
}

static int out_of_memory(const struct apply_plan *plan)
{
	return fail(plan, -ENOMEM, "out of memory");
}

/* Peers */

static int compare_keys(const void *a, const void *b, void *arg)
{
	const struct config *config = arg;
	const size_t *i = a, *j = b;

	return memcmp(config->peers[*i].public_key, config->peers[*j].public_key, KEY_SIZE);
}

/* The places of @config's peers, in the order of their keys. */
static size_t *sort_peers(struct config *config)
{
	size_t *order = calloc(config->peer_count + 1, sizeof(*order));

	if (!order)
		return NULL;
	for (size_t i = 0; i < config->peer_count; i++)
		order[i] = i;
	qsort_r(order, config->peer_count, sizeof(*order), compare_keys, config);
	return order;
}

/* Who is who: both lists in the order of keys, side by side. */
static int match_peers(struct apply_plan *plan)
{
	struct config *new = plan->config, *old = plan->state->config;
	size_t *new_order = sort_peers(new);
	size_t *old_order = old ? sort_peers(old) : NULL;
	size_t j = 0;
	int ret = -ENOMEM;

	if (!new_order || (old && !old_order))
		goto out;
	for (size_t i = 0; i < new->peer_count; i++) {
		const uint8_t *key = new->peers[new_order[i]].public_key;
		int order = 1;

		plan->peer_from[new_order[i]] = NOT_THERE;
		while (j < plan->old_peer_count &&
		       (order = memcmp(old->peers[old_order[j]].public_key, key, KEY_SIZE)) < 0)
			j++;
		if (j < plan->old_peer_count && order == 0) {
			plan->peer_from[new_order[i]] = old_order[j];
			plan->peer_stays[old_order[j]] = true;
		}
	}
	ret = 0;
out:
	free(new_order);
	free(old_order);
	return ret;
}

static int plan_peers(struct apply_plan *plan)
{
	struct state *state = plan->state;
	size_t count = plan->config->peer_count;

	plan->peers = calloc(count + 1, sizeof(*plan->peers));
	plan->peer_from = calloc(count + 1, sizeof(*plan->peer_from));
	plan->peer_stays = calloc(plan->old_peer_count + 1, sizeof(*plan->peer_stays));
	if (!plan->peers || !plan->peer_from || !plan->peer_stays || match_peers(plan))
		return out_of_memory(plan);
	if (timers_reserve(&state->device->timers, count + plan->old_peer_count))
		return out_of_memory(plan);

	for (size_t i = 0; i < count; i++) {
		const struct config_peer *config = &plan->config->peers[i];

		if (plan->peer_from[i] != NOT_THERE) {
			plan->peers[i] = state->peers[plan->peer_from[i]];
			continue;
		}
		plan->peers[i].peer = peer_create(state->device, config->public_key);
		if (!plan->peers[i].peer)
			return out_of_memory(plan);
	}
	return 0;
}

/* Networks */

static bool same_network(const struct config_network *a, const struct config_network *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->bridge, b->bridge) == 0 &&
	       a->bridged == b->bridged && a->vni == b->vni;
}

/* The lowest port of the rings that neither configuration uses; they change hands later. */
static int free_port(const struct apply_plan *plan)
{
	bool used[RING_PORTS_MAX] = { false };

	for (size_t i = 0; i < plan->old_network_count; i++)
		used[plan->state->networks[i]->network->port] = true;
	for (size_t i = 0; i < plan->config->network_count; i++) {
		if (plan->networks[i])
			used[plan->networks[i]->network->port] = true;
	}
	for (int port = 0; port < RING_PORTS_MAX; port++) {
		if (!used[port])
			return port;
	}
	return -ENOSPC;
}

/*
 * A daemon that was killed leaves its io_uring to the kernel, which gives up the
 * sockets and TAPs that it holds a moment after the process is gone. The one that
 * is started in its place waits for that; a running one is never held up.
 */
static bool wait_for_predecessor(const struct apply_plan *plan, int *tries)
{
	const struct timespec pause = { .tv_nsec = 50000000 };

	if (plan->state->udp_open || ++*tries > 60)
		return false;
	(void)nanosleep(&pause, NULL);
	return true;
}

static int plan_network(struct apply_plan *plan, size_t i)
{
	const struct config_network *config = &plan->config->networks[i];
	int port = free_port(plan);

	if (port < 0)
		return fail(plan, port,
		            "network %s: more than %d networks, counting those that it replaces",
		            config->name, RING_PORTS_MAX);
	int ret, tries = 0;

	do
		ret = run_network_open(plan->state, config, (uint16_t)port, &plan->networks[i]);
	while (ret == -EBUSY && wait_for_predecessor(plan, &tries));
	if (ret == -EBUSY)
		return fail(plan, ret,
		            "network %s: a device of the name of its TAP is there already; does "
		            "another "
		            "ovltund serve the bridge %s?",
		            config->name, config->bridge);
	if (ret == -EPERM)
		return fail(plan, ret,
		            "network %s: cannot make a TAP: root or CAP_NET_ADMIN is needed",
		            config->name);
	if (ret == -ENOENT)
		return fail(plan, ret, "network %s: cannot make a TAP: there is no /dev/net/tun",
		            config->name);
	if (ret)
		return fail(plan, ret, "network %s: cannot make a TAP: %s", config->name,
		            strerror(-ret));
	return 0;
}

static int plan_networks(struct apply_plan *plan)
{
	struct state *state = plan->state;
	size_t count = plan->config->network_count;

	plan->networks = calloc(count + 1, sizeof(struct run_network *));
	plan->network_from = calloc(count + 1, sizeof(*plan->network_from));
	plan->network_stays = calloc(plan->old_network_count + 1, sizeof(*plan->network_stays));
	if (!plan->networks || !plan->network_from || !plan->network_stays)
		return out_of_memory(plan);

	for (size_t i = 0; i < count; i++) {
		plan->network_from[i] = NOT_THERE;
		for (size_t j = 0; j < plan->old_network_count; j++) {
			if (!same_network(&plan->config->networks[i], &state->config->networks[j]))
				continue;
			plan->network_from[i] = j;
			plan->network_stays[j] = true;
			plan->networks[i] = state->networks[j];
		}
	}
	for (size_t i = 0; i < count; i++) {
		int ret = 0;

		if (!plan->networks[i])
			ret = plan_network(plan, i);
		else if (run_network_configure(plan->networks[i], &plan->config->networks[i]))
			ret = out_of_memory(plan);
		if (ret)
			return ret;
	}
	return 0;
}

/* After peers and networks. */
static int plan_members(struct apply_plan *plan)
{
	const struct state *state = plan->state;
	size_t count = plan->config->network_count;

	plan->members = calloc(count + 1, sizeof(*plan->members));
	if (!plan->members)
		return out_of_memory(plan);
	for (size_t i = 0; i < count; i++) {
		size_t from = plan->network_from[i];

		if (members_plan(&plan->members[i], plan->config, i, plan->peers,
		                 plan->networks[i]->network,
		                 from == NOT_THERE ? NULL : &state->members[from]))
			return out_of_memory(plan);
	}
	return 0;
}

/* Sockets. The last step that can fail, since the old ones stop here. */

int apply_set_udp(struct ring *ring, unsigned int i, void *arg)
{
	const struct udp_sockets *udp = arg;

	return ring_set_udp(ring, udp ? udp[i].fd4 : -1, udp ? udp[i].fd6 : -1);
}

/* @udp, an array: NULL takes them away. */
int apply_give_udp(const struct state *state, struct udp_sockets *udp)
{
	return workers_call(&state->workers, apply_set_udp, udp);
}

/* All sockets get @fwmark, or keep @old. */
static int set_fwmark(const struct state *state, uint32_t fwmark, uint32_t old)
{
	int ret = 0;

	for (unsigned int i = 0; i < state_queues(state) && !ret; i++)
		ret = priv_set_fwmark(state->priv, &state->udp[i], fwmark);
	for (unsigned int i = 0; i < state_queues(state) && ret; i++)
		(void)priv_set_fwmark(state->priv, &state->udp[i], old);
	return ret;
}

void apply_close_udp(const struct state *state, struct udp_sockets *udp)
{
	for (unsigned int i = 0; i < state_queues(state); i++)
		udp_close(&udp[i]);
}

static int plan_udp(struct apply_plan *plan)
{
	struct state *state = plan->state;
	const struct config *new = plan->config, *old = state->config;
	int ret, tries = 0;

	if (state->udp_open &&
	    (new->listen_port == state->udp[0].port || new->listen_port == old->listen_port)) {
		if (new->fwmark == old->fwmark)
			return 0;
		ret = set_fwmark(state, new->fwmark, old->fwmark);
		return ret ? fail(plan, ret, "cannot set FwMark: %s", strerror(-ret)) : 0;
	}

	if (handover_adopt_udp(state->handover, plan->udp, state_queues(state), new->listen_port,
	                       new->fwmark)) {
		plan->udp_changes = true;
		return 0;
	}
	do
		ret = priv_open_udp(state->priv, plan->udp, state_queues(state), new->listen_port,
		                    new->fwmark);
	while (ret == -EADDRINUSE && wait_for_predecessor(plan, &tries));
	if (ret == -EADDRINUSE)
		return fail(plan, ret, "UDP port %u is in use by another program",
		            (unsigned int)new->listen_port);
	if (ret)
		return fail(plan, ret, "cannot open UDP port %u: %s",
		            (unsigned int)new->listen_port, strerror(-ret));
	ret = state->running ? apply_give_udp(state, plan->udp) : 0;
	if (ret) {
		(void)apply_give_udp(state, state->udp_open ? state->udp : NULL);
		apply_close_udp(state, plan->udp);
		return fail(plan, ret, "cannot use UDP port %u: %s", (unsigned int)new->listen_port,
		            strerror(-ret));
	}
	plan->udp_changes = true;
	return 0;
}

/* The old place is listened on until the new configuration is in force. */
static int plan_metrics(struct apply_plan *plan)
{
	const struct endpoint *listen = &plan->config->metrics;
	char text[ENDPOINT_TEXT_MAX];
	int ret;

	if (metrics_is_at(plan->state->metrics, listen))
		return 0;
	if (endpoint_is_set(listen)) {
		ret = metrics_open(&plan->metrics, plan->state, listen);
		endpoint_format(listen, text);
		if (ret)
			return fail(plan, ret, "[Metrics] Listen = %s: %s", text, strerror(-ret));
	}
	plan->metrics_change = true;
	return 0;
}

void apply_plan_give_up(struct apply_plan *plan)
{
	metrics_close(plan->metrics);
	if (plan->view)
		view_free(plan->view);
	for (size_t i = 0; plan->members && i < plan->config->network_count; i++) {
		size_t from = plan->network_from[i];

		members_end(&plan->members[i],
		            from == NOT_THERE ? NULL : &plan->state->members[from]);
	}
	for (size_t i = 0; plan->peers && i < plan->config->peer_count; i++) {
		if (plan->peers[i].peer && plan->peer_from[i] == NOT_THERE) {
			peer_kill(plan->peers[i].peer);
			peer_retire(plan->peers[i].peer);
		}
	}
	for (size_t i = 0; plan->networks && i < plan->config->network_count; i++) {
		if (plan->networks[i] && plan->network_from[i] == NOT_THERE)
			run_network_close(plan->state, plan->networks[i]);
	}
	/* Nothing looked at the new Subnets yet: that is the next bridge_update()'s. */
	for (size_t i = 0; i < plan->old_network_count; i++)
		(void)run_network_configure(plan->state->networks[i],
		                            &plan->state->config->networks[i]);
}

void apply_plan_free(struct apply_plan *plan)
{
	free(plan->peers);
	free(plan->peer_from);
	free(plan->peer_stays);
	free(plan->networks);
	free(plan->network_from);
	free(plan->network_stays);
	free(plan->members);
}

int apply_plan(struct apply_plan *plan)
{
	int ret = plan_peers(plan);

	if (!ret)
		ret = plan_networks(plan);
	if (!ret)
		ret = plan_members(plan);
	if (ret)
		return ret;
	plan->view = apply_make_view(
		plan->config, &(struct apply_parts){ plan->peers, plan->networks, plan->members });
	if (!plan->view)
		return out_of_memory(plan);
	/* Before the socket: that one is given to the workers at once. */
	ret = plan_metrics(plan);
	return ret ? ret : plan_udp(plan);
}
