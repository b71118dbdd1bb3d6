/* SPDX-License-Identifier: MIT */
/* What checks find: how it is told, counted where much is alike, and sorted. */
#include "ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/text.h"

#define ALIKE_MAX 4 /* told of one kind */

static const char *const severities[] = {
	[DOCTOR_OK] = "ok",
	[DOCTOR_NOTE] = "note",
	[DOCTOR_WARNING] = "warning",
	[DOCTOR_ERROR] = "error",
};

/* The kernel's names for links may be any bytes; JSON may not. */
__attribute__((format(printf, 1, 0))) static json_t *sentence(const char *format, va_list args)
{
	char text[DOCTOR_SENTENCE_MAX];

	(void)vsnprintf(text, sizeof(text), format, args);
	json_t *string = json_string(text);

	return string ? string : json_string("(not UTF-8 text)");
}

/*
 * One peer of ten thousand that has no route is told; if none has, a few are. False:
 * enough of these were told.
 */
static bool is_news(struct doctor *d, const char *format)
{
	size_t i = 0;

	while (i < DOCTOR_KINDS - 1 && d->alike[i].format && d->alike[i].format != format)
		i++;
	d->finding = NULL;
	d->alike[i].format = format;
	if (d->alike[i].told++ < ALIKE_MAX) {
		d->finding = d->alike[i].last = json_object();
		return true;
	}
	json_object_set_new(d->alike[i].last, "more",
	                    json_integer((json_int_t)(d->alike[i].told - ALIKE_MAX)));
	return false;
}

void doctor_next_kind(struct doctor *d)
{
	memset(d->alike, 0, sizeof(d->alike));
}

static void set_sentence(json_t *object, const char *key, json_t *words)
{
	if (object)
		json_object_set_new(object, key, words);
	else
		json_decref(words);
}

void doctor_find(struct doctor *d, enum doctor_severity severity, const char *format, ...)
{
	va_list args;

	if (!is_news(d, format))
		return;
	va_start(args, format);
	json_object_set_new(d->finding, "severity", json_string(severities[severity]));
	json_object_set_new(d->finding, "check", json_string(d->check));
	set_sentence(d->finding, "found", sentence(format, args));
	json_array_append_new(d->findings, d->finding);
	va_end(args);
}

void doctor_means(struct doctor *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_sentence(d->finding, "means", sentence(format, args));
	va_end(args);
}

void doctor_mend(struct doctor *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_sentence(d->finding, "mend", sentence(format, args));
	va_end(args);
}

void doctor_advise(struct doctor *d, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	set_sentence(d->finding, "advice", sentence(format, args));
	va_end(args);
}

const char *doctor_word(struct doctor *d, const char *text)
{
	char *quoted = text_quote(text);
	json_t *word = json_string_nocheck(quoted ? quoted : "");

	free(quoted);
	json_array_append_new(d->words, word);
	return json_string_value(word);
}

enum doctor_severity doctor_severity(const json_t *finding)
{
	const char *name = client_text(finding, "severity");

	for (int i = DOCTOR_ERROR; i > DOCTOR_OK; i--)
		if (strcmp(severities[i], name) == 0)
			return (enum doctor_severity)i;
	return DOCTOR_OK;
}

/* Worst first; of those alike, in the order in which they were found. */
static void sort_findings(struct doctor *d)
{
	json_t *sorted = json_array(), *finding;
	size_t i;

	for (int severity = DOCTOR_ERROR; severity >= DOCTOR_OK; severity--) {
		json_array_foreach (d->findings, i, finding) {
			if ((int)doctor_severity(finding) == severity)
				json_array_append(sorted, finding);
		}
	}
	json_decref(d->findings);
	d->findings = sorted;
}

static bool is_named(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

void doctor_run(struct doctor *d, const char *const *names)
{
	for (size_t i = 0; i < doctor_check_count; i++) {
		size_t before = json_array_size(d->findings);

		if (names && !is_named(doctor_checks[i].name, names))
			continue;
		d->check = doctor_checks[i].name;
		doctor_next_kind(d);
		doctor_checks[i].run(d);
		if (json_array_size(d->findings) == before)
			doctor_find(d, DOCTOR_OK, "nothing wrong");
	}
	sort_findings(d);
}
