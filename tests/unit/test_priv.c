/* SPDX-License-Identifier: MIT */
/* What a daemon that was taken over may ask of its helper: raw requests, good and bad. */
#include "unit.h"

#include "netns.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "ctl/helper.h"
#include "ctl/priv_wire.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

static const struct priv_files files = { .config = "/run/peers.conf",
	                                 .lock = "/run/peers.lock",
	                                 .control = "/run/peers.ctl",
	                                 .uapi = "/run/peers.sock" };
static int end = -1; /* ours, of the pair */
static pid_t helper;
static struct priv_reply reply;
static struct priv_fds got;

static int set_up(void **state)
{
	int ends[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	helper = fork();
	if (helper == 0)
		helper_run(ends[1], &files);
	close(ends[1]);
	end = ends[0];
	return helper < 0 ? -1 : 0;
}

/* It leaves of itself, and well. */
static int tear_down(void **state)
{
	int status = -1;

	(void)state;
	close(end);
	return waitpid(helper, &status, 0) == helper && WIFEXITED(status) &&
	                       WEXITSTATUS(status) == 0
	               ? 0
	               : -1;
}

/* The helper's verdict; what it gave is in @reply and @got. */
static int ask(const struct priv_request *request, const struct priv_fds *fds)
{
	assert_int_equal(priv_wire_send(end, request, sizeof(*request), fds), 0);
	assert_int_equal(priv_wire_receive(end, &reply, sizeof(reply), &got), 0);
	if (reply.error)
		assert_int_equal(got.count, 0);
	return reply.error;
}

static int ask_with(uint32_t verb, int fd)
{
	const struct priv_request request = { .verb = verb, .fwmark = 7 };
	const struct priv_fds fds = { .fd = { fd }, .count = 1 };

	return ask(&request, &fds);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_what_is_no_request_ends_it(void **state)
{
	const struct priv_request request = { .verb = PRIV_FORGET_TAP };

	(void)state;
	assert_int_equal(priv_wire_send(end, &request, sizeof(request) - 1, NULL), 0);
	assert_int_equal(priv_wire_receive(end, &reply, sizeof(reply), &got), -EPIPE);
}

static void test_signals_do_not_end_it(void **state)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR2 };
	const struct priv_request request = { .verb = PRIV_FORGET_TAP };

	(void)state;
	assert_int_equal(ask(&request, NULL), 0); /* it has begun */
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(kill(helper, signals[i]), 0);
	assert_int_equal(ask(&request, NULL), 0);
}

static void test_bounds(void **state)
{
	static const uint32_t counts[] = { 0, TAP_QUEUES_MAX + 1, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const struct priv_request tap = { .verb = PRIV_MAKE_TAP,
			                          .count = counts[i],
			                          .name = "ovt-x" };
		const struct priv_request udp = { .verb = PRIV_OPEN_UDP, .count = counts[i] };

		assert_int_equal(ask(&tap, NULL), -EINVAL);
		assert_int_equal(ask(&udp, NULL), -EINVAL);
	}
	for (uint32_t verb = PRIV_VERBS; verb < PRIV_VERBS + 3; verb++) {
		const struct priv_request unknown = { .verb = verb };

		assert_int_equal(ask(&unknown, NULL), -ENOSYS);
	}
	struct priv_request endless = { .verb = PRIV_MAKE_TAP, .count = 1 };

	memset(endless.name, 'o', sizeof(endless.name));
	assert_int_equal(ask(&endless, NULL), -EINVAL);
	endless.verb = PRIV_READ_KEY;
	memset(endless.path, '/', sizeof(endless.path));
	assert_int_equal(ask(&endless, NULL), -EPERM);
}

