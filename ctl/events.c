/* SPDX-License-Identifier: MIT */
/*
 *	events  version: 1; boot: changes with each start of the daemon, and numbers
 *	        begin again; newest: the last one's number; missed: how many later than
 *	        "after" are not kept any more; events: number, time (unix seconds), kind
 *	        (handshake, handshake-failed, roam, peer-added, peer-removed, joined,
 *	        introduced, attached, detached, reloaded, reload-failed, drops), text: one line, and null where
 *	        it has none: peer, public_key, network
 */
#include "ctl/events.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/json_memory.h"

#define SILENT_ATTEMPTS 3 /* initiations in a row that nobody answered */
#define CALM_TICKS      10 /* below the rate for so long: the next time is told again */
/* Between two handshakes of a session in use; how long each took shifts them a little. */
#define RENEWED_MIN_NS (SESSION_REKEY_AFTER_NS - 10 * STATE_SECOND_NS)
#define RENEWED_MAX_NS SESSION_REJECT_AFTER_NS

struct event_entry {
	uint64_t wall_ns;
	enum events_kind kind;
	bool has_peer;
	uint8_t key[KEY_SIZE];
	char peer[STATE_LABEL_MAX];
	char network[CONFIG_NAME_MAX];
	char text[EVENTS_TEXT];
};

struct events {
	uint64_t newest; /* the number of the last; the first is 1 */
	bool started;
	uint64_t tick_ns;
	uint64_t drops[DROP_COUNT]; /* at the last tick */
	unsigned int rising[DROP_COUNT]; /* ticks until it is calm again; 0: it is */
	struct event_entry ring[EVENTS_KEPT];
};

static const char *const kinds[] = {
	[EVENTS_HANDSHAKE] = "handshake",
	[EVENTS_HANDSHAKE_FAILED] = "handshake-failed",
	[EVENTS_ROAM] = "roam",
	[EVENTS_PEER_ADDED] = "peer-added",
	[EVENTS_PEER_REMOVED] = "peer-removed",
	[EVENTS_JOINED] = "joined",
	[EVENTS_INTRODUCED] = "introduced",
	[EVENTS_ATTACHED] = "attached",
	[EVENTS_DETACHED] = "detached",
	[EVENTS_RELOADED] = "reloaded",
	[EVENTS_RELOAD_FAILED] = "reload-failed",
	[EVENTS_DROPS] = "drops",
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == EVENTS_KINDS, "a name for each kind");

struct events *events_open(void)
{
	return calloc(1, sizeof(struct events));
}

void events_close(struct events *events)
{
	free(events);
}

void events_add(const struct state *state, enum events_kind kind, const struct config_peer *peer,
                const char *network, const char *format, ...)
{
	struct events *events = state->events;
	const struct environment *env = state->device->env;
	struct event_entry *entry;
	va_list args;

	if (!events)
		return;
	entry = &events->ring[++events->newest % EVENTS_KEPT];
	memset(entry, 0, sizeof(*entry));
	entry->wall_ns = env->wall_ns(env->arg);
	entry->kind = kind;
	if (peer) {
		entry->has_peer = true;
		memcpy(entry->key, peer->public_key, KEY_SIZE);
		state_label_peer(peer, entry->peer);
	}
	if (network)
		(void)snprintf(entry->network, sizeof(entry->network), "%s", network);
	va_start(args, format);
	(void)vsnprintf(entry->text, sizeof(entry->text), format, args);
	va_end(args);
}

void events_add_host(struct state *state, enum events_kind kind, const uint8_t key[KEY_SIZE],
                     const char *text)
{
	const struct config_peer *peer = config_find_peer(state->config, key);

	if (!peer)
		return;
	events_add(state, kind, peer, NULL, "%s", text);
	state->peers[peer - state->config->peers].seen.known = true;
}

static void look_at_endpoint(const struct state *state, struct run_peer *run,
                             const struct config_peer *config, bool first)
{
	char from[ENDPOINT_TEXT_MAX], to[ENDPOINT_TEXT_MAX];
	struct endpoint now;

	peer_get_endpoint(run->peer, &now);
	if (endpoint_same_remote(&now, &run->seen.endpoint))
		return;
	/* The first endpoint of a peer is no roam. */
	if (!first && endpoint_is_set(&run->seen.endpoint) && endpoint_is_set(&now)) {
		endpoint_format(&run->seen.endpoint, from);
		endpoint_format(&now, to);
		events_add(state, EVENTS_ROAM, config, NULL, "from %s to %s", from, to);
	}
	run->seen.endpoint = now;
}

/*
 * A session in use gets new keys every two minutes, which is no news: of twenty peers the
 * ring would hold nothing else of more than the last hour. One that comes earlier is: the
 * peer began anew.
 */
static bool only_renews(const struct run_peer *run, uint64_t done_ns)
{
	uint64_t last_ns = run->seen.handshake_wall_ns;

	return !run->seen.silent && last_ns && done_ns >= last_ns + RENEWED_MIN_NS &&
	       done_ns <= last_ns + RENEWED_MAX_NS;
}

