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

	/* The kernel takes both USO bits or neither; an old one refuses what it does not know. */
	tap->uso =
		ioctl(tap->fd, TUNSETOFFLOAD, (unsigned long)(tcp | TUN_F_USO4 | TUN_F_USO6)) == 0;
	if (!tap->uso && ioctl(tap->fd, TUNSETOFFLOAD, (unsigned long)tcp) < 0)
		return -errno;
	return 0;
}

/*
 * IFF_TUN_EXCL: a name that exists is refused, be it a persistent device, so
 * that two daemons never share one. The send buffer keeps its default on
 * purpose: with it, and a non-blocking descriptor, small writes take the
 * kernel's short path.
 */
static int make_device(struct tap *tap, const char *name)
{
	int header = sizeof(struct wire_vnet);
	struct ifreq ifr = { .ifr_flags = 0 };

	ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL);
	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	if (ioctl(tap->fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	memcpy(tap->name, ifr.ifr_name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = '\0';
	if (ioctl(tap->fd, TUNSETVNETHDRSZ, &header) < 0)
		return -errno;
	return set_offloads(tap);
}

int tap_open(struct tap *tap, const char *name)
{
	int err;

	memset(tap, 0, sizeof(*tap));
	tap->fd = -1;
	if (name[0] == '\0')
		return -EINVAL;
	if (strlen(name) >= IFNAMSIZ)
		return -ENAMETOOLONG;
	tap->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap->fd < 0)
		return -errno;
	err = make_device(tap, name);
	if (err)
		tap_close(tap);
	return err;
}

void tap_close(struct tap *tap)
{
	if (tap->fd >= 0)
		close(tap->fd);
	tap->fd = -1;
	tap->name[0] = '\0';
}
