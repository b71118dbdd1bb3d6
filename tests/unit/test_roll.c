/* SPDX-License-Identifier: MIT */
/* What is remembered of invitations and introductions, also when the daemon ends in between. */
#include "config_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/roll.h"

#define FAR    UINT64_C(99999999999)
#define SUBNET HEAD "Subnet = 172.20.0.0/16\nRange = 172.20.101.0/24\n"

static char folder[64], path[96];

static int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/ovltun-roll-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/peers.journal", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static struct roll *open_roll(void)
{
	struct roll *roll = roll_open(folder, "peers", true);

	assert_non_null(roll);
	return roll;
}

static struct roll_invite invite_of(uint8_t number, uint64_t expires_s)
{
	struct roll_invite invite = { .expires_s = expires_s, .part_len = 24 };

	number_key(invite.key, number);
	memset(invite.psk, number, KEY_SIZE);
	invite.range = prefix_of("172.20.0.0/16");
	return invite;
}

static struct roll_host host_of(const char *key, const char *range, uint64_t number)
{
	struct roll_host host = { .number = number, .ours = true, .range = prefix_of(range) };

	key_of(host.key, key);
	strcpy(host.name, "barge4");
	assert_true(config_parse_endpoint(&host.endpoint, "10.10.10.104:12345"));
	return host;
}

static void keep_invite(struct roll *roll, uint8_t number, uint64_t expires_s)
{
	struct roll_invite invite = invite_of(number, expires_s);
	const struct roll_invite *made = roll_add_invite(roll, &invite);
	char line[ROLL_LINE_MAX];

	assert_non_null(made);
	assert_true(roll_print_invite(made, line));
	assert_int_equal(roll_write(roll, "%s", line), 0);
}

static void keep_host(struct roll *roll, const struct roll_host *host)
{
	char line[ROLL_LINE_MAX];

	assert_non_null(roll_add_host(roll, host));
	assert_true(roll_print_host(host, line));
	assert_int_equal(roll_write(roll, "%s", line), 0);
}

