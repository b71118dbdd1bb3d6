/* SPDX-License-Identifier: MIT */
/*
 * The list of system calls is of what is used, by us and by the libraries, once the
 * daemon runs; where an argument tells use from misuse, it is looked at:
 *
 *	openat, open   to read, or the TAP device: nothing is created or cut off
 *	socket         UDP and TCP (questions to name servers), unix (who started us is
 *	               told how we are), netlink's routing; nothing raw
 *	mmap, mprotect nothing becomes executable
 *	ioctl          of TAPs, and of names of devices
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
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOWEST_PRIORITY 1 /* of the realtime ones */

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
	unsigned int cap;
	bool by_limit; /* a limit that is raised in advance serves as well */
} kept[] = {
	{ CAP_NET_ADMIN, false }, /* TAPs, links, routes, FDBs, firewall marks, buffers */
	{ CAP_NET_BIND_SERVICE, false }, /* a ListenPort below 1024, also of a later reload */
	{ CAP_SYS_NICE, true }, /* realtime priority of workers */
	{ CAP_IPC_LOCK, true }, /* keys in locked memory, as many as peers come to be */
};

int isolate_drop_capabilities(void)
{
	const capng_type_t types = (capng_type_t)(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
	bool keeps[sizeof(kept) / sizeof(kept[0])], bounds;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		keeps[i] = capng_have_capability(CAPNG_EFFECTIVE, kept[i].cap) &&
		           !(kept[i].by_limit && raise_limits(kept[i].cap));
	bounds = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (keeps[i] && capng_update(CAPNG_ADD, types, kept[i].cap) < 0)
			return -EINVAL;
	/* The bounding set is about what is executed: no_new_privs covers it as well. */
	if (bounds && capng_apply(CAPNG_SELECT_BOUNDS) != 0)
		return -EPERM;
	return capng_apply(CAPNG_SELECT_CAPS) != 0 ? -EPERM : 0;
}

/* ---- system calls ---- */

#ifdef ISOLATE_INSTRUMENTED

int isolate_close_calls(void)
{
	return -EOPNOTSUPP;
}

#else

static const int plain_calls[] = {
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(mremap),
	SCMP_SYS(munlock),
	SCMP_SYS(munmap),
	/* threads, signals */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(membarrier),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_get_priority_max),
	SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(sched_yield),
	/* time, chance, who we are */
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getrandom),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getuid),
	SCMP_SYS(nanosleep),
	SCMP_SYS(sysinfo),
	SCMP_SYS(time),
	SCMP_SYS(uname),
	/* files: sockets and the lock are removed in the end */
	SCMP_SYS(access),
	SCMP_SYS(close),
	SCMP_SYS(faccessat),
	SCMP_SYS(fcntl),
	SCMP_SYS(flock),
	SCMP_SYS(fstat),
	SCMP_SYS(getcwd),
	SCMP_SYS(getdents64),
	SCMP_SYS(lseek),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(pread64),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(stat),
	SCMP_SYS(statx),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(write),
	SCMP_SYS(writev),
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
	SCMP_SYS(bind),
	SCMP_SYS(connect),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(listen),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendfile), /* libmicrohttpd's, to a client */
	SCMP_SYS(sendmmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
};

struct looked_at {
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
#define TYPE_BITS  0xf /* of a socket, without SOCK_NONBLOCK and SOCK_CLOEXEC */
#define WRITE_BITS (O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define INET(family, type)                                           \
	{                                                            \
		SCMP_SYS(socket), 2,                                 \
		{                                                    \
			ARG(0, family), ARG_BITS(1, TYPE_BITS, type) \
		}                                                    \
	}
#define IOCTL(request)                  \
	{                               \
		SCMP_SYS(ioctl), 1,     \
		{                       \
			ARG(1, request) \
		}                       \
	}

static const struct looked_at looked_at[] = {
	{ SCMP_SYS(open), 1, { ARG_BITS(1, WRITE_BITS, 0) } },
	{ SCMP_SYS(openat), 1, { ARG_BITS(2, WRITE_BITS, 0) } },
	{ SCMP_SYS(mmap), 1, { ARG_BITS(2, PROT_EXEC, 0) } },
	{ SCMP_SYS(mprotect), 1, { ARG_BITS(2, PROT_EXEC, 0) } },
	INET(AF_INET, SOCK_DGRAM),
	INET(AF_INET, SOCK_STREAM),
	INET(AF_INET6, SOCK_DGRAM),
	INET(AF_INET6, SOCK_STREAM),
	{ SCMP_SYS(socket), 1, { ARG(0, AF_UNIX) } },
	{ SCMP_SYS(socket), 2, { ARG(0, AF_NETLINK), ARG(2, NETLINK_ROUTE) } },
	IOCTL(TUNSETIFF),
	IOCTL(TUNGETIFF),
	IOCTL(TUNSETOFFLOAD),
	IOCTL(TUNSETVNETHDRSZ),
	IOCTL(SIOCGIFINDEX),
	IOCTL(SIOCGIFNAME),
	IOCTL(TCGETS),
	{ SCMP_SYS(io_uring_register), 1, { ARG(1, IORING_UNREGISTER_RING_FDS) } },
	{ SCMP_SYS(prlimit64), 1, { ARG(0, 0) } },
};

/* A call that this processor's Linux has not is skipped. */
static int allow(scmp_filter_ctx filter, const struct looked_at *rule)
{
	int err =
		seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rule->call, rule->count, rule->args);

	return err == -EDOM ? 0 : err;
}

static int fill(scmp_filter_ctx filter)
{
	const struct looked_at own_signal = { SCMP_SYS(tgkill), 1, { ARG(0, getpid()) } };
	int err = allow(filter, &own_signal);

	for (size_t i = 0; i < sizeof(plain_calls) / sizeof(plain_calls[0]) && !err; i++) {
		const struct looked_at rule = { .call = plain_calls[i] };

		err = allow(filter, &rule);
	}
	for (size_t i = 0; i < sizeof(looked_at) / sizeof(looked_at[0]) && !err; i++)
		err = allow(filter, &looked_at[i]);
	return err;
}

int isolate_close_calls(void)
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
		err = fill(filter);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err == -ECANCELED ? -errno : err;
}

#endif
