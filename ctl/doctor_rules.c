/* SPDX-License-Identifier: MIT */
#include "ctl/doctor_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/doctor_iptables.h"
#include "ctl/doctor_nft.h"
#include "dataplane/route.h"

#define DEPTH_MAX  16 /* of jumps; the kernel's own bound */
#define USER_CHAIN "DOCKER-USER" /* Docker jumps there first, and never writes it */

enum match { NO, MAYBE, YES };

static enum match negate(enum match match, bool negated)
{
	if (!negated || match == MAYBE)
		return match;
	return match == YES ? NO : YES;
}

static enum match match_text(const json_t *right, const char *value)
{
	const char *text = json_string_value(right);
	size_t len = text ? strlen(text) : 0;

	if (!value || !text || text[0] == '@')
		return MAYBE;
	if (len && text[len - 1] == '*')
		return strncmp(text, value, len - 1) == 0 ? YES : NO;
	return strcmp(text, value) == 0 ? YES : NO;
}

static enum match match_number(const json_t *right, uint16_t value)
{
	const json_t *range = json_object_get(right, "range");

	if (!value)
		return MAYBE;
	if (range)
		return value >= json_integer_value(json_array_get(range, 0)) &&
		                       value <= json_integer_value(json_array_get(range, 1))
		               ? YES
		               : NO;
	if (!json_is_integer(right))
		return MAYBE;
	return json_integer_value(right) == value ? YES : NO;
}

static enum match match_address(const json_t *right, const char *value)
{
	const json_t *prefix = json_object_get(right, "prefix");
	struct prefix outer, inner;
	char text[128];

	if (prefix)
		(void)snprintf(text, sizeof(text), "%s/%lld", client_text(prefix, "addr"),
		               (long long)client_number(prefix, "len"));
	else
		(void)snprintf(text, sizeof(text), "%s",
		               json_is_string(right) ? json_string_value(right) : "");
	if (!value || !prefix_parse(&inner, value) || !prefix_parse(&outer, text))
		return MAYBE;
	return prefix_covers(&outer, &inner) ? YES : NO;
}

/* A packet that begins something new. */
static enum match match_state(const json_t *right)
{
	size_t i;
	json_t *state;

	if (json_is_string(right))
		return strcmp(json_string_value(right), "new") == 0 ? YES : NO;
	json_array_foreach (right, i, state)
		if (match_state(state) == YES)
			return YES;
	return json_is_array(right) ? NO : MAYBE;
}

static enum match match_payload(const json_t *payload, const json_t *right,
                                const struct rules_packet *packet)
{
	const char *protocol = client_text(payload, "protocol");
	const char *field = client_text(payload, "field");

	if (strcmp(protocol, "ether") == 0)
		return strcmp(field, "type") == 0 ? match_text(right, packet->family) : MAYBE;
	if (strcmp(protocol, "ip") == 0 || strcmp(protocol, "ip6") == 0) {
		if (strcmp(protocol, packet->family) != 0)
			return NO;
		if (strcmp(field, "saddr") == 0)
			return match_address(right, packet->source);
		if (strcmp(field, "daddr") == 0)
			return match_address(right, packet->destination);
		if (strcmp(field, "protocol") == 0 || strcmp(field, "nexthdr") == 0)
			return match_text(right, packet->protocol);
		return MAYBE;
	}
	if (strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0)
		return MAYBE;
	if (packet->protocol && strcmp(protocol, packet->protocol) != 0)
		return NO;
	return packet->protocol && strcmp(field, "dport") == 0 ? match_number(right, packet->dport)
	                                                       : MAYBE;
}

static enum match match_meta(const char *key, const json_t *right,
                             const struct rules_packet *packet)
{
	if (strcmp(key, "iifname") == 0 || strcmp(key, "iif") == 0)
		return match_text(right, packet->in);
	if (strcmp(key, "oifname") == 0 || strcmp(key, "oif") == 0)
		return match_text(right, packet->out);
	if (strcmp(key, "ibrname") == 0 || strcmp(key, "obrname") == 0)
		return match_text(right, packet->bridge);
	if (strcmp(key, "l4proto") == 0)
		return match_text(right, packet->protocol);
	if (strcmp(key, "protocol") == 0)
		return match_text(right, packet->family);
	if (strcmp(key, "nfproto") == 0)
		return match_text(right, strcmp(packet->family, "ip") == 0 ? "ipv4" : "ipv6");
	return MAYBE;
}

static enum match match_one(const json_t *left, const json_t *right,
                            const struct rules_packet *packet)
{
	const json_t *set = json_object_get(right, "set"), *meta = json_object_get(left, "meta");
	enum match best = NO;
	json_t *item;
	size_t i;

	if (strcmp(client_text(json_object_get(left, "ct"), "key"), "state") == 0)
		return match_state(set ? set : right);
	json_array_foreach (set, i, item) {
		enum match match = match_one(left, item, packet);

		best = match > best ? match : best;
	}
	if (set)
		return best;
	if (meta)
		return match_meta(client_text(meta, "key"), right, packet);
	if (json_object_get(left, "payload"))
		return match_payload(json_object_get(left, "payload"), right, packet);
	return MAYBE;
}

