/* SPDX-License-Identifier: MIT */
#include "ctl/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "ctl/handover_state.h"
#include "ctl/log.h"
#include "ctl/notify.h"

#define NAME_TAP   "ovltun-tap"
#define NAME_UDP   "ovltun-udp"
#define NAME_STATE "ovltun-state"

/* A manager that takes longer is not there for us. */
#define BARRIER_NS  2000000000ULL

#define TAPS_MAX    (CONFIG_NETWORKS_MAX * TAP_QUEUES_MAX)
#define UDP_MAX     (2 * WORKERS_MAX)
#define STATES_MAX  2 /* one is too many */
#define STATE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Linux 6.3 and newer. */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

struct descriptors {
	int fds[TAPS_MAX];
	unsigned int count;
};

/* The descriptors of one device. */
struct kept_tap {
	char name[IFNAMSIZ];
	int fds[TAP_QUEUES_MAX];
	unsigned int count;
};

struct handover {
	const struct device *device;
	struct kept_tap taps[CONFIG_NETWORKS_MAX];
	unsigned int tap_count;
	int udp[UDP_MAX];
	unsigned int udp_count;
	int states[STATES_MAX];
	unsigned int state_count;

	uint8_t *memory; /* in which @state lies; NULL: there is none */
	size_t size;
	struct handover_state state;
	bool has_state; /* to be believed */
	bool sessions_usable; /* the state is ours alone */
	unsigned int sessions, adopted_taps, adopted_udp; /* for the log */
};

/* ---- both ---- */

/* Locked as it is touched, and left out of core files. NULL: out of memory. */
static uint8_t *get_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	(void)madvise(memory, size, MADV_DONTDUMP);
	(void)mlock2(memory, size, MLOCK_ONFAULT);
	return memory;
}

static void put_memory(uint8_t *memory, size_t size, size_t used)
{
	secret_wipe(memory, used);
	munmap(memory, size);
}

/* The unit may hide it: then that is no check, and memory does not outlive a boot anyway. */
static void read_boot_id(uint8_t out[HANDOVER_BOOT_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	uint8_t text[64], sum[HASH_SIZE];
	ssize_t len = fd >= 0 ? read(fd, text, sizeof(text)) : -1;

	memset(out, 0, HANDOVER_BOOT_SIZE);
	if (len > 0) {
		hash_sum(sum, text, (size_t)len, NULL, 0);
		memcpy(out, sum, HANDOVER_BOOT_SIZE);
	}
	if (fd >= 0)
		close(fd);
}

static struct handover_moment read_moment(const struct device *device)
{
	struct handover_moment moment = { .now_ns = device_now(device) };

	read_boot_id(moment.boot_id);
	return moment;
}

static void hash_psk(uint8_t out[HASH_SIZE], const struct config_peer *peer)
{
	static const char label[] = "ovltun handover psk";

	hash_sum(out, label, sizeof(label), peer->psk, KEY_SIZE);
}

static void hash_endpoint(uint8_t out[HASH_SIZE], const struct config_peer *peer)
{
	const struct config_endpoint *endpoint = &peer->endpoint;
	uint8_t port[2] = { 0 };

	if (endpoint->host[0])
		store_le16(port, endpoint->port);
	hash_sum(out, port, sizeof(port), endpoint->host, strlen(endpoint->host));
}

/* ---- giving ---- */

static bool is_known(const struct neigh_info *info)
{
	return info->state == NEIGH_REACHABLE || info->state == NEIGH_PROBING ||
	       info->state == NEIGH_CONTESTED;
}

static void add_neighbours(struct handover_network *out, const struct neigh_info *infos,
                           uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct handover_item *item = &out->items[out->item_count];
		const struct neigh_addr *addr = &infos[i].addr;

		if (!is_known(&infos[i]))
			continue;
		out->item_count++;
		item->kind = HANDOVER_NEIGHBOUR;
		item->prefix.family = addr->family;
		item->prefix.len = addr->family == 4 ? 32 : 128;
		memcpy(item->prefix.addr, addr->addr, sizeof(item->prefix.addr));
		memcpy(item->mac, infos[i].mac, ETHER_ADDR_SIZE);
	}
}

