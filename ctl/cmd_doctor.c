/* SPDX-License-Identifier: MIT */
/* doctor: runs the checks, sorts what they found, and says it. */
#include "ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/ovlctl.h"
#include "ctl/text.h"

#define SENTENCE    1024
#define JSON_SCHEMA 1
#define ALIKE_MAX   4 /* told of one kind */

static const struct {
	const char *name;
	enum text_style style;
} severities[] = {
	[DOCTOR_OK] = { "ok", TEXT_GOOD },
	[DOCTOR_NOTE] = { "note", TEXT_PLAIN },
	[DOCTOR_WARNING] = { "warning", TEXT_WARN },
	[DOCTOR_ERROR] = { "error", TEXT_BAD },
};

/* The kernel's names for links may be any bytes; JSON may not. */
__attribute__((format(printf, 1, 0))) static json_t *sentence(const char *format, va_list args)
{
	char text[SENTENCE];

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
	json_object_set_new(d->finding, "severity", json_string(severities[severity].name));
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

static enum doctor_severity severity_of(const json_t *finding)
{
	const char *name = client_text(finding, "severity");

	for (int i = DOCTOR_ERROR; i > DOCTOR_OK; i--)
		if (strcmp(severities[i].name, name) == 0)
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
			if ((int)severity_of(finding) == severity)
				json_array_append(sorted, finding);
		}
	}
	json_decref(d->findings);
	d->findings = sorted;
}

static void run_checks(struct doctor *d)
{
	for (size_t i = 0; i < doctor_check_count; i++) {
		size_t before = json_array_size(d->findings);

		d->check = doctor_checks[i].name;
		doctor_next_kind(d);
		doctor_checks[i].run(d);
		if (json_array_size(d->findings) == before)
			doctor_find(d, DOCTOR_OK, "nothing wrong");
	}
	sort_findings(d);
}

static void print_line(const char *before, const char *text)
{
	char line[SENTENCE + 32];

	if (!*text)
		return;
	(void)snprintf(line, sizeof(line), "    %s%s", before, text);
	text_print_words(stdout, text_terminal_width(stdout), 6, TEXT_PLAIN, false, line);
}

static void print_finding(const json_t *finding, bool color)
{
	enum doctor_severity severity = severity_of(finding);
	char line[SENTENCE + 32];

	text_print(stdout, color, severities[severity].style, "%s", severities[severity].name);
	(void)snprintf(line, sizeof(line), ": %s", client_text(finding, "found"));
	text_print_words(stdout, text_terminal_width(stdout), 4, TEXT_PLAIN, false, line);
	print_line("", client_text(finding, "means"));
	print_line("mend: ", client_text(finding, "mend"));
	print_line("advice: ", client_text(finding, "advice"));
	if (json_object_get(finding, "more"))
		printf("    and %" JSON_INTEGER_FORMAT " more like this\n",
		       client_number(finding, "more"));
}

static void print_text(const struct doctor *d)
{
	bool color = text_use_color(stdout);
	const char *between = "ok: ";
	json_t *finding;
	size_t i;

	json_array_foreach (d->findings, i, finding) {
		if (severity_of(finding) != DOCTOR_OK) {
			print_finding(finding, color);
			continue;
		}
		printf("%s%s", between, client_text(finding, "check"));
		between = ", ";
	}
	if (strcmp(between, ", ") == 0)
		putchar('\n');
}

static void print_json(const struct doctor *d, int status)
{
	json_t *out = json_pack("{s:b, s:i, s:b, s:O}", "ok", 1, "version", JSON_SCHEMA, "healthy",
	                        status == OVLCTL_OK, "findings", d->findings);

	(void)client_print_json(out);
	json_decref(out);
}

static bool parse_arguments(int argc, char **argv, struct doctor *d, bool *json)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			*json = true;
		else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc)
			d->path = argv[++i];
		else
			return false;
	}
	return true;
}

/* A note is nothing wrong. */
int cmd_doctor(int argc, char **argv)
{
	struct doctor d = { .path = NULL };
	bool json = false;
	int status;

	if (!parse_arguments(argc, argv, &d, &json))
		return ovlctl_usage(argv[0]);
	d.findings = json_array();
	doctor_gather(&d);
	if (d.several) {
		complaint_say("%s", d.silence);
		doctor_forget(&d);
		json_decref(d.findings);
		return OVLCTL_USAGE;
	}
	run_checks(&d);
	status = severity_of(json_array_get(d.findings, 0)) >= DOCTOR_WARNING ? OVLCTL_FAILED
	                                                                      : OVLCTL_OK;
	if (json)
		print_json(&d, status);
	else
		print_text(&d);
	doctor_forget(&d);
	json_decref(d.findings);
	return status;
}
