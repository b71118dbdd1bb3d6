/* SPDX-License-Identifier: MIT */
#include "ctl/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "ctl/log.h"
#include "ctl/trouble.h"

#define READ_SIZE (64u * 1024)
#define SECOND_NS 1000000000ULL
/* Who came just now, or had an answer, may still be about to ask. */
#define PATIENCE_NS (SECOND_NS / 2)
/* Who took nothing of its reply for so long may be a hung program, and gives way to others. */
#define DEAF_NS SECOND_NS
/* Answered to one client in a round: who sends thousands at once holds nobody up. */
#define ROUND_REQUESTS 4

#ifndef SO_PEERGROUPS /* asm-generic/socket.h of 4.13 */
#define SO_PEERGROUPS 59
#endif

enum right { RIGHT_NONE, RIGHT_READ, RIGHT_CHANGE, RIGHTS };

struct client {
	int fd; /* -1: free */
	enum right right;
	int passed; /* the descriptor that came with what is in @in; -1: none */
	void *held; /* by answer_passed() */
	bool closing; /* after the reply is sent */
	bool waits; /* with a whole request, as others hold too much of replies */
	bool more; /* of its requests were whole than are answered in a round */
	uint64_t since_ns; /* the last time it moved on */
	uint64_t answered_ns; /* when @out was made */
	struct buffer in;
	size_t scanned; /* this much of @in holds no end of a request */
	struct buffer out;
	size_t sent;
};

struct listener {
	const struct listener_ops *ops;
	void *arg;
	int fd;
	struct sockaddr_un address;
	bool bound;
	uid_t owner; /* who opened it may ask for anything */
	bool has_readers;
	gid_t readers;
	size_t total; /* bytes in all clients' @in */
	size_t replies[RIGHTS]; /* and in all @out, by who they are for */
	uint64_t now_ns; /* as last told */
	bool starved; /* no descriptor or memory for the next client: not before the next tick */
	struct trouble no_client, no_reply, deaf;
	struct client clients[LISTENER_CLIENTS_MAX];
};

/* Nobody answers there (any more): a daemon that was killed leaves its socket behind. */
static bool is_stale(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	bool stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
	             errno == ECONNREFUSED;

	close(fd);
	return stale;
}

static void remove_path(const struct listener *listener)
{
	const char *path = listener->address.sun_path;
	struct stat st;

	/* Somebody else's by now, it may be. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && is_stale(&listener->address))
		(void)unlink(path);
}

/* A name without a group is no failure: then root alone is let in. */
static void find_readers(struct listener *listener)
{
	char names[16384];
	struct group group, *found = NULL;

	if (!listener->ops->readers || !listener->ops->answer_reader)
		return;
	if (getgrnam_r(listener->ops->readers, &group, names, sizeof(names), &found) || !found)
		return;
	listener->has_readers = true;
	listener->readers = group.gr_gid;
}

/*
 * Closed to the group until it is the right one. Who may not give it away (a container
 * without CAP_CHOWN, or of few users) goes on without readers.
 */
static void admit_readers(struct listener *listener)
{
	const char *path = listener->address.sun_path;

	if (!listener->has_readers)
		return;
	listener->has_readers =
		lchown(path, (uid_t)-1, listener->readers) == 0 && chmod(path, 0660) == 0;
	if (!listener->has_readers)
		log_line("%s: not for group %s: %s", path, listener->ops->readers, strerror(errno));
}

static int bind_path(struct listener *listener)
{
	const struct sockaddr *sa = (const struct sockaddr *)&listener->address;
	const char *path = listener->address.sun_path;
	struct stat st;
	/* The mode must be right from the first moment on. */
	mode_t mask = umask(0177);
	int ret = bind(listener->fd, sa, sizeof(listener->address)) < 0 ? -errno : 0;

	if (ret == -EADDRINUSE && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		ret = -ENOTSOCK;
	else if (ret == -EADDRINUSE && is_stale(&listener->address) && unlink(path) == 0)
		ret = bind(listener->fd, sa, sizeof(listener->address)) < 0 ? -errno : 0;
	umask(mask);
	if (ret)
		return ret;

	listener->bound = true;
	admit_readers(listener);
	return listen(listener->fd, LISTENER_CLIENTS_MAX) < 0 ? -errno : 0;
}

int listener_open(struct listener **listener_out, const char *path, const struct listener_ops *ops,
                  void *arg)
{
	struct listener *listener = calloc(1, sizeof(*listener));
	int ret;

	if (!listener)
		return -ENOMEM;
	listener->ops = ops;
	listener->arg = arg;
	listener->fd = -1;
	listener->owner = geteuid();
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		listener->clients[i].fd = -1;

	ret = -ENAMETOOLONG;
	if (strlen(path) >= sizeof(listener->address.sun_path))
		goto out;
	find_readers(listener);
	listener->address.sun_family = AF_UNIX;
	strcpy(listener->address.sun_path, path);
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ret = listener->fd < 0 ? -errno : bind_path(listener);
out:
	if (ret)
		listener_close(listener);
	else
		*listener_out = listener;
	return ret;
}

static void drop_client(struct listener *listener, struct client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd);
	client->fd = -1;
	if (client->passed >= 0)
		close(client->passed);
	if (client->held)
		listener->ops->gone(listener->arg, client->held);
	client->held = NULL;
	listener->total -= client->in.len;
	listener->replies[client->right] -= client->out.len;
	buffer_fini(&client->in);
	buffer_fini(&client->out);
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		drop_client(listener, &listener->clients[i]);
	if (listener->fd >= 0)
		close(listener->fd);
	if (listener->bound)
		remove_path(listener);
	free(listener);
}

/*
 * A free place, or that of the client which has been idle longest. NULL: all are busy, or
 * have just come.
 */
static struct client *find_place(struct listener *listener)
{
	struct client *idle = NULL;

	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		struct client *client = &listener->clients[i];

		if (client->fd < 0)
			return client;
		if (!client->in.len && !client->out.len && !client->held &&
		    listener->now_ns - client->since_ns >= PATIENCE_NS &&
		    (!idle || client->since_ns < idle->since_ns))
			idle = client;
	}
	return idle;
}

