/* SPDX-License-Identifier: MIT */
/* peer add, set, remove: until the next reload, which says what it drops. */
#include "ctl/ovlctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/text.h"

/* "172.20.1.0/24,172.20.2.0/24"; "" is none. */
static json_t *split(char *list)
{
	json_t *array = json_array();
	char *next = list;

	while (*list && next) {
		char *item = strsep(&next, ",");

		json_array_append_new(array, json_string(item));
	}
	return array;
}

/* The daemon knows what is allowed; what is no number stays a text, which it refuses. */
static json_t *parse_number(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return *text && !*end ? json_integer(number) : json_string(text);
}

/* "7,42"; "" is none. */
static json_t *split_numbers(char *list)
{
	json_t *array = json_array();
	char *next = list;

	while (*list && next)
		json_array_append_new(array, parse_number(strsep(&next, ",")));
	return array;
}

#define KEY_EXPECTED "expected 44 characters of base64 (32 bytes)"

/* The first word of @file. NULL, or what went wrong. */
static const char *read_key_text(FILE *file, char *text, size_t size)
{
	/* No copy of it in a buffer of stdio's. */
	(void)setvbuf(file, NULL, _IONBF, 0);
	errno = 0;
	if (!fgets(text, (int)size, file))
		text[0] = '\0';
	if (ferror(file))
		return strerror(errno);
	text[strcspn(text, " \t\r\n")] = '\0';
	return NULL;
}

/* From a file, so that no secret stands in the list of processes; "" takes the key away. */
static json_t *read_key(const char *path)
{
	const char *problem = NULL;
	uint8_t key[KEY_SIZE];
	char text[256] = "";
	json_t *item = NULL;
	FILE *file;

	if (!*path)
		return json_string("");
	if (secret_from_base64(key, path, strlen(path))) {
		secret_wipe(key, sizeof(key));
		complaint_say("preshared-key: expected a file (or - for standard input) that holds "
		              "the key, not the key");
		return NULL;
	}
	file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!file) {
		complaint_say("preshared-key: %s: %s", path, strerror(errno));
		return NULL;
	}
	problem = read_key_text(file, text, sizeof(text));
	if (file != stdin)
		fclose(file);
	if (!problem && !secret_from_base64(key, text, strlen(text)))
		problem = *text ? KEY_EXPECTED : "is empty; " KEY_EXPECTED;
	if (problem)
		complaint_say("preshared-key: %s: %s", path, problem);
	else
		item = json_string(text);
	secret_wipe(text, sizeof(text));
	secret_wipe(key, sizeof(key));
	return item;
}

static int fail_unknown(const char *setting)
{
	static const char *const known[] = { "name",      "endpoint",      "allowed-ips",
		                             "keepalive", "preshared-key", "vnis" };
	const char *nearest = text_nearest(setting, known, sizeof(known) / sizeof(known[0]));

	if (nearest)
		complaint_say("unknown setting \"%s\"; did you mean \"%s\"?", setting, nearest);
	else
		complaint_say("unknown setting \"%s\"; see ovlctl help peer", setting);
	return OVLCTL_USAGE;
}

/* KEY VALUE pairs into @request. 0 or an exit status. */
static int parse_settings(int argc, char **argv, json_t *request)
{
	for (int i = 0; i < argc; i += 2) {
		const char *key = argv[i];
		char *value = i + 1 < argc ? argv[i + 1] : NULL;
		json_t *item = NULL;

		if (!value)
			return ovlctl_usage("peer");
		if (strcmp(key, "name") == 0 || strcmp(key, "endpoint") == 0) {
			item = json_string(value);
		} else if (strcmp(key, "allowed-ips") == 0) {
			key = "allowed_ips";
			item = split(value);
		} else if (strcmp(key, "keepalive") == 0 ||
		           strcmp(key, "persistent-keepalive") == 0) {
			key = "keepalive";
			item = parse_number(value);
		} else if (strcmp(key, "vnis") == 0) {
			item = split_numbers(value);
		} else if (strcmp(key, "preshared-key") == 0) {
			key = "preshared_key";
			item = read_key(value);
			if (!item)
				return OVLCTL_USAGE;
		} else {
			return fail_unknown(key);
		}
		if (json_object_set_new(request, key, item)) {
			complaint_say("%s: not UTF-8 text", argv[i]);
			return OVLCTL_USAGE;
		}
	}
	return OVLCTL_OK;
}

int cmd_peer(int argc, char **argv)
{
	json_t *request;
	bool json;
	int status;

	if (argc < 3)
		return ovlctl_usage("peer");
	/* Settings come in pairs: what is left over is none. */
	json = argc % 2 == 0 && strcmp(argv[argc - 1], "--json") == 0;
	argc -= json;
	if (strcmp(argv[1], "add") == 0)
		request = json_pack("{s:s, s:s}", "do", "peer-add", "public_key", argv[2]);
	else if (strcmp(argv[1], "set") == 0 && argc > 3)
		request = json_pack("{s:s, s:s}", "do", "peer-set", "peer", argv[2]);
	else if (strcmp(argv[1], "remove") == 0 && argc == 3)
		request = json_pack("{s:s, s:s}", "do", "peer-remove", "peer", argv[2]);
	else
		return ovlctl_usage("peer");
	status = request ? parse_settings(argc - 3, argv + 3, request) : OVLCTL_OK;
	if (status == OVLCTL_OK)
		return client_do(request, json);
	json_decref(request);
	return status;
}
