/* SPDX-License-Identifier: MIT */
/* Values of peers.conf: text to numbers, prefixes, endpoints and names, and back for messages. */
#include "ctl/config_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HOST_NAME_MAX_LEN  253 /* RFC 1035 section 2.3.4, as text */
#define HOST_LABEL_MAX_LEN 63

/* --- messages --- */

int config_fail(struct config_error *error, const char *file, unsigned int line, const char *format,
                ...)
{
	va_list args;

	memset(error, 0, sizeof(*error));
	slice_copy(slice_of(file), error->file, sizeof(error->file));
	error->line = line;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return -EINVAL;
}

int config_fail_memory(struct config_error *error, const char *file)
{
	config_fail(error, file, 0, "out of memory");
	return -ENOMEM;
}

void config_error_format(const struct config_error *error, char *out, size_t size)
{
	if (error->file[0] == '\0')
		snprintf(out, size, "%s", error->text);
	else if (error->line == 0)
		snprintf(out, size, "%s: %s", error->file, error->text);
	else
		snprintf(out, size, "%s:%u: %s", error->file, error->line, error->text);
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/';
}

/* A run of characters as long as a key's 43. Hexadecimal keys have 64 of them. */
static bool holds_key(struct slice text)
{
	size_t run = 0;

	for (size_t i = 0; i < text.len && run < KEY_BASE64_LEN - 1; i++)
		run = is_base64(text.at[i]) ? run + 1 : 0;
	return run == KEY_BASE64_LEN - 1;
}

const char *config_quote(struct slice text, char out[CONFIG_QUOTE_MAX])
{
	static const char ellipsis[] = "\u2026";
	size_t n = 0;

	if (holds_key(text))
		return strcpy(out, "(not shown: it could be a key)");
	out[n++] = '"';
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];

		if (n + sizeof(ellipsis) + 1 >= CONFIG_QUOTE_MAX) {
			memcpy(out + n, ellipsis, sizeof(ellipsis) - 1);
			n += sizeof(ellipsis) - 1;
			break;
		}
		out[n++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
	}
	out[n++] = '"';
	out[n] = '\0';
	return out;
}

