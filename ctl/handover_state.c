/* SPDX-License-Identifier: MIT */
/*
 * Writer and reader mirror each other, function by function. Neither trusts the
 * other: the writer stops where its memory ends, the reader where the bytes do, and
 * what it cannot have written makes all of it void.
 */
#include "ctl/handover_state.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

/* The plain beginning. */
struct head {
	uint8_t magic[8];
	struct le32 version;
	struct le32 spare;
	uint8_t boot_id[HANDOVER_BOOT_SIZE];
	struct le64 written_ns;
	uint8_t nonce[XNONCE_SIZE];
};
_Static_assert(sizeof(struct head) == 64, "as handover_state.h says");

static const uint8_t magic[8] = { 'o', 'v', 'l', 't', 'u', 'n', 0, 'S' };

#define LABEL "ovltun handover v1"

enum { FAMILY_NONE = 0, FAMILY_IPV4 = 4, FAMILY_IPV6 = 6 };

static void derive_key(uint8_t key[KEY_SIZE], const uint8_t private_key[KEY_SIZE])
{
	hash_hmac(key, private_key, KEY_SIZE, LABEL, sizeof(LABEL) - 1);
}

/* ---- writing ---- */

static uint8_t *take_room(struct handover_writer *out, size_t len)
{
	uint8_t *at = out->memory + out->used;

	if (out->failed || out->size - out->used < len) {
		out->failed = true;
		return NULL;
	}
	out->used += len;
	return at;
}

static void put_bytes(struct handover_writer *out, const void *bytes, size_t len)
{
	uint8_t *at = take_room(out, len);

	if (at)
		memcpy(at, bytes, len);
}

static void put_u8(struct handover_writer *out, uint8_t v)
{
	put_bytes(out, &v, sizeof(v));
}

static void put_u16(struct handover_writer *out, uint16_t v)
{
	uint8_t *at = take_room(out, sizeof(v));

	if (at)
		store_le16(at, v);
}

static void put_u32(struct handover_writer *out, uint32_t v)
{
	uint8_t *at = take_room(out, sizeof(v));

	if (at)
		store_le32(at, v);
}

static void put_u64(struct handover_writer *out, uint64_t v)
{
	uint8_t *at = take_room(out, sizeof(v));

	if (at)
		store_le64(at, v);
}

static void put_endpoint(struct handover_writer *out, const struct endpoint *ep)
{
	uint8_t remote[16] = { 0 }, source[16] = { 0 };
	uint8_t family = FAMILY_NONE;
	uint32_t scope = 0;
	uint16_t port = 0;

	if (ep->remote.sa.sa_family == AF_INET) {
		family = FAMILY_IPV4;
		port = ntohs(ep->remote.in.sin_port);
		memcpy(remote, &ep->remote.in.sin_addr, 4);
		memcpy(source, &ep->source.in, 4);
	} else if (ep->remote.sa.sa_family == AF_INET6) {
		family = FAMILY_IPV6;
		port = ntohs(ep->remote.in6.sin6_port);
		scope = ep->remote.in6.sin6_scope_id;
		memcpy(remote, &ep->remote.in6.sin6_addr, 16);
		memcpy(source, &ep->source.in6, 16);
	}
	put_u8(out, family);
	put_u16(out, port);
	put_u32(out, scope);
	put_u32(out, ep->source_ifindex);
	put_bytes(out, remote, sizeof(remote));
	put_bytes(out, source, sizeof(source));
}

static void put_hello(struct handover_writer *out, const struct carried_peer *peer)
{
	put_u32(out, peer->hello.version);
	put_u32(out, peer->hello.tunnel_mtu);
	put_u64(out, peer->hello.features);
	put_u64(out, peer->hello.boot);
	put_u64(out, peer->hello_settled_ns);
	put_u8(out, peer->hello_acked);
	put_u8(out, peer->hello_carried);
	put_u32(out, peer->hello.vni_count);
	for (uint32_t i = 0; i < peer->hello.vni_count && i < HELLO_VNIS_MAX; i++)
		put_u32(out, peer->hello.vnis[i]);
}

