/* SPDX-License-Identifier: MIT */
/* Hearing: what members may say of their stations, and what they may not. */
#include "unit/announce_lab.h"

static const uint8_t EVIL[ETHER_ADDR_SIZE] = { 0x02, 0x66, 0x66, 0, 0, 1 };

static void a_replacement_ends_what_it_does_not_name(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg = news(lab, 0, 3);

	for (uint32_t i = 1; i <= 3; i++)
		add(&msg, i, mac_key(i), NULL);
	msg.end = true;
	say(lab, &msg);
	assert_true(is_known(lab, 1, 1) && is_known(lab, 1, 2) && is_known(lab, 1, 3));
	/* In two messages: nothing ends before the second. */
	msg = news(lab, 0, 10);
	add(&msg, 10, mac_key(2), NULL);
	say(lab, &msg);
	assert_true(is_known(lab, 1, 1) && is_known(lab, 1, 3));
	msg = news(lab, 10, 20);
	add(&msg, 11, mac_key(4), NULL);
	msg.end = true;
	say(lab, &msg);
	assert_false(is_known(lab, 1, 1) || is_known(lab, 1, 3));
	assert_true(is_known(lab, 1, 2) && is_known(lab, 1, 4));
	/* An END of mere changes ends nothing. */
	msg = news(lab, 20, 21);
	add(&msg, 21, mac_key(5), NULL);
	msg.end = true;
	say(lab, &msg);
	assert_true(is_known(lab, 1, 2) && is_known(lab, 1, 4) && is_known(lab, 1, 5));
	/* There is nothing at all. */
	msg = news(lab, 0, 0);
	msg.end = true;
	say(lab, &msg);
	assert_false(is_known(lab, 1, 2) || is_known(lab, 1, 4) || is_known(lab, 1, 5));
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
}

static uint64_t acked_by(struct rig_host *host)
{
	struct announce_message msg;

	assert_int_equal(messages(host), 1);
	assert_true(message(host, 0, &msg));
	assert_int_equal(msg.type, ANNOUNCE_ACK);
	assert_int_equal(msg.vni, VNI);
	return msg.to;
}

static void each_is_acknowledged_with_what_there_is(void **state)
{
	struct lab *lab = *state;
	struct announce_message first = news(lab, 0, 5), second = news(lab, 5, 9), gap;

	add(&first, 1, mac_key(1), NULL);
	first.end = true;
	say(lab, &first);
	assert_int_equal(acked_by(HOST(1)), 5);
	rig_mark(HOST(1));
	add(&second, 6, mac_key(1), NULL);
	second.stations[0].gone = true;
	add(&second, 7, mac_key(2), NULL);
	say(lab, &second);
	assert_int_equal(acked_by(HOST(1)), 9);
	assert_false(is_known(lab, 1, 1));
	/* Again: neither done twice nor held against it. */
	fdb_withdraw(FDB(1), lab->side[1].other,
	             &(struct fdb_key){ .kind = FDB_MAC, .addr = { 2, [5] = 2 } },
	             lab->rig->now_ns);
	assert_false(is_known(lab, 1, 2));
	rig_mark(HOST(1));
	say(lab, &second);
	assert_int_equal(acked_by(HOST(1)), 9);
	assert_false(is_known(lab, 1, 2));
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	/* Something is missing before it. */
	rig_mark(HOST(1));
	gap = news(lab, 10, 11);
	add(&gap, 11, mac_key(3), NULL);
	say(lab, &gap);
	assert_int_equal(acked_by(HOST(1)), 9);
	assert_false(is_known(lab, 1, 3));
	assert_true(rig_counted(HOST(1), DROP_IN_ANNOUNCE, 1, RIG_PEER));
}