static void test_sockets_of_other_kinds_are_refused(void **state)
{
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	int mark = 0;
	socklen_t size = sizeof(mark);

	(void)state;
	assert_int_equal(ask_with(PRIV_SET_FWMARK, tcp), -EPERM);
	assert_int_equal(ask_with(PRIV_SET_FWMARK, netlink), -EPERM);
	assert_int_equal(ask_with(PRIV_SET_FWMARK, 0), -EPERM);
	assert_int_equal(ask_with(PRIV_SET_FWMARK, udp), 0);
	assert_int_equal(getsockopt(udp, SOL_SOCKET, SO_MARK, &mark, &size), 0);
	assert_int_equal(mark, 7);
	assert_int_equal(ask_with(PRIV_WIDEN, udp), -EPERM);
	assert_int_equal(ask_with(PRIV_WIDEN, netlink), 0);
	assert_int_equal(ask_with(PRIV_ADOPT_TAP, udp), -EPERM);
	assert_int_equal(ask_with(PRIV_ADOPT_TAP, 0), -EPERM);
	assert_int_equal(ask_with(PRIV_FORGET_TAP, udp), -EINVAL);
	close(tcp);
	close(udp);
	close(netlink);
}

/* Makes the TAP in @netns (0: this one) for the caller. */
static struct priv_fds make_tap(int netns)
{
	struct priv_fds taken;
	struct tap tap;
	pid_t child;
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	child = fork();
	if (child == 0) {
		const struct priv_request made = { .verb = 0 };

		if ((netns && unshare(netns) < 0) || tap_open(&tap, "ovt-other", 1) ||
		    priv_wire_send(ends[1], &made, 1,
		                   &(struct priv_fds){ .fd = { tap.fds[0] }, .count = 1 }))
			_exit(1);
		_exit(0);
	}
	close(ends[1]);
	assert_int_equal(priv_wire_receive(ends[0], &(char){ 0 }, 1, &taken), 0);
	close(ends[0]);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(taken.count, 1);
	return taken;
}

/* Of two TAPs of one name the one in another namespace is not the key to this one's. */
static void test_taps_of_elsewhere_are_refused(void **state)
{
	struct priv_fds here = make_tap(0), there = make_tap(CLONE_NEWNET);

	(void)state;
	assert_int_equal(ask_with(PRIV_ADOPT_TAP, there.fd[0]), -EPERM);
	assert_int_equal(ask_with(PRIV_ADOPT_TAP, here.fd[0]), 0);
	assert_int_equal(reply.index, if_nametoindex("ovt-other"));
	priv_wire_close(&here);
	priv_wire_close(&there);
}

