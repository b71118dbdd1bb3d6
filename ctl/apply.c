/* SPDX-License-Identifier: MIT */
/*
 * What apply_plan.c has made is put in force by commit_*(); none of it can fail.
 *
 * Order of the commit. Peers that go are killed, so that nothing new begins with
 * them; the new view is published; only then is what the old view alone held
 * retired (quiesce.h), members before their peers and networks. A network's TAP
 * leaves the ring after the view without it was published: until then the worker
 * may write to it.
 */
#include "ctl/apply_private.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/events.h"
#include "ctl/handover.h"
#include "ctl/members.h"
#include "ctl/metrics.h"
#include "ctl/run_network.h"
#include "ctl/stations.h"
#include "dataplane/announce.h"

static void commit_metrics(struct apply_plan *plan)
{
	if (!plan->metrics_change)
		return;
	metrics_close(plan->state->metrics);
	plan->state->metrics = plan->metrics;
	plan->metrics = NULL;
}

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

static void commit_identity(struct apply_plan *plan, struct apply_summary *summary)
{
	const struct config *new = plan->config, *old = plan->state->config;

	if (old && new->has_private_key == old->has_private_key &&
	    secret_equal(new->private_key, old->private_key, KEY_SIZE))
		return;
	summary->identity_changed = true;
	device_set_identity(plan->state->device, new->has_private_key ? new->private_key : NULL);
}

static void commit_peers(struct apply_plan *plan, struct apply_summary *summary)
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
static void commit_keepalives(struct apply_plan *plan)
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
static void commit_network(const struct apply_plan *plan, size_t i)
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
static void commit_members(struct apply_plan *plan)
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
static void commit_hellos(const struct apply_plan *plan)
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

static void commit_view(struct apply_plan *plan, struct apply_summary *summary)
{
	struct state *state = plan->state;
	size_t leaving = 0;

	for (size_t i = 0; i < plan->old_peer_count; i++) {
		if (plan->peer_stays[i])
			continue;
		peer_kill(state->peers[i].peer);
		leaving++;
	}
	device_publish(state->device, plan->view);
	plan->view = NULL;
	commit_members(plan);
	for (size_t i = 0; i < plan->old_peer_count; i++) {
		if (plan->peer_stays[i])
			continue;
		if (leaving <= EVENTS_PEERS_AT_ONCE)
			events_add(state, EVENTS_PEER_REMOVED, &state->config->peers[i], NULL,
			           "removed");
		peer_retire(state->peers[i].peer);
		summary->peers_removed++;
	}
	if (leaving > EVENTS_PEERS_AT_ONCE)
		events_add(state, EVENTS_PEER_REMOVED, NULL, NULL, "%zu peers removed", leaving);
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

static void commit(struct apply_plan *plan, struct apply_summary *summary)
{
	struct state *state = plan->state;

	if (plan->udp_changes) {
		if (state->udp_open)
			apply_close_udp(state, state->udp);
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
	struct apply_plan plan = {
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

	ret = apply_plan(&plan);
	if (ret)
		goto out;
	commit(&plan, summary);
	if (before)
		*before = old;
	else
		config_free(old);
out:
	if (ret)
		apply_plan_give_up(&plan);
	apply_plan_free(&plan);
	return ret;
}

static int begin(struct ring *ring, unsigned int i, void *arg)
{
	struct state *state = arg;
	int ret = apply_set_udp(ring, i, state->udp);

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
	(void)apply_give_udp(state, NULL);
	if (state->udp_open)
		apply_close_udp(state, state->udp);
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
