/* SPDX-License-Identifier: MIT */
#include "ctl/invite_part.h"

#include <stdio.h>
#include "ctl/introduce.h"
#include "ctl/run_network.h"

#define PARTS_MAX 65536 /* tried for one host */

size_t invite_find_network(const struct state *state, const struct prefix *range)
{
	for (size_t i = 0; i < state->config->network_count; i++) {
		struct config_subnets subnets =
			run_network_subnets(state->networks[i], &state->config->networks[i]);

		for (size_t j = 0; j < subnets.count; j++)
			if (prefix_covers(&subnets.list[j], range))
				return i;
	}
	return INVITE_NOWHERE;
}

/* To the first part of the same length behind @behind; false: there are no more addresses. */
static bool move_behind(struct prefix *part, const struct prefix *behind)
{
	uint8_t len = part->len;

	*part = *behind;
	part->len = len;
	for (unsigned int bit = behind->len; bit-- > 0;) {
		uint8_t mask = (uint8_t)(0x80u >> bit % 8);

		part->addr[bit / 8] ^= mask;
		if (part->addr[bit / 8] & mask)
			return true;
	}
	return false;
}

bool invite_find_part(const struct state *state, const struct roll_invite *invite,
                      const struct prefix *wanted, struct prefix *part, char why[JOIN_TEXT_MAX])
{
	char text[2][PREFIX_TEXT_MAX], claimed[ROLL_CLAIM_TEXT];
	struct roll_claim claim;

	prefix_format(&invite->range, text[0]);
	if (wanted) {
		prefix_format(wanted, text[1]);
		if (!prefix_covers(&invite->range, wanted) || wanted->len < invite->part_len) {
			(void)snprintf(why, JOIN_TEXT_MAX,
			               "%s is not what the token is for: a /%u of %s", text[1],
			               invite->part_len, text[0]);
			return false;
		}
	}
	*part = wanted ? *wanted : invite->range;
	part->len = wanted ? wanted->len : invite->part_len;
	for (unsigned int i = 0; i < PARTS_MAX; i++) {
		if (!introduce_find_claim(state, part, &claim))
			return true;
		if (wanted || part->len == invite->range.len) {
			roll_format_claim(part, &claim, claimed);
			(void)snprintf(why, JOIN_TEXT_MAX, "%s", claimed);
			return false;
		}
		if (!move_behind(part, claim.prefix.len < part->len ? &claim.prefix : part) ||
		    !prefix_covers(&invite->range, part))
			break;
	}
	(void)snprintf(why, JOIN_TEXT_MAX, "no /%u of %s is free any more", invite->part_len,
	               text[0]);
	return false;
}
