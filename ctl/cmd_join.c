/* SPDX-License-Identifier: MIT */
/*
 * join: by a token, to a configuration. The key is made here and stays here: the
 * introducer is shown that we have it. No daemon takes part; the one that is started
 * afterwards is an ordinary one.
 *
 * The key is on the disk before anything is sent, and the introducer answers the same key
 * again: so whoever is interrupted says the same command once more.
 */
#include "ctl/ovlctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/client.h"
#include "ctl/complaint.h"
#include "ctl/config_private.h"
#include "ctl/join_session.h"
#include "ctl/json_memory.h"
#include "ctl/plan_files.h"
#include "ctl/text.h"
#include "ctl/token.h"

#define CONFIG_DEFAULT "/etc/ovltun/peers.conf"
#define KEY_FILE       "private.key"
#define PORT_DEFAULT   12345
#define TRIES          10 /* a second each, over all endpoints */
#define TEXT_SIZE_MAX  (16u << 20)
#define MEMBERS_MAX    20000
#define KEEPALIVE_S    25 /* behind NAT: what wg(8) advises */

struct options {
	const char *token;
	const char *config;
	const char *name;
	const char *port;
	const char *range;
	const char *endpoint;
	const char *bridge;
	bool json;
};

/* One run. */
struct run {
	struct options options;
	struct token token;
	struct token_keys keys;
	uint16_t port;
	char name[CONFIG_NAME_MAX];
	struct prefix range; /* asked for; of family 0: any */
	char folder[PATH_MAX];
	char file[PLAN_PATH_MAX]; /* within it */
	char key_path[PATH_MAX + sizeof("/" KEY_FILE)];
	bool key_made;
	uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE];

	struct join_session session;
	const char *reached; /* the endpoint that answered */
	struct join_message reply; /* the last page */
	struct join_host self; /* as the introducer sees it */
	struct join_host *members;
	size_t member_count;
	bool behind_nat;
};

static int fail(const char *what, const char *value, const char *problem)
{
	complaint_say("%s \"%s\": %s", what, value, problem);
	return OVLCTL_USAGE;
}

/* --- the arguments --- */

static int parse_arguments(int argc, char **argv, struct options *options)
{
	const struct {
		const char *name;
		const char **value;
	} known[] = {
		{ "--config", &options->config },     { "--name", &options->name },
		{ "--port", &options->port },         { "--range", &options->range },
		{ "--endpoint", &options->endpoint }, { "--bridge", &options->bridge },
	};

	for (int i = 1; i < argc; i++) {
		const char **value = NULL;

		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (strcmp(argv[i], known[k].name) == 0)
				value = known[k].value;
		if (value && i + 1 < argc)
			*value = argv[++i];
		else if (!value && !options->token && (argv[i][0] != '-' || !argv[i][1]))
			options->token = argv[i];
		else
			return ovlctl_usage("join");
	}
	return options->token ? OVLCTL_OK : ovlctl_usage("join");
}

static int read_token(struct run *run)
{
	char line[TOKEN_TEXT_MAX + 16];
	const char *problem;

	(void)snprintf(line, sizeof(line), "%s", run->options.token);
	if (strcmp(run->options.token, "-") == 0 && !fgets(line, sizeof(line), stdin))
		line[0] = '\0';
	line[strcspn(line, " \t\r\n")] = '\0';
	problem = token_parse(&run->token, line);
	secret_wipe(line, sizeof(line));
	if (problem) {
		complaint_say("%s", problem);
		return OVLCTL_USAGE;
	}
	token_derive(&run->token, &run->keys);
	return OVLCTL_OK;
}

static int read_name(struct run *run)
{
	struct utsname host = { .nodename = "" };
	const char *name = run->options.name, *problem;

	if (!name && uname(&host) == 0) {
		host.nodename[strcspn(host.nodename, ".")] = '\0'; /* not the domain */
		name = host.nodename;
	}
	if (!name || !slice_copy(slice_of(name), run->name, sizeof(run->name)))
		return fail("name", name ? name : "", "a name has at most 63 characters (--name)");
	problem = config_name_problem(run->name);
	return problem ? fail("name", run->name, problem) : OVLCTL_OK;
}