static void test_all_is_there_again(void **state)
{
	struct roll_invite wanted = invite_of(1, FAR);
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77), other;
	char key[KEY_BASE64_LEN + 1];
	struct roll *roll = open_roll();
	const struct roll_invite *invite;
	struct stat st;

	(void)state;
	keep_invite(roll, 1, FAR);
	keep_invite(roll, 2, FAR);
	keep_host(roll, &host);
	other = host_of(KEY_B, "fd20:0:4::/48", 78);
	other.ours = false;
	other.vni = 7;
	memset(other.name, 0, sizeof(other.name));
	memset(&other.endpoint, 0, sizeof(other.endpoint));
	key_of(other.by, KEY_C);
	keep_host(roll, &other);
	secret_to_base64(key, wanted.key);
	assert_int_equal(roll_write(roll, "spent %s " KEY_A, key), 0);
	assert_int_equal(roll_write(roll, "told " KEY_B " 77; heard " KEY_C " 78"), 0);
	roll_close(roll);
	/* Twice: what is written anew says the same. */
	for (int i = 0; i < 2; i++) {
		roll = open_roll();
		assert_null(roll->unkept);
		assert_int_equal(roll->invite_count, 2);
		invite = roll_find_invite(roll, wanted.key);
		assert_non_null(invite);
		assert_true(invite->spent);
		assert_memory_equal(invite->psk, wanted.psk, KEY_SIZE);
		assert_memory_equal(invite->host, host.key, KEY_SIZE);
		assert_true(prefix_equal(&invite->range, &wanted.range));
		assert_int_equal(invite->part_len, 24);
		assert_int_equal(invite->expires_s, FAR);
		assert_memory_equal(roll_find_host(roll, host.key), &host, sizeof(host));
		assert_memory_equal(roll_find_host(roll, other.key), &other, sizeof(other));
		assert_int_equal(roll_mark(roll, other.key)->told, 77);
		assert_int_equal(roll_mark(roll, other.by)->heard, 78);
		assert_int_equal(roll->number, 77);
		assert_int_equal(roll_next_number(roll, 5), 78);
		roll_close(roll);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void put_file(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static size_t read_file(char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, size);

	close(fd);
	assert_true(n > 0 && (size_t)n < size);
	return (size_t)n;
}

/* An invitation, and that the host of KEY_A used it; the file's text. */
static size_t make_used(char *text, size_t size)
{
	struct roll_invite invite = invite_of(1, FAR);
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	char key[KEY_BASE64_LEN + 1], line[ROLL_LINE_MAX];
	struct roll *roll = open_roll();

	keep_invite(roll, 1, FAR);
	secret_to_base64(key, invite.key);
	assert_true(roll_print_host(&host, line));
	assert_int_equal(roll_write(roll, "spent %s " KEY_A "; %s; told " KEY_A " 77", key, line),
	                 0);
	roll_close(roll);
	return read_file(text, size);
}

/* A journal that reads as @text does, as far as it goes. @line: the one that is damaged, or 0. */
static struct roll *read_text(const char *text, size_t len, unsigned int *line, bool *cut)
{
	struct roll *roll = calloc(1, sizeof(*roll));
	char *copy = malloc(len + 1);

	assert_true(roll && copy);
	memcpy(copy, text, len);
	roll->fd = -1;
	*cut = false;
	*line = roll_read(roll, copy, len, cut);
	free(copy);
	return roll;
}

/* A write that was cut off was never answered: all that it said is there, or nothing. */
static void test_half_a_line_was_not_said(void **state)
{
	char text[2048];
	size_t len = make_used(text, sizeof(text)), header = strcspn(text, "\n") + 1;
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	unsigned int line;
	struct roll *roll;
	bool cut;

	(void)state;
	for (size_t i = 0; i <= len; i++) {
		roll = read_text(text, i, &line, &cut);
		if (i < header ? !line : line || cut != (text[i - 1] != '\n'))
			fail_msg("cut after %zu of %zu", i, len);
		assert_int_equal(roll->host_count, i == len);
		assert_int_equal(roll->mark_count, i == len);
		if (roll->invite_count)
			assert_int_equal(roll->invites[0].spent, i == len);
		roll_close(roll);
	}
	put_file(text, len - 1);
	for (int i = 0; i < 2; i++) { /* written anew, it has no half line any more */
		roll = open_roll();
		assert_null(roll->unkept);
		assert_int_equal(roll->invite_count, 1);
		assert_null(roll_find_host(roll, host.key));
		roll_close(roll);
	}
}

/* Wherever one bit is another, the end of the last line included. */
static void test_every_bit_matters(void **state)
{
	char text[2048];
	size_t len = make_used(text, sizeof(text));
	struct roll *roll = open_roll();
	unsigned int line;
	bool cut;

	(void)state;
	assert_int_equal(roll->host_count, 1);
	assert_int_equal(roll_write(roll, "gone " KEY_A), 0);
	roll_close(roll);
	len = read_file(text, sizeof(text));
	for (size_t i = 0; i < len * 8; i++) {
		text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
		roll = read_text(text, len, &line, &cut);
		if (!line)
			fail_msg("bit %zu of byte %zu: \"%s\"", i % 8, i / 8, text);
		roll_close(roll);
		if (i / 8 == len - 40 && i % 8 == 0) { /* of the host that is gone */
			put_file(text, len);
			roll = open_roll();
			assert_non_null(roll->unkept);
			assert_int_equal(roll->invite_count + roll->host_count + roll->mark_count,
			                 0);
			roll_close(roll);
		}
		text[i / 8] = (char)(text[i / 8] ^ 1 << i % 8);
	}
}

static void test_a_journal_without_checksums_is_taken_over(void **state)
{
	static const char text[] = "ovltun journal 1\n"
				   "invite " KEY_B " " KEY_C " 99999999999 172.20.0.0/16 24\n"
				   "spent " KEY_B " " KEY_A "\n"
				   "host 77 " KEY_A " - 172.20.104.0/24 0 10.10.10.104:12345 b4\n";
	struct roll *roll;
	uint8_t key[KEY_SIZE];

	(void)state;
	key_of(key, KEY_B);
	put_file(text, strlen(text));
	for (int i = 0; i < 2; i++) {
		roll = open_roll();
		assert_null(roll->unkept);
		assert_true(roll_find_invite(roll, key)->spent);
		assert_int_equal(roll->host_count, 1);
		roll_close(roll);
	}
}

/* --- the disk is full --- */

static void limit_files(rlim_t size)
{
	const struct rlimit limit = { .rlim_cur = size, .rlim_max = RLIM_INFINITY };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The first line that finds no room is the last that is tried; the next start does without it. */
static void test_a_full_disk_while_it_runs(void **state)
{
	struct roll *roll = open_roll();
	struct stat st;

	(void)state;
	keep_invite(roll, 1, FAR);
	assert_int_equal(stat(path, &st), 0);
	limit_files((rlim_t)st.st_size + 20);
	assert_int_equal(roll_write(roll, "told " KEY_A " 1"), -ENOSPC);
	limit_files(RLIM_INFINITY);
	assert_true(roll_is_stale(roll));
	assert_int_equal(roll_write(roll, "told " KEY_A " 2"), 0);
	roll_close(roll);
	roll = open_roll();
	assert_null(roll->unkept);
	assert_int_equal(roll->invite_count, 1);
	assert_int_equal(roll->mark_count, 0);
	roll_close(roll);
}

/* Hosts are known all the same, and the file stays what it was. */
static void test_a_full_disk_at_the_start(void **state)
{
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct roll *roll = open_roll();

	(void)state;
	keep_invite(roll, 1, FAR);
	keep_invite(roll, 2, 1000); /* over: what is written anew is shorter */
	keep_host(roll, &host);
	roll_close(roll);
	limit_files(10);
	roll = open_roll();
	limit_files(RLIM_INFINITY);
	assert_non_null(roll->unkept);
	assert_int_equal(roll->invite_count, 0);
	assert_non_null(roll_find_host(roll, host.key));
	roll_close(roll);
	roll = open_roll();
	assert_null(roll->unkept);
	assert_int_equal(roll->invite_count, 1);
	assert_int_equal(roll->host_count, 1);
	roll_close(roll);
}

static void test_what_is_over_is_forgotten(void **state)
{
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct roll_invite revoked = invite_of(2, FAR);
	char key[KEY_BASE64_LEN + 1];
	struct roll *roll = open_roll();

	(void)state;
	keep_invite(roll, 1, 1000);
	keep_invite(roll, 2, FAR);
	keep_host(roll, &host);
	secret_to_base64(key, revoked.key);
	assert_int_equal(roll_write(roll, "revoked %s; gone " KEY_A, key), 0);
	roll_close(roll);
	roll = open_roll();
	assert_int_equal(roll->invite_count, 0);
	assert_int_equal(roll->host_count, 0);
	roll_close(roll);
}

/* Of a journal that somebody spoiled no invitation is open, and nothing is written over. */
static void test_a_damaged_journal_opens_nothing(void **state)
{
	static const char *const lines[] = {
		"open sesame\n",
		"spent " KEY_A "\n",
		"spent " KEY_A " " KEY_B "\n",
		"host 1 " KEY_A " - 172.20.0.0/33 0 - -\n",
		"host 1 " KEY_A " - 172.20.0.0/24 0 nowhere -\n",
		"host 1 " KEY_A " - 172.20.0.0/24 0 - a/b\n",
		"host 1 " KEY_A "\n",
		"told " KEY_A " -1\n",
		"invite " KEY_A " " KEY_B " 1 172.20.0.0/16 15\n",
		"\n",
		"told " KEY_A " 1; \n",
		"told " KEY_A " 1; open sesame\n",
		"told " KEY_A " 1 #00000000\n",
	};
	char text[512];
	struct roll *roll;

	/* Without checksums, so that each is looked at for what it says. */
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(text, sizeof(text),
		               "ovltun journal 1\ninvite " KEY_C " " KEY_B " 99999999999 "
		               "172.20.0.0/16 24\n%s",
		               lines[i]);
		put_file(text, strlen(text));
		roll = open_roll();
		if (!roll->unkept || roll->invite_count)
			fail_msg("%s", lines[i]);
		assert_int_equal(roll_write(roll, "told " KEY_A " 1"), 0);
		roll_close(roll);
		roll = open_roll();
		assert_non_null(roll->unkept);
		roll_close(roll);
		(void)remove_folder(state);
		(void)make_folder(state);
	}
}

static void test_only_one_has_it(void **state)
{
	struct roll_invite invite = invite_of(1, FAR);
	struct roll *roll = open_roll(), *second;
	char key[KEY_BASE64_LEN + 1];

	(void)state;
	assert_null(roll->unkept);
	keep_invite(roll, 1, FAR);
	for (unsigned int i = 0; i < 2; i++) {
		second = open_roll();
		assert_non_null(second->unkept);
		roll_close(second);
		/* What a start would write anew is the first one's journal all the same. */
		assert_int_equal(roll_write(roll, "told " KEY_A " 1; told " KEY_A " 2"), 0);
	}
	secret_to_base64(key, invite.key);
	assert_int_equal(roll_write(roll, "spent %s " KEY_A, key), 0);
	roll_close(roll);
	roll = open_roll();
	assert_null(roll->unkept);
	assert_true(roll_find_invite(roll, invite.key)->spent);
	roll_close(roll);
}

static void test_without_wish_or_folder_it_is_in_memory(void **state)
{
	struct roll *roll = roll_open(folder, "peers", false);
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);

	(void)state;
	assert_non_null(roll->unkept);
	keep_host(roll, &host);
	roll_close(roll);
	assert_int_equal(access(path, F_OK), -1);
	roll = roll_open("/proc/no/such/folder", "peers", true);
	assert_non_null(roll->unkept);
	roll_close(roll);
}

