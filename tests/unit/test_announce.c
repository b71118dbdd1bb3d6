/* SPDX-License-Identifier: MIT */
/* Telling: news to members, whatever a network or a hostile member does to them. */
#include "unit/announce_lab.h"

/* ---- telling ---- */

static void what_comes_is_told_at_once(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg;

	come_mac(lab, 0, 1);
	rig_round(HOST(0));
	assert_int_equal(messages(HOST(0)), 1);
	assert_true(message(HOST(0), 0, &msg));
	assert_int_equal(msg.type, ANNOUNCE_STATIONS);
	assert_int_equal(msg.vni, VNI);
	assert_int_equal(msg.boot, HOST(0)->device->boot);
	assert_int_equal(msg.from, 0);
	assert_int_equal(msg.to, 1);
	assert_true(msg.end);
	pump(lab);
	assert_true(is_known(lab, 1, 1));
	assert_int_equal(NEWS(0)->acked, 1);
	assert_int_equal(NEWS(1)->heard, 1);
	/* That is all that is to be said. */
	advance(lab, 100 * RIG_SECOND, RIG_SECOND);
	assert_int_equal(events(HOST(0), EVENT_ANNOUNCED),
	                 1 + 2 /* and one a network when the session began */);
}

static void changes_are_gathered(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg;
	uint64_t start = lab->rig->now_ns;

	come_mac(lab, 0, 1);
	pump(lab);
	assert_true(is_known(lab, 1, 1));
	for (uint32_t i = 2; i < 12; i++) {
		come_mac(lab, 0, i);
		rig_round(HOST(0));
		assert_int_equal(messages(HOST(0)), 0);
		assert_int_equal(HOST(0)->deadline_ns, start + ANNOUNCE_GATHER_NS);
		lab->rig->now_ns += RIG_MS;
	}
	go_mac(lab, 0, 1);
	lab->rig->now_ns = start + ANNOUNCE_GATHER_NS;
	rig_round(HOST(0));
	assert_int_equal(messages(HOST(0)), 1);
	assert_true(message(HOST(0), 0, &msg));
	assert_int_equal(msg.count, 11);
	assert_int_equal(msg.from, 1);
	pump(lab);
	assert_true(is_known(lab, 1, 11));
	assert_false(is_known(lab, 1, 1));
}

/* More than one message can hold: they follow each other without a wait. */
static void all_is_told_whatever_its_size(void **state)
{
	struct lab *lab = *state;
	uint64_t now = lab->rig->now_ns;
	struct announce_message msg;
	uint8_t addr[16] = { 0xfd, 7 };

	for (uint32_t i = 1; i <= 256; i++) {
		struct fdb_key mac = mac_key(i), ip;

		come_mac(lab, 0, i);
		store_be32(addr + 12, i);
		ip = fdb_key_ip(6, addr);
		come(lab, 0, &ip, mac.addr);
	}
	rig_round(HOST(0));
	assert_int_equal(messages(HOST(0)), 1);
	assert_true(message(HOST(0), 0, &msg));
	assert_false(msg.end);
	assert_true(msg.count > 30);
	assert_true(HOST(0)->sent[0].len <= ANNOUNCE_SIZE_MAX + MESSAGE_DATA_OVERHEAD);
	pump(lab);
	assert_int_equal(lab->rig->now_ns, now);
	for (uint32_t i = 1; i <= 256; i++)
		assert_true(is_known(lab, 1, i));
	assert_int_equal(NEWS(0)->acked, fdb_last_news(FDB(0)));
	assert_int_equal(NEWS(0)->telling_whole, 0);
	assert_false(NEWS(1)->whole);
}

