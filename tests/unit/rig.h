/* SPDX-License-Identifier: MIT */
/*
 * Two hosts in memory for tests of the data path: real devices, views and
 * workers on a ring that hands out what the test gives and records what comes
 * back. The clock stands unless the test moves it.
 *
 * Host i (0 and 1) has, on port 0, the attached network "net":
 *
 *	subnets    172.20.0.0/16 and fd20::/32
 *	lives here 172.20.(101+i).0/24 and fd20:0:(1+i)::/48, as nobody claims them
 *	gateway    172.20.(101+i).1 and fd20:0:(1+i)::1 at RIG_BRIDGE_MAC
 *
 * on port 1 the network "away" of 172.21.0.0/16 whose bridge is not there, and
 * two peers: the other host, with both its prefixes, 172.21.(101+other).0/24,
 * and 10.9.0.0/16 that is in no subnet; and a third that nobody plays, with
 * 172.20.103.0/24 and fd20:0:3::/48, without an endpoint.
 *
 * A rig of bridged networks has a third host (2) that plays it, whose own peers are
 * host 0 and, as its third, host 1; and two bridged networks besides:
 *
 *	"seg"      port 2, VNI 7, all three hosts its members, gateways 10.7.0.1 and
 *	           fe80::1 of every host, 10.7.<i>.0/24 in host i's AllowedIPs
 *	"other"    port 3, VNI 42, whose members are each host and its peer
 */
#ifndef TESTS_UNIT_RIG_H
#define TESTS_UNIT_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/burst.h"
#include "dataplane/device.h"
#include "dataplane/peer.h"
#include "dataplane/worker.h"

#define RIG_SECOND      1000000000ULL
#define RIG_MS          1000000ULL
#define RIG_RECORDS     8192
#define RIG_LOG_SIZE    (16u << 20)
#define RIG_EVENTS      8192
#define RIG_PACKET_MAX  (66u * 1024)
#define RIG_HOSTS       3
#define RIG_PORT_SEG    2
#define RIG_PORT_OTHER  3
#define RIG_VNI_SEG     7
#define RIG_VNI_OTHER   42
#define RIG_ADDR(i)     ((i) == 0 ? "172.20.101.2" : (i) == 1 ? "172.20.102.2" : "172.20.103.2")
#define RIG_ADDR6(i)    ((i) == 0 ? "fd20:0:1::2" : (i) == 1 ? "fd20:0:2::2" : "fd20:0:3::2")
#define RIG_GATEWAY(i)  ((i) == 0 ? "172.20.101.1" : (i) == 1 ? "172.20.102.1" : "172.20.103.1")
#define RIG_GATEWAY6(i) ((i) == 0 ? "fd20:0:1::1" : (i) == 1 ? "fd20:0:2::1" : "fd20:0:3::1")

extern const uint8_t RIG_BRIDGE_MAC[ETHER_ADDR_SIZE];
extern const uint8_t RIG_CONTAINER_MAC[ETHER_ADDR_SIZE];
extern const uint8_t RIG_BROADCAST_MAC[ETHER_ADDR_SIZE];

struct rig;
struct rig_ring;

/* A datagram that was sent, or a frame (its virtio header in front) that was written to a TAP. */
struct rig_record {
	uint8_t *data;
	uint32_t len;
	uint32_t sends; /* datagrams: which ring_send, counted from 0, it was part of */
	uint16_t port;
	uint8_t tos;
	bool single;
	struct endpoint to;
};

struct rig_counts {
	uint64_t device[DROP_COUNT], peer[DROP_COUNT], third[DROP_COUNT];
	uint64_t net[DROP_COUNT], away[DROP_COUNT];
	uint64_t seg[DROP_COUNT], other[DROP_COUNT]; /* zero without them */
};

struct rig_host {
	struct rig *rig;
	unsigned int id;
	struct environment env;
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
	struct endpoint address;
	struct device *device;
	struct network *net, *away;
	struct peer *peer, *third;
	unsigned int peer_id, third_id; /* the hosts that they are; third_id may be none */
	/* bridged networks, and their members; NULL without */
	struct network *seg, *other;
	struct member *seg_peer, *seg_third, *other_peer;
	struct worker *worker;
	struct rig_ring *ring;
	uint64_t deadline_ns; /* what the last round returned */
	int fail_sends, fail_writes; /* -errno for all from now on, or 0 */
	bool sends_are_stale, sends_fall_back; /* results of all from now on */
	/* since rig_mark() */
	struct rig_record sent[RIG_RECORDS], frames[RIG_RECORDS];
	unsigned int sent_count, frame_count, send_calls;
	uint32_t log_used;
	uint8_t *log;
	struct rig_counts marked;
};

struct rig {
	uint64_t now_ns;
	uint64_t wall_ns; /* grows with each handshake made, so that time stamps do */
	uint64_t seed;
	unsigned int hosts;
	struct rig_host host[RIG_HOSTS];
};

/* Aborts, with a line on stderr, as all here does: tests go on from a rig that stands. */
void rig_must(bool condition, const char *what);
struct rig *rig_open(void);
struct rig *rig_open_bridged(void);
void rig_close(struct rig *rig);