/* 0 or -ENOMEM. */
static int describe_network(struct handover_network *out, const struct config_network *network,
                            const struct run_network *run)
{
	struct neigh_table *table = run->network->neigh;
	struct neigh_info *infos = calloc(table ? NEIGH_ENTRIES : 1, sizeof(*infos));
	uint32_t count = infos && table ? neigh_list(table, infos, NEIGH_ENTRIES) : 0;
	int err = -ENOMEM;

	if (count > NEIGH_ENTRIES)
		count = NEIGH_ENTRIES;
	memcpy(out->name, network->name, sizeof(out->name));
	memcpy(out->bridge, network->bridge, sizeof(out->bridge));
	memcpy(out->tap, run->tap.name, sizeof(out->tap));
	out->bridged = network->bridged;
	out->vni = network->vni;
	out->items = calloc(count + network->subnet_count + 1, sizeof(*out->items));
	if (!infos || !out->items)
		goto out;
	for (size_t i = 0; i < network->subnet_count; i++) {
		out->items[out->item_count].kind = HANDOVER_SUBNET;
		out->items[out->item_count++].prefix = network->subnets[i];
	}
	add_neighbours(out, infos, count);
	err = 0;
out:
	free(infos);
	return err;
}

static void free_networks(struct handover_network *networks, size_t count)
{
	for (size_t i = 0; networks && i < count; i++)
		free(networks[i].items);
	free(networks);
}

/* NULL: out of memory. */
static struct handover_network *describe_networks(const struct state *state, size_t *items)
{
	size_t count = state->config->network_count;
	struct handover_network *networks = calloc(count + 1, sizeof(*networks));

	*items = 0;
	for (size_t i = 0; networks && i < count; i++) {
		if (describe_network(&networks[i], &state->config->networks[i],
		                     state->networks[i])) {
			free_networks(networks, count);
			return NULL;
		}
		*items += networks[i].item_count;
	}
	return networks;
}

