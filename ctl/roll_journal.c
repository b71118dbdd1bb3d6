/* SPDX-License-Identifier: MIT */
/*
 * The roll's journal: its lines, and the file that they are in.
 *
 * What happened at once is one line, with a checksum at its end: so all of it is known
 * again at the next start, or nothing. A daemon or a host that ends while it writes leaves a last
 * line without an end; nobody was answered yet, and it is left out. Whatever else is
 * not as it was written has been changed since, and then nothing of the file is
 * believed: the line may have been the one that ended something else.
 */
#include "ctl/roll.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "crypto/hash.h"
#include "crypto/secret.h"
#include "ctl/config_private.h"
#include "ctl/log.h"
#include "ctl/plan_files.h"

#define HEADER      "ovltun journal 2"
#define HEADER_BARE "ovltun journal 1" /* of earlier versions: without checksums */
#define LABEL       "ovltun journal"
#define NONE        "-"
#define BETWEEN     "; "
#define SUM_LEN     10 /* " #1a2b3c4d" */

/* --- lines --- */

bool roll_print_invite(const struct roll_invite *invite, char line[ROLL_LINE_MAX])
{
	char key[KEY_BASE64_LEN + 1], psk[KEY_BASE64_LEN + 1], range[PREFIX_TEXT_MAX];

	secret_to_base64(key, invite->key);
	secret_to_base64(psk, invite->psk);
	prefix_format(&invite->range, range);
	return snprintf(line, ROLL_LINE_MAX, "invite %s %s %" PRIu64 " %s %u", key, psk,
	                invite->expires_s, range, invite->part_len) < ROLL_LINE_MAX;
}

bool roll_print_host(const struct roll_host *host, char line[ROLL_LINE_MAX])
{
	char key[KEY_BASE64_LEN + 1], by[KEY_BASE64_LEN + 1], range[PREFIX_TEXT_MAX];
	char endpoint[CONFIG_HOST_MAX + 16] = NONE;

	secret_to_base64(key, host->key);
	secret_to_base64(by, host->by);
	prefix_format(&host->range, range);
	if (host->endpoint.host[0])
		config_format_endpoint(&host->endpoint, endpoint, sizeof(endpoint));
	return snprintf(line, ROLL_LINE_MAX, "host %" PRIu64 " %s %s %s %u %s %s", host->number,
	                key, host->ours ? NONE : by, range, host->vni, endpoint,
	                host->name[0] ? host->name : NONE) < ROLL_LINE_MAX;
}

#define WORDS_MAX 8

struct line {
	const char *words[WORDS_MAX];
	size_t count;
};

static bool split(char *text, struct line *line)
{
	char *word;

	line->count = 0;
	while ((word = strsep(&text, " "))) {
		if (line->count == WORDS_MAX || !*word)
			return false;
		line->words[line->count++] = word;
	}
	return line->count > 0;
}

static bool read_key(const char *word, uint8_t key[KEY_SIZE])
{
	return secret_from_base64(key, word, strlen(word));
}

static bool read_number(const char *word, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(word, &end, 10);
	return word[0] >= '0' && word[0] <= '9' && !*end && !errno;
}

static bool read_bits(const char *word, uint64_t max, uint64_t *bits)
{
	return read_number(word, bits) && *bits <= max;
}

static bool take_invite(struct roll *roll, const struct line *line)
{
	struct roll_invite invite = { .spent = false };
	uint64_t bits;

	if (line->count != 6 || !read_key(line->words[1], invite.key) ||
	    !read_key(line->words[2], invite.psk) ||
	    !read_number(line->words[3], &invite.expires_s) ||
	    !prefix_parse(&invite.range, line->words[4]) ||
	    !read_bits(line->words[5], invite.range.family == 4 ? 32 : 128, &bits) ||
	    bits < invite.range.len)
		return false;
	invite.part_len = (uint8_t)bits;
	return roll_find_invite(roll, invite.key) || roll_add_invite(roll, &invite);
}

