/* SPDX-License-Identifier: MIT */
/*
 * top: what each peer sends and receives now. The daemon is asked for its counters
 * every few seconds, and what they grew by is the rate; peers are matched by their
 * keys, as both may come and go between two looks. The screen is curses'; --batch
 * prints the same lines one look after the other, --json an object for each look.
 */
#include "ctl/ovlctl.h"

#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/text.h"

#define DELAY_DEFAULT_S 1.0
#define DELAY_MIN_S     0.1
#define DELAY_MAX_S     3600.0
#define NAME_SHOWN      18
#define TOP_LINE        400
#define HEAD_LINES      4
#define SILENT_S        180 /* no session is older: that peer is silent */

/* A peer's counters of one look, or (rates) what they grew by in a second. */
struct top_peer {
	const char *key, *name; /* of the look's reply */
	double rx_bytes, tx_bytes, rx_packets, tx_packets, lost;
	double round_trip_s; /* of now; negative: not known */
	json_int_t handshake_age_s; /* -1: never */
};

struct top_look {
	json_t *reply; /* NULL: none yet */
	double at_s;
	size_t count;
	struct top_peer *peers; /* sorted by their keys */
};

struct top {
	double delay_s;
	long rounds; /* 0: until it is ended */
	bool batch, json;
	struct top_look before, now;
	double seconds; /* between the two */
	struct top_peer *rates; /* now.count of them, the busiest first */
};

