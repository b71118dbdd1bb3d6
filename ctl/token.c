/* SPDX-License-Identifier: MIT */
#include "ctl/token.h"

#include <string.h>
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "ctl/config.h"

#define VERSION  1
#define SUM_SIZE 4
#define BYTES_MAX \
	(1 + 8 + 2 * KEY_SIZE + 2 + 16 + 2 + TOKEN_ENDPOINTS_MAX * TOKEN_ENDPOINT_MAX + SUM_SIZE)

_Static_assert(sizeof(TOKEN_PREFIX) + (BYTES_MAX + 2) / 3 * 4 <= TOKEN_TEXT_MAX, "any token fits");

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* --- base64url without padding (RFC 4648, 5) --- */

static void encode(const uint8_t *bytes, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned int held = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (held += 8; held >= 6; held -= 6)
			*out++ = digits[bits >> (held - 6) & 63];
	}
	if (held)
		*out++ = digits[bits << (6 - held) & 63];
	*out = '\0';
}

/* False: another character, too long, or bits that no byte has. */
static bool decode(const char *text, uint8_t *out, size_t size, size_t *len)
{
	uint32_t bits = 0;
	unsigned int held = 0;

	*len = 0;
	for (; *text; text++) {
		const char *digit = strchr(digits, *text);

		if (!digit)
			return false;
		bits = bits << 6 | (uint32_t)(digit - digits);
		held += 6;
		if (held < 8)
			continue;
		held -= 8;
		if (*len == size)
			return false;
		out[(*len)++] = (uint8_t)(bits >> held);
	}
	return held < 6 && (bits & ((1u << held) - 1)) == 0;
}

/* --- the bytes --- */

struct cursor {
	uint8_t *at;
	size_t left;
	bool failed;
};

static uint8_t *move(struct cursor *cursor, size_t len)
{
	uint8_t *at = cursor->at;

	if (cursor->failed || len > cursor->left) {
		cursor->failed = true;
		return NULL;
	}
	cursor->at += len;
	cursor->left -= len;
	return at;
}

static void put(struct cursor *out, const void *bytes, size_t len)
{
	uint8_t *to = move(out, len);

	if (to)
		memcpy(to, bytes, len);
}

static void put_byte(struct cursor *out, uint8_t byte)
{
	put(out, &byte, 1);
}

static void take(struct cursor *in, void *bytes, size_t len)
{
	const uint8_t *from = move(in, len);

	if (from)
		memcpy(bytes, from, len);
}

static uint8_t take_byte(struct cursor *in)
{
	uint8_t byte = 0;

	take(in, &byte, 1);
	return byte;
}

static void sum(uint8_t out[SUM_SIZE], const uint8_t *bytes, size_t len)
{
	uint8_t hash[HASH_SIZE];

	hash_sum(hash, "ovltun token", 12, bytes, len);
	memcpy(out, hash, SUM_SIZE);
}

bool token_format(const struct token *token, char out[TOKEN_TEXT_MAX])
{
	uint8_t bytes[BYTES_MAX], number[8], check[SUM_SIZE];
	struct cursor to = { .at = bytes, .left = sizeof(bytes) - SUM_SIZE };

	put_byte(&to, VERSION);
	store_be64(number, token->expires_s);
	put(&to, number, sizeof(number));
	put(&to, token->introducer, KEY_SIZE);
	put(&to, token->secret, KEY_SIZE);
	put_byte(&to, token->range.family);
	put_byte(&to, token->range.len);
	put(&to, token->range.addr, token->range.family == 4 ? 4 : 16);
	put_byte(&to, token->part_len);
	put_byte(&to, (uint8_t)token->endpoint_count);
	for (unsigned int i = 0; i < token->endpoint_count; i++) {
		size_t len = strlen(token->endpoints[i]);

		put_byte(&to, (uint8_t)len);
		put(&to, token->endpoints[i], len);
	}
	if (to.failed)
		return false;
	sum(check, bytes, (size_t)(to.at - bytes));
	memcpy(to.at, check, SUM_SIZE);
	memcpy(out, TOKEN_PREFIX, strlen(TOKEN_PREFIX));
	encode(bytes, (size_t)(to.at - bytes) + SUM_SIZE, out + strlen(TOKEN_PREFIX));
	secret_wipe(bytes, sizeof(bytes));
	return true;
}

