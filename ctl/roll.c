/* SPDX-License-Identifier: MIT */
#include "ctl/roll.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "ctl/config_private.h"
#include "ctl/log.h"
#include "ctl/plan_files.h"
#include "ctl/state.h"

#define HEADER      "ovltun journal 1"
#define NONE        "-"
#define INVITE_NAME "invite-"

/* --- memory --- */

static int compare_marks(const void *a, const void *b)
{
	const struct roll_mark *x = a, *y = b;

	return memcmp(x->key, y->key, KEY_SIZE);
}

struct roll_mark *roll_find_mark(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	struct roll_mark wanted;

	if (!roll->mark_count)
		return NULL;
	memcpy(wanted.key, key, KEY_SIZE);
	return bsearch(&wanted, roll->marks, roll->mark_count, sizeof(wanted), compare_marks);
}

struct roll_mark *roll_mark(struct roll *roll, const uint8_t key[KEY_SIZE])
{
	struct roll_mark wanted = { .told = 0 }, *list = roll_find_mark(roll, key);
	size_t at = roll->mark_count;

	if (list)
		return list;
	memcpy(wanted.key, key, KEY_SIZE);
	list = config_grow(roll->marks, roll->mark_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->marks = list;
	for (; at > 0 && compare_marks(&list[at - 1], &wanted) > 0; at--)
		list[at] = list[at - 1];
	list[at] = wanted;
	roll->mark_count++;
	return &list[at];
}

struct roll_invite *roll_find_invite(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < roll->invite_count; i++)
		if (memcmp(roll->invites[i].key, key, KEY_SIZE) == 0)
			return &roll->invites[i];
	return NULL;
}

struct roll_host *roll_find_host(const struct roll *roll, const uint8_t key[KEY_SIZE])
{
	for (size_t i = 0; i < roll->host_count; i++)
		if (memcmp(roll->hosts[i].key, key, KEY_SIZE) == 0)
			return &roll->hosts[i];
	return NULL;
}

/* A peer's name that people can tell from others, and revoke it by. */
static void name_invite(struct roll_invite *invite)
{
	char hex[KEY_HEX_LEN + 1];

	secret_to_hex(hex, invite->key);
	(void)snprintf(invite->name, sizeof(invite->name), INVITE_NAME "%.8s", hex);
}

struct roll_invite *roll_add_invite(struct roll *roll, const struct roll_invite *invite)
{
	struct roll_invite *list;

	if (roll->invite_count == ROLL_INVITES_MAX)
		return NULL;
	list = config_grow(roll->invites, roll->invite_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->invites = list;
	list += roll->invite_count++;
	*list = *invite;
	name_invite(list);
	return list;
}

struct roll_host *roll_add_host(struct roll *roll, const struct roll_host *host)
{
	struct roll_host *list;