/* Another life: what it had is replaced, and what the former one said late is not heard. */
static void a_new_boot_begins_anew(void **state)
{
	struct lab *lab = *state;
	uint64_t boot = HOST(0)->device->boot;
	struct announce_message msg = news(lab, 0, 5);

	add(&msg, 1, mac_key(1), NULL);
	add(&msg, 2, mac_key(2), NULL);
	msg.end = true;
	say(lab, &msg);
	rig_mark(HOST(1));
	/* Not before its hello says so. */
	msg.boot = boot + 1;
	say(lab, &msg);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_ANNOUNCE, 1, RIG_PEER));
	say_hello(lab, boot + 1);
	rig_mark(HOST(1));
	msg.count = 1;
	say(lab, &msg);
	assert_int_equal(acked_by(HOST(1)), 5);
	assert_true(is_known(lab, 1, 1));
	assert_false(is_known(lab, 1, 2));
	rig_mark(HOST(1));
	msg = news(lab, 5, 6);
	add(&msg, 6, mac_key(3), NULL);
	say(lab, &msg);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_ANNOUNCE, 1, RIG_PEER));
	assert_false(is_known(lab, 1, 3));
	/* Nor does a hello of it count. */
	say_hello(lab, boot);
	say(lab, &msg);
	assert_false(is_known(lab, 1, 3));
}

static void the_greatest_number_harms_its_sender(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg = news(lab, 0, UINT64_MAX);
	struct fdb_key key = mac_key(77);

	add(&msg, UINT64_MAX, mac_key(1), NULL);
	msg.end = true;
	say(lab, &msg);
	assert_true(is_known(lab, 1, 1));
	assert_int_equal(acked_by(HOST(1)), UINT64_MAX);
	/* Its own next change would be number 0: there is none. */
	rig_mark(HOST(1));
	msg = news(lab, 1, 2);
	add(&msg, 2, mac_key(2), NULL);
	say(lab, &msg);
	assert_false(is_known(lab, 1, 2));
	/* Others are heard as before, */
	assert_int_equal(claim(lab, 1, lab->side[1].third, &key, key.addr), FDB_CAME);
	come_mac(lab, 1, 5000);
	rig_round(HOST(1));
	assert_int_equal(NEWS(1)->attempts, 1);
	/* and its own next life is. */
	say_hello(lab, HOST(0)->device->boot + 1);
	msg = news(lab, 0, 1);
	msg.boot++;
	add(&msg, 1, mac_key(3), NULL);
	msg.end = true;
	say(lab, &msg);
	assert_true(is_known(lab, 1, 3));
	assert_false(is_known(lab, 1, 1));
}

/* What an ordinary member may not say of itself. */
struct claim_row {
	const char *what;
	enum drop reason;
	const char *ip; /* NULL: the MAC itself */
	const uint8_t *mac; /* NULL: EVIL */
};

static const uint8_t zero_mac[ETHER_ADDR_SIZE];
static const uint8_t group_mac[ETHER_ADDR_SIZE] = { 0x33, 0x33, 0, 0, 0, 1 };
static const struct claim_row claim_rows[] = {
	{ "zero", DROP_IN_SOURCE_MAC, NULL, zero_mac },
	{ "a group", DROP_IN_SOURCE_MAC, NULL, group_mac },
	{ "an address at a group", DROP_IN_SOURCE_MAC, "10.7.2.9", group_mac },
	{ "everyone", DROP_IN_SOURCE_MAC, NULL, RIG_BROADCAST_MAC },
	{ "our bridge", DROP_IN_GATEWAY, NULL, RIG_BRIDGE_MAC },
	{ "an address at our bridge", DROP_IN_GATEWAY, "10.7.2.9", RIG_BRIDGE_MAC },
	{ "our gateway", DROP_IN_GATEWAY, "10.7.0.1", NULL },
	{ "our gateway of IPv6", DROP_IN_GATEWAY, "fd07::1", NULL },
	{ "0.0.0.0", DROP_IN_MARTIAN, "0.0.0.0", NULL },
	{ "loopback", DROP_IN_MARTIAN, "127.0.0.1", NULL },
	{ "multicast", DROP_IN_MARTIAN, "224.0.0.1", NULL },
	{ "broadcast", DROP_IN_MARTIAN, "255.255.255.255", NULL },
	{ "::", DROP_IN_MARTIAN, "::", NULL },
	{ "::1", DROP_IN_MARTIAN, "::1", NULL },
	{ "a mapped address", DROP_IN_MARTIAN, "::ffff:10.7.2.9", NULL },
	{ "multicast of IPv6", DROP_IN_MARTIAN, "ff02::1", NULL },
};

