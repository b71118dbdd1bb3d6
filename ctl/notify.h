/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told: that the daemon is ready, reads its file again,
 * ends, and is alive. And what it keeps for the next life of the daemon: descriptors,
 * by name (sd_notify(3), FDSTORE; ctl/handover.h). Without one that listens (NOTIFY_SOCKET), and in a build without
 * libsystemd, nothing is told and nothing is different.
 */
#ifndef CTL_NOTIFY_H
#define CTL_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

void notify_ready(void); /* after the start, and at the end of a reload */
void notify_reloading(void);
void notify_stopping(void);
/* How often a sign of life is due; 0: nobody waits for one. */
uint64_t notify_alive_interval_ns(void);
void notify_alive(void);

/* Gives the manager copies of @n descriptors to keep by one name. 0 or -errno (-ENOTCONN: no manager). */
int notify_store(const char *name, const int *fds, unsigned int n);
/* Tells it to let go of what it keeps by that name. 0 or -errno: it was not told. */
int notify_unstore(const char *name);
/*
 * True: it has done all that it was told before. False: there is none, or it has not
 * within that time.
 */
bool notify_barrier(uint64_t timeout_ns);

/*
 * Takes what the manager kept: calls @take for each descriptor, which is the callee's
 * from then on. Once; returns how many there were.
 */
unsigned int notify_take_stored(void (*take)(void *arg, const char *name, int fd), void *arg);

#endif
