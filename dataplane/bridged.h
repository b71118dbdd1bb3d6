/* SPDX-License-Identifier: MIT */
/*
 * What both ways of a bridged network have in common: a frame passes the guards,
 * and it says where stations are, which the forwarding table believes or not.
 */
#ifndef DATAPLANE_BRIDGED_H
#define DATAPLANE_BRIDGED_H

#include <stdbool.h>
#include <stdint.h>
#include "dataplane/guard.h"
#include "dataplane/stats.h"

struct burst;
struct fdb_place;

/* Parsed as a frame already. DROP_NONE: it may pass. */
enum drop bridged_guard(const struct view_network *net, const struct member *by,
                        struct guarded *guarded) __attribute__((warn_unused_result));

/*
 * What a frame that passed says of its sender is claimed for @by: the source MAC,
 * and the address of ARP and ND. And its IP source must not be another's. DROP_NONE:
 * all of it is @by's to say.
 */
enum drop bridged_claim(struct burst *burst, const struct view_network *net, struct member *by,
                        struct guarded *guarded) __attribute__((warn_unused_result));

/* The same of what is known already, without a claim: another's is dropped, nobody's may pass. */
enum drop bridged_owned(const struct burst *burst, const struct view_network *net,
                        const struct member *by, const struct guarded *guarded)
	__attribute__((warn_unused_result));

/* Where that MAC is. False: nobody knows, or it is nobody's alone. */
bool bridged_find(const struct burst *burst, const struct view_network *net,
                  const uint8_t mac[ETHER_ADDR_SIZE], struct fdb_place *place)
	__attribute__((warn_unused_result));

static inline bool bridged_is_group(const uint8_t mac[ETHER_ADDR_SIZE])
{
	return mac[0] & 1;
}

#endif
