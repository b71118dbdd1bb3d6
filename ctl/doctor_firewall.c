/* SPDX-License-Identifier: MIT */
/*
 * Checks of the packet filter: what it does with the containers' packets on their way
 * between bridge port and TAP, and with the tunnel's own datagrams.
 */
#include "ctl/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/doctor_rules.h"

#define PEERS_MAX 64 /* that rules are asked about */

/* -1: there is no br_netfilter. */
static int bridge_calls(const char *tool)
{
	char path[96];
	int value = -1;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/bridge/bridge-nf-call-%s", tool);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (fscanf(file, "%d", &value) != 1)
		value = -1;
	(void)fclose(file);
	return value;
}

static bool calls_for(const char *family)
{
	return bridge_calls(strcmp(family, "ip") == 0 ? "iptables" : "ip6tables") > 0;
}

/* The first address of a prefix, as text. */
static bool first_address(const char *prefix, char out[DOCTOR_ADDRESS_MAX])
{
	(void)snprintf(out, DOCTOR_ADDRESS_MAX, "%s", prefix ? prefix : "");
	out[strcspn(out, "/")] = '\0';
	return out[0] != '\0';
}

static const char *family_of(const char *text)
{
	return strchr(text, ':') ? "ip6" : "ip";
}

/* An address that lives here, and one that lives at a peer, of one Subnet. */
struct pair {
	char here[DOCTOR_ADDRESS_MAX], there[DOCTOR_ADDRESS_MAX];
	const char *family, *subnet;
};

static bool find_pair(const struct doctor *d, const json_t *network, const char *subnet,
                      struct pair *pair)
{
	json_t *range, *peer, *item;
	struct prefix outer, inner;
	size_t i, j;

	pair->family = family_of(subnet);
	pair->subnet = subnet;
	if (!prefix_parse(&outer, subnet) || !first_address(subnet, pair->here) ||
	    !first_address(subnet, pair->there))
		return false;
	json_array_foreach (json_object_get(network, "ranges"), i, range)
		if (prefix_parse(&inner, json_string_value(range)) && prefix_covers(&outer, &inner))
			first_address(json_string_value(range), pair->here);
	json_array_foreach (d->peers, i, peer) {
		json_array_foreach (json_object_get(peer, "allowed_ips"), j, item)
			if (prefix_parse(&inner, json_string_value(item)) &&
			    prefix_covers(&outer, &inner))
				return first_address(json_string_value(item), pair->there);
	}
	return true;
}

/*
 * Packets of a network between a port of its bridge and the TAP: as frames they pass the
 * tables of family bridge, and with br_netfilter those of IP, which see the bridge on
 * both sides.
 */
static bool crossing_drops(const struct doctor *d, const json_t *network, const struct pair *pair,
                           bool frame, bool outwards, struct rules_verdict *verdict)
{
	static const char *const hooks[] = { "prerouting", "forward", "postrouting" };
	const char *bridge = client_text(network, "bridge"), *tap = client_text(network, "tap");
	const char *here = pair->here[0] ? pair->here : NULL;
	const char *there = pair->there[0] ? pair->there : NULL;
	/* The containers' ports are many, or not known without a daemon. */
	const char *from = frame ? (outwards || !*tap ? NULL : tap) : bridge;
	const char *to = frame ? (outwards && *tap ? tap : NULL) : bridge;

	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		struct rules_packet packet = { .hook = hooks[i],
			                       .family = pair->family,
			                       .frame = frame,
			                       .bridge = bridge,
			                       .in = i == 2 ? NULL : from,
			                       .out = i == 0 ? NULL : to,
			                       .source = outwards ? here : there,
			                       .destination = outwards ? there : here };

		if (rules_drop(d->rules, &packet, verdict))
			return true;
	}
	return false;
}