/* How a host's view differs from the one above. Texts as prefix_parse() takes them. */
struct rig_options {
	const char *more_allowed[4]; /* of the other host */
	const char *ranges[4];
	uint32_t mtu;
	bool detached;
	bool without_peer;
	/* of the bridged networks: */
	struct guards guards;
	bool without_members; /* of "seg" */
	bool bare; /* no network but the two that are routed */
};
void rig_publish(struct rig_host *host, const struct rig_options *options);

/* One worker_round() with what was given; more until all of it was taken. */
void rig_round(struct rig_host *host);
/* What it sent to those that are played. False: nothing was sent to anyone. */
bool rig_hand_over(struct rig_host *from);
/* The same for all, handing datagrams over, until none sends any more. Frames stay recorded. */
void rig_pump(struct rig *rig);
/* Moves the clock and lets all look at their timers, without handing anything over. */
void rig_advance(struct rig *rig, uint64_t ns);
/* A session both ways, begun by @from; hellos are exchanged, records forgotten. */
void rig_connect(struct rig *rig, unsigned int from);
/* Sessions between all of a rig of bridged networks, with all their hellos. */
void rig_connect_all(struct rig *rig);

/* For the next round: copied, exactly as long as they are. */
void rig_give_frame(struct rig_host *host, uint16_t port, const uint8_t *data, uint32_t len);
void rig_give_datagram(struct rig_host *host, const struct endpoint *from, const uint8_t *data,
                       uint32_t len, uint32_t segment, uint8_t tos);
/* Seals with @host's key pair; @out has room for MESSAGE_DATA_OVERHEAD more. Its length. */
uint32_t rig_seal(struct rig_host *host, const uint8_t *plaintext, uint32_t len, uint8_t *out);
/* What the other host would get: sealed, given, and one round run. */
void rig_tell(struct rig_host *from, const uint8_t *plaintext, uint32_t len, uint8_t outer_tos);
/* Opens a recorded datagram of @host's as its receiver would, without its replay window. */
bool rig_unseal(struct rig_host *host, const struct rig_record *record, uint8_t *plaintext,
                uint32_t *len);

/* Takes counters as zero from here on, and forgets what was recorded. */
void rig_mark(struct rig_host *host);
uint64_t rig_dropped(const struct rig_host *host, enum drop reason);

enum rig_whom {
	RIG_NOBODY = 0,
	RIG_PEER = 1,
	RIG_NET = 2,
	RIG_AWAY = 4,
	RIG_THIRD = 8,
	RIG_SEG = 16,
	RIG_OTHER = 32,
};
/*
 * Since the mark: @n drops of @reason on the device and on those of @whom, no
 * other drop anywhere, and nothing delivered to a TAP nor sent. Says on stderr
 * what was not so.
 */
bool rig_only_dropped(const struct rig_host *host, enum drop reason, uint64_t n, unsigned int whom);
/* The counters' part of it alone; DROP_NONE: nothing was dropped. */
bool rig_counted(const struct rig_host *host, enum drop reason, uint64_t n, unsigned int whom);

/* ---- packets: rig_packet.c ---- */

/* Each writes a whole IP packet, checksums right, and returns its length. Families must agree. */
uint32_t rig_make_udp(uint8_t *out, const char *from, const char *to, uint32_t payload);
uint32_t rig_make_tcp(uint8_t *out, const char *from, const char *to, uint8_t flags,
                      uint32_t payload);
/* Turns a packet of rig_make_udp() into one between other ports, its checksum mended. */
void rig_set_ports(uint8_t *ip, uint16_t from, uint16_t to);
/* ICMPv6 with the body behind its 4 bytes of type, code and checksum. */
uint32_t rig_make_icmpv6(uint8_t *out, const char *from, const char *to, uint8_t type,
                         uint8_t hop_limit, const uint8_t *body, uint32_t len);
/* Pairs of ports, and whether a DHCP server answers from the one to the other. */
struct rig_dhcp_row {
	bool v6;
	uint16_t from, to;
	bool is_answer;
};
extern const struct rig_dhcp_row rig_dhcp_rows[10];
void rig_set_tos(uint8_t *ip, uint8_t tos);
/* Behind a zero virtio header. */
uint32_t rig_make_frame(uint8_t *out, const uint8_t *destination, const uint8_t *source,
                        uint16_t type, const uint8_t *body, uint32_t len);
/* An IP packet from the host's container to its router MAC. */
void rig_give_ip(struct rig_host *host, const uint8_t *ip, uint32_t len);
struct rig_arp {
	uint16_t operation;
	const uint8_t *ethernet_source, *sender_mac; /* NULL: the container's */
	const char *sender, *target;
};
void rig_give_arp(struct rig_host *host, const struct rig_arp *arp);
/* The container at @addr answers for itself, so that packets for it need no question. */
void rig_learn(struct rig_host *host, const char *addr);
/* As if a new session with the peer were up, after the one in its slot "previous". */
void rig_begin_session(struct burst *burst, struct peer *peer);
bool rig_parse_addr(uint8_t out[16], const char *text); /* true: IPv6 */

#endif
