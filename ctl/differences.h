/* SPDX-License-Identifier: MIT */
/*
 * What one configuration has otherwise than another: what `ovlctl sync` changes, or
 * with --dry-run would change. Secrets are named, never shown.
 */
#ifndef CTL_DIFFERENCES_H
#define CTL_DIFFERENCES_H

#include <stddef.h>
#include "ctl/config.h"

enum difference_kind { DIFFERENCE_INTERFACE, DIFFERENCE_NETWORK, DIFFERENCE_PEER };
enum difference_change { DIFFERENCE_ADDED, DIFFERENCE_REMOVED, DIFFERENCE_CHANGED };

struct difference {
	enum difference_kind kind;
	enum difference_change change;
	const char *name; /* a network's; a peer's label (state_label_peer()); "" */
	const uint8_t *key; /* a peer's */
};

struct difference_ops {
	void (*item)(void *arg, const struct difference *difference);
	/* Of the last item, which is CHANGED: "MTU auto -> 1400", "AllowedIPs +10.0.0.0/8". */
	void (*detail)(void *arg, const char *text);
};

/* A network of another bridge, mode or VNI is another one: the old goes, the new comes. */
struct difference_counts {
	unsigned int peers_added, peers_removed, peers_changed;
	unsigned int networks_added, networks_removed, networks_changed;
	bool interface_changed;
};

/*
 * In this order: the interface, networks, peers; of each what goes before what is there.
 * @ops: NULL when nothing but @counts is wanted.
 */
void differences_list(const struct config *from, const struct config *to,
                      const struct difference_ops *ops, void *arg,
                      struct difference_counts *counts);
/* Whether two networks are run otherwise, their FDBs' static entries apart. */
bool differences_in_settings(const struct config_network *a, const struct config_network *b);

#endif