static void put_keypair(struct handover_writer *out, const struct carried_keypair *kp)
{
	put_u8(out, kp->there);
	if (!kp->there)
		return;
	put_u8(out, kp->initiator);
	put_u8(out, kp->rekeyed_on_receive);
	put_bytes(out, kp->send_key, KEY_SIZE);
	put_bytes(out, kp->receive_key, KEY_SIZE);
	put_u32(out, kp->local_index);
	put_u32(out, kp->remote_index);
	put_u64(out, kp->birth_ns);
	put_u64(out, kp->send_counter);
	put_u64(out, kp->received);
	put_u64(out, kp->replay.next);
	for (size_t i = 0; i < REPLAY_BITS / 64; i++)
		put_u64(out, kp->replay.bits[i]);
}

static size_t keypair_size(void)
{
	return 3 + 2 * KEY_SIZE + 2 * 4 + 4 * 8 + REPLAY_BITS / 8;
}

size_t handover_state_size(size_t networks, size_t items, size_t peers)
{
	const size_t network = CONFIG_NAME_MAX + 2 * IFNAMSIZ + 1 + 4 + 4;
	const size_t item = 3 + 16 + ETHER_ADDR_SIZE;
	const size_t fixed = 3 * KEY_SIZE + 43 + TIMESTAMP_SIZE + 8 * 8 + 2 * 8 + 1;
	const size_t hello = 4 + 4 + 8 + 8 + 8 + 2 + 4 + 4 * HELLO_VNIS_MAX;

	return sizeof(struct head) + 16 + AEAD_TAG_SIZE + networks * network + items * item +
	       peers * (fixed + hello + CARRIED_SLOTS * keypair_size());
}

void handover_state_begin(struct handover_writer *out, uint8_t *memory, size_t size,
                          uint64_t device_boot, uint32_t networks, uint32_t peers)
{
	*out = (struct handover_writer){ .memory = memory, .size = size };
	(void)take_room(out, sizeof(struct head));
	put_u64(out, device_boot);
	put_u32(out, networks);
	put_u32(out, peers);
}

void handover_state_put_network(struct handover_writer *out, const struct handover_network *network)
{
	put_bytes(out, network->name, sizeof(network->name));
	put_bytes(out, network->bridge, sizeof(network->bridge));
	put_bytes(out, network->tap, sizeof(network->tap));
	put_u8(out, network->bridged);
	put_u32(out, network->vni);
	put_u32(out, network->item_count);
	for (uint32_t i = 0; i < network->item_count; i++) {
		const struct handover_item *item = &network->items[i];

		put_u8(out, (uint8_t)item->kind);
		put_u8(out, item->prefix.family);
		put_u8(out, item->prefix.len);
		put_bytes(out, item->prefix.addr, sizeof(item->prefix.addr));
		put_bytes(out, item->mac, sizeof(item->mac));
	}
}

void handover_state_put_peer(struct handover_writer *out, const struct handover_peer *peer)
{
	const struct carried_peer *carried = &peer->carried;

	put_bytes(out, peer->public_key, KEY_SIZE);
	put_bytes(out, peer->psk_hash, HASH_SIZE);
	put_bytes(out, peer->endpoint_hash, HASH_SIZE);
	put_endpoint(out, &carried->endpoint);
	put_bytes(out, carried->last_timestamp, TIMESTAMP_SIZE);
	put_u64(out, carried->timestamp_ns);
	put_u64(out, carried->handshake_wall_ns);
	put_u64(out, carried->round_trip_ns);
	put_u64(out, carried->rx_bytes);
	put_u64(out, carried->tx_bytes);
	put_u64(out, carried->rx_packets);
	put_u64(out, carried->tx_packets);
	put_u64(out, carried->lost);
	put_u64(out, carried->due.keepalive_ns);
	put_u64(out, carried->due.new_handshake_ns);
	put_u8(out, carried->due.handshake_pending);
	put_hello(out, carried);
	for (unsigned int i = 0; i < CARRIED_SLOTS; i++)
		put_keypair(out, &carried->keypairs[i]);
}

