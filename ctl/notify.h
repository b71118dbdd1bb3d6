/* SPDX-License-Identifier: MIT */
/*
 * What the service manager is told: that the daemon is ready, reads its file again,
 * ends, and is alive. Without one that listens (NOTIFY_SOCKET), and in a build without
 * libsystemd, nothing is told and nothing is different.
 */
#ifndef CTL_NOTIFY_H
#define CTL_NOTIFY_H

#include <stdint.h>

void notify_ready(void); /* after the start, and at the end of a reload */
void notify_reloading(void);
void notify_stopping(void);
/* How often a sign of life is due; 0: nobody waits for one. */
uint64_t notify_alive_interval_ns(void);
void notify_alive(void);

#endif
