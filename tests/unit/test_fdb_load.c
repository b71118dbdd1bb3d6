/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database under those who want too much of it: quotas, a full table,
 * storms of claims and checks, thousands of changes in the log. And who is no more.
 */
#include "unit.h"

#include <errno.h>
#include "dataplane/device.h"
#include "fdb_lab.h"

static void test_flood_of_macs(void **state)
{
	struct fdb_counts counts;
	struct fdb_key key = mac_key(7);

	(void)state;
	assert_int_equal(claim('A', &key, 7, START), FDB_CAME);
	for (uint32_t i = 1000; i < 101000; i++) {
		key = mac_key(i);
		assert_int_equal(claim('B', &key, i, START),
		                 i < 1000 + FDB_MACS_MAX ? FDB_CAME : FDB_QUOTA);
	}
	fdb_get_counts(fdb, &counts);
	assert_int_equal(counts.entries, FDB_MACS_MAX + 1);
	assert_int_equal(counts.quota, 100000 - FDB_MACS_MAX);
	/* Others are not concerned; and it cannot contest either, nor bring in a MAC by an address. */
	key = mac_key(8);
	assert_int_equal(claim('A', &key, 8, START), FDB_CAME);
	assert_int_equal(claim('B', &key, 8, START), FDB_QUOTA);
	key = ip_key(1);
	assert_int_equal(claim('B', &key, 9, START), FDB_QUOTA);
	/* One leaves, one comes. */
	key = mac_key(1000);
	fdb_withdraw(fdb, member_of('B'), &key, START);
	key = mac_key(9);
	assert_int_equal(claim('B', &key, 9, START), FDB_CAME);
	key = mac_key(1000);
	assert_int_equal(claim('B', &key, 1000, START), FDB_QUOTA);
}

static void test_flood_of_addresses(void **state)
{
	struct fdb_key key;

	(void)state;
	for (uint32_t i = 1; i < 3 * FDB_ADDRS_MAX; i++) {
		key = i & 1 ? ip_key(i) : ip6_key(i);
		assert_int_equal(claim('A', &key, 1, START),
		                 i <= FDB_ADDRS_MAX ? FDB_CAME : FDB_QUOTA);
	}
	assert_int_equal(member_of('A')->addrs, FDB_ADDRS_MAX);
	assert_int_equal(member_of('A')->macs, 1);
}

/* ---- containers of this host ---- */

/* The bridge has it behind that port, as the control thread says. */
static enum fdb_verdict see(uint32_t mac, uint32_t port, uint64_t now)
{
	struct fdb_key key = mac_key(mac);

	return fdb_claim_port(fdb, &key, port, now, now);
}

/* Frames from 100,000 MACs, of which the control thread hears a little later. */
static void flood(uint32_t port, uint32_t first)
{
	for (uint32_t i = 0; i < 100000; i++) {
		struct fdb_key key = mac_key(first + i);

		(void)claim('L', &key, first + i, START);
		if (i >= 50)
			(void)see(first + i - 50, port, START);
	}
}

/* It comes with a frame, or when the bridge is heard of. */
static void expect_room(uint32_t mac, uint32_t port)
{
	struct fdb_key key = mac_key(mac);

	(void)claim('L', &key, mac, START);
	assert_in_range(see(mac, port, START), FDB_OK, FDB_CAME);
	for (uint32_t i = 0; i < 3; i++) {
		key = i ? ip6_key(mac * 10 + i) : ip_key(mac);
		assert_int_equal(claim('L', &key, mac, START), FDB_CAME);
	}
}

static void test_flood_of_a_port(void **state)
{
	(void)state;
	expect_room(1, 1);
	flood(2, 200000);
	assert_in_range(member_of('L')->macs, FDB_MACS_MAX / 4, FDB_MACS_MAX / 2);
	expect_room(2, 3);
	/* Nor do ten leave nothing. */
	for (uint32_t i = 0; i < 9; i++)
		flood(10 + i, 1000000 + i * 200000);
	for (uint32_t i = 0; i < 5; i++)
		expect_room(1000 + i, 100 + i);
	assert_in_range(member_of('L')->macs, 0, FDB_MACS_MAX - 1);
	/* What one has it keeps when others come. */
	assert_int_equal(see(1, 1, START), FDB_OK);
}

