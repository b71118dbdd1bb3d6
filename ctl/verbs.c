/* SPDX-License-Identifier: MIT */
#include "ctl/verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "ctl/key_file.h"
#include "dataplane/udp.h"

/* Of each UDP socket: what arrives while a worker handles a burst has to fit. */
#define UDP_BUFFER (8 * 1024 * 1024)
/* Of a socket that watches bridges. */
#define EVENTS_BUFFER (2 * 1024 * 1024)

/* Of a TAP: each frame that waits may be 64 KiB of the host's memory. */
#define QUEUE_MAX 10000u

/* No network of containers is larger, and half of all addresses would be the host's traffic. */
#define IPV4_LEN_MIN 8
#define IPV6_LEN_MIN 16

/* ---- checks ---- */

static uint32_t *find_tap(struct verbs *verbs, uint32_t index)
{
	for (unsigned int i = 0; i < verbs->tap_count; i++)
		if (verbs->taps[i] == index)
			return &verbs->taps[i];
	return NULL;
}

/* As the kernel says now. NULL: there is none. */
static const struct netlink_link *ask_link(const struct verbs *verbs, uint32_t index)
{
	return netlink_refresh(verbs->netlink, index) ? NULL
	                                              : netlink_get_link(verbs->netlink, index);
}

static bool is_bridge(const struct verbs *verbs, uint32_t index)
{
	const struct netlink_link *link = ask_link(verbs, index);

	return link && link->is_bridge;
}

static bool is_unicast_mac(const uint8_t mac[ETHER_ADDR_SIZE])
{
	static const uint8_t none[ETHER_ADDR_SIZE];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

/* Networks of unicast addresses; never one that takes the host's default route. */
static bool is_subnet(const struct prefix *prefix)
{
	if (prefix->family == 4)
		return prefix->len >= IPV4_LEN_MIN && prefix->len <= 32 && prefix->addr[0] > 0 &&
		       prefix->addr[0] != 127 && prefix->addr[0] < 224;
	return prefix->family == 6 && prefix->len >= IPV6_LEN_MIN && prefix->len <= 128 &&
	       prefix->addr[0] != 0xff;
}

static bool has_option(int fd, int name, int wanted)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 && value == wanted;
}

static bool is_netlink(int fd)
{
	return has_option(fd, SO_DOMAIN, AF_NETLINK);
}

static bool is_udp(int fd)
{
	return (has_option(fd, SO_DOMAIN, AF_INET) || has_option(fd, SO_DOMAIN, AF_INET6)) &&
	       has_option(fd, SO_PROTOCOL, IPPROTO_UDP);
}

/* ---- links ---- */

static int note_tap(struct verbs *verbs, const char *name, uint32_t *index)
{
	int err;

	if (verbs->tap_count == VERBS_TAPS_MAX)
		return -ENOSPC;
	err = netlink_index(verbs->netlink, name, index);
	if (err)
		return err;
	verbs->taps[verbs->tap_count++] = *index;
	/* A host without IPv6 refuses, and gives the device no address either. */
	(void)netlink_set_addressless(verbs->netlink, *index);
	return 0;
}

/*
 * In another network namespace anybody may have made a TAP of the name that another
 * daemon's has in this one.
 */
static bool is_here(int tap)
{
	int theirs = ioctl(tap, TUNGETDEVNETNS);
	struct stat of_tap, own;
	bool same;

	if (theirs < 0)
		return errno == EINVAL; /* Linux cannot tell before 5.2 */
	same = fstat(theirs, &of_tap) == 0 && stat("/proc/self/ns/net", &own) == 0 &&
	       of_tap.st_dev == own.st_dev && of_tap.st_ino == own.st_ino;
	close(theirs);
	return same;
}

/* Who has a descriptor of it has it already. */
static int adopt_tap(struct verbs *verbs, const struct priv_fds *in, struct priv_reply *reply)
{
	char name[IFNAMSIZ];

	if (in->count != 1 || !tap_name(in->fd[0], name) || !priv_wire_is_tap_name(name) ||
	    !is_here(in->fd[0]))
		return -EPERM;
	return note_tap(verbs, name, &reply->index);
}

static int make_tap(struct verbs *verbs, const struct priv_request *request,
                    struct priv_reply *reply, struct priv_fds *out)
{
	struct tap tap;
	int err;