static size_t write_state(const struct state *state, const struct handover_network *networks,
                          uint8_t *memory, size_t size)
{
	const struct config *config = state->config;
	const struct handover_moment moment = read_moment(state->device);
	struct handover_writer out;
	struct handover_peer peer;
	uint8_t nonce[XNONCE_SIZE];

	handover_state_begin(&out, memory, size, state->device->boot,
	                     (uint32_t)config->network_count, (uint32_t)config->peer_count);
	for (size_t i = 0; i < config->network_count; i++)
		handover_state_put_network(&out, &networks[i]);
	for (size_t i = 0; i < config->peer_count; i++) {
		memcpy(peer.public_key, config->peers[i].public_key, KEY_SIZE);
		hash_psk(peer.psk_hash, &config->peers[i]);
		hash_endpoint(peer.endpoint_hash, &config->peers[i]);
		carried_take(state->peers[i].peer, moment.now_ns, &peer.carried);
		handover_state_put_peer(&out, &peer);
	}
	secret_wipe(&peer, sizeof(peer));
	secret_random(nonce, sizeof(nonce));
	return handover_state_seal(&out, &moment, nonce, config->private_key);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int make_memfd(void)
{
	int fd = memfd_create(NAME_STATE, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(NAME_STATE, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

/* The descriptor of a file that holds the state and changes no more, or -errno. */
static int make_state(const struct state *state)
{
	size_t items, network_count = state->config->network_count;
	struct handover_network *networks = describe_networks(state, &items);
	size_t size = handover_state_size(network_count, items, state->config->peer_count);
	uint8_t *memory = networks ? get_memory(size) : NULL;
	size_t len = memory ? write_state(state, networks, memory, size) : 0;
	int fd = len ? make_memfd() : -ENOMEM, err = fd < 0 ? fd : 0;

	if (!err)
		err = write_all(fd, memory, len);
	if (!err && fcntl(fd, F_ADD_SEALS, STATE_SEALS) < 0)
		err = -errno;
	/* What did not fit is not sealed. */
	if (memory)
		put_memory(memory, size, len ? len : size);
	free_networks(networks, network_count);
	if (err && fd >= 0)
		close(fd);
	return err ? err : fd;
}

/* Whether the manager was told to let go of the state. */
static bool unstore(void)
{
	/* First: what is worth most. */
	bool told = notify_unstore(NAME_STATE) == 0;

	/* A device or socket that it keeps on is found by the next life, and no harm. */
	(void)notify_unstore(NAME_TAP);
	(void)notify_unstore(NAME_UDP);
	return told;
}

static void list_taps(const struct state *state, struct descriptors *taps)
{
	taps->count = 0;
	for (size_t i = 0; i < state->config->network_count; i++) {
		const struct tap *tap = &state->networks[i]->tap;

		for (unsigned int q = 0; q < tap->queues; q++)
			taps->fds[taps->count++] = tap->fds[q];
	}
}

static void list_udp(const struct state *state, struct descriptors *udp)
{
	udp->count = 0;
	for (unsigned int i = 0; i < WORKERS_MAX && state->udp_open; i++) {
		if (state->udp[i].port && state->udp[i].fd4 >= 0)
			udp->fds[udp->count++] = state->udp[i].fd4;
		if (state->udp[i].port && state->udp[i].fd6 >= 0)
			udp->fds[udp->count++] = state->udp[i].fd6;
	}
}

int handover_give(struct state *state)
{
	struct descriptors *list;
	int fd, err;

	if (!state->config || !state->config->has_private_key || state->workers.count)
		return -EINVAL;
	list = calloc(1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	fd = make_state(state);
	err = fd < 0 ? fd : 0;
	list_taps(state, list);
	if (!err)
		err = notify_store(NAME_TAP, list->fds, list->count);
	list_udp(state, list);
	if (!err)
		err = notify_store(NAME_UDP, list->fds, list->count);
	/* Last: whoever finds the state finds all else. */
	if (!err)
		err = notify_store(NAME_STATE, &fd, 1);
	if (!err && !notify_barrier(BARRIER_NS))
		err = -ETIMEDOUT;
	/* If it cannot be told: nothing is sealed any more, so a state that it has is good. */
	if (err && err != -ENOTCONN)
		(void)unstore();
	if (fd >= 0)
		close(fd);
	free(list);
	return err;
}

/* ---- taking ---- */

static bool keep_tap(struct handover *handover, int fd)
{
	char name[IFNAMSIZ];
	unsigned int i = 0;

	if (!tap_name(fd, name))
		return false;
	while (i < handover->tap_count && strcmp(handover->taps[i].name, name) != 0)
		i++;
	if (i == CONFIG_NETWORKS_MAX || handover->taps[i].count == TAP_QUEUES_MAX)
		return false;
	if (i == handover->tap_count) {
		memcpy(handover->taps[i].name, name, sizeof(name));
		handover->tap_count++;
	}
	handover->taps[i].fds[handover->taps[i].count++] = fd;
	return true;
}

static void keep(void *arg, const char *name, int fd)
{
	struct handover *handover = arg;
	bool kept = false;

	if (strcmp(name, NAME_TAP) == 0) {
		kept = keep_tap(handover, fd);
	} else if (strcmp(name, NAME_UDP) == 0 && handover->udp_count < UDP_MAX) {
		handover->udp[handover->udp_count++] = fd;
		kept = true;
	} else if (strcmp(name, NAME_STATE) == 0 && handover->state_count < STATES_MAX) {
		handover->states[handover->state_count++] = fd;
		kept = true;
	}
	if (!kept)
		close(fd);
}

static void close_tap(struct kept_tap *tap)
{
	while (tap->count)
		close(tap->fds[--tap->count]);
}

static void close_udp(struct handover *handover)
{
	while (handover->udp_count)
		close(handover->udp[--handover->udp_count]);
}

static int read_all(int fd, uint8_t *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/*
 * Whether this file changes no more, and we are the first and last to use it: of those
 * that try, by however many descriptors, the kernel lets one add that seal.
 */
static bool use_once(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & STATE_SEALS) == STATE_SEALS && !(seals & F_SEAL_SEAL) &&
	       fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) == 0;
}

static enum handover_verdict open_state(struct handover *handover, const struct config *config)
{
	const struct handover_moment moment = read_moment(handover->device);
	enum handover_verdict verdict;
	struct stat st;

	if (handover->state_count != 1 || fstat(handover->states[0], &st) < 0 || st.st_size <= 0 ||
	    (size_t)st.st_size > HANDOVER_SIZE_MAX)
		return HANDOVER_DAMAGED;
	handover->size = (size_t)st.st_size;
	handover->memory = get_memory(handover->size);
	if (!handover->memory)
		return HANDOVER_NO_MEMORY;
	if (read_all(handover->states[0], handover->memory, handover->size))
		return HANDOVER_DAMAGED;
	verdict = handover_state_open(&handover->state, handover->memory, handover->size, &moment,
	                              config->private_key);
	return verdict;
}

static bool fits(const struct handover_network *kept, const struct config_network *network)
{
	return strcmp(kept->name, network->name) == 0 &&
	       strcmp(kept->bridge, network->bridge) == 0 && kept->bridged == network->bridged &&
	       kept->vni == network->vni;
}

/*
 * The TAP of that network, with all its queues, or NULL. Without a state to be believed the
 * one of the name that a new one would get: while the manager has it, too, there can be
 * no other.
 */
static struct kept_tap *find_tap(struct handover *handover, const struct config_network *network,
                                 unsigned int queues, const char *name)
{
	if (handover->has_state)
		name = NULL;
	for (uint32_t i = 0; i < handover->state.network_count; i++)
		if (fits(&handover->state.networks[i], network))
			name = handover->state.networks[i].tap;
	for (unsigned int i = 0; name && i < handover->tap_count; i++)
		if (strcmp(handover->taps[i].name, name) == 0 && handover->taps[i].count == queues)
			return &handover->taps[i];
	return NULL;
}

static void close_what_does_not_fit(struct handover *handover, const struct config *config)
{
	for (unsigned int i = 0; i < handover->tap_count; i++) {
		bool wanted = false;

		for (size_t n = 0; n < config->network_count; n++)
			wanted |= find_tap(handover, &config->networks[n], config->workers, NULL) ==
			          &handover->taps[i];
		if (!wanted)
			close_tap(&handover->taps[i]);
	}
}

struct handover *handover_take(const struct device *device, const struct config *config)
{
	struct handover *handover = calloc(1, sizeof(*handover));
	enum handover_verdict verdict;
	bool once, released;

	if (!handover)
		return NULL;
	handover->device = device;
	if (!notify_take_stored(keep, handover)) {
		free(handover);
		return NULL;
	}
	/* Both: a barrier behind what was never sent says nothing. */
	released = unstore() && notify_barrier(BARRIER_NS);
	once = handover->state_count == 1 && use_once(handover->states[0]);
	verdict = open_state(handover, config);
	if (verdict != HANDOVER_GOOD)
		log_line("what the last daemon left is not used, sessions begin anew: %s",
		         handover->state_count > 1 ? "there is more than one state"
		         : !handover->state_count  ? "there is no state with it "
		                                     "(FileDescriptorStoreMax= may be too small)"
		                                   : handover_verdict_text(verdict));
	else if (!released)
		log_line("sessions begin anew: the service manager does not say that it has let go "
		         "of what it kept");
	else if (!once)
		log_line("sessions begin anew: what the last daemon left was used before");
	handover->has_state = verdict == HANDOVER_GOOD;
	handover->sessions_usable = handover->has_state && released && once;
	if (handover->has_state)
		close_what_does_not_fit(handover, config);
	return handover;
}

void handover_close(struct handover *handover)
{
	if (!handover)
		return;
	for (unsigned int i = 0; i < handover->tap_count; i++)
		close_tap(&handover->taps[i]);
	close_udp(handover);
	while (handover->state_count)
		close(handover->states[--handover->state_count]);
	handover_state_close(&handover->state);
	if (handover->memory)
		put_memory(handover->memory, handover->size, handover->size);
	free(handover);
}

bool handover_adopt_tap(struct handover *handover, const struct config_network *network,
                        unsigned int queues, const char *name, struct tap *tap)
{
	struct kept_tap *kept = handover ? find_tap(handover, network, queues, name) : NULL;

	if (!kept)
		return false;
	if (tap_adopt(tap, kept->fds, kept->count)) {
		/* Deleted meanwhile: its name is free for another. */
		close_tap(kept);
		return false;
	}
	kept->count = 0;
	handover->adopted_taps++;
	return true;
}

bool handover_has_tap(const struct handover *handover, const char *name)
{
	for (unsigned int i = 0; handover && i < handover->tap_count; i++)
		if (handover->taps[i].count && strcmp(handover->taps[i].name, name) == 0)
			return true;
	return false;
}

bool handover_adopt_udp(struct handover *handover, struct udp_sockets *group, unsigned int count,
                        uint16_t port, uint32_t fwmark)
{
	if (!handover || !handover->udp_count)
		return false;
	if (udp_adopt_group(group, count, handover->udp, handover->udp_count, port, fwmark)) {
		/* Else the port might be taken, by us. */
		close_udp(handover);
		return false;
	}
	handover->adopted_udp = handover->udp_count;
	handover->udp_count = 0;
	return true;
}

/* ---- peers ---- */

/* What the last life knew of @peer; *@same_keys: its sessions are good for this one. */
static bool find_peer(const struct handover *handover, const struct config_peer *peer,
                      struct handover_peer *found, bool *same_keys)
{
	uint8_t hash[HASH_SIZE];

	if (!handover_state_find_peer(&handover->state, peer->public_key, found))
		return false;
	hash_psk(hash, peer);
	*same_keys = handover->sessions_usable && secret_equal(hash, found->psk_hash, HASH_SIZE);
	return true;
}

void handover_put_peer(struct handover *handover, struct run_peer *run,
                       const struct config_peer *peer)
{
	struct handover_peer found;
	uint8_t hash[HASH_SIZE];
	bool same_keys, has_session;

	if (!handover || !find_peer(handover, peer, &found, &same_keys))
		return;
	has_session =
		carried_put(run->peer, device_now(handover->device), &found.carried, same_keys);
	handover->sessions += has_session;
	hash_endpoint(hash, peer);
	/*
	 * A peer is where it was last, unless the file says another place than it did. But
	 * where it was without a session may be long ago: then the file is asked first, as
	 * who restarts us for a peer that cannot be reached expects.
	 */
	if (endpoint_is_set(&found.carried.endpoint) &&
	    memcmp(hash, found.endpoint_hash, HASH_SIZE) == 0 &&
	    (has_session || !peer->endpoint.numeric)) {
		peer_set_endpoint(run->peer, &found.carried.endpoint);
		if (has_session)
			run->resolve_at_ns = 0;
	}
	secret_wipe(&found, sizeof(found));
}

/* ---- networks ---- */

static bool is_wanted(const struct config *config, const struct handover_network *kept,
                      const struct prefix *subnet)
{
	for (size_t i = 0; i < config->network_count; i++)
		for (size_t s = 0; s < config->networks[i].subnet_count; s++)
			if (fits(kept, &config->networks[i]) &&
			    prefix_equal(&config->networks[i].subnets[s], subnet))
				return true;
	return false;
}

void handover_drop_routes(const struct handover *handover, const struct state *state)
{
	for (uint32_t i = 0; handover && i < handover->state.network_count; i++) {
		const struct handover_network *kept = &handover->state.networks[i];
		const struct netlink_link *bridge = netlink_find_link(state->netlink, kept->bridge);

		for (uint32_t n = 0; bridge && n < kept->item_count; n++) {
			const struct handover_item *item = &kept->items[n];

			if (item->kind == HANDOVER_SUBNET &&
			    !is_wanted(state->config, kept, &item->prefix))
				(void)priv_remove_route(state->priv, bridge->index, &item->prefix);
		}
	}
}

static const struct view_network *find_view_network(const struct view *view,
                                                    const struct network *network)
{
	for (size_t i = 0; i < view->network_count; i++)
		if (view->networks[i].network == network)
			return &view->networks[i];
	return NULL;
}

/* Those that may live there, by the view in force. */
static void put_neighbours(const struct view *view, const struct view_network *net,
                           const struct handover_network *kept, uint64_t now_ns)
{
	for (uint32_t i = 0; i < kept->item_count; i++) {
		const struct handover_item *item = &kept->items[i];
		struct neigh_addr addr = { .family = item->prefix.family };
		struct neigh_question question;
		bool ask = false;

		memcpy(addr.addr, item->prefix.addr, sizeof(addr.addr));
		/* What a question would tell is asked for when it is used. */
		if (item->kind == HANDOVER_NEIGHBOUR &&
		    view_is_local(view, net, addr.family, addr.addr))
			(void)neigh_learn(net->network->neigh, &addr, item->mac, true, now_ns, &ask,
			                  &question);
	}
}

void handover_put_neighbours(const struct handover *handover, const struct state *state)
{
	const struct view *view = atomic_load_explicit(&state->device->view, memory_order_relaxed);

	for (uint32_t i = 0; handover && i < handover->state.network_count; i++) {
		const struct handover_network *kept = &handover->state.networks[i];

		for (size_t n = 0; n < state->config->network_count; n++) {
			const struct network *network = state->networks[n]->network;
			const struct view_network *net = find_view_network(view, network);

			if (net && network->neigh && fits(kept, &state->config->networks[n]))
				put_neighbours(view, net, kept, device_now(state->device));
		}
	}
}

void handover_go_on(struct handover *handover, const struct state *state)
{
	struct handover_peer found;
	bool same_keys;

	if (!handover || !handover->state.peers)
		return;
	for (size_t i = 0; i < state->config->peer_count; i++)
		if (find_peer(handover, &state->config->peers[i], &found, &same_keys) && same_keys)
			carried_go_on(state->peers[i].peer, device_now(state->device),
			              &found.carried);
	secret_wipe(&found, sizeof(found));
	workers_kick(&state->workers);
	log_line("went on from the last daemon: %u of %zu peers with their session, %u of %zu "
	         "TAPs, %s",
	         handover->sessions, state->config->peer_count, handover->adopted_taps,
	         state->config->network_count,
	         handover->adopted_udp ? "its UDP port" : "not its UDP port");
}

void handover_follow(const struct handover *handover, struct device *device)
{
	if (handover && device->boot <= handover->state.device_boot)
		device->boot = handover->state.device_boot + 1;
}
