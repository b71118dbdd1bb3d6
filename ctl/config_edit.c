/* SPDX-License-Identifier: MIT */
/*
 * Building and changing a configuration. Ten thousand peers and 130,560 prefixes
 * arrive one at a time, from a file or from `wg setconf`; so one open-addressed
 * hash table finds both a peer by its key and a prefix by its value. A slot
 * says where the thing lies (peer, position in the peer's AllowedIPs), not what
 * it is. Removal takes the last element into the gap, which costs one
 * changed slot (for a peer: one for each of its prefixes).
 *
 * One prefix may be claimed by two peers while an edit is under way:
 * config_check() is what refuses that.
 */
#include "ctl/config_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_EMPTY UINT32_MAX /* as peer */
#define SLOT_KEY   UINT32_MAX /* as position: the peer's public key */
#define SLOTS_MIN  16U

struct slot {
	uint32_t hash;
	uint32_t peer;
	uint32_t position;
};

struct config_index {
	struct slot *slots;
	uint32_t mask; /* slots less one */
	uint32_t used;
};

/* --- the index --- */

static uint32_t hash_bytes(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = 0x9e3779b97f4a7c15ULL ^ len;

	while (len > 0) {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);

		memcpy(&word, p, n);
		h = (h ^ word) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
		p += n;
		len -= n;
	}
	h *= 0xc4ceb9fe1a85ec53ULL;
	return (uint32_t)(h >> 32);
}

static uint32_t hash_key(const uint8_t key[KEY_SIZE])
{
	return hash_bytes(key, KEY_SIZE);
}

static uint32_t hash_prefix(const struct prefix *prefix)
{
	_Static_assert(offsetof(struct prefix, addr) == 2, "hashed as bytes: no padding");
	return hash_bytes(prefix, offsetof(struct prefix, addr) + (prefix->family == 4 ? 4 : 16));
}

static struct config_index *index_new(uint32_t slots)
{
	struct config_index *index = malloc(sizeof(*index));

	if (!index)
		return NULL;
	index->slots = malloc(slots * sizeof(*index->slots));
	if (!index->slots) {
		free(index);
		return NULL;
	}
	memset(index->slots, 0xff, slots * sizeof(*index->slots)); /* all SLOT_EMPTY */
	index->mask = slots - 1;
	index->used = 0;
	return index;
}

static void index_free(struct config_index *index)
{
	if (!index)
		return;
	free(index->slots);
	free(index);
}

static void index_insert(struct config_index *index, struct slot slot)
{
	uint32_t i = slot.hash & index->mask;

	while (index->slots[i].peer != SLOT_EMPTY)
		i = (i + 1) & index->mask;
	index->slots[i] = slot;
	index->used++;
}

/* Room for one more, at most half full: index_insert() cannot fail after it. */
static int index_reserve(struct config *config)
{
	struct config_index *old = config->index, *new;

	if (old->used < (old->mask + 1) / 2)
		return 0;
	if (old->mask >= UINT32_MAX / 4)
		return -ENOMEM;
	new = index_new((old->mask + 1) * 2);
	if (!new)
		return -ENOMEM;
	for (uint32_t i = 0; i <= old->mask; i++)
		if (old->slots[i].peer != SLOT_EMPTY)
			index_insert(new, old->slots[i]);
	index_free(old);
	config->index = new;
	return 0;
}

static struct slot *index_get(const struct config_index *index, struct slot slot)
{
	uint32_t i = slot.hash & index->mask;

	while (index->slots[i].peer != slot.peer || index->slots[i].position != slot.position)
		i = (i + 1) & index->mask;
	return &index->slots[i];
}

/* Closes the gap, so that no probe meets an empty slot too early. */
static void index_remove(struct config_index *index, struct slot slot)
{
	uint32_t gap = (uint32_t)(index_get(index, slot) - index->slots);
	uint32_t i = gap;

	for (;;) {
		uint32_t home;

		i = (i + 1) & index->mask;
		if (index->slots[i].peer == SLOT_EMPTY)
			break;
		home = index->slots[i].hash & index->mask;
		if (((i - home) & index->mask) >= ((i - gap) & index->mask)) {
			index->slots[gap] = index->slots[i];
			gap = i;
		}
	}
	index->slots[gap].peer = SLOT_EMPTY;
	index->used--;
}

