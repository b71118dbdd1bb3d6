/* SPDX-License-Identifier: MIT */
/*
 * Which events of neighbour tables reach a netlink socket: those of bridges' FDBs
 * about a few MACs. A host where containers come and go, or talk to many, makes
 * thousands of the others; they end in the kernel.
 */
#ifndef CTL_NETLINK_FILTER_H
#define CTL_NETLINK_FILTER_H

#include <stddef.h>
#include <stdint.h>
#include "dataplane/wire.h"

#define NETLINK_FILTER_MACS_MAX 512 /* what fits into a program of the kernel's longest */

/* Replaces the socket's filter; events of other kinds pass. @macs: one behind the other. 0 or -errno. */
int netlink_filter_attach(int fd, const uint8_t *macs, size_t count);

#endif
