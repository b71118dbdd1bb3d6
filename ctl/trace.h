/* SPDX-License-Identifier: MIT */
/*
 * What would become of a packet: the daemon's half of `ovlctl trace`. All that is known
 * here is told at once; beyond that a probe (dataplane/probe.h) is under way, and whoever
 * asked looks again until it is over.
 */
#ifndef CTL_TRACE_H
#define CTL_TRACE_H

#include <jansson.h>
#include "ctl/state.h"
#include "dataplane/probe.h"

/*
 * Requests of server.h; what they need and reply stands at the head of trace.c. NULL: out
 * of memory, or the request is wrong, and @wrong, which was empty, says how.
 */
#define TRACE_WRONG_MAX 256
json_t *trace_begin(struct state *state, const json_t *request, char wrong[TRACE_WRONG_MAX]);
json_t *trace_look(struct state *state, const json_t *request, char wrong[TRACE_WRONG_MAX]);

/* A packet's path through this host, up to the session: trace_path.c. */
struct trace {
	struct state *state;
	const struct view *view;
	uint64_t now_ns;
	bool to_mac; /* the destination is a MAC, not an address */
	bool has_source; /* it was given */
	bool sourced; /* there is one */
	bool known; /* and it is said to be here, so that it can be tried */
	struct probe_packet packet;

	size_t network; /* its place in the configuration; SIZE_MAX: none */
	const struct view_network *net;
	struct peer *ask; /* who is asked where nobody has told; NULL: not said */
	bool flooded; /* nobody has told, and each member is to be asked */
	struct peer *peer; /* whose it is; NULL: nobody's, or this host's */
	bool here; /* it lives on this host */
	json_t *steps;
	bool stopped;
};

/* True: @trace->peer is to be asked. */
bool trace_path(struct trace *trace);
/* The longest IP packet that goes to the peer in one message. */
uint32_t trace_largest(const struct trace *trace);

#endif
