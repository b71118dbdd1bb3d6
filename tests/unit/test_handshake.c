/* SPDX-License-Identifier: MIT */
/*
 * The slow path: what is let in, what is answered, and what a wish to initiate
 * survives. Each reason to drop has a test that sees its counter rise, and no
 * other. Protocol behaviour over time: tests/sim.
 */
#include "unit/rig_test.h"
#include "crypto/cookie.h"
#include "crypto/secret.h"
#include "dataplane/handshake.h"

#define INITIATION sizeof(struct message_initiation)
#define RESPONSE   sizeof(struct message_response)

static void inject(struct rig_host *to, const struct endpoint *from, const void *data, size_t len)
{
	rig_give_datagram(to, from, data, (uint32_t)len, 0, 0);
	rig_round(to);
}

/* An initiation of host A's making, as it left. */
static void make_initiation(struct rig *rig, uint8_t msg[INITIATION])
{
	struct burst *burst = burst_open(A->device);

	assert_non_null(burst);
	rig->now_ns += 6 * RIG_SECOND;
	burst->now_ns = rig->now_ns;
	burst->view = atomic_load(&A->device->view);
	handshake_initiate(burst, A->peer, false);
	assert_int_equal(burst->send_count, 1);
	assert_int_equal(burst->sends[0].len, INITIATION);
	memcpy(msg, burst->sends[0].data, INITIATION);
	burst_close(burst);
}

/* With a right mac1 for host B, whatever else was changed. */
static void sign(struct rig *rig, void *msg, size_t len)
{
	struct cookie_maker maker;

	cookie_maker_init(&maker, B->public_key);
	cookie_add_macs(&maker, msg, len, rig->now_ns);
}

static void accepted_initiation(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION];

	make_initiation(rig, msg);
	rig_mark(B);
	inject(B, &A->address, msg, sizeof(msg));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->sent_count, 1);
	assert_int_equal(B->sent[0].len, RESPONSE);
	assert_int_equal(B->sent[0].tos, 0x88);
}

/*
 * A recorded initiation, played back from elsewhere when the last time stamp is
 * forgotten, must not draw the peer's traffic there.
 */
static void an_initiation_moves_no_known_endpoint(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION];
	struct endpoint elsewhere = A->address, now;

	elsewhere.remote.in.sin_port ^= 1;
	make_initiation(rig, msg);
	rig_mark(B);
	inject(B, &elsewhere, msg, sizeof(msg));
	assert_int_equal(B->sent_count, 1);
	assert_int_equal(B->sent[0].len, RESPONSE);
	assert_true(endpoint_same_remote(&B->sent[0].to, &elsewhere));
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &A->address));
	/* One that is not known yet it does set. */
	memset(&now, 0, sizeof(now));
	peer_set_endpoint(B->peer, &now);
	make_initiation(rig, msg);
	inject(B, &elsewhere, msg, sizeof(msg));
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &elsewhere));
}

static void wrong_mac1(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION], response[RESPONSE] = { MESSAGE_RESPONSE };

	make_initiation(rig, msg);
	for (size_t at = 4; at < INITIATION - 16; at += 7) {
		msg[at] ^= 1;
		rig_mark(B);
		inject(B, &A->address, msg, sizeof(msg));
		assert_true(rig_only_dropped(B, DROP_HANDSHAKE_MAC1, 1, RIG_NOBODY));
		msg[at] ^= 1;
	}
	rig_mark(B);
	inject(B, &A->address, response, sizeof(response));
	assert_true(rig_only_dropped(B, DROP_HANDSHAKE_MAC1, 1, RIG_NOBODY));
	/* It was itself all the time. */
	inject(B, &A->address, msg, sizeof(msg));
	assert_int_equal(B->sent_count, 1);
}

