/* SPDX-License-Identifier: MIT */
/* Where local addresses live: each transition of neigh.h, thieves, scans, limits. */
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/neigh.h"

#define MS    UINT64_C(1000000)
#define START ((uint64_t)3600 * 1000 * MS) /* an hour after boot: the limit's credit is whole */

static struct stage_pool pool;
static struct neigh_table *table;

static int setup(void **state)
{
	(void)state;
	if (secret_init() || stage_pool_init(&pool))
		return -1;
	table = neigh_open(&pool);
	return table ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	neigh_close(table);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
	stage_pool_fini(&pool);
	return 0;
}

static struct neigh_addr addr4(uint32_t low)
{
	struct neigh_addr addr = { .family = 4, .addr = { 172, 20 } };

	addr.addr[2] = (uint8_t)(low >> 8);
	addr.addr[3] = (uint8_t)low;
	return addr;
}

static struct neigh_addr addr6(uint32_t low)
{
	struct neigh_addr addr = { .family = 6, .addr = { 0xfd, 0, 0, 1 } };

	addr.addr[13] = (uint8_t)(low >> 16);
	addr.addr[14] = (uint8_t)(low >> 8);
	addr.addr[15] = (uint8_t)low;
	return addr;
}

/* 'A' and so on; '*': everyone. */
static void mac_of(uint8_t mac[ETHER_ADDR_SIZE], char who)
{
	memset(mac, 0xff, ETHER_ADDR_SIZE);
	if (who != '*') {
		memcpy(mac, (const uint8_t[]){ 2, 0x42, 0, 0, 0 }, 5);
		mac[5] = (uint8_t)who;
	}
}

static char who_is(const uint8_t mac[ETHER_ADDR_SIZE])
{
	return mac[5] == 0xff ? '*' : (char)mac[5];
}

static enum neigh_verdict look(const struct neigh_addr *addr, uint64_t now,
                               uint8_t mac[ETHER_ADDR_SIZE], bool *ask,
                               struct neigh_question *question)
{
	return neigh_lookup(table, addr, now, mac, ask, question);
}

/* ---- the table of states, row by row ---- */

enum op { LOOKUP, REQUEST, ANSWER, TICK };

/* What happens at a time, and what must come of it. */
struct row {
	int number;
	unsigned int ms;
	enum op op;
	char from; /* whose REQUEST or ANSWER */
	enum neigh_verdict verdict; /* of a LOOKUP */
	char asked; /* who is asked: '-' nobody */
	enum neigh_state state; /* afterwards */
	char mac; /* in use afterwards; '-': not known */
	int next_ms; /* of a TICK: when the next; -1: never */
};

static enum neigh_state state_of(const struct neigh_addr *addr, char *mac)
{
	static struct neigh_info info[NEIGH_ENTRIES];
	uint32_t n = neigh_list(table, info, NEIGH_ENTRIES);

	*mac = '-';
	for (uint32_t i = 0; i < n; i++) {
		if (memcmp(&info[i].addr, addr, sizeof(*addr)) != 0)
			continue;
		if (info[i].state != NEIGH_INCOMPLETE && info[i].state != NEIGH_FAILED)
			*mac = who_is(info[i].mac);
		return info[i].state;
	}
	return NEIGH_FREE;
}

static void run_row(const struct row *row, const struct neigh_addr *addr)
{
	uint64_t now = START + row->ms * MS, next = 0;
	struct neigh_question question = { .addr.family = 0 };
	uint8_t mac[ETHER_ADDR_SIZE];
	enum neigh_state state;
	unsigned int lost;
	bool ask = false;
	char in_use;

	switch (row->op) {
	case LOOKUP:
		assert_int_equal(look(addr, now, mac, &ask, &question), row->verdict);
		if (row->verdict == NEIGH_KNOWN)
			assert_int_equal(who_is(mac), row->mac);
		break;
	case REQUEST:
	case ANSWER:
		mac_of(mac, row->from);
		assert_false(
			neigh_learn(table, addr, mac, row->op == ANSWER, now, &ask, &question));
		break;
	case TICK:
		ask = neigh_tick(table, now, &question, 1, &next, &lost) == 1;
		if (row->next_ms >= 0)
			assert_int_equal(next, START + (uint64_t)row->next_ms * MS);
		else
			assert_true(next == UINT64_MAX);
		assert_int_equal(lost, 0);
		break;
	}
	assert_int_equal(ask ? who_is(question.mac) : '-', row->asked);
	if (ask)
		assert_memory_equal(&question.addr, addr, sizeof(*addr));
	state = state_of(addr, &in_use);
	assert_int_equal(state, row->state);
	assert_int_equal(in_use, row->mac);
}

