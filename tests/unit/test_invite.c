/* SPDX-License-Identifier: MIT */
/*
 * Who joins, as the introducer sees it: clocks that jump, restarts, disks that are full, and
 * many members. No worker runs: what would go to a peer is looked at where it lies for one.
 *
 *	test_invite [MEMBERS]	what a join costs, with so many of them
 */
#include "running.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include "crypto/secret.h"
#include "ctl/admit.h"
#include "ctl/introduce.h"
#include "ctl/invite.h"
#include "ctl/roll.h"
#include "ctl/token.h"

#define INTRODUCER "[Interface]\nPrivateKey = " PRIVATE "\nIntroducer = yes\n" NETWORK
#define ROUTED     INTRODUCER "Subnet = 10.0.0.0/8\nRange = 10.255.0.0/24\n"
#define SESSION    7

static char folder[64], path[96];
static uint64_t now_ns, wall_s;
static unsigned int members = 1000;

static uint64_t read_now(void *arg)
{
	(void)arg;
	return now_ns;
}

static uint64_t read_wall(void *arg)
{
	(void)arg;
	return wall_s * STATE_SECOND_NS;
}

static struct environment clocks;

static void open_roll(void)
{
	running.roll = roll_open(folder, "peers", true);
	assert_non_null(running.roll);
}

/* A file is read, as at a start or by a reload. */
static void put_in_force(const char *text)
{
	struct config *config = parse(text);

	assert_int_equal(roll_put_all(running.roll, config, false), 0);
	if (apply_config(&running, config, NULL, NULL, &apply_error))
		fail_msg("%s", apply_error.text);
}

static void restart(const char *text)
{
	roll_close(running.roll);
	open_roll();
	put_in_force(text);
}

static int start(void **state)
{
	struct timespec real;

	(void)state;
	/* The journal is written anew by the real clock. */
	clock_gettime(CLOCK_REALTIME, &real);
	wall_s = (uint64_t)real.tv_sec;
	now_ns = 1000 * STATE_SECOND_NS;
	clocks = environment_system;
	clocks.now_ns = read_now;
	clocks.wall_ns = read_wall;
	memset(&running, 0, sizeof(running));
	if (priv_open(&running.priv, NULL) || device_open(&running.device, &clocks) ||
	    netlink_open(&running.netlink, running_changed, NULL))
		return -1;
	priv_use_netlink(running.priv, running.netlink);
	running.path = "peers.conf";
	strcpy(folder, "/tmp/ovltun-invite-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/peers.journal", folder);
	open_roll();
	return 0;
}

static int end(void **state)
{
	(void)state;
	apply_end(&running);
	roll_close(running.roll);
	device_close(running.device);
	priv_close(running.priv);
	netlink_close(running.netlink);
	unlink(path);
	return rmdir(folder);
}

static json_t *ask_invite(const char *range, int bits)
{
	json_t *request = json_pack("{s:s, s:i, s:i, s:[s]}", "range", range, "bits", bits,
	                            "expires_s", 600, "endpoints", "192.0.2.1:12345");
	json_t *reply = invite_make(&running, request);

	json_decref(request);
	return reply;
}

/* Who has a token, and a key pair for the host that is to join. */
struct joiner {
	struct token token;
	struct token_keys keys;
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];
};

static void invite(struct joiner *joiner, const char *range, int bits)
{
	json_t *reply = ask_invite(range, bits);
	const char *token = json_string_value(json_object_get(reply, "token"));

	if (!token)
		fail_msg("%s", json_string_value(json_object_get(reply, "error")));
	assert_null(token_parse(&joiner->token, token));
	token_derive(&joiner->token, &joiner->keys);
	secret_generate_private(joiner->private_key);
	secret_derive_public(joiner->public_key, joiner->private_key);
	json_decref(reply);
}

static struct join_message answer;

