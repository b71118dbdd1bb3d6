/* SPDX-License-Identifier: MIT */
/*
 * What went wrong, as ovlctl says it: in one line on stderr. The last one is kept, so that
 * main can tell it to a program that asked for JSON, too.
 *
 * A line is made as config_fail()'s are: "WHAT: expected THIS; did you mean "THAT"?", of which
 * only WHAT is always there; what people typed stands in it in quotes.
 */
#ifndef CTL_COMPLAINT_H
#define CTL_COMPLAINT_H

#include <jansson.h>
#include "ctl/config.h"

/* "ovlctl: " is put before it, and the end of the line behind it. */
void complaint_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* About a file. @before: "ovlctl: ", or "" where an editor is to find the line. */
void complaint_say_at(const char *before, const struct config_error *error);
/* Only kept: the line is on stderr already. */
void complaint_keep(const char *line);

/* The last one as an object (docs/json.md), for a tool that ends with @status. */
json_t *complaint_make_json(int status);

#endif