static void messages_are_as_small_as_the_peer_wants(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg;

	atomic_store(&HOST(0)->peer->hello.tunnel_mtu, 199);
	for (uint32_t i = 1; i <= 30; i++)
		come_mac(lab, 0, i);
	rig_round(HOST(0));
	assert_true(message(HOST(0), 0, &msg));
	/* Each takes 20 bytes, and 52 are always there: 192 of them are full. */
	assert_int_equal(msg.count, 7);
	assert_true(HOST(0)->sent[0].len <= 199 + MESSAGE_DATA_OVERHEAD);
	/* Of three limits the least. */
	lab->mtu = 150;
	publish(lab, 0, GUARD_LEARN);
	rig_mark(HOST(0));
	rig_advance(lab->rig, RIG_SECOND);
	assert_true(message(HOST(0), 0, &msg));
	assert_int_equal(msg.count, 4);
	atomic_store(&HOST(0)->peer->tunnel_mtu, ANNOUNCE_SIZE_MIN);
	rig_mark(HOST(0));
	rig_advance(lab->rig, RIG_SECOND);
	assert_true(message(HOST(0), 0, &msg));
	assert_int_equal(msg.count, 3);
	/* Nothing would fit. */
	atomic_store(&HOST(0)->peer->hello.tunnel_mtu, ANNOUNCE_SIZE_MIN - 1);
	rig_mark(HOST(0));
	rig_advance(lab->rig, RIG_SECOND);
	assert_int_equal(messages(HOST(0)), 0);
}

static void only_who_has_the_network_is_told(void **state)
{
	struct lab *lab = *state;
	struct hello *hello = &HOST(0)->peer->hello;

	atomic_store(&hello->features, WIRE_FEATURE_CHECKSUM_HINT);
	come_mac(lab, 0, 1);
	rig_advance(lab->rig, RIG_SECOND);
	assert_int_equal(HOST(0)->sent_count, 0);
	atomic_store(&hello->features, HELLO_FEATURES);
	atomic_store(&hello->vnis[0], VNI + 1);
	rig_advance(lab->rig, RIG_SECOND);
	assert_int_equal(HOST(0)->sent_count, 0);
	atomic_store(&hello->vnis[0], VNI);
	atomic_store(&hello->version, 0);
	come_mac(lab, 0, 2);
	rig_advance(lab->rig, 10 * RIG_SECOND);
	assert_int_equal(HOST(0)->sent_count, 0);
}

/* Host 1 says hello, and hears nothing of what follows. */
static void say_hello_back(struct lab *lab)
{
	hello_changed(HOST(1)->peer);
	rig_round(HOST(1));
	for (unsigned int i = 0; i < HOST(1)->sent_count; i++)
		rig_give_datagram(HOST(0), &HOST(1)->address, HOST(1)->sent[i].data,
		                  HOST(1)->sent[i].len, 0, 0);
	rig_round(HOST(0));
	rig_mark(HOST(1));
}

static bool message_of(struct rig_host *host, uint32_t vni, struct announce_message *msg)
{
	for (unsigned int n = 0; message(host, n, msg); n++)
		if (msg->vni == vni)
			return true;
	return false;
}

/* After 0.3, 0.9, 2.1, 4.5, 9.3 and 18.9 s, and then no more until the next hello. */
static void what_is_not_acknowledged_is_repeated(void **state)
{
	static const unsigned int at[] = { 0, 3, 9, 21, 45, 93, 189 };
	struct lab *lab = *state;
	unsigned int sent = 0;
	struct announce_message msg;

	come_mac(lab, 0, 1);
	for (unsigned int tenth = 0; tenth < 600; tenth++) {
		rig_round(HOST(0));
		if (messages(HOST(0)) != sent) {
			assert_true(sent < sizeof(at) / sizeof(*at));
			assert_int_equal(tenth, at[sent]);
			assert_int_equal(messages(HOST(0)), ++sent);
		}
		lab->rig->now_ns += 100 * RIG_MS;
	}
	assert_int_equal(sent, 7);
	come_mac(lab, 0, 2);
	rig_round(HOST(0));
	assert_int_equal(messages(HOST(0)), sent);
	/* The session's first hello, or one that says something new. */
	rig_mark(HOST(0));
	atomic_store(&HOST(0)->peer->hello.version, 0);
	say_hello_back(lab);
	assert_true(message_of(HOST(0), VNI, &msg));
	assert_int_equal(msg.to, 2);
	assert_int_equal(NEWS(0)->attempts, 1);
	/* Its next life wants to hear of both. */
	HOST(1)->device->boot++;
	rig_mark(HOST(0));
	hello_changed(HOST(1)->peer);
	advance(lab, ANNOUNCE_RETRY_NS, ANNOUNCE_RETRY_NS);
	assert_true(is_known(lab, 1, 1));
	assert_true(is_known(lab, 1, 2));
}

