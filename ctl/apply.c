/* SPDX-License-Identifier: MIT */
/*
 * plan_*() prepare: peers, TAPs, the view and the sockets of the new
 * configuration come into being beside those in force, and whatever fails gives
 * them up again. commit_*() put them in force; none of it can fail.
 *
 * Order of the commit. Peers that go are killed, so that nothing new begins with
 * them; the new view is published; only then is what the old view alone held
 * retired (quiesce.h), members before their peers and networks. A network's TAP
 * leaves the ring after the view without it was published: until then the worker
 * may write to it.
 */
#include "ctl/apply.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ctl/events.h"
#include "ctl/handover.h"
#include "ctl/members.h"
#include "ctl/metrics.h"
#include "ctl/run_network.h"
#include "ctl/stations.h"
#include "dataplane/announce.h"

#define NOT_THERE SIZE_MAX

_Static_assert(CONFIG_NETWORKS_MAX <= RING_PORTS_MAX, "a port of the ring for each network");

struct plan {
	struct state *state;
	struct config *config;
	struct config_error *error;
	size_t old_peer_count, old_network_count; /* of the configuration in force */

	struct run_peer *peers;
	size_t *peer_from; /* the place of the same peer in force; NOT_THERE: new */
	bool *peer_stays; /* by place in force */
	struct run_network **networks;
	size_t *network_from;
	bool *network_stays;
	struct run_members *members;

	struct view *view;
	bool udp_changes;
	struct udp_sockets udp[WORKERS_MAX];
	bool metrics_change;
	struct metrics *metrics;
};

