/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "ctl/client.h"
#include "ctl/complaint.h"

/* What becomes of lines as they are said; NULL: not there. */
static void test_parts(void **state)
{
	static const struct {
		const char *line, *what, *expected, *nearest;
	} rows[] = {
		{ "no ovltund runs here", "no ovltund runs here", NULL, NULL },
		{ "unknown key \"Prot\"; did you mean \"Port\"?", "unknown key \"Prot\"", NULL,
		  "Port" },
		{ "unknown section \"pear\"; did you mean [Peer]?", "unknown section \"pear\"",
		  NULL, "[Peer]" },
		{ "Mode \"bridgd\": expected routed or bridged; did you mean \"bridged\"?",
		  "Mode \"bridgd\"", "routed or bridged", "bridged" },
		{ "a zero byte; expected text", "a zero byte", "text", NULL },
		{ "Listen 9587: did you mean \"127.0.0.1:9587\"?", "Listen 9587", NULL,
		  "127.0.0.1:9587" },
		/* What somebody typed is no part of ours. */
		{ "name \"a: expected b; did you mean c\": expected a name",
		  "name \"a: expected b; did you mean c\"", "a name", NULL },
		{ "host \"h\": not what was expected", "host \"h\": not what was expected", NULL,
		  NULL },
		{ "x; did you mean ", "x", NULL, "" },
		{ "x; did you mean \"", "x", NULL, "\"" },
		{ "", "", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *object;

		complaint_keep(rows[i].line);
		object = complaint_make_json(2);
		assert_true(json_is_false(json_object_get(object, "ok")));
		assert_int_equal(client_number(object, "exit"), 2);
		assert_string_equal(client_text(object, "error"), rows[i].line);
		assert_string_equal(client_text(object, "what"), rows[i].what);
		assert_int_equal(!json_object_get(object, "expected"), !rows[i].expected);
		assert_int_equal(!json_object_get(object, "nearest"), !rows[i].nearest);
		assert_string_equal(client_text(object, "expected"),
		                    rows[i].expected ? rows[i].expected : "");
		assert_string_equal(client_text(object, "nearest"),
		                    rows[i].nearest ? rows[i].nearest : "");
		assert_null(json_object_get(object, "file"));
		json_decref(object);
	}
}

static void test_of_a_file(void **state)
{
	struct config_error error = { "a.conf", 3, "MTU \"x\": expected auto or 576 to 65455" };
	json_t *object;

	(void)state;
	complaint_say_at("", &error);
	object = complaint_make_json(2);
	assert_string_equal(client_text(object, "error"),
	                    "a.conf:3: MTU \"x\": expected auto or 576 to 65455");
	assert_string_equal(client_text(object, "what"), "MTU \"x\"");
	assert_string_equal(client_text(object, "file"), "a.conf");
	assert_int_equal(client_number(object, "line"), 3);
	json_decref(object);

	error.line = 0;
	complaint_say_at("", &error);
	object = complaint_make_json(2);
	assert_null(json_object_get(object, "line"));
	json_decref(object);

	/* The next one is of no file. */
	complaint_say("caf%c", 0xe9);
	object = complaint_make_json(1);
	assert_null(json_object_get(object, "file"));
	assert_string_equal(client_text(object, "what"), "caf?");
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_of_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
