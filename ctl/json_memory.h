/* SPDX-License-Identifier: MIT */
/* Requests and their texts may hold preshared keys: jansson's memory is wiped before it is freed. */
#ifndef CTL_JSON_MEMORY_H
#define CTL_JSON_MEMORY_H

#include <jansson.h>
#include <stdbool.h>
#include "ctl/buffer.h"

/* Before the first use of jansson. */
void json_memory_init(void);
/* Some was not to be had since the last call: what was made meanwhile may lack a part. */
bool json_memory_failed(void);
void json_memory_fail(void); /* as much was not to be had elsewhere */
/*
 * @object on one line, its end included; piece by piece, since a reply about
 * 10,000 peers has megabytes. False: it does not fit, or is NULL or no UTF-8.
 */
bool json_memory_put(const json_t *object, struct buffer *out);
/* What is in @object, an object or array, without its brackets and the line's end. */
bool json_memory_put_inner(const json_t *object, struct buffer *out);

/* A string of @bytes, which may be any: of such as are not UTF-8 none beyond ASCII is kept. */
json_t *json_memory_text(const char *bytes);

/* How many values @text has at the most, whatever it is. */
size_t json_memory_count(const char *text, size_t len);

#endif
