/* SPDX-License-Identifier: MIT */
/*
 * What one life of the daemon tells the next (handover.h), as bytes:
 *
 *	magic     8   "ovltun" 0 "S"
 *	version   4   HANDOVER_VERSION: another build's is read, another version's is not
 *	spare     4   0
 *	boot id   16  of the kernel; zero where it is not told
 *	written   8   CLOCK_BOOTTIME, ns
 *	nonce     24  random
 *	          …   all else, XChaCha20-Poly1305, the above its additional data
 *	tag       16
 *
 * Numbers are little-endian. The key is derived from the device's private key. So one
 * check tells that nothing was cut off or changed, that it was written by a daemon of
 * this identity, and who gets hold of the bytes (the service manager keeps them, and
 * may be swapped out) has no session key without the private key.
 *
 * Sealed inside: which life it was, the networks and their TAPs, and each peer that
 * has something worth carrying (dataplane/carried.h).
 */
#ifndef CTL_HANDOVER_STATE_H
#define CTL_HANDOVER_STATE_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ctl/config.h"
#include "dataplane/carried.h"

#define HANDOVER_VERSION   1
#define HANDOVER_BOOT_SIZE 16
/* Sessions last 180 s; a restart that takes longer than that is none. */
#define HANDOVER_AGE_NS   60000000000ULL
#define HANDOVER_SIZE_MAX ((size_t)1 << 30)

/* Where and when we are. */
struct handover_moment {
	uint8_t boot_id[HANDOVER_BOOT_SIZE];
	uint64_t now_ns; /* CLOCK_BOOTTIME */
};

/* Something about a network. */
struct handover_item {
	enum handover_kind {
		HANDOVER_NEIGHBOUR = 1, /* a container of this host: its address, at @mac */
		HANDOVER_SUBNET, /* as configured: the host may have a route to it by us */
	} kind;
	struct prefix prefix;
	uint8_t mac[ETHER_ADDR_SIZE];
};

struct handover_network {
	char name[CONFIG_NAME_MAX];
	char bridge[IFNAMSIZ];
	bool bridged;
	uint32_t vni;
	char tap[IFNAMSIZ];
	struct handover_item *items;
	uint32_t item_count;
};

struct handover_peer {
	uint8_t public_key[KEY_SIZE];
	uint8_t psk_hash[HASH_SIZE]; /* so that another PSK is seen */
	uint8_t endpoint_hash[HASH_SIZE]; /* as configured, likewise */
	struct carried_peer carried;
};

/* ---- writing ---- */

struct handover_writer {
	uint8_t *memory;
	size_t size, used;
	bool failed; /* something did not fit */
};

/* Memory that is enough for so many; @items: of all networks. */
size_t handover_state_size(size_t networks, size_t items, size_t peers);
/* First the beginning, then so many networks, then so many peers. */
void handover_state_begin(struct handover_writer *out, uint8_t *memory, size_t size,
                          uint64_t device_boot, uint32_t networks, uint32_t peers);
void handover_state_put_network(struct handover_writer *out,
                                const struct handover_network *network);
void handover_state_put_peer(struct handover_writer *out, const struct handover_peer *peer);
/* Seals what was written, in place. The length of all; 0: it did not fit. */
size_t handover_state_seal(struct handover_writer *out, const struct handover_moment *moment,
                           const uint8_t nonce[XNONCE_SIZE], const uint8_t private_key[KEY_SIZE]);

/* ---- reading ---- */

enum handover_verdict {
	HANDOVER_GOOD,
	HANDOVER_DAMAGED, /* no such state, or of another version */
	HANDOVER_OLD, /* of another boot, too old, or from the future */
	HANDOVER_FOREIGN, /* of another private key, or changed since */
	HANDOVER_MALFORMED, /* authentic, and not what this version writes */
	HANDOVER_NO_MEMORY,
};
const char *handover_verdict_text(enum handover_verdict verdict);

struct handover_state {
	uint64_t device_boot;
	struct handover_network *networks;
	uint32_t network_count;
	const uint8_t **peers; /* in @memory, sorted by key */
	uint32_t peer_count;
	const uint8_t *end;
};

/*
 * Opens @len bytes in place, and reads all of it: so that nothing is used of what is
 * not good to the end. The memory stays the caller's, and has to last as long.
 */
enum handover_verdict handover_state_open(struct handover_state *state, uint8_t *memory, size_t len,
                                          const struct handover_moment *moment,
                                          const uint8_t private_key[KEY_SIZE]);
void handover_state_close(struct handover_state *state);

/* False: it has none of that key. @peer holds keys then: to be wiped. */
bool handover_state_find_peer(const struct handover_state *state,
                              const uint8_t public_key[KEY_SIZE], struct handover_peer *peer);

#endif
