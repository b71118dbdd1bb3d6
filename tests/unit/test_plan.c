/* SPDX-License-Identifier: MIT */
#include "config_files.h"

#include <stdlib.h>
#include "ctl/plan.h"

static struct plan plan_of(const char *subnet, uint8_t range_len)
{
	return (struct plan){ .subnet = prefix_of(subnet), .range_len = range_len, .port = 12345 };
}

/* Reads and allocates; what went wrong is in last_error. */
static bool make_plan(struct plan *plan, const char *list, const struct plan *old)
{
	struct config_error error = { .text = "no error" };
	int err = plan_read(plan, list, strlen(list), "hosts.txt", &error);

	if (!err)
		err = plan_allocate(plan, old, &error);
	assert_true(err == 0 || err == -EINVAL);
	config_error_format(&error, last_error, sizeof(last_error));
	return err == 0;
}

static void assert_range(const struct plan *plan, const char *name, const char *range)
{
	const struct plan_host *host = plan_find(plan, name);
	char text[PREFIX_TEXT_MAX];

	assert_non_null(host);
	prefix_format(&host->range, text);
	assert_string_equal(text, range);
}

static void test_ranges_in_order_around_fixed_ones(void **state)
{
	struct plan plan = plan_of("172.20.0.0/16", 24);

	(void)state;
	assert_true(make_plan(&plan,
	                      "a 10.0.0.1\nb 10.0.0.2\nc 10.0.0.3 172.20.2.0/23\n"
	                      "d 10.0.0.4 172.20.1.128/25\ne 10.0.0.5\n",
	                      NULL));
	assert_range(&plan, "a", "172.20.4.0/24");
	assert_range(&plan, "b", "172.20.5.0/24");
	assert_range(&plan, "c", "172.20.2.0/23");
	assert_range(&plan, "d", "172.20.1.128/25");
	assert_range(&plan, "e", "172.20.6.0/24");
	plan_fini(&plan);
}

static void test_every_range_is_given_and_no_more(void **state)
{
	struct plan plan = plan_of("10.7.0.0/24", 26);

	(void)state;
	assert_true(make_plan(&plan, "a a.org\nb b.org\nc c.org\nd d.org\n", NULL));
	assert_range(&plan, "a", "10.7.0.64/26");
	assert_range(&plan, "c", "10.7.0.192/26");
	assert_range(&plan, "d", "10.7.0.0/26");
	plan_fini(&plan);
	plan = plan_of("10.7.0.0/24", 26);
	assert_false(make_plan(&plan, "a a.org\nb b.org\nc c.org\nd d.org\n\ne e.org\n", NULL));
	assert_string_equal(
		last_error,
		"hosts.txt:6: no /26 of 10.7.0.0/24 is left for \"e\": it takes a larger "
		"subnet, or smaller ranges (--prefix)");
	plan_fini(&plan);
	plan = plan_of("10.7.0.0/24", 24);
	assert_true(make_plan(&plan, "a a.org\n", NULL));
	assert_range(&plan, "a", "10.7.0.0/24");
	plan_fini(&plan);
}

