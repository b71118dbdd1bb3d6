/* SPDX-License-Identifier: MIT */
/*
 * The daemon's end: each verb is written down, sent, and waited for. What it did is read
 * from the kernel once more, so that the daemon's view of links is right before the
 * event comes.
 */
#include "ctl/priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/helper.h"
#include "ctl/priv_wire.h"

/* Longer than the kernel may hold the helper up (another holds the lock of all links). */
#define ANSWER_WAIT_S 20

struct priv {
	int fd;
	pid_t helper;
	struct netlink *netlink;
	uint32_t *taps;
	size_t tap_count;
};

/* ---- the helper ---- */

int priv_open(struct priv **out, const struct priv_files *files)
{
	const struct timeval wait = { .tv_sec = ANSWER_WAIT_S };
	struct priv *priv = calloc(1, sizeof(*priv));
	int ends[2], err;

	if (!priv)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		err = -errno;
		free(priv);
		return err;
	}
	priv->fd = ends[0];
	err = setsockopt(priv->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ? -errno : 0;
	priv->helper = err ? -1 : fork();
	if (priv->helper == 0)
		helper_run(ends[1], files);
	if (!err && priv->helper < 0)
		err = -errno;
	close(ends[1]);
	if (err) {
		close(priv->fd);
		free(priv);
		return err;
	}
	*out = priv;
	return 0;
}

void priv_close(struct priv *priv)
{
	if (!priv)
		return;
	close(priv->fd);
	while (waitpid(priv->helper, NULL, 0) < 0 && errno == EINTR)
		;
	free(priv->taps);
	free(priv);
}

int priv_fd(const struct priv *priv)
{
	return priv->fd;
}

void priv_use_netlink(struct priv *priv, struct netlink *netlink)
{
	priv->netlink = netlink;
}

/* What comes back in @out is the caller's, also when the verb failed. */
static int call(struct priv *priv, const struct priv_request *request, const struct priv_fds *in,
                struct priv_reply *reply, struct priv_fds *out)
{
	int err = priv_wire_send(priv->fd, request, sizeof(*request), in);

	memset(reply, 0, sizeof(*reply));
	out->count = 0;
	if (!err)
		err = priv_wire_receive(priv->fd, reply, sizeof(*reply), out);
	if (err == -EMFILE)
		return err;
	/* An answer that came later would be taken for the next one's. */
	if (err)
		(void)shutdown(priv->fd, SHUT_RDWR);
	return err ? err : reply->error;
}

/* A verb that gives nothing but success. */
static int order(struct priv *priv, const struct priv_request *request)
{
	struct priv_reply reply;
	struct priv_fds out;
	int err = call(priv, request, NULL, &reply, &out);

	priv_wire_close(&out);
	return err;
}

/* One that changes a link. */
static int order_link(struct priv *priv, const struct priv_request *request)
{
	int err = order(priv, request);

	if (priv->netlink)
		(void)netlink_refresh(priv->netlink, request->tap);
	return err;
}

/* ---- links ---- */

static int note_tap(struct priv *priv, uint32_t index)
{
	uint32_t *taps = reallocarray(priv->taps, priv->tap_count + 1, sizeof(*taps));

	if (!taps)
		return -ENOMEM;
	priv->taps = taps;
	priv->taps[priv->tap_count++] = index;
	return 0;
}

int priv_make_tap(struct priv *priv, struct tap *tap, const char *name, unsigned int queues,
                  uint32_t *index)
{
	struct priv_request request = { .verb = PRIV_MAKE_TAP, .count = queues };
	struct priv_reply reply;
	struct priv_fds fds;
	int err;

	if (queues == 0 || queues > TAP_QUEUES_MAX || strlen(name) >= sizeof(request.name))
		return -EINVAL;
	memcpy(request.name, name, strlen(name));
	err = call(priv, &request, NULL, &reply, &fds);
	if (!err && fds.count != queues)
		err = -EBADMSG;
	if (!err)
		err = note_tap(priv, reply.index);
	if (err) {
		const struct priv_request forget = { .verb = PRIV_FORGET_TAP, .tap = reply.index };

		priv_wire_close(&fds);
		if (reply.index)
			(void)order(priv, &forget);
		return err;
	}
	memset(tap, 0, sizeof(*tap));
	for (unsigned int i = 0; i < TAP_QUEUES_MAX; i++)
		tap->fds[i] = i < queues ? fds.fd[i] : -1;
	tap->queues = queues;
	tap->uso = reply.uso;
	memcpy(tap->name, reply.name, sizeof(tap->name));
	tap->name[sizeof(tap->name) - 1] = '\0';
	*index = reply.index;
	return 0;
}

