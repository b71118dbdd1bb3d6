/* SPDX-License-Identifier: MIT */
#include "ctl/text.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#define WORD_MAX 63

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Optimal string alignment: rows of the usual table, two of them kept for swaps. */
unsigned int text_distance(const char *a, const char *b)
{
	unsigned int rows[3][WORD_MAX + 1];
	size_t a_len = strlen(a), b_len = strlen(b);

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return UINT_MAX;
	for (unsigned int j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (unsigned int i = 1; i <= a_len; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];

		row[0] = i;
		for (unsigned int j = 1; j <= b_len; j++) {
			bool same = same_letter(a[i - 1], b[j - 1]);

			row[j] = least(above[j - 1] + !same, least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) &&
			    same_letter(a[i - 2], b[j - 1]))
				row[j] = least(row[j], above2[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

bool text_is_near(const char *word, const char *known)
{
	unsigned int len = (unsigned int)strlen(known);

	return text_distance(word, known) <= (len <= 3 ? 1 : len <= 8 ? 2 : len / 3);
}

const char *text_nearest(const char *word, const char *const *known, size_t count)
{
	unsigned int nearest_distance = UINT_MAX;
	const char *nearest = NULL;

	for (size_t i = 0; i < count; i++) {
		unsigned int distance = text_distance(word, known[i]);

		if (distance < nearest_distance && text_is_near(word, known[i])) {
			nearest_distance = distance;
			nearest = known[i];
		}
	}
	return nearest;
}
