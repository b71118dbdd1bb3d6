/* SPDX-License-Identifier: MIT */
/* invite: a token for one more host; and which ones there are. */
#include "ctl/ovlctl.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/config.h"
#include "ctl/invite.h"
#include "ctl/text.h"
#include "ctl/token.h"
#include "dataplane/endpoint.h"

#define LIFE_DEFAULT_S 3600

struct options {
	const char *range;
	const char *endpoints[TOKEN_ENDPOINTS_MAX];
	unsigned int endpoint_count;
	json_int_t bits; /* 0: not said */
	json_int_t expires_s;
	bool json;
};

/* "90", "90s", "15m", "2h", "1d". 0: none of that. */
static json_int_t parse_duration(const char *text)
{
	static const struct {
		char unit;
		long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 24 * 3600 } };
	char *end;
	long value = strtol(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || value > 100000000)
		return 0;
	if (!*end)
		return value;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (*end == units[i].unit && !end[1])
			return value * units[i].seconds;
	return 0;
}

static int fail(const char *option, const char *value, const char *expected)
{
	complaint_say("%s \"%s\": expected %s", option, value, expected);
	return OVLCTL_USAGE;
}

static int take_option(struct options *options, const char *name, const char *value)
{
	if (strcmp(name, "--endpoint") == 0) {
		if (options->endpoint_count == TOKEN_ENDPOINTS_MAX)
			return fail(name, value, "four at the most");
		options->endpoints[options->endpoint_count++] = value;
		return OVLCTL_OK;
	}
	if (strcmp(name, "--prefix") == 0) {
		char *end;

		options->bits = strtol(value, &end, 10);
		return options->bits > 0 && !*end
		               ? OVLCTL_OK
		               : fail(name, value, "a length in bits, such as 24");
	}
	if (strcmp(name, "--expires") == 0) {
		options->expires_s = parse_duration(value);
		if (options->expires_s > 0 && options->expires_s <= INVITE_LIFE_MAX_S)
			return OVLCTL_OK;
		return fail(name, value, "a time such as 15m, 2h or 1d, of 30 days at most");
	}
	return ovlctl_usage("invite");
}

static int parse_options(int argc, char **argv, struct options *options)
{
	int status = OVLCTL_OK;

	for (int i = 1; i < argc && status == OVLCTL_OK; i++) {
		if (strcmp(argv[i], "--json") == 0)
			options->json = true;
		else if (argv[i][0] == '-' && i + 1 < argc)
			status = take_option(options, argv[i], argv[i + 1]), i++;
		else if (argv[i][0] != '-' && !options->range)
			options->range = argv[i];
		else
			return ovlctl_usage("invite");
	}
	return status == OVLCTL_OK && !options->range ? ovlctl_usage("invite") : status;
}

/* --- endpoints --- */

/* The address from which this host goes to the rest of the world; nothing is sent. */
static bool guess_address(const char *towards, struct endpoint *out)
{
	struct endpoint far = { .source_ifindex = 0 };
	socklen_t len = sizeof(out->remote);
	bool known = false;
	int fd;

	memset(out, 0, sizeof(*out));
	if (endpoint_parse(&far, towards))
		return false;
	fd = socket(far.remote.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, &far.remote.sa,
	            far.remote.sa.sa_family == AF_INET ? sizeof(far.remote.in)
	                                               : sizeof(far.remote.in6)) == 0)
		known = getsockname(fd, &out->remote.sa, &len) == 0;
	close(fd);
	return known;
}

static int ask_port(uint16_t *port)
{
	json_t *reply;
	int status = client_call(json_pack("{s:s}", "do", "invite-list"), &reply);

	if (status != OVLCTL_OK)
		return status;
	*port = (uint16_t)client_number(reply, "listen_port");
	json_decref(reply);
	return status;
}

/*
 * What was said, with the daemon's port where it has none; without a word, a guess. NULL: it was
 * said why not, and *@status is what to leave with.
 */