/* Root's descriptors on their way have a limit, of all of root's processes together. */
static void test_it_outlives_a_shortage(void **state)
{
	const struct rlimit few = { 16, 16 };
	const struct priv_request udp = { .verb = PRIV_OPEN_UDP, .count = 1 };
	struct priv_fds zero = { .count = 1 };
	int ends[2];

	(void)state;
	assert_int_equal(ask(&udp, NULL), 0);
	priv_wire_close(&got);
	assert_int_equal(prlimit(helper, RLIMIT_NOFILE, &few, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (int i = 0; i < 32; i++)
		assert_int_equal(priv_wire_send(ends[0], "", 1, &zero), 0);
	assert_int_equal(ask(&udp, NULL), -ETOOMANYREFS);
	close(ends[0]);
	close(ends[1]);
	/* Who counts them is in no hurry. */
	while (ask(&udp, NULL) == -ETOOMANYREFS)
		sched_yield();
	assert_int_equal(reply.error, 0);
	priv_wire_close(&got);
}

static int read_key(const char *path)
{
	struct priv_request request = { .verb = PRIV_READ_KEY };

	strcpy(request.path, path);
	return ask(&request, NULL);
}

#define CONFIG                                                                                  \
	"[Interface]\n  privatekeyfile = key # and why\n# PrivateKeyFile = commented\n[Peer]\n" \
	"PresharedKeyFile=/run\nPresharedKeyFile = none\nPresharedKeyFile = /run/device"

static void test_of_files_it_tells_keys_alone(void **state)
{
	const struct priv_request config = { .verb = PRIV_OPEN_CONFIG };
	char text[8];

	(void)state;
	/* None is named yet, so nobody is told which there are. */
	write_file("/run/key", KEY "\n", 0600);
	write_file("/run/other", KEY "\n", 0600);
	assert_int_equal(read_key("/run/key"), -EPERM);
	assert_int_equal(read_key("/run/none"), -EPERM);
	assert_int_equal(ask(&config, NULL), -ENOENT);
	assert_int_equal(mkfifo(files.config, 0600), 0);
	assert_int_equal(ask(&config, NULL), 0);
	priv_wire_close(&got);
	assert_int_equal(read_key("/run/key"), -EPERM);
	assert_int_equal(unlink(files.config), 0);
	write_file(files.config, CONFIG, 0600);
	assert_int_equal(ask(&config, NULL), 0);
	assert_int_equal(got.count, 1);
	assert_int_equal(read(got.fd[0], text, sizeof(text)), sizeof(text));
	assert_memory_equal(text, CONFIG, sizeof(text));
	assert_int_equal(write(got.fd[0], text, 4), -1);
	priv_wire_close(&got);
	assert_int_equal(read_key("/run/other"), -EPERM);
	assert_int_equal(read_key("key"), -EPERM);
	assert_int_equal(read_key("/run/commented"), -EPERM);

	assert_int_equal(read_key("/run/key"), 0);
	assert_int_equal(reply.key[31], 31);
	assert_int_equal(got.count, 0);
	write_file("/run/key", KEY "\n", 0640);
	assert_int_equal(read_key("/run/key"), -EKEYREJECTED);
	write_file("/run/key", KEY "\nmore", 0600);
	assert_int_equal(read_key("/run/key"), -EBADMSG);
	for (size_t i = 0; i < sizeof(reply.key); i++)
		assert_int_equal(reply.key[i], 0);
	assert_int_equal(read_key("/run"), -EISDIR);
	assert_int_equal(read_key("/run/none"), -ENOENT);
	/* A device that was opened would say so: it has no driver. */
	assert_int_equal(mknod("/run/device", S_IFCHR | 0600, makedev(240, 7)), 0);
	assert_int_equal(read_key("/run/device"), -EISDIR);
	/* As the file is when it is opened. */
	write_file(files.config, "", 0600);
	assert_int_equal(ask(&config, NULL), 0);
	priv_wire_close(&got);
	assert_int_equal(read_key("/run/key"), -EPERM);
}

static void test_end_removes_what_nobody_uses(void **state)
{
	const struct priv_request request = { .verb = PRIV_END };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int alive = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	write_file(files.lock, "", 0600);
	strcpy(address.sun_path, files.control);
	assert_int_equal(bind(alive, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(alive, 1), 0);
	strcpy(address.sun_path, files.uapi);
	assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof(address)), 0);
	close(dead);
	assert_int_equal(ask(&request, NULL), 0);
	assert_int_equal(access(files.lock, F_OK), -1);
	assert_int_equal(access(files.uapi, F_OK), -1);
	assert_int_equal(access(files.control, F_OK), 0);
	close(alive);
	assert_int_equal(unlink(files.control), 0);
}

/* Whatever comes: one answer each, and no link changed but its own. */
static void test_noise(void **state)
{
	struct priv_request request;
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		unsigned char *bytes = (unsigned char *)&request;

		memset(&request, 0, sizeof(request));
		for (size_t k = 0; k < offsetof(struct priv_request, path); k++)
			bytes[k] = (unsigned char)rand_r(&seed);
		memset(request.path, 'x', sizeof(request.path));
		request.verb %= PRIV_VERBS;
		/* Small numbers mean something. */
		if (i % 2) {
			request.tap %= 4;
			request.bridge %= 4;
			request.count %= 3;
		}
		(void)ask(&request, NULL);
		priv_wire_close(&got);
	}
	assert_true(netns_prints("ip -o link show lo", "LOOPBACK,UP"));
	assert_false(netns_prints("ip route", "dev lo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_no_request_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_signals_do_not_end_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sockets_of_other_kinds_are_refused, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_taps_of_elsewhere_are_refused, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_it_outlives_a_shortage, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_of_files_it_tells_keys_alone, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_end_removes_what_nobody_uses, set_up,
		                                tear_down),
		cmocka_unit_test_setup_teardown(test_noise, set_up, tear_down),
	};

	if (!netns_enter())
		return NETNS_SKIP;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
