/* SPDX-License-Identifier: MIT */
#include "dataplane/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "dataplane/wire.h"

/* linux/if_tun.h of 6.2 and newer. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int set_offloads(struct tap *tap)
{
	const unsigned int tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	const unsigned int udp = TUN_F_USO4 | TUN_F_USO6;

	/* The kernel takes both USO bits or neither; an old one refuses what it does not know. */
	tap->uso = ioctl(tap->fds[0], TUNSETOFFLOAD, (unsigned long)(tcp | udp)) == 0;
	if (!tap->uso && ioctl(tap->fds[0], TUNSETOFFLOAD, (unsigned long)tcp) < 0)
		return -errno;
	return 0;
}

/*
 * A new descriptor of the device ifr_name, which has that name afterwards. The send
 * buffer keeps its default on purpose: with it, and a non-blocking descriptor, small
 * writes take the kernel's short path.
 */
static int open_queue(struct ifreq *ifr, int flags)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	ifr->ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
	if (ioctl(fd, TUNSETIFF, ifr) == 0)
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int add_queues(struct tap *tap, unsigned int queues)
{
	while (tap->queues < queues) {
		struct ifreq first = { .ifr_flags = 0 }, ifr;
		int fd;

		/* It may have been renamed, and by a name that is free a device would be made. */
		if (ioctl(tap->fds[0], TUNGETIFF, &first) < 0)
			return -errno;
		ifr = first;
		fd = open_queue(&ifr, IFF_MULTI_QUEUE);
		if (fd < 0)
			return fd;
		tap->fds[tap->queues++] = fd;
		if (ioctl(tap->fds[0], TUNGETIFF, &first) < 0)
			return -errno;
		if (strncmp(first.ifr_name, ifr.ifr_name, IFNAMSIZ) != 0)
			return -EBUSY;
	}
	return 0;
}

/*
 * IFF_TUN_EXCL: a name that exists is refused, be it a persistent device, so
 * that two daemons never share one.
 */
static int make_device(struct tap *tap, const char *name, unsigned int queues)
{
	int header = sizeof(struct wire_vnet), fd;
	struct ifreq ifr = { .ifr_flags = 0 };

	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	fd = open_queue(&ifr, IFF_TUN_EXCL | (queues > 1 ? IFF_MULTI_QUEUE : 0));
	if (fd < 0)
		return fd;
	tap->fds[tap->queues++] = fd;
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = '\0';
	/* Header and offloads are the device's, not the queue's. */
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	return set_offloads(tap);
}

static void clear(struct tap *tap)
{
	memset(tap, 0, sizeof(*tap));
	for (unsigned int i = 0; i < TAP_QUEUES_MAX; i++)
		tap->fds[i] = -1;
}

int tap_open(struct tap *tap, const char *name, unsigned int queues)
{
	int err;

	clear(tap);
	if (name[0] == '\0' || queues == 0 || queues > TAP_QUEUES_MAX)
		return -EINVAL;
	if (strlen(name) >= IFNAMSIZ)
		return -ENAMETOOLONG;
	err = make_device(tap, name, queues);
	if (!err)
		err = add_queues(tap, queues);
	if (err)
		tap_close(tap);
	return err;
}

bool tap_name(int fd, char name[IFNAMSIZ])
{
	struct ifreq ifr = { .ifr_flags = 0 };

	if (ioctl(fd, TUNGETIFF, &ifr) < 0)
		return false;
	memcpy(name, ifr.ifr_name, IFNAMSIZ);
	name[IFNAMSIZ - 1] = '\0';
	return true;
}

int tap_adopt(struct tap *tap, const int *fds, unsigned int count)
{
	const int kind = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (count > 1 ? IFF_MULTI_QUEUE : 0);
	const int looked_at = kind | IFF_TUN | IFF_MULTI_QUEUE;
	int header = sizeof(struct wire_vnet), err;

	clear(tap);
	if (count == 0 || count > TAP_QUEUES_MAX)
		return -EINVAL;
	for (unsigned int i = 0; i < count; i++) {
		struct ifreq ifr = { .ifr_flags = 0 };

		if (ioctl(fds[i], TUNGETIFF, &ifr) < 0)
			return -errno;
		ifr.ifr_name[IFNAMSIZ - 1] = '\0';
		if ((ifr.ifr_flags & looked_at) != kind ||
		    (i && strcmp(ifr.ifr_name, tap->name) != 0))
			return -EINVAL;
		memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
		tap->fds[i] = fds[i];
	}
	if (ioctl(fds[0], TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	err = set_offloads(tap);
	if (!err)
		tap->queues = count;
	return err;
}

void tap_close(struct tap *tap)
{
	while (tap->queues > 0) {
		close(tap->fds[--tap->queues]);
		tap->fds[tap->queues] = -1;
	}
	tap->name[0] = '\0';
}
