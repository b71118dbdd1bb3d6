/* SPDX-License-Identifier: MIT */
/* What workers put into a capture's ring, for whom, and what becomes of a ring that nobody empties. */
#include "unit/rig_test.h"

#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/capture.h"

#define SMALL (CAPTURE_HEAD + 4096)
#define LARGE (CAPTURE_HEAD + (1u << 20))

/* A capture on a host, and its reader. */
struct tap_view {
	struct capture capture;
	struct capture_ring *ring;
	uint8_t *memory;
	uint64_t tail, room;
	struct rig_host *host;
};

static void begin(struct tap_view *view, struct rig_host *host, const struct capture_filter *filter,
                  size_t size)
{
	view->memory = aligned_alloc(4096, size);
	assert_non_null(view->memory);
	memset(view->memory, 0, size);
	capture_init(&view->capture, filter, view->memory, size);
	view->ring = (void *)view->memory;
	view->tail = 0;
	view->room = size - CAPTURE_HEAD;
	view->host = host;
	worker_add_capture(host->worker, &view->capture);
}

static void end(struct tap_view *view)
{
	worker_remove_capture(view->host->worker, &view->capture);
	free(view->memory);
}

/* The next record of that type, others passed over; NULL: there is none. It stays until the next call. */
static const struct capture_record *take(struct tap_view *view, enum capture_type type)
{
	const struct capture_record *record;

	atomic_store(&view->ring->tail, view->tail);
	while (view->tail != atomic_load(&view->ring->head)) {
		record = (const void *)(view->memory + CAPTURE_HEAD + view->tail % view->room);
		assert_true(record->size >= 8 && record->size % 8 == 0);
		assert_true(view->tail % view->room + record->size <= view->room);
		view->tail += record->size;
		if (record->type == type)
			return record;
	}
	return NULL;
}

static const uint8_t *bytes_of(const struct capture_record *record)
{
	return (const uint8_t *)(record + 1) +
	       (record->place == CAPTURE_UDP ? sizeof(struct endpoint) : 0);
}

static struct capture_filter all(unsigned int what)
{
	return (struct capture_filter){ .what = what, .snaplen = CAPTURE_SNAPLEN_MAX };
}

static uint32_t send_one(struct rig *rig, uint8_t *ip, uint32_t payload)
{
	uint32_t len = rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), payload);

	rig_give_ip(A, ip, len);
	rig_round(A);
	return len;
}

static void what_goes_in_here_comes_out_there(void **state)
{
	struct rig *rig = *state;
	const struct capture_filter filter = all(CAPTURE_INNER);
	const struct capture_record *record;
	const struct capture_network *network;
	struct tap_view here, there;
	uint8_t ip[256];
	uint32_t len;

	rig_learn(B, RIG_ADDR(1));
	begin(&here, A, &filter, LARGE);
	begin(&there, B, &filter, LARGE);
	len = send_one(rig, ip, 61);
	rig_pump(rig);

	record = take(&here, CAPTURE_NETWORK);
	assert_non_null(record);
	network = (const void *)(record + 1);
	assert_string_equal(network->name, "net");
	assert_int_equal(network->bridged, 0);
	assert_int_equal(record->network, A->net->serial);
	record = take(&here, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->direction, CAPTURE_OUT);
	assert_int_equal(record->reason, DROP_NONE);
	assert_int_equal(record->place, A->net->port);
	assert_int_equal(record->network, A->net->serial);
	assert_memory_equal(record->peer, B->public_key, KEY_SIZE);
	/* Without the padding of the tunnel. */
	assert_int_equal(record->len, len);
	assert_int_equal(record->captured, len);
	assert_memory_equal(bytes_of(record), ip, len);
	assert_null(take(&here, CAPTURE_PACKET));

	record = take(&there, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->direction, CAPTURE_IN);
	assert_memory_equal(record->peer, A->public_key, KEY_SIZE);
	assert_int_equal(record->len, len);
	assert_memory_equal(bytes_of(record), ip, len);
	assert_null(take(&there, CAPTURE_PACKET));
	end(&here);
	end(&there);
}