static void claim_one(struct lab *lab, uint64_t sequence, const char *ip, const uint8_t *mac)
{
	struct announce_message msg = news(lab, sequence - 1, sequence);

	mac = mac ? mac : EVIL;
	add(&msg, sequence, ip ? ip_key(ip) : fdb_key_mac(mac), mac);
	rig_mark(HOST(1));
	say(lab, &msg);
}

static void nobody_announces_what_nobody_may_have(void **state)
{
	struct lab *lab = *state;
	struct fdb_key tagged = ip_key("10.7.2.9");
	struct announce_message msg;
	uint64_t sequence = 1;

	store_be16(tagged.vlans.tag[0].b, 10);
	claim_one(lab, sequence++, NULL, EVIL);
	for (size_t i = 0; i < sizeof(claim_rows) / sizeof(*claim_rows); i++, sequence++) {
		const struct claim_row *row = &claim_rows[i];
		struct fdb_key key = row->ip ? ip_key(row->ip) : fdb_key_mac(row->mac);

		claim_one(lab, sequence, row->ip, row->mac);
		if (!rig_counted(HOST(1), row->reason, 1, RIG_PEER) || owner(lab, 1, &key))
			fail_msg("%s", row->what);
		lab->rig->now_ns += RIG_MS * 10;
	}
	claim_one(lab, sequence++, NULL, NET(1)->router_mac);
	assert_true(rig_counted(HOST(1), DROP_IN_GATEWAY, 1, RIG_PEER));
	/* Here is no VLAN to have anything in. */
	msg = news(lab, sequence - 1, sequence);
	add(&msg, sequence, tagged, EVIL);
	rig_mark(HOST(1));
	say(lab, &msg);
	assert_true(rig_counted(HOST(1), DROP_IN_VLAN, 1, RIG_PEER));
	assert_null(owner(lab, 1, &tagged));
}

static void strict_wants_an_address_of_allowed_ips(void **state)
{
	struct lab *lab = *state;
	struct member *other = lab->side[1].other;
	struct fdb_key key = ip_key("10.7.1.9");
	unsigned int n = 0;

	publish(lab, 1, GUARD_STRICT);
	claim_one(lab, 1, NULL, EVIL);
	claim_one(lab, 2, "10.7.1.9", NULL);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	assert_ptr_equal(owner(lab, 1, &key), other);
	claim_one(lab, 3, "10.7.3.9", NULL);
	assert_true(rig_counted(HOST(1), DROP_IN_BINDING, 1, RIG_PEER));
	claim_one(lab, 4, "fe80::66", NULL);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	claim_one(lab, 5, "169.254.1.2", NULL);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	for (; n < 4; n++) {
		static const char *const near[] = { "169.1.1.2", "10.254.1.2", "fec0::1",
			                            "2080::1" };

		claim_one(lab, 6 + n, near[n], NULL);
		assert_true(rig_counted(HOST(1), DROP_IN_BINDING, 1, RIG_PEER));
	}
	publish(lab, 1, GUARD_LEARN);
	claim_one(lab, 10, "10.7.3.9", NULL);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	key = ip_key("10.7.3.9");
	assert_ptr_equal(owner(lab, 1, &key), other);
}

