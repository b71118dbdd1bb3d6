/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include "dataplane/endpoint.h"

static struct endpoint endpoint(const char *text)
{
	struct endpoint ep;

	assert_int_equal(endpoint_parse(&ep, text), 0);
	return ep;
}

static void text_round_trips(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{ "192.0.2.1:51820", "192.0.2.1:51820" },
		{ "0.0.0.0:1", "0.0.0.0:1" },
		{ "255.255.255.255:65535", "255.255.255.255:65535" },
		{ "[2001:db8::1]:51820", "[2001:db8::1]:51820" },
		{ "[2001:DB8:0:0:0:0:0:1]:00080", "[2001:db8::1]:80" },
		{ "[fe80::1%7]:9", "[fe80::1%7]:9" },
		{ "[fe80:1234:5678:9abc:def0:1234:5678:9abc%4294967295]:65535",
		  "[fe80:1234:5678:9abc:def0:1234:5678:9abc%4294967295]:65535" },
		{ "[::ffff:192.0.2.1]:51820", "192.0.2.1:51820" },
		{ "[::ffff:c000:201]:51820", "192.0.2.1:51820" },
		{ "[::1.2.3.4]:5", "[::1.2.3.4]:5" },
	};
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint ep = endpoint(rows[i].in);

		assert_true(endpoint_is_set(&ep));
		endpoint_format(&ep, text);
		assert_string_equal(text, rows[i].out);
	}
}

static void bad_text_is_refused_and_changes_nothing(void **state)
{
	static const char *const rows[] = {
		"",
		":",
		":1",
		"1",
		"192.0.2.1",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"192.0.2.1:99999999999999999999",
		"192.0.2.1:-1",
		"192.0.2.1:+1",
		"192.0.2.1: 1",
		"192.0.2.1:1 ",
		"192.0.2.1:0x10",
		" 192.0.2.1:1",
		"192.0.2:1",
		"192.0.2.256:1",
		"192.0.2.1.1:1",
		"host.example:1",
		"2001:db8::1:1",
		"2001:db8::1",
		"[2001:db8::1]",
		"[2001:db8::1:1",
		"2001:db8::1]:1",
		"[2001:db8::1] :1",
		"[]:1",
		"[:1",
		"]:1",
		"[192.0.2.1]:1",
		"[2001:db8::g]:1",
		"[fe80::1%]:1",
		"[fe80::1%0]:1",
		"[fe80::1%eth0]:1",
		"[fe80::1%4294967296]:1",
		"[::ffff:192.0.2.1%1]:1",
		"[[2001:db8::1]]:1",
		"(none)",
		"[fe80:1234:5678:9abc:def0:1234:5678:9abc%0000000000000000000000000000001]:65535",
	};
	struct endpoint before;
	struct endpoint ep;

	(void)state;
	memset(&ep, 0x5a, sizeof(ep));
	before = ep;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (endpoint_parse(&ep, rows[i]) != -EINVAL)
			fail_msg("\"%s\" was taken", rows[i]);
		assert_memory_equal(&ep, &before, sizeof(ep));
	}
}

static void unset_endpoint_says_none(void **state)
{
	struct endpoint ep = { 0 };
	char text[ENDPOINT_TEXT_MAX];

	(void)state;
	assert_false(endpoint_is_set(&ep));
	endpoint_format(&ep, text);
	assert_string_equal(text, "(none)");
}

static void remotes_are_compared_by_address_port_and_scope(void **state)
{
	static const char *const rows[] = {
		"192.0.2.1:1",     "192.0.2.1:2",     "192.0.2.2:1",   "[2001:db8::1]:1",
		"[2001:db8::1]:2", "[2001:db8::2]:1", "[fe80::1%1]:1", "[fe80::1%2]:1",
	};
	struct endpoint none = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint a = endpoint(rows[i]);

		assert_false(endpoint_same_remote(&a, &none));
		for (size_t j = 0; j < sizeof(rows) / sizeof(rows[0]); j++) {
			struct endpoint b = endpoint(rows[j]);

			b.source_ifindex = 5; /* does not count */
			memset(&b.source, 7, sizeof(b.source));
			assert_int_equal(endpoint_same_remote(&a, &b), i == j);
		}
	}
	assert_true(endpoint_same_remote(&none, &none));
}

static void forgetting_the_source_keeps_the_remote(void **state)
{
	struct endpoint ep = endpoint("[2001:db8::1]:1");
	struct endpoint same = ep;

	(void)state;
	memset(&ep.source, 7, sizeof(ep.source));
	ep.source_ifindex = 5;
	endpoint_forget_source(&ep);
	assert_memory_equal(&ep, &same, sizeof(ep));
}

/* Pitfall 9: the port is part of what a cookie binds. */
static void pitfall_09_cookie_source_holds_address_and_port(void **state)
{
	static const uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };
	static const uint8_t v4[16] = { 192, 0, 2, 1 };
	struct endpoint ep = endpoint("192.0.2.1:4660");
	struct cookie_source source;

	(void)state;
	memset(&source, 0xff, sizeof(source));
	endpoint_to_cookie_source(&ep, &source);
	assert_int_equal(source.addr_len, 4);
	assert_memory_equal(source.addr, v4, sizeof(v4));
	assert_int_equal(load_be16(&source.port), 4660);

	ep = endpoint("[2001:db8::1]:65534");
	memset(&source, 0xff, sizeof(source));
	endpoint_to_cookie_source(&ep, &source);
	assert_int_equal(source.addr_len, 16);
	assert_memory_equal(source.addr, v6, sizeof(v6));
	assert_int_equal(load_be16(&source.port), 65534);

	memset(&ep, 0, sizeof(ep));
	endpoint_to_cookie_source(&ep, &source);
	assert_int_equal(source.addr_len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_round_trips),
		cmocka_unit_test(bad_text_is_refused_and_changes_nothing),
		cmocka_unit_test(unset_endpoint_says_none),
		cmocka_unit_test(remotes_are_compared_by_address_port_and_scope),
		cmocka_unit_test(forgetting_the_source_keeps_the_remote),
		cmocka_unit_test(pitfall_09_cookie_source_holds_address_and_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
