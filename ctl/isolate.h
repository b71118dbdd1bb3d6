/* SPDX-License-Identifier: MIT */
/*
 * What the daemon gives up once it has what it needs, so that who breaks into it is
 * left with little. In two steps, since capabilities are each thread's and system
 * calls can be closed for all threads at once:
 *
 *	isolate_drop_capabilities()  before the first thread is made
 *	isolate_close_calls()        when all is open and the workers run
 *
 * What stays possible, and why, is said in docs/threat-model.md.
 */
#ifndef CTL_ISOLATE_H
#define CTL_ISOLATE_H

/*
 * Keeps of the capabilities what the verbs of priv.h need, for this thread and those
 * it makes. What can be had in advance is taken before: memory that may be locked,
 * the lowest realtime priority. 0 or -errno.
 */
int isolate_drop_capabilities(void);

/*
 * From now on all threads have only the system calls that packets, requests and
 * reloads need; others fail with EPERM. For good. 0 or -errno; -EOPNOTSUPP: a build
 * for tests, whose instruments need more.
 */
int isolate_close_calls(void);

#endif
