/* SPDX-License-Identifier: MIT */
/*
 * Requests and replies. Each request is an object with "do"; what it needs
 * besides, and what its reply has besides "ok": true:
 *
 *	show         →  version, device, networks, peers (show.c)
 *	drops        →  drops, events, peers, networks, texts (show.c)
 *	drops-last   →  version, last (show_last.c)
 *	events       after: a number (may be left out)  →  version, boot, newest, missed,
 *	             events (events.c)
 *	traffic      →  version, device, peers (show.c)
 *	neigh        →  networks: name, neighbours: address, mac, state, age_s
 *	peer-add     public_key; name, endpoint, preshared_key, keepalive,
 *	             allowed_ips (texts, as in the file), vnis (numbers); each may be
 *	             left out
 *	peer-set     peer, and any of the above but public_key; allowed_ips and
 *	             vnis replace, endpoint is set anew
 *	peer-remove  peer
 *	route-add    prefix, peer
 *	route-del    prefix
 *	route-get    address  →  network, bridge, verdict, and of a remote address
 *	             peer, public_key, prefix, endpoint
 *	route-list   →  routes: prefix, peer, public_key, network
 *	fdb-add      network, station (a MAC or an address), at (a peer, or "local");
 *	             mac, of an address: left out, the one it is known with
 *	fdb-del      network, station: static or not
 *	fdb-list     network (may be left out)  →  networks (show.c)
 *	capture      layout, inner, outer, keys (true or false), snaplen; of: a network or a
 *	             peer, left out: all. Sent with a memfd (capture.h)  →  rings,
 *	             ring_size, network or peer that it is of. On until the client goes
 *	invite       range, endpoints (texts), expires_s; bits may be left out (invite.h)
 *	invite-list  →  who was invited and introduced (invite.h)
 *	trace        to: an address or a MAC; from, network, size, wait_s: each may be left
 *	             out  →  trace.c
 *	trace-look   number  →  trace.c
 *	reload       →  version, dropped: texts; dropped_count, peers_added,
 *	             peers_removed, peers_changed, networks_added, networks_removed;
 *	             workers_next, when the next start will have another number;
 *	             introducer_next: true, when Introducer = yes waits for it
 *	sync         text (a configuration without key files); file, its name in
 *	             messages; path, where it lies; dry_run; list  →  version: 1; the
 *	             counts of reload and networks_changed, interface_changed; workers_next,
 *	             introducer_next;
 *	             dry_run; own_file, the path of what the next reload will read,
 *	             when that is another file; with list differences: kind
 *	             ("interface", "network", "peer"), change ("added", "removed",
 *	             "changed"), name, of a peer public_key, of what changed details:
 *	             texts
 *
 * Root may ask for all of it, members of the group "ovltun" for what is marked →
 * above, but for reload, sync and capture: what only looks, and at no content.
 *
 * What only changes is replied to with ok and version.
 *
 * "peer" is a name, a key, or the unambiguous beginning of a key. A reply to what
 * failed is {"ok": false, "error": one line, "exit": the tool's exit status: 2
 * for a request that cannot be right, 1 for what failed at run time}; when a
 * configuration is to blame with its "file" and "line" (0: none), and "text", the
 * error without these two.
 */
#include "ctl/server_private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "ctl/apply.h"
#include "ctl/capture.h"
#include "ctl/events.h"
#include "ctl/invite.h"
#include "ctl/json_memory.h"
#include "ctl/reload.h"
#include "ctl/show.h"
#include "ctl/show_last.h"
#include "ctl/trace.h"
#include "ctl/upkeep.h"

static json_t *good(void)
{
	return json_pack("{s:b, s:i}", "ok", 1, "version", 1);
}

static json_t *change_config(struct state *state, const json_t *request)
{
	struct config *config = config_copy(state->config);
	struct config_error error = { .line = 0 };
	int ret;

	if (!config)
		return server_error(SERVER_EXIT_RUNTIME, "out of memory");
	json_t *wrong = server_edit(config, request);

	if (wrong)
		goto out;
	ret = config_check(config, &error);
	if (ret) {
		wrong = server_error(ret == -ENOMEM ? SERVER_EXIT_RUNTIME : SERVER_EXIT_USAGE, "%s",
		                     ret == -ENOMEM ? "out of memory" : error.text);
		goto out;
	}
	if (apply_config(state, config, NULL, NULL, &error)) {
		wrong = server_error(SERVER_EXIT_RUNTIME, "%s", error.text);
		goto out;
	}
	upkeep_tick(state);
	/* Who removes a host that was introduced means it for good, whatever happens next. */
	invite_tick(state);
	return good();
out:
	config_free(config);
	return wrong;
}

/*
 * What the configuration does not know: the MAC of an address that a static entry is
 * wanted for, and entries that are not static.
 */
