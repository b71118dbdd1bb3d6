/* SPDX-License-Identifier: MIT */
/*
 * The rules that hold between the parts of a configuration, be it from a file or
 * edited at run time. Everything that compares all with all sorts first.
 */
#include "ctl/config_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_MAX     (CONFIG_NAME_MAX + 16)
#define LINE_TEXT_MAX 32

/* " (line 12)", or nothing for what no file says. */
static const char *line_text(unsigned int line, char out[LINE_TEXT_MAX])
{
	out[0] = '\0';
	if (line != 0)
		snprintf(out, LINE_TEXT_MAX, " (line %u)", line);
	return out;
}

/* "peer "barge1"", or its key. */
static const char *peer_label(const struct config_peer *peer, char out[LABEL_MAX])
{
	char key[KEY_BASE64_LEN + 1];

	if (peer->name[0]) {
		snprintf(out, LABEL_MAX, "peer \"%s\"", peer->name);
	} else {
		secret_to_base64(key, peer->public_key);
		snprintf(out, LABEL_MAX, "peer %s", key);
	}
	return out;
}

/* --- names --- */

/* What has a name, to sort. */
struct named {
	const char *name;
	unsigned int line;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int fail_twice(const struct config *config, const char *what, const struct named *first,
                      const struct named *second, struct config_error *error)
{
	char line[LINE_TEXT_MAX];

	return config_fail(error, config->file, second->line, "%s \"%s\" is used twice%s%s", what,
	                   second->name, first->line ? "; first" : "",
	                   line_text(first->line, line));
}

/* @what names the kind of thing for the message. Sorts @list. */
static int check_unique(const struct config *config, const char *what, struct named *list,
                        size_t count, struct config_error *error)
{
	qsort(list, count, sizeof(*list), compare_named);
	for (size_t i = 1; i < count; i++)
		if (strcmp(list[i - 1].name, list[i].name) == 0)
			return fail_twice(config, what, &list[i - 1], &list[i], error);
	return 0;
}

static int check_peer_names(const struct config *config, struct config_error *error)
{
	struct named *list = calloc(config->peer_count + 1, sizeof(*list));
	size_t count = 0;
	int err = 0;

	if (!list)
		return config_fail_memory(error, config->file);
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];
		const char *problem;
		char quoted[CONFIG_QUOTE_MAX];

		if (!peer->name[0])
			continue;
		problem = config_name_problem(peer->name);
		if (problem) {
			err = config_fail(error, config->file, peer->name_line, "Name %s: %s",
			                  config_quote(slice_of(peer->name), quoted), problem);
			goto out;
		}
		list[count++] = (struct named){ peer->name, peer->name_line };
	}
	err = check_unique(config, "Name", list, count, error);
out:
	free(list);
	return err;
}

static int check_network_names(const struct config *config, struct config_error *error)
{
	struct named *list = calloc(config->network_count + 1, sizeof(*list));
	int err;

	if (!list)
		return config_fail_memory(error, config->file);
	for (size_t i = 0; i < config->network_count; i++)
		list[i] = (struct named){ config->networks[i].bridge,
			                  config->networks[i].bridge_line };
	err = check_unique(config, "Bridge", list, config->network_count, error);
	if (err)
		goto out;
	for (size_t i = 0; i < config->network_count; i++)
		list[i] = (struct named){ config->networks[i].name, config->networks[i].name_line };
	err = check_unique(config, "Name", list, config->network_count, error);
out:
	free(list);
	return err;
}

/* --- networks --- */

static int check_mtu(const struct config *config, const struct config_network *network,
                     struct config_error *error)
{
	uint32_t least = CONFIG_MTU_MIN;

	if (network->mtu == CONFIG_MTU_AUTO)
		return 0;
	for (size_t i = 0; i < network->subnet_count; i++)
		if (network->subnets[i].family == 6)
			least = CONFIG_MTU_MIN_IPV6;
	if (network->mtu >= least && network->mtu <= CONFIG_MTU_MAX)
		return 0;
	return config_fail(error, config->file, network->mtu_line,
	                   "MTU \"%u\": expected auto or %u to %u%s", network->mtu, least,
	                   CONFIG_MTU_MAX,
	                   least == CONFIG_MTU_MIN ? "" : " (IPv6 needs that much)");
}

