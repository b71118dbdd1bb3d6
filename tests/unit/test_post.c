/* SPDX-License-Identifier: MIT */
/* Control messages of and for the control thread: who may send which, how many, how fast. */
#include "unit/rig_test.h"

#include <errno.h>
#include <poll.h>
#include "dataplane/join.h"
#include "dataplane/post.h"

static bool is_readable(const struct rig_host *host)
{
	struct pollfd fd = { .fd = post_fd(host->device->post), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

/* B says so to A. What A dropped for @reason. */
static uint64_t hear(struct rig *rig, uint8_t type, enum drop reason)
{
	const uint8_t message[] = { 0x10, type, 0, 4, 0x77, 0x77, 0, 0 };

	rig_mark(A);
	rig_tell(B, message, sizeof(message), 0);
	return rig_dropped(A, reason);
}

static void set_role(struct rig *rig, enum peer_role role)
{
	peer_set_role(A->peer, role);
}

static void who_may_send_which(void **state)
{
	static const struct {
		enum peer_role role;
		uint8_t type;
		enum drop reason;
	} rows[] = {
		{ PEER_ORDINARY, 9, DROP_IN_JOIN },
		{ PEER_ORDINARY, 10, DROP_IN_JOIN },
		{ PEER_ORDINARY, 11, DROP_IN_INTRODUCTION },
		{ PEER_ORDINARY, 12, DROP_NONE },
		{ PEER_INTRODUCER, 9, DROP_IN_JOIN },
		{ PEER_INTRODUCER, 10, DROP_IN_JOIN },
		{ PEER_INTRODUCER, 11, DROP_NONE },
		{ PEER_INTRODUCER, 12, DROP_NONE },
		{ PEER_INVITED, 9, DROP_NONE },
		{ PEER_INVITED, 10, DROP_IN_JOIN },
		{ PEER_INVITED, 11, DROP_IN_JOIN },
		{ PEER_INVITED, 12, DROP_IN_JOIN },
	};
	struct rig *rig = *state;
	static struct post_message message;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_role(rig, rows[i].role);
		rig_advance(rig, POST_SPACING_NS);
		if (rows[i].reason != DROP_NONE) {
			assert_int_equal(hear(rig, rows[i].type, rows[i].reason), 1);
			assert_false(post_take(A->device->post, &message));
			continue;
		}
		(void)hear(rig, rows[i].type, DROP_IN_JOIN);
		assert_true(is_readable(A));
		assert_true(post_take(A->device->post, &message));
		assert_int_equal(message.bytes[1], rows[i].type);
		assert_memory_equal(message.from, B->public_key, KEY_SIZE);
		assert_false(post_take(A->device->post, &message));
		assert_false(is_readable(A));
	}
}

/* An invitation gives nothing else: no announcement, no echo. */
static void an_invited_peer_may_join_alone(void **state)
{
	struct rig *rig = *state;

	set_role(rig, PEER_INVITED);
	for (uint8_t type = 2; type <= 6; type++)
		assert_int_equal(hear(rig, type, DROP_IN_JOIN), 1);
	assert_int_equal(hear(rig, 1, DROP_IN_JOIN), 0);
	assert_int_equal(hear(rig, 200, DROP_IN_JOIN), 0); /* of a version to come: ignored */
}

static void no_peer_is_faster_than_that(void **state)
{
	struct rig *rig = *state;
	static struct post_message message;

	rig_advance(rig, RIG_SECOND);
	assert_int_equal(hear(rig, 12, DROP_IN_POST), 0);
	assert_int_equal(hear(rig, 12, DROP_IN_POST), 1);
	rig_advance(rig, POST_SPACING_NS - RIG_MS);
	assert_int_equal(hear(rig, 12, DROP_IN_POST), 1);
	rig_advance(rig, RIG_MS);
	assert_int_equal(hear(rig, 12, DROP_IN_POST), 0);
	assert_true(post_take(A->device->post, &message));
	assert_true(post_take(A->device->post, &message));
	assert_false(post_take(A->device->post, &message));
}

static void the_box_has_an_end(void **state)
{
	struct rig *rig = *state;
	static struct post_message message;

	for (unsigned int i = 0; i < POST_BOX + 3; i++) {
		rig_advance(rig, POST_SPACING_NS);
		assert_int_equal(hear(rig, 12, DROP_IN_POST), i >= POST_BOX);
	}
	for (unsigned int i = 0; i < POST_BOX; i++)
		assert_true(post_take(A->device->post, &message));
	assert_false(post_take(A->device->post, &message));
	rig_advance(rig, POST_SPACING_NS);
	assert_int_equal(hear(rig, 12, DROP_IN_POST), 0);
	assert_true(is_readable(A) && post_take(A->device->post, &message));
}

static unsigned int count_sent(struct rig_host *host, uint8_t type)
{
	static uint8_t plain[RIG_PACKET_MAX];
	unsigned int n = 0;

	for (unsigned int i = 0; i < host->sent_count; i++) {
		uint32_t len = 0;

		if (rig_unseal(host, &host->sent[i], plain, &len) && len >= 2)
			n += plain[0] == WIRE_CONTROL_FIRST && plain[1] == type;
	}
	return n;
}

static void what_is_sent_goes_once(void **state)
{
	const uint8_t message[] = { 0x10, 12, 0, 0 };
	struct rig *rig = *state;

	rig_mark(A);
	assert_int_equal(post_send(A->peer, message, sizeof(message)), 0);
	assert_int_equal(post_send(A->peer, message, sizeof(message)), 0);
	rig_round(A);
	rig_advance(rig, RIG_SECOND);
	assert_int_equal(count_sent(A, 12), 1);
	assert_int_equal(post_send(A->peer, message, POST_SIZE_MAX + 1), -EMSGSIZE);
}

/* Two who have the key of one invitation have a session each. Whose is the newer one does not matter. */
static void an_answer_goes_to_who_asked(void **state)
{
	const uint8_t message[] = { 0x10, 10, 0, 0 };
	static struct post_message first, second;
	const struct keypair *kp;
	struct rig *rig = *state;
	uint8_t ip[256];

	rig_advance(rig, RIG_SECOND);
	(void)hear(rig, 12, DROP_IN_POST);
	assert_true(post_take(A->device->post, &first));
	/* The one that began the session begins the next. */
	rig_advance(rig, 121 * RIG_SECOND);
	rig_give_ip(A, ip, rig_make_udp(ip, RIG_ADDR(0), RIG_ADDR(1), 68));
	rig_pump(rig);
	(void)hear(rig, 12, DROP_IN_POST);
	assert_true(post_take(A->device->post, &second));
	assert_int_not_equal(first.session, second.session);

	kp = atomic_load(&A->peer->session.previous);
	assert_int_equal(kp->local_index, first.session);
	for (unsigned int i = 0; i < 2; i++) {
		rig_mark(A);
		assert_int_equal(post_answer(A->peer, i ? second.session : first.session, message,
		                             sizeof(message)),
		                 0);
		rig_round(A);
		assert_int_equal(A->sent_count, 1);
		assert_int_equal(load_le32(A->sent[0].data + 4), kp->remote_index);
		kp = atomic_load(&A->peer->session.current);
	}
	/* One that is no more: nobody gets it. */
	rig_mark(A);
	assert_int_equal(
		post_answer(A->peer, first.session ^ second.session, message, sizeof(message)), 0);
	rig_round(A);
	assert_true(rig_only_dropped(A, DROP_OUT_KEY_EXPIRED, 1, RIG_PEER));
}

static void without_a_session_one_is_asked_for(void **state)
{
	struct rig *rig = *state;

	rig_mark(A);
	assert_int_equal(post_send(A->peer, NULL, 0), 0);
	rig_round(A);
	rig_pump(rig);
	assert_true(peer_has_session(A->peer, rig->now_ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_connected_test(who_may_send_which),
		rig_connected_test(an_invited_peer_may_join_alone),
		rig_connected_test(no_peer_is_faster_than_that),
		rig_connected_test(the_box_has_an_end),
		rig_connected_test(what_is_sent_goes_once),
		rig_connected_test(an_answer_goes_to_who_asked),
		rig_test(without_a_session_one_is_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
