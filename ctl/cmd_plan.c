/* SPDX-License-Identifier: MIT */
/*
 * plan: from a list of hosts to a folder for each, with its configuration, its key and
 * the lines that set it up. plan.h has the list, the ranges and the texts, plan_files.h
 * the all-or-nothing of the files; here are the options, the keys and the picture.
 *
 * The order in which files take their places is that of plan_files_put(): keys and
 * plan.txt first, so that a run that is killed in between is simply run again.
 */
#include "ctl/ovlctl.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/config_private.h"
#include "ctl/json_memory.h"
#include "ctl/plan.h"
#include "ctl/plan_files.h"
#include "ctl/text.h"

#define FILE_MAX  (64UL << 20)
#define TEXT_MODE 0644
#define KEY_MODE  0600

struct options {
	const char *list;
	const char *folder;
	const char *subnet;
	const char *range_len;
	const char *port;
	const char *vni;
	bool json;
};

/* One run. */
struct run {
	struct plan plan;
	struct plan old; /* empty: nothing was planned yet */
	struct plan_files files;
	struct config_error error;
	bool no_dot;
};

/* --- the arguments --- */

/* False: misused. */
static bool parse_arguments(int argc, char **argv, struct options *options)
{
	const struct {
		const char *name;
		const char **value;
	} known[] = {
		{ "--out", &options->folder },  { "--subnet", &options->subnet },
		{ "--port", &options->port },   { "--prefix", &options->range_len },
		{ "--bridged", &options->vni },
	};

	for (int i = 1; i < argc; i++) {
		const char **value = &options->list, *text = argv[i];

		if (strcmp(text, "--json") == 0) {
			options->json = true;
			continue;
		}
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
			if (strcmp(argv[i], known[k].name) != 0)
				continue;
			value = known[k].value;
			text = argv[++i];
			break;
		}
		if (!text || *value || (value == &options->list && text[0] == '-'))
			return false;
		*value = text;
	}
	return options->list && options->subnet;
}

static int fail_option(const char *option, const char *value, const char *expected)
{
	char quoted[CONFIG_QUOTE_MAX];

	complaint_say("%s %s: %s", option, config_quote(slice_of(value), quoted), expected);
	return OVLCTL_USAGE;
}

static bool parse_number(const char *text, uint32_t fallback, uint32_t max, uint32_t *value)
{
	*value = fallback;
	return !text || (config_parse_number(slice_of(text), max, value) && *value > 0);
}

static int read_options(const struct options *options, struct plan *plan)
{
	uint32_t port, len;

	if (!config_parse_prefix(slice_of(options->subnet), &plan->subnet))
		return fail_option("--subnet", options->subnet,
		                   "expected a subnet such as 172.20.0.0/16");
	if (plan_subnet_problem(&plan->subnet))
		return fail_option("--subnet", options->subnet, plan_subnet_problem(&plan->subnet));
	if (!parse_number(options->range_len, PLAN_RANGE_DEFAULT, 128, &len))
		return fail_option("--prefix", options->range_len,
		                   "expected the length of a host's range in bits, such as 24");
	plan->range_len = (uint8_t)len;
	if (plan_range_problem(plan))
		return fail_option("--prefix", options->range_len ? options->range_len : "24",
		                   plan_range_problem(plan));
	if (!parse_number(options->port, PLAN_PORT_DEFAULT, UINT16_MAX, &port))
		return fail_option("--port", options->port, "expected a number from 1 to 65535");
	plan->port = (uint16_t)port;
	if (!parse_number(options->vni, 0, CONFIG_VNI_MAX, &plan->vni))
		return fail_option("--bridged", options->vni,
		                   "expected a VNI, a number from 1 to 16777215");
	return OVLCTL_OK;
}

/* --- lists --- */

static int read_list(struct run *run, const char *path)
{
	/* Within no folder of ours: a path as it is typed. */
	const struct plan_files here = { .folder = ".", .fd = AT_FDCWD };
	struct buffer text;
	int err;

	buffer_init(&text, FILE_MAX);
	err = plan_files_read(&here, path, &text, &run->error);
	if (err)
		err = config_fail(&run->error, path, 0, "%s", strerror(-err));
	else
		err = plan_read(&run->plan, text.data, text.len, path, &run->error);
	buffer_fini(&text);
	return err;
}