/* Not by the bridge's name, which a rule may ask for only where the kernel has nft_meta_bridge. */
static void mend_frames(struct doctor *d, const char *tap, const struct rules_verdict *verdict)
{
	const char *table = doctor_word(d, verdict->table), *chain = doctor_word(d, verdict->chain);

	if (*tap && strcmp(verdict->hook, "forward") == 0)
		doctor_mend(d,
		            "nft insert rule bridge %s %s iifname %s accept && "
		            "nft insert rule bridge %s %s oifname %s accept",
		            table, chain, doctor_word(d, tap), table, chain, doctor_word(d, tap));
	else if (verdict->handle)
		doctor_mend(d, "nft delete rule bridge %s %s handle %lld", table, chain,
		            (long long)verdict->handle);
	else
		doctor_mend(d, "nft insert rule bridge %s %s accept", table, chain);
}

static void mend_crossing(struct doctor *d, const json_t *network,
                          const struct rules_verdict *verdict, bool frame)
{
	const char *bridge = doctor_word(d, client_text(network, "bridge"));
	const char *before = doctor_word(d, verdict->before);

	if (frame)
		mend_frames(d, client_text(network, "tap"), verdict);
	else if (*verdict->tool && strcmp(verdict->chain, "PREROUTING") == 0)
		doctor_mend(d, "%s -t %s -I %s -i %s -j ACCEPT", verdict->tool, verdict->table,
		            before, bridge);
	else if (*verdict->tool && strcmp(verdict->table, "filter") == 0)
		doctor_mend(d, "%s -I %s -i %s -o %s -j ACCEPT", verdict->tool, before, bridge,
		            bridge);
	else if (*verdict->tool)
		doctor_mend(d, "%s -t %s -I %s -o %s -j ACCEPT", verdict->tool, verdict->table,
		            before, bridge);
	else
		doctor_mend(d, "nft insert rule %s %s %s iifname %s accept", verdict->table_family,
		            doctor_word(d, verdict->table), doctor_word(d, verdict->chain), bridge);
	doctor_advise(d, "it lasts until the rules are made anew: have what makes them at boot, or "
	                 "when Docker starts, make this one, too");
}

static void check_forward(struct doctor *d, const json_t *network, const struct pair *pair)
{
	bool frame = true, drops = false;
	struct rules_verdict verdict;

	for (int i = 0; i < 4 && !drops; i++) {
		frame = i < 2;
		drops = (frame || calls_for(pair->family)) &&
		        crossing_drops(d, network, pair, frame, i % 2 == 0, &verdict);
	}
	if (!drops)
		return;
	doctor_find(d, DOCTOR_ERROR,
	            "FORWARD: the packet filter drops what network %s carries (%s)",
	            client_text(network, "name"), verdict.text);
	if (frame)
		doctor_means(d, "frames between a container's port and the TAP do not pass");
	else
		doctor_means(d,
		             "br_netfilter (bridge-nf-call-%stables) has frames that stay on one "
		             "bridge go through the rules for routed packets; containers do not "
		             "reach other hosts, nor each other",
		             strcmp(pair->family, "ip") == 0 ? "ip" : "ip6");
	mend_crossing(d, network, &verdict, frame);
}

static void each_pair(struct doctor *d, void (*check)(struct doctor *d, const json_t *network,
                                                      const struct pair *pair))
{
	json_t *network, *subnet;
	size_t i, j;

	json_array_foreach (d->networks, i, network) {
		struct pair pair = { .family = "ip" };

		if (json_array_size(json_object_get(network, "subnets")) == 0)
			check(d, network, &pair);
		json_array_foreach (json_object_get(network, "subnets"), j, subnet)
			if (find_pair(d, network, json_string_value(subnet), &pair))
				check(d, network, &pair);
	}
}

void doctor_check_forward(struct doctor *d)
{
	if (!doctor_rules(d)) {
		doctor_find(d, DOCTOR_NOTE, "the packet filter was not looked at: %s",
		            d->rules_why);
		doctor_means(d, "rules that drop packets, or rewrite them, would not be found");
		doctor_advise(d, "run ovlctl doctor as root, with nft or iptables installed");
		return;
	}
	each_pair(d, check_forward);
}

