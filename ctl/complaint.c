/* SPDX-License-Identifier: MIT */
#include "ctl/complaint.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/json_memory.h"

#define LINE_SIZE (2 * PATH_MAX) /* a path, and what is wrong with it */

/* Who says nothing lacks memory, and so has nothing to say it with. */
static struct {
	char whole[LINE_SIZE];
	char text[LINE_SIZE]; /* without file and line */
	char file[256]; /* empty: not about one */
	unsigned int line; /* 0: not about one */
} last = { .whole = "out of memory", .text = "out of memory" };

void complaint_keep(const char *line)
{
	(void)snprintf(last.whole, sizeof(last.whole), "%s", line);
	(void)snprintf(last.text, sizeof(last.text), "%s", line);
	last.file[0] = '\0';
	last.line = 0;
}

void complaint_say(const char *format, ...)
{
	char text[LINE_SIZE];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "ovlctl: %s\n", text);
	complaint_keep(text);
}

void complaint_say_at(const char *before, const struct config_error *error)
{
	config_error_format(error, last.whole, sizeof(last.whole));
	fprintf(stderr, "%s%s\n", before, last.whole);
	(void)snprintf(last.text, sizeof(last.text), "%s", error->text);
	(void)snprintf(last.file, sizeof(last.file), "%s", error->file);
	last.line = error->line;
}

/*
 * Ends @text before ": WORDS" or "; WORDS". What follows them, or NULL: they are not there,
 * or in quotes alone.
 */
static char *cut(char *text, const char *words)
{
	size_t len = strlen(words);
	bool quoted = false;

	for (; *text; text++) {
		if (*text == '"')
			quoted = !quoted;
		if (quoted || (*text != ':' && *text != ';') || text[1] != ' ' ||
		    strncmp(text + 2, words, len) != 0)
			continue;
		*text = '\0';
		return text + 2 + len;
	}
	return NULL;
}

/* "THAT"? without the quotes and what is behind them. */
static char *strip(char *text)
{
	size_t len = strlen(text);

	if (len > 0 && text[len - 1] == '?')
		text[--len] = '\0';
	if (len < 2 || text[0] != '"' || text[len - 1] != '"')
		return text;
	text[len - 1] = '\0';
	return text + 1;
}

json_t *complaint_make_json(int status)
{
	char what[LINE_SIZE], *nearest, *expected;

	memcpy(what, last.text, sizeof(what));
	nearest = cut(what, "did you mean ");
	expected = cut(what, "expected ");
	return json_pack("{s:b, s:i, s:i, s:o, s:o, s:o*, s:o*, s:o*, s:o*}", "ok", 0, "version", 1,
	                 "exit", status, "error", json_memory_text(last.whole), "what",
	                 json_memory_text(what), "file",
	                 last.file[0] ? json_memory_text(last.file) : NULL, "line",
	                 last.line ? json_integer(last.line) : NULL, "expected",
	                 expected ? json_memory_text(expected) : NULL, "nearest",
	                 nearest ? json_memory_text(strip(nearest)) : NULL);
}