	if (roll->host_count == ROLL_HOSTS_MAX)
		return NULL;
	list = config_grow(roll->hosts, roll->host_count, sizeof(*list));
	if (!list)
		return NULL;
	roll->hosts = list;
	list += roll->host_count++;
	*list = *host;
	if (host->ours && host->number > roll->number)
		roll->number = host->number;
	return list;
}

void roll_remove_invite(struct roll *roll, struct roll_invite *invite)
{
	struct roll_invite *last = &roll->invites[--roll->invite_count];

	if (invite != last)
		*invite = *last;
	secret_wipe(last, sizeof(*last));
}

/* Their order is that of their numbers. */
void roll_remove_host(struct roll *roll, struct roll_host *host)
{
	size_t behind = (size_t)(roll->hosts + --roll->host_count - host);

	memmove(host, host + 1, behind * sizeof(*host));
}

uint64_t roll_next_number(struct roll *roll, uint64_t wall_ns)
{
	/* Greater than what a journal that was lost gave, wherever clocks go forward. */
	roll->number = wall_ns > roll->number ? wall_ns : roll->number + 1;
	return roll->number;
}

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

static bool take_line(struct roll *roll, char *text)
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

/* 0, or the number of the line that is wrong. What is behind the last line's end was never whole. */
static unsigned int take_lines(struct roll *roll, struct buffer *text)
{
	unsigned int number = 0;
	char *at = text->data, *end, *stop;

	if (!text->len)
		return 0;
	end = at + text->len;
	for (; at < end && (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1) {
		*stop = '\0';
		number++;
		if (strlen(at) != (size_t)(stop - at))
			return number;
		if (number == 1 ? strcmp(at, HEADER) != 0 : !take_line(roll, at))
			return number;
	}
	return 0;
}

/* --- the journal --- */

int roll_write(struct roll *roll, const char *format, ...)
{
	char text[3 * ROLL_LINE_MAX];
	va_list args;
	ssize_t n;
	int len;

	if (roll->unkept)
		return 0;
	va_start(args, format);
	len = vsnprintf(text, sizeof(text) - 1, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(text) - 1)
		return -EMSGSIZE;
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

/* Without what is over. */
static void print_all(struct roll *roll, uint64_t now_s, struct buffer *out)
{
	char line[ROLL_LINE_MAX], key[KEY_BASE64_LEN + 1], host[KEY_BASE64_LEN + 1];

	buffer_printf(out, HEADER "\n");
	for (size_t i = roll->invite_count; i-- > 0;)
		if (is_over(&roll->invites[i], now_s))
			roll_remove_invite(roll, &roll->invites[i]);
	for (size_t i = 0; i < roll->invite_count; i++) {
		if (!roll_print_invite(&roll->invites[i], line))
			continue;
		buffer_printf(out, "%s\n", line);
		secret_to_base64(key, roll->invites[i].key);
		secret_to_base64(host, roll->invites[i].host);
		if (roll->invites[i].spent)
			buffer_printf(out, "spent %s %s\n", key, host);
	}
	secret_wipe(line, sizeof(line));
	for (size_t i = 0; i < roll->host_count; i++)
		if (roll_print_host(&roll->hosts[i], line))
			buffer_printf(out, "%s\n", line);
	for (size_t i = 0; i < roll->mark_count; i++) {
		const struct roll_mark *mark = &roll->marks[i];

		secret_to_base64(key, mark->key);
		if (mark->told)
			buffer_printf(out, "told %s %" PRIu64 "\n", key, mark->told);
		if (mark->heard)
			buffer_printf(out, "heard %s %" PRIu64 "\n", key, mark->heard);
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
	print_all(roll, wall_s(), &text);
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

/* 0 or -errno with @error. */
static int read_journal(struct roll *roll, const char *folder, const char *name,
                        struct config_error *error)
{
	struct plan_files files;
	struct buffer text;
	unsigned int line;
	int err = plan_files_open(&files, folder, error);

	buffer_init(&text, ROLL_JOURNAL_MAX + 2 * BUFSIZ);
	if (!err)
		err = look_for_owner(roll, &files, name, error);
	if (!err) {
		err = plan_files_read(&files, name, &text, error);
		if (err == -ENOENT)
			err = 0;
	}
	if (!err) {
		line = take_lines(roll, &text);
		if (line)
			err = config_fail(error, roll->path, line,
			                  "no line of a journal; mend or remove the file");
	}
	if (!err)
		err = write_anew(roll, &files, name, error);
	plan_files_close(&files);
	buffer_fini(&text);
	return err;
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
		return roll;
	}
	if (read_journal(roll, folder, file, &error) == 0)
		return roll;
	config_error_format(&error, text, sizeof(text));
	log_line("%s: who is introduced is forgotten with the next start, and nobody can be "
	         "invited",
	         text);
	roll->unkept = "its journal cannot be used (see the log)";
	while (roll->invite_count) /* some of them may have been used */
		roll_remove_invite(roll, roll->invites);
	return roll;
}

void roll_close(struct roll *roll)
{
	if (!roll)
		return;
	if (roll->fd >= 0)
		close(roll->fd);
	if (roll->invites)
		secret_wipe(roll->invites, roll->invite_count * sizeof(*roll->invites));
	free(roll->invites);
	free(roll->hosts);
	for (size_t i = 0; i < roll->mark_count; i++)
		free(roll->marks[i].why_not);
	free(roll->marks);
	free(roll);
}

/* --- into a configuration --- */

/* Names are for people: one that is another's is left out. */
static bool has_name(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].name, name) == 0)
			return true;
	return false;
}

int roll_put_invite(const struct roll_invite *invite, struct config *config)
{
	struct config_peer *peer = config_add_peer(config, invite->key);

	if (!peer)
		return -ENOMEM;
	peer->invited = true;
	memcpy(peer->psk, invite->psk, KEY_SIZE);
	memcpy(peer->name, invite->name, sizeof(peer->name));
	return 0;
}

int roll_put_host(const struct roll_host *host, struct config *config)
{
	bool name_free = host->name[0] && !has_name(config, host->name);
	struct config_peer *peer = config_add_peer(config, host->key);

	if (!peer)
		return -ENOMEM;
	if (name_free)
		memcpy(peer->name, host->name, sizeof(peer->name));
	peer->endpoint = host->endpoint;
	return host->vni ? config_peer_add_vni(peer, host->vni)
	                 : config_peer_add_allowed(peer, &host->range);
}

static void say_idle(const struct roll_host *host, const char *why)
{
	char range[PREFIX_TEXT_MAX], key[KEY_BASE64_LEN + 1];

	prefix_format(&host->range, range);
	secret_to_base64(key, host->key);
	log_line("peer %s, which was introduced with %s, is left out: %s",
	         host->name[0] ? host->name : key, range, why);
}

struct put {
	bool says;
	bool checks; /* what the whole configuration says of it, too; takes time with many */
};

static int put_host(struct roll *roll, struct roll_host *host, struct config *config,
                    struct put how)
{
	struct config_error error = { .line = 0 };
	char why[ROLL_CLAIM_TEXT];
	struct roll_claim claim;
	int err;

