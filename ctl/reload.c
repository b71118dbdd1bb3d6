/* SPDX-License-Identifier: MIT */
#include "ctl/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ctl/changes.h"
#include "ctl/events.h"
#include "ctl/log.h"
#include "ctl/notify.h"
#include "ctl/upkeep.h"

struct report {
	void (*line)(void *arg, const char *text);
	void *arg;
};

static void report_change(void *arg, const char *text)
{
	const struct report *report = arg;

	log_line("reload drops what was changed at run time: %s", text);
	if (report->line)
		report->line(report->arg, text);
}

void reload_warn(void *arg, const struct config_error *warning)
{
	char text[1024];

	(void)arg;
	config_error_format(warning, text, sizeof(text));
	log_line("%s", text);
}

int reload_config(struct state *state, struct reload_result *result,
                  void (*line)(void *arg, const char *text), void *arg, struct config_error *error)
{
	const struct config_options options = { .bridge = state->bridge_option,
		                                .warn = reload_warn };
	struct report report = { .line = line, .arg = arg };
	struct config *next = NULL, *before = NULL, *base = NULL;
	int ret;

	memset(error, 0, sizeof(*error));
	memset(result, 0, sizeof(*result));
	notify_reloading();
	ret = config_load(state->path, &options, &next, error);
	if (ret)
		goto out;
	ret = config_check(next, error);
	if (ret)
		goto out;
	ret = -ENOMEM;
	base = config_copy(next);
	before = config_copy(state->config);
	if (!base || !before)
		goto out;
	ret = apply_config(state, next, &result->summary, error);
	if (ret)
		goto out;
	next = NULL;
	result->dropped = changes_list(state->base, before, state->config, report_change, &report);
	config_free(state->base);
	state->base = base;
	base = NULL;
	if (result->dropped > CHANGES_LINES_MAX)
		log_line("reload drops %zu more changes made at run time",
		         result->dropped - CHANGES_LINES_MAX);
	log_line("reloaded %s: peers %u added, %u removed, %u changed; networks %u added, %u "
	         "removed",
	         state->path, result->summary.peers_added, result->summary.peers_removed,
	         result->summary.peers_changed, result->summary.networks_added,
	         result->summary.networks_removed);
	events_add(state, EVENTS_RELOADED, NULL, NULL,
	           "peers %u added, %u removed, %u changed; networks %u added, %u removed",
	           result->summary.peers_added, result->summary.peers_removed,
	           result->summary.peers_changed, result->summary.networks_added,
	           result->summary.networks_removed);
	if (state->config->workers != state->workers.count) {
		result->workers = state->config->workers;
		log_line("Workers = %u is for the next start: %u run until then", result->workers,
		         state->workers.count);
	}
	upkeep_resolve_again(state);
	upkeep_paths_changed(state);
	upkeep_tick(state);
out:
	if (ret && !error->text[0])
		(void)snprintf(error->text, sizeof(error->text), "%s", strerror(-ret));
	if (ret) {
		char text[EVENTS_TEXT];

		config_error_format(error, text, sizeof(text));
		events_add(state, EVENTS_RELOAD_FAILED, NULL, NULL, "%s", text);
	}
	config_free(next);
	config_free(base);
	config_free(before);
	notify_ready();
	return ret;
}
