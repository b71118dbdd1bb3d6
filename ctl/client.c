/* SPDX-License-Identifier: MIT */
#include "ctl/client.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "ctl/buffer.h"
#include "ctl/complaint.h"
#include "ctl/json_memory.h"
#include "ctl/ovlctl.h"
#include "ctl/text.h"

#define RUN_DIR     "/run/ovltun"
#define REQUEST_MAX ((size_t)16 << 20)
#define REPLY_MAX   ((size_t)256 << 20)
#define PIECE       (64u * 1024)
#define PATIENCE_S  30 /* a daemon that says nothing for so long hangs */
#define NAMES_MAX   400

static struct {
	const char *socket_path;
	const char *name;
} selection;

/* Where complaints go instead of stderr; NULL: nowhere else. */
static struct {
	char *text;
	size_t size;
} hushed;

void client_hush(char *text, size_t size)
{
	hushed.text = text;
	hushed.size = size;
}

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	char text[2 * PATH_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (hushed.text)
		(void)snprintf(hushed.text, hushed.size, "%s", text);
	else
		complaint_say("%s", text);
}

void client_select(const char *socket_path, const char *name)
{
	selection.socket_path = socket_path;
	selection.name = name;
}

const char *client_name(void)
{
	return selection.name;
}

bool client_is_chosen(void)
{
	return selection.socket_path || selection.name;
}

const char *client_command(void)
{
	static char command[4 * PATH_MAX];
	const char *chosen = selection.socket_path ? selection.socket_path : selection.name;
	char *word = text_quote(chosen ? chosen : "");

	(void)snprintf(command, sizeof(command), "ovlctl%s%s",
	               selection.socket_path ? " --socket "
	               : selection.name      ? " -i "
	                                     : "",
	               chosen && word ? word : "");
	free(word);
	return command;
}

/* A descriptor, or -errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = PATIENCE_S };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* "/run/ovltun/NAME.ctl" → NAME; @path is cut. */
static const char *name_of(char *path)
{
	char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;

	name[strlen(name) - strlen(".ctl")] = '\0';
	return name;
}

/* -i with a typing error, if it is that. */
static void complain_of_silence(const char *path)
{
	const char *nearest = NULL, *name;
	glob_t found;

	if (selection.socket_path || glob(RUN_DIR "/*.ctl", 0, NULL, &found) != 0) {
		complain("no ovltund listens on %s", path);
		return;
	}
	for (size_t i = 0; i < found.gl_pathc && !nearest; i++) {
		name = name_of(found.gl_pathv[i]);
		if (strcmp(name, selection.name) != 0)
			nearest = text_nearest(selection.name, &name, 1);
	}
	if (nearest)
		complain("no ovltund listens on %s; did you mean \"%s\"?", path, nearest);
	else
		complain("no ovltund listens on %s", path);
	globfree(&found);
}

static int connect_named(const char *path)
{
	int fd = connect_to(path);

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		complain_of_silence(path);
	else if (fd == -EACCES || fd == -EPERM)
		complain("%s: permission denied: it is for root and members of group ovltun", path);
	else if (fd < 0)
		complain("%s: %s", path, strerror(-fd));
	return fd;
}