static void does_not_decrypt(void **state)
{
	static const size_t fields[] = { offsetof(struct message_initiation, ephemeral),
		                         offsetof(struct message_initiation, static_sealed),
		                         offsetof(struct message_initiation, static_sealed) + 47 };
	struct rig *rig = *state;
	uint8_t msg[INITIATION];

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		make_initiation(rig, msg);
		msg[fields[i]] ^= 2;
		sign(rig, msg, sizeof(msg));
		rig_mark(B);
		inject(B, &A->address, msg, sizeof(msg));
		assert_true(rig_only_dropped(B, DROP_HANDSHAKE_INVALID, 1, RIG_NOBODY));
	}
	/* By then it is known whose it claims to be. */
	make_initiation(rig, msg);
	msg[offsetof(struct message_initiation, timestamp_sealed)] ^= 2;
	sign(rig, msg, sizeof(msg));
	rig_mark(B);
	inject(B, &A->address, msg, sizeof(msg));
	assert_true(rig_only_dropped(B, DROP_HANDSHAKE_INVALID, 1, RIG_PEER));
}

static void unknown_peer(void **state)
{
	static const uint8_t key[KEY_SIZE] = { 8, [31] = 0x40 }, ephemeral[KEY_SIZE] = { 16 };
	struct rig *rig = *state;
	struct noise_identity stranger;
	struct noise_handshake hs;
	struct message_initiation msg;
	uint8_t stamp[TIMESTAMP_SIZE];

	noise_identity_init(&stranger, key);
	noise_handshake_init(&hs, &stranger, B->public_key, NULL);
	noise_timestamp(stamp, 1700000000, 0);
	assert_int_equal(noise_create_initiation(&hs, &stranger, ephemeral, stamp, 1, &msg),
	                 NOISE_OK);
	sign(rig, &msg, sizeof(msg));
	inject(B, &A->address, &msg, sizeof(msg));
	assert_true(rig_only_dropped(B, DROP_HANDSHAKE_INVALID, 1, RIG_NOBODY));
}

static void another_psk(void **state)
{
	static const uint8_t psk[KEY_SIZE] = { 1 };
	struct rig *rig = *state;
	uint8_t ip[64];

	peer_set_psk(A->peer, psk);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_pump(rig);
	assert_int_equal(rig_dropped(A, DROP_HANDSHAKE_INVALID), 1);
	assert_null(peer_send_keypair(A->peer, rig->now_ns));
	/* With the same on both sides the retry succeeds. */
	peer_set_psk(B->peer, psk);
	rig_advance(rig, 6 * RIG_SECOND);
	rig_pump(rig);
	assert_non_null(peer_send_keypair(A->peer, rig->now_ns));
}

static void pitfall_18_the_same_initiation_twice(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION];
	struct endpoint thief = A->address, now;

	make_initiation(rig, msg);
	inject(B, &A->address, msg, sizeof(msg));
	thief.remote.in.sin_port ^= 0xff;
	/* At once, after the rate rule's 20 ms, and a minute later. */
	for (int i = 0; i < 3; i++) {
		rig_mark(B);
		inject(B, &thief, msg, sizeof(msg));
		assert_true(rig_only_dropped(B, DROP_HANDSHAKE_STALE, 1, RIG_PEER));
		rig->now_ns += i ? 2 * RIG_SECOND : 21 * RIG_MS;
	}
	peer_get_endpoint(B->peer, &now);
	assert_true(endpoint_same_remote(&now, &A->address));
}

static void two_initiations_within_twenty_ms(void **state)
{
	struct rig *rig = *state;
	uint8_t first[INITIATION], second[INITIATION];

	make_initiation(rig, first);
	make_initiation(rig, second);
	inject(B, &A->address, first, sizeof(first));
	rig_mark(B);
	rig->now_ns += NOISE_INITIATION_INTERVAL_NS - 1;
	inject(B, &A->address, second, sizeof(second));
	assert_true(rig_only_dropped(B, DROP_HANDSHAKE_RATE, 1, RIG_PEER));
	/* Refused, not remembered: a millisecond later it is as good as any. */
	rig->now_ns++;
	inject(B, &A->address, second, sizeof(second));
	assert_int_equal(B->sent_count, 1);
}

