/* SPDX-License-Identifier: MIT */
/* The sockets' manners: what is whole is answered, who misbehaves is dropped, nothing blocks. */
#include "unit.h"

#include <cap-ng.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ctl/listener.h"

#define SECOND_NS 1000000000ULL

static char folder[] = "/tmp/test_listener.XXXXXX";
static char path[64];
static uint64_t now_ns = 1000 * SECOND_NS;
static unsigned int answered;

/* "big" is answered by a lot, "mute" by nothing but the end, anything else by itself. */
static bool answer(void *arg, char *request, size_t len, struct buffer *reply)
{
	assert_ptr_equal(arg, &answered);
	answered++;
	if (len == 5 && memcmp(request, "mute\n", 5) == 0)
		return false;
	if (len == 4 && memcmp(request, "big\n", 4) == 0) {
		for (size_t i = 0; i < 4096; i++)
			buffer_printf(reply, "%0255zu\n", i);
		return true;
	}
	return buffer_append(reply, request, len);
}

static void refuse(struct buffer *reply)
{
	buffer_append(reply, "too long\n", 9);
}

/* Tells what the passed pipe held, and holds the number of it; "mute" as above. */
static unsigned int held, gone_count;

static bool answer_passed(void *arg, const struct listener_passed *passed, struct buffer *reply,
                          void **hold)
{
	char text[64] = "";
	ssize_t n = read(passed->fd, text, sizeof(text) - 1);

	assert_ptr_equal(arg, &answered);
	assert_true(n > 0 && passed->client >= 0);
	close(passed->fd);
	*hold = &held;
	held++;
	return passed->len != 5 &&
	       buffer_printf(reply, "%.*s%s", (int)passed->len, passed->request, text);
}

static void gone(void *arg, void *hold)
{
	assert_ptr_equal(arg, &answered);
	assert_ptr_equal(hold, &held);
	held--;
	gone_count++;
}

static const struct listener_ops ops = {
	.end = "\n",
	.request_max = 64,
	.total_max = 4096,
	.reply_max = 4u << 20,
	.held_max = 4u << 20,
	.answer = answer,
	.answer_passed = answer_passed,
	.gone = gone,
	.refuse = refuse,
};

static struct listener *open_listener(void)
{
	struct listener *listener;

	assert_int_equal(listener_open(&listener, path, &ops, &answered), 0);
	return listener;
}

/* Rounds of the poll loop until nothing moves any more. */
static void turn(struct listener *listener)
{
	struct pollfd fds[LISTENER_FDS_MAX];
	unsigned int n;

	while (n = listener_poll_fds(listener, fds), poll(fds, n, 0) > 0)
		listener_dispatch(listener, fds, n, now_ns);
}

static int connect_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void expect(int fd, const char *wanted)
{
	char got[256];
	ssize_t n = recv(fd, got, sizeof(got), 0);

	assert_int_equal(n, strlen(wanted));
	assert_memory_equal(got, wanted, strlen(wanted));
}

static bool is_dropped(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) == 0;
}

static bool is_quiet(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 && errno == EAGAIN;
}

static void test_requests(void **state)
{
	struct listener *listener = open_listener();
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fd = connect_client();
	turn(listener);
	say(fd, "hel");
	turn(listener);
	assert_true(is_quiet(fd));
	say(fd, "lo\ntwo\nthr");
	turn(listener);
	expect(fd, "hello\ntwo\n");
	say(fd, "ee\n");
	turn(listener);
	expect(fd, "three\n");

	say(fd, "mute\nnever\n");
	turn(listener);
	assert_true(is_dropped(fd));
	close(fd);
	listener_close(listener);
	assert_int_equal(access(path, F_OK), -1);
}

static void test_too_long(void **state)
{
	struct listener *listener = open_listener();
	int fd = connect_client();

	(void)state;
	turn(listener);
	say(fd, "0123456789012345678901234567890123456789012345678901234567890123");
	turn(listener);
	say(fd, "4\n");
	turn(listener);
	expect(fd, "too long\n");
	assert_true(is_dropped(fd) || errno == ECONNRESET);
	close(fd);
	listener_close(listener);
}