static void run_rows(const struct row *rows, size_t count)
{
	struct neigh_addr addr[2] = { addr4(0x6507), addr6(7) };

	for (int family = 0; family < 2; family++) {
		neigh_close(table);
		table = neigh_open(&pool);
		assert_non_null(table);
		for (size_t i = 0; i < count; i++) {
			struct row row = rows[i];

			print_message("%s row %d\n", family ? "IPv6" : "IPv4", row.number);
			run_row(&row, &addr[family]);
		}
	}
}

#define KNOWN   NEIGH_KNOWN
#define WAIT    NEIGH_WAIT
#define UNKNOWN NEIGH_UNKNOWN

/* Asked for, and nobody answers. */
static void test_silence(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, LOOKUP, 0, WAIT, '*', NEIGH_INCOMPLETE, '-', 0 },
		{ 2, 1, LOOKUP, 0, WAIT, '-', NEIGH_INCOMPLETE, '-', 0 },
		{ 3, 1, TICK, 0, 0, '-', NEIGH_INCOMPLETE, '-', 1000 },
		{ 4, 999, TICK, 0, 0, '-', NEIGH_INCOMPLETE, '-', 1000 },
		{ 5, 1000, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 2000 },
		{ 6, 2000, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 3000 },
		{ 7, 2999, LOOKUP, 0, WAIT, '-', NEIGH_INCOMPLETE, '-', 0 },
		{ 8, 3000, TICK, 0, 0, '-', NEIGH_FAILED, '-', 4000 },
		{ 9, 3500, LOOKUP, 0, UNKNOWN, '-', NEIGH_FAILED, '-', 0 },
		{ 10, 3999, LOOKUP, 0, UNKNOWN, '-', NEIGH_FAILED, '-', 0 },
		/* A second later it is asked for again, tick or no tick. */
		{ 11, 4000, LOOKUP, 0, WAIT, '*', NEIGH_INCOMPLETE, '-', 0 },
		{ 12, 5000, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 6000 },
		{ 13, 6000, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 7000 },
		{ 14, 7000, TICK, 0, 0, '-', NEIGH_FAILED, '-', 8000 },
		{ 15, 8000, TICK, 0, 0, '-', NEIGH_FREE, '-', -1 },
		{ 16, 8001, LOOKUP, 0, WAIT, '*', NEIGH_INCOMPLETE, '-', 0 },
		/* A tick that comes late asks once, not once for each second. */
		{ 17, 12000, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 13000 },
	};

	(void)state;
	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_resolved(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, LOOKUP, 0, WAIT, '*', NEIGH_INCOMPLETE, '-', 0 },
		{ 2, 10, ANSWER, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 3, 11, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 4, 11, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		{ 5, 5009, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'A', 0 },
		/* After 5 s the next use asks the MAC itself. */
		{ 6, 5010, LOOKUP, 0, KNOWN, 'A', NEIGH_PROBING, 'A', 0 },
		{ 7, 5011, LOOKUP, 0, KNOWN, '-', NEIGH_PROBING, 'A', 0 },
		{ 8, 5020, ANSWER, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 9, 5021, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		/* What it asks for itself confirms it just as well. */
		{ 10, 9000, REQUEST, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 11, 13999, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 12, 14000, LOOKUP, 0, KNOWN, 'A', NEIGH_PROBING, 'A', 0 },
		{ 13, 14249, TICK, 0, 0, '-', NEIGH_PROBING, 'A', 14250 },
		{ 14, 14250, TICK, 0, 0, 'A', NEIGH_PROBING, 'A', 14500 },
		{ 15, 14500, TICK, 0, 0, 'A', NEIGH_PROBING, 'A', 14750 },
		{ 16, 14600, LOOKUP, 0, KNOWN, '-', NEIGH_PROBING, 'A', 0 },
		/* Silent: everyone is asked. */
		{ 17, 14750, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 15750 },
		{ 18, 14751, LOOKUP, 0, WAIT, '-', NEIGH_INCOMPLETE, '-', 0 },
		{ 19, 14760, ANSWER, 'B', 0, '-', NEIGH_REACHABLE, 'B', 0 },
		{ 20, 14761, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'B', 0 },
	};

	(void)state;
	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

static void test_heard_of_unasked(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, REQUEST, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 2, 1, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'A', 0 },
		/* Failed, then it speaks. */
		{ 3, 6000, LOOKUP, 0, KNOWN, 'A', NEIGH_PROBING, 'A', 0 },
		{ 4, 6250, TICK, 0, 0, 'A', NEIGH_PROBING, 'A', 6500 },
		{ 5, 6500, TICK, 0, 0, 'A', NEIGH_PROBING, 'A', 6750 },
		{ 6, 6750, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 7750 },
		{ 7, 7750, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 8750 },
		{ 8, 8750, TICK, 0, 0, '*', NEIGH_INCOMPLETE, '-', 9750 },
		{ 9, 9750, TICK, 0, 0, '-', NEIGH_FAILED, '-', 10750 },
		{ 10, 10000, REQUEST, 'B', 0, '-', NEIGH_REACHABLE, 'B', 0 },
		{ 11, 10750, TICK, 0, 0, '-', NEIGH_REACHABLE, 'B', -1 },
		{ 12, 10751, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'B', 0 },
	};

	(void)state;
	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/* A container started again with another MAC: believed 750 ms after it spoke. */