/* ---- responses ---- */

static void responses(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[RESPONSE], bad[RESPONSE], ip[64];
	struct cookie_maker maker;

	cookie_maker_init(&maker, A->public_key);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	assert_int_equal(B->sent_count, 1);
	memcpy(msg, B->sent[0].data, sizeof(msg));

	/* For nobody. */
	memcpy(bad, msg, sizeof(bad));
	bad[8] ^= 1;
	cookie_add_macs(&maker, bad, sizeof(bad), rig->now_ns);
	rig_mark(A);
	inject(A, &B->address, bad, sizeof(bad));
	assert_true(rig_only_dropped(A, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
	/* For us, and not genuine; it does not spoil what waits for the genuine one. */
	for (size_t at = 12; at < 60; at += 16) {
		memcpy(bad, msg, sizeof(bad));
		bad[at] ^= 1;
		cookie_add_macs(&maker, bad, sizeof(bad), rig->now_ns);
		rig_mark(A);
		inject(A, &B->address, bad, sizeof(bad));
		assert_true(rig_only_dropped(A, DROP_HANDSHAKE_INVALID, 1, RIG_PEER));
	}
	/* pitfall_6: an ephemeral key of low order. */
	memcpy(bad, msg, sizeof(bad));
	memset(bad + 12, 0, KEY_SIZE);
	cookie_add_macs(&maker, bad, sizeof(bad), rig->now_ns);
	rig_mark(A);
	inject(A, &B->address, bad, sizeof(bad));
	assert_true(rig_only_dropped(A, DROP_HANDSHAKE_INVALID, 1, RIG_PEER));
	rig_mark(A);
	inject(A, &B->address, msg, sizeof(msg));
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	assert_non_null(peer_send_keypair(A->peer, rig->now_ns));
	/* The same again answers nothing any more. */
	rig_mark(A);
	inject(A, &B->address, msg, sizeof(msg));
	assert_true(rig_only_dropped(A, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
}

/* ---- load ---- */

/* One UDP_GRO event of 64 copies of @msg. */
static void flood(struct rig_host *host, const struct endpoint *from, const uint8_t *msg,
                  uint32_t len, unsigned int events)
{
	uint8_t many[RING_SEGMENTS_MAX * INITIATION];

	for (unsigned int i = 0; i < RING_SEGMENTS_MAX; i++)
		memcpy(many + (size_t)i * len, msg, len);
	for (; events; events--)
		rig_give_datagram(host, from, many, RING_SEGMENTS_MAX * len, len, 0);
}

static void the_queue_is_bounded(void **state)
{
	struct rig *rig = *state;
	uint8_t junk[INITIATION] = { MESSAGE_INITIATION };
	uint64_t full, mac1;

	flood(B, &A->address, junk, sizeof(junk), RING_EVENTS_MAX);
	rig_round(B);
	full = rig_dropped(B, DROP_HANDSHAKE_QUEUE);
	mac1 = rig_dropped(B, DROP_HANDSHAKE_MAC1);
	assert_true(full > 0 && full < RING_EVENTS_MAX * RING_SEGMENTS_MAX / 8);
	assert_int_equal(full + mac1, RING_EVENTS_MAX * RING_SEGMENTS_MAX);
	assert_int_equal(B->sent_count, 0);
}

/* A flood from outside does not keep us from initiating. */
static void a_full_queue_has_room_for_our_own_wishes(void **state)
{
	struct rig *rig = *state;
	uint8_t junk[INITIATION] = { MESSAGE_INITIATION }, ip[64];

	flood(A, &B->address, junk, sizeof(junk), RING_EVENTS_MAX - 1);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_true(rig_dropped(A, DROP_HANDSHAKE_QUEUE) > 0);
	assert_int_equal(stats_read(&A->peer->drops[DROP_HANDSHAKE_QUEUE]), 0);
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(load_le32(A->sent[0].data), MESSAGE_INITIATION);
}

/* No room for a wish: it is made again, without another frame to ask for it. */
static void a_refused_wish_comes_again(void **state)
{
	struct rig *rig = *state;
	struct burst burst = { .device = A->device, .now_ns = rig->now_ns };
	uint64_t when;

	burst.queue = handshake_queue_open();
	assert_non_null(burst.queue);
	for (unsigned int i = 0; i <= HANDSHAKE_QUEUE; i++) {
		assert_int_equal(deadline(A, TIMER_WISH), 0);
		atomic_store(&A->peer->initiation_wanted_ns, 0);
		handshake_want(&burst, A->peer);
	}
	assert_int_equal(rig_dropped(A, DROP_HANDSHAKE_QUEUE), 1);
	when = deadline(A, TIMER_WISH);
	assert_in_range(when, rig->now_ns + TIMERS_WISH_NS,
	                rig->now_ns + TIMERS_WISH_NS + TIMERS_JITTER_NS);
	handshake_queue_close(burst.queue);

	rig_round(A);
	assert_int_equal(A->sent_count, 0);
	rig_advance(rig, when - rig->now_ns);
	assert_int_equal(A->sent_count, 1);
	assert_int_equal(load_le32(A->sent[0].data), MESSAGE_INITIATION);
	assert_int_equal(deadline(A, TIMER_WISH), 0);
}

static void load_is_answered_by_cookies(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION];

	make_initiation(rig, msg);
	flood(B, &A->address, msg, sizeof(msg), HANDSHAKE_LOAD / RING_SEGMENTS_MAX);
	rig_round(B);
	/* All of it: an eighth of the queue is load, and load stays for a second. */
	assert_true(rig_counted(B, DROP_HANDSHAKE_COOKIE, HANDSHAKE_LOAD, RIG_NOBODY));
	assert_int_equal(B->sent_count, HANDSHAKE_LOAD);
	for (unsigned int i = 0; i < B->sent_count; i++) {
		assert_int_equal(load_le32(B->sent[i].data), MESSAGE_COOKIE_REPLY);
		assert_true(B->sent[i].len < INITIATION); /* pitfall_27 */
		assert_true(endpoint_same_remote(&B->sent[i].to, &A->address));
	}
	rig_mark(B);
	rig->now_ns += HANDSHAKE_LOAD_NS - 1;
	inject(B, &A->address, msg, sizeof(msg));
	assert_true(rig_counted(B, DROP_HANDSHAKE_COOKIE, 1, RIG_NOBODY));
	rig_mark(B);
	rig->now_ns++;
	inject(B, &A->address, msg, sizeof(msg));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(load_le32(B->sent[0].data), MESSAGE_RESPONSE);
}

/* Puts host B under load by what fails mac1, which no cookie is wasted on. */
static void put_under_load(struct rig *rig)
{
	uint8_t junk[INITIATION] = { MESSAGE_INITIATION };

	rig_mark(B);
	flood(B, &A->address, junk, sizeof(junk), HANDSHAKE_LOAD / RING_SEGMENTS_MAX);
	rig_round(B);
	assert_int_equal(B->sent_count, 0);
	rig_mark(B);
}

static void the_way_in_with_a_cookie(void **state)
{
	struct rig *rig = *state;
	uint8_t first[INITIATION], second[INITIATION];
	struct endpoint elsewhere = A->address;

	make_initiation(rig, first);
	put_under_load(rig);
	inject(B, &A->address, first, sizeof(first));
	assert_int_equal(B->sent_count, 1);
	inject(A, &B->address, B->sent[0].data, B->sent[0].len);
	assert_true(rig_counted(A, DROP_NONE, 0, RIG_NOBODY));
	make_initiation(rig, second);
	put_under_load(rig);
	/* pitfall_9: the cookie is for address and port. */
	elsewhere.remote.in.sin_port ^= 1;
	inject(B, &elsewhere, second, sizeof(second));
	assert_true(rig_counted(B, DROP_HANDSHAKE_COOKIE, 1, RIG_NOBODY));
	rig_mark(B);
	inject(B, &A->address, second, sizeof(second));
	assert_true(rig_counted(B, DROP_NONE, 0, RIG_NOBODY));
	assert_int_equal(B->sent_count, 1);
	assert_int_equal(load_le32(B->sent[0].data), MESSAGE_RESPONSE);
	/* mac2 proves where it comes from; the limiter bounds what it costs. */
	rig_mark(B);
	for (int i = 0; i < 10; i++)
		inject(B, &A->address, second, sizeof(second));
	assert_int_equal(rig_dropped(B, DROP_HANDSHAKE_STALE), LIMITER_BURST - 1);
	assert_int_equal(rig_dropped(B, DROP_HANDSHAKE_RATE), 10 - (LIMITER_BURST - 1));
}

/* A response is answered by a cookie too; its sender knows it as a key pair by then. */
static void a_cookie_for_a_response(void **state)
{
	struct rig *rig = *state;
	uint8_t junk[INITIATION] = { MESSAGE_INITIATION }, ip[64];

	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	rig_mark(A);
	flood(A, &B->address, junk, sizeof(junk), HANDSHAKE_LOAD / RING_SEGMENTS_MAX);
	rig_round(A);
	rig_mark(A);
	inject(A, &B->address, B->sent[0].data, B->sent[0].len);
	assert_true(rig_counted(A, DROP_HANDSHAKE_COOKIE, 1, RIG_NOBODY));
	assert_int_equal(A->sent_count, 1);
	assert_true(A->sent[0].len < RESPONSE); /* pitfall_27 */
	rig_mark(B);
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	assert_true(rig_only_dropped(B, DROP_NONE, 0, RIG_NOBODY));
	/* A second one to the same message is not believed. */
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	assert_true(rig_only_dropped(B, DROP_COOKIE_INVALID, 1, RIG_NOBODY));
}

static void cookies_nobody_asked_for(void **state)
{
	struct rig *rig = *state;
	struct message_cookie_reply reply = { .type = { { MESSAGE_COOKIE_REPLY } } };
	uint8_t msg[INITIATION];
	struct endpoint before, after;

	inject(A, &B->address, &reply, sizeof(reply));
	assert_true(rig_only_dropped(A, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
	make_initiation(rig, msg);
	memcpy(reply.receiver.b, msg + 4, 4);
	rig_mark(A);
	peer_get_endpoint(A->peer, &before);
	inject(A, &A->address, &reply, sizeof(reply));
	assert_true(rig_only_dropped(A, DROP_COOKIE_INVALID, 1, RIG_NOBODY));
	peer_get_endpoint(A->peer, &after);
	assert_memory_equal(&before, &after, sizeof(after));
}

/* ---- wishes ---- */

static unsigned int initiations(const struct rig_host *host)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++)
		n += load_le32(host->sent[i].data) == MESSAGE_INITIATION;
	return n;
}

/*
 * A keepalive is switched on for a peer that the worker's view does not have yet:
 * the wish is lost, but the next one counts.
 */
static void a_wish_before_its_peer_is_published(void **state)
{
	static const struct rig_options options = { .without_peer = true };
	struct rig *rig = *state;
	uint8_t ip[64];

	rig_publish(A, &options);
	peer_set_keepalive(A->peer, 25);
	rig_round(A);
	assert_int_equal(initiations(A), 0);
	rig_publish(A, NULL);
	rig->now_ns += RIG_SECOND;
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	assert_int_equal(initiations(A), 1);
}

/* Granted is granted: the next wish is another one, however soon. */
static void a_wish_right_after_another(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	for (unsigned int i = 1; i <= 3; i++) {
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
		rig_round(A);
		assert_int_equal(initiations(A), i);
		rig->now_ns += RIG_MS;
		peer_reset(A->peer);
	}
}

/* Whoever has just answered a handshake does not begin one. */
static void a_response_holds_initiations_back(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION], ip[64];

	make_initiation(rig, msg);
	inject(B, &A->address, msg, sizeof(msg));
	assert_int_equal(load_le32(B->sent[0].data), MESSAGE_RESPONSE);
	rig->now_ns += 4 * RIG_SECOND;
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_round(B);
	assert_int_equal(initiations(B), 0);
	rig_advance(rig, 2 * RIG_SECOND);
	assert_int_equal(initiations(B), 1);
}

/* ---- keys and what follows from them ---- */

static void ephemeral_keys_are_fresh(void **state)
{
	struct rig *rig = *state;
	uint8_t seen[6][KEY_SIZE], msg[INITIATION], zero[KEY_SIZE] = { 0 }, public[KEY_SIZE];
	unsigned int n = 0;

	secret_clamp(zero);
	secret_derive_public(public, zero);
	for (int i = 0; i < 3; i++) {
		make_initiation(rig, msg);
		memcpy(seen[n++], msg + offsetof(struct message_initiation, ephemeral), KEY_SIZE);
		rig_mark(B);
		inject(B, &A->address, msg, sizeof(msg));
		assert_int_equal(load_le32(B->sent[0].data), MESSAGE_RESPONSE);
		memcpy(seen[n++], B->sent[0].data + offsetof(struct message_response, ephemeral),
		       KEY_SIZE);
	}
	for (unsigned int i = 0; i < n; i++) {
		assert_memory_not_equal(seen[i], public, KEY_SIZE);
		for (unsigned int k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], KEY_SIZE);
	}
}

/* The initiator's first message is what waited, or a keepalive; the responder's wait ends with it. */
static void the_first_message_confirms(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	rig_learn(A, RIG_ADDR(0));
	/* B would send, but is not answered; then A begins, with nothing to send but that. */
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	rig_round(B);
	rig_mark(A);
	rig_mark(B);
	rig->now_ns += 100 * RIG_MS;
	peer_set_keepalive(A->peer, 25);
	rig_pump(rig);
	assert_int_equal(packets(A), 1);
	for (unsigned int i = 0; i < 2; i++) {
		struct rig_host *host = &rig->host[i];

		assert_true(rig_counted(host, DROP_NONE, 0, RIG_NOBODY));
		assert_int_equal(stats_read(&host->device->stats.events[EVENT_HANDSHAKE_DONE]), 1);
		assert_int_equal(deadline(host, TIMER_RETRANSMIT), 0);
		assert_int_equal(deadline(host, TIMER_WIPE), rig->now_ns + TIMERS_WIPE_NS);
		assert_true(stats_read(&host->peer->handshake_wall_ns) > 0);
	}
}

/* What waited is said instead of a keepalive, not beside it. */
static void no_keepalive_beside_data(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];
	unsigned int keepalives = 0;

	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	rig_mark(A);
	inject(A, &B->address, B->sent[0].data, B->sent[0].len);
	for (unsigned int i = 0; i < A->sent_count; i++)
		keepalives += A->sent[i].len == MESSAGE_DATA_OVERHEAD;
	assert_int_equal(A->sent_count, 2); /* hello, and the packet */
	assert_int_equal(keepalives, 0);
}

