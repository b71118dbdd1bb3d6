/* SPDX-License-Identifier: MIT */
/* What the checks look at, gathered once: file, daemon, links and routes. */
#include "ctl/doctor.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/doctor_rules.h"
#include "ctl/ovlctl.h"

#define RISE_MS 1100 /* between two looks at the counters: a ping a second is seen */

static json_t *prefix_texts(const struct prefix *list, size_t count)
{
	json_t *array = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < count; i++) {
		prefix_format(&list[i], text);
		json_array_append_new(array, json_string(text));
	}
	return array;
}

struct subnets {
	const char *bridge;
	json_t *list;
};

static void take_subnet(void *arg, const struct host_address *address)
{
	const struct subnets *subnets = arg;
	struct prefix prefix;
	char text[PREFIX_TEXT_MAX];

	if (strcmp(address->device, subnets->bridge) != 0 || address->link_local ||
	    !prefix_parse(&prefix, address->text))
		return;
	prefix_format(&prefix, text);
	json_array_append_new(subnets->list, json_string(text));
}

static json_t *network_of_file(const struct doctor *d, const struct config_network *network)
{
	struct subnets own = { network->bridge, NULL };

	own.list = prefix_texts(network->subnets, network->subnet_count);
	if (!network->subnet_count && !network->bridged)
		host_each_address(d->host, take_subnet, &own);
	return json_pack("{s:s, s:s, s:s, s:I, s:o, s:o, s:I}", "name", network->name, "bridge",
	                 network->bridge, "mode", network->bridged ? "bridged" : "routed", "vni",
	                 (json_int_t)network->vni, "subnets", own.list, "ranges",
	                 prefix_texts(network->ranges, network->range_count), "mtu",
	                 (json_int_t)network->mtu);
}

json_t *doctor_peer_of_file(const struct config_peer *peer)
{
	char key[KEY_BASE64_LEN + 1], endpoint[CONFIG_HOST_MAX + 16] = "";
	json_t *vnis = json_array();

	secret_to_base64(key, peer->public_key);
	if (peer->endpoint.host[0])
		config_format_endpoint(&peer->endpoint, endpoint, sizeof(endpoint));
	for (size_t i = 0; i < peer->vni_count; i++)
		json_array_append_new(vnis, json_integer(peer->vnis[i]));
	return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", peer->name, "public_key", key,
	                 "endpoint_name", endpoint[0] ? json_string(endpoint) : json_null(),
	                 "allowed_ips", prefix_texts(peer->allowed, peer->allowed_count), "vnis",
	                 vnis);
}

/*
 * The daemon's, by its name, or by the one that was given; the usual one while none answers
 * and none was chosen: of another daemon's file nothing is wrong with the one that was.
 */
static void find_file(struct doctor *d)
{
	const char *name = client_text(json_object_get(d->state, "device"), "name");

	if (!*name && client_name())
		name = client_name();
	if (d->path || (!*name && client_is_chosen()) || strchr(name, '/'))
		return;
	(void)snprintf(d->found_path, sizeof(d->found_path), DOCTOR_FOLDER "/%s.conf",
	               *name ? name : "peers");
	if (access(d->found_path, F_OK) == 0)
		d->path = d->found_path;
}

static void read_file(struct doctor *d)
{
	struct config_options options = { .any_file = false };

	find_file(d);
	if (d->path && config_load(d->path, &options, &d->config, &d->config_error))
		d->config = NULL;
	if (!d->config || d->state)
		return;
	d->listen_port = d->config->listen_port;
	for (size_t i = 0; i < d->config->network_count; i++)
		json_array_append_new(d->networks, network_of_file(d, &d->config->networks[i]));
	for (size_t i = 0; i < d->config->peer_count; i++)
		json_array_append_new(d->peers, doctor_peer_of_file(&d->config->peers[i]));
}

static json_t *ask(const char *what)
{
	json_t *reply;

	return client_call(json_pack("{s:s}", "do", what), &reply) == OVLCTL_OK ? reply : NULL;
}

/* A peer in name alone: it has nothing and is to have nothing but the word of who joins. */
static bool is_invitation(const struct doctor *d, const json_t *peer)
{
	const json_t *item;
	size_t i;

	if (json_array_size(json_object_get(peer, "allowed_ips")) > 0)
		return false;
	json_array_foreach (json_object_get(d->roll, "invitations"), i, item)
		if (strcmp(client_text(item, "id"), client_text(peer, "name")) == 0)
			return true;
	return false;
}

static void leave_out_invitations(struct doctor *d)
{
	json_t *peers = json_array(), *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer)
		if (!is_invitation(d, peer))
			json_array_append(peers, peer);
	json_decref(d->peers);
	d->peers = peers;
}