static void test_slow(void **state)
{
	struct listener *listener = open_listener();
	int slow = connect_client(), half = connect_client(), idle = connect_client();
	static char piece[65536];
	size_t got = 0;
	ssize_t n;

	(void)state;
	turn(listener);
	say(slow, "big\nafter\n");
	say(half, "half a request");
	turn(listener);
	/* Who takes a little now and then is waited for; and the next request waits as well. */
	for (int i = 0; i < 3; i++) {
		now_ns += (LISTENER_REQUEST_S - 1) * SECOND_NS;
		/* What the kernel holds: it tells of room only when most of it was taken. */
		size_t before = got;

		while ((n = recv(slow, piece, sizeof(piece), 0)) > 0)
			got += (size_t)n;
		assert_true(got > before);
		turn(listener);
		listener_tick(listener, now_ns);
	}
	assert_true(is_dropped(half));
	assert_true(is_quiet(idle));
	while ((n = recv(slow, piece, sizeof(piece), 0)) > 0) {
		got += (size_t)n;
		turn(listener);
	}
	assert_int_equal(got, 4096 * 256 + strlen("after\n"));

	/* Who takes nothing is not. */
	say(slow, "big\n");
	turn(listener);
	now_ns += (LISTENER_REQUEST_S + 1) * SECOND_NS;
	listener_tick(listener, now_ns);
	while ((n = recv(slow, piece, sizeof(piece), 0)) > 0)
		;
	assert_int_equal(n, 0);
	assert_true(is_quiet(idle));
	now_ns += (LISTENER_IDLE_S + 1) * SECOND_NS;
	listener_tick(listener, now_ns);
	assert_true(is_dropped(idle));
	close(slow);
	close(half);
	close(idle);
	listener_close(listener);
}

/* More clients than places: the one that has been idle longest makes room, busy ones do not. */
static void test_many(void **state)
{
	struct listener *listener = open_listener();
	int fds[LISTENER_CLIENTS_MAX], more;

	(void)state;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		now_ns += SECOND_NS;
		turn(listener);
	}
	say(fds[0], "busy");
	turn(listener);
	more = connect_client();
	turn(listener);
	say(more, "hello\n");
	turn(listener);
	expect(more, "hello\n");
	assert_true(is_dropped(fds[1]));
	say(fds[0], "\n");
	turn(listener);
	expect(fds[0], "busy\n");
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		close(fds[i]);
	close(more);
	listener_close(listener);
}

/* All have just come, and may be about to ask: the next waits a little, and has its turn. */
static void test_rush(void **state)
{
	struct listener *listener = open_listener();
	int fds[LISTENER_CLIENTS_MAX], more;

	(void)state;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		turn(listener);
	}
	more = connect_client();
	say(more, "hello\n");
	turn(listener);
	assert_true(is_quiet(more));
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		assert_true(is_quiet(fds[i]));
	now_ns += SECOND_NS;
	listener_tick(listener, now_ns);
	turn(listener);
	expect(more, "hello\n");
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		close(fds[i]);
	close(more);
	listener_close(listener);
}

/* All places busy: the next waits, and has its turn. */
static void test_all_busy(void **state)
{
	struct listener *listener = open_listener();
	int fds[LISTENER_CLIENTS_MAX], more;

	(void)state;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		say(fds[i], "x");
		turn(listener);
	}
	more = connect_client();
	say(more, "hello\n");
	turn(listener);
	assert_true(is_quiet(more));
	close(fds[7]);
	turn(listener);
	expect(more, "hello\n");
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		if (i != 7)
			close(fds[i]);
	close(more);
	listener_close(listener);
}

