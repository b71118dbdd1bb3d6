/* SPDX-License-Identifier: MIT */
/* What the daemon's command line says. */
#include "ctl/daemon.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctl/log.h"
#include "ctl/text.h"

#define RUN_DIR   "/run/ovltun"
#define UAPI_DIR  "/var/run/wireguard"
#define STATE_DIR "/var/lib/ovltun"

static void print_help(void)
{
	fputs("Usage: ovltund -c FILE [OPTION]...\n"
	      "\n"
	      "  -c, --config FILE    the configuration; its base name names the device\n"
	      "      --check          check the configuration and leave\n"
	      "      --bridge NAME    serve this bridge, for a file without [Network]\n"
	      "      --io KIND        auto, uring or poll\n"
	      "      --run-dir DIR    control socket and lock (" RUN_DIR ")\n"
	      "      --uapi-dir DIR   the socket for wg (" UAPI_DIR ")\n"
	      "      --state-dir DIR  who was invited and introduced (" STATE_DIR ")\n"
	      "      --user NAME      who to be once all is open (" DAEMON_USER ")\n"
	      "  -h, --help\n"
	      "  -V, --version\n"
	      "\n"
	      "SIGHUP reads the configuration again, SIGTERM ends the daemon; SIGUSR2 ends it\n"
	      "and leaves its sessions to the next, with systemd.\n",
	      stdout);
}

int daemon_options_usage(const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_line("%s; see ovltund --help", text);
	return DAEMON_EXIT_USAGE;
}

static bool parse_io(const char *text, enum worker_io *io)
{
	static const char *const names[] = {
		[WORKER_IO_AUTO] = "auto", [WORKER_IO_URING] = "uring", [WORKER_IO_POLL] = "poll"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*io = (enum worker_io)i;
			return true;
		}
	}
	return false;
}

enum { OPT_CHECK = 256, OPT_BRIDGE, OPT_IO, OPT_RUN_DIR, OPT_UAPI_DIR, OPT_STATE_DIR, OPT_USER };

/* One of them, with its optarg. As daemon_options_parse(). */
static int take_option(int opt, struct daemon_options *options)
{
	switch (opt) {
	case 'c':
		options->path = optarg;
		break;
	case OPT_CHECK:
		options->check = true;
		break;
	case OPT_BRIDGE:
		if (!*optarg || strlen(optarg) >= IFNAMSIZ || strchr(optarg, '/'))
			return daemon_options_usage("--bridge: \"%s\" is no name of a device",
			                            optarg);
		options->bridge = optarg;
		break;
	case OPT_IO:
		if (!parse_io(optarg, &options->io))
			return daemon_options_usage(
				"--io: expected auto, uring or poll, not \"%s\"", optarg);
		break;
	case OPT_RUN_DIR:
		options->run_dir = optarg;
		break;
	case OPT_UAPI_DIR:
		options->uapi_dir = optarg;
		break;
	case OPT_STATE_DIR:
		options->state_dir = optarg;
		break;
	case OPT_USER:
		options->user = optarg;
		break;
	case 'h':
		print_help();
		return EXIT_SUCCESS;
	case 'V':
		puts("ovltund " OVLTUN_VERSION);
		return EXIT_SUCCESS;
	default:
		break;
	}
	return -1;
}

#define OPTIONS_MAX 16

static int fail_unknown(const struct option *longs, const char *word)
{
	const char *known[OPTIONS_MAX], *nearest;
	size_t count = 0;

	while (count < OPTIONS_MAX && longs[count].name) {
		known[count] = longs[count].name;
		count++;
	}
	nearest = strncmp(word, "--", 2) == 0 ? text_nearest(word + 2, known, count) : NULL;
	if (!nearest)
		return daemon_options_usage("unknown option \"%.100s\"", word);
	log_line("unknown option \"%.100s\"; did you mean \"--%s\"?", word, nearest);
	return DAEMON_EXIT_USAGE;
}

/* What getopt_long() did not take: its ':' or '?', at @word. */
static int fail_option(int opt, const struct option *longs, const char *word)
{
	if (opt == ':')
		return daemon_options_usage("a value is missing after \"%.100s\"", word);
	if (optopt > UCHAR_MAX)
		return daemon_options_usage("\"%.100s\": that option takes no value", word);
	if (optopt) {
		const char letter[] = { '-', (char)optopt, '\0' };

		return fail_unknown(longs, letter);
	}
	return fail_unknown(longs, word);
}

int daemon_options_parse(int argc, char **argv, struct daemon_options *options)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "bridge", required_argument, NULL, OPT_BRIDGE },
		{ "io", required_argument, NULL, OPT_IO },
		{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
		{ "uapi-dir", required_argument, NULL, OPT_UAPI_DIR },
		{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
		{ "user", required_argument, NULL, OPT_USER },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int opt, ret;

	*options = (struct daemon_options){ .run_dir = RUN_DIR,
		                            .uapi_dir = UAPI_DIR,
		                            .state_dir = STATE_DIR };
	opterr = 0;
	while ((opt = getopt_long(argc, argv, ":c:hV", longs, NULL)) != -1) {
		if (opt == ':' || opt == '?')
			return fail_option(opt, longs, argv[optind - 1]);
		ret = take_option(opt, options);
		if (ret >= 0)
			return ret;
	}
	if (optind < argc)
		return daemon_options_usage("unexpected argument \"%s\"", argv[optind]);
	if (!options->path)
		return daemon_options_usage("-c FILE is missing");
	return -1;
}

/* It is a name for wg as well, hence its length. */
bool daemon_options_name(const char *path, char name[IFNAMSIZ])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_=+.-";
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	size_t len = strlen(base);

	if (len > 5 && strcmp(base + len - 5, ".conf") == 0)
		len -= 5;
	if (!len || len >= IFNAMSIZ || strspn(base, allowed) < len || base[0] == '.')
		return false;
	memcpy(name, base, len);
	name[len] = '\0';
	return true;
}