static void test_both_have_an_end(void **state)
{
	struct roll *roll = open_roll();
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct roll_invite invite;

	(void)state;
	for (uint8_t i = 0; i < ROLL_INVITES_MAX; i++) {
		invite = invite_of(i, FAR);
		assert_non_null(roll_add_invite(roll, &invite));
	}
	assert_null(roll_add_invite(roll, &invite));
	roll_remove_invite(roll, &roll->invites[0]);
	assert_non_null(roll_add_invite(roll, &invite));
	for (uint32_t i = 0; i < ROLL_HOSTS_MAX; i++) {
		number_key(host.key, i);
		assert_non_null(roll_add_host(roll, &host));
	}
	assert_null(roll_add_host(roll, &host));
	roll_close(roll);
}

/* --- beside a file --- */

static void test_the_file_is_right(void **state)
{
	static const struct {
		const char *what;
		const char *file;
		bool in_force;
	} rows[] = {
		{ "goes with it", SUBNET PEER_B "AllowedIPs = 172.20.102.0/24\n", true },
		{ "the rest of the subnet is no host's",
		  SUBNET PEER_B "AllowedIPs = 172.20.0.0/16\n", true },
		{ "a range that is taken", SUBNET PEER_B "AllowedIPs = 172.20.104.0/24\n", false },
		{ "a part that is taken", SUBNET PEER_B "AllowedIPs = 172.20.104.8/32\n", false },
		{ "within another's", SUBNET PEER_B "AllowedIPs = 172.20.104.0/22\n", false },
		{ "this host's own",
		  HEAD "Subnet = 172.20.0.0/16\nRange = 172.20.104.0/23\n" PEER_B, false },
		{ "the rest of a subnet that only the bridge says",
		  HEAD "Range = 172.20.101.0/24\n" PEER_B "AllowedIPs = 172.20.0.0/16\n", true },
		{ "not all of one that only the bridge says",
		  HEAD "Range = 172.20.101.0/24\n" PEER_B "AllowedIPs = 172.20.104.0/22\n", false },
		{ "an endpoint behind the tunnel",
		  HEAD "Subnet = 172.20.0.0/16, 10.10.0.0/16\nRange = 172.20.101.0/24\n" PEER_B,
		  false },
	};
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct config *config;
	struct roll *roll;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		roll = roll_open(folder, "peers", false);
		assert_non_null(roll_add_host(roll, &host));
		config = parse(rows[i].file);
		assert_int_equal(roll_put_all(roll, config, true), 0);
		if ((peer_of(config, KEY_A) != NULL) != rows[i].in_force ||
		    roll->hosts[0].idle == rows[i].in_force)
			fail_msg("%s", rows[i].what);
		assert_non_null(peer_of(config, KEY_B));
		config_free(config);
		roll_close(roll);
	}
}