static bool take_host(struct roll *roll, const struct line *line)
{
	struct roll_host host = { .ours = strcmp(line->words[3], NONE) == 0 }, *old;
	uint64_t vni;

	if (line->count != 8 || !read_number(line->words[1], &host.number) ||
	    !read_key(line->words[2], host.key) ||
	    (!host.ours && !read_key(line->words[3], host.by)) ||
	    !prefix_parse(&host.range, line->words[4]) ||
	    !read_bits(line->words[5], CONFIG_VNI_MAX, &vni))
		return false;
	host.vni = (uint32_t)vni;
	if (strcmp(line->words[6], NONE) != 0 &&
	    !config_parse_endpoint(&host.endpoint, line->words[6]))
		return false;
	if (strcmp(line->words[7], NONE) != 0 &&
	    (config_name_problem(line->words[7]) ||
	     !slice_copy(slice_of(line->words[7]), host.name, sizeof(host.name))))
		return false;
	old = roll_find_host(roll, host.key);
	if (old)
		roll_remove_host(roll, old);
	return roll_add_host(roll, &host) != NULL;
}

static bool take_spent(struct roll *roll, const struct line *line)
{
	uint8_t key[KEY_SIZE], host[KEY_SIZE];
	struct roll_invite *invite;

	if (line->count != 3 || !read_key(line->words[1], key) || !read_key(line->words[2], host))
		return false;
	invite = roll_find_invite(roll, key);
	if (!invite)
		return false; /* of which was it said, then? That one would be open */
	invite->spent = true;
	memcpy(invite->host, host, KEY_SIZE);
	return true;
}

static bool take_end(struct roll *roll, const struct line *line, bool of_host)
{
	uint8_t key[KEY_SIZE];

	if (line->count != 2 || !read_key(line->words[1], key))
		return false;
	if (of_host) {
		struct roll_host *host = roll_find_host(roll, key);

		if (host)
			roll_remove_host(roll, host);
	} else {
		struct roll_invite *invite = roll_find_invite(roll, key);

		if (invite)
			roll_remove_invite(roll, invite);
	}
	return true;
}

static bool take_mark(struct roll *roll, const struct line *line, bool told)
{
	uint8_t key[KEY_SIZE];
	struct roll_mark *mark;
	uint64_t number;

	if (line->count != 3 || !read_key(line->words[1], key) ||
	    !read_number(line->words[2], &number))
		return false;
	mark = roll_mark(roll, key);
	if (!mark)
		return false;
	*(told ? &mark->told : &mark->heard) = number;
	return true;
}

static bool take_part(struct roll *roll, char *text)
{
	struct line line;

	if (!split(text, &line))
		return false;
	if (strcmp(line.words[0], "invite") == 0)
		return take_invite(roll, &line);
	if (strcmp(line.words[0], "host") == 0)
		return line.count == WORDS_MAX && take_host(roll, &line);
	if (strcmp(line.words[0], "spent") == 0)
		return take_spent(roll, &line);
	if (strcmp(line.words[0], "revoked") == 0)
		return take_end(roll, &line, false);
	if (strcmp(line.words[0], "gone") == 0)
		return take_end(roll, &line, true);
	if (strcmp(line.words[0], "told") == 0)
		return take_mark(roll, &line, true);
	return strcmp(line.words[0], "heard") == 0 && take_mark(roll, &line, false);
}

static bool take_line(struct roll *roll, char *text)
{
	char *next;

	for (; text; text = next) {
		next = strstr(text, BETWEEN);
		if (next) {
			*next = '\0';
			next += strlen(BETWEEN);
		}
		if (!take_part(roll, text))
			return false;
	}
	return true;
}

static void format_sum(const char *text, size_t len, char out[SUM_LEN + 1])
{
	uint8_t hash[HASH_SIZE];

	hash_sum(hash, LABEL, strlen(LABEL), text, len);
	(void)snprintf(out, SUM_LEN + 1, " #%08" PRIx32, load_be32(hash));
}

static bool has_sum(const char *text, size_t len)
{
	char sum[SUM_LEN + 1];

	if (len < SUM_LEN)
		return false;
	format_sum(text, len - SUM_LEN, sum);
	return memcmp(text + len - SUM_LEN, sum, SUM_LEN) == 0;
}