/* Guards that are set later hold for what was taken before. */
static void what_may_not_be_any_more_goes(void **state)
{
	static const char *const texts[] = { "10.7.1.9", "10.7.3.9", "fe80::66", "10.7.1.10",
		                             "10.7.3.10" };
	struct lab *lab = *state;
	struct member *other = lab->side[1].other, *third = lab->side[1].third;
	struct fdb_key keys[5], mac = fdb_key_mac(EVIL), fixed = mac_key(3), here = mac_key(1);
	struct fdb_key fixed_ip = ip_key("10.7.3.3"), here_ip = ip_key("10.7.3.1");
	uint64_t now = lab->rig->now_ns;
	const struct view *view;

	lab->vlans = true;
	publish(lab, 1, GUARD_LEARN);
	come(lab, 1, &here, here.addr);
	come(lab, 1, &here_ip, here.addr);
	assert_int_equal(fdb_add_static(FDB(1), other, &fixed, fixed.addr, now), 0);
	assert_int_equal(fdb_add_static(FDB(1), other, &fixed_ip, fixed.addr, now), 0);
	claim_one(lab, 1, NULL, EVIL);
	for (unsigned int i = 0; i < 5; i++) {
		keys[i] = ip_key(texts[i]);
		if (i == 3)
			store_be16(keys[i].vlans.tag[0].b, 10);
		assert_int_equal(claim(lab, 1, other, &keys[i], EVIL), FDB_CAME);
	}
	assert_int_equal(claim(lab, 1, third, &mac, EVIL), FDB_CONTESTED);

	lab->vlans = false;
	publish(lab, 1, GUARD_STRICT);
	view = atomic_load(&HOST(1)->device->view);
	announce_review(view, view_find_vni(view, VNI), now);
	for (unsigned int i = 0; i < 5; i++)
		assert_ptr_equal(owner(lab, 1, &keys[i]), i == 0 || i == 2 ? other : NULL);
	assert_ptr_equal(owner(lab, 1, &mac), other);
	assert_ptr_equal(owner(lab, 1, &here_ip), &NET(1)->local);
	assert_ptr_equal(owner(lab, 1, &fixed_ip), other);

	publish(lab, 1, GUARD_OFF);
	view = atomic_load(&HOST(1)->device->view);
	announce_review(view, view_find_vni(view, VNI), now);
	for (unsigned int i = 0; i < 5; i++)
		assert_null(owner(lab, 1, &keys[i]));
	assert_ptr_equal(owner(lab, 1, &mac), other);
	assert_ptr_equal(owner(lab, 1, &here_ip), &NET(1)->local);
	assert_ptr_equal(owner(lab, 1, &fixed_ip), other);
}

/* Addresses are anyone's: they are not asked for, and not bound by announcing either. */
static void unguarded_addresses_are_nobodys(void **state)
{
	struct lab *lab = *state;
	struct fdb_key ip = ip_key("10.7.3.9"), mac = fdb_key_mac(EVIL);

	publish(lab, 1, GUARD_OFF);
	claim_one(lab, 1, NULL, EVIL);
	claim_one(lab, 2, "10.7.3.9", NULL);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	assert_null(owner(lab, 1, &ip));
	assert_ptr_equal(owner(lab, 1, &mac), lab->side[1].other);
}

/* Neither what is here, nor another member's, nor by saying that it is gone. */
static void nothing_is_taken_by_announcing(void **state)
{
	struct lab *lab = *state;
	struct fdb_key here = mac_key(1), there = mac_key(2);
	struct fdb_key here_ip = ip_key("10.7.1.1"), there_ip = ip_key("10.7.3.1");
	struct member *local = &NET(1)->local, *third = lab->side[1].third;
	struct announce_message msg = news(lab, 0, 9);

	come(lab, 1, &here, here.addr);
	come(lab, 1, &here_ip, here.addr);
	assert_int_equal(claim(lab, 1, third, &there, there.addr), FDB_CAME);
	assert_int_equal(claim(lab, 1, third, &there_ip, there.addr), FDB_CAME);
	add(&msg, 1, here, NULL);
	add(&msg, 2, here_ip, EVIL);
	add(&msg, 3, there, NULL);
	add(&msg, 4, there_ip, EVIL);
	add(&msg, 5, here_ip, here.addr);
	add(&msg, 6, there_ip, there.addr);
	add(&msg, 7, ip_key("10.7.9.9"), there.addr);
	say(lab, &msg);
	for (uint32_t i = 8; i < 12; i++) {
		msg = news(lab, i + 1, i + 2);
		add(&msg, i + 2,
		    i & 1   ? i & 2 ? here : here_ip
		    : i & 2 ? there
		            : there_ip,
		    i & 1 ? here.addr : there.addr);
		msg.stations[0].gone = true;
		say(lab, &msg);
	}
	assert_ptr_equal(owner(lab, 1, &here), local);
	assert_ptr_equal(owner(lab, 1, &here_ip), local);
	assert_ptr_equal(owner(lab, 1, &there), third);
	assert_ptr_equal(owner(lab, 1, &there_ip), third);
	/* The container says that it is there, and so it stays. */
	assert_int_equal(claim(lab, 1, local, &here_ip, here.addr), FDB_OK);
	rig_advance(lab->rig, RIG_SECOND);
	assert_ptr_equal(owner(lab, 1, &here_ip), local);
	assert_ptr_equal(owner(lab, 1, &here), local);
}

