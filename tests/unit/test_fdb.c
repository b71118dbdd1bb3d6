/* SPDX-License-Identifier: MIT */
/*
 * To whom a station belongs: each rule of fdb.h in numbered rows, on a virtual clock,
 * with what must not happen beside what must. Then what needs loops: quotas, a full
 * table, storms, the log.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/device.h"
#include "dataplane/fdb.h"
#include "dataplane/member.h"
#include "dataplane/peer.h"

#define MS    UINT64_C(1000000)
#define START ((uint64_t)3600 * 1000 * MS) /* an hour after boot: buckets are full */

/* L: this host. A to D: peers with a session. S: a peer without. X: a dead one. */
static const char names[] = "LABCDSX";
#define MEMBERS (sizeof(names) - 1)

static struct fdb *fdb;
static struct member members[MEMBERS];
static struct peer peers[MEMBERS];
static struct keypair session;

static struct member *member_of(char name)
{
	const char *at = strchr(names, name);

	assert_non_null(at);
	return &members[at - names];
}

static char name_of(const struct member *member)
{
	return member ? names[member - members] : '-';
}

static void set_session(struct member *member, bool has, uint32_t attempts)
{
	session.birth_ns = UINT64_MAX; /* never too old */
	atomic_store(&member->peer->session.current, has ? &session : NULL);
	atomic_store(&member->peer->timers.attempts, attempts);
}

static void reopen(void)
{
	if (fdb)
		fdb_close(fdb);
	memset(members, 0, sizeof(members));
	for (size_t i = 1; i < MEMBERS; i++) {
		members[i].peer = &peers[i];
		set_session(&members[i], names[i] < 'S', names[i] == 'X' ? 3 : 0);
	}
	fdb = fdb_open(&members[0]);
	assert_non_null(fdb);
}

static int setup(void **state)
{
	(void)state;
	if (secret_init())
		return -1;
	for (size_t i = 0; i < MEMBERS; i++)
		pthread_mutex_init(&peers[i].lock, NULL);
	reopen();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fdb_close(fdb);
	fdb = NULL;
	return 0;
}

/* ---- keys ---- */

static void make_mac(uint8_t mac[ETHER_ADDR_SIZE], uint32_t number)
{
	const uint8_t bytes[] = {
		2, 0x42, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number
	};

	memcpy(mac, bytes, sizeof(bytes));
}

static struct fdb_key mac_key(uint32_t number)
{
	uint8_t mac[ETHER_ADDR_SIZE];

	make_mac(mac, number);
	return fdb_key_mac(mac);
}

static struct fdb_key ip_key(uint32_t number)
{
	const uint8_t addr[] = { 10, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		                 (uint8_t)number };

	return fdb_key_ip(4, addr);
}

static struct fdb_key ip6_key(uint32_t number)
{
	const uint8_t addr[16] = { 0xfd, [13] = (uint8_t)(number >> 16),
		                   [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number };

	return fdb_key_ip(6, addr);
}

/* "m1": a MAC; "i2@m1", "j2@m1": an IPv4 and an IPv6 address. */
static struct fdb_key parse_key(const char *text, uint8_t mac[ETHER_ADDR_SIZE])
{
	char *end;
	uint32_t number = (uint32_t)strtoul(text + 1, &end, 10);