/* By one MAC, then by all that it may have, and by what it has before the bridge is heard of. */
static void test_addresses_of_a_port(void **state)
{
	struct fdb_key key;
	uint32_t last = 0;

	(void)state;
	for (uint32_t mac = 0; mac < 1000; mac++) {
		for (uint32_t i = 0; i < 2000; i++) {
			key = ip_key(++last);
			if (claim('L', &key, 10000 + mac, START) > FDB_MOVED)
				break;
		}
		(void)see(10000 + mac, 1, START);
		if (mac == 0)
			assert_int_equal(member_of('L')->addrs, FDB_ADDRS_MAX / 4);
	}
	for (uint32_t i = 0; i < 10; i++)
		expect_room(9000000 + i * 10, 2 + i);
	/* Its MACs go, and their places with them. */
	for (uint32_t mac = 0; mac < 1000; mac++) {
		key = mac_key(10000 + mac);
		fdb_withdraw(fdb, member_of('L'), &key, START);
	}
	assert_int_equal(member_of('L')->macs, 10);
	flood(2, 200000);
	assert_in_range(member_of('L')->macs, FDB_MACS_MAX / 4, FDB_MACS_MAX / 2);
}

/* A port has a quarter of what its host may contest. */
static void test_contests_of_a_port(void **state)
{
	unsigned int begun = 0, later = 0;

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		struct fdb_key key = mac_key(i + 1);

		assert_int_equal(claim(i & 1 ? 'A' : 'B', &key, i + 1, START), FDB_CAME);
	}
	for (uint32_t i = 0; i < 100; i++)
		begun += see(i + 1, 1, START) == FDB_CONTESTED;
	assert_int_equal(begun, FDB_BEGIN_BURST / FDB_BEGIN_PORTS);
	for (uint32_t i = 0; i < 100; i++)
		later += see(i + 1, 1, START + 190 * MS) == FDB_CONTESTED;
	assert_int_equal(later, begun); /* the same ones */
	assert_int_equal(see(150, 2, START), FDB_CONTESTED);
	/* Nor has who claims addresses another's part. */
	begun = 0;
	assert_int_equal(see(1000, 3, START), FDB_CAME);
	assert_int_equal(see(1001, 4, START), FDB_CAME);
	for (uint32_t i = 0; i < 102; i++) {
		struct fdb_key key = ip_key(i + 1);

		assert_int_equal(claim('C', &key, 5000, START), FDB_CAME);
		if (i < 100)
			begun += claim('L', &key, 1000, START) == FDB_CONTESTED;
		else
			assert_int_equal(claim('L', &key, 1001, START), FDB_CONTESTED);
	}
	assert_int_equal(begun, FDB_BEGIN_BURST / FDB_BEGIN_PORTS);
}

/* What the bridge has not heard of for long is no answer; what it has just heard of is one. */
static void test_the_bridge_answers(void **state)
{
	struct fdb_key key = ip_key(1), mac = mac_key(1);
	struct fdb_question question;
	struct fdb_due due[4];
	uint64_t now = START + 200000 * MS, next;

	(void)state;
	assert_int_equal(claim('L', &key, 1, START), FDB_CAME);
	assert_int_equal(fdb_claim_port(fdb, &mac, 1, now - FDB_RECENT_NS + MS, now), FDB_OK);
	assert_int_equal(fdb_check_local(fdb, &mac, member_of('A'), now, &question), FDB_CHECK_YES);
	/* The address may be elsewhere for all that. */
	assert_int_equal(fdb_check_local(fdb, &key, member_of('A'), now, &question),
	                 FDB_CHECK_ASKED);
	now += 100 * MS;
	assert_int_equal(fdb_check_local(fdb, &mac, member_of('B'), now, &question),
	                 FDB_CHECK_ASKED);
	assert_int_equal(fdb_claim_port(fdb, &mac, 1, now - FDB_RECENT_NS, now), FDB_OK);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(fdb_tick(fdb, now + 70 * i * MS, due, 4, &next) > 0, true);
	assert_int_equal(due[0].what, FDB_DUE_SAY_NO);
	assert_false(fdb_lookup(fdb, &mac, now, &(struct fdb_place){ 0 }));
	/* It is there still. */
	assert_int_equal(fdb_claim_port(fdb, &mac, 1, now, now), FDB_CAME);
}

