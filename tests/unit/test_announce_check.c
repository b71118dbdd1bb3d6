/* SPDX-License-Identifier: MIT */
/* Checks: the owner of a station that somebody else claims is asked, and decides. */
#include "unit/announce_lab.h"

static const uint8_t EVIL[ETHER_ADDR_SIZE] = { 0x02, 0x66, 0x66, 0, 0, 1 };

static struct announce_message check_of(struct fdb_key key, const uint8_t *mac)
{
	struct announce_message msg = { .type = ANNOUNCE_CHECK, .vni = VNI };

	add(&msg, 0, key, mac);
	return msg;
}

/* The tag goes with an address: in the claim, in the question to its container, in the answer. */
static void a_vlan_is_another_segment(void **state)
{
	struct lab *lab = *state;
	struct fdb_key mac = mac_key(1), plain = ip_key("10.7.9.9"), tagged = plain, other = plain;
	struct announce_message msg, answer;
	const uint8_t *frame;

	store_be16(tagged.vlans.tag[0].b, WIRE_VLANS_SERVICE | 100);
	store_be16(tagged.vlans.tag[1].b, 10);
	store_be16(other.vlans.tag[0].b, 20);
	lab->vlans = true;
	publish(lab, 0, GUARD_LEARN);
	publish(lab, 1, GUARD_LEARN);
	come(lab, 1, &mac, mac.addr);
	come(lab, 1, &tagged, mac.addr);
	pump(lab);
	assert_ptr_equal(owner(lab, 0, &tagged), lab->side[0].other);
	lab->rig->now_ns += RIG_SECOND;
	/* The same in another VLAN, and in none, is free to have. */
	msg = news(lab, 0, 3);
	add(&msg, 1, other, EVIL);
	add(&msg, 2, plain, EVIL);
	say(lab, &msg);
	assert_ptr_equal(owner(lab, 1, &other), lab->side[1].other);
	assert_ptr_equal(owner(lab, 1, &plain), lab->side[1].other);
	assert_ptr_equal(owner(lab, 1, &tagged), &NET(1)->local);
	/* In this one it is contested, and its container is asked behind its tags. */
	rig_mark(HOST(1));
	msg = news(lab, 3, 4);
	add(&msg, 4, tagged, EVIL);
	say(lab, &msg);
	assert_int_equal(HOST(1)->frame_count, 1);
	frame = HOST(1)->frames[0].data + sizeof(struct wire_vnet);
	assert_memory_equal(frame, mac.addr, ETHER_ADDR_SIZE);
	assert_memory_equal(frame + 12, "\x88\xa8\0\x64\x81\0\0\x0a\x08\x06", 10);
	assert_memory_equal(frame + 46, "\x0a\7\x09\x09", 4);
	assert_int_equal(claim(lab, 1, &NET(1)->local, &tagged, mac.addr), FDB_OK);
	rig_round(HOST(1));
	assert_ptr_equal(owner(lab, 1, &tagged), &NET(1)->local);
	/* A check for it is answered for it. */
	rig_mark(HOST(1));
	msg = check_of(tagged, mac.addr);
	say(lab, &msg);
	assert_int_equal(claim(lab, 1, &NET(1)->local, &tagged, mac.addr), FDB_OK);
	rig_round(HOST(1));
	assert_true(message(HOST(1), 0, &answer));
	assert_memory_equal(&answer.stations[0].key, &tagged, sizeof(tagged));
	assert_false(answer.stations[0].gone);
}

