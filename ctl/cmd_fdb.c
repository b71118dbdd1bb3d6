/* SPDX-License-Identifier: MIT */
/* fdb list, add, del: which station of a bridged network is where. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/text.h"

static void put_station(struct text_table *table, const json_t *network, const json_t *station)
{
	const char *text = client_text(station, "station"), *mac = client_text(station, "mac");
	const char *at = client_text(station, "at"), *how = client_text(station, "how");
	const json_t *age = json_object_get(station, "age_s");
	bool contested = json_is_true(json_object_get(station, "contested"));
	bool here = json_is_null(json_object_get(station, "public_key"));
	char age_text[TEXT_MAX];

	text_table_put(table, TEXT_BOLD, "%s", text);
	text_table_put(table, TEXT_DIM, "%s", strcmp(text, mac) == 0 ? "-" : mac);
	text_table_put(table,
	               contested ? TEXT_WARN
	               : here    ? TEXT_GOOD
	                         : TEXT_PLAIN,
	               "%s%s", at, contested ? " (contested)" : "");
	text_table_put(table, TEXT_PLAIN, "%s", how);
	if (strcmp(how, "static") == 0 || !json_is_integer(age))
		text_table_put(table, TEXT_DIM, "-");
	else
		text_table_put(table, TEXT_PLAIN, "%s",
		               text_format_age(1, (uint64_t)json_integer_value(age) + 1, age_text));
	text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT, client_number(station, "moves"));
	text_table_put(table, TEXT_PLAIN, "%s", client_text(network, "name"));
}

static int print_stations(const json_t *networks)
{
	static const struct text_column columns[] = {
		{ "STATION", false }, { "MAC", false },  { "AT", false },      { "HOW", false },
		{ "AGE", false },     { "MOVES", true }, { "NETWORK", false },
	};
	struct text_table *table = text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	size_t i, j, count = 0;
	json_t *network, *station;
	int ret = 0;

	json_array_foreach (networks, i, network) {
		json_array_foreach (json_object_get(network, "stations"), j, station) {
			put_station(table, network, station);
			count++;
		}
	}
	if (count)
		ret = text_table_print(table, stdout, text_use_color(stdout));
	else
		puts(json_array_size(networks) ? "no stations" : "no bridged networks");
	text_table_free(table);
	return ret ? OVLCTL_FAILED : OVLCTL_OK;
}

/* @network: NULL for all. */
static int list(const char *network, bool json)
{
	json_t *request = json_pack("{s:s}", "do", "fdb-list"), *reply;
	int status;

	if (network && json_object_set_new(request, "network", json_string(network))) {
		json_decref(request);
		complaint_say("the network's name is not UTF-8 text");
		return OVLCTL_USAGE;
	}
	status = client_call(request, &reply);
	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(json_object_get(reply, "networks"));
	} else {
		status = print_stations(json_object_get(reply, "networks"));
	}
	json_decref(reply);
	return status;
}

/* [NETWORK] [--json] */
static int parse_list(int argc, char **argv)
{
	const char *network = NULL;
	bool json = false;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (argv[i][0] != '-' && !network)
			network = argv[i];
		else
			return ovlctl_usage("fdb");
	}
	return list(network, json);
}

int cmd_fdb(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "list";
	bool json = argc > 2 && strcmp(argv[argc - 1], "--json") == 0;

	if (strcmp(verb, "list") == 0)
		return parse_list(argc > 2 ? argc - 2 : 0, argv + 2);
	argc -= json;
	if (strcmp(verb, "add") == 0 && argc == 5)
		return client_do(json_pack("{s:s, s:s, s:s, s:s}", "do", "fdb-add", "network",
		                           argv[2], "station", argv[3], "at", argv[4]),
		                 json);
	if (strcmp(verb, "add") == 0 && argc == 6)
		return client_do(json_pack("{s:s, s:s, s:s, s:s, s:s}", "do", "fdb-add", "network",
		                           argv[2], "station", argv[3], "mac", argv[4], "at",
		                           argv[5]),
		                 json);
	if (strcmp(verb, "del") == 0 && argc == 4)
		return client_do(json_pack("{s:s, s:s, s:s}", "do", "fdb-del", "network", argv[2],
		                           "station", argv[3]),
		                 json);
	return ovlctl_usage("fdb");
}