/* --- slices --- */

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct slice slice_of(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

struct slice slice_trim(struct slice s)
{
	while (s.len > 0 && is_space(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool slice_equals(struct slice s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

bool slice_split(struct slice *s, char separator, struct slice *part)
{
	const char *end;

	if (!s->at)
		return false;
	end = memchr(s->at, separator, s->len);
	*part = *s;
	if (end) {
		part->len = (size_t)(end - s->at);
		s->len -= part->len + 1;
		s->at = end + 1;
	} else {
		s->at = NULL;
	}
	return true;
}

bool slice_copy(struct slice s, char *out, size_t size)
{
	size_t n = s.len < size ? s.len : size - 1;

	memcpy(out, s.at, n);
	out[n] = '\0';
	return n == s.len;
}

/* --- values --- */

static bool parse_digits(struct slice s, unsigned int base, uint32_t max, uint32_t *value)
{
	uint64_t sum = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = (char)tolower((unsigned char)s.at[i]);
		unsigned int digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned int)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned int)(c - 'a') + 10;
		else
			return false;
		if (digit >= base)
			return false;
		sum = sum * base + digit;
		if (sum > max)
			return false;
	}
	*value = (uint32_t)sum;
	return true;
}

bool config_file_path(const char *file, struct slice value, char out[PATH_MAX])
{
	const char *slash = strrchr(file, '/');
	size_t folder = slash ? (size_t)(slash - file) + 1 : 0;

	if (value.len > 0 && value.at[0] == '/')
		folder = 0;
	if (folder >= PATH_MAX)
		return false;
	memcpy(out, file, folder);
	return slice_copy(value, out + folder, PATH_MAX - folder);
}

bool config_parse_number(struct slice s, uint32_t max, uint32_t *value)
{
	return parse_digits(s, 10, max, value);
}

bool config_parse_fwmark(struct slice s, uint32_t *value)
{
	if (slice_equals(s, "off")) {
		*value = 0;
		return true;
	}
	if (s.len > 2 && s.at[0] == '0' && (s.at[1] == 'x' || s.at[1] == 'X'))
		return parse_digits((struct slice){ s.at + 2, s.len - 2 }, 16, UINT32_MAX, value);
	return parse_digits(s, 10, UINT32_MAX, value);
}

bool config_parse_prefix(struct slice s, struct prefix *prefix)
{
	char text[PREFIX_TEXT_MAX];

	if (s.len >= sizeof(text))
		return false;
	slice_copy(s, text, sizeof(text));
	return prefix_parse(prefix, text);
}

/* 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/3; ::1 and ::ffff:0:0/96 lie in ::/80; ff00::/8. */
bool config_is_unicast(const struct prefix *prefix)
{
	static const struct prefix others[] = {
		{ .family = 4, .len = 8 },
		{ .family = 4, .len = 8, .addr = { 127 } },
		{ .family = 4, .len = 3, .addr = { 224 } },
		{ .family = 6, .len = 80 },
		{ .family = 6, .len = 8, .addr = { 0xff } },
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (prefix_overlap(prefix, &others[i]))
			return false;
	return true;
}

/*
 * Letters, digits, "-", "_" and "."; the last label not a number, so that a
 * mistyped IPv4 address is an error now and not a name nobody ever resolves.
 */
static bool is_host_name(struct slice host)
{
	struct slice rest = host, label;
	bool number = false;
	uint32_t ignored;

	if (host.len == 0 || host.len > HOST_NAME_MAX_LEN)
		return false;
	if (host.at[host.len - 1] == '.') /* fully qualified */
		rest.len--;
	while (slice_split(&rest, '.', &label)) {
		if (label.len == 0 || label.len > HOST_LABEL_MAX_LEN || label.at[0] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!isalnum((unsigned char)label.at[i]) && label.at[i] != '-' &&
			    label.at[i] != '_')
				return false;
		number = isdigit((unsigned char)label.at[0]) &&
		         (parse_digits(label, 10, UINT32_MAX, &ignored) || label.len > 9);
	}
	return !number;
}

/* The address as endpoint_format() writes it, without brackets and port. */
static void set_numeric_host(struct config_endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_MAX];
	char *start = text, *end;

	endpoint_format(&endpoint->address, text);
	end = strrchr(text, ':');
	if (text[0] == '[') {
		start++;
		end--;
	}
	slice_copy((struct slice){ start, (size_t)(end - start) }, endpoint->host,
	           sizeof(endpoint->host));
}

/* endpoint_parse(), which knows scopes by number alone, for text with a device's name too. */
static bool parse_numeric(struct endpoint *address, const char *text)
{
	const char *percent = strchr(text, '%'), *bracket = strchr(text, ']');
	char device[IFNAMSIZ], numbered[ENDPOINT_TEXT_MAX];
	unsigned int index;

	if (endpoint_parse(address, text) == 0)
		return true;
	if (!percent || !bracket || percent > bracket ||
	    !slice_copy((struct slice){ percent + 1, (size_t)(bracket - percent - 1) }, device,
	                sizeof(device)))
		return false;
	index = if_nametoindex(device);
	if (index == 0 ||
	    (size_t)snprintf(numbered, sizeof(numbered), "%.*s%%%u%s", (int)(percent - text), text,
	                     index, bracket) >= sizeof(numbered))
		return false;
	return endpoint_parse(address, numbered) == 0;
}

bool config_parse_endpoint(struct config_endpoint *endpoint, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct config_endpoint out;
	struct slice host;
	uint32_t port;

	memset(&out, 0, sizeof(out));
	if (!colon || !config_parse_number(slice_of(colon + 1), UINT16_MAX, &port) || port == 0)
		return false;
	out.port = (uint16_t)port;
	host = (struct slice){ text, (size_t)(colon - text) };
	if (parse_numeric(&out.address, text)) {
		out.numeric = true;
		set_numeric_host(&out);
	} else if (!is_host_name(host) || !slice_copy(host, out.host, sizeof(out.host))) {
		return false;
	} else {
		memset(&out.address, 0, sizeof(out.address));
	}
	*endpoint = out;
	return true;
}

void config_format_endpoint(const struct config_endpoint *endpoint, char *out, size_t size)
{
	char text[ENDPOINT_TEXT_MAX];

	if (endpoint->host[0] == '\0') {
		snprintf(out, size, "(none)");
	} else if (endpoint->numeric) {
		endpoint_format(&endpoint->address, text);
		snprintf(out, size, "%s", text);
	} else {
		snprintf(out, size, "%s:%u", endpoint->host, endpoint->port);
	}
}

/* --- names --- */

const char *config_name_problem(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return "expected a name";
	if (!isalnum((unsigned char)name[0]))
		return "a name begins with a letter or a digit";
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return "a name has letters, digits, \".\", \"_\" and \"-\" only";
	if (len >= CONFIG_NAME_MAX)
		return "a name has at most 63 characters";
	if (holds_key(slice_of(name)))
		return "a name must not look like a key";
	return NULL;
}

/* The kernel's rule for names of network devices; "%" would make it a pattern for names. */
const char *config_bridge_problem(const char *bridge)
{
	if (bridge[0] == '\0')
		return "expected the name of a bridge";
	if (strlen(bridge) >= IFNAMSIZ)
		return "a network device's name has at most 15 characters";
	if (strcmp(bridge, ".") == 0 || strcmp(bridge, "..") == 0)
		return "not a network device's name";
	for (const char *p = bridge; *p; p++)
		if (strchr("/:%", *p) || is_space(*p) || !isprint((unsigned char)*p))
			return "a network device's name has no \"/\", \":\", \"%\", blank or "
			       "unprintable character";
	return NULL;
}

/* --- MACs --- */

bool config_parse_mac(uint8_t mac[ETHER_ADDR_SIZE], const char *text)
{
	struct slice rest = slice_of(text), part;

	for (size_t i = 0; i < ETHER_ADDR_SIZE; i++) {
		uint32_t byte;

		if (!slice_split(&rest, ':', &part) || part.len > 2 ||
		    !parse_digits(part, 16, UINT8_MAX, &byte))
			return false;
		mac[i] = (uint8_t)byte;
	}
	return !rest.at;
}

const char *config_mac_problem(const uint8_t mac[ETHER_ADDR_SIZE])
{
	static const uint8_t none[ETHER_ADDR_SIZE];

	if (mac[0] & 1)
		return "a multicast MAC; no station has one";
	if (memcmp(mac, none, ETHER_ADDR_SIZE) == 0)
		return "all zero; no station has this MAC";
	return NULL;
}

/* --- stations --- */

#define VLAN_MAX 4094U

static bool parse_vlans(struct slice text, struct wire_vlans *vlans)
{
	struct slice part;

	memset(vlans, 0, sizeof(*vlans));
	for (size_t i = 0; slice_split(&text, '.', &part); i++) {
		bool service = part.len > 0 && part.at[0] == 's';
		uint32_t id;

		if (service)
			part = (struct slice){ part.at + 1, part.len - 1 };
		if (i == WIRE_VLANS_MAX || !config_parse_number(part, VLAN_MAX, &id) || id == 0)
			return false;
		store_be16(vlans->tag[i].b, (uint16_t)(id | (service ? WIRE_VLANS_SERVICE : 0)));
	}
	return true;
}

bool config_parse_address(struct fdb_key *key, const char *text)
{
	struct slice rest = slice_of(text), part;
	char word[PREFIX_TEXT_MAX];
	struct wire_vlans vlans;
	struct prefix address;

	memset(&vlans, 0, sizeof(vlans));
	if (!slice_split(&rest, '@', &part) || !slice_copy(part, word, sizeof(word)) ||
	    strchr(word, '/') || !prefix_parse(&address, word) ||
	    (rest.at && !parse_vlans(rest, &vlans)))
		return false;
	*key = fdb_key_in(vlans, address.family, address.addr);
	return true;
}

void config_format_vlans(const struct wire_vlans *vlans, char out[CONFIG_VLANS_TEXT_MAX])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < WIRE_VLANS_MAX && load_be16(vlans->tag[i].b); i++) {
		uint16_t tag = load_be16(vlans->tag[i].b);

		used += (size_t)snprintf(out + used, CONFIG_VLANS_TEXT_MAX - used, "%s%s%d",
		                         i ? "." : "", tag & WIRE_VLANS_SERVICE ? "s" : "",
		                         tag & WIRE_VLAN_ID);
	}
}

void config_format_station(const struct fdb_key *key, char out[PREFIX_TEXT_MAX])
{
	struct prefix address = { .family = key->kind, .len = key->kind == FDB_IPV4 ? 32 : 128 };
	const uint8_t *mac = key->addr;
	char vlans[CONFIG_VLANS_TEXT_MAX];
	size_t end;

	if (key->kind == FDB_MAC) {
		snprintf(out, PREFIX_TEXT_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		         mac[2], mac[3], mac[4], mac[5]);
		return;
	}
	memcpy(address.addr, key->addr, sizeof(address.addr));
	prefix_format(&address, out);
	end = strcspn(out, "/");
	config_format_vlans(&key->vlans, vlans);
	snprintf(out + end, PREFIX_TEXT_MAX - end, "%s%s", vlans[0] ? "@" : "", vlans);
}
