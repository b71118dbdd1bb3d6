/* SPDX-License-Identifier: MIT */
/*
 * Owners are asked whether they still have a station: because another claims it (a
 * contest), because a peer asks us (a check), or because a station of this host was
 * not heard of for long. All three are one thing: FDB_CHECKS questions at equal
 * intervals, which any number of parties wait for. An answer ends it for all, and
 * so does silence.
 *
 * Who waits for the answer to a check stands in a small pool of its own. When it is
 * used up, a check is answered with yes: a wrong yes costs the asker a second, a
 * wrong no costs the owner its station.
 */
#include "dataplane/fdb_private.h"

#include <string.h>

/* Entries looked at in one call, so that thousands due at once do not hold up others. */
#define STEPS_MAX 256

bool fdb_can_ask(const struct fdb *fdb, const struct fdb_entry *entry)
{
	return entry->owner != fdb->local || !fdb_is_mac(entry) || entry->addresses;
}

/* A MAC of this host has no question of its own: its addresses are asked for in turn. */
static const struct fdb_entry *what_to_ask(struct fdb *fdb, const struct fdb_entry *entry)
{
	const struct fdb_entry *address;

	if (entry->owner != fdb->local || !fdb_is_mac(entry))
		return entry;
	address = fdb_at(fdb, entry->addresses);
	for (uint8_t i = 1; i < entry->asked && address->links[FDB_LINK_STATION].next; i++)
		address = fdb_at(fdb, address->links[FDB_LINK_STATION].next);
	return address;
}

static void ask(struct fdb *fdb, struct fdb_entry *entry, enum fdb_list_kind list, uint64_t now_ns,
                struct fdb_question *question)
{
	const struct fdb_entry *what;

	entry->asked++;
	fdb_enlist(fdb, entry, list, now_ns);
	what = what_to_ask(fdb, entry);
	question->key = what->key;
	question->owner = what->owner;
	memcpy(question->mac, what->mac, ETHER_ADDR_SIZE);
}

void fdb_begin_asking(struct fdb *fdb, struct fdb_entry *entry, enum fdb_list_kind list,
                      uint64_t now_ns, struct fdb_question *question)
{
	entry->asked = 0;
	ask(fdb, entry, list, now_ns, question);
}

/* ---- who waits ---- */

static struct fdb_asker *asker_at(struct fdb *fdb, uint32_t number)
{
	return &fdb->askers[number - 1];
}

static bool add_asker(struct fdb *fdb, struct fdb_entry *entry, struct member *member)
{
	uint32_t number;

	for (number = entry->askers; number; number = asker_at(fdb, number)->next)
		if (asker_at(fdb, number)->member == member)
			return true;
	if (fdb->askers_free) {
		number = fdb->askers_free;
		fdb->askers_free = asker_at(fdb, number)->next;
	} else if (fdb->askers_used < FDB_ASKERS) {
		number = ++fdb->askers_used;
	} else {
		return false;
	}
	*asker_at(fdb, number) = (struct fdb_asker){
		.key = entry->key,
		.next = entry->askers,
		.member = member,
	};
	memcpy(asker_at(fdb, number)->mac, entry->mac, ETHER_ADDR_SIZE);
	entry->askers = number;
	return true;
}

void fdb_end_asking(struct fdb *fdb, struct fdb_entry *entry, bool yes)
{
	while (entry->askers) {
		uint32_t number = entry->askers;
		struct fdb_asker *asker = asker_at(fdb, number);

		entry->askers = asker->next;
		asker->yes = yes;
		asker->next = 0;
		if (fdb->answers.last)
			asker_at(fdb, fdb->answers.last)->next = number;
		else
			fdb->answers.first = number;
		fdb->answers.last = number;
	}
	entry->claimant = NULL;
	entry->asked = 0;
}

void fdb_forget_asker(struct fdb *fdb, const struct member *member)
{
	for (uint32_t number = 1; number <= fdb->askers_used; number++)
		if (asker_at(fdb, number)->member == member)
			asker_at(fdb, number)->member = NULL;
}

/* True: @due is an answer to send. */
static bool take_answer(struct fdb *fdb, struct fdb_due *due)
{
	uint32_t number = fdb->answers.first;
	struct fdb_asker *asker = asker_at(fdb, number);

	fdb->answers.first = asker->next;
	if (!asker->next)
		fdb->answers.last = 0;
	asker->next = fdb->askers_free;
	fdb->askers_free = number;
	due->what = asker->yes ? FDB_DUE_SAY_YES : FDB_DUE_SAY_NO;
	due->question.key = asker->key;
	due->question.owner = asker->member;
	memcpy(due->question.mac, asker->mac, ETHER_ADDR_SIZE);
	return asker->member;
}

void fdb_drop_claim(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns)
{
	entry->claimant = NULL;
	if (entry->askers)
		return;
	fdb_end_asking(fdb, entry, true);
	fdb_enlist(fdb, entry, FDB_LIST_AGE, now_ns);
}