unsigned int roll_read(struct roll *roll, char *text, size_t len, bool *cut)
{
	char *at = text, *stop, *const end = text + len;
	unsigned int number = 0;
	bool summed = true;

	for (; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1) {
		size_t line_len = (size_t)(stop - at);

		*stop = '\0';
		number++;
		if (strlen(at) != line_len)
			return number;
		if (number == 1) {
			summed = strcmp(at, HEADER) == 0;
			if (!summed && strcmp(at, HEADER_BARE) != 0)
				return number;
			continue;
		}
		if (summed && !has_sum(at, line_len))
			return number;
		if (summed)
			stop[-SUM_LEN] = '\0';
		if (!take_line(roll, at))
			return number;
	}
	/* No header; or a line that is whole, but for an end that was written and is another now. */
	if (!number || (at < end && summed && has_sum(at, (size_t)(end - at) - 1)))
		return number + 1;
	*cut = at < end;
	return 0;
}

/* --- the journal --- */

int roll_write(struct roll *roll, const char *format, ...)
{
	char text[ROLL_WRITE_MAX + SUM_LEN + 1];
	va_list args;
	ssize_t n;
	int len;

	if (roll->unkept)
		return 0;
	va_start(args, format);
	len = vsnprintf(text, ROLL_WRITE_MAX, format, args);
	va_end(args);
	if (len < 0 || len >= ROLL_WRITE_MAX)
		return -EMSGSIZE;
	format_sum(text, (size_t)len, text + len);
	len += SUM_LEN;
	text[len++] = '\n';
	if (roll->written + (size_t)len > ROLL_JOURNAL_MAX) {
		roll->unkept = "the journal is as long as it may be";
		log_line("%s is as long as it may be; nothing more is written to it until the "
		         "next start, which writes it anew",
		         roll->path);
		return -EFBIG;
	}
	/* O_DSYNC: it is on the disk then. */
	n = write(roll->fd, text, (size_t)len);
	secret_wipe(text, sizeof(text));
	if (n == len) {
		roll->written += (size_t)len;
		return 0;
	}
	/* Half a line may stand there: nothing may come behind it. */
	roll->unkept = "the journal could not be written";
	log_line("%s: %s; nothing more is written to it until the next start", roll->path,
	         n < 0 ? strerror(errno) : "the disk is full");
	return n < 0 ? -errno : -ENOSPC;
}

bool roll_is_stale(const struct roll *roll)
{
	return roll->unkept && roll->fd >= 0;
}

static bool is_over(const struct roll_invite *invite, uint64_t now_s)
{
	return invite->revoked || now_s >= invite->expires_s + ROLL_GRACE_S;
}

static void print_line(struct buffer *out, const char *text)
{
	char sum[SUM_LEN + 1];

	format_sum(text, strlen(text), sum);
	buffer_printf(out, "%s%s\n", text, sum);
}

static void print_mark(struct buffer *out, const char *what, const struct roll_mark *mark,
                       uint64_t number)
{
	char line[ROLL_LINE_MAX], key[KEY_BASE64_LEN + 1];

	if (!number)
		return;
	secret_to_base64(key, mark->key);
	(void)snprintf(line, sizeof(line), "%s %s %" PRIu64, what, key, number);
	print_line(out, line);
}

void roll_print(struct roll *roll, uint64_t now_s, struct buffer *out)
{
	char line[ROLL_LINE_MAX], key[KEY_BASE64_LEN + 1], host[KEY_BASE64_LEN + 1];

	buffer_printf(out, HEADER "\n");
	for (size_t i = roll->invite_count; i-- > 0;)
		if (is_over(&roll->invites[i], now_s))
			roll_remove_invite(roll, &roll->invites[i]);
	for (size_t i = 0; i < roll->invite_count; i++) {
		const struct roll_invite *invite = &roll->invites[i];

		if (!roll_print_invite(invite, line))
			continue;
		print_line(out, line);
		secret_to_base64(key, invite->key);
		secret_to_base64(host, invite->host);
		(void)snprintf(line, sizeof(line), "spent %s %s", key, host);
		if (invite->spent)
			print_line(out, line);
	}
	secret_wipe(line, sizeof(line));
	for (size_t i = 0; i < roll->host_count; i++)
		if (roll_print_host(&roll->hosts[i], line))
			print_line(out, line);
	for (size_t i = 0; i < roll->mark_count; i++) {
		const struct roll_mark *mark = &roll->marks[i];

		print_mark(out, "told", mark, mark->told);
		print_mark(out, "heard", mark, mark->heard);
	}
}

static uint64_t wall_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

/* In the place of the old one, and open at its end. */
static int write_anew(struct roll *roll, struct plan_files *files, const char *name,
                      struct config_error *error)
{
	struct buffer text;
	int err;

