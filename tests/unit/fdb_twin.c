/* SPDX-License-Identifier: MIT */
#include "fdb_twin.h"

#include "unit.h"

#include <errno.h>
#include "dataplane/bucket.h"

struct answer {
	int member;
	unsigned int key;
	bool yes;
};

struct twin twin;

static struct bucket begun[TWIN_MEMBERS], asked[TWIN_MEMBERS], begun_at[FDB_PORTS];
static uint32_t generations[TWIN_MEMBERS];
static struct answer answers[256];
static unsigned int answer_count;
static uint64_t stamp;
static unsigned int port_claimed; /* by the call under way */

void twin_reset(uint32_t quota)
{
	memset(&twin, 0, sizeof(twin));
	memset(begun, 0, sizeof(begun));
	memset(asked, 0, sizeof(asked));
	memset(begun_at, 0, sizeof(begun_at));
	memset(generations, 0, sizeof(generations));
	answer_count = 0;
	stamp = 0;
	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		twin.stations[k].owner = twin.stations[k].claimant = TWIN_NOBODY;
	twin.sessions[TWIN_LOCAL] = true;
	twin.clock_ns = 3600 * FDB_SECOND_NS;
	twin.quota = quota;
}

unsigned int twin_count(int owner, bool macs)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		n += twin.stations[k].owner == owner && twin_is_mac(k) == macs &&
		     twin.stations[k].source != FDB_STATIC;
	return n;
}

static unsigned int port_of(unsigned int key)
{
	return twin.stations[twin.stations[key].mac].port;
}

static unsigned int count_at(unsigned int port, bool macs)
{
	unsigned int n = 0;

	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		n += twin.stations[k].owner == TWIN_LOCAL && twin_is_mac(k) == macs &&
		     twin.stations[k].source != FDB_STATIC && port_of(k) == port;
	return n;
}

static unsigned int room(int owner, bool macs)
{
	unsigned int has = twin_count(owner, macs), may = macs ? twin.quota : 4 * twin.quota;

	return has < may ? may - has : 0;
}

static bool has_room(int owner, unsigned int key, unsigned int port)
{
	unsigned int free = room(owner, twin_is_mac(key));

	return owner == TWIN_LOCAL ? 3 * count_at(port, twin_is_mac(key)) < free : free > 0;
}

static void enlist(unsigned int key, enum twin_list list)
{
	static const uint64_t wait[] = { 0, FDB_AGE_NS, FDB_CHECK_NS / 3, FDB_CHECK_SLOW_NS / 3 };

	twin.stations[key].list = list;
	twin.stations[key].due = twin.clock_ns + wait[list];
	twin.stations[key].listed = ++stamp;
}

static void end_asking(unsigned int key, bool yes)
{
	struct twin_station *s = &twin.stations[key];

	for (int i = 0; i < s->asker_count; i++)
		answers[answer_count++] = (struct answer){ s->askers[i], key, yes };
	s->asker_count = 0;
	s->claimant = TWIN_NOBODY;
	s->asked = 0;
}

static void place(unsigned int key, int owner, unsigned int mac, int source)
{
	struct twin_station *s = &twin.stations[key];

	s->owner = owner;
	s->mac = mac;
	s->source = source;
	s->generation = generations[owner];
	s->heard = twin.clock_ns;
	s->owned = s->placed = ++stamp;
	enlist(key, source == FDB_STATIC ? TWIN_UNLISTED : TWIN_AGE);
}

static void create(unsigned int key, int owner, unsigned int mac, int source)
{
	twin.stations[key] = (struct twin_station){ .claimant = TWIN_NOBODY };
	place(key, owner, mac, source);
	twin.counts.came++;
	twin.counts.entries++;
}

static void count_move(struct twin_station *s)
{
	if (!s->recent || s->moves_from + FDB_MOVES_NS <= twin.clock_ns) {
		s->recent = 0;
		s->moves_from = twin.clock_ns;
	}
	s->recent++;
	s->holds = 0;
	s->hold_until = 0;
}

/* The address of @mac that was placed there last, but before @before. */
static int last_address(unsigned int mac, uint64_t before)
{
	int found = -1;

	for (unsigned int k = TWIN_MACS; k < TWIN_KEYS; k++)
		if (twin.stations[k].owner != TWIN_NOBODY && twin.stations[k].mac == mac &&
		    twin.stations[k].placed < before &&
		    (found < 0 || twin.stations[k].placed > twin.stations[found].placed))
			found = (int)k;
	return found;
}

