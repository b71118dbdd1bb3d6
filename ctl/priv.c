/* SPDX-License-Identifier: MIT */
/*
 * Each verb: check the arguments against what this side knows, then act. Nothing
 * is remembered but which TAPs were made, so that the verbs can be carried out at
 * the far end of a socket pair as well.
 */
#include "ctl/priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Of each UDP socket: what arrives while a worker handles a burst has to fit. */
#define UDP_BUFFER (8 * 1024 * 1024)

/* Of a TAP: each frame that waits may be 64 KiB of the host's memory. */
#define QUEUE_MAX 10000u

struct priv {
	struct netlink *netlink;
	uint32_t *taps;
	size_t tap_count;
};

/* ---- checks ---- */

static uint32_t *find_tap(const struct priv *priv, uint32_t index)
{
	for (size_t i = 0; i < priv->tap_count; i++)
		if (priv->taps[i] == index)
			return &priv->taps[i];
	return NULL;
}

static bool is_bridge(const struct priv *priv, uint32_t index)
{
	const struct netlink_link *link = netlink_get_link(priv->netlink, index);

	return link && link->is_bridge;
}

/* A name as the kernel takes it, and no pattern ("tap%d") from which it makes one. */
static bool is_link_name(const char *name)
{
	size_t len = strnlen(name, IFNAMSIZ);

	if (len == 0 || len == IFNAMSIZ || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isgraph((unsigned char)name[i]) || strchr("/:%", name[i]))
			return false;
	return true;
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
		return prefix->len > 0 && prefix->len <= 32 && prefix->addr[0] > 0 &&
		       prefix->addr[0] != 127 && prefix->addr[0] < 224;
	return prefix->family == 6 && prefix->len > 0 && prefix->len <= 128 &&
	       prefix->addr[0] != 0xff;
}

/* ---- the verbs ---- */

int priv_open(struct priv **priv, struct netlink *netlink)
{
	*priv = calloc(1, sizeof(**priv));
	if (!*priv)
		return -ENOMEM;
	(*priv)->netlink = netlink;
	return 0;
}

void priv_close(struct priv *priv)
{
	if (!priv)
		return;
	free(priv->taps);
	free(priv);
}

int priv_adopt_tap(struct priv *priv, const struct tap *tap, uint32_t *index)
{
	uint32_t *taps = reallocarray(priv->taps, priv->tap_count + 1, sizeof(*taps));

	if (!taps)
		return -ENOMEM;
	priv->taps = taps;
	*index = if_nametoindex(tap->name);
	if (*index == 0)
		return -errno;
	priv->taps[priv->tap_count++] = *index;
	/* A host without IPv6 refuses, and gives the device no address either. */
	(void)netlink_set_addressless(priv->netlink, *index);
	return 0;
}

int priv_make_tap(struct priv *priv, struct tap *tap, const char *name, unsigned int queues,
                  uint32_t *index)
{
	int err;

	if (!is_link_name(name))
		return -EINVAL;
	err = tap_open(tap, name, queues);
	if (err)
		return err;
	err = priv_adopt_tap(priv, tap, index);
	if (err)
		tap_close(tap);
	return err;
}

void priv_forget_tap(struct priv *priv, uint32_t index)
{
	uint32_t *tap = find_tap(priv, index);

	if (tap)
		*tap = priv->taps[--priv->tap_count];
}

bool priv_has_tap(const struct priv *priv, const char *name)
{
	uint32_t index = if_nametoindex(name);

	return index && find_tap(priv, index);
}

int priv_join_bridge(struct priv *priv, uint32_t tap_index, uint32_t bridge_index)
{
	if (!find_tap(priv, tap_index))
		return -EPERM;
	if (bridge_index != 0 && !is_bridge(priv, bridge_index))
		return -ENODEV;
	return netlink_set_master(priv->netlink, tap_index, bridge_index);
}

int priv_set_link(struct priv *priv, uint32_t tap_index, uint32_t mtu,
                  const uint8_t mac[ETHER_ADDR_SIZE])
{
	const struct netlink_link *now = netlink_get_link(priv->netlink, tap_index);
	int err = 0;

	if (!find_tap(priv, tap_index))
		return -EPERM;
	if (!is_unicast_mac(mac))
		return -EINVAL;
	if (!now || memcmp(now->mac, mac, ETHER_ADDR_SIZE) != 0)
		err = netlink_set_mac(priv->netlink, tap_index, mac);
	if (!err && (!now || now->mtu != mtu))
		err = netlink_set_mtu(priv->netlink, tap_index, mtu);
	if (!err && (!now || !(now->flags & IFF_UP)))
		err = netlink_set_up(priv->netlink, tap_index, true);
	return err;
}

int priv_set_queue(struct priv *priv, uint32_t tap_index, uint32_t length)
{
	if (!find_tap(priv, tap_index))
		return -EPERM;
	if (length == 0 || length > QUEUE_MAX)
		return -EINVAL;
	return netlink_set_queue(priv->netlink, tap_index, length);
}

int priv_set_port(struct priv *priv, uint32_t tap_index, const uint8_t *router_mac)
{
	int err_fdb, err_port;

	if (!find_tap(priv, tap_index))
		return -EPERM;
	if (!router_mac)
		return netlink_set_port(priv->netlink, tap_index, NETLINK_PORT_BRIDGED);
	if (!is_unicast_mac(router_mac))
		return -EINVAL;
	err_fdb = netlink_set_fdb(priv->netlink, tap_index, router_mac);
	err_port = netlink_set_port(priv->netlink, tap_index, NETLINK_PORT_ROUTED);
	return err_fdb ? err_fdb : err_port;
}

int priv_flush_port(struct priv *priv, uint32_t tap_index)
{
	if (!find_tap(priv, tap_index))
		return -EPERM;
	return netlink_flush_port(priv->netlink, tap_index);
}

int priv_add_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix)
{
	if (!is_bridge(priv, bridge_index))
		return -ENODEV;
	if (!is_subnet(prefix))
		return -EINVAL;
	return netlink_add_route(priv->netlink, bridge_index, prefix);
}

int priv_remove_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix)
{
	if (!is_bridge(priv, bridge_index))
		return -ENODEV;
	if (!is_subnet(prefix))
		return -EINVAL;
	return netlink_remove_route(priv->netlink, bridge_index, prefix);
}

int priv_open_udp(struct priv *priv, struct udp_sockets *udp, unsigned int count, uint16_t port,
                  uint32_t fwmark)
{
	(void)priv;
	return udp_open_group(udp, count, port, fwmark, UDP_BUFFER);
}

int priv_set_fwmark(struct priv *priv, const struct udp_sockets *udp, uint32_t fwmark)
{
	(void)priv;
	return udp_set_fwmark(udp, fwmark);
}

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