unsigned int listener_poll_fds(struct listener *listener, struct pollfd *fds)
{
	unsigned int n = 0;

	/* When all are busy, the next client waits in the kernel's queue. */
	bool accepts = !listener->starved && find_place(listener);

	fds[n++] = (struct pollfd){ .fd = accepts ? listener->fd : -1, .events = POLLIN };
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		const struct client *client = &listener->clients[i];

		/* No next request is read before the last was answered. */
		fds[n++] = (struct pollfd){ .fd = client->fd,
			                    .events = client->out.len || client->more ? POLLOUT
			                              : client->waits                 ? 0
			                                                              : POLLIN };
	}
	return n;
}

static bool is_member(int fd, gid_t own, gid_t wanted)
{
	gid_t *groups = NULL;
	socklen_t size = 0;
	bool member = own == wanted;

	/* It says how much it needs. */
	if (!member && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 &&
	    errno == ERANGE)
		groups = malloc(size);
	if (groups && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof(*groups); i++)
			member |= groups[i] == wanted;
	free(groups);
	return member;
}

static enum right find_right(const struct listener *listener, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		return RIGHT_NONE;
	if (peer.uid == 0 || peer.uid == listener->owner)
		return RIGHT_CHANGE;
	return listener->has_readers && is_member(fd, peer.gid, listener->readers) ? RIGHT_READ
	                                                                           : RIGHT_NONE;
}

/* Who may only look leaves room for who may change. */
static bool is_crowded(const struct listener *listener, enum right right)
{
	unsigned int readers = 0;

	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		readers += listener->clients[i].fd >= 0 && listener->clients[i].right == RIGHT_READ;
	return right == RIGHT_READ && readers >= LISTENER_READERS_MAX;
}

static void accept_client(struct listener *listener, uint64_t now_ns)
{
	struct client *client = find_place(listener);
	int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* Who could not be accepted is still there: poll(2) would not wait any more. */
		listener->starved = errno != EAGAIN;
		if (trouble_is_shortage(errno) && trouble_begins(&listener->no_client, now_ns))
			log_line("%s: cannot take a client: %s; tried again every second",
			         listener->address.sun_path, strerror(errno));
		return;
	}
	enum right right = find_right(listener, fd);

	if (trouble_ends(&listener->no_client))
		log_line("%s: takes clients again", listener->address.sun_path);
	/* Before it costs anybody a place. */
	if (!client || right == RIGHT_NONE || is_crowded(listener, right)) {
		close(fd);
		return;
	}
	drop_client(listener, client);
	*client = (struct client){ .fd = fd, .passed = -1, .right = right, .since_ns = now_ns };
	buffer_init(&client->in, right == RIGHT_CHANGE ? listener->ops->request_max
	                                               : listener->ops->reader_request_max);
	buffer_init(&client->out, listener->ops->reply_max);
}

