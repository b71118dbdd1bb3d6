/* SPDX-License-Identifier: MIT */
/* Checks of links, routes and addresses: bridges, MTUs, overlaps, duplicates. */
#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"

#define IPV6_MTU_MIN 1280
#define IPV4_UDP     28 /* headers of the outer packet */
#define IPV6_UDP     48
#define DATA_MESSAGE 32

static void check_tap(struct doctor *d, const char *bridge, const char *tap)
{
	const char *word = doctor_word(d, tap);
	struct host_link link;

	if (!host_find_link(d->host, tap, &link)) {
		doctor_find(d, DOCTOR_ERROR, "the TAP %s is not in this network namespace", tap);
		doctor_means(d, "ovltund runs in another one, or somebody removed its device");
		doctor_advise(d,
		              "ip -all netns exec ip link show %s finds it; or start ovltund again",
		              word);
	} else if (strcmp(link.master, bridge) != 0) {
		doctor_find(d, DOCTOR_ERROR, "the TAP %s is no port of the bridge %s", tap, bridge);
		doctor_means(d, "frames of the containers do not come to the tunnel");
		doctor_mend(d, "ip link set %s master %s", word, doctor_word(d, bridge));
	} else if (!link.up) {
		doctor_find(d, DOCTOR_ERROR, "the TAP %s is down", tap);
		doctor_means(d, "frames of the containers do not come to the tunnel");
		doctor_mend(d, "ip link set %s up", word);
	}
}

/* The command that makes the bridge: Docker's, where that is known to be what makes it. */
static void mend_missing(struct doctor *d, const json_t *network)
{
	const char *bridge = doctor_word(d, client_text(network, "bridge"));
	const json_t *subnets = json_object_get(network, "subnets");
	const json_t *ranges = json_object_get(network, "ranges");
	struct host_link link;

	if (!host_find_link(d->host, "docker0", &link))
		doctor_mend(d, "ip link add %s type bridge && ip link set %s up", bridge, bridge);
	else if (json_array_size(subnets) && json_array_size(ranges))
		doctor_mend(d,
		            "docker network create --subnet %s --ip-range %s "
		            "-o com.docker.network.bridge.name=%s %s",
		            json_string_value(json_array_get(subnets, 0)),
		            json_string_value(json_array_get(ranges, 0)), bridge, bridge);
	else
		doctor_mend(d, "docker network create -o com.docker.network.bridge.name=%s %s",
		            bridge, bridge);
	doctor_advise(d, "if it has another name: docker network inspect tells it; set Bridge to "
	                 "that");
}

static void check_bridge(struct doctor *d, const json_t *network)
{
	const char *bridge = client_text(network, "bridge"), *name = client_text(network, "name");
	const char *problem = client_text(network, "problem");
	size_t before = json_array_size(d->findings);
	struct host_link link;

	if (!host_find_link(d->host, bridge, &link)) {
		doctor_find(d, DOCTOR_ERROR, "network %s: there is no bridge %s", name, bridge);
		doctor_means(d, "the network waits for its bridge; no container of it is served");
		mend_missing(d, network);
	} else if (!link.is_bridge) {
		doctor_find(d, DOCTOR_ERROR, "network %s: %s is no bridge", name, bridge);
		doctor_means(d, "the TAP joins bridges only");
		doctor_advise(d, "set Bridge to one of: ip link show type bridge");
	} else if (!link.up) {
		doctor_find(d, DOCTOR_ERROR, "network %s: the bridge %s is down", name, bridge);
		doctor_means(d, "no frame passes a bridge that is down");
		doctor_mend(d, "ip link set %s up", doctor_word(d, bridge));
	} else if (d->state) {
		check_tap(d, bridge, client_text(network, "tap"));
	}
	if (json_array_size(d->findings) > before || !d->state)
		return;
	if (*problem && json_is_true(json_object_get(network, "attached"))) {
		doctor_find(d, DOCTOR_ERROR, "network %s: %s", name, problem);
		doctor_means(d, "some or all of its containers are not served");
		doctor_advise(d,
		              "ovlctl show tells Subnet, Range and AllowedIPs that are in force");
	} else if (!json_is_true(json_object_get(network, "attached"))) {
		doctor_find(d, DOCTOR_ERROR, "network %s is not attached%s%s", name,
		            *problem ? ": " : "", problem);
		doctor_means(d, "its containers are not served");
		doctor_advise(d, "ovlctl show; the daemon's log tells when it began");
	}
}

void doctor_check_bridges(struct doctor *d)
{
	json_t *network;
	size_t i;

	json_array_foreach (d->networks, i, network)
		check_bridge(d, network);
}

/* Overlaps: another device with a route to a part of a network's Subnet. */

struct overlap {
	struct doctor *d;
	const json_t *network;
	const char *subnet;
	struct prefix prefix;
};

/* "br-…" is what Docker calls a bridge that got no name. */
static bool is_dockers(const char *device)
{
	return strncmp(device, "br-", 3) == 0 || strcmp(device, "docker0") == 0;
}

