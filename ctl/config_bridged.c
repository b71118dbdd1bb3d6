/* SPDX-License-Identifier: MIT */
/*
 * What bridged networks alone have: the values of their keys, who is meant by the
 * peers that they name, and their rules. All of it begins as zero, which is the safe
 * default of every guard.
 */
#include "ctl/config_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"

#define VLAN_MAX   4094U
#define EXPECT_MAX 160

static int fail_value(const struct config_place *place, struct slice value, const char *expected)
{
	char quoted[CONFIG_QUOTE_MAX];

	return config_fail(place->error, place->file, place->line, "%s %s: %s", place->key,
	                   config_quote(value, quoted), expected);
}

static int fail_memory(const struct config_place *place)
{
	return config_fail_memory(place->error, place->file);
}

/* --- words --- */

/* `expected learn, strict or off; did you mean "strict"?` */
static int fail_word(const struct config_place *place, struct slice value, const char *const *words,
                     size_t count)
{
	char word[CONFIG_NAME_MAX], expected[EXPECT_MAX];
	const char *nearest = NULL;
	size_t used;

	used = (size_t)snprintf(expected, sizeof(expected), "expected ");
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(expected + used, sizeof(expected) - used, "%s%s",
		                         i == 0          ? ""
		                         : i + 1 < count ? ", "
		                                         : " or ",
		                         words[i]);
	if (slice_copy(value, word, sizeof(word)))
		nearest = text_nearest(word, words, count);
	if (nearest)
		snprintf(expected + used, sizeof(expected) - used, "; did you mean \"%s\"?",
		         nearest);
	return fail_value(place, value, expected);
}

/* The word's place in @words, or -EINVAL. */
static int read_word(const struct config_place *place, struct slice value, const char *const *words,
                     size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_equals(value, words[i]))
			return (int)i;
	return fail_word(place, value, words, count);
}

/* Of two words. @flag: whether it is the second. */
static int read_switch(const struct config_place *place, struct slice value,
                       const char *const words[2], bool *flag)
{
	int which = read_word(place, value, words, 2);

	if (which < 0)
		return which;
	*flag = which == 1;
	return 0;
}

/* A key that routed networks do not have was given. */
static void note_bridged(const struct config_place *place, struct config_network *network)
{
	if (network->bridged_key)
		return;
	network->bridged_key = place->key;
	network->bridged_key_line = place->line;
}

int config_read_mode(const struct config_place *place, struct config_network *network,
                     struct slice value)
{
	static const char *const words[] = { "routed", "bridged" };

	return read_switch(place, value, words, &network->bridged);
}

int config_read_guard(const struct config_place *place, struct config_network *network,
                      struct slice value)
{
	static const char *const words[] = {
		[GUARD_LEARN] = "learn",
		[GUARD_STRICT] = "strict",
		[GUARD_OFF] = "off",
	};
	int which = read_word(place, value, words, sizeof(words) / sizeof(words[0]));

	note_bridged(place, network);
	if (which < 0)
		return which;
	network->guards.mode = (enum guard_mode)which;
	return 0;
}

int config_read_link_control(const struct config_place *place, struct config_network *network,
                             struct slice value)
{
	static const char *const words[] = { "drop", "pass" };

	note_bridged(place, network);
	return read_switch(place, value, words, &network->guards.link_control);
}

int config_read_unknown(const struct config_place *place, struct config_network *network,
                        struct slice value)
{
	static const char *const words[] = { "flood", "drop" };

	note_bridged(place, network);
	return read_switch(place, value, words, &network->guards.drop_unknown);
}

int config_read_host_routing(const struct config_place *place, struct config_network *network,
                             struct slice value)
{
	static const char *const words[] = { "drop", "pass" };

	note_bridged(place, network);
	return read_switch(place, value, words, &network->guards.host_routing);
}

int config_read_arp_check(const struct config_place *place, struct config_network *network,
                          struct slice value)
{
	static const char *const words[] = { "on", "off" };

	note_bridged(place, network);
	return read_switch(place, value, words, &network->guards.arp_mismatch);
}

/* --- numbers --- */