	make_mac(mac, *end == '@' ? (uint32_t)strtoul(end + 2, NULL, 10) : number);
	return *text == 'm' ? mac_key(number) : *text == 'i' ? ip_key(number) : ip6_key(number);
}

static void print_key(char *out, const struct fdb_key *key)
{
	unsigned int high = key->kind == FDB_MAC ? 3 : key->kind == FDB_IPV4 ? 1 : 13;

	sprintf(out, "%c%u",
	        key->kind == FDB_MAC    ? 'm'
	        : key->kind == FDB_IPV4 ? 'i'
	                                : 'j',
	        key->addr[high] << 16 | key->addr[high + 1] << 8 | key->addr[high + 2]);
}

/* ---- rows: a call, what it says, and where the station is then ---- */

struct row {
	int number;
	unsigned int ms;
	const char *call;
	const char *says;
	const char *place; /* "A", "A@1" (an address), "A?" (contested), "-" */
};

static const char *const verdicts[] = { "ok",      "came",  "moved", "contested",
	                                "refused", "quota", "busy" };

static void say_question(char *out, const struct fdb_question *question)
{
	char key[32];
	uint32_t mac = (uint32_t)question->mac[3] << 16 | (uint32_t)question->mac[4] << 8 |
	               question->mac[5];

	print_key(key, &question->key);
	sprintf(out + strlen(out), " %c?%s", name_of(question->owner), key);
	if (question->key.kind != FDB_MAC)
		sprintf(out + strlen(out), "@%u", mac);
}

static void do_claim(char *out, char who, const char *key_text, enum fdb_source source,
                     uint64_t now)
{
	struct fdb_question question;
	uint8_t mac[ETHER_ADDR_SIZE];
	struct fdb_key key = parse_key(key_text, mac);
	bool ask = true;
	enum fdb_verdict verdict =
		fdb_claim(fdb, member_of(who), &key, mac, source, now, &ask, &question);

	sprintf(out, "%s", verdicts[verdict]);
	if (ask)
		say_question(out, &question);
}

static void do_check(char *out, char who, const struct fdb_key *key, uint64_t now)
{
	static const char *const answers[] = { "yes", "no", "asked" };
	struct fdb_question question;
	enum fdb_check check = fdb_check_local(fdb, key, member_of(who), now, &question);

	sprintf(out, "%s", answers[check]);
	if (check == FDB_CHECK_ASKED)
		say_question(out, &question);
}

static void do_tick(char *out, uint64_t now)
{
	struct fdb_due due[16];
	uint64_t next;
	unsigned int n = fdb_tick(fdb, now, due, 16, &next);

	assert_true(next > now);
	assert_int_equal(next, fdb_next(fdb));
	for (unsigned int i = 0; i < n; i++) {
		char key[32];

		print_key(key, &due[i].question.key);
		if (due[i].what == FDB_DUE_ASK)
			say_question(out, &due[i].question);
		else
			sprintf(out + strlen(out), " %c:%s=%s", name_of(due[i].question.owner), key,
			        due[i].what == FDB_DUE_SAY_YES ? "yes" : "no");
	}
}

static void call(const char *text, uint64_t now, char *out)
{
	char verb[16], who, key_text[32];
	uint8_t mac[ETHER_ADDR_SIZE];
	struct fdb_key key;

	assert_int_equal(sscanf(text, "%15s %c %31s", verb, &who, key_text), 3);
	key = parse_key(key_text, mac);
	*out = 0;
	if (!strcmp(verb, "claim"))
		do_claim(out, who, key_text, FDB_LEARNED, now);
	else if (!strcmp(verb, "announce"))
		do_claim(out, who, key_text, FDB_ANNOUNCED, now);
	else if (!strcmp(verb, "withdraw"))
		fdb_withdraw(fdb, member_of(who), &key, now);
	else if (!strcmp(verb, "confirm"))
		fdb_confirm(fdb, member_of(who), &key, now);
	else if (!strcmp(verb, "check"))
		do_check(out, who, &key, now);
	else if (!strcmp(verb, "forget"))
		fdb_forget(fdb, member_of(who), now);
	else if (!strcmp(verb, "remove"))
		fdb_remove_member(fdb, member_of(who), now);
	else if (!strcmp(verb, "begin"))
		fdb_begin_whole(fdb, member_of(who));
	else if (!strcmp(verb, "end"))
		fdb_end_whole(fdb, member_of(who), now);
	else if (!strcmp(verb, "static"))
		sprintf(out, "%d", fdb_add_static(fdb, member_of(who), &key, mac, now));
	else if (!strcmp(verb, "unstatic"))
		sprintf(out, "%d", fdb_remove_static(fdb, &key, now));
	else if (!strcmp(verb, "tick"))
		do_tick(out, now);
	else
		assert_string_equal(verb, "look");
}

static void print_place(const char *key_text, uint64_t now, char *out)
{
	static struct fdb_info info[256];
	uint8_t mac[ETHER_ADDR_SIZE];
	struct fdb_key key = parse_key(key_text, mac);
	struct fdb_place place;
	uint32_t n = fdb_list(fdb, info, 256);

	strcpy(out, "-");
	if (!fdb_lookup(fdb, &key, now, &place))
		return;
	sprintf(out, "%c", name_of(place.owner));
	if (key.kind != FDB_MAC)
		sprintf(out + 1, "@%u", place.mac[5]);
	for (uint32_t i = 0; i < n; i++)
		if (!memcmp(&info[i].key, &key, sizeof(key)) && info[i].contested)
			strcat(out, "?");
}

static void run_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t now = START + rows[i].ms * MS;
		char says[256], place[32];

		call(rows[i].call, now, says);
		print_place(strrchr(rows[i].call, ' ') + 1, now, place);
		if (strcmp(says, rows[i].says) || strcmp(place, rows[i].place))
			fail_msg("row %d, %s: \"%s\" and %s, not \"%s\" and %s", rows[i].number,
			         rows[i].call, says, place, rows[i].says, rows[i].place);
	}
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))

/* ---- the rules ---- */

static void test_first_has_it(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "look - m1", "", "-" },
		{ 2, 0, "claim A m1", "came", "A" },
		{ 3, 10, "claim A m1", "ok", "A" },
		{ 4, 2000, "claim A m1", "ok", "A" },
		{ 5, 2000, "claim A i1@m1", "came", "A@1" },
		{ 6, 2000, "claim A j1@m1", "came", "A@1" },
		/* 300 s after it was heard of last. */
		{ 7, 301999, "tick - m1", "", "A" },
		{ 8, 302000, "tick - m1", "", "-" },
		{ 9, 302000, "look - i1", "", "-" },
		{ 10, 302000, "claim B m1", "came", "B" },
		/* So too when nobody has called fdb_tick(). */
		{ 11, 602000, "look - m1", "", "-" },
		{ 12, 602000, "claim A m1", "came", "A" },
		/* Its owner was silent that long, and is heard again first. */
		{ 13, 902000, "claim A m1", "ok", "A" },
	};

	(void)state;
	RUN(rows);
}