/* What is static, and what is here, is not even asked for. */
static void what_cannot_be_had_is_refused(void **state)
{
	struct lab *lab = *state;
	struct fdb_key mac = mac_key(1), ip = ip_key("10.7.3.1"), here = mac_key(2);
	struct member *third = lab->side[1].third;
	uint64_t now = lab->rig->now_ns;

	assert_int_equal(fdb_add_static(FDB(1), third, &mac, mac.addr, now), 0);
	assert_int_equal(fdb_add_static(FDB(1), third, &ip, mac.addr, now), 0);
	come(lab, 1, &here, here.addr);
	claim_one(lab, 1, NULL, mac.addr);
	assert_true(rig_counted(HOST(1), DROP_IN_MAC_OWNED, 1, RIG_PEER));
	claim_one(lab, 2, NULL, here.addr);
	assert_true(rig_counted(HOST(1), DROP_IN_MAC_OWNED, 1, RIG_PEER));
	claim_one(lab, 3, "10.7.3.1", EVIL);
	assert_true(rig_counted(HOST(1), DROP_IN_BINDING, 1, RIG_PEER));
	assert_ptr_equal(owner(lab, 1, &mac), third);
	assert_ptr_equal(owner(lab, 1, &ip), third);
	assert_ptr_equal(owner(lab, 1, &here), &NET(1)->local);
}

/* To and fro between two members who agree: five times a minute, and no more. */
static void what_moves_too_often_stays(void **state)
{
	struct lab *lab = *state;
	struct member *third = lab->side[1].third;
	struct fdb_key key = mac_key(1);
	struct announce_message msg;
	uint64_t n = 0;

	assert_int_equal(claim(lab, 1, third, &key, key.addr), FDB_CAME);
	for (unsigned int moves = 0; moves < FDB_MOVES_MAX; moves++) {
		if (moves & 1) {
			assert_int_equal(claim(lab, 1, third, &key, key.addr), FDB_CONTESTED);
			n++;
			msg = news(lab, n - 1, n);
			add(&msg, n, key, NULL);
			msg.stations[0].gone = true;
			say(lab, &msg);
			assert_ptr_equal(owner(lab, 1, &key), third);
		} else {
			n++;
			claim_one(lab, n, NULL, key.addr);
			assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
			fdb_withdraw(FDB(1), third, &key, lab->rig->now_ns);
			assert_true(is_known(lab, 1, 1));
		}
		lab->rig->now_ns += 10 * RIG_MS;
	}
	/* It is ours to keep now; so another may not have it, */
	assert_int_equal(claim(lab, 1, third, &key, key.addr), FDB_BUSY);
	/* and the same holds for us. */
	lab->rig->now_ns += FDB_MOVES_NS;
	for (unsigned int moves = 0; moves <= FDB_MOVES_MAX; moves++) {
		struct member *to = moves & 1 ? lab->side[1].other : third;
		struct member *from = moves & 1 ? third : lab->side[1].other;

		if (claim(lab, 1, to, &key, key.addr) == FDB_BUSY)
			break;
		fdb_withdraw(FDB(1), from, &key, lab->rig->now_ns);
	}
	assert_ptr_equal(owner(lab, 1, &key), third);
	n++;
	claim_one(lab, n, NULL, key.addr);
	assert_true(rig_counted(HOST(1), DROP_IN_MOVES, 1, RIG_PEER));
	assert_ptr_equal(owner(lab, 1, &key), third);
}

/* The container whose address is announced is asked without delay. */
static void an_announced_claim_asks_at_once(void **state)
{
	struct lab *lab = *state;
	struct fdb_key here = mac_key(1), ip = ip_key("10.7.1.1");

	come(lab, 1, &here, here.addr);
	come(lab, 1, &ip, here.addr);
	pump(lab);
	claim_one(lab, 1, "10.7.1.1", EVIL);
	assert_int_equal(HOST(1)->frame_count, 1);
	assert_int_equal(HOST(1)->frames[0].port, PORT);
	assert_memory_equal(HOST(1)->frames[0].data + sizeof(struct wire_vnet), here.addr,
	                    ETHER_ADDR_SIZE);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	/* On a bridge that is not there nobody is. */
	lab->detached = true;
	publish(lab, 1, GUARD_LEARN);
	rig_mark(HOST(1));
	rig_advance(lab->rig, FDB_CHECK_NS / FDB_CHECKS + RIG_MS);
	assert_int_equal(HOST(1)->frame_count, 0);
}

