/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "ctl/text.h"

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int distance;
	} rows[] = {
		{ "", "", 0 },           { "", "abc", 3 },
		{ "peer", "peer", 0 },   { "PEER", "peer", 0 },
		{ "peer", "pear", 1 },   { "peer", "peers", 1 },
		{ "eer", "peer", 1 },    { "pere", "peer", 1 }, /* one swap */
		{ "epre", "peer", 2 },   { "kitten", "sitting", 3 },
		{ "ca", "abc", 3 }, /* aligned: nothing between the swapped */
		{ "chcek", "check", 1 }, { "show", "check", 4 },
	};
	char longest[65];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(text_distance(rows[i].a, rows[i].b), rows[i].distance);
		assert_int_equal(text_distance(rows[i].b, rows[i].a), rows[i].distance);
	}
	memset(longest, 'a', 64);
	longest[64] = '\0';
	assert_int_equal(text_distance(longest, "a"), UINT_MAX);
	assert_int_equal(text_distance(longest + 1, "a"), 62);
	assert_int_equal(text_distance(longest + 1, longest + 1), 0);
}

static void test_nearest(void **state)
{
	static const char *const known[] = { "show", "peer", "route", "reload", "check" };

	(void)state;
	assert_string_equal(text_nearest("shwo", known, 5), "show");
	assert_string_equal(text_nearest("reloda", known, 5), "reload");
	assert_string_equal(text_nearest("Routes", known, 5), "route");
	assert_null(text_nearest("frobnicate", known, 5));
	assert_null(text_nearest("", known, 5));
	assert_null(text_nearest("show", known, 0));
}

static void test_bytes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" },
		{ 1, "1 B" },
		{ 1023, "1023 B" },
		{ 1024, "1.00 KiB" },
		{ 1536, "1.50 KiB" },
		{ 10230, "9.99 KiB" },
		{ 10236, "10.0 KiB" },
		{ 102348, "99.9 KiB" },
		{ 102396, "100 KiB" },
		{ 1048063, "1023 KiB" },
		{ 1048064, "1.00 MiB" },
		{ 1048576, "1.00 MiB" },
		{ 3ULL << 30, "3.00 GiB" },
		{ 5ULL << 40, "5.00 TiB" },
		{ UINT64_MAX, "16.0 EiB" },
	};
	char out[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(text_format_bytes(rows[i].bytes, out), rows[i].text);
}

static void test_times(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} rows[] = {
		{ 0, "0 s" },
		{ 59, "59 s" },
		{ 60, "1 min" },
		{ 185, "3 min 5 s" },
		{ 3599, "59 min 59 s" },
		{ 3600, "1 h" },
		{ 3659, "1 h" },
		{ 7380, "2 h 3 min" },
		{ 86399, "23 h 59 min" },
		{ 86400, "1 d" },
		{ 90000, "1 d 1 h" },
		{ UINT64_MAX, "213503982334601 d 7 h" },
	};
	char out[TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(text_format_duration(rows[i].seconds, out), rows[i].text);
	assert_string_equal(text_format_age(0, 1000, out), "never");
	assert_string_equal(text_format_age(988, 1000, out), "12 s ago");
	assert_string_equal(text_format_age(815, 1000, out), "3 min 5 s ago");
	assert_string_equal(text_format_age(1000, 1000, out), "now");
	assert_string_equal(text_format_age(1001, 1000, out), "now");
	assert_string_equal(text_format_age(1, UINT64_MAX, out), "213503982334601 d 7 h ago");
}

static void test_shares(void **state)
{
	char out[TEXT_MAX];

	(void)state;
	assert_string_equal(text_format_share(0, 0, out), "-");
	assert_string_equal(text_format_share(0, 10, out), "0 %");
	assert_string_equal(text_format_share(1, 1000000, out), "< 0.1 %");
	assert_string_equal(text_format_share(4, 1000, out), "0.4 %");
	assert_string_equal(text_format_share(99, 1000, out), "9.9 %");
	assert_string_equal(text_format_share(12, 100, out), "12 %");
	assert_string_equal(text_format_share(10, 10, out), "100 %");
}