static void test_heard_of(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 200000, "claim A m1", "ok", "A" },
		/* The MAC was heard of, its address was not. */
		{ 4, 300000, "tick - i1", "", "-" },
		{ 5, 300000, "tick - m1", "", "A" },
		/* An address heard of is its MAC heard of. */
		{ 6, 400000, "claim A i1@m1", "came", "A@1" },
		{ 7, 500000, "tick - m1", "", "A" },
		{ 8, 699999, "tick - m1", "", "A" },
		{ 9, 700000, "tick - m1", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_announced_stay(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "announce A m1", "came", "A" },
		{ 2, 0, "claim B m2", "came", "B" },
		{ 3, 10, "announce B m2", "ok", "B" },
		/* What is heard in between makes it no less announced. */
		{ 4, 5000, "claim B m2", "ok", "B" },
		{ 5, 0, "announce X m3", "came", "X" },
		{ 6, 0, "announce S m4", "came", "S" },
		{ 7, 300000, "tick - m1", "", "A" },
		{ 8, 310000, "tick - m2", "", "B" },
		/* The dead one's do not stay; who merely has no session is not dead. */
		{ 9, 310000, "look - m3", "", "-" },
		{ 10, 310000, "look - m4", "", "S" },
		{ 11, 999000, "tick - m1", "", "A" },
		{ 12, 999000, "withdraw A m1", "", "-" },
	};

	(void)state;
	member_of('X')->news.heard = 7;
	member_of('S')->news.heard = 7;
	RUN(rows);
	assert_int_equal(member_of('X')->news.heard, 0);
	assert_int_equal(member_of('S')->news.heard, 7);
}

static void test_moves_when_nobodys(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		/* Not another's to withdraw. */
		{ 3, 1, "withdraw B m1", "", "A" },
		{ 4, 1, "withdraw L m1", "", "A" },
		{ 5, 1, "withdraw A m1", "", "-" },
		{ 6, 1, "look - i1", "", "-" },
		{ 7, 1, "claim B m1", "came", "B" },
		/* A dead owner's moves at once, with its addresses. */
		{ 8, 2, "claim X m2", "came", "X" },
		{ 9, 2, "claim X i2@m2", "came", "X@2" },
		{ 10, 3, "claim B m2", "moved", "B" },
		{ 11, 3, "look - i2", "", "B@2" },
		{ 12, 4, "claim X i3@m3", "came", "X@3" },
		{ 13, 5, "claim L i3@m4", "moved", "L@4" },
		/* One without a session is asked, in more time. */
		{ 14, 6, "claim S m5", "came", "S" },
		{ 15, 6, "claim B m5", "contested S?m5", "S?" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_silent(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 4, 1001, "claim B m1", "contested", "A?" },
		/* A third is dropped as well, and does not get it. */
		{ 5, 1002, "claim C m1", "contested", "A?" },
		/* Frames on their way are no answer. */
		{ 6, 1003, "claim A m1", "ok", "A?" },
		{ 7, 1003, "announce A m1", "ok", "A?" },
		/* Nor is another's word. */
		{ 8, 1004, "confirm C m1", "", "A?" },
		{ 9, 1004, "confirm B m1", "", "A?" },
		{ 10, 1066, "tick - m1", "", "A?" },
		{ 11, 1067, "tick - m1", " A?m1", "A?" },
		{ 12, 1134, "tick - m1", " A?m1", "A?" },
		{ 13, 1200, "tick - m1", "", "A?" },
		{ 14, 1201, "tick - m1", "", "B" },
		{ 15, 1201, "look - i1", "", "B@1" },
		{ 16, 1202, "claim B m1", "ok", "B" },
		{ 17, 1202, "claim A m1", "contested B?m1", "B?" },
	};

	(void)state;
	RUN(rows);
}

