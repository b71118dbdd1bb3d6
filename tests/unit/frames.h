/* SPDX-License-Identifier: MIT */
/* Frames of bridged networks, for tests on the rig: stations, and what they say. */
#ifndef TESTS_UNIT_FRAMES_H
#define TESTS_UNIT_FRAMES_H

#include <stdio.h>
#include "unit/rig_test.h"
#include "dataplane/fdb.h"
#include "dataplane/packet.h"

#define C         (&rig->host[2])
#define FRAME_MAX (RIG_PACKET_MAX + 64)

struct mac {
	uint8_t b[ETHER_ADDR_SIZE];
};
/* Of host @host, number @n; its addresses are 10.7.<host>.<n> and fd07::<host>:<n>. */
static inline struct mac station(unsigned int host, unsigned int n)
{
	return (struct mac){ { 0x02, 0x07, 0, 0, (uint8_t)host, (uint8_t)n } };
}

static const struct mac everyone = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
static const struct mac all_nodes = { { 0x33, 0x33, 0, 0, 0, 1 } };

/* A frame as the TAP gives it, its virtio header in front; built part by part. */
struct built {
	uint8_t bytes[FRAME_MAX];
	uint32_t len;
};

static inline uint8_t *built_frame(struct built *f)
{
	return f->bytes + sizeof(struct wire_vnet);
}

static inline uint32_t built_len(const struct built *f)
{
	return f->len - (uint32_t)sizeof(struct wire_vnet);
}

static inline void build_link(struct built *f, struct mac to, struct mac from, uint16_t type)
{
	memset(f->bytes, 0, 64);
	memcpy(f->bytes + 10, to.b, 6);
	memcpy(f->bytes + 16, from.b, 6);
	store_be16(f->bytes + 22, type);
	f->len = 24;
}

static inline void build_body(struct built *f, const void *body, uint32_t len)
{
	assert_true(f->len + len <= FRAME_MAX);
	memcpy(f->bytes + f->len, body, len);
	f->len += len;
}

/* A tag behind the addresses, in front of those that are there already. */
static inline void build_tag(struct built *f, uint16_t tpid, uint16_t tci)
{
	memmove(f->bytes + 26, f->bytes + 22, f->len - 22);
	store_be16(f->bytes + 22, tpid);
	store_be16(f->bytes + 24, tci);
	f->len += 4;
}

static inline void build_ip(struct built *f, struct mac to, struct mac from, const uint8_t *ip,
                            uint32_t len)
{
	build_link(f, to, from, ip[0] >> 4 == 4 ? ETHERTYPE_WIRE_IPV4 : ETHERTYPE_WIRE_IPV6);
	build_body(f, ip, len);
}

static inline void build_udp(struct built *f, struct mac to, struct mac from, const char *source,
                             const char *destination, uint32_t payload)
{
	static uint8_t ip[RIG_PACKET_MAX];

	build_ip(f, to, from, ip, rig_make_udp(ip, source, destination, payload));
}

static inline void build_tcp(struct built *f, struct mac to, struct mac from, const char *source,
                             const char *destination, uint32_t payload)
{
	static uint8_t ip[RIG_PACKET_MAX];

	build_ip(f, to, from, ip, rig_make_tcp(ip, source, destination, TCP_ACK, payload));
}

static inline void build_other(struct built *f, struct mac to, struct mac from, uint32_t len)
{
	static uint8_t body[RIG_PACKET_MAX];

	for (uint32_t i = 0; i < len; i++)
		body[i] = (uint8_t)(i * 7);
	build_link(f, to, from, 0x88b5);
	build_body(f, body, len);
}

static inline void build_arp(struct built *f, struct mac to, struct mac from, uint16_t operation,
                             const char *sender, const char *target)
{
	struct wire_arp arp = { .hardware_len = 6, .protocol_len = 4 };
	uint8_t addr[16];

	store_be16(arp.hardware.b, 1);
	store_be16(arp.protocol.b, ETHERTYPE_WIRE_IPV4);
	store_be16(arp.operation.b, operation);
	memcpy(arp.sender_mac, from.b, 6);
	rig_parse_addr(addr, sender);
	memcpy(arp.sender_ip, addr, 4);
	rig_parse_addr(addr, target);
	memcpy(arp.target_ip, addr, 4);
	build_link(f, to, from, ETHERTYPE_WIRE_ARP);
	build_body(f, &arp, sizeof(arp));
}

/* A solicitation, or (@advert) an advertisement of @target; to the solicited group, or to all. */
static inline void build_nd(struct built *f, struct mac to, struct mac from, bool advert,
                            const char *source, const char *target)
{
	uint8_t ip[128], body[28] = { 0 };
	bool probing = strcmp(source, "::") == 0;
	char group[64];
	uint8_t addr[16];

	rig_parse_addr(addr, target);
	memcpy(body + 4, addr, 16);
	body[0] = advert ? 0x20 : 0;
	body[20] = advert ? ND_OPTION_TARGET_LINK : ND_OPTION_SOURCE_LINK;
	body[21] = 1;
	memcpy(body + 22, from.b, 6);
	snprintf(group, sizeof(group), "ff02::1:ff%02x:%02x%02x", addr[13], addr[14], addr[15]);
	build_ip(f, to, from, ip,
	         rig_make_icmpv6(ip, source, advert ? "ff02::1" : group,
	                         advert ? ICMPV6_NEIGH_ADVERT : ICMPV6_NEIGH_SOLICIT, 255, body,
	                         probing ? 20 : 28));
}