static json_t *change_fdb(struct state *state, json_t *request)
{
	bool adds = strcmp(json_string_value(json_object_get(request, "do")), "fdb-add") == 0;
	uint64_t now_ns = device_now(state->device);
	json_t *wrong = NULL;
	struct config_network *network = server_need_bridged(state->config, request, &wrong);
	struct fdb_place place;
	struct fdb_key key;
	struct fdb *fdb;

	if (!network || !server_need_station(request, &key, &wrong))
		return wrong;
	fdb = state->networks[network - state->config->networks]->network->fdb;
	if (!fdb_lookup(fdb, &key, now_ns, &place))
		return change_config(state, request);
	if (adds && !json_object_get(request, "mac")) {
		json_object_set_new(request, "mac", show_mac(place.mac));
	} else if (!adds && place.source != FDB_STATIC) {
		fdb_withdraw(fdb, place.owner, &key, now_ns);
		workers_kick(&state->workers);
		return good();
	}
	return change_config(state, request);
}

/* The rest */

static json_t *fdb_show(struct state *state, const json_t *request)
{
	json_t *wrong = NULL;
	const struct config_network *network = NULL;

	if (json_object_get(request, "network")) {
		network = server_need_bridged(state->config, request, &wrong);
		if (!network)
			return wrong;
	}
	return show_stations(state, network);
}

static json_t *route_get(struct state *state, const json_t *request)
{
	json_t *wrong = NULL;
	const char *text = server_need_text(request, "address", &wrong);
	struct prefix address;

	if (!text)
		return wrong;
	if (strchr(text, '/') || !prefix_parse(&address, text))
		return server_usage("\"%s\": expected an address", text);
	return show_route(state, address.family, address.addr);
}

static void add_line(void *arg, const char *text)
{
	json_array_append_new(arg, json_string(text));
}

static json_t *reload(struct state *state, const json_t *request)
{
	struct reload_result result;
	struct config_error error;
	json_t *dropped = json_array();

	(void)request;
	if (!dropped)
		return NULL;
	int ret = reload_config(state, &result, add_line, dropped, &error);

	if (ret) {
		json_decref(dropped);
		return server_config_error(ret, &error);
	}
	return json_pack("{s:b, s:i, s:o, s:I, s:i, s:i, s:i, s:i, s:i, s:o*, s:o*}", "ok", 1,
	                 "version", 1, "dropped", dropped, "dropped_count",
	                 (json_int_t)result.dropped, "peers_added", (int)result.summary.peers_added,
	                 "peers_removed", (int)result.summary.peers_removed, "peers_changed",
	                 (int)result.summary.peers_changed, "networks_added",
	                 (int)result.summary.networks_added, "networks_removed",
	                 (int)result.summary.networks_removed, "workers_next",
	                 result.workers ? json_integer(result.workers) : NULL, "introducer_next",
	                 result.introducer ? json_true() : NULL);
}

static json_t *drops(struct state *state, const json_t *request)
{
	(void)request;
	return show_drops(state);
}

static json_t *drops_last(struct state *state, const json_t *request)
{
	(void)request;
	return show_last(state);
}

static json_t *events(struct state *state, const json_t *request)
{
	const json_t *after = json_object_get(request, "after");

	if (after && (!json_is_integer(after) || json_integer_value(after) < 0))
		return server_usage("after: expected the number of an event");
	return events_show(state, (uint64_t)json_integer_value(after));
}

static json_t *neigh(struct state *state, const json_t *request)
{
	(void)request;
	return show_neighbours(state);
}

static json_t *capture_alone(struct state *state, const json_t *request)
{
	(void)state;
	(void)request;
	return server_usage(
		"no memory came with the request, or there was no descriptor left for it");
}

static json_t *trace(struct state *state, const json_t *request)
{
	char wrong[TRACE_WRONG_MAX] = "";
	json_t *reply = trace_begin(state, request, wrong);

	return reply || !wrong[0] ? reply : server_usage("%s", wrong);
}

static json_t *look(struct state *state, const json_t *request)
{
	char wrong[TRACE_WRONG_MAX] = "";
	json_t *reply = trace_look(state, request, wrong);

	return reply || !wrong[0] ? reply : server_usage("%s", wrong);
}

static const struct {
	const char *name;
	json_t *(*reply)(struct state *state, const json_t *request);
	bool (*put)(struct state *state, struct buffer *out); /* instead, for long ones */
	bool reads; /* and changes nothing, tells no secret: for the group, too */
} commands[] = {
	{ "show", NULL, show_put_state, true },
	{ "drops", drops, NULL, true },
	{ "drops-last", drops_last, NULL, true },
	{ "events", events, NULL, true },
	{ "neigh", neigh, NULL, true },
	{ "traffic", NULL, show_put_traffic, true },
	{ "route-get", route_get, NULL, true },
	{ "route-list", NULL, show_put_routes, true },
	{ "reload", reload, NULL, false },
	{ "sync", server_sync, NULL, false },
	{ "capture", capture_alone, NULL, false },
	{ "fdb-list", fdb_show, NULL, true },
	{ "invite", invite_make, NULL, false },
	{ "invite-list", invite_list, NULL, true },
	{ "trace", trace, NULL, true },
	{ "trace-look", look, NULL, true },
};