static enum match match_rule(const json_t *expressions, const struct rules_packet *packet)
{
	enum match all = YES;
	json_t *item;
	size_t i;

	json_array_foreach (expressions, i, item) {
		const json_t *match = json_object_get(item, "match");
		const json_t *xt = json_object_get(item, "xt");
		enum match one = YES;

		if (match) {
			const char *op = client_text(match, "op");
			bool known = strcmp(op, "==") == 0 || strcmp(op, "!=") == 0 ||
			             strcmp(op, "in") == 0;

			one = known ? negate(match_one(json_object_get(match, "left"),
			                               json_object_get(match, "right"), packet),
			                     strcmp(op, "!=") == 0)
			            : MAYBE;
		} else if (json_object_get(item, "limit") ||
		           (xt && strcmp(client_text(xt, "type"), "target") != 0)) {
			one = MAYBE;
		}
		all = one < all ? one : all;
	}
	return all;
}

/* What became of a packet in a chain. */
enum fate { ON, ACCEPTED, DROPPED, REWRITTEN, UNCERTAIN };

struct walk {
	const json_t *rules;
	const struct rules_packet *packet;
	struct rules_verdict *verdict;
	bool uncertain; /* it may have been accepted on the way */
};

static bool in_chain(const json_t *rule, const json_t *chain)
{
	return strcmp(client_text(rule, "family"), client_text(chain, "family")) == 0 &&
	       strcmp(client_text(rule, "table"), client_text(chain, "table")) == 0 &&
	       strcmp(client_text(rule, "chain"), client_text(chain, "name")) == 0;
}

static const json_t *find_chain(const json_t *rules, const json_t *from, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach (rules, i, item) {
		const json_t *chain = json_object_get(item, "chain");

		if (chain && strcmp(client_text(chain, "name"), name) == 0 &&
		    strcmp(client_text(chain, "table"), client_text(from, "table")) == 0 &&
		    strcmp(client_text(chain, "family"), client_text(from, "family")) == 0)
			return chain;
	}
	return NULL;
}

/* @rule: NULL: the chain's policy. */
static void note_verdict(const json_t *rules, struct rules_verdict *verdict, const json_t *chain,
                         const json_t *rule)
{
	const char *text = client_text(rule, "text");
	int n;

	verdict->table_family = client_text(chain, "family");
	verdict->table = client_text(chain, "table");
	verdict->chain = client_text(chain, "name");
	verdict->tool = client_text(chain, "tool");
	verdict->before = verdict->chain;
	verdict->handle = client_number(rule, "handle");
	if ((strncmp(verdict->chain, "DOCKER", 6) == 0 || strcmp(verdict->chain, "FORWARD") == 0) &&
	    find_chain(rules, chain, USER_CHAIN))
		verdict->before = USER_CHAIN;
	n = snprintf(verdict->text, sizeof(verdict->text),
	             "chain %s of table %s %s: ", verdict->chain, verdict->table_family,
	             verdict->table);
	if (n < 0 || (size_t)n >= sizeof(verdict->text))
		return;
	if (!rule)
		(void)snprintf(verdict->text + n, sizeof(verdict->text) - (size_t)n, "policy drop");
	else if (*text)
		(void)snprintf(verdict->text + n, sizeof(verdict->text) - (size_t)n, "%s", text);
	else
		(void)snprintf(verdict->text + n, sizeof(verdict->text) - (size_t)n,
		               "rule handle %lld", (long long)client_number(rule, "handle"));
}

static enum fate walk_chain(struct walk *walk, const json_t *chain, unsigned int depth);

static enum fate follow(struct walk *walk, const json_t *chain, const json_t *statement,
                        unsigned int depth, bool *returns);

static enum fate follow_jump(struct walk *walk, const json_t *chain, const json_t *statement,
                             unsigned int depth, bool *returns)
{
	const json_t *jump = json_object_get(statement, "jump");
	const json_t *to = jump ? jump : json_object_get(statement, "goto");
	enum fate fate = ON;

	if (!to)
		return ON;
	chain = find_chain(walk->rules, chain, client_text(to, "target"));
	if (!chain || depth >= DEPTH_MAX) {
		/* A target of iptables that lets the packet go on, or is not known. */
		walk->uncertain |= depth >= DEPTH_MAX;
		return ON;
	}
	fate = walk_chain(walk, chain, depth + 1);
	/* Who was sent by goto does not come back. */
	*returns |= fate == ON && !jump;
	return fate;
}

/* "udp dport vmap { 53 : accept, 80 : drop }" */
static enum fate follow_map(struct walk *walk, const json_t *chain, const json_t *map,
                            unsigned int depth, bool *returns)
{
	const json_t *key = json_object_get(map, "key");
	const json_t *set = json_object_get(json_object_get(map, "data"), "set");
	bool understood = json_is_array(set);
	json_t *pair;
	size_t i;

	json_array_foreach (set, i, pair) {
		enum match match = match_one(key, json_array_get(pair, 0), walk->packet);

		if (match == YES)
			return follow(walk, chain, json_array_get(pair, 1), depth, returns);
		understood &= match == NO;
	}
	walk->uncertain |= !understood;
	return ON;
}