/* ---- out ---- */

/* From a container of @host, on port @port; counted from a clean slate. */
static inline void say_on(struct rig_host *host, uint16_t port, const struct built *f)
{
	rig_mark(host);
	rig_give_frame(host, port, f->bytes, f->len);
	rig_round(host);
}

static inline void say(struct rig_host *host, const struct built *f)
{
	say_on(host, RIG_PORT_SEG, f);
}

/* The @i-th datagram that carries a frame; control messages and handshakes are skipped. */
static inline const struct rig_record *sent_frame(struct rig_host *host, unsigned int i,
                                                  uint8_t *plain, uint32_t *len)
{
	for (unsigned int d = 0; d < host->sent_count; d++)
		if (rig_unseal(host, &host->sent[d], plain, len) && *len &&
		    plain[0] == WIRE_VXLAN_FLAGS && i-- == 0)
			return &host->sent[d];
	return NULL;
}

static inline unsigned int sent_frames(struct rig_host *host)
{
	static uint8_t plain[FRAME_MAX];
	unsigned int n = 0;
	uint32_t len;

	while (sent_frame(host, n, plain, &len))
		n++;
	return n;
}

/* To which of the three the @i-th frame went. */
static inline unsigned int sent_to(struct rig_host *host, unsigned int i)
{
	static uint8_t plain[FRAME_MAX];
	uint32_t len;
	const struct rig_record *record = sent_frame(host, i, plain, &len);

	assert_non_null(record);
	for (unsigned int h = 0; h < RIG_HOSTS; h++)
		if (endpoint_same_remote(&record->to, &host->rig->host[h].address))
			return h;
	fail_msg("to nobody");
	return RIG_HOSTS;
}

/* ---- in ---- */

/* Behind a VXLAN header, padded as our own are; the plaintext's length. */
static inline uint32_t wrap(uint8_t *out, uint32_t vni, uint8_t hint, const struct built *f)
{
	uint32_t len = 8 + built_len(f), padded = (len + 15) & ~15u;
	const uint8_t header[8] = { WIRE_VXLAN_FLAGS,
		                    0,
		                    0,
		                    hint,
		                    (uint8_t)(vni >> 16),
		                    (uint8_t)(vni >> 8),
		                    (uint8_t)(vni & 255),
		                    (uint8_t)(padded - len) };

	memcpy(out, header, 8);
	memcpy(out + 8, f->bytes + 10, built_len(f));
	memset(out + len, 0, padded - len);
	return padded;
}

/* @from says it to its peer, which is counted from a clean slate. */
static inline void tell_hint(struct rig_host *from, const struct built *f, uint8_t hint)
{
	static uint8_t plain[FRAME_MAX];

	rig_mark(&from->rig->host[from->peer_id]);
	rig_tell(from, plain, wrap(plain, RIG_VNI_SEG, hint, f), 0);
}

static inline void tell(struct rig_host *from, const struct built *f)
{
	tell_hint(from, f, 0);
}

/* ---- the table ---- */

static inline void know_mac(struct rig_host *host, struct member *member, struct mac mac)
{
	struct fdb_key key = fdb_key_mac(mac.b);
	struct fdb_question question;
	bool ask;

	assert_true(fdb_claim(member->network->fdb, member, &key, mac.b, FDB_LEARNED,
	                      host->rig->now_ns, &ask, &question) <= FDB_CAME);
}

/* The VLAN of that one tag; 0: none. */
static inline struct wire_vlans vlan(uint16_t tag)
{
	struct wire_vlans vlans = { 0 };

	store_be16(vlans.tag[0].b, tag);
	return vlans;
}

static inline void know_in(struct rig_host *host, struct member *member, struct mac mac,
                           const char *addr, struct wire_vlans vlans)
{
	struct fdb_question question;
	struct fdb_key key;
	uint8_t ip[16];
	bool ask, v6 = rig_parse_addr(ip, addr);

	know_mac(host, member, mac);
	key = fdb_key_in(vlans, v6 ? FDB_IPV6 : FDB_IPV4, ip);
	assert_true(fdb_claim(member->network->fdb, member, &key, mac.b, FDB_LEARNED,
	                      host->rig->now_ns, &ask, &question) <= FDB_CAME);
}

static inline void know(struct rig_host *host, struct member *member, struct mac mac,
                        const char *addr)
{
	know_in(host, member, mac, addr, vlan(0));
}

static inline bool is_known(struct rig_host *host, const struct fdb_key *key,
                            struct fdb_place *place)
{
	return fdb_lookup(host->seg->fdb, key, host->rig->now_ns, place);
}

static inline uint64_t event_of(const struct rig_host *host, enum event event)
{
	return stats_read(&host->device->stats.events[event]);
}

/* ---- rigs ---- */

static inline int open_bridged_rig(void **state)
{
	*state = rig_open_bridged();
	return 0;
}

static inline int open_all_connected(void **state)
{
	struct rig *rig = rig_open_bridged();

	rig_connect_all(rig);
	*state = rig;
	return 0;
}

#define bridged_test(f)   cmocka_unit_test_setup_teardown(f, open_bridged_rig, close_rig)
#define connected_test(f) cmocka_unit_test_setup_teardown(f, open_all_connected, close_rig)

#endif