size_t handover_state_seal(struct handover_writer *out, const struct handover_moment *moment,
                           const uint8_t nonce[XNONCE_SIZE], const uint8_t private_key[KEY_SIZE])
{
	struct head *head = (struct head *)out->memory;
	uint8_t key[KEY_SIZE];
	size_t end = out->used;

	if (!take_room(out, AEAD_TAG_SIZE) || out->used > HANDOVER_SIZE_MAX)
		return 0;
	memset(head, 0, sizeof(*head));
	memcpy(head->magic, magic, sizeof(magic));
	store_le32(&head->version, HANDOVER_VERSION);
	memcpy(head->boot_id, moment->boot_id, sizeof(head->boot_id));
	store_le64(&head->written_ns, moment->now_ns);
	memcpy(head->nonce, nonce, XNONCE_SIZE);
	derive_key(key, private_key);
	aead_xseal(out->memory + sizeof(*head), out->memory + sizeof(*head), end - sizeof(*head),
	           head, sizeof(*head), head->nonce, key);
	secret_wipe(key, sizeof(key));
	return out->used;
}

/* ---- reading ---- */

struct reader {
	const uint8_t *at, *end;
	bool malformed;
};

static const uint8_t *get_room(struct reader *in, size_t len)
{
	const uint8_t *at = in->at;

	if (in->malformed || (size_t)(in->end - in->at) < len) {
		in->malformed = true;
		return NULL;
	}
	in->at += len;
	return at;
}

static void get_bytes(struct reader *in, void *bytes, size_t len)
{
	const uint8_t *at = get_room(in, len);

	if (at)
		memcpy(bytes, at, len);
	else
		memset(bytes, 0, len);
}

static uint8_t get_u8(struct reader *in)
{
	const uint8_t *at = get_room(in, 1);

	return at ? *at : 0;
}

static uint16_t get_u16(struct reader *in)
{
	const uint8_t *at = get_room(in, 2);

	return at ? load_le16(at) : 0;
}

static uint32_t get_u32(struct reader *in)
{
	const uint8_t *at = get_room(in, 4);

	return at ? load_le32(at) : 0;
}

static uint64_t get_u64(struct reader *in)
{
	const uint8_t *at = get_room(in, 8);

	return at ? load_le64(at) : 0;
}

static bool get_bool(struct reader *in)
{
	uint8_t v = get_u8(in);

	in->malformed |= v > 1;
	return v == 1;
}

/* A text that ends within its place. */
static void get_text(struct reader *in, char *text, size_t size)
{
	get_bytes(in, text, size);
	in->malformed |= memchr(text, '\0', size) == NULL;
	text[size - 1] = '\0';
}

static void get_endpoint(struct reader *in, struct endpoint *ep)
{
	uint8_t family = get_u8(in), remote[16], source[16];
	uint16_t port = get_u16(in);
	uint32_t scope = get_u32(in);

	memset(ep, 0, sizeof(*ep));
	ep->source_ifindex = get_u32(in);
	get_bytes(in, remote, sizeof(remote));
	get_bytes(in, source, sizeof(source));
	if (family == FAMILY_IPV4) {
		ep->remote.in.sin_family = AF_INET;
		ep->remote.in.sin_port = htons(port);
		memcpy(&ep->remote.in.sin_addr, remote, 4);
		memcpy(&ep->source.in, source, 4);
	} else if (family == FAMILY_IPV6) {
		ep->remote.in6.sin6_family = AF_INET6;
		ep->remote.in6.sin6_port = htons(port);
		ep->remote.in6.sin6_scope_id = scope;
		memcpy(&ep->remote.in6.sin6_addr, remote, 16);
		memcpy(&ep->source.in6, source, 16);
	}
	in->malformed |= family != FAMILY_NONE && family != FAMILY_IPV4 && family != FAMILY_IPV6;
	in->malformed |= family != FAMILY_NONE && port == 0;
}

static void get_hello(struct reader *in, struct carried_peer *peer)
{
	peer->hello.version = get_u32(in);
	peer->hello.tunnel_mtu = get_u32(in);
	peer->hello.features = get_u64(in);
	peer->hello.boot = get_u64(in);
	peer->hello_settled_ns = get_u64(in);
	peer->hello_acked = get_bool(in);
	peer->hello_carried = get_bool(in);
	peer->hello.vni_count = get_u32(in);
	in->malformed |= peer->hello.vni_count > HELLO_VNIS_MAX;
	for (uint32_t i = 0; i < peer->hello.vni_count && !in->malformed; i++) {
		peer->hello.vnis[i] = get_u32(in);
		in->malformed |= peer->hello.vnis[i] == 0 || peer->hello.vnis[i] > CONFIG_VNI_MAX;
	}
}

