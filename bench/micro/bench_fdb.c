/* SPDX-License-Identifier: MIT */
/*
 * What the forwarding database costs a flow, by the number of stations: a lookup, and
 * a claim of a station that is known, in random order. The least of several runs, in
 * nanoseconds. And a tick that finds nothing due.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "crypto/secret.h"
#include "dataplane/fdb.h"
#include "dataplane/member.h"

#define CALLS 100000u
#define RUNS  7
#define HOSTS 100 /* that have the stations */

static struct fdb_key keys[CALLS];
static struct member *owners[CALLS];
static struct member members[1 + HOSTS];
static volatile uintptr_t sink; /* keeps calls from being left out */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* xorshift64*: the same order in each run */
static uint64_t draw(void)
{
	static uint64_t seed = 1;

	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return seed * 0x2545f4914f6cdd1dULL;
}

static struct fdb_key key_of(size_t number)
{
	const uint8_t mac[ETHER_ADDR_SIZE] = {
		2, 0x42, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number
	};

	return fdb_key_mac(mac);
}

static uint64_t run_lookups(struct fdb *fdb, uint64_t now)
{
	struct fdb_place place;
	uint64_t start = now_ns();

	for (size_t i = 0; i < CALLS; i++)
		sink = fdb_lookup(fdb, &keys[i], now, &place);
	return now_ns() - start;
}

static uint64_t run_claims(struct fdb *fdb, uint64_t now)
{
	struct fdb_question question;
	uint64_t start = now_ns();
	bool ask;

	for (size_t i = 0; i < CALLS; i++)
		sink = fdb_claim(fdb, owners[i], &keys[i], keys[i].addr, FDB_LEARNED, now, &ask,
		                 &question);
	return now_ns() - start;
}

static uint64_t run_ticks(struct fdb *fdb, uint64_t now)
{
	struct fdb_due due[8];
	uint64_t start = now_ns(), next;

	for (size_t i = 0; i < CALLS; i++)
		sink = fdb_tick(fdb, now, due, 8, &next);
	return now_ns() - start;
}

static bool fill(struct fdb *fdb, size_t count, uint64_t now)
{
	for (size_t i = 0; i < count; i++) {
		struct fdb_key key = key_of(i);
		struct fdb_question question;
		bool ask;

		if (fdb_claim(fdb, &members[1 + i % HOSTS], &key, key.addr, FDB_LEARNED, now, &ask,
		              &question) != FDB_CAME)
			return false;
	}
	for (size_t i = 0; i < CALLS; i++) {
		size_t number = (draw() >> 32) % count;

		keys[i] = key_of(number);
		owners[i] = &members[1 + number % HOSTS];
	}
	return true;
}

static bool measure(size_t count)
{
	static uint64_t (*const runs[])(struct fdb *, uint64_t) = { run_lookups, run_claims,
		                                                    run_ticks };
	uint64_t least[3] = { UINT64_MAX, UINT64_MAX, UINT64_MAX };
	uint64_t now = 3600 * FDB_SECOND_NS;
	struct fdb *fdb;

	for (size_t i = 0; i <= HOSTS; i++)
		members[i] = (struct member){ 0 };
	fdb = fdb_open(&members[0]);
	if (!fdb || !fill(fdb, count, now))
		return false;
	for (size_t i = 0; i < 3; i++) {
		for (int run = 0; run < RUNS; run++) {
			uint64_t took = runs[i](fdb, now);

			if (took < least[i])
				least[i] = took;
		}
	}
	printf("%6zu stations  %6.1f ns a lookup  %6.1f ns a claim  %6.1f ns an idle tick\n", count,
	       (double)least[0] / CALLS, (double)least[1] / CALLS, (double)least[2] / CALLS);
	fdb_close(fdb);
	return true;
}

int main(void)
{
	static const size_t counts[] = { 1, 1000, 20000 };
	bool good = !secret_init();

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		good = good && measure(counts[i]);
	return good ? 0 : 1;
}
