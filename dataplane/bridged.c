/* SPDX-License-Identifier: MIT */
#include "dataplane/bridged.h"

#include <string.h>
#include "dataplane/announce.h"
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/fdb.h"

/* The counters of one way. */
struct reasons {
	enum drop guard[GUARD_COUNT];
	enum drop mac_owned, binding, quota, moves;
};

static const struct reasons into_tunnel = {
	.guard = { [GUARD_PASS] = DROP_NONE,
	           [GUARD_SOURCE_MAC] = DROP_OUT_SOURCE_MAC,
	           [GUARD_LINK_CONTROL] = DROP_OUT_LINK_CONTROL,
	           [GUARD_VLAN] = DROP_OUT_VLAN,
	           [GUARD_MALFORMED] = DROP_OUT_MALFORMED,
	           [GUARD_ARP] = DROP_OUT_ARP,
	           [GUARD_GATEWAY] = DROP_OUT_GATEWAY,
	           [GUARD_ROUTER] = DROP_OUT_ROUTER,
	           [GUARD_DHCP] = DROP_OUT_DHCP,
	           [GUARD_MARTIAN] = DROP_OUT_MARTIAN },
	.mac_owned = DROP_OUT_MAC_OWNED,
	.binding = DROP_OUT_BINDING,
	.quota = DROP_OUT_QUOTA,
	.moves = DROP_OUT_MOVES,
};

static const struct reasons from_peer = {
	.guard = { [GUARD_PASS] = DROP_NONE,
	           [GUARD_SOURCE_MAC] = DROP_IN_SOURCE_MAC,
	           [GUARD_LINK_CONTROL] = DROP_IN_LINK_CONTROL,
	           [GUARD_VLAN] = DROP_IN_VLAN,
	           [GUARD_MALFORMED] = DROP_IN_MALFORMED,
	           [GUARD_ARP] = DROP_IN_ARP,
	           [GUARD_GATEWAY] = DROP_IN_GATEWAY,
	           [GUARD_ROUTER] = DROP_IN_ROUTER,
	           [GUARD_DHCP] = DROP_IN_DHCP,
	           [GUARD_MARTIAN] = DROP_IN_MARTIAN },
	.mac_owned = DROP_IN_MAC_OWNED,
	.binding = DROP_IN_BINDING,
	.quota = DROP_IN_QUOTA,
	.moves = DROP_IN_MOVES,
};

static const struct reasons *reasons_of(const struct member *by)
{
	return by->peer ? &from_peer : &into_tunnel;
}

enum drop bridged_guard(const struct view_network *net, const struct member *by,
                        struct guarded *guarded)
{
	return reasons_of(by)->guard[guard_frame(net, by, guarded)];
}

static enum fdb_verdict claim(struct burst *burst, const struct view_network *net,
                              struct member *by, const struct fdb_key *key, const uint8_t *mac)
{
	struct fdb_question question;
	bool ask = false;
	enum fdb_verdict verdict = fdb_claim(net->network->fdb, by, key, mac, FDB_LEARNED,
	                                     burst->now_ns, &ask, &question);

	if (ask)
		announce_ask(burst, net, &question);
	if (verdict == FDB_MOVED)
		device_event(burst->device, EVENT_STATION_MOVED, 1);
	return verdict;
}

/* @owned: when another has it. */
static enum drop reason_of(const struct member *by, enum fdb_verdict verdict, enum drop owned)
{
	switch (verdict) {
	case FDB_OK:
	case FDB_CAME:
	case FDB_MOVED:
		return DROP_NONE;
	case FDB_QUOTA:
		return reasons_of(by)->quota;
	case FDB_BUSY:
		return reasons_of(by)->moves;
	case FDB_CONTESTED:
	case FDB_REFUSED:
		break;
	}
	return owned;
}

/* Addresses that AllowedIPs say nothing of: those that a link gives out by itself. */
static bool is_link_local(uint8_t family, const uint8_t *addr)
{
	if (family == 4)
		return addr[0] == 169 && addr[1] == 254;
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

static bool is_allowed(const struct burst *burst, const struct view_network *net,
                       const struct member *by, uint8_t family, const uint8_t *addr)
{
	return net->guards.mode != GUARD_STRICT || !by->peer || is_link_local(family, addr) ||
	       route_lookup(burst->view->routes, family, addr) == by->peer;
}

/* An address that data comes from is not learned by it, but is held against what is known. */
static bool source_ok(const struct burst *burst, const struct view_network *net,
                      const struct member *by, const struct guarded *guarded)
{
	static const uint8_t unspecified[16];
	const struct packet *pkt = &guarded->pkt;
	struct fdb_key key = fdb_key_in(guarded->frame.vlans, pkt->family, pkt->source);
	struct fdb_place place;

	if (memcmp(pkt->source, unspecified, packet_addr_len(pkt)) == 0)
		return true;
	if (!is_allowed(burst, net, by, pkt->family, pkt->source))
		return false;
	if (!fdb_lookup(net->network->fdb, &key, burst->now_ns, &place))
		return true;
	return place.owner == by &&
	       memcmp(place.mac, guarded->frame.data + ETHER_ADDR_SIZE, ETHER_ADDR_SIZE) == 0;
}

enum drop bridged_claim(struct burst *burst, const struct view_network *net, struct member *by,
                        struct guarded *guarded)
{
	const struct reasons *reasons = reasons_of(by);
	const uint8_t *mac = guarded->frame.data + ETHER_ADDR_SIZE;
	struct fdb_key key = fdb_key_mac(mac);
	enum fdb_verdict verdict = claim(burst, net, by, &key, mac);
	enum drop reason = reason_of(by, verdict, reasons->mac_owned);

	guarded->is_news = false;
	if (reason != DROP_NONE || net->guards.mode == GUARD_OFF)
		return reason;
	if (guarded->claim_family) {
		if (!is_allowed(burst, net, by, guarded->claim_family, guarded->claim_ip))
			return reasons->binding;
		key = fdb_key_in(guarded->frame.vlans, guarded->claim_family, guarded->claim_ip);
		verdict = claim(burst, net, by, &key, mac);
		guarded->is_news = verdict == FDB_CAME || verdict == FDB_MOVED;
		reason = reason_of(by, verdict, reasons->binding);
		if (reason != DROP_NONE)
			return reason;
	}
	if (guarded->has_ip && !source_ok(burst, net, by, guarded))
		return reasons->binding;
	return DROP_NONE;
}

enum drop bridged_owned(const struct burst *burst, const struct view_network *net,
                        const struct member *by, const struct guarded *guarded)
{
	const struct fdb_key key = fdb_key_mac(guarded->frame.data + ETHER_ADDR_SIZE);
	struct fdb_place place;

	if (fdb_lookup(net->network->fdb, &key, burst->now_ns, &place) && place.owner != by)
		return reasons_of(by)->mac_owned;
	if (net->guards.mode != GUARD_OFF && guarded->has_ip &&
	    !source_ok(burst, net, by, guarded))
		return reasons_of(by)->binding;
	return DROP_NONE;
}

bool bridged_find(const struct burst *burst, const struct view_network *net,
                  const uint8_t mac[ETHER_ADDR_SIZE], struct fdb_place *place)
{
	struct fdb_key key = fdb_key_mac(mac);

	return !bridged_is_group(mac) && fdb_lookup(net->network->fdb, &key, burst->now_ns, place);
}