/* Addresses that follow a MAC are within the new owner's quota, or go. */
static void test_quota_follows(void **state)
{
	struct fdb_key key;

	(void)state;
	fdb_set_quota(fdb, 2);
	for (uint32_t i = 1; i <= 8; i++) {
		key = ip_key(i);
		assert_int_equal(claim('X', &key, 1, START), FDB_CAME);
		key = ip_key(100 + i);
		if (i <= 3)
			assert_int_equal(claim('B', &key, 2, START), FDB_CAME);
	}
	key = mac_key(1);
	assert_int_equal(claim('B', &key, 1, START), FDB_MOVED);
	assert_int_equal(member_of('B')->addrs, 8);
	assert_int_equal(member_of('B')->macs, 2);
	assert_int_equal(member_of('X')->addrs + member_of('X')->macs, 0);
	/* A quota that shrinks takes nothing away. */
	fdb_set_quota(fdb, 1);
	assert_int_equal(claim('B', &key, 1, START + 2000 * MS), FDB_OK);
	key = mac_key(3);
	assert_int_equal(claim('B', &key, 3, START), FDB_QUOTA);
}

/* A claimant that was waiting, and may not have so many by now. */
static void test_quota_at_the_end_of_a_contest(void **state)
{
	struct fdb_key key = mac_key(1), other = mac_key(2);
	struct fdb_place place;

	(void)state;
	fdb_set_quota(fdb, 1);
	assert_int_equal(claim('A', &key, 1, START), FDB_CAME);
	assert_int_equal(claim('B', &key, 1, START), FDB_CONTESTED);
	assert_int_equal(claim('B', &other, 2, START), FDB_CAME);
	fdb_withdraw(fdb, member_of('A'), &key, START);
	assert_false(fdb_lookup(fdb, &key, START, &place));
	assert_int_equal(member_of('B')->macs, 1);
}

static void test_full_table(void **state)
{
	struct fdb_key key;

	(void)state;
	fdb_set_quota(fdb, 16384);
	for (uint32_t i = 1; i <= FDB_PEERS_ENTRIES; i++) {
		key = i <= 16384 ? mac_key(i) : ip_key(i);
		assert_int_equal(claim('A', &key, i <= 16384 ? i : 1, START), FDB_CAME);
	}
	key = mac_key(20000);
	assert_int_equal(claim('B', &key, 20000, START), FDB_QUOTA);
	/* The rest is this host's. */
	for (uint32_t i = FDB_PEERS_ENTRIES; i < FDB_ENTRIES; i++) {
		assert_int_equal(see(100000 + i, 1 + i % 100, START), FDB_CAME);
	}
	key = mac_key(90000);
	assert_int_equal(claim('L', &key, 90000, START), FDB_QUOTA);
	assert_int_equal(fdb_add_static(fdb, member_of('B'), &key, key.addr, START), -ENOSPC);
	/* What goes makes room; forgetting all of it leaves nothing. */
	fdb_forget(fdb, member_of('A'), START);
	assert_int_equal(claim('B', &key, 90000, START), FDB_CAME);
	assert_int_equal(member_of('A')->macs + member_of('A')->addrs, 0);
	assert_int_equal(fdb_list(fdb, NULL, 0), FDB_ENTRIES - FDB_PEERS_ENTRIES + 1);
}