/* A worker that could not hear does not judge. */
static void test_contest_late_tick(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 3, 5000, "tick - m1", " A?m1", "A?" },
		{ 4, 5000, "tick - m1", "", "A?" },
		{ 5, 5067, "tick - m1", " A?m1", "A?" },
		{ 6, 5134, "tick - m1", "", "B" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_slow(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim S m1", "came", "S" },
		{ 2, 1000, "claim B m1", "contested S?m1", "S?" },
		{ 3, 1300, "tick - m1", "", "S?" },
		{ 4, 2667, "tick - m1", " S?m1", "S?" },
		{ 5, 4334, "tick - m1", " S?m1", "S?" },
		{ 6, 5999, "tick - m1", "", "S?" },
		{ 7, 6001, "tick - m1", "", "B" },
		{ 8, 6001, "claim S m2", "came", "S" },
		{ 9, 6001, "claim B m2", "contested S?m2", "S?" },
		{ 10, 11000, "confirm S m2", "", "S" },
		{ 11, 11001, "tick - m2", "", "S" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_kept(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 1000, "claim B m1", "contested A?m1", "A?" },
		{ 3, 1010, "confirm A m1", "", "A" },
		/* 1 s, then 2, 4 … in which nobody else is heard. */
		{ 4, 1011, "claim B m1", "refused", "A" },
		{ 5, 1011, "claim C m1", "refused", "A" },
		{ 6, 1011, "claim A m1", "ok", "A" },
		{ 7, 2009, "claim B m1", "refused", "A" },
		{ 8, 2010, "claim B m1", "contested A?m1", "A?" },
		{ 9, 2010, "confirm A m1", "", "A" },
		{ 10, 4009, "claim C m1", "refused", "A" },
		{ 11, 4010, "claim C m1", "contested A?m1", "A?" },
		{ 12, 4010, "confirm A m1", "", "A" },
		{ 13, 8009, "claim C m1", "refused", "A" },
		{ 14, 8010, "claim C m1", "contested A?m1", "A?" },
		{ 15, 8010, "confirm A m1", "", "A" },
		{ 16, 16010, "claim C m1", "contested A?m1", "A?" },
		{ 17, 16010, "confirm A m1", "", "A" },
		{ 18, 32010, "claim C m1", "contested A?m1", "A?" },
		{ 19, 32010, "confirm A m1", "", "A" },
		{ 20, 64009, "claim C m1", "refused", "A" },
		{ 21, 64010, "claim C m1", "contested A?m1", "A?" },
		{ 22, 64010, "confirm A m1", "", "A" },
		/* A minute is the most. */
		{ 23, 124009, "claim C m1", "refused", "A" },
		{ 24, 124010, "claim C m1", "contested A?m1", "A?" },
		{ 25, 124010, "confirm A m1", "", "A" },
		{ 26, 184009, "claim C m1", "refused", "A" },
		/* A withdrawal ends it. */
		{ 27, 184009, "withdraw A m1", "", "-" },
		{ 28, 184009, "claim C m1", "came", "C" },
		{ 29, 184010, "claim A m1", "contested C?m1", "C?" },
		{ 30, 184010, "confirm C m1", "", "C" },
		/* After a quiet minute it is a second again. */
		{ 31, 245011, "claim A m1", "contested C?m1", "C?" },
		{ 32, 245011, "confirm C m1", "", "C" },
		{ 33, 246011, "claim A m1", "contested C?m1", "C?" },
		/* A confirmation that nobody asked for ends nothing and begins nothing. */
		{ 34, 246011, "confirm C m1", "", "C" },
		{ 35, 248010, "confirm C m1", "", "C" },
		{ 36, 248011, "claim A m1", "contested C?m1", "C?" },
	};

	(void)state;
	RUN(rows);
}

static void test_contest_given_up(void **state)
{
	static const struct row rows[] = {
		/* The owner says that it is gone: who waited has it. */
		{ 1, 0, "claim A m1", "came", "A" },
		{ 2, 0, "claim A i1@m1", "came", "A@1" },
		{ 3, 1, "claim B m1", "contested A?m1", "A?" },
		{ 4, 2, "withdraw C m1", "", "A?" },
		{ 5, 2, "withdraw A m1", "", "B" },
		{ 6, 2, "look - i1", "", "B@1" },
		/* The claimant says that it has it no more. */
		{ 7, 3, "claim A m1", "contested B?m1", "B?" },
		{ 8, 4, "withdraw A m1", "", "B" },
		{ 9, 500, "tick - m1", "", "B" },
		/* The owner is forgotten, the claimant is. */
		{ 10, 1000, "claim C m1", "contested B?m1", "B?" },
		{ 11, 1001, "forget B m1", "", "C" },
		{ 12, 1002, "claim B m1", "contested C?m1", "C?" },
		{ 13, 1003, "forget B m1", "", "C" },
		{ 14, 1500, "tick - m1", "", "C" },
		{ 15, 1501, "claim B m1", "contested C?m1", "C?" },
		{ 16, 1502, "remove B m1", "", "C" },
		{ 17, 2000, "tick - m1", "", "C" },
		{ 18, 2001, "claim A m1", "contested C?m1", "C?" },
		{ 19, 2002, "remove C m1", "", "A" },
		/* What is no more claims nothing, even if a worker has not heard of that. */
		{ 20, 2003, "claim C m3", "refused", "-" },
		{ 21, 2003, "claim C m1", "refused", "A" },
		{ 22, 2003, "static C m3", "-22", "-" },
		{ 23, 2003, "check C m3", "no", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_local_macs(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		/* Never a peer's, not even announced. */
		{ 2, 1, "claim A m1", "refused", "L" },
		{ 3, 1, "announce A m1", "refused", "L" },
		{ 4, 1, "claim A i9@m1", "refused", "-" },
		{ 5, 500, "tick - m1", "", "L" },
		{ 6, 501, "withdraw L m1", "", "-" },
		{ 7, 501, "claim A m1", "came", "A" },
		/* This host's claim is a contest like any. */
		{ 8, 502, "claim L m1", "contested A?m1", "A?" },
		{ 9, 503, "confirm A m1", "", "A" },
		{ 10, 503, "claim L m1", "refused", "A" },
		{ 11, 1600, "claim L m1", "contested A?m1", "A?" },
		{ 12, 1601, "withdraw A m1", "", "L" },
		{ 13, 1602, "claim A m1", "refused", "L" },
	};

	(void)state;
	RUN(rows);
}

/* A container's address: it is asked itself. */
static void test_local_addresses(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		{ 2, 0, "claim L i1@m1", "came", "L@1" },
		{ 3, 1, "claim A m2", "came", "A" },
		{ 4, 1, "claim A i1@m2", "contested L?i1@1", "L@1?" },
		/* Other frames of it are no answer, an ARP message is. */
		{ 5, 2, "claim L m1", "ok", "L" },
		{ 6, 2, "look - i1", "", "L@1?" },
		{ 7, 3, "claim L i1@m1", "ok", "L@1" },
		{ 8, 4, "claim A i1@m2", "refused", "L@1" },
		{ 9, 1500, "claim A i1@m2", "contested L?i1@1", "L@1?" },
		{ 10, 1567, "tick - i1", " L?i1@1", "L@1?" },
		{ 11, 1634, "tick - i1", " L?i1@1", "L@1?" },
		{ 12, 1701, "tick - i1", "", "A@2" },
		{ 13, 1701, "look - m1", "", "L" },
		/* Another container of this host: the same. */
		{ 14, 2000, "claim L i5@m1", "came", "L@1" },
		{ 15, 2001, "claim L i5@m6", "contested L?i5@1", "L@1?" },
		{ 16, 2002, "claim L i5@m6", "contested", "L@1?" },
		{ 17, 2003, "claim L i5@m1", "ok", "L@1" },
		{ 18, 2004, "claim L i5@m6", "refused", "L@1" },
		{ 19, 3100, "claim L i5@m6", "contested L?i5@1", "L@1?" },
		{ 20, 3167, "tick - i5", " L?i5@1", "L@1?" },
		{ 21, 3234, "tick - i5", " L?i5@1", "L@1?" },
		{ 22, 3301, "tick - i5", "", "L@6" },
		{ 23, 3301, "look - m1", "", "L" },
	};

	(void)state;
	RUN(rows);
}

static void test_addresses_are_where_their_mac_is(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim A m1", "came", "A" },
		/* Not at a MAC of somebody else's. */
		{ 2, 0, "claim B i1@m1", "refused", "-" },
		{ 3, 0, "announce B i1@m1", "refused", "-" },
		/* The MAC is claimed along with it. */
		{ 4, 0, "claim B i2@m2", "came", "B@2" },
		{ 5, 0, "look - m2", "", "B" },
		/* While its MAC is contested the claimant waits, a third is refused. */
		{ 6, 1, "claim B m1", "contested A?m1", "A?" },
		{ 7, 1, "claim B i1@m1", "contested", "-" },
		{ 8, 1, "claim C i1@m1", "refused", "-" },
		{ 9, 1, "claim A i1@m1", "came", "A@1" },
		{ 10, 2, "withdraw A m1", "", "B" },
		{ 11, 2, "look - i1", "", "B@1" },
		/* A peer may move its own from one of its MACs to another. */
		{ 12, 3, "claim B i1@m2", "moved", "B@2" },
		{ 13, 4, "withdraw B m1", "", "-" },
		{ 14, 4, "look - i1", "", "B@2" },
		{ 15, 5, "withdraw B i1", "", "-" },
		{ 16, 5, "look - m2", "", "B" },
		{ 17, 5, "look - i2", "", "B@2" },
		/* A claimant whose MAC has gone meanwhile gets nothing. */
		{ 18, 6, "claim C m3", "came", "C" },
		{ 19, 6, "claim C i2@m3", "contested B?i2@2", "B@2?" },
		{ 20, 7, "withdraw C m3", "", "-" },
		{ 21, 8, "withdraw B i2", "", "-" },
		/* The MAC goes, but one waits for its address. */
		{ 22, 9, "claim B i4@m2", "came", "B@2" },
		{ 23, 9, "claim C i4@m3", "contested B?i4@2", "B@2?" },
		{ 24, 10, "withdraw B m2", "", "-" },
		{ 25, 10, "look - i4", "", "C@3" },
	};

	(void)state;
	RUN(rows);
}

static void test_statics(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "static A m1", "0", "A" },
		{ 2, 0, "static A m1", "0", "A" },
		{ 3, 0, "static B m1", "-17", "A" },
		{ 4, 1, "claim B m1", "refused", "A" },
		{ 5, 1, "claim L m1", "refused", "A" },
		{ 6, 1, "withdraw A m1", "", "A" },
		{ 7, 1, "forget A m1", "", "A" },
		{ 8, 999000, "tick - m1", "", "A" },
		/* An address only with its MAC. */
		{ 9, 999000, "static A i1@m2", "-22", "-" },
		{ 10, 999000, "static B i1@m1", "-22", "-" },
		{ 11, 999000, "static A i1@m1", "0", "A@1" },
		{ 12, 999000, "claim A m2", "came", "A" },
		{ 13, 999000, "claim A i1@m2", "refused", "A@1" },
		{ 14, 999000, "static A m2", "0", "A" },
		{ 15, 999000, "static A i1@m2", "-17", "A@1" },
		{ 16, 999000, "forget A i1", "", "A@1" },
		/* What is learned besides is not static. */
		{ 17, 999000, "claim A i2@m1", "came", "A@1" },
		{ 18, 999000, "forget A i2", "", "-" },
		/* From whoever has it, a local one too. */
		{ 19, 999000, "claim L m3", "came", "L" },
		{ 20, 999000, "claim L i3@m3", "came", "L@3" },
		{ 21, 999000, "static B m3", "0", "B" },
		{ 22, 999000, "look - i3", "", "B@3" },
		{ 23, 999000, "claim A i3@m1", "contested B?i3@3", "B@3?" },
		{ 24, 999000, "unstatic - m3", "0", "-" },
		{ 25, 999000, "look - i3", "", "A@1" },
		{ 26, 999000, "unstatic - m3", "-2", "-" },
		{ 27, 999000, "claim L m3", "came", "L" },
		{ 28, 999000, "unstatic - m3", "-2", "L" },
		{ 29, 999000, "check A m3", "yes", "L" },
		/* In the midst of a contest. */
		{ 30, 999001, "claim B m4", "came", "B" },
		{ 31, 999001, "claim C m4", "contested B?m4", "B?" },
		{ 32, 999002, "static B m4", "0", "B" },
		{ 33, 999900, "tick - m4", "", "B" },
		{ 34, 999900, "unstatic - m1", "0", "-" },
		{ 35, 999900, "look - i1", "", "-" },
		{ 36, 999900, "remove A m2", "", "-" },
	};

	(void)state;
	RUN(rows);
	assert_int_equal(member_of('A')->macs + member_of('A')->addrs, 0);
	assert_int_equal(member_of('A')->first, 0);
	assert_int_equal(member_of('B')->macs, 0);
}