static uint32_t peer_number(const struct config_peer *peer)
{
	return (uint32_t)(peer - peer->owner->peers);
}

static struct slot key_slot(const struct config_peer *peer)
{
	return (struct slot){ hash_key(peer->public_key), peer_number(peer), SLOT_KEY };
}

static struct slot allowed_slot(const struct config_peer *peer, size_t position)
{
	return (struct slot){ hash_prefix(&peer->allowed[position]), peer_number(peer),
		              (uint32_t)position };
}

/*
 * The next slot, from *@i on, that holds @prefix; NULL when the probe ends.
 * *@i starts as the hash.
 */
static const struct slot *index_next_claim(const struct config *config, const struct prefix *prefix,
                                           uint32_t hash, uint32_t *i)
{
	const struct config_index *index = config->index;

	for (;; (*i)++) {
		const struct slot *slot = &index->slots[*i & index->mask];

		if (slot->peer == SLOT_EMPTY)
			return NULL;
		if (slot->hash == hash && slot->position != SLOT_KEY &&
		    prefix_equal(&config->peers[slot->peer].allowed[slot->position], prefix)) {
			(*i)++;
			return slot;
		}
	}
}

static const struct slot *find_own_claim(const struct config_peer *peer,
                                         const struct prefix *prefix)
{
	uint32_t hash = hash_prefix(prefix), i = hash;
	const struct slot *slot;

	while ((slot = index_next_claim(peer->owner, prefix, hash, &i)))
		if (slot->peer == peer_number(peer))
			return slot;
	return NULL;
}

/* --- lists of prefixes --- */

/* Lists carry no capacity: it is the count rounded up to a power of two. */
static size_t list_capacity(size_t count)
{
	size_t capacity = 1;

	while (capacity < count)
		capacity *= 2;
	return capacity;
}

int config_append_prefix(struct prefix **list, unsigned int **lines, size_t *count,
                         const struct prefix *prefix, unsigned int line)
{
	if (*count == 0 || *count == list_capacity(*count)) {
		size_t capacity = list_capacity(*count + 1);
		struct prefix *new_list;
		unsigned int *new_lines;

		new_list = realloc(*list, capacity * sizeof(**list));
		if (!new_list)
			return -ENOMEM;
		*list = new_list;
		new_lines = realloc(*lines, capacity * sizeof(**lines));
		if (!new_lines)
			return -ENOMEM;
		*lines = new_lines;
	}
	(*list)[*count] = *prefix;
	(*lines)[*count] = line;
	(*count)++;
	return 0;
}

void *config_grow(void *list, size_t count, size_t size)
{
	if (count != 0 && count != list_capacity(count))
		return list;
	return reallocarray(list, list_capacity(count + 1), size);
}

/* A copy with the same room; NULL when there is nothing to copy. Sets @failed, never clears it. */
static void *dup_any(const void *list, size_t count, size_t size, bool *failed)
{
	void *copy;

	if (count == 0)
		return NULL;
	copy = malloc(list_capacity(count) * size);
	if (copy)
		memcpy(copy, list, count * size);
	else
		*failed = true;
	return copy;
}

/* In place: the pointers, shared with the original so far, become copies. */
static int list_dup(struct prefix **list, unsigned int **lines, size_t count)
{
	const struct prefix *old_list = *list;
	const unsigned int *old_lines = *lines;

	*list = NULL;
	*lines = NULL;
	if (count == 0)
		return 0;
	*list = malloc(list_capacity(count) * sizeof(**list));
	*lines = malloc(list_capacity(count) * sizeof(**lines));
	if (!*list || !*lines)
		return -ENOMEM;
	memcpy(*list, old_list, count * sizeof(**list));
	memcpy(*lines, old_lines, count * sizeof(**lines));
	return 0;
}

/* --- the whole --- */

struct config *config_new(const char *file)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->index = index_new(SLOTS_MIN);
	if (!config->index) {
		free(config);
		return NULL;
	}
	slice_copy(slice_of(file), config->file, sizeof(config->file));
	config->workers = CONFIG_WORKERS_DEFAULT;
	return config;
}

