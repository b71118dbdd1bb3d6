/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database against a slow, obvious twin: one array, looked through from
 * end to end for everything, by the rules of fdb.h alone. Random calls with few
 * stations, few members and small quotas, so that all of them meet; after each call
 * what was said must agree, and often where everything is. And readers of the log, each
 * at its own pace, who in the end must know what this host has.
 */
#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include "crypto/secret.h"
#include "dataplane/fdb.h"
#include "dataplane/member.h"
#include "dataplane/peer.h"

#define MS      UINT64_C(1000000)
#define MACS    8u
#define ADDRS   16u
#define KEYS    (MACS + ADDRS)
#define MEMBERS 5
#define LOCAL   0
#define NOBODY  (-1)
#define READERS 3
#define DUES    64

enum list { NO_LIST, AGE, ASK, SLOW };

struct station {
	int owner; /* NOBODY: not there */
	unsigned int mac; /* the MAC's place in the array; a MAC's own */
	int source;
	uint64_t heard, due;
	enum list list;
	/* When it was put there, counted: in its list, under its owner, under its MAC. */
	uint64_t listed, owned, placed;
	unsigned int asked;
	int claimant;
	unsigned int claim_mac;
	int claim_source;
	int askers[MEMBERS]; /* the last first */
	int asker_count;
	uint64_t moves_from, hold_until;
	unsigned int recent, holds;
	uint32_t generation;
	unsigned int port, claim_port; /* a MAC's */
};

struct answer {
	int member;
	unsigned int key;
	bool yes;
};

struct reader {
	uint64_t after, whole;
	int mac[KEYS]; /* -1: not there */
};

static struct fdb *fdb;
static struct member members[MEMBERS];
static struct peer peers[MEMBERS];
static struct keypair session;
static struct fdb_key keys[KEYS];

static struct station stations[KEYS];
static struct bucket begun[MEMBERS], asked[MEMBERS], begun_at[FDB_PORTS];
static uint32_t generations[MEMBERS];
static bool sessions[MEMBERS], dead[MEMBERS];
static struct answer answers[256];
static unsigned int answer_count;
static struct fdb_counts counts;
static uint32_t quota;
static uint64_t clock_ns, stamp;
static unsigned int port_claimed; /* by the call under way */
static struct reader readers[READERS];

/* ---- the twin ---- */

static bool is_mac(unsigned int key)
{
	return key < MACS;
}

static unsigned int count_of(int owner, bool macs)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < KEYS; k++)
		n += stations[k].owner == owner && is_mac(k) == macs &&
		     stations[k].source != FDB_STATIC;
	return n;
}

static unsigned int port_of(unsigned int key)
{
	return stations[stations[key].mac].port;
}

static unsigned int count_at(unsigned int port, bool macs)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < KEYS; k++)
		n += stations[k].owner == LOCAL && is_mac(k) == macs &&
		     stations[k].source != FDB_STATIC && port_of(k) == port;
	return n;
}

static unsigned int room(int owner, bool macs)
{
	unsigned int has = count_of(owner, macs), may = macs ? quota : 4 * quota;

	return has < may ? may - has : 0;
}

static bool has_room(int owner, unsigned int key, unsigned int port)
{
	unsigned int free = room(owner, is_mac(key));

	return owner == LOCAL ? 3 * count_at(port, is_mac(key)) < free : free > 0;
}

static void enlist(unsigned int key, enum list list)
{
	static const uint64_t wait[] = { 0, FDB_AGE_NS, FDB_CHECK_NS / 3, FDB_CHECK_SLOW_NS / 3 };

	stations[key].list = list;
	stations[key].due = clock_ns + wait[list];
	stations[key].listed = ++stamp;
}

static void end_asking(unsigned int key, bool yes)
{
	struct station *s = &stations[key];

	for (int i = 0; i < s->asker_count; i++)
		answers[answer_count++] = (struct answer){ s->askers[i], key, yes };
	s->asker_count = 0;
	s->claimant = NOBODY;
	s->asked = 0;
}