static void ask_daemon(struct doctor *d)
{
	client_hush(d->silence, sizeof(d->silence));
	d->state = ask("show");
	if (d->state) {
		json_decref(d->networks);
		json_decref(d->peers);
		d->networks = json_incref(json_object_get(d->state, "networks"));
		d->peers = json_incref(json_object_get(d->state, "peers"));
		d->listen_port =
			(int)client_number(json_object_get(d->state, "device"), "listen_port");
		d->before = ask("drops");
		if (!d->hasty && doctor_tells(d->before)) {
			(void)poll(NULL, 0, RISE_MS);
			d->after = ask("drops");
		} else {
			d->after = json_incref(d->before);
		}
		d->last = ask("drops-last");
		d->roll = ask("invite-list");
		leave_out_invitations(d);
	}
	d->several = strstr(d->silence, "several daemons run") != NULL;
	client_hush(NULL, 0);
}

void doctor_gather(struct doctor *d)
{
	d->findings = json_array();
	d->words = json_array();
	d->networks = json_array();
	d->peers = json_array();
	d->host = host_open();
	ask_daemon(d);
	read_file(d);
	d->everyone = json_incref(d->peers);
}

const json_t *doctor_rules(struct doctor *d)
{
	if (!d->rules && !d->rules_why)
		d->rules = rules_read(&d->rules_why);
	return d->rules;
}

void doctor_forget(struct doctor *d)
{
	json_decref(d->findings);
	json_decref(d->words);
	json_decref(d->networks);
	json_decref(d->peers);
	json_decref(d->everyone);
	json_decref(d->state);
	json_decref(d->before);
	json_decref(d->after);
	json_decref(d->last);
	json_decref(d->roll);
	json_decref(d->rules);
	host_close(d->host);
	config_free(d->config);
}

const char *doctor_peer_name(const json_t *peer)
{
	const char *name = client_text(peer, "name");

	return *name ? name : client_text(peer, "public_key");
}

bool doctor_split(const char *endpoint, char address[DOCTOR_ADDRESS_MAX], int *port)
{
	struct endpoint parsed;
	bool six = endpoint[0] == '[';

	if (endpoint_parse(&parsed, endpoint))
		return false;
	(void)snprintf(address, DOCTOR_ADDRESS_MAX, "%s", endpoint + six);
	address[strcspn(address, six ? "]%" : ":")] = '\0';
	*port = atoi(strrchr(endpoint, ':') + 1);
	return true;
}

const char *doctor_endpoint(const json_t *peer)
{
	const char *found = client_text(peer, "endpoint");

	return *found ? found : client_text(peer, "endpoint_name");
}

bool doctor_is_bridged(const json_t *network)
{
	return strcmp(client_text(network, "mode"), "bridged") == 0;
}

bool doctor_concerns(const struct doctor *d, const struct prefix *prefix)
{
	bool all = true;

	for (size_t i = 0; i < sizeof(d->ends) / sizeof(d->ends[0]); i++) {
		struct prefix end;

		if (!d->ends[i] || !prefix_parse(&end, d->ends[i]))
			continue;
		if (prefix_covers(prefix, &end))
			return true;
		all = false;
	}
	return all;
}

const char *doctor_covering(const json_t *prefixes, const struct prefix *inner)
{
	size_t i;
	json_t *item;

	json_array_foreach (prefixes, i, item) {
		struct prefix outer;

		if (prefix_parse(&outer, json_string_value(item)) && prefix_covers(&outer, inner))
			return json_string_value(item);
	}
	return NULL;
}

json_int_t doctor_count(const json_t *reply, const char *reason)
{
	json_t *all = json_object_get(reply, "drops"), *network;
	json_int_t sum = 0;
	const char *name;

	if (json_object_get(all, reason))
		return client_number(all, reason);
	json_object_foreach (json_object_get(reply, "networks"), name, network)
		sum += client_number(network, reason);
	return sum;
}

json_int_t doctor_drops(const struct doctor *d, const char *reason)
{
	return doctor_count(d->after, reason);
}

json_int_t doctor_rise(const struct doctor *d, const char *reason)
{
	return d->before && d->after
	               ? doctor_count(d->after, reason) - doctor_count(d->before, reason)
	               : 0;
}

const char *doctor_culprit(const struct doctor *d, const char *reason)
{
	const char *worst = NULL;
	json_int_t most = 0;
	json_t *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer) {
		json_int_t count = client_number(json_object_get(peer, "drops"), reason);

		if (count > most) {
			most = count;
			worst = doctor_peer_name(peer);
		}
	}
	return worst;
}

const json_t *doctor_last(const struct doctor *d, const char *reason)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(d->last, "last"), i, item)
		if (strcmp(client_text(item, "reason"), reason) == 0)
			return item;
	return NULL;
}
