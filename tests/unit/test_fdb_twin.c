/* SPDX-License-Identifier: MIT */
/*
 * The forwarding database against its slow, obvious twin (fdb_twin.h). Random calls with
 * few stations, few members and small quotas, so that all of them meet; after each call
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
#include "fdb_twin.h"

#define MS      UINT64_C(1000000)
#define READERS 3

struct reader {
	uint64_t after, whole;
	int mac[TWIN_KEYS]; /* -1: not there */
};

static struct fdb *fdb;
static struct member members[TWIN_MEMBERS];
static struct peer peers[TWIN_MEMBERS];
static struct keypair session;
static struct fdb_key keys[TWIN_KEYS];
static struct reader readers[READERS];
static uint64_t seed;

/* ---- one call, to both ---- */

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
	unsigned int mac = twin_is_mac(key) ? key : draw(TWIN_MACS);
	int source = draw(3) ? FDB_LEARNED : FDB_ANNOUNCED;
	struct fdb_question question;
	enum fdb_verdict said, want;
	bool ask, want_ask;

	/* Most often an address is where it is, or was. */
	if (!twin_is_mac(key) && draw(2))
		mac = twin.stations[key].mac;
	want = twin_claim(by, key, mac, source, &want_ask);
	said = fdb_claim(fdb, &members[by], &keys[key], keys[mac].addr, (enum fdb_source)source,
	                 twin.clock_ns, &ask, &question);
	assert_int_equal(said, want);
	assert_int_equal(ask, want_ask);
	if (ask) {
		expect_key(&question.key, twin_question(key));
		assert_ptr_equal(question.owner, &members[twin.stations[key].owner]);
		assert_memory_equal(question.mac, keys[twin.stations[key].mac].addr,
		                    ETHER_ADDR_SIZE);
	}
}

static void do_port(unsigned int mac)
{
	unsigned int port = 1 + draw(3);
	uint64_t heard = twin.clock_ns - draw(2) * draw(20) * FDB_SECOND_NS;
	enum fdb_verdict want = twin_claim_port(mac, port, heard);

	assert_int_equal(fdb_claim_port(fdb, &keys[mac], port, heard, twin.clock_ns), want);
}

static void do_check(unsigned int key, int by)
{
	struct fdb_question question;
	enum fdb_check want;

	if (by == TWIN_LOCAL)
		return;
	want = twin_check(by, key);
	assert_int_equal(fdb_check_local(fdb, &keys[key], &members[by], twin.clock_ns, &question),
	                 want);
	if (want == FDB_CHECK_ASKED)
		expect_key(&question.key, twin_question(key));
}

static void do_tick(void)
{
	static struct fdb_due due[TWIN_DUES];
	static struct twin_due want[TWIN_DUES];
	unsigned int n = 0, wanted = twin_tick(want);
	uint64_t next;

	do {
		unsigned int max = 1 + draw(4);

		assert_true(n + max <= TWIN_DUES);
		n += fdb_tick(fdb, twin.clock_ns, due + n, max, &next);
	} while (next <= twin.clock_ns);
	assert_int_equal(n, wanted);
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(due[i].what, want[i].what);
		assert_ptr_equal(due[i].question.owner, &members[want[i].member]);
		expect_key(&due[i].question.key, want[i].key);
	}
}

static void set_session(int member)
{
	bool has = draw(2);
	uint32_t attempts = draw(5);

	if (member == TWIN_LOCAL)
		return;
	twin.sessions[member] = has;
	twin.dead[member] = !has && attempts >= 3;
	session.birth_ns = UINT64_MAX;
	atomic_store(&peers[member].session.current, has ? &session : NULL);
	atomic_store(&peers[member].hello.version, has);
	atomic_store(&peers[member].timers.attempts, attempts);
}

static void do_static(unsigned int key, int by)
{
	unsigned int mac = twin_is_mac(key) ? key : draw(TWIN_MACS);
	bool was =
		twin.stations[key].owner != TWIN_NOBODY && twin.stations[key].source == FDB_STATIC;

	if (was || draw(2)) {
		assert_int_equal(fdb_remove_static(fdb, &keys[key], twin.clock_ns),
		                 twin_remove_static(key));
		return;
	}
	assert_int_equal(
		fdb_add_static(fdb, &members[by], &keys[key], keys[mac].addr, twin.clock_ns),
		twin_add_static(by, key, mac));
}

static void do_member(int by)
{
	if (by == TWIN_LOCAL)
		return;
	switch (draw(4)) {
	case 0:
		twin_forget_member(by);
		fdb_forget(fdb, &members[by], twin.clock_ns);
		break;
	case 1:
		twin_remove_member(by);
		fdb_remove_member(fdb, &members[by], twin.clock_ns);
		/* Another in its place. */
		assert_int_equal(members[by].first, 0);
		memset(&members[by], 0, sizeof(members[by]));
		members[by].peer = &peers[by];
		break;
	case 2:
		twin_begin_whole(by);
		fdb_begin_whole(fdb, &members[by]);
		break;
	default:
		twin_end_whole(by);
		fdb_end_whole(fdb, &members[by], twin.clock_ns);
	}
}

