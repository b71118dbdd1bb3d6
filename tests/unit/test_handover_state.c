/* SPDX-License-Identifier: MIT */
/* The state that one life of the daemon leaves the next: what is written is read, and nothing else is. */
#include "unit.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "ctl/handover_state.h"

#define SECOND  1000000000ULL
#define WRITTEN (5000 * SECOND)
#define PEERS   3

static const uint8_t own_key[KEY_SIZE] = { 1, 2, 3 };
static const uint8_t nonce[XNONCE_SIZE] = { 9 };
static uint64_t seed = 88172645463325252ULL;

static struct handover_moment moment(void)
{
	return (struct handover_moment){ .boot_id = { 7, 7 }, .now_ns = WRITTEN };
}

static void fill(void *bytes, size_t len)
{
	uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		at[i] = (uint8_t)unit_random(&seed);
}

static void make_keypair(struct carried_keypair *kp)
{
	kp->there = true;
	kp->initiator = true;
	fill(kp->send_key, KEY_SIZE);
	fill(kp->receive_key, KEY_SIZE);
	kp->local_index = (uint32_t)unit_random(&seed);
	kp->remote_index = (uint32_t)unit_random(&seed);
	kp->birth_ns = unit_random(&seed);
	kp->send_counter = SESSION_JUMP + unit_random(&seed) % 1000;
	kp->received = unit_random(&seed);
	kp->replay.next = unit_random(&seed) / 2;
	fill(kp->replay.bits, sizeof(kp->replay.bits));
}

/* Of @number's kind: without an endpoint or with one, with no key pair, or with several. */
static void make_peer(struct handover_peer *peer, unsigned int number)
{
	struct carried_peer *carried = &peer->carried;

	memset(peer, 0, sizeof(*peer));
	fill(peer->public_key, KEY_SIZE);
	fill(peer->psk_hash, HASH_SIZE);
	fill(peer->endpoint_hash, HASH_SIZE);
	if (number == 1)
		assert_int_equal(endpoint_parse(&carried->endpoint, "192.0.2.1:51820"), 0);
	if (number == 2) {
		assert_int_equal(endpoint_parse(&carried->endpoint, "[2001:db8::1]:7"), 0);
		inet_pton(AF_INET6, "2001:db8::2", &carried->endpoint.source.in6);
		carried->endpoint.source_ifindex = 4;
	}
	fill(carried->last_timestamp, TIMESTAMP_SIZE);
	carried->timestamp_ns = unit_random(&seed);
	carried->handshake_wall_ns = unit_random(&seed);
	carried->lost = unit_random(&seed);
	carried->tx_packets = unit_random(&seed);
	carried->due.keepalive_ns = unit_random(&seed);
	carried->due.handshake_pending = true;
	carried->hello.version = number;
	carried->hello.boot = unit_random(&seed);
	carried->hello_acked = true;
	carried->hello.vni_count = number;
	for (unsigned int i = 0; i < number; i++)
		carried->hello.vnis[i] = 100 + i;
	for (unsigned int i = 0; i < number; i++)
		make_keypair(&carried->keypairs[2 - i]);
}

struct written {
	struct handover_network network;
	struct handover_item items[2];
	struct handover_peer peers[PEERS];
	size_t len, size;
	uint8_t *bytes;
};

static void write_parts(struct written *w, struct handover_writer *out, unsigned int peers)
{
	memset(w, 0, sizeof(*w));
	strcpy(w->network.name, "fleet");
	strcpy(w->network.bridge, "ovl0");
	strcpy(w->network.tap, "ovt-ovl0");
	w->network.bridged = true;
	w->network.vni = 7;
	w->network.items = w->items;
	w->network.item_count = 2;
	w->items[0] = (struct handover_item){ .kind = HANDOVER_NEIGHBOUR, .mac = { 2, 1 } };
	assert_true(prefix_parse(&w->items[0].prefix, "172.20.101.2"));
	w->items[1].kind = HANDOVER_SUBNET;
	assert_true(prefix_parse(&w->items[1].prefix, "fd20::/16"));
	w->size = handover_state_size(1, 2, peers);
	w->bytes = calloc(1, w->size);
	assert_non_null(w->bytes);
	handover_state_begin(out, w->bytes, w->size, 4711, 1, peers);
	handover_state_put_network(out, &w->network);
	for (unsigned int i = 0; i < peers; i++) {
		make_peer(&w->peers[i], i);
		handover_state_put_peer(out, &w->peers[i]);
	}
}