static void check_route(void *arg, const struct host_route *route)
{
	const struct overlap *o = arg;
	const char *bridge = client_text(o->network, "bridge");
	struct prefix prefix;

	if (strcmp(route->device, bridge) == 0 || (!*route->device && !route->refuses) ||
	    !prefix_parse(&prefix, route->prefix) || prefix.family != o->prefix.family ||
	    !prefix_covers(&o->prefix, &prefix) || !doctor_concerns(o->d, &prefix))
		return;
	doctor_find(o->d, DOCTOR_ERROR, "the range %s of %s overlaps network %s, Subnet %s",
	            route->prefix, route->refuses ? "a route that refuses" : route->device,
	            client_text(o->network, "name"), o->subnet);
	doctor_means(o->d, "this host sends packets for these addresses there, past the overlay");
	if (route->refuses)
		doctor_mend(o->d, "ip route replace %s dev %s", route->prefix,
		            doctor_word(o->d, bridge));
	else if (is_dockers(route->device))
		doctor_advise(o->d,
		              "give that Docker network another range (docker network inspect, "
		              "rm, create --subnet), and the daemon's default-address-pools one "
		              "beside %s",
		              o->subnet);
	else if (route->connected) /* without it this host would be cut off from there */
		doctor_advise(o->d,
		              "%s is itself in that network: choose another Subnet, or another "
		              "range for the network",
		              route->device);
	else
		doctor_mend(o->d, "ip route del %s dev %s", route->prefix,
		            doctor_word(o->d, route->device));
	if (!route->connected && !is_dockers(route->device))
		doctor_advise(o->d, "if that way is wanted, choose another Subnet");
}

void doctor_check_overlaps(struct doctor *d)
{
	json_t *network, *subnet;
	size_t i, j;

	json_array_foreach (d->networks, i, network) {
		json_array_foreach (json_object_get(network, "subnets"), j, subnet) {
			struct overlap o = { d, network, json_string_value(subnet), { 0 } };

			if (prefix_parse(&o.prefix, o.subnet))
				host_each_route(d->host, check_route, &o);
		}
	}
}

/* Duplicates: a bridge's address that a peer has as well. */

struct owner {
	struct doctor *d;
	const json_t *network;
};

/* The addresses that the bridge has of the same subnet. */
struct siblings {
	const char *device;
	struct prefix subnet;
	size_t count, secondary;
};

static void count_sibling(void *arg, const struct host_address *address)
{
	struct siblings *siblings = arg;
	struct prefix subnet;

	if (strcmp(address->device, siblings->device) != 0 ||
	    !prefix_parse(&subnet, address->text) || subnet.family != siblings->subnet.family ||
	    subnet.len != siblings->subnet.len || !prefix_covers(&subnet, &siblings->subnet))
		return;
	siblings->count++;
	siblings->secondary += address->secondary;
}

/*
 * The kernel takes an IPv4 address's secondary ones away with it, unless it is told not to,
 * and the last one takes the subnet: then there is another one to be given first.
 */
static void mend_address(struct doctor *d, const struct host_address *address)
{
	const char *device = doctor_word(d, address->device);
	struct siblings siblings = { .device = address->device };

	if (!prefix_parse(&siblings.subnet, address->text))
		return;
	host_each_address(d->host, count_sibling, &siblings);
	if (siblings.count > 1 && siblings.secondary && !address->secondary)
		doctor_mend(d,
		            "sysctl -w net/ipv4/conf/%s/promote_secondaries=1 && "
		            "ip addr del %s dev %s",
		            device, address->text, device);
	else if (siblings.count > 1)
		doctor_mend(d, "ip addr del %s dev %s", address->text, device);
	doctor_advise(d,
	              "if Docker gave it, make the network anew with a --gateway of this host's "
	              "Range; if it is right here, correct AllowedIPs%s",
	              siblings.count > 1
	                      ? ""
	                      : "; it is the bridge's only one of that subnet, so another has to "
	                        "be there before it goes");
}

static void check_address(void *arg, const struct host_address *address)
{
	const struct owner *o = arg;
	char text[sizeof(address->text)];
	struct prefix prefix;
	json_t *peer;
	size_t i;

	(void)snprintf(text, sizeof(text), "%s", address->text);
	text[strcspn(text, "/")] = '\0';
	if (strcmp(address->device, client_text(o->network, "bridge")) != 0 ||
	    address->link_local || !prefix_parse(&prefix, text) ||
	    doctor_covering(json_object_get(o->network, "ranges"), &prefix) ||
	    !doctor_concerns(o->d, &prefix))
		return;
	json_array_foreach (o->d->peers, i, peer) {
		const char *claim = doctor_covering(json_object_get(peer, "allowed_ips"), &prefix);

		if (!claim)
			continue;
		doctor_find(o->d, DOCTOR_ERROR,
		            "the bridge %s has the address %s, which belongs to peer %s (%s)",
		            address->device, text, doctor_peer_name(peer), claim);
		doctor_means(o->d, "two hosts have one address: what is meant for the peer's stays "
		                   "here, and what the peer's says is dropped");
		mend_address(o->d, address);
	}
}

