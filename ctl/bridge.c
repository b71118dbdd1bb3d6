/* SPDX-License-Identifier: MIT */
/*
 * One pass of bridge_update() looks (at the cache), keeps (each duty in turn: the
 * link, its bridge, the port, the routes) and publishes (a new state, if it
 * differs). A pass starts from what is, never from what the last pass did; what
 * is remembered between passes is said beside struct bridge.
 *
 * The link's duty comes before joining: a port of small MTU or low MAC would pull
 * the whole bridge's down with it for a moment.
 */
#include "ctl/bridge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS   1000000000ULL
#define PROBLEM_MAX 160
#define TAP_MTU_MAX 65521U /* 65535 less an Ethernet header: the kernel's limit */

/* Tries a second. More than one where a good cause can come twice: containers' MTUs. */
#define JOIN_TRIES  1
#define LINK_TRIES  4
#define PORT_TRIES  1
#define ROUTE_TRIES 1
/* Events can fail to come: the port is set up again at this pace whatever they say. */
#define PORT_AUDIT_NS (10 * SECOND_NS)

/* Something to be kept as it should be: when it was tried, and what came of it. */
struct duty {
	uint64_t since_ns; /* the second that @left counts down in */
	unsigned int left;
	int error; /* of the last try; told until a try succeeds or none is needed */
};

struct subnet_route {
	struct prefix prefix;
	bool ours; /* set by us, and not taken away since as far as we know */
	int error;
};

/* A state and the arrays that it shows. */
struct picture {
	struct bridge_state state;
	struct prefix *prefixes;
	struct neigh_addr *addresses;
};

struct bridge {
	struct priv *priv;
	struct netlink *netlink;
	char name[IFNAMSIZ];
	uint32_t tap_index;
	uint8_t tap_mac[ETHER_ADDR_SIZE];
	bool bridged;
	uint8_t router_mac[ETHER_ADDR_SIZE];
	struct subnet_route *routes;
	size_t route_count;
	bool watching; /* the router MAC's FDB entries */
	bool kept; /* until the first look: routes may be there already */

	/* About the bridge of this index; forgotten with it (0: there is none). */
	uint32_t index;
	uint32_t mtu; /* what the TAP's should be; 0: not decided yet */
	uint32_t odd_mtu; /* another one that the bridge shows while we are alone in it */
	uint64_t odd_since_ns;
	bool port_done; /* the port was set up once since it was joined */
	uint64_t port_done_ns;
	uint64_t fdb_events; /* as many had come then */
	struct duty join, link, port, route;

	struct picture shown;
	char problem[PROBLEM_MAX];
};

/* What one pass works on. The links are copies: requests may move the cache's. */
struct pass {
	uint64_t now_ns;
	bool has_tap;
	struct netlink_link tap;
	struct netlink_link bridge; /* index 0: none */
	char problem[PROBLEM_MAX]; /* the first one met */
};

static bool duty_try(struct duty *duty, uint64_t now_ns, unsigned int tries)
{
	if (duty->since_ns == 0 || now_ns - duty->since_ns >= SECOND_NS) {
		duty->since_ns = now_ns;
		duty->left = tries;
	}
	if (duty->left == 0)
		return false;
	duty->left--;
	return true;
}

