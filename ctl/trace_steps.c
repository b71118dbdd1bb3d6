/* SPDX-License-Identifier: MIT */
/* trace: the steps, from this host's container to the peer's and back. */
#include "ctl/trace_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/text.h"

static const char *const verdicts[] = {
	[TRACE_REACHES] = "ok",
	[TRACE_STOPS] = "stop",
	[TRACE_UNKNOWN] = "unknown",
};

__attribute__((format(printf, 6, 7))) static bool tell(struct trace_result *result, const char *at,
                                                       const char *step, enum trace_verdict verdict,
                                                       const char *reason, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	json_t *string = json_string(text);

	json_array_append_new(result->steps, json_pack("{s:s, s:s, s:s, s:s?, s:o}", "at", at,
	                                               "step", step, "verdict", verdicts[verdict],
	                                               "reason", reason && *reason ? reason : NULL,
	                                               "text", string ? string : json_string("?")));
	if (verdict != TRACE_REACHES && result->verdict == TRACE_REACHES)
		result->verdict = verdict;
	return verdict == TRACE_REACHES;
}

const json_t *trace_stop(const struct trace_result *result)
{
	size_t i;
	const json_t *step;

	json_array_foreach (result->steps, i, step)
		if (strcmp(client_text(step, "verdict"), verdicts[TRACE_REACHES]) != 0)
			return step;
	return NULL;
}

static const char *peer_name(const struct trace_result *result)
{
	const json_t *peer = json_object_get(result->start, "peer");
	const char *name = client_text(peer, "name");

	return *name ? name : client_text(peer, "public_key");
}

static bool tell_here(struct trace_result *result)
{
	const json_t *steps = json_object_get(result->start, "steps"), *step;
	bool good = true;
	size_t i;

	json_array_foreach (steps, i, step) {
		bool ok = json_is_true(json_object_get(step, "ok"));
		enum trace_verdict stops = json_is_true(json_object_get(step, "unknown"))
		                                   ? TRACE_UNKNOWN
		                                   : TRACE_STOPS;

		good &= tell(result, "here", client_text(step, "step"), ok ? TRACE_REACHES : stops,
		             ok ? NULL : client_text(step, "reason"), "%s",
		             client_text(step, "text"));
	}
	return good;
}

/* It lives on this host: whether it is there. */
static void tell_local(struct trace_result *result)
{
	const json_t *station = json_object_get(result->start, "station");
	const char *state = client_text(station, "state");
	char age[TEXT_MAX];

	if (strcmp(state, "failed") == 0 || strcmp(state, "incomplete") == 0)
		(void)tell(result, "here", "container", TRACE_STOPS, "in-unresolved",
		           "no container answers for it");
	else if (!*state)
		(void)tell(result, "here", "container", TRACE_UNKNOWN, NULL,
		           "nothing is known of it: nobody asked for it through the tunnel yet");
	else
		(void)tell(result, "here", "container", TRACE_REACHES, NULL, "at %s, heard of %s",
		           client_text(station, "mac"),
		           text_format_age(1,
		                           1 + (uint64_t)json_number_value(
						       json_object_get(station, "age_s")),
		                           age));
}

/* Nobody has told where it is, and none of those asked has said that it has it. */
static void tell_flooded(struct trace_result *result)
{
	size_t i, silent = result->unasked, all = json_array_size(result->asked) + silent;
	const json_t *asked;

	json_array_foreach (result->asked, i, asked)
		silent += !json_is_true(json_object_get(asked, "answered"));
	if (silent)
		(void)tell(result, "here", "members", TRACE_UNKNOWN, NULL,
		           "%zu of %zu did not answer; of the others none has it", silent, all);
	else
		(void)tell(result, "here", "members", TRACE_STOPS, "in-unresolved",
		           "none of the %zu has it: nobody answers there by ARP or neighbour "
		           "discovery",
		           all);
}