static void test_restarted(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, REQUEST, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 2, 100, REQUEST, 'B', 0, 'A', NEIGH_CONTESTED, 'A', 0 },
		{ 3, 200, LOOKUP, 0, KNOWN, '-', NEIGH_CONTESTED, 'A', 0 },
		{ 4, 200, REQUEST, 'B', 0, '-', NEIGH_CONTESTED, 'A', 0 },
		{ 5, 349, TICK, 0, 0, '-', NEIGH_CONTESTED, 'A', 350 },
		{ 6, 350, TICK, 0, 0, 'A', NEIGH_CONTESTED, 'A', 600 },
		{ 7, 600, TICK, 0, 0, 'A', NEIGH_CONTESTED, 'A', 850 },
		{ 8, 849, TICK, 0, 0, '-', NEIGH_CONTESTED, 'A', 850 },
		{ 9, 850, TICK, 0, 0, '-', NEIGH_REACHABLE, 'B', -1 },
		{ 10, 851, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'B', 0 },
		/* While the old one is being probed: asked three times all the same. */
		{ 11, 5850, LOOKUP, 0, KNOWN, 'B', NEIGH_PROBING, 'B', 0 },
		{ 12, 5900, ANSWER, 'C', 0, 'B', NEIGH_CONTESTED, 'B', 0 },
		{ 13, 6100, TICK, 0, 0, '-', NEIGH_CONTESTED, 'B', 6150 },
		{ 14, 6150, TICK, 0, 0, 'B', NEIGH_CONTESTED, 'B', 6400 },
		{ 15, 6400, TICK, 0, 0, 'B', NEIGH_CONTESTED, 'B', 6650 },
		{ 16, 6650, TICK, 0, 0, '-', NEIGH_REACHABLE, 'C', -1 },
		/* Two challengers: the first is heard to the end. */
		{ 17, 7000, ANSWER, 'D', 0, 'C', NEIGH_CONTESTED, 'C', 0 },
		{ 18, 7001, ANSWER, 'E', 0, '-', NEIGH_CONTESTED, 'C', 0 },
		{ 19, 7250, TICK, 0, 0, 'C', NEIGH_CONTESTED, 'C', 7500 },
		{ 20, 7400, ANSWER, 'E', 0, '-', NEIGH_CONTESTED, 'C', 0 },
		{ 21, 7500, TICK, 0, 0, 'C', NEIGH_CONTESTED, 'C', 7750 },
		{ 22, 7750, TICK, 0, 0, '-', NEIGH_REACHABLE, 'D', -1 },
	};

	(void)state;
	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/* A thief claims the address of one that is there: it never moves. */