static void peer_fini(struct config_peer *peer)
{
	free(peer->allowed);
	free(peer->allowed_lines);
	free(peer->vnis);
	free(peer->vni_lines);
	secret_wipe(peer, sizeof(*peer));
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->network_count; i++) {
		free(config->networks[i].subnets);
		free(config->networks[i].subnet_lines);
		free(config->networks[i].ranges);
		free(config->networks[i].range_lines);
		free(config->networks[i].routers.peers);
		free(config->networks[i].dhcp_servers.peers);
		free(config->networks[i].stations);
	}
	free(config->networks);
	for (size_t i = 0; i < config->peer_count; i++)
		peer_fini(&config->peers[i]);
	free(config->peers);
	index_free(config->index);
	secret_wipe(config, sizeof(*config));
	free(config);
}

static int copy_index(struct config *copy, const struct config_index *from)
{
	copy->index = index_new(from->mask + 1);
	if (!copy->index)
		return -ENOMEM;
	memcpy(copy->index->slots, from->slots, (from->mask + 1) * sizeof(*from->slots));
	copy->index->used = from->used;
	return 0;
}

/* In place, as list_dup(): whatever fails, no pointer stays shared. */
static int dup_network(struct config_network *network)
{
	bool failed = false;

	failed |= list_dup(&network->subnets, &network->subnet_lines, network->subnet_count) != 0;
	failed |= list_dup(&network->ranges, &network->range_lines, network->range_count) != 0;
	network->routers.peers = dup_any(network->routers.peers, network->routers.count,
	                                 sizeof(*network->routers.peers), &failed);
	network->dhcp_servers.peers =
		dup_any(network->dhcp_servers.peers, network->dhcp_servers.count,
	                sizeof(*network->dhcp_servers.peers), &failed);
	network->stations = dup_any(network->stations, network->station_count,
	                            sizeof(*network->stations), &failed);
	return failed ? -ENOMEM : 0;
}

static int dup_peer(struct config_peer *peer)
{
	bool failed = list_dup(&peer->allowed, &peer->allowed_lines, peer->allowed_count) != 0;

	peer->vnis = dup_any(peer->vnis, peer->vni_count, sizeof(*peer->vnis), &failed);
	peer->vni_lines =
		dup_any(peer->vni_lines, peer->vni_count, sizeof(*peer->vni_lines), &failed);
	return failed ? -ENOMEM : 0;
}

/* Counts grow with what is copied, so that config_free() fits at any point. */
static int copy_parts(struct config *copy, const struct config *config)
{
	copy->networks = calloc(config->network_count + 1, sizeof(*copy->networks));
	copy->peers = calloc(config->peer_count + 1, sizeof(*copy->peers));
	if (!copy->networks || !copy->peers)
		return -ENOMEM;
	copy->peer_capacity = config->peer_count + 1;
	for (size_t i = 0; i < config->network_count; i++) {
		struct config_network *network = &copy->networks[copy->network_count++];

		*network = config->networks[i];
		if (dup_network(network))
			return -ENOMEM;
	}
	for (size_t i = 0; i < config->peer_count; i++) {
		struct config_peer *peer = &copy->peers[copy->peer_count++];

		*peer = config->peers[i];
		peer->owner = copy;
		if (dup_peer(peer))
			return -ENOMEM;
	}
	return copy_index(copy, config->index);
}

struct config *config_copy(const struct config *config)
{
	struct config *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *config;
	copy->networks = NULL;
	copy->network_count = 0;
	copy->peers = NULL;
	copy->peer_count = 0;
	copy->index = NULL;
	if (copy_parts(copy, config)) {
		config_free(copy);
		return NULL;
	}
	return copy;
}

struct config_network *config_add_network(struct config *config)
{
	struct config_network *new;

	new = realloc(config->networks, (config->network_count + 1) * sizeof(*new));
	if (!new)
		return NULL;
	config->networks = new;
	new += config->network_count++;
	memset(new, 0, sizeof(*new));
	new->macs = FDB_MACS_MAX;
	return new;
}

/* --- bridged networks --- */