int priv_adopt_tap(struct priv *priv, const struct tap *tap, uint32_t *index)
{
	const struct priv_request request = { .verb = PRIV_ADOPT_TAP };
	const struct priv_fds in = { .fd = { tap->fds[0] }, .count = 1 };
	struct priv_reply reply;
	struct priv_fds out;
	int err = call(priv, &request, &in, &reply, &out);

	priv_wire_close(&out);
	if (!err)
		err = note_tap(priv, reply.index);
	if (!err)
		*index = reply.index;
	return err;
}

static uint32_t *find_tap(const struct priv *priv, uint32_t index)
{
	for (size_t i = 0; i < priv->tap_count; i++)
		if (priv->taps[i] == index)
			return &priv->taps[i];
	return NULL;
}

void priv_forget_tap(struct priv *priv, uint32_t index)
{
	const struct priv_request request = { .verb = PRIV_FORGET_TAP, .tap = index };
	uint32_t *tap = find_tap(priv, index);

	if (!tap)
		return;
	*tap = priv->taps[--priv->tap_count];
	(void)order(priv, &request);
}

bool priv_has_tap(const struct priv *priv, const char *name)
{
	uint32_t index = if_nametoindex(name);

	return index && find_tap(priv, index);
}

int priv_join_bridge(struct priv *priv, uint32_t tap_index, uint32_t bridge_index)
{
	const struct priv_request request = { .verb = PRIV_JOIN_BRIDGE,
		                              .tap = tap_index,
		                              .bridge = bridge_index };

	return order_link(priv, &request);
}

int priv_set_link(struct priv *priv, uint32_t tap_index, uint32_t mtu,
                  const uint8_t mac[ETHER_ADDR_SIZE])
{
	struct priv_request request = { .verb = PRIV_SET_LINK, .tap = tap_index, .mtu = mtu };

	memcpy(request.mac, mac, ETHER_ADDR_SIZE);
	return order_link(priv, &request);
}

int priv_set_queue(struct priv *priv, uint32_t tap_index, uint32_t length)
{
	const struct priv_request request = { .verb = PRIV_SET_QUEUE,
		                              .tap = tap_index,
		                              .count = length };

	return order(priv, &request);
}

int priv_set_port(struct priv *priv, uint32_t tap_index, const uint8_t *router_mac)
{
	struct priv_request request = { .verb = PRIV_SET_PORT, .tap = tap_index };

	request.has_mac = router_mac != NULL;
	if (router_mac)
		memcpy(request.mac, router_mac, ETHER_ADDR_SIZE);
	return order_link(priv, &request);
}

int priv_flush_port(struct priv *priv, uint32_t tap_index)
{
	const struct priv_request request = { .verb = PRIV_FLUSH_PORT, .tap = tap_index };

	return order(priv, &request);
}

static int change_route(struct priv *priv, enum priv_verb verb, uint32_t bridge_index,
                        const struct prefix *prefix)
{
	const struct priv_request request = { .verb = (uint32_t)verb,
		                              .bridge = bridge_index,
		                              .prefix = *prefix };

	return order(priv, &request);
}

int priv_add_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix)
{
	return change_route(priv, PRIV_ADD_ROUTE, bridge_index, prefix);
}

int priv_remove_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix)
{
	return change_route(priv, PRIV_REMOVE_ROUTE, bridge_index, prefix);
}

