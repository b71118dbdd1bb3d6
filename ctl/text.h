/* SPDX-License-Identifier: MIT */
/* What people type and read: near words, units, ages, tables, colour. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Edits (insert, remove, replace, swap two neighbours) that make one word of the
 * other, case ignored. UINT_MAX when a word has more than 63 characters.
 */
unsigned int text_distance(const char *a, const char *b);
/* Near enough to be a typing error. */
bool text_is_near(const char *word, const char *known);
/* The nearest of @known that is near enough, or NULL. */
const char *text_nearest(const char *word, const char *const *known, size_t count);

#endif