static int read_old(struct run *run)
{
	char path[sizeof(run->old.file)];
	struct buffer text;
	int err;

	run->old.subnet = run->plan.subnet;
	run->old.port = run->plan.port;
	buffer_init(&text, FILE_MAX);
	err = plan_files_read(&run->files, PLAN_LIST, &text, &run->error);
	if (!err) {
		snprintf(path, sizeof(path), "%s/" PLAN_LIST, run->files.folder);
		err = plan_read(&run->old, text.data, text.len, path, &run->error);
	} else if (err == -ENOENT) {
		err = 0;
	}
	buffer_fini(&text);
	return err;
}

/* --- keys --- */

static void host_file(const struct plan_host *host, const char *name, char out[PLAN_PATH_MAX])
{
	snprintf(out, PLAN_PATH_MAX, "%s/%s", host->name, name);
}

/* A private key that lies there already. */
static int take_key(struct run *run, struct plan_host *host, const struct buffer *text)
{
	struct slice key = slice_trim((struct slice){ text->data, text->len });
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	char path[sizeof(run->error.file)];
	bool valid = secret_from_base64(private_key, key.at, key.len);

	snprintf(path, sizeof(path), "%.80s/%s/" PLAN_KEY, run->files.folder, host->name);
	if (valid)
		secret_derive_public(public_key, private_key);
	secret_wipe(private_key, sizeof(private_key));
	if (!valid)
		return config_fail(&run->error, path, 0,
		                   "expected a private key, as ovlctl genkey makes it");
	if (host->has_key && memcmp(host->public_key, public_key, KEY_SIZE) != 0)
		return config_fail(&run->error, run->plan.file, host->line,
		                   "the public key of \"%s\" is not that of %s: take away the one "
		                   "or the other",
		                   host->name, path);
	memcpy(host->public_key, public_key, KEY_SIZE);
	host->has_key = true;
	host->away = false;
	return 0;
}

static int find_keys(struct run *run)
{
	char name[PLAN_PATH_MAX];
	struct buffer text;
	int err = 0;

	for (size_t i = 0; i < run->plan.count && !err; i++) {
		struct plan_host *host = &run->plan.hosts[i];

		host_file(host, PLAN_KEY, name);
		buffer_init(&text, FILE_MAX);
		err = plan_files_read(&run->files, name, &text, &run->error);
		if (!err)
			err = take_key(run, host, &text);
		else if (err == -ENOENT)
			err = 0;
		buffer_fini(&text);
	}
	return err;
}

static int make_key(struct run *run, struct plan_host *host)
{
	char name[PLAN_PATH_MAX], line[KEY_BASE64_LEN + 2];
	uint8_t private_key[KEY_SIZE];
	struct buffer text;
	int err;

	secret_generate_private(private_key);
	secret_derive_public(host->public_key, private_key);
	host->has_key = true;
	secret_to_base64(line, private_key);
	secret_wipe(private_key, sizeof(private_key));
	line[KEY_BASE64_LEN] = '\n';
	buffer_init(&text, sizeof(line));
	buffer_append(&text, line, KEY_BASE64_LEN + 1);
	secret_wipe(line, sizeof(line));
	host_file(host, PLAN_KEY, name);
	err = plan_files_put(&run->files, name, KEY_MODE, &text, &run->error);
	buffer_fini(&text);
	return err;
}

static int put_folders(struct run *run)
{
	int err = 0;

	for (size_t i = 0; i < run->plan.count && !err; i++)
		err = plan_files_make_folder(&run->files, run->plan.hosts[i].name, &run->error);
	for (size_t i = 0; i < run->plan.count && !err; i++)
		if (!run->plan.hosts[i].has_key)
			err = make_key(run, &run->plan.hosts[i]);
	return err ? err : plan_check_keys(&run->plan, &run->error);
}

/* --- texts --- */