static void send_reply(struct listener *listener, struct client *client, uint64_t now_ns)
{
	while (client->sent < client->out.len) {
		ssize_t n = send(client->fd, client->out.data + client->sent,
		                 client->out.len - client->sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			if (errno != EAGAIN)
				drop_client(listener, client);
			return;
		}
		client->sent += (size_t)n;
		client->since_ns = now_ns;
	}
	client->sent = 0;
	listener->replies[client->right] -= client->out.len;
	buffer_fini(&client->out);
	if (client->closing)
		drop_client(listener, client);
}

/* The reply is made; from now on it is the client's to take. */
static void begin_reply(struct listener *listener, struct client *client, uint64_t now_ns)
{
	listener->replies[client->right] += client->out.len;
	client->since_ns = client->answered_ns = now_ns;
	send_reply(listener, client, now_ns);
}

/* What there is no memory for, or no room in a reply. False: not even that can be said. */
static bool put_no_reply(struct listener *listener, struct client *client, uint64_t now_ns)
{
	if (trouble_begins(&listener->no_reply, now_ns))
		log_line("%s: no memory for a client's reply, or it is too long",
		         listener->address.sun_path);
	buffer_fini(&client->out);
	if (listener->ops->no_reply)
		listener->ops->no_reply(&client->out);
	return client->out.len > 0;
}

/* Where the first whole request in @in ends; 0: not there yet. */
static size_t find_end(struct client *client, const char *end)
{
	size_t end_len = strlen(end);
	const char *at = memmem(client->in.data + client->scanned, client->in.len - client->scanned,
	                        end, end_len);

	if (at)
		return (size_t)(at - client->in.data) + end_len;
	client->scanned = client->in.len < end_len ? 0 : client->in.len - end_len + 1;
	return 0;
}

/* To the first request, of @len bytes. False: drop the client. */
static bool make_reply(struct listener *listener, struct client *client, size_t len)
{
	const struct listener_ops *ops = listener->ops;
	const struct listener_passed passed = {
		.fd = client->passed, .client = client->fd, .request = client->in.data, .len = len
	};

	if (client->right != RIGHT_CHANGE)
		return ops->answer_reader(listener->arg, client->in.data, len, &client->out);
	if (passed.fd < 0)
		return ops->answer(listener->arg, client->in.data, len, &client->out);
	client->passed = -1;
	return ops->answer_passed(listener->arg, &passed, &client->out, &client->held);
}

static void answer_request(struct listener *listener, struct client *client, size_t len,
                           uint64_t now_ns)
{
	bool keep = make_reply(listener, client, len);

	if (keep && !client->out.failed)
		(void)trouble_ends(&listener->no_reply);
	else if (!client->out.failed || !put_no_reply(listener, client, now_ns)) {
		drop_client(listener, client);
		return;
	}
	listener->total -= len;
	client->scanned = 0;
	if (len == client->in.len)
		buffer_fini(&client->in);
	else
		buffer_consume(&client->in, len);
	begin_reply(listener, client, now_ns);
}

static void drop_deaf(struct listener *listener, struct client *client, uint64_t now_ns)
{
	if (trouble_begins(&listener->deaf, now_ns))
		log_line("%s: a client did not read its reply of %zu bytes: dropped",
		         listener->address.sun_path, client->out.len);
	(void)trouble_ends(&listener->deaf); /* the next is as much news */
	drop_client(listener, client);
}

/* May a reply be made for who has @right? Where too much is held already, who is deaf goes. */
static bool may_hold(struct listener *listener, enum right right, uint64_t now_ns)
{
	struct client *deaf = NULL;

	if (listener->replies[right] < listener->ops->held_max)
		return true;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		struct client *client = &listener->clients[i];

		if (client->fd >= 0 && client->right == right && client->out.len &&
		    now_ns - client->since_ns >= DEAF_NS &&
		    (!deaf || client->since_ns < deaf->since_ns))
			deaf = client;
	}
	if (deaf)
		drop_deaf(listener, deaf, now_ns);
	return listener->replies[right] < listener->ops->held_max;
}

