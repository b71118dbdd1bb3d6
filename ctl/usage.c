/* SPDX-License-Identifier: MIT */
/*
 * A command's arguments are told once, in ovlctl.c's table: "HOSTS --subnet SUBNET
 * [--out DIR]", or by forms, "add PREFIX PEER | list [--json]". From that line it can
 * be seen what is wrong with what was typed, without a second list a command: words
 * in capitals stand for something, others are typed as they are, [brackets] may be
 * left out.
 */
#include "ctl/usage.h"

#include <string.h>
#include "ctl/complaint.h"
#include "ctl/ovlctl.h"
#include "ctl/text.h"

#define TOKENS_MAX 48
#define TOKEN_SIZE 24

struct token {
	char text[TOKEN_SIZE];
	bool optional; /* in brackets, or what may stand in another's place */
	int form; /* of those that "|" separates */
};

struct tokens {
	struct token list[TOKENS_MAX];
	size_t count;
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_placeholder(const struct token *token)
{
	return token->text[0] >= 'A' && token->text[0] <= 'Z';
}

static bool is_option(const struct token *token)
{
	return token->text[0] == '-';
}

/* " | " begins another form, a bare "|" (PEER|local, [--all|--last]) another word in its place. */
static void read_tokens(struct tokens *tokens, const char *line)
{
	bool optional = false;
	int form = 0;

	tokens->count = 0;
	for (const char *p = line; *p;) {
		struct token *token = &tokens->list[tokens->count];
		size_t len = 0;

		while (is_letter(p[len]) || p[len] == '-')
			len++;
		if (len && len < sizeof(token->text) && tokens->count < TOKENS_MAX) {
			*token = (struct token){ .optional = optional || (p > line && p[-1] == '|'),
				                 .form = form };
			memcpy(token->text, p, len);
			tokens->count++;
		} else if (*p == '[') {
			optional = true;
		} else if (*p == ']') {
			optional = false;
		} else if (strncmp(p, " | ", 3) == 0) {
			form++;
		}
		p += len ? len : 1;
	}
}

/* The word that stands for @token's value; NULL: it has none. */
static const struct token *value_of(const struct tokens *tokens, const struct token *token)
{
	const struct token *next = token + 1;

	if (!is_option(token) || next == tokens->list + tokens->count || !is_placeholder(next) ||
	    next->form != token->form || next->optional != token->optional)
		return NULL;
	return next;
}

static const struct token *find(const struct tokens *tokens, const char *word)
{
	for (size_t i = 0; i < tokens->count; i++)
		if (strcmp(tokens->list[i].text, word) == 0)
			return &tokens->list[i];
	return NULL;
}

/* "--follow, -f" in the details. */
static bool is_short(const struct command *command, const char *word)
{
	const char pattern[] = { ',', ' ', word[0], word[1], '\0' };

	return strlen(word) == 2 && command->details && strstr(command->details, pattern);
}

static bool tell_unknown(const struct command *command, const struct tokens *tokens,
                         const char *what, const char *word)
{
	const char *known[TOKENS_MAX], *nearest;
	size_t count = 0;

	for (size_t i = 0; i < tokens->count; i++)
		if (!is_placeholder(&tokens->list[i]))
			known[count++] = tokens->list[i].text;
	nearest = text_nearest(word, known, count);
	if (nearest)
		complaint_say("%s: unknown %s \"%s\"; did you mean \"%s\"?", command->name, what,
		              word, nearest);
	else
		complaint_say("%s: unknown %s \"%s\"; see ovlctl help %s", command->name, what,
		              word, command->name);
	return true;
}

/*
 * The form that begins with @word (NULL: none was typed), or else the one that begins
 * with a word that stands for something, or with none; -1: there is no such form.
 */
static int find_form(const struct tokens *tokens, const char *word)
{
	int last = -1, other = -1;

	for (size_t i = 0; i < tokens->count; i++) {
		const struct token *token = &tokens->list[i];

		if (token->form == last)
			continue;
		last = token->form;
		if (word && strcmp(token->text, word) == 0)
			return token->form;
		if (is_placeholder(token) || (!word && is_option(token)))
			other = token->form;
	}
	return other;
}

/* What has to be given in @form, and is none of @argv: options, and words by their number. */
static bool tell_missing(const struct command *command, const struct tokens *tokens, int form,
                         int words, int argc, char **argv)
{
	for (size_t i = 0; i < tokens->count; i++) {
		const struct token *token = &tokens->list[i], *value = value_of(tokens, token);
		bool given = false;

		if (token->form != form || token->optional)
			continue;
		for (int k = 1; k < argc && is_option(token); k++)
			given |= strcmp(argv[k], token->text) == 0;
		if (!is_option(token))
			given = words-- > 0;
		if (!given) {
			complaint_say("%s: %s%s%s is missing; see ovlctl help %s", command->name,
			              token->text, value ? " " : "", value ? value->text : "",
			              command->name);
			return true;
		}
		i += value ? 1 : 0;
	}
	return false;
}

bool usage_explain(const struct command *command, int argc, char **argv)
{
	const char *first = NULL;
	struct tokens tokens;
	int words = 0, form;

	read_tokens(&tokens, command->arguments);
	if (!tokens.count)
		return false;
	for (int i = 1; i < argc; i++) {
		const struct token *token, *value;

		if (argv[i][0] != '-' || !argv[i][1]) {
			first = words++ ? first : argv[i];
			continue;
		}
		token = find(&tokens, argv[i]);
		if (!token && is_short(command, argv[i]))
			continue;
		if (!token)
			return tell_unknown(command, &tokens, "option", argv[i]);
		value = value_of(&tokens, token);
		if (value && ++i == argc) {
			complaint_say("%s: %s is missing after %s; see ovlctl help %s",
			              command->name, value->text, token->text, command->name);
			return true;
		}
	}
	form = find_form(&tokens, first);
	if (form < 0)
		return first && tell_unknown(command, &tokens, "word", first);
	return tell_missing(command, &tokens, form, words, argc, argv);
}

bool usage_has_value(const struct command *command, const char *option, size_t len)
{
	struct tokens tokens;

	read_tokens(&tokens, command->arguments);
	for (size_t i = 0; i < tokens.count; i++)
		if (strncmp(tokens.list[i].text, option, len) == 0 && !tokens.list[i].text[len])
			return value_of(&tokens, &tokens.list[i]);
	return false;
}