/* A claimant cannot make us ask without end, nor make an owner deaf by questions. */
static void test_storm_of_claims(void **state)
{
	unsigned int asked = 0, contests = 0;
	struct fdb_question question;
	struct fdb_key key;
	bool ask;

	(void)state;
	for (uint32_t i = 1; i <= 200; i++) {
		key = mac_key(i);
		assert_int_equal(claim('A', &key, i, START), FDB_CAME);
	}
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 1; i <= 200; i++) {
			key = mac_key(i);
			contests += fdb_claim(fdb, member_of('B'), &key, key.addr, FDB_LEARNED,
			                      START, &ask, &question) == FDB_CONTESTED;
			asked += ask;
			fdb_confirm(fdb, member_of('A'), &key, START);
		}
	}
	/* The clock did not advance. */
	assert_int_equal(contests, FDB_BEGIN_BURST);
	assert_int_equal(asked, FDB_BEGIN_BURST);
	/* Another claimant is still heard, until the owner has been asked enough. */
	for (uint32_t i = 1; i <= 200; i++) {
		key = mac_key(i);
		contests += claim(i & 1 ? 'C' : 'D', &key, i, START) == FDB_CONTESTED;
		fdb_confirm(fdb, member_of('A'), &key, START);
	}
	assert_int_equal(contests, FDB_ASKED_BURST);
	/* A second later. */
	contests = 0;
	for (uint32_t i = 1; i <= 200; i++) {
		key = mac_key(i);
		contests += claim('B', &key, i, START + 1000 * MS) == FDB_CONTESTED;
		fdb_confirm(fdb, member_of('A'), &key, START + 1000 * MS);
	}
	assert_int_equal(contests, FDB_BEGIN_BURST);
}

static void test_storm_of_checks(void **state)
{
	struct fdb_due due[64];
	struct fdb_question question;
	unsigned int asked = 0, yes = 0, n;
	struct fdb_key key;
	uint64_t next;

	(void)state;
	fdb_set_quota(fdb, 2500);
	for (uint32_t i = 1; i <= 2000; i++) {
		key = ip_key(i);
		assert_int_equal(claim('L', &key, 1, START), FDB_CAME);
		switch (fdb_check_local(fdb, &key, member_of('A'), START, &question)) {
		case FDB_CHECK_ASKED:
			asked++;
			break;
		case FDB_CHECK_YES:
			yes++;
			break;
		case FDB_CHECK_NO:
			fail();
		}
	}
	/* Beyond what can wait: yes, never no. */
	assert_int_equal(asked, FDB_ASKERS);
	assert_int_equal(yes, 2000 - FDB_ASKERS);
	for (uint32_t i = 1; i <= 2000; i++) {
		key = ip_key(i);
		assert_int_equal(claim('L', &key, 1, START), FDB_OK);
	}
	assert_int_equal(fdb_next(fdb), 0);
	yes = 0;
	do {
		n = fdb_tick(fdb, START, due, 64, &next);
		for (unsigned int i = 0; i < n; i++)
			yes += due[i].what == FDB_DUE_SAY_YES;
	} while (next <= START);
	assert_int_equal(yes, FDB_ASKERS);
	/* And there is room for others again. */
	assert_int_equal(fdb_check_local(fdb, &key, member_of('A'), START, &question),
	                 FDB_CHECK_ASKED);
}

/* Thousands due at once are done in several calls, and nothing is left out. */
static void test_many_due(void **state)
{
	struct fdb_due due[8];
	unsigned int calls = 0, asks = 0, n;
	struct fdb_key key;
	uint64_t next, now = START + 300 * 1000 * MS;

	(void)state;
	fdb_set_quota(fdb, 4000);
	for (uint32_t i = 1; i <= 1000; i++) {
		key = ip_key(i);
		assert_int_equal(claim('L', &key, i, START), FDB_CAME);
		key = mac_key(10000 + i);
		assert_int_equal(claim('A', &key, 10000 + i, START), FDB_CAME);
	}
	do {
		n = fdb_tick(fdb, now, due, 8, &next);
		asks += n;
		calls++;
	} while (next <= now);
	assert_int_equal(asks, 2000); /* each MAC, and each address */
	assert_true(calls > 250);
	assert_int_equal(fdb_list(fdb, NULL, 0), 2000);
	assert_int_equal(next, now + FDB_CHECK_NS / FDB_CHECKS);
}