static struct announce_message ack_of(struct lab *lab, uint64_t to)
{
	return (struct announce_message){
		.type = ANNOUNCE_ACK, .vni = VNI, .boot = HOST(1)->device->boot, .to = to
	};
}

/* A session's first hello, and one that says other things, is a beginning; its repetition none. */
static void what_a_hello_begins(void **state)
{
	struct lab *lab = *state;
	struct hello *hello = &HOST(1)->peer->hello;
	uint64_t boot = HOST(0)->device->boot;
	struct announce_message ack = ack_of(lab, 0);

	/* It had two networks, and says that it has one. */
	say_hello(lab, boot);
	assert_int_equal(messages(HOST(1)), 1);
	say(lab, &ack);
	rig_mark(HOST(1));
	lab->rig->now_ns += RIG_SECOND;
	say_hello(lab, boot);
	assert_int_equal(messages(HOST(1)), 0);
	lab->rig->now_ns += RIG_SECOND;
	atomic_store(&hello->vnis[0], VNI + 1);
	say_hello(lab, boot);
	assert_int_equal(messages(HOST(1)), 1);
	say(lab, &ack);
	rig_mark(HOST(1));
	lab->rig->now_ns += RIG_SECOND;
	say_hello(lab, boot + 1);
	assert_int_equal(messages(HOST(1)), 1);
	say(lab, &ack);
	rig_mark(HOST(1));
	lab->rig->now_ns += RIG_SECOND;
	atomic_store(&hello->version, 0);
	say_hello(lab, boot + 1);
	assert_int_equal(messages(HOST(1)), 1);
}

/* What the other end hears of: networks of which it is a member, and no other. */
static void hello_names_what_is_granted(void **state)
{
	struct lab *lab = *state;
	struct hello_info info;

	hello_get_info(&HOST(1)->peer->hello, &info);
	assert_int_equal(info.vni_count, 2);
	assert_int_equal(info.vnis[0], VNI);
	assert_int_equal(info.vnis[1], VNI_MORE);
	member_retire(lab->side[0].other);
	lab->side[0].other = NULL;
	publish(lab, 0, GUARD_LEARN);
	hello_changed(HOST(0)->peer);
	pump(lab);
	hello_get_info(&HOST(1)->peer->hello, &info);
	assert_int_equal(info.vni_count, 1);
	assert_int_equal(info.vnis[0], VNI_MORE);
	assert_int_equal(info.boot, HOST(0)->device->boot);
}

/* A member that dies again and again, or says so, is told everything three times a second. */
static void many_lives_are_told_little(void **state)
{
	struct lab *lab = *state;
	uint64_t boot = HOST(0)->device->boot;
	unsigned int sent = 0;

	for (uint32_t i = 1; i <= 200; i++)
		come_mac(lab, 1, i);
	for (unsigned int ms = 0; ms < 3000; ms += 10) {
		rig_mark(HOST(1));
		say_hello(lab, ++boot);
		sent += messages(HOST(1));
		lab->rig->now_ns += 10 * RIG_MS;
	}
	assert_in_range(sent, 10, 11);
}

