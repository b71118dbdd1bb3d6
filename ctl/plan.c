/* SPDX-License-Identifier: MIT */
#include "ctl/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "crypto/endian.h"
#include "ctl/config_private.h"

#define SUBNET_MIN 8 /* bits */

/* --- reading --- */

/* A list that is being read. */
struct reader {
	struct plan *plan;
	struct config_error *error;
	unsigned int line;
};

#define fail(reader, ...) \
	config_fail((reader)->error, (reader)->plan->file, (reader)->line, __VA_ARGS__)

const char *plan_subnet_problem(const struct prefix *subnet)
{
	if (subnet->family != 4)
		return "expected an IPv4 subnet such as 172.20.0.0/16";
	if (subnet->len < SUBNET_MIN || subnet->len > PLAN_RANGE_MAX || !config_is_unicast(subnet))
		return "expected a subnet of containers, of /8 to /29, such as 172.20.0.0/16";
	return NULL;
}

const char *plan_range_problem(const struct plan *plan)
{
	if (plan->range_len < plan->subnet.len)
		return "a host's range cannot be larger than the subnet";
	if (plan->range_len > PLAN_RANGE_MAX)
		return "expected a length of 29 bits at most: a gateway and a few containers";
	return NULL;
}

/* Takes the next word off @rest. False: there is none. */
static bool next_word(struct slice *rest, struct slice *word)
{
	static const char blanks[] = " \t\r\v\f";
	size_t len = 0;

	while (rest->len > 0 && strchr(blanks, rest->at[0])) {
		rest->at++;
		rest->len--;
	}
	while (len < rest->len && !(rest->at[len] && strchr(blanks, rest->at[len])))
		len++;
	*word = (struct slice){ rest->at, len };
	rest->at += len;
	rest->len -= len;
	return len > 0;
}

static int read_name(struct reader *reader, struct plan_host *host, struct slice word)
{
	char quoted[CONFIG_QUOTE_MAX];
	const char *problem = "a name has at most 63 characters";

	if (slice_copy(word, host->name, sizeof(host->name)))
		problem = memchr(word.at, '\0', word.len) ? "expected a name"
		                                          : config_name_problem(host->name);
	if (problem)
		return fail(reader, "host %s: %s", config_quote(word, quoted), problem);
	if (strcmp(host->name, PLAN_LIST) == 0 || strcmp(host->name, PLAN_PICTURE) == 0 ||
	    strcmp(host->name, PLAN_PICTURE_DRAWN) == 0)
		return fail(reader,
		            "host \"%s\": the plan has a file of this name; expected another",
		            host->name);
	return 0;
}

/* Completes what has no port, and no brackets. False: not an endpoint. */
static bool parse_endpoint(struct config_endpoint *endpoint, struct slice word, uint16_t port)
{
	char text[CONFIG_HOST_MAX + 16], plain[CONFIG_HOST_MAX];
	const char *colon;

	if (!slice_copy(word, plain, sizeof(plain)) || memchr(word.at, '\0', word.len))
		return false;
	colon = strchr(plain, ':');
	if (plain[0] == '[' && plain[strlen(plain) - 1] == ']')
		snprintf(text, sizeof(text), "%s:%u", plain, port);
	else if (plain[0] != '[' && colon && strchr(colon + 1, ':'))
		snprintf(text, sizeof(text), "[%s]:%u", plain, port);
	else if (!colon)
		snprintf(text, sizeof(text), "%s:%u", plain, port);
	else
		snprintf(text, sizeof(text), "%s", plain);
	return config_parse_endpoint(endpoint, text);
}

static int read_endpoint(struct reader *reader, struct plan_host *host, struct slice word)
{
	const struct prefix *subnet = &reader->plan->subnet;
	char quoted[CONFIG_QUOTE_MAX], text[PREFIX_TEXT_MAX];
	struct prefix address;

	config_quote(word, quoted);
	if (!parse_endpoint(&host->endpoint, word, reader->plan->port))
		return fail(reader,
		            "endpoint %s: expected an address or a DNS name, with or without a "
		            "port, such as 10.10.10.101, [fd10::1]:12345 or barge1.example.org",
		            quoted);
	if (!host->endpoint.numeric)
		return 0;
	if (memchr(word.at, '%', word.len))
		return fail(reader,
		            "endpoint %s: a link-local address means something else on each host",
		            quoted);
	if (prefix_parse(&address, host->endpoint.host) && prefix_overlap(&address, subnet)) {
		prefix_format(subnet, text);
		return fail(reader,
		            "endpoint %s lies in the overlay itself, %s: expected an address "
		            "outside it",
		            quoted, text);
	}
	return 0;
}

