/* SPDX-License-Identifier: MIT */
/* Checks of this host by itself: keys, file, clock, kernel, port, daemon. */
#include "ctl/doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>
#include "ctl/client.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define OTHERS_MODE 077
#define LINE_SIZE   (PATH_MAX + 64)
#define CLOCK_MIN   1735689600 /* 2025-01-01: before that it was never set */
#define CLOCK_SLACK 5

/* Whoever writes to the folder can put another key in its place. */
static void check_key_folder(struct doctor *d, const char *path)
{
	char copy[PATH_MAX];
	struct stat st;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	const char *folder = dirname(copy);

	if (stat(folder, &st) < 0 || !(st.st_mode & (S_IWGRP | S_IWOTH)) || st.st_mode & S_ISVTX)
		return;
	doctor_find(d, DOCTOR_WARNING, "%s holds a key, and others than its owner can change it",
	            folder);
	doctor_means(d, "they can put another file in the place of the key's");
	doctor_mend(d, "chmod go-w %s", doctor_word(d, folder));
}

static void check_key_file(struct doctor *d, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0) {
		doctor_find(d, errno == EACCES ? DOCTOR_NOTE : DOCTOR_ERROR, "%s: %s", path,
		            strerror(errno));
		doctor_means(d, "what holds this host's keys could not be looked at");
		return;
	}
	if (st.st_mode & OTHERS_MODE) {
		doctor_find(d, DOCTOR_ERROR, "%s holds a key, and others than its owner can use it",
		            path);
		doctor_means(d,
		             "ovltund does not take such a file; the key may be known to others");
		doctor_mend(d, "chmod 600 %s", doctor_word(d, path));
	} else if (st.st_uid != 0 && st.st_uid != geteuid()) {
		doctor_find(d, DOCTOR_WARNING, "%s holds a key, and belongs to user %u", path,
		            (unsigned int)st.st_uid);
		doctor_means(d, "ovltund runs as root when it reads it, and that user can, too");
		doctor_mend(d, "chown root %s", doctor_word(d, path));
	}
	check_key_folder(d, path);
}

/* "Key = value" → value, its end cut as config.c does; NULL: another line. */
static char *value_of(char *line, const char *key)
{
	size_t len = strlen(key);

	line += strspn(line, " \t");
	if (strncasecmp(line, key, len) != 0)
		return NULL;
	line += len + strspn(line + len, " \t");
	if (*line != '=')
		return NULL;
	line += 1 + strspn(line + 1, " \t");
	len = strcspn(line, "\r\n#");
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	line[len] = '\0';
	return line;
}

static void check_named_file(struct doctor *d, const char *name)
{
	const char *slash = strrchr(d->path, '/');
	char path[PATH_MAX];

	if (*name == '/' || !slash)
		(void)snprintf(path, sizeof(path), "%s", name);
	else
		(void)snprintf(path, sizeof(path), "%.*s%s", (int)(slash + 1 - d->path), d->path,
		               name);
	check_key_file(d, path);
}

/* The file once more, for a configuration keeps no paths. It may hold keys itself. */
void doctor_check_keys(struct doctor *d)
{
	FILE *file = d->path ? fopen(d->path, "re") : NULL;
	char line[LINE_SIZE], buffer[BUFSIZ];
	bool holds_key = false;

	if (!file)
		return;
	(void)setvbuf(file, buffer, _IOFBF, sizeof(buffer));
	while (fgets(line, sizeof(line), file)) {
		char *name = value_of(line, "PrivateKeyFile");

		if (!name)
			name = value_of(line, "PresharedKeyFile");
		if (name && *name)
			check_named_file(d, name);
		holds_key |= value_of(line, "PrivateKey") || value_of(line, "PresharedKey");
	}
	(void)fclose(file);
	secret_wipe(line, sizeof(line));
	secret_wipe(buffer, sizeof(buffer));
	if (holds_key)
		check_key_file(d, d->path);
}

/* Two lists of the same, in whatever order. */
static bool same_list(const json_t *a, const json_t *b)
{
	json_t *one, *other;
	size_t i, j;

	if (json_array_size(a) != json_array_size(b))
		return false;
	json_array_foreach (a, i, one) {
		json_array_foreach (b, j, other)
			if (json_equal(one, other))
				break;
		if (j == json_array_size(b))
			return false;
	}
	return true;
}