static void get_keypair(struct reader *in, struct carried_keypair *kp)
{
	kp->there = get_bool(in);
	if (!kp->there)
		return;
	kp->initiator = get_bool(in);
	kp->rekeyed_on_receive = get_bool(in);
	get_bytes(in, kp->send_key, KEY_SIZE);
	get_bytes(in, kp->receive_key, KEY_SIZE);
	kp->local_index = get_u32(in);
	kp->remote_index = get_u32(in);
	kp->birth_ns = get_u64(in);
	kp->send_counter = get_u64(in);
	kp->received = get_u64(in);
	kp->replay.next = get_u64(in);
	in->malformed |= kp->replay.next > REPLAY_COUNTER_END || kp->send_counter < SESSION_JUMP;
	for (size_t i = 0; i < REPLAY_BITS / 64; i++)
		kp->replay.bits[i] = get_u64(in);
}

static void get_item(struct reader *in, struct handover_item *item)
{
	uint8_t kind = get_u8(in);

	in->malformed |= kind != HANDOVER_NEIGHBOUR && kind != HANDOVER_SUBNET;
	item->kind = kind == HANDOVER_SUBNET ? HANDOVER_SUBNET : HANDOVER_NEIGHBOUR;
	item->prefix.family = get_u8(in);
	item->prefix.len = get_u8(in);
	get_bytes(in, item->prefix.addr, sizeof(item->prefix.addr));
	get_bytes(in, item->mac, sizeof(item->mac));
	in->malformed |= !(item->prefix.family == 4 && item->prefix.len <= 32) &&
	                 !(item->prefix.family == 6 && item->prefix.len <= 128);
}

/* False: out of memory. */
static bool get_network(struct reader *in, struct handover_network *network)
{
	get_text(in, network->name, sizeof(network->name));
	get_text(in, network->bridge, sizeof(network->bridge));
	get_text(in, network->tap, sizeof(network->tap));
	network->bridged = get_bool(in);
	network->vni = get_u32(in);
	network->item_count = get_u32(in);
	/* Of each there is a byte at least: no more memory is asked for than was given. */
	if (in->malformed || network->item_count > (size_t)(in->end - in->at)) {
		network->item_count = 0;
		in->malformed = true;
		return true;
	}
	network->items = calloc(network->item_count + (size_t)1, sizeof(*network->items));
	for (uint32_t i = 0; network->items && i < network->item_count; i++)
		get_item(in, &network->items[i]);
	return network->items != NULL;
}

static void get_peer(struct reader *in, struct handover_peer *peer)
{
	struct carried_peer *carried = &peer->carried;

	memset(peer, 0, sizeof(*peer));
	get_bytes(in, peer->public_key, KEY_SIZE);
	get_bytes(in, peer->psk_hash, HASH_SIZE);
	get_bytes(in, peer->endpoint_hash, HASH_SIZE);
	get_endpoint(in, &carried->endpoint);
	get_bytes(in, carried->last_timestamp, TIMESTAMP_SIZE);
	carried->timestamp_ns = get_u64(in);
	carried->handshake_wall_ns = get_u64(in);
	carried->round_trip_ns = get_u64(in);
	carried->rx_bytes = get_u64(in);
	carried->tx_bytes = get_u64(in);
	carried->rx_packets = get_u64(in);
	carried->tx_packets = get_u64(in);
	carried->lost = get_u64(in);
	carried->due.keepalive_ns = get_u64(in);
	carried->due.new_handshake_ns = get_u64(in);
	carried->due.handshake_pending = get_bool(in);
	get_hello(in, carried);
	for (unsigned int i = 0; i < CARRIED_SLOTS; i++)
		get_keypair(in, &carried->keypairs[i]);
}

static int compare_keys(const void *a, const void *b)
{
	const uint8_t *const *x = a, *const *y = b;

	return memcmp(*x, *y, KEY_SIZE);
}

/* Reads all that was sealed, once, to know that it can be read. */
static enum handover_verdict read_all(struct handover_state *state, struct reader *in)
{
	struct handover_peer peer;