static void test_moves_are_limited(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim X m1", "came", "X" },
		{ 2, 1000, "claim A m1", "moved", "A" },
		{ 3, 2000, "claim X m1", "contested A?m1", "A?" },
		{ 4, 2001, "withdraw A m1", "", "X" },
		{ 5, 3000, "claim A m1", "moved", "A" },
		{ 6, 4000, "claim X m1", "contested A?m1", "A?" },
		{ 7, 4001, "withdraw A m1", "", "X" },
		{ 8, 5000, "claim A m1", "moved", "A" },
		/* The sixth in a minute. */
		{ 9, 6000, "claim X m1", "busy", "A" },
		{ 10, 6000, "claim B m1", "busy", "A" },
		{ 11, 6000, "claim L m1", "busy", "A" },
		{ 12, 6000, "claim A m1", "ok", "A" },
		{ 13, 60999, "claim B m1", "busy", "A" },
		{ 14, 61000, "claim B m1", "contested A?m1", "A?" },
		{ 15, 61001, "withdraw A m1", "", "B" },
		{ 16, 61002, "claim A m1", "contested B?m1", "B?" },
		{ 17, 61003, "confirm B m1", "", "B" },
		/* An address that a peer keeps changing. */
		{ 18, 70000, "claim A i1@m2", "came", "A@2" },
		{ 19, 70001, "claim A i1@m3", "moved", "A@3" },
		{ 20, 70002, "claim A i1@m2", "moved", "A@2" },
		{ 21, 70003, "claim A i1@m3", "moved", "A@3" },
		{ 22, 70004, "claim A i1@m2", "moved", "A@2" },
		{ 23, 70005, "claim A i1@m3", "moved", "A@3" },
		{ 24, 70006, "claim A i1@m2", "busy", "A@3" },
	};

	(void)state;
	RUN(rows);
}