/* NULL: there is no answer. */
static const struct join_message *ask(const struct joiner *joiner, const char *name,
                                      const uint8_t after[KEY_SIZE])
{
	static struct join_message message;
	const struct config_peer *invited =
		config_find_peer(running.config, joiner->keys.public_key);
	const struct post_share *share;

	if (!invited)
		return NULL;
	share = &running.peers[invited - running.config->peers].peer->post;
	memset(&message, 0, sizeof(message));
	message.type = WIRE_CONTROL_JOIN;
	message.host_count = 1;
	memcpy(message.hosts[0].key, joiner->public_key, KEY_SIZE);
	strcpy(message.hosts[0].name, name);
	strcpy(message.hosts[0].endpoint, "192.0.2.9:12345");
	memcpy(message.after, after, KEY_SIZE);
	assert_true(token_prove(message.proof, joiner->private_key, joiner->token.introducer,
	                        joiner->keys.public_key, joiner->token.introducer,
	                        joiner->public_key));
	now_ns += STATE_SECOND_NS;
	assert_int_equal(post_send(running.peers[invited - running.config->peers].peer, NULL, 0),
	                 0);
	admit_take(&running, joiner->keys.public_key, SESSION, &message);
	/* The list of peers is another one, if it came to be one more; the peer is the same. */
	if (!share->len)
		return NULL;
	assert_true(share->is_answer && share->session == SESSION);
	assert_true(join_parse(share->bytes, share->len, &answer));
	assert_true(join_answers(&answer, &message));
	return &answer;
}

static const struct join_message *ask_first(const struct joiner *joiner, const char *name)
{
	static const uint8_t first[KEY_SIZE];

	return ask(joiner, name, first);
}

static void expect_refusal(const struct joiner *joiner, const char *name, const char *why)
{
	const struct join_message *reply = ask_first(joiner, name);

	assert_non_null(reply);
	assert_true(reply->refused);
	if (!strstr(reply->text, why))
		fail_msg("\"%s\" has no \"%s\"", reply->text, why);
}

static void expect_welcome(const struct joiner *joiner, const char *name, const char *range)
{
	const struct join_message *reply = ask_first(joiner, name);
	char text[PREFIX_TEXT_MAX];

	assert_non_null(reply);
	if (reply->refused)
		fail_msg("%s", reply->text);
	prefix_format(&reply->hosts[0].prefixes[0], text);
	assert_string_equal(text, range);
}

/* --- clocks, restarts, disks --- */

static void test_the_clock_jumps(void **state)
{
	struct joiner early, late, back, after;
	uint64_t first;

	(void)state;
	put_in_force(ROUTED);
	invite(&early, "10.1.0.0/16", 24);
	invite(&late, "10.1.0.0/16", 24);
	expect_welcome(&early, "early", "10.1.0.0/24");
	first = running.roll->number;
	wall_s += 601;
	expect_refusal(&late, "late", "the token has expired");
	/* Back again it is good again: the introducer's clock alone is asked. */
	wall_s -= 3600;
	expect_welcome(&late, "late", "10.1.1.0/24");
	invite(&back, "10.1.0.0/16", 24);
	expect_welcome(&back, "back", "10.1.2.0/24");
	/* Members take in what has a greater number alone. */
	assert_true(running.roll->hosts[0].number == first);
	for (size_t i = 1; i < running.roll->host_count; i++)
		assert_true(running.roll->hosts[i].number > running.roll->hosts[i - 1].number);
	invite(&after, "10.1.0.0/16", 24);
	wall_s += 100000;
	invite_tick(&running);
	assert_null(ask_first(&after, "after"));
	assert_int_equal(running.roll->invite_count, 0);
	assert_int_equal(running.config->peer_count, 3);
}

static void test_a_restart_between_invite_and_join(void **state)
{
	struct joiner joiner, other;

	(void)state;
	put_in_force(ROUTED);
	invite(&joiner, "10.1.0.0/24", 24);
	other = joiner;
	secret_generate_private(other.private_key);
	secret_derive_public(other.public_key, other.private_key);
	restart(ROUTED);
	expect_welcome(&joiner, "barge4", "10.1.0.0/24");
	restart(ROUTED);
	expect_refusal(&other, "barge5", "the token has been used already");
	expect_welcome(&joiner, "barge4", "10.1.0.0/24"); /* its answer was lost */
}