static void write_state(struct written *w, unsigned int peers)
{
	const struct handover_moment when = moment();
	struct handover_writer out;

	write_parts(w, &out, peers);
	w->len = handover_state_seal(&out, &when, nonce, own_key);
	assert_true(w->len > 0 && w->len <= w->size);
}

/* Opens a copy of @len bytes, exactly as long; closed again unless @state. */
static enum handover_verdict open_copy(const uint8_t *bytes, size_t len,
                                       const struct handover_moment *when, const uint8_t *key)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct handover_state state;
	enum handover_verdict verdict;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	verdict = handover_state_open(&state, copy, len, when, key);
	if (verdict == HANDOVER_GOOD)
		handover_state_close(&state);
	else
		assert_null(state.peers);
	free(copy);
	return verdict;
}

static void what_is_written_is_read(void **unused)
{
	const struct handover_moment when = moment();
	struct handover_state state;
	struct handover_peer peer;
	struct written w;

	(void)unused;
	write_state(&w, PEERS);
	assert_int_equal(handover_state_open(&state, w.bytes, w.len, &when, own_key),
	                 HANDOVER_GOOD);
	assert_int_equal(state.device_boot, 4711);
	assert_int_equal(state.network_count, 1);
	assert_memory_equal(&state.networks[0], &w.network,
	                    offsetof(struct handover_network, items));
	assert_int_equal(state.networks[0].item_count, 2);
	assert_memory_equal(state.networks[0].items, w.items, sizeof(w.items));
	for (unsigned int i = 0; i < PEERS; i++) {
		assert_true(handover_state_find_peer(&state, w.peers[i].public_key, &peer));
		assert_memory_equal(&peer, &w.peers[i], sizeof(peer));
	}
	w.peers[0].public_key[31] ^= 1;
	assert_false(handover_state_find_peer(&state, w.peers[0].public_key, &peer));
	handover_state_close(&state);
	free(w.bytes);
}

/* As much memory as was said is enough for peers that have all there is. */
static void size_is_enough(void **unused)
{
	const struct handover_moment when = moment();
	struct handover_peer peer;
	struct handover_writer out;
	size_t size = handover_state_size(2, 0, 2);
	uint8_t *bytes = calloc(1, size);
	struct handover_network network = { .name = "n" };

	(void)unused;
	assert_non_null(bytes);
	handover_state_begin(&out, bytes, size, 1, 2, 2);
	for (int i = 0; i < 2; i++)
		handover_state_put_network(&out, &network);
	for (int i = 0; i < 2; i++) {
		make_peer(&peer, 1);
		for (int slot = 0; slot < CARRIED_SLOTS; slot++)
			make_keypair(&peer.carried.keypairs[slot]);
		peer.carried.hello.vni_count = HELLO_VNIS_MAX;
		for (uint32_t v = 0; v < HELLO_VNIS_MAX; v++)
			peer.carried.hello.vnis[v] = v + 1;
		handover_state_put_peer(&out, &peer);
	}
	assert_int_equal(handover_state_seal(&out, &when, nonce, own_key), size);
	/* And one byte less is not. */
	handover_state_begin(&out, bytes, size / 100, 1, 1, 0);
	handover_state_put_network(&out, &network);
	assert_true(out.failed);
	assert_int_equal(handover_state_seal(&out, &when, nonce, own_key), 0);
	free(bytes);
}

static void every_truncation_is_refused(void **unused)
{
	const struct handover_moment when = moment();
	struct written w;

	(void)unused;
	write_state(&w, PEERS);
	for (size_t len = 0; len < w.len; len++)
		assert_int_not_equal(open_copy(w.bytes, len, &when, own_key), HANDOVER_GOOD);
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_GOOD);
	/* One more than there was is refused, too. */
	w.bytes = realloc(w.bytes, w.len + 1);
	assert_non_null(w.bytes);
	w.bytes[w.len] = 0;
	assert_int_not_equal(open_copy(w.bytes, w.len + 1, &when, own_key), HANDOVER_GOOD);
	free(w.bytes);
}