static void place(unsigned int key, int owner, unsigned int mac, int source)
{
	struct station *s = &stations[key];

	s->owner = owner;
	s->mac = mac;
	s->source = source;
	s->generation = generations[owner];
	s->heard = clock_ns;
	s->owned = s->placed = ++stamp;
	enlist(key, source == FDB_STATIC ? NO_LIST : AGE);
}

static void create(unsigned int key, int owner, unsigned int mac, int source)
{
	stations[key] = (struct station){ .claimant = NOBODY };
	place(key, owner, mac, source);
	counts.came++;
	counts.entries++;
}

static void count_move(struct station *s)
{
	if (!s->recent || s->moves_from + FDB_MOVES_NS <= clock_ns) {
		s->recent = 0;
		s->moves_from = clock_ns;
	}
	s->recent++;
	s->holds = 0;
	s->hold_until = 0;
}

/* The address of @mac that was placed there last, but before @before. */
static int last_address(unsigned int mac, uint64_t before)
{
	int found = -1;

	for (unsigned int k = MACS; k < KEYS; k++)
		if (stations[k].owner != NOBODY && stations[k].mac == mac &&
		    stations[k].placed < before &&
		    (found < 0 || stations[k].placed > stations[found].placed))
			found = (int)k;
	return found;
}

static void vanish(unsigned int key)
{
	end_asking(key, false);
	stations[key].owner = NOBODY;
	stations[key].list = NO_LIST;
	counts.entries--;
}

static void move(unsigned int key, int to, unsigned int mac, int source)
{
	uint64_t before = stamp + 1;
	int address;

	end_asking(key, false);
	place(key, to, mac, source);
	count_move(&stations[key]);
	counts.moved++;
	stations[key].port = to == LOCAL ? stations[key].claim_port : 0;
	stations[key].claim_port = 0;
	while (is_mac(key) && (address = last_address(key, before)) >= 0) {
		struct station *s = &stations[address];

		before = s->placed;
		s->owner = NOBODY; /* so that it does not count */
		if (has_room(to, (unsigned int)address, stations[key].port)) {
			end_asking((unsigned int)address, false);
			place((unsigned int)address, to, key, FDB_LEARNED);
			count_move(s);
		} else {
			vanish((unsigned int)address);
		}
	}
}

static bool give(unsigned int key)
{
	const struct station *s = &stations[key];
	unsigned int port = is_mac(key) ? s->claim_port : stations[s->claim_mac].port;

	if (s->claimant == NOBODY)
		return false;
	if ((s->claimant != s->owner || port != port_of(key)) && !has_room(s->claimant, key, port))
		return false;
	if (!is_mac(key) && stations[s->claim_mac].owner != s->claimant)
		return false;
	move(key, s->claimant, s->claim_mac, s->claim_source);
	return true;
}

static void forget(unsigned int key)
{
	int address;

	vanish(key);
	if (!is_mac(key))
		return;
	while ((address = last_address(key, UINT64_MAX)) >= 0)
		if (!give((unsigned int)address))
			vanish((unsigned int)address);
}

static void release(unsigned int key)
{
	if (!give(key))
		forget(key);
}

static void keep(unsigned int key)
{
	struct station *s = &stations[key];

	if (s->claimant != NOBODY) {
		if (s->hold_until + FDB_HOLD_MAX_NS < clock_ns)
			s->holds = 0;
		s->hold_until =
			clock_ns + (s->holds >= 6 ? FDB_HOLD_MAX_NS : FDB_SECOND_NS << s->holds);
		s->holds++;
	}
	end_asking(key, true);
	s->heard = clock_ns;
	enlist(key, AGE);
}

static bool is_over(const struct station *s)
{
	return s->list == AGE && s->due <= clock_ns && s->source == FDB_LEARNED &&
	       s->owner != LOCAL;
}

static bool is_known(unsigned int key)
{
	return stations[key].owner != NOBODY && !is_over(&stations[key]);
}

static bool set_port(unsigned int key, unsigned int port)
{
	unsigned int addrs = 0;

	if (stations[key].port == port)
		return true;
	for (unsigned int k = MACS; k < KEYS; k++)
		addrs += stations[k].owner == LOCAL && stations[k].mac == key &&
		         stations[k].source != FDB_STATIC;
	if (stations[key].source != FDB_STATIC && 3 * count_at(port, true) >= room(LOCAL, true))
		return false;
	if (addrs && 3 * (count_at(port, false) + addrs - 1) >= room(LOCAL, false))
		return false;
	stations[key].port = port;
	return true;
}

