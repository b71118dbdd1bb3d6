/* SPDX-License-Identifier: MIT */
/*
 * MAC1, MAC2, cookie replies (the WireGuard protocol description, 5.3 and
 * 5.4.7) and the source limiter: what a handshake message has to pass before it
 * costs a Diffie-Hellman.
 */
#ifndef CRYPTO_COOKIE_H
#define CRYPTO_COOKIE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "crypto/message.h"

#define COOKIE_SECRET_LIFE_NS 120000000000ULL
#define COOKIE_LIFE_NS        115000000000ULL /* the maker's: a little shorter */

/* A source as the cookie binds it. */
struct cookie_source {
	uint8_t addr[16];
	uint8_t addr_len; /* 4 or 16 */
	struct be16 port;
};

/* The responder's side. One a device; not thread-safe, callers lock. */
struct cookie_checker {
	uint8_t mac1_key[HASH_SIZE];
	uint8_t cookie_key[HASH_SIZE];
	uint8_t secret[HASH_SIZE];
	uint64_t secret_birth_ns; /* 0: none yet */
};

/* The initiator's side, one a peer. */
struct cookie_maker {
	uint8_t mac1_key[HASH_SIZE]; /* from the peer's public key */
	uint8_t cookie_key[HASH_SIZE];
	uint8_t cookie[COOKIE_SIZE];
	uint64_t cookie_birth_ns; /* 0: none */
	uint8_t last_mac1[MAC_SIZE];
	bool last_mac1_pending; /* sent, and no cookie reply taken for it */
};

enum cookie_verdict {
	COOKIE_BAD_MAC1,
	COOKIE_MAC1_ONLY, /* mac1 right, mac2 absent or wrong */
	COOKIE_MAC2, /* both right: the source is where it says */
};

void cookie_checker_init(struct cookie_checker *checker, const uint8_t public_key[KEY_SIZE]);
void cookie_maker_init(struct cookie_maker *maker, const uint8_t remote_public[KEY_SIZE]);

/*
 * @msg is a whole initiation or response, its MACs the last 32 bytes.
 * @random: 32 fresh bytes, taken as the new secret when the old is too old.
 */
enum cookie_verdict cookie_check_macs(struct cookie_checker *checker, const void *msg, size_t len,
                                      const struct cookie_source *from, uint64_t now_ns,
                                      const uint8_t random[HASH_SIZE])
	__attribute__((warn_unused_result));

/* Answers @msg (whose mac1 was right). @nonce: fresh random bytes. */
void cookie_create_reply(struct cookie_checker *checker, struct message_cookie_reply *reply,
                         const void *msg, size_t len, const struct cookie_source *from,
                         const uint8_t nonce[XNONCE_SIZE]);

/* Fills in mac1 and, with a young cookie, mac2, and remembers mac1. */
void cookie_add_macs(struct cookie_maker *maker, void *msg, size_t len, uint64_t now_ns);

/* Takes one cookie for each mac1 sent. False: not for us, or not genuine. */
bool cookie_consume_reply(struct cookie_maker *maker, const struct message_cookie_reply *reply,
                          uint64_t now_ns) __attribute__((warn_unused_result));

/*
 * Source limiter: a token bucket for each IPv4 address or IPv6 /64, 20 a second
 * with a burst of 5. Holds LIMITER_ENTRIES at most and fails closed when full;
 * an entry is free again after one second without use. About 2 MB; the caller
 * gives the memory, zeroed. @key: 16 random bytes against chosen collisions.
 */
#define LIMITER_ENTRIES 65536
#define LIMITER_RATE    20
#define LIMITER_BURST   5

struct limiter_entry {
	uint64_t prefix; /* IPv4 address or upper half of an IPv6 address */
	uint64_t last_ns; /* 0: never used */
	uint64_t tokens_ns; /* credit, in time */
	uint32_t family; /* 4 or 6 */
	uint32_t next; /* chain, index + 1 */
};

struct limiter {
	uint8_t key[16];
	uint32_t used;
	uint32_t free_list;
	uint64_t swept_ns;
	uint32_t heads[LIMITER_ENTRIES / 4];
	struct limiter_entry entries[LIMITER_ENTRIES];
};

void limiter_init(struct limiter *limiter, const uint8_t key[16]);
bool limiter_allow(struct limiter *limiter, const struct cookie_source *from, uint64_t now_ns)
	__attribute__((warn_unused_result));

#endif