static void every_flipped_bit_is_refused(void **unused)
{
	const struct handover_moment when = moment();
	struct written w;

	(void)unused;
	write_state(&w, 2);
	for (size_t bit = 0; bit < 8 * w.len; bit++) {
		w.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_GOOD);
		w.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_GOOD);
	free(w.bytes);
}

static void where_and_when_are_looked_at(void **unused)
{
	struct handover_moment when = moment();
	uint8_t other_key[KEY_SIZE];
	struct written w;

	(void)unused;
	write_state(&w, 1);
	memcpy(other_key, own_key, KEY_SIZE);
	other_key[31] ^= 1;
	assert_int_equal(open_copy(w.bytes, w.len, &when, other_key), HANDOVER_FOREIGN);
	when.now_ns = WRITTEN + HANDOVER_AGE_NS;
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_GOOD);
	when.now_ns++;
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_OLD);
	when.now_ns = WRITTEN - 1;
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_OLD);
	when = moment();
	when.boot_id[HANDOVER_BOOT_SIZE - 1] ^= 1;
	assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_OLD);
	free(w.bytes);
}

/* Authentic, and not what this version writes: read within bounds, and void as a whole. */
static void nonsense_within_is_refused(void **unused)
{
	const struct handover_moment when = moment();
	unsigned int malformed = 0;
	struct handover_writer out;
	struct written w;
	size_t used;

	(void)unused;
	write_parts(&w, &out, PEERS);
	used = out.used;
	free(w.bytes);
	for (size_t at = 64; at < used; at++) {
		enum handover_verdict verdict;

		/* Cut off there. */
		write_parts(&w, &out, PEERS);
		out.used = at;
		w.len = handover_state_seal(&out, &when, nonce, own_key);
		assert_int_equal(open_copy(w.bytes, w.len, &when, own_key), HANDOVER_MALFORMED);
		free(w.bytes);
		/* Another byte there: many mean nothing else than another number. */
		write_parts(&w, &out, PEERS);
		w.bytes[at] ^= (uint8_t)(unit_random(&seed) % 255 + 1);
		w.len = handover_state_seal(&out, &when, nonce, own_key);
		verdict = open_copy(w.bytes, w.len, &when, own_key);
		assert_true(verdict == HANDOVER_GOOD || verdict == HANDOVER_MALFORMED);
		malformed += verdict == HANDOVER_MALFORMED;
		free(w.bytes);
	}
	assert_true(malformed > 30);
}

static void a_peer_twice_is_refused(void **unused)
{
	const struct handover_moment when = moment();
	struct handover_peer peer;
	struct handover_writer out;
	size_t size = handover_state_size(0, 0, 2), len;
	uint8_t *bytes = calloc(1, size);

	(void)unused;
	assert_non_null(bytes);
	make_peer(&peer, 1);
	handover_state_begin(&out, bytes, size, 1, 0, 2);
	handover_state_put_peer(&out, &peer);
	handover_state_put_peer(&out, &peer);
	len = handover_state_seal(&out, &when, nonce, own_key);
	assert_int_equal(open_copy(bytes, len, &when, own_key), HANDOVER_MALFORMED);
	free(bytes);
}

/* Whoever has the bytes has no session key. */
static void keys_cannot_be_seen(void **unused)
{
	struct written w;

	(void)unused;
	write_state(&w, PEERS);
	for (unsigned int i = 0; i < PEERS; i++) {
		const struct carried_keypair *kp = &w.peers[i].carried.keypairs[2];

		assert_null(memmem(w.bytes, w.size, w.peers[i].public_key, KEY_SIZE));
		if (kp->there)
			assert_null(memmem(w.bytes, w.size, kp->send_key, KEY_SIZE));
	}
	free(w.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(size_is_enough),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(where_and_when_are_looked_at),
		cmocka_unit_test(nonsense_within_is_refused),
		cmocka_unit_test(a_peer_twice_is_refused),
		cmocka_unit_test(keys_cannot_be_seen),
	};

	return secret_init() ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