/* ---- sockets ---- */

int priv_open_udp(struct priv *priv, struct udp_sockets *udp, unsigned int count, uint16_t port,
                  uint32_t fwmark)
{
	const struct priv_request request = {
		.verb = PRIV_OPEN_UDP, .count = count, .port = port, .fwmark = fwmark
	};
	struct priv_reply reply;
	struct priv_fds fds;
	unsigned int next = 0;
	int err;

	for (unsigned int i = 0; i < count; i++)
		udp[i] = (struct udp_sockets){ .fd4 = -1, .fd6 = -1 };
	err = call(priv, &request, NULL, &reply, &fds);
	if (!err && fds.count != (reply.has_ipv6 ? 2 * count : count))
		err = -EBADMSG;
	if (err) {
		priv_wire_close(&fds);
		return err;
	}
	for (unsigned int i = 0; i < count; i++) {
		udp[i].fd4 = fds.fd[next++];
		if (reply.has_ipv6)
			udp[i].fd6 = fds.fd[next++];
		udp[i].port = reply.port;
		udp[i].gso = reply.gso;
		udp[i].gro = reply.gro;
	}
	return 0;
}

int priv_set_fwmark(struct priv *priv, const struct udp_sockets *udp, uint32_t fwmark)
{
	const struct priv_request request = { .verb = PRIV_SET_FWMARK, .fwmark = fwmark };
	struct priv_fds in = { .count = 0 }, out;
	struct priv_reply reply;
	int err;

	if (udp->fd4 >= 0)
		in.fd[in.count++] = udp->fd4;
	if (udp->fd6 >= 0)
		in.fd[in.count++] = udp->fd6;
	err = call(priv, &request, &in, &reply, &out);
	priv_wire_close(&out);
	return err;
}

int priv_widen(struct priv *priv, int fd)
{
	const struct priv_request request = { .verb = PRIV_WIDEN };
	const struct priv_fds in = { .fd = { fd }, .count = 1 };
	struct priv_reply reply;
	struct priv_fds out;
	int err = call(priv, &request, &in, &reply, &out);

	priv_wire_close(&out);
	return err;
}

/* ---- files ---- */

static int open_config(void *arg, const char *path)
{
	const struct priv_request request = { .verb = PRIV_OPEN_CONFIG };
	struct priv_reply reply;
	struct priv_fds fds;
	int err;

	(void)path; /* there is but one */
	err = call(arg, &request, NULL, &reply, &fds);
	if (!err && fds.count == 1)
		return fds.fd[0];
	priv_wire_close(&fds);
	return err ? err : -EBADMSG;
}

static int read_key(void *arg, const char *path, uint8_t key[KEY_SIZE])
{
	struct priv_request request = { .verb = PRIV_READ_KEY };
	struct priv_reply reply;
	struct priv_fds fds;
	int err;

	if (strlen(path) >= sizeof(request.path))
		return -ENAMETOOLONG;
	memcpy(request.path, path, strlen(path));
	err = call(arg, &request, NULL, &reply, &fds);
	priv_wire_close(&fds);
	if (!err)
		memcpy(key, reply.key, KEY_SIZE);
	secret_wipe(&reply, sizeof(reply));
	return err;
}

const struct config_files_ops priv_config_files = { .open = open_config, .read_key = read_key };

int priv_remove_files(struct priv *priv)
{
	const struct priv_request request = { .verb = PRIV_END };

	return order(priv, &request);
}

/* ---- this process's own ---- */

int priv_allow_realtime(struct priv *priv)
{
	const rlim_t lowest = 1;
	struct rlimit limit;

	(void)priv;
	if (getrlimit(RLIMIT_RTPRIO, &limit) < 0)
		return -errno;
	if (limit.rlim_cur >= lowest)
		return 0;
	limit.rlim_cur = lowest;
	if (limit.rlim_max < lowest)
		limit.rlim_max = lowest;
	return setrlimit(RLIMIT_RTPRIO, &limit) < 0 ? -errno : 0;
}