static bool parse_vni(struct slice value, uint32_t *vni)
{
	return config_parse_number(value, CONFIG_VNI_MAX, vni) && *vni > 0;
}

int config_read_vni(const struct config_place *place, struct config_network *network,
                    struct slice value)
{
	note_bridged(place, network);
	network->vni_line = place->line;
	return parse_vni(value, &network->vni) ? 0
	                                       : fail_value(place, value, "expected 1 to 16777215");
}

int config_read_macs(const struct config_place *place, struct config_network *network,
                     struct slice value)
{
	note_bridged(place, network);
	return config_parse_number(value, CONFIG_MACS_MAX, &network->macs) && network->macs > 0
	               ? 0
	               : fail_value(place, value, "expected 1 to 16384");
}

_Static_assert(CONFIG_NETWORKS_MAX == 64, "what config_read_vnis() says");

int config_read_vnis(const struct config_place *place, struct config_peer *peer, struct slice value)
{
	struct slice part;
	uint32_t vni;

	while (slice_split(&value, ',', &part)) {
		part = slice_trim(part);
		if (!parse_vni(part, &vni))
			return fail_value(place, part,
			                  "expected numbers of 1 to 16777215, like 7, 42");
		if (peer->vni_count == CONFIG_NETWORKS_MAX && !config_peer_has_vni(peer, vni))
			return fail_value(place, part, "expected 64 at the most, as of networks");
		if (config_add_vni_at(peer, vni, place->line))
			return fail_memory(place);
	}
	return 0;
}

/* --- lists that may be "none" or "all" --- */

/* Which of the two a part is; false: neither. They do not mix with a list. */
static bool is_whole(struct slice part, bool *all)
{
	*all = slice_equals(part, "all");
	return *all || slice_equals(part, "none");
}

static int fail_mixed(const struct config_place *place)
{
	return config_fail(place->error, place->file, place->line,
	                   "%s: none and all stand alone, in a list of nothing else", place->key);
}

static bool parse_vlans(struct slice part, uint32_t *first, uint32_t *last)
{
	struct slice end = part;

	slice_split(&end, '-', &part);
	if (!config_parse_number(slice_trim(part), VLAN_MAX, first) || *first == 0)
		return false;
	*last = *first;
	return !end.at || (config_parse_number(slice_trim(end), VLAN_MAX, last) && *last >= *first);
}

int config_read_vlans(const struct config_place *place, struct config_network *network,
                      struct slice value)
{
	struct guards *guards = &network->guards;
	bool first = !place->given, all;
	struct slice part;
	uint32_t low, high;

	note_bridged(place, network);
	if (is_whole(value, &all)) {
		guards->vlans = all ? GUARD_VLANS_ALL : GUARD_VLANS_NONE;
		return first ? 0 : fail_mixed(place);
	}
	if (!first && guards->vlans != GUARD_VLANS_LIST)
		return fail_mixed(place);
	while (slice_split(&value, ',', &part)) {
		part = slice_trim(part);
		if (is_whole(part, &all))
			return fail_mixed(place);
		if (!parse_vlans(part, &low, &high))
			return fail_value(place, part,
			                  "expected none, all, or VLANs of 1 to 4094, like 1, "
			                  "10-20");
		for (; low <= high; low++)
			guards->vlan_list[low / 64] |= 1ULL << low % 64;
	}
	guards->vlans = GUARD_VLANS_LIST;
	return 0;
}

static int add_member(const struct config_place *place, struct config_members *members,
                      struct slice part)
{
	struct config_who who = { .line = place->line }, *peers;

	if (slice_equals(part, "local")) {
		members->local = true;
		return 0;
	}
	if (part.len == 0 || !slice_copy(part, who.text, sizeof(who.text)))
		return fail_value(place, part, "expected none, all, local or peers");
	peers = config_grow(members->peers, members->count, sizeof(*peers));
	if (!peers)
		return fail_memory(place);
	members->peers = peers;
	peers[members->count++] = who;
	return 0;
}

static int read_members(const struct config_place *place, struct config_network *network,
                        struct config_members *members, struct slice value)
{
	bool first = !place->given, all;
	struct slice part;

