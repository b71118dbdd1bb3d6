/* SPDX-License-Identifier: MIT */
/* trace: one screen for people, or one object for programs. */
#include <stdio.h>
#include <string.h>
#include "ctl/client.h"
#include "ctl/ovlctl.h"
#include "ctl/text.h"
#include "ctl/trace_tool.h"

static void print_ends(const struct trace_result *result, bool color)
{
	const char *from = client_text(result->start, "from");

	text_print(stdout, color, TEXT_BOLD, "%s%s%s", from, *from ? " → " : "",
	           client_text(result->start, "to"));
	printf("  %" JSON_INTEGER_FORMAT " bytes", client_number(result->start, "size"));
	if (result->full)
		printf(", then %" JSON_INTEGER_FORMAT, client_number(result->full, "size"));
	putchar('\n');
}

static enum text_style style_of(const char *verdict)
{
	return strcmp(verdict, "ok") == 0     ? TEXT_GOOD
	       : strcmp(verdict, "stop") == 0 ? TEXT_BAD
	                                      : TEXT_WARN;
}

static int print_steps(const struct trace_result *result, bool color)
{
	static const struct text_column columns[] = {
		{ NULL, false }, { NULL, false }, { NULL, false }, { NULL, false }
	};
	struct text_table *table = text_table_new(columns, sizeof(columns) / sizeof(columns[0]));
	const char *last = "";
	const json_t *step;
	size_t i;
	int ret;

	if (!table)
		return OVLCTL_FAILED;
	json_array_foreach (result->steps, i, step) {
		const char *at = client_text(step, "at"), *verdict = client_text(step, "verdict");
		const char *reason = client_text(step, "reason");

		text_table_put(table, TEXT_DIM, "%s", strcmp(at, last) == 0 ? "   ↓" : at);
		text_table_put(table, TEXT_PLAIN, "%s", client_text(step, "step"));
		text_table_put(table, style_of(verdict), "%s", verdict);
		text_table_put(table, TEXT_PLAIN, "%s%s%s", reason, *reason ? ": " : "",
		               client_text(step, "text"));
		last = at;
	}
	text_table_fit(table, text_terminal_width(stdout));
	ret = text_table_print(table, stdout, color);
	text_table_free(table);
	return ret ? OVLCTL_FAILED : OVLCTL_OK;
}

/* "in-source 3, in-vni 1" of an object of counters. */
static const char *list_drops(const json_t *drops, char *out, size_t size)
{
	const char *name;
	const json_t *count;
	size_t used = 0;

	(void)snprintf(out, size, "%s", json_object_size(drops) ? "" : "none");
	json_object_foreach ((json_t *)(uintptr_t)drops, name, count) {
		int n = used < size
		                ? snprintf(out + used, size - used, "%s%s %" JSON_INTEGER_FORMAT,
		                           used ? ", " : "", name, json_integer_value(count))
		                : 0;

		used += n > 0 ? (size_t)n : 0;
	}
	return out;
}

static void print_line(const char *line)
{
	text_print_words(stdout, text_terminal_width(stdout), 11, TEXT_PLAIN, false, line);
}

static void print_peer(const struct trace_result *result)
{
	const json_t *peer = json_object_get(result->live ? result->live : result->start, "peer");
	const json_t *hello = json_object_get(peer, "hello");
	const char *name = client_text(peer, "name"), *endpoint = client_text(peer, "endpoint");
	const char *route = client_text(result->start, "route");
	const json_t *trip = json_object_get(peer, "round_trip_s");
	char line[512], trip_text[64] = "";

	if (!json_is_object(peer))
		return;
	if (json_is_real(trip))
		(void)snprintf(trip_text, sizeof(trip_text), ", round trip %.1f ms",
		               1000 * json_real_value(trip));
	(void)snprintf(line, sizeof(line), "peer       %s%s%s%s at %s%s%s",
	               *name ? name : client_text(peer, "public_key"), *route ? " (" : "", route,
	               *route ? ")" : "", *endpoint ? endpoint : "(not known)",
	               json_is_object(hello) ? ", an ovltun" : "", trip_text);
	print_line(line);
}

static void print_limits(const struct trace_result *result)
{
	const json_t *peer = json_object_get(result->live ? result->live : result->start, "peer");
	const json_t *hello = json_object_get(peer, "hello");
	const json_t *answer = json_object_get(result->live, "answer");
	char line[512];
	int n;

	if (!json_is_object(peer))
		return;
	n = snprintf(line, sizeof(line),
	             "limits     %" JSON_INTEGER_FORMAT
	             " bytes a packet; the tunnel takes %" JSON_INTEGER_FORMAT,
	             client_number(result->start, "largest"), client_number(peer, "tunnel_mtu"));
	if (json_is_object(hello) && n > 0 && (size_t)n < sizeof(line))
		n += snprintf(line + n, sizeof(line) - (size_t)n,
		              ", the peer %" JSON_INTEGER_FORMAT,
		              client_number(hello, "tunnel_mtu"));
	if (client_number(answer, "tap_mtu") && n > 0 && (size_t)n < sizeof(line))
		(void)snprintf(line + n, sizeof(line) - (size_t)n,
		               ", its TAP %" JSON_INTEGER_FORMAT, client_number(answer, "tap_mtu"));
	print_line(line);
}

