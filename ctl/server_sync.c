/* SPDX-License-Identifier: MIT */
/* sync, of the control socket: server.c has what goes in and what comes back. */
#include "ctl/reload.h"
#include "ctl/server.h"

static void add_difference(void *arg, const struct difference *difference)
{
	static const char *const kinds[] = { "interface", "network", "peer" };
	static const char *const verbs[] = { "added", "removed", "changed" };
	char key[KEY_BASE64_LEN + 1];
	json_t *item = json_pack("{s:s, s:s}", "kind", kinds[difference->kind], "change",
	                         verbs[difference->change]);

	if (difference->kind != DIFFERENCE_INTERFACE)
		json_object_set_new(item, "name", json_string(difference->name));
	if (difference->key) {
		secret_to_base64(key, difference->key);
		json_object_set_new(item, "public_key", json_string(key));
	}
	if (difference->change == DIFFERENCE_CHANGED)
		json_object_set_new(item, "details", json_array());
	json_array_append_new(arg, item);
}

static void add_detail(void *arg, const char *text)
{
	const json_t *item = json_array_get(arg, json_array_size(arg) - 1);

	json_array_append_new(json_object_get(item, "details"), json_string(text));
}

/* @differences: NULL when they were not asked for. */
static json_t *make_reply(const struct state *state, const struct reload_result *result,
                          bool dry_run, json_t *differences)
{
	const struct difference_counts *counts = &result->counts;
	json_t *workers = result->workers ? json_integer(result->workers) : NULL;
	json_t *own_file = result->own_file ? NULL : json_string(state->path);

	return json_pack(
		"{s:b, s:i, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o*, s:o*, s:o*, s:o*}", "ok",
		1, "version", 1, "dry_run", dry_run, "peers_added", (int)counts->peers_added,
		"peers_removed", (int)counts->peers_removed, "peers_changed",
		(int)counts->peers_changed, "networks_added", (int)counts->networks_added,
		"networks_removed", (int)counts->networks_removed, "networks_changed",
		(int)counts->networks_changed, "interface_changed", counts->interface_changed,
		"workers_next", workers, "introducer_next", result->introducer ? json_true() : NULL,
		"own_file", own_file, "differences", differences);
}

/* False: it is neither true nor false. Taken for false, it could change what it must not. */
static bool get_flag(const json_t *request, const char *key, bool *flag)
{
	const json_t *value = json_object_get(request, key);

	*flag = json_is_true(value);
	return !value || json_is_boolean(value);
}

static bool get_text(const json_t *request, struct reload_text *text)
{
	const json_t *path = json_object_get(request, "path");

	text->text = json_string_value(json_object_get(request, "text"));
	text->len = json_string_length(json_object_get(request, "text"));
	text->file = json_string_value(json_object_get(request, "file"));
	text->path = json_string_value(path);
	return text->text && text->file && (!path || text->path);
}

json_t *server_sync(struct state *state, const json_t *request)
{
	static const struct difference_ops ops = { add_difference, add_detail };
	json_t *differences = NULL;
	struct reload_result result;
	struct config_error error;
	struct reload_text text;
	bool list;
	int ret;

	if (!get_text(request, &text))
		return server_error(
			SERVER_EXIT_USAGE,
			"sync: expected text, file and perhaps path, all of them texts");
	if (!get_flag(request, "dry_run", &text.dry_run) || !get_flag(request, "list", &list))
		return server_error(SERVER_EXIT_USAGE,
		                    "sync: expected dry_run and list true, false or not at all");
	if (list)
		differences = json_array();
	ret = reload_sync(state, &text, &result, list ? &ops : NULL, differences, &error);
	if (!ret)
		return make_reply(state, &result, text.dry_run, differences);
	json_decref(differences);
	return server_config_error(ret, &error);
}
