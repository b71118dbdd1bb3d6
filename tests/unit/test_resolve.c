/* SPDX-License-Identifier: MIT */
/*
 * Against two name servers of the test's own, 127.0.0.1 and 127.0.0.2 in a network
 * namespace, with a resolv.conf of its own mounted over the machine's: so the
 * reading of that file is under test as well.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include "ctl/resolve.h"
#include "tests/unit/netns.h"

#define CONFIG "/etc/resolv.conf"
#define OURS   "/run/resolv.conf"

enum { TYPE_A = 1, TYPE_AAAA = 28 };
enum { CODE_OK = 0, CODE_SERVFAIL = 2, CODE_NXDOMAIN = 3, CODE_SILENT = 100, CODE_JUNK = 101 };

static const struct zone_row {
	const char *name;
	int code;
	const char *a, *aaaa; /* NULL: no record of that type */
} zone[] = {
	{ "v4.test", CODE_OK, "192.0.2.10", NULL },
	{ "v6.test", CODE_OK, NULL, "2001:db8::10" },
	{ "both.test", CODE_OK, "192.0.2.10", "2001:db8::10" },
	{ "mapped.test", CODE_OK, NULL, "::ffff:192.0.2.9" },
	{ "zero.test", CODE_OK, "0.0.0.0", "::" },
	{ "group.test", CODE_OK, "224.0.0.1", "ff02::1" },
	{ "empty.test", CODE_OK, NULL, NULL },
	{ "fail.test", CODE_SERVFAIL, NULL, NULL },
	{ "silent.test", CODE_SILENT, NULL, NULL },
	{ "junk.test", CODE_JUNK, NULL, NULL },
};

/* ---- a name server ---- */

struct server {
	int fd;
	const char *address;
	atomic_uint asked; /* questions had */
	pthread_t thread;
};

static struct server servers[] = { { .address = "127.0.0.1" }, { .address = "127.0.0.2" } };

/* The question's name as text. Returns the length of the question section, 0: nonsense. */
static size_t read_question(const uint8_t *msg, size_t len, char *name, size_t room)
{
	size_t at = 12, out = 0;

	while (at < len && msg[at]) {
		size_t label = msg[at++];

		if (at + label > len || out + label + 2 > room)
			return 0;
		memcpy(name + out, msg + at, label);
		out += label;
		name[out++] = '.';
		at += label;
	}
	name[out ? out - 1 : 0] = '\0';
	return at + 5 <= len ? at + 5 - 12 : 0;
}

/* One record for the question's name, by a pointer to it. Returns its length. */
static size_t write_record(uint8_t *out, int type, const char *text)
{
	const uint8_t head[] = { 0xc0, 12, 0, (uint8_t)type,          0, 1, 0, 0,
		                 0,    1,  0, type == TYPE_A ? 4 : 16 };

	memcpy(out, head, sizeof(head));
	assert_int_equal(inet_pton(type == TYPE_A ? AF_INET : AF_INET6, text, out + sizeof(head)),
	                 1);
	return sizeof(head) + head[11];
}

/* Turns the question in @msg into the answer. 0: none. */
static size_t answer(const struct server *server, uint8_t *msg, size_t len)
{
	static const struct zone_row unknown = { NULL, CODE_NXDOMAIN, NULL, NULL };
	const struct zone_row *row = &unknown;
	const char *text;
	char name[256];
	size_t question;
	int type;

	question = len > 12 ? read_question(msg, len, name, sizeof(name)) : 0;
	if (question == 0)
		return 0;
	type = msg[12 + question - 3];
	for (size_t i = 0; i < sizeof(zone) / sizeof(zone[0]); i++)
		if (strcasecmp(zone[i].name, name) == 0)
			row = &zone[i];
	if (row->code == CODE_SILENT)
		return 0;
	text = type == TYPE_A ? row->a : type == TYPE_AAAA ? row->aaaa : NULL;
	/* Which server was asked can be told from the answer. */
	if (text && strcmp(name, "v4.test") == 0 && server == &servers[1])
		text = "192.0.2.20";
	msg[2] = 0x84;
	msg[3] = (uint8_t)(0x80 | (row->code == CODE_JUNK ? CODE_OK : row->code));
	memset(msg + 6, 0, 6);
	len = 12 + question;
	if (row->code == CODE_JUNK) {
		msg[7] = 200;
		memset(msg + len, 0xc0, 40);
		return len + 40;
	}
	if (text) {
		msg[7] = 1;
		len += write_record(msg + len, type, text);
	}
	return len;
}

