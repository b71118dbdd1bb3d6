/* SPDX-License-Identifier: MIT */
/*
 * Introductions: the host that took another one in tells all its members of it, each
 * until it has answered, and these take it in if they marked the teller so
 * (Introducer = yes), after looking for themselves whether it fits. What an introducer
 * said is heard once: its numbers only grow, so what a member removed is not brought
 * back by a message that was on its way.
 */
#ifndef CTL_INTRODUCE_H
#define CTL_INTRODUCE_H

#include "ctl/roll.h"
#include "ctl/state.h"
#include "dataplane/join.h"

/* Between two tries with one member: 1 s at first, at last an hour. */
#define INTRODUCE_FAST_TRIES 5
#define INTRODUCE_SLOW_S     3600u
/* So many members are told at once, and then one for each that answers: the box has room for that. */
#define INTRODUCE_AT_ONCE (POST_BOX / 2)

/* @from, a member, answers. */
void introduce_answered(struct state *state, const struct config_peer *from,
                        const struct join_message *message);
/* @from, an introducer, tells of a host. */
void introduce_take(struct state *state, const struct config_peer *from,
                    const struct join_message *message);
/* Tells whoever is due, INTRODUCE_AT_ONCE of them. @now_ns: device_now(). */
void introduce_run(struct state *state, uint64_t now_ns);
/* Writes down who answered since, not all of very many. */
void introduce_note(struct roll *roll);
/* Hosts whose peers were removed are not told of, nor brought back. */
void introduce_look(struct state *state);

/* roll_find_claim(), and the addresses that bridges here have. */
bool introduce_find_claim(const struct state *state, const struct prefix *range,
                          struct roll_claim *claim);
/* roll_list_claims(), and those. */
int introduce_list_claims(const struct state *state, const struct prefix *range,
                          struct roll_claims *claims);

/* What is on the wire of a host. */
void introduce_fill(struct join_host *to, const struct roll_host *host);

#endif