static void renew(unsigned int key, int source, unsigned int port)
{
	struct station *s = &stations[key];

	if (port && is_mac(key))
		set_port(key, port);
	if (source > s->source)
		s->source = source;
	if (source == FDB_ANNOUNCED)
		s->generation = generations[s->owner];
	s->heard = clock_ns;
	if (s->list == AGE || (s->list != NO_LIST && s->owner == LOCAL))
		keep(key);
}

static enum fdb_verdict refused(void)
{
	counts.refused++;
	return FDB_REFUSED;
}

static enum fdb_verdict come(unsigned int key, int by, unsigned int mac, int source,
                             unsigned int port)
{
	if (!has_room(by, key, port)) {
		counts.quota++;
		return FDB_QUOTA;
	}
	create(key, by, mac, source);
	stations[key].port = is_mac(key) ? port : 0;
	return FDB_CAME;
}

static bool moved_too_often(const struct station *s)
{
	return s->recent >= FDB_MOVES_MAX && clock_ns < s->moves_from + FDB_MOVES_NS;
}

static enum fdb_verdict contest(unsigned int key, int by, unsigned int mac, int source, bool *ask)
{
	struct station *s = &stations[key];
	unsigned int port = is_mac(key) ? port_claimed : stations[mac].port;

	if (s->source == FDB_STATIC || (is_mac(key) && s->owner == LOCAL))
		return refused();
	if (s->claimant != NOBODY)
		return FDB_CONTESTED;
	if (moved_too_often(s)) {
		counts.refused++;
		return FDB_BUSY;
	}
	if ((by != s->owner || port != port_of(key)) && !has_room(by, key, port)) {
		counts.quota++;
		return FDB_QUOTA;
	}
	if (dead[s->owner]) {
		s->claim_port = port;
		move(key, by, mac, source);
		return FDB_MOVED;
	}
	if (clock_ns < s->hold_until)
		return refused();
	if (by == LOCAL && !bucket_take(&begun_at[port], FDB_SECOND_NS / 5, 4, clock_ns))
		return refused();
	if (!bucket_take(&begun[by], FDB_SECOND_NS / 20, 16, clock_ns) ||
	    !bucket_take(&asked[s->owner], FDB_SECOND_NS / 50, 32, clock_ns))
		return refused();
	counts.contests++;
	s->claimant = by;
	s->claim_mac = mac;
	s->claim_source = source;
	s->claim_port = port;
	s->asked = 1;
	enlist(key, sessions[s->owner] ? ASK : SLOW);
	*ask = true;
	return FDB_CONTESTED;
}

static enum fdb_verdict other_mac(unsigned int key, int by, unsigned int mac, int source, bool *ask)
{
	struct station *s = &stations[key];

	if (by == LOCAL || s->source == FDB_STATIC)
		return contest(key, by, mac, source, ask);
	if (s->claimant != NOBODY)
		return FDB_CONTESTED;
	if (moved_too_often(s)) {
		counts.refused++;
		return FDB_BUSY;
	}
	move(key, by, mac, source > s->source ? source : s->source);
	return FDB_MOVED;
}

static void age_for(unsigned int key, int by)
{
	if (stations[key].owner == NOBODY || stations[key].owner == by || !is_over(&stations[key]))
		return;
	counts.aged++;
	forget(key);
}

static enum fdb_verdict claim(int by, unsigned int key, unsigned int mac, int source, bool *ask)
{
	struct station *s = &stations[key];