static int check_unicast(const struct config *config, const char *key, const struct prefix *list,
                         const unsigned int *lines, size_t count, struct config_error *error)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		if (config_is_unicast(&list[i]))
			continue;
		prefix_format(&list[i], text);
		return config_fail(error, config->file, lines[i],
		                   "%s \"%s\": expected addresses that containers can have", key,
		                   text);
	}
	return 0;
}

/* Each Range in one of its network's Subnets, where those are given. */
static int check_ranges_inside(const struct config *config, const struct config_network *network,
                               struct config_error *error)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < network->range_count && network->subnet_count > 0; i++) {
		bool inside = false;

		for (size_t j = 0; j < network->subnet_count && !inside; j++)
			inside = prefix_covers(&network->subnets[j], &network->ranges[i]);
		if (inside)
			continue;
		prefix_format(&network->ranges[i], text);
		return config_fail(error, config->file, network->range_lines[i],
		                   "Range \"%s\" is not within the Subnet of network \"%s\"", text,
		                   network->name);
	}
	return 0;
}

static int check_network(const struct config *config, const struct config_network *network,
                         struct config_error *error)
{
	const char *problem = config_bridge_problem(network->bridge);
	char quoted[CONFIG_QUOTE_MAX];
	int err;

	if (problem)
		return config_fail(error, config->file, network->bridge_line, "Bridge %s: %s",
		                   config_quote(slice_of(network->bridge), quoted), problem);
	err = check_mtu(config, network, error);
	if (err)
		return err;
	err = check_unicast(config, "Subnet", network->subnets, network->subnet_lines,
	                    network->subnet_count, error);
	if (err)
		return err;
	err = check_unicast(config, "Range", network->ranges, network->range_lines,
	                    network->range_count, error);
	if (err)
		return err;
	return check_ranges_inside(config, network, error);
}

/* --- prefixes --- */

/* A Subnet or Range, to sort. */
struct span {
	struct prefix prefix;
	unsigned int line;
	const struct config_network *network;
};

static int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
	int order = (int)a->family - (int)b->family;

	if (order == 0)
		order = memcmp(a->addr, b->addr, sizeof(a->addr));
	return order ? order : (int)a->len - (int)b->len;
}

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int order = compare_prefixes(&x->prefix, &y->prefix);

	return order ? order : (x->line > y->line) - (x->line < y->line);
}

static size_t put_spans(struct span *out, const struct config_network *network,
                        const struct prefix *list, const unsigned int *lines, size_t count)
{
	for (size_t i = 0; i < count; i++)
		out[i] = (struct span){ list[i], lines[i], network };
	return count;
}

/*
 * Prefixes nest or are disjoint: once they are sorted, if any two overlap, then
 * two neighbours do.
 */
static int check_disjoint(const struct config *config, const char *key, struct span *spans,
                          size_t count, struct config_error *error)
{
	char text[2][PREFIX_TEXT_MAX], line[LINE_TEXT_MAX];

	qsort(spans, count, sizeof(*spans), compare_spans);
	for (size_t i = 1; i < count; i++) {
		const struct span *a = &spans[i - 1], *b = &spans[i];

		if (!prefix_overlap(&a->prefix, &b->prefix))
			continue;
		if (a->line > b->line) { /* complain about the later one */
			a = &spans[i];
			b = &spans[i - 1];
		}
		prefix_format(&a->prefix, text[0]);
		prefix_format(&b->prefix, text[1]);
		return config_fail(error, config->file, b->line,
		                   "%s \"%s\" of network \"%s\" overlaps %s of network \"%s\"%s",
		                   key, text[1], b->network->name, text[0], a->network->name,
		                   line_text(a->line, line));
	}
	return 0;
}

