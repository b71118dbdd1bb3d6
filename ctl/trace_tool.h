/* SPDX-License-Identifier: MIT */
/*
 * ovlctl trace: what the daemon told, what that means (trace_steps.c, trace_cause.c), and
 * how it is said (trace_text.c).
 *
 * One list of steps from here to there; the first that is not ok is where it stops. What
 * can be behind that is a list too, the most probable first. What cannot be told from
 * here is said to be so.
 */
#ifndef CTL_TRACE_TOOL_H
#define CTL_TRACE_TOOL_H

#include <jansson.h>
#include <stdbool.h>

enum trace_verdict { TRACE_REACHES, TRACE_STOPS, TRACE_UNKNOWN };

struct trace_result {
	json_t *start; /* the daemon's reply to "trace" */
	json_t *live; /* of the last "trace-look"; NULL: nothing was asked */
	json_t *full, *full_live; /* the same of the longer probe; NULL: there was none */
	json_t *last; /* the reply to "drops-last"; NULL */
	json_t *asked; /* members, that have it not or did not answer: peer, answered, reason */
	size_t unasked; /* members beyond those */
	long long wanted; /* --size; 0: not given */

	json_t *steps; /* at, step, verdict (ok, stop, unknown), reason, text */
	json_t *causes; /* text, mend (null) */
	enum trace_verdict verdict;
};

/* trace_steps.c */
void trace_tell_steps(struct trace_result *result);
/* The step that is not ok; NULL: there is none. */
const json_t *trace_stop(const struct trace_result *result);

/* trace_cause.c: behind the steps. */
void trace_tell_causes(struct trace_result *result);

/*
 * trace_doctor.c: what doctor finds that such a stop may come from; where there is none,
 * what is wrong with the ends all the same. False: nothing.
 */
bool trace_tell_doctors(struct trace_result *result);

/* trace_text.c */
int trace_print_text(const struct trace_result *result);
json_t *trace_make_json(const struct trace_result *result);

#endif