static void look_at_handshake(const struct state *state, struct run_peer *run,
                              const struct config_peer *config, bool first)
{
	uint64_t done_ns = stats_read(&run->peer->handshake_wall_ns);
	uint32_t attempts = atomic_load_explicit(&run->peer->timers.attempts, memory_order_relaxed);
	char at[ENDPOINT_TEXT_MAX];

	if (done_ns != run->seen.handshake_wall_ns) {
		bool news = !first && !only_renews(run, done_ns);

		run->seen.handshake_wall_ns = done_ns;
		run->seen.silent = false;
		endpoint_format(&run->seen.endpoint, at);
		if (news)
			events_add(state, EVENTS_HANDSHAKE, config, NULL, "done with %s", at);
	}
	/* Told once, until there is an answer. */
	if (attempts < SILENT_ATTEMPTS || run->seen.silent)
		return;
	run->seen.silent = true;
	endpoint_format(&run->seen.endpoint, at);
	events_add(state, EVENTS_HANDSHAKE_FAILED, config, NULL, "no answer from %s to %u tries",
	           at, attempts);
}

static size_t count_new(const struct state *state)
{
	size_t count = 0;

	for (size_t i = 0; i < state->config->peer_count; i++)
		count += !state->peers[i].seen.known;
	return count;
}

static void look_at_peers(struct state *state, bool start)
{
	size_t new = start ? 0 : count_new(state);

	if (new > EVENTS_PEERS_AT_ONCE)
		events_add(state, EVENTS_PEER_ADDED, NULL, NULL, "%zu peers added", new);
	for (size_t i = 0; i < state->config->peer_count; i++) {
		const struct config_peer *config = &state->config->peers[i];
		struct run_peer *run = &state->peers[i];

		if (!run->seen.known && !start && new <= EVENTS_PEERS_AT_ONCE)
			events_add(state, EVENTS_PEER_ADDED, config, NULL, "added");
		run->seen.known = true;
		look_at_endpoint(state, run, config, start);
		look_at_handshake(state, run, config, start);
	}
}

static void look_at_networks(struct state *state)
{
	for (size_t i = 0; i < state->config->network_count; i++) {
		const struct config_network *config = &state->config->networks[i];
		struct run_network *run = state->networks[i];

		if (run->was_attached == run->seen_attached)
			continue;
		run->seen_attached = run->was_attached;
		events_add(state, run->was_attached ? EVENTS_ATTACHED : EVENTS_DETACHED, NULL,
		           config->name, run->was_attached ? "joined bridge %s" : "left bridge %s",
		           config->bridge);
	}
}

static void look_at_drops(const struct state *state, bool start, uint64_t elapsed_ns)
{
	struct events *events = state->events;

	for (int i = DROP_NONE + 1; i < DROP_COUNT; i++) {
		uint64_t now = stats_read(&state->device->stats.drops[i]);
		uint64_t more = now - events->drops[i];
		/* Two ticks may follow each other at once: what they saw is no rate. */
		uint64_t rate = more * STATE_SECOND_NS /
		                (elapsed_ns > STATE_SECOND_NS / 2 ? elapsed_ns : STATE_SECOND_NS);

		events->drops[i] = now;
		if (start)
			continue;
		if (rate < EVENTS_DROP_RATE) {
			events->rising[i] -= events->rising[i] > 0;
			continue;
		}
		if (!events->rising[i])
			events_add(state, EVENTS_DROPS, NULL, NULL, "%s: %llu a second: %s",
			           drop_name((enum drop)i), (unsigned long long)rate,
			           drop_text((enum drop)i));
		events->rising[i] = CALM_TICKS;
	}
}

void events_tick(struct state *state)
{
	struct events *events = state->events;
	uint64_t now_ns = device_now(state->device);
	bool start;

	if (!events)
		return;
	start = !events->started;
	events->started = true;
	look_at_peers(state, start);
	look_at_networks(state);
	look_at_drops(state, start, now_ns - events->tick_ns);
	events->tick_ns = now_ns;
}

static json_t *show_entry(const struct event_entry *entry, uint64_t number)
{
	char key[KEY_BASE64_LEN + 1];

	secret_to_base64(key, entry->key);
	return json_pack("{s:I, s:f, s:s, s:o, s:o, s:o, s:o}", "number", (json_int_t)number,
	                 "time", (double)entry->wall_ns / 1e9, "kind", kinds[entry->kind], "text",
	                 json_memory_text(entry->text), "peer",
	                 entry->has_peer ? json_memory_text(entry->peer) : json_null(),
	                 "public_key", entry->has_peer ? json_string(key) : json_null(), "network",
	                 entry->network[0] ? json_memory_text(entry->network) : json_null());
}

json_t *events_show(const struct state *state, uint64_t after)
{
	const struct events *events = state->events;
	uint64_t newest = events ? events->newest : 0;
	uint64_t first = newest > EVENTS_KEPT ? newest - EVENTS_KEPT + 1 : 1;
	json_t *list = json_array();

	/* It knows more than happened: of the daemon's last life. */
	if (after > newest)
		after = 0;
	for (uint64_t i = after + 1 > first ? after + 1 : first; events && i <= newest; i++)
		json_array_append_new(list, show_entry(&events->ring[i % EVENTS_KEPT], i));
	return json_pack("{s:b, s:i, s:I, s:I, s:I, s:o}", "ok", 1, "version", 1, "boot",
	                 (json_int_t)state->device->boot, "newest", (json_int_t)newest, "missed",
	                 (json_int_t)(first > after + 1 ? first - after - 1 : 0), "events", list);
}
