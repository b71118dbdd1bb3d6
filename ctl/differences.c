/* SPDX-License-Identifier: MIT */
#include "ctl/differences.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/state.h"

struct listing {
	const struct difference_ops *ops; /* NULL: it is counted alone */
	void *arg;
	struct difference_counts *counts;
	struct difference item; /* under comparison */
	bool begun; /* it was told: something about it differs */
};

static void count(struct difference_counts *counts, const struct difference *item)
{
	unsigned int *const peers[] = { &counts->peers_added, &counts->peers_removed,
		                        &counts->peers_changed };
	unsigned int *const networks[] = { &counts->networks_added, &counts->networks_removed,
		                           &counts->networks_changed };

	if (item->kind == DIFFERENCE_PEER)
		++*peers[item->change];
	else if (item->kind == DIFFERENCE_NETWORK)
		++*networks[item->change];
	else
		counts->interface_changed = true;
}

static void tell(struct listing *listing)
{
	listing->begun = true;
	count(listing->counts, &listing->item);
	if (listing->ops)
		listing->ops->item(listing->arg, &listing->item);
}

static void begin(struct listing *listing, enum difference_kind kind, const char *name,
                  const uint8_t *key)
{
	listing->item = (struct difference){ kind, DIFFERENCE_CHANGED, name, key };
	listing->begun = false;
}

static void tell_whole(struct listing *listing, enum difference_change change)
{
	listing->item.change = change;
	tell(listing);
}

static void say(struct listing *listing, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct listing *listing, const char *format, ...)
{
	char text[2 * CONFIG_HOST_MAX + 64];
	va_list args;

	if (!listing->begun)
		tell(listing);
	if (!listing->ops)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	listing->ops->detail(listing->arg, text);
}

static void say_number(struct listing *listing, const char *what, unsigned int from,
                       unsigned int to)
{
	if (from != to)
		say(listing, "%s %u -> %u", what, from, to);
}

static void say_secret(struct listing *listing, const char *what, const uint8_t from[KEY_SIZE],
                       const uint8_t to[KEY_SIZE])
{
	if (secret_equal(from, to, KEY_SIZE))
		return;
	say(listing, "%s %s", what,
	    secret_is_zero(from, KEY_SIZE) ? "set"
	    : secret_is_zero(to, KEY_SIZE) ? "removed"
	                                   : "changed");
}

static void say_introducer(struct listing *listing, bool from, bool to)
{
	if (from != to)
		say(listing, "Introducer %s", to ? "no -> yes" : "yes -> no");
}

/* The interface, and what else is this host's alone. */

static void say_metrics(struct listing *listing, const struct endpoint *from,
                        const struct endpoint *to)
{
	char before[ENDPOINT_TEXT_MAX], now[ENDPOINT_TEXT_MAX];

	if ((!endpoint_is_set(from) && !endpoint_is_set(to)) || endpoint_same_remote(from, to))
		return;
	endpoint_format(from, before);
	endpoint_format(to, now);
	say(listing, "[Metrics] Listen %s -> %s", before, now);
}

static void compare_interface(struct listing *listing, const struct config *from,
                              const struct config *to)
{
	static const char *const realtime[] = { [CONFIG_REALTIME_AUTO] = "auto",
		                                [CONFIG_REALTIME_NO] = "no",
		                                [CONFIG_REALTIME_YES] = "yes" };

	begin(listing, DIFFERENCE_INTERFACE, "", NULL);
	say_secret(listing, "PrivateKey", from->private_key, to->private_key);
	say_number(listing, "ListenPort", from->listen_port, to->listen_port);
	if (from->fwmark != to->fwmark)
		say(listing, "FwMark 0x%x -> 0x%x", from->fwmark, to->fwmark);
	if (from->workers != to->workers)
		say(listing, "Workers %u -> %u, at the next start", from->workers, to->workers);
	if (from->realtime != to->realtime)
		say(listing, "Realtime %s -> %s", realtime[from->realtime], realtime[to->realtime]);
	say_number(listing, "BusyPoll", from->busy_poll_us, to->busy_poll_us);
	say_introducer(listing, from->introducer, to->introducer);
	say_metrics(listing, &from->metrics, &to->metrics);
}

/* Networks */

static bool is_same_network(const struct config_network *a, const struct config_network *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->bridge, b->bridge) == 0 &&
	       a->bridged == b->bridged && a->vni == b->vni;
}

static const struct config_network *find_network(const struct config *config,
                                                 const struct config_network *like)
{
	for (size_t i = 0; i < config->network_count; i++)
		if (is_same_network(&config->networks[i], like))
			return &config->networks[i];
	return NULL;
}