static int read_range(struct reader *reader, struct plan_host *host, const struct prefix *range)
{
	const struct prefix *subnet = &reader->plan->subnet;
	char text[2][PREFIX_TEXT_MAX];

	prefix_format(range, text[0]);
	prefix_format(subnet, text[1]);
	if (host->range.family)
		return fail(reader, "range %s: \"%s\" has one already", text[0], host->name);
	if (!prefix_covers(subnet, range))
		return fail(reader, "range %s is not within the subnet, %s", text[0], text[1]);
	if (range->len > PLAN_RANGE_MAX)
		return fail(reader, "range %s: expected one of /%d or larger", text[0],
		            PLAN_RANGE_MAX);
	host->range = *range;
	return 0;
}

/* A range or a public key: they cannot be taken for one another. */
static int read_word(struct reader *reader, struct plan_host *host, struct slice word)
{
	char quoted[CONFIG_QUOTE_MAX];
	uint8_t key[KEY_SIZE];
	struct prefix range;

	if (config_parse_prefix(word, &range) && memchr(word.at, '/', word.len))
		return read_range(reader, host, &range);
	if (!secret_from_base64(key, word.at, word.len))
		return fail(reader,
		            "unknown word %s: expected a range such as 172.20.101.0/24, or the "
		            "host's public key",
		            config_quote(word, quoted));
	if (host->has_key)
		return fail(reader, "a second public key: \"%s\" has one already", host->name);
	memcpy(host->public_key, key, KEY_SIZE);
	host->has_key = host->away = true;
	return 0;
}

static int check_against_others(struct reader *reader, const struct plan_host *host)
{
	char text[2][PREFIX_TEXT_MAX];

	for (const struct plan_host *other = reader->plan->hosts; other < host; other++) {
		if (strcasecmp(other->name, host->name) == 0)
			return fail(reader, "host \"%s\" stands in line %u already", host->name,
			            other->line);
		if (strcasecmp(other->endpoint.host, host->endpoint.host) == 0 &&
		    other->endpoint.port == host->endpoint.port)
			return fail(reader, "host \"%s\" has the endpoint of \"%s\" in line %u",
			            host->name, other->name, other->line);
		if (!other->range.family || !host->range.family ||
		    !prefix_overlap(&other->range, &host->range))
			continue;
		prefix_format(&host->range, text[0]);
		prefix_format(&other->range, text[1]);
		return fail(reader, "range %s overlaps %s of \"%s\" in line %u", text[0], text[1],
		            other->name, other->line);
	}
	return 0;
}

static int read_line(struct reader *reader, struct slice rest)
{
	struct plan *plan = reader->plan;
	struct plan_host *host, *grown;
	struct slice word;
	int err;

	if (!next_word(&rest, &word))
		return 0;
	if (plan->count == PLAN_HOSTS_MAX)
		return fail(reader, "more than %d hosts", PLAN_HOSTS_MAX);
	grown = config_grow(plan->hosts, plan->count, sizeof(*plan->hosts));
	if (!grown)
		return config_fail_memory(reader->error, plan->file);
	plan->hosts = grown;
	host = &plan->hosts[plan->count];
	memset(host, 0, sizeof(*host));
	host->line = reader->line;
	err = read_name(reader, host, word);
	if (err)
		return err;
	if (!next_word(&rest, &word))
		return fail(reader,
		            "host \"%s\" has no endpoint: expected NAME ENDPOINT "
		            "[RANGE] [PUBLICKEY]",
		            host->name);
	err = read_endpoint(reader, host, word);
	while (!err && next_word(&rest, &word))
		err = read_word(reader, host, word);
	if (!err)
		err = check_against_others(reader, host);
	if (!err)
		plan->count++;
	return err;
}

int plan_read(struct plan *plan, const char *text, size_t len, const char *file,
              struct config_error *error)
{
	struct reader reader = { .plan = plan, .error = error };
	struct slice rest = { text, len }, line;
	int err = 0;