	state->device_boot = get_u64(in);
	state->network_count = get_u32(in);
	state->peer_count = get_u32(in);
	if (in->malformed || state->network_count > CONFIG_NETWORKS_MAX ||
	    state->peer_count > (size_t)(in->end - in->at)) {
		state->network_count = 0;
		return HANDOVER_MALFORMED;
	}
	state->networks = calloc(state->network_count + 1, sizeof(*state->networks));
	state->peers = calloc(state->peer_count + (size_t)1, sizeof(*state->peers));
	if (!state->networks || !state->peers)
		return HANDOVER_NO_MEMORY;
	for (uint32_t i = 0; i < state->network_count && !in->malformed; i++)
		if (!get_network(in, &state->networks[i]))
			return HANDOVER_NO_MEMORY;
	for (uint32_t i = 0; i < state->peer_count && !in->malformed; i++) {
		state->peers[i] = in->at;
		get_peer(in, &peer);
	}
	secret_wipe(&peer, sizeof(peer));
	if (in->malformed || in->at != in->end)
		return HANDOVER_MALFORMED;
	qsort(state->peers, state->peer_count, sizeof(*state->peers), compare_keys);
	for (uint32_t i = 1; i < state->peer_count; i++)
		if (compare_keys(&state->peers[i - 1], &state->peers[i]) == 0)
			return HANDOVER_MALFORMED;
	return HANDOVER_GOOD;
}

static enum handover_verdict check_head(const struct head *head,
                                        const struct handover_moment *moment)
{
	uint64_t written_ns = load_le64(&head->written_ns);

	if (memcmp(head->magic, magic, sizeof(magic)) != 0 ||
	    load_le32(&head->version) != HANDOVER_VERSION || load_le32(&head->spare) != 0)
		return HANDOVER_DAMAGED;
	if (memcmp(head->boot_id, moment->boot_id, sizeof(head->boot_id)) != 0 ||
	    written_ns > moment->now_ns || moment->now_ns - written_ns > HANDOVER_AGE_NS)
		return HANDOVER_OLD;
	return HANDOVER_GOOD;
}

enum handover_verdict handover_state_open(struct handover_state *state, uint8_t *memory, size_t len,
                                          const struct handover_moment *moment,
                                          const uint8_t private_key[KEY_SIZE])
{
	const struct head *head = (const struct head *)memory;
	uint8_t *sealed = memory + sizeof(*head), key[KEY_SIZE];
	enum handover_verdict verdict;
	struct reader in;
	bool authentic;

	memset(state, 0, sizeof(*state));
	if (len < sizeof(*head) + AEAD_TAG_SIZE || len > HANDOVER_SIZE_MAX)
		return HANDOVER_DAMAGED;
	verdict = check_head(head, moment);
	if (verdict != HANDOVER_GOOD)
		return verdict;
	derive_key(key, private_key);
	authentic = aead_xopen(sealed, sealed, len - sizeof(*head), head, sizeof(*head),
	                       head->nonce, key);
	secret_wipe(key, sizeof(key));
	if (!authentic)
		return HANDOVER_FOREIGN;
	in = (struct reader){ .at = sealed, .end = memory + len - AEAD_TAG_SIZE };
	state->end = in.end;
	verdict = read_all(state, &in);
	if (verdict != HANDOVER_GOOD)
		handover_state_close(state);
	return verdict;
}

void handover_state_close(struct handover_state *state)
{
	for (uint32_t i = 0; state->networks && i < state->network_count; i++)
		free(state->networks[i].items);
	free(state->networks);
	free(state->peers);
	memset(state, 0, sizeof(*state));
}

bool handover_state_find_peer(const struct handover_state *state,
                              const uint8_t public_key[KEY_SIZE], struct handover_peer *peer)
{
	const uint8_t *const *found;

	if (!state->peer_count)
		return false;
	found = bsearch(&public_key, state->peers, state->peer_count, sizeof(*state->peers),
	                compare_keys);
	if (!found)
		return false;
	struct reader in = { .at = *found, .end = state->end };

	get_peer(&in, peer);
	return !in.malformed;
}

const char *handover_verdict_text(enum handover_verdict verdict)
{
	switch (verdict) {
	case HANDOVER_GOOD:
		return "it is good";
	case HANDOVER_DAMAGED:
		return "it is damaged, or of another version";
	case HANDOVER_OLD:
		return "it is too old, or of another boot";
	case HANDOVER_FOREIGN:
		return "it is of another private key, or was changed";
	case HANDOVER_MALFORMED:
		return "it does not make sense";
	case HANDOVER_NO_MEMORY:
		return "out of memory";
	}
	return "";
}