static void test_thief(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, REQUEST, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 2, 100, ANSWER, 'T', 0, 'A', NEIGH_CONTESTED, 'A', 0 },
		{ 3, 101, ANSWER, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 4, 102, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		{ 5, 601, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		{ 6, 700, ANSWER, 'T', 0, 'A', NEIGH_CONTESTED, 'A', 0 },
		/* In time is what comes before the contest was ended, be the tick late. */
		{ 7, 1600, REQUEST, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 8, 1601, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		/* Two of three questions, or their answers, are lost. */
		{ 9, 2000, ANSWER, 'T', 0, 'A', NEIGH_CONTESTED, 'A', 0 },
		{ 10, 2250, TICK, 0, 0, 'A', NEIGH_CONTESTED, 'A', 2500 },
		{ 11, 2500, TICK, 0, 0, 'A', NEIGH_CONTESTED, 'A', 2750 },
		{ 12, 2749, ANSWER, 'A', 0, '-', NEIGH_REACHABLE, 'A', 0 },
		{ 13, 2750, TICK, 0, 0, '-', NEIGH_REACHABLE, 'A', -1 },
		{ 14, 2751, LOOKUP, 0, KNOWN, '-', NEIGH_REACHABLE, 'A', 0 },
	};

	(void)state;
	run_rows(rows, sizeof(rows) / sizeof(rows[0]));
}

/*
 * The thief claims it a thousand times a second for a minute, for 100 addresses.
 * Owners answer what they are asked, 20 ms later. Not one lookup gives his MAC.
 */
static void test_thief_floods(void **state)
{
	enum { OWNERS = 100, DELAY = 20 };
	static uint64_t answer_at[OWNERS];
	struct neigh_question questions[16];
	uint8_t owner[ETHER_ADDR_SIZE], thief[ETHER_ADDR_SIZE], mac[ETHER_ADDR_SIZE];
	unsigned int asked = 0, contests = 0, lost;
	uint64_t next;
	bool ask;

	(void)state;
	memset(answer_at, 0, sizeof(answer_at));
	mac_of(owner, 'A');
	mac_of(thief, 'T');
	for (uint32_t i = 0; i < OWNERS; i++) {
		struct neigh_addr addr = addr4(i);

		(void)neigh_learn(table, &addr, owner, false, START, &ask, questions);
	}
	for (unsigned int ms = 1; ms <= 60000; ms++) {
		uint64_t now = START + ms * MS;
		struct neigh_addr addr = addr4(ms % OWNERS);
		unsigned int n;

		(void)neigh_learn(table, &addr, thief, true, now, &ask, &questions[0]);
		if (ask) {
			contests++;
			asked++;
			assert_memory_equal(questions[0].mac, owner, sizeof(owner));
			answer_at[questions[0].addr.addr[3]] = ms + DELAY;
		}
		n = neigh_tick(table, now, questions, 16, &next, &lost);
		asked += n;
		for (unsigned int i = 0; i < n; i++)
			answer_at[questions[i].addr.addr[3]] = ms + DELAY;
		for (uint32_t i = 0; i < OWNERS; i++) {
			if (answer_at[i] != ms)
				continue;
			addr = addr4(i);
			(void)neigh_learn(table, &addr, owner, true, now, &ask, &questions[0]);
		}
		addr = addr4((ms * 7) % OWNERS);
		assert_int_equal(look(&addr, now, mac, &ask, &questions[0]), NEIGH_KNOWN);
		assert_memory_equal(mac, owner, sizeof(owner));
		if (ask) {
			asked++;
			answer_at[questions[0].addr.addr[3]] = ms + DELAY;
		}
	}
	assert_true(contests > 1000); /* there was something to resist */
	assert_in_range(asked, 1, 60 * 250 + 50);
}

/* ---- quotas and limits ---- */

/*
 * A peer scans a /16 at 20,000 addresses a second. What is known stays known, the
 * table is bounded, questions keep their limit, and when it is over, strangers are
 * found again.
 */
static void test_scan(void **state)
{
	enum { KNOWN_ONES = 500 };
	static struct neigh_info info[NEIGH_ENTRIES];
	struct neigh_question questions[16];
	uint8_t mac[ETHER_ADDR_SIZE];
	unsigned int asked = 0, probed = 0, lost, unresolved = 0;
	uint64_t next, now = START;
	struct neigh_addr addr;
	uint32_t count;
	bool ask;

	(void)state;
	mac_of(mac, 'A');
	for (uint32_t i = 0; i < KNOWN_ONES; i++) {
		addr = addr6(i);
		(void)neigh_learn(table, &addr, mac, false, now, &ask, questions);
	}
	for (uint32_t i = 0; i < 65536; i++) {
		unsigned int n;

		now = START + i * MS / 20;
		addr = addr4(i);
		(void)look(&addr, now, mac, &ask, questions);
		asked += ask;
		if (i % 100 == 0) {
			n = neigh_tick(table, now, questions, 16, &next, &lost);
			asked += n;
			assert_int_equal(lost, 0);
			addr = addr6(i / 100 % KNOWN_ONES);
			assert_int_equal(look(&addr, now, mac, &ask, questions), NEIGH_KNOWN);
			assert_int_equal(who_is(mac), 'A');
			probed += ask;
		}
	}
	assert_int_equal(probed, 0);
	/* 250 a second over 3.3 s, and the burst. */
	assert_in_range(asked, 50, 250 * 33 / 10 + 60);
	count = neigh_list(table, info, NEIGH_ENTRIES);
	for (uint32_t i = 0; i < count; i++)
		unresolved += info[i].state == NEIGH_INCOMPLETE || info[i].state == NEIGH_FAILED;
	assert_int_equal(unresolved, NEIGH_UNRESOLVED);
	assert_int_equal(count, KNOWN_ONES + NEIGH_UNRESOLVED);

	/* It ends by itself, with ticks at the times they are wanted only. */
	next = now;
	for (unsigned int i = 0; next != UINT64_MAX; i++) {
		assert_true(i < 100000);
		assert_true(next >= now);
		now = next;
		(void)neigh_tick(table, now, questions, 16, &next, &lost);
	}
	assert_true(now < START + 30000 * MS);
	assert_int_equal(neigh_list(table, info, NEIGH_ENTRIES), KNOWN_ONES);
	addr = addr4(5);
	assert_int_equal(look(&addr, now, mac, &ask, questions), NEIGH_WAIT);
	assert_true(ask);
}

/* The oldest that failed makes room for the next; those still asked for do not. */
static void test_unresolved_quota(void **state)
{
	struct neigh_question questions[NEIGH_UNRESOLVED];
	uint8_t mac[ETHER_ADDR_SIZE];
	struct neigh_addr addr;
	uint64_t next, now = START;
	unsigned int lost;
	char in_use;
	bool ask;

	(void)state;
	for (uint32_t i = 0; i < NEIGH_UNRESOLVED; i++) {
		addr = addr4(i);
		assert_int_equal(look(&addr, now, mac, &ask, questions), NEIGH_WAIT);
	}
	addr = addr4(60000);
	assert_int_equal(look(&addr, now, mac, &ask, questions), NEIGH_UNKNOWN);
	assert_false(ask);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_FREE);
	/* Someone who speaks himself is not a matter of that quota. */
	mac_of(mac, 'A');
	assert_false(neigh_learn(table, &addr, mac, false, now, &ask, questions));
	assert_int_equal(state_of(&addr, &in_use), NEIGH_REACHABLE);

	/* Until the first has failed. */
	addr = addr4(0);
	while (state_of(&addr, &in_use) != NEIGH_FAILED) {
		(void)neigh_tick(table, now, questions, NEIGH_UNRESOLVED, &next, &lost);
		assert_true(now < START + 60000 * MS);
		now += 50 * MS;
	}
	addr = addr4(60001);
	assert_int_equal(look(&addr, now, mac, &ask, questions), NEIGH_WAIT);
	addr = addr4(0);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_FREE);
}

