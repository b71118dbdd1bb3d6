/* SPDX-License-Identifier: MIT */
/*
 * The table of neigh.h: chained hash over a fixed array of entries. A free list
 * hands out entries that were never used; when it is empty the least recently
 * used entry that nobody waits for is taken over, found by a clock hand.
 */
#include "dataplane/neigh.h"

#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"

#define SECOND_NS        1000000000ULL
#define REACHABLE_NS     (5 * SECOND_NS)
#define RETRY_NS         SECOND_NS
#define PROBE_NS         (SECOND_NS / 4)
#define CONTEST_NS       (SECOND_NS / 2)
#define FAILED_NS        SECOND_NS
#define UNUSED_NS        (600 * SECOND_NS)
#define TRIES            3
#define QUESTION_COST_NS (SECOND_NS / 500)
#define QUESTION_BURST   100
#define BUCKETS          (NEIGH_ENTRIES / 4)

struct entry {
	struct neigh_addr addr;
	enum neigh_state state;
	uint8_t mac[ETHER_ADDR_SIZE];
	uint8_t challenger[ETHER_ADDR_SIZE];
	uint8_t tries;
	uint64_t confirmed_ns;
	uint64_t used_ns;
	uint64_t due_ns; /* of what the state waits for; UINT64_MAX: nothing */
	struct stage_queue waiting;
	uint32_t next; /* in its bucket, index + 1 */
};

struct neigh_table {
	pthread_mutex_t lock;
	struct stage_pool *pool;
	uint32_t used; /* entries from here on were never used */
	uint32_t hand;
	uint32_t unresolved;
	uint64_t question_spent_ns; /* credit for questions is spent up to then */
	uint32_t seed;
	uint32_t buckets[BUCKETS];
	struct entry entries[NEIGH_ENTRIES];
};

