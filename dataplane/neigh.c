/* SPDX-License-Identifier: MIT */
/*
 * The table of neigh.h: chains of a keyed hash over a fixed array of entries.
 *
 * Nothing here ever scans the array (but for show). Whatever waits for a time
 * stands in a list of those that wait equally long, so that the list is in the
 * order of their times and its first is the next one due. Whatever waits for the
 * rate limit stands in a list too, first come, first served. And entries whose MAC
 * is known are ordered by their last use, for reuse.
 *
 * Questions come out of two halves of the limit: one for addresses that are not
 * known, which peers can ask for at will, one for those that are, which containers
 * can make us doubt at will. Neither party can starve the other.
 *
 * No contest begins unless its question may be asked there and then: a MAC that
 * was not asked has not kept silent.
 */
#include "dataplane/neigh.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"

#define MS_NS        1000000ULL
#define REACHABLE_NS (5000 * MS_NS)
#define UNUSED_NS    (600 * 1000 * MS_NS)
#define QUESTIONS    3 /* of one kind about one address */

/* Each half of the limit. */
#define CREDIT_COST_NS (4 * MS_NS)
#define CREDIT_BURST   50

#define BUCKETS        NEIGH_ENTRIES
_Static_assert((BUCKETS & (BUCKETS - 1)) == 0, "the low bits of the hash choose the bucket");

/* What an entry waits for. */
enum due_list {
	DUE_NOTHING,
	DUE_ASKED, /* INCOMPLETE: an answer to the last question */
	DUE_PROBED, /* PROBING, CONTESTED: the same */
	DUE_FAILED,
	DUE_WANT_UNKNOWN, /* INCOMPLETE: leave to be asked for */
	DUE_WANT_KNOWN, /* PROBING, CONTESTED: the same */
	DUE_LISTS,
};
static const uint64_t due_after_ns[DUE_LISTS] = {
	[DUE_ASKED] = 1000 * MS_NS,
	[DUE_PROBED] = 250 * MS_NS,
	[DUE_FAILED] = 1000 * MS_NS,
};

/* Entries whose MAC is known, by their last use. */
enum use_list { USE_NONE, USE_NEVER, USE_SOME, USE_LISTS };

/* Numbers of entries, + 1; 0: none. */
struct link {
	uint32_t previous;
	uint32_t next;
};
struct list {
	uint32_t first;
	uint32_t last;
};

struct entry {
	struct neigh_addr addr;
	uint8_t mac[ETHER_ADDR_SIZE];
	uint8_t challenger[ETHER_ADDR_SIZE];
	uint8_t questions; /* asked in this state */
	enum neigh_state state;
	enum due_list due_list;
	enum use_list use_list;
	struct link due;
	struct link use;
	uint32_t next; /* in its bucket, or free */
	struct stage_queue waiting;
	uint64_t due_ns;
	uint64_t used_ns; /* or made, when it was not used yet */
	uint64_t confirmed_ns;
};

struct credit {
	uint64_t next_ns; /* when the next question may be asked */
};

struct neigh_table {
	pthread_mutex_t lock;
	struct stage_share share; /* of all that wait here */
	uint8_t key[SECRET_HASH_KEY_SIZE];
	struct list due[DUE_LISTS];
	struct list use[USE_LISTS];
	struct credit unknown_credit;
	struct credit known_credit;
	uint32_t entries_used; /* those from here on were never used */
	uint32_t free;
	uint32_t count;
	uint32_t unresolved;
	unsigned int lost; /* packets, not yet told by neigh_tick() */
	uint32_t buckets[BUCKETS];
	struct entry entries[NEIGH_ENTRIES];
};

struct neigh_table *neigh_open(struct stage_pool *pool)
{
	struct neigh_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	table->share.pool = pool;
	secret_random(table->key, sizeof(table->key));
	return table;
}

