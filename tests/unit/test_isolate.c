/* SPDX-License-Identifier: MIT */
/*
 * What is left to who takes the daemon or its helper over: a child of the test's gives
 * its privileges up as they do, with a second thread that runs already, and then tries
 * things from both.
 */
#include "unit.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ctl/isolate.h"

/* Exit statuses of the child. */
#define GOOD          0
#define NOT_SUPPORTED 1
#define FAILED        2

static int write_file(void)
{
	return open("/tmp/test_isolate.made", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int cut_file(void)
{
	return open("/etc/hostname", O_RDWR | O_TRUNC | O_CLOEXEC);
}

static int nameless_file(void)
{
	return open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
}

static int make_folder(void)
{
	return mkdir("/tmp/test_isolate.folder", 0700);
}

static int move_file(void)
{
	return rename("/tmp/test_isolate.none", "/tmp/test_isolate.other");
}

static int change_mode(void)
{
	return chmod("/etc/hostname", 0666);
}

static int execute(void)
{
	char *const none[] = { NULL };

	return execve("/bin/sh", none, none);
}

static int execute_open(void)
{
	return (int)syscall(SYS_execveat, 0, "/bin/sh", NULL, NULL, 0);
}

static int fork_off(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int raw_socket(void)
{
	return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
}

static int packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static int netfilter_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
}

static int crypto_socket(void)
{
	return socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

static int load_module(void)
{
	return (int)syscall(SYS_init_module, NULL, 0, "");
}

static int load_open_module(void)
{
	return (int)syscall(SYS_finit_module, 0, "", 0);
}

static int load_program(void)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int trace_parent(void)
{
	return (int)ptrace(PTRACE_SEIZE, getppid(), NULL, NULL);
}

static int read_parent(void)
{
	return (int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static int kill_parent(void)
{
	return kill(getppid(), 0);
}

static int limit_parent(void)
{
	struct rlimit limit;

	return prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit);
}

static int make_ring(void)
{
	struct io_uring_params params;

	memset(&params, 0, sizeof(params));
	return (int)syscall(SYS_io_uring_setup, 1, &params);
}

static int register_with_ring(void)
{
	return (int)syscall(SYS_io_uring_register, 0, IORING_REGISTER_PERSONALITY, NULL, 0);
}

static int make_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	            0) == MAP_FAILED
	               ? -1
	               : 0;
}

static int turn_into_code(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int mount_something(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static int enter_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int change_user(void)
{
	return (int)syscall(SYS_setuid, 1);
}

static int steal_input(void)
{
	char byte = 'x';

	return ioctl(0, TIOCSTI, &byte);
}

static int open_for_change(void)
{
	return open("/etc/hostname", O_RDWR | O_CLOEXEC);
}

static int remove_file(void)
{
	return unlink("/tmp/test_isolate.none");
}

static int make_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	return ioctl(0, TUNSETIFF, &ifr);
}

static int mark_socket(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), mark = 7;

	return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
}

static int exceed_buffer_limit(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = 64 << 20;

	return setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
}

static int stream_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int route_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

static int unix_socket(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int unix_datagram_socket(void)
{
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int connect_socket(void)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	return connect(0, &none, sizeof(none));
}

static int take_client(void)
{
	return accept4(0, NULL, NULL, 0);
}

static int lock_memory(void)
{
	static char page[4096];

	return mlock(page, sizeof(page));
}

/* Each has to fail, by EPERM. */
static const struct attempt {
	const char *name;
	int (*try)(void);
} attempts_of_both[] = {
	{ "create a file", write_file },
	{ "cut a file off", cut_file },
	{ "make a nameless file", nameless_file },
	{ "make a folder", make_folder },
	{ "move a file", move_file },
	{ "change a file's mode", change_mode },
	{ "execute a program", execute },
	{ "execute an open program", execute_open },
	{ "fork", fork_off },
	{ "make a raw socket", raw_socket },
	{ "make a packet socket", packet_socket },
	{ "make a netfilter socket", netfilter_socket },
	{ "make a crypto socket", crypto_socket },
	{ "load a module", load_module },
	{ "load an open module", load_open_module },
	{ "load a BPF program", load_program },
	{ "trace another process", trace_parent },
	{ "read another process", read_parent },
	{ "signal another process", kill_parent },
	{ "look at another's limits", limit_parent },
	{ "make an io_uring", make_ring },
	{ "register with an io_uring", register_with_ring },
	{ "map memory to execute", make_code },
	{ "make memory executable", turn_into_code },
	{ "mount", mount_something },
	{ "enter a namespace", enter_namespace },
	{ "change the user", change_user },
	{ "put words into a terminal", steal_input },
};
static const struct attempt attempts_of_daemon[] = {
	{ "open a file to change it", open_for_change },
	{ "remove a file", remove_file },
	{ "make a TAP", make_tap },
	{ "mark what it sends", mark_socket },
	{ "take more memory for a socket than others", exceed_buffer_limit },
};
static const struct attempt attempts_of_helper[] = {
	{ "make a TCP socket", stream_socket },
	{ "make a netlink socket", route_socket },
	{ "make a unix socket", unix_socket },
	{ "make a unix socket for datagrams", unix_datagram_socket },
	{ "connect a socket", connect_socket },
	{ "take a client", take_client },
	{ "lock memory", lock_memory },
};

static enum isolate_role role;

static int try_list(const struct attempt *attempts, size_t count)
{
	int status = GOOD;

	for (size_t i = 0; i < count; i++) {
		errno = 0;
		if (attempts[i].try() >= 0 || errno != EPERM) {
			fprintf(stderr, "not refused: to %s (errno %d)\n", attempts[i].name, errno);
			status = FAILED;
		}
	}
	return status;
}

#define TRY(attempts) try_list(attempts, sizeof(attempts) / sizeof((attempts)[0]))

static int try_all(void)
{
	int status = role == ISOLATE_DAEMON ? TRY(attempts_of_daemon) : TRY(attempts_of_helper);

	return TRY(attempts_of_both) == GOOD ? status : FAILED;
}

static pthread_barrier_t runs;

/* A thread that ran before the calls were closed: it waits for a byte, then tries as well. */
static void *other_thread(void *arg)
{
	char byte;
	const int *from = arg;

	(void)pthread_barrier_wait(&runs);
	if (read(*from, &byte, 1) != 1)
		return (void *)1;
	return try_all() == GOOD ? NULL : (void *)1;
}

/* What they go on doing. */
static bool works(void)
{
	char text[64];
	int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC), udp;
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	errno = 0;
	return file >= 0 && read(file, text, sizeof(text)) > 0 && memory != MAP_FAILED &&
	       udp >= 0 && close(udp) == 0 && writev(-1, NULL, 0) < 0 && errno == EBADF;
}

static int confined(void)
{
	pthread_t other;
	int ends[2], err;
	void *other_failed;

	if (isolate_drop_privileges(role, NULL) || pipe(ends) < 0 ||
	    pthread_barrier_init(&runs, NULL, 2) ||
	    pthread_create(&other, NULL, other_thread, &ends[0]))
		return FAILED;
	(void)pthread_barrier_wait(&runs);
	err = isolate_close_calls(role);
	if (write(ends[1], "", 1) != 1 && !err)
		return FAILED;
	if (err == -EOPNOTSUPP)
		return NOT_SUPPORTED;
	if (err || !works() || try_all() != GOOD)
		return FAILED;
	return pthread_join(other, &other_failed) || other_failed ? FAILED : GOOD;
}

static int run_child(int (*child)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(child());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void refuses_all_else(void)
{
	int status = run_child(confined);

	if (status == NOT_SUPPORTED)
		skip();
	assert_int_equal(status, GOOD);
}

static void the_daemon_can_do_nothing_else(void **state)
{
	(void)state;
	role = ISOLATE_DAEMON;
	refuses_all_else();
}

static void the_helper_can_do_nothing_else(void **state)
{
	(void)state;
	role = ISOLATE_HELPER;
	refuses_all_else();
}

static bool is_kept(unsigned int cap, bool raises)
{
	if (role == ISOLATE_HELPER)
		return cap == CAP_NET_ADMIN || cap == CAP_NET_BIND_SERVICE;
	/* Where limits cannot be raised. */
	return !raises && (cap == CAP_SYS_NICE || cap == CAP_IPC_LOCK);
}

static int only_these_are_left(bool raises)
{
	if (capng_get_caps_process() < 0)
		return FAILED;
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!is_kept(cap, raises) && (capng_have_capability(CAPNG_EFFECTIVE, cap) ||
		                              capng_have_capability(CAPNG_PERMITTED, cap) ||
		                              capng_have_capability(CAPNG_INHERITABLE, cap)))
			return FAILED;
	return GOOD;
}

static int capabilities_left(void)
{
	bool raises = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_RESOURCE);

	return isolate_drop_privileges(role, NULL) ? FAILED : only_these_are_left(raises);
}

static void only_what_the_verbs_need_is_left(void **state)
{
	(void)state;
	role = ISOLATE_DAEMON;
	assert_int_equal(run_child(capabilities_left), GOOD);
	role = ISOLATE_HELPER;
	assert_int_equal(run_child(capabilities_left), GOOD);
}

/* "nobody" is on every host. */
static int another_user(void)
{
	bool raises = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_RESOURCE);
	struct isolate_user user;
	uid_t real, effective, saved;
	int err = isolate_find_user("nobody", &user);

	if (err == -EOPNOTSUPP || err == -EPERM)
		return NOT_SUPPORTED;
	if (err || isolate_drop_privileges(role, &user) || getresuid(&real, &effective, &saved))
		return FAILED;
	if (real != user.uid || effective != user.uid || saved != user.uid ||
	    getegid() != user.gid || getgroups(0, NULL) != 0 || setuid(0) == 0 ||
	    prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0)
		return FAILED;
	/* What is root's alone. */
	if (open("/etc/shadow", O_RDONLY | O_CLOEXEC) >= 0 || errno != EACCES)
		return FAILED;
	return only_these_are_left(raises);
}

static void it_is_another_user(void **state)
{
	struct isolate_user user;
	int status;

	(void)state;
	role = ISOLATE_DAEMON;
	status = run_child(another_user);
	if (status == NOT_SUPPORTED)
		skip();
	assert_int_equal(status, GOOD);
	assert_int_equal(isolate_find_user("nobody-of-that-name", &user), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_daemon_can_do_nothing_else),
		cmocka_unit_test(the_helper_can_do_nothing_else),
		cmocka_unit_test(only_what_the_verbs_need_is_left),
		cmocka_unit_test(it_is_another_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