	buffer_init(&text, ROLL_JOURNAL_MAX);
	roll_print(roll, wall_s(), &text);
	err = plan_files_put(files, name, 0600, &text, error);
	if (!err)
		err = plan_files_commit(files, error);
	roll->written = text.len;
	buffer_fini(&text);
	if (err)
		return err;
	roll->fd = openat(files->fd, name, O_WRONLY | O_APPEND | O_DSYNC | O_CLOEXEC | O_NOFOLLOW);
	if (roll->fd < 0)
		return config_fail(error, roll->path, 0, "%s", strerror(errno));
	if (flock(roll->fd, LOCK_EX | LOCK_NB) < 0)
		return config_fail(error, roll->path, 0, "another ovltund has it");
	return 0;
}

/*
 * The lock is the file's, and who writes it anew would lock another one. The folder's lock is
 * held: nobody comes between this look and our own lock.
 */
static int look_for_owner(const struct roll *roll, const struct plan_files *files, const char *name,
                          struct config_error *error)
{
	int fd = openat(files->fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int err = 0;

	if (fd < 0)
		return 0; /* none, or one that plan_files_read() complains of */
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		err = config_fail(error, roll->path, 0, "another ovltund has it");
	close(fd);
	return err;
}

/* What was read of it so far is forgotten, too. */
static void forget_all(struct roll *roll)
{
	while (roll->invite_count)
		roll_remove_invite(roll, roll->invites);
	roll->host_count = 0;
	roll->mark_count = 0;
	roll->number = 0;
}

static int take_text(struct roll *roll, struct buffer *text, struct config_error *error)
{
	bool cut = false;
	unsigned int line = roll_read(roll, text->data, text->len, &cut);

	if (line) {
		forget_all(roll);
		return config_fail(error, roll->path, line,
		                   "this line of the journal is damaged, and nothing of the file "
		                   "is in force; remove the line to do without what it said, or "
		                   "the file");
	}
	if (cut)
		log_line("%s: the last line is cut off, and left out: nobody was told yet what it "
		         "said",
		         roll->path);
	return 0;
}

/* 0 or -errno with @error. */
static int read_journal(struct roll *roll, const char *folder, const char *name,
                        struct config_error *error)
{
	struct plan_files files;
	struct buffer text;
	int err = plan_files_open(&files, folder, error);

	buffer_init(&text, ROLL_JOURNAL_MAX + 2 * BUFSIZ);
	if (!err)
		err = look_for_owner(roll, &files, name, error);
	if (!err) {
		err = plan_files_read(&files, name, &text, error);
		if (!err)
			err = take_text(roll, &text, error);
		else if (err == -ENOENT)
			err = 0;
	}
	if (!err)
		err = write_anew(roll, &files, name, error);
	plan_files_close(&files);
	buffer_fini(&text);
	return err;
}

bool roll_is_wanted(const struct config *config)
{
	bool wanted = config->introducer;

	for (size_t i = 0; i < config->peer_count; i++)
		wanted |= config->peers[i].introducer;
	return wanted;
}

bool roll_waits_for_start(const struct roll *roll, const struct config *config)
{
	return roll && roll->unopened && roll_is_wanted(config);
}

struct roll *roll_open(const char *folder, const char *name, bool wanted)
{
	struct roll *roll = calloc(1, sizeof(*roll));
	struct config_error error = { .line = 0 };
	char file[PLAN_PATH_MAX], text[1024];

	if (!roll)
		return NULL;
	roll->fd = -1;
	(void)snprintf(file, sizeof(file), "%s.journal", name);
	(void)snprintf(roll->path, sizeof(roll->path), "%.340s/%s", folder, file);
	if (!wanted && access(roll->path, F_OK) < 0) {
		roll->unkept = "there was no Introducer = yes at the start";
		roll->unopened = true;
		return roll;
	}
	if (read_journal(roll, folder, file, &error) == 0)
		return roll;
	config_error_format(&error, text, sizeof(text));
	log_line("%s: who is introduced is forgotten with the next start, and nobody can be "
	         "invited",
	         text);
	roll->unkept = "its journal cannot be used (see the log)";
	while (roll->invite_count) /* that they are used could not be noted */
		roll_remove_invite(roll, roll->invites);
	return roll;
}