	if (host->filed || config_find_peer(config, host->key))
		return 0;
	host->idle = true; /* not among those that are in the way */
	if (roll_find_claim(roll, config, &host->range, &claim)) {
		roll_format_claim(&host->range, &claim, why);
		if (how.says)
			say_idle(host, why);
		return 0;
	}
	err = roll_put_host(host, config);
	if (err)
		return err;
	host->idle = false;
	err = how.checks ? config_check(config, &error) : 0;
	if (err == -EINVAL) {
		if (how.says)
			say_idle(host, error.text);
		config_remove_peer(config, config_find_peer(config, host->key));
		host->idle = true;
		err = 0;
	}
	return err;
}

static void take_out(struct roll *roll, struct config *config, const bool *was_there)
{
	for (size_t i = 0; i < roll->host_count; i++) {
		struct config_peer *peer = config_find_peer(config, roll->hosts[i].key);

		if (peer && !was_there[i])
			config_remove_peer(config, peer);
	}
}

static int put_hosts(struct roll *roll, struct config *config, bool says)
{
	struct config_error error;
	bool *was_there = calloc(roll->host_count + 1, sizeof(*was_there));
	int err = was_there ? 0 : -ENOMEM;

	for (size_t i = 0; i < roll->host_count && !err; i++) {
		was_there[i] = config_find_peer(config, roll->hosts[i].key) != NULL;
		err = put_host(roll, &roll->hosts[i], config, (struct put){ .says = says });
	}
	if (!err && roll->host_count)
		err = config_check(config, &error);
	if (err == -EINVAL) {
		/* One of them does not go with the rest: which is it? */
		take_out(roll, config, was_there);
		err = 0;
		for (size_t i = 0; i < roll->host_count && !err; i++)
			err = put_host(roll, &roll->hosts[i], config,
			               (struct put){ .says = says, .checks = true });
	}
	free(was_there);
	return err;
}

int roll_put_all(struct roll *roll, struct config *config, bool says)
{
	int err;

	for (size_t i = 0; i < roll->host_count; i++)
		roll->hosts[i].was_idle = roll->hosts[i].idle;
	err = put_hosts(roll, config, says);
	for (size_t i = 0; i < roll->invite_count && config->introducer && !err; i++)
		if (!roll->invites[i].revoked && !config_find_peer(config, roll->invites[i].key))
			err = roll_put_invite(&roll->invites[i], config);
	return err;
}

void roll_take_back(struct roll *roll)
{
	for (size_t i = 0; i < roll->host_count; i++)
		roll->hosts[i].idle = roll->hosts[i].was_idle;
}

/* --- conflicts --- */

/* The whole of a Subnet or more: "everything else", and no host's part. */
static bool is_rest(const struct config *config, const struct prefix *prefix)
{
	for (size_t i = 0; i < config->network_count; i++)
		for (size_t j = 0; j < config->networks[i].subnet_count; j++)
			if (prefix_covers(prefix, &config->networks[i].subnets[j]))
				return true;
	return prefix->len == 0;
}

void roll_format_claim(const struct prefix *range, const struct roll_claim *claim,
                       char out[ROLL_CLAIM_TEXT])
{
	char text[2][PREFIX_TEXT_MAX];

	prefix_format(range, text[0]);
	prefix_format(&claim->prefix, text[1]);
	if (prefix_equal(range, &claim->prefix))
		(void)snprintf(out, ROLL_CLAIM_TEXT, "%s is %s already", text[0], claim->whose);
	else
		(void)snprintf(out, ROLL_CLAIM_TEXT, "%s overlaps %s, which is %s", text[0],
		               text[1], claim->whose);
}

static bool claims(struct roll_claim *claim, const struct prefix *prefix, const char *whose)
{
	claim->prefix = *prefix;
	(void)snprintf(claim->whose, sizeof(claim->whose), "%s", whose);
	return true;
}

static bool peer_claims(const struct config *config, const struct config_peer *peer,
                        const struct prefix *range, struct roll_claim *claim)
{
	char label[STATE_LABEL_MAX], whose[sizeof(claim->whose)];

	for (size_t i = 0; i < peer->allowed_count; i++) {
		if (!prefix_overlap(&peer->allowed[i], range) || is_rest(config, &peer->allowed[i]))
			continue;
		state_label_peer(peer, label);
		(void)snprintf(whose, sizeof(whose), "peer %s's", label);
		return claims(claim, &peer->allowed[i], whose);
	}
	return false;
}

bool roll_find_claim(const struct roll *roll, const struct config *config,
                     const struct prefix *range, struct roll_claim *claim)
{
	char whose[sizeof(claim->whose)];

	for (size_t i = 0; i < config->network_count; i++)
		for (size_t j = 0; j < config->networks[i].range_count; j++)
			if (prefix_overlap(&config->networks[i].ranges[j], range))
				return claims(claim, &config->networks[i].ranges[j],
				              "this host's own");
	for (size_t i = 0; i < config->peer_count; i++)
		if (peer_claims(config, &config->peers[i], range, claim))
			return true;
	/* Members of bridged networks have their ranges here alone. */
	for (size_t i = 0; i < roll->host_count; i++) {
		const struct roll_host *host = &roll->hosts[i];

		if (host->idle || !host->vni || !prefix_overlap(&host->range, range))
			continue;
		(void)snprintf(whose, sizeof(whose), "host %s's", host->name);
		return claims(claim, &host->range, whose);
	}
	return false;
}
