/* SPDX-License-Identifier: MIT */
/*
 * For the tests of the forwarding database: this host, some peers in all states, keys
 * with short names, and rows of calls on a virtual clock.
 */
#ifndef TESTS_UNIT_FDB_LAB_H
#define TESTS_UNIT_FDB_LAB_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/fdb.h"
#include "dataplane/member.h"
#include "dataplane/peer.h"
#include "unit.h"

#define MS    UINT64_C(1000000)
#define START ((uint64_t)3600 * 1000 * MS) /* an hour after boot: buckets are full */

/* L: this host. A to D: peers with a session. S: a peer without. X: a dead one. */
static const char names[] = "LABCDSX";
#define MEMBERS (sizeof(names) - 1)

static struct fdb *fdb;
static struct member members[MEMBERS];
static struct peer peers[MEMBERS];
static struct keypair session;

static inline struct member *member_of(char name)
{
	const char *at = strchr(names, name);

	assert_non_null(at);
	return &members[at - names];
}

static inline char name_of(const struct member *member)
{
	return member ? names[member - members] : '-';
}

static inline void set_session(struct member *member, bool has, uint32_t attempts)
{
	session.birth_ns = UINT64_MAX; /* never too old */
	atomic_store(&member->peer->session.current, has ? &session : NULL);
	atomic_store(&member->peer->hello.version, has);
	atomic_store(&member->peer->timers.attempts, attempts);
}

static inline void reopen(void)
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

static inline int setup(void **state)
{
	(void)state;
	if (secret_init())
		return -1;
	for (size_t i = 0; i < MEMBERS; i++)
		pthread_mutex_init(&peers[i].lock, NULL);
	reopen();
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	fdb_close(fdb);
	fdb = NULL;
	return 0;
}

/* ---- keys ---- */

static inline void make_mac(uint8_t mac[ETHER_ADDR_SIZE], uint32_t number)
{
	const uint8_t bytes[] = {
		2, 0x42, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number
	};

	memcpy(mac, bytes, sizeof(bytes));
}

static inline struct fdb_key mac_key(uint32_t number)
{
	uint8_t mac[ETHER_ADDR_SIZE];

	make_mac(mac, number);
	return fdb_key_mac(mac);
}

static inline struct fdb_key ip_key(uint32_t number)
{
	const uint8_t addr[] = { 10, (uint8_t)(number >> 16), (uint8_t)(number >> 8),
		                 (uint8_t)number };

	return fdb_key_ip(4, addr);
}

static inline struct fdb_key ip6_key(uint32_t number)
{
	const uint8_t addr[16] = { 0xfd, [13] = (uint8_t)(number >> 16),
		                   [14] = (uint8_t)(number >> 8), [15] = (uint8_t)number };

	return fdb_key_ip(6, addr);
}

/* "m1": a MAC; "i2@m1", "j2@m1": an IPv4 and an IPv6 address. */
static inline struct fdb_key parse_key(const char *text, uint8_t mac[ETHER_ADDR_SIZE])
{
	char *end;
	uint32_t number = (uint32_t)strtoul(text + 1, &end, 10);

	make_mac(mac, *end == '@' ? (uint32_t)strtoul(end + 2, NULL, 10) : number);
	return *text == 'm' ? mac_key(number) : *text == 'i' ? ip_key(number) : ip6_key(number);
}

static inline void print_key(char *out, const struct fdb_key *key)
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

static inline void say_question(char *out, const struct fdb_question *question)
{
	char key[32];
	uint32_t mac = (uint32_t)question->mac[3] << 16 | (uint32_t)question->mac[4] << 8 |
	               question->mac[5];

	print_key(key, &question->key);
	sprintf(out + strlen(out), " %c?%s", name_of(question->owner), key);
	if (question->key.kind != FDB_MAC)
		sprintf(out + strlen(out), "@%u", mac);
}

static inline void do_claim(char *out, char who, const char *key_text, enum fdb_source source,
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

static inline void do_check(char *out, char who, const struct fdb_key *key, uint64_t now)
{
	static const char *const answers[] = { "yes", "no", "asked" };
	struct fdb_question question;
	enum fdb_check check = fdb_check_local(fdb, key, member_of(who), now, &question);

	sprintf(out, "%s", answers[check]);
	if (check == FDB_CHECK_ASKED)
		say_question(out, &question);
}

static inline void do_tick(char *out, uint64_t now)
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

static inline void call(const char *text, uint64_t now, char *out)
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
	else if (!strcmp(verb, "die"))
		set_session(member_of(who), false, 3);
	else if (!strcmp(verb, "fade")) /* without a session, and two repeated initiations */
		set_session(member_of(who), false, 2);
	else if (!strcmp(verb, "live")) /* with a session, and three */
		set_session(member_of(who), true, 3);
	else if (!strcmp(verb, "mute")) /* has said no hello on its session yet */
		atomic_store(&member_of(who)->peer->hello.version, 0);
	else if (!strcmp(verb, "tick"))
		do_tick(out, now);
	else
		assert_string_equal(verb, "look");
}

static inline void print_place(const char *key_text, uint64_t now, char *out)
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

static inline void run_rows(const struct row *rows, size_t count)
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

/* A frame of that member's, when nothing is asked for but the verdict. */
static inline enum fdb_verdict claim(char who, const struct fdb_key *key, uint32_t mac,
                                     uint64_t now)
{
	struct fdb_question question;
	uint8_t bytes[ETHER_ADDR_SIZE];
	bool ask;

	make_mac(bytes, mac);
	return fdb_claim(fdb, member_of(who), key, bytes, FDB_LEARNED, now, &ask, &question);
}

#endif