	if (!priv_wire_is_tap_name(request->name))
		return -EINVAL;
	err = tap_open(&tap, request->name, request->count);
	if (err)
		return err;
	err = note_tap(verbs, tap.name, &reply->index);
	if (err) {
		tap_close(&tap);
		return err;
	}
	memcpy(reply->name, tap.name, sizeof(reply->name));
	reply->uso = tap.uso;
	out->count = tap.queues;
	memcpy(out->fd, tap.fds, tap.queues * sizeof(tap.fds[0]));
	return 0;
}

static int forget_tap(struct verbs *verbs, uint32_t index)
{
	uint32_t *tap = find_tap(verbs, index);

	if (tap)
		*tap = verbs->taps[--verbs->tap_count];
	return 0;
}

static int join_bridge(struct verbs *verbs, const struct priv_request *request)
{
	if (!find_tap(verbs, request->tap))
		return -EPERM;
	if (request->bridge != 0 && !is_bridge(verbs, request->bridge))
		return -ENODEV;
	return netlink_set_master(verbs->netlink, request->tap, request->bridge);
}

static int set_link(struct verbs *verbs, const struct priv_request *request)
{
	const struct netlink_link *now;
	struct netlink_link known;
	int err = 0;

	if (!find_tap(verbs, request->tap))
		return -EPERM;
	if (!is_unicast_mac(request->mac))
		return -EINVAL;
	now = ask_link(verbs, request->tap);
	if (!now)
		return -ENODEV;
	known = *now; /* requests move it */
	if (memcmp(known.mac, request->mac, ETHER_ADDR_SIZE) != 0)
		err = netlink_set_mac(verbs->netlink, request->tap, request->mac);
	if (!err && known.mtu != request->mtu)
		err = netlink_set_mtu(verbs->netlink, request->tap, request->mtu);
	if (!err && !(known.flags & IFF_UP))
		err = netlink_set_up(verbs->netlink, request->tap, true);
	return err;
}

static int set_queue(struct verbs *verbs, const struct priv_request *request)
{
	if (!find_tap(verbs, request->tap))
		return -EPERM;
	if (request->count == 0 || request->count > QUEUE_MAX)
		return -EINVAL;
	return netlink_set_queue(verbs->netlink, request->tap, request->count);
}

static int set_port(struct verbs *verbs, const struct priv_request *request)
{
	int err_fdb, err_port;

	if (!find_tap(verbs, request->tap))
		return -EPERM;
	if (!request->has_mac)
		return netlink_set_port(verbs->netlink, request->tap, NETLINK_PORT_BRIDGED);
	if (!is_unicast_mac(request->mac))
		return -EINVAL;
	err_fdb = netlink_set_fdb(verbs->netlink, request->tap, request->mac);
	err_port = netlink_set_port(verbs->netlink, request->tap, NETLINK_PORT_ROUTED);
	return err_fdb ? err_fdb : err_port;
}

static int flush_port(struct verbs *verbs, uint32_t tap)
{
	return find_tap(verbs, tap) ? netlink_flush_port(verbs->netlink, tap) : -EPERM;
}

static int change_route(const struct verbs *verbs, const struct priv_request *request)
{
	if (!is_bridge(verbs, request->bridge))
		return -ENODEV;
	if (!is_subnet(&request->prefix))
		return -EINVAL;
	return request->verb == PRIV_ADD_ROUTE
	               ? netlink_add_route(verbs->netlink, request->bridge, &request->prefix)
	               : netlink_remove_route(verbs->netlink, request->bridge, &request->prefix);
}

/* ---- sockets ---- */

static int open_udp(const struct priv_request *request, struct priv_reply *reply,
                    struct priv_fds *out)
{
	struct udp_sockets udp[PRIV_FDS_MAX / 2];
	int err;

	if (request->count == 0 || request->count > PRIV_FDS_MAX / 2)
		return -EINVAL;
	err = udp_open_group(udp, request->count, request->port, request->fwmark, UDP_BUFFER);
	if (err)
		return err;
	reply->port = udp[0].port;
	reply->has_ipv6 = udp[0].fd6 >= 0;
	reply->gso = udp[0].gso;
	reply->gro = udp[0].gro;
	for (unsigned int i = 0; i < request->count; i++) {
		out->fd[out->count++] = udp[i].fd4;
		if (reply->has_ipv6)
			out->fd[out->count++] = udp[i].fd6;
	}
	return 0;
}

static int set_fwmark(uint32_t fwmark, const struct priv_fds *in)
{
	int err = 0;

	for (unsigned int i = 0; i < in->count && !err; i++) {
		const struct udp_sockets udp = { .fd4 = in->fd[i], .fd6 = -1 };

		err = is_udp(in->fd[i]) ? udp_set_fwmark(&udp, fwmark) : -EPERM;
	}
	return err;
}