/* --- tables --- */

static char *print(const struct text_table *table, bool color)
{
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(text_table_print(table, out, color), 0);
	fclose(out);
	return text;
}

static void test_table(void **state)
{
	static const struct text_column columns[] = {
		{ "peer", false },
		{ "sent", true },
		{ "seen", false },
	};
	struct text_table *table = text_table_new(columns, 3);
	char *text;

	(void)state;
	assert_non_null(table);
	text = print(table, false);
	assert_string_equal(text, "peer  sent  seen\n");
	free(text);
	text_table_put(table, TEXT_GOOD, "barge%d", 1);
	text_table_put(table, TEXT_PLAIN, "1.50 KiB");
	text_table_put(table, TEXT_PLAIN, "12 s ago");
	text_table_put(table, TEXT_BAD, "caf\u00e9");
	text_table_put(table, TEXT_PLAIN, "0 B");
	text_table_put(table, TEXT_PLAIN, "never");
	text = print(table, false);
	assert_string_equal(text, "peer        sent  seen\n"
	                          "barge1  1.50 KiB  12 s ago\n"
	                          "caf\u00e9         0 B  never\n");
	free(text);
	text = print(table, true);
	assert_string_equal(text,
	                    "\033[1mpeer\033[0m        \033[1msent\033[0m  \033[1mseen\033[0m\n"
	                    "\033[32mbarge1\033[0m  1.50 KiB  12 s ago\n"
	                    "\033[31mcaf\u00e9\033[0m         0 B  never\n");
	free(text);
	text_table_free(table);
}

static void test_table_empty_cells(void **state)
{
	static const struct text_column columns[] = { { NULL, false },
		                                      { NULL, true },
		                                      { NULL, false } };
	static const char *const cells[] = { "a", "1", "", "long", "", "", "", "22", "text" };
	struct text_table *table = text_table_new(columns, 3);
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		text_table_put(table, TEXT_BOLD, "%s", cells[i]);
	text = print(table, false);
	assert_string_equal(text, "a      1\nlong\n      22  text\n");
	free(text);
	text = print(table, true);
	assert_null(strstr(text, " \n")); /* nor blanks or codes around nothing */
	assert_null(strstr(text, "\033[1m\033[0m"));
	free(text);
	text_table_free(table);
}

/* Narrower than a table with titles: a paragraph a row; without: its last column breaks. */
static void test_table_fits(void **state)
{
	static const struct text_column titled[] = {
		{ "PEER", false }, { "IPS", false }, { "SENT", true }, { "LOSS", true }
	};
	static const struct text_column plain[] = { { NULL, false }, { NULL, false } };
	static const char *const cells[] = {
		"barge1", "10.0.0.0/8, fd00::/8 and more", "1 B", "-", "barge2", "-", "", "0 %"
	};
	struct text_table *table = text_table_new(titled, 4);
	char *text;

	(void)state;
	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++)
		text_table_put(table, i == 0 ? TEXT_BOLD : TEXT_PLAIN, "%s", cells[i]);
	text_table_fit(table, 51);
	text = print(table, false);
	assert_string_equal(text, "PEER    IPS                            SENT  LOSS\n"
	                          "barge1  10.0.0.0/8, fd00::/8 and more   1 B     -\n"
	                          "barge2  -                                     0 %\n");
	free(text);
	text_table_fit(table, 49);
	text = print(table, false);
	assert_int_equal(strcspn(text, "\n"), 49); /* just wide enough */
	free(text);
	text_table_fit(table, 48);
	text = print(table, false);
	assert_string_equal(text, "PEER barge1\n"
	                          "  IPS 10.0.0.0/8, fd00::/8 and more   SENT 1 B\n"
	                          "  LOSS -\n"
	                          "PEER barge2\n"
	                          "  IPS -   LOSS 0 %\n");
	free(text);
	/* An item that breaks ends its line; a word alone may be too long. */
	text_table_fit(table, 20);
	text = print(table, true);
	assert_string_equal(text, "PEER \033[1mbarge1\033[0m\n"
	                          "  \033[2mIPS\033[0m 10.0.0.0/8,\n"
	                          "    fd00::/8 and\n"
	                          "    more\n"
	                          "  \033[2mSENT\033[0m 1 B   \033[2mLOSS\033[0m -\n"
	                          "PEER barge2\n"
	                          "  \033[2mIPS\033[0m -   \033[2mLOSS\033[0m 0 %\n");
	free(text);
	text_table_fit(table, 1);
	text = print(table, false);
	assert_non_null(
		strstr(text, "\n  IPS\n    10.0.0.0/8,\n    fd00::/8\n    and\n    more\n"));
	free(text);
	text_table_free(table);

	table = text_table_new(plain, 2);
	text_table_put(table, TEXT_PLAIN, "  rx");
	text_table_put(table, TEXT_DIM, "a sentence that goes on and on");
	text_table_fit(table, 26);
	text = print(table, true);
	assert_string_equal(text, "  rx  \033[2ma sentence that goes\n"
	                          "      on and on\033[0m\n");
	free(text);
	text_table_fit(table, 25); /* too narrow to break well */
	text = print(table, false);
	assert_string_equal(text, "  rx  a sentence that\n"
	                          "    goes on and on\n");
	free(text);
	text_table_free(table);
}

