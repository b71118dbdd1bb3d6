/* SPDX-License-Identifier: MIT */
/*
 * What a frame of a bridged network has to satisfy, whichever way it goes: into
 * the tunnel from a container, or out of it from a peer. Pure: a frame in, a
 * verdict out; who owns which station is asked elsewhere (fdb.h).
 *
 * Each guard is a switch of its own in the network's configuration. The defaults
 * are what a segment of containers needs: no protocol of switches, no router and
 * no DHCP server but those permitted, no VLAN tags, ARP and ND that say the truth
 * about their sender.
 */
#ifndef DATAPLANE_GUARD_H
#define DATAPLANE_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/packet.h"

struct member;
struct view_network;

/* MAC and IP bindings. */
enum guard_mode {
	GUARD_LEARN, /* the first to use an address keeps it (fdb.h) */
	GUARD_STRICT, /* the same, and a peer may use addresses of its AllowedIPs only */
	GUARD_OFF, /* MACs are owned; addresses are anyone's */
};
enum guard_vlans { GUARD_VLANS_NONE, GUARD_VLANS_ALL, GUARD_VLANS_LIST };

#define GUARD_VLAN_WORDS (4096 / 64)

struct guards {
	enum guard_mode mode;
	enum guard_vlans vlans;
	uint64_t vlan_list[GUARD_VLAN_WORDS]; /* the first tag's that is not 0 must be in it */
	bool link_control; /* STP, LLDP, 802.1X, pause frames pass */
	bool any_router, any_dhcp; /* pass from every member, not just the permitted */
	bool arp_mismatch; /* ARP and ND may lie about their sender's MAC */
	bool host_routing; /* peers may use this host as a router: rx_bridged.c */
	bool drop_unknown; /* unicast whose place is not known is dropped, not flooded */
};

enum guard_verdict {
	GUARD_PASS,
	GUARD_SOURCE_MAC, /* multicast, zero, the daemon's own; of a peer: the local bridge's */
	GUARD_LINK_CONTROL,
	GUARD_VLAN,
	GUARD_MALFORMED, /* the ethertype says IP or ARP, the bytes do not */
	GUARD_ARP, /* ARP or ND whose sender is not who sent the frame, or invalid by RFC 4861 */
	GUARD_GATEWAY, /* from a peer: claims an address of a local bridge */
	GUARD_ROUTER, /* router advertisement or redirect, not permitted */
	GUARD_DHCP, /* a DHCP server's message */
	GUARD_MARTIAN, /* IP source that nobody has */
	GUARD_COUNT
};

/*
 * A frame parsed as far as the guards and the table need it; what a claim says of
 * its sender is filled in by guard_frame().
 */
struct guarded {
	struct frame frame; /* packet.h */
	bool has_ip; /* @pkt is parsed */
	struct packet pkt;
	const struct wire_arp *arp; /* or NULL */
	bool has_nd;
	struct packet_nd nd;
	/*
	 * ARP or ND says that @claim_ip is at the frame's source MAC; family 0: nothing is
	 * claimed. Points into this struct or the frame.
	 */
	uint8_t claim_family;
	const uint8_t *claim_ip;
	/* bridged_claim(): that address was nobody's until now, or at another MAC. */
	bool is_news;
};

/* @by: whose frame it is; this host's own member for a frame from the TAP. */
enum guard_verdict guard_frame(const struct view_network *net, const struct member *by,
                               struct guarded *guarded) __attribute__((warn_unused_result));

/* May that VLAN, or what is not tagged, pass? */
bool guard_vlan_ok(const struct guards *guards, const struct wire_vlans *vlans);
/* An address of the bridge itself, which has none in VLANs. */
bool guard_is_gateway(const struct view_network *net, const struct wire_vlans *vlans,
                      uint8_t family, const uint8_t *addr);

#endif
