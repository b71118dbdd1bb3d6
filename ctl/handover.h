/* SPDX-License-Identifier: MIT */
/*
 * A restart that keeps sessions: one life of the daemon hands what it has to the next,
 * by the service manager's file descriptor store (docs/architecture.md, "Restart").
 *
 * What travels, by name:
 *
 *	ovltun-tap    every queue of every TAP: while somebody holds one the device lives,
 *	              and so its port of the bridge, its MAC, its FDB entries, its MTU
 *	ovltun-udp    every UDP socket: datagrams queue in it while nobody reads
 *	ovltun-state  one sealed memfd with all else (handover_state.h)
 *
 * The control sockets do not: a client that comes in between is told that nobody is
 * there, and what listens is bound to its path anew.
 *
 * Order. The old life: workers are stopped and joined, so nothing is sealed any more;
 * the state is written; TAPs, sockets and at last the state are stored; a barrier says
 * that the manager has them; it ends. The new life: takes them all; has the manager
 * let go of them; marks the state as used; and only when a barrier has said that the
 * manager holds it no more, uses the sessions in it.
 *
 * Why a state is used once. The manager gives it to one process after the other. A
 * process that uses it has seen that the manager has it no more, so none after it gets
 * it. If a manager gave it away twice all the same: the first adds F_SEAL_SEAL to the
 * file, which the kernel lets happen once, whoever holds it by whichever descriptor;
 * who finds it there, or cannot add it, uses no session. A crash, then, leaves nothing
 * behind: what was stored is gone from the store, and nothing was stored since.
 *
 * In doubt (two states, a damaged or foreign or old one, a manager that does not
 * answer, another PSK) there are new handshakes, as at any start.
 */
#ifndef CTL_HANDOVER_H
#define CTL_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include "ctl/state.h"

struct handover;

/*
 * The old life: no worker runs any more. 0: the next life has all, and what the bridges
 * and the host have of ours is to be left as it is; -errno: nothing is stored.
 */
int handover_give(struct state *state);

/* The new life. What the manager kept; NULL: nothing, or no memory for it. */
struct handover *handover_take(const struct device *device, const struct config *config);
/* Closes what nobody asked for, and wipes the rest. Takes NULL. */
void handover_close(struct handover *handover);

/*
 * What fits the configuration; @handover may be NULL, then nothing does. What does not fit
 * is closed by handover_take() already: so no name and no port is taken by it. Without a
 * state to be believed that cannot be told, and a new TAP may need another name. @name:
 * what the TAP would be called if it were made.
 */
bool handover_adopt_tap(struct handover *handover, const struct config_network *network,
                        unsigned int queues, const char *name, struct tap *tap);
/* Whether a device of that name is held that nobody has adopted. */
bool handover_has_tap(const struct handover *handover, const char *name);
bool handover_adopt_udp(struct handover *handover, struct udp_sockets *group, unsigned int count,
                        uint16_t port, uint32_t fwmark);

/* A new peer, not yet known to workers: gets what its last life had. */
void handover_put_peer(struct handover *handover, struct run_peer *run,
                       const struct config_peer *peer);
/*
 * Before upkeep_networks(): routes that the last life set, and this one does not want, go.
 * And behind it, before workers begin: networks know their containers.
 */
void handover_drop_routes(const struct handover *handover, const struct state *state);
void handover_put_neighbours(const struct handover *handover, const struct state *state);

/* When workers run on what was adopted: what was due is due again, and it is said. */
void handover_go_on(struct handover *handover, const struct state *state);

/* The number of this life, which the peers are told, is greater than the last one's. */
void handover_follow(const struct handover *handover, struct device *device);

#endif
