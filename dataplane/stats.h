/* SPDX-License-Identifier: MIT */
/*
 * Counters, and the one list of reasons for which anything is dropped.
 *
 * Counters are written by workers with relaxed atomic additions and read by the
 * control thread at any time; they only ever grow.
 */
#ifndef DATAPLANE_STATS_H
#define DATAPLANE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum drop {
	DROP_NONE, /* not dropped; never counted */

	/* datagrams, before authentication */
	DROP_RX_MALFORMED, /* unknown type, or a length its type cannot have */
	DROP_RX_UNKNOWN_INDEX, /* no key pair or handshake of that receiver index */
	DROP_RX_KEY_EXPIRED, /* the key pair is 180 s old */
	DROP_RX_BAD_AUTH, /* does not authenticate */
	DROP_RX_REPLAY, /* authentic, and seen before or too old */

	/* handshake messages */
	DROP_HANDSHAKE_QUEUE, /* the bounded queue is full */
	DROP_HANDSHAKE_MAC1, /* not made by someone who knows our key */
	DROP_HANDSHAKE_COOKIE, /* under load: answered by a cookie instead */
	DROP_HANDSHAKE_RATE, /* the source limiter, or two within 20 ms */
	DROP_HANDSHAKE_INVALID, /* does not decrypt, unknown peer, wrong state */
	DROP_HANDSHAKE_STALE, /* time stamp not newer than the last */
	DROP_COOKIE_INVALID, /* a cookie reply that answers nothing we sent */

	/* after authentication, before the TAP */
	DROP_IN_KIND, /* first byte unknown, or not agreed upon by hello */
	DROP_IN_MALFORMED, /* IP header or lengths inconsistent */
	DROP_IN_SOURCE, /* source not in that peer's AllowedIPs */
	DROP_IN_NETWORK, /* source and destination not in one network's Subnet */
	DROP_IN_MARTIAN, /* an address that is never routed */
	DROP_IN_GATEWAY, /* claims the address of a local bridge */
	DROP_IN_NOT_LOCAL, /* destination is another peer's: never tunnel to tunnel */
	DROP_IN_ND, /* neighbour or router discovery, or a redirect, in routed mode */
	DROP_IN_DHCP, /* a DHCP server's answer, of a peer not permitted */
	DROP_IN_CONTROL, /* a control message that does not parse */
	DROP_IN_JOIN, /* a wish to join of who is not invited, or of who is anything else */
	DROP_IN_INTRODUCTION, /* of a peer that is not marked Introducer */
	DROP_IN_POST, /* for the control thread, faster than it takes them */
	DROP_IN_ECN, /* outer CE on an inner packet that is not ECN-capable (RFC 6040) */
	DROP_IN_NO_BRIDGE, /* the network's bridge is not there */
	DROP_IN_UNRESOLVED, /* no container answers for the destination */
	DROP_IN_BROADCAST, /* multicast or broadcast in routed mode */
	/* the same, bridged networks */
	DROP_IN_VNI, /* a network that the peer may not carry, or that is not here */
	DROP_IN_FRAME, /* frame too short, or its lengths inconsistent */
	DROP_IN_SOURCE_MAC, /* multicast, zero, or a local bridge's */
	DROP_IN_MAC_OWNED, /* a source MAC that is another's */
	DROP_IN_BINDING, /* an IP address that is another's, or not in AllowedIPs (strict) */
	DROP_IN_QUOTA, /* more MACs or addresses than the peer may have */
	DROP_IN_MOVES, /* a station that moves too often */
	DROP_IN_ARP, /* ARP or ND that lies about its sender */
	DROP_IN_ROUTER, /* router advertisement or redirect of a peer not permitted */
	DROP_IN_LINK_CONTROL, /* STP, LLDP, 802.1X, pause */
	DROP_IN_VLAN, /* a VLAN tag that is not configured */
	DROP_IN_FLOOD, /* broadcast, unknown and multicast beyond the peer's bucket */
	DROP_IN_ANNOUNCE, /* announcements or checks beyond the bucket, or out of turn */
	DROP_IN_HOST_ROUTING, /* IP for this host to route: to the bridge's MAC, not its address */
	DROP_IN_TUNNEL, /* a frame for a MAC that is behind the tunnel: never back into it */

	/* frames from the TAP */
	DROP_OUT_NO_NETWORK, /* the TAP is of no network, or of none any more */
	DROP_OUT_SHORT, /* too short for its headers */
	DROP_OUT_NOT_FOR_US, /* not to the router MAC: the bridge floods */
	DROP_OUT_ETHERTYPE, /* neither IP nor ARP, or a VLAN tag */
	DROP_OUT_MALFORMED, /* version nibble, lengths or headers inconsistent */
	DROP_OUT_GSO, /* offload request that does not fit the packet */
	DROP_OUT_MARTIAN,
	DROP_OUT_SOURCE, /* source not in Range: spoofed, or misconfigured */
	DROP_OUT_NETWORK, /* destination outside the network's Subnet */
	DROP_OUT_NO_ROUTE, /* in no peer's AllowedIPs */
	DROP_OUT_ARP, /* ARP or ND that lies about its sender */
	DROP_OUT_ND, /* router discovery or a redirect: they stay on their bridge */
	DROP_OUT_DHCP, /* the same of a container */
	DROP_OUT_LOOP, /* our own datagram: the endpoint lies behind the tunnel */
	DROP_OUT_BROADCAST, /* multicast or broadcast in routed mode */
	DROP_OUT_TOO_BIG, /* answered by "fragmentation needed" or "packet too big" */
	DROP_OUT_TOO_BIG_QUIET, /* the same, the answer withheld by its rate limit */
	DROP_OUT_NO_ENDPOINT, /* the peer has no endpoint yet */
	DROP_OUT_NO_KEY, /* no session can ever be: no own key, or one of low order of the peer's */
	DROP_OUT_STAGE_FULL, /* pushed out of the queue that awaits a handshake */
	DROP_OUT_STAGE_EXPIRED, /* the handshake was given up */
	DROP_OUT_KEY_EXPIRED, /* the key ran out between check and use */
	/* the same, bridged networks */
	DROP_OUT_SOURCE_MAC, /* multicast or zero */
	DROP_OUT_MAC_OWNED,
	DROP_OUT_BINDING,
	DROP_OUT_QUOTA, /* more MACs or addresses than this host may have */
	DROP_OUT_MOVES,
	DROP_OUT_ROUTER,
	DROP_OUT_LINK_CONTROL,
	DROP_OUT_VLAN,
	DROP_OUT_FLOOD, /* beyond a member's bucket; one for each copy */
	DROP_OUT_UNKNOWN, /* unicast whose place is not known, where such is not flooded */
	DROP_OUT_LOCAL, /* for a MAC that is on this bridge: the bridge floods */
	DROP_OUT_GATEWAY, /* a question for this bridge's own address, which answers itself */
	DROP_OUT_NO_HELLO, /* the peer takes no frames of this network */
	DROP_OUT_SEND, /* the kernel refused the datagram */
	DROP_TAP_WRITE, /* the TAP refused the frame: each packet merged in it counts */

	DROP_COUNT
};

