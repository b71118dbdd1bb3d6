/* SPDX-License-Identifier: MIT */
/* show, show drops, show neigh: what the daemon does, and what the host's links say to it. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/host.h"
#include "ctl/text.h"

#define SILENT_S       180 /* a session is that old at the most: who is older is silent */
#define LOSS_WARN      0.01
#define PREFIXES_SHOWN 3
#define KEY_SHOWN      10 /* characters of a key that stand for a peer without a name */

/* A line for people, on whatever terminal they have. */
static void print_words(enum text_style style, bool color, const char *text)
{
	text_print_words(stdout, text_terminal_width(stdout), 2, style, color, text);
}

static int print_table(struct text_table *table, bool color)
{
	text_table_fit(table, text_terminal_width(stdout));
	return text_table_print(table, stdout, color);
}

static void print_device(const json_t *device, bool color)
{
	const char *key = client_text(device, "public_key"), *io = client_text(device, "io");
	char up[TEXT_MAX], mark[TEXT_MAX] = "", workers[TEXT_MAX] = "", line[512];

	text_print(stdout, color, TEXT_BOLD, "%s", client_text(device, "name"));
	printf("  public key %s\n", *key ? key : "(none)");
	if (client_number(device, "fwmark") > 0)
		(void)snprintf(mark, sizeof(mark), ", fwmark 0x%llx",
		               (unsigned long long)client_number(device, "fwmark"));
	if (client_number(device, "workers") > 1)
		(void)snprintf(workers, sizeof(workers), ", %" JSON_INTEGER_FORMAT " workers",
		               client_number(device, "workers"));
	(void)snprintf(line, sizeof(line),
	               "  UDP port %" JSON_INTEGER_FORMAT "%s, %s%s, AEAD %s, up %s",
	               client_number(device, "listen_port"), mark, io, workers,
	               client_text(device, "aead"),
	               text_format_duration((uint64_t)client_number(device, "uptime_s"), up));
	print_words(TEXT_PLAIN, false, line);
}

/* "172.20.0.0/16, fd00::/64 and 5 more" */
static const char *list_texts(const json_t *array, char *out, size_t size)
{
	size_t count = json_array_size(array), used = 0;

	(void)snprintf(out, size, "%s", count ? "" : "-");
	for (size_t i = 0; i < count && used < size; i++) {
		int n;

		if (i == PREFIXES_SHOWN && count > PREFIXES_SHOWN + 1) {
			(void)snprintf(out + used, size - used, " and %zu more", count - i);
			break;
		}
		n = snprintf(out + used, size - used, "%s%s", i ? ", " : "",
		             json_string_value(json_array_get(array, i)));
		used += n > 0 ? (size_t)n : 0;
	}
	return out;
}

static void put_traffic(struct text_table *table, const json_t *object, const char *bytes)
{
	char text[TEXT_MAX];

	text_table_put(table, TEXT_PLAIN, "%s",
	               text_format_bytes((uint64_t)client_number(object, bytes), text));
}

/* What the host's own links say, where it differs from what the daemon believes. */
static const char *host_problem(struct host *host, const json_t *network, char *out, size_t size)
{
	const char *bridge = client_text(network, "bridge"), *tap = client_text(network, "tap");
	struct host_link bridge_link, tap_link;

	if (!json_is_true(json_object_get(network, "attached")))
		return NULL;
	/* Not even the bridge: this tool runs in another network namespace than the daemon. */
	if (!host_find_link(host, bridge, &bridge_link) || !host_find_link(host, tap, &tap_link))
		return NULL;
	if (!bridge_link.up)
		(void)snprintf(out, size, "the bridge %s is down", bridge);
	else if (!tap_link.up)
		(void)snprintf(out, size, "the TAP %s is down", tap);
	else if (strcmp(tap_link.master, bridge) != 0)
		(void)snprintf(out, size, "the TAP %s is no port of the bridge %s", tap, bridge);
	else
		return NULL;
	return out;
}

static void print_network_problems(const json_t *networks, struct host *host, bool color)
{
	char text[256], line[512];
	size_t i;
	json_t *network;

	json_array_foreach (networks, i, network) {
		const char *problem = client_text(network, "problem");

		if (!*problem)
			problem = host_problem(host, network, text, sizeof(text));
		if (!problem)
			continue;
		(void)snprintf(line, sizeof(line), "network %s: %s", client_text(network, "name"),
		               problem);
		print_words(TEXT_WARN, color, line);
	}
}

/* "2", or "1 of 2" while not all of them have said that they carry the network. */
static void put_members(struct text_table *table, const json_t *network)
{
	json_int_t members = client_number(network, "members");
	json_int_t ready = client_number(network, "members_ready");

	if (ready == members)
		text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT, members);
	else
		text_table_put(table, TEXT_WARN,
		               "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT, ready, members);
}

