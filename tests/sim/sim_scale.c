/* SPDX-License-Identifier: MIT */
/*
 * One bridged network of many hosts and containers, full mesh: what a MAC costs in
 * memory, what a change and a broadcast cost in messages, and whether everybody
 * agrees in the end.
 *
 *	sim_scale [HOSTS [MACS [PERCENT [SECONDS]]]]
 *
 * PERCENT of the MACs move each virtual second, for SECONDS. "Messages" are datagrams
 * of sessions, "bytes" their UDP payload; "a host" is the sum over all hosts divided by
 * their number. Ends with 1 when any host does not know where any station is, or when
 * something costs more than it has to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/fdb_private.h"
#include "sim/stations.h"

#define LIMIT_MS     120000 /* virtual: what has not happened by then does not */
#define CHURN_GAP_MS 200

static struct sim *sim;
static unsigned int hosts = 20, macs = 2000, percent = 1, seconds = 10;

static double wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void wait_ms(uint64_t ms)
{
	sim_run(sim, ms * SIM_MS, NULL, NULL);
}

static struct fdb *fdb_of(unsigned int host)
{
	return sim->nodes[host].bridges[0].network->fdb;
}

/* ---- counters over all hosts ---- */

struct tally {
	uint64_t datagrams, bytes; /* of sessions: UDP payload */
	uint64_t announced, checks, moved, flooded, suppressed, drops;
	uint64_t at_ns;
	double cpu;
};

static struct tally tally(void)
{
	struct tally t = { .at_ns = sim->now_ns, .cpu = wall() };

	for (unsigned int i = 0; i < hosts; i++) {
		const struct stats *stats = &sim->nodes[i].device->stats;

		t.datagrams += sim->nodes[i].sent[MESSAGE_DATA];
		t.bytes += sim->nodes[i].sent_bytes[MESSAGE_DATA];
		t.announced += stats_read(&stats->events[EVENT_ANNOUNCED]);
		t.checks += stats_read(&stats->events[EVENT_CHECK_SENT]);
		t.moved += stats_read(&stats->events[EVENT_STATION_MOVED]);
		t.flooded += stats_read(&stats->events[EVENT_FLOODED]);
		t.suppressed += stats_read(&stats->events[EVENT_SUPPRESSED]);
		for (int reason = 0; reason < DROP_COUNT; reason++)
			if (reason != DROP_OUT_GATEWAY) /* as it should be */
				t.drops += stats_read(&stats->drops[reason]);
	}
	return t;
}

static struct tally since(const struct tally *before)
{
	struct tally t = tally();

	t.datagrams -= before->datagrams;
	t.bytes -= before->bytes;
	t.announced -= before->announced;
	t.checks -= before->checks;
	t.moved -= before->moved;
	t.flooded -= before->flooded;
	t.suppressed -= before->suppressed;
	t.drops -= before->drops;
	t.at_ns -= before->at_ns;
	t.cpu -= before->cpu;
	return t;
}

static void expect(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "sim_scale: %s\n", what);
	exit(1);
}

/* Hosts of this size fit the default; fewer with more on each do not. */
static void set_quota(unsigned int host)
{
	fdb_set_quota(fdb_of(host), macs / hosts <= FDB_MACS_MAX / 2 ? FDB_MACS_MAX : macs);
}

/* ---- what is waited for ---- */

static bool has_mesh(void)
{
	for (unsigned int a = 0; a < hosts; a++)
		for (unsigned int b = 0; b < hosts; b++)
			if (a != b && !sim_has_session(sim, a, b))
				return false;
	return true;
}

static unsigned int watched; /* the station of all_know() */

static bool all_know(void)
{
	for (unsigned int i = 0; i < hosts; i++)
		if (!station_is_known(sim, station_at(sim, 0, watched), i))
			return false;
	return true;
}

/* All that is in any table is right, and all that is anywhere is in every table. */
static bool all_agree(void)
{
	for (unsigned int m = 0; m < macs; m++)
		for (unsigned int i = 0; i < hosts; i++)
			if (!station_is_known(sim, station_at(sim, 0, m), i))
				return false;
	for (unsigned int i = 0; i < hosts; i++) {
		struct fdb_counts counts;

		fdb_get_counts(fdb_of(i), &counts);
		if (counts.entries != 2 * macs)
			return false;
	}
	return true;
}

/* The virtual milliseconds that it took, looked at every @step_ms; @fault: if it never comes. */
static uint64_t await(bool (*done)(void), uint64_t step_ms, const char *fault)
{
	uint64_t ms = 0;

	for (; !done(); ms += step_ms) {
		expect(ms < LIMIT_MS, fault);
		wait_ms(step_ms);
	}
	return ms;
}

/* ---- memory ---- */

