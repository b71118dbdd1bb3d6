/* SPDX-License-Identifier: MIT */
/*
 * Whoever reads our lines may stop to, and a pipe or terminal that is full makes
 * the writer wait: the thread that also takes SIGTERM. So a line that does not go
 * at once is lost, and the next that goes says so.
 *
 * O_NONBLOCK is not ours to set: it belongs to the open file, which a shell or
 * another daemon shares. log_open() opens a pipe or terminal anew, for a file of
 * our own; a socket knows MSG_DONTWAIT; and regular files do not wait. What cannot
 * be opened anew is asked by poll(2) first, which is good for a pipe of our own.
 */
#include "ctl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048
#define LOST_MAX_BYTES 80
_Static_assert(LINE_MAX_BYTES + LOST_MAX_BYTES <= 4096, "what a pipe takes whole or not at all");

static int own_fd = -1; /* standard error, opened anew */
static unsigned long lost; /* lines, not told yet */
static bool torn; /* the last line went in part */

void log_open(void)
{
	struct stat st;

	if (own_fd >= 0 || fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))
		own_fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_close(void)
{
	if (own_fd >= 0)
		close(own_fd);
	own_fd = -1;
}

static ssize_t write_now(const char *text, size_t len)
{
	struct pollfd pfd = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (own_fd >= 0)
		return write(own_fd, text, len);
	ssize_t sent = send(STDERR_FILENO, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0 || errno != ENOTSOCK)
		return sent;
	return poll(&pfd, 1, 0) == 1 ? write(STDERR_FILENO, text, len) : -1;
}

static void put(const char *prefix, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void put(const char *prefix, const char *format, va_list args)
{
	char text[LOST_MAX_BYTES + LINE_MAX_BYTES];
	size_t len = 0;

	if (lost)
		len = (size_t)snprintf(text, LOST_MAX_BYTES,
		                       "%sovltund: %lu lines lost: nobody read them\n",
		                       torn ? "\n" : "", lost);
	char *line = text + len;

	(void)snprintf(line, LINE_MAX_BYTES, "%s", prefix);
	len = strlen(prefix);
	if (vsnprintf(line + len, LINE_MAX_BYTES - len - 1, format, args) < 0)
		return;
	for (; line[len]; len++) {
		/* Names come from files and sockets: no escape sequence reaches a terminal. */
		if ((unsigned char)line[len] < 0x20 || line[len] == 0x7f)
			line[len] = '?';
	}
	line[len++] = '\n';
	len += (size_t)(line - text);
	/* One write, so that the lines of two daemons never mix. */
	ssize_t written = write_now(text, len);

	if (written == (ssize_t)len) {
		lost = 0;
		torn = false;
	} else {
		lost++;
		torn = torn || written > 0;
	}
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