static void test_checks(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "check A m1", "no", "-" },
		{ 2, 0, "claim B m2", "came", "B" },
		{ 3, 0, "check A m2", "no", "B" },
		/* A MAC that cannot be asked is there. */
		{ 4, 0, "claim L m1", "came", "L" },
		{ 5, 0, "check A m1", "yes", "L" },
		{ 6, 0, "claim L i1@m1", "came", "L@1" },
		{ 7, 10, "check A i1", "asked L?i1@1", "L@1" },
		{ 8, 20, "check A i1", "asked L?i1@1", "L@1" },
		{ 9, 30, "check C i1", "asked L?i1@1", "L@1" },
		/* It answers: all are told at once, each once. */
		{ 10, 40, "claim L i1@m1", "ok", "L@1" },
		{ 11, 40, "tick - i1", " C:i1=yes A:i1=yes", "L@1" },
		{ 12, 41, "tick - i1", "", "L@1" },
		/* A MAC is asked for its addresses in turn; any frame is its answer. */
		{ 13, 50, "claim L j1@m1", "came", "L@1" },
		{ 14, 1000, "check A m1", "asked L?j1@1", "L" },
		{ 15, 1067, "tick - m1", " L?i1@1", "L" },
		{ 16, 1068, "claim L m1", "ok", "L" },
		{ 17, 1068, "tick - m1", " A:m1=yes", "L" },
		/* Silence: it is gone from here too. */
		{ 18, 2000, "check A j1", "asked L?j1@1", "L@1" },
		{ 19, 2067, "tick - j1", " L?j1@1", "L@1" },
		{ 20, 2134, "tick - j1", " L?j1@1", "L@1" },
		{ 21, 2201, "tick - j1", " A:j1=no", "-" },
		{ 22, 2201, "look - m1", "", "L" },
		{ 23, 3000, "check A m1", "asked L?i1@1", "L" },
		{ 24, 3067, "tick - m1", " L?i1@1", "L" },
		{ 25, 3134, "tick - m1", " L?i1@1", "L" },
		{ 26, 3201, "tick - m1", " A:m1=no", "-" },
		{ 27, 3201, "look - i1", "", "-" },
		/* Withdrawn while it was asked; and a member that is no more is not told. */
		{ 28, 4000, "claim L i3@m3", "came", "L@3" },
		{ 29, 4000, "check A i3", "asked L?i3@3", "L@3" },
		{ 30, 4000, "check C i3", "asked L?i3@3", "L@3" },
		{ 31, 4001, "remove C i3", "", "L@3" },
		{ 32, 4002, "withdraw L m3", "", "-" },
		{ 33, 4003, "tick - i3", " A:i3=no", "-" },
		/* A claim on what is being checked is a contest, and one answer serves both. */
		{ 34, 5000, "claim L i3@m3", "came", "L@3" },
		{ 35, 5000, "check A i3", "asked L?i3@3", "L@3" },
		{ 36, 5100, "claim B i3@m2", "contested L?i3@3", "L@3?" },
		{ 37, 5166, "tick - i3", "", "L@3?" },
		{ 38, 5167, "claim L i3@m3", "ok", "L@3" },
		{ 39, 5167, "tick - i3", " A:i3=yes", "L@3" },
		{ 40, 5168, "claim B i3@m2", "refused", "L@3" },
	};

	(void)state;
	RUN(rows);
}

