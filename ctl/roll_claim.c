/* SPDX-License-Identifier: MIT */
/* Who has what of a range already. */
#include "ctl/roll.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ctl/config_private.h"
#include "ctl/state.h"

/* What overlaps @range: this host's own, with neither; a peer's; or a bridged host's of the roll. */
struct visit {
	const struct prefix *range;
	/* True: that is enough. */
	bool (*see)(void *arg, const struct prefix *claimed, const struct config_peer *peer,
	            const struct roll_host *host);
	void *arg;
};

/*
 * Where nobody knows the Subnet before its bridge is there, what holds all that lives here is
 * no other host's part either.
 */
static bool is_whole(const struct config_network *network, struct config_subnets subnets,
                     const struct prefix *prefix)
{
	for (size_t i = 0; i < subnets.count; i++)
		if (prefix_covers(prefix, &subnets.list[i]))
			return true;
	for (size_t i = 0; i < network->range_count && !subnets.count; i++)
		if (prefix_covers(prefix, &network->ranges[i]))
			return true;
	return false;
}

/* The whole of a Subnet or more: "everything else", and no host's part. */
static bool is_rest(const struct roll_scene *scene, const struct prefix *prefix)
{
	for (size_t i = 0; i < scene->config->network_count; i++) {
		const struct config_network *network = &scene->config->networks[i];
		struct config_subnets subnets = { network->subnets, network->subnet_count };

		if (is_whole(network, scene->subnets ? scene->subnets[i] : subnets, prefix))
			return true;
	}
	return prefix->len == 0;
}

static bool visit_peer(const struct roll_scene *scene, const struct config_peer *peer,
                       const struct visit *visit)
{
	for (size_t i = 0; i < peer->allowed_count; i++)
		if (prefix_overlap(&peer->allowed[i], visit->range) &&
		    !is_rest(scene, &peer->allowed[i]) &&
		    visit->see(visit->arg, &peer->allowed[i], peer, NULL))
			return true;
	return false;
}

static bool visit_all(const struct roll_scene *scene, const struct visit *visit)
{
	const struct config *config = scene->config;

	for (size_t i = 0; i < config->network_count; i++)
		for (size_t j = 0; j < config->networks[i].range_count; j++)
			if (prefix_overlap(&config->networks[i].ranges[j], visit->range) &&
			    visit->see(visit->arg, &config->networks[i].ranges[j], NULL, NULL))
				return true;
	for (size_t i = 0; i < config->peer_count; i++)
		if (visit_peer(scene, &config->peers[i], visit))
			return true;
	/* Members of bridged networks have their ranges here alone. */
	for (size_t i = 0; i < scene->roll->host_count; i++) {
		const struct roll_host *host = &scene->roll->hosts[i];

		if (!host->idle && host->vni && prefix_overlap(&host->range, visit->range) &&
		    visit->see(visit->arg, &host->range, NULL, host))
			return true;
	}
	return false;
}

static bool take_first(void *arg, const struct prefix *claimed, const struct config_peer *peer,
                       const struct roll_host *host)
{
	struct roll_claim *claim = arg;
	char label[STATE_LABEL_MAX];

	claim->prefix = *claimed;
	if (peer) {
		state_label_peer(peer, label);
		(void)snprintf(claim->whose, sizeof(claim->whose), "peer %s's", label);
	} else {
		(void)snprintf(claim->whose, sizeof(claim->whose), host ? "host %s's" : "%s",
		               host ? host->name : "this host's own");
	}
	return true;
}

bool roll_find_claim(const struct roll_scene *scene, const struct prefix *range,
                     struct roll_claim *claim)
{
	return visit_all(scene, &(struct visit){ range, take_first, claim });
}

int roll_add_claim(struct roll_claims *claims, const struct prefix *claimed)
{
	struct prefix *list = config_grow(claims->list, claims->count, sizeof(*list));

	if (!list)
		return -ENOMEM;
	claims->list = list;
	list[claims->count++] = *claimed;
	return 0;
}

static bool take_each(void *arg, const struct prefix *claimed, const struct config_peer *peer,
                      const struct roll_host *host)
{
	(void)peer;
	(void)host;
	return roll_add_claim(arg, claimed) != 0;
}

int roll_list_claims(const struct roll_scene *scene, const struct prefix *range,
                     struct roll_claims *claims)
{
	return visit_all(scene, &(struct visit){ range, take_each, claims }) ? -ENOMEM : 0;
}

void roll_format_claim(const struct prefix *range, const struct roll_claim *claim,
                       char out[ROLL_CLAIM_TEXT])
{
	char text[2][PREFIX_TEXT_MAX];

	prefix_format(range, text[0]);
	prefix_format(&claim->prefix, text[1]);
	if (prefix_equal(range, &claim->prefix))
		(void)snprintf(out, ROLL_CLAIM_TEXT, "%s is %s already", text[0], claim->whose);
	else
		(void)snprintf(out, ROLL_CLAIM_TEXT, "%s overlaps %s, which is %s", text[0],
		               text[1], claim->whose);
}