static void *serve(void *arg)
{
	struct server *server = arg;

	for (;;) {
		uint8_t msg[1500];
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t len = recvfrom(server->fd, msg, 512, 0, (struct sockaddr *)&from, &size);

		if (len <= 0) /* shut down */
			return NULL;
		atomic_fetch_add(&server->asked, 1);
		len = (ssize_t)answer(server, msg, (size_t)len);
		if (len > 0)
			(void)sendto(server->fd, msg, (size_t)len, 0, (struct sockaddr *)&from,
			             size);
	}
}

static int start_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(53) };

		inet_pton(AF_INET, servers[i].address, &at.sin_addr);
		servers[i].fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (bind(servers[i].fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
		    pthread_create(&servers[i].thread, NULL, serve, &servers[i]) != 0)
			return -1;
	}
	return 0;
}

static int stop_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		shutdown(servers[i].fd, SHUT_RDWR);
		pthread_join(servers[i].thread, NULL);
		close(servers[i].fd);
	}
	return 0;
}

/* ---- asking ---- */

static struct resolve *resolve;

struct result {
	unsigned int calls;
	int status;
	char text[ENDPOINT_TEXT_MAX]; /* empty: none */
};

static void done(void *arg, int status, const struct endpoint *endpoint)
{
	struct result *result = arg;

	result->calls++;
	result->status = status;
	result->text[0] = '\0';
	assert_int_equal(status == 0, endpoint != NULL);
	if (endpoint)
		endpoint_format(endpoint, result->text);
}

