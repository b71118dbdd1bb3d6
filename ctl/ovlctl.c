/* SPDX-License-Identifier: MIT */
/* The tool's main: finds the command and runs it. */
#include "ctl/ovlctl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "crypto/secret.h"
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/json_memory.h"
#include "ctl/text.h"
#include "ctl/usage.h"

static const struct command commands[] = {
	{ "capture", "[PEER|NETWORK] [-w FILE] [--inner] [--outer] [--keys] [-s BYTES] [-c N]",
	  "packets on their way, as pcapng for Wireshark",
	  "  -w FILE    where to; \"-\", or none: standard output, for | wireshark -k -i -\n"
	  "  --inner    what containers send and get, before it is sealed, after it was opened:\n"
	  "             captured unless only --outer is given\n"
	  "  --outer    the datagrams between the hosts\n"
	  "  --keys     the ephemeral keys of handshakes made meanwhile, with --outer: Wireshark\n"
	  "             decrypts by them and this host's private key\n"
	  "  -s BYTES   of each packet at most: 128 are enough for headers\n"
	  "  -c N       ends after so many packets\n"
	  "Dropped packets are there with the reason as their comment. For root alone.\n",
	  cmd_capture },
	{ "check", "FILE [--bridge NAME] [--json]", "check a configuration file",
	  "Reads FILE, or standard input for -, as ovltund does and says what it would do, or\n"
	  "what is wrong with it.\n"
	  "  --bridge NAME  for a file of wg's, which has no [Network]\n",
	  cmd_check },
	{ "doctor", "[-c FILE] [--json]", "find what is wrong with this host, and what mends it",
	  "Looks at keys, file, clock, kernel, bridges, routes, packet filter, endpoints, peers "
	  "and\n"
	  "counters, and changes nothing. The likeliest cause comes first, with what it means and\n"
	  "the command that mends it. Works without a daemon, too: by the file.\n"
	  "Exit status 0: nothing wrong, 1: an error or a warning, 2: wrong use.\n"
	  "  -c FILE  the configuration (default: the daemon's in /etc/ovltun)\n",
	  cmd_doctor },
	{ "events", "[--follow] [--json]", "what happened lately, and what happens now",
	  "Handshakes, peers that do not answer or roam, peers and networks that come and go,\n"
	  "hosts that joined here or were introduced, reloads, and drops of one reason that rise\n"
	  "over 100 a second. The last 512 are kept. More than 16 peers that come or go at once\n"
	  "are one event.\n"
	  "  --follow, -f  goes on with what happens; --json then prints one object a line\n",
	  cmd_events },
	{ "fdb",
	  "list [NETWORK] [--json] | add NETWORK STATION PEER|local [--json] | "
	  "del NETWORK STATION [--json]",
	  "which station of a bridged network is where",
	  "STATION is a MAC or an address; add NETWORK ADDRESS MAC PEER|local names both. What is\n"
	  "added is static: it never moves nor ages, and lasts until the next reload. del takes\n"
	  "away what was learned, too.\n",
	  cmd_fdb },
	{ "genkey", "", "make a private key, on standard output",
	  "  (umask 077; ovlctl genkey > private.key)\n", cmd_genkey },
	{ "genpsk", "", "make a preshared key, on standard output", NULL, cmd_genpsk },
	{ "invite",
	  "RANGE [--endpoint ADDRESS]… [--prefix N] [--expires TIME] [--json] | list [--json]",
	  "a token by which one more host may join",
	  "For a host marked Introducer = yes. Prints the token, a secret, on standard output: it\n"
	  "is good for one host, once, for a part of RANGE. list says which invitations there are\n"
	  "and who came; peer remove INVITATION revokes one.\n"
	  "  --endpoint ADDRESS  where this host is reached, with or without a port; up to four\n"
	  "  --prefix N          the length in bits of the part: the first free one is given;\n"
	  "                      without it, all of RANGE\n"
	  "  --expires TIME      such as 15m, 2h, 1d; without it 1h\n",
	  cmd_invite },
	{ "join",
	  "TOKEN [--config FILE] [--name NAME] [--port N] [--range RANGE] [--endpoint ADDRESS] "
	  "[--bridge NAME] [--json]",
	  "make this host a member, by another one's token",
	  "Makes the key here, asks the introducer, and writes the configuration; a TOKEN of -\n"
	  "is read from standard input. Nothing is started, and nothing overwritten.\n"
	  "  --config FILE       /etc/ovltun/peers.conf; private.key lies beside it\n"
	  "  --name NAME         what the others call this host; without it its hostname\n"
	  "  --port N            the UDP port: 12345\n"
	  "  --range RANGE       which part of the token's range; without it the first free one\n"
	  "  --endpoint ADDRESS  where the others reach this host, ADDRESS:PORT; without it the\n"
	  "                      one from which the introducer sees it come\n"
	  "  --bridge NAME       the Docker network's; without it the introducer's\n",
	  cmd_join },
	{ "peer",
	  "add KEY [SETTING VALUE]… [--json] | set PEER SETTING VALUE… [--json] | "
	  "remove PEER [--json]",
	  "add, change or remove a peer until the next reload",
	  "PEER is a name, a public key, or the beginning of a key. Settings:\n"
	  "  name TEXT\n"
	  "  endpoint ADDRESS:PORT | [IPV6]:PORT | NAME:PORT\n"
	  "  allowed-ips PREFIX,…   replaces the list; \"\" empties it\n"
	  "  keepalive SECONDS | off\n"
	  "  vnis VNI,…             the bridged networks it is a member of; \"\" for none\n"
	  "  preshared-key FILE     \"-\" is standard input, \"\" takes the key away\n",
	  cmd_peer },
	{ "plan",
	  "HOSTS --subnet SUBNET [--out DIR] [--prefix N] [--port N] [--bridged VNI] [--json]",
	  "keys, addresses and configurations of many hosts, from a list",
	  "HOSTS has one host a line: NAME ENDPOINT [RANGE] [PUBLICKEY], and # comments.\n"
	  "  --subnet SUBNET  the overlay's, such as 172.20.0.0/16\n"
	  "  --out DIR        where it goes, a folder for each host; without it: plan\n"
	  "  --prefix N       the length of the range that a host gets, in bits: 24\n"
	  "  --port N         of endpoints that have none: 12345\n"
	  "  --bridged VNI    one Ethernet segment instead of a routed network\n"
	  "Run again with a longer list, it keeps all ranges and keys, and adds one [Peer] to\n"
	  "the files of the others. A private key may be deleted here once its host has it.\n",
	  cmd_plan },
	{ "pubkey", "", "public key of the private key on standard input",
	  "  ovlctl pubkey < private.key\n", cmd_pubkey },
	{ "reload", "[--json]", "have the daemon read its configuration again",
	  "What was changed at run time and is not in the file ends, and is listed.\n",
	  cmd_reload },
	{ "route",
	  "add PREFIX PEER [--json] | del PREFIX [--json] | get ADDRESS [--json] | list [--json]",
	  "which peer has which prefix",
	  "add and del change a peer's AllowedIPs until the next reload; get says where packets\n"
	  "to ADDRESS go, and what the host's own routing table thinks of it.\n",
	  cmd_route },
	{ "show", "[--json] | drops [--all|--last] [--json] | neigh [--json]",
	  "state of the device, its networks and peers",
	  "show drops lists what was dropped, by reason; --all the counters that are 0 as well;\n"
	  "--last what was dropped last for each reason: when, whose, and its headers.\n"
	  "show neigh lists where local containers were found.\n",
	  cmd_show },
	{ "sync", "FILE [--dry-run] [--json]", "make the running state what FILE says",
	  "All of FILE or, if anything in it is wrong, nothing. What FILE leaves as it is goes on\n"
	  "undisturbed. A FILE of - is standard input. Key files that FILE names are read here "
	  "and\n"
	  "need be readable here alone.\n"
	  "  --dry-run  change nothing, list what would change; exit status 0: nothing would,\n"
	  "             3: something would\n"
	  "  --json     all that changed, for programs\n"
	  "The daemon's own file stays what it reads at its next start and at reload, which lists\n"
	  "what of FILE it drops.\n",
	  cmd_sync },
	{ "top", "[-d SECONDS] [-n LOOKS] [--batch|--json]", "what goes to and from each peer now",
	  "The busiest first; keys: q ends it, arrows, Page and Home move.\n"
	  "  -d SECONDS   between two looks, 0.1 to 3600; 1 if not given\n"
	  "  -n LOOKS     ends after so many\n"
	  "  --batch, -b  prints lines, for scripts\n"
	  "  --json       prints an object a line and look, for programs\n",
	  cmd_top },
	{ "trace",
	  "ADDRESS|MAC [--from ADDRESS] [--size BYTES] [--network NETWORK] [--wait SECONDS] "
	  "[--json]",
	  "how far a packet gets, and what stops it",
	  "Each step on this host, then on the peer's: a probe goes the packet's way, through\n"
	  "both daemons, to the container by ARP or neighbour discovery and by a ping there.\n"
	  "Exits with 0 if it arrives, with 1 if it does not or nobody can tell.\n"
	  "  --from ADDRESS  the packet's source; else a container of this host\n"
	  "  --size BYTES    of the longer one of two probes; else what one message takes\n"
	  "  --network NETWORK  where several have the MAC\n"
	  "  --wait SECONDS  for a session and an answer: 6\n",
	  cmd_trace },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))