static bool holds_prefix(const struct prefix *list, size_t list_count, const struct prefix *prefix)
{
	for (size_t i = 0; i < list_count; i++)
		if (prefix_equal(&list[i], prefix))
			return true;
	return false;
}

/* Each of @a that is not among @b, with @sign. */
static void say_prefixes(struct listing *listing, const char *what, char sign,
                         const struct prefix *a, size_t a_count, const struct prefix *b,
                         size_t b_count)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < a_count; i++) {
		if (holds_prefix(b, b_count, &a[i]))
			continue;
		prefix_format(&a[i], text);
		say(listing, "%s %c%s", what, sign, text);
	}
}

static bool same_members(const struct config_members *a, const struct config_members *b)
{
	if (a->all != b->all || a->local != b->local || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (memcmp(a->peers[i].key, b->peers[i].key, KEY_SIZE) != 0)
			return false;
	return true;
}

static bool same_vlans(const struct guards *a, const struct guards *b)
{
	return a->vlans == b->vlans &&
	       memcmp(a->vlan_list, b->vlan_list, sizeof(a->vlan_list)) == 0;
}

/* The same entry: another owner or MAC makes another one. */
static bool holds_station(const struct config_network *network,
                          const struct config_station *station)
{
	const struct config_station *other = config_find_station(network, &station->key);

	return other && other->local == station->local &&
	       memcmp(other->mac, station->mac, ETHER_ADDR_SIZE) == 0 &&
	       (other->local || memcmp(other->who.key, station->who.key, KEY_SIZE) == 0);
}

static void say_stations(struct listing *listing, char sign, const struct config_network *a,
                         const struct config_network *b)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < a->station_count; i++) {
		if (holds_station(b, &a->stations[i]))
			continue;
		config_format_station(&a->stations[i].key, text);
		say(listing, "FDB %c%s", sign, text);
	}
}

/* @words: as the file says false and true. */
static void say_switch(struct listing *listing, const char *what, const char *const words[2],
                       bool from, bool to)
{
	if (from != to)
		say(listing, "%s %s -> %s", what, words[from], words[to]);
}

static void compare_guards(struct listing *listing, const struct config_network *from,
                           const struct config_network *to)
{
	static const char *const modes[] = {
		[GUARD_LEARN] = "learn", [GUARD_STRICT] = "strict", [GUARD_OFF] = "off"
	};
	static const char *const pass[] = { "drop", "pass" }, *const off[] = { "on", "off" },
				 *const drop[] = { "flood", "drop" };
	const struct guards *a = &from->guards, *b = &to->guards;

	if (a->mode != b->mode)
		say(listing, "Guard %s -> %s", modes[a->mode], modes[b->mode]);
	if (!same_vlans(a, b))
		say(listing, "VLANs changed");
	say_switch(listing, "LinkControl", pass, a->link_control, b->link_control);
	say_switch(listing, "ArpCheck", off, a->arp_mismatch, b->arp_mismatch);
	say_switch(listing, "HostRouting", pass, a->host_routing, b->host_routing);
	say_switch(listing, "UnknownUnicast", drop, a->drop_unknown, b->drop_unknown);
	if (!same_members(&from->routers, &to->routers))
		say(listing, "RouterAdverts changed");
	if (!same_members(&from->dhcp_servers, &to->dhcp_servers))
		say(listing, "DHCPServers changed");
	say_number(listing, "MACs", from->macs, to->macs);
}

/* All but the FDB's entries. */
static void compare_settings(struct listing *listing, const struct config_network *from,
                             const struct config_network *to)
{
	char mtu[2][16];

	say_prefixes(listing, "Subnet", '-', from->subnets, from->subnet_count, to->subnets,
	             to->subnet_count);
	say_prefixes(listing, "Subnet", '+', to->subnets, to->subnet_count, from->subnets,
	             from->subnet_count);
	say_prefixes(listing, "Range", '-', from->ranges, from->range_count, to->ranges,
	             to->range_count);
	say_prefixes(listing, "Range", '+', to->ranges, to->range_count, from->ranges,
	             from->range_count);
	if (from->mtu != to->mtu) {
		(void)snprintf(mtu[0], sizeof(mtu[0]), from->mtu ? "%u" : "auto", from->mtu);
		(void)snprintf(mtu[1], sizeof(mtu[1]), to->mtu ? "%u" : "auto", to->mtu);
		say(listing, "MTU %s -> %s", mtu[0], mtu[1]);
	}
	if (to->bridged)
		compare_guards(listing, from, to);
}

static void compare_network(struct listing *listing, const struct config_network *from,
                            const struct config_network *to)
{
	begin(listing, DIFFERENCE_NETWORK, to->name, NULL);
	compare_settings(listing, from, to);
	say_stations(listing, '-', from, to);
	say_stations(listing, '+', to, from);
}