static int widen(const struct priv_fds *in)
{
	const int size = EVENTS_BUFFER;

	if (in->count != 1 || !is_netlink(in->fd[0]))
		return -EPERM;
	return setsockopt(in->fd[0], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ? -errno
	                                                                                  : 0;
}

/* ---- files ---- */

/* The open itself would wait for a FIFO's writer. */
static int open_to_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int open_config(struct verbs *verbs, struct priv_fds *out)
{
	const char *path;
	int fd, err;

	if (!verbs->files)
		return -EPERM;
	path = verbs->files->config;
	fd = open_to_read(path);
	if (fd < 0)
		return fd;
	err = key_names_read(&verbs->keys, fd, path);
	close(fd);
	if (err)
		return err;
	/* That one was read to its end. */
	fd = open_to_read(path);
	if (fd < 0)
		return fd;
	out->fd[out->count++] = fd;
	return 0;
}

/*
 * Nothing is told but of files that the configuration names, and of those but a key, when they hold one
 * alone. What others there are is no business of who asks.
 */
static int read_key(const struct verbs *verbs, const struct priv_request *request,
                    struct priv_reply *reply)
{
	if (!verbs->files || strnlen(request->path, PATH_MAX) == PATH_MAX ||
	    !key_names_has(&verbs->keys, request->path))
		return -EPERM;
	return key_file_read(request->path, reply->key);
}

/*
 * Whether some program listens there, as the kernel lists them: to ask by a connect(2) would
 * take a unix socket, and by one of those root may do anything (Docker's, systemd's).
 */
static bool is_served(const char *path)
{
	FILE *list = fopen("/proc/self/net/unix", "re");
	size_t path_len = strlen(path);
	char line[PATH_MAX];
	bool served = !list;

	while (!served && fgets(line, sizeof(line), list)) {
		size_t len = strcspn(line, "\n");

		/* The path is the last word, however many it has itself. */
		line[len] = '\0';
		served = len > path_len && line[len - path_len - 1] == ' ' &&
		         strcmp(line + len - path_len, path) == 0;
	}
	if (list)
		(void)fclose(list);
	return served;
}

static void remove_socket(const char *path)
{
	struct stat st;

	/* Somebody else's by now, it may be. */
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_served(path))
		(void)unlink(path);
}

static int end(const struct verbs *verbs)
{
	if (!verbs->files)
		return 0;
	remove_socket(verbs->files->control);
	remove_socket(verbs->files->uapi);
	/* The daemon still holds the lock itself, so nobody else has taken the file. */
	(void)unlink(verbs->files->lock);
	return 0;
}

static int act(struct verbs *verbs, const struct priv_request *request, const struct priv_fds *in,
               struct priv_reply *reply, struct priv_fds *out)
{
	if (in->count && request->verb != PRIV_ADOPT_TAP && request->verb != PRIV_SET_FWMARK &&
	    request->verb != PRIV_WIDEN)
		return -EINVAL;
	switch ((enum priv_verb)request->verb) {
	case PRIV_MAKE_TAP:
		return make_tap(verbs, request, reply, out);
	case PRIV_ADOPT_TAP:
		return adopt_tap(verbs, in, reply);
	case PRIV_FORGET_TAP:
		return forget_tap(verbs, request->tap);
	case PRIV_JOIN_BRIDGE:
		return join_bridge(verbs, request);
	case PRIV_SET_LINK:
		return set_link(verbs, request);
	case PRIV_SET_QUEUE:
		return set_queue(verbs, request);
	case PRIV_SET_PORT:
		return set_port(verbs, request);
	case PRIV_FLUSH_PORT:
		return flush_port(verbs, request->tap);
	case PRIV_ADD_ROUTE:
	case PRIV_REMOVE_ROUTE:
		return change_route(verbs, request);
	case PRIV_OPEN_UDP:
		return open_udp(request, reply, out);
	case PRIV_SET_FWMARK:
		return set_fwmark(request->fwmark, in);
	case PRIV_WIDEN:
		return widen(in);
	case PRIV_OPEN_CONFIG:
		return open_config(verbs, out);
	case PRIV_READ_KEY:
		return read_key(verbs, request, reply);
	case PRIV_END:
		return end(verbs);
	case PRIV_VERBS:
		break;
	}
	return -ENOSYS;
}

void verbs_do(struct verbs *verbs, const struct priv_request *request, const struct priv_fds *in,
              struct priv_reply *reply, struct priv_fds *out)
{
	memset(reply, 0, sizeof(*reply));
	out->count = 0;
	reply->error = act(verbs, request, in, reply, out);
}