void neigh_close(struct neigh_table *table)
{
	for (uint32_t i = 0; i < table->entries_used; i++)
		(void)stage_clear(&table->share, &table->entries[i].waiting);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

/* ---- lists ---- */

static struct entry *entry_at(struct neigh_table *table, uint32_t number)
{
	return number ? &table->entries[number - 1] : NULL;
}

static uint32_t number_of(const struct neigh_table *table, const struct entry *entry)
{
	return (uint32_t)(entry - table->entries) + 1;
}

static struct link *link_of(struct neigh_table *table, uint32_t number, bool use)
{
	struct entry *entry = entry_at(table, number);

	return use ? &entry->use : &entry->due;
}

static void list_remove(struct neigh_table *table, struct list *list, uint32_t number, bool use)
{
	const struct link link = *link_of(table, number, use);

	if (link.previous)
		link_of(table, link.previous, use)->next = link.next;
	else
		list->first = link.next;
	if (link.next)
		link_of(table, link.next, use)->previous = link.previous;
	else
		list->last = link.previous;
}

static void list_append(struct neigh_table *table, struct list *list, uint32_t number, bool use)
{
	*link_of(table, number, use) = (struct link){ .previous = list->last };
	if (list->last)
		link_of(table, list->last, use)->next = number;
	else
		list->first = number;
	list->last = number;
}

/* Puts the entry last in that list, where it will be due after the list's time. */
static void move_due(struct neigh_table *table, struct entry *entry, enum due_list to,
                     uint64_t now_ns)
{
	if (entry->due_list != DUE_NOTHING)
		list_remove(table, &table->due[entry->due_list], number_of(table, entry), false);
	entry->due_list = to;
	entry->due_ns = now_ns + due_after_ns[to];
	if (to != DUE_NOTHING)
		list_append(table, &table->due[to], number_of(table, entry), false);
}

static void move_use(struct neigh_table *table, struct entry *entry, enum use_list to)
{
	if (entry->use_list != USE_NONE)
		list_remove(table, &table->use[entry->use_list], number_of(table, entry), true);
	entry->use_list = to;
	if (to != USE_NONE)
		list_append(table, &table->use[to], number_of(table, entry), true);
}

/* ---- entries ---- */

static uint32_t *bucket_of(struct neigh_table *table, const struct neigh_addr *addr)
{
	uint64_t hash = secret_hash(table->key, addr, sizeof(*addr));

	return &table->buckets[hash & (BUCKETS - 1)];
}
_Static_assert(sizeof(struct neigh_addr) == 17, "hashed as bytes: no padding");

static bool is_same_mac(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, ETHER_ADDR_SIZE) == 0;
}

static bool is_unresolved(enum neigh_state state)
{
	return state == NEIGH_INCOMPLETE || state == NEIGH_FAILED;
}

static struct entry *find(struct neigh_table *table, const struct neigh_addr *addr)
{
	struct entry *entry = entry_at(table, *bucket_of(table, addr));

	while (entry && memcmp(&entry->addr, addr, sizeof(*addr)) != 0)
		entry = entry_at(table, entry->next);
	return entry;
}

static void set_state(struct neigh_table *table, struct entry *entry, enum neigh_state state,
                      enum due_list due, uint64_t now_ns)
{
	table->unresolved -= is_unresolved(entry->state);
	table->unresolved += is_unresolved(state);
	entry->state = state;
	entry->questions = 0;
	move_due(table, entry, due, now_ns);
}

static void forget(struct neigh_table *table, struct entry *entry)
{
	uint32_t *link = bucket_of(table, &entry->addr);
	uint32_t number = number_of(table, entry);

	while (*link != number)
		link = &entry_at(table, *link)->next;
	*link = entry->next;
	table->lost += stage_clear(&table->share, &entry->waiting);
	set_state(table, entry, NEIGH_FREE, DUE_NOTHING, 0);
	move_use(table, entry, USE_NONE);
	entry->next = table->free;
	table->free = number;
	table->count--;
}

/*
 * Who may make room: an entry unused for long; or, for an address that somebody
 * wants now, one that nobody ever wanted.
 */
static struct entry *find_reusable(struct neigh_table *table, bool wanted, uint64_t now_ns)
{
	struct entry *entry = entry_at(table, table->use[USE_NEVER].first);

	if (entry && (wanted || entry->used_ns + UNUSED_NS <= now_ns))
		return entry;
	entry = entry_at(table, table->use[USE_SOME].first);
	return entry && entry->used_ns + UNUSED_NS <= now_ns ? entry : NULL;
}

