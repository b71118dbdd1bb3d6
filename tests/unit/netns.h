/* SPDX-License-Identifier: MIT */
/*
 * For tests that need links of their own: a network namespace that goes with the
 * process, ip(8) and bridge(8) as an independent hand and eye.
 */
#ifndef TESTS_UNIT_NETNS_H
#define TESTS_UNIT_NETNS_H

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <time.h>
#include <unistd.h>

#define NETNS_SKIP    77 /* meson's exit status of a skipped test */
#define NETNS_WAIT_MS 10000

/* False, and why on stdout: this process or machine cannot. */
static inline bool netns_enter(void)
{
	if (geteuid() != 0) {
		puts("skipped: needs root (network namespaces)");
		return false;
	}
	/* Mounts too: what ip-netns(8) names in /run/netns goes with the process. */
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0 ||
	    mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0) {
		printf("skipped: no namespaces: %s\n", strerror(errno));
		return false;
	}
	if (access("/dev/net/tun", R_OK | W_OK) < 0) {
		puts("skipped: no /dev/net/tun");
		return false;
	}
	if (system("ip link set lo up && bridge link >/dev/null") != 0) {
		puts("skipped: no ip or bridge command (iproute2)");
		return false;
	}
	return true;
}

/* Runs a command line; true: exit status 0. */
static inline __attribute__((format(printf, 1, 2))) bool netns_run(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command) == 0;
}

/* What a command prints, up to @size. */
static inline void netns_read(const char *command, char *out, size_t size)
{
	FILE *pipe = popen(command, "r");
	size_t len = pipe ? fread(out, 1, size - 1, pipe) : 0;

	out[len] = '\0';
	if (pipe)
		pclose(pipe);
}

static inline bool netns_prints(const char *command, const char *wanted)
{
	char out[65536];

	netns_read(command, out, sizeof(out));
	return strstr(out, wanted) != NULL;
}

/* Deletes whatever links a test has left. */
static inline void netns_clear(void)
{
	(void)!system("for l in $(ip -o link | cut -d: -f2 | cut -d@ -f1); do "
	              "ip link del $l 2>/dev/null; done");
}

static inline uint64_t netns_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

#endif