static const uint8_t everyone[ETHER_ADDR_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

struct neigh_table *neigh_open(struct stage_pool *pool)
{
	struct neigh_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	pthread_mutex_init(&table->lock, NULL);
	table->pool = pool;
	secret_random(&table->seed, sizeof(table->seed));
	return table;
}

void neigh_close(struct neigh_table *table)
{
	for (uint32_t i = 0; i < table->used; i++)
		stage_clear(table->pool, &table->entries[i].waiting);
	pthread_mutex_destroy(&table->lock);
	free(table);
}

static uint32_t *bucket_of(struct neigh_table *table, const struct neigh_addr *addr)
{
	uint64_t h = table->seed ^ addr->family;

	for (int i = 0; i < 16; i += 8) {
		uint64_t word;

		memcpy(&word, addr->addr + i, 8);
		h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 32;
	}
	return &table->buckets[h % BUCKETS];
}

static struct entry *find(struct neigh_table *table, const struct neigh_addr *addr)
{
	for (uint32_t i = *bucket_of(table, addr); i; i = table->entries[i - 1].next)
		if (memcmp(&table->entries[i - 1].addr, addr, sizeof(*addr)) == 0)
			return &table->entries[i - 1];
	return NULL;
}

static bool is_unresolved(enum neigh_state state)
{
	return state == NEIGH_INCOMPLETE || state == NEIGH_FAILED;
}

static void set_state(struct neigh_table *table, struct entry *entry, enum neigh_state state,
                      uint64_t due_ns)
{
	table->unresolved += (uint32_t)is_unresolved(state) - (uint32_t)is_unresolved(entry->state);
	entry->state = state;
	entry->due_ns = due_ns;
}

static void unlink_entry(struct neigh_table *table, struct entry *entry)
{
	uint32_t *link = bucket_of(table, &entry->addr);
	uint32_t number = (uint32_t)(entry - table->entries) + 1;

	while (*link && *link != number)
		link = &table->entries[*link - 1].next;
	if (*link)
		*link = entry->next;
}

/* An entry for @addr, or NULL when all are in use. */
static struct entry *take(struct neigh_table *table, const struct neigh_addr *addr, uint64_t now_ns)
{
	struct entry *entry = NULL;
	uint32_t *bucket;

	if (table->used < NEIGH_ENTRIES) {
		entry = &table->entries[table->used++];
	} else {
		for (uint32_t i = 0; i < NEIGH_ENTRIES && !entry; i++) {
			struct entry *e = &table->entries[table->hand++ % NEIGH_ENTRIES];

			if (!e->waiting.count &&
			    (e->state == NEIGH_FAILED || e->used_ns + UNUSED_NS < now_ns))
				entry = e;
		}
		if (!entry)
			return NULL;
		unlink_entry(table, entry);
		set_state(table, entry, NEIGH_FREE, UINT64_MAX);
	}
	memset(entry, 0, sizeof(*entry));
	entry->addr = *addr;
	entry->due_ns = UINT64_MAX;
	entry->used_ns = now_ns;
	bucket = bucket_of(table, addr);
	entry->next = *bucket;
	*bucket = (uint32_t)(entry - table->entries) + 1;
	return entry;
}

static bool may_ask(struct neigh_table *table, uint64_t now_ns)
{
	uint64_t burst = QUESTION_BURST * QUESTION_COST_NS;

	if (table->question_spent_ns + burst < now_ns)
		table->question_spent_ns = now_ns - burst;
	if (table->question_spent_ns + QUESTION_COST_NS > now_ns)
		return false;
	table->question_spent_ns += QUESTION_COST_NS;
	return true;
}

static bool ask(struct neigh_table *table, struct entry *entry, const uint8_t *mac, uint64_t now_ns,
                struct neigh_question *question)
{
	if (!may_ask(table, now_ns))
		return false;
	question->addr = entry->addr;
	memcpy(question->mac, mac, ETHER_ADDR_SIZE);
	return true;
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
	if (!entry && table->unresolved < NEIGH_UNRESOLVED)
		entry = take(table, addr, now_ns);
	if (!entry)
		goto out;
	entry->used_ns = now_ns;
	if (entry->state == NEIGH_FREE ||
	    (entry->state == NEIGH_FAILED && now_ns >= entry->due_ns)) {
		set_state(table, entry, NEIGH_INCOMPLETE, now_ns + RETRY_NS);
		*ask_out = ask(table, entry, everyone, now_ns, question);
		entry->tries = *ask_out;
	} else if (entry->state == NEIGH_REACHABLE &&
	           now_ns >= entry->confirmed_ns + REACHABLE_NS) {
		set_state(table, entry, NEIGH_PROBING, now_ns + PROBE_NS);
		*ask_out = ask(table, entry, entry->mac, now_ns, question);
		entry->tries = *ask_out;
	}
	if (entry->state == NEIGH_INCOMPLETE) {
		verdict = NEIGH_WAIT;
	} else if (entry->state != NEIGH_FAILED) {
		memcpy(mac, entry->mac, ETHER_ADDR_SIZE);
		verdict = NEIGH_KNOWN;
	}
out:
	pthread_mutex_unlock(&table->lock);
	return verdict;
}

unsigned int neigh_hold(struct neigh_table *table, const struct neigh_addr *addr,
                        const uint8_t *packet, uint32_t len)
{
	unsigned int lost = 1;
	struct entry *entry;

	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (entry && entry->state == NEIGH_INCOMPLETE)
		lost = stage_push(table->pool, &entry->waiting, NEIGH_WAITING, 0, packet, len);
	pthread_mutex_unlock(&table->lock);
	return lost;
}

uint32_t neigh_release(struct neigh_table *table, const struct neigh_addr *addr, uint8_t *packet)
{
	struct entry *entry;
	uint32_t len = 0;
	uint64_t tag;

	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (entry)
		len = stage_pop(table->pool, &entry->waiting, &tag, packet);
	pthread_mutex_unlock(&table->lock);
	return len;
}

static void confirm(struct neigh_table *table, struct entry *entry, const uint8_t *mac,
                    uint64_t now_ns)
{
	memcpy(entry->mac, mac, ETHER_ADDR_SIZE);
	entry->confirmed_ns = now_ns;
	set_state(table, entry, NEIGH_REACHABLE, UINT64_MAX);
}

bool neigh_learn(struct neigh_table *table, const struct neigh_addr *addr,
                 const uint8_t mac[ETHER_ADDR_SIZE], bool answer, uint64_t now_ns, bool *ask_out,
                 struct neigh_question *question)
{
	bool waiting = false;
	struct entry *entry;

	(void)answer;
	*ask_out = false;
	pthread_mutex_lock(&table->lock);
	entry = find(table, addr);
	if (!entry)
		entry = take(table, addr, now_ns);
	if (!entry)
		goto out;
	switch (entry->state) {
	case NEIGH_FREE:
	case NEIGH_INCOMPLETE:
	case NEIGH_FAILED:
		confirm(table, entry, mac, now_ns);
		break;
	case NEIGH_REACHABLE:
	case NEIGH_PROBING:
		if (memcmp(entry->mac, mac, ETHER_ADDR_SIZE) == 0) {
			confirm(table, entry, mac, now_ns);
		} else {
			memcpy(entry->challenger, mac, ETHER_ADDR_SIZE);
			set_state(table, entry, NEIGH_CONTESTED, now_ns + CONTEST_NS);
			*ask_out = ask(table, entry, entry->mac, now_ns, question);
		}
		break;
	case NEIGH_CONTESTED:
		if (memcmp(entry->mac, mac, ETHER_ADDR_SIZE) == 0)
			confirm(table, entry, mac, now_ns);
		break;
	}
	waiting = entry->waiting.count != 0;
out:
	pthread_mutex_unlock(&table->lock);
	return waiting;
}

/*
 * One entry whose time has come. True if @question was filled. A question that
 * the rate limit withheld does not count as asked.
 */
static bool expire(struct neigh_table *table, struct entry *entry, uint64_t now_ns,
                   struct neigh_question *question, unsigned int *lost)
{
	bool asked;

	switch (entry->state) {
	case NEIGH_INCOMPLETE:
		entry->due_ns = now_ns + RETRY_NS;
		if (entry->tries < TRIES) {
			asked = ask(table, entry, everyone, now_ns, question);
			entry->tries = (uint8_t)(entry->tries + asked);
			return asked;
		}
		*lost += stage_clear(table->pool, &entry->waiting);
		set_state(table, entry, NEIGH_FAILED, now_ns + FAILED_NS);
		return false;
	case NEIGH_PROBING:
		entry->due_ns = now_ns + PROBE_NS;
		if (entry->tries < TRIES) {
			asked = ask(table, entry, entry->mac, now_ns, question);
			entry->tries = (uint8_t)(entry->tries + asked);
			return asked;
		}
		set_state(table, entry, NEIGH_INCOMPLETE, now_ns + RETRY_NS);
		asked = ask(table, entry, everyone, now_ns, question);
		entry->tries = asked;
		return asked;
	case NEIGH_CONTESTED:
		confirm(table, entry, entry->challenger, now_ns);
		return false;
	case NEIGH_FREE:
	case NEIGH_REACHABLE:
	case NEIGH_FAILED:
		break;
	}
	return false;
}

unsigned int neigh_tick(struct neigh_table *table, uint64_t now_ns,
                        struct neigh_question *questions, unsigned int max, uint64_t *next_ns,
                        unsigned int *lost)
{
	unsigned int n = 0;

	*lost = 0;
	*next_ns = UINT64_MAX;
	pthread_mutex_lock(&table->lock);
	for (uint32_t i = 0; i < table->used; i++) {
		struct entry *entry = &table->entries[i];

		if (entry->state == NEIGH_FAILED || entry->due_ns == UINT64_MAX)
			continue;
		if (entry->due_ns <= now_ns && n < max &&
		    expire(table, entry, now_ns, &questions[n], lost))
			n++;
		if (entry->state != NEIGH_FAILED && entry->due_ns < *next_ns)
			*next_ns = entry->due_ns;
	}
	pthread_mutex_unlock(&table->lock);
	return n;
}

uint32_t neigh_list(struct neigh_table *table, struct neigh_info *out, uint32_t max)
{
	uint32_t n = 0;

	pthread_mutex_lock(&table->lock);
	for (uint32_t i = 0; i < table->used; i++) {
		const struct entry *entry = &table->entries[i];

		if (entry->state == NEIGH_FREE)
			continue;
		if (n < max) {
			out[n] = (struct neigh_info){ .addr = entry->addr,
				                      .state = entry->state,
				                      .confirmed_ns = entry->confirmed_ns };
			memcpy(out[n].mac, entry->mac, ETHER_ADDR_SIZE);
		}
		n++;
	}
	pthread_mutex_unlock(&table->lock);
	return n;
}
