/* SPDX-License-Identifier: MIT */
/*
 * One socket for all networks, and one dump at a time. A network that wants a dump,
 * for its bridge is another one or events were lost, says so by a flag, and gets it
 * when the one before is done. And one every few seconds, as the kernel tells by no event
 * that a station is heard of still.
 */
#include "ctl/stations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/log.h"
#include "ctl/netlink_fdb.h"
#include "ctl/station_table.h"

struct stations {
	struct netlink_fdb *fdb;
	uint64_t ticked_ns;
	uint64_t refreshed_ns;
	uint64_t failed_ns; /* of the last dump; 0: it succeeded */
	bool dumping, whole; /* station_table_begin_dump() */
	int error; /* of opening, told once */
};

/* The network that has this bridge, or NULL. */
static struct run_network *find(const struct state *state, uint32_t bridge)
{
	for (size_t i = 0; bridge && i < state->config->network_count; i++) {
		struct run_network *run = state->networks[i];

		if (run->stations && station_table_bridge(run->stations) == bridge)
			return run;
	}
	return NULL;
}

static void take(void *arg, const struct netlink_station *station)
{
	struct state *state = arg;
	struct run_network *run = find(state, station->bridge);

	if (run)
		station_table_take(run->stations, station, device_now(state->device));
}

static void begin_dumps(struct state *state)
{
	struct stations *stations = state->stations;
	uint64_t now_ns = device_now(state->device);

	if (stations->dumping ||
	    (stations->failed_ns && now_ns - stations->failed_ns < STATE_SECOND_NS))
		return;
	for (size_t i = 0; i < state->config->network_count; i++) {
		struct run_network *run = state->networks[i];
		bool whole = run->wants_dump;
		int err;

		if (!run->stations || (!whole && !run->wants_refresh))
			continue;
		run->wants_dump = run->wants_refresh = false;
		if (station_table_bridge(run->stations) == 0)
			continue;
		stations->whole = whole;
		station_table_begin_dump(run->stations, whole);
		err = netlink_fdb_dump(stations->fdb, station_table_bridge(run->stations));
		if (err) {
			run->wants_dump = whole;
			stations->failed_ns = now_ns;
		}
		stations->dumping = !err;
		return;
	}
}

static void dumped(void *arg, uint32_t bridge, int err)
{
	struct state *state = arg;
	struct run_network *run = find(state, bridge);
	uint64_t now_ns = device_now(state->device);

	state->stations->dumping = false;
	state->stations->failed_ns = err ? now_ns : 0;
	if (run && err)
		run->wants_dump |= state->stations->whole;
	else if (run && !run->wants_dump)
		station_table_end_dump(run->stations, now_ns);
	begin_dumps(state);
}

static void lost(void *arg)
{
	struct state *state = arg;

	device_event(state->device, EVENT_NETLINK_OVERFLOW, 1);
	for (size_t i = 0; i < state->config->network_count; i++)
		state->networks[i]->wants_dump = true;
}

static const struct netlink_fdb_ops ops = { .station = take, .dumped = dumped, .lost = lost };

static bool has_bridged(const struct state *state)
{
	for (size_t i = 0; i < state->config->network_count; i++)
		if (state->config->networks[i].bridged)
			return true;
	return false;
}

/* False: there is nothing to watch, or no way. */
static bool open_watch(struct state *state)
{
	struct stations *stations = state->stations;
	int err;

	if (stations && stations->fdb)
		return true;
	if (!stations)
		stations = calloc(1, sizeof(*stations));
	if (!stations)
		return false;
	state->stations = stations;
	err = netlink_fdb_open(&stations->fdb, &ops, state);
	if (err && err != stations->error)
		log_line("cannot watch where the bridges' stations are: %s", strerror(-err));
	stations->error = err;
	/* With less room more is lost, and dumped anew. */
	if (!err)
		(void)priv_widen(state->priv, netlink_fdb_fd(stations->fdb));
	return !err;
}

static void follow(struct state *state, struct run_network *run, uint64_t now_ns)
{
	const struct bridge_state *bridge = run->bridge ? bridge_state(run->bridge) : NULL;

	if (!run->stations)
		run->stations = station_table_open(run->network, run->tap_index);
	if (!run->stations)
		return; /* the next second */
	if (station_table_follow(run->stations, bridge, run->tap_index, now_ns))
		run->wants_dump = true;
	/*
	 * A container that came from another host is behind a new port and may stay silent.
	 * What is sent to it comes from the TAP, where the bridge believes it to be, and goes
	 * no further. What is flushed is learned again from the next frame.
	 */
	if (station_table_check_ports(run->stations, state->netlink, now_ns))
		(void)priv_flush_port(state->priv, run->tap_index);
}

static void tell_workers(struct state *state)
{
	bool news = false;

	for (size_t i = 0; i < state->config->network_count; i++)
		if (state->networks[i]->stations)
			news |= station_table_has_news(state->networks[i]->stations);
	if (news)
		workers_kick(&state->workers);
}

void stations_update(struct state *state, uint64_t now_ns)
{
	bool due, refresh;

	if (!has_bridged(state)) {
		stations_end(state);
		return;
	}
	if (!open_watch(state))
		return;
	due = now_ns - state->stations->ticked_ns >= STATE_SECOND_NS;
	if (due)
		state->stations->ticked_ns = now_ns;
	refresh =
		now_ns - state->stations->refreshed_ns >= STATION_TABLE_REFRESH_S * STATE_SECOND_NS;
	if (refresh)
		state->stations->refreshed_ns = now_ns;
	for (size_t i = 0; i < state->config->network_count; i++) {
		struct run_network *run = state->networks[i];

		if (!run->network->fdb)
			continue;
		follow(state, run, now_ns);
		run->wants_refresh |= refresh;
		if (due && run->stations)
			station_table_tick(run->stations, now_ns);
	}
	begin_dumps(state);
	tell_workers(state);
}

int stations_fd(const struct state *state)
{
	return state->stations && state->stations->fdb ? netlink_fdb_fd(state->stations->fdb) : -1;
}

void stations_dispatch(struct state *state)
{
	netlink_fdb_dispatch(state->stations->fdb);
	begin_dumps(state);
	tell_workers(state);
}

void stations_end(struct state *state)
{
	if (!state->stations)
		return;
	netlink_fdb_close(state->stations->fdb);
	free(state->stations);
	state->stations = NULL;
}