static void who_is_asked_asks_its_container(void **state)
{
	struct lab *lab = *state;
	struct fdb_key mac = mac_key(1), ip = ip_key("10.7.1.1"), gone = mac_key(9);
	struct announce_message msg = check_of(gone, NULL), answer;
	const uint8_t *frame;
	uint64_t probes, said;

	/* What is not here. */
	said = events(HOST(1), EVENT_ANNOUNCED);
	say(lab, &msg);
	assert_int_equal(messages(HOST(1)), 1);
	assert_int_equal(events(HOST(1), EVENT_ANNOUNCED), said + 1);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	assert_true(message(HOST(1), 0, &answer));
	assert_int_equal(answer.type, ANNOUNCE_STATIONS);
	assert_false(answer.has_range);
	assert_int_equal(answer.boot, HOST(1)->device->boot);
	assert_true(answer.stations[0].gone);
	assert_memory_equal(&answer.stations[0].key, &gone, sizeof(gone));
	/* What is. */
	come(lab, 1, &mac, mac.addr);
	come(lab, 1, &ip, mac.addr);
	pump(lab);
	rig_mark(HOST(1));
	msg = check_of(ip, mac.addr);
	say(lab, &msg);
	assert_int_equal(HOST(1)->sent_count, 0);
	assert_int_equal(HOST(1)->frame_count, 1);
	assert_int_equal(HOST(1)->frames[0].port, PORT);
	/* It is asked again by itself. */
	assert_in_range(HOST(1)->deadline_ns, lab->rig->now_ns + 1,
	                lab->rig->now_ns + FDB_CHECK_NS);
	frame = HOST(1)->frames[0].data + sizeof(struct wire_vnet);
	assert_memory_equal(frame, mac.addr, ETHER_ADDR_SIZE);
	assert_int_equal(load_be16(frame + 12), ETHERTYPE_WIRE_ARP);
	assert_memory_equal(frame + 38, "\x0a\7\1\1", 4);
	assert_int_equal(claim(lab, 1, &NET(1)->local, &ip, mac.addr), FDB_OK);
	rig_round(HOST(1));
	assert_int_equal(messages(HOST(1)), 1);
	assert_true(message(HOST(1), 0, &answer));
	assert_false(answer.stations[0].gone);
	assert_memory_equal(&answer.stations[0].key, &ip, sizeof(ip));
	assert_memory_equal(answer.stations[0].mac, mac.addr, ETHER_ADDR_SIZE);
	/* It does not answer: three questions, and then it is gone, here too. */
	probes = events(HOST(1), EVENT_PROBE_SENT);
	rig_mark(HOST(1));
	say(lab, &msg);
	for (unsigned int i = 0; i < 20; i++)
		rig_advance(lab->rig, 20 * RIG_MS);
	assert_int_equal(HOST(1)->frame_count, FDB_CHECKS);
	assert_int_equal(events(HOST(1), EVENT_PROBE_SENT), probes + FDB_CHECKS);
	assert_true(message(HOST(1), 0, &answer));
	assert_true(answer.stations[0].gone);
	assert_null(owner(lab, 1, &ip));
}

/* A station at host 0 by host 1's table, which the third claims. */
static void contest(struct lab *lab, const struct fdb_key *key)
{
	struct fdb_question question;
	bool ask;
	const struct view *view = atomic_load(&HOST(1)->device->view);
	struct burst *burst = burst_open(HOST(1)->device);

	assert_non_null(burst);
	assert_int_equal(fdb_claim(FDB(1), lab->side[1].third, key, key->addr, FDB_LEARNED,
	                           lab->rig->now_ns, &ask, &question),
	                 FDB_CONTESTED);
	assert_true(ask);
	assert_ptr_equal(question.owner, lab->side[1].other);
	/* As the worker would, but for its burst: it asks again by itself. */
	burst->view = view;
	burst->now_ns = lab->rig->now_ns;
	announce_ask(burst, view_find_vni(view, VNI), &question);
	assert_int_equal(burst->packet_count, 1);
	burst_close(burst);
}