static double clock_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int compare_keys(const void *a, const void *b)
{
	const struct top_peer *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static double busy(const struct top_peer *peer)
{
	return peer->rx_bytes + peer->tx_bytes;
}

/* The same order at each look among those that are idle, too. */
static int compare_rates(const void *a, const void *b)
{
	const struct top_peer *x = a, *y = b;
	int order = (busy(x) < busy(y)) - (busy(x) > busy(y));

	if (!order)
		order = strcmp(x->name, y->name);
	return order ? order : strcmp(x->key, y->key);
}

static void end_look(struct top_look *look)
{
	json_decref(look->reply);
	free(look->peers);
	memset(look, 0, sizeof(*look));
}

static void read_peer(struct top_peer *peer, const json_t *item)
{
	const json_t *age = json_object_get(item, "latest_handshake_age_s");
	const json_t *trip = json_object_get(item, "round_trip_s");

	*peer = (struct top_peer){
		.key = client_text(item, "public_key"),
		.name = client_text(item, "name"),
		.rx_bytes = (double)client_number(item, "rx_bytes"),
		.tx_bytes = (double)client_number(item, "tx_bytes"),
		.rx_packets = (double)client_number(item, "rx_packets"),
		.tx_packets = (double)client_number(item, "tx_packets"),
		.lost = (double)client_number(item, "lost"),
		.round_trip_s = json_is_real(trip) ? json_real_value(trip) : -1,
		.handshake_age_s = json_is_integer(age) ? json_integer_value(age) : -1,
	};
}

/* An exit status. */
static int take_look(struct top_look *look)
{
	const json_t *peers;
	json_t *item;
	size_t i;
	int status = client_call(json_pack("{s:s}", "do", "traffic"), &look->reply);

	if (status != OVLCTL_OK) {
		look->reply = NULL;
		return status;
	}
	look->at_s = clock_s();
	peers = json_object_get(look->reply, "peers");
	look->count = json_array_size(peers);
	look->peers = calloc(look->count + 1, sizeof(*look->peers));
	if (!look->peers)
		return OVLCTL_FAILED;
	json_array_foreach (peers, i, item)
		read_peer(&look->peers[i], item);
	qsort(look->peers, look->count, sizeof(*look->peers), compare_keys);
	return OVLCTL_OK;
}

/* A counter that went back began anew: with the daemon, or with the peer. */
static double growth(double now, double before, double seconds)
{
	return (now >= before ? now - before : now) / seconds;
}

static void rate_of(struct top_peer *rate, const struct top_peer *now,
                    const struct top_look *before, double seconds)
{
	const struct top_peer *old = NULL;

	*rate = (struct top_peer){ .key = now->key,
		                   .name = now->name,
		                   .round_trip_s = now->round_trip_s,
		                   .handshake_age_s = now->handshake_age_s };
	if (before->count)
		old = bsearch(now, before->peers, before->count, sizeof(*now), compare_keys);
	/* Who was not there before has no rate yet. */
	if (!old)
		return;
	rate->rx_bytes = growth(now->rx_bytes, old->rx_bytes, seconds);
	rate->tx_bytes = growth(now->tx_bytes, old->tx_bytes, seconds);
	rate->rx_packets = growth(now->rx_packets, old->rx_packets, seconds);
	rate->tx_packets = growth(now->tx_packets, old->tx_packets, seconds);
	/* What was missing and came late makes it less: that is no loss. */
	rate->lost = now->lost > old->lost ? (now->lost - old->lost) / seconds : 0;
}

/* The next look; the last but one is forgotten. An exit status. */
static int look_again(struct top *top)
{
	int status;

	end_look(&top->before);
	top->before = top->now;
	memset(&top->now, 0, sizeof(top->now));
	status = take_look(&top->now);
	if (status != OVLCTL_OK)
		return status;
	free(top->rates);
	top->rates = calloc(top->now.count + 1, sizeof(*top->rates));
	if (!top->rates)
		return OVLCTL_FAILED;
	top->seconds = top->now.at_s - top->before.at_s;
	if (top->seconds <= 0)
		top->seconds = 1;
	for (size_t i = 0; i < top->now.count; i++)
		rate_of(&top->rates[i], &top->now.peers[i], &top->before, top->seconds);
	qsort(top->rates, top->now.count, sizeof(*top->rates), compare_rates);
	return OVLCTL_OK;
}

/* Lines, for the screen and for --batch */

/* In four characters or five: "941k", "1.2M". */
static const char *format_rate(double value, char out[TEXT_MAX])
{
	static const char units[] = " kMGT";
	unsigned int unit = 0;

	for (; value >= 999.5 && unit + 2 < sizeof(units); unit++)
		value /= 1000;
	(void)snprintf(out, TEXT_MAX, value < 10 && unit ? "%.1f%.1s" : "%.0f%.1s", value,
	               unit ? &units[unit] : "");
	return out;
}

static void format_name(const struct top_peer *peer, char *out, size_t size)
{
	if (!*peer->name)
		(void)snprintf(out, size, "%.10s...", peer->key);
	else
		(void)snprintf(out, size, "%s", peer->name);
	/* A byte is a column: what might be half a character, or move the cursor, is not shown. */
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
			*p = '?';
}

static void format_handshake(json_int_t age_s, char out[TEXT_MAX])
{
	if (age_s < 0)
		(void)snprintf(out, TEXT_MAX, "never");
	else
		(void)text_format_age(1, (uint64_t)age_s + 1, out);
}

/* In seven characters, up to where a session would have ended: "0.24 ms", "1234 ms". */
static const char *format_round_trip(double seconds, char out[TEXT_MAX])
{
	double ms = seconds * 1e3;

	if (seconds < 0)
		(void)snprintf(out, TEXT_MAX, "-");
	else
		(void)snprintf(out, TEXT_MAX, "%.*f ms", ms < 10 ? 2 : ms < 100 ? 1 : 0, ms);
	return out;
}

static void format_peer(const struct top_peer *peer, char line[TOP_LINE])
{
	double sent = peer->rx_packets + peer->lost;
	char text[5][TEXT_MAX], age[TEXT_MAX], loss[TEXT_MAX], name[NAME_SHOWN + 1];

	format_name(peer, name, sizeof(name));
	format_handshake(peer->handshake_age_s, age);
	(void)text_format_share((uint64_t)(peer->lost * 1000 + 0.5), (uint64_t)(sent * 1000 + 0.5),
	                        loss);
	(void)snprintf(line, TOP_LINE, "%-*s %8s %8s %8s %8s %5s %7s  %s", NAME_SHOWN, name,
	               format_rate(peer->rx_bytes, text[0]), format_rate(peer->rx_packets, text[1]),
	               format_rate(peer->tx_bytes, text[2]), format_rate(peer->tx_packets, text[3]),
	               loss, format_round_trip(peer->round_trip_s, text[4]), age);
}

/* @lines: HEAD_LINES of them. */
static void format_head(const struct top *top, char lines[HEAD_LINES][TOP_LINE])
{
	const json_t *device = json_object_get(top->now.reply, "device");
	char text[4][TEXT_MAX], up[TEXT_MAX];
	struct top_peer sum = { .key = "" };
	size_t alive = 0;

	for (size_t i = 0; i < top->now.count; i++) {
		const struct top_peer *rate = &top->rates[i];

		sum.rx_bytes += rate->rx_bytes;
		sum.tx_bytes += rate->tx_bytes;
		sum.rx_packets += rate->rx_packets;
		sum.tx_packets += rate->tx_packets;
		alive += rate->handshake_age_s >= 0 && rate->handshake_age_s <= SILENT_S;
	}
	(void)snprintf(lines[0], TOP_LINE, "%s  up %s, %zu of %zu peers with a session",
	               client_text(device, "name"),
	               text_format_duration((uint64_t)client_number(device, "uptime_s"), up), alive,
	               top->now.count);
	(void)snprintf(lines[1], TOP_LINE,
	               "in %s bytes/s, %s packets/s; out %s bytes/s, %s packets/s",
	               format_rate(sum.rx_bytes, text[0]), format_rate(sum.rx_packets, text[1]),
	               format_rate(sum.tx_bytes, text[2]), format_rate(sum.tx_packets, text[3]));
	lines[2][0] = '\0';
	(void)snprintf(lines[3], TOP_LINE, "%-*s %8s %8s %8s %8s %5s %7s  %s", NAME_SHOWN, "PEER",
	               "IN B/s", "IN pkt/s", "OUT B/s", "OUTpkt/s", "LOSS", "RTT", "HANDSHAKE");
}

static int print_lines(const struct top *top, long round)
{
	char head[HEAD_LINES][TOP_LINE], line[TOP_LINE];

	format_head(top, head);
	if (round)
		putchar('\n');
	for (int i = 0; i < HEAD_LINES; i++)
		puts(head[i]);
	for (size_t i = 0; i < top->now.count; i++) {
		format_peer(&top->rates[i], line);
		puts(line);
	}
	return OVLCTL_OK;
}

static json_t *make_peer(const struct top_peer *peer)
{
	double sent = peer->rx_packets + peer->lost;

	return json_pack(
		"{s:s, s:s, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "name", peer->name, "public_key",
		peer->key, "rx_byte_rate", peer->rx_bytes, "tx_byte_rate", peer->tx_bytes,
		"rx_packet_rate", peer->rx_packets, "tx_packet_rate", peer->tx_packets, "loss",
		sent > 0 ? json_real(peer->lost / sent) : json_null(), "round_trip_s",
		peer->round_trip_s < 0 ? json_null() : json_real(peer->round_trip_s),
		"latest_handshake_age_s",
		peer->handshake_age_s < 0 ? json_null() : json_integer(peer->handshake_age_s));
}

static int print_json(const struct top *top)
{
	json_t *peers = json_array(), *object;
	struct timespec now = { .tv_sec = 0 };
	int status;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < top->now.count; i++)
		json_array_append_new(peers, make_peer(&top->rates[i]));
	object = json_pack("{s:b, s:i, s:f, s:f, s:O, s:o}", "ok", 1, "version", 1, "time",
	                   (double)now.tv_sec + (double)now.tv_nsec / 1e9, "interval_s",
	                   top->seconds, "device", json_object_get(top->now.reply, "device"),
	                   "peers", peers);
	status = client_print_json_line(object);
	json_decref(object);
	return status;
}

