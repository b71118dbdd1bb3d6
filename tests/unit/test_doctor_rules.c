/* SPDX-License-Identifier: MIT */
/* Rules as nft and iptables tell them, and what becomes of packets. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include "ctl/doctor_iptables.h"
#include "ctl/doctor_rules.h"

static json_t *parse(const char *table, const char *lines)
{
	json_t *rules = json_array();
	char *text = strdup(lines);

	assert_non_null(text);
	iptables_parse(rules, "iptables", "ip", table, text);
	free(text);
	return rules;
}

/* What the overlay sends with br_netfilter. */
static const struct rules_packet crossing = { .hook = "forward",
	                                      .family = "ip",
	                                      .in = "ovl0",
	                                      .out = "ovl0",
	                                      .source = "172.20.101.0",
	                                      .destination = "172.20.102.0" };

/* Of the tunnel, from a peer. */
static const struct rules_packet datagram = { .hook = "input",
	                                      .family = "ip",
	                                      .protocol = "udp",
	                                      .dport = 12345,
	                                      .in = "eth0",
	                                      .source = "192.0.2.2" };

static void test_iptables(void **state)
{
	static const struct {
		const char *lines;
		bool crossing_drops, datagram_drops;
	} rows[] = {
		{ "-P FORWARD ACCEPT\n-P INPUT ACCEPT\n", false, false },
		{ "-P FORWARD DROP\n-P INPUT DROP\n", true, true },
		/* accepted before */
		{ "-P FORWARD DROP\n-A FORWARD -i ovl0 -o ovl0 -j ACCEPT\n", false, false },
		{ "-P FORWARD DROP\n-A FORWARD -i ovl+ -j ACCEPT\n", false, false },
		{ "-P FORWARD DROP\n-A FORWARD ! -i ovl0 -j ACCEPT\n", true, false },
		{ "-P FORWARD DROP\n-A FORWARD -s 172.20.0.0/16 -j ACCEPT\n", false, false },
		{ "-P FORWARD DROP\n-A FORWARD -s 172.21.0.0/16 -j ACCEPT\n", true, false },
		/* what goes on is not what begins */
		{ "-P FORWARD DROP\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j "
		  "ACCEPT\n",
		  true, false },
		{ "-P INPUT DROP\n-A INPUT -m state --state NEW -m udp -p udp --dport 12345 -j "
		  "ACCEPT\n",
		  false, false },
		/* what is not understood may match: no verdict */
		{ "-P FORWARD DROP\n-A FORWARD -m set --match-set friends src -j ACCEPT\n", false,
		  false },
		{ "-P FORWARD ACCEPT\n-A FORWARD -m set --match-set foes src -j DROP\n", false,
		  false },
		/* but it is dropped either way */
		{ "-P FORWARD DROP\n-A FORWARD -m set --match-set foes src -j DROP\n", true,
		  false },
		{ "-P FORWARD DROP\n-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT\n", false,
		  false },
		/* jumps, and coming back */
		{ "-P FORWARD ACCEPT\n-N A\n-N B\n-A FORWARD -j A\n-A A -j B\n-A B -j DROP\n", true,
		  false },
		{ "-P FORWARD ACCEPT\n-N A\n-A FORWARD -j A\n-A A -j RETURN\n-A A -j DROP\n", false,
		  false },
		{ "-P FORWARD ACCEPT\n-N A\n-A FORWARD -j A\n-A FORWARD -j DROP\n-A A -i ovl0 -j "
		  "ACCEPT\n",
		  false, false },
		/* by goto nobody comes back */
		{ "-P FORWARD ACCEPT\n-N A\n-A FORWARD -g A\n-A FORWARD -j DROP\n", false, false },
		{ "-P FORWARD ACCEPT\n-N A\n-A FORWARD -j A\n-A FORWARD -j DROP\n", true, false },
		/* Docker 20 with a network of its own beside: its isolation says nothing of us */
		{ "-P FORWARD DROP\n-N DOCKER\n-N DOCKER-ISOLATION-STAGE-1\n-N "
		  "DOCKER-ISOLATION-STAGE-2\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n-A FORWARD "
		  "-j "
		  "DOCKER-ISOLATION-STAGE-1\n-A FORWARD -o ovl0 -m conntrack --ctstate "
		  "RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o ovl0 -j DOCKER\n-A FORWARD -i ovl0 "
		  "! "
		  "-o ovl0 -j ACCEPT\n-A FORWARD -i ovl0 -o ovl0 -j ACCEPT\n-A "
		  "DOCKER-ISOLATION-STAGE-1 -i ovl0 ! -o ovl0 -j DOCKER-ISOLATION-STAGE-2\n-A "
		  "DOCKER-ISOLATION-STAGE-1 -j RETURN\n-A DOCKER-ISOLATION-STAGE-2 -o ovl0 -j "
		  "DROP\n-A DOCKER-ISOLATION-STAGE-2 -j RETURN\n-A DOCKER-USER -j RETURN\n",
		  false, false },
		/* ports */
		{ "-P INPUT ACCEPT\n-A INPUT -p udp -m udp --dport 12000:12999 -j REJECT "
		  "--reject-with icmp-port-unreachable\n",
		  false, true },
		{ "-P INPUT ACCEPT\n-A INPUT -p tcp -m tcp --dport 12345 -j DROP\n", false, false },
		{ "-P INPUT ACCEPT\n-A INPUT -p udp -m multiport --dports 1,12345 -j DROP\n", false,
		  false },
		/* what people say of a rule is no rule */
		{ "-P INPUT ACCEPT\n-A INPUT -m comment --comment \"we -j DROP it\" -p tcp -j "
		  "DROP\n",
		  false, false },
		{ "-P INPUT ACCEPT\n-A INPUT -p udp -m comment --comment \"all of it\" -j DROP\n",
		  false, true },
		{ "-P INPUT ACCEPT\n-A INPUT -p udp -m comment --comment \"\" -j DROP\n", false,
		  true },
		{ "-P INPUT ACCEPT\n-A INPUT -p udp -m comment --comment \"say \\\"x\\\" -j ACCEPT "
		  "it\" -j DROP\n",
		  false, true },
		{ "-P INPUT DROP\n-A INPUT -m string --string \"a -j RETURN b\" --algo bm -j "
		  "DROP\n",
		  false, true },
		/* LOG and MARK let it go on */
		{ "-P INPUT DROP\n-A INPUT -j LOG --log-prefix \"x -j ACCEPT \"\n", false, true },
		{ "-P INPUT DROP\n-A INPUT -j NFQUEUE --queue-num 1\n", false, true },
		/* nonsense */
		{ "-P\n-N\n-A\n-A INPUT\n-P INPUT\n\n-A INPUT -j\n-A INPUT -s -d -p\n- - -\n",
		  false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *rules = parse("filter", rows[i].lines);
		struct rules_verdict verdict;

		print_message("row %zu\n", i);
		assert_int_equal(rules_drop(rules, &crossing, &verdict), rows[i].crossing_drops);
		assert_int_equal(rules_drop(rules, &datagram, &verdict), rows[i].datagram_drops);
		json_decref(rules);
	}
}

static void test_verdict(void **state)
{
	json_t *rules = parse("filter", "-P FORWARD ACCEPT\n-N DOCKER-USER\n-A FORWARD -j "
	                                "DOCKER-USER\n-A FORWARD -i ovl0 -o ovl0 -j DROP\n");
	struct rules_verdict verdict;

	(void)state;
	assert_true(rules_drop(rules, &crossing, &verdict));
	assert_string_equal(verdict.text,
	                    "chain FORWARD of table ip filter: -i ovl0 -o ovl0 -j DROP");
	assert_string_equal(verdict.tool, "iptables");
	assert_string_equal(verdict.chain, "FORWARD");
	assert_string_equal(verdict.before, "DOCKER-USER");
	json_decref(rules);
}

static void test_masquerade(void **state)
{
	static const struct {
		const char *lines;
		bool rewritten;
	} rows[] = {
		{ "-P POSTROUTING ACCEPT\n-A POSTROUTING -s 172.20.0.0/16 ! -o ovl0 -j "
		  "MASQUERADE\n",
		  false },
		{ "-P POSTROUTING ACCEPT\n-A POSTROUTING -s 172.20.0.0/16 -j MASQUERADE\n", true },
		{ "-P POSTROUTING ACCEPT\n-A POSTROUTING -j SNAT --to-source 192.0.2.1\n", true },
		{ "-P POSTROUTING ACCEPT\n-A POSTROUTING -o ovl0 -j ACCEPT\n-A POSTROUTING -j "
		  "MASQUERADE\n",
		  false },
	};
	struct rules_packet packet = crossing;

	(void)state;
	packet.hook = "postrouting";
	packet.in = NULL;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *rules = parse("nat", rows[i].lines);
		struct rules_verdict verdict;

		print_message("row %zu\n", i);
		assert_int_equal(rules_masquerade(rules, &packet, &verdict), rows[i].rewritten);
		assert_false(rules_drop(rules, &packet, &verdict));
		json_decref(rules);
	}
}