static void do_confirm(unsigned int key, int by)
{
	twin_confirm(by, key);
	fdb_confirm(fdb, &members[by], &keys[key], twin.clock_ns);
}

static unsigned int key_at(const struct fdb_key *key)
{
	for (unsigned int k = 0; k < TWIN_KEYS; k++)
		if (!memcmp(&keys[k], key, sizeof(*key)))
			return k;
	fail();
	return 0;
}

static void compare(void)
{
	static struct fdb_info info[TWIN_KEYS];
	struct fdb_counts got;
	struct fdb_place place;
	uint32_t n;

	fdb_get_counts(fdb, &got);
	assert_memory_equal(&got, &twin.counts, sizeof(got));
	n = fdb_list(fdb, info, TWIN_KEYS);
	assert_int_equal(n, twin.counts.entries);
	for (uint32_t i = 0; i < n; i++) {
		const struct twin_station *s = &twin.stations[key_at(&info[i].key)];

		assert_int_equal(info[i].contested, s->claimant != TWIN_NOBODY);
		assert_int_equal(info[i].heard_ns, s->heard);
	}
	for (unsigned int k = 0; k < TWIN_KEYS; k++) {
		const struct twin_station *s = &twin.stations[k];

		assert_int_equal(fdb_lookup(fdb, &keys[k], twin.clock_ns, &place),
		                 twin_is_known(k));
		if (!twin_is_known(k))
			continue;
		assert_ptr_equal(place.owner, &members[s->owner]);
		assert_int_equal(place.source, s->source);
		assert_memory_equal(place.mac, keys[s->mac].addr, ETHER_ADDR_SIZE);
		/* An address is where its MAC is. */
		assert_int_equal(twin.stations[s->mac].owner, s->owner);
	}
	for (int m = 0; m < TWIN_MEMBERS; m++) {
		assert_int_equal(members[m].macs, twin_count(m, true));
		assert_int_equal(members[m].addrs, twin_count(m, false));
	}
}

/* ---- readers of the log ---- */

static void read_some(struct reader *reader, uint32_t max)
{
	struct fdb_news news[8];
	uint64_t last, whole = reader->whole;
	uint32_t n = fdb_list_news(fdb, reader->after, news, max, &reader->whole, &last);

	if (reader->whole && reader->whole != whole)
		for (unsigned int k = 0; k < TWIN_KEYS; k++)
			reader->mac[k] = -1;
	for (uint32_t i = 0; i < n; i++) {
		unsigned int key = key_at(&news[i].key);
		struct fdb_key mac = fdb_key_mac(news[i].mac);

		reader->mac[key] = news[i].gone ? -1 : (int)key_at(&mac);
		/* It takes its addresses with it. */
		for (unsigned int k = TWIN_MACS; news[i].gone && k < TWIN_KEYS; k++)
			if (twin_is_mac(key) && reader->mac[k] == (int)key)
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
	for (unsigned int k = 0; k < TWIN_KEYS; k++) {
		bool here = twin.stations[k].owner == TWIN_LOCAL;

		assert_int_equal(reader->mac[k], here ? (int)twin.stations[k].mac : -1);
	}
}

/* ---- the run ---- */

static void call(void)
{
	unsigned int key = draw(3) ? draw(TWIN_KEYS) : draw(TWIN_MACS);
	int by = (int)draw(TWIN_MEMBERS), owner = twin.stations[key].owner;

	switch (draw(24)) {
	default:
		do_claim(key, by);
		break;
	case 0:
	case 1:
		twin_withdraw(by, key);
		fdb_withdraw(fdb, &members[by], &keys[key], twin.clock_ns);
		break;
	case 2:
	case 3:
		do_confirm(key, draw(2) && owner >= 0 ? owner : by);
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
		do_port(draw(TWIN_MACS));
		break;
	case 12:
		twin.quota = 1 + draw(12);
		fdb_set_quota(fdb, twin.quota);
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
	memset(readers, 0, sizeof(readers));
	twin_reset(10);
	for (unsigned int k = 0; k < TWIN_KEYS; k++) {
		uint8_t addr[16] = { 10, 0, 0, (uint8_t)k };

		addr[0] = twin_is_mac(k) ? 2 : 10;
		addr[5] = (uint8_t)k;
		keys[k] = twin_is_mac(k) ? fdb_key_mac(addr) : fdb_key_ip(k & 1 ? 4 : 6, addr);
		for (int r = 0; r < READERS; r++)
			readers[r].mac[k] = -1;
	}
	for (int m = 1; m < TWIN_MEMBERS; m++) {
		members[m].peer = &peers[m];
		set_session(m);
	}
	fdb = fdb_open(&members[TWIN_LOCAL]);
	assert_non_null(fdb);
	fdb_set_quota(fdb, twin.quota);
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
			twin.clock_ns += draw_step();
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
	for (int m = 0; m < TWIN_MEMBERS; m++)
		pthread_mutex_init(&peers[m].lock, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