void doctor_check_addresses(struct doctor *d)
{
	json_t *network;
	size_t i;

	json_array_foreach (d->networks, i, network) {
		struct owner owner = { d, network };

		if (!doctor_is_bridged(network))
			host_each_address(d->host, check_address, &owner);
	}
	doctor_check_duplicates(d);
}

/*
 * MTUs: a bridge sends a frame to no port that it is too long for, and says nothing. Its
 * own MTU is what this host sends by.
 */

struct ports {
	struct doctor *d;
	const json_t *network;
	unsigned int mtu; /* the bridge's */
	unsigned int largest; /* of its ports, but the TAP */
};

static bool is_port(const struct ports *p, const struct host_link *link)
{
	return strcmp(link->master, client_text(p->network, "bridge")) == 0;
}

static void find_largest(void *arg, const struct host_link *link)
{
	struct ports *p = arg;

	if (is_port(p, link) && strcmp(link->name, client_text(p->network, "tap")) != 0 &&
	    link->mtu > p->largest)
		p->largest = link->mtu;
}

static void check_port_mtu(void *arg, const struct host_link *link)
{
	const struct ports *p = arg;

	if (!is_port(p, link) || link->mtu >= p->largest)
		return;
	doctor_find(p->d, DOCTOR_ERROR,
	            "MTU: the port %s of the bridge %s has one of %u, another port one of %u",
	            link->name, client_text(p->network, "bridge"), link->mtu, p->largest);
	doctor_means(p->d, "the bridge drops what is longer than a port takes, and tells nobody: "
	                   "small packets pass, large ones vanish");
	doctor_mend(p->d, "ip link set %s mtu %u", doctor_word(p->d, link->name), p->largest);
	if (strcmp(link->name, client_text(p->network, "tap")) != 0)
		doctor_advise(p->d,
		              "and the container's end of it too; Docker's option for a whole "
		              "network is com.docker.network.driver.mtu");
}

static void check_bridge_mtu(struct doctor *d, const json_t *network)
{
	const char *name = client_text(network, "bridge");
	struct host_link bridge;

	if (!host_find_link(d->host, name, &bridge))
		return;
	struct ports ports = { d, network, bridge.mtu, 0 };

	host_each_link(d->host, find_largest, &ports);
	host_each_link(d->host, check_port_mtu, &ports);
	if (!ports.largest || bridge.mtu >= ports.largest)
		return;
	doctor_find(d, DOCTOR_WARNING, "MTU: the bridge %s has one of %u, its ports one of %u",
	            name, bridge.mtu, ports.largest);
	doctor_means(d, "containers reach each other and other hosts as ever, but this host sends "
	                "to them in packets of that size at most, and what it routes to them "
	                "(published ports) is cut or refused");
	doctor_mend(d, "ip link set %s mtu %u", doctor_word(d, name), ports.largest);
}

static bool has_ipv6(const json_t *network)
{
	json_t *subnet;
	size_t i;

	json_array_foreach (json_object_get(network, "subnets"), i, subnet)
		if (strchr(json_string_value(subnet), ':'))
			return true;
	return false;
}

static void check_tunnel_mtu(struct doctor *d, const json_t *network)
{
	json_int_t wanted = client_number(network, "mtu");
	struct host_route route;
	struct host_link link;
	json_t *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer) {
		char address[DOCTOR_ADDRESS_MAX];
		int port;

		if (!doctor_split(doctor_endpoint(peer), address, &port) ||
		    !host_find_route(d->host, address, &route) ||
		    !host_find_link(d->host, route.device, &link))
			continue;
		json_int_t room = (json_int_t)link.mtu -
		                  (strchr(address, ':') ? IPV6_UDP : IPV4_UDP) - DATA_MESSAGE;

		if (wanted > room) {
			doctor_find(d, DOCTOR_WARNING,
			            "network %s: MTU = %lld, but %s towards peer %s takes %u",
			            client_text(network, "name"), (long long)wanted, route.device,
			            doctor_peer_name(peer), link.mtu);
			doctor_means(d, "datagrams of full size do not fit the way to the peer");
			doctor_advise(d, "set MTU = auto, or at most %lld", (long long)room);
		} else if (room < IPV6_MTU_MIN && has_ipv6(network)) {
			doctor_find(d, DOCTOR_ERROR,
			            "the device %s towards peer %s has an MTU of %u: too small",
			            route.device, doctor_peer_name(peer), link.mtu);
			doctor_means(d,
			             "IPv6 wants %d through the tunnel, and there is room for "
			             "%lld",
			             IPV6_MTU_MIN, (long long)room);
			doctor_advise(d,
			              "ip link set %s mtu 1500, if what is behind it takes as much",
			              route.device);
		}
	}
}

void doctor_check_mtu(struct doctor *d)
{
	json_t *network;
	size_t i;

	json_array_foreach (d->networks, i, network) {
		check_bridge_mtu(d, network);
		check_tunnel_mtu(d, network);
	}
}