static void the_owner_decides_a_contest(void **state)
{
	struct lab *lab = *state;
	struct fdb_key stays = mac_key(1), goes = mac_key(2);
	struct announce_message msg;
	uint64_t sent;

	come(lab, 0, &stays, stays.addr);
	come(lab, 0, &goes, goes.addr);
	pump(lab);
	assert_true(is_known(lab, 1, 1) && is_known(lab, 1, 2));
	contest(lab, &stays);
	sent = events(HOST(1), EVENT_CHECK_SENT);
	lab->rig->now_ns += FDB_CHECK_NS / FDB_CHECKS + RIG_MS;
	rig_round(HOST(1));
	assert_true(message(HOST(1), 0, &msg));
	assert_int_equal(msg.type, ANNOUNCE_CHECK);
	assert_int_equal(msg.vni, VNI);
	assert_memory_equal(&msg.stations[0].key, &stays, sizeof(stays));
	assert_false(msg.stations[0].gone);
	assert_int_equal(events(HOST(1), EVENT_CHECK_SENT), sent + 1);
	advance(lab, RIG_SECOND, 20 * RIG_MS);
	assert_true(is_known(lab, 1, 1));
	/* It went, and the news is lost. */
	lab->loss = 1000;
	go_mac(lab, 0, 2);
	pump(lab);
	assert_true(is_known(lab, 1, 2));
	lab->loss = 0;
	contest(lab, &goes);
	advance(lab, FDB_CHECK_NS, 20 * RIG_MS);
	assert_ptr_equal(owner(lab, 1, &goes), lab->side[1].third);
}

static void answers_nobody_asked_for_do_nothing(void **state)
{
	struct lab *lab = *state;
	struct fdb_key mine = mac_key(1), theirs = mac_key(2), none = mac_key(3);
	struct announce_message msg = news(lab, 0, 0);

	assert_int_equal(claim(lab, 1, lab->side[1].third, &theirs, theirs.addr), FDB_CAME);
	assert_int_equal(claim(lab, 1, lab->side[1].other, &mine, mine.addr), FDB_CAME);
	msg.has_range = false;
	add(&msg, 0, none, NULL);
	say(lab, &msg);
	assert_null(owner(lab, 1, &none));
	msg.count = 0;
	add(&msg, 0, theirs, NULL);
	say(lab, &msg);
	msg.stations[0].gone = true;
	say(lab, &msg);
	assert_ptr_equal(owner(lab, 1, &theirs), lab->side[1].third);
	/* Of another life it is not even heard. */
	msg.count = 0;
	add(&msg, 0, mine, NULL);
	msg.stations[0].gone = true;
	msg.boot--;
	rig_mark(HOST(1));
	say(lab, &msg);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_ANNOUNCE, 1, RIG_PEER));
	assert_true(is_known(lab, 1, 1));
	msg.boot++;
	say(lab, &msg);
	assert_false(is_known(lab, 1, 1));
}

/* An idle owner is reached by a handshake, so that it cannot be robbed in its sleep. */
static void a_check_wakes_an_idle_owner(void **state)
{
	struct lab *lab = *state;
	struct fdb_key key = mac_key(1);
	struct fdb_question question;
	bool ask;

	come(lab, 0, &key, key.addr);
	pump(lab);
	peer_reset(HOST(0)->peer);
	peer_reset(HOST(1)->peer);
	lab->rig->now_ns += 200 * RIG_SECOND;
	assert_int_equal(fdb_claim(FDB(1), lab->side[1].third, &key, key.addr, FDB_LEARNED,
	                           lab->rig->now_ns, &ask, &question),
	                 FDB_CONTESTED);
	/* The first question is the caller's and lost; the table repeats it. */
	advance(lab, FDB_CHECK_SLOW_NS + RIG_SECOND, 50 * RIG_MS);
	assert_non_null(peer_send_keypair(HOST(1)->peer, lab->rig->now_ns));
	assert_true(is_known(lab, 1, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(a_vlan_is_another_segment),
		lab_test(who_is_asked_asks_its_container),
		lab_test(the_owner_decides_a_contest),
		lab_test(answers_nobody_asked_for_do_nothing),
		lab_test(a_check_wakes_an_idle_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
