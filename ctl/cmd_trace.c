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

struct options {
	const char *to, *from, *network;
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
	return client_call(json_pack("{s:s, s:s, s:s*, s:s*, s:o*, s:o*}", "do", "trace", "to",
	                             options->to, "from", from, "network", options->network, "size",
	                             size ? json_integer(size) : NULL, "wait_s",
	                             wait_s > 0 ? json_real(wait_s) : NULL),
	                   reply);
}

/* Until it is over. NULL, with *@status: the daemon is gone. */
static json_t *follow(const json_t *start, int *status)
{
	json_t *live = NULL;

	*status = OVLCTL_OK;
	if (!json_is_integer(json_object_get(start, "number")))
		return NULL;
	for (;;) {
		json_decref(live);
		live = NULL;
		*status = client_call(json_pack("{s:s, s:I}", "do", "trace-look", "number",
		                                client_number(start, "number")),
		                      &live);
		if (*status != OVLCTL_OK || json_is_true(json_object_get(live, "over")))
			return *status == OVLCTL_OK ? live : NULL;
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
		                       .steps = json_array(),
		                       .causes = json_array() };

	status = begin(&options, options.from, 0, options.wait_s, &result.start);
	if (status == OVLCTL_FAILED && !options.json) /* a line for people */
		fprintf(stderr, "ovlctl: %s doctor says what is wrong with this host\n",
		        client_command());
	if (status == OVLCTL_OK)
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