bool config_peer_has_vni(const struct config_peer *peer, uint32_t vni)
{
	for (size_t i = 0; i < peer->vni_count; i++)
		if (peer->vnis[i] == vni)
			return true;
	return false;
}

int config_add_vni_at(struct config_peer *peer, uint32_t vni, unsigned int line)
{
	uint32_t *vnis;
	unsigned int *lines;

	if (config_peer_has_vni(peer, vni))
		return 0;
	vnis = config_grow(peer->vnis, peer->vni_count, sizeof(*vnis));
	if (!vnis)
		return -ENOMEM;
	peer->vnis = vnis;
	lines = config_grow(peer->vni_lines, peer->vni_count, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	peer->vni_lines = lines;
	vnis[peer->vni_count] = vni;
	lines[peer->vni_count++] = line;
	return 0;
}

int config_peer_add_vni(struct config_peer *peer, uint32_t vni)
{
	return config_add_vni_at(peer, vni, 0);
}

void config_peer_clear_vnis(struct config_peer *peer)
{
	free(peer->vnis);
	free(peer->vni_lines);
	peer->vnis = NULL;
	peer->vni_lines = NULL;
	peer->vni_count = 0;
}

int config_append_station(struct config_network *network, const struct config_station *station)
{
	struct config_station *stations =
		config_grow(network->stations, network->station_count, sizeof(*stations));

	if (!stations)
		return -ENOMEM;
	network->stations = stations;
	stations[network->station_count++] = *station;
	return 0;
}

static int compare_stations(const void *a, const void *b)
{
	const struct config_station *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

void config_sort_stations(struct config_network *network)
{
	if (network->station_count)
		qsort(network->stations, network->station_count, sizeof(*network->stations),
		      compare_stations);
}

/* Of the first that is not before @key. */
static size_t station_place(const struct config_network *network, const struct fdb_key *key)
{
	size_t low = 0, high = network->station_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (memcmp(&network->stations[middle].key, key, sizeof(*key)) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int config_add_station(struct config_network *network, const struct config_station *station)
{
	struct config_station new = *station;
	size_t place = station_place(network, &new.key), behind = network->station_count - place;

	if (config_append_station(network, &new))
		return -ENOMEM;
	memmove(&network->stations[place + 1], &network->stations[place],
	        behind * sizeof(*network->stations));
	network->stations[place] = new;
	return 0;
}

void config_remove_station(struct config_network *network, struct config_station *station)
{
	size_t behind = (size_t)(&network->stations[--network->station_count] - station);

	memmove(station, station + 1, behind * sizeof(*station));
}

struct config_station *config_find_station(const struct config_network *network,
                                           const struct fdb_key *key)
{
	size_t place = station_place(network, key);

	if (place == network->station_count ||
	    memcmp(&network->stations[place].key, key, sizeof(*key)) != 0)
		return NULL;
	return &network->stations[place];
}

/* --- peers --- */

struct config_peer *config_find_peer(const struct config *config, const uint8_t key[KEY_SIZE])
{
	const struct config_index *index = config->index;
	uint32_t hash = hash_key(key);

	for (uint32_t i = hash;; i++) {
		const struct slot *slot = &index->slots[i & index->mask];

		if (slot->peer == SLOT_EMPTY)
			return NULL;
		if (slot->hash == hash && slot->position == SLOT_KEY &&
		    memcmp(config->peers[slot->peer].public_key, key, KEY_SIZE) == 0)
			return &config->peers[slot->peer];
	}
}

/* Not by realloc(), which would leave preshared keys behind. */
static int grow_peers(struct config *config)
{
	size_t capacity = config->peer_capacity ? config->peer_capacity * 2 : 4;
	struct config_peer *new;

	if (config->peer_count < config->peer_capacity)
		return 0;
	new = malloc(capacity * sizeof(*new));
	if (!new)
		return -ENOMEM;
	if (config->peer_count > 0) {
		memcpy(new, config->peers, config->peer_count * sizeof(*new));
		secret_wipe(config->peers, config->peer_count * sizeof(*new));
	}
	free(config->peers);
	config->peers = new;
	config->peer_capacity = capacity;
	return 0;
}

struct config_peer *config_add_peer(struct config *config, const uint8_t key[KEY_SIZE])
{
	struct config_peer *peer = config_find_peer(config, key);

	if (peer)
		return peer;
	if (grow_peers(config) || index_reserve(config))
		return NULL;
	peer = &config->peers[config->peer_count++];
	memset(peer, 0, sizeof(*peer));
	memcpy(peer->public_key, key, KEY_SIZE);
	peer->owner = config;
	index_insert(config->index, key_slot(peer));
	return peer;
}

void config_remove_peer(struct config *config, struct config_peer *peer)
{
	struct config_peer *last = &config->peers[config->peer_count - 1];
	uint32_t number = peer_number(peer);

	config_peer_clear_allowed(peer);
	index_remove(config->index, key_slot(peer));
	peer_fini(peer);
	if (peer != last) {
		for (size_t i = 0; i < last->allowed_count; i++)
			index_get(config->index, allowed_slot(last, i))->peer = number;
		index_get(config->index, key_slot(last))->peer = number;
		*peer = *last;
		secret_wipe(last, sizeof(*last));
	}
	config->peer_count--;
}

/* --- AllowedIPs --- */

int config_add_allowed_at(struct config_peer *peer, const struct prefix *prefix, unsigned int line)
{
	if (find_own_claim(peer, prefix))
		return 0;
	if (peer->allowed_count >= SLOT_KEY || index_reserve(peer->owner) ||
	    config_append_prefix(&peer->allowed, &peer->allowed_lines, &peer->allowed_count, prefix,
	                         line))
		return -ENOMEM;
	index_insert(peer->owner->index, allowed_slot(peer, peer->allowed_count - 1));
	return 0;
}

int config_peer_add_allowed(struct config_peer *peer, const struct prefix *prefix)
{
	return config_add_allowed_at(peer, prefix, 0);
}

void config_peer_clear_allowed(struct config_peer *peer)
{
	for (size_t i = 0; i < peer->allowed_count; i++)
		index_remove(peer->owner->index, allowed_slot(peer, i));
	free(peer->allowed);
	free(peer->allowed_lines);
	peer->allowed = NULL;
	peer->allowed_lines = NULL;
	peer->allowed_count = 0;
}

bool config_peer_remove_allowed(struct config_peer *peer, const struct prefix *prefix)
{
	const struct slot *own = find_own_claim(peer, prefix);
	struct config_index *index = peer->owner->index;
	size_t last = peer->allowed_count - 1;
	uint32_t position;

	if (!own)
		return false;
	position = own->position;
	index_remove(index, *own);
	if (position != last) {
		index_get(index, allowed_slot(peer, last))->position = position;
		peer->allowed[position] = peer->allowed[last];
		peer->allowed_lines[position] = peer->allowed_lines[last];
	}
	peer->allowed_count--;
	return true;
}

struct config_peer *config_find_allowed(const struct config *config, const struct prefix *prefix)
{
	uint32_t hash = hash_prefix(prefix), i = hash;
	const struct slot *slot = index_next_claim(config, prefix, hash, &i);

	return slot ? &config->peers[slot->peer] : NULL;
}

const struct config_peer *config_find_earlier_claim(const struct config_peer *peer,
                                                    const struct prefix *prefix, unsigned int *line)
{
	uint32_t hash = hash_prefix(prefix), i = hash;
	const struct slot *slot;

	while ((slot = index_next_claim(peer->owner, prefix, hash, &i))) {
		const struct config_peer *other = &peer->owner->peers[slot->peer];

		if (other < peer) {
			*line = other->allowed_lines[slot->position];
			return other;
		}
	}
	return NULL;
}

int config_move_allowed(struct config *config, struct config_peer *peer,
                        const struct prefix *prefix)
{
	uint32_t hash = hash_prefix(prefix), i;
	const struct slot *slot;

	if (config_peer_add_allowed(peer, prefix))
		return -ENOMEM;
	do {
		i = hash; /* a removal moves slots: look from the start */
		while ((slot = index_next_claim(config, prefix, hash, &i)))
			if (slot->peer != peer_number(peer))
				break;
		if (slot)
			config_peer_remove_allowed(&config->peers[slot->peer], prefix);
	} while (slot);
	return 0;
}