/* Between two of its own containers an address goes as it says. */
static void an_address_changes_its_mac(void **state)
{
	static const uint8_t other_mac[ETHER_ADDR_SIZE] = { 0x02, 0x66, 0x66, 0, 0, 2 };
	struct lab *lab = *state;
	struct fdb_key ip = ip_key("10.7.2.9");
	struct fdb_place place;

	claim_one(lab, 1, "10.7.2.9", EVIL);
	assert_int_equal(events(HOST(1), EVENT_STATION_MOVED), 0);
	lab->rig->now_ns += 2 * RIG_SECOND;
	claim_one(lab, 2, "10.7.2.9", other_mac);
	assert_int_equal(events(HOST(1), EVENT_STATION_MOVED), 1);
	assert_true(fdb_lookup(FDB(1), &ip, lab->rig->now_ns, &place));
	assert_memory_equal(place.mac, other_mac, ETHER_ADDR_SIZE);
}

static void quotas_hold(void **state)
{
	struct lab *lab = *state;
	uint32_t known = 0;

	for (uint32_t n = 0; n < 300; n += 30) {
		struct announce_message msg = news(lab, n, n + 30);

		for (uint32_t i = 1; i <= 30; i++)
			add(&msg, n + i, mac_key(n + i), NULL);
		say(lab, &msg);
	}
	for (uint32_t i = 1; i <= 300; i++)
		known += is_known(lab, 1, i);
	assert_int_equal(known, FDB_MACS_MAX);
	assert_true(rig_counted(HOST(1), DROP_IN_QUOTA, 300 - FDB_MACS_MAX, RIG_PEER));
}

/* 100 at once and 200 a second, of whatever kind. */
static void a_flood_ends_in_the_bucket(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg = news(lab, 0, 0);

	lab->rig->now_ns += RIG_SECOND;
	for (unsigned int i = 0; i < MEMBER_CONTROL_BURST; i++)
		say(lab, &msg);
	assert_true(rig_counted(HOST(1), DROP_NONE, 0, 0));
	for (unsigned int i = 0; i < 10; i++)
		say(lab, &msg);
	assert_true(rig_counted(HOST(1), DROP_IN_ANNOUNCE, 10, RIG_PEER));
	assert_int_equal(messages(HOST(1)), MEMBER_CONTROL_BURST);
	lab->rig->now_ns += 100 * RIG_MS;
	for (unsigned int i = 0; i < 30; i++)
		say(lab, &msg);
	assert_true(rig_counted(HOST(1), DROP_IN_ANNOUNCE, 20, RIG_PEER));
}

static void other_networks_are_not_heard_of(void **state)
{
	struct lab *lab = *state;
	struct announce_message msg = news(lab, 0, 1);
	struct member *other = lab->side[1].other;

	add(&msg, 1, mac_key(1), NULL);
	msg.vni = VNI + 1;
	say(lab, &msg);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_VNI, 1, RIG_PEER));
	/* The network is here, and not granted. */
	lab->side[1].other = NULL;
	publish(lab, 1, GUARD_LEARN);
	rig_mark(HOST(1));
	msg.vni = VNI;
	say(lab, &msg);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_VNI, 1, RIG_PEER));
	lab->side[1].other = other;
	publish(lab, 1, GUARD_LEARN);
	assert_false(is_known(lab, 1, 1));
}