bool differences_in_settings(const struct config_network *a, const struct config_network *b)
{
	struct difference_counts counts = { .networks_changed = 0 };
	struct listing listing = { .counts = &counts };

	begin(&listing, DIFFERENCE_NETWORK, b->name, NULL);
	if (is_same_network(a, b))
		compare_settings(&listing, a, b);
	else
		tell(&listing);
	return listing.begun;
}

static void compare_networks(struct listing *listing, const struct config *from,
                             const struct config *to)
{
	for (size_t i = 0; i < from->network_count; i++) {
		begin(listing, DIFFERENCE_NETWORK, from->networks[i].name, NULL);
		if (!find_network(to, &from->networks[i]))
			tell_whole(listing, DIFFERENCE_REMOVED);
	}
	for (size_t i = 0; i < to->network_count; i++) {
		const struct config_network *was = find_network(from, &to->networks[i]);

		begin(listing, DIFFERENCE_NETWORK, to->networks[i].name, NULL);
		if (was)
			compare_network(listing, was, &to->networks[i]);
		else
			tell_whole(listing, DIFFERENCE_ADDED);
	}
}

/* Peers */

static void compare_endpoint(struct listing *listing, const struct config_peer *from,
                             const struct config_peer *to)
{
	const struct config_endpoint *a = &from->endpoint, *b = &to->endpoint;
	char text[2][CONFIG_HOST_MAX + 16] = { "none", "none" };

	if (a->host[0])
		config_format_endpoint(a, text[0], sizeof(text[0]));
	if (b->host[0])
		config_format_endpoint(b, text[1], sizeof(text[1]));
	if (strcmp(text[0], text[1]) != 0)
		say(listing, "Endpoint %s -> %s", text[0], text[1]);
	else if (from->endpoint_serial != to->endpoint_serial && b->host[0])
		/* It was set at run time: whoever roamed since is taken back. */
		say(listing, "Endpoint %s anew", text[1]);
}

static void say_allowed(struct listing *listing, char sign, const struct config_peer *a,
                        const struct config_peer *b)
{
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < a->allowed_count; i++) {
		if (config_find_allowed(b->owner, &a->allowed[i]) == b)
			continue;
		prefix_format(&a->allowed[i], text);
		say(listing, "AllowedIPs %c%s", sign, text);
	}
}

static void say_vnis(struct listing *listing, char sign, const struct config_peer *a,
                     const struct config_peer *b)
{
	for (size_t i = 0; i < a->vni_count; i++)
		if (!config_peer_has_vni(b, a->vnis[i]))
			say(listing, "VNIs %c%u", sign, a->vnis[i]);
}

static void compare_peer(struct listing *listing, const struct config_peer *from,
                         const struct config_peer *to)
{
	if (strcmp(from->name, to->name) != 0)
		say(listing, "Name \"%s\" -> \"%s\"", from->name, to->name);
	say_secret(listing, "PresharedKey", from->psk, to->psk);
	compare_endpoint(listing, from, to);
	say_number(listing, "PersistentKeepalive", from->keepalive_s, to->keepalive_s);
	say_introducer(listing, from->introducer, to->introducer);
	say_allowed(listing, '-', from, to);
	say_allowed(listing, '+', to, from);
	say_vnis(listing, '-', from, to);
	say_vnis(listing, '+', to, from);
}

static void compare_peers(struct listing *listing, const struct config *from,
                          const struct config *to)
{
	char label[STATE_LABEL_MAX];

	for (size_t i = 0; i < from->peer_count; i++) {
		const struct config_peer *peer = &from->peers[i];

		if (config_find_peer(to, peer->public_key))
			continue;
		state_label_peer(peer, label);
		begin(listing, DIFFERENCE_PEER, label, peer->public_key);
		tell_whole(listing, DIFFERENCE_REMOVED);
	}
	for (size_t i = 0; i < to->peer_count; i++) {
		const struct config_peer *peer = &to->peers[i];
		const struct config_peer *was = config_find_peer(from, peer->public_key);

		state_label_peer(peer, label);
		begin(listing, DIFFERENCE_PEER, label, peer->public_key);
		if (was)
			compare_peer(listing, was, peer);
		else
			tell_whole(listing, DIFFERENCE_ADDED);
	}
}

void differences_list(const struct config *from, const struct config *to,
                      const struct difference_ops *ops, void *arg, struct difference_counts *counts)
{
	struct listing listing = { .ops = ops, .arg = arg, .counts = counts };

	memset(counts, 0, sizeof(*counts));
	compare_interface(&listing, from, to);
	compare_networks(&listing, from, to);
	compare_peers(&listing, from, to);
}
