/* SPDX-License-Identifier: MIT */
#include "ctl/invite_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/introduce.h"
#include "ctl/run_network.h"

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

/* By where they begin; what holds another one comes first. */
static int compare_claims(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	return order ? order : x->len - y->len;
}

/*
 * The first part that is free; once over all that is taken, however many there are.
 * Whatever a part was moved past begins before it and ends before it, too.
 */
static bool find_free(const struct state *state, const struct roll_invite *invite,
                      struct prefix *part)
{
	struct roll_claims claims = { .count = 0 };
	bool found = introduce_list_claims(state, &invite->range, &claims) == 0;

	if (claims.count)
		qsort(claims.list, claims.count, sizeof(*claims.list), compare_claims);
	*part = invite->range;
	part->len = invite->part_len;
	for (size_t i = 0; i < claims.count && found; i++) {
		const struct prefix *claim = &claims.list[i];

		if (!prefix_overlap(claim, part))
			continue;
		found = move_behind(part, claim->len < part->len ? claim : part) &&
		        prefix_covers(&invite->range, part);
	}
	free(claims.list);
	return found;
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
	if (!wanted && invite->part_len > invite->range.len) {
		if (find_free(state, invite, part))
			return true;
		(void)snprintf(why, JOIN_TEXT_MAX, "no /%u of %s is free any more",
		               invite->part_len, text[0]);
		return false;
	}
	*part = wanted ? *wanted : invite->range;
	if (!introduce_find_claim(state, part, &claim))
		return true;
	roll_format_claim(part, &claim, claimed);
	(void)snprintf(why, JOIN_TEXT_MAX, "%s", claimed);
	return false;
}
