/* SPDX-License-Identifier: MIT */
#include "ctl/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static void put(const char *prefix, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void put(const char *prefix, const char *format, va_list args)
{
	char line[LINE_MAX_BYTES];
	size_t len = strlen(prefix);

	memcpy(line, prefix, len);
	if (vsnprintf(line + len, sizeof(line) - len - 1, format, args) < 0)
		return;
	for (; line[len]; len++) {
		/* Names come from files and sockets: no escape sequence reaches a terminal. */
		if ((unsigned char)line[len] < 0x20 || line[len] == 0x7f)
			line[len] = '?';
	}
	line[len++] = '\n';
	/* One write, so that the lines of two daemons never mix. */
	ssize_t written = write(STDERR_FILENO, line, len);
	(void)written; /* there is nobody to tell */
}

void log_line(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put("ovltund: ", format, args);
	va_end(args);
}

void log_plain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	put("", format, args);
	va_end(args);
}