static bool put_reply(json_t *reply, struct buffer *out)
{
	bool fits = json_memory_put(reply, out);

	json_decref(reply);
	return fits;
}

static bool may_read(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].reads;
	return false;
}

static bool reply_to(struct state *state, json_t *request, bool reader, struct buffer *out)
{
	json_t *wrong = NULL;
	const char *name = json_is_object(request) ? server_need_text(request, "do", &wrong) : NULL;

	if (!name)
		return put_reply(wrong ? wrong : server_usage("a request is an object"), out);
	if (reader && !may_read(name))
		return put_reply(server_error(SERVER_EXIT_RUNTIME,
		                              "permission denied: %s is for root; members of group "
		                              "%s may look only",
		                              name, server_ops.readers),
		                 out);
	if (server_is_change(name))
		return put_reply(strncmp(name, "fdb-", 4) == 0 ? change_fdb(state, request)
		                                               : change_config(state, request),
		                 out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		return commands[i].put ? commands[i].put(state, out)
		                       : put_reply(commands[i].reply(state, request), out);
	}
	return put_reply(server_usage("unknown request \"%s\"", name), out);
}

/* What it replied under want of memory may lack a part, which nobody would miss. */
static bool reply_text(struct state *state, const char *text, size_t len, bool reader,
                       struct buffer *out)
{
	json_error_t error;
	json_t *request;
	bool fits;

	/* A value takes a hundred times the bytes that it has there. */
	if (json_memory_count(text, len) > SERVER_VALUES_MAX)
		return put_reply(server_usage("a request has at most %u values", SERVER_VALUES_MAX),
		                 out);
	(void)json_memory_failed();
	request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!request && json_memory_failed())
		return false;
	if (!request)
		/* Not jansson's own words: they quote the request, keys and all. */
		return put_reply(
			server_usage("not a request: no JSON from byte %d on", error.position),
			out);
	state->reader = reader;
	fits = reply_to(state, request, reader, out);
	state->reader = false;
	json_decref(request);
	return !json_memory_failed() && fits;
}

bool server_reply(struct state *state, const char *text, size_t len, struct buffer *out)
{
	return reply_text(state, text, len, false, out);
}

static bool answer_reader(void *arg, char *request, size_t len, struct buffer *out)
{
	if (!reply_text(arg, request, len, true, out))
		out->failed = true;
	return true;
}

static bool answer(void *arg, char *request, size_t len, struct buffer *reply)
{
	if (!server_reply(arg, request, len, reply))
		reply->failed = true;
	return true;
}

/* Captures: the only request that comes with a descriptor */

static bool answer_passed(void *arg, const struct listener_passed *passed, struct buffer *out,
                          void **held)
{
	json_t *request =
		json_memory_count(passed->request, passed->len) > SERVER_VALUES_MAX
			? NULL
			: json_loadb(passed->request, passed->len, JSON_REJECT_DUPLICATES, NULL);
	const char *name = json_string_value(json_object_get(request, "do"));
	const struct capture_order order = { .request = request,
		                             .memory = passed->fd,
		                             .client = passed->client };
	struct capture_run *run = NULL;
	char error[CAPTURE_ERROR_MAX];
	json_t *reply = NULL;

	if (!name || strcmp(name, "capture") != 0) {
		reply = server_usage("only a capture comes with a descriptor");
	} else {
		int ret = capture_begin(arg, &order, &run, &reply, error);

		if (ret)
			reply = server_error(ret == -EINVAL ? SERVER_EXIT_USAGE
			                                    : SERVER_EXIT_RUNTIME,
			                     "%s", error);
	}
	json_decref(request);
	close(passed->fd);
	*held = run;
	return put_reply(reply, out);
}

static void gone(void *arg, void *held)
{
	capture_end(arg, held);
}

static void refuse(struct buffer *reply)
{
	(void)put_reply(server_usage("a request has at most %u bytes, of who may only look %u",
	                             SERVER_REQUEST_MAX, SERVER_READER_REQUEST_MAX),
	                reply);
}

/* Not made of JSON values, for which there may be no memory either. */
static void no_reply(struct buffer *reply)
{
	static const char text[] = "{\"ok\":false,\"error\":\"the daemon has no memory for the "
				   "reply\",\"exit\":1}\n";

	(void)buffer_append(reply, text, sizeof(text) - 1);
}

const struct listener_ops server_ops = {
	.end = "\n",
	.request_max = SERVER_REQUEST_MAX,
	.total_max = 2 * (size_t)SERVER_REQUEST_MAX,
	.reply_max = SERVER_REPLY_MAX,
	.answer = answer,
	.answer_reader = answer_reader,
	.reader_request_max = SERVER_READER_REQUEST_MAX,
	.answer_passed = answer_passed,
	.gone = gone,
	.held_max = SERVER_REPLY_MAX,
	.refuse = refuse,
	.no_reply = no_reply,
	.readers = "ovltun",
};
