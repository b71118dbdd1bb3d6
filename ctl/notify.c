/* SPDX-License-Identifier: MIT */
#include "ctl/notify.h"

#ifdef OVLTUN_SYSTEMD

#include <systemd/sd-daemon.h>

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

#endif
