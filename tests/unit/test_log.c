/* SPDX-License-Identifier: MIT */
/* Lines for a reader who has stopped: none is waited for, and how many are lost is said. */
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>
#include "ctl/log.h"

#define LINES   20000
#define FILLING "a line of some length, as they are when something is the matter"

#define LOST    " lines lost: nobody read them\n"

static char got[1 << 20];
static int real_stderr;

/* All that is there is put behind the first @len. A terminal hands it on a little later. */
static size_t drain(int fd, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	while (len < sizeof(got) - 1 && poll(&pfd, 1, 200) == 1) {
		ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);

		assert_true(n > 0);
		len += (size_t)n;
	}
	got[len] = '\0';
	return len;
}

static size_t count_lines(const char *line)
{
	size_t n = 0;

	for (const char *at = got; (at = strstr(at, line)); at += strlen(line))
		n++;
	return n;
}

/* @writer becomes standard error; @reader reads nothing, and then all. */
static void stop_reading(int writer, int reader, bool anew)
{
	size_t arrived, len, lost = 0;
	const char *told;

	(void)fflush(stderr);
	assert_int_equal(dup2(writer, STDERR_FILENO), STDERR_FILENO);
	int flags = fcntl(STDERR_FILENO, F_GETFL);

	if (anew)
		log_open();
	/* Waiting for ever ends the test here. */
	alarm(20);
	for (unsigned int i = 0; i < LINES; i++)
		log_line(FILLING);
	alarm(0);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL), flags);
	len = drain(reader, 0);
	log_line("back");
	log_line("again");
	log_close();
	assert_int_equal(dup2(real_stderr, STDERR_FILENO), STDERR_FILENO);
	(void)drain(reader, len);
	arrived = count_lines("ovltund: " FILLING "\n");
	assert_in_range(arrived, 10, LINES - 1);
	/* A terminal takes a line now and then on its own, so it may be told more than once. */
	for (told = got; (told = strstr(told, LOST)); told += strlen(LOST)) {
		const char *number = told;

		while (number[-1] != ' ')
			number--;
		lost += strtoul(number, NULL, 10);
	}
	assert_int_equal(arrived + lost, LINES);
	assert_non_null(strstr(got, LOST "ovltund: back\novltund: again\n"));
	close(writer);
	close(reader);
}

static void test_pipe(void **state)
{
	(void)state;
	for (int anew = 0; anew < 2; anew++) {
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		stop_reading(fds[1], fds[0], anew);
	}
}

static void test_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	stop_reading(fds[1], fds[0], true);
}

static void test_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios raw;

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	stop_reading(slave, master, true);
}

/* Escapes are not for a terminal, a line too long ends as a line. */
static void test_text(void **state)
{
	static char text[4096];
	int fds[2];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	log_line("a\033[31m\nb\x7f%s", "\t");
	log_plain("%s", text);
	assert_int_equal(dup2(real_stderr, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(drain(fds[0], 0), strlen("ovltund: a?[31m?b??\n") + 2047);
	assert_memory_equal(got, "ovltund: a?[31m?b??\nxxx", 23);
	assert_non_null(strstr(got, "xxx\n"));
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_socket),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_text),
	};

	real_stderr = dup(STDERR_FILENO);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
