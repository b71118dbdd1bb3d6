/* SPDX-License-Identifier: MIT */
#include "ctl/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"

#define BUFFER_FIRST 4096

void buffer_init(struct buffer *buffer, size_t max)
{
	*buffer = (struct buffer){ .max = max };
}

void buffer_fini(struct buffer *buffer)
{
	if (buffer->data)
		secret_wipe(buffer->data, buffer->capacity);
	free(buffer->data);
	buffer_init(buffer, buffer->max);
}

bool buffer_reserve(struct buffer *buffer, size_t len)
{
	if (len <= buffer->capacity - buffer->len)
		return true;

	if (buffer->failed || len > buffer->max - buffer->len) {
		buffer->failed = true;
		return false;
	}
	size_t capacity = buffer->capacity > BUFFER_FIRST / 2 ? 2 * buffer->capacity : BUFFER_FIRST;

	if (capacity < buffer->len + len)
		capacity = buffer->len + len;
	if (capacity > buffer->max)
		capacity = buffer->max;
	/* Not realloc(): it would leave a copy behind. */
	char *data = malloc(capacity);

	if (!data) {
		buffer->failed = true;
		return false;
	}
	if (buffer->data) {
		memcpy(data, buffer->data, buffer->len);
		secret_wipe(buffer->data, buffer->capacity);
		free(buffer->data);
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

bool buffer_append(struct buffer *buffer, const void *data, size_t len)
{
	if (!buffer_reserve(buffer, len))
		return false;
	if (len) /* of nothing there may be no memory, on either side */
		memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	return true;
}

bool buffer_printf(struct buffer *buffer, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= sizeof(text)) {
		buffer->failed = true;
		return false;
	}
	bool fits = buffer_append(buffer, text, (size_t)n);

	secret_wipe(text, (size_t)n);
	return fits;
}

void buffer_consume(struct buffer *buffer, size_t len)
{
	if (len >= buffer->len) {
		buffer->len = 0;
		return;
	}
	memmove(buffer->data, buffer->data + len, buffer->len - len);
	buffer->len -= len;
}