/* Of sorted, disjoint spans the one that covers @prefix, or NULL. */
static const struct span *find_cover(const struct span *spans, size_t count,
                                     const struct prefix *prefix)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_prefixes(&spans[middle].prefix, prefix) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || !prefix_covers(&spans[low - 1].prefix, prefix))
		return NULL;
	return &spans[low - 1];
}

static bool is_mapped(const struct prefix *prefix)
{
	static const struct prefix mapped = {
		.family = 6,
		.len = 96,
		.addr = { [10] = 0xff, [11] = 0xff },
	};

	return prefix_covers(&mapped, prefix);
}

static int fail_claimed(const struct config_peer *peer, size_t i, const struct config_peer *other,
                        unsigned int other_line, struct config_error *error)
{
	char text[PREFIX_TEXT_MAX], label[LABEL_MAX], where[LINE_TEXT_MAX];

	prefix_format(&peer->allowed[i], text);
	return config_fail(error, peer->owner->file, peer->allowed_lines[i],
	                   "AllowedIPs \"%s\" is claimed by %s%s too", text,
	                   peer_label(other, label), line_text(other_line, where));
}

static int fail_own(const struct config_peer *peer, size_t i, const struct span *range,
                    struct config_error *error)
{
	char text[2][PREFIX_TEXT_MAX], where[LINE_TEXT_MAX];

	prefix_format(&peer->allowed[i], text[0]);
	prefix_format(&range->prefix, text[1]);
	return config_fail(
		error, peer->owner->file, peer->allowed_lines[i],
		"AllowedIPs \"%s\" lies in Range %s of network \"%s\"%s, which is this host's own",
		text[0], text[1], range->network->name, line_text(range->line, where));
}

static int check_claim(const struct config_peer *peer, size_t i, const struct span *ranges,
                       size_t range_count, struct config_error *error)
{
	const struct config_peer *other;
	const struct span *range;
	char text[PREFIX_TEXT_MAX];
	unsigned int other_line;

	other = config_find_earlier_claim(peer, &peer->allowed[i], &other_line);
	if (other)
		return fail_claimed(peer, i, other, other_line, error);
	range = find_cover(ranges, range_count, &peer->allowed[i]);
	if (range)
		return fail_own(peer, i, range, error);
	if (!is_mapped(&peer->allowed[i]))
		return 0;
	prefix_format(&peer->allowed[i], text);
	return config_fail(error, peer->owner->file, peer->allowed_lines[i],
	                   "AllowedIPs \"%s\": write IPv4 addresses as such", text);
}

static int check_claims(const struct config *config, const struct span *ranges, size_t range_count,
                        struct config_error *error)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		for (size_t j = 0; j < config->peers[i].allowed_count; j++) {
			int err = check_claim(&config->peers[i], j, ranges, range_count, error);

			if (err)
				return err;
		}
	}
	return 0;
}

/*
 * The host's route to an address of the overlay is the bridge: what is sent there
 * would go through the tunnel to get to the tunnel's end. In this host's Range it
 * is a container's, which is no loop.
 */
static int check_endpoint(const struct config_peer *peer, const struct span *subnets,
                          size_t subnet_count, const struct span *ranges, size_t range_count,
                          struct config_error *error)
{
	char text[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX], where[LINE_TEXT_MAX];
	struct prefix address;
	const struct span *subnet;

	if (!peer->endpoint.numeric || !prefix_parse(&address, peer->endpoint.host))
		return 0; /* none, a name, or of one link only */
	subnet = find_cover(subnets, subnet_count, &address);
	if (!subnet || find_cover(ranges, range_count, &address))
		return 0;
	config_format_endpoint(&peer->endpoint, endpoint, sizeof(endpoint));
	prefix_format(&subnet->prefix, text);
	return config_fail(error, peer->owner->file, peer->endpoint_line,
	                   "Endpoint \"%s\" lies in Subnet %s of network \"%s\"%s: expected an "
	                   "address outside the tunnel",
	                   endpoint, text, subnet->network->name, line_text(subnet->line, where));
}

static int check_endpoints(const struct config *config, const struct span *subnets,
                           size_t subnet_count, const struct span *ranges, size_t range_count,
                           struct config_error *error)
{
	int err = 0;