/* A base chain of hook input with policy drop, and one rule. */
static bool nft_drops(const char *expressions)
{
	struct rules_verdict verdict;
	json_t *chain =
		json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s}}", "chain", "family", "inet", "table",
	                  "t", "name", "c", "type", "filter", "hook", "input", "policy", "drop");
	json_t *expr = json_loads(expressions, 0, NULL);
	json_t *rule = json_pack("{s:{s:s, s:s, s:s, s:i, s:o}}", "rule", "family", "inet", "table",
	                         "t", "chain", "c", "handle", 4, "expr", expr);
	json_t *rules = json_pack("[o, o]", chain, rule);

	assert_non_null(expr);
	bool drops = rules_drop(rules, &datagram, &verdict);

	json_decref(rules);
	return drops;
}

#define MATCH(op, left, right) \
	"{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define DPORT "{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}}"

static void test_nft(void **state)
{
	static const struct {
		const char *expressions;
		bool drops;
	} rows[] = {
		{ "[{\"counter\":null}]", true },
		{ "[{\"accept\":null}]", false },
		{ "[" MATCH("==", DPORT, "12345") ",{\"accept\":null}]", false },
		{ "[" MATCH("==", DPORT, "53") ",{\"accept\":null}]", true },
		{ "[" MATCH("!=", DPORT, "12345") ",{\"accept\":null}]", true },
		{ "[" MATCH("==", DPORT,
		            "{\"set\":[53,{\"range\":[12000,13000]}]}") ",{\"accept\":null}]",
		  false },
		{ "[" MATCH("==", DPORT, "\"@open\"") ",{\"accept\":null}]", false },
		{ "[" MATCH("in", "{\"ct\":{\"key\":\"state\"}}",
		            "[\"established\",\"related\"]") ",{\"accept\":null}]",
		  true },
		{ "[" MATCH("==", "{\"meta\":{\"key\":\"nfproto\"}}",
		            "\"ipv6\"") ",{\"accept\":null}]",
		  true },
		{ "[{\"vmap\":{\"key\":" DPORT
		  ",\"data\":{\"set\":[[53,{\"drop\":null}],[12345,{\"accept\":"
		  "null}]]}}}]",
		  false },
		{ "[{\"vmap\":{\"key\":" DPORT ",\"data\":{\"set\":[[53,{\"accept\":null}]]}}}]",
		  true },
		{ "[{\"vmap\":{\"key\":" DPORT ",\"data\":\"@verdicts\"}}]", false },
		{ "[{\"limit\":{\"rate\":5,\"per\":\"second\"}},{\"accept\":null}]", false },
		{ "[{\"queue\":{\"num\":1}}]", false },
		{ "[{\"xt\":{\"type\":\"match\",\"name\":\"addrtype\"}},{\"accept\":null}]",
		  false },
		{ "[{\"xt\":{\"type\":\"target\",\"name\":\"REJECT\"}}]", true },
		{ "[{\"jump\":{\"target\":\"c\"}}]", false }, /* for ever: no verdict */
		{ "[]", true },
		{ "{}", true },
		{ "[1,null,[],{\"match\":7},{\"match\":{\"op\":\"==\",\"left\":[],\"right\":{}}},{"
		  "\"accept\":"
		  "null}]",
		  false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		assert_int_equal(nft_drops(rows[i].expressions), rows[i].drops);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_iptables),
		cmocka_unit_test(test_verdict),
		cmocka_unit_test(test_masquerade),
		cmocka_unit_test(test_nft),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