/* A configuration that was tried and not put in force changes nothing about who is in force. */
static void test_what_was_tried_is_taken_back(void **state)
{
	static const char conflict[] = SUBNET PEER_B "AllowedIPs = 172.20.104.8/32\n";
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct roll *roll = roll_open(folder, "peers", false);
	struct config *config;

	(void)state;
	assert_non_null(roll_add_host(roll, &host));
	for (unsigned int i = 0; i < 4; i++) {
		bool fits = i % 2;

		config = parse(fits ? SUBNET : conflict);
		assert_int_equal(roll_put_all(roll, config, false), 0);
		assert_int_equal(roll->hosts[0].idle, !fits);
		config_free(config);
		if (i == 1) {
			roll_take_back(roll);
			assert_true(roll->hosts[0].idle);
		}
	}
	roll_close(roll);
}

static void test_a_peer_of_the_file_stays_as_it_is(void **state)
{
	struct roll_host host = host_of(KEY_A, "172.20.104.0/24", 77);
	struct roll *roll = roll_open(folder, "peers", false);
	struct config *config = parse(SUBNET PEER_A "Name = mine\nAllowedIPs = 172.20.7.0/24\n");

	(void)state;
	assert_non_null(roll_add_host(roll, &host));
	assert_int_equal(roll_put_all(roll, config, true), 0);
	assert_int_equal(config->peer_count, 1);
	assert_string_equal(peer_of(config, KEY_A)->name, "mine");
	assert_int_equal(peer_of(config, KEY_A)->allowed_count, 1);
	config_free(config);
	roll_close(roll);
}

