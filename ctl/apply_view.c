/* SPDX-License-Identifier: MIT */
/* The view that workers forward by: from the configuration, and from what the bridges are. */
#include <stdlib.h>
#include <string.h>
#include "ctl/apply.h"
#include "ctl/run_network.h"

/* A copy for the view to own; false when memory ran out. */
static bool copy(void **out, const void *list, size_t count, size_t size)
{
	if (!count)
		return true;
	*out = malloc(count * size);
	if (*out)
		memcpy(*out, list, count * size);
	return *out != NULL;
}

static bool copy_prefixes(struct prefix **out, size_t *out_count, const struct prefix *list,
                          size_t count)
{
	void *bytes = NULL;

	if (!copy(&bytes, list, count, sizeof(*list)))
		return false;
	*out = bytes;
	*out_count = count;
	return true;
}

/* All that a bridged network has and a routed one has not. */
static bool fill_bridged(struct view_network *net, const struct config_network *config,
                         const struct run_members *members)
{
	void *list = NULL;

	net->mode = NETWORK_BRIDGED;
	net->vni = config->vni;
	net->guards = config->guards;
	net->guards.any_router = config->routers.all;
	net->guards.any_dhcp = config->dhcp_servers.all;
	if (!copy(&list, members->list, members->count, sizeof(struct member *)))
		return false;
	net->members = list;
	net->member_count = members->count;
	return true;
}

/* Without subnets of it nothing of a family is answered, learned or let through. */
static void leave_out_claimed(struct view_network *net, const struct config *config,
                              const struct config_network *network)
{
	static const uint8_t families[] = { 4, 6 };
	struct config_claim claim;

	for (size_t i = 0; i < sizeof(families); i++) {
		const struct config_subnets subnets = { net->subnets, net->subnet_count };
		size_t kept = 0;

		if (!config_is_claimed(config, network, &subnets, families[i], &claim))
			continue;
		for (size_t j = 0; j < net->subnet_count; j++)
			if (net->subnets[j].family != families[i])
				net->subnets[kept++] = net->subnets[j];
		net->subnet_count = kept;
	}
}

static bool fill_routed(struct view_network *net, const struct config *config,
                        const struct config_network *network, const struct run_network *run)
{
	struct config_subnets subnets = run_network_subnets(run, network);

	if (!copy_prefixes(&net->subnets, &net->subnet_count, subnets.list, subnets.count) ||
	    !copy_prefixes(&net->ranges, &net->range_count, network->ranges, network->range_count))
		return false;
	leave_out_claimed(net, config, network);
	return true;
}

static bool fill_network(struct view_network *net, const struct config *all, size_t place,
                         const struct apply_parts *parts)
{
	const struct config_network *config = &all->networks[place];
	const struct run_network *run = parts->networks[place];
	static const struct bridge_state no_bridge;
	const struct bridge_state *bridge = run->bridge ? bridge_state(run->bridge) : &no_bridge;
	void *addresses = NULL;

	net->network = run->network;
	net->attached = bridge->attached;
	memcpy(net->bridge_mac, bridge->bridge_mac, ETHER_ADDR_SIZE);
	net->mtu = config->mtu;
	net->tap_mtu = bridge->mtu;
	if (!copy(&addresses, bridge->addresses, bridge->address_count, sizeof(*net->gateways)))
		return false;
	net->gateways = addresses;
	net->gateway_count = bridge->address_count;
	if (config->bridged)
		return fill_bridged(net, config, &parts->members[place]);
	return fill_routed(net, all, config, run);
}

static struct route *list_routes(const struct config *config, const struct run_peer *peers,
                                 size_t *count)
{
	struct route *routes;
	size_t n = 0;

	for (size_t i = 0; i < config->peer_count; i++)
		n += config->peers[i].allowed_count;
	routes = calloc(n + 1, sizeof(*routes));
	if (!routes)
		return NULL;
	*count = 0;
	for (size_t i = 0; i < config->peer_count; i++) {
		for (size_t j = 0; j < config->peers[i].allowed_count; j++)
			routes[(*count)++] = (struct route){ .prefix = config->peers[i].allowed[j],
				                             .target = peers[i].peer };
	}
	return routes;
}

struct view *apply_make_view(const struct config *config, const struct apply_parts *parts)
{
	struct view *view = view_create(config->peer_count, config->network_count);
	struct route *routes = NULL;
	size_t count = 0;
	bool made = false;

	if (!view)
		return NULL;
	for (size_t i = 0; i < config->peer_count; i++)
		view->peers[i] = parts->peers[i].peer;
	for (size_t i = 0; i < config->network_count; i++) {
		if (!fill_network(&view->networks[i], config, i, parts))
			goto out;
	}
	routes = list_routes(config, parts->peers, &count);
	made = routes && view_finish(view, routes, count) == 0;
out:
	free(routes);
	if (made)
		return view;
	view_free(view);
	return NULL;
}