	*ask = false;
	port_claimed = by == LOCAL && source == FDB_ANNOUNCED ? FDB_PORT_BRIDGE : 0;
	if (s->owner == by && s->mac == mac && s->list < ASK &&
	    clock_ns < s->heard + FDB_SECOND_NS && source <= s->source &&
	    (source == FDB_LEARNED || s->generation == generations[by]))
		return FDB_OK;
	if (!is_mac(key)) {
		age_for(mac, by);
		if (stations[mac].owner == NOBODY) {
			enum fdb_verdict verdict = come(mac, by, mac, source, port_claimed);

			if (verdict != FDB_CAME)
				return verdict;
		} else if (stations[mac].owner == by) {
			renew(mac, source, port_claimed);
		} else {
			return stations[mac].claimant == by ? FDB_CONTESTED : refused();
		}
	}
	age_for(key, by);
	if (s->owner == NOBODY)
		return come(key, by, mac, source, is_mac(key) ? port_claimed : stations[mac].port);
	if (s->owner != by)
		return contest(key, by, mac, source, ask);
	if (s->mac != mac)
		return other_mac(key, by, mac, source, ask);
	renew(key, source, port_claimed);
	return FDB_OK;
}

/* The bridge has it behind that port, and heard of it then. */
static enum fdb_verdict claim_port(unsigned int mac, unsigned int port, uint64_t heard)
{
	struct station *s = &stations[mac];
	enum fdb_verdict verdict;
	bool ask;

	port_claimed = port;
	age_for(mac, LOCAL);
	if (s->owner == NOBODY) {
		verdict = come(mac, LOCAL, mac, FDB_LEARNED, port);
		if (verdict == FDB_CAME)
			s->heard = heard;
		return verdict;
	}
	if (s->owner != LOCAL)
		return contest(mac, LOCAL, mac, FDB_LEARNED, &ask);
	if (heard < s->heard)
		heard = s->heard;
	if (s->list >= ASK && clock_ns < heard + FDB_RECENT_NS)
		keep(mac);
	else if (s->list == AGE)
		enlist(mac, AGE);
	s->heard = heard;
	if (set_port(mac, port))
		return FDB_OK;
	counts.quota++;
	return FDB_QUOTA;
}

static void drop_claim(unsigned int key)
{
	stations[key].claimant = NOBODY;
	if (stations[key].asker_count)
		return;
	end_asking(key, true);
	enlist(key, AGE);
}

static void withdraw(int by, unsigned int key)
{
	struct station *s = &stations[key];

	if (s->owner == NOBODY)
		return;
	if (s->claimant == by)
		drop_claim(key);
	if (s->owner == by && s->source != FDB_STATIC) {
		counts.withdrawn++;
		release(key);
	}
}

/* The one of those in @list that was put there first, but after @after. */
static int first_listed(enum list list, uint64_t after)
{
	int found = -1;

	for (unsigned int k = 0; k < KEYS; k++)
		if (stations[k].owner != NOBODY && stations[k].list == list &&
		    stations[k].listed > after &&
		    (found < 0 || stations[k].listed < stations[found].listed))
			found = (int)k;
	return found;
}

/* The last one put under @owner, but before @before. */
static int last_owned(int owner, bool statics, uint64_t before)
{
	int found = -1;

	for (unsigned int k = 0; k < KEYS; k++)
		if (stations[k].owner == owner && (stations[k].source == FDB_STATIC) == statics &&
		    stations[k].owned < before &&
		    (found < 0 || stations[k].owned > stations[found].owned))
			found = (int)k;
	return found;
}

static void forget_member(int member)
{
	int key;

	for (enum list list = ASK; list <= SLOW; list++) {
		uint64_t after = 0;

		while ((key = first_listed(list, after)) >= 0) {
			after = stations[key].listed;
			if (stations[key].claimant == member)
				drop_claim((unsigned int)key);
		}
	}
	while ((key = last_owned(member, false, UINT64_MAX)) >= 0) {
		counts.withdrawn++;
		release((unsigned int)key);
	}
}

static void remove_member(int member)
{
	int key;

	forget_member(member);
	while ((key = last_owned(member, true, UINT64_MAX)) >= 0)
		forget((unsigned int)key);
	for (unsigned int i = 0; i < answer_count; i++)
		if (answers[i].member == member)
			answers[i].member = NOBODY;
	for (unsigned int k = 0; k < KEYS; k++)
		for (int i = 0; i < stations[k].asker_count; i++)
			if (stations[k].askers[i] == member)
				stations[k].askers[i] = NOBODY;
	memset(&begun[member], 0, sizeof(begun[member]));
	memset(&asked[member], 0, sizeof(asked[member]));
	generations[member] = 0;
}