static void one_initiation_for_many_packets(void **state)
{
	struct rig *rig = *state;
	uint8_t ip[64];

	for (int i = 0; i < 50; i++) {
		rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
		rig_round(A);
		rig->now_ns += 90 * RIG_MS;
	}
	assert_int_equal(initiations(A), 1);
}

static void no_identity_says_and_hears_nothing(void **state)
{
	struct rig *rig = *state;
	uint8_t msg[INITIATION], ip[64];

	make_initiation(rig, msg);
	device_set_identity(B->device, NULL);
	rig_give_ip(B, ip, rig_make_udp(ip, RIG_ADDR(1), RIG_ADDR(0), 10));
	inject(B, &A->address, msg, sizeof(msg));
	assert_int_equal(B->sent_count, 0);
	assert_int_equal(
		rig_dropped(B, DROP_HANDSHAKE_MAC1) + rig_dropped(B, DROP_HANDSHAKE_INVALID), 1);
	/* Set again, it works again. */
	device_set_identity(B->device, B->private_key);
	make_initiation(rig, msg);
	rig_mark(B);
	inject(B, &A->address, msg, sizeof(msg));
	assert_int_equal(B->sent_count, 1);
	assert_int_equal(load_le32(B->sent[0].data), MESSAGE_RESPONSE);
}