	note_bridged(place, network);
	if (is_whole(value, &all)) {
		members->all = all;
		return first ? 0 : fail_mixed(place);
	}
	if (!first && !members->local && members->count == 0)
		return fail_mixed(place);
	while (slice_split(&value, ',', &part)) {
		int err;

		part = slice_trim(part);
		err = is_whole(part, &all) ? fail_mixed(place) : add_member(place, members, part);
		if (err)
			return err;
	}
	return 0;
}

int config_read_routers(const struct config_place *place, struct config_network *network,
                        struct slice value)
{
	return read_members(place, network, &network->routers, value);
}

int config_read_dhcp_servers(const struct config_place *place, struct config_network *network,
                             struct slice value)
{
	return read_members(place, network, &network->dhcp_servers, value);
}

/* --- static entries --- */

/* Takes the next word off @rest. False: there is none. */
static bool next_word(struct slice *rest, char *word, size_t size)
{
	struct slice part = slice_trim(*rest);
	size_t len = 0;

	while (len < part.len && part.at[len] != ' ' && part.at[len] != '\t')
		len++;
	*rest = (struct slice){ part.at + len, part.len - len };
	return len > 0 && slice_copy((struct slice){ part.at, len }, word, size);
}

/* [ADDRESS] MAC PEER */
int config_read_station(const struct config_place *place, struct config_network *network,
                        struct slice value)
{
	static const char expected[] = "expected MAC PEER, MAC local, or ADDRESS before these";
	struct config_station station = { .who.line = place->line };
	char word[CONFIG_NAME_MAX];
	struct slice rest = value;
	const char *problem;

	note_bridged(place, network);
	if (!next_word(&rest, word, sizeof(word)))
		return fail_value(place, value, expected);
	if (config_parse_address(&station.key, word) && !next_word(&rest, word, sizeof(word)))
		return fail_value(place, value, expected);
	if (!config_parse_mac(station.mac, word) ||
	    !next_word(&rest, station.who.text, sizeof(station.who.text)) ||
	    slice_trim(rest).len > 0)
		return fail_value(place, value, expected);
	problem = config_mac_problem(station.mac);
	if (problem)
		return fail_value(place, slice_of(word), problem);
	if (station.key.kind == FDB_NONE)
		station.key = fdb_key_mac(station.mac);
	station.local = slice_equals(slice_of(station.who.text), "local");
	return config_append_station(network, &station) ? fail_memory(place) : 0;
}

/* --- who is meant --- */

static int resolve_who(const struct config_names *names, const struct config_network *network,
                       const char *key, struct config_who *who, struct config_error *error)
{
	const struct config_peer *peer = config_names_find(names, who->text, error);
	const struct config *config = names->config;
	char quoted[CONFIG_QUOTE_MAX], text[sizeof(error->text)];

	if (!peer) {
		memcpy(text, error->text, sizeof(text));
		return config_fail(error, config->file, who->line, "%s: %s", key, text);
	}
	memcpy(who->key, peer->public_key, KEY_SIZE);
	if (config_peer_has_vni(peer, network->vni))
		return 0;
	return config_fail(error, config->file, who->line,
	                   "%s: peer %s is no member of network \"%s\"; its VNIs lack %u", key,
	                   config_quote(slice_of(who->text), quoted), network->name, network->vni);
}

static int compare_who(const void *a, const void *b)
{
	const struct config_who *x = a, *y = b;

	return memcmp(x->key, y->key, KEY_SIZE);
}

static int resolve_list(const struct config_names *names, const struct config_network *network,
                        const char *key, struct config_members *members, struct config_error *error)
{
	int err = 0;

	for (size_t i = 0; !err && i < members->count; i++)
		err = resolve_who(names, network, key, &members->peers[i], error);
	if (members->count)
		qsort(members->peers, members->count, sizeof(*members->peers), compare_who);
	return err;
}

static int resolve_network(const struct config_names *names, struct config_network *network,
                           struct config_error *error)
{
	int err = resolve_list(names, network, "RouterAdverts", &network->routers, error);

