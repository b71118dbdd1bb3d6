/* SPDX-License-Identifier: MIT */
#include "ctl/json_memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"

/* Set by each that was not to be had: of a value that a list has no room for nothing else tells. */
static bool failed;

/* Before each piece of memory: how long it is. */
union header {
	size_t size;
	max_align_t align;
};

static void *get(size_t size)
{
	union header *header;

	header = size <= SIZE_MAX - sizeof(*header) ? malloc(sizeof(*header) + size) : NULL;
	if (!header) {
		failed = true;
		return NULL;
	}
	header->size = size;
	return header + 1;
}

static void put(void *memory)
{
	if (!memory)
		return;
	union header *header = (union header *)memory - 1;

	secret_wipe(memory, header->size);
	free(header);
}

static int append(const char *data, size_t len, void *arg)
{
	return buffer_append(arg, data, len) ? 0 : -1;
}

bool json_memory_put(const json_t *object, struct buffer *out)
{
	return object && json_dump_callback(object, append, out, JSON_COMPACT) == 0 &&
	       buffer_append(out, "\n", 1);
}

bool json_memory_put_inner(const json_t *object, struct buffer *out)
{
	return object && json_dump_callback(object, append, out, JSON_COMPACT | JSON_EMBED) == 0;
}

bool json_memory_failed(void)
{
	bool was = failed;

	failed = false;
	return was;
}

void json_memory_fail(void)
{
	failed = true;
}

void json_memory_init(void)
{
	json_set_alloc_funcs(get, put);
}

json_t *json_memory_text(const char *bytes)
{
	json_t *string = json_string(bytes);
	char *copy;

	if (string)
		return string;
	copy = strdup(bytes);
	if (!copy) {
		json_memory_fail();
		return NULL;
	}
	/* One that is cut in the middle of a character is still read but for that. */
	for (char *byte = copy; *byte; byte++)
		if (*byte & 0x80)
			*byte = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

size_t json_memory_count(const char *text, size_t len)
{
	bool within = false; /* a string */
	size_t count = 1;

	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			within = !within;
		else if (within && text[i] == '\\')
			i++;
		else if (!within)
			count += text[i] == ',' || text[i] == '[' || text[i] == '{';
	}
	return count;
}
