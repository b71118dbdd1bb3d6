/* SPDX-License-Identifier: MIT */
/*
 * Everything that needs privilege, as a fixed set of verbs, carried out by a helper
 * process: so that the daemon itself has none. Arguments are plain data, checked by the
 * helper (verbs.c); a verb never takes a command, or a number that means something
 * elsewhere. Each waits for its answer.
 *
 * The two end together: a helper whose daemon is gone leaves, and a daemon whose helper
 * is gone finds priv_fd() readable, and all verbs failing with -EPIPE.
 */
#ifndef CTL_PRIV_H
#define CTL_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/config.h"
#include "ctl/netlink.h"
#include "dataplane/tap.h"
#include "dataplane/udp.h"

struct priv;

/* All the paths that the helper will ever write to or give the daemon to read. They outlive it. */
struct priv_files {
	const char *config;
	const char *lock;
	const char *control;
	const char *uapi;
};

/*
 * Forks the helper, which is better done before there are threads, keys or anything
 * open: it takes nothing along but @files (NULL: it has no business with files).
 */
int priv_open(struct priv **priv, const struct priv_files *files);
/* Waits until the helper has ended. */
void priv_close(struct priv *priv);
int priv_fd(const struct priv *priv);
/* Where the effects of verbs are to be seen at once. */
void priv_use_netlink(struct priv *priv, struct netlink *netlink);

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

/* Room for many events in a netlink socket. */
int priv_widen(struct priv *priv, int fd);

/* Opens the daemon's own configuration and the key files it names. */
extern const struct config_files_ops priv_config_files; /* their @arg: the struct priv */
/* The sockets' paths and the lock, whose holder the caller still is. */
int priv_remove_files(struct priv *priv);

/* Threads of this process may take the lowest realtime priority from now on. */
int priv_allow_realtime(struct priv *priv);

#endif