static void print_counters(const struct trace_result *result)
{
	const json_t *peer = json_object_get(result->live ? result->live : result->start, "peer");
	const json_t *answer = json_object_get(result->live, "answer");
	char line[512], drops[256];

	if (!json_is_object(peer))
		return;
	(void)snprintf(line, sizeof(line),
	               "here       %" JSON_INTEGER_FORMAT " messages sent, %" JSON_INTEGER_FORMAT
	               " received; dropped: %s",
	               client_number(peer, "tx_packets"), client_number(peer, "rx_packets"),
	               list_drops(json_object_get(peer, "drops"), drops, sizeof(drops)));
	print_line(line);
	if (!json_is_object(answer))
		return;
	(void)snprintf(line, sizeof(line),
	               "there      %" JSON_INTEGER_FORMAT " received, %" JSON_INTEGER_FORMAT
	               " lost, %" JSON_INTEGER_FORMAT " sent; dropped: %s",
	               client_number(answer, "received"), client_number(answer, "lost"),
	               client_number(answer, "sent"),
	               list_drops(json_object_get(answer, "drops"), drops, sizeof(drops)));
	print_line(line);
}

static void print_verdict(const struct trace_result *result, bool color)
{
	const json_t *stop = trace_stop(result);
	const char *reason = client_text(stop, "reason");

	switch (result->verdict) {
	case TRACE_REACHES:
		text_print(stdout, color, TEXT_GOOD, "it arrives");
		puts("");
		break;
	case TRACE_STOPS:
		text_print(stdout, color, TEXT_BAD, "it stops");
		printf(" %s, at %s%s%s\n",
		       strcmp(client_text(stop, "at"), "here") == 0 ? "here" : "at the peer",
		       client_text(stop, "step"), *reason ? ": " : "", reason);
		break;
	case TRACE_UNKNOWN:
		text_print(stdout, color, TEXT_WARN, "it cannot be told");
		puts(": nothing more can be seen from here");
		break;
	}
}

/* As long as it is: a command may have a path in it. */
static void print_cause(const char *before, const char *text, unsigned int width)
{
	json_t *line = json_sprintf("%s%s", before, text);

	text_print_words(stdout, width, *before == ' ' ? 6 : 3, TEXT_PLAIN, false,
	                 line ? json_string_value(line) : text);
	json_decref(line);
}

int trace_print_text(const struct trace_result *result)
{
	bool color = text_use_color(stdout);
	unsigned int width = text_terminal_width(stdout);
	const json_t *cause;
	size_t i;
	int status;

	print_ends(result, color);
	status = print_steps(result, color);
	print_peer(result);
	print_limits(result);
	print_counters(result);
	print_verdict(result, color);
	json_array_foreach (result->causes, i, cause) {
		char number[32];

		(void)snprintf(number, sizeof(number), "%zu. ", i + 1);
		print_cause(number, client_text(cause, "text"), width);
		if (*client_text(cause, "mend"))
			print_cause("   mend: ", client_text(cause, "mend"), width);
		if (*client_text(cause, "advice"))
			print_cause("   advice: ", client_text(cause, "advice"), width);
	}
	return status;
}

json_t *trace_make_json(const struct trace_result *result)
{
	static const char *const verdicts[] = {
		[TRACE_REACHES] = "reaches",
		[TRACE_STOPS] = "stops",
		[TRACE_UNKNOWN] = "unknown",
	};
	static const char *const taken[] = { "to",    "from",    "size",   "here",   "network",
		                             "route", "largest", "source", "station" };
	json_t *out = json_pack("{s:b, s:i, s:s, s:O, s:O}", "ok", 1, "version", 1, "verdict",
	                        verdicts[result->verdict], "steps", result->steps, "causes",
	                        result->causes);

	if (!out)
		return NULL;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		json_object_set(out, taken[i], json_object_get(result->start, taken[i]));
	json_object_set(out, "peer",
	                json_object_get(result->live ? result->live : result->start, "peer"));
	json_object_set_new(out, "answer",
	                    result->live ? json_incref(json_object_get(result->live, "answer"))
	                                 : json_null());
	json_object_set_new(out, "here_answer",
	                    result->live ? json_incref(json_object_get(result->live, "here"))
	                                 : json_null());
	json_object_set(out, "asked", result->asked);
	json_object_set_new(out, "full_size",
	                    result->full ? json_incref(json_object_get(result->full, "size"))
	                                 : json_null());
	json_object_set_new(out, "full_answer",
	                    result->full_live
	                            ? json_incref(json_object_get(result->full_live, "answer"))
	                            : json_null());
	return out;
}
