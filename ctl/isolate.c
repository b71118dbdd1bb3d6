/* SPDX-License-Identifier: MIT */
/*
 * The lists of system calls are of what is used, by us and by the libraries, once daemon
 * and helper run; where an argument tells use from misuse, it is looked at:
 *
 *	openat, open   to read; of the helper also to read and write what is there (TAPs'
 *	               device): nothing is created or cut off
 *	socket         UDP; the daemon's TCP (questions to name servers), unix (who started
 *	               us is told how we are) and netlink's routing; nothing raw
 *	mmap, mprotect nothing becomes executable
 *	ioctl          of names of devices; the helper's of TAPs
 *	prlimit64, tgkill  of this process
 *	io_uring_register  letting go of a ring; none can be made
 *
 * What is not listed fails with EPERM rather than kill the process: a library that
 * tries a new call first and then an old one should not take the containers' network
 * down. Who is inside gains nothing by the difference.
 */
#include "ctl/isolate.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOWEST_PRIORITY 1 /* of the realtime ones */

/* ---- the user ---- */

#ifdef ISOLATE_INSTRUMENTED

int isolate_find_user(const char *name, struct isolate_user *user)
{
	(void)name;
	(void)user;
	return -EOPNOTSUPP;
}

#else

/* In a user namespace (a rootless container) few users and groups are there. */
static bool is_mapped(const char *map, unsigned long id)
{
	FILE *file = fopen(map, "re");
	unsigned long first, outside, count;
	bool mapped = !file;

	while (!mapped && fscanf(file, "%lu %lu %lu", &first, &outside, &count) == 3)
		mapped = id >= first && id - first < count;
	if (file)
		(void)fclose(file);
	return mapped;
}

/* And in one of a single user's they may not be changed at all. */
static bool may_set_groups(void)
{
	FILE *file = fopen("/proc/self/setgroups", "re");
	bool may = !file || fgetc(file) != 'd'; /* "deny" */

	if (file)
		(void)fclose(file);
	return may;
}

int isolate_find_user(const char *name, struct isolate_user *user)
{
	char names[16384];
	struct passwd entry, *found = NULL;

	if (getpwnam_r(name, &entry, names, sizeof(names), &found) || !found)
		return -ENOENT;
	if (capng_get_caps_process() < 0 || !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) ||
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) || !may_set_groups() ||
	    !is_mapped("/proc/self/uid_map", entry.pw_uid) ||
	    !is_mapped("/proc/self/gid_map", entry.pw_gid))
		return -EPERM;
	*user = (struct isolate_user){ .uid = entry.pw_uid, .gid = entry.pw_gid };
	return 0;
}

#endif

/* The capabilities stay permitted; the caller takes them away. */
static int become(const struct isolate_user *user)
{
	if (prctl(PR_SET_KEEPCAPS, 1UL, 0UL, 0UL, 0UL) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(user->gid, user->gid, user->gid) < 0 ||
	    setresuid(user->uid, user->uid, user->uid) < 0)
		return -errno;
	return 0;
}

/* ---- capabilities ---- */

/* A host that limits root as well has the capability kept instead: false. */
static bool raise_limits(unsigned int cap)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit;

	if (cap == CAP_IPC_LOCK)
		return setrlimit(RLIMIT_MEMLOCK, &all) == 0;
	if (getrlimit(RLIMIT_RTPRIO, &limit) < 0)
		return false;
	if (limit.rlim_max >= LOWEST_PRIORITY)
		return true;
	limit.rlim_max = LOWEST_PRIORITY;
	return setrlimit(RLIMIT_RTPRIO, &limit) == 0;
}

static const struct kept {
	enum isolate_role role;
	unsigned int cap;
	bool by_limit; /* a limit that is raised in advance serves as well */
} kept[] = {
	{ ISOLATE_HELPER, CAP_NET_ADMIN, false }, /* TAPs, links, routes, FDBs, marks, buffers */
	{ ISOLATE_HELPER, CAP_NET_BIND_SERVICE, false }, /* a ListenPort below 1024 */
	{ ISOLATE_DAEMON, CAP_SYS_NICE, true }, /* realtime priority of workers */
	{ ISOLATE_DAEMON, CAP_IPC_LOCK, true }, /* keys in locked memory, however many peers */
};
#define KEPT (sizeof(kept) / sizeof(kept[0]))