static void put_routed(struct text_table *table, const json_t *network)
{
	const json_t *ranges = json_object_get(network, "ranges");
	char text[256];

	text_table_put(table, TEXT_PLAIN, "%s",
	               list_texts(json_object_get(network, "subnets"), text, sizeof(text)));
	if (json_array_size(ranges) > 0)
		text_table_put(table, TEXT_PLAIN, "%s", list_texts(ranges, text, sizeof(text)));
	else
		text_table_put(table, TEXT_DIM, "no peer's");
}

static void put_bridged(struct text_table *table, const json_t *network)
{
	static const char *const numbers[] = { "stations", "stations_here", "flooded",
		                               "suppressed" };

	text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT, client_number(network, "vni"));
	put_members(table, network);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT,
		               client_number(network, numbers[i]));
}

/* The networks of a mode: a table of their own, with what is the mode's own in its middle. */
struct mode {
	const char *name;
	const struct text_column *columns;
	size_t column_count;
	void (*put)(struct text_table *table, const json_t *network);
};

static const struct text_column routed_columns[] = {
	{ "NETWORK", false },      { "BRIDGE", false },         { "STATE", false },
	{ "MTU", true },           { "SUBNET", false },         { "RANGE", false },
	{ "TO CONTAINERS", true }, { "FROM CONTAINERS", true },
};
static const struct text_column bridged_columns[] = {
	{ "NETWORK", false },   { "BRIDGE", false },       { "STATE", false },
	{ "MTU", true },        { "VNI", true },           { "MEMBERS", true },
	{ "STATIONS", true },   { "HERE", true },          { "FLOODED", true },
	{ "SUPPRESSED", true }, { "TO CONTAINERS", true }, { "FROM CONTAINERS", true },
};
static const struct mode modes[] = {
	{ "routed", routed_columns, sizeof(routed_columns) / sizeof(routed_columns[0]),
	  put_routed },
	{ "bridged", bridged_columns, sizeof(bridged_columns) / sizeof(bridged_columns[0]),
	  put_bridged },
};

static void put_network(struct text_table *table, const struct mode *mode, const json_t *network)
{
	bool attached = json_is_true(json_object_get(network, "attached"));
	json_int_t mtu = client_number(network, "mtu");

	text_table_put(table, TEXT_BOLD, "%s", client_text(network, "name"));
	text_table_put(table, TEXT_PLAIN, "%s", client_text(network, "bridge"));
	text_table_put(table, attached ? TEXT_GOOD : TEXT_BAD, "%s",
	               attached ? "attached" : "waiting");
	if (mtu)
		text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT, mtu);
	else
		text_table_put(table, TEXT_PLAIN, "auto");
	mode->put(table, network);
	put_traffic(table, network, "rx_bytes");
	put_traffic(table, network, "tx_bytes");
}

static int print_networks_of(const struct mode *mode, const json_t *networks, bool color)
{
	struct text_table *table = text_table_new(mode->columns, mode->column_count);
	bool any = false;
	int ret = 0;
	size_t i;
	json_t *network;

	json_array_foreach (networks, i, network) {
		if (strcmp(client_text(network, "mode"), mode->name) != 0)
			continue;
		any = true;
		put_network(table, mode, network);
	}
	if (any) {
		putchar('\n');
		ret = print_table(table, color);
	}
	text_table_free(table);
	return ret;
}

static int print_networks(const json_t *networks, bool color)
{
	struct host *host = host_open();
	int ret = 0;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		ret |= print_networks_of(&modes[i], networks, color);
	print_network_problems(networks, host, color);
	host_close(host);
	return ret;
}

static void put_handshake(struct text_table *table, const json_t *peer)
{
	const json_t *age = json_object_get(peer, "latest_handshake_age_s");
	json_int_t seconds = json_integer_value(age);
	char text[TEXT_MAX];

	if (!json_is_integer(age)) {
		text_table_put(table, TEXT_DIM, "never");
		return;
	}
	text_table_put(table, seconds <= SILENT_S ? TEXT_GOOD : TEXT_WARN, "%s",
	               /* The text takes times, not ages. */
	               text_format_age(1, (uint64_t)seconds + 1, text));
}

static void put_loss(struct text_table *table, const json_t *peer)
{
	const json_t *loss = json_object_get(peer, "loss");
	double share = json_real_value(loss);
	char text[TEXT_MAX];

	if (!json_is_real(loss)) {
		text_table_put(table, TEXT_DIM, "-");
		return;
	}
	text_table_put(table, share < LOSS_WARN ? TEXT_PLAIN : TEXT_WARN, "%s",
	               text_format_share((uint64_t)(share * 1e6 + 0.5), 1000000, text));
}

