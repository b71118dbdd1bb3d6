/* SPDX-License-Identifier: MIT */
/*
 * Stations and nodes come, go and move, messages are lost, doubled and late, as a seed
 * has it. When all has calmed down, every node knows where every station is, and every
 * frame arrives where it is to, once.
 */
#include "sim/bridged_seeds.h"

#include "sim/bridged_lab.h"
#include "unit/unit.h"

#define STEPS 40

/* ---- what has to be true in the end ---- */

#define EXPECT(run, condition, ...)                                                  \
	do {                                                                         \
		if (!(condition)) {                                                  \
			print_error("seed %llu: ", (unsigned long long)(run)->seed); \
			print_error(__VA_ARGS__);                                    \
			print_error("\n");                                           \
			fail();                                                      \
		}                                                                    \
	} while (0)

/* Every node knows where every station is, and of none that is nowhere. */
static void check_tables(struct run *run)
{
	struct sim *sim = run->sim;

	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		uint32_t here = 0;

		for (unsigned int i = 0; i < STATIONS; i++)
			here += is_here(station_at(sim, k, i));
		for (unsigned int n = 0; n < sim->widths[k]; n++) {
			struct fdb_info infos[4 * STATIONS];
			struct fdb *fdb;
			uint32_t count;

			if (!sim->nodes[n].running)
				continue;
			fdb = sim->nodes[n].bridges[k].network->fdb;
			count = fdb_list(fdb, infos, 4 * STATIONS);
			for (uint32_t i = 0; i < count && i < 4 * STATIONS; i++) {
				EXPECT(run, stations_check_place(sim, n, k, &infos[i]),
				       "a station is not where node %u has it", n);
				EXPECT(run, !infos[i].contested, "node %u: a contest has no end",
				       n);
			}
			EXPECT(run, count == 2 * here,
			       "node %u knows %u MACs and addresses in network %u, not %u", n,
			       count, k, 2 * here);
			EXPECT(run, fdb_next(fdb) > sim->now_ns, "node %u: something is overdue",
			       n);
		}
	}
}

static void check_counts(struct run *run)
{
	struct sim *sim = run->sim;

	EXPECT(run, run->wrong == 0, "%u frames came twice or to their sender", run->wrong);
	EXPECT(run, sim->stations->corrupt == 0, "%u frames are spoilt", sim->stations->corrupt);
	EXPECT(run, sim->stations->crossed == 0, "%u frames crossed", sim->stations->crossed);
	for (unsigned int n = 0; n < sim->node_count; n++) {
		const struct stage_pool *stage = &sim->nodes[n].device->stage;

		if (sim->nodes[n].running)
			EXPECT(run, stage->free_count == STAGE_CHUNKS,
			       "node %u: frames wait for ever", n);
	}
}

static uint64_t count_drops(const struct sim *sim)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < sim->node_count; i++)
		for (int reason = 0; reason < DROP_COUNT && sim->nodes[i].running; reason++)
			n += sim_drops(sim, i, (enum drop)reason);
	return n;
}

/* Who got which of the frames from @first on. */
static void check_deliveries(struct run *run, uint32_t first)
{
	for (uint32_t sequence = first; sequence < run->sequence; sequence++) {
		const struct sent *sent = &run->sent[sequence];

		for (unsigned int i = 0; i < STATIONS; i++) {
			const struct station *at = station_at(run->sim, sent->network, i);
			bool due = is_here(at) && i != sent->from &&
			           (sent->to == STATION_EVERYONE || sent->to == i);

			EXPECT(run, run->got[sequence][i] == due,
			       "network %u: station %u got %u of %u's frame to %d", sent->network,
			       i, run->got[sequence][i], sent->from, (int)sent->to);
		}
	}
}

/* Every two stations of every network, both ways; then everyone to everyone. */
static void check_traffic(struct run *run)
{
	struct sim *sim = run->sim;
	uint64_t drops = count_drops(sim), flooded = count_events(sim, EVENT_FLOODED);
	uint32_t first = run->sequence;

	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		for (unsigned int a = 0; sim->widths[k] && a < STATIONS; a++) {
			struct station *from = station_at(sim, k, a);

			from->answers = from->lies = 0;
			if (!is_here(from))
				continue;
			for (unsigned int b = 0; b < STATIONS; b++) {
				if (b == a || !is_here(station_at(sim, k, b)))
					continue;
				station_ask(sim, from, station_at(sim, k, b));
				say(run, from, b);
				from->answers--;
			}
		}
		wait_ms(run, 1000);
	}
	check_deliveries(run, first);
	EXPECT(run, count_events(sim, EVENT_FLOODED) == flooded, "what is known was flooded");
	first = run->sequence;
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++)
		for (unsigned int a = 0; sim->widths[k] && a < STATIONS; a++)
			if (is_here(station_at(sim, k, a)))
				say(run, station_at(sim, k, a), STATION_EVERYONE);
	wait_ms(run, 1000);
	check_deliveries(run, first);
	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++)
		for (unsigned int a = 0; sim->widths[k] && a < STATIONS; a++)
			EXPECT(run,
			       station_at(sim, k, a)->answers == 0 &&
			               station_at(sim, k, a)->lies == 0,
			       "network %u: station %u: %d answers too many, %u wrong", k, a,
			       (int)station_at(sim, k, a)->answers, station_at(sim, k, a)->lies);
	EXPECT(run, count_drops(sim) == drops, "%llu drops",
	       (unsigned long long)(count_drops(sim) - drops));
}

/* ---- what happens ---- */