/* The list in another order, with one host less, one more and another length of ranges. */
static void test_what_was_planned_stays(void **state)
{
	struct plan old = plan_of("172.20.0.0/16", 24), plan = plan_of("172.20.0.0/16", 28);
	uint8_t key[KEY_SIZE];

	(void)state;
	assert_true(make_plan(&old, "a a.org\nb b.org " KEY_B "\nc c.org\n", NULL));
	assert_true(make_plan(&plan, "d d.org\nc c.org\nb b.org:1\ne e.org\n", &old));
	assert_range(&plan, "b", "172.20.2.0/24");
	assert_range(&plan, "c", "172.20.3.0/24");
	assert_range(&plan, "d", "172.20.0.16/28");
	assert_range(&plan, "e", "172.20.0.32/28");
	key_of(key, KEY_B);
	assert_true(plan_find(&plan, "b")->has_key);
	assert_memory_equal(plan_find(&plan, "b")->public_key, key, KEY_SIZE);
	assert_false(plan_find(&plan, "c")->has_key);
	plan_fini(&plan);

	/* The list has the last word, unless two would have the same. */
	plan = plan_of("172.20.0.0/16", 24);
	assert_true(make_plan(&plan, "b b.org 172.20.9.0/24\nd d.org 172.20.2.0/24\n", &old));
	assert_range(&plan, "b", "172.20.9.0/24");
	plan_fini(&plan);
	plan = plan_of("172.20.0.0/16", 24);
	assert_false(make_plan(&plan, "b b.org\nd d.org 172.20.2.128/25\n", &old));
	assert_string_equal(last_error, "hosts.txt:2: range 172.20.2.128/25 of \"d\" overlaps "
	                                "172.20.2.0/24, which \"b\" has since an earlier plan");
	plan_fini(&plan);
	plan_fini(&old);
}