static void networks_are_told_apart(void **state)
{
	struct lab *lab = *state;
	struct fdb_key seven = mac_key(7), nine = mac_key(9);
	struct fdb *more = lab->side[0].more->fdb, *there = lab->side[1].more->fdb;
	struct fdb_question question;
	struct fdb_place place;
	bool ask;

	come(lab, 0, &seven, seven.addr);
	assert_int_equal(fdb_claim(more, &lab->side[0].more->local, &nine, nine.addr, FDB_LEARNED,
	                           lab->rig->now_ns, &ask, &question),
	                 FDB_CAME);
	pump(lab);
	assert_true(is_known(lab, 1, 7));
	assert_false(is_known(lab, 1, 9));
	assert_true(fdb_lookup(there, &nine, lab->rig->now_ns, &place));
	assert_ptr_equal(place.owner, lab->side[1].other_in_more);
	assert_false(fdb_lookup(there, &seven, lab->rig->now_ns, &place));
	/* Each waits for what it waits for: the later is not forgotten for the earlier. */
	lab->loss = 1000;
	come_mac(lab, 0, 1);
	advance(lab, RIG_SECOND, 100 * RIG_MS);
	fdb_withdraw(more, &lab->side[0].more->local, &nine, lab->rig->now_ns);
	advance(lab, 100 * RIG_MS, 100 * RIG_MS);
	lab->loss = 0;
	advance(lab, 2 * RIG_SECOND, 100 * RIG_MS);
	assert_true(is_known(lab, 1, 1));
	assert_false(fdb_lookup(there, &nine, lab->rig->now_ns, &place));
}

static void compare(struct lab *lab, uint32_t count)
{
	for (unsigned int i = 0; i < 2; i++) {
		for (uint32_t n = 1; n <= count; n++) {
			struct fdb_key key = mac_key(n + 1000 * i);
			bool here = owner(lab, i, &key) == &NET(i)->local;

			if (is_known(lab, !i, n + 1000 * i) != here)
				fail_msg("host %u, station %u", i, n);
		}
		assert_int_equal(NEWS(i)->acked, fdb_last_news(FDB(i)));
		assert_int_equal(NEWS(!i)->heard, fdb_last_news(FDB(i)));
	}
}

/* Stations come and go on both sides while a third of the messages is lost. */
static void loss_does_not_matter(void **state)
{
	struct lab *lab = *state;

	for (unsigned int round = 0; round < 5; round++) {
		lab->loss = 333;
		for (unsigned int step = 0; step < 200; step++) {
			unsigned int i = unit_random(&lab->seed) & 1;
			uint32_t n = 1 + (uint32_t)(unit_random(&lab->seed) % 200) + 1000 * i;
			struct fdb_key key = mac_key(n);

			if (owner(lab, i, &key))
				go_mac(lab, i, n);
			else
				come_mac(lab, i, n);
			advance(lab, 7 * RIG_MS, 7 * RIG_MS);
		}
		lab->loss = 0;
		/* No more than the longest wait there was. */
		advance(lab, 20 * RIG_SECOND, 100 * RIG_MS);
		compare(lab, 200);
	}
}

/* What went is forgotten by the log while the peer cannot be reached. */
static void who_was_away_is_told_everything(void **state)
{
	struct lab *lab = *state;
	uint64_t said;

	for (uint32_t i = 1; i <= 150; i++)
		come_mac(lab, 0, i);
	pump(lab);
	assert_true(is_known(lab, 1, 150));
	lab->loss = 1000;
	for (uint32_t i = 1; i <= 150; i += 2)
		go_mac(lab, 0, i);
	advance(lab, FDB_GONE_NS + RIG_SECOND, RIG_SECOND);
	for (uint32_t i = 151; i <= 200; i++)
		come_mac(lab, 0, i);
	advance(lab, RIG_SECOND, RIG_SECOND);
	assert_true(is_known(lab, 1, 1));
	lab->loss = 0;
	said = events(HOST(0), EVENT_ANNOUNCED);
	/* Past what the last attempt makes the next wait. */
	lab->rig->now_ns += RIG_SECOND;
	assert_int_equal(NEWS(0)->acked, 150);
	atomic_store(&HOST(0)->peer->hello.version, 0);
	hello_changed(HOST(1)->peer);
	pump(lab);
	compare(lab, 200);
	/* 75 and 50 stations in 3 messages, and one of the other network. */
	assert_int_equal(events(HOST(0), EVENT_ANNOUNCED), said + 4);
}