static void put_round_trip(struct text_table *table, const json_t *peer)
{
	const json_t *seconds = json_object_get(peer, "round_trip_s");

	if (json_is_real(seconds))
		text_table_put(table, TEXT_PLAIN, "%.2f ms", json_real_value(seconds) * 1e3);
	else
		text_table_put(table, TEXT_DIM, "-");
}

static void put_peer_name(struct text_table *table, const json_t *peer)
{
	const char *name = client_text(peer, "name");

	if (*name)
		text_table_put(table, TEXT_BOLD, "%s", name);
	else
		text_table_put(table, TEXT_BOLD, "%.*s…", KEY_SHOWN,
		               client_text(peer, "public_key"));
}

static void put_endpoint(struct text_table *table, const json_t *peer)
{
	const char *endpoint = client_text(peer, "endpoint");
	const char *name = client_text(peer, "endpoint_name");

	if (*endpoint)
		text_table_put(table, TEXT_PLAIN, "%s", endpoint);
	else if (*name)
		text_table_put(table, TEXT_WARN, "%s (no address yet)", name);
	else
		text_table_put(table, TEXT_DIM, "-");
}

/* What it said of itself: "VNI 7, 42; MTU 1420". */
static void put_hello(struct text_table *table, const json_t *peer)
{
	const json_t *hello = json_object_get(peer, "hello"), *vnis;
	char text[256];
	size_t used = 0;

	if (!json_is_object(hello)) {
		text_table_put(table, TEXT_DIM, "-");
		return;
	}
	vnis = json_object_get(hello, "vnis");
	text[0] = '\0';
	for (size_t i = 0; i < json_array_size(vnis) && used < sizeof(text); i++) {
		int n = snprintf(text + used, sizeof(text) - used, "%s%" JSON_INTEGER_FORMAT,
		                 i ? ", " : "VNI ", json_integer_value(json_array_get(vnis, i)));

		used += n > 0 ? (size_t)n : 0;
	}
	text_table_put(table, TEXT_PLAIN, "%s%sMTU %" JSON_INTEGER_FORMAT, text, *text ? "; " : "",
	               client_number(hello, "tunnel_mtu"));
}

/* Those that are over stay a while: who comes too late is told why. */
static void print_invitations(const json_t *peers)
{
	static const char *const states[] = { "open", "used", "expired" };
	const char *before = "invitations: ";
	const json_t *peer;
	size_t i;

	for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
		unsigned int count = 0;

		json_array_foreach (peers, i, peer)
			count += strcmp(client_text(peer, "invitation"), states[s]) == 0;
		if (!count)
			continue;
		printf("%s%u %s", before, count, states[s]);
		before = ", ";
	}
	if (before[0] == ',')
		puts(" (ovlctl invite list)");
}

static int print_peers(const json_t *peers, bool color)
{
	static const struct text_column columns[] = {
		{ "PEER", false },      { "ENDPOINT", false },  { "ALLOWED IPS", false },
		{ "HANDSHAKE", false }, { "RECEIVED", true },   { "SENT", true },
		{ "LOSS", true },       { "ROUND TRIP", true }, { "HELLO", false },
	};
	struct text_table *table = text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	size_t i, count = 0;
	int ret = 0;
	json_t *peer;

	json_array_foreach (peers, i, peer) {
		char text[512];

		if (*client_text(peer, "invitation"))
			continue;
		count++;
		put_peer_name(table, peer);
		put_endpoint(table, peer);
		text_table_put(
			table, TEXT_PLAIN, "%s",
			list_texts(json_object_get(peer, "allowed_ips"), text, sizeof(text)));
		put_handshake(table, peer);
		put_traffic(table, peer, "rx_bytes");
		put_traffic(table, peer, "tx_bytes");
		put_loss(table, peer);
		put_round_trip(table, peer);
		put_hello(table, peer);
	}
	putchar('\n');
	if (count)
		ret = print_table(table, color);
	else
		puts("no peers");
	print_invitations(peers);
	text_table_free(table);
	return ret;
}

static int show_all(bool json)
{
	bool color = text_use_color(stdout);
	json_t *reply;
	int status = client_call(json_pack("{s:s}", "do", "show"), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(reply);
	} else {
		print_device(json_object_get(reply, "device"), color);
		if (print_networks(json_object_get(reply, "networks"), color) ||
		    print_peers(json_object_get(reply, "peers"), color)) {
			complaint_say("out of memory");
			status = OVLCTL_FAILED;
		}
	}
	json_decref(reply);
	return status;
}

