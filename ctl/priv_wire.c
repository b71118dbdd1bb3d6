/* SPDX-License-Identifier: MIT */
#include "ctl/priv_wire.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
	struct cmsghdr head;
	char bytes[CMSG_SPACE(PRIV_FDS_MAX * sizeof(int))];
};

int priv_wire_send(int fd, const void *message, size_t size, const struct priv_fds *fds)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)message, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control;
	ssize_t sent;

	if (fds && fds->count) {
		size_t bytes = fds->count * sizeof(int);

		memset(&control, 0, sizeof(control));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(bytes);
		memcpy(CMSG_DATA(&control.head), fds->fd, bytes);
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(bytes);
	}
	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	return (size_t)sent == size ? 0 : -EBADMSG;
}

/* There is room for one message of descriptors, so all that came is in the first. */
static void take_fds(const union control *control, size_t len, struct priv_fds *fds)
{
	const struct cmsghdr *head = &control->head;

	if (len < sizeof(*head) || head->cmsg_level != SOL_SOCKET ||
	    head->cmsg_type != SCM_RIGHTS || head->cmsg_len < CMSG_LEN(0) || head->cmsg_len > len)
		return;
	fds->count = (unsigned int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds->fd, CMSG_DATA(head), fds->count * sizeof(int));
}

int priv_wire_receive(int fd, void *message, size_t size, struct priv_fds *fds)
{
	struct iovec iov = { .iov_base = message, .iov_len = size };
	union control control;
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };
	ssize_t got;

	fds->count = 0;
	do
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : errno == EAGAIN ? -ETIMEDOUT : -errno;
	take_fds(&control, msg.msg_controllen, fds);
	if (got > 0 && (size_t)got == size && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 0;
	priv_wire_close(fds);
	if (got == 0)
		return -EPIPE;
	/* As many as fit into this process are made, the others are closed. */
	return (size_t)got == size && !(msg.msg_flags & MSG_TRUNC) ? -EMFILE : -EBADMSG;
}

void priv_wire_close(struct priv_fds *fds)
{
	while (fds->count > 0)
		close(fds->fd[--fds->count]);
}

/* As the kernel takes it, and no pattern ("%d") from which it makes one. */
bool priv_wire_is_tap_name(const char *name)
{
	size_t len = strnlen(name, IFNAMSIZ);

	if (len < 5 || len == IFNAMSIZ || strncmp(name, "ov", 2) != 0 || name[3] != '-' ||
	    (name[2] != 't' && !isdigit((unsigned char)name[2])))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)name[i]) || strchr("/:%", name[i]))
			return false;
	return true;
}