#define USAGE_SIZE    256

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const char *format_usage(const struct command *command, char out[USAGE_SIZE])
{
	(void)snprintf(out, USAGE_SIZE, "usage: ovlctl %s%s%s", command->name,
	               command->arguments[0] ? " " : "", command->arguments);
	return out;
}

/* What was typed, from the command on; run_command()'s. */
static int typed_count;
static char **typed;

int ovlctl_usage(const char *name)
{
	const struct command *command = find_command(name);
	char usage[USAGE_SIZE];

	if (usage_explain(command, typed_count, typed))
		return OVLCTL_USAGE;
	complaint_keep(format_usage(command, usage));
	fprintf(stderr, "%s\n", usage);
	return OVLCTL_USAGE;
}

static int fail_unknown(const char *name)
{
	const char *known[COMMAND_COUNT], *nearest;

	for (size_t i = 0; i < COMMAND_COUNT; i++)
		known[i] = commands[i].name;
	nearest = text_nearest(name, known, COMMAND_COUNT);
	if (nearest)
		complaint_say("unknown command \"%s\"; did you mean \"%s\"?", name, nearest);
	else
		complaint_say("unknown command \"%s\"; see ovlctl help", name);
	return OVLCTL_USAGE;
}

static int help_command(const char *name)
{
	const struct command *command = find_command(name);
	char usage[USAGE_SIZE];

	if (!command)
		return fail_unknown(name);
	puts(format_usage(command, usage));
	printf("%s\n%s", command->summary, command->details ? command->details : "");
	return OVLCTL_OK;
}

