/* SPDX-License-Identifier: MIT */
#include "ctl/changes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/differences.h"
#include "ctl/state.h"

struct listing {
	void (*line)(void *arg, const char *text);
	void *arg;
	size_t count;
};

static void say(struct listing *listing, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct listing *listing, const char *format, ...)
{
	char text[512];
	va_list args;

	if (listing->count++ >= CHANGES_LINES_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	listing->line(listing->arg, text);
}

static bool same_key(const struct config *a, const struct config *b)
{
	return a->has_private_key == b->has_private_key &&
	       secret_equal(a->private_key, b->private_key, KEY_SIZE);
}

static void list_metrics(struct listing *listing, const struct endpoint *base,
                         const struct endpoint *active, const struct endpoint *next)
{
	char text[ENDPOINT_TEXT_MAX];

	if (endpoint_same_remote(active, base) || endpoint_same_remote(active, next))
		return;
	endpoint_format(active, text);
	say(listing, "[Metrics] Listen was set to %s", text);
}

static void list_device(struct listing *listing, const struct config *base,
                        const struct config *active, const struct config *next)
{
	if (!same_key(active, base) && !same_key(active, next))
		say(listing, "PrivateKey was changed");
	if (active->listen_port != base->listen_port && active->listen_port != next->listen_port)
		say(listing, "ListenPort was set to %u", (unsigned int)active->listen_port);
	if (active->fwmark != base->fwmark && active->fwmark != next->fwmark)
		say(listing, "FwMark was set to 0x%x", active->fwmark);
	if (active->busy_poll_us != base->busy_poll_us &&
	    active->busy_poll_us != next->busy_poll_us)
		say(listing, "BusyPoll was set to %u", active->busy_poll_us);
	if (active->realtime != base->realtime && active->realtime != next->realtime)
		say(listing, "Realtime was changed");
	if (active->introducer != base->introducer && active->introducer != next->introducer)
		say(listing, "Introducer was changed");
	list_metrics(listing, &base->metrics, &active->metrics, &next->metrics);
}

static bool has_prefix(const struct config_peer *peer, const struct prefix *prefix)
{
	return config_find_allowed(peer->owner, prefix) == peer;
}

static bool same_endpoint(const struct config_peer *a, const struct config_peer *b)
{
	return a->endpoint.port == b->endpoint.port &&
	       strcmp(a->endpoint.host, b->endpoint.host) == 0;
}

static bool same_vnis(const struct config_peer *a, const struct config_peer *b)
{
	for (size_t i = 0; i < a->vni_count; i++)
		if (!config_peer_has_vni(b, a->vnis[i]))
			return false;
	return a->vni_count == b->vni_count;
}

static void list_allowed(struct listing *listing, const struct config_peer *base,
                         const struct config_peer *active, const struct config_peer *next)
{
	char label[STATE_LABEL_MAX], text[PREFIX_TEXT_MAX];

	state_label_peer(active, label);
	for (size_t i = 0; i < active->allowed_count; i++) {
		if (has_prefix(base, &active->allowed[i]) || has_prefix(next, &active->allowed[i]))
			continue;
		prefix_format(&active->allowed[i], text);
		say(listing, "peer %s: AllowedIPs %s was added", label, text);
	}
	for (size_t i = 0; i < base->allowed_count; i++) {
		if (has_prefix(active, &base->allowed[i]) || !has_prefix(next, &base->allowed[i]))
			continue;
		prefix_format(&base->allowed[i], text);
		say(listing, "peer %s: AllowedIPs %s was removed", label, text);
	}
}

static void list_peer(struct listing *listing, const struct config_peer *base,
                      const struct config_peer *active, const struct config_peer *next)
{
	char label[STATE_LABEL_MAX], text[CONFIG_HOST_MAX + 16];

	state_label_peer(active, label);
	if (!base) {
		if (!next)
			say(listing, "peer %s was added", label);
		return;
	}
	if (!next)
		return; /* the file takes the whole peer away, and means it */
	if (!secret_equal(active->psk, base->psk, KEY_SIZE) &&
	    !secret_equal(active->psk, next->psk, KEY_SIZE))
		say(listing, "peer %s: PresharedKey was changed", label);
	/* Without one in the file the peer is left where it is. */
	if (next->endpoint.host[0] && !same_endpoint(active, base) &&
	    !same_endpoint(active, next)) {
		config_format_endpoint(&active->endpoint, text, sizeof(text));
		say(listing, "peer %s: Endpoint was set to %s", label, text);
	}
	if (active->keepalive_s != base->keepalive_s && active->keepalive_s != next->keepalive_s)
		say(listing, "peer %s: PersistentKeepalive was set to %u s", label,
		    (unsigned int)active->keepalive_s);
	if (strcmp(active->name, base->name) != 0 && strcmp(active->name, next->name) != 0)
		say(listing, "peer %s: Name was changed", label);
	if (active->introducer != base->introducer && active->introducer != next->introducer)
		say(listing, "peer %s: Introducer was changed", label);
	if (!same_vnis(active, base) && !same_vnis(active, next))
		say(listing, "peer %s: VNIs was changed", label);
	list_allowed(listing, base, active, next);
}

/* Static entries of FDBs; @base and @next may lack the network. */

static const struct config_network *find_network(const struct config *config,
                                                 const struct config_network *like)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (strcmp(config->networks[i].name, like->name) == 0)
			return &config->networks[i];
	return NULL;
}

