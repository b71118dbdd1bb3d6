/* SPDX-License-Identifier: MIT */
/*
 * Bytes that grow up to a bound. Requests and replies may hold keys, so nothing
 * is left behind when a buffer moves or ends.
 */
#ifndef CTL_BUFFER_H
#define CTL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *data;
	size_t len;
	size_t capacity;
	size_t max;
	bool failed; /* something did not fit, or memory ran out; stays so */
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_fini(struct buffer *buffer);
/* Room for @len more bytes behind the end. False and ->failed when there is none. */
bool buffer_reserve(struct buffer *buffer, size_t len);
bool buffer_append(struct buffer *buffer, const void *data, size_t len);
bool buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Takes @len bytes away from the beginning. */
void buffer_consume(struct buffer *buffer, size_t len);

#endif