static bool same_peer(const json_t *a, const json_t *b)
{
	return strcmp(client_text(a, "name"), client_text(b, "name")) == 0 &&
	       strcmp(client_text(a, "endpoint_name"), client_text(b, "endpoint_name")) == 0 &&
	       same_list(json_object_get(a, "allowed_ips"), json_object_get(b, "allowed_ips")) &&
	       same_list(json_object_get(a, "vnis"), json_object_get(b, "vnis"));
}

/* The first peer of the file that the daemon has otherwise, or not at all; @name: of it. */
static bool find_difference(const struct doctor *d, char *name, size_t size)
{
	json_t *running = json_object(), *peer;
	bool differs = false;
	size_t i;

	json_array_foreach (d->peers, i, peer)
		json_object_set(running, client_text(peer, "public_key"), peer);
	for (i = 0; i < d->config->peer_count && !differs; i++) {
		json_t *wanted = doctor_peer_of_file(&d->config->peers[i]);
		json_t *had = json_object_get(running, client_text(wanted, "public_key"));

		differs = !had || !same_peer(wanted, had);
		(void)snprintf(name, size, "%s%s", had ? "" : "new ", doctor_peer_name(wanted));
		json_decref(wanted);
	}
	json_decref(running);
	return differs;
}

/* Peers that are in no file: hosts that came by an introduction. */
static size_t count_of_roll(const struct doctor *d)
{
	json_t *known = json_object();
	uint8_t key[KEY_SIZE];
	size_t i, count = 0;
	const json_t *item;

	json_array_foreach (json_object_get(d->roll, "introduced"), i, item)
		json_object_set_new(known, client_text(item, "public_key"), json_true());
	json_array_foreach (d->peers, i, item) {
		const char *text = client_text(item, "public_key");

		if (json_object_get(known, text) && secret_from_base64(key, text, strlen(text)) &&
		    !config_find_peer(d->config, key))
			count++;
	}
	json_decref(known);
	return count;
}

/* What the daemon does, against what the file says. */
static void check_loaded(struct doctor *d)
{
	size_t count = json_array_size(d->peers);
	char name[CONFIG_NAME_MAX + 8];

	if (!d->state)
		return;
	count -= count_of_roll(d);
	if (find_difference(d, name, sizeof(name)))
		doctor_find(d, DOCTOR_NOTE, "the daemon has not what %s says: peer %s", d->path,
		            name);
	else if (count != d->config->peer_count)
		doctor_find(d, DOCTOR_NOTE, "the daemon has not what %s says: %zu peers, not %zu",
		            d->path, count, d->config->peer_count);
	else
		return;
	doctor_means(d, "the file was changed since it was read, or ovlctl or wg changed what is "
	                "in force");
	doctor_mend(d, "%s reload", client_command());
	doctor_advise(d, "what is not in the file ends then, and is listed");
}

void doctor_check_config(struct doctor *d)
{
	char text[1024];

	if (!d->path) {
		doctor_find(d, DOCTOR_NOTE, "no configuration file was looked at");
		doctor_means(d, "none was named, and none is in the usual place");
		doctor_advise(d, "ovlctl doctor -c FILE");
		return;
	}
	if (d->config) {
		check_loaded(d);
		return;
	}
	if (access(d->path, R_OK) < 0 && errno == EACCES) {
		doctor_find(d, DOCTOR_NOTE, "%s cannot be read by this user", d->path);
		doctor_means(d,
		             "whether it is right, and who may read its keys, was not looked at");
		doctor_advise(d, "run ovlctl doctor as root");
		return;
	}
	config_error_format(&d->config_error, text, sizeof(text));
	doctor_find(d, DOCTOR_ERROR, "%s", text);
	doctor_means(d, "ovltund does not start with this file, nor take it by a reload");
	doctor_advise(d, "correct the line; ovlctl check %s says whether it is right",
	              doctor_word(d, d->path));
}

/*
 * Handshakes carry their sender's time, and a peer takes none that is not later than the
 * last: so clocks of hosts may differ, but none may go back. A daemon's own stamps only
 * grow while it runs, but a new one begins with what the clock says.
 */
