/* SPDX-License-Identifier: MIT */
/* events: what happened lately, and (--follow) what happens from now on. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "ctl/client.h"
#include "ctl/text.h"

/* How often a follower asks: the daemon itself looks once a second. */
#define ASK_AGAIN_NS 500000000L

struct events_view {
	bool json;
	bool follow;
	bool color;
	json_int_t boot; /* of the daemon that was seen last; 0: none yet */
	json_int_t newest;
};

static enum text_style style_of(const char *kind)
{
	static const struct {
		const char *kind;
		enum text_style style;
	} styles[] = {
		{ "handshake", TEXT_GOOD },       { "attached", TEXT_GOOD },
		{ "handshake-failed", TEXT_BAD }, { "detached", TEXT_BAD },
		{ "reload-failed", TEXT_BAD },    { "drops", TEXT_WARN },
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].kind, kind) == 0)
			return styles[i].style;
	return TEXT_PLAIN;
}

/* "2026-01-05 08:00:01  handshake         peer b: done with 192.0.2.2:51820" */
static void print_event(const json_t *event, bool color)
{
	double when = json_number_value(json_object_get(event, "time"));
	const char *kind = client_text(event, "kind"), *peer = client_text(event, "peer");
	const char *network = client_text(event, "network");
	const time_t seconds = (time_t)when;
	char stamp[32] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	printf("%s  ", stamp);
	text_print(stdout, color, style_of(kind), "%-16s", kind);
	printf("  %s%s%s%s%s%s\n", *peer ? "peer " : "", peer, *network ? "network " : "", network,
	       *peer || *network ? ": " : "", client_text(event, "text"));
}

static void print_events(const struct events_view *view, const json_t *reply)
{
	json_int_t missed = client_number(reply, "missed");
	json_t *event;
	size_t i;

	/* At first all that is not kept any more is history. */
	if (missed > 0 && view->boot && !view->json)
		printf("(%" JSON_INTEGER_FORMAT " more happened and are not kept any more)\n",
		       missed);
	json_array_foreach (json_object_get(reply, "events"), i, event) {
		if (!view->json) {
			print_event(event, view->color);
			continue;
		}
		(void)client_print_json_line(event);
	}
}

/* Asks once and prints what is new. An exit status. */
static int ask(struct events_view *view)
{
	json_t *reply;
	int status =
		client_call(json_pack("{s:s, s:I}", "do", "events", "after", view->newest), &reply);

	if (status != OVLCTL_OK)
		return status;
	if (view->boot && view->boot != client_number(reply, "boot") && view->newest) {
		/* Another daemon by that name: its first events are new, all of them. */
		view->boot = client_number(reply, "boot");
		view->newest = 0;
		json_decref(reply);
		return ask(view);
	}
	if (view->json && !view->follow)
		status = client_print_json(reply);
	else
		print_events(view, reply);
	view->boot = client_number(reply, "boot");
	view->newest = client_number(reply, "newest");
	json_decref(reply);
	return status;
}

int cmd_events(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = ASK_AGAIN_NS };
	struct events_view view = { .color = text_use_color(stdout) };
	int status;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			view.json = true;
		else if (strcmp(argv[i], "--follow") == 0 || strcmp(argv[i], "-f") == 0)
			view.follow = true;
		else
			return ovlctl_usage("events");
	}
	do {
		status = ask(&view);
		/* Who reads a pipe wants each line as it comes; who went away wants none. */
		if (fflush(stdout) != 0)
			return OVLCTL_FAILED;
	} while (view.follow && status == OVLCTL_OK && nanosleep(&pause, NULL) == 0);
	return status;
}
