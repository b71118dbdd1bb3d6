/* SPDX-License-Identifier: MIT */
/* A peer as show sees it, its endpoint as it roams, and views that come and go. */
#include "unit/rig_test.h"

static uint64_t roams(const struct rig_host *host)
{
	return stats_read(&host->device->stats.events[EVENT_ROAM]);
}

static void roaming(void **state)
{
	struct rig *rig = *state;
	struct endpoint moved = B->address, now;
	static const struct endpoint none;

	/* From another of our own addresses: noted, but no roam. */
	moved.source.in.s_addr = 0x0100000a;
	moved.source_ifindex = 2;
	peer_roam(A->peer, &moved);
	peer_get_endpoint(A->peer, &now);
	assert_memory_equal(&now, &moved, sizeof(now));
	moved.source.in.s_addr = 0x0200000a;
	peer_roam(A->peer, &moved);
	moved.source_ifindex = 4;
	peer_roam(A->peer, &moved);
	peer_get_endpoint(A->peer, &now);
	assert_memory_equal(&now, &moved, sizeof(now));
	assert_int_equal(roams(A), 0);
	moved.remote.in.sin_port ^= 1;
	peer_roam(A->peer, &moved);
	assert_int_equal(roams(A), 1);
	peer_roam(A->peer, &moved);
	assert_int_equal(roams(A), 1);
	peer_get_endpoint(A->peer, &now);
	assert_true(endpoint_same_remote(&now, &moved));
	/* The first place a peer is heard from is no roam. */
	peer_set_endpoint(A->peer, &none);
	peer_roam(A->peer, &moved);
	assert_int_equal(roams(A), 1);
	peer_forget_source(A->peer);
	peer_get_endpoint(A->peer, &now);
	assert_true(endpoint_same_remote(&now, &moved));
	assert_int_equal(now.source_ifindex, 0);
	assert_int_equal(now.source.in.s_addr, 0);
}

static void info_before_any_session(void **state)
{
	struct rig *rig = *state;
	struct peer_info info;

	peer_get_info(A->peer, rig->now_ns, &info);
	assert_true(endpoint_same_remote(&info.endpoint, &B->address));
	assert_true(info.session_age_ns == UINT64_MAX);
	assert_int_equal(info.handshake_wall_ns, 0);
	assert_int_equal(info.hello.version, 0);
	assert_int_equal(info.tunnel_mtu, PEER_MTU_DEFAULT);
}

static void info_of_a_session(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[64];
	struct peer_info info;

	rig_connect(rig, 0);
	peer_set_mtu(B->peer, 1300);
	atomic_store(&B->peer->keepalive_s, 7);
	atomic_store(&B->peer->timers.attempts, 3);
	rig->now_ns += 5 * RIG_SECOND;
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.session_age_ns, 5 * RIG_SECOND);
	assert_true(info.handshake_wall_ns > 1700000000 * RIG_SECOND);
	assert_int_equal(info.hello.version, 1);
	assert_int_equal(info.tunnel_mtu, 1300);
	assert_int_equal(info.keepalive_s, 7);
	assert_int_equal(info.attempts, 3);
	assert_int_equal(info.unanswered_ns, 0);
	timers_initiation_sent(B->peer, rig->now_ns);
	peer_get_info(B->peer, rig->now_ns + 2 * RIG_SECOND, &info);
	assert_true(info.unanswered_ns > 16 * RIG_SECOND && info.unanswered_ns < 18 * RIG_SECOND);
	timers_handshake_complete(B->peer);
	atomic_store(&B->peer->timers.attempts, 3);
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.unanswered_ns, 0);
	assert_int_equal(info.lost, 0);
	assert_int_equal(info.rx_packets, stats_read(&B->peer->rx_packets));
	assert_int_equal(info.tx_packets, stats_read(&B->peer->tx_packets));
	assert_true(info.rx_packets > 0 && info.tx_packets > 0);
	assert_int_equal(info.rx_bytes, stats_read(&B->peer->rx_bytes));
	assert_int_equal(info.tx_bytes, stats_read(&B->peer->tx_bytes));
	/* As wg counts: what one sent the other received, handshake and all. */
	assert_int_equal(info.rx_bytes, stats_read(&A->peer->tx_bytes));
	assert_int_equal(info.tx_bytes, stats_read(&A->peer->rx_bytes));
	/* A replay is a drop of this peer's. */
	uint32_t len = rig_seal(A, msg, 0, msg);
	for (int i = 0; i < 2; i++)
		rig_give_datagram(B, &A->address, msg, len, 0, 0);
	rig_round(B);
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.drops[DROP_RX_REPLAY], 1);
	/* At 180 s there is none any more, nor what was agreed upon. */
	rig->now_ns = atomic_load(&B->peer->session.current)->birth_ns + 180 * RIG_SECOND;
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_true(info.session_age_ns == UINT64_MAX);
	assert_int_equal(info.hello.version, 0);
}

