/* SPDX-License-Identifier: MIT */
/*
 * trace: the checks of ovlctl doctor that tell why packets stop on this host without a
 * word: bridges, their MTU and the packet filter.
 */
#include <string.h>
#include "ctl/client.h"
#include "ctl/doctor.h"
#include "ctl/trace_tool.h"

static bool is_wrong(const json_t *finding)
{
	const char *severity = client_text(finding, "severity");

	return strcmp(severity, "error") == 0 || strcmp(severity, "warning") == 0;
}

static void take(struct trace_result *result, const json_t *findings)
{
	const json_t *finding;
	size_t i;

	json_array_foreach (findings, i, finding) {
		const char *mend = client_text(finding, "mend");

		if (is_wrong(finding))
			json_array_append_new(result->causes,
			                      json_pack("{s:s, s:s?}", "text",
			                                client_text(finding, "found"), "mend",
			                                *mend ? mend : NULL));
	}
}

static void check(struct doctor *d, const char *name, void (*run)(struct doctor *d))
{
	d->check = name;
	memset(d->alike, 0, sizeof(d->alike));
	run(d);
}

void trace_tell_host(struct trace_result *result)
{
	const json_t *stop = trace_stop(result);
	bool bridge = strcmp(client_text(stop, "step"), "container") == 0;
	struct doctor d = { .hasty = true, .findings = json_array() };

	doctor_gather(&d);
	if (bridge) {
		check(&d, "bridges", doctor_check_bridges);
		check(&d, "mtu", doctor_check_mtu);
		check(&d, "forward", doctor_check_forward);
	} else {
		check(&d, "firewall", doctor_check_firewall);
	}
	take(result, d.findings);
	doctor_forget(&d);
	json_decref(d.findings);
}