/* The source's end: whether bridge and container answer there, and with what length. */
static bool tell_source(struct trace_result *result)
{
	const json_t *here = json_object_get(result->live, "here");
	const json_t *full = json_object_get(result->full_live, "here");
	const char *from = client_text(result->start, "from"),
		   *reason = client_text(here, "reason");
	char text[TEXT_SENTENCE_MAX];

	if (!json_is_object(here))
		return true;
	if (*reason)
		return tell(result, "here", "container", TRACE_STOPS, reason, "%s: %s", from,
		            text_continue(client_text(here, "text"), text));
	if (strcmp(client_text(here, "stage"), "answered") != 0)
		return tell(result, "here", "container", TRACE_STOPS, NULL,
		            "%s answers no ping that comes by the bridge here", from);
	if (json_is_object(full) && strcmp(client_text(full, "stage"), "answered") != 0)
		return tell(result, "here", "container", TRACE_STOPS, NULL,
		            "%s answers a ping, but none of %" JSON_INTEGER_FORMAT " bytes", from,
		            client_number(result->full, "size"));
	return tell(result, "here", "container", TRACE_REACHES, NULL,
	            "%s answers a ping by the bridge here", from);
}

static bool has_number(const json_t *list, json_int_t number)
{
	const json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (json_integer_value(item) == number)
			return true;
	return false;
}

/* Frames go to who said that it takes them. */
static bool tell_hello(struct trace_result *result)
{
	const json_t *hello = json_object_get(json_object_get(result->live, "peer"), "hello");
	json_int_t vni = client_number(json_object_get(result->start, "network"), "vni");

	if (!vni || !json_is_object(hello))
		return true;
	if (!has_number(json_object_get(hello, "vnis"), vni))
		return tell(result, "here", "hello", TRACE_STOPS, "out-no-hello",
		            "%s takes no frames of VNI %" JSON_INTEGER_FORMAT, peer_name(result),
		            vni);
	return tell(result, "here", "hello", TRACE_REACHES, NULL,
	            "%s takes frames of VNI %" JSON_INTEGER_FORMAT, peer_name(result), vni);
}

/* Up to the request: true if one went out. */
static bool tell_session(struct trace_result *result)
{
	const json_t *peer = json_object_get(result->live, "peer");
	const char *phase = client_text(result->live, "phase"), *name = peer_name(result);
	const char *endpoint = client_text(peer, "endpoint");
	bool bridged = strcmp(client_text(json_object_get(result->start, "network"), "mode"),
	                      "bridged") == 0;
	char age[TEXT_MAX];

	if (strcmp(phase, "no-endpoint") == 0)
		return tell(result, "here", "session", TRACE_STOPS, "out-no-endpoint",
		            "it is not known where peer %s is", name);
	if (strcmp(phase, "no-key") == 0)
		return tell(result, "here", "session", TRACE_STOPS, "out-no-key",
		            "no session with peer %s can ever be", name);
	if (strcmp(phase, "no-session") == 0)
		return tell(result, "here", "session", TRACE_STOPS, "out-stage-expired",
		            "no handshake with %s was answered", endpoint);
	(void)tell(result, "here", "session", TRACE_REACHES, NULL, "with %s, its key %s old",
	           endpoint,
	           text_format_duration((uint64_t)client_number(peer, "session_age_s"), age));
	if (strcmp(phase, "stock") == 0 && bridged)
		return tell(result, "here", "hello", TRACE_STOPS, "out-no-hello",
		            "%s is a stock WireGuard peer, which takes no frames", name);
	if (strcmp(phase, "stock") == 0)
		return tell(result, "peer", "probe", TRACE_UNKNOWN, NULL,
		            "%s is a stock WireGuard peer: nothing answers there", name);
	if (strcmp(phase, "too-old") == 0)
		return tell(result, "peer", "probe", TRACE_UNKNOWN, NULL,
		            "%s runs an ovltun that knows no probes", name);
	return tell_hello(result);
}

struct seen {
	const json_t *answer;
	const char *stage, *reason, *text;
};

static int rank(const char *stage)
{
	static const char *const stages[] = { "heard", "admitted", "attached",
		                              "found", "written",  "answered" };

	for (int i = 0; i < (int)(sizeof(stages) / sizeof(stages[0])); i++)
		if (strcmp(stages[i], stage) == 0)
			return i + 1;
	return 0;
}

