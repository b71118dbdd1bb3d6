/* SPDX-License-Identifier: MIT */
/*
 * The TAP device of a network: made, given its offloads, closed. Joining a
 * bridge, MTU and addresses are the control thread's (ctl/netlink).
 *
 * With several queues each worker has one. A flow's frames come by one queue: the
 * kernel chooses it by the flow's hash, but a flow that we have written to within
 * the last three seconds comes by the queue it was last written to.
 */
#ifndef DATAPLANE_TAP_H
#define DATAPLANE_TAP_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#define TAP_QUEUES_MAX 16

struct tap {
	int fds[TAP_QUEUES_MAX]; /* of the queues, non-blocking; -1: none */
	unsigned int queues; /* 0: it is closed */
	char name[IFNAMSIZ];
	bool uso; /* the kernel takes and gives UDP superframes (6.2 and newer) */
};

/*
 * Makes the device @name: virtio header, TCP segmentation and checksum
 * offloads, UDP segmentation where the kernel has it. With one queue it is a device
 * that has no others. 0 or -errno (-EBUSY: the name is another program's, -EPERM: no
 * CAP_NET_ADMIN, -ENOENT: no /dev/net/tun).
 */
int tap_open(struct tap *tap, const char *name, unsigned int queues);
/*
 * The queues of a device that was made by tap_open(), maybe by another process:
 * @count descriptors of one device, all it has. Theirs from then on; 0, or -errno
 * (-EINVAL: something else, -EBADFD: the device was deleted) and they stay the caller's.
 */
int tap_adopt(struct tap *tap, const int *fds, unsigned int count);
/* Of which device @fd is a queue. False: of none. */
bool tap_name(int fd, char name[IFNAMSIZ]);
/* The device goes with its last descriptor. */
void tap_close(struct tap *tap);

#endif