static bool check_set_back(struct doctor *d, time_t now)
{
	json_t *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer) {
		json_int_t ahead = client_number(peer, "latest_handshake") - (json_int_t)now;

		if (ahead <= CLOCK_SLACK)
			continue;
		doctor_find(d, DOCTOR_WARNING,
		            "the clock was set back: the last handshake with peer %s is %lld s "
		            "in the future",
		            doctor_peer_name(peer), (long long)ahead);
		doctor_means(d, "sessions go on, but when ovltund is started again its peers take "
		                "no handshake of it until that time has come");
		doctor_mend(d, "timedatectl set-ntp true");
		doctor_advise(d, "if it is right now and was wrong before: at each peer, ovlctl "
		                 "peer remove THIS-HOST and ovlctl reload forget the later time");
		return true;
	}
	return false;
}

/* Who is in no file is not there again after a reload. */
static bool is_in_file(const struct doctor *d, const char *key)
{
	struct config_error error;

	return d->config && config_find_peer_text(d->config, key, &error);
}

/* The other side of it. The last one tells of one peer alone. */
static bool check_stale(struct doctor *d)
{
	const json_t *last = doctor_last(d, "handshake-stale");
	const char *whose = last ? client_text(last, "public_key") : "";
	double when = json_number_value(json_object_get(last, "when"));
	bool any = false;
	json_t *peer;
	size_t i;

	json_array_foreach (d->peers, i, peer) {
		json_int_t count = client_number(json_object_get(peer, "drops"), "handshake-stale");
		const char *key = client_text(peer, "public_key");

		if (*whose && strcmp(whose, key) != 0)
			continue;
		/* A handshake since then says that it is over. */
		if (!count || when < (double)client_number(peer, "latest_handshake"))
			continue;
		any = true;
		doctor_find(d, DOCTOR_ERROR,
		            "clock: %lld handshakes of peer %s were older than its last one",
		            (long long)count, doctor_peer_name(peer));
		doctor_means(d, "the clock of that host was set back, so its handshakes look like "
		                "ones that somebody recorded, and none is taken");
		if (is_in_file(d, key))
			doctor_mend(d, "%s peer remove %s && %s reload", client_command(),
			            doctor_peer_name(peer), client_command());
		doctor_advise(d, is_in_file(d, key)
		                         ? "this forgets the later time; that host's clock wants "
		                           "to be right first, if it is not: timedatectl set-ntp "
		                           "true there"
		                         : "that host's clock wants to be right; then its "
		                           "handshakes are taken from the later time on");
	}
	return any;
}

void doctor_check_clock(struct doctor *d)
{
	struct timex state = { .modes = 0 };
	time_t now = time(NULL);

	if (now < CLOCK_MIN) {
		doctor_find(d, DOCTOR_ERROR, "the clock of this host is not set: it says %lld",
		            (long long)now);
		doctor_means(d, "peers take no handshake that looks older than the last one");
		doctor_mend(d, "timedatectl set-ntp true");
		return;
	}
	bool back = check_set_back(d, now), stale = check_stale(d);

	if (back || stale)
		return;
	if (adjtimex(&state) == TIME_ERROR && state.status & STA_UNSYNC) {
		doctor_find(d, DOCTOR_NOTE, "nothing keeps the clock of this host right");
		doctor_means(d, "a clock that goes back makes peers refuse this host's handshakes");
		doctor_mend(d, "timedatectl set-ntp true");
	}
}

static void check_tun(struct doctor *d)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	unsigned int features = 0;

	if (fd < 0 && (errno == EACCES || errno == EPERM)) {
		doctor_find(d, DOCTOR_NOTE, "/dev/net/tun may not be opened by this user");
	} else if (fd < 0) {
		doctor_find(d, DOCTOR_ERROR, "/dev/net/tun: %s", strerror(errno));
		doctor_means(d, "without TUN there is no TAP device, and no network is served");
		doctor_mend(d, "modprobe tun");
	} else if (ioctl(fd, TUNGETFEATURES, &features) == 0 &&
	           (features & (IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE)) !=
	                   (IFF_TAP | IFF_VNET_HDR | IFF_MULTI_QUEUE)) {
		doctor_find(d, DOCTOR_ERROR, "/dev/net/tun lacks features (it has %#x)", features);
		doctor_means(d, "ovltund wants TAP devices with several queues and offloads, which "
		                "Linux has from 4.18 on");
	}
	if (fd >= 0)
		close(fd);
}

static void check_udp_offload(struct doctor *d, int option, int value, const char *name,
                              const char *since)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && setsockopt(fd, SOL_UDP, option, &value, sizeof(value)) < 0) {
		doctor_find(d, DOCTOR_NOTE, "this kernel has no %s (Linux has it from %s on)", name,
		            since);
		doctor_means(d, "datagrams are handed over one by one: all works, but slower");
	}
	if (fd >= 0)
		close(fd);
}