/* Bytes of a host's table that are in memory. */
static size_t resident(unsigned int host)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), count = (sizeof(struct fdb) + page - 1) / page;
	unsigned char *there = sim_allocate(count);
	size_t n = 0;

	sim_check(mincore(fdb_of(host), sizeof(struct fdb), there) == 0, "mincore");
	for (size_t i = 0; i < count; i++)
		n += there[i] & 1;
	free(there);
	return n * page;
}

static size_t resident_mean(void)
{
	size_t n = 0;

	for (unsigned int i = 0; i < hosts; i++)
		n += resident(i);
	return n / hosts;
}

/* ---- the run ---- */

static void make_mesh(void)
{
	struct tally before = tally(), t;
	uint64_t handshakes = 0, ms;

	for (unsigned int i = 0; i < hosts; i++) {
		station_plug(sim, station_at(sim, 0, i), i);
		station_announce(sim, station_at(sim, 0, i));
		wait_ms(50);
	}
	ms = await(has_mesh, 100, "not every two hosts have a session");
	wait_ms(5000);
	t = since(&before);
	for (unsigned int i = 0; i < hosts; i++)
		handshakes += sim->nodes[i].sent[MESSAGE_INITIATION];
	printf("mesh      %u sessions, %llu initiations, complete %.1f s after the last host came; "
	       "%.1f s of processor\n",
	       hosts * (hosts - 1) / 2, (unsigned long long)handshakes, (double)ms / 1000, t.cpu);
}

static void fill(void)
{
	size_t empty = resident_mean(), full;
	struct tally before = tally(), t;
	unsigned int added = macs - hosts;
	uint64_t ms;

	for (unsigned int m = hosts; m < macs; m++) {
		station_plug(sim, station_at(sim, 0, m), m % hosts);
		station_ask_gateway(sim, station_at(sim, 0, m));
		if (m % (10 * hosts) == 0)
			wait_ms(100);
	}
	ms = await(all_agree, 20, "not every host knows every station");
	t = since(&before);
	full = resident_mean();
	expect(full - empty <= added * 2 * sizeof(struct fdb_entry) +
	                               sizeof(uint32_t) * FDB_BUCKETS +
	                               2 * (size_t)sysconf(_SC_PAGESIZE),
	       "a table is larger than its entries");
	printf("arrivals  %u in bursts of 10 a host: known everywhere %llu ms after the last; "
	       "%.2f messages and %.0f bytes a host and arrival; %.2f us of processor\n",
	       added, (unsigned long long)ms, (double)t.datagrams / added / hosts,
	       (double)t.bytes / added / hosts, t.cpu * 1e6 / added / hosts);
	printf("memory    a host's table: %.1f MB resident of %.1f reserved; %.0f bytes a MAC with "
	       "one address (struct fdb_entry: %zu); all tables %.0f MB\n",
	       (double)full / 1e6, (double)sizeof(struct fdb) / 1e6, (double)(full - empty) / added,
	       sizeof(struct fdb_entry), (double)full * hosts / 1e6);
	/* All that came makes each host ask the others for their round trip (echo.h), once. */
	wait_ms(2 * TIMERS_ECHO_NS / 1000000);
}

/* To any other host than it was on. */
static void arrive(struct station *station, unsigned int was)
{
	station_plug(sim, station, (was + 1 + sim_random(sim, hosts - 1)) % hosts);
	station_ask_gateway(sim, station);
}

static void move_alone(void)
{
	const unsigned int count = 20;
	uint64_t longest = 0, sum = 0;
	struct tally before = tally(), t;

	for (unsigned int i = 0; i < count; i++) {
		struct station *station = station_at(sim, 0, sim_random(sim, macs));
		unsigned int was = station->node;
		uint64_t ms;

		watched = station->id;
		station_unplug(sim, station);
		arrive(station, was);
		ms = await(all_know, 1, "a station that moved is not known everywhere");
		sum += ms;
		longest = ms > longest ? ms : longest;
		wait_ms(2000);
	}
	t = since(&before);
	/* It went, it came; each told to every other host, and acknowledged. */
	expect(t.datagrams <= count * (4ULL * (hosts - 1) + 4), "too many messages for a move");
	printf("one move  known everywhere after %.0f ms (longest %llu), 10 ms each way on the "
	       "wire; "
	       "%.2f messages and %.0f bytes a host, %.1f checks\n",
	       (double)sum / count, (unsigned long long)longest,
	       (double)t.datagrams / count / hosts, (double)t.bytes / count / hosts,
	       (double)t.checks / count);
}

