/* SPDX-License-Identifier: MIT */
#include "ctl/doctor_iptables.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ctl/buffer.h"
#include "ctl/client.h"

#define OUTPUT_MAX  ((size_t)64 << 20)
#define PIECE       16384
#define PATIENCE_MS 5000 /* with a tool that says nothing */
#define NAME_SIZE   64

/* One rule on its way from words to JSON. */
struct rule {
	json_t *expressions;
	const char *protocol;
	bool negated;
};

static void add_match(struct rule *rule, json_t *left, json_t *right)
{
	json_array_append_new(rule->expressions,
	                      json_pack("{s:{s:s, s:o, s:o}}", "match", "op",
	                                rule->negated ? "!=" : "==", "left", left, "right", right));
	rule->negated = false;
}

static void add_unknown(struct rule *rule, const char *name)
{
	json_array_append_new(rule->expressions,
	                      json_pack("{s:{s:s, s:s}}", "xt", "type", "match", "name", name));
	rule->negated = false;
}

static json_t *prefix_of(const char *text)
{
	const char *slash = strchr(text, '/');

	if (!slash)
		return json_string(text);
	return json_pack("{s:{s:s%, s:i}}", "prefix", "addr", text, (size_t)(slash - text), "len",
	                 atoi(slash + 1));
}

static json_t *port_of(const char *text)
{
	const char *colon = strchr(text, ':');

	if (!colon)
		return json_integer(atoi(text));
	return json_pack("{s:[i, i]}", "range", atoi(text), atoi(colon + 1));
}

