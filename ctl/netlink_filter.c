/* SPDX-License-Identifier: MIT */
/*
 * A classic BPF program. It loads in network byte order, so what lies in the message
 * in the machine's is compared with the same bytes read that way. The MAC is the
 * first attribute that a bridge puts behind the header; were it not, nothing would
 * pass, and bridge.c's look every ten seconds would have to do.
 */
#include "ctl/netlink_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FAMILY_AT   ((uint32_t)sizeof(struct nlmsghdr))
#define MAC_AT      (FAMILY_AT + (uint32_t)(sizeof(struct ndmsg) + sizeof(struct nlattr)))
#define PASS        UINT32_MAX
#define DROP        0
#define HEAD_LEN    7
#define PER_MAC_LEN 5
#define LEN_MAX     (HEAD_LEN + NETLINK_FILTER_MACS_MAX * PER_MAC_LEN + 1)
_Static_assert(LEN_MAX <= BPF_MAXINSNS, "a filter of the kernel's");

static void write_head(struct sock_filter *out)
{
	const struct sock_filter head[HEAD_LEN] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_NEWNEIGH), 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons(RTM_DELNEIGH), 1, 0),
		BPF_STMT(BPF_RET | BPF_K, PASS),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FAMILY_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_BRIDGE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, DROP),
	};

	memcpy(out, head, sizeof(head));
}

static void write_mac(struct sock_filter *out, const uint8_t mac[ETHER_ADDR_SIZE])
{
	const uint32_t first =
		(uint32_t)mac[0] << 24 | (uint32_t)mac[1] << 16 | (uint32_t)mac[2] << 8 | mac[3];
	const uint32_t last = (uint32_t)mac[4] << 8 | mac[5];
	const struct sock_filter lines[PER_MAC_LEN] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, MAC_AT),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, MAC_AT + 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, last, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, PASS),
	};

	memcpy(out, lines, sizeof(lines));
}

int netlink_filter_attach(int fd, const uint8_t *macs, size_t count)
{
	const struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, DROP);
	size_t len = HEAD_LEN + count * PER_MAC_LEN + 1;
	struct sock_fprog program = { .len = (unsigned short)len };
	int err = 0;

	if (count > NETLINK_FILTER_MACS_MAX)
		return -E2BIG;
	program.filter = calloc(len, sizeof(*program.filter));
	if (!program.filter)
		return -ENOMEM;
	write_head(program.filter);
	for (size_t i = 0; i < count; i++)
		write_mac(program.filter + HEAD_LEN + i * PER_MAC_LEN, macs + i * ETHER_ADDR_SIZE);
	program.filter[len - 1] = drop;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		err = -errno;
	free(program.filter);
	return err;
}
