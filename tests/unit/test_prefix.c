/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdio.h>
#include "dataplane/route.h"

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	if (!prefix_parse(&prefix, text))
		fail_msg("\"%s\" did not parse", text);
	return prefix;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *expected; /* NULL: refused */
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.1.2.3/8", "10.0.0.0/8" },
		{ "10.255.255.255/9", "10.128.0.0/9" },
		{ "10.255.255.255/31", "10.255.255.254/31" },
		{ "192.0.2.1", "192.0.2.1/32" },
		{ "192.0.2.1/32", "192.0.2.1/32" },
		{ "255.255.255.255/0", "0.0.0.0/0" },
		{ "fd00::1", "fd00::1/128" },
		{ "fd00::ffff/127", "fd00::fffe/127" },
		{ "fdff:ffff::/9", "fd80::/9" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/64", "ffff:ffff:ffff:ffff::/64" },
		{ "::/0", "::/0" },
		{ "::ffff:192.0.2.1/128", "::ffff:192.0.2.1/128" },
		{ "", NULL },
		{ "/8", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/33", NULL },
		{ "10.0.0.0/-1", NULL },
		{ "10.0.0.0/+8", NULL },
		{ "10.0.0.0/08", NULL },
		{ "10.0.0.0/ 8", NULL },
		{ "10.0.0.0/8 ", NULL },
		{ " 10.0.0.0/8", NULL },
		{ "10.0.0.0/8/8", NULL },
		{ "10.0.0.0/4294967304", NULL },
		{ "10.0.0/8", NULL },
		{ "10.0.0.256/32", NULL },
		{ "fd00::/129", NULL },
		{ "fd00:::/64", NULL },
		{ "fe80::1%lo/64", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000/64", NULL },
		{ "example.org", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix prefix = { .family = 99 };
		char text[PREFIX_TEXT_MAX];

		if (prefix_parse(&prefix, rows[i].text) != (rows[i].expected != NULL))
			fail_msg("\"%s\"", rows[i].text);
		if (!rows[i].expected) {
			assert_int_equal(prefix.family, 99);
			continue;
		}
		prefix_format(&prefix, text);
		assert_string_equal(text, rows[i].expected);
	}
}

/* Every length, against a twin that looks at one bit at a time. */
static void test_contains(void **state)
{
	struct prefix prefix = prefix_of("a5a5:5a5a:a5a5:5a5a:a5a5:5a5a:a5a5:5a5a");
	const struct prefix whole = prefix;

	(void)state;
	for (unsigned int len = 0; len <= 128; len++) {
		char text[PREFIX_TEXT_MAX];

		snprintf(text, sizeof(text), "a5a5:5a5a:a5a5:5a5a:a5a5:5a5a:a5a5:5a5a/%u", len);
		prefix = prefix_of(text);
		assert_true(prefix_contains(&prefix, whole.addr));
		for (unsigned int bit = 0; bit < 128; bit++) {
			uint8_t addr[16];

			memcpy(addr, whole.addr, sizeof(addr));
			addr[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
			assert_int_equal(prefix_contains(&prefix, addr), bit >= len);
		}
	}
}

static void test_relations(void **state)
{
	static const struct {
		const char *a, *b;
		bool covers, covered, equal;
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", true, true, true },
		{ "10.0.0.0/8", "10.1.0.0/16", true, false, false },
		{ "10.1.0.0/16", "10.0.0.0/8", false, true, false },
		{ "10.0.0.0/8", "11.0.0.0/8", false, false, false },
		{ "0.0.0.0/0", "255.255.255.255", true, false, false },
		{ "0.0.0.0/0", "::/0", false, false, false },
		{ "::/0", "0.0.0.0/0", false, false, false },
		{ "fd00::/64", "fd00::1", true, false, false },
		{ "fd00::/64", "fd00:0:0:1::/64", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix a = prefix_of(rows[i].a), b = prefix_of(rows[i].b);

		assert_int_equal(prefix_covers(&a, &b), rows[i].covers);
		assert_int_equal(prefix_covers(&b, &a), rows[i].covered);
		assert_int_equal(prefix_equal(&a, &b), rows[i].equal);
		assert_int_equal(prefix_overlap(&a, &b), rows[i].covers || rows[i].covered);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_contains),
		cmocka_unit_test(test_relations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