/* A quiet container is asked before it is forgotten. */
static void test_local_ageing(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "claim L m1", "came", "L" },
		{ 2, 0, "claim L i1@m2", "came", "L@2" },
		{ 3, 0, "announce L m3", "came", "L" },
		{ 4, 300000, "tick - m1", " L?i1@2 L?i1@2", "-" },
		{ 5, 300001, "claim L i1@m2", "ok", "L@2" },
		{ 6, 300100, "tick - m2", "", "L" },
		{ 7, 600000, "tick - m2", "", "L" },
		{ 8, 600001, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 9, 600068, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 10, 600135, "tick - m2", " L?i1@2 L?i1@2", "L" },
		{ 11, 600202, "tick - m2", "", "-" },
		{ 12, 600202, "look - i1", "", "-" },
		/* What the control thread knows stays until it says otherwise. */
		{ 13, 999000, "tick - m3", "", "L" },
		{ 14, 999000, "withdraw L m3", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_whole(void **state)
{
	static const struct row rows[] = {
		{ 1, 0, "announce A m1", "came", "A" },
		{ 2, 0, "announce A i1@m1", "came", "A@1" },
		{ 3, 0, "announce A i2@m1", "came", "A@1" },
		{ 4, 0, "announce A m2", "came", "A" },
		{ 5, 0, "announce A i3@m2", "came", "A@2" },
		{ 6, 0, "claim A m4", "came", "A" },
		{ 7, 0, "announce B m5", "came", "B" },
		{ 8, 10, "begin A m1", "", "A" },
		{ 9, 10, "announce A m1", "ok", "A" },
		{ 10, 10, "announce A i1@m1", "ok", "A@1" },
		{ 11, 10, "announce A m6", "came", "A" },
		{ 12, 10, "end A m1", "", "A" },
		{ 13, 10, "look - i1", "", "A@1" },
		{ 14, 10, "look - i2", "", "-" },
		{ 15, 10, "look - m2", "", "-" },
		{ 16, 10, "look - i3", "", "-" },
		{ 17, 10, "look - m4", "", "A" },
		{ 18, 10, "look - m5", "", "B" },
		{ 19, 10, "look - m6", "", "A" },
		/* An end without a beginning. */
		{ 20, 11, "end A m1", "", "A" },
		{ 21, 12, "end B m5", "", "B" },
		/* What is not named goes to who waits for it. */
		{ 22, 13, "claim C m1", "contested A?m1", "A?" },
		{ 23, 13, "begin A m1", "", "A?" },
		{ 24, 13, "end A m1", "", "C" },
		{ 25, 13, "look - i1", "", "-" },
		{ 26, 13, "look - m6", "", "-" },
	};

	(void)state;
	RUN(rows);
}

static void test_nonsense(void **state)
{
	static const uint8_t bad_macs[][ETHER_ADDR_SIZE] = {
		{ 0 }, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 1, 0, 0x5e, 0, 0, 1 }, { 3 }
	};
	static const uint8_t bad4[][4] = {
		{ 0 }, { 0, 1, 2, 3 }, { 127, 0, 0, 1 }, { 224, 0, 0, 1 }, { 255, 255, 255, 255 }
	};
	static const uint8_t bad6[][16] = { { 0 }, { [15] = 1 }, { 0xff, 2, [15] = 1 } };
	struct fdb_key keys[12], key = mac_key(1);
	struct fdb_question question;
	struct fdb_counts counts;
	size_t n = 0;
	bool ask;

	(void)state;
	for (size_t i = 0; i < 4; i++)
		keys[n++] = fdb_key_mac(bad_macs[i]);
	for (size_t i = 0; i < 5; i++)
		keys[n++] = fdb_key_ip(4, bad4[i]);
	for (size_t i = 0; i < 3; i++)
		keys[n++] = fdb_key_ip(6, bad6[i]);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(fdb_claim(fdb, member_of('A'), &keys[i], key.addr, FDB_ANNOUNCED,
		                           START, &ask, &question),
		                 FDB_REFUSED);
		assert_int_equal(fdb_add_static(fdb, member_of('A'), &keys[i], key.addr, START),
		                 -EINVAL);
	}
	/* Nor a good address at a bad MAC, nor a key of no kind. */
	key = ip_key(1);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fdb_claim(fdb, member_of('A'), &key, bad_macs[i], FDB_LEARNED,
		                           START, &ask, &question),
		                 FDB_REFUSED);
	key.kind = FDB_NONE;
	assert_int_equal(
		fdb_claim(fdb, member_of('A'), &key, key.addr, FDB_LEARNED, START, &ask, &question),
		FDB_REFUSED);
	fdb_get_counts(fdb, &counts);
	assert_int_equal(counts.entries, 0);
	assert_int_equal(counts.refused, 17);
}