/* No descriptor is left: the client waits, but nobody spins; it has its turn at a tick. */
static void test_starved(void **state)
{
	struct listener *listener;
	struct pollfd fds[LISTENER_FDS_MAX];
	struct rlimit limit, none;
	int fd, spare[LISTENER_FDS_MAX], used = 0, rounds = 0;
	unsigned int n;

	(void)state;
	if (UNIT_VALGRIND) {
		print_message("skipped: valgrind keeps the limit of files to itself\n");
		skip();
	}
	listener = open_listener();
	fd = connect_client();
	say(fd, "hello\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = LISTENER_FDS_MAX; /* poll(2) refuses to wait for more than that */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while ((spare[used] = dup(fd)) >= 0)
		used++;
	for (; n = listener_poll_fds(listener, fds), poll(fds, n, 0) > 0 && rounds < 5; rounds++)
		listener_dispatch(listener, fds, n, now_ns);
	assert_int_equal(rounds, 1);
	listener_tick(listener, now_ns);
	for (; n = listener_poll_fds(listener, fds), poll(fds, n, 0) > 0 && rounds < 5; rounds++)
		listener_dispatch(listener, fds, n, now_ns);
	assert_int_equal(rounds, 2);

	while (used)
		close(spare[--used]);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	turn(listener);
	assert_true(is_quiet(fd));
	listener_tick(listener, now_ns);
	turn(listener);
	expect(fd, "hello\n");
	close(fd);
	listener_close(listener);
}

/* A request, and @times a pipe that has "DATA" in it. The other end stays. */
static int say_passing_times(int fd, const char *text, size_t times)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(8 * sizeof(int))];
	} control = { .bytes = { 0 } };
	char copy[64];
	struct iovec iov = { .iov_base = copy, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = CMSG_SPACE(times * sizeof(int)) };
	int ends[2];

	strcpy(copy, text);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "DATA\n", 5), 5);
	*CMSG_FIRSTHDR(&msg) = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
		                                 .cmsg_type = SCM_RIGHTS,
		                                 .cmsg_len = CMSG_LEN(times * sizeof(int)) };
	for (size_t i = 0; i < times; i++)
		memcpy(control.bytes + CMSG_LEN(i * sizeof(int)), &ends[0], sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), strlen(text));
	close(ends[0]);
	return ends[1];
}

static int say_passing(int fd, const char *text)
{
	return say_passing_times(fd, text, 1);
}

/* Nobody but the test has the pipe any more. */
static void expect_closed(int end)
{
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(write(end, "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(end);
}

static void test_passing(void **state)
{
	struct listener *listener = open_listener();
	int fd = connect_client(), other = connect_client(), ends[4], fds[LISTENER_CLIENTS_MAX];

	(void)state;
	ends[0] = say_passing(fd, "hello\n");
	turn(listener);
	expect(fd, "hello\nDATA\n");
	expect_closed(ends[0]);
	assert_int_equal(held, 1);
	/* Who holds something may be silent for ever, and no rush of others takes its place. */
	now_ns += 2 * LISTENER_IDLE_S * SECOND_NS;
	listener_tick(listener, now_ns);
	assert_true(is_quiet(fd));
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		fds[i] = connect_client();
		turn(listener);
		now_ns += SECOND_NS;
	}
	assert_true(is_quiet(fd));
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		close(fds[i]);
	turn(listener);
	/* It gets answers as ever; a second descriptor is not taken. */
	ends[1] = say_passing(fd, "again\n");
	turn(listener);
	expect(fd, "again\n");
	expect_closed(ends[1]);
	assert_int_equal(gone_count, 0);
	close(fd);
	turn(listener);
	assert_int_equal(gone_count, 1);

	/* Dropped for its request, dropped in the middle of one, and at the end of all. */
	close(other);
	fd = connect_client();
	turn(listener);
	ends[2] = say_passing(fd, "drop\n");
	turn(listener);
	assert_true(is_dropped(fd));
	assert_int_equal(gone_count, 2);
	close(fd);
	fd = connect_client();
	turn(listener);
	ends[3] = say_passing(fd, "half");
	turn(listener);
	close(fd);
	turn(listener);
	expect_closed(ends[2]);
	expect_closed(ends[3]);
	fd = connect_client();
	turn(listener);
	close(say_passing(fd, "stays\n"));
	turn(listener);
	listener_close(listener);
	assert_int_equal(gone_count, 3);
	assert_int_equal(held, 0);
	close(fd);
}

/* However many come along: one is taken, and none stays. */
static void test_passing_several(void **state)
{
	struct listener *listener = open_listener();

	(void)state;
	for (size_t times = 2; times <= 8; times++) {
		int fd = connect_client(), end;

		turn(listener);
		end = say_passing_times(fd, "hello\n", times);
		turn(listener);
		expect(fd, "hello\nDATA\n");
		expect_closed(end);
		close(fd);
		turn(listener);
	}
	listener_close(listener);
}

/* Who asks a lot at once has it answered in the end, but others do not wait for that. */
static void test_turns(void **state)
{
	struct listener *listener = open_listener();
	int many = connect_client(), one = connect_client();
	static const char thirty[] = "1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\nc\nd\ne\nf\n"
				     "1\n2\n3\n4\n5\n6\n7\n8\n9\na\nb\nc\nd\ne\nf\n";
	struct pollfd fds[LISTENER_FDS_MAX];
	unsigned int n;

	(void)state;
	turn(listener);
	answered = 0;
	say(many, thirty);
	say(one, "one\n");
	n = listener_poll_fds(listener, fds);
	assert_int_equal(poll(fds, n, 0), 2);
	listener_dispatch(listener, fds, n, now_ns);
	assert_true(answered > 1 && answered < 10);
	expect(one, "one\n");
	turn(listener);
	assert_int_equal(answered, 31);
	expect(many, thirty);
	close(many);
	close(one);
	listener_close(listener);
}

/* Requests of all clients together have a bound too. */
static void test_total(void **state)
{
	struct listener_ops narrow = ops;
	struct listener *listener;
	int first, second;

	(void)state;
	narrow.total_max = 100;
	assert_int_equal(listener_open(&listener, path, &narrow, &answered), 0);
	first = connect_client();
	turn(listener);
	second = connect_client();
	turn(listener);
	say(first, "012345678901234567890123456789012345678901234567890123456789");
	say(second, "012345678901234567890123456789012345678901234567890123456789");
	turn(listener);
	assert_true(is_quiet(first));
	expect(second, "too long\n");
	say(first, "\n");
	turn(listener);
	expect(first, "012345678901234567890123456789012345678901234567890123456789\n");
	close(first);
	close(second);

	/* What was dropped does not count any more. */
	first = connect_client();
	turn(listener);
	say(first, "012345678901234567890123456789012345678901234567890123456789\n");
	turn(listener);
	expect(first, "012345678901234567890123456789012345678901234567890123456789\n");
	close(first);
	listener_close(listener);
}

#define BIG ((size_t)4096 * 256)

static size_t drain(struct listener *listener, int fd)
{
	static char piece[65536];
	size_t got = 0;
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0) {
		got += (size_t)n;
		turn(listener);
	}
	return got;
}