static void vanish(unsigned int key)
{
	end_asking(key, false);
	twin.stations[key].owner = TWIN_NOBODY;
	twin.stations[key].list = TWIN_UNLISTED;
	twin.counts.entries--;
}

static void move(unsigned int key, int to, unsigned int mac, int source)
{
	uint64_t before = stamp + 1;
	int address;

	end_asking(key, false);
	place(key, to, mac, source);
	count_move(&twin.stations[key]);
	twin.counts.moved++;
	twin.stations[key].port = to == TWIN_LOCAL ? twin.stations[key].claim_port : 0;
	twin.stations[key].claim_port = 0;
	while (twin_is_mac(key) && (address = last_address(key, before)) >= 0) {
		struct twin_station *s = &twin.stations[address];

		before = s->placed;
		s->owner = TWIN_NOBODY; /* so that it does not count */
		if (has_room(to, (unsigned int)address, twin.stations[key].port)) {
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
	const struct twin_station *s = &twin.stations[key];
	unsigned int port = twin_is_mac(key) ? s->claim_port : twin.stations[s->claim_mac].port;

	if (s->claimant == TWIN_NOBODY)
		return false;
	if ((s->claimant != s->owner || port != port_of(key)) && !has_room(s->claimant, key, port))
		return false;
	if (!twin_is_mac(key) && twin.stations[s->claim_mac].owner != s->claimant)
		return false;
	move(key, s->claimant, s->claim_mac, s->claim_source);
	return true;
}

static void forget(unsigned int key)
{
	int address;

	vanish(key);
	if (!twin_is_mac(key))
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
	struct twin_station *s = &twin.stations[key];

	if (s->claimant != TWIN_NOBODY) {
		if (s->hold_until + FDB_HOLD_MAX_NS < twin.clock_ns)
			s->holds = 0;
		s->hold_until = twin.clock_ns +
		                (s->holds >= 6 ? FDB_HOLD_MAX_NS : FDB_SECOND_NS << s->holds);
		s->holds++;
	}
	end_asking(key, true);
	s->heard = twin.clock_ns;
	enlist(key, TWIN_AGE);
}

void twin_confirm(int by, unsigned int key)
{
	if (twin.stations[key].owner == by && twin.stations[key].list >= TWIN_ASK)
		keep(key);
}

static bool is_over(const struct twin_station *s)
{
	return s->list == TWIN_AGE && s->due <= twin.clock_ns && s->source == FDB_LEARNED &&
	       s->owner != TWIN_LOCAL;
}

bool twin_is_known(unsigned int key)
{
	return twin.stations[key].owner != TWIN_NOBODY && !is_over(&twin.stations[key]);
}

static bool set_port(unsigned int key, unsigned int port)
{
	unsigned int addrs = 0;

	if (twin.stations[key].port == port)
		return true;
	for (unsigned int k = TWIN_MACS; k < TWIN_KEYS; k++)
		addrs += twin.stations[k].owner == TWIN_LOCAL && twin.stations[k].mac == key &&
		         twin.stations[k].source != FDB_STATIC;
	if (twin.stations[key].source != FDB_STATIC &&
	    3 * count_at(port, true) >= room(TWIN_LOCAL, true))
		return false;
	if (addrs && 3 * (count_at(port, false) + addrs - 1) >= room(TWIN_LOCAL, false))
		return false;
	twin.stations[key].port = port;
	return true;
}

static void renew(unsigned int key, int source, unsigned int port)
{
	struct twin_station *s = &twin.stations[key];

	if (port && twin_is_mac(key))
		set_port(key, port);
	if (source > s->source)
		s->source = source;
	if (source == FDB_ANNOUNCED)
		s->generation = generations[s->owner];
	s->heard = twin.clock_ns;
	if (s->list == TWIN_AGE || (s->list != TWIN_UNLISTED && s->owner == TWIN_LOCAL))
		keep(key);
}

static enum fdb_verdict refused(void)
{
	twin.counts.refused++;
	return FDB_REFUSED;
}

static enum fdb_verdict come(unsigned int key, int by, unsigned int mac, int source,
                             unsigned int port)
{
	if (!has_room(by, key, port)) {
		twin.counts.quota++;
		return FDB_QUOTA;
	}
	create(key, by, mac, source);
	twin.stations[key].port = twin_is_mac(key) ? port : 0;
	return FDB_CAME;
}

static bool moved_too_often(const struct twin_station *s)
{
	return s->recent >= FDB_MOVES_MAX && twin.clock_ns < s->moves_from + FDB_MOVES_NS;
}

static enum fdb_verdict contest(unsigned int key, int by, unsigned int mac, int source, bool *ask)
{
	struct twin_station *s = &twin.stations[key];
	unsigned int port = twin_is_mac(key) ? port_claimed : twin.stations[mac].port;

	if (s->source == FDB_STATIC || (twin_is_mac(key) && s->owner == TWIN_LOCAL))
		return refused();
	if (s->claimant != TWIN_NOBODY)
		return FDB_CONTESTED;
	if (moved_too_often(s)) {
		twin.counts.refused++;
		return FDB_BUSY;
	}
	if ((by != s->owner || port != port_of(key)) && !has_room(by, key, port)) {
		twin.counts.quota++;
		return FDB_QUOTA;
	}
	if (twin.dead[s->owner]) {
		s->claim_port = port;
		move(key, by, mac, source);
		return FDB_MOVED;
	}
	if (twin.clock_ns < s->hold_until)
		return refused();
	if (by == TWIN_LOCAL && !bucket_take(&begun_at[port], FDB_SECOND_NS / 5, 4, twin.clock_ns))
		return refused();
	if (!bucket_take(&begun[by], FDB_SECOND_NS / 20, 16, twin.clock_ns) ||
	    !bucket_take(&asked[s->owner], FDB_SECOND_NS / 50, 32, twin.clock_ns))
		return refused();
	twin.counts.contests++;
	s->claimant = by;
	s->claim_mac = mac;
	s->claim_source = source;
	s->claim_port = port;
	s->asked = 1;
	enlist(key, twin.sessions[s->owner] ? TWIN_ASK : TWIN_SLOW);
	*ask = true;
	return FDB_CONTESTED;
}

static enum fdb_verdict other_mac(unsigned int key, int by, unsigned int mac, int source, bool *ask)
{
	struct twin_station *s = &twin.stations[key];

	if (by == TWIN_LOCAL || s->source == FDB_STATIC)
		return contest(key, by, mac, source, ask);
	if (s->claimant != TWIN_NOBODY)
		return FDB_CONTESTED;
	if (moved_too_often(s)) {
		twin.counts.refused++;
		return FDB_BUSY;
	}
	move(key, by, mac, source > s->source ? source : s->source);
	return FDB_MOVED;
}

static void age_for(unsigned int key, int by)
{
	if (twin.stations[key].owner == TWIN_NOBODY || twin.stations[key].owner == by ||
	    !is_over(&twin.stations[key]))
		return;
	twin.counts.aged++;
	forget(key);
}

enum fdb_verdict twin_claim(int by, unsigned int key, unsigned int mac, int source, bool *ask)
{
	struct twin_station *s = &twin.stations[key];

	*ask = false;
	port_claimed = by == TWIN_LOCAL && source == FDB_ANNOUNCED ? FDB_PORT_BRIDGE : 0;
	if (s->owner == by && s->mac == mac && s->list < TWIN_ASK &&
	    twin.clock_ns < s->heard + FDB_SECOND_NS && source <= s->source &&
	    (source == FDB_LEARNED || s->generation == generations[by]))
		return FDB_OK;
	if (!twin_is_mac(key)) {
		age_for(mac, by);
		if (twin.stations[mac].owner == TWIN_NOBODY) {
			enum fdb_verdict verdict = come(mac, by, mac, source, port_claimed);

			if (verdict != FDB_CAME)
				return verdict;
		} else if (twin.stations[mac].owner == by) {
			renew(mac, source, port_claimed);
		} else {
			return twin.stations[mac].claimant == by ? FDB_CONTESTED : refused();
		}
	}
	age_for(key, by);
	if (s->owner == TWIN_NOBODY)
		return come(key, by, mac, source,
		            twin_is_mac(key) ? port_claimed : twin.stations[mac].port);
	if (s->owner != by)
		return contest(key, by, mac, source, ask);
	if (s->mac != mac)
		return other_mac(key, by, mac, source, ask);
	renew(key, source, port_claimed);
	return FDB_OK;
}

enum fdb_verdict twin_claim_port(unsigned int mac, unsigned int port, uint64_t heard)
{
	struct twin_station *s = &twin.stations[mac];
	enum fdb_verdict verdict;
	bool ask;

	port_claimed = port;
	age_for(mac, TWIN_LOCAL);
	if (s->owner == TWIN_NOBODY) {
		verdict = come(mac, TWIN_LOCAL, mac, FDB_LEARNED, port);
		if (verdict == FDB_CAME)
			s->heard = heard;
		return verdict;
	}
	if (s->owner != TWIN_LOCAL)
		return contest(mac, TWIN_LOCAL, mac, FDB_LEARNED, &ask);
	if (heard < s->heard)
		heard = s->heard;
	if (s->list >= TWIN_ASK && twin.clock_ns < heard + FDB_RECENT_NS)
		keep(mac);
	else if (s->list == TWIN_AGE)
		enlist(mac, TWIN_AGE);
	s->heard = heard;
	if (set_port(mac, port))
		return FDB_OK;
	twin.counts.quota++;
	return FDB_QUOTA;
}

static void drop_claim(unsigned int key)
{
	twin.stations[key].claimant = TWIN_NOBODY;
	if (twin.stations[key].asker_count)
		return;
	end_asking(key, true);
	enlist(key, TWIN_AGE);
}

void twin_withdraw(int by, unsigned int key)
{
	struct twin_station *s = &twin.stations[key];

	if (s->owner == TWIN_NOBODY)
		return;
	if (s->claimant == by)
		drop_claim(key);
	if (s->owner == by && s->source != FDB_STATIC) {
		twin.counts.withdrawn++;
		release(key);
	}
}

/* The one of those in @list that was put there first, but after @after. */
static int first_listed(enum twin_list list, uint64_t after)
{
	int found = -1;

	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		if (twin.stations[k].owner != TWIN_NOBODY && twin.stations[k].list == list &&
		    twin.stations[k].listed > after &&
		    (found < 0 || twin.stations[k].listed < twin.stations[found].listed))
			found = (int)k;
	return found;
}

/* The last one put under @owner, but before @before. */
static int last_owned(int owner, bool statics, uint64_t before)
{
	int found = -1;

	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		if (twin.stations[k].owner == owner &&
		    (twin.stations[k].source == FDB_STATIC) == statics &&
		    twin.stations[k].owned < before &&
		    (found < 0 || twin.stations[k].owned > twin.stations[found].owned))
			found = (int)k;
	return found;
}

void twin_forget_member(int member)
{
	int key;

	for (enum twin_list list = TWIN_ASK; list <= TWIN_SLOW; list++) {
		uint64_t after = 0;

		while ((key = first_listed(list, after)) >= 0) {
			after = twin.stations[key].listed;
			if (twin.stations[key].claimant == member)
				drop_claim((unsigned int)key);
		}
	}
	while ((key = last_owned(member, false, UINT64_MAX)) >= 0) {
		twin.counts.withdrawn++;
		release((unsigned int)key);
	}
}

void twin_remove_member(int member)
{
	int key;

	twin_forget_member(member);
	while ((key = last_owned(member, true, UINT64_MAX)) >= 0)
		forget((unsigned int)key);
	for (unsigned int i = 0; i < answer_count; i++)
		if (answers[i].member == member)
			answers[i].member = TWIN_NOBODY;
	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		for (int i = 0; i < twin.stations[k].asker_count; i++)
			if (twin.stations[k].askers[i] == member)
				twin.stations[k].askers[i] = TWIN_NOBODY;
	memset(&begun[member], 0, sizeof(begun[member]));
	memset(&asked[member], 0, sizeof(asked[member]));
	generations[member] = 0;
}

void twin_begin_whole(int member)
{
	generations[member]++;
}

void twin_end_whole(int member)
{
	uint64_t before = UINT64_MAX;
	int key;

	while ((key = last_owned(member, false, before)) >= 0) {
		const struct twin_station *s = &twin.stations[key];

		before = s->owned;
		if (s->source != FDB_ANNOUNCED || s->generation == generations[member])
			continue;
		twin.counts.withdrawn++;
		release((unsigned int)key);
	}
}

unsigned int twin_question(unsigned int key)
{
	int address = (int)key, next = 0;

	if (!twin_is_mac(key) || twin.stations[key].owner != TWIN_LOCAL)
		return key;
	for (unsigned int i = 0; i < twin.stations[key].asked && next >= 0; i++) {
		next = last_address(key, i ? twin.stations[address].placed : UINT64_MAX);
		if (next >= 0)
			address = next;
	}
	return (unsigned int)address;
}

static bool can_ask(unsigned int key)
{
	return twin.stations[key].owner != TWIN_LOCAL || !twin_is_mac(key) ||
	       last_address(key, UINT64_MAX) >= 0;
}

enum fdb_check twin_check(int asker, unsigned int key)
{
	struct twin_station *s = &twin.stations[key];

	if (s->owner != TWIN_LOCAL)
		return FDB_CHECK_NO;
	if (s->source == FDB_STATIC || !can_ask(key) ||
	    (twin_is_mac(key) && twin.clock_ns < s->heard + FDB_RECENT_NS))
		return FDB_CHECK_YES;
	for (int i = 0; i < s->asker_count; i++)
		if (s->askers[i] == asker)
			return FDB_CHECK_ASKED;
	memmove(s->askers + 1, s->askers, (size_t)s->asker_count * sizeof(*s->askers));
	s->askers[0] = asker;
	s->asker_count++;
	if (s->list < TWIN_ASK) {
		s->asked = 1;
		enlist(key, TWIN_ASK);
	}
	return FDB_CHECK_ASKED;
}

int twin_add_static(int owner, unsigned int key, unsigned int mac)
{
	struct twin_station *s = &twin.stations[key];

	if (!twin_is_mac(key) &&
	    (twin.stations[mac].owner != owner || twin.stations[mac].source != FDB_STATIC))
		return -EINVAL;
	if (s->owner == TWIN_NOBODY) {
		create(key, owner, mac, FDB_STATIC);
		return 0;
	}
	if (s->source == FDB_STATIC)
		return s->owner == owner && s->mac == mac ? 0 : -EEXIST;
	if (s->owner != owner || s->mac != mac)
		move(key, owner, mac, FDB_LEARNED);
	end_asking(key, true);
	s->source = FDB_STATIC;
	s->list = TWIN_UNLISTED;
	s->owned = ++stamp;
	return 0;
}

int twin_remove_static(unsigned int key)
{
	const struct twin_station *s = &twin.stations[key];

	if (s->owner == TWIN_NOBODY || s->source != FDB_STATIC)
		return -ENOENT;
	twin.counts.withdrawn++;
	forget(key);
	return 0;
}

static bool take_answer(struct twin_due *due)
{
	struct answer answer = answers[0];

	memmove(answers, answers + 1, --answer_count * sizeof(*answers));
	if (answer.member == TWIN_NOBODY)
		return false;
	due->what = answer.yes ? FDB_DUE_SAY_YES : FDB_DUE_SAY_NO;
	due->key = answer.key;
	due->member = answer.member;
	return true;
}

static bool put_question(unsigned int key, struct twin_due *due)
{
	unsigned int what;

	twin.stations[key].asked++;
	what = twin_question(key);
	due->what = FDB_DUE_ASK;
	due->key = what;
	due->member = twin.stations[what].owner;
	return true;
}

/* What is due of @key. True: @due is to be sent. */
static bool step(unsigned int key, struct twin_due *due)
{
	struct twin_station *s = &twin.stations[key];

	if (s->list == TWIN_AGE) {
		if (s->source == FDB_ANNOUNCED && !twin.dead[s->owner]) {
			enlist(key, TWIN_AGE);
			return false;
		}
		if (s->owner == TWIN_LOCAL && can_ask(key)) {
			enlist(key, TWIN_ASK);
			return put_question(key, due);
		}
		twin.counts.aged++;
		forget(key);
		return false;
	}
	if (s->asked < 3 && can_ask(key)) {
		enlist(key, s->list);
		return put_question(key, due);
	}
	if (s->claimant == TWIN_NOBODY && s->asker_count)
		twin.counts.withdrawn++;
	else if (s->claimant == TWIN_NOBODY)
		twin.counts.aged++;
	release(key);
	return false;
}

unsigned int twin_tick(struct twin_due *due)
{
	unsigned int n = 0;
	int key;

	for (;;) {
		if (answer_count) {
			n += take_answer(&due[n]);
			continue;
		}
		for (enum twin_list list = TWIN_ASK;;
		     list = list == TWIN_SLOW ? TWIN_AGE : TWIN_SLOW) {
			key = first_listed(list, 0);
			if (key >= 0 && twin.stations[key].due <= twin.clock_ns)
				break;
			key = -1;
			if (list == TWIN_AGE)
				break;
		}
		if (key < 0)
			return n;
		n += step((unsigned int)key, &due[n]);
		assert_true(n < TWIN_DUES);
	}
}