/* Answers what is complete; one at a time, since the next may depend on it. */
static void answer_requests(struct listener *listener, struct client *client, uint64_t now_ns)
{
	unsigned int answered = 0;
	size_t len;

	client->waits = client->more = false;
	while (client->fd >= 0 && client->in.len && !client->out.len &&
	       (len = find_end(client, listener->ops->end)) > 0) {
		client->more = answered++ == ROUND_REQUESTS;
		client->waits = !client->more && !may_hold(listener, client->right, now_ns);
		if (client->more || client->waits)
			return;
		answer_request(listener, client, len, now_ns);
	}
}

static void answer_waiting(struct listener *listener, uint64_t now_ns)
{
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++)
		if (listener->clients[i].fd >= 0 && listener->clients[i].waits)
			answer_requests(listener, &listener->clients[i], now_ns);
}

/*
 * recv(), and a descriptor that comes along. Of who has one here or holds something
 * already none is taken, and the kernel closes what does not fit: there is room for one,
 * not for the two that CMSG_SPACE() rounds up to.
 */
static ssize_t receive(const struct listener *listener, struct client *client, void *data,
                       size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	const struct cmsghdr *cmsg;
	ssize_t n;

	if (listener->ops->answer_passed && client->right == RIGHT_CHANGE && client->passed < 0 &&
	    !client->held) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_LEN(sizeof(int));
	}
	n = recvmsg(client->fd, &msg, MSG_CMSG_CLOEXEC);
	cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&client->passed, CMSG_DATA(cmsg), sizeof(int));
	return n;
}

static void read_request(struct listener *listener, struct client *client, uint64_t now_ns)
{
	const struct listener_ops *ops = listener->ops;
	size_t room = client->in.max - client->in.len;
	size_t total_room = ops->total_max - listener->total;

	if (room > total_room)
		room = total_room;
	if (room > READ_SIZE)
		room = READ_SIZE;
	if (!room || !buffer_reserve(&client->in, room)) {
		if (room)
			(void)put_no_reply(listener, client, now_ns);
		else if (ops->refuse)
			ops->refuse(&client->out);
		client->closing = true;
		if (client->out.len)
			begin_reply(listener, client, now_ns);
		else
			drop_client(listener, client);
		return;
	}
	ssize_t n = receive(listener, client, client->in.data + client->in.len, room);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop_client(listener, client);
		return;
	}
	/* The time a request may take starts with its first byte. */
	if (!client->in.len)
		client->since_ns = now_ns;
	client->in.len += (size_t)n;
	listener->total += (size_t)n;
	answer_requests(listener, client, now_ns);
}

void listener_dispatch(struct listener *listener, const struct pollfd *fds, unsigned int n,
                       uint64_t now_ns)
{
	listener->now_ns = now_ns;
	for (size_t i = 0; i + 1 < n && i < LISTENER_CLIENTS_MAX; i++) {
		struct client *client = &listener->clients[i];
		const struct pollfd *pfd = &fds[i + 1];

		if (client->fd < 0 || client->fd != pfd->fd || !pfd->revents)
			continue;
		if (client->out.len) {
			send_reply(listener, client, now_ns);
			answer_requests(listener, client, now_ns);
		} else if (client->more) {
			answer_requests(listener, client, now_ns);
		} else {
			read_request(listener, client, now_ns);
		}
	}
	answer_waiting(listener, now_ns);
	/* Last, so that no descriptor above is one that was opened just now. */
	if (n && fds[0].revents)
		accept_client(listener, now_ns);
}

static bool is_over(const struct client *client, uint64_t now_ns)
{
	bool busy = client->in.len || client->out.len;
	uint64_t seconds = busy ? LISTENER_REQUEST_S : LISTENER_IDLE_S;

	if (client->held && !busy)
		return false;
	/* Nor is a reply taken a byte now and then. */
	return now_ns - client->since_ns > seconds * SECOND_NS ||
	       (client->out.len && now_ns - client->answered_ns > LISTENER_REPLY_S * SECOND_NS);
}

void listener_tick(struct listener *listener, uint64_t now_ns)
{
	listener->now_ns = now_ns;
	listener->starved = false;
	for (size_t i = 0; i < LISTENER_CLIENTS_MAX; i++) {
		struct client *client = &listener->clients[i];

		if (client->fd < 0 || !is_over(client, now_ns))
			continue;
		if (client->out.len)
			drop_deaf(listener, client, now_ns);
		else
			drop_client(listener, client);
	}
	answer_waiting(listener, now_ns);
}
