/* SPDX-License-Identifier: MIT */
/* Peers that claim a network whole, as a file of a full tunnel does: AllowedIPs = 0.0.0.0/0. */
#include "ctl/config.h"

static bool has_range(const struct config_network *network, uint8_t family)
{
	for (size_t i = 0; i < network->range_count; i++)
		if (network->ranges[i].family == family)
			return true;
	return false;
}

static bool find_claim(const struct config *config, const struct prefix *subnet,
                       struct config_claim *claim)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		for (size_t j = 0; j < peer->allowed_count; j++) {
			if (!prefix_covers(&peer->allowed[j], subnet))
				continue;
			*claim = (struct config_claim){ peer, j, subnet };
			return true;
		}
	}
	return false;
}

bool config_is_claimed(const struct config *config, const struct config_network *network,
                       const struct config_subnets *subnets, uint8_t family,
                       struct config_claim *claim)
{
	bool any = false;

	if (network->bridged || has_range(network, family))
		return false;
	for (size_t i = 0; i < subnets->count; i++) {
		struct config_claim found;

		if (subnets->list[i].family != family)
			continue;
		if (!find_claim(config, &subnets->list[i], &found))
			return false;
		if (!any)
			*claim = found;
		any = true;
	}
	return any;
}