int isolate_drop_privileges(enum isolate_role role, const struct isolate_user *user)
{
	const capng_type_t types = (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	bool keeps[KEPT], bounds;
	int err;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; i < KEPT; i++)
		keeps[i] = kept[i].role == role &&
		           capng_have_capability(CAPNG_EFFECTIVE, kept[i].cap) &&
		           !(kept[i].by_limit && raise_limits(kept[i].cap));
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < KEPT; i++)
		if (keeps[i] && capng_update(CAPNG_ADD, types, kept[i].cap) < 0)
			return -EINVAL;
	/* The bounding set is about what is executed: no_new_privs covers it as well. */
	if (bounds && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return -EPERM;
	err = user ? become(user) : 0;
	if (err)
		return err;
	if (capng_apply(CAPNG_SELECT_CAPS) != 0)
		return -EPERM;
	/* A change of user sets it to what the host says. */
	return prctl(PR_SET_KEEPCAPS, 0UL, 0UL, 0UL, 0UL) < 0 ||
	                       prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) < 0
	               ? -errno
	               : 0;
}

int isolate_lock_memory(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 || capng_get_caps_process() < 0)
		return -errno;
	/* With less, later allocations would fail that could do without. */
	if (limit.rlim_cur != RLIM_INFINITY &&
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK))
		return -ENOMEM;
	return mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0 ? -errno : 0;
}

/* ---- system calls ---- */

#ifdef ISOLATE_INSTRUMENTED

int isolate_close_calls(enum isolate_role role)
{
	(void)role;
	return -EOPNOTSUPP;
}

#else

static const int calls_of_both[] = {
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	/* threads, signals */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	/* time, chance */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	/* files */
	SCMP_SYS(close),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(writev), /* the C library's last words, before it aborts */
	/* sockets */
	SCMP_SYS(bind),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
};

/* Sockets and the lock are removed in the end. */
static const int calls_of_helper[] = {
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
};

static const int calls_of_daemon[] = {
	/* memory */
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(munlock),
	/* threads */
	SCMP_SYS(membarrier),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_get_priority_max),
	SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(sched_yield),
	SCMP_SYS(wait4), /* for the helper */
	/* time, who we are */
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(nanosleep),
	SCMP_SYS(sysinfo),
	SCMP_SYS(time),
	SCMP_SYS(uname),
	/* files */
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(flock),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(stat),
	SCMP_SYS(statx),
	/* a restart: what is left to the next daemon, and that it is kept (handover.h) */
	SCMP_SYS(memfd_create),
	SCMP_SYS(pipe2),
	/* waiting */
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(io_uring_enter),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* sockets */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(getpeername),
	SCMP_SYS(listen),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(sendfile), /* libmicrohttpd's, to a client */
	SCMP_SYS(sendmmsg),
	SCMP_SYS(shutdown),
};

enum { OF_HELPER = 1 << ISOLATE_HELPER, OF_DAEMON = 1 << ISOLATE_DAEMON, OF_BOTH = 3 };

struct looked_at {
	unsigned int roles;
	int call;
	unsigned int count;
	struct scmp_arg_cmp args[2];
};

#define ARG(n, value)                                                           \
	{                                                                       \
		.arg = (n), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value) \
	}
#define ARG_BITS(n, bits, value)                                                       \
	{                                                                              \
		.arg = (n), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(bits), \
		.datum_b = (scmp_datum_t)(value)                                       \
	}
#define TYPE_BITS 0xf /* of a socket, without SOCK_NONBLOCK and SOCK_CLOEXEC */
#define MAKE_BITS (O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define INET(roles, family, type)                                    \
	{                                                            \
		roles, SCMP_SYS(socket), 2,                          \
		{                                                    \
			ARG(0, family), ARG_BITS(1, TYPE_BITS, type) \
		}                                                    \
	}