/* The newest number is of what is forgotten: all there is ends with it nevertheless. */
static void what_is_forgotten_needs_no_message(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg;

	lab->loss = 1000;
	come_mac(lab, 0, 1);
	come_mac(lab, 0, 2);
	go_mac(lab, 0, 2);
	advance(lab, FDB_GONE_NS + RIG_SECOND, RIG_SECOND);
	lab->loss = 0;
	rig_mark(HOST(0));
	atomic_store(&HOST(0)->peer->hello.version, 0);
	say_hello_back(lab);
	assert_true(message_of(HOST(0), VNI, &msg));
	assert_int_equal(msg.count, 1);
	assert_int_equal(msg.from, 0);
	assert_int_equal(msg.to, 3);
	assert_true(msg.end);
}

/* The member was taken and granted again at the other end: it knows nothing, and says so. */
static void who_forgot_is_told_again(void **state)
{
	struct lab *lab = *state;
	struct side *side = &lab->side[1];

	come_mac(lab, 0, 1);
	pump(lab);
	member_retire(side->other);
	side->other = member_create(side->network, HOST(1)->peer);
	assert_non_null(side->other);
	publish(lab, 1, GUARD_LEARN);
	assert_false(is_known(lab, 1, 1));
	/* By the next change, or the next hello that differs. */
	lab->rig->now_ns += RIG_SECOND;
	come_mac(lab, 0, 2);
	pump(lab);
	advance(lab, RIG_SECOND, 100 * RIG_MS);
	assert_true(is_known(lab, 1, 1));
	assert_true(is_known(lab, 1, 2));
	assert_int_equal(rig_dropped(HOST(1), DROP_IN_ANNOUNCE), 1);
}

/* The same, and it says so by a hello: then nobody waits. */
static void who_forgot_and_says_hello_is_told_at_once(void **state)
{
	struct lab *lab = *state;

	for (uint32_t i = 1; i <= 100; i++)
		come_mac(lab, 0, i);
	pump(lab);
	fdb_lock(FDB(1));
	*NEWS(1) = (struct member_news){ .boot = NEWS(1)->boot };
	fdb_unlock(FDB(1));
	fdb_forget(FDB(1), lab->side[1].other, lab->rig->now_ns);
	lab->rig->now_ns += RIG_SECOND;
	atomic_store(&HOST(0)->peer->hello.version, 0);
	hello_changed(HOST(1)->peer);
	pump(lab);
	compare(lab, 100);
}

/* A network is configured where stations are already. */
static void a_new_member_is_told_without_news(void **state)
{
	struct lab *lab = *state;
	struct side *side = &lab->side[0];
	struct member *other = side->other;

	side->other = NULL;
	publish(lab, 0, GUARD_LEARN);
	come_mac(lab, 0, 1);
	pump(lab);
	assert_false(is_known(lab, 1, 1));
	member_retire(other);
	side->other = member_create(side->network, HOST(0)->peer);
	assert_non_null(side->other);
	publish(lab, 0, GUARD_LEARN);
	pump(lab);
	assert_true(is_known(lab, 1, 1));
}

/* ---- acknowledgements ---- */