static void test_invitations_are_peers_of_an_introducer(void **state)
{
	struct roll_invite invite = invite_of(1, FAR);
	struct roll *roll = roll_open(folder, "peers", false);
	struct config *config = parse(SUBNET);
	const struct config_peer *peer;

	(void)state;
	assert_non_null(roll_add_invite(roll, &invite));
	assert_int_equal(roll_put_all(roll, config, true), 0);
	assert_int_equal(config->peer_count, 0);
	config_free(config);
	config = parse("[Interface]\nPrivateKey = " PRIVATE "\nIntroducer = yes\n" NETWORK);
	assert_int_equal(roll_put_all(roll, config, true), 0);
	peer = config_find_peer(config, invite.key);
	assert_non_null(peer);
	assert_true(peer->invited && !peer->introducer);
	assert_int_equal(peer->allowed_count, 0);
	assert_memory_equal(peer->psk, invite.psk, KEY_SIZE);
	config_free(config);
	roll_close(roll);
}

static void test_who_is_in_the_way_is_named(void **state)
{
	static const struct {
		const char *range, *why;
	} rows[] = {
		{ "172.20.102.0/24", "172.20.102.0/24 is peer bob's already" },
		{ "172.20.102.128/25",
		  "172.20.102.128/25 overlaps 172.20.102.0/24, which is peer bob's" },
		{ "172.20.100.0/22",
		  "172.20.100.0/22 overlaps 172.20.101.0/24, which is this host's own" },
		{ "172.20.107.0/24", "172.20.107.0/24 is host barge4's already" },
		{ "172.20.103.0/24", NULL },
	};
	struct roll_host member = host_of(KEY_A, "172.20.107.0/24", 77);
	struct roll *roll = roll_open(folder, "peers", false);
	struct config *config =
		parse(SUBNET PEER_B "Name = bob\nAllowedIPs = 172.20.102.0/24, 172.20.0.0/16\n");
	const struct roll_scene scene = { roll, config, NULL };
	struct roll_claim claim;
	char why[ROLL_CLAIM_TEXT];

	(void)state;
	member.vni = 7;
	assert_non_null(roll_add_host(roll, &member));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix range = prefix_of(rows[i].range);

		assert_int_equal(roll_find_claim(&scene, &range, &claim), rows[i].why != NULL);
		if (!rows[i].why)
			continue;
		roll_format_claim(&range, &claim, why);
		assert_string_equal(why, rows[i].why);
	}
	config_free(config);
	roll_close(roll);
}

/* What the bridge says is known while it is there: then a part of its Subnet is a claim. */
static void test_a_subnet_of_the_bridge(void **state)
{
	struct prefix subnet = prefix_of("172.20.0.0/16"), range = prefix_of("172.20.102.0/24");
	const struct config_subnets known = { &subnet, 1 };
	struct roll *roll = roll_open(folder, "peers", false);
	struct config *config =
		parse(HEAD "Range = 172.20.101.0/24\n" PEER_B "AllowedIPs = 172.20.0.0/16\n" PEER_A
	                   "AllowedIPs = 172.20.100.0/22\n");
	struct roll_scene scene = { roll, config, &known };
	struct roll_claims claims = { .count = 0 };
	struct roll_claim claim;

	(void)state;
	assert_true(roll_find_claim(&scene, &range, &claim));
	assert_int_equal(claim.prefix.len, 22);
	assert_int_equal(roll_list_claims(&scene, &subnet, &claims), 0);
	assert_int_equal(claims.count, 2); /* our own Range, and that one */
	free(claims.list);
	scene.subnets = NULL;
	assert_false(roll_find_claim(&scene, &range, &claim));
	config_free(config);
	roll_close(roll);
}

#define roll_test(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		roll_test(test_all_is_there_again),
		roll_test(test_half_a_line_was_not_said),
		roll_test(test_every_bit_matters),
		roll_test(test_a_journal_without_checksums_is_taken_over),
		roll_test(test_a_full_disk_while_it_runs),
		roll_test(test_a_full_disk_at_the_start),
		roll_test(test_what_is_over_is_forgotten),
		roll_test(test_a_damaged_journal_opens_nothing),
		roll_test(test_only_one_has_it),
		roll_test(test_without_wish_or_folder_it_is_in_memory),
		roll_test(test_both_have_an_end),
		roll_test(test_the_file_is_right),
		roll_test(test_what_was_tried_is_taken_back),
		roll_test(test_a_peer_of_the_file_stays_as_it_is),
		roll_test(test_invitations_are_peers_of_an_introducer),
		roll_test(test_who_is_in_the_way_is_named),
		roll_test(test_a_subnet_of_the_bridge),
	};

	/* A file that may not grow is an error then, as a full disk is. */
	if (secret_init() || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
