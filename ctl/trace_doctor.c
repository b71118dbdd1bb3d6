/* SPDX-License-Identifier: MIT */
/*
 * trace: the checks of ovlctl doctor that tell why packets stop where they do on this
 * host, or why a peer does not answer. They are doctor's own, of this network, this peer
 * and these addresses alone.
 */
#include <string.h>
#include "ctl/client.h"
#include "ctl/doctor.h"
#include "ctl/trace_tool.h"

#define CHECKS_MAX 5

struct stage {
	const char *checks[CHECKS_MAX + 1];
	enum doctor_severity least; /* a warning may be of what stops other packets alone */
};

/* Where that is told, whatever it is. */
static const struct stage bridge = { { "bridges" }, DOCTOR_ERROR };
static const struct stage session = { { "clock", "firewall", "endpoints", "handshakes" },
	                              DOCTOR_WARNING };
static const struct stage nowhere = { { "endpoints" }, DOCTOR_ERROR };
static const struct stage members = { { "members" }, DOCTOR_ERROR };
static const struct stage ends = { { "addresses" }, DOCTOR_ERROR };
/* A container of this host that does not answer, not to long pings, or is not there. */
static const struct stage silent = { { "bridges", "addresses", "forward", "nat" }, DOCTOR_ERROR };
static const struct stage size = { { "mtu", "forward" }, DOCTOR_ERROR };
static const struct stage absent = { { "bridges", "forward" }, DOCTOR_ERROR };
/* This host itself, by its bridge's address. */
static const struct stage host = { { "bridges", "overlaps", "addresses", "forward", "allowed-ips" },
	                           DOCTOR_WARNING };

static const struct stage *stage_of_container(const struct trace_result *result)
{
	const json_t *here = json_object_get(result->live, "here");

	if (json_is_true(json_object_get(here, "gateway")))
		return &host;
	if (*client_text(here, "reason"))
		return &absent;
	return strcmp(client_text(here, "stage"), "answered") == 0 ? &size : &silent;
}

/* NULL: no check knows of such a stop. */
static const struct stage *stage_of(const struct trace_result *result, const json_t *stop)
{
	const char *step = client_text(stop, "step"), *reason = client_text(stop, "reason");

	if (!stop)
		return &ends;
	if (strcmp(step, "arrived") == 0 || strcmp(reason, "out-stage-expired") == 0)
		return &session;
	if (strcmp(reason, "out-no-endpoint") == 0)
		return &nowhere;
	if (strcmp(client_text(stop, "at"), "here") != 0)
		return NULL;
	if (strcmp(step, "bridge") == 0)
		return &bridge;
	if (strcmp(step, "station") == 0 || strcmp(step, "members") == 0 ||
	    strcmp(step, "hello") == 0)
		return &members;
	if (strcmp(step, "container") == 0 && result->live)
		return stage_of_container(result);
	/* It is this host's and a peer's; or it is this host's, and not there. */
	return json_is_true(json_object_get(result->start, "here")) ? &ends : NULL;
}

/* Of a list what has the same @key as @one, which may be nothing: then all of it. */
static void narrow(json_t **list, const char *key, const json_t *one)
{
	json_t *kept = json_array(), *item;
	size_t i;

	json_array_foreach (*list, i, item)
		if (strcmp(client_text(item, key), client_text(one, key)) == 0)
			json_array_append(kept, item);
	if (json_array_size(kept)) {
		json_decref(*list);
		*list = kept;
	} else {
		json_decref(kept);
	}
}

static void take(struct trace_result *result, const json_t *finding)
{
	const char *found = client_text(finding, "found"), *means = client_text(finding, "means");
	const char *mend = client_text(finding, "mend"), *advice = client_text(finding, "advice");

	json_array_append_new(result->causes,
	                      json_pack("{s:o, s:s?, s:s?}", "text",
	                                json_sprintf("%s: %s", found, means), "mend",
	                                *mend ? mend : NULL, "advice", *advice ? advice : NULL));
}

bool trace_tell_doctors(struct trace_result *result)
{
	const json_t *stop = trace_stop(result), *finding;
	const struct stage *stage = stage_of(result, stop);
	const char *from = client_text(result->start, "from");
	const char *to = client_text(result->start, "to");
	size_t before = json_array_size(result->causes), i;

	if (!stage)
		return false;
	struct doctor d = { .hasty = true,
		            .ends = { *from ? from : NULL, *to ? to : NULL },
		            .silent = stage == &session };

	doctor_gather(&d);
	narrow(&d.networks, "name", json_object_get(result->start, "network"));
	narrow(&d.peers, "public_key", json_object_get(result->start, "peer"));
	doctor_run(&d, stage->checks);
	json_array_foreach (d.findings, i, finding)
		if (doctor_severity(finding) >= stage->least)
			take(result, finding);
	doctor_forget(&d);
	return json_array_size(result->causes) > before;
}
