/* SPDX-License-Identifier: MIT */
/*
 * The TAP device of a network: made, given its offloads, closed. Joining a
 * bridge, MTU and addresses are the control thread's (ctl/netlink).
 */
#ifndef DATAPLANE_TAP_H
#define DATAPLANE_TAP_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct tap {
	int fd; /* non-blocking; -1: none */
	char name[IFNAMSIZ];
	bool uso; /* the kernel takes and gives UDP superframes (6.2 and newer) */
};

/*
 * Makes the device @name: virtio header, TCP segmentation and checksum
 * offloads, UDP segmentation where the kernel has it. 0 or -errno (-EBUSY: the
 * name is another program's, -EPERM: no CAP_NET_ADMIN, -ENOENT: no /dev/net/tun).
 */
int tap_open(struct tap *tap, const char *name);
/* The device goes with its descriptor. */
void tap_close(struct tap *tap);

#endif