/* @texts: what each counter means; NULL: not told. True when anything was printed. */
static bool print_counters(json_t *counters, const json_t *texts, bool all, bool color)
{
	static const struct text_column columns[] = { { NULL, false },
		                                      { NULL, true },
		                                      { NULL, false } };
	struct text_table *table = text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	bool any = false;
	const char *name;
	json_t *value;

	json_object_foreach (counters, name, value) {
		json_int_t count = json_integer_value(value);

		if (!count && !all)
			continue;
		any = true;
		text_table_put(table, count ? TEXT_BOLD : TEXT_DIM, "  %s", name);
		text_table_put(table, TEXT_PLAIN, "%" JSON_INTEGER_FORMAT, count);
		text_table_put(table, TEXT_DIM, "%s", texts ? client_text(texts, name) : "");
	}
	if (any)
		(void)print_table(table, color);
	text_table_free(table);
	return any;
}

static void print_counters_of(const char *kind, json_t *owners, const json_t *texts, bool color)
{
	const char *name;
	json_t *counters;

	json_object_foreach (owners, name, counters) {
		if (!json_object_size(counters))
			continue;
		printf("%s ", kind);
		text_print(stdout, color, TEXT_BOLD, "%s\n", name);
		print_counters(counters, texts, false, color);
	}
}

static int show_drops(bool json, bool all)
{
	bool color = text_use_color(stdout);
	json_t *reply;
	int status = client_call(json_pack("{s:s}", "do", "drops"), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(reply);
	} else {
		const json_t *texts = json_object_get(reply, "texts");

		text_print(stdout, color, TEXT_BOLD, "%s\n", "drops");
		if (!print_counters(json_object_get(reply, "drops"), texts, all, color))
			puts("  none");
		text_print(stdout, color, TEXT_BOLD, "%s\n", "events");
		if (!print_counters(json_object_get(reply, "events"), NULL, all, color))
			puts("  none");
		print_counters_of("drops of peer", json_object_get(reply, "peers"), texts, color);
		print_counters_of("drops of network", json_object_get(reply, "networks"), texts,
		                  color);
	}
	json_decref(reply);
	return status;
}

static void put_neighbour(struct text_table *table, const json_t *network, const json_t *neighbour)
{
	const char *mac = client_text(neighbour, "mac");
	const json_t *age = json_object_get(neighbour, "age_s");
	char text[TEXT_MAX];

	text_table_put(table, TEXT_BOLD, "%s", client_text(neighbour, "address"));
	text_table_put(table, TEXT_PLAIN, "%s", *mac ? mac : "-");
	text_table_put(table, *mac ? TEXT_GOOD : TEXT_WARN, "%s", client_text(neighbour, "state"));
	text_table_put(table, TEXT_PLAIN, "%s",
	               json_is_integer(age)
	                       ? text_format_age(1, (uint64_t)json_integer_value(age) + 1, text)
	                       : "never");
	text_table_put(table, TEXT_PLAIN, "%s", client_text(network, "name"));
}

/* Where local containers were found. */
static int show_neighbours(bool json)
{
	static const struct text_column columns[] = { { "ADDRESS", false },
		                                      { "MAC", false },
		                                      { "STATE", false },
		                                      { "CONFIRMED", false },
		                                      { "NETWORK", false } };
	json_t *reply, *network, *neighbour;
	size_t i, j;
	int status = client_call(json_pack("{s:s}", "do", "neigh"), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(reply);
	} else {
		struct text_table *table =
			text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
		size_t count = 0;

		json_array_foreach (json_object_get(reply, "networks"), i, network) {
			json_array_foreach (json_object_get(network, "neighbours"), j, neighbour) {
				put_neighbour(table, network, neighbour);
				count++;
			}
		}
		if (!count)
			puts("no container of a routed network has been looked for");
		else if (print_table(table, text_use_color(stdout)))
			status = OVLCTL_FAILED;
		text_table_free(table);
	}
	json_decref(reply);
	return status;
}

int cmd_show(int argc, char **argv)
{
	const char *what = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	bool json = false, all = false, last = false;

	for (int i = *what ? 2 : 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			json = true;
		else if (strcmp(argv[i], "--all") == 0 && strcmp(what, "drops") == 0)
			all = true;
		else if (strcmp(argv[i], "--last") == 0 && strcmp(what, "drops") == 0)
			last = true;
		else
			return ovlctl_usage("show");
	}
	if (!*what)
		return show_all(json);
	if (last && all)
		return ovlctl_usage("show");
	if (strcmp(what, "drops") == 0)
		return last ? cmd_show_last(json) : show_drops(json, all);
	if (strcmp(what, "neigh") == 0)
		return show_neighbours(json);
	return ovlctl_usage("show");
}