static void check_uring(struct doctor *d)
{
	int err = syscall(SYS_io_uring_setup, 0, NULL) < 0 ? errno : 0, disabled = 0;
	FILE *file;

	if (err != ENOSYS && err != EPERM)
		return; /* it found fault with the arguments, and nothing else */
	file = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	if (file && fscanf(file, "%d", &disabled) != 1)
		disabled = 0;
	if (file)
		(void)fclose(file);
	doctor_find(d, DOCTOR_NOTE, "io_uring is not to be had here (%s)", strerror(err));
	doctor_means(d, "ovltund uses poll instead: all works, but slower");
	if (disabled)
		doctor_advise(d, "kernel.io_uring_disabled says so, for all programs: sysctl -w "
		                 "kernel.io_uring_disabled=0, if nothing speaks for it");
}

static bool wants_ipv6(const struct doctor *d)
{
	json_t *object, *subnet;
	size_t i, j;

	json_array_foreach (d->networks, i, object) {
		json_array_foreach (json_object_get(object, "subnets"), j, subnet)
			if (strchr(json_string_value(subnet), ':'))
				return true;
	}
	json_array_foreach (d->peers, i, object)
		if (client_text(object, "endpoint_name")[0] == '[')
			return true;
	return false;
}

static void check_ipv6(struct doctor *d)
{
	int fd;

	if (!wants_ipv6(d))
		return;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		close(fd);
		return;
	}
	doctor_find(d, DOCTOR_ERROR, "IPv6 is used here, and this kernel has none");
	doctor_means(d, "IPv6 endpoints and subnets do not work");
	doctor_advise(d, "start the kernel without ipv6.disable=1");
}

void doctor_check_kernel(struct doctor *d)
{
	check_tun(d);
	check_udp_offload(d, UDP_SEGMENT, 1200, "UDP_SEGMENT", "4.18");
	check_udp_offload(d, UDP_GRO, 1, "UDP_GRO", "5.0");
	check_uring(d);
	check_ipv6(d);
}

/* Whether the port could be had now, over @family. */
static int try_port(int family, int port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} address = { .in = { 0 } };
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, err = 0;

	if (fd < 0)
		return 0;
	address.any.sa_family = (sa_family_t)family;
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		address.in6.sin6_port = htons((uint16_t)port);
	} else {
		address.in.sin_port = htons((uint16_t)port);
	}
	if (bind(fd, &address.any, family == AF_INET ? sizeof(address.in) : sizeof(address.in6)))
		err = errno;
	close(fd);
	return err;
}

void doctor_check_port(struct doctor *d)
{
	if (d->state || !d->listen_port)
		return;
	if (try_port(AF_INET, d->listen_port) != EADDRINUSE &&
	    try_port(AF_INET6, d->listen_port) != EADDRINUSE)
		return;
	doctor_find(d, DOCTOR_ERROR, "UDP port %d is taken by another program", d->listen_port);
	doctor_means(d, "ovltund does not start: two programs cannot listen on one port");
	doctor_advise(d,
	              "ss -ulpn sport = :%d tells which. If it is an ovltund: choose it by -i or "
	              "--socket. Else stop it, or change ListenPort here and Endpoint at the peers",
	              d->listen_port);
}

void doctor_check_daemon(struct doctor *d)
{
	if (d->state)
		return;
	if (strstr(d->silence, "permission denied")) {
		doctor_find(d, DOCTOR_NOTE, "the daemon was not asked: permission denied");
		doctor_means(d, "peers, sessions and counters were not looked at");
		doctor_advise(d, "run ovlctl doctor as root, or as a member of group ovltun");
		return;
	}
	doctor_find(d, DOCTOR_ERROR, "no daemon answers: %s", d->silence);
	doctor_means(d, "nothing goes through the tunnel while ovltund does not run");
	if (access("/run/systemd/system", F_OK) == 0 &&
	    (d->path ? strcmp(d->path, DOCTOR_USUAL_FILE) == 0 : !client_is_chosen()))
		doctor_mend(d, "systemctl start ovltund");
	else if (!d->path && client_is_chosen())
		doctor_advise(d,
		              "ls /run/ovltun tells the names of daemons: choose one by -i NAME, "
		              "or leave -i out where one runs alone");
	else
		doctor_advise(d, "ovltund -c %s", d->path ? doctor_word(d, d->path) : "FILE");
}