/* Replies that nobody takes have a bound: who asks then waits, and who is deaf gives way. */
static void test_held(void **state)
{
	struct listener_ops narrow = ops;
	struct listener *listener;
	int deaf, slow, third;
	unsigned int before = answered;

	(void)state;
	narrow.held_max = BIG + 1;
	assert_int_equal(listener_open(&listener, path, &narrow, &answered), 0);
	deaf = connect_client();
	turn(listener);
	slow = connect_client();
	turn(listener);
	third = connect_client();
	turn(listener);
	say(deaf, "big\n");
	say(slow, "big\n");
	turn(listener);
	assert_int_equal(answered - before, 2);
	say(third, "hello\n");
	turn(listener);
	listener_tick(listener, now_ns);
	assert_true(is_quiet(third));
	/* One that has been taken makes room. */
	assert_int_equal(drain(listener, slow), BIG);
	expect(third, "hello\n");

	say(slow, "big\n");
	turn(listener);
	say(third, "again\n");
	turn(listener);
	assert_true(is_quiet(third));
	now_ns += 2 * SECOND_NS;
	listener_tick(listener, now_ns);
	expect(third, "again\n");
	assert_true(drain(listener, deaf) < BIG && is_dropped(deaf));
	assert_int_equal(drain(listener, slow), BIG);
	close(deaf);
	close(slow);
	close(third);
	listener_close(listener);
}

static bool answer_long(void *arg, char *request, size_t len, struct buffer *reply)
{
	static char piece[65536];

	(void)arg;
	(void)request;
	(void)len;
	for (size_t i = 0; i < ops.reply_max / sizeof(piece); i++)
		buffer_append(reply, piece, sizeof(piece));
	return true;
}

