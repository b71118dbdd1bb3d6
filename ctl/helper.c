/* SPDX-License-Identifier: MIT */
/*
 * It was forked before the configuration was read: there is nothing in its memory that
 * the daemon would hide. The daemon is one that may have been taken over, so a request
 * that does not look like one ends it all. Signals that end a daemon are for the daemon:
 * a service manager or a terminal sends them to both, and the daemon needs its helper
 * until it has put back what it changed.
 */
#include "ctl/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "crypto/secret.h"
#include "ctl/isolate.h"
#include "ctl/verbs.h"

/* What a library may have opened, or who started us left open, is none of its business. */
static int keep_only(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), own = STDERR_FILENO + 1;

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -1;
	if (fd != own && dup3(fd, own, O_CLOEXEC) < 0)
		return -1;
	closefrom(own + 1);
	return own;
}

static void ignore_signals(void)
{
	static const int ignored[] = {
		SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2
	};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		(void)signal(ignored[i], SIG_IGN);
}

static void serve(int fd, struct verbs *verbs)
{
	struct priv_request request;
	struct priv_fds in, out;
	struct priv_reply reply;

	for (;;) {
		int err = priv_wire_receive(fd, &request, sizeof(request), &in);

		if (err && err != -EMFILE)
			break;
		if (err)
			request.verb = PRIV_VERBS; /* it cannot be done: none of them */
		verbs_do(verbs, &request, &in, &reply, &out);
		err = priv_wire_send(fd, &reply, sizeof(reply), &out);
		if (err && err != -EPIPE && out.count) {
			/* Too many of this user's descriptors are on their way: that one fails. */
			reply.error = err;
			err = priv_wire_send(fd, &reply, sizeof(reply), NULL);
		}

		secret_wipe(&reply, sizeof(reply));
		priv_wire_close(&in);
		priv_wire_close(&out);
		if (err)
			break;
	}
}

void helper_run(int fd, const struct priv_files *files)
{
	struct verbs verbs = { .files = files };

	(void)prctl(PR_SET_NAME, "ovltund-helper");
	ignore_signals();
	fd = keep_only(fd);
	if (fd >= 0 && netlink_open_asking(&verbs.netlink) == 0 &&
	    isolate_drop_privileges(ISOLATE_HELPER, NULL) == 0) {
		/* What cannot be closed here cannot be in the daemon, which says so. */
		(void)isolate_close_calls(ISOLATE_HELPER);
		serve(fd, &verbs);
	}
	_exit(0);
}
