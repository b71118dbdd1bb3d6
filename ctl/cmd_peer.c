/* SPDX-License-Identifier: MIT */
/* peer add, set, remove: until the next reload, which says what it drops. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"
#include "ctl/client.h"

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

/* From a file, so that no secret stands in the list of processes; "" takes the key away. */
static json_t *read_key(const char *path)
{
	char text[256] = "";
	FILE *file;

	if (!*path)
		return json_string("");
	file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	if (!file) {
		fprintf(stderr, "ovlctl: cannot read %s\n", path);
		return NULL;
	}
	/* No copy of it in a buffer of stdio's. */
	(void)setvbuf(file, NULL, _IONBF, 0);
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	if (file != stdin)
		fclose(file);
	text[strcspn(text, "\r\n")] = '\0';
	if (!*text)
		fprintf(stderr, "ovlctl: %s holds no key\n", path);
	json_t *key = *text ? json_string(text) : NULL;

	secret_wipe(text, sizeof(text));
	return key;
}

static json_t *parse_keepalive(const char *text)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	/* The daemon knows what is allowed; here it is a number or a word. */
	return *text && !*end ? json_integer(seconds) : json_string(text);
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
			item = parse_keepalive(value);
		} else if (strcmp(key, "preshared-key") == 0) {
			key = "preshared_key";
			item = read_key(value);
			if (!item)
				return OVLCTL_USAGE;
		} else {
			fprintf(stderr, "ovlctl: unknown setting \"%s\"\n", key);
			return ovlctl_usage("peer");
		}
		if (json_object_set_new(request, key, item)) {
			fprintf(stderr, "ovlctl: %s: not UTF-8 text\n", argv[i]);
			return OVLCTL_USAGE;
		}
	}
	return OVLCTL_OK;
}

int cmd_peer(int argc, char **argv)
{
	json_t *request;
	int status;

	if (argc < 3)
		return ovlctl_usage("peer");
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
		return client_do(request);
	json_decref(request);
	return status;
}