/* The same entry: another owner or MAC makes another one. */
static bool has_station(const struct config_network *network, const struct config_station *station)
{
	const struct config_station *other = config_find_station(network, &station->key);

	return other && other->local == station->local &&
	       memcmp(other->mac, station->mac, ETHER_ADDR_SIZE) == 0 &&
	       (other->local || memcmp(other->who.key, station->who.key, KEY_SIZE) == 0);
}

static void say_station(struct listing *listing, const struct config_network *network,
                        const struct config_station *station, const char *what)
{
	char text[PREFIX_TEXT_MAX];

	config_format_station(&station->key, text);
	say(listing, "network %s: the FDB's static entry of %s was %s", network->name, text, what);
}

static void list_stations(struct listing *listing, const struct config_network *base,
                          const struct config_network *active, const struct config_network *next)
{
	for (size_t i = 0; i < active->station_count; i++) {
		const struct config_station *station = &active->stations[i];

		if (!has_station(base, station) && !has_station(next, station))
			say_station(listing, active, station, "added");
	}
	for (size_t i = 0; i < base->station_count; i++) {
		const struct config_station *station = &base->stations[i];

		if (!has_station(active, station) && has_station(next, station))
			say_station(listing, active, station, "deleted");
	}
}

static void list_networks(struct listing *listing, const struct config *base,
                          const struct config *active, const struct config *next)
{
	for (size_t i = 0; i < base->network_count; i++) {
		const struct config_network *network = &base->networks[i];

		if (!find_network(active, network) && find_network(next, network))
			say(listing, "network %s was removed", network->name);
	}
	for (size_t i = 0; i < active->network_count; i++) {
		const struct config_network *network = &active->networks[i];
		const struct config_network *was = find_network(base, network);
		const struct config_network *will = find_network(next, network);

		if (!was && !will)
			say(listing, "network %s was added", network->name);
		if (was && will && differences_in_settings(was, network) &&
		    differences_in_settings(will, network))
			say(listing, "network %s was changed", network->name);
		/* A network that the file takes away means its entries, too. */
		if (was && will)
			list_stations(listing, was, network, will);
	}
}

size_t changes_list(const struct config *base, const struct config *active,
                    const struct config *next, void (*line)(void *arg, const char *text), void *arg)
{
	struct listing listing = { .line = line, .arg = arg };
	char label[STATE_LABEL_MAX];

	list_device(&listing, base, active, next);
	list_networks(&listing, base, active, next);
	for (size_t i = 0; i < active->peer_count; i++) {
		const struct config_peer *peer = &active->peers[i];

		list_peer(&listing, config_find_peer(base, peer->public_key), peer,
		          config_find_peer(next, peer->public_key));
	}
	for (size_t i = 0; i < base->peer_count; i++) {
		const struct config_peer *peer = &base->peers[i];

		if (config_find_peer(active, peer->public_key) ||
		    !config_find_peer(next, peer->public_key))
			continue;
		state_label_peer(peer, label);
		say(&listing, "peer %s was removed", label);
	}
	return listing.count;
}