static void acknowledgements_that_cannot_be_are_none(void **state)
{
	struct lab *lab = *state;
	struct announce_message ack;

	come_mac(lab, 1, 1);
	come_mac(lab, 1, 2);
	rig_round(HOST(1));
	assert_int_equal(NEWS(1)->sent_to, 2);
	rig_mark(HOST(1));
	ack = ack_of(lab, 3);
	say(lab, &ack);
	ack = ack_of(lab, UINT64_MAX);
	say(lab, &ack);
	ack = ack_of(lab, 2);
	ack.boot++;
	say(lab, &ack);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_ANNOUNCE, 3, RIG_PEER));
	assert_int_equal(NEWS(1)->acked, 0);
	/* The right one; and again, which is no fault. */
	ack = ack_of(lab, 2);
	rig_mark(HOST(1));
	say(lab, &ack);
	say(lab, &ack);
	assert_true(rig_only_dropped(HOST(1), DROP_NONE, 0, 0));
	assert_int_equal(NEWS(1)->acked, 2);
	/* Late, when the next is out. */
	lab->rig->now_ns += RIG_SECOND;
	come_mac(lab, 1, 3);
	come_mac(lab, 1, 4);
	rig_round(HOST(1));
	rig_mark(HOST(1));
	say(lab, &ack);
	assert_true(rig_only_dropped(HOST(1), DROP_NONE, 0, 0));
	assert_int_equal(NEWS(1)->attempts, 1);
	/* Of a part of it: the rest follows. */
	ack.to = 3;
	say(lab, &ack);
	assert_true(message(HOST(1), 0, &ack));
	assert_int_equal(ack.from, 3);
	assert_int_equal(ack.to, 4);
	ack = ack_of(lab, 4);
	say(lab, &ack);
	rig_mark(HOST(1));
	/* Nothing is out: nothing can be acknowledged. */
	ack = ack_of(lab, 5);
	say(lab, &ack);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_ANNOUNCE, 1, RIG_PEER));
}

/* A member that always says that it has nothing gets little for it. */
static void going_back_costs_a_wait(void **state)
{
	struct lab *lab = *state;
	unsigned int sent = 0, late = 0;

	for (uint32_t i = 1; i <= 200; i++)
		come_mac(lab, 1, i);
	say_hello(lab, HOST(0)->device->boot);
	atomic_store(&HOST(1)->peer->hello.version, 0);
	say_hello(lab, HOST(0)->device->boot);
	for (unsigned int ms = 0; ms < 100000; ms += 10) {
		struct announce_message msg, ack;

		rig_mark(HOST(1));
		rig_round(HOST(1));
		for (unsigned int n = 0; message(HOST(1), n, &msg); n++) {
			sent++;
			late += ms > 70000;
			ack = ack_of(lab, msg.to);
			say(lab, &ack);
		}
		ack = ack_of(lab, 0);
		say(lab, &ack);
		lab->rig->now_ns += 10 * RIG_MS;
	}
	assert_in_range(sent, 20, 80);
	assert_true(late > 0);
	/* A hello ends the penalty. */
	atomic_store(&HOST(1)->peer->hello.version, 0);
	say_hello(lab, HOST(0)->device->boot);
	assert_int_equal(NEWS(1)->setbacks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(what_comes_is_told_at_once),
		lab_test(changes_are_gathered),
		lab_test(all_is_told_whatever_its_size),
		lab_test(messages_are_as_small_as_the_peer_wants),
		lab_test(only_who_has_the_network_is_told),
		lab_test(what_is_not_acknowledged_is_repeated),
		lab_test(what_a_hello_begins),
		lab_test(hello_names_what_is_granted),
		lab_test(many_lives_are_told_little),
		lab_test(networks_are_told_apart),
		lab_test(loss_does_not_matter),
		lab_test(who_was_away_is_told_everything),
		lab_test(what_is_forgotten_needs_no_message),
		lab_test(who_forgot_is_told_again),
		lab_test(who_forgot_and_says_hello_is_told_at_once),
		lab_test(a_new_member_is_told_without_news),
		lab_test(acknowledgements_that_cannot_be_are_none),
		lab_test(going_back_costs_a_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