static void end_whole(int member)
{
	uint64_t before = UINT64_MAX;
	int key;

	while ((key = last_owned(member, false, before)) >= 0) {
		const struct station *s = &stations[key];

		before = s->owned;
		if (s->source != FDB_ANNOUNCED || s->generation == generations[member])
			continue;
		counts.withdrawn++;
		release((unsigned int)key);
	}
}

/* What is to be asked about @key: a MAC of this host by its addresses in turn. */
static unsigned int question_of(unsigned int key)
{
	int address = (int)key, next = 0;

	if (!is_mac(key) || stations[key].owner != LOCAL)
		return key;
	for (unsigned int i = 0; i < stations[key].asked && next >= 0; i++) {
		next = last_address(key, i ? stations[address].placed : UINT64_MAX);
		if (next >= 0)
			address = next;
	}
	return (unsigned int)address;
}

static bool can_ask(unsigned int key)
{
	return stations[key].owner != LOCAL || !is_mac(key) || last_address(key, UINT64_MAX) >= 0;
}

static enum fdb_check check(int asker, unsigned int key)
{
	struct station *s = &stations[key];

	if (s->owner != LOCAL)
		return FDB_CHECK_NO;
	if (s->source == FDB_STATIC || !can_ask(key) ||
	    (is_mac(key) && clock_ns < s->heard + FDB_RECENT_NS))
		return FDB_CHECK_YES;
	for (int i = 0; i < s->asker_count; i++)
		if (s->askers[i] == asker)
			return FDB_CHECK_ASKED;
	memmove(s->askers + 1, s->askers, (size_t)s->asker_count * sizeof(*s->askers));
	s->askers[0] = asker;
	s->asker_count++;
	if (s->list < ASK) {
		s->asked = 1;
		enlist(key, ASK);
	}
	return FDB_CHECK_ASKED;
}

static int add_static(int owner, unsigned int key, unsigned int mac)
{
	struct station *s = &stations[key];

	if (!is_mac(key) && (stations[mac].owner != owner || stations[mac].source != FDB_STATIC))
		return -22;
	if (s->owner == NOBODY) {
		create(key, owner, mac, FDB_STATIC);
		return 0;
	}
	if (s->source == FDB_STATIC)
		return s->owner == owner && s->mac == mac ? 0 : -17;
	if (s->owner != owner || s->mac != mac)
		move(key, owner, mac, FDB_LEARNED);
	end_asking(key, true);
	s->source = FDB_STATIC;
	s->list = NO_LIST;
	s->owned = ++stamp;
	return 0;
}

static bool take_answer(struct fdb_due *due)
{
	struct answer answer = answers[0];

	memmove(answers, answers + 1, --answer_count * sizeof(*answers));
	if (answer.member == NOBODY)
		return false;
	due->what = answer.yes ? FDB_DUE_SAY_YES : FDB_DUE_SAY_NO;
	due->question.key = keys[answer.key];
	due->question.owner = &members[answer.member];
	return true;
}

static bool put_question(unsigned int key, struct fdb_due *due)
{
	unsigned int what;

	stations[key].asked++;
	what = question_of(key);
	due->what = FDB_DUE_ASK;
	due->question.key = keys[what];
	due->question.owner = &members[stations[what].owner];
	return true;
}

/* What is due of @key. True: @due is to be sent. */
static bool step(unsigned int key, struct fdb_due *due)
{
	struct station *s = &stations[key];

	if (s->list == AGE) {
		if (s->source == FDB_ANNOUNCED && !dead[s->owner]) {
			enlist(key, AGE);
			return false;
		}
		if (s->owner == LOCAL && can_ask(key)) {
			enlist(key, ASK);
			return put_question(key, due);
		}
		counts.aged++;
		forget(key);
		return false;
	}
	if (s->asked < 3 && can_ask(key)) {
		enlist(key, s->list);
		return put_question(key, due);
	}
	if (s->claimant == NOBODY && s->asker_count)
		counts.withdrawn++;
	else if (s->claimant == NOBODY)
		counts.aged++;
	release(key);
	return false;
}