static void drops_are_there_with_their_reason(void **state)
{
	struct rig *rig = *state;
	const struct capture_filter filter = all(CAPTURE_INNER);
	const struct capture_record *record;
	struct tap_view view;
	uint8_t ip[256];
	uint32_t len;

	begin(&view, A, &filter, LARGE);
	len = rig_make_udp(ip, "192.0.2.7", RIG_ADDR(1), 9);
	rig_give_ip(A, ip, len);
	rig_round(A);
	record = take(&view, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->reason, DROP_OUT_SOURCE);
	assert_int_equal(record->direction, CAPTURE_OUT);
	assert_false(record->has_peer);
	assert_int_equal(record->len, len);
	assert_memory_equal(bytes_of(record), ip, len);

	/* A peer's lie is shown once, as what it is. */
	len = rig_make_udp(ip, RIG_ADDR(2), RIG_ADDR(0), 16);
	rig_tell(B, ip, len, 0);
	record = take(&view, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->reason, DROP_IN_SOURCE);
	assert_int_equal(record->direction, CAPTURE_IN);
	assert_memory_equal(record->peer, B->public_key, KEY_SIZE);
	assert_memory_equal(bytes_of(record), ip, len);
	assert_null(take(&view, CAPTURE_PACKET));
	end(&view);
}

static void filters_leave_out_the_rest(void **state)
{
	struct rig *rig = *state;
	struct capture_filter peer = all(CAPTURE_INNER), other = peer, net = peer, away = peer,
			      short_one = peer;
	struct tap_view views[5];
	uint8_t ip[256];
	uint32_t len;

	peer.has_peer = other.has_peer = true;
	memcpy(peer.peer, B->public_key, KEY_SIZE);
	strcpy(net.network, "net");
	strcpy(away.network, "away");
	short_one.snaplen = 20;
	begin(&views[0], A, &peer, LARGE);
	begin(&views[1], A, &other, LARGE);
	begin(&views[2], A, &net, LARGE);
	begin(&views[3], A, &away, LARGE);
	begin(&views[4], A, &short_one, LARGE);
	len = send_one(rig, ip, 40);
	for (size_t i = 0; i < 5; i++) {
		const struct capture_record *record = take(&views[i], CAPTURE_PACKET);

		assert_true((record != NULL) == (i != 1 && i != 3));
		if (record)
			assert_int_equal(record->captured, i == 4 ? 20 : len);
		if (record)
			assert_int_equal(record->len, len);
	}
	/* In any order. */
	end(&views[2]);
	end(&views[0]);
	end(&views[4]);
	end(&views[1]);
	(void)send_one(rig, ip, 40);
	end(&views[3]);
	(void)send_one(rig, ip, 40);
}

static void datagrams_both_ways(void **state)
{
	struct rig *rig = *state;
	struct capture_filter filter = all(CAPTURE_OUTER);
	const struct capture_record *record;
	struct endpoint endpoint;
	struct tap_view here, there;
	uint8_t ip[256];

	/* What comes from a peer is known by its index. */
	filter.has_peer = true;
	memcpy(filter.peer, A->public_key, KEY_SIZE);
	begin(&there, B, &filter, LARGE);
	filter.has_peer = false;
	begin(&here, A, &filter, LARGE);
	rig_mark(A);
	(void)send_one(rig, ip, 33);
	rig_hand_over(A);
	rig_round(B);
	record = take(&here, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->place, CAPTURE_UDP);
	assert_int_equal(record->direction, CAPTURE_OUT);
	assert_int_equal(record->len, A->sent[0].len);
	assert_memory_equal(bytes_of(record), A->sent[0].data, A->sent[0].len);
	memcpy(&endpoint, record + 1, sizeof(endpoint));
	assert_true(endpoint_same_remote(&endpoint, &B->address));
	record = take(&there, CAPTURE_PACKET);
	assert_non_null(record);
	assert_int_equal(record->direction, CAPTURE_IN);
	/* As it came, not as it was opened in place. */
	assert_memory_equal(bytes_of(record), A->sent[0].data, A->sent[0].len);
	memcpy(&endpoint, record + 1, sizeof(endpoint));
	assert_true(endpoint_same_remote(&endpoint, &A->address));
	assert_memory_equal(record->peer, A->public_key, KEY_SIZE);
	end(&here);
	end(&there);
}