	slice_copy(slice_of(file), plan->file, sizeof(plan->file));
	while (!err && slice_split(&rest, '\n', &line)) {
		const char *comment = memchr(line.at, '#', line.len);

		reader.line++;
		if (comment)
			line.len = (size_t)(comment - line.at);
		err = read_line(&reader, line);
	}
	if (!err && plan->count == 0)
		err = config_fail(error, file, 0, "no host: expected lines of NAME ENDPOINT");
	return err;
}

void plan_fini(struct plan *plan)
{
	free(plan->hosts);
	plan->hosts = NULL;
	plan->count = 0;
}

const struct plan_host *plan_find(const struct plan *plan, const char *name)
{
	for (size_t i = 0; i < plan->count; i++)
		if (strcmp(plan->hosts[i].name, name) == 0)
			return &plan->hosts[i];
	return NULL;
}

/* --- allocating --- */

static const struct plan_host *find_overlap(const struct plan *plan, const struct prefix *range)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->hosts[i].range.family && prefix_overlap(&plan->hosts[i].range, range))
			return &plan->hosts[i];
	return NULL;
}

static int keep_range(const struct plan *plan, struct plan_host *host, const struct plan_host *old,
                      struct config_error *error)
{
	char text[2][PREFIX_TEXT_MAX];
	const struct plan_host *other;

	other = find_overlap(plan, &old->range);
	if (!other) {
		host->range = old->range;
		host->old_line = old->line;
		return 0;
	}
	prefix_format(&other->range, text[0]);
	prefix_format(&old->range, text[1]);
	return config_fail(error, plan->file, other->line,
	                   "range %s of \"%s\" overlaps %s, which \"%s\" has since an earlier plan",
	                   text[0], other->name, text[1], host->name);
}

static int keep_old(struct plan *plan, const struct plan *old, struct config_error *error)
{
	int err = 0;

	for (size_t i = 0; i < plan->count && !err; i++) {
		struct plan_host *host = &plan->hosts[i];
		const struct plan_host *before = plan_find(old, host->name);

		if (!before)
			continue;
		if (!host->range.family && before->range.family)
			err = keep_range(plan, host, before, error);
		if (!host->has_key && before->has_key) {
			memcpy(host->public_key, before->public_key, KEY_SIZE);
			host->has_key = host->away = true;
		}
	}
	return err;
}

/* Range @number of the subnet, all of one length. */
static struct prefix nth_range(const struct plan *plan, uint32_t number)
{
	struct prefix range = plan->subnet;

	range.len = plan->range_len;
	store_be32(range.addr, load_be32(range.addr) + (number << (32 - plan->range_len)));
	return range;
}

int plan_allocate(struct plan *plan, const struct plan *old, struct config_error *error)
{
	uint32_t all = 1U << (plan->range_len - plan->subnet.len), tried = 0;
	char text[PREFIX_TEXT_MAX];
	int err = old ? keep_old(plan, old, error) : 0;

	for (size_t i = 0; i < plan->count && !err; i++) {
		struct plan_host *host = &plan->hosts[i];

		/* From the second on: the first holds the subnet's own address. */
		while (!host->range.family && tried < all) {
			struct prefix range = nth_range(plan, ++tried % all);

			if (!find_overlap(plan, &range))
				host->range = range;
		}
		if (host->range.family)
			continue;
		prefix_format(&plan->subnet, text);
		err = config_fail(error, plan->file, host->line,
		                  "no /%u of %s is left for \"%s\": it takes a larger subnet, or "
		                  "smaller ranges (--prefix)",
		                  plan->range_len, text, host->name);
	}
	return err;
}

int plan_check_keys(const struct plan *plan, struct config_error *error)
{
	for (size_t i = 0; i < plan->count; i++)
		for (size_t j = 0; j < i; j++)
			if (memcmp(plan->hosts[i].public_key, plan->hosts[j].public_key,
			           KEY_SIZE) == 0)
				return config_fail(error, plan->file, plan->hosts[i].line,
				                   "host \"%s\" has the public key of \"%s\" in "
				                   "line %u: expected one of its own",
				                   plan->hosts[i].name, plan->hosts[j].name,
				                   plan->hosts[j].line);
	return 0;
}
