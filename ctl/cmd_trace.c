/* SPDX-License-Identifier: MIT */
/* trace: has the daemon follow a packet's way, and collects what tells why it stops. */
#include "ctl/ovlctl.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/text.h"
#include "ctl/trace_tool.h"

#define LOOK_MS     50
#define FULL_WAIT_S 1.5
/* Members that are asked at once (the daemon has room for 8 probes), and in all. */
#define BATCH     4 /* a share of the daemon's that nobody else's traces push out (probe.h) */
#define ASKED_MAX 24

struct options {
	const char *to, *from, *network;
	char ask[64]; /* key of the member that is asked; empty: whom the daemon chooses */
	long long size; /* 0: not given */
	double wait_s; /* 0: not given */
	bool json;
};

static bool parse_number(const char *text, double least, double most, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return *text && !*end && *out >= least && *out <= most;
}

static int fail(const char *option, const char *value, const char *expected)
{
	complaint_say("%s \"%s\": expected %s", option, value, expected);
	return OVLCTL_USAGE;
}

static int parse(int argc, char **argv, struct options *options)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		double number;

		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		if (argv[i][0] != '-') {
			if (options->to)
				return ovlctl_usage("trace");
			options->to = argv[i];
			continue;
		}
		if (!value)
			return ovlctl_usage("trace");
		if (strcmp(argv[i], "--from") == 0) {
			options->from = value;
		} else if (strcmp(argv[i], "--network") == 0) {
			options->network = value;
		} else if (strcmp(argv[i], "--size") == 0) {
			if (!parse_number(value, 28, 65535, &number))
				return fail("--size", value, "28 to 65535 bytes");
			options->size = (long long)number;
		} else if (strcmp(argv[i], "--wait") == 0) {
			if (!parse_number(value, 0.1, 60, &options->wait_s))
				return fail("--wait", value, "0.1 to 60 seconds");
		} else {
			return ovlctl_usage("trace");
		}
		i++;
	}
	return options->to ? OVLCTL_OK : ovlctl_usage("trace");
}

/* ---- asking ---- */

static int begin(const struct options *options, const char *from, json_int_t size, double wait_s,
                 json_t **reply)
{
	return client_call(json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o*, s:o*}", "do", "trace",
	                             "to", options->to, "from", from, "network", options->network,
	                             "ask", *options->ask ? options->ask : NULL, "size",
	                             size ? json_integer(size) : NULL, "wait_s",
	                             wait_s > 0 ? json_real(wait_s) : NULL),
	                   reply);
}

/* How far it is by now. NULL: no probe went out, or, with *@status, the daemon is gone. */
static json_t *look(const json_t *start, int *status)
{
	json_t *live = NULL;

	*status = OVLCTL_OK;
	if (json_is_integer(json_object_get(start, "number")))
		*status = client_call(json_pack("{s:s, s:I}", "do", "trace-look", "number",
		                                client_number(start, "number")),
		                      &live);
	return *status == OVLCTL_OK ? live : NULL;
}

/* Until it is over. NULL as above. */
static json_t *follow(const json_t *start, int *status)
{
	for (;;) {
		json_t *live = look(start, status);

		if (!live || json_is_true(json_object_get(live, "over")))
			return live;
		json_decref(live);
		(void)poll(NULL, 0, LOOK_MS);
	}
}

/* At both ends, of this host's if it was tried. */
static bool arrived(const json_t *live)
{
	const json_t *here = json_object_get(live, "here");

	return strcmp(client_text(json_object_get(live, "answer"), "stage"), "answered") == 0 &&
	       (!json_is_object(here) || strcmp(client_text(here, "stage"), "answered") == 0);
}

static bool has_it(const json_t *live)
{
	const char *stage = client_text(json_object_get(live, "answer"), "stage");

	return strcmp(stage, "found") == 0 || strcmp(stage, "written") == 0 ||
	       strcmp(stage, "answered") == 0;
}

static void note_asked(struct trace_result *result, const json_t *start, const json_t *live)
{
	const json_t *peer = json_object_get(start, "peer");
	const json_t *answer = json_object_get(live, "answer");
	const char *name = client_text(peer, "name"), *reason = client_text(answer, "reason");

	json_array_append_new(result->asked,
	                      json_pack("{s:s, s:b, s:s?}", "peer",
	                                *name ? name : client_text(peer, "public_key"), "answered",
	                                strcmp(reason, "in-unresolved") == 0 ? 1 : 0, "reason",
	                                *reason ? reason : NULL));
}

/* Who has it is the one that the trace is of. */
static void settle(struct options *options, struct trace_result *result, json_t *start, int *status)
{
	const char *key = client_text(json_object_get(start, "peer"), "public_key");

	(void)snprintf(options->ask, sizeof(options->ask), "%s", key);
	json_decref(result->start);
	result->start = json_incref(start);
	result->live = follow(start, status);
}