static void take_range(struct cursor *in, struct token *token)
{
	struct prefix range = { .family = take_byte(in), .len = take_byte(in) };
	char text[PREFIX_TEXT_MAX];
	unsigned int bits = range.family == 4 ? 32 : 128;

	take(in, range.addr, bits / 8);
	token->part_len = take_byte(in);
	if ((range.family != 4 && range.family != 6) || range.len > bits ||
	    token->part_len < range.len || token->part_len > bits)
		in->failed = true;
	if (in->failed)
		return;
	/* Bits behind its length are not a range's. */
	prefix_format(&range, text);
	if (!prefix_parse(&token->range, text) || !prefix_equal(&range, &token->range))
		in->failed = true;
}

static void take_endpoints(struct cursor *in, struct token *token)
{
	struct config_endpoint endpoint;

	token->endpoint_count = take_byte(in);
	if (token->endpoint_count == 0 || token->endpoint_count > TOKEN_ENDPOINTS_MAX)
		in->failed = true;
	for (unsigned int i = 0; i < token->endpoint_count && !in->failed; i++) {
		size_t len = take_byte(in);

		if (len >= TOKEN_ENDPOINT_MAX) {
			in->failed = true;
			return;
		}
		take(in, token->endpoints[i], len);
		token->endpoints[i][len] = '\0';
		if (!config_parse_endpoint(&endpoint, token->endpoints[i]))
			in->failed = true;
	}
}

const char *token_parse(struct token *token, const char *text)
{
	uint8_t bytes[BYTES_MAX], number[8] = { 0 }, check[SUM_SIZE];
	const char *wrong = NULL;
	struct cursor in;
	size_t len;

	memset(token, 0, sizeof(*token));
	if (strncmp(text, TOKEN_PREFIX, strlen(TOKEN_PREFIX)) != 0)
		return "expected a token as ovlctl invite prints it, which begins "
		       "with " TOKEN_PREFIX;
	if (!decode(text + strlen(TOKEN_PREFIX), bytes, sizeof(bytes), &len) || len <= SUM_SIZE) {
		wrong = "not a whole token: a character is missing, or one too many";
		goto out;
	}
	len -= SUM_SIZE;
	sum(check, bytes, len);
	if (memcmp(check, bytes + len, SUM_SIZE) != 0) {
		wrong = "the token has a typing error: its checksum is wrong";
		goto out;
	}
	in = (struct cursor){ .at = bytes, .left = len };
	if (take_byte(&in) != VERSION) {
		wrong = "the token is of another version than this ovlctl";
		goto out;
	}
	take(&in, number, sizeof(number));
	token->expires_s = load_be64(number);
	take(&in, token->introducer, KEY_SIZE);
	take(&in, token->secret, KEY_SIZE);
	take_range(&in, token);
	take_endpoints(&in, token);
	if (in.failed || in.left)
		wrong = "the token contradicts itself; ask for another one";
out:
	secret_wipe(bytes, sizeof(bytes));
	if (wrong)
		secret_wipe(token, sizeof(*token));
	return wrong;
}

/* --- keys --- */

void token_derive(const struct token *token, struct token_keys *keys)
{
	static const char key_label[] = "ovltun invitation key",
			  psk_label[] = "ovltun invitation psk";

	hash_sum(keys->private_key, key_label, sizeof(key_label), token->secret, KEY_SIZE);
	secret_clamp(keys->private_key);
	secret_derive_public(keys->public_key, keys->private_key);
	hash_sum(keys->psk, psk_label, sizeof(psk_label), token->secret, KEY_SIZE);
}

bool token_prove(uint8_t proof[MAC_SIZE], const uint8_t private_key[KEY_SIZE],
                 const uint8_t remote[KEY_SIZE], const uint8_t invited[KEY_SIZE],
                 const uint8_t introducer[KEY_SIZE], const uint8_t host[KEY_SIZE])
{
	static const char label[] = "ovltun join";
	uint8_t shared[KEY_SIZE], text[sizeof(label) + 3 * KEY_SIZE];

	if (!secret_dh(shared, private_key, remote))
		return false;
	memcpy(text, label, sizeof(label));
	memcpy(text + sizeof(label), invited, KEY_SIZE);
	memcpy(text + sizeof(label) + KEY_SIZE, introducer, KEY_SIZE);
	memcpy(text + sizeof(label) + 2 * KEY_SIZE, host, KEY_SIZE);
	hash_mac(proof, shared, KEY_SIZE, text, sizeof(text));
	secret_wipe(shared, sizeof(shared));
	return true;
}
