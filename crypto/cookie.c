/* SPDX-License-Identifier: MIT */
/*
 * A handshake message ends in two MACs. mac1 shows that the sender knows our
 * public key, and silences us towards everybody else; mac2, asked for only
 * under load, shows that it receives what is sent to its address.
 */
#include "crypto/cookie.h"

#include <string.h>
#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

static const char label_mac1[] = "mac1----";
static const char label_cookie[] = "cookie--";

/* Where the MACs of a message of @len bytes begin; each covers all before it. */
static size_t mac1_offset(size_t len)
{
	return len - sizeof(struct message_macs) + offsetof(struct message_macs, mac1);
}

static size_t mac2_offset(size_t len)
{
	return len - sizeof(struct message_macs) + offsetof(struct message_macs, mac2);
}

static void derive_keys(uint8_t mac1_key[HASH_SIZE], uint8_t cookie_key[HASH_SIZE],
                        const uint8_t public_key[KEY_SIZE])
{
	hash_sum(mac1_key, label_mac1, sizeof(label_mac1) - 1, public_key, KEY_SIZE);
	hash_sum(cookie_key, label_cookie, sizeof(label_cookie) - 1, public_key, KEY_SIZE);
}

/* Callers' clocks may differ by a round: an age is never negative. */
static bool is_younger(uint64_t birth_ns, uint64_t now_ns, uint64_t limit_ns)
{
	return birth_ns && (now_ns < birth_ns || now_ns - birth_ns < limit_ns);
}

void cookie_checker_init(struct cookie_checker *checker, const uint8_t public_key[KEY_SIZE])
{
	secret_wipe(checker, sizeof(*checker));
	derive_keys(checker->mac1_key, checker->cookie_key, public_key);
}

void cookie_maker_init(struct cookie_maker *maker, const uint8_t remote_public[KEY_SIZE])
{
	secret_wipe(maker, sizeof(*maker));
	derive_keys(maker->mac1_key, maker->cookie_key, remote_public);
}

/* Address and port: a cookie overheard is of no use behind the same NAT. */
static void make_cookie(uint8_t cookie[COOKIE_SIZE], const struct cookie_checker *checker,
                        const struct cookie_source *from)
{
	uint8_t source[sizeof(from->addr) + sizeof(from->port)];

	memcpy(source, from->addr, from->addr_len);
	memcpy(source + from->addr_len, &from->port, sizeof(from->port));
	hash_mac(cookie, checker->secret, sizeof(checker->secret), source,
	         from->addr_len + sizeof(from->port));
}

enum cookie_verdict cookie_check_macs(struct cookie_checker *checker, const void *msg, size_t len,
                                      const struct cookie_source *from, uint64_t now_ns,
                                      const uint8_t random[HASH_SIZE])
{
	const uint8_t *bytes = msg;
	uint8_t cookie[COOKIE_SIZE];
	uint8_t mac[MAC_SIZE];
	bool mac2_ok;

	hash_mac(mac, checker->mac1_key, sizeof(checker->mac1_key), msg, mac1_offset(len));
	if (!secret_equal(mac, bytes + mac1_offset(len), MAC_SIZE))
		return COOKIE_BAD_MAC1;

	if (!is_younger(checker->secret_birth_ns, now_ns, COOKIE_SECRET_LIFE_NS)) {
		memcpy(checker->secret, random, sizeof(checker->secret));
		checker->secret_birth_ns = now_ns;
	}
	/* none given, which is the usual case: two hashes spared */
	if (secret_is_zero(bytes + mac2_offset(len), MAC_SIZE))
		return COOKIE_MAC1_ONLY;

	make_cookie(cookie, checker, from);
	hash_mac(mac, cookie, sizeof(cookie), msg, mac2_offset(len));
	mac2_ok = secret_equal(mac, bytes + mac2_offset(len), MAC_SIZE);
	secret_wipe(cookie, sizeof(cookie));
	secret_wipe(mac, sizeof(mac));
	return mac2_ok ? COOKIE_MAC2 : COOKIE_MAC1_ONLY;
}

void cookie_create_reply(struct cookie_checker *checker, struct message_cookie_reply *reply,
                         const void *msg, size_t len, const struct cookie_source *from,
                         const uint8_t nonce[XNONCE_SIZE])
{
	const uint8_t *bytes = msg;
	uint8_t cookie[COOKIE_SIZE];

	store_le32(&reply->type, MESSAGE_COOKIE_REPLY);
	/* both handshake messages have their sender's index in one place */
	memcpy(&reply->receiver, bytes + offsetof(struct message_initiation, sender),
	       sizeof(reply->receiver));
	memcpy(reply->nonce, nonce, XNONCE_SIZE);
	make_cookie(cookie, checker, from);
	aead_xseal(reply->cookie_sealed, cookie, sizeof(cookie), bytes + mac1_offset(len), MAC_SIZE,
	           nonce, checker->cookie_key);
	secret_wipe(cookie, sizeof(cookie));
}

void cookie_add_macs(struct cookie_maker *maker, void *msg, size_t len, uint64_t now_ns)
{
	uint8_t *mac1 = (uint8_t *)msg + mac1_offset(len);
	uint8_t *mac2 = (uint8_t *)msg + mac2_offset(len);

	hash_mac(mac1, maker->mac1_key, sizeof(maker->mac1_key), msg, mac1_offset(len));
	memcpy(maker->last_mac1, mac1, MAC_SIZE);
	maker->last_mac1_pending = true;

	if (is_younger(maker->cookie_birth_ns, now_ns, COOKIE_LIFE_NS))
		hash_mac(mac2, maker->cookie, sizeof(maker->cookie), msg, mac2_offset(len));
	else
		memset(mac2, 0, MAC_SIZE);
}

bool cookie_consume_reply(struct cookie_maker *maker, const struct message_cookie_reply *reply,
                          uint64_t now_ns)
{
	uint8_t cookie[COOKIE_SIZE];

	if (!maker->last_mac1_pending ||
	    !aead_xopen(cookie, reply->cookie_sealed, sizeof(reply->cookie_sealed),
	                maker->last_mac1, MAC_SIZE, reply->nonce, maker->cookie_key))
		return false;
	memcpy(maker->cookie, cookie, sizeof(maker->cookie));
	maker->cookie_birth_ns = now_ns;
	maker->last_mac1_pending = false;
	secret_wipe(cookie, sizeof(cookie));
	return true;
}