/* ---- quotas and floods ---- */

static enum fdb_verdict claim(char who, const struct fdb_key *key, uint32_t mac, uint64_t now)
{
	struct fdb_question question;
	uint8_t bytes[ETHER_ADDR_SIZE];
	bool ask;

	make_mac(bytes, mac);
	return fdb_claim(fdb, member_of(who), key, bytes, FDB_LEARNED, now, &ask, &question);
}

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
		assert_int_equal(claim('L', &key, 1, START),
		                 i <= FDB_ADDRS_MAX ? FDB_CAME : FDB_QUOTA);
	}
	assert_int_equal(member_of('L')->addrs, FDB_ADDRS_MAX);
	assert_int_equal(member_of('L')->macs, 1);
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
		key = mac_key(100000 + i);
		assert_int_equal(claim('L', &key, 100000 + i, START), FDB_CAME);
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
	fdb_set_quota(fdb, 1000);
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
	fdb_set_quota(fdb, 1000);
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
		{ 2, 60000, "withdraw L m1", "", "-" },
	};

	(void)state;
	RUN(rows);
	expect_news(3, 0, 0, "-m2");
	RUN(later);
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
	unsigned int calls = 0, anew = 0;
	struct fdb_key key;

	(void)state;
	fdb_set_quota(fdb, 16384);
	for (uint32_t i = 1; i <= 20000; i++) {
		key = mac_key(1 + i % 3000);
		if (claim('L', &key, 0, START) == FDB_OK)
			fdb_withdraw(fdb, member_of('L'), &key, START);
	}
	assert_int_equal(fdb_last_news(fdb), 20000);
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

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ROW(test_first_has_it),
		ROW(test_heard_of),
		ROW(test_announced_stay),
		ROW(test_moves_when_nobodys),
		ROW(test_contest_silent),
		ROW(test_contest_late_tick),
		ROW(test_contest_slow),
		ROW(test_contest_kept),
		ROW(test_contest_given_up),
		ROW(test_local_macs),
		ROW(test_local_addresses),
		ROW(test_addresses_are_where_their_mac_is),
		ROW(test_statics),
		ROW(test_moves_are_limited),
		ROW(test_checks),
		ROW(test_local_ageing),
		ROW(test_whole),
		ROW(test_nonsense),
		ROW(test_flood_of_macs),
		ROW(test_flood_of_addresses),
		ROW(test_quota_follows),
		ROW(test_quota_at_the_end_of_a_contest),
		ROW(test_full_table),
		ROW(test_storm_of_claims),
		ROW(test_storm_of_checks),
		ROW(test_many_due),
		ROW(test_log),
		ROW(test_log_of_others),
		ROW(test_log_forgets),
		ROW(test_log_is_bounded),
		ROW(test_retired_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
