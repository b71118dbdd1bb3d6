/* SPDX-License-Identifier: MIT */
/*
 * Everything that needs privilege, as a fixed set of verbs: so that the verbs
 * can move into a process of their own and the rest can lose its privileges.
 * Arguments are plain data, checked here once more; a verb never takes a
 * command, a path from the net, or a number that means something elsewhere.
 */
#ifndef CTL_PRIV_H
#define CTL_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/netlink.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"

struct priv;

int priv_open(struct priv **priv, struct netlink *netlink);
void priv_close(struct priv *priv);

/*
 * All: 0 or -errno. Only devices made by priv_make_tap() may be named as a TAP
 * (-EPERM), only bridges as a bridge (-ENODEV).
 */
/* With so many @queues. Closed by tap_close(); then priv_forget_tap(), before its index can be another's. */
int priv_make_tap(struct priv *priv, struct tap *tap, const char *name, unsigned int queues,
                  uint32_t *index);
/* One that another life of the daemon made counts as made by priv_make_tap() from now on. */
int priv_adopt_tap(struct priv *priv, const struct tap *tap, uint32_t *index);
void priv_forget_tap(struct priv *priv, uint32_t index);
/* Whether a device that is there was made by priv_make_tap(). */
bool priv_has_tap(const struct priv *priv, const char *name);
/* @bridge_index 0: leaves the bridge it is a port of. */
int priv_join_bridge(struct priv *priv, uint32_t tap_index, uint32_t bridge_index);
/* And up. Only what differs is set. */
int priv_set_link(struct priv *priv, uint32_t tap_index, uint32_t mtu,
                  const uint8_t mac[ETHER_ADDR_SIZE]);
/* How many frames wait in it at the most; 1 to 10,000. */
int priv_set_queue(struct priv *priv, uint32_t tap_index, uint32_t length);
/* @router_mac, of routed networks, gets an FDB entry; NULL: a bridged network's port. */
int priv_set_port(struct priv *priv, uint32_t tap_index, const uint8_t *router_mac);
/* The bridge forgets what it has learned to be behind the TAP. */
int priv_flush_port(struct priv *priv, uint32_t tap_index);
/* A link-scope route of a Subnet that the bridge itself has not (DESIGN: Config). */
int priv_add_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix);
int priv_remove_route(struct priv *priv, uint32_t bridge_index, const struct prefix *prefix);
/* @count pairs at @udp, of one port. */
int priv_open_udp(struct priv *priv, struct udp_sockets *udp, unsigned int count, uint16_t port,
                  uint32_t fwmark);
int priv_set_fwmark(struct priv *priv, const struct udp_sockets *udp, uint32_t fwmark);

/* Threads of this process may take the lowest realtime priority from now on. */
int priv_allow_realtime(struct priv *priv);

#endif
