/* SPDX-License-Identifier: MIT */
#include "ctl/text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WORD_MAX   63
#define COLUMN_GAP 2
#define ITEM_GAP   3 /* between the cells of a paragraph */
#define INDENT     2
#define LAST_MIN   20 /* a last column narrower than that goes on below the others */

/* --- words of a shell --- */

static bool is_plain(const char *word)
{
	for (const char *at = word; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("_-+=:,./@%", *at))
			return false;
	return *word;
}

char *text_quote(const char *word)
{
	/* Each byte may be a quote, which is written '\''. */
	char *out = malloc(4 * strlen(word) + 3), *to = out;

	if (!out)
		return NULL;
	if (is_plain(word))
		return strcpy(out, word);
	*to++ = '\'';
	for (; *word; word++) {
		if (*word == '\'')
			to = stpcpy(to, "'\\'");
		*to++ = *word;
	}
	strcpy(to, "'");
	return out;
}

/* --- near words --- */

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

/* One error in a short word, two in one of usual length, a third of a long one. */
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

/* --- units --- */

/* Three digits that count, whatever the size: 1.23, 12.3, 123. */
static int decimals(double value)
{
	return value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
}

const char *text_format_bytes(uint64_t bytes, char out[TEXT_MAX])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, TEXT_MAX, "%u B", (unsigned int)bytes);
		return out;
	}
	/* 1023.5 would be printed as 1024 */
	while (value >= 1023.5) {
		value /= 1024;
		unit++;
	}
	snprintf(out, TEXT_MAX, "%.*f %s", decimals(value), value, units[unit]);
	return out;
}

const char *text_format_duration(uint64_t seconds, char out[TEXT_MAX])
{
	static const struct {
		const char *name;
		unsigned int seconds;
	} units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
	size_t i = 0;
	uint64_t rest;

	while (i < 3 && seconds < units[i].seconds)
		i++;
	rest = i < 3 ? seconds % units[i].seconds / units[i + 1].seconds : 0;
	if (rest > 0)
		snprintf(out, TEXT_MAX, "%llu %s %u %s",
		         (unsigned long long)(seconds / units[i].seconds), units[i].name,
		         (unsigned int)rest, units[i + 1].name);
	else
		snprintf(out, TEXT_MAX, "%llu %s", (unsigned long long)(seconds / units[i].seconds),
		         units[i].name);
	return out;
}

const char *text_format_age(uint64_t then, uint64_t now, char out[TEXT_MAX])
{
	if (then == 0)
		return strcpy(out, "never");
	if (then >= now)
		return strcpy(out, "now");
	text_format_duration(now - then, out);
	return strcat(out, " ago");
}

const char *text_format_share(uint64_t part, uint64_t whole, char out[TEXT_MAX])
{
	double percent = whole ? 100.0 * (double)part / (double)whole : 0;

	if (whole == 0)
		return strcpy(out, "-");
	if (part > 0 && percent < 0.1)
		return strcpy(out, "< 0.1 %");
	snprintf(out, TEXT_MAX, "%.*f %%", part > 0 && percent < 9.95 ? 1 : 0, percent);
	return out;
}

/* --- colour --- */

bool text_use_color(FILE *out)
{
	const char *no_color = getenv("NO_COLOR"); /* no-color.org: set and not empty */
	const char *term = getenv("TERM");

	if ((no_color && no_color[0]) || !term || strcmp(term, "dumb") == 0)
		return false;
	return isatty(fileno(out)) == 1;
}

static const char *style_start(enum text_style style)
{
	switch (style) {
	case TEXT_BOLD:
		return "\033[1m";
	case TEXT_DIM:
		return "\033[2m";
	case TEXT_GOOD:
		return "\033[32m";
	case TEXT_WARN:
		return "\033[33m";
	case TEXT_BAD:
		return "\033[31m";
	case TEXT_PLAIN:
		break;
	}
	return "";
}

static const char *style_end(enum text_style style)
{
	return style == TEXT_PLAIN ? "" : "\033[0m";
}

void text_print(FILE *out, bool color, enum text_style style, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs(color ? style_start(style) : "", out);
	vfprintf(out, format, args);
	fputs(color ? style_end(style) : "", out);
	va_end(args);
}