	for (size_t i = 0; i < config->peer_count && subnet_count && !err; i++)
		err = check_endpoint(&config->peers[i], subnets, subnet_count, ranges, range_count,
		                     error);
	return err;
}

static int check_prefixes(const struct config *config, struct config_error *error)
{
	size_t subnet_count = 0, range_count = 0;
	struct span *subnets, *ranges;
	int err;

	for (size_t i = 0; i < config->network_count; i++) {
		subnet_count += config->networks[i].subnet_count;
		range_count += config->networks[i].range_count;
	}
	subnets = calloc(subnet_count + 1, sizeof(*subnets));
	ranges = calloc(range_count + 1, sizeof(*ranges));
	if (!subnets || !ranges) {
		err = config_fail_memory(error, config->file);
		goto out;
	}
	subnet_count = range_count = 0;
	for (size_t i = 0; i < config->network_count; i++) {
		const struct config_network *network = &config->networks[i];

		subnet_count += put_spans(subnets + subnet_count, network, network->subnets,
		                          network->subnet_lines, network->subnet_count);
		range_count += put_spans(ranges + range_count, network, network->ranges,
		                         network->range_lines, network->range_count);
	}
	err = check_disjoint(config, "Subnet", subnets, subnet_count, error);
	if (!err)
		err = check_disjoint(config, "Range", ranges, range_count, error);
	if (!err)
		err = check_claims(config, ranges, range_count, error);
	if (!err)
		err = check_endpoints(config, subnets, subnet_count, ranges, range_count, error);
out:
	free(subnets);
	free(ranges);
	return err;
}

/* A network that peers claim whole. Where the bridge has the Subnet, run_network.c looks. */
static int check_unclaimed(const struct config *config, const struct config_network *network,
                           struct config_error *error)
{
	const struct config_subnets subnets = { network->subnets, network->subnet_count };
	char text[2][PREFIX_TEXT_MAX], where[LINE_TEXT_MAX];
	struct config_claim claim;

	if (!config_is_claimed(config, network, &subnets, 4, &claim) &&
	    !config_is_claimed(config, network, &subnets, 6, &claim))
		return 0;
	prefix_format(&claim.peer->allowed[claim.allowed], text[0]);
	prefix_format(claim.subnet, text[1]);
	return config_fail(
		error, config->file, claim.peer->allowed_lines[claim.allowed],
		"AllowedIPs \"%s\" claims all of Subnet %s of network \"%s\"%s, so nothing lives "
		"here: give the network a Range",
		text[0], text[1], network->name,
		line_text(network->subnet_lines[claim.subnet - network->subnets], where));
}

/* --- the whole --- */

static int check_not_oneself(const struct config *config, struct config_error *error)
{
	const struct config_peer *peer;
	uint8_t own[KEY_SIZE];

	if (!config->has_private_key)
		return 0;
	secret_derive_public(own, config->private_key);
	peer = config_find_peer(config, own);
	if (!peer)
		return 0;
	return config_fail(error, config->file, peer->key_line,
	                   "this peer's PublicKey is this host's own: a host is not its own peer");
}

int config_check(const struct config *config, struct config_error *error)
{
	int err = check_not_oneself(config, error);

	if (err)
		return err;
	err = check_peer_names(config, error);
	if (err)
		return err;
	if (config->network_count > CONFIG_NETWORKS_MAX)
		return config_fail(error, config->file, config->networks[CONFIG_NETWORKS_MAX].line,
		                   "more than %d networks", CONFIG_NETWORKS_MAX);
	for (size_t i = 0; i < config->network_count; i++) {
		err = check_network(config, &config->networks[i], error);
		if (err)
			return err;
	}
	err = check_network_names(config, error);
	if (err)
		return err;
	err = config_check_bridged(config, error);
	if (err)
		return err;
	err = check_prefixes(config, error);
	for (size_t i = 0; i < config->network_count && !err; i++)
		err = check_unclaimed(config, &config->networks[i], error);
	return err;
}
