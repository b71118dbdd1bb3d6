/* SPDX-License-Identifier: MIT */
/*
 * Public test vectors are not part of this project; they are read from a folder
 * given on the command line. Where a file is absent the program says so and
 * ends with the status that meson takes for "skipped".
 */
#ifndef TESTS_VECTORS_VECTORS_H
#define TESTS_VECTORS_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>

#define VECTORS_SKIP      77
#define VECTORS_BYTES_MAX 1024

/* 0, or the exit status: VECTORS_SKIP, or 1 when the file is there and no JSON. */
static inline int vectors_load(json_t **root, const char *folder, const char *name)
{
	char path[4096];
	json_error_t error;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (access(path, R_OK) != 0) {
		printf("not found: %s\n", path);
		return VECTORS_SKIP;
	}
	*root = json_load_file(path, 0, &error);
	if (!*root) {
		printf("%s:%d: %s\n", path, error.line, error.text);
		return 1;
	}
	return 0;
}

static inline const char *vectors_text(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	if (!text)
		fail_msg("no text named %s", name);
	return text;
}

/* The bytes that @name spells in hexadecimal; returns their number. */
static inline size_t vectors_bytes(uint8_t out[VECTORS_BYTES_MAX], const json_t *object,
                                   const char *name)
{
	const char *text = vectors_text(object, name);
	size_t n = strlen(text) / 2;

	assert_true(n <= VECTORS_BYTES_MAX && strlen(text) % 2 == 0);
	for (size_t i = 0; i < n; i++) {
		const char digits[] = { text[2 * i], text[2 * i + 1], '\0' };
		char *end;

		out[i] = (uint8_t)strtoul(digits, &end, 16);
		assert_int_equal(*end, '\0');
	}
	return n;
}

#endif
