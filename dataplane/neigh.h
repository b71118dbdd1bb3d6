/* SPDX-License-Identifier: MIT */
/*
 * Where local containers live: IP address to MAC, one table a network.
 *
 * What is known comes from ARP and neighbour discovery only, never from data
 * (which a container can forge at will), and is never computed from an address.
 * An address that is not known is asked for; an address that turns up with
 * another MAC is believed only after the old MAC was asked and kept silent. So a
 * container cannot take a neighbour's address while the neighbour is there.
 *
 * State of an entry, what may happen in it, and where it goes:
 *
 *	INCOMPLETE  asked by broadcast, up to three times a second apart; packets
 *	            wait → REACHABLE by an answer, FAILED without
 *	REACHABLE   used; after 5 s the next use asks the MAC itself → PROBING
 *	PROBING     used; up to three unicast questions 250 ms apart → REACHABLE or
 *	            INCOMPLETE
 *	CONTESTED   used with the old MAC; another MAC claimed the address and the
 *	            old is asked up to three times, 250 ms apart → REACHABLE with the
 *	            old when it answers, with the new when it kept silent
 *	FAILED      nobody answered; not asked again for a second; packets drop
 *
 * So a container that was restarted with another MAC, and says nothing itself, is
 * found again within 6 s, for one small question per 5 s and container in use.
 *
 * Entries unused for 10 minutes may be reused, and entries that nobody ever wanted
 * when another address is wanted. At most NEIGH_ENTRIES, of which NEIGH_UNRESOLVED
 * may be INCOMPLETE or FAILED (the oldest FAILED goes first): a peer that scans a
 * /16 finds a bounded table, and what is known stays. Questions are limited to 500 a
 * second with a burst of 100, one half for addresses not known, one for those known.
 * A contest whose question the limit forbids does not begin: the claim is not heard.
 *
 * Threads: one lock a table, held for one lookup; no caller holds it over a
 * burst. (Workers keep the last answer of a burst, so it is taken about once per
 * flow and burst.)
 */
#ifndef DATAPLANE_NEIGH_H
#define DATAPLANE_NEIGH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "dataplane/stage.h"
#include "dataplane/wire.h"

#define NEIGH_ENTRIES    8192
#define NEIGH_UNRESOLVED 1024
#define NEIGH_WAITING    16 /* frames that wait for one address */

enum neigh_state {
	NEIGH_FREE,
	NEIGH_INCOMPLETE,
	NEIGH_REACHABLE,
	NEIGH_PROBING,
	NEIGH_CONTESTED,
	NEIGH_FAILED,
};

struct neigh_addr {
	uint8_t family; /* 4 or 6 */
	uint8_t addr[16]; /* 4 or 16 used, the rest zero */
};

/* A question to put on the TAP: who has @addr? To @mac; broadcast or solicited-node when all ff. */
struct neigh_question {
	struct neigh_addr addr;
	uint8_t mac[ETHER_ADDR_SIZE];
};

enum neigh_verdict {
	NEIGH_KNOWN, /* the MAC is filled in */
	NEIGH_WAIT, /* being asked for: hold the packet by neigh_hold() */
	NEIGH_UNKNOWN, /* nobody answers, or the table is full: drop */
};

struct neigh_table;

struct neigh_table *neigh_open(struct stage_pool *pool); /* NULL: out of memory */
void neigh_close(struct neigh_table *table);

/*
 * @ask: set to true when @question is to be put on the TAP now.
 */
enum neigh_verdict neigh_lookup(struct neigh_table *table, const struct neigh_addr *addr,
                                uint64_t now_ns, uint8_t mac[ETHER_ADDR_SIZE], bool *ask,
                                struct neigh_question *question)
	__attribute__((warn_unused_result));

/*
 * After NEIGH_WAIT: keeps a copy of an IP packet until @addr is known; *@lost: how many
 * packets were lost by it. NEIGH_KNOWN: it was answered meanwhile, nothing is kept, the
 * MAC is filled in. NEIGH_UNKNOWN: given up meanwhile.
 */
enum neigh_verdict neigh_hold(struct neigh_table *table, const struct neigh_addr *addr,
                              const uint8_t *packet, uint32_t len, uint8_t mac[ETHER_ADDR_SIZE],
                              unsigned int *lost) __attribute__((warn_unused_result));
/* Takes back what waited for an address that neigh_learn() said is known. 0: no more. */
uint32_t neigh_release(struct neigh_table *table, const struct neigh_addr *addr, uint8_t *packet);

/*
 * An ARP or ND message of a local container says that @addr is at @mac; @answer:
 * it is an answer (an ARP reply, a solicited advertisement). Returns true when
 * packets wait for it. @ask as in neigh_lookup().
 * The caller has checked that the address may live here at all. A mere request
 * for another address does not create an entry when the table is full.
 */
bool neigh_learn(struct neigh_table *table, const struct neigh_addr *addr,
                 const uint8_t mac[ETHER_ADDR_SIZE], bool answer, uint64_t now_ns, bool *ask,
                 struct neigh_question *question);

/*
 * Repeats questions and ends contests whose time has come. Fills up to @max
 * questions; *@next_ns: when to call again (UINT64_MAX: nothing is pending);
 * *@lost: packets that waited in vain.
 */
unsigned int neigh_tick(struct neigh_table *table, uint64_t now_ns,
                        struct neigh_question *questions, unsigned int max, uint64_t *next_ns,
                        unsigned int *lost);

/* For show: copies up to @max entries; returns how many there are. */
struct neigh_info {
	struct neigh_addr addr;
	uint8_t mac[ETHER_ADDR_SIZE];
	enum neigh_state state;
	uint64_t confirmed_ns;
};
uint32_t neigh_list(struct neigh_table *table, struct neigh_info *out, uint32_t max);
/* One of them. False: there is no entry. It stays as it is. */
bool neigh_find(struct neigh_table *table, const struct neigh_addr *addr, struct neigh_info *out);

/*
 * Frames. Each writes a whole Ethernet frame and returns its length (at most
 * NEIGH_FRAME_MAX, tags included). The questions are an ARP probe with sender address 0.0.0.0
 * (RFC 5227), and a neighbour solicitation from the router MAC's link-local
 * address; the answers say that @target is at the router MAC.
 */
#define NEIGH_FRAME_MAX 96
uint32_t neigh_make_question(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                             const struct neigh_question *question);
uint32_t neigh_make_arp_reply(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                              const struct wire_arp *request);
/* @to_ip: who asked; NULL for a solicitation from "::" (answered to all nodes). */
uint32_t neigh_make_advert(uint8_t *frame, const uint8_t router_mac[ETHER_ADDR_SIZE],
                           const uint8_t to_mac[ETHER_ADDR_SIZE], const uint8_t *to_ip,
                           const uint8_t target[16]);
/* Puts @size bytes of tags, up to WIRE_VLANS_MAX, into one of these frames; returns its new length. */
uint32_t neigh_add_tags(uint8_t *frame, uint32_t len, const uint8_t *tags, size_t size);
/* fe80::/64 with the interface identifier of RFC 4291, appendix A. */
void neigh_link_local(uint8_t addr[16], const uint8_t mac[ETHER_ADDR_SIZE]);

#endif