static int fail(const struct plan *plan, int ret, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(const struct plan *plan, int ret, const char *format, ...)
{
	va_list args;

	memset(plan->error, 0, sizeof(*plan->error));
	va_start(args, format);
	(void)vsnprintf(plan->error->text, sizeof(plan->error->text), format, args);
	va_end(args);
	return ret;
}

static int out_of_memory(const struct plan *plan)
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
static int match_peers(struct plan *plan)
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

static int plan_peers(struct plan *plan)
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
static int free_port(const struct plan *plan)
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
static bool wait_for_predecessor(const struct plan *plan, int *tries)
{
	const struct timespec pause = { .tv_nsec = 50000000 };

	if (plan->state->udp_open || ++*tries > 60)
		return false;
	(void)nanosleep(&pause, NULL);
	return true;
}

static int plan_network(struct plan *plan, size_t i)
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

static int plan_networks(struct plan *plan)
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
static int plan_members(struct plan *plan)
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

static int set_udp(struct ring *ring, unsigned int i, void *arg)
{
	const struct udp_sockets *udp = arg;

	return ring_set_udp(ring, udp ? udp[i].fd4 : -1, udp ? udp[i].fd6 : -1);
}

/* @udp, an array: NULL takes them away. */
static int give_workers_udp(const struct state *state, struct udp_sockets *udp)
{
	return workers_call(&state->workers, set_udp, udp);
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

static void close_udp(const struct state *state, struct udp_sockets *udp)
{
	for (unsigned int i = 0; i < state_queues(state); i++)
		udp_close(&udp[i]);
}

static int plan_udp(struct plan *plan)
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
	ret = state->running ? give_workers_udp(state, plan->udp) : 0;
	if (ret) {
		(void)give_workers_udp(state, state->udp_open ? state->udp : NULL);
		close_udp(state, plan->udp);
		return fail(plan, ret, "cannot use UDP port %u: %s", (unsigned int)new->listen_port,
		            strerror(-ret));
	}
	plan->udp_changes = true;
	return 0;
}

/* The old place is listened on until the new configuration is in force. */
static int plan_metrics(struct plan *plan)
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

static void commit_metrics(struct plan *plan)
{
	if (!plan->metrics_change)
		return;
	metrics_close(plan->state->metrics);
	plan->state->metrics = plan->metrics;
	plan->metrics = NULL;
}

static void plan_give_up(struct plan *plan)
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

static void plan_free(struct plan *plan)
{
	free(plan->peers);
	free(plan->peer_from);
	free(plan->peer_stays);
	free(plan->networks);
	free(plan->network_from);
	free(plan->network_stays);
	free(plan->members);
}

/* The commit */

static bool same_endpoint(const struct config_peer *a, const struct config_peer *b)
{
	return a->endpoint_serial == b->endpoint_serial && a->endpoint.port == b->endpoint.port &&
	       strcmp(a->endpoint.host, b->endpoint.host) == 0;
}

static bool same_allowed(const struct config_peer *a, const struct config_peer *b)
{
	size_t size = a->allowed_count * sizeof(*a->allowed);

	return a->allowed_count == b->allowed_count &&
	       (!size || memcmp(a->allowed, b->allowed, size) == 0);
}

static bool same_vnis(const struct config_peer *a, const struct config_peer *b)
{
	for (size_t i = 0; i < a->vni_count; i++)
		if (!config_peer_has_vni(b, a->vnis[i]))
			return false;
	return a->vni_count == b->vni_count; /* none is there twice */
}

static void set_endpoint(struct run_peer *run, const struct config_peer *config)
{
	run->resolve_at_ns = 0;
	run->backoff_s = 0;
	memset(&run->resolved, 0, sizeof(run->resolved));
	if (!config->endpoint.host[0])
		return; /* where it was heard from last stays good */
	if (config->endpoint.numeric)
		peer_set_endpoint(run->peer, &config->endpoint.address);
	else
		run->resolve_at_ns = 1; /* at once */
}

static enum peer_role role_of(const struct config_peer *config)
{
	if (config->invited)
		return PEER_INVITED;
	return config->introducer ? PEER_INTRODUCER : PEER_ORDINARY;
}

/* All but the keepalive. @old: NULL for a new peer. True when something about it changed. */
static bool commit_peer(struct run_peer *run, const struct config_peer *new,
                        const struct config_peer *old)
{
	bool changed = false;

	if (!old || !secret_equal(new->psk, old->psk, KEY_SIZE)) {
		peer_set_psk(run->peer, new->psk);
		changed = true;
	}
	if (!old || !same_endpoint(new, old)) {
		set_endpoint(run, new);
		changed = true;
	}
	peer_set_role(run->peer, role_of(new));
	if (old && role_of(new) != role_of(old))
		changed = true;
	return changed || new->keepalive_s != old->keepalive_s || !same_allowed(new, old) ||
	       !same_vnis(new, old);
}

static void commit_identity(struct plan *plan, struct apply_summary *summary)
{
	const struct config *new = plan->config, *old = plan->state->config;

	if (old && new->has_private_key == old->has_private_key &&
	    secret_equal(new->private_key, old->private_key, KEY_SIZE))
		return;
	summary->identity_changed = true;
	device_set_identity(plan->state->device, new->has_private_key ? new->private_key : NULL);
}

static void commit_peers(struct plan *plan, struct apply_summary *summary)
{
	const struct config *old = plan->state->config;

	for (size_t i = 0; i < plan->config->peer_count; i++) {
		size_t from = plan->peer_from[i];
		bool changed = commit_peer(&plan->peers[i], &plan->config->peers[i],
		                           from == NOT_THERE ? NULL : &old->peers[from]);

		if (from == NOT_THERE) {
			handover_put_peer(plan->state->handover, &plan->peers[i],
			                  &plan->config->peers[i]);
			summary->peers_added++;
		} else if (changed) {
			summary->peers_changed++;
		}
	}
}

/* After all else: an interval that is switched on begins with a packet. */
static void commit_keepalives(struct plan *plan)
{
	const struct config *old = plan->state->config;

	for (size_t i = 0; i < plan->config->peer_count; i++) {
		size_t from = plan->peer_from[i];
		uint16_t before = from == NOT_THERE ? 0 : old->peers[from].keepalive_s;
		uint16_t now = plan->config->peers[i].keepalive_s;

		if (now != before)
			peer_set_keepalive(plan->peers[i].peer, now);
	}
}

/* What a bridged network has beside its view. */
static void commit_network(const struct plan *plan, size_t i)
{
	const struct config_network *config = &plan->config->networks[i];
	struct network *network = plan->networks[i]->network;

	members_permit(&plan->members[i], config, network);
	if (!network->fdb)
		return;
	fdb_set_quota(network->fdb, config->macs);
	members_fix_stations(&plan->members[i], plan->config, i, plan->peers, network);
}

/* Behind the view: what the old one's members held is let go of. */
static void commit_members(struct plan *plan)
{
	struct state *state = plan->state;

	for (size_t i = 0; i < plan->config->network_count; i++) {
		struct network *network = plan->networks[i]->network;
		size_t from = plan->network_from[i];

		if (from != NOT_THERE && network->fdb)
			members_free_stations(&plan->members[i], &plan->config->networks[i],
			                      &state->config->networks[from], network);
		if (from != NOT_THERE)
			members_end(&state->members[from], &plan->members[i]);
		commit_network(plan, i);
	}
	for (size_t i = 0; i < plan->old_network_count; i++) {
		if (!plan->network_stays[i])
			members_end(&state->members[i], NULL);
	}
}

/* What this host's hello says has changed, or what it was told of a network is void. */
static void commit_hellos(const struct plan *plan)
{
	const struct config *new = plan->config, *old = plan->state->config;

	for (size_t i = 0; i < new->peer_count; i++) {
		size_t from = plan->peer_from[i];

		if (from != NOT_THERE && !same_vnis(&new->peers[i], &old->peers[from]))
			hello_changed(plan->peers[i].peer);
	}
	for (size_t i = 0; i < new->network_count; i++) {
		const struct run_members *members = &plan->members[i];

		for (size_t j = 0; plan->network_from[i] == NOT_THERE && j < members->count; j++)
			hello_changed(members->list[j]->peer);
	}
}

static void commit_view(struct plan *plan, struct apply_summary *summary)
{
	struct state *state = plan->state;

	for (size_t i = 0; i < plan->old_peer_count; i++) {
		if (!plan->peer_stays[i])
			peer_kill(state->peers[i].peer);
	}
	device_publish(state->device, plan->view);
	plan->view = NULL;
	commit_members(plan);
	for (size_t i = 0; i < plan->old_peer_count; i++) {
		if (plan->peer_stays[i])
			continue;
		events_add(state, EVENTS_PEER_REMOVED, &state->config->peers[i], NULL, "removed");
		peer_retire(state->peers[i].peer);
		summary->peers_removed++;
	}
	for (size_t i = 0; i < plan->old_network_count; i++) {
		if (plan->network_stays[i])
			continue;
		events_add(state, EVENTS_DETACHED, NULL, state->config->networks[i].name,
		           "removed");
		run_network_close(state, state->networks[i]);
		summary->networks_removed++;
	}
	for (size_t i = 0; i < plan->config->network_count; i++)
		summary->networks_added += plan->network_from[i] == NOT_THERE;
}

static void note_claims(const struct state *state)
{
	for (size_t i = 0; i < state->config->network_count; i++)
		run_network_note_claims(state->networks[i], state->config,
		                        &state->config->networks[i]);
}

/*
 * A worker with realtime priority must leave a processor to others. What the host
 * refuses is no reason to refuse a configuration: it is said, and all works without.
 */
static void set_pace(struct state *state)
{
	enum config_realtime wanted = state->config->realtime;
	bool realtime = wanted == CONFIG_REALTIME_YES;
	cpu_set_t usable;

	/* Who polls has none. */
	if (wanted == CONFIG_REALTIME_AUTO && !state->config->busy_poll_us &&
	    sched_getaffinity(0, sizeof(usable), &usable) == 0)
		realtime = CPU_COUNT(&usable) > (int)state->workers.count;
	if (realtime && !state->realtime)
		(void)priv_allow_realtime(state->priv); /* the workers find out */
	state->realtime_error =
		workers_set_pace(&state->workers, realtime, state->config->busy_poll_us * 1000ull);
	state->realtime = realtime && !state->realtime_error;
}

static int pass_by(struct ring *ring, unsigned int i, void *arg)
{
	(void)ring;
	(void)i;
	(void)arg;
	return 0;
}

/*
 * Who took an address that is another's by AllowedIPs since, or the bridge's, does not
 * keep it. Once each worker has passed by, what it claims is checked by the new view.
 */
static void review_stations(const struct state *state)
{
	const struct view *view = atomic_load_explicit(&state->device->view, memory_order_relaxed);

	if (view->vni_count)
		(void)workers_call(&state->workers, pass_by, NULL);
	for (size_t i = 0; i < view->vni_count; i++)
		announce_review(view, view->by_vni[i], device_now(state->device));
}

static void commit(struct plan *plan, struct apply_summary *summary)
{
	struct state *state = plan->state;

	if (plan->udp_changes) {
		if (state->udp_open)
			close_udp(state, state->udp);
		memcpy(state->udp, plan->udp, sizeof(state->udp));
		state->udp_open = true;
		atomic_store_explicit(&state->device->udp_port, state->udp[0].port,
		                      memory_order_relaxed);
		summary->socket_changed = true;
	}
	commit_peers(plan, summary);
	commit_view(plan, summary);
	/* The device gives the new key to the peers of its view: behind the view. */
	commit_identity(plan, summary);
	commit_hellos(plan);
	if (state->running)
		commit_keepalives(plan);

	free(state->peers);
	free(state->networks);
	free(state->members);
	state->peers = plan->peers;
	state->networks = plan->networks;
	state->members = plan->members;
	plan->peers = NULL;
	plan->networks = NULL;
	plan->members = NULL;
	/* Another mark may mean other routes. New peers are asked for anyway. */
	if (state->config && state->config->fwmark != plan->config->fwmark)
		state->paths_changed = true;
	state->config = plan->config;
	state->next_path = 0;
	state->generation++;
	commit_metrics(plan);
	note_claims(state);
	set_pace(state);
	review_stations(state);
	workers_kick(&state->workers);
}

int apply_config(struct state *state, struct config *config, struct config **before,
                 struct apply_summary *summary, struct config_error *error)
{
	struct config *old = state->config;
	struct apply_summary ignored;
	struct plan plan = {
		.state = state,
		.config = config,
		.error = error,
		.old_peer_count = old ? old->peer_count : 0,
		.old_network_count = old ? old->network_count : 0,
	};
	int ret;

	if (!summary)
		summary = &ignored;
	memset(summary, 0, sizeof(*summary));

	ret = plan_peers(&plan);
	if (ret)
		goto out;
	ret = plan_networks(&plan);
	if (ret)
		goto out;
	ret = plan_members(&plan);
	if (ret)
		goto out;
	plan.view = apply_make_view(
		config, &(struct apply_parts){ plan.peers, plan.networks, plan.members });
	if (!plan.view) {
		ret = out_of_memory(&plan);
		goto out;
	}
	/* Before the socket: that one is given to the workers at once. */
	ret = plan_metrics(&plan);
	if (ret)
		goto out;
	ret = plan_udp(&plan);
	if (ret)
		goto out;
	commit(&plan, summary);
	if (before)
		*before = old;
	else
		config_free(old);
out:
	if (ret)
		plan_give_up(&plan);
	plan_free(&plan);
	return ret;
}

static int begin(struct ring *ring, unsigned int i, void *arg)
{
	struct state *state = arg;
	int ret = set_udp(ring, i, state->udp);

	for (size_t n = 0; n < state->config->network_count && !ret; n++)
		ret = run_network_attach(state->networks[n], ring, i);
	return ret;
}

int apply_begin(struct state *state)
{
	int ret = workers_call(&state->workers, begin, state);

	if (ret)
		return ret;
	state->running = true;
	/* An interval that is switched on begins with a packet, which needs a socket. */
	for (size_t i = 0; i < state->config->peer_count; i++)
		peer_set_keepalive(state->peers[i].peer, state->config->peers[i].keepalive_s);
	workers_kick(&state->workers);
	return 0;
}

int apply_view(struct state *state)
{
	const struct apply_parts parts = { state->peers, state->networks, state->members };
	struct view *view = apply_make_view(state->config, &parts);

	if (!view)
		return -ENOMEM;
	device_publish(state->device, view);
	review_stations(state);
	note_claims(state);
	return 0;
}

void apply_end(struct state *state)
{
	stations_end(state);
	metrics_close(state->metrics);
	state->metrics = NULL;
	if (!state->config)
		goto out;
	for (size_t i = 0; i < state->config->peer_count; i++)
		peer_kill(state->peers[i].peer);
	/* Needs no memory: else what is retired here would be the device's to retire as well. */
	device_publish_empty(state->device);
	for (size_t i = 0; i < state->config->network_count; i++)
		members_end(&state->members[i], NULL);
	for (size_t i = 0; i < state->config->peer_count; i++)
		peer_retire(state->peers[i].peer);
	for (size_t i = 0; i < state->config->network_count; i++)
		run_network_close(state, state->networks[i]);
	(void)give_workers_udp(state, NULL);
	if (state->udp_open)
		close_udp(state, state->udp);
out:
	free(state->peers);
	free(state->networks);
	free(state->members);
	config_free(state->config);
	config_free(state->base);
	state->members = NULL;
	state->peers = NULL;
	state->networks = NULL;
	state->config = NULL;
	state->base = NULL;
	state->udp_open = false;
	state->running = false;
}