/* Nor is the lock held for all of them when there is nothing to send. */
static void test_many_too_old(void **state)
{
	struct fdb_due due[8];
	uint64_t next, now = START + 300 * 1000 * MS;
	struct fdb_key key;

	(void)state;
	fdb_set_quota(fdb, 1000);
	for (uint32_t i = 1; i <= 1000; i++) {
		key = mac_key(i);
		assert_int_equal(claim('A', &key, i, START), FDB_CAME);
	}
	assert_int_equal(fdb_tick(fdb, now, due, 8, &next), 0);
	assert_in_range(fdb_list(fdb, NULL, 0), 500, 999);
	while (next <= now)
		assert_int_equal(fdb_tick(fdb, now, due, 8, &next), 0);
	assert_int_equal(fdb_list(fdb, NULL, 0), 0);
	assert_true(next == UINT64_MAX);
}

/* ---- the log ---- */

#define NEWS_MAX 10000
static struct fdb_news news[NEWS_MAX];

static uint32_t read_news(uint64_t after, uint32_t max, uint64_t *whole, uint64_t *last)
{
	uint32_t n = fdb_list_news(fdb, after, news, max, whole, last);

	assert_true(n <= max);
	for (uint32_t i = 1; i < n; i++)
		assert_true(news[i].sequence > news[i - 1].sequence);
	assert_int_equal(*last, fdb_last_news(fdb));
	return n;
}

/* "+m1 -i2@1": what came and went. */
static void expect_news(uint64_t after, uint64_t whole, uint64_t whole_then, const char *text)
{
	char got[1024] = "";
	uint64_t last;
	uint32_t n = read_news(after, 100, &whole, &last);

	for (uint32_t i = 0; i < n; i++) {
		char key[32];

		print_key(key, &news[i].key);
		sprintf(got + strlen(got), "%s%c%s", i ? " " : "", news[i].gone ? '-' : '+', key);
		if (news[i].key.kind != FDB_MAC)
			sprintf(got + strlen(got), "@%u", news[i].mac[5]);
	}
	assert_string_equal(got, text);
	assert_int_equal(whole, whole_then);
}

static void test_log(void **state)
{
	static const struct row came[] = {
		{ 1, 0, "claim L m1", "came", "L" },  { 2, 0, "claim L i1@m1", "came", "L@1" },
		{ 3, 0, "claim A m9", "came", "A" },  { 4, 0, "claim L j2@m2", "came", "L@2" },
		{ 5, 5000, "claim L m1", "ok", "L" },
	};
	static const struct row changed[] = {
		{ 1, 5000, "claim L i1@m2", "contested L?i1@1", "L@1?" },
		{ 2, 5067, "tick - i1", " L?i1@1", "L@1?" },
		{ 3, 5134, "tick - i1", " L?i1@1", "L@1?" },
		{ 4, 5201, "tick - i1", "", "L@2" },
	};
	static const struct row went[] = {
		{ 1, 6000, "withdraw L j2", "", "-" },
		{ 2, 6000, "claim L i3@m1", "came", "L@1" },
		{ 3, 6000, "withdraw L m1", "", "-" },
		{ 4, 6000, "look - i3", "", "-" },
	};

	(void)state;
	expect_news(0, 0, 0, "");
	RUN(came);
	expect_news(0, 0, 5, "+m1 +i1@1 +m2 +j2@2");
	expect_news(2, 0, 0, "+m2 +j2@2");
	expect_news(4, 0, 0, "");
	/* A number that was never given: another life's. */
	expect_news(5, 0, 5, "+m1 +i1@1 +m2 +j2@2");
	expect_news(UINT64_MAX, 0, 5, "+m1 +i1@1 +m2 +j2@2");
	RUN(changed);
	expect_news(0, 0, 6, "+m1 +m2 +j2@2 +i1@2");
	expect_news(4, 0, 0, "+i1@2");
	RUN(went);
	/* Addresses go with their MAC and are not told of. */
	expect_news(5, 0, 0, "-j2@2 -m1");
	expect_news(1, 0, 0, "+m2 +i1@2 -j2@2 -m1");
	expect_news(0, 0, 9, "+m2 +i1@2");
	/* One that was being told everything since number 6: what went since. */
	expect_news(3, 7, 7, "+i1@2 -m1");
	expect_news(8, 7, 7, "");
}