	if (!err)
		err = resolve_list(names, network, "DHCPServers", &network->dhcp_servers, error);
	for (size_t i = 0; !err && i < network->station_count; i++)
		if (!network->stations[i].local)
			err = resolve_who(names, network, "FDB", &network->stations[i].who, error);
	config_sort_stations(network);
	return err;
}

int config_resolve_members(struct config *config, struct config_error *error)
{
	struct config_names names;
	int err = config_names_init(&names, config);

	if (err)
		return config_fail_memory(error, config->file);
	for (size_t i = 0; !err && i < config->network_count; i++) {
		/* One that is not bridged is refused by config_check(), with a better reason. */
		if (config->networks[i].bridged && config->networks[i].vni != 0)
			err = resolve_network(&names, &config->networks[i], error);
	}
	config_names_fini(&names);
	return err;
}

/* --- rules --- */

static int check_mode(const struct config *config, const struct config_network *network,
                      struct config_error *error)
{
	if (!network->bridged && network->bridged_key)
		return config_fail(
			error, config->file, network->bridged_key_line,
			"%s is a key of bridged networks, and \"%s\" is routed; expected "
			"Mode = bridged beside it",
			network->bridged_key, network->name);
	if (!network->bridged)
		return 0;
	if (network->vni == 0)
		return config_fail(error, config->file, network->line,
		                   "the bridged network \"%s\" has no VNI; expected 1 to 16777215",
		                   network->name);
	if (network->subnet_count > 0)
		return config_fail(error, config->file, network->subnet_lines[0],
		                   "Subnet is a key of routed networks: bridged ones carry frames, "
		                   "whatever the address");
	if (network->range_count > 0)
		return config_fail(error, config->file, network->range_lines[0],
		                   "Range is a key of routed networks: in bridged ones any address "
		                   "may be at any host");
	return 0;
}

static int compare_vnis(const void *a, const void *b)
{
	const struct config_network *x = *(const struct config_network *const *)a;
	const struct config_network *y = *(const struct config_network *const *)b;

	if (x->vni != y->vni)
		return x->vni < y->vni ? -1 : 1;
	return (x->vni_line > y->vni_line) - (x->vni_line < y->vni_line);
}

static size_t sort_vnis(const struct config *config, const struct config_network **list)
{
	size_t count = 0;

	for (size_t i = 0; i < config->network_count; i++)
		if (config->networks[i].bridged)
			list[count++] = &config->networks[i];
	qsort(list, count, sizeof(*list), compare_vnis);
	return count;
}

static int check_vnis_unique(const struct config *config, const struct config_network **list,
                             size_t count, struct config_error *error)
{
	for (size_t i = 1; i < count; i++)
		if (list[i - 1]->vni == list[i]->vni)
			return config_fail(error, config->file, list[i]->vni_line,
			                   "VNI \"%u\" is used twice; first in network \"%s\" "
			                   "(line %u)",
			                   list[i]->vni, list[i - 1]->name, list[i - 1]->vni_line);
	return 0;
}

static bool has_vni(const struct config_network *const *list, size_t count, uint32_t vni)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list[middle]->vni == vni)
			return true;
		if (list[middle]->vni < vni)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

#define VNIS_NAMED 8

static int fail_granted(const struct config_peer *peer, size_t at,
                        const struct config_network *const *list, size_t count,
                        struct config_error *error)
{
	char known[EXPECT_MAX] = "there is no bridged network";
	size_t used = 0;

	for (size_t i = 0; i < count && i < VNIS_NAMED; i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%u",
		                         i == 0 ? "expected those of " : ", ", list[i]->vni);
	if (count > VNIS_NAMED)
		snprintf(known + used, sizeof(known) - used, ", …");
	return config_fail(error, peer->owner->file, peer->vni_lines[at],
	                   "VNIs \"%u\": no bridged network has this VNI; %s", peer->vnis[at],
	                   known);
}

static int check_granted(const struct config *config, const struct config_network *const *list,
                         size_t count, struct config_error *error)
{
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		for (size_t j = 0; j < peer->vni_count; j++)
			if (!has_vni(list, count, peer->vnis[j]))
				return fail_granted(peer, j, list, count, error);
	}
	return 0;
}