/* The contents of resolv.conf, written in place as dhclient(8) does. */
static void configure(const char *text)
{
	FILE *file = fopen(OURS, "w");

	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

/* Lives until @result has come or @wait_ms have passed. */
static void await(const struct result *result, unsigned int wait_ms)
{
	uint64_t end = netns_now_ns() + wait_ms * 1000000ULL;

	while (!result->calls && netns_now_ns() < end) {
		struct pollfd fds[16];
		int timeout = 200;
		unsigned int n = resolve_poll_fds(resolve, fds, 16, &timeout);

		assert_in_range(timeout, 0, 200);
		(void)poll(fds, n, timeout);
		resolve_dispatch(resolve, fds, n);
	}
}

static struct result ask(const char *host)
{
	struct result result = { .calls = 0 };

	resolve_request(resolve, host, 51820, done, &result);
	await(&result, NETNS_WAIT_MS);
	assert_int_equal(result.calls, 1);
	return result;
}

static int open_resolve(void **state)
{
	(void)state;
	configure("nameserver 127.0.0.1\n");
	return resolve_open(&resolve);
}

static int close_resolve(void **state)
{
	(void)state;
	resolve_close(resolve);
	return 0;
}

static void names_become_endpoints(void **state)
{
	(void)state;
	assert_string_equal(ask("v4.test").text, "192.0.2.10:51820");
	assert_string_equal(ask("v6.test").text, "[2001:db8::10]:51820");
	/* IPv4 in IPv6 clothes is IPv4. */
	assert_string_equal(ask("mapped.test").text, "192.0.2.9:51820");
}

static void the_reachable_family_comes_first(void **state)
{
	(void)state;
	/* RFC 6724, rule 1: only IPv4 has a source address here... */
	assert_true(netns_run("ip addr add 192.0.2.1/24 dev lo"));
	assert_string_equal(ask("both.test").text, "192.0.2.10:51820");
	/* ... now both, and IPv6 goes before. */
	assert_true(netns_run("ip addr add 2001:db8::1/64 dev lo nodad"));
	assert_string_equal(ask("both.test").text, "[2001:db8::10]:51820");
	assert_true(netns_run("ip addr flush dev lo to 2001:db8::/32"));
}

static void failures_have_their_errors(void **state)
{
	static const struct {
		const char *host;
		int status;
	} rows[] = {
		{ "none.test", -ENOENT },  { "empty.test", -ENOENT }, { "zero.test", -ENOENT },
		{ "group.test", -ENOENT }, { "..", -ENOENT },         { "fail.test", -EAGAIN },
		{ "junk.test", -EAGAIN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result result = ask(rows[i].host);

		if (result.status != rows[i].status)
			print_error("%s: %d\n", rows[i].host, result.status);
		assert_int_equal(result.status, rows[i].status);
	}
}

static void a_name_in_hosts_needs_no_server(void **state)
{
	struct result result;

	(void)state;
	configure("nameserver 127.0.0.9\n");
	result = ask("localhost");
	assert_int_equal(result.status, 0);
	assert_true(strcmp(result.text, "127.0.0.1:51820") == 0 ||
	            strcmp(result.text, "[::1]:51820") == 0);
}

/* As at boot: first no network, then one with a server of its own. */
static void a_changed_resolv_conf_is_honoured(void **state)
{
	(void)state;
	configure("nameserver 127.0.0.9\n");
	assert_int_equal(ask("v4.test").status, -EAGAIN);
	configure("");
	assert_string_equal(ask("v4.test").text, "192.0.2.10:51820"); /* 127.0.0.1 by default */
	configure("nameserver 127.0.0.2\n");
	assert_string_equal(ask("v4.test").text, "192.0.2.20:51820");
	configure("search test\nnameserver 127.0.0.1\n");
	assert_string_equal(ask("v4").text, "192.0.2.10:51820");
}

static void a_silent_server_is_given_up(void **state)
{
	struct result silent = { .calls = 0 };
	uint64_t start = netns_now_ns();
	unsigned int before = atomic_load(&servers[0].asked);

	(void)state;
	resolve_request(resolve, "silent.test", 1, done, &silent);
	/* Others do not wait for it, neither those asked by a newer configuration. */
	assert_string_equal(ask("v4.test").text, "192.0.2.10:51820");
	configure("nameserver 127.0.0.2\n");
	assert_string_equal(ask("v4.test").text, "192.0.2.20:51820");
	assert_int_equal(silent.calls, 0);
	await(&silent, 20000);
	assert_int_equal(silent.calls, 1);
	assert_int_equal(silent.status, -EAGAIN);
	assert_in_range((netns_now_ns() - start) / 1000000, 3000, 15000);
	/* Twice for each family, and the one that was answered. */
	assert_in_range(atomic_load(&servers[0].asked) - before, 4, 6);
}

static void closing_ends_requests_without_a_call(void **state)
{
	struct result silent[3] = { { .calls = 0 } };

	(void)state;
	for (size_t i = 0; i < 3; i++)
		resolve_request(resolve, "silent.test", 1, done, &silent[i]);
	configure("nameserver 127.0.0.2\n");
	resolve_request(resolve, "silent.test", 1, done, &silent[0]);
	resolve_close(resolve);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(silent[i].calls, 0);
	assert_int_equal(resolve_open(&resolve), 0);
}

struct again {
	struct result result;
	unsigned int left;
};

static void ask_again(void *arg, int status, const struct endpoint *endpoint)
{
	struct again *again = arg;

	if (again->left-- > 0)
		resolve_request(resolve, again->left % 2 ? "localhost" : "v4.test", 1, ask_again,
		                again);
	else
		done(&again->result, status, endpoint);
}

static void a_caller_may_ask_from_its_callback(void **state)
{
	struct again again = { .left = 20 };

	(void)state;
	resolve_request(resolve, "v4.test", 1, ask_again, &again);
	await(&again.result, NETNS_WAIT_MS);
	assert_int_equal(again.result.calls, 1);
	assert_int_equal(again.result.status, 0);
}

static void no_more_descriptors_than_room(void **state)
{
	struct result results[8] = { { .calls = 0 } };
	struct pollfd fds[2] = { { .fd = -2 }, { .fd = -2 } };
	int timeout = -1;

	(void)state;
	assert_int_equal(resolve_poll_fds(resolve, fds, 2, &timeout), 0);
	assert_int_equal(timeout, -1);
	for (size_t i = 0; i < 8; i++) {
		configure(i % 2 ? "nameserver 127.0.0.2\n" : "nameserver 127.0.0.1 \n");
		resolve_request(resolve, "silent.test", 1, done, &results[i]);
	}
	assert_int_equal(resolve_poll_fds(resolve, fds, 1, &timeout), 1);
	assert_int_equal(fds[1].fd, -2);
	assert_in_range(timeout, 1, 3100);
}

/* Mounts a file of ours over resolv.conf. False, and why on stdout: cannot. */
static bool mount_config(void)
{
	configure("nameserver 127.0.0.1\n");
	/* It may be a link into /run, which is another's now. */
	if (netns_run("f=$(readlink -m " CONFIG "); mkdir -p ${f%%/*}; [ -e $f ] || : >$f") &&
	    mount(OURS, CONFIG, "none", MS_BIND, NULL) == 0)
		return true;
	printf("skipped: cannot mount over " CONFIG ": %s\n", strerror(errno));
	return false;
}

int main(void)
{
#define RESOLVING(test) cmocka_unit_test_setup_teardown(test, open_resolve, close_resolve)
	const struct CMUnitTest tests[] = {
		RESOLVING(names_become_endpoints),
		RESOLVING(the_reachable_family_comes_first),
		RESOLVING(failures_have_their_errors),
		RESOLVING(a_name_in_hosts_needs_no_server),
		RESOLVING(a_changed_resolv_conf_is_honoured),
		RESOLVING(a_silent_server_is_given_up),
		RESOLVING(closing_ends_requests_without_a_call),
		RESOLVING(a_caller_may_ask_from_its_callback),
		RESOLVING(no_more_descriptors_than_room),
	};

	if (!netns_enter() || !mount_config())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
