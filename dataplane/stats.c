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
		"A peer sent what only a DHCP server says into a routed network." },
	[DROP_IN_CONTROL] = { "in-control",
		"A peer's control message did not parse." },
	[DROP_IN_ECN] = { "in-ecn",
		"A router marked congestion on a packet that cannot carry the mark inside." },
	[DROP_IN_NO_BRIDGE] = { "in-no-bridge",
		"A packet came for a network whose bridge is not there." },
	[DROP_IN_UNRESOLVED] = { "in-unresolved",
		"No container answers for the packet's destination." },
	[DROP_IN_BROADCAST] = { "in-broadcast",
		"A peer sent multicast or broadcast into a routed network." },

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
		"A container sent what only a DHCP server says." },
	[DROP_OUT_BROADCAST] = { "out-broadcast",
		"A container sent multicast or broadcast in a routed network." },
	[DROP_OUT_TOO_BIG] = { "out-too-big",
		"A packet was longer than the tunnel takes; its sender was told." },
	[DROP_OUT_TOO_BIG_QUIET] = { "out-too-big-quiet",
		"A packet was longer than the tunnel takes; its sender had been told often "
		"enough." },
	[DROP_OUT_NO_ENDPOINT] = { "out-no-endpoint",
		"The peer's endpoint is not known yet." },
	[DROP_OUT_STAGE_FULL] = { "out-stage-full",
		"Too many packets waited for the peer's handshake; the oldest went." },
	[DROP_OUT_STAGE_EXPIRED] = { "out-stage-expired",
		"The peer did not answer the handshake a packet waited for." },
	[DROP_OUT_KEY_EXPIRED] = { "out-key-expired",
		"The session ended while a packet was on its way out." },
	[DROP_OUT_SEND] = { "out-send",
		"The kernel refused to send the datagram." },
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
	[EVENT_OVERSIZE_SENT] = "oversize-sent",
	[EVENT_GSO_FALLBACK] = "gso-fallback",
	[EVENT_RCV_OVERFLOW] = "rcv-overflow",
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