#define IOCTL(roles, request)              \
	{                                  \
		roles, SCMP_SYS(ioctl), 1, \
		{                          \
			ARG(1, request)    \
		}                          \
	}

static const struct looked_at looked_at[] = {
	{ OF_DAEMON, SCMP_SYS(open), 1, { ARG_BITS(1, MAKE_BITS | O_ACCMODE, O_RDONLY) } },
	{ OF_DAEMON, SCMP_SYS(openat), 1, { ARG_BITS(2, MAKE_BITS | O_ACCMODE, O_RDONLY) } },
	{ OF_HELPER, SCMP_SYS(open), 1, { ARG_BITS(1, MAKE_BITS | O_WRONLY, 0) } },
	{ OF_HELPER, SCMP_SYS(openat), 1, { ARG_BITS(2, MAKE_BITS | O_WRONLY, 0) } },
	{ OF_BOTH, SCMP_SYS(mmap), 1, { ARG_BITS(2, PROT_EXEC, 0) } },
	{ OF_BOTH, SCMP_SYS(mprotect), 1, { ARG_BITS(2, PROT_EXEC, 0) } },
	INET(OF_BOTH, AF_INET, SOCK_DGRAM),
	INET(OF_DAEMON, AF_INET, SOCK_STREAM),
	INET(OF_BOTH, AF_INET6, SOCK_DGRAM),
	INET(OF_DAEMON, AF_INET6, SOCK_STREAM),
	{ OF_DAEMON, SCMP_SYS(socket), 1, { ARG(0, AF_UNIX) } },
	{ OF_DAEMON, SCMP_SYS(socket), 2, { ARG(0, AF_NETLINK), ARG(2, NETLINK_ROUTE) } },
	IOCTL(OF_HELPER, TUNSETIFF),
	IOCTL(OF_HELPER, TUNGETIFF),
	IOCTL(OF_HELPER, TUNGETDEVNETNS),
	IOCTL(OF_HELPER, TUNSETOFFLOAD),
	IOCTL(OF_HELPER, TUNSETVNETHDRSZ),
	IOCTL(OF_BOTH, SIOCGIFINDEX),
	IOCTL(OF_DAEMON, SIOCGIFNAME),
	IOCTL(OF_DAEMON, TCGETS),
	{ OF_DAEMON, SCMP_SYS(io_uring_register), 1, { ARG(1, IORING_UNREGISTER_RING_FDS) } },
	{ OF_DAEMON, SCMP_SYS(prlimit64), 1, { ARG(0, 0) } },
};

/* A call that this processor's Linux has not is skipped. */
static int allow(scmp_filter_ctx filter, const struct looked_at *rule)
{
	int err =
		seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, rule->count, rule->args);

	return err == -EDOM ? 0 : err;
}

static int allow_plain(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct looked_at rule = { .call = calls[i] };

		err = allow(filter, &rule);
	}
	return err;
}

#define ALLOW_PLAIN(filter, calls) allow_plain(filter, calls, sizeof(calls) / sizeof((calls)[0]))

static int fill(scmp_filter_ctx filter, enum isolate_role role)
{
	const struct looked_at own_signal = { 0, SCMP_SYS(tgkill), 1, { ARG(0, getpid()) } };
	int err = allow(filter, &own_signal);

	if (!err)
		err = ALLOW_PLAIN(filter, calls_of_both);
	if (!err)
		err = role == ISOLATE_HELPER ? ALLOW_PLAIN(filter, calls_of_helper)
		                             : ALLOW_PLAIN(filter, calls_of_daemon);
	for (size_t i = 0; i < sizeof(looked_at) / sizeof(looked_at[0]) && !err; i++)
		if (looked_at[i].roles & 1U << role)
			err = allow(filter, &looked_at[i]);
	return err;
}

int isolate_close_calls(enum isolate_role role)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!filter)
		return -ENOMEM;
	err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A tree instead of a list: what a packet needs is found in seven steps. */
	if (!err)
		(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err)
		err = fill(filter, role);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err == -ECANCELED ? -errno : err;
}

#endif