static unsigned int tick(struct fdb_due *due)
{
	unsigned int n = 0;
	int key;

	for (;;) {
		if (answer_count) {
			n += take_answer(&due[n]);
			continue;
		}
		for (enum list list = ASK;; list = list == SLOW ? AGE : SLOW) {
			key = first_listed(list, 0);
			if (key >= 0 && stations[key].due <= clock_ns)
				break;
			key = -1;
			if (list == AGE)
				break;
		}
		if (key < 0)
			return n;
		n += step((unsigned int)key, &due[n]);
		assert_true(n < DUES);
	}
}

/* ---- both ---- */

static uint64_t seed;

static unsigned int draw(unsigned int below)
{
	return (unsigned int)((unit_random(&seed) >> 33) % below);
}

static void expect_key(const struct fdb_key *key, unsigned int at)
{
	assert_memory_equal(key, &keys[at], sizeof(*key));
}

static void do_claim(unsigned int key, int by)
{
	unsigned int mac = is_mac(key) ? key : draw(MACS);
	int source = draw(3) ? FDB_LEARNED : FDB_ANNOUNCED;
	struct fdb_question question;
	enum fdb_verdict said, want;
	bool ask, want_ask;

	/* Most often an address is where it is, or was. */
	if (!is_mac(key) && draw(2))
		mac = stations[key].mac;
	want = claim(by, key, mac, source, &want_ask);
	said = fdb_claim(fdb, &members[by], &keys[key], keys[mac].addr, (enum fdb_source)source,
	                 clock_ns, &ask, &question);
	assert_int_equal(said, want);
	assert_int_equal(ask, want_ask);
	if (ask) {
		expect_key(&question.key, question_of(key));
		assert_ptr_equal(question.owner, &members[stations[key].owner]);
		assert_memory_equal(question.mac, keys[stations[key].mac].addr, ETHER_ADDR_SIZE);
	}
}

static void do_port(unsigned int mac)
{
	unsigned int port = 1 + draw(3);
	uint64_t heard = clock_ns - draw(2) * draw(20) * FDB_SECOND_NS;
	enum fdb_verdict want = claim_port(mac, port, heard);

	assert_int_equal(fdb_claim_port(fdb, &keys[mac], port, heard, clock_ns), want);
}

static void do_check(unsigned int key, int by)
{
	struct fdb_question question;
	enum fdb_check want;

	if (by == LOCAL)
		return;
	want = check(by, key);
	assert_int_equal(fdb_check_local(fdb, &keys[key], &members[by], clock_ns, &question), want);
	if (want == FDB_CHECK_ASKED)
		expect_key(&question.key, question_of(key));
}

static void do_tick(void)
{
	static struct fdb_due due[DUES], want[DUES];
	unsigned int n = 0, wanted = tick(want);
	uint64_t next;

	do {
		unsigned int max = 1 + draw(4);

		assert_true(n + max <= DUES);
		n += fdb_tick(fdb, clock_ns, due + n, max, &next);
	} while (next <= clock_ns);
	assert_int_equal(n, wanted);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(due[i].what, want[i].what);
		assert_ptr_equal(due[i].question.owner, want[i].question.owner);
		assert_memory_equal(&due[i].question.key, &want[i].question.key,
		                    sizeof(struct fdb_key));
	}
}

static void set_session(int member)
{
	bool has = draw(2);
	uint32_t attempts = draw(5);

	if (member == LOCAL)
		return;
	sessions[member] = has;
	dead[member] = !has && attempts >= 3;
	session.birth_ns = UINT64_MAX;
	atomic_store(&peers[member].session.current, has ? &session : NULL);
	atomic_store(&peers[member].hello.version, has);
	atomic_store(&peers[member].timers.attempts, attempts);
}