static void test_endpoints(void **state)
{
	static const struct {
		const char *word, *endpoint;
	} rows[] = {
		{ "10.0.0.1", "10.0.0.1:12345" },
		{ "10.0.0.1:7", "10.0.0.1:7" },
		{ "fd10::1", "[fd10::1]:12345" },
		{ "[fd10::1]", "[fd10::1]:12345" },
		{ "[fd10::1]:7", "[fd10::1]:7" },
		{ "a.example.org", "a.example.org:12345" },
		{ "a.example.org:7", "a.example.org:7" },
		{ "10.0.0", NULL },
		{ "10.0.0.1:", NULL },
		{ "10.0.0.1:65536", NULL },
		{ "[fd10::1", NULL },
		{ "fd10::1]", NULL },
		{ "fd10::g", NULL },
		{ "[fe80::1%1]", NULL },
		{ "172.20.7.7", NULL },
		{ "-", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plan plan = plan_of("172.20.0.0/16", 24);
		char list[128], text[CONFIG_HOST_MAX + 16];
		bool valid;

		snprintf(list, sizeof(list), "# a comment\n\n\ta \t%s\t# and another\r\n",
		         rows[i].word);
		valid = make_plan(&plan, list, NULL);
		assert_int_equal(valid, rows[i].endpoint != NULL);
		if (valid) {
			config_format_endpoint(&plan.hosts[0].endpoint, text, sizeof(text));
			assert_string_equal(text, rows[i].endpoint);
		} else {
			assert_non_null(strstr(last_error, "hosts.txt:3: endpoint \""));
		}
		plan_fini(&plan);
	}
}

static void test_what_is_refused(void **state)
{
	static const struct {
		const char *list, *error;
	} rows[] = {
		{ "", "hosts.txt: no host" },
		{ "# none\n", "hosts.txt: no host" },
		{ "a\n", "hosts.txt:1: host \"a\" has no endpoint" },
		{ "../a 1.2.3.4\n", "hosts.txt:1: host \"../a\": a name begins with" },
		{ "a/b 1.2.3.4\n", "hosts.txt:1: host \"a/b\": a name has letters" },
		{ "plan.txt 1.2.3.4\n", "hosts.txt:1: host \"plan.txt\": the plan has a file" },
		{ "a 1.2.3.4\nA 1.2.3.5\n", "hosts.txt:2: host \"A\" stands in line 1 already" },
		{ "a x.org\nb X.org:12345\n", "hosts.txt:2: host \"b\" has the endpoint of \"a\"" },
		{ "a 1.2.3.4 what\n", "hosts.txt:1: unknown word \"what\": expected a range" },
		{ "a 1.2.3.4 " KEY_A "A\n", "hosts.txt:1: unknown word (not shown" },
		{ "a 1.2.3.4 " KEY_A " " KEY_B "\n", "hosts.txt:1: a second public key" },
		{ "a 1.2.3.4 172.20.3.4\n", "hosts.txt:1: unknown word \"172.20.3.4\"" },
		{ "a 1.2.3.4 172.21.3.0/24\n", "is not within the subnet, 172.20.0.0/16" },
		{ "a 1.2.3.4 172.0.0.0/8\n", "is not within the subnet, 172.20.0.0/16" },
		{ "a 1.2.3.4 172.20.3.0/30\n", "expected one of /29 or larger" },
		{ "a 1.2.3.4 fd20::/64\n", "is not within the subnet" },
		{ "a 1.2.3.4 172.20.3.0/24 172.20.4.0/24\n", "\"a\" has one already" },
		{ "a 1.2.3.4 172.20.3.0/24\nb 1.2.3.5 172.20.2.0/23\n",
		  "hosts.txt:2: range 172.20.2.0/23 overlaps 172.20.3.0/24 of \"a\" in line 1" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct plan plan = plan_of("172.20.0.0/16", 24);

		assert_false(make_plan(&plan, rows[i].list, NULL));
		if (!strstr(last_error, rows[i].error))
			fail_msg("%s\nexpected: %s", last_error, rows[i].error);
		plan_fini(&plan);
	}
}

static void test_one_key_for_two(void **state)
{
	struct plan plan = plan_of("172.20.0.0/16", 24);
	struct config_error error;

	(void)state;
	assert_true(make_plan(&plan, "a a.org " KEY_A "\nb b.org " KEY_A "\n", NULL));
	assert_int_equal(plan_check_keys(&plan, &error), -EINVAL);
	assert_int_equal(error.line, 2);
	key_of(plan.hosts[1].public_key, KEY_B);
	assert_int_equal(plan_check_keys(&plan, &error), 0);
	plan_fini(&plan);
}

/* plan.txt, read again, is the plan; a configuration is what ovltund reads. */
static void test_texts_are_read_back(void **state)
{
	struct plan plan = plan_of("172.20.0.0/16", 24), again = plan_of("172.20.0.0/16", 24);
	struct config_error error;
	struct buffer text;

	(void)state;
	assert_true(make_plan(&plan, "a a.org " KEY_A "\nb fd10::1 " KEY_B "\n", NULL));
	buffer_init(&text, 65536);
	plan_print_list(&plan, &text);
	assert_false(text.failed);
	assert_int_equal(plan_read(&again, text.data, text.len, "plan.txt", &error), 0);
	assert_int_equal(again.count, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(again.hosts[i].name, plan.hosts[i].name);
		assert_true(prefix_equal(&again.hosts[i].range, &plan.hosts[i].range));
		assert_memory_equal(again.hosts[i].public_key, plan.hosts[i].public_key, KEY_SIZE);
	}
	buffer_fini(&text);
	plan_fini(&again);
	plan_fini(&plan);
}

/* As many as there may be: the [Peer]s of one, and a picture without half a million lines. */
static void test_many(void **state)
{
	struct plan plan = plan_of("10.0.0.0/8", 24);
	struct buffer text;

	(void)state;
	buffer_init(&text, 1 << 20);
	for (size_t i = 0; i < PLAN_HOSTS_MAX; i++)
		buffer_printf(&text, "host%zu host%zu.org\n", i, i);
	assert_true(buffer_append(&text, "", 1));
	assert_true(make_plan(&plan, text.data, NULL));
	assert_range(&plan, "host1023", "10.4.0.0/24");
	buffer_fini(&text);
	plan_print_picture(&plan, &text);
	assert_true(text.len < 200 * PLAN_HOSTS_MAX);
	buffer_fini(&text);
	plan_fini(&plan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges_in_order_around_fixed_ones),
		cmocka_unit_test(test_every_range_is_given_and_no_more),
		cmocka_unit_test(test_what_was_planned_stays),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_one_key_for_two),
		cmocka_unit_test(test_texts_are_read_back),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