/* A new entry, still NEIGH_FREE, or NULL. */
static struct entry *create(struct neigh_table *table, const struct neigh_addr *addr, bool wanted,
                            uint64_t now_ns)
{
	struct entry *entry;
	uint32_t *bucket;

	if (!table->free && table->entries_used == NEIGH_ENTRIES) {
		entry = find_reusable(table, wanted, now_ns);
		if (!entry)
			return NULL;
		forget(table, entry);
	}
	if (table->free) {
		entry = entry_at(table, table->free);
		table->free = entry->next;
	} else {
		entry = &table->entries[table->entries_used++];
	}
	table->count++;
	*entry = (struct entry){ .addr = *addr, .used_ns = now_ns };
	bucket = bucket_of(table, addr);
	entry->next = *bucket;
	*bucket = number_of(table, entry);
	return entry;
}

/* ---- questions ---- */

static bool credit_take(struct credit *credit, uint64_t now_ns)
{
	const uint64_t saved = (CREDIT_BURST - 1) * CREDIT_COST_NS;

	if (credit->next_ns + saved < now_ns)
		credit->next_ns = now_ns - saved;
	if (credit->next_ns > now_ns)
		return false;
	credit->next_ns += CREDIT_COST_NS;
	return true;
}

/* Its question is put now, and awaited in @due. */
static void ask(struct neigh_table *table, struct entry *entry, enum due_list due, uint64_t now_ns,
                struct neigh_question *question)
{
	question->addr = entry->addr;
	if (entry->state == NEIGH_INCOMPLETE)
		memset(question->mac, 0xff, ETHER_ADDR_SIZE);
	else
		memcpy(question->mac, entry->mac, ETHER_ADDR_SIZE);
	entry->questions++;
	move_due(table, entry, due, now_ns);
}

static void confirm(struct neigh_table *table, struct entry *entry, const uint8_t *mac,
                    uint64_t now_ns)
{
	memmove(entry->mac, mac, ETHER_ADDR_SIZE);
	entry->confirmed_ns = now_ns;
	set_state(table, entry, NEIGH_REACHABLE, DUE_NOTHING, now_ns);
}

/* ---- what workers ask and tell ---- */

/* An entry for an address that is wanted and not known, or NULL when there are too many. */
static struct entry *create_wanted(struct neigh_table *table, const struct neigh_addr *addr,
                                   uint64_t now_ns)
{
	if (table->unresolved >= NEIGH_UNRESOLVED) {
		struct entry *failed = entry_at(table, table->due[DUE_FAILED].first);

		if (!failed)
			return NULL;
		forget(table, failed);
	}
	return create(table, addr, true, now_ns);
}

enum neigh_verdict neigh_lookup(struct neigh_table *table, const struct neigh_addr *addr,
                                uint64_t now_ns, uint8_t mac[ETHER_ADDR_SIZE], bool *ask_out,
                                struct neigh_question *question)
{
	enum neigh_verdict verdict = NEIGH_UNKNOWN;
	struct entry *entry;

	*ask_out = false;
	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (!entry)
		entry = create_wanted(table, addr, now_ns);
	if (!entry)
		goto out;

	if (entry->state == NEIGH_FREE ||
	    (entry->state == NEIGH_FAILED && entry->due_ns <= now_ns)) {
		set_state(table, entry, NEIGH_INCOMPLETE, DUE_WANT_UNKNOWN, now_ns);
		*ask_out = credit_take(&table->unknown_credit, now_ns);
		if (*ask_out)
			ask(table, entry, DUE_ASKED, now_ns, question);
	} else if (entry->state == NEIGH_REACHABLE &&
	           entry->confirmed_ns + REACHABLE_NS <= now_ns &&
	           credit_take(&table->known_credit, now_ns)) {
		set_state(table, entry, NEIGH_PROBING, DUE_NOTHING, now_ns);
		ask(table, entry, DUE_PROBED, now_ns, question);
		*ask_out = true;
	}

	if (entry->state == NEIGH_INCOMPLETE) {
		verdict = NEIGH_WAIT;
	} else if (entry->state != NEIGH_FAILED) {
		entry->used_ns = now_ns;
		move_use(table, entry, USE_SOME);
		memcpy(mac, entry->mac, ETHER_ADDR_SIZE);
		verdict = NEIGH_KNOWN;
	}
out:
	pthread_mutex_unlock(&table->lock);
	return verdict;
}