static void do_static(unsigned int key, int by)
{
	unsigned int mac = is_mac(key) ? key : draw(MACS);
	bool was = stations[key].owner != NOBODY && stations[key].source == FDB_STATIC;

	if (was || draw(2)) {
		if (was) {
			counts.withdrawn++;
			forget(key);
		}
		assert_int_equal(fdb_remove_static(fdb, &keys[key], clock_ns), was ? 0 : -2);
		return;
	}
	assert_int_equal(fdb_add_static(fdb, &members[by], &keys[key], keys[mac].addr, clock_ns),
	                 add_static(by, key, mac));
}

static void do_member(int by)
{
	if (by == LOCAL)
		return;
	switch (draw(4)) {
	case 0:
		forget_member(by);
		fdb_forget(fdb, &members[by], clock_ns);
		break;
	case 1:
		remove_member(by);
		fdb_remove_member(fdb, &members[by], clock_ns);
		/* Another in its place. */
		assert_int_equal(members[by].first, 0);
		memset(&members[by], 0, sizeof(members[by]));
		members[by].peer = &peers[by];
		break;
	case 2:
		generations[by]++;
		fdb_begin_whole(fdb, &members[by]);
		break;
	default:
		end_whole(by);
		fdb_end_whole(fdb, &members[by], clock_ns);
	}
}

static void do_confirm(unsigned int key, int by)
{
	if (stations[key].owner == by && stations[key].list >= ASK)
		keep(key);
	fdb_confirm(fdb, &members[by], &keys[key], clock_ns);
}

static unsigned int key_at(const struct fdb_key *key)
{
	for (unsigned int k = 0; k < KEYS; k++)
		if (!memcmp(&keys[k], key, sizeof(*key)))
			return k;
	fail();
	return 0;
}

static void compare(void)
{
	static struct fdb_info info[KEYS];
	struct fdb_counts got;
	struct fdb_place place_;
	uint32_t n;

	fdb_get_counts(fdb, &got);
	assert_memory_equal(&got, &counts, sizeof(got));
	n = fdb_list(fdb, info, KEYS);
	assert_int_equal(n, counts.entries);
	for (uint32_t i = 0; i < n; i++) {
		const struct station *s = &stations[key_at(&info[i].key)];

		assert_int_equal(info[i].contested, s->claimant != NOBODY);
		assert_int_equal(info[i].heard_ns, s->heard);
	}
	for (unsigned int k = 0; k < KEYS; k++) {
		const struct station *s = &stations[k];

		assert_int_equal(fdb_lookup(fdb, &keys[k], clock_ns, &place_), is_known(k));
		if (!is_known(k))
			continue;
		assert_ptr_equal(place_.owner, &members[s->owner]);
		assert_int_equal(place_.source, s->source);
		assert_memory_equal(place_.mac, keys[s->mac].addr, ETHER_ADDR_SIZE);
		/* An address is where its MAC is. */
		assert_int_equal(stations[s->mac].owner, s->owner);
	}
	for (int m = 0; m < MEMBERS; m++) {
		assert_int_equal(members[m].macs, count_of(m, true));
		assert_int_equal(members[m].addrs, count_of(m, false));
	}
}

/* ---- readers of the log ---- */

static void read_some(struct reader *reader, uint32_t max)
{
	struct fdb_news news[8];
	uint64_t last, whole = reader->whole;
	uint32_t n = fdb_list_news(fdb, reader->after, news, max, &reader->whole, &last);

	if (reader->whole && reader->whole != whole)
		for (unsigned int k = 0; k < KEYS; k++)
			reader->mac[k] = -1;
	for (uint32_t i = 0; i < n; i++) {
		unsigned int key = key_at(&news[i].key);
		struct fdb_key mac = fdb_key_mac(news[i].mac);

		reader->mac[key] = news[i].gone ? -1 : (int)key_at(&mac);
		/* It takes its addresses with it. */
		for (unsigned int k = MACS; news[i].gone && k < KEYS; k++)
			if (is_mac(key) && reader->mac[k] == (int)key)
				reader->mac[k] = -1;
	}
	reader->after = n ? news[n - 1].sequence : last;
	if (reader->after == last)
		reader->whole = 0;
}

static void read_all(struct reader *reader)
{
	while (reader->after != fdb_last_news(fdb) || reader->whole)
		read_some(reader, 8);
	for (unsigned int k = 0; k < KEYS; k++) {
		bool here = stations[k].owner == LOCAL;

		assert_int_equal(reader->mac[k], here ? (int)stations[k].mac : -1);
	}
}