/* Two hosts have the same MAC, and neither heard of it before it had it. */
static void what_was_refused_is_asked_for_again(void **state)
{
	struct lab *lab = *state;
	struct fdb_key mac = mac_key(1), ip = ip_key("10.7.2.5"), other = mac_key(2);
	uint64_t told;

	lab->loss = 1000;
	come(lab, 0, &mac, mac.addr);
	come(lab, 0, &ip, mac.addr);
	come(lab, 1, &mac, mac.addr);
	come(lab, 1, &other, other.addr);
	advance(lab, RIG_SECOND, 50 * RIG_MS);
	lab->loss = 0;
	advance(lab, 20 * RIG_SECOND, 100 * RIG_MS);
	assert_ptr_equal(owner(lab, 0, &other), lab->side[0].other);
	assert_ptr_equal(owner(lab, 1, &mac), &NET(1)->local);
	assert_null(owner(lab, 1, &ip));
	assert_int_equal(NEWS(1)->heard, NEWS(0)->acked);
	/* Nothing changes: nothing is asked for. */
	told = events(HOST(0), EVENT_ANNOUNCED);
	advance(lab, 20 * RIG_SECOND, 100 * RIG_MS);
	assert_int_equal(events(HOST(0), EVENT_ANNOUNCED), told);

	fdb_withdraw(FDB(1), &NET(1)->local, &mac, lab->rig->now_ns);
	advance(lab, 500 * RIG_MS, 20 * RIG_MS);
	assert_ptr_equal(owner(lab, 1, &mac), lab->side[1].other);
	assert_ptr_equal(owner(lab, 1, &ip), lab->side[1].other);
	assert_false(NEWS(1)->lacks);
	/* And that was all. */
	told = events(HOST(0), EVENT_ANNOUNCED);
	fdb_withdraw(FDB(1), &NET(1)->local, &other, lab->rig->now_ns);
	advance(lab, 5 * RIG_SECOND, 100 * RIG_MS);
	assert_int_equal(events(HOST(0), EVENT_ANNOUNCED), told);
}

/* However often it says it, and whatever comes and goes: about once in a minute in the end. */
static void who_claims_what_is_ours_is_asked_rarely(void **state)
{
	struct lab *lab = *state;
	struct fdb_key ours = mac_key(1), goes = mac_key(2);
	unsigned int asked = 0;

	come(lab, 1, &ours, ours.addr);
	pump(lab);
	for (unsigned int i = 0; i < 100; i++) {
		struct announce_message msg = news(lab, 0, 1), got;

		add(&msg, 1, ours, NULL);
		msg.end = true;
		say(lab, &msg);
		rig_mark(HOST(1));
		come(lab, 1, &goes, goes.addr);
		fdb_withdraw(FDB(1), &NET(1)->local, &goes, lab->rig->now_ns);
		rig_advance(lab->rig, RIG_SECOND);
		for (unsigned int n = 0; message(HOST(1), n, &got); n++)
			asked += got.type == ANNOUNCE_ACK && got.to == 0;
		/* It is heard whole only when it says so. */
		assert_ptr_equal(owner(lab, 1, &ours), &NET(1)->local);
	}
	assert_in_range(asked, 5, 7);
}

static void what_does_not_parse_is_counted(void **state)
{
	struct lab *lab = *state;
	static const uint8_t none[] = { 0x10, WIRE_CONTROL_CHECK, 0, 0 };
	static const uint8_t cut[] = { 0x10, WIRE_CONTROL_ANNOUNCE, 0xff, 0xff, 0, 0 };

	rig_tell(HOST(0), none, sizeof(none), 0);
	rig_tell(HOST(0), cut, sizeof(cut), 0);
	assert_true(rig_only_dropped(HOST(1), DROP_IN_CONTROL, 2, RIG_PEER));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(a_replacement_ends_what_it_does_not_name),
		lab_test(each_is_acknowledged_with_what_there_is),
		lab_test(a_new_boot_begins_anew),
		lab_test(the_greatest_number_harms_its_sender),
		lab_test(nobody_announces_what_nobody_may_have),
		lab_test(strict_wants_an_address_of_allowed_ips),
		lab_test(what_may_not_be_any_more_goes),
		lab_test(unguarded_addresses_are_nobodys),
		lab_test(nothing_is_taken_by_announcing),
		lab_test(what_cannot_be_had_is_refused),
		lab_test(what_moves_too_often_stays),
		lab_test(an_announced_claim_asks_at_once),
		lab_test(an_address_changes_its_mac),
		lab_test(quotas_hold),
		lab_test(what_was_refused_is_asked_for_again),
		lab_test(who_claims_what_is_ours_is_asked_rarely),
		lab_test(a_flood_ends_in_the_bucket),
		lab_test(other_networks_are_not_heard_of),
		lab_test(what_does_not_parse_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