static void list_commands(FILE *out)
{
	static const struct text_column columns[] = { { NULL, false }, { NULL, false } };
	struct text_table *table = text_table_new(columns, 2);

	text_print_words(out, text_terminal_width(out), 4, TEXT_PLAIN, false,
	                 "usage: ovlctl [-i NAME | --socket PATH] COMMAND [ARGUMENT…]");
	fputc('\n', out);
	for (size_t i = 0; table && i < COMMAND_COUNT; i++) {
		text_table_put(table, TEXT_PLAIN, "  %s", commands[i].name);
		text_table_put(table, TEXT_PLAIN, "%s", commands[i].summary);
	}
	if (table) {
		text_table_fit(table, text_terminal_width(out));
		text_table_print(table, out, false);
	}
	text_table_free(table);
	fputc('\n', out);
	text_print_words(
		out, text_terminal_width(out), 0, TEXT_PLAIN, false,
		"ovlctl help COMMAND says more about one, ovlctl --version which this is.");
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

/* After a command: "-h" alone, "--help" anywhere, as in `ovlctl peer add --help`. */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0)
			return true;
	return argc == 1 && strcmp(argv[0], "-h") == 0;
}

/* What was printed has to have arrived: `ovlctl genkey > file` on a full disk fails. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	perror("ovlctl: standard output");
	return status ? status : OVLCTL_FAILED;
}

/* The options before the command; how many words they take, or -1. */
static int parse_options(int argc, char **argv)
{
	const char *socket_path = NULL, *name = NULL;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		bool last = i + 1 == argc;

		if (strncmp(argv[i], "--socket=", 9) == 0)
			socket_path = argv[i] + 9;
		else if (strcmp(argv[i], "--socket") == 0 && !last)
			socket_path = argv[++i];
		else if (strcmp(argv[i], "-i") == 0 && !last)
			name = argv[++i];
		else if (strcmp(argv[i], "--version") == 0 || is_help(argv[i]))
			break;
		else
			return -1;
	}
	client_select(socket_path, name);
	return i - 1;
}

/* "--size=100" is "--size 100", for all commands alike. */
static int run_command(const struct command *command, int argc, char **argv)
{
	int status = OVLCTL_FAILED;

	typed = calloc((size_t)argc * 2 + 1, sizeof(*typed));
	if (!typed)
		return status;
	for (int i = 0; i < argc; i++) {
		char *value = strncmp(argv[i], "--", 2) == 0 ? strchr(argv[i], '=') : NULL;

		if (value && usage_has_value(command, argv[i], (size_t)(value - argv[i]))) {
			*value = '\0';
			typed[typed_count++] = argv[i];
			argv[i] = value + 1;
		}
		typed[typed_count++] = argv[i];
	}
	status = command->run(typed_count, typed);
	free(typed);
	return status;
}

/* Wherever it stands: who misuses a command is told so as asked for. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

/* Of the words without the options before the command; an exit status. */
static int run(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2) {
		list_commands(stderr);
		return OVLCTL_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("ovlctl " OVLTUN_VERSION);
		return OVLCTL_OK;
	}
	if (is_help(argv[1]) && argc < 3) {
		list_commands(stdout);
		return OVLCTL_OK;
	}
	if (is_help(argv[1]))
		return help_command(argv[2]);
	command = find_command(argv[1]);
	if (!command)
		return fail_unknown(argv[1]);
	if (asks_for_help(argc - 2, argv + 2))
		return help_command(argv[1]);
	return run_command(command, argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int options = parse_options(argc, argv), status;

	json_memory_init();
	if (secret_init()) {
		complaint_say("no randomness");
		status = OVLCTL_FAILED;
	} else if (options < 0) {
		complaint_say("the options before a command are -i NAME and --socket PATH");
		status = OVLCTL_USAGE;
	} else {
		status = run(argc - options, argv + options);
	}
	if ((status == OVLCTL_FAILED || status == OVLCTL_USAGE) && wants_json(argc, argv))
		client_print_failure(status);
	return finish(status);
}