static int run_batch(struct top *top)
{
	const struct timespec pause = {
		.tv_sec = (time_t)top->delay_s,
		.tv_nsec = (long)((top->delay_s - (double)(time_t)top->delay_s) * 1e9)
	};
	int status = look_again(top);

	for (long round = 0; status == OVLCTL_OK && (!top->rounds || round < top->rounds);
	     round++) {
		(void)nanosleep(&pause, NULL);
		status = look_again(top);
		if (status == OVLCTL_OK)
			status = top->json ? print_json(top) : print_lines(top, round);
		if (fflush(stdout) != 0)
			return OVLCTL_FAILED;
	}
	return status;
}

/* The screen */

static void draw(const struct top *top, size_t first)
{
	char head[HEAD_LINES][TOP_LINE], line[TOP_LINE];
	int rows, columns;

	getmaxyx(stdscr, rows, columns);
	format_head(top, head);
	(void)erase();
	for (int i = 0; i < HEAD_LINES && i < rows; i++) {
		attr_t style = i == 0 ? A_BOLD : i == HEAD_LINES - 1 ? A_REVERSE : A_NORMAL;

		(void)attrset((int)style);
		(void)mvaddnstr(i, 0, head[i], columns);
	}
	for (int row = HEAD_LINES; row < rows; row++) {
		size_t i = first + (size_t)(row - HEAD_LINES);

		if (i >= top->now.count)
			break;
		(void)attrset((int)(busy(&top->rates[i]) > 0 ? A_BOLD : A_NORMAL));
		format_peer(&top->rates[i], line);
		(void)mvaddnstr(row, 0, line, columns);
	}
	(void)attrset((int)A_NORMAL);
	(void)refresh();
}