/* It moves on all the time, and yet its time is over before it is done. */
static void test_drip(void **state)
{
	struct listener_ops lengthy = ops;
	struct listener *listener;
	static char piece[65536];
	uint64_t began_ns = now_ns;
	size_t got = 0;
	ssize_t n = 1;
	int drip;

	(void)state;
	lengthy.answer = answer_long;
	assert_int_equal(listener_open(&listener, path, &lengthy, &answered), 0);
	drip = connect_client();
	turn(listener);
	say(drip, "hello\n");
	turn(listener);
	while (now_ns - began_ns < LISTENER_REPLY_S * SECOND_NS) {
		now_ns += LISTENER_REQUEST_S / 3 * 2 * SECOND_NS;
		for (int i = 0; i < 3; i++) {
			n = recv(drip, piece, sizeof(piece), 0);
			assert_true(n > 0);
			got += (size_t)n;
		}
		turn(listener);
		listener_tick(listener, now_ns);
	}
	now_ns += SECOND_NS;
	listener_tick(listener, now_ns);
	got += drain(listener, drip);
	assert_true(got < ops.reply_max);
	assert_true(is_dropped(drip));
	close(drip);
	listener_close(listener);
}

static bool answer_too_much(void *arg, char *request, size_t len, struct buffer *reply)
{
	(void)arg;
	(void)request;
	(void)len;
	while (buffer_append(reply, "too much\n", 9))
		;
	return true;
}

static void no_reply(struct buffer *reply)
{
	buffer_append(reply, "no reply\n", 9);
}

/* For want of memory, or of room: it is said, and the client stays. */
static void test_no_reply(void **state)
{
	struct listener_ops narrow = ops;
	struct listener *listener;
	int fd;

	(void)state;
	narrow.answer = answer_too_much;
	narrow.no_reply = no_reply;
	assert_int_equal(listener_open(&listener, path, &narrow, &answered), 0);
	fd = connect_client();
	turn(listener);
	for (int i = 0; i < 2; i++) {
		say(fd, "hello\n");
		turn(listener);
		expect(fd, "no reply\n");
	}
	listener_close(listener);
	close(fd);
	narrow.no_reply = NULL;
	assert_int_equal(listener_open(&listener, path, &narrow, &answered), 0);
	fd = connect_client();
	turn(listener);
	say(fd, "hello\n");
	turn(listener);
	assert_true(is_dropped(fd));
	close(fd);
	listener_close(listener);
}

/* As in a container that may not give files away. */
static int open_without_chown(void)
{
	struct listener_ops shared = ops;
	struct listener *listener;
	struct stat st;

	shared.readers = "nogroup";
	shared.answer_reader = answer;
	if (capng_get_caps_process() < 0 ||
	    capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_CHOWN) < 0 ||
	    capng_apply(CAPNG_SELECT_CAPS) < 0)
		return 1;
	if (listener_open(&listener, path, &shared, &answered) || stat(path, &st))
		return 1;
	listener_close(listener);
	return (st.st_mode & 0777) == 0600 ? 0 : 1;
}

static void test_readers_who_cannot_be_let_in(void **state)
{
	pid_t pid;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(open_without_chown());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_path(void **state)
{
	struct listener *listener = open_listener(), *second = NULL;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int dead;
	FILE *file;

	(void)state;
	assert_int_equal(listener_open(&second, path, &ops, &answered), -EADDRINUSE);
	listener_close(listener);

	/* What a killed daemon leaves is replaced, and a file that is no socket is not. */
	dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	strcpy(address.sun_path, path);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);
	listener = open_listener();
	/* Someone else's by now: it stays when we go. */
	assert_int_equal(unlink(path), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	listener_close(listener);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(listener_open(&second, path, &ops, &answered), -ENOTSOCK);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	/* A link is not followed, wherever it points. */
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(listener_open(&second, path, &ops, &answered), -ENOTSOCK);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_slow),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_rush),
		cmocka_unit_test(test_all_busy),
		cmocka_unit_test(test_total),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_passing),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_passing_several),
		cmocka_unit_test(test_starved),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_drip),
		cmocka_unit_test(test_no_reply),
		cmocka_unit_test(test_readers_who_cannot_be_let_in),
	};
	int failed;

	if (!mkdtemp(folder))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/s", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	(void)rmdir(folder);
	return failed;
}