static void complain(struct pass *pass, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void complain(struct pass *pass, const char *format, ...)
{
	va_list args;

	if (pass->problem[0])
		return;
	va_start(args, format);
	(void)vsnprintf(pass->problem, sizeof(pass->problem), format, args);
	va_end(args);
}

/* ---- look ---- */

static void drop_route(struct bridge *b, struct subnet_route *route)
{
	if (route->ours)
		(void)priv_remove_route(b->priv, b->index, &route->prefix);
	route->ours = false;
	route->error = 0;
}

static void forget_bridge(struct bridge *b)
{
	/* One that was renamed is still there, and our routes with it. */
	for (size_t i = 0; i < b->route_count; i++)
		drop_route(b, &b->routes[i]);
	b->index = 0;
	b->mtu = 0;
	b->odd_mtu = 0;
	b->port_done = false;
	memset(&b->join, 0, sizeof(b->join));
	memset(&b->link, 0, sizeof(b->link));
	memset(&b->port, 0, sizeof(b->port));
	memset(&b->route, 0, sizeof(b->route));
}

/*
 * Of the last life's routes those that are there: they are not to be taken away and set
 * again, for what goes by them would go elsewhere meanwhile.
 */
static void find_kept_routes(struct bridge *b)
{
	struct netlink_route *routes = NULL;
	size_t count = 0;

	if (b->route_count == 0 || netlink_own_routes(b->netlink, &routes, &count))
		return;
	for (size_t i = 0; i < count; i++)
		for (size_t s = 0; s < b->route_count; s++)
			b->routes[s].ours |= routes[i].index == b->index &&
			                     prefix_equal(&routes[i].prefix, &b->routes[s].prefix);
	free(routes);
}

static void look(struct bridge *b, struct pass *pass)
{
	const struct netlink_link *link = netlink_get_link(b->netlink, b->tap_index);

	if (!link && netlink_refresh(b->netlink, b->tap_index) == 0)
		link = netlink_get_link(b->netlink, b->tap_index);
	pass->has_tap = link != NULL;
	if (link)
		pass->tap = *link;
	else
		complain(pass, "the TAP device is gone");
	link = netlink_find_link(b->netlink, b->name);
	if (!link)
		complain(pass, "waiting for bridge %s", b->name);
	else if (!link->is_bridge)
		complain(pass, "%s exists but is not a bridge", b->name);
	else
		pass->bridge = *link;
	if (pass->bridge.index != b->index) {
		forget_bridge(b);
		b->index = pass->bridge.index;
	}
	if (b->kept)
		find_kept_routes(b);
	b->kept = false;
}

static bool is_port(const struct pass *pass)
{
	return pass->has_tap && pass->bridge.index != 0 && pass->tap.master == pass->bridge.index;
}

/* ---- keep ---- */

/* Of the bridge's other ports; 0: there are none. */
static uint32_t largest_port_mtu(const struct bridge *b)
{
	const struct netlink_link *links;
	size_t count = netlink_links(b->netlink, &links);
	uint32_t mtu = 0;

	for (size_t i = 0; i < count; i++)
		if (links[i].master == b->index && links[i].index != b->tap_index &&
		    links[i].mtu > mtu)
			mtu = links[i].mtu;
	return mtu;
}

/*
 * Alone we take the bridge's own MTU, but a bridge takes its ports' in turn: when
 * someone changes the TAP's, the bridge shows that one, and must not be followed.
 * Its event may come before the TAP's; so another MTU has to last before we do.
 */
static uint32_t lone_mtu(struct bridge *b, const struct pass *pass)
{
	if (b->mtu == 0 || !is_port(pass))
		return pass->bridge.mtu;
	if (pass->bridge.mtu == b->mtu || pass->bridge.mtu == pass->tap.mtu) {
		b->odd_mtu = 0;
		return b->mtu;
	}
	if (b->odd_mtu != pass->bridge.mtu) {
		b->odd_mtu = pass->bridge.mtu;
		b->odd_since_ns = pass->now_ns;
	}
	return pass->now_ns - b->odd_since_ns < SECOND_NS / 2 ? b->mtu : b->odd_mtu;
}

static void keep_link(struct bridge *b, struct pass *pass)
{
	uint32_t mtu = largest_port_mtu(b);

	if (mtu == 0)
		mtu = lone_mtu(b, pass);
	b->mtu = mtu < TAP_MTU_MAX ? mtu : TAP_MTU_MAX;
	if (pass->tap.mtu == b->mtu && (pass->tap.flags & IFF_UP) &&
	    memcmp(pass->tap.mac, b->tap_mac, ETHER_ADDR_SIZE) == 0) {
		b->link.error = 0;
		return;
	}
	if (duty_try(&b->link, pass->now_ns, LINK_TRIES)) {
		b->link.error = priv_set_link(b->priv, b->tap_index, b->mtu, b->tap_mac);
		if (!b->link.error)
			pass->tap.mtu = b->mtu;
	}
	if (b->link.error)
		complain(pass, "cannot set up the TAP device for bridge %s: %s", b->name,
		         strerror(-b->link.error));
}

static void keep_joined(struct bridge *b, struct pass *pass)
{
	if (is_port(pass)) {
		b->join.error = 0;
		return;
	}
	if (duty_try(&b->join, pass->now_ns, JOIN_TRIES)) {
		b->join.error = priv_join_bridge(b->priv, b->tap_index, b->index);
		if (!b->join.error) {
			pass->tap.master = b->index;
			b->port_done = false;
			return;
		}
	}
	if (b->join.error == -ENODEV)
		complain(pass, "waiting for bridge %s", b->name);
	else if (b->join.error)
		complain(pass, "cannot join bridge %s: %s", b->name, strerror(-b->join.error));
	else
		complain(pass, "something takes the TAP device out of bridge %s", b->name);
}

static void keep_port(struct bridge *b, struct pass *pass)
{
	enum netlink_port kind = b->bridged ? NETLINK_PORT_BRIDGED : NETLINK_PORT_ROUTED;
	uint64_t fdb_events = netlink_fdb_events(b->netlink);
	bool first = !b->port_done, set = pass->tap.port_set & 1U << kind;
	bool touched = b->watching && b->fdb_events != fdb_events;

	if (first || ((!set || touched) && duty_try(&b->port, pass->now_ns, PORT_TRIES)) ||
	    pass->now_ns - b->port_done_ns >= PORT_AUDIT_NS) {
		b->port.error =
			priv_set_port(b->priv, b->tap_index, b->bridged ? NULL : b->router_mac);
		b->port_done = true;
		b->port_done_ns = pass->now_ns;
		b->fdb_events = fdb_events; /* what this causes itself finds all as it should be */
	}
	if (b->port.error)
		complain(pass, "cannot set up the port of bridge %s: %s", b->name,
		         strerror(-b->port.error));
}

/* The bridge was renamed, or we sit in one that is not ours: its traffic is none of ours. */
static void keep_out(struct bridge *b, struct pass *pass)
{
	if (pass->tap.master && duty_try(&b->join, pass->now_ns, JOIN_TRIES) &&
	    priv_join_bridge(b->priv, b->tap_index, 0) == 0)
		pass->tap.master = 0;
}

static bool is_link_local(uint8_t family, const uint8_t *addr)
{
	if (family == 4)
		return addr[0] == 169 && addr[1] == 254;
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/*
 * A route is wanted where the bridge has no network that holds the subnet, but an
 * address of the family to send from.
 */
static bool wants_route(const struct pass *pass, const struct bridge_state *state,
                        const struct prefix *subnet)
{
	bool has_source = false;

	if (!state->attached || !(pass->bridge.flags & IFF_UP))
		return false;
	for (size_t i = 0; i < state->prefix_count; i++)
		if (prefix_covers(&state->prefixes[i], subnet))
			return false;
	for (size_t i = 0; i < state->address_count; i++)
		has_source |= state->addresses[i].family == subnet->family &&
		              !is_link_local(state->addresses[i].family, state->addresses[i].addr);
	return has_source;
}

/* @due: a second has passed; what stands is looked after, what failed is tried again. */
static void keep_route(struct bridge *b, struct pass *pass, struct subnet_route *route, bool due)
{
	char text[PREFIX_TEXT_MAX];
	int err;

	if (due || (!route->ours && !route->error)) {
		/* A daemon that was killed has left its own behind. */
		if (!route->ours)
			(void)priv_remove_route(b->priv, b->index, &route->prefix);
		err = priv_add_route(b->priv, b->index, &route->prefix);
		if (err == -EEXIST && route->ours)
			err = 0;
		route->ours = !err;
		route->error = err;
	}
	if (!route->error)
		return;
	prefix_format(&route->prefix, text);
	complain(pass, "cannot set the route to %s on %s: %s", text, b->name,
	         route->error == -EEXIST ? "there is another one" : strerror(-route->error));
}

static void keep_routes(struct bridge *b, struct pass *pass, const struct bridge_state *state)
{
	bool due = b->route_count && duty_try(&b->route, pass->now_ns, ROUTE_TRIES);

	for (size_t i = 0; i < b->route_count; i++) {
		if (wants_route(pass, state, &b->routes[i].prefix))
			keep_route(b, pass, &b->routes[i], due);
		else
			drop_route(b, &b->routes[i]);
	}
}

/* ---- publish ---- */

static int compare_prefixes(const void *a, const void *b)
{
	const struct prefix *x = a, *y = b;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return memcmp(x->addr, y->addr, sizeof(x->addr));
}

static int compare_addresses(const void *a, const void *b)
{
	const struct neigh_addr *x = a, *y = b;

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	return memcmp(x->addr, y->addr, sizeof(x->addr));
}

/* Sorts, and drops what is there twice. Returns how many are left. */
static size_t tidy(void *array, size_t count, size_t size,
                   int (*compare)(const void *, const void *))
{
	char *bytes = array;
	size_t kept = 0;

	if (count == 0)
		return 0;
	qsort(array, count, size, compare);
	for (size_t i = 1; i < count; i++)
		if (compare(bytes + kept * size, bytes + i * size) != 0)
			memmove(bytes + ++kept * size, bytes + i * size, size);
	return kept + 1;
}

static void picture_free(struct picture *picture)
{
	free(picture->prefixes);
	free(picture->addresses);
	memset(picture, 0, sizeof(*picture));
}

static void picture_add(struct picture *picture, const struct netlink_address *address)
{
	struct bridge_state *state = &picture->state;
	struct neigh_addr *own = &picture->addresses[state->address_count++];

	own->family = address->family;
	memcpy(own->addr, address->addr, sizeof(own->addr));
	if (address->prefix.len > 0 && !is_link_local(address->family, address->addr))
		picture->prefixes[state->prefix_count++] = address->prefix;
}

/* All but the problem. 0 or -ENOMEM. */
static int picture_build(const struct bridge *b, const struct pass *pass, struct picture *picture)
{
	const struct netlink_address *all;
	size_t count = netlink_addresses(b->netlink, &all);
	struct bridge_state *state = &picture->state;

	memset(picture, 0, sizeof(*picture));
	picture->prefixes = calloc(count + 1, sizeof(*picture->prefixes));
	picture->addresses = calloc(count + 1, sizeof(*picture->addresses));
	if (!picture->prefixes || !picture->addresses) {
		picture_free(picture);
		return -ENOMEM;
	}
	state->attached = is_port(pass);
	state->bridge_index = pass->bridge.index;
	memcpy(state->bridge_mac, pass->bridge.mac, ETHER_ADDR_SIZE);
	state->mtu = pass->tap.mtu;
	for (size_t i = 0; i < count; i++)
		if (pass->bridge.index != 0 && all[i].index == pass->bridge.index)
			picture_add(picture, &all[i]);
	state->prefixes = picture->prefixes;
	state->prefix_count = tidy(picture->prefixes, state->prefix_count,
	                           sizeof(*picture->prefixes), compare_prefixes);
	state->addresses = picture->addresses;
	state->address_count = tidy(picture->addresses, state->address_count,
	                            sizeof(*picture->addresses), compare_addresses);
	return 0;
}

static bool state_same(const struct bridge_state *a, const struct bridge_state *b)
{
	if (a->attached != b->attached || a->bridge_index != b->bridge_index || a->mtu != b->mtu ||
	    memcmp(a->bridge_mac, b->bridge_mac, ETHER_ADDR_SIZE) != 0 ||
	    a->prefix_count != b->prefix_count || a->address_count != b->address_count)
		return false;
	for (size_t i = 0; i < a->prefix_count; i++)
		if (compare_prefixes(&a->prefixes[i], &b->prefixes[i]) != 0)
			return false;
	for (size_t i = 0; i < a->address_count; i++)
		if (compare_addresses(&a->addresses[i], &b->addresses[i]) != 0)
			return false;
	return true;
}

static unsigned int publish_problem(struct bridge *b, const struct pass *pass)
{
	if (strcmp(b->problem, pass->problem) == 0)
		return 0;
	memcpy(b->problem, pass->problem, sizeof(b->problem));
	b->shown.state.problem = b->problem[0] ? b->problem : NULL;
	return BRIDGE_PROBLEM;
}

/* Takes @picture over. */
static unsigned int publish_view(struct bridge *b, struct picture *picture)
{
	if (state_same(&b->shown.state, &picture->state)) {
		picture_free(picture);
		return 0;
	}
	picture->state.problem = b->shown.state.problem;
	picture_free(&b->shown);
	b->shown = *picture;
	return BRIDGE_VIEW;
}

/* ---- the calls ---- */

struct bridge *bridge_open(struct priv *priv, struct netlink *netlink,
                           const struct bridge_config *config)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->priv = priv;
	b->netlink = netlink;
	b->tap_index = config->tap_index;
	strncpy(b->name, config->name, sizeof(b->name) - 1);
	memcpy(b->tap_mac, config->tap_mac, ETHER_ADDR_SIZE);
	b->bridged = config->bridged;
	memcpy(b->router_mac, config->router_mac, ETHER_ADDR_SIZE);
	if (bridge_set_subnets(b, config->subnets, config->subnet_count) < 0) {
		free(b);
		return NULL;
	}
	b->kept = config->kept;
	/* Without it the audit has to do. */
	b->watching = !b->bridged && netlink_watch_mac(netlink, b->router_mac) == 0;
	return b;
}

void bridge_leave(struct bridge *bridge)
{
	if (bridge->watching)
		netlink_unwatch_mac(bridge->netlink, bridge->router_mac);
	picture_free(&bridge->shown);
	free(bridge->routes);
	free(bridge);
}

void bridge_close(struct bridge *bridge)
{
	if (!bridge)
		return;
	for (size_t i = 0; i < bridge->route_count; i++)
		drop_route(bridge, &bridge->routes[i]);
	if (bridge->shown.state.attached)
		(void)priv_join_bridge(bridge->priv, bridge->tap_index, 0);
	bridge_leave(bridge);
}

int bridge_set_subnets(struct bridge *bridge, const struct prefix *subnets, size_t count)
{
	struct subnet_route *routes = calloc(count + 1, sizeof(*routes));

	if (!routes)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		routes[i].prefix = subnets[i];
	for (size_t i = 0; i < bridge->route_count; i++) {
		struct subnet_route *old = &bridge->routes[i];
		size_t at = 0;

		while (at < count && !prefix_equal(&routes[at].prefix, &old->prefix))
			at++;
		if (at < count)
			routes[at] = *old;
		else
			drop_route(bridge, old);
	}
	free(bridge->routes);
	bridge->routes = routes;
	bridge->route_count = count;
	return 0;
}

unsigned int bridge_update(struct bridge *bridge, uint64_t now_ns)
{
	struct pass pass = { .now_ns = now_ns };
	struct picture picture;
	unsigned int news;

	look(bridge, &pass);
	if (pass.has_tap && pass.bridge.index) {
		keep_link(bridge, &pass);
		keep_joined(bridge, &pass);
		if (is_port(&pass))
			keep_port(bridge, &pass);
		if (!(pass.bridge.flags & IFF_UP))
			complain(&pass, "bridge %s is down", bridge->name);
	} else if (pass.has_tap) {
		keep_out(bridge, &pass);
	}
	if (picture_build(bridge, &pass, &picture) < 0) {
		complain(&pass, "out of memory");
		return publish_problem(bridge, &pass);
	}
	keep_routes(bridge, &pass, &picture.state);
	news = publish_view(bridge, &picture);
	return news | publish_problem(bridge, &pass);
}

const struct bridge_state *bridge_state(const struct bridge *bridge)
{
	return &bridge->shown.state;
}