/* The only daemon that runs. Sockets that nobody listens on do not count. */
static int connect_only(void)
{
	char names[NAMES_MAX] = "";
	unsigned int running = 0;
	bool denied = false;
	glob_t found;
	int fd = -ENOENT;

	if (glob(RUN_DIR "/*.ctl", 0, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		int candidate = connect_to(found.gl_pathv[i]);

		denied |= candidate == -EACCES || candidate == -EPERM;
		if (candidate < 0)
			continue;
		size_t len = strlen(names);

		(void)snprintf(names + len, sizeof(names) - len, "%s%s", running ? ", " : "",
		               name_of(found.gl_pathv[i]));
		if (running++)
			close(candidate);
		else
			fd = candidate;
	}
	if (found.gl_pathc)
		globfree(&found);
	if (running == 1)
		return fd;
	if (running) {
		close(fd);
		complain("several daemons run (%s); choose one by -i NAME", names);
		return -ENOTUNIQ;
	} else if (denied) {
		complain(RUN_DIR ": permission denied; are you root?");
	} else {
		complain("no ovltund runs here (none listens in " RUN_DIR ")");
	}
	return -ENOENT;
}

static int connect_selected(void)
{
	char path[PATH_MAX];

	if (selection.socket_path)
		return connect_named(selection.socket_path);
	if (!selection.name)
		return connect_only();
	(void)snprintf(path, sizeof(path), RUN_DIR "/%s.ctl", selection.name);
	return connect_named(path);
}

/* A descriptor goes along with the first byte; -1: none. */
static ssize_t send_some(int fd, const char *data, size_t len, int passed)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec iov = { .iov_base = (char *)(uintptr_t)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (passed < 0)
		return send(fd, data, len, MSG_NOSIGNAL);
	msg.msg_control = &control;
	msg.msg_controllen = sizeof(control);
	cmsg = CMSG_FIRSTHDR(&msg);
	*cmsg = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
		                  .cmsg_type = SCM_RIGHTS,
		                  .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(cmsg), &passed, sizeof(int));
	return sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static int send_all(int fd, const char *data, size_t len, int passed)
{
	while (len) {
		ssize_t n = send_some(fd, data, len, passed);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		passed = -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int receive_line(int fd, struct buffer *line)
{
	for (;;) {
		if (!buffer_reserve(line, PIECE))
			return -ENOMEM;
		ssize_t n = recv(fd, line->data + line->len, PIECE, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return -ECONNRESET;
		line->len += (size_t)n;
		if (line->data[line->len - 1] == '\n')
			return 0;
	}
}

static int exchange(int fd, const struct buffer *request, int passed, struct buffer *line)
{
	int ret = send_all(fd, request->data, request->len, passed);

	if (!ret)
		ret = receive_line(fd, line);
	if (ret == -ECONNRESET || ret == -EPIPE)
		complain("the daemon closed the connection");
	else if (ret == -ETIMEDOUT)
		complain("the daemon has not answered for %d s; it hangs, or is stopped",
		         PATIENCE_S);
	else if (ret)
		complain("talking to the daemon: %s", strerror(-ret));
	return ret;
}

/* About a file, or not: server.c has what is in the reply then. */
static void tell_error(const json_t *answer)
{
	struct config_error error = { .line = (unsigned int)client_number(answer, "line") };
	const char *file = client_text(answer, "file"), *whole = client_text(answer, "error");

	if (!*file || hushed.text) {
		complain("%s", *whole ? whole : "the daemon's reply makes no sense");
		return;
	}
	(void)snprintf(error.file, sizeof(error.file), "%s", file);
	(void)snprintf(error.text, sizeof(error.text), "%s", client_text(answer, "text"));
	complaint_say_at("ovlctl: ", &error);
}

static int judge(json_t *answer, json_t **reply)
{
	if (json_is_true(json_object_get(answer, "ok"))) {
		*reply = answer;
		return OVLCTL_OK;
	}
	json_int_t status = client_number(answer, "exit");

	tell_error(answer);
	json_decref(answer);
	return status == OVLCTL_USAGE ? OVLCTL_USAGE : OVLCTL_FAILED;
}

/* @connection may be NULL: it is closed. */
static int call(json_t *request, int passed, json_t **reply, int *connection)
{
	struct buffer out, line;
	int status = OVLCTL_FAILED, fd;

	buffer_init(&out, REQUEST_MAX);
	buffer_init(&line, REPLY_MAX);
	bool fits = json_memory_put(request, &out);

	json_decref(request);
	if (!fits) {
		/* jansson makes nothing of text that is not UTF-8. */
		complain("the arguments are too long, or not UTF-8 text");
		status = OVLCTL_USAGE;
		goto out;
	}
	fd = connect_selected();
	if (fd == -ENOTUNIQ)
		status = OVLCTL_USAGE; /* it was not said which daemon */
	if (fd < 0)
		goto out;
	if (exchange(fd, &out, passed, &line) == 0)
		status = judge(json_loadb(line.data, line.len, 0, NULL), reply);
	if (connection && status == OVLCTL_OK)
		*connection = fd;
	else
		close(fd);
out:
	buffer_fini(&out);
	buffer_fini(&line);
	return status;
}

int client_call(json_t *request, json_t **reply)
{
	return call(request, -1, reply, NULL);
}

int client_call_passing(json_t *request, int passed, json_t **reply, int *connection)
{
	return call(request, passed, reply, connection);
}

int client_do(json_t *request, bool json)
{
	json_t *reply;
	int status = client_call(request, &reply);

	if (status != OVLCTL_OK)
		return status;
	if (json)
		status = client_print_json(reply);
	json_decref(reply);
	return status;
}

static bool told; /* all that there was to tell, on stdout */

static int print(const json_t *value, size_t flags)
{
	if (json_dumpf(value, stdout, flags) < 0)
		return OVLCTL_FAILED;
	putchar('\n');
	return OVLCTL_OK;
}

int client_print_json(const json_t *value)
{
	told = true;
	return print(value, JSON_INDENT(2));
}

int client_print_json_line(const json_t *value)
{
	return print(value, JSON_COMPACT);
}

void client_print_failure(int status)
{
	json_t *failure = told ? NULL : complaint_make_json(status);

	if (failure)
		(void)client_print_json_line(failure);
	json_decref(failure);
}

const char *client_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

json_int_t client_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

void client_print_next(const json_t *reply)
{
	if (client_number(reply, "workers_next") > 0)
		printf("Workers = %" JSON_INTEGER_FORMAT " is for the next start of the daemon\n",
		       client_number(reply, "workers_next"));
	if (json_is_true(json_object_get(reply, "introducer_next")))
		puts("Introducer = yes is for the next start of the daemon: nobody is invited "
		     "until then");
}
