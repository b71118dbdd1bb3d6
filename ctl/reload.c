/* SPDX-License-Identifier: MIT */
#include "ctl/reload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "ctl/changes.h"
#include "ctl/events.h"
#include "ctl/log.h"
#include "ctl/notify.h"
#include "ctl/roll.h"
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

/* Behind a new configuration: what may wait for it. */
static void look_after(struct state *state, struct reload_result *result)
{
	if (state->config->workers != state->workers.count) {
		result->workers = state->config->workers;
		log_line("Workers = %u is for the next start: %u run until then", result->workers,
		         state->workers.count);
	}
	result->introducer = roll_waits_for_start(state->roll, state->config);
	if (result->introducer)
		log_line("Introducer = yes is for the next start: nobody is invited until then, "
		         "and who is introduced is not kept");
	upkeep_tick(state);
}

static void fill_error(int ret, struct config_error *error)
{
	if (ret && !error->text[0])
		(void)snprintf(error->text, sizeof(error->text), "%s", strerror(-ret));
}

static void tell(struct state *state, const struct reload_result *result)
{
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
}

int reload_config(struct state *state, struct reload_result *result,
                  void (*line)(void *arg, const char *text), void *arg, struct config_error *error)
{
	const struct config_options options = { .bridge = state->bridge_option,
		                                .warn = reload_warn,
		                                .files = &priv_config_files,
		                                .files_arg = state->priv };
	struct report report = { .line = line, .arg = arg };
	struct config *next = NULL, *before = NULL, *base = NULL;
	bool put = false;
	int ret;

	memset(error, 0, sizeof(*error));
	memset(result, 0, sizeof(*result));
	notify_reloading();
	ret = config_load(state->path, &options, &next, error);
	if (ret)
		goto out;
	ret = config_check(next, error);
	put = !ret && state->roll;
	if (put)
		ret = roll_put_all(state->roll, next, true);
	if (ret)
		goto out;
	ret = -ENOMEM;
	base = config_copy(next);
	if (!base)
		goto out;
	ret = apply_config(state, next, &before, &result->summary, error);
	if (ret)
		goto out;
	next = NULL;
	result->dropped = changes_list(state->base, before, state->config, report_change, &report);
	config_free(state->base);
	state->base = base;
	base = NULL;
	tell(state, result);
	/* Whoever reloads wants all looked at once more, what did not change, too. */
	upkeep_resolve_again(state);
	upkeep_paths_changed(state);
	look_after(state, result);
out:
	fill_error(ret, error);
	if (ret && put)
		roll_take_back(state->roll);
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

/* The file that the next reload will read, too. */
static bool is_own_file(const struct state *state, const char *path)
{
	return path && strcmp(path, state->real_path ? state->real_path : state->path) == 0;
}

static void log_sync(const struct reload_text *text, const struct difference_counts *counts)
{
	log_line("synced with %s: peers %u added, %u removed, %u changed; networks %u added, %u "
	         "removed, %u changed%s",
	         text->path ? text->path : text->file, counts->peers_added, counts->peers_removed,
	         counts->peers_changed, counts->networks_added, counts->networks_removed,
	         counts->networks_changed,
	         counts->interface_changed ? "; [Interface] changed" : "");
}

int reload_sync(struct state *state, const struct reload_text *text, struct reload_result *result,
                const struct difference_ops *ops, void *arg, struct config_error *error)
{
	const struct config_options options = { .bridge = state->bridge_option,
		                                .warn = reload_warn,
		                                .no_key_files = true };
	struct config *next = NULL, *base = NULL;
	bool put = false;
	int ret;

	memset(error, 0, sizeof(*error));
	memset(result, 0, sizeof(*result));
	ret = config_parse(text->text, text->len, text->file, &options, &next, error);
	put = !ret && state->roll;
	if (put)
		ret = roll_put_all(state->roll, next, !text->dry_run);
	if (ret)
		goto out;
	ret = -ENOMEM;
	result->own_file = is_own_file(state, text->path);
	if (result->own_file && !text->dry_run) {
		base = config_copy(next);
		if (!base)
			goto out;
	}
	differences_list(state->config, next, ops, arg, &result->counts);
	ret = 0;
	if (next->workers != state->workers.count)
		result->workers = next->workers;
	result->introducer = roll_waits_for_start(state->roll, next);
	if (text->dry_run)
		goto out;
	ret = apply_config(state, next, NULL, &result->summary, error);
	if (ret)
		goto out;
	next = NULL;
	if (base) {
		config_free(state->base);
		state->base = base;
		base = NULL;
	}
	log_sync(text, &result->counts);
	events_add(state, EVENTS_RELOADED, NULL, NULL,
	           "sync: peers %u added, %u removed, %u changed; networks %u added, %u removed",
	           result->counts.peers_added, result->counts.peers_removed,
	           result->counts.peers_changed, result->counts.networks_added,
	           result->counts.networks_removed);
	/* Not as a reload: a name asked for again may take an unchanged peer elsewhere. */
	look_after(state, result);
out:
	fill_error(ret, error);
	if (put && (ret || text->dry_run))
		roll_take_back(state->roll);
	config_free(next);
	config_free(base);
	return ret;
}