enum neigh_verdict neigh_hold(struct neigh_table *table, const struct neigh_addr *addr,
                              const uint8_t *packet, uint32_t len, uint8_t mac[ETHER_ADDR_SIZE],
                              unsigned int *lost)
{
	enum neigh_verdict verdict = NEIGH_UNKNOWN;
	struct entry *entry;

	*lost = 0;
	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	/* Another worker may have heard the answer meanwhile: nobody would come for it. */
	if (entry && entry->state == NEIGH_INCOMPLETE) {
		*lost = stage_push(&table->share, &entry->waiting, NEIGH_WAITING, 0, packet, len);
		verdict = NEIGH_WAIT;
	} else if (entry && !is_unresolved(entry->state)) {
		memcpy(mac, entry->mac, ETHER_ADDR_SIZE);
		verdict = NEIGH_KNOWN;
	}
	pthread_mutex_unlock(&table->lock);
	return verdict;
}

uint32_t neigh_release(struct neigh_table *table, const struct neigh_addr *addr, uint8_t *packet)
{
	struct entry *entry;
	uint32_t len = 0;
	uint64_t tag;

	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (entry && !is_unresolved(entry->state))
		len = stage_pop(&table->share, &entry->waiting, &tag, packet);
	pthread_mutex_unlock(&table->lock);
	return len;
}

/* An address whose MAC is known is heard of. True if a contest begins. */
static bool hear_known(struct neigh_table *table, struct entry *entry, const uint8_t *mac,
                       uint64_t now_ns, struct neigh_question *question)
{
	if (is_same_mac(entry->mac, mac)) {
		confirm(table, entry, mac, now_ns);
		return false;
	}
	/* The first challenger is heard to the end; without credit none is. */
	if (entry->state == NEIGH_CONTESTED || !credit_take(&table->known_credit, now_ns))
		return false;
	memcpy(entry->challenger, mac, ETHER_ADDR_SIZE);
	set_state(table, entry, NEIGH_CONTESTED, DUE_NOTHING, now_ns);
	ask(table, entry, DUE_PROBED, now_ns, question);
	return true;
}

bool neigh_learn(struct neigh_table *table, const struct neigh_addr *addr,
                 const uint8_t mac[ETHER_ADDR_SIZE], bool answer, uint64_t now_ns, bool *ask_out,
                 struct neigh_question *question)
{
	bool waiting = false;
	struct entry *entry;

	*ask_out = false;
	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (!entry)
		entry = create(table, addr, answer, now_ns);
	if (!entry)
		goto out;

	switch (entry->state) {
	case NEIGH_FREE:
		confirm(table, entry, mac, now_ns);
		move_use(table, entry, USE_NEVER);
		break;
	case NEIGH_INCOMPLETE:
	case NEIGH_FAILED:
		confirm(table, entry, mac, now_ns);
		move_use(table, entry, USE_SOME);
		break;
	case NEIGH_REACHABLE:
	case NEIGH_PROBING:
	case NEIGH_CONTESTED:
		*ask_out = hear_known(table, entry, mac, now_ns, question);
		break;
	}
	waiting = entry->waiting.count != 0;
out:
	pthread_mutex_unlock(&table->lock);
	return waiting;
}

/* ---- time ---- */

static void give_up(struct neigh_table *table, struct entry *entry, uint64_t now_ns)
{
	table->lost += stage_clear(&table->share, &entry->waiting);
	set_state(table, entry, NEIGH_FAILED, DUE_FAILED, now_ns);
}

/* The MAC in use is silent: whoever has the address may answer. */
static void ask_everyone(struct neigh_table *table, struct entry *entry, uint64_t now_ns)
{
	if (table->unresolved >= NEIGH_UNRESOLVED) {
		forget(table, entry);
		return;
	}
	move_use(table, entry, USE_NONE);
	set_state(table, entry, NEIGH_INCOMPLETE, DUE_WANT_UNKNOWN, now_ns);
}