static void keys_of_handshakes_made_meanwhile(void **state)
{
	struct rig *rig = *state;
	const struct capture_filter filter = all(CAPTURE_OUTER | CAPTURE_KEYS);
	const struct capture_filter without = all(CAPTURE_OUTER);
	const struct capture_record *record;
	const struct capture_key *key;
	struct tap_view with[2], none;
	uint8_t public_key[KEY_SIZE];

	begin(&with[0], A, &filter, LARGE);
	begin(&with[1], B, &filter, LARGE);
	begin(&none, A, &without, LARGE);
	rig_connect(rig, 0);
	for (size_t i = 0; i < 2; i++) {
		const size_t at = i == 0 ? offsetof(struct message_initiation, ephemeral)
		                         : offsetof(struct message_response, ephemeral);
		const uint8_t type = i == 0 ? MESSAGE_INITIATION : MESSAGE_RESPONSE;

		record = take(&with[i], CAPTURE_KEY);
		assert_non_null(record);
		assert_memory_equal(record->peer, rig->host[1 - i].public_key, KEY_SIZE);
		key = (const void *)(record + 1);
		secret_derive_public(public_key, key->ephemeral);
		/* Before the message that it is for. */
		do
			record = take(&with[i], CAPTURE_PACKET);
		while (record && bytes_of(record)[0] != type);
		assert_non_null(record);
		assert_memory_equal(bytes_of(record) + at, public_key, KEY_SIZE);
	}
	assert_null(take(&none, CAPTURE_KEY));
	end(&with[0]);
	end(&with[1]);
	end(&none);
}

static void what_does_not_fit_is_counted(void **state)
{
	struct rig *rig = *state;
	const struct capture_filter filter = all(CAPTURE_INNER);
	const struct capture_record *record;
	struct tap_view view;
	unsigned int taken = 0;
	uint64_t lost;
	uint8_t ip[512];
	uint32_t len;

	begin(&view, A, &filter, SMALL);
	for (unsigned int i = 0; i < 40; i++)
		(void)send_one(rig, ip, 300);
	while ((record = take(&view, CAPTURE_PACKET)))
		taken++;
	lost = atomic_load(&view.ring->lost[A->net->port]);
	assert_true(taken >= 8 && taken < 12);
	assert_int_equal(taken + lost, 40);
	assert_int_equal(view.capture.packets, taken);
	assert_int_equal(view.capture.lost, lost);

	/* Emptied, it goes on, round and round; nothing is cut in two at its end. */
	for (unsigned int i = 0; i < 200; i++) {
		len = send_one(rig, ip, 10 + 7 * (i % 40));
		record = take(&view, CAPTURE_PACKET);
		assert_non_null(record);
		assert_int_equal(record->len, len);
		assert_memory_equal(bytes_of(record), ip, len);
	}
	assert_int_equal(atomic_load(&view.ring->lost[A->net->port]), lost);
	end(&view);
}

/* What a reader may do to memory that is shared with it. */
static void a_mad_reader_harms_nobody(void **state)
{
	static const uint64_t tails[] = { 1, 4096, 1u << 20, UINT64_MAX, UINT64_MAX / 2 };
	struct rig *rig = *state;
	const struct capture_filter filter = all(CAPTURE_INNER);
	struct tap_view view;
	uint8_t ip[512];

	for (size_t t = 0; t < sizeof(tails) / sizeof(tails[0]); t++) {
		begin(&view, A, &filter, SMALL);
		for (unsigned int i = 0; i < 60; i++) {
			atomic_store(&view.ring->tail, tails[t]);
			atomic_store(&view.ring->head, tails[t] ^ i);
			memset(view.memory + CAPTURE_HEAD, 0xff, 256);
			(void)send_one(rig, ip, 300);
		}
		/* Packets went their way, and the sanitizers saw nothing. */
		assert_int_equal(view.capture.packets + view.capture.lost, 60);
		end(&view);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(what_goes_in_here_comes_out_there),
		rig_connected_test(drops_are_there_with_their_reason),
		rig_connected_test(filters_leave_out_the_rest),
		rig_connected_test(datagrams_both_ways),
		rig_test(keys_of_handshakes_made_meanwhile),
		rig_connected_test(what_does_not_fit_is_counted),
		rig_connected_test(a_mad_reader_harms_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