static void test_table_grows(void **state)
{
	static const struct text_column columns[] = { { NULL, true } };
	struct text_table *table = text_table_new(columns, 1);
	char *text;

	(void)state;
	for (unsigned int i = 0; i < 1000; i++)
		text_table_put(table, TEXT_PLAIN, "%u", i);
	text = print(table, false);
	assert_int_equal(strlen(text), 4000);
	assert_memory_equal(text, "  0\n  1\n", 8);
	assert_string_equal(text + 3996, "999\n");
	free(text);
	text_table_free(table);
	text_table_free(NULL);
}

/* --- colour --- */

static void test_color(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	FILE *terminal, *file = tmpfile();

	(void)state;
	if (master < 0)
		skip();
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	/* Not the controlling terminal: the test runner's sessions have none. */
	terminal = fdopen(open(ptsname(master), O_RDWR | O_NOCTTY), "r+");
	assert_non_null(terminal);
	unsetenv("NO_COLOR");
	setenv("TERM", "xterm", 1);
	assert_true(text_use_color(terminal));
	assert_false(text_use_color(file));
	setenv("NO_COLOR", "", 1);
	assert_true(text_use_color(terminal));
	setenv("NO_COLOR", "1", 1);
	assert_false(text_use_color(terminal));
	unsetenv("NO_COLOR");
	setenv("TERM", "dumb", 1);
	assert_false(text_use_color(terminal));
	unsetenv("TERM");
	assert_false(text_use_color(terminal));
	fclose(terminal);
	fclose(file);
	close(master);
}

/* What a shell makes of it is the word again. */
static void words_of_a_shell(void **state)
{
	static const char *const rows[][2] = {
		{ "/etc/ovltun/peers.conf", "/etc/ovltun/peers.conf" },
		{ "ovl0", "ovl0" },
		{ "fd20::1/64", "fd20::1/64" },
		{ "", "''" },
		{ "two words", "'two words'" },
		{ "it's", "'it'\\''s'" },
		{ "'", "''\\'''" },
		{ "$HOME;`id`", "'$HOME;`id`'" },
		{ "a*b", "'a*b'" },
		{ "~root", "'~root'" },
		{ "\xc3\xa4", "'\xc3\xa4'" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *word = text_quote(rows[i][0]);

		assert_non_null(word);
		assert_string_equal(word, rows[i][1]);
		free(word);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_empty_cells),
		cmocka_unit_test(test_table_fits),
		cmocka_unit_test(test_table_grows),
		cmocka_unit_test(test_color),
		cmocka_unit_test(words_of_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