static void test_log_of_others(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 1, "claim L m1", "contested A?m1", "A?" },
		/* It comes here, with its address. */
		{ 4, 2, "withdraw A m1", "", "L" },
		{ 5, 3, "claim B m2", "came", "B" },
		{ 6, 4, "claim B i1@m2", "contested L?i1@1", "L@1?" },
		{ 7, 71, "tick - i1", " L?i1@1", "L@1?" },
		{ 8, 138, "tick - i1", " L?i1@1", "L@1?" },
		{ 9, 205, "tick - i1", "", "B@2" },
		{ 10, 206, "static A m1", "0", "A" },
		{ 11, 207, "static L m3", "0", "L" },
		{ 12, 208, "unstatic - m3", "0", "-" },
	};

	(void)state;
	RUN(rows);
	expect_news(1, 0, 0, "-i1@1 -m1 -m3");
	expect_news(0, 0, 7, "");
}

/* What went a minute ago is forgotten, and who missed it is told everything. */
static void test_log_forgets(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" }, { 2, 0, "claim L m2", "came", "L" },
		{ 3, 0, "claim L m3", "came", "L" }, { 4, 0, "withdraw L m2", "", "-" },
		{ 5, 59999, "tick - m2", "", "-" },
	};
	static const struct row later[] = {
		{ 1, 60000, "tick - m2", "", "-" },
	};
	static const struct row more[] = {
		{ 1, 60000, "withdraw L m1", "", "-" },
	};

	(void)state;
	RUN(rows);
	expect_news(3, 0, 0, "-m2");
	RUN(later);
	expect_news(3, 0, 5, "+m1 +m3");
	RUN(more);
	expect_news(3, 0, 6, "+m3");
	expect_news(4, 0, 0, "-m1");
	/* In the midst of everything: begun after m2 went, it goes on; begun before, anew. */
	expect_news(1, 5, 5, "+m3 -m1");
	expect_news(1, 4, 6, "+m3");
}

/* Thousands of changes: the log is bounded, and a slow reader sees what there is. */
static void test_log_is_bounded(void **state)
{
	static bool held[3000];
	uint64_t after = 0, whole = 0, last = 1, begun = 0, seed = 3;
	unsigned int calls = 0, anew = 0, most = 0;
	struct fdb_key key;

	(void)state;
	fdb_set_quota(fdb, 16384);
	for (uint32_t i = 1; i <= 20000; i++) {
		key = mac_key(1 + i % 3000);
		if (claim('L', &key, 0, START) == FDB_OK)
			fdb_withdraw(fdb, member_of('L'), &key, START);
	}
	assert_int_equal(fdb_last_news(fdb), 20000);
	/* As far back as it knows what went, and not one further. */
	for (uint64_t from = 19999;; from--) {
		uint32_t gone = 0, n;

		whole = 0;
		n = read_news(from, NEWS_MAX, &whole, &last);
		if (whole)
			break;
		for (uint32_t i = 0; i < n; i++)
			gone += news[i].gone;
		most = gone > most ? gone : most;
		from -= from > 16000 ? 500 : 0;
	}
	assert_in_range(most, FDB_GONE_MAX - 2, FDB_GONE_MAX);
	whole = 0;
	/* The reader, while changes go on: now and then one, then none. */
	while (after < last) {
		uint32_t n;

		if (calls++ < 50) {
			uint32_t number = 1 + (uint32_t)(unit_random(&seed) % 3000);

			key = mac_key(number);
			if (claim('L', &key, 0, START + calls * 1000 * MS) == FDB_OK)
				fdb_withdraw(fdb, member_of('L'), &key, START + calls * 1000 * MS);
		}
		n = read_news(after, 48, &whole, &last);
		if (whole && whole != begun) {
			memset(held, 0, sizeof(held));
			begun = whole;
			anew++;
		}
		for (uint32_t i = 0; i < n; i++)
			held[(news[i].key.addr[4] << 8 | news[i].key.addr[5]) - 1] = !news[i].gone;
		after = n ? news[n - 1].sequence : last;
	}
	assert_in_range(anew, 1, 3);
	for (uint32_t i = 0; i < 3000; i++) {
		struct fdb_place place;

		key = mac_key(i + 1);
		assert_int_equal(fdb_lookup(fdb, &key, START, &place), held[i]);
	}
}

