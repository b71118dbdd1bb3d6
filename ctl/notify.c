/* SPDX-License-Identifier: MIT */
#include "ctl/notify.h"

#include <errno.h>

#ifdef OVLTUN_SYSTEMD

#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

#define FDS_A_MESSAGE 128u /* Linux takes up to 253 */

void notify_ready(void)
{
	(void)sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
	(void)sd_notify(0, "RELOADING=1");
}

void notify_stopping(void)
{
	(void)sd_notify(0, "STOPPING=1");
}

uint64_t notify_alive_interval_ns(void)
{
	uint64_t limit_us;

	/* A third, so that one that comes late does no harm. */
	return sd_watchdog_enabled(0, &limit_us) > 0 ? limit_us * 1000 / 3 : 0;
}

void notify_alive(void)
{
	(void)sd_notify(0, "WATCHDOG=1");
}

int notify_store(const char *name, const int *fds, unsigned int n)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
	while (n > 0) {
		unsigned int now = n < FDS_A_MESSAGE ? n : FDS_A_MESSAGE;
		int ret = sd_pid_notify_with_fds(0, 0, text, fds, now);

		if (ret <= 0)
			return ret ? ret : -ENOTCONN;
		fds += now;
		n -= now;
	}
	return 0;
}

int notify_unstore(const char *name)
{
	int ret = sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);

	return ret > 0 ? 0 : ret ? ret : -ENOTCONN;
}

bool notify_barrier(uint64_t timeout_ns)
{
	return sd_notify_barrier(0, timeout_ns / 1000) > 0;
}

unsigned int notify_take_stored(void (*take)(void *arg, const char *name, int fd), void *arg)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		take(arg, names[i], SD_LISTEN_FDS_START + i);
		free(names[i]);
	}
	free(names);
	return n > 0 ? (unsigned int)n : 0;
}

#else

void notify_ready(void)
{
}

void notify_reloading(void)
{
}

void notify_stopping(void)
{
}

uint64_t notify_alive_interval_ns(void)
{
	return 0;
}

void notify_alive(void)
{
}

int notify_store(const char *name, const int *fds, unsigned int n)
{
	(void)name;
	(void)fds;
	(void)n;
	return -ENOTCONN;
}

int notify_unstore(const char *name)
{
	(void)name;
	return -ENOTCONN;
}

bool notify_barrier(uint64_t timeout_ns)
{
	(void)timeout_ns;
	return false;
}

unsigned int notify_take_stored(void (*take)(void *arg, const char *name, int fd), void *arg)
{
	(void)take;
	(void)arg;
	return 0;
}

#endif