/* 50 at once and 250 a second for each half; neither takes from the other. */
static void test_question_limit(void **state)
{
	struct neigh_question questions[64];
	uint8_t a[ETHER_ADDR_SIZE], b[ETHER_ADDR_SIZE], mac[ETHER_ADDR_SIZE];
	unsigned int unknown = 0, known = 0, lost;
	uint64_t next;
	bool ask;

	(void)state;
	mac_of(a, 'A');
	mac_of(b, 'B');
	for (uint32_t i = 0; i < 2000; i++) {
		struct neigh_addr addr = addr6(i);

		(void)neigh_learn(table, &addr, a, false, START - MS, &ask, questions);
	}
	for (uint32_t i = 0; i < 500; i++) {
		struct neigh_addr addr = addr4(i);

		(void)look(&addr, START, mac, &ask, questions);
		unknown += ask;
	}
	assert_int_equal(unknown, 50);
	for (uint32_t i = 0; i < 500; i++) {
		struct neigh_addr addr = addr6(i);
		char in_use;

		(void)neigh_learn(table, &addr, b, true, START, &ask, questions);
		known += ask;
		/* What was not asked is not contested, so that silence proves nothing. */
		assert_int_equal(state_of(&addr, &in_use), ask ? NEIGH_CONTESTED : NEIGH_REACHABLE);
	}
	assert_int_equal(known, 50);

	/* Those that are owed a question get it in their turn; contests have theirs repeated. */
	unknown = known = 0;
	assert_int_equal(neigh_tick(table, START, questions, 64, &next, &lost), 0);
	assert_int_equal(next, START + 4 * MS);
	for (unsigned int ms = 1; ms < 1000; ms++) {
		unsigned int n = neigh_tick(table, START + ms * MS, questions, 64, &next, &lost);

		for (unsigned int i = 0; i < n; i++) {
			struct neigh_addr addr = addr4(50 + unknown);

			if (questions[i].addr.family == 6) {
				known++;
				continue;
			}
			assert_memory_equal(&questions[i].addr, &addr, sizeof(addr));
			unknown++;
		}
	}
	assert_int_equal(unknown, 249);
	assert_int_equal(known, 2 * 50);
}