static void limit_files(rlim_t size)
{
	const struct rlimit limit = { .rlim_cur = size, .rlim_max = RLIM_INFINITY };

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Nobody joins whose token could be used again after the next start. */
static void test_the_disk_is_full(void **state)
{
	struct joiner joiner;
	struct stat st;
	json_t *reply;

	(void)state;
	put_in_force(ROUTED);
	invite(&joiner, "10.1.0.0/24", 24);
	assert_int_equal(stat(path, &st), 0);
	limit_files((rlim_t)st.st_size + 90); /* "spent" would fit */
	expect_refusal(&joiner, "barge4", "cannot note on its disk");
	limit_files(RLIM_INFINITY);
	assert_int_equal(running.roll->host_count, 0);
	assert_int_equal(running.config->peer_count, 1);
	expect_refusal(&joiner, "barge4", "cannot note on its disk");
	reply = ask_invite("10.2.0.0/24", 24);
	assert_non_null(strstr(json_string_value(json_object_get(reply, "error")),
	                       "has to be kept on the disk"));
	json_decref(reply);
	restart(ROUTED);
	expect_welcome(&joiner, "barge4", "10.1.0.0/24");
}

/* --- two introducers --- */

static void say(struct join_message *message, uint64_t number, uint32_t key, const char *name)
{
	memset(message, 0, sizeof(*message));
	message->type = WIRE_CONTROL_INTRODUCE;
	message->number = number;
	message->host_count = 1;
	number_key(message->hosts[0].key, key);
	strcpy(message->hosts[0].name, name);
	message->hosts[0].prefix_count = 1;
	message->hosts[0].prefixes[0] = prefix_of("10.1.0.0/24");
}

/* Each gives the same range at once. A member has who it heard of first, and both tell whose it is. */
static void test_two_introducers_give_one_range(void **state)
{
	static struct join_message message;
	const struct roll_mark *mark;
	struct joiner joiner;

	(void)state;
	put_in_force(ROUTED PEER_A "Name = a\nAllowedIPs = 10.9.1.0/24\nIntroducer = yes\n" PEER_B
	                           "Name = b\nAllowedIPs = 10.9.2.0/24\nIntroducer = yes\n");
	say(&message, 1, 1, "of-a");
	introduce_take(&running, peer_of(running.config, KEY_A), &message);
	say(&message, 1, 2, "of-b");
	introduce_take(&running, peer_of(running.config, KEY_B), &message);
	mark = roll_find_mark(running.roll, peer_of(running.config, KEY_B)->public_key);
	assert_non_null(mark);
	assert_string_equal(mark->why_not, "10.1.0.0/24 is peer of-a's already");
	assert_int_equal(running.config->peer_count, 3);
	/* One whose range was given here is told apart in the same way. */
	invite(&joiner, "10.2.0.0/24", 24);
	expect_welcome(&joiner, "ours", "10.2.0.0/24");
	say(&message, 2, 3, "of-a-too");
	message.hosts[0].prefixes[0] = prefix_of("10.2.0.128/25");
	introduce_take(&running, peer_of(running.config, KEY_A), &message);
	mark = roll_find_mark(running.roll, peer_of(running.config, KEY_A)->public_key);
	assert_string_equal(mark->why_not,
	                    "10.2.0.128/25 overlaps 10.2.0.0/24, which is peer ours's");
}

/* --- limits --- */

/* Rather one clear line than a host that does not know of all. */
static void test_more_than_can_be_told(void **state)
{
	char text[2048] = ROUTED PEER_A "Name = a\nAllowedIPs = 10.9.0.0/24";
	struct joiner joiner;
	size_t len = strlen(text);
	json_t *reply;

	(void)state;
	for (unsigned int i = 1; i < JOIN_PREFIXES_MAX; i++)
		len += (size_t)sprintf(text + len, ", 10.9.%u.0/24", i);
	strcpy(text + len, ", 192.168.7.0/24\n"); /* which is of no network here */
	put_in_force(text);
	invite(&joiner, "10.1.0.0/24", 24);
	strcpy(text + len, ", 10.9.255.0/24\n");
	put_in_force(text);
	expect_refusal(&joiner, "barge4",
	               "peer a has 17 prefixes in network ovl0, and a host that joins can be told "
	               "of 16 of one peer");
	reply = ask_invite("10.2.0.0/24", 24);
	assert_non_null(strstr(json_string_value(json_object_get(reply, "error")),
	                       "peer a has 17 prefixes"));
	json_decref(reply);
	strcpy(text + len, "\n");
	put_in_force(text);
	expect_welcome(&joiner, "barge4", "10.1.0.0/24");
	assert_int_equal(answer.hosts[2].prefix_count, JOIN_PREFIXES_MAX);
}

/* --- many members --- */

static uint64_t spent_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void tell_cost(const char *what, uint64_t since_us)
{
	print_message("%u members: %s: %" PRIu64 " us\n", members, what, spent_us() - since_us);
}

/* Each has a 10.x.y.0/24, in no order, and the first that is free is behind them all. */
static char *make_members(void)
{
	size_t size = 256 + members * 160ul, len;
	char *text = malloc(size), base64[KEY_BASE64_LEN + 1];
	uint8_t key[KEY_SIZE];

	assert_non_null(text);
	len = (size_t)sprintf(text, ROUTED);
	for (unsigned int i = 0; i < members; i++) {
		unsigned int place = members - 1 - i;

		number_key(key, i);
		secret_to_base64(base64, key);
		len += (size_t)snprintf(text + len, size - len,
		                        "[Peer]\nName = m%u\nPublicKey = %s\nAllowedIPs = "
		                        "10.%u.%u.0/24\n",
		                        i, base64, place / 256, place % 256);
	}
	return text;
}

static size_t count_told(void)
{
	size_t count = 0;

	for (size_t i = 0; i < running.config->peer_count; i++)
		count += running.peers[i].told.tries > 0;
	return count;
}

static unsigned int read_pages(const struct joiner *joiner)
{
	uint8_t after[KEY_SIZE] = { 0 };
	unsigned int pages = 0, seen = 0;
	const struct join_message *page;

	do {
		page = ask(joiner, "barge4", after);
		assert_non_null(page);
		assert_false(page->refused);
		pages++;
		for (uint32_t i = 1; i < page->host_count; i++)
			seen += !page->hosts[i].introducer;
		if (page->host_count > 1)
			memcpy(after, page->hosts[page->host_count - 1].key, KEY_SIZE);
	} while (!page->end);
	assert_int_equal(seen, members);
	return pages;
}

static void answer_all(uint64_t number)
{
	static struct join_message message = { .type = WIRE_CONTROL_INTRODUCE_REPLY };

	message.number = number;
	for (size_t i = 0; i < running.config->peer_count; i++)
		if (!running.config->peers[i].invited)
			introduce_answered(&running, &running.config->peers[i], &message);
}

/* What a join costs grows with the members, not with their square, and comes in pieces. */
static void test_many_members(void **state)
{
	char *text = make_members(), range[32];
	unsigned int pages, ticks = 0;
	struct joiner joiner;
	uint64_t since;

	(void)state;
	put_in_force(text);
	free(text);
	since = spent_us();
	invite(&joiner, "10.0.0.0/8", 24);
	tell_cost("to invite", since);
	(void)snprintf(range, sizeof(range), "10.%u.%u.0/24", members / 256, members % 256);
	since = spent_us();
	expect_welcome(&joiner, "barge4", range);
	tell_cost("to take in", since);
	assert_int_equal(count_told(), INTRODUCE_AT_ONCE);
	since = spent_us();
	pages = read_pages(&joiner);
	tell_cost("all pages", since);
	print_message("%u members: %u pages\n", members, pages);
	assert_in_range(pages, members / JOIN_HOSTS_MAX, members / 10 + 2);

	/* Without an answer each is told in its turn, so many a second. */
	since = spent_us();
	for (; count_told() < members; ticks++)
		invite_tick(&running);
	tell_cost("to tell each of them once", since);
	assert_in_range(ticks, members / INTRODUCE_AT_ONCE - 1, members / INTRODUCE_AT_ONCE + 1);

	since = spent_us();
	answer_all(running.roll->number);
	tell_cost("all answers", since);
	for (size_t i = 0; i < running.roll->mark_count; i++)
		assert_int_equal(running.roll->marks[i].told, running.roll->number);
	since = spent_us();
	for (ticks = 0; ticks < 1 + members / 400; ticks++)
		invite_tick(&running);
	tell_cost("to write them down", since);
	roll_close(running.roll);
	open_roll();
	assert_int_equal(running.roll->mark_count, members + 1);
}

#define INVITE_TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		INVITE_TEST(test_the_clock_jumps),
		INVITE_TEST(test_a_restart_between_invite_and_join),
		INVITE_TEST(test_the_disk_is_full),
		INVITE_TEST(test_two_introducers_give_one_range),
		INVITE_TEST(test_more_than_can_be_told),
		INVITE_TEST(test_many_members),
	};

	if (argc > 1)
		members = (unsigned int)strtoul(argv[1], NULL, 10);
	/* A file that may not grow is an error then, as a full disk is. */
	if (secret_init() || aead_init() || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 1;
	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
