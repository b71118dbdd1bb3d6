/* SPDX-License-Identifier: MIT */
/*
 * The helper process: keeps what privilege the verbs need, has no keys, no threads, no
 * packets, and does nothing but answer the daemon that forked it.
 */
#ifndef CTL_HELPER_H
#define CTL_HELPER_H

#include "ctl/priv.h"

/* In the child. Ends the process when the other end of @fd is closed. */
void helper_run(int fd, const struct priv_files *files) __attribute__((noreturn));

#endif