/* No more than @max questions at a time; the rest at once after. */
static void test_tick_in_portions(void **state)
{
	struct neigh_question questions[8];
	uint8_t mac[ETHER_ADDR_SIZE];
	uint64_t next, now = START;
	unsigned int lost;
	bool ask;

	(void)state;
	for (uint32_t i = 0; i < 20; i++) {
		struct neigh_addr addr = addr4(i);

		(void)look(&addr, now, mac, &ask, questions);
	}
	now += 1000 * MS;
	assert_int_equal(neigh_tick(table, now, questions, 8, &next, &lost), 8);
	assert_int_equal(next, now);
	assert_int_equal(neigh_tick(table, now, questions, 8, &next, &lost), 8);
	assert_int_equal(next, now);
	assert_int_equal(neigh_tick(table, now, questions, 8, &next, &lost), 4);
	assert_int_equal(next, now + 1000 * MS);
}

/*
 * A full table: nothing that is in use goes. What nobody wanted goes for what
 * somebody wants, the oldest first; what was wanted ten minutes ago goes for all.
 */
static void test_full_table(void **state)
{
	struct neigh_question question;
	uint8_t a[ETHER_ADDR_SIZE], mac[ETHER_ADDR_SIZE];
	struct neigh_addr addr, wanted = addr6(1), spoken = addr6(2);
	const uint64_t later = START + 600 * 1000 * MS;
	char in_use;
	bool ask;

	(void)state;
	mac_of(a, 'A');
	for (uint32_t i = 0; i < NEIGH_ENTRIES; i++) {
		addr = addr4(i);
		(void)neigh_learn(table, &addr, a, false, START, &ask, &question);
	}
	/* A request does not push anything out of it. */
	(void)neigh_learn(table, &spoken, a, false, START + 1, &ask, &question);
	assert_int_equal(state_of(&spoken, &in_use), NEIGH_FREE);

	/* All but numbers 0 and 1 are wanted, in an order of their own. */
	for (uint32_t i = NEIGH_ENTRIES - 1; i >= 2; i--) {
		addr = addr4(i);
		assert_int_equal(look(&addr, START + 1000 * MS + i, mac, &ask, &question),
		                 NEIGH_KNOWN);
	}
	assert_int_equal(look(&wanted, START + 2000 * MS, mac, &ask, &question), NEIGH_WAIT);
	assert_true(ask);
	addr = addr4(0);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_FREE);
	addr = addr4(1);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_REACHABLE);
	(void)neigh_learn(table, &spoken, a, true, START + 2000 * MS, &ask, &question);
	assert_int_equal(state_of(&spoken, &in_use), NEIGH_REACHABLE);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_FREE);

	/* The first of those in use was NEIGH_ENTRIES - 1. */
	assert_int_equal(look(&spoken, START + 2001 * MS, mac, &ask, &question), NEIGH_KNOWN);
	addr = addr4(0);
	assert_int_equal(look(&addr, later - MS, mac, &ask, &question), NEIGH_UNKNOWN);
	(void)neigh_learn(table, &addr, a, false, later + 1001 * MS, &ask, &question);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_REACHABLE);
	addr = addr4(NEIGH_ENTRIES - 1);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_FREE);
	addr = addr4(NEIGH_ENTRIES - 2);
	assert_int_equal(state_of(&addr, &in_use), NEIGH_REACHABLE);
	assert_int_equal(neigh_list(table, NULL, 0), NEIGH_ENTRIES);
}

