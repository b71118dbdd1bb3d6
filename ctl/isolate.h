/* SPDX-License-Identifier: MIT */
/*
 * What daemon and helper give up once they have what they need, so that who breaks into
 * one is left with little. In two steps, since users and capabilities are each thread's
 * and system calls can be closed for all threads at once; the daemon's:
 *
 *	isolate_drop_privileges()  before the first thread is made
 *	isolate_close_calls()      when all is open and the workers run
 *
 * What stays possible, and why, is said in docs/threat-model.md.
 */
#ifndef CTL_ISOLATE_H
#define CTL_ISOLATE_H

#include <sys/types.h>

enum isolate_role { ISOLATE_HELPER, ISOLATE_DAEMON };

struct isolate_user {
	uid_t uid;
	gid_t gid;
};

/*
 * 0, -ENOENT: there is none of that name; -EPERM: this process may not become another;
 * -EOPNOTSUPP: a build for tests, which writes what it found as who started it.
 */
int isolate_find_user(const char *name, struct isolate_user *user);

/*
 * Becomes @user (NULL: stays who it is) and keeps of the capabilities what @role cannot
 * do without, for this thread and those it makes: the helper what its verbs need, the
 * daemon none. What can be had in advance is taken before: memory that may be locked, the
 * lowest realtime priority; where limits cannot be raised the daemon keeps those two
 * capabilities. Neither is dumpable afterwards. 0 or -errno.
 */
int isolate_drop_privileges(enum isolate_role role, const struct isolate_user *user);

/*
 * Locks all memory of this process, now and later, as far as it is used: besides the keys
 * of sessions (arena.h) the configuration and the stacks hold such. 0 or -errno; -ENOMEM:
 * RLIMIT_MEMLOCK leaves no room, and nothing is locked but what others lock themselves.
 */
int isolate_lock_memory(void);

/*
 * From now on all threads have only the system calls that @role needs: the daemon those
 * of packets, requests and reloads; others fail with EPERM. For good. 0 or -errno;
 * -EOPNOTSUPP: a build for tests, whose instruments need more.
 */
int isolate_close_calls(enum isolate_role role);

#endif
