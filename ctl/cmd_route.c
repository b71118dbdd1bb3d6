/* SPDX-License-Identifier: MIT */
/* route add, del, get, list: which peer has which prefix. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/host.h"
#include "ctl/text.h"

/* The peer's name, or its key. */
static const char *peer_of(const json_t *object)
{
	const char *name = client_text(object, "peer");

	return *name ? name : client_text(object, "public_key");
}

static void print_verdict(const char *address, const json_t *reply)
{
	const char *verdict = client_text(reply, "verdict"),
		   *network = client_text(reply, "network");
	const char *endpoint = client_text(reply, "endpoint");

	if (strcmp(verdict, "remote") == 0)
		printf("%s: network %s, peer %s (%s) at %s\n", address, network, peer_of(reply),
		       client_text(reply, "prefix"), *endpoint ? endpoint : "no endpoint yet");
	else if (strcmp(verdict, "local") == 0)
		printf("%s: network %s, lives on this host\n", address, network);
	else if (strcmp(verdict, "gateway") == 0)
		printf("%s: network %s, an address of the bridge itself\n", address, network);
	else if (strcmp(verdict, "no-network") == 0 && *peer_of(reply))
		printf("%s: in AllowedIPs of peer %s (%s), but in no network's Subnet: not "
		       "carried\n",
		       address, peer_of(reply), client_text(reply, "prefix"));
	else if (strcmp(verdict, "no-network") == 0)
		printf("%s: in no network's Subnet and no peer's AllowedIPs\n", address);
	else
		printf("%s: network %s, but in no peer's AllowedIPs and not in Range\n", address,
		       network);
}

/* What the host itself would do with a packet to there: by the bridge, or past it. */
static void print_host_view(const char *address, const json_t *reply)
{
	const char *bridge = client_text(reply, "bridge");
	struct host *host = host_open();
	struct host_route route;

	if (!host_find_route(host, address, &route))
		puts("  host: no route; only containers get there");
	else if (route.own)
		puts("  host: an address of its own");
	else
		printf("  host: by %s dev %s%s%s%s\n", route.prefix,
		       *route.device ? route.device : "(none)", *route.gateway ? " gateway " : "",
		       route.gateway,
		       *bridge && strcmp(bridge, route.device) != 0 ? ", not by the bridge" : "");
	host_close(host);
}

static int get(const char *address, bool json)
{
	json_t *reply;
	int status =
		client_call(json_pack("{s:s, s:s}", "do", "route-get", "address", address), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json) {
		status = client_print_json(reply);
	} else {
		print_verdict(address, reply);
		print_host_view(address, reply);
	}
	json_decref(reply);
	return status;
}

static int print_routes(const json_t *routes)
{
	static const struct text_column columns[] = { { "PREFIX", false },
		                                      { "PEER", false },
		                                      { "NETWORK", false } };
	struct text_table *table = text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	bool color = text_use_color(stdout);
	size_t i;
	json_t *route;

	json_array_foreach (routes, i, route) {
		const char *network = client_text(route, "network");

		text_table_put(table, TEXT_PLAIN, "%s", client_text(route, "prefix"));
		text_table_put(table, TEXT_BOLD, "%s", peer_of(route));
		text_table_put(table, *network ? TEXT_PLAIN : TEXT_WARN, "%s",
		               *network ? network : "none");
	}
	text_table_fit(table, text_terminal_width(stdout));
	int ret = text_table_print(table, stdout, color);

	text_table_free(table);
	return ret ? OVLCTL_FAILED : OVLCTL_OK;
}

static int list(bool json)
{
	json_t *reply;
	int status = client_call(json_pack("{s:s}", "do", "route-list"), &reply);

	if (status != OVLCTL_OK)
		return status;
	const json_t *routes = json_object_get(reply, "routes");

	if (json) {
		status = client_print_json(routes);
	} else if (json_array_size(routes)) {
		status = print_routes(routes);
	} else {
		puts("no routes");
	}
	json_decref(reply);
	return status;
}

int cmd_route(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "list";
	bool json = argc > 2 && strcmp(argv[argc - 1], "--json") == 0;

	argc -= json;
	if (strcmp(verb, "list") == 0 && argc <= 2)
		return list(json);
	if (strcmp(verb, "get") == 0 && argc == 3)
		return get(argv[2], json);
	if (strcmp(verb, "add") == 0 && argc == 4)
		return client_do(json_pack("{s:s, s:s, s:s}", "do", "route-add", "prefix", argv[2],
		                           "peer", argv[3]),
		                 json);
	if (strcmp(verb, "del") == 0 && argc == 3)
		return client_do(json_pack("{s:s, s:s}", "do", "route-del", "prefix", argv[2]),
		                 json);
	return ovlctl_usage("route");
}