static bool tell_container(struct trace_result *result, const struct seen *seen)
{
	bool gateway = json_is_true(json_object_get(seen->answer, "gateway"));
	bool contested = json_is_true(json_object_get(seen->answer, "contested"));

	if (rank(seen->stage) < rank("found"))
		return tell(result, "peer", "container", TRACE_STOPS,
		            *seen->reason ? seen->reason : "in-unresolved",
		            "nobody answers for it by ARP or neighbour discovery");
	return tell(result, "peer", "container", TRACE_REACHES, NULL, "%s",
	            gateway     ? "it is that host's bridge itself"
	            : contested ? "found, though two MACs say that they have the address"
	                        : "it answered by ARP or neighbour discovery");
}

/* What the peer made of the packet. */
static bool tell_peer(struct trace_result *result, const struct seen *seen)
{
	int stage = rank(seen->stage);
	unsigned int mtu = (unsigned int)client_number(seen->answer, "tap_mtu");

	if (!*client_text(result->start, "from") && strcmp(seen->reason, "in-martian") == 0)
		return tell(result, "here", "probe", TRACE_UNKNOWN, NULL,
		            "no container of this host was heard yet that the packet could come "
		            "from");
	if (stage < rank("admitted"))
		return tell(result, "peer", "checks", TRACE_STOPS, seen->reason, "%s",
		            *seen->text ? seen->text : seen->reason);
	(void)tell(result, "peer", "checks", TRACE_REACHES, NULL,
	           "source, destination and network agree");
	if (stage < rank("attached"))
		return tell(result, "peer", "bridge", TRACE_STOPS, seen->reason, "%s",
		            *seen->text ? seen->text : seen->reason);
	(void)tell(result, "peer", "bridge", TRACE_REACHES, NULL, "the TAP is its port, MTU %u",
	           mtu);
	if (!tell_container(result, seen))
		return false;
	if (stage == rank("found"))
		return true; /* no IP: there is nothing that would answer */
	if (stage < rank("answered"))
		return tell(result, "peer", "ping", TRACE_STOPS, NULL,
		            "it answers no ping of %" JSON_INTEGER_FORMAT
		            " bytes that the daemon there sends it",
		            client_number(result->start, "size"));
	(void)tell(result, "peer", "ping", TRACE_REACHES, NULL, "it answered one by the bridge");
	return true;
}

static bool tell_arrival(struct trace_result *result)
{
	const json_t *time = json_object_get(result->live, "round_trip_s");

	if (!client_number(result->live, "answers"))
		return tell(result, "peer", "arrived", TRACE_STOPS, NULL,
		            "none of %" JSON_INTEGER_FORMAT " requests was answered%s",
		            client_number(result->live, "requests"),
		            json_is_true(json_object_get(result->live, "renewed"))
		                    ? ", nor was a new handshake"
		                    : "");
	return tell(result, "peer", "arrived", TRACE_REACHES, NULL, "answered after %.1f ms",
	            1000 * json_number_value(time));
}

/* The longer one. Only its length is new. */
static bool tell_full(struct trace_result *result)
{
	const json_t *answer = json_object_get(result->full_live, "answer");
	json_int_t size = client_number(result->full, "size");
	json_int_t largest = client_number(result->start, "largest");

	if (!result->full_live)
		return true;
	if (!client_number(result->full_live, "answers"))
		return tell(result, "peer", "size", TRACE_STOPS, NULL,
		            "%" JSON_INTEGER_FORMAT " bytes in one datagram do not arrive there",
		            size);
	if (strcmp(client_text(answer, "stage"), "answered") != 0)
		return tell(result, "peer", "size", TRACE_STOPS, NULL,
		            "%" JSON_INTEGER_FORMAT " bytes arrive there, but not at the container",
		            size);
	return tell(result, "peer", "size", TRACE_REACHES, NULL,
	            "%" JSON_INTEGER_FORMAT " bytes arrive%s", size,
	            result->wanted > largest ? "; longer packets are cut, fragmented, or answered"
	                                     : "");
}

void trace_tell_steps(struct trace_result *result)
{
	const json_t *answer = json_object_get(result->live, "answer");
	const struct seen seen = { answer, client_text(answer, "stage"),
		                   client_text(answer, "reason"), client_text(answer, "text") };

	if (!tell_here(result))
		return;
	if (!result->live) {
		if (json_is_array(json_object_get(result->start, "members")))
			tell_flooded(result);
		else
			tell_local(result);
		return;
	}
	(void)tell_source(result);
	if (tell_session(result) && tell_arrival(result) && tell_peer(result, &seen))
		(void)tell_full(result);
}