/* All at once, until one has it or none has: true, it was settled. */
static bool await_asked(struct options *options, struct trace_result *result, json_t *starts[BATCH],
                        int *status)
{
	bool over[BATCH] = { false }, waits = true;

	while (waits && *status == OVLCTL_OK) {
		waits = false;
		for (size_t i = 0; i < BATCH && *status == OVLCTL_OK; i++) {
			json_t *live = starts[i] && !over[i] ? look(starts[i], status) : NULL;
			bool found = has_it(live);

			over[i] = !live || json_is_true(json_object_get(live, "over"));
			waits |= !over[i];
			if (live && over[i] && !found)
				note_asked(result, starts[i], live);
			json_decref(live);
			if (found) {
				settle(options, result, starts[i], status);
				return true;
			}
		}
		(void)poll(NULL, 0, waits ? LOOK_MS : 0);
	}
	return false;
}

/* From @first on. */
static bool ask_some(struct options *options, struct trace_result *result, const json_t *members,
                     size_t first, int *status)
{
	struct options asking = *options;
	json_t *starts[BATCH] = { NULL };
	bool found;

	for (size_t i = 0; i < BATCH && first + i < json_array_size(members); i++) {
		const char *key = json_string_value(json_array_get(members, first + i));

		(void)snprintf(asking.ask, sizeof(asking.ask), "%s", key ? key : "");
		*status = begin(&asking, options->from, 0, options->wait_s, &starts[i]);
		if (*status != OVLCTL_OK)
			break;
	}
	found = await_asked(options, result, starts, status);
	for (size_t i = 0; i < BATCH; i++)
		json_decref(starts[i]);
	return found;
}

/*
 * Nobody has told who has it: a container's own question by ARP would go to all members,
 * and so does the trace's.
 */
static int flood(struct options *options, struct trace_result *result)
{
	json_t *members = json_incref(json_object_get(result->start, "members"));
	size_t count = json_array_size(members);
	int status = OVLCTL_OK;
	bool found = false;

	for (size_t i = 0; i < count && i < ASKED_MAX && status == OVLCTL_OK && !found; i += BATCH)
		found = ask_some(options, result, members, i, &status);
	result->unasked = count > ASKED_MAX ? count - ASKED_MAX : 0;
	json_decref(members);
	return status;
}

/* Once short ones arrive: as long as one message can be, or as was asked for. */
static int ask_again(const struct options *options, struct trace_result *result)
{
	json_int_t largest = client_number(result->start, "largest");
	json_int_t size = options->size && options->size < largest ? options->size : largest;
	const char *from = client_text(result->start, "from");
	int status;

	if (!arrived(result->live) || size <= client_number(result->start, "size"))
		return OVLCTL_OK;
	status = begin(options, *from ? from : NULL, size, FULL_WAIT_S, &result->full);
	if (status == OVLCTL_OK)
		result->full_live = follow(result->full, &status);
	return status;
}

static void forget(struct trace_result *result)
{
	json_decref(result->start);
	json_decref(result->live);
	json_decref(result->full);
	json_decref(result->full_live);
	json_decref(result->last);
	json_decref(result->asked);
	json_decref(result->steps);
	json_decref(result->causes);
}

int cmd_trace(int argc, char **argv)
{
	struct options options = { .to = NULL };
	int status = parse(argc, argv, &options);

	if (status != OVLCTL_OK)
		return status;
	struct trace_result result = { .wanted = options.size,
		                       .asked = json_array(),
		                       .steps = json_array(),
		                       .causes = json_array() };

	status = begin(&options, options.from, 0, options.wait_s, &result.start);
	if (status == OVLCTL_FAILED && !options.json) /* a line for people */
		fprintf(stderr, "ovlctl: %s doctor says what is wrong with this host\n",
		        client_command());
	if (status == OVLCTL_OK && json_is_array(json_object_get(result.start, "members")))
		status = flood(&options, &result);
	else if (status == OVLCTL_OK)
		result.live = follow(result.start, &status);
	if (status == OVLCTL_OK)
		status = ask_again(&options, &result);
	if (status == OVLCTL_OK) {
		if (client_call(json_pack("{s:s}", "do", "drops-last"), &result.last) != OVLCTL_OK)
			result.last = NULL;
		trace_tell_steps(&result);
		trace_tell_causes(&result);
		if (options.json) {
			json_t *all = trace_make_json(&result);

			status = client_print_json(all);
			json_decref(all);
		} else {
			status = trace_print_text(&result);
		}
		if (status == OVLCTL_OK && result.verdict != TRACE_REACHES)
			status = OVLCTL_FAILED;
	}
	forget(&result);
	return status;
}