/* --- words --- */

/* Characters of UTF-8, each taken for one column. */
static unsigned int count_columns(const char *text, size_t len)
{
	unsigned int width = 0;

	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

static unsigned int text_width(const char *text)
{
	return count_columns(text, strlen(text));
}

unsigned int text_terminal_width(FILE *out)
{
	struct winsize size;
	int fd = fileno(out);

	if (fd < 0 || !isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

/* Text that breaks between words. */
struct flow {
	FILE *out;
	bool color;
	unsigned int width; /* 0: it does not break */
	unsigned int indent; /* of the lines that a break begins */
	unsigned int column; /* where the line ends so far */
	unsigned int blanks; /* owed to the next word, unless it begins a line */
	bool broken;
};

static void flow_break(struct flow *flow, unsigned int indent)
{
	fprintf(flow->out, "\n%*s", (int)indent, "");
	flow->column = indent;
	flow->blanks = 0;
}

static void flow_words(struct flow *flow, enum text_style style, const char *text)
{
	const char *start = flow->color ? style_start(style) : "";
	bool any = false;

	while (*text) {
		size_t len = strcspn(text, " ");
		unsigned int width = count_columns(text, len);

		if (len == 0) {
			flow->blanks++;
			text++;
			continue;
		}
		if (flow->width && flow->column > flow->indent &&
		    flow->column + flow->blanks + width > flow->width) {
			flow_break(flow, flow->indent);
			flow->broken = true;
		}
		fprintf(flow->out, "%*s%s%.*s", (int)flow->blanks, "", any ? "" : start, (int)len,
		        text);
		any = true;
		flow->column += flow->blanks + width;
		flow->blanks = 0;
		text += len;
	}
	fputs(any && flow->color ? style_end(style) : "", flow->out);
}

void text_print_words(FILE *out, unsigned int width, unsigned int indent, enum text_style style,
                      bool color, const char *text)
{
	struct flow flow = { .out = out, .color = color, .width = width, .indent = indent };

	flow_words(&flow, style, text);
	fputc('\n', out);
}

/* --- tables --- */

struct cell {
	char *text;
	enum text_style style;
};

struct text_table {
	const struct text_column *columns;
	size_t column_count;
	unsigned int fit; /* 0: any width */
	struct cell *cells; /* row by row */
	size_t cell_count;
	size_t cell_capacity;
	bool incomplete; /* memory ran out */
};

struct text_table *text_table_new(const struct text_column *columns, size_t count)
{
	struct text_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	table->column_count = count;
	return table;
}

void text_table_free(struct text_table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}

static bool grow_cells(struct text_table *table)
{
	size_t capacity = table->cell_capacity ? table->cell_capacity * 2 : 64;
	struct cell *cells;

	if (table->cell_count < table->cell_capacity)
		return true;
	cells = realloc(table->cells, capacity * sizeof(*cells));
	if (!cells)
		return false;
	table->cells = cells;
	table->cell_capacity = capacity;
	return true;
}

void text_table_put(struct text_table *table, enum text_style style, const char *format, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0) {
		table->incomplete = true;
	} else if (!grow_cells(table)) {
		table->incomplete = true;
		free(text);
	} else {
		table->cells[table->cell_count++] = (struct cell){ text, style };
	}
}

void text_table_fit(struct text_table *table, unsigned int width)
{
	table->fit = width;
}

static size_t column_width(const struct text_table *table, size_t column)
{
	const char *title = table->columns[column].title;
	size_t width = title ? text_width(title) : 0;

	for (size_t i = column; i < table->cell_count; i += table->column_count) {
		size_t n = text_width(table->cells[i].text);

		if (n > width)
			width = n;
	}
	return width;
}

/* A table on its way out. */
struct sheet {
	const struct text_table *table;
	const size_t *widths;
	FILE *out;
	bool color;
	size_t blanks; /* owed to the next text of the line, if there is one */
	unsigned int last; /* where the last column begins, if it has to break; or 0 */
	unsigned int last_indent;
};

/* Nothing is padded at the end of a line. */
static void print_cell(struct sheet *sheet, size_t column, enum text_style style, const char *text)
{
	bool right = sheet->table->columns[column].right;
	size_t padding = sheet->widths[column] - text_width(text);

	if (right)
		sheet->blanks += padding;
	if (*text) {
		struct flow flow = { .out = sheet->out, .color = sheet->color };

		if (sheet->last && column == sheet->table->column_count - 1) {
			flow.width = sheet->table->fit;
			flow.column = sheet->last;
			flow.indent = sheet->last_indent;
		}
		fprintf(sheet->out, "%*s", (int)sheet->blanks, "");
		flow_words(&flow, style, text);
		sheet->blanks = 0;
	}
	sheet->blanks += (right ? 0 : padding) + COLUMN_GAP;
	if (column == sheet->table->column_count - 1) {
		fputc('\n', sheet->out);
		sheet->blanks = 0;
	}
}

/* "ENDPOINT 192.0.2.1:7", whole on this line or else on the next ones. */
static void print_item(struct flow *flow, const char *title, const struct cell *cell)
{
	unsigned int width = text_width(title) + 1 + text_width(cell->text);

	flow->blanks = flow->column > INDENT ? ITEM_GAP : 0;
	if (flow->column > INDENT &&
	    (flow->broken || flow->column + flow->blanks + width > flow->width))
		flow_break(flow, INDENT);
	flow->broken = false;
	flow_words(flow, TEXT_DIM, title);
	flow->blanks++;
	flow_words(flow, cell->style, cell->text);
}

static void print_paragraphs(const struct text_table *table, FILE *out, bool color)
{
	struct flow flow = {
		.out = out, .color = color, .width = table->fit, .indent = 2 * INDENT
	};

	for (size_t i = 0; i < table->cell_count; i++) {
		const struct cell *cell = &table->cells[i];
		const char *title = table->columns[i % table->column_count].title;

		if (i % table->column_count == 0) {
			fprintf(out, "%s%s ", i ? "\n" : "", title);
			text_print(out, color, cell->style, "%s", cell->text);
			fprintf(out, "\n%*s", INDENT, "");
			flow.column = INDENT;
			flow.broken = false;
		} else if (cell->text[0]) {
			print_item(&flow, title, cell);
		}
	}
	if (table->cell_count)
		fputc('\n', out);
}

static void print_rows(struct sheet *sheet)
{
	const struct text_table *table = sheet->table;

	for (size_t i = 0; i < table->column_count && table->columns[0].title; i++)
		print_cell(sheet, i, TEXT_BOLD, table->columns[i].title);
	for (size_t i = 0; i < table->cell_count; i++)
		print_cell(sheet, i % table->column_count, table->cells[i].style,
		           table->cells[i].text);
}

int text_table_print(const struct text_table *table, FILE *out, bool color)
{
	size_t *widths = calloc(table->column_count, sizeof(*widths));
	struct sheet sheet = { .table = table, .widths = widths, .out = out, .color = color };
	size_t total = 0, before_last;
	bool wide;

	if (!widths || table->incomplete) {
		free(widths);
		return -ENOMEM;
	}
	for (size_t i = 0; i < table->column_count; i++) {
		widths[i] = column_width(table, i);
		total += widths[i] + (i ? COLUMN_GAP : 0);
	}
	before_last = total - widths[table->column_count - 1];
	wide = table->fit && total > table->fit;
	if (wide) {
		sheet.last = (unsigned int)before_last;
		sheet.last_indent = before_last + LAST_MIN <= table->fit ? sheet.last : 2 * INDENT;
	}
	if (wide && table->columns[0].title)
		print_paragraphs(table, out, color);
	else
		print_rows(&sheet);
	free(widths);
	return 0;
}

const char *text_continue(const char *sentence, char out[TEXT_SENTENCE_MAX])
{
	size_t word = strcspn(sentence, " ");
	bool name = false;

	for (size_t i = 1; i < word; i++)
		name |= sentence[i] >= 'A' && sentence[i] <= 'Z';
	(void)snprintf(out, TEXT_SENTENCE_MAX, "%s", sentence);
	if (!name && out[0] >= 'A' && out[0] <= 'Z')
		out[0] = (char)(out[0] - 'A' + 'a');
	return out;
}
