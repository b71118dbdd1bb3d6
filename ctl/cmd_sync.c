/* SPDX-License-Identifier: MIT */
/*
 * sync: the file becomes the running state. It is read here, with the rights of
 * whoever types, and its text sent with the keys in the place of key files: so the
 * daemon opens no file that someone else names, and works when it sees none at all.
 */
#include "ctl/ovlctl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/buffer.h"
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/config.h"

#define TEXT_SIZE_MAX ((size_t)15 << 20) /* with JSON around it, it still is one request */
#define MESSAGE_MAX   1024

static void print_warning(void *arg, const struct config_error *warning)
{
	char message[MESSAGE_MAX];

	(void)arg;
	config_error_format(warning, message, sizeof(message));
	fprintf(stderr, "ovlctl: warning: %s\n", message);
}

struct arguments {
	const char *path;
	bool dry_run, json;
};

static bool parse_arguments(int argc, char **argv, struct arguments *arguments)
{
	*arguments = (struct arguments){ .path = NULL };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--dry-run") == 0)
			arguments->dry_run = true;
		else if (strcmp(argv[i], "--json") == 0)
			arguments->json = true;
		else if ((argv[i][0] == '-' && argv[i][1]) || arguments->path)
			return false;
		else
			arguments->path = argv[i];
	}
	return arguments->path;
}

/* NULL: it was said why not, and *@status is what to leave with. */
static json_t *make_request(const struct arguments *arguments, int *status)
{
	struct buffer text;
	struct config_options options = { .warn = print_warning, .any_file = true, .sent = &text };
	struct config_error error = { .line = 0 };
	struct config *config;
	bool is_stdin = strcmp(arguments->path, CONFIG_STDIN) == 0;
	json_t *request = NULL;
	char path[PATH_MAX];

	*status = OVLCTL_USAGE;
	buffer_init(&text, TEXT_SIZE_MAX);
	if (config_load(arguments->path, &options, &config, &error)) {
		complaint_say_at("ovlctl: ", &error);
		goto out;
	}
	config_free(config);
	request =
		json_pack("{s:s, s:b, s:b, s:s%, s:s}", "do", "sync", "dry_run", arguments->dry_run,
	                  "list", arguments->dry_run || arguments->json, "text", text.data,
	                  text.len, "file", is_stdin ? CONFIG_STDIN_NAME : arguments->path);
	if (!request)
		complaint_say("the file's name or a value in it is not UTF-8 text");
	else if (realpath(is_stdin ? "/dev/stdin" : arguments->path, path)) /* a pipe has none */
		json_object_set_new(request, "path", json_string(path));
out:
	buffer_fini(&text);
	return request;
}

static void print_difference(const json_t *item)
{
	const json_t *details = json_object_get(item, "details"), *detail;
	const char *kind = client_text(item, "kind"), *name = client_text(item, "name");
	const char *between = ": ";
	size_t i;

	printf("%s%s%s %s", kind, *name ? " " : "", name, client_text(item, "change"));
	json_array_foreach (details, i, detail) {
		printf("%s%s", between, json_string_value(detail));
		between = "; ";
	}
	putchar('\n');
}

static void print_summary(const char *verb, const json_t *reply)
{
	printf("%s: peers %" JSON_INTEGER_FORMAT " added, %" JSON_INTEGER_FORMAT
	       " removed, %" JSON_INTEGER_FORMAT " changed; networks %" JSON_INTEGER_FORMAT
	       " added, %" JSON_INTEGER_FORMAT " removed, %" JSON_INTEGER_FORMAT " changed%s\n",
	       verb, client_number(reply, "peers_added"), client_number(reply, "peers_removed"),
	       client_number(reply, "peers_changed"), client_number(reply, "networks_added"),
	       client_number(reply, "networks_removed"), client_number(reply, "networks_changed"),
	       json_is_true(json_object_get(reply, "interface_changed")) ? "; [Interface] changed"
	                                                                 : "");
	client_print_next(reply);
}

static bool has_changed(const json_t *reply)
{
	static const char *const counts[] = { "peers_added",      "peers_removed",
		                              "peers_changed",    "networks_added",
		                              "networks_removed", "networks_changed" };
	bool changed = json_is_true(json_object_get(reply, "interface_changed"));

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		changed |= client_number(reply, counts[i]) > 0;
	return changed;
}

/* What came from elsewhere does not outlive the daemon: who means it to has one step left. */
static void print_end(const json_t *reply)
{
	const char *own_file = client_text(reply, "own_file");

	if (*own_file && has_changed(reply))
		printf("until the next start or reload, which takes %s\n", own_file);
}

int cmd_sync(int argc, char **argv)
{
	const json_t *differences, *item;
	struct arguments arguments;
	json_t *request, *reply;
	int status;
	size_t i;

	if (!parse_arguments(argc, argv, &arguments))
		return ovlctl_usage("sync");
	request = make_request(&arguments, &status);
	if (!request)
		return status;
	status = client_call(request, &reply);
	if (status != OVLCTL_OK)
		return status;
	differences = json_object_get(reply, "differences");
	if (arguments.json) {
		status = client_print_json(reply);
	} else if (!arguments.dry_run) {
		print_summary("synced", reply);
		print_end(reply);
	} else {
		json_array_foreach (differences, i, item)
			print_difference(item);
		print_summary("would be synced", reply);
	}
	if (status == OVLCTL_OK && arguments.dry_run && json_array_size(differences) > 0)
		status = OVLCTL_DIFFERS;
	json_decref(reply);
	return status;
}
