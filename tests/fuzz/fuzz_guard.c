/* SPDX-License-Identifier: MIT */
/*
 * Frames of a bridged network. The first two bytes are the guards' switches and
 * what the member may do; the third mends the ICMPv6 checksum (bit 0), which random
 * bytes never have right, and chooses whose frame it is (bit 1). A frame that
 * passes must keep what dataplane/guard.h promises of it.
 */
#include "dataplane/device.h"
#include "fuzz/fuzz.h"
#include "fuzz/mend.h"

static const uint8_t bridge_mac[ETHER_ADDR_SIZE] = { 0x02, 0x42, 0xb1, 0xd6, 0xe0, 0x01 };

static void check_passed(const struct view_network *net, const struct member *by,
                         const struct guarded *guarded)
{
	const struct frame *frame = &guarded->frame;
	const uint8_t *source = frame->data + ETHER_ADDR_SIZE;
	const uint8_t *end = frame->data + frame->len;
	/* The bridge has no addresses there. */
	bool in_vlan = (frame->tags > 0 && (load_be16(frame->data + 14) & WIRE_VLAN_ID)) ||
	               (frame->tags > 1 && (load_be16(frame->data + 18) & WIRE_VLAN_ID));

	must(!(source[0] & 1));
	must(!by->peer || memcmp(source, bridge_mac, ETHER_ADDR_SIZE) != 0);
	must(guarded->has_ip ==
	     (frame->ethertype == ETHERTYPE_WIRE_IPV4 || frame->ethertype == ETHERTYPE_WIRE_IPV6));
	must(!guarded->arp == (frame->ethertype != ETHERTYPE_WIRE_ARP));
	must(!guarded->arp || (const uint8_t *)(guarded->arp + 1) <= end);
	must(!guarded->has_ip || guarded->pkt.data + guarded->pkt.len <= end);
	must(!guarded->has_nd || guarded->has_ip);
	must(!guarded->claim_family || guarded->arp || guarded->has_ip);
	if (guarded->claim_family) {
		must(guarded->claim_family == (guarded->arp ? 4 : 6));
		must(guarded->claim_ip[0] != (guarded->arp ? 127 : 0xff));
		must(!by->peer || in_vlan ||
		     !view_is_gateway(net, guarded->claim_family, guarded->claim_ip));
	}
	if (!guarded->has_ip)
		return;
	must(!packet_is_discovery(&guarded->pkt) || !(guarded->pkt.flags & PACKET_FRAGMENT));
	must(!packet_is_dhcp_answer(&guarded->pkt) || net->guards.any_dhcp || by->may_serve_dhcp);
	must(!by->peer || in_vlan ||
	     !view_is_gateway(net, guarded->pkt.family, guarded->pkt.source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct neigh_addr gateways[] = { { 4, { 172, 20, 0, 1 } },
		                                { 6, { 0xfe, 0x80, [15] = 1 } } };
	static struct network network = { .router_mac = { 2, 1 } };
	static uint8_t somebody;
	struct member remote = { .peer = (struct peer *)(void *)&somebody };
	struct view_network net = { .network = &network,
		                    .mode = NETWORK_BRIDGED,
		                    .gateways = gateways,
		                    .gateway_count = 2 };
	struct member *by;
	struct guarded guarded;
	uint8_t *copy;

	if (size < 4)
		return 0;
	net.guards = (struct guards){ .vlans = data[0] & 3 ? GUARD_VLANS_LIST : GUARD_VLANS_ALL,
		                      .vlan_list = { data[0] },
		                      .link_control = data[0] & 4,
		                      .any_router = data[0] & 8,
		                      .any_dhcp = data[0] & 16,
		                      .arp_mismatch = data[0] & 32 };
	memcpy(net.bridge_mac, bridge_mac, ETHER_ADDR_SIZE);
	by = data[2] & 2 ? &network.local : &remote;
	by->may_route = data[1] & 1;
	by->may_serve_dhcp = data[1] & 2;
	copy = fuzz_copy(data + 3, size - 3);
	if (data[2] & 1)
		mend_icmpv6(copy, (uint32_t)(size - 3));
	if (packet_parse_frame(copy, (uint32_t)(size - 3), &guarded.frame) &&
	    guard_frame(&net, by, &guarded) == GUARD_PASS)
		check_passed(&net, by, &guarded);
	free(copy);
	return 0;
}