/* ---- packets that wait ---- */

static uint8_t packet[STAGE_FRAME_MAX];

static unsigned int hold(const struct neigh_addr *addr, uint8_t mark, uint32_t len)
{
	uint8_t mac[ETHER_ADDR_SIZE];
	unsigned int lost;

	memset(packet, mark, len);
	return neigh_hold(table, addr, packet, len, mac, &lost) == NEIGH_WAIT ? lost : 1;
}

static void test_waiting(void **state)
{
	struct neigh_addr addr = addr4(1), other = addr4(2);
	struct neigh_question question;
	uint8_t mac[ETHER_ADDR_SIZE];
	unsigned int lost = 0;
	bool ask;

	(void)state;
	/* For an address that nobody asked for nothing can wait. */
	assert_int_equal(neigh_hold(table, &addr, packet, 100, mac, &lost), NEIGH_UNKNOWN);
	assert_int_equal(lost, 0);
	assert_int_equal(look(&addr, START, mac, &ask, &question), NEIGH_WAIT);
	assert_int_equal(look(&other, START, mac, &ask, &question), NEIGH_WAIT);
	assert_int_equal(hold(&other, 99, 60), 0);
	for (uint8_t i = 0; i < 20; i++)
		lost += hold(&addr, i, 1000 + i * 200u);
	assert_int_equal(lost, 20 - NEIGH_WAITING);
	assert_int_equal(neigh_release(table, &addr, packet), 0); /* not known yet */

	mac_of(mac, 'A');
	assert_true(neigh_learn(table, &addr, mac, true, START + MS, &ask, &question));
	/* Too late to wait, as another worker heard the answer: it can go at once. */
	memset(mac, 0, sizeof(mac));
	assert_int_equal(neigh_hold(table, &addr, packet, 100, mac, &lost), NEIGH_KNOWN);
	assert_int_equal(lost, 0);
	assert_int_equal(mac[ETHER_ADDR_SIZE - 1], 'A');
	for (uint8_t i = 20 - NEIGH_WAITING; i < 20; i++) {
		assert_int_equal(neigh_release(table, &addr, packet), 1000 + i * 200u);
		assert_int_equal(packet[0], i);
		assert_int_equal(packet[1000 + i * 200u - 1], i);
	}
	assert_int_equal(neigh_release(table, &addr, packet), 0);
	assert_false(neigh_learn(table, &addr, mac, true, START + 2 * MS, &ask, &question));

	assert_true(neigh_learn(table, &other, mac, false, START + 2 * MS, &ask, &question));
	assert_int_equal(neigh_release(table, &other, packet), 60);
	assert_int_equal(packet[59], 99);
}

