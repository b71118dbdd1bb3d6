/* SPDX-License-Identifier: MIT */
/*
 * What counters are called. Names follow from the enum and never change: people
 * have scripts that look for them.
 */
#include <stddef.h>
#include "dataplane/stats.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

struct drop_entry {
	const char *name;
	const char *text;
};

/* clang-format off */
static const struct drop_entry drops[] = {
	[DROP_NONE] = { "none",
		"Not dropped." },

	[DROP_RX_MALFORMED] = { "rx-malformed",
		"A datagram was no message: unknown type, or a length its type cannot have." },
	[DROP_RX_UNKNOWN_INDEX] = { "rx-unknown-index",
		"A message named a session that does not exist here, or no longer." },
	[DROP_RX_KEY_EXPIRED] = { "rx-key-expired",
		"A message came on a session older than 180 seconds." },
	[DROP_RX_BAD_AUTH] = { "rx-bad-auth",
		"A message did not authenticate: forged or damaged." },
	[DROP_RX_REPLAY] = { "rx-replay",
		"An authentic message came a second time, or too late to tell." },

	[DROP_HANDSHAKE_QUEUE] = { "handshake-queue",
		"More handshakes came than the queue holds." },
	[DROP_HANDSHAKE_MAC1] = { "handshake-mac1",
		"A handshake came from someone who does not know our public key." },
	[DROP_HANDSHAKE_COOKIE] = { "handshake-cookie",
		"Under load, a handshake was answered by a cookie instead." },
	[DROP_HANDSHAKE_RATE] = { "handshake-rate",
		"One source or one peer sent handshakes too fast." },
	[DROP_HANDSHAKE_INVALID] = { "handshake-invalid",
		"A handshake did not decrypt, was no configured peer's, or answered nothing." },
	[DROP_HANDSHAKE_STALE] = { "handshake-stale",
		"A handshake was not newer than the peer's last one: replayed, or its clock "
		"went back." },
	[DROP_COOKIE_INVALID] = { "cookie-invalid",
		"A cookie reply answered nothing that we sent." },

	[DROP_IN_KIND] = { "in-kind",
		"A peer sent what its hello did not agree upon, or an unknown kind." },
	[DROP_IN_MALFORMED] = { "in-malformed",
		"A peer sent a packet whose headers or lengths contradict themselves." },
	[DROP_IN_SOURCE] = { "in-source",
		"A peer sent from an address that is not in its AllowedIPs." },
	[DROP_IN_NETWORK] = { "in-network",
		"A peer sent between addresses that are not of one network's Subnet." },
	[DROP_IN_MARTIAN] = { "in-martian",
		"A peer sent from or to an address that is never routed." },
	[DROP_IN_GATEWAY] = { "in-gateway",
		"A peer claimed the address of a local bridge." },
	[DROP_IN_NOT_LOCAL] = { "in-not-local",
		"A peer sent to what lives at another peer: nothing goes from tunnel to tunnel." },
	[DROP_IN_ND] = { "in-nd",
		"A peer sent neighbour or router discovery, or a redirect, into a routed "
		"network." },
	[DROP_IN_DHCP] = { "in-dhcp",
		"A peer that may not answered as a DHCP server: in a routed network, none may." },
	[DROP_IN_CONTROL] = { "in-control",
		"A peer's control message did not parse." },
	[DROP_IN_JOIN] = { "in-join",
		"A peer that is not invited asked to join, or an invited one sent another "
		"message." },
	[DROP_IN_INTRODUCTION] = { "in-introduction",
		"A peer introduced a host, and is not marked Introducer = yes here." },
	[DROP_IN_POST] = { "in-post",
		"A peer sent messages about joining faster than they are taken." },
	[DROP_IN_ECN] = { "in-ecn",
		"A router marked congestion on a packet that cannot carry the mark inside." },
	[DROP_IN_NO_BRIDGE] = { "in-no-bridge",
		"A packet came for a network whose bridge is not there." },
	[DROP_IN_UNRESOLVED] = { "in-unresolved",
		"No container answers for the packet's destination." },
	[DROP_IN_BROADCAST] = { "in-broadcast",
		"A peer sent multicast or broadcast into a routed network." },
	[DROP_IN_VNI] = { "in-vni",
		"A peer sent a frame of a network that it may not carry, or that is not here." },
	[DROP_IN_FRAME] = { "in-frame",
		"A peer sent a frame that is too short, or whose lengths contradict themselves." },
	[DROP_IN_SOURCE_MAC] = { "in-source-mac",
		"A peer sent from a MAC that is multicast, zero, or a local bridge's." },
	[DROP_IN_MAC_OWNED] = { "in-mac-owned",
		"A peer sent from a MAC that is at another host, or here." },
	[DROP_IN_BINDING] = { "in-binding",
		"A peer used an IP address that is another's, or is not in its AllowedIPs "
		"(Guard = strict)." },
	[DROP_IN_QUOTA] = { "in-quota",
		"A peer used more MACs or addresses than it may have." },
	[DROP_IN_MOVES] = { "in-moves",
		"A peer claimed a MAC or an address that has moved too often." },
	[DROP_IN_ARP] = { "in-arp",
		"A peer sent ARP or neighbour discovery that lies about its sender." },
	[DROP_IN_ROUTER] = { "in-router",
		"A peer that may not sent router advertisements or redirects." },
	[DROP_IN_LINK_CONTROL] = { "in-link-control",
		"A peer sent a protocol of switches: spanning tree, LLDP, EAPOL, pause." },
	[DROP_IN_VLAN] = { "in-vlan",
		"A peer sent a VLAN tag that is not configured." },
	[DROP_IN_FLOOD] = { "in-flood",
		"A peer sent more broadcast, multicast and unknown frames than it may." },
	[DROP_IN_ANNOUNCE] = { "in-announce",
		"A peer announced too fast, or out of turn." },
	[DROP_IN_HOST_ROUTING] = { "in-host-routing",
		"A peer sent this host's bridge a packet for an address that is not the bridge's: "
		"to be routed elsewhere (HostRouting)." },
	[DROP_IN_TUNNEL] = { "in-tunnel",
		"A peer sent a frame for a MAC that is at another host: it never goes back out." },

	[DROP_OUT_NO_NETWORK] = { "out-no-network",
		"A frame came from the TAP of a network that is not served, or not any more." },
	[DROP_OUT_SHORT] = { "out-short",
		"A frame was too short for its headers." },
	[DROP_OUT_NOT_FOR_US] = { "out-not-for-us",
		"A frame was not for the router's MAC: the bridge floods." },
	[DROP_OUT_ETHERTYPE] = { "out-ethertype",
		"A frame was neither IP nor ARP, or had a VLAN tag." },
	[DROP_OUT_MALFORMED] = { "out-malformed",
		"A container sent a packet whose headers or lengths contradict themselves." },
	[DROP_OUT_GSO] = { "out-gso",
		"A frame's offload request did not fit its packet." },
	[DROP_OUT_MARTIAN] = { "out-martian",
		"A container sent from or to an address that is never routed." },
	[DROP_OUT_SOURCE] = { "out-source",
		"A container sent from an address outside Range: spoofed, or Range is set wrong." },
	[DROP_OUT_NETWORK] = { "out-network",
		"A container sent to an address outside the network's Subnet." },
	[DROP_OUT_NO_ROUTE] = { "out-no-route",
		"A container sent to an address in no peer's AllowedIPs." },
	[DROP_OUT_ARP] = { "out-arp",
		"A container sent ARP or neighbour discovery that lies about its sender." },
	[DROP_OUT_ND] = { "out-nd",
		"A container sent router discovery, a redirect, or discovery that is not valid." },
	[DROP_OUT_DHCP] = { "out-dhcp",
		"A container answered as a DHCP server, which this host may not." },
	[DROP_OUT_LOOP] = { "out-loop",
		"The tunnel's own datagram came back: a peer's endpoint lies in a network's Subnet." },
	[DROP_OUT_BROADCAST] = { "out-broadcast",
		"A container sent multicast or broadcast in a routed network." },
	[DROP_OUT_TOO_BIG] = { "out-too-big",
		"A packet was longer than the tunnel takes; its sender was told." },
	[DROP_OUT_TOO_BIG_QUIET] = { "out-too-big-quiet",
		"A packet was longer than the tunnel takes; its sender had been told often "
		"enough." },
	[DROP_OUT_NO_ENDPOINT] = { "out-no-endpoint",
		"The peer's endpoint is not known yet." },
	[DROP_OUT_NO_KEY] = { "out-no-key",
		"There is no private key here, or the peer's public key is not one that can be "
		"used." },
	[DROP_OUT_STAGE_FULL] = { "out-stage-full",
		"Too many packets waited for the peer's handshake; the oldest went." },
	[DROP_OUT_STAGE_EXPIRED] = { "out-stage-expired",
		"The peer did not answer the handshake a packet waited for." },
	[DROP_OUT_KEY_EXPIRED] = { "out-key-expired",
		"The session ended while a packet was on its way out." },
	[DROP_OUT_SOURCE_MAC] = { "out-source-mac",
		"A frame's sender was a multicast or zero MAC." },
	[DROP_OUT_MAC_OWNED] = { "out-mac-owned",
		"A container used a MAC that is at another host." },
	[DROP_OUT_BINDING] = { "out-binding",
		"A container used an IP address that is another's." },
	[DROP_OUT_QUOTA] = { "out-quota",
		"This host's containers used more MACs or addresses than a host may have." },
	[DROP_OUT_MOVES] = { "out-moves",
		"A container claimed a MAC or an address that has moved too often." },
	[DROP_OUT_ROUTER] = { "out-router",
		"A container sent router advertisements or redirects, which this host may not." },
	[DROP_OUT_LINK_CONTROL] = { "out-link-control",
		"A frame of a protocol of switches: spanning tree, LLDP, EAPOL, pause." },
	[DROP_OUT_VLAN] = { "out-vlan",
		"A frame had a VLAN tag that is not configured." },
	[DROP_OUT_FLOOD] = { "out-flood",
		"Copies of broadcast, multicast and unknown frames beyond what a peer is sent." },
	[DROP_OUT_UNKNOWN] = { "out-unknown",
		"A frame for a MAC whose place is not known, where such are not flooded." },
	[DROP_OUT_LOCAL] = { "out-local",
		"A frame for a MAC of this bridge: the bridge floods." },
	[DROP_OUT_GATEWAY] = { "out-gateway",
		"A question for an address of this host's bridge, which answers itself." },
	[DROP_OUT_NO_HELLO] = { "out-no-hello",
		"The peer takes no frames of this network: a stock peer, or it has not the VNI." },
	[DROP_OUT_SEND] = { "out-send",
		"The kernel refused the datagram: its send buffer is full, or there is no way there." },
	[DROP_TAP_WRITE] = { "tap-write",
		"The TAP device refused the frame." },
};
/* clang-format on */
_Static_assert(ARRAY_SIZE(drops) == DROP_COUNT, "every drop has a name");

