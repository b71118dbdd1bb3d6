/* SPDX-License-Identifier: MIT */
/* What is wrong with a command's words, told by its line of usage. */
#ifndef CTL_USAGE_H
#define CTL_USAGE_H

#include <stdbool.h>
#include <stddef.h>

struct command;

/*
 * The first word that @command does not know, or the first that is missing, in one
 * line of complaint. False, with nothing said: neither, so it is something else.
 */
bool usage_explain(const struct command *command, int argc, char **argv);

/* Whether @option ("--size", "-n") is one of @command's that has a value. */
bool usage_has_value(const struct command *command, const char *option, size_t len);

#endif