static void test_retired_member(void **state)
{
	struct network network = { .fdb = fdb };
	struct device *device;
	struct member *member;
	struct fdb_key key = mac_key(1);
	struct fdb_question question;
	struct fdb_counts counts;
	bool ask;

	(void)state;
	assert_int_equal(device_open(&device, &environment_system), 0);
	network.device = device;
	member = member_create(&network, &peers[1]);
	assert_non_null(member);
	assert_int_equal(
		fdb_claim(fdb, member, &key, key.addr, FDB_LEARNED, START, &ask, &question),
		FDB_CAME);
	member_retire(member);
	/* A worker that holds it still. */
	assert_int_equal(
		fdb_claim(fdb, member, &key, key.addr, FDB_LEARNED, START, &ask, &question),
		FDB_REFUSED);
	device_close(device);
	fdb_get_counts(fdb, &counts);
	assert_int_equal(counts.entries, 0);
}

/* Workers and the control thread at once. */
static void *work(void *arg)
{
	char who = *(const char *)arg;
	uint64_t random = (uint64_t)who, next, last, whole = 0;
	struct fdb_question question;
	struct fdb_info info[16];
	struct fdb_news some[4];
	struct fdb_due due[4];

	for (uint64_t i = 0; i < 20000; i++) {
		uint64_t now = START + i * MS;
		struct fdb_key key = mac_key((uint32_t)(unit_random(&random) % 40));

		switch (unit_random(&random) % 8) {
		case 0:
			fdb_withdraw(fdb, member_of(who), &key, now);
			break;
		case 1:
			assert_in_range(fdb_check_local(fdb, &key, member_of(who), now, &question),
			                FDB_CHECK_YES, FDB_CHECK_ASKED);
			break;
		case 2:
			(void)fdb_list_news(fdb, i, some, 4, &whole, &last);
			(void)fdb_list(fdb, info, 16);
			break;
		default:
			(void)claim(who, &key, 0, now);
			if (fdb_next(fdb) <= now)
				(void)fdb_tick(fdb, now, due, 4, &next);
		}
	}
	return NULL;
}

static void test_threads(void **state)
{
	static const char who[] = "LAB";
	pthread_t threads[3];
	struct fdb_counts counts;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)&who[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	fdb_get_counts(fdb, &counts);
	assert_true(counts.came && counts.withdrawn && counts.contests);
	for (int i = 0; i < 3; i++)
		fdb_forget(fdb, member_of(who[i]), START);
	assert_int_equal(fdb_list(fdb, NULL, 0), 0);
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_flood_of_macs),
		ROW(test_flood_of_addresses),
		ROW(test_flood_of_a_port),
		ROW(test_addresses_of_a_port),
		ROW(test_contests_of_a_port),
		ROW(test_the_bridge_answers),
		ROW(test_quota_follows),
		ROW(test_quota_at_the_end_of_a_contest),
		ROW(test_full_table),
		ROW(test_storm_of_claims),
		ROW(test_storm_of_checks),
		ROW(test_many_due),
		ROW(test_many_too_old),
		ROW(test_log),
		ROW(test_log_of_others),
		ROW(test_log_forgets),
		ROW(test_log_is_bounded),
		ROW(test_retired_member),
		ROW(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