/* "RELATED,ESTABLISHED" */
static json_t *states_of(char *text)
{
	json_t *states = json_array();
	char *rest;

	for (char *c = text; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (char *word = strtok_r(text, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
		json_array_append_new(states, json_string(word));
	return states;
}

/* "eth+" is nft's "eth*". */
static json_t *device_of(char *text)
{
	size_t len = strlen(text);

	if (len && text[len - 1] == '+')
		text[len - 1] = '*';
	return json_string(text);
}

static json_t *meta(const char *key)
{
	return json_pack("{s:{s:s}}", "meta", "key", key);
}

static json_t *payload(const char *protocol, const char *field)
{
	return json_pack("{s:{s:s, s:s}}", "payload", "protocol", protocol, "field", field);
}

static void add_target(struct rule *rule, const char *target, bool goes)
{
	static const struct {
		const char *theirs, *ours;
	} verdicts[] = { { "ACCEPT", "accept" },         { "DROP", "drop" },
		         { "REJECT", "reject" },         { "RETURN", "return" },
		         { "MASQUERADE", "masquerade" }, { "SNAT", "snat" } };

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
		if (strcmp(verdicts[i].theirs, target) != 0)
			continue;
		json_array_append_new(rule->expressions, json_pack("{s:n}", verdicts[i].ours));
		return;
	}
	json_array_append_new(rule->expressions,
	                      json_pack("{s:{s:s}}", goes ? "goto" : "jump", "target", target));
}

/* One option with its value. False: not one that is known to have a value. */
static bool add_option(struct rule *rule, const char *family, const char *option, char *value)
{
	if (strcmp(option, "-p") == 0) {
		rule->protocol = value;
		add_match(rule, meta("l4proto"), json_string(value));
	} else if (strcmp(option, "-i") == 0) {
		add_match(rule, meta("iifname"), device_of(value));
	} else if (strcmp(option, "-o") == 0) {
		add_match(rule, meta("oifname"), device_of(value));
	} else if (strcmp(option, "-s") == 0) {
		add_match(rule, payload(family, "saddr"), prefix_of(value));
	} else if (strcmp(option, "-d") == 0) {
		add_match(rule, payload(family, "daddr"), prefix_of(value));
	} else if (strcmp(option, "--dport") == 0) {
		add_match(rule, payload(rule->protocol, "dport"), port_of(value));
	} else if (strcmp(option, "--ctstate") == 0 || strcmp(option, "--state") == 0) {
		add_match(rule, json_pack("{s:{s:s}}", "ct", "key", "state"), states_of(value));
	} else if (strcmp(option, "-j") == 0 || strcmp(option, "-g") == 0) {
		add_target(rule, value, option[1] == 'g');
	} else {
		return false;
	}
	return true;
}

/* The next word, or NULL; what stands in quotes is one, and keeps them. */
static char *next_word(char **rest)
{
	char *word = *rest + strspn(*rest, " "), *end = word;
	const char last = *word == '"' ? '"' : ' ';

	if (!*word)
		return NULL;
	for (end++; *end && *end != last; end++)
		end += *end == '\\' && end[1];
	end += *end == '"';
	*rest = end + (*end != '\0');
	*end = '\0';
	return word;
}

/* The words after "-A CHAIN". */
static json_t *parse_rule(const char *family, char *words)
{
	struct rule rule = { json_array(), "udp", false };
	bool targeted = false;
	char *word;

	while ((word = next_word(&words)) != NULL) {
		char *value;

		if (strcmp(word, "!") == 0) {
			rule.negated = true;
			continue;
		}
		if (word[0] != '-' || targeted)
			continue; /* the value of an option that is not known; a target's */
		if (strcmp(word, "-m") == 0 || strcmp(word, "--comment") == 0) {
			(void)next_word(&words);
			continue;
		}
		targeted = strcmp(word, "-j") == 0 || strcmp(word, "-g") == 0;
		value = word[1] != '-' || strstr(word, "port") || strstr(word, "state")
		                ? next_word(&words)
		                : NULL;
		if (!value || !add_option(&rule, family, word, value))
			add_unknown(&rule, word);
	}
	return rule.expressions;
}

static void add_chain(json_t *rules, const char *tool, const char *family, const char *table,
                      char *words)
{
	char *rest, *name = strtok_r(words, " ", &rest);
	char *policy = name ? strtok_r(NULL, " ", &rest) : NULL;
	char hook[32];

	if (!name)
		return;
	(void)snprintf(hook, sizeof(hook), "%s", name);
	for (char *c = hook; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	json_t *chain = json_pack("{s:s, s:s, s:s, s:s}", "family", family, "table", table, "name",
	                          name, "tool", tool);

	if (policy) {
		json_object_set_new(chain, "hook", json_string(hook));
		json_object_set_new(chain, "type",
		                    json_string(strcmp(table, "nat") == 0 ? "nat" : "filter"));
		json_object_set_new(chain, "policy",
		                    json_string(strcmp(policy, "DROP") == 0 ? "drop" : "accept"));
	}
	json_array_append_new(rules, json_pack("{s:o}", "chain", chain));
}

void iptables_parse(json_t *rules, const char *tool, const char *family, const char *table,
                    char *text)
{
	json_int_t number = 0;
	char *rest;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *words = line + 3, *chain;
		json_t *said;

		if (strncmp(line, "-P ", 3) == 0 || strncmp(line, "-N ", 3) == 0) {
			add_chain(rules, tool, family, table, line + 3);
			continue;
		}
		if (strncmp(line, "-A ", 3) != 0)
			continue;
		chain = next_word(&words);
		if (!chain)
			continue;
		said = json_string(words); /* before it is cut; NULL: not UTF-8 */
		json_array_append_new(rules, json_pack("{s:{s:s, s:s, s:s, s:I, s:o, s:o}}", "rule",
		                                       "family", family, "table", table, "chain",
		                                       chain, "handle", ++number, "text",
		                                       said ? said : json_string("?"), "expr",
		                                       parse_rule(family, words)));
	}
}

/* --- asking the tool --- */

static bool read_all(int fd, struct buffer *out)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t n;

	do {
		if (!buffer_reserve(out, PIECE) || poll(&wait, 1, PATIENCE_MS) == 0)
			return false;
		n = read(fd, out->data + out->len, PIECE - 1);
		if (n > 0)
			out->len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0;
}

static const char *const folders[] = { "/usr/sbin", "/usr/bin", "/sbin", "/bin" };

/* In English, and found where the administrator's tools are, whoever asks. */
static pid_t spawn(const char *const argv[], int out)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", lang[] = "LC_ALL=C";
	char *environment[] = { path, lang, NULL }, file[NAME_SIZE];
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;

	if (posix_spawn_file_actions_init(&actions))
		return -1;
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, out, 1);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	for (size_t i = 0; pid < 0 && i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", folders[i], argv[0]);
		/* posix_spawn() changes nothing of its argv, whose type says it might. */
		if (posix_spawn(&pid, file, &actions, NULL, (char *const *)(uintptr_t)argv,
		                environment))
			pid = -1;
	}
	posix_spawn_file_actions_destroy(&actions);
	return pid;
}

