/* SPDX-License-Identifier: MIT */
/* doctor: has all checks run, and says what they found. */
#include "ctl/doctor.h"

#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/ovlctl.h"
#include "ctl/text.h"

#define LINE_MAX_LEN (DOCTOR_SENTENCE_MAX + 32)
#define JSON_SCHEMA  1

static enum text_style style_of(enum doctor_severity severity)
{
	switch (severity) {
	case DOCTOR_ERROR:
		return TEXT_BAD;
	case DOCTOR_WARNING:
		return TEXT_WARN;
	case DOCTOR_NOTE:
		return TEXT_PLAIN;
	case DOCTOR_OK:
		break;
	}
	return TEXT_GOOD;
}

static void print_line(const char *before, const char *text)
{
	char line[LINE_MAX_LEN];

	if (!*text)
		return;
	(void)snprintf(line, sizeof(line), "    %s%s", before, text);
	text_print_words(stdout, text_terminal_width(stdout), 6, TEXT_PLAIN, false, line);
}

static void print_finding(const json_t *finding, bool color)
{
	enum doctor_severity severity = doctor_severity(finding);
	char line[LINE_MAX_LEN];

	text_print(stdout, color, style_of(severity), "%s", client_text(finding, "severity"));
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
		if (doctor_severity(finding) != DOCTOR_OK) {
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
	doctor_gather(&d);
	if (d.several) {
		complaint_say("%s", d.silence);
		doctor_forget(&d);
		return OVLCTL_USAGE;
	}
	doctor_run(&d, NULL);
	status = doctor_severity(json_array_get(d.findings, 0)) >= DOCTOR_WARNING ? OVLCTL_FAILED
	                                                                          : OVLCTL_OK;
	if (json)
		print_json(&d, status);
	else
		print_text(&d);
	doctor_forget(&d);
	return status;
}
