/* SPDX-License-Identifier: MIT */
/*
 * From one configuration to the next, all or nothing. What can fail is done
 * first, on the side; then the new picture is put in force by steps that cannot
 * fail. Peers and networks that both configurations have go on undisturbed.
 */
#ifndef CTL_APPLY_H
#define CTL_APPLY_H

#include "ctl/state.h"

struct apply_summary {
	unsigned int peers_added, peers_removed, peers_changed;
	unsigned int networks_added, networks_removed;
	bool identity_changed, socket_changed;
};

/*
 * Puts @config, which passed config_check(), in force; it is the state's then. What was
 * in force until then is freed, or the caller's, in *@before if that is not NULL. On
 * failure nothing has changed, *@before is left alone, @config is still the caller's, and
 * @error says what was in the way. @summary may be NULL. 0 or -errno.
 */
int apply_config(struct state *state, struct config *config, struct config **before,
                 struct apply_summary *summary, struct config_error *error);

/*
 * After the first configuration was put in force, and upkeep_networks() has had a look at
 * the bridges: workers get the sockets and TAPs, each at once. So nothing that waits in
 * them is read before there is a view by which it goes on. 0 or -errno.
 */
int apply_begin(struct state *state);

/* The same configuration, a new view: when a bridge changed. 0 or -ENOMEM. */
int apply_view(struct state *state);

/* What a configuration runs by; arrays in the order of its peers and networks. */
struct apply_parts {
	const struct run_peer *peers;
	struct run_network *const *networks;
	const struct run_members *members;
};

/* For the above: the view of a configuration and what runs for it. NULL: out of memory. */
struct view *apply_make_view(const struct config *config, const struct apply_parts *parts);

/* Ends all that apply_config() made. */
void apply_end(struct state *state);

#endif