static void check_nat(struct doctor *d, const json_t *network, const struct pair *pair)
{
	struct rules_packet packet = { .hook = "postrouting",
		                       .family = pair->family,
		                       .out = client_text(network, "bridge"),
		                       .source = pair->here[0] ? pair->here : NULL,
		                       .destination = pair->there[0] ? pair->there : NULL };
	const char *out = doctor_word(d, packet.out);
	struct rules_verdict verdict;

	if (!pair->subnet || !rules_masquerade(d->rules, &packet, &verdict))
		return;
	doctor_find(d, calls_for(pair->family) ? DOCTOR_ERROR : DOCTOR_NOTE,
	            "MASQUERADE: NAT rewrites what network %s carries (%s)",
	            client_text(network, "name"), verdict.text);
	doctor_means(d,
	             "containers at other hosts see this host's address instead of the "
	             "container's, or drop the packet as spoofed%s",
	             calls_for(pair->family) ? "" : " (not now: br_netfilter is off)");
	if (*verdict.tool)
		doctor_mend(d, "%s -t %s -I %s -s %s -d %s -o %s -j ACCEPT", verdict.tool,
		            verdict.table, doctor_word(d, verdict.chain), pair->subnet,
		            pair->subnet, out);
	else
		doctor_mend(d, "nft insert rule %s %s %s %s saddr %s %s daddr %s oifname %s accept",
		            verdict.table_family, doctor_word(d, verdict.table),
		            doctor_word(d, verdict.chain), pair->family, pair->subnet, pair->family,
		            pair->subnet, out);
	doctor_advise(d,
	              "better have the rule itself leave the bridge out, as Docker's does: ! -o %s",
	              out);
}

void doctor_check_nat(struct doctor *d)
{
	if (doctor_rules(d))
		each_pair(d, check_nat);
}

static void tell_udp(struct doctor *d, bool in, int port, const struct rules_verdict *verdict)
{
	doctor_find(d, DOCTOR_ERROR,
	            "blocked UDP: the packet filter drops the tunnel's %s "
	            "datagrams, port %d (%s)",
	            in ? "incoming" : "outgoing", port, verdict->text);
	const char *table = doctor_word(d, verdict->table), *chain = doctor_word(d, verdict->chain);

	doctor_means(d, in ? "no handshake comes about, or none that this host does not begin"
	                   : "no handshake comes about: nothing of the tunnel leaves this host");
	if (*verdict->tool)
		doctor_mend(d, "%s -t %s -I %s -p udp --dport %d -j ACCEPT", verdict->tool, table,
		            chain, port);
	else
		doctor_mend(d, "nft insert rule %s %s %s udp dport %d accept",
		            verdict->table_family, table, chain, port);
	doctor_advise(d,
	              "it lasts until the rules are made anew: have what makes them at boot make "
	              "this one, too");
}

/* Whether datagrams from, or to, a peer at @address are dropped here. */
static bool udp_drops(const struct doctor *d, bool in, const char *address, int port,
                      struct rules_verdict *verdict)
{
	static const char *const hooks[2][2] = { { "output", "postrouting" },
		                                 { "prerouting", "input" } };
	struct host_route route;
	bool routed = host_find_route(d->host, address, &route) && route.device[0];

	for (size_t i = 0; i < 2; i++) {
		struct rules_packet packet = { .hook = hooks[in][i],
			                       .family = family_of(address),
			                       .protocol = "udp",
			                       .dport = (uint16_t)port };

		if (in) {
			packet.in = routed ? route.device : NULL;
			packet.source = address;
		} else {
			packet.out = routed ? route.device : NULL;
			packet.destination = address;
		}
		if (rules_drop(d->rules, &packet, verdict))
			return true;
	}
	return false;
}

void doctor_check_firewall(struct doctor *d)
{
	bool told_in = d->listen_port == 0, told_out = false;
	struct rules_verdict verdict;
	json_t *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer) {
		char address[DOCTOR_ADDRESS_MAX];
		int port;

		if (!doctor_rules(d) || i == PEERS_MAX)
			return;
		if (!doctor_split(doctor_endpoint(peer), address, &port))
			continue;
		if (!told_in && udp_drops(d, true, address, d->listen_port, &verdict)) {
			tell_udp(d, true, d->listen_port, &verdict);
			told_in = true;
		}
		if (!told_out && udp_drops(d, false, address, port, &verdict)) {
			tell_udp(d, false, port, &verdict);
			told_out = true;
		}
	}
}