static struct station *any_station(struct run *run)
{
	unsigned int k = run->sim->widths[1] ? chance(run, 2) : 0;

	return station_at(run->sim, k, chance(run, STATIONS));
}

static void arrive(struct run *run, struct station *station)
{
	station_plug(run->sim, station, chance(run, run->sim->widths[station->network]));
	switch (chance(run, 4)) {
	case 0:
		break; /* silent */
	case 1:
		station_ask_gateway(run->sim, station);
		break;
	default:
		station_announce(run->sim, station);
		break;
	}
}

static void stir_station(struct run *run)
{
	struct station *station = any_station(run);
	struct station *other = station_at(run->sim, station->network, chance(run, STATIONS));

	if (!is_here(station)) {
		if (!is_here(other) && other != station && chance(run, 2))
			station_swap_addresses(run->sim, station, other);
		arrive(run, station);
		return;
	}
	station_unplug(run->sim, station);
	if (chance(run, 3)) {
		wait_ms(run, chance(run, 100));
		arrive(run, station);
	}
}

/* The daemon alone ends and comes back, or its whole host with all that runs there. */
static void stir_node(struct run *run)
{
	struct sim *sim = run->sim;
	unsigned int node = chance(run, sim->node_count);
	bool host = chance(run, 3) == 0;

	sim_stop(sim, node);
	for (unsigned int k = 0; host && k < SIM_NETWORKS_MAX; k++) {
		while (sim->nodes[node].bridges[k].first) {
			struct station *station = sim->nodes[node].bridges[k].first;

			station_unplug(sim, station);
			if (chance(run, 2))
				arrive(run, station);
			if (station->node == node)
				station_unplug(sim, station);
		}
	}
	wait_ms(run, chance(run, chance(run, 4) ? 3000 : 60000));
	sim_start(sim, node);
}

static void stir(struct run *run)
{
	struct sim *sim = run->sim;

	switch (chance(run, 20)) {
	case 0:
		sim->loss = chance(run, 300);
		break;
	case 1:
		sim->duplication = chance(run, 300);
		break;
	case 2:
		sim->delay_max_ns = sim->delay_min_ns + chance(run, 500) * SIM_MS;
		break;
	case 3:
		stir_node(run);
		break;
	case 4:
		sim_move(sim, 0);
		break;
	case 5:
		sim->filter = sim->filter ? NULL : sim_lose_all;
		break;
	case 6:
		wait_ms(run, chance(run, 400) * 1000);
		break;
	case 7:
		sim->stations->watch_ns = chance(run, 200) * SIM_MS;
		break;
	case 8:
		any_station(run)->mute ^= true;
		break;
	case 9:
	case 10:
	case 11:
		wait_ms(run, chance(run, 4000));
		break;
	default:
		stir_station(run);
		break;
	}
}

static void chatter(struct run *run)
{
	for (unsigned int n = chance(run, 6); n; n--) {
		struct station *from = any_station(run);
		unsigned int to = chance(run, STATIONS);

		if (!is_here(from))
			continue;
		if (chance(run, 4) == 0)
			station_ask(run->sim, from, station_at(run->sim, from->network, to));
		else
			say(run, from, chance(run, 4) && to != from->id ? to : STATION_EVERYONE);
		wait_ms(run, chance(run, 50));
	}
}

/*
 * Where nobody lives nothing is said, so what such nodes know of each other may be old:
 * nobody can see it. From now on somebody lives everywhere.
 */
static void settle(struct run *run)
{
	struct sim *sim = run->sim;

	for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
		for (unsigned int n = 0, i = 0; n < sim->widths[k]; n++) {
			while (!sim->nodes[n].bridges[k].first && i < STATIONS) {
				struct station *station = station_at(sim, k, i++);

				if (!is_here(station))
					station_plug(sim, station, n);
				else if (sim->nodes[station->node].bridges[k].first->next) {
					station_unplug(sim, station);
					station_plug(sim, station, n);
				}
			}
		}
	}
}

/*
 * The network is clean, and whoever is there says so now and then, for longer than what
 * was learned is kept: a frame that was overtaken by news of its sender's end taught
 * something wrong. Node 0, which moves, is as if behind NAT, and has to say where it is.
 */
static void calm(struct run *run)
{
	struct sim *sim = run->sim;

	for (unsigned int i = 1; i < sim->node_count; i++)
		peer_set_keepalive(sim->nodes[0].peers[i], 25);
	sim_kick(sim, 0);
	settle(run);
	sim_calm(sim);
	sim->stations->watch_ns = 5 * SIM_MS;
	for (unsigned int round = 0; round < 24; round++) {
		for (unsigned int k = 0; k < SIM_NETWORKS_MAX; k++) {
			for (unsigned int i = 0; sim->widths[k] && i < STATIONS; i++) {
				struct station *station = station_at(sim, k, i);

				station->mute = false;
				if (is_here(station))
					station_announce(sim, station);
			}
		}
		wait_ms(run, 14000);
	}
}

void bridged_seeds_run(uint64_t seed)
{
	struct sim_options options = { .nodes = 2 + (unsigned int)(seed % 3),
		                       .stations = STATIONS };
	struct run *run;

	options.widths[0] = options.nodes;
	options.widths[1] = seed % 2 ? 2 : 0;
	run = open_run(seed, &options);
	for (int step = 0; step < STEPS; step++) {
		stir(run);
		chatter(run);
	}
	calm(run);
	check_tables(run);
	check_traffic(run);
	check_counts(run);
	close_run(run);
}