static const char *const events[] = {
	[EVENT_HANDSHAKE_SENT] = "handshake-sent",
	[EVENT_HANDSHAKE_DONE] = "handshake-done",
	[EVENT_COOKIE_SENT] = "cookie-sent",
	[EVENT_ROAM] = "roam",
	[EVENT_ARP_ANSWERED] = "arp-answered",
	[EVENT_ND_ANSWERED] = "nd-answered",
	[EVENT_PROBE_SENT] = "probe-sent",
	[EVENT_MSS_CLAMPED] = "mss-clamped",
	[EVENT_CUT] = "cut",
	[EVENT_FRAGMENTED] = "fragmented",
	[EVENT_TOO_BIG_SENT] = "too-big-sent",
	[EVENT_FLOODED] = "flooded",
	[EVENT_SUPPRESSED] = "suppressed",
	[EVENT_STATION_MOVED] = "station-moved",
	[EVENT_CHECK_SENT] = "check-sent",
	[EVENT_ANNOUNCED] = "announced",
	[EVENT_OVERSIZE_SENT] = "oversize-sent",
	[EVENT_GSO_FALLBACK] = "gso-fallback",
	[EVENT_GSO_AVOIDED] = "gso-avoided",
	[EVENT_RCV_OVERFLOW] = "rcv-overflow",
	[EVENT_NETLINK_OVERFLOW] = "netlink-overflow",
};
_Static_assert(ARRAY_SIZE(events) == EVENT_COUNT, "every event has a name");

const char *drop_name(enum drop reason)
{
	return reason < DROP_COUNT ? drops[reason].name : "unknown";
}

const char *drop_text(enum drop reason)
{
	return reason < DROP_COUNT ? drops[reason].text : "Unknown.";
}

const char *event_name(enum event e)
{
	return e < EVENT_COUNT ? events[e] : "unknown";
}