/* Short stable names ("rx-replay"), and one sentence each for people. */
const char *drop_name(enum drop reason);
const char *drop_text(enum drop reason);

/* Things worth counting that are not drops. */
enum event {
	EVENT_HANDSHAKE_SENT,
	EVENT_HANDSHAKE_DONE,
	EVENT_COOKIE_SENT,
	EVENT_ROAM,
	EVENT_ARP_ANSWERED,
	EVENT_ND_ANSWERED,
	EVENT_PROBE_SENT,
	EVENT_MSS_CLAMPED,
	EVENT_CUT, /* over-long TCP segments split */
	EVENT_FRAGMENTED,
	EVENT_TOO_BIG_SENT,
	EVENT_FLOODED, /* copies of frames whose place was not known */
	EVENT_SUPPRESSED, /* copies not sent, as the question was answered here */
	EVENT_STATION_MOVED, /* MACs and addresses that changed their owner */
	EVENT_CHECK_SENT, /* owners asked whether they still have a station */
	EVENT_ANNOUNCED, /* messages about stations sent */
	EVENT_OVERSIZE_SENT, /* went out whole and IP-fragmented outside */
	EVENT_GSO_FALLBACK, /* a UDP_SEGMENT send repeated one by one */
	EVENT_GSO_AVOIDED, /* sent one by one, as it was refused on this way before */
	EVENT_RCV_OVERFLOW, /* datagrams the socket's buffer lost */
	EVENT_NETLINK_OVERFLOW, /* times that the kernel had no room to tell of links or stations */
	EVENT_COUNT
};
const char *event_name(enum event e);

struct stats {
	_Atomic uint64_t drops[DROP_COUNT];
	_Atomic uint64_t events[EVENT_COUNT];
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline uint64_t stats_read(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
