/* SPDX-License-Identifier: MIT */
#include "dataplane/route.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static unsigned int address_bits(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

/* Whether the first @bits bits agree. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, bytes) != 0)
		return false;
	return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

static void clear_host_bits(struct prefix *prefix)
{
	size_t byte = prefix->len / 8;

	if (byte >= sizeof(prefix->addr))
		return;
	prefix->addr[byte] &= (uint8_t)(0xff00U >> (prefix->len % 8));
	memset(prefix->addr + byte + 1, 0, sizeof(prefix->addr) - byte - 1);
}

/* Decimal digits alone: no sign, no space, no leading zero. */
static bool parse_len(const char *text, unsigned int max, uint8_t *len)
{
	unsigned int value = 0;

	if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned int)(*text - '0');
		if (value > max)
			return false;
	}
	*len = (uint8_t)value;
	return true;
}

bool prefix_parse(struct prefix *prefix, const char *text)
{
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct prefix out = { 0 };

	if (n >= sizeof(address))
		return false;
	memcpy(address, text, n);
	address[n] = '\0';
	if (inet_pton(AF_INET, address, out.addr) == 1)
		out.family = 4;
	else if (inet_pton(AF_INET6, address, out.addr) == 1)
		out.family = 6;
	else
		return false;
	out.len = (uint8_t)address_bits(out.family);
	if (slash && !parse_len(slash + 1, address_bits(out.family), &out.len))
		return false;
	clear_host_bits(&out);
	*prefix = out;
	return true;
}

void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN] = "";

	inet_ntop(prefix->family == 4 ? AF_INET : AF_INET6, prefix->addr, address, sizeof(address));
	snprintf(text, PREFIX_TEXT_MAX, "%s/%u", address, prefix->len);
}

bool prefix_contains(const struct prefix *prefix, const uint8_t *addr)
{
	return same_bits(prefix->addr, addr, prefix->len);
}

bool prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	return outer->family == inner->family && outer->len <= inner->len &&
	       prefix_contains(outer, inner->addr);
}

bool prefix_equal(const struct prefix *a, const struct prefix *b)
{
	return a->len == b->len && prefix_covers(a, b);
}

bool prefix_overlap(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}
