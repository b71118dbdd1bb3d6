/* SPDX-License-Identifier: MIT */
/* The daemon's few lines to its standard error: rare events, one line each, never per packet. */
#ifndef CTL_LOG_H
#define CTL_LOG_H

/*
 * Once standard error is what it will stay: from here on no line waits for its
 * reader. One that finds no room is lost, and counted in the next that goes.
 */
void log_open(void);
void log_close(void);

/* The line is given without its end; what is not printable is replaced. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same without "ovltund: " before it. */
void log_plain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
