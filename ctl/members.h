/* SPDX-License-Identifier: MIT */
/*
 * Who is a member of which bridged network. A member lasts as long as its peer and
 * network do and the peer is granted the VNI; a configuration's members are made
 * beside those in force and take their place at the commit (apply.c).
 */
#ifndef CTL_MEMBERS_H
#define CTL_MEMBERS_H

#include "ctl/state.h"

/*
 * The members of @network, the one of @config's at @place: those of @old (may be
 * NULL) that go on, and new ones. @peers: in the order of @config's. 0 or -ENOMEM; what
 * was made by then is in @members either way.
 */
int members_plan(struct run_members *members, const struct config *config, size_t place,
                 const struct run_peer *peers, struct network *network,
                 const struct run_members *old);

/*
 * Retires those of @members that @kept (may be NULL) has not, and frees the list.
 * Before their peers and network are retired, after the view without them.
 */
void members_end(struct run_members *members, const struct run_members *kept);

/* What this host and each member may do. */
void members_permit(const struct run_members *members, const struct config_network *config,
                    struct network *network);

/*
 * The static entries of a bridged @network's FDB that @before had, the configuration that
 * was in force, and @now has not, go; and those of the configuration's network at @place are
 * made. @members, @peers: of the new configuration. The first before members_end() of the
 * old ones, so that there is little left to look for.
 */
void members_free_stations(const struct run_members *members, const struct config_network *now,
                           const struct config_network *before, struct network *network);
void members_fix_stations(const struct run_members *members, const struct config *config,
                          size_t place, const struct run_peer *peers, struct network *network);

#endif