static int read_options(struct run *run)
{
	const struct options *options = &run->options;
	struct config_endpoint endpoint;
	uint32_t port = PORT_DEFAULT;

	if (options->port &&
	    (!config_parse_number(slice_of(options->port), UINT16_MAX, &port) || !port))
		return fail("--port", options->port, "expected a number from 1 to 65535");
	run->port = (uint16_t)port;
	if (options->range &&
	    (!strchr(options->range, '/') || !prefix_parse(&run->range, options->range)))
		return fail("--range", options->range, "expected a range, as in 172.20.104.0/24");
	if (options->endpoint && !config_parse_endpoint(&endpoint, options->endpoint))
		return fail("--endpoint", options->endpoint,
		            "expected ADDRESS:PORT, [IPV6]:PORT or NAME:PORT");
	if (options->bridge && config_bridge_problem(options->bridge))
		return fail("--bridge", options->bridge, config_bridge_problem(options->bridge));
	return read_name(run);
}

/* --- files --- */

static int fail_path(const char *path, const char *problem)
{
	complaint_say("%s: %s", path, problem);
	return OVLCTL_USAGE;
}

/* Where the two files go. Nothing that is there is overwritten. */
static int find_place(struct run *run)
{
	const char *path = run->options.config ? run->options.config : CONFIG_DEFAULT;
	const char *slash = strrchr(path, '/');
	size_t folder_len = slash ? (size_t)(slash - path) : 0;
	struct stat st;

	if (!slice_copy(slice_of(slash ? slash + 1 : path), run->file, sizeof(run->file) - 4) ||
	    !run->file[0] || folder_len >= sizeof(run->folder))
		return fail_path(path, "expected the path of a file to be written");
	if (strcmp(run->file, KEY_FILE) == 0)
		return fail_path(path, "expected another name: the host's key is called so");
	(void)snprintf(run->folder, sizeof(run->folder), "%.*s",
	               slash == path ? 1 : (int)folder_len, slash ? path : ".");
	if (!slash)
		(void)snprintf(run->folder, sizeof(run->folder), ".");
	if (lstat(path, &st) == 0)
		return fail_path(path, "is there already, so this host has joined; nothing was "
		                       "changed (--config FILE for another place)");
	(void)snprintf(run->key_path, sizeof(run->key_path), "%s/" KEY_FILE, run->folder);
	if (mkdir(run->folder, 0700) < 0 && errno != EEXIST)
		return fail_path(run->folder, strerror(errno));
	return OVLCTL_OK;
}

/* One that is there is used: of a run that was interrupted, or as ovlctl plan says. */
static int take_key(struct run *run, int fd)
{
	char text[KEY_BASE64_LEN + 2] = "";
	struct stat st;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	bool good = n >= KEY_BASE64_LEN &&
	            secret_from_base64(run->private_key, text, KEY_BASE64_LEN) &&
	            (n == KEY_BASE64_LEN || text[KEY_BASE64_LEN] == '\n');

	secret_wipe(text, sizeof(text));
	if (fstat(fd, &st) < 0 || (st.st_mode & 077))
		return fail_path(run->key_path, "others than its owner can use this file: chmod "
		                                "600 it");
	if (!good)
		return fail_path(run->key_path,
		                 "expected a private key, as ovlctl genkey makes it");
	return OVLCTL_OK;
}

static int make_key(struct run *run, int fd)
{
	char text[KEY_BASE64_LEN + 1];
	bool written;

	run->key_made = true;
	secret_generate_private(run->private_key);
	secret_to_base64(text, run->private_key);
	text[KEY_BASE64_LEN] = '\n';
	written = write(fd, text, sizeof(text)) == (ssize_t)sizeof(text) && fsync(fd) == 0;
	secret_wipe(text, sizeof(text));
	if (written)
		return OVLCTL_OK;
	complaint_say("%s: %s", run->key_path, strerror(errno ? errno : ENOSPC));
	unlink(run->key_path);
	return OVLCTL_FAILED;
}

