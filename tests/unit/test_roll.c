/* SPDX-License-Identifier: MIT */
/* What is remembered of invitations and introductions, also when the daemon ends in between. */
#include "config_files.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
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

static void append(const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
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
	assert_int_equal(roll_write(roll, "told " KEY_B " 77\nheard " KEY_C " 78"), 0);
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

/* A write that was cut off was never answered. */
static void test_half_a_line_was_not_said(void **state)
{
	struct roll_invite first = invite_of(1, FAR);
	char key[KEY_BASE64_LEN + 1], line[128];
	struct roll *roll = open_roll();

	(void)state;
	keep_invite(roll, 1, FAR);
	roll_close(roll);
	secret_to_base64(key, first.key);
	(void)snprintf(line, sizeof(line), "spent %s " KEY_A, key);
	append(line);
	roll = open_roll();
	assert_null(roll->unkept);
	assert_false(roll_find_invite(roll, first.key)->spent);
	roll_close(roll);
	append(line);
	append("\n");
	roll = open_roll();
	assert_true(roll_find_invite(roll, first.key)->spent);
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
	assert_int_equal(roll_write(roll, "revoked %s\ngone " KEY_A, key), 0);
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
	};
	struct roll *roll;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		roll = open_roll();
		keep_invite(roll, 1, FAR);
		roll_close(roll);
		append(lines[i]);
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
		assert_int_equal(roll_write(roll, "told " KEY_A " 1\ntold " KEY_A " 2"), 0);
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
	struct roll_claim claim;
	char why[ROLL_CLAIM_TEXT];

	(void)state;
	member.vni = 7;
	assert_non_null(roll_add_host(roll, &member));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix range = prefix_of(rows[i].range);

		assert_int_equal(roll_find_claim(roll, config, &range, &claim),
		                 rows[i].why != NULL);
		if (!rows[i].why)
			continue;
		roll_format_claim(&range, &claim, why);
		assert_string_equal(why, rows[i].why);
	}
	config_free(config);
	roll_close(roll);
}

#define roll_test(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		roll_test(test_all_is_there_again),
		roll_test(test_half_a_line_was_not_said),
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
	};

	if (secret_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