/* A container that stops on one host starts on another a little later. */
static void churn(void)
{
	unsigned int each = macs * percent / 100, moves = each * seconds;
	unsigned int gap = each * CHURN_GAP_MS / 1000 + 1;
	struct leaver {
		struct station *station;
		unsigned int was;
	} *leavers = sim_allocate((moves + 1) * sizeof(*leavers));
	struct tally before = tally(), t;
	uint64_t ms;

	for (unsigned int i = 0; each && i < moves + gap; i++) {
		if (i < moves) {
			struct leaver *leaver = &leavers[i];

			do
				leaver->station = station_at(sim, 0, sim_random(sim, macs));
			while (leaver->station->node == STATION_NOWHERE);
			leaver->was = leaver->station->node;
			station_unplug(sim, leaver->station);
		}
		if (i >= gap)
			arrive(leavers[i - gap].station, leavers[i - gap].was);
		sim_run(sim, SIM_SECOND / each, NULL, NULL);
	}
	free(leavers);
	t = since(&before);
	ms = await(all_agree, 20, "after the churn not every host knows every station");
	expect(t.drops == 0, "drops while stations came and went");
	if (moves)
		printf("churn     %u moves a second for %u s: %.0f messages and %.0f bytes a "
		       "second "
		       "and host; %.2f messages and %.0f bytes a host and move; %.1f us of "
		       "processor a host and move; %.2f checks a move; all agree %llu ms after\n",
		       each, seconds, (double)t.datagrams / hosts / ((double)t.at_ns / 1e9),
		       (double)t.bytes / hosts / ((double)t.at_ns / 1e9),
		       (double)t.datagrams / moves / hosts, (double)t.bytes / moves / hosts,
		       t.cpu * 1e6 / moves / hosts, (double)t.checks / moves,
		       (unsigned long long)ms);
}

/*
 * A daemon ends and begins anew. It finds the MACs on its bridge, but their addresses
 * only when they ask for something; a broadcast makes its sessions.
 */
static void restart(void)
{
	struct tally before, t;
	uint64_t ms;

	sim_stop(sim, 0);
	wait_ms(1000);
	sim_start(sim, 0);
	set_quota(0);
	before = tally();
	station_announce(sim, sim->nodes[0].bridges[0].first);
	for (struct station *s = sim->nodes[0].bridges[0].first; s; s = s->next) {
		station_ask_gateway(sim, s);
		wait_ms(2);
	}
	ms = await(all_agree, 20, "after a restart not every host knows every station");
	t = since(&before);
	printf("restart   of one daemon: all know all %llu ms after its last container spoke; %.0f "
	       "messages and %.0f bytes per other host\n",
	       (unsigned long long)ms, (double)t.datagrams / (hosts - 1),
	       (double)t.bytes / (hosts - 1));
}

static void ask_and_flood(void)
{
	const unsigned int count = 100;
	struct tally before = tally(), t;

	for (unsigned int i = 0; i < count; i++) {
		station_ask(sim, station_at(sim, 0, sim_random(sim, macs)),
		            station_at(sim, 0, sim_random(sim, macs)));
		wait_ms(100);
	}
	t = since(&before);
	printf("questions %u for addresses of others: %llu copies sent, %llu saved\n", count,
	       (unsigned long long)t.flooded, (unsigned long long)t.suppressed);
	expect(t.flooded == 0, "a question was flooded whose answer is known");
	before = tally();
	for (unsigned int i = 0; i < count; i++) {
		station_send(sim, station_at(sim, 0, sim_random(sim, macs)), STATION_EVERYONE, i,
		             STATION_UDP, 50);
		wait_ms(100);
	}
	t = since(&before);
	expect(t.flooded == (uint64_t)count * (hosts - 1),
	       "a broadcast did not go to every host once");
	printf("broadcast %.1f copies each, %.0f bytes each; %.2f us of processor a copy\n",
	       (double)t.flooded / count, (double)t.bytes / count,
	       t.cpu * 1e6 / (double)(t.flooded ? t.flooded : 1));
}

static unsigned int number(char **argv, int i, unsigned int least, unsigned int most)
{
	unsigned long n = strtoul(argv[i], NULL, 10);

	if (n >= least && n <= most)
		return (unsigned int)n;
	fprintf(stderr, "sim_scale: argument %d: %s: expected %u to %u\n", i, argv[i], least, most);
	exit(2);
}

int main(int argc, char **argv)
{
	struct sim_options options = { .nodes = 0 };

	if (argc > 1)
		hosts = number(argv, 1, 2, SIM_NODES_MAX);
	if (argc > 2)
		macs = number(argv, 2, hosts, FDB_PEERS_ENTRIES / 2);
	if (argc > 3)
		percent = number(argv, 3, 0, 100);
	if (argc > 4)
		seconds = number(argv, 4, 1, 3600);
	options.nodes = options.widths[0] = hosts;
	options.stations = macs;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("sim_scale %u hosts, %u MACs with an address each\n", hosts, macs);
	sim = sim_open_with(1, &options);
	sim->stations->watch_ns = 2 * SIM_MS;
	for (unsigned int i = 0; i < hosts; i++)
		set_quota(i);
	make_mesh();
	fill();
	move_alone();
	churn();
	ask_and_flood();
	restart();
	sim_close(sim);
	printf("total     %.0f s of processor\n", wall());
	return 0;
}
