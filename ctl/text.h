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

/* All text_format_*() write at most TEXT_MAX bytes and return @out. */
#define TEXT_MAX 48

/* "512 B", "1.50 KiB", "23.1 GiB" */
const char *text_format_bytes(uint64_t bytes, char out[TEXT_MAX]);
/* "3 min 5 s", "2 h", "4 d 1 h": the two largest units, the second only if not zero. */
const char *text_format_duration(uint64_t seconds, char out[TEXT_MAX]);
/* "12 s ago", "now"; "never" when @then is 0. A @then to come is "now". Both in seconds. */
const char *text_format_age(uint64_t then, uint64_t now, char out[TEXT_MAX]);
/* "0 %", "0.4 %", "12 %" of @whole; "-" when that is 0. */
const char *text_format_share(uint64_t part, uint64_t whole, char out[TEXT_MAX]);

#define TEXT_SENTENCE_MAX 256
/* A sentence as it goes on behind a colon: without its capital, unless a name has more of them. */
const char *text_continue(const char *sentence, char out[TEXT_SENTENCE_MAX]);

/* As one word of a shell, in quotes where it wants them. To be freed; NULL: out of memory. */
char *text_quote(const char *word);

enum text_style {
	TEXT_PLAIN,
	TEXT_BOLD,
	TEXT_DIM,
	TEXT_GOOD,
	TEXT_WARN,
	TEXT_BAD,
};

/* Whether @out is a terminal that shows colour, and the user has not said NO_COLOR. */
bool text_use_color(FILE *out);
void text_print(FILE *out, bool color, enum text_style style, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Columns of the terminal that @out is; 0: no terminal, so as many as it takes. */
unsigned int text_terminal_width(FILE *out);
/*
 * One line of words, ended; where it is wider than @width (0: never) the rest goes
 * @indent blanks deep into further lines. A word is never cut.
 */
void text_print_words(FILE *out, unsigned int width, unsigned int indent, enum text_style style,
                      bool color, const char *text);

/*
 * A table: cells are put from left to right, a full row begins the next.
 * Columns are as wide as their widest cell, two blanks apart. Where that is wider
 * than text_table_fit() allows, a table with titles becomes a paragraph a row, its
 * cells with their titles one after the other; without titles the last column breaks.
 */
struct text_column {
	const char *title; /* NULL in all columns: no line of titles */
	bool right; /* numbers */
};

struct text_table;

struct text_table *text_table_new(const struct text_column *columns, size_t count);
void text_table_put(struct text_table *table, enum text_style style, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void text_table_fit(struct text_table *table, unsigned int width); /* 0, as at first: any */
/* 0, or -ENOMEM if anything that was put got lost: then it prints nothing. */
int text_table_print(const struct text_table *table, FILE *out, bool color);
void text_table_free(struct text_table *table); /* takes NULL */

#endif