/* Each packet that waited in vain is told once. */
static void test_waiting_in_vain(void **state)
{
	struct neigh_question questions[4];
	struct neigh_addr addr = addr4(1), other = addr6(1);
	uint8_t mac[ETHER_ADDR_SIZE];
	unsigned int lost, all = 0;
	uint64_t next = START;
	bool ask;

	(void)state;
	assert_int_equal(look(&addr, START, mac, &ask, questions), NEIGH_WAIT);
	assert_int_equal(look(&other, START, mac, &ask, questions), NEIGH_WAIT);
	for (uint8_t i = 0; i < 5; i++)
		assert_int_equal(hold(&addr, i, 1500), 0);
	for (uint8_t i = 0; i < 3; i++)
		assert_int_equal(hold(&other, i, 65535), 0);
	while (next != UINT64_MAX) {
		uint64_t now = next;

		(void)neigh_tick(table, now, questions, 4, &next, &lost);
		if (lost)
			assert_int_equal(now, START + 3000 * MS);
		all += lost;
	}
	assert_int_equal(all, 8);
	assert_int_equal(pool.free_count, STAGE_CHUNKS);
	/* What still waits at the end goes back to the pool: see teardown(). */
	assert_int_equal(look(&addr, START, mac, &ask, questions), NEIGH_WAIT);
	assert_int_equal(hold(&addr, 1, 1500), 0);
}

/* ---- threads ---- */

static void *use_table(void *arg)
{
	uint64_t seed = *(const uint64_t *)arg, next;
	struct neigh_question questions[4];
	uint8_t mac[ETHER_ADDR_SIZE], *room = malloc(STAGE_FRAME_MAX);
	struct neigh_info info[8];
	unsigned int lost;
	bool ask;

	for (int i = 0; room && i < 20000; i++) {
		uint64_t now = START + (uint64_t)i * MS;
		struct neigh_addr addr = addr4((uint32_t)(unit_random(&seed) >> 32) % 64);

		switch (unit_random(&seed) >> 60) {
		case 0:
			(void)neigh_tick(table, now, questions, 4, &next, &lost);
			break;
		case 1:
			(void)neigh_list(table, info, 8);
			break;
		case 2:
		case 3:
			mac_of(mac, (char)('A' + (seed >> 40 & 1)));
			if (neigh_learn(table, &addr, mac, true, now, &ask, questions)) {
				while (neigh_release(table, &addr, room))
					;
			}
			break;
		default:
			if (neigh_lookup(table, &addr, now, mac, &ask, questions) == NEIGH_WAIT &&
			    neigh_hold(table, &addr, packet, 60, mac, &lost) == NEIGH_UNKNOWN)
				lost++;
		}
	}
	free(room);
	return NULL;
}

static void test_threads(void **state)
{
	static uint64_t seeds[3] = { 1, 2, 3 };
	pthread_t threads[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_table, &seeds[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_heard_of_unasked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restarted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thief, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thief_floods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unresolved_quota, setup, teardown),
		cmocka_unit_test_setup_teardown(test_question_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tick_in_portions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_in_vain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