void fdb_drop_claims(struct fdb *fdb, const struct member *claimant, uint64_t now_ns)
{
	for (int list = FDB_LIST_ASK; list < FDB_LISTS; list++) {
		uint32_t next;

		for (uint32_t number = fdb->due[list].first; number; number = next) {
			struct fdb_entry *entry = fdb_at(fdb, number);

			next = entry->links[FDB_LINK_DUE].next;
			if (entry->claimant == claimant)
				fdb_drop_claim(fdb, entry, now_ns);
		}
	}
}

/* ---- checks ---- */

static enum fdb_check check(struct fdb *fdb, struct fdb_entry *entry, struct member *asker,
                            uint64_t now_ns, struct fdb_question *question)
{
	const struct fdb_entry *what;

	if (!entry || entry->owner != fdb->local || asker->gone)
		return FDB_CHECK_NO;
	if (entry->source == FDB_STATIC || !fdb_can_ask(fdb, entry) ||
	    (fdb_is_mac(entry) && now_ns < entry->heard_ns + FDB_RECENT_NS) ||
	    !add_asker(fdb, entry, asker))
		return FDB_CHECK_YES;
	if (!fdb_is_asked(entry)) {
		fdb_begin_asking(fdb, entry, FDB_LIST_ASK, now_ns, question);
		return FDB_CHECK_ASKED;
	}
	what = what_to_ask(fdb, entry);
	*question = (struct fdb_question){ .key = what->key, .owner = what->owner };
	memcpy(question->mac, what->mac, ETHER_ADDR_SIZE);
	return FDB_CHECK_ASKED;
}

enum fdb_check fdb_check_local(struct fdb *fdb, const struct fdb_key *key, struct member *asker,
                               uint64_t now_ns, struct fdb_question *question)
{
	enum fdb_check verdict;

	fdb_lock(fdb);
	verdict = check(fdb, fdb_find(fdb, key), asker, now_ns, question);
	fdb_schedule(fdb);
	fdb_unlock(fdb);
	return verdict;
}

/* ---- time ---- */

/* Too old, if it is not kept. True: @due is a question to send first. */
static bool age(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns, struct fdb_due *due)
{
	bool local = entry->owner == fdb->local;

	if (entry->source == FDB_ANNOUNCED && !fdb_is_dead(fdb, entry->owner, now_ns)) {
		fdb_enlist(fdb, entry, FDB_LIST_AGE, now_ns);
		return false;
	}
	if (local && fdb_can_ask(fdb, entry)) {
		due->what = FDB_DUE_ASK;
		fdb_begin_asking(fdb, entry, FDB_LIST_ASK, now_ns, &due->question);
		return true;
	}
	/* It will not announce this again by itself: so it has to tell everything. */
	if (entry->source == FDB_ANNOUNCED)
		entry->owner->news.heard = 0;
	fdb->counts.aged++;
	fdb_remove(fdb, entry, now_ns);
	return false;
}

/* The last question was not answered. True: @due is the next. */
static bool repeat(struct fdb *fdb, struct fdb_entry *entry, uint64_t now_ns, struct fdb_due *due)
{
	if (entry->asked < FDB_CHECKS && fdb_can_ask(fdb, entry)) {
		due->what = FDB_DUE_ASK;
		ask(fdb, entry, (enum fdb_list_kind)entry->list, now_ns, &due->question);
		return true;
	}
	if (!entry->claimant) {
		if (entry->askers)
			fdb->counts.withdrawn++;
		else
			fdb->counts.aged++;
	}
	fdb_release(fdb, entry, now_ns);
	return false;
}

/* The next entry whose time has come, or NULL. */
static struct fdb_entry *first_due(struct fdb *fdb, uint64_t now_ns)
{
	static const enum fdb_list_kind lists[] = { FDB_LIST_ASK, FDB_LIST_ASK_SLOW, FDB_LIST_AGE };

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		struct fdb_entry *entry = fdb_at(fdb, fdb->due[lists[i]].first);

		if (entry && entry->due_ns <= now_ns)
			return entry;
	}
	return NULL;
}

unsigned int fdb_tick(struct fdb *fdb, uint64_t now_ns, struct fdb_due *due, unsigned int max,
                      uint64_t *next_ns)
{
	unsigned int n = 0;

	fdb_lock(fdb);
	fdb_log_expire(fdb, now_ns);
	for (unsigned int steps = 0; n < max && steps < STEPS_MAX; steps++) {
		struct fdb_entry *entry;

		if (fdb->answers.first) {
			n += take_answer(fdb, &due[n]);
			continue;
		}
		entry = first_due(fdb, now_ns);
		if (!entry)
			break;
		n += fdb_is_asked(entry) ? repeat(fdb, entry, now_ns, &due[n])
		                         : age(fdb, entry, now_ns, &due[n]);
	}
	fdb->wake = false;
	fdb_schedule(fdb);
	*next_ns = fdb_next(fdb);
	fdb_unlock(fdb);
	return n;
}