static void expire(struct neigh_table *table, struct entry *entry, uint64_t now_ns)
{
	switch (entry->state) {
	case NEIGH_INCOMPLETE:
		if (entry->questions < QUESTIONS)
			move_due(table, entry, DUE_WANT_UNKNOWN, now_ns);
		else
			give_up(table, entry, now_ns);
		break;
	case NEIGH_PROBING:
		if (entry->questions < QUESTIONS)
			move_due(table, entry, DUE_WANT_KNOWN, now_ns);
		else
			ask_everyone(table, entry, now_ns);
		break;
	case NEIGH_CONTESTED:
		/* One answer may be lost: a container is not robbed for that. */
		if (entry->questions < QUESTIONS)
			move_due(table, entry, DUE_WANT_KNOWN, now_ns);
		else
			confirm(table, entry, entry->challenger, now_ns);
		break;
	case NEIGH_FAILED:
		forget(table, entry);
		break;
	case NEIGH_FREE:
	case NEIGH_REACHABLE:
		break; /* wait for nothing */
	}
}

/* All of one list whose time has come; returns when the next one's comes. */
static uint64_t expire_list(struct neigh_table *table, enum due_list list, uint64_t now_ns)
{
	struct entry *entry;

	while ((entry = entry_at(table, table->due[list].first))) {
		if (entry->due_ns > now_ns)
			return entry->due_ns;
		expire(table, entry, now_ns);
	}
	return UINT64_MAX;
}

/* Those that want to be asked, while credit and room last; returns when the next one may. */
static uint64_t ask_list(struct neigh_table *table, enum due_list list, uint64_t now_ns,
                         struct neigh_question *questions, unsigned int max, unsigned int *n)
{
	bool known = list == DUE_WANT_KNOWN;
	struct credit *credit = known ? &table->known_credit : &table->unknown_credit;
	struct entry *entry;

	while ((entry = entry_at(table, table->due[list].first))) {
		if (*n == max || !credit_take(credit, now_ns))
			return credit->next_ns > now_ns ? credit->next_ns : now_ns;
		ask(table, entry, known ? DUE_PROBED : DUE_ASKED, now_ns, &questions[(*n)++]);
	}
	return UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

unsigned int neigh_tick(struct neigh_table *table, uint64_t now_ns,
                        struct neigh_question *questions, unsigned int max, uint64_t *next_ns,
                        unsigned int *lost)
{
	static const enum due_list timed[] = { DUE_PROBED, DUE_ASKED, DUE_FAILED };
	uint64_t next = UINT64_MAX;
	unsigned int n = 0;

	pthread_mutex_lock(&table->lock);
	for (unsigned int i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		(void)expire_list(table, timed[i], now_ns);
	next = earlier(next, ask_list(table, DUE_WANT_KNOWN, now_ns, questions, max, &n));
	next = earlier(next, ask_list(table, DUE_WANT_UNKNOWN, now_ns, questions, max, &n));
	/* Once more, as what was done made new times. */
	for (unsigned int i = 0; i < sizeof(timed) / sizeof(timed[0]); i++)
		next = earlier(next, expire_list(table, timed[i], now_ns));
	*next_ns = next;
	*lost = table->lost;
	table->lost = 0;
	pthread_mutex_unlock(&table->lock);
	return n;
}

static void get_info(const struct entry *entry, struct neigh_info *out)
{
	*out = (struct neigh_info){ .addr = entry->addr,
		                    .state = entry->state,
		                    .confirmed_ns = entry->confirmed_ns };
	memcpy(out->mac, entry->mac, ETHER_ADDR_SIZE);
}

bool neigh_find(struct neigh_table *table, const struct neigh_addr *addr, struct neigh_info *out)
{
	const struct entry *entry;

	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (entry)
		get_info(entry, out);
	pthread_mutex_unlock(&table->lock);
	return entry;
}

uint32_t neigh_list(struct neigh_table *table, struct neigh_info *out, uint32_t max)
{
	uint32_t n = 0, count;

	pthread_mutex_lock(&table->lock);
	for (uint32_t i = 0; i < table->entries_used && n < max; i++) {
		const struct entry *entry = &table->entries[i];

		if (entry->state != NEIGH_FREE)
			get_info(entry, &out[n++]);
	}
	count = table->count;
	pthread_mutex_unlock(&table->lock);
	return count;
}