/* What the statement does with a packet that matches; RETURN is told by *@returns. */
static enum fate follow(struct walk *walk, const json_t *chain, const json_t *statement,
                        unsigned int depth, bool *returns)
{
	const json_t *xt = json_object_get(statement, "xt");
	const json_t *map = json_object_get(statement, "vmap");
	const char *target = client_text(xt, "name");

	if (json_object_get(statement, "drop") || json_object_get(statement, "reject"))
		return DROPPED;
	if (xt && (strcmp(target, "DROP") == 0 || strcmp(target, "REJECT") == 0))
		return DROPPED;
	if (json_object_get(statement, "accept"))
		return ACCEPTED;
	if (json_object_get(statement, "masquerade") || json_object_get(statement, "snat") ||
	    strcmp(target, "MASQUERADE") == 0 || strcmp(target, "SNAT") == 0)
		return REWRITTEN;
	if (json_object_get(statement, "return"))
		*returns = true;
	/* A program decides. */
	walk->uncertain |= json_object_get(statement, "queue") || strcmp(target, "NFQUEUE") == 0;
	if (map)
		return follow_map(walk, chain, map, depth, returns);
	return follow_jump(walk, chain, statement, depth, returns);
}

static enum fate walk_rule(struct walk *walk, const json_t *chain, const json_t *rule,
                           unsigned int depth, bool *returns)
{
	const json_t *expressions = json_object_get(rule, "expr");
	enum match match = match_rule(expressions, walk->packet);
	enum fate fate = ON;
	json_t *item;
	size_t i;

	if (match == NO)
		return ON;
	json_array_foreach (expressions, i, item) {
		fate = follow(walk, chain, item, depth, returns);
		if (fate == DROPPED || fate == REWRITTEN) {
			if (!walk->verdict->table)
				note_verdict(walk->rules, walk->verdict, chain, rule);
		}
		if (fate != ON || *returns)
			break;
	}
	if (match == YES)
		return fate;
	/* It may do that, or not. If it lets the packet by, no later drop is certain. */
	walk->uncertain |= fate == ACCEPTED || fate == UNCERTAIN || *returns;
	*returns = false;
	memset(walk->verdict, 0, sizeof(*walk->verdict));
	return ON;
}

static enum fate walk_chain(struct walk *walk, const json_t *chain, unsigned int depth)
{
	bool returns = false;
	json_t *item;
	size_t i;

	json_array_foreach (walk->rules, i, item) {
		const json_t *rule = json_object_get(item, "rule");

		if (!rule || !in_chain(rule, chain))
			continue;
		enum fate fate = walk_rule(walk, chain, rule, depth, &returns);

		if (fate != ON)
			return walk->uncertain ? UNCERTAIN : fate;
		if (returns)
			break;
	}
	if (depth > 0 || strcmp(client_text(chain, "policy"), "drop") != 0)
		return ON;
	note_verdict(walk->rules, walk->verdict, chain, NULL);
	return walk->uncertain ? UNCERTAIN : DROPPED;
}

/* Of those, chains of type "route" filter as well: iptables' mangle OUTPUT is one. */
static bool is_base(const json_t *chain, const struct rules_packet *packet, bool nat)
{
	const char *family = client_text(chain, "family");

	if (strcmp(client_text(chain, "hook"), packet->hook) != 0 ||
	    (strcmp(client_text(chain, "type"), "nat") == 0) != nat)
		return false;
	if (packet->frame)
		return strcmp(family, "bridge") == 0;
	return strcmp(family, packet->family) == 0 || strcmp(family, "inet") == 0;
}

static bool find_fate(const json_t *rules, const struct rules_packet *packet, bool nat,
                      enum fate wanted, struct rules_verdict *verdict)
{
	json_t *item;
	size_t i;

	json_array_foreach (rules, i, item) {
		const json_t *chain = json_object_get(item, "chain");
		struct walk walk = { rules, packet, verdict, false };

		memset(verdict, 0, sizeof(*verdict));
		if (chain && is_base(chain, packet, nat) && walk_chain(&walk, chain, 0) == wanted) {
			verdict->hook = packet->hook;
			return true;
		}
	}
	return false;
}

bool rules_drop(const json_t *rules, const struct rules_packet *packet,
                struct rules_verdict *verdict)
{
	return find_fate(rules, packet, false, DROPPED, verdict);
}

bool rules_masquerade(const json_t *rules, const struct rules_packet *packet,
                      struct rules_verdict *verdict)
{
	return find_fate(rules, packet, true, REWRITTEN, verdict);
}

json_t *rules_read(const char **why)
{
	json_t *rules = nft_list(why);
	bool blind = !rules;

	if (blind)
		rules = json_array();
	if (!iptables_merge(rules, blind) && blind) {
		json_decref(rules);
		return NULL;
	}
	return rules;
}