/* ---- the run ---- */

static void call(void)
{
	unsigned int key = draw(3) ? draw(KEYS) : draw(MACS);
	int by = (int)draw(MEMBERS);

	switch (draw(24)) {
	default:
		do_claim(key, by);
		break;
	case 0:
	case 1:
		withdraw(by, key);
		fdb_withdraw(fdb, &members[by], &keys[key], clock_ns);
		break;
	case 2:
	case 3:
		do_confirm(key, draw(2) && stations[key].owner >= 0 ? stations[key].owner : by);
		break;
	case 4:
	case 5:
		do_check(key, by);
		break;
	case 6:
	case 7:
	case 8:
		do_tick();
		break;
	case 9:
		set_session(by);
		break;
	case 10:
		if (!draw(4))
			do_static(key, by);
		break;
	case 11:
		if (!draw(4))
			do_member(by);
		break;
	case 13:
	case 14:
	case 15:
		do_port(draw(MACS));
		break;
	case 12:
		quota = 1 + draw(12);
		fdb_set_quota(fdb, quota);
	}
}

static uint64_t draw_step(void)
{
	static const uint64_t spans[] = { 1 * MS,    70 * MS,    300 * MS,
		                          2000 * MS, 40000 * MS, 150000 * MS };
	unsigned int at = draw(40);

	if (at < 12)
		return 0;
	at = at < 24 ? 0 : at < 32 ? 1 : at < 36 ? 2 : at < 38 ? 3 : at < 39 ? 4 : 5;
	return draw((unsigned int)(spans[at] / 1000)) * UINT64_C(1000);
}

static void begin(uint64_t number)
{
	seed = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
	memset(members, 0, sizeof(members));
	memset(stations, 0, sizeof(stations));
	memset(begun, 0, sizeof(begun));
	memset(asked, 0, sizeof(asked));
	memset(begun_at, 0, sizeof(begun_at));
	memset(generations, 0, sizeof(generations));
	memset(&counts, 0, sizeof(counts));
	memset(readers, 0, sizeof(readers));
	answer_count = 0;
	stamp = 0;
	clock_ns = 3600 * FDB_SECOND_NS;
	for (unsigned int k = 0; k < KEYS; k++) {
		uint8_t addr[16] = { 10, 0, 0, (uint8_t)k };

		addr[0] = is_mac(k) ? 2 : 10;
		addr[5] = (uint8_t)k;
		keys[k] = is_mac(k) ? fdb_key_mac(addr) : fdb_key_ip(k & 1 ? 4 : 6, addr);
		stations[k].owner = stations[k].claimant = NOBODY;
		for (int r = 0; r < READERS; r++)
			readers[r].mac[k] = -1;
	}
	sessions[LOCAL] = true;
	for (int m = 1; m < MEMBERS; m++) {
		members[m].peer = &peers[m];
		set_session(m);
	}
	fdb = fdb_open(&members[LOCAL]);
	assert_non_null(fdb);
	quota = 10;
	fdb_set_quota(fdb, quota);
}

#define RUNS  60
#define CALLS 4000

static void test_twin(void **state)
{
	uint64_t only = getenv("FDB_TWIN_RUN") ? strtoull(getenv("FDB_TWIN_RUN"), NULL, 10) : 0;

	(void)state;
	for (uint64_t run = only ? only : 1; run <= (only ? only : RUNS); run++) {
		begin(run);
		print_message("run %u\n", (unsigned int)run);
		for (unsigned int i = 0; i < CALLS; i++) {
			clock_ns += draw_step();
			call();
			if (i % 8 == 0)
				compare();
			for (int r = 0; r < READERS; r++)
				if (!draw(2u << (4 * r)))
					read_some(&readers[r], 1 + draw(8));
		}
		compare();
		for (int r = 0; r < READERS; r++)
			read_all(&readers[r]);
		fdb_close(fdb);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_twin) };

	if (secret_init())
		return 1;
	for (int m = 0; m < MEMBERS; m++)
		pthread_mutex_init(&peers[m].lock, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