static json_t *list_endpoints(const struct options *options, int *status)
{
	static const char *const far[] = { "192.0.2.1:9", "[2001:db8::1]:9" };
	struct config_endpoint parsed;
	json_t *list = json_array(), *item;
	struct endpoint address;
	char text[ENDPOINT_TEXT_MAX];
	uint16_t port;

	*status = ask_port(&port);
	if (*status != OVLCTL_OK) {
		json_decref(list);
		return NULL;
	}
	*status = OVLCTL_FAILED;
	for (unsigned int i = 0; i < options->endpoint_count; i++) {
		const char *given = options->endpoints[i];

		item = config_parse_endpoint(&parsed, given) ? json_string(given)
		       : strchr(given, ':') != strrchr(given, ':')
		               ? json_sprintf("[%s]:%u", given, port)
		               : json_sprintf("%s:%u", given, port);
		/* What was typed is told, not what was made of it. */
		if (!item || !config_parse_endpoint(&parsed, json_string_value(item))) {
			*status = fail("--endpoint", given,
			               "ADDRESS, ADDRESS:PORT, [IPV6]:PORT or NAME:PORT of this "
			               "host");
			json_decref(item);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, item);
	}
	for (size_t i = 0; i < 2 && !json_array_size(list); i++) {
		if (!guess_address(far[i], &address))
			continue;
		if (address.remote.sa.sa_family == AF_INET)
			address.remote.in.sin_port = htons(port);
		else
			address.remote.in6.sin6_port = htons(port);
		endpoint_format(&address, text);
		json_array_append_new(list, json_string(text));
	}
	if (json_array_size(list))
		return list;
	complaint_say("there is no route from which this host's address could be guessed; say "
	              "where it is reached: --endpoint ADDRESS");
	json_decref(list);
	return NULL;
}

/* --- what there is --- */

static void print_time(json_int_t unix_s, char out[TEXT_MAX])
{
	time_t at = (time_t)unix_s;
	struct tm parts;

	if (!localtime_r(&at, &parts) || !strftime(out, TEXT_MAX, "%F %T %z", &parts))
		out[0] = '\0';
}

static void print_invitations(const json_t *list)
{
	static const struct text_column columns[] = { { "INVITATION", false },
		                                      { "RANGE", false },
		                                      { "STATE", false },
		                                      { "EXPIRES", false } };
	struct text_table *table = text_table_new(columns, 4);
	char expires[TEXT_MAX];
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item) {
		if (!table)
			break;
		print_time(client_number(item, "expires"), expires);
		text_table_put(table, TEXT_PLAIN, "%s", client_text(item, "id"));
		text_table_put(table, TEXT_PLAIN, "%s", client_text(item, "range"));
		text_table_put(table, TEXT_PLAIN, "%s", client_text(item, "state"));
		text_table_put(table, TEXT_PLAIN, "%s", expires);
	}
	if (table) {
		text_table_fit(table, text_terminal_width(stdout));
		text_table_print(table, stdout, false);
	}
	text_table_free(table);
}

static void print_introduced(const json_t *list)
{
	const json_t *item, *untold, *name;
	size_t i, j;

	json_array_foreach (list, i, item) {
		const char *who = client_text(item, "name");

		printf("%s %s, %s%s", *who ? who : client_text(item, "public_key"),
		       client_text(item, "range"),
		       json_is_null(json_object_get(item, "by")) ? "joined here"
		                                                 : "introduced to us",
		       json_is_true(json_object_get(item, "in_force")) ? "" : ", not in force");
		untold = json_object_get(item, "untold");
		json_array_foreach (untold, j, name)
			printf("%s %s", j ? "," : "; not heard of by", json_string_value(name));
		putchar('\n');
	}
}

static int list(bool json)
{
	json_t *reply;
	int status = client_call(json_pack("{s:s}", "do", "invite-list"), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(reply);
	} else {
		const char *unkept = client_text(reply, "unkept");

		if (json_array_size(json_object_get(reply, "invitations")))
			print_invitations(json_object_get(reply, "invitations"));
		else
			puts("no invitation is open");
		print_introduced(json_object_get(reply, "introduced"));
		if (*unkept)
			printf("not kept on the disk: %s\n", unkept);
	}
	json_decref(reply);
	return status;
}

int cmd_invite(int argc, char **argv)
{
	struct options options = { .expires_s = LIFE_DEFAULT_S };
	char expires[TEXT_MAX];
	json_t *reply, *endpoints, *request;
	int status;

	if (argc > 1 && strcmp(argv[1], "list") == 0) {
		if (argc > 3 || (argc == 3 && strcmp(argv[2], "--json") != 0))
			return ovlctl_usage("invite");
		return list(argc == 3);
	}
	status = parse_options(argc, argv, &options);
	if (status != OVLCTL_OK)
		return status;
	endpoints = list_endpoints(&options, &status);
	if (!endpoints)
		return status;
	request = json_pack("{s:s, s:s, s:o, s:I}", "do", "invite", "range", options.range,
	                    "endpoints", endpoints, "expires_s", options.expires_s);
	if (request && options.bits)
		json_object_set_new(request, "bits", json_integer(options.bits));
	status = client_call(request, &reply);
	if (status != OVLCTL_OK)
		return status;
	if (options.json) {
		status = client_print_json(reply);
	} else {
		print_time(client_number(reply, "expires"), expires);
		puts(client_text(reply, "token"));
		fprintf(stderr,
		        "%s: for one host, once, until %s. There: ovlctl join TOKEN\n"
		        "Who has the token can join in its place: bring it there as you would a "
		        "password.\n",
		        client_text(reply, "id"), expires);
	}
	json_decref(reply);
	return status;
}