static int put_list(struct run *run)
{
	struct buffer text;
	int err;

	buffer_init(&text, FILE_MAX);
	plan_print_list(&run->plan, &text);
	err = plan_files_put(&run->files, PLAN_LIST, TEXT_MODE, &text, &run->error);
	buffer_fini(&text);
	return err;
}

static int put_host(struct run *run, const struct plan_host *host)
{
	static const struct {
		const char *name;
		void (*print)(const struct plan *plan, const struct plan_host *host,
		              struct buffer *out);
	} texts[] = { { "peers.conf", plan_print_config }, { "SETUP", plan_print_setup } };
	char name[PLAN_PATH_MAX];
	int err = 0;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && !err; i++) {
		struct buffer text;

		buffer_init(&text, FILE_MAX);
		texts[i].print(&run->plan, host, &text);
		host_file(host, texts[i].name, name);
		err = plan_files_put(&run->files, name, TEXT_MODE, &text, &run->error);
		buffer_fini(&text);
	}
	return err;
}

/* --- the picture --- */

/*
 * What dot draws of @graph, in @out. False: there is no dot, or it failed. The graph
 * goes through a file without a name, since a pipe to both ends of dot could block.
 */
static bool draw(const struct buffer *graph, struct buffer *out)
{
	char program[] = "dot", format[] = "-Tsvg", *const argv[] = { program, format, NULL };
	FILE *in = tmpfile(), *drawn = tmpfile();
	posix_spawn_file_actions_t actions;
	int status = -1;
	bool done = false;
	pid_t child;
	size_t n;

	if (!in || !drawn || fwrite(graph->data, 1, graph->len, in) != graph->len || fflush(in))
		goto out;
	rewind(in);
	if (posix_spawn_file_actions_init(&actions))
		goto out;
	if (posix_spawn_file_actions_adddup2(&actions, fileno(in), STDIN_FILENO) == 0 &&
	    posix_spawn_file_actions_adddup2(&actions, fileno(drawn), STDOUT_FILENO) == 0 &&
	    posix_spawnp(&child, argv[0], &actions, NULL, argv, environ) == 0)
		while (waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
	posix_spawn_file_actions_destroy(&actions);
	if (status != 0)
		goto out;
	rewind(drawn);
	do {
		if (!buffer_reserve(out, BUFSIZ))
			goto out;
		n = fread(out->data + out->len, 1, BUFSIZ, drawn);
		out->len += n;
	} while (n > 0);
	done = out->len > 0 && !ferror(drawn);
out:
	if (in)
		fclose(in);
	if (drawn)
		fclose(drawn);
	return done;
}

/* A picture that cannot be drawn is no reason to have no plan. */
static int put_picture(struct run *run)
{
	struct buffer graph, drawn;
	int err;

	buffer_init(&graph, FILE_MAX);
	buffer_init(&drawn, FILE_MAX);
	plan_print_picture(&run->plan, &graph);
	err = plan_files_put(&run->files, PLAN_PICTURE, TEXT_MODE, &graph, &run->error);
	if (!err) {
		run->no_dot = !draw(&graph, &drawn);
		if (!run->no_dot)
			err = plan_files_put(&run->files, PLAN_PICTURE_DRAWN, TEXT_MODE, &drawn,
			                     &run->error);
	}
	buffer_fini(&graph);
	buffer_fini(&drawn);
	return err;
}

/* --- the whole --- */

static int put_all(struct run *run)
{
	int err = read_old(run);

	if (!err)
		err = find_keys(run);
	if (!err)
		err = plan_allocate(&run->plan, run->old.count ? &run->old : NULL, &run->error);
	if (!err)
		err = put_folders(run);
	if (!err)
		err = put_list(run);
	for (size_t i = 0; i < run->plan.count && !err; i++)
		err = put_host(run, &run->plan.hosts[i]);
	if (!err)
		err = put_picture(run);
	return err ? err : plan_files_commit(&run->files, &run->error);
}

static void print_summary(const struct run *run)
{
	static const struct text_column columns[] = {
		{ "HOST", false }, { "RANGE", false }, { "GATEWAY", false }, { "ENDPOINT", false }
	};
	char range[PREFIX_TEXT_MAX], gateway[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	struct text_table *table = text_table_new(columns, 4);

	for (size_t i = 0; i < run->plan.count && table; i++) {
		const struct plan_host *host = &run->plan.hosts[i];

		prefix_format(&host->range, range);
		plan_format_gateway(host, gateway);
		config_format_endpoint(&host->endpoint, endpoint, sizeof(endpoint));
		text_table_put(table, TEXT_PLAIN, "%s", host->name);
		text_table_put(table, TEXT_PLAIN, "%s", range);
		text_table_put(table, TEXT_PLAIN, "%s", gateway);
		text_table_put(table, TEXT_PLAIN, "%s", endpoint);
	}
	if (table) {
		text_table_fit(table, text_terminal_width(stdout));
		text_table_print(table, stdout, false);
	}
	text_table_free(table);
	printf("%s: %zu file%s written; each host's folder has a SETUP to follow\n",
	       run->files.folder, run->files.written, run->files.written == 1 ? "" : "s");
	for (size_t i = 0; i < run->old.count; i++)
		if (!plan_find(&run->plan, run->old.hosts[i].name))
			printf("%s is not in %s any more; its folder %s/%s is left as it is\n",
			       run->old.hosts[i].name, run->plan.file, run->files.folder,
			       run->old.hosts[i].name);
	if (run->no_dot)
		printf("no picture: " PLAN_PICTURE " is there, but not graphviz's dot, which draws "
		       "it\n");
}

static json_t *make_host(const struct plan_host *host)
{
	char range[PREFIX_TEXT_MAX], gateway[PREFIX_TEXT_MAX], endpoint[CONFIG_HOST_MAX + 16];
	char key[KEY_BASE64_LEN + 1];

	prefix_format(&host->range, range);
	plan_format_gateway(host, gateway);
	config_format_endpoint(&host->endpoint, endpoint, sizeof(endpoint));
	secret_to_base64(key, host->public_key);
	return json_pack("{s:s, s:s, s:s, s:o, s:s, s:b}", "name", host->name, "range", range,
	                 "gateway", gateway, "endpoint", json_memory_text(endpoint), "public_key",
	                 key, "private_key_here", !host->away);
}

static int print_json(const struct run *run)
{
	json_t *hosts = json_array(), *left = json_array(), *object;
	char subnet[PREFIX_TEXT_MAX];
	int status;

	for (size_t i = 0; i < run->plan.count; i++)
		json_array_append_new(hosts, make_host(&run->plan.hosts[i]));
	for (size_t i = 0; i < run->old.count; i++)
		if (!plan_find(&run->plan, run->old.hosts[i].name))
			json_array_append_new(left, json_string(run->old.hosts[i].name));
	prefix_format(&run->plan.subnet, subnet);
	object = json_pack("{s:b, s:i, s:o, s:s, s:o, s:I, s:b, s:o, s:o}", "ok", 1, "version", 1,
	                   "folder", json_memory_text(run->files.folder), "subnet", subnet, "vni",
	                   run->plan.vni ? json_integer(run->plan.vni) : json_null(),
	                   "files_written", (json_int_t)run->files.written, "picture", !run->no_dot,
	                   "hosts", hosts, "left", left);
	status = client_print_json(object);
	json_decref(object);
	return status;
}

int cmd_plan(int argc, char **argv)
{
	struct options options = { .list = NULL };
	struct run run = { .files.fd = -1 };
	int status, err;

	if (!parse_arguments(argc, argv, &options))
		return ovlctl_usage(argv[0]);
	status = read_options(&options, &run.plan);
	if (status)
		return status;
	err = read_list(&run, options.list);
	if (!err)
		err = plan_files_open(&run.files, options.folder ? options.folder : "plan",
		                      &run.error);
	if (!err)
		err = put_all(&run);
	if (err) {
		complaint_say_at("", &run.error);
		status = err == -EINVAL ? OVLCTL_USAGE : OVLCTL_FAILED;
	} else if (options.json) {
		status = print_json(&run);
	} else {
		print_summary(&run);
	}
	plan_files_close(&run.files);
	plan_fini(&run.plan);
	plan_fini(&run.old);
	return status;
}