/* Counters that never came are losses: of this session, and of those before. */
static void losses(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[64];
	struct peer_info info;

	rig_connect(rig, 0);
	for (int i = 0; i < 5; i++)
		rig_seal(A, msg, 0, msg);
	rig_give_datagram(B, &A->address, msg, 32, 0, 0);
	rig_round(B);
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.lost, 4);
	peer_reset(B->peer);
	peer_get_info(B->peer, rig->now_ns, &info);
	assert_int_equal(info.lost, 4);
}

/*
 * Two threads may collect at once, and then a peer can go before the key pairs that
 * were retired before it.
 */
static void keypairs_may_be_released_after_their_peer(void **state)
{
	static const struct rig_options options = { .without_peer = true };
	struct rig *rig = *state;
	struct quiesce *q = &A->device->quiesce;
	struct retired *list, *next, *reversed = NULL;
	unsigned int n = 0;
	void *kp;

	rig_connect(rig, 0);
	kp = atomic_load(&A->peer->session.current);
	rig_publish(A, &options);
	while (quiesce_collect(q))
		rig_round(A);
	assert_null(q->oldest);
	peer_kill(A->peer);
	peer_retire(A->peer);
	list = q->oldest;
	q->oldest = q->newest = NULL;
	for (; list; list = next, n++) {
		next = list->next;
		list->next = reversed;
		reversed = list;
	}
	assert_int_equal(n, 2); /* one key pair and the peer */
	for (list = reversed; list; list = next) {
		next = list->next;
		list->release(list);
	}
	/* It went back to the arena that it came from. */
	assert_ptr_equal(arena_get(&A->device->keypair_arena), kp);
}

static void a_peer_is_found_by_its_key_alone(void **state)
{
	struct rig *rig = *state;
	struct view *view = view_create(100, 0);
	struct peer *peers[100];
	uint64_t seed = 5;

	assert_non_null(view);
	for (size_t i = 0; i < 100; i++) {
		uint8_t key[KEY_SIZE];

		for (size_t k = 0; k < sizeof(key); k++)
			key[k] = (uint8_t)unit_random(&seed);
		peers[i] = peer_create(A->device, key);
		assert_non_null(peers[i]);
		view->peers[i] = peers[i];
	}
	assert_int_equal(view_finish(view, NULL, 0), 0);
	for (size_t i = 0; i < 100; i++) {
		uint8_t key[KEY_SIZE];

		assert_ptr_equal(view_find_peer(view, peers[i]->public_key), peers[i]);
		memcpy(key, peers[i]->public_key, sizeof(key));
		key[i % KEY_SIZE] ^= 1;
		assert_null(view_find_peer(view, key));
	}
	for (size_t i = 0; i < 100; i++) {
		peer_kill(peers[i]);
		peer_retire(peers[i]);
	}
	view_free(view);
}

/* Stable over restarts, another for each key and network; never of a bridge's own kind. */
static void router_macs(void **state)
{
	struct rig *rig = *state;
	uint8_t mac[6], other[6];

	network_derive_mac(mac, A->public_key, "net", false);
	assert_memory_equal(mac, A->net->router_mac, 6);
	assert_int_equal(mac[0] & 3, 2);
	network_derive_mac(other, B->public_key, "net", false);
	assert_memory_not_equal(mac, other, 6);
	network_derive_mac(other, A->public_key, "net2", false);
	assert_memory_not_equal(mac, other, 6);
	/* A bridge takes the lowest address of its ports for its own. */
	network_derive_mac(other, A->public_key, "net", true);
	assert_int_equal(other[0], 0xfe);
	assert_memory_not_equal(mac, other, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(roaming),
		rig_test(info_before_any_session),
		rig_test(info_of_a_session),
		rig_test(losses),
		rig_test(keypairs_may_be_released_after_their_peer),
		rig_test(a_peer_is_found_by_its_key_alone),
		rig_test(router_macs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