static int find_key(struct run *run)
{
	int fd = open(run->key_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int status;

	if (fd >= 0) {
		status = make_key(run, fd);
	} else {
		fd = open(run->key_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			return fail_path(run->key_path, strerror(errno));
		status = take_key(run, fd);
	}
	close(fd);
	secret_derive_public(run->public_key, run->private_key);
	return status;
}

/* --- the session --- */

static bool find_address(const char *text, struct endpoint *out)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM };
	struct config_endpoint endpoint;
	struct addrinfo *found = NULL;
	char port[8];

	memset(out, 0, sizeof(*out));
	if (!config_parse_endpoint(&endpoint, text))
		return false;
	if (endpoint.numeric) {
		*out = endpoint.address;
		return true;
	}
	(void)snprintf(port, sizeof(port), "%u", endpoint.port);
	if (getaddrinfo(endpoint.host, port, &hints, &found) != 0)
		return false;
	if (found->ai_addrlen <= sizeof(out->remote))
		memcpy(&out->remote, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

static void say_silence(const struct run *run)
{
	time_t expires = (time_t)run->token.expires_s, now = time(NULL);
	char at[TOKEN_ENDPOINTS_MAX * (CONFIG_HOST_MAX + 16)] = "", text[64] = "?";
	struct tm parts;

	if (localtime_r(&expires, &parts))
		(void)strftime(text, sizeof(text), "%F %T %z", &parts);
	for (unsigned int i = 0; i < run->token.endpoint_count; i++) {
		size_t len = strlen(at);

		(void)snprintf(at + len, sizeof(at) - len, "%s%s", i ? ", " : "",
		               run->token.endpoints[i]);
	}
	if (now > expires)
		complaint_say("no answer from the introducer at %s: by this host's clock the token "
		              "expired at %s",
		              at, text);
	else
		complaint_say("no answer from the introducer at %s: its UDP port may be closed on "
		              "the way, or the invitation revoked",
		              at);
}

static int fail_net(const struct run *run, const char *at, int err)
{
	if (err == -EADDRINUSE)
		complaint_say("UDP port %u is in use; does an ovltund run here already? (--port "
		              "for another)",
		              run->port);
	else
		complaint_say("%s: %s", at, strerror(-err));
	return OVLCTL_FAILED;
}

/* Each endpoint of the token in turn, until one answers. */
static int reach(struct run *run)
{
	struct endpoint remote;
	bool known = false;

	for (unsigned int i = 0; i < TRIES; i++) {
		const char *at = run->token.endpoints[i % run->token.endpoint_count];
		int err;

		if (!find_address(at, &remote))
			continue;
		known = true;
		err = join_session_open(&run->session, &run->token, &remote, run->port);
		/* Without a route to one there may be one to another. */
		if (err == -EADDRINUSE)
			return fail_net(run, at, err);
		if (err)
			continue;
		err = join_session_handshake(&run->session);
		if (!err) {
			run->reached = at;
			return OVLCTL_OK;
		}
		join_session_close(&run->session);
	}
	if (known)
		say_silence(run);
	else
		complaint_say("the name in %s has no address", run->token.endpoints[0]);
	return OVLCTL_FAILED;
}

static int ask(struct run *run, const uint8_t after[KEY_SIZE])
{
	struct join_message *message = calloc(1, sizeof(*message));
	int err = -ENOMEM, status = OVLCTL_FAILED;
	struct join_host *self;

	if (!message)
		return OVLCTL_FAILED;
	message->type = WIRE_CONTROL_JOIN;
	message->host_count = 1;
	self = &message->hosts[0];
	memcpy(self->key, run->public_key, KEY_SIZE);
	memcpy(self->name, run->name, sizeof(self->name));
	(void)snprintf(self->endpoint, sizeof(self->endpoint), "%s",
	               run->options.endpoint ? run->options.endpoint : "");
	if (run->range.family)
		self->prefixes[self->prefix_count++] = run->range;
	memcpy(message->after, after, KEY_SIZE);
	if (token_prove(message->proof, run->private_key, run->token.introducer,
	                run->keys.public_key, run->token.introducer, run->public_key))
		err = join_session_ask(&run->session, message, &run->reply);
	free(message);
	if (err == -ETIMEDOUT)
		complaint_say("the introducer went silent; say the same command again");
	else if (err)
		complaint_say("the introducer's answer makes no sense: %s", strerror(-err));
	else if (run->reply.refused)
		complaint_say("refused by the introducer: %s", run->reply.text);
	else
		status = OVLCTL_OK;
	return status;
}

/* Of the page all but the first host, which is this one. */
static int keep_page(struct run *run)
{
	const struct join_message *page = &run->reply;
	struct join_host *list =
		reallocarray(run->members, run->member_count + page->host_count, sizeof(*list));

	if (!list)
		return OVLCTL_FAILED;
	run->members = list;
	run->self = page->hosts[0];
	for (uint32_t i = 1; i < page->host_count; i++)
		list[run->member_count++] = page->hosts[i];
	return OVLCTL_OK;
}

static int ask_all(struct run *run)
{
	/* What comes faster than the introducer takes it from one peer costs a second. */
	const struct timespec pause = { .tv_nsec = 2 * POST_SPACING_NS };
	uint8_t after[KEY_SIZE] = { 0 };
	int status;

	do {
		if (run->member_count)
			(void)nanosleep(&pause, NULL);
		status = ask(run, after);
		if (status == OVLCTL_OK)
			status = keep_page(run);
		if (status != OVLCTL_OK)
			return status;
		/* The introducer itself stands out of order, on the first page. */
		if (run->reply.host_count > 1 && !run->members[run->member_count - 1].introducer)
			memcpy(after, run->members[run->member_count - 1].key, KEY_SIZE);
		else if (!run->reply.end)
			break;
	} while (!run->reply.end && run->member_count < MEMBERS_MAX);
	if (run->reply.end)
		return OVLCTL_OK;
	complaint_say("the introducer's answer makes no sense: its members do not end");
	return OVLCTL_FAILED;
}

/* The address that the introducer saw is none of this host's. */
static void look_for_nat(struct run *run)
{
	struct endpoint own, seen;
	socklen_t len = sizeof(own.remote);

	memset(&own, 0, sizeof(own));
	if (run->options.endpoint || getsockname(run->session.fd, &own.remote.sa, &len) < 0 ||
	    endpoint_parse(&seen, run->self.endpoint))
		return;
	run->behind_nat = !endpoint_same_remote(&own, &seen);
}

/* --- the configuration --- */

static bool is_sound(const struct join_host *host)
{
	struct config_endpoint endpoint;

	return (!host->name[0] || !config_name_problem(host->name)) &&
	       (!host->endpoint[0] || config_parse_endpoint(&endpoint, host->endpoint));
}

static void print_prefixes(const struct join_host *host, struct buffer *out)
{
	char text[PREFIX_TEXT_MAX];

	for (uint32_t i = 0; i < host->prefix_count; i++) {
		prefix_format(&host->prefixes[i], text);
		buffer_printf(out, "%s%s", i ? ", " : "", text);
	}
	buffer_printf(out, "\n");
}

static void print_member(const struct run *run, const struct join_host *host, struct buffer *out)
{
	char key[KEY_BASE64_LEN + 1];
	const char *endpoint = host->introducer ? run->reached : host->endpoint;

	secret_to_base64(key, host->key);
	buffer_printf(out, "\n[Peer]\n");
	if (host->name[0])
		buffer_printf(out, "Name = %s\n", host->name);
	buffer_printf(out, "PublicKey = %s\n", key);
	if (endpoint[0])
		buffer_printf(out, "Endpoint = %s\n", endpoint);
	if (host->vni) {
		buffer_printf(out, "VNIs = %u\n", host->vni);
	} else {
		buffer_printf(out, "AllowedIPs = ");
		print_prefixes(host, out);
	}
	if (run->behind_nat)
		buffer_printf(out, "PersistentKeepalive = %u\n", KEEPALIVE_S);
	if (host->introducer)
		buffer_printf(out, "Introducer = yes\n");
}

static const char *bridge_of(const struct run *run)
{
	return run->options.bridge ? run->options.bridge : run->reply.bridge;
}

static void print_config(const struct run *run, struct buffer *out)
{
	buffer_printf(out,
	              "# %s, as ovlctl join made it. Hosts that come later are told of by the\n"
	              "# introducer, and need not be here.\n\n"
	              "[Interface]\nPrivateKeyFile = " KEY_FILE "\nListenPort = %u\n\n"
	              "[Network]\nBridge = %s\n",
	              run->name, run->port, bridge_of(run));
	if (run->self.vni) {
		buffer_printf(out, "Mode = bridged\nVNI = %u\n", run->self.vni);
	} else {
		buffer_printf(out, "Range = ");
		print_prefixes(&run->self, out);
	}
	for (size_t i = 0; i < run->member_count; i++)
		print_member(run, &run->members[i], out);
}

/* What the introducer said is looked at as a file of any origin would be. */
static int check_text(const struct run *run, const struct buffer *text)
{
	char path[PATH_MAX + PLAN_PATH_MAX], line[1024];
	struct config_error error = { .line = 0 };
	struct config *config = NULL;

	(void)snprintf(path, sizeof(path), "%s/%s", run->folder, run->file);
	if (text->failed) {
		complaint_say("out of memory");
		return OVLCTL_FAILED;
	}
	if (config_parse(text->data, text->len, path, NULL, &config, &error) == 0) {
		config_free(config);
		return OVLCTL_OK;
	}
	config_error_format(&error, line, sizeof(line));
	complaint_say("what the introducer told makes no configuration: %s", line);
	return OVLCTL_FAILED;
}

static int judge_reply(const struct run *run)
{
	bool sound = memcmp(run->self.key, run->public_key, KEY_SIZE) == 0 &&
	             run->self.prefix_count == 1 && run->reply.subnet_count > 0 &&
	             !config_bridge_problem(run->reply.bridge) && is_sound(&run->self);

	for (size_t i = 0; i < run->member_count; i++) {
		const struct join_host *host = &run->members[i];

		sound &= is_sound(host);
		if (host->introducer)
			sound &= memcmp(host->key, run->token.introducer, KEY_SIZE) == 0;
	}
	if (sound)
		return OVLCTL_OK;
	complaint_say("the introducer's answer makes no sense");
	return OVLCTL_FAILED;
}

static int write_config(const struct run *run)
{
	struct config_error error = { .line = 0 };
	struct plan_files files;
	struct buffer text;
	int status, err;

	buffer_init(&text, TEXT_SIZE_MAX);
	print_config(run, &text);
	status = check_text(run, &text);
	if (status != OVLCTL_OK)
		goto out;
	err = plan_files_open(&files, run->folder, &error);
	if (!err)
		err = plan_files_put(&files, run->file, 0600, &text, &error);
	if (!err)
		err = plan_files_commit(&files, &error);
	plan_files_close(&files);
	if (err) {
		complaint_say_at("ovlctl: ", &error);
		status = OVLCTL_FAILED;
	}
out:
	buffer_fini(&text);
	return status;
}

/* --- what to do next --- */

/* The first address of the range: the bridge's. */
static void format_gateway(const struct prefix *range, char out[PREFIX_TEXT_MAX])
{
	struct prefix address = *range;
	size_t last = range->family == 4 ? 3 : 15;

	address.len = range->family == 4 ? 32 : 128;
	address.addr[last] |= 1;
	prefix_format(&address, out);
	out[strcspn(out, "/")] = '\0';
}

/* What is left to be typed, and what is in it. */
struct next {
	char range[PREFIX_TEXT_MAX], subnet[PREFIX_TEXT_MAX], gateway[PREFIX_TEXT_MAX];
	char config[PATH_MAX + PLAN_PATH_MAX];
	char network[512], start[PATH_MAX + PLAN_PATH_MAX + 32];
};

static void find_next(const struct run *run, struct next *next)
{
	const struct prefix *own = &run->self.prefixes[0];
	bool usual = !run->options.config || strcmp(run->options.config, CONFIG_DEFAULT) == 0;
	/* By the introducer's word: it may be no plain one to a shell. */
	char *bridge = text_quote(bridge_of(run));
	char vni[16] = "";

	next->subnet[0] = '\0';
	for (uint32_t i = 0; i < run->reply.subnet_count; i++)
		if (prefix_covers(&run->reply.subnets[i], own))
			prefix_format(&run->reply.subnets[i], next->subnet);
	prefix_format(own, next->range);
	format_gateway(own, next->gateway);
	(void)snprintf(next->config, sizeof(next->config), "%s/%s", run->folder, run->file);
	if (run->self.vni)
		(void)snprintf(vni, sizeof(vni), "%u", run->self.vni);
	(void)snprintf(next->network, sizeof(next->network),
	               "docker network create%s --subnet %s --ip-range %s --gateway %s "
	               "--opt com.docker.network.bridge.name=%s ovl%s",
	               own->family == 6 ? " --ipv6" : "", next->subnet, next->range, next->gateway,
	               bridge ? bridge : "BRIDGE", vni);
	free(bridge);
	if (usual)
		(void)snprintf(next->start, sizeof(next->start),
		               "systemctl enable --now ovltund.service");
	else
		(void)snprintf(next->start, sizeof(next->start), "ovltund --config %s",
		               next->config);
}

static void print_next(const struct run *run, const struct next *next)
{
	printf("%s joined: its containers have %s, and %zu host%s know%s of it or will soon.\n"
	       "%s is written. Now:\n\n%s\n%s\n\nThe others reach this host at %s%s.\n",
	       run->name, next->range, run->member_count, run->member_count == 1 ? "" : "s",
	       run->member_count == 1 ? "s" : "", next->config, next->network, next->start,
	       run->self.endpoint,
	       run->behind_nat ? ", which is none of its own addresses: it is behind NAT, and "
	                         "keeps the way open itself (PersistentKeepalive)"
	                       : "");
}

static int print_json(const struct run *run, const struct next *next)
{
	char key[KEY_BASE64_LEN + 1];
	json_t *object;
	int status;

	secret_to_base64(key, run->public_key);
	object = json_pack("{s:b, s:i, s:s, s:s, s:o, s:i, s:s, s:s, s:s, s:s, s:o, s:s, s:b, s:s, "
	                   "s:I, s:[o, o]}",
	                   "ok", 1, "version", 1, "name", run->name, "public_key", key, "config",
	                   json_memory_text(next->config), "listen_port", (int)run->port, "bridge",
	                   bridge_of(run), "range", next->range, "subnet", next->subnet, "gateway",
	                   next->gateway, "vni",
	                   run->self.vni ? json_integer(run->self.vni) : json_null(), "endpoint",
	                   run->self.endpoint, "behind_nat", (int)run->behind_nat, "introducer",
	                   run->reached, "peer_count", (json_int_t)run->member_count, "next",
	                   json_memory_text(next->network), json_memory_text(next->start));
	status = client_print_json(object);
	json_decref(object);
	return status;
}

static int tell_next(const struct run *run)
{
	struct next next;

	find_next(run, &next);
	if (run->options.json)
		return print_json(run, &next);
	print_next(run, &next);
	return OVLCTL_OK;
}

static int join(struct run *run)
{
	int status = reach(run);

	if (status == OVLCTL_OK)
		status = ask_all(run);
	if (status == OVLCTL_OK)
		status = judge_reply(run);
	/* Refused: the key was for nothing. Silence may mean that the answer alone was lost. */
	if (status != OVLCTL_OK && run->key_made && (!run->reached || run->reply.refused))
		unlink(run->key_path);
	if (status != OVLCTL_OK)
		return status;
	look_for_nat(run);
	status = write_config(run);
	return status == OVLCTL_OK ? tell_next(run) : status;
}

int cmd_join(int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	int status;

	if (!run)
		return OVLCTL_FAILED;
	run->session.fd = -1;
	status = parse_arguments(argc, argv, &run->options);
	if (status == OVLCTL_OK)
		status = read_token(run);
	if (status == OVLCTL_OK)
		status = read_options(run);
	if (status == OVLCTL_OK)
		status = find_place(run);
	if (status == OVLCTL_OK)
		status = find_key(run);
	if (status == OVLCTL_OK)
		status = join(run);
	join_session_close(&run->session);
	free(run->members);
	secret_wipe(run, sizeof(*run));
	free(run);
	return status;
}