static int compare_stations(const void *a, const void *b)
{
	const struct config_station *x = *(const struct config_station *const *)a;
	const struct config_station *y = *(const struct config_station *const *)b;
	int order = memcmp(&x->key, &y->key, sizeof(x->key));

	return order ? order : (x->who.line > y->who.line) - (x->who.line < y->who.line);
}

static int compare_macs(const void *a, const void *b)
{
	const struct config_station *x = *(const struct config_station *const *)a;
	const struct config_station *y = *(const struct config_station *const *)b;
	int order = memcmp(x->mac, y->mac, ETHER_ADDR_SIZE);

	return order ? order : (x->who.line > y->who.line) - (x->who.line < y->who.line);
}

static bool same_owner(const struct config_station *a, const struct config_station *b)
{
	return a->local == b->local && (a->local || memcmp(a->who.key, b->who.key, KEY_SIZE) == 0);
}

static bool is_station(const struct config_station *station)
{
	struct prefix address = { .family = station->key.kind,
		                  .len = station->key.kind == FDB_IPV4 ? 32 : 128 };

	if (config_mac_problem(station->mac))
		return false;
	memcpy(address.addr, station->key.addr, sizeof(address.addr));
	return station->key.kind == FDB_MAC || config_is_unicast(&address);
}

/* Addresses are where their MACs are. */
static int check_owners(const struct config *config, const struct config_station **list,
                        size_t count, struct config_error *error)
{
	qsort(list, count, sizeof(*list), compare_macs);
	for (size_t i = 1; i < count; i++)
		if (memcmp(list[i - 1]->mac, list[i]->mac, ETHER_ADDR_SIZE) == 0 &&
		    !same_owner(list[i - 1], list[i]))
			return config_fail(error, config->file, list[i]->who.line,
			                   "FDB: this MAC is another's already (line %u)",
			                   list[i - 1]->who.line);
	return 0;
}

static int check_stations(const struct config *config, const struct config_network *network,
                          struct config_error *error)
{
	const struct config_station **list;
	int err = 0;

	if (network->station_count == 0)
		return 0;
	if (network->station_count > CONFIG_STATIONS_MAX)
		return config_fail(error, config->file,
		                   network->stations[CONFIG_STATIONS_MAX].who.line,
		                   "FDB: more than %d static entries", CONFIG_STATIONS_MAX);
	for (size_t i = 0; i < network->station_count; i++)
		if (!is_station(&network->stations[i]))
			return config_fail(error, config->file, network->stations[i].who.line,
			                   "FDB: expected a MAC and an address that a container "
			                   "can have");
	list = calloc(network->station_count, sizeof(*list));
	if (!list)
		return config_fail_memory(error, config->file);
	for (size_t i = 0; i < network->station_count; i++)
		list[i] = &network->stations[i];
	qsort(list, network->station_count, sizeof(*list), compare_stations);
	for (size_t i = 1; !err && i < network->station_count; i++)
		if (memcmp(&list[i - 1]->key, &list[i]->key, sizeof(list[i]->key)) == 0)
			err = config_fail(error, config->file, list[i]->who.line,
			                  "FDB: this station has an entry already (line %u)",
			                  list[i - 1]->who.line);
	if (!err)
		err = check_owners(config, list, network->station_count, error);
	free(list);
	return err;
}

int config_check_bridged(const struct config *config, struct config_error *error)
{
	const struct config_network **list;
	size_t count;
	int err = 0;

	list = calloc(config->network_count + 1, sizeof(*list));
	if (!list)
		return config_fail_memory(error, config->file);
	for (size_t i = 0; !err && i < config->network_count; i++) {
		err = check_mode(config, &config->networks[i], error);
		if (!err)
			err = check_stations(config, &config->networks[i], error);
	}
	if (!err) {
		count = sort_vnis(config, list);
		err = check_vnis_unique(config, list, count, error);
		if (!err)
			err = check_granted(config, list, count, error);
	}
	free(list);
	return err;
}