/* @first: the first peer that is shown. False: time to leave. */
static bool take_key(const struct top *top, int key, size_t *first)
{
	size_t page = LINES > HEAD_LINES ? (size_t)(LINES - HEAD_LINES) : 1;
	size_t end = top->now.count > page ? top->now.count - page : 0;

	switch (key) {
	case 'q':
	case 'Q':
	case 3: /* Ctrl-C, should the terminal not make a signal of it */
		return false;
	case KEY_DOWN:
		*first += 1;
		break;
	case KEY_NPAGE:
	case ' ':
		*first += page;
		break;
	case KEY_UP:
		*first -= *first > 0;
		break;
	case KEY_PPAGE:
		*first -= *first < page ? *first : page;
		break;
	case KEY_HOME:
		*first = 0;
		break;
	case KEY_END:
		*first = end;
		break;
	default: /* KEY_RESIZE: it is drawn anew anyway */
		break;
	}
	if (*first > end)
		*first = end;
	return true;
}

/* Its end is read at once, and again and again, by who is not ended by SIGHUP. */
static bool terminal_is_gone(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&in, 1, 0) > 0 && in.revents & (POLLHUP | POLLERR | POLLNVAL);
}

/* Until the time is over, or a key says so. False: time to leave. */
static bool wait_and_draw(const struct top *top, double until_s, size_t *first)
{
	for (;;) {
		double left_s = until_s - clock_s();
		int key;

		draw(top, *first);
		if (left_s <= 0)
			return true;
		timeout((int)(left_s * 1000) + 1);
		key = getch();
		if (key == ERR ? terminal_is_gone() : !take_key(top, key, first))
			return false;
	}
}

static int run_screen(struct top *top)
{
	int status = look_again(top);
	SCREEN *screen;
	size_t first = 0;

	/* Before the screen is taken, so that the reason stays readable. */
	if (status != OVLCTL_OK)
		return status;
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		complaint_say("this terminal cannot show it; ovlctl top --batch prints lines");
		return OVLCTL_FAILED;
	}
	(void)cbreak();
	(void)noecho();
	(void)keypad(stdscr, TRUE);
	(void)curs_set(0);
	for (long round = 0; !top->rounds || round <= top->rounds; round++) {
		/* The first has nothing to compare with: soon there is more to see. */
		double wait_s = round || top->delay_s < 0.5 ? top->delay_s : 0.5;

		if (!wait_and_draw(top, clock_s() + wait_s, &first))
			break;
		status = look_again(top);
		if (status != OVLCTL_OK)
			break;
	}
	(void)endwin();
	delscreen(screen);
	/* What was said of it is gone with the screen. */
	return status == OVLCTL_OK ? status : look_again(top);
}

static bool parse_delay(struct top *top, const char *text)
{
	char *end;

	top->delay_s = strtod(text, &end);
	if (*text && !*end && top->delay_s >= DELAY_MIN_S && top->delay_s <= DELAY_MAX_S)
		return true;
	complaint_say("-d \"%s\": expected seconds, 0.1 to 3600", text);
	return false;
}

static bool parse_rounds(struct top *top, const char *text)
{
	char *end;

	top->rounds = strtol(text, &end, 10);
	if (*text && !*end && top->rounds > 0)
		return true;
	complaint_say("-n \"%s\": expected a number of looks", text);
	return false;
}

int cmd_top(int argc, char **argv)
{
	struct top top = { .delay_s = DELAY_DEFAULT_S };
	int status;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(word, "--batch") == 0 || strcmp(word, "-b") == 0)
			top.batch = true;
		else if (strcmp(word, "--json") == 0)
			top.batch = top.json = true;
		else if (!value || (strcmp(word, "-d") != 0 && strcmp(word, "-n") != 0))
			return ovlctl_usage("top");
		else if (word[1] == 'd' ? !parse_delay(&top, value) : !parse_rounds(&top, value))
			return OVLCTL_USAGE;
		else
			i++;
	}
	if (!top.batch && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
		complaint_say("top wants a terminal; ovlctl top --batch prints lines");
		return OVLCTL_USAGE;
	}
	(void)setlocale(LC_CTYPE, "");
	status = top.batch ? run_batch(&top) : run_screen(&top);
	end_look(&top.before);
	end_look(&top.now);
	free(top.rates);
	return status;
}