static void another_identity_ends_all_sessions(void **state)
{
	static const uint8_t key[KEY_SIZE] = { 8, [31] = 0x40 };
	struct rig *rig = *state;

	rig_connect(rig, 0);
	device_set_identity(B->device, B->private_key);
	assert_non_null(peer_send_keypair(B->peer, rig->now_ns)); /* the same: nothing happens */
	device_set_identity(B->device, key);
	assert_null(peer_send_keypair(B->peer, rig->now_ns));
	rig_mark(B);
	tell_udp(rig, RIG_ADDR(0), RIG_ADDR(1));
	assert_true(rig_only_dropped(B, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
}

/* pitfall_19: the peer is removed while its handshake is under way, and its memory reused. */
static void pitfall_19_removed_during_its_handshake(void **state)
{
	static const struct rig_options without = { .without_peer = true };
	struct rig *rig = *state;
	uint8_t ip[64], response[RESPONSE];

	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_round(A);
	inject(B, &A->address, A->sent[0].data, A->sent[0].len);
	memcpy(response, B->sent[0].data, sizeof(response));
	peer_kill(A->peer);
	rig_publish(A, &without);
	peer_retire(A->peer);
	rig_round(A);
	quiesce_collect(&A->device->quiesce);
	A->peer = peer_create(A->device, B->public_key);
	assert_non_null(A->peer);
	peer_set_endpoint(A->peer, &B->address);
	rig_publish(A, NULL);
	rig_mark(A);
	inject(A, &B->address, response, sizeof(response));
	assert_true(rig_only_dropped(A, DROP_RX_UNKNOWN_INDEX, 1, RIG_NOBODY));
	/* The new one is a peer like any other. Its clock must not be behind what B saw. */
	rig->now_ns += 6 * RIG_SECOND;
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 10));
	rig_pump(rig);
	assert_non_null(peer_send_keypair(A->peer, rig->now_ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_test(accepted_initiation),
		rig_test(an_initiation_moves_no_known_endpoint),
		rig_test(wrong_mac1),
		rig_test(does_not_decrypt),
		rig_test(unknown_peer),
		rig_test(another_psk),
		rig_test(pitfall_18_the_same_initiation_twice),
		rig_test(two_initiations_within_twenty_ms),
		rig_test(responses),
		rig_test(the_queue_is_bounded),
		rig_test(a_full_queue_has_room_for_our_own_wishes),
		rig_test(a_refused_wish_comes_again),
		rig_test(load_is_answered_by_cookies),
		rig_test(the_way_in_with_a_cookie),
		rig_test(a_cookie_for_a_response),
		rig_test(cookies_nobody_asked_for),
		rig_test(a_wish_before_its_peer_is_published),
		rig_test(a_wish_right_after_another),
		rig_test(a_response_holds_initiations_back),
		rig_test(ephemeral_keys_are_fresh),
		rig_test(the_first_message_confirms),
		rig_test(no_keepalive_beside_data),
		rig_test(one_initiation_for_many_packets),
		rig_test(no_identity_says_and_hears_nothing),
		rig_test(another_identity_ends_all_sessions),
		rig_test(pitfall_19_removed_during_its_handshake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