/* Its standard output, to be freed; NULL: it is not installed, or failed, or hangs. */
static char *run(const char *const argv[])
{
	struct buffer out;
	char *text = NULL;
	int ends[2], status = -1;
	bool whole;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return NULL;
	pid_t pid = spawn(argv, ends[1]);

	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return NULL;
	}
	buffer_init(&out, OUTPUT_MAX);
	whole = read_all(ends[0], &out);
	close(ends[0]);
	if (!whole)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (whole && status == 0)
		text = strndup(out.data, out.len);
	buffer_fini(&out);
	return text;
}

/* --- whose tables there are --- */

static const struct kind {
	const char *family, *tool, *older_tables;
} kinds[] = {
	{ "ip", "iptables", "/proc/net/ip_tables_names" },
	{ "ip6", "ip6tables", "/proc/net/ip6_tables_names" },
};

#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

/* Where both names are one program, the shorter is what people type. */
static const char *find_tool(const struct kind *kind, const char *variant, char out[NAME_SIZE])
{
	char file[NAME_SIZE + 16], usual[PATH_MAX], special[PATH_MAX];

	(void)snprintf(out, NAME_SIZE, "%s-%s", kind->tool, variant);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", folders[i], out);
		if (!realpath(file, special))
			continue;
		(void)snprintf(file, sizeof(file), "%s/%s", folders[i], kind->tool);
		return realpath(file, usual) && strcmp(usual, special) == 0 ? kind->tool : out;
	}
	return kind->tool;
}

static bool is_of(const json_t *item, const char *family, const char *table)
{
	const json_t *object = json_object_get(item, "chain");

	if (!object)
		object = json_object_get(item, "rule");
	return object && strcmp(client_text(object, "family"), family) == 0 &&
	       strcmp(client_text(object, "table"), table) == 0;
}

static bool ask_tool(json_t *rules, const struct kind *kind, const char *tool, const char *table)
{
	const char *argv[] = { tool, "-w", "2", "-t", table, "-S", NULL };
	char *text = run(argv);

	if (text)
		iptables_parse(rules, tool, kind->family, table, text);
	free(text);
	return text != NULL;
}

/* The newer iptables makes nft's tables, and calls a hook's chain after it, in capitals. */
static bool has_newer(const json_t *rules, const char *family, const char *table)
{
	json_t *item;
	size_t i;

	json_array_foreach (rules, i, item) {
		const json_t *chain = json_object_get(item, "chain");
		const char *name = client_text(chain, "name");

		if (chain && is_of(item, family, table) && *client_text(chain, "hook") &&
		    strcasecmp(name, client_text(chain, "hook")) == 0 &&
		    isupper((unsigned char)name[0]))
			return true;
	}
	return false;
}

static void replace(json_t *rules, const char *family, const char *table, json_t *by)
{
	for (size_t i = json_array_size(rules); i-- > 0;)
		if (is_of(json_array_get(rules, i), family, table))
			json_array_remove(rules, i);
	json_array_extend(rules, by);
}

static bool merge_newer(json_t *rules, const struct kind *kind, bool blind)
{
	static const char *const tables[] = { "raw", "mangle", "nat", "filter" };
	char tool[NAME_SIZE];
	bool any = false;

	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (!blind && !has_newer(rules, kind->family, tables[i]))
			continue;
		json_t *told = json_array();

		if (ask_tool(told, kind, find_tool(kind, "nft", tool), tables[i])) {
			replace(rules, kind->family, tables[i], told);
			any = true;
		}
		json_decref(told);
	}
	return any;
}

/* Asks for those tables alone that are there: asking for one makes it. */
static bool merge_older(json_t *rules, const struct kind *kind)
{
	FILE *file = fopen(kind->older_tables, "re");
	char line[NAME_SIZE], tool[NAME_SIZE];
	bool any = false;

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		any |= ask_tool(rules, kind, find_tool(kind, "legacy", tool), line);
	}
	if (file)
		(void)fclose(file);
	return any;
}

/* Without nft: not where the tool might be the older one, and make what it is asked for. */
static bool may_ask_blindly(const struct kind *kind)
{
	FILE *file = fopen(kind->older_tables, "re");
	bool older = file && fgetc(file) != EOF;

	if (file)
		(void)fclose(file);
	return !older;
}

bool iptables_merge(json_t *rules, bool blind)
{
	bool any = false;

	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (!blind || may_ask_blindly(&kinds[i]))
			any |= merge_newer(rules, &kinds[i], blind);
		any |= merge_older(rules, &kinds[i]);
	}
	return any;
}
